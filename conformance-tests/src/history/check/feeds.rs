//! Feeds of events: at the end, and as readers read them while things failed. docs/events.md says what banks were promised:
//! an event keeps its identifier for good, and whoever goes on from place to place reads each once, in the feed's order.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Event;

/// The banks' feeds, by bank.
#[derive(Debug, Default)]
pub(super) struct Feeds<'h>(BTreeMap<&'h str, Feed<'h>>);

#[derive(Debug, Default)]
struct Feed<'h> {
    /// At the end, in order.
    whole: Vec<&'h Event>,
    /// What was read meanwhile, from the beginning on.
    readings: BTreeMap<u64, Vec<&'h Event>>,
}

impl<'h> Feeds<'h> {
    /// A feed goes on with an event.
    pub(super) fn holds(&mut self, bank: &'h str, event: &'h Event) {
        self.0.entry(bank).or_default().whole.push(event);
    }

    /// A reading goes on with events.
    pub(super) fn read(&mut self, bank: &'h str, reading: u64, events: &'h [Event]) {
        self.0.entry(bank).or_default().readings.entry(reading).or_default().extend(events);
    }

    /// What is wrong, by bank.
    pub(super) fn judge(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (bank, feed) in &self.0 {
            let mut told = |how| wrong.push(((*bank).to_owned(), how));
            let mut named = BTreeSet::new();
            let twice = feed.whole.iter().filter(|event| !named.insert(&event.id));
            twice.for_each(|event| told(format!("{} names two events", event.id)));
            for (number, read) in &feed.readings {
                // What was read is the feed's beginning: nothing left out, put in, changed or read again.
                let ends_at = read.iter().zip(&feed.whole).take_while(|(read, held)| read == held);
                let ends_at = ends_at.count();
                if let Some(event) = read.get(ends_at) {
                    let held = feed.whole.get(ends_at);
                    told(format!("reading {number}: {event:?} was read where {held:?} stands"));
                }
            }
        }
        wrong
    }
}
