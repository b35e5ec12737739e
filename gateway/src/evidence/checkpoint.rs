//! Checkpoints: how large the log was and what its root was, signed, so that whoever has one can hold the log to it.
//!
//! Sources of the forms: C2SP's tlog-checkpoint (the text) and signed-note (signatures and keys, Ed25519). Keys are read
//! from files; every private key of the settings signs, so that keys rotate while verifiers know but one of them.

use std::{fmt, fs, io, path::Path};

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::AsBigEndian,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::tree::{Hash, SIZE_MAX};

/// How large a log is, and its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// The checkpoint with a signature of each key: a C2SP signed note.
    pub fn signed<'k>(&self, keys: impl IntoIterator<Item = &'k SigningKey>) -> String {
        let text = self.text();
        let signatures = keys.into_iter().map(|key| {
            let signature = key.pair.sign(text.as_bytes());
            let signature = [key.public.id().as_slice(), signature.as_ref()].concat();
            format!("{DASH} {} {}\n", key.public.name, BASE64_STANDARD.encode(signature))
        });
        let signatures: String = signatures.collect();
        format!("{text}\n{signatures}")
    }
}

/// What a line of a signature begins with: an em dash.
const DASH: char = '\u{2014}';

/// A checkpoint as it was read, its signatures not yet judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Its signatures: name and id of the key, and the rest.
    signatures: Vec<(String, Vec<u8>)>,
}

/// Why a text is no signed checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no signed checkpoint: {0}")]
pub struct NoCheckpoint(&'static str);

impl SignedCheckpoint {
    /// Reads a signed note that is a checkpoint.
    ///
    /// # Errors
    /// It is none.
    pub fn read(note: &str) -> Result<Self, NoCheckpoint> {
        let (text, signatures) =
            note.split_once("\n\n").ok_or(NoCheckpoint("no blank line before its signatures"))?;
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let origin = origin.filter(|it| is_name(it)).ok_or(NoCheckpoint("no name of a log"))?;
        let size = size
            .filter(|size| *size == "0" || !size.starts_with(['0', '+']))
            .and_then(|size| size.parse().ok())
            .filter(|size| *size <= SIZE_MAX)
            .ok_or(NoCheckpoint("no size"))?;
        let root = root.and_then(Hash::read).ok_or(NoCheckpoint("no root"))?;
        if lines.next().is_some() {
            return Err(NoCheckpoint("more lines than it may have"));
        }
        let signatures = signatures.split_terminator('\n').map(|line| {
            let (name, signature) = line.strip_prefix(DASH)?.strip_prefix(' ')?.split_once(' ')?;
            Some((name.to_owned(), BASE64_STANDARD.decode(signature).ok()?))
        });
        let signatures: Option<Vec<_>> = signatures.collect();
        let signatures = signatures.ok_or(NoCheckpoint("a line that is no signature"))?;
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
        Ok(Self { checkpoint, signatures })
    }

    /// The first of the keys that has signed it, and is the log's own: its name is the log's.
    pub fn signed_by<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Option<&'k PublicKey> {
        let text = self.checkpoint.text();
        keys.into_iter().find(|key| {
            key.name == self.checkpoint.origin
                && self.signatures.iter().any(|(name, signature)| {
                    *name == key.name && key.has_signed(text.as_bytes(), signature)
                })
        })
    }
}

/// Whether it can be a log's and its key's name: no blanks, no plus, nothing that breaks a line.
pub fn is_name(text: &str) -> bool {
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '+';
    !text.is_empty() && text.len() <= 255 && !text.contains(odd)
}

/// The key that verifies a log's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

/// What kind of key it is, as C2SP numbers them: Ed25519.
const ED25519_KIND: u8 = 1;

impl PublicKey {
    /// Reads `NAME+ID+BASE64`.
    ///
    /// # Errors
    /// It is no Ed25519 key in that form. The text is not told.
    pub fn read(text: &str) -> Result<Self, BadKey> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadKey::Form);
        };
        let key = Self { name: name.to_owned(), key: key_bytes(key).ok_or(BadKey::Form)? };
        match is_name(name) && id == hex::encode(key.id()) {
            true => Ok(key),
            false => Err(BadKey::Form),
        }
    }

    /// The log's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells keys of one name apart.
    fn id(&self) -> [u8; 4] {
        let named = [self.name.as_bytes(), b"\n", &[ED25519_KIND], &self.key].concat();
        let digest = digest(&SHA256, &named);
        let mut id = [0; 4];
        id.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        id
    }

    fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        let signature = signature.strip_prefix(&self.id());
        signature.is_some_and(|signature| key.verify(text, signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [[ED25519_KIND].as_slice(), &self.key].concat();
        let (id, key) = (hex::encode(self.id()), BASE64_STANDARD.encode(key));
        write!(out, "{}+{id}+{key}", self.name)
    }
}

