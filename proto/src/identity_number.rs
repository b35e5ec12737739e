//! Identity numbers of persons and organisations.

use std::fmt;

use crate::{
    credit_code,
    malformed::{Malformed, checked_text, is_name},
    resident_id,
    v1::IdType,
};

/// Why a text is not the identity number it should be. Never carries the text: it is personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// Its form is wrong.
    #[error(transparent)]
    Form(#[from] Malformed),
    /// Its form is right, its check digit is wrong.
    #[error("the check digit is wrong")]
    CheckDigit,
}

/// The number on an identity document (证件号) `ZJH`, half width and upper case, 1 to 50 characters.
/// Resident IDs and unified social credit codes are checked with their check digits, all others for
/// form only. Personal: `Debug` masks it. Source: canonical model, `Party.id_number`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdentityNumber(String);

impl IdentityNumber {
    /// The number in `text` of a document of that type.
    ///
    /// # Errors
    /// `Form` or `CheckDigit`, as the type says.
    pub fn parse(id_type: IdType, text: &str) -> Result<Self, IdentityFault> {
        check(id_type, text).map(|()| Self(text.to_owned()))
    }
}

checked_text!(IdentityNumber);

impl fmt::Debug for IdentityNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("IdentityNumber(***)")
    }
}

pub(crate) fn check(id_type: IdType, text: &str) -> Result<(), IdentityFault> {
    match id_type {
        IdType::ResidentId => resident_id::check(text),
        IdType::UnifiedSocialCreditCode => credit_code::check(text),
        IdType::Unspecified
        | IdType::HkMacaoTaiwanId
        | IdType::Passport
        | IdType::HouseholdRegister
        | IdType::MilitaryId
        | IdType::OrganisationCode
        | IdType::BusinessLicence
        | IdType::Other => other(text),
    }
}

/// Hong Kong, Macao and military numbers hold brackets, hyphens and Chinese characters (`军字第…号`).
fn other(text: &str) -> Result<(), IdentityFault> {
    let folded = !text.chars().any(|character| {
        character.is_whitespace()
            || character.is_ascii_lowercase()
            || matches!(character, '\u{FF01}'..='\u{FF5E}')
    });
    if folded && is_name(text, 50) {
        return Ok(());
    }
    Err(IdentityFault::Form(Malformed {
        noun: "an identity number",
        expected: "1 to 50 characters, half width and upper case, without blanks",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_says_how_its_number_is_checked() {
        assert!(IdentityNumber::parse(IdType::ResidentId, "140105198803124029").is_ok());
        assert!(IdentityNumber::parse(IdType::ResidentId, "H60121345(6)").is_err());
        assert!(IdentityNumber::parse(IdType::HkMacaoTaiwanId, "H60121345(6)").is_ok());
        assert!(IdentityNumber::parse(IdType::MilitaryId, "军字第1234567号").is_ok());
        assert_eq!(
            IdentityNumber::parse(IdType::UnifiedSocialCreditCode, "91140105MA0KX1F2AB"),
            Err(IdentityFault::CheckDigit)
        );
        for wrong in ["", "e12345", "Ｅ12345", "E 12345"] {
            assert!(IdentityNumber::parse(IdType::Passport, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let number = IdentityNumber::parse(IdType::Passport, "E12345678").unwrap();
        assert_eq!(format!("{number:?}"), "IdentityNumber(***)");
    }
}
