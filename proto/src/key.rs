//! Idempotency keys. How a bank's key is built is its contract's business.

use crate::malformed::{Malformed, checked_text, is_visible_ascii};

/// The key that makes a submission happen once (幂等键): 1 to 128 visible ASCII characters. Its scope
/// is the institution. It comes from the bank unchanged, also on a retry. Source: canonical model,
/// `Application.idempotency_key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key in `text`.
    ///
    /// # Errors
    /// Empty, longer than 128 characters, or not visible ASCII throughout.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if is_visible_ascii(text, 128) {
            return Ok(Self(text.to_owned()));
        }
        Err(Malformed { noun: "an idempotency key", expected: "1 to 128 visible ASCII characters" })
    }
}

checked_text!(IdempotencyKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_of_agreed_length() {
        assert_eq!(
            IdempotencyKey::parse("JYCL01-20260305-17").unwrap().as_str(),
            "JYCL01-20260305-17"
        );
        assert!(IdempotencyKey::parse(&"k".repeat(128)).is_ok());
        for wrong in ["", "a b", "a\n", "流水", &"k".repeat(129)] {
            assert!(IdempotencyKey::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
