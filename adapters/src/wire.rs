//! How bytes travel: length prefix, then HTTP form, Base64 and gzip, then charset, then a document.
//! A closed list, chosen by the contract's `[wire]`.
//!
//! This is the outer skin of a message: nothing here reads the document inside, save where its
//! fields are signed. The layers stand in the order they are taken off. Offsets told are always in
//! the bytes as sent, prefix included.

pub mod charset;
mod form;
pub mod frame;
pub mod pack;
pub mod seal;
pub mod whole;

use std::{borrow::Cow, ops::Range};

pub use charset::Charset;
pub use frame::Prefix;
pub use pack::Packing;
pub use seal::{Keys, Seal};
pub use whole::Whole;

use crate::{
    fault::FaultCode,
    tree::{SyntaxFault, Tree},
};

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
    /// What the bank's messages are packed in.
    pub packing: Packing,
    /// What answers and notices are packed in.
    pub answer_packing: Packing,
    /// How messages are signed, if they are.
    pub seal: Option<Seal>,
    /// Whether a JSON value must be of the kind that the template shows, and an unset one is not there at all.
    pub exact: bool,
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
    /// `Content-Type` of what the bank sends.
    pub request_type: String,
    /// How the bank sends.
    pub method: Method,
    /// Further header fields that the bank sends, each with its value; quotes around a value mean
    /// nothing.
    pub headers: Vec<(String, String)>,
    /// Where messages are whole requests: what may be asked. `path` is then what all their paths begin with, and method,
    /// media types and header fields are those of the operations.
    pub whole: Option<Whole>,
}

/// How a bank sends over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Post,
    Put,
}

impl Method {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

impl HttpRoute {
    /// A route by POST, without further header fields.
    pub fn new(path: &str, content_type: &str) -> Self {
        Self {
            path: path.to_owned(),
            content_type: content_type.to_owned(),
            request_type: content_type.to_owned(),
            method: Method::Post,
            headers: Vec::new(),
            whole: None,
        }
    }

    /// Whether what is sent to a path, without its query, comes in here.
    pub fn leads_to(&self, path: &str) -> bool {
        match (&self.whole, path.strip_prefix(self.path.as_str())) {
            (Some(_), Some(rest)) => rest.is_empty() || rest.starts_with('/'),
            (None, Some(rest)) => rest.is_empty(),
            (_, None) => false,
        }
    }
}

/// Why bytes are no message: LENGTH_MISMATCH, WRAP_INVALID or CHARSET_INVALID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFault {
    /// What is wrong.
    pub code: FaultCode,
    /// First byte of it, in the bytes as sent.
    pub at: usize,
    /// The form's field it is in or about; empty without a form.
    pub place: String,
}

/// A message taken out of its skin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened<'b> {
    /// The document.
    pub text: Cow<'b, str>,
    bytes: Cow<'b, [u8]>,
    place: pack::Place<'b>,
    charset: Charset,
    within: String,
    seal: Option<(Vec<u8>, usize)>,
    /// Where the body stands in the text, if the document is a whole HTTP message.
    body: Option<Range<usize>>,
}

impl Wire {
    /// A wire without prefix, route, declaration, packing or seal.
    pub fn new(media: Media, charset: Charset) -> Self {
        Self {
            media,
            charset,
            prefix: None,
            http: None,
            declaration: None,
            packing: Packing::default(),
            answer_packing: Packing::default(),
            seal: None,
            exact: false,
        }
    }

