//! TLS as the kit's own parties speak it: each shows a certificate and asks for one.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::pki::Credentials;

/// A server that turns away whoever has no certificate by `clients_ca`. `alpn` may be empty.
///
/// # Errors
/// A file that can't be read, or a key that is not the certificate's.
pub fn server(
    own: &Credentials,
    clients_ca: &Path,
    alpn: &[&str],
) -> anyhow::Result<Arc<ServerConfig>> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(clients_ca)?.into(), provider())
            .build()?;
    let (chain, key) = read(own)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .with_context(|| format!("use {}", own.certificate.display()))?;
    config.alpn_protocols = protocols(alpn);
    Ok(Arc::new(config))
}

/// A client that trusts `servers_ca` alone, and shows `own` or, for `None`, no certificate.
///
/// # Errors
/// A file that can't be read, or a key that is not the certificate's.
pub fn client(
    own: Option<&Credentials>,
    servers_ca: &Path,
    alpn: &[&str],
) -> anyhow::Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(servers_ca)?);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let (chain, key) = read(own)?;
            config
                .with_client_auth_cert(chain, key)
                .with_context(|| format!("use {}", own.certificate.display()))?
        }
    };
    config.alpn_protocols = protocols(alpn);
    Ok(config)
}

/// The DER of a PEM certificate.
///
/// # Errors
/// A file that can't be read, or holds no certificate.
pub fn certificate(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(path).with_context(|| format!("read {}", path.display()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(path)?)?;
    Ok(roots)
}

fn read(
    own: &Credentials,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = PrivateKeyDer::from_pem_file(&own.key)
        .with_context(|| format!("read {}", own.key.display()))?;
    Ok((vec![certificate(&own.certificate)?], key))
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}
