//! Unit codes in text: blanks and full-width forms are a matter of writing, the code itself is `proto::UnitCode`.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use std::borrow::Cow;

use proto::UnitCode;

use super::text::half_width;
use crate::FaultCode;

/// Whether groups are kept apart by blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// 28 characters in a row.
    None,
    /// Groups of 6, 6, 7 and 9 characters with a blank between.
    Groups,
}

/// Reads a unit code: blanks anywhere (space, tab, U+3000) are dropped, full-width forms folded; small letters are not
/// raised, for no registry writes them.
///
/// # Errors
/// `UnitCodeInvalid`.
pub fn read(text: &str) -> Result<String, FaultCode> {
    let code = match UnitCode::parse(text) {
        Ok(code) => return Ok(code.into()),
        Err(_) => text.chars().filter(|c| !c.is_whitespace()).map(half_width).collect::<String>(),
    };
    UnitCode::parse(&code).map(String::from).ok().ok_or(FaultCode::UnitCodeInvalid)
}

/// Writes a unit code.
///
/// # Errors
/// It is no unit code.
pub fn write(code: &str, spacing: Spacing) -> Result<Cow<'_, str>, String> {
    UnitCode::parse(code).map_err(|error| error.to_string())?;
    match spacing {
        Spacing::None => Ok(Cow::Borrowed(code)),
        Spacing::Groups => {
            let mut text = String::with_capacity(width(spacing));
            for (place, character) in code.chars().enumerate() {
                if matches!(place, 6 | 12 | 19) {
                    text.push(' ');
                }
                text.push(character);
            }
            Ok(Cow::Owned(text))
        }
    }
}

/// How many characters a written code has.
pub fn width(spacing: Spacing) -> usize {
    match spacing {
        Spacing::None => 28,
        Spacing::Groups => 31,
    }
}
