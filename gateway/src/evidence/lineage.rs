//! Field lineage (字段溯源): which bytes of a bank's message gave each canonical field of a case, and which field of the
//! registry's answer gave each part of the reply.
//!
//! No message is kept by the gateway. Whoever has one hands it in: it is first proved to be the message of that exchange, by
//! the salted digest in its leaf, and then read with the version of the contract that the leaf names. Source:
//! docs/decisions/0022.

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use adapters::{Origin, Place, Reply, Stood};
use serde::Serialize;

use super::leaf::{Leaf, Part};
use crate::{
    contracts::{self, OnDisk},
    ledger::evidence::KeptLeaf,
    settings::{Problem, Settings},
};

/// What is told.
#[derive(Debug, Serialize)]
pub struct Told {
    /// The leaf's place in the log; none while it waits for one.
    pub leaf: Option<u64>,
    /// Whose it is.
    pub institution: String,
    /// The idempotency key.
    pub key: String,
    /// Folder of the contract.
    pub contract: String,
    /// Its version that read the message.
    pub contract_version: String,
    /// Whether the contract on disk is, byte for byte, the one that read the message then.
    pub contract_is_the_same: bool,
    /// The kind of message.
    pub message: String,
    /// When it was heard.
    pub heard: String,
    /// What was answered.
    pub result: String,
    /// What was understood.
    pub fields: Vec<Field>,
    /// What was answered, part by part.
    pub reply: Vec<ReplyPart>,
}

/// A canonical field, and what it came from.
#[derive(Debug, Serialize)]
pub struct Field {
    /// The canonical field.
    pub field: String,
    /// What it was read as.
    pub value: serde_json::Value,
    /// Where it stands in the bank's message; none where the contract builds it, or the kind of message says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The first byte and the one behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<[usize; 2]>,
    /// `FILE:LINE` in the contract's folder.
    pub template: String,
}

/// A part of the reply, and what it came from.
#[derive(Debug, Serialize)]
pub struct ReplyPart {
    /// Where it stands in the reply; none where no reply was handed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The first byte and the one behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<[usize; 2]>,
    /// The canonical field it was written from.
    pub field: String,
    /// Who said that.
    pub from: &'static str,
    /// `FILE:LINE` in the contract's folder.
    pub template: String,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum NoLineage {
    /// There is no exchange.
    #[error("nothing was ever said under that key")]
    Unheard,
    /// Nobody can compare any more.
    #[error(
        "the salts of that key's leaves are erased: nobody can tell any more what its messages were"
    )]
    Erased,
    /// It is another message.
    #[error("none of the {0} exchanges under that key had this message")]
    NotThis(usize),
    /// It is another answer.
    #[error("--reply is not what was answered to this message")]
    NotTheReply,
    /// The contract has gone.
    #[error(
        "version {version} of the contract {contract}, which read this message, is not on disk"
    )]
    NotOnDisk {
        /// Its folder.
        contract: String,
        /// The version.
        version: String,
    },
    /// The contract on disk cannot be used.
    #[error("the contract on disk has faults")]
    Faulty(Vec<Problem>),
    /// Nobody of that id is in settings.
    #[error("the settings have no such institution")]
    Institution,
    /// It was refused for what it said.
    #[error(
        "it is the message that was sent, and it could not be read then: {0} faults (`directlink contract try` tells them)"
    )]
    Unread(usize),
    /// The answer cannot be read back.
    #[error("the answer is none of this contract's")]
    ForeignReply,
}

/// Where each field of a message came from, and each part of the reply to it. `leaves`: all about the filing's key. `sent`,
/// `reply`: the message and the answer, byte for byte; without an answer its parts are told as the contract has them.
///
/// # Errors
/// It is not known to be a message of that filing, or cannot be read any more.
pub fn lineage(
    settings: &Settings,
    institution: &str,
    leaves: &[KeptLeaf],
    sent: &[u8],
    reply: Option<&[u8]>,
) -> Result<Told, NoLineage> {
    let kept = exchange_of(leaves, sent)?;
    let leaf = Leaf::read(&kept.text).map_err(|_none| NoLineage::NotThis(leaves.len()))?;
    if reply.is_some_and(|reply| !is_part(kept, &leaf, Part::Replied, reply)) {
        return Err(NoLineage::NotTheReply);
    }
    let said = |name: &str| leaf.says(name).unwrap_or_default();
    let (name, version) = (said("contract"), said("contract-version"));
    let contract = contracts::version_on_disk(settings, &name, &version);
    let contract = contract
        .map_err(NoLineage::Faulty)?
        .ok_or_else(|| NoLineage::NotOnDisk { contract: name.clone(), version: version.clone() })?;
    let known = settings.institutions.iter().find(|it| it.id == institution);
    let mode = known.ok_or(NoLineage::Institution)?.mode.into();
    let decoded = contract.contract.decode(sent, mode);
    let decoded = decoded.map_err(|undecoded| NoLineage::Unread(undecoded.faults.len()))?;
    let mut lines = Lines::of(&contract);
    let origins = contract.contract.origins(sent, mode, &decoded);
    Ok(Told {
        leaf: kept.index,
        institution: institution.to_owned(),
        key: said("key"),
        contract_is_the_same: said("contract-digest") == hex::encode(contract.digest),
        contract: name,
        contract_version: version,
        message: decoded.message.clone(),
        heard: said("heard"),
        result: said("result"),
        fields: origins.into_iter().map(|origin| field(origin, &mut lines)).collect(),
        reply: parts(&contract, &decoded.message, reply, &leaf, &mut lines)?,
    })
}

