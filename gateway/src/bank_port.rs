//! The ports for banks: HTTPS and length-prefixed TCP, both over mutual TLS.
//!
//! A caller is let in by its certificate alone, and its contract says how it speaks; the ports know no format and read
//! no message. A bank hanging up never cuts short what may have been sent to a registry. Bodies are never logged.

use std::{fmt::Display, panic::AssertUnwindSafe, sync::Arc, time::SystemTime};

use adapters::wire::Wire;
use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    contracts::{Door, Live, NoReader},
    doorstep::{Doorstep, Shaken},
    entrance::{Entrance, Stay},
    exchange::{self, Answer, Gateway, TransportFault},
    identity::{Identities, Known, VerifiedBank},
    limits::Limits,
    materials::Materials,
    settings::BankProxy,
    telemetry::{Arrival, Holder, Metrics, TurnedAway},
    tls::Protocol,
    turnstile::{Account, Place, Turnstile},
};

mod books;
mod https;
mod problem;
pub(crate) use problem::problems;
mod tcp;
mod telling;
mod upload;
mod whole;

/// What stands behind the ports: the gateway, or a test's double of it.
pub trait Desk: Send + Sync + 'static {
    /// What was agreed with an institution on how a message travels and is read. It is taken before the first byte and
    /// kept until the answer is written, so that nothing that is loaded meanwhile parts a message from its framing.
    type Agreed: AsRef<Wire> + Send + Sync + 'static;

    /// What holds for the institution's next message at this door.
    ///
    /// # Errors
    /// Nothing was agreed on for that door.
    fn agreed(&self, bank: &VerifiedBank, door: Door<'_>) -> Result<Self::Agreed, NoReader>;

    /// What the institution may ask over HTTPS, as an OpenAPI document in JSON; `None` where one path and method is all.
    fn description(&self, bank: &VerifiedBank) -> Option<Bytes>;

    /// Where institutions upload materials to; `None` if they cannot.
    fn materials(&self) -> Option<&Materials> {
        None
    }

    /// Where institutions read their own books; `None` if they cannot.
    fn books(&self) -> Option<&Gateway> {
        None
    }

    /// Answers one message, framing included. Once polled it is run to its end.
    fn exchange(
        self: Arc<Self>,
        bank: VerifiedBank,
        agreed: Self::Agreed,
        message: Bytes,
        arrival: Arrival,
    ) -> impl Future<Output = Answer> + Send + 'static;

    /// Refuses, in the institution's own envelope, a message that could not be read to its end.
    fn refuse(&self, agreed: &Self::Agreed, fault: TransportFault) -> Answer;
}

impl Desk for Gateway {
    type Agreed = Live;

    fn agreed(&self, bank: &VerifiedBank, door: Door<'_>) -> Result<Live, NoReader> {
        self.contracts.of(bank, door, SystemTime::now())
    }

    fn description(&self, bank: &VerifiedBank) -> Option<Bytes> {
        self.contracts.description(bank, SystemTime::now())
    }

    fn materials(&self) -> Option<&Materials> {
        self.materials.as_ref()
    }

    fn books(&self) -> Option<&Gateway> {
        Some(self)
    }

    fn exchange(
        self: Arc<Self>,
        bank: VerifiedBank,
        agreed: Live,
        message: Bytes,
        arrival: Arrival,
    ) -> impl Future<Output = Answer> + Send + 'static {
        exchange::exchange(self, bank, agreed, message, arrival)
    }

    fn refuse(&self, agreed: &Live, fault: TransportFault) -> Answer {
        exchange::refuse(self, agreed, fault)
    }
}

/// A bank's or a proxy's being inside.
type BankStay = Stay<Identities>;

