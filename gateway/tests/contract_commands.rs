//! `directlink contract …`, run as a person runs it: each file `contract_commands/*.case` is one command line with its exit
//! code and all it says. With `DIRECTLINK_REWRITE_GOLDEN=1` the files are rewritten with what the program says, to be
//! reviewed like code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract_commands");

#[test]
fn every_command_says_what_was_agreed() {
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(!cases.is_empty(), "no case was found in {FOLDER}");
    for path in cases {
        let agreed = fs::read_to_string(&path).unwrap();
        let line = agreed.lines().next().unwrap_or_default();
        let said = said(line);
        if said == agreed {
            continue;
        }
        if env::var_os("DIRECTLINK_REWRITE_GOLDEN").is_some() {
            fs::write(&path, said).unwrap();
        } else {
            wrong.push(format!("{}\n--- agreed\n{agreed}\n--- said\n{said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn cases() -> Vec<PathBuf> {
    let files = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|kind| kind == "case")).collect();
    cases.sort();
    cases
}

/// What a command line (`$ directlink contract …`) gives, in the form of a case file.
fn said(line: &str) -> String {
    let words = line.strip_prefix("$ directlink ").unwrap_or_else(|| panic!("`{line}`"));
    let output = Command::new(env!("CARGO_BIN_EXE_directlink"))
        .args(words.split(' '))
        .current_dir(Path::new(FOLDER))
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (out, err) = (out.unwrap(), err.unwrap());
    let mut said = format!("{line}\nexit {}\n", output.status.code().unwrap());
    for (name, text) in [("out", out), ("err", err)] {
        if !text.is_empty() {
            said.push_str(&format!("--- {name}\n{text}"));
        }
    }
    said
}
