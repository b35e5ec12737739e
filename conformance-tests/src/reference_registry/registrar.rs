//! The registrar's desk (登记员工作台): pages on which a person plays the registrar of the reference registry.
//!
//! Shows each application as a back office would, beside what the register says, and does what the person decides: accept,
//! register, refuse, ask for corrections, note a seizure, let a deadline pass. Plain HTTP on loopback alone, because whoever
//! reaches it decides. Decides nothing by itself, and keeps nothing: what is shown is read from the books each time.

mod sheet;
mod shelf;
mod standing;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, ensure};
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use gateway::pages::{self, Language, Names, Pages};
use proto::v1::{CaseStatus, Institution, Seizure};
use serde::{Deserialize, Serialize};
use time::{
    Date,
    format_description::FormatItem,
    macros::{format_description, offset},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    cases::{Cases, Decision, File, last_day_to_correct, name},
    complaint::Reason,
    judgement,
    register::{Stamp, TitleId},
};
use sheet::Sheet;
use shelf::{Shelf, Sort};
use standing::Standing;

/// Opens the desk; when this returns, it can be called. It closes with `end`.
pub(super) async fn open(
    address: SocketAddr,
    shared: Arc<Shared>,
    end: CancellationToken,
) -> anyhow::Result<SocketAddr> {
    ensure!(address.ip().is_loopback(), "the registrar's desk must be on loopback, not {address}");
    let tcp = TcpListener::bind(address).await.with_context(|| format!("listen {address}"))?;
    let address = tcp.local_addr()?;
    let templates = [
        ("desk.html", include_str!("registrar/desk.html")),
        ("refused.html", include_str!("registrar/refused.html")),
    ];
    let pages = Arc::new(Pages::new("/", &templates)?);
    let routes = Router::new()
        .route("/", get(overview))
        .route("/cases/{case_id}", get(case))
        .route("/cases/{case_id}/{decision}", post(decide))
        .route("/cases/{case_id}/properties/{position}/{action}", post(limit))
        .route("/changes", get(changes))
        .with_state(Room { shared, pages });
    tokio::spawn(async move {
        tokio::select! {
            () = end.cancelled() => {}
            _ = axum::serve(tcp, pages::guarded("/", routes, Names::default())) => {}
        }
    });
    Ok(address)
}

/// What every page is made from.
#[derive(Debug, Clone)]
struct Room {
    shared: Arc<Shared>,
    pages: Arc<Pages>,
}

#[derive(Deserialize)]
struct Chosen {
    /// Which cases are listed.
    #[serde(default)]
    show: Sort,
}

async fn overview(
    State(room): State<Room>,
    language: Language,
    Query(chosen): Query<Chosen>,
) -> Response {
    room.show(language, chosen.show, None)
}

async fn case(
    State(room): State<Room>,
    language: Language,
    Path(case_id): Path<String>,
    Query(chosen): Query<Chosen>,
) -> Response {
    room.show(language, chosen.show, Some(&case_id))
}

async fn changes(State(room): State<Room>) -> Response {
    pages::changes(room.shared.changes.subscribe())
}

/// What a form of a case says; each button says a part of it.
#[derive(Deserialize)]
struct Filled {
    /// How many changes of the case the person had seen.
    seen: usize,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    words: String,
    #[serde(default)]
    deadline: String,
    #[serde(default)]
    items: String,
}

async fn decide(
    State(room): State<Room>,
    language: Language,
    Path((case_id, decision)): Path<(String, String)>,
    Form(filled): Form<Filled>,
) -> Response {
    let now = room.shared.now();
    let done = decision_of(&decision, &filled).and_then(|decision| {
        room.shared.change(|books| {
            seen(&books.cases, &case_id, filled.seen)?;
            let decided = books.cases.decide(&case_id, decision, now);
            decided.map(drop).map_err(|_how_it_stands| Told::CannotBe)
        })
    });
    room.answered(language, &case_id, done)
}

/// What a form of a property says.
#[derive(Deserialize)]
struct Limiting {
    seen: usize,
    #[serde(default)]
    court: String,
    #[serde(default)]
    enforcement: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    number: String,
}

