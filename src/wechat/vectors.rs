//! The published signature and envelope vectors, for tests.

use serde_json::Value;

/// One vector.
pub(crate) struct Vector(Value);

impl Vector {
    /// A field; `None` when it is null or absent.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }

    /// A field that this vector has.
    pub(crate) fn need(&self, field: &str) -> &str {
        self.text(field).unwrap()
    }
}

/// Every vector of the data file.
pub(crate) fn all() -> Vec<Vector> {
    let file = include_str!("../../tests/data/wechat-crypto-vectors.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let vectors = file.get("vectors").unwrap().as_array().unwrap();
    assert_eq!(vectors.len(), 12);
    vectors.iter().cloned().map(Vector).collect()
}
