//! A share of a right (共有份额), as it is written: `1/3`, `33.33%`. Exact: no floating point, no rounding.
//!
//! A percentage with decimals is mostly a rounded fraction, so it stands for all values that round to it: three times
//! `33.33%` can be one whole, three times `33%` cannot.

use crate::malformed::Malformed;

const MALFORMED: Malformed = Malformed {
    noun: "a share",
    expected: "a fraction as 1/3 or a percentage, above 0 and at most 1",
};

/// A share above 0 and at most 1, known up to a `leeway` to either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    is: Fraction,
    leeway: Fraction,
}

/// Greatest number above or below a fraction's stroke.
const NUMBER_MAX: u32 = 1_000_000;
/// Most decimals of a percentage.
const DECIMALS_MAX: usize = 6;

impl Share {
    /// Reads a share.
    ///
    /// # Errors
    /// [`Malformed`]: neither a fraction nor a percentage, or not above 0, or above 1.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let share = match text.strip_suffix(['%', '％']) {
            Some(percentage) => Self::of_percentage(percentage),
            None => Self::of_fraction(text),
        };
        share.filter(Self::is_a_share).ok_or(MALFORMED)
    }

    /// Whether two may be the same.
    pub fn may_be(self, other: Self) -> bool {
        make_as_much(&[self], &[other])
    }

    /// Whether shares make a whole.
    pub fn make_a_whole(shares: &[Self]) -> bool {
        make_one(shares)
    }

    /// Whether shares make two thirds of a whole, or more.
    pub fn make_two_thirds(shares: &[Self]) -> bool {
        let two_thirds = Self { is: Fraction { above: 2, below: 3 }, leeway: Fraction::ZERO };
        let sum = |of: fn(&Self) -> Fraction| {
            shares.iter().try_fold(Fraction::ZERO, |sum, share| sum.plus(of(share)))
        };
        let most = sum(|share| share.is).zip(sum(|share| share.leeway));
        let most = most.and_then(|(sum, leeway)| sum.plus(leeway));
        most.is_some_and(|most| two_thirds.is.is_at_most(most).unwrap_or(false))
    }

    fn of_fraction(text: &str) -> Option<Self> {
        let (above, below) = text.split_once('/')?;
        Some(Self { is: Fraction::of(number(above)?, number(below)?), leeway: Fraction::ZERO })
    }

    fn of_percentage(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        if decimals.len() > DECIMALS_MAX || text.ends_with('.') || !digits(decimals) {
            return None;
        }
        let exponent = u32::try_from(decimals.len()).ok()?;
        let scale = 10u128.checked_pow(exponent)?;
        let value = number(whole)?.checked_mul(scale)?;
        let rest = if decimals.is_empty() { 0 } else { decimals.parse::<u128>().ok()? };
        let below = scale.checked_mul(100)?;
        let leeway = match exponent {
            0 => Fraction::ZERO,
            _ => Fraction::of(1, below.checked_mul(2)?),
        };
        Some(Self { is: Fraction::of(value.checked_add(rest)?, below), leeway })
    }

    fn is_a_share(&self) -> bool {
        self.is.above > 0 && self.is.above <= self.is.below
    }
}

/// Whether shares make as much as `others` do, as far as their leeway lets one tell. Shares that do not add up exactly in
/// 128 bits are not told to be wrong.
pub(crate) fn make_as_much(shares: &[Share], others: &[Share]) -> bool {
    balance(shares, others).unwrap_or(true)
}

/// Whether shares make one whole.
pub(crate) fn make_one(shares: &[Share]) -> bool {
    let one = Share { is: Fraction { above: 1, below: 1 }, leeway: Fraction::ZERO };
    make_as_much(shares, &[one])
}

