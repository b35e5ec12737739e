//! What an application is, as digests: whether two are the same, in which fields they differ, and whether they are about
//! one loan.
//!
//! The digest covers every set leaf of the canonical application in its protobuf form, less what the gateway fills in
//! and what the contract lists as changing on a retry. Leaves are kept as short digests keyed with the whole, so that
//! a conflict can name fields and the ledger holds no value. Source: docs/domain.md, "Idempotency".
//!
//! Every filing passes here, so the schema is laid out once and a walk over the bytes allocates two buffers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hasher,
    ops::Range,
    sync::LazyLock,
};

use aws_lc_rs::digest::{self, SHA256};
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_varint, skip_field},
};
use prost_reflect::{Kind, MessageDescriptor};
use proto::{
    rules,
    v1::{Application, Property},
};
use siphasher::sip::SipHasher24;

use crate::{
    ledger::{Fingerprint, Guard, run::Run},
    matter,
};

/// Bytes of a leaf's digest (SipHash-2-4): enough to tell two values apart, too few to be worth guessing from.
const LEAF_DIGEST_BYTES: usize = 8;

/// The fingerprint of an application. `retry_may_change` holds contract paths (`matter.remarks`, `branch.operator_id`);
/// those that are no part of an application change nothing.
pub fn fingerprint(application: &Application, retry_may_change: &[String]) -> Fingerprint {
    let leaves = Leaves::of(application, retry_may_change);
    let mut digest = [0; 32];
    digest.copy_from_slice(digest::digest(&SHA256, &leaves.bytes).as_ref());
    Fingerprint { digest, leaves: leaves.packed(&digest) }
}

/// The contract paths of the fields in which `application` differs from what was fingerprinted earlier.
pub fn differing(
    application: &Application,
    retry_may_change: &[String],
    earlier: &Fingerprint,
) -> Vec<String> {
    let now = Leaves::of(application, retry_may_change).packed(&earlier.digest);
    let (now, before) = (unpack(&now), unpack(&earlier.leaves));
    let changed: BTreeSet<&Vec<u32>> =
        now.symmetric_difference(&before).map(|(path, _)| path).collect();
    changed.into_iter().filter_map(|path| named(path)).collect()
}

/// What an application asked for, as far as its digests let one tell.
#[derive(Debug)]
pub(crate) struct Asked<'f> {
    whole: &'f [u8; 32],
    leaves: BTreeMap<Vec<u32>, Vec<u8>>,
}

impl<'f> Asked<'f> {
    pub(crate) fn of(fingerprint: &'f Fingerprint) -> Self {
        let leaves = unpack(&fingerprint.leaves).into_iter().collect();
        Self { whole: &fingerprint.digest, leaves }
    }

    /// Where in the message a field of the matter stands; `None` where the matter has none of that name.
    pub(crate) fn field(&self, name: &str) -> Option<Field> {
        let (arm, matter) = self.matter()?;
        let field = matter.get_field_by_name(name)?;
        Some(Field { path: [arm, field.number()], of: field.kind().as_message().cloned() })
    }

    fn matter(&self) -> Option<(u32, MessageDescriptor)> {
        let application = proto::descriptors::message("Application")?;
        self.leaves.keys().find_map(|path| {
            let field = application.get_field(*path.first()?)?;
            let is_matter = field.containing_oneof().is_some_and(|oneof| oneof.name() == "matter");
            Some((field.number(), field.kind().as_message()?.clone())).filter(|_| is_matter)
        })
    }

    /// The positions that items of a list take.
    pub(crate) fn positions(&self, list: &Field) -> BTreeSet<u32> {
        let inside = self.leaves.keys().filter(|path| path.starts_with(&list.path));
        inside.filter_map(|path| path.get(2).copied()).collect()
    }

    /// Whether the item at that position holds this text in that field; `None` where nothing was asked there.
    pub(crate) fn holds(
        &self,
        list: &Field,
        position: u32,
        name: &str,
        text: &str,
    ) -> Option<bool> {
        let field = list.of.as_ref()?.get_field_by_name(name)?;
        let [arm, number] = list.path;
        self.is(&[arm, number, position, field.number()], text.as_bytes())
    }

    /// Whether a field of the matter is this number; `None` where nothing was asked there.
    pub(crate) fn is_number(&self, field: &Field, number: i64) -> Option<bool> {
        let mut value = Vec::with_capacity(10);
        encode_varint(number.cast_unsigned(), &mut value);
        self.is(&field.path, &value)
    }

    fn is(&self, path: &[u32], value: &[u8]) -> Option<bool> {
        let asked = self.leaves.get(path)?;
        let mut leaf = Leaves { bytes: Vec::with_capacity(64), spans: Vec::new() };
        leaf.add(path, value);
        let packed = leaf.packed(self.whole);
        Some(packed.ends_with(asked))
    }
}

/// A field of the matter of an application.
#[derive(Debug)]
pub(crate) struct Field {
    path: [u32; 2],
    of: Option<MessageDescriptor>,
}

