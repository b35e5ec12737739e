//! Metrics as they stand, in whole numbers, for those who show them.

use std::collections::BTreeMap;

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
    pub(super) fn of(name: &str, metric: &prometheus::proto::Metric) -> Self {
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
