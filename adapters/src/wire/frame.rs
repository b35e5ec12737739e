//! The length prefix of messages on a TCP connection: ASCII digits that tell how many bytes follow.
//!
//! Reads no socket; a stream reader asks [`Prefix::body_length`] how much to read.

#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)]

/// A length prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    digits: u8,
    counts_itself: bool,
}

/// The prefix is not digits, or tells another length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the length prefix is not digits or tells another length")]
pub struct LengthMismatch;

/// The message is longer than the prefix's digits can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is longer than its length prefix can tell")]
pub struct TooLong;

impl Prefix {
    /// A prefix of 4, 6, 8 or 10 digits; `None` for any other number. `counts_itself`: whether the
    /// length told includes the prefix's own digits.
    pub fn new(digits: u8, counts_itself: bool) -> Option<Self> {
        matches!(digits, 4 | 6 | 8 | 10).then_some(Self { digits, counts_itself })
    }

    /// How many bytes the prefix itself has.
    pub fn length(self) -> usize {
        usize::from(self.digits)
    }

    /// Whether the length told includes the prefix's own digits.
    pub fn counts_itself(self) -> bool {
        self.counts_itself
    }

    /// How many bytes follow a prefix. `head` begins with it; what comes after is not looked at.
    ///
    /// # Errors
    /// `head` is shorter than the prefix, is not ASCII digits, or counts less than itself.
    pub fn body_length(self, head: &[u8]) -> Result<usize, LengthMismatch> {
        let digits = head.get(..self.length()).ok_or(LengthMismatch)?;
        // Checked before parsing, which would take a sign.
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(LengthMismatch);
        }
        let told = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<usize>().ok());
        let own = if self.counts_itself { self.length() } else { 0 };
        told.and_then(|told| told.checked_sub(own)).ok_or(LengthMismatch)
    }

    /// The message behind its prefix, from the bytes as sent.
    ///
    /// # Errors
    /// The prefix is not digits, or more or fewer bytes follow than it tells.
    pub fn strip(self, bytes: &[u8]) -> Result<&[u8], LengthMismatch> {
        let told = self.body_length(bytes)?;
        let body = bytes.get(self.length()..).ok_or(LengthMismatch)?;
        if body.len() == told { Ok(body) } else { Err(LengthMismatch) }
    }

    /// The message with its prefix before it.
    ///
    /// # Errors
    /// The length has more digits than the prefix.
    pub fn put_on(self, body: &[u8]) -> Result<Vec<u8>, TooLong> {
        let width = self.length();
        let own = if self.counts_itself { width } else { 0 };
        let digits = format!("{:0width$}", body.len().saturating_add(own));
        if digits.len() > width {
            return Err(TooLong);
        }
        let mut bytes = Vec::with_capacity(width.saturating_add(body.len()));
        bytes.extend_from_slice(digits.as_bytes());
        bytes.extend_from_slice(body);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(digits: u8, counts_itself: bool) -> Prefix {
        Prefix::new(digits, counts_itself).unwrap()
    }

    #[test]
    fn a_prefix_has_4_6_8_or_10_digits() {
        let known: Vec<u8> =
            (0..=20).filter(|digits| Prefix::new(*digits, false).is_some()).collect();
        assert_eq!(known, [4, 6, 8, 10]);
    }

    #[test]
    fn what_follows_is_as_long_as_told() {
        assert_eq!(prefix(4, false).strip(b"0003abc"), Ok(&b"abc"[..]));
        assert_eq!(prefix(4, true).strip(b"0007abc"), Ok(&b"abc"[..]));
        assert_eq!(prefix(6, true).strip(b"000006"), Ok(&b""[..]));
    }

    #[test]
    fn another_length_is_refused() {
        for (told, bytes) in [
            (prefix(4, false), &b"0003ab"[..]),
            (prefix(4, false), b"0003abcd"),
            (prefix(4, true), b"0003abc"),
            (prefix(4, true), b"0007abcd"),
            (prefix(4, true), b"0003"), // counts less than itself
            (prefix(4, false), b"003"), // shorter than the prefix
            (prefix(4, false), b""),
            (prefix(4, false), b"+003abc"), // a sign is no digit
            (prefix(4, false), b" 003abc"),
            (prefix(4, false), b"0x03abc"),
            (prefix(6, false), "00\u{ff11}abc".as_bytes()), // full-width digits
            (prefix(10, false), b"9999999999"),
        ] {
            assert_eq!(told.strip(bytes), Err(LengthMismatch), "{told:?} {bytes:?}");
        }
    }

    #[test]
    fn a_stream_is_told_how_much_to_read() {
        assert_eq!(prefix(8, false).body_length(b"00001055<?xml"), Ok(1055));
        assert_eq!(prefix(8, true).body_length(b"00001055"), Ok(1047));
        assert_eq!(prefix(10, false).body_length(b"9999999999"), Ok(9_999_999_999));
    }

    #[test]
    fn a_length_the_digits_cannot_tell_is_refused() {
        assert_eq!(prefix(4, false).put_on(&[0; 9999]).map(|bytes| bytes.len()), Ok(10003));
        assert_eq!(prefix(4, false).put_on(&[0; 10000]), Err(TooLong));
        assert_eq!(prefix(4, true).put_on(&[0; 9996]), Err(TooLong));
        assert_eq!(prefix(4, true).put_on(b"").as_deref(), Ok(&b"0004"[..]));
    }

    proptest! {
        #[test]
        fn what_is_put_on_is_stripped(body: Vec<u8>, counts_itself: bool) {
            for digits in [4, 6, 8, 10] {
                let prefix = prefix(digits, counts_itself);
                let bytes = prefix.put_on(&body).unwrap();
                prop_assert_eq!(prefix.strip(&bytes), Ok(&body[..]));
                let _any = prefix.strip(&body);
            }
        }
    }
}
