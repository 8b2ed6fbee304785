//! Whether somebody is told, when, by which way, and why not: pure, and it keeps its reason.

use serde::{Deserialize, Serialize};

use super::kinds::Kind;
use crate::config::{Account, AccountKind, NoticeTemplate};
use crate::domain::alert_settings::CardAlerts;
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict};
use crate::domain::window::Refused;
use crate::outbound::NO_CONSENT;

/// The reason of an item that waits for the end of quiet hours.
pub(super) const QUIET_HOURS: &str = "quiet_hours";

/// What a transaction costs, as far as a threshold in yuan can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// The item is no transaction.
    Nothing,
    /// So many fen.
    Fen(i64),
    /// An amount that the bank gave in another currency only: it is never too small to be told.
    Unknown,
}

/// What became of one way to one follower so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// Nothing was tried.
    Not,
    /// WeChat clearly refused it, and it is asleep until the quota of another day.
    Asleep,
    /// WeChat clearly refused it for good.
    Refused,
    /// It is on its way, it was sent or perhaps sent, or the follower wants none: another way would double it or
    /// trouble him.
    Closed,
}

/// Everything about one follower that a decision may look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// His account; `None`: it is configured no longer.
    pub(super) account: Option<&'a Account>,
    /// Whether he follows, as far as WeChat has said. An imported follower of whom it has said nothing counts.
    pub(super) following: Option<bool>,
    /// His settings for the card.
    pub(super) alerts: CardAlerts,
    /// What it costs.
    pub(super) cost: Cost,
    /// From which cost on nothing waits, in fen.
    pub(super) ceiling_fen: i64,
    /// When his quiet hours end, if the item came within them and can wait so long.
    pub(super) quiet_until: Option<UnixMs>,
    /// How often he was reminded within the time of the kind's cap.
    pub(super) reminded: u32,
    /// Whether WeChat takes no more templates, or subscription notices, today.
    pub(super) quota_gone: bool,
    /// Whether he consented to the subscription notice; a template message needs no consent.
    pub(super) consented: bool,
    /// Whether the allowance ledger lets an unasked customer-service message leave (P11).
    pub(super) chat_window: Result<(), Refused>,
    /// What became of the template.
    pub(super) template: Tried,
    /// What became of the customer-service message.
    pub(super) chat: Tried,
}

/// What to do for one follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision<'a> {
    /// Send this template.
    Template(&'a NoticeTemplate),
    /// Send a customer-service message.
    Chat,
    /// Let it wait until his quiet hours end.
    Hold(UnixMs),
    /// Leave it as it is: what was begun goes on, or nothing more can be done.
    Leave,
    /// Do not tell him, for this reason.
    Not(Verdict),
}

/// One decision as it is kept with its notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    /// When.
    pub(super) at: UnixMs,
    /// The account of the follower; empty where nobody is bound.
    pub(super) account: String,
    /// What was decided: `template`, `customer_service`, `held`, or a state.
    pub(super) what: String,
    /// Why.
    pub(super) reason: Option<String>,
}

/// Decisions kept with one notice; the first ones.
const STEPS_MAX: usize = 64;

/// The decisions on a notice with newer ones, as they are stored.
pub(super) fn with_steps(plan: Option<&str>, newer: Vec<Step>) -> Option<String> {
    let mut steps = steps(plan);
    steps.extend(newer);
    steps.truncate(STEPS_MAX);
    if steps.is_empty() { None } else { serde_json::to_string(&steps).ok() }
}

/// Reads what [`with_steps`] wrote.
pub(super) fn steps(plan: Option<&str>) -> Vec<Step> {
    plan.and_then(|plan| serde_json::from_str(plan).ok()).unwrap_or_default()
}

/// Decides for one follower. The first reason that holds is the one that is kept.
pub(super) fn decide<'a>(name: &str, kind: &Kind, facts: Facts<'a>) -> Decision<'a> {
    let suppressed = |reason: &str| Decision::Not(Verdict::new(State::Suppressed, reason));
    let Some(account) = facts.account else { return suppressed("account_not_configured") };
    if facts.following == Some(false) {
        return Decision::Not(Verdict::new(State::Unreachable, "not_following"));
    }
    let is_new = facts.template == Tried::Not && facts.chat == Tried::Not;
    if is_new && let Some(reason) = unwanted(kind, facts) {
        return suppressed(reason);
    }
    // Template messages are for service accounts only.
    if account.kind != AccountKind::Service {
        return suppressed("account_kind");
    }
    let Some(template) = template_of(account, name, kind) else {
        return suppressed("notice_not_configured");
    };
    if let Some(until) = facts.quiet_until.filter(|_| is_new && waits(kind, facts)) {
        return Decision::Hold(until);
    }
    let may_chat = kind.chat && facts.chat_window.is_ok();
    match (facts.template, facts.chat) {
        (Tried::Not, Tried::Not) if (facts.quota_gone || !facts.consented) && may_chat => Decision::Chat,
        (Tried::Not, Tried::Not | Tried::Refused) if !facts.consented => {
            Decision::Not(Verdict::new(State::Unreachable, NO_CONSENT))
        }
        (Tried::Not, Tried::Not | Tried::Refused) => Decision::Template(template),
        (Tried::Asleep | Tried::Refused, Tried::Not) if may_chat => Decision::Chat,
        _ => Decision::Leave,
    }
}

