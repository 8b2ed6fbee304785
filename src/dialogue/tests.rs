use super::*;

#[test]
fn the_built_in_content_has_no_fault() {
    match Dialogue::load(&Content::built_in()) {
        Ok(dialogue) => assert_eq!(dialogue.catalogue().try_out(), []),
        Err(faults) => panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()),
    }
}
