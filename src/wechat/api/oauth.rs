//! Who is looking at an H5 page: the authorise page and the exchange of its code.

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::transport::{Call, json_of};
use super::{Api, ApiError, Fault, typed};
use crate::domain::ids::Openid;
use crate::domain::secret::Personal;

/// How much a visitor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The openid alone, without a question.
    Base,
    /// Name and picture too, after a question; only after a tap, else the platform shows a snapshot page.
    UserInfo,
}

/// Who came back from the authorise page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The follower, or someone who does not follow yet.
    pub openid: Openid,
    /// Who he is across the bank's accounts.
    pub union_id: Option<Personal>,
    /// A virtual person of a snapshot page: never to be bound.
    pub is_snapshot: bool,
}

impl Api {
    /// The authorise page that leads back to `redirect_uri` with a code and `state`. The order of its parameters
    /// and the fragment are what the platform insists on.
    #[must_use]
    pub fn authorize_url(&self, redirect_uri: &Url, scope: Scope, state: &str) -> String {
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let scope = match scope {
            Scope::Base => "snsapi_base",
            Scope::UserInfo => "snsapi_userinfo",
        };
        format!(
            "{}/connect/oauth2/authorize?appid={}&redirect_uri={}&response_type=code&scope={scope}&state={}\
             #wechat_redirect",
            self.oauth_base.as_str().trim_end_matches('/'),
            encode(&self.app_id),
            encode(redirect_uri.as_str()),
            encode(state),
        )
    }

    /// Exchanges the code of a redirect. A code is good once and for five minutes.
    ///
    /// # Errors
    /// Class `RestartOauth` when the code is used or too old.
    pub async fn exchange_code(&self, code: &str) -> Result<Visitor, ApiError> {
        #[derive(Deserialize)]
        struct Told {
            openid: String,
            unionid: Option<String>,
            #[serde(default)]
            is_snapshotuser: serde_json::Value,
        }
        let call = Call::get(
            "sns/oauth2/access_token",
            vec![
                ("appid", self.app_id.as_str()),
                ("secret", self.app_secret.reveal()),
                ("code", code),
                ("grant_type", "authorization_code"),
            ],
        );
        let answer = self.transport.send(&call, None, Instant::now() + self.call_timeout).await;
        let visitor = answer.and_then(|answer| {
            let told: Told = typed(json_of(&answer)?)?;
            let openid = Openid::parse(&told.openid).ok_or(Fault::Broken("the answer has no openid"))?;
            let snapshot = &told.is_snapshotuser;
            Ok(Visitor {
                openid,
                union_id: told.unionid.filter(|id| !id.is_empty()).map(Personal::new),
                is_snapshot: snapshot.as_i64() == Some(1)
                    || snapshot.as_bool() == Some(true)
                    || snapshot.as_str() == Some("1"),
            })
        });
        let visitor = visitor.map_err(|fault| ApiError::with_secret(call.path, fault));
        visitor.inspect_err(|error| self.log(error))
    }
}
