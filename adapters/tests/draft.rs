//! Drafts from samples, measured against the contracts that people wrote: how many leaves are placed rightly.
#![expect(
    clippy::disallowed_methods,
    reason = "contracts and samples are files; the crate under test still reads none"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use adapters::{
    Contract, Reply,
    cases::Sample as Case,
    draft::{Draft, Knowledge, MARK, Proposal, Sample, draft},
    explain::{Holds, explain},
};

const CONTRACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts");

/// Leaves placed rightly that a draft must reach, in a hundred.
const RIGHT_MIN: usize = 60;

#[test]
fn most_leaves_are_placed_rightly() {
    let mut told = String::new();
    let mut missed = false;
    for bank in ["yunshui", "fudeng", "baiping"] {
        let draft = drafted(bank);
        let real = real(bank);
        let (right, wrong): (Vec<&Proposal>, Vec<&Proposal>) =
            draft.leaves.iter().partition(|leaf| is_right(leaf, &real));
        let percent = right.len() * 100 / draft.leaves.len();
        missed |= percent < RIGHT_MIN;
        told.push_str(&format!("{bank}: {percent} % of {}\n", draft.leaves.len()));
        for leaf in wrong {
            told.push_str(&format!("  {} {} {:?}\n", leaf.file, leaf.place, leaf.field));
        }
    }
    assert!(!missed, "{told}");
    println!("{told}");
}

#[test]
fn no_draft_passes_the_check() {
    for bank in ["yunshui", "fudeng", "baiping"] {
        let complaints = Contract::compile(&drafted(bank).files).unwrap_err();
        let of_marks = complaints.iter().filter(|complaint| complaint.message.contains(MARK));
        assert!(of_marks.count() > 0, "{bank}: {complaints:?}");
        // Whatever else is wrong is told at the marks' own files, not hidden behind a document that cannot be read.
        assert!(complaints.iter().all(|complaint| !complaint.message.contains("is no document")));
    }
}

#[test]
fn what_is_undecided_is_told_as_such() {
    let complaints = Contract::compile(&drafted("yunshui").files).unwrap_err();
    assert!(
        complaints.iter().any(|it| it.message.starts_with(&format!("{MARK}: say which field")))
    );
    assert!(complaints.iter().all(|it| !it.message.contains("is no field")), "{complaints:?}");
}

#[test]
fn an_element_of_attributes_alone_has_no_text_to_place() {
    let bytes = br#"<a><loan contractNo="D-17" colour="red"/></a>"#;
    let samples = [Sample { file: "one", bytes }];
    let subject = Some("application.mortgage_registration");
    let draft = draft("x", subject, &samples, &knowledge()).unwrap();
    let places: Vec<_> = draft.leaves.iter().map(|leaf| leaf.place.as_str()).collect();
    assert_eq!(places, ["/a/loan/@contractNo", "/a/loan/@colour"]);
    assert!(draft.files.values().any(|file| file.contains("/>")), "{:?}", draft.files);
}

#[test]
fn what_is_no_document_is_told() {
    let samples = [Sample { file: "one", bytes: b"<a>" }];
    let told = draft("甲", None, &samples, &knowledge()).unwrap_err();
    assert!(told.starts_with("one: is no document"), "{told}");
}

fn knowledge() -> Knowledge {
    let read = |name: &str| fs::read_to_string(format!("{CONTRACTS}/standard/{name}")).unwrap();
    Knowledge::parse(&read("names.toml"), &read("codes.toml")).unwrap()
}

fn drafted(bank: &str) -> Draft {
    let cases = Path::new(CONTRACTS).join("banks").join(bank).join("cases");
    let index = fs::read(cases.join("samples.json")).unwrap();
    let index: Vec<Case> = serde_json::from_slice(&index).unwrap();
    let files: Vec<String> = index.into_iter().filter_map(|case| case.request).collect();
    let bytes: Vec<Vec<u8>> =
        files.iter().map(|file| fs::read(cases.join("samples").join(file)).unwrap()).collect();
    let samples: Vec<Sample<'_>> =
        files.iter().zip(&bytes).map(|(file, bytes)| Sample { file, bytes }).collect();
    draft(bank, None, &samples, &knowledge()).unwrap()
}

/// What stands where in the contract that a person wrote: fields, and `""` for a literal.
type Real = BTreeMap<String, BTreeSet<String>>;

fn real(bank: &str) -> Real {
    let folder = Path::new(CONTRACTS).join("banks").join(bank);
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let texts: BTreeMap<String, String> = files
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    let contract = Contract::compile(&texts).unwrap();
    let mut real = Real::new();
    for explained in explain(&contract, &[]) {
        if explained.direction != Reply::Request {
            continue;
        }
        for row in explained.rows {
            let field = match row.holds {
                Holds::Field(field) => field.path.trim_end_matches("[]").to_owned(),
                Holds::Literal(_) => String::new(),
                Holds::Ignored => continue,
            };
            let matter = explained.subject.clone().unwrap_or_default();
            real.entry(format!("{matter} {}", key(&row.place))).or_default().insert(field);
        }
    }
    real
}

fn is_right(leaf: &Proposal, real: &Real) -> bool {
    let Some(field) = &leaf.field else { return false };
    let of_code = field == "exchange.transaction_code";
    let matter = leaf.file.split(['.', '_']).next().unwrap();
    let at_place = real.iter().filter(|(place, _)| {
        place.contains(matter) && place.ends_with(&format!(" {}", key(&leaf.place)))
    });
    let field = field.trim_end_matches("[]");
    // A message's code is a literal, whether or not it is also bound.
    at_place.into_iter().any(|(_, fields)| fields.contains(field) || of_code && fields.contains(""))
}

/// A place without what tells siblings apart, but for the names that keyed elements have.
fn key(place: &str) -> String {
    let (mut key, mut rest) = (String::new(), place);
    while let Some((before, inside)) = rest.split_once('[') {
        key.push_str(before);
        let (inside, behind) = inside.split_once(']').unwrap();
        let named = inside.strip_prefix("@name='").and_then(|named| named.strip_suffix('\''));
        // Lists are told apart by what they hold.
        if let Some(named) = named.filter(|_| key.ends_with("/field")) {
            key.push_str(named);
        }
        rest = behind;
    }
    key.push_str(rest);
    key
}
