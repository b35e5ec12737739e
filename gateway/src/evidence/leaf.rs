//! A leaf: what one exchange was, as lines of text, and the digests of what was said in it. What an operator did is one too,
//! of another form (`act.rs`).
//!
//! The form is canonical: one exchange can be written in one way only, and what cannot be read back to the same bytes is
//! no leaf. Reads no clock, sends nothing. Source of the form: docs/evidence.md.

use std::fmt;

use aws_lc_rs::{
    digest::{Context, SHA256},
    rand,
};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::act;

/// The first line; a leaf of another form begins with another.
const FORM: &str = "directlink-evidence-leaf/v1";

/// The lines after the first, in their order: a name, and whether every leaf has it.
const LINES: [(&str, bool); 18] = [
    ("origin", true),
    ("institution", true),
    ("key", false),
    ("message", false),
    ("contract", true),
    ("contract-version", true),
    ("contract-digest", true),
    ("heard", true),
    ("answered", true),
    ("result", true),
    ("registry", false),
    ("office", false),
    ("case", false),
    ("trace", false),
    (Part::Received.name(), true),
    (Part::Canonical.name(), false),
    (Part::RegistryAnswer.name(), false),
    (Part::Replied.name(), true),
];

/// What is said in an exchange, of which the leaf holds a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The bank's message: its bytes as the port took them, framing included.
    Received,
    /// What was understood: the `directlink.v1.Envelope`, in protobuf's binary form with fields in order of number.
    Canonical,
    /// What the registry answered, in the same form: the `Case` of a filing; of a question the answer's own message.
    RegistryAnswer,
    /// The answer: its bytes as they went to the bank, framing included.
    Replied,
}

impl Part {
    /// Every one.
    pub const ALL: [Self; 4] =
        [Self::Received, Self::Canonical, Self::RegistryAnswer, Self::Replied];

    /// The line's name in a leaf.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Canonical => "canonical",
            Self::RegistryAnswer => "registry-answer",
            Self::Replied => "replied",
        }
    }
}

/// What is mixed into the digests of one leaf, so that nobody can guess what they are of. Whoever has erased it has erased
/// what the leaf says of the messages, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; Salt::BYTES]);

impl Salt {
    /// As many as a digest has.
    pub const BYTES: usize = 32;

    /// One that nobody has had before.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn fresh() -> Result<Self, NoSalt> {
        let mut salt = [0; Self::BYTES];
        rand::fill(&mut salt).map_err(|_unspecified| NoSalt)?;
        Ok(Self(salt))
    }

    /// The digest of a part of an exchange: SHA-256 over the salt, the part's name, a line feed, and the bytes.
    pub fn digest(&self, part: Part, bytes: &[u8]) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(part.name().as_bytes());
        context.update(b"\n");
        context.update(bytes);
        let mut digest = Digest([0; 32]);
        digest.0.copy_from_slice(context.finish().as_ref());
        digest
    }
}

/// A salt is a secret as long as it is kept.
impl fmt::Debug for Salt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Salt(…)")
    }
}

/// There is no randomness, so that no digest could be kept from being guessed.
#[derive(Debug, thiserror::Error)]
#[error("the system has no randomness to give")]
pub struct NoSalt;

/// A SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

/// What an exchange was, as far as it got.
#[derive(Debug, Clone)]
pub struct Exchange<'e> {
    /// The log's name in settings.
    pub origin: &'e str,
    /// Whose message it was, by its id in settings.
    pub institution: &'e str,
    /// The idempotency key that the message is about.
    pub key: Option<&'e str>,
    /// Its kind, by the contract's name for it.
    pub message: Option<&'e str>,
    /// Folder of the contract.
    pub contract: &'e str,
    /// The version that read the message.
    pub version: &'e str,
    /// The contract's content, as the gateway had loaded it.
    pub contract_digest: [u8; 32],
    /// When the message was there.
    pub heard: OffsetDateTime,
    /// When the answer was.
    pub answered: OffsetDateTime,
    /// What was answered: the case's status, or the refusal's code.
    pub result: &'e str,
    /// The registry in charge, by its name in settings.
    pub registry: Option<&'e str>,
    /// The office in charge.
    pub office: Option<&'e str>,
    /// The registry's number of the case.
    pub case: Option<&'e str>,
    /// The trace it belongs to, by its W3C id.
    pub trace: Option<&'e str>,
    /// The bank's message.
    pub received: &'e [u8],
    /// What was understood of it.
    pub canonical: Option<&'e [u8]>,
    /// What the registry answered.
    pub registry_answer: Option<&'e [u8]>,
    /// The answer.
    pub replied: &'e [u8],
}

