//! One push that is a turn of a conversation: claimed, decided, committed once.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::Instrument as _;
use zeroize::Zeroizing;

use super::decide::{Decided, Question};
use super::followers::{Arrival, Place, Waiting};
use super::scene::{Loaded, Meaning};
use super::{Answer, Inbound, Seen, Stopped, conflict};
use crate::config::Account;
use crate::dialogue::{Outcome, Said};
use crate::domain::ids::{CustomerId, FollowerKey, Openid, PushKey};
use crate::domain::time::UnixMs;
use crate::outbound::Cause;
use crate::store::{
    Channel, Claim, Commit, Conflict, Conversation, Direction, Message, OpenPush, PushOutcome, SeenPush,
    Write,
};
use crate::telemetry::Stage;
use crate::telemetry::trace::SPANS;
use crate::wechat::push::Push;
use crate::wechat::reply::Reply;

/// What one turn carries from step to step.
pub(super) struct Turn<'a> {
    pub(super) question: Question<'a>,
    pub(super) openid: Openid,
    pub(super) key: PushKey,
    pub(super) push: Push,
    pub(super) received: UnixMs,
}

/// What a commit of a turn came to.
enum Settled {
    /// It stands.
    Answered(Answer),
    /// Something changed meanwhile: decide anew.
    Again,
    /// Somebody else has or had this push.
    Elsewhere,
}

/// A push in work, as it is kept for whoever goes on with it.
#[derive(Serialize, Deserialize)]
struct Kept {
    push: Push,
    /// Something in it was masked before it was kept; the customer is still to be warned.
    masked: bool,
}

impl Inbound {
    /// Works on a push until its answer is known.
    pub(super) async fn work(
        &self,
        account: &Account,
        follower: FollowerKey,
        push: Push,
        arrival: Arrival,
    ) -> Result<Answer, Stopped> {
        match super::scene::meaning(&push) {
            Meaning::Turn { said, masked } => {
                let mut turn = self.begin(account, follower, push, said, masked);
                match self.arrived(&mut turn, arrival).await? {
                    Some(answer) => Ok(answer),
                    // Nothing is held here: whoever works on it, in this process too, gets on.
                    None => self.seen(account, &turn.key).await,
                }
            }
            Meaning::Leave => self.leave(account, follower, &push, arrival.for_a_turn()).await,
            Meaning::Note => {
                drop(arrival);
                self.note(account, follower, &push).await
            }
        }
    }

    /// Goes on with a push whose owner died; `ours` is taken over already. `None`: it has yet another owner.
    pub(super) async fn go_on(&self, account: &Account, ours: OpenPush) -> Result<Option<Answer>, Stopped> {
        let Kept { push, masked } = serde_json::from_slice(&ours.push)?;
        let Meaning::Turn { said, masked: found } = super::scene::meaning(&push) else {
            return Ok(Some(Answer::Nothing));
        };
        let mut turn = self.begin(account, ours.follower, push, said, masked || found);
        turn.received = ours.received;
        let place = self.followers.turn(&account.id, ours.follower);
        self.take_turn(&mut turn, ours, place).await
    }

