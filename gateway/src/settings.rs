//! The settings of one gateway: what its one TOML file may say, with unit and default of every key.
//!
//! An unknown key is refused, and every problem that can be seen is told at once, with its line. No secret stands in
//! the file, only the paths of the files that hold them. What is named here is not opened here: `directlink serve
//! --check` loads the certificates, keys and contracts. The reader's view, with an example: docs/settings.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    hours::{Calendar, Hours},
    ledger::PostgresTls,
    limits::Limits,
};

mod evidence;
mod reader;

pub use evidence::Evidence;
pub(crate) use reader::seconds;

/// Everything one gateway is told. Paths in it are absolute, or relative to the working directory if the settings
/// file was named so.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[listen]`: the ports for banks.
    pub listen: Listen,
    /// `[admin]`: the port for operators.
    pub admin: Admin,
    /// `[ledger]`: where keys and outcomes are kept.
    pub ledger: Ledger,
    /// `[contracts]`: where the banks' contracts are.
    pub contracts: Contracts,
    /// `[[institution]]`: who may file, at least one.
    pub institutions: Vec<Arc<Institution>>,
    /// `[[registry]]`: where applications are sent.
    pub registries: Vec<Arc<Registry>>,
    /// `[[office]]`: who is in charge of which land.
    pub offices: Vec<Office>,
    /// `[routing]`: what else decides the office.
    pub routing: Routing,
    /// `[matters]`: which institutions may ask for what.
    pub matters: Matters,
    /// `[calendar]`: holidays, and weekend days that are worked.
    pub calendar: Calendar,
    /// `[queue]`: filings that wait for their office.
    pub queue: Queue,
    /// `[evidence]`: the log of exchanges.
    pub evidence: Evidence,
    /// `[resolver]`: how unknown outcomes are found out.
    pub resolver: Resolver,
    /// `[events]`: what is kept of them, and how banks are told.
    pub events: Events,
    /// `[telemetry]`: logs and traces.
    pub telemetry: Telemetry,
    /// `[materials]`: what banks upload ahead of filings. Default: nothing can be uploaded.
    pub materials: Option<Materials>,
    /// `[limits]`: what a bank may ask of the gateway.
    pub limits: Limits,
}

impl Settings {
    /// Reads the settings file.
    ///
    /// # Errors
    /// Every problem found, in order of line: never empty.
    pub fn load(file: &Path) -> Result<Self, Vec<Problem>> {
        let text = fs::read_to_string(file).map_err(|error| {
            vec![Problem { file: file.to_owned(), line: None, message: error.to_string() }]
        })?;
        Self::parse(&text, file)
    }

    /// Reads settings from `text`; `file` is told in problems, and its folder is what relative paths start from.
    ///
    /// # Errors
    /// Every problem found, in order of line: never empty.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Vec<Problem>> {
        reader::read(text, file)
    }
}

/// `[listen]`: where banks call. At least one of the two ports.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port for HTTPS (HTTP/1.1 and HTTP/2). Default: not opened.
    pub https: Option<SocketAddr>,
    /// Address and port for length-prefixed messages over TLS; the institution's contract says which prefix.
    /// Default: not opened.
    pub tcp: Option<SocketAddr>,
    /// PEM file: the gateway's certificate for banks, its chain after it. Required.
    pub certificate: PathBuf,
    /// PEM file: the private key of `certificate`. Required.
    pub key: PathBuf,
    /// PEM file: the authorities banks' certificates may be issued by. Required.
    pub client_ca: PathBuf,
}

/// `[admin]`: the port for `/live`, `/ready` and `/metrics`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port, without TLS. Nothing there asks who is asking: leave it on a loopback address unless the
    /// network keeps others away. Default: `127.0.0.1:9090`.
    pub address: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}

/// `[ledger]`: where keys and outcomes are kept.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Which store. Default: SQLite in `ledger.db` beside the settings file.
    pub store: Store,
    /// `lease_seconds`: how long one process may work on a filing before another may take it over, in seconds; longer
    /// than any registry's `deadline_seconds`. Default: 30.
    pub lease: Duration,
    /// `retention_seconds`: how long after its last change what is known of a settled filing is kept, in seconds; its key
    /// stays used for good. Default: 34560000, which is 400 days.
    pub retention: Duration,
}