    /// Takes a bank's message out of its skin. `bytes` is one whole message as sent, prefix
    /// included. Signatures are not looked at.
    ///
    /// # Errors
    /// LENGTH_MISMATCH if the prefix is not digits or tells another length; WRAP_INVALID if form,
    /// Base64 or gzip are not as agreed; CHARSET_INVALID at the first byte that is none of the
    /// charset.
    pub fn open<'b>(&self, bytes: &'b [u8]) -> Result<Opened<'b>, WireFault> {
        match self.whole() {
            Some(whole) => whole.open_request(bytes, self.charset),
            None => self.open_packed(bytes, &self.packing),
        }
    }

    /// Takes an answer or a notice out of its skin, as a bank does.
    ///
    /// # Errors
    /// As [`Wire::open`].
    pub fn open_answer<'b>(&self, bytes: &'b [u8]) -> Result<Opened<'b>, WireFault> {
        match self.whole() {
            Some(whole) => whole.open_answer(bytes, self.charset),
            None => self.open_packed(bytes, &self.answer_packing),
        }
    }

    /// Takes the body of a whole HTTP message out of its skin, the head being somebody else's.
    pub(crate) fn open_body<'b>(&self, bytes: &'b [u8]) -> Result<Opened<'b>, WireFault> {
        self.open_packed(bytes, &self.answer_packing)
    }

    fn open_packed<'b>(&self, bytes: &'b [u8], packing: &Packing) -> Result<Opened<'b>, WireFault> {
        let body = match self.prefix {
            Some(prefix) => prefix.strip(bytes).map_err(|frame::LengthMismatch| WireFault {
                code: FaultCode::LengthMismatch,
                at: 0,
                place: String::new(),
            })?,
            None => bytes,
        };
        let body_at = bytes.len().saturating_sub(body.len());
        let in_form = self.seal_over(seal::Over::Bytes).map(|seal| seal.field.as_str());
        let pack::Unpacked { bytes, place, seal } = packing.open(body, body_at, in_form)?;
        let bad = |bad: charset::BadByte| WireFault {
            code: FaultCode::CharsetInvalid,
            at: place.offset(bad.at),
            place: packing.form.clone().unwrap_or_default(),
        };
        let text = match &bytes {
            Cow::Borrowed(bytes) => self.charset.decode(bytes).map_err(bad)?,
            Cow::Owned(bytes) => Cow::Owned(self.charset.decode(bytes).map_err(bad)?.into_owned()),
        };
        let within = packing.form.as_ref().map(|field| format!("{field}!")).unwrap_or_default();
        Ok(Opened { text, bytes, place, charset: self.charset, within, seal, body: None })
    }

    /// Puts an answer or a notice into its skin. What is signed by its fields must hold its
    /// signature already; one over the bytes is left out.
    ///
    /// # Errors
    /// A character the charset has no code for, or a length the prefix cannot tell.
    pub fn close(&self, text: &str) -> Result<Vec<u8>, CannotSend> {
        self.close_packed(text, &self.answer_packing, |_| Ok(None))
    }

    /// Puts a document into a skin; `sign` gives the signature of its bytes, if there is one.
    pub(crate) fn close_packed(
        &self,
        text: &str,
        packing: &Packing,
        sign: impl FnOnce(&[u8]) -> Result<Option<String>, CannotSend>,
    ) -> Result<Vec<u8>, CannotSend> {
        let document = self.charset.encode(text).map_err(CannotSend::Unmappable)?;
        let signature = sign(&document)?;
        let seal = self.seal_over(seal::Over::Bytes).zip(signature.as_deref());
        let seal = seal.map(|(seal, signature)| (seal.field.as_str(), signature));
        let body = packing.close(document, seal);
        match self.prefix {
            Some(prefix) => prefix.put_on(&body).map_err(|frame::TooLong| CannotSend::TooLong),
            None => Ok(body.into_owned()),
        }
    }

    /// Puts a document into the form of a whole HTTP message.
    pub(crate) fn close_whole(&self, text: &str, side: seal::Side) -> Result<Vec<u8>, CannotSend> {
        match side {
            seal::Side::Bank => whole::close_request(text, self.charset),
            seal::Side::Gateway => whole::close_answer(text, self.charset),
        }
    }

    /// What may be asked, where messages are whole HTTP requests.
    pub fn whole(&self) -> Option<&Whole> {
        self.http.as_ref()?.whole.as_ref()
    }

    /// A place as the bank knows it.
    pub(crate) fn told(&self, place: &str) -> String {
        match self.whole() {
            Some(_) => whole::told(place),
            None => place.to_owned(),
        }
    }

    /// The seal, if it is over this.
    pub(crate) fn seal_over(&self, over: seal::Over) -> Option<&Seal> {
        self.seal.as_ref().filter(|seal| seal.over == over)
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
    /// The signing key is not here.
    #[error("the message is to be signed, but its private key was not given")]
    NoKey,
    /// A whole HTTP message lacks its first line.
    #[error("the message has no method and path, or no status")]
    NoHead,
    /// A header field cannot hold its value.
    #[error("a header field holds visible ASCII and blanks only")]
    NotAField,
}

