//! Bytes in text: Base64 and hexadecimal (RFC 4648). What the bytes are is nobody's business here.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::bytes::Bytes;

use crate::FaultCode;

/// Reads Base64 of the standard alphabet, padded. Line breaks and blanks, which mail-style encoders
/// put in, are dropped.
///
/// # Errors
/// `BytesInvalid`.
pub fn read_base64(text: &str) -> Result<Bytes, FaultCode> {
    let text = without_blanks(text);
    if text.is_empty() {
        return Err(FaultCode::BytesInvalid);
    }
    STANDARD.decode(text.as_bytes()).ok().map(Bytes::from).ok_or(FaultCode::BytesInvalid)
}

/// Reads hexadecimal of either case.
///
/// # Errors
/// `BytesInvalid`.
pub fn read_hex(text: &str) -> Result<Bytes, FaultCode> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FaultCode::BytesInvalid);
    }
    hex::decode(text).ok().map(Bytes::from).ok_or(FaultCode::BytesInvalid)
}

/// Writes Base64 of the standard alphabet, padded, in one line.
pub fn write_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Writes hexadecimal in lower case.
pub fn write_hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

fn without_blanks(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_whitespace) {
        Cow::Owned(text.chars().filter(|character| !character.is_whitespace()).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_than_the_agreed_form_is_refused() {
        assert_eq!(read_base64(" aGVs\r\nbG8= ").unwrap(), "hello");
        for wrong in ["", "aGVsbG8", "aGVsbG8=x", "aGVs-G8=", "aGVsbG9="] {
            assert_eq!(read_base64(wrong), Err(FaultCode::BytesInvalid), "{wrong}");
        }
        assert_eq!(read_hex(" 0aFF ").unwrap(), [0x0a, 0xff].as_slice());
        for wrong in ["", "0", "0g", "0x0a", "０a"] {
            assert_eq!(read_hex(wrong), Err(FaultCode::BytesInvalid), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(bytes in proptest::collection::vec(any::<u8>(), 1..100)) {
            prop_assert_eq!(read_base64(&write_base64(&bytes)).unwrap(), bytes.as_slice());
            prop_assert_eq!(read_hex(&write_hex(&bytes)).unwrap(), bytes.as_slice());
        }
    }
}
