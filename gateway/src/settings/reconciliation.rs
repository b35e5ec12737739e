//! `[reconciliation]` of the settings: when books are compared with registries, and how far back.

use std::time::Duration;

use super::reader;

/// `[reconciliation]`: comparing books with registries.
///
/// Without the table books are compared only by `directlink reconcile`. With it the gateway compares them with
/// every registry once a day, whichever replica it is, and keeps what differs as findings; see
/// [reconciliation.md](reconciliation.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reconciliation {
    /// From which hour of the day on, in Asia/Shanghai, the day before is compared; 0 to 23.
    pub hour: u8,
    /// How many finished days are compared each time, so that what was late is seen and what was mended is closed; 1 to
    /// 31.
    pub days_back: u8,
    /// `retention_seconds`: how long a finding is kept once it is closed; no less than the days that are compared, or
    /// what a person has closed would be opened again.
    #[serde(rename = "retention_seconds", with = "reader::Seconds")]
    pub retention: Duration,
}

impl Default for Reconciliation {
    fn default() -> Self {
        Self { hour: 6, days_back: 3, retention: Duration::from_secs(400 * 24 * 60 * 60) }
    }
}
