//! Reading: a parsed message against a template, straight into dynamic messages.
//!
//! The fast pass stops at the first trouble and tells nothing. Only then a second, recording pass
//! goes on past every fault and remembers where each field stands, so that a good message pays
//! nothing for good explanations. It is the same code: what differs is whether [`Reader::record`]
//! is there. Nothing here knows a clock or keeps state.

mod count;
pub(crate) mod cut;
pub(crate) mod document;
mod record;

use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

pub(crate) use self::record::{Record, Stands};
use self::{
    count::Count,
    document::{Document, Spot, Where},
};
use crate::{
    Mode,
    codec::Codec,
    explain,
    fault::FaultCode,
    path::{self, Path, Scope, Start},
    template::{
        Each, Form, Hole, Leaf, Maybe, Piece, Rivals, Slot, Template, Unset, When,
        rivals::{Mark, follow, text_of},
    },
    tree::{Kind, xml::XMLNS},
};

/// Places of unknown leaves that are told; each costs a look through the whole message.
const DROPPED_MAX: usize = 100;

/// The fast pass met trouble.
#[derive(Debug)]
pub(crate) struct Stop;

type Read = Result<(), Stop>;

/// What the paths beginning with a dot are read into.
enum Item<'m> {
    None,
    Message(&'m mut DynamicMessage),
    Scalar(&'m mut Option<Value>),
}

impl Item<'_> {
    fn again(&mut self) -> Item<'_> {
        match self {
            Self::None => Item::None,
            Self::Message(message) => Item::Message(message),
            Self::Scalar(value) => Item::Scalar(value),
        }
    }
}

/// What was read: the homes of the template's paths, as far as anything was said of them.
pub(crate) type Filled = Vec<Option<DynamicMessage>>;

/// One pass over one message.
pub(crate) struct Reader<'c> {
    template: &'c Template,
    mode: Mode,
    /// What has been read.
    pub(crate) filled: Filled,
    /// Places of unknown leaves, dropped in production.
    pub(crate) dropped: Vec<String>,
    /// Faults and places; only in the recording pass.
    pub(crate) record: Option<Record>,
    /// Told numbers of items, compared with the lists when their scope ends.
    counts: Vec<Count<'c>>,
    /// The `c:each` being read, outermost first, each with the number of the item at hand.
    eaches: Vec<(&'c Each, usize)>,
    /// The lists grouped under several parents, with the parents' list.
    grouped: Vec<(&'c Each, &'c Each)>,
    /// Whether a choice hung on a field that had not been read yet.
    undecided: bool,
    earlier: Option<Earlier>,
}

/// What an earlier reading of the same message found.
struct Earlier {
    filled: Filled,
    /// Fields that its faults speak for.
    tainted: Vec<String>,
}

