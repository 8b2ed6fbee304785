//! Pushes: signed and encrypted as the account's mode says, three deliveries, each answered within the time-out.
//!
//! A follower's pushes begin in the order of his actions. The next one begins as soon as the one before it is
//! answered, or a moment after it went out; it never waits for a slow answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use url::Url;

use super::envelope::signature;
use super::faults::{PushFault, ReceiptRule};
use super::platform::{Account, Platform};
use super::reply::{self, Reply};
use super::timeline::{Delivery, Direction, Draft, Entry, PushState, Source};
use super::xml;
use crate::config::Encryption;
use crate::domain::time::UnixMs;

/// Pushes under way at once; beyond it followers must wait.
pub(crate) const PUSHES_MAX: usize = 20_000;
const DELIVERIES_MAX: u8 = 3;
const REPLY_BYTES_MAX: usize = 256 * 1024;
/// How long a push may keep the next one of the same follower from beginning.
const HEAD_START: Duration = Duration::from_millis(30);
/// How long a push waits for a later one that it lets go first.
const LATER_MAX: Duration = Duration::from_secs(120);
const LATER_POLL: Duration = Duration::from_millis(50);
/// What WeChat shows when an account does not answer, or answers nonsense.
pub(crate) const OUT_OF_ORDER: &str = "该公众号提供的服务出现故障，请稍后再试";

/// What a push is about: rules how its reply is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// A follower's message: one article at most.
    Message,
    /// An event whose reply is shown: up to eight articles.
    Event,
    /// An event whose reply is ignored.
    Quiet,
}

/// One push on its way.
pub(crate) struct Push {
    /// The account it goes to.
    pub(crate) account: usize,
    /// The follower it is about.
    pub(crate) openid: String,
    /// The chat entry that it belongs to.
    pub(crate) entry: u64,
    /// `MsgType` of a message, `Event` of an event.
    pub(crate) kind: String,
    /// The message.
    pub(crate) xml: String,
    /// How its reply is read.
    pub(crate) scene: Scene,
    /// Its place among the follower's pushes.
    pub(crate) turn: Turn,
    /// The recorded action that caused it.
    pub(crate) step: Option<u64>,
    /// Dropped when it has ended.
    pub(crate) done: Option<oneshot::Sender<()>>,
}

/// A place in a follower's order of pushes.
pub(crate) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    passed: Option<oneshot::Sender<()>>,
}

impl Turn {
    pub(crate) fn new(before: Option<oneshot::Receiver<()>>, passed: oneshot::Sender<()>) -> Self {
        Self { before, passed: Some(passed) }
    }

    /// In nobody's order.
    pub(crate) fn none() -> Self {
        Self { before: None, passed: None }
    }

    async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // An error means that the one before is gone: our turn as well.
            let _ = before.await;
        }
    }

    fn pass(&mut self) {
        if let Some(passed) = self.passed.take() {
            let _ = passed.send(());
        }
    }
}

/// What goes over the wire.
struct Wire {
    url: Url,
    body: String,
}

