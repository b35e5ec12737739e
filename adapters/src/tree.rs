//! A parsed document, XML or JSON, as one arena of nodes in document order.
//!
//! Names and texts borrow from the decoded text wherever nothing had to be unescaped. Every node
//! knows where it stands, in bytes of the decoded text; `wire::charset` maps that to the bytes as
//! sent. Nothing here knows what a document means, and nothing here recovers from an error: the
//! first fault ends the reading, because what comes after it cannot be told apart from what it
//! broke.

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
    /// Element or attribute name as written, prefix included; the key of an object's member,
    /// unescaped; empty for array items and for the root of JSON.
    pub name: Cow<'t, str>,
    /// The namespace an element's or attribute's prefix is bound to, if any. Namespace declarations
    /// are attributes too, in [`xml::XMLNS`].
    pub namespace: Option<Cow<'t, str>>,
    /// Unescaped text: an element's own character data (CDATA joined in, comments left out, blanks
    /// after a child element too; blank if it only has elements), an attribute's value, a scalar's
    /// text (a number's as written; `null` reads as empty).
    pub text: Cow<'t, str>,
    /// Where it stands: an element's `<`, the first byte of an attribute's name, the opening quote
    /// of a member's key, the first byte of an array item.
    pub at: usize,
    /// Where its value stands: an element's first byte of character data (inside the CDATA section
    /// if the text begins with one), or the first byte after its start tag if it has none; inside
    /// the quotes of an attribute; a JSON value's first byte (of a string its opening quote).
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

/// Why a text is no document: XML_SYNTAX, JSON_SYNTAX, DOCTYPE_REFUSED, TOO_DEEP, TOO_MANY or
/// KEY_DUPLICATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxFault {
    /// What is wrong.
    pub code: FaultCode,
    /// Where reading had to stop, in bytes of the decoded text; its end if the document is
    /// unfinished.
    pub at: usize,
    /// JSON Pointer of the key that stands twice; empty for all other faults.
    pub place: String,
}

/// Levels of elements, or of objects and arrays, in one document. Source: samples/README.md,
/// TOO_DEEP.
pub const DEPTH_MAX: usize = 32;