/// The ledger's store: one of `sqlite` and `postgres`.
#[derive(Debug, Clone)]
pub enum Store {
    /// `sqlite`: path of the database file, made if it does not exist. For one process on one machine.
    Sqlite(PathBuf),
    /// `postgres`: shared by all replicas.
    Postgres {
        /// `postgres`: a URL, `postgresql://user@host:port/database`, without a password.
        url: String,
        /// `password_file`: file that holds the password and nothing else. Default: no password is sent.
        password_file: Option<PathBuf>,
        /// `tls_ca`, `tls_certificate`, `tls_key`: PEM files: the authorities of the server's certificate, and the
        /// gateway's own certificate and key where the server asks for one. Default: the connection is not encrypted, and
        /// the server must be on this machine.
        tls: Option<PostgresTls>,
        /// `pool_size_max`: connections at most. Default: 16.
        pool_size_max: usize,
        /// `wait_seconds`: how long to wait for a free or new connection, in seconds. Default: 3.
        wait: Duration,
        /// `statement_seconds`: how long one statement may take, in seconds. Default: 5.
        statement: Duration,
    },
}

/// `[contracts]`: where the banks' contracts are.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contracts {
    /// Folder that holds one folder per contract; that holds `contract.toml`, or a folder per version that does. Default: `contracts/banks`.
    pub folder: PathBuf,
    /// `reload_seconds`: how often it is looked for contracts whose content has changed, in seconds; a SIGHUP makes it
    /// look at once. Default: 10.
    #[serde(rename = "reload_seconds", deserialize_with = "reader::seconds")]
    pub reload: Duration,
    /// `[contracts.keys.NAME]`: the keys of a contract whose messages are signed, by its folder. Default: none.
    pub keys: BTreeMap<String, SealKeys>,
}

impl Default for Contracts {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("contracts/banks"),
            reload: Duration::from_secs(10),
            keys: BTreeMap::new(),
        }
    }
}

/// `[contracts.keys.NAME]`: what the messages of one contract are signed with.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealKeys {
    /// PEM file: the public key (`PUBLIC KEY`) of the bank, which signs what comes. Required.
    pub bank: PathBuf,
    /// PEM file: the private key (`PRIVATE KEY`, PKCS #8) the gateway signs answers with. Required.
    pub gateway: PathBuf,
}

/// `[[institution]]`: one that may file, and the one certificate it is known by.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Institution {
    /// Its name in the ledger, metrics and logs: letters, digits, `-` and `_`, at most 64. Never changed once used: the
    /// idempotency keys are kept under it. Required.
    pub id: String,
    /// Its name as registries are told it. Required.
    pub name: String,
    /// `BANK`, `COURT`, `PROVIDENT_FUND` or `OTHER`. Required.
    pub kind: InstitutionKind,
    /// Folder of its contract, inside `contracts.folder`. Required.
    pub contract: String,
    /// `production`, or `test`: then an unknown leaf in a message is refused instead of dropped and counted.
    /// Default: `production`.
    #[serde(default)]
    pub mode: InstitutionMode,
    /// The distinguished name its certificate is issued by, in the certificate's order: `C=CN, O=…, CN=…`. Required.
    pub certificate_issuer: String,
    /// The subject alternative name its certificate holds: a DNS name, a URI or an e-mail address. Required.
    pub certificate_san: String,
    /// Codes its messages may name it by; a message that names another is refused. Default: none, codes are not
    /// compared.
    #[serde(default)]
    pub codes: Vec<String>,
    /// What the names of its lending branches begin with. Default: none.
    #[serde(default)]
    pub mortgagee_names: Vec<String>,
    /// Identity numbers of its lending branches. With either of the two, an application of which none of the lenders is
    /// one of them is refused. Default: none.
    #[serde(default)]
    pub mortgagee_codes: Vec<String>,
    /// Most messages of it that are being answered at a time. Default: `institution_exchanges_max` of `[limits]`.
    pub exchanges_max: Option<usize>,
    /// Most connections of it. Default: `institution_connections_max` of `[limits]`.
    pub connections_max: Option<usize>,
    /// Most messages a second, over a while. Default: `institution_messages_per_second_max` of `[limits]`.
    pub messages_per_second_max: Option<NonZeroU32>,
    /// Most messages at once, after a pause. Default: `institution_messages_burst_max` of `[limits]`.
    pub messages_burst_max: Option<NonZeroU32>,
}

