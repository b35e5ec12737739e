//! Authorities that callers' certificates may be issued by, and that nobody else bears the name of one.
//!
//! A caller is pinned by its issuer's name, and a name is text: whoever has one authority's key can make another one below it, by
//! any name. So a chain in which a certificate bears an authority's name with another key is refused before anything of it
//! is believed; who has issued a certificate is then told by the name. Source: docs/decisions/0041-a-name-is-its-authoritys.md.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::identity::DistinguishedName;

/// Names of authorities, each with its key.
#[derive(Debug)]
pub(crate) struct Names(Vec<(DistinguishedName, Vec<u8>)>);

impl Names {
    /// Those of certificates as they are sent.
    ///
    /// # Errors
    /// One cannot be read.
    pub(crate) fn of(certificates: &[CertificateDer<'_>]) -> Result<Self, Error> {
        let named: Vec<_> = certificates.iter().map(named).collect::<Result<_, _>>()?;
        // A name that nobody can write is in no pin.
        Ok(Self(named.into_iter().filter_map(|(name, key)| Some((name?, key))).collect()))
    }

    /// Whether one of them is called so.
    pub(crate) fn hold(&self, name: &DistinguishedName) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// # Errors
    /// A certificate bears one of the names and has none of its keys, or cannot be read.
    fn are_borne_by_none_else(&self, certificates: &[CertificateDer<'_>]) -> Result<(), Error> {
        for certificate in certificates {
            let (name, key) = named(certificate)?;
            let Some(name) = name.filter(|name| self.hold(name)) else { continue };
            if !self.0.iter().any(|(known, own)| *known == name && *own == key) {
                let impostor = OtherError(Arc::new(Impostor(name)));
                return Err(CertificateError::Other(impostor).into());
            }
        }
        Ok(())
    }
}

/// Whom a certificate is for, as a pin would write it, and its key with the key's algorithm.
fn named(der: &CertificateDer<'_>) -> Result<(Option<DistinguishedName>, Vec<u8>), Error> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_unread| CertificateError::BadEncoding)?;
    let name = DistinguishedName::of(certificate.subject());
    Ok((name, certificate.public_key().raw.to_vec()))
}

/// A certificate with the name of an authority and another key.
#[derive(Debug, thiserror::Error)]
#[error(
    "the chain holds a certificate that bears the name of the authority `{0}` and has not its key"
)]
struct Impostor(DistinguishedName);

/// Judges callers' certificates: as another does, and that no name is borrowed.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) names: Names,
    pub(crate) inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Verifier {
    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.names.are_borne_by_none_else(between)?;
        self.inner.verify_client_cert(own, between, now)
    }

    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, own, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, own, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.inner.requires_raw_public_keys()
    }
}
