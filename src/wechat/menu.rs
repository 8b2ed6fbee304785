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
//!
//! [[conditionalmenu]]                       # 个性化菜单: for some followers only; the first that fits counts
//! matchrule = { client_platform_type = "1" }
//!
//! [[conditionalmenu.button]]
//! type = "view"
//! name = "办卡"
//! url = "https://bank.example/apply"
//! ```

mod file;

use serde_json::{Map, Value, json};

pub use file::NotAMenu;

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
/// Most hosts that all personalised menus together may lead to.
pub const CONDITIONAL_HOSTS_MAX: usize = 3;

/// A menu that the platform will take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    buttons: Vec<Button>,
    conditional: Vec<Conditional>,
}

/// A personalised menu: shown instead of the default one to followers whom its rule fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditional {
    buttons: Vec<Button>,
    /// The followers' tag.
    tag_id: Option<String>,
    /// `1` iOS, `2` Android, `3` other.
    client_platform_type: Option<String>,
}

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

impl Menu {
    /// The bottom buttons, from the left.
    #[must_use]
    pub fn buttons(&self) -> &[Button] {
        &self.buttons
    }

    /// The personalised menus; of several that fit a follower the first counts.
    #[must_use]
    pub fn conditional(&self) -> &[Conditional] {
        &self.conditional
    }

    /// Every key that the menu can send, for the check that each leads somewhere.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let personalised = self.conditional.iter().flat_map(|menu| &menu.buttons);
        self.buttons
            .iter()
            .chain(personalised)
            .flat_map(|button| match &button.action {
                Action::Parent(buttons) => buttons.as_slice(),
                _ => std::slice::from_ref(button),
            })
            .filter_map(|button| match &button.action {
                Action::Key { key, .. } => Some(key.as_str()),
                _ => None,
            })
    }

    /// The body of `menu/create`: the default menu alone.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "button": self.buttons.iter().map(Button::to_json).collect::<Vec<_>>() })
    }

    /// All of it as `menu/get` would answer it, to be compared by [`outline`].
    #[must_use]
    pub fn as_answered(&self) -> Value {
        let conditional: Vec<_> = self.conditional.iter().map(Conditional::to_json).collect();
        json!({ "menu": self.to_json(), "conditionalmenu": conditional })
    }
}

impl Conditional {
    /// The body of `menu/addconditional`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut rule = Map::new();
        for (name, value) in [("tag_id", &self.tag_id), ("client_platform_type", &self.client_platform_type)]
        {
            rule.extend(value.as_ref().map(|value| (name.to_owned(), Value::from(value.as_str()))));
        }
        let buttons: Vec<_> = self.buttons.iter().map(Button::to_json).collect();
        json!({ "button": buttons, "matchrule": rule })
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

/// What a button may hold beside its name and its own buttons.
const FIELDS: [&str; 7] = ["type", "key", "url", "appid", "pagepath", "media_id", "article_id"];
/// What a rule may hold. Menus whose rules hold more are old ones that fit nobody any more.
const RULES: [&str; 2] = ["tag_id", "client_platform_type"];

/// An answer of `menu/get` as lines of text, one for each button, so that two menus can be compared and shown side by
/// side. Personalised menus follow the default one, the one that counts first in front.
#[must_use]
pub fn outline(answer: &Value) -> Vec<String> {
    let mut lines = vec![];
    add_buttons(&mut lines, answer["menu"].get("button"), "", 1);
    for menu in conditional_newest_first(answer) {
        lines.push(format!("for {}", rule_of(menu)));
        add_buttons(&mut lines, menu.get("button"), "    ", 1);
    }
    lines
}

fn add_buttons(lines: &mut Vec<String>, buttons: Option<&Value>, indent: &str, levels_left: u8) {
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
            add_buttons(lines, button.get("sub_button"), &format!("{indent}    "), levels_left);
        }
    }
}

fn rule_of(menu: &Value) -> String {
    let given = |name: &&str| Some(format!("{name}={}", number_or_text(menu["matchrule"].get(*name)?)?));
    RULES.iter().filter_map(given).collect::<Vec<_>>().join(" ")
}

/// The platform writes ids and rules as numbers or as texts, from call to call; empty means absent.
fn number_or_text(value: &Value) -> Option<String> {
    let text =
        value.as_str().map(str::to_owned).or_else(|| value.as_u64().map(|number| number.to_string()))?;
    (!text.is_empty()).then_some(text)
}

/// The personalised menus of an answer in the order in which the platform tries them: the newest first. Those of a file
/// have no number, and their order already.
fn conditional_newest_first(answer: &Value) -> Vec<&Value> {
    let mut menus: Vec<&Value> = answer["conditionalmenu"].as_array().into_iter().flatten().collect();
    let number =
        |menu: &Value| menu.get("menuid").and_then(number_or_text).and_then(|id| id.parse::<u64>().ok());
    menus.sort_by_key(|menu| std::cmp::Reverse(number(menu)));
    menus
}

