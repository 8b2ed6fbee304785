//! The knobs of the control panel, as data: set by hand, recorded, and set again by a replay.

use serde::{Deserialize, Serialize};

use super::faults::{ApiFault, PushFault, ReceiptRule};
use super::platform::{Platform, State};
use crate::config::AccountKind;

const RECEIPT_DELAY_MS_MAX: u64 = 24 * 3600 * 1000;
const RECEIPT_COPIES_MAX: u8 = 10;
/// The clock may be moved by so much at once, in either direction.
const MOVE_SECONDS_MAX: i64 = 400 * 24 * 3600;

/// One turn of a knob.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Control {
    /// A fault of the API.
    ApiFault(ApiFault),
    /// No faults of the API any more.
    ClearApiFaults,
    /// A fault of pushes.
    PushFault(PushFault),
    /// No faults of pushes any more.
    ClearPushFaults,
    /// How receipts of template messages behave.
    Receipts(Receipts),
    /// As they usually do.
    ClearReceipts,
    /// Another quota.
    Quota(Quota),
    /// All access tokens end.
    ExpireTokens(ForAccount),
    /// The platform's clock moves.
    MoveClock(Move),
    /// The platform's clock is the machine's again.
    ResetClock,
    /// What kind of account it is.
    Rights(Rights),
    /// An agent of the platform's own signs in or out.
    Agent(AgentState),
}

/// How receipts behave; what is left out stays usual.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Receipts {
    delay_ms: Option<u64>,
    status: Option<String>,
    copies: Option<u8>,
    before_answer: bool,
    times: Option<u32>,
}

/// A limit of an API; 0 a day: the quota is gone.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quota {
    account: Option<String>,
    cgi_path: String,
    daily_limit: Option<u64>,
    minute_limit: Option<u64>,
}

/// One account, or all.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ForAccount {
    account: Option<String>,
}

/// By how much the clock moves.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    advance_seconds: i64,
}

/// What kind of account it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rights {
    account: String,
    is_service: Option<bool>,
    is_verified: Option<bool>,
}

/// Whether an agent is online.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentState {
    account: String,
    kf_account: String,
    online: bool,
}

impl Control {
    /// Turns the knob, and writes it down; says why not.
    pub(crate) fn apply(self, platform: &Platform) -> Result<(), &'static str> {
        let at = platform.true_now();
        let mut state = platform.state();
        let recorded = self.clone();
        self.turn(platform, &mut state)?;
        state.recording.control(at, &recorded);
        if matches!(recorded, Self::MoveClock(_) | Self::ResetClock) {
            // Windows end by this clock: the phones show them.
            (0..state.accounts.len()).for_each(|account| state.touch_all(account));
        }
        Ok(())
    }

    fn turn(self, platform: &Platform, state: &mut State) -> Result<(), &'static str> {
        let unless = |fits: bool, reason| if fits { Ok(()) } else { Err(reason) };
        let usual = platform.settings.receipt_delay_ms;
        match self {
            Self::ApiFault(fault) => {
                unless(state.faults.add_for_api(fault), "故障过多，或 times、http_status、延迟超出范围")
            }
            Self::PushFault(fault) => {
                unless(state.faults.add_for_pushes(fault), "故障过多，或 times、copies、延迟超出范围")
            }
            Self::ClearApiFaults => {
                state.faults.clear_api();
                Ok(())
            }
            Self::ClearPushFaults => {
                state.faults.clear_pushes();
                Ok(())
            }
            Self::Receipts(receipts) => {
                let rule = receipts.rule(usual).ok_or("delay_ms 或 copies 超出范围")?;
                state.receipts = rule;
                Ok(())
            }
            Self::ClearReceipts => {
                state.receipts = ReceiptRule::new(usual);
                Ok(())
            }
            Self::Quota(quota) => unless(quota.set(state), "没有这个公众号或接口"),
            Self::ExpireTokens(ForAccount { account }) => {
                let now = platform.now();
                for each in &mut state.accounts {
                    if account.as_ref().is_none_or(|id| *id == each.settings.id) {
                        each.tokens.expire(now);
                    }
                }
                Ok(())
            }
            Self::MoveClock(Move { advance_seconds }) => {
                let fits = advance_seconds.abs() <= MOVE_SECONDS_MAX;
                if fits {
                    platform.move_by(advance_seconds * 1000);
                }
                unless(fits, "一次最多移动 400 天")
            }
            Self::ResetClock => {
                platform.reset_clock();
                Ok(())
            }
            Self::Rights(rights) => {
                let account = state.account_index(&rights.account).ok_or("没有这个公众号")?;
                let settings = &mut state.accounts[account].settings;
                if let Some(is_service) = rights.is_service {
                    settings.kind = if is_service { AccountKind::Service } else { AccountKind::Subscription };
                }
                settings.is_verified = rights.is_verified.unwrap_or(settings.is_verified);
                Ok(())
            }
            Self::Agent(AgentState { account, kf_account, online }) => {
                let account = state.account_index(&account).ok_or("没有这个公众号")?;
                unless(state.accounts[account].agents.set_online(&kf_account, online), "没有这个客服账号")
            }
        }
    }
}

impl Receipts {
    fn rule(self, usual_delay_ms: u64) -> Option<ReceiptRule> {
        let rule = ReceiptRule {
            delay_ms: self.delay_ms.unwrap_or(usual_delay_ms),
            status: self.status,
            copies: self.copies.unwrap_or(1),
            before_answer: self.before_answer,
            times: self.times,
        };
        (rule.delay_ms <= RECEIPT_DELAY_MS_MAX && rule.copies <= RECEIPT_COPIES_MAX).then_some(rule)
    }
}

impl Quota {
    fn set(&self, state: &mut State) -> bool {
        let mut known = false;
        for account in &mut state.accounts {
            if self.account.as_ref().is_some_and(|id| *id != account.settings.id) {
                continue;
            }
            if let Some(daily_limit) = self.daily_limit {
                known |= account.quotas.set_limit(&self.cgi_path, daily_limit);
            }
            if let Some(minute_limit) = self.minute_limit {
                known |= account.quotas.set_minute_limit(&self.cgi_path, minute_limit);
            }
        }
        known
    }
}
