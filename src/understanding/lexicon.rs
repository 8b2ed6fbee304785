//! The word lists beside the services: wishes for a person, dangers, small talk, wishes that are refused, synonyms, and
//! words that say nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::normalise;
use super::synonyms::{Replaced, Synonyms};
use crate::content::{Content, Fault};

/// Marks that turn a wish into its opposite when they stand right before it.
const NEGATIONS: [&str; 6] = ["不要", "不用", "不想", "不是", "别", "不转"];

/// Most characters between whose something is and what it is.
const BETWEEN_CHARACTERS_MAX: usize = 6;
/// What stands between them where he does something with it, and it is not his: “老板发的工资”, “别人用我的卡号”.
const DOES: [char; 14] = ['发', '打', '转', '给', '说', '帮', '替', '借', '汇', '付', '用', '刷', '还', '我'];

/// A danger: words after which a person takes over, whatever else was said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// What is said at once; before anything about the queue.
    pub say: String,
    /// Why, for the agent.
    pub reason: String,
    /// Who should take it; empty: anyone.
    #[serde(default)]
    pub skill: String,
    /// 0 (ordinary) to 9 (at once).
    pub priority: u8,
    /// The service that helps a bound customer at once, before a person comes.
    pub service: Option<String>,
    words: Vec<String>,
    /// Phrases in which its words are no danger: “防诈骗知识”.
    #[serde(default)]
    except: Vec<String>,
}

/// Small talk that has one good answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Talk {
    /// What is answered.
    pub say: String,
    words: Vec<String>,
}

/// Wishes that are refused kindly, whatever a score says: to look into what is somebody else's, or something unlawful.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What is answered.
    pub say: String,
    /// Words for wishing it.
    wish: Vec<String>,
    /// Whose: then what is wished for must be theirs (“老板的工资”). Empty: anyone's.
    #[serde(default)]
    whose: Vec<String>,
    /// What is wished for.
    what: Vec<String>,
    /// Phrases with which it is no such wish.
    #[serde(default)]
    except: Vec<String>,
}

impl Refusal {
    /// What the text wishes for, if it is this.
    fn wished(&self, normalised: &str) -> Option<&str> {
        let has = |words: &[String]| words.iter().any(|word| normalised.contains(word.as_str()));
        if !has(&self.wish) || has(&self.except) {
            return None;
        }
        let what = self.what.iter().find(|what| {
            if self.whose.is_empty() {
                normalised.contains(what.as_str())
            } else {
                self.whose.iter().any(|whose| is_theirs(normalised, whose, what))
            }
        });
        what.map(String::as_str)
    }
}

/// Whether the text speaks of what is somebody's: “老板的工资”, “老板这个月的工资”, but not “老板发的工资”.
fn is_theirs(normalised: &str, whose: &str, what: &str) -> bool {
    normalised.match_indices(whose).any(|(at, _)| {
        let after = normalised.get(at + whose.len()..).unwrap_or_default();
        let between = after.split_once(what).map(|(between, _)| between);
        between.is_some_and(|between| {
            between.chars().count() <= BETWEEN_CHARACTERS_MAX && !between.contains(DOES)
        })
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    words: Vec<String>,
}

/// Names of other banks and of their products, and the services that may speak of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Others {
    names: Vec<String>,
    services: Vec<String>,
}

/// What a change of the examples may cost.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quality {
    accuracy_drop_max_permille: u32,
}

/// All word lists.
#[derive(Clone, Debug, Default)]
pub struct Lexicon {
    person: Vec<String>,
    danger: BTreeMap<String, Family>,
    talk: BTreeMap<String, Talk>,
    refused: BTreeMap<String, Refusal>,
    fillers: Vec<String>,
    synonyms: Synonyms,
    others: Others,
    quality: Quality,
}

