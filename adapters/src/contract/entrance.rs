//! Which of a contract's messages a document is: by its root, then by the literals in which the
//! messages differ, worked out when the contract was compiled.

use std::sync::Arc;

use crate::{
    fault::FaultCode,
    template::{
        Form, Template, ToldBy,
        rivals::{Alike, Mark, Step, broken, follow, known_by, shared, tell_apart, text_of},
    },
    tree::Kind,
    unify::document::{Document, Spot, Where},
};

/// The messages that can come in.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    groups: Vec<Group>,
}

/// Messages with the same root.
#[derive(Debug)]
struct Group {
    doors: Vec<Door>,
    /// The way to the one leaf that tells them all apart, if there is one.
    shared: Option<Vec<Step>>,
}

#[derive(Debug)]
struct Door {
    kind: usize,
    template: Arc<Template>,
    marks: Vec<Mark>,
}

/// Why a document is no message of the contract. The offset is in the message's text.
pub(super) struct Stranger {
    pub(super) code: FaultCode,
    pub(super) place: String,
    pub(super) offset: usize,
    /// The transaction code that it says, though no message has it.
    pub(super) said: Option<String>,
}

impl Stranger {
    fn at(at: Where<'_, '_>, told_by: &[ToldBy]) -> Self {
        let (place, offset) = (at.place(told_by), at.offset());
        Self { code: FaultCode::MessageUnknown, place, offset, said: None }
    }
}

/// Two messages that one input could be, by their kinds' numbers.
pub(super) type Confused = (usize, usize);

impl Entrance {
    /// Works out how to tell the messages apart: each the number of its kind, and its template.
    pub(super) fn new(messages: Vec<(usize, Arc<Template>)>) -> (Self, Vec<Confused>) {
        let mut groups: Vec<Vec<(usize, Arc<Template>)>> = Vec::new();
        for message in messages {
            let same = |group: &&mut Vec<(usize, Arc<Template>)>| {
                group.first().is_some_and(|(_, first)| {
                    let (first, root) = (&first.root, &message.1.root);
                    first.name == root.name && first.form == root.form
                })
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(message),
                None => groups.push(vec![message]),
            }
        }
        let mut confused = Vec::new();
        let groups = groups.into_iter().map(|group| Group::new(group, &mut confused)).collect();
        (Self { groups }, confused)
    }

    /// The kind and template of a document; `None` if it is no message of the contract.
    pub(super) fn choose<'d>(&self, document: &'d Document<'d>) -> Option<(usize, &Template)> {
        let spot = document.root();
        let group = self.group(spot)?;
        let door = match (group.doors.as_slice(), &group.shared) {
            ([only], _) => only,
            (doors, Some(way)) => {
                let text = text_of(follow(spot, way)?)?;
                let is_of = |door: &&Door| {
                    door.marks.first().and_then(Mark::text).is_some_and(|shown| shown == text)
                };
                doors.iter().find(is_of)?
            }
            (doors, None) => {
                doors.iter().find(|door| door.marks.iter().all(|mark| mark.shows(spot)))?
            }
        };
        Some((door.kind, &door.template))
    }

    /// Why a document is no message of the contract: at the literal that keeps it from being the message it nearly is,
    /// or at one that tells messages apart, or at the document that should hold it, or else at the root.
    pub(super) fn stranger<'d>(&self, document: &'d Document<'d>) -> Stranger {
        let spot = document.root();
        let told = self.group(spot).and_then(|group| group.stranger(spot));
        told.unwrap_or_else(|| Stranger::at(Where::Start(spot), &[]))
    }

    /// Any template of those that come in.
    pub(super) fn first(&self) -> Option<&Template> {
        self.groups.first()?.doors.first().map(|door| &*door.template)
    }

    fn group(&self, spot: Spot<'_>) -> Option<&Group> {
        let node = spot.node()?;
        let is_of = |group: &&Group| {
            group.doors.first().is_some_and(|door| {
                let root = &door.template.root;
                match root.form {
                    Form::Object => node.kind == Kind::Object,
                    Form::Array | Form::Row => node.kind == Kind::Array,
                    _ => root.bears(node),
                }
            })
        };
        self.groups.iter().find(is_of)
    }
}

