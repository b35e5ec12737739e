//! What is kept of events, and how banks are told.

use std::time::Duration;

use super::reader;

/// `[events]`: events of cases, and how banks read them.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// `retention_seconds`: how long events can be read.
    #[serde(rename = "retention_seconds", with = "reader::Seconds")]
    pub retention: Duration,
    /// How many events a bank is given at once, at most, whatever it asks for.
    pub page_max: u32,
    /// `wait_seconds_max`: how long an answer waits for an event at most, whatever the bank asks for.
    #[serde(rename = "wait_seconds_max", with = "reader::Seconds")]
    pub wait_max: Duration,
    /// How many readers may wait for an event at a time, at each replica; who comes besides is answered at once. Each
    /// of them is one of `exchanges_max`.
    pub waiting_max: usize,
    /// How many of them may be one institution's.
    pub institution_waiting_max: usize,
    /// `warn_seconds_before`: how long before the last day of a correction 补正 is over its bank is told so.
    #[serde(rename = "warn_seconds_before", with = "reader::Seconds")]
    pub warn_before: Duration,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(400 * 24 * 60 * 60),
            page_max: 500,
            wait_max: Duration::from_secs(30),
            waiting_max: 256,
            institution_waiting_max: 2,
            warn_before: Duration::from_secs(3 * 24 * 60 * 60),
        }
    }
}
