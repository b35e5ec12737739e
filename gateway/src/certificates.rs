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
    entrance::Files,
    settings::{Problem, Settings, StaleCrls, Store},
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
    for file in &settings.listen.client_crls {
        let next = next_list(file).and_then(|at| run_out(file, "the revocation list", at, now));
        let accepts = settings.listen.stale_crls == StaleCrls::Accept;
        remarks
            .extend(next.map(|remark| Remark { is_fault: remark.is_fault && !accepts, ..remark }));
    }
    remarks
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
    files
}
