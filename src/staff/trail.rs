//! The audit trail as administrators read it.

use serde_json::json;

use super::{Session, Staff};
use crate::domain::time::UnixMs;
use crate::store::{AuditLine, Commit, StoreError};

impl Staff {
    /// The newest lines before this one, newest first; `None`: from the end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_lines(
        &self,
        before: Option<(UnixMs, &str)>,
        lines_max: usize,
    ) -> Result<Vec<AuditLine>, StoreError> {
        self.store.audit_lines(before, u32::try_from(lines_max).unwrap_or(u32::MAX)).await
    }

    /// The newest lines for a file that leaves the house: the first of them tells who took it.
    ///
    /// # Errors
    /// When the database fails; nothing leaves then.
    pub async fn take_audit_out(
        &self,
        session: &Session,
        lines_max: usize,
    ) -> Result<Vec<AuditLine>, StoreError> {
        let line = self.audit(&session.name, "audit_taken_out", json!({ "lines_max": lines_max }))?;
        self.commit(Commit::new(0).with(line)).await?;
        self.audit_lines(None, lines_max).await
    }
}
