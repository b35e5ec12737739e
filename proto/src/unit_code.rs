//! Codes of real-estate units.

use crate::{
    division_code::is_division,
    malformed::{Malformed, checked_text},
};

/// A real-estate unit code (不动产单元代码): 28 characters without blanks, GB/T 37346. 6 digits division,
/// 3 cadastral area, 3 sub-area, 2 letters for the right (`G` state, `J` collective, `Z` disputed,
/// then one of `ABSXCDEFLNHGWY`), 5 digits sequence, then the fixture: `F`, `L` or `Q` with 8
/// digits, or `W00000000`. It has no check digit. Blanks and full-width forms are a matter of
/// writing, and not of this type. Source: domain, "Unit code".
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitCode(String);

impl UnitCode {
    /// The code in `text`.
    ///
    /// # Errors
    /// Another form, small letters, or division 000000.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if is_unit_code(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed {
            noun: "a unit code",
            expected: "12 digits, 2 letters, 5 digits, then F, L or Q and 8 digits, or W00000000",
        })
    }

    /// The administrative division it begins with, 6 digits.
    pub fn division(&self) -> &str {
        self.0.get(..6).unwrap_or_default()
    }
}

checked_text!(UnitCode);

pub(crate) fn is_unit_code(text: &str) -> bool {
    let Some((place, rest)) = text.as_bytes().split_at_checked(12) else { return false };
    let Some((division, _)) = place.split_at_checked(6) else { return false };
    let [land, right, rest @ ..] = rest else { return false };
    let Some((sequence, [fixture, number @ ..])) = rest.split_at_checked(5) else { return false };
    let digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    is_division(division)
        && digits(place)
        && b"GJZ".contains(land)
        && b"ABSXCDEFLNHGWY".contains(right)
        && digits(sequence)
        && match fixture {
            b'F' | b'L' | b'Q' => number.len() == 8 && digits(number),
            b'W' => number == b"00000000",
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn every_vector_holds() {
        for case in cases::vectors("unit-codes") {
            match case["canonical"].as_str() {
                Some(code) => assert_eq!(UnitCode::parse(code).unwrap().as_str(), code),
                None => assert!(UnitCode::parse(cases::input(&case)).is_err(), "{case}"),
            }
        }
    }

    #[test]
    fn the_division_comes_first() {
        assert_eq!(UnitCode::parse("140105001002GB00031F00010023").unwrap().division(), "140105");
    }
}
