//! `lexicon/words.toml`: Chinese words for the core's codes, for the filter `word`.

use crate::content::{Content, Fault};
use crate::render::Words;

const PATH: &str = "lexicon/words.toml";

/// Reads the word list; none is no fault.
///
/// # Errors
/// When the file is not of the form `[group]` with `code = "word"`.
pub fn words(content: &Content) -> Result<Words, Vec<Fault>> {
    let Some(file) = content.file(PATH) else { return Ok(Words::new()) };
    file.parse().map_err(|fault| vec![fault])
}
