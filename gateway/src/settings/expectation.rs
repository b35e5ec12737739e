//! `[expectation]` of the settings: which cases say how long an office takes over a matter.

use std::time::Duration;

use super::reader;

/// `[expectation]`: how long matters are said to take.
///
/// Who asks what an office does ([standard-api.md](standard-api.md)) is told, of each matter, the median of the
/// times that its last cases there took from filing to registration (登簿), nights and weekends included.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// `window_seconds`: how long ago a case changed last at most, to be counted.
    #[serde(rename = "window_seconds", with = "reader::Seconds")]
    pub window: Duration,
    /// How many of the last settled cases of an office and matter are looked at.
    pub cases_max: u32,
    /// How many of them have to be registered for a time to be told.
    pub cases_min: u32,
}

impl Default for Expectation {
    fn default() -> Self {
        Self { window: Duration::from_secs(30 * 24 * 60 * 60), cases_max: 100, cases_min: 5 }
    }
}
