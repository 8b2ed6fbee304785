//! Where and when each conversation is held, so that many are held at once in one house and none notices another.

use std::path::Path;

use weikefu::content::File;
use weikefu::dialogue::chat::{self, Chat, Step};

/// The account of the conversations that need none of their own.
pub(super) const COMMON: &str = "card";
/// When people answer, as the conversations have it.
const HOURS: &str = "every_day = [\"08:00-22:00\"]\n";
/// How the operations begin that the house answers itself.
pub(super) const OF_THE_HOUSE: &str = "house:";
/// What is said to whoever enters the queue, or would if somebody were there.
const QUEUE: [&str; 4] = ["转接人工客服", "人工客服现在不在线", "留言已收到", "专员会马上"];

/// The only offer of the house: it fits any purchase and nobody is held out, so that every customer is shown the same.
const OFFER: &str = r#"rank = 1
title = "周三餐饮满200减50"
text = "每周三在合作餐厅用本行信用卡支付，单笔满200元减50元。"
from = "2026-01-01"
until = "2027-12-31"
per_week_max = 3
total_max = 50
hold_out_percent = 0

[when]
types = ["purchase"]
"#;

/// When a conversation is held. The clock only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    /// With others, at ten in the morning.
    Together,
    /// Alone: time passes in it, or the house itself fails.
    Alone,
    /// After the desk has closed.
    Night,
}

/// A conversation with its place in the house.
pub(super) struct Planned {
    pub(super) origin: String,
    pub(super) chat: Chat,
    pub(super) account: &'static str,
    pub(super) when: When,
}

impl Planned {
    pub(super) fn has(&self, wanted: impl Fn(&Step) -> bool) -> bool {
        has(&self.chat, wanted)
    }

    /// Whether somebody at the desk takes part: then that desk is the bank's own, which the test plays.
    pub(super) fn wants_agent(&self) -> bool {
        self.has(|step| matches!(step, Step::Agent(_)))
    }

    /// Whether the bank tells of purchases: then he wants to be told of them.
    pub(super) fn wants_alerts(&self) -> bool {
        self.has(|step| matches!(step, Step::Spends(_)))
    }

    /// Whether what the binding itself holds is told: then it comes from the page, and not by import.
    pub(super) fn tells_binding(&self) -> bool {
        self.has(|step| matches!(step, Step::Bank(text) if text.contains("提醒") || text.contains("测**")))
    }
}

fn has(chat: &Chat, wanted: impl Fn(&Step) -> bool) -> bool {
    chat.steps.iter().any(|(_, step)| wanted(step))
}

/// Every conversation of `tests/conversations`. Who enters the queue does it in an account of his
/// own, for customers are told how many wait; so does who is not bound where the core fails, for he has no name there.
pub(super) fn plan() -> Vec<Planned> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut planned = Vec::new();
    for path in paths {
        let origin = path.file_name().unwrap().to_string_lossy().into_owned();
        let file = File { text: std::fs::read_to_string(&path).unwrap(), origin: origin.clone() };
        let chats = chat::parse(&file).unwrap_or_else(|faults| panic!("{faults:?}")).chats;
        planned.extend(chats.into_iter().map(|chat| place(&origin, chat)));
    }
    let own = planned.iter_mut().filter(|one| one.account.is_empty());
    own.enumerate().for_each(|(number, one)| one.account = format!("own{number}").leak());
    planned
}

/// An empty account stands for one of its own.
fn place(origin: &str, chat: Chat) -> Planned {
    let queues = has(&chat, |step| {
        let told = |text: &str| QUEUE.iter().any(|words| text.contains(words));
        matches!(step, Step::Bank(text) if told(text)) || matches!(step, Step::Desk(_) | Step::Agent(_))
    });
    let is_bound = has(&chat, |step| matches!(step, Step::Customer(Some(_)) | Step::Binds(_)));
    let fails = has(&chat, |step| matches!(step, Step::Fault(..)));
    let closed = has(&chat, |step| matches!(step, Step::Desk(desk) if !desk.open));
    let alone = has(&chat, |step| match step {
        Step::Wait(_) => true,
        Step::Fault(operation, _) => operation.starts_with(OF_THE_HOUSE),
        _ => false,
    });
    let when = match (closed, alone) {
        (true, _) => When::Night,
        (false, true) => When::Alone,
        (false, false) => When::Together,
    };
    let account = if queues || (fails && !is_bound) { "" } else { COMMON };
    Planned { origin: origin.to_owned(), chat, account, when }
}

/// The configuration with the accounts of these conversations beside the first one, and with a desk that closes at night.
pub(super) fn configuration(text: &str, folder: &Path, planned: &[Planned]) -> String {
    let dir = folder.join("content");
    for (path, text) in [
        ("desk/hours.toml", HOURS),
        ("marketing/offers/dining_evening.toml", OFFER),
        ("marketing/offers/large_purchase_instalment.toml", ""),
        ("marketing/offers/overseas_rebate.toml", ""),
    ] {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let text = with_accounts(text, planned);
    format!("{text}\n[content]\ndir = {:?}\n", dir.display().to_string())
}

fn with_accounts(text: &str, planned: &[Planned]) -> String {
    let from = text.find("[[accounts]]").unwrap();
    let card = &text[from..text.find("[core]").unwrap()];
    let account = |(number, one): (usize, &Planned)| {
        let desk = if one.wants_agent() { "\ndesk = \"external\"" } else { "" };
        card.replace("id = \"card\"", &format!("id = \"{}\"{desk}", one.account))
            .replace("gh_0123456789ab", &format!("gh_{number:012}"))
            .replace("wx0123456789abcdef", &format!("wx{number:016}"))
    };
    let own = planned.iter().filter(|one| one.account != COMMON);
    let accounts: String = own.enumerate().map(account).collect();
    text.replacen("[core]", &format!("{accounts}\n[core]"), 1)
}

/// A menu with every key that a conversation taps.
pub(super) fn menu<'a>(planned: impl Iterator<Item = &'a Planned>) -> Option<String> {
    let is_key = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let steps = planned.flat_map(|one| &one.chat.steps);
    let taps =
        steps.filter_map(|(_, step)| if let Step::Taps(words) = step { Some(words.as_str()) } else { None });
    let keys: std::collections::BTreeSet<&str> = taps.filter(is_key).collect();
    let button =
        |key: &str| format!("[[button.sub_button]]\ntype = \"click\"\nname = \"{key}\"\nkey = \"{key}\"\n");
    let keys: Vec<&str> = keys.into_iter().collect();
    let part = |part: &[&str]| {
        let buttons: String = part.iter().copied().map(button).collect();
        format!("[[button]]\nname = \"办\"\n{buttons}")
    };
    (!keys.is_empty()).then(|| keys.chunks(5).map(part).collect())
}
