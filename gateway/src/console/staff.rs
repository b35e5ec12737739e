//! Those who sign in to the pages, as settings name them: people, and the proxy that speaks of people. Whose a certificate is.

use rustls::pki_types::CertificateDer;

use crate::{
    entrance::Guests,
    identity::{IdentityRefusal, Shown},
    settings::{Console as Settings, Person, Proxy},
};

/// Those who sign in.
#[derive(Debug, Clone)]
pub struct Staff {
    people: Vec<Person>,
    /// Who is believed about people who signed in elsewhere.
    pub(super) proxy: Option<Proxy>,
}

/// One who has shown a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guest {
    /// Somebody, by it.
    Person(Person),
    /// The proxy.
    Proxy(Proxy),
}

impl Guest {
    /// As it is called in logs.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Person(person) => &person.name,
            Self::Proxy(_) => "proxy",
        }
    }
}

impl Staff {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { people: settings.people.clone(), proxy: settings.proxy.clone() }
    }

    /// Whether anybody has to sign in.
    pub(super) fn signs_in(&self) -> bool {
        !self.people.is_empty() || self.proxy.is_some()
    }
}

impl Guests for Staff {
    type Guest = Guest;

    fn guest(&self, chain: &[CertificateDer<'_>]) -> Result<Guest, IdentityRefusal> {
        let shown = Shown::by(chain)?;
        // The proxy first: by its own certificate it is no person.
        let pins = self
            .proxy
            .iter()
            .filter(|it| it.certificate.as_deref().is_some_and(|pin| is_pinned(pin, &shown)));
        let proxy = pins.map(|it| Guest::Proxy(it.clone())).next();
        let person = || {
            let person = self.people.iter().find(|it| is_pinned(&it.certificate, &shown));
            person.map(|it| Guest::Person(it.clone()))
        };
        proxy.or_else(person).ok_or_else(|| IdentityRefusal::Unknown(shown.clone()))
    }
}

/// Whether a certificate is the one that settings name: by its digest, or by one of its names.
fn is_pinned(pin: &str, shown: &Shown) -> bool {
    match pin.strip_prefix("sha256:") {
        Some(digest) => digest.replace(':', "").eq_ignore_ascii_case(&shown.sha256),
        None => shown.names.iter().any(|name| name.eq_ignore_ascii_case(pin)),
    }
}
