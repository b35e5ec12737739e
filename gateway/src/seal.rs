//! Applications at rest: sealed with AES-256-GCM under a key from a file, so that whoever has the ledger alone can read
//! none of them.
//!
//! The file holds a line for each key, `NAME BASE64` of 32 bytes; the first seals, all of them open, so that keys rotate by
//! a new first line. What is sealed is bound to its institution and key: it opens for no other filing. Source: NIST SP
//! 800-38D.

use std::{collections::HashMap, fmt, fs, path::Path};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine, prelude::BASE64_STANDARD};
use prost::Message;
use proto::v1::Application;

use crate::ledger::Sealed;

/// The keys.
pub struct Seals {
    first: String,
    keys: HashMap<String, RandomizedNonceKey>,
}

/// What is needed to send a filing later as it would have been sent now.
#[derive(Clone, PartialEq, Message)]
pub struct Kept {
    /// What is applied for.
    #[prost(message, optional, tag = "1")]
    pub application: Option<Application>,
    /// The bank's certificate, as registries are shown it.
    #[prost(bytes = "vec", tag = "2")]
    pub client_cert: Vec<u8>,
    /// The registry that was handed what was uploaded for it, by its name in settings.
    #[prost(string, tag = "3")]
    pub papers_at: String,
}

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// It cannot be read.
    #[error("the key file cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// A line of it is no key. The line is not told: a secret may stand in it.
    #[error("line {0} is not `NAME BASE64`, a name and 32 bytes, with each name once")]
    Line(usize),
    /// There is none in it.
    #[error("there is no key in it")]
    Empty,
}

/// Something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealFault {
    /// It was sealed under a key that is not in the file any more.
    #[error("the key `{0}` is not in the key file")]
    KeyMissing(String),
    /// It is not what was sealed for this filing.
    #[error("it does not open: it was changed, or is another filing's")]
    Broken,
}

impl Seals {
    /// Reads a key file.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(file: &Path) -> Result<Self, BadKeys> {
        Self::parse(&fs::read_to_string(file).map_err(BadKeys::Unreadable)?)
    }

    fn parse(text: &str) -> Result<Self, BadKeys> {
        let mut seals = Self { first: String::new(), keys: HashMap::new() };
        let lines = (1..).zip(text.lines().map(str::trim));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let key = line.split_once(char::is_whitespace).and_then(|(name, secret)| {
                let secret = BASE64_STANDARD.decode(secret.trim()).ok()?;
                Some((name.to_owned(), RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()?))
            });
            let (name, key) = key.ok_or(BadKeys::Line(number))?;
            if seals.first.is_empty() {
                seals.first.clone_from(&name);
            }
            if seals.keys.insert(name, key).is_some() {
                return Err(BadKeys::Line(number));
            }
        }
        if seals.keys.is_empty() { Err(BadKeys::Empty) } else { Ok(seals) }
    }

    /// Seals what is kept of a filing.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn seal(&self, institution: &str, key: &str, kept: &Kept) -> Result<Sealed, SealFault> {
        let mut text = kept.encode_to_vec();
        let with = self.keys.get(&self.first);
        let with = with.ok_or_else(|| SealFault::KeyMissing(self.first.clone()))?;
        let nonce = with
            .seal_in_place_append_tag(Aad::from(bound_to(institution, key)), &mut text)
            .map_err(|_unspecified| SealFault::Broken)?;
        let bytes = [nonce.as_ref().as_slice(), &text].concat();
        Ok(Sealed { key: self.first.clone(), bytes })
    }

    /// Opens what was sealed for a filing.
    ///
    /// # Errors
    /// [`SealFault`].
    pub fn open(&self, institution: &str, key: &str, sealed: &Sealed) -> Result<Kept, SealFault> {
        let with = self.keys.get(&sealed.key);
        let with = with.ok_or_else(|| SealFault::KeyMissing(sealed.key.clone()))?;
        let (nonce, text) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or(SealFault::Broken)?;
        let nonce =
            Nonce::try_assume_unique_for_key(nonce).map_err(|_unspecified| SealFault::Broken)?;
        let mut text = text.to_vec();
        let text = with
            .open_in_place(nonce, Aad::from(bound_to(institution, key)), &mut text)
            .map_err(|_unspecified| SealFault::Broken)?;
        Kept::decode(&*text).map_err(|_undecodable| SealFault::Broken)
    }
}

fn bound_to(institution: &str, key: &str) -> Vec<u8> {
    [institution.as_bytes(), b"\0", key.as_bytes()].concat()
}

impl fmt::Debug for Seals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Seals").field("first", &self.first).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "2025 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const NEW: &str = "2026 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn kept() -> Kept {
        let application = Application { idempotency_key: "S-1".into(), ..Application::default() };
        let client_cert = b":MII=:".to_vec();
        Kept { application: Some(application), client_cert, papers_at: "province".into() }
    }

    #[test]
    fn what_is_sealed_opens_for_its_filing_alone_and_cannot_be_read_or_changed() {
        let seals = Seals::parse(OLD).unwrap();
        let sealed = seals.seal("bank", "S-1", &kept()).unwrap();
        assert_eq!(seals.open("bank", "S-1", &sealed).unwrap(), kept());
        assert!(!sealed.bytes.windows(3).any(|bytes| bytes == b"S-1"));
        assert!(matches!(seals.open("bank", "S-2", &sealed), Err(SealFault::Broken)));
        let mut changed = sealed.clone();
        *changed.bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(seals.open("bank", "S-1", &changed), Err(SealFault::Broken)));
        let again = seals.seal("bank", "S-1", &kept()).unwrap();
        assert_ne!(again.bytes, sealed.bytes, "never twice under one nonce");
    }

    #[test]
    fn keys_rotate_by_a_new_first_line() {
        let before = Seals::parse(OLD).unwrap().seal("bank", "S-1", &kept()).unwrap();
        let seals = Seals::parse(&format!("# newest first\n{NEW}\n\n{OLD}\n")).unwrap();
        assert_eq!(seals.open("bank", "S-1", &before).unwrap(), kept());
        assert_eq!(seals.seal("bank", "S-1", &kept()).unwrap().key, "2026");
        let alone = Seals::parse(NEW).unwrap();
        let missing = alone.open("bank", "S-1", &before).unwrap_err();
        assert!(missing.to_string().contains("2025"), "{missing}");
    }

    #[test]
    fn a_file_that_is_none_is_told_by_line_without_what_stands_there() {
        for (text, line) in [("2026", 1), ("\n2026 c2hvcnQ=", 2), (&format!("{OLD}\n{OLD}"), 2)] {
            let told = Seals::parse(text).unwrap_err().to_string();
            assert!(told.starts_with(&format!("line {line} ")) && !told.contains("c2hv"), "{told}");
        }
        assert!(matches!(Seals::parse("# none\n"), Err(BadKeys::Empty)));
    }
}
