use super::*;
use crate::dialogue::house_operations;

fn load(path: &str, text: &str) -> Vec<String> {
    let content = Content::built_in().with(path, text);
    let house = house_operations().unwrap();
    match Catalogue::load(&content, Operations::builtin().unwrap(), house) {
        Ok(catalogue) => catalogue.try_out().iter().map(ToString::to_string).collect(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

const GOOD: &str = r#"
id = "own"
category = "bill"
name = "自己的服务"
keywords = ["自己的词"]
binding = true
proof = "none"
effect = "read"

[lookup]
operation = "core:bill_current"
params = { card_id = "{{ card.card_id }}" }
answer = """
{{ card|tail }}
{{ due_date|day }}
"""
"#;

#[test]
fn a_service_is_one_file() {
    assert_eq!(load("services/bill/own.toml", GOOD), [""; 0]);
}

#[test]
fn every_fault_is_told_with_its_line_and_what_to_do() {
    let other = "services/bill/own.toml";
    let table = [
        ("binding = true", "bindin = true", 6, "did you mean `binding`?"),
        ("\"自己的词\"", "\"查账单！\"", 5, "belongs to bill_current already"),
        ("core:bill_current", "core:bill_curent", 11, "did you mean \"core:bill_current\"?"),
        ("{{ due_date|day }}", "{{ due_day|day }}", 15, "uses \"due_day\", which does not exist here"),
        ("{{ due_date|day }}", "{{ due_date|dayy }}", 15, "the filter \"dayy\" is not offered"),
        ("{{ due_date|day }}", "{{ month|day }}", 15, "a date such as 2026-11-28 is wanted"),
        ("{{ due_date|day }}", "{{ amounts.x }}", 15, "a value is missing"),
        ("{{ due_date|day }}", "{% for a in amounts %}", 16, "syntax error"),
        ("{ card_id =", "{ card =", 11, "the operation has no param \"card\""),
        ("binding = true", "binding = false", 11, "so the service needs binding = true"),
        ("effect = \"read\"", "effect = \"write\"", 8, "the effect differs"),
        (
            "proof = \"none\"",
            "proof = \"none\"\nnext = [\"bill_curent\"]",
            8,
            "did you mean \"bill_current\"?",
        ),
        ("proof = \"none\"", "proof = \"none\"\nnext = [\"own\"]", 8, "does not offer itself"),
        ("[lookup]", "[escalate]\n[lookup]", 2, "exactly one of"),
        ("binding = true", "binding = false\nunbound = \"x\"", 7, "this is never said"),
        (
            "binding = true",
            "binding = true\nunbound = \"{{ lnk }}\"",
            7,
            "uses \"lnk\", which does not exist",
        ),
        ("id = \"own\"", "id = \"other\"", 2, "belongs at services/bill/other.toml"),
        ("id = \"own\"", "id = \"O!\"", 2, "only a-z, 0-9 and _"),
        ("[\"自己的词\"]", "[]", 2, "at least one keyword"),
        ("[lookup]", "[lookup]\nrefusals = { never = \"x\" }", 11, "this text is unreachable"),
    ];
    for (from, to, line, message) in table {
        assert!(GOOD.contains(from), "{from}");
        let faults = load(other, &GOOD.replace(from, to));
        let place = format!("templates/{other}:{line}: ");
        let told = faults.iter().any(|fault| fault.starts_with(&place) && fault.contains(message));
        assert!(told, "{from} → {to}: {faults:#?}");
    }
}

#[test]
fn loosening_never_needs_less_than_tightening() {
    let built_in = Content::built_in();
    let path = "services/alerts/alert_unsubscribe.toml";
    let text = &built_in.file(path).unwrap().text;
    assert!(
        load(path, &text.replace("binding = true", "binding = false"))
            .iter()
            .any(|fault| fault.contains("(P7)"))
    );
    let turned = load(path, &text.replace("direction = \"loosen\"", "direction = \"tighten\""));
    assert!(turned.iter().any(|fault| fault.contains("in the other direction")), "{turned:?}");
    // What undoes the whole undoes its parts, and needs no less than any of them.
    let part = "services/card_manage/card_lock_night.toml";
    let text_of_part = &built_in.file(part).unwrap().text;
    assert_eq!(load(part, text_of_part), [""; 0]);
    let harder = load(part, &text_of_part.replace("proof = \"none\"", "proof = \"pin\""));
    assert!(
        harder.iter().any(|fault| fault.contains("card_unlock loosens") && fault.contains("(P7)")),
        "{harder:?}"
    );
    let stray = load(part, &text_of_part.replace("part_of = \"card_lock\"\n", ""));
    assert!(stray.iter().any(|fault| fault.contains("in the other direction")), "{stray:?}");
    let alone = load(path, &text.replace("opposite = \"alert_subscribe\"\n", ""));
    assert!(alone.iter().any(|fault| fault.contains("direction needs its opposite")), "{alone:?}");
}

#[test]
fn who_is_not_bound_can_always_bind_and_reach_a_person() {
    let built_in = Content::built_in();
    for path in ["services/identity/bind_credit_card.toml", "services/service/human_agent.toml"] {
        let text = built_in.file(path).unwrap().text.replace("binding = false", "binding = true");
        assert!(load(path, &text).iter().any(|fault| fault.contains("a loop of guards")), "{path}");
    }
}

#[test]
fn samples_fit_their_schemas_and_reach_their_bounds() {
    let operations = Operations::builtin().unwrap();
    for operation in operations.iter() {
        assert!(samples::results(operation, 20).len() >= 3, "{operation:?}");
        let longest = samples::longest(operation, 20);
        assert!(!longest.is_empty(), "{operation:?}");
    }
    let bill = &samples::longest(operations.get("bill_current").unwrap(), 20)[0];
    assert_eq!(bill["amounts"].as_array().unwrap().len(), 4);
    assert_eq!(bill["card"]["product"].as_str().unwrap().chars().count(), 20);
}

const ENTRY: &str = r#"+++
id = "own_entry"
question = "自己的问题"
about = "card_annual_fee"
owner = "产品部"
valid_from = 2026-01-01
valid_until = 2026-12-31
source = "第1条"
variants = ["问法甲一", "问法乙二", "问法丙三", "问法丁四", "问法戊五", "问法己六"]
+++
一般每年都要交，按卡种收取。
金卡{{ fees.annual_gold }}。
"#;

#[test]
fn an_entry_of_the_knowledge_base_is_one_file_and_its_numbers_stand_elsewhere() {
    let path = "knowledge/own_entry.md";
    assert_eq!(load(path, ENTRY), [""; 0]);
    let table = [
        ("+++\nid", "id", 1, "an entry begins with a line +++"),
        ("owner = ", "ower = ", 5, "did you mean `owner`?"),
        ("\"card_annual_fee\"", "\"card_anual_fee\"", 2, "`about` names no service"),
        ("id = \"own_entry\"", "id = \"other\"", 2, "belongs at knowledge/other.md"),
        (", \"问法己六\"", "", 9, "at least 6"),
        ("问法甲一", "查账单！", 9, "belongs to bill_current already"),
        ("2026-12-31", "2025-12-31", 7, "it ends before it begins"),
        ("fees.annual_gold", "fees.annual_gould", 12, "did you mean \"annual_gold\"?"),
        ("{{ fees.annual_gold }}", "200元", 12, "\"200元\" stands in the answer"),
        ("按卡种", "按百分之五", 11, "\"百分之\" stands in the answer"),
        ("{{ fees.annual_gold }}", "{{ card|tale }}", 12, "the filter \"tale\" is not offered"),
    ];
    for (from, to, line, message) in table {
        assert!(ENTRY.contains(from), "{from}");
        let faults = load(path, &ENTRY.replace(from, to));
        let place = format!("templates/{path}:{line}: ");
        let told = faults.iter().any(|fault| fault.starts_with(&place) && fault.contains(message));
        assert!(told, "{from} → {to}: {faults:#?}");
    }
}

#[test]
fn the_built_in_knowledge_base_is_whole_and_each_entry_says_who_answers_for_it() {
    let house = house_operations().unwrap();
    let catalogue = Catalogue::load(&Content::built_in(), Operations::builtin().unwrap(), house).unwrap();
    let entries: Vec<&Service> = catalogue.iter().filter(|service| service.entry().is_some()).collect();
    assert!(entries.len() >= 80, "{}", entries.len());
    for service in entries {
        let entry = service.entry().unwrap();
        assert!(!entry.owner.is_empty() && !entry.source.is_empty(), "{}", service.id());
        assert!(service.manifest.examples.len() >= 6, "{}", service.id());
    }
}
