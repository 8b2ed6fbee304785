//! One push that is a turn of a conversation: claimed, decided, committed once.

use tokio::sync::OwnedMutexGuard;

use super::decide::{Decided, Question};
use super::scene::{Loaded, Meaning};
use super::{Answer, Inbound, Stopped, conflict};
use crate::config::Account;
use crate::dialogue::{Outcome, Said};
use crate::domain::ids::{Openid, PushKey};
use crate::domain::time::UnixMs;
use crate::store::{
    Channel, Claim, Commit, Conflict, Conversation, Direction, Message, OpenPush, PushOutcome, Write,
};
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

impl Inbound {
    /// Works on a push until its answer is known.
    pub(super) async fn work(&self, account: &Account, push: Push) -> Result<Answer, Stopped> {
        match super::scene::meaning(&push) {
            Meaning::Turn { said, masked } => {
                let turn = self.begin(account, push, said, masked, None);
                self.take_turn(turn, None).await
            }
            Meaning::Leave => self.leave(account, &push).await,
            Meaning::Note => self.note(account, &push).await,
        }
    }

    /// Goes on with a push whose owner died; `open` is taken over already.
    pub(super) async fn go_on(&self, account: &Account, open: OpenPush) -> Result<Answer, Stopped> {
        let push = Push::from_json(&open.push)?;
        let received = open.received;
        match super::scene::meaning(&push) {
            Meaning::Turn { said, masked } => {
                let turn = self.begin(account, push, said, masked, Some(received));
                self.take_turn(turn, Some(open)).await
            }
            Meaning::Leave | Meaning::Note => Ok(Answer::Nothing),
        }
    }

