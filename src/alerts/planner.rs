//! The looks themselves: what is known is brought together, decided on, and carried out in one commit.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::fields::{self, Values, hidden};
use super::kinds::{Kind, Kinds};
use super::plan::{
    Decision, Facts, QUIET_HOURS, Step, Tried, decide, falls_back, nobody, template_of, with_steps,
};
use super::state::verdict_of;
use super::{Alerts, told::Told};
use crate::config::NoticeTemplate;
use crate::domain::alert_settings::QuietHours;
use crate::domain::binding::Binding;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict, overall};
use crate::domain::window::{Refused, Sender};
use crate::identity::Page;
use crate::outbound::{Cause, TemplateOrder, is_about_consent};
use crate::store::{
    Bound, Commit, CommitError, Family, Looked, NoticeRow, OutChannel, SentRow, StoreError, Write,
};
use crate::wechat::api::CustomMessage;
use crate::wechat::text::Text;

/// A receipt that was written at the same moment as the end of its send, so that neither saw the other, is found this much
/// later.
const RECEIPT_LOOK: Duration = Duration::from_secs(60);
/// A pending notice is looked at this long after its end, should every hint have been lost.
const END_LOOK: Duration = Duration::from_secs(60);
/// A message that is asleep for longer than this can be given up: nobody is about to send it.
const ASLEEP: Duration = Duration::from_secs(60);

/// What a look comes to.
#[derive(Default)]
pub(super) struct Look {
    verdicts: Vec<Verdict>,
    account: Option<AccountId>,
    writes: Vec<Write>,
    wake: Vec<u8>,
    steps: Vec<Step>,
    /// Until when it waits, where somebody's quiet hours hold it.
    held_until: Option<UnixMs>,
}

/// What many looks begin with.
#[derive(Default)]
pub(super) struct Seen {
    /// Those who are bound to the customers of new notices, by the keyed hash of the customer.
    bound: BTreeMap<[u8; 16], Vec<Bound>>,
    /// The messages of the others, by family and id.
    sent: BTreeMap<(String, String), Vec<SentRow>>,
}

/// A notice with one of those whom it concerns.
pub(super) struct Whom<'a> {
    pub(super) row: &'a NoticeRow,
    pub(super) told: &'a Told,
    pub(super) kinds: &'a Kinds,
    pub(super) account: &'a AccountId,
    pub(super) follower: FollowerKey,
    pub(super) binding: &'a Binding,
}

impl Whom<'_> {
    fn kind(&self) -> &Kind {
        self.kinds.of(&self.row.kind)
    }

    fn hides_amounts(&self) -> bool {
        self.binding.alerts_of_tail(self.told.tail.as_ref()).hide_amounts
    }
}

impl Alerts {
    /// Brings together, by few reads, what looks at these notices begin with.
    pub(super) async fn seen(&self, due: &[(NoticeRow, Told)]) -> Result<Seen, StoreError> {
        let new = due.iter().filter(|(row, _)| !row.planned).map(|(_, told)| &told.customer);
        let known = due.iter().filter(|(row, _)| row.planned);
        let causes = known.map(|(row, _)| (row.family.name(), row.notice_id.as_str()));
        Ok(Seen { bound: self.store.bound_to(new).await?, sent: self.store.sent_of_each(causes).await? })
    }

