//! Who is calling: the institution whose certificate the TLS handshake has proved, and nothing else.
//!
//! Identity never comes from a message. A [`VerifiedBank`] is made in this file alone, from the certificate the
//! handshake ended with, or that a proxy of `listen.proxy` tells of; what must not run for a stranger takes one. That the
//! certificate chains to an authority in `listen.client_ca` and is in date was checked by the handshake, or is by the entrance;
//! here it is pinned to one institution or proxy.

use std::{collections::HashMap, fmt, sync::Arc};

use http::HeaderValue;
use proto::v1;
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    objects::{oid_registry, oid2abbrev},
    prelude::FromDer,
    x509::X509Name,
};

use crate::{
    client_cert,
    entrance::Guests,
    settings::{BankProxy, Institution, InstitutionKind},
};

/// An institution that has proved to be who it is. Cheap to copy. Two are the same if settings say the same of both, and they
/// showed one certificate.
#[derive(Clone, PartialEq)]
pub struct VerifiedBank {
    institution: Arc<Institution>,
    client_cert: HeaderValue,
}

impl VerifiedBank {
    /// Its name in the ledger, metrics and logs.
    pub fn id(&self) -> &str {
        &self.institution.id
    }

    /// The institution, as registries are told it.
    pub fn institution(&self) -> v1::Institution {
        let Institution { id, name, kind, .. } = &*self.institution;
        v1::Institution {
            id: id.clone(),
            name: name.clone(),
            kind: v1::InstitutionKind::from(*kind).into(),
        }
    }

    /// What settings say of it.
    pub(crate) fn settings(&self) -> &Institution {
        &self.institution
    }

    /// What it is.
    pub fn kind(&self) -> InstitutionKind {
        self.institution.kind
    }

    /// The name of its contract.
    pub fn contract(&self) -> &str {
        &self.institution.contract
    }

    /// Whether it is trying things out or doing business.
    pub fn mode(&self) -> adapters::Mode {
        self.institution.mode.into()
    }

    /// Codes its messages may name it by; none: codes are not compared.
    pub fn codes(&self) -> &[String] {
        &self.institution.codes
    }

    /// The certificate it showed, as a registry is shown it: RFC 9440 `client-cert`.
    pub fn client_cert(&self) -> &HeaderValue {
        &self.client_cert
    }
}

impl fmt::Debug for VerifiedBank {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("VerifiedBank").field(&self.institution.id).finish()
    }
}

/// Whose certificate one is.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// An institution's own.
    Institution(VerifiedBank),
    /// That of a proxy, which says of each request whose it is.
    Proxy(Arc<BankProxy>),
}

/// The certificates institutions and proxies are known by.
#[derive(Debug)]
pub struct Identities {
    /// By subject alternative name in lower case: most certificates hold one, so that most look-ups are one.
    by_san: HashMap<String, Vec<(DistinguishedName, Pinned)>>,
}

/// Who is pinned to a certificate.
#[derive(Debug, Clone)]
enum Pinned {
    Institution(Arc<Institution>),
    Proxy(Arc<BankProxy>),
}

impl Pinned {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Institution(one), Self::Institution(other)) => one.id == other.id,
            (Self::Proxy(one), Self::Proxy(other)) => one.name == other.name,
            (Self::Institution(_), Self::Proxy(_)) | (Self::Proxy(_), Self::Institution(_)) => {
                false
            }
        }
    }
}

impl Identities {
    /// Pins each institution and proxy to its certificate. An issuer that is no distinguished name pins nothing; settings
    /// have refused it before.
    pub fn new(institutions: &[Arc<Institution>], proxies: &[BankProxy]) -> Self {
        let mut by_san: HashMap<String, Vec<_>> = HashMap::new();
        let institutions = institutions.iter().map(|it| {
            let pinned = Pinned::Institution(Arc::clone(it));
            (&it.certificate_issuer, &it.certificate_san, pinned)
        });
        let proxies = proxies.iter().map(|it| {
            let pinned = Pinned::Proxy(Arc::new(it.clone()));
            (&it.certificate_issuer, &it.certificate_san, pinned)
        });
        for (issuer, san, pinned) in institutions.chain(proxies) {
            if let Some(issuer) = DistinguishedName::parse(issuer) {
                by_san.entry(san.to_ascii_lowercase()).or_default().push((issuer, pinned));
            }
        }
        Self { by_san }
    }

