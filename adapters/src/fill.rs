//! Writing: a canonical message into a template's form. The layout of the template (line breaks,
//! indentation) is not written; its order is.
//!
//! What cannot be read back as it was is refused: a value with a separator inside, a text that
//! reads as unset, a character XML cannot hold, in a request a set field that nothing wrote. Never
//! something near it.

use std::{borrow::Cow, collections::HashSet};

use prost_reflect::{DynamicMessage, Kind as FieldKind, Value};

use crate::{
    codec::Codec,
    contract::CannotWrite,
    path::{self, Path, Scope, Start},
    template::{Each, Embed, Form, Hole, Leaf, Piece, Slot, Template, Unset, When},
    tree::{
        Kind, json,
        xml::{self, NotXml},
    },
    unify::cut,
    wire::Media,
};

type Write<T> = Result<T, CannotWrite>;

/// What the paths beginning with a dot are read from.
#[derive(Debug, Clone, Copy)]
enum Item<'w> {
    None,
    Message(&'w DynamicMessage),
    Scalar(&'w Value),
}

/// Where writing stands: the item, how it is told, and which parent of a grouped list it stands
/// under.
#[derive(Debug, Clone)]
struct At<'w> {
    item: Item<'w>,
    prefix: String,
    parent: Option<usize>,
}

/// Writes one document.
pub(crate) struct Writer<'w> {
    template: &'w Template,
    homes: Vec<Option<&'w DynamicMessage>>,
    /// The fields written, as they are told; only where a field left behind is refused.
    written: Option<HashSet<String>>,
    /// Whether what is written must read back as it was.
    exact: bool,
}

/// Writes an answer or a notice, without declaration. It is not read back by us, so moments are
/// told as a clock shows them.
pub(crate) fn write(template: &Template, envelope: &DynamicMessage) -> Write<String> {
    Writer { exact: false, ..Writer::new(template, envelope) }.document()
}

/// Writes a request: a set field that nothing wrote is refused.
pub(crate) fn write_request(template: &Template, envelope: &DynamicMessage) -> Write<String> {
    let mut writer = Writer { written: Some(HashSet::new()), ..Writer::new(template, envelope) };
    let text = writer.document()?;
    match writer.left_behind(envelope, "") {
        None => Ok(text),
        Some(field) => Err(CannotWrite {
            field,
            reason: "CANNOT_CARRY: the message has no place for it".to_owned(),
        }),
    }
}

/// Writes a leaf that stands in no document, as the idempotency key does.
pub(crate) fn write_leaf(
    template: &Template,
    leaf: &Leaf,
    envelope: &DynamicMessage,
) -> Write<String> {
    let mut writer = Writer::new(template, envelope);
    Ok(writer.leaf(leaf, &At::root())?.text.unwrap_or_default())
}

/// What a leaf says, where its paths with a dot start at `item`; `None` if nothing in it is set. To be shown, not sent.
pub(crate) fn show_leaf(
    template: &Template,
    leaf: &Leaf,
    envelope: &DynamicMessage,
    item: Option<&Value>,
) -> Option<String> {
    let mut writer = Writer { exact: false, ..Writer::new(template, envelope) };
    let item = match item {
        None => Item::None,
        Some(Value::Message(message)) => Item::Message(message),
        Some(value) => Item::Scalar(value),
    };
    let text = writer.leaf(leaf, &At { item, ..At::root() }).ok()?;
    text.text.filter(|_| text.set)
}

/// Whether a text would be read as an unset field.
fn stands_for_unset(hole: &Hole, text: &str) -> bool {
    matches!(&hole.unset, Unset::Text(unset) if **unset == *text)
}

/// The text of a leaf, if it stands at all, and whether a field in it is set.
struct Text {
    text: Option<String>,
    set: bool,
}

impl At<'_> {
    fn root() -> Self {
        Self { item: Item::None, prefix: String::new(), parent: None }
    }
}

impl<'w> Writer<'w> {
    fn new(template: &'w Template, envelope: &'w DynamicMessage) -> Self {
        let home = |chain: &[prost_reflect::FieldDescriptor]| {
            chain
                .iter()
                .try_fold(envelope, |message, field| path::set_value(message, field)?.as_message())
        };
        let homes = template.homes.iter().map(|(_, known)| home(&known.chain)).collect();
        Self { template, homes, written: None, exact: true }
    }

