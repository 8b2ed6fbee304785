//! Who has a conversation before him: two agents who read the same one know of each other, on whatever instance.

use std::time::Duration;

use super::Desk;
use crate::domain::time::UnixMs;
use crate::domain::window::UserAction;
use crate::staff::Session;
use crate::store::{Commit, CommitError, Conversation, StoreError, Write};

/// Who read a conversation within this time has it before him: pages read every fifteen seconds at least.
const LOOKING_FOR: Duration = Duration::from_secs(20);
/// It is noted again only when it was noted so long ago.
const NOTED_EVERY: Duration = Duration::from_secs(8);
/// Whoever was silent for so long turns to the bot anew when he writes.
const CONTACT_GAP: Duration = Duration::from_secs(30 * 60);
/// Turns of somebody who has followed and now does the first thing after it.
const FOLLOWED_AND_THIS: i64 = 2;

impl Desk {
    /// Notes that somebody reads a case, and tells who else does. Supervisors join silently: nobody is told of one unless
    /// the case is his.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn looking(
        &self,
        session: &Session,
        case_id: &str,
        is_mine: bool,
    ) -> Result<Vec<String>, StoreError> {
        let now = self.now();
        let mut looking = self.store.looking_at(case_id, now - LOOKING_FOR).await?;
        let is_silent = session.role.sees_every_case() && !is_mine;
        let noted = looking.iter().any(|(name, at)| *name == session.name && now.since(*at) < NOTED_EVERY);
        if !noted && !is_silent {
            let mut commit = Commit::new(0).with(self.store.note_looking(case_id, &session.name, now));
            if !looking.iter().any(|(name, _)| *name == session.name) {
                // He is new here: the screens of the others are told.
                commit.push(self.store.touch_case(case_id, now));
            }
            if let Err(CommitError::Store(error)) = self.store.commit(commit).await {
                return Err(error);
            }
        }
        looking.retain(|(name, _)| *name != session.name);
        Ok(looking.into_iter().map(|(name, _)| name).collect())
    }

    /// A follower does something, told before it opens his window: whether he turns to the bot anew. Reports count it.
    #[must_use]
    pub fn contact(&self, conversation: &Conversation, action: Option<UserAction>) -> Option<Write> {
        action?;
        let now = self.now();
        let ledger = &conversation.ledger;
        let last = ledger.message.granted.max(ledger.tap.granted);
        // Following opens a window too, but whoever has only followed has not turned to the bot yet.
        let only_followed = conversation.turn <= FOLLOWED_AND_THIS && ledger.message.granted == UnixMs(0);
        let silent = only_followed || now.since(last) >= CONTACT_GAP;
        let anew = conversation.case_id.is_none() && silent;
        anew.then(|| self.store.begin_contact(&conversation.account, conversation.follower, now))
    }
}
