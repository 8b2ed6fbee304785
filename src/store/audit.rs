//! The audit trail: who did what, append-only, in chains that show when a line is taken away, changed or moved.
//!
//! Each lane of the writer has a chain of its own, begun with its first line, so that neither lanes nor instances
//! wait for each other. A line's link is a keyed hash of the line and of the link before; the chain's head, under a
//! seal, is written in the same transaction as its last line; and a sealed count tells how many chains there are.
//! Whoever changes the tables without the data keys is found by [`Store::verify_audit`]. What no database can tell of
//! itself is that it, or one chain with its head, was set back to an older copy: keep the counts that verification prints.

mod verify;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub use verify::{AuditFault, AuditReport};

use super::database::{BEGIN, Connection};
use super::value::{Value, statements};
use super::{Commit, Conflict, Row, Statement, Store, StoreError, Write};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::keys::{Place, Vault};

const DETAIL: Place = Place("audit.detail");
/// Columns of a line that its link covers: they stand first in [`ADD`].
const COVERED: usize = 7;
/// Instances that begin a chain at the same moment try again this often.
const OPEN_TRIES_MAX: usize = 64;

statements! {
    ADD = "INSERT INTO audit (audit_id, at_ms, actor, action, account, fkey, detail_sealed, chain, seq, link) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (audit_id) DO NOTHING";
    ROOT = "SELECT r.chains, r.seal, (SELECT max(chain) FROM audit_chain) FROM (SELECT 1 AS one) o \
        LEFT JOIN audit_root r ON r.root = o.one";
    FIRST_ROOT = "INSERT INTO audit_root (root, chains, seal) VALUES (1, $1, $2) ON CONFLICT (root) DO NOTHING";
    NEXT_ROOT = "UPDATE audit_root SET chains = $1, seal = $2 WHERE root = 1 AND chains < $1";
    OPEN_CHAIN = "INSERT INTO audit_chain (chain, opened_ms, entries, link, seal) VALUES ($1, $2, 0, $3, $4) \
        ON CONFLICT (chain) DO NOTHING";
    SAVE_HEAD = "UPDATE audit_chain SET entries = $2, link = $3, seal = $4 WHERE chain = $1";
    CHAINS = "SELECT chain, opened_ms, entries, link, seal FROM audit_chain WHERE chain > $1 \
        ORDER BY chain LIMIT $2";
    CHAIN = "SELECT chain, opened_ms, entries, link, seal FROM audit_chain WHERE chain = $1";
    LINES = "SELECT audit_id, at_ms, actor, action, account, fkey, detail_sealed, seq, link FROM audit \
        WHERE chain = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    STRANGE_CHAINS = "SELECT a.chain, count(*) FROM audit a WHERE a.chain IS NOT NULL AND NOT EXISTS \
        (SELECT 1 FROM audit_chain c WHERE c.chain = a.chain) GROUP BY a.chain ORDER BY a.chain LIMIT 100";
    UNCHAINED = "SELECT count(CASE WHEN at_ms < $1 THEN 1 END), count(CASE WHEN at_ms >= $1 THEN 1 END) \
        FROM audit WHERE chain IS NULL";
    NEWEST = "SELECT audit_id, at_ms, actor, action, account, detail_sealed FROM audit \
        WHERE at_ms < $1 OR (at_ms = $1 AND audit_id < $2) ORDER BY at_ms DESC, audit_id DESC LIMIT $3";
}

/// A line of the audit trail, as people read it.
#[derive(Clone, Debug)]
pub struct AuditLine {
    /// Its id.
    pub audit_id: String,
    /// When.
    pub at: UnixMs,
    /// Who: a staff name, `customer`, `bank`, or a part of the house.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// At which official account; empty: at none.
    pub account: String,
    /// The rest, as JSON or as one word.
    pub detail: Option<Personal>,
}