/// How one request ended: outcome, status, body.
type Ended = (&'static str, Option<u16>, Option<String>);

impl Platform {
    /// Sends a push in the background.
    pub(crate) fn send_push(self: &Arc<Self>, push: Push, fault: Option<PushFault>) {
        let platform = Arc::clone(self);
        self.pushes.fetch_add(1, Ordering::SeqCst);
        self.runtime.spawn(async move {
            let mut push = push;
            platform.deliver(&mut push, fault.unwrap_or_default()).await;
            platform.pushes.fetch_sub(1, Ordering::SeqCst);
            if let Some(done) = push.done.take() {
                // Whoever waited may have given up.
                let _ = done.send(());
            }
        });
    }

    async fn deliver(&self, push: &mut Push, fault: PushFault) {
        push.turn.come().await;
        if fault.after_next {
            push.turn.pass();
            self.later_one_ended(push).await;
        }
        sleep(Duration::from_millis(fault.delay_ms)).await;
        let spacing = Duration::from_millis(self.settings.delivery_timeout_ms);
        for number in 1..=DELIVERIES_MAX {
            let begun = Instant::now();
            let is_lost = number <= fault.lose_replies;
            match self.attempt(push, number, fault.copies.max(1), is_lost).await {
                Some(body) => return self.settle(push, &body),
                None if number < DELIVERIES_MAX => sleep_until(begun + spacing).await,
                None => {}
            }
        }
        let reason = "三次投递均未得到应答".to_owned();
        let at = self.true_now();
        let mut state = self.state();
        state.change_entry(push.account, &push.openid, push.entry, |entry| {
            set_state(entry, PushState::Silent, Some(reason.clone()));
        });
        state.record_push(at, push, PushState::Silent, Some(reason), None);
        drop(state);
        self.show_out_of_order(push);
    }

    /// Waits until a push of the same follower that came after this one has ended.
    async fn later_one_ended(&self, push: &Push) {
        let look = || {
            let mut state = self.state();
            let follower = state.follower(push.account, &push.openid)?;
            let ended = |entry: &Entry| {
                entry.id > push.entry
                    && entry.push.as_ref().is_some_and(|push| push.state != PushState::Delivering)
            };
            let found = follower.timeline.after(push.entry).iter().any(ended);
            Some((found, follower.changed.subscribe()))
        };
        let waiting = async {
            while let Some((false, mut changed)) = look() {
                // A change between the look and the wait shows within the poll.
                let _ = timeout(LATER_POLL, changed.changed()).await;
            }
        };
        let _ = timeout(LATER_MAX, waiting).await;
    }

    /// One delivery, as one request or as several at once. The body of the first good answer.
    async fn attempt(&self, push: &mut Push, number: u8, copies: u8, is_lost: bool) -> Option<String> {
        let limit = Duration::from_millis(self.settings.delivery_timeout_ms);
        let wires: Vec<Wire> =
            (0..copies).map(|_| self.wire(push.account, &push.openid, &push.xml)).collect();
        let sent: Vec<(String, String)> =
            wires.iter().map(|wire| (wire.url.to_string(), wire.body.clone())).collect();
        let (started_at, begun) = (self.true_now(), Instant::now());
        let one = |wire| async move {
            let ended = timeout(limit, self.exchange(wire)).await;
            (ended, begun.elapsed())
        };
        let all = futures::future::join_all(wires.into_iter().map(one));
        tokio::pin!(all);
        let early = tokio::select! {
            outcome = &mut all => Some(outcome),
            () = sleep(HEAD_START) => None,
        };
        push.turn.pass();
        let outcomes = match early {
            Some(outcomes) => outcomes,
            None => all.await,
        };
        let mut good = None;
        let mut deliveries = Vec::with_capacity(outcomes.len());
        for ((outcome, took), (url, posted)) in outcomes.into_iter().zip(sent) {
            let (name, status, body): Ended = match outcome {
                Err(_) => ("timeout", None, None),
                Ok(Err(_)) => ("unreachable", None, None),
                Ok(Ok((200, body))) if is_lost => ("lost", Some(200), Some(body)),
                Ok(Ok((200, body))) => ("answered", Some(200), Some(body)),
                Ok(Ok((status, body))) => ("status", Some(status), Some(body)),
            };
            if name == "answered" && good.is_none() {
                good.clone_from(&body);
            }
            deliveries.push(Delivery {
                number,
                started_at,
                duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                outcome: name,
                status,
                url,
                posted,
                raw_reply: body,
                reply_xml: None,
            });
        }
        self.state().change_entry(push.account, &push.openid, push.entry, |entry| {
            if let Some(push) = &mut entry.push {
                push.deliveries.extend(deliveries);
            }
        });
        good
    }

    /// One HTTP exchange: status and body.
    async fn exchange(&self, wire: Wire) -> reqwest::Result<(u16, String)> {
        let request = self.http.post(wire.url).header("content-type", "text/xml").body(wire.body);
        let mut response = request.send().await?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > REPLY_BYTES_MAX {
                break;
            }
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// The signed request, with a fresh timestamp and nonce.
    fn wire(&self, account: usize, openid: &str, message: &str) -> Wire {
        let timestamp = self.true_now().seconds().to_string();
        let nonce = u32::from_be_bytes(self.random::<4>()).to_string();
        let random = self.random::<16>();
        let state = self.state();
        let account = &state.accounts[account];
        let token = account.settings.token.reveal();
        let mut url = account.settings.push_url.clone();
        let plain = signature(&[token, &timestamp, &nonce]);
        let sealed = account.cipher.as_ref().map(|cipher| cipher.seal(random, message));
        let sealed = sealed.filter(|_| account.settings.encryption != Encryption::Plain);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("signature", &plain).append_pair("timestamp", &timestamp);
            query.append_pair("nonce", &nonce).append_pair("openid", openid);
            if let Some(encrypted) = &sealed {
                let signed = signature(&[token, &timestamp, &nonce, encrypted]);
                query.append_pair("encrypt_type", "aes").append_pair("msg_signature", &signed);
            }
        }
        let body = match (account.settings.encryption, sealed) {
            (Encryption::Compat, Some(encrypted)) => xml::with_encrypt(message, &encrypted),
            (Encryption::Safe, Some(encrypted)) => xml::Writer::new()
                .text("ToUserName", &account.settings.original_id)
                .text("Encrypt", &encrypted)
                .finish(),
            (_, _) => message.to_owned(),
        };
        Wire { url, body }
    }

    /// Reads the reply and shows what it says.
    fn settle(&self, push: &Push, body: &str) {
        let (at, now) = (self.true_now(), self.now());
        let mut state = self.state();
        let opened = reply::open(&state.accounts[push.account], body);
        let read = match &opened {
            Ok(None) => Ok(None),
            Ok(Some(xml)) => {
                let expected = reply::Expected { openid: &push.openid, scene: push.scene, now };
                reply::read(&state.accounts[push.account], &expected, xml).map(Some)
            }
            Err(fault) => Err(fault.clone()),
        };
        let (ended, fault) = match &read {
            Ok(None) => (PushState::Quiet, None),
            Ok(Some(_)) => (PushState::Answered, None),
            Err(fault) => (PushState::Malformed, Some(fault.clone())),
        };
        let xml = opened.ok().flatten();
        state.change_entry(push.account, &push.openid, push.entry, |entry| {
            if let Some(last) = entry.push.as_mut().and_then(|push| push.deliveries.last_mut()) {
                last.reply_xml = xml.clone();
            }
            set_state(entry, ended, fault.clone());
        });
        state.record_push(at, push, ended, fault, xml.as_deref());
        if push.scene == Scene::Quiet {
            return;
        }
        match read {
            Ok(None) => {}
            Ok(Some(Reply { kind, text, detail, hidden })) => {
                let draft = Draft::new(Direction::Account, &kind, text).detail(detail).hidden(hidden);
                let draft = draft.sent_as(Source::Passive, Some(push.entry));
                if let Some(follower) = state.follower(push.account, &push.openid) {
                    follower.exchanged_at = Some(now);
                    follower.typing_until = None;
                    if kind == "transfer" {
                        follower.waiting_since = Some(at);
                    }
                }
                state.show(push.account, &push.openid, at, draft);
            }
            Err(_) => {
                drop(state);
                self.show_out_of_order(push);
            }
        }
    }

    fn show_out_of_order(&self, push: &Push) {
        if push.scene != Scene::Quiet {
            let draft = Draft::new(Direction::System, "notice", OUT_OF_ORDER);
            self.state().show(push.account, &push.openid, self.true_now(), draft);
        }
    }

    /// Pushes the receipt of a template message as the rule says. Gives what the send call has to wait for, if the
    /// receipt is to be answered before it.
    pub(crate) fn send_receipt(
        self: &Arc<Self>,
        receipt: Receipt,
        rule: &ReceiptRule,
    ) -> Option<oneshot::Receiver<()>> {
        let copies = if receipt.status.is_empty() { 0 } else { rule.copies };
        if rule.before_answer {
            let (done, ended) = oneshot::channel();
            let mut done = Some(done);
            for _ in 0..copies {
                self.push_receipt(&receipt, done.take());
            }
            return Some(ended);
        }
        let platform = Arc::clone(self);
        let delay = Duration::from_millis(rule.delay_ms);
        self.runtime.spawn(async move {
            sleep(delay).await;
            for _ in 0..copies {
                platform.push_receipt(&receipt, None);
            }
        });
        None
    }

    fn push_receipt(self: &Arc<Self>, receipt: &Receipt, done: Option<oneshot::Sender<()>>) {
        let now = self.true_now();
        let kind = "TEMPLATESENDJOBFINISH";
        let mut state = self.state();
        let xml = event(&state.accounts[receipt.account], &receipt.openid, now, kind)
            .number("MsgID", receipt.message_id)
            .text("Status", &receipt.status)
            .finish();
        let text = format!("模板消息回执：{}", receipt.status);
        let draft = Draft::new(Direction::System, "receipt", text).hidden(true).push(None, xml.clone());
        let Some(entry) = state.show(receipt.account, &receipt.openid, now, draft) else { return };
        state.change_entry(receipt.account, &receipt.openid, receipt.entry, |entry| {
            if let Some(detail) = entry.detail.as_object_mut() {
                detail.insert("receipt".to_owned(), receipt.status.as_str().into());
            }
        });
        let push = Push {
            account: receipt.account,
            openid: receipt.openid.clone(),
            entry,
            kind: kind.to_owned(),
            xml,
            scene: Scene::Quiet,
            // A receipt is nobody's action: it stands in no order.
            turn: Turn::none(),
            step: None,
            done,
        };
        let fault = state.take_push_fault(&push);
        drop(state);
        self.send_push(push, fault);
    }

    /// What the console does when a server address is saved: the verification GET. `true` when the server
    /// answered with the `echostr`.
    pub(crate) async fn verify(&self, account: usize) -> Result<bool, String> {
        let echo = u64::from_be_bytes(self.random::<8>()).to_string();
        let timestamp = self.true_now().seconds().to_string();
        let nonce = u32::from_be_bytes(self.random::<4>()).to_string();
        let url = {
            let state = self.state();
            let settings = &state.accounts[account].settings;
            let signed = signature(&[settings.token.reveal(), &timestamp, &nonce]);
            let mut url = settings.push_url.clone();
            url.query_pairs_mut()
                .append_pair("signature", &signed)
                .append_pair("timestamp", &timestamp)
                .append_pair("nonce", &nonce)
                .append_pair("echostr", &echo);
            url
        };
        let limit = Duration::from_millis(self.settings.delivery_timeout_ms);
        let request = self.http.get(url).timeout(limit);
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = response.status();
        let body = response.text().await.map_err(|error| error.without_url().to_string())?;
        Ok(status.as_u16() == 200 && body == echo)
    }
}

/// A receipt that is due.
pub(crate) struct Receipt {
    /// The account that sent.
    pub(crate) account: usize,
    /// The follower it was sent to.
    pub(crate) openid: String,
    /// The entry of the template message.
    pub(crate) entry: u64,
    /// `msgid` of the send call.
    pub(crate) message_id: u64,
    /// What is reported; empty: nothing is.
    pub(crate) status: String,
}

/// The four elements that every push begins with; the sender is nearly always a follower.
pub(crate) fn envelope(account: &Account, sender: &str, at: UnixMs, kind: &str) -> xml::Writer {
    xml::Writer::new()
        .text("ToUserName", &account.settings.original_id)
        .text("FromUserName", sender)
        .number("CreateTime", at.seconds())
        .text("MsgType", kind)
}

/// The beginning of an event.
pub(crate) fn event(account: &Account, openid: &str, at: UnixMs, name: &str) -> xml::Writer {
    envelope(account, openid, at, "event").text("Event", name)
}

fn set_state(entry: &mut Entry, state: PushState, fault: Option<String>) {
    if let Some(push) = &mut entry.push {
        push.state = state;
        push.fault = fault;
    }
}
