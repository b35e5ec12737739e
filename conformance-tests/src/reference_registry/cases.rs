//! The registry's cases: each application under its institution and key, where it stands, and how often each key led
//! to a registration.
//!
//! Pure but for the moment handed in. Whoever holds the lock around it commits a case by returning from `submit`: there
//! is no state between "not known" and "known with its outcome".

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use anyhow::{Context, bail};
use proto::v1::{Application, Case, CaseStatus, Correction, Outcome, Registered};
use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime, macros::offset};

use super::{
    account,
    complaint::{Complaints, Reason},
    judgement::{self, Entry},
    register::{Register, Stamp},
    stream::Row,
};

/// When an application that nothing stands against is entered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// At once: the answer to `Submit` is REGISTERED.
    #[default]
    AtOnce,
    /// On command: the answer to `Submit` is ACCEPTED.
    OnCommand,
    /// By a person at the desk (`registrar.rs`): the answer to `Submit` is SUBMITTED, whatever it says.
    AtTheDesk,
    /// By reviewers who take their time: ACCEPTED at first, IN_REVIEW after so many milliseconds, and entered or refused after
    /// as many again.
    Slowly {
        /// How many.
        ms: u64,
    },
}

/// What happens when a key comes a second time from the same institution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeats {
    /// The first case is the answer, as the service promises.
    #[default]
    FirstCase,
    /// It is a new case: some registries do this, and the gateway must cope.
    NewCase,
}

/// A step a case is made to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Step {
    /// ACCEPTED to IN_REVIEW.
    Review,
    /// ACCEPTED or IN_REVIEW to REGISTERED, or to REFUSED if the register has something against it by now.
    #[default]
    Register,
    /// REGISTERED to COMPLETED.
    Complete,
    /// ACCEPTED or IN_REVIEW to CORRECTION_REQUESTED.
    AskForCorrection,
    /// ACCEPTED or IN_REVIEW to REFUSED, whatever the register says.
    Refuse,
    /// CORRECTION_REQUESTED or REGISTERED to LAPSED: a deadline has passed.
    Lapse,
}

/// What is decided about a case, with all that is told with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// SUBMITTED to ACCEPTED (受理).
    Accept,
    /// As [`Step::Review`].
    Review,
    /// As [`Step::Register`].
    Register,
    /// As [`Step::Complete`].
    Complete,
    /// Anything that is not yet entered, to CORRECTION_REQUESTED.
    AskForCorrection {
        /// The last day.
        deadline: Date,
        /// What is missing, an item each.
        items: Vec<String>,
    },
    /// SUBMITTED to NOT_ACCEPTED (不予受理); ACCEPTED or IN_REVIEW to REFUSED (不予登记).
    Refuse {
        /// Why.
        reason: Reason,
        /// The registrar's own words besides; may be empty.
        words: String,
    },
    /// As [`Step::Lapse`].
    Lapse,
}

impl Step {
    fn decision(self, now: OffsetDateTime) -> Decision {
        match self {
            Self::Review => Decision::Review,
            Self::Register => Decision::Register,
            Self::Complete => Decision::Complete,
            Self::AskForCorrection => Decision::AskForCorrection {
                deadline: last_day_to_correct(now),
                items: vec!["抵押合同缺页(示例)".to_owned()],
            },
            Self::Refuse => {
                Decision::Refuse { reason: Reason::RefusedByReviewer, words: String::new() }
            }
            Self::Lapse => Decision::Lapse,
        }
    }
}

/// How often things happened; the invariant is that no key leads to more than one registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// `Submit` calls that arrived with an application and a key, faults and repeats included.
    pub submits: u64,
    /// `GetCase` calls that arrived, faults included.
    #[serde(default)]
    pub questions: u64,
    /// `DescribeOffices` calls that arrived.
    #[serde(default)]
    pub descriptions: u64,
    /// Materials that came whole.
    #[serde(default)]
    pub materials: u64,
    /// Cases made.
    pub cases: u64,
    /// Entries of every matter.
    #[serde(default)]
    pub entries: u64,
    /// Mortgages entered.
    pub registered: u64,
    /// Discharges entered.
    pub discharged: u64,
    /// Cases not accepted or refused.
    pub refused: u64,
    /// The most registrations any key led to.
    pub registrations_per_key_max: u64,
    /// By `institution/key`.
    pub keys: BTreeMap<String, KeyCounts>,
}