    fn document(&mut self) -> Write<String> {
        let (root, at) = (&self.template.root, At::root());
        if let Some(condition) = self.broken(root.when(), &at) {
            let reason = "CANNOT_CARRY: this kind of message says another value".to_owned();
            return Err(CannotWrite { field: condition.path.text.to_string(), reason });
        }
        let mut out = String::with_capacity(1024);
        let mut first = true;
        self.node(root, &at, &mut out, &mut first)?;
        Ok(out)
    }

    /// Writes what a slot stands for, if anything; tells whether something set was written. `first`
    /// is whether nothing stands before it in its object or array.
    fn slot(
        &mut self,
        slot: &'w Slot,
        at: &At<'w>,
        out: &mut String,
        first: &mut bool,
    ) -> Write<bool> {
        if slot.ignored {
            return Ok(false);
        }
        if let Some(each) = slot.each() {
            return self.items(slot, each, at, out, first);
        }
        let mut at = at.clone();
        if let Some(maybe) = slot.maybe() {
            let Some(value) = self.value(&maybe.path, &at, 0) else { return Ok(false) };
            if let (Some(Scope::Message(_)), Value::Message(inner)) = (&maybe.scope, value) {
                at = At {
                    prefix: maybe.path.told(&at.prefix, None),
                    item: Item::Message(inner),
                    ..at
                };
            } else if value.as_list().is_some_and(<[Value]>::is_empty) {
                return Ok(false);
            }
        }
        if self.broken(slot.when(), &at).is_some() {
            return Ok(false);
        }
        if slot.maybe().is_some() {
            self.wrote(|| at.prefix.clone());
        }
        let set = self.node(slot, &at, out, first)?;
        Ok(set || slot.maybe().is_some() || !slot.when().is_empty())
    }

    fn items(
        &mut self,
        slot: &'w Slot,
        each: &'w Each,
        at: &At<'w>,
        out: &mut String,
        first: &mut bool,
    ) -> Write<bool> {
        let Some(items) = self.value(&each.list, at, 0).and_then(Value::as_list) else {
            return Ok(false);
        };
        let list = each.list.told(&at.prefix, None);
        for (number, value) in items.iter().enumerate() {
            if !self.stands_under(each, value, at.parent) {
                continue;
            }
            let item = value.as_message().map_or(Item::Scalar(value), Item::Message);
            let at = At { item, prefix: format!("{list}[{number}]"), parent: Some(number) };
            self.wrote(|| at.prefix.clone());
            if let Some(by) = &each.by {
                self.wrote(|| format!("{}.{}", at.prefix, by.name()));
            }
            if self.broken(slot.when(), &at).is_none() {
                self.node(slot, &at, out, first)?;
            }
        }
        Ok(!items.is_empty())
    }

    /// Whether an item grouped under several parents stands under the one at hand.
    fn stands_under(&self, each: &Each, value: &Value, parent: Option<usize>) -> bool {
        let (Some(by), Some(parent), Some(message)) = (&each.by, parent, value.as_message()) else {
            return true;
        };
        let own = path::set_value(message, by).and_then(Value::as_list);
        own.is_none_or(|own| {
            own.iter().any(|number| {
                number.as_i32().and_then(|number| usize::try_from(number).ok()) == Some(parent)
            })
        })
    }

