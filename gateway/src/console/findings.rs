//! Findings of reconciliation: where the ledger and a registry's books differ; operators close those that are explained.

use std::time::SystemTime;

use axum::{
    Form,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use minijinja::context;
use serde::{Deserialize, Serialize};

use super::{Console, acts::Deed, visitor::Asker};
use crate::{
    evidence::act::Act,
    ledger::books::{KeptFinding, Kind, Which},
    pages::{self, Language},
};

/// How many findings are listed.
const FINDINGS_MAX: u32 = 500;

/// Longer than an explanation is.
const NOTE_CHARS_MAX: usize = 500;

/// A finding.
#[derive(Debug, Serialize)]
struct Line {
    id: i64,
    registry: String,
    day: String,
    kind: String,
    institution: String,
    key: String,
    office: String,
    case_id: String,
    /// What both sides say; `None` where that is an amount.
    sides: Option<(String, String)>,
    times: i64,
    first: String,
    last: String,
    closed: Option<String>,
    note: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    /// The closed ones too.
    #[serde(default)]
    all: String,
}

pub(super) async fn show(
    State(console): State<Console>,
    asker: Asker,
    Query(asked): Query<Asked>,
) -> Response {
    let which = if asked.all.is_empty() { Which::Open } else { Which::All };
    console
        .show_of(&asker, "findings.html", async |gateway| {
            let findings = gateway.ledger.findings(which, FINDINGS_MAX).await?;
            let findings: Vec<_> =
                findings.into_iter().map(|it| line(it, asker.language)).collect();
            Ok(Some(context! { place => "findings", findings, all => which == Which::All }))
        })
        .await
}

fn line(kept: KeptFinding, language: Language) -> Line {
    let finding = kept.finding;
    let kind = match language {
        Language::Chinese => finding.kind.chinese().to_owned(),
        Language::English => finding.kind.name().to_owned(),
    };
    let sides = match finding.kind {
        Kind::Amount => None,
        Kind::OnlyTheirs | Kind::OnlyOurs | Kind::Case | Kind::Status | Kind::Party => {
            Some((finding.ours, finding.theirs))
        }
    };
    Line {
        id: kept.id,
        registry: kept.registry,
        day: kept.day,
        kind,
        institution: finding.institution,
        key: finding.key,
        office: finding.office,
        case_id: finding.case_id,
        sides,
        times: kept.times,
        first: moment(kept.first_at),
        last: moment(kept.last_at),
        closed: kept.closed_at.map(moment),
        note: kept.note,
    }
}

/// A moment as pages say it.
pub(super) fn moment(at: SystemTime) -> String {
    pages::moment(time::OffsetDateTime::from(at).unix_timestamp())
}

/// Which finding is closed, and why.
#[derive(Deserialize)]
pub(super) struct Closed {
    id: i64,
    note: String,
}

pub(super) async fn close(
    State(console): State<Console>,
    asker: Asker,
    Form(closed): Form<Closed>,
) -> Response {
    let note = closed.note.trim();
    if note.is_empty() || note.chars().count() > NOTE_CHARS_MAX {
        return console.missing(&asker, "note", StatusCode::BAD_REQUEST);
    }
    let subject = closed.id.to_string();
    let deed = Deed { act: Act::CloseFinding, case: None, subject: Some(&subject) };
    let Some(gateway) = console.gateway() else {
        return console.missing(&asker, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    if !console.note(&gateway, &asker.visitor, deed).await {
        return console.missing(&asker, "unkept", StatusCode::SERVICE_UNAVAILABLE);
    }
    match gateway.ledger.close_finding(closed.id, note).await {
        Ok(true) => Redirect::to("/console/findings").into_response(),
        Ok(false) => console.missing(&asker, "closed", StatusCode::CONFLICT),
        Err(error) => console.ledger_away(&asker, &error),
    }
}
