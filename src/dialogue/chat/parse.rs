//! Reading a `.chat` file.

use std::time::Duration;

use crate::content::{Fault, File};

/// A file of conversations.
#[derive(Clone, Debug)]
pub struct ChatFile {
    /// Where it stands.
    pub origin: String,
    /// Its conversations, in order.
    pub chats: Vec<Chat>,
}

/// One conversation, from its beginning.
#[derive(Clone, Debug)]
pub struct Chat {
    /// What it shows.
    pub title: String,
    /// Its line in the file.
    pub line: usize,
    /// What happens, each with its line.
    pub steps: Vec<(usize, Step)>,
}

/// Whether people answer, and how long their queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskNow {
    /// Inside working hours.
    pub open: bool,
    /// How many wait already.
    pub waiting: u32,
    /// How long the next one waits.
    pub wait_minutes: Option<u32>,
}

impl DeskNow {
    /// What the desk reckons with for each who waits, and for the next one.
    const MINUTES_PER_PLACE: u32 = 3;

    /// A desk before which so many wait. Where nothing else is said, the next one waits as long as the desk would say.
    pub(super) fn with(open: bool, waiting: u32, wait_minutes: Option<u32>) -> Self {
        let minutes = waiting.saturating_add(1).saturating_mul(Self::MINUTES_PER_PLACE);
        Self { open, waiting, wait_minutes: Some(wait_minutes.unwrap_or(minutes)) }
    }
}

/// One thing that happens, or that must have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `持卡人: C10001`: who follows is bound as this customer. `无`: not bound.
    Customer(Option<String>),
    /// `卡片: K1 1234 金卡，K2 5678 白金卡`: the cards of the binding.
    Cards(Vec<(String, String, String)>),
    /// `时间: +3分钟`.
    Wait(Duration),
    /// `消费: 1234 星河超市 128.50`: the bank reported it, and he was told; with the reason where it was declined.
    Spends(String),
    /// `人工: 在线`, `不在线`, or `在线，前面3位，约8分钟`.
    Desk(DeskNow),
    /// `坐席: 接入` or `结束`.
    Agent(bool),
    /// `故障: bill_current 无回应`, `乱答` or `拒绝 no_statement 原因`.
    Fault(String, CoreFault),
    /// `客户: 查账单`.
    Says(String),
    /// `点击: bill_current`: a menu key, or a link of the last reply by its words.
    Taps(String),
    /// `旧链接: 1`: a tap on a line of the list before the last one.
    TapsOld(usize),
    /// `关注: ` with the scene of a code or nothing.
    Follows(Option<String>),
    /// `扫码: bill_current`.
    Scans(String),
    /// `发送: 图片`, `视频`, `语音`, `语音 查账单` with recognised words, `位置`, `位置 30.201000,122.102000`.
    Sends(String),
    /// `绑定完成: C10001`: what waited for it goes on.
    Binds(String),
    /// `验证完成:`: the one-time code was right, and what waited for it goes on.
    Proves,
    /// `操作: core:bill_current {"card_id":"K1"}`: what was asked since the last thing done; params only if named.
    Asked(String, Option<serde_json::Value>),
    /// `结果: 排队`: what else came of it.
    Effect(String),
    /// `银行: …`: the whole text, over several lines if need be. `（不回复）`: nothing.
    Bank(String),
}

/// How the core fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreFault {
    /// No answer, or an error of its own.
    Down,
    /// An answer that does not fit its schema.
    Lies,
    /// A refusal: code and words.
    Refuses(String, String),
}

/// Reads a file of conversations.
///
/// # Errors
/// Every line that is not understood.
pub fn parse(file: &File) -> Result<ChatFile, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut chats: Vec<Chat> = Vec::new();
    for (index, text) in file.text.lines().enumerate() {
        let line = index + 1;
        let in_reply = matches!(chats.last().and_then(|chat| chat.steps.last()), Some((_, Step::Bank(_))));
        if let Some(title) = text.strip_prefix("== ").and_then(|title| title.strip_suffix(" ==")) {
            chats.push(Chat { title: title.trim().to_owned(), line, steps: Vec::new() });
            continue;
        }
        match (chats.last_mut(), step(text)) {
            (_, _) if text.starts_with("# ") || text == "#" => {}
            (Some(chat), Some(Ok(step))) => chat.steps.push((line, step)),
            (_, Some(Err(reason))) => faults.push(Fault::new(&file.origin, line, reason)),
            (Some(chat), None) if in_reply => {
                if let Some((_, Step::Bank(reply))) = chat.steps.last_mut() {
                    reply.push('\n');
                    reply.push_str(text);
                }
            }
            (_, None) if text.trim().is_empty() => {}
            (Some(_), None) => {
                faults.push(Fault::new(
                    &file.origin,
                    line,
                    "a line starts with a word such as 客户: or 银行:",
                ));
            }
            (None, _) => {
                faults.push(Fault::new(&file.origin, line, "a conversation starts with == its title =="))
            }
        }
    }
    for (_, step) in chats.iter_mut().flat_map(|chat| &mut chat.steps) {
        if let Step::Bank(reply) = step {
            *reply = reply.trim().to_owned();
        }
    }
    let origin = file.origin.clone();
    if faults.is_empty() { Ok(ChatFile { origin, chats }) } else { Err(faults) }
}

