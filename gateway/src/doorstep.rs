//! The doorstep of a port: callers who have come and not yet proved who they are. So many stand there at a time, fewer from one
//! address, and each has so long for its handshake; further ones wait in the system's queue.
//!
//! Whose certificate it is that a caller shows is asked behind it.

mod unproved;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use unproved::{OfPeer, Unproved};

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
    first_byte_max: Duration,
    handshake_max: Duration,
    unproved: Arc<Unproved>,
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
        Self {
            listener,
            protocol,
            first_byte_max: limits.first_byte_max.min(limits.handshake_max),
            handshake_max: limits.handshake_max,
            unproved: Unproved::new(limits),
            metrics,
            stopping,
        }
    }

    /// The next caller; `None` once the port is told to stop.
    pub(crate) async fn next(&self) -> Option<Caller> {
        let next = async {
            let place = self.unproved.place().await?;
            loop {
                match self.listener.accept().await {
                    Ok((stream, peer)) => match self.unproved.come_from(peer.ip()) {
                        Some(of_peer) => {
                            return Some(Caller {
                                stream,
                                peer,
                                protocol: self.protocol,
                                first_byte_max: self.first_byte_max,
                                handshake_max: self.handshake_max,
                                unproved: (place, of_peer),
                                metrics: self.metrics.clone(),
                            });
                        }
                        // Counted, and not in the log: anybody could fill that.
                        None => self.metrics.turned_away(self.protocol, TurnedAway::PeerFull),
                    },
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
    first_byte_max: Duration,
    handshake_max: Duration,
    unproved: (OwnedSemaphorePermit, OfPeer),
    metrics: Metrics,
}

/// A caller who has shaken hands, and shown a certificate whose chain is good.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) peer: SocketAddr,
    /// Held until it is known who it is.
    pub(crate) unproved: (OwnedSemaphorePermit, OfPeer),
}

impl Caller {
    /// Shakes hands; `None` if it does not, which is counted.
    pub(crate) async fn shake(self, config: Arc<ServerConfig>) -> Option<Shaken> {
        let Self { stream, peer, protocol, first_byte_max, handshake_max, unproved, metrics } =
            self;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "the caller was gone before it was let in");
            return None;
        }
        if timeout(first_byte_max, stream.peek(&mut [0])).await.is_err() {
            tracing::debug!(%peer, "a caller said nothing");
            metrics.turned_away(protocol, TurnedAway::HandshakeSlow);
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
