//! `directlink evidence …`: bundles of evidence are made, judged by whoever is to be convinced, and the log is audited.
//!
//! What is judged needs no settings and no ledger. Exit codes are told by the help.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use gateway::{
    assembly,
    evidence::{
        audit::{self, Complaint},
        bundle::{Account, Bundle, Consistency, Judge, Proof, Verdict},
        checkpoint::{PublicKey, SignedCheckpoint, SigningKey},
        page,
        proving::{self, NoProof},
        published::published,
    },
    ledger::Ledger,
    settings::{Evidence, Settings},
};
use tokio::time::{Instant, sleep};

use self::lineage::{LINEAGE_HELP, Lineage};
use super::{Failure, runtime, say};

mod lineage;

#[derive(Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Write all that proves what was said about a case or a key, failed exchanges included, into one file. 导出证据包
    ///
    /// The ledger is read beside the gateways that serve; nothing is changed.
    #[command(after_help = EXPORT_HELP)]
    Export(Export),
    /// Judge a file of `export` or `consistency`, offline: needs no settings and no ledger. 核验证据包
    #[command(after_help = VERIFY_HELP)]
    Verify(Verify),
    /// Prove that the log of one checkpoint is the beginning of that of a later one. 证明日志只增不改
    Consistency {
        #[command(flatten)]
        ledger: FromLedger,
        /// How many leaves the earlier checkpoint has.
        #[arg(long, value_name = "SIZE")]
        from: u64,
        /// How many leaves the later one has. Default: the newest checkpoint.
        #[arg(long, value_name = "SIZE")]
        to: Option<u64>,
    },
    /// Walk the whole log in the ledger and name every row that is not what was logged. 审计日志
    #[command(after_help = AUDIT_HELP)]
    Audit {
        /// The settings file; every key is described in docs/settings-reference.md.
        #[arg(long, value_name = "FILE")]
        settings: PathBuf,
        /// A checkpoint that was kept elsewhere; may be repeated.
        #[arg(long, value_name = "FILE")]
        seen: Vec<PathBuf>,
    },
    /// Tell which bytes of a bank's message gave each canonical field, and what gave each part of the reply. 字段溯源
    #[command(after_help = LINEAGE_HELP)]
    Lineage(Lineage),
    /// Make a key that signs checkpoints: FILE, to be kept secret, and FILE.pub, to be given to everybody. 生成签名密钥
    Keygen {
        /// Where the private key is written; must not be there yet.
        file: PathBuf,
        /// The log's name, as `origin` of `[evidence]` says it.
        #[arg(long, default_value = "directlink", value_name = "NAME")]
        origin: String,
    },
}

const EXPORT_HELP: &str = "\
Examples:
  directlink evidence export YWH-20260305-17 --settings directlink.toml -o case.json
  directlink evidence export --key JYCL01-20260305-17 --institution jyc --settings directlink.toml
  directlink evidence export --index 70 --settings directlink.toml      an exchange that has no key

Exit codes: 0 it is written; 1 it could not be, or there is no such exchange; 2 the command line was not understood";

const VERIFY_HELP: &str = "\
Examples:
  directlink evidence verify case.json --key \"$(cat directlink.key.pub)\"
  directlink evidence verify case.json --key KEY --message sent.xml --message heard.xml
  directlink evidence verify case.json --key KEY --newer consistency.json --page case.html

Exit codes:
  0  everything holds
  1  something does not hold, or a file cannot be read
  2  the command line was not understood
  3  everything holds, but no --key was given: nobody vouches for the key it is signed with";

const AUDIT_HELP: &str = "\
Signatures are compared with the keys in `key_files` of [evidence], old public ones included. Without any, they are not
looked at. The checkpoint in `checkpoint_folder` counts as kept elsewhere.

Exit codes: 0 the log is what was logged; 1 it is not, or cannot be read; 2 the command line was not understood";

