//! The menu file: read with the line of each fault, and written from what the platform has.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use toml::Spanned;

use super::{
    Action, BUTTONS_MAX, Button, CONDITIONAL_HOSTS_MAX, Conditional, FIELDS, KEY_BYTES_MAX, KEY_KINDS, Menu,
    NAME_BYTES_MAX, RULES, SUB_BUTTONS_MAX, SUB_NAME_BYTES_MAX, URL_BYTES_MAX, conditional_newest_first,
    number_or_text,
};

/// What is wrong with a menu file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct NotAMenu {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    button: Spanned<Vec<Entry>>,
    #[serde(default)]
    conditionalmenu: Vec<Spanned<Personalised>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Personalised {
    matchrule: Spanned<Rule>,
    button: Spanned<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    tag_id: Option<String>,
    client_platform_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    key: Option<String>,
    url: Option<String>,
    appid: Option<String>,
    pagepath: Option<String>,
    media_id: Option<String>,
    article_id: Option<String>,
    #[serde(default)]
    sub_button: Vec<Entry>,
}

impl Menu {
    /// Reads and checks a menu file.
    ///
    /// # Errors
    /// The first fault, with its line.
    pub fn from_toml(text: &str) -> Result<Self, NotAMenu> {
        let file: File = toml::from_str(text).map_err(|error| NotAMenu {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            fault: error.message().to_owned(),
        })?;
        let fault = |(at, fault): (usize, String)| NotAMenu { line: line_of(text, at), fault };
        let buttons = buttons(file.button, "the menu").map_err(fault)?;
        let conditional = file.conditionalmenu.into_iter().map(conditional);
        let conditional = conditional.collect::<Result<Vec<_>, _>>().map_err(fault)?;
        let hosts = hosts(&conditional);
        if hosts.len() > CONDITIONAL_HOSTS_MAX {
            let count = hosts.len();
            let told = format!(
                "all personalised menus together lead to {count} hosts; {CONDITIONAL_HOSTS_MAX} are allowed"
            );
            return Err(fault((text.rfind("[[conditionalmenu]]").unwrap_or_default(), told)));
        }
        Ok(Self { buttons, conditional })
    }

    /// The file that means what an answer of `menu/get` says.
    ///
    /// # Errors
    /// When the platform has something that a file cannot say, and so could not be given back.
    pub fn toml_of(answer: &Value) -> Result<String, NotAMenu> {
        let mut text = String::new();
        write_buttons(&mut text, answer["menu"].get("button"), "button");
        for menu in conditional_newest_first(answer) {
            let rules = RULES.iter().filter_map(|name| {
                Some(format!("{name} = {}", quoted(&number_or_text(menu["matchrule"].get(*name)?)?)))
            });
            let rules: Vec<String> = rules.collect();
            let _ = writeln!(text, "[[conditionalmenu]]\nmatchrule = {{ {} }}\n", rules.join(", "));
            write_buttons(&mut text, menu.get("button"), "conditionalmenu.button");
        }
        let text = format!("{}\n", text.trim_end());
        Self::from_toml(&text).map(|_| text)
    }
}

/// Writing to a `String` cannot fail, so results are dropped.
fn write_buttons(text: &mut String, buttons: Option<&Value>, table: &str) {
    for button in buttons.and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(text, "[[{table}]]");
        for field in ["name"].iter().chain(&FIELDS) {
            if let Some(value) = button.get(field).and_then(Value::as_str).filter(|value| !value.is_empty()) {
                let _ = writeln!(text, "{field} = {}", quoted(value));
            }
        }
        text.push('\n');
        write_buttons(text, button.get("sub_button"), &format!("{table}.sub_button"));
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn buttons(entries: Spanned<Vec<Entry>>, whose: &str) -> Result<Vec<Button>, (usize, String)> {
    let start = entries.span().start;
    let entries = entries.into_inner();
    check_count(entries.len(), BUTTONS_MAX, whose).map_err(|text| (start, text))?;
    let buttons = entries.into_iter().map(|entry| {
        let at = entry.name.span().start;
        button(entry, NAME_BYTES_MAX, true).map_err(|(inner, text)| (inner.unwrap_or(at), text))
    });
    buttons.collect()
}

fn conditional(read: Spanned<Personalised>) -> Result<Conditional, (usize, String)> {
    let Personalised { matchrule, button } = read.into_inner();
    let at = matchrule.span().start;
    let Rule { tag_id, client_platform_type } = matchrule.into_inner();
    if tag_id.is_none() && client_platform_type.is_none() {
        return Err((
            at,
            "matchrule needs tag_id or client_platform_type; WeChat knows no other rule".to_owned(),
        ));
    }
    if client_platform_type.as_ref().is_some_and(|kind| !matches!(kind.as_str(), "1" | "2" | "3")) {
        return Err((at, "client_platform_type is 1 (iOS), 2 (Android) or 3 (other)".to_owned()));
    }
    Ok(Conditional { buttons: buttons(button, "the personalised menu")?, tag_id, client_platform_type })
}

/// Where personalised menus lead to.
fn hosts(menus: &[Conditional]) -> BTreeSet<String> {
    fn addresses<'a>(buttons: &'a [Button], found: &mut Vec<&'a str>) {
        for button in buttons {
            match &button.action {
                Action::Parent(below) => addresses(below, found),
                Action::View { url } | Action::MiniProgram { url, .. } => found.push(url),
                _ => {}
            }
        }
    }
    let mut found = vec![];
    menus.iter().for_each(|menu| addresses(&menu.buttons, &mut found));
    let host = |address: &&str| url::Url::parse(address).ok()?.host_str().map(str::to_owned);
    found.iter().filter_map(host).collect()
}