/// What an institution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstitutionKind {
    /// A bank (银行).
    Bank,
    /// A court (法院).
    Court,
    /// A housing provident fund (住房公积金).
    ProvidentFund,
    /// Another institution.
    Other,
}

impl From<InstitutionKind> for proto::v1::InstitutionKind {
    fn from(kind: InstitutionKind) -> Self {
        match kind {
            InstitutionKind::Bank => Self::Bank,
            InstitutionKind::Court => Self::Court,
            InstitutionKind::ProvidentFund => Self::ProvidentFund,
            InstitutionKind::Other => Self::Other,
        }
    }
}

/// Whether an institution is trying things out or doing business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstitutionMode {
    /// An unknown leaf in a message is dropped and counted.
    #[default]
    Production,
    /// An unknown leaf in a message is refused.
    Test,
}

impl From<InstitutionMode> for adapters::Mode {
    fn from(mode: InstitutionMode) -> Self {
        match mode {
            InstitutionMode::Production => Self::Production,
            InstitutionMode::Test => Self::Test,
        }
    }
}

/// `[matters]`: of each matter, the kinds of institution that may ask for it. Default: courts seize, and everybody else
/// does everything else.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    missing_docs,
    reason = "a key each for the arms of `Application.matter`, documented there"
)]
pub struct Matters {
    pub mortgage_registration: Vec<InstitutionKind>,
    pub mortgage_discharge: Vec<InstitutionKind>,
    pub mortgage_change: Vec<InstitutionKind>,
    pub mortgage_transfer: Vec<InstitutionKind>,
    pub advance_notice: Vec<InstitutionKind>,
    pub advance_notice_discharge: Vec<InstitutionKind>,
    pub new_home_transfer: Vec<InstitutionKind>,
    pub ownership_transfer: Vec<InstitutionKind>,
    pub ownership_change: Vec<InstitutionKind>,
    pub certificate_reissue: Vec<InstitutionKind>,
    pub seizure: Vec<InstitutionKind>,
}

impl Default for Matters {
    fn default() -> Self {
        let others =
            || vec![InstitutionKind::Bank, InstitutionKind::ProvidentFund, InstitutionKind::Other];
        Self {
            mortgage_registration: others(),
            mortgage_discharge: others(),
            mortgage_change: others(),
            mortgage_transfer: others(),
            advance_notice: others(),
            advance_notice_discharge: others(),
            new_home_transfer: others(),
            ownership_transfer: others(),
            ownership_change: others(),
            certificate_reissue: others(),
            seizure: vec![InstitutionKind::Court],
        }
    }
}

