//! Points: where they come from and where they go.

use serde::Deserialize;
use serde_json::{Value, json};

use super::limits::{earnings, usable_points};
use super::{Asked, Decision, Nothing, open_case, read};
use crate::simulator::core::changes::{CaseKind, Change};
use crate::simulator::core::events::{Event, Refusal};
use crate::simulator::core::transaction::rfc3339;

const LINES_MAX: usize = 50;
const SENT_WITHIN_DAYS: i64 = 7;

pub(super) fn detail(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let earned = earnings(asked, customer).into_iter().map(|(entry, points)| {
        let rule = if points < 0 { "refund" } else { "purchase" };
        (
            entry.at,
            json!({ "at": rfc3339(entry.at), "points": points, "rule": rule, "about": entry.merchant }),
        )
    });
    let spent = asked.book.changes(customer).points_spent.iter().rev().map(|(at, points, on)| {
        (*at, json!({ "at": rfc3339(*at), "points": -points, "rule": "spent", "about": on }))
    });
    let mut lines: Vec<_> = earned.chain(spent).collect();
    // Stable: of two at the same moment the later one, which comes first above, stays first.
    lines.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let lines: Vec<Value> = lines.into_iter().take(LINES_MAX).map(|(_, line)| line).collect();
    Ok(json!({ "points": usable_points(asked, customer), "lines": lines }))
}

/// What points buy, what can be afforded first.
pub(super) fn offers(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let usable = usable_points(asked, customer);
    let mut rewards: Vec<_> = asked.book.rules.points.rewards.iter().collect();
    rewards.sort_by_key(|reward| (reward.points > usable, reward.points));
    let reward = |reward: &&crate::simulator::core::rules::Reward| {
        json!({
            "reward_id": reward.reward_id,
            "name": reward.name,
            "points": reward.points,
            "enough": usable >= reward.points,
        })
    };
    Ok(json!({
        "points": usable,
        "address_masked": super::profile::billing_address(asked, customer),
        "rewards": rewards.iter().map(reward).collect::<Vec<_>>(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redeem {
    reward_id: String,
}

pub(super) fn redeem(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let redeem: Redeem = read(params)?;
    let reward = asked.book.rules.points.rewards.iter().find(|reward| reward.reward_id == redeem.reward_id);
    let reward = reward.ok_or_else(|| Refusal::new("unknown_reward", "这件礼品已经下架。"))?;
    let mut decision = spend(asked, CaseKind::Reward, &reward.name, reward.points)?;
    if let Ok(result) = &mut decision.answer {
        result["address_masked"] = json!(super::profile::billing_address(asked, customer));
    }
    Ok(decision)
}

/// Takes points away for something, under a number.
fn spend(asked: &Asked<'_>, kind: CaseKind, on: &str, points: i64) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let usable = usable_points(asked, customer);
    if usable < points {
        return Err(Refusal::new("not_enough_points", format!("积分不够：需要{points}，您现在有{usable}。")));
    }
    let mut case = open_case(asked, kind, format!("{on} {}", asked.new_id), None, SENT_WITHIN_DAYS)?;
    case.granted = true;
    let result = json!({
        "order_no": case.case_no,
        "name": on,
        "points": points,
        "points_left": usable - points,
        "arrives_by": case.due,
    });
    let customer_id = customer.id.clone();
    let spent = Change::PointsSpent { at: asked.now, points, on: on.to_owned() };
    let mut decision = Decision::opened(asked, case, result);
    decision.events.push(Event::Changed { customer_id, change: spent });
    Ok(decision)
}

pub(super) fn projects(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let given = |name: &str| -> i64 {
        let spent = asked.book.changes(customer).points_spent.iter();
        spent.filter(|(_, _, on)| on == name).map(|(_, points, _)| points).sum()
    };
    let project = |project: &crate::simulator::core::rules::ProjectRules| {
        json!({
            "project_id": project.project_id,
            "name": project.name,
            "organisation": project.organisation,
            "points_each": project.points_each,
            "gives": project.gives,
            "given": given(&project.name),
        })
    };
    Ok(json!({
        "points": usable_points(asked, customer),
        "projects": asked.book.rules.points.projects.iter().map(project).collect::<Vec<_>>(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Donate {
    project_id: String,
    parts: i64,
}

pub(super) fn donate(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let donate: Donate = read(params)?;
    let projects = &asked.book.rules.points.projects;
    let project = projects.iter().find(|project| project.project_id == donate.project_id);
    let project = project.ok_or_else(|| Refusal::new("unknown_project", "这个公益项目已经结束。"))?;
    if !(1..=100).contains(&donate.parts) {
        return Err(Refusal::new("bad_parts", "一次可以捐1到100份。"));
    }
    let mut decision = spend(asked, CaseKind::Donation, &project.name, project.points_each * donate.parts)?;
    if let Ok(result) = &mut decision.answer {
        result["organisation"] = json!(project.organisation);
    }
    Ok(decision)
}
