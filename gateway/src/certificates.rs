//! How long certificates and revocation lists on disk are good for, and who else may read the keys beside them.
//!
//! What has run out by itself stops a gateway as surely as what is broken, and nobody sees it coming who does not look:
//! `serve --check` tells it, every start logs it, and metrics tell when. Source: RFC 5280, sections 4.1.2.5 and 5.1.2.5.

use std::{
    collections::BTreeSet,
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::CertificateError;
use time::OffsetDateTime;
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer, revocation_list::CertificateRevocationList,
    time::ASN1Time,
};

use crate::{
    authorities::Names,
    entrance::Files,
    evidence::checkpoint,
    identity::DistinguishedName,
    settings::{Chains, Problem, Settings, StaleCrls, Store},
    telemetry::Holder,
    tls,
};

/// Something that an operator should look after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The file.
    pub file: PathBuf,
    /// What about it.
    pub message: String,
    /// Whether something does not work for it, or is open to others, already.
    pub is_fault: bool,
}

impl fmt::Display for Remark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.file.display(), self.message)
    }
}

impl From<Remark> for Problem {
    fn from(remark: Remark) -> Self {
        Self { file: remark.file, line: None, message: remark.message }
    }
}

/// How long before it runs out a certificate is told of.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// All that is to be said of the files the settings name, `now`. What cannot be read at all is told elsewhere.
pub fn remarks(settings: &Settings, now: SystemTime) -> Vec<Remark> {
    let mut remarks: Vec<_> = secrets(settings).into_iter().filter_map(open_to_others).collect();
    for file in certificates(settings) {
        remarks.extend(earliest(file).and_then(|at| run_out(file, "the certificate", at, now)));
    }
    remarks.extend(borrowable(settings));
    for file in &settings.listen.client_crls {
        let next = next_list(file).and_then(|at| run_out(file, "the revocation list", at, now));
        let accepts = settings.listen.stale_crls == StaleCrls::Accept;
        remarks
            .extend(next.map(|remark| Remark { is_fault: remark.is_fault && !accepts, ..remark }));
    }
    remarks
}

/// Callers whose issuer is none of the authorities that are believed: its name can be borne by whatever else these issue.
fn borrowable(settings: &Settings) -> Option<Remark> {
    let file = &settings.listen.client_ca;
    let names = Names::of(&tls::chain(file).ok()?).ok()?;
    let proxies = settings.listen.proxies.iter();
    // Who vouches for the chain holds the authorities' names, too.
    let is_vouched_for = |id: &String| {
        proxies.clone().any(|it| it.chains == Chains::Vouched && it.institutions.contains(id))
    };
    let institutions = settings.institutions.iter().filter(|it| !is_vouched_for(&it.id));
    let pinned = institutions.map(|it| (&it.id, &it.certificate_issuer));
    let pinned = pinned.chain(proxies.clone().map(|it| (&it.name, &it.certificate_issuer)));
    let borrowable = pinned.filter(|(_, issuer)| {
        DistinguishedName::parse(issuer).is_some_and(|issuer| !names.hold(&issuer))
    });
    let callers: Vec<_> = borrowable.map(|(caller, _)| caller.as_str()).collect();
    (!callers.is_empty()).then(|| Remark {
        file: file.clone(),
        message: format!(
            "the authority that `certificate_issuer` names is not in it, so that whoever is below those that are can bear its name: \
             add its own certificate, for {}",
            callers.join(", ")
        ),
        is_fault: false,
    })
}

/// What an entrance stands on, and when each runs out.
pub fn of_the_entrance(files: &Files) -> Vec<(Holder, SystemTime)> {
    let lists = files.client_crls.iter().filter_map(|file| next_list(file)).min();
    [
        (Holder::Gateway, earliest(&files.certificate)),
        (Holder::Authority, earliest(&files.client_ca)),
        (Holder::RevocationList, lists),
    ]
    .into_iter()
    .filter_map(|(holder, at)| Some((holder, at?)))
    .collect()
}

/// When the first of a file's certificates runs out; nothing, if it cannot be read.
pub fn earliest(file: &Path) -> Option<SystemTime> {
    let chain = tls::chain(file).ok()?;
    chain.iter().filter_map(|certificate| expiry(certificate)).min()
}

/// When a certificate runs out; nothing, if it cannot be read. `der`: as it is sent.
pub fn expiry(der: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    moment(certificate.validity().not_after)
}

/// Whether a certificate is in its time. `der`: as it is sent.
///
/// # Errors
/// It is not, or cannot be read.
pub fn in_force(der: &[u8], now: SystemTime) -> Result<(), rustls::Error> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_unread| CertificateError::BadEncoding)?;
    let validity = certificate.validity();
    let at = |time| moment(time).unwrap_or(UNIX_EPOCH);
    match () {
        () if now < at(validity.not_before) => Err(CertificateError::NotValidYet.into()),
        () if at(validity.not_after) < now => Err(CertificateError::Expired.into()),
        () => Ok(()),
    }
}

/// When the first of a file's revocation lists is to be followed by the next.
fn next_list(file: &Path) -> Option<SystemTime> {
    let lists = tls::revocations(file).ok()?;
    let next = lists.iter().filter_map(|der| {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        moment(list.next_update()?)
    });
    next.min()
}

