//! The load: banks' connections, each of which sends one message and waits for its reply before the next.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
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
    /// Opens `count` connections, TLS handshakes done.
    ///
    /// # Errors
    /// The other side does not let one in.
    pub async fn connect(
        target: Target,
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        count: usize,
        filing: Arc<Filing>,
        serials: Arc<AtomicU64>,
    ) -> anyhow::Result<Self> {
        let connector = TlsConnector::from(tls);
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(address).await.context("connect")?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost")?;
            connections.push(connector.connect(name, stream).await.context("TLS handshake")?);
        }
        Ok(Self { target, filing, serials, connections })
    }

    /// Sends `requests` messages over all connections together, but begins none after `limit`.
    ///
    /// # Errors
    /// A reply that is not as expected, or a connection that was lost.
    pub async fn send(&mut self, requests: u64, limit: Duration) -> anyhow::Result<Told> {
        let begun = Instant::now();
        let left = Arc::new(AtomicU64::new(requests));
        let mut senders = JoinSet::new();
        for stream in self.connections.drain(..) {
            let sender = Sender {
                target: self.target,
                filing: Arc::clone(&self.filing),
                serials: Arc::clone(&self.serials),
                left: Arc::clone(&left),
                until: begun + limit,
                stream,
                latency_us: histogram()?,
            };
            senders.spawn(sender.send());
        }
        let mut latency_us = histogram()?;
        while let Some(sender) = senders.join_next().await {
            let (stream, latencies) = sender??;
            latency_us.add(latencies)?;
            self.connections.push(stream);
        }
        Ok(Told { requests: latency_us.len(), elapsed: begun.elapsed(), latency_us })
    }
}

struct Sender {
    target: Target,
    filing: Arc<Filing>,
    serials: Arc<AtomicU64>,
    left: Arc<AtomicU64>,
    until: Instant,
    stream: TlsStream<TcpStream>,
    latency_us: Histogram<u64>,
}

impl Sender {
    async fn send(mut self) -> anyhow::Result<(TlsStream<TcpStream>, Histogram<u64>)> {
        let mut reply = Vec::new();
        while Instant::now() < self.until && self.takes_one() {
            let serial = self.serials.fetch_add(1, Ordering::Relaxed);
            let request = self.filing.request(serial);
            let begun = Instant::now();
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

    fn takes_one(&self) -> bool {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.is_ok()
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