impl Opened<'_> {
    /// Where a byte of the text stood in the bytes as sent; behind Base64 or gzip, where the
    /// wrapped value begins. Reads the bytes again, so it is for telling faults only.
    pub fn sent_offset(&self, text_offset: usize) -> usize {
        let text_offset = match &self.body {
            Some(body) => text_offset.clamp(body.start, body.end).saturating_sub(body.start),
            None => text_offset,
        };
        self.place.offset(self.charset.byte_offset(&self.bytes, text_offset))
    }

    /// Holds the parsed document to being what was sent.
    pub(crate) fn held<'t>(
        &self,
        parsed: Result<Tree<'t>, SyntaxFault>,
    ) -> Result<Tree<'t>, SyntaxFault> {
        match &self.body {
            Some(body) => whole::held(parsed, body),
            None => parsed,
        }
    }

    /// What stands before every place in the document: the form's field and `!`, or nothing.
    pub fn within(&self) -> &str {
        &self.within
    }

    /// The document's bytes, unpacked.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The form's field that holds the seal: its value, and where that begins.
    pub(crate) fn seal(&self) -> Option<(&[u8], usize)> {
        self.seal.as_ref().map(|(value, at)| (value.as_slice(), *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(charset: Charset, prefix: Option<Prefix>) -> Wire {
        Wire { prefix, ..Wire::new(Media::Xml, charset) }
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
        assert_eq!((fault.code, fault.at), (FaultCode::CharsetInvalid, 7));
    }

    #[test]
    fn a_wrong_length_is_told_before_a_bad_byte() {
        let wire = wire(Charset::Utf8, Prefix::new(4, false));
        let fault = wire.open(b"0002<a>\xff>").unwrap_err();
        assert_eq!((fault.code, fault.at), (FaultCode::LengthMismatch, 0));
    }

    #[test]
    fn without_a_prefix_the_bytes_are_the_document() {
        let wire = wire(Charset::Utf8, None);
        assert_eq!(wire.close("甲").as_deref(), Ok("甲".as_bytes()));
        let bytes = "\u{feff}甲".as_bytes();
        assert_eq!(wire.open(bytes).unwrap().sent_offset(3), 3);
    }

    #[test]
    fn a_bad_byte_in_a_form_is_told_through_its_escapes() {
        let form = Packing { form: Some("x".to_owned()), ..Packing::default() };
        let plain = Wire::new(Media::Xml, Charset::Utf8);
        let wire = Wire { packing: form, ..plain };
        let fault = wire.open(b"x=%3Ca%3E%FF").unwrap_err();
        assert_eq!((fault.code, fault.at, &*fault.place), (FaultCode::CharsetInvalid, 9, "x"));
        assert_eq!(wire.open(b"x=%E7%94%B2").unwrap().within(), "x!");
        // Answers are packed less.
        assert_eq!(wire.close("<a/>").as_deref(), Ok(&b"<a/>"[..]));
        assert_eq!(wire.open_answer(b"<a/>").unwrap().text, "<a/>");
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        let wire = wire(Charset::Gb18030, Prefix::new(4, false));
        assert_eq!(wire.close(&"a".repeat(10_000)), Err(CannotSend::TooLong));
        let refused = wire.close("\u{e5e5}").unwrap_err();
        assert_eq!(refused.to_string(), "the charset has no code for U+E5E5");
    }
}