    /// One look at a notice.
    pub(super) async fn look(&self, row: &NoticeRow, told: &Told, seen: &Seen) -> Result<(), CommitError> {
        let Some(_working) = self.outbound.parts().begin(row.fence.part) else { return Ok(()) };
        let kinds = self.kinds.load_full();
        let kind = kinds.of(&row.kind);
        let look = if row.planned {
            let cause = (row.family.name().to_owned(), row.notice_id.clone());
            let sent = seen.sent.get(&cause).cloned().unwrap_or_default();
            self.follow(row, told, &kinds, sent).await?
        } else {
            let bound = seen.bound.get(&self.store.customer_index(&told.customer));
            self.plan(row, told, &kinds, bound.map(Vec::as_slice).unwrap_or_default()).await?
        };
        let now = self.clock.now();
        let verdict = overall(look.verdicts).unwrap_or_else(|| row.verdict.clone());
        // What waits by the customer's own wish is late only some time after its waiting ended.
        let deadline = look.held_until.map_or(row.deadline, |until| row.deadline.max(until + kind.deadline));
        let mut commit = Commit::new(row.fence.part);
        commit.extend(look.writes);
        let fall_back = !row.fell_back && falls_back(kind, verdict.state, now >= deadline);
        let is_news = verdict != row.verdict && verdict.state.is_final();
        for (event, wanted) in [("delivery", is_news), ("fallback", fall_back)] {
            if wanted {
                commit.extend(self.event(event, row, look.account.as_ref(), &told.customer, &verdict)?);
            }
        }
        let looked = Looked {
            next: next_look(row, &verdict, deadline, now),
            fell_back: row.fell_back || fall_back,
            changed: if verdict == row.verdict { row.changed } else { now },
            verdict: verdict.clone(),
            deadline,
            plan: with_steps(row.plan.as_deref(), look.steps),
        };
        commit.push(self.store.looked_at(row, &looked));
        match self.store.commit(commit).await {
            Ok(()) => {
                look.wake.iter().for_each(|part| self.outbound.wake(*part));
                if is_news || fall_back {
                    self.outbound.wake(row.fence.part);
                }
                if verdict != row.verdict {
                    tell(row, &verdict);
                }
                Ok(())
            }
            // Poked or taken over meanwhile: the next look sees it.
            Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The first look: whom to tell, how, and why not the others.
    async fn plan(
        &self,
        row: &NoticeRow,
        told: &Told,
        kinds: &Kinds,
        bound: &[Bound],
    ) -> Result<Look, StoreError> {
        let mut look = Look::default();
        for one in bound {
            let Bound { account, follower, binding, .. } = one;
            let whom = Whom { row, told, kinds, account, follower: *follower, binding };
            let facts = self.facts(&whom, one, Tried::Not, Tried::Not).await?;
            look.account.get_or_insert_with(|| account.clone());
            self.carry_out(&whom, decide(&row.kind, whom.kind(), facts), &mut look).await?;
        }
        if look.verdicts.is_empty() {
            look.verdicts.push(nobody());
        }
        Ok(look)
    }

    /// A later look: what its messages say now, and whether another way is left.
    async fn follow(
        &self,
        row: &NoticeRow,
        told: &Told,
        kinds: &Kinds,
        sent: Vec<SentRow>,
    ) -> Result<Look, StoreError> {
        let mut look = Look::default();
        let sent = self.with_carriers(row, sent).await?;
        let mut given_up = Vec::new();
        if !row.verdict.state.is_final() && kinds.of(&row.kind).chat {
            given_up = self.second_way(row, told, kinds, &sent, &mut look).await?;
        }
        let verdicts =
            sent.iter().filter(|row| !given_up.contains(&row.outbox_id)).map(|row| row.verdict.clone());
        let held = if row.was_held() { self.held_verdicts(row).await? } else { vec![] };
        let all = verdicts.chain(held).chain(std::mem::take(&mut look.verdicts));
        let verdict = verdict_of(row, all);
        let best = sent.iter().find(|sent| sent.verdict == verdict).or(sent.first());
        look.account = best.map(|sent| sent.account.clone());
        look.verdicts = vec![verdict];
        Ok(look)
    }

    /// Takes the second way for followers whose first one has clearly failed. Gives the messages that it takes the place
    /// of.
    async fn second_way(
        &self,
        row: &NoticeRow,
        told: &Told,
        kinds: &Kinds,
        sent: &[SentRow],
        look: &mut Look,
    ) -> Result<Vec<String>, StoreError> {
        let now = self.clock.now();
        let mut given_up = Vec::new();
        let can_go_on = |row: &SentRow| matches!(tried(row, now), Tried::Asleep | Tried::Refused);
        if !sent.iter().any(can_go_on) {
            return Ok(given_up);
        }
        let bound = self.store.bound_to([&told.customer]).await?;
        for one in bound.values().flatten() {
            let Bound { account, follower, binding, .. } = one;
            let mine = |is_chat: bool| {
                let mut rows =
                    sent.iter().filter(|row| row.account == *account && row.follower == Some(*follower));
                rows.find(|row| (row.channel == OutChannel::CustomerService) == is_chat)
            };
            let (template, chat) = (mine(false), mine(true));
            if template.is_none() && chat.is_none() {
                continue;
            }
            let of = |row: Option<&SentRow>| row.map_or(Tried::Not, |row| tried(row, now));
            let whom = Whom { row, told, kinds, account, follower: *follower, binding };
            let facts = self.facts(&whom, one, of(template), of(chat)).await?;
            let decision = decide(&row.kind, whom.kind(), facts);
            if let (Decision::Chat, Some(template)) = (&decision, template)
                && facts.template == Tried::Asleep
            {
                look.writes.push(self.store.give_up_outbox(&template.outbox_id, now + ASLEEP));
                given_up.push(template.outbox_id.clone());
            }
            if matches!(decision, Decision::Chat | Decision::Template(_)) {
                self.carry_out(&whom, decision, look).await?;
            }
        }
        Ok(given_up)
    }

    /// Brings together what a decision may look at.
    async fn facts<'a>(
        &'a self,
        whom: &Whom<'_>,
        bound: &Bound,
        first: Tried,
        chat: Tried,
    ) -> Result<Facts<'a>, StoreError> {
        let Whom { row, told, account, follower, binding, .. } = whom;
        let (now, kind) = (self.clock.now(), whom.kind());
        let account_of = self.config.account(account.as_str());
        let template = account_of.and_then(|account| template_of(account, &row.kind, kind));
        let (paused_until, consented) = match template {
            Some(template) if template.way.needs_consent() => {
                let left = self.store.consent_left(account, *follower, &template.template_id).await?;
                (bound.subscriptions_paused_until, left > 0)
            }
            _ => (bound.templates_paused_until, true),
        };
        let quota_gone = paused_until.is_some_and(|until| until > now);
        let is_new = first == Tried::Not && chat == Tried::Not;
        let reminded = match kind.cap.filter(|_| is_new) {
            Some(cap) => self.store.told_since(&told.customer, &row.kind, now - cap.within, cap.most).await?,
            None => 0,
        };
        let wants_chat = kind.chat && (quota_gone || !consented || !is_new);
        let chat_window = if wants_chat {
            let conversation = self.store.conversation(account, *follower).await?;
            let involved = conversation.stage.person_involved();
            conversation.ledger.draw(Sender::Unasked, involved, now).map(|_| ())
        } else {
            Err(Refused::Closed)
        };
        let quiet_until = binding.settings.quiet.and_then(|quiet| quiet_until(quiet, row, told));
        Ok(Facts {
            account: account_of,
            following: bound.following,
            alerts: binding.alerts_of_tail(told.tail.as_ref()),
            cost: told.cost,
            ceiling_fen: self.config.alerts.silence_ceiling.minor(),
            quiet_until: quiet_until.filter(|until| *until > now),
            reminded,
            quota_gone,
            consented,
            chat_window,
            template: first,
            chat,
        })
    }

