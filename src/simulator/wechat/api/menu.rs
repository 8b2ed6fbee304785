//! The custom menu.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::platform::Platform;
use super::{Answer, Answered, Call, Refused, ok};

const BUTTONS_MAX: usize = 3;
const SUB_BUTTONS_MAX: usize = 5;
const NAME_BYTES_MAX: usize = 16;
const SUB_NAME_BYTES_MAX: usize = 60;
const KEY_BYTES_MAX: usize = 128;
const URL_BYTES_MAX: usize = 1024;

/// The menu of one account.
#[derive(Default)]
pub(crate) struct Menu {
    buttons: Option<Value>,
    created: u64,
}

/// A button that can be tapped.
#[derive(Clone, Debug)]
pub(crate) struct Button {
    /// `click`, `view` …
    pub(crate) kind: String,
    /// Its label.
    pub(crate) name: String,
    /// Its address, of a `view`.
    pub(crate) url: String,
    key: String,
    pagepath: String,
}

impl Button {
    /// What stands in `EventKey`.
    pub(crate) fn target(&self) -> &str {
        match self.kind.as_str() {
            "view" => &self.url,
            "miniprogram" => &self.pagepath,
            _ => &self.key,
        }
    }
}

impl Menu {
    /// The buttons as they were created; `None` without a menu.
    pub(crate) fn buttons(&self) -> Option<&Value> {
        self.buttons.as_ref()
    }

    /// Id of the menu.
    pub(crate) fn id(&self) -> u64 {
        430_000 + self.created
    }

    /// The button at a place: `[1]` or `[1, 0]`.
    pub(crate) fn at(&self, path: &[usize]) -> Option<Button> {
        let buttons = self.buttons.as_ref()?;
        let button = match path {
            [top] => buttons.get(top)?,
            [top, sub] => buttons.get(top)?.get("sub_button")?.get(sub)?,
            _ => return None,
        };
        button.get("type").is_some().then(|| read(button))
    }

    /// The first button with a key.
    pub(crate) fn with_key(&self, key: &str) -> Option<Button> {
        let tops = self.buttons.as_ref()?.as_array()?;
        let subs = tops.iter().filter_map(|top| top["sub_button"].as_array()).flatten();
        tops.iter().chain(subs).find(|button| button["key"] == key).map(read)
    }
}

fn read(button: &Value) -> Button {
    let field = |name: &str| button[name].as_str().unwrap_or_default().to_owned();
    Button {
        kind: field("type"),
        name: field("name"),
        url: field("url"),
        key: field("key"),
        pagepath: field("pagepath"),
    }
}

/// `POST /cgi-bin/menu/create`
pub(crate) fn create(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let body: Value = call.json()?;
    if String::from_utf8_lossy(&call.body).contains("\\u") {
        return Err(Refused::new(40033, "invalid charset. please check your request, if include \\uxxxx"));
    }
    let buttons = body["button"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !(1..=BUTTONS_MAX).contains(&buttons.len()) {
        return Err(Refused::new(40016, "invalid button size"));
    }
    for button in buttons {
        check_top(button)?;
    }
    let mut state = platform.state();
    let menu = &mut state.accounts[account].menu;
    menu.buttons = Some(body["button"].clone());
    menu.created += 1;
    state.touch_all(account);
    ok()
}

fn check_top(button: &Value) -> Result<(), Refused> {
    check_name(button, NAME_BYTES_MAX, Refused::new(40018, "invalid button name size"))?;
    let subs = button["sub_button"].as_array().map(Vec::as_slice).unwrap_or_default();
    if subs.is_empty() {
        return check_action(button, 40017);
    }
    if subs.len() > SUB_BUTTONS_MAX {
        return Err(Refused::new(40023, "invalid sub button size"));
    }
    for sub in subs {
        if sub.get("sub_button").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
            return Err(Refused::new(40022, "invalid sub button level"));
        }
        check_name(sub, SUB_NAME_BYTES_MAX, Refused::new(40025, "invalid sub button name size"))?;
        check_action(sub, 40024)?;
    }
    Ok(())
}

fn check_name(button: &Value, bytes_max: usize, refused: Refused) -> Result<(), Refused> {
    let length = button["name"].as_str().map_or(0, str::len);
    if (1..=bytes_max).contains(&length) { Ok(()) } else { Err(refused) }
}

fn check_action(button: &Value, bad_type: i64) -> Result<(), Refused> {
    let length = |name: &str| button[name].as_str().map_or(0, str::len);
    let fits = |name: &str, bytes_max: usize, code: i64| {
        if (1..=bytes_max).contains(&length(name)) {
            Ok(())
        } else {
            Err(Refused::new(code, format!("invalid button {name} size")))
        }
    };
    match button["type"].as_str().unwrap_or_default() {
        "click" | "scancode_push" | "scancode_waitmsg" | "pic_sysphoto" | "pic_photo_or_album"
        | "pic_weixin" | "location_select" => fits("key", KEY_BYTES_MAX, 40019),
        "view" => {
            fits("url", URL_BYTES_MAX, 40020)?;
            let url = button["url"].as_str().unwrap_or_default();
            let web = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if web { Ok(()) } else { Err(Refused::new(40054, "invalid sub button url domain")) }
        }
        "miniprogram" => {
            fits("url", URL_BYTES_MAX, 40020)?;
            fits("appid", 64, 40013)?;
            fits("pagepath", URL_BYTES_MAX, 40035)
        }
        "media_id" => fits("media_id", 128, 40007),
        "article_id" | "article_view_limited" => fits("article_id", 128, 40035),
        _ => Err(Refused::new(bad_type, "invalid button type")),
    }
}

/// `GET /cgi-bin/menu/get`
pub(crate) fn get(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    call.require_get()?;
    let state = platform.state();
    let menu = &state.accounts[account].menu;
    match &menu.buttons {
        Some(buttons) => {
            Ok(Answer::Json(json!({ "menu": { "button": complete(buttons), "menuid": menu.id() } })))
        }
        None => Err(Refused::new(46003, "menu no exist")),
    }
}

/// The platform gives each button a `sub_button`, if only an empty one.
fn complete(buttons: &Value) -> Value {
    let mut buttons = buttons.clone();
    let tops = buttons.as_array_mut().into_iter().flatten();
    for top in tops {
        if let Some(top) = top.as_object_mut() {
            let subs = top.entry("sub_button").or_insert_with(|| json!([]));
            for sub in subs.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                sub.entry("sub_button").or_insert_with(|| json!([]));
            }
        }
    }
    buttons
}

/// `GET /cgi-bin/menu/delete`
pub(crate) fn delete(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    call.require_get()?;
    let mut state = platform.state();
    state.accounts[account].menu.buttons = None;
    state.touch_all(account);
    ok()
}

/// `GET /cgi-bin/get_current_selfmenu_info`
pub(crate) fn current(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    call.require_get()?;
    let state = platform.state();
    let Some(buttons) = state.accounts[account].menu.buttons.as_ref().and_then(Value::as_array) else {
        return Ok(Answer::Json(json!({ "is_menu_open": 0, "selfmenu_info": {} })));
    };
    let listed: Vec<Value> = buttons
        .iter()
        .map(|button| match button["sub_button"].as_array() {
            Some(subs) if !subs.is_empty() => {
                json!({ "name": button["name"], "sub_button": { "list": subs } })
            }
            _ => button.clone(),
        })
        .collect();
    Ok(Answer::Json(json!({ "is_menu_open": 1, "selfmenu_info": { "button": listed } })))
}
