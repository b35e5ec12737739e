//! The console's own port: TLS, at which people or the proxy show their certificates.
//!
//! It lets in, waits and closes as the banks' ports do, by the same code: the doorstep, the entrance, the pace of a connection.
//! A stream of changes would never be answered to its end; it ends when its connection is to.

use std::{convert::Infallible, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{Router, body::Body, extract::ConnectInfo};
use futures_util::StreamExt;
use http::{Request, Response, StatusCode, header};
use hyper::{body::Incoming, service::service_fn};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{Staff, visitor::Peer};
use crate::{
    doorstep::{Doorstep, Shaken},
    entrance::{Entrance, Files},
    limits::Limits,
    pace::{self, Answering, Pace, Unread},
    settings::{Console as Settings, StaleCrls},
    telemetry::{Metrics, TurnedAway},
    tls::Protocol,
};

/// The files of the console's own port; `None` if it has none.
pub(super) fn files(settings: &Settings) -> Option<Files> {
    settings.address?;
    Some(Files {
        name: "console",
        certificate: settings.certificate.clone()?,
        key: settings.key.clone()?,
        client_ca: settings.client_ca.clone()?,
        client_crls: settings.client_crls.clone(),
        stale_crls: StaleCrls::Refuse,
    })
}

/// The console's own port.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) entrance: Arc<Entrance<Staff>>,
    pub(super) pages: Router,
    pub(super) limits: Limits,
    /// A permit per connection of somebody known.
    pub(super) connections: Arc<Semaphore>,
    pub(super) metrics: Metrics,
    pub(super) stop: CancellationToken,
}

impl Door {
    /// Lets people in at `listener` until it is to stop, and ends when what was under way then is answered.
    pub(super) async fn serve(self, listener: TcpListener) {
        let (metrics, stop) = (self.metrics.clone(), self.stop.clone());
        let doorstep = Doorstep::new(listener, Protocol::Pages, &self.limits, metrics, stop);
        let (door, tasks) = (Arc::new(self), TaskTracker::new());
        while let Some(caller) = doorstep.next().await {
            let door = Arc::clone(&door);
            let config = door.entrance.config(Protocol::Pages);
            tasks.spawn(async move {
                if let Some(shaken) = caller.shake(config).await {
                    door.receive(shaken).await;
                }
            });
        }
        tasks.close();
        // Late or not, nothing that is asked here is lost with its answer.
        let _late = timeout(door.limits.shutdown_max, tasks.wait()).await;
    }

    /// One connection, from the handshake to its end.
    async fn receive(self: Arc<Self>, shaken: Shaken) {
        let address = shaken.peer.ip();
        match self.entrance.identify(shaken.chain()) {
            Ok(guest) => {
                let Ok(_slot) = Arc::clone(&self.connections).try_acquire_owned() else {
                    tracing::warn!(name = guest.name(), "a connection was closed: too many stand");
                    return self.metrics.turned_away(Protocol::Pages, TurnedAway::Full);
                };
                let _counted = self.metrics.connection(Protocol::Pages);
                let (chain, name) = (shaken.chain(), guest.name().to_owned());
                let stay = self.entrance.enter(chain, guest.clone(), &name, &self.stop);
                let Shaken { stream, unproved, .. } = shaken;
                drop(unproved);
                let peer = Peer { address, guest: Some(guest) };
                self.converse(stream, peer, stay.token(), true).await;
            }
            Err(_nobody) => {
                // By its digest, which settings can name: what else it says may name a person.
                let sha256 = shaken.chain().first().map(|own| hex::encode(digest(&SHA256, own)));
                tracing::warn!(
                    sha256,
                    "a caller was not let in to the console: nobody's certificate"
                );
                self.metrics.turned_away(Protocol::Pages, TurnedAway::Unknown);
                // It is told so, but not given the time of those who are known.
                let Shaken { stream, unproved: _unproved, .. } = shaken;
                let patience = self.limits.header_max.saturating_add(self.limits.header_max);
                let conversation =
                    self.converse(stream, Peer { address, guest: None }, &self.stop, false);
                let _late = timeout(patience, conversation).await;
            }
        }
    }

    async fn converse(
        &self,
        stream: TlsStream<TcpStream>,
        peer: Peer,
        leaving: &CancellationToken,
        keep_alive: bool,
    ) {
        let pace = Pace::new(false);
        let service = service_fn(|request| {
            let (answering, peer, leaving) = (pace.answering(), peer.clone(), leaving.clone());
            async {
                let response = self.answer(request, peer).await;
                Ok::<_, Infallible>(ending(response, answering, leaving))
            }
        });
        let left = leaving.cancelled();
        pace::serve_http1(stream, service, &pace, &self.limits, keep_alive, left).await;
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let (mut head, mut body) = request.into_parts();
        let body = match pace::read(&mut body, FORM_BYTES_MAX, &self.limits).await {
            Ok(body) => Body::from(body),
            Err(unread) => return refused(unread),
        };
        head.extensions.insert(ConnectInfo(peer));
        let answered = self.pages.clone().oneshot(Request::from_parts(head, body)).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

/// What a page sends at most, in bytes: a message and its answer in Base64.
const FORM_BYTES_MAX: usize = 2 * 1024 * 1024;

fn refused(unread: Unread) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = match unread {
        Unread::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Unread::Truncated => StatusCode::BAD_REQUEST,
    };
    response
}

/// A stream of events is being answered for as long as somebody hears it, and ends when the connection is to.
fn ending(
    response: Response<Body>,
    answering: Answering,
    leaving: CancellationToken,
) -> Response<Body> {
    let is_stream = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return response;
    }
    response.map(|body| {
        let events = body.into_data_stream().take_until(leaving.cancelled_owned());
        Body::from_stream(events.map(move |event| {
            let _held = &answering;
            event
        }))
    })
}
