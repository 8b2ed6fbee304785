//! What happened in the sandbox: the lines of its journal. Made so that no applicant's name, phone, ID number and
//! no one-time code stands in the file: phones and ID numbers are keyed fingerprints, codes are hashes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::changes::Change;
use super::controls::LockPart;
use super::transaction::Entry;
use crate::domain::time::UnixMs;

/// One thing that happened. What happened together is one line of the journal.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The sandbox was opened on an empty folder; the made-up past ends here.
    Opened { at: UnixMs, fingerprint_key: String },
    /// A movement on a card; also a pre-authorisation, which only holds the limit, and a declined one.
    Moved { customer_id: String, card_id: String, entry: Entry },
    /// A card's holder locked it, or a part of what it can do.
    CardLocked {
        customer_id: String,
        card_id: String,
        at: UnixMs,
        #[serde(default)]
        part: LockPart,
    },
    /// He unlocked it.
    CardUnlocked { customer_id: String, card_id: String, at: UnixMs },
    /// A card was frozen for a fraud case.
    CardFrozen {
        customer_id: String,
        card_id: String,
        transaction_id: Option<String>,
        case_no: String,
        at: UnixMs,
    },
    /// A card's holder misses it; `None`: he found it.
    CardLost { customer_id: String, card_id: String, at: Option<UnixMs> },
    /// A lost card's number is over: another one is made, to be activated when it arrives.
    CardRenewed { customer_id: String, card_id: String, last4: String },
    /// A card may be used from now on.
    CardActivated { customer_id: String, card_id: String },
    /// A PIN is asked for on the bank's page.
    PinAsked { request: PinRequest },
    /// One was typed; also that the customer turned back.
    PinTried { request_id: String, right: bool, at: UnixMs },
    /// A customer has another PIN.
    PinSet { customer_id: String, pin: String, at: UnixMs },
    /// A suspicious purchase put a card on hold.
    CardHeld { customer_id: String, card_id: String, transaction_id: String },
    /// The hold is gone.
    HoldLifted { customer_id: String, card_id: String },
    /// The bank's staff let a card be used again: no lock, freeze or hold is left.
    CardReleased { customer_id: String, card_id: String },
    /// A card may be used abroad until then; `None`: not.
    OverseasSet { customer_id: String, card_id: String, until: Option<UnixMs> },
    /// A customer changed or agreed something.
    Changed { customer_id: String, change: Change },
    /// Identity data that fit nobody.
    IdentityFailed { phone: String, at: UnixMs },
    /// A one-time code was sent.
    CodeSent { challenge: Challenge },
    /// A one-time code was tried.
    CodeTried { challenge_id: String, right: bool, at: UnixMs },
    /// An application was taken in.
    Applied { application: Application },
    /// An application went on to its next stage.
    Advanced { application_no: String, at: UnixMs },
    /// A write under an idempotency key was answered.
    Answered { key: String, request_hash: String, answer: Result<Value, Refusal> },
    /// Something is to be sent to the server.
    Queued { delivery: Delivery },
    /// The server took it, or refused it for good.
    Settled { delivery_id: String, outcome: String },
    /// The server told us of something.
    Received { message_id: String, at: UnixMs, body: Value },
}

/// A business refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) details: Value,
}

impl Refusal {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), details: Value::Null }
    }

    pub(super) fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

/// A one-time code on its way back.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Challenge {
    pub(super) challenge_id: String,
    pub(super) purpose: String,
    /// Fingerprint.
    pub(super) phone: String,
    pub(super) phone_masked: String,
    /// Fingerprint of challenge and code.
    pub(super) code: String,
    pub(super) customer_id: Option<String>,
    pub(super) sent_at: UnixMs,
    #[serde(default)]
    pub(super) wrong_tries: u32,
    #[serde(default)]
    pub(super) verified_at: Option<UnixMs>,
}

/// A PIN that is asked for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PinRequest {
    pub(super) request_id: String,
    pub(super) customer_id: String,
    pub(super) scope: String,
    pub(super) title: String,
    pub(super) return_url: String,
    pub(super) at: UnixMs,
    #[serde(default)]
    pub(super) used: bool,
}

/// An application for a card.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Application {
    pub(super) application_no: String,
    pub(super) product_id: String,
    pub(super) name_masked: String,
    /// Fingerprints.
    pub(super) id_number: String,
    pub(super) phone: String,
    pub(super) customer_id: Option<String>,
    /// When each stage so far began; the first is when it was taken in. Never empty.
    pub(super) reached: Vec<UnixMs>,
}

/// A call to the server that is owed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Delivery {
    /// Also the `webhook-id`, so that a repeated one is recognised.
    pub(super) delivery_id: String,
    /// Under the server's address, such as `/api/v1/transactions`.
    pub(super) path: String,
    pub(super) body: Value,
    /// One line for the page.
    pub(super) summary: String,
    pub(super) queued_at: UnixMs,
    /// Empty while it is owed.
    #[serde(default)]
    pub(super) outcome: String,
}
