//! Exchanges with banks: how many, what was answered, what was kept of them as evidence.

use std::time::Duration;

use opentelemetry::KeyValue;

use super::Metrics;
use crate::refusal::Code;

impl Metrics {
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

    /// A message of an institution was refused; the layer says whose trouble it is.
    pub fn refused(&self, institution: &str, code: Code) {
        let layer = code.layer().as_str_name().trim_start_matches("LAYER_");
        let labels = [
            KeyValue::new("institution", institution.to_owned()),
            KeyValue::new("code", code.as_str()),
            KeyValue::new("layer", layer),
        ];
        self.0.refusals.add(1, &labels);
    }

    /// How many messages are being answered is asked for whenever metrics are told.
    pub fn watch_exchanges(&self, under_way: impl Fn() -> usize + Send + Sync + 'static) {
        self.watch(
            "directlink.exchanges.in_flight",
            "Messages being answered, until the answer is taken",
            move || Some(under_way()),
            [],
        );
    }

    /// Items of one message were dropped because no contract knows them.
    pub fn leaves_dropped(&self, institution: &str, count: u64) {
        self.0.leaves_dropped.add(count, &[KeyValue::new("institution", institution.to_owned())]);
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

    /// Whether the log is not signed because it does not go on from what was signed before, or that cannot be read.
    pub fn evidence_refused(&self, is_refused: bool) {
        self.0.evidence_refused.record(is_refused.into(), &[]);
    }
}
