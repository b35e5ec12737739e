//! JSON text to a tree: RFC 8259 and nothing beyond it.
//!
//! A tokenizer of our own rather than one of the known ones: serde_json keeps the last of two equal
//! keys, and jiter gives neither the place of a key's quote nor that of a lone surrogate's
//! backslash, which is where faults are told. Numbers are kept as they are written; nothing here
//! ever makes a float.

#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)]

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Arena, DEPTH_MAX, Kind, Node, NodeId, SyntaxFault, Tree};
use crate::fault::FaultCode;

/// Reads one JSON document. A byte order mark before it is passed over (RFC 8259, section 8.1).
///
/// # Errors
/// JSON_SYNTAX where reading had to stop (an unusable escape at its backslash, the end of an
/// unfinished document); KEY_DUPLICATE at the second key's opening quote; TOO_DEEP at the bracket
/// that opens level 33.
pub fn parse(text: &str) -> Result<Tree<'_>, SyntaxFault> {
    let mut reading = Reading {
        text,
        at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 },
        arena: Arena::with_capacity(nodes_likely(text)),
        keys: Vec::new(),
    };
    reading.document()?;
    Ok(Tree { source: text, nodes: reading.arena.nodes })
}

/// Every member has a colon and every item but the last a comma: exact for flat documents, never
/// far off.
fn nodes_likely(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b',' | b'[')).count().saturating_add(2)
}

struct Reading<'t> {
    text: &'t str,
    at: usize,
    arena: Arena<'t>,
    /// The keys of each open object or array, innermost last.
    keys: Vec<Keys<'t>>,
}

/// The keys of one object. Few are looked through, many are hashed.
#[derive(Debug, Default)]
struct Keys<'t> {
    few: Vec<Cow<'t, str>>,
    many: HashSet<Cow<'t, str>>,
}

/// Up to here comparing is cheaper than hashing, and flat dialects have some dozens of keys.
const FEW_KEYS: usize = 64;

impl<'t> Keys<'t> {
    /// Whether the key is new.
    fn insert(&mut self, key: Cow<'t, str>) -> bool {
        if self.few.len() < FEW_KEYS {
            let new = !self.few.contains(&key);
            self.few.push(key);
            return new;
        }
        if self.many.is_empty() {
            self.many.extend(self.few.iter().cloned());
        }
        self.many.insert(key)
    }
}

