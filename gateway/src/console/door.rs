//! The console's own port: TLS, at which people or the proxy show their certificates. It lets in whoever has one by the
//! authorities that settings name, and asks later whose it is.
//!
//! Its files are read for each handshake, so that a renewed certificate or a new revocation list needs no restart; what
//! cannot be used is told, and what was used before is used on.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::visitor::Peer;
use crate::{
    settings::{Console, StaleCrls},
    tls::{self, TlsError},
};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long what was read of the files is used.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Handshakes at a time; whoever comes then waits.
const HANDSHAKES_MAX: usize = 32;

/// Connections that have been let in, one after the other.
#[derive(Debug)]
pub struct Doorway {
    entered: mpsc::Receiver<(TlsStream<TcpStream>, Peer)>,
    address: SocketAddr,
}

impl Doorway {
    /// Lets people in at `listener` until `stop` is cancelled.
    ///
    /// # Errors
    /// The first thing that is wrong with the files of `settings`.
    pub fn open(
        listener: TcpListener,
        settings: &Console,
        stop: CancellationToken,
    ) -> Result<Self, DoorError> {
        let last = Mutex::new((Instant::now(), config(settings)?));
        let files = Files { last, settings: settings.clone() };
        let address = listener.local_addr()?;
        let (enter, entered) = mpsc::channel(1);
        tokio::spawn(stop.run_until_cancelled_owned(let_in(listener, Arc::new(files), enter)));
        Ok(Self { entered, address })
    }
}

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A file is not as it should be.
    #[error("{}: a file of the console's port cannot be used", .0.file().display())]
    Files(#[from] TlsError),
    /// The listener is none.
    #[error("the console's port is none")]
    Listener(#[from] io::Error),
}

impl Listener for Doorway {
    type Io = TlsStream<TcpStream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.entered.recv().await {
            Some(entered) => entered,
            // Stopping: nobody comes any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.address.ip(), certificate: None })
    }
}

/// What handshakes are made with.
#[derive(Debug)]
struct Files {
    settings: Console,
    /// When they were read, and what was made of them.
    last: Mutex<(Instant, Arc<ServerConfig>)>,
}

impl Files {
    fn now(&self) -> Arc<ServerConfig> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, used) = &mut *last;
        // However many knock, files are read once in a while.
        if read.elapsed() < READ_AGAIN_AFTER {
            return Arc::clone(used);
        }
        *read = Instant::now();
        match config(&self.settings) {
            Ok(fresh) => *used = fresh,
            Err(error) => {
                tracing::error!(%error, "the console's files cannot be used; those before are");
            }
        }
        Arc::clone(used)
    }
}

/// Checks the files without opening anything.
///
/// # Errors
/// The first thing that is wrong, with its file.
pub(crate) fn config(settings: &Console) -> Result<Arc<ServerConfig>, TlsError> {
    let Some((_, certificate, key, client_ca)) = settings.door() else {
        // Settings have been refused before that name an address without these files.
        return Err(TlsError::Unreadable {
            file: std::path::PathBuf::new(),
            source: io::ErrorKind::NotFound.into(),
        });
    };
    let verifier = tls::client_verifier(client_ca, &settings.client_crls, StaleCrls::Refuse)?;
    let port = tls::port_config(certificate, key, verifier, tls::Protocol::Tcp)?;
    let mut port = Arc::unwrap_or_clone(port);
    port.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(port))
}

async fn let_in(
    listener: TcpListener,
    files: Arc<Files>,
    enter: mpsc::Sender<(TlsStream<TcpStream>, Peer)>,
) {
    let room = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the console's port could not take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (files, enter) = (Arc::clone(&files), enter.clone());
        tokio::spawn(async move {
            let _place = place;
            let acceptor = TlsAcceptor::from(files.now());
            let shaken = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
            let Ok(Ok(stream)) = shaken else { return };
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = shown.map(|der| Arc::from(der.as_ref()));
            let peer = Peer { address: from.ip(), certificate };
            let _nobody_serves_any_more = enter.send((stream, peer)).await;
        });
    }
}
