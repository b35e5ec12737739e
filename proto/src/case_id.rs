//! Case numbers of registries.

use crate::malformed::{Malformed, checked_text, is_name};

/// A registry's acceptance number (受理编号) `YWH`: 1 to 100 characters, stable for the life of the
/// case. Every registry has its own form, so none is checked. Source: canonical model,
/// `Outcome.case_id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaseId(String);

impl CaseId {
    /// The number in `text`.
    ///
    /// # Errors
    /// Empty, longer than 100 characters, white space at an end, or a control character.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if is_name(text, 100) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed { noun: "a case number", expected: "1 to 100 characters" })
    }
}

checked_text!(CaseId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_number_is_any_short_text() {
        assert_eq!(CaseId::parse("TY2026030500317").unwrap().as_str(), "TY2026030500317");
        assert!(CaseId::parse("并受〔2026〕317号").is_ok());
        for wrong in ["", " 317", "3\n17", &"一".repeat(101)] {
            assert!(CaseId::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
