//! The page of one transaction.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::super::chat_text::{Piece, pieces};
use super::super::purchase::Offer;
use super::{Frame, respond};
use crate::domain::transaction::{Amount, Transaction, TransactionType};
use crate::identity::PageAnswer;
use crate::occasions::{Offer as Advert, Remark};

const HIDDEN: &str = "金额已隐藏";

#[derive(Template)]
#[template(path = "pages/h5/purchase.html")]
struct Purchase<'a> {
    frame: &'a Frame,
    transaction: &'a Transaction,
    hide_amounts: bool,
    remarks: Vec<Remark>,
    offers: Vec<Offer>,
    adverts: Vec<Advert>,
    answer: Vec<Piece>,
    choices: Vec<&'a str>,
}

/// What the page of a transaction shows.
pub(in super::super) struct PurchasePage<'a> {
    pub(in super::super) transaction: &'a Transaction,
    pub(in super::super) hide_amounts: bool,
    /// What the moment asks to be said.
    pub(in super::super) remarks: Vec<Remark>,
    /// What can be tapped.
    pub(in super::super) offers: Vec<Offer>,
    /// Adverts, for who asked for them.
    pub(in super::super) adverts: Vec<Advert>,
    /// What came of the last tap.
    pub(in super::super) answer: Option<&'a PageAnswer>,
}

impl Purchase<'_> {
    fn amount(&self) -> String {
        self.written(&self.transaction.amount)
    }

    /// What a foreign purchase costs in the card's currency.
    fn billed(&self) -> Option<String> {
        self.transaction.billing_amount.as_ref().map(|amount| self.written(amount))
    }

    fn written(&self, amount: &Amount) -> String {
        match amount.money() {
            Some(money) if !self.hide_amounts => money.display(),
            _ => HIDDEN.to_owned(),
        }
    }

    fn title(&self) -> &'static str {
        self.transaction.kind.title()
    }

    fn merchant(&self) -> Option<&str> {
        let merchant = self.transaction.merchant.as_ref()?;
        Some(merchant.name.trim()).filter(|name| !name.is_empty())
    }

    fn city(&self) -> Option<&str> {
        self.transaction.merchant.as_ref()?.city.as_deref()
    }

    fn time(&self) -> String {
        self.transaction.occurred_ms.beijing().strftime("%Y年%-m月%-d日 %H:%M").to_string()
    }

    fn is_declined(&self) -> bool {
        self.transaction.kind == TransactionType::Declined
    }

    fn channel(&self) -> &str {
        match self.transaction.channel.as_str() {
            "pos" => "刷卡",
            "online" => "网上支付",
            "wechat_pay" => "微信支付",
            "alipay" => "支付宝",
            "atm" => "自动柜员机",
            "recurring" => "自动扣款",
            _ => "其他",
        }
    }
}

/// What it was, what can be said to it, and what came of the last tap.
pub(in super::super) fn purchase(frame: &Frame, page: PurchasePage<'_>) -> HttpResponse {
    let PurchasePage { transaction, hide_amounts, remarks, offers, adverts, answer } = page;
    let choices = answer.iter().flat_map(|answer| &answer.choices).map(|(words, _)| words.as_str());
    let page = Purchase {
        frame,
        transaction,
        hide_amounts,
        remarks,
        offers,
        adverts,
        answer: answer.map(|answer| pieces(&answer.text)).unwrap_or_default(),
        choices: choices.collect(),
    };
    respond(frame, StatusCode::OK, &page)
}
