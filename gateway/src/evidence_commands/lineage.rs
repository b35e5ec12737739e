//! `directlink evidence lineage`: which bytes of a bank's message gave each canonical field of a case, and which field of the
//! registry's answer gave each part of the reply.
//!
//! No message is kept by the gateway. Whoever has one hands it in: it is first proved to be the message of that exchange, by
//! the salted digest in its leaf, and then read with the version of the contract that the leaf names. Source:
//! docs/decisions/0022.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
};

use adapters::{Origin, Place, Reply, Stood};
use anyhow::{Context, bail};
use clap::Args;
use gateway::{
    contracts::{self, OnDisk},
    evidence::leaf::{Leaf, Part},
    ledger::evidence::KeptLeaf,
    settings::Settings,
};
use serde::Serialize;

use super::{
    super::{Failure, columns::columns, runtime, say},
    ledger,
};

#[derive(Args)]
pub(crate) struct Lineage {
    /// The idempotency key of the filing; with --case, the registry's number of the case.
    key: String,
    /// The key is the registry's number of the case.
    #[arg(long)]
    case: bool,
    /// Whose it is, by its id in settings.
    #[arg(long, value_name = "ID")]
    institution: String,
    /// The bank's message, byte for byte as it was sent, length prefix or whole HTTP request included.
    #[arg(long, value_name = "FILE")]
    message: PathBuf,
    /// The answer to it, byte for byte. Default: the reply's parts are told as the contract has them.
    #[arg(long, value_name = "FILE")]
    reply: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// The settings file; every key is described in docs/settings.md.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
}

pub(crate) const LINEAGE_HELP: &str = "\
Examples:
  directlink evidence lineage JYCL01-20260305-17 --institution jyc --message sent.xml --settings directlink.toml
  directlink evidence lineage SL20260305000017 --case --institution jyc --message sent.xml --reply heard.xml --json --settings directlink.toml

The ledger and the contracts on disk are read; nothing is changed. What stood in the message is printed unmasked: it is
your own file.

Exit codes: 0 it is told; 1 no exchange under that key had this message, or it can no longer be read; 2 the command line
was not understood";

/// What is told.
#[derive(Debug, Serialize)]
struct Told {
    /// The leaf's place in the log; none while it waits for one.
    leaf: Option<u64>,
    institution: String,
    key: String,
    contract: String,
    contract_version: String,
    /// Whether the contract on disk is, byte for byte, the one that read the message then.
    contract_is_the_same: bool,
    message: String,
    heard: String,
    result: String,
    fields: Vec<Field>,
    reply: Vec<ReplyPart>,
}

/// A canonical field, and what it came from.
#[derive(Debug, Serialize)]
struct Field {
    field: String,
    value: serde_json::Value,
    /// Where it stands in the bank's message; none where the contract builds it, or the kind of message says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// The first byte and the one behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<[usize; 2]>,
    /// `FILE:LINE` in the contract's folder.
    template: String,
}

/// A part of the reply, and what it came from.
#[derive(Debug, Serialize)]
struct ReplyPart {
    /// Where it stands in the reply; none where no reply was handed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<[usize; 2]>,
    /// The canonical field it was written from.
    field: String,
    /// Who said that.
    from: &'static str,
    template: String,
}

