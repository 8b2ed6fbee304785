//! The platform's state: accounts, followers, their chats. One lock, never held over an await.
//!
//! Two times exist. The *true* time signs pushes and stamps chats, because the server checks it. The *platform*
//! time is the true time plus what the clock panel added; windows, tokens, codes and quotas age by it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tokio::sync::watch;

use super::allowance::{Allowance, Left};
use super::api::log::CallLog;
use super::api::{
    agents, mass, media, menu, qrcode, quota, sessions, shorten, speech, subscribe, tags, template, token,
};
use super::envelope::Cipher;
use super::faults::{Faults, PushFault, ReceiptRule};
use super::oauth;
use super::push::{Push, Turn};
use super::recording::{Exchange, Recording};
use super::settings::{AccountSettings, Settings};
use super::timeline::{Draft, PushState, Timeline};
use crate::clock::{SharedClock, SharedRandom};
use crate::domain::time::UnixMs;

/// Followers of all accounts together.
pub(crate) const FOLLOWERS_MAX: usize = 10_000;
const OPENID_BYTES_MAX: usize = 128;

/// The whole stand-in.
pub(crate) struct Platform {
    /// What it was started with.
    pub(crate) settings: Settings,
    /// Sends the pushes.
    pub(crate) http: reqwest::Client,
    /// Where background work runs.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Becomes true when the simulator stops, so that open streams end.
    pub(crate) closing: watch::Sender<bool>,
    /// Pushes under way.
    pub(crate) pushes: AtomicUsize,
    own_url: String,
    clock: SharedClock,
    random: SharedRandom,
    offset_ms: AtomicI64,
    state: Mutex<State>,
}

/// Everything that changes.
pub(crate) struct State {
    /// Official accounts in configured order.
    pub(crate) accounts: Vec<Account>,
    /// API calls received.
    pub(crate) calls: CallLog,
    /// What the fault panel asked for.
    pub(crate) faults: Faults,
    /// How receipts of template messages behave.
    pub(crate) receipts: ReceiptRule,
    /// Codes and tokens of web authorisation.
    pub(crate) oauth: oauth::Grants,
    /// What has happened so far, to be played again.
    pub(crate) recording: Recording,
    seq: u64,
    message_id: u64,
    followers: usize,
}

/// One official account.
pub(crate) struct Account {
    /// Its configuration.
    pub(crate) settings: AccountSettings,
    /// Seals its pushes.
    pub(crate) cipher: Option<Cipher>,
    /// Its followers and those who could become so, by openid.
    pub(crate) followers: HashMap<String, Follower>,
    /// Openids in order of creation.
    pub(crate) order: Vec<String>,
    /// Its custom menu.
    pub(crate) menu: menu::Menu,
    /// Its access tokens and tickets.
    pub(crate) tokens: token::Tokens,
    /// Calls used today.
    pub(crate) quotas: quota::Quotas,
    /// Its parametric QR codes.
    pub(crate) codes: qrcode::Codes,
    /// Uploaded and received media.
    pub(crate) media: media::Library,
    /// Template messages of the last ten minutes.
    pub(crate) sent: template::Sent,
    /// Its tags.
    pub(crate) tags: tags::Tags,
    /// Its agents on the platform's own customer service.
    pub(crate) agents: agents::Agents,
    /// Its mass sendings.
    pub(crate) mass: mass::Jobs,
    /// Its templates of subscription notices.
    pub(crate) notices: subscribe::Notices,
    /// Its short keys.
    pub(crate) short_keys: shorten::Keys,
    /// Its recordings that were made text.
    pub(crate) heard: speech::Heard,
}

