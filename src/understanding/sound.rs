//! Text as toneless pinyin syllables, so that 账单, 帐单, 张单 and zhangdan are one.

use std::collections::HashSet;

use pinyin::ToPinyin;

/// Longest syllable of pinyin, in letters: `zhuang`.
const SYLLABLE_LETTERS_MAX: usize = 6;
/// Latin runs longer than this are no pinyin that anyone typed.
const RUN_LETTERS_MAX: usize = 48;
/// The block of everyday Han characters, whose readings make up the table of syllables.
const HAN: std::ops::RangeInclusive<char> = '\u{4e00}'..='\u{9fff}';

/// Every syllable that a Han character is read as.
pub(super) struct Syllables(HashSet<&'static str>);

impl Syllables {
    pub(super) fn new() -> Self {
        Self(HAN.filter_map(|character| character.to_pinyin()).map(|pinyin| pinyin.plain()).collect())
    }

    /// How a Han character is read.
    pub(super) fn of(character: char) -> Option<&'static str> {
        character.to_pinyin().map(|pinyin| pinyin.plain())
    }

    /// A Latin run as syllables, if it splits wholly into them; of several ways, the one with the longest syllables
    /// first. Single letters are no syllables here: `app` stays a word.
    pub(super) fn split<'a>(&self, run: &'a str) -> Option<Vec<&'a str>> {
        if run.len() > RUN_LETTERS_MAX || !run.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        let mut dead = vec![false; run.len() + 1];
        let mut found = Vec::new();
        self.split_rest(run, 0, &mut dead, &mut found).then_some(found)
    }

    fn split_rest<'a>(
        &self,
        run: &'a str,
        from: usize,
        dead: &mut Vec<bool>,
        found: &mut Vec<&'a str>,
    ) -> bool {
        if from == run.len() {
            return true;
        }
        if dead.get(from).copied().unwrap_or(true) {
            return false;
        }
        for length in (2..=SYLLABLE_LETTERS_MAX.min(run.len() - from)).rev() {
            let Some(syllable) = run.get(from..from + length) else { continue };
            if self.0.contains(syllable) {
                found.push(syllable);
                if self.split_rest(run, from + length, dead, found) {
                    return true;
                }
                found.pop();
            }
        }
        if let Some(dead) = dead.get_mut(from) {
            *dead = true;
        }
        false
    }
}
