//! Mutual TLS on both sides: what banks must show to get in, and what the gateway shows to registries.
//!
//! TLS 1.2 and 1.3 only. Sessions are never resumed: each connection proves its certificate anew, so that one taken
//! out of settings is out at once. Whose certificate it is, is not asked here but in `identity`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use crate::{
    authorities::{Names, Verifier},
    settings::StaleCrls,
};

/// What is spoken inside TLS on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/2 or HTTP/1.1, as the bank chooses by ALPN; HTTP/1.1 where it does not choose.
    Https,
    /// Length-prefixed messages.
    Tcp,
    /// The console's pages: HTTP/1.1.
    Pages,
}

/// What judges the certificates that callers show. `client_ca`: PEM file of the authorities they may be issued by. `crls`: files of revocation
/// lists, PEM or DER; with any, a certificate is let in only if a list of its issuer says nothing against it. Nobody but they
/// themselves bears the name of one of the authorities.
///
/// # Errors
/// The first thing that is wrong, with its file.
pub fn client_verifier(
    client_ca: &Path,
    crls: &[PathBuf],
    stale: StaleCrls,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let certificates = chain(client_ca)?;
    let unfit = |source| TlsError::NotAuthority { file: client_ca.to_owned(), source };
    let names = Names::of(&certificates).map_err(unfit)?;
    let authorities = Arc::new(trusted(certificates, client_ca)?);
    let lists: Vec<_> = crls.iter().map(|file| revocations(file)).collect::<Result<_, _>>()?;
    let builder = WebPkiClientVerifier::builder_with_provider(authorities, provider())
        .with_crls(lists.into_iter().flatten());
    let builder = match stale {
        StaleCrls::Refuse => builder.enforce_revocation_expiration(),
        StaleCrls::Accept => builder,
    };
    let built = builder.build();
    let inner =
        built.map_err(|source| TlsError::Authorities { file: client_ca.to_owned(), source })?;
    Ok(Arc::new(Verifier { names, inner }))
}

/// A server side that takes whoever has a certificate by the authorities in `client_ca`; all paths are PEM files.
///
/// # Errors
/// The first thing that is wrong, with its file.
pub fn server_config(
    certificate: &Path,
    key: &Path,
    client_ca: &Path,
    protocol: Protocol,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = client_verifier(client_ca, &[], StaleCrls::default())?;
    port_config(certificate, key, verifier, protocol)
}

