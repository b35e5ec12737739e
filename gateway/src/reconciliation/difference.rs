//! In what two accounts of one case differ. Pure.

use super::books::{Entry, name};
use crate::ledger::books::{Finding, Kind};
use proto::v1::CaseStatus;

/// What differs between what we have of a case and what they have of it, but for its parties; nothing if neither has it.
///
/// `institution`, `office`: whose and where, for the findings.
pub fn differences(
    (institution, office): (&str, &str),
    ours: Option<&Entry>,
    theirs: Option<&Entry>,
) -> Vec<Finding> {
    let finding = |kind, ours_say: String, theirs_say: String| {
        let any = theirs.or(ours);
        let case = [theirs, ours].into_iter().flatten().map(|it| &it.case_id);
        let case = case.into_iter().find(|case| !case.is_empty());
        Finding {
            institution: institution.to_owned(),
            key: any.map(|it| it.key.clone()).unwrap_or_default(),
            kind,
            office: office.to_owned(),
            case_id: case.cloned().unwrap_or_default(),
            ours: ours_say,
            theirs: theirs_say,
        }
    };
    let says = |entry: &Entry| name(entry.status).to_owned();
    match (ours, theirs) {
        (None, None) => Vec::new(),
        (None, Some(theirs)) => vec![finding(Kind::OnlyTheirs, String::new(), says(theirs))],
        (Some(ours), None) if may_be_theirs_alone(ours) => Vec::new(),
        (Some(ours), None) => vec![finding(Kind::OnlyOurs, says(ours), String::new())],
        (Some(ours), Some(theirs)) => {
            let mut found = Vec::new();
            if ours.case_id != theirs.case_id {
                found.push(finding(Kind::Case, ours.case_id.clone(), theirs.case_id.clone()));
            }
            if ours.status != theirs.status {
                found.push(finding(Kind::Status, says(ours), says(theirs)));
            }
            if let Some((ours, theirs)) = amounts_differ(ours, theirs) {
                found.push(finding(Kind::Amount, ours, theirs));
            }
            found
        }
    }
}

/// Whether a registry need not have it: what was never answered may never have come, what waits was not sent, and what was
/// refused at the door has no number there.
fn may_be_theirs_alone(ours: &Entry) -> bool {
    match ours.status {
        CaseStatus::OutcomeUnknown
        | CaseStatus::QueuedOutOfHours
        | CaseStatus::Received
        | CaseStatus::Validating => true,
        CaseStatus::Submitted
        | CaseStatus::RejectedValidation
        | CaseStatus::NotAccepted
        | CaseStatus::Refused
        | CaseStatus::Withdrawn => ours.case_id.is_empty(),
        CaseStatus::Unspecified
        | CaseStatus::Accepted
        | CaseStatus::InReview
        | CaseStatus::Registered
        | CaseStatus::Completed
        | CaseStatus::CorrectionRequested
        | CaseStatus::Terminated
        | CaseStatus::Lapsed => false,
    }
}

/// One who does not know an amount says nothing of it.
fn amounts_differ(ours: &Entry, theirs: &Entry) -> Option<(String, String)> {
    let (ours, theirs) = (ours.amount_fen?, theirs.amount_fen?);
    (ours != theirs).then(|| (ours.to_string(), theirs.to_string()))
}

/// Whether a case of ours belongs into the sum that is compared with a registry's: what it may not have is looked at by
/// itself.
pub(super) fn is_summed(ours: &Entry) -> bool {
    !may_be_theirs_alone(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(status: CaseStatus, amount_fen: Option<i64>) -> Entry {
        Entry { key: "k".into(), case_id: "c".into(), status, amount_fen, parties: None }
    }

    fn kinds(ours: Option<&Entry>, theirs: Option<&Entry>) -> Vec<Kind> {
        let found = differences(("bank", "1"), ours, theirs);
        found.into_iter().map(|it| it.kind).collect()
    }

    #[test]
    fn every_difference_is_told_and_nothing_else_is() {
        let ours = entry(CaseStatus::Registered, Some(100));
        assert_eq!(kinds(Some(&ours), Some(&ours)), []);
        assert_eq!(kinds(None, None), []);
        assert_eq!(kinds(None, Some(&ours)), [Kind::OnlyTheirs]);
        assert_eq!(kinds(Some(&ours), None), [Kind::OnlyOurs]);
        let other = Entry { case_id: "d".into(), ..entry(CaseStatus::Refused, Some(10_000)) };
        assert_eq!(kinds(Some(&ours), Some(&other)), [Kind::Case, Kind::Status, Kind::Amount]);
        assert_eq!(kinds(Some(&ours), Some(&entry(CaseStatus::Registered, None))), []);
    }

    #[test]
    fn what_a_registry_need_not_have_is_no_difference() {
        for status in [CaseStatus::OutcomeUnknown, CaseStatus::QueuedOutOfHours] {
            assert_eq!(kinds(Some(&entry(status, None)), None), []);
        }
        let refused = Entry { case_id: String::new(), ..entry(CaseStatus::Refused, None) };
        assert_eq!(kinds(Some(&refused), None), []);
        assert_eq!(kinds(Some(&entry(CaseStatus::Refused, None)), None), [Kind::OnlyOurs]);
        let registered = entry(CaseStatus::Registered, None);
        let unknown = Entry { case_id: String::new(), ..entry(CaseStatus::OutcomeUnknown, None) };
        assert_eq!(kinds(Some(&unknown), Some(&registered)), [Kind::Case, Kind::Status]);
    }
}
