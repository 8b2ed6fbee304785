//! The way in: name and password or the bank's own sign-in, then the second step where there is one.

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Form, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use fast_qr::QRBuilder;
use fast_qr::convert::svg::SvgBuilder;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::guard::{self, DeskFailure, SESSION_COOKIE};
use super::words::{self, Language, Words};
use super::{base, html, see_other, set_cookie};
use crate::config::Config;
use crate::domain::secret::Secret;
use crate::staff::{Activity, Arrival, Half, SecondStepError, SignInError, SignOnError, Staff, Standing};
use crate::web::client;

/// What the browser keeps while it is at the bank's own sign-in.
const SIGN_ON_COOKIE: &str = "weikefu_sign_on";
const SIGN_ON_SECONDS: i64 = 600;

pub(super) fn configure(services: &mut ServiceConfig) {
    services
        .route("/sign-in", web::get().to(show_sign_in))
        .route("/sign-in", web::post().to(sign_in))
        .route("/second-step", web::get().to(show_second_step))
        .route("/second-step", web::post().to(second_step))
        .route("/oidc", web::get().to(depart))
        .route("/oidc/callback", web::get().to(arrive))
        .route("/sign-out", web::post().to(sign_out));
}

#[derive(Template)]
#[template(path = "pages/desk/sign_in.html")]
struct SignInPage<'a> {
    base: &'a str,
    words: &'a Words,
    trouble: Option<String>,
    name: &'a str,
    /// What the button of the bank's own sign-in says.
    by_bank: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/desk/second_step.html")]
struct SecondStepPage<'a> {
    base: &'a str,
    words: &'a Words,
    trouble: Option<String>,
    name: &'a str,
    csrf: &'a str,
    /// Whether a code is of any use.
    asks: bool,
    set_up: Option<Offer>,
}

/// A second factor to take over: a picture, and the same to type.
struct Offer {
    /// SVG that we drew ourselves.
    picture: String,
    typed: Secret,
}

#[derive(Template)]
#[template(path = "pages/desk/recovery_codes.html")]
struct RecoveryPage<'a> {
    base: &'a str,
    words: &'a Words,
    codes: &'a [Secret],
}

#[derive(Deserialize)]
struct SignInForm {
    name: String,
    password: Secret,
}

#[derive(Deserialize)]
struct SecondStepForm {
    csrf: Secret,
    code: Secret,
}

#[derive(Deserialize)]
struct SignOutForm {
    csrf: Secret,
}

async fn show_sign_in(request: HttpRequest, staff: Data<Staff>, config: Data<Config>) -> HttpResponse {
    let place = Place::of(&request, &staff, &config);
    match place.standing().await {
        Ok(Some(Standing::In(_))) => see_other(&base(&config)),
        Ok(Some(Standing::CodeWanted(_) | Standing::SetUpWanted(_))) => place.to_second_step(),
        Ok(None) => place.door(StatusCode::OK, None, ""),
        Err(failure) => failure.response(),
    }
}

async fn sign_in(
    request: HttpRequest,
    form: Form<SignInForm>,
    staff: Data<Staff>,
    config: Data<Config>,
) -> HttpResponse {
    let place = Place::of(&request, &staff, &config);
    if let Err(failure) = guard::from_our_page(&request, &config) {
        return failure.response();
    }
    let Some(address) = client::address(&request, &config.server.trusted_proxies) else {
        return DeskFailure::new(StatusCode::BAD_REQUEST, "bad_request", place.language).response();
    };
    let previous = guard::token(&request);
    let form = form.into_inner();
    let name = form.name.trim();
    match staff.sign_in(name, &form.password, address, previous.as_ref()).await {
        Ok(token) => place.signed_in(&token).await,
        Err(error) => {
            let (status, trouble) = words::sign_in_trouble(place.language, &error);
            if let SignInError::Failed(reason) = &error {
                tracing::error!(
                    reason,
                    retry = "when the person does",
                    "a sign-in could not be decided; see that the database answers"
                );
            }
            place.door(status, Some(trouble), name)
        }
    }
}