/// A person's relation to one account.
pub(crate) struct Follower {
    /// How the account knows him.
    pub(crate) openid: String,
    /// How the phone calls him.
    pub(crate) name: String,
    /// Follows the account now.
    pub(crate) following: bool,
    /// Refuses the account's messages.
    pub(crate) blocked: bool,
    /// Opens pages as a snapshot user.
    pub(crate) snapshot: bool,
    /// Since when he follows.
    pub(crate) followed_at: Option<UnixMs>,
    /// The scene that brought him; empty without a code.
    pub(crate) scene: String,
    /// `subscribe_scene`
    pub(crate) subscribe_scene: &'static str,
    /// His client: 1 iOS, 2 Android, 3 any other.
    pub(crate) client: u8,
    /// The account's remark on him.
    pub(crate) remark: String,
    /// His tags in the order in which they were put on.
    pub(crate) tags: Vec<u64>,
    /// On the account's blacklist.
    pub(crate) is_blacklisted: bool,
    /// Notices that may still come, by template; one of a long-term template stays one.
    pub(crate) subscriptions: HashMap<String, u32>,
    /// One-time subscriptions that he confirmed: template and scene.
    pub(crate) one_time: BTreeSet<(String, String)>,
    /// Mass sendings that reached him in a month.
    pub(crate) mass_reached: (i64, u32),
    /// Waits in the platform's own queue.
    pub(crate) waiting_since: Option<UnixMs>,
    /// An agent of the platform's own serves him.
    pub(crate) session: Option<sessions::Session>,
    /// What may be sent to him.
    pub(crate) allowance: Allowance,
    /// Last message in either direction.
    pub(crate) exchanged_at: Option<UnixMs>,
    /// Until when the account is shown as typing.
    pub(crate) typing_until: Option<UnixMs>,
    /// His chat.
    pub(crate) timeline: Timeline,
    /// Number of the last change, for those who wait for one.
    pub(crate) changed: watch::Sender<u64>,
    /// The push before the next one.
    pub(crate) turn: Option<tokio::sync::oneshot::Receiver<()>>,
}

/// A follower as the control API shows him.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FollowerView {
    openid: String,
    name: String,
    following: bool,
    blocked: bool,
    snapshot: bool,
    followed_at: Option<UnixMs>,
    scene: String,
    client: u8,
    tags: Vec<u64>,
    waiting: bool,
    served_by: Option<String>,
    typing: bool,
    allowance: Left,
    last: Option<String>,
    seq: u64,
}

impl Platform {
    pub(crate) fn new(
        settings: Settings,
        own_url: String,
        http: reqwest::Client,
        runtime: tokio::runtime::Handle,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Arc<Self> {
        // Numbers go on growing over a restart: the server remembers message ids for days, and an open phone
        // asks for what came after the last number it saw.
        let started = u64::try_from(clock.now().0).unwrap_or(0);
        let mut state = State {
            accounts: settings.accounts.iter().map(Account::new).collect(),
            calls: CallLog::default(),
            faults: Faults::default(),
            receipts: ReceiptRule::new(settings.receipt_delay_ms),
            oauth: oauth::Grants::default(),
            recording: Recording::new(clock.now()),
            seq: started.saturating_mul(1_000),
            message_id: started.saturating_mul(10_000),
            followers: 0,
        };
        for account in 0..state.accounts.len() {
            for number in 1..=settings.followers_at_start {
                let openid = state.accounts[account].first_openid(number);
                let _ = state.add_follower(account, &openid, None);
            }
        }
        Arc::new(Self {
            settings,
            http,
            runtime,
            closing: watch::Sender::new(false),
            pushes: AtomicUsize::new(0),
            own_url,
            clock,
            random,
            offset_ms: AtomicI64::new(0),
            state: Mutex::new(state),
        })
    }

    /// The state, for a short look or change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the simulator itself is reached; ends with a slash.
    pub(crate) fn own_url(&self) -> &str {
        &self.own_url
    }

    /// The machine's time: signs and stamps.
    pub(crate) fn true_now(&self) -> UnixMs {
        self.clock.now()
    }

    /// The platform's time: ages windows, tokens, codes and quotas.
    pub(crate) fn now(&self) -> UnixMs {
        UnixMs(self.clock.now().0.saturating_add(self.offset_ms.load(Ordering::SeqCst)))
    }

    /// How far the platform's time is ahead of the machine's; negative: behind.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }

    /// Moves the platform's time, also backwards.
    pub(crate) fn move_by(&self, by_ms: i64) {
        let moved = |offset: i64| Some(offset.saturating_add(by_ms));
        let _ = self.offset_ms.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
    }

    /// The platform's time is the machine's again.
    pub(crate) fn reset_clock(&self) {
        self.offset_ms.store(0, Ordering::SeqCst);
    }

    /// How many pushes are under way.
    pub(crate) fn pushes_under_way(&self) -> usize {
        self.pushes.load(Ordering::SeqCst)
    }

    /// Unpredictable bytes.
    pub(crate) fn random<const BYTES: usize>(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.random.fill(&mut bytes);
        bytes
    }

    /// Unpredictable text of letters, digits, `-` and `_`.
    pub(crate) fn random_text<const BYTES: usize>(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.random::<BYTES>())
    }