/// A leaf: text that the tree is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf(String);

/// Why a text is no leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLeaf {
    /// It begins otherwise.
    #[error("it does not begin with `{FORM}` or `{}`", act::FORM)]
    Form,
    /// A line is not one of a leaf's, or not where it has to be.
    #[error("line {0} is not one that a leaf has there")]
    Line(usize),
    /// A line that every leaf has is missing.
    #[error("it has no `{0}`")]
    Missing(&'static str),
}

impl Leaf {
    /// What is kept of an exchange.
    pub fn of(exchange: &Exchange<'_>, salt: &Salt) -> Self {
        let mut text = String::with_capacity(768);
        text.push_str(FORM);
        text.push('\n');
        let mut line = |name: &str, value: &str| {
            text.push_str(name);
            text.push(' ');
            escape(value, &mut text);
            text.push('\n');
        };
        let digest = |part: Part, bytes: &[u8]| salt.digest(part, bytes).to_string();
        line("origin", exchange.origin);
        line("institution", exchange.institution);
        said(exchange.key).into_iter().for_each(|key| line("key", key));
        said(exchange.message).into_iter().for_each(|message| line("message", message));
        line("contract", exchange.contract);
        line("contract-version", exchange.version);
        line("contract-digest", &hex::encode(exchange.contract_digest));
        line("heard", &moment(exchange.heard));
        line("answered", &moment(exchange.answered));
        line("result", exchange.result);
        said(exchange.registry).into_iter().for_each(|registry| line("registry", registry));
        said(exchange.office).into_iter().for_each(|office| line("office", office));
        said(exchange.case).into_iter().for_each(|case| line("case", case));
        said(exchange.trace).into_iter().for_each(|trace| line("trace", trace));
        let parts = [
            (Part::Received, Some(exchange.received)),
            (Part::Canonical, exchange.canonical),
            (Part::RegistryAnswer, exchange.registry_answer),
            (Part::Replied, Some(exchange.replied)),
        ];
        for (part, bytes) in parts {
            bytes.into_iter().for_each(|bytes| line(part.name(), &digest(part, bytes)));
        }
        Self(text)
    }