impl Store {
    /// One line of the audit trail, chained to the others when it is written. `detail` is sealed.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn audit(
        &self,
        actor: &str,
        action: &str,
        account: &AccountId,
        follower: Option<FollowerKey>,
        detail: Option<&str>,
    ) -> Result<Write, StoreError> {
        let id = self.new_id();
        let sealed =
            detail.map(|detail| self.vault().seal(DETAIL, id.as_bytes(), detail.as_bytes())).transpose()?;
        let args = vec![
            id.into(),
            self.clock().now().into(),
            actor.into(),
            action.into(),
            account.as_str().into(),
            follower.map(|follower| follower.as_bytes().to_vec()).into(),
            sealed.into(),
            Value::Int(None),
            Value::Int(None),
            Value::Blob(None),
        ];
        Ok(Write::one(ADD, args, Conflict::Duplicate))
    }

    /// The newest lines before this one, newest first; `None`: from the end. At most `lines_max`.
    ///
    /// # Errors
    /// When the database fails or a line does not open.
    pub async fn audit_lines(
        &self,
        before: Option<(UnixMs, &str)>,
        lines_max: u32,
    ) -> Result<Vec<AuditLine>, StoreError> {
        let (at, id) = before.unwrap_or((UnixMs(i64::MAX), ""));
        let rows = self.fetch(NEWEST, vec![at.into(), id.into(), lines_max.into()]).await?;
        let read = |row: &Row| {
            let id = row.text(0)?;
            let open = |sealed| {
                let plain = self.vault().open(DETAIL, id.as_bytes(), sealed)?;
                Ok::<_, StoreError>(Personal::new(row.utf8(5, &plain)?))
            };
            Ok(AuditLine {
                audit_id: id.to_owned(),
                at: row.time(1)?,
                actor: row.text(2)?.to_owned(),
                action: row.text(3)?.to_owned(),
                account: row.text(4)?.to_owned(),
                detail: row.blob_opt(5)?.map(open).transpose()?,
            })
        };
        rows.iter().map(read).collect()
    }
}

/// What links and seals are made with: only who has the data keys makes a line that fits.
#[derive(Clone)]
pub(super) struct ChainKey(Hmac<Sha256>);

impl ChainKey {
    /// `None` never happens: every length of key does.
    pub(super) fn of(vault: &Vault) -> Option<Self> {
        Hmac::new_from_slice(&vault.keyed_hash("audit chain", &[])).ok().map(Self)
    }

    fn hash<'a>(&self, what: &str, values: impl IntoIterator<Item = &'a Value>) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(what.as_bytes());
        for value in values {
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Int(None) | Value::Text(None) | Value::Blob(None) => (0, &[]),
                Value::Int(Some(number)) => (1, &number.to_be_bytes()),
                Value::Text(Some(text)) => (2, text.as_bytes()),
                Value::Blob(Some(bytes)) => (3, bytes),
            };
            mac.update(&[kind]);
            mac.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(bytes);
        }
        mac.finalize().into_bytes().into()
    }

    /// The link of a line: of what it says, where it stands, and the link before it.
    fn link(&self, line: &[Value], chain: i64, seq: i64, before: &[u8]) -> [u8; 32] {
        let place = [chain.into(), seq.into(), before.into()];
        self.hash("line", line.iter().take(COVERED).chain(&place))
    }

    fn head_seal(&self, chain: i64, opened: UnixMs, entries: i64, link: &[u8]) -> [u8; 32] {
        self.hash("head", &[chain.into(), opened.into(), entries.into(), link.into()])
    }

    fn root_seal(&self, chains: i64) -> [u8; 32] {
        self.hash("root", &[chains.into()])
    }
}

/// The chain of one lane of the writer.
#[derive(Clone)]
pub(super) struct Trail {
    key: ChainKey,
    end: Option<End>,
}

/// Where a chain ends.
#[derive(Clone, Copy)]
struct End {
    chain: i64,
    opened: UnixMs,
    entries: i64,
    link: [u8; 32],
}

impl Trail {
    pub(super) fn new(key: ChainKey) -> Self {
        Self { key, end: None }
    }

    /// Another chain follows: whether the last lines of this one stand is not known.
    pub(super) fn leave(&mut self) {
        self.end = None;
    }