async fn depart(request: HttpRequest, staff: Data<Staff>, config: Data<Config>) -> HttpResponse {
    let place = Place::of(&request, &staff, &config);
    let Some(sign_on) = staff.sign_on() else {
        return DeskFailure::new(StatusCode::NOT_FOUND, "not_found", place.language).response();
    };
    match sign_on.depart().await {
        Ok(departure) => {
            let mut response = see_other(departure.location.as_str());
            let kept = departure.kept.reveal().to_owned();
            let mut cookie = cookie(&config, SIGN_ON_COOKIE, kept);
            cookie.set_max_age(CookieAge::seconds(SIGN_ON_SECONDS));
            set_cookie(&mut response, cookie);
            response
        }
        Err(error) => place.not_brought(&error),
    }
}

async fn arrive(
    request: HttpRequest,
    arrival: Query<Arrival>,
    staff: Data<Staff>,
    config: Data<Config>,
) -> HttpResponse {
    let place = Place::of(&request, &staff, &config);
    let kept = request.cookie(SIGN_ON_COOKIE).map(|cookie| Secret::new(cookie.value().to_owned()));
    let address = client::address(&request, &config.server.trusted_proxies);
    let (Some(kept), Some(address)) = (kept, address) else {
        return place.not_brought(&SignOnError::NotBegun);
    };
    let previous = guard::token(&request);
    let brought = staff.sign_in_by_bank(&kept, arrival.into_inner(), address, previous.as_ref()).await;
    let mut response = match brought {
        Ok(token) => place.signed_in(&token).await,
        Err(error) => place.not_brought(&error),
    };
    // Good once, whatever came of it.
    let mut over = cookie(&config, SIGN_ON_COOKIE, String::new());
    over.make_removal();
    set_cookie(&mut response, over);
    response
}

async fn show_second_step(request: HttpRequest, staff: Data<Staff>, config: Data<Config>) -> HttpResponse {
    let place = Place::of(&request, &staff, &config);
    match place.asker().await {
        Ok(Some(asker)) => place.second_step_page(&asker, StatusCode::OK, None).await,
        Ok(None) => place.to_sign_in(),
        Err(failure) => failure.response(),
    }
}

async fn second_step(
    request: HttpRequest,
    form: Form<SecondStepForm>,
    staff: Data<Staff>,
    config: Data<Config>,
) -> HttpResponse {
    let place = Place::of(&request, &staff, &config);
    if let Err(failure) = guard::from_our_page(&request, &config) {
        return failure.response();
    }
    let asker = match place.asker().await {
        Ok(Some(asker)) => asker,
        Ok(None) => return place.to_sign_in(),
        Err(failure) => return failure.response(),
    };
    if !bool::from(form.csrf.reveal().as_bytes().ct_eq(asker.half.csrf.reveal().as_bytes())) {
        return DeskFailure::new(StatusCode::FORBIDDEN, "foreign", place.language).response();
    }
    let code = form.code.reveal();
    let outcome = if asker.has_factor {
        staff.second_step(&asker.token, code).await.map(|token| (token, Vec::new()))
    } else {
        let new = staff.confirm_set_up(&asker.token, code).await;
        new.map(|factor| (factor.token, factor.recovery_codes))
    };
    match outcome {
        Ok((token, codes)) if codes.is_empty() => place.signed_in(&token).await,
        Ok((token, codes)) => {
            let base = base(&config);
            let page = RecoveryPage { base: &base, words: place.language.words(), codes: &codes };
            let mut response = html(StatusCode::OK, page.render(), place.language);
            set_cookie(&mut response, cookie(&config, SESSION_COOKIE, token.reveal().to_owned()));
            response
        }
        Err(SecondStepError::Over) => place.to_sign_in(),
        Err(error) => {
            if let SecondStepError::Failed(reason) = &error {
                tracing::error!(
                    reason,
                    retry = "when the person does",
                    "a second step could not be decided; see that the database answers"
                );
            }
            let (status, trouble) = words::second_step_trouble(place.language, &error);
            place.second_step_page(&asker, status, Some(trouble)).await
        }
    }
}

async fn sign_out(
    request: HttpRequest,
    form: Form<SignOutForm>,
    staff: Data<Staff>,
    config: Data<Config>,
) -> HttpResponse {
    let place = Place::of(&request, &staff, &config);
    if let Err(failure) = guard::acting(&request, &staff, &config, Some(&form.csrf)).await
        && !failure.is_signed_out()
    {
        return failure.response();
    }
    if let Some(token) = guard::token(&request)
        && let Err(error) = staff.sign_out(&token).await
    {
        return guard::broken(&request, &error).response();
    }
    let mut response = place.to_sign_in();
    let mut over = cookie(&config, SESSION_COOKIE, String::new());
    over.make_removal();
    set_cookie(&mut response, over);
    response
}