/// The ports for banks, sharing their limits.
#[derive(Debug)]
pub struct BankPort<D> {
    desk: Arc<D>,
    entrance: Arc<Entrance<Identities>>,
    turnstile: Arc<Turnstile>,
    limits: Limits,
    metrics: Metrics,
    /// A permit per connection of somebody known.
    connections: Arc<Semaphore>,
    /// And one more per connection of a proxy.
    proxied: Arc<Semaphore>,
    /// A permit per connection of somebody nobody knows, who is told so.
    strangers: Arc<Semaphore>,
    /// Connections and exchanges that are not yet done.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl<D: Desk> BankPort<D> {
    /// Ports that nobody can reach yet.
    pub fn new(
        desk: Arc<D>,
        entrance: Arc<Entrance<Identities>>,
        turnstile: Arc<Turnstile>,
        limits: Limits,
        metrics: Metrics,
    ) -> Arc<Self> {
        let connections = Arc::new(Semaphore::new(limits.connections_max));
        let proxied = Arc::new(Semaphore::new(limits.proxy_connections_max));
        let strangers = Arc::new(Semaphore::new(limits.handshakes_max));
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        Arc::new(Self {
            desk,
            entrance,
            turnstile,
            limits,
            metrics,
            connections,
            proxied,
            strangers,
            tasks,
            stopping,
        })
    }

