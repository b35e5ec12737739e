//! A parsed document, XML or JSON, as one arena of nodes in document order.
//!
//! Names and texts borrow from the decoded text wherever nothing had to be unescaped. Every node knows where it
//! stands, in bytes of the decoded text; `wire::charset` maps that to the bytes as sent.

use std::borrow::Cow;

/// A document: its nodes, the root first.
#[derive(Debug)]
pub struct Tree<'t> {
    /// The decoded text the tree was read from.
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
    /// The namespace an element's or attribute's prefix is bound to, if any.
    pub namespace: Option<Cow<'t, str>>,
    /// Unescaped text: an element's own character data (CDATA joined in, comments left out; blank if it only has
    /// elements), an attribute's value, a scalar's text (`null` reads as empty).
    pub text: Cow<'t, str>,
    /// Where it stands: an element's `<`, the first byte of an attribute's name, the opening quote of a member's key,
    /// the first byte of an array item.
    pub at: usize,
    /// Where its value stands: the first byte after an element's start tag (inside the quotes of an attribute; inside
    /// the CDATA section if the text is one), a JSON value's first byte (of a string its opening quote).
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

impl<'t> Tree<'t> {
    /// A node; `None` for an id of another tree.
    pub fn node(&self, id: NodeId) -> Option<&Node<'t>> {
        self.nodes.get(usize::try_from(id.0).ok()?)
    }
}
