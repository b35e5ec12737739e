//! A sample file with holes, compiled once into slots over the canonical descriptors.
//!
//! A slot says what may stand at one place of a bank's message and where its value goes. Everything
//! that can be known from the contract alone is worked out here: paths, codecs, what is mandatory,
//! which literals tell rivals apart. Reading (`unify`) and writing (`fill`) only follow slots.
//! Source of the words: docs/contract-language.md.

mod compile;
mod hole;
mod part;
pub(crate) mod rivals;
mod shared;

use std::{ops::Range, sync::Arc};

use prost_reflect::{FieldDescriptor, Value};

pub(crate) use self::{
    compile::{Source, compile, value_of},
    hole::{Words, parse_leaf},
    part::{Origins, Parts},
    rivals::Rivals,
    shared::Shared,
};
use crate::{
    codec::Codec,
    path::{Homes, Path, Scope},
    tree::{Kind, Node},
    wire::Media,
};

/// One file of a contract, compiled.
#[derive(Debug)]
pub(crate) struct Template {
    /// Where its spans lead to.
    pub(crate) origins: Origins,
    /// Where its paths start.
    pub(crate) homes: Arc<Homes>,
    /// What the document is to hold.
    pub(crate) root: Slot,
    /// Elements that the template tells apart by an attribute, which therefore stands in their
    /// place (`field[@name='HTH']`).
    pub(crate) told_by: Box<[ToldBy]>,
    /// Whether a JSON value must be of the kind shown, and an unset one is not there at all.
    pub(crate) exact: bool,
}

/// An attribute by whose text like-named elements are told apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ToldBy {
    /// The element, without prefix.
    pub(crate) element: Box<str>,
    /// The attribute.
    pub(crate) attribute: Name,
    /// Its text.
    pub(crate) text: Box<str>,
}

/// What may stand at one place. A gateway holds hundreds of contracts for as long as it runs, so nothing here is larger
/// than it has to be.
#[derive(Debug)]
pub(crate) struct Slot {
    /// What it is called.
    pub(crate) name: Name,
    /// What sort of node it is.
    pub(crate) form: Form,
    /// Its position.
    pub(crate) span: Span,
    /// Accepted and read by nobody.
    pub(crate) ignored: bool,
    /// Its text.
    pub(crate) leaf: Option<Leaf>,
    /// What stands inside: attributes, then elements; members; items.
    pub(crate) children: Box<[Slot]>,
    /// The children by name.
    pub(crate) rivals: Box<[Rivals]>,
    /// Whether a message without it is at fault.
    pub(crate) required: bool,
    /// Whether it is left out when nothing in it is set.
    pub(crate) left_out: bool,
    /// What few slots have.
    seldom: Option<Box<Seldom>>,
}

/// What few slots have.
#[derive(Debug, Default)]
struct Seldom {
    each: Option<Box<Each>>,
    maybe: Option<Box<Maybe>>,
    embed: Option<Box<Embed>>,
    when: Box<[When]>,
    declares: Box<[(Arc<str>, Arc<str>)]>,
    numbered: Box<[Arc<Path>]>,
    marks: Box<[rivals::Mark]>,
}

/// A stretch of positions in a template; of one with more than 4 GiB only the beginning is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The positions.
    pub(crate) fn range(self) -> Range<usize> {
        let position = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        position(self.start)..position(self.end)
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: position(range.start), end: position(range.end) }
    }
}

/// A name, as written and as known; held once, however often it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Name(Arc<Named>);

/// What a name is.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Named {
    /// With its prefix, as it is written.
    pub(crate) written: Box<str>,
    /// The namespace, where the template declares one; then prefixes mean nothing.
    pub(crate) namespace: Option<Box<str>>,
}

impl std::ops::Deref for Name {
    type Target = Named;

    fn deref(&self) -> &Named {
        &self.0
    }
}

/// What sort of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An element.
    Element,
    /// An attribute.
    Attribute,
    /// A JSON object.
    Object,
    /// A JSON array whose items are known by what they hold.
    Array,
    /// A JSON array of scalars, which go by position.
    Row,
    /// A JSON string, number, `true`, `false`.
    Scalar,
}

