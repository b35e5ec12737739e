//! `directlink evidence lineage`: what `gateway::evidence::lineage` tells of a message that somebody hands in, as tables or
//! JSON. Source: docs/decisions/0022.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use gateway::{
    evidence::lineage::{self, NoLineage, Told},
    settings::Settings,
};

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
    /// The settings file; every key is described in docs/settings-reference.md.
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
                let keys: Vec<_> = found.into_iter().map(|it| it.key).collect();
                match <[String; 1]>::try_from(keys) {
                    Ok([key]) => key,
                    Err(none) if none.is_empty() => {
                        bail!("{} has no case {}", asked.institution, asked.key)
                    }
                    Err(keys) => bail!(
                        "several registries have a case {}: name one of the keys {}",
                        asked.key,
                        keys.join(", ")
                    ),
                }
            }
        };
        anyhow::Ok(ledger.leaves_of(&asked.institution, &key).await?)
    })?;
    let told = lineage::lineage(&settings, &asked.institution, &leaves, &sent, reply.as_deref());
    let told = told.map_err(|error| match error {
        NoLineage::Faulty(problems) => Failure::Faulty(problems),
        error => Failure::Broken(error.into()),
    })?;
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
