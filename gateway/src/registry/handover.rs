//! Whether a call's message was handed to a connection: the one proof that nothing was sent.
//!
//! A message waits while a connection is being made, and may wait beyond its caller's patience. Whoever gives up takes it
//! back first; a message that was taken back in time never goes out, whatever the connection does later. Here is also
//! where an answer that is not the registry's own (a proxy's error page) ends: a status made of it would promise what
//! nobody promised.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::TryFutureExt;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use tonic::{Status, body::Body, transport::Channel};
use tower::Service;

use crate::fault::{self, Point};

/// One call's message, on its way or not. Copies are of the same message.
#[derive(Debug, Clone, Default)]
pub(super) struct Handover(Arc<AtomicU8>);

/// Nobody has asked for the message yet.
const WAITING: u8 = 0;
/// A connection has asked for it: some of it may have been sent.
const BEGUN: u8 = 1;
/// It was taken back before a connection asked for it.
const TAKEN_BACK: u8 = 2;

impl Handover {
    /// Takes the message back, if it is still here. True: none of it was sent, nor ever will be.
    pub(super) fn take_back(&self) -> bool {
        self.step(TAKEN_BACK)
    }

    /// Whether it may go out.
    fn begin(&self) -> bool {
        self.step(BEGUN)
    }

    /// Out of two that come at once, one is the first; it alone is obeyed.
    fn step(&self, to: u8) -> bool {
        match self.0.compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(before) => before == to,
        }
    }
}

/// The channel to a registry; a request is watched by the [`Handover`] among its extensions.
#[derive(Debug, Clone)]
pub(super) struct Courier(Channel);

impl Courier {
    pub(super) fn new(channel: Channel) -> Self {
        Self(channel)
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Service<Request<Body>> for Courier {
    type Response = Response<Body>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Cause>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.0.poll_ready(context).map_err(Cause::from)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let handover = request.extensions().get::<Handover>().cloned().unwrap_or_default();
        let watched = request.map(|message| Body::new(Watched { message, handover }));
        let answering = self.0.call(watched).map_err(Cause::from);
        Box::pin(answering.and_then(async |response| {
            registrys_own(response.status(), response.headers())?;
            Ok(response)
        }))
    }
}

/// # Errors
/// It does not come from a gRPC service, or in a form that was not asked for: it tells nothing.
fn registrys_own(status: StatusCode, headers: &HeaderMap) -> Result<(), Cause> {
    if status != StatusCode::OK {
        return Err(Status::unknown(format!("HTTP status {status} in place of an answer")).into());
    }
    match headers.get("grpc-encoding") {
        Some(encoding) if encoding != "identity" => {
            Err(Status::unknown("an answer in an encoding that was not asked for").into())
        }
        Some(_) | None => Ok(()),
    }
}

/// A message that notes when it is asked for.
struct Watched {
    message: Body,
    handover: Handover,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.handover.begin() {
            return Poll::Ready(Some(Err(Status::cancelled("the call was given up"))));
        }
        fault::point(Point::HandedOver);
        Pin::new(&mut self.message).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.message.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    fn watched(handover: &Handover) -> Watched {
        let message = Body::new(http_body_util::Full::new(Bytes::from_static(b"filing")));
        Watched { message, handover: handover.clone() }
    }

    #[test]
    fn a_message_that_was_taken_back_never_goes_out() {
        let handover = Handover::default();
        assert!(handover.take_back());
        let sent = watched(&handover).frame().now_or_never().unwrap().unwrap();
        assert!(sent.is_err());
        assert!(handover.take_back(), "it stays so");
    }

    #[test]
    fn a_message_that_was_asked_for_cannot_be_taken_back() {
        let handover = Handover::default();
        let mut message = watched(&handover);
        assert!(message.frame().now_or_never().unwrap().unwrap().is_ok());
        assert!(!handover.take_back());
    }

    #[test]
    fn what_a_proxy_says_in_place_of_the_registry_is_no_answer() {
        let headers = HeaderMap::new();
        assert!(registrys_own(StatusCode::OK, &headers).is_ok());
        assert!(registrys_own(StatusCode::FORBIDDEN, &headers).is_err());
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-encoding"),
            http::HeaderValue::from_static("br"),
        )]);
        assert!(registrys_own(StatusCode::OK, &headers).is_err());
    }
}