/// `c:each`.
#[derive(Debug)]
pub(crate) struct Each {
    /// The list.
    pub(crate) list: Arc<Path>,
    /// What the paths inside are relative to.
    pub(crate) scope: Scope,
    /// The item's field that lists the parents it stands under.
    pub(crate) by: Option<FieldDescriptor>,
}

/// `c:maybe`.
#[derive(Debug)]
pub(crate) struct Maybe {
    /// The message or list.
    pub(crate) path: Arc<Path>,
    /// What the paths inside are relative to, if it is a message.
    pub(crate) scope: Option<Scope>,
}

/// One `path=VALUE` of `c:when`.
#[derive(Debug)]
pub(crate) struct When {
    /// The field.
    pub(crate) path: Arc<Path>,
    /// Its value.
    pub(crate) value: Value,
}

/// The text of an element, attribute or scalar.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Literals and holes, in order; no two literals beside each other.
    pub(crate) pieces: Box<[Piece]>,
    /// Written without quotes, in JSON.
    pub(crate) bare: bool,
}

/// A part of a leaf.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Fixed text.
    Literal(Box<str>),
    /// A canonical field.
    Hole(Hole),
}

/// A place where a canonical field stands.
#[derive(Debug)]
pub(crate) struct Hole {
    /// Which field.
    pub(crate) path: Arc<Path>,
    /// How its value stands there.
    form: Arc<Worded>,
    /// What stands there while the field is unset.
    pub(crate) unset: Unset,
    /// Whether the value tells who somebody is, and so is masked in faults.
    pub(crate) personal: bool,
    /// Its position.
    pub(crate) span: Span,
}

/// A codec, and how the contract writes it.
#[derive(Debug)]
pub(crate) struct Worded {
    codec: Codec,
    words: Box<str>,
}

/// What stands for an unset field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unset {
    /// `{path}`: nothing can; the field must be set.
    Refused,
    /// `{path?}`: the leaf is absent.
    Absent,
    /// `{path?=TEXT}`: this text.
    Text(Box<str>),
}

/// A document in a leaf.
#[derive(Debug)]
pub(crate) struct Embed {
    /// What it is.
    pub(crate) media: Media,
    /// Whether it is written as CDATA.
    pub(crate) cdata: bool,
    /// Whether it is written with an XML declaration.
    pub(crate) declared: bool,
    /// What it is to hold.
    pub(crate) root: Slot,
}

impl Template {
    /// A template with nothing but homes: what a contract's key is built in.
    pub(crate) fn of_key(origins: Origins, homes: Arc<Homes>) -> Self {
        Self { origins, homes, root: compile::empty_slot(), told_by: Box::default(), exact: false }
    }
}

impl Leaf {
    /// The one literal it is, bound or not; `None` if it has a hole for anything else.
    pub(crate) fn literal(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            [Piece::Hole(hole)] => match hole.codec() {
                Codec::Is(text) if hole.unset == Unset::Refused => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Its holes.
    pub(crate) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Literal(_) => None,
        })
    }

    fn holes_mut(&mut self) -> impl Iterator<Item = &mut Hole> {
        self.pieces.iter_mut().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Literal(_) => None,
        })
    }

    /// Its literals, which a text between them may not hold.
    pub(crate) fn separators(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(&**text),
            Piece::Hole(_) => None,
        })
    }

    fn any(&self, wanted: impl Fn(&Unset) -> bool) -> bool {
        self.holes().any(|hole| wanted(&hole.unset))
    }

    /// Whether it is absent while its fields are unset.
    pub(crate) fn is_left_out(&self) -> bool {
        self.holes().next().is_some() && self.holes().all(|hole| hole.unset == Unset::Absent)
    }
}

impl Hole {
    /// How its value stands there.
    pub(crate) fn codec(&self) -> &Codec {
        &self.form.codec
    }

    /// The codec as the contract writes it.
    pub(crate) fn words(&self) -> &str {
        &self.form.words
    }
}

impl std::fmt::Display for Piece {
    /// As the contract writes it.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hole = match self {
            Self::Literal(text) => return out.write_str(text),
            Self::Hole(hole) => hole,
        };
        write!(out, "{{{}", hole.path.text)?;
        match &hole.unset {
            Unset::Refused => {}
            Unset::Absent => out.write_str("?")?,
            Unset::Text(text) => write!(out, "?={text}")?,
        }
        match hole.words() {
            "" => out.write_str("}"),
            words => write!(out, ": {words}}}"),
        }
    }
}

