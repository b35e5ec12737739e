//! The signature on a message: over the document's bytes, or over the fields of a flat document in
//! the order of their names.
//!
//! A contract says how messages are signed; whose keys sign them is told by the caller as PEM text
//! and never stands in a contract. Nothing here reads a file, and no key is ever shown.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::tree::{Kind, Node, NodeId, Tree};

/// How messages are signed. The signature is written in Base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// What is signed.
    pub over: Over,
    /// Where the signature stands: a field of the HTTP form for [`Over::Bytes`], a member or element
    /// of the document's root for [`Over::SortedFields`].
    pub field: String,
    /// Whether answers and notices are signed too.
    pub answers: bool,
}

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The document's bytes, before they are packed.
    Bytes,
    /// `name=value` of every field of the root but the signature, those with an empty value left
    /// out, in byte order of the names, joined by `&`, in UTF-8.
    SortedFields,
}

/// The keys of both sides: RSASSA-PKCS1-v1_5 with SHA-256.
pub struct Keys {
    bank: Key,
    gateway: Key,
}

struct Key {
    verifies: ParsedPublicKey,
    signs: Option<KeyPair>,
}

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {whose} key {why}")]
pub struct KeyError {
    /// `bank's` or `gateway's`.
    pub whose: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Whose signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Bank,
    Gateway,
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Keys(..)")
    }
}

impl Keys {
    /// Keys as PEM text: `PUBLIC KEY`, or `PRIVATE KEY` (PKCS #8) where that side signs here. A
    /// gateway has the bank's public and its own private one; tests play both sides.
    ///
    /// # Errors
    /// A text that is no such key, or a key shorter than 2,048 bits.
    pub fn read(bank: &str, gateway: &str) -> Result<Self, KeyError> {
        let key = |whose, pem| Key::read(pem).map_err(|why| KeyError { whose, why });
        Ok(Self { bank: key("bank's", bank)?, gateway: key("gateway's", gateway)? })
    }

    fn of(&self, side: Side) -> &Key {
        match side {
            Side::Bank => &self.bank,
            Side::Gateway => &self.gateway,
        }
    }

    /// Whether a signature is a side's.
    pub(crate) fn verify(&self, side: Side, signed: &[u8], seal: &[u8]) -> bool {
        STANDARD
            .decode(seal)
            .is_ok_and(|seal| self.of(side).verifies.verify_sig(signed, &seal).is_ok())
    }

    /// A side's signature; `None` if its private key is not here.
    pub(crate) fn sign(&self, side: Side, signed: &[u8]) -> Option<String> {
        let pair = self.of(side).signs.as_ref()?;
        let mut seal = vec![0; pair.public_modulus_len()];
        // This padding takes no chance: the same bytes always get the same signature.
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut seal).ok()?;
        Some(STANDARD.encode(seal))
    }
}

impl Key {
    fn read(pem: &str) -> Result<Self, &'static str> {
        let parsed = |der: &[u8]| {
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)
                .map_err(|_rejected| "is no RSA key of 2,048 to 8,192 bits")
        };
        if let Some(der) = unwrapped(pem, "PUBLIC KEY") {
            return Ok(Self { verifies: parsed(&der)?, signs: None });
        }
        let der = unwrapped(pem, "PRIVATE KEY")
            .ok_or("is no PEM text with a PUBLIC KEY or a PRIVATE KEY (PKCS #8)")?;
        let pair = KeyPair::from_pkcs8(&der)
            .map_err(|_rejected| "is no RSA key of 2,048 to 8,192 bits in PKCS #8")?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_rejected| "has no public part")?;
        Ok(Self { verifies: parsed(public.as_ref())?, signs: Some(pair) })
    }
}

/// What stands between the lines of a PEM text (RFC 7468).
fn unwrapped(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (text, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(text.split_whitespace().collect::<String>()).ok()
}

/// What is signed of a flat document, for a signature in the field `seal`; `None` if a field holds
/// more than a text, so that a signature would not cover it.
pub(crate) fn sorted_fields(tree: &Tree<'_>, seal: &str) -> Option<String> {
    let mut pairs = Vec::new();
    for (id, node) in fields(tree).filter(|(_, node)| node.name != seal) {
        let is_flat =
            !matches!(node.kind, Kind::Object | Kind::Array) && tree.elements(id).next().is_none();
        if !is_flat {
            return None;
        }
        if !node.text.is_empty() {
            pairs.push((node.name.as_ref(), node.text.as_ref()));
        }
    }
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Some(pairs.join("&"))
}

/// The signature that a document holds.
pub(crate) fn found<'a, 't>(tree: &'a Tree<'t>, seal: &str) -> Option<&'a Node<'t>> {
    fields(tree).map(|(_, node)| node).find(|node| node.name == seal)
}

fn fields<'a, 't>(tree: &'a Tree<'t>) -> impl Iterator<Item = (NodeId, &'a Node<'t>)> {
    tree.children(tree.root()).filter(|(_, node)| node.kind != Kind::Attribute)
}

/// A document with its signature as the last field; `None` if it has no place for one.
pub(crate) fn added(document: &str, seal: &str, text: &str) -> Option<String> {
    if let Some(open) = document.strip_suffix('}') {
        let comma = if open.ends_with('{') { "" } else { "," };
        let mut field = String::new();
        crate::tree::json::quote(seal, &mut field);
        return Some(format!("{open}{comma}{field}:\"{text}\"}}"));
    }
    let (open, close) = document.rsplit_once("</")?;
    Some(format!("{open}<{seal}>{text}</{seal}></{close}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{json, xml};

    #[test]
    fn fields_are_signed_in_the_order_of_their_names() {
        let text = r#"{"b":"2 & é","a":1.50,"sign":"x","B":true,"c":"","d":null,"e":"{\"f\":1}"}"#;
        let signed = sorted_fields(&json::parse(text).unwrap(), "sign");
        assert_eq!(signed.as_deref(), Some("B=true&a=1.50&b=2 & é&e={\"f\":1}"));
        let text = "<m v=\"1\"><b>2</b><a>x&amp;y</a><sign>s</sign><c/></m>";
        let signed = sorted_fields(&xml::parse(text).unwrap(), "sign");
        assert_eq!(signed.as_deref(), Some("a=x&y&b=2"));
    }

    #[test]
    fn what_a_signature_would_not_cover_is_not_signed() {
        let nested = json::parse(r#"{"a":{"b":1}}"#).unwrap();
        assert_eq!(sorted_fields(&nested, "sign"), None);
        assert_eq!(sorted_fields(&xml::parse("<m><a><b/></a></m>").unwrap(), "sign"), None);
    }

    #[test]
    fn a_signature_stands_last() {
        assert_eq!(added("{}", "s", "x").as_deref(), Some(r#"{"s":"x"}"#));
        assert_eq!(added(r#"{"a":1}"#, "s", "x").as_deref(), Some(r#"{"a":1,"s":"x"}"#));
        assert_eq!(added("<a><b/></a>", "s", "x").as_deref(), Some("<a><b/><s>x</s></a>"));
        assert_eq!(added("<a/>", "s", "x"), None);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let broken = "-----BEGIN PUBLIC KEY-----\nYWJj\n-----END PUBLIC KEY-----";
        for pem in ["", "-----BEGIN PUBLIC KEY-----", broken, &broken.replace("PUBLIC", "PRIVATE")]
        {
            let error = Keys::read(pem, pem).unwrap_err();
            assert_eq!(error.whose, "bank's");
        }
    }
}
