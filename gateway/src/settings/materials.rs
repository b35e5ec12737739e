//! What banks upload ahead of filings.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Uri;

use super::reader;

/// Whether a host of an address is this machine, whatever a resolver says.
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// `[materials]`: what banks upload ahead of filings.
///
/// Without the table nothing can be uploaded, and a filing that names a material by its digest goes to the registry
/// as it is. How a bank uploads: [standard-api.md](standard-api.md#materials). A material is deleted
/// `retention_seconds` after it was last uploaded, whatever became of the filing that names it: its registry has
/// had it since before that filing, or never will without another one. Who names it later is told that it is not
/// there (MATERIAL_UNKNOWN), and uploads again; uploading what is still there is done at once and counts anew. The
/// registry keeps what it was handed by its own rules. Where an S3 service's lifecycle rules delete too, the sooner
/// of the two counts. An S3 service has to know conditional writes (`If-None-Match: *`): no part that is there is
/// written over.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Materials {
    /// Folder they are kept in, made if it does not exist, for the gateway's user alone; replicas share it; not
    /// used with `s3`.
    pub folder: PathBuf,
    /// `s3://BUCKET/PREFIX`: where they are kept instead. Default: in `folder`.
    pub s3: Option<String>,
    /// `https://HOST:PORT` of the S3 service, if it is not Amazon's; `http://` for one on this machine, at
    /// `localhost` or a loopback address: any other is refused. Default: Amazon's.
    pub s3_endpoint: Option<String>,
    /// Its region. Default: us-east-1.
    pub s3_region: Option<String>,
    /// PEM file: authorities its certificate may be issued by, besides the system's. Default: none.
    pub s3_ca: Option<PathBuf>,
    /// The id of the access key. Default: from the environment or the machine's role.
    pub s3_access_key: Option<String>,
    /// File that holds the secret of the access key and nothing else. Default: the same.
    pub s3_secret_file: Option<PathBuf>,
    /// Greatest material.
    pub bytes_max: u64,
    /// Least part of a material that is uploaded in several, but for the last; of an upload that breaks off, a shorter end
    /// is not kept.
    pub part_bytes_min: u64,
    /// Most materials of one institution of which only a part has come, each of up to `bytes_max`; one more makes the
    /// oldest go.
    pub unfinished_max: usize,
    /// Media types that are taken; of PDF, JPEG, PNG and OFD it is seen whether they begin so.
    pub media_types: Vec<String>,
    /// `upload_seconds_max`: how long one upload may take; between two pieces `body_seconds_max` of `[limits]` holds.
    #[serde(rename = "upload_seconds_max", with = "reader::Seconds")]
    pub upload_max: Duration,
    /// `retention_seconds`: how long a material is kept after it was last uploaded, whole or in part.
    #[serde(rename = "retention_seconds", with = "reader::Seconds")]
    pub retention: Duration,
}

impl Materials {
    /// What is wrong with it: the key, and what was expected.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let Some(endpoint) = &self.s3_endpoint else { return Vec::new() };
        let uri = endpoint.parse::<Uri>().ok();
        let is_good = uri.is_some_and(|uri| match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(host)) => !host.is_empty(),
            // Materials travel as they are, and so does what would let others sign for them.
            (Some("http"), Some(host)) => is_here(host),
            _ => false,
        });
        let told = "expected `https://HOST:PORT`, or `http://` and an address of this machine";
        if is_good { Vec::new() } else { vec![("s3_endpoint", told.to_owned())] }
    }

    /// With paths that start from `folder`.
    pub(super) fn beside(mut self, folder: &Path) -> Self {
        self.folder = folder.join(&self.folder);
        for path in [&mut self.s3_ca, &mut self.s3_secret_file].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        self
    }
}

impl Default for Materials {
    fn default() -> Self {
        let taken = ["application/pdf", "image/jpeg", "image/png", "application/ofd"];
        Self {
            folder: PathBuf::from("materials"),
            s3: None,
            s3_endpoint: None,
            s3_region: None,
            s3_ca: None,
            s3_access_key: None,
            s3_secret_file: None,
            bytes_max: 256 * 1024 * 1024,
            part_bytes_min: 256 * 1024,
            unfinished_max: 64,
            media_types: taken.map(str::to_owned).to_vec(),
            upload_max: Duration::from_secs(600),
            retention: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_banks_upload_leaves_the_machine_encrypted_alone() {
        let faults = |endpoint: &str| {
            let s3_endpoint = Some(endpoint.to_owned());
            Materials { s3_endpoint, ..Materials::default() }.faults().len()
        };
        assert!(Materials::default().faults().is_empty());
        for good in [
            "https://s3.bank.example",
            "http://127.0.0.1:9000",
            "http://localhost:9000",
            "http://[::1]:9000",
        ] {
            assert_eq!(faults(good), 0, "{good}");
        }
        for bad in [
            "http://s3.bank.example:9000",
            "http://10.0.0.7",
            "http://127.0.0.1@elsewhere.example",
            "http://localhost.elsewhere.example",
            "s3.bank.example:9000",
            "ftp://localhost",
        ] {
            assert_eq!(faults(bad), 1, "{bad}");
        }
    }
}
