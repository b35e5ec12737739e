//! What an application is, as digests: whether two are the same, and in which fields they differ.
//!
//! The digest covers every set leaf of the canonical application in its protobuf form, less what the gateway fills in
//! and what the contract lists as changing on a retry. Leaves are kept as short digests salted with the whole, so that
//! a conflict can name fields and the ledger holds no value. Source: docs/domain.md, "Idempotency".

use std::collections::BTreeSet;

use aws_lc_rs::digest::{self, SHA256};
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{Kind, MessageDescriptor};
use proto::{rules, v1::Application};

use crate::ledger::Fingerprint;

/// Bytes of a leaf's digest that are kept: enough to tell two values apart, too few to be worth guessing from.
const LEAF_DIGEST_BYTES: usize = 8;

/// One set leaf: its path in field numbers (and positions in lists), and its protobuf bytes.
struct Leaf<'b> {
    path: Vec<u32>,
    value: &'b [u8],
}

/// The fingerprint of an application. `retry_may_change` holds contract paths (`matter.remarks`, `branch.operator_id`);
/// those that are no part of an application change nothing.
pub fn fingerprint(application: &Application, retry_may_change: &[String]) -> Fingerprint {
    let bytes = application.encode_to_vec();
    let leaves = leaves(&bytes, retry_may_change);
    let mut whole = Vec::with_capacity(2 * bytes.len() + 32 * leaves.len());
    for leaf in &leaves {
        frame(leaf, &mut whole);
    }
    let digest = to_array(digest::digest(&SHA256, &whole).as_ref());
    Fingerprint { digest, leaves: pack(&leaves, &digest) }
}

/// The contract paths of the fields in which `application` differs from what was fingerprinted earlier.
pub fn differing(
    application: &Application,
    retry_may_change: &[String],
    earlier: &Fingerprint,
) -> Vec<String> {
    let bytes = application.encode_to_vec();
    let now = unpack(&pack(&leaves(&bytes, retry_may_change), &earlier.digest));
    let before = unpack(&earlier.leaves);
    let changed: BTreeSet<&Vec<u32>> =
        now.symmetric_difference(&before).map(|(path, _)| path).collect();
    changed.into_iter().filter_map(|path| named(path)).collect()
}

fn leaves<'b>(bytes: &'b [u8], retry_may_change: &[String]) -> Vec<Leaf<'b>> {
    let mut found = Vec::with_capacity(64);
    if let Some(descriptor) = proto::descriptors::message("Application") {
        walk(bytes, &descriptor, &mut Vec::new(), &mut found);
    }
    if retry_may_change.iter().any(|path| !path.starts_with("exchange.")) {
        found.retain(|leaf| named(&leaf.path).is_none_or(|name| !retry_may_change.contains(&name)));
    }
    found
}

/// Walks one message's protobuf bytes. Our own encoder made them, so anything unreadable ends the walk.
fn walk<'b>(
    mut bytes: &'b [u8],
    message: &MessageDescriptor,
    path: &mut Vec<u32>,
    found: &mut Vec<Leaf<'b>>,
) {
    let mut counted: (u32, u32) = (0, 0);
    while let Ok((number, wire)) = decode_key(&mut bytes) {
        let Some(field) = message.get_field(number) else { return };
        let Some(value) = value_of(&mut bytes, number, wire) else { return };
        if rules::rule_of(&field).by_gateway {
            continue;
        }
        path.push(number);
        if field.is_list() {
            counted = if counted.0 == number { (number, counted.1 + 1) } else { (number, 0) };
            path.push(counted.1);
        }
        match field.kind() {
            Kind::Message(inner) if inner.package_name() == message.package_name() => {
                walk(value, &inner, path, found);
            }
            _ => found.push(Leaf { path: path.clone(), value }),
        }
        path.truncate(path.len() - if field.is_list() { 2 } else { 1 });
    }
}

/// The bytes of one field's value, which are then behind `bytes`.
fn value_of<'b>(bytes: &mut &'b [u8], number: u32, wire: WireType) -> Option<&'b [u8]> {
    if wire == WireType::LengthDelimited {
        let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
        let (value, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        return Some(value);
    }
    let before = *bytes;
    skip_field(wire, number, bytes, DecodeContext::default()).ok()?;
    before.get(..before.len() - bytes.len())
}

/// Adds a leaf as bytes that no other leaf has: path and value each behind their length.
fn frame(leaf: &Leaf<'_>, bytes: &mut Vec<u8>) {
    bytes.extend(length_of(leaf.path.len()));
    leaf.path.iter().for_each(|step| bytes.extend(step.to_be_bytes()));
    bytes.extend(length_of(leaf.value.len()));
    bytes.extend(leaf.value);
}

