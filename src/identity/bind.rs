//! Binding on a page: who are you, which code did you get, done.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::session::HeldLink;
use super::{ATTEMPTS_MAX, CoreFault, Identity, IdentityError, Question, UnbindReason, Visit, consent};
use crate::domain::alert_settings::AlertSettings;
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::card::Card;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::store::{Commit, CommitError, Conflict, Consent, Write};

/// The page answers the interrupted question at once; the worker steps in only when it did not come to that.
const PAGE_FIRST: Duration = Duration::from_secs(5);

const REPLACED_TEXT: &str = "您的信用卡已在另一个微信号上重新绑定，本微信号的绑定已解除，不再接收动账提醒。\
    如非本人操作，请立即联系我行客服。";

/// What the customer wants to be told of his spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertChoice {
    /// Amounts and merchants.
    Full,
    /// 提醒中不显示金额
    WithoutAmounts,
    /// Nothing.
    Off,
}

/// What a customer says about himself: tails only, never a whole card or ID number. Cannot print itself.
#[derive(Clone, Serialize, Deserialize)]
pub struct BindForm {
    /// As the bank has it.
    pub name: String,
    /// The last four or six of the ID number.
    pub id_tail: String,
    /// The last four of a card number.
    pub card_tail: String,
    /// The phone that the bank has.
    pub phone: String,
    /// What he wants to be told.
    pub alerts: AlertChoice,
    /// The hash of the text he agreed to.
    pub text_hash: String,
}

/// A one-time code that is on its way.
#[derive(Clone, Serialize, Deserialize)]
pub struct Challenge {
    pub(super) id: String,
    /// `138****8001`
    pub phone_masked: String,
    /// Until when the code is good.
    pub expires: UnixMs,
    /// From when on another may be sent.
    pub resend_from: UnixMs,
}

impl Challenge {
    /// Reads the core's answer, whose form its schema has checked.
    pub(super) fn read(result: &Value, now: UnixMs) -> Self {
        let seconds = |name: &str| Duration::from_secs(result[name].as_u64().unwrap_or(0));
        let text = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
        Self {
            id: text("challenge_id"),
            phone_masked: text("phone_masked"),
            expires: now + seconds("expires_in_s"),
            resend_from: now + seconds("resend_after_s"),
        }
    }

    /// Seconds until another code may be sent; zero: now.
    #[must_use]
    pub fn wait_s(&self, now: UnixMs) -> u64 {
        self.resend_from.since(now).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
    }
}

/// Where a binding stands.
#[derive(Clone, Serialize, Deserialize)]
pub enum BindStage {
    /// The code is on its way.
    Code {
        /// What he said.
        form: BindForm,
        /// The code.
        challenge: Challenge,
        /// When he agreed to the text.
        agreed: UnixMs,
    },
    /// It stands.
    Done(Bound),
}

/// What the last page tells.
#[derive(Clone, Serialize, Deserialize)]
pub struct Bound {
    /// `张*`
    pub name_masked: String,
    /// His cards.
    pub cards: Vec<Card>,
    /// What he will be told.
    pub alerts: AlertChoice,
    /// Whether another follower lost the binding.
    pub replaced: bool,
    /// Whether a question waits for this binding.
    pub asked: bool,
    /// The answer to it, as a WeChat text.
    pub answer: Option<String>,
}

/// A binding that stands now.
pub struct Verified {
    /// The question it interrupted, as the dialogue wrote it down.
    pub wish: Option<Personal>,
}

/// Why a step of binding did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindFault {
    /// The text changed since it was shown.
    TextChanged,
    /// The follower's own limit of starts is used up.
    TooMany,
    /// Another code may be sent only later.
    TooSoon {
        /// Seconds.
        wait_s: u64,
    },
    /// There is nothing to go on with: begin again.
    Gone,
    /// The link was used.
    LinkUsed,
    /// The bank said no, or nothing.
    Core(CoreFault),
}

type Outcome<T> = Result<Result<T, BindFault>, IdentityError>;

