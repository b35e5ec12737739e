//! Amounts of money and areas: exact decimals in text, whole smallest units inside. Never a float,
//! never rounded.
//!
//! 1 元 = 100 分 and 1 万元 = 1,000,000 分, so every agreed number of decimals is exact; 1 ㎡ = 100 dm².

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use super::number::digit;
use crate::FaultCode;

/// Whole fen (分).
pub const FEN: Unit = Unit { decimals: 0 };
/// Yuan (元).
pub const YUAN: Unit = Unit { decimals: 2 };
/// Ten thousand yuan (万元).
pub const WANYUAN: Unit = Unit { decimals: 6 };
/// Square metres (㎡).
pub const M2: Unit = Unit { decimals: 2 };

/// A unit that text counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// How many decimals reach the smallest unit.
    decimals: u8,
}

/// Whether thousands are grouped by commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// They are not; a comma is a fault.
    None,
    /// `1,234,567.00`. Reading takes ungrouped digits too, but no wrong group.
    Thousands,
}

impl Unit {
    /// Reads an amount above zero into whole smallest units. Outer blanks, leading zeros, zeros
    /// beyond the last decimal and full-width digits are read.
    ///
    /// # Errors
    /// `AmountInvalid`: no amount, a sign, zero, or more than `i64` holds; `AmountPrecision`: finer
    /// than the smallest unit.
    pub fn read(self, text: &str, grouping: Grouping) -> Result<i64, FaultCode> {
        let mut whole = Whole { total: 0, digits: 0, group: 0, grouped: false };
        let mut characters = text.trim().chars();
        let mut point = false;
        for character in characters.by_ref() {
            match (digit(character), character) {
                (Some(digit), _) => whole.digit(digit)?,
                (None, ',' | '，') if grouping == Grouping::Thousands => whole.comma()?,
                (None, '.' | '．') if self.decimals > 0 => {
                    point = true;
                    break;
                }
                (None, _) => return Err(FaultCode::AmountInvalid),
            }
        }
        whole.end()?;
        let decimals = characters.as_str();
        if point && decimals.is_empty() {
            return Err(FaultCode::AmountInvalid);
        }
        self.add_decimals(whole.total, decimals)
    }

    fn add_decimals(self, whole: i64, decimals: &str) -> Result<i64, FaultCode> {
        let mut total = Some(whole);
        let mut missing = self.decimals;
        let mut too_fine = false;
        for character in decimals.chars() {
            let digit = digit(character).ok_or(FaultCode::AmountInvalid)?;
            match missing.checked_sub(1) {
                Some(fewer) => {
                    total = append(total, digit);
                    missing = fewer;
                }
                None => too_fine |= digit != 0,
            }
        }
        for _ in 0..missing {
            total = append(total, 0);
        }
        // Told only now: `1.234x` is no amount at all, not a fine one.
        if too_fine {
            return Err(FaultCode::AmountPrecision);
        }
        total.filter(|total| *total > 0).ok_or(FaultCode::AmountInvalid)
    }

    /// Writes whole smallest units, with `decimals` decimals or, if `None`, as few as the amount
    /// needs.
    ///
    /// # Errors
    /// Not above zero, or finer than the decimals told.
    pub fn write(
        self,
        amount: i64,
        decimals: Option<u8>,
        grouping: Grouping,
    ) -> Result<String, String> {
        if amount <= 0 {
            return Err("only an amount above zero can be written".to_owned());
        }
        let wanted = usize::from(decimals.unwrap_or(0));
        let places = usize::from(self.decimals);
        let digits = format!("{amount:0>width$}", width = places.saturating_add(1));
        let (whole, fraction) =
            digits.split_at_checked(digits.len().saturating_sub(places)).unwrap_or((&digits, ""));
        let exact = fraction.trim_end_matches('0');
        if decimals.is_some() && exact.len() > wanted {
            return Err(format!("the amount needs more than {wanted} decimals"));
        }
        let mut text = match grouping {
            Grouping::None => whole.to_owned(),
            Grouping::Thousands => grouped(whole),
        };
        if wanted.max(exact.len()) > 0 {
            text.push('.');
            text.push_str(exact);
            text.extend(std::iter::repeat_n('0', wanted.saturating_sub(exact.len())));
        }
        Ok(text)
    }
}

/// The digits before the point, as they come.
struct Whole {
    total: i64,
    digits: u32,
    group: u32,
    grouped: bool,
}

