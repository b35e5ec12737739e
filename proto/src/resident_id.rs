//! Numbers of resident identity cards.

use std::fmt;

use crate::{
    date::Date,
    division_code::is_division,
    identity_number::IdentityFault,
    malformed::{Malformed, checked_text},
};

const MALFORMED: IdentityFault = IdentityFault::Form(Malformed {
    noun: "a resident ID",
    expected: "17 digits with a real birth date, and a digit or X",
});

/// A resident identity number (公民身份号码), GB 11643: 6 digits division, 8 birth date, 3 sequence, and
/// a check character by ISO 7064 MOD 11-2. The 15-digit form of before 1999 is no resident ID any
/// more. Personal: `Debug` masks it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResidentId(String);

impl ResidentId {
    /// The number in `text`, half width and with a capital X.
    ///
    /// # Errors
    /// `Form`: other characters, division 000000 or no such birth date; `CheckDigit`: the last
    /// character is wrong.
    pub fn parse(text: &str) -> Result<Self, IdentityFault> {
        check(text).map(|()| Self(text.to_owned()))
    }
}

checked_text!(ResidentId);

impl fmt::Debug for ResidentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ResidentId(***)")
    }
}

pub(crate) fn check(text: &str) -> Result<(), IdentityFault> {
    let [digits @ .., last] = text.as_bytes() else { return Err(MALFORMED) };
    let digits_only = digits.len() == 17 && digits.iter().all(u8::is_ascii_digit);
    if !digits_only || !(last.is_ascii_digit() || *last == b'X') {
        return Err(MALFORMED);
    }
    let [division @ .., y1, y2, y3, y4, m1, m2, d1, d2, _, _, _] = digits else {
        return Err(MALFORMED);
    };
    let two = |tens: u8, ones: u8| (tens - b'0') * 10 + (ones - b'0');
    let year = u16::from(two(*y1, *y2)) * 100 + u16::from(two(*y3, *y4));
    if !is_division(division) || Date::new(year, two(*m1, *m2), two(*d1, *d2)).is_err() {
        return Err(MALFORMED);
    }
    if *last == check_character(digits) { Ok(()) } else { Err(IdentityFault::CheckDigit) }
}

/// ISO 7064 MOD 11-2: double and add from the left; the check character makes the sum 1 modulo 11.
fn check_character(digits: &[u8]) -> u8 {
    let sum = digits.iter().fold(0, |sum: u32, digit| (sum + u32::from(digit - b'0')) * 2 % 11);
    match u8::try_from((12 - sum) % 11) {
        Ok(digit @ 0..=9) => b'0' + digit,
        _ => b'X',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn every_vector_holds() {
        for case in cases::vectors("resident-ids") {
            match case["canonical"].as_str() {
                Some(number) => assert_eq!(ResidentId::parse(number).unwrap().as_str(), number),
                None => assert!(ResidentId::parse(cases::input(&case)).is_err(), "{case}"),
            }
        }
    }

    #[test]
    fn a_wrong_check_digit_is_told_from_a_wrong_form() {
        assert_eq!(ResidentId::parse("140105198803124020"), Err(IdentityFault::CheckDigit));
        assert_eq!(ResidentId::parse("14010519880312402"), Err(MALFORMED));
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let id = ResidentId::parse("140105198803124029").unwrap();
        assert_eq!(format!("{id:?}"), "ResidentId(***)");
    }
}
