//! A parsed document, XML or JSON, as one arena of nodes in document order.
//!
//! Names and texts borrow from the decoded text wherever nothing had to be unescaped. Every node knows where it
//! stands, in bytes of the decoded text; `wire::charset` maps that to the bytes as sent. Nothing here knows what a
//! document means, and nothing here recovers from an error: the first fault ends the reading, because what comes
//! after it cannot be told apart from what it broke.

pub mod json;
pub mod xml;

use std::borrow::Cow;

use crate::fault::FaultCode;

/// A document: its nodes, the root first.
#[derive(Debug)]
pub struct Tree<'t> {
    /// The decoded text the tree was read from, byte order mark included.
    pub source: &'t str,
    /// All nodes, in document order; attributes stand before the elements inside.
    pub nodes: Vec<Node<'t>>,
}

/// The place of a node in [`Tree::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// One element, attribute, object, array or scalar.
#[derive(Debug)]
pub struct Node<'t> {
    /// What it is.
    pub kind: Kind,
    /// Element or attribute name as written, prefix included; the key of an object's member, unescaped; empty for
    /// array items and for the root of JSON.
    pub name: Cow<'t, str>,
    /// The namespace an element's or attribute's prefix is bound to, if any. Namespace declarations are attributes
    /// too, in [`xml::XMLNS`].
    pub namespace: Option<Cow<'t, str>>,
    /// Unescaped text: an element's own character data (CDATA joined in, comments left out, blanks after a child
    /// element too; blank if it only has elements), an attribute's value, a scalar's text (a number's as written;
    /// `null` reads as empty).
    pub text: Cow<'t, str>,
    /// Where it stands: an element's `<`, the first byte of an attribute's name, the opening quote of a member's key,
    /// the first byte of an array item.
    pub at: usize,
    /// Where its value stands: an element's first byte of character data (inside the CDATA section if the text begins
    /// with one), or the first byte after its start tag if it has none; inside the quotes of an attribute; a JSON
    /// value's first byte (of a string its opening quote).
    pub value_at: usize,
    /// First attribute, element, member or item inside.
    pub first_child: Option<NodeId>,
    /// The next attribute, element, member or item beside it.
    pub next_sibling: Option<NodeId>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of XML and JSON")]
pub enum Kind {
    Element,
    Attribute,
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// Why a text is no document: XML_SYNTAX, JSON_SYNTAX, DOCTYPE_REFUSED, TOO_DEEP or KEY_DUPLICATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxFault {
    /// What is wrong.
    pub code: FaultCode,
    /// Where reading had to stop, in bytes of the decoded text; its end if the document is unfinished.
    pub at: usize,
    /// JSON Pointer of the key that stands twice; empty for all other faults.
    pub place: String,
}

/// Levels of elements, or of objects and arrays, in one document. Source: samples/README.md, TOO_DEEP.
pub const DEPTH_MAX: usize = 32;

impl<'t> Tree<'t> {
    /// A node; `None` for an id of another tree.
    pub fn node(&self, id: NodeId) -> Option<&Node<'t>> {
        self.nodes.get(usize::try_from(id.0).ok()?)
    }

    /// The root element, or the one JSON value.
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// Everything inside a node, in document order: attributes, then elements; members; items.
    pub fn children(&self, of: NodeId) -> Children<'_, 't> {
        Children { tree: self, next: self.node(of).and_then(|node| node.first_child) }
    }

    /// The attributes of an element, namespace declarations left out.
    pub fn attributes(&self, of: NodeId) -> impl Iterator<Item = (NodeId, &Node<'t>)> {
        self.children(of)
            .take_while(|(_, node)| node.kind == Kind::Attribute)
            .filter(|(_, node)| node.namespace.as_deref() != Some(xml::XMLNS))
    }

    /// The elements inside an element.
    pub fn elements(&self, of: NodeId) -> impl Iterator<Item = (NodeId, &Node<'t>)> {
        self.children(of).filter(|(_, node)| node.kind == Kind::Element)
    }

    /// The elements or members inside a node that bear a name, prefix included.
    pub fn named<'a>(
        &'a self,
        of: NodeId,
        name: &'a str,
    ) -> impl Iterator<Item = (NodeId, &'a Node<'t>)> {
        self.children(of).filter(move |(_, node)| node.kind != Kind::Attribute && node.name == name)
    }

    /// Where a byte of a node's unescaped text stands in the source, in bytes: through entities, CDATA sections,
    /// line-end normalisation and JSON escapes. `text_offset` counts bytes of [`Node::text`]; beyond its end, the
    /// place where the text ends is told. Reads the source again, so it is for telling faults only.
    pub fn source_offset(&self, of: NodeId, text_offset: usize) -> usize {
        let Some(node) = self.node(of) else { return self.source.len() };
        match node.kind {
            Kind::Element => xml::element_offset(self.source, node.value_at, text_offset),
            Kind::Attribute => xml::attribute_offset(self.source, node.value_at, text_offset),
            Kind::String => json::string_offset(self.source, node.value_at, text_offset),
            Kind::Number | Kind::Bool => {
                node.value_at.saturating_add(text_offset.min(node.text.len()))
            }
            Kind::Object | Kind::Array | Kind::Null => node.value_at,
        }
    }
}

impl Node<'_> {
    /// The name without its prefix.
    pub fn local_name(&self) -> &str {
        self.name.split_once(':').map_or(self.name.as_ref(), |(_, local)| local)
    }
}

/// See [`Tree::children`].
#[derive(Debug, Clone)]
pub struct Children<'a, 't> {
    tree: &'a Tree<'t>,
    next: Option<NodeId>,
}

impl<'a, 't> Iterator for Children<'a, 't> {
    type Item = (NodeId, &'a Node<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next?;
        let node = self.tree.node(id)?;
        self.next = node.next_sibling;
        Some((id, node))
    }
}

impl SyntaxFault {
    fn new(code: FaultCode, at: usize) -> Self {
        Self { code, at, place: String::new() }
    }
}

/// The nodes while a document is being read: what is open, and where the next node is to be hung.
#[derive(Debug)]
struct Arena<'t> {
    nodes: Vec<Node<'t>>,
    open: Vec<Open>,
}

/// An element, object or array whose end has not been read yet.
#[derive(Debug)]
struct Open {
    node: NodeId,
    last_child: Option<NodeId>,
}

impl<'t> Arena<'t> {
    fn with_capacity(nodes: usize) -> Self {
        Self { nodes: Vec::with_capacity(nodes), open: Vec::with_capacity(DEPTH_MAX) }
    }

    /// Hangs a node into what is open. `None` only if there are more nodes than an id can number, which texts of up
    /// to 4 GiB cannot hold.
    fn push(&mut self, node: Node<'t>) -> Option<NodeId> {
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        self.nodes.push(node);
        if let Some(open) = self.open.last_mut() {
            let before = open.last_child.replace(id);
            let parent = open.node;
            match before {
                Some(sibling) => self.node_mut(sibling)?.next_sibling = Some(id),
                None => self.node_mut(parent)?.first_child = Some(id),
            }
        }
        Some(id)
    }

    fn open(&mut self, node: NodeId) {
        self.open.push(Open { node, last_child: None });
    }

    fn node(&self, id: NodeId) -> Option<&Node<'t>> {
        self.nodes.get(usize::try_from(id.0).ok()?)
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node<'t>> {
        self.nodes.get_mut(usize::try_from(id.0).ok()?)
    }
}
