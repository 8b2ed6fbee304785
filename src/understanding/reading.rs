//! A message in its clauses: which of them it is about, and which only say what it is not about.

/// What ends a clause; so does white space, but not between two Latin words.
const ENDS: [char; 15] = ['，', '。', '！', '？', '；', '、', '：', '…', '～', ',', '!', '?', ';', '\n', '.'];
/// Clauses that begin so name what is not meant.
const NOT_MEANT: [&str; 12] =
    ["不是", "不查", "不问", "不看", "不办", "没说", "没问", "先不", "并不是", "又不是", "不取消", "不说"];
/// Clauses that begin so may be the wish itself: “不想收广告了”.
const NOT_WISHED: [&str; 9] = ["不要", "不用", "不想", "别", "不需要", "没丢", "不", "没", "无需"];
/// Words before a clause that change nothing in it.
const BEFORE: [&str; 7] = ["我说的", "我可", "我又", "我", "又", "都", "这"];
/// Words that add a wish to another.
const AND: [&str; 10] = ["顺便", "顺带", "另外", "还有", "再问", "然后", "以及", "再查", "再看", "和"];
/// Fewest characters of a clause that could be about something.
const CLAUSE_CHARACTERS_MIN: usize = 2;
/// Most clauses that are looked at one by one.
const CLAUSES_MAX: usize = 12;

/// A message, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading<'a> {
    /// Its clauses, without those that name what is not meant.
    pub(super) about: Vec<&'a str>,
    /// Clauses that name what is not meant, or that may be a wish in the negative.
    pub(super) denied: Vec<&'a str>,
    /// Whether what was denied is surely not the wish.
    pub(super) surely: bool,
}

impl<'a> Reading<'a> {
    /// Reads a message as it was written.
    pub(super) fn of(text: &'a str) -> Self {
        let clauses = text.split(ENDS).flat_map(parted_at_spaces).flat_map(turned).map(str::trim);
        let mut reading = Self::default();
        for clause in clauses.filter(|clause| !clause.is_empty()).take(CLAUSES_MAX) {
            match denial(clause) {
                Some(surely) => {
                    reading.denied.push(clause);
                    reading.surely |= surely;
                }
                None => reading.about.push(clause),
            }
        }
        let says_something = |clause: &&str| clause.chars().count() >= CLAUSE_CHARACTERS_MIN;
        if !reading.about.iter().any(says_something) {
            reading.about.append(&mut reading.denied);
            reading.surely = false;
        }
        reading
    }
}

impl Reading<'_> {
    /// What the message may wish for, one by one: its clauses, parted again where a word adds another wish.
    pub(super) fn wishes(&self) -> Vec<&str> {
        let parted = self.about.iter().flat_map(|clause| {
            let mut parts = vec![*clause];
            for word in AND {
                parts = parts.into_iter().flat_map(|part| part.split(word)).collect();
            }
            parts
        });
        parted.filter(|part| part.chars().count() >= CLAUSE_CHARACTERS_MIN).collect()
    }
}

/// Whether a clause names what is not meant: surely so, or perhaps a wish in the negative.
fn denial(clause: &str) -> Option<bool> {
    let mut start = clause;
    for before in BEFORE {
        start = start.strip_prefix(before).unwrap_or(start);
    }
    if NOT_MEANT.iter().any(|not| start.starts_with(not)) {
        return Some(true);
    }
    NOT_WISHED.iter().any(|not| start.starts_with(not)).then_some(false)
}

/// A clause parted at its white space, except where that only keeps two Latin words apart.
fn parted_at_spaces(clause: &str) -> Vec<&str> {
    let latin = |character: Option<char>| character.is_some_and(|one| one.is_ascii_alphanumeric());
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, space) in clause.char_indices().filter(|(_, character)| character.is_whitespace()) {
        let (Some(before), Some(after)) = (clause.get(start..at), clause.get(at + space.len_utf8()..)) else {
            continue;
        };
        if !(latin(before.chars().next_back()) && latin(after.chars().next())) {
            parts.push(before);
            start = at + space.len_utf8();
        }
    }
    parts.extend(clause.get(start..));
    parts
}

/// “不是还款是查账单” is two clauses without a mark between them.
fn turned(clause: &str) -> Vec<&str> {
    let plain = clause.trim_start();
    let Some(after) = plain.strip_prefix("不是") else { return vec![clause] };
    for turn in ["而是", "我是", "是要", "是想", "是问", "是"] {
        if let Some(at) = after.find(turn).filter(|at| *at > 0)
            && let (Some(denied), Some(about)) =
                (plain.get(.."不是".len() + at), after.get(at + turn.len()..))
            && !denied.ends_with('不')
            && !about.is_empty()
        {
            return vec![denied, about];
        }
    }
    vec![clause]
}
