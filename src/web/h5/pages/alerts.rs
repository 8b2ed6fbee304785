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

/// Templates that one tag asks for.
const OFFERED_AT_ONCE_MAX: usize = 3;

#[derive(Template)]
#[template(path = "pages/h5/alerts.html")]
struct Page<'a> {
    frame: &'a Frame,
    cards: Vec<(&'a Card, CardAlerts)>,
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

/// What the page of alert settings shows.
pub(in super::super) struct AlertsPage<'a> {
    pub(in super::super) binding: &'a Binding,
    pub(in super::super) past: &'a [PastNotice],
    pub(in super::super) ceiling: Money,
    pub(in super::super) consents: &'a [Consent],
    pub(in super::super) sdk: Option<&'a PageConfig>,
}

/// 提醒设置
pub(in super::super) fn alerts(
    frame: &Frame,
    page: &AlertsPage<'_>,
    faults: Vec<FieldFault>,
) -> HttpResponse {
    let AlertsPage { binding, past, ceiling, consents, sdk } = *page;
    let faults = Faults(faults);
    let status = form_status(&faults, None);
    let offers = offers(consents);
    let cards = binding.cards.iter().map(|card| (card, binding.alerts_of(&card.card_id))).collect();
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

fn yuan(fen: &i64) -> String {
    plain(Money::of_fen(*fen).decimal())
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