    /// A leaf of some form, of lines that have values.
    pub(super) fn written<'l>(form: &str, lines: impl Iterator<Item = (&'l str, &'l str)>) -> Self {
        let mut text = format!("{form}\n");
        for (name, value) in lines.filter(|(_, value)| !value.is_empty()) {
            text.push_str(name);
            text.push(' ');
            escape(value, &mut text);
            text.push('\n');
        }
        Self(text)
    }

    /// Whether it is of what an operator did, and not of an exchange.
    pub fn is_act(&self) -> bool {
        self.0.lines().next() == Some(act::FORM)
    }

    /// Reads a leaf's text.
    ///
    /// # Errors
    /// It is none, or not written as leaves are.
    pub fn read(text: &str) -> Result<Self, NoLeaf> {
        let mut lines = text.split_inclusive('\n');
        let form = lines.next().and_then(|line| line.strip_suffix('\n'));
        let mut expected = match form {
            Some(FORM) => LINES.as_slice(),
            Some(act::FORM) => act::LINES.as_slice(),
            Some(_) | None => return Err(NoLeaf::Form),
        };
        for (number, line) in (2..).zip(lines) {
            let wrong = || NoLeaf::Line(number);
            let line = line.strip_suffix('\n').ok_or_else(wrong)?;
            let (name, value) = line.split_once(' ').ok_or_else(wrong)?;
            let here = expected.iter().position(|(next, _)| *next == name).ok_or_else(wrong)?;
            let (left_out, rest) = expected.split_at(here);
            nothing_missing(left_out)?;
            if !is_well_written(value) {
                return Err(wrong());
            }
            expected = rest.get(1..).unwrap_or_default();
        }
        nothing_missing(expected)?;
        Ok(Self(text.to_owned()))
    }

    /// Its text: the bytes that the tree is made of.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What a line says.
    pub fn says(&self, name: &str) -> Option<String> {
        let line = |line: &str| {
            let (said, value) = line.split_once(' ')?;
            (said == name).then(|| unescape(value))?
        };
        self.0.lines().skip(1).find_map(line)
    }

    /// Every line after the first, as name and value.
    pub fn lines(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.lines().skip(1).filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name, unescape(value)?))
        })
    }

    /// The digest of a part, if there was one.
    pub fn digest(&self, part: Part) -> Option<Digest> {
        let mut digest = Digest([0; 32]);
        hex::decode_to_slice(self.says(part.name())?, &mut digest.0).ok()?;
        Some(digest)
    }
}

