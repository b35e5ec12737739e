//! What is counted and timed. Every label has a bounded set of values: names from settings and contracts, codes, and
//! the enums here; never anything a message says.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, MeterProvider, UpDownCounter},
};
use opentelemetry_sdk::{
    error::OTelSdkError,
    metrics::{Instrument, SdkMeterProvider, Stream},
};
use prometheus::{Encoder, TextEncoder};

use crate::{
    ledger::{Unknown, events::Recorded, notices::Standing},
    registry::Shut,
    tls::Protocol,
};

/// The metrics of one gateway. Cheap to copy; all copies count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    exchanges: Counter<u64>,
    exchange_duration: Histogram<f64>,
    registry_call_duration: Histogram<f64>,
    ledger_duration: Histogram<f64>,
    registry_paused: Gauge<u64>,
    shut_out: Counter<u64>,
    impossible: Counter<u64>,
    heard: Counter<u64>,
    deadlines: Counter<u64>,
    notices: Counter<u64>,
    notices_parked: Counter<u64>,
    notices_waiting: Gauge<u64>,
    notices_parked_now: Gauge<u64>,
    notices_oldest: Gauge<u64>,
    subscribers_ended: Gauge<u64>,
    unknown: Gauge<u64>,
    unknown_oldest: Gauge<u64>,
    offices_differing: Gauge<u64>,
    queued: Gauge<u64>,
    leaves_dropped: Counter<u64>,
    integrity_mismatches: Counter<u64>,
    reconciled: Counter<u64>,
    open_findings: Gauge<u64>,
    entries_untold: Counter<u64>,
    evidence_unwritten: Counter<u64>,
    evidence_size: Gauge<u64>,
    evidence_signed: Gauge<u64>,
    versions_used: Counter<u64>,
    contracts_changed: Counter<u64>,
    contracts_outdated: UpDownCounter<i64>,
    settings_changed: Counter<u64>,
    settings_outdated: Gauge<u64>,
    connections: UpDownCounter<i64>,
    turned_away: Counter<u64>,
    turned_back: Counter<u64>,
    certificate_expires: Gauge<u64>,
    registry: prometheus::Registry,
    /// Kept: once it is dropped nothing is counted any more.
    provider: SdkMeterProvider,
}

