//! The small grammar of XML: characters, names, references, comments, declarations; and its
//! writing.
//!
//! Each reader is told where in the document it stands and answers with the fault's place there.
//! Source: XML 1.0 (fifth edition), productions in brackets; Namespaces in XML 1.0 for names with a
//! colon.

use std::borrow::Cow;

use super::{SyntaxFault, syntax};

/// What a CDATA section begins with.
pub(super) const CDATA: &str = "<![CDATA[";

/// [3] S, one byte of it.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// [2] Char.
pub(super) fn is_legal(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        || character >= '\u{10000}'
}

/// Bytes that are looked through at once.
const STRETCH: usize = 128;

/// The place of the first character that XML cannot hold.
pub(super) fn first_illegal(text: &str) -> Option<usize> {
    // U+FFFE and U+FFFF begin with EF, as full-width punctuation does; only those are looked at
    // closely.
    let suspicious = |byte: u8| (byte < b' ' && !is_blank(byte)) || byte == 0xef;
    let bytes = text.as_bytes();
    let mut from = 0_usize;
    loop {
        // A whole stretch is looked through at once, which the processor does for many bytes at a time.
        let rest = bytes.get(from..)?;
        let any = |stretch: &[u8]| stretch.iter().fold(false, |any, byte| any | suspicious(*byte));
        let clean = rest.chunks(STRETCH).take_while(|stretch| !any(stretch)).count();
        let stretch = from.saturating_add(clean.saturating_mul(STRETCH));
        let found = bytes.get(stretch..)?.iter().position(|byte| suspicious(*byte))?;
        let at = stretch.saturating_add(found);
        let character = text.get(at..)?.chars().next()?;
        if !is_legal(character) {
            return Some(at);
        }
        from = at.saturating_add(character.len_utf8());
    }
}

/// [4] NameStartChar, without the colon.
fn begins_name(character: char) -> bool {
    match character {
        'A'..='Z' | 'a'..='z' | '_' => true,
        '\u{c0}'..='\u{2ff}' => !matches!(character, '\u{d7}' | '\u{f7}'),
        '\u{370}'..='\u{1fff}' => character != '\u{37e}',
        '\u{200c}' | '\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' => true,
        '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' => true,
        '\u{10000}'..='\u{effff}' => true,
        _ => false,
    }
}

/// [4a] NameChar, without the colon.
pub(super) fn continues_name(character: char) -> bool {
    match character {
        '-' | '.' | '0'..='9' | '\u{b7}' => true,
        '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}' => true,
        _ => begins_name(character),
    }
}

/// A place inside one tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// Where the tag's inside ends.
    pub(super) end: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    pub(super) fn skip_blanks(&mut self) -> bool {
        let rest = self.rest();
        let blanks = rest.bytes().position(|byte| !is_blank(byte)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(blanks);
        blanks > 0
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), SyntaxFault> {
        if self.rest().as_bytes().first() != Some(&byte) {
            return Err(syntax(self.at));
        }
        self.at = self.at.saturating_add(1);
        Ok(())
    }

    /// A name with at most one colon, and that inside (QName).
    pub(super) fn name(&mut self) -> Result<&'t str, SyntaxFault> {
        let rest = self.rest();
        let from = self.at;
        self.local_name()?;
        if self.rest().starts_with(':') {
            self.at = self.at.saturating_add(1);
            self.local_name()?;
        }
        rest.get(..self.at.saturating_sub(from)).ok_or_else(|| syntax(from))
    }

    /// A name without a colon (NCName).
    fn local_name(&mut self) -> Result<&'t str, SyntaxFault> {
        let rest = self.rest();
        // Most names are ASCII, and found byte by byte; others are looked at as characters.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let ascii = rest.bytes().position(|byte| !plain(byte)).unwrap_or(rest.len());
        let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let is_plain = rest.as_bytes().get(ascii).is_none_or(u8::is_ascii)
            && rest.as_bytes().first().is_some_and(begins);
        let length = match is_plain {
            true => ascii,
            false if rest.starts_with(begins_name) => {
                rest.find(|character| !continues_name(character)).unwrap_or(rest.len())
            }
            false => return Err(syntax(self.at)),
        };
        self.at = self.at.saturating_add(length);
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// A value in quotes: where it begins, and what stands between them.
    pub(super) fn quoted(&mut self) -> Result<(usize, &'t str), SyntaxFault> {
        let quote = match self.rest().as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(syntax(self.at)),
        };
        let from = self.at.saturating_add(1);
        let rest = self.text.get(from..self.end).unwrap_or_default();
        let stop = rest.bytes().position(|byte| byte == quote || byte == b'<');
        let length = stop.unwrap_or(rest.len());
        let value = rest.get(..length).unwrap_or_default();
        self.at = from.saturating_add(length);
        if rest.as_bytes().get(length) != Some(&quote) {
            return Err(self.unclosed(from, value));
        }
        self.at = self.at.saturating_add(1);
        Ok((from, value))
    }
}

