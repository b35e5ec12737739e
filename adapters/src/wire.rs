//! How bytes travel: length prefix, then charset, then a document. A closed list, chosen by the
//! contract's `[wire]`.
//!
//! This is the outer skin of a message: nothing here reads the document inside. The layers stand in
//! the order they are taken off; form field, signature, Base64 and gzip will stand between prefix
//! and charset. Offsets told are always in the bytes as sent, prefix included.

pub mod charset;
pub mod frame;

use std::borrow::Cow;

pub use charset::Charset;
pub use frame::Prefix;

use crate::fault::FaultCode;

/// The skin of one contract's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// What the document is.
    pub media: Media,
    /// What its bytes mean, whatever the document itself claims.
    pub charset: Charset,
    /// The length before each message on a TCP connection; none over HTTP.
    pub prefix: Option<Prefix>,
    /// Where messages are posted; none over TCP.
    pub http: Option<HttpRoute>,
    /// The XML declaration to write before a document, as it is to stand there.
    pub declaration: Option<String>,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Media {
    Xml,
    Json,
}

/// Where a bank posts its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRoute {
    /// Path, from the first slash on; no query.
    pub path: String,
    /// `Content-Type` of answers.
    pub content_type: String,
}

/// Why bytes are no message: LENGTH_MISMATCH or CHARSET_INVALID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireFault {
    /// What is wrong.
    pub code: FaultCode,
    /// First byte of it, in the bytes as sent.
    pub at: usize,
}

/// A message taken out of its skin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'b> {
    /// The document.
    pub text: Cow<'b, str>,
    body: &'b [u8],
    body_at: usize,
    charset: Charset,
}

impl Wire {
    /// Takes a message out of its skin. `bytes` is one whole message as sent, prefix included.
    ///
    /// # Errors
    /// LENGTH_MISMATCH if the prefix is not digits or tells another length; CHARSET_INVALID at the
    /// first byte that is none of the charset.
    pub fn open<'b>(&self, bytes: &'b [u8]) -> Result<Opened<'b>, WireFault> {
        let body = match self.prefix {
            Some(prefix) => prefix.strip(bytes).map_err(|frame::LengthMismatch| WireFault {
                code: FaultCode::LengthMismatch,
                at: 0,
            })?,
            None => bytes,
        };
        let body_at = bytes.len().saturating_sub(body.len());
        let text = self.charset.decode(body).map_err(|bad| WireFault {
            code: FaultCode::CharsetInvalid,
            at: body_at.saturating_add(bad.at),
        })?;
        Ok(Opened { text, body, body_at, charset: self.charset })
    }

    /// Puts a document into its skin.
    ///
    /// # Errors
    /// A character the charset has no code for, or a length the prefix cannot tell.
    pub fn close(&self, text: &str) -> Result<Vec<u8>, CannotSend> {
        let body = self.charset.encode(text).map_err(CannotSend::Unmappable)?;
        match self.prefix {
            Some(prefix) => prefix.put_on(&body).map_err(|frame::TooLong| CannotSend::TooLong),
            None => Ok(body.into_owned()),
        }
    }
}

/// Why a document cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotSend {
    /// The charset has no code for a character.
    #[error(transparent)]
    Unmappable(charset::Unmappable),
    /// The length has more digits than the prefix.
    #[error("the message is longer than its length prefix can tell")]
    TooLong,
}

impl Opened<'_> {
    /// Where a byte of the text stood in the bytes as sent. Reads the bytes again, so it is for
    /// telling faults only.
    pub fn sent_offset(&self, text_offset: usize) -> usize {
        self.body_at.saturating_add(self.charset.byte_offset(self.body, text_offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(charset: Charset, prefix: Option<Prefix>) -> Wire {
        Wire { media: Media::Xml, charset, prefix, http: None, declaration: None }
    }

    #[test]
    fn offsets_count_the_prefix_and_the_bytes_as_sent() {
        let wire = wire(Charset::Gb18030, Prefix::new(8, false));
        let bytes = wire.close("<a>甲𠮷乙</a>").unwrap();
        assert_eq!(bytes.get(..8), Some(&b"00000015"[..]));
        let opened = wire.open(&bytes).unwrap();
        assert_eq!(opened.text, "<a>甲𠮷乙</a>");
        // Place in the text, place as sent.
        for (text, sent) in [(0, 8), (3, 11), (6, 13), (10, 17), (13, 19), (17, 23)] {
            assert_eq!(opened.sent_offset(text), sent, "{text}");
        }
    }

    #[test]
    fn a_bad_byte_is_told_behind_the_prefix() {
        let wire = wire(Charset::Gb18030, Prefix::new(4, true));
        let fault = wire.open(b"0009<a>\xff>").unwrap_err();
        assert_eq!(fault, WireFault { code: FaultCode::CharsetInvalid, at: 7 });
    }

    #[test]
    fn a_wrong_length_is_told_before_a_bad_byte() {
        let wire = wire(Charset::Utf8, Prefix::new(4, false));
        let fault = wire.open(b"0002<a>\xff>").unwrap_err();
        assert_eq!(fault, WireFault { code: FaultCode::LengthMismatch, at: 0 });
    }

    #[test]
    fn without_a_prefix_the_bytes_are_the_document() {
        let wire = wire(Charset::Utf8, None);
        assert_eq!(wire.close("甲").as_deref(), Ok("甲".as_bytes()));
        let bytes = "\u{feff}甲".as_bytes();
        assert_eq!(wire.open(bytes).unwrap().sent_offset(3), 3);
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        let wire = wire(Charset::Gb18030, Prefix::new(4, false));
        assert_eq!(wire.close(&"a".repeat(10_000)), Err(CannotSend::TooLong));
        let refused = wire.close("\u{e5e5}").unwrap_err();
        assert_eq!(refused.to_string(), "the charset has no code for U+E5E5");
    }
}