impl<'t> Reading<'t> {
    /// Reads values until the root is closed; a loop with a stack of its own, so that depth costs
    /// no call stack.
    fn document(&mut self) -> Result<(), SyntaxFault> {
        self.skip_blanks();
        let at = self.at;
        self.value(Cow::Borrowed(""), at)?;
        while let Some(kind) = self.innermost() {
            self.skip_blanks();
            match (self.peek(), kind, self.at_first()) {
                (Some(b'}'), Kind::Object, _) | (Some(b']'), Kind::Array, _) => {
                    self.advance();
                    self.close();
                }
                (_, _, true) => self.entry(kind)?,
                (Some(b','), _, false) => {
                    self.advance();
                    self.skip_blanks();
                    self.entry(kind)?;
                }
                _ => return Err(self.fault()),
            }
        }
        self.skip_blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(self.fault()) }
    }

    fn innermost(&self) -> Option<Kind> {
        self.arena.open.last().and_then(|open| self.arena.node(open.node)).map(|node| node.kind)
    }

    fn at_first(&self) -> bool {
        self.arena.open.last().is_some_and(|open| open.last_child.is_none())
    }

    fn close(&mut self) {
        self.arena.open.pop();
        self.keys.pop();
    }

    /// One member or item.
    fn entry(&mut self, inside: Kind) -> Result<(), SyntaxFault> {
        let at = self.at;
        if inside == Kind::Array {
            return self.value(Cow::Borrowed(""), at);
        }
        if self.peek() != Some(b'"') {
            return Err(self.fault());
        }
        let key = self.string()?;
        if !self.keys.last_mut().is_none_or(|keys| keys.insert(key.clone())) {
            return Err(SyntaxFault {
                code: FaultCode::KeyDuplicate,
                at,
                place: self.pointer(&key),
            });
        }
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(self.fault());
        }
        self.advance();
        self.skip_blanks();
        self.value(key, at)
    }

    /// One scalar, or the opening of an object or array.
    fn value(&mut self, name: Cow<'t, str>, at: usize) -> Result<(), SyntaxFault> {
        let value_at = self.at;
        let (kind, text) = match self.peek() {
            Some(b'"') => (Kind::String, self.string()?),
            Some(b'{') => (Kind::Object, Cow::Borrowed("")),
            Some(b'[') => (Kind::Array, Cow::Borrowed("")),
            Some(b'-' | b'0'..=b'9') => (Kind::Number, Cow::Borrowed(self.number()?)),
            Some(b't') => (Kind::Bool, Cow::Borrowed(self.word("true")?)),
            Some(b'f') => (Kind::Bool, Cow::Borrowed(self.word("false")?)),
            Some(b'n') => {
                self.word("null")?;
                (Kind::Null, Cow::Borrowed(""))
            }
            _ => return Err(self.fault()),
        };
        let opens = matches!(kind, Kind::Object | Kind::Array);
        if opens && self.arena.open.len() >= DEPTH_MAX {
            return Err(SyntaxFault::new(FaultCode::TooDeep, value_at));
        }
        let node = Node {
            kind,
            name,
            namespace: None,
            text,
            at,
            value_at,
            first_child: None,
            next_sibling: None,
        };
        let id = self.arena.push(node)?;
        if opens {
            self.advance();
            self.arena.open(id);
            self.keys.push(Keys::default());
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'t str, SyntaxFault> {
        let from = self.at;
        self.skip_if(b'-');
        if !self.skip_if(b'0') {
            self.digits()?;
        }
        if self.skip_if(b'.') {
            self.digits()?;
        }
        if self.skip_if(b'e') || self.skip_if(b'E') {
            let _sign = self.skip_if(b'+') || self.skip_if(b'-');
            self.digits()?;
        }
        self.text.get(from..self.at).ok_or_else(|| self.fault())
    }

    fn digits(&mut self) -> Result<(), SyntaxFault> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.fault());
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.advance();
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<&'static str, SyntaxFault> {
        for letter in word.bytes() {
            if !self.skip_if(letter) {
                return Err(self.fault());
            }
        }
        Ok(word)
    }

    /// A string, from its opening quote to behind its closing one.
    fn string(&mut self) -> Result<Cow<'t, str>, SyntaxFault> {
        self.advance();
        let plain = self.plain()?;
        if self.skip_if(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut unescaped = String::from(plain);
        while !self.skip_if(b'"') {
            let rest = self.text.get(self.at..).unwrap_or_default();
            match escape(rest) {
                Escape::Is(character, length) => {
                    unescaped.push(character);
                    self.at = self.at.saturating_add(length);
                }
                Escape::Unfinished => return Err(self.fault_at(self.text.len())),
                Escape::Unusable => return Err(self.fault()),
            }
            unescaped.push_str(self.plain()?);
        }
        Ok(Cow::Owned(unescaped))
    }

    /// The characters up to the next quote or backslash.
    fn plain(&mut self) -> Result<&'t str, SyntaxFault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let stop = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        let length = stop.unwrap_or(rest.len());
        self.at = self.at.saturating_add(length);
        match self.peek() {
            Some(b'"' | b'\\') => rest.get(..length).ok_or_else(|| self.fault()),
            // A control character, or the end.
            _ => Err(self.fault()),
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.advance();
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        if here {
            self.advance();
        }
        here
    }

    fn fault(&self) -> SyntaxFault {
        self.fault_at(self.at)
    }

    fn fault_at(&self, at: usize) -> SyntaxFault {
        SyntaxFault::new(FaultCode::JsonSyntax, at)
    }

    /// The JSON Pointer (RFC 6901) of a key in the innermost open object.
    fn pointer(&self, key: &str) -> String {
        let mut pointer = String::new();
        for (outer, inner) in self.arena.open.iter().zip(self.arena.open.iter().skip(1)) {
            match self.arena.node(inner.node) {
                Some(_) if self.is_array(outer.node) => {
                    pointer.push('/');
                    pointer.push_str(&self.items_before(outer.node, inner.node).to_string());
                }
                Some(node) => push_token(&mut pointer, &node.name),
                None => {}
            }
        }
        push_token(&mut pointer, key);
        pointer
    }

    fn is_array(&self, id: NodeId) -> bool {
        self.arena.node(id).is_some_and(|node| node.kind == Kind::Array)
    }

    fn items_before(&self, array: NodeId, item: NodeId) -> usize {
        let first = self.arena.node(array).and_then(|node| node.first_child);
        std::iter::successors(first, |id| self.arena.node(*id)?.next_sibling)
            .take_while(|id| *id != item)
            .count()
    }
}

fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

enum Escape {
    /// The character and the length of its escape in bytes, backslash included.
    Is(char, usize),
    /// The text ends before the escape does.
    Unfinished,
    /// No escape of RFC 8259, or half a surrogate pair.
    Unusable,
}

/// The escape at the beginning of `rest`.
fn escape(rest: &str) -> Escape {
    let bytes = rest.as_bytes();
    let character = match bytes.get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return code_escape(rest),
        Some(_) => return Escape::Unusable,
        None => return Escape::Unfinished,
    };
    Escape::Is(character, 2)
}

/// The escape `\uXXXX`, or two of them for a character outside the basic plane.
fn code_escape(rest: &str) -> Escape {
    let first = match code_unit(rest, 2) {
        Ok(unit) => unit,
        Err(escape) => return escape,
    };
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Escape::Is(character, 6);
    }
    // Half a pair. Only what can still become `\u` and four digits is worth waiting for.
    match rest.as_bytes().get(6..) {
        Some([]) | Some([b'\\']) => return Escape::Unfinished,
        Some([b'\\', b'u', ..]) => {}
        _ => return Escape::Unusable,
    }
    let second = match code_unit(rest, 8) {
        Ok(unit) => unit,
        Err(escape) => return escape,
    };
    match char::decode_utf16([first, second]).next() {
        Some(Ok(character)) => Escape::Is(character, 12),
        _ => Escape::Unusable,
    }
}

/// Four hexadecimal digits.
fn code_unit(rest: &str, from: usize) -> Result<u16, Escape> {
    let bytes = rest.as_bytes().get(from..).unwrap_or_default();
    let digits = bytes.get(..4).unwrap_or(bytes);
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Escape::Unusable);
    }
    let digits = rest.get(from..from.saturating_add(4)).ok_or(Escape::Unfinished)?;
    u16::from_str_radix(digits, 16).ok().ok_or(Escape::Unusable)
}

/// Where a byte of a string's unescaped text stands in the source; `quote` is the place of its
/// opening quote.
pub(super) fn string_offset(source: &str, quote: usize, text_offset: usize) -> usize {
    let mut at = quote.saturating_add(1);
    let mut told = 0_usize;
    loop {
        let rest = source.get(at..).unwrap_or_default();
        let (length, character) = match rest.chars().next() {
            None | Some('"') => return at,
            Some('\\') => match escape(rest) {
                Escape::Is(character, length) => (length, character),
                Escape::Unfinished | Escape::Unusable => return at,
            },
            Some(character) => (character.len_utf8(), character),
        };
        told = told.saturating_add(character.len_utf8());
        if told > text_offset {
            return at;
        }
        at = at.saturating_add(length);
    }
}