/// The numbers of the personalised menus in an answer of `menu/get`.
#[must_use]
pub fn conditional_ids(answer: &Value) -> Vec<String> {
    let menus = answer["conditionalmenu"].as_array().into_iter().flatten();
    menus.filter_map(|menu| number_or_text(menu.get("menuid")?)).collect()
}

/// The lines in which two outlines differ: `- ` is only there, `+ ` only here. Menus are short and ordered: what they
/// begin and end with alike is left out, the rest is given whole.
#[must_use]
pub fn differences(here: &[String], there: &[String]) -> Vec<String> {
    let begin = here.iter().zip(there).take_while(|(a, b)| a == b).count();
    let rest = here.len().min(there.len()) - begin;
    let end = here.iter().rev().zip(there.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let middle = |lines: &[String]| lines[begin..lines.len() - end].to_vec();
    let gone = middle(there).into_iter().map(|line| format!("- {line}"));
    gone.chain(middle(here).into_iter().map(|line| format!("+ {line}"))).collect()
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
        let here = outline(&menu.as_answered());
        let mut remote = json!({ "menu": menu.to_json() });
        remote["menu"]["button"][1]["sub_button"] = json!([]);
        remote["menu"]["menuid"] = json!(1);
        assert!(differences(&here, &outline(&remote)).is_empty());
        remote["menu"]["button"][0]["sub_button"][0]["key"] = json!("bill_history");
        assert_eq!(
            differences(&here, &outline(&remote)),
            ["-     本期账单  type=click  key=bill_history", "+     本期账单  type=click  key=bill_current"]
        );
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
            (
                MENU.replace("https://bank.example/apply", "bank.example/apply"),
                15,
                "url of the button 办卡 must be an http or https address",
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

    const PERSONALISED: &str = r#"
[[conditionalmenu]]
matchrule = { tag_id = "2", client_platform_type = "1" }

[[conditionalmenu.button]]
type = "view"
name = "办卡"
url = "https://ios.bank.example/apply"

[[conditionalmenu]]
matchrule = { client_platform_type = "2" }

[[conditionalmenu.button]]
type = "click"
name = "额度"
key = "limit_query"
"#;

    #[test]
    fn a_personalised_menu_has_a_rule_and_the_newest_counts_first() {
        let menu = Menu::from_toml(&format!("{MENU}{PERSONALISED}")).unwrap();
        assert_eq!(
            menu.conditional()[0].to_json(),
            json!({
                "button": [{ "type": "view", "name": "办卡", "url": "https://ios.bank.example/apply" }],
                "matchrule": { "tag_id": "2", "client_platform_type": "1" } })
        );
        assert!(menu.keys().any(|key| key == "limit_query"));
        let mut remote = menu.as_answered();
        remote["conditionalmenu"].as_array_mut().unwrap().reverse();
        remote["conditionalmenu"][0]["menuid"] = json!(208_379_533);
        remote["conditionalmenu"][1]["menuid"] = json!("208379534");
        remote["conditionalmenu"][1]["matchrule"]["tag_id"] = json!(2);
        remote["conditionalmenu"][1]["matchrule"]["sex"] = json!("");
        assert_eq!(outline(&remote), outline(&menu.as_answered()));
        assert_eq!(conditional_ids(&remote), ["208379533", "208379534"]);
        let host = |number: usize| {
            PERSONALISED.replace("ios.", &format!("host{number}.")).replace("\"2\" }", "\"3\" }")
        };
        let table = [
            (
                PERSONALISED.replace("\"2\" }", "\"4\" }"),
                "client_platform_type is 1 (iOS), 2 (Android) or 3 (other)",
            ),
            (
                PERSONALISED.replace("{ client_platform_type = \"2\" }", "{}"),
                "needs tag_id or client_platform_type",
            ),
            (PERSONALISED.replace("tag_id", "sex"), "unknown field `sex`"),
            (PERSONALISED.replace("额度", &"额".repeat(6)), "16 are allowed"),
            ((0..4).map(host).collect(), "lead to 4 hosts; 3 are allowed"),
        ];
        for (text, fault) in table {
            let error = Menu::from_toml(&format!("{MENU}{text}")).unwrap_err();
            assert!(error.fault.contains(fault) && error.line > 22, "{error}");
        }
    }

    #[test]
    fn what_the_platform_has_becomes_a_file_that_means_the_same() {
        let menu = Menu::from_toml(&format!("{MENU}{PERSONALISED}")).unwrap();
        let mut remote = menu.as_answered();
        remote["menu"]["menuid"] = json!(1);
        remote["menu"]["button"][1]["sub_button"] = json!([]);
        remote["menu"]["button"][1]["name"] = json!("办\"卡\\");
        let text = Menu::toml_of(&remote).unwrap();
        let read = Menu::from_toml(&text).unwrap();
        assert_eq!(outline(&read.as_answered()), outline(&remote));
        assert_eq!(Menu::toml_of(&read.as_answered()).unwrap(), text, "once more changes nothing");
        remote["menu"]["button"][1]["type"] = json!("view_limited");
        assert!(Menu::toml_of(&remote).unwrap_err().to_string().contains("view_limited"));
    }
}
