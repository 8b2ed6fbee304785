//! People answering people: the queue, who has which case, what agents say.
//!
//! Who owns a conversation is decided by [`Stage`] alone and saved under the conversation's version; the case
//! row follows it in the same commit. Two kinds of callers: the path of an inbound message, which mutates a
//! [`Conversation`] here and commits it itself, and agents, whose actions are whole commits (`actions`).

pub mod hours;

mod about;
mod actions;
mod assign;
mod by;
mod change;
mod complaints;
mod error;
mod external;
mod files;
mod groups;
mod live;
mod looking;
mod media;
mod quality;
mod rating;
mod reasons;
mod replies;
mod report;
mod reveal;
mod said;
mod supervise;
mod tend;
mod view;
mod voice;
mod wanted;
mod wording;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

pub use about::{About, Adviser, Guess, Said, Told};
pub use actions::Answered;
pub use by::{By, Remember};
pub use error::DeskError;
pub use external::name_outside;
pub use files::DeskFiles;
pub use groups::{Group, Groups};
pub use hours::Hours;
pub use live::Hint;
pub use reasons::{Reason, Reasons};
pub use replies::Reply;
pub use report::{Containment, Figures, GroupOnWall, REPORT_DAYS_MAX, Report};
pub use reveal::Purpose;
pub use tend::Tended;
pub use view::{Allowance, Listed, Transcript, View, WhyNot};
pub use voice::playable;
pub use wanted::Wanted;
pub use wording::Objection;

use crate::domain::case::{CaseState, CloseReason, Priority};
use crate::domain::conversation::{DoesNotApply, Happening, Stage};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::domain::window::Sender;
use crate::hints::Hints;
use crate::outbound::{Apis, Cause, Outbound};
use crate::store::{Case, Channel, Conversation, Direction, Message, Store, StoreError, Write};
use crate::wechat::api::CustomMessage;
use live::Live;

/// What the desk says to the outside, through [`Outbound`].
pub trait Speak: Send + Sync {
    /// Enqueues what somebody says to a customer; it stands in the log as entry `seq` in state `queued`.
    ///
    /// # Errors
    /// When sealing fails.
    fn say(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        sender: Sender,
        seq: i64,
        message: &CustomMessage,
    ) -> Result<Vec<Write>, StoreError>;

    /// Enqueues an event to the bank; nothing where no receiver is configured.
    ///
    /// # Errors
    /// When sealing fails.
    fn event(
        &self,
        kind: &'static str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: Value,
    ) -> Result<Vec<Write>, StoreError>;

    /// Hints that a partition has new work.
    fn wake(&self, part: u8);
}

impl Speak for Outbound {
    fn say(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        sender: Sender,
        seq: i64,
        message: &CustomMessage,
    ) -> Result<Vec<Write>, StoreError> {
        self.customer_service(account, follower, sender, message, Cause::Message { seq })
    }

    fn event(
        &self,
        kind: &'static str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: Value,
    ) -> Result<Vec<Write>, StoreError> {
        Outbound::event(self, kind, account, customer, data)
    }

    fn wake(&self, part: u8) {
        Outbound::wake(self, part);
    }
}

/// Tells a customer outside the chat that an answer waits for him there.
pub trait Remind: Send + Sync {
    /// What to commit for it, under this new id; nothing where the account has no template for it.
    fn remind<'a>(
        &'a self,
        account: &'a AccountId,
        customer: &'a CustomerId,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Write>, StoreError>>;

    /// After that commit.
    fn wake(&self);
}

/// Whether people answer now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Inside working hours.
    pub open: bool,
    /// The usual hours in words: `每天 8:00–22:00`.
    pub hours: String,
    /// How many wait.
    pub waiting: u32,
    /// How long the next one waits at most.
    pub wait_minutes: u32,
}

/// A customer's place in the queue.
#[derive(Debug)]
pub struct Escalation {
    /// What the caller commits, together with the conversation.
    pub writes: Vec<Write>,
    /// Place in the queue from 1; 0 when an agent has the conversation already.
    pub place: u32,
    /// An honest upper estimate of the wait.
    pub minutes_max: u32,
}

