//! Taking what is due: way by way and lane by lane, within quota and rate, never into a WeChat that does not answer;
//! and the intents that say what will be sent, before it is.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Outbound;
use super::gate::Way;
use super::lanes::{Turn, turns};
use super::worker::{Batch, Job, Whom, whom};
use crate::domain::ids::AccountId;
use crate::domain::time::UnixMs;
use crate::parts::Working;
use crate::store::{Commit, Fence, Lane, OutChannel, OutboxRow};

/// What a round has found so far.
#[derive(Default)]
struct Found {
    rows: Vec<(OutboxRow, Working)>,
    followers: HashSet<Whom>,
}

impl Outbound {
    /// Reads due rows while so many sends are under way, the most urgent lane first, at most one for each follower,
    /// and says that they will be sent.
    pub(super) async fn take(&self, under_way: usize, busy: &HashSet<Whom>, urgent_only: bool) -> Vec<Job> {
        let takings = self.parts.takings();
        if !self.has_recovered(takings).await {
            return vec![];
        }
        let ways = self.open_ways().await;
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        let turns: Vec<Turn> =
            turns(round).into_iter().filter(|turn| turn.is_urgent() || !urgent_only).collect();
        let with_due = self.ways_with_due(&turns, &ways).await;
        let mut found = Found::default();
        for turn in turns {
            // Accounts take turns too: what one cannot take in, the others are not kept from.
            let first = usize::try_from(round).unwrap_or(0) % ways.len().max(1);
            let (before, after) = ways.split_at(first);
            let has_due = |way: &&Way| with_due.contains(&(way.0.clone(), way.1, turn.lane));
            for way in after.iter().chain(before).filter(has_due) {
                self.take_turn(turn, way, under_way, busy, &mut found).await;
            }
        }
        // Partitions that came meanwhile: what their earlier owner was sending is not known yet.
        if self.parts.takings() != takings {
            self.messages.notify_one();
            return vec![];
        }
        self.intend(found.rows).await
    }

    /// One short read, so that the longer ones are made only where there is something to find.
    async fn ways_with_due(&self, turns: &[Turn], ways: &[Way]) -> BTreeSet<(AccountId, OutChannel, Lane)> {
        let carried = turns.iter().flat_map(|turn| {
            let ways = ways.iter().filter(|way| carries(way, turn.lane));
            ways.map(|(account, channel)| (account.clone(), *channel, turn.lane))
        });
        let carried: Vec<_> = carried.collect();
        match self.store.ways_with_due(&carried, self.clock.now()).await {
            Ok(with_due) => with_due,
            Err(error) => {
                tracing::warn!(%error, retry = "later", "the database gave nothing to send; what waits goes on waiting");
                BTreeSet::new()
            }
        }
    }

    /// Whether the tries that earlier owners of our partitions left behind are noted.
    async fn has_recovered(&self, takings: u64) -> bool {
        if self.recovered.load(Ordering::Relaxed) == takings {
            return true;
        }
        if let Err(error) = self.recover().await {
            tracing::warn!(%error, retry = "now", "the database did not say what an earlier owner left unfinished; nothing is sent before");
            return false;
        }
        self.recovered.store(takings, Ordering::Relaxed);
        true
    }

    async fn take_turn(
        &self,
        turn: Turn,
        way: &Way,
        under_way: usize,
        busy: &HashSet<Whom>,
        found: &mut Found,
    ) {
        let now = self.clock.now();
        let room = turn.room(under_way + found.rows.len());
        let room = room.min(turn.share_of(self.gate.room(way, turn.lane, now)));
        if room == 0 {
            return;
        }
        // Rows of followers that are busy are read again, each at most once.
        let rows = self.read(way, turn.lane, now, room + busy.len() + found.rows.len()).await;
        let mut free = Vec::with_capacity(room);
        for row in rows {
            let Some(whom) = whom(&row) else { continue };
            if free.len() >= room || busy.contains(&whom) || found.followers.contains(&whom) {
                continue;
            }
            if let Some(working) = self.parts.begin(row.fence.part) {
                found.followers.insert(whom);
                free.push((row, working));
            }
        }
        if free.is_empty() {
            return;
        }
        match self.gate.permit(&self.store, way, turn.lane, free.len(), now).await {
            Ok(permitted) => {
                if permitted < free.len() {
                    let (account, channel) = (way.0.as_str(), way.1.name());
                    tracing::warn!(
                        account,
                        channel,
                        lane = turn.lane.name(),
                        "today's quota is used up: what waits leaves after 00:00 in Beijing, or the bank falls back"
                    );
                }
                found.rows.extend(free.into_iter().take(permitted));
            }
            Err(error) => {
                tracing::warn!(%error, retry = "later", "the day's quota could not be drawn; what waits goes on waiting");
            }
        }
    }