impl Slot {
    /// Whether a node of the bank's message bears this slot's name and is of its sort.
    pub(crate) fn bears(&self, node: &Node<'_>) -> bool {
        (node.kind == Kind::Attribute) == (self.form == Form::Attribute) && self.name.is_of(node)
    }

    /// Whether it repeats, once per item of a list.
    pub(crate) fn each(&self) -> Option<&Each> {
        self.seldom.as_ref()?.each.as_deref()
    }

    /// Whether it stands only while a message or list is set.
    pub(crate) fn maybe(&self) -> Option<&Maybe> {
        self.seldom.as_ref()?.maybe.as_deref()
    }

    /// The document that its text is.
    pub(crate) fn embed(&self) -> Option<&Embed> {
        self.seldom.as_ref()?.embed.as_deref()
    }

    /// What stands in it: its children, and the root of the document that its text is.
    pub(crate) fn inside(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().chain(self.embed().map(|embed| &embed.root))
    }

    /// The values that hold exactly while it stands.
    pub(crate) fn when(&self) -> &[When] {
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.when)
    }

    /// Namespace declarations, written as they are.
    pub(crate) fn declares(&self) -> &[(Arc<str>, Arc<str>)] {
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.declares)
    }

    /// Lists whose items are numbered in the scope that this slot opens (for the root: in the message).
    pub(crate) fn numbered(&self) -> &[Arc<Path>] {
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.numbered)
    }

    /// The literals by which it is told from its rivals.
    pub(crate) fn marks(&self) -> &[rivals::Mark] {
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.marks)
    }

    /// Gives it what few slots have; nothing is held of what is empty.
    fn put(&mut self, put: impl FnOnce(&mut Seldom)) {
        let mut seldom = self.seldom.take().unwrap_or_default();
        put(&mut seldom);
        let Seldom { each, maybe, embed, when, declares, numbered, marks } = &*seldom;
        let is_empty = each.is_none() && maybe.is_none() && embed.is_none();
        let is_empty = is_empty && when.is_empty() && declares.is_empty();
        let is_empty = is_empty && numbered.is_empty() && marks.is_empty();
        self.seldom = (!is_empty).then_some(seldom);
    }

    /// Whether it is a literal that stands whatever is set.
    fn stands_always(&self) -> bool {
        let free = self.each().is_none() && self.maybe().is_none() && self.when().is_empty();
        free && self.leaf.as_ref().is_some_and(|leaf| leaf.literal().is_some())
    }

    /// The slot that is told as missing for this one: a container's single mandatory leaf, if it
    /// has exactly one. The slots on the way are given too.
    pub(crate) fn missing_leaf(&self) -> Vec<&Self> {
        let mut leaves = Vec::new();
        self.mandatory_leaves(&mut Vec::new(), &mut leaves);
        match leaves.pop() {
            Some(way) if leaves.is_empty() => way,
            _ => Vec::new(),
        }
    }

    fn mandatory_leaves<'s>(&'s self, way: &mut Vec<&'s Self>, leaves: &mut Vec<Vec<&'s Self>>) {
        let children = self.inside();
        for child in children.filter(|child| child.required && child.each().is_none()) {
            way.push(child);
            if child.leaf.as_ref().is_some_and(|leaf| leaf.any(|unset| *unset == Unset::Refused)) {
                leaves.push(way.clone());
            }
            child.mandatory_leaves(way, leaves);
            way.pop();
        }
    }

    /// This slot and all inside it.
    pub(crate) fn visit<'s>(&'s self, see: &mut dyn FnMut(&'s Self)) {
        see(self);
        let inside = self.inside();
        for child in inside {
            child.visit(see);
        }
    }
}

impl Name {
    /// Whether a node bears it.
    pub(crate) fn is_of(&self, node: &Node<'_>) -> bool {
        match &self.namespace {
            None => *self.written == *node.name,
            Some(_) => {
                self.namespace.as_deref() == node.namespace.as_deref()
                    && self.local() == node.local_name()
            }
        }
    }

    /// Without its prefix.
    pub(crate) fn local(&self) -> &str {
        self.written.split_once(':').map_or(&*self.written, |(_, local)| local)
    }
}
