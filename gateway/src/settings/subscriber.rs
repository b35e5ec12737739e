//! `[[subscriber]]`: who is told of events by the gateway itself, and what of them.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::reader;

/// `[[subscriber]]`: one that notices (通知) are sent to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriber {
    /// Its name in the ledger, metrics and logs: letters, digits, `-` and `_`, at most 64. Never changed once used: how far
    /// it was told is kept under it. Required.
    pub name: String,
    /// The `[[institution]]` that it is: told of all its own cases, and all of them. This or `sees`.
    pub institution: Option<String>,
    /// `[[subscriber.sees]]`: what it may know of others' cases; nothing else reaches it.
    #[serde(default)]
    pub sees: Vec<Sight>,
    /// Where notices go: `https://HOST[:PORT]/PATH`, or `tcp://HOST:PORT` where the contract's messages are length-prefixed
    /// (over TLS too). Required.
    pub address: String,
    /// Folder of the contract in whose words it is told, inside `contracts.folder`; it has a notice. Default: the
    /// institution's own.
    pub contract: Option<String>,
    /// Files of the secrets that notices are signed with as Standard Webhooks says, `whsec_…`, a line each; every secret of
    /// every file signs, so that an old and a new one overlap. Read anew before notices are sent. Only with `https`.
    /// Default: notices are not signed so.
    #[serde(default)]
    pub secret_files: Vec<PathBuf>,
    /// PEM file: the authorities its certificate may be issued by. Required.
    pub ca: PathBuf,
    /// The name its certificate must hold. Default: the address's host.
    pub server_name: Option<String>,
    /// PEM file: the gateway's certificate for this subscriber, its chain after it. Default: none is shown.
    pub certificate: Option<PathBuf>,
    /// PEM file: the private key of `certificate`.
    pub key: Option<PathBuf>,
    /// Networks that its address may lie in although they are no public ones (`10.20.0.0/16`): private, loopback,
    /// link-local and the like. Default: none.
    #[serde(default)]
    pub networks: Vec<IpNet>,
    /// `answer_seconds_max`: how long one notice may take to be sent and answered, connecting included, in seconds.
    /// Default: 10.
    #[serde(
        rename = "answer_seconds_max",
        deserialize_with = "reader::seconds",
        default = "Subscriber::answer_default"
    )]
    pub answer_max: Duration,
    /// `first_seconds`: the greatest delay before what was not taken is sent a second time, in seconds; it doubles from
    /// time to time. Default: 5.
    #[serde(
        rename = "first_seconds",
        deserialize_with = "reader::seconds",
        default = "Subscriber::first_default"
    )]
    pub first: Duration,
    /// `longest_seconds`: the greatest delay between two times, in seconds. Default: 3600.
    #[serde(
        rename = "longest_seconds",
        deserialize_with = "reader::seconds",
        default = "Subscriber::longest_default"
    )]
    pub longest: Duration,
    /// `park_seconds`: how long an event is sent again before it is parked, in seconds; then it is sent once an operator
    /// says so. Also the longest that a `Retry-After` is kept to. Default: 259200, which is 3 days.
    #[serde(
        rename = "park_seconds",
        deserialize_with = "reader::seconds",
        default = "Subscriber::park_default"
    )]
    pub park: Duration,
    /// Events of how many cases are sent at a time. Default: 4.
    #[serde(default = "Subscriber::cases_default")]
    pub cases_max: usize,
    /// How many events may be passed over, waiting to be sent again, before no others are sent. Default: 1000.
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
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// Who filed them: the `id` of an `[[institution]]`. Required.
    pub institution: String,
    /// Of which matters, by the names of `Application.matter`. Required.
    pub matters: BTreeSet<String>,
    /// What of an event, besides that it happened, when, and which of its case it is: `serial`, `case_id`, `status`,
    /// `certificate_numbers`, `registered_at`, `correction`, `refusal`. Required.
    pub fields: BTreeSet<Field>,
}

/// What may be known of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
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
