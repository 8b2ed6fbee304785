//! The bank's own sign-in by OpenID Connect: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636). The
//! provider says who somebody is; what he may do stays with his account here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::{Mutex, Semaphore};
use url::Url;

use crate::bank::http;
use crate::clock::new_token;
use crate::config::{Oidc, SecondFactorBy};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::keys::Place;
use crate::store::{Store, StoreError};

const KEPT: Place = Place("cookie.sign_on");
/// Somebody has this long at the provider.
const AWAY: Duration = Duration::from_secs(10 * 60);
/// One call to the provider.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer of the provider.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// What the provider says of itself is asked again after this long.
const FRESH: Duration = Duration::from_secs(3600);
/// A key that is not known is asked for at most this often.
const KEYS_EVERY: Duration = Duration::from_secs(60);
/// How far the provider's clock may be from ours.
const SKEW_SECONDS: i64 = 60;
/// People who come back at the same moment.
const AT_ONCE_MAX: usize = 16;
/// Signatures that are taken: with a public key only, so that no secret of ours makes a token.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why the bank's own sign-in brought nobody.
#[derive(Debug, thiserror::Error)]
pub enum SignOnError {
    /// It was begun in another browser, too long ago, or not at all.
    #[error("the sign-in was not begun in this browser, or too long ago")]
    NotBegun,
    /// The provider refused, or the person gave up.
    #[error("the provider said: {0}")]
    Refused(String),
    /// The provider did not answer, or not as it must.
    #[error("{0}")]
    Provider(String),
    /// The ID token does not prove what it must.
    #[error("the ID token does not do: {0}")]
    Token(String),
    /// Nobody has an account of that name here.
    #[error("there is no staff account for the person whom the provider names")]
    NoAccount,
    /// Too many people come back right now.
    #[error("too many sign-ins at the same time")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The client towards the provider could not be made.
#[derive(Debug, thiserror::Error)]
#[error("staff.oidc: no client towards the provider: {0}")]
pub struct NoSignOn(#[from] reqwest::Error);

/// Where a browser is sent, and what it keeps meanwhile in a cookie.
#[derive(Debug)]
pub struct Departure {
    /// The provider's page.
    pub location: Url,
    /// Sealed: only this server reads it.
    pub kept: Secret,
}

/// What a browser brings back from the provider.
#[derive(Debug, Default, Deserialize)]
pub struct Arrival {
    /// Good once, for our call to the provider.
    pub code: Option<Secret>,
    /// What we gave the browser along.
    pub state: Option<String>,
    /// Who sends it (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// What the browser keeps while it is away.
#[derive(Serialize, Deserialize)]
struct Kept {
    state: String,
    nonce: String,
    verifier: String,
    until_ms: i64,
}

/// What the provider says of itself.
#[derive(Clone, Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

struct Known {
    discovery: Discovery,
    keys: JwkSet,
    asked: UnixMs,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Secret,
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    iat: i64,
    nonce: Option<String>,
    azp: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The bank's own sign-in.
pub struct SignOn {
    settings: Oidc,
    http: reqwest::Client,
    store: Store,
    known: Mutex<Option<Known>>,
    at_once: Semaphore,
}

impl SignOn {
    /// By its settings. Nothing is asked of the provider before somebody signs in.
    ///
    /// # Errors
    /// When the certificates do not read; the configuration has checked them.
    pub fn new(settings: &Oidc, store: Store) -> Result<Self, NoSignOn> {
        Ok(Self {
            settings: settings.clone(),
            http: http::client(&settings.issuer, &settings.tls, TIMEOUT)?,
            store,
            known: Mutex::new(None),
            at_once: Semaphore::new(AT_ONCE_MAX),
        })
    }

    /// What the button says.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.settings.label
    }

    pub(super) fn second_factor_is_ours(&self) -> bool {
        self.settings.second_factor == SecondFactorBy::Here
    }

    /// Begins.
    ///
    /// # Errors
    /// When the provider cannot be asked where its page is.
    pub async fn depart(&self) -> Result<Departure, SignOnError> {
        let discovery = self.discovery().await?;
        let random = self.store.random().as_ref();
        let kept = Kept {
            state: new_token(random),
            nonce: new_token(random),
            verifier: new_token(random),
            until_ms: (self.store.clock().now() + AWAY).0,
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(kept.verifier.as_bytes()));
        let mut location = discovery.authorization_endpoint;
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", self.settings.redirect_url.as_str())
            .append_pair("scope", "openid profile")
            .append_pair("state", &kept.state)
            .append_pair("nonce", &kept.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let plain = serde_json::to_vec(&kept).map_err(StoreError::from)?;
        let sealed = self.store.vault().seal(KEPT, &[], &plain).map_err(StoreError::from)?;
        Ok(Departure { location, kept: Secret::new(URL_SAFE_NO_PAD.encode(sealed)) })
    }

    /// Who came back. The name is the provider's word; whether there is such an account is another question.
    ///
    /// # Errors
    /// Whatever is not exactly as it must be.
    pub async fn arrive(&self, kept: &Secret, arrival: Arrival) -> Result<String, SignOnError> {
        let kept = self.opened(kept).ok_or(SignOnError::NotBegun)?;
        let state = arrival.state.unwrap_or_default();
        if !bool::from(state.as_bytes().ct_eq(kept.state.as_bytes())) {
            return Err(SignOnError::NotBegun);
        }
        if arrival.iss.is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(SignOnError::Token("another provider sent the browser back".to_owned()));
        }
        let Some(code) = arrival.code else {
            let why: String = arrival.error.unwrap_or_default().chars().take(100).collect();
            return Err(SignOnError::Refused(why));
        };
        let _place = self.at_once.try_acquire().map_err(|_| SignOnError::Busy)?;
        let token = self.exchange(&code, &kept.verifier).await?;
        let claims = self.checked(token.reveal(), &kept.nonce).await?;
        match claims.rest.get(&self.settings.name_claim) {
            Some(Value::String(name)) => Ok(name.clone()),
            _ => Err(SignOnError::Token(format!("it has no text `{}`", self.settings.name_claim))),
        }
    }

    fn opened(&self, kept: &Secret) -> Option<Kept> {
        let sealed = URL_SAFE_NO_PAD.decode(kept.reveal()).ok()?;
        let plain = self.store.vault().open(KEPT, &[], &sealed).ok()?;
        let kept: Kept = serde_json::from_slice(&plain).ok()?;
        (self.store.clock().now().0 < kept.until_ms).then_some(kept)
    }

    /// The ID token for a code. The verifier shows that the code is brought by whoever began.
    async fn exchange(&self, code: &Secret, verifier: &str) -> Result<Secret, SignOnError> {
        let discovery = self.discovery().await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.reveal()),
            ("redirect_uri", self.settings.redirect_url.as_str()),
            ("code_verifier", verifier),
            ("client_id", &self.settings.client_id),
        ];
        let mut call = self.http.post(discovery.token_endpoint);
        if let Some(secret) = &self.settings.client_secret {
            let methods = discovery.token_endpoint_auth_methods_supported;
            // Without a word the provider takes client_secret_basic (OpenID Connect Discovery, 3).
            let basic =
                methods.is_none_or(|methods| methods.iter().any(|name| name == "client_secret_basic"));
            if basic {
                let encoded =
                    |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let password = zeroize::Zeroizing::new(encoded(secret.reveal()));
                call = call.basic_auth(encoded(&self.settings.client_id), Some(password.as_str()));
            } else {
                form.push(("client_secret", secret.reveal()));
            }
        }
        let tokens: Tokens = answer("token endpoint", call.form(&form)).await?;
        Ok(tokens.id_token)
    }

    /// The claims of an ID token that is the provider's, for us, of now, and of this sign-in (OpenID Connect Core,
    /// 3.1.3.7).
    async fn checked(&self, token: &str, nonce: &str) -> Result<Claims, SignOnError> {
        let bad = |why: &str| SignOnError::Token(why.to_owned());
        let header = jsonwebtoken::decode_header(token).map_err(|error| bad(&error.to_string()))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(bad("it is not signed with a public key"));
        }
        let key = self.key(header.kid.as_deref()).await?;
        let key = DecodingKey::from_jwk(&key).map_err(|error| bad(&error.to_string()))?;
        let mut rules = Validation::new(header.alg);
        // Time is ours to ask for.
        rules.validate_exp = false;
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.set_issuer(&[&self.settings.issuer]);
        rules.set_audience(&[&self.settings.client_id]);
        let claims: Claims =
            jsonwebtoken::decode(token, &key, &rules).map_err(|error| bad(&error.to_string()))?.claims;
        let now = self.store.clock().now().0 / 1000;
        if claims.exp.saturating_add(SKEW_SECONDS) <= now {
            return Err(bad("it is too old"));
        }
        if claims.iat.saturating_sub(SKEW_SECONDS) > now {
            return Err(bad("it is of a time to come; compare the clocks"));
        }
        let several = matches!(claims.rest.get("aud"), Some(Value::Array(whom)) if whom.len() > 1);
        let for_us = claims.azp.as_ref().map_or(!several, |whom| *whom == self.settings.client_id);
        if !for_us {
            return Err(bad("it was made for another program"));
        }
        let said = claims.nonce.as_deref().unwrap_or_default();
        if !bool::from(said.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err(bad("it is of another sign-in"));
        }
        Ok(claims)
    }