/// The same for one key of one institution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCounts {
    /// `Submit` calls that arrived.
    pub submits: u64,
    /// Entries in the register they led to, whatever the matter.
    pub registrations: u64,
}

/// A case, for whoever looks on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseView {
    /// The acceptance number.
    pub case_id: String,
    /// Who submitted it.
    pub institution: String,
    /// Under which key.
    pub key: String,
    /// The status, without its type's prefix.
    pub status: String,
    /// Why it was refused; empty where it was not.
    pub refusal_code: String,
    /// Numbers of the certificates.
    pub certificate_numbers: Vec<String>,
    /// SHA-256 of the bank's certificate that came with it, in lower-case hexadecimal.
    pub bank_certificate_sha256: String,
}

/// All cases, and the register they change.
#[derive(Debug)]
pub(super) struct Cases {
    pub(super) register: Register,
    review: Review,
    repeats: Repeats,
    mixes_up: bool,
    files: Vec<File>,
    by_id: HashMap<String, usize>,
    by_key: HashMap<(String, String), Vec<usize>>,
    counts: Counts,
    /// What watchers are told.
    pub(super) told: Row,
}

/// All there is about one case.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// As it came.
    pub(super) application: Application,
    /// SHA-256 of the bank's certificate that came with it, in lower-case hexadecimal.
    pub(super) bank_certificate_sha256: String,
    /// As it stands.
    pub(super) case: Case,
    /// How it stood from when on, oldest first.
    pub(super) history: Vec<(OffsetDateTime, CaseStatus)>,
}

impl Cases {
    pub(super) fn new(register: Register, review: Review, repeats: Repeats) -> Self {
        Self {
            register,
            review,
            repeats,
            mixes_up: false,
            files: Vec::new(),
            by_id: HashMap::new(),
            by_key: HashMap::new(),
            counts: Counts::default(),
            told: Row::default(),
        }
    }

    /// How long each step of a review takes, where reviewers take their time.
    pub(super) fn review_time(&self) -> Option<Duration> {
        match self.review {
            Review::Slowly { ms } => Some(Duration::from_millis(ms)),
            Review::AtOnce | Review::OnCommand | Review::AtTheDesk => None,
        }
    }

    /// From now on applications are entered so.
    pub(super) fn review_so(&mut self, review: Review) {
        self.review = review;
    }

    /// All cases, in order of submission.
    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    /// A case, whoever submitted it.
    pub(super) fn file(&self, case_id: &str) -> Option<&File> {
        self.files.get(*self.by_id.get(case_id)?)
    }

    /// Watchers are told of every case that it is in a state that it is not in.
    pub(super) fn tell_wrongly(&mut self, status: CaseStatus, now: OffsetDateTime) {
        let cases: Vec<_> = self.files.iter().map(|file| file.case.clone()).collect();
        self.told.tell_wrongly(&cases, status, now);
    }

    /// Watchers are told of a case under a key that no gateway ever sent.
    pub(super) fn tell_of_a_stranger(&mut self, now: OffsetDateTime) {
        let known = self.files.last().map(|file| file.case.clone()).unwrap_or_default();
        let idempotency_key = "nobody-sent-this".to_owned();
        let outcome = Outcome {
            case_id: "SL-UNKNOWN".to_owned(),
            status: CaseStatus::Accepted.into(),
            ..Outcome::default()
        };
        let case = Case { idempotency_key, outcome: Some(outcome), registered: None, ..known };
        self.told.tell(&case, now);
    }