/// The server side of a port. `certificate`: PEM file of the gateway's certificate with its chain, `key` of its private
/// key.
///
/// # Errors
/// The first thing that is wrong, with its file.
pub fn port_config(
    certificate: &Path,
    key: &Path,
    verifier: Arc<dyn ClientCertVerifier>,
    protocol: Protocol,
) -> Result<Arc<ServerConfig>, TlsError> {
    let rejected = |source| TlsError::Rejected { file: certificate.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(rejected)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(certificate)?, private_key(key)?)
        .map_err(rejected)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = match protocol {
        Protocol::Https => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Protocol::Tcp => Vec::new(),
        Protocol::Pages => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

/// The client side of a gRPC connection to a registry. All paths are PEM files: the authorities the registry's
/// certificate may be issued by, the gateway's own certificate with its chain, and its private key.
///
/// # Errors
/// The first thing that is wrong, with its file.
pub fn client_config(ca: &Path, certificate: &Path, key: &Path) -> Result<ClientConfig, TlsError> {
    let rejected = |source| TlsError::Rejected { file: certificate.to_owned(), source };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(rejected)?
        .with_root_certificates(authorities(ca)?)
        .with_client_auth_cert(chain(certificate)?, private_key(key)?)
        .map_err(rejected)?;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The gateway's side towards a subscriber to notices, over HTTP/1.1 or none. `identity` is a certificate and its key, for one
/// that asks for them.
///
/// # Errors
/// A file that cannot be read or holds no certificate or key.
pub fn notice_config(
    ca: &Path,
    identity: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let mut config = ledger_config(ca, identity)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The gateway's side towards the collector of its traces, which speaks `protocol` by ALPN. `identity` as above.
///
/// # Errors
/// A file that cannot be read or holds no certificate or key.
pub fn collector_config(
    ca: &Path,
    identity: Option<(&Path, &Path)>,
    protocol: &[u8],
) -> Result<ClientConfig, TlsError> {
    let mut config = notice_config(ca, identity)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// The gateway's side towards the ledger's server. `identity` is a certificate and its key, for a server that asks for
/// one.
///
/// # Errors
/// A file that cannot be read or holds no certificate or key.
pub fn ledger_config(
    ca: &Path,
    identity: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let of = identity.map_or(ca, |(certificate, _)| certificate);
    let rejected = |source| TlsError::Rejected { file: of.to_owned(), source };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(rejected)?
        .with_root_certificates(authorities(ca)?);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            builder.with_client_auth_cert(chain(certificate)?, private_key(key)?).map_err(rejected)
        }
    }
}

/// Why certificates or keys cannot be used. No text of it holds any of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot be read: {source}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not PEM, or holds nothing of the kind wanted.
    #[error("expected a PEM file that holds {wanted}: {source}")]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// A certificate of the file cannot stand as an authority.
    #[error("holds a certificate that is no authority's: {source}")]
    NotAuthority {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities cannot be used to verify clients.
    #[error("cannot be used to verify clients: {source}")]
    Authorities {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
    /// The certificate cannot be used, or the key is not its key.
    #[error("cannot be used with its key: {source}")]
    Rejected {
        /// The certificate's file.
        file: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl TlsError {
    /// The file it is about.
    pub fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. }
            | Self::NotPem { file, .. }
            | Self::NotAuthority { file, .. }
            | Self::Authorities { file, .. }
            | Self::Rejected { file, .. } => file,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    trusted(chain(file)?, file)
}

fn trusted(
    certificates: Vec<CertificateDer<'static>>,
    file: &Path,
) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store
            .add(certificate)
            .map_err(|source| TlsError::NotAuthority { file: file.to_owned(), source })?;
    }
    Ok(store)
}

/// The revocation lists of a file: PEM, or one list as DER, as authorities publish them.
///
/// # Errors
/// It cannot be read, or holds none.
pub(crate) fn revocations(
    file: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = read(file)?;
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Ok(vec![CertificateRevocationListDer::from(bytes)]);
    }
    let not_pem =
        |source| TlsError::NotPem { file: file.to_owned(), wanted: "revocation lists", source };
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(not_pem)?;
    if lists.is_empty() { Err(not_pem(pem::Error::NoItemsFound)) } else { Ok(lists) }
}

pub(crate) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem =
        |source| TlsError::NotPem { file: file.to_owned(), wanted: "certificates", source };
    let text = read(file)?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(not_pem)?;
    if chain.is_empty() { Err(not_pem(pem::Error::NoItemsFound)) } else { Ok(chain) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|source| TlsError::NotPem {
        file: file.to_owned(),
        wanted: "a private key",
        source,
    })
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Unreadable { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_file_and_a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let one = rcgen::generate_simple_self_signed(["one.example".to_owned()]).unwrap();
        let two = rcgen::generate_simple_self_signed(["two.example".to_owned()]).unwrap();
        fs::write(at("one.pem"), one.cert.pem()).unwrap();
        fs::write(at("one.key"), one.signing_key.serialize_pem()).unwrap();
        fs::write(at("two.key"), two.signing_key.serialize_pem()).unwrap();
        let told = |certificate: &str, key: &str, ca: &str| {
            let error = client_config(&at(ca), &at(certificate), &at(key)).err()?;
            Some((error.file().strip_prefix(folder.path()).unwrap().to_owned(), error.to_string()))
        };
        assert_eq!(told("one.pem", "one.key", "one.pem"), None);
        let (file, words) = told("one.pem", "two.key", "one.pem").unwrap();
        assert!(
            file == Path::new("one.pem") && words.starts_with("cannot be used with its key"),
            "{words}"
        );
        let (file, words) = told("one.pem", "one.pem", "one.pem").unwrap();
        assert!(file == Path::new("one.pem") && words.contains("a private key"), "{words}");
        let (file, words) = told("one.pem", "one.key", "one.key").unwrap();
        assert!(file == Path::new("one.key") && words.contains("certificates"), "{words}");
        let (file, words) = told("one.pem", "one.key", "none.pem").unwrap();
        assert!(file == Path::new("none.pem") && words.starts_with("cannot be read"), "{words}");
    }
}