    async fn discovery(&self) -> Result<Discovery, SignOnError> {
        let mut known = self.known.lock().await;
        self.learn(&mut known, FRESH).await.map(|known| known.discovery.clone())
    }

    /// The provider's key of that id; one that is not known is asked for.
    async fn key(&self, id: Option<&str>) -> Result<Jwk, SignOnError> {
        let mut known = self.known.lock().await;
        for fresh in [FRESH, KEYS_EVERY] {
            let keys = &self.learn(&mut known, fresh).await?.keys;
            let signing = |key: &&Jwk| {
                key.common.public_key_use.as_ref().is_none_or(|what| *what == PublicKeyUse::Signature)
            };
            let mut fitting = keys
                .keys
                .iter()
                .filter(signing)
                .filter(|key| id.is_none() || key.common.key_id.as_deref() == id);
            if let (Some(key), None) = (fitting.next(), fitting.next()) {
                return Ok(key.clone());
            }
        }
        Err(SignOnError::Token("no key of the provider fits it".to_owned()))
    }

    /// What the provider says of itself, asked for when it was not for so long.
    async fn learn<'a>(
        &self,
        known: &'a mut Option<Known>,
        fresh: Duration,
    ) -> Result<&'a Known, SignOnError> {
        let now = self.store.clock().now();
        let old = known.as_ref().is_none_or(|known| now < known.asked || now.since(known.asked) >= fresh);
        if old {
            let address =
                format!("{}/.well-known/openid-configuration", self.settings.issuer.trim_end_matches('/'));
            let discovery: Discovery = answer("discovery", self.http.get(address)).await?;
            self.believable(&discovery)?;
            let keys: JwkSet = answer("keys", self.http.get(discovery.jwks_uri.clone())).await?;
            *known = Some(Known { discovery, keys, asked: now });
        }
        known.as_ref().ok_or_else(|| SignOnError::Provider("the provider says nothing".to_owned()))
    }

    fn believable(&self, discovery: &Discovery) -> Result<(), SignOnError> {
        if discovery.issuer != self.settings.issuer {
            return Err(SignOnError::Provider(format!(
                "the provider calls itself {}; write that as staff.oidc.issuer, letter for letter",
                discovery.issuer
            )));
        }
        let https = self.settings.issuer.starts_with("https:");
        let ends = [&discovery.authorization_endpoint, &discovery.token_endpoint, &discovery.jwks_uri];
        if https && ends.iter().any(|end| end.scheme() != "https") {
            return Err(SignOnError::Provider("the provider names an address without TLS".to_owned()));
        }
        Ok(())
    }
}

/// The provider's answer, bounded. Errors name the place and never what was sent.
async fn answer<T: DeserializeOwned>(place: &str, call: reqwest::RequestBuilder) -> Result<T, SignOnError> {
    let failed = |error: reqwest::Error| {
        SignOnError::Provider(format!("the provider's {place} cannot be reached: {}", error.without_url()))
    };
    let response = call.header("accept", "application/json").send().await.map_err(failed)?;
    let status = response.status();
    let body = http::body(response, BODY_BYTES_MAX).await.map_err(failed)?;
    let too_much = || SignOnError::Provider(format!("the provider's {place} answers too much"));
    let body = zeroize::Zeroizing::new(body.ok_or_else(too_much)?);
    if status != reqwest::StatusCode::OK {
        return Err(SignOnError::Provider(format!("the provider's {place} answers {status}")));
    }
    serde_json::from_slice(&body).map_err(|error| {
        SignOnError::Provider(format!("the provider's {place} answers something else: {error}"))
    })
}
