//! A session as lines that can be compared: ids, times and nonces made alike.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::xml::{self, Element};

/// Runs of letters and digits from this length on, if both are in it, are ids.
const ID_CHARS_MIN: usize = 16;
/// Digits from this number on are ids or times.
const NUMBER_DIGITS_MIN: usize = 10;
/// Beyond it the lines of one section are not aligned, only shown.
const ALIGNED_LINES_MAX: usize = 500;

/// Sections in order: one a step, then one for the calls of each follower.
pub(super) struct Transcript(Vec<(String, Vec<String>)>);

impl Transcript {
    /// The transcript of a recording.
    pub(super) fn of(lines: &[Value]) -> Self {
        let mut steps: Vec<(String, Vec<String>)> = Vec::new();
        let mut places: BTreeMap<u64, usize> = BTreeMap::new();
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in lines {
            match line["kind"].as_str() {
                Some("action") => {
                    places.insert(line["step"].as_u64().unwrap_or_default(), steps.len());
                    steps.push((
                        format!("step {}: {}", steps.len() + 1, described(&line["action"])),
                        Vec::new(),
                    ));
                }
                Some("exchange") => {
                    let place = line["step"].as_u64().and_then(|step| places.get(&step));
                    if let Some((_, section)) = place.and_then(|place| steps.get_mut(*place)) {
                        section.extend(exchange(line));
                    }
                }
                Some("call") if !steps.is_empty() && is_compared(line) => {
                    calls.entry(whom(line)).or_default().extend(call(line));
                }
                _ => {}
            }
        }
        steps.extend(calls.into_iter().map(|(whom, lines)| (format!("calls for {whom}"), lines)));
        Self(steps)
    }

    /// What differs, section by section; `-` is this one, `+` the other. Empty when nothing does.
    pub(super) fn difference(&self, other: &Self) -> String {
        let mut told = String::new();
        let empty = Vec::new();
        let mut titles: Vec<&String> = self.0.iter().map(|(title, _)| title).collect();
        titles.extend(other.0.iter().map(|(title, _)| title).filter(|title| self.section(title).is_none()));
        for title in titles {
            let (recorded, now) =
                (self.section(title).unwrap_or(&empty), other.section(title).unwrap_or(&empty));
            if recorded != now {
                told.push_str(&format!("@ {title}\n"));
                for line in difference(recorded, now) {
                    told.push_str(&line);
                    told.push('\n');
                }
            }
        }
        told
    }

    fn section(&self, title: &str) -> Option<&Vec<String>> {
        self.0.iter().find(|(known, _)| known == title).map(|(_, lines)| lines)
    }
}

/// Whether a call takes part in the comparison: neither fetches a token nor was made with one that is over.
pub(super) fn is_compared(line: &Value) -> bool {
    let path = line["path"].as_str().unwrap_or_default();
    let code = line["response"]["errcode"].as_i64().unwrap_or_default();
    let fetches = matches!(path, "/cgi-bin/token" | "/cgi-bin/stable_token" | "/cgi-bin/ticket/getticket");
    !fetches && !matches!(code, 40001 | 40014 | 42001)
}

fn described(action: &Value) -> String {
    let mut rest = action.clone();
    let name = action["action"].as_str().unwrap_or("?").to_owned();
    if let Some(members) = rest.as_object_mut() {
        members.remove("action");
        members.retain(|name, value| name != "data_base64" && !value.is_null());
    }
    if rest.as_object().is_some_and(serde_json::Map::is_empty) { name } else { format!("{name} {rest}") }
}

fn exchange(line: &Value) -> Vec<String> {
    let state = line["state"].as_str().unwrap_or("?");
    let mut lines = vec![match line["fault"].as_str() {
        Some(fault) => format!("reply: {state} ({fault})"),
        None => format!("reply: {state}"),
    }];
    if let Some(reply) = line["reply"].as_str() {
        match xml::parse(reply) {
            Ok(root) => elements(&root, 1, &mut lines),
            Err(_) => lines.push(format!("  {}", alike(reply))),
        }
    }
    lines
}

fn elements(element: &Element, depth: usize, lines: &mut Vec<String>) {
    for child in &element.children {
        let indent = "  ".repeat(depth);
        match child.name.as_str() {
            "CreateTime" | "TimeStamp" | "Nonce" => {}
            name if child.children.is_empty() => {
                let mut parts = child.text.split('\n');
                lines.push(format!("{indent}{name}: {}", alike(parts.next().unwrap_or_default())));
                lines.extend(parts.map(|part| format!("{indent}  {}", alike(part))));
            }
            name => {
                lines.push(format!("{indent}{name}"));
                elements(child, depth + 1, lines);
            }
        }
    }
}

