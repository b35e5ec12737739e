//! Any bytes, and any damage to a golden message, against every contract under `contracts/banks`: an answer or
//! faults in order, never a panic; what was understood can be written, and then means the same.
//!
//! The golden messages are read from the contracts' folders, so that a run without a corpus starts deep inside.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use adapters::{Contract, Mode, Reply};
use libfuzzer_sys::fuzz_target;

struct Bank {
    contract: Contract,
    messages: Vec<Vec<u8>>,
}

/// One place where a message is damaged: how far from its beginning, how many bytes go, what comes instead.
type Damage = (u16, u8, Vec<u8>);

fuzz_target!(|input: (u8, u8, bool, Vec<Damage>)| {
    let (bank, message, test, damage) = input;
    let banks = banks();
    let bank = &banks[usize::from(bank) % banks.len()];
    let none = Vec::new();
    let golden = match usize::from(message) % (bank.messages.len() + 1) {
        0 => &none,
        n => &bank.messages[n - 1],
    };
    let mut bytes = golden.clone();
    for (from, length, put) in damage.into_iter().take(8) {
        let from = usize::from(from).min(bytes.len());
        let to = (from + usize::from(length)).min(bytes.len());
        bytes.splice(from..to, put);
    }
    let mode = if test { Mode::Test } else { Mode::Production };
    match bank.contract.decode(&bytes, mode) {
        Ok(decoded) => {
            let written =
                bank.contract.encode(Some(&decoded.message), Reply::Request, &decoded.envelope);
            if let Ok(written) = written {
                let again = bank.contract.decode(&written, Mode::Test).unwrap();
                assert_eq!(again.envelope, decoded.envelope);
            }
        }
        Err(undecoded) => {
            assert!(!undecoded.faults.is_empty());
            assert!(undecoded.faults.iter().all(|fault| fault.offset <= bytes.len()));
            assert!(undecoded.faults.is_sorted_by_key(|fault| fault.offset));
        }
    }
});

fn banks() -> &'static [Bank] {
    static BANKS: OnceLock<Vec<Bank>> = OnceLock::new();
    BANKS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let mut folders: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort(); // A finding's input means the same bank next time.
        folders
            .iter()
            .filter(|folder| folder.join("contract.toml").exists())
            .map(|f| bank(f))
            .collect()
    })
}

fn bank(folder: &Path) -> Bank {
    let mut files = BTreeMap::new();
    for path in files_of(folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        files.insert(name, fs::read_to_string(&path).unwrap());
    }
    let golden = ["samples", "bad"].map(|kind| files_of(&folder.join("cases").join(kind)));
    let messages = golden.iter().flatten().filter_map(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        let request =
            name.contains(".request.") || name.contains(".ack.") || name.ends_with(".bytes");
        request.then(|| fs::read(path).unwrap())
    });
    let contract = Contract::compile(&files).unwrap();
    // Signed messages are refused before anything in them is read, so the keys are given.
    let key = |side| {
        fs::read_to_string(folder.join(format!("cases/keys/test-{side}.key.pem"))).unwrap()
    };
    let contract = match contract.needs_keys() {
        true => contract.with_keys(&key("bank"), &key("gateway")).unwrap(),
        false => contract,
    };
    Bank { contract, messages: messages.collect() }
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}