/// `[[registry]]`: one provincial registry that takes applications.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Its name in the ledger, metrics and logs: letters, digits, `-` and `_`, at most 64. Required.
    pub name: String,
    /// `https://HOST:PORT` of its gRPC service. Required.
    pub address: String,
    /// The name its certificate must hold. Required.
    pub server_name: String,
    /// PEM file: the authorities its certificate may be issued by. Required.
    pub ca: PathBuf,
    /// PEM file: the gateway's certificate for this registry, its chain after it. Required.
    pub certificate: PathBuf,
    /// PEM file: the private key of `certificate`. Required.
    pub key: PathBuf,
    /// `deadline_seconds`: how long one call may take before its outcome counts as unknown, in seconds. Default: 20.
    #[serde(
        rename = "deadline_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::deadline_default"
    )]
    pub deadline: Duration,
    /// Whether a submission with a key already used is certain to return the first case. If not, a lost answer may only
    /// be asked for, never sent again. Default: false.
    #[serde(default)]
    pub idempotent: bool,
    /// `resend_unknown_after_seconds`: only where `idempotent` is false: how long ago a filing must have been sent, in
    /// seconds, before it is sent again because the registry, asked by key, knows nothing of it; at least twice
    /// `deadline_seconds`. Default: it is never sent again.
    #[serde(
        rename = "resend_unknown_after_seconds",
        deserialize_with = "reader::some_seconds",
        default
    )]
    pub resend_unknown_after: Option<Duration>,
    /// `connect_seconds`: how long one try to connect may take, in seconds. Default: 5.
    #[serde(
        rename = "connect_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::connect_default"
    )]
    pub connect: Duration,
    /// `retry_seconds`: the greatest delay between tries of one submission within its deadline, in seconds; the first is
    /// a tenth of it. Only what cannot register twice is tried again. Default: 2.
    #[serde(
        rename = "retry_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::retry_default"
    )]
    pub retry: Duration,
    /// `upload_seconds`: how long handing it one material may take, in seconds. Default: 300.
    #[serde(
        rename = "upload_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::upload_default"
    )]
    pub upload: Duration,
    /// Whether it takes a reference to a document it shares with banks in place of the document. Default: false.
    #[serde(default)]
    pub shared_documents: bool,
    /// How many filings are at it at a time, from each replica. Default: 128.
    #[serde(default = "Registry::filings_default")]
    pub filings_max: usize,
    /// How many questions of banks are at it at a time, from each replica; the resolver's own are counted apart.
    /// Default: 32.
    #[serde(default = "Registry::questions_default")]
    pub questions_max: usize,
    /// `room_seconds`: how long a filing or question may wait for one of them to end, in seconds; as many may wait as may
    /// be there. Default: 1.
    #[serde(
        rename = "room_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::room_default"
    )]
    pub room_wait: Duration,
    /// After how many calls in a row that did not reach it or were not answered it is left alone. Default: 5.
    #[serde(default = "Registry::failures_default")]
    pub failures_max: u32,
    /// `pause_seconds`: how long it is left alone before one call tries whether it answers again, in seconds.
    /// Default: 5.
    #[serde(
        rename = "pause_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::pause_default"
    )]
    pub pause: Duration,
    /// `describe_seconds`: how often it is asked what its offices do, in seconds. Default: 600.
    #[serde(
        rename = "describe_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::describe_default"
    )]
    pub describe: Duration,
    /// How it lets know what becomes of cases: `at_once` in its answers alone, `events` by its stream of events, or `polled`:
    /// only when it is asked. Default: `at_once`.
    #[serde(default)]
    pub answers: Answers,
    /// `poll_first_seconds`: only where it is `polled`, or a deadline is over: the greatest delay before it is asked about a
    /// case the first time, in seconds; it doubles from time to time. Default: 60.
    #[serde(
        rename = "poll_first_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::poll_first_default"
    )]
    pub poll_first: Duration,
    /// `poll_longest_seconds`: the greatest delay between two times, in seconds. Default: 3600.
    #[serde(
        rename = "poll_longest_seconds",
        deserialize_with = "reader::seconds",
        default = "Registry::poll_longest_default"
    )]
    pub poll_longest: Duration,
}

/// How a registry lets know what becomes of cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
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

/// `[materials]`: what banks upload ahead of filings, and where it is kept. Without the table nothing can be uploaded.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Materials {
    /// Folder they are kept in, made if it does not exist; replicas share it. Not used with `s3`. Default: `materials`.
    pub folder: PathBuf,
    /// `s3://BUCKET/PREFIX`: where they are kept instead. Default: in `folder`.
    pub s3: Option<String>,
    /// `https://HOST:PORT` of the S3 service, if it is not Amazon's; `http://` for one on this machine. Default: Amazon's.
    pub s3_endpoint: Option<String>,
    /// Its region. Default: `us-east-1`.
    pub s3_region: Option<String>,
    /// PEM file: authorities its certificate may be issued by, besides the system's. Default: none.
    pub s3_ca: Option<PathBuf>,
    /// The id of the access key. Default: as the environment or the machine's role gives it.
    pub s3_access_key: Option<String>,
    /// File that holds the secret of the access key and nothing else. Default: as for `s3_access_key`.
    pub s3_secret_file: Option<PathBuf>,
    /// Greatest material, in bytes. Default: 268,435,456 (256 MiB).
    pub bytes_max: u64,
    /// Media types that are taken; of PDF, JPEG, PNG and OFD it is seen whether they begin so. Default: those four.
    pub media_types: Vec<String>,
    /// `upload_seconds_max`: how long one upload may take, in seconds. Default: 600.
    #[serde(rename = "upload_seconds_max", deserialize_with = "reader::seconds")]
    pub upload_max: Duration,
}

