//! What is open to everybody: campaigns, offers of the week, bottles of the charity.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Decision, Nothing, read};
use crate::simulator::core::events::Refusal;
use crate::simulator::core::rules::{CampaignRules, OfferRules};
use crate::simulator::core::transaction::rfc3339;

const SHOWN_MAX: usize = 10;
const WEEKDAYS: [&str; 7] = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"];

/// Campaigns that run: each lasts from the first of this month to its end, so that the sandbox is never out of date.
pub(super) fn campaigns(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let today = asked.today();
    let campaign = |one: &CampaignRules| {
        let mut shown = json!({
            "name": one.name,
            "who": one.who,
            "what": one.what,
            "from": today.first_of_month(),
            "to": today.last_of_month(),
        });
        if let Some(places) = one.places {
            // They go evenly, day by day.
            let gone = i64::from(today.day() - 1) * places / i64::from(today.days_in_month());
            shown["left"] = json!(places - gone);
        }
        shown
    };
    let all = asked.book.rules.campaigns.iter().take(SHOWN_MAX);
    Ok(json!({ "campaigns": all.map(campaign).collect::<Vec<_>>() }))
}

/// The offers of the week, with whether each is for today.
pub(super) fn weekly(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let today = usize::try_from(asked.today().weekday().to_monday_zero_offset()).unwrap_or(0);
    let offer = |one: &OfferRules| {
        json!({
            "weekday": WEEKDAYS.get(one.weekday).copied().unwrap_or("每天"),
            "today": one.weekday == today,
            "name": one.name,
            "cards": one.cards,
            "quota": one.quota,
        })
    };
    let all = asked.book.rules.offers.iter().take(SHOWN_MAX);
    Ok(
        json!({ "offers": all.map(offer).collect::<Vec<_>>(), "rules_url": asked.book.rules.offers_rules_url }),
    )
}

/// A bottle out of the sea: another one with each call.
pub(super) fn bottle(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let Nothing {} = read(params)?;
    let bottles = &asked.book.rules.bottles;
    let mut chance = [0; 8];
    asked.random.fill(&mut chance);
    let at = usize::try_from(u64::from_le_bytes(chance) % bottles.len().max(1) as u64).unwrap_or(0);
    let bottle =
        bottles.get(at).ok_or_else(|| Refusal::new("no_bottle", "今天海上没有瓶子，请明天再来。"))?;
    Ok(Decision::read(Ok(json!({ "from": bottle.from, "text": bottle.text, "ways": bottle.ways }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rating {
    score: String,
    #[serde(rename = "reason")]
    _reason: Option<String>,
}

/// Takes what somebody thinks of the service. The sandbox keeps no opinions.
pub(super) fn rate(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let Rating { score, .. } = read(params)?;
    Ok(Decision::read(Ok(json!({ "score": score, "noted_at": rfc3339(asked.now) }))))
}
