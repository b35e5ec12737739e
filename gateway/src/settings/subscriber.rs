//! `[[subscriber]]`: who is told of events by the gateway itself, and what of them.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::reader;

/// `[[subscriber]]`: who is told of events by the gateway itself.
///
/// What a subscriber gets, and how it knows that it is from the gateway: [notices.md](notices.md). One of
/// `secret_files`, `certificate` and a contract whose messages are signed there must be, or the subscriber could
/// not tell whose notices they are. Whether an address is public is decided for what its name leads to, at each
/// connection.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscriber {
    /// Its name in the ledger, metrics and logs: letters, digits, `-` and `_`, at most 64. Never changed once used: how
    /// far it was told is kept under it.
    pub name: String,
    /// The `[[institution]]` that it is, by its `id`: it is told of all its own cases, and all of them. This or
    /// `[[subscriber.sees]]`.
    pub institution: Option<String>,
    /// What it may know of others' cases; nothing else reaches it.
    #[serde(default)]
    pub sees: Vec<Sight>,
    /// Where notices go: `https://HOST[:PORT]/PATH`, or `tcp://HOST:PORT` where the contract's messages are
    /// length-prefixed (over TLS too).
    pub address: String,
    /// Folder of the contract in whose words it is told, inside `folder` of `[contracts]`; a message of it has a
    /// `notice`. `standard` for Standard Webhooks. Default: the institution's own.
    pub contract: Option<String>,
    /// Files of the secrets that sign as Standard Webhooks says, `whsec_` and 24 to 64 bytes in Base64, a line each;
    /// all of them sign. Read anew before notices are sent, so that a secret changes without a restart. Only with
    /// `https`. Default: none.
    #[serde(default)]
    pub secret_files: Vec<PathBuf>,
    /// PEM file: the authorities its certificate may be issued by.
    pub ca: PathBuf,
    /// The name its certificate must hold. Default: the address's host.
    pub server_name: Option<String>,
    /// PEM file: the gateway's certificate for this subscriber, its chain after it. Default: none.
    pub certificate: Option<PathBuf>,
    /// PEM file: the private key of `certificate`. Default: none.
    pub key: Option<PathBuf>,
    /// Networks that its address may lie in although they are no public ones (`10.20.0.0/16`): private, loopback,
    /// link-local and the like. Default: none.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<IpNet>,
    /// `answer_seconds_max`: how long one notice may take to be sent and answered, connecting included; shorter than
    /// `shutdown_seconds_max` of `[limits]`.
    #[serde(
        rename = "answer_seconds_max",
        with = "reader::Seconds",
        default = "Subscriber::answer_default"
    )]
    pub answer_max: Duration,
    /// `first_seconds`: the greatest delay before what was not taken is sent a second time; it doubles from time to
    /// time.
    #[serde(
        rename = "first_seconds",
        with = "reader::Seconds",
        default = "Subscriber::first_default"
    )]
    pub first: Duration,
    /// `longest_seconds`: the greatest delay between two times.
    #[serde(
        rename = "longest_seconds",
        with = "reader::Seconds",
        default = "Subscriber::longest_default"
    )]
    pub longest: Duration,
    /// `park_seconds`: how long an event is sent again before it is parked; then it is sent once an operator says so.
    /// Also the longest that a `Retry-After` is kept to.
    #[serde(
        rename = "park_seconds",
        with = "reader::Seconds",
        default = "Subscriber::park_default"
    )]
    pub park: Duration,
    /// Events of how many cases are sent at a time, 64 at most.
    #[serde(default = "Subscriber::cases_default")]
    pub cases_max: usize,
    /// How many events may be passed over, waiting to be sent again, before no others are sent.
    #[serde(default = "Subscriber::passed_over_default")]
    pub passed_over_max: u32,
}

impl Subscriber {
    fn answer_default() -> Duration {
        Duration::from_secs(10)
    }

    fn first_default() -> Duration {
        Duration::from_secs(5)
    }

    fn longest_default() -> Duration {
        Duration::from_secs(60 * 60)
    }

    fn park_default() -> Duration {
        Duration::from_secs(3 * 24 * 60 * 60)
    }

    fn cases_default() -> usize {
        4
    }

    fn passed_over_default() -> u32 {
        1_000
    }
}

/// `[[subscriber.sees]]`: what a subscriber may know of one institution's cases.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// Who filed them: the `id` of an `[[institution]]`.
    pub institution: String,
    /// Of which matters, by the names of `Application.matter`.
    pub matters: BTreeSet<String>,
    /// What of an event besides its identifier, its kind, its moment and its number in the case: some of `serial` (with
    /// the filing's date), `case_id`, `status`, `certificate_numbers`, `registered_at`, `correction`, `refusal`. The
    /// last two are a registry's words: names may be in them.
    pub fields: BTreeSet<Field>,
}

/// What may be known of a case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The filing bank's own serial and date.
    Serial,
    /// The acceptance number (受理编号).
    CaseId,
    /// Where it stands.
    Status,
    /// Numbers of certificates.
    CertificateNumbers,
    /// When it was entered (登簿时间).
    RegisteredAt,
    /// What is to be corrected, and until when. The registry's words: names may be in them.
    Correction,
    /// Why it was refused. The registry's words: names may be in them.
    Refusal,
}