    /// Says whose certificate it is. `chain`: as the finished handshake gives it, the caller's own first.
    ///
    /// # Errors
    /// A refusal that names what was shown, for the operator; the caller learns only that it is not known.
    pub fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<Known, IdentityRefusal> {
        let der = chain.first().ok_or(IdentityRefusal::NoCertificate)?;
        let certificate = of_a_client(der)?;
        // Only who is refused is described.
        let shown = || Shown::of(&certificate, der);
        let issuer = DistinguishedName::of(certificate.issuer());
        let mut known: Vec<&Pinned> = Vec::new();
        for name in alternative_names(&certificate) {
            for (of, pinned) in self.by_san.get(&name.to_ascii_lowercase()).into_iter().flatten() {
                if Some(of) == issuer.as_ref() && !known.iter().any(|it| it.is(pinned)) {
                    known.push(pinned);
                }
            }
        }
        match known.as_slice() {
            [] => Err(IdentityRefusal::Unknown(shown())),
            [Pinned::Institution(institution)] => Ok(Known::Institution(VerifiedBank {
                institution: Arc::clone(institution),
                client_cert: client_cert::written(der).map_err(IdentityRefusal::Untellable)?,
            })),
            [Pinned::Proxy(proxy)] => Ok(Known::Proxy(Arc::clone(proxy))),
            _ => Err(IdentityRefusal::Ambiguous(shown())),
        }
    }

    /// Says whose certificate a proxy tells of. `chain`: as it tells it, the institution's own first.
    ///
    /// # Errors
    /// As [`Identities::identify`]; a proxy speaks for institutions alone.
    pub fn told(&self, chain: &[CertificateDer<'_>]) -> Result<VerifiedBank, IdentityRefusal> {
        match self.identify(chain)? {
            Known::Institution(bank) => Ok(bank),
            Known::Proxy(proxy) => Err(IdentityRefusal::ProxyBehindProxy(proxy.name.clone())),
        }
    }
}

impl Guests for Identities {
    type Guest = Known;