/// What guards its loan against being filed twice: a digest for each name that a property can be recognised by, since it may
/// be named otherwise the next time, and with the contract's number as it is written and without its blanks. None if it
/// secures no new loan, or if the bank insists.
pub fn guards(application: &Application) -> Vec<Guard> {
    let Some(loan) = matter::loan(application).filter(|_| !application.insist()) else {
        return Vec::new();
    };
    let lenders: BTreeSet<&str> =
        loan.mortgagees.iter().map(|mortgagee| mortgagee.id_number.as_str()).collect();
    let add = |context: &mut digest::Context, text: &str| {
        context.update(&text.len().to_be_bytes());
        context.update(text.as_bytes());
    };
    let written = loan.contract_number.trim();
    let bare: String = written.split_whitespace().collect();
    let mut guards = BTreeSet::new();
    let run = Run::of(written);
    for number in BTreeSet::from([written, &bare]) {
        let mut common = digest::Context::new(&SHA256);
        add(&mut common, loan.stage.as_str_name());
        add(&mut common, number);
        lenders.iter().for_each(|lender| add(&mut common, lender));
        guards.extend(names(loan.properties).map(|name| {
            let mut context = common.clone();
            add(&mut context, name);
            Guard::of(context.finish().as_ref()).beside(run)
        }));
    }
    guards.into_iter().collect()
}

/// Where properties lie in the order of filings: a digest for each name that one of them bears, since another filing may
/// name the same home by another.
pub fn places(properties: &[Property]) -> Vec<Guard> {
    let places: BTreeSet<_> = names(properties)
        .map(|name| Guard::of(digest::digest(&SHA256, name.as_bytes()).as_ref()))
        .collect();
    places.into_iter().collect()
}

/// What properties are recognised by.
fn names(properties: &[Property]) -> impl Iterator<Item = &str> {
    let names = properties.iter().flat_map(|property| {
        let named = [&property.unit_code, &property.presale_contract_number];
        named.into_iter().chain(&property.title_numbers)
    });
    names.map(|name| name.trim()).filter(|name| !name.is_empty())
}

/// The set leaves of an application, one behind the other: how many steps its path has, the steps (field numbers, and
/// positions in lists), how long its value is, and the value; all numbers as varints, so that no two applications look
/// alike.
struct Leaves {
    bytes: Vec<u8>,
    /// Where each leaf's path stands, and where its value ends.
    spans: Vec<(Range<usize>, usize)>,
}

impl Leaves {
    fn of(application: &Application, retry_may_change: &[String]) -> Self {
        let encoded = application.encode_to_vec();
        let mut leaves =
            Self { bytes: Vec::with_capacity(encoded.len() * 2), spans: Vec::with_capacity(64) };
        leaves.walk(&encoded, 0, &mut Vec::with_capacity(8));
        if retry_may_change.iter().any(|path| !path.starts_with("exchange.")) {
            return leaves.without(retry_may_change);
        }
        leaves
    }

    /// Adds the leaves of one message. Our own encoder made its bytes, so anything unreadable ends the walk.
    fn walk(&mut self, mut bytes: &[u8], message: usize, path: &mut Vec<u32>) {
        let depth = path.len();
        let mut counted: (u32, u32) = (0, 0);
        while let Ok((number, wire)) = decode_key(&mut bytes) {
            let Some(value) = value_of(&mut bytes, number, wire) else { return };
            let Some(field) = SHAPES.field(message, number) else { continue };
            path.push(number);
            if field.is_list {
                counted = if counted.0 == number { (number, counted.1 + 1) } else { (number, 0) };
                path.push(counted.1);
            }
            match field.message {
                Some(inner) => self.walk(value, inner, path),
                None => self.add(path, value),
            }
            path.truncate(depth);
        }
    }

    fn add(&mut self, path: &[u32], value: &[u8]) {
        let start = self.bytes.len();
        self.count(path.len());
        path.iter().for_each(|step| encode_varint(u64::from(*step), &mut self.bytes));
        let path = start..self.bytes.len();
        self.count(value.len());
        self.bytes.extend_from_slice(value);
        self.spans.push((path, self.bytes.len()));
    }

    fn count(&mut self, number: usize) {
        encode_varint(u64::try_from(number).unwrap_or(u64::MAX), &mut self.bytes);
    }

    fn without(&self, paths: &[String]) -> Self {
        let mut kept = Self { bytes: Vec::new(), spans: Vec::new() };
        for (path, end) in &self.spans {
            let steps = self.bytes.get(path.clone()).and_then(|mut bytes| steps_of(&mut bytes));
            let name = steps.and_then(|steps| named(&steps));
            if name.is_none_or(|name| !paths.contains(&name)) {
                let start = kept.bytes.len();
                kept.bytes.extend(self.bytes.get(path.start..*end).into_iter().flatten());
                kept.spans.push((start..start + path.len(), kept.bytes.len()));
            }
        }
        kept
    }