fn key_bytes(text: &str) -> Option<[u8; 32]> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    bytes.strip_prefix(&[ED25519_KIND])?.try_into().ok()
}

/// A key that signs a log's checkpoints.
pub struct SigningKey {
    public: PublicKey,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new one, for the log of that name; and its text, which is to be kept secret.
    ///
    /// # Errors
    /// The name is none, or the system has no randomness to give.
    pub fn generate(name: &str) -> Result<(Self, String), BadKey> {
        if !is_name(name) {
            return Err(BadKey::Form);
        }
        let pair = Ed25519KeyPair::generate().map_err(|_unspecified| BadKey::Unmade)?;
        let seed = pair.seed().and_then(|seed| seed.as_be_bytes());
        let seed = seed.map_err(|_unspecified| BadKey::Unmade)?;
        let key = Self::of(name, pair)?;
        let secret = [[ED25519_KIND].as_slice(), seed.as_ref()].concat();
        let (id, secret) = (hex::encode(key.public.id()), BASE64_STANDARD.encode(secret));
        let text = format!("{PRIVATE}{name}+{id}+{secret}\n");
        Ok((key, text))
    }

    /// Reads `PRIVATE+KEY+NAME+ID+BASE64`.
    ///
    /// # Errors
    /// It is no Ed25519 key in that form. The text is not told.
    pub fn read(text: &str) -> Result<Self, BadKey> {
        let mut parts = text.trim().strip_prefix(PRIVATE).ok_or(BadKey::Form)?.splitn(3, '+');
        let (Some(name), Some(id), Some(seed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadKey::Form);
        };
        let seed = key_bytes(seed).ok_or(BadKey::Form)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        let key = Self::of(name, pair.map_err(|_rejected| BadKey::Form)?)?;
        match is_name(name) && id == hex::encode(key.public.id()) {
            true => Ok(key),
            false => Err(BadKey::Form),
        }
    }

    fn of(name: &str, pair: Ed25519KeyPair) -> Result<Self, BadKey> {
        let key = pair.public_key().as_ref().try_into().map_err(|_odd_length| BadKey::Unmade)?;
        Ok(Self { public: PublicKey { name: name.to_owned(), key }, pair })
    }

    /// The key that verifies what it signs.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// Whether a key file holds a private key; not, if it cannot be read.
pub(crate) fn is_secret(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.starts_with(PRIVATE))
}

/// What a private key's text begins with.
const PRIVATE: &str = "PRIVATE+KEY+";

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// Its file cannot be read.
    #[error("the key file cannot be read")]
    Unreadable(#[source] io::Error),
    /// It is no key. What stands there is not told: a secret may be in it.
    #[error(
        "it is neither `PRIVATE+KEY+NAME+ID+BASE64` nor `NAME+ID+BASE64` (`directlink evidence keygen` makes both)"
    )]
    Form,
    /// It is another log's.
    #[error("it is a key of the log `{key}`, and `origin` says `{origin}`")]
    Stranger {
        /// The log's name in settings.
        origin: String,
        /// The key's name.
        key: String,
    },
    /// None can be made here.
    #[error("the system makes no keys")]
    Unmade,
}

/// The keys of one log: those that sign now, and all that its checkpoints may have been signed with.
#[derive(Debug, Default)]
pub struct Keys {
    signing: Vec<SigningKey>,
    public: Vec<PublicKey>,
}

impl Keys {
    /// Takes in a key file of the log called `origin`; a private key signs from now on.
    ///
    /// # Errors
    /// It cannot be read, is no key, or another log's.
    pub fn add(&mut self, file: &Path, origin: &str) -> Result<(), BadKey> {
        let text = fs::read_to_string(file).map_err(BadKey::Unreadable)?;
        let public = if text.starts_with(PRIVATE) {
            let key = SigningKey::read(&text)?;
            let public = key.public.clone();
            self.signing.push(key);
            public
        } else {
            PublicKey::read(&text)?
        };
        let key = public.name.clone();
        self.public.push(public);
        if key == origin {
            Ok(())
        } else {
            Err(BadKey::Stranger { origin: origin.to_owned(), key })
        }
    }

