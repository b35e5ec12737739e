//! `[expectation]` of the settings: which cases say how long an office takes over a matter.

use std::time::Duration;

use super::reader;

/// `[expectation]`: what banks are told to expect of an office's matters.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// `window_seconds`: how long ago a case changed last at most, to be counted, in seconds. Default: 2592000, which is 30 days.
    #[serde(rename = "window_seconds", deserialize_with = "reader::seconds")]
    pub window: Duration,
    /// How many of the last settled cases of an office and matter are looked at. Default: 100.
    pub cases_max: u32,
    /// How many of them have to be registered for a time to be told. Default: 5.
    pub cases_min: u32,
}

impl Default for Expectation {
    fn default() -> Self {
        Self { window: Duration::from_secs(30 * 24 * 60 * 60), cases_max: 100, cases_min: 5 }
    }
}
