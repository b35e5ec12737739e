//! The way in at a port with mutual TLS, as files and settings say now: the gateway's certificate and key, the authorities that
//! callers' certificates may be issued by, the lists of those that were revoked, and whom each certificate belongs to. Banks
//! come in by one, people by that of the console's own port.
//!
//! Files are looked at every so often, and what has changed by content is taken while the gateway runs; what cannot be used
//! is told, and what was used before is used on. Whoever is inside is judged again by what was taken, files or settings: a
//! connection whose certificate was revoked, has run out, is by an authority that is not believed any more, or is not of
//! whom it was when it came, ends after the answer that is under way, and nobody else's is touched. Source: RFC 5280,
//! sections 5 and 6.

use std::{
    collections::HashMap,
    fmt, fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use http::HeaderMap;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, UnixTime},
    server::danger::ClientCertVerifier,
};
use tokio::{signal::unix::Signal, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    certificates, client_cert,
    identity::{Identities, IdentityRefusal, VerifiedBank},
    settings::{BankProxy, Chains, Listen, StaleCrls},
    telemetry::Metrics,
    tls::{self, Protocol, TlsError},
};

/// Who is let in, and by which files.
#[derive(Debug)]
pub struct Entrance<G: Guests> {
    files: Files,
    opened: ArcSwap<Opened>,
    guests: ArcSwap<G>,
    visitors: Mutex<HashMap<u64, Visitor<G::Guest>>>,
    visits: AtomicU64,
}

