//! Unit codes in text: blanks and full-width forms are a matter of writing, the code itself is
//! `proto::UnitCode`.

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

/// Reads a unit code: blanks anywhere (space, tab, U+3000) are dropped, full-width forms folded;
/// small letters are not raised, for no registry writes them.
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

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    #[test]
    fn every_vector_holds() {
        let file = include_str!("../../../contracts/standard/vectors/unit-codes.json");
        let file: Json = serde_json::from_str(file).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let read = read(case["input"].as_str().unwrap());
            match case["canonical"].as_str() {
                Some(code) => assert_eq!(read.as_deref(), Ok(code), "{case}"),
                None => assert_eq!(read, Err(FaultCode::UnitCodeInvalid), "{case}"),
            }
        }
    }

    #[test]
    fn a_written_code_reads_the_same() {
        let code = "140105001002GB00031F00010023";
        let spaced = write(code, Spacing::Groups).unwrap();
        assert_eq!(spaced, "140105 001002 GB00031 F00010023");
        assert_eq!(spaced.len(), width(Spacing::Groups));
        assert_eq!(write(code, Spacing::None).unwrap(), code);
        assert_eq!(read(&spaced).as_deref(), Ok(code));
        assert!(write("140105", Spacing::None).is_err());
    }
}