impl Whole {
    fn digit(&mut self, digit: u8) -> Result<(), FaultCode> {
        self.total = append(Some(self.total), digit).ok_or(FaultCode::AmountInvalid)?;
        self.digits = self.digits.saturating_add(1);
        self.group = self.group.saturating_add(1);
        Ok(())
    }

    fn comma(&mut self) -> Result<(), FaultCode> {
        let whole_group =
            if self.grouped { self.group == 3 } else { (1..=3).contains(&self.group) };
        self.grouped = true;
        self.group = 0;
        if whole_group { Ok(()) } else { Err(FaultCode::AmountInvalid) }
    }

    fn end(&self) -> Result<(), FaultCode> {
        let whole_group = !self.grouped || self.group == 3;
        if self.digits > 0 && whole_group { Ok(()) } else { Err(FaultCode::AmountInvalid) }
    }
}

/// The number with one digit more; `None` once it is more than `i64` holds.
fn append(total: Option<i64>, digit: u8) -> Option<i64> {
    total?.checked_mul(10)?.checked_add(i64::from(digit))
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    for (left, digit) in (0..digits.len()).rev().zip(digits.chars()) {
        text.push(digit);
        if left > 0 && left.is_multiple_of(3) {
            text.push(',');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    #[test]
    fn every_vector_holds() {
        let yuan = include_str!("../../../contracts/standard/vectors/amounts-yuan.json");
        let wanyuan = include_str!("../../../contracts/standard/vectors/amounts-wanyuan.json");
        let fen = include_str!("../../../contracts/standard/vectors/amounts-fen.json");
        for (unit, file) in [(YUAN, yuan), (WANYUAN, wanyuan), (FEN, fen)] {
            let file: Json = serde_json::from_str(file).unwrap();
            for case in file["cases"].as_array().unwrap() {
                let read = unit.read(case["input"].as_str().unwrap(), Grouping::None);
                match case["fen"].as_i64() {
                    Some(fen) => assert_eq!(read, Ok(fen), "{case}"),
                    None => assert_eq!(read.unwrap_err().as_str(), case["error"], "{case}"),
                }
            }
        }
    }

    #[test]
    fn one_form_is_written() {
        let write = |unit: Unit, amount, decimals| unit.write(amount, decimals, Grouping::None);
        assert_eq!(write(YUAN, 98_765_432, Some(2)).unwrap(), "987654.32");
        assert_eq!(write(YUAN, 7, Some(2)).unwrap(), "0.07");
        assert_eq!(write(WANYUAN, 120_000_000, None).unwrap(), "120");
        assert_eq!(write(WANYUAN, 98_765_432, None).unwrap(), "98.765432");
        assert_eq!(write(WANYUAN, 100_500_000, Some(6)).unwrap(), "100.500000");
        assert_eq!(write(WANYUAN, 100_500_000, Some(1)).unwrap(), "100.5");
        assert_eq!(write(FEN, 100, None).unwrap(), "100");
        assert_eq!(YUAN.write(123_456_700, Some(2), Grouping::Thousands).unwrap(), "1,234,567.00");
        assert_eq!(YUAN.write(12_300, Some(2), Grouping::Thousands).unwrap(), "123.00");
    }

    #[test]
    fn what_the_form_cannot_hold_is_refused() {
        assert!(WANYUAN.write(98_765_432, Some(2), Grouping::None).is_err());
        assert!(YUAN.write(0, Some(2), Grouping::None).is_err());
        assert!(FEN.write(-1, None, Grouping::None).is_err());
    }

    #[test]
    fn a_comma_stands_where_it_belongs_or_nowhere() {
        for right in ["1,234,567.00", "1234567", "１，２３４，５６７．００", "001,234,567.0"]
        {
            assert_eq!(YUAN.read(right, Grouping::Thousands), Ok(123_456_700), "{right}");
        }
        for wrong in ["1,23", "12345,678", ",123", "1,,234", "1,234,56.00", "1,234.000,0", "1,234,"]
        {
            let read = YUAN.read(wrong, Grouping::Thousands);
            assert_eq!(read, Err(FaultCode::AmountInvalid), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(amount in 1..=i64::MAX) {
            for unit in [FEN, YUAN, WANYUAN, M2] {
                for decimals in [None, Some(unit.decimals)] {
                    for grouping in [Grouping::None, Grouping::Thousands] {
                        let text = unit.write(amount, decimals, grouping).unwrap();
                        prop_assert_eq!(unit.read(&text, grouping), Ok(amount));
                    }
                }
            }
        }
    }
}
