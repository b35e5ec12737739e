//! What the recording pass remembers: faults, and where every canonical field stands or should
//! stand.

use std::ops::Range;

use super::{
    Reader, Stop,
    document::{Spot, Where},
};
use crate::{
    explain,
    fault::{Fault, FaultCode},
    path::Path,
    template::{Hole, Leaf, Slot},
};

/// Faults and places of one message. Offsets are in the message's text, not yet in its bytes.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// What is wrong so far.
    pub(crate) faults: Vec<Fault>,
    /// Where fields stand.
    pub(crate) stands: Vec<Stands>,
    /// Fields that a told fault already speaks for, with all that is in them.
    pub(crate) tainted: Vec<String>,
    /// The item at hand, as it is told.
    prefix: String,
    /// Whether it is remembered to which byte a value reaches, and who reads it: nobody but lineage asks.
    whole: bool,
}

/// Faults told of one message. Whoever has more of them has sent something else altogether, and each
/// costs a look through the whole message.
const FAULTS_MAX: usize = 200;

/// Fields whose places are remembered, for the same reason; what stands behind them is told at the
/// nearest thing that holds it.
const STANDS_MAX: usize = 5_000;

/// Where one field stands, or should.
#[derive(Debug, Clone)]
pub(crate) struct Stands {
    /// The field.
    pub(crate) field: String,
    /// Its place.
    pub(crate) place: String,
    /// Its offset.
    pub(crate) offset: usize,
    /// What stands there, as it may be shown; `None` if nothing does.
    pub(crate) found: Option<String>,
    /// Where its text begins and ends, and the hole of the template that reads it; `None` where nobody asked.
    pub(crate) text: Option<(Range<usize>, Range<usize>)>,
}

impl Record {
    /// One that remembers where values begin and end too.
    pub(crate) fn whole() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// Where a field stands, or what should hold it.
    pub(crate) fn find(&self, field: &str) -> Option<&Stands> {
        let mut wanted = field;
        loop {
            if let Some(stands) = self.stands.iter().find(|stands| stands.field == wanted) {
                return Some(stands);
            }
            // A list that stands nowhere itself is where its first item's first field is.
            let inside = |stands: &&Stands| {
                stands.field.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(['.', '[']))
            };
            if let Some(stands) = self.stands.iter().find(inside) {
                return Some(stands);
            }
            wanted = wanted.rsplit_once(['.', '[']).map(|(before, _)| before)?;
        }
    }

    /// Tells a fault of a field, at its place.
    pub(crate) fn tell(&mut self, code: FaultCode, field: String) {
        if self.is_full() {
            return;
        }
        let stands = self.find(&field).cloned();
        let (place, offset, found) = stands
            .map_or((String::new(), 0, None), |stands| (stands.place, stands.offset, stands.found));
        self.faults.push(Fault { code, place, offset, field: Some(field), found, expected: None });
    }

    fn is_full(&self) -> bool {
        self.faults.len() >= FAULTS_MAX
    }

    /// Whether a told fault already speaks for a field: for it, for what holds it, or for something
    /// in it.
    pub(crate) fn is_spoken_for(&self, field: &str) -> bool {
        self.tainted.iter().any(|tainted| speaks_for(tainted, field))
    }
}

impl<'c> Reader<'c> {
    pub(super) fn prefix(&self) -> &str {
        self.record.as_ref().map_or("", |record| record.prefix.as_str())
    }

    /// Goes into an item or message; gives the prefix to come back to.
    pub(super) fn enter(&mut self, told: impl FnOnce(&str) -> String, spot: Spot<'_>) -> String {
        let told_by = &self.template.told_by;
        let Some(record) = &mut self.record else { return String::new() };
        let inner = told(&record.prefix);
        if record.stands.len() < STANDS_MAX {
            let (at, field) = (Where::Start(spot), inner.clone());
            let (place, offset) = (at.place(told_by), at.offset());
            record.stands.push(Stands { field, place, offset, found: None, text: None });
        }
        std::mem::replace(&mut record.prefix, inner)
    }

    pub(super) fn leave(&mut self, around: String) {
        if let Some(record) = &mut self.record {
            record.prefix = around;
        }
    }

