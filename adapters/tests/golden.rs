//! Every golden case of every bank's contract: what its messages mean, and exactly what is answered.
//!
//! The runner is `adapters::cases`; here only files are read. A new case is a new file and its entry, no Rust;
//! contracts/README.md says how `cases/` is laid out. All failing cases are told at once. A file in `cases/` that no case
//! names fails too. With `DIRECTLINK_REWRITE_GOLDEN=1` the files are rewritten with what the engine says, to be reviewed
//! like code; nothing but a person sets it.
#![expect(
    clippy::disallowed_methods,
    reason = "the cases are files; the crate under test still reads none"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use adapters::{
    Contract, Mode,
    cases::{self, Files},
};
use proto::v1::envelope::Body;

const BANKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/banks");

#[test]
fn every_golden_case_of_every_contract_holds() {
    let (mut failures, mut cases) = (Vec::new(), 0);
    for folder in contracts() {
        let bank = folder.strip_prefix(BANKS).unwrap_or(&folder).display();
        match compiled(&folder) {
            Ok(contract) => {
                let files = case_files(&folder.join("cases"));
                let report = cases::run(&contract, &files);
                cases += report.cases;
                if env::var_os("DIRECTLINK_REWRITE_GOLDEN").is_some() {
                    rewrite(&folder.join("cases"), &report.golden);
                }
                let told =
                    |failure: &cases::Failure| format!("{bank} {}: {}", failure.case, failure.why);
                failures.extend(report.failures.iter().map(told));
            }
            Err(why) => failures.push(format!("{bank}: {why}")),
        }
    }
    assert!(cases > 0, "no case was found under contracts/banks");
    let told = failures.join("\n\n");
    assert!(failures.is_empty(), "{} complaints over {cases} cases:\n\n{told}\n", failures.len());
}

/// A notice, and an entry of a feed, name the filing as its bank did, by its key alone.
#[test]
fn what_a_key_was_built_from_is_found_again() {
    let mut found = 0;
    for folder in contracts() {
        let contract = compiled(&folder).unwrap();
        for (file, bytes) in case_files(&folder.join("cases")) {
            let Ok(decoded) = contract.decode(&bytes, Mode::Test) else { continue };
            let exchange = decoded.envelope.exchange.clone().unwrap_or_default();
            if let Some(Body::Application(application)) = decoded.envelope.body {
                let original = contract.original_of(&application.idempotency_key).unwrap();
                assert_eq!(original.serial, exchange.serial, "{file} in {}", folder.display());
                assert_eq!(contract.key_of(&original).unwrap(), application.idempotency_key);
                found += 1;
            }
        }
    }
    assert!(found > 20, "{found}");
}

fn compiled(folder: &Path) -> Result<Contract, String> {
    let mut texts = BTreeMap::new();
    for path in entries(folder).into_iter().filter(|path| path.is_file()) {
        texts.insert(name(&path), fs::read_to_string(&path).unwrap());
    }
    let contract = Contract::compile(&texts).map_err(|complaints| {
        let told = |c: &adapters::Complaint| {
            let line = texts.get(&c.file).and_then(|text| text.get(..c.span.start));
            format!("{}:{}: {}", c.file, line.map_or(0, |text| text.lines().count()), c.message)
        };
        format!("was refused:\n  {}", complaints.iter().map(told).collect::<Vec<_>>().join("\n  "))
    })?;
    if !contract.needs_keys() {
        return Ok(contract);
    }
    // Test keys: the case files hold signatures of both sides.
    let key = |side: &str| {
        fs::read_to_string(folder.join(format!("cases/keys/test-{side}.key.pem"))).unwrap()
    };
    contract.with_keys(&key("bank"), &key("gateway")).map_err(|error| error.to_string())
}

/// Every contract's folder: a bank's own, or, where it has several versions, the one of each.
fn contracts() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for bank in entries(Path::new(BANKS)).into_iter().filter(|path| path.is_dir()) {
        let mut versions = entries(&bank);
        versions.retain(|folder| folder.join("contract.toml").is_file());
        found.extend(if versions.is_empty() { vec![bank] } else { versions });
    }
    found
}

fn case_files(folder: &Path) -> Files {
    let mut files = Files::new();
    for (inside, path) in ["", "samples/", "bad/"]
        .into_iter()
        .flat_map(|inside| {
            entries(&folder.join(inside)).into_iter().map(move |path| (inside, path))
        })
        .filter(|(_, path)| path.is_file())
    {
        files.insert(format!("{inside}{}", name(&path)), fs::read(&path).unwrap());
    }
    files
}

fn rewrite(folder: &Path, golden: &Files) {
    for (name, bytes) in golden {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

fn entries(of: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(of)
        .unwrap_or_else(|error| panic!("{}: {error}", of.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
