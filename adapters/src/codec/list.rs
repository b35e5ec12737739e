//! Several values in one text, kept apart by a separator that none of them may hold.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use prost_reflect::{FieldDescriptor, Value};

use super::Codec;
use crate::FaultCode;

/// What `words` say of a list: the item's words and the separator (`space` is a blank). `None` if
/// they say nothing.
pub(super) fn split_words(words: &str) -> Option<(&str, String)> {
    let (before, separator) = words.rsplit_once(' ')?;
    let item = match before.trim_end() {
        "list" => "",
        before => before.strip_suffix(" list")?,
    };
    let separator = if separator == "space" { " " } else { separator };
    Some((item, separator.to_owned()))
}

/// The pieces of a text, as they stand. A blank as separator may be repeated.
pub fn pieces<'t>(separator: &'t str, text: &'t str) -> Box<dyn Iterator<Item = &'t str> + 't> {
    if separator == " " {
        Box::new(text.split_whitespace())
    } else {
        Box::new(text.split(separator))
    }
}

/// Reads a list; blank text is an empty one.
///
/// # Errors
/// The first faulty piece's code; `PartsMismatch` for an empty piece.
pub fn read(
    item: &Codec,
    separator: &str,
    text: &str,
    field: &FieldDescriptor,
) -> Result<Value, FaultCode> {
    if text.trim().is_empty() {
        return Ok(Value::List(Vec::new()));
    }
    let mut items = Vec::new();
    for piece in pieces(separator, text) {
        if piece.trim().is_empty() {
            return Err(FaultCode::PartsMismatch);
        }
        items.push(item.read(piece, field)?);
    }
    Ok(Value::List(items))
}

/// Writes a list.
///
/// # Errors
/// An item that cannot be written, that holds the separator, or that would be empty.
pub fn write(
    item: &Codec,
    separator: &str,
    items: &[Value],
    field: &FieldDescriptor,
) -> Result<String, String> {
    let mut text = String::new();
    for (place, value) in items.iter().enumerate() {
        let piece = item.write(value, field)?;
        check_piece(separator, &piece)?;
        if place > 0 {
            text.push_str(separator);
        }
        text.push_str(&piece);
    }
    Ok(text)
}

/// Whether a written piece can stand beside others.
///
/// # Errors
/// It would be cut at another place, or not be seen at all.
pub fn check_piece(separator: &str, piece: &str) -> Result<(), String> {
    if piece.trim().is_empty() {
        return Err("an empty piece cannot stand in a list".to_owned());
    }
    let blank_inside = separator == " " && piece.contains(char::is_whitespace);
    // A piece that ends as a long separator begins would be cut too early.
    let holds = separator.chars().count() > 1
        && separator.chars().next().is_some_and(|first| piece.ends_with(first));
    if blank_inside || holds || piece.contains(separator) {
        return Err(format!("the separator `{separator}` may not stand in a piece"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles() -> FieldDescriptor {
        let property = proto::descriptors::message("Property").unwrap();
        property.get_field_by_name("title_numbers").unwrap()
    }

    fn texts(texts: &[&str]) -> Value {
        Value::List(texts.iter().map(|text| Value::String((*text).to_owned())).collect())
    }

    #[test]
    fn a_list_is_read_piece_by_piece() {
        let read = |separator: &str, text: &str| read(&Codec::Text, separator, text, &titles());
        assert_eq!(read("；", "一； 二"), Ok(texts(&["一", "二"])));
        assert_eq!(read(" ", "  一   二　三"), Ok(texts(&["一", "二", "三"])));
        assert_eq!(read(",", " "), Ok(texts(&[])));
        assert_eq!(read(",", "一,,二"), Err(FaultCode::PartsMismatch));
        assert_eq!(read(",", "一,"), Err(FaultCode::PartsMismatch));
    }

    #[test]
    fn a_piece_may_not_hold_the_separator() {
        let write = |separator: &str, items: &[&str]| {
            let Value::List(items) = texts(items) else { panic!() };
            write(&Codec::Text, separator, &items, &titles())
        };
        assert_eq!(write("、", &["一", "二"]).unwrap(), "一、二");
        assert!(write(",", &["一,二"]).is_err());
        assert!(write(" ", &["一\u{3000}二"]).is_err());
        assert!(write("--", &["一-", "二"]).is_err());
        assert!(write(",", &["一", ""]).is_err());
    }
}
