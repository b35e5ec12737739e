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
use sm2::{
    dsa::{
        Signature, SigningKey, VerifyingKey,
        signature::{Signer as _, Verifier as _},
    },
    pkcs8::{DecodePrivateKey as _, DecodePublicKey as _},
};

use crate::tree::{Kind, Node, NodeId, Tree};

/// How messages are signed. The signature is written in Base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// With what.
    pub algorithm: Algorithm,
    /// What is signed.
    pub over: Over,
    /// Where the signature stands: a field of the HTTP form for [`Over::Bytes`], a member or element
    /// of the document's root for [`Over::SortedFields`].
    pub field: String,
    /// Whether answers and notices are signed too.
    pub answers: bool,
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2,048 to 8,192 bits (RFC 8017).
    RsaSha256,
    /// SM2 with SM3, for the signer `1234567812345678` (GB/T 32918.2 and .5). Written as the
    /// ASN.1 sequence of r and s; their 64 bytes are read as well.
    Sm2Sm3,
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

/// The keys of both sides.
pub struct Keys {
    bank: Key,
    gateway: Key,
}

enum Key {
    Rsa { verifies: ParsedPublicKey, signs: Option<Box<KeyPair>> },
    Sm2 { verifies: Box<VerifyingKey>, signs: Option<Box<SigningKey>> },
}

/// Whose signature SM2 covers beside the message, unless both sides agree on another.
const SIGNER: &str = "1234567812345678";

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
    /// A text that is no such key.
    pub fn read(algorithm: Algorithm, bank: &str, gateway: &str) -> Result<Self, KeyError> {
        let read = match algorithm {
            Algorithm::RsaSha256 => Key::rsa,
            Algorithm::Sm2Sm3 => Key::sm2,
        };
        let key = |whose, pem| read(pem).map_err(|why| KeyError { whose, why });
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
        STANDARD.decode(seal).is_ok_and(|seal| self.of(side).verify(signed, &seal))
    }

    /// A side's signature; `None` if its private key is not here.
    pub(crate) fn sign(&self, side: Side, signed: &[u8]) -> Option<String> {
        self.of(side).sign(signed).map(|seal| STANDARD.encode(seal))
    }
}

impl Key {
    fn verify(&self, signed: &[u8], seal: &[u8]) -> bool {
        match self {
            Self::Rsa { verifies, .. } => verifies.verify_sig(signed, seal).is_ok(),
            Self::Sm2 { verifies, .. } => Signature::from_slice(seal)
                .or_else(|_| Signature::from_der(seal))
                .is_ok_and(|seal| verifies.verify(signed, &seal).is_ok()),
        }
    }

    /// Neither way takes a chance: the same bytes always get the same signature.
    fn sign(&self, signed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa { signs, .. } => {
                let pair = signs.as_ref()?;
                let mut seal = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut seal).ok()?;
                Some(seal)
            }
            Self::Sm2 { signs, .. } => {
                let seal: Signature = signs.as_ref()?.try_sign(signed).ok()?;
                Some(seal.to_der().as_bytes().to_vec())
            }
        }
    }

    fn sm2(pem: &str) -> Result<Self, &'static str> {
        let told = "is no PEM text with an SM2 PUBLIC KEY or PRIVATE KEY (PKCS #8)";
        let pem = pem.trim();
        if let Ok(public) = sm2::PublicKey::from_public_key_pem(pem) {
            let verifies = VerifyingKey::new(SIGNER, public).map_err(|_rejected| told)?;
            return Ok(Self::Sm2 { verifies: Box::new(verifies), signs: None });
        }
        let secret = sm2::SecretKey::from_pkcs8_pem(pem).map_err(|_rejected| told)?;
        let signs = SigningKey::new(SIGNER, &secret).map_err(|_rejected| told)?;
        let verifies = Box::new(signs.verifying_key().clone());
        Ok(Self::Sm2 { verifies, signs: Some(Box::new(signs)) })
    }

    fn rsa(pem: &str) -> Result<Self, &'static str> {
        let parsed = |der: &[u8]| {
            ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)
                .map_err(|_rejected| "is no RSA key of 2,048 to 8,192 bits")
        };
        if let Some(der) = unwrapped(pem, "PUBLIC KEY") {
            return Ok(Self::Rsa { verifies: parsed(&der)?, signs: None });
        }
        let der = unwrapped(pem, "PRIVATE KEY")
            .ok_or("is no PEM text with a PUBLIC KEY or a PRIVATE KEY (PKCS #8)")?;
        let pair = KeyPair::from_pkcs8(&der)
            .map_err(|_rejected| "is no RSA key of 2,048 to 8,192 bits in PKCS #8")?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_rejected| "has no public part")?;
        Ok(Self::Rsa { verifies: parsed(public.as_ref())?, signs: Some(Box::new(pair)) })
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
    use sm2::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};

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
            for algorithm in [Algorithm::RsaSha256, Algorithm::Sm2Sm3] {
                let error = Keys::read(algorithm, pem, pem).unwrap_err();
                assert_eq!(error.whose, "bank's");
            }
        }
    }

    /// The example of GB/T 32918.5-2017, annex A.2.
    #[test]
    fn the_example_of_the_sm2_standard_is_good() {
        let bytes = |text: &str| hex::decode(text.replace(' ', "")).unwrap();
        let secret =
            bytes("3945208F 7B2144B1 3F36E38A C6D39F95 88939369 2860B51A 42FB81EF 4DF7C5B8");
        let point = bytes(
            "04 09F9DF31 1E5421A1 50DD7D16 1E4BC5C6 72179FAD 1833FC07 6BB08FF3 56F35020 \
             CCEA490C E26775A5 2DC6EA71 8CC1AA60 0AED05FB F35E084A 6632F607 2DA9AD13",
        );
        let seal = bytes(
            "F5A03B06 48D2C463 0EEAC513 E1BB81A1 5944DA38 27D5B741 43AC7EAC EEE720B3 \
             B1B6AA29 DF212FD8 763182BC 0D421CA1 BB9038FD 1F7F42D4 840B69C4 85BBC1AA",
        );
        let public = sm2::PublicKey::from_sec1_bytes(&point).unwrap();
        let public = public.to_public_key_pem(sm2::pkcs8::LineEnding::LF).unwrap();
        let secret = sm2::SecretKey::from_slice(&secret).unwrap();
        let secret = secret.to_pkcs8_pem(sm2::pkcs8::LineEnding::LF).unwrap();
        let keys = Keys::read(Algorithm::Sm2Sm3, &public, &secret).unwrap();
        let good = |side, signed: &[u8], seal: &[u8]| {
            keys.verify(side, signed, STANDARD.encode(seal).as_bytes())
        };
        assert!(good(Side::Bank, b"message digest", &seal));
        assert!(good(Side::Gateway, b"message digest", &seal));
        assert!(!good(Side::Bank, b"message digesT", &seal));
        assert!(!good(Side::Bank, b"message digest", &seal[1..]));
        // What is signed here is good there, as the ASN.1 sequence too.
        let own = keys.sign(Side::Gateway, b"text").unwrap();
        assert!(own.starts_with("ME") && keys.verify(Side::Bank, b"text", own.as_bytes()));
        assert_eq!(keys.sign(Side::Bank, b"text"), None);
    }
}
