//! What operators see: logs as JSON lines, traces over OTLP, metrics for Prometheus.
//!
//! Nothing here waits on anybody: traces are exported from a queue that drops when it is full. No message's content, no
//! name and no number of a person or a case's papers goes into a log, a span or a label. Source: OpenTelemetry
//! specification, W3C Trace Context.

use std::{env, process, time::Duration};

use opentelemetry::global;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, ParseError, Targets},
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::settings;

mod arrival;
mod case;
mod collector;
mod export;
mod keeping;
mod lines;
mod metrics;
mod open;
mod spans;
mod step;
mod trace;

pub use arrival::Arrival;
pub use case::trace as case_trace;
use collector::Collector;
pub use collector::NoCollector;
use keeping::Keeping;
pub use metrics::{
    CallEnd, Connection, ContractEnd, Deadline, Heard, Holder, LedgerVerb, Lost, Metrics,
    MetricsError, Noticed, Reading, RegistryCall, SettingsEnd, TurnedAway, TurnedBack,
};

pub use open::{Around, Open};
pub use spans::{Attribute, Said};
pub use step::{Peer, Step};
pub use trace::{Later, about, conclude, exchange, later, step, trace, trace_id};

/// Logs and traces of this process, from start to stop.
#[derive(Debug)]
pub struct Telemetry {
    /// Who exports traces, and what tells it to come to an end.
    exporting: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Telemetry {
    /// Starts logging and tracing for the whole process; once. Call it inside a tokio runtime: traces are exported on
    /// it.
    ///
    /// # Errors
    /// A setting that cannot be used, or a second start.
    pub fn start(settings: &settings::Telemetry, metrics: Metrics) -> Result<Self, TelemetryError> {
        let collector = Collector::of(settings)?;
        let logged = lines::Lines::new(std::io::stderr).with_filter(log_filter(&settings.log)?);
        tracing_subscriber::registry().with(logged).try_init()?;
        global::set_text_map_propagator(TraceContextPropagator::new());
        let exporting = collector.map(|collector| {
            let (queue, exporter) = export::queue(settings.trace_queue_bytes_max, metrics);
            Keeping::new(settings.trace_one_in, settings.trace_slow, queue).begin();
            let (stop, resource) = (CancellationToken::new(), resource(settings));
            let exported = exporter.run(collector, resource, stop.clone());
            (stop, tokio::spawn(exported))
        });
        Ok(Self { exporting })
    }

    /// Exports what is still queued, for a few seconds at most.
    ///
    /// # Errors
    /// Some traces were not exported.
    pub async fn stop(self) -> Result<(), TelemetryError> {
        let Some((stop, exported)) = self.exporting else { return Ok(()) };
        stop.cancel();
        timeout(LAST_MAX, exported).await.map(|_ended| ()).map_err(TelemetryError::Stop)
    }
}

/// How long a process that stops waits for its last traces.
const LAST_MAX: Duration = Duration::from_secs(5);

/// Whether traces could be exported as settings say.
///
/// # Errors
/// Why not.
pub fn check(settings: &settings::Telemetry) -> Result<(), NoCollector> {
    Collector::of(settings).map(|_there| ())
}

/// Who speaks.
fn resource(settings: &settings::Telemetry) -> Resource {
    let instance = settings.instance.clone().or_else(|| env::var("HOSTNAME").ok());
    let said: [Attribute; 3] = [
        ("service.name", "directlink".into()),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
        ("service.instance.id", instance.unwrap_or_else(|| process::id().to_string()).into()),
    ];
    let attributes = said.into_iter().map(spans::attribute).collect();
    Resource { attributes, ..Resource::default() }
}

/// Why telemetry could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `telemetry.otlp` cannot be exported to.
    #[error("traces cannot be exported")]
    Exporter(#[from] NoCollector),
    /// `telemetry.log` is no level and no list of levels.
    #[error("what to log was not understood")]
    Log(#[from] ParseError),
    /// Something else in the process has taken logging over.
    #[error("logging was started before")]
    Started(#[from] TryInitError),
    /// The queue could not be emptied in time.
    #[error("some traces were not exported")]
    Stop(#[source] tokio::time::error::Elapsed),
}

/// Reads the setting `telemetry.log`. A level alone is that of our own parts; others are then logged from `warn` on, as
/// what libraries say below that is written for their authors.
///
/// # Errors
/// The text is neither a level nor `part=level` pairs.
pub fn log_filter(text: &str) -> Result<Targets, ParseError> {
    match text.trim().parse::<LevelFilter>() {
        Ok(level) => {
            let own = OWN.iter().map(|part| (*part, level)).collect::<Targets>();
            Ok(own.with_default(level.min(LevelFilter::WARN)))
        }
        Err(_) => text.parse(),
    }
}

/// Targets of our own crates and program.
const OWN: [&str; 4] = ["gateway", "adapters", "proto", "directlink"];

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_alone_is_for_our_own_parts() {
        let debug = log_filter("debug").unwrap();
        assert!(debug.would_enable("gateway::exchange", &Level::DEBUG));
        assert!(
            !debug.would_enable("h2::codec", &Level::INFO)
                && debug.would_enable("h2::codec", &Level::WARN)
        );
        let error = log_filter("error").unwrap();
        assert!(!error.would_enable("h2::codec", &Level::WARN));
        let parts = log_filter("gateway=warn,h2=debug").unwrap();
        assert!(
            parts.would_enable("h2::codec", &Level::DEBUG)
                && !parts.would_enable("gateway", &Level::INFO)
        );
        assert!(log_filter("gateway=loud").is_err());
    }
}
