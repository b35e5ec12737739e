//! A registry to build against: `directlink.v1.Registry` over mutual TLS, with a register that behaves as the law asks.
//!
//! For teams that implement the service it shows what a gateway expects, and for a gateway's tests it can be made to
//! fail in every way a registry can. It keeps titles, charges and cases in memory, and nothing survives it.
//! It never tells a business refusal as a gRPC status.

mod account;
mod asking;
mod books;
mod cases;
mod certificates;
mod complaint;
mod control;
mod control_port;
mod data;
mod evidence;
mod faults;
mod judgement;
mod listener;
mod register;
mod registrar;
mod remote;
mod service;
mod stream;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use time::{Duration, OffsetDateTime, macros::offset};
use tokio::sync::watch;
use tokio_util::{sync::DropGuard, task::TaskTracker};

pub use books::Alteration;
pub use cases::{CaseView, Counts, KeyCounts, Repeats, Review, Step};
pub use control::Control;
pub use data::{SAMPLES, with_offices};
pub use evidence::Received;
pub use faults::{Call, Fault, SOMEBODY, Silence};
pub use remote::RemoteControl;

use crate::{pki::Credentials, tls};
use cases::Cases;
use evidence::Log;
use faults::Orders;
use listener::Listener;
use service::Desk;

/// How a reference registry is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Its own certificate.
    pub own: Credentials,
    /// Root of the gateways that may call.
    pub clients_ca: PathBuf,
    /// Text of its data file; [`SAMPLES`] is the kit's own.
    pub data: String,
    /// Whether it answers REGISTERED at once.
    pub review: Review,
    /// What it does with a key that comes again.
    pub repeats: Repeats,
    /// Where its control port listens (plain HTTP; loopback only); `None` opens none.
    pub control: Option<SocketAddr>,
    /// Where the registrar's desk listens (plain HTTP; loopback only); `None` opens none.
    pub desk: Option<SocketAddr>,
}

impl Settings {
    /// A registry on any free port of this machine that knows the samples and registers at once.
    pub fn here(own: Credentials, clients_ca: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            own,
            clients_ca,
            data: SAMPLES.to_owned(),
            review: Review::default(),
            repeats: Repeats::default(),
            control: None,
            desk: None,
        }
    }
}

/// A running registry; it ends when this is dropped.
#[derive(Debug)]
pub struct ReferenceRegistry {
    control: Control,
    control_port: Option<SocketAddr>,
    registrars_desk: Option<SocketAddr>,
    _end: DropGuard,
}

impl ReferenceRegistry {
    /// Starts one; when this returns, it can be called.
    ///
    /// # Errors
    /// A file that can't be read, data with a slip in it, an address in use, or a control port or desk that is not on
    /// loopback.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let register = data::register(&settings.data)?;
        let books = Books {
            cases: Cases::new(register, settings.review, settings.repeats),
            orders: Orders::default(),
            log: Log::default(),
        };
        let shared = Arc::new(Shared {
            books: Mutex::new(books),
            changes: watch::Sender::new(()),
            releases: watch::Sender::new(()),
            tasks: TaskTracker::new(),
            days_passed: AtomicI64::new(0),
        });
        let tls = tls::server(&settings.own, &settings.clients_ca, &["h2"])?;
        let end = tokio_util::sync::CancellationToken::new();
        let desk = Desk::new(Arc::clone(&shared));
        let listener = Listener::open(settings.listen, tls, desk, end.clone()).await?;
        let registrars_desk = match settings.desk {
            None => None,
            Some(address) => {
                Some(registrar::open(address, Arc::clone(&shared), end.clone()).await?)
            }
        };
        let control = Control::new(shared, Arc::new(listener));
        let control_port = match settings.control {
            None => None,
            Some(address) => Some(control_port::open(address, control.clone(), end.clone()).await?),
        };
        Ok(Self { control, control_port, registrars_desk, _end: end.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.control.address()
    }

    /// Where its control port listens, if it has one.
    pub fn control_port(&self) -> Option<SocketAddr> {
        self.control_port
    }

    /// Where the registrar's desk listens, if it has one.
    pub fn registrars_desk(&self) -> Option<SocketAddr> {
        self.registrars_desk
    }

    /// The handle to look into it and to make it fail.
    pub fn control(&self) -> &Control {
        &self.control
    }
}

/// What the service and the control handle share.
#[derive(Debug)]
struct Shared {
    books: Mutex<Books>,
    /// Sent to whenever the books changed.
    changes: watch::Sender<()>,
    /// Sent to when held calls may go on.
    releases: watch::Sender<()>,
    /// What a registry does though nobody listens any more.
    tasks: TaskTracker,
    /// Days that were let pass here and nowhere else.
    days_passed: AtomicI64,
}

#[derive(Debug)]
struct Books {
    cases: Cases,
    orders: Orders,
    log: Log,
}

impl Shared {
    /// The books as of today, locked. Every change is made whole under the lock, so that a panicked holder leaves nothing
    /// half done.
    fn books(&self) -> MutexGuard<'_, Books> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.cases.register.it_is(self.now().to_offset(offset!(+8)).date());
        books
    }

    /// What time it is at the registry.
    fn now(&self) -> OffsetDateTime {
        let passed = Duration::days(self.days_passed.load(Ordering::Relaxed));
        OffsetDateTime::now_utc().saturating_add(passed)
    }

    /// Changes the books and wakes whoever waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut Books) -> T) -> T {
        let changed = change(&mut self.books());
        self.changes.send_replace(());
        changed
    }
}
