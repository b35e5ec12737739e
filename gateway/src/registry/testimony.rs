//! What a registry's answer must say to count as one. Anything less is silence: an unknown or partial answer is never
//! told as success.
//!
//! Source: registry.proto, "Case" and "TitleAnswer"; docs/domain.md ("Only REGISTERED has legal effect").

use std::{collections::BTreeSet, fmt};

use prost::Message;
use proto::v1::{
    Case, CaseStatus, CertificateAnswer, CertificateState, DaySum, Layer, ListDayResponse,
    NextAction, Outcome, Property, RecordAnswer, Registered, Sent, TitleAnswer, TitleState,
    VerifyCertificateResponse, get_case_request::By, verify_certificate_request::By as Certificate,
};

use crate::{ledger::books::Parties, matter};

/// What is wrong with an answer, in words for an operator; never a value out of it.
pub(super) type Flaw = &'static str;

/// What a registry says of a case: where it stands, and what it entered, where it says so. Only
/// [`crate::integrity::judged`] makes an outcome of it that is told or kept.
#[derive(Clone, PartialEq)]
pub struct Testimony {
    pub(crate) outcome: Outcome,
    pub(crate) registered: Option<Registered>,
    /// The case as the registry told it, in protobuf's binary form: what evidence is kept of.
    pub(crate) told: Vec<u8>,
}

impl Testimony {
    /// Whether it tells of an entry without saying what was entered, so that nobody can compare.
    pub(super) fn leaves_entry_untold(&self) -> bool {
        let is_entered =
            matches!(self.outcome.status(), CaseStatus::Registered | CaseStatus::Completed);
        is_entered && self.registered.is_none()
    }
}

/// What was entered names people.
impl fmt::Debug for Testimony {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Testimony").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// What a case tells of what was asked.
///
/// # Errors
/// It is another's case, or says nothing, or contradicts itself.
pub(super) fn testimony_of(case: Case, institution: &str, by: &By) -> Result<Testimony, Flaw> {
    let told = case.encode_to_vec();
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
        (CaseStatus::QueuedOutOfHours, _) => return Err("a case that waits for its own office"),
        (status, _) if goes_on(status) && outcome.case_id.is_empty() => {
            return Err("a case that was taken and has no number");
        }
        (CaseStatus::CorrectionRequested, _) => {}
        (status, Some(_)) if !matter::is_final(status) => {
            return Err("a case that goes on and is refused");
        }
        (_, Some(_) | None) => {}
    }
    Ok(Testimony { outcome: as_a_registrys_own(outcome), registered: case.registered, told })
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

/// A registration record certificate of all the properties asked about; its document is another's to look at.
///
/// # Errors
/// It has no number or moment, or is about other properties.
pub(super) fn record_of(answer: RecordAnswer, asked: &[Property]) -> Result<RecordAnswer, Flaw> {
    if answer.certificate_number.is_empty() || answer.as_of.is_none() {
        return Err("a record certificate without a number or a moment");
    }
    let are_asked = asked.iter().all(|property| {
        property.unit_code.is_empty() || answer.unit_codes.contains(&property.unit_code)
    });
    if answer.unit_codes.len() != asked.len() || !are_asked {
        return Err("a record certificate of other properties than asked about");
    }
    Ok(answer)
}

/// What a certificate is worth.
///
/// # Errors
/// It says nothing, of no moment, or of another certificate.
pub(super) fn certificate_of(
    answer: VerifyCertificateResponse,
    by: &Certificate,
) -> Result<CertificateAnswer, Flaw> {
    let is_another = match (by, answer.state()) {
        (_, CertificateState::Unspecified) => return Err("a certificate with no state"),
        (_, CertificateState::NotFound) => false,
        (Certificate::CertificateNumber(number), _) => answer.certificate_number != *number,
        (Certificate::VerificationCode(_), _) => answer.certificate_number.is_empty(),
    };
    if is_another {
        return Err("another certificate than the one asked about");
    }
    if answer.as_of.is_none() {
        return Err("a certificate as of no moment");
    }
    let VerifyCertificateResponse { state, certificate_number, unit_codes, as_of } = answer;
    Ok(CertificateAnswer { state, certificate_number, unit_codes, as_of })
}

/// The sums of one day.
///
/// # Errors
/// One is of nobody, or there are two of one, or a digest is none.
pub(super) fn sums_of(sums: Vec<DaySum>) -> Result<Vec<DaySum>, Flaw> {
    let mut of = BTreeSet::new();
    for sum in &sums {
        if sum.institution_id.is_empty() || !of.insert((&sum.institution_id, &sum.office)) {
            return Err("a day's sum of no institution, or two of one");
        }
        let parties = sum.parties_digest.as_ref();
        if sum.count < 0 || sum.digest.len() != 32 || parties.is_some_and(|it| it.len() != 32) {
            return Err("a day's sum that is none");
        }
    }
    Ok(sums)
}

/// A page of one day's cases, of which each has a key after the one before.
///
/// # Errors
/// They are in another order, so that the next page would not go on, or one says nothing.
pub(super) fn page_of(page: ListDayResponse, after: &str) -> Result<ListDayResponse, Flaw> {
    let mut before = after;
    for case in &page.cases {
        if case.idempotency_key.as_str() <= before {
            return Err("a day's cases that are not in order of their keys");
        }
        if case.status() == CaseStatus::Unspecified {
            return Err("a case with no status that is known");
        }
        if case.parties.as_ref().is_some_and(|it| it.len() != Parties::BYTES) {
            return Err("a digest of parties of another length");
        }
        before = &case.idempotency_key;
    }
    if page.more && page.cases.is_empty() {
        return Err("a page with nothing on it, and more to come");
    }
    Ok(page)
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
        testimony_of(case, "bank", &By::IdempotencyKey("k".into())).map(|it| it.outcome)
    }