    /// Turns a decision into writes, its verdict so far, and the step that is kept.
    async fn carry_out(
        &self,
        whom: &Whom<'_>,
        decision: Decision<'_>,
        look: &mut Look,
    ) -> Result<(), StoreError> {
        let Whom { row, account, follower, .. } = whom;
        let (what, verdict) = match decision {
            Decision::Template(template) => {
                look.writes.extend(self.order(whom, template).await?);
                let what = if template.way.needs_consent() { "subscription" } else { "template" };
                (what, Verdict::plain(State::Pending))
            }
            Decision::Chat => match self.say(whom) {
                Some(content) => {
                    let cause = Cause::Notice { family: row.family, id: row.notice_id.clone() };
                    let customer = &whom.told.customer;
                    look.writes
                        .extend(self.outbound.alert_in_chat(account, *follower, customer, &content, cause)?);
                    ("customer_service", Verdict::plain(State::Pending))
                }
                // Its words were tried out when they were loaded.
                None => ("customer_service", Verdict::new(State::Failed, "unreadable")),
            },
            Decision::Hold(until) => {
                look.writes.push(self.store.hold(row, account, *follower, until));
                look.held_until = look.held_until.max(Some(until));
                ("held", Verdict::new(State::Pending, QUIET_HOURS))
            }
            Decision::Leave => return Ok(()),
            Decision::Not(verdict) => (verdict.state.name(), verdict),
        };
        if what != "held" && verdict.state == State::Pending {
            look.wake.push(follower.part());
        }
        look.steps.push(Step {
            at: self.clock.now(),
            account: account.as_str().to_owned(),
            what: what.to_owned(),
            reason: verdict.reason.clone(),
        });
        look.verdicts.push(verdict);
        Ok(())
    }

    /// The template message of one notice to one follower.
    pub(super) async fn order(
        &self,
        whom: &Whom<'_>,
        template: &NoticeTemplate,
    ) -> Result<Vec<Write>, StoreError> {
        let Whom { row, told, account, follower, .. } = whom;
        let kind = whom.kind();
        let mut values = told.values.clone();
        if template.fields.contains_key(fields::NOTE) {
            let note = self.note(row, told, whom.hides_amounts()).await?;
            values.extend(note.map(|note| (fields::NOTE.to_owned(), note)));
        }
        let order = TemplateOrder {
            id: self.message_id(row, account, *follower),
            customer: told.customer.clone(),
            lane: kind.lane,
            template_id: template.template_id.clone(),
            way: template.way,
            url: self.page_of(row, account, *follower),
            data: fields::data_of(template, &values, &kind.defaults, whom.hides_amounts(), row.accepted),
            expires: row.expires,
            cause: Cause::Notice { family: row.family, id: row.notice_id.clone() },
        };
        self.outbound.template(account, *follower, order)
    }

