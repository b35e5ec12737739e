//! `[reconciliation]` of the settings: when books are compared with registries, and how far back.

use std::time::Duration;

use super::reader;

/// `[reconciliation]`: books are compared with every registry once a day. Default: only by `directlink reconcile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconciliation {
    /// From which hour of the day on, in Asia/Shanghai, the day before is compared; 0 to 23. Default: 6.
    pub hour: u8,
    /// How many finished days are compared each time, so that what was late is seen and what was mended is closed; 1 to 31.
    /// Default: 3.
    pub days_back: u8,
    /// `retention_seconds`: how long a finding is kept once it is closed, in seconds; no less than the days that are
    /// compared, or what a person has closed would be opened again. Default: 34560000, which is 400 days.
    #[serde(rename = "retention_seconds", deserialize_with = "reader::seconds")]
    pub retention: Duration,
}

impl Default for Reconciliation {
    fn default() -> Self {
        Self { hour: 6, days_back: 3, retention: Duration::from_secs(400 * 24 * 60 * 60) }
    }
}
