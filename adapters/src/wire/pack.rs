//! What a document is packed in between the prefix and its charset: an HTTP form, Base64, gzip, in
//! this order from the outside.
//!
//! Through the escapes of a form every byte keeps its place; behind Base64 or gzip all that can be
//! told is where the wrapped value begins. Unpacking never makes more than a fixed number of bytes.

use std::{borrow::Cow, io::Read as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    WireFault,
    form::{self, Field},
};
use crate::fault::FaultCode;

/// What messages of one direction are packed in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packing {
    /// The field of an HTTP form that holds the message.
    pub form: Option<String>,
    /// Other fields that the form may have and nobody reads.
    pub ignored: Vec<String>,
    /// Whether the document is in Base64.
    pub base64: bool,
    /// Whether the document is compressed with gzip.
    pub gzip: bool,
}

/// Bytes that a document may have once it is unpacked: eight times what a body may have unless the
/// settings allow more, which is far from the thousandfold that gzip can reach.
pub const UNPACKED_BYTES_MAX: usize = 8 << 20;

/// A document taken out of its packing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpacked<'b> {
    /// The document's bytes.
    pub(super) bytes: Cow<'b, [u8]>,
    /// How they lead back to the body.
    pub(super) place: Place<'b>,
    /// The value of the form's field that holds the seal.
    pub(super) seal: Option<(Vec<u8>, usize)>,
}

/// How a byte of a document leads back to the bytes as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'b> {
    /// It stands as it is, this far behind.
    Plain(usize),
    /// It stands in an escaped text, which begins here.
    Escaped(&'b [u8], usize),
    /// It stands somewhere in what begins here.
    Wrapped(usize),
}

impl Place<'_> {
    pub(super) fn offset(self, byte: usize) -> usize {
        match self {
            Self::Plain(at) => at.saturating_add(byte),
            Self::Escaped(text, at) => at.saturating_add(form::escaped_offset(text, byte)),
            Self::Wrapped(at) => at,
        }
    }
}

impl Packing {
    /// Takes a document out. `at` is where the body begins in the bytes as sent, `seal` the form's
    /// field that holds the signature of its bytes, if one does.
    pub(super) fn open<'b>(
        &self,
        body: &'b [u8],
        at: usize,
        seal: Option<&str>,
    ) -> Result<Unpacked<'b>, WireFault> {
        let (mut bytes, mut place) = (Cow::Borrowed(body), Place::Plain(at));
        let mut sealed = None;
        if let Some(name) = &self.form {
            let (value, seal) = self.fields(body, at, name, seal)?;
            let from = at.saturating_add(value.value_at);
            bytes = unescaped(value, at, name)?;
            place = Place::Escaped(value.value, from);
            if let Some((field, seal)) = seal {
                let value = unescaped(seal, at, field)?.into_owned();
                sealed = Some((value, at.saturating_add(seal.value_at)));
            }
        }
        let begins = place.offset(0);
        let wrong = |_| self.fault(begins);
        if self.base64 {
            let text: Vec<u8> =
                bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
            bytes = Cow::Owned(STANDARD.decode(text).map_err(wrong)?);
            place = Place::Wrapped(begins);
        }
        if self.gzip {
            bytes = Cow::Owned(inflate(&bytes).ok_or_else(|| self.fault(begins))?);
            place = Place::Wrapped(begins);
        }
        Ok(Unpacked { bytes, place, seal: sealed })
    }

    /// The field that holds the document, and the one that holds its seal.
    #[expect(clippy::type_complexity, reason = "two fields, one of them with its name")]
    fn fields<'b, 's>(
        &self,
        body: &'b [u8],
        at: usize,
        name: &str,
        seal: Option<&'s str>,
    ) -> Result<(Field<'b>, Option<(&'s str, Field<'b>)>), WireFault> {
        let (mut message, mut sealed) = (None, None);
        for field in form::fields(body) {
            let fault = |place: &str, offset: usize| WireFault {
                code: FaultCode::WrapInvalid,
                at: at.saturating_add(offset),
                place: place.to_owned(),
            };
            let called = form::unescape(field.name)
                .map_err(|broken| fault("", field.at.saturating_add(broken)))?;
            let is = |known: &str| called.as_ref() == known.as_bytes();
            let twice = match seal {
                _ if is(name) => message.replace(field).is_some(),
                Some(seal) if is(seal) => sealed.replace((seal, field)).is_some(),
                _ if self.ignored.iter().any(|ignored| is(ignored)) => false,
                _ => true,
            };
            if twice {
                return Err(fault(&shown(&called), field.at));
            }
        }
        match message {
            Some(message) => Ok((message, sealed)),
            None => Err(WireFault { code: FaultCode::WrapInvalid, at, place: name.to_owned() }),
        }
    }

    fn fault(&self, at: usize) -> WireFault {
        let place = self.form.clone().unwrap_or_default();
        WireFault { code: FaultCode::WrapInvalid, at, place }
    }

    /// Packs a document; `seal` is the form's field for its signature, with its text.
    pub(super) fn close<'d>(
        &self,
        document: Cow<'d, [u8]>,
        seal: Option<(&str, &str)>,
    ) -> Cow<'d, [u8]> {
        let mut bytes = document;
        if self.gzip {
            bytes = Cow::Owned(deflate(&bytes));
        }
        if self.base64 {
            bytes = Cow::Owned(STANDARD.encode(&bytes).into_bytes());
        }
        let Some(name) = &self.form else { return bytes };
        let mut out = Vec::with_capacity(bytes.len().saturating_mul(2));
        form::escape(name.as_bytes(), &mut out);
        out.push(b'=');
        form::escape(&bytes, &mut out);
        if let Some((field, text)) = seal {
            out.push(b'&');
            form::escape(field.as_bytes(), &mut out);
            out.push(b'=');
            form::escape(text.as_bytes(), &mut out);
        }
        Cow::Owned(out)
    }
}

