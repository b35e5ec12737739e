//! The cases on the desk: which sort is listed, how many there are of each, a line a case.

use gateway::pages::Language;
use proto::v1::CaseStatus;
use serde::{Deserialize, Serialize};

use super::{
    super::cases::{Cases, File, name},
    sheet,
};

/// Lists are cut after so many lines: a soak makes thousands of cases.
const LINES_MAX: usize = 200;

/// Which cases are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sort {
    /// The registrar's turn.
    #[default]
    Waiting,
    /// The applicant's turn.
    Correcting,
    /// Entered in the register.
    Entered,
    /// Came to nothing.
    Ended,
}

const SORTS: [Sort; 4] = [Sort::Waiting, Sort::Correcting, Sort::Entered, Sort::Ended];

impl Sort {
    fn of(status: CaseStatus) -> Self {
        match status {
            CaseStatus::Unspecified
            | CaseStatus::Received
            | CaseStatus::Validating
            | CaseStatus::QueuedOutOfHours
            | CaseStatus::OutcomeUnknown
            | CaseStatus::Submitted
            | CaseStatus::Accepted
            | CaseStatus::InReview => Self::Waiting,
            CaseStatus::CorrectionRequested => Self::Correcting,
            CaseStatus::Registered | CaseStatus::Completed => Self::Entered,
            CaseStatus::RejectedValidation
            | CaseStatus::NotAccepted
            | CaseStatus::Refused
            | CaseStatus::Withdrawn
            | CaseStatus::Terminated
            | CaseStatus::Lapsed => Self::Ended,
        }
    }
}

/// What is listed.
#[derive(Debug, Serialize)]
pub(super) struct Shelf {
    sort: Sort,
    counts: Vec<(Sort, usize)>,
    lines: Vec<Line>,
    /// Cases of this sort that are too many to be listed.
    more: usize,
}

#[derive(Debug, Serialize)]
struct Line {
    case_id: String,
    status: &'static str,
    matter: String,
    who: String,
    place: String,
    /// How many properties it is about.
    places: usize,
    amount_fen: Option<i64>,
    at: i64,
    is_shown: bool,
}

impl Shelf {
    /// The cases of one sort: what waits in order of submission, what is done with the newest first.
    pub(super) fn of(cases: &Cases, sort: Sort, shown: Option<&str>, language: Language) -> Self {
        let of = |sort| move |file: &&File| Sort::of(status(file)) == sort;
        let counts = SORTS.map(|sort| (sort, cases.files().iter().filter(of(sort)).count()));
        let total = counts.iter().find(|(it, _)| *it == sort).map_or(0, |(_, count)| *count);
        let all = cases.files().iter().filter(of(sort));
        let line = |file: &File| line(file, shown, language);
        let lines: Vec<Line> = match sort {
            Sort::Waiting | Sort::Correcting => all.take(LINES_MAX).map(line).collect(),
            Sort::Entered | Sort::Ended => all.rev().take(LINES_MAX).map(line).collect(),
        };
        let more = total.saturating_sub(lines.len());
        Self { sort, counts: counts.to_vec(), lines, more }
    }
}

fn status(file: &File) -> CaseStatus {
    file.case.outcome.as_ref().map_or(CaseStatus::Unspecified, |outcome| outcome.status())
}

fn line(file: &File, shown: Option<&str>, language: Language) -> Line {
    let case_id = file.case.outcome.as_ref().map_or("", |outcome| outcome.case_id.as_str());
    let properties = sheet::properties(&file.application);
    let institution = file.application.institution.as_ref();
    Line {
        status: name(status(file)),
        matter: sheet::matter(&file.application)
            .map_or_else(String::new, |matter| language.word(&format!("matter.{matter}"))),
        who: institution.map_or("", |it| if it.name.is_empty() { &it.id } else { &it.name }).into(),
        places: properties.len(),
        place: properties.first().map(sheet::place).unwrap_or_default(),
        amount_fen: sheet::amount_fen(&file.application),
        at: file.history.first().map_or(0, |(at, _)| at.unix_timestamp()),
        is_shown: shown == Some(case_id),
        case_id: case_id.to_owned(),
    }
}
