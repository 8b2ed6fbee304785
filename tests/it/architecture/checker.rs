//! The rules, over texts: so that a test can plant a fault in a source that does not exist.

use std::collections::BTreeSet;

/// One file of `src`, its path without `src/`.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

/// Rooms by floor, lowest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Map(Vec<Vec<String>>);

/// Longest source file.
const LINES_MAX: usize = 600;

/// Names that say nothing of what is behind them.
const EMPTY_NAMES: [&str; 9] =
    ["utils", "util", "helpers", "helper", "managers", "manager", "common", "misc", "shared"];

/// What may be used only in these rooms.
const CONFINED: [(&str, &[&str]); 9] = [
    ("actix_web::", &["web", "simulator"]),
    ("sqlx::", &["store"]),
    ("quick_xml::", &["wechat", "simulator"]),
    ("redis::", &["hints"]),
    ("reqwest::", &["wechat", "bank", "staff", "simulator"]),
    ("println!", &["main"]),
    ("print!", &["main"]),
    ("eprintln!", &["main"]),
    ("eprint!", &["main"]),
];

impl Map {
    /// Reads the block of a Markdown text that begins with the line `domain`.
    pub(super) fn parse(markdown: &str) -> Option<Self> {
        let block = markdown.split("```text\n").skip(1).find(|block| block.starts_with("domain\n"))?;
        let floors = block.lines().take_while(|line| !line.starts_with("```"));
        Some(Self(floors.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()))
    }

    pub(super) fn rooms(&self) -> BTreeSet<String> {
        self.0.iter().flatten().cloned().collect()
    }

    fn floor(&self, room: &str) -> Option<usize> {
        self.0.iter().position(|floor| floor.iter().any(|name| name == room))
    }

    /// `main` stands beside `app` on the top floor and is the one that starts it.
    fn allows(&self, from: &str, to: &str) -> bool {
        from == to || from == "main" || self.floor(to) < self.floor(from)
    }
}

/// Every breach, as `src/path:line: what`.
pub(super) fn faults(sources: &[Source], map: &Map) -> Vec<String> {
    sources.iter().flat_map(|source| faults_of(source, map)).collect()
}

fn faults_of(source: &Source, map: &Map) -> Vec<String> {
    let mut faults = vec![];
    let path = &source.path;
    let count = source.text.lines().count();
    if count > LINES_MAX {
        faults.push(format!("src/{path}: {count} lines; no file has more than {LINES_MAX}"));
    }
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            faults.push(format!("src/{path}: `{part}` is a name that says nothing"));
        }
    }
    let room = room_of(path);
    if room == "lib" || is_test(path) {
        return faults;
    }
    let code = without_tests_and_comments(&source.text);
    for (target, at) in imports(&code, module_depth(path)) {
        if map.floor(&target).is_some() && !map.allows(&room, &target) {
            let line = line_of(&code, at);
            faults.push(format!("src/{path}:{line}: `{room}` uses `{target}`, which is not below it"));
        }
    }
    for (word, rooms) in CONFINED {
        if !rooms.contains(&room.as_str())
            && let Some(at) = find_word(&code, word)
        {
            let line = line_of(&code, at);
            faults.push(format!("src/{path}:{line}: {word} belongs in {} only", rooms.join(", ")));
        }
    }
    faults.extend(
        nameless_metrics(&code)
            .map(|at| format!("src/{path}:{}: a metric's name begins with weikefu_", line_of(&code, at))),
    );
    faults
}

/// The top folder or file; the command line is part of `main`.
fn room_of(path: &str) -> String {
    let first = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    if first == "cli" { "main".to_owned() } else { first.to_owned() }
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part.trim_end_matches(".rs"), "tests" | "testing"))
}

/// How many `super::` lead from a file's module to the crate's root.
fn module_depth(path: &str) -> usize {
    path.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").count()
}

