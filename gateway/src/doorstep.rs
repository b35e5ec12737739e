//! The doorstep of a port: callers who have come and not yet proved who they are. So many stand there at a time, and each has
//! so long for its handshake; further ones wait in the system's queue.
//!
//! Whose certificate it is that a caller shows is asked behind it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    limits::Limits,
    telemetry::{Metrics, TurnedAway},
    tls::Protocol,
};

/// The doorstep of one port.
#[derive(Debug)]
pub(crate) struct Doorstep {
    listener: TcpListener,
    protocol: Protocol,
    handshake_max: Duration,
    unproved: Arc<Semaphore>,
    metrics: Metrics,
    stopping: CancellationToken,
}

impl Doorstep {
    /// Of the port at `listener`, until `stopping` is cancelled.
    pub(crate) fn new(
        listener: TcpListener,
        protocol: Protocol,
        limits: &Limits,
        metrics: Metrics,
        stopping: CancellationToken,
    ) -> Self {
        let unproved = Arc::new(Semaphore::new(limits.handshakes_max));
        let handshake_max = limits.handshake_max;
        Self { listener, protocol, handshake_max, unproved, metrics, stopping }
    }

    /// The next caller; `None` once the port is told to stop.
    pub(crate) async fn next(&self) -> Option<Caller> {
        let next = async {
            let unproved = Arc::clone(&self.unproved).acquire_owned().await.ok()?;
            loop {
                match self.listener.accept().await {
                    Ok((stream, peer)) => {
                        let (protocol, handshake_max) = (self.protocol, self.handshake_max);
                        let metrics = self.metrics.clone();
                        return Some(Caller {
                            stream,
                            peer,
                            protocol,
                            handshake_max,
                            unproved,
                            metrics,
                        });
                    }
                    Err(error) => {
                        tracing::error!(%error, "a caller could not be let in");
                        if !of_one_caller(&error) {
                            // Out of file descriptors, most likely: trying at once would only burn the processor.
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            caller = next => caller,
        }
    }
}

/// Somebody on the doorstep.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: TcpStream,
    peer: SocketAddr,
    protocol: Protocol,
    handshake_max: Duration,
    unproved: OwnedSemaphorePermit,
    metrics: Metrics,
}

/// A caller who has shaken hands, and shown a certificate whose chain is good.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) peer: SocketAddr,
    /// Held until it is known who it is.
    pub(crate) unproved: OwnedSemaphorePermit,
}

impl Caller {
    /// Shakes hands; `None` if it does not, which is counted.
    pub(crate) async fn shake(self, config: Arc<ServerConfig>) -> Option<Shaken> {
        let Self { stream, peer, protocol, handshake_max, unproved, metrics } = self;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "the caller was gone before it was let in");
            return None;
        }
        match timeout(handshake_max, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => Some(Shaken { stream, peer, unproved }),
            Ok(Err(error)) => {
                tracing::info!(%peer, %error, "a TLS handshake failed");
                metrics.turned_away(protocol, TurnedAway::HandshakeFailed);
                None
            }
            Err(_) => {
                tracing::info!(%peer, "a TLS handshake was not done in time");
                metrics.turned_away(protocol, TurnedAway::HandshakeSlow);
                None
            }
        }
    }
}

impl Shaken {
    /// What it showed, its own certificate first.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        self.stream.get_ref().1.peer_certificates().unwrap_or_default()
    }
}

/// Whether only the caller at the head of the queue failed, not the port.
fn of_one_caller(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