impl Lexicon {
    /// Reads `lexicon/{person,danger,talk,refused,fillers,synonyms,others,quality}.toml`; a missing file is an empty list.
    ///
    /// # Errors
    /// Every file that is not of its form.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader { content, faults: Vec::new() };
        let plain = |words: Vec<String>| -> Vec<String> {
            let mut words: Vec<String> =
                words.iter().map(|word| normalise(word)).filter(|word| !word.is_empty()).collect();
            words.sort_by(|a, b| b.chars().count().cmp(&a.chars().count()).then_with(|| a.cmp(b)));
            words.dedup();
            words
        };
        let mut danger: BTreeMap<String, Family> = reader.read("danger").unwrap_or_default();
        for family in danger.values_mut() {
            family.words = plain(std::mem::take(&mut family.words));
            family.except = plain(std::mem::take(&mut family.except));
        }
        let mut talk: BTreeMap<String, Talk> = reader.read("talk").unwrap_or_default();
        for talk in talk.values_mut() {
            talk.words = plain(std::mem::take(&mut talk.words));
        }
        let mut refused: BTreeMap<String, Refusal> = reader.read("refused").unwrap_or_default();
        for refusal in refused.values_mut() {
            for words in [&mut refusal.wish, &mut refusal.whose, &mut refusal.what, &mut refusal.except] {
                *words = plain(std::mem::take(words));
            }
        }
        let others: Others = reader.read("others").unwrap_or_default();
        let lexicon = Self {
            others: Others { names: plain(others.names), services: others.services },
            person: plain(reader.read::<Words>("person").map(|file| file.words).unwrap_or_default()),
            fillers: plain(reader.read::<Words>("fillers").map(|file| file.words).unwrap_or_default()),
            synonyms: Synonyms::new(reader.read("synonyms").unwrap_or_default()),
            danger,
            talk,
            refused,
            quality: reader.read("quality").unwrap_or_default(),
        };
        if reader.faults.is_empty() { Ok(lexicon) } else { Err(reader.faults) }
    }

    /// The family and the word of a danger in the text; of several, the most pressing.
    #[must_use]
    pub fn danger(&self, normalised: &str) -> Option<(&str, &str)> {
        let found = self.danger.iter().filter_map(|(name, family)| {
            let except = family.except.iter().find(|except| normalised.contains(except.as_str()));
            let rest = except.map(|except| normalised.replace(except.as_str(), ""));
            let text = rest.as_deref().unwrap_or(normalised);
            let word = family.words.iter().find(|word| text.contains(word.as_str()))?;
            Some((family.priority, name.as_str(), word.as_str()))
        });
        found.max_by_key(|(priority, ..)| *priority).map(|(_, name, word)| (name, word))
    }

    /// A danger by its name.
    #[must_use]
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.danger.get(name)
    }

    /// Whether a word for a person stands in it, asked for or turned down.
    pub(super) fn names_person(&self, normalised: &str) -> bool {
        self.person.iter().any(|word| normalised.contains(word.as_str()))
    }

    /// The word that asks for a person, unless it is turned down in the same breath.
    #[must_use]
    pub fn person(&self, normalised: &str) -> Option<&str> {
        let word = self.person.iter().find(|word| normalised.contains(word.as_str()))?;
        let (before, _) = normalised.split_once(word.as_str())?;
        let turned_down = NEGATIONS.iter().any(|negation| before.ends_with(negation));
        (!turned_down).then_some(word.as_str())
    }

    /// Of a thousand sentences, how many fewer may be ranked right after a reload (`lexicon/quality.toml`).
    #[must_use]
    pub fn accuracy_drop_max_permille(&self) -> u32 {
        self.quality.accuracy_drop_max_permille
    }

    /// The answer to small talk that is nothing else.
    #[must_use]
    pub fn talk(&self, normalised: &str) -> Option<&Talk> {
        self.talk.values().find(|talk| talk.words.iter().any(|word| word == normalised))
    }

    /// The wish in the text that is refused, and what it wishes for.
    #[must_use]
    pub fn refusal(&self, normalised: &str) -> Option<(&Refusal, &str)> {
        self.refused.values().find_map(|refusal| Some((refusal, refusal.wished(normalised)?)))
    }

    /// The name of another bank or product in the text, when this service does not speak of such.
    pub(super) fn others(&self, normalised: &str, service: &str) -> Option<&str> {
        let name = self.others.names.iter().find(|name| normalised.contains(name.as_str()))?;
        let speaks_of_it = self.others.services.iter().any(|id| id == service);
        (!speaks_of_it).then_some(name.as_str())
    }

    /// The text without words that say nothing.
    #[must_use]
    pub fn without_fillers(&self, normalised: &str) -> String {
        let mut text = normalised.to_owned();
        for filler in &self.fillers {
            text = text.replace(filler.as_str(), "");
        }
        text
    }

    /// A text as it is learned and scored: normalised, each word in its common form; and what was replaced.
    pub(super) fn read(&self, text: &str) -> (String, Vec<Replaced>) {
        self.synonyms.apply(&normalise(text))
    }
}

struct Reader<'a> {
    content: &'a Content,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn read<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let file = self.content.file(&format!("lexicon/{name}.toml"))?;
        file.parse().map_err(|fault| self.faults.push(fault)).ok()
    }
}