impl Materials {
    /// With paths that start from `folder`.
    fn beside(mut self, folder: &Path) -> Self {
        self.folder = folder.join(&self.folder);
        for path in [&mut self.s3_ca, &mut self.s3_secret_file].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        self
    }
}

impl Default for Materials {
    fn default() -> Self {
        let taken = ["application/pdf", "image/jpeg", "image/png", "application/ofd"];
        Self {
            folder: PathBuf::from("materials"),
            s3: None,
            s3_endpoint: None,
            s3_region: None,
            s3_ca: None,
            s3_access_key: None,
            s3_secret_file: None,
            bytes_max: 256 * 1024 * 1024,
            media_types: taken.map(str::to_owned).to_vec(),
            upload_max: Duration::from_secs(600),
        }
    }
}

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

/// `[events]`: events of cases, and how banks read them.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// `retention_seconds`: how long events can be read, in seconds. Default: 34560000, which is 400 days.
    #[serde(rename = "retention_seconds", deserialize_with = "reader::seconds")]
    pub retention: Duration,
    /// How many events a bank is given at once, at most, whatever it asks for. Default: 500.
    pub page_max: u32,
    /// `wait_seconds_max`: how long an answer waits for an event at most, whatever the bank asks for, in seconds.
    /// Default: 30.
    #[serde(rename = "wait_seconds_max", deserialize_with = "reader::seconds")]
    pub wait_max: Duration,
    /// How many readers may wait for an event at a time, at each replica; who comes besides is answered at once. Each of them
    /// is one of `exchanges_max`. Default: 256.
    pub waiting_max: usize,
    /// How many of them may be one institution's. Default: 2.
    pub institution_waiting_max: usize,
    /// `warn_seconds_before`: how long before the last day of a correction (补正) is over its bank is told so, in seconds.
    /// Default: 259200, which is 3 days.
    #[serde(rename = "warn_seconds_before", deserialize_with = "reader::seconds")]
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

/// `[[office]]`: one registry office, the land it is in charge of, and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Office {
    /// The registry's own code for it. Required.
    pub code: String,
    /// Its name, as banks are told it. Required.
    pub name: String,
    /// The registry it is reached through: the `name` of a `[[registry]]`. Required.
    pub registry: String,
    /// Its administrative division, 6 digits. Required.
    pub division: String,
    /// Beginnings of unit codes (不动产单元代码) it is in charge of, of 6, 9, 12 or 19 characters; the longest that
    /// fits decides. Required, at least one.
    pub prefixes: Vec<String>,
    /// Beginnings of presale contract filing numbers (商品房买卖合同备案号) it is in charge of, for presale homes that have
    /// no unit code yet; the longest that fits decides. Default: none.
    #[serde(default)]
    pub presale_prefixes: Vec<String>,
    /// Province and place that the numbers of its certificates begin with, as `晋太原市` of `晋(2026)太原市不动产权第1号`; several
    /// offices may have the same. A title number of another office's place contradicts the unit code. Default: none.
    #[serde(default)]
    pub title_places: Vec<String>,
    /// Matters it takes, by the names of `Application.matter`. Default: every one that its registry says it takes.
    pub matters: Option<BTreeSet<String>>,
    /// How it hands out certificates: `ELECTRONIC`, `COURIER`, `PICKUP`. Default: every way that its registry says.
    pub delivery: Option<Vec<Delivery>>,
    /// When it is open, a line for each row of days: `1-5 09:00-12:00 13:30-17:00`. Default: whenever its registry says.
    #[serde(deserialize_with = "reader::hours", default)]
    pub hours: Option<Hours>,
    /// How many filings that waited for it are sent to it a minute, by all replicas together. Default: 300.
    pub queued_per_minute_max: Option<NonZeroU32>,
    /// Its address, for banks that have to turn to it. Default: what its registry says.
    pub address: Option<String>,
    /// Its telephone, for the same. Default: what its registry says.
    pub phone: Option<String>,
}

