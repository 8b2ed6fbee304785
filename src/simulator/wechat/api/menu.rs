//! The custom menu: the default one, and personalised ones (个性化菜单) that match a follower by tag or client.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::platform::{Follower, Platform, State};
use super::{Answer, Answered, Call, Refused, ok};

const BUTTONS_MAX: usize = 3;
const SUB_BUTTONS_MAX: usize = 5;
const NAME_BYTES_MAX: usize = 16;
const SUB_NAME_BYTES_MAX: usize = 60;
const KEY_BYTES_MAX: usize = 128;
const URL_BYTES_MAX: usize = 1024;
const CONDITIONAL_MAX: usize = 200;
/// All personalised menus together may lead to so many hosts.
const DOMAINS_MAX: usize = 3;
const BUTTON_FIELDS: [&str; 9] =
    ["type", "name", "key", "url", "media_id", "appid", "pagepath", "article_id", "sub_button"];

/// The menus of one account.
#[derive(Default)]
pub(crate) struct Menu {
    default: Option<Value>,
    created: u64,
    /// Oldest first; the newest that matches wins.
    conditional: Vec<Conditional>,
}

struct Conditional {
    id: u64,
    rule: Rule,
    buttons: Value,
}

/// Whom a personalised menu is for. The document types both as text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    tag_id: String,
    #[serde(default)]
    client_platform_type: String,
}