/// Somebody who may take the second step, or set one up.
struct Asker {
    token: Secret,
    half: Half,
    /// A code is wanted; else a phone is to be set up.
    has_factor: bool,
}

/// Where a request came in.
struct Place<'a> {
    request: &'a HttpRequest,
    staff: &'a Staff,
    config: &'a Config,
    language: Language,
}

impl<'a> Place<'a> {
    fn of(request: &'a HttpRequest, staff: &'a Staff, config: &'a Config) -> Self {
        Self { request, staff, config, language: Language::of(request) }
    }

    async fn standing(&self) -> Result<Option<Standing>, DeskFailure> {
        let Some(token) = guard::token(self.request) else { return Ok(None) };
        self.staff.standing(&token).await.map_err(|error| guard::broken(self.request, &error))
    }

    async fn asker(&self) -> Result<Option<Asker>, DeskFailure> {
        let Some(token) = guard::token(self.request) else { return Ok(None) };
        Ok(match self.standing().await? {
            None => None,
            Some(Standing::CodeWanted(half)) => Some(Asker { token, half, has_factor: true }),
            Some(Standing::SetUpWanted(half)) => Some(Asker { token, half, has_factor: false }),
            Some(Standing::In(session)) => {
                let half = Half { name: session.name, csrf: session.csrf };
                Some(Asker { token, half, has_factor: false })
            }
        })
    }

    fn door(&self, status: StatusCode, trouble: Option<String>, name: &str) -> HttpResponse {
        let (base, words) = (base(self.config), self.language.words());
        let by_bank = self.staff.sign_on().map(|bank| words.sign_in_by_bank.replace("{}", bank.label()));
        let page = SignInPage { base: &base, words, trouble, name, by_bank };
        html(status, page.render(), self.language)
    }

    async fn second_step_page(
        &self,
        asker: &Asker,
        status: StatusCode,
        trouble: Option<String>,
    ) -> HttpResponse {
        let (mut status, mut trouble) = (status, trouble);
        let set_up = match asker.has_factor {
            true => None,
            false => match self.staff.set_up(&asker.token).await {
                Ok(set_up) => {
                    drawn(set_up.uri.reveal()).map(|picture| Offer { picture, typed: set_up.typed })
                }
                Err(error) => {
                    let (why, sentence) = words::second_step_trouble(self.language, &error);
                    (status, trouble) = (why, Some(sentence));
                    None
                }
            },
        };
        let base = base(self.config);
        let page = SecondStepPage {
            base: &base,
            words: self.language.words(),
            trouble,
            name: &asker.half.name,
            csrf: asker.half.csrf.reveal(),
            asks: asker.has_factor || set_up.is_some(),
            set_up,
        };
        html(status, page.render(), self.language)
    }

    /// On with the session that this token is of.
    async fn signed_in(&self, token: &Secret) -> HttpResponse {
        let whole = match self.staff.session(token, Activity::Page).await {
            Ok(session) => session.is_some(),
            Err(error) => return guard::broken(self.request, &error).response(),
        };
        let mut response = if whole { see_other(&base(self.config)) } else { self.to_second_step() };
        set_cookie(&mut response, cookie(self.config, SESSION_COOKIE, token.reveal().to_owned()));
        response
    }

    fn not_brought(&self, error: &SignOnError) -> HttpResponse {
        match error {
            SignOnError::Provider(_) | SignOnError::Token(_) | SignOnError::Store(_) => tracing::error!(
                %error,
                retry = "when the person does",
                "the bank's own sign-in brought nobody: compare staff.oidc with what the provider says of us"
            ),
            _ => tracing::info!(%error, "the bank's own sign-in brought nobody"),
        }
        let (status, trouble) = words::sign_on_trouble(self.language, error);
        self.door(status, Some(trouble), "")
    }

    fn to_sign_in(&self) -> HttpResponse {
        see_other(&format!("{}/sign-in", base(self.config)))
    }

    fn to_second_step(&self) -> HttpResponse {
        see_other(&format!("{}/second-step", base(self.config)))
    }
}

fn drawn(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).build().ok()?;
    Some(SvgBuilder::default().to_str(&code))
}

fn cookie(config: &Config, name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build(name, value)
        .path(base(config))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(config.server.public_url.scheme() == "https")
        .finish()
}
