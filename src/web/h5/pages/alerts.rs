//! The page of alert settings.

use actix_web::HttpResponse;
use askama::Template;

use super::{Faults, Frame, form_status, respond};
use crate::alerts::PastNotice;
use crate::domain::alert_settings::CardAlerts;
use crate::domain::binding::Binding;
use crate::domain::card::Card;
use crate::domain::money::Money;
use crate::identity::checks::FieldFault;

#[derive(Template)]
#[template(path = "pages/h5/alerts.html")]
struct Page<'a> {
    frame: &'a Frame,
    cards: Vec<(&'a Card, CardAlerts)>,
    /// From and until; empty: no quiet hours.
    quiet: Option<(String, String)>,
    past: &'a [PastNotice],
    ceiling: String,
    faults: Faults,
    alert: Option<super::Alert>,
}

/// 提醒设置
pub(in super::super) fn alerts(
    frame: &Frame,
    binding: &Binding,
    past: &[PastNotice],
    ceiling: Money,
    faults: Vec<FieldFault>,
) -> HttpResponse {
    let faults = Faults(faults);
    let status = form_status(&faults, None);
    let cards = binding.cards.iter().map(|card| (card, binding.alerts_of(&card.card_id))).collect();
    let quiet = binding.settings.quiet.map(|quiet| (quiet.from(), quiet.until()));
    let ceiling = plain(ceiling.decimal());
    respond(frame, status, &Page { frame, cards, quiet, past, ceiling, faults, alert: None })
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
