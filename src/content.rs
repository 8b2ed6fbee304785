//! What staff edit: services, answers, notices, menus, word lists. The built-in files, overlaid by the bank's own,
//! and for one account by those of `accounts/<id>`. An empty file takes the one below it away.
//! Read whole, at start and when it is reloaded; every other room gets it as a value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::domain::ids::AccountId;

/// The folders of `templates/` that hold content. Pages are compiled into the program and are not among them.
const FOLDERS: [&str; 14] = [
    "accounts",
    "answers",
    "desk",
    "elsewhere",
    "examples",
    "knowledge",
    "lexicon",
    "marketing",
    "menus",
    "notices",
    "operations",
    "places",
    "promised",
    "services",
];
/// The folders that one account may have of its own, under `accounts/<id>/`. Menus, hours and templates name their
/// account themselves; what rules a notice is the bank's, not an account's.
const FOLDERS_OF_ACCOUNT: [&str; 6] =
    ["answers", "elsewhere", "examples", "knowledge", "lexicon", "services"];

/// Largest file of content, in bytes.
const FILE_BYTES_MAX: u64 = 512 * 1024;
/// Most files of content.
const FILES_MAX: usize = 5_000;

/// The built-in files.
#[derive(rust_embed::RustEmbed)]
#[folder = "templates/"]
struct BuiltIn;

/// Something wrong in a file, said so that its author finds the place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file as the author knows it.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Fault {
    /// A fault at a line of a file.
    #[must_use]
    pub fn new(file: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// One file of content.
#[derive(Clone, Debug)]
pub struct File {
    /// Its whole text.
    pub text: String,
    /// Where its author finds it.
    pub origin: String,
}

impl File {
    /// Whether it says nothing: then it only takes away the file that it is laid over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// A fault in this file at a byte of its text.
    #[must_use]
    pub fn fault_at(&self, byte: usize, message: impl Into<String>) -> Fault {
        Fault::new(&self.origin, line_of(&self.text, byte), message)
    }

    /// Reads the file as TOML of a fixed form.
    ///
    /// # Errors
    /// What does not fit, with the nearest known key where one is unknown.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Fault> {
        toml::from_str(&self.text).map_err(|error| {
            let message = error.message().to_owned();
            let byte = error.span().map_or(0, |span| span.start);
            let mut quoted = message.split('`').skip(1).step_by(2);
            let nearest = match (message.starts_with("unknown "), quoted.next()) {
                (true, Some(unknown)) => quoted.min_by_key(|known| strsim::levenshtein(unknown, known)),
                _ => None,
            };
            match nearest {
                Some(nearest) => self.fault_at(byte, format!("{message}; did you mean `{nearest}`?")),
                None => self.fault_at(byte, message),
            }
        })
    }
}

/// The line, from 1, that holds a byte of the text.
#[must_use]
pub fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

/// All content, by its path under `templates/`.
#[derive(Clone, Debug)]
pub struct Content {
    files: BTreeMap<String, File>,
}

impl Content {
    /// The built-in files, overlaid by those of `dir`: a file of the same path replaces the built-in one.
    ///
    /// # Errors
    /// Every file of `dir` that cannot be read as text.
    pub fn load(dir: Option<&Path>) -> Result<Self, Vec<Fault>> {
        let mut content = Self::built_in();
        let mut faults = Vec::new();
        if let Some(dir) = dir {
            for folder in FOLDERS {
                content.overlay(dir, &dir.join(folder), &mut faults);
            }
            if let Err(error) = std::fs::read_dir(dir) {
                faults.push(Fault::new(dir.display().to_string(), 1, format!("[content] dir: {error}")));
            }
        }
        if faults.is_empty() { Ok(content) } else { Err(faults) }
    }

    /// The same as one account says it: the files of `accounts/<id>` laid over the common ones.
    #[must_use]
    pub fn of_account(&self, account: &AccountId) -> Self {
        let mut files: BTreeMap<_, _> = self.files.clone();
        files.retain(|path, _| !path.starts_with("accounts/"));
        for (path, file) in self.own(account) {
            if file.is_empty() {
                files.remove(path);
            } else {
                files.insert(path.to_owned(), file.clone());
            }
        }
        Self { files }
    }

    /// Whether an account has files of its own.
    #[must_use]
    pub fn has_own(&self, account: &AccountId) -> bool {
        self.own(account).next().is_some()
    }

