//! Operations that the house answers itself, out of the scene; what they change comes back as effects.

use serde_json::{Value, json};

use super::outcome::{AskError, Effect};
use super::scene::Scene;
use crate::bank::Operations;
use crate::bank::operations::BadOperation;

/// Answered out of what the house keeps, not out of the scene.
pub(super) const RECENT_ALERTS: &str = "recent_alerts";

/// What fits the customer's last transaction, likewise.
const OFFERS: &str = "offers";

/// Their schemas, in the same form as those of the core.
const FILES: [(&str, &str); 7] = [
    ("binding", include_str!("house/binding.json")),
    ("unbind", include_str!("house/unbind.json")),
    ("default_card", include_str!("house/default_card.json")),
    ("alerts", include_str!("house/alerts.json")),
    ("marketing", include_str!("house/marketing.json")),
    (OFFERS, include_str!("house/offers.json")),
    (RECENT_ALERTS, include_str!("house/recent_alerts.json")),
];

/// The house's operations with their schemas.
pub(super) fn operations() -> Result<Operations, BadOperation> {
    Operations::parse(FILES.map(|(name, text)| (name.to_owned(), text.to_owned())))
}

/// Whether an operation needs what the house keeps.
pub(super) fn is_looked_up(name: &str) -> bool {
    [RECENT_ALERTS, OFFERS].contains(&name)
}

pub(super) fn not_bound() -> AskError {
    refused("not_bound", "您还没有绑定信用卡。")
}

/// Answers one of them.
pub(super) fn answer(
    scene: &Scene<'_>,
    name: &str,
    params: &Value,
) -> Result<(Value, Vec<Effect>), AskError> {
    match name {
        "binding" => Ok((binding(scene), Vec::new())),
        "unbind" => {
            bound(scene)?;
            Ok((json!({ "card": card(scene) }), vec![Effect::Unbind]))
        }
        "default_card" => default_card(scene, params),
        "alerts" => alerts(scene, params),
        "marketing" => {
            let on = params["on"].as_str() == Some("true");
            let day = scene.now.beijing().date().to_string();
            Ok((json!({ "on": on, "day": day }), vec![Effect::Marketing { on }]))
        }
        _ => Err(AskError::Lied),
    }
}

fn refused(code: &str, message: &str) -> AskError {
    AskError::Refused { code: code.to_owned(), message: message.to_owned() }
}

fn bound(scene: &Scene<'_>) -> Result<(), AskError> {
    scene.binding.map(|_| ()).ok_or_else(not_bound)
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
        "alerts": binding.alerts,
        "hide_amounts": binding.hide_amounts,
    })
}

/// The card that answers use.
fn card(scene: &Scene<'_>) -> Value {
    scene.binding.and_then(|binding| binding.card()).map_or(Value::Null, |card| json!(card))
}

fn default_card(scene: &Scene<'_>, params: &Value) -> Result<(Value, Vec<Effect>), AskError> {
    bound(scene)?;
    let wanted = params["card_id"].as_str().unwrap_or_default();
    let cards = scene.binding.map(|binding| binding.cards.as_slice()).unwrap_or_default();
    let card = cards.iter().find(|card| card.card_id == wanted);
    let card = card.ok_or_else(|| refused("no_such_card", "这张卡没有绑定在这个微信上。"))?;
    Ok((json!({ "card": card }), vec![Effect::DefaultCard { card_id: card.card_id.clone() }]))
}

fn alerts(scene: &Scene<'_>, params: &Value) -> Result<(Value, Vec<Effect>), AskError> {
    bound(scene)?;
    let flag = |name: &str| match params[name].as_str() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    let (on, hide_amounts) = (flag("on"), flag("hide_amounts"));
    let now = |wanted: Option<bool>, before: Option<bool>| wanted.or(before).unwrap_or(false);
    let result = json!({
        "card": card(scene),
        "on": now(on, scene.binding.map(|binding| binding.alerts)),
        "hide_amounts": now(hide_amounts, scene.binding.map(|binding| binding.hide_amounts)),
    });
    Ok((result, vec![Effect::Alerts { on, hide_amounts }]))
}