/// Those who are known by their certificates.
pub trait Guests: fmt::Debug + Send + Sync + 'static {
    /// One of them, with what settings say of them: two are equal if nothing has changed about them.
    type Guest: fmt::Debug + PartialEq + Send + Sync + 'static;

    /// Says whose certificate it is. `chain`: as the finished handshake gives it, the caller's own first.
    ///
    /// # Errors
    /// A refusal that names what was shown, for the operator.
    fn guest(&self, chain: &[CertificateDer<'_>]) -> Result<Self::Guest, IdentityRefusal>;
}

/// What handshakes are made with; all but `client_crls` are PEM files.
#[derive(Debug, Clone)]
pub struct Files {
    /// What is told of them in logs and metrics: nothing of those for banks, `console` of the console's.
    pub name: &'static str,
    /// The gateway's certificate, its chain after it.
    pub certificate: PathBuf,
    /// The private key of `certificate`.
    pub key: PathBuf,
    /// The authorities that callers' certificates may be issued by.
    pub client_ca: PathBuf,
    /// Revocation lists, PEM or DER.
    pub client_crls: Vec<PathBuf>,
    /// What a list is worth after its time.
    pub stale_crls: StaleCrls,
}

impl From<&Listen> for Files {
    fn from(listen: &Listen) -> Self {
        Self {
            name: "",
            certificate: listen.certificate.clone(),
            key: listen.key.clone(),
            client_ca: listen.client_ca.clone(),
            client_crls: listen.client_crls.clone(),
            stale_crls: listen.stale_crls,
        }
    }
}

/// What was made of one state of the files.
#[derive(Debug)]
struct Opened {
    contents: Contents,
    verifier: Arc<dyn ClientCertVerifier>,
    https: Arc<ServerConfig>,
    tcp: Arc<ServerConfig>,
    pages: Arc<ServerConfig>,
}

/// SHA-256 over the files, or over that they cannot be read.
type Contents = [u8; 32];

/// Somebody who was let in.
#[derive(Debug)]
struct Visitor<G> {
    chain: Vec<CertificateDer<'static>>,
    /// Who it was when it came.
    guest: G,
    /// Its name in settings.
    name: String,
    /// When its certificate runs out.
    until: SystemTime,
    leaving: CancellationToken,
}

impl<G: Guests> Entrance<G> {
    /// Reads the files; `guests` are let in.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file.
    pub fn open(files: Files, guests: G) -> Result<Arc<Self>, TlsError> {
        let opened = ArcSwap::from_pointee(opened(&files)?);
        Ok(Arc::new(Self {
            files,
            opened,
            guests: ArcSwap::from_pointee(guests),
            visitors: Mutex::default(),
            visits: AtomicU64::new(0),
        }))
    }

    /// What the next caller shakes hands with.
    pub fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        let opened = self.opened.load();
        match protocol {
            Protocol::Https => Arc::clone(&opened.https),
            Protocol::Tcp => Arc::clone(&opened.tcp),
            Protocol::Pages => Arc::clone(&opened.pages),
        }
    }

    /// Says whose certificate it is. `chain`: as the finished handshake gives it, the caller's own first.
    ///
    /// # Errors
    /// A refusal that names what was shown, for the operator.
    pub fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<G::Guest, IdentityRefusal> {
        self.guests.load().guest(chain)
    }

    /// Notes that `guest`, `name` in settings, is inside. It is told to leave once its certificate is not good any more or not
    /// its own, or with `stopping`.
    pub fn enter(
        self: &Arc<Self>,
        chain: &[CertificateDer<'_>],
        guest: G::Guest,
        name: &str,
        stopping: &CancellationToken,
    ) -> Stay<G> {
        let leaving = stopping.child_token();
        let until = chain.first().and_then(|own| certificates::expiry(own));
        let visitor = Visitor {
            chain: chain.iter().map(|it| it.clone().into_owned()).collect(),
            guest,
            name: name.to_owned(),
            // What cannot be read was not identified.
            until: until.unwrap_or(UNIX_EPOCH),
            leaving: leaving.clone(),
        };
        let number = self.visits.fetch_add(1, Ordering::Relaxed);
        self.visitors().insert(number, visitor);
        // What has changed since the handshake is not missed.
        self.judge([number]);
        Stay { entrance: Arc::clone(self), number, leaving }
    }

    /// Lets in `guests` from now on; whoever is inside and is none of them any more, or not as they were, is told to leave.
    pub fn know(&self, guests: G) {
        self.guests.store(Arc::new(guests));
        self.judge(self.inside(|_| true));
    }

    /// Takes what the files say now, if that is not what they said before. Says whether it was taken.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file; what was used before is used on.
    pub fn take(&self) -> Result<bool, TlsError> {
        if contents(&self.files) == self.opened.load().contents {
            return Ok(false);
        }
        self.opened.store(Arc::new(opened(&self.files)?));
        self.judge(self.inside(|_| true));
        Ok(true)
    }

    /// Tells those to leave whose certificates have run out.
    pub fn see_out(&self) {
        let now = SystemTime::now();
        self.judge(self.inside(|visitor| visitor.until < now));
    }

    /// Those inside that are asked for, and have not been told to leave.
    fn inside(&self, asked: impl Fn(&Visitor<G::Guest>) -> bool) -> Vec<u64> {
        let visitors = self.visitors();
        let asked = visitors.iter().filter(|(_, it)| !it.leaving.is_cancelled() && asked(it));
        asked.map(|(number, _)| *number).collect()
    }

    /// Judges these as if they came now.
    fn judge(&self, numbers: impl IntoIterator<Item = u64>) {
        let (opened, guests) = (self.opened.load(), self.guests.load());
        for number in numbers {
            // Looked up one by one: nobody waits at the door while many are judged.
            let visitors = self.visitors();
            let Some(visitor) = visitors.get(&number) else { continue };
            let name = visitor.name.as_str();
            if let Err(error) = judged(&visitor.chain, &*opened.verifier) {
                tracing::warn!(
                    name,
                    %error,
                    "a connection is ended: its certificate is not good any more"
                );
                visitor.leaving.cancel();
            } else if guests.guest(&visitor.chain).ok().as_ref() != Some(&visitor.guest) {
                tracing::warn!(name, "a connection is ended: settings say something else of it");
                visitor.leaving.cancel();
            }
        }
    }

    fn visitors(&self) -> MutexGuard<'_, HashMap<u64, Visitor<G::Guest>>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entrance<Identities> {
    /// Says whose request it is that came through a proxy, and when that certificate runs out: judged as if it had been shown
    /// here, but for what the proxy vouches for.
    ///
    /// # Errors
    /// A refusal that names what was told, for the operator.
    pub fn presented(
        &self,
        proxy: &BankProxy,
        headers: &HeaderMap,
    ) -> Result<(VerifiedBank, SystemTime), IdentityRefusal> {
        let chain = client_cert::told(headers).map_err(IdentityRefusal::Untold)?;
        let own = chain.first().ok_or(IdentityRefusal::NoCertificate)?;
        let until = certificates::expiry(own).unwrap_or(UNIX_EPOCH);
        match proxy.chains {
            Chains::Verified => judged(&chain, &*self.opened.load().verifier),
            Chains::Vouched => certificates::in_force(own, SystemTime::now()),
        }
        .map_err(IdentityRefusal::NotGood)?;
        let bank = self.guests.load().told(&chain)?;
        if !proxy.institutions.iter().any(|id| id == bank.id()) {
            return Err(IdentityRefusal::NotThroughThisProxy(bank.id().to_owned()));
        }
        Ok((bank, until))
    }
}

/// # Errors
/// Why a caller with such certificates would not be let in now.
fn judged(
    chain: &[CertificateDer<'_>],
    verifier: &dyn ClientCertVerifier,
) -> Result<(), rustls::Error> {
    let (own, between) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
    verifier.verify_client_cert(own, between, UnixTime::now()).map(drop)
}

/// Somebody's being inside; dropped when it has left.
#[derive(Debug)]
pub struct Stay<G: Guests> {
    entrance: Arc<Entrance<G>>,
    number: u64,
    leaving: CancellationToken,
}

impl<G: Guests> Stay<G> {
    /// When its certificate runs out.
    pub fn until(&self) -> SystemTime {
        self.entrance.visitors().get(&self.number).map_or(UNIX_EPOCH, |visitor| visitor.until)
    }

    /// Cancelled once it is to leave.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.leaving
    }

    /// Resolves once it is to leave: nothing more is heard from it, and what is under way is answered.
    pub async fn leaving(&self) {
        self.leaving.cancelled().await;
    }
}

impl<G: Guests> Drop for Stay<G> {
    fn drop(&mut self) {
        self.entrance.visitors().remove(&self.number);
    }
}

/// Takes what has changed on disk `every` so often until `stop` is cancelled; at once when `asked`.
///
/// A certificate and its key are rarely written in one moment: what has changed is taken once two looks find the same.
/// Whoever asks says that they are.
pub async fn watch<G: Guests>(
    entrance: Arc<Entrance<G>>,
    every: Duration,
    metrics: Metrics,
    mut asked: Signal,
    stop: CancellationToken,
) {
    let (mut moving, mut refused) = (None, None);
    let mut pause = every;
    tell_expiry(&entrance.files, &metrics);
    loop {
        let is_asked = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(()) = asked.recv() => true,
            () = sleep(pause) => false,
        };
        let (looking, metrics) = (Arc::clone(&entrance), metrics.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let seen = contents(&looking.files);
            let is_settled = is_asked || moving == Some(seen);
            if seen != looking.opened.load().contents && is_settled && refused != Some(seen) {
                match looking.take() {
                    Ok(_) => {
                        tracing::info!(port = looking.files.name, "certificates were taken anew");
                        tell_expiry(&looking.files, &metrics);
                        refused = None;
                    }
                    Err(error) => {
                        let file = error.file().display().to_string();
                        tracing::error!(
                            port = looking.files.name,
                            file,
                            error = &error as &dyn std::error::Error,
                            "certificates have changed and cannot be used: those before are used on"
                        );
                        refused = Some(seen);
                    }
                }
            }
            looking.see_out();
            let is_moving = seen != looking.opened.load().contents && refused != Some(seen);
            (is_moving.then_some(seen), refused)
        });
        (moving, refused) = looked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "looking for changed certificates broke");
            (None, refused)
        });
        pause = if moving.is_some() { every.min(SETTLING) } else { every };
    }
}

