//! Reads the whole audit trail and says whether it is as it was written.

use std::fmt;
use std::time::Duration;

use super::{CHAIN, CHAINS, ChainKey, LINES, ROOT, STRANGE_CHAINS, UNCHAINED};
use crate::domain::time::UnixMs;
use crate::store::{Row, Store, StoreError, Value};

/// Chains and lines that are read at once.
const PAGE: i64 = 500;
/// While machines are upgraded one by one, an older version still writes lines without a chain.
const UPGRADE: Duration = Duration::from_secs(24 * 3600);
/// Faults that are told; the rest is only counted.
const FAULTS_MAX: usize = 200;

/// What was found.
#[derive(Debug, Default)]
pub struct AuditReport {
    /// Chains that were read.
    pub chains: i64,
    /// Lines that were checked.
    pub lines: i64,
    /// Lines from before there were chains, or of the day on which there came to be; nothing can be said of them.
    pub lines_before: i64,
    /// What is wrong; empty when everything is as it was written. At most 200 are kept.
    pub faults: Vec<AuditFault>,
    /// Faults beyond those that are kept.
    pub faults_more: u64,
}

impl AuditReport {
    fn tell(&mut self, fault: AuditFault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.faults_more += 1;
        }
    }
}

/// One thing that is wrong with the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFault {
    /// Lines of a chain are not there, from this place to that.
    Gone {
        /// The chain.
        chain: i64,
        /// The first that is missing.
        from: i64,
        /// The last that is missing.
        to: i64,
    },
    /// A line says something else than was written, or stands where it did not.
    Changed {
        /// The chain.
        chain: i64,
        /// The line's place in it.
        seq: i64,
        /// The line's id.
        audit_id: String,
    },
    /// There are lines behind the end of a chain.
    Added {
        /// The chain.
        chain: i64,
        /// The last place that the chain vouches for.
        end: i64,
    },
    /// The head of a chain was changed, or set back.
    Head {
        /// The chain.
        chain: i64,
    },
    /// A chain is not there any more.
    ChainGone {
        /// The chain.
        chain: i64,
    },
    /// Lines name a chain that was never begun, or whose head is gone.
    Strange {
        /// The chain.
        chain: i64,
        /// How many.
        lines: i64,
    },
    /// The count of chains was changed or taken away.
    Root,
    /// Lines without a chain, from a time when every line has one.
    Unchained {
        /// How many.
        lines: i64,
    },
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { chain, from, to } if from == to => write!(f, "chain {chain}: line {from} is gone"),
            Self::Gone { chain, from, to } => write!(f, "chain {chain}: lines {from} to {to} are gone"),
            Self::Changed { chain, seq, audit_id } => {
                write!(f, "chain {chain}: line {seq} ({audit_id}) was changed or moved")
            }
            Self::Added { chain, end } => {
                write!(f, "chain {chain}: there are lines behind its end, line {end}")
            }
            Self::Head { chain } => write!(f, "chain {chain}: its head was changed"),
            Self::ChainGone { chain } => write!(f, "chain {chain} is gone"),
            Self::Strange { chain, lines } => {
                write!(f, "{lines} lines name chain {chain}, which has no head")
            }
            Self::Root => f.write_str("the count of chains was changed or taken away"),
            Self::Unchained { lines } => write!(f, "{lines} lines were added without a chain"),
        }
    }
}

/// The head of a chain as stored.
struct Head {
    chain: i64,
    opened: UnixMs,
    entries: i64,
    link: Vec<u8>,
    fits: bool,
}

impl Head {
    fn read(row: &Row, key: &ChainKey) -> Result<Self, StoreError> {
        let (chain, opened, entries) = (row.int(0)?, row.time(1)?, row.int(2)?);
        let link = row.blob(3)?.to_vec();
        let fits = row.blob(4)? == key.head_seal(chain, opened, entries, &link);
        Ok(Self { chain, opened, entries, link, fits })
    }
}

