//! Development PKI: every certificate that a gateway, its banks and a registry need on one machine, and the
//! odd ones with which refusals are tried.
//!
//! Two roots, because the two sides trust nobody in common: one signs what banks meet (their own certificates and the
//! gateway's server certificate), the other what registries meet. Never for production: the roots' keys
//! lie beside the certificates, and nothing is ever revoked.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// Common name of the root that signs the banks' certificates; an institution's settings name it as
/// `certificate_issuer = "CN=Directlink Development CA"`.
pub const BANKS_CA: &str = "Directlink Development CA";

/// Common name of the root that signs the registry's certificate and the gateway's towards it.
pub const REGISTRY_CA: &str = "Directlink Development Registry CA";

/// A certificate and its key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The certificate (X.509, one only: each is signed by its root directly).
    pub certificate: PathBuf,
    /// Its private key (PKCS #8), readable by its owner alone.
    pub key: PathBuf,
}

/// Whose certificates are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// A client certificate each, with [`bank_san`] as its name.
    pub banks: Vec<String>,
    /// Names the registry's certificate bears besides `localhost` and `127.0.0.1`.
    pub registries: Vec<String>,
}

/// Where everything is. Every path is below the folder given, and is absolute if that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pki {
    /// Root of the banks' side.
    pub banks_ca: PathBuf,
    /// Root of the registries' side.
    pub registry_ca: PathBuf,
    /// The gateway's server certificate for `localhost` and `127.0.0.1`, by the banks' root.
    pub gateway: Credentials,
    /// The gateway's client certificate towards registries, by the registries' root.
    pub gateway_client: Credentials,
    /// The registry's server certificate, by the registries' root.
    pub registry: Credentials,
    /// A client certificate for each bank, by the banks' root.
    pub banks: BTreeMap<String, Credentials>,
    /// Certificates a gateway must turn away.
    pub odd: Odd,
}

/// Certificates a gateway must turn away. All but `unknown` bear the first bank's name, so that nothing
/// else is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odd {
    /// By the banks' root, for a name that no institution has.
    pub unknown: Credentials,
    /// Ran out yesterday.
    pub expired: Credentials,
    /// For servers only (extended key usage without `clientAuth`).
    pub wrong_use: Credentials,
    /// By a root of the same name as the banks' root, but another key.
    pub foreign: Credentials,
}

/// The DNS name in a bank's certificate: `core.BANK.example`.
pub fn bank_san(bank: &str) -> String {
    format!("core.{bank}.example")
}