    /// A question for a case arrived.
    pub(super) fn count_question(&mut self) {
        self.counts.questions += 1;
    }

    /// The offices were asked for.
    pub(super) fn count_description(&mut self) {
        self.counts.descriptions += 1;
    }

    /// A material came whole.
    pub(super) fn count_material(&mut self) {
        self.counts.materials += 1;
    }

    /// Counts a call, whatever becomes of it.
    pub(super) fn count_submit(&mut self, institution: &str, key: &str) {
        self.counts.submits += 1;
        self.counts.keys.entry(format!("{institution}/{key}")).or_default().submits += 1;
    }

    /// Takes an application: the first case if the key is known, else a new one.
    pub(super) fn submit(
        &mut self,
        application: Application,
        bank_certificate_sha256: String,
        now: OffsetDateTime,
    ) -> Case {
        let institution = application.institution.as_ref().map_or("", |it| it.id.as_str());
        let key = (institution.to_owned(), application.idempotency_key.clone());
        if self.repeats == Repeats::FirstCase
            && let Some(first) = self.by_key(&key.0, &key.1)
        {
            return first.clone();
        }

        let case_id = self.new_case_id(now);
        let outcome = match judgement::judge(&self.register, &application) {
            Ok(_) | Err(_) if self.review == Review::AtTheDesk => Outcome {
                case_id: case_id.clone(),
                status: CaseStatus::Submitted.into(),
                ..Outcome::default()
            },
            Ok(entry) if self.review == Review::AtOnce => {
                self.count_entry(&entry, &application);
                registered(entry, &mut self.register, &application, &case_id, now)
            }
            Err(complaints) if self.review == Review::AtOnce || complaints.at_the_counter() => {
                self.counts.refused += 1;
                complaints.outcome(&case_id)
            }
            // What the reviewer will find is not known at the counter.
            Ok(_) | Err(_) => Outcome {
                case_id: case_id.clone(),
                status: CaseStatus::Accepted.into(),
                ..Outcome::default()
            },
        };
        self.keep(application, bank_certificate_sha256, outcome, now)
    }

    /// Takes an application that corrects a case of the same institution; that one has ended then.
    pub(super) fn correct(
        &mut self,
        application: Application,
        bank_certificate_sha256: String,
        now: OffsetDateTime,
    ) -> Case {
        let institution = application.institution.as_ref().map_or("", |it| it.id.as_str());
        let known = self.by_key(institution, &application.idempotency_key).is_some();
        let corrected = application.corrects_case_id.clone();
        let waits = self.by_id(institution, &corrected).is_some_and(|case| {
            let outcome = case.outcome.as_ref();
            outcome.is_some_and(|it| it.status() == CaseStatus::CorrectionRequested)
        });
        if !known && !waits {
            let mut complaints = Complaints::default();
            complaints.add(Reason::CaseNotCorrectable, "corrects_case_id", &corrected);
            self.counts.refused += 1;
            let outcome = complaints.outcome(&self.new_case_id(now));
            return self.keep(application, bank_certificate_sha256, outcome, now);
        }
        let case = self.submit(application, bank_certificate_sha256, now);
        let refused = case.outcome.as_ref().is_some_and(|outcome| outcome.refusal.is_some());
        if let Some(earlier) = self.file_mut(&corrected).filter(|_| !refused && waits) {
            let outcome = earlier.case.outcome.clone().unwrap_or_default();
            let outcome =
                Outcome { status: CaseStatus::Terminated.into(), correction: None, ..outcome };
            let ended = earlier.change(outcome, now);
            self.told.tell(&ended, now);
        }
        case
    }