/// Elements, attributes, objects, arrays and values in one document. The wordiest dialect known
/// takes 24 of them for a home, so a charge on two thousand homes fits; without a limit a message
/// of one megabyte could ask for forty times its length in memory.
pub const NODES_MAX: usize = 50_000;

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

    /// Where a byte of a node's unescaped text stands in the source, in bytes: through entities,
    /// CDATA sections, line-end normalisation and JSON escapes. `text_offset` counts bytes of
    /// [`Node::text`]; beyond its end, the place where the text ends is told. Reads the source
    /// again, so it is for telling faults only.
    pub fn source_offset(&self, of: NodeId, text_offset: usize) -> usize {
        let Some(node) = self.node(of) else { return self.source.len() };
        match node.kind {
            Kind::Element if node.text.is_empty() => node.value_at,
            Kind::Element => {
                let had_elements = self.elements(of).any(|(_, child)| child.at < node.value_at);
                xml::element_offset(self.source, node.value_at, had_elements, text_offset)
            }
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
        xml::split_prefix(&self.name).map_or(self.name.as_ref(), |(_, local)| local)
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
    pub(crate) fn new(code: FaultCode, at: usize) -> Self {
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
        let nodes = Vec::with_capacity(nodes.min(NODES_MAX));
        Self { nodes, open: Vec::with_capacity(DEPTH_MAX) }
    }

    /// Hangs a node into what is open.
    fn push(&mut self, node: Node<'t>) -> Result<NodeId, SyntaxFault> {
        let too_many = SyntaxFault::new(FaultCode::TooMany, node.at);
        if self.nodes.len() >= NODES_MAX {
            return Err(too_many);
        }
        self.hang(node).ok_or(too_many)
    }

    fn hang(&mut self, node: Node<'t>) -> Option<NodeId> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_document_holds_is_bounded() {
        let most = NODES_MAX - 1;
        let xml = |inside: usize| format!("<a>{}</a>", "<b/>".repeat(inside));
        assert_eq!(xml::parse(&xml(most)).unwrap().nodes.len(), NODES_MAX);
        let fault = xml::parse(&xml(most + 1)).unwrap_err();
        assert_eq!((fault.code, fault.at), (FaultCode::TooMany, 3 + 4 * most));
        let json = |inside: usize| format!("[0{}]", ",0".repeat(inside - 1));
        assert_eq!(json::parse(&json(most)).unwrap().nodes.len(), NODES_MAX);
        let fault = json::parse(&json(most + 1)).unwrap_err();
        assert_eq!((fault.code, fault.at), (FaultCode::TooMany, 1 + 2 * most));
    }

    #[derive(serde::Deserialize)]
    struct Refused {
        case: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        document: String,
        code: Option<String>,
        place: Option<String>,
        why: String,
    }

    type Parse = fn(&str) -> Result<Tree<'_>, SyntaxFault>;

    #[test]
    fn what_is_no_xml_is_refused_where_reading_stops() {
        let cases = include_str!("../tests/data/xml-not-well-formed.toml");
        holds(cases, xml::parse, "XML_SYNTAX", 120);
    }

    #[test]
    fn what_is_no_json_is_refused_where_reading_stops() {
        let cases = include_str!("../tests/data/json-not-well-formed.toml");
        holds(cases, json::parse, "JSON_SYNTAX", 80);
    }

    fn holds(cases: &str, parse: Parse, usual: &str, at_least: usize) {
        let refused: Refused = toml::from_str(cases).unwrap();
        assert!(refused.case.len() >= at_least, "{} cases", refused.case.len());
        let wrong: Vec<String> = refused
            .case
            .iter()
            .filter_map(|case| {
                let at = case.document.find('▲').unwrap();
                let document = case.document.replace('▲', "");
                let told =
                    parse(&document).map(|_| ()).map_err(|f| (f.code.as_str(), f.at, f.place));
                let code = case.code.as_deref().unwrap_or(usual);
                let expected = Err((code, at, case.place.clone().unwrap_or_default()));
                (told != expected)
                    .then(|| format!("{}: {document:?} gives {told:?}, not {expected:?}", case.why))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn the_33rd_level_is_too_deep() {
        for (open, inner, close, parse) in [
            ("<a>", "", "</a>", xml::parse as Parse),
            ("[", "", "]", json::parse),
            ("{\"a\":", "1", "}", json::parse),
        ] {
            let levels = |n: usize| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
            assert!(parse(&levels(DEPTH_MAX)).is_ok(), "{open}");
            let fault = parse(&levels(DEPTH_MAX + 1)).unwrap_err();
            assert_eq!((fault.code, fault.at), (FaultCode::TooDeep, open.len() * DEPTH_MAX));
        }
        let empty = format!("{}<b/>{}", "<a>".repeat(DEPTH_MAX), "</a>".repeat(DEPTH_MAX));
        assert_eq!(xml::parse(&empty).unwrap_err().code, FaultCode::TooDeep);
    }

    #[test]
    fn children_come_in_order_attributes_first() {
        let tree = xml::parse("<a x='1' y='2' xmlns:p='u'><p:b/><c/>t<p:b/></a>").unwrap();
        let names = |nodes: Vec<(NodeId, &Node<'_>)>| {
            nodes.iter().map(|(_, node)| node.name.to_string()).collect::<Vec<_>>()
        };
        let root = tree.root();
        assert_eq!(names(tree.children(root).collect()), ["x", "y", "xmlns:p", "p:b", "c", "p:b"]);
        assert_eq!(names(tree.attributes(root).collect()), ["x", "y"]);
        assert_eq!(names(tree.elements(root).collect()), ["p:b", "c", "p:b"]);
        assert_eq!(tree.named(root, "p:b").count(), 2);
        assert_eq!(tree.named(root, "x").count(), 0);
        let (_, first) = tree.elements(root).next().unwrap();
        assert_eq!((first.local_name(), first.namespace.as_deref()), ("b", Some("u")));
    }

    /// Every byte of every text is told where it came from: there stands the character itself, or
    /// what reads as it.
    fn every_byte_is_placed(tree: &Tree<'_>) {
        for (index, node) in tree.nodes.iter().enumerate() {
            let id = NodeId(u32::try_from(index).unwrap());
            let mut before = 0;
            for (offset, character) in node.text.char_indices() {
                let at = tree.source_offset(id, offset);
                let there = &tree.source[at..];
                let escaped = there.starts_with(['&', '\\', '\r', '\n', '\t']);
                assert!(there.starts_with(character) || escaped, "{character:?} at {at}");
                assert!(at >= before.max(node.at), "{at} after {before}");
                before = at;
            }
            assert!(tree.source_offset(id, usize::MAX) >= before);
        }
    }

    const XML: &str = concat!(
        "\u{feff}<?xml version='1.0'?>\n<a k='甲&lt;\t乙' xmlns='d' xmlns:p='u'>x<!-- - -->",
        "&#x4E2D;\r\n<p:b p:k=\"'\"/> y <![CDATA[<&]]>]]<?p ?><c>\r<d/>\n</c></a> ",
    );
    const JSON: &str = concat!(
        "\u{feff}{\"a\\n\": [1, -0.50e+1, \"甲\\ud842\\udfb7\\/\"], \"b\": {\"c\": null, ",
        "\"d\": true}, \"\": \"x\"} ",
    );

    /// What is put into a document to damage it: marks, letters, and what no document can hold.
    const DAMAGE: &str = concat!(
        r#"([<>/&;"'=,:!?\[\]\{\}\\-]"#,
        "|[a-e甲\u{0}\u{1}\u{feff}\u{ffff}\r\n 0-9]){0,4}",
    );

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}", raw: Vec<u8>) {
            let raw = String::from_utf8_lossy(&raw);
            for text in [text.as_str(), raw.as_ref()] {
                for parse in [xml::parse as Parse, json::parse] {
                    match parse(text) {
                        Ok(tree) => every_byte_is_placed(&tree),
                        Err(fault) => prop_assert!(text.is_char_boundary(fault.at)),
                    }
                }
            }
        }

        #[test]
        fn a_damaged_document_is_read_or_refused(
            from in 0_usize..200,
            length in 0_usize..4,
            put in DAMAGE,
        ) {
            for (whole, parse) in [(XML, xml::parse as Parse), (JSON, json::parse)] {
                let mut letters: Vec<char> = whole.chars().collect();
                let from = from.min(letters.len());
                let to = (from + length).min(letters.len());
                letters.splice(from..to, put.chars());
                let text: String = letters.into_iter().collect();
                match parse(&text) {
                    Ok(tree) => every_byte_is_placed(&tree),
                    Err(fault) => prop_assert!(text.is_char_boundary(fault.at)),
                }
            }
        }
    }

    #[test]
    fn a_cut_document_is_unfinished_at_its_end() {
        for (whole, parse) in [(XML, xml::parse as Parse), (JSON, json::parse)] {
            let whole = whole.trim_end();
            for (cut, _) in whole.char_indices() {
                let fault = parse(&whole[..cut]).unwrap_err();
                assert_eq!(fault.at, cut, "{:?}", &whole[..cut]);
            }
            every_byte_is_placed(&parse(whole).unwrap());
        }
    }
}
