//! Subscribers, what they were not told, and what is parked; operators have it sent again.

use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use minijinja::context;
use serde::{Deserialize, Serialize};

use super::{Console, acts::Deed, case::status_of, visitor::Asker};
use crate::{
    evidence::act::Act,
    ledger::{events::EventId, notices::Parked},
};

/// How many parked notices are listed.
const PARKED_MAX: u32 = 200;

/// A subscriber.
#[derive(Debug, Serialize)]
struct Subscriber {
    name: String,
    ended: bool,
    away_ms: Option<i64>,
    undelivered: u64,
    parked: u64,
    oldest_ms: Option<i64>,
}

/// A parked notice.
#[derive(Debug, Serialize)]
struct Line {
    subscriber: String,
    event: String,
    institution: String,
    key: String,
    case_id: String,
    number: i64,
    status: &'static str,
    tries: u32,
}

pub(super) async fn show(State(console): State<Console>, asker: Asker) -> Response {
    console
        .show_of(&asker, "notices.html", async |gateway| {
            let standings = gateway.ledger.standings().await?;
            let parked = gateway.ledger.parked(None, PARKED_MAX).await?;
            let ms = |length: std::time::Duration| i64::try_from(length.as_millis()).unwrap_or(0);
            let subscribers: Vec<_> = standings
                .into_iter()
                .map(|it| Subscriber {
                    undelivered: it.waiting.saturating_add(it.unread),
                    away_ms: it.failing_for.map(ms),
                    oldest_ms: it.oldest.map(ms),
                    name: it.subscriber,
                    ended: it.ended,
                    parked: it.parked,
                })
                .collect();
            let parked: Vec<_> = parked.iter().map(line).collect();
            Ok(Some(context! { place => "notices", subscribers, parked }))
        })
        .await
}

fn line(parked: &Parked) -> Line {
    let event = &parked.event;
    Line {
        subscriber: parked.subscriber.clone(),
        event: event.id().to_string(),
        institution: event.institution.clone(),
        key: event.key.clone(),
        case_id: event.outcome.case_id.clone(),
        number: event.sequence,
        status: status_of(&event.outcome),
        tries: parked.tries,
    }
}

/// What is to be sent again.
#[derive(Deserialize)]
pub(super) struct Again {
    subscriber: String,
    /// An event by its identifier; empty is all that is parked.
    #[serde(default)]
    event: String,
}

pub(super) async fn resend(
    State(console): State<Console>,
    asker: Asker,
    Form(again): Form<Again>,
) -> Response {
    let event = match again.event.as_str() {
        "" => Ok(None),
        id => id.parse::<EventId>().map(Some),
    };
    let Ok(event) = event else { return StatusCode::BAD_REQUEST.into_response() };
    let subject = format!("{} {}", again.subscriber, again.event);
    let deed = Deed { act: Act::Resend, case: None, subject: Some(subject.trim()) };
    let Some(gateway) = console.gateway() else {
        return console.missing(&asker, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    if !console.note(&gateway, &asker.visitor, deed).await {
        return console.missing(&asker, "unkept", StatusCode::SERVICE_UNAVAILABLE);
    }
    match gateway.ledger.resend(&again.subscriber, event.as_ref()).await {
        Ok(_again) => Redirect::to("/console/notices").into_response(),
        Err(error) => console.ledger_away(&asker, &error),
    }
}

/// Who is to be told again.
#[derive(Deserialize)]
pub(super) struct Whom {
    subscriber: String,
}

pub(super) async fn resume(
    State(console): State<Console>,
    asker: Asker,
    Form(whom): Form<Whom>,
) -> Response {
    let deed = Deed { act: Act::Resume, case: None, subject: Some(&whom.subscriber) };
    let Some(gateway) = console.gateway() else {
        return console.missing(&asker, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    if !console.note(&gateway, &asker.visitor, deed).await {
        return console.missing(&asker, "unkept", StatusCode::SERVICE_UNAVAILABLE);
    }
    match gateway.ledger.resume(&whom.subscriber).await {
        Ok(_there_is) => Redirect::to("/console/notices").into_response(),
        Err(error) => console.ledger_away(&asker, &error),
    }
}