/// Why the path of an inbound message could not involve the desk.
#[derive(Debug, thiserror::Error)]
pub enum EscalateError {
    /// The conversation is in a stage where the wish has no meaning.
    #[error(transparent)]
    DoesNotApply(#[from] DoesNotApply),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The desk. Share it by `Arc`.
pub struct Desk {
    store: Store,
    files: ArcSwap<DeskFiles>,
    speak: Arc<dyn Speak>,
    apis: Arc<Apis>,
    live: Live,
    /// Accounts that another system answers.
    external: HashSet<AccountId>,
    /// The robot, where there is one to ask.
    adviser: Option<Arc<dyn Adviser>>,
    /// How customers are told that an answer waits for them.
    reminder: Option<Arc<dyn Remind>>,
    /// How many waited in each account, and when they were counted.
    counted: Mutex<HashMap<AccountId, (Instant, u32)>>,
    /// The other instances.
    others: Arc<Hints>,
}

impl Desk {
    /// Longest code of a reason or a skill; what is longer is cut.
    pub const CODE_CHARS_MAX: usize = 64;
    /// The number of those who wait, told to customers in passing, is counted this often; a change in this process is
    /// told at once.
    const COUNT_EVERY: Duration = Duration::from_secs(1);
    /// What one place in the queue costs at most, for the estimate that customers are told.
    const MINUTES_PER_PLACE: u32 = 3;

    /// Over a store, with its clock and its randomness. By the APIs come and go the customers' files.
    #[must_use]
    pub fn new(store: Store, files: DeskFiles, speak: Arc<dyn Speak>, apis: Arc<Apis>) -> Self {
        Self {
            store,
            files: ArcSwap::from_pointee(files),
            speak,
            apis,
            live: Live::new(),
            external: HashSet::new(),
            adviser: None,
            reminder: None,
            counted: Mutex::default(),
            others: Arc::default(),
        }
    }

    /// From now on other instances are told at once that something changed.
    #[must_use]
    pub fn hinting(mut self, others: Arc<Hints>) -> Self {
        self.others = others;
        self
    }

    /// From now on customers are told, where WeChat lets nothing through, that an answer waits for them.
    #[must_use]
    pub fn reminding_by(mut self, reminder: Arc<dyn Remind>) -> Self {
        self.reminder = Some(reminder);
        self
    }

    /// From now on these files hold.
    pub fn set_files(&self, files: DeskFiles) {
        self.files.store(Arc::new(files));
    }

    /// The files that hold now.
    #[must_use]
    pub fn files(&self) -> Arc<DeskFiles> {
        self.files.load_full()
    }

    /// Whether people answer now, and how many wait.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status(&self, account: &AccountId) -> Result<Status, StoreError> {
        let waiting = self.waiting(account).await?;
        let files = self.files.load();
        Ok(Status {
            open: files.hours.is_open(account, self.now()),
            hours: files.hours.words(account),
            waiting,
            wait_minutes: estimate(waiting).minutes_max,
        })
    }

    async fn waiting(&self, account: &AccountId) -> Result<u32, StoreError> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied();
        if let Some((at, waiting)) = counted
            && at.elapsed() < Self::COUNT_EVERY
        {
            return Ok(waiting);
        }
        let at = Instant::now();
        let waiting = self.store.count_waiting(account).await?;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.insert(account.clone(), (at, waiting));
        Ok(waiting)
    }

