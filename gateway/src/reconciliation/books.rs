//! What two sides' books are compared by: of each case its key, number, status and amount as a line of text, and over all
//! lines one digest that does not depend on their order.
//!
//! Pure. Source of the form, well enough to write it in another language: docs/reconciliation.md, with an example that a
//! test of this file checks.

use aws_lc_rs::digest::{self, SHA256};
use proto::v1::{Application, CaseStatus};

use crate::{
    ledger::{
        State,
        books::{Booked, Filed, Parties},
    },
    matter,
};

/// A case as it stands in somebody's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key it was filed under.
    pub key: String,
    /// The registry's number; empty while none is known.
    pub case_id: String,
    /// Where it stands.
    pub status: CaseStatus,
    /// The amount in fen; `None` for a matter that has none, or if nobody knows.
    pub amount_fen: Option<i64>,
    /// Who stands in the matter's lists; `None` if nobody knows.
    pub parties: Option<Parties>,
}

impl Entry {
    /// What the ledger has of a filing; `None` for one of which nothing was ever sent, nor is to be, and for one that is so
    /// old that nothing is known of it.
    pub fn of(filed: &Filed) -> Option<Self> {
        let outcome = filed.record.outcome.as_ref();
        let status = match filed.record.state {
            State::Settled => outcome.map_or(CaseStatus::OutcomeUnknown, |it| it.status()),
            State::Claimed | State::Unknown => CaseStatus::OutcomeUnknown,
            State::Queued => CaseStatus::QueuedOutOfHours,
            State::Released | State::Retired => return None,
        };
        Some(Self {
            key: filed.record.key.clone(),
            case_id: outcome.map(|it| it.case_id.clone()).unwrap_or_default(),
            status,
            amount_fen: filed.booked.amount_fen,
            parties: filed.booked.parties,
        })
    }

    /// Its line: key, number, status and amount, with tabs between and a line feed at the end.
    pub fn line(&self) -> String {
        let Self { key, case_id, status, amount_fen, parties: _ } = self;
        let amount = amount_fen.map(|fen| fen.to_string()).unwrap_or_default();
        format!("{}\t{}\t{}\t{amount}\n", plain(key), plain(case_id), name(*status))
    }

    fn parties_line(&self) -> Option<String> {
        self.parties.map(|parties| format!("{}\t{}\n", plain(&self.key), hex::encode(parties.0)))
    }
}

/// The status that books write so.
pub fn status(name: &str) -> Option<CaseStatus> {
    let status = CaseStatus::from_str_name(&format!("CASE_STATUS_{name}"));
    status.filter(|it| *it != CaseStatus::Unspecified)
}

/// A status as books write it: `REGISTERED`.
pub fn name(status: CaseStatus) -> &'static str {
    status.as_str_name().trim_start_matches("CASE_STATUS_")
}

/// Where a line would be taken apart otherwise than it was put together there is a blank.
fn plain(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

/// What cases come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// SHA-256 over their lines, in order of bytes.
    pub digest: [u8; 32],
    /// The same over lines of key and parties; `None` if of some case nobody knows them.
    pub parties: Option<[u8; 32]>,
}

impl Sum {
    /// Of cases in any order.
    pub fn of(entries: &[Entry]) -> Self {
        Self {
            count: u64::try_from(entries.len()).unwrap_or(u64::MAX),
            digest: of_lines(entries.iter().map(Entry::line).collect()),
            parties: entries.iter().map(Entry::parties_line).collect::<Option<_>>().map(of_lines),
        }
    }

    /// Whether both sides have the same; parties count where both know them.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let parties = self.parties.zip(other.parties);
        self.count == other.count
            && self.digest == other.digest
            && parties.is_none_or(|(ours, theirs)| ours == theirs)
    }
}

fn of_lines(mut lines: Vec<String>) -> [u8; 32] {
    lines.sort_unstable();
    sha256(lines.concat().as_bytes())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
    sum
}