impl Identity {
    /// Where this visit's binding stands; `None`: at its beginning.
    #[must_use]
    pub fn bind_stage<'a>(&self, visit: &'a Visit) -> Option<&'a BindStage> {
        visit.state.bind.as_ref()
    }

    /// Lets the core compare what the customer says, and send a code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bind_start(
        &self,
        visit: &mut Visit,
        form: BindForm,
        client_ip: Option<String>,
    ) -> Outcome<()> {
        let Some(link) = visit.state.link.clone() else { return Ok(Err(BindFault::Gone)) };
        if self.store.ticket_is_used(&link.nonce).await? {
            return Ok(Err(BindFault::LinkUsed));
        }
        let bank = self.account(visit.account().as_str()).map_or("", |account| account.name.as_str());
        if consent::binding(bank).hash != form.text_hash {
            return Ok(Err(BindFault::TextChanged));
        }
        if self.start(visit, "bind").await?.is_none() {
            return Ok(Err(BindFault::TooMany));
        }
        let agreed = self.now();
        self.send_bind_code(visit, form, agreed, client_ip).await
    }

    /// Sends another code for the same data.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bind_resend(&self, visit: &mut Visit, client_ip: Option<String>) -> Outcome<()> {
        let Some(BindStage::Code { form, challenge, agreed }) = visit.state.bind.clone() else {
            return Ok(Err(BindFault::Gone));
        };
        let wait_s = challenge.wait_s(self.now());
        if wait_s > 0 {
            return Ok(Err(BindFault::TooSoon { wait_s }));
        }
        if self.start(visit, "bind_resend").await?.is_none() {
            return Ok(Err(BindFault::TooMany));
        }
        self.send_bind_code(visit, form, agreed, client_ip).await
    }

    async fn send_bind_code(
        &self,
        visit: &mut Visit,
        form: BindForm,
        agreed: UnixMs,
        client_ip: Option<String>,
    ) -> Outcome<()> {
        let params = json!({
            "name": form.name,
            "id_tail": form.id_tail,
            "card_tail": form.card_tail,
            "phone": form.phone,
        });
        let question = Question { customer: None, params, key: self.store.new_id(), client_ip };
        let challenge = match self.ask(visit, "identity_start", question).await {
            Ok(result) => Challenge::read(&result, self.now()),
            Err(CoreFault::Refused { code, wait_s, .. }) if code == "too_soon" => {
                // The other half of a double tap may have sent it.
                let sent =
                    self.read_again(visit).await? && matches!(visit.state.bind, Some(BindStage::Code { .. }));
                let too_soon = BindFault::TooSoon { wait_s: wait_s.unwrap_or(60) };
                return Ok(if sent { Ok(()) } else { Err(too_soon) });
            }
            Err(fault) => return Ok(Err(BindFault::Core(fault))),
        };
        visit.state.bind = Some(BindStage::Code { form, challenge, agreed });
        self.save_visit(visit).await?;
        Ok(Ok(()))
    }

    /// Goes back to the first page and forgets what was said there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bind_restart(&self, visit: &mut Visit) -> Result<(), IdentityError> {
        if matches!(visit.state.bind, Some(BindStage::Code { .. })) {
            visit.state.bind = None;
            self.save_visit(visit).await?;
        }
        Ok(())
    }

    /// Lets the core check the code and, if it is right, makes the binding stand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bind_verify(
        &self,
        visit: &mut Visit,
        code: &str,
        client_ip: Option<String>,
    ) -> Outcome<Verified> {
        let Some(BindStage::Code { form, challenge, agreed }) = visit.state.bind.clone() else {
            return Ok(Err(BindFault::Gone));
        };
        let Some(link) = visit.state.link.clone() else { return Ok(Err(BindFault::Gone)) };
        let result = match self.verify_code(visit, &challenge, code, client_ip).await {
            Ok(result) => result,
            Err(fault) => return Ok(Err(BindFault::Core(fault))),
        };
        let Some((customer, cards)) = read_customer(&result) else {
            tracing::warn!(
                operation = "otp_verify",
                "the core verified a code for binding and named no customer or no card; nothing was bound"
            );
            return Ok(Err(BindFault::Core(CoreFault::Down { reference: self.reference() })));
        };
        let binding = Binding {
            customer,
            name_masked: Personal::new(result["name_masked"].as_str().unwrap_or_default()),
            default_card: cards.first().map(|card| card.card_id.clone()).unwrap_or_default(),
            cards,
            alerts: form.alerts != AlertChoice::Off,
            hide_amounts: form.alerts == AlertChoice::WithoutAmounts,
            settings: AlertSettings::default(),
            bound: self.now(),
            source: BindingSource::Page,
        };
        let consent = Consent { text_hash: form.text_hash, at: agreed };
        self.settle(visit, &link, &binding, &consent, form.alerts).await
    }

    /// Asks the core about a code. The same code of the same challenge is the same call, so that an answer that was
    /// lost on the way is asked for again without costing a try.
    pub(super) async fn verify_code(
        &self,
        visit: &Visit,
        challenge: &Challenge,
        code: &str,
        client_ip: Option<String>,
    ) -> Result<Value, CoreFault> {
        let question = Question {
            customer: None,
            params: json!({ "challenge_id": challenge.id, "code": code }),
            key: self.call_key("h5.code", &[challenge.id.as_bytes(), code.as_bytes()]),
            client_ip,
        };
        self.ask(visit, "otp_verify", question).await
    }

    /// One commit: the binding, the end of older ones, the used link, the question to go on with, who is told.
    async fn settle(
        &self,
        visit: &mut Visit,
        link: &HeldLink,
        binding: &Binding,
        consent: &Consent,
        alerts: AlertChoice,
    ) -> Outcome<Verified> {
        let (account, follower) = (visit.account().clone(), visit.follower());
        for _ in 0..ATTEMPTS_MAX {
            let wish = self.pending_wish(&account, follower).await?;
            let holds = self.store.holds(&account, &binding.customer).await?;
            let mut others = self.store.bindings_of(&binding.customer).await?;
            others.retain(|(at, other, _)| *at == account && *other != follower);
            let mut commit = Commit::new(follower.part());
            commit.push(self.store.take_hold(&account, &binding.customer, holds));
            commit.extend(self.replace_writes(&account, follower, binding, &others).await?);
            commit.push(self.store.put_binding(&account, follower, binding, consent)?);
            commit.push(self.store.use_ticket(&link.nonce, link.expires));
            commit.extend(self.bound_writes(&account, follower, binding, consent)?);
            if let Some(wish) = &wish {
                commit.push(self.store.insert_resume(&account, follower, wish, self.now() + PAGE_FIRST)?);
            }
            visit.state.bind = Some(BindStage::Done(Bound {
                name_masked: binding.name_masked.reveal().to_owned(),
                cards: binding.cards.clone(),
                alerts,
                replaced: !others.is_empty(),
                asked: wish.is_some(),
                answer: None,
            }));
            commit.push(self.visit_write(visit)?);
            match self.store.commit(commit).await {
                Ok(()) => {
                    visit.session.version += 1;
                    self.announce.wake(follower.part());
                    others.iter().for_each(|(_, other, _)| self.announce.wake(other.part()));
                    return Ok(Ok(Verified { wish }));
                }
                Err(CommitError::Conflict(Conflict::Duplicate)) => return Ok(Err(BindFault::LinkUsed)),
                Err(CommitError::Conflict(_)) => {
                    if !self.read_again(visit).await? {
                        return Ok(Err(BindFault::Gone));
                    }
                    if matches!(visit.state.bind, Some(BindStage::Done(_))) {
                        return Ok(Ok(Verified { wish: None }));
                    }
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(IdentityError::Contended)
    }

    /// Ends the customer's other bindings in the account, and this follower's binding to somebody else.
    async fn replace_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
        others: &[(AccountId, FollowerKey, Binding)],
    ) -> Result<Vec<Write>, IdentityError> {
        let mut writes = Vec::new();
        for (_, other, old) in others {
            writes.extend(self.unbind_writes(account, *other, old, UnbindReason::Replaced)?);
            writes.extend(self.announce.tell(account, *other, REPLACED_TEXT)?);
        }
        let mine = self.store.binding(account, follower).await?;
        if let Some(mine) = mine.filter(|mine| mine.customer != binding.customer) {
            writes.extend(self.unbind_writes(account, follower, &mine, UnbindReason::Rebound)?);
        }
        Ok(writes)
    }

    fn bound_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
        consent: &Consent,
    ) -> Result<Vec<Write>, IdentityError> {
        let detail = json!({ "text_hash": consent.text_hash, "agreed_ms": consent.at, "alerts": binding.alerts,
            "amounts_hidden": binding.hide_amounts });
        let mut writes =
            vec![self.store.audit("customer", "bind", account, Some(follower), Some(&detail.to_string()))?];
        let data = json!({ "source": "page", "cards": binding.cards.len(), "alerts": binding.alerts,
            "amounts_hidden": binding.hide_amounts });
        writes.extend(self.announce.event("bound", account, Some(&binding.customer), data)?);
        Ok(writes)
    }

    /// The question that the dialogue set aside until a binding stands.
    pub(super) async fn pending_wish(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<Personal>, IdentityError> {
        let conversation = self.store.conversation(account, follower).await?;
        let Some(dialogue) = conversation.dialogue else { return Ok(None) };
        // A state that does not read is the dialogue's trouble: the binding stands without it.
        let state: Value = serde_json::from_slice(&dialogue).unwrap_or_default();
        Ok(state
            .get("pending_wish")
            .filter(|wish| !wish.is_null())
            .map(|wish| Personal::new(wish.to_string())))
    }

    /// Keeps the answer to the interrupted question for the last page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_answer(&self, visit: &mut Visit, text: String) -> Result<(), IdentityError> {
        if let Some(BindStage::Done(bound)) = &mut visit.state.bind {
            bound.answer = Some(text);
            self.save_visit(visit).await?;
        }
        Ok(())
    }
}

fn read_customer(result: &Value) -> Option<(CustomerId, Vec<Card>)> {
    let customer = CustomerId::parse(result["customer_id"].as_str()?)?;
    let cards: Vec<Card> = serde_json::from_value(result["cards"].clone()).ok()?;
    (result["purpose"] == "binding" && !cards.is_empty()).then_some((customer, cards))
}
