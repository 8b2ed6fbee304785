//! An account's custom menu: read from a TOML file, checked against the platform's limits, written as the JSON that
//! `menu/create` takes. The file has the platform's own words:
//!
//! ```toml
//! [[button]]
//! name = "查账单"
//!
//! [[button.sub_button]]
//! type = "click"
//! name = "本期账单"
//! key = "bill_current"
//! ```

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;
use toml::Spanned;

/// Most buttons side by side.
pub const BUTTONS_MAX: usize = 3;
/// Most buttons above one of them.
pub const SUB_BUTTONS_MAX: usize = 5;
/// Longest name of a bottom button, in bytes of UTF-8 (5 Chinese characters, of which 4 are shown).
pub const NAME_BYTES_MAX: usize = 16;
/// Longest name of a sub-button, in bytes of UTF-8.
pub const SUB_NAME_BYTES_MAX: usize = 60;
/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Longest address, in bytes.
pub const URL_BYTES_MAX: usize = 1024;

/// A menu that the platform will take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu(Vec<Button>);

/// One button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// What it says.
    pub name: String,
    /// What it does.
    pub action: Action,
}

/// What a button does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Opens its own buttons.
    Parent(Vec<Button>),
    /// Sends an event with this key.
    Key {
        /// Which kind of event.
        kind: KeyKind,
        /// The `EventKey`.
        key: String,
    },
    /// Opens a page.
    View {
        /// Which.
        url: String,
    },
    /// Opens a mini-program.
    MiniProgram {
        /// Where clients too old for mini-programs go.
        url: String,
        /// Which mini-program.
        app_id: String,
        /// Which page of it.
        page_path: String,
    },
    /// Sends a permanent picture, voice or film.
    Media {
        /// Which.
        media_id: String,
    },
    /// Sends or opens a published article.
    Article {
        /// `article_id`: sends a card; `article_view_limited`: opens it.
        opens: bool,
        /// Which.
        article_id: String,
    },
}

/// Kinds of buttons that send an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `click`
    Click,
    /// `scancode_push`
    ScanCodePush,
    /// `scancode_waitmsg`
    ScanCodeWaitMessage,
    /// `pic_sysphoto`
    Camera,
    /// `pic_photo_or_album`
    CameraOrAlbum,
    /// `pic_weixin`
    Album,
    /// `location_select`
    Location,
}

const KEY_KINDS: [(&str, KeyKind); 7] = [
    ("click", KeyKind::Click),
    ("scancode_push", KeyKind::ScanCodePush),
    ("scancode_waitmsg", KeyKind::ScanCodeWaitMessage),
    ("pic_sysphoto", KeyKind::Camera),
    ("pic_photo_or_album", KeyKind::CameraOrAlbum),
    ("pic_weixin", KeyKind::Album),
    ("location_select", KeyKind::Location),
];

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
        let fault = |at: usize, fault: String| NotAMenu { line: line_of(text, at), fault };
        let start = file.button.span().start;
        let entries = file.button.into_inner();
        check_count(entries.len(), BUTTONS_MAX, "the menu").map_err(|text| fault(start, text))?;
        let buttons = entries.into_iter().map(|entry| {
            let at = entry.name.span().start;
            button(entry, NAME_BYTES_MAX, true).map_err(|(inner, text)| fault(inner.unwrap_or(at), text))
        });
        Ok(Self(buttons.collect::<Result<_, _>>()?))
    }

    /// The bottom buttons, from the left.
    #[must_use]
    pub fn buttons(&self) -> &[Button] {
        &self.0
    }

    /// Every key that the menu can send, for the check that each leads somewhere.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|button| match &button.action {
                Action::Parent(buttons) => buttons.as_slice(),
                _ => std::slice::from_ref(button),
            })
            .filter_map(|button| match &button.action {
                Action::Key { key, .. } => Some(key.as_str()),
                _ => None,
            })
    }

    /// The body of `menu/create`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "button": self.0.iter().map(Button::to_json).collect::<Vec<_>>() })
    }

    /// Whether the platform has this menu: `remote` is the `menu` object that it gave.
    #[must_use]
    pub fn is_same_as(&self, remote: &Value) -> bool {
        outline(&self.to_json()) == outline(remote)
    }
}

impl Button {
    fn to_json(&self) -> Value {
        let (kind, fields): (_, &[(&str, &str)]) = match &self.action {
            Action::Parent(buttons) => {
                let below: Vec<_> = buttons.iter().map(Self::to_json).collect();
                return json!({ "name": self.name, "sub_button": below });
            }
            Action::Key { kind, key } => (kind.as_str(), &[("key", key)]),
            Action::View { url } => ("view", &[("url", url)]),
            Action::MiniProgram { url, app_id, page_path } => {
                ("miniprogram", &[("url", url), ("appid", app_id), ("pagepath", page_path)])
            }
            Action::Media { media_id } => ("media_id", &[("media_id", media_id)]),
            Action::Article { opens: false, article_id } => ("article_id", &[("article_id", article_id)]),
            Action::Article { opens: true, article_id } => {
                ("article_view_limited", &[("article_id", article_id)])
            }
        };
        let mut object = Map::new();
        for (field, value) in [("type", kind), ("name", self.name.as_str())].iter().chain(fields) {
            object.insert((*field).to_owned(), Value::from(*value));
        }
        Value::Object(object)
    }
}

impl KeyKind {
    fn as_str(self) -> &'static str {
        KEY_KINDS.iter().find(|(_, kind)| *kind == self).map_or("click", |(name, _)| name)
    }
}

