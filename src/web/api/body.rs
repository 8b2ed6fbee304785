//! The three forms of a body: one object, an array, or one JSON value a line.

use serde_json::Value;

use super::ITEMS_MAX;
use super::answers::Refusal;

/// The items of a body. Its form decides, not its content type: a file sent under the wrong one is read all the same.
pub(super) fn items(body: &[u8]) -> Result<Vec<Value>, Refusal> {
    let items = match serde_json::from_slice(body) {
        Ok(Value::Array(items)) => items,
        Ok(object @ Value::Object(_)) => vec![object],
        Ok(_) => return Err(Refusal::Unparsable("the body is neither an object nor an array")),
        Err(_) => lines(body)?,
    };
    if items.len() > ITEMS_MAX { Err(Refusal::TooMany) } else { Ok(items) }
}

fn lines(body: &[u8]) -> Result<Vec<Value>, Refusal> {
    let mut items = Vec::new();
    for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        if items.len() == ITEMS_MAX {
            return Err(Refusal::TooMany);
        }
        let item = serde_json::from_slice(line)
            .map_err(|_| Refusal::Unparsable("the body is neither JSON nor one JSON object a line"))?;
        items.push(item);
    }
    if items.is_empty() { Err(Refusal::Unparsable("the body is empty")) } else { Ok(items) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn object_array_and_lines_are_read_and_nothing_else() {
        let table: [(&str, Option<usize>); 11] = [
            ("{}", Some(1)),
            ("[]", Some(0)),
            ("[{},5]", Some(2)),
            ("{}\n{}\n", Some(2)),
            ("{}\r\n\r\n  {}", Some(2)),
            ("", None),
            (" \n ", None),
            ("5", None),
            ("\"x\"", None),
            ("{}\n{", None),
            ("<xml/>", None),
        ];
        for (body, count) in table {
            assert_eq!(items(body.as_bytes()).ok().map(|items| items.len()), count, "{body:?}");
        }
        assert!(items(&[0xff, 0xfe]).is_err());
        assert!(items("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn more_than_a_thousand_items_are_too_many_in_every_form() {
        let thousand = vec![json!({}); ITEMS_MAX];
        assert_eq!(items(json!(thousand).to_string().as_bytes()).unwrap().len(), ITEMS_MAX);
        let more = vec![json!({}); ITEMS_MAX + 1];
        assert!(matches!(items(json!(more).to_string().as_bytes()), Err(Refusal::TooMany)));
        assert!(matches!(items("{}\n".repeat(ITEMS_MAX + 1).as_bytes()), Err(Refusal::TooMany)));
        assert_eq!(items("{}\n".repeat(ITEMS_MAX).as_bytes()).unwrap().len(), ITEMS_MAX);
    }
}