async fn limit(
    State(room): State<Room>,
    language: Language,
    Path((case_id, position, action)): Path<(String, usize, String)>,
    Form(filled): Form<Limiting>,
) -> Response {
    let done = room.shared.change(|books| {
        seen(&books.cases, &case_id, filled.seen)?;
        let title = title_of(&books.cases, &case_id, position).ok_or(Told::NotThere)?;
        match action.as_str() {
            "seize" => seize(&mut books.cases, title, &filled),
            "release" => release(&mut books.cases, title, &filled),
            _ => Err(Told::NotThere),
        }
    });
    room.answered(language, &case_id, done)
}

/// Why the desk did not do what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    /// No such case, property or action.
    NotThere,
    /// The case changed after the page was shown.
    Changed,
    /// Nothing of the sort follows on how the case stands.
    CannotBe,
    /// Something is not filled in as it must be.
    NotFilled,
}

impl Told {
    fn status(self) -> StatusCode {
        match self {
            Self::NotThere => StatusCode::NOT_FOUND,
            Self::Changed | Self::CannotBe => StatusCode::CONFLICT,
            Self::NotFilled => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

fn seen(cases: &Cases, case_id: &str, seen: usize) -> Result<(), Told> {
    let file = cases.file(case_id).ok_or(Told::NotThere)?;
    if file.history.len() == seen { Ok(()) } else { Err(Told::Changed) }
}

/// Longest words a person may add, and longest item, in characters: banks' replies have little room.
const WORDS_CHARS_MAX: usize = 200;
/// Most items of one request for correction.
const ITEMS_MAX: usize = 20;

fn decision_of(name: &str, filled: &Filled) -> Result<Decision, Told> {
    Ok(match name {
        "accept" => Decision::Accept,
        "review" => Decision::Review,
        "register" => Decision::Register,
        "complete" => Decision::Complete,
        "lapse" => Decision::Lapse,
        "refuse" => {
            let words = filled.words.trim().to_owned();
            let reason = Reason::OF_A_PERSON
                .into_iter()
                .find(|reason| reason.words().registry_code == filled.reason)
                .filter(|_| words.chars().count() <= WORDS_CHARS_MAX);
            Decision::Refuse { reason: reason.ok_or(Told::NotFilled)?, words }
        }
        "correct" => {
            let items = filled.items.lines().map(str::trim).filter(|item| !item.is_empty());
            let items: Vec<String> = items.map(str::to_owned).collect();
            let fits = !items.is_empty()
                && items.len() <= ITEMS_MAX
                && items.iter().all(|item| item.chars().count() <= WORDS_CHARS_MAX);
            let deadline = day(&filled.deadline).filter(|_| fits).ok_or(Told::NotFilled)?;
            Decision::AskForCorrection { deadline, items }
        }
        _ => return Err(Told::NotThere),
    })
}

const DAY: &[FormatItem<'_>] = format_description!("[year]-[month]-[day]");

fn day(text: &str) -> Option<Date> {
    Date::parse(text, DAY).ok()
}

fn title_of(cases: &Cases, case_id: &str, position: usize) -> Option<TitleId> {
    let properties = sheet::properties(&cases.file(case_id)?.application);
    cases.register.title_of(properties.get(position)?).map(|(id, _)| id)
}

fn seize(cases: &mut Cases, title: TitleId, filled: &Limiting) -> Result<(), Told> {
    let (from, to) = (day(&filled.from), day(&filled.to));
    let (from, to) = from.zip(to).filter(|(from, to)| from <= to).ok_or(Told::NotFilled)?;
    let name = filled.court.trim().to_owned();
    let number = filled.enforcement.trim().to_owned();
    if name.is_empty() || name.chars().count() > WORDS_CHARS_MAX || number.is_empty() {
        return Err(Told::NotFilled);
    }
    let court = Institution { name, ..Institution::default() };
    let seizure = Seizure {
        enforcement_case_number: number,
        seized_from: from.to_string(),
        seized_to: to.to_string(),
        ..Seizure::default()
    };
    let day = cases.register.day;
    let queued = standing::is_seized(&cases.register, title);
    let stamp = Stamp { office: "", day };
    cases.register.seize(&seizure, &[title], &court, queued, stamp);
    Ok(())
}

fn release(cases: &mut Cases, title: TitleId, filled: &Limiting) -> Result<(), Told> {
    if !standing::is_released_here(&cases.register, title, &filled.number) {
        return Err(Told::NotThere);
    }
    let ended = Seizure { prior_entry_number: filled.number.clone(), ..Seizure::default() };
    cases.register.release(&ended, &[title]);
    Ok(())
}

/// One case as the page shows it.
#[derive(Serialize)]
struct Shown {
    case_id: String,
    status: &'static str,
    seen: usize,
    history: Vec<(i64, &'static str)>,
    sheet: Sheet,
    standing: Vec<Standing>,
    /// What stands against an entry now.
    against: Vec<Against>,
    reasons: Vec<Against>,
    certificates: Vec<String>,
    refusal: Option<String>,
    refusal_code: Option<String>,
    correction: Option<(String, Vec<String>)>,
    deadline: String,
    today: String,
    /// By law the entry ends by itself (预告登记, 民法典 art. 221).
    lapses: bool,
}

#[derive(Serialize)]
struct Against {
    code: &'static str,
    words: String,
}

impl Room {
    fn show(&self, language: Language, sort: Sort, case_id: Option<&str>) -> Response {
        let (shelf, shown) = {
            let books = self.shared.books();
            let shelf = Shelf::of(&books.cases, sort, case_id, language);
            let file = case_id.map(|case_id| books.cases.file(case_id));
            (shelf, file.map(|file| file.map(|file| shown(&books.cases, file, language))))
        };
        match shown {
            Some(None) => self.refused(language, None, Told::NotThere),
            shown => self.pages.show(
                language,
                "desk.html",
                minijinja::context! { shelf, case => shown.flatten() },
            ),
        }
    }

    fn answered(&self, language: Language, case_id: &str, done: Result<(), Told>) -> Response {
        match done {
            Ok(()) => Redirect::to(&format!("/cases/{case_id}")).into_response(),
            Err(told) => self.refused(language, Some(case_id), told),
        }
    }

    fn refused(&self, language: Language, case_id: Option<&str>, told: Told) -> Response {
        let context = minijinja::context! { told, case_id };
        let mut page = self.pages.show(language, "refused.html", context);
        *page.status_mut() = told.status();
        page
    }
}

fn shown(cases: &Cases, file: &File, language: Language) -> Shown {
    let outcome = file.case.outcome.clone().unwrap_or_default();
    let status = outcome.status();
    let is_open =
        matches!(status, CaseStatus::Submitted | CaseStatus::Accepted | CaseStatus::InReview);
    let against = match judgement::judge(&cases.register, &file.application) {
        Err(complaints) if is_open => complaints
            .all()
            .iter()
            .map(|complaint| Against {
                code: complaint.reason.words().registry_code,
                words: match language {
                    Language::Chinese => complaint.in_chinese(),
                    Language::English => complaint.in_english(),
                },
            })
            .collect(),
        Err(_) | Ok(_) => Vec::new(),
    };
    let at_the_counter = status == CaseStatus::Submitted;
    let reasons = Reason::OF_A_PERSON
        .into_iter()
        .filter(|reason| reason.at_the_counter() == at_the_counter)
        .map(|reason| {
            let words = reason.words();
            let said = match language {
                Language::Chinese => words.chinese,
                Language::English => words.english,
            };
            Against { code: words.registry_code, words: said.to_owned() }
        });
    let now = cases.register.day.midnight().assume_offset(offset!(+8));
    let sheet = Sheet::of(file, language);
    Shown {
        status: name(status),
        seen: file.history.len(),
        history: file.history.iter().map(|(at, to)| (at.unix_timestamp(), name(*to))).collect(),
        standing: standing::of(&cases.register, &file.application, language),
        against,
        reasons: reasons.collect(),
        refusal_code: outcome.refusal.as_ref().map(|refusal| refusal.registry_code.clone()),
        refusal: outcome.refusal.map(|refusal| refusal.registry_message),
        correction: outcome.correction.map(|it| (it.deadline, it.items)),
        certificates: outcome.certificate_numbers,
        case_id: outcome.case_id,
        deadline: last_day_to_correct(now).to_string(),
        today: standing::today(now).to_string(),
        lapses: sheet.lapses,
        sheet,
    }
}
