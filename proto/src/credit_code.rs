//! Unified social credit codes.

use crate::{
    identity_number::IdentityFault,
    malformed::{Malformed, checked_text},
};

const MALFORMED: IdentityFault = IdentityFault::Form(Malformed {
    noun: "a unified social credit code",
    expected: "18 digits and capitals without I, O, S, V and Z",
});

/// The characters of GB 32100, each at its value.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

/// A unified social credit code (统一社会信用代码), GB 32100: 18 characters of 31, the last a check
/// character MOD 31. It names an organisation, so `Debug` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CreditCode(String);

impl CreditCode {
    /// The code in `text`, half width and in capitals.
    ///
    /// # Errors
    /// `Form`: other characters or another length; `CheckDigit`: the last character is wrong.
    pub fn parse(text: &str) -> Result<Self, IdentityFault> {
        check(text).map(|()| Self(text.to_owned()))
    }
}

checked_text!(CreditCode);

pub(crate) fn check(text: &str) -> Result<(), IdentityFault> {
    let [body @ .., last] = text.as_bytes() else { return Err(MALFORMED) };
    if body.len() != 17 {
        return Err(MALFORMED);
    }
    // Weights are 3^i modulo 31.
    let (mut sum, mut weight) = (0, 1);
    for character in body {
        sum += value(*character)? * weight;
        weight = weight * 3 % 31;
    }
    let last = value(*last)?;
    if (sum + last) % 31 == 0 { Ok(()) } else { Err(IdentityFault::CheckDigit) }
}

fn value(character: u8) -> Result<usize, IdentityFault> {
    ALPHABET.iter().position(|known| *known == character).ok_or(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn every_vector_holds() {
        for case in cases::vectors("credit-codes") {
            match case["canonical"].as_str() {
                Some(code) => assert_eq!(CreditCode::parse(code).unwrap().as_str(), code),
                None => assert!(CreditCode::parse(cases::input(&case)).is_err(), "{case}"),
            }
        }
    }

    #[test]
    fn a_wrong_check_character_is_told_from_a_wrong_form() {
        assert_eq!(CreditCode::parse("91140105MA0KX1F2AB"), Err(IdentityFault::CheckDigit));
        assert_eq!(CreditCode::parse("91140105MAIKX1F2AA"), Err(MALFORMED));
    }
}