    /// Puts the conversation into the queue. Already waiting: the same place, but a more urgent wish moves it up. With
    /// an agent: nothing changes. A promised call-back is taken along instead of a second case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn escalate(
        &self,
        conversation: &mut Conversation,
        wanted: Wanted<'_>,
        customer: Option<&CustomerId>,
    ) -> Result<Escalation, EscalateError> {
        match conversation.stage {
            Stage::WithAgent => {
                let writes = self.complaint_in_open_case(conversation, wanted, customer).await?;
                return Ok(Escalation { writes, place: 0, minutes_max: 0 });
            }
            Stage::Waiting => return self.press(conversation, wanted, customer).await,
            Stage::Bot | Stage::WrapUp => {}
        }
        let promised = match (&conversation.case_id, conversation.stage) {
            (Some(case_id), Stage::Bot) => self.store.case(case_id).await?,
            _ => None,
        };
        let now = self.now();
        conversation.stage = conversation.stage.after(Happening::Escalate)?;
        let (case, mut writes) = match promised.filter(|case| case.state == CaseState::CallBack) {
            Some(before) => {
                let after = self.more_pressing(&before, wanted);
                let write = self.store.requeue_case(&before, &after);
                (after, vec![write])
            }
            None => {
                let mut case = self.new_case(conversation, CaseState::Waiting, wanted, now);
                case.prefer = self.who_knows(&case).await?;
                let mut writes = vec![self.store.insert_case(&case)];
                writes.extend(self.opened(&case, customer)?);
                writes.extend(self.want_earlier_media(conversation).await?);
                (case, writes)
            }
        };
        writes.extend(self.complaint_of_customer(&case, wanted, customer).await?);
        conversation.case_id = Some(case.case_id.clone());
        writes.push(self.note(conversation, json!({ "what": "queued", "reason": case.reason }))?);
        let before = self.store.count_before(&case.account, case.rank, &case.case_id).await?;
        Ok(Escalation { writes, ..estimate(before) })
    }

    /// The customer leaves the queue.
    ///
    /// # Errors
    /// When he does not wait.
    pub fn cancel_wait(
        &self,
        conversation: &mut Conversation,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, EscalateError> {
        conversation.stage = conversation.stage.after(Happening::CancelWait)?;
        let mut writes = vec![self.note(conversation, json!({ "what": "cancelled" }))?];
        writes.extend(self.end_anyhow(conversation, CloseReason::Cancelled, customer)?);
        Ok(writes)
    }

    /// The follower left: whatever case is open ends.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn leave_writes(
        &self,
        conversation: &mut Conversation,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, EscalateError> {
        conversation.stage = conversation.stage.after(Happening::Leave)?;
        Ok(self.end_anyhow(conversation, CloseReason::Unfollowed, customer)?)
    }

    /// Nobody is on shift: promises that an agent writes later. A second wish changes nothing.
    ///
    /// # Errors
    /// When a person is involved already.
    pub async fn call_back(
        &self,
        conversation: &mut Conversation,
        wanted: Wanted<'_>,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, EscalateError> {
        let stage = match conversation.stage {
            Stage::Bot if conversation.case_id.is_some() => {
                return Ok(self.complaint_in_open_case(conversation, wanted, customer).await?);
            }
            Stage::Bot => Stage::Bot,
            Stage::WrapUp => Stage::WrapUp.after(Happening::Wrapped)?,
            stage => return Err(DoesNotApply { stage, happening: Happening::Escalate }.into()),
        };
        let case = self.new_case(conversation, CaseState::CallBack, wanted, self.now());
        let mut writes = vec![self.store.insert_case(&case)];
        writes.extend(self.opened(&case, customer)?);
        writes.extend(self.complaint_of_customer(&case, wanted, customer).await?);
        writes.extend(self.want_earlier_media(conversation).await?);
        conversation.stage = stage;
        conversation.case_id = Some(case.case_id);
        writes.push(self.note(conversation, json!({ "what": "call_back" }))?);
        Ok(writes)
    }

    /// The customer wrote, as the newest entry of the log, while a case is open: it shows as unread, and another
    /// system that answers the account is told the entry's number.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn customer_said(
        &self,
        conversation: &Conversation,
        customer: Option<&CustomerId>,
        at: UnixMs,
    ) -> Result<Vec<Write>, StoreError> {
        let Some(case_id) = &conversation.case_id else { return Ok(vec![]) };
        let mut writes = vec![self.store.note_customer_said(case_id, at)];
        if self.is_external(&conversation.account) {
            let data = json!({ "case_id": case_id, "seq": conversation.seq });
            writes.extend(self.speak.event("case_message", &conversation.account, customer, data)?);
        }
        Ok(writes)
    }

    /// After a commit: tells open screens that a conversation changed.
    pub fn notify(&self, account: &AccountId, follower: FollowerKey) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
        self.live.tell(Hint { account: account.clone(), follower, owner: None });
        self.others.desk();
    }

    /// After a commit in which a customer said something and nothing else changed: tells the screen of whoever has the
    /// conversation, where that is known here, else every screen.
    pub fn notify_said(&self, account: &AccountId, follower: FollowerKey) {
        self.live.tell(Hint { account: account.clone(), follower, owner: self.live.owner(follower) });
        self.others.desk();
    }

    /// After another instance's commit: looks at once for what changed.
    pub fn look_now(&self) {
        self.live.look_now();
    }

    /// Hints for one screen.
    #[must_use]
    pub fn hints(&self) -> tokio::sync::broadcast::Receiver<Hint> {
        self.live.listen()
    }

    /// The present moment, for screens that count on from it.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.store.clock().now()
    }

    fn new_case(
        &self,
        conversation: &Conversation,
        state: CaseState,
        wanted: Wanted<'_>,
        now: UnixMs,
    ) -> Case {
        let priority = Priority::new(wanted.priority);
        let rank = match state {
            CaseState::CallBack => priority.call_back_rank(now),
            _ => priority.rank(now),
        };
        Case {
            case_id: self.store.new_id(),
            account: conversation.account.clone(),
            follower: conversation.follower,
            state,
            skill: self.group_of(wanted.skill),
            priority,
            reason: wanted.code(),
            opened: now,
            opened_seq: conversation.seq,
            queued: now,
            rank,
            claimed_by: None,
            claimed: None,
            first_reply: None,
            last_reply: None,
            last_customer: Some(now),
            unread: 0,
            transfers: 0,
            closed: None,
            close_reason: None,
            prefer: None,
            score: None,
        }
    }

    /// The group that takes a code of a service or a word list.
    fn group_of(&self, code: &str) -> String {
        self.files.load().groups.taker(code).to_owned()
    }

    /// A case with a new reason. It never falls back behind where it stood.
    fn more_pressing(&self, before: &Case, wanted: Wanted<'_>) -> Case {
        let priority = Priority::new(wanted.priority).max(before.priority);
        Case {
            reason: wanted.code(),
            skill: self.group_of(wanted.skill),
            rank: before.rank.min(priority.rank(before.queued)),
            priority,
            prefer: None,
            ..before.clone()
        }
    }

    /// Waiting already, and now it is more urgent, or a complaint: the case moves up and changes its group.
    async fn press(
        &self,
        conversation: &Conversation,
        wanted: Wanted<'_>,
        customer: Option<&CustomerId>,
    ) -> Result<Escalation, EscalateError> {
        let found = match &conversation.case_id {
            Some(case_id) => self.store.case(case_id).await?,
            None => None,
        };
        let Some(before) = found else { return Ok(estimate(0)) };
        let mut writes = Vec::new();
        let mut case = before.clone();
        let is_more_urgent = Priority::new(wanted.priority) > before.priority;
        if is_more_urgent {
            case = self.more_pressing(&before, wanted);
            writes.push(self.store.requeue_case(&before, &case));
        }
        if is_more_urgent || wanted.complaint.is_some() {
            writes.extend(self.complaint_of_customer(&case, wanted, customer).await?);
        }
        let place = self.store.count_before(&case.account, case.rank, &case.case_id).await?;
        Ok(Escalation { writes, ..estimate(place) })
    }

    fn opened(&self, case: &Case, customer: Option<&CustomerId>) -> Result<Vec<Write>, StoreError> {
        let data = json!({ "case_id": case.case_id, "reason": case.reason, "skill": case.skill });
        self.speak.event("case_opened", &case.account, customer, data)
    }

    fn end_anyhow(
        &self,
        conversation: &mut Conversation,
        reason: CloseReason,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, StoreError> {
        let Some(case_id) = conversation.case_id.take() else { return Ok(vec![]) };
        let data = json!({ "case_id": case_id, "reason": reason.name() });
        let mut writes = self.speak.event("case_closed", &conversation.account, customer, data)?;
        writes.push(self.store.end_case_anyhow(&case_id, reason, self.now()));
        writes.push(self.store.forget_desk_answers(&case_id));
        Ok(writes)
    }

    /// Notes in the log what happened, for whoever reads it; the customer sees nothing of it.
    fn note(&self, conversation: &mut Conversation, mut content: Value) -> Result<Write, StoreError> {
        if let Some(members) = content.as_object_mut() {
            members.insert("kind".to_owned(), "case".into());
        }
        let seq = conversation.next_seq();
        self.store.append_message(
            conversation,
            &Message {
                account: conversation.account.clone(),
                follower: conversation.follower,
                seq,
                direction: Direction::Out,
                author: "system".to_owned(),
                channel: Channel::Event,
                content: Personal::new(content.to_string()),
                at: self.now(),
                state: "noted".to_owned(),
            },
        )
    }
}

fn estimate(before: u32) -> Escalation {
    let place = before.saturating_add(1);
    Escalation { writes: vec![], place, minutes_max: place.saturating_mul(Desk::MINUTES_PER_PLACE) }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