/// Where in the file (if not at the button's own name), and what is wrong.
type Fault = (Option<usize>, String);

fn button(entry: Entry, name_bytes_max: usize, may_be_parent: bool) -> Result<Button, Fault> {
    let here = |text: String| (None, text);
    let name = entry.name.get_ref().clone();
    if name.trim().is_empty() {
        return Err(here("a button needs a name".to_owned()));
    }
    check_bytes(&name, name_bytes_max, &format!("the name {name}")).map_err(here)?;
    if entry.sub_button.is_empty() {
        let action = action(entry, &name).map_err(here)?;
        return Ok(Button { name, action });
    }
    let own = [&entry.kind, &entry.key, &entry.url, &entry.appid, &entry.pagepath, &entry.media_id];
    if own.iter().any(|field| field.is_some()) || entry.article_id.is_some() {
        return Err(here(format!("the button {name} has sub-buttons: besides them only a name")));
    }
    if !may_be_parent {
        return Err(here(format!("the button {name} is a sub-button and cannot have its own")));
    }
    check_count(entry.sub_button.len(), SUB_BUTTONS_MAX, &format!("the button {name}")).map_err(here)?;
    let below = entry.sub_button.into_iter().map(|entry| {
        let at = entry.name.span().start;
        button(entry, SUB_NAME_BYTES_MAX, false).map_err(|(inner, text)| (inner.or(Some(at)), text))
    });
    Ok(Button { name, action: Action::Parent(below.collect::<Result<_, _>>()?) })
}

fn action(entry: Entry, name: &str) -> Result<Action, String> {
    let kind =
        entry.kind.as_deref().ok_or_else(|| format!("the button {name} needs a type or sub-buttons"))?;
    let mut given = vec![
        ("key", entry.key, KEY_BYTES_MAX),
        ("url", entry.url, URL_BYTES_MAX),
        ("appid", entry.appid, KEY_BYTES_MAX),
        ("pagepath", entry.pagepath, URL_BYTES_MAX),
        ("media_id", entry.media_id, KEY_BYTES_MAX),
        ("article_id", entry.article_id, KEY_BYTES_MAX),
    ];
    let mut take = |wanted: &str| {
        let position = given.iter().position(|(field, _, _)| *field == wanted).unwrap_or_default();
        let (_, value, bytes_max) = given.remove(position);
        let value = value.filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| format!("the button {name} of type {kind} needs {wanted}"))?;
        check_bytes(&value, bytes_max, &format!("{wanted} of the button {name}"))?;
        let is_web = |address: &str| {
            url::Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if wanted == "url" && !is_web(&value) {
            return Err(format!("url of the button {name} must be an http or https address"));
        }
        Ok::<_, String>(value)
    };
    let action = match kind {
        "view" => Action::View { url: take("url")? },
        "miniprogram" => {
            Action::MiniProgram { url: take("url")?, app_id: take("appid")?, page_path: take("pagepath")? }
        }
        "media_id" => Action::Media { media_id: take("media_id")? },
        "article_id" => Action::Article { opens: false, article_id: take("article_id")? },
        "article_view_limited" => Action::Article { opens: true, article_id: take("article_id")? },
        other => match KEY_KINDS.iter().find(|(name, _)| *name == other) {
            Some((_, kind)) => Action::Key { kind: *kind, key: take("key")? },
            None => return Err(format!("the button {name} has the unknown type {other}")),
        },
    };
    if let Some((field, _, _)) = given.iter().find(|(_, value, _)| value.is_some()) {
        return Err(format!("the button {name} of type {kind} has no {field}"));
    }
    Ok(action)
}

fn check_count(count: usize, count_max: usize, whose: &str) -> Result<(), String> {
    if (1..=count_max).contains(&count) {
        return Ok(());
    }
    Err(format!("{whose} has {count} buttons; 1 to {count_max} are allowed"))
}

fn check_bytes(text: &str, bytes_max: usize, what: &str) -> Result<(), String> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    Err(format!("{what} has {} bytes of UTF-8; {bytes_max} are allowed", text.len()))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
