//! Any sample with holes, in a contract of one message: refused with places that lie in it, or compiled; then whatever
//! can be made up for it is read back.

#![no_main]

use std::collections::BTreeMap;

use adapters::{Contract, Mode};
use libfuzzer_sys::fuzz_target;

const FILE: &str = "request";

fuzz_target!(|input: (bool, &str)| {
    let (is_json, template) = input;
    let (wire, reply) = match is_json {
        true => ("media = \"json\"\ncontent = \"application/json\"", r#"{"r":"{exchange.serial?=}"}"#),
        false => ("media = \"xml\"\ncontent = \"text/xml\"", "<r>{exchange.serial?=}</r>"),
    };
    let wire = wire.replace("content = ", "http.path = \"/\"\nhttp.content_type = ");
    let contract = format!(
        "bank = 'x'\nversion = '1'\nin_force = ['2026-01-01']\n[wire]\ncharset = 'UTF-8'\n{wire}\n\
         [key]\nbuild = '{{exchange.serial}}'\n[messages]\n\
         m = {{ subject = 'application.mortgage_registration', request = '{FILE}', reply = 'r', refusal = 'r' }}\n\
         [codes.kind]\nG = 'GENERAL'\nM = 'MAXIMUM'\n[codes.id]\n1 = 'RESIDENT_ID'\n9 = 'OTHER'\n"
    );
    let files = [("contract.toml", contract.as_str()), (FILE, template), ("r", reply)];
    let files: BTreeMap<String, String> =
        files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    match Contract::compile(&files) {
        Err(complaints) => {
            assert!(!complaints.is_empty());
            for complaint in complaints {
                let text = &files[&complaint.file];
                assert!(text.get(complaint.span.clone()).is_some(), "{complaint:?}");
            }
        }
        Ok(contract) => {
            for seed in 0..2 {
                if let Ok(bytes) = contract.fake("m", seed, None) {
                    let read = contract.decode(&bytes, Mode::Test);
                    assert!(read.is_ok(), "{}: {read:?}", String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
});