impl Metrics {
    /// Metrics that all stand at nothing.
    ///
    /// # Errors
    /// Only if the metrics crates refuse names of ours.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).with_view(wide).build();
        let meter = provider.meter("directlink");
        let seconds = |name, description| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(SECONDS.to_vec())
                .build()
        };
        Ok(Self(Arc::new(Instruments {
            exchanges: meter
                .u64_counter(EXCHANGES)
                .with_description(
                    "Messages answered, by institution, kind of message and what was answered",
                )
                .build(),
            exchange_duration: seconds(
                "directlink.exchange.duration",
                "From a message read to its answer written",
            ),
            registry_call_duration: seconds(
                "directlink.registry.call.duration",
                "Calls to registries, retries apart",
            ),
            ledger_duration: seconds(
                "directlink.ledger.duration",
                "What the ledger was asked to do, until it was durable",
            ),
            registry_paused: meter
                .u64_gauge("directlink.registry.paused")
                .with_description("Whether a registry is left alone because it did not answer: 1 or 0")
                .build(),
            impossible: meter
                .u64_counter("directlink.registry.impossible")
                .with_description("What registries told of cases that cannot be, by why; it was not believed")
                .build(),
            heard: meter
                .u64_counter("directlink.registry.events")
                .with_description("Events of registries' streams, by what was made of them and how the case stood")
                .build(),
            deadlines: meter
                .u64_counter("directlink.deadlines")
                .with_description("Cases whose deadline was near, or over when their registry was asked about them")
                .build(),
            notices: meter
                .u64_counter("directlink.notices")
                .with_description("Notices sent, or tried to, by subscriber and end")
                .build(),
            notices_parked: meter
                .u64_counter("directlink.notices.given_up")
                .with_description("Notices that were parked: they are sent once an operator says so")
                .build(),
            notices_waiting: meter
                .u64_gauge("directlink.notices.undelivered")
                .with_description("Events a subscriber is still to be told of, those that are parked apart: every replica tells the same")
                .build(),
            notices_parked_now: meter
                .u64_gauge("directlink.notices.parked")
                .with_description("Notices that are parked now: every replica tells the same")
                .build(),
            notices_oldest: meter
                .u64_gauge("directlink.notices.oldest_age")
                .with_unit("s")
                .with_description("How long ago the oldest event became known that a subscriber is still to be told of, and that is not parked; 0 if there is none")
                .build(),
            subscribers_ended: meter
                .u64_gauge("directlink.subscriber.ended")
                .with_description("Whether a subscriber said that it wants no more: 1 or 0")
                .build(),
            shut_out: meter
                .u64_counter("directlink.registry.shut_out")
                .with_description("Calls that were not made, by why: registry paused, or full")
                .build(),
            unknown: meter
                .u64_gauge("directlink.unknown_outcomes")
                .with_description(
                    "Filings whose outcome is unknown, in the whole ledger: every replica tells the same",
                )
                .build(),
            unknown_oldest: meter
                .u64_gauge("directlink.unknown_outcomes.oldest_age")
                .with_unit("s")
                .with_description("How long ago the oldest of them was claimed; 0 if there is none")
                .build(),
            offices_differing: meter
                .u64_gauge("directlink.offices.differing")
                .with_description("Offices of which settings and their registry say different things")
                .build(),
            queued: meter
                .u64_gauge("directlink.queued_filings")
                .with_description(
                    "Filings that wait for their office, in the whole ledger: every replica tells the same",
                )
                .build(),
            leaves_dropped: meter
                .u64_counter("directlink.leaves.dropped")
                .with_description(
                    "Items of messages that no contract knows, dropped in production mode",
                )
                .build(),
            integrity_mismatches: meter
                .u64_counter("directlink.integrity.mismatches")
                .with_description("Cases that a registry registered otherwise than was asked for")
                .build(),
            reconciled: meter
                .u64_counter("directlink.reconciliations")
                .with_description("Days whose books were compared with a registry's, by what came of it")
                .build(),
            open_findings: meter
                .u64_gauge("directlink.findings.open")
                .with_description(
                    "Differences from a registry's books that are open, in the whole ledger: every replica tells the same",
                )
                .build(),
            entries_untold: meter
                .u64_counter("directlink.registry.entries_untold")
                .with_description(
                    "Answers that a case is registered, without what was entered: nothing to compare",
                )
                .build(),
            evidence_unwritten: meter
                .u64_counter("directlink.evidence.unwritten")
                .with_description("Exchanges that were answered without their leaf being written")
                .build(),
            evidence_size: meter
                .u64_gauge("directlink.evidence.size")
                .with_description("Leaves of the log that are in its tree: every replica tells the same")
                .build(),
            evidence_signed: meter
                .u64_gauge("directlink.evidence.signed")
                .with_description("Leaves under the newest checkpoint; 0 while nothing is signed")
                .build(),
            versions_used: meter
                .u64_counter(VERSIONS)
                .with_description("Messages understood, by institution and version of its contract")
                .build(),
            contracts_changed: meter
                .u64_counter("directlink.contracts.changed")
                .with_description("Contracts whose content on disk had changed, by what came of it")
                .build(),
            contracts_outdated: meter
                .i64_up_down_counter("directlink.contracts.outdated")
                .with_description(
                    "Contracts that are served although others, which do not pass, are on disk",
                )
                .build(),
            settings_changed: meter
                .u64_counter("directlink.settings.changed")
                .with_description("Times the settings file had changed, by what came of it")
                .build(),
            settings_outdated: meter
                .u64_gauge("directlink.settings.outdated")
                .with_description(
                    "Whether the settings file says what does not count: for its faults, or before a restart",
                )
                .build(),
            connections: meter
                .i64_up_down_counter("directlink.connections")
                .with_description("Connections of known banks that stand")
                .build(),
            turned_away: meter
                .u64_counter("directlink.callers.turned_away")
                .with_description("Callers that were not let in")
                .build(),
            turned_back: meter
                .u64_counter("directlink.messages.turned_back")
                .with_description(
                    "Messages refused unread: the institution sent too fast or too many, or all together did",
                )
                .build(),
            certificate_expires: meter
                .u64_gauge("directlink.certificate.expires")
                .with_description(
                    "When a certificate or revocation list runs out, in seconds since 1970",
                )
                .build(),
            registry,
            provider,
        })))
    }

    /// One message was answered. `message`: its name in the contract, `unknown` if it was not recognised; `result`: the
    /// case's status or the refusal's code.
    pub fn exchange(&self, institution: &str, message: &str, result: &str, took: Duration) {
        let message = KeyValue::new("message", message.to_owned());
        self.0.exchange_duration.record(took.as_secs_f64(), std::slice::from_ref(&message));
        self.0.exchanges.add(
            1,
            &[
                KeyValue::new("institution", institution.to_owned()),
                message,
                KeyValue::new("result", result.to_owned()),
            ],
        );
    }

    /// One call to a registry ended.
    pub fn registry_call(&self, registry: &str, call: RegistryCall, end: CallEnd, took: Duration) {
        self.0.registry_call_duration.record(
            took.as_secs_f64(),
            &[
                KeyValue::new("registry", registry.to_owned()),
                KeyValue::new("call", call.label()),
                KeyValue::new("end", end.label()),
            ],
        );
    }

    /// The ledger did, or could not do, what it was asked.
    pub fn ledger<T, E>(&self, verb: LedgerVerb, done: &Result<T, E>, took: Duration) {
        let end = if done.is_ok() { "done" } else { "failed" };
        self.0.ledger_duration.record(
            took.as_secs_f64(),
            &[KeyValue::new("verb", verb.label()), KeyValue::new("end", end)],
        );
    }

    /// Whether a registry is left alone: 1 or 0.
    pub fn registry_paused(&self, registry: &str, paused: u64) {
        self.0.registry_paused.record(paused, &[KeyValue::new("registry", registry.to_owned())]);
    }

    /// A registry told of a case what cannot be. `why`: [`crate::case::Why::label`].
    pub fn impossible(&self, registry: &str, why: &'static str) {
        let labels = [KeyValue::new("registry", registry.to_owned()), KeyValue::new("why", why)];
        self.0.impossible.add(1, &labels);
    }

    /// A registry's stream of events told something. `status`: of the case, by its name.
    pub fn heard(&self, registry: &str, heard: Heard, status: &'static str) {
        let labels = [
            KeyValue::new("registry", registry.to_owned()),
            KeyValue::new("made", heard.label()),
            KeyValue::new("status", status.trim_start_matches("CASE_STATUS_")),
        ];
        self.0.heard.add(1, &labels);
    }

    /// A case's deadline is near, or over.
    pub fn deadline(&self, registry: &str, deadline: Deadline) {
        let labels = [
            KeyValue::new("registry", registry.to_owned()),
            KeyValue::new("deadline", deadline.label()),
        ];
        self.0.deadlines.add(1, &labels);
    }

    /// A notice was to be sent.
    pub fn noticed(&self, subscriber: &str, end: Noticed) {
        let labels =
            [KeyValue::new("subscriber", subscriber.to_owned()), KeyValue::new("end", end.label())];
        self.0.notices.add(1, &labels);
    }

    /// So many notices were parked.
    pub fn parked(&self, subscriber: &str, count: u64) {
        let labels = [KeyValue::new("subscriber", subscriber.to_owned())];
        self.0.notices_parked.add(count, &labels);
    }

    /// How a subscriber stands just now.
    pub fn standing(&self, standing: &Standing) {
        let labels = [KeyValue::new("subscriber", standing.subscriber.clone())];
        let undelivered = standing.waiting.saturating_add(standing.unread);
        self.0.notices_waiting.record(undelivered, &labels);
        self.0.notices_parked_now.record(standing.parked, &labels);
        self.0.notices_oldest.record(standing.oldest.unwrap_or_default().as_secs(), &labels);
        self.0.subscribers_ended.record(u64::from(standing.ended), &labels);
    }

    /// A call was not made.
    pub fn shut_out(&self, registry: &str, why: Shut) {
        let why = match why {
            Shut::Paused { .. } => "paused",
            Shut::Full => "full",
        };
        let labels = [KeyValue::new("registry", registry.to_owned()), KeyValue::new("why", why)];
        self.0.shut_out.add(1, &labels);
    }

    /// How many calls are at a registry is asked for whenever metrics are told: counting them costs no call anything.
    pub fn watch_room(
        &self,
        registry: &str,
        purpose: &'static str,
        taken: impl Fn() -> Option<usize> + Send + Sync + 'static,
    ) {
        let labels =
            [KeyValue::new("registry", registry.to_owned()), KeyValue::new("purpose", purpose)];
        self.watch(
            "directlink.registry.calls_in_flight",
            "Calls at a registry, by purpose",
            taken,
            labels,
        );
    }

    /// How many transactions the ledger has committed is asked for whenever metrics are told.
    pub fn watch_commits(&self, commits: impl Fn() -> u64 + Send + Sync + 'static) {
        let _handle = self
            .0
            .provider
            .meter("directlink")
            .u64_observable_counter("directlink.ledger.commits")
            .with_description(
                "Transactions of this process's ledger; verbs that wait at one moment share one",
            )
            .with_callback(move |told| told.observe(commits(), &[]))
            .build();
    }

    fn watch<const N: usize>(
        &self,
        name: &'static str,
        description: &'static str,
        value: impl Fn() -> Option<usize> + Send + Sync + 'static,
        labels: [KeyValue; N],
    ) {
        // The meter keeps the question; what is built is only a handle.
        let _handle = self
            .0
            .provider
            .meter("directlink")
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |told| {
                if let Some(value) = value() {
                    told.observe(u64::try_from(value).unwrap_or(u64::MAX), &labels);
                }
            })
            .build();
    }

    /// How much is unknown at a registry just now.
    pub fn unknown(&self, registry: &str, unknown: Unknown) {
        let labels = [KeyValue::new("registry", registry.to_owned())];
        self.0.unknown.record(unknown.count, &labels);
        self.0.unknown_oldest.record(unknown.oldest.as_secs(), &labels);
    }

    /// Of how many of a registry's offices settings and the registry say different things.
    pub fn offices_differing(&self, registry: &str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.offices_differing.record(count, &[KeyValue::new("registry", registry.to_owned())]);
    }

    /// How many filings wait just now, by office.
    pub fn queued(&self, by_office: &[(String, u64)]) {
        self.0.queued.record(by_office.iter().map(|(_, count)| count).sum(), &[]);
    }

    /// Items of one message were dropped because no contract knows them.
    pub fn leaves_dropped(&self, institution: &str, count: u64) {
        self.0.leaves_dropped.add(count, &[KeyValue::new("institution", institution.to_owned())]);
    }

    /// A registry registered something else than was asked for.
    pub fn integrity_mismatch(&self, registry: &str) {
        let labels = [KeyValue::new("registry", registry.to_owned())];
        self.0.integrity_mismatches.add(1, &labels);
    }

    /// A day's books were compared with a registry's: they `agree`, `differ`, or it `failed`.
    pub fn reconciled(&self, registry: &str, end: &'static str) {
        let labels = [KeyValue::new("registry", registry.to_owned()), KeyValue::new("end", end)];
        self.0.reconciled.add(1, &labels);
    }

    /// How many differences from a registry's books are open just now.
    pub fn open_findings(&self, registry: &str, count: u64) {
        self.0.open_findings.record(count, &[KeyValue::new("registry", registry.to_owned())]);
    }

    /// A registry told that a case is registered, and not what it entered.
    pub fn entry_untold(&self, registry: &str) {
        self.0.entries_untold.add(1, &[KeyValue::new("registry", registry.to_owned())]);
    }

    /// An exchange was answered, and its leaf could not be written.
    pub fn evidence_unwritten(&self, institution: &str) {
        let labels = [KeyValue::new("institution", institution.to_owned())];
        self.0.evidence_unwritten.add(1, &labels);
    }

    /// How many leaves are in the log's tree.
    pub fn evidence_size(&self, size: u64) {
        self.0.evidence_size.record(size, &[]);
    }

    /// How many leaves are under the newest checkpoint.
    pub fn evidence_signed(&self, size: u64) {
        self.0.evidence_signed.record(size, &[]);
    }

    /// A message was understood, with this version of the institution's contract.
    pub fn read_with(&self, institution: &str, version: &str) {
        let labels = [
            KeyValue::new("institution", institution.to_owned()),
            KeyValue::new("version", version.to_owned()),
        ];
        self.0.versions_used.add(1, &labels);
    }

    /// A contract's content on disk had changed.
    pub fn contract(&self, contract: &str, end: ContractEnd) {
        let labels =
            [KeyValue::new("contract", contract.to_owned()), KeyValue::new("end", end.label())];
        self.0.contracts_changed.add(1, &labels);
    }

    /// So many more contracts than before are served although others, which do not pass, are on disk.
    pub fn contracts_outdated(&self, more: i64) {
        self.0.contracts_outdated.add(more, &[]);
    }

    /// The settings file had changed.
    pub fn settings(&self, end: SettingsEnd) {
        self.0.settings_changed.add(1, &[KeyValue::new("end", end.label())]);
    }

    /// Whether the settings file says what does not count.
    pub fn settings_outdated(&self, outdated: bool) {
        self.0.settings_outdated.record(outdated.into(), &[]);
    }

    /// A bank's connection stands until what is returned is dropped.
    pub fn connection(&self, port: Protocol) -> Connection {
        self.0.connections.add(1, &[port_label(port)]);
        Connection { metrics: self.clone(), port }
    }

    /// A caller was not let in.
    pub fn turned_away(&self, port: Protocol, why: TurnedAway) {
        self.0.turned_away.add(1, &[port_label(port), KeyValue::new("why", why.label())]);
    }

    /// A message of an institution was refused unread.
    pub fn turned_back(&self, institution: &str, why: TurnedBack) {
        let labels = [
            KeyValue::new("institution", institution.to_owned()),
            KeyValue::new("why", why.label()),
        ];
        self.0.turned_back.add(1, &labels);
    }

    /// When something that proves who somebody is runs out. `name`: the registry's or institution's, else nothing.
    pub fn certificate_expires(&self, holder: Holder, name: &str, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let labels =
            [KeyValue::new("holder", holder.label()), KeyValue::new("name", name.to_owned())];
        self.0.certificate_expires.record(seconds, &labels);
    }

    /// How many messages are being answered is asked for whenever metrics are told.
    pub fn watch_exchanges(&self, under_way: impl Fn() -> usize + Send + Sync + 'static) {
        self.watch(
            "directlink.exchanges.in_flight",
            "Messages being answered",
            move || Some(under_way()),
            [],
        );
    }

    /// All metrics in Prometheus' text format, for [`Metrics::MEDIA_TYPE`].
    ///
    /// # Errors
    /// Only if the metrics crates cannot write what they hold.
    pub fn text(&self) -> Result<Vec<u8>, MetricsError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// What is counted and timed, as it stands, in whole numbers.
    pub fn readings(&self) -> Vec<Reading> {
        let families = self.0.registry.gather();
        let of_family = |family: &prometheus::proto::MetricFamily| {
            let name = family.name().to_owned();
            let metrics = family.get_metric().iter();
            metrics.map(|metric| Reading::of(&name, metric)).collect::<Vec<_>>()
        };
        families.iter().flat_map(of_family).collect()
    }

    /// `Content-Type` of [`Metrics::text`].
    pub const MEDIA_TYPE: &str = prometheus::TEXT_FORMAT;
}