/// Which ledger, and where to.
#[derive(Args)]
pub(crate) struct FromLedger {
    /// The settings file; every key is described in docs/settings-reference.md.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    /// File to write to. Default: standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Export {
    /// The registry's number of the case.
    #[arg(required_unless_present_any = ["key", "index"])]
    case: Option<String>,
    /// The idempotency key of a filing.
    #[arg(long, conflicts_with = "case", requires = "institution")]
    key: Option<String>,
    /// Place of a single exchange in the log.
    #[arg(long, conflicts_with_all = ["case", "key"])]
    index: Option<u64>,
    /// Whose case or key it is, by its id in settings. Default: every institution is asked for the case.
    #[arg(long, value_name = "ID")]
    institution: Option<String>,
    /// How long to wait for a checkpoint that all of it is under, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    wait: u64,
    #[command(flatten)]
    ledger: FromLedger,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// The file.
    bundle: PathBuf,
    /// A key of the log, `NAME+ID+BASE64`, from whoever runs the gateway; may be repeated.
    #[arg(long = "key", value_name = "PUBLIC")]
    keys: Vec<String>,
    /// A message as it was sent or heard, byte for byte: it must be a part of some exchange; may be repeated.
    #[arg(long = "message", value_name = "FILE")]
    messages: Vec<PathBuf>,
    /// A file of `consistency`: the log went on from the bundle's checkpoint.
    #[arg(long, value_name = "FILE")]
    newer: Option<PathBuf>,
    /// Write the account as a page as well, in Chinese and English.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

pub(crate) fn run(command: EvidenceCommand) -> ExitCode {
    let done = match command {
        EvidenceCommand::Export(export) => self::export(&export),
        EvidenceCommand::Verify(verify) => self::verify(&verify),
        EvidenceCommand::Consistency { ledger, from, to } => consistency(&ledger, from, to),
        EvidenceCommand::Audit { settings, seen } => self::audit(&settings, &seen),
        EvidenceCommand::Lineage(asked) => lineage::lineage(&asked),
        EvidenceCommand::Keygen { file, origin } => keygen(&file, &origin),
    };
    done.unwrap_or_else(|failure| {
        // Nobody can be told if standard error is gone.
        let _unsaid = write!(io::stderr(), "{failure}");
        ExitCode::FAILURE
    })
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

fn export(export: &Export) -> Result<ExitCode, Failure> {
    let settings = Settings::load(&export.ledger.settings).map_err(Failure::Faulty)?;
    let bundle = runtime()?.block_on(async {
        let ledger = ledger(&settings).await?;
        let found = wanted(export, &settings, &*ledger).await?;
        let deadline = Instant::now() + Duration::from_secs(export.wait);
        loop {
            let bundle = match &found {
                Wanted::At(index) => proving::exchange_at(&*ledger, *index).await,
                Wanted::Of { institution, key } => {
                    proving::exchanges_of(&*ledger, institution, key).await
                }
            };
            match bundle {
                // Another process signs: there is no event to wait for.
                Err(NoProof::TooNew(_) | NoProof::Unsigned) if Instant::now() < deadline => {
                    sleep(LOOK_EVERY).await;
                }
                bundle => return anyhow::Ok(bundle?),
            }
        }
    })?;
    write_out(&export.ledger, &Proof::Bundle(bundle))
}

/// How long a log without any other fault is given for its first checkpoint: it grows a moment before it is signed.
const FIRST_CHECKPOINT_MAX: Duration = Duration::from_secs(5);

/// How often it is looked for a checkpoint.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Which exchanges.
enum Wanted {
    At(u64),
    Of { institution: String, key: String },
}

async fn wanted(
    export: &Export,
    settings: &Settings,
    ledger: &dyn Ledger,
) -> anyhow::Result<Wanted> {
    if let Some(index) = export.index {
        return Ok(Wanted::At(index));
    }
    if let (Some(key), Some(institution)) = (&export.key, &export.institution) {
        return Ok(Wanted::Of { institution: institution.clone(), key: key.clone() });
    }
    let case = export.case.as_deref().context("which case?")?;
    let named = export.institution.iter().map(String::as_str);
    let all = settings.institutions.iter().map(|institution| institution.id.as_str());
    let institutions: Vec<_> = match export.institution {
        Some(_) => named.collect(),
        None => all.collect(),
    };
    let mut found = Vec::new();
    for institution in institutions {
        found.extend(ledger.find_case(institution, case).await?);
    }
    match found.as_slice() {
        [] => bail!("nobody has a case of the number {case}"),
        [one] => Ok(Wanted::Of { institution: one.institution.clone(), key: one.key.clone() }),
        several => {
            let whose = several.iter().map(|it| format!("{} ({})", it.institution, it.key));
            let whose: Vec<_> = whose.collect();
            bail!(
                "several have a case of that number: name one by institution and key, of {}",
                whose.join(", ")
            )
        }
    }
}

fn consistency(from_ledger: &FromLedger, from: u64, to: Option<u64>) -> Result<ExitCode, Failure> {
    let settings = Settings::load(&from_ledger.settings).map_err(Failure::Faulty)?;
    let proof: Consistency = runtime()?.block_on(async {
        let ledger = ledger(&settings).await?;
        anyhow::Ok(proving::consistency(&*ledger, from, to).await?)
    })?;
    write_out(from_ledger, &Proof::Consistency(proof))
}

async fn ledger(settings: &Settings) -> anyhow::Result<std::sync::Arc<dyn Ledger>> {
    assembly::ledger_to_read(settings).await.context("the ledger cannot be opened")
}

fn write_out(to: &FromLedger, proof: &Proof) -> Result<ExitCode, Failure> {
    let text = serde_json::to_string_pretty(proof).context("the proof cannot be written")?;
    match &to.output {
        None => say(&text),
        Some(file) => {
            fs::write(file, text + "\n").with_context(|| file.display().to_string())?;
            say(&match proof {
                Proof::Bundle(Bundle { exchanges, .. }) => {
                    format!("{}: {} exchanges", file.display(), exchanges.len())
                }
                Proof::Consistency(_) => file.display().to_string(),
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The exit code of what holds under a key that nobody vouched for.
const UNVOUCHED: u8 = 3;

fn verify(verify: &Verify) -> Result<ExitCode, Failure> {
    let account = judged(verify)?;
    for finding in &account.findings {
        let mark = match finding.verdict {
            Verdict::Holds => "holds   成立",
            Verdict::Unvouched => "open    未确认",
            Verdict::Fails => "FAILS   不成立",
        };
        say(&format!("{mark}  {}\n        {}", finding.english, finding.chinese));
    }
    for exchange in &account.exchanges {
        say(&format!("\nleaf 记录 {}", exchange.index));
        exchange.lines.iter().for_each(|(name, value)| say(&format!("  {name:17} {value}")));
        if !exchange.is_salted {
            say(
                "  its salt is erased: digests cannot be compared with messages any more 盐值已删除",
            );
        }
    }
    if let Some(file) = &verify.page {
        let page = page::written(&account, &verify.bundle.display().to_string());
        let page = page.context("the page cannot be written")?;
        fs::write(file, page).with_context(|| file.display().to_string())?;
    }
    Ok(match account.verdict() {
        Verdict::Holds => ExitCode::SUCCESS,
        Verdict::Unvouched => ExitCode::from(UNVOUCHED),
        Verdict::Fails => ExitCode::FAILURE,
    })
}

fn judged(verify: &Verify) -> anyhow::Result<Account> {
    let keys = verify.keys.iter().map(|key| PublicKey::read(key).context("--key"));
    let messages = verify.messages.iter().map(|file| {
        let name = file.display().to_string();
        let bytes = fs::read(file).with_context(|| name.clone())?;
        anyhow::Ok((name, bytes))
    });
    let newer = verify.newer.as_deref().map(proof_in).transpose()?;
    let newer = match newer {
        Some(Proof::Consistency(newer)) => Some(newer),
        Some(Proof::Bundle(_)) => {
            bail!("--newer takes a file of `directlink evidence consistency`")
        }
        None => None,
    };
    let judge = Judge {
        keys: keys.collect::<anyhow::Result<_>>()?,
        messages: messages.collect::<anyhow::Result<_>>()?,
        newer,
    };
    Ok(judge.judge(&proof_in(&verify.bundle)?))
}

fn proof_in(file: &Path) -> anyhow::Result<Proof> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Proof::read(&text).with_context(|| format!("{}: it is no proof", file.display()))
}

fn audit(settings: &Path, seen: &[PathBuf]) -> Result<ExitCode, Failure> {
    let settings = Settings::load(settings).map_err(Failure::Faulty)?;
    let keys = assembly::keys(&settings).map_err(Failure::Faulty)?;
    let seen = seen.iter().map(|file| {
        let note = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        SignedCheckpoint::read(&note).with_context(|| file.display().to_string())
    });
    let mut seen: Vec<_> = seen.collect::<anyhow::Result<_>>()?;
    // Before the ledger is: the log may grow meanwhile, and what is published with it.
    let Evidence { checkpoint_folder, origin, .. } = &settings.evidence;
    let published = checkpoint_folder.as_deref().map(|folder| published(folder, origin));
    seen.extend(published.transpose().context("[evidence] checkpoint_folder")?.flatten());
    let found = runtime()?.block_on(async {
        let ledger = ledger(&settings).await?;
        let deadline = Instant::now() + FIRST_CHECKPOINT_MAX;
        loop {
            let audited = audit::audit(&*ledger, keys.public(), &seen).await;
            let audited = audited.context("the log cannot be read")?;
            // Another process signs: there is no event to wait for.
            match audited.complaints.as_slice() {
                [Complaint::Unsigned] if Instant::now() < deadline => sleep(LOOK_EVERY).await,
                _ => return anyhow::Ok(audited),
            }
        }
    })?;
    found.complaints.iter().for_each(|complaint| say(&complaint.to_string()));
    let (leaves, checkpoints) = (found.size, found.checkpoints);
    if !found.complaints.is_empty() {
        say(&format!(
            "{leaves} leaves, {checkpoints} checkpoints: NOT what was logged 日志与原记录不符"
        ));
        return Ok(ExitCode::FAILURE);
    }
    say(&format!("{leaves} leaves, {checkpoints} checkpoints: what was logged 日志完整"));
    Ok(ExitCode::SUCCESS)
}

fn keygen(file: &Path, origin: &str) -> Result<ExitCode, Failure> {
    make_key(file, origin)?;
    Ok(ExitCode::SUCCESS)
}

fn make_key(file: &Path, origin: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let (key, text) = SigningKey::generate(origin)?;
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    let public = PathBuf::from(name);
    ensure!(!public.exists(), "{}: it is there already", public.display());
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.with_context(|| file.display().to_string())?;
    made.write_all(text.as_bytes()).with_context(|| file.display().to_string())?;
    fs::write(&public, format!("{}\n", key.public()))
        .with_context(|| public.display().to_string())?;
    say(&key.public().to_string());
    Ok(())
}