impl Group {
    fn new(messages: Vec<(usize, Arc<Template>)>, confused: &mut Vec<Confused>) -> Self {
        let roots: Vec<_> = messages.iter().map(|(_, template)| &template.root).collect();
        let (marks, alike) =
            if roots.len() > 1 { tell_apart(&roots) } else { (vec![Vec::new()], Vec::new()) };
        let kind = |at: usize| messages.get(at).map(|(kind, _)| *kind);
        let pair = |(one, other): &Alike| kind(*one).zip(kind(*other));
        confused.extend(alike.iter().filter_map(pair).filter(|(one, other)| one < other));
        let shared = shared(&marks);
        let doors = messages.into_iter().zip(marks);
        let doors = doors.map(|((kind, template), marks)| Door { kind, template, marks }).collect();
        Self { doors, shared }
    }

    fn stranger(&self, spot: Spot<'_>) -> Option<Stranger> {
        let first = self.doors.first()?;
        let (door, lacks) = match self.nearest(spot) {
            Some((door, lacks)) => (door, lacks),
            None => (first, first.marks.first()?.clone()),
        };
        let told_by = &door.template.told_by;
        if let Some((code, place, offset)) = broken(spot, &lacks.way, told_by) {
            return Some(Stranger { code, place, offset, said: None });
        }
        let leaf = follow(spot, &lacks.way)?;
        let mut telling = door.telling(&self.ways()).into_iter();
        let said =
            telling.find(|mark| binds_code(door, mark)).and_then(|mark| follow(spot, &mark.way));
        Some(Stranger { said: said.and_then(code), ..Stranger::at(Where::Value(leaf), told_by) })
    }

    /// The literal that a document lacks, where all messages that it lacks but one literal of lack the same one.
    fn nearest(&self, spot: Spot<'_>) -> Option<(&Door, Mark)> {
        let ways = self.ways();
        let mut nearest: Option<(&Door, Mark)> = None;
        for door in &self.doors {
            let telling = door.telling(&ways).into_iter();
            let mut lacks = telling.filter(|mark| !mark.shows(spot));
            let (Some(lacking), None) = (lacks.next(), lacks.next()) else { continue };
            match &nearest {
                Some((_, known)) if known.way != lacking.way => return None,
                Some(_) => {}
                None => nearest = Some((door, lacking)),
            }
        }
        nearest
    }

    /// The ways to all places by which any message is told from the others.
    fn ways(&self) -> Vec<&[Step]> {
        self.doors.iter().flat_map(|door| &door.marks).map(|mark| mark.way.as_slice()).collect()
    }
}

impl Door {
    /// What the message has at places by which messages are told apart.
    fn telling(&self, ways: &[&[Step]]) -> Vec<Mark> {
        let all = known_by(&self.template.root).into_iter();
        all.filter(|mark| ways.contains(&mark.way.as_slice())).collect()
    }
}

/// Whether the literal by which messages are told apart is bound to the transaction code.
fn binds_code(door: &Door, mark: &Mark) -> bool {
    let mut binds = false;
    door.template.root.visit(&mut |slot| {
        let leaf = slot
            .leaf
            .as_ref()
            .filter(|leaf| mark.text().is_some() && leaf.literal() == mark.text());
        binds |= leaf.is_some_and(|leaf| {
            leaf.holes().any(|hole| *hole.path.text == *"exchange.transaction_code")
        });
    });
    binds
}

/// A code that the reply can give back.
fn code(leaf: Spot<'_>) -> Option<String> {
    const CODE_CHARS_MAX: usize = 100;
    let text = text_of(leaf)?;
    let fits = !text.is_empty()
        && text.chars().count() <= CODE_CHARS_MAX
        && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}
