//! The bank at work: one lock around books and journal. Whatever happens is on disk before anyone hears of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hmac::{Hmac, KeyInit as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::book::{Book, Sms};
use super::events::{Delivery, Event, Refusal};
use super::faults::Faults;
use super::journal::{Journal, JournalError};
use super::operations::{self, Asked, Request, pin};
use super::rules::Rules;
use super::signature::Key;
use super::swipe::{self, Swipe};
use super::{Settings, StartError};
use crate::bank::Operation;
use crate::clock::{SharedClock, SharedRandom, new_id, new_token};
use crate::content::Content;
use crate::domain::time::UnixMs;

/// Books, journal, and what it takes to check who calls.
pub(super) struct Bank {
    books: Mutex<Books>,
    pub(super) faults: Faults,
    pub(super) core_key: Key,
    pub(super) events_key: Option<Key>,
    /// Rings when something is owed to the server.
    pub(super) owed: Notify,
    problem: Mutex<Option<String>>,
    content_dir: Option<PathBuf>,
    /// Its address for browsers, once it listens.
    pub(super) own_url: OnceLock<String>,
    clock: SharedClock,
    random: SharedRandom,
}

struct Books {
    book: Book,
    journal: Journal,
}

impl Books {
    /// On disk first, then in memory.
    fn commit(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        if !events.is_empty() {
            self.journal.append(&events)?;
        }
        events.into_iter().for_each(|event| self.book.apply(event));
        Ok(())
    }
}

impl std::fmt::Debug for Bank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bank")
    }
}

impl Bank {
    /// Lets another process have the journal. Nothing may happen at this bank any more.
    pub(super) fn close(&self) {
        let mut books = self.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = books.journal.release() {
            tracing::warn!(%error, "the journal stays locked until the process ends");
        }
    }

    /// Opens the bank, or opens it again.
    pub(super) fn open(
        settings: &Settings,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, StartError> {
        let rules = Arc::new(Rules::builtin().map_err(StartError::Rules)?);
        let bad = |key| move |reason| StartError::Secret { key, reason };
        let core_key = Key::new(&settings.core_secret).map_err(bad("[core] secret"))?;
        let events_key =
            settings.events_secret.as_ref().map(Key::new).transpose().map_err(bad("[events] secret"))?;
        let (mut journal, mut events) = Journal::open(&settings.journal)?;
        if events.is_empty() {
            events = vec![Event::Opened { at: clock.now(), fingerprint_key: new_token(&*random) }];
            journal.append(&events)?;
        }
        let damaged = |reason: &str| JournalError::Damaged {
            path: settings.journal.clone(),
            line: 1,
            reason: reason.to_owned(),
        };
        let Some(Event::Opened { at, fingerprint_key }) = events.first().cloned() else {
            return Err(damaged("it does not begin with the opening").into());
        };
        let fingerprints = Hmac::new_from_slice(fingerprint_key.as_bytes())
            .map_err(|_| damaged("its key for fingerprints has no usable length"))?;
        let mut book = Book::open(rules, at, fingerprints);
        events.into_iter().for_each(|event| book.apply(event));
        Ok(Self {
            books: Mutex::new(Books { book, journal }),
            faults: Faults::default(),
            core_key,
            events_key,
            owed: Notify::new(),
            problem: Mutex::new(None),
            content_dir: settings.content_dir.clone(),
            own_url: OnceLock::new(),
            clock,
            random,
        })
    }

    pub(super) fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// Looks into the books.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Book, UnixMs) -> T) -> T {
        at(&self.books().book, self.now())
    }

    /// Answers one operation; a repeated write gets its first answer.
    pub(super) fn operate(
        &self,
        operation: &str,
        request: Request,
    ) -> Result<Result<Value, Refusal>, JournalError> {
        let mut books = self.books();
        let hash = request_hash(&request);
        let write = operations::is_write(operation);
        let key = request.idempotency_key.filter(|_| write).map(|key| format!("{operation}:{key}"));
        if let Some(answered) = key.as_deref().and_then(|key| books.book.answered(key)) {
            if answered.request_hash != hash {
                let message = "这个请求编号已用于另一笔业务。";
                return Ok(Err(Refusal::new("idempotency_conflict", message)));
            }
            return Ok(answered.answer.clone());
        }
        let asked = Asked {
            book: &books.book,
            now: self.now(),
            random: &*self.random,
            new_id: new_id(&*self.clock, &*self.random),
            customer_id: request.customer_id.as_deref(),
            guard: request.context.guard.as_deref(),
            own_url: self.own_url.get().map_or("", String::as_str),
        };
        let mut decision = operations::decide(operation, &asked, request.params);
        let mut answer = decision.answer;
        if answer.as_ref().is_err_and(|refusal| refusal.code == "unknown_operation")
            && let Some(example) = self.example_of(operation)
        {
            answer = Ok(example);
        }
        // Asked again with what was missing, it is decided anew.
        let anew = |refusal: &Refusal| matches!(refusal.code.as_str(), "bad_request" | "step_up_required");
        if let Some(key) = key.filter(|_| !answer.as_ref().is_err_and(anew)) {
            decision.events.push(Event::Answered { key, request_hash: hash, answer: answer.clone() });
        }
        books.commit(decision.events)?;
        if let Some(sms) = decision.sms {
            books.book.show(sms);
        }
        Ok(answer)
    }

