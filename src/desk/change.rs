//! How an action changes a case: read, decide, commit under the versions that were read, and on a lost race again.

use super::Desk;
use super::error::DeskError;
use crate::domain::case::CaseState;
use crate::store::{Case, Commit, CommitError, Conflict, Conversation, Write};

/// Times that an action is decided anew before the agent is asked to try again.
const TRIES_MAX: usize = 16;
/// Newest entries of the log among which answers on their way are looked for; a window never lets that many wait.
const UNSETTLED_MAX: u32 = 20;

impl Desk {
    /// Decides on what is there now and commits; on a lost race again.
    ///
    /// # Errors
    /// What was decided; [`DeskError::Busy`] after too many lost races; when the database fails.
    pub(super) async fn change<T>(
        &self,
        case_id: &str,
        decide: impl Fn(&Case, &mut Conversation) -> Result<(Vec<Write>, T), DeskError>,
    ) -> Result<T, DeskError> {
        for _ in 0..TRIES_MAX {
            let case = self.store.case(case_id).await?.ok_or(DeskError::NoSuchCase)?;
            let mut conversation = self.store.conversation(&case.account, case.follower).await?;
            if !agree(&case, &conversation) {
                continue;
            }
            let (writes, outcome) = decide(&case, &mut conversation)?;
            if self.is_committed(&case, conversation, writes).await? {
                return Ok(outcome);
            }
        }
        Err(DeskError::Busy)
    }

    /// Like [`Self::change`] for what depends on the allowance: the decision is also told how many answers are on their
    /// way that the ledger does not count yet.
    ///
    /// # Errors
    /// As for [`Self::change`].
    pub(super) async fn change_counted<T>(
        &self,
        case_id: &str,
        decide: impl Fn(&Case, &mut Conversation, u32) -> Result<(Vec<Write>, T), DeskError>,
    ) -> Result<T, DeskError> {
        for _ in 0..TRIES_MAX {
            let case = self.store.case(case_id).await?.ok_or(DeskError::NoSuchCase)?;
            let (mut conversation, on_their_way) = self.counted(&case).await?;
            if !agree(&case, &conversation) {
                continue;
            }
            let (writes, outcome) = decide(&case, &mut conversation, on_their_way)?;
            if self.is_committed(&case, conversation, writes).await? {
                return Ok(outcome);
            }
        }
        Err(DeskError::Busy)
    }

    /// A case's conversation, and the agents' answers on their way that its ledger does not count yet: they will use up
    /// the window too. What the bot still owes will not, because the ledger keeps the agent's share from it.
    ///
    /// An answer that is booked between the reads would count twice or not at all. Booking gives the conversation a new
    /// version, so the count stands only while the version did.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn counted(&self, case: &Case) -> Result<(Conversation, u32), DeskError> {
        let mut conversation = self.store.conversation(&case.account, case.follower).await?;
        for _ in 0..TRIES_MAX {
            let on_their_way = self.on_their_way(case).await?;
            let after = self.store.conversation(&case.account, case.follower).await?;
            if after.version == conversation.version {
                return Ok((after, on_their_way));
            }
            conversation = after;
        }
        Err(DeskError::Busy)
    }

    async fn on_their_way(&self, case: &Case) -> Result<u32, DeskError> {
        let booked = self.store.booked_messages(&case.account, case.follower).await?;
        let newest =
            self.store.messages_before(&case.account, case.follower, i64::MAX, UNSETTLED_MAX).await?;
        let unbooked = newest.iter().filter(|message| {
            message.state == "queued"
                && message.author.starts_with("agent:")
                && !booked.contains(&message.seq)
        });
        Ok(u32::try_from(unbooked.count()).unwrap_or(u32::MAX))
    }

    /// Whether the change was committed; `false`: the case or the conversation is no longer what was read.
    async fn is_committed(
        &self,
        case: &Case,
        conversation: Conversation,
        writes: Vec<Write>,
    ) -> Result<bool, DeskError> {
        if writes.is_empty() {
            return Ok(true);
        }
        let mut commit = Commit::new(case.follower.part());
        commit.extend(writes);
        commit.push(self.store.save_conversation(conversation)?);
        match self.store.commit(commit).await {
            Ok(()) => {
                self.speak.wake(case.follower.part());
                self.notify(&case.account, case.follower);
                Ok(true)
            }
            Err(CommitError::Conflict(Conflict::Stale | Conflict::Lost)) => Ok(false),
            Err(CommitError::Conflict(Conflict::Duplicate)) => Err(DeskError::Repeated),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }
}

/// Case and conversation are two reads: when somebody changed both in between, what was read never was.
fn agree(case: &Case, conversation: &Conversation) -> bool {
    if conversation.case_id.as_deref() == Some(case.case_id.as_str()) {
        return case.state.stage() == Some(conversation.stage);
    }
    case.state == CaseState::WrapUp || case.state.is_over()
}
