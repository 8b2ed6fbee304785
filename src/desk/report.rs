//! What the desk does now, and what it did: numbers without a customer in them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;

use super::error::DeskError;
use super::supervise::supervisor;
use super::{Desk, Groups};
use crate::domain::case::CaseState;
use crate::domain::ids::AccountId;
use crate::domain::time::UnixMs;
use crate::staff::Session;
use crate::store::{Case, ContactDay, CountedCase, GroupNow, JudgedAgent, REPORT_CASES_MAX};

/// Longest period of a report.
pub const REPORT_DAYS_MAX: i32 = 92;

/// One group of one account at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOnWall {
    /// The account.
    pub account: AccountId,
    /// The group's id.
    pub group: String,
    /// What was promised.
    pub answer_within: Duration,
    /// Its numbers.
    pub now: GroupNow,
}

/// Numbers over some cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Cases.
    pub cases: u64,
    /// Cases that an agent answered.
    pub answered: u64,
    /// Of these, how many within what the group promised.
    pub in_time: u64,
    /// Seconds from the wish to the first answer, in the middle.
    pub wait_p50_s: Option<u64>,
    /// The same for nine of ten.
    pub wait_p90_s: Option<u64>,
    /// Seconds from taking to the end, in the middle.
    pub handling_p50_s: Option<u64>,
    /// Cases that changed hands.
    pub transferred: u64,
    /// Ratings.
    pub rated: u64,
    /// Their mean in hundredths of a point.
    pub score_hundredths: Option<u64>,
}

/// How many contacts with the bot needed nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Containment {
    /// Contacts that began.
    pub contacts: u64,
    /// Those in which, or within 24 hours of which, a person was fetched.
    pub handed_over: u64,
    /// Those of the others after which the follower came again within 24 hours.
    pub repeated: u64,
}

impl Containment {
    /// Contacts after which the follower needed nobody and did not come again.
    #[must_use]
    pub fn contained(&self) -> u64 {
        self.contacts.saturating_sub(self.handed_over).saturating_sub(self.repeated)
    }

    fn add(&mut self, day: &ContactDay) {
        self.contacts += day.contacts;
        self.handed_over += day.handed_over;
        self.repeated += day.repeated;
    }
}

/// A report over one account and some days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything.
    pub whole: Figures,
    /// Day by day in Beijing, the days without a case too.
    pub days: Vec<(Date, Figures)>,
    /// Group by group.
    pub groups: BTreeMap<String, Figures>,
    /// Agent by agent.
    pub agents: BTreeMap<String, Figures>,
    /// Why cases came.
    pub reasons: BTreeMap<String, u64>,
    /// How they ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// What the bot did without people.
    pub contained: Containment,
    /// The same day by day, the days without a contact too.
    pub contained_days: Vec<(Date, Containment)>,
    /// Judgements of cases, agent by agent.
    pub quality: Vec<JudgedAgent>,
    /// There were more cases than one report reads.
    pub cut: bool,
}

impl Desk {
    /// Each group of an account at this moment.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody but supervisors.
    pub async fn wall(&self, session: &Session, account: &AccountId) -> Result<Vec<GroupOnWall>, DeskError> {
        supervisor(session)?;
        let files = self.files();
        let now = self.now();
        let mut wall = Vec::new();
        for group in files.groups.iter() {
            let late = now - group.answer_within;
            let soon = now - group.answer_within * 3 / 4;
            wall.push(GroupOnWall {
                account: account.clone(),
                group: group.id.clone(),
                answer_within: group.answer_within,
                now: self.store.group_now(account, &group.id, late, soon).await?,
            });
        }
        Ok(wall)
    }

    /// Talks that go on in an account, those that waited longest first.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody but supervisors.
    pub async fn talking(&self, session: &Session, account: &AccountId) -> Result<Vec<Case>, DeskError> {
        supervisor(session)?;
        Ok(self.store.queued_cases(account, CaseState::WithAgent, Self::LIST_MAX).await?)
    }

    /// What the desk did in an account on some days in Beijing, both included.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody but supervisors, [`DeskError::UnknownChoice`] for an account that is not
    /// his or a period of no days or too many.
    pub async fn report(
        &self,
        session: &Session,
        account: &AccountId,
        from: Date,
        to: Date,
    ) -> Result<Report, DeskError> {
        supervisor(session)?;
        let days = from.until(to).map_or(-1, |span| span.get_days());
        if !(0..REPORT_DAYS_MAX).contains(&days) || !session.reach.covers(account) {
            return Err(DeskError::UnknownChoice);
        }
        let after = to.tomorrow().map_err(|_| DeskError::UnknownChoice)?;
        let (Some(begin), Some(end)) = (midnight(from), midnight(after)) else {
            return Err(DeskError::UnknownChoice);
        };
        let cases = self.store.counted_cases(account, begin, end).await?;
        let mut report = counted(&cases, &self.files().groups, from, days);
        report.contained_days = report.days.iter().map(|(day, _)| (*day, Containment::default())).collect();
        for day in self.store.contacts(account, begin, end).await? {
            report.contained.add(&day);
            let date = day.day.beijing().date();
            if let Some((_, of)) = report.contained_days.iter_mut().find(|(day, _)| *day == date) {
                of.add(&day);
            }
        }
        report.quality = self.store.judged_agents(account, begin, end).await?;
        Ok(report)
    }
}