fn unescaped<'b>(field: Field<'b>, at: usize, name: &str) -> Result<Cow<'b, [u8]>, WireFault> {
    form::unescape(field.value).map_err(|broken| WireFault {
        code: FaultCode::WrapInvalid,
        at: at.saturating_add(field.value_at).saturating_add(broken),
        place: name.to_owned(),
    })
}

/// A field's name as it may be told.
fn shown(name: &[u8]) -> String {
    const SHOWN_MAX: usize = 60;
    let name = String::from_utf8_lossy(name);
    name.chars().filter(|character| !character.is_control()).take(SHOWN_MAX).collect()
}

/// What was compressed; `None` if it is no gzip, is unfinished, has something behind it, or would be
/// too long.
fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = flate2::bufread::GzDecoder::new(bytes);
    let (mut out, max) = (Vec::new(), UNPACKED_BYTES_MAX.saturating_add(1));
    let read = decoder.by_ref().take(u64::try_from(max).ok()?).read_to_end(&mut out).ok()?;
    (read < max && decoder.into_inner().is_empty()).then_some(out)
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::bufread::GzEncoder::new(bytes, flate2::Compression::default());
    let mut out = Vec::new();
    // Reading from memory cannot fail.
    let _length = encoder.read_to_end(&mut out).unwrap_or_default();
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packing(form: bool, base64: bool, gzip: bool) -> Packing {
        let form = form.then(|| "data".to_owned());
        Packing { form, ignored: vec!["v".to_owned()], base64, gzip }
    }

    fn fault(packing: &Packing, body: &[u8]) -> (usize, String) {
        let fault = packing.open(body, 0, Some("sign")).unwrap_err();
        assert_eq!(fault.code, FaultCode::WrapInvalid);
        (fault.at, fault.place)
    }

    #[test]
    fn offsets_lead_through_the_escapes_of_a_form() {
        let opened = packing(true, false, false).open(b"v=2&data=%3Ca+b%2B", 8, None).unwrap();
        assert_eq!(opened.bytes.as_ref(), b"<a b+");
        let offsets: Vec<usize> = (0..6).map(|byte| opened.place.offset(byte)).collect();
        assert_eq!(offsets, [17, 20, 21, 22, 23, 26]);
    }

    #[test]
    fn behind_base64_or_gzip_the_wrapped_value_is_told() {
        let packing = packing(true, true, true);
        let body = packing.close(Cow::Borrowed(b"<a/>"), None);
        let opened = packing.open(&body, 8, None).unwrap();
        assert_eq!((opened.bytes.as_ref(), opened.place.offset(3)), (&b"<a/>"[..], 13));
    }

    #[test]
    fn a_form_has_the_agreed_fields_once() {
        let form = packing(true, false, false);
        for (body, at, place) in [
            (&b"v=1"[..], 0, "data"),
            (b"", 0, "data"),
            (b"data=1&data=2", 7, "data"),
            (b"data=1&sign=2&sign=2", 14, "sign"),
            (b"data=1&x%20y=2", 7, "x y"),
            (b"data=1%2", 6, "data"),
            (b"d%zta=1", 1, ""),
        ] {
            assert_eq!(fault(&form, body), (at, place.to_owned()), "{body:?}");
        }
        let opened = form.open(b"sign=a%2Bb&v=9&data=1", 0, Some("sign")).unwrap();
        assert_eq!(opened.seal, Some((b"a+b".to_vec(), 5)));
    }

    #[test]
    fn what_is_no_base64_or_gzip_is_told_at_its_beginning() {
        // An unescaped plus is a blank in a form, and no Base64.
        assert_eq!(fault(&packing(true, true, false), b"data=YW+="), (5, "data".to_owned()));
        assert_eq!(fault(&packing(false, true, false), b"YQ="), (0, String::new()));
        assert!(packing(false, true, false).open(b"YW\r\nFh\n", 0, None).is_ok());
        let whole = packing(false, false, true).close(Cow::Borrowed(b"text"), None);
        for broken in [&whole[..whole.len() - 1], &[&whole[..], b"x"].concat(), b"text"] {
            assert_eq!(fault(&packing(false, false, true), broken), (0, String::new()));
        }
    }

    #[test]
    fn what_would_unpack_to_too_much_is_refused() {
        let gzip = packing(false, false, true);
        let most = gzip.close(vec![b' '; UNPACKED_BYTES_MAX].into(), None);
        assert_eq!(gzip.open(&most, 0, None).unwrap().bytes.len(), UNPACKED_BYTES_MAX);
        let more = gzip.close(vec![b' '; UNPACKED_BYTES_MAX + 1].into(), None);
        assert_eq!(fault(&gzip, &more), (0, String::new()));
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(document: Vec<u8>, form: bool, base64: bool, gzip: bool) {
            let packing = packing(form, base64, gzip);
            let body = packing.close(Cow::Borrowed(&document), None);
            let opened = packing.open(&body, 0, None).unwrap();
            prop_assert_eq!(opened.bytes.as_ref(), &document[..]);
            let _any = packing.open(&document, 0, Some("sign"));
        }
    }
}
