//! How unknown outcomes are found out.

use std::time::Duration;

use super::reader;

/// `[resolver]`: outcomes that are unknown.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resolver {
    /// `ask_again_seconds`: when a bank is told to come again about what is not settled or cannot be done now.
    #[serde(rename = "ask_again_seconds", with = "reader::Seconds")]
    pub ask_again: Duration,
    /// `first_seconds`: the greatest delay before a registry is asked a second time about one filing; it doubles from
    /// time to time.
    #[serde(rename = "first_seconds", with = "reader::Seconds")]
    pub first: Duration,
    /// `longest_seconds`: the greatest delay between two times.
    #[serde(rename = "longest_seconds", with = "reader::Seconds")]
    pub longest: Duration,
    /// How many filings of one registry are asked about at a time, by each replica.
    pub asks_max: usize,
    /// How many times a second one registry is asked at most, by each replica.
    pub asks_per_second_max: u32,
    /// `give_up_seconds`: how long a registry is asked about one filing; after that people have to find out what became
    /// of it.
    #[serde(rename = "give_up_seconds", with = "reader::Seconds")]
    pub give_up: Duration,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            ask_again: Duration::from_secs(5),
            first: Duration::from_secs(2),
            longest: Duration::from_secs(60),
            asks_max: 16,
            asks_per_second_max: 20,
            give_up: Duration::from_secs(24 * 60 * 60),
        }
    }
}
