//! Operations that the house answers itself, out of the scene; what they change comes back as effects.

use serde_json::{Value, json};

use super::outcome::{AskError, Effect, PersonWanted};
use super::places::Places;
use super::scene::Scene;
use crate::bank::Operations;
use crate::bank::operations::BadOperation;
use crate::domain::alert_settings::{AlertChange, QuietHours, THRESHOLD_FEN_MAX};
use crate::domain::binding::Binding;
use crate::domain::card::Card;
use crate::domain::complaint::{Limit, Registered};
use crate::domain::money::Money;

/// Answered out of what the house keeps, not out of the scene.
pub(super) const RECENT_ALERTS: &str = "recent_alerts";

/// What fits the customer's last transaction, likewise.
const OFFERS: &str = "offers";

/// Their schemas, in the same form as those of the core.
const FILES: [(&str, &str); 12] = [
    ("nearby", include_str!("house/nearby.json")),
    ("complaint", include_str!("house/complaint.json")),
    ("binding", include_str!("house/binding.json")),
    ("unbind", include_str!("house/unbind.json")),
    ("default_card", include_str!("house/default_card.json")),
    ("alerts", include_str!("house/alerts.json")),
    ("marketing", include_str!("house/marketing.json")),
    (OFFERS, include_str!("house/offers.json")),
    (RECENT_ALERTS, include_str!("house/recent_alerts.json")),
    ("alert_cards", include_str!("house/alert_cards.json")),
    ("alert_history", include_str!("house/alert_history.json")),
    ("alert_volume", include_str!("house/alert_volume.json")),
];

/// The house's operations with their schemas.
pub(super) fn operations() -> Result<Operations, BadOperation> {
    Operations::parse(FILES.map(|(name, text)| (name.to_owned(), text.to_owned())))
}

/// Whether an operation needs more of what the house keeps than the scene holds.
pub(super) fn is_looked_up(name: &str) -> bool {
    [RECENT_ALERTS, OFFERS, "alert_history", "alert_volume"].contains(&name)
}

pub(super) fn not_bound() -> AskError {
    refused("not_bound", "您还没有绑定信用卡。")
}

/// Answers one of them out of the scene. `verified`: the customer has proved himself for what asks.
pub(super) fn answer(
    scene: &Scene<'_>,
    places: &Places,
    name: &str,
    params: &Value,
    verified: bool,
) -> Result<(Value, Vec<Effect>), AskError> {
    match name {
        "binding" => Ok((binding(scene), Vec::new())),
        "unbind" => {
            bound(scene)?;
            Ok((json!({ "card": card(scene) }), vec![Effect::Unbind]))
        }
        "default_card" => default_card(scene, params),
        "alerts" => alerts(scene, params, verified),
        "marketing" => {
            let on = params["on"].as_str() == Some("true");
            let day = scene.now.beijing().date().to_string();
            Ok((json!({ "on": on, "day": day }), vec![Effect::Marketing { on }]))
        }
        "nearby" => Ok((places.near(params), Vec::new())),
        "complaint" => Ok(complaint(scene, params)),
        "alert_cards" => Ok((alert_cards(scene)?, Vec::new())),
        _ => Err(AskError::Lied),
    }
}

/// Who takes complaints, as the desk's groups know it.
const COMPLAINTS: &str = "complaints";
/// Before cases that can wait, behind money in danger.
const COMPLAINT_PRIORITY: u8 = 5;

/// A case for the people who settle complaints; its number, and when it is answered by at the latest.
fn complaint(scene: &Scene<'_>, params: &Value) -> (Value, Vec<Effect>) {
    let (reason, skill, priority) = ("complaint".to_owned(), COMPLAINTS.to_owned(), COMPLAINT_PRIORITY);
    let complaint =
        Registered::new(scene.now, scene.reference, params["reason"].as_str().unwrap_or_default());
    let number = complaint.number.clone();
    let wanted = PersonWanted { reason, skill, priority, complaint: Some(complaint) };
    let open = scene.desk.open;
    let effect = if open { Effect::Escalate(wanted) } else { Effect::CallBack(wanted) };
    let (_, answer_by) = Limit::at(scene.now, scene.now);
    (json!({ "complaint_no": number, "answer_by": answer_by.beijing().date(), "open": open }), vec![effect])
}

fn refused(code: &str, message: &str) -> AskError {
    AskError::Refused { code: code.to_owned(), message: message.to_owned() }
}

fn bound<'a>(scene: &Scene<'a>) -> Result<&'a Binding, AskError> {
    scene.binding.ok_or_else(not_bound)
}

fn no_such_card() -> AskError {
    refused("no_such_card", "这张卡没有绑定在这个微信上。")
}

