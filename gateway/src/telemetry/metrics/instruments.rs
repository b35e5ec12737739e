//! All that is counted and timed, by name, with what it says.

use opentelemetry::metrics::{Counter, Gauge, Histogram, MeterProvider, UpDownCounter};
use opentelemetry_sdk::{
    error::OTelSdkError,
    metrics::{Instrument, SdkMeterProvider, Stream},
};

use super::exemplars::Exemplars;

/// One handle a name.
#[derive(Debug)]
pub(super) struct Instruments {
    pub(super) exchanges: Counter<u64>,
    pub(super) exchange_duration: Histogram<f64>,
    pub(super) refusals: Counter<u64>,
    pub(super) filing_duration: Histogram<f64>,
    pub(super) registry_call_duration: Histogram<f64>,
    pub(super) ledger_duration: Histogram<f64>,
    pub(super) registry_paused: Gauge<u64>,
    pub(super) shut_out: Counter<u64>,
    pub(super) impossible: Counter<u64>,
    pub(super) heard: Counter<u64>,
    pub(super) deadlines: Counter<u64>,
    pub(super) notices: Counter<u64>,
    pub(super) notices_parked: Counter<u64>,
    pub(super) notices_waiting: Gauge<u64>,
    pub(super) notices_parked_now: Gauge<u64>,
    pub(super) notices_oldest: Gauge<u64>,
    pub(super) subscribers_ended: Gauge<u64>,
    pub(super) unknown: Gauge<u64>,
    pub(super) unknown_oldest: Gauge<u64>,
    pub(super) offices_differing: Gauge<u64>,
    pub(super) queued: Gauge<u64>,
    pub(super) leaves_dropped: Counter<u64>,
    pub(super) integrity_mismatches: Counter<u64>,
    pub(super) reconciled: Counter<u64>,
    pub(super) open_findings: Gauge<u64>,
    pub(super) entries_untold: Counter<u64>,
    pub(super) evidence_unwritten: Counter<u64>,
    pub(super) evidence_size: Gauge<u64>,
    pub(super) evidence_signed: Gauge<u64>,
    pub(super) evidence_refused: Gauge<u64>,
    pub(super) versions_used: Counter<u64>,
    pub(super) contracts_changed: Counter<u64>,
    pub(super) contracts_outdated: UpDownCounter<i64>,
    pub(super) settings_changed: Counter<u64>,
    pub(super) settings_outdated: Gauge<u64>,
    pub(super) connections: UpDownCounter<i64>,
    pub(super) turned_away: Counter<u64>,
    pub(super) turned_back: Counter<u64>,
    pub(super) certificate_expires: Gauge<u64>,
    pub(super) traces_lost: Counter<u64>,
    pub(super) exemplars: Exemplars,
    pub(super) registry: prometheus::Registry,
    /// Kept: once it is dropped nothing is counted any more.
    pub(super) provider: SdkMeterProvider,
}

impl Instruments {
    /// All of them, standing at nothing.
    pub(super) fn new() -> Result<Self, OTelSdkError> {
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
        Ok(Self {
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
            refusals: meter
                .u64_counter(REFUSALS)
                .with_description(
                    "Messages refused by the gateway, by institution, code, and the layer in which the trouble is",
                )
                .build(),
            filing_duration: seconds(
                FILINGS,
                "Filings handed to an office, from the first try to the last, by what came of it",
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
            evidence_refused: meter
                .u64_gauge("directlink.evidence.refused")
                .with_description(
                    "1 while the log is not signed: it does not go on from what was signed before, or that cannot be read",
                )
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
                .with_description("Connections of known callers that stand")
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
            traces_lost: meter
                .u64_counter("directlink.traces.lost")
                .with_description("Traces that were to be kept and did not reach their collector, by why")
                .build(),
            exemplars: Exemplars::default(),
            registry,
            provider,
        })
    }
}

/// Hundreds of institutions or offices times messages times results are more than the 2,000 sets of labels kept by default.
fn wide(instrument: &Instrument) -> Option<Stream> {
    let is_wide = [EXCHANGES, REFUSALS, FILINGS, VERSIONS].contains(&instrument.name());
    is_wide.then(|| Stream::builder().with_cardinality_limit(50_000).build().ok()).flatten()
}

const EXCHANGES: &str = "directlink.exchanges";
const REFUSALS: &str = "directlink.refusals";
const FILINGS: &str = "directlink.filing.duration";
const VERSIONS: &str = "directlink.versions.used";

/// From a decoded refusal to the longest deadline.
pub(super) const SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
