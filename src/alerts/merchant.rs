//! A merchant's name in a line that is too short for it: the brand stays, and the branch at its end where it has one.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::wechat::field::{head, units};

/// What a company is by law says nothing about where the money went.
const LEGAL_FORMS: [&str; 6] =
    ["股份有限公司", "有限责任公司", "有限公司", "（个体工商户）", "(个体工商户)", "（有限合伙）"];
/// Longest branch that is kept at the end.
const BRANCH_UNITS_MAX: usize = 9;
/// The brand keeps at least this much.
const BRAND_UNITS_MIN: usize = 6;
const ELLIPSIS: &str = "…";

/// The name as it stands in a line of `units_max`. What fits stays as it is.
pub(super) fn shortened(name: &str, units_max: usize) -> String {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if units(&name) <= units_max {
        return name;
    }
    let plain = LEGAL_FORMS.iter().fold(name.clone(), |name, form| name.replace(form, ""));
    let name = if plain.trim().is_empty() { name } else { plain.trim().to_owned() };
    if units(&name) <= units_max {
        return name;
    }
    let branch = branch(&name);
    let room = units_max.saturating_sub(units(ELLIPSIS) + units(branch));
    match branch.is_empty() || room < BRAND_UNITS_MIN {
        false => format!("{}{ELLIPSIS}{branch}", head(&name, room).trim_end()),
        true => {
            format!("{}{ELLIPSIS}", head(&name, units_max.saturating_sub(units(ELLIPSIS))).trim_end())
        }
    }
}

/// The branch at the end of a name: what stands in brackets there, or ends in 店; empty where neither is.
fn branch(name: &str) -> &str {
    let bracketed = name.ends_with(['）', ')']).then(|| name.rfind(['（', '('])).flatten();
    let tail = match bracketed {
        Some(from) => name.get(from..).unwrap_or_default(),
        None if name.ends_with('店') => last_characters(name, BRANCH_UNITS_MAX - 2),
        None => "",
    };
    if units(tail) <= BRANCH_UNITS_MAX { tail } else { "" }
}

/// The end of a text, in whole characters as people see them.
fn last_characters(text: &str, units_max: usize) -> &str {
    let mut from = text.len();
    let mut used = 0;
    for (at, seen) in text.grapheme_indices(true).rev() {
        used += units(seen);
        if used > units_max {
            break;
        }
        from = at;
    }
    text.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn brand_and_branch_are_kept() {
        let table = [
            ("星河咖啡", "星河咖啡"),
            ("星河  咖啡\n一号店", "星河 咖啡 一号店"),
            ("示例市星河餐饮管理股份有限公司东门分公司", "示例市星河餐饮管理股份有限公司东门分公司"),
            ("示例市示例区星河餐饮管理有限责任公司东门分公司", "示例市示例区星河餐饮管理东门分公司"),
            (
                "星河咖啡示例市示例区示例大道购物中心负一层（陆家嘴店）",
                "星河咖啡示例市示例区示例大…（陆家嘴店）",
            ),
            (
                "星河咖啡示例市示例区示例大道购物中心负一层东门二号店",
                "星河咖啡示例市示例区示例…一层东门二号店",
            ),
            ("星河咖啡（示例市示例区示例大道购物中心负一层）", "星河咖啡（示例市示例区示例大道购物中心…"),
            ("STAR COFFEE INTERNATIONAL AIRPORT T2", "STAR COFFEE INTERNA…"),
            ("有限公司有限公司有限公司有限公司有限公司有限公司", "有限公司有限公司有限公司有限公司有限公…"),
        ];
        for (name, expected) in table {
            assert_eq!(shortened(name, 20), expected);
            assert!(units(&shortened(name, 20)) <= 20, "{name}");
        }
    }

    #[test]
    fn a_family_is_not_torn_apart() {
        let family = "👨\u{200D}👩\u{200D}👧";
        let short = shortened(&family.repeat(9), 20);
        assert_eq!(short, format!("{family}{family}…"));
    }

    proptest! {
        #[test]
        fn whatever_the_name_it_fits_and_begins_as_it_began(
            name in prop_oneof![".{0,300}", "[一-龥a-zA-Z（）()店 ]{0,60}", "(\u{1F469}\u{200D}|e\u{301}|[א-ת]|<b>){0,60}"],
            room in 5_usize..40,
        ) {
            let short = shortened(&name, room);
            prop_assert!(units(&short) <= room, "{name:?} became {short:?}");
            prop_assert_eq!(shortened(&short, room), short.clone(), "twice is once");
            let first = name.trim_start().chars().next();
            prop_assert!(name.trim().is_empty() || short.starts_with('…') || short.chars().next() == first || LEGAL_FORMS.iter().any(|form| name.contains(form)));
        }
    }
}
