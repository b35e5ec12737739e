//! XML text to a tree: XML 1.0 (fifth edition) with namespaces, and no DOCTYPE.
//!
//! quick-xml finds where tags, text and comments begin and end. What it does not refuse is refused
//! here: names and characters, end tags, attributes, references, declarations, namespaces, one
//! root. Nothing outside the text is ever read, and what the XML declaration says of the charset is
//! not believed: the contract decides.

#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)]

mod markup;

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;

use self::markup::{CDATA, Cursor, is_blank};
use super::{Arena, DEPTH_MAX, Kind, Node, NodeId, SyntaxFault, Tree};
use crate::fault::FaultCode;

pub use self::markup::{NotXml, cdata, escape_attribute, escape_text};

/// The namespace of namespace declarations.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The namespace of the prefix `xml`, which needs no declaration.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Attributes of one element; no known dialect has more than a dozen. Comparing each with each
/// stays cheap.
pub const ATTRIBUTES_MAX: usize = 256;

/// Reads one XML document. A byte order mark before it is passed over.
///
/// # Errors
/// XML_SYNTAX where reading had to stop: a wrong end tag at its `<`, an attribute at its name, a
/// reference at its `&`, an unfinished document at its end. DOCTYPE_REFUSED at its `<`. TOO_DEEP at
/// the `<` of an element on level 33.
pub fn parse(text: &str) -> Result<Tree<'_>, SyntaxFault> {
    parse_with_prefixes(text, &[])
}

/// Reads one XML document in which some prefixes need no declaration: templates use the language's
/// own (`c:each`).
///
/// # Errors
/// As [`parse`].
pub fn parse_with_prefixes<'t>(
    text: &'t str,
    prefixes: &[(&'t str, &'t str)],
) -> Result<Tree<'t>, SyntaxFault> {
    let Some(stop) = markup::first_illegal(text) else {
        return Reading::new(text, prefixes).document();
    };
    // A character that XML cannot hold ends the reading, unless something before it already has.
    let before = text.get(..stop).map(|head| Reading::new(head, prefixes).document());
    match before {
        Some(Err(fault)) if fault.at < stop => Err(fault),
        _ => Err(syntax(stop)),
    }
}

/// The byte order mark.
const MARK: char = '\u{feff}';

fn syntax(at: usize) -> SyntaxFault {
    SyntaxFault::new(FaultCode::XmlSyntax, at)
}

struct Reading<'t> {
    text: &'t str,
    /// Length of the byte order mark.
    base: usize,
    arena: Arena<'t>,
    /// Prefix (empty: the default namespace) and what it is bound to (empty: nothing), innermost
    /// last.
    bindings: Vec<(Cow<'t, str>, Cow<'t, str>)>,
    /// For each open element, how many bindings there were before it.
    bindings_before: Vec<usize>,
}

/// How a tag ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// `>`
    Open,
    /// `/>`
    Empty,
    /// The text ends first.
    Unfinished,
}

impl<'t> Reading<'t> {
    fn new(text: &'t str, prefixes: &[(&'t str, &'t str)]) -> Self {
        let bound =
            prefixes.iter().map(|(prefix, uri)| (Cow::Borrowed(*prefix), Cow::Borrowed(*uri)));
        Self {
            text,
            base: if text.starts_with(MARK) { MARK.len_utf8() } else { 0 },
            arena: Arena::with_capacity(nodes_likely(text)),
            bindings: bound.collect(),
            bindings_before: Vec::with_capacity(DEPTH_MAX),
        }
    }

