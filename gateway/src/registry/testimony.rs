//! What a registry's answer must say to count as one. Anything less is silence: an unknown or partial answer is never
//! told as success.
//!
//! Source: registry.proto, "Case" and "TitleAnswer"; docs/domain.md ("Only REGISTERED has legal effect").

use proto::v1::{
    Case, CaseStatus, Layer, NextAction, Outcome, Property, Sent, TitleAnswer, TitleState,
    get_case_request::By,
};

/// What is wrong with an answer, in words for an operator; never a value out of it.
pub(super) type Flaw = &'static str;

/// The outcome a case tells of what was asked.
///
/// # Errors
/// It is another's case, or says nothing, or contradicts itself.
pub(super) fn outcome_of(case: Case, institution: &str, by: &By) -> Result<Outcome, Flaw> {
    let outcome = case.outcome.ok_or("a case without an outcome")?;
    if case.institution_id != institution {
        return Err("a case of another institution");
    }
    let is_the_one = match by {
        By::IdempotencyKey(key) => case.idempotency_key == *key,
        By::CaseId(case_id) => outcome.case_id == *case_id,
    };
    if !is_the_one {
        return Err("another case than the one asked for");
    }
    match (outcome.status(), &outcome.refusal) {
        (CaseStatus::Unspecified, _) => return Err("a case with no status that is known"),
        (CaseStatus::OutcomeUnknown, _) => return Err("a case of unknown outcome"),
        (CaseStatus::Registered | CaseStatus::Completed, Some(_)) => {
            return Err("a case that is registered and refused");
        }
        (status, None) if goes_on(status) && outcome.case_id.is_empty() => {
            return Err("a case that was taken and has no number");
        }
        _ => {}
    }
    Ok(as_a_registrys_own(outcome))
}

/// The answer to a title query, an entry for each property asked about.
///
/// # Errors
/// It is about other properties, or not about all of them: a missing entry would read as a title without limits.
pub(super) fn titles_of(answer: TitleAnswer, asked: &[Property]) -> Result<TitleAnswer, Flaw> {
    if answer.as_of.is_none() {
        return Err("titles as of no moment");
    }
    if answer.entries.len() != asked.len() {
        return Err("titles of more or fewer properties than asked about");
    }
    for (entry, property) in answer.entries.iter().zip(asked) {
        if entry.state() == TitleState::Unspecified {
            return Err("a title that is neither found nor not found");
        }
        if !property.unit_code.is_empty() && entry.unit_code != property.unit_code {
            return Err("a title of another property than the one asked about");
        }
    }
    Ok(answer)
}

/// Whether a case in this state is under way or done, so that the bank must be able to name it.
fn goes_on(status: CaseStatus) -> bool {
    match status {
        CaseStatus::Submitted
        | CaseStatus::Accepted
        | CaseStatus::InReview
        | CaseStatus::Registered
        | CaseStatus::Completed
        | CaseStatus::CorrectionRequested => true,
        CaseStatus::Unspecified
        | CaseStatus::Received
        | CaseStatus::Validating
        | CaseStatus::QueuedOutOfHours
        | CaseStatus::OutcomeUnknown
        | CaseStatus::RejectedValidation
        | CaseStatus::NotAccepted
        | CaseStatus::Refused
        | CaseStatus::Withdrawn
        | CaseStatus::Terminated
        | CaseStatus::Lapsed => false,
    }
}

/// A registry that refuses has been sent something, and decides as a registry, whatever it says of that itself. Where it
/// does not say what comes next, a person has to ask.
fn as_a_registrys_own(mut outcome: Outcome) -> Outcome {
    if let Some(refusal) = &mut outcome.refusal {
        refusal.sent = Sent::Yes.into();
        refusal.layer = Layer::Business.into();
        if refusal.next_action() == NextAction::Unspecified {
            refusal.next_action = NextAction::CallOffice.into();
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use proto::v1::{Refusal, TitleEntry};

    use super::*;

    fn registered() -> Case {
        Case {
            idempotency_key: "k".into(),
            institution_id: "bank".into(),
            outcome: Some(Outcome {
                case_id: "c".into(),
                status: CaseStatus::Registered.into(),
                ..Outcome::default()
            }),
            ..Case::default()
        }
    }

    fn by_key(case: Case) -> Result<Outcome, Flaw> {
        outcome_of(case, "bank", &By::IdempotencyKey("k".into()))
    }

    fn with(change: impl FnOnce(&mut Outcome)) -> Case {
        let mut case = registered();
        change(case.outcome.as_mut().unwrap());
        case
    }

    #[test]
    fn a_case_that_says_what_was_asked_is_an_answer() {
        assert_eq!(by_key(registered()).unwrap().status(), CaseStatus::Registered);
        assert!(outcome_of(registered(), "bank", &By::CaseId("c".into())).is_ok());
    }

    #[test]
    fn anothers_case_is_no_answer() {
        assert!(outcome_of(registered(), "other", &By::IdempotencyKey("k".into())).is_err());
        assert!(outcome_of(registered(), "bank", &By::IdempotencyKey("other".into())).is_err());
        assert!(outcome_of(registered(), "bank", &By::CaseId("other".into())).is_err());
    }

    #[test]
    fn a_case_that_says_nothing_or_contradicts_itself_is_no_answer() {
        assert!(by_key(Case { outcome: None, ..registered() }).is_err());
        assert!(by_key(with(|outcome| outcome.status = 0)).is_err());
        assert!(by_key(with(|outcome| outcome.status = 99)).is_err(), "a state of a later model");
        let unknown = CaseStatus::OutcomeUnknown.into();
        assert!(by_key(with(|outcome| outcome.status = unknown)).is_err());
        assert!(by_key(with(|outcome| outcome.case_id.clear())).is_err());
        assert!(by_key(with(|outcome| outcome.refusal = Some(Refusal::default()))).is_err());
    }

    #[test]
    fn a_refusal_was_always_sent_and_always_says_what_comes_next() {
        let refused = with(|outcome| {
            outcome.status = CaseStatus::NotAccepted.into();
            outcome.case_id.clear();
            outcome.refusal = Some(Refusal { sent: Sent::No.into(), ..Refusal::default() });
        });
        let refusal = by_key(refused).unwrap().refusal.unwrap();
        assert_eq!((refusal.sent(), refusal.layer()), (Sent::Yes, Layer::Business));
        assert_eq!(refusal.next_action(), NextAction::CallOffice);
    }

    #[test]
    fn titles_are_of_every_property_asked_about_and_of_no_other() {
        let asked = [Property { unit_code: "u".into(), ..Property::default() }];
        let entry = TitleEntry {
            unit_code: "u".into(),
            state: TitleState::Found.into(),
            ..TitleEntry::default()
        };
        let answer = TitleAnswer {
            as_of: Some(prost_types::Timestamp::default()),
            entries: vec![entry.clone()],
            ..TitleAnswer::default()
        };
        assert!(titles_of(answer.clone(), &asked).is_ok());
        assert!(titles_of(TitleAnswer { as_of: None, ..answer.clone() }, &asked).is_err());
        assert!(titles_of(TitleAnswer { entries: Vec::new(), ..answer.clone() }, &asked).is_err());
        let unsaid = vec![TitleEntry { state: 0, ..entry.clone() }];
        assert!(titles_of(TitleAnswer { entries: unsaid, ..answer.clone() }, &asked).is_err());
        let other = vec![TitleEntry { unit_code: "v".into(), ..entry }];
        assert!(titles_of(TitleAnswer { entries: other, ..answer }, &asked).is_err());
    }
}
