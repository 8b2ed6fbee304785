//! The notices that are configured, against the templates that the account has.

use super::platform::{call_failed, kind};
use super::{Patient, Report};
use crate::alerts::misfits;
use crate::config::{AccountKind, NoticeTemplate};
use crate::wechat::api::{Api, PrivateTemplate};

const CHECK: &str = "notice";

/// Looks at every configured notice.
pub(super) async fn look(patient: &Patient<'_>, api: &Api, report: &mut Report) {
    let account = patient.account;
    let listed = api.templates().await;
    kind(patient, listed.as_ref().is_ok_and(|listed| !listed.is_empty()), report);
    if account.kind == AccountKind::Subscription {
        return;
    }
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => return call_failed(CHECK, "模板消息 (template messages)", &error, report),
    };
    if account.notices.is_empty() {
        report.warn(
            CHECK,
            format!("none configured; the account has {} templates", listed.len()),
            "add [accounts.notices.spend] with a template's id, so that spend alerts are sent",
        );
    }
    for (name, notice) in &account.notices {
        match listed.iter().find(|template| template.template_id == notice.template_id) {
            Some(template) => compare(name, notice, template, report),
            None => {
                let titles: Vec<&str> = listed.iter().map(|template| template.title.as_str()).collect();
                let there = if titles.is_empty() { "none".to_owned() } else { titles.join(", ") };
                report.fail(
                    CHECK,
                    format!("{name}: the account has no template `{}`; it has: {there}", notice.template_id),
                    format!("copy the id of the right one from the console (模板消息 → 我的模板) to accounts.notices.{name}"),
                );
            }
        }
    }
}

fn compare(name: &str, notice: &NoticeTemplate, template: &PrivateTemplate, report: &mut Report) {
    let keywords = template.keywords();
    let there = keywords.join(", ");
    let mut is_well = true;
    for (field, keyword) in &notice.fields {
        if !keywords.contains(&keyword.as_str()) {
            is_well = false;
            report.fail(
                CHECK,
                format!(
                    "{name}: the template {} has no `{keyword}` for {field}; it has {there}",
                    template.title
                ),
                format!("correct accounts.notices.{name}.fields.{field}"),
            );
        }
    }
    for misfit in misfits(name, notice) {
        is_well = false;
        let found = format!("{name}: {}: {}", misfit.field, misfit.message);
        let next = format!("correct accounts.notices.{name}.fields.{}", misfit.field);
        if misfit.is_fault { report.fail(CHECK, found, next) } else { report.warn(CHECK, found, next) }
    }
    let unfilled: Vec<&str> = keywords
        .iter()
        .filter(|keyword| !notice.fields.values().any(|used| used == *keyword))
        .copied()
        .collect();
    if !unfilled.is_empty() {
        is_well = false;
        report.warn(
            CHECK,
            format!(
                "{name}: the template {} has lines that nothing fills: {}",
                template.title,
                unfilled.join(", ")
            ),
            format!("WeChat may refuse such a message (47003): fill them in accounts.notices.{name}.fields"),
        );
    }
    if is_well {
        report.ok(CHECK, format!("{name}: {} with {there}", template.title));
    }
}
