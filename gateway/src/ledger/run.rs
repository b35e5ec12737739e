//! Runs of numbers: what lets an index of digests grow in few places.

use aws_lc_rs::digest::{self, SHA256};

/// A run of numbers (号段), such as a branch gives its contracts: all that are alike but for their last two characters.
///
/// A digest says nothing of its number, and so an index of digests has each new one somewhere else: a commit of forty filings
/// changes forty pages for each of their digests. Kept behind its run's, a digest lies beside those of the numbers before it.
/// Two numbers whose digests are known are then seen to be of one run, and nothing else is
/// (docs/decisions/0045-digests-lie-by-their-numbers-runs.md).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run(pub(super) [u8; Run::BYTES]);

impl Run {
    /// The beginning of a SHA-256: two runs that are alike by chance lie together, and do no harm.
    pub(super) const BYTES: usize = 6;

    /// How many characters at a number's end tell it from the others of its run.
    const TOLD_APART_BY: usize = 2;

    /// That of a number; blanks do not count.
    pub fn of(number: &str) -> Self {
        let bare: String = number.split_whitespace().collect();
        let end = bare.char_indices().nth_back(Self::TOLD_APART_BY - 1);
        let shared = end.and_then(|(end, _)| bare.get(..end)).unwrap_or_default();
        let mut run = [0; Self::BYTES];
        let digest = digest::digest(&SHA256, shared.as_bytes());
        run.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_of_one_run_however_they_are_written() {
        assert_eq!(Run::of("DY2026000123"), Run::of(" DY2026 000199"));
        assert_ne!(Run::of("DY2026000123"), Run::of("DY2026000223"));
        assert_eq!(Run::of("抵字甲"), Run::of("抵乙丙"));
        assert_eq!(Run::of("1"), Run::of(""));
    }
}
