//! What can only be compared when a whole scope has been read: told numbers of items, columns of one list, gaps between
//! numbered items.

use prost_reflect::Value;

use super::{Item, Read, Reader, document::Where, is_unset};
use crate::{
    codec::Codec,
    fault::FaultCode,
    path::{self, Path},
    template::{Hole, Slot, Unset},
};

/// How many items a leaf told, or a column had.
pub(super) struct Count<'c> {
    hole: &'c Hole,
    told: usize,
    list: String,
    place: String,
    offset: usize,
}

impl<'c> Reader<'c> {
    /// The number of items that a leaf tells.
    pub(super) fn count(&mut self, hole: &'c Hole, text: &str, at: Where<'_, '_>) -> Read {
        match hole.codec().read(text, &hole.path.field) {
            Ok(Value::U64(told)) => {
                let told = usize::try_from(told).unwrap_or(usize::MAX);
                self.told_count(hole, told, at, hole.path.told(self.prefix(), None));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(code) => self.fault(code, at, Some(hole), Some(text)),
        }
    }

    fn told_count(&mut self, hole: &'c Hole, told: usize, at: Where<'_, '_>, list: String) {
        let (place, offset) = match self.record {
            Some(_) => (at.place(&self.template.told_by), at.offset()),
            None => (String::new(), 0),
        };
        self.counts.push(Count { hole, told, list, place, offset });
    }

    /// A column: a piece for each item of a list.
    pub(super) fn column(
        &mut self,
        hole: &'c Hole,
        codec: &'c Codec,
        separator: &str,
        text: &str,
        at: Where<'_, '_>,
        item: &mut Item<'_>,
    ) -> Read {
        let (mut number, mut start) = (0_usize, 0_usize);
        for piece in text.split(separator) {
            let at = match at {
                Where::Value(spot) => Where::Piece(spot, start),
                Where::Piece(spot, before) => Where::Piece(spot, before.saturating_add(start)),
                other => other,
            };
            self.note(hole, at, Some(number), Some(piece).filter(|piece| !is_unset(hole, piece)));
            if !is_unset(hole, piece) {
                match codec.read(piece, &hole.path.field) {
                    Ok(value) => self.set(&hole.path, value, number, at, item)?,
                    Err(code) => self.fault_in_column(code, at, hole, number, Some(piece))?,
                }
            } else if hole.unset == Unset::Refused {
                self.fault_in_column(FaultCode::ValueEmpty, at, hole, number, None)?;
            } else {
                self.reach(&hole.path, number, item);
            }
            number = number.saturating_add(1);
            start = start.saturating_add(piece.len()).saturating_add(separator.len());
        }
        let list = hole.path.told(self.prefix(), None);
        let list = list.split_once("[]").map_or(list.as_str(), |(list, _)| list).to_owned();
        self.told_count(hole, number, at, list);
        Ok(())
    }

    /// What can only be compared when the whole scope has been read: counts, columns, gaps between
    /// numbered items.
    pub(super) fn end_scope(
        &mut self,
        slot: &'c Slot,
        counted: usize,
        item: &mut Item<'_>,
    ) -> Read {
        for list in slot.numbered() {
            self.gaps(list, item)?;
        }
        if self.counts.len() <= counted {
            return Ok(());
        }
        let counts = self.counts.split_off(counted);
        for count in &counts {
            let Some(have) = self.length(count.hole, item) else { continue };
            // Columns are compared with the first of them: which of two lengths is wrong cannot be
            // known otherwise.
            let first = counts
                .iter()
                .find(|first| first.list == count.list && first.hole.codec().name() == "list");
            let wanted = first.map_or(have, |first| first.told);
            if count.told != wanted {
                self.taint_path(&count.list);
                let field = Some(count.list.clone());
                self.told(FaultCode::CountMismatch, field, || (count.place.clone(), count.offset))?;
            }
        }
        Ok(())
    }

    /// How many items stand in the list that is counted.
    fn length(&mut self, hole: &Hole, item: &mut Item<'_>) -> Option<usize> {
        let path = &hole.path;
        let (steps, field) = path.column_list().unwrap_or((&path.steps, &path.field));
        let list = Path {
            steps: steps.into(),
            field: field.clone(),
            pick: path::Pick::Whole,
            ..Path::clone(path)
        };
        self.list(&list, item).map(|list| list.len())
    }

    /// Numbered items start at the first and leave none out.
    fn gaps(&mut self, list: &'c Path, item: &mut Item<'_>) -> Read {
        let Some(items) = self.list_if_any(list, item) else { return Ok(()) };
        let blank: Vec<bool> = items.iter().map(path::is_blank).collect();
        let mut before = false;
        for (number, is_blank) in blank.iter().enumerate() {
            if *is_blank && !before {
                self.fault_of_gap(list, number)?;
            }
            before = *is_blank;
        }
        Ok(())
    }
}
