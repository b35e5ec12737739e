//! Identifiers of institutions.

use crate::malformed::{Malformed, checked_text, is_visible_ascii};

/// How the gateway's settings call a bank, court or fund: 1 to 100 visible ASCII characters. It
/// follows from the client certificate, never from a message. Source: canonical model,
/// `Institution.id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstitutionId(String);

impl InstitutionId {
    /// The identifier in `text`.
    ///
    /// # Errors
    /// Empty, longer than 100 characters, or not visible ASCII throughout.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if is_visible_ascii(text, 100) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed {
            noun: "an institution's identifier",
            expected: "1 to 100 visible ASCII characters",
        })
    }
}

checked_text!(InstitutionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_visible_ascii() {
        assert_eq!(InstitutionId::parse("bank-1").unwrap().as_str(), "bank-1");
        assert!(InstitutionId::parse("").is_err());
        assert!(InstitutionId::parse("银行").is_err());
    }
}
