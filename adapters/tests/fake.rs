//! Made-up messages: every message of every contract in the tree can be made, from any seed, and is read back.
#![expect(
    clippy::disallowed_methods,
    reason = "the contracts are files; the crate under test still reads none"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, path::Path};

use adapters::{Contract, Mode, Reply};

const BANKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/banks");
const SEEDS: u64 = 60;

#[test]
fn every_message_of_every_contract_can_be_made_and_is_read_back() {
    for folder in fs::read_dir(BANKS).unwrap().map(|entry| entry.unwrap().path()) {
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
                    .fake(&message, seed)
                    .unwrap_or_else(|why| panic!("{bank} {message} seed {seed}: {why:?}"));
                let decoded = contract.decode(&bytes, Mode::Test).unwrap();
                assert_eq!(decoded.message, message, "{bank} seed {seed}");
                assert_eq!(contract.fake(&message, seed).unwrap(), bytes, "one seed, one message");
                made.push(bytes);
            }
            made.sort();
            made.dedup();
            assert!(made.len() > 50, "{bank} {message}: seeds give the same message");
        }
    }
}

#[test]
fn what_a_bank_does_not_send_is_not_made() {
    let (_, contract) = contract(&fs::read_dir(BANKS).unwrap().next().unwrap().unwrap().path());
    assert!(contract.fake("nothing", 1).unwrap_err().reason.contains("`nothing`"));
}

fn contract(folder: &Path) -> (String, Contract) {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let texts: BTreeMap<String, String> = files
        .filter(|path| path.is_file())
        .map(|path| (name(&path), fs::read_to_string(&path).unwrap()))
        .collect();
    (name(folder), Contract::compile(&texts).unwrap())
}
