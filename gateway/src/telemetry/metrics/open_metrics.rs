//! Metrics as OpenMetrics 1.0 writes them, the form that has exemplars. The crates in use write Prometheus' older form alone
//! (docs/decisions/0032).

use std::{fmt::Write, time::UNIX_EPOCH};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::exemplars::{Exemplar, Exemplars};

/// Everything, with the exemplars of the metric `exemplified`, found by its label `message`.
pub(super) fn written(
    families: &[MetricFamily],
    exemplified: &str,
    exemplars: &Exemplars,
) -> String {
    let mut text = String::new();
    for family in families {
        let (name, kind) = (family.name(), family.get_field_type());
        let (base, kind, ending) = match kind {
            MetricType::COUNTER => (name.trim_end_matches("_total"), "counter", "_total"),
            MetricType::HISTOGRAM => (name, "histogram", ""),
            MetricType::GAUGE => (name, "gauge", ""),
            MetricType::SUMMARY | MetricType::UNTYPED => (name, "unknown", ""),
        };
        line(&mut text, format_args!("# TYPE {base} {kind}"));
        line(&mut text, format_args!("# HELP {base} {}", escaped(family.help())));
        for metric in family.get_metric() {
            let labels = labels(metric.get_label());
            match family.get_field_type() {
                MetricType::COUNTER => {
                    let value = metric.get_counter().get_value();
                    line(&mut text, format_args!("{base}{ending}{} {value}", braced(&labels)));
                }
                MetricType::GAUGE => {
                    let value = metric.get_gauge().get_value();
                    line(&mut text, format_args!("{base}{} {value}", braced(&labels)));
                }
                MetricType::HISTOGRAM => {
                    let of = (base == exemplified).then_some(exemplars);
                    histogram(&mut text, base, metric, &labels, of);
                }
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }
    text.push_str("# EOF\n");
    text
}

fn histogram(
    text: &mut String,
    name: &str,
    metric: &Metric,
    labels: &str,
    exemplars: Option<&Exemplars>,
) {
    let message = metric.get_label().iter().find(|label| label.name() == "message");
    let message = message.map_or("", |label| label.value());
    let exemplar = |bucket: usize| exemplars.and_then(|it| it.of(message, bucket));
    let with = if labels.is_empty() { "" } else { "," };
    let histogram = metric.get_histogram();
    let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
    let buckets = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let mut finite = 0;
    for (number, bucket) in buckets.enumerate() {
        let (bound, below) = (bucket.upper_bound(), bucket.cumulative_count());
        let told = told(exemplar(number));
        line(text, format_args!("{name}_bucket{{{labels}{with}le=\"{bound:?}\"}} {below}{told}"));
        finite = number.saturating_add(1);
    }
    let told = told(exemplar(finite));
    line(text, format_args!("{name}_bucket{{{labels}{with}le=\"+Inf\"}} {count}{told}"));
    line(text, format_args!("{name}_sum{} {sum}", braced(labels)));
    line(text, format_args!("{name}_count{} {count}", braced(labels)));
}

fn told(exemplar: Option<Exemplar>) -> String {
    let Some(Exemplar { trace, seconds, at }) = exemplar else { return String::new() };
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = at.subsec_millis();
    format!(" # {{trace_id=\"{trace}\"}} {seconds} {}.{milliseconds:03}", at.as_secs())
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a text does not fail.
    let _written = writeln!(text, "{line}");
}

fn labels(labels: &[LabelPair]) -> String {
    let pair = |it: &LabelPair| format!("{}=\"{}\"", it.name(), escaped(it.value()));
    labels.iter().map(pair).collect::<Vec<_>>().join(",")
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