/// One metric as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its name, as Prometheus has it.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What a counter or gauge says.
    pub value: u64,
    /// Of a histogram, in order: an upper bound in milliseconds, and how many took no longer.
    pub buckets: Vec<(u64, u64)>,
}

impl Reading {
    fn of(name: &str, metric: &prometheus::proto::Metric) -> Self {
        let labels = metric.get_label().iter();
        let whole = |value: f64| format!("{value:.0}").parse::<u64>().unwrap_or(0);
        // Seconds with three decimals, without their point, are milliseconds; there is none for what takes for ever.
        let milliseconds = |seconds: f64| format!("{seconds:.3}").replace('.', "").parse::<u64>();
        let buckets = metric.get_histogram().get_bucket().iter();
        Self {
            name: name.to_owned(),
            labels: labels.map(|it| (it.name().to_owned(), it.value().to_owned())).collect(),
            value: whole(metric.get_counter().get_value())
                .max(whole(metric.get_gauge().get_value())),
            buckets: buckets
                .map(|it| {
                    let bound = milliseconds(it.upper_bound()).unwrap_or(u64::MAX);
                    (bound, it.cumulative_count())
                })
                .collect(),
        }
    }

    /// What a label says; nothing if it has none of that name.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Why metrics could not be made or told.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// They could not be made.
    #[error("metrics cannot be kept")]
    Made(#[from] OTelSdkError),
    /// They could not be written out.
    #[error("metrics cannot be told")]
    Told(#[from] prometheus::Error),
}

/// A standing connection, counted until it is dropped.
#[derive(Debug)]
pub struct Connection {
    metrics: Metrics,
    port: Protocol,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.0.connections.add(-1, &[port_label(self.port)]);
    }
}

/// What a registry is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the service's methods")]
pub enum RegistryCall {
    Submit,
    Correct,
    GetCase,
    Withdraw,
    QueryTitle,
    CertifyRecord,
    VerifyCertificate,
    FetchCertificate,
    DescribeOffices,
    WatchEvents,
    UploadMaterial,
    SumDay,
    ListDay,
}

impl RegistryCall {
    fn label(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::GetCase => "get_case",
            Self::QueryTitle => "query_title",
            Self::Correct => "correct",
            Self::Withdraw => "withdraw",
            Self::CertifyRecord => "certify_record",
            Self::VerifyCertificate => "verify_certificate",
            Self::FetchCertificate => "fetch_certificate",
            Self::DescribeOffices => "describe_offices",
            Self::UploadMaterial => "upload_material",
            Self::WatchEvents => "watch_events",
            Self::SumDay => "sum_day",
            Self::ListDay => "list_day",
        }
    }
}