    fn begin<'a>(
        &self,
        account: &'a Account,
        mut push: Push,
        said: Said,
        masked: bool,
        received: Option<UnixMs>,
    ) -> Turn<'a> {
        super::scene::mask(&mut push, &said);
        let store = &self.rooms.store;
        let follower = store.follower_key(&account.app_id, &push.from);
        let root = push.key.as_str().to_owned();
        let mut question = Question::new(account, follower, said, store.new_id(), root);
        question.masked = masked;
        question.opens_window = push.content.action().is_some();
        Turn {
            question,
            openid: push.from.clone(),
            key: push.key.clone(),
            push,
            received: received.unwrap_or_else(|| self.rooms.clock.now()),
        }
    }

    async fn take_turn(&self, mut turn: Turn<'_>, open: Option<OpenPush>) -> Result<Answer, Stopped> {
        let mut open = open;
        let followers = &self.followers;
        let _place: OwnedMutexGuard<()> = match followers
            .try_turn(&turn.question.account.id, turn.question.follower)
        {
            Some(place) => place,
            None => {
                // Somebody is before us: the claim keeps our place while we wait, also over a restart.
                if open.is_none() {
                    match self.open(&turn).await? {
                        Opened::Ours(ours) => open = Some(ours),
                        Opened::Seen => return self.seen(turn.question.account, &turn.key).await,
                    }
                }
                match &open {
                    Some(ours) => {
                        let waiting = followers.wait_turn(&turn.question.account.id, turn.question.follower);
                        match self.keep(ours, waiting).await? {
                            Some(place) => place,
                            None => return Box::pin(self.seen(turn.question.account, &turn.key)).await,
                        }
                    }
                    None => followers.wait_turn(&turn.question.account.id, turn.question.follower).await,
                }
            }
        };
        for _ in 0..self.limits.attempts_max {
            if let Some(ours) = &open
                && self.keep(ours, self.wait_for_earlier(&turn, ours.turn)).await?.is_none()
            {
                return Box::pin(self.seen(turn.question.account, &turn.key)).await;
            }
            let conversation =
                self.rooms.store.conversation(&turn.question.account.id, turn.question.follower).await?;
            if open.is_none() && conversation.open_turns > 0 {
                match self.open(&turn).await? {
                    Opened::Ours(ours) => open = Some(ours),
                    Opened::Seen => return Box::pin(self.seen(turn.question.account, &turn.key)).await,
                }
                continue;
            }
            let loaded = self.load(&turn.question.account.id, turn.question.follower, conversation).await?;
            let dialogue = self.rooms.dialogue.load_full();
            match turn.question.decide(&dialogue, &loaded) {
                Decided::Done(outcome) => {
                    if let Some(answer) = self.settle(&turn, loaded, *outcome, &mut open).await? {
                        return Ok(answer);
                    }
                }
                Decided::Wanted(ask) => {
                    let Some(ours) = &open else {
                        match self.open(&turn).await? {
                            Opened::Ours(ours) => open = Some(ours),
                            Opened::Seen => {
                                return Box::pin(self.seen(turn.question.account, &turn.key)).await;
                            }
                        }
                        continue;
                    };
                    let call = self.ask(&turn.question, &loaded, &ask);
                    let Some(answer) = self.keep(ours, call).await? else {
                        return Box::pin(self.seen(turn.question.account, &turn.key)).await;
                    };
                    turn.question.remember(*ask, answer);
                }
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }

    /// Claims the push as taken: key, turn number, lease, the message in the log, the window it opens.
    async fn open(&self, turn: &Turn<'_>) -> Result<Opened, Stopped> {
        let store = &self.rooms.store;
        for _ in 0..self.limits.attempts_max {
            let mut conversation =
                store.conversation(&turn.question.account.id, turn.question.follower).await?;
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
                push: zeroize::Zeroizing::new(turn.push.to_json()),
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
            commit.extend(self.arrival(turn, &mut conversation)?);
            commit.push(store.save_conversation(&conversation)?);
            match conflict(store.commit(commit).await)? {
                None => return Ok(Opened::Ours(open)),
                Some(Conflict::Duplicate) => return Ok(Opened::Seen),
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
            _ => vec![store.meet_follower(
                &turn.question.account.id,
                turn.question.follower,
                &turn.openid,
                now,
            )?],
        };
        if let Some(action) = turn.push.content.action() {
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
        writes.push(store.append_message(&message)?);
        writes.extend(self.rooms.desk.customer_said(conversation, now));
        Ok(writes)
    }

    /// Commits what was decided. `None`: something changed meanwhile, decide anew.
    async fn settle(
        &self,
        turn: &Turn<'_>,
        loaded: Loaded,
        outcome: Outcome,
        open: &mut Option<OpenPush>,
    ) -> Result<Option<Answer>, Stopped> {
        let store = &self.rooms.store;
        let mut conversation = loaded.conversation.clone();
        let mut commit = Commit::new(turn.question.follower.part());
        let owed = open.as_ref().is_some_and(|open| open.owed);
        if open.is_none() {
            conversation.turn += 1;
            commit.extend(self.arrival(turn, &mut conversation)?);
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
        commit.push(store.save_conversation(&conversation)?);
        match conflict(store.commit(commit).await)? {
            None => {
                self.rooms.outbound.wake(turn.question.follower.part());
                self.rooms.desk.notify(&turn.question.account.id, turn.question.follower);
                Ok(Some(said.answer))
            }
            Some(Conflict::Stale) => Ok(None),
            Some(Conflict::Duplicate) => {
                Box::pin(self.seen(turn.question.account, &turn.key)).await.map(Some)
            }
            Some(Conflict::Lost) => self.settle_lost(turn, open).await,
        }
    }

    /// The push is owed since we read it, or somebody took it over.
    async fn settle_lost(
        &self,
        turn: &Turn<'_>,
        open: &mut Option<OpenPush>,
    ) -> Result<Option<Answer>, Stopped> {
        let stored = self.rooms.store.open_push(&turn.question.account.id, &turn.key).await?;
        match (open.as_mut(), stored) {
            (Some(ours), Some(stored)) if stored.owner == ours.owner && stored.epoch == ours.epoch => {
                ours.owed = stored.owed;
                Ok(None)
            }
            _ => Box::pin(self.seen(turn.question.account, &turn.key)).await.map(Some),
        }
    }

    /// Waits until the follower's earlier turns are settled or their owners dead.
    async fn wait_for_earlier(&self, turn: &Turn<'_>, number: i64) -> Result<(), Stopped> {
        loop {
            let now = self.rooms.clock.now();
            let store = &self.rooms.store;
            if store.turns_before(&turn.question.account.id, turn.question.follower, number, now).await? == 0
            {
                return Ok(());
            }
            tokio::time::sleep(self.limits.poll).await;
        }
    }

    /// Does something while the lease is kept alive. `None`: the push has another owner now.
    pub(super) async fn keep<T>(
        &self,
        ours: &OpenPush,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, Stopped> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(Some(done)),
                () = tokio::time::sleep(self.limits.renew) => {
                    let until = self.rooms.clock.now() + self.limits.lease;
                    let renewal = Commit::new(ours.follower.part()).with(self.rooms.store.renew_push(ours, until));
                    match conflict(self.rooms.store.commit(renewal).await) {
                        Ok(None) => {}
                        Ok(Some(_)) => return Ok(None),
                        // The database may come back before the lease ends; the epoch guards the commit.
                        Err(error) => tracing::warn!(%error, "cannot renew the lease of a push"),
                    }
                }
            }
        }
    }

    /// What a push that was seen before is answered with: the stored reply, or the end of the work on it. Takes
    /// over from a dead owner.
    pub(super) async fn seen(&self, account: &Account, key: &PushKey) -> Result<Answer, Stopped> {
        let store = &self.rooms.store;
        loop {
            let Some(seen) = store.seen_push(&account.id, key).await? else { return Ok(Answer::Nothing) };
            match seen.outcome {
                PushOutcome::Silent | PushOutcome::Owed => return Ok(Answer::Nothing),
                PushOutcome::Replied => {
                    let Some(seq) = seen.reply_seq else { return Ok(Answer::Nothing) };
                    let messages = store.messages(&account.id, seen.follower, seq - 1, 1).await?;
                    let Some(message) = messages.first().filter(|message| message.seq == seq) else {
                        return Ok(Answer::Nothing);
                    };
                    let reply = Reply::from_json(message.content.reveal().as_bytes())?;
                    return Ok(Answer::Reply { reply, at: message.at });
                }
                PushOutcome::Taken => {}
            }
            if let Some(open) = store.open_push(&account.id, key).await?
                && open.lease_until < self.rooms.clock.now()
                && let Some(ours) = self.take_over(open).await?
            {
                return Box::pin(self.go_on(account, ours)).await;
            }
            tokio::time::sleep(self.limits.poll).await;
        }
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

enum Opened {
    /// We work on it.
    Ours(OpenPush),
    /// Its key was claimed before.
    Seen,
}