impl Cursor<'_> {
    /// The fault of a value whose closing quote is not there: a bad reference in it, or what stands
    /// instead.
    fn unclosed(&self, from: usize, value: &str) -> SyntaxFault {
        let references = value.match_indices('&').filter_map(|(found, _)| {
            let at = from.saturating_add(found);
            reference(self.text.get(at..self.end)?, at).err()
        });
        references.min_by_key(|fault| fault.at).unwrap_or_else(|| syntax(self.at))
    }
}

/// [66] to [68]: the character of the reference at the beginning of `rest`, and its length; `at` is
/// its place.
pub(super) fn reference(rest: &str, at: usize) -> Result<(char, usize), SyntaxFault> {
    let inside = rest.strip_prefix('&').ok_or_else(|| syntax(at))?;
    let stop =
        inside.find(|character: char| !(character.is_ascii_alphanumeric() || character == '#'));
    let Some(length) = stop else {
        return Err(syntax(at.saturating_add(rest.len()))); // It may have become one.
    };
    let (name, after) = inside.split_at_checked(length).unwrap_or((inside, ""));
    let character = match (name, after.starts_with(';')) {
        ("lt", true) => Some('<'),
        ("gt", true) => Some('>'),
        ("amp", true) => Some('&'),
        ("apos", true) => Some('\''),
        ("quot", true) => Some('"'),
        (name, true) => character_code(name).filter(|character| is_legal(*character)),
        (_, false) => None,
    };
    let character = character.ok_or_else(|| syntax(at))?;
    Ok((character, name.len().saturating_add(2)))
}

fn character_code(name: &str) -> Option<char> {
    let digits = name.strip_prefix('#')?;
    let (digits, radix) = digits.strip_prefix('x').map_or((digits, 10), |hex| (hex, 16));
    // Checked before parsing, which would take a sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, radix).ok()?)
}

/// [15] The comment at `at`: two hyphens only at its end.
pub(super) fn comment(text: &str, at: usize) -> Result<(), SyntaxFault> {
    let inside = text.get(at..).and_then(|rest| rest.strip_prefix("<!--")).unwrap_or_default();
    let hyphens = inside.find("--").ok_or_else(|| syntax(text.len()))?;
    let after = inside.get(hyphens.saturating_add(2)..).unwrap_or_default();
    match after.as_bytes() {
        [b'>', ..] => Ok(()),
        [] => Err(syntax(text.len())),
        _ => Err(syntax(at.saturating_add("<!--".len()).saturating_add(hyphens))),
    }
}

/// [16] The processing instruction at `at`: a name other than `xml`, then a blank or its end.
pub(super) fn instruction(text: &str, at: usize) -> Result<(), SyntaxFault> {
    let mut cursor = Cursor { text, at: at.saturating_add(2), end: text.len() };
    if cursor.is_at_end() {
        return Err(syntax(text.len()));
    }
    let target = cursor.local_name()?;
    let rest = cursor.rest();
    if rest.is_empty() || rest == "?" {
        return Err(syntax(text.len()));
    }
    // A declaration that stands elsewhere, or is written in other letters.
    if target.eq_ignore_ascii_case("xml") {
        return Err(syntax(at));
    }
    if rest.starts_with("?>") || rest.bytes().next().is_some_and(is_blank) {
        Ok(())
    } else {
        Err(syntax(cursor.at))
    }
}

/// [23] The XML declaration from `at` to `end`: version, then encoding, then standalone.
pub(super) fn declaration(text: &str, at: usize, end: usize) -> Result<(), SyntaxFault> {
    let mut cursor =
        Cursor { text, at: at.saturating_add("<?xml".len()), end: end.saturating_sub("?>".len()) };
    let mut expected = ["version", "encoding", "standalone"].iter();
    let mut had_version = false;
    loop {
        let blank = cursor.skip_blanks();
        if cursor.is_at_end() {
            return if had_version { Ok(()) } else { Err(syntax(cursor.at)) };
        }
        let from = cursor.at;
        if !blank {
            return Err(syntax(from));
        }
        let name = cursor.local_name()?;
        if cursor.is_at_end() {
            return Err(syntax(cursor.at)); // Nothing after it, not even the rest of the word.
        }
        let in_order = expected.any(|expected| *expected == name);
        if !in_order || !(had_version || name == "version") {
            return Err(syntax(from));
        }
        cursor.skip_blanks();
        cursor.expect(b'=')?;
        cursor.skip_blanks();
        let (value_at, value) = cursor.quoted()?;
        let legal = match name {
            "version" => value.strip_prefix("1.").is_some_and(|minor| {
                !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
            }),
            "encoding" => {
                value.starts_with(|first: char| first.is_ascii_alphabetic())
                    && value.bytes().all(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
                    })
            }
            _ => matches!(value, "yes" | "no"),
        };
        if !legal {
            return Err(syntax(value_at));
        }
        had_version = true;
    }
}

/// What is wrong with an XML declaration that the text ends in.
pub(super) fn unfinished_declaration(text: &str, at: usize) -> Result<(), SyntaxFault> {
    let inside = text.strip_suffix('?').unwrap_or(text);
    let whole = declaration(text, at, inside.len().saturating_add("?>".len()));
    whole.and_then(|()| Err(syntax(text.len())))
}