/// What was made of an event of a registry's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was news.
    News,
    /// It was known.
    Known,
    /// It cannot be.
    Impossible,
    /// Nobody filed that here.
    Unheard,
    /// It does not say whose case it is or how that stands.
    Unreadable,
}

impl Heard {
    /// What the ledger made of it.
    pub fn of(recorded: &Recorded) -> Self {
        match recorded {
            Recorded::News { .. } => Self::News,
            Recorded::Same(_) => Self::Known,
            Recorded::Impossible(..) => Self::Impossible,
            Recorded::Unheard => Self::Unheard,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::News => "news",
            Self::Known => "known",
            Self::Impossible => "impossible",
            Self::Unheard => "unheard",
            Self::Unreadable => "unreadable",
        }
    }
}

/// How a case's deadline stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// Its bank was told that it is near.
    Near,
    /// It is over, and the registry has not said what became of the case.
    Over,
}

impl Deadline {
    fn label(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Over => "over",
        }
    }

    /// For logs.
    pub fn words(self) -> &'static str {
        match self {
            Self::Near => "the deadline of a case is near",
            Self::Over => {
                "the deadline of a case is over, and its registry does not say what became of it"
            }
        }
    }
}

/// How a call to a registry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// The registry answered, be it with a refusal.
    Answered,
    /// Nothing reached it.
    NotSent,
    /// It rejected the call itself.
    Rejected,
    /// It may have acted, but no answer came.
    NoAnswer,
}