/// The exchange whose message it is.
fn exchange_of<'l>(leaves: &'l [KeptLeaf], sent: &[u8]) -> Result<&'l KeptLeaf, NoLineage> {
    let is_it = |kept: &&KeptLeaf| {
        Leaf::read(&kept.text).is_ok_and(|leaf| is_part(kept, &leaf, Part::Received, sent))
    };
    if let Some(kept) = leaves.iter().find(is_it) {
        return Ok(kept);
    }
    if leaves.is_empty() {
        return Err(NoLineage::Unheard);
    }
    if leaves.iter().all(|kept| kept.salt.is_none()) {
        return Err(NoLineage::Erased);
    }
    Err(NoLineage::NotThis(leaves.len()))
}

fn is_part(kept: &KeptLeaf, leaf: &Leaf, part: Part, bytes: &[u8]) -> bool {
    let digest = kept.salt.map(|salt| salt.digest(part, bytes));
    digest.is_some() && digest == leaf.digest(part)
}

fn field(origin: Origin, lines: &mut Lines<'_>) -> Field {
    let template = match &origin.stands {
        Some(stood) => lines.told(&stood.template),
        None if origin.path == KEY => "contract.toml [key]".to_owned(),
        None => "contract.toml [messages]".to_owned(),
    };
    let (place, bytes) = match origin.stands {
        Some(Stood { place, bytes, .. }) => (Some(place), Some(both(&bytes))),
        None => (None, None),
    };
    Field { field: origin.field, value: origin.value, place, bytes, template }
}

const KEY: &str = "application.idempotency_key";

fn both(bytes: &Range<usize>) -> [usize; 2] {
    [bytes.start, bytes.end]
}

fn parts(
    contract: &OnDisk,
    message: &str,
    reply: Option<&[u8]>,
    leaf: &Leaf,
    lines: &mut Lines<'_>,
) -> Result<Vec<ReplyPart>, NoLineage> {
    let registry_spoke = leaf.digest(Part::RegistryAnswer).is_some();
    let Some(reply) = reply else {
        let shown = contract.contract.reply_holes(message, Reply::Outcome);
        let part = |(field, places): (String, Vec<Place>)| ReplyPart {
            place: None,
            bytes: None,
            from: said_by(&field, registry_spoke),
            template: lines.told(&places),
            field,
        };
        return Ok(shown.into_iter().map(part).collect());
    };
    let read = contract.contract.reply_origins(Some(message), reply);
    let (_, stood) = read.ok_or(NoLineage::ForeignReply)?;
    let part = |stood: Stood| ReplyPart {
        bytes: Some(both(&stood.bytes)),
        from: said_by(&stood.field, registry_spoke),
        template: lines.told(&stood.template),
        place: Some(stood.place),
        field: stood.field,
    };
    Ok(stood.into_iter().map(part).collect())
}

/// Who said what a field of an answer holds.
fn said_by(field: &str, registry_spoke: bool) -> &'static str {
    const GATEWAY: &str = "the gateway 网关";
    match field {
        "exchange.replied_at" | "exchange.reply_serial" | "outcome.replayed" => GATEWAY,
        _ if field.starts_with("exchange.") => "the bank's message 银行报文",
        // Places in the bank's message are the gateway's addition; what stands there is not.
        _ if field.starts_with("outcome.refusal.faults") && field.ends_with(".place") => GATEWAY,
        _ if registry_spoke => "the registry's answer 登记机构应答",
        _ => GATEWAY,
    }
}

/// Lines of a contract's files.
struct Lines<'c> {
    folder: &'c Path,
    texts: BTreeMap<String, String>,
}

impl<'c> Lines<'c> {
    fn of(contract: &'c OnDisk) -> Self {
        Self { folder: &contract.folder, texts: BTreeMap::new() }
    }

    /// `FILE:LINE`; of a part, then where it is used.
    fn told(&mut self, places: &[Place]) -> String {
        let line = |Place { file, span }: &Place| {
            let folder = self.folder;
            let text = self.texts.entry(file.clone()).or_insert_with(|| {
                // What cannot be read has been read a moment ago: its lines are not told then.
                fs::read_to_string(folder.join(file)).unwrap_or_default()
            });
            let before = text.as_bytes().iter().take(span.start);
            let number = before.filter(|byte| **byte == b'\n').count() + 1;
            format!("{file}:{number}")
        };
        places.iter().map(line).collect::<Vec<_>>().join(" < ")
    }
}