fn said(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// Lines that are not there must be such as may be left out.
fn nothing_missing(left_out: &[(&'static str, bool)]) -> Result<(), NoLeaf> {
    match left_out.iter().find(|(_, always)| *always) {
        Some((missing, _)) => Err(NoLeaf::Missing(missing)),
        None => Ok(()),
    }
}

/// Whether a value is as it would have been written.
fn is_well_written(value: &str) -> bool {
    unescape(value).is_some_and(|plain| {
        let mut again = String::with_capacity(value.len());
        escape(&plain, &mut again);
        again == value && !plain.is_empty()
    })
}

/// Whether a byte would break a line, or be taken for an escape.
fn is_escaped(byte: u8) -> bool {
    byte.is_ascii_control() || byte == b'%'
}

fn escape(value: &str, text: &mut String) {
    if !value.bytes().any(is_escaped) {
        return text.push_str(value);
    }
    for letter in value.chars() {
        match u8::try_from(letter) {
            Ok(byte) if is_escaped(byte) => text.push_str(&format!("%{byte:02X}")),
            _ => text.push(letter),
        }
    }
}

fn unescape(value: &str) -> Option<String> {
    let mut parts = value.split('%');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        plain.push(char::from(u8::from_str_radix(code, 16).ok()?));
        plain.push_str(rest);
    }
    Some(plain)
}

/// To the millisecond, in UTC.
pub(super) fn moment(time: OffsetDateTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    // Every moment that a clock can say has these parts.
    time.to_offset(time::UtcOffset::UTC).format(FORMAT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    fn exchange() -> Exchange<'static> {
        Exchange {
            origin: "log.example/one",
            institution: "bank",
            key: Some("S-1"),
            message: Some("first"),
            contract: "bank",
            version: "2026a",
            contract_digest: [7; 32],
            heard: datetime!(2026-03-05 08:00:00.1234 +8),
            answered: datetime!(2026-03-05 00:00:00.2 UTC),
            result: "CASE_STATUS_REGISTERED",
            registry: Some("province"),
            office: Some("140105"),
            case: Some("YWH-1"),
            trace: Some("0af7651916cd43dd8448eb211c80319c"),
            received: b"in",
            canonical: Some(b"understood"),
            registry_answer: Some(b"case"),
            replied: b"out",
        }
    }

    #[test]
    fn a_leaf_is_lines_in_their_order() {
        let leaf = Leaf::of(&exchange(), &Salt([1; 32]));
        assert_eq!(
            leaf.text(),
            "directlink-evidence-leaf/v1
origin log.example/one
institution bank
key S-1
message first
contract bank
contract-version 2026a
contract-digest 0707070707070707070707070707070707070707070707070707070707070707
heard 2026-03-05T00:00:00.123Z
answered 2026-03-05T00:00:00.200Z
result CASE_STATUS_REGISTERED
registry province
office 140105
case YWH-1
trace 0af7651916cd43dd8448eb211c80319c
received 8ed8b5d30c0ec63a1acb4d11a0d3f06a8e6d0a9c2c4ab4f2cfb0a8e4b2b8b0f4
"
            .split_once("received")
            .map(|(before, _)| format!(
                "{before}received {}\ncanonical {}\nregistry-answer {}\nreplied {}\n",
                by_hand(b"received\nin"),
                by_hand(b"canonical\nunderstood"),
                by_hand(b"registry-answer\ncase"),
                by_hand(b"replied\nout"),
            ))
            .unwrap()
        );
        assert_eq!(Leaf::read(leaf.text()), Ok(leaf));
    }

    /// As docs/evidence.md says it: the salt, then the rest.
    fn by_hand(rest: &[u8]) -> String {
        let bytes = [[1; 32].as_slice(), rest].concat();
        hex::encode(aws_lc_rs::digest::digest(&SHA256, &bytes))
    }

    #[test]
    fn what_was_not_there_has_no_line_and_another_salt_other_digests() {
        let unread = Exchange {
            key: None,
            message: None,
            canonical: None,
            registry_answer: None,
            case: Some(""),
            ..exchange()
        };
        let leaf = Leaf::of(&unread, &Salt([1; 32]));
        assert_eq!(leaf.says("key"), None);
        assert_eq!(leaf.says("case"), None);
        assert_eq!(leaf.digest(Part::Canonical), None);
        assert!(Leaf::read(leaf.text()).is_ok());
        let other = Leaf::of(&unread, &Salt([2; 32]));
        assert_ne!(leaf.digest(Part::Received), other.digest(Part::Received));
        assert_ne!(Salt::fresh().unwrap(), Salt::fresh().unwrap());
        assert_eq!(format!("{:?}", Salt([1; 32])), "Salt(…)");
    }

    #[test]
    fn what_is_not_written_as_leaves_are_is_none() {
        let text = Leaf::of(&exchange(), &Salt([1; 32])).text().to_owned();
        let changed = |from: &str, to: &str| Leaf::read(&text.replacen(from, to, 1)).unwrap_err();
        assert_eq!(changed("leaf/v1", "leaf/v2"), NoLeaf::Form);
        assert_eq!(changed("institution bank\n", ""), NoLeaf::Missing("institution"));
        assert_eq!(changed("key S-1\n", "key S-1\nkey S-1\n"), NoLeaf::Line(5));
        assert_eq!(changed("key S-1\n", "colour red\n"), NoLeaf::Line(4));
        assert_eq!(changed("key S-1\n", "key \n"), NoLeaf::Line(4));
        assert_eq!(changed("key S-1\n", "key S%2D1\n"), NoLeaf::Line(4));
        let swapped = changed("key S-1\nmessage first\n", "message first\nkey S-1\n");
        assert_eq!(swapped, NoLeaf::Line(5));
        assert!(Leaf::read(text.trim_end()).is_err(), "a last line without its end");
        assert!(Leaf::read(&format!("{text}replied 00\n")).is_err());
        let cut = text.split("replied").next().unwrap();
        assert_eq!(Leaf::read(cut).unwrap_err(), NoLeaf::Missing("replied"));
    }

    proptest! {
        #[test]
        fn whatever_a_value_is_it_is_one_line_and_comes_back(value in "\\PC*|[\\x00-\\x7f]*") {
            prop_assume!(!value.is_empty());
            let odd = Exchange { key: Some(&value), ..exchange() };
            let leaf = Leaf::of(&odd, &Salt([1; 32]));
            let read = Leaf::read(leaf.text()).unwrap();
            prop_assert_eq!(read.says("key"), Some(value));
            prop_assert_eq!(read.text().lines().count(), 19);
        }
    }
}
