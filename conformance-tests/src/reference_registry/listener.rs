//! The registry's door: TCP and TLS, opened, closed and opened again at the same address, and every connection such
//! that it can be cut in the middle of a call.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use proto::v1::registry_server::RegistryServer;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::{Server, server::Connected};

use super::service::Desk;

/// A client that connects and then says nothing is dropped after this.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long accepting rests after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Inline materials make a request larger than tonic's own limit of 4 MiB.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The door, and what is needed to open it again.
#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    desk: Desk,
    end: CancellationToken,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    close: CancellationToken,
    accepting: JoinHandle<()>,
}

impl Listener {
    pub(super) async fn open(
        address: SocketAddr,
        tls: Arc<ServerConfig>,
        desk: Desk,
        end: CancellationToken,
    ) -> anyhow::Result<Self> {
        let tcp = TcpListener::bind(address).await.with_context(|| format!("listen {address}"))?;
        let address = tcp.local_addr()?;
        let listener = Self { address, tls, desk, end, open: Mutex::new(None) };
        *listener.open.lock().await = Some(listener.serve(tcp));
        Ok(listener)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and cuts every connection; when this returns, connecting is refused.
    pub(super) async fn down(&self) {
        if let Some(open) = self.open.lock().await.take() {
            open.close.cancel();
            // It ends by the token; a panic in it would have closed the door as well.
            drop(open.accepting.await);
        }
    }

    /// Listens again at the same address; nothing happens if it does already.
    pub(super) async fn up(&self) -> anyhow::Result<()> {
        let mut open = self.open.lock().await;
        if open.is_none() {
            let tcp = TcpListener::bind(self.address)
                .await
                .with_context(|| format!("listen {} again", self.address))?;
            *open = Some(self.serve(tcp));
        }
        Ok(())
    }

    fn serve(&self, tcp: TcpListener) -> Open {
        let close = self.end.child_token();
        let (ready, incoming) = mpsc::channel(64);
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let accepting = tokio::spawn(accept(tcp, acceptor, ready, close.clone()));
        let service =
            RegistryServer::new(self.desk.clone()).max_decoding_message_size(REQUEST_BYTES_MAX);
        // Ends when `accepting` has ended and every connection is cut.
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming_shutdown(
            ReceiverStream::new(incoming),
            close.clone().cancelled_owned(),
        ));
        Open { close, accepting }
    }
}

async fn accept(
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<io::Result<Connection>>,
    close: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = close.cancelled() => return,
            accepted = tcp.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: some will be given back.
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (acceptor, ready, close) = (acceptor.clone(), ready.clone(), close.clone());
        tokio::spawn(async move {
            let shaken = tokio::select! {
                () = close.cancelled() => return,
                shaken = timeout(HANDSHAKE_MAX, shake_hands(acceptor, stream, &close)) => shaken,
            };
            // Whoever fails the handshake was told so by TLS.
            if let Ok(Ok(connection)) = shaken {
                drop(ready.send(Ok(connection)).await);
            }
        });
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    close: &CancellationToken,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|certificate| Arc::from(certificate.as_ref()))
        .ok_or(io::ErrorKind::PermissionDenied)?;
    let cut = close.child_token();
    Ok(Connection {
        stream,
        cutting: Box::pin(cut.clone().cancelled_owned()),
        caller: Caller { certificate, cut },
    })
}

/// Who called, as TLS knows it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The certificate, DER.
    pub(super) certificate: Arc<[u8]>,
    /// Cuts the connection.
    pub(super) cut: CancellationToken,
}

struct Connection {
    stream: TlsStream<TcpStream>,
    cutting: Pin<Box<WaitForCancellationFutureOwned>>,
    caller: Caller,
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A cut connection fails like a broken line: no goodbye of HTTP/2 or TLS.
        let cut = self.caller.cut.is_cancelled() || self.cutting.as_mut().poll(context).is_ready();
        if cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.caller.cut.is_cancelled() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.caller.cut.is_cancelled() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
