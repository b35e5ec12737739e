//! What banks upload ahead of filings.

use std::{path::Path, path::PathBuf, time::Duration};

use super::reader;

/// `[materials]`: what banks upload ahead of filings, and where it is kept. Without the table nothing can be uploaded.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Materials {
    /// Folder they are kept in, made if it does not exist; replicas share it. Not used with `s3`. Default: `materials`.
    pub folder: PathBuf,
    /// `s3://BUCKET/PREFIX`: where they are kept instead. Default: in `folder`.
    pub s3: Option<String>,
    /// `https://HOST:PORT` of the S3 service, if it is not Amazon's; `http://` for one on this machine. Default: Amazon's.
    pub s3_endpoint: Option<String>,
    /// Its region. Default: `us-east-1`.
    pub s3_region: Option<String>,
    /// PEM file: authorities its certificate may be issued by, besides the system's. Default: none.
    pub s3_ca: Option<PathBuf>,
    /// The id of the access key. Default: as the environment or the machine's role gives it.
    pub s3_access_key: Option<String>,
    /// File that holds the secret of the access key and nothing else. Default: as for `s3_access_key`.
    pub s3_secret_file: Option<PathBuf>,
    /// Greatest material, in bytes. Default: 268,435,456 (256 MiB).
    pub bytes_max: u64,
    /// Least part of a material that is uploaded in several, but for the last, in bytes. Default: 262,144 (256 KiB).
    pub part_bytes_min: u64,
    /// Most materials of one institution of which only a part has come, each up to `bytes_max`; one more makes the oldest
    /// go. Default: 64.
    pub unfinished_max: usize,
    /// Media types that are taken; of PDF, JPEG, PNG and OFD it is seen whether they begin so. Default: those four.
    pub media_types: Vec<String>,
    /// `upload_seconds_max`: how long one upload may take, in seconds. Default: 600.
    #[serde(rename = "upload_seconds_max", deserialize_with = "reader::seconds")]
    pub upload_max: Duration,
    /// `retention_seconds`: how long a material is kept after it was last uploaded, in seconds. Default: 2,592,000 (30 days).
    #[serde(rename = "retention_seconds", deserialize_with = "reader::seconds")]
    pub retention: Duration,
}

impl Materials {
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