impl CallEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// What came of a contract that had changed on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContractEnd {
    /// It is served.
    Taken,
    /// It did not pass the check; the one before is served on.
    Refused,
}

impl ContractEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        }
    }
}

/// What came of a settings file that had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsEnd {
    /// Its offices and registries count.
    Taken,
    /// It has faults; what was before counts on.
    Refused,
}

impl SettingsEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        }
    }
}

/// What the ledger is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the ledger's verbs")]
pub enum LedgerVerb {
    Admit,
    Announce,
    Lift,
    Retire,
    Settle,
    MarkUnknown,
    Release,
    Record,
    RecordWatched,
    ClaimWatch,
    KeepWatch,
    ClaimFollowUps,
    PutOffFollowUp,
    Warn,
    EventsAfter,
    Acknowledge,
    Feeds,
    ForgetEvents,
    Find,
    ClaimDue,
    ClaimQueued,
    Requeue,
    WithdrawQueued,
    Queued,
    Defer,
    GiveUp,
    Unknown,
    TimesTaken,
    Witness,
    Grow,
    EraseSalts,
    RecordFindings,
    OpenFindings,
    ForgetFindings,
    Filed,
    Subscribe,
    ClaimTurns,
    DueAgain,
    Untold,
    EndTurn,
    Standings,
    ForgetNotices,
}