    /// Withdraws a case of the institution's, unless it is entered or has ended, and gives it as it stands then.
    pub(super) fn withdraw(
        &mut self,
        institution: &str,
        case_id: &str,
        now: OffsetDateTime,
    ) -> Option<Case> {
        let file = self.file_mut(case_id).filter(|it| it.case.institution_id == institution)?;
        let outcome = file.case.outcome.clone().unwrap_or_default();
        if matches!(
            outcome.status(),
            CaseStatus::Submitted
                | CaseStatus::Accepted
                | CaseStatus::InReview
                | CaseStatus::CorrectionRequested
        ) {
            let status = CaseStatus::Withdrawn.into();
            let withdrawn = file.change(Outcome { status, correction: None, ..outcome }, now);
            self.told.tell(&withdrawn, now);
            return Some(withdrawn);
        }
        Some(file.case.clone())
    }

    /// Whether a case of the institution's has that certificate.
    pub(super) fn has_certificate(&self, institution: &str, number: &str) -> bool {
        let own = self.files.iter().filter(|file| file.case.institution_id == institution);
        own.filter_map(|file| file.case.outcome.as_ref())
            .any(|outcome| outcome.certificate_numbers.iter().any(|it| it == number))
    }

    pub(super) fn file_mut(&mut self, case_id: &str) -> Option<&mut File> {
        self.files.get_mut(*self.by_id.get(case_id)?)
    }

    /// One more case, which nobody submitted.
    pub(super) fn add(&mut self, file: File) {
        let outcome = file.case.outcome.clone().unwrap_or_default();
        let key = (file.case.institution_id.clone(), file.case.idempotency_key.clone());
        let position = self.files.len();
        self.by_id.insert(outcome.case_id, position);
        self.by_key.entry(key).or_default().push(position);
        self.files.push(file);
    }

    /// A case is gone as if it had never been there.
    pub(super) fn forget(&mut self, case_id: &str) {
        let is_it = |file: &File| {
            file.case.outcome.as_ref().is_some_and(|outcome| outcome.case_id == case_id)
        };
        let (mut left, files) = (Vec::new(), std::mem::take(&mut self.files));
        left.extend(files.into_iter().filter(|file| !is_it(file)));
        self.by_id.clear();
        self.by_key.clear();
        left.into_iter().for_each(|file| self.add(file));
    }

    fn keep(
        &mut self,
        application: Application,
        bank_certificate_sha256: String,
        outcome: Outcome,
        now: OffsetDateTime,
    ) -> Case {
        let institution = application.institution.as_ref().map_or("", |it| it.id.as_str());
        let key = (institution.to_owned(), application.idempotency_key.clone());
        let case_id = outcome.case_id.clone();
        let registered = self.account(&outcome, &application);
        let case = Case {
            registered,
            idempotency_key: key.1.clone(),
            institution_id: key.0.clone(),
            outcome: Some(outcome),
            submitted_at: Some(timestamp(now)),
            changed_at: Some(timestamp(now)),
        };
        let position = self.files.len();
        let history = vec![(now, case.outcome.clone().unwrap_or_default().status())];
        self.counts.cases += 1;
        self.by_id.insert(case_id, position);
        self.by_key.entry(key).or_default().push(position);
        self.files.push(File { application, bank_certificate_sha256, case: case.clone(), history });
        self.told.tell(&case, now);
        case
    }

    /// From now on the account of what is entered has one party list filled from the other, or no longer.
    pub(super) fn mix_up_parties(&mut self, mixes_up: bool) {
        self.mixes_up = mixes_up;
    }

    fn account(&self, outcome: &Outcome, application: &Application) -> Option<Registered> {
        let is_entered = outcome.status() == CaseStatus::Registered;
        is_entered.then(|| account::of(application, self.mixes_up)).flatten()
    }

    fn count_entry(&mut self, entry: &Entry<'_>, application: &Application) {
        self.counts.entries += 1;
        match entry {
            Entry::Charges(..) => self.counts.registered += 1,
            Entry::Discharge(..) => self.counts.discharged += 1,
            Entry::ChargeChange(..)
            | Entry::ChargeTransfer(..)
            | Entry::Notices(..)
            | Entry::NoticesEnd(..)
            | Entry::NewHomes(..)
            | Entry::Ownership(..)
            | Entry::OwnershipChange(..)
            | Entry::Reissue(..)
            | Entry::Seizure(..) => {}
        }
        let institution = application.institution.as_ref().map_or("", |it| it.id.as_str());
        let key = format!("{institution}/{}", application.idempotency_key);
        let per_key = self.counts.keys.entry(key).or_default();
        per_key.registrations += 1;
        self.counts.registrations_per_key_max =
            self.counts.registrations_per_key_max.max(per_key.registrations);
    }

