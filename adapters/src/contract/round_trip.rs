//! Invertible: whatever a message of any contract in the tree can carry is read back as it was
//! written.
//!
//! The values are made up as `contract fake` makes them, from the template's own holes and from the rules of the canonical
//! model, so that a new contract and a new field are tried without a line here; only what is filled in is worse. Source:
//! docs/contract-language.md.

#![expect(
    clippy::disallowed_methods,
    reason = "the contracts are files; what is tested still reads none"
)]

use std::{collections::BTreeMap, fs, path::Path as FilePath};

use proptest::prelude::*;
use prost_reflect::FieldDescriptor;

use super::{Contract, Mode, Reply};
use crate::fake::{Dice, Maker, Manner};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(seed in any::<u64>()) {
        for (bank, contract) in CONTRACTS.iter() {
            for kind in contract.messages.iter().filter(|kind| kind.request.is_some()) {
                let Some(template) = kind.template(Reply::Request) else { continue };
                let made = Maker::new(template, Dice::new(seed, 0), None, AWKWARD);
                let envelope = made.envelope(contract);
                let envelope = envelope.unwrap_or_else(|why| panic!("{bank} {}: {why:?}", kind.name));
                let bytes = contract.encode(Some(&kind.name), Reply::Request, &envelope);
                let bytes = bytes.unwrap_or_else(|why| panic!("{bank} {}: {why:?}\n{envelope:#?}", kind.name));
                let decoded = contract.decode(&bytes, Mode::Test);
                let decoded = decoded.unwrap_or_else(|why| panic!("{bank} {}: {why:?}\n{envelope:#?}", kind.name));
                prop_assert_eq!(&decoded.message, &kind.name);
                prop_assert_eq!(&decoded.envelope, &envelope);
                let again = contract.encode(Some(&kind.name), Reply::Request, &decoded.envelope);
                prop_assert_eq!(again.ok(), Some(bytes));
            }
        }
    }
}

static CONTRACTS: std::sync::LazyLock<Vec<(String, Contract)>> = std::sync::LazyLock::new(|| {
    let banks = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    fs::read_dir(banks).unwrap().map(|bank| contract(&bank.unwrap().path())).collect()
});

fn contract(folder: &FilePath) -> (String, Contract) {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    let name = |path: &FilePath| path.file_name().unwrap().to_string_lossy().into_owned();
    let files: BTreeMap<String, String> =
        files.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect();
    let contract = Contract::compile(&files).unwrap();
    if !contract.needs_keys() {
        return (name(folder), contract);
    }
    let key = |side: &str| {
        fs::read_to_string(folder.join(format!("cases/keys/test-{side}.key.pem"))).unwrap()
    };
    (name(folder), contract.with_keys(&key("bank"), &key("gateway")).unwrap())
}

/// Values that nobody fills in and every contract must carry: what XML, JSON and the separators of leaves have a meaning for,
/// characters beyond the basic plane, amounts of any size.
const AWKWARD: Manner = Manner { words, amount, left_out: 2, more: 2 };

fn words(dice: &mut Dice, field: &FieldDescriptor) -> String {
    const CHARACTERS: [char; 24] = [
        '甄', '𠮷', '䶮', '歐', '（', 'a', 'Z', '0', '9', '<', '>', '&', '"', '\'', '\\', '/', '{',
        '-', ',', '；', '|', ']', ' ', '\n',
    ];
    // What a key is built of.
    if field.parent_message().name() == "Exchange" {
        return format!("S{}", dice.digits(5));
    }
    let inner: String = (0..dice.count(0, 11)).map(|_| *dice.one(&CHARACTERS).unwrap()).collect();
    format!("甲{inner}乙")
}

fn amount(dice: &mut Dice) -> i64 {
    dice.number(1, 1 << 20) * dice.number(1, 1 << 20)
}
