//! Whether somebody is told, and why not: pure.

use super::kinds::Kind;
use crate::config::{Account, AccountKind, NoticeTemplate};
use crate::domain::verdict::{State, Verdict};

/// One follower who might be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// His account; `None`: it is configured no longer.
    pub(super) account: Option<&'a Account>,
    /// Whether he follows, as far as WeChat has said. An imported follower of whom it has said nothing counts.
    pub(super) following: Option<bool>,
    /// Whether he wants alerts.
    pub(super) alerts: bool,
}

/// What to do for one follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision<'a> {
    /// Send this template.
    Send(&'a NoticeTemplate),
    /// Do not, for this reason.
    Not(Verdict),
}

/// Decides for one follower. The first reason that holds is the one that is told.
pub(super) fn decide<'a>(name: &str, kind: &Kind, candidate: Candidate<'a>) -> Decision<'a> {
    let suppressed = |reason: &str| Decision::Not(Verdict::new(State::Suppressed, reason));
    let Some(account) = candidate.account else { return suppressed("account_not_configured") };
    if candidate.following == Some(false) {
        return Decision::Not(Verdict::new(State::Unreachable, "not_following"));
    }
    if !candidate.alerts && !kind.mandatory {
        return suppressed("alerts_off");
    }
    // Template messages are for service accounts only.
    if account.kind != AccountKind::Service {
        return suppressed("account_kind");
    }
    match account.notices.get(name).or_else(|| account.notices.get(&kind.notice)) {
        Some(template) => Decision::Send(template),
        None => suppressed("notice_not_configured"),
    }
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
    use crate::alerts::kinds::Kinds;
    use crate::content::Content;
    use crate::outbound::testing::config;

    fn with_templates(names: &[&str]) -> Account {
        let nowhere = url::Url::parse("http://127.0.0.1:1").unwrap();
        let mut account = config(&nowhere).accounts.remove(0);
        account.notices = names
            .iter()
            .map(|name| {
                let template = NoticeTemplate { template_id: (*name).to_owned(), fields: BTreeMap::new() };
                ((*name).to_owned(), template)
            })
            .collect();
        account
    }

    fn decided(name: &str, candidate: Candidate<'_>) -> String {
        let kinds = Kinds::load(&Content::built_in()).unwrap();
        match decide(name, kinds.of(name), candidate) {
            Decision::Send(template) => template.template_id.clone(),
            Decision::Not(verdict) => verdict.reason.unwrap(),
        }
    }

    #[test]
    fn each_follower_is_told_or_there_is_a_reason() {
        let account = with_templates(&["spend", "security", "bill_due", "application"]);
        let here = Candidate { account: Some(&account), following: None, alerts: true };
        let off = Candidate { alerts: false, ..here };
        let table = [
            ("spend", here, "spend"),
            ("spend", Candidate { following: Some(true), ..here }, "spend"),
            ("spend", Candidate { following: Some(false), ..here }, "not_following"),
            ("spend", Candidate { account: None, ..here }, "account_not_configured"),
            ("spend", off, "alerts_off"),
            ("security", off, "security"),
            ("refund", here, "notice_not_configured"),
            ("bill_issued", off, "bill_due"),
            ("case_update", here, "application"),
        ];
        for (name, candidate, expected) in table {
            assert_eq!(decided(name, candidate), expected, "{name}");
        }
        let mut subscription = with_templates(&["spend"]);
        subscription.kind = AccountKind::Subscription;
        assert_eq!(decided("spend", Candidate { account: Some(&subscription), ..here }), "account_kind");
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

    proptest! {
        #[test]
        fn nobody_is_told_against_his_will_or_without_following(following: Option<bool>, alerts: bool, which in 0_usize..4) {
            let account = with_templates(&["spend", "refund", "declined", "security"]);
            let name = ["spend", "refund", "declined", "security"][which];
            let kinds = Kinds::load(&Content::built_in()).unwrap();
            let kind = kinds.of(name);
            let decision = decide(name, kind, Candidate { account: Some(&account), following, alerts });
            let sends = matches!(decision, Decision::Send(_));
            prop_assert_eq!(sends, following != Some(false) && (alerts || kind.mandatory));
        }
    }
}