    fn document(mut self) -> Result<Tree<'t>, SyntaxFault> {
        let base = self.base;
        let body = self.text.get(base..).unwrap_or_default();
        if body.starts_with(MARK) {
            return Err(syntax(base)); // quick-xml would pass over a second mark.
        }
        let mut reader = Reader::from_str(body);
        let checks = reader.config_mut();
        checks.check_end_names = false; // Done here, where the offset is known.
        checks.allow_unmatched_ends = true;
        loop {
            let at = base.saturating_add(position(&reader));
            let event = reader.read_event();
            let end = base.saturating_add(position(&reader));
            match event {
                Ok(Event::Start(_)) => self.start(at, end, Ending::Open)?,
                Ok(Event::Empty(_)) => self.start(at, end, Ending::Empty)?,
                Ok(Event::End(_)) => self.end(at, end)?,
                Ok(Event::Text(_)) => self.text(at, end)?,
                Ok(Event::GeneralRef(_)) => self.reference(at)?,
                Ok(Event::CData(_)) => self.cdata(at, end)?,
                Ok(Event::Comment(_)) => markup::comment(self.text, at)?,
                Ok(Event::PI(_)) => markup::instruction(self.text, at)?,
                Ok(Event::Decl(_)) if at == base => markup::declaration(self.text, at, end)?,
                Ok(Event::Decl(_)) => return Err(syntax(at)),
                Ok(Event::DocType(_)) => {
                    return Err(SyntaxFault::new(FaultCode::DoctypeRefused, at));
                }
                Ok(Event::Eof) => break,
                Err(_) => return Err(self.broken(at)),
            }
        }
        if self.arena.nodes.is_empty() || !self.arena.open.is_empty() {
            return Err(syntax(self.text.len()));
        }
        Ok(Tree { source: self.text, nodes: self.arena.nodes })
    }

    /// Where exactly markup is broken that quick-xml found no end of.
    fn broken(mut self, at: usize) -> SyntaxFault {
        let rest = self.text.get(at..).unwrap_or_default();
        let length = self.text.len();
        let outside = self.arena.open.is_empty();
        let may_become = |markup: &str| markup.starts_with(rest) && !(outside && markup == CDATA);
        let found = match rest.as_bytes() {
            _ if markup::is_doctype(rest) => Err(SyntaxFault::new(FaultCode::DoctypeRefused, at)),
            [b'<', b'!', b'-', b'-', ..] => markup::comment(self.text, at),
            [b'<', b'!', ..] if rest.starts_with(CDATA) && !outside => Ok(()),
            [b'<', b'!', ..] if ["<!--", CDATA, "<!DOCTYPE"].iter().any(|m| may_become(m)) => {
                Ok(())
            }
            [b'<', b'!', ..] => Err(syntax(at)),
            [b'<', b'?', ..] if at == self.base && rest.starts_with("<?xml") => {
                markup::unfinished_declaration(self.text, at)
            }
            [b'<', b'?', ..] => markup::instruction(self.text, at),
            [b'<', b'/', ..] => self.end(at, length),
            [b'<', ..] => self.start(at, length, Ending::Unfinished),
            [b'&', ..] if !outside => self.reference(at),
            _ => Err(syntax(at)),
        };
        // A slash at the very end may have been going to close an empty tag.
        let unfinished = |at: usize| self.text.get(at..) == Some("/");
        found.err().filter(|fault| !unfinished(fault.at)).unwrap_or(syntax(length))
    }

    /// A start or empty tag, from its `<` to behind its `>`.
    fn start(&mut self, at: usize, end: usize, ending: Ending) -> Result<(), SyntaxFault> {
        if self.arena.open.len() >= DEPTH_MAX {
            return Err(SyntaxFault::new(FaultCode::TooDeep, at));
        }
        if self.arena.open.is_empty() && !self.arena.nodes.is_empty() {
            return Err(syntax(at)); // A second root.
        }
        let closing = match ending {
            Ending::Open => 1,
            Ending::Empty => 2,
            Ending::Unfinished => 0,
        };
        let mut tag =
            Cursor { text: self.text, at: at.saturating_add(1), end: end.saturating_sub(closing) };
        let name = tag.name()?;
        let id = self.push(Node {
            kind: Kind::Element,
            name: Cow::Borrowed(name),
            namespace: None,
            text: Cow::Borrowed(""),
            at,
            value_at: end,
            first_child: None,
            next_sibling: None,
        })?;
        self.arena.open(id);
        self.bindings_before.push(self.bindings.len());
        let attributes_from = self.arena.nodes.len();
        self.attributes(&mut tag)?;
        if ending != Ending::Unfinished {
            self.resolve(id, attributes_from)?;
        }
        if ending == Ending::Empty {
            self.close();
        }
        Ok(())
    }

    fn attributes(&mut self, tag: &mut Cursor<'t>) -> Result<(), SyntaxFault> {
        let from = self.arena.nodes.len();
        loop {
            let blank = tag.skip_blanks();
            if tag.is_at_end() {
                return Ok(());
            }
            let at = tag.at;
            if !blank {
                return Err(syntax(at));
            }
            let name = tag.name()?;
            tag.skip_blanks();
            tag.expect(b'=')?; // Only now the name is known to be whole.
            let earlier = self.arena.nodes.get(from..).unwrap_or_default();
            if earlier.len() >= ATTRIBUTES_MAX || earlier.iter().any(|node| node.name == name) {
                return Err(syntax(at));
            }
            tag.skip_blanks();
            let (value_at, raw) = tag.quoted()?;
            let text = markup::attribute_text(raw, value_at)?;
            let namespace = self.declare(name, &text, at)?;
            self.push(Node {
                kind: Kind::Attribute,
                name: Cow::Borrowed(name),
                namespace,
                text,
                at,
                value_at,
                first_child: None,
                next_sibling: None,
            })?;
        }
    }

    /// Binds a prefix if the attribute is a namespace declaration, and gives the namespace of such
    /// attributes. Source: Namespaces in XML 1.0, sections 2.2, 3 and 6.1.
    fn declare(
        &mut self,
        name: &'t str,
        uri: &Cow<'t, str>,
        at: usize,
    ) -> Result<Option<Cow<'t, str>>, SyntaxFault> {
        let prefix = match name.strip_prefix("xmlns") {
            Some("") => "",
            Some(rest) => match rest.strip_prefix(':') {
                Some(prefix) => prefix,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        let legal = match (prefix, uri.as_ref()) {
            ("xml", uri) => uri == XML,
            ("xmlns", _) | (_, XML | XMLNS) => false,
            (prefix, uri) => prefix.is_empty() || !uri.is_empty(),
        };
        if !legal {
            return Err(syntax(at));
        }
        self.bindings.push((Cow::Borrowed(prefix), uri.clone()));
        Ok(Some(Cow::Borrowed(XMLNS)))
    }

    /// Looks up the prefixes of an element and its attributes.
    fn resolve(&mut self, element: NodeId, attributes_from: usize) -> Result<(), SyntaxFault> {
        let attributes_end = self.arena.nodes.len();
        for index in attributes_from..attributes_end {
            let Some(node) = self.arena.nodes.get(index) else { continue };
            let Some((prefix, local)) = split_prefix(&node.name) else { continue };
            if node.namespace.is_some() {
                continue;
            }
            let namespace = self.bound(prefix).ok_or_else(|| syntax(node.at))?;
            let earlier = self.arena.nodes.get(attributes_from..index).unwrap_or_default();
            if earlier.iter().any(|other| {
                other.local_name() == local && other.namespace.as_ref() == Some(&namespace)
            }) {
                return Err(syntax(node.at));
            }
            if let Some(node) = self.arena.nodes.get_mut(index) {
                node.namespace = Some(namespace);
            }
        }
        let Some(node) = self.arena.node(element) else { return Ok(()) };
        let namespace = match split_prefix(&node.name) {
            Some((prefix, _)) => Some(self.bound(prefix).ok_or_else(|| syntax(node.at))?),
            None => self.bound("").filter(|uri| !uri.is_empty()),
        };
        if let Some(node) = self.arena.node_mut(element) {
            node.namespace = namespace;
        }
        Ok(())
    }

    fn bound(&self, prefix: &str) -> Option<Cow<'t, str>> {
        if prefix == "xml" {
            return Some(Cow::Borrowed(XML));
        }
        self.bindings.iter().rev().find(|(bound, _)| bound == prefix).map(|(_, uri)| uri.clone())
    }

    /// An end tag, from its `<` to behind its `>`, or to the text's end if it is unfinished.
    fn end(&mut self, at: usize, end: usize) -> Result<(), SyntaxFault> {
        let tag = self.text.get(at..end).unwrap_or_default();
        let open = self.arena.open.last().and_then(|open| self.arena.node(open.node));
        let name = open.map(|node| node.name.as_ref()).ok_or_else(|| syntax(at))?;
        let rest = tag.strip_prefix("</").unwrap_or_default();
        if !tag.ends_with('>') && name.starts_with(rest) {
            return Err(syntax(end));
        }
        let after = rest.strip_prefix(name).ok_or_else(|| syntax(at))?;
        if after.starts_with(markup::continues_name) || after.starts_with(':') {
            return Err(syntax(at));
        }
        // Blanks, then the end.
        let close = after.trim_start_matches([' ', '\t', '\r', '\n']);
        if close != ">" {
            return Err(syntax(end.saturating_sub(close.len())));
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        self.arena.open.pop();
        if let Some(before) = self.bindings_before.pop() {
            self.bindings.truncate(before);
        }
    }

    fn text(&mut self, at: usize, end: usize) -> Result<(), SyntaxFault> {
        let raw = self.text.get(at..end).unwrap_or_default();
        // Looked for first as one byte: a search for three costs more to set up than most texts to
        // read.
        if raw.as_bytes().contains(&b']')
            && let Some(stop) = raw.find("]]>")
        {
            return Err(syntax(at.saturating_add(stop)));
        }
        let blank = raw.bytes().all(is_blank);
        if self.arena.open.is_empty() {
            let stray = raw.bytes().position(|byte| !is_blank(byte)).unwrap_or_default();
            return if blank { Ok(()) } else { Err(syntax(at.saturating_add(stray))) };
        }
        // Indentation between children is nobody's text; the same rule stands in `element_offset`.
        if blank && self.has_elements() {
            return Ok(());
        }
        self.append(at, markup::line_ends(raw));
        Ok(())
    }

    fn cdata(&mut self, at: usize, end: usize) -> Result<(), SyntaxFault> {
        if self.arena.open.is_empty() {
            return Err(syntax(at));
        }
        let from = at.saturating_add(CDATA.len());
        let raw = self.text.get(from..end.saturating_sub("]]>".len())).unwrap_or_default();
        self.append(from, markup::line_ends(raw));
        Ok(())
    }

    fn reference(&mut self, at: usize) -> Result<(), SyntaxFault> {
        let rest = self.text.get(at..).unwrap_or_default();
        let (character, _) = markup::reference(rest, at)?;
        if self.arena.open.is_empty() {
            return Err(syntax(at));
        }
        self.append(at, Cow::Owned(character.to_string()));
        Ok(())
    }

    fn has_elements(&self) -> bool {
        let last = self.arena.open.last().and_then(|open| open.last_child);
        last.and_then(|id| self.arena.node(id)).is_some_and(|node| node.kind == Kind::Element)
    }

    /// Adds a piece of character data to the innermost element's text.
    fn append(&mut self, at: usize, piece: Cow<'t, str>) {
        let id = self.arena.open.last().map(|open| open.node);
        let Some(node) = id.and_then(|id| self.arena.node_mut(id)) else { return };
        if node.text.is_empty() {
            node.text = piece;
            node.value_at = at;
        } else {
            node.text.to_mut().push_str(&piece);
        }
    }

    fn push(&mut self, node: Node<'t>) -> Result<NodeId, SyntaxFault> {
        self.arena.push(node)
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// A name's prefix and what follows it. Names are short: setting up a search costs more than to look at each byte.
pub(super) fn split_prefix(name: &str) -> Option<(&str, &str)> {
    let colon = name.bytes().position(|byte| byte == b':')?;
    Some((name.get(..colon)?, name.get(colon.saturating_add(1)..)?))
}

/// Twenty-four bytes an element, as the banks' messages have at least: `<TradeNo>20261104</TradeNo>`.
fn nodes_likely(text: &str) -> usize {
    text.len().checked_div(24).unwrap_or_default().saturating_add(2)
}

/// Where a byte of an element's text stands; the text begins at `value_at` and is not empty.
/// `had_elements`: whether a child element stands before it. The source is known to be well formed.
pub(super) fn element_offset(
    source: &str,
    value_at: usize,
    mut had_elements: bool,
    text_offset: usize,
) -> usize {
    let mut place = Place { at: value_at, left: text_offset };
    let mut rest = source.get(value_at..).unwrap_or_default();
    let mut depth = 0_usize;
    if source.get(..value_at).unwrap_or_default().ends_with(CDATA) {
        let (raw, after) = rest.split_once("]]>").unwrap_or((rest, ""));
        if place.pass_raw(source, raw) {
            return place.at;
        }
        rest = after;
    }
    loop {
        let (piece, after) = markup::split_piece(rest);
        if piece.is_empty() {
            return place.at;
        }
        rest = after;
        if piece.starts_with("<!--") || piece.starts_with("<?") {
            continue;
        }
        if let Some(inside) = piece.strip_prefix(CDATA) {
            let raw = inside.strip_suffix("]]>").unwrap_or(inside);
            if depth == 0 && place.pass_raw(source, raw) {
                return place.at;
            }
        } else if piece.starts_with("</") {
            match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return place.at,
            }
        } else if piece.starts_with('<') {
            had_elements = true;
            if !piece.ends_with("/>") {
                depth = depth.saturating_add(1);
            }
        } else if depth > 0 || (had_elements && piece.bytes().all(is_blank)) {
            continue;
        } else if piece.starts_with('&') {
            let length =
                markup::reference(piece, 0).map_or(1, |(character, _)| character.len_utf8());
            if place.pass(source, piece, length) {
                return place.at;
            }
        } else if place.pass_raw(source, piece) {
            return place.at;
        }
    }
}

/// Where a byte of an attribute's text stands; `value_at` is the first byte inside its quotes.
pub(super) fn attribute_offset(source: &str, value_at: usize, text_offset: usize) -> usize {
    let mut place = Place { at: value_at, left: text_offset };
    let quote = source.get(..value_at).and_then(|before| before.chars().next_back());
    let rest = source.get(value_at..).unwrap_or_default();
    let mut rest = quote.and_then(|quote| rest.split(quote).next()).unwrap_or_default();
    while !rest.is_empty() {
        let (piece, after) = markup::split_piece(rest);
        rest = after;
        let found = match markup::reference(piece, 0) {
            Ok((character, _)) => place.pass(source, piece, character.len_utf8()),
            Err(_) => place.pass_raw(source, piece),
        };
        if found {
            break;
        }
    }
    place.at
}

/// A walk through the source, counting unescaped bytes.
struct Place {
    /// The answer so far: the byte looked for, or the end of what was passed.
    at: usize,
    /// Unescaped bytes still to pass.
    left: usize,
}

impl Place {
    /// Passes a piece of the source that reads as `length` bytes; true if the byte looked for is
    /// among them.
    fn pass(&mut self, source: &str, piece: &str, length: usize) -> bool {
        // Pieces are parts of the source, so the distance of their beginnings is an offset.
        let at = piece.as_ptr().addr().saturating_sub(source.as_ptr().addr());
        self.at = at;
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                self.at = at.saturating_add(piece.len());
                false
            }
            None => true,
        }
    }

    /// Passes text without references, in which a carriage return and line feed read as one byte.
    fn pass_raw(&mut self, source: &str, raw: &str) -> bool {
        let mut rest = raw;
        while let Some(character) = rest.chars().next() {
            let length = if rest.starts_with("\r\n") { 2 } else { character.len_utf8() };
            let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            if self.pass(source, piece, if length == 2 && character == '\r' { 1 } else { length }) {
                return true;
            }
            rest = after;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(document: &str) -> String {
        parse(document).unwrap().nodes[0].text.to_string()
    }

    #[test]
    fn places_are_those_of_brackets_names_and_values() {
        let tree =
            parse("<?xml version='1.0'?>\n<甲 乙='x'>\n <c>1</c><d><![CDATA[2]]></d><e/></甲>")
                .unwrap();
        let places: Vec<_> =
            tree.nodes.iter().map(|n| (n.name.as_ref(), n.text.trim(), n.at, n.value_at)).collect();
        assert_eq!(
            places,
            [
                ("甲", "", 22, 35),
                ("乙", "x", 27, 32),
                ("c", "1", 37, 40),
                ("d", "2", 45, 57),
                ("e", "", 65, 69)
            ]
        );
    }

    #[test]
    fn text_is_joined_from_its_pieces() {
        assert_eq!(
            text_of("<a>x &amp; <!-- no -->y<![CDATA[<b>&amp;]]>&#x4E2D;&#20013;<?p no?></a>"),
            "x & y<b>&amp;中中"
        );
    }

    #[test]
    fn indentation_between_children_is_nobody_s_text() {
        assert_eq!(text_of("<a>\n  <b/>\n  <b/>\n</a>"), "\n  ");
        assert_eq!(text_of("<a>1\n  <b/>\n  2</a>"), "1\n  \n  2");
    }

    #[test]
    fn line_ends_are_one_line_feed() {
        assert_eq!(text_of("<a>1\r\n2\r3\n<![CDATA[\r\n]]>&#13;</a>"), "1\n2\n3\n\n\r");
    }

    #[test]
    fn blanks_in_attributes_become_spaces_unless_referred_to() {
        let tree = parse("<a b='1\r\n2\t3&#10;4&#x9;&apos;' c=\"'\"/>").unwrap();
        assert_eq!(tree.nodes[1].text, "1 2 3\n4\t'");
        assert_eq!(tree.nodes[2].text, "'");
    }

    #[test]
    fn odd_documents_are_documents() {
        for document in [
            "\u{feff}<a/>",
            "<?xml version=\"1.1\" encoding='GB2312' standalone='no' ?><a></a  >",
            "<!-- x --><?p?>\n<a ></a >\n<!----><?p ?>\n",
            "<a><!--->--></a>",
            "<a>]] > ]]&gt;</a>",
            "<a b = 'c'\n\td=\"]]>\"/>",
            "<字段·1 名称-2='值'/>",
            "<a xml:lang='zh' xml:space='preserve'/>",
            "<a xmlns:p='u'><p:b xmlns:p='v' p:c='' c=''/></a>",
            "<a xmlns='u'><b xmlns=''/></a>",
            "<a>\u{7f}\u{85}\u{2028}\u{fffd}𠮷</a>",
            "<a><![CDATA[]]]]><![CDATA[>]]></a>",
            "<a><![CDATA[<!DOCTYPE a>]]></a>",
        ] {
            assert_eq!(parse(document).err(), None, "{document:?}");
        }
    }

    #[test]
    fn namespaces_are_those_of_the_nearest_declaration() {
        let document = concat!(
            "<p:a xmlns:p='1' xmlns='2' p:x='' x=''>",
            "<b/><c xmlns='' xmlns:p='3'><p:d/></c><p:e/></p:a>",
        );
        let tree = parse(document).unwrap();
        let bound: Vec<_> = tree
            .nodes
            .iter()
            .filter(|node| node.namespace.as_deref() != Some(XMLNS))
            .map(|node| (node.name.as_ref(), node.namespace.as_deref()))
            .collect();
        assert_eq!(
            bound,
            [
                ("p:a", Some("1")),
                ("p:x", Some("1")),
                ("x", None),
                ("b", Some("2")),
                ("c", None),
                ("p:d", Some("3")),
                ("p:e", Some("1"))
            ]
        );
    }

    #[test]
    fn a_prefix_may_be_bound_from_outside() {
        let template = "<a c:each='x'><c:b/></a>";
        assert!(parse(template).is_err());
        let tree = parse_with_prefixes(template, &[("c", "urn:c")]).unwrap();
        assert_eq!(tree.nodes[1].namespace.as_deref(), Some("urn:c"));
    }

    #[test]
    fn attributes_are_capped() {
        let with = |count: usize| {
            let attributes: String = (0..count).map(|n| format!(" a{n}=''")).collect();
            format!("<a{attributes}/>")
        };
        assert!(parse(&with(ATTRIBUTES_MAX)).is_ok());
        let one_more = with(ATTRIBUTES_MAX + 1);
        let fault = parse(&one_more).unwrap_err();
        assert_eq!(Some(fault.at), one_more.rfind(" a").map(|at| at + 1));
    }

    #[test]
    fn nothing_is_copied_that_was_not_escaped() {
        let tree = parse("<a b='c'>\n <d>e</d>\n <f><![CDATA[g]]></f>\n</a>").unwrap();
        assert!(tree.nodes.iter().all(|node| matches!(node.text, Cow::Borrowed(_))));
    }

    #[test]
    fn an_element_s_bytes_are_found_through_everything() {
        let document = "<a>甲&amp;<b k='>'>x</b> <!-- y -->z\r\n<![CDATA[<]]></a>";
        let tree = parse(document).unwrap();
        assert_eq!(tree.nodes[0].text, "甲&z\n<");
        let found: Vec<_> = [0, 3, 4, 5, 6]
            .map(|at| {
                document.split_at(tree.source_offset(NodeId(0), at)).1.chars().next().unwrap()
            })
            .into();
        assert_eq!(found, ['甲', '&', 'z', '\r', '<']);
        assert_eq!(document.split_at(tree.source_offset(NodeId(0), 7)).1, "]]></a>");
        let tree = parse("<a b='1&lt;\r\n2'/>").unwrap();
        assert_eq!([0, 1, 2, 3, 9].map(|at| tree.source_offset(NodeId(1), at)), [6, 7, 11, 13, 14]);
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = "<a> & ]]> \"quoted\" 'text'\r\n\ttab 𠮷 ]]>";
        let mut document = String::from("<a b=\"");
        escape_attribute(text, &mut document).unwrap();
        document.push_str("\"><c>");
        escape_text(text, &mut document).unwrap();
        document.push_str("</c><d>");
        cdata(text, &mut document).unwrap();
        document.push_str("</d></a>");
        let tree = parse(&document).unwrap();
        for node in &tree.nodes[1..] {
            assert_eq!(node.text, text, "{document}");
        }
    }

    #[test]
    fn what_xml_cannot_hold_is_not_written() {
        for write in [escape_text, escape_attribute, cdata] {
            let mut out = String::new();
            let refused = write("a\u{1}", &mut out);
            assert_eq!(refused, Err(NotXml { character: '\u{1}', at: 1 }));
            assert_eq!(write("\u{ffff}", &mut out).map_err(|not| not.at), Err(0));
            assert!(out.is_empty());
        }
    }
}