    /// An openid that nobody has.
    pub(crate) fn new_openid(&self) -> String {
        format!("o{}", self.random_text::<20>())
    }
}

impl State {
    /// The account with this configured id.
    pub(crate) fn account_index(&self, id: &str) -> Option<usize> {
        self.accounts.iter().position(|account| account.settings.id == id)
    }

    /// The account with this AppID.
    pub(crate) fn app_index(&self, app_id: &str) -> Option<usize> {
        self.accounts.iter().position(|account| account.settings.app_id == app_id)
    }

    /// A follower of an account.
    pub(crate) fn follower(&mut self, account: usize, openid: &str) -> Option<&mut Follower> {
        self.accounts.get_mut(account)?.followers.get_mut(openid)
    }

    /// The number of the next change.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// An id that no message had before: 64 bits, beyond what JavaScript counts exactly.
    pub(crate) fn next_message_id(&mut self) -> u64 {
        self.message_id += 1;
        self.message_id
    }

    /// The fault that a push meets.
    pub(crate) fn take_push_fault(&mut self, push: &Push) -> Option<PushFault> {
        let account = &self.accounts[push.account].settings.id;
        self.faults.take_for_push(account, &push.kind)
    }

    /// Writes down how a push ended.
    pub(crate) fn record_push(
        &mut self,
        at: UnixMs,
        push: &Push,
        ended: PushState,
        fault: Option<String>,
        reply: Option<&str>,
    ) {
        let account = &self.accounts[push.account].settings.id;
        let exchange = Exchange {
            account,
            openid: &push.openid,
            step: push.step,
            push: &push.xml,
            ended,
            fault: fault.as_deref(),
            reply,
        };
        self.recording.exchange(at, &exchange);
    }

    /// Writes down what a follower is about to do; gives the number of the step. What a replay would know by other
    /// ids is named by its place: the n-th entry of its kind, the n-th code.
    pub(crate) fn record_action(&mut self, at: UnixMs, account: usize, openid: &str, action: &Value) -> u64 {
        let mut portable = action.clone();
        if let (Some(id), Some(follower)) = (action["entry"].as_u64(), self.follower(account, openid)) {
            portable["entry"] = json!({ "nth": follower.timeline.number(id) });
        }
        let codes = &self.accounts[account].codes;
        if let Some(number) = action["ticket"].as_str().and_then(|ticket| codes.number(ticket)) {
            portable["ticket"] = json!({ "nth": number });
        }
        let by_address = action["url"].as_str().filter(|_| action["action"] == "scan");
        if let Some(number) = by_address.and_then(|url| codes.number(&codes.ticket_of(url)?)) {
            portable["url"] = Value::Null;
            portable["ticket"] = json!({ "nth": number });
        }
        let account = self.accounts[account].settings.id.clone();
        self.recording.action(at, &account, openid, &portable)
    }

    /// Adds a person, who does not follow yet.
    pub(crate) fn add_follower(
        &mut self,
        account: usize,
        openid: &str,
        name: Option<&str>,
    ) -> Result<(), &'static str> {
        if self.followers >= FOLLOWERS_MAX {
            return Err("关注者已达上限");
        }
        let fits = !openid.is_empty() && openid.len() <= OPENID_BYTES_MAX;
        if !fits || openid.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err("openid 为空、过长或含有空白");
        }
        let Some(account) = self.accounts.get_mut(account) else { return Err("没有这个公众号") };
        if account.followers.contains_key(openid) {
            return Err("openid 已存在");
        }
        let name = name.map_or_else(|| format!("客户 {}", account.order.len() + 1), str::to_owned);
        account.order.push(openid.to_owned());
        account.followers.insert(openid.to_owned(), Follower::new(openid, name));
        self.followers += 1;
        Ok(())
    }

    /// Puts an entry into a chat and wakes those who watch it. Returns its id.
    pub(crate) fn show(&mut self, account: usize, openid: &str, at: UnixMs, draft: Draft) -> Option<u64> {
        let seq = self.next_seq();
        let follower = self.follower(account, openid)?;
        follower.timeline.add(seq, at, draft);
        follower.changed.send_replace(seq);
        Some(seq)
    }

    /// Changes an entry of a chat and wakes those who watch it.
    pub(crate) fn change_entry(
        &mut self,
        account: usize,
        openid: &str,
        entry: u64,
        change: impl FnOnce(&mut super::timeline::Entry),
    ) {
        let seq = self.next_seq();
        if let Some(follower) = self.follower(account, openid) {
            follower.timeline.change(entry, seq, change);
            follower.changed.send_replace(seq);
        }
    }

    /// Wakes those who watch a chat because something beside its entries changed.
    pub(crate) fn touch(&mut self, account: usize, openid: &str) {
        let seq = self.next_seq();
        if let Some(follower) = self.follower(account, openid) {
            follower.changed.send_replace(seq);
        }
    }

    /// Wakes all who watch a chat of this account, for example because the menu changed.
    pub(crate) fn touch_all(&mut self, account: usize) {
        let seq = self.next_seq();
        for follower in self.accounts[account].followers.values() {
            follower.changed.send_replace(seq);
        }
    }
}