/// Blanks comment lines and ends before the tests inside the file, keeping line numbers.
fn without_tests_and_comments(text: &str) -> String {
    let code = text
        .match_indices("#[cfg(test)]\nmod ")
        .find(|(at, _)| text[*at..].lines().nth(1).is_some_and(|line| line.ends_with('{')))
        .map_or(text, |(at, _)| &text[..at]);
    let mut kept = String::with_capacity(code.len());
    for line in code.lines() {
        if !line.trim_start().starts_with("//") {
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}

/// Every name that is reached directly under the crate's root, with its place.
fn imports(code: &str, depth: usize) -> Vec<(String, usize)> {
    let mut found = vec![];
    let out_of_room = "super::".repeat(depth);
    for prefix in ["crate::", "weikefu::", out_of_room.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let inside_a_longer_path = code[..at].ends_with("super::") || code[..at].ends_with(is_name);
            if !inside_a_longer_path {
                names_at(&code[at + prefix.len()..]).into_iter().for_each(|name| found.push((name, at)));
            }
        }
    }
    found
}

/// The name that a path goes on with, or every first name of a braced group.
fn names_at(rest: &str) -> Vec<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| is_name(*c)).collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut names = vec![];
    let mut depth = 0_u32;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn find_word(code: &str, word: &str) -> Option<usize> {
    code.match_indices(word).map(|(at, _)| at).find(|at| !code[..*at].ends_with(is_name))
}

/// Metric macros whose first argument is a text that does not begin with our prefix.
fn nameless_metrics(code: &str) -> impl Iterator<Item = usize> {
    ["counter!(", "gauge!(", "histogram!("].into_iter().flat_map(move |word| {
        code.match_indices(word).filter_map(move |(at, _)| {
            let first = code[at + word.len()..].trim_start();
            (first.starts_with('"') && !first.starts_with("\"weikefu_")).then_some(at)
        })
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str =
        "words\n```text\nother\n```\n\n```text\ndomain\nconfig\nstore wechat\nweb\napp main\n```\n";

    fn check(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        faults(&[source], &Map::parse(MAP).unwrap())
    }

    #[test]
    fn imports_downwards_and_inside_a_room_are_in_order() {
        for (path, text) in [
            ("store/mod.rs", "use crate::domain::Money;\nuse crate::config::{Config, Core};\n"),
            ("store/value.rs", "use super::database::Database;\nuse crate::store::Row;\n"),
            ("cli/serve.rs", "use weikefu::app::App;\nprintln!(\"{}\", 1);\n"),
            ("store/mod.rs", "// crate::web would be wrong\n/// so is [`crate::app`]\n"),
            (
                "store/mod.rs",
                "#[cfg(test)]\nmod tests {\n    use crate::web::Probe;\n    use reqwest::Client;\n}\n",
            ),
            ("store/tests.rs", "use crate::web::Probe;\n"),
            ("web/mod.rs", "use actix_web::{App, web};\ncounter!(\"weikefu_pushes_total\").increment(1);\n"),
        ] {
            assert_eq!(check(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn every_planted_fault_is_found_at_its_line() {
        let long = "\n".repeat(LINES_MAX + 1);
        for (path, text, fault) in [
            (
                "store/mod.rs",
                "\nuse crate::web::Probe;",
                "src/store/mod.rs:2: `store` uses `web`, which is not below it",
            ),
            (
                "store/mod.rs",
                "use crate::wechat::Xml;",
                "src/store/mod.rs:1: `store` uses `wechat`, which is not below it",
            ),
            (
                "config.rs",
                "use crate::{domain::{A, B}, web};",
                "src/config.rs:1: `config` uses `web`, which is not below it",
            ),
            (
                "store/a.rs",
                "use super::super::web::X;",
                "src/store/a.rs:1: `store` uses `web`, which is not below it",
            ),
            (
                "store/a.rs",
                "let x = crate::web::x();",
                "src/store/a.rs:1: `store` uses `web`, which is not below it",
            ),
            (
                "web/mod.rs",
                "use crate::app::App;",
                "src/web/mod.rs:1: `web` uses `app`, which is not below it",
            ),
            ("web/mod.rs", "let pool = sqlx::query(text);", "src/web/mod.rs:1: sqlx:: belongs in store only"),
            (
                "store/mod.rs",
                "use actix_web::web;",
                "src/store/mod.rs:1: actix_web:: belongs in web, simulator only",
            ),
            ("domain/a.rs", "println!(\"x\");", "src/domain/a.rs:1: println! belongs in main only"),
            (
                "web/a.rs",
                "counter!(\n    \"pushes\").increment(1);",
                "src/web/a.rs:1: a metric's name begins with weikefu_",
            ),
            ("web/utils.rs", "", "src/web/utils.rs: `utils` is a name that says nothing"),
            ("web/a.rs", &long, "src/web/a.rs: 601 lines; no file has more than 600"),
        ] {
            assert_eq!(check(path, text), [fault]);
        }
    }
}
