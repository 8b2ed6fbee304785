//! Agents among the processes: they take, answer, pass on and end what customers bring, by whatever process they reach.

use super::cluster::{Cluster, FOLLOWERS, openid};
use crate::desk::testing::{Texts, hold, look};
use crate::domain::case::CloseReason;
use crate::domain::secret::Secret;
use crate::staff::{Reach, Role, Session};

const AGENTS: usize = 3;

impl Cluster {
    /// One of the agents does something about one of the followers.
    pub(super) fn agents_move(&mut self) {
        let (process, rooms) = self.any_process();
        let (agent, number, deed) = (self.roll(AGENTS), self.roll(FOLLOWERS), self.roll(14));
        self.note(format!("process {process}: agent{agent} does {deed} about follower {number}"));
        let words = format!("坐席第{}句", self.trace.len());
        let (account, follower) = (self.account.id.clone(), self.follower(number));
        let told = self.told.clone();
        let session = Session {
            name: format!("agent{agent}"),
            role: Role::Agent,
            reach: Reach::Every,
            csrf: Secret::new(String::new()),
        };
        tokio::spawn(async move {
            let desk = &rooms.desk;
            if deed == 0 {
                return drop(desk.tend(&account).await);
            }
            let Ok(conversation) = rooms.store.conversation(&account, follower).await else { return };
            let Some(case_id) = conversation.case_id else { return };
            match deed {
                1..=4 => drop(desk.claim(&session, &case_id).await),
                5..=9 => {
                    if desk.answer(&session, &case_id, &words, &words).await.is_ok() {
                        told.lock().unwrap().agents.push((number, words));
                    }
                }
                10 => drop(desk.close(&session, &case_id, Some(CloseReason::Solved)).await),
                11 => drop(desk.close(&session, &case_id, None).await),
                12 => drop(desk.return_to_bot(&session, &case_id).await),
                _ => drop(desk.transfer(&session, &case_id, "fraud").await),
            }
        });
    }

    /// Every conversation has one state and at most one owner; gives what the logs hold.
    pub(super) async fn check_desk(&self) -> Result<Texts, String> {
        let mut found = Texts::new();
        for number in 0..FOLLOWERS {
            let looked = look(&self.store, &self.account.id, self.follower(number), &mut found).await;
            looked.map_err(|broken| format!("follower {number}: {broken}"))?;
        }
        Ok(found)
    }

    /// What agents were told is on its way stands in the log once, has an end, and that is what the customer saw.
    pub(super) async fn check_agents_words(&self) -> Result<(), String> {
        let found = self.check_desk().await?;
        let said = self.told.lock().unwrap().agents.clone();
        for (number, words) in said {
            let times = found.get(&(self.follower(number), words.clone())).copied().unwrap_or(0);
            hold(times == 1, || format!("{words} stands {times} times in the log"))?;
        }
        for number in 0..FOLLOWERS {
            let seen = self.outside.said.get(openid(number).reveal());
            for entry in self.log_of(number).await.iter().filter(|entry| entry.author.starts_with("agent:")) {
                let content: serde_json::Value = serde_json::from_str(entry.content.reveal()).unwrap();
                let words = content["text"].as_str().unwrap_or_default();
                let times = seen.map_or(0, |seen| seen.iter().filter(|shown| *shown == words).count());
                let fits = match entry.state.as_str() {
                    "sent" => times == 1,
                    "unclear" => times <= 1,
                    "window_closed" | "allowance_used" | "unreachable" | "failed" => times == 0,
                    _ => false,
                };
                hold(fits, || {
                    format!("{words} is {}, and follower {number} saw it {times} times", entry.state)
                })?;
            }
        }
        Ok(())
    }
}
