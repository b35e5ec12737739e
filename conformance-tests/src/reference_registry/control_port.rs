//! The control handle over plain HTTP, for a registry that runs as a process of its own. On loopback only: whoever
//! reaches it can make the registry do anything.
//!
//! | call | does |
//! |---|---|
//! | `POST /faults` `{"call":"submit","faults":[{"fault":"delay","ms":250}]}` | orders faults |
//! | `DELETE /faults` | takes back those not yet met |
//! | `POST /release` | lets held calls go on |
//! | `POST /advance` `{"case_id":"…","step":"REGISTER"}` | one case takes a step; without `case_id` all that can |
//! | `POST /mix-up` `{"parties":true}` | what it says it entered has one party list filled from the other; `false` ends it |
//! | `POST /tell` `{"wrongly":"ACCEPTED"}` | watchers are told of every case that it is in that state; with `{}`, of everything again |
//! | `POST /down`, `POST /up` | stops listening; listens again |
//! | `GET /counts`, `GET /counts?submits=N` | the counts; waits until N calls of `Submit` have arrived |
//! | `GET /cases`, `GET /received` | all cases; the last calls |

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use proto::v1::CaseStatus;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    CaseView, Control, Counts, Step,
    evidence::Received,
    faults::{Call, Fault},
};

/// Opens the port; when this returns, it can be called. It closes with `end`.
pub(super) async fn open(
    address: SocketAddr,
    control: Control,
    end: CancellationToken,
) -> anyhow::Result<SocketAddr> {
    ensure!(address.ip().is_loopback(), "the control port must be on loopback, not {address}");
    let tcp = TcpListener::bind(address).await.with_context(|| format!("listen {address}"))?;
    let address = tcp.local_addr()?;
    let routes = Router::new()
        .route("/faults", post(order).delete(clear))
        .route("/release", post(release))
        .route("/advance", post(advance))
        .route("/mix-up", post(mix_up))
        .route("/tell", post(tell))
        .route("/down", post(down))
        .route("/up", post(up))
        .route("/counts", get(counts))
        .route("/cases", get(cases))
        .route("/received", get(received))
        .with_state(control);
    tokio::spawn(async move {
        tokio::select! {
            () = end.cancelled() => {}
            _ = axum::serve(tcp, routes) => {}
        }
    });
    Ok(address)
}

type Told<T> = Result<Json<T>, (StatusCode, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    call: Call,
    faults: Vec<Fault>,
}

async fn order(State(control): State<Control>, body: Bytes) -> Told<Value> {
    let order: Order = read(&body)?;
    control.order(order.call, order.faults);
    Ok(Json(json!({})))
}

async fn clear(State(control): State<Control>) -> Json<Value> {
    control.clear_orders();
    Json(json!({}))
}

async fn release(State(control): State<Control>) -> Json<Value> {
    control.release();
    Json(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    case_id: Option<String>,
    #[serde(default)]
    step: Step,
}

async fn advance(State(control): State<Control>, body: Bytes) -> Told<Value> {
    let asked: Advance = read(&body)?;
    match asked.case_id {
        None => Ok(Json(json!({ "advanced": control.advance_all(asked.step) }))),
        Some(case_id) => match control.advance(&case_id, asked.step) {
            Ok(status) => Ok(Json(json!({ "advanced": 1, "status": status }))),
            Err(reason) => Err((StatusCode::CONFLICT, format!("{reason:#}"))),
        },
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MixUp {
    parties: bool,
}

async fn mix_up(State(control): State<Control>, body: Bytes) -> Told<Value> {
    let asked: MixUp = read(&body)?;
    control.mix_up_parties(asked.parties);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tell {
    wrongly: Option<String>,
}

async fn tell(State(control): State<Control>, body: Bytes) -> Told<Value> {
    let asked: Tell = read(&body)?;
    match asked.wrongly {
        None => control.tell_again(),
        Some(name) => {
            let status = CaseStatus::from_str_name(&format!("CASE_STATUS_{name}"));
            let none = || (StatusCode::BAD_REQUEST, format!("no status {name}"));
            control.tell_wrongly(status.ok_or_else(none)?);
        }
    }
    Ok(Json(json!({})))
}

async fn down(State(control): State<Control>) -> Json<Value> {
    control.down().await;
    Json(json!({}))
}

async fn up(State(control): State<Control>) -> Told<Value> {
    match control.up().await {
        Ok(()) => Ok(Json(json!({}))),
        Err(reason) => Err((StatusCode::CONFLICT, format!("{reason:#}"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Awaited {
    #[serde(default)]
    submits: u64,
}

async fn counts(State(control): State<Control>, Query(awaited): Query<Awaited>) -> Json<Counts> {
    Json(control.when(|counts| counts.submits >= awaited.submits).await)
}

async fn cases(State(control): State<Control>) -> Json<Vec<CaseView>> {
    Json(control.cases())
}

async fn received(State(control): State<Control>) -> Json<Vec<Received>> {
    Json(control.received())
}

/// An empty body reads as `{}`, whatever its content type: this is called by hand too.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, String)> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|reason| (StatusCode::BAD_REQUEST, reason.to_string()))
}