    /// Sees that there is a chain when the commits bring lines. Outside any transaction, once for each start.
    pub(super) async fn ready(
        &mut self,
        connection: &mut Connection,
        commits: impl Iterator<Item = &Commit>,
    ) -> Result<(), StoreError> {
        if self.end.is_some() {
            return Ok(());
        }
        let mut lines = commits.flat_map(|commit| &commit.writes).filter(|write| is_line(write));
        let Some(line) = lines.next() else { return Ok(()) };
        let Some(Value::Int(Some(at))) = line.args.get(1) else { return Ok(()) };
        self.end = Some(self.open(connection, UnixMs(*at)).await?);
        Ok(())
    }

    async fn open(&self, connection: &mut Connection, opened: UnixMs) -> Result<End, StoreError> {
        for _ in 0..OPEN_TRIES_MAX {
            let rows = connection.fetch_rows(ROOT, ROOT.sql.into(), &[]).await?;
            let row = rows.first().ok_or(StoreError::Closed)?;
            let (counted, newest) = (row.int_opt(0)?, row.int_opt(2)?.unwrap_or(0));
            let chain = counted.unwrap_or(0).max(newest) + 1;
            // A count that was tampered with is never made good again: verification goes on telling of it.
            let whole = match counted {
                None => newest == 0,
                Some(counted) => {
                    row.blob_opt(1)? == Some(&self.key.root_seal(counted)[..]) && counted >= newest
                }
            };
            let seal = if whole { self.key.root_seal(chain).to_vec() } else { Vec::new() };
            let count = if counted.is_none() { FIRST_ROOT } else { NEXT_ROOT };
            let end = End { chain, opened, entries: 0, link: [0; 32] };
            let head = self.key.head_seal(chain, opened, 0, &end.link);
            connection.begin().await.map_err(failed(BEGIN))?;
            let counted = run(connection, count, &[chain.into(), seal.into()]).await?;
            let args = [chain.into(), opened.into(), end.link.into(), head.into()];
            if counted == 1 && run(connection, OPEN_CHAIN, &args).await? == 1 {
                run(connection, super::writer::COMMIT, &[]).await?;
                return Ok(end);
            }
            run(connection, super::writer::ROLLBACK, &[]).await?;
        }
        Err(StoreError::Overloaded(OPEN_TRIES_MAX))
    }

    /// Where the chain is to go back to when what follows does not stand.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.end)
    }

    /// Goes back.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.end = mark.0;
    }

    /// Chains the lines of a commit that is about to be written.
    pub(super) fn chain(&mut self, commit: &mut Commit) {
        let Some(end) = &mut self.end else { return };
        for write in commit.writes.iter_mut().filter(|write| is_line(write)) {
            end.entries += 1;
            end.link = self.key.link(&write.args, end.chain, end.entries, &end.link);
            write.args.truncate(COVERED);
            write.args.extend([end.chain.into(), end.entries.into(), end.link.into()]);
        }
    }

    /// Writes the head when lines came since the mark; in their transaction.
    pub(super) async fn save(&self, connection: &mut Connection, since: Mark) -> Result<(), StoreError> {
        let Some(end) = self.end else { return Ok(()) };
        if since.0.is_some_and(|before| before.entries == end.entries) {
            return Ok(());
        }
        let seal = self.key.head_seal(end.chain, end.opened, end.entries, &end.link);
        let args = [end.chain.into(), end.entries.into(), end.link.into(), seal.into()];
        run(connection, SAVE_HEAD, &args).await.map(drop)
    }
}

/// See [`Trail::mark`].
#[derive(Clone, Copy)]
pub(super) struct Mark(Option<End>);

fn is_line(write: &Write) -> bool {
    write.statement.sql == ADD.sql
}

fn failed(statement: Statement) -> impl Fn(sqlx::Error) -> StoreError {
    super::writer::failed(statement)
}

async fn run(connection: &mut Connection, statement: Statement, args: &[Value]) -> Result<u64, StoreError> {
    connection.execute(statement, args).await.map_err(failed(statement))
}

#[cfg(test)]
mod tests;