    fn guest(&self, chain: &[CertificateDer<'_>]) -> Result<Known, IdentityRefusal> {
        self.identify(chain)
    }
}

/// Why a caller is nobody we know.
#[derive(Debug, thiserror::Error)]
pub enum IdentityRefusal {
    /// The handshake ended without a certificate.
    #[error("no client certificate was shown")]
    NoCertificate,
    /// The certificate cannot be read.
    #[error("the client certificate cannot be read")]
    Unreadable(#[source] x509_parser::nom::Err<x509_parser::error::X509Error>),
    /// The certificate does not say that it is for TLS clients.
    #[error("the client certificate lacks the extended key usage clientAuth: {0}")]
    NotForClients(Shown),
    /// Its key is said to be for something, and not for signing, which a handshake takes.
    #[error("the client certificate lacks the key usage digitalSignature: {0}")]
    NotForSigning(Shown),
    /// Nobody is pinned to it.
    #[error("nobody in settings has this certificate: {0}")]
    Unknown(Shown),
    /// The certificate cannot be shown to a registry; Base64 always fits a header, so this is a fault of ours.
    #[error("the client certificate cannot be told to a registry")]
    Untellable(#[source] http::header::InvalidHeaderValue),
    /// A proxy tells of a request without telling whose it is.
    #[error("{0}")]
    Untold(client_cert::Untold),
    /// The certificate that a proxy tells of would not have been let in by itself.
    #[error("the certificate that the proxy tells of is not good")]
    NotGood(#[source] rustls::Error),
    /// A proxy tells of another's certificate.
    #[error("the proxy tells of the certificate of a proxy, {0}")]
    ProxyBehindProxy(String),
    /// A proxy tells of a certificate of an institution that it does not speak for.
    #[error("the proxy does not speak for {0}")]
    NotThroughThisProxy(String),
    /// Several institutions are pinned to names it holds.
    #[error("several institutions in settings have this certificate: {0}")]
    Ambiguous(Shown),
}

/// What a certificate says that somebody can be known by. Of one that is refused it is told to the operator who may want to
/// register it: certificates name institutions; one that names a person is told all the same, as nobody could act on the
/// refusal otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Who issued it, in the certificate's order.
    pub issuer: String,
    /// Its subject alternative names that a pin could name.
    pub names: Vec<String>,
    /// SHA-256 of its DER, in hexadecimal.
    pub sha256: String,
}

impl Shown {
    /// Of a client's own certificate, the first of `chain`.
    ///
    /// # Errors
    /// There is none, or none that a client may show.
    pub(crate) fn by(chain: &[CertificateDer<'_>]) -> Result<Self, IdentityRefusal> {
        let der = chain.first().ok_or(IdentityRefusal::NoCertificate)?;
        Ok(Self::of(&of_a_client(der)?, der))
    }

    fn of(certificate: &X509Certificate<'_>, der: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        Self {
            issuer: DistinguishedName::of(certificate.issuer())
                .map(|name| name.to_string())
                .unwrap_or_default(),
            names: alternative_names(certificate).map(str::to_owned).collect(),
            sha256: hex::encode(digest),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "issuer {:?}, names {:?}, sha256 {}", self.issuer, self.names, self.sha256)
    }
}

/// Reads a certificate, if a client may show it. `der`: as it is sent.
fn of_a_client(der: &[u8]) -> Result<X509Certificate<'_>, IdentityRefusal> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(IdentityRefusal::Unreadable)?;
    let shown = || Shown::of(&certificate, der);
    // The handshake takes a certificate that does not say what it is for; a pin on one would let a server's
    // certificate file mortgages.
    let usage = certificate.extended_key_usage().ok().flatten();
    if !usage.is_some_and(|usage| usage.value.client_auth) {
        return Err(IdentityRefusal::NotForClients(shown()));
    }
    // RFC 5280, section 4.2.1.3: a key that is said to be for something is for nothing else.
    let key_usage = certificate.key_usage().ok().flatten();
    if key_usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(IdentityRefusal::NotForSigning(shown()));
    }
    Ok(certificate)
}

/// What a subject alternative name is, which its text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameKind {
    /// Without `:` and `@`.
    Dns,
    /// With a `:`, as every URI has behind its scheme.
    Uri,
    /// With an `@`, and no `:`.
    Mail,
}

impl NameKind {
    fn of(text: &str) -> Self {
        match (text.contains(':'), text.contains('@')) {
            (true, _) => Self::Uri,
            (false, true) => Self::Mail,
            (false, false) => Self::Dns,
        }
    }
}

/// The names that a pin could name.
fn alternative_names<'c>(certificate: &'c X509Certificate<'_>) -> impl Iterator<Item = &'c str> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    extension
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => Some((NameKind::Dns, *text)),
            GeneralName::URI(text) => Some((NameKind::Uri, *text)),
            GeneralName::RFC822Name(text) => Some((NameKind::Mail, *text)),
            _ => None,
        })
        // A pin is text alone: a name that reads as one of another kind would be taken for it.
        .filter_map(|(kind, text)| (NameKind::of(text) == kind).then_some(text))
}

/// A distinguished name, comparable whatever way it was written down.
///
/// Kept attribute by attribute: compared as text, one name whose value holds `, O=` would pass for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DistinguishedName {
    /// Relative names in the certificate's order, each of one or more attributes: type in upper case, value.
    parts: Vec<Vec<(String, String)>>,
}

