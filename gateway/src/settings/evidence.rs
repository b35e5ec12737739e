//! `[evidence]` of the settings: what the log of exchanges is called, and who signs it. No key stands here, only paths.

use std::{path::PathBuf, time::Duration};

use super::reader;

/// `[evidence]`: the log of exchanges, and how its heads are signed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// The log's name, the same in all replicas: no blanks, no `+`; best what nobody else has, as `gateway.bank.example/evidence`.
    /// Default: `directlink`.
    pub origin: String,
    /// Files of the keys of its checkpoints, as `directlink evidence keygen` makes them: every private key signs, a public one
    /// is an old one that signs no more. Default: nothing is signed; leaves are kept, and signed once there is a key.
    pub key_files: Vec<PathBuf>,
    /// `checkpoint_seconds`: how often the log's head is signed, as long as it grows, in seconds. Default: 60.
    #[serde(rename = "checkpoint_seconds", deserialize_with = "reader::seconds")]
    pub checkpoint: Duration,
    /// Folder that the newest checkpoint is written to, as `checkpoint`; it must be there. Default: it is told at the admin port alone.
    pub checkpoint_folder: Option<PathBuf>,
    /// `salt_retention_seconds`: how long the salts of leaves are kept, in seconds; without its salt nobody can tell any more
    /// what a leaf's digests are of, and all its proofs hold. Default: 315360000, which is 3,650 days.
    #[serde(rename = "salt_retention_seconds", deserialize_with = "reader::seconds")]
    pub salt_retention: Duration,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            origin: "directlink".to_owned(),
            key_files: Vec::new(),
            checkpoint: Duration::from_secs(60),
            checkpoint_folder: None,
            salt_retention: Duration::from_secs(3_650 * 24 * 60 * 60),
        }
    }
}
