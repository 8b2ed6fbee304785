use super::*;

#[test]
fn the_built_in_content_has_no_fault() {
    match Dialogue::load(&Content::built_in()) {
        Ok(dialogue) => assert_eq!(dialogue.catalogue().try_out(), []),
        Err(faults) => panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()),
    }
}

#[test]
fn the_built_in_conversations_are_met_word_by_word_and_cover_every_service() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let report = check(&Content::built_in(), &["card"], Some(&folder));
    let faults: String = report.faults.iter().map(|fault| format!("{fault}\n")).collect();
    assert!(faults.is_empty(), "{faults}");
    assert!(report.coverage.iter().all(|service| service.missing.is_empty()), "{report}");
}