pub(crate) fn lineage(asked: &Lineage) -> Result<ExitCode, Failure> {
    let settings = Settings::load(&asked.settings).map_err(Failure::Faulty)?;
    let sent = read(&asked.message)?;
    let reply = asked.reply.as_deref().map(read).transpose()?;
    let leaves = runtime()?.block_on(async {
        let ledger = ledger(&settings).await?;
        let key = match asked.case {
            false => asked.key.clone(),
            true => {
                let found = ledger.find_case(&asked.institution, &asked.key).await?;
                found
                    .with_context(|| format!("{} has no case {}", asked.institution, asked.key))?
                    .key
            }
        };
        anyhow::Ok(ledger.leaves_of(&asked.institution, &key).await?)
    })?;
    let kept = exchange_of(&leaves, &sent)?;
    let leaf = Leaf::read(&kept.text).context("the leaf in the ledger is none")?;
    if let Some(reply) = &reply
        && !is_part(kept, &leaf, Part::Replied, reply)
    {
        return Err(anyhow::anyhow!("--reply is not what was answered to this message").into());
    }
    let said = |name: &str| leaf.says(name).unwrap_or_default();
    let (name, version) = (said("contract"), said("contract-version"));
    let contract = contracts::version_on_disk(&settings, &name, &version);
    let contract = contract.map_err(Failure::Faulty)?;
    let contract = contract.with_context(|| {
        format!("version {version} of the contract {name}, which read this message, is not on disk")
    })?;
    let institution = settings.institutions.iter().find(|it| it.id == asked.institution);
    let institution = institution.context("the settings have no such institution")?;
    let mode = institution.mode.into();
    let decoded = contract.contract.decode(&sent, mode);
    let decoded = decoded.map_err(|undecoded| {
        let faults = undecoded.faults.len();
        anyhow::anyhow!("it is the message that was sent, and it could not be read then: {faults} faults (`directlink contract try` tells them)")
    })?;
    let mut lines = Lines::of(&contract);
    let origins = contract.contract.origins(&sent, mode, &decoded);
    let told = Told {
        leaf: kept.index,
        institution: asked.institution.clone(),
        key: said("key"),
        contract_is_the_same: said("contract-digest") == hex::encode(contract.digest),
        contract: name,
        contract_version: version,
        message: decoded.message.clone(),
        heard: said("heard"),
        result: said("result"),
        fields: origins.into_iter().map(|origin| field(origin, &mut lines)).collect(),
        reply: parts(&contract, &decoded.message, reply.as_deref(), &leaf, &mut lines)?,
    };
    if asked.json {
        say(&serde_json::to_string_pretty(&told).context("it cannot be written")?);
    } else {
        tell(&told);
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| file.display().to_string())
}

/// The exchange whose message it is.
fn exchange_of<'l>(leaves: &'l [KeptLeaf], sent: &[u8]) -> anyhow::Result<&'l KeptLeaf> {
    let is_it = |kept: &&KeptLeaf| {
        Leaf::read(&kept.text).is_ok_and(|leaf| is_part(kept, &leaf, Part::Received, sent))
    };
    if let Some(kept) = leaves.iter().find(is_it) {
        return Ok(kept);
    }
    if leaves.is_empty() {
        bail!("nothing was ever said under that key");
    }
    if leaves.iter().all(|kept| kept.salt.is_none()) {
        bail!(
            "the salts of that key's leaves are erased: nobody can tell any more what its messages were"
        );
    }
    bail!("none of the {} exchanges under that key had this message", leaves.len())
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
) -> anyhow::Result<Vec<ReplyPart>> {
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
    let (_, stood) = read.context("the answer is none of this contract's")?;
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

fn tell(told: &Told) {
    let place = told.leaf.map_or_else(|| "waits 待入".to_owned(), |index| index.to_string());
    let same = match told.contract_is_the_same {
        true => "as it was then 与当时一致",
        false => "NOT as it was then 与当时不一致: lines and places may differ",
    };
    say(&format!("leaf 记录       {place}"));
    say(&format!("institution 机构 {}", told.institution));
    say(&format!("key 键          {}", told.key));
    say(&format!("contract 合约   {} {} ({same})", told.contract, told.contract_version));
    say(&format!("message 报文    {}, heard 收到 {}", told.message, told.heard));
    say(&format!("result 结果     {}\n", told.result));
    let heads = ["field 字段", "value 值", "bytes 字节", "place 位置", "template 模板行"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(told.fields.iter().map(|it| {
        let value = it.value.as_str().map_or_else(|| it.value.to_string(), str::to_owned);
        let bytes = it.bytes.map_or_else(String::new, |[from, to]| format!("{from}..{to}"));
        let place = it.place.clone().unwrap_or_else(|| "-".to_owned());
        [it.field.clone(), value, bytes, place, it.template.clone()]
    }));
    say(&columns(&rows));
    say("\nreply 应答:");
    let heads = ["bytes 字节", "place 位置", "field 字段", "said by 来源", "template 模板行"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(told.reply.iter().map(|it| {
        let bytes = it.bytes.map_or_else(String::new, |[from, to]| format!("{from}..{to}"));
        let place = it.place.clone().unwrap_or_else(|| "-".to_owned());
        [bytes, place, it.field.clone(), it.from.to_owned(), it.template.clone()]
    }));
    say(&columns(&rows));
}