    /// The customer-service message of one notice to one follower.
    fn say(&self, whom: &Whom<'_>) -> Option<CustomMessage> {
        let Whom { row, told, kinds, .. } = whom;
        let kind = whom.kind();
        let mut values: Values = kind.defaults.clone();
        values.extend(told.values.clone());
        if whom.hides_amounts() {
            hidden(&mut values);
        }
        let happened = told.happened.unwrap_or(row.accepted);
        let late = self.clock.now().since(happened) > kind.deadline;
        let text = kinds.say(&row.kind, &values, late)?;
        Text::cut(&text).ok().map(CustomMessage::Text)
    }

    /// Where a tap on the alert leads: the page of its transaction, for this follower only.
    fn page_of(&self, row: &NoticeRow, account: &AccountId, follower: FollowerKey) -> Option<String> {
        let pages = self.pages.as_ref().filter(|_| row.family == Family::Transaction)?;
        let now = self.clock.now();
        Some(pages.link_about(account, follower, Page::Purchase, &row.notice_id, now))
    }

    /// Names the message to one follower for ever: what is planned twice by any accident is sent once.
    pub(super) fn message_id(&self, row: &NoticeRow, account: &AccountId, follower: FollowerKey) -> String {
        let parts: [&[u8]; 4] = [
            row.family.name().as_bytes(),
            row.notice_id.as_bytes(),
            account.as_str().as_bytes(),
            follower.as_bytes(),
        ];
        hex::encode(self.store.vault().index("client_msg_id", &parts))
    }

    pub(super) fn event(
        &self,
        event: &str,
        row: &NoticeRow,
        account: Option<&AccountId>,
        customer: &CustomerId,
        verdict: &Verdict,
    ) -> Result<Vec<Write>, StoreError> {
        let reason = match (&verdict.reason, verdict.state) {
            (Some(reason), _) => Some(reason.as_str()),
            (None, State::Pending) => Some("deadline"),
            (None, _) => None,
        };
        let data = json!({
            "id": row.notice_id, "kind": row.kind, "state": verdict.state.name(), "reason": reason,
        });
        self.outbound.event_of(event, account, Some(customer), data)
    }
}

/// Until when an item waits, if it came in quiet hours. What the bank wants told sooner, or what would be too old by
/// then, waits not.
fn quiet_until(quiet: QuietHours, row: &NoticeRow, told: &Told) -> Option<UnixMs> {
    let until = quiet.end_at(row.accepted)?;
    let in_time = until < row.expires && told.deadline.is_none_or(|deadline| until < deadline);
    in_time.then_some(until)
}

/// What became of a message, as far as another way depends on it.
fn tried(row: &SentRow, now: UnixMs) -> Tried {
    let reason = row.verdict.reason.as_deref().unwrap_or_default();
    let is_clear = !row.unclear && row.receipt_at.is_none_or(|_| reason == "receipt_system_failed");
    let by_wechat = reason.starts_with("errcode_") || reason == "receipt_system_failed";
    let by_window = matches!(reason, "window_closed" | "allowance_kept" | "allowance_used");
    match row.verdict.state {
        State::Failed if is_clear && (by_wechat || by_window) => Tried::Refused,
        State::Unreachable if is_about_consent(&row.verdict) => Tried::Refused,
        State::Pending if is_clear && row.attempts > 0 && by_wechat && row.due > now + ASLEEP => {
            Tried::Asleep
        }
        _ => Tried::Closed,
    }
}

/// A new verdict, in the log and on the metrics page.
fn tell(row: &NoticeRow, verdict: &Verdict) {
    let (state, reason) = (verdict.state.name(), verdict.reason.as_deref().unwrap_or_default());
    if verdict.state != State::Pending {
        metrics::counter!("weikefu_alerts_settled_total", "state" => state).increment(1);
    }
    tracing::info!(kind = row.kind, state, reason, "an item of the bank has a new verdict");
}

/// When to look again if nothing pokes it: once for a receipt, at the deadline, after the end.
fn next_look(row: &NoticeRow, verdict: &Verdict, deadline: UnixMs, now: UnixMs) -> Option<UnixMs> {
    match verdict.state {
        State::Pending if !row.planned => Some(deadline.min(now + RECEIPT_LOOK)),
        State::Pending if now < deadline => Some(deadline),
        State::Pending => Some((row.expires + END_LOOK).max(now + END_LOOK)),
        State::Sent if row.verdict.state != State::Sent => Some(now + RECEIPT_LOOK),
        _ => None,
    }
}
