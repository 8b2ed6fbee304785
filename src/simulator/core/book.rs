//! Everything that the sandbox bank knows, as it follows from its journal. [`Book::apply`] is the only way in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use jiff::civil::Date;
use serde_json::Value;
use sha2::Sha256;

use super::calendar::Calendar;
use super::changes::{Changes, Drawn};
use super::controls::{Controls, Overseas};
use super::events::{Application, Challenge, Delivery, Event, PinRequest, Refusal};
use super::ledger::{Ledger, Part, Terms};
use super::people::{self, Card, Customer};
use super::rules::Rules;
use super::transaction::{Entry, Kind};
use crate::domain::time::UnixMs;

/// How much of each kind is kept in memory and shown; the journal keeps all.
const RECENT_MAX: usize = 200;
const CHALLENGES_MAX: usize = 10_000;
const PHONES_MAX: usize = 10_000;
const ANSWERS_MAX: usize = 100_000;
const MESSAGE_IDS_MAX: usize = 100_000;
/// Calls that may be owed to the server at once; beyond it a swipe is refused.
pub(super) const OWED_MAX: usize = 10_000;
/// Applications that are taken in.
pub(super) const APPLICATIONS_MAX: usize = 10_000;

/// Failed identity checks and locks of one phone.
#[derive(Clone, Copy, Default)]
pub(super) struct Tries {
    pub(super) failed: u32,
    pub(super) last_failed_at: UnixMs,
    pub(super) locked_until: UnixMs,
    pub(super) last_sent_at: UnixMs,
}

/// A customer's PIN, once he did something with it.
#[derive(Clone, Default)]
pub(super) struct Pin {
    /// Fingerprint; `None`: the one that every customer begins with.
    pub(super) pin: Option<String>,
    pub(super) set_at: Option<UnixMs>,
    /// Wrong ones in a row.
    pub(super) failed: u32,
    pub(super) locked_until: UnixMs,
}

/// A text message that a customer's telephone would have shown. Only in memory: it holds the code.
#[derive(Clone)]
pub(super) struct Sms {
    /// Fingerprint.
    pub(super) phone: String,
    pub(super) phone_masked: String,
    pub(super) text: String,
    pub(super) at: UnixMs,
}

/// An event of the server.
#[derive(Clone)]
pub(super) struct Received {
    pub(super) message_id: String,
    pub(super) at: UnixMs,
    pub(super) body: Value,
}

/// What was answered to a write, to be answered again.
pub(super) struct Answered {
    pub(super) request_hash: String,
    pub(super) answer: Result<Value, Refusal>,
}

/// The bank's books.
pub(super) struct Book {
    pub(super) rules: Arc<Rules>,
    pub(super) opened_at: UnixMs,
    fingerprints: Hmac<Sha256>,
    pub(super) customers: Vec<Customer>,
    moved: BTreeMap<(String, String), Vec<Entry>>,
    controls: BTreeMap<(String, String), Controls>,
    changes: BTreeMap<String, Changes>,
    pub(super) phones: BTreeMap<String, Tries>,
    pub(super) challenges: BTreeMap<String, Challenge>,
    challenge_order: VecDeque<String>,
    pub(super) pins: BTreeMap<String, Pin>,
    /// By their ids, which sort by time.
    pub(super) pin_requests: BTreeMap<String, PinRequest>,
    /// The oldest first.
    pub(super) applications: Vec<Application>,
    answers: BTreeMap<String, Answered>,
    answer_order: VecDeque<String>,
    /// In the order in which they are sent.
    pub(super) owed: VecDeque<Delivery>,
    /// The newest first.
    pub(super) settled: VecDeque<Delivery>,
    /// The newest first.
    pub(super) received: VecDeque<Received>,
    message_ids: BTreeSet<String>,
    message_id_order: VecDeque<String>,
    /// The newest first.
    pub(super) sms: VecDeque<Sms>,
    /// Grows with every change, so that a page knows when to draw anew.
    pub(super) version: u64,
}