impl DistinguishedName {
    /// Reads `C=CN, O=…, CN=…`: relative names separated by `,`, attributes of one by `+`, a `\` before any character
    /// that is meant as it stands; blanks around separators and `=` do not count. `None` if it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        for part in split(text, ',')? {
            let mut attributes = Vec::new();
            for attribute in split(part, '+')? {
                let (kind, value) = attribute.split_once('=')?;
                let (kind, value) = (kind.trim(), unescape(value.trim())?);
                if kind.is_empty() || value.is_empty() {
                    return None;
                }
                attributes.push((kind.to_ascii_uppercase(), value));
            }
            parts.push(attributes);
        }
        Some(Self { parts })
    }

    /// `None` if a value is in none of the character sets a pin could be written in.
    pub(crate) fn of(name: &X509Name<'_>) -> Option<Self> {
        let mut parts = Vec::new();
        for part in name.iter() {
            let mut attributes = Vec::new();
            for attribute in part.iter() {
                let kind = oid2abbrev(attribute.attr_type(), oid_registry())
                    .map_or_else(|_| attribute.attr_type().to_id_string(), str::to_ascii_uppercase);
                attributes.push((kind, attribute.as_str().ok()?.to_owned()));
            }
            parts.push(attributes);
        }
        Some(Self { parts })
    }
}

/// As [`DistinguishedName::parse`] reads it, so that it can be copied from a log into settings.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            for (inner, (kind, value)) in part.iter().enumerate() {
                let before = match (at, inner) {
                    (0, 0) => "",
                    (_, 0) => ", ",
                    _ => "+",
                };
                write!(out, "{before}{kind}=")?;
                for character in value.chars() {
                    if matches!(character, ',' | '+' | '\\') {
                        out.write_str("\\")?;
                    }
                    write!(out, "{character}")?;
                }
            }
        }
        Ok(())
    }
}

/// Splits at separators that no `\` stands before; `None` if a piece is blank.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut pieces = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, character) in text.char_indices() {
        if character == separator && !escaped {
            pieces.push(text.get(start..at)?);
            start = at + character.len_utf8();
        }
        escaped = character == '\\' && !escaped;
    }
    pieces.push(text.get(start..)?);
    pieces.iter().all(|piece| !piece.trim().is_empty()).then_some(pieces)
}

