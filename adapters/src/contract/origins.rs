//! Where each value of a message came from: for `directlink contract try` and `directlink evidence lineage`.

use std::ops::Range;

use serde_json::Value as Json;

use super::{Contract, Decoded, Mode, Place, Reply, dynamic, recorded_by};
use crate::{
    template::{Leaf, Slot, Template},
    unify::{Reader, Record, Stands},
    wire::Opened,
};

/// Where one value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The canonical field, from the envelope: `application.mortgage_registration.mortgagors[0].name`.
    pub path: String,
    /// The same as contracts write it: `matter.mortgagors[0].name`.
    pub field: String,
    /// The value, as the canonical JSON has it.
    pub value: Json,
    /// Where it stands; `None` if the kind of message says it, or the contract builds it.
    pub stands: Option<Stood>,
}

/// Where something stands in a message, and who reads it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stood {
    /// The canonical field, as contracts write it.
    pub field: String,
    /// Its place: XPath or JSON Pointer.
    pub place: String,
    /// Its first byte in the bytes as sent, as faults tell it.
    pub offset: usize,
    /// The bytes of its text, as sent: without quotes, escapes and all. Behind Base64 or gzip both ends are where the
    /// wrapped value begins.
    pub bytes: Range<usize>,
    /// The hole in the template that reads or wrote it; where that is a part, then each place that uses it, outwards.
    pub template: Vec<Place>,
}

impl Contract {
    /// Where each value of a message came from, in the order of the canonical JSON. `decoded` is what `bytes` were decoded
    /// as.
    pub fn origins(&self, bytes: &[u8], mode: Mode, decoded: &Decoded) -> Vec<Origin> {
        let origins = || {
            let opened = self.wire.open(bytes).ok()?;
            let document = self.document(&opened).ok()?;
            let (_, template) = self.entrance.choose(&document)?;
            let (_, record) = recorded_by(Record::whole, template, mode, &document)?;
            let canonical = proto::golden::write(&dynamic(&decoded.envelope).ok()?);
            let mut origins = Vec::new();
            leaves("", &canonical, &mut |path, value| {
                let field = template.homes.told(path);
                let stands = record.stands.iter().filter(|stands| stands.found.is_some());
                let stands = stands.into_iter().find(|stands| within(&field, &stands.field));
                let stands = stands.map(|at| self.stood(template, &opened, at));
                origins.push(Origin { path: path.to_owned(), field, value: value.clone(), stands });
            });
            Some(origins)
        };
        origins().unwrap_or_default()
    }

    /// Where each canonical field stands that an answer was written from, in the answer's order; and which of the message's
    /// answers it is. `message`: as for [`Contract::read_reply`]; `None` if it is no answer of the contract.
    pub fn reply_origins(
        &self,
        message: Option<&str>,
        bytes: &[u8],
    ) -> Option<(Reply, Vec<Stood>)> {
        let opened = self.wire.open_answer(bytes).ok()?;
        let document = self.document(&opened).ok()?;
        [Reply::Outcome, Reply::Refusal].into_iter().find_map(|reply| {
            let template = self.template(message, reply)?;
            Reader::read(template, Mode::Test, &document, None).ok()?;
            let (_, record) = recorded_by(Record::whole, template, Mode::Test, &document)?;
            let stands = record.stands.iter().filter(|stands| stands.text.is_some());
            let mut parts: Vec<_> = stands.map(|at| self.stood(template, &opened, at)).collect();
            parts.sort_by_key(|part| part.bytes.start);
            Some((reply, parts))
        })
    }

    /// The canonical fields that an answer of the contract has places for, in its order, and the hole of the template for
    /// each: of items of a list as `list[]`. None if there is no such answer.
    pub fn reply_holes(&self, message: &str, reply: Reply) -> Vec<(String, Vec<Place>)> {
        let Some(template) = self.template(Some(message), reply) else { return Vec::new() };
        let mut found = Vec::new();
        holes(&template.root, "", &mut |field, hole| {
            found.push((field, template.origins.places(hole)));
        });
        found
    }

    fn stood(&self, template: &Template, opened: &Opened<'_>, stands: &Stands) -> Stood {
        let offset = opened.sent_offset(stands.offset);
        let (bytes, template) = match &stands.text {
            Some((text, hole)) => (
                opened.sent_offset(text.start)..opened.sent_offset(text.end),
                template.origins.places(hole.clone()),
            ),
            None => (offset..offset, Vec::new()),
        };
        let (field, place) = (stands.field.clone(), self.wire.told(&stands.place));
        Stood { field, place, offset, bytes, template }
    }
}

fn holes(slot: &Slot, prefix: &str, see: &mut dyn FnMut(String, Range<usize>)) {
    let each = slot.each().map(|each| format!("{}[]", each.list.told(prefix, None)));
    let scoped = slot.maybe().filter(|maybe| maybe.scope.is_some());
    let inner = each.or_else(|| Some(scoped?.path.told(prefix, None)));
    let prefix = inner.as_deref().unwrap_or(prefix);
    for hole in slot.leaf.iter().flat_map(Leaf::holes) {
        see(hole.path.told(prefix, None), hole.span.range());
    }
    for child in slot.inside() {
        holes(child, prefix, see);
    }
}

/// The field itself, or the item of a list that stands in one leaf.
fn within(field: &str, stands: &str) -> bool {
    field.strip_prefix(stands).is_some_and(|rest| {
        rest.is_empty() || (rest.starts_with('[') && rest.ends_with(']') && !rest.contains('.'))
    })
}

fn leaves(path: &str, value: &Json, see: &mut dyn FnMut(&str, &Json)) {
    match value {
        Json::Object(members) => {
            for (name, inner) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, inner, see);
            }
        }
        Json::Array(items) => {
            for (number, inner) in items.iter().enumerate() {
                leaves(&format!("{path}[{number}]"), inner, see);
            }
        }
        _ => see(path, value),
    }
}
