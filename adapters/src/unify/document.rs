//! Where things stand: documents, documents inside documents, and how places and offsets are told
//! to a bank.
//!
//! Only faults ask for places, so nothing here is kept ready. Source: samples/README.md, "place"
//! and "offset".

use std::{cell::OnceCell, ops::Range};

use crate::{
    fault::FaultCode,
    template::{Form, Slot, ToldBy},
    tree::{Children, Kind, Node, NodeId, SyntaxFault, Tree, json, xml},
    wire::Media,
};

/// Reads a document of either sort.
pub(crate) fn parse(media: Media, text: &str) -> Result<Tree<'_>, SyntaxFault> {
    match media {
        Media::Xml => xml::parse(text),
        Media::Json => json::parse(text),
    }
}

/// Reads a template, in which the language's own prefix needs no declaration.
pub(crate) fn parse_template(media: Media, text: &str) -> Result<Tree<'_>, SyntaxFault> {
    match media {
        Media::Xml => xml::parse_with_prefixes(text, &[("c", "contract")]),
        Media::Json => json::parse(text),
    }
}

/// A document, and the leaf it stands in if it is embedded.
#[derive(Debug)]
pub(crate) struct Document<'d> {
    tree: Tree<'d>,
    holder: Option<Spot<'d>>,
    /// What the place of everything in it begins with.
    within: &'d str,
    /// The documents in its leaves, by their nodes, as far as they have been asked for. What kind of message it is often
    /// stands in one of them, so that each is asked for again when the message is read.
    embedded: OnceCell<Vec<OnceCell<Box<Self>>>>,
}

/// One node of one document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot<'d> {
    document: &'d Document<'d>,
    id: NodeId,
}