fn length_of(length: usize) -> [u8; 8] {
    u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes()
}

/// Leaves as the ledger keeps them: per leaf the number of steps, the steps as varints, and the digest.
fn pack(leaves: &[Leaf<'_>], salt: &[u8; 32]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(leaves.len() * 16);
    let mut salted = salt.to_vec();
    for leaf in leaves {
        prost::encoding::encode_varint(
            u64::try_from(leaf.path.len()).unwrap_or(u64::MAX),
            &mut packed,
        );
        leaf.path
            .iter()
            .for_each(|step| prost::encoding::encode_varint(u64::from(*step), &mut packed));
        salted.truncate(salt.len());
        frame(leaf, &mut salted);
        let digest = digest::digest(&SHA256, &salted);
        packed.extend(digest.as_ref().iter().take(LEAF_DIGEST_BYTES));
    }
    packed
}

fn unpack(mut packed: &[u8]) -> BTreeSet<(Vec<u32>, Vec<u8>)> {
    let mut leaves = BTreeSet::new();
    while let Some(leaf) = unpack_one(&mut packed) {
        leaves.insert(leaf);
    }
    leaves
}

fn unpack_one(packed: &mut &[u8]) -> Option<(Vec<u32>, Vec<u8>)> {
    let steps = decode_varint(packed).ok()?;
    let path = (0..steps)
        .map(|_| u32::try_from(decode_varint(packed).ok()?).ok())
        .collect::<Option<Vec<_>>>()?;
    let (digest, rest) = packed.split_at_checked(LEAF_DIGEST_BYTES)?;
    *packed = rest;
    Some((path, digest.to_vec()))
}

/// A path of numbers in the contract's words: `matter.` for the chosen matter, names and positions after it.
fn named(path: &[u32]) -> Option<String> {
    let mut message = proto::descriptors::message("Application")?;
    let mut name = String::new();
    let mut steps = path.iter();
    while let Some(number) = steps.next() {
        let field = message.get_field(*number)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(match field.containing_oneof() {
            Some(oneof) if oneof.name() == "matter" => "matter",
            _ => field.name(),
        });
        if field.is_list() {
            name.push_str(&format!("[{}]", steps.next()?));
        }
        if let Kind::Message(inner) = field.kind() {
            message = inner;
        }
    }
    Some(name)
}

fn to_array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests {
    use proto::v1::{Branch, Institution, MortgageRegistration, Party, application::Matter};

    use super::*;

    fn application() -> Application {
        Application {
            idempotency_key: "S-1".into(),
            branch: Some(Branch {
                code: "01".into(),
                operator_id: "9".into(),
                ..Branch::default()
            }),
            matter: Some(Matter::MortgageRegistration(MortgageRegistration {
                secured_amount_fen: Some(100),
                mortgagors: vec![
                    Party { name: "甲".into(), ..Party::default() },
                    Party { name: "乙".into(), ..Party::default() },
                ],
                ..MortgageRegistration::default()
            })),
            ..Application::default()
        }
    }

    fn registration(application: &mut Application) -> &mut MortgageRegistration {
        match application.matter.as_mut().unwrap() {
            Matter::MortgageRegistration(registration) => registration,
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_same_application_has_the_same_fingerprint_whatever_the_gateway_filled_in() {
        let first = fingerprint(&application(), &[]);
        let mut again = application();
        again.institution = Some(Institution { id: "bank".into(), ..Institution::default() });
        assert_eq!(first, fingerprint(&again, &[]));
        assert!(differing(&again, &[], &first).is_empty());
    }

    #[test]
    fn a_conflict_names_the_fields_that_differ() {
        let first = fingerprint(&application(), &[]);
        let mut other = application();
        registration(&mut other).secured_amount_fen = Some(101);
        registration(&mut other).mortgagors[1].name = "丙".into();
        registration(&mut other).rank = Some(2);
        assert_ne!(first.digest, fingerprint(&other, &[]).digest);
        assert_eq!(
            differing(&other, &[], &first),
            ["matter.mortgagors[1].name", "matter.secured_amount_fen", "matter.rank"]
        );
    }

    #[test]
    fn what_may_change_on_a_retry_is_no_part_of_it() {
        let may_change = ["exchange.time".to_owned(), "branch.operator_id".to_owned()];
        let mut other = application();
        other.branch.as_mut().unwrap().operator_id = "10".into();
        assert_eq!(fingerprint(&application(), &may_change), fingerprint(&other, &may_change));
        assert_ne!(fingerprint(&application(), &[]), fingerprint(&other, &[]));
    }
}
