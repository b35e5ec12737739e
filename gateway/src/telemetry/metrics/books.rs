//! What registries entered, compared with what was asked for, and their books with ours.

use opentelemetry::KeyValue;

use super::Metrics;

impl Metrics {
    /// A registry registered something else than was asked for.
    pub fn integrity_mismatch(&self, registry: &str) {
        let labels = [KeyValue::new("registry", registry.to_owned())];
        self.0.integrity_mismatches.add(1, &labels);
    }

    /// A registry told that a case is registered, and not what it entered.
    pub fn entry_untold(&self, registry: &str) {
        self.0.entries_untold.add(1, &[KeyValue::new("registry", registry.to_owned())]);
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
}
