//! The history of a soak: what banks said and heard, what was done to the system, and what was found at the end; a line of
//! JSON each, in the order in which they happened.
//!
//! A call's begin is written before its first byte is sent and its answer after the last was read: of two lines, the
//! earlier one happened before the later. `history/check.rs` judges a history; it knows the system from here alone.

pub mod check;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
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
    },
    /// The bank hears the answer.
    Answer {
        /// The call's number.
        call: u64,
        /// What it says.
        says: Says,
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