impl Office {
    /// How long after a filing that waited for it the next may be sent.
    pub fn queue_interval(&self) -> Duration {
        Duration::from_secs(60) / self.queued_per_minute_max.map_or(300, NonZeroU32::get)
    }

    /// How it hands out certificates, if settings say so.
    pub fn deliveries(&self) -> Option<Vec<proto::v1::DeliveryMethod>> {
        let methods = self.delivery.as_ref()?.iter().copied();
        Some(methods.map(proto::v1::DeliveryMethod::from).collect())
    }
}

/// How an office hands out certificates (领证方式).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Delivery {
    /// Electronic certificates only (电子证照).
    Electronic,
    /// By courier (邮寄).
    Courier,
    /// Fetched at the office (自取).
    Pickup,
}

impl From<Delivery> for proto::v1::DeliveryMethod {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Electronic => Self::Electronic,
            Delivery::Courier => Self::Courier,
            Delivery::Pickup => Self::Pickup,
        }
    }
}

/// `[routing]`: what else decides the office.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    /// Administrative divisions that exist no more, and the one each has become: 6 digits = 6 digits. Default: none.
    pub retired: BTreeMap<String, String>,
}

/// `[queue]`: filings that come while their office is closed.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// File of the keys that filings which wait are sealed with, a line each: `NAME BASE64`, 32 bytes; the first seals, all of
    /// them open. Default: nothing waits, filings are sent at any hour.
    pub key_file: Option<PathBuf>,
}

/// `[telemetry]`: logs and traces.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// `http://HOST:PORT` of the collector that takes OTLP over gRPC. Default: traces are not exported.
    pub otlp: Option<String>,
    /// One in how many exchanges is traced, where the bank's own `traceparent` has not decided it; 1 is all, 0 none.
    /// Default: 10.
    pub trace_one_in: u32,
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, for Directlink's own parts; or `part=level` pairs
    /// separated by commas, for libraries too. No level logs a message's content. Default: `info`.
    pub log: String,
    /// Which of several replicas this is, in traces. Default: the environment's `HOSTNAME`,
    /// or the process id.
    pub instance: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { otlp: None, trace_one_in: 10, log: "info".to_owned(), instance: None }
    }
}

/// One thing that is wrong with the settings, or with a file they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file it stands in.
    pub file: PathBuf,
    /// The line, from 1; `None` if it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong and what to do instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        write!(out, " {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SMALLEST: &str = r#"
