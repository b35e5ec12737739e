//! What operators see: logs as JSON lines, traces over OTLP, metrics for Prometheus.
//!
//! Nothing here waits on anybody: traces are exported from a queue that drops when it is full. No message's content, no
//! name and no number of a person or a case's papers goes into a log, a span or a label. Source: OpenTelemetry
//! specification, W3C Trace Context.

use std::{env, process, sync::OnceLock, time::Duration};

use http::HeaderMap;
use opentelemetry::{
    Context, KeyValue, global,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, TraceContextExt, TraceFlags, TraceState, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    propagation::TraceContextPropagator,
    trace::{
        IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SdkTracerProvider, ShouldSample,
    },
};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, ParseError, Targets},
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::settings;

mod lines;
mod metrics;

pub use metrics::{
    CallEnd, Connection, ContractEnd, Deadline, Heard, Holder, LedgerVerb, Metrics, MetricsError,
    Noticed, Reading, RegistryCall, SettingsEnd, TurnedAway, TurnedBack,
};

/// Logs and traces of this process, from start to stop.
#[derive(Debug)]
pub struct Telemetry {
    tracer: SdkTracerProvider,
}

impl Telemetry {
    /// Starts logging and tracing for the whole process; once. Call it inside a tokio runtime: traces are exported on
    /// it.
    ///
    /// # Errors
    /// A setting that cannot be used, or a second start.
    pub fn start(settings: &settings::Telemetry) -> Result<Self, TelemetryError> {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let tracer = tracer(settings)?;
        let traced = tracing_opentelemetry::layer()
            .with_tracer(tracer.tracer("directlink"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            // How long a span was busy and idle is timed at each entry and exit, sampled or not.
            .with_tracked_inactivity(false)
            // Nothing here asks for the current OpenTelemetry context; spans are asked for theirs.
            .with_context_activation(false)
            // Spans of our own only: those of the HTTP and TLS crates would trace the export of traces.
            .with_filter(OWN.iter().map(|part| (*part, LevelFilter::INFO)).collect::<Targets>());
        let logged = lines::Lines::new(std::io::stderr).with_filter(log_filter(&settings.log)?);
        tracing_subscriber::registry().with(traced).with(logged).try_init()?;
        Ok(Self { tracer })
    }

    /// Exports what is still queued, for a few seconds at most. Blocks: call it where nothing else waits.
    ///
    /// # Errors
    /// Some traces were not exported.
    pub fn stop(self) -> Result<(), TelemetryError> {
        Ok(self.tracer.shutdown_with_timeout(Duration::from_secs(5))?)
    }
}

tokio::task_local! {
    /// The trace of the exchange this task works on, if nothing of it is recorded here.
    static UNRECORDED: Option<Context>;
}

/// How it is decided which traces that nobody began are recorded here; set once, by [`Telemetry::start`].
static SAMPLER: OnceLock<Sampler> = OnceLock::new();

/// Works on an exchange in the trace `parent` tells of, or in one of its own. Only if that is recorded here `span` makes the
/// exchange's span, and its steps get theirs: nine in ten are not, and spans cost all the same.
pub async fn traced<T>(
    parent: Context,
    span: impl FnOnce() -> Span,
    work: impl Future<Output = T>,
) -> T {
    match unrecorded(parent) {
        Ok(parent) => {
            let span = span();
            // A parent that cannot be set leaves the exchange in a trace of its own.
            let _unset = span.set_parent(parent);
            UNRECORDED.scope(None, work.instrument(span)).await
        }
        Err(trace) => UNRECORDED.scope(Some(trace), work).await,
    }
}

/// The parent given back, of what is to be recorded; else the trace that others are told of, and logs tell.
fn unrecorded(parent: Context) -> Result<Context, Context> {
    let begun = parent.span().span_context().clone();
    let new = RandomIdGenerator::default();
    let trace = if begun.is_valid() { begun.trace_id() } else { new.new_trace_id() };
    let kind = opentelemetry::trace::SpanKind::Server;
    let decided = SAMPLER
        .get()
        .map(|sampler| sampler.should_sample(Some(&parent), trace, "exchange", &kind, &[], &[]));
    match decided.map(|decided| decided.decision) {
        Some(SamplingDecision::RecordAndSample | SamplingDecision::RecordOnly) => Ok(parent),
        Some(SamplingDecision::Drop) | None if begun.is_valid() => Err(parent),
        Some(SamplingDecision::Drop) | None => {
            let (span, none) = (new.new_span_id(), TraceFlags::NOT_SAMPLED);
            let own = SpanContext::new(trace, span, none, false, TraceState::NONE);
            Err(parent.with_remote_span_context(own))
        }
    }
}

/// The trace at hand, as registries are told of it.
pub fn trace() -> Context {
    let unrecorded = UNRECORDED.try_with(Option::clone).ok().flatten();
    unrecorded.unwrap_or_else(|| Span::current().context())
}

/// The trace at hand by its id, 32 hexadecimal digits, as logs and registries are told of it; `None` if there is none.
pub fn trace_id() -> Option<String> {
    let context = trace();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// The span of one step: of an exchange, if its trace is recorded; or of what works on its own.
pub fn step(name: &'static str, kind: SpanKind) -> Span {
    let skipped = match UNRECORDED.try_with(Option::is_some) {
        Ok(unrecorded) => unrecorded,
        Err(_works_on_its_own) => unrecorded(Context::new()).is_err(),
    };
    if skipped {
        return Span::none();
    }
    match kind {
        SpanKind::Internal => tracing::info_span!("step", otel.name = name),
        SpanKind::Client => tracing::info_span!("step", otel.name = name, otel.kind = "client"),
    }
}

/// Where a step happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// In this process.
    Internal,
    /// At whom it calls.
    Client,
}

/// Why telemetry could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `telemetry.otlp` cannot be exported to.
    #[error("traces cannot be exported")]
    Exporter(#[from] ExporterBuildError),
    /// `telemetry.log` is no level and no list of levels.
    #[error("what to log was not understood")]
    Log(#[from] ParseError),
    /// Something else in the process has taken logging over.
    #[error("logging was started before")]
    Started(#[from] TryInitError),
    /// The queue could not be emptied in time.
    #[error("some traces were not exported")]
    Stop(#[from] OTelSdkError),
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

/// The trace a bank's request belongs to, from its `traceparent` and `tracestate`; an empty context if it has none.
pub fn parent_of(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

fn tracer(settings: &settings::Telemetry) -> Result<SdkTracerProvider, TelemetryError> {
    let instance = settings.instance.clone().or_else(|| env::var("HOSTNAME").ok());
    let resource = Resource::builder()
        .with_service_name("directlink")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new(
            "service.instance.id",
            instance.unwrap_or_else(|| process::id().to_string()),
        ))
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    // What is not to be recorded has no span at all, so whatever has one is. Nobody can start telemetry twice.
    let builder = builder.with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
    let Some(address) = &settings.otlp else {
        // Nothing is exported, but logs and registries are still told the trace the bank began.
        let _set_before = SAMPLER.set(Sampler::AlwaysOff);
        return Ok(builder.build());
    };
    let _set_before = SAMPLER.set(sampler(settings.trace_one_in));
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(address)
        .with_timeout(Duration::from_secs(5))
        .build()?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// A bank that traces decides for its own exchanges; otherwise one in so many is traced, none if 0.
fn sampler(trace_one_in: u32) -> Sampler {
    Sampler::ParentBased(Box::new(match trace_one_in {
        0 => Sampler::AlwaysOff,
        1 => Sampler::AlwaysOn,
        several => Sampler::TraceIdRatioBased(f64::from(several).recip()),
    }))
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt;
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

    #[test]
    fn the_banks_trace_is_taken_up_and_nonsense_is_not() {
        let mut headers = HeaderMap::new();
        assert!(!parent_of(&headers).span().span_context().is_valid());
        headers.insert(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap(),
        );
        let parent = parent_of(&headers);
        assert_eq!(
            parent.span().span_context().trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert!(
            parent.span().span_context().is_sampled() && parent.span().span_context().is_remote()
        );
        headers.insert("traceparent", "00-zz-01".parse().unwrap());
        assert!(!parent_of(&headers).span().span_context().is_valid());
    }
}
