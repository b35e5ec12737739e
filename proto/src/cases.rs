//! Test data of the repository, for the tests of this crate: the vectors of contracts/standard,
//! each file with its own rule, and the golden files of every contract.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The cases of one file of vectors.
pub(crate) fn vectors(name: &str) -> Vec<Value> {
    let file = read(&contracts().join(format!("standard/vectors/{name}.json")));
    let cases = file["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{name} has no cases");
    cases
}

/// What a case gives to read.
pub(crate) fn input(case: &Value) -> &str {
    case["input"].as_str().unwrap()
}

/// Every file under contracts/ whose name ends so, with its content; never none.
pub(crate) fn golden(endings: &[&str]) -> Vec<(PathBuf, Value)> {
    let mut files = Vec::new();
    collect(&contracts(), endings, &mut files);
    assert!(!files.is_empty(), "no file under contracts/ ends with any of {endings:?}");
    files
}

fn collect(folder: &Path, endings: &[&str], files: &mut Vec<(PathBuf, Value)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, endings, files);
        } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            let content = read(&path);
            files.push((path, content));
        }
    }
}

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts")
}

fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
