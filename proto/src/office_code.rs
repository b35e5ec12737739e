//! Codes of registry offices.

use crate::malformed::{Malformed, checked_text, is_name};

/// A registry's own code of one of its offices (登记机构代码): 1 to 50 characters. Not the same as a
/// division code, even where a registry uses the same digits. Source: canonical model,
/// `Office.code`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfficeCode(String);

impl OfficeCode {
    /// The code in `text`.
    ///
    /// # Errors
    /// Empty, longer than 50 characters, white space at an end, or a control character.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if is_name(text, 50) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed { noun: "an office code", expected: "1 to 50 characters" })
    }
}

checked_text!(OfficeCode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_office_code_is_a_short_text() {
        assert_eq!(OfficeCode::parse("140105").unwrap().to_string(), "140105");
        assert!(OfficeCode::parse("").is_err());
        assert!(OfficeCode::parse(&"1".repeat(51)).is_err());
    }
}