/// What became of a notice that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// It was taken.
    Delivered,
    /// The subscriber would not take it.
    NotTaken,
    /// The subscriber was not there, or takes nothing now.
    Away,
    /// Every address of it lies where settings do not allow.
    NotAllowed,
    /// The subscriber wants no more.
    Gone,
    /// The contract cannot say it.
    Unwritten,
}

impl Noticed {
    fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NotTaken => "not_taken",
            Self::Away => "away",
            Self::NotAllowed => "not_allowed",
            Self::Gone => "gone",
            Self::Unwritten => "unwritten",
        }
    }
}

impl LedgerVerb {
    /// As metrics and traces name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Announce => "announce",
            Self::Lift => "lift",
            Self::Retire => "retire",
            Self::Settle => "settle",
            Self::MarkUnknown => "mark_unknown",
            Self::Release => "release",
            Self::Record => "record",
            Self::RecordWatched => "record_watched",
            Self::ClaimWatch => "claim_watch",
            Self::KeepWatch => "keep_watch",
            Self::ClaimFollowUps => "claim_follow_ups",
            Self::PutOffFollowUp => "put_off_follow_up",
            Self::Warn => "warn",
            Self::EventsAfter => "events_after",
            Self::Acknowledge => "acknowledge",
            Self::Feeds => "feeds",
            Self::ForgetEvents => "forget_events",
            Self::Find => "find",
            Self::ClaimDue => "claim_due",
            Self::ClaimQueued => "claim_queued",
            Self::Requeue => "requeue",
            Self::WithdrawQueued => "withdraw_queued",
            Self::Queued => "queued",
            Self::Defer => "defer",
            Self::GiveUp => "give_up",
            Self::Unknown => "unknown",
            Self::TimesTaken => "times_taken",
            Self::Witness => "witness",
            Self::Grow => "grow",
            Self::Subscribe => "subscribe",
            Self::ClaimTurns => "claim_turns",
            Self::DueAgain => "due_again",
            Self::Untold => "untold",
            Self::EndTurn => "end_turn",
            Self::Standings => "standings",
            Self::ForgetNotices => "forget_notices",
            Self::EraseSalts => "erase_salts",
            Self::RecordFindings => "record_findings",
            Self::OpenFindings => "open_findings",
            Self::ForgetFindings => "forget_findings",
            Self::Filed => "filed",
        }
    }
}