    /// Remembers where a hole's field stands.
    pub(super) fn note(
        &mut self,
        hole: &Hole,
        at: Where<'_, '_>,
        column: Option<usize>,
        found: Option<&str>,
    ) {
        if self.record.is_some() {
            self.note_path(&hole.path, at, column);
        }
        let Some(record) = &mut self.record else { return };
        let whole = record.whole;
        if let Some(stands) = record.stands.last_mut() {
            stands.found = found.map(|found| shown(found, hole.personal));
            let text = found.filter(|_| whole).and_then(|found| at.text(found.len()));
            stands.text = text.map(|text| (text, hole.span.range()));
        }
    }

    pub(super) fn note_path(&mut self, path: &Path, at: Where<'_, '_>, column: Option<usize>) {
        let told_by = &self.template.told_by;
        let Some(record) = &mut self.record else { return };
        if record.stands.len() >= STANDS_MAX {
            return;
        }
        let field = path.told(&record.prefix, column);
        record.stands.push(Stands {
            field,
            place: at.place(told_by),
            offset: at.offset(),
            found: None,
            text: None,
        });
    }

    /// Remembers where the fields of an absent slot should stand.
    pub(super) fn note_absent(&mut self, slot: &'c Slot, parent: Spot<'_>) {
        if self.record.is_some() {
            self.note_absent_on(&mut vec![slot], slot, parent);
        }
    }

    fn note_absent_on(&mut self, way: &mut Vec<&'c Slot>, slot: &'c Slot, parent: Spot<'_>) {
        let list = slot.each().into_iter().map(|each| &each.list);
        let paths = list
            .chain(slot.maybe().into_iter().map(|maybe| &maybe.path))
            .chain(slot.when().iter().map(|when| &when.path));
        for path in paths.chain(slot.leaf.iter().flat_map(Leaf::holes).map(|hole| &hole.path)) {
            self.note_path(path, Where::Missing(parent, way), None);
        }
        if slot.each().is_some() || slot.maybe().is_some_and(|maybe| maybe.scope.is_some()) {
            return;
        }
        for child in slot.inside() {
            way.push(child);
            self.note_absent_on(way, child, parent);
            way.pop();
        }
    }

    /// What a fault already speaks for is not told again by the rules.
    pub(super) fn taint(&mut self, slot: &'c Slot) {
        let Some(record) = &mut self.record else { return };
        if let Some(each) = slot.each() {
            record.tainted.push(each.list.told(&record.prefix, None));
            return;
        }
        if let Some(maybe) = slot.maybe() {
            record.tainted.push(maybe.path.told(&record.prefix, None));
            if maybe.scope.is_some() {
                return;
            }
        }
        for condition in slot.when() {
            record.tainted.push(condition.path.told(&record.prefix, None));
        }
        if let Some(leaf) = &slot.leaf {
            self.taint_leaf(leaf);
        }
        for child in slot.inside() {
            self.taint(child);
        }
    }

    pub(super) fn taint_leaf(&mut self, leaf: &Leaf) {
        let Some(record) = &mut self.record else { return };
        for hole in leaf.holes() {
            let told = hole.path.told(&record.prefix, None);
            // A column stands for its whole list.
            let told = told.split_once("[]").map_or(told.as_str(), |(list, _)| list);
            record.tainted.push(told.to_owned());
        }
    }