    /// The first condition that does not hold; those that hold count as written.
    fn broken(&mut self, when: &'w [When], at: &At<'w>) -> Option<&'w When> {
        for condition in when {
            if self.value(&condition.path, at, 0) != Some(&condition.value) {
                return Some(condition);
            }
            self.wrote(|| condition.path.told(&at.prefix, None));
        }
        None
    }

    fn node(
        &mut self,
        slot: &'w Slot,
        at: &At<'w>,
        out: &mut String,
        first: &mut bool,
    ) -> Write<bool> {
        let (start, was_first) = (out.len(), *first);
        let wrote = match slot.form {
            Form::Element => self.element(slot, at, out)?,
            Form::Attribute => self.attribute(slot, at, out)?,
            Form::Object | Form::Array | Form::Row | Form::Scalar => {
                self.json(slot, at, out, first)?
            }
        };
        if !wrote && slot.left_out {
            out.truncate(start);
            *first = was_first;
        }
        Ok(wrote)
    }

    fn element(&mut self, slot: &'w Slot, at: &At<'w>, out: &mut String) -> Write<bool> {
        let (name, mut set, mut first) = (&slot.name.written, false, true);
        out.push('<');
        out.push_str(name);
        for (declared, uri) in slot.declares() {
            attribute(declared, uri, out).map_err(|why| not_xml(None, at, why))?;
        }
        let (attributes, inside): (Vec<&Slot>, Vec<&Slot>) =
            slot.children.iter().partition(|child| child.form == Form::Attribute);
        for child in attributes {
            set |= self.slot(child, at, out, &mut first)?;
        }
        if slot.leaf.is_none() && slot.embed().is_none() && inside.is_empty() {
            // The sample shows nothing inside, so nothing ever will be.
            out.push_str("/>");
            return Ok(set);
        }
        out.push('>');
        if let Some(leaf) = &slot.leaf {
            let text = self.leaf(leaf, at)?;
            set |= text.set;
            xml::escape_text(&text.text.unwrap_or_default(), out)
                .map_err(|why| not_xml(Some(leaf), at, why))?;
        }
        if let Some(embed) = slot.embed() {
            let (text, wrote) = self.embedded(embed, at)?;
            set |= wrote;
            let write = if embed.cdata { xml::cdata } else { xml::escape_text };
            write(&text, out).map_err(|why| not_xml(None, at, why))?;
        }
        for child in inside {
            set |= self.slot(child, at, out, &mut first)?;
        }
        out.push_str("</");
        out.push_str(name);
        out.push('>');
        Ok(set)
    }

    fn attribute(&mut self, slot: &'w Slot, at: &At<'w>, out: &mut String) -> Write<bool> {
        let text = match (&slot.leaf, slot.embed()) {
            (Some(leaf), _) => self.leaf(leaf, at)?,
            (None, Some(embed)) => {
                self.embedded(embed, at).map(|(text, set)| Text { text: Some(text), set })?
            }
            (None, None) => Text { text: Some(String::new()), set: false },
        };
        if let Some(value) = &text.text {
            attribute(&slot.name.written, value, out)
                .map_err(|why| not_xml(slot.leaf.as_ref(), at, why))?;
        }
        Ok(text.set)
    }

    fn json(
        &mut self,
        slot: &'w Slot,
        at: &At<'w>,
        out: &mut String,
        first: &mut bool,
    ) -> Write<bool> {
        let text = match (&slot.leaf, slot.embed()) {
            (Some(leaf), _) => Some((self.leaf(leaf, at)?, leaf.bare)),
            (None, Some(embed)) => {
                let (text, set) = self.embedded(embed, at)?;
                Some((Text { text: Some(text), set }, false))
            }
            (None, None) => None,
        };
        if matches!(&text, Some((Text { text: None, .. }, _))) {
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            out.push(',');
        }
        if !slot.name.written.is_empty() {
            json::quote(&slot.name.written, out);
            out.push(':');
        }
        match text {
            Some((text, bare)) => {
                let value = text.text.unwrap_or_default();
                if bare {
                    out.push_str(&bare_value(value)?)
                } else {
                    json::quote(&value, out)
                }
                Ok(text.set)
            }
            None => self.brackets(slot, at, out),
        }
    }

    fn brackets(&mut self, slot: &'w Slot, at: &At<'w>, out: &mut String) -> Write<bool> {
        let (open, close) = if slot.form == Form::Object { ('{', '}') } else { ('[', ']') };
        let (mut set, mut first) = (false, true);
        out.push(open);
        for child in &slot.children {
            let before = out.len();
            set |= self.slot(child, at, out, &mut first)?;
            if slot.form == Form::Row && out.len() == before {
                // Scalars of an array go by position: an unset one keeps its place.
                out.push_str(if first { "null" } else { ",null" });
                first = false;
            }
        }
        out.push(close);
        Ok(set)
    }

    fn embedded(&mut self, embed: &'w Embed, at: &At<'w>) -> Write<(String, bool)> {
        let mut text = String::new();
        if embed.declared && embed.media == Media::Xml {
            text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        }
        let set = self.slot(&embed.root, at, &mut text, &mut true)?;
        Ok((text, set))
    }

    fn leaf(&mut self, leaf: &'w Leaf, at: &At<'w>) -> Write<Text> {
        let (mut text, mut set, alone) = (String::new(), false, leaf.pieces.len() == 1);
        for piece in &leaf.pieces {
            let hole = match piece {
                Piece::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Piece::Hole(hole) => hole,
            };
            let Some(piece) = self.hole(hole, at)? else {
                text.push_str(unset(hole, at)?);
                continue;
            };
            if !alone && cut::free(hole) && cut::forbids(leaf, &piece) {
                return Err(cannot(hole, at, "holds a separator of the leaf it stands in"));
            }
            set = true;
            text.push_str(&piece);
        }
        let absent = !set && leaf.is_left_out();
        Ok(Text { text: (!absent).then_some(text), set })
    }

    /// The text of a set field; `None` if it is unset.
    fn hole(&mut self, hole: &'w Hole, at: &At<'w>) -> Write<Option<String>> {
        let text = match hole.codec() {
            Codec::List { item, separator } if hole.path.column_list().is_some() => {
                self.column(hole, item, separator, at)?
            }
            Codec::Count => {
                let items = self
                    .value(&hole.path, at, 0)
                    .and_then(Value::as_list)
                    .map_or(0, <[Value]>::len);
                return Ok(Some(items.to_string()));
            }
            codec => match self.value(&hole.path, at, 0) {
                None => None,
                Some(value) => {
                    let text = self.coded(hole, codec, value, at)?;
                    self.wrote(|| hole.path.told(&at.prefix, None));
                    Some(text.into_owned())
                }
            },
        };
        match &text {
            Some(text) if text.trim().is_empty() || stands_for_unset(hole, text) => {
                Err(cannot(hole, at, "would be read as unset"))
            }
            _ => Ok(text),
        }
    }

    fn coded<'v>(
        &self,
        hole: &Hole,
        codec: &'v Codec,
        value: &'v Value,
        at: &At<'w>,
    ) -> Write<Cow<'v, str>> {
        let written = match self.exact {
            true => codec.write(value, &hole.path.field),
            false => codec.write_shown(value, &hole.path.field),
        };
        written.map_err(|reason| cannot(hole, at, &reason))
    }

    fn column(
        &mut self,
        hole: &'w Hole,
        codec: &'w Codec,
        separator: &str,
        at: &At<'w>,
    ) -> Write<Option<String>> {
        let Some((steps, field)) = hole.path.column_list() else { return Ok(None) };
        let list = Path {
            steps: steps.into(),
            field: field.clone(),
            pick: path::Pick::Whole,
            ..Path::clone(&hole.path)
        };
        let count = self.value(&list, at, 0).and_then(Value::as_list).map_or(0, <[Value]>::len);
        let mut pieces = Vec::with_capacity(count);
        let prefix = list.told(&at.prefix, None);
        let prefix = prefix.split_once("[]").map_or(prefix.as_str(), |(list, _)| list);
        for number in 0..count {
            self.wrote(|| format!("{prefix}[{number}]"));
            let Some(value) = self.value(&hole.path, at, number) else {
                pieces.push(unset(hole, at)?.to_owned());
                continue;
            };
            let piece = self.coded(hole, codec, value, at)?;
            if piece.contains(separator) {
                return Err(cannot(hole, at, "holds the separator of the column"));
            }
            self.wrote(|| hole.path.told(&at.prefix, Some(number)));
            pieces.push(piece.into_owned());
        }
        // A single unset piece is an empty text, which reads back as that piece.
        if count == 0 || pieces.iter().all(String::is_empty) && count == 1 {
            return Ok(None);
        }
        Ok(Some(pieces.join(separator)))
    }

    fn value(&self, path: &Path, at: &At<'w>, column: usize) -> Option<&'w Value> {
        let start = match (path.start, at.item) {
            (Start::Item, Item::Scalar(value)) => return path.itself.then_some(value),
            (Start::Item, Item::Message(message)) => message,
            (Start::Item, Item::None) => return None,
            (Start::Home(home), _) => (*self.homes.get(home)?)?,
        };
        path.value(start, column)
    }

    fn wrote(&mut self, told: impl FnOnce() -> String) {
        if let Some(written) = &mut self.written {
            written.insert(told());
        }
    }

    /// The first set field that was not written, as contracts write it.
    fn left_behind(&self, message: &DynamicMessage, before: &str) -> Option<String> {
        let fields = message.fields().filter(|(field, _)| !proto::rules::rule_of(field).by_gateway);
        for (field, value) in fields {
            let path = if before.is_empty() {
                field.name().to_owned()
            } else {
                format!("{before}.{}", field.name())
            };
            // The key is built from fields that are carried.
            if path == "application.idempotency_key" {
                continue;
            }
            let left = match value {
                Value::List(items) => items
                    .iter()
                    .enumerate()
                    .find_map(|(number, item)| self.left_item(item, &path, number)),
                Value::Message(inner) if !is_moment(&field.kind()) => {
                    // The matter and what holds it are there by the message's kind.
                    let is_lost = !before.is_empty() && self.is_lost(value, &path);
                    if is_lost { self.missed(&path) } else { self.left_behind(inner, &path) }
                }
                _ => self.missed(&path),
            };
            if left.is_some() {
                return left;
            }
        }
        None
    }

    fn left_item(&self, item: &Value, list: &str, number: usize) -> Option<String> {
        let path = format!("{list}[{number}]");
        match item {
            Value::Message(inner) if !self.is_lost(item, &path) => self.left_behind(inner, &path),
            Value::Message(_) => self.missed(&path),
            _ => self.missed(list).and_then(|_| self.missed(&path)),
        }
    }

    /// A message in which nothing is set is only carried by an element of its own.
    fn is_lost(&self, message: &Value, path: &str) -> bool {
        path::is_blank(message) && self.missed(path).is_some()
    }

    fn missed(&self, path: &str) -> Option<String> {
        let told = self.template.homes.told(path);
        let written = self.written.as_ref();
        (!written.is_some_and(|written| written.contains(&told))).then_some(told)
    }
}