    /// Leaves as the ledger keeps them: of each the path and a digest keyed with that of the whole.
    fn packed(&self, whole: &[u8; 32]) -> Vec<u8> {
        let mut key = [0; 16];
        key.iter_mut().zip(whole).for_each(|(to, from)| *to = *from);
        let mut packed = Vec::with_capacity(self.spans.len() * 16);
        for (path, end) in &self.spans {
            let mut hasher = SipHasher24::new_with_key(&key);
            hasher.write(self.bytes.get(path.start..*end).unwrap_or_default());
            packed.extend_from_slice(self.bytes.get(path.clone()).unwrap_or_default());
            packed.extend_from_slice(&hasher.finish().to_be_bytes());
        }
        packed
    }
}

/// What the walk needs to know of the schema.
static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::of_an_application);

/// The messages an application is made of, itself first; of each its fields by number.
struct Shapes(Vec<Vec<Option<FieldShape>>>);

#[derive(Clone, Copy)]
struct FieldShape {
    is_list: bool,
    /// The message inside, if it is one of the model's own; moments count as leaves.
    message: Option<usize>,
}

impl Shapes {
    fn of_an_application() -> Self {
        let mut shapes = Self(Vec::new());
        if let Some(application) = proto::descriptors::message("Application") {
            shapes.add(&application, &mut HashMap::new());
        }
        shapes
    }

    fn add(&mut self, message: &MessageDescriptor, known: &mut HashMap<String, usize>) -> usize {
        if let Some(place) = known.get(message.full_name()) {
            return *place;
        }
        let place = self.0.len();
        known.insert(message.full_name().to_owned(), place);
        self.0.push(Vec::new());
        let mut fields = Vec::new();
        for field in message.fields().filter(|field| !rules::rule_of(field).by_gateway) {
            let inner = match field.kind() {
                Kind::Message(inner) if inner.package_name() == message.package_name() => {
                    Some(self.add(&inner, known))
                }
                _ => None,
            };
            let number = usize::try_from(field.number()).unwrap_or_default();
            fields.resize(fields.len().max(number + 1), None);
            if let Some(shape) = fields.get_mut(number) {
                *shape = Some(FieldShape { is_list: field.is_list(), message: inner });
            }
        }
        if let Some(shape) = self.0.get_mut(place) {
            *shape = fields;
        }
        place
    }

    fn field(&self, message: usize, number: u32) -> Option<FieldShape> {
        *self.0.get(message)?.get(usize::try_from(number).ok()?)?
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

fn unpack(mut packed: &[u8]) -> BTreeSet<(Vec<u32>, Vec<u8>)> {
    let mut leaves = BTreeSet::new();
    while let Some(leaf) = unpack_one(&mut packed) {
        leaves.insert(leaf);
    }
    leaves
}

fn unpack_one(packed: &mut &[u8]) -> Option<(Vec<u32>, Vec<u8>)> {
    let path = steps_of(packed)?;
    let (digest, rest) = packed.split_at_checked(LEAF_DIGEST_BYTES)?;
    *packed = rest;
    Some((path, digest.to_vec()))
}

fn steps_of(bytes: &mut &[u8]) -> Option<Vec<u32>> {
    let steps = decode_varint(bytes).ok()?;
    (0..steps).map(|_| u32::try_from(decode_varint(bytes).ok()?).ok()).collect()
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
    fn one_loan_is_guarded_whatever_else_differs_and_each_property_by_itself() {
        let property = |code: &str| Property { unit_code: code.into(), ..Property::default() };
        let loan = |contract: &str, homes: &[&str]| {
            let mut application = application();
            registration(&mut application).contract_number = contract.into();
            registration(&mut application).properties = homes.iter().map(|h| property(h)).collect();
            application
        };
        let first = loan("DY-1", &["A", "B"]);
        assert_eq!(guards(&first).len(), 2);
        let mut later = loan("DY-1", &["B", "B"]);
        registration(&mut later).secured_amount_fen = Some(9);
        assert_eq!(guards(&later).len(), 1);
        assert!(guards(&first).contains(&guards(&later)[0]));
        later.insist = Some(true);
        assert!(guards(&later).is_empty());

        // Named another way, and its number typed in otherwise.
        let mut by_all = loan("DY 1", &["A"]);
        registration(&mut by_all).properties[0].presale_contract_number = "YS-9".into();
        registration(&mut by_all).properties[0].title_numbers = vec!["T-1".into(), "T-2".into()];
        let named = [("YS-9", ""), ("", "T-2")].map(|(presale, title)| {
            let mut application = loan(" D Y1 ", &[""]);
            let home = &mut registration(&mut application).properties[0];
            home.presale_contract_number = presale.into();
            home.title_numbers = vec![title.into()];
            application
        });
        for other in &named {
            assert!(guards(other).iter().any(|guard| guards(&by_all).contains(guard)));
        }

        let mut others = vec![loan("DY-2", &["B"]), loan("DY-1", &["C"])];
        let mut lender = loan("DY-1", &["B"]);
        registration(&mut lender).mortgagees =
            vec![Party { id_number: "9114".into(), ..Party::default() }];
        let mut stage = loan("DY-1", &["B"]);
        registration(&mut stage).set_stage(proto::v1::MortgageStage::PresaleNotice);
        others.extend([lender, stage, loan("DY-1", &[""])]);
        for other in &others {
            assert!(guards(other).iter().all(|guard| !guards(&first).contains(guard)));
        }
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