fn balance(shares: &[Share], others: &[Share]) -> Option<bool> {
    let sum =
        |shares: &[Share]| shares.iter().try_fold(Fraction::ZERO, |sum, share| sum.plus(share.is));
    let (left, right) = (sum(shares)?, sum(others)?);
    let both = shares.iter().chain(others);
    let leeway = both.copied().try_fold(Fraction::ZERO, |sum, share| sum.plus(share.leeway))?;
    Some(left.is_at_most(right.plus(leeway)?)? && right.is_at_most(left.plus(leeway)?)?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fraction {
    above: u128,
    below: u128,
}

impl Fraction {
    const ZERO: Self = Self { above: 0, below: 1 };

    /// In lowest terms. Nothing over nothing is no share, and is refused as none.
    fn of(above: u128, below: u128) -> Self {
        match common_divisor(above, below) {
            0 => Self { above, below },
            divisor => Self {
                above: above.checked_div(divisor).unwrap_or(above),
                below: below.checked_div(divisor).unwrap_or(below),
            },
        }
    }

    fn plus(self, other: Self) -> Option<Self> {
        let left = self.above.checked_mul(other.below)?;
        let right = other.above.checked_mul(self.below)?;
        Some(Self::of(left.checked_add(right)?, self.below.checked_mul(other.below)?))
    }

    fn is_at_most(self, other: Self) -> Option<bool> {
        Some(self.above.checked_mul(other.below)? <= other.above.checked_mul(self.below)?)
    }
}

fn common_divisor(mut one: u128, mut other: u128) -> u128 {
    while let Some(rest) = one.checked_rem(other) {
        (one, other) = (other, rest);
    }
    one
}

/// At most seven digits, and at most [`NUMBER_MAX`].
fn number(text: &str) -> Option<u128> {
    if text.is_empty() || text.len() > 7 || !digits(text) {
        return None;
    }
    text.parse::<u32>().ok().filter(|number| *number <= NUMBER_MAX).map(u128::from)
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(texts: &[&str]) -> Vec<Share> {
        texts.iter().map(|text| Share::parse(text).unwrap()).collect()
    }

    #[test]
    fn fractions_are_exact_and_percentages_may_be_rounded() {
        for whole in [
            &["1/3", "2/3"][..],
            &["33.33%", "33.33%", "33.33%"],
            &["33.33%", "33.33%", "33.34%"],
            &["1/3", "66.67%"],
            &["60%", "40％"],
            &["1/1"],
            &["100%"],
            &["1/7", "1/7", "1/7", "1/7", "1/7", "1/7", "1/7"],
        ] {
            assert!(make_one(&shares(whole)), "{whole:?}");
        }
        for not in [
            &["1/3", "1/3"][..],
            &["33%", "33%", "33%"],
            &["50%", "49%"],
            &["33.33%", "33.33%", "33.30%"],
            &["1/2", "1/2", "1/1000000"],
            &["99.99%", "0.03%"],
        ] {
            assert!(!make_one(&shares(not)), "{not:?}");
        }
        assert!(make_as_much(&shares(&["1/6", "1/6"]), &shares(&["1/3"])));
        assert!(!make_as_much(&shares(&["1/6", "1/6"]), &shares(&["1/2"])));
        for (held, enough) in [
            (vec!["2/3"], true),
            (vec!["66.67%"], true),
            (vec!["33.33%", "33.33%"], true),
            (vec!["66%"], false),
            (vec!["1/3", "1/4"], false),
            (vec![], false),
        ] {
            assert_eq!(Share::make_two_thirds(&shares(&held)), enough, "{held:?}");
        }
        let [third, rounded, half] =
            ["1/3", "33.3%", "1/2"].map(|text| Share::parse(text).unwrap());
        assert!(third.may_be(rounded) && !third.may_be(half));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in [
            "",
            "/",
            "1/",
            "/2",
            "0/1",
            "2/1",
            "1/0",
            "0/0",
            "0%",
            "101%",
            "%",
            "1.%",
            ".5%",
            "1/1000001",
            "0.5",
            "一半",
            "1/2 ",
            "-1/2",
            "+1/2",
            "33.3333333%",
            "1e2%",
        ] {
            assert!(Share::parse(text).is_err(), "{text}");
        }
    }
}
