//! The port for operators: `/live`, `/ready`, `/metrics`, the newest checkpoint of the log of exchanges, and the console
//! where settings want one.
//!
//! Plain HTTP without any asking who is asking, so settings keep it on a loopback address. Nothing here changes anything but
//! the console, where settings have people sign in, and nothing else says anything about a bank's customers.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    console::{Console, Peer},
    ledger::Ledger,
    telemetry::Metrics,
};

/// Answers operators at `listener` until `stop` is cancelled.
///
/// `/live` says 200 as long as the process can answer at all. `/ready` says 200 if banks can be served and 503 with the
/// reasons if not. `/metrics` is Prometheus' text format. `/evidence/checkpoint` is a C2SP signed note, 404 while there is none.
/// `/console/` are pages.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    console: Option<Console>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let pages = Router::new()
        .route("/live", get(|| async { Json(Told { status: "live", reasons: &[] }) }))
        .route("/evidence/checkpoint", get(checkpoint).with_state(readiness.clone()))
        .route("/ready", get(ready).with_state(readiness))
        .route("/metrics", get(told).with_state(metrics));
    let pages = match console {
        Some(console) if console.address().is_none() => pages.merge(console.routes(stop.clone())),
        Some(_) | None => pages,
    };
    let pages = pages.into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, pages).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Whether banks can be served, as the process learns it. Cheap to copy; all copies tell the same.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<RwLock<Phase>>);

#[derive(Debug, Clone, Default)]
enum Phase {
    #[default]
    Starting,
    Serving(Arc<dyn Ledger>),
    Stopping,
}

impl Readiness {
    /// The contracts are loaded and the ports stand; what can still be missing is the ledger.
    pub fn serving(&self, ledger: Arc<dyn Ledger>) {
        self.set(Phase::Serving(ledger));
    }

    /// The process was told to stop: whoever spreads banks over replicas should leave this one out.
    pub fn stopping(&self) {
        self.set(Phase::Stopping);
    }

    fn set(&self, phase: Phase) {
        // No code that can panic runs under the lock.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// The ledger, while banks are served.
    fn ledger(&self) -> Option<Arc<dyn Ledger>> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Phase::Serving(ledger) => Some(Arc::clone(ledger)),
            Phase::Starting | Phase::Stopping => None,
        }
    }

    /// Why banks cannot be served now; `None` if they can.
    async fn reason(&self) -> Option<&'static str> {
        let phase = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        match phase {
            Phase::Starting => Some("starting"),
            Phase::Stopping => Some("stopping"),
            Phase::Serving(ledger) => match timeout(PING_MAX, ledger.ping()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "not ready: the ledger does not answer");
                    Some("the ledger does not answer")
                }
                Err(_) => Some("the ledger does not answer in time"),
            },
        }
    }
}

/// Shorter than the patience of those who usually ask.
const PING_MAX: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Told<'r> {
    status: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'r [&'static str],
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.reason().await {
        None => Json(Told { status: "ready", reasons: &[] }).into_response(),
        Some(reason) => {
            let told = Json(Told { status: "not ready", reasons: &[reason] });
            (StatusCode::SERVICE_UNAVAILABLE, told).into_response()
        }
    }
}

async fn checkpoint(State(readiness): State<Readiness>) -> Response {
    let Some(ledger) = readiness.ledger() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match ledger.checkpoint().await {
        Ok(Some(note)) => note.into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the newest checkpoint could not be told");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn told(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    // Prometheus names what it can read in the order of what it likes; whoever names OpenMetrics can read it.
    let asked = headers.get(header::ACCEPT).and_then(|asked| asked.to_str().ok());
    if asked.is_some_and(|asked| asked.contains("application/openmetrics-text")) {
        let told = metrics.open_text();
        return ([(header::CONTENT_TYPE, Metrics::OPEN_MEDIA_TYPE)], told).into_response();
    }
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::MEDIA_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be told");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;
    use crate::{
        ledger::{self, LedgerSettings, SqliteSettings},
        tls::Protocol,
    };

    #[tokio::test]
    async fn ready_says_why_not_and_live_says_only_that_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        let settings = SqliteSettings { path: folder.path().join("ledger.db") };
        let ledger = ledger::open(&LedgerSettings::Sqlite(settings)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, metrics, stop) =
            (Readiness::default(), Metrics::new().unwrap(), CancellationToken::new());
        let _standing = metrics.connection(Protocol::Tcp);
        let port = tokio::spawn(serve(listener, readiness.clone(), metrics, None, stop.clone()));
        let get = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            response
        };
        assert!(get("/live").await.starts_with("HTTP/1.1 200 "));
        let starting = get("/ready").await;
        assert!(
            starting.starts_with("HTTP/1.1 503 ") && starting.contains(r#""reasons":["starting"]"#),
            "{starting}"
        );
        readiness.serving(ledger);
        let ready = get("/ready").await;
        assert!(
            ready.starts_with("HTTP/1.1 200 ") && ready.ends_with(r#"{"status":"ready"}"#),
            "{ready}"
        );
        let metrics = get("/metrics").await;
        assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
        assert!(metrics.contains(r#"directlink_connections{port="tcp"} 1"#), "{metrics}");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
            Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut open = String::new();
        stream.read_to_string(&mut open).await.unwrap();
        assert!(
            open.contains("content-type: application/openmetrics-text; version=1.0.0"),
            "{open}"
        );
        assert!(open.ends_with("# EOF\n"), "{open}");
        readiness.stopping();
        assert!(
            get("/ready").await.contains("stopping")
                && get("/live").await.starts_with("HTTP/1.1 200 ")
        );
        stop.cancel();
        port.await.unwrap().unwrap();
    }
}