/// Tells how long what is used is good for.
fn tell_expiry(files: &Files, metrics: &Metrics) {
    for (holder, expiry) in certificates::of_the_entrance(files) {
        metrics.certificate_expires(holder, files.name, expiry);
    }
}

/// How long after a change is first seen it is looked at again.
const SETTLING: Duration = Duration::from_secs(1);

fn opened(files: &Files) -> Result<Opened, TlsError> {
    // Before the files are read: what changes meanwhile is found changed by the next look.
    let contents = contents(files);
    let verifier = tls::client_verifier(&files.client_ca, &files.client_crls, files.stale_crls)?;
    let config = |protocol| {
        tls::port_config(&files.certificate, &files.key, Arc::clone(&verifier), protocol)
    };
    let (https, tcp) = (config(Protocol::Https)?, config(Protocol::Tcp)?);
    let pages = config(Protocol::Pages)?;
    Ok(Opened { contents, verifier, https, tcp, pages })
}

fn contents(files: &Files) -> Contents {
    let all = [&files.certificate, &files.key, &files.client_ca];
    let mut context = Context::new(&SHA256);
    for file in all.into_iter().chain(&files.client_crls) {
        match fs::read(file) {
            Ok(bytes) => {
                context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
                context.update(&bytes);
            }
            Err(_) => context.update(&[0xff; 8]),
        }
    }
    let mut contents = [0; 32];
    contents.copy_from_slice(context.finish().as_ref());
    contents
}
