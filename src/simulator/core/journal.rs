//! The sandbox's memory: one file of JSON lines, only ever appended to, each line on disk before it is answered for.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::events::Event;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("sandbox journal {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another sandbox core writes to it.
    #[error("sandbox journal {path} is in use by another process; stop it, or use another data folder")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line in the middle is damaged.
    #[error(
        "sandbox journal {path}, line {line}: {reason}; remove the file to start from fresh made-up data"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The open file, held against other processes.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    is_released: bool,
}

impl Journal {
    /// Opens or makes the file and gives back what it holds. A last line that was torn by a crash was never
    /// answered for: it is cut off.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Event>), JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path).map_err(failed)?;
        if file.try_lock().is_err() {
            return Err(JournalError::InUse { path: path.to_owned() });
        }
        let mut events = Vec::new();
        let mut whole_bytes = 0_u64;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            let batch: Vec<Event> = serde_json::from_slice(&line).map_err(|error| JournalError::Damaged {
                path: path.to_owned(),
                line: number,
                reason: error.to_string(),
            })?;
            events.extend(batch);
            whole_bytes += u64::try_from(length).unwrap_or(0);
        }
        drop(reader);
        file.set_len(whole_bytes).map_err(failed)?;
        let mut journal = Self { path: path.to_owned(), file, is_released: false };
        journal.file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok((journal, events))
    }

    /// Lets another process have the file. Whoever still holds this journal can no longer append: work that was
    /// under way on another thread must not write into what somebody else has opened.
    pub(super) fn release(&mut self) -> Result<(), JournalError> {
        self.is_released = true;
        self.file.unlock().map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }

    /// Appends one line and waits until it is on disk.
    pub(super) fn append(&mut self, batch: &[Event]) -> Result<(), JournalError> {
        let failed = |source| JournalError::Io { path: self.path.clone(), source };
        if self.is_released {
            return Err(failed(std::io::Error::other("the journal is closed")));
        }
        let mut line = serde_json::to_vec(batch).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        let before = self.file.metadata().map_err(failed)?.len();
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line in the middle of the file would make the rest unreadable.
            self.file.set_len(before).map_err(failed)?;
            return Err(failed(error));
        }
        Ok(())
    }
}
