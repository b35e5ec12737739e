//! Codes of administrative divisions.

use crate::malformed::{Malformed, checked_text};

/// An administrative division (行政区划代码), GB/T 2260: 6 digits, not 000000. Whether the division
/// exists, or has been retired, is for routing to know. Source: canonical model, `Office.division`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DivisionCode(String);

impl DivisionCode {
    /// The code in `text`.
    ///
    /// # Errors
    /// Not 6 ASCII digits, or 000000.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if is_division(text.as_bytes()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed { noun: "a division code", expected: "6 digits, not 000000" })
    }
}

checked_text!(DivisionCode);

/// Whether the bytes are 6 digits other than 000000. Unit codes and resident IDs begin with such a
/// code.
pub(crate) fn is_division(code: &[u8]) -> bool {
    code.len() == 6 && code.iter().all(u8::is_ascii_digit) && code != b"000000"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_division_is_six_digits_but_not_all_zero() {
        assert_eq!(DivisionCode::parse("140105").unwrap().as_str(), "140105");
        for wrong in ["", "14010", "1401055", "14010x", "000000", "１４０１０５"] {
            assert!(DivisionCode::parse(wrong).is_err(), "{wrong}");
        }
    }
}
