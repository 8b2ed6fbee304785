//! Where and when each conversation is held, so that many are held at once in one house and none notices another.

use std::path::Path;

use weikefu::content::File;
use weikefu::dialogue::chat::{self, Chat, Step};

/// The account of the conversations that need none of their own.
pub(super) const COMMON: &str = "card";
/// When people answer, as the conversations have it.
const HOURS: &str = "every_day = [\"08:00-22:00\"]\n";
/// What is said to whoever enters the queue, or would if somebody were there.
const QUEUE: [&str; 4] = ["转接人工客服", "人工客服现在不在线", "留言已收到", "专员会马上"];

/// Conversations that no phone can have, each with the reason.
pub(super) const ELSEWHERE: [(&str, &str); 6] = [
    ("位置没有坐标", "WeChat sends no place without its degrees"),
    ("位置看不懂", "WeChat sends degrees as decimals and as nothing else"),
    (
        "提醒记录",
        "shows the example of a past that the house itself would keep; `alerts` tells of a real one",
    ),
    ("刚提醒过的那笔多少钱", "shows the same example"),
    ("提醒记录：查不到", "the house's own database is away, while everything else works"),
    (
        "问了才说",
        "shows the example of an offer, which the house itself chooses; `marketing` shows real ones",
    ),
];

/// When a conversation is held. The clock only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    /// With others, at ten in the morning.
    Together,
    /// Alone: time passes in it.
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

    /// Whether what the binding itself holds is told: then it comes from the page, and not by import.
    pub(super) fn tells_binding(&self) -> bool {
        self.has(|step| matches!(step, Step::Bank(text) if text.contains("提醒") || text.contains("测**")))
    }
}

fn has(chat: &Chat, wanted: impl Fn(&Step) -> bool) -> bool {
    chat.steps.iter().any(|(_, step)| wanted(step))
}

/// Every conversation of `tests/conversations` that a phone can have. Who enters the queue does it in an account of his
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
    for (title, reason) in ELSEWHERE {
        let before = planned.len();
        planned.retain(|one| one.chat.title != title);
        assert_eq!(before - planned.len(), 1, "one conversation is called “{title}” ({reason})");
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
    let moves = has(&chat, |step| matches!(step, Step::Wait(_)));
    let when = match (closed, moves) {
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
    std::fs::create_dir_all(dir.join("desk")).unwrap();
    std::fs::write(dir.join("desk/hours.toml"), HOURS).unwrap();
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
