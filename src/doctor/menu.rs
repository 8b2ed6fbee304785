//! The menu file against what customers see.

use super::platform::call_failed;
use super::{Patient, Report};
use crate::wechat::api::Api;
use crate::wechat::menu::{Menu, differences, outline};

const CHECK: &str = "menu";
/// Differences that are told; `weikefu menu diff` shows them all.
const DIFFERENCES_MAX: usize = 3;

/// Compares the account's menu file with its menu.
pub(super) async fn look(patient: &Patient<'_>, api: &Api, report: &mut Report) {
    let id = &patient.account.id;
    let there = match api.menus().await {
        Ok(there) => there.as_ref().map(outline).unwrap_or_default(),
        Err(error) => return call_failed(CHECK, "自定义菜单 (custom menu)", &error, report),
    };
    let Some(file) = patient.content.file(&format!("menus/{id}.toml")) else {
        if there.is_empty() {
            report.ok(CHECK, format!("none: no file menus/{id}.toml, and WeChat has none"));
        } else {
            let next = format!("weikefu menu pull --account {id}, and keep the file as menus/{id}.toml");
            report.warn(CHECK, format!("WeChat has a menu, and there is no file menus/{id}.toml"), next);
        }
        return;
    };
    let here = match Menu::from_toml(&file.text) {
        Ok(menu) => outline(&menu.as_answered()),
        Err(fault) => {
            report.fail(
                CHECK,
                format!("{}:{}: {}", file.origin, fault.line, fault.fault),
                "correct the file",
            );
            return;
        }
    };
    let differences = differences(&here, &there);
    if differences.is_empty() {
        report.ok(CHECK, format!("WeChat has the menu of {}", file.origin));
        return;
    }
    let shown: Vec<String> = differences.iter().take(DIFFERENCES_MAX).map(|line| collapsed(line)).collect();
    let more = differences.len().saturating_sub(DIFFERENCES_MAX);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let found = if there.is_empty() {
        format!("WeChat has no menu, and {} has one", file.origin)
    } else {
        format!("WeChat's menu differs from {}: {}{more}", file.origin, shown.join("; "))
    };
    report.fail(CHECK, found, format!("weikefu menu diff --account {id}, then menu push or menu pull"));
}

fn collapsed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
