//! Where the banks' contracts are, and what their messages are signed with.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::reader;

/// `[contracts]`: where the banks' contracts are.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Contracts {
    /// Folder that holds one folder per contract; that holds `contract.toml`, or a folder per version that does.
    pub folder: PathBuf,
    /// `reload_seconds`: how often it is looked for contracts, and for a settings file, whose content has changed; a
    /// SIGHUP makes it look at once.
    #[serde(rename = "reload_seconds", with = "reader::Seconds")]
    pub reload: Duration,
    /// `[contracts.keys.NAME]`: the keys of a contract whose messages are signed, by its folder. Default: none.
    pub keys: BTreeMap<String, SealKeys>,
}

impl Default for Contracts {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("contracts/banks"),
            reload: Duration::from_secs(10),
            keys: BTreeMap::new(),
        }
    }
}

/// `[contracts.keys.NAME]`: keys of a contract whose messages are signed.
///
/// `NAME` is the contract's folder inside `folder`. Keys are read when the contract is, and when
/// the settings file names other files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealKeys {
    /// PEM file: the public key (`PUBLIC KEY`) of the bank, which signs what comes.
    pub bank: PathBuf,
    /// PEM file: the private key (`PRIVATE KEY`, PKCS #8) the gateway signs answers with.
    pub gateway: PathBuf,
}