    fn with(change: impl FnOnce(&mut Outcome)) -> Case {
        let mut case = registered();
        change(case.outcome.as_mut().unwrap());
        case
    }

    #[test]
    fn an_entry_of_which_nothing_is_said_is_an_answer_and_counts_as_untold() {
        let by = By::CaseId("c".into());
        let untold = |case| testimony_of(case, "bank", &by).unwrap().leaves_entry_untold();
        assert!(untold(registered()));
        assert!(!untold(Case { registered: Some(Registered::default()), ..registered() }));
        assert!(!untold(with(|outcome| outcome.set_status(CaseStatus::Accepted))));
    }

    #[test]
    fn a_case_that_says_what_was_asked_is_an_answer() {
        assert_eq!(by_key(registered()).unwrap().status(), CaseStatus::Registered);
        assert!(testimony_of(registered(), "bank", &By::CaseId("c".into())).is_ok());
    }

    #[test]
    fn anothers_case_is_no_answer() {
        assert!(testimony_of(registered(), "other", &By::IdempotencyKey("k".into())).is_err());
        assert!(testimony_of(registered(), "bank", &By::IdempotencyKey("other".into())).is_err());
        assert!(testimony_of(registered(), "bank", &By::CaseId("other".into())).is_err());
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
        let queued = CaseStatus::QueuedOutOfHours.into();
        assert!(by_key(with(|outcome| outcome.status = queued)).is_err(), "a gateway's own state");
    }

    #[test]
    fn a_case_that_goes_on_is_not_refused_and_has_a_number_once_it_was_taken() {
        let at = |status: CaseStatus, case_id: &str, is_refused: bool| {
            by_key(with(|outcome| {
                outcome.status = status.into();
                outcome.case_id = case_id.into();
                outcome.refusal = is_refused.then(Refusal::default);
            }))
        };
        for status in [CaseStatus::Submitted, CaseStatus::Accepted, CaseStatus::InReview] {
            assert!(at(status, "c", false).is_ok());
            assert!(at(status, "c", true).is_err() && at(status, "", true).is_err(), "{status:?}");
        }
        assert!(at(CaseStatus::Received, "", false).is_ok(), "its number may come later");
        assert!(at(CaseStatus::Received, "", true).is_err());
        assert!(at(CaseStatus::CorrectionRequested, "c", true).is_ok(), "says what is missing");
        assert!(at(CaseStatus::CorrectionRequested, "", true).is_err());
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
    fn a_certificate_is_the_one_asked_about_and_has_a_state_and_a_moment() {
        let answer = VerifyCertificateResponse {
            state: CertificateState::InForce.into(),
            certificate_number: "n".into(),
            unit_codes: Vec::new(),
            as_of: Some(prost_types::Timestamp::default()),
        };
        let by = |number: &str| Certificate::CertificateNumber(number.into());
        let code = Certificate::VerificationCode("c".into());
        assert!(certificate_of(answer.clone(), &by("n")).is_ok());
        assert!(certificate_of(answer.clone(), &code).is_ok());
        assert!(certificate_of(answer.clone(), &by("other")).is_err());
        let with = |change: fn(&mut VerifyCertificateResponse)| {
            let mut answer = answer.clone();
            change(&mut answer);
            answer
        };
        assert!(certificate_of(with(|it| it.state = 0), &by("n")).is_err());
        assert!(certificate_of(with(|it| it.as_of = None), &by("n")).is_err());
        assert!(certificate_of(with(|it| it.certificate_number.clear()), &code).is_err());
    }

    #[test]
    fn a_record_certificate_is_of_what_was_asked() {
        let asked = [Property { unit_code: "u".into(), ..Property::default() }];
        let answer = RecordAnswer {
            certificate_number: "n".into(),
            as_of: Some(prost_types::Timestamp::default()),
            unit_codes: vec!["u".into()],
            ..RecordAnswer::default()
        };
        assert!(record_of(answer.clone(), &asked).is_ok());
        let other = RecordAnswer { unit_codes: vec!["v".into()], ..answer.clone() };
        assert!(record_of(other, &asked).is_err());
        let nameless = RecordAnswer { certificate_number: String::new(), ..answer.clone() };
        assert!(record_of(nameless, &asked).is_err());
        assert!(record_of(RecordAnswer { as_of: None, ..answer }, &asked).is_err());
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