fn whom(line: &Value) -> String {
    let body: Value = serde_json::from_str(line["body"].as_str().unwrap_or_default()).unwrap_or_default();
    match body["touser"].as_str().or(body["openid"].as_str()) {
        Some(openid) => openid.to_owned(),
        None => "the account".to_owned(),
    }
}

fn call(line: &Value) -> Vec<String> {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    let code = line["response"]["errcode"].as_i64().unwrap_or_default();
    let mut lines = vec![format!("{} {} -> {} {code}", text("method"), text("path"), line["status"])];
    for pair in line["query"].as_array().into_iter().flatten() {
        if pair[0] != "access_token" {
            let value = pair[1].as_str().unwrap_or_default();
            lines.push(format!("  {}={}", pair[0].as_str().unwrap_or_default(), alike(value)));
        }
    }
    match serde_json::from_str::<Value>(text("body")) {
        Ok(body) => members(&body, "", &mut lines),
        Err(_) if text("body").is_empty() => {}
        Err(_) => lines.push(format!("  {}", alike(text("body")))),
    }
    lines
}

/// One line a value, its path before it, so that a difference names its place.
fn members(value: &Value, path: &str, lines: &mut Vec<String>) {
    match value {
        Value::Object(members_of) => {
            for (name, member) in members_of {
                members(member, &format!("{path}.{name}"), lines);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                members(item, &format!("{path}[{at}]"), lines);
            }
        }
        Value::String(_) if path == ".client_msg_id" || path == ".clientmsgid" => {
            lines.push(format!("  {path}: #id"));
        }
        Value::String(text) => {
            for part in text.split('\n') {
                lines.push(format!("  {path}: {}", alike(part)));
            }
        }
        other => lines.push(format!("  {path}: {}", alike(&other.to_string()))),
    }
}

/// The text with ids, long numbers, dates and times of day put away.
fn alike(text: &str) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | ':');
    let mut alike = String::with_capacity(text.len());
    let mut run = String::new();
    for character in text.chars() {
        if is_part(character) {
            run.push(character);
        } else {
            alike.push_str(named(&run));
            run.clear();
            alike.push(character);
        }
    }
    alike.push_str(named(&run));
    alike
}

fn named(run: &str) -> &str {
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let letters = run.bytes().filter(u8::is_ascii_alphabetic).count();
    let shape = |separator: char, lengths: &[&[usize]]| {
        let parts: Vec<usize> = run.split(separator).map(str::len).collect();
        letters == 0 && lengths.contains(&parts.as_slice())
    };
    if shape('-', &[&[4, 2, 2]]) || shape(':', &[&[2, 2], &[2, 2, 2]]) {
        "#time"
    } else if letters == 0 && digits >= NUMBER_DIGITS_MIN {
        "#number"
    } else if letters > 0 && digits > 0 && run.len() >= ID_CHARS_MIN {
        "#id"
    } else {
        run
    }
}

/// Lines that only one side has, aligned by the longest common sequence, with the common ones between them.
fn difference(recorded: &[String], now: &[String]) -> Vec<String> {
    let only = |sign: char, lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| format!("{sign} {line}")).collect()
    };
    if recorded.len() > ALIGNED_LINES_MAX || now.len() > ALIGNED_LINES_MAX {
        return [only('-', recorded), only('+', now)].concat();
    }
    // lengths[i][j]: the longest sequence common to what follows line i of the one and line j of the other.
    let mut lengths = vec![vec![0_usize; now.len() + 1]; recorded.len() + 1];
    for i in (0..recorded.len()).rev() {
        for j in (0..now.len()).rev() {
            lengths[i][j] = if recorded[i] == now[j] {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < recorded.len() && j < now.len() {
        if recorded[i] == now[j] {
            lines.push(format!("  {}", recorded[i]));
            i += 1;
            j += 1;
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            lines.push(format!("- {}", recorded[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", now[j]));
            j += 1;
        }
    }
    lines.extend(only('-', &recorded[i..]));
    lines.extend(only('+', &now[j..]));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_times_and_nonces_are_alike_and_words_and_amounts_are_not() {
        let table = [
            ("订单 24871203390011223 已发货", "订单 #number 已发货"),
            ("https://bank.example/h5?t=AbCdEf0123456789xyz", "https://bank.example/h5?t=#id"),
            ("2026-01-01 09:30 到账 ¥57,059.10", "#time #time 到账 ¥57,059.10"),
            ("09:30:05", "#time"),
            ("尾号1234", "尾号1234"),
            ("weixin-official-account", "weixin-official-account"),
        ];
        for (text, expected) in table {
            assert_eq!(alike(text), expected);
        }
    }

    #[test]
    fn a_difference_names_the_line_and_keeps_what_is_common() {
        let lines = |text: &[&str]| text.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let told = difference(&lines(&["a", "b", "c"]), &lines(&["a", "x", "c", "d"]));
        assert_eq!(told, ["  a", "- b", "+ x", "  c", "+ d"]);
    }
}