    pub(super) fn is_spoken_for(&self, path: &Path) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| record.is_spoken_for(&path.told(&record.prefix, None)))
    }

    /// The same, also by a fault of an earlier reading, which knows what stands behind.
    pub(super) fn was_spoken_for(&self, path: &Path) -> bool {
        let told = path.told(self.prefix(), None);
        let earlier = self.earlier.iter().flat_map(|earlier| &earlier.tainted);
        self.is_spoken_for(path) || earlier.into_iter().any(|tainted| speaks_for(tainted, &told))
    }

    pub(super) fn taint_path(&mut self, path: &str) {
        if let Some(record) = &mut self.record {
            record.tainted.push(path.to_owned());
        }
    }

    /// Tells a fault; in the fast pass, stops.
    pub(super) fn fault(
        &mut self,
        code: FaultCode,
        at: Where<'_, '_>,
        hole: Option<&Hole>,
        found: Option<&str>,
    ) -> Result<(), Stop> {
        self.fault_at(code, at, hole, None, found)
    }

    pub(super) fn fault_in_column(
        &mut self,
        code: FaultCode,
        at: Where<'_, '_>,
        hole: &Hole,
        column: usize,
        found: Option<&str>,
    ) -> Result<(), Stop> {
        self.fault_at(code, at, Some(hole), Some(column), found)
    }

    fn fault_at(
        &mut self,
        code: FaultCode,
        at: Where<'_, '_>,
        hole: Option<&Hole>,
        column: Option<usize>,
        found: Option<&str>,
    ) -> Result<(), Stop> {
        let template = self.template;
        let Some(record) = &mut self.record else { return Err(Stop) };
        let field = hole.map(|hole| hole.path.told(&record.prefix, column));
        record.tainted.extend(field.clone());
        if record.is_full() {
            return Ok(());
        }
        record.faults.push(Fault {
            code,
            place: at.place(&template.told_by),
            offset: at.offset(),
            field,
            found: found
                .filter(|found| !found.is_empty())
                .map(|found| shown(found, hole.is_some_and(|hole| hole.personal))),
            expected: hole.and_then(explain::wanted),
        });
        Ok(())
    }

    pub(super) fn fault_of_path(
        &mut self,
        code: FaultCode,
        at: Where<'_, '_>,
        path: &Path,
        column: usize,
    ) -> Result<(), Stop> {
        let template = self.template;
        let Some(record) = &self.record else { return Err(Stop) };
        let field = path.told(&record.prefix, path.column_list().map(|_| column));
        self.told(code, Some(field), || (at.place(&template.told_by), at.offset()))
    }

    pub(super) fn fault_of_list(
        &mut self,
        code: FaultCode,
        at: Where<'_, '_>,
        list: &Path,
    ) -> Result<(), Stop> {
        self.fault_of_path(code, at, list, 0)
    }

    /// A numbered item is left out: told at the first field behind it.
    pub(super) fn fault_of_gap(&mut self, list: &Path, number: usize) -> Result<(), Stop> {
        let Some(record) = &self.record else { return Err(Stop) };
        let list = list.told(&record.prefix, None);
        let field = format!("{list}[{number}]");
        if record.is_spoken_for(&field) {
            return Ok(());
        }
        let number_of = |stands: &Stands| -> Option<usize> {
            stands.field.strip_prefix(&list)?.strip_prefix('[')?.split_once(']')?.0.parse().ok()
        };
        // Fields that stand have been noted; those of absent items too, but with nothing found
        // there.
        let behind = record.stands.iter().filter(|stands| stands.found.is_some());
        let behind = behind
            .filter(|stands| number_of(stands).is_some_and(|at| at > number))
            .min_by_key(|stands| stands.offset);
        let (place, offset) =
            behind.map_or((String::new(), 0), |stands| (stands.place.clone(), stands.offset));
        self.told(FaultCode::ListGap, Some(field), || (place, offset))
    }

    /// Tells a fault whose place is worked out by `at`; in the fast pass, stops.
    pub(super) fn told(
        &mut self,
        code: FaultCode,
        field: Option<String>,
        at: impl FnOnce() -> (String, usize),
    ) -> Result<(), Stop> {
        let Some(record) = &mut self.record else { return Err(Stop) };
        record.tainted.extend(field.clone());
        if record.is_full() {
            return Ok(());
        }
        let (place, offset) = at();
        record.faults.push(Fault { code, place, offset, field, found: None, expected: None });
        Ok(())
    }
}

/// Whether what is told of one field is told of the other too.
fn speaks_for(tainted: &str, field: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    within(field, tainted) || within(tainted, field)
}

/// What stood there, as it may be shown: personal values masked, long ones cut, and no control character, which no answer
/// could hold.
pub(crate) fn shown(text: &str, personal: bool) -> String {
    const SHOWN_MAX: usize = 60;
    if personal {
        return "***".to_owned();
    }
    let legible = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut shown: String = text.chars().take(SHOWN_MAX).map(legible).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}