[listen]
https = "127.0.0.1:0"
certificate = "pki/gateway.pem"
key = "pki/gateway.key"
client_ca = "pki/banks.pem"
[[institution]]
id = "one"
name = "一"
kind = "BANK"
contract = "one"
certificate_issuer = "O=Somewhere, CN=Authority"
certificate_san = "core.one.example"
"#;

    fn problems(text: &str) -> Vec<(usize, String)> {
        let problems = Settings::parse(text, Path::new("etc/directlink.toml")).unwrap_err();
        problems.into_iter().map(|problem| (problem.line.unwrap(), problem.message)).collect()
    }

    /// Each expected problem is a line and a part of its words.
    fn assert_told(text: &str, expected: &[(usize, &str)]) {
        let told = problems(text);
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for ((line, message), (expected_line, part)) in told.iter().zip(expected) {
            assert_eq!(line, expected_line, "{told:#?}");
            assert!(message.contains(part), "{message} does not say {part}");
        }
    }

    #[test]
    fn what_is_not_said_has_a_default_and_paths_start_from_the_files_folder() {
        let settings = Settings::parse(SMALLEST, Path::new("etc/directlink.toml")).unwrap();
        assert_eq!(settings.listen.key, Path::new("etc/pki/gateway.key"));
        assert!(
            matches!(&settings.ledger.store, Store::Sqlite(path) if path == Path::new("etc/ledger.db"))
        );
        assert_eq!(settings.contracts.folder, Path::new("etc/contracts/banks"));
        assert_eq!(settings.limits.body_bytes_max, 1024 * 1024);
        assert_eq!(settings.institutions[0].mode, InstitutionMode::Production);
    }

    #[test]
    fn a_fault_in_one_table_does_not_hide_those_of_others() {
        let text = format!(
            "{SMALLEST}{}",
            r#"mood = "good"
[limits]
body_bytes_max = 0
idle_seconds_max = 0
[telemetry]
log = "info"
colour = true
[ports]
[[registry]]
name = "north"
address = "http://127.0.0.1:1"
server_name = "registry.north.example"
ca = "ca.pem"
certificate = "c.pem"
key = "k.pem"
deadline_seconds = 30
resend_unknown_after_seconds = 59
[[registry]]
name = "south"
address = "https://127.0.0.1:1"
server_name = "registry.south.example"
ca = "ca.pem"
certificate = "c.pem"
key = "k.pem"
idempotent = true
resend_unknown_after_seconds = 60
"#
        );
        assert_told(
            &text,
            &[
                (14, "unknown field `mood`"),
                (17, "at least 1 second"),
                (20, "unknown field `colour`"),
                (21, "unknown table `ports`"),
                (24, "expected https://HOST:PORT"),
                (29, "lease_seconds"),
                (29, "shutdown_seconds_max"),
                (30, "twice `deadline_seconds`"),
                (39, "only goes with `idempotent = false`"),
            ],
        );
    }

    #[test]
    fn two_institutions_with_one_certificate_are_refused_however_it_is_written() {
        let text = format!(
            "{SMALLEST}{}",
            r#"[[institution]]
id = "one"
name = "二"
kind = "COURT"
contract = "../two"
certificate_issuer = "O = Somewhere,CN = Authority"
certificate_san = "CORE.one.example"
"#
        );
        assert_told(
            &text,
            &[
                (15, "another institution"),
                (18, "expected letters"),
                (20, "`one` is known by this issuer and name too"),
            ],
        );
    }

    #[test]
    fn two_offices_with_one_prefix_are_refused() {
        let text = format!(
            "{SMALLEST}{}",
            r#"[[office]]
code = "a"
name = "甲"
registry = "nowhere"
division = "14010"
prefixes = ["140105", "1401"]
presale_prefixes = ["并", ""]
[[office]]
code = "b"
name = "乙"
registry = "nowhere"
division = "140105"
prefixes = ["140105", "140105001002GB00001"]
presale_prefixes = ["并"]
[routing]
retired = { "140100" = "140101", "140101" = "140105" }
"#
        );
        assert_told(
            &text,
            &[
                (17, "no [[registry]]"),
                (18, "expected 6 digits"),
                (19, "`1401`"),
                (20, "expected some characters"),
                (24, "no [[registry]]"),
                (26, "`140105` is with office `a` too"),
                (27, "`并` is with office `a` too"),
                (29, "name the last"),
            ],
        );
    }

    #[test]
    fn a_password_does_not_stand_in_the_file_and_is_not_repeated() {
        let url = r#"postgres = "postgresql://user:hush@127.0.0.1/db""#;
        let told = problems(&format!("[ledger]\n{url}\n{SMALLEST}"));
        assert!(
            matches!(told.as_slice(), [(2, message)] if message.contains("password_file") && !message.contains("hush"))
        );
    }

    #[test]
    fn what_cannot_be_done_without_is_missed() {
        assert_told("[admin]\n", &[(1, "`listen` is missing"), (1, "`institution` is missing")]);
        let told = problems("[listen]\nhttps = \n[admin\naddress = 1\n");
        assert!(told.len() >= 2, "both syntax faults are told: {told:#?}");
    }

    /// The reader's list is held to the keys that are read: an unknown key is answered with all that are known.
    #[test]
    fn every_key_is_documented_and_no_other() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
        let document = fs::read_to_string(path).unwrap();
        let (_, keys) = document.split_once("## Every key").unwrap();
        let (keys, _) = keys.split_once("\n## ").unwrap();
        for section in keys.split("\n### `").skip(1) {
            let table = section.split('`').next().unwrap();
            let told = problems(&format!("{table}\nzzz = 1\n"));
            let expected = told.iter().find(|(line, _)| *line == 2).unwrap().1.clone();
            let known: BTreeSet<&str> = expected.split('`').skip(3).step_by(2).collect();
            let listed: BTreeSet<&str> = section
                .lines()
                .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
                .collect();
            assert_eq!(listed, known, "{table}");
        }
        assert_eq!(keys.matches("\n### `").count(), 18, "a table without its section");
    }
}
