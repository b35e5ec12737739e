//! The vectors in contracts/standard/vectors, for the tests of this crate: each file says its own rule.

use std::{fs, path::Path};

use serde_json::Value;

/// The cases of one file.
pub(crate) fn cases(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/standard/vectors");
    let text = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{name} has no cases");
    cases
}

/// What a case gives to read.
pub(crate) fn input(case: &Value) -> &str {
    case["input"].as_str().unwrap()
}