/// What an application is about, as far as books are compared by it.
pub fn booked(application: &Application) -> Booked {
    let lists = matter::parties(application);
    let ids = |(list, parties): (&'static str, _)| {
        let parties: &[proto::v1::Party] = parties;
        let known = parties.iter().map(|it| it.id_number.as_str()).filter(|id| !id.is_empty());
        known.map(move |id| (list, id)).collect::<Vec<_>>()
    };
    Booked {
        amount_fen: matter::amount_fen(application),
        parties: Some(parties(&application.idempotency_key, lists.into_iter().flat_map(ids))),
    }
}

/// The digest of who stands in which list of a matter, by identity number, in any order. The key is part of it, so that
/// one person looks otherwise in every case.
pub fn parties<'p>(key: &str, listed: impl IntoIterator<Item = (&'p str, &'p str)>) -> Parties {
    let mut lines: Vec<_> =
        listed.into_iter().map(|(list, id)| format!("{list}\t{}\n", plain(id))).collect();
    lines.sort_unstable();
    let text = format!("{}\n{}", plain(key), lines.concat());
    let mut parties = Parties([0; Parties::BYTES]);
    parties.0.iter_mut().zip(sha256(text.as_bytes())).for_each(|(to, from)| *to = from);
    parties
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/reconciliation.md");

    fn entry(key: &str, case: &str, status: CaseStatus, amount_fen: Option<i64>) -> Entry {
        Entry { key: key.into(), case_id: case.into(), status, amount_fen, parties: None }
    }

    fn example() -> Vec<Entry> {
        vec![
            entry("JY-20260305-3", "", CaseStatus::OutcomeUnknown, Some(98_000_000)),
            entry("JY-20260305-1", "SL20260305000017", CaseStatus::Registered, Some(98_000_000)),
            entry("JY-20260305-10", "SL20260305000018", CaseStatus::Completed, None),
        ]
    }

    #[test]
    fn the_pages_example_is_what_is_computed() {
        let mut lines: Vec<_> = example().iter().map(Entry::line).collect();
        lines.sort_unstable();
        let shown = lines.concat().replace('\t', "<TAB>");
        assert!(PAGE.contains(&shown), "the page should show\n{shown}");
        let digest = hex::encode(Sum::of(&example()).digest);
        assert!(PAGE.contains(&digest), "the page should show {digest}");
        let nothing = hex::encode(Sum::of(&[]).digest);
        assert!(PAGE.contains(&nothing), "the page should show {nothing}");
        let parties = parties(
            "JY-20260305-1",
            [("mortgagors", "11010519491231002X"), ("mortgagees", "91110000600037341L")],
        );
        let parties = hex::encode(parties.0);
        assert!(PAGE.contains(&parties), "the page should show {parties}");
    }

    #[test]
    fn a_sum_is_the_same_in_any_order_and_another_whatever_differs() {
        let sum = Sum::of(&example());
        let mut turned = example();
        turned.reverse();
        assert_eq!(Sum::of(&turned), sum);
        let changes: [fn(&mut Entry); 4] = [
            |it| it.key.push('0'),
            |it| it.case_id.push('0'),
            |it| it.status = CaseStatus::Refused,
            |it| it.amount_fen = Some(98_000_001),
        ];
        for change in changes {
            let mut changed = example();
            change(&mut changed[1]);
            assert!(!Sum::of(&changed).agrees_with(&sum), "{changed:?}");
        }
        let mut twice = example();
        twice.push(example()[0].clone());
        assert!(!Sum::of(&twice).agrees_with(&sum));
    }

    #[test]
    fn parties_count_where_both_sides_know_them() {
        let with = |parties: Option<[u8; 16]>| {
            let parties = parties.map(Parties);
            Sum::of(&example().into_iter().map(|it| Entry { parties, ..it }).collect::<Vec<_>>())
        };
        assert!(with(Some([1; 16])).agrees_with(&with(Some([1; 16]))));
        assert!(!with(Some([1; 16])).agrees_with(&with(Some([2; 16]))));
        assert!(with(Some([1; 16])).agrees_with(&with(None)));
        let listed = |list: &'static str| parties("k", [(list, "1"), ("mortgagees", "2")]);
        assert_ne!(listed("mortgagors"), listed("debtors"));
        assert_ne!(listed("mortgagors"), parties("l", [("mortgagors", "1"), ("mortgagees", "2")]));
    }
}