fn moment(time: ASN1Time) -> Option<SystemTime> {
    let seconds = u64::try_from(time.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn run_out(file: &Path, what: &str, at: SystemTime, now: SystemTime) -> Option<Remark> {
    let day = OffsetDateTime::from(at).date();
    let (message, is_fault) = match at.duration_since(now) {
        Err(_) => (format!("{what} ran out on {day}"), true),
        Ok(left) if left < SOON => {
            (format!("{what} runs out in {} days, on {day}", left.as_secs() / 86_400), false)
        }
        Ok(_) => return None,
    };
    Some(Remark { file: file.to_owned(), message, is_fault })
}

fn open_to_others(file: &Path) -> Option<Remark> {
    let mode = fs::metadata(file).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| Remark {
        file: file.to_owned(),
        message: format!(
            "it holds a secret, and everybody on the machine may open it (mode {:o}): chmod o-rwx",
            mode & 0o777
        ),
        is_fault: true,
    })
}

/// Files that hold certificates.
fn certificates(settings: &Settings) -> BTreeSet<&Path> {
    let listen = &settings.listen;
    let mut files = BTreeSet::from([listen.certificate.as_path(), &listen.client_ca]);
    for registry in &settings.registries {
        files.extend([registry.certificate.as_path(), &registry.ca]);
    }
    let console = settings.console.iter();
    files.extend(console.flat_map(|it| [&it.certificate, &it.client_ca]).flatten().map(|it| &**it));
    for subscriber in &settings.subscribers {
        files.insert(&subscriber.ca);
        files.extend(subscriber.certificate.as_deref());
    }
    let telemetry = &settings.telemetry;
    files.extend(
        [&telemetry.otlp_ca, &telemetry.otlp_certificate].into_iter().flatten().map(|it| &**it),
    );
    files.extend(settings.materials.iter().filter_map(|it| it.s3_ca.as_deref()));
    if let Store::Postgres { tls: Some(tls), .. } = &settings.ledger.store {
        files.insert(&tls.ca);
        files.extend(tls.identity.iter().map(|(certificate, _)| certificate.as_path()));
    }
    files
}

/// Files that hold private keys or passwords.
fn secrets(settings: &Settings) -> BTreeSet<&Path> {
    let mut files = BTreeSet::from([settings.listen.key.as_path()]);
    files.extend(settings.registries.iter().map(|registry| registry.key.as_path()));
    if let Store::Postgres { password_file, tls, .. } = &settings.ledger.store {
        files.extend(password_file.as_deref());
        let identity = tls.iter().filter_map(|tls| tls.identity.as_ref());
        files.extend(identity.map(|(_, key)| key.as_path()));
    }
    files.extend(settings.console.iter().filter_map(|it| it.key.as_deref()));
    files.extend(settings.queue.key_file.as_deref());
    files.extend(settings.contracts.keys.values().map(|keys| keys.gateway.as_path()));
    // A public key lies among them once it signs no more.
    let signing = settings.evidence.key_files.iter().filter(|file| checkpoint::is_secret(file));
    files.extend(signing.map(PathBuf::as_path));
    for subscriber in &settings.subscribers {
        files.extend(subscriber.key.as_deref());
        files.extend(subscriber.secret_files.iter().map(PathBuf::as_path));
    }
    files.extend(settings.telemetry.otlp_key.as_deref());
    files.extend(settings.materials.iter().filter_map(|it| it.s3_secret_file.as_deref()));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::checkpoint::SigningKey;

    /// Everything that has a secret or a certificate, but for what a server and a registry have.
    const SETTINGS: &str = r#"
[listen]
https = "127.0.0.1:0"
certificate = "ca.pem"
key = "listen.key"
client_ca = "ca.pem"
[[institution]]
id = "one"
name = "一"
kind = "BANK"
contract = "one"
certificate_issuer = "CN=Authority"
certificate_san = "core.one.example"
[evidence]
key_files = ["signing", "signing.pub"]
[telemetry]
otlp = "https://localhost:4317"
otlp_ca = "ca.pem"
otlp_certificate = "old-otlp.pem"
otlp_key = "otlp.key"
[materials]
s3 = "s3://bucket/prefix"
s3_access_key = "id"
s3_secret_file = "s3.secret"
[[subscriber]]
name = "core"
institution = "one"
address = "https://hooks.example/path"
secret_files = ["hook.secret"]
ca = "old-hook-ca.pem"
certificate = "old-hook.pem"
key = "hook.key"
"#;

    #[test]
    fn every_secret_and_certificate_that_settings_name_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        };
        let (key, private) = SigningKey::generate("directlink").unwrap();
        write("signing", &private);
        write("signing.pub", &key.public().to_string());
        for name in ["listen.key", "otlp.key", "hook.key", "hook.secret", "s3.secret"] {
            write(name, "secret");
        }
        let mut old = rcgen::CertificateParams::default();
        old.not_after = OffsetDateTime::now_utc() - time::Duration::days(1);
        let old = old.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        for name in ["old-otlp.pem", "old-hook.pem", "old-hook-ca.pem"] {
            write(name, &old);
        }
        write("directlink.toml", SETTINGS);
        let settings = Settings::load(&folder.path().join("directlink.toml")).unwrap();
        let remarks = remarks(&settings, SystemTime::now());
        let told: Vec<_> = remarks
            .iter()
            .map(|it| (it.file.file_name().unwrap().to_str().unwrap(), &it.message[..6]))
            .collect();
        let secret = ["hook.key", "hook.secret", "listen.key", "otlp.key", "s3.secret", "signing"];
        let old = ["old-hook-ca.pem", "old-hook.pem", "old-otlp.pem"];
        let expected = secret.map(|it| (it, "it hol")).into_iter();
        let expected: Vec<_> = expected.chain(old.map(|it| (it, "the ce"))).collect();
        assert_eq!(told, expected);
    }
}
