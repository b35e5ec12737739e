//! Areas of homes and land.

use std::fmt;

use crate::malformed::Malformed;

/// An area in dm² (0.01 ㎡), above zero: built area (建筑面积) `JZMJ` or land area. Registries and banks
/// give two decimals of ㎡, so it is exact. Source: canonical model, "Conventions".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AreaDm2(i64);

impl AreaDm2 {
    /// That many dm².
    ///
    /// # Errors
    /// Zero or less.
    pub fn new(dm2: i64) -> Result<Self, Malformed> {
        if dm2 > 0 {
            return Ok(Self(dm2));
        }
        Err(Malformed { noun: "an area", expected: "dm² above zero" })
    }

    /// How many dm².
    pub fn value(self) -> i64 {
        self.0
    }
}

/// In ㎡, with both decimals: `89.50`.
impl fmt::Display for AreaDm2 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_above_zero() {
        assert_eq!(AreaDm2::new(8950).unwrap().to_string(), "89.50");
        assert!(AreaDm2::new(0).is_err());
    }
}