/// Takes the `\` away that make the next character stand for itself; `None` if the last has none behind it.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' { characters.next()? } else { character });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use rcgen::{
        CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    };

    use super::*;
    use crate::settings::{InstitutionKind, InstitutionMode};

    fn institution(id: &str, issuer: &str, san: &str) -> Arc<Institution> {
        Arc::new(Institution {
            id: id.to_owned(),
            name: id.to_owned(),
            kind: InstitutionKind::Bank,
            contract: id.to_owned(),
            mode: InstitutionMode::Production,
            certificate_issuer: issuer.to_owned(),
            certificate_san: san.to_owned(),
            codes: Vec::new(),
            mortgagee_names: Vec::new(),
            mortgagee_codes: Vec::new(),
            exchanges_max: None,
            connections_max: None,
            messages_per_second_max: None,
            messages_burst_max: None,
        })
    }

    fn certificate(
        issuer: &[(DnType, &str)],
        sans: Vec<SanType>,
        client: bool,
    ) -> CertificateDer<'static> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in issuer {
            authority.distinguished_name.push(kind.clone(), *value);
        }
        let authority = Issuer::new(authority, KeyPair::generate().unwrap());
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans;
        if client {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap().der().clone()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    const AUTHORITY: &[(DnType, &str)] = &[
        (DnType::CountryName, "CN"),
        (DnType::OrganizationName, "甲, O=乙"),
        (DnType::CommonName, "Authority"),
    ];
    const AUTHORITY_NAME: &str = "C=CN, O=甲\\, O=乙, CN=Authority";

    #[test]
    fn an_institution_is_known_by_issuer_and_name_together() {
        let identities = Identities::new(
            &[
                institution("dns", AUTHORITY_NAME, "core.one.example"),
                institution("uri", AUTHORITY_NAME, "spiffe://two.example/core"),
                institution("mail", AUTHORITY_NAME, "core@three.example"),
                institution("other", "CN=Other", "core.one.example"),
            ],
            &[],
        );
        let uri = SanType::URI("spiffe://two.example/core".try_into().unwrap());
        let mail = SanType::Rfc822Name("core@three.example".try_into().unwrap());
        for (san, expected) in [(dns("CORE.one.example"), "dns"), (uri, "uri"), (mail, "mail")] {
            let shown = certificate(AUTHORITY, vec![dns("else.example"), san], true);
            let bank = identities.told(std::slice::from_ref(&shown)).unwrap();
            assert_eq!(bank.id(), expected);
            let told = bank.client_cert().to_str().unwrap().trim_matches(':');
            assert_eq!(STANDARD.decode(told).unwrap(), shown.as_ref());
        }
    }

    #[test]
    fn a_pin_is_no_name_of_another_kind() {
        let pins = ["core.one.example", "core@one.example", "core:one"]
            .map(|san| institution(san, AUTHORITY_NAME, san));
        let identities = Identities::new(&pins, &[]);
        let text = |text: &str| text.try_into().unwrap();
        for san in [
            SanType::URI(text("core.one.example")),
            SanType::Rfc822Name(text("core.one.example")),
            SanType::DnsName(text("core@one.example")),
            SanType::URI(text("core@one.example")),
            SanType::DnsName(text("core:one")),
            SanType::Rfc822Name(text("core:one")),
        ] {
            let shown = certificate(AUTHORITY, vec![san.clone()], true);
            let known = identities.identify(&[shown]);
            assert!(matches!(known, Err(IdentityRefusal::Unknown(_))), "{san:?}");
        }
    }

    #[test]
    fn a_stranger_is_told_of_so_that_an_operator_can_register_it() {
        let identities =
            Identities::new(&[institution("one", "CN=Authority", "core.one.example")], &[]);
        let shown = certificate(AUTHORITY, vec![dns("core.one.example")], true);
        let Err(IdentityRefusal::Unknown(told)) = identities.identify(&[shown]) else {
            panic!("taken for another")
        };
        assert_eq!(
            (told.issuer.as_str(), told.names),
            (AUTHORITY_NAME, vec!["core.one.example".to_owned()])
        );
        assert_eq!(told.sha256.len(), 64);
    }

    #[test]
    fn an_issuer_whose_one_value_looks_like_two_is_not_taken_for_the_one_with_two() {
        let two = institution("two", "O=A, O=B", "core.one.example");
        let shown = certificate(
            &[(DnType::OrganizationName, "A, O=B")],
            vec![dns("core.one.example")],
            true,
        );
        assert!(matches!(
            Identities::new(&[two], &[]).identify(&[shown]),
            Err(IdentityRefusal::Unknown(_))
        ));
    }

    #[test]
    fn a_certificate_that_is_not_for_clients_or_for_several_or_none_is_refused() {
        let pins = [
            institution("one", AUTHORITY_NAME, "one.example"),
            institution("two", AUTHORITY_NAME, "two.example"),
        ];
        let identities = Identities::new(&pins, &[]);
        let silent = certificate(AUTHORITY, vec![dns("one.example")], false);
        assert!(matches!(identities.identify(&[silent]), Err(IdentityRefusal::NotForClients(_))));
        let both = certificate(AUTHORITY, vec![dns("one.example"), dns("two.example")], true);
        assert!(matches!(identities.identify(&[both]), Err(IdentityRefusal::Ambiguous(_))));
        assert!(matches!(identities.identify(&[]), Err(IdentityRefusal::NoCertificate)));
        let noise = CertificateDer::from(vec![0x30, 0x01]);
        assert!(matches!(identities.identify(&[noise]), Err(IdentityRefusal::Unreadable(_))));
    }

    #[test]
    fn distinguished_names_are_read_as_they_are_written_or_not_at_all() {
        let name = DistinguishedName::parse("c = CN ,O=甲\\, O\\=乙+OU=x, CN=A\\\\").unwrap();
        assert_eq!(name.to_string(), "C=CN, O=甲\\, O=乙+OU=x, CN=A\\\\");
        assert_eq!(DistinguishedName::parse(&name.to_string()), Some(name));
        for broken in ["", "CN", "CN=", "=x", "CN=a,", "CN=a\\", "CN=a,,O=b"] {
            assert_eq!(DistinguishedName::parse(broken), None, "{broken}");
        }
    }
}
