//! A key used for something else is answered in the bank's words: for every bank's contract, where the fields that differ
//! stand in its own message; of the banks that data/conflict_words.toml names, the very places. How it is told is in
//! scenarios/key_reused.toml.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use conformance_tests::samples::{Samples, contract};
use gateway::fingerprint;
use proto::v1::{Application, application::Matter, envelope::Body};

#[test]
fn every_bank_is_told_where_in_its_own_message_a_conflict_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("data/conflict_words.toml");
    let expected: BTreeMap<String, BTreeMap<String, String>> =
        toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut seen = BTreeMap::new();
    for bank in fs::read_dir(root.join("../contracts/banks")).unwrap() {
        let folder = bank.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if !folder.join("cases/samples/first_general.canonical.json").exists() {
            continue;
        }
        let contract = contract(&folder).unwrap();
        let samples = Samples::of(&folder).unwrap();
        let sent = samples.request("first_general").unwrap();
        let decoded = contract.decode(&sent, adapters::Mode::Test).unwrap();
        let Some(Body::Application(application)) = decoded.envelope.body else {
            unreachable!("the sample files something")
        };
        let may_change = contract.retry_may_change();
        let earlier = fingerprint::fingerprint(&changed(&application), may_change);
        let fields = fingerprint::differing(&application, may_change, &earlier);
        let places = contract.locate(&sent, adapters::Mode::Test, &fields);
        let told = fields.into_iter().zip(places).map(|(field, (place, _))| (field, place));
        seen.insert(name, told.collect::<BTreeMap<_, _>>());
    }
    for (bank, told) in &seen {
        assert_eq!(told.len(), 3, "{bank}: {told:?}");
        let places: BTreeSet<_> = told.values().collect();
        assert_eq!(places.len(), 3, "{bank}: two fields at one place: {told:?}");
    }
    for (bank, places) in &expected {
        assert_eq!(seen.get(bank), Some(places), "{bank}");
    }
}

/// The same filing with three things changed.
fn changed(application: &Application) -> Application {
    let mut other = application.clone();
    let Some(Matter::MortgageRegistration(matter)) = &mut other.matter else {
        unreachable!("the sample registers a mortgage")
    };
    matter.secured_amount_fen = Some(1);
    "2199-12-31".clone_into(&mut matter.debt_to);
    "另一人".clone_into(&mut matter.mortgagors[0].name);
    other
}
