//! A network that fails when told to: what connects to it is carried to a server and back, until it is cut, held up, or
//! made deaf. It knows nothing of what it carries.
//!
//! Everything is deterministic: by condition and by bytes, and whoever waits can wait for bytes that have passed.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A network between whoever connects to its address and one server. It ends when this is dropped.
#[derive(Debug)]
pub struct FaultyNetwork {
    address: SocketAddr,
    shared: Arc<Shared>,
    _end: DropGuard,
}

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Everything passes.
    Sound,
    /// Connections are cut (reset), and new ones end at once.
    Cut,
    /// Nothing passes, and no connection ends: each side believes in the other.
    HalfOpen,
    /// What the server says does not pass; what is said to it does.
    Deaf,
    /// Everything passes late.
    Slow(Duration),
    /// All connections are reset once so many more bytes have been said to the server; the last of them arrive.
    CutAfter(u64),
}

/// Where the server is.
#[derive(Debug, Clone)]
pub enum Server {
    /// At an address.
    Tcp(SocketAddr),
    /// At a socket in a folder, as Postgres is.
    Unix(PathBuf),
}

/// How many bytes have passed so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// To the server.
    pub to_server: u64,
    /// From the server.
    pub from_server: u64,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<Option<Server>>,
    condition: watch::Sender<Condition>,
    /// Counts cuts.
    cuts: watch::Sender<u64>,
    passed: watch::Sender<Passed>,
    /// What is left of [`Condition::CutAfter`].
    until_cut: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    FromServer,
}

impl FaultyNetwork {
    /// Opens a sound network on any free port of this machine, which does not yet lead anywhere.
    ///
    /// # Errors
    /// No port is free.
    pub async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: Mutex::new(None),
            condition: watch::Sender::new(Condition::Sound),
            cuts: watch::Sender::new(0),
            passed: watch::Sender::new(Passed::default()),
            until_cut: AtomicU64::new(0),
        });
        let end = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&shared), end.clone()));
        Ok(Self { address, shared, _end: end.drop_guard() })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections lead from now on.
    pub fn lead_to(&self, server: Server) {
        *self.shared.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    /// Changes how it is, for connections that stand and those to come.
    pub fn turn(&self, condition: Condition) {
        if let Condition::CutAfter(bytes) = condition {
            self.shared.until_cut.store(bytes, Ordering::SeqCst);
        }
        self.shared.condition.send_replace(condition);
        if condition == Condition::Cut {
            self.shared.cut();
        }
    }

    /// Resets every connection that stands; new ones may be made.
    pub fn reset(&self) {
        self.shared.cut();
    }

    /// How many bytes have passed so far.
    pub fn passed(&self) -> Passed {
        *self.shared.passed.borrow()
    }

    /// Waits until so many have. Waits for ever if they never do.
    pub async fn when_passed(&self, mut enough: impl FnMut(&Passed) -> bool) -> Passed {
        let mut passed = self.shared.passed.subscribe();
        // The sender lives as long as this network.
        passed.wait_for(|passed| enough(passed)).await.map(|passed| *passed).unwrap_or_default()
    }
}

impl Shared {
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, end: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // What failed was one connection; the next may come.
        let Ok((client, _)) = accepted else { continue };
        let (shared, end) = (Arc::clone(&shared), end.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                _ended = carry(client, &shared) => {}
            }
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// Carries one connection until it ends or is cut.
async fn carry(client: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    let mut cuts = shared.cuts.subscribe();
    client.set_nodelay(true)?;
    if *shared.condition.borrow() == Condition::Cut {
        client.set_zero_linger()?;
        return Ok(());
    }
    let server = shared.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let server: Pin<Box<dyn Stream>> = match server.context("it leads nowhere")? {
        Server::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Box::pin(stream)
        }
        Server::Unix(path) => Box::pin(UnixStream::connect(path).await?),
    };
    let (mut client_reads, mut client_writes) = client.into_split();
    let (server_reads, server_writes) = tokio::io::split(server);
    let is_cut = tokio::select! {
        _cut = cuts.changed() => true,
        _ended = async {
            tokio::try_join!(
                pass(&mut client_reads, server_writes, Direction::ToServer, shared),
                pass(server_reads, &mut client_writes, Direction::FromServer, shared),
            )
        } => false,
    };
    if is_cut {
        // What is closed with this is reset, not ended.
        client_writes.as_ref().set_zero_linger()?;
        client_writes.forget();
    }
    Ok(())
}

/// Passes on what one side says to the other, as the network's condition allows, until it says no more.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    shared: &Shared,
) -> io::Result<()> {
    let mut condition = shared.condition.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let may_pass = wait_until_it_may_pass(&mut condition, direction).await;
        let mut bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        let mut is_last = false;
        if let (Condition::CutAfter(_), Direction::ToServer) = (may_pass, direction) {
            let left = shared.until_cut.load(Ordering::SeqCst);
            let fits = usize::try_from(left).unwrap_or(usize::MAX).min(length);
            bytes = bytes.get(..fits).unwrap_or_default();
            let left = left.saturating_sub(fits as u64);
            shared.until_cut.store(left, Ordering::SeqCst);
            is_last = left == 0;
        }
        to.write_all(bytes).await?;
        to.flush().await?;
        let count = bytes.len() as u64;
        shared.passed.send_modify(|passed| match direction {
            Direction::ToServer => passed.to_server += count,
            Direction::FromServer => passed.from_server += count,
        });
        if is_last {
            shared.condition.send_replace(Condition::Sound);
            shared.cut();
        }
    }
}

async fn wait_until_it_may_pass(
    condition: &mut watch::Receiver<Condition>,
    direction: Direction,
) -> Condition {
    loop {
        let now = *condition.borrow_and_update();
        match (now, direction) {
            (Condition::Sound | Condition::Cut | Condition::CutAfter(_), _)
            | (Condition::Deaf, Direction::ToServer) => return now,
            (Condition::Slow(delay), _) => {
                sleep(delay).await;
                return now;
            }
            (Condition::HalfOpen, _) | (Condition::Deaf, Direction::FromServer) => {
                // Fails only when the network is gone, and the connection with it.
                if condition.changed().await.is_err() {
                    return now;
                }
            }
        }
    }
}
