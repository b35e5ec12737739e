//! One damaged byte: whatever it breaks, the answer is a message or its faults, in order, and never
//! a panic.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the samples are files; the crate under test still reads none"
)]

use std::{collections::BTreeMap, fs, path::Path};

use adapters::{Contract, Mode};

const BANKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/banks");

#[test]
fn a_damaged_byte_gives_an_answer_or_faults() {
    let mut tried = 0;
    for bank in fs::read_dir(BANKS).unwrap() {
        let folder = bank.unwrap().path();
        let contract = contract(&folder);
        for sample in fs::read_dir(folder.join("cases/samples")).unwrap() {
            let path = sample.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.contains(".request.") || name.contains(".ack.") {
                tried += damage(&contract, &fs::read(&path).unwrap(), &name);
            }
        }
    }
    assert!(tried > 1000, "only {tried} messages were damaged");
}

/// Damages every few bytes, each in one of the ways that differ for a parser; neighbours in
/// different ones.
fn damage(contract: &Contract, good: &[u8], name: &str) -> usize {
    const REPLACEMENTS: [u8; 8] = [b'<', b'>', b'"', b'{', b'0', 0x00, 0xFF, b' '];
    let mut tried = 0;
    for (number, at) in (0..good.len()).step_by(5).enumerate() {
        let mut bytes = good.to_vec();
        match number % 10 {
            8 => drop(bytes.remove(at)),
            9 => bytes.truncate(at),
            way => bytes[at] = REPLACEMENTS[way],
        }
        let mode = if number % 2 == 0 { Mode::Test } else { Mode::Production };
        if let Err(undecoded) = contract.decode(&bytes, mode) {
            let faults = &undecoded.faults;
            assert!(!faults.is_empty(), "{name}: byte {at} damaged, refused without a fault");
            assert!(faults.is_sorted_by_key(|fault| fault.offset), "{name}: byte {at}: {faults:?}");
            let beyond = faults.iter().find(|fault| fault.offset > bytes.len());
            assert!(beyond.is_none(), "{name}: byte {at}: beyond the message: {beyond:?}");
        }
        tried += 1;
    }
    tried
}

fn contract(folder: &Path) -> Contract {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    let contract = Contract::compile(&files).unwrap();
    if !contract.needs_keys() {
        return contract;
    }
    let key = |side: &str| {
        fs::read_to_string(folder.join(format!("cases/keys/test-{side}.key.pem"))).unwrap()
    };
    contract.with_keys(&key("bank"), &key("gateway")).unwrap()
}