    /// The APIs of the accounts whose WeChat answers, with the rates that hold for them now.
    async fn open_ways(&self) -> Vec<Way> {
        let now = self.clock.now();
        match self.store.pauses(now).await {
            Ok(paused) => self.gate.set_paused(&paused.into_iter().collect()),
            Err(error) => {
                tracing::warn!(%error, retry = "later", "the database did not say what WeChat has closed");
            }
        }
        let share = u32::try_from(self.parts.alive().max(1)).unwrap_or(u32::MAX);
        let answers = |way: &&Way| self.apis.get(&way.0).is_some_and(|api| !api.is_cut_off());
        let ways = self.ways.iter().filter(answers).inspect(|way| {
            let rate = self.rate_of(way).map(|per_second| (per_second / share).max(1));
            self.gate.set_rate(way, rate, now);
        });
        ways.cloned().collect()
    }

    /// Calls a second that all instances may make together; `None`: nobody has said.
    fn rate_of(&self, way: &Way) -> Option<u32> {
        self.rates.get(way).copied().or_else(|| self.told_rates().get(way).copied().flatten())
    }

    /// Whether a rate holds calls back right now, so that it is worth looking again soon.
    pub(super) fn is_held_by_rate(&self) -> bool {
        let now = self.clock.now();
        self.ways.iter().any(|way| self.gate.is_limited_by_rate(way, now))
    }

    pub(super) async fn take_events(&self, room: usize, busy: &HashSet<String>) -> Vec<Job> {
        let read = self.store.due_events(self.parts.owner(), self.clock.now(), room + busy.len()).await;
        let rows = read.unwrap_or_else(|error| {
            tracing::warn!(%error, retry = "later", "the database gave no events to post; they go on waiting");
            vec![]
        });
        let free = rows.into_iter().filter(|row| !busy.contains(&row.outbox_id)).take(room);
        free.filter_map(|row| {
            let working = self.parts.begin(row.fence.part)?;
            Some(Job::new(row, working, None))
        })
        .collect()
    }

    async fn read(&self, way: &Way, lane: Lane, now: UnixMs, rows_max: usize) -> Vec<OutboxRow> {
        match self.store.due_outbox(self.parts.owner(), (&way.0, way.1), lane, now, rows_max).await {
            Ok(rows) => rows,
            Err(error) => {
                let lane = lane.name();
                tracing::warn!(%error, lane, retry = "later", "the database gave nothing to send; what waits goes on waiting");
                vec![]
            }
        }
    }

    /// Writes one intent for each partition's templates. The other messages write their own, alone, when the allowance is
    /// booked or the consent is counted. Rows whose partition was lost meanwhile drop out.
    async fn intend(&self, rows: Vec<(OutboxRow, Working)>) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(rows.len());
        let mut groups: Vec<(Fence, Vec<(OutboxRow, Working)>)> = Vec::new();
        for (row, working) in rows {
            if row.channel != OutChannel::Template {
                jobs.push(Job::new(row, working, None));
            } else if let Some((_, group)) = groups.iter_mut().find(|(fence, _)| *fence == row.fence) {
                group.push((row, working));
            } else {
                groups.push((row.fence.clone(), vec![(row, working)]));
            }
        }
        let intents = groups.into_iter().map(|(fence, group)| async move {
            let ids: Vec<&str> = group.iter().map(|(row, _)| row.outbox_id.as_str()).collect();
            let intent_id = self.store.new_id();
            let intent = self.store.add_intent(&intent_id, &fence, &ids);
            match self.store.commit(Commit::new(fence.part).with(intent)).await {
                Ok(()) => {
                    let batch = Arc::new(Batch::new(intent_id, group.len()));
                    let job = |(row, working)| Job::new(row, working, Some(batch.clone()));
                    group.into_iter().map(job).collect()
                }
                Err(error) => {
                    tracing::info!(%error, part = fence.part, "an intent did not stand; its rows are left");
                    vec![]
                }
            }
        });
        for group in futures::future::join_all(intents).await {
            jobs.extend(group);
        }
        jobs
    }
}

/// Whether messages of a lane leave this way. Answers are customer-service messages only.
fn carries(way: &Way, lane: Lane) -> bool {
    way.1 == OutChannel::CustomerService || lane != Lane::Answer
}