impl Book {
    /// The books of a bank that opens now.
    pub(super) fn open(rules: Arc<Rules>, opened_at: UnixMs, fingerprints: Hmac<Sha256>) -> Self {
        let customers = people::customers(&rules, opened_at);
        Self {
            rules,
            opened_at,
            fingerprints,
            customers,
            moved: BTreeMap::new(),
            controls: BTreeMap::new(),
            changes: BTreeMap::new(),
            phones: BTreeMap::new(),
            challenges: BTreeMap::new(),
            challenge_order: VecDeque::new(),
            pins: BTreeMap::new(),
            pin_requests: BTreeMap::new(),
            applications: Vec::new(),
            answers: BTreeMap::new(),
            answer_order: VecDeque::new(),
            owed: VecDeque::new(),
            settled: VecDeque::new(),
            received: VecDeque::new(),
            message_ids: BTreeSet::new(),
            message_id_order: VecDeque::new(),
            sms: VecDeque::new(),
            version: 0,
        }
    }

    /// A keyed hash of personal text, to find it again without keeping it.
    pub(super) fn fingerprint(&self, text: &str) -> String {
        let mut mac = self.fingerprints.clone();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// The customer with this id.
    pub(super) fn customer(&self, id: &str) -> Option<&Customer> {
        self.customers.iter().find(|customer| customer.id == id)
    }

    /// The bookings of a card in one currency, with statements, as they stand on a day.
    pub(super) fn ledgers(&self, customer: &Customer, card: &Card, today: Date) -> Vec<Ledger> {
        self.ledgers_with(customer, card, today, None)
    }

    /// The same as if one more booking had been made.
    pub(super) fn ledgers_with(
        &self,
        customer: &Customer,
        card: &Card,
        today: Date,
        next: Option<&Entry>,
    ) -> Vec<Ledger> {
        let moved = self.moved(customer, card);
        let terms = |currency| Terms {
            rules: &self.rules,
            holder: format!("{}-{}", customer.id, card.card_id),
            currency,
            first_statement: card.first_statement,
            calendar: self.calendar(customer, card),
            today,
            auto_repayment: self.auto_repayments(customer, card),
            plans: self
                .changes(customer)
                .plans
                .iter()
                .filter(|plan| plan.card_id == card.card_id && plan.principal.currency() == currency)
                .cloned()
                .collect(),
        };
        let booked =
            || card.past.iter().chain(moved).chain(next).filter(|entry| entry.kind.is_booked()).cloned();
        card.currencies.iter().map(|currency| Ledger::build(&terms(*currency), booked())).collect()
    }

    /// What a customer changed since the sandbox was opened.
    pub(super) fn changes(&self, customer: &Customer) -> &Changes {
        self.changes.get(&customer.id).unwrap_or(Changes::NONE)
    }

    /// The statement days of a card.
    pub(super) fn calendar(&self, customer: &Customer, card: &Card) -> Calendar {
        let mut calendar = Calendar::new(self.rules.statement.day);
        let changes = self.changes(customer).statement_days.iter();
        changes.filter(|(id, ..)| id == card.card_id).for_each(|(_, on, day)| calendar.change(*on, *day));
        calendar
    }

    /// What is drawn on the due dates of a card at present.
    pub(super) fn drawn(&self, customer: &Customer, card: &Card) -> Option<Drawn> {
        let changed = self.changes(customer).auto_repayments.iter().rev().find(|(id, ..)| id == card.card_id);
        let from_start = || {
            customer.auto_repayment_from.map(|from| Drawn { part: Part::Full, from_last4: from.to_owned() })
        };
        changed.map_or_else(from_start, |(_, _, drawn)| drawn.clone())
    }

    fn auto_repayments(&self, customer: &Customer, card: &Card) -> Vec<(Date, Option<Part>)> {
        let opened = self.opened_at.beijing().date();
        let at_start = customer.auto_repayment_from.map(|_| (opened, Some(Part::Full)));
        let changed = self.changes(customer).auto_repayments.iter().filter(|(id, ..)| id == card.card_id);
        let changed = changed.map(|(_, since, drawn)| (*since, drawn.as_ref().map(|drawn| drawn.part)));
        at_start.into_iter().chain(changed).collect()
    }

    /// The fixed limit of a customer in fen, and the temporary one with its last day.
    pub(super) fn limits(&self, customer: &Customer) -> (i64, Option<(i64, Date)>) {
        let changes = self.changes(customer);
        let temporary = changes.temporary_limit.or(customer.temporary_limit);
        (changes.fixed_limit.unwrap_or(customer.fixed_limit), temporary)
    }

    /// What happened on a card since the sandbox was opened, declined and held amounts too.
    pub(super) fn moved(&self, customer: &Customer, card: &Card) -> &[Entry] {
        let key = (customer.id.clone(), card.card_id.to_owned());
        self.moved.get(&key).map_or(&[], Vec::as_slice)
    }

    /// What stands between a card and its next purchase.
    pub(super) fn controls(&self, customer: &Customer, card: &Card) -> Controls {
        let key = (customer.id.clone(), card.card_id.to_owned());
        self.controls.get(&key).cloned().unwrap_or_default()
    }

    /// Fraud cases so far.
    pub(super) fn fraud_cases(&self) -> usize {
        self.controls.values().map(|controls| controls.cases.len()).sum()
    }

    fn control(&mut self, customer_id: String, card_id: String) -> &mut Controls {
        self.controls.entry((customer_id, card_id)).or_default()
    }

    /// Pre-authorisations of a card that still hold the limit.
    pub(super) fn holds(
        &self,
        customer: &Customer,
        card: &Card,
        now: UnixMs,
    ) -> impl Iterator<Item = &Entry> {
        let days = u64::try_from(self.rules.limit.preauth_days).unwrap_or(0);
        let life = std::time::Duration::from_secs(days * 86_400);
        self.moved(customer, card)
            .iter()
            .filter(move |entry| entry.kind == Kind::Preauth && now < entry.at + life)
    }

    /// What was answered under an idempotency key.
    pub(super) fn answered(&self, key: &str) -> Option<&Answered> {
        self.answers.get(key)
    }

    /// Whether a message of the server was taken already.
    pub(super) fn has_received(&self, message_id: &str) -> bool {
        self.message_ids.contains(message_id)
    }

    /// Takes in what happened.
    pub(super) fn apply(&mut self, event: Event) {
        self.version += 1;
        match event {
            Event::Opened { .. } => {}
            Event::Moved { customer_id, card_id, entry } => {
                self.moved.entry((customer_id, card_id)).or_default().push(entry);
            }
            Event::CardLocked { customer_id, card_id, at, part } => {
                self.control(customer_id, card_id).locked.insert(part, at);
            }
            Event::CardUnlocked { customer_id, card_id, .. } => {
                self.control(customer_id, card_id).locked.clear();
            }
            Event::CardFrozen { customer_id, card_id, transaction_id, case_no, at } => {
                let controls = self.control(customer_id, card_id);
                controls.frozen_at = Some(at);
                controls.cases.insert(transaction_id, case_no);
            }
            Event::CardLost { customer_id, card_id, at } => self.control(customer_id, card_id).lost_at = at,
            Event::CardRenewed { customer_id, card_id, last4 } => {
                let cards = self.customers.iter_mut().filter(|customer| customer.id == customer_id);
                let mut cards = cards.flat_map(|customer| &mut customer.cards);
                if let Some(card) = cards.find(|card| card.card_id == card_id) {
                    card.last4 = last4;
                }
                let controls = self.control(customer_id, card_id);
                (controls.lost_at, controls.active) = (None, Some(false));
            }
            Event::CardActivated { customer_id, card_id } => {
                self.control(customer_id, card_id).active = Some(true);
            }
            Event::PinAsked { request } => {
                self.pin_requests.insert(request.request_id.clone(), request);
                if self.pin_requests.len() > CHALLENGES_MAX {
                    self.pin_requests.pop_first();
                }
            }
            Event::PinTried { request_id, right, at } => self.try_pin(&request_id, right, at),
            Event::PinSet { customer_id, pin, at } => {
                let known = self.pins.entry(customer_id).or_default();
                (known.pin, known.set_at) = (Some(pin), Some(at));
            }
            Event::CardHeld { customer_id, card_id, transaction_id } => {
                self.control(customer_id, card_id).held_for = Some(transaction_id);
            }
            Event::HoldLifted { customer_id, card_id } => {
                self.control(customer_id, card_id).held_for = None;
            }
            Event::CardReleased { customer_id, card_id } => {
                let controls = self.control(customer_id, card_id);
                controls.locked.clear();
                (controls.frozen_at, controls.held_for) = (None, None);
            }
            Event::OverseasSet { customer_id, card_id, until } => {
                let switch = until.map_or(Overseas::Off, Overseas::Until);
                self.control(customer_id, card_id).overseas = Some(switch);
            }
            Event::Changed { customer_id, change } => {
                self.changes.entry(customer_id).or_default().apply(change);
            }
            Event::IdentityFailed { phone, at } => self.count_failure(phone, at),
            Event::CodeSent { challenge } => self.remember_challenge(challenge),
            Event::CodeTried { challenge_id, right, at } => self.try_code(&challenge_id, right, at),
            Event::Applied { application } => self.applications.push(application),
            Event::Advanced { application_no, at } => {
                let found = self.applications.iter_mut().find(|one| one.application_no == application_no);
                if let Some(application) = found {
                    application.reached.push(at);
                }
            }
            Event::Answered { key, request_hash, answer } => {
                self.answers.insert(key.clone(), Answered { request_hash, answer });
                self.answer_order.push_back(key);
                if self.answer_order.len() > ANSWERS_MAX
                    && let Some(oldest) = self.answer_order.pop_front()
                {
                    self.answers.remove(&oldest);
                }
            }
            Event::Queued { delivery } => self.owed.push_back(delivery),
            Event::Settled { delivery_id, outcome } => {
                let place = self.owed.iter().position(|delivery| delivery.delivery_id == delivery_id);
                if let Some(mut delivery) = place.and_then(|place| self.owed.remove(place)) {
                    delivery.outcome = outcome;
                    push_recent(&mut self.settled, delivery);
                }
            }
            Event::Received { message_id, at, body } => {
                self.message_ids.insert(message_id.clone());
                self.message_id_order.push_back(message_id.clone());
                if self.message_id_order.len() > MESSAGE_IDS_MAX
                    && let Some(oldest) = self.message_id_order.pop_front()
                {
                    self.message_ids.remove(&oldest);
                }
                push_recent(&mut self.received, Received { message_id, at, body });
            }
        }
    }

    /// Shows a text message on the page.
    pub(super) fn show(&mut self, sms: Sms) {
        self.version += 1;
        push_recent(&mut self.sms, sms);
    }

    fn tries(&mut self, phone: String) -> &mut Tries {
        if self.phones.len() >= PHONES_MAX && !self.phones.contains_key(&phone) {
            self.phones.pop_first();
        }
        self.phones.entry(phone).or_default()
    }

    fn count_failure(&mut self, phone: String, at: UnixMs) {
        let (tries_max, lock) = (self.rules.otp.identity_tries, self.lock());
        let tries = self.tries(phone);
        if tries.last_failed_at + lock <= at {
            tries.failed = 0;
        }
        tries.failed += 1;
        tries.last_failed_at = at;
        if tries.failed >= tries_max {
            tries.failed = 0;
            tries.locked_until = at + lock;
        }
    }

    fn remember_challenge(&mut self, challenge: Challenge) {
        let tries = self.tries(challenge.phone.clone());
        tries.failed = 0;
        tries.last_sent_at = challenge.sent_at;
        self.challenge_order.push_back(challenge.challenge_id.clone());
        self.challenges.insert(challenge.challenge_id.clone(), challenge);
        if self.challenge_order.len() > CHALLENGES_MAX
            && let Some(oldest) = self.challenge_order.pop_front()
        {
            self.challenges.remove(&oldest);
        }
    }

    fn try_code(&mut self, challenge_id: &str, right: bool, at: UnixMs) {
        let (tries_max, lock) = (self.rules.otp.tries, self.lock());
        let Some(challenge) = self.challenges.get_mut(challenge_id) else { return };
        if right {
            challenge.verified_at = Some(at);
            return;
        }
        challenge.wrong_tries += 1;
        if challenge.wrong_tries >= tries_max {
            let phone = challenge.phone.clone();
            self.tries(phone).locked_until = at + lock;
        }
    }

    fn try_pin(&mut self, request_id: &str, right: bool, at: UnixMs) {
        let (tries_max, lock) = (self.rules.otp.tries, self.lock());
        let Some(request) = self.pin_requests.get_mut(request_id) else { return };
        request.used = right;
        let pin = self.pins.entry(request.customer_id.clone()).or_default();
        pin.failed = if right { 0 } else { pin.failed + 1 };
        if pin.failed >= tries_max {
            (pin.failed, pin.locked_until) = (0, at + lock);
        }
    }

    fn lock(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.rules.otp.lock_s)
    }
}

fn push_recent<T>(list: &mut VecDeque<T>, item: T) {
    list.push_front(item);
    list.truncate(RECENT_MAX);
}