/// What of a node, or missing from it, a fault is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Where<'d, 's> {
    /// The node itself: one too many, or unknown.
    Start(Spot<'d>),
    /// Its value.
    Value(Spot<'d>),
    /// A piece of its text, beginning at this byte of it.
    Piece(Spot<'d>, usize),
    /// A node that should stand in it, and the way from there to the leaf meant.
    Missing(Spot<'d>, &'s [&'s Slot]),
}

impl<'d> Document<'d> {
    /// The message itself; `within` is what every place begins with.
    pub(crate) fn outermost(tree: Tree<'d>, within: &'d str) -> Self {
        Self { tree, holder: None, within, embedded: OnceCell::new() }
    }

    /// Its nodes.
    pub(crate) fn tree(&self) -> &Tree<'d> {
        &self.tree
    }

    /// Its root.
    pub(crate) fn root(&'d self) -> Spot<'d> {
        Spot { document: self, id: self.tree.root() }
    }

    /// A byte of its text, in the text of the message.
    fn outer_offset(&self, at: usize) -> usize {
        match self.holder {
            None => at,
            Some(holder) => holder.text_offset(at),
        }
    }

    /// The place of its root's holder, with the `!` before what stands inside.
    fn place(&self, told_by: &[ToldBy]) -> String {
        match self.holder {
            None => self.within.to_owned(),
            Some(holder) => format!("{}!", holder.place(told_by)),
        }
    }
}

impl<'d> Spot<'d> {
    /// The node.
    pub(crate) fn node(self) -> Option<&'d Node<'d>> {
        self.document.tree.node(self.id)
    }

    /// What stands inside.
    pub(crate) fn children(self) -> Children<'d, 'd> {
        self.document.tree.children(self.id)
    }

    /// Another node of the same document.
    pub(crate) fn at(self, id: NodeId) -> Self {
        Self { id, ..self }
    }

    /// The document that the node's text is, read once.
    pub(crate) fn embedded(self, media: Media) -> Result<&'d Document<'d>, SyntaxFault> {
        let nodes = &self.document.tree.nodes;
        let all =
            self.document.embedded.get_or_init(|| nodes.iter().map(|_| OnceCell::new()).collect());
        let place = usize::try_from(self.id.0).ok().and_then(|number| all.get(number));
        let (Some(place), Some(node)) = (place, self.node()) else {
            return Err(SyntaxFault::new(FaultCode::XmlSyntax, 0)); // A node of another tree: there is none.
        };
        if let Some(known) = place.get() {
            return Ok(known);
        }
        let tree = parse(media, &node.text)?;
        let holder = Some(self);
        Ok(place.get_or_init(|| {
            Box::new(Document { tree, holder, within: "", embedded: OnceCell::new() })
        }))
    }

    /// A byte of the node's unescaped text, in the text of the message.
    pub(crate) fn text_offset(self, at: usize) -> usize {
        self.document.outer_offset(self.document.tree.source_offset(self.id, at))
    }

    /// A syntax fault of the document that stands in this leaf.
    pub(crate) fn embedded_fault(self, fault: &SyntaxFault, told_by: &[ToldBy]) -> (String, usize) {
        (format!("{}!{}", self.place(told_by), fault.place), self.text_offset(fault.at))
    }

    /// The place as the bank knows it: XPath or JSON Pointer.
    pub(crate) fn place(self, told_by: &[ToldBy]) -> String {
        let mut place = self.document.place(told_by);
        let (mut spot, mut way) = (self.document_root(), true);
        if matches!(spot.node(), Some(node) if node.kind == Kind::Element)
            && let Some(node) = spot.node()
        {
            place.push('/');
            place.push_str(&node.name);
        }
        while way && spot.id != self.id {
            // Nodes are numbered in document order: the last child not behind the node is on the
            // way to it.
            let next = spot.children().take_while(|(id, _)| *id <= self.id).enumerate().last();
            way = next.is_some();
            if let Some((number, (id, node))) = next {
                place.push('/');
                place.push_str(&spot.segment(number, node, told_by, id));
                spot = spot.at(id);
            }
        }
        place
    }

    fn document_root(self) -> Self {
        self.at(self.document.tree.root())
    }

    fn segment(self, number: usize, node: &Node<'_>, told_by: &[ToldBy], id: NodeId) -> String {
        match node.kind {
            Kind::Attribute => format!("@{}", node.name),
            Kind::Element => self.element_segment(node, told_by, id),
            _ if self.node().is_some_and(|parent| parent.kind == Kind::Array) => number.to_string(),
            _ => pointer_word(&node.name),
        }
    }

    fn element_segment(self, node: &Node<'_>, told_by: &[ToldBy], id: NodeId) -> String {
        let known = |id: NodeId, node: &Node<'_>| -> Option<&ToldBy> {
            told_by.iter().find(|told| {
                *node.local_name() == *told.element
                    && self.at(id).children().any(|(_, attribute)| {
                        attribute.kind == Kind::Attribute
                            && *attribute.name == *told.attribute.written
                            && *attribute.text.trim() == *told.text
                    })
            })
        };
        let told = known(id, node);
        let like = |other: NodeId, sibling: &Node<'_>| {
            sibling.kind == Kind::Element
                && sibling.name == node.name
                && (told.is_none() || known(other, sibling) == told)
        };
        let likes: Vec<NodeId> = self
            .children()
            .filter(|(other, sibling)| like(*other, sibling))
            .map(|(id, _)| id)
            .collect();
        let mut segment = node.name.to_string();
        if let Some(told) = told {
            segment.push_str(&format!("[@{}='{}']", told.attribute.written, told.text));
        }
        if likes.len() > 1 {
            let number = likes.iter().take_while(|other| **other <= id).count();
            segment.push_str(&format!("[{number}]"));
        }
        segment
    }
}

impl Where<'_, '_> {
    /// The place, as the bank knows it.
    pub(crate) fn place(&self, told_by: &[ToldBy]) -> String {
        match *self {
            Self::Start(spot) | Self::Value(spot) | Self::Piece(spot, _) => spot.place(told_by),
            Self::Missing(spot, way) => {
                let mut place = spot.place(told_by);
                let mut holder = spot.node().map(|node| node.kind);
                for slot in way {
                    place.push_str(&missing_segment(slot, holder, spot));
                    holder = None;
                }
                place
            }
        }
    }

    /// Where a text of `bytes` bytes stands that begins there, in bytes of the message's text; `None` where none can.
    pub(crate) fn text(&self, bytes: usize) -> Option<Range<usize>> {
        let (spot, at) = match *self {
            Self::Value(spot) => (spot, 0),
            Self::Piece(spot, at) => (spot, at),
            Self::Start(_) | Self::Missing(..) => return None,
        };
        Some(spot.text_offset(at)..spot.text_offset(at.saturating_add(bytes)))
    }

    /// The offset, in bytes of the message's text.
    pub(crate) fn offset(&self) -> usize {
        match *self {
            Self::Start(spot) => spot.outer(spot.node().map(|node| node.at)),
            Self::Value(spot) => spot.outer(spot.node().map(|node| node.value_at)),
            Self::Piece(spot, at) => spot.text_offset(at),
            Self::Missing(spot, _) => spot.outer(spot.node().map(|node| match node.kind {
                Kind::Object | Kind::Array => node.value_at,
                _ => node.at,
            })),
        }
    }
}

impl Spot<'_> {
    fn outer(self, at: Option<usize>) -> usize {
        self.document.outer_offset(at.unwrap_or_default())
    }
}

fn missing_segment(slot: &Slot, holder: Option<Kind>, spot: Spot<'_>) -> String {
    match slot.form {
        Form::Attribute => format!("/@{}", slot.name.written),
        Form::Element => {
            let mut segment = format!("/{}", slot.name.written);
            for mark in slot.marks() {
                if let Some((attribute, text)) = mark.attribute() {
                    segment.push_str(&format!("[@{}='{text}']", attribute.written));
                }
            }
            segment
        }
        _ if !slot.name.written.is_empty() => format!("/{}", pointer_word(&slot.name.written)),
        // An item of a list has no name yet: what lacks it is the list.
        _ if slot.each().is_some() => String::new(),
        _ if holder == Some(Kind::Array) => format!("/{}", spot.children().count()),
        _ => "/0".to_owned(),
    }
}

/// A key in a JSON Pointer (RFC 6901).
pub(crate) fn pointer_word(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