    /// Those that sign.
    pub fn signing(&self) -> &[SigningKey] {
        &self.signing
    }

    /// All of them, as they verify.
    pub fn public(&self) -> &[PublicKey] {
        &self.public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(origin: &str) -> Checkpoint {
        Checkpoint { origin: origin.to_owned(), size: 70, root: Hash::of_nothing() }
    }

    fn key(name: &str) -> SigningKey {
        SigningKey::generate(name).unwrap().0
    }

    #[test]
    fn a_checkpoint_is_believed_by_the_key_that_signed_it_alone() {
        let (one, other) = (key("log.example"), key("log.example"));
        let note = checkpoint("log.example").signed([&one]);
        let read = SignedCheckpoint::read(&note).unwrap();
        assert_eq!(read.checkpoint, checkpoint("log.example"));
        assert_eq!(read.signed_by([other.public(), one.public()]), Some(one.public()));
        assert_eq!(read.signed_by([other.public()]), None);
        let larger = SignedCheckpoint::read(&note.replacen("70", "71", 1)).unwrap();
        assert_eq!(larger.signed_by([one.public()]), None);
        let both = SignedCheckpoint::read(&checkpoint("log.example").signed([&one, &other]));
        let both = both.unwrap();
        assert!(
            both.signed_by([one.public()]).is_some() && both.signed_by([other.public()]).is_some()
        );
    }

    #[test]
    fn a_key_speaks_for_the_log_of_its_name_alone() {
        let stranger = key("other.example");
        let note = checkpoint("log.example").signed([&stranger]);
        let read = SignedCheckpoint::read(&note).unwrap();
        assert_eq!(read.signed_by([stranger.public()]), None);
    }

    /// The note of the form's own description (C2SP signed-note), made by another implementation.
    #[test]
    fn a_note_of_another_implementation_is_read() {
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = PublicKey::read(key).unwrap();
        assert_eq!(key.name(), "PeterNeumann");
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let signature = BASE64_STANDARD.decode(signature).unwrap();
        assert!(key.has_signed(text.as_bytes(), &signature));
        assert!(!key.has_signed(b"something else", &signature));
        let read = "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert!(PublicKey::read(read).is_err(), "an id that is not the key's");
    }

    #[test]
    fn a_private_key_comes_back_from_its_text_and_is_never_shown() {
        let (made, text) = SigningKey::generate("log.example").unwrap();
        let read = SigningKey::read(&text).unwrap();
        assert_eq!(read.public(), made.public());
        assert_eq!(PublicKey::read(&made.public().to_string()).unwrap(), *made.public());
        let shown = format!("{read:?} {}", SigningKey::read(&text[1..]).unwrap_err());
        assert!(!shown.contains(text.split('+').next_back().unwrap().trim()), "{shown}");
        assert!(SigningKey::generate("log example").is_err());
    }

    #[test]
    fn key_files_rotate_and_those_of_another_log_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (new, text) = SigningKey::generate("log.example").unwrap();
        let (old, stranger) = (key("log.example"), key("other.example"));
        let file = |name: &str, text: String| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        let mut keys = Keys::default();
        keys.add(&file("new.key", text), "log.example").unwrap();
        keys.add(&file("old.pub", old.public().to_string()), "log.example").unwrap();
        assert_eq!(keys.signing().len(), 1);
        let before = SignedCheckpoint::read(&checkpoint("log.example").signed([&old])).unwrap();
        let now = checkpoint("log.example").signed(keys.signing());
        let now = SignedCheckpoint::read(&now).unwrap();
        assert_eq!(before.signed_by(keys.public()), Some(old.public()));
        assert_eq!(now.signed_by(keys.public()), Some(new.public()));
        let told = keys.add(&file("s.pub", stranger.public().to_string()), "log.example");
        assert!(told.unwrap_err().to_string().contains("other.example"));
        assert!(keys.add(&folder.path().join("none"), "log.example").is_err());
    }

    #[test]
    fn what_is_no_checkpoint_is_told() {
        let note = checkpoint("log.example").signed([&key("log.example")]);
        for (from, to) in [
            ("\n\n", "\n"),
            ("log.example\n", "\n"),
            ("\n70\n", "\n070\n"),
            ("\n70\n", "\n18446744073709551615\n"),
            ("\n70\n", "\n-70\n"),
            ("=\n\n", "=\nmore\n\n"),
            ("\u{2014} ", "- "),
        ] {
            let changed = note.replacen(from, to, 1);
            assert!(SignedCheckpoint::read(&changed).is_err(), "{changed}");
        }
    }
}
