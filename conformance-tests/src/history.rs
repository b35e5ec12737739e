//! The history of a soak: what banks said and heard, what was done to the system, and what was found at the end; a line of
//! JSON each, in the order in which they happened.
//!
//! A call's begin is written before its first byte is sent and its answer after the last was read: of two lines, the
//! earlier one happened before the later. `history/check.rs` judges a history; it knows the system from here alone.

pub mod check;

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// A bank begins a call.
    Call {
        /// Its number; the answer bears it.
        call: u64,
        /// What for.
        what: What,
        /// The filing it is about.
        filing: Filing,
        /// Which of the things ever sent under this key it says; equal numbers, equal messages.
        content: u32,
        /// Which gateway is called, from 0.
        gateway: usize,
        /// Its bytes, as docs/evidence.md says what they are.
        sent: Bytes,
    },
    /// The bank hears the answer.
    Answer {
        /// The call's number.
        call: u64,
        /// What it says.
        says: Says,
        /// Its bytes; none, if nothing came.
        heard: Bytes,
    },
    /// A bank has read a piece of its feed of events, or tried to.
    Read {
        /// The bank.
        bank: String,
        /// Which reading; each begins at the feed's beginning and goes on from place to place.
        reading: u64,
        /// The bytes of the question.
        sent: Bytes,
        /// The bytes of the answer; none, if nothing came.
        heard: Bytes,
        /// The events, in order.
        events: Vec<Event>,
    },
    /// A bank has the gateways tell it of its events, from the first on.
    Subscribes {
        /// The bank.
        bank: String,
    },
    /// A bank that subscribes is sent a notice; written before it is answered.
    Told {
        /// The bank.
        bank: String,
        /// The notice.
        notice: Notice,
    },
    /// A bank was told that nothing was sent, and goes elsewhere: it never calls about this filing again.
    GivenUp {
        /// The filing.
        filing: Filing,
    },
    /// Something is done to the system.
    Trouble {
        /// What, in words.
        what: String,
    },
    /// Nothing is done to it any more.
    Calm,
    /// At the end: a case the registry has.
    Case {
        /// The filing it came from.
        filing: Filing,
        /// Its number.
        case: String,
        /// Where it stands.
        status: String,
        /// Its certificates.
        certificates: BTreeSet<String>,
    },
    /// At the end: how often a filing was entered in the register.
    Entered {
        /// The filing.
        filing: Filing,
        /// How often.
        times: u64,
    },
    /// At the end: how a filing stands in the ledger.
    Ledger {
        /// The filing.
        filing: Filing,
        /// Its state: `claimed`, `unknown`, `settled`, `released`; `none` if it is not there.
        state: String,
    },
    /// At the end: an event of a bank's feed, in the feed's order.
    Event {
        /// The filing.
        filing: Filing,
        /// The event.
        event: Event,
    },
    /// At the end: what the log of exchanges holds at its next place, from 0.
    Leaf {
        /// Its text.
        leaf: String,
        /// Its salt, in hexadecimal.
        salt: String,
    },
    /// At the end: a checkpoint that was signed of the log.
    Checkpoint {
        /// The signed note.
        note: String,
    },
    /// At the end: the key that signs the log, `NAME+ID+BASE64`.
    Key {
        /// It.
        key: String,
    },
    /// At the end: how often gateways said that an exchange with a bank is answered without a leaf.
    Unwritten {
        /// The bank.
        bank: String,
        /// How often.
        times: u64,
    },
}

/// Something that happened to a case, as its bank is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its identifier.
    pub id: String,
    /// Its number among the case's events.
    pub number: i64,
    /// The case's number.
    pub case: String,
    /// Where the case stands.
    pub status: String,
}

/// What a bank that subscribes hears of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The event.
    pub event: Event,
    /// Digest of all that is said of it, in hexadecimal.
    pub content: String,
    /// Whether it took it; what it took it may have left unanswered all the same.
    pub taken: bool,
}

/// Bytes, in a history as base64.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} bytes", self.0.len())
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        STANDARD.encode(bytes.0)
    }
}

impl TryFrom<String> for Bytes {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD.decode(text).map(Self)
    }
}

/// A filing's identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Filing {
    /// The institution.
    pub bank: String,
    /// The idempotency key.
    pub key: String,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A charge is filed.
    File,
    /// A charge is to be discharged.
    Discharge,
    /// A filing that has no outcome yet is sent again.
    Retry,
    /// A filing that has its outcome is sent again.
    Repeat,
    /// Another message is sent under a key, by mistake.
    Change,
    /// It is asked where a filing stands.
    Ask,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case", deny_unknown_fields)]
pub enum Says {
    /// Where a case stands; with the registry's reason, where it refused.
    Outcome {
        /// The case's number; empty where it has none yet.
        case: String,
        /// Its status.
        status: String,
        /// Its certificates.
        certificates: BTreeSet<String>,
    },
    /// The gateway's own no.
    Refusal {
        /// Its code.
        code: String,
        /// Whether anything was sent: `NO`, `YES` or `UNKNOWN`.
        sent: String,
    },
    /// Nothing came.
    Nothing {
        /// Why.
        why: String,
    },
}

/// A history being written.
#[derive(Debug)]
pub struct Writer(Mutex<BufWriter<File>>);

impl Writer {
    /// Begins a file.
    ///
    /// # Errors
    /// It can't be made.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self(Mutex::new(BufWriter::new(file))))
    }

    /// Writes a line, behind all before.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write(&self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.write_all(&text)?)
    }

    /// Brings everything to the file.
    ///
    /// # Errors
    /// The disk is full.
    pub fn flush(&self) -> anyhow::Result<()> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()?)
    }
}

/// Reads a history.
///
/// # Errors
/// It can't be read, or a line is none; told by its number.
pub fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let lines = BufReader::new(file).lines().enumerate();
    lines
        .map(|(number, line)| {
            serde_json::from_str(&line?)
                .with_context(|| format!("{}, line {}", path.display(), number + 1))
        })
        .collect()
}
