//! An authority for certificates, made anew by each test.
#![allow(
    dead_code,
    reason = "the programs of tests that share this file do not each ask for all of it"
)]

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
    DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams,
    SanType, SerialNumber,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use time::OffsetDateTime;

/// An authority: `CN=Authority`, unless it is called otherwise.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    own: Certificate,
}

impl Authority {
    /// Writes what a gateway is given into `folder`: `ca.pem`, its own certificate; `gateway.pem` and `gateway.key`, a
    /// certificate for `localhost`, of servers and clients alike.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::called("Authority".into(), folder)
    }

    /// One by another name.
    pub(crate) fn called(name: DnValue, folder: &Path) -> Self {
        let params = authority(name);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let (certificate, key) = leaf(&issuer, "localhost", YEARS);
        let files = [
            ("ca.pem", own.pem()),
            ("gateway.pem", certificate.pem()),
            ("gateway.key", key.serialize_pem()),
        ];
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let owner_alone = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.join("gateway.key"), owner_alone).unwrap();
        Self { issuer, own }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.own.pem()
    }

    /// The authority's list of the certificates for these names, as PEM; the next is due after so long, or was before.
    pub(crate) fn revoked(&self, names: &[&str], next: time::Duration) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked = |name: &&str| RevokedCertParams {
            serial_number: serial(name),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: now - time::Duration::days(2),
            next_update: now + next,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: names.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// Writes another certificate and key for the gateway.
    pub(crate) fn renew(&self, folder: &Path) {
        let (certificate, key) = leaf(&self.issuer, "localhost", YEARS);
        std::fs::write(folder.join("gateway.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("gateway.key"), key.serialize_pem()).unwrap();
    }

    /// Another certificate for the gateway's key, which runs out after so long.
    pub(crate) fn certificate_until(&self, key: &str, left: time::Duration) -> String {
        let key = KeyPair::from_pem(key).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = OffsetDateTime::now_utc() + left;
        params.signed_by(&key, &self.issuer).unwrap().pem()
    }

    /// A certificate for `name` that runs out after so long, in DER.
    pub(crate) fn shown(&self, name: &str, left: time::Duration) -> Vec<u8> {
        leaf(&self.issuer, name, left).0.der().to_vec()
    }

    /// A client that shows a certificate for `name`, or none.
    pub(crate) fn client(&self, name: Option<&str>, alpn: &[&str]) -> Arc<ClientConfig> {
        self.client_with(name.map(|name| leaf(&self.issuer, name, YEARS)), alpn)
    }

    /// A client of the TCP port that shows a certificate for `name` which runs out after so long.
    pub(crate) fn client_until(&self, name: &str, left: time::Duration) -> Arc<ClientConfig> {
        self.client_with(Some(leaf(&self.issuer, name, left)), &[])
    }

    /// Certificates for `name` by an authority below this one, whatever that is called; and the first one's key.
    pub(crate) fn below(
        &self,
        called: DnValue,
        name: &str,
    ) -> (Vec<CertificateDer<'static>>, KeyPair) {
        let (params, key) = (authority(called), KeyPair::generate().unwrap());
        let between = params.signed_by(&key, &self.issuer).unwrap();
        let (own, own_key) = leaf(&Issuer::new(params, key), name, YEARS);
        (vec![own.der().clone(), between.der().clone()], own_key)
    }

    /// A certificate for `name` with the authority's own behind it, as some clients show it; and its key.
    pub(crate) fn whole_chain(&self, name: &str) -> (Vec<CertificateDer<'static>>, KeyPair) {
        let (own, key) = leaf(&self.issuer, name, YEARS);
        (vec![own.der().clone(), self.own.der().clone()], key)
    }

    fn client_with(
        &self,
        shown: Option<(Certificate, KeyPair)>,
        alpn: &[&str],
    ) -> Arc<ClientConfig> {
        self.client_showing(shown.map(|(own, key)| (vec![own.der().clone()], key)), alpn)
    }

    /// A client that believes this authority, and shows these certificates.
    pub(crate) fn client_showing(
        &self,
        shown: Option<(Vec<CertificateDer<'static>>, KeyPair)>,
        alpn: &[&str],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.own.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            Some((chain, key)) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

fn authority(name: DnValue) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Of every certificate for a name.
fn serial(name: &str) -> SerialNumber {
    SerialNumber::from_slice(name.as_bytes())
}

const YEARS: time::Duration = time::Duration::days(730);

fn leaf(issuer: &Issuer<'_, KeyPair>, name: &str, left: time::Duration) -> (Certificate, KeyPair) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.not_after = OffsetDateTime::now_utc() + left;
    params.serial_number = Some(serial(name));
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap(), key)
}
