//! Signatures on a contract's messages: checked before anything in them is believed, put on before
//! they are sent.

use super::{CannotSend, CannotWrite, Contract, Side, Undecoded, undecoded};
use crate::{
    fault::FaultCode,
    unify::document::{self, Document, Where},
    wire::{
        Media, Opened, Seal,
        seal::{self, Over},
    },
};

impl Contract {
    /// The signature of a bank's bytes, in the form that holds them.
    pub(super) fn check_bytes(&self, opened: &Opened<'_>) -> Result<(), Box<Undecoded>> {
        let Some(seal) = self.wire.seal_over(Over::Bytes) else { return Ok(()) };
        let (value, at) = opened.seal().unwrap_or((&[], 0));
        if self.is_signed(Side::Bank, opened.bytes(), value) {
            return Ok(());
        }
        Err(undecoded(FaultCode::SealInvalid, &seal.field, at))
    }

    /// The signature of a document's fields: the place it stands in, or should.
    pub(super) fn check_fields<'d>(
        &self,
        side: Side,
        document: &'d Document<'d>,
        opened: &Opened<'_>,
    ) -> Result<(), Box<Undecoded>> {
        let Some(Seal { field, .. }) = self.wire.seal_over(Over::SortedFields) else {
            return Ok(());
        };
        let tree = document.tree();
        let found = seal::found(tree, field);
        let signed = seal::sorted_fields(tree, field);
        let is_signed = found.zip(signed).is_some_and(|(node, signed)| {
            self.is_signed(side, signed.as_bytes(), node.text.trim().as_bytes())
        });
        if is_signed {
            return Ok(());
        }
        let root = Where::Missing(document.root(), &[]);
        let name = match self.wire.media {
            Media::Xml => field.clone(),
            Media::Json => document::pointer_word(field),
        };
        let place = format!("{}/{name}", root.place(&[]));
        let at = found.map_or(root.offset(), |node| node.value_at);
        Err(undecoded(FaultCode::SealInvalid, &place, opened.sent_offset(at)))
    }

    /// The gateway's signature, as a bank checks it; `None` if it is not good.
    pub(super) fn check_answer<'d>(
        &self,
        document: &'d Document<'d>,
        opened: &Opened<'_>,
    ) -> Option<()> {
        if !self.wire.seal.as_ref().is_some_and(|seal| seal.answers) {
            return Some(());
        }
        self.check_fields(Side::Gateway, document, opened).ok()?;
        if self.wire.seal_over(Over::Bytes).is_none() {
            return Some(());
        }
        let (value, _) = opened.seal()?;
        self.is_signed(Side::Gateway, opened.bytes(), value).then_some(())
    }

    fn is_signed(&self, side: Side, signed: &[u8], value: &[u8]) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.verify(side, signed, value))
    }

    /// Writes a document as the body of an HTTP message, whatever its head is.
    pub(super) fn send_body(&self, text: &str) -> Result<Vec<u8>, CannotWrite> {
        let body = self.wire.charset.encode(text).map_err(CannotSend::Unmappable);
        let cannot =
            |error: CannotSend| CannotWrite { field: String::new(), reason: error.to_string() };
        Ok(body.map_err(cannot)?.into_owned())
    }

    /// Signs a document, if its side signs, and puts it into its skin.
    pub(super) fn send(&self, text: &str, side: Side) -> Result<Vec<u8>, CannotWrite> {
        let cannot = |reason: String| CannotWrite { field: String::new(), reason };
        if self.wire.whole().is_some() {
            let closed = self.wire.close_whole(text, side);
            return closed.map_err(|error| cannot(error.to_string()));
        }
        let packing = match side {
            Side::Bank => &self.wire.packing,
            Side::Gateway => &self.wire.answer_packing,
        };
        let seal = self.wire.seal.as_ref().filter(|seal| side == Side::Bank || seal.answers);
        let sign = |signed: &[u8]| {
            let signature = self.keys.as_ref().and_then(|keys| keys.sign(side, signed));
            signature.ok_or(CannotSend::NoKey)
        };
        let sealed = match seal.filter(|seal| seal.over == Over::SortedFields) {
            Some(seal) => {
                let tree = document::parse(self.wire.media, text)
                    .map_err(|fault| cannot(fault.code.to_string()))?;
                let signed = seal::sorted_fields(&tree, &seal.field).ok_or_else(|| {
                    cannot("a field holds more than a text, so no signature covers it".to_owned())
                })?;
                let signature =
                    sign(signed.as_bytes()).map_err(|error| cannot(error.to_string()))?;
                let added = seal::added(text, &seal.field, &signature);
                Some(added.ok_or_else(|| cannot("there is no place for a signature".to_owned()))?)
            }
            None => None,
        };
        let over_bytes = seal.is_some_and(|seal| seal.over == Over::Bytes);
        let text = sealed.as_deref().unwrap_or(text);
        self.wire
            .close_packed(text, packing, |bytes| over_bytes.then(|| sign(bytes)).transpose())
            .map_err(|error| cannot(error.to_string()))
    }
}
