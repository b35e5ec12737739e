//! `[evidence]` of the settings: what the log of exchanges is called, and who signs it. No key stands here, only paths.

use std::{path::PathBuf, time::Duration};

use super::reader;

/// `[evidence]`: the log of exchanges.
///
/// What it is for, and how keys rotate: [evidence.md](evidence.md).
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evidence {
    /// The log's name, the same in all replicas and for good: no blanks, no `+`; best what nobody else has, as
    /// `gateway.bank.example/evidence`.
    pub origin: String,
    /// Files of the keys of its checkpoints, as `directlink evidence keygen` makes them: every private key signs, a
    /// public one is an old one that signs no more. Default: nothing is signed.
    pub key_files: Vec<PathBuf>,
    /// `checkpoint_seconds`: how often the log's head is signed, as long as it grows.
    #[serde(rename = "checkpoint_seconds", with = "reader::Seconds")]
    pub checkpoint: Duration,
    /// Folder that the newest checkpoint is written to, as `checkpoint`; it must be there. What lies there when
    /// the gateway starts is what it goes on from, or it signs nothing. Default: told at the admin port alone.
    pub checkpoint_folder: Option<PathBuf>,
    /// `salt_retention_seconds`: how long the salts of leaves are kept; without its salt nobody can tell any more what
    /// a leaf's digests are of, and all proofs hold.
    #[serde(rename = "salt_retention_seconds", with = "reader::Seconds")]
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
