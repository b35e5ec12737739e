//! How unknown outcomes are found out.

use std::time::Duration;

use super::reader;

/// `[resolver]`: how outcomes that are unknown are found out, and when a bank is told to ask again.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resolver {
    /// `ask_again_seconds`: when a bank is told to come again about what is not settled or cannot be done now, in
    /// seconds. Default: 5.
    #[serde(rename = "ask_again_seconds", deserialize_with = "reader::seconds")]
    pub ask_again: Duration,
    /// `first_seconds`: the greatest delay before a registry is asked a second time about one filing, in seconds; it
    /// doubles from time to time. Default: 2.
    #[serde(rename = "first_seconds", deserialize_with = "reader::seconds")]
    pub first: Duration,
    /// `longest_seconds`: the greatest delay between two times, in seconds. Default: 60.
    #[serde(rename = "longest_seconds", deserialize_with = "reader::seconds")]
    pub longest: Duration,
    /// How many filings of one registry are asked about at a time, by each replica. Default: 16.
    pub asks_max: usize,
    /// How many times a second one registry is asked at most, by each replica. Default: 20.
    pub asks_per_second_max: u32,
    /// `give_up_seconds`: how long a registry is asked about one filing, in seconds; after that people have to find out
    /// what became of it. Default: 86,400 (a day).
    #[serde(rename = "give_up_seconds", deserialize_with = "reader::seconds")]
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
