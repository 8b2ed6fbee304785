//! The page of alert settings.

use actix_web::HttpResponse;
use askama::Template;

use super::{Faults, Frame, form_status, respond_using};
use crate::alerts::{Consent, PastNotice};
use crate::domain::alert_settings::CardAlerts;
use crate::domain::binding::Binding;
use crate::domain::card::Card;
use crate::domain::money::Money;
use crate::identity::checks::FieldFault;
use crate::wechat::api::PageConfig;

/// The field of a card's threshold, as its faults name it.
pub(in super::super) const THRESHOLD: &str = "threshold";
/// Longest threshold that is shown again.
const THRESHOLD_CHARS_MAX: usize = 12;
/// Templates that one tag asks for.
const OFFERED_AT_ONCE_MAX: usize = 3;

#[derive(Template)]
#[template(path = "pages/h5/alerts.html")]
struct Page<'a> {
    frame: &'a Frame,
    cards: Vec<CardForm<'a>>,
    /// From and until; empty: no quiet hours.
    quiet: Option<(String, String)>,
    past: &'a [PastNotice],
    ceiling: String,
    consents: &'a [Consent],
    /// What one tag offers together.
    offers: Vec<String>,
    sdk: Option<&'a PageConfig>,
    faults: Faults,
    alert: Option<super::Alert>,
}

/// The form of one card: what holds, or what was typed and could not be taken.
struct CardForm<'a> {
    card: &'a Card,
    on: bool,
    hide_amounts: bool,
    threshold: String,
    /// What the field of the threshold is called on the page: that of the form with a fault as in its fault.
    field: String,
}

/// What was typed for one card.
#[derive(Clone, Copy)]
pub(in super::super) struct TypedCard<'a> {
    pub(in super::super) card_id: &'a str,
    pub(in super::super) on: bool,
    pub(in super::super) hide_amounts: bool,
    pub(in super::super) threshold: &'a str,
}

impl<'a> CardForm<'a> {
    fn new(number: usize, card: &'a Card, now: CardAlerts, typed: Option<TypedCard<'_>>) -> Self {
        match typed.filter(|typed| typed.card_id == card.card_id) {
            Some(TypedCard { on, hide_amounts, threshold, .. }) => {
                let threshold = threshold.chars().take(THRESHOLD_CHARS_MAX).collect();
                Self { card, on, hide_amounts, threshold, field: THRESHOLD.to_owned() }
            }
            None => Self {
                card,
                on: now.on,
                hide_amounts: now.hide_amounts,
                threshold: plain(Money::of_fen(now.threshold_fen).decimal()),
                field: format!("{THRESHOLD}-{number}"),
            },
        }
    }
}

/// What the page of alert settings shows.
pub(in super::super) struct AlertsPage<'a> {
    pub(in super::super) binding: &'a Binding,
    pub(in super::super) past: &'a [PastNotice],
    pub(in super::super) ceiling: Money,
    pub(in super::super) consents: &'a [Consent],
    pub(in super::super) sdk: Option<&'a PageConfig>,
    /// What was typed with the fault that is told, where it was for a card.
    pub(in super::super) typed: Option<TypedCard<'a>>,
}

/// 提醒设置
pub(in super::super) fn alerts(
    frame: &Frame,
    page: &AlertsPage<'_>,
    faults: Vec<FieldFault>,
) -> HttpResponse {
    let AlertsPage { binding, past, ceiling, consents, sdk, typed } = *page;
    let faults = Faults(faults);
    let status = form_status(&faults, None);
    let offers = offers(consents);
    let mut cards = Vec::new();
    for (number, card) in (1..).zip(&binding.cards) {
        cards.push(CardForm::new(number, card, binding.alerts_of(&card.card_id), typed));
    }
    let quiet = binding.settings.quiet.map(|quiet| (quiet.from(), quiet.until()));
    let ceiling = plain(ceiling.decimal());
    let page = Page { frame, cards, quiet, past, ceiling, consents, offers, sdk, faults, alert: None };
    respond_using(frame, status, &page, sdk)
}

/// The templates of each tag: one asks for few, and not for once and for long together (WeChat docs, wx-open-subscribe).
fn offers(consents: &[Consent]) -> Vec<String> {
    let mut offers = Vec::new();
    for is_long_term in [false, true] {
        let wanted =
            |consent: &&Consent| consent.is_long_term == is_long_term && !(is_long_term && consent.left > 0);
        let ids: Vec<&str> =
            consents.iter().filter(wanted).map(|consent| consent.template_id.as_str()).collect();
        offers.extend(ids.chunks(OFFERED_AT_ONCE_MAX).map(|ids| ids.join(",")));
    }
    offers
}

/// What is left of a consent, as the customer reads it.
fn consented(consent: &Consent) -> String {
    match (consent.is_long_term, consent.left) {
        (_, left) if left <= 0 => "未订阅".to_owned(),
        (true, _) => "已长期订阅".to_owned(),
        (false, left) => format!("还可通知您{left}次"),
    }
}

/// `100.00` → `100`
fn plain(decimal: String) -> String {
    decimal.strip_suffix(".00").map_or(decimal.clone(), str::to_owned)
}

/// `11月22日 09:58`
fn moment(past: &PastNotice) -> String {
    let at = past.at.beijing();
    format!("{}月{}日 {:02}:{:02}", at.month(), at.day(), at.hour(), at.minute())
}

/// `消费 ¥128.50 · 星河超市 · 尾号1234`
fn told(past: &PastNotice) -> String {
    let amount = past.amount.map(|amount| format!(" {}", amount.display())).unwrap_or_default();
    let merchant = past.merchant.as_ref().map(|name| format!(" · {name}")).unwrap_or_default();
    let tail = past.tail.as_ref().map(|tail| format!(" · 尾号{}", tail.as_str())).unwrap_or_default();
    format!("{}{amount}{merchant}{tail}", past.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stands_in_its_own_card_and_the_fault_beside_it() {
        let binding = crate::store::testing::bound("C10001", "", crate::domain::time::UnixMs(0));
        let card = &binding.cards[0];
        let now = CardAlerts { on: true, hide_amounts: false, threshold_fen: 20_000 };
        let form = |card_id| {
            let typed =
                TypedCard {
                    card_id, on: false, hide_amounts: true, threshold: "一百元<script>很长很长"
                };
            CardForm::new(2, card, now, Some(typed))
        };
        let (own, other) = (form("K1"), form("K2"));
        assert_eq!((own.field.as_str(), own.on, own.hide_amounts), (THRESHOLD, false, true));
        assert_eq!(own.threshold, "一百元<script>很");
        assert_eq!((other.field.as_str(), other.on, other.threshold.as_str()), ("threshold-2", true, "200"));
    }
}
