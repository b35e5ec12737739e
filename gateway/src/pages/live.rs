//! Server-sent events: an open page is told that something changed, never what; it then asks for itself again.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::stream;
use tokio::{sync::watch, time::sleep};

/// Pages are told this long after a change, so that a busy hour does not make them ask for themselves a hundred times a second.
const TOGETHER: Duration = Duration::from_millis(150);

/// How often something is said though nothing changed, so that a dead connection is noticed.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// Tells the page of every change from now on, several at once where they come together; it ends with the sender.
pub fn changes(changes: watch::Receiver<()>) -> Response {
    let told = stream::unfold(changes, |mut changes| async move {
        changes.changed().await.ok()?;
        sleep(TOGETHER).await;
        changes.borrow_and_update();
        // Browsers pass over an event without data.
        Some((Ok::<_, Infallible>(Event::default().event("changed").data("yes")), changes))
    });
    Sse::new(told).keep_alive(KeepAlive::new().interval(QUIET_MAX)).into_response()
}
