//! The metrics page after everything was used once: nothing on it that is not described, nothing described that is
//! not on it, and no label beyond its bound.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use weikefu::telemetry::metric::{self, Label};

use crate::wechat::{safe, text};
use crate::world::{Engine, World};

/// One line of the page.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn parse(page: &str) -> Vec<Sample> {
    let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once("=\""));
        Sample {
            name: name.to_owned(),
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.trim_end_matches('"').to_owned()))
                .collect(),
            value: value.parse().unwrap(),
        }
    };
    lines.map(read).collect()
}

/// The metric that a line belongs to: of a histogram there are three kinds of lines.
fn metric_of(name: &str) -> Option<&'static metric::Metric> {
    metric::of(name).or_else(|| {
        let histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end))?;
        metric::of(histogram).filter(|metric| metric.kind == metric::Kind::Histogram)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_holds_exactly_what_is_described_and_its_labels_are_bounded() {
    let world = World::start(Engine::Sqlite).await;
    let person = world.follower("量").await;
    world.bind(&person.openid, "C10001").await;
    assert!(person.say("查账单").await.contains("本期应还"));
    let transaction = json!({
        "transaction_id": "T-metrics", "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": { "value": "88.00", "currency": "CNY" }, "merchant": { "name": "示例商户" },
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    world.bank(reqwest::Method::POST, "/api/v1/transactions", &transaction.to_string()).await;
    person.wait("the alert", |entry| entry["kind"] == "template").await;
    let (query, body) = safe(&text("o-forged", 1, "功能"));
    let url = format!("{}/wechat/card?{}", world.server_url, query.replace("signature=", "signature=0"));
    assert_eq!(world.http.post(url).body(body).send().await.unwrap().status().as_u16(), 401);
    world.app().look().await;

    let metrics = world.app().zones().metrics.unwrap();
    let page =
        world.http.get(format!("http://{metrics}/metrics")).send().await.unwrap().text().await.unwrap();
    let samples = parse(&page);
    let mut values: BTreeMap<(&str, String), BTreeSet<String>> = BTreeMap::new();
    for sample in &samples {
        let metric = metric_of(&sample.name).unwrap_or_else(|| panic!("{} is not described", sample.name));
        assert!(sample.value.is_finite(), "{}", sample.name);
        for (name, value) in &sample.labels {
            if name == "le" && metric.kind == metric::Kind::Histogram {
                continue;
            }
            let label = metric.labels.iter().find(|label| label.name() == name);
            let label = label.unwrap_or_else(|| panic!("{}: label {name} is not described", sample.name));
            if let Label::Closed(_, allowed) = label {
                assert!(allowed.contains(&value.as_str()), "{}: {name}={value}", sample.name);
            }
            values.entry((metric.name, name.clone())).or_default().insert(value.clone());
        }
    }
    for metric in metric::ALL {
        assert!(
            page.contains(&format!("# HELP {} {}", metric.name, metric.help)),
            "{}: no HELP",
            metric.name
        );
        assert!(
            samples.iter().any(|sample| metric_of(&sample.name).is_some_and(|of| of.name == metric.name)),
            "{} is described and never told",
            metric.name
        );
        for label in metric.labels {
            if let Label::Open(name, values_max) = label {
                let found = values.get(&(metric.name, (*name).to_owned())).map_or(0, BTreeSet::len);
                assert!((1..=*values_max).contains(&found), "{}: {name} has {found} values", metric.name);
            }
        }
    }
    let told = |name: &str| {
        let found: Vec<f64> =
            samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).collect();
        found
    };
    assert_eq!(told("weikefu_ready"), [1.0]);
    assert_eq!(told("weikefu_parts_held"), [256.0]);
    assert!(told("weikefu_wechat_quota_left").iter().all(|left| *left > 1_000.0));
    assert!(told("weikefu_wechat_token_left_seconds").iter().all(|left| *left > 6_000.0 && *left <= 7_200.0));
    assert!(told("weikefu_stage_seconds_count").iter().all(|count| *count > 0.0), "every stage was measured");
    world.stop().await;
}

/// Who is woken at night finds each alarm in the guide, in both languages.
#[test]
fn every_alarm_stands_in_the_guide() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let rules = read("docker/prometheus/rules.yaml");
    let alarms: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alarms.len() > 20);
    for guide in ["README.md", "README.zh-CN.md"] {
        let text = read(guide);
        let told = text.lines().filter(|line| line.starts_with("| Weikefu")).count();
        assert_eq!(told, alarms.len(), "{guide}");
        for alarm in &alarms {
            let row = text.lines().find(|line| line.starts_with(&format!("| {alarm} |")));
            let cells = row.unwrap_or_else(|| panic!("{guide}: {alarm}")).trim_matches('|').split(" | ");
            let said = cells.filter(|cell| cell.trim().chars().count() > 2).count();
            assert_eq!(said, 3, "{guide}: {alarm}: what it is called, what it means, what to do");
        }
    }
}

/// Alarms and panels must not outlive the metrics that they look at.
#[test]
fn rules_and_dashboard_name_only_metrics_that_exist() {
    for file in
        ["docker/prometheus/rules.yaml", "docker/prometheus/rules_test.yaml", "docker/grafana/weikefu.json"]
    {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names: BTreeSet<&str> = words.filter(|word| word.starts_with("weikefu_")).collect();
        assert!(names.len() > 20, "{file}");
        for name in names {
            assert!(metric_of(name).is_some(), "{file}: {name}");
        }
    }
}