impl<'c> Reader<'c> {
    /// Reads a whole message. `record` makes it the recording pass, which never stops.
    pub(crate) fn read<'d>(
        template: &'c Template,
        mode: Mode,
        document: &'d Document<'d>,
        record: Option<fn() -> Record>,
    ) -> Result<Self, Stop> {
        let mut reader = Self::new(template, mode, record, None);
        reader.message(document)?;
        if reader.undecided {
            // The deciding field stands behind what it decides: now it is known.
            let tainted = reader.record.map(|record| record.tainted).unwrap_or_default();
            let earlier = Some(Earlier { filled: reader.filled, tainted });
            reader = Self::new(template, mode, record, earlier);
            reader.message(document)?;
        }
        Ok(reader)
    }

    fn new(
        template: &'c Template,
        mode: Mode,
        record: Option<fn() -> Record>,
        earlier: Option<Earlier>,
    ) -> Self {
        let mut filled = Vec::new();
        filled.resize_with(template.homes.len(), || None);
        Self {
            template,
            mode,
            filled,
            dropped: Vec::new(),
            record: record.map(|new| new()),
            counts: Vec::new(),
            eaches: Vec::new(),
            grouped: Vec::new(),
            undecided: false,
            earlier,
        }
    }

    fn message<'d>(&mut self, document: &'d Document<'d>) -> Read {
        let (root, spot) = (&self.template.root, document.root());
        self.bind(root.when(), spot, &mut Item::None)?;
        self.content(root, spot, Item::None)?;
        self.end_scope(root, 0, &mut Item::None)?;
        self.regroup();
        Ok(())
    }

    /// A node that a slot takes.
    fn stands(&mut self, slot: &'c Slot, spot: Spot<'_>, mut item: Item<'_>) -> Read {
        if slot.ignored {
            return Ok(());
        }
        let is_null = spot.node().is_some_and(|node| node.kind == Kind::Null);
        if is_null && slot.leaf.is_none() && !self.template.exact {
            return if slot.required {
                self.fault(FaultCode::ValueEmpty, Where::Value(spot), None, None)
            } else {
                Ok(())
            };
        }
        if let Some(each) = slot.each() {
            return self.item(slot, each, spot, item);
        }
        if let Some(Maybe { path, scope: Some(Scope::Message(message)) }) = slot.maybe() {
            let mut inner = DynamicMessage::new(message.clone());
            let around = self.enter(|prefix| path.told(prefix, None), spot);
            let counted = self.counts.len();
            self.bind(slot.when(), spot, &mut Item::Message(&mut inner))?;
            self.content(slot, spot, Item::Message(&mut inner))?;
            self.end_scope(slot, counted, &mut Item::Message(&mut inner))?;
            self.leave(around);
            return self.set(path, Value::Message(inner), 0, Where::Start(spot), &mut item);
        }
        self.bind(slot.when(), spot, &mut item)?;
        self.content(slot, spot, item)
    }

    /// One item of a list.
    fn item(&mut self, slot: &'c Slot, each: &'c Each, spot: Spot<'_>, mut item: Item<'_>) -> Read {
        let number = self.list(&each.list, &mut item).map_or(0, |list| list.len());
        let around =
            self.enter(|prefix| format!("{}[{number}]", each.list.told(prefix, None)), spot);
        let counted = self.counts.len();
        self.eaches.push((each, number));
        let value = match &each.scope {
            Scope::Message(message) => {
                let mut inner = DynamicMessage::new(message.clone());
                self.bind(slot.when(), spot, &mut Item::Message(&mut inner))?;
                self.content(slot, spot, Item::Message(&mut inner))?;
                self.end_scope(slot, counted, &mut Item::Message(&mut inner))?;
                Value::Message(inner)
            }
            Scope::Scalar(field) => {
                let mut inner = None;
                self.content(slot, spot, Item::Scalar(&mut inner))?;
                inner.unwrap_or_else(|| Value::default_value(&field.kind()))
            }
            Scope::Root => return Ok(()),
        };
        self.eaches.pop();
        self.leave(around);
        self.add(each, value, &mut item);
        Ok(())
    }

    /// Adds an item to its list, or a parent to an item that already stands there.
    fn add(&mut self, each: &'c Each, mut value: Value, item: &mut Item<'_>) {
        let parent = self.eaches.last().copied();
        if let (Some(by), Some((parents, number))) = (&each.by, parent) {
            if !self.grouped.iter().any(|(known, _)| std::ptr::eq(*known, each)) {
                self.grouped.push((each, parents));
            }
            let number = Value::I32(i32::try_from(number).unwrap_or(i32::MAX));
            if let Some(list) = self.list(&each.list, item)
                && let Some(known) =
                    list.iter_mut().find_map(|known| equal_but(known, &value, by).then_some(known))
            {
                push_index(known, by, number);
                return;
            }
            push_index(&mut value, by, number);
        }
        if let Some(list) = self.list(&each.list, item) {
            list.push(value);
        }
    }

    /// An item that stands under all parents lists none of them.
    fn regroup(&mut self) {
        for (each, parents) in std::mem::take(&mut self.grouped) {
            let mut nowhere = Item::None;
            let all = self.list(&parents.list, &mut nowhere).map_or(0, |list| list.len());
            let (Some(list), Some(by)) = (self.list(&each.list, &mut nowhere), &each.by) else {
                continue;
            };
            for message in list.iter_mut().filter_map(Value::as_message_mut) {
                if path::set_value(message, by)
                    .and_then(Value::as_list)
                    .is_some_and(|own| own.len() == all)
                {
                    message.clear_field(by);
                }
            }
        }
    }

    fn content(&mut self, slot: &'c Slot, spot: Spot<'_>, mut item: Item<'_>) -> Read {
        let Some(node) = spot.node() else { return Ok(()) };
        let fits = match slot.form {
            Form::Object => node.kind == Kind::Object,
            Form::Array | Form::Row => node.kind == Kind::Array,
            Form::Scalar if self.template.exact => is_as_shown(slot, node.kind),
            Form::Scalar => !matches!(node.kind, Kind::Object | Kind::Array),
            Form::Element | Form::Attribute => true,
        };
        if !fits {
            self.taint(slot);
            let hole = slot.leaf.as_ref().and_then(|leaf| leaf.holes().next());
            return self.fault(FaultCode::ValueKind, Where::Value(spot), hole, Some(""));
        }
        if let Some(embed) = slot.embed() {
            self.embedded(&embed.root, embed.media, spot, item.again())?;
        } else if let Some(leaf) = &slot.leaf {
            self.leaf(leaf, spot, &node.text, &mut item)?;
        } else if node.kind == Kind::Element && !node.text.trim().is_empty() {
            self.unknown(spot)?;
        }
        if slot.children.is_empty() && node.first_child.is_none() {
            Ok(())
        } else {
            self.inside(slot, spot, item)
        }
    }

    fn embedded(
        &mut self,
        root: &'c Slot,
        media: crate::wire::Media,
        spot: Spot<'_>,
        item: Item<'_>,
    ) -> Read {
        let document = match spot.embedded(media) {
            Ok(document) => document,
            Err(fault) => {
                self.taint(root);
                let template = self.template;
                return self
                    .told(fault.code, None, || spot.embedded_fault(&fault, &template.told_by));
            }
        };
        let spot = document.root();
        if spot.node().is_some_and(|node| root.form == Form::Element && !root.bears(node)) {
            self.taint(root);
            return self.fault(FaultCode::TagMissing, Where::Start(spot), None, None);
        }
        self.stands(root, spot, item)
    }

    /// Everything inside a node: each child goes to its slot, and each slot must have had its
    /// child.
    fn inside(&mut self, slot: &'c Slot, spot: Spot<'_>, mut item: Item<'_>) -> Read {
        let mut seen = vec![false; slot.children.len()];
        let mut next = 0;
        let in_embedded_leaf = slot.embed().is_some();
        for (number, (id, node)) in spot.children().enumerate() {
            if node.namespace.as_deref() == Some(XMLNS) {
                continue;
            }
            let at = spot.at(id);
            let rivals = match slot.form {
                Form::Row => slot.rivals.get(number),
                _ => find(slot, &mut next, |first| first.bears(node)),
            };
            let Some(rivals) = rivals.filter(|_| !in_embedded_leaf || node.kind == Kind::Attribute)
            else {
                self.unknown(at)?;
                continue;
            };
            let Some(chosen) = self.choose(slot, rivals, at, &mut item)? else { continue };
            let (Some(child), Some(seen)) = (slot.children.get(chosen), seen.get_mut(chosen))
            else {
                continue;
            };
            if std::mem::replace(seen, true) && child.each().is_none() && !child.ignored {
                let hole = first_hole(child);
                self.fault(FaultCode::TagRepeated, Where::Start(at), hole, None)?;
                continue;
            }
            self.stands(child, at, item.again())?;
        }
        for (child, seen) in slot.children.iter().zip(seen) {
            if !seen {
                self.absent(child, spot, &mut item)?;
            }
        }
        Ok(())
    }

    /// Which of the slots of one name a node is meant for; `None` if that was told as a fault, or
    /// cannot be said yet.
    fn choose(
        &mut self,
        slot: &'c Slot,
        rivals: &'c Rivals,
        spot: Spot<'_>,
        item: &mut Item<'_>,
    ) -> Result<Option<usize>, Stop> {
        if let [only] = rivals.slots() {
            return Ok(Some(*only));
        }
        let children = || {
            rivals.slots().iter().filter_map(|number| Some((*number, slot.children.get(*number)?)))
        };
        if let Some(way) = rivals.shared() {
            let shown = |text: &str| {
                children().find(|(_, child)| {
                    child.marks().first().and_then(Mark::text).is_some_and(|own| own == text)
                })
            };
            let found = follow(spot, way).and_then(text_of).and_then(shown);
            if let Some((number, _)) = found {
                return Ok(Some(number));
            }
        }
        let shows = |child: &Slot| child.marks().iter().all(|mark| mark.shows(spot));
        let fits: Vec<(usize, &'c Slot)> = children().filter(|(_, child)| shows(child)).collect();
        let (marked, plain): (Vec<_>, Vec<_>) =
            fits.into_iter().partition(|(_, child)| !child.marks().is_empty());
        if let [(number, _)] = marked.as_slice() {
            return Ok(Some(*number));
        }
        let fits = if marked.is_empty() { plain } else { marked };
        if let Some((number, _)) = fits.iter().find(|(_, child)| child.ignored) {
            return Ok(Some(*number));
        }
        let mut unknown = false;
        for (number, child) in &fits {
            match self.holds(child.when(), item) {
                Some(true) => return Ok(Some(*number)),
                Some(false) => {}
                None => unknown = true,
            }
        }
        if unknown && self.earlier.is_none() {
            self.undecided = true;
            return Ok(None);
        }
        if fits.iter().flat_map(|(_, child)| child.when()).any(|it| self.was_spoken_for(&it.path)) {
            // What decides is at fault itself: that the choice cannot be made only follows.
            fits.iter().for_each(|(_, child)| self.taint(child));
            return Ok(None);
        }
        // Which list the item belongs to is unknown, so nothing is told of what those lists lack.
        for (_, child) in children().filter(|(_, child)| child.each().is_some()) {
            self.taint(child);
        }
        let way =
            children().find_map(|(_, child)| child.marks().first()).map(|mark| mark.way.as_slice());
        let (at, found) = match follow(spot, way.unwrap_or_default()) {
            Some(leaf) => (Where::Value(leaf), leaf.node().map(|node| &*node.text)),
            None => (Where::Start(spot), None),
        };
        self.fault(FaultCode::LiteralMismatch, at, None, found).map(|()| None)
    }

    /// Whether the conditions of a choice hold, by what has been read; `None` if that is not known
    /// yet.
    fn holds(&self, when: &[When], item: &mut Item<'_>) -> Option<bool> {
        for condition in when {
            let value = match (condition.path.start, &item) {
                (Start::Home(home), _) => {
                    let read = |filled: &'_ Filled| {
                        let message = filled.get(home)?.as_ref()?;
                        condition.path.value(message, 0).map(|value| *value == condition.value)
                    };
                    let earlier = || read(&self.earlier.as_ref()?.filled);
                    read(&self.filled).or_else(earlier)
                }
                (Start::Item, Item::Message(message)) => {
                    condition.path.value(message, 0).map(|value| *value == condition.value)
                }
                (Start::Item, _) => None,
            };
            if !value? {
                return Some(false);
            }
        }
        Some(true)
    }

    /// A slot that no node came for.
    fn absent(&mut self, slot: &'c Slot, parent: Spot<'_>, _item: &mut Item<'_>) -> Read {
        if !slot.required {
            self.note_absent(slot, parent);
            return Ok(());
        }
        if self.record.is_none() {
            return Err(Stop);
        }
        let mut way = vec![slot];
        if slot.each().is_none() {
            way.extend(slot.missing_leaf());
        }
        let hole = way.last().and_then(|last| only_mandatory(last));
        let list = slot.each().map(|each| &each.list);
        if list.is_some_and(|list| self.is_spoken_for(list)) {
            return Ok(());
        }
        self.taint(slot);
        match list {
            Some(list) => {
                self.fault_of_list(FaultCode::TagMissing, Where::Missing(parent, &way), list)
            }
            None => self.fault(FaultCode::TagMissing, Where::Missing(parent, &way), hole, None),
        }
    }

    fn unknown(&mut self, spot: Spot<'_>) -> Read {
        match self.mode {
            Mode::Test => self.fault(FaultCode::TagUnknown, Where::Start(spot), None, None),
            Mode::Production => {
                if self.dropped.len() < DROPPED_MAX {
                    self.dropped.push(spot.place(&self.template.told_by));
                }
                Ok(())
            }
        }
    }

    fn leaf(&mut self, leaf: &'c Leaf, spot: Spot<'_>, text: &str, item: &mut Item<'_>) -> Read {
        match &*leaf.pieces {
            [Piece::Hole(hole)] => self.hole(hole, text, Where::Value(spot), item),
            [] => Ok(()),
            [Piece::Literal(literal)] if text.trim() == literal.trim() => Ok(()),
            [Piece::Literal(_)] => {
                self.fault(FaultCode::LiteralMismatch, Where::Value(spot), None, Some(text))
            }
            _ => self.mixed(leaf, spot, text, item),
        }
    }

    fn mixed(&mut self, leaf: &'c Leaf, spot: Spot<'_>, text: &str, item: &mut Item<'_>) -> Read {
        if text.trim().is_empty() {
            if leaf.is_left_out() && !self.template.exact {
                for hole in leaf.holes() {
                    self.note(hole, Where::Value(spot), None, None);
                }
                return Ok(());
            }
            self.taint_leaf(leaf);
            return self.fault(FaultCode::ValueEmpty, Where::Value(spot), None, None);
        }
        let Some(pieces) = cut::cut(leaf, text) else {
            self.taint_leaf(leaf);
            let told = self.fault(FaultCode::PartsMismatch, Where::Value(spot), None, None);
            if let Some(fault) = self.record.as_mut().and_then(|record| record.faults.last_mut()) {
                fault.expected = Some(explain::wanted_pieces(leaf));
            }
            return told;
        };
        for (hole, range) in leaf.holes().zip(pieces) {
            let piece = text.get(range.clone()).unwrap_or_default();
            self.hole(hole, piece, Where::Piece(spot, range.start), item)?;
        }
        Ok(())
    }

    fn hole(&mut self, hole: &'c Hole, text: &str, at: Where<'_, '_>, item: &mut Item<'_>) -> Read {
        if is_unset(hole, text) {
            self.note(hole, at, None, None);
            return match hole.unset {
                Unset::Absent if self.template.exact => {
                    self.fault(FaultCode::ValueEmpty, at, Some(hole), None)
                }
                Unset::Refused => self.fault(FaultCode::ValueEmpty, at, Some(hole), None),
                _ => Ok(()),
            };
        }
        match hole.codec() {
            Codec::Count => self.count(hole, text, at),
            Codec::List { item: codec, separator } if hole.path.column_list().is_some() => {
                self.column(hole, codec, separator, text, at, item)
            }
            // Part of a moment, in an answer of ours: what is there is agreed, but is no moment
            // yet.
            codec if codec.is_partial() => {
                self.note(hole, at, None, Some(text));
                Ok(())
            }
            codec => {
                self.note(hole, at, None, Some(text));
                match codec.read(text, &hole.path.field) {
                    Ok(value) => self.set(&hole.path, value, 0, at, item),
                    Err(code) => self.fault(code, at, Some(hole), Some(text)),
                }
            }
        }
    }

    /// Sets what stands while a subtree stands.
    fn bind(&mut self, when: &'c [When], spot: Spot<'_>, item: &mut Item<'_>) -> Read {
        for condition in when {
            self.note_path(&condition.path, Where::Start(spot), None);
            self.set(&condition.path, condition.value.clone(), 0, Where::Start(spot), item)?;
        }
        Ok(())
    }

    /// Puts a value where its path says; a second, different one is a conflict.
    fn set(
        &mut self,
        path: &Path,
        value: Value,
        column: usize,
        at: Where<'_, '_>,
        item: &mut Item<'_>,
    ) -> Read {
        if path.itself {
            if let Item::Scalar(place) = item {
                **place = Some(value);
            }
            return Ok(());
        }
        let Some(holder) =
            self.start(path.start, item).and_then(|start| path.holder(start, column))
        else {
            return Ok(());
        };
        if let path::Pick::Numbered(number) = path.pick {
            let list = holder.get_field_mut(&path.field);
            if let Some(place) = path::item_of(list, number, &path.field) {
                *place = value;
            }
            return Ok(());
        }
        match path::set_value(holder, &path.field) {
            // Its type is the field's, as the codec fits the field.
            None => holder.try_set_field(&path.field, value).unwrap_or_default(),
            Some(known) if *known == value => {}
            Some(_) => return self.fault_of_path(FaultCode::ValueConflict, at, path, column),
        }
        Ok(())
    }

    /// Makes the item of a column, though nothing in it is set.
    fn reach(&mut self, path: &Path, column: usize, item: &mut Item<'_>) {
        if let Some(start) = self.start(path.start, item) {
            path.holder(start, column);
        }
    }

    fn start<'m>(
        &'m mut self,
        start: Start,
        item: &'m mut Item<'_>,
    ) -> Option<&'m mut DynamicMessage> {
        match (start, item) {
            (Start::Item, Item::Message(message)) => Some(message),
            (Start::Item, _) => None,
            (Start::Home(home), _) => {
                let message = &self.template.homes.home(home)?.message;
                Some(
                    self.filled
                        .get_mut(home)?
                        .get_or_insert_with(|| DynamicMessage::new(message.clone())),
                )
            }
        }
    }

    fn list<'m>(&'m mut self, path: &Path, item: &'m mut Item<'_>) -> Option<&'m mut Vec<Value>> {
        path.holder(self.start(path.start, item)?, 0)?.get_field_mut(&path.field).as_list_mut()
    }

    fn list_if_any<'m>(&'m self, path: &Path, item: &'m Item<'_>) -> Option<&'m [Value]> {
        let start = match (path.start, item) {
            (Start::Item, Item::Message(message)) => message,
            (Start::Item, _) => return None,
            (Start::Home(home), _) => self.filled.get(home)?.as_ref()?,
        };
        path.value(start, 0)?.as_list()
    }
}

