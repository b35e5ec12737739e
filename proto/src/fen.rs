//! Amounts of money.

use std::fmt;

use crate::malformed::Malformed;

/// An amount of money in fen (分, 0.01 元), above zero. It has no arithmetic that could wrap or
/// round, and knows no other unit: 元 and 万元 are a matter of writing. Source: canonical model,
/// "Conventions".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fen(i64);

impl Fen {
    /// That many fen.
    ///
    /// # Errors
    /// Zero or less: no charge and no price is nothing.
    pub fn new(fen: i64) -> Result<Self, Malformed> {
        if fen > 0 {
            return Ok(Self(fen));
        }
        Err(Malformed { noun: "an amount", expected: "fen above zero" })
    }

    /// How many fen.
    pub fn value(self) -> i64 {
        self.0
    }

    /// The sum; `None` if it is more than 92,233,720,368,547,758.07 元.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// In 元, with both decimals: `1200000.00`.
impl fmt::Display for Fen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_above_zero_and_never_wraps() {
        assert_eq!(Fen::new(98_765_432).unwrap().to_string(), "987654.32");
        assert_eq!(Fen::new(5).unwrap().to_string(), "0.05");
        assert!(Fen::new(0).is_err());
        assert!(Fen::new(-1).is_err());
        assert_eq!(Fen::new(i64::MAX).unwrap().checked_add(Fen::new(1).unwrap()), None);
    }
}
