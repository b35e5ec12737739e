//! The stream of events: a row of what happened to cases, never changed, from which every watcher is told from its cursor
//! on; and what is told wrongly on command.
//!
//! Its cursors are numbers in the row. Whoever implements a registry may make them of anything, as long as the same cursor
//! gives the same events again.

use std::{pin::Pin, sync::Arc};

use proto::v1::{Case, CaseStatus, Outcome, WatchEventsRequest, WatchEventsResponse};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Status};

use super::{
    Shared,
    cases::timestamp,
    faults::{Call, Fault},
    service::{Arrival, Desk, What, after, before, delay},
};

/// What was told so far, in order.
#[derive(Debug, Default)]
pub(super) struct Row(Vec<WatchEventsResponse>);

impl Row {
    /// How a case stands now is told.
    pub(super) fn tell(&mut self, case: &Case, now: OffsetDateTime) {
        self.0.push(WatchEventsResponse {
            cursor: (self.0.len() + 1).to_string(),
            happened_at: Some(timestamp(now)),
            case: Some(case.clone()),
        });
    }

    /// Every case that was told of is told of once more, in a state that it is not in.
    pub(super) fn tell_wrongly(&mut self, cases: &[Case], status: CaseStatus, now: OffsetDateTime) {
        for case in cases {
            let case_id = case.outcome.as_ref().map(|it| it.case_id.clone()).unwrap_or_default();
            let outcome = Outcome { case_id, status: status.into(), ..Outcome::default() };
            self.tell(&Case { outcome: Some(outcome), registered: None, ..case.clone() }, now);
        }
    }

    /// All events are told once more, in the order in which they came.
    pub(super) fn tell_again(&mut self, now: OffsetDateTime) {
        let told: Vec<_> = self.0.iter().filter_map(|event| event.case.clone()).collect();
        for case in &told {
            self.tell(case, now);
        }
    }

    /// What comes after a place in the row.
    fn after(&self, place: usize) -> Vec<WatchEventsResponse> {
        self.0.get(place..).unwrap_or_default().to_vec()
    }

    fn place(&self, cursor: &str) -> Option<usize> {
        match cursor {
            "" => Some(0),
            cursor => cursor.parse().ok().filter(|place| (1..=self.0.len()).contains(place)),
        }
    }
}

/// What a watcher gets.
pub(super) type Told = Pin<Box<dyn Stream<Item = Result<WatchEventsResponse, Status>> + Send>>;

/// Events that are on their way to one watcher at a time.
const AHEAD_MAX: usize = 16;

impl Desk {
    pub(super) async fn tell(&self, request: Request<WatchEventsRequest>) -> Result<Told, Status> {
        let arrival = Arrival::of(&request)?;
        let cursor = request.into_inner().after;
        let released = self.shared.releases.subscribe();
        let what = What { institution: "", key: &cursor, encoded: Vec::new() };
        let fault = self.arrived(Call::WatchEvents, &arrival, &what);
        before(fault, &arrival.caller).await?;
        delay(fault, released).await;
        let place = self.shared.books().cases.told.place(&cursor);
        let place = place.ok_or_else(|| Status::invalid_argument("no such cursor was given"))?;
        after(fault, &arrival.caller).await;
        let (teller, told) = mpsc::channel(AHEAD_MAX);
        tokio::spawn(tell_from(Arc::clone(&self.shared), place, fault, teller));
        Ok(Box::pin(ReceiverStream::new(told)))
    }
}

/// Tells what is there after a place, and then what comes, until nobody listens.
async fn tell_from(
    shared: Arc<Shared>,
    mut place: usize,
    fault: Option<Fault>,
    teller: mpsc::Sender<Result<WatchEventsResponse, Status>>,
) {
    let mut changes = shared.changes.subscribe();
    loop {
        let events = shared.books().cases.told.after(place);
        place += events.len();
        for event in events {
            if teller.send(Ok(event)).await.is_err() || fault == Some(Fault::CutShort) {
                return;
            }
        }
        tokio::select! {
            () = teller.closed() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}