/// Whether a DOCTYPE stands at the beginning of `rest`, whole or not, in whatever letters.
pub(super) fn is_doctype(rest: &str) -> bool {
    rest.get(.."<!DOCTYPE".len()).is_some_and(|begin| begin.eq_ignore_ascii_case("<!DOCTYPE"))
}

/// Line ends as section 2.11 has them: one line feed each.
pub(super) fn line_ends(raw: &str) -> Cow<'_, str> {
    if !raw.as_bytes().contains(&b'\r') {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
}

/// An attribute's value as section 3.3.3 has it: blanks become spaces, references their characters.
pub(super) fn attribute_text(raw: &str, at: usize) -> Result<Cow<'_, str>, SyntaxFault> {
    if !raw.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\r' | b'\n')) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut place = at;
    while !rest.is_empty() {
        let (piece, after) = split_piece(rest);
        if piece.starts_with('&') {
            text.push(attribute_reference(rest, place)?);
        } else {
            let blanks = |character| if matches!(character, '\t' | '\n') { ' ' } else { character };
            text.extend(line_ends(piece).chars().map(blanks));
        }
        place = place.saturating_add(piece.len());
        rest = after;
    }
    Ok(Cow::Owned(text))
}

/// A reference in a value whose closing quote has been seen: it cannot be unfinished, so it is told
/// at its `&`.
fn attribute_reference(rest: &str, at: usize) -> Result<char, SyntaxFault> {
    match reference(rest, at) {
        Ok((character, _)) => Ok(character),
        Err(SyntaxFault { code, .. }) => Err(SyntaxFault::new(code, at)),
    }
}

/// The first piece of well-formed content (a tag, a comment, an instruction, a CDATA section, a
/// reference, or text up to the next of these) and what follows it.
pub(super) fn split_piece(rest: &str) -> (&str, &str) {
    let after = |begin: &str, end: &str| {
        // Looked for behind the beginning: `<!--->` is one that goes on.
        let length = rest.strip_prefix(begin)?.find(end)?;
        Some(begin.len().saturating_add(length).saturating_add(end.len()))
    };
    let length = if rest.starts_with("<!--") {
        after("<!--", "-->")
    } else if rest.starts_with(CDATA) {
        after(CDATA, "]]>")
    } else if rest.starts_with("<?") {
        after("<?", "?>")
    } else if rest.starts_with('<') {
        tag_length(rest)
    } else if rest.starts_with('&') {
        after("&", ";")
    } else {
        rest.find(['<', '&'])
    };
    rest.split_at_checked(length.unwrap_or(rest.len())).unwrap_or((rest, ""))
}

fn tag_length(rest: &str) -> Option<usize> {
    let mut quote = None;
    let close = rest.bytes().position(|byte| {
        match (quote, byte) {
            (None, b'>') => return true,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        false
    })?;
    Some(close.saturating_add(1))
}

/// A character that XML cannot hold, not even as a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("XML cannot hold U+{:04X}", u32::from(*character))]
pub struct NotXml {
    /// The first such character.
    pub character: char,
    /// Where it stands, in bytes of the text.
    pub at: usize,
}

/// Writes character data: `&`, `<`, `>` and carriage returns as references, everything else as it
/// is.
///
/// # Errors
/// A character XML cannot hold; then nothing is written.
pub fn escape_text(text: &str, out: &mut String) -> Result<(), NotXml> {
    escape(text, out, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#13;"), // A reader would take it for a line end.
        _ => None,
    })
}

/// Writes what stands between the double quotes of an attribute: besides `&`, `<`, `>` and `"`,
/// blanks other than spaces become references, because a reader would take them for spaces.
///
/// # Errors
/// A character XML cannot hold; then nothing is written.
pub fn escape_attribute(text: &str, out: &mut String) -> Result<(), NotXml> {
    escape(text, out, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\r' => Some("&#13;"),
        _ => None,
    })
}

fn escape(
    text: &str,
    out: &mut String,
    reference: impl Fn(char) -> Option<&'static str>,
) -> Result<(), NotXml> {
    holdable(text)?;
    out.reserve(text.len());
    for character in text.chars() {
        match reference(character) {
            Some(reference) => out.push_str(reference),
            None => out.push(character),
        }
    }
    Ok(())
}

/// Writes a text as CDATA: one section, or several where the text holds `]]>`. A carriage return
/// stands outside, as a reference.
///
/// # Errors
/// A character XML cannot hold; then nothing is written.
pub fn cdata(text: &str, out: &mut String) -> Result<(), NotXml> {
    holdable(text)?;
    out.push_str(CDATA);
    out.push_str(&text.replace("]]>", "]]]]><![CDATA[>").replace('\r', "]]>&#13;<![CDATA["));
    out.push_str("]]>");
    Ok(())
}

fn holdable(text: &str) -> Result<(), NotXml> {
    let illegal = first_illegal(text)
        .and_then(|at| Some(NotXml { character: text.get(at..)?.chars().next()?, at }));
    illegal.map_or(Ok(()), Err)
}
