//! Many words for one: `咋` becomes `怎么`, `limit` becomes `额度`. The longest first, Latin words only as a whole, and a
//! word in its common form is left whole: the `么` of `怎么` is no `吗`.

use std::collections::{BTreeMap, HashMap};

use super::normalise;

/// A replacement that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// What was said.
    pub said: String,
    /// What it counts as.
    pub counts_as: String,
}

/// Words by their first character, the longest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Synonyms(HashMap<char, Vec<(String, String)>>);

impl Synonyms {
    /// Word → the many ways to say it.
    pub(super) fn new(table: BTreeMap<String, Vec<String>>) -> Self {
        let mut by_first: HashMap<char, Vec<(String, String)>> = HashMap::new();
        for (word, said) in table {
            let word = normalise(&word);
            let itself = std::iter::once(word.clone());
            for said in itself.chain(said.iter().map(|said| normalise(said))) {
                if let Some(first) = said.chars().next() {
                    by_first.entry(first).or_default().push((said, word.clone()));
                }
            }
        }
        for words in by_first.values_mut() {
            words.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
            words.dedup();
        }
        Self(by_first)
    }

    /// The text with each word in its common form, and what was replaced.
    pub(super) fn apply(&self, normalised: &str) -> (String, Vec<Replaced>) {
        let mut out = String::with_capacity(normalised.len());
        let mut replaced = Vec::new();
        let mut rest = normalised;
        while let Some(first) = rest.chars().next() {
            let words = self.0.get(&first).map_or(&[][..], Vec::as_slice);
            let found = words.iter().find_map(|(said, word)| {
                let after = rest.strip_prefix(said.as_str())?;
                let is_common_already = said != word && rest.starts_with(word.as_str());
                (stands_alone(said, &out, after) && !is_common_already).then_some((said, word, after))
            });
            if let Some((said, word, after)) = found {
                out.push_str(word);
                if said != word {
                    replaced.push(Replaced { said: said.clone(), counts_as: word.clone() });
                }
                rest = after;
            } else {
                out.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
        (out, replaced)
    }
}

/// Whether a Latin word begins and ends where it is found; Chinese words have no such ends.
fn stands_alone(word: &str, before: &str, after: &str) -> bool {
    let letter = |character: Option<char>| character.is_some_and(|one| one.is_ascii_alphanumeric());
    let starts = !letter(word.chars().next()) || !letter(before.chars().next_back());
    let ends = !letter(word.chars().next_back()) || !letter(after.chars().next());
    starts && ends
}