/// Whose a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The gateway, towards banks.
    Gateway,
    /// An authority of banks' certificates.
    Authority,
    /// The revocation list that is to be followed first.
    RevocationList,
    /// The gateway, towards a registry.
    Registry,
    /// An institution, by the certificate it last came with.
    Institution,
    /// A proxy in front of the bank ports, by the certificate it last came with.
    Proxy,
}

impl Holder {
    fn label(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Authority => "authority",
            Self::RevocationList => "revocation_list",
            Self::Registry => "registry",
            Self::Institution => "institution",
            Self::Proxy => "proxy",
        }
    }
}

/// Why a caller was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedAway {
    /// The TLS handshake failed: no certificate, a bad one, or no TLS at all.
    HandshakeFailed,
    /// The TLS handshake was not done in time.
    HandshakeSlow,
    /// No institution is known by its certificate.
    Unknown,
    /// As many connections stand as may.
    Full,
    /// The institution has as many connections as it may.
    InstitutionFull,
    /// Its contract does not use this port.
    WrongPort,
}

impl TurnedAway {
    fn label(self) -> &'static str {
        match self {
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeSlow => "handshake_slow",
            Self::Unknown => "unknown",
            Self::Full => "full",
            Self::InstitutionFull => "institution_full",
            Self::WrongPort => "wrong_port",
        }
    }
}

/// Why a message was refused unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedBack {
    /// The institution sends faster than it may.
    TooFast,
    /// The institution has as many messages under way as it may.
    TooMany,
    /// All institutions together have.
    GatewayFull,
}

impl TurnedBack {
    fn label(self) -> &'static str {
        match self {
            Self::TooFast => "too_fast",
            Self::TooMany => "too_many",
            Self::GatewayFull => "gateway_full",
        }
    }
}

fn port_label(port: Protocol) -> KeyValue {
    KeyValue::new(
        "port",
        match port {
            Protocol::Https => "https",
            Protocol::Tcp => "tcp",
        },
    )
}

/// Hundreds of institutions times messages times results are more than the 2,000 sets of labels kept by default.
fn wide(instrument: &Instrument) -> Option<Stream> {
    let is_wide = [EXCHANGES, VERSIONS].contains(&instrument.name());
    is_wide.then(|| Stream::builder().with_cardinality_limit(50_000).build().ok()).flatten()
}