fn is_moment(kind: &FieldKind) -> bool {
    matches!(kind, FieldKind::Message(message) if message.full_name() == "google.protobuf.Timestamp")
}

/// What stands for a hole's unset field.
fn unset<'h>(hole: &'h Hole, at: &At<'_>) -> Write<&'h str> {
    match &hole.unset {
        Unset::Refused => Err(cannot(hole, at, "must be set here")),
        Unset::Absent => Ok(""),
        Unset::Text(text) => Ok(text),
    }
}

fn cannot(hole: &Hole, at: &At<'_>, reason: &str) -> CannotWrite {
    CannotWrite { field: hole.path.told(&at.prefix, None), reason: reason.to_owned() }
}

/// A JSON value without quotes: nothing but a number, `true`, `false` or `null`.
fn bare_value(text: String) -> Write<String> {
    let is_bare = |kind: Kind| matches!(kind, Kind::Number | Kind::Bool | Kind::Null);
    let tree = json::parse(&text).ok();
    match tree.as_ref().and_then(|tree| tree.node(tree.root())).map(|node| node.kind) {
        Some(kind) if is_bare(kind) => Ok(text),
        _ => Err(CannotWrite {
            field: String::new(),
            reason: format!("`{text}` needs quotes in JSON"),
        }),
    }
}

fn attribute(name: &str, value: &str, out: &mut String) -> Result<(), NotXml> {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    xml::escape_attribute(value, out)?;
    out.push('"');
    Ok(())
}

/// A character that XML cannot hold, told of the field it stands in.
fn not_xml(leaf: Option<&Leaf>, at: &At<'_>, why: NotXml) -> CannotWrite {
    match leaf.and_then(|leaf| leaf.holes().next()) {
        Some(hole) => cannot(hole, at, &why.to_string()),
        None => CannotWrite { field: String::new(), reason: why.to_string() },
    }
}
