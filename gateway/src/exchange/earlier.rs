//! An earlier filing of the same loan, under another key: whether it is still a reason to refuse this one.

use prost_types::Timestamp;
use proto::v1::{Application, Encumbrance, EncumbranceKind, TitleAnswer, TitleQuery, TitleState};

use super::Hearing;
use crate::{
    ledger::{Guard, Record, State},
    matter,
    refusal::Refusal,
    settings::Office,
    telemetry::LedgerVerb,
};

impl Hearing<'_> {
    /// Whether an earlier filing of the same loan is no reason any more to refuse this one: it was never sent, its case
    /// has ended without a registration, or what it registered is discharged.
    pub(super) async fn stands_no_more(
        &self,
        earlier: &Record,
        application: &Application,
        office: &Office,
    ) -> bool {
        match earlier.state {
            State::Released => true,
            State::Claimed | State::Unknown | State::Queued => false,
            State::Retired if earlier.outcome.is_none() => self.is_unknown_there(earlier).await,
            State::Settled | State::Retired => {
                let now = self.present(earlier.clone()).await;
                let entered = now.registered_at.filter(|_| matter::is_entered(now.status()));
                let free_since = async |entered| self.is_free(application, office, entered).await;
                matter::came_to_nothing(now.status())
                    || matches!(entered, Some(entered) if free_since(entered).await)
            }
        }
    }

    /// Whether its registry knows nothing under the key of a filing that was retired without a case.
    async fn is_unknown_there(&self, earlier: &Record) -> bool {
        let Some(registry) = self.directory.registry(&earlier.registry) else { return false };
        matches!(registry.case_by_key(&earlier.key, &self.caller()).await, Ok(None))
    }

    /// Whether the registry says that no charge stands on any of the properties any more.
    async fn is_free(
        &self,
        application: &Application,
        office: &Office,
        entered: Timestamp,
    ) -> bool {
        let properties = matter::properties(application).to_vec();
        let query = TitleQuery { properties, ..TitleQuery::default() };
        let Ok(registry) = self.registry_of(&office.registry) else { return false };
        match registry.query_title(query, office.canonical(), &self.caller()).await {
            Ok(answer) => is_free_since(&entered, &answer),
            Err(error) => {
                tracing::warn!(registry = registry.name(), %error, "a title could not be asked about");
                false
            }
        }
    }

    pub(super) async fn lift(&self, earlier: &Record, guards: &[Guard]) -> Result<(), Refusal> {
        let lifted = self.gateway.ledger.lift(earlier, guards);
        let lifted = self.gateway.timed(LedgerVerb::Lift, lifted).await;
        lifted.map_err(|error| self.ledger_away(&error))
    }
}

/// Whether no charge at all stands on any of the titles, which are no older than the entry that would stand there, by the second,
/// as registries tell it: an older copy would not have it yet. A registry may call a charge by another number than its certificate's, and by a kind that is not
/// known here: while one stands, nobody can tell that it is not the one.
fn is_free_since(entered: &Timestamp, titles: &TitleAnswer) -> bool {
    let is_charge = |it: &Encumbrance| match it.kind() {
        EncumbranceKind::Mortgage
        | EncumbranceKind::AdvanceNotice
        | EncumbranceKind::Unspecified => true,
        EncumbranceKind::Seizure | EncumbranceKind::Objection => false,
    };
    let is_older = titles.as_of.is_none_or(|as_of| as_of.seconds < entered.seconds);
    !is_older
        && titles.entries.iter().all(|entry| {
            entry.state() == TitleState::Found && !entry.encumbrances.iter().any(is_charge)
        })
}

#[cfg(test)]
mod tests {
    use proto::v1::TitleEntry;

    use super::*;

    fn titles(as_of: i64, limits: &[EncumbranceKind]) -> TitleAnswer {
        let encumbrances = limits
            .iter()
            .map(|kind| Encumbrance { kind: (*kind).into(), ..Encumbrance::default() });
        let entry = TitleEntry {
            state: TitleState::Found.into(),
            encumbrances: encumbrances.collect(),
            ..TitleEntry::default()
        };
        let as_of = Some(Timestamp { seconds: as_of, nanos: 0 });
        TitleAnswer { as_of, entries: vec![entry], ..TitleAnswer::default() }
    }

    #[test]
    fn a_home_is_free_only_by_titles_no_older_than_the_entry_and_with_no_charge_of_any_kind() {
        use EncumbranceKind::{AdvanceNotice, Mortgage, Objection, Seizure, Unspecified};
        let entered = Timestamp { seconds: 100, nanos: 0 };
        let is_free = |as_of, limits: &[_]| is_free_since(&entered, &titles(as_of, limits));
        assert!(is_free(100, &[]) && is_free(101, &[Seizure, Objection]));
        assert!(!is_free(99, &[]), "a copy from before the entry");
        for charge in [Mortgage, AdvanceNotice, Unspecified] {
            assert!(!is_free(101, &[Objection, charge]), "{charge:?}");
        }
        let of_no_moment = TitleAnswer { as_of: None, ..titles(101, &[]) };
        assert!(!is_free_since(&entered, &of_no_moment));
    }
}