    /// What only one account has, by its path under `accounts/<id>/`.
    fn own<'a>(&'a self, account: &'a AccountId) -> impl Iterator<Item = (&'a str, &'a File)> {
        self.below("accounts").filter_map(move |(path, file)| {
            let inside = path.strip_prefix("accounts/")?.strip_prefix(account.as_str())?;
            inside.strip_prefix('/').map(|path| (path, file))
        })
    }

    /// Only what the program carries.
    #[must_use]
    pub fn built_in() -> Self {
        let mut files = BTreeMap::new();
        for path in BuiltIn::iter().filter(|path| is_content(path)) {
            if let Some(data) = BuiltIn::get(&path).map(|file| file.data) {
                let text = String::from_utf8_lossy(&data).into_owned();
                files.insert(path.to_string(), File { text, origin: format!("templates/{path}") });
            }
        }
        Self { files }
    }

    /// Content made of these files alone, for tests: path under `templates/` and text.
    #[must_use]
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let file =
            |path: &str, text: &str| File { text: text.to_owned(), origin: format!("templates/{path}") };
        Self { files: files.into_iter().map(|(path, text)| (path.to_owned(), file(path, text))).collect() }
    }

    /// The same with one file put over it, as a bank's folder would.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.files.extend(Self::of([(path, text)]).files);
        self
    }

    /// The file at this path under `templates/`.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Every file, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The files below a folder (`services`), in the order of their paths.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a File)> {
        self.files.iter().filter_map(move |(path, file)| {
            path.strip_prefix(folder)?.strip_prefix('/').map(|_| (path.as_str(), file))
        })
    }

    /// What this content is, in 16 hexadecimal characters: equal on every instance that says the same words.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (path, file) in &self.files {
            for part in [path, &file.text] {
                hash.update(part.len().to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        hex::encode(hash.finalize().get(..8).unwrap_or_default())
    }

    fn overlay(&mut self, dir: &Path, folder: &Path, faults: &mut Vec<Fault>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                self.overlay(dir, &path, faults);
                continue;
            }
            let Some(key) =
                path.strip_prefix(dir).ok().and_then(Path::to_str).map(|key| key.replace('\\', "/"))
            else {
                continue;
            };
            let origin = path.display().to_string();
            if let Some(folder) = not_of_an_account(&key) {
                let may = FOLDERS_OF_ACCOUNT.join(", ");
                let message = format!("an account has no {folder} of its own; it may have {may}");
                faults.push(Fault::new(origin, 1, message));
                continue;
            }
            if !is_content(&key) {
                continue;
            }
            match read(&path) {
                Ok(text) if text.trim().is_empty() && !key.starts_with("accounts/") => {
                    self.files.remove(&key);
                }
                Ok(_) if self.files.len() >= FILES_MAX => {
                    faults.push(Fault::new(origin, 1, format!("more than {FILES_MAX} files of content")));
                }
                Ok(text) => {
                    self.files.insert(key, File { text, origin });
                }
                Err(reason) => faults.push(Fault::new(origin, 1, reason)),
            }
        }
    }
}

/// Hidden files and editors' backups are none.
fn is_content(path: &str) -> bool {
    let known = |kind: &str| path.ends_with(kind);
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    !hidden
        && (known(".toml")
            || known(".md")
            || known(".txt")
            || (known(".json") && path.starts_with("operations/")))
        && path.split('/').next().is_some_and(|folder| FOLDERS.contains(&folder))
}

/// The folder of a file under `accounts/<id>/` that no account may have.
fn not_of_an_account(path: &str) -> Option<&str> {
    let (_, inside) = path.strip_prefix("accounts/")?.split_once('/')?;
    let folder = inside.split('/').next().unwrap_or(inside);
    (is_content(path) && !FOLDERS_OF_ACCOUNT.contains(&folder)).then_some(folder)
}

fn read(path: &Path) -> Result<String, String> {
    let size_bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size_bytes > FILE_BYTES_MAX {
        return Err(format!("the file has {size_bytes} bytes, {FILE_BYTES_MAX} are allowed"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8; save it as UTF-8".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned).replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banks_file_replaces_the_built_in_one_and_changes_the_hash() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("services/bill");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("own.toml"), "\u{feff}id = 1\r\n").unwrap();
        std::fs::write(folder.join("own.toml~"), "backup").unwrap();
        std::fs::create_dir_all(dir.path().join("pages")).unwrap();
        std::fs::write(dir.path().join("pages/x.txt"), "page").unwrap();
        let content = Content::load(Some(dir.path())).unwrap();
        let own = content.file("services/bill/own.toml").unwrap();
        assert_eq!(own.text, "id = 1\n");
        assert_eq!(own.fault_at(7, "x").line, 2);
        assert!(content.file("pages/x.txt").is_none());
        assert!(content.below("services").count() > 1, "the built-in ones stay");
        assert_ne!(content.hash(), Content::built_in().hash());
        assert_eq!(Content::built_in().hash(), Content::built_in().hash());
    }

    #[test]
    fn an_account_has_its_own_words_over_the_banks_and_an_empty_file_takes_one_away() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("lexicon/words.toml", "bank = 1\n");
        write("lexicon/talk.toml", "\n");
        write("accounts/loan/lexicon/words.toml", "loan = 1\n");
        write("accounts/loan/lexicon/fillers.toml", "");
        let content = Content::load(Some(dir.path())).unwrap();
        let (card, loan) = (AccountId::new("card"), AccountId::new("loan"));
        let text = |content: &Content, path: &str| content.file(path).map(|file| file.text.clone());
        assert!(content.has_own(&loan) && !content.has_own(&card) && !content.has_own(&AccountId::new("lo")));
        let (card, loan) = (content.of_account(&card), content.of_account(&loan));
        assert_eq!(text(&card, "lexicon/words.toml").unwrap(), "bank = 1\n");
        assert_eq!(text(&loan, "lexicon/words.toml").unwrap(), "loan = 1\n");
        assert!(
            text(&card, "lexicon/fillers.toml").is_some() && text(&loan, "lexicon/fillers.toml").is_none()
        );
        assert!(text(&card, "lexicon/talk.toml").is_none(), "taken away for everybody");
        assert!(loan.below("accounts").next().is_none());

        write("accounts/loan/notices/spend.toml", "x = 1");
        let faults = Content::load(Some(dir.path())).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].message.contains("an account has no notices of its own"), "{faults:?}");
    }

    #[test]
    fn unreadable_content_is_told_file_by_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("lexicon")).unwrap();
        std::fs::write(dir.path().join("lexicon/a.toml"), [0xff, 0xfe]).unwrap();
        std::fs::write(dir.path().join("lexicon/b.txt"), vec![b'x'; 600 * 1024]).unwrap();
        let faults = Content::load(Some(dir.path())).unwrap_err();
        assert_eq!(faults.len(), 2);
        assert!(faults[0].to_string().ends_with("a.toml:1: the file is not UTF-8; save it as UTF-8"));
        assert!(Content::load(Some(&dir.path().join("absent"))).is_err());
    }
}
