//! Where applications are sent, and how each registry is dealt with.

use std::{path::PathBuf, time::Duration};

use super::reader;

/// `[[registry]]`: where applications are sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Its name in the ledger, metrics and logs: letters, digits, `-` and `_`, at most 64.
    pub name: String,
    /// `https://HOST:PORT` of its gRPC service.
    pub address: String,
    /// The name its certificate must hold.
    pub server_name: String,
    /// PEM file: the authorities its certificate may be issued by.
    pub ca: PathBuf,
    /// PEM file: the gateway's certificate for this registry, its chain after it.
    pub certificate: PathBuf,
    /// PEM file: the private key of `certificate`.
    pub key: PathBuf,
    /// `deadline_seconds`: how long one call may take before its outcome counts as unknown.
    #[serde(
        rename = "deadline_seconds",
        with = "reader::Seconds",
        default = "Registry::deadline_default"
    )]
    pub deadline: Duration,
    /// Whether a submission with a key already used is certain to return the first case. If not, a lost answer may only
    /// be asked for, never sent again: [settings.md](settings.md#two-that-need-thought).
    #[serde(default)]
    pub idempotent: bool,
    /// `resend_unknown_after_seconds`: only where `idempotent` is false: how long ago a filing must have been sent,
    /// before it is sent again because the registry, asked by key, knows nothing of it; at least twice
    /// `deadline_seconds`. Default: never.
    #[serde(
        rename = "resend_unknown_after_seconds",
        deserialize_with = "reader::some_seconds",
        default
    )]
    #[schemars(with = "Option<reader::Seconds>")]
    pub resend_unknown_after: Option<Duration>,
    /// `connect_seconds`: how long one try to connect may take.
    #[serde(
        rename = "connect_seconds",
        with = "reader::Seconds",
        default = "Registry::connect_default"
    )]
    pub connect: Duration,
    /// `retry_seconds`: the greatest delay between tries of one submission within its deadline; the first is a tenth of
    /// it. Only what cannot register twice is tried again.
    #[serde(
        rename = "retry_seconds",
        with = "reader::Seconds",
        default = "Registry::retry_default"
    )]
    pub retry: Duration,
    /// `upload_seconds`: how long handing it one material may take.
    #[serde(
        rename = "upload_seconds",
        with = "reader::Seconds",
        default = "Registry::upload_default"
    )]
    pub upload: Duration,
    /// Whether it takes a reference to a document it shares with banks in place of the document.
    #[serde(default)]
    pub shared_documents: bool,
    /// How many filings are at it at a time, from each replica.
    #[serde(default = "Registry::filings_default")]
    pub filings_max: usize,
    /// How many questions of banks are at it at a time, from each replica; the resolver's are counted apart.
    #[serde(default = "Registry::questions_default")]
    pub questions_max: usize,
    /// `room_seconds`: how long a filing or question may wait for one of them to end; as many may wait as may be there.
    #[serde(rename = "room_seconds", with = "reader::Seconds", default = "Registry::room_default")]
    pub room_wait: Duration,
    /// After how many calls in a row that did not reach it or were not answered it is left alone.
    #[serde(default = "Registry::failures_default")]
    pub failures_max: u32,
    /// `pause_seconds`: how long it is left alone before one call tries whether it answers again.
    #[serde(
        rename = "pause_seconds",
        with = "reader::Seconds",
        default = "Registry::pause_default"
    )]
    pub pause: Duration,
    /// `describe_seconds`: how often it is asked what its offices do: [settings.md](settings.md#what-an-office-does).
    #[serde(
        rename = "describe_seconds",
        with = "reader::Seconds",
        default = "Registry::describe_default"
    )]
    pub describe: Duration,
    /// How it lets know what becomes of cases: `at_once` in its answers alone, `events` by its stream of events,
    /// `polled` only when asked; see [events.md](events.md).
    #[serde(default)]
    pub answers: Answers,
    /// `poll_first_seconds`: where it is `polled`, or a deadline is over: the greatest delay before it is asked about a
    /// case the first time; it doubles from time to time.
    #[serde(
        rename = "poll_first_seconds",
        with = "reader::Seconds",
        default = "Registry::poll_first_default"
    )]
    pub poll_first: Duration,
    /// `poll_longest_seconds`: the greatest delay between two times.
    #[serde(
        rename = "poll_longest_seconds",
        with = "reader::Seconds",
        default = "Registry::poll_longest_default"
    )]
    pub poll_longest: Duration,
}

/// How a registry lets know what becomes of cases.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// In its answers to calls, and by nothing else.
    #[default]
    AtOnce,
    /// By a stream of events.
    Events,
    /// When it is asked.
    Polled,
}

impl Registry {
    fn poll_first_default() -> Duration {
        Duration::from_secs(60)
    }

    fn poll_longest_default() -> Duration {
        Duration::from_secs(60 * 60)
    }

    fn describe_default() -> Duration {
        Duration::from_secs(600)
    }

    fn deadline_default() -> Duration {
        Duration::from_secs(20)
    }

    fn connect_default() -> Duration {
        Duration::from_secs(5)
    }

    fn retry_default() -> Duration {
        Duration::from_secs(2)
    }

    fn upload_default() -> Duration {
        Duration::from_secs(300)
    }

    fn filings_default() -> usize {
        128
    }

    fn questions_default() -> usize {
        32
    }

    fn room_default() -> Duration {
        Duration::from_secs(1)
    }

    fn failures_default() -> u32 {
        5
    }

    fn pause_default() -> Duration {
        Duration::from_secs(5)
    }
}