    /// Makes a case take a step.
    ///
    /// # Errors
    /// There is no such case, or it does not stand where the step begins.
    pub(super) fn advance(
        &mut self,
        case_id: &str,
        step: Step,
        now: OffsetDateTime,
    ) -> anyhow::Result<Case> {
        self.decide(case_id, step.decision(now), now)
    }

    /// Does what was decided about a case.
    ///
    /// # Errors
    /// There is no such case, or it does not stand where that can be decided.
    pub(super) fn decide(
        &mut self,
        case_id: &str,
        decision: Decision,
        now: OffsetDateTime,
    ) -> anyhow::Result<Case> {
        let position = *self.by_id.get(case_id).with_context(|| format!("no case {case_id}"))?;
        let file = self.files.get(position).with_context(|| format!("no case {case_id}"))?;
        let outcome = file.case.outcome.clone().unwrap_or_default();
        let changed = match (outcome.status(), decision) {
            (CaseStatus::Submitted, Decision::Accept) => {
                Outcome { status: CaseStatus::Accepted.into(), ..outcome }
            }
            (CaseStatus::Accepted, Decision::Review) => {
                Outcome { status: CaseStatus::InReview.into(), ..outcome }
            }
            (CaseStatus::Accepted | CaseStatus::InReview, Decision::Register) => {
                let application = file.application.clone();
                match judgement::judge(&self.register, &application) {
                    Ok(entry) => {
                        self.count_entry(&entry, &application);
                        registered(entry, &mut self.register, &application, case_id, now)
                    }
                    Err(complaints) => {
                        self.counts.refused += 1;
                        complaints.outcome(case_id)
                    }
                }
            }
            (
                CaseStatus::Submitted | CaseStatus::Accepted | CaseStatus::InReview,
                Decision::AskForCorrection { deadline, items },
            ) => {
                let correction = Correction { deadline: deadline.to_string(), items };
                let status = CaseStatus::CorrectionRequested.into();
                Outcome { status, correction: Some(correction), ..outcome }
            }
            (CaseStatus::Registered, Decision::Complete) => {
                Outcome { status: CaseStatus::Completed.into(), ..outcome }
            }
            (
                status @ (CaseStatus::Submitted | CaseStatus::Accepted | CaseStatus::InReview),
                Decision::Refuse { reason, words },
            ) => {
                let mut complaints = Complaints::default();
                complaints.add(reason, "", &words);
                self.counts.refused += 1;
                let status = match status {
                    CaseStatus::Submitted => CaseStatus::NotAccepted,
                    _ => CaseStatus::Refused,
                };
                Outcome { status: status.into(), ..complaints.outcome(case_id) }
            }
            (CaseStatus::CorrectionRequested | CaseStatus::Registered, Decision::Lapse) => {
                Outcome { status: CaseStatus::Lapsed.into(), correction: None, ..outcome }
            }
            (status, decision) => bail!("case {case_id} is {}: no {decision:?}", name(status)),
        };
        let registered = self.account(
            &changed,
            &self.files.get(position).with_context(|| format!("no case {case_id}"))?.application,
        );
        let file = self.files.get_mut(position).with_context(|| format!("no case {case_id}"))?;
        file.case.registered = registered.or(file.case.registered.take());
        let case = file.change(changed, now);
        self.told.tell(&case, now);
        Ok(case)
    }

