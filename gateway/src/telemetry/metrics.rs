//! What is counted and timed. Every label has a bounded set of values: names from settings and contracts, codes, and
//! the enums here; never anything a message says.
//!
//! One file a noun, each with the methods by which the rest of the house counts; `instruments.rs` has all names.

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::error::OTelSdkError;
use prometheus::{Encoder, TextEncoder};

mod books;
mod callers;
mod exchanges;
mod exemplars;
mod files;
mod instruments;
mod ledger;
mod notices;
mod open_metrics;
mod reading;
mod registries;
mod traces;

pub use callers::{Connection, Holder, TurnedAway, TurnedBack};
pub use files::{ContractEnd, SettingsEnd};
use instruments::Instruments;
pub use ledger::LedgerVerb;
pub use notices::Noticed;
pub use reading::Reading;
pub use registries::{CallEnd, Deadline, Heard, RegistryCall};
pub use traces::Lost;

/// The metrics of one gateway. Cheap to copy; all copies count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Instruments>);

impl Metrics {
    /// Metrics that all stand at nothing.
    ///
    /// # Errors
    /// Only if the metrics crates refuse names of ours.
    pub fn new() -> Result<Self, MetricsError> {
        Ok(Self(Arc::new(Instruments::new()?)))
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

    /// All metrics as OpenMetrics writes them, with exemplars, for [`Metrics::OPEN_MEDIA_TYPE`].
    pub fn open_text(&self) -> String {
        let families = self.0.registry.gather();
        open_metrics::written(&families, EXEMPLIFIED, &self.0.exemplars)
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

    /// `Content-Type` of [`Metrics::open_text`].
    pub const OPEN_MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
}

/// Of which exemplars are told: how long banks wait.
const EXEMPLIFIED: &str = "directlink_exchange_duration_seconds";

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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use opentelemetry::trace::TraceId;

    use super::*;
    use crate::{ledger::Unknown, registry::Shut, tls::Protocol};

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

    #[test]
    fn whoever_reads_open_metrics_finds_a_trace_of_what_took_long() {
        let (metrics, trace) = (Metrics::new().unwrap(), TraceId::from(7));
        metrics.exchange("one", "first \"quoted\"", "REGISTERED", Duration::from_secs(4));
        metrics.exemplar("first \"quoted\"", Duration::from_secs(4), trace);
        metrics.exemplar("first \"quoted\"", Duration::from_secs(99), trace);
        metrics.unknown("north", Unknown { count: 3, oldest: Duration::ZERO });
        let text = metrics.open_text();
        for line in [
            "# TYPE directlink_exchanges counter",
            r#"directlink_exchanges_total{institution="one",message="first \"quoted\"",result="REGISTERED"} 1"#,
            "# TYPE directlink_unknown_outcomes gauge",
            r#"directlink_unknown_outcomes{registry="north"} 3"#,
            r#"directlink_exchange_duration_seconds_bucket{message="first \"quoted\"",le="1.0"} 0"#,
            r#"directlink_exchange_duration_seconds_count{message="first \"quoted\""} 1"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
        let with = |bound: &str| {
            let bucket = text.lines().find(|line| line.contains(bound)).unwrap();
            bucket.split_once(" # ").map(|(_, exemplar)| exemplar.to_owned()).unwrap_or_default()
        };
        let found = r#"{trace_id="00000000000000000000000000000007"} "#;
        assert!(with(r#"le="10.0""#).starts_with(&format!("{found}4 ")), "{text}");
        assert!(with(r#"le="+Inf""#).starts_with(&format!("{found}99 ")), "{text}");
        assert_eq!(with(r#"le="2.5""#), "");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
    }
}