impl Rule {
    fn matches(&self, follower: &Follower) -> bool {
        // Of several tags the one that was put on last decides.
        let tag = follower.tags.last().map(ToString::to_string);
        let tagged = self.tag_id.is_empty() || tag.as_ref() == Some(&self.tag_id);
        let client = follower.client.to_string();
        tagged && (self.client_platform_type.is_empty() || self.client_platform_type == client)
    }
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
    /// Its media, of a `media_id`.
    pub(crate) media_id: String,
    /// Its article, of an `article_id`.
    pub(crate) article_id: String,
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
    /// The default menu's buttons as they were created; `None` without a menu.
    pub(crate) fn default_buttons(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// The buttons that a follower sees, and the id of their menu.
    pub(crate) fn of(&self, follower: &Follower) -> Option<(&Value, u64)> {
        let default = self.default.as_ref()?;
        let own = self.conditional.iter().rev().find(|menu| menu.rule.matches(follower));
        Some(own.map_or((default, self.default_id()), |menu| (&menu.buttons, menu.id)))
    }

    fn default_id(&self) -> u64 {
        430_000 + self.created
    }
}

/// The button at a place: `[1]` or `[1, 0]`.
pub(crate) fn button_at(buttons: &Value, path: &[usize]) -> Option<Button> {
    let button = match path {
        [top] => buttons.get(top)?,
        [top, sub] => buttons.get(top)?.get("sub_button")?.get(sub)?,
        _ => return None,
    };
    button.get("type").is_some().then(|| read(button))
}

/// The first button with a key.
pub(crate) fn button_with_key(buttons: &Value, key: &str) -> Option<Button> {
    let tops = buttons.as_array()?;
    let subs = tops.iter().filter_map(|top| top["sub_button"].as_array()).flatten();
    tops.iter().chain(subs).find(|button| button["key"] == key).map(read)
}

fn read(button: &Value) -> Button {
    let field = |name: &str| button[name].as_str().unwrap_or_default().to_owned();
    Button {
        kind: field("type"),
        name: field("name"),
        url: field("url"),
        media_id: field("media_id"),
        article_id: field("article_id"),
        key: field("key"),
        pagepath: field("pagepath"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    button: Vec<Value>,
}

/// `POST /cgi-bin/menu/create`
pub(crate) fn create(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let CreateRequest { button } = call.json()?;
    let mut state = platform.state();
    check(&state, account, call, &button, platform.now())?;
    let menu = &mut state.accounts[account].menu;
    menu.default = Some(Value::Array(button));
    menu.created += 1;
    state.touch_all(account);
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionalRequest {
    button: Vec<Value>,
    matchrule: serde_json::Map<String, Value>,
}

/// `POST /cgi-bin/menu/addconditional`
pub(crate) fn add_conditional(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let ConditionalRequest { button, matchrule } = call.json()?;
    if ["sex", "country", "province", "city", "language", "group_id"]
        .iter()
        .any(|key| matchrule.contains_key(*key))
    {
        return Err(Refused::new(65320, "privacy or retired match key"));
    }
    let rule: Rule = serde_json::from_value(Value::Object(matchrule))
        .map_err(|error| Refused::new(47001, format!("data format error hint: [matchrule: {error}]")))?;
    if rule.tag_id.is_empty() && rule.client_platform_type.is_empty() {
        return Err(Refused::new(65304, "match rule empty"));
    }
    if !matches!(rule.client_platform_type.as_str(), "" | "1" | "2" | "3") {
        return Err(Refused::new(40035, "invalid parameter: client_platform_type"));
    }
    let mut state = platform.state();
    check(&state, account, call, &button, platform.now())?;
    let account_state = &state.accounts[account];
    if account_state.menu.default.is_none() {
        return Err(Refused::new(65303, "there is no selfmenu, please create selfmenu first"));
    }
    if !rule.tag_id.is_empty() && !account_state.tags.has_text(&rule.tag_id) {
        return Err(Refused::new(40152, "invalid tag id"));
    }
    let menu = &mut state.accounts[account].menu;
    if menu.conditional.len() >= CONDITIONAL_MAX {
        return Err(Refused::new(65305, "conditional menu reach limit"));
    }
    let buttons = Value::Array(button);
    let all = menu.conditional.iter().map(|menu| &menu.buttons).chain([&buttons]);
    if all.flat_map(hosts).collect::<BTreeSet<_>>().len() > DOMAINS_MAX {
        return Err(Refused::new(65316, "too many domains in conditional menus"));
    }
    menu.created += 1;
    let id = menu.default_id();
    menu.conditional.push(Conditional { id, rule, buttons });
    state.touch_all(account);
    Ok(Answer::Json(json!({ "menuid": id.to_string() })))
}

fn hosts(buttons: &Value) -> Vec<String> {
    let tops = buttons.as_array().map(Vec::as_slice).unwrap_or_default();
    let subs = tops.iter().filter_map(|top| top["sub_button"].as_array()).flatten();
    let host = |button: &Value| url::Url::parse(button["url"].as_str()?).ok()?.host_str().map(str::to_owned);
    tops.iter().chain(subs).filter_map(host).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteRequest {
    menuid: String,
}

/// `POST /cgi-bin/menu/delconditional`
pub(crate) fn delete_conditional(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let DeleteRequest { menuid } = call.json()?;
    let mut state = platform.state();
    let menus = &mut state.accounts[account].menu.conditional;
    let before = menus.len();
    menus.retain(|menu| menu.id.to_string() != menuid);
    if menus.len() == before {
        return Err(Refused::new(65301, "invalid menuid"));
    }
    state.touch_all(account);
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchRequest {
    user_id: String,
}

/// `POST /cgi-bin/menu/trymatch`; `user_id` is an openid here, WeChat ids do not exist.
pub(crate) fn try_match(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let MatchRequest { user_id } = call.json()?;
    let state = platform.state();
    let account = &state.accounts[account];
    let follower = account.followers.get(&user_id).filter(|follower| follower.following);
    let follower = follower.ok_or_else(|| Refused::new(65302, "no such user"))?;
    let (buttons, _) = account.menu.of(follower).ok_or_else(|| Refused::new(46003, "menu no exist"))?;
    Ok(Answer::Json(json!({ "button": complete(buttons) })))
}

fn check(
    state: &State,
    account: usize,
    call: &Call,
    buttons: &[Value],
    now: crate::domain::time::UnixMs,
) -> Result<(), Refused> {
    if String::from_utf8_lossy(&call.body).contains("\\u") {
        return Err(Refused::new(40033, "invalid charset. please check your request, if include \\uxxxx"));
    }
    if !(1..=BUTTONS_MAX).contains(&buttons.len()) {
        return Err(Refused::new(40016, "invalid button size"));
    }
    for button in buttons {
        check_top(button)?;
    }
    let media = &state.accounts[account].media;
    let subs = buttons.iter().filter_map(|top| top["sub_button"].as_array()).flatten();
    for button in buttons.iter().chain(subs).filter(|button| button["type"] == "media_id") {
        let file = button["media_id"].as_str().and_then(|id| media.get(id, now));
        if !file.is_some_and(|file| file.until.is_none() && file.kind != "thumb") {
            return Err(Refused::media());
        }
    }
    Ok(())
}

fn check_top(button: &Value) -> Result<(), Refused> {
    check_fields(button)?;
    check_name(button, NAME_BYTES_MAX, Refused::new(40018, "invalid button name size"))?;
    let subs = button["sub_button"].as_array().map(Vec::as_slice).unwrap_or_default();
    if subs.is_empty() {
        return check_action(button, 40017);
    }
    if button.get("type").is_some() {
        return Err(Refused::new(40017, "invalid button type: a parent has none"));
    }
    if subs.len() > SUB_BUTTONS_MAX {
        return Err(Refused::new(40023, "invalid sub button size"));
    }
    for sub in subs {
        check_fields(sub)?;
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

/// Each field is known, and of the kind that the document says.
fn check_fields(button: &Value) -> Result<(), Refused> {
    let wrong = |name: &str| Refused::new(47001, format!("data format error hint: [button.{name}]"));
    for (name, value) in button.as_object().ok_or_else(|| wrong(""))? {
        let fits = if name == "sub_button" { value.is_array() } else { value.is_string() };
        if !fits || !BUTTON_FIELDS.contains(&name.as_str()) {
            return Err(wrong(name));
        }
    }
    Ok(())
}

/// `GET /cgi-bin/menu/get`
pub(crate) fn get(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let menu = &state.accounts[account].menu;
    let Some(buttons) = &menu.default else { return Err(Refused::new(46003, "menu no exist")) };
    let mut body = json!({ "menu": { "button": complete(buttons), "menuid": menu.default_id() } });
    let conditional: Vec<Value> = menu
        .conditional
        .iter()
        .rev()
        .map(|menu| {
            let mut rule = json!({});
            let keys =
                [("tag_id", &menu.rule.tag_id), ("client_platform_type", &menu.rule.client_platform_type)];
            for (key, value) in keys {
                if !value.is_empty() {
                    rule[key] = json!(value);
                }
            }
            json!({ "button": complete(&menu.buttons), "matchrule": rule, "menuid": menu.id })
        })
        .collect();
    if !conditional.is_empty() {
        body["conditionalmenu"] = Value::Array(conditional);
    }
    Ok(Answer::Json(body))
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

/// `GET /cgi-bin/menu/delete`: the default menu and every personalised one.
pub(crate) fn delete(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let mut state = platform.state();
    let menu = &mut state.accounts[account].menu;
    menu.default = None;
    menu.conditional.clear();
    state.touch_all(account);
    ok()
}

/// `GET /cgi-bin/get_current_selfmenu_info`
pub(crate) fn current(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let Some(buttons) = state.accounts[account].menu.default.as_ref().and_then(Value::as_array) else {
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
