//! Texts, identifiers and yes-or-no words.
//!
//! Canonical texts have no white space at their ends and no control characters but line feed and
//! tab (canonical model, "Conventions").

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use super::number::FULL_WIDTH;
use crate::FaultCode;

/// Reads a text: outer white space, U+3000 too, is dropped; a carriage return is the line feed it
/// means.
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

/// Reads an identifier: full-width forms become half width, small ASCII letters capitals, blanks
/// are dropped.
///
/// # Errors
/// `ValueEmpty`: nothing but blanks; `ValueKind`: a control character.
pub fn read_id(text: &str) -> Result<String, FaultCode> {
    if is_plain_id(text) {
        return Ok(text.to_owned());
    }
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
    if is_plain_id(id) {
        return Ok(id);
    }
    match read_id(id) {
        Ok(read) if read == id => Ok(id),
        _ => Err("an identifier is half width and upper case, without blanks".to_owned()),
    }
}

/// Almost every identifier comes as it is kept: then nothing has to be looked at twice.
fn is_plain_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_lowercase();
    !id.is_empty() && id.bytes().all(plain)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::{IdentityNumber, v1::IdType};
    use serde_json::Value as Json;

    use super::*;

    #[test]
    fn identity_numbers_are_read_and_then_checked() {
        let residents = include_str!("../../../contracts/standard/vectors/resident-ids.json");
        let organisations = include_str!("../../../contracts/standard/vectors/credit-codes.json");
        for (id_type, file) in
            [(IdType::ResidentId, residents), (IdType::UnifiedSocialCreditCode, organisations)]
        {
            let file: Json = serde_json::from_str(file).unwrap();
            for case in file["cases"].as_array().unwrap() {
                let number = read_id(case["input"].as_str().unwrap())
                    .ok()
                    .filter(|number| IdentityNumber::parse(id_type, number).is_ok());
                assert_eq!(number.as_deref(), case["canonical"].as_str(), "{case}");
            }
        }
    }

    #[test]
    fn a_text_loses_its_outer_blanks_only() {
        assert_eq!(read("　甄 砚秋 \n").unwrap(), "甄 砚秋");
        assert_eq!(read("一\r\n二\r三\t四").unwrap(), "一\n二\n三\t四");
        assert_eq!(read(" 　"), Err(FaultCode::ValueEmpty));
        assert_eq!(read("a\u{1}b"), Err(FaultCode::ValueKind));
        assert_eq!(read("a\u{85}b"), Err(FaultCode::ValueKind));
    }

    #[test]
    fn what_would_read_otherwise_is_not_written() {
        for wrong in ["", " a", "a\u{3000}", "a\rb", "a\u{0}"] {
            assert!(write(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "a1", "A 1", "Ａ1"] {
            assert!(write_id(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn yes_and_no_are_the_banks_words() {
        assert_eq!(read_bool(" １ ", "1", "0"), Ok(true));
        assert_eq!(read_bool("否", "是", "否"), Ok(false));
        assert_eq!(read_bool("2", "1", "0"), Err(FaultCode::CodeUnmapped));
        assert_eq!(read_bool("", "1", "0"), Err(FaultCode::CodeUnmapped));
    }

    proptest! {
        #[test]
        fn what_was_read_is_written_and_read_the_same(text in any::<String>()) {
            if let Ok(value) = read(&text) {
                let again = read(write(&value).unwrap());
                prop_assert_eq!(again, Ok(value));
            }
            if let Ok(id) = read_id(&text) {
                let again = read_id(write_id(&id).unwrap());
                prop_assert_eq!(again, Ok(id));
            }
        }
    }
}
