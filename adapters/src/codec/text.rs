//! Texts, identifiers and yes-or-no words.
//!
//! Canonical texts have no white space at their ends and no control characters but line feed and tab (canonical model,
//! "Conventions").

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use super::number::FULL_WIDTH;
use crate::FaultCode;

/// Reads a text: outer white space, U+3000 too, is dropped; a carriage return is the line feed it means.
///
/// # Errors
/// `ValueEmpty`: nothing but white space; `ValueKind`: a control character, which no text has.
pub fn read(text: &str) -> Result<String, FaultCode> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FaultCode::ValueEmpty);
    }
    if !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    // XML readers have done this already; a JSON string brings its `\r\n` through.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    if text.chars().any(is_forbidden) { Err(FaultCode::ValueKind) } else { Ok(text) }
}

/// Writes a canonical text as it is.
///
/// # Errors
/// It is not canonical: it would read as another text.
pub fn write(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        return Err("an empty text is an unset one".to_owned());
    }
    if text.trim().len() != text.len() {
        return Err("white space at an end would be lost".to_owned());
    }
    if text.chars().any(is_forbidden) {
        return Err("a control character cannot be written".to_owned());
    }
    Ok(text)
}

/// Reads an identifier: full-width forms become half width, small ASCII letters capitals, blanks are dropped.
///
/// # Errors
/// `ValueEmpty`: nothing but blanks; `ValueKind`: a control character.
pub fn read_id(text: &str) -> Result<String, FaultCode> {
    let id: String = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|character| half_width(character).to_ascii_uppercase())
        .collect();
    if id.is_empty() {
        return Err(FaultCode::ValueEmpty);
    }
    if id.chars().any(char::is_control) { Err(FaultCode::ValueKind) } else { Ok(id) }
}

/// Writes a canonical identifier as it is.
///
/// # Errors
/// It is not canonical: it would read as another identifier.
pub fn write_id(id: &str) -> Result<&str, String> {
    match read_id(id) {
        Ok(read) if read == id => Ok(id),
        _ => Err("an identifier is half width and upper case, without blanks".to_owned()),
    }
}

/// Reads a yes-or-no word.
///
/// # Errors
/// `CodeUnmapped`: neither of the two.
pub fn read_bool(text: &str, yes: &str, no: &str) -> Result<bool, FaultCode> {
    let text = text.trim();
    let folded = || text.chars().map(half_width);
    match () {
        () if text == yes || folded().eq(yes.chars()) => Ok(true),
        () if text == no || folded().eq(no.chars()) => Ok(false),
        () => Err(FaultCode::CodeUnmapped),
    }
}

/// The ASCII character of a full-width form (U+FF01 to U+FF5E); any other character is itself.
pub(super) fn half_width(character: char) -> char {
    match character {
        '\u{FF01}'..='\u{FF5E}' => {
            char::from_u32(u32::from(character).saturating_sub(FULL_WIDTH)).unwrap_or(character)
        }
        _ => character,
    }
}

fn is_forbidden(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t')
}
