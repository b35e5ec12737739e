//! Whole numbers and counts in text. Nothing here rounds, wraps or reads a decimal point.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use std::borrow::Cow;

use prost_reflect::{Kind, Value};

use crate::FaultCode;

/// Reads a whole number of the field's kind. Outer blanks, leading zeros and full-width digits are
/// read, and a minus.
///
/// # Errors
/// `NumberInvalid`: no whole number, or out of the kind's range.
pub fn read(text: &str, kind: &Kind) -> Result<Value, FaultCode> {
    let text = half_width_digits(text.trim());
    // `parse` would take a plus, which no agreed form has.
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if !is_digits(digits) {
        return Err(FaultCode::NumberInvalid);
    }
    let value = match kind {
        Kind::Int32 => text.parse().ok().map(Value::I32),
        Kind::Int64 => text.parse().ok().map(Value::I64),
        Kind::Uint32 => text.parse().ok().map(Value::U32),
        Kind::Uint64 => text.parse().ok().map(Value::U64),
        _ => None,
    };
    value.ok_or(FaultCode::NumberInvalid)
}

/// Reads how many items a list is said to have.
///
/// # Errors
/// `NumberInvalid`: not a whole number from zero on.
pub fn read_count(text: &str) -> Result<u64, FaultCode> {
    let text = half_width_digits(text.trim());
    if !is_digits(&text) {
        return Err(FaultCode::NumberInvalid);
    }
    text.parse().ok().ok_or(FaultCode::NumberInvalid)
}

/// Writes a whole number.
///
/// # Errors
/// The value is no whole number.
pub fn write(value: &Value) -> Result<String, String> {
    match value {
        Value::I32(number) => Ok(number.to_string()),
        Value::I64(number) => Ok(number.to_string()),
        Value::U32(number) => Ok(number.to_string()),
        Value::U64(number) => Ok(number.to_string()),
        _ => Err("only a whole number can be written by `int`".to_owned()),
    }
}

/// The value of a decimal digit, ASCII or full width (U+FF10 to U+FF19), which Chinese input
/// methods make.
pub(super) fn digit(character: char) -> Option<u8> {
    let half = match character {
        '０'..='９' => char::from_u32(u32::from(character).saturating_sub(FULL_WIDTH))?,
        _ => character,
    };
    u8::try_from(half.to_digit(10)?).ok()
}

/// How far the full-width forms (U+FF01 to U+FF5E) stand from ASCII.
pub(super) const FULL_WIDTH: u32 = 0xFEE0;

fn half_width_digits(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let fold = |character| match digit(character) {
        Some(digit) => char::from(b'0'.saturating_add(digit)),
        None => character,
    };
    Cow::Owned(text.chars().map(fold).collect())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_number_is_read_in_its_range() {
        assert_eq!(read(" ００12 ", &Kind::Int32), Ok(Value::I32(12)));
        assert_eq!(read("-1", &Kind::Int32), Ok(Value::I32(-1)));
        assert_eq!(read("2147483648", &Kind::Int64), Ok(Value::I64(2_147_483_648)));
        for wrong in ["", "-", "+1", "1.0", "1e2", "1 2", "0x1", "一", "2147483648", "1_0"] {
            assert_eq!(read(wrong, &Kind::Int32), Err(FaultCode::NumberInvalid), "{wrong}");
        }
    }

    #[test]
    fn a_count_is_not_below_zero() {
        assert_eq!(read_count("３"), Ok(3));
        for wrong in ["", "-1", "1.0", "many", "99999999999999999999"] {
            assert_eq!(read_count(wrong), Err(FaultCode::NumberInvalid), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(number in any::<i64>()) {
            let value = Value::I64(number);
            prop_assert_eq!(read(&write(&value).unwrap(), &Kind::Int64), Ok(value));
        }
    }
}