impl Pki {
    /// Where [`Pki::write`] puts everything, without looking whether it is there.
    pub fn paths(folder: &Path, names: &Names) -> Self {
        let at = |name: &str| Credentials {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        Self {
            banks_ca: folder.join("banks-ca.pem"),
            registry_ca: folder.join("registry-ca.pem"),
            gateway: at("gateway"),
            gateway_client: at("gateway-client"),
            registry: at("registry"),
            banks: names
                .banks
                .iter()
                .map(|bank| (bank.clone(), at(&format!("banks/{bank}"))))
                .collect(),
            odd: Odd {
                unknown: at("odd/unknown"),
                expired: at("odd/expired"),
                wrong_use: at("odd/wrong-use"),
                foreign: at("odd/foreign"),
            },
        }
    }

    /// Makes everything anew in `folder`, which is created where it is missing; files of an earlier run are
    /// replaced. Certificates hold from yesterday for two years.
    ///
    /// # Errors
    /// A name that is no DNS name, or a folder that cannot be written.
    pub fn write(folder: &Path, names: &Names) -> anyhow::Result<Self> {
        let pki = Self::paths(folder, names);
        for sub in [folder.to_path_buf(), folder.join("banks"), folder.join("odd")] {
            fs::create_dir_all(&sub).with_context(|| format!("create {}", sub.display()))?;
        }

        let banks = root(BANKS_CA)?;
        let registry = root(REGISTRY_CA)?;
        let here = || vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        write_root(&pki.banks_ca, &banks)?;
        write_root(&pki.registry_ca, &registry)?;

        leaf("Directlink gateway", here(), Use::Server)?.write(&banks, &pki.gateway)?;
        let client = vec!["gateway.directlink.example".to_owned()];
        leaf("Directlink gateway", client, Use::Client)?.write(&registry, &pki.gateway_client)?;
        let registry_names = here().into_iter().chain(names.registries.iter().cloned()).collect();
        leaf("Reference registry", registry_names, Use::Server)?.write(&registry, &pki.registry)?;
        for (bank, place) in &pki.banks {
            leaf(bank, vec![bank_san(bank)], Use::Client)?.write(&banks, place)?;
        }

        pki.write_odd(names, &banks)?;
        Ok(pki)
    }

    fn write_odd(&self, names: &Names, banks: &Root) -> anyhow::Result<()> {
        let bank = names.banks.first().map_or("nobody", String::as_str);
        let san = || vec![bank_san(bank)];
        let unknown = vec![bank_san("unknown")];
        leaf("unknown", unknown, Use::Client)?.write(banks, &self.odd.unknown)?;
        let mut expired = leaf(bank, san(), Use::Client)?;
        expired.params.not_before = OffsetDateTime::now_utc() - Duration::days(30);
        expired.params.not_after = OffsetDateTime::now_utc() - Duration::days(1);
        expired.write(banks, &self.odd.expired)?;
        leaf(bank, san(), Use::Server)?.write(banks, &self.odd.wrong_use)?;
        leaf(bank, san(), Use::Client)?.write(&root(BANKS_CA)?, &self.odd.foreign)
    }
}

type Root = CertifiedIssuer<'static, KeyPair>;

#[derive(Clone, Copy)]
enum Use {
    Server,
    Client,
}

struct Leaf {
    params: CertificateParams,
    key: KeyPair,
}

impl Leaf {
    fn write(self, issuer: &Root, place: &Credentials) -> anyhow::Result<()> {
        let certificate = self.params.signed_by(&self.key, issuer)?;
        write_public(&place.certificate, &certificate.pem())?;
        write_secret(&place.key, &self.key.serialize_pem())
    }
}

fn root(name: &str) -> anyhow::Result<Root> {
    let mut params = params(name, Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn leaf(name: &str, sans: Vec<String>, purpose: Use) -> anyhow::Result<Leaf> {
    let mut params = params(name, sans)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match purpose {
        Use::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Use::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    Ok(Leaf { params, key: KeyPair::generate()? })
}

fn params(name: &str, sans: Vec<String>) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(sans)?;
    // Yesterday, because two machines that try the thing together seldom agree on the second.
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(730);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn write_root(place: &Path, root: &Root) -> anyhow::Result<()> {
    write_public(place, &root.pem())?;
    write_secret(&place.with_extension("key"), &root.key().serialize_pem())
}

fn write_public(place: &Path, pem: &str) -> anyhow::Result<()> {
    fs::write(place, pem).with_context(|| format!("write {}", place.display()))
}

fn write_secret(place: &Path, pem: &str) -> anyhow::Result<()> {
    // The mode is given at creation, and an old file is removed first: a key is never readable by others, not
    // even for a moment.
    if place.exists() {
        fs::remove_file(place).with_context(|| format!("replace {}", place.display()))?;
    }
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(place)
        .and_then(|mut file| file.write_all(pem.as_bytes()))
        .with_context(|| format!("write {}", place.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use x509_parser::prelude::*;

    use super::*;

    fn names() -> Names {
        Names {
            banks: vec!["first".to_owned(), "second".to_owned()],
            registries: vec!["registry.north.example".to_owned()],
        }
    }

    fn der(path: &Path) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(path).unwrap()
    }

    fn sans(certificate: &X509Certificate<'_>) -> Vec<String> {
        let sans = certificate.subject_alternative_name().unwrap().unwrap();
        sans.value
            .general_names
            .iter()
            .map(|name| match name {
                GeneralName::DNSName(name) => (*name).to_owned(),
                GeneralName::IPAddress(bytes) => {
                    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(".")
                }
                other => format!("{other}"),
            })
            .collect()
    }

    #[test]
    fn a_banks_certificate_names_the_bank_and_is_for_clients() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::write(folder.path(), &names()).unwrap();
        let der = der(&pki.banks["second"].certificate);
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(sans(&certificate), ["core.second.example"]);
        assert_eq!(certificate.issuer().to_string(), format!("CN={BANKS_CA}"));
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
    }

    #[test]
    fn servers_are_known_by_the_names_they_are_called_by_here() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::write(folder.path(), &names()).unwrap();
        let gateway = der(&pki.gateway.certificate);
        assert_eq!(
            sans(&X509Certificate::from_der(&gateway).unwrap().1),
            ["localhost", "127.0.0.1"]
        );
        let registry = der(&pki.registry.certificate);
        assert_eq!(
            sans(&X509Certificate::from_der(&registry).unwrap().1),
            ["localhost", "127.0.0.1", "registry.north.example"]
        );
    }

    #[test]
    fn odd_certificates_have_one_thing_wrong_each() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::write(folder.path(), &names()).unwrap();
        let root = der(&pki.banks_ca);
        let (_, root) = X509Certificate::from_der(&root).unwrap();
        let check = |credentials: &Credentials| {
            let der = der(&credentials.certificate);
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            let usage = certificate.extended_key_usage().unwrap().unwrap().value;
            (
                sans(&certificate) == ["core.first.example"],
                certificate.validity().is_valid(),
                usage.client_auth,
                certificate.verify_signature(Some(root.public_key())).is_ok(),
            )
        };
        assert_eq!(check(&pki.banks["first"]), (true, true, true, true));
        assert_eq!(check(&pki.odd.unknown), (false, true, true, true));
        assert_eq!(check(&pki.odd.expired), (true, false, true, true));
        assert_eq!(check(&pki.odd.wrong_use), (true, true, false, true));
        assert_eq!(check(&pki.odd.foreign), (true, true, true, false));
    }

    #[test]
    fn keys_are_their_owners_alone_even_when_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        Pki::write(folder.path(), &names()).unwrap();
        let pki = Pki::write(folder.path(), &names()).unwrap();
        for key in [&pki.gateway.key, &pki.banks["first"].key, &pki.odd.expired.key] {
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