impl Store {
    /// Checks every line of the audit trail, while others go on writing.
    ///
    /// # Errors
    /// When the database fails. What is wrong with the trail is in the report.
    pub async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        let Some(key) = ChainKey::of(self.vault()) else { return Err(StoreError::Closed) };
        let mut report = AuditReport::default();
        let counted = self.verify_root(&key, &mut report).await?;
        let mut first_opened = None;
        loop {
            let rows = self.fetch(CHAINS, vec![report.chains.into(), PAGE.into()]).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let head = Head::read(row, &key)?;
                for chain in report.chains + 1..head.chain {
                    report.tell(AuditFault::ChainGone { chain });
                }
                report.chains = head.chain;
                first_opened = first_opened.or(Some(head.opened));
                self.verify_chain(&key, &head, &mut report).await?;
            }
        }
        // Chains that were begun while this was reading are newer than the count.
        for chain in report.chains + 1..=counted {
            report.tell(AuditFault::ChainGone { chain });
        }
        for row in self.fetch(STRANGE_CHAINS, vec![]).await? {
            report.tell(AuditFault::Strange { chain: row.int(0)?, lines: row.int(1)? });
        }
        let since = first_opened.map_or(UnixMs(i64::MAX), |opened| opened + UPGRADE);
        if let Some(row) = self.fetch_one(UNCHAINED, vec![since.into()]).await? {
            report.lines_before = row.int(0)?;
            if row.int(1)? > 0 {
                report.tell(AuditFault::Unchained { lines: row.int(1)? });
            }
        }
        Ok(report)
    }

    /// How many chains there are said to be.
    async fn verify_root(&self, key: &ChainKey, report: &mut AuditReport) -> Result<i64, StoreError> {
        let Some(row) = self.fetch_one(ROOT, vec![]).await? else { return Ok(0) };
        let counted = row.int_opt(0)?;
        let fits = match counted {
            None => row.int_opt(2)?.is_none(),
            Some(counted) => row.blob_opt(1)? == Some(&key.root_seal(counted)[..]),
        };
        if !fits {
            report.tell(AuditFault::Root);
        }
        Ok(counted.unwrap_or(0))
    }

    async fn verify_chain(
        &self,
        key: &ChainKey,
        head: &Head,
        report: &mut AuditReport,
    ) -> Result<(), StoreError> {
        let chain = head.chain;
        if !head.fits {
            report.tell(AuditFault::Head { chain });
        }
        let mut last = 0;
        // Unknown behind a gap: the line there cannot be checked, but the gap is told.
        let mut before = Some(vec![0; 32]);
        loop {
            let rows = self.fetch(LINES, vec![chain.into(), last.into(), PAGE.into()]).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let seq = row.int(7)?;
                if seq != last + 1 {
                    report.tell(AuditFault::Gone { chain, from: last + 1, to: seq - 1 });
                    before = None;
                }
                let link = row.blob(8)?;
                let fits = before.as_ref().is_none_or(|before| {
                    let line = row.values.get(..super::COVERED).unwrap_or_default();
                    key.link(line, chain, seq, before) == link
                });
                if !fits {
                    report.tell(AuditFault::Changed { chain, seq, audit_id: row.text(0)?.to_owned() });
                }
                if seq == head.entries && head.link != link && head.fits && fits {
                    report.tell(AuditFault::Head { chain });
                }
                before = Some(link.to_vec());
                last = seq;
                report.lines += 1;
            }
        }
        if last < head.entries {
            report.tell(AuditFault::Gone { chain, from: last + 1, to: head.entries });
        }
        if last > head.entries && self.head_end(chain).await? < last {
            report.tell(AuditFault::Added { chain, end: head.entries });
        }
        Ok(())
    }

    /// Where a chain ends now.
    async fn head_end(&self, chain: i64) -> Result<i64, StoreError> {
        let row = self.fetch_one(CHAIN, vec![Value::from(chain)]).await?;
        row.map_or(Ok(0), |row| row.int(2))
    }
}
