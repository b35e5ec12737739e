//! Faults a test can order, one for each coming call, so that a gateway meets every way a registry can fail it.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Whom a registry names that says more than it should of why it does not answer.
pub const SOMEBODY: &str = "言多必失(示例)";

/// The calls that can be made to fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// `Submit`.
    #[default]
    Submit,
    /// `GetCase`.
    GetCase,
    /// `Correct`.
    Correct,
    /// `Withdraw`.
    Withdraw,
    /// `QueryTitle`; "commit" means nothing here, nor below.
    QueryTitle,
    /// `CertifyRecord`.
    CertifyRecord,
    /// `VerifyCertificate`.
    VerifyCertificate,
    /// `FetchCertificate`.
    FetchCertificate,
    /// `WatchEvents`.
    WatchEvents,
    /// `UploadMaterial`.
    UploadMaterial,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The registry takes its time and then acts, whether or not the caller still listens.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// It acts at once, and takes its time to say so.
    DelayAfterCommit {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// It waits before it acts until it is released by command.
    Hold,
    /// It does not act, and does not answer.
    DropBeforeCommit {
        /// In which way it does not answer.
        #[serde(default)]
        how: Silence,
    },
    /// It acts, and does not answer.
    DropAfterCommit {
        /// In which way it does not answer.
        #[serde(default)]
        how: Silence,
    },
    /// It does not act, and answers with gRPC status UNAVAILABLE.
    Unavailable,
    /// Asked about a case, it tells what it knew when it had just accepted it.
    Behind,
    /// The document it gives is not the one whose digest it tells.
    Spoil,
    /// The document it gives, or the stream of events, ends too early, as if that were all.
    CutShort,
}

/// How a call stays without answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// The connection is closed.
    #[default]
    Close,
    /// Nothing comes, and the connection stays open.
    Never,
}

/// The faults still to come, in order, for each call.
#[derive(Debug, Default)]
pub(super) struct Orders(HashMap<Call, VecDeque<Fault>>);

impl Orders {
    pub(super) fn add(&mut self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.0.entry(call).or_default().extend(faults);
    }

    pub(super) fn take(&mut self, call: Call) -> Option<Fault> {
        self.0.get_mut(&call)?.pop_front()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_as_a_person_would() {
        let read = |text: &str| serde_json::from_str::<Fault>(text).unwrap();
        assert_eq!(read(r#"{"fault":"delay","ms":250}"#), Fault::Delay { ms: 250 });
        assert_eq!(
            read(r#"{"fault":"drop_after_commit","how":"never"}"#),
            Fault::DropAfterCommit { how: Silence::Never }
        );
        assert!(serde_json::from_str::<Fault>(r#"{"fault":"delay","seconds":1}"#).is_err());
    }
}