/// Writes a text as a JSON string, quotes included: UTF-8 as it is, save `"`, `\` and control
/// characters.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => {
                let code = u32::from(character);
                out.push_str("\\u00");
                out.extend([code >> 4, code & 0xf].iter().filter_map(|d| char::from_digit(*d, 16)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, name, text, place and place of the value of every node.
    fn read(text: &str) -> Vec<(Kind, String, String, usize, usize)> {
        let tree = parse(text).unwrap();
        let nodes = tree.nodes.iter();
        nodes.map(|n| (n.kind, n.name.to_string(), n.text.to_string(), n.at, n.value_at)).collect()
    }

    fn node(
        kind: Kind,
        name: &str,
        text: &str,
        at: usize,
        value_at: usize,
    ) -> (Kind, String, String, usize, usize) {
        (kind, name.into(), text.into(), at, value_at)
    }

    #[test]
    fn values_are_kept_as_they_are_written() {
        let text = r#" {"额": 0.10, "b" : [ -1E+02, "x\"\u4e2d\ud842\udfb7", true, null, {} ]} "#;
        assert_eq!(
            read(text),
            [
                node(Kind::Object, "", "", 1, 1),
                node(Kind::Number, "额", "0.10", 2, 9),
                node(Kind::Array, "b", "", 15, 21),
                node(Kind::Number, "", "-1E+02", 23, 23),
                node(Kind::String, "", "x\"中𠮷", 31, 31),
                node(Kind::Bool, "", "true", 56, 56),
                node(Kind::Null, "", "", 62, 62),
                node(Kind::Object, "", "", 68, 68),
            ]
        );
    }

    #[test]
    fn a_scalar_is_a_document_and_a_mark_before_it_is_passed_over() {
        assert_eq!(read("\u{feff}\"\""), [node(Kind::String, "", "", 3, 3)]);
    }

    #[test]
    fn nothing_is_copied_that_was_not_escaped() {
        let tree = parse(r#"{"键":"值","a\n":"b\n"}"#).unwrap();
        let borrowed: Vec<_> = tree
            .nodes
            .iter()
            .map(|n| (matches!(n.name, Cow::Borrowed(_)), matches!(n.text, Cow::Borrowed(_))))
            .collect();
        assert_eq!(borrowed, [(true, true), (true, true), (false, false)]);
    }

    #[test]
    fn the_same_key_in_two_objects_is_no_duplicate() {
        assert_eq!(read(r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#).len(), 8);
    }

    #[test]
    fn a_key_twice_is_found_among_many() {
        for again in [0, FEW_KEYS - 1, FEW_KEYS, 3 * FEW_KEYS - 1] {
            let keys: String = (0..3 * FEW_KEYS).map(|n| format!("\"k{n}\":0,")).collect();
            let text = format!("{{{keys}\"k{again}\":1}}");
            let fault = parse(&text).unwrap_err();
            let expected = (FaultCode::KeyDuplicate, keys.len() + 1, format!("/k{again}"));
            assert_eq!((fault.code, fault.at, fault.place), expected);
        }
    }

    #[test]
    fn a_string_s_bytes_are_found_through_escapes() {
        let text = r#"{"a":"甲\n\ud842\udfb7z"}"#;
        let tree = parse(text).unwrap();
        let member = NodeId(1);
        let places: Vec<_> = [0, 3, 4, 8, 9, 99].map(|at| tree.source_offset(member, at)).into();
        assert_eq!(places, [6, 9, 11, 23, 24, 24]);
        assert_eq!(tree.source_offset(member, 6), 11, "inside a character: its beginning");
    }

    #[test]
    fn quoting_escapes_what_must_be_and_nothing_else() {
        let mut out = String::new();
        quote("a\"\\/\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}é中𠮷", &mut out);
        assert_eq!(out, "\"a\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\\u001f\u{7f}é中𠮷\"");
        assert_eq!(
            parse(&out).unwrap().nodes[0].text,
            "a\"\\/\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}é中𠮷"
        );
    }
}
