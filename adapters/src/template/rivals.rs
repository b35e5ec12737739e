//! Which of several like-named slots, or of several messages, a node is meant for: by the literals
//! in which they differ, or else by how many items a row has.

use super::{Form, Name, Slot, ToldBy};
use crate::{
    fault::FaultCode,
    tree::{Kind, NodeId},
    unify::document::Spot,
    wire::Media,
};

/// Slots that bear one name (items of an array bear none), by their numbers among their parent's
/// children.
#[derive(Debug)]
pub(crate) enum Rivals {
    /// Nearly always there is but one.
    One(usize),
    /// Several, in order, with the way to the one leaf by which all of them are told apart, if there is such a leaf.
    Several(Box<(Vec<usize>, Option<Vec<Step>>)>),
}

impl Rivals {
    /// The slots.
    pub(crate) fn slots(&self) -> &[usize] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Several(several) => &several.0,
        }
    }

    /// The way to the one leaf by which several are told apart.
    pub(crate) fn shared(&self) -> Option<&[Step]> {
        match self {
            Self::One(_) => None,
            Self::Several(several) => several.1.as_deref(),
        }
    }
}

/// What always stands in a slot, and not in a rival.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mark {
    /// The way from the slot to the leaf or row.
    pub(crate) way: Vec<Step>,
    /// What stands there.
    pub(crate) sign: Sign,
}

/// What a slot is known by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sign {
    /// A literal.
    Text(Box<str>),
    /// A row of so many items, each of which is mandatory: a path of four segments is none of three.
    Items(usize),
}

/// One step from a node to a node inside it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// What is stepped to.
    pub(crate) to: To,
    /// Its own marks, where it has like-named siblings.
    pub(crate) marks: Box<[Mark]>,
}

/// What is stepped to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum To {
    /// An attribute.
    Attribute(Name),
    /// An element, or the member of an object.
    Inside(Name),
    /// The item of an array, by its place.
    Item(usize),
    /// The document that the leaf's text is.
    Embedded(Media),
}

/// Two slots that nothing tells apart, by their places in what was given.
pub(crate) type Alike = (usize, usize);

/// Works out by which literals each of the slots is told from the others, and which pairs are
/// alike.
pub(crate) fn tell_apart(slots: &[&Slot]) -> (Vec<Vec<Mark>>, Vec<Alike>) {
    let known: Vec<Vec<Mark>> = slots.iter().map(|slot| known_by(slot)).collect();
    let (mut marks, mut alike) = (Vec::new(), Vec::new());
    for (number, own) in known.iter().enumerate() {
        let others = known.iter().zip(slots).enumerate().filter(|(other, _)| *other != number);
        let mut others: Vec<(usize, &Vec<Mark>, &Slot)> =
            others.map(|(other, (theirs, slot))| (other, theirs, *slot)).collect();
        let mut chosen: Vec<Mark> = Vec::new();
        // The literal that tells most of the others apart comes first: usually it tells them all.
        for tells in [differs, stands_only_here, differs_in_length] {
            loop {
                let count = |mark: &Mark| {
                    others.iter().filter(|(_, theirs, slot)| tells(mark, theirs, slot)).count()
                };
                let mut best: Option<(&Mark, usize)> = None;
                for mark in own {
                    let told = count(mark);
                    if told > best.map_or(0, |(_, most)| most) {
                        best = Some((mark, told));
                    }
                }
                let Some((best, _)) = best else { break };
                others.retain(|(_, theirs, slot)| !tells(best, theirs, slot));
                chosen.push(best.clone());
            }
        }
        alike.extend(others.iter().map(|(other, ..)| (number, *other)));
        marks.push(chosen);
    }
    (marks, alike)
}

fn differs(mark: &Mark, theirs: &[Mark], _: &Slot) -> bool {
    mark.text().is_some_and(|text| {
        let mut there = theirs.iter().filter(|other| other.way == mark.way);
        there.any(|other| other.text().is_some_and(|other| other != text))
    })
}

/// A message that must have this literal is none that has no place for it.
fn stands_only_here(mark: &Mark, _: &[Mark], other: &Slot) -> bool {
    mark.text().is_some() && !has_place(other, &mark.way)
}

/// Only where no literal tells: what is read as a message in spite of an item too many is better told so.
fn differs_in_length(mark: &Mark, theirs: &[Mark], _: &Slot) -> bool {
    let items = |mark: &Mark| match mark.sign {
        Sign::Items(items) => Some(items),
        Sign::Text(_) => None,
    };
    let mut there = theirs.iter().filter(|other| other.way == mark.way).filter_map(items);
    items(mark).is_some_and(|own| there.any(|other| other != own))
}

fn has_place(slot: &Slot, way: &[Step]) -> bool {
    let Some((step, rest)) = way.split_first() else { return true };
    match &step.to {
        To::Embedded(_) => slot.embed().is_some_and(|embed| has_place(&embed.root, rest)),
        To::Item(number) => slot.children.get(*number).is_some_and(|child| has_place(child, rest)),
        To::Attribute(name) | To::Inside(name) => {
            slot.children.iter().any(|child| child.name == *name && has_place(child, rest))
        }
    }
}