    /// Lets banks in at `listener` until [`BankPort::stop`]. If the future is dropped, connections already made go on.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, protocol: Protocol) {
        let (metrics, stopping) = (self.metrics.clone(), self.stopping.clone());
        let doorstep = Doorstep::new(listener, protocol, &self.limits, metrics, stopping);
        while let Some(caller) = doorstep.next().await {
            let port = Arc::clone(&self);
            let config = self.entrance.config(protocol);
            self.tasks.spawn(async move {
                if let Some(shaken) = caller.shake(config).await {
                    port.receive(shaken, protocol).await;
                }
            });
        }
    }

    /// Lets nobody in any more, and closes connections once nothing is in flight on them.
    pub fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
    }

    /// Waits until all that was in flight when [`BankPort::stop`] was called is answered, `limits.shutdown_max` at
    /// most. Returns how many connections and exchanges are cut off.
    pub async fn finished(&self) -> usize {
        // Late or not, what counts is what is left.
        let _late = timeout(self.limits.shutdown_max, self.tasks.wait()).await;
        self.tasks.len()
    }

    /// One connection, from the handshake to its end.
    async fn receive(self: Arc<Self>, shaken: Shaken, protocol: Protocol) {
        let known = self.entrance.identify(shaken.chain());
        let Shaken { stream, peer, unproved } = shaken;
        match known {
            Ok(Known::Proxy(proxy)) if protocol == Protocol::Https => {
                let Some(_of_proxies) = self.slot(&self.proxied, &proxy.name, protocol) else {
                    return;
                };
                let Some(_slot) = self.slot(&self.connections, &proxy.name, protocol) else {
                    return;
                };
                drop(unproved);
                let _counted = self.metrics.connection(protocol);
                let stay = self.enter(&stream, Known::Proxy(Arc::clone(&proxy)), &proxy.name);
                self.metrics.certificate_expires(Holder::Proxy, &proxy.name, stay.until());
                https::serve(self, stream, Some(https::Caller::Proxy { proxy, stay })).await;
            }
            Ok(Known::Proxy(proxy)) => {
                let name = &proxy.name;
                tracing::warn!(%peer, name, "a proxy was not let in: this port has no header fields");
                self.metrics.turned_away(protocol, TurnedAway::Unknown);
            }
            Ok(Known::Institution(bank)) => {
                let account = self.turnstile.account(bank.id());
                let Some((account, _own_slot)) =
                    account.and_then(|account| account.connect().map(|slot| (account, slot)))
                else {
                    tracing::warn!(
                        institution = bank.id(),
                        "a connection was closed: the institution has as many as it may"
                    );
                    return self.metrics.turned_away(protocol, TurnedAway::InstitutionFull);
                };
                let Some(_slot) = self.slot(&self.connections, bank.id(), protocol) else { return };
                drop(unproved);
                let _counted = self.metrics.connection(protocol);
                let stay = self.enter(&stream, Known::Institution(bank.clone()), bank.id());
                self.metrics.certificate_expires(Holder::Institution, bank.id(), stay.until());
                match protocol {
                    Protocol::Https => {
                        let caller = https::Caller::Institution { bank, account, stay };
                        https::serve(self, stream, Some(caller)).await;
                    }
                    Protocol::Tcp => tcp::serve(self, stream, bank, account, stay).await,
                    // The console has its own.
                    Protocol::Pages => {}
                }
            }
            Err(refusal) => {
                tracing::warn!(%peer, %refusal, "a caller was not let in");
                self.metrics.turned_away(protocol, TurnedAway::Unknown);
                if protocol == Protocol::Https
                    && let Ok(_told) = Arc::clone(&self.strangers).try_acquire_owned()
                {
                    drop(unproved);
                    // It is told why, but not given the time of those who are known.
                    let patience = self.limits.header_max.saturating_add(self.limits.header_max);
                    let _late = timeout(patience, https::serve(self, stream, None)).await;
                }
            }
        }
    }

    /// A place for a connection of somebody who is known; `None` if too many stand.
    fn slot(
        &self,
        places: &Arc<Semaphore>,
        name: &str,
        protocol: Protocol,
    ) -> Option<OwnedSemaphorePermit> {
        let slot = Arc::clone(places).try_acquire_owned().ok();
        if slot.is_none() {
            tracing::warn!(name, "a connection was closed: too many stand");
            self.metrics.turned_away(protocol, TurnedAway::Full);
        }
        slot
    }

    fn enter(&self, stream: &TlsStream<TcpStream>, known: Known, name: &str) -> BankStay {
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        self.entrance.enter(chain, known, name, &self.stopping)
    }

    /// Whose request it is that came through a proxy; `None` if it is nobody's that is known.
    fn presented(
        &self,
        proxy: &BankProxy,
        headers: &HeaderMap,
    ) -> Option<(VerifiedBank, Arc<Account>)> {
        let (bank, until) = self
            .entrance
            .presented(proxy, headers)
            .inspect_err(|refusal| {
                let error = refusal as &dyn std::error::Error;
                tracing::warn!(proxy = proxy.name, error, "a caller was not let in");
                self.metrics.turned_away(Protocol::Https, TurnedAway::Unknown);
            })
            .ok()?;
        self.metrics.certificate_expires(Holder::Institution, bank.id(), until);
        let account = self.turnstile.account(bank.id())?;
        Some((bank, account))
    }

    /// Answers one message on a task of its own, which keeps its `place` to the end, whether or not the bank still listens.
    /// `None` if that task broke, which is a fault of ours.
    async fn answer_apart(
        &self,
        bank: &VerifiedBank,
        agreed: D::Agreed,
        message: Bytes,
        arrival: Arrival,
        place: Arc<Place>,
    ) -> Option<Answer> {
        let exchange = Arc::clone(&self.desk).exchange(bank.clone(), agreed, message, arrival);
        let exchange = async {
            let answer = exchange.await;
            drop(place);
            answer
        };
        whole(bank, self.tasks.spawn(exchange).await)
    }

    /// Answers one message where nothing ends the caller's own task. `None` as above.
    async fn answer(
        &self,
        bank: &VerifiedBank,
        agreed: D::Agreed,
        message: Bytes,
    ) -> Option<Answer> {
        let desk = Arc::clone(&self.desk);
        let exchange = desk.exchange(bank.clone(), agreed, message, Arrival::tcp());
        // What broke is dropped whole, and nothing it worked on is shared but by ledger and registries.
        let answered = AssertUnwindSafe(exchange).catch_unwind().await;
        whole(bank, answered.map_err(|_panic| "it panicked"))
    }
}

/// What was answered; if the exchange broke, an operator has to know.
fn whole(bank: &VerifiedBank, answered: Result<Answer, impl Display>) -> Option<Answer> {
    answered
        .inspect_err(|error| {
            tracing::error!(institution = bank.id(), %error, "an exchange broke");
        })
        .ok()
}
