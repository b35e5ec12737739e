//! Log lines: one JSON object a line, with the trace it belongs to.
//!
//! A line holds its own fields and the trace of the work at hand, if its task has one.

use std::{fmt, io::Write};

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{fmt::MakeWriter, layer::Context};

use super::trace;

/// Writes each event as a line to what `W` makes.
pub(super) struct Lines<W>(W);

impl<W> Lines<W> {
    pub(super) fn new(make_writer: W) -> Self {
        Self(make_writer)
    }
}

impl<S, W> tracing_subscriber::Layer<S> for Lines<W>
where
    S: Subscriber,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Map::new();
        let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        line.insert("time".to_owned(), time.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        event.record(&mut Fields(&mut line));
        if let Some(trace) = trace::context() {
            line.insert("trace_id".to_owned(), trace.trace_id().to_string().into());
            line.insert("span_id".to_owned(), trace.span_id().to_string().into());
        }
        let mut bytes = Value::Object(line).to_string().into_bytes();
        bytes.push(b'\n');
        // One write a line, so that lines of several threads stay whole. Nobody can be told of a failure.
        let _unwritten = self.0.make_writer().write_all(&bytes);
    }
}

struct Fields<'l>(&'l mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(Some(value), |error| error.source());
        let told: Vec<String> = causes.map(ToString::to_string).collect();
        self.insert(field, told.join(": "));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_its_fields_and_the_trace_of_the_work_at_hand() {
        let kept = Kept::default();
        let lines = Lines::new({
            let kept = kept.clone();
            move || kept.clone()
        });
        let subscriber = tracing::Dispatch::new(tracing_subscriber::registry().with(lines));
        let begun = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        tracing::dispatcher::with_default(&subscriber, || {
            tracing::warn!(count = 3, "outside");
            trace::scoped(begun, || tracing::info!("inside\nstill"));
            trace::scoped("", || tracing::info!("begun here"));
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[0]["message"], &lines[0]["count"]), (&"outside".into(), &3.into()));
        assert_eq!(lines[0].get("trace_id"), None);
        assert_eq!(lines[1]["message"], "inside\nstill");
        assert_eq!(lines[1]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(lines[1]["span_id"], "b7ad6b7169203331", "who notes nothing is not in between");
        assert_eq!(lines[2]["trace_id"].as_str().unwrap().len(), 32);
    }
}
