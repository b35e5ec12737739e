//! Notices that banks were sent while things failed, held against their feeds. docs/notices.md says what they were promised:
//! every event of theirs, those of a case in its order, the same event again always as the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::{Event, Filing, Notice};
use super::{About, Promise};

/// What banks that subscribe were told, by bank.
#[derive(Debug, Default)]
pub(super) struct Notices<'h>(BTreeMap<&'h str, Bank<'h>>);

#[derive(Debug, Default)]
struct Bank<'h> {
    subscribes: bool,
    /// In the order in which they came.
    told: Vec<&'h Notice>,
    /// The bank's feed at the end: the event of each identifier, and of which filing it is.
    feed: HashMap<&'h str, (&'h Filing, &'h Event)>,
}

impl<'h> Notices<'h> {
    /// A bank is told from here on.
    pub(super) fn subscribes(&mut self, bank: &'h str) {
        self.0.entry(bank).or_default().subscribes = true;
    }

    /// A bank is sent a notice.
    pub(super) fn told(&mut self, bank: &'h str, notice: &'h Notice) {
        self.0.entry(bank).or_default().told.push(notice);
    }

    /// A bank's feed has an event.
    pub(super) fn holds(&mut self, filing: &'h Filing, event: &'h Event) {
        let feed = &mut self.0.entry(&filing.bank).or_default().feed;
        feed.insert(&event.id, (filing, event));
    }

    /// How many came, those that came again included.
    pub(super) fn count(&self) -> u64 {
        self.0.values().map(|bank| bank.told.len() as u64).sum()
    }

    /// What is wrong, once nothing fails any more.
    pub(super) fn judge(&self) -> Vec<(About, Promise, String)> {
        self.0.iter().flat_map(|(name, bank)| bank.judge(name)).collect()
    }
}

impl Bank<'_> {
    fn judge(&self, name: &str) -> Vec<(About, Promise, String)> {
        let mut wrong = Vec::new();
        let mut first: HashMap<&str, &Notice> = HashMap::new();
        // Of each filing, the number up to which it has taken all.
        let mut taken: HashMap<&Filing, i64> = HashMap::new();
        for notice in self.told.iter().copied() {
            let Event { id, number, .. } = &notice.event;
            let Some((filing, event)) = self.feed.get(id.as_str()) else {
                let how = format!("{id} was told, and the feed has no such event");
                wrong.push((About::Bank(name.to_owned()), Promise::Mistold, how));
                continue;
            };
            let mut mistold =
                |how| wrong.push((About::Filing((*filing).clone()), Promise::Mistold, how));
            let before = *first.entry(id.as_str()).or_insert(notice);
            if (&before.event, &before.content) != (&notice.event, &notice.content) {
                mistold(format!("{id} was told as two things"));
            } else if notice.event != **event {
                mistold(format!("{id} was told otherwise than the feed has it"));
            }
            let all = taken.entry(*filing).or_default();
            if *number > *all + 1 {
                mistold(format!("event {number} was told when {all} were taken"));
            }
            if notice.taken {
                *all = (*all).max(*number);
            }
        }
        if self.subscribes {
            let told = self.told.iter().filter(|it| it.taken).map(|it| it.event.id.as_str());
            let told: BTreeSet<_> = told.collect();
            let untold = self.feed.values().filter(|(_, event)| !told.contains(event.id.as_str()));
            wrong.extend(untold.map(|(filing, event)| {
                let how = format!("event {} was never told", event.number);
                (About::Filing((*filing).clone()), Promise::Untold, how)
            }));
        }
        wrong
    }
}