    /// The numbers of all cases that wait for this step, in order of submission.
    pub(super) fn waiting_for(&self, step: Step) -> Vec<String> {
        let waits = |status: CaseStatus| match step {
            Step::Review => status == CaseStatus::Accepted,
            Step::Register => matches!(status, CaseStatus::Accepted | CaseStatus::InReview),
            Step::Complete => status == CaseStatus::Registered,
            Step::AskForCorrection | Step::Refuse => {
                matches!(status, CaseStatus::Accepted | CaseStatus::InReview)
            }
            Step::Lapse => {
                matches!(status, CaseStatus::CorrectionRequested | CaseStatus::Registered)
            }
        };
        self.files
            .iter()
            .filter_map(|file| file.case.outcome.as_ref())
            .filter(|outcome| waits(outcome.status()))
            .map(|outcome| outcome.case_id.clone())
            .collect()
    }

    /// A case of the institution's own, by its number.
    pub(super) fn by_id(&self, institution: &str, case_id: &str) -> Option<&Case> {
        let file = self.files.get(*self.by_id.get(case_id)?)?;
        (file.case.institution_id == institution).then_some(&file.case)
    }

    /// The first case the institution submitted under the key.
    pub(super) fn by_key(&self, institution: &str, key: &str) -> Option<&Case> {
        let positions = self.by_key.get(&(institution.to_owned(), key.to_owned()))?;
        self.files.get(*positions.first()?).map(|file| &file.case)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn last_application(&self) -> Option<&Application> {
        self.files.last().map(|file| &file.application)
    }

    pub(super) fn views(&self) -> Vec<CaseView> {
        self.files.iter().map(File::view).collect()
    }

    fn new_case_id(&self, now: OffsetDateTime) -> String {
        let day = now.to_offset(offset!(+8)).date();
        let (year, month, day) = (day.year(), u8::from(day.month()), day.day());
        format!("SL{year:04}{month:02}{day:02}{:06}", self.files.len() + 1)
    }
}

/// Enters it and says so.
fn registered(
    entry: Entry<'_>,
    register: &mut Register,
    application: &Application,
    case_id: &str,
    now: OffsetDateTime,
) -> Outcome {
    let office = application.office.as_ref().map_or("", |office| office.code.as_str());
    let stamp = Stamp { office, day: now.to_offset(offset!(+8)).date() };
    Outcome {
        case_id: case_id.to_owned(),
        status: CaseStatus::Registered.into(),
        certificate_numbers: entry.enter(register, stamp),
        registered_at: Some(timestamp(now)),
        ..Outcome::default()
    }
}

/// The last day on which a bank may correct an application that it is asked now to correct.
pub(super) fn last_day_to_correct(now: OffsetDateTime) -> Date {
    (now.to_offset(offset!(+8)) + DAYS_TO_CORRECT).date()
}

/// How long a bank has to correct an application.
const DAYS_TO_CORRECT: time::Duration = time::Duration::days(30);

impl File {
    fn change(&mut self, outcome: Outcome, now: OffsetDateTime) -> Case {
        self.history.push((now, outcome.status()));
        self.case.outcome = Some(outcome);
        self.case.changed_at = Some(timestamp(now));
        self.case.clone()
    }

    fn view(&self) -> CaseView {
        let outcome = self.case.outcome.clone().unwrap_or_default();
        CaseView {
            status: name(outcome.status()).to_owned(),
            refusal_code: outcome.refusal.map(|refusal| refusal.code).unwrap_or_default(),
            case_id: outcome.case_id,
            institution: self.case.institution_id.clone(),
            key: self.case.idempotency_key.clone(),
            certificate_numbers: outcome.certificate_numbers,
            bank_certificate_sha256: self.bank_certificate_sha256.clone(),
        }
    }
}

/// Without its type's prefix.
pub(super) fn name(status: CaseStatus) -> &'static str {
    status.as_str_name().trim_start_matches("CASE_STATUS_")
}

/// Whole seconds: that is how the register keeps time, and banks' replies have no room for less.
pub(super) fn timestamp(moment: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: moment.unix_timestamp(), nanos: 0 }
}
