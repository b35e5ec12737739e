//! Contracts and settings: which versions are used, and what came of files that changed.

use opentelemetry::KeyValue;

use super::Metrics;

impl Metrics {
    /// A message was understood, with this version of the institution's contract.
    pub fn read_with(&self, institution: &str, version: &str) {
        let labels = [
            KeyValue::new("institution", institution.to_owned()),
            KeyValue::new("version", version.to_owned()),
        ];
        self.0.versions_used.add(1, &labels);
    }

    /// A contract's content on disk had changed.
    pub fn contract(&self, contract: &str, end: ContractEnd) {
        let labels =
            [KeyValue::new("contract", contract.to_owned()), KeyValue::new("end", end.label())];
        self.0.contracts_changed.add(1, &labels);
    }

    /// So many more contracts than before are served although others, which do not pass, are on disk.
    pub fn contracts_outdated(&self, more: i64) {
        self.0.contracts_outdated.add(more, &[]);
    }

    /// The settings file had changed.
    pub fn settings(&self, end: SettingsEnd) {
        self.0.settings_changed.add(1, &[KeyValue::new("end", end.label())]);
    }

    /// Whether the settings file says what does not count.
    pub fn settings_outdated(&self, outdated: bool) {
        self.0.settings_outdated.record(outdated.into(), &[]);
    }
}

/// What came of a contract that had changed on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContractEnd {
    /// It is served.
    Taken,
    /// It did not pass the check; the one before is served on.
    Refused,
}

impl ContractEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        }
    }
}

/// What came of a settings file that had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsEnd {
    /// Its offices and registries count.
    Taken,
    /// It has faults; what was before counts on.
    Refused,
}

impl SettingsEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        }
    }
}