    /// What an operation that the bank added as a file answers: its example.
    fn example_of(&self, operation: &str) -> Option<Value> {
        let content = Content::load(Some(self.content_dir.as_deref()?)).ok()?;
        let file = content.file(&format!("operations/{operation}.json"))?;
        let operation = Operation::parse(operation, &file.text);
        let operation =
            operation.map_err(|error| tracing::warn!(%error, "an added operation cannot be used"));
        Some(operation.ok()?.example().result.clone())
    }

    /// Swipes a card.
    pub(super) fn swipe(&self, request: Swipe) -> Result<Result<Value, Refusal>, JournalError> {
        self.act(|book, now, id| swipe::swipe(book, now, id, request))
    }

    /// Lets a card be used again, as the bank's staff does after a case.
    pub(super) fn release(
        &self,
        customer_id: &str,
        card_id: &str,
    ) -> Result<Result<Value, Refusal>, JournalError> {
        self.act(|book, _, _| swipe::release(book, customer_id, card_id))
    }

    /// Takes what was typed on the page for a PIN. The address to return to, or why it cannot be taken, which is shown on
    /// the page.
    pub(super) fn pin(
        &self,
        request_id: &str,
        typed: &pin::Typed,
    ) -> Result<Result<String, Refusal>, JournalError> {
        let (mut books, now) = (self.books(), self.now());
        let (events, taken) = match pin::take(&books.book, request_id, typed, now) {
            Ok(taken) => taken,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let back = taken.and_then(|outcome| {
            let request = pin::open(&books.book, request_id, now)?;
            Ok(pin::way_back(request, outcome, &self.core_key, now))
        });
        books.commit(events)?;
        Ok(back)
    }

    /// Moves an application on.
    pub(super) fn advance(&self, application_no: &str) -> Result<Result<Value, Refusal>, JournalError> {
        self.act(|book, now, id| swipe::advance(book, now, id, application_no))
    }

    fn act(
        &self,
        decide: impl FnOnce(&Book, UnixMs, &str) -> Result<(Vec<Event>, Value), Refusal>,
    ) -> Result<Result<Value, Refusal>, JournalError> {
        let mut books = self.books();
        let id = new_id(&*self.clock, &*self.random);
        match decide(&books.book, self.now(), &id) {
            Err(refusal) => Ok(Err(refusal)),
            Ok((events, answer)) => {
                books.commit(events)?;
                self.owed.notify_one();
                Ok(Ok(answer))
            }
        }
    }

    /// Takes an event of the server in, once.
    pub(super) fn receive(&self, message_id: String, body: Value) -> Result<(), JournalError> {
        let mut books = self.books();
        if books.book.has_received(&message_id) {
            return Ok(());
        }
        let at = self.now();
        books.commit(vec![Event::Received { message_id, at, body }])
    }

    /// The oldest call that is owed to the server.
    pub(super) fn next_owed(&self) -> Option<Delivery> {
        self.books().book.owed.front().cloned()
    }

    /// Notes what became of a call.
    pub(super) fn settle(&self, delivery_id: String, outcome: String) -> Result<(), JournalError> {
        self.note_problem(None);
        self.books().commit(vec![Event::Settled { delivery_id, outcome }])
    }

    /// Why the server cannot be reached at the moment; `None` when it can.
    pub(super) fn note_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// What was noted last.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The text messages of a phone, or of all, the newest first.
    pub(super) fn sms(&self, phone: Option<&str>) -> Value {
        self.look(|book, _| {
            let print = phone.map(|phone| book.fingerprint(phone));
            let wanted = book.sms.iter().filter(|sms| print.as_ref().is_none_or(|print| *print == sms.phone));
            wanted.map(sms_json).collect()
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sms_json(sms: &Sms) -> Value {
    json!({
        "phone": sms.phone_masked,
        "text": sms.text,
        "at": super::transaction::rfc3339(sms.at),
    })
}

fn request_hash(request: &Request) -> String {
    let text = json!([request.customer_id, request.params]).to_string();
    hex::encode(Sha256::digest(text.as_bytes()))
}
