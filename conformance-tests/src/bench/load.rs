//! The load: banks' connections, each of which sends one message and waits for its reply before the next; as soon as it is
//! there, or at times that were fixed before.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::filing::Filing;

/// Who answers: a gateway under test, or the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Replies to each message by itself; every byte of it is looked at.
    Gateway,
    /// Gives the same reply to all.
    Floor,
}

/// Open connections of one bank.
#[derive(Debug)]
pub struct Banks {
    target: Target,
    filing: Arc<Filing>,
    /// The next serial; shared by all rounds, so that no message is a repetition.
    serials: Arc<AtomicU64>,
    connections: Vec<TlsStream<TcpStream>>,
}

/// What came of one round.
#[derive(Debug, Clone)]
pub struct Told {
    /// Messages sent, each of them answered as expected.
    pub requests: u64,
    /// From the first message to the last reply.
    pub elapsed: Duration,
    /// Time from message to reply, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Banks {
    /// Opens `count` connections, to each address in turn, TLS handshakes done.
    ///
    /// # Errors
    /// The other side does not let one in.
    pub async fn connect(
        target: Target,
        addresses: &[SocketAddr],
        tls: Arc<rustls::ClientConfig>,
        count: usize,
        filing: Arc<Filing>,
        serials: Arc<AtomicU64>,
    ) -> anyhow::Result<Self> {
        let connector = TlsConnector::from(tls);
        let mut connections = Vec::with_capacity(count);
        for address in addresses.iter().cycle().take(count) {
            let stream = TcpStream::connect(address).await.context("connect")?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost")?;
            connections.push(connector.connect(name, stream).await.context("TLS handshake")?);
        }
        Ok(Self { target, filing, serials, connections })
    }

    /// Sends `requests` messages over all connections together, as soon as they are free, but begins none after `limit`.
    ///
    /// # Errors
    /// A reply that is not as expected, or a connection that was lost.
    pub async fn send(&mut self, requests: u64, limit: Duration) -> anyhow::Result<Told> {
        let until = Instant::now() + limit;
        self.paced(Pace::Free { left: Arc::new(AtomicU64::new(requests)), until }).await
    }

    /// Sends so many messages a second, evenly, whatever becomes of those before. A reply's time counts from when its
    /// message was due: if all connections are taken, it includes what it waited for one.
    ///
    /// # Errors
    /// Those of [`Banks::send`].
    pub async fn send_steadily(
        &mut self,
        per_second: u32,
        length: Duration,
    ) -> anyhow::Result<Told> {
        // A second's worth may be late.
        let (told, due) = mpsc::channel(usize::try_from(per_second)?);
        let clock = thread::spawn(move || tell_times(per_second, length, &told));
        let sent = self.paced(Pace::Steady(Arc::new(Mutex::new(due)))).await;
        clock.join().ok().context("the clock broke")?;
        sent
    }

    async fn paced(&mut self, pace: Pace) -> anyhow::Result<Told> {
        let begun = Instant::now();
        let mut senders = JoinSet::new();
        for stream in self.connections.drain(..) {
            let sender = Sender {
                target: self.target,
                filing: Arc::clone(&self.filing),
                serials: Arc::clone(&self.serials),
                pace: pace.clone(),
                stream,
                latency_us: histogram()?,
            };
            senders.spawn(sender.send());
        }
        drop(pace);
        let mut latency_us = histogram()?;
        while let Some(sender) = senders.join_next().await {
            let (stream, latencies) = sender??;
            latency_us.add(latencies)?;
            self.connections.push(stream);
        }
        Ok(Told { requests: latency_us.len(), elapsed: begun.elapsed(), latency_us })
    }
}

/// When messages are sent.
#[derive(Debug, Clone)]
enum Pace {
    /// As soon as a connection is free.
    Free { left: Arc<AtomicU64>, until: Instant },
    /// When they are due.
    Steady(Arc<Mutex<mpsc::Receiver<Instant>>>),
}

impl Pace {
    /// Waits until a message is to be sent, and tells when that was; `None`: no more are.
    async fn next(&self) -> Option<Instant> {
        match self {
            Self::Free { left, until } => {
                let now = Instant::now();
                let relaxed = Ordering::Relaxed;
                let taken = left.fetch_update(relaxed, relaxed, |left| left.checked_sub(1));
                (now < *until && taken.is_ok()).then_some(now)
            }
            Self::Steady(due) => due.lock().await.recv().await,
        }
    }
}

/// Tells each time when it has come.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own; the runtime's clock goes by milliseconds, which is what is measured"
)]
fn tell_times(per_second: u32, length: Duration, told: &mpsc::Sender<Instant>) {
    let begun = Instant::now();
    let step = Duration::from_secs(1) / per_second.max(1);
    let mut due = begun;
    while due.duration_since(begun) < length {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if told.blocking_send(due).is_err() {
            return;
        }
        due += step;
    }
}

struct Sender {
    target: Target,
    filing: Arc<Filing>,
    serials: Arc<AtomicU64>,
    pace: Pace,
    stream: TlsStream<TcpStream>,
    latency_us: Histogram<u64>,
}

impl Sender {
    async fn send(mut self) -> anyhow::Result<(TlsStream<TcpStream>, Histogram<u64>)> {
        let mut reply = Vec::new();
        while let Some(begun) = self.pace.next().await {
            let serial = self.serials.fetch_add(1, Ordering::Relaxed);
            let request = self.filing.request(serial);
            self.stream.write_all(&request).await?;
            self.stream.flush().await?;
            self.read(&mut reply).await?;
            self.latency_us.saturating_record(u64::try_from(begun.elapsed().as_micros())?);
            let expected = match self.target {
                Target::Gateway => self.filing.is_accepted(&reply, serial),
                Target::Floor => reply == self.filing.canned_reply(),
            };
            if !expected {
                bail!("not the reply expected: {}", String::from_utf8_lossy(&reply));
            }
        }
        Ok((self.stream, self.latency_us))
    }

    /// One framed reply, prefix included.
    async fn read(&mut self, reply: &mut Vec<u8>) -> anyhow::Result<()> {
        let prefix = self.filing.prefix;
        reply.clear();
        reply.resize(prefix.length(), 0);
        self.stream.read_exact(reply).await.context("the connection was closed")?;
        let body = prefix.body_length(reply)?;
        reply.resize(prefix.length() + body.min(1 << 20), 0);
        self.stream.read_exact(reply.get_mut(prefix.length()..).unwrap_or_default()).await?;
        Ok(())
    }
}

/// Up to a minute, to three digits.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}