impl Account {
    fn new(settings: &AccountSettings) -> Self {
        let key = settings.encoding_aes_key.as_ref();
        Self {
            cipher: key.and_then(|key| Cipher::new(key.reveal(), &settings.app_id)),
            settings: settings.clone(),
            followers: HashMap::new(),
            order: Vec::new(),
            menu: menu::Menu::default(),
            tokens: token::Tokens::default(),
            quotas: quota::Quotas::default(),
            codes: qrcode::Codes::default(),
            media: media::Library::default(),
            sent: template::Sent::default(),
            tags: tags::Tags::default(),
            agents: agents::Agents::default(),
            mass: mass::Jobs::default(),
            notices: subscribe::Notices::of(&settings.templates),
            short_keys: shorten::Keys::default(),
            heard: speech::Heard::default(),
        }
    }

    /// The same on every start, so that the first phone finds its chat's other half again.
    fn first_openid(&self, number: usize) -> String {
        let hash = Sha1::digest(format!("{}#{number}", self.settings.app_id).as_bytes());
        format!("o{}", URL_SAFE_NO_PAD.encode(hash))
    }
}

impl Follower {
    fn new(openid: &str, name: String) -> Self {
        Self {
            openid: openid.to_owned(),
            name,
            following: false,
            blocked: false,
            snapshot: false,
            followed_at: None,
            scene: String::new(),
            subscribe_scene: "ADD_SCENE_SEARCH",
            client: 1,
            remark: String::new(),
            tags: Vec::new(),
            is_blacklisted: false,
            subscriptions: HashMap::new(),
            one_time: BTreeSet::new(),
            mass_reached: (0, 0),
            waiting_since: None,
            session: None,
            allowance: Allowance::default(),
            exchanged_at: None,
            typing_until: None,
            timeline: Timeline::default(),
            changed: watch::Sender::new(0),
            turn: None,
        }
    }

    /// Whether an agent of the platform's own serves him now.
    pub(crate) fn is_served(&self, now: UnixMs) -> bool {
        self.session.as_ref().is_some_and(|session| now < session.until)
    }

    /// A place in the order of this follower's pushes.
    pub(crate) fn take_turn(&mut self) -> Turn {
        let (passed, next) = tokio::sync::oneshot::channel();
        Turn::new(self.turn.replace(next), passed)
    }

    /// As the control API shows him.
    pub(crate) fn view(&self, now: UnixMs) -> FollowerView {
        FollowerView {
            openid: self.openid.clone(),
            name: self.name.clone(),
            following: self.following,
            blocked: self.blocked,
            snapshot: self.snapshot,
            followed_at: self.followed_at,
            scene: self.scene.clone(),
            client: self.client,
            tags: self.tags.clone(),
            waiting: self.waiting_since.is_some(),
            served_by: self.session.as_ref().filter(|one| now < one.until).map(|one| one.agent.clone()),
            typing: self.typing_until.is_some_and(|until| now < until),
            allowance: self.allowance.left(now),
            last: self.timeline.last_visible().map(|entry| entry.text.clone()),
            seq: *self.changed.borrow(),
        }
    }
}

/// A queue that forgets its oldest beyond a bound.
pub(crate) fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, items_max: usize) {
    if queue.len() >= items_max {
        queue.pop_front();
    }
    queue.push_back(item);
}
