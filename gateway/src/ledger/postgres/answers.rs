//! Ends of exchanges, what registries answered and leaves: those that come at one moment share a statement.

use std::{collections::HashSet, sync::Arc, time::Duration};

use prost::Message;
use proto::v1::Outcome;

use super::{column, events::END, patience, server::Server, writer::Together};
use crate::ledger::{Entry, LedgerError, case_id, cases::Mention, evidence::NewLeaf, milliseconds};

/// What registries answered, and leaves of exchanges. The answer to one is whether what a registry answered was recorded.
pub(super) struct Answers(pub(super) Arc<Server>);

/// What is to be written of the end of an exchange.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) answered: Option<Answered>,
    pub(super) leaf: Option<NewLeaf>,
}

pub(super) struct Answered {
    institution: String,
    key: String,
    case_id: Option<String>,
    outcome: Vec<u8>,
    follow_up: Option<i64>,
    mentions: Vec<Mention>,
}

impl Answered {
    pub(super) fn of(entry: &Entry, outcome: &Outcome, follow_up: Option<Duration>) -> Self {
        Self {
            institution: entry.institution.clone(),
            key: entry.key.clone(),
            case_id: case_id(outcome).map(str::to_owned),
            outcome: outcome.encode_to_vec(),
            follow_up: follow_up.map(milliseconds),
            mentions: Mention::of_all(&outcome.certificate_numbers),
        }
    }
}

impl Ended {
    /// Each number that the filing is found by, with whose filing it is.
    fn mentions(&self) -> impl Iterator<Item = (Mention, &str, &str)> {
        let answered = self.answered.iter().flat_map(|it| {
            it.mentions.iter().map(|mention| (*mention, it.institution.as_str(), it.key.as_str()))
        });
        let leaf = self.leaf.iter().flat_map(|it| {
            let key = it.key.as_deref().unwrap_or_default();
            it.mentions.iter().map(move |mention| (*mention, it.institution.as_str(), key))
        });
        answered.chain(leaf)
    }
}

impl Together for Answers {
    type Row = Ended;
    type Answer = bool;

    fn names(ended: &Ended) -> Vec<(&str, &[u8])> {
        let answered = ended.answered.iter();
        answered.map(|it| (it.institution.as_str(), it.key.as_bytes())).collect()
    }

    async fn write(&self, ends: &[Ended]) -> Result<Vec<bool>, LedgerError> {
        let answers: Vec<_> = ends.iter().filter_map(|end| end.answered.as_ref()).collect();
        let leaves: Vec<_> = ends.iter().filter_map(|end| end.leaf.as_ref()).collect();
        let mentions: Vec<_> = ends.iter().flat_map(Ended::mentions).collect();
        let settled = self
            .0
            .write(
                END,
                &[
                    &answers.iter().map(|it| it.institution.as_str()).collect::<Vec<_>>(),
                    &answers.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(),
                    &answers.iter().map(|it| it.case_id.as_deref()).collect::<Vec<_>>(),
                    &answers.iter().map(|it| it.outcome.as_slice()).collect::<Vec<_>>(),
                    &answers.iter().map(|it| it.follow_up).collect::<Vec<_>>(),
                    &patience(answers.len()),
                    &leaves.iter().map(|it| it.institution.as_str()).collect::<Vec<_>>(),
                    &leaves.iter().map(|it| it.key.as_deref()).collect::<Vec<_>>(),
                    &leaves.iter().map(|it| it.text.as_str()).collect::<Vec<_>>(),
                    &leaves.iter().map(|it| it.salt.0.as_slice()).collect::<Vec<_>>(),
                    &mentions.iter().map(|(it, ..)| it.0.as_slice()).collect::<Vec<_>>(),
                    &mentions.iter().map(|(_, whose, _)| *whose).collect::<Vec<_>>(),
                    &mentions.iter().map(|(.., key)| *key).collect::<Vec<_>>(),
                ],
            )
            .await;
        let mut recorded = HashSet::new();
        for row in settled? {
            let name: (String, String) = (column(&row, "institution")?, column(&row, "key")?);
            recorded.insert(name);
        }
        let is_recorded = |end: &Ended| {
            let answered = end.answered.as_ref();
            answered.is_none_or(|it| recorded.contains(&(it.institution.clone(), it.key.clone())))
        };
        Ok(ends.iter().map(is_recorded).collect())
    }
}