fn binding(scene: &Scene<'_>) -> Value {
    let Some(binding) = scene.binding else {
        return json!({
            "bound": false, "name_masked": null, "bound_on": null, "cards": [], "alerts": false,
            "hide_amounts": false,
        });
    };
    let default = binding.card().map(|card| card.card_id.as_str());
    let cards: Vec<Value> = binding
        .cards
        .iter()
        .map(|card| {
            json!({
                "card_id": card.card_id, "last4": card.tail, "product": card.product,
                "default": Some(card.card_id.as_str()) == default,
            })
        })
        .collect();
    let name = binding.name_masked.reveal();
    json!({
        "bound": true,
        "name_masked": if name.is_empty() { Value::Null } else { json!(name) },
        "bound_on": binding.bound.beijing().date().to_string(),
        "cards": cards,
        "alerts": binding.any_alerts(),
        "hide_amounts": binding.hide_amounts,
    })
}

/// The card that answers use.
fn card(scene: &Scene<'_>) -> Value {
    scene.binding.and_then(|binding| binding.card()).map_or(Value::Null, |card| json!(card))
}

fn default_card(scene: &Scene<'_>, params: &Value) -> Result<(Value, Vec<Effect>), AskError> {
    let wanted = params["card_id"].as_str().unwrap_or_default();
    let card = bound(scene)?.cards.iter().find(|card| card.card_id == wanted).ok_or_else(no_such_card)?;
    Ok((json!({ "card": card }), vec![Effect::DefaultCard { card_id: card.card_id.clone() }]))
}

/// Every card, in the params of alert settings.
const EVERY_CARD: &str = "all";

fn alerts(scene: &Scene<'_>, params: &Value, verified: bool) -> Result<(Value, Vec<Effect>), AskError> {
    let binding = bound(scene)?;
    let change = change(binding, params)?;
    let ceiling = scene.silence_ceiling;
    if !verified && binding.is_silenced_by(&change, ceiling) {
        let message = format!("关闭提醒，或起点金额高于{}，需要先验证身份。", ceiling.display());
        return Err(refused("step_up_required", &message));
    }
    let changed = binding.with(&change);
    let card = change.card_id.as_ref().and_then(|id| binding.cards.iter().find(|card| card.card_id == *id));
    let card = card.or(binding.card().filter(|_| binding.cards.len() == 1));
    let now = changed.alerts_of(card.map_or("", |card| card.card_id.as_str()));
    let result = json!({
        "card": card,
        "on": now.on,
        "hide_amounts": now.hide_amounts,
        "threshold": yuan(now.threshold_fen),
        "quiet_hours": quiet(&changed),
    });
    Ok((result, vec![Effect::Alerts(change)]))
}

/// Reads what is to change.
fn change(binding: &Binding, params: &Value) -> Result<AlertChange, AskError> {
    let text = |name: &str| params[name].as_str();
    let flag = |name: &str| match text(name) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    let card_id = text("card_id").filter(|id| *id != EVERY_CARD).map(str::to_owned);
    let is_his = |id: &String| binding.cards.iter().any(|card| card.card_id == *id);
    if card_id.as_ref().is_some_and(|id| !is_his(id)) {
        return Err(no_such_card());
    }
    let threshold_fen = text("threshold").map(threshold).transpose()?;
    let quiet = match text("quiet_hours") {
        None => None,
        Some("off") => Some(None),
        Some(span) => Some(Some(QuietHours::parse(span).ok_or_else(|| {
            refused("bad_quiet_hours", "免打扰时段要有开始和结束，最长12小时，例如“晚上10点到早上8点”。")
        })?)),
    };
    let card_id = card_id.filter(|_| binding.cards.len() > 1);
    Ok(AlertChange { card_id, on: flag("on"), hide_amounts: flag("hide_amounts"), threshold_fen, quiet })
}

fn threshold(text: &str) -> Result<i64, AskError> {
    let amount =
        Money::parse(text, "CNY").ok().map(Money::minor).filter(|fen| (0..=THRESHOLD_FEN_MAX).contains(fen));
    amount.ok_or_else(|| refused("bad_amount", "提醒起点金额请在0元到10万元之间。"))
}

/// Every card with the settings that hold for it, as choices; in front of several, all of them together.
fn alert_cards(scene: &Scene<'_>) -> Result<Value, AskError> {
    let binding = bound(scene)?;
    let row = |id: &str, card: Option<&Card>| {
        let now = binding.alerts_of(id);
        json!({
            "card_id": id, "last4": card.map(|card| &card.tail), "product": card.map(|card| &card.product),
            "on": now.on, "hide_amounts": now.hide_amounts, "threshold": yuan(now.threshold_fen),
        })
    };
    let every = (binding.cards.len() > 1).then(|| row(EVERY_CARD, None));
    let cards = binding.cards.iter().map(|card| row(&card.card_id, Some(card)));
    let rows: Vec<Value> = every.into_iter().chain(cards).collect();
    Ok(json!({ "cards": rows, "quiet_hours": quiet(binding) }))
}

fn yuan(fen: i64) -> Value {
    json!({ "value": Money::of_fen(fen).decimal(), "currency": "CNY" })
}

fn quiet(binding: &Binding) -> Value {
    binding
        .settings
        .quiet
        .map_or(Value::Null, |quiet| json!({ "from": quiet.from(), "until": quiet.until() }))
}