/// Midnight in Beijing.
fn midnight(date: Date) -> Option<UnixMs> {
    let moment = date.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8))).ok()?;
    Some(UnixMs(moment.timestamp().as_millisecond()))
}

fn counted(cases: &[CountedCase], groups: &Groups, from: Date, days: i32) -> Report {
    let mut by_day: BTreeMap<Date, Vec<&CountedCase>> = BTreeMap::new();
    let mut day = from;
    for _ in 0..=days {
        by_day.insert(day, vec![]);
        day = day.tomorrow().unwrap_or(day);
    }
    let mut by_group: BTreeMap<String, Vec<&CountedCase>> = BTreeMap::new();
    let mut by_agent: BTreeMap<String, Vec<&CountedCase>> = BTreeMap::new();
    let mut report = Report::default();
    for case in cases {
        by_day.entry(case.opened.beijing().date()).or_default().push(case);
        by_group.entry(case.skill.clone()).or_default().push(case);
        if let Some(agent) = &case.agent {
            by_agent.entry(agent.clone()).or_default().push(case);
        }
        *report.reasons.entry(case.reason.clone()).or_default() += 1;
        if let Some(reason) = case.close_reason {
            *report.ends.entry(reason.name()).or_default() += 1;
        }
    }
    let named = |part: BTreeMap<String, Vec<&CountedCase>>| {
        part.into_iter().map(|(name, cases)| (name, figures(&cases, groups))).collect()
    };
    report.whole = figures(&cases.iter().collect::<Vec<_>>(), groups);
    report.days = by_day.into_iter().map(|(day, cases)| (day, figures(&cases, groups))).collect();
    report.groups = named(by_group);
    report.agents = named(by_agent);
    report.cut = u32::try_from(cases.len()).is_ok_and(|count| count >= REPORT_CASES_MAX);
    report
}

fn figures(cases: &[&CountedCase], groups: &Groups) -> Figures {
    let mut waits = Vec::new();
    let mut handled = Vec::new();
    let mut scores = 0_u64;
    let mut figures = Figures::default();
    for case in cases {
        figures.cases += 1;
        figures.transferred += u64::from(case.transfers > 0);
        if let Some(reply) = case.first_reply {
            let wait = reply.since(case.opened);
            figures.answered += 1;
            figures.in_time +=
                u64::from(groups.get(&case.skill).is_some_and(|group| wait <= group.answer_within));
            waits.push(wait.as_secs());
        }
        if let (Some(claimed), Some(closed)) = (case.claimed, case.closed) {
            handled.push(closed.since(claimed).as_secs());
        }
        if let Some(score) = case.score {
            figures.rated += 1;
            scores += u64::from(score.points());
        }
    }
    figures.wait_p50_s = part_of(&mut waits, 50);
    figures.wait_p90_s = part_of(&mut waits, 90);
    figures.handling_p50_s = part_of(&mut handled, 50);
    figures.score_hundredths = (scores * 100).checked_div(figures.rated);
    figures
}

/// The value that so many of a hundred do not exceed.
fn part_of(values: &mut [u64], percent: usize) -> Option<u64> {
    values.sort_unstable();
    let at = (values.len() * percent).div_ceil(100).checked_sub(1)?;
    values.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;
    use crate::domain::case::{CloseReason, Score};

    #[test]
    fn figures_say_what_the_cases_say() {
        let groups = Groups::parse(Content::built_in().file("desk/groups.toml").unwrap()).unwrap();
        let opened = UnixMs(1_795_312_800_000);
        let after = |seconds| Some(opened + Duration::from_secs(seconds));
        let case = |reply: Option<UnixMs>, score| CountedCase {
            opened,
            skill: "fraud".to_owned(),
            reason: "asked".to_owned(),
            agent: reply.map(|_| "agent01".to_owned()),
            claimed: reply,
            first_reply: reply,
            closed: after(1000),
            close_reason: Some(CloseReason::Solved),
            score: Score::new(score),
            transfers: 1,
        };
        let cases = [case(after(10), 5), case(after(60), 4), case(after(61), 0), case(None, 0)];
        let today = opened.beijing().date();
        let report = counted(&cases, &groups, today.yesterday().unwrap(), 1);
        let whole = &report.whole;
        assert_eq!((whole.cases, whole.answered, whole.in_time, whole.transferred), (4, 3, 2, 4));
        assert_eq!((whole.wait_p50_s, whole.wait_p90_s), (Some(60), Some(61)));
        assert_eq!((whole.rated, whole.score_hundredths), (2, Some(450)));
        assert_eq!(report.days.iter().map(|(_, figures)| figures.cases).collect::<Vec<_>>(), [0, 4]);
        assert_eq!(report.agents["agent01"].cases, 3);
        assert_eq!(report.ends["solved"], 4);
        assert_eq!(part_of(&mut [], 50), None);
        assert_eq!(midnight(today).map(|at| at.beijing().hour()), Some(0));
    }
}