    fn begin<'a>(
        &self,
        account: &'a Account,
        follower: FollowerKey,
        mut push: Push,
        said: Said,
        masked: bool,
    ) -> Turn<'a> {
        super::scene::mask(&mut push, &said);
        let root = push.key.as_str().to_owned();
        let mut question = Question::new(account, follower, said, self.present_trace().to_string(), root);
        question.masked = masked;
        question.opens_window = push.content.action().is_some();
        Turn {
            question,
            openid: push.from.clone(),
            key: push.key.clone(),
            push,
            received: self.rooms.clock.now(),
        }
    }

    /// A push seen for the first time in this process. Alone and without a question to the core it is one commit; else
    /// it is claimed where it arrived, before the next one of its follower. `None`: it was seen elsewhere.
    async fn arrived(&self, turn: &mut Turn<'_>, arrival: Arrival) -> Result<Option<Answer>, Stopped> {
        let arrived = Instant::now();
        let pen = arrival.pen.come().await;
        Stage::Wait.took(arrived.elapsed());
        let place = match arrival.turn.now() {
            Ok(place) => match self.at_once(turn).await? {
                Settled::Answered(answer) => return Ok(Some(answer)),
                Settled::Elsewhere => return Ok(None),
                Settled::Again => Waiting::come_already(place),
            },
            Err(waiting) => waiting,
        };
        let Some(ours) = self.open(turn).await? else { return Ok(None) };
        drop(pen);
        self.take_turn(turn, ours, place).await
    }

    /// Decides and commits without a lease. `Again`: this push needs one.
    async fn at_once(&self, turn: &Turn<'_>) -> Result<Settled, Stopped> {
        // Fetching a recording and hearing it takes longer than a moment.
        if self.unheard(turn).is_some() {
            return Ok(Settled::Again);
        }
        let Question { account, follower, .. } = &turn.question;
        let robot = self.robot(&account.id);
        for _ in 0..self.limits.attempts_max {
            let began = Instant::now();
            let known = self.rooms.store.known(&account.id, *follower, &turn.key).await?;
            if known.seen.is_some() {
                return Ok(Settled::Elsewhere);
            }
            if known.conversation.open_turns > 0 {
                return Ok(Settled::Again);
            }
            let loaded = self.load(known).await?;
            Stage::Load.took(began.elapsed());
            let Decided::Done(outcome) = turn.question.decide(&robot, &loaded) else {
                return Ok(Settled::Again);
            };
            match self.settle(turn, loaded, *outcome, &mut None).await? {
                Settled::Again => {}
                settled => return Ok(settled),
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }

    /// Works on a push under its lease, in its turn. `None`: it has another owner now.
    async fn take_turn(
        &self,
        turn: &mut Turn<'_>,
        mut ours: OpenPush,
        waiting: Waiting,
    ) -> Result<Option<Answer>, Stopped> {
        let account = turn.question.account;
        let follower = turn.question.follower;
        let arrived = Instant::now();
        let Some(_place) = self.turn_comes(&mut ours, waiting).await? else { return Ok(None) };
        Stage::Wait.took(arrived.elapsed());
        if self.hear(turn, &mut ours).await?.is_none() {
            return Ok(None);
        }
        let mut open = Some(ours);
        let robot = self.robot(&account.id);
        for _ in 0..self.limits.attempts_max {
            let pen = self.followers.pen(&account.id, follower).await;
            let began = Instant::now();
            let known = self.rooms.store.known(&account.id, follower, &turn.key).await?;
            let loaded = self.load(known).await?;
            Stage::Load.took(began.elapsed());
            match turn.question.decide(&robot, &loaded) {
                Decided::Done(outcome) => match self.settle(turn, loaded, *outcome, &mut open).await? {
                    Settled::Answered(answer) => return Ok(Some(answer)),
                    Settled::Again => {}
                    Settled::Elsewhere => return Ok(None),
                },
                Decided::Wanted(ask) => {
                    drop(pen);
                    let Some(ours) = &mut open else { return Ok(None) };
                    let call = self.ask(&turn.question, &loaded, &ask);
                    let Some(answer) = self.keep(ours, call).await? else { return Ok(None) };
                    turn.question.remember(*ask, answer);
                }
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }

    /// Waits for the head of the queue in this process, and until earlier turns elsewhere are settled or their owners
    /// dead. While it waits for those elsewhere it holds up nobody here, so that two processes never wait for each
    /// other in a circle. `None`: the push has another owner now.
    async fn turn_comes(&self, ours: &mut OpenPush, waiting: Waiting) -> Result<Option<Place>, Stopped> {
        let mut waiting = waiting;
        loop {
            let Some(place) = self.keep(ours, waiting.come()).await? else { return Ok(None) };
            let now = self.rooms.clock.now();
            let before = self.rooms.store.turns_before(&ours.account, ours.follower, ours.turn, now).await?;
            if before == 0 {
                return Ok(Some(place));
            }
            drop(place);
            if self.keep(ours, tokio::time::sleep(self.limits.poll)).await?.is_none() {
                return Ok(None);
            }
            waiting = self.followers.turn(&ours.account, ours.follower);
        }
    }

    /// Claims the push as taken: key, turn number, lease, the message in the log, the window it opens. `None`: its key
    /// was claimed before.
    async fn open(&self, turn: &Turn<'_>) -> Result<Option<OpenPush>, Stopped> {
        let store = &self.rooms.store;
        let kept = Kept { push: turn.push.clone(), masked: turn.question.masked };
        for _ in 0..self.limits.attempts_max {
            let known = store.known(&turn.question.account.id, turn.question.follower, &turn.key).await?;
            if known.seen.is_some() {
                return Ok(None);
            }
            let mut conversation = known.conversation;
            conversation.turn += 1;
            conversation.open_turns += 1;
            let now = self.rooms.clock.now();
            let open = OpenPush {
                account: turn.question.account.id.clone(),
                key: turn.key.clone(),
                follower: turn.question.follower,
                turn: conversation.turn,
                owed: false,
                owner: self.owner.clone(),
                epoch: 1,
                lease_until: now + self.limits.lease,
                received: turn.received,
                push: Zeroizing::new(serde_json::to_vec(&kept)?),
            };
            let mut commit = Commit::new(turn.question.follower.part());
            commit.push(store.claim_push(&Claim {
                account: &turn.question.account.id,
                key: &turn.key,
                follower: turn.question.follower,
                turn: conversation.turn,
                outcome: PushOutcome::Taken,
                received: turn.received,
                reply_seq: None,
            }));
            commit.push(store.take_push(&open)?);
            let customer = known.binding.as_ref().map(|binding| &binding.customer);
            commit.extend(self.arrival(turn, &mut conversation, customer, known.met)?);
            commit.push(store.save_conversation(conversation)?);
            match conflict(store.commit(commit).await)? {
                None => return Ok(Some(open)),
                Some(Conflict::Duplicate) => return Ok(None),
                Some(Conflict::Stale | Conflict::Lost) => {}
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }

    /// What every turn does on arrival: the follower is known, his message stands in the log, his window is open.
    pub(super) fn arrival(
        &self,
        turn: &Turn<'_>,
        conversation: &mut Conversation,
        customer: Option<&CustomerId>,
        met: bool,
    ) -> Result<Vec<Write>, Stopped> {
        let store = &self.rooms.store;
        let now = self.rooms.clock.now();
        let mut writes = match &turn.question.said {
            Said::Followed { .. } => {
                let mut writes = vec![store.upsert_follower(
                    &turn.question.account.id,
                    turn.question.follower,
                    &turn.openid,
                    true,
                    now,
                )?];
                let data = serde_json::json!({});
                writes.extend(self.rooms.outbound.event(
                    "followed",
                    &turn.question.account.id,
                    None,
                    data,
                )?);
                writes
            }
            _ if met => Vec::new(),
            _ => vec![
                store.meet_follower(&turn.question.account.id, turn.question.follower, &turn.openid, now)?,
                store.set_back(&turn.question.account.id, turn.question.follower),
            ],
        };
        let action = turn.push.content.action();
        if !matches!(turn.question.said, Said::Followed { .. }) {
            writes.extend(self.rooms.desk.contact(conversation, action));
        }
        if let Some(action) = action {
            conversation.ledger.grant(action, now);
        }
        let message = Message {
            account: turn.question.account.id.clone(),
            follower: turn.question.follower,
            seq: conversation.next_seq(),
            direction: Direction::In,
            author: "customer".into(),
            channel: Channel::Passive,
            content: super::scene::log_content(&turn.push),
            at: now,
            state: "received".into(),
        };
        writes.push(store.append_message(conversation, &message)?);
        writes.extend(self.rooms.desk.customer_said(conversation, customer, now)?);
        if let Some(media_id) = super::scene::file_of(&turn.push) {
            writes.extend(self.rooms.desk.want_media(conversation, message.seq, media_id));
        }
        Ok(writes)
    }

    /// Commits what was decided.
    async fn settle(
        &self,
        turn: &Turn<'_>,
        loaded: Loaded,
        outcome: Outcome,
        open: &mut Option<OpenPush>,
    ) -> Result<Settled, Stopped> {
        let store = &self.rooms.store;
        let mut conversation = loaded.conversation.clone();
        let mut commit = Commit::new(turn.question.follower.part());
        let owed = open.as_ref().is_some_and(|open| open.owed);
        if open.is_none() {
            conversation.turn += 1;
            let customer = loaded.binding.as_ref().map(|binding| &binding.customer);
            commit.extend(self.arrival(turn, &mut conversation, customer, loaded.met)?);
        } else {
            conversation.open_turns = (conversation.open_turns - 1).max(0);
        }
        let said = self.carry_out(turn, &loaded, &mut conversation, outcome, owed).await?;
        commit.extend(said.writes);
        match open.as_ref() {
            None => commit.push(store.claim_push(&Claim {
                account: &turn.question.account.id,
                key: &turn.key,
                follower: turn.question.follower,
                turn: conversation.turn,
                outcome: said.outcome,
                received: turn.received,
                reply_seq: said.reply_seq,
            })),
            Some(ours) => commit.extend(store.settle_push(ours, said.outcome, said.reply_seq)),
        }
        let on_a_screen = conversation.case_id.is_some() || loaded.conversation.case_id.is_some();
        let only_said = conversation.stage == loaded.conversation.stage
            && conversation.case_id == loaded.conversation.case_id;
        commit.push(store.save_conversation(conversation)?);
        let outgoing = commit.has_outgoing();
        let began = Instant::now();
        let committed = store.commit(commit).instrument(tracing::info_span!(target: SPANS, "commit")).await;
        Stage::Commit.took(began.elapsed());
        match conflict(committed)? {
            None => {
                if outgoing {
                    self.rooms.outbound.wake(turn.question.follower.part());
                }
                let (desk, account) = (&self.rooms.desk, &turn.question.account.id);
                match on_a_screen {
                    true if only_said => desk.notify_said(account, turn.question.follower),
                    true => desk.notify(account, turn.question.follower),
                    false => {}
                }
                Ok(Settled::Answered(said.answer))
            }
            Some(Conflict::Stale) => Ok(Settled::Again),
            Some(Conflict::Duplicate | Conflict::Lost) => self.settle_lost(turn, open).await,
        }
    }

    /// The push has or had another owner, or is owed since we read it; or else what an effect relied on is gone.
    async fn settle_lost(&self, turn: &Turn<'_>, open: &mut Option<OpenPush>) -> Result<Settled, Stopped> {
        let account = &turn.question.account.id;
        let Some(ours) = open else {
            let seen = self.rooms.store.seen_push(account, &turn.key).await?;
            return Ok(if seen.is_some() { Settled::Elsewhere } else { Settled::Again });
        };
        match self.rooms.store.open_push(account, &turn.key).await? {
            Some(stored) if stored.owner == ours.owner && stored.epoch == ours.epoch => {
                ours.owed = stored.owed;
                Ok(Settled::Again)
            }
            _ => Ok(Settled::Elsewhere),
        }
    }

    /// Does something while the lease is kept alive, however short the pieces of work are. `None`: the push has
    /// another owner now.
    pub(super) async fn keep<T>(
        &self,
        ours: &mut OpenPush,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, Stopped> {
        let left = ours.lease_until.since(self.rooms.clock.now());
        let mut wait = self.limits.renew.saturating_sub(self.limits.lease.saturating_sub(left));
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(Some(done)),
                () = tokio::time::sleep(wait) => {}
            }
            let until = self.rooms.clock.now() + self.limits.lease;
            let renewal = Commit::new(ours.follower.part()).with(self.rooms.store.renew_push(ours, until));
            match conflict(self.rooms.store.commit(renewal).await) {
                Ok(None) => {
                    ours.lease_until = until;
                    wait = self.limits.renew;
                }
                Ok(Some(_)) => return Ok(None),
                // The database may come back before the lease ends; the epoch guards the commit.
                Err(error) => {
                    tracing::warn!(%error, retry = "now", "the lease of a push could not be renewed; if it ends, another goes on");
                    wait = self.limits.poll;
                }
            }
        }
    }

    /// What a push that was seen before is answered with: the stored reply, or the end of the work on it. Takes
    /// over from a dead owner. The caller holds no place in any queue.
    async fn seen(&self, account: &Account, key: &PushKey) -> Result<Answer, Stopped> {
        let until = Instant::now() + self.limits.last_delivery;
        while Instant::now() < until {
            match self.look(account, key).await? {
                Seen::Settled(answer) => return Ok(answer),
                Seen::Never => return Ok(Answer::Nothing),
                Seen::Taken => {}
            }
            if let Some(open) = self.rooms.store.open_push(&account.id, key).await?
                && open.lease_until < self.rooms.clock.now()
                && let Some(ours) = self.take_over(open).await?
                && let Some(answer) = self.go_on(account, ours).await?
            {
                return Ok(answer);
            }
            tokio::time::sleep(self.limits.poll).await;
        }
        Err(Stopped::Unsettled)
    }

    /// What is known of a push.
    pub(super) async fn look(&self, account: &Account, key: &PushKey) -> Result<Seen, Stopped> {
        let store = &self.rooms.store;
        let Some(seen) = store.seen_push(&account.id, key).await? else { return Ok(Seen::Never) };
        Ok(match seen.outcome {
            PushOutcome::Taken => Seen::Taken,
            PushOutcome::Silent | PushOutcome::Owed => Seen::Settled(Answer::Nothing),
            PushOutcome::Replied => Seen::Settled(match self.stored_reply(account, &seen).await? {
                Some(message) => {
                    let reply = Reply::from_json(message.content.reveal().as_bytes())?;
                    Answer::Reply { reply, at: message.at }
                }
                // Erased since.
                None => Answer::Nothing,
            }),
        })
    }

    async fn stored_reply(&self, account: &Account, seen: &SeenPush) -> Result<Option<Message>, Stopped> {
        let Some(seq) = seen.reply_seq else { return Ok(None) };
        let found = self.rooms.store.messages(&account.id, seen.follower, seq - 1, 1).await?;
        Ok(found.into_iter().find(|message| message.seq == seq))
    }

    /// A reply that everyone was sent away from goes out as a customer-service message; later deliveries get `success`.
    pub(super) async fn reply_later(&self, account: &Account, key: &PushKey) {
        if let Err(error) = self.try_reply_later(account, key).await {
            tracing::error!(account = %account.id, %error, "a reply that nobody waited for could not be put into the outbox; it is given when the customer writes again, if WeChat \
                 delivers this push again");
        }
    }

    async fn try_reply_later(&self, account: &Account, key: &PushKey) -> Result<(), Stopped> {
        let store = &self.rooms.store;
        let Some(seen) = store.seen_push(&account.id, key).await? else { return Ok(()) };
        let Some(message) = self.stored_reply(account, &seen).await? else { return Ok(()) };
        let reply = Reply::from_json(message.content.reveal().as_bytes())?;
        let mut commit = Commit::new(seen.follower.part());
        commit.extend(store.owe_reply(&account.id, key, seen.follower, message.seq));
        let cause = Cause::Message { seq: message.seq };
        commit.extend(self.say_later(&account.id, seen.follower, &reply, cause)?);
        if conflict(store.commit(commit).await)?.is_none() {
            self.rooms.outbound.wake(seen.follower.part());
        }
        Ok(())
    }

    /// Becomes the owner of a push whose owner is dead. `None`: another was faster, or he lives.
    pub(super) async fn take_over(&self, dead: OpenPush) -> Result<Option<OpenPush>, Stopped> {
        let now = self.rooms.clock.now();
        let until = now + self.limits.lease;
        let write = self.rooms.store.take_over_push(&dead, &self.owner, until, now);
        let commit = Commit::new(dead.follower.part()).with(write);
        match conflict(self.rooms.store.commit(commit).await)? {
            None => {
                metrics::counter!("weikefu_inbound_taken_over_total").increment(1);
                let epoch = dead.epoch + 1;
                Ok(Some(OpenPush { owner: self.owner.clone(), epoch, lease_until: until, ..dead }))
            }
            Some(_) => Ok(None),
        }
    }
}
