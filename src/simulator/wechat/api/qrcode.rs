//! Parametric QR codes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use fast_qr::QRBuilder;
use fast_qr::convert::svg::SvgBuilder;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::platform::Platform;
use super::{Answer, Answered, Call, Refused};
use crate::domain::time::UnixMs;

const CODES_MAX: usize = 100_000;
const EXPIRE_SECONDS_DEFAULT: u64 = 60;
const EXPIRE_SECONDS_MAX: u64 = 2_592_000;
const ADDRESS: &str = "http://weixin.qq.com/q/";

/// One code.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Code {
    /// What it carries.
    pub(crate) scene: String,
    until: Option<UnixMs>,
}

/// The codes of one account, by ticket.
#[derive(Default)]
pub(crate) struct Codes {
    by_ticket: HashMap<String, Code>,
    order: VecDeque<String>,
}

/// A code as the control API lists it.
#[derive(Serialize)]
pub(crate) struct CodeView {
    ticket: String,
    scene: String,
    url: String,
}

impl Codes {
    /// Makes a code. Beyond the bound the oldest one goes.
    pub(crate) fn add(&mut self, platform: &Platform, scene: String, until: Option<UnixMs>) -> String {
        if self.order.len() >= CODES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_ticket.remove(&oldest);
        }
        let ticket = format!("gQ{}", platform.random_text::<30>());
        self.by_ticket.insert(ticket.clone(), Code { scene, until });
        self.order.push_back(ticket.clone());
        ticket
    }

    fn lasting(&self) -> usize {
        self.by_ticket.values().filter(|code| code.until.is_none()).count()
    }

    /// The code of a ticket, unless it is over.
    pub(crate) fn scan(&self, ticket: &str, now: UnixMs) -> Option<Code> {
        self.by_ticket.get(ticket).filter(|code| code.until.is_none_or(|until| now < until)).cloned()
    }

    /// The ticket that an address inside a code stands for.
    pub(crate) fn ticket_of(&self, url: &str) -> Option<String> {
        let ticket = url.strip_prefix(ADDRESS)?;
        self.by_ticket.contains_key(ticket).then(|| ticket.to_owned())
    }

    /// The place of a ticket in order of making, from 1: how a recording names it.
    pub(crate) fn number(&self, ticket: &str) -> Option<usize> {
        self.order.iter().position(|known| known == ticket).map(|at| at + 1)
    }

    /// The ticket at that place.
    pub(crate) fn numbered(&self, number: usize) -> Option<&str> {
        self.order.get(number.checked_sub(1)?).map(String::as_str)
    }

    /// The newest codes that are not over.
    pub(crate) fn newest(&self, codes_max: usize, now: UnixMs) -> Vec<CodeView> {
        let view = |ticket: &String| {
            let code = self.scan(ticket, now)?;
            Some(CodeView { ticket: ticket.clone(), scene: code.scene, url: format!("{ADDRESS}{ticket}") })
        };
        self.order.iter().rev().filter_map(view).take(codes_max).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    expire_seconds: Option<u64>,
    #[serde(default)]
    action_name: String,
    action_info: Option<ActionInfo>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionInfo {
    scene: Scene,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scene {
    scene_id: Option<u64>,
    scene_str: Option<String>,
}

/// `POST /cgi-bin/qrcode/create`
pub(crate) fn create(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: CreateRequest = call.json()?;
    let bad_scene = || Refused::new(40053, "invalid action info");
    let scene = request.action_info.ok_or_else(bad_scene)?.scene;
    if scene.scene_id.is_some() && scene.scene_str.is_some() {
        return Err(bad_scene());
    }
    let number = |largest: u64| match scene.scene_id {
        Some(id) if (1..=largest).contains(&id) => Ok(id.to_string()),
        _ => Err(bad_scene()),
    };
    let words = || match &scene.scene_str {
        Some(words) if (1..=64).contains(&words.chars().count()) => Ok(words.clone()),
        _ => Err(bad_scene()),
    };
    let (scene, lasting) = match request.action_name.as_str() {
        "QR_SCENE" => (number(u64::from(u32::MAX))?, false),
        "QR_STR_SCENE" => (words()?, false),
        "QR_LIMIT_SCENE" => (number(100_000)?, true),
        "QR_LIMIT_STR_SCENE" => (words()?, true),
        _ => return Err(Refused::new(40052, "invalid action name")),
    };
    let seconds = request.expire_seconds.unwrap_or(EXPIRE_SECONDS_DEFAULT);
    let fits =
        if lasting { request.expire_seconds.is_none() } else { (1..=EXPIRE_SECONDS_MAX).contains(&seconds) };
    if !fits {
        return Err(Refused::new(40035, "invalid parameter: expire_seconds"));
    }
    let until = (!lasting).then(|| platform.now() + Duration::from_secs(seconds));
    let mut state = platform.state();
    let codes = &mut state.accounts[account].codes;
    if lasting && codes.lasting() >= CODES_MAX {
        return Err(Refused::new(45029, "permanent qrcode count out of limit"));
    }
    let ticket = codes.add(platform, scene, until);
    let mut body = json!({ "ticket": ticket, "url": format!("{ADDRESS}{ticket}") });
    if !lasting {
        body["expire_seconds"] = json!(seconds);
    }
    Ok(Answer::Json(body))
}

#[derive(Deserialize)]
pub(crate) struct ShowQuery {
    #[serde(default)]
    ticket: String,
}

/// `GET /cgi-bin/showqrcode`: needs no token, as on mp.weixin.qq.com.
pub(crate) async fn show(platform: web::Data<Platform>, query: web::Query<ShowQuery>) -> HttpResponse {
    let now = platform.now();
    let known =
        platform.state().accounts.iter().any(|account| account.codes.scan(&query.ticket, now).is_some());
    let drawn = QRBuilder::new(format!("{ADDRESS}{}", query.ticket)).build();
    match drawn {
        Ok(code) if known => HttpResponse::Ok()
            .content_type("image/svg+xml")
            .insert_header(("content-security-policy", "default-src 'none'"))
            .body(SvgBuilder::default().to_str(&code)),
        _ => HttpResponse::NotFound().finish(),
    }
}