/// A `menu` object as lines of text, one for each button, so that two menus can be compared and shown side by side.
#[must_use]
pub fn outline(menu: &Value) -> Vec<String> {
    const FIELDS: [&str; 7] = ["type", "key", "url", "appid", "pagepath", "media_id", "article_id"];
    fn add(lines: &mut Vec<String>, buttons: Option<&Value>, indent: &str, levels_left: u8) {
        for button in buttons.and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| button.get(field).and_then(Value::as_str).unwrap_or_default();
            let mut line = format!("{indent}{}", text("name"));
            for field in FIELDS {
                if !text(field).is_empty() {
                    line.push_str(&format!("  {field}={}", text(field)));
                }
            }
            lines.push(line);
            if let Some(levels_left) = levels_left.checked_sub(1) {
                add(lines, button.get("sub_button"), "    ", levels_left);
            }
        }
    }
    let mut lines = vec![];
    add(&mut lines, menu.get("button"), "", 1);
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    const MENU: &str = r#"
[[button]]
name = "查账单"
[[button.sub_button]]
type = "click"
name = "本期账单"
key = "bill_current"
[[button.sub_button]]
type = "scancode_waitmsg"
name = "扫一扫"
key = "scan"

[[button]]
type = "view"
name = "办卡"
url = "https://bank.example/apply"

[[button]]
type = "miniprogram"
name = "小程序"
url = "https://bank.example/m"
appid = "wxmini0000000001"
pagepath = "pages/index"
"#;

    #[test]
    fn a_menu_file_becomes_the_platforms_json() {
        let menu = Menu::from_toml(MENU).unwrap();
        assert_eq!(
            menu.to_json(),
            json!({ "button": [
                { "name": "查账单", "sub_button": [
                    { "type": "click", "name": "本期账单", "key": "bill_current" },
                    { "type": "scancode_waitmsg", "name": "扫一扫", "key": "scan" } ] },
                { "type": "view", "name": "办卡", "url": "https://bank.example/apply" },
                { "type": "miniprogram", "name": "小程序", "url": "https://bank.example/m",
                  "appid": "wxmini0000000001", "pagepath": "pages/index" } ] })
        );
        assert_eq!(menu.keys().collect::<Vec<_>>(), ["bill_current", "scan"]);
        assert_eq!(menu.buttons().len(), 3);
    }

    #[test]
    fn menus_are_compared_by_what_they_do() {
        let menu = Menu::from_toml(MENU).unwrap();
        let mut remote = menu.to_json();
        remote["button"][1]["sub_button"] = json!([]);
        remote["menuid"] = json!(1);
        assert!(menu.is_same_as(&remote));
        remote["button"][0]["sub_button"][0]["key"] = json!("bill_history");
        assert!(!menu.is_same_as(&remote));
        assert_eq!(outline(&remote)[1], "    本期账单  type=click  key=bill_history");
    }

    #[test]
    fn faults_are_told_with_their_line() {
        let long_key = "k".repeat(129);
        let long_url = format!("https://bank.example/{}", "u".repeat(1024));
        let table = [
            ("".to_owned(), 1, "missing field `button`"),
            ("button = []".to_owned(), 1, "the menu has 0 buttons"),
            (
                format!("{MENU}\n[[button]]\ntype = \"click\"\nname = \"四\"\nkey = \"k\"\n"),
                2,
                "the menu has 4 buttons",
            ),
            (
                MENU.replace("查账单", "查账单和还款"),
                3,
                "the name 查账单和还款 has 18 bytes of UTF-8; 16 are allowed",
            ),
            (MENU.replace("扫一扫", &"扫".repeat(21)), 10, "has 63 bytes of UTF-8; 60 are allowed"),
            (
                MENU.replace("\"scan\"", &format!("\"{long_key}\"")),
                10,
                "key of the button 扫一扫 has 129 bytes",
            ),
            (
                MENU.replace("https://bank.example/apply", &long_url),
                15,
                "url of the button 办卡 has 1045 bytes",
            ),
            (MENU.replace("key = \"scan\"", ""), 10, "of type scancode_waitmsg needs key"),
            (MENU.replace("\"view\"", "\"peek\""), 15, "unknown type peek"),
            (MENU.replace("pagepath =", "key = \"k\"\npagepath ="), 20, "of type miniprogram has no key"),
            (
                MENU.replace("name = \"查账单\"", "name = \"查账单\"\nkey = \"k\""),
                3,
                "besides them only a name",
            ),
            (MENU.replace("name = \"办卡\"", "name = \" \""), 15, "needs a name"),
            (MENU.replace("pagepath", "page_path"), 18, "unknown field `page_path`"),
        ];
        for (text, line, fault) in table {
            let error = Menu::from_toml(&text).unwrap_err();
            assert!(error.fault.contains(fault), "{error}");
            if fault.starts_with("unknown field") || fault.starts_with("the menu has 4") {
                assert!(error.line >= line, "{error}");
            } else {
                assert_eq!(error.line, line, "{error}");
            }
        }
    }

    #[test]
    fn a_sub_button_has_no_buttons_and_five_is_the_most() {
        let sub = "[[button.sub_button]]\ntype = \"click\"\nname = \"a\"\nkey = \"a\"\n";
        let of = |count: usize| format!("[[button]]\nname = \"b\"\n{}", sub.repeat(count));
        assert!(Menu::from_toml(&of(5)).is_ok());
        assert!(Menu::from_toml(&of(6)).unwrap_err().fault.contains("has 6 buttons; 1 to 5 are allowed"));
        let nested = of(1).replace("type = \"click\"\nname", "name").replace("key = \"a\"\n", "")
            + "[[button.sub_button.sub_button]]\ntype = \"click\"\nname = \"c\"\nkey = \"c\"\n";
        assert!(Menu::from_toml(&nested).unwrap_err().fault.contains("cannot have its own"));
    }
}
