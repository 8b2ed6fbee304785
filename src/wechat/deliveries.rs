//! What became of the platform's calls to one account's webhook: how many were taken and refused, and why the last
//! one was refused. Bounded, without anything of a message or a follower; for `weikefu doctor`.

use serde::{Deserialize, Serialize};

use super::push::Mismatch;
use crate::domain::time::UnixMs;

/// The nonce of a call with which `weikefu doctor` tries the webhook begins so; WeChat's are digits. Such a call is
/// kept apart, so that trying hides nothing.
pub const TRIAL_NONCE: &str = "weikefu-doctor-";
/// Longest nonce that is kept, in bytes.
const NONCE_BYTES_MAX: usize = 64;

/// One account's deliveries since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// Taken.
    pub accepted: u64,
    /// When the last one was taken.
    pub last_accepted: Option<UnixMs>,
    /// Refused, of those that had what the platform always sends.
    pub refused: u64,
    /// The last refusal.
    pub last_refusal: Option<Refused>,
    /// The last call by which the webhook was tried.
    pub last_trial: Option<Trial>,
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When.
    pub at: UnixMs,
    /// Why.
    #[serde(flatten)]
    pub mismatch: Mismatch,
}

/// One call that tried the webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its nonce, by which it is known again.
    pub nonce: String,
    /// Why it was refused; `None`: it was taken.
    pub mismatch: Option<Mismatch>,
}

impl Deliveries {
    /// Notes one call: taken, or refused for a reason.
    pub fn note(&mut self, nonce: &str, mismatch: Option<Mismatch>, now: UnixMs) {
        if nonce.starts_with(TRIAL_NONCE) && nonce.len() <= NONCE_BYTES_MAX {
            self.last_trial = Some(Trial { nonce: nonce.to_owned(), mismatch });
            return;
        }
        match mismatch {
            None => {
                self.accepted += 1;
                self.last_accepted = Some(now);
            }
            Some(mismatch) => {
                self.refused += 1;
                self.last_refusal = Some(Refused { at: now, mismatch });
            }
        }
    }
}

/// What a running server tells of one account: what it was started with, as far as that is no secret, and what came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountReport {
    /// The account's id.
    pub account: String,
    /// Its AppID.
    pub app_id: String,
    /// Its original id.
    pub original_id: String,
    /// Its mode: `plain`, `compat` or `safe`.
    pub encryption: crate::config::Encryption,
    /// What came.
    pub deliveries: Deliveries,
}

/// What `/deliveries` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReport {
    /// The server's clock.
    pub now: UnixMs,
    /// Each configured account.
    pub accounts: Vec<AccountReport>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_hides_no_refusal_and_the_report_reads_back() {
        let mut deliveries = Deliveries::default();
        deliveries.note("123", None, UnixMs(1));
        deliveries.note("124", Some(Mismatch::AppId { found: "wxother".to_owned() }), UnixMs(2));
        deliveries.note("weikefu-doctor-1", Some(Mismatch::Token), UnixMs(3));
        deliveries.note("weikefu-doctor-2", None, UnixMs(4));
        assert_eq!((deliveries.accepted, deliveries.refused), (1, 1));
        assert_eq!(deliveries.last_refusal.as_ref().unwrap().at, UnixMs(2));
        assert_eq!(deliveries.last_trial.as_ref().unwrap().nonce, "weikefu-doctor-2");
        let json = serde_json::to_string(&deliveries).unwrap();
        assert_eq!(serde_json::from_str::<Deliveries>(&json).unwrap(), deliveries);
    }
}