/// The slots of a node's name. Messages mostly keep the template's order, so the search starts
/// behind the last find.
fn find<'c>(slot: &'c Slot, next: &mut usize, bears: impl Fn(&Slot) -> bool) -> Option<&'c Rivals> {
    let (before, after) = slot.rivals.split_at_checked(*next).unwrap_or((&slot.rivals, &[]));
    let first = |rivals: &Rivals| {
        rivals.slots().first().and_then(|first| slot.children.get(*first)).is_some_and(&bears)
    };
    // One back: items of one list stand beside each other.
    let (number, rivals) = match after.iter().position(first) {
        Some(at) => (next.saturating_add(at), after.get(at)?),
        None => {
            let at = before.iter().rposition(first)?;
            (at, before.get(at)?)
        }
    };
    let repeats = rivals
        .slots()
        .iter()
        .filter_map(|at| slot.children.get(*at))
        .any(|child| child.each().is_some());
    *next = number.saturating_add(usize::from(!repeats && rivals.slots().len() == 1));
    Some(rivals)
}

fn is_unset(hole: &Hole, text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || matches!(&hole.unset, Unset::Text(unset) if *text == **unset)
}

/// Whether a value is of the kind that its slot shows: a text, or one that is written without quotes.
fn is_as_shown(slot: &Slot, kind: Kind) -> bool {
    match slot.leaf.as_ref().is_some_and(|leaf| leaf.bare) {
        true => matches!(kind, Kind::Number | Kind::Bool),
        false => kind == Kind::String,
    }
}

fn first_hole(slot: &Slot) -> Option<&Hole> {
    match slot.leaf.as_ref() {
        Some(leaf) => leaf.holes().next(),
        None => slot.missing_leaf().last().and_then(|last| only_mandatory(last)),
    }
}

/// The one hole of a leaf that must be set.
fn only_mandatory(slot: &Slot) -> Option<&Hole> {
    let mut holes = slot.leaf.as_ref()?.holes().filter(|hole| hole.unset == Unset::Refused);
    let first = holes.next();
    if holes.next().is_none() { first } else { None }
}

/// Whether two items are equal but for the parents they stand under.
fn equal_but(known: &mut Value, value: &Value, by: &FieldDescriptor) -> bool {
    let (Some(known), Some(value)) = (known.as_message_mut(), value.as_message()) else {
        return false;
    };
    let parents = known.take_field(by);
    let equal = known == value;
    if let Some(parents) = parents {
        *known.get_field_mut(by) = parents;
    }
    equal
}

fn push_index(value: &mut Value, by: &FieldDescriptor, number: Value) {
    if let Some(message) = value.as_message_mut()
        && let Some(indexes) = message.get_field_mut(by).as_list_mut()
        && !indexes.contains(&number)
    {
        indexes.push(number);
    }
}
