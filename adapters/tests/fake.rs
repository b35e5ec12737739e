//! Made-up messages: every message of every contract in the tree can be made, from any seed, and is read back.
#![expect(
    clippy::disallowed_methods,
    reason = "the contracts are files; the crate under test still reads none"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use adapters::{Contract, Mode, Reply};
use proto::DivisionCode;

const BANKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/banks");
const SEEDS: u64 = 25;

#[test]
fn every_message_of_every_contract_can_be_made_and_is_read_back() {
    for folder in folders() {
        let (bank, contract) = contract(&folder);
        let names: Vec<String> = contract.messages().map(|(name, _)| name.to_owned()).collect();
        for message in names {
            let sends = [Reply::Request, Reply::Ack];
            if !sends.iter().any(|reply| contract.can_write(Some(&message), *reply)) {
                continue;
            }
            let mut made = Vec::new();
            for seed in 0..SEEDS {
                let bytes = contract
                    .fake(&message, seed, None)
                    .unwrap_or_else(|why| panic!("{bank} {message} seed {seed}: {why:?}"));
                let decoded = contract.decode(&bytes, Mode::Test).unwrap();
                assert_eq!(decoded.message, message, "{bank} seed {seed}");
                assert_eq!(
                    contract.fake(&message, seed, None).unwrap(),
                    bytes,
                    "one seed, one message"
                );
                made.push(bytes);
            }
            made.sort();
            made.dedup();
            assert!(made.len() > 20, "{bank} {message}: seeds give the same message");
        }
    }
}

#[test]
fn properties_lie_where_they_are_wanted() {
    let division = DivisionCode::parse("140105").unwrap();
    let mut seen = 0;
    for folder in folders() {
        let (bank, contract) = contract(&folder);
        let messages: Vec<String> = contract.messages().map(|(name, _)| name.to_owned()).collect();
        for message in messages {
            let Ok(bytes) = contract.fake(&message, 1, Some(&division)) else { continue };
            let envelope = contract.decode(&bytes, Mode::Test).unwrap().envelope;
            let canonical = adapters::cases::canonical(&envelope).unwrap().to_string();
            for code in canonical.split("\"unit_code\":\"").skip(1) {
                assert!(code.starts_with("140105"), "{bank} {message}");
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

#[test]
fn what_a_bank_does_not_send_is_not_made() {
    let (_, contract) = contract(&folders().remove(0));
    assert!(contract.fake("nothing", 1, None).unwrap_err().reason.contains("`nothing`"));
}

fn contract(folder: &Path) -> (String, Contract) {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let texts: BTreeMap<String, String> = files
        .filter(|path| path.is_file())
        .map(|path| (name(&path), fs::read_to_string(&path).unwrap()))
        .collect();
    let contract = Contract::compile(&texts).unwrap();
    let key = |side: &str| {
        fs::read_to_string(folder.join(format!("cases/keys/test-{side}.key.pem"))).unwrap()
    };
    let contract = match contract.needs_keys() {
        true => contract.with_keys(&key("bank"), &key("gateway")).unwrap(),
        false => contract,
    };
    (name(folder), contract)
}

/// Every contract's folder: a bank's own, or, where it has several versions, the one of each.
fn folders() -> Vec<PathBuf> {
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    let versions = |bank: PathBuf| {
        let mut versions = inside(&bank);
        versions.retain(|folder| folder.join("contract.toml").is_file());
        if versions.is_empty() { vec![bank] } else { versions }
    };
    inside(Path::new(BANKS)).into_iter().flat_map(versions).collect()
}