/// The account's template for a kind: its own, or the one that the kind shares.
pub(super) fn template_of<'a>(account: &'a Account, name: &str, kind: &Kind) -> Option<&'a NoticeTemplate> {
    account.notices.get(name).or_else(|| account.notices.get(&kind.notice))
}

/// Why the customer, or the bank's cap, does not want it told.
fn unwanted(kind: &Kind, facts: Facts<'_>) -> Option<&'static str> {
    if !kind.mandatory && !facts.alerts.on {
        return Some("alerts_off");
    }
    let is_small = matches!(facts.cost, Cost::Fen(fen) if fen < facts.alerts.threshold_fen);
    if !kind.mandatory && kind.threshold && is_small {
        return Some("below_threshold");
    }
    kind.cap.is_some_and(|cap| facts.reminded >= cap.most).then_some("reminded_lately")
}

/// Whether it may wait for the end of quiet hours: what is dear, or may be, never does.
fn waits(kind: &Kind, facts: Facts<'_>) -> bool {
    let is_small = match facts.cost {
        Cost::Nothing => true,
        Cost::Fen(fen) => fen < facts.ceiling_fen,
        Cost::Unknown => false,
    };
    kind.quiet && is_small
}

/// The verdict where nobody is bound.
pub(super) fn nobody() -> Verdict {
    Verdict::new(State::Suppressed, "no_binding")
}

/// Whether the bank must fall back now: WeChat will not tell, or has not told in time.
pub(super) fn falls_back(kind: &Kind, state: State, is_past_deadline: bool) -> bool {
    kind.fallback
        && match state {
            State::Failed | State::Unreachable => true,
            State::Pending => is_past_deadline,
            State::Sent | State::Delivered | State::Suppressed => false,
        }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::alerts::kinds::{Cap, Kinds};
    use crate::config::NoticeWay;
    use crate::content::Content;
    use crate::outbound::testing::config;

    const MORNING: UnixMs = UnixMs(1_795_392_000_000);

    fn with_templates(names: &[&str]) -> Account {
        let nowhere = url::Url::parse("http://127.0.0.1:1").unwrap();
        let mut account = config(&nowhere).accounts.remove(0);
        account.notices = names
            .iter()
            .map(|name| {
                let template = NoticeTemplate {
                    template_id: (*name).to_owned(),
                    fields: BTreeMap::new(),
                    way: NoticeWay::Template,
                };
                ((*name).to_owned(), template)
            })
            .collect();
        account
    }

    /// Somebody who settled nothing and is told of a purchase of ¥128.50 for the first time.
    fn facts(account: &Account) -> Facts<'_> {
        Facts {
            account: Some(account),
            following: None,
            alerts: CardAlerts { on: true, hide_amounts: false, threshold_fen: 0 },
            cost: Cost::Fen(12_850),
            ceiling_fen: 50_000,
            quiet_until: None,
            reminded: 0,
            quota_gone: false,
            consented: true,
            chat_window: Err(Refused::Closed),
            template: Tried::Not,
            chat: Tried::Not,
        }
    }

    fn decided(name: &str, facts: Facts<'_>) -> String {
        let kinds = Kinds::load(&Content::built_in()).unwrap();
        match decide(name, kinds.of(name), facts) {
            Decision::Template(template) => template.template_id.clone(),
            Decision::Chat => "chat".to_owned(),
            Decision::Hold(until) => format!("hold {}", until.0),
            Decision::Leave => "leave".to_owned(),
            Decision::Not(verdict) => verdict.reason.unwrap(),
        }
    }

    #[test]
    fn each_follower_is_told_or_there_is_a_reason() {
        let account = with_templates(&["spend", "security", "bill_due", "application", "declined"]);
        let here = facts(&account);
        let off = Facts { alerts: CardAlerts { on: false, ..here.alerts }, ..here };
        let picky = Facts { alerts: CardAlerts { threshold_fen: 12_851, ..here.alerts }, ..here };
        let content = Facts { alerts: CardAlerts { threshold_fen: 12_850, ..here.alerts }, ..here };
        let table = [
            ("spend", here, "spend"),
            ("spend", Facts { following: Some(true), ..here }, "spend"),
            ("spend", Facts { following: Some(false), ..here }, "not_following"),
            ("spend", Facts { account: None, ..here }, "account_not_configured"),
            ("spend", off, "alerts_off"),
            ("security", off, "security"),
            ("declined", off, "declined"),
            ("refund", here, "notice_not_configured"),
            ("bill_issued", off, "bill_due"),
            ("case_update", here, "application"),
            ("spend", picky, "below_threshold"),
            ("spend", content, "spend"),
            ("declined", picky, "declined"),
            ("spend", Facts { cost: Cost::Unknown, ..picky }, "spend"),
        ];
        for (name, facts, expected) in table {
            assert_eq!(decided(name, facts), expected, "{name}");
        }
        let mut subscription = with_templates(&["spend"]);
        subscription.kind = AccountKind::Subscription;
        assert_eq!(decided("spend", facts(&subscription)), "account_kind");
    }

    #[test]
    fn quiet_hours_hold_what_can_wait_and_never_what_is_dear_or_about_safety() {
        let account = with_templates(&["spend", "security", "bill_due", "declined"]);
        let night = Facts { quiet_until: Some(MORNING), ..facts(&account) };
        let held = format!("hold {}", MORNING.0);
        let table = [
            ("spend", night, held.as_str()),
            ("bill_due", Facts { cost: Cost::Nothing, ..night }, held.as_str()),
            ("spend", Facts { cost: Cost::Fen(50_000), ..night }, "spend"),
            ("spend", Facts { cost: Cost::Unknown, ..night }, "spend"),
            ("security", Facts { cost: Cost::Nothing, ..night }, "security"),
            ("declined", night, "declined"),
            ("spend", Facts { template: Tried::Refused, ..night }, "leave"),
        ];
        for (name, facts, expected) in table {
            assert_eq!(decided(name, facts), expected, "{name}");
        }
    }

    #[test]
    fn the_second_way_is_taken_only_where_the_first_has_clearly_failed_and_the_window_allows_it() {
        let account = with_templates(&["spend", "bill_due"]);
        let open = Facts { chat_window: Ok(()), ..facts(&account) };
        let kept = Facts { chat_window: Err(Refused::Kept), ..open };
        let tried = |template, chat, facts| Facts { template, chat, ..facts };
        let table = [
            ("spend", open, "spend"),
            ("spend", Facts { quota_gone: true, ..open }, "chat"),
            ("spend", Facts { quota_gone: true, ..kept }, "spend"),
            ("bill_due", Facts { quota_gone: true, ..open }, "bill_due"),
            ("spend", tried(Tried::Refused, Tried::Not, open), "chat"),
            ("spend", tried(Tried::Asleep, Tried::Not, open), "chat"),
            ("spend", tried(Tried::Refused, Tried::Not, kept), "leave"),
            ("spend", tried(Tried::Closed, Tried::Not, open), "leave"),
            ("spend", tried(Tried::Refused, Tried::Refused, open), "leave"),
            ("spend", tried(Tried::Not, Tried::Refused, open), "spend"),
            ("spend", tried(Tried::Not, Tried::Closed, open), "leave"),
            ("bill_due", tried(Tried::Refused, Tried::Not, open), "leave"),
        ];
        for (name, facts, expected) in table {
            assert_eq!(decided(name, facts), expected, "{name} {:?} {:?}", facts.template, facts.chat);
        }
    }

    #[test]
    fn without_consent_a_subscription_notice_leaves_the_chat_or_the_bank() {
        let account = with_templates(&["spend", "bill_due"]);
        let unasked = Facts { consented: false, ..facts(&account) };
        let open = Facts { chat_window: Ok(()), ..unasked };
        let table = [
            ("spend", unasked, "no_consent"),
            ("spend", open, "chat"),
            ("bill_due", Facts { cost: Cost::Nothing, ..open }, "no_consent"),
            ("spend", Facts { template: Tried::Refused, ..open }, "chat"),
            ("spend", Facts { template: Tried::Refused, ..unasked }, "leave"),
            ("spend", Facts { chat: Tried::Refused, ..unasked }, "no_consent"),
            ("spend", Facts { following: Some(false), ..unasked }, "not_following"),
        ];
        for (name, facts, expected) in table {
            assert_eq!(decided(name, facts), expected, "{name} {:?} {:?}", facts.template, facts.chat);
        }
    }

    #[test]
    fn reminders_stop_at_the_banks_cap() {
        let account = with_templates(&["bill_due"]);
        let kinds = Kinds::load(&Content::built_in()).unwrap();
        let cap = Cap { most: 2, within: std::time::Duration::from_secs(86_400) };
        let kind = Kind { cap: Some(cap), ..kinds.of("bill_due").clone() };
        for (reminded, sends) in [(0, true), (1, true), (2, false), (3, false)] {
            let facts = Facts { reminded, cost: Cost::Nothing, ..facts(&account) };
            let decision = decide("bill_due", &kind, facts);
            assert_eq!(matches!(decision, Decision::Template(_)), sends, "{reminded}");
        }
    }

    #[test]
    fn the_bank_falls_back_when_wechat_will_not_or_did_not_tell() {
        let kinds = Kinds::load(&Content::built_in()).unwrap();
        let spend = kinds.of("spend");
        for (state, late, expected) in [
            (State::Pending, false, false),
            (State::Pending, true, true),
            (State::Sent, true, false),
            (State::Delivered, true, false),
            (State::Suppressed, true, false),
            (State::Failed, false, true),
            (State::Unreachable, false, true),
        ] {
            assert_eq!(falls_back(spend, state, late), expected, "{state:?} {late}");
        }
        let silent = Kind { fallback: false, ..spend.clone() };
        assert!(!falls_back(&silent, State::Failed, true));
    }

    #[test]
    fn kept_steps_read_back_and_are_bounded() {
        let step =
            |at| Step { at: UnixMs(at), account: "card".into(), what: "template".into(), reason: None };
        let plan = with_steps(None, vec![step(1)]);
        assert_eq!(steps(with_steps(plan.as_deref(), vec![step(2)]).as_deref()), [step(1), step(2)]);
        let many = with_steps(None, (0..500).map(step).collect());
        assert_eq!((steps(many.as_deref()).len(), with_steps(None, vec![])), (STEPS_MAX, None));
        assert!(steps(Some("no json")).is_empty());
    }

    fn any_tried() -> impl Strategy<Value = Tried> {
        prop_oneof![Just(Tried::Not), Just(Tried::Asleep), Just(Tried::Refused), Just(Tried::Closed)]
    }

    fn any_window() -> impl Strategy<Value = Result<(), Refused>> {
        prop_oneof![Just(Ok(())), Just(Err(Refused::Closed)), Just(Err(Refused::Kept))]
    }

    proptest! {
        #[test]
        fn nobody_is_told_against_his_will_twice_or_without_following(
            (following, on, quiet, quota_gone) in any::<(Option<bool>, bool, bool, bool)>(),
            threshold_fen in 0_i64..100_000,
            fen in 0_i64..100_000,
            (template, chat) in (any_tried(), any_tried()),
            chat_window in any_window(),
            which in 0_usize..4,
        ) {
            let account = with_templates(&["spend", "refund", "declined", "security"]);
            let name = ["spend", "refund", "declined", "security"][which];
            let kinds = Kinds::load(&Content::built_in()).unwrap();
            let kind = kinds.of(name);
            let alerts = CardAlerts { on, hide_amounts: false, threshold_fen };
            let quiet_until = quiet.then_some(MORNING);
            let facts = Facts {
                following, alerts, cost: Cost::Fen(fen), quiet_until, quota_gone, template, chat, chat_window,
                ..facts(&account)
            };
            let decision = decide(name, kind, facts);
            let sends = matches!(decision, Decision::Template(_) | Decision::Chat);
            let is_new = template == Tried::Not && chat == Tried::Not;
            prop_assert!(!sends || following != Some(false));
            if is_new && following != Some(false) {
                let wanted = kind.mandatory || (on && fen >= threshold_fen);
                let held = quiet && kind.quiet && fen < 50_000;
                prop_assert_eq!(sends, wanted && !held);
                prop_assert_eq!(matches!(decision, Decision::Hold(_)), wanted && held);
            }
            // The platform punishes unasked customer-service messages: only as second way, only where P11 lets them.
            if decision == Decision::Chat {
                prop_assert!(chat_window.is_ok() && chat == Tried::Not);
                prop_assert!(quota_gone || matches!(template, Tried::Asleep | Tried::Refused));
            }
            // Never both ways at once.
            if sends {
                prop_assert!(template != Tried::Closed && chat != Tried::Closed);
            }
            if kind.lane == crate::store::Lane::Security {
                prop_assert!(!matches!(decision, Decision::Hold(_)));
            }
        }
    }
}