/// The leaf by which all the marks tell, if each is one literal at the same place.
pub(crate) fn shared(marks: &[Vec<Mark>]) -> Option<Vec<Step>> {
    let way = &marks.first()?.first()?.way;
    marks
        .iter()
        .all(|own| matches!(own.as_slice(), [mark] if mark.way == *way && mark.text().is_some()))
        .then(|| way.clone())
}

/// What always stands in a slot: literals, and how many items its rows have.
pub(crate) fn known_by(slot: &Slot) -> Vec<Mark> {
    let mut found = Vec::new();
    if let Some(text) = slot.leaf.as_ref().and_then(super::Leaf::literal) {
        found.push(Mark { way: Vec::new(), sign: Sign::Text(text.into()) });
    }
    if slot.form == Form::Row && slot.children.iter().all(|item| item.required) {
        found.push(Mark { way: Vec::new(), sign: Sign::Items(slot.children.len()) });
    }
    for (number, child) in slot.children.iter().enumerate() {
        if child.required && child.each().is_none() && child.when().is_empty() {
            let to = match child.form {
                Form::Attribute => To::Attribute(child.name.clone()),
                _ if matches!(slot.form, Form::Array | Form::Row) => To::Item(number),
                _ => To::Inside(child.name.clone()),
            };
            add_behind(&Step { to, marks: child.marks().into() }, known_by(child), &mut found);
        }
    }
    if let Some(embed) = slot.embed() {
        let step = Step { to: To::Embedded(embed.media), marks: Box::default() };
        add_behind(&step, known_by(&embed.root), &mut found);
    }
    found
}

fn add_behind(step: &Step, inside: Vec<Mark>, found: &mut Vec<Mark>) {
    for Mark { mut way, sign } in inside {
        way.insert(0, step.clone());
        found.push(Mark { way, sign });
    }
}

impl Mark {
    /// The literal that it is.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.sign {
            Sign::Text(text) => Some(text),
            Sign::Items(_) => None,
        }
    }

    /// The attribute of the slot itself that it is, with its text.
    pub(crate) fn attribute(&self) -> Option<(&Name, &str)> {
        match self.way.as_slice() {
            [Step { to: To::Attribute(name), .. }] => Some((name, self.text()?)),
            _ => None,
        }
    }

    /// Whether a node has this where the slot has it.
    pub(crate) fn shows(&self, spot: Spot<'_>) -> bool {
        let Some(there) = follow(spot, &self.way) else { return false };
        match &self.sign {
            Sign::Text(text) => text_of(there).is_some_and(|shown| *shown == **text),
            Sign::Items(items) => {
                let is_array = there.node().is_some_and(|node| node.kind == Kind::Array);
                is_array && there.children().count() == *items
            }
        }
    }
}

/// The text of a leaf as literals are compared with it.
pub(crate) fn text_of(leaf: Spot<'_>) -> Option<&str> {
    leaf.node().map(|node| node.text.trim())
}

/// Goes from a node to a leaf inside it; `None` if the way ends before.
pub(crate) fn follow<'d>(spot: Spot<'d>, way: &[Step]) -> Option<Spot<'d>> {
    let Some((step, rest)) = way.split_first() else { return Some(spot) };
    match step.to {
        To::Embedded(media) => follow(spot.embedded(media).ok()?.root(), rest),
        _ => follow(spot.at(step.find(spot)?), rest),
    }
}

/// The embedded document that ends a way because it is none: its fault, with its place and its offset
/// in the message's text.
pub(crate) fn broken(
    spot: Spot<'_>,
    way: &[Step],
    told_by: &[ToldBy],
) -> Option<(FaultCode, String, usize)> {
    let (step, rest) = way.split_first()?;
    let To::Embedded(media) = step.to else {
        return broken(spot.at(step.find(spot)?), rest, told_by);
    };
    match spot.embedded(media) {
        Ok(document) => broken(document.root(), rest, told_by),
        Err(fault) => {
            let (place, offset) = spot.embedded_fault(&fault, told_by);
            Some((fault.code, place, offset))
        }
    }
}

impl Step {
    /// The node stepped to; not for embedded documents.
    pub(crate) fn find(&self, spot: Spot<'_>) -> Option<NodeId> {
        let children = spot.children();
        let shown = |id: NodeId| self.marks.iter().all(|mark| mark.shows(spot.at(id)));
        match &self.to {
            To::Embedded(_) => None,
            To::Item(number) => children.map(|(id, _)| id).nth(*number),
            To::Attribute(name) | To::Inside(name) => {
                let attribute = matches!(self.to, To::Attribute(_));
                let bears = |node: &crate::tree::Node<'_>| {
                    (node.kind == Kind::Attribute) == attribute && name.is_of(node)
                };
                let mut named = children.filter(|(_, node)| bears(node)).map(|(id, _)| id);
                named.find(|id| shown(*id))
            }
        }
    }
}