const EXCHANGES: &str = "directlink.exchanges";
const VERSIONS: &str = "directlink.versions.used";

/// From a decoded refusal to the longest deadline.
const SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_under_names_that_operators_can_rely_on() {
        let metrics = Metrics::new().unwrap();
        metrics.exchange("one", "first", "REGISTERED", Duration::from_millis(3));
        metrics.registry_call(
            "north",
            RegistryCall::Submit,
            CallEnd::NoAnswer,
            Duration::from_secs(20),
        );
        metrics.ledger(LedgerVerb::Admit, &Ok::<(), ()>(()), Duration::from_millis(2));
        metrics.registry_paused("north", 1);
        metrics.shut_out("north", Shut::Full);
        metrics.impossible("north", "behind");
        metrics.watch_room("north", "filing", || Some(7));
        metrics.watch_room("south", "filing", || Some(8));
        metrics.unknown("north", Unknown { count: 3, oldest: Duration::from_millis(90_500) });
        metrics.offices_differing("north", 4);
        metrics.queued(&[("1".to_owned(), 2), ("2".to_owned(), 3)]);
        metrics.leaves_dropped("one", 2);
        metrics.integrity_mismatch("north");
        metrics.entry_untold("north");
        metrics.evidence_unwritten("one");
        metrics.evidence_size(7);
        metrics.evidence_signed(6);
        metrics.read_with("one", "2026a");
        metrics.contract("one", ContractEnd::Refused);
        metrics.contracts_outdated(1);
        metrics.settings(SettingsEnd::Refused);
        metrics.settings_outdated(true);
        metrics.turned_away(Protocol::Https, TurnedAway::Unknown);
        metrics.turned_back("one", TurnedBack::TooFast);
        metrics.certificate_expires(Holder::Registry, "north", UNIX_EPOCH + Duration::from_secs(5));
        metrics.watch_exchanges(|| 9);
        let standing = metrics.connection(Protocol::Tcp);
        let gone = metrics.connection(Protocol::Tcp);
        drop(gone);
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        for line in [
            r#"directlink_exchanges_total{institution="one",message="first",result="REGISTERED"} 1"#,
            r#"directlink_exchange_duration_seconds_count{message="first"} 1"#,
            r#"directlink_registry_call_duration_seconds_count{call="submit",end="no_answer",registry="north"} 1"#,
            r#"directlink_ledger_duration_seconds_bucket{end="done",verb="admit",le="0.0025"} 1"#,
            r#"directlink_registry_paused{registry="north"} 1"#,
            r#"directlink_registry_shut_out_total{registry="north",why="full"} 1"#,
            r#"directlink_registry_impossible_total{registry="north",why="behind"} 1"#,
            r#"directlink_registry_calls_in_flight{purpose="filing",registry="north"} 7"#,
            r#"directlink_registry_calls_in_flight{purpose="filing",registry="south"} 8"#,
            r#"directlink_unknown_outcomes{registry="north"} 3"#,
            r#"directlink_unknown_outcomes_oldest_age_seconds{registry="north"} 90"#,
            r#"directlink_offices_differing{registry="north"} 4"#,
            "directlink_queued_filings 5",
            r#"directlink_leaves_dropped_total{institution="one"} 2"#,
            r#"directlink_integrity_mismatches_total{registry="north"} 1"#,
            r#"directlink_registry_entries_untold_total{registry="north"} 1"#,
            r#"directlink_evidence_unwritten_total{institution="one"} 1"#,
            "directlink_evidence_size 7",
            "directlink_evidence_signed 6",
            r#"directlink_versions_used_total{institution="one",version="2026a"} 1"#,
            r#"directlink_contracts_changed_total{contract="one",end="refused"} 1"#,
            "directlink_contracts_outdated 1",
            r#"directlink_settings_changed_total{end="refused"} 1"#,
            "directlink_settings_outdated 1",
            r#"directlink_callers_turned_away_total{port="https",why="unknown"} 1"#,
            r#"directlink_messages_turned_back_total{institution="one",why="too_fast"} 1"#,
            r#"directlink_certificate_expires{holder="registry",name="north"} 5"#,
            "directlink_exchanges_in_flight 9",
            r#"directlink_connections{port="tcp"} 1"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
        drop(standing);
    }
}