/// A line that starts with a known word; `None`: it does not.
fn step(line: &str) -> Option<Result<Step, String>> {
    let (word, rest) = line.split_once([':', '：'])?;
    let rest = rest.trim();
    let text = || rest.to_owned();
    Some(Ok(match word {
        "持卡人" => Step::Customer((rest != "无").then(text)),
        "卡片" => match cards(rest) {
            Some(cards) => Step::Cards(cards),
            None => {
                return Some(Err("a card is written as K1 1234 金卡, several with ， between".to_owned()));
            }
        },
        "时间" => match wait(rest) {
            Some(wait) => Step::Wait(wait),
            None => return Some(Err("time passes as +3分钟, +20秒 or +2天".to_owned())),
        },
        "人工" => match desk(rest) {
            Some(desk) => Step::Desk(desk),
            None => return Some(Err("people are 在线, 不在线 or 在线，前面3位，约8分钟".to_owned())),
        },
        "消费" => Step::Spends(text()),
        "坐席" => Step::Agent(rest == "接入"),
        "故障" => match fault(rest) {
            Some((operation, fault)) => Step::Fault(operation, fault),
            None => return Some(Err("a fault is: operation 无回应 | 乱答 | 拒绝 code 原因".to_owned())),
        },
        "客户" => Step::Says(text()),
        "点击" => Step::Taps(text()),
        "旧链接" => match rest.parse() {
            Ok(number) => Step::TapsOld(number),
            Err(_) => return Some(Err("the number of a line is wanted".to_owned())),
        },
        "关注" => Step::Follows((!rest.is_empty()).then(text)),
        "扫码" => Step::Scans(text()),
        "发送" => Step::Sends(text()),
        "绑定完成" => Step::Binds(text()),
        "验证完成" => Step::Proves,
        "操作" => match rest.split_once(' ') {
            None => Step::Asked(text(), None),
            Some((operation, params)) => match serde_json::from_str(params) {
                Ok(params) => Step::Asked(operation.to_owned(), Some(params)),
                Err(error) => return Some(Err(format!("params: {error}"))),
            },
        },
        "结果" => Step::Effect(text()),
        "银行" => Step::Bank(text()),
        _ => return None,
    }))
}

fn cards(text: &str) -> Option<Vec<(String, String, String)>> {
    let card = |card: &str| {
        let mut words = card.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?, words.next()?))
    };
    text.split(['，', ',']).map(card).collect()
}

fn wait(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+')?;
    let units = [("秒", 1), ("分钟", 60), ("小时", 3600), ("天", 86_400)];
    let (count, seconds) =
        units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    Some(Duration::from_secs(count.trim().parse::<u64>().ok()?.checked_mul(*seconds)?))
}

fn desk(text: &str) -> Option<DeskNow> {
    let mut parts = text.split('，').map(str::trim);
    let open = match parts.next()? {
        "在线" => true,
        "不在线" => false,
        _ => return None,
    };
    let waiting = match parts.next() {
        Some(part) => part.strip_prefix("前面")?.strip_suffix('位')?.parse().ok()?,
        None => 0,
    };
    let wait_minutes = match parts.next() {
        Some(part) => Some(part.strip_prefix('约')?.strip_suffix("分钟")?.parse().ok()?),
        None => None,
    };
    parts.next().is_none().then(|| DeskNow::with(open, waiting, wait_minutes))
}

fn fault(text: &str) -> Option<(String, CoreFault)> {
    let (operation, rest) = text.split_once(' ')?;
    let fault = match rest.trim() {
        "无回应" => CoreFault::Down,
        "乱答" => CoreFault::Lies,
        rest => {
            let (code, message) = rest.strip_prefix("拒绝 ")?.split_once(' ')?;
            CoreFault::Refuses(code.to_owned(), message.trim().to_owned())
        }
    };
    Some((operation.to_owned(), fault))
}
