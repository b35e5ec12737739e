//! `directlink reconcile` and `directlink findings …`: books compared when somebody asks, and what was found seen to.
//!
//! Comparing changes nothing, neither here nor at the registry. Exit codes are told by the help.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use gateway::{
    assembly,
    directory::Directory,
    evidence::act::Act,
    hours::ZONE,
    ledger::books::{Finding, Which},
    reconciliation::{
        self, Compared, Report, Scope,
        books::{self, Entry, Sum},
    },
    registry::Registry,
    settings::Settings,
    telemetry::Metrics,
};
use proto::Date;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Failure, columns::columns, operator, runtime, say};

/// What `reconcile` is asked.
#[derive(Args)]
pub(crate) struct Reconcile {
    /// The day, `YYYY-MM-DD`, in Asia/Shanghai.
    #[arg(long, value_name = "DAY", value_parser = day)]
    day: Date,
    /// Of one institution, by its id in settings. Default: of all.
    #[arg(long, value_name = "ID")]
    institution: Option<String>,
    /// Of one office, by the registry's own code. Default: of all.
    #[arg(long, value_name = "CODE")]
    office: Option<String>,
    /// With one registry, by its name in settings. Default: with all.
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
    /// Compare with a bank's own list instead of with registries: CSV with the columns key, case, status and amount_fen, and
    /// their names in the first line.
    #[arg(long, value_name = "FILE", requires = "institution", conflicts_with = "registry")]
    bank_file: Option<PathBuf>,
    /// Write the differences as CSV as well.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// The settings file; every key is described in docs/settings-reference.md.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
}

pub(crate) const RECONCILE_HELP: &str = "\
Examples:
  directlink reconcile --day 2026-03-05 --settings directlink.toml
  directlink reconcile --day 2026-03-05 --institution jyc --office 1401 --csv differences.csv --settings directlink.toml
  directlink reconcile --day 2026-03-05 --institution jyc --bank-file bank.csv --settings directlink.toml

A bank's file looks so; the amount is in 分 (fen), and empty where the matter has none:
  key,case,status,amount_fen
  JY-20260305-1,SL20260305000017,REGISTERED,98000000

The ledger is read beside the gateways that serve. Nothing is recorded: findings are made by the gateway itself, once a
day, where the settings have a table [reconciliation].

Exit codes: 0 both sides agree; 1 they differ, or could not be compared; 2 the command line was not understood";

#[derive(Subcommand)]
pub(crate) enum FindingsCommand {
    /// List what is open. 列出未结差异
    #[command(after_help = LIST_HELP)]
    List {
        /// Closed ones too.
        #[arg(long)]
        all: bool,
        /// The settings file; every key is described in docs/settings-reference.md.
        #[arg(long, value_name = "FILE")]
        settings: PathBuf,
    },
    /// Close one that people have seen to. It is opened again if the two sides come to differ otherwise. 关闭差异
    #[command(after_help = CLOSE_HELP)]
    Close {
        /// Its number, as `list` tells it.
        id: i64,
        /// What was done about it, for whoever looks later. No personal data.
        #[arg(long, value_name = "TEXT")]
        note: String,
        /// The settings file; every key is described in docs/settings-reference.md.
        #[arg(long, value_name = "FILE")]
        settings: PathBuf,
    },
}

const LIST_HELP: &str = "\
Examples:
  directlink findings list --settings directlink.toml
  directlink findings list --all --settings directlink.toml

Exit codes: 0 nothing is open; 1 something is, or the ledger cannot be read; 2 the command line was not understood";

const CLOSE_HELP: &str = "\
Example:
  directlink findings close 17 --note '登记机构已更正 2026-03-06' --settings directlink.toml

Exit codes: 0 it is closed; 1 there is no such open finding; 2 the command line was not understood";

fn day(text: &str) -> Result<Date, String> {
    Date::parse(text).map_err(|malformed| malformed.to_string())
}

pub(crate) fn reconcile(asked: &Reconcile) -> Result<ExitCode, Failure> {
    let settings = Settings::load(&asked.settings).map_err(Failure::Faulty)?;
    let scope = Scope { institution: asked.institution.clone(), office: asked.office.clone() };
    if let Some(file) = &asked.bank_file {
        return with_bank(asked, &settings, file);
    }
    let metrics = Metrics::new().context("metrics").map_err(Failure::Broken)?;
    let (mut differ, mut findings) = (false, Vec::new());
    runtime()?.block_on(async {
        let directory = Directory::new(&settings, &metrics).map_err(Failure::Faulty)?;
        let mut wanted: Vec<&Registry> = directory.registries().collect();
        wanted.retain(|it| asked.registry.as_deref().is_none_or(|name| name == it.name()));
        wanted.sort_by(|one, other| one.name().cmp(other.name()));
        if wanted.is_empty() {
            let told = anyhow::anyhow!("the settings have no such registry");
            return Err(Failure::Broken(told));
        }
        let ledger = assembly::ledger_to_read(&settings).await;
        let ledger = ledger.context("the ledger cannot be opened").map_err(Failure::Broken)?;
        for registry in wanted {
            let done = reconciliation::reconcile(&*ledger, registry, asked.day, &scope).await;
            match done {
                Ok(report) => {
                    differ |= !report.findings.is_empty();
                    tell(asked.day, registry.name(), &report);
                    findings.extend(report.findings);
                }
                Err(failed) => {
                    differ = true;
                    let told = anyhow::Error::from(failed);
                    say(&format!(
                        "{}  {}: NOT COMPARED 未能对账: {told:#}",
                        asked.day,
                        registry.name()
                    ));
                }
            }
        }
        Ok(())
    })?;
    if let Some(file) = &asked.csv {
        write_csv(file, asked.day, &findings)
            .with_context(|| file.display().to_string())
            .map_err(Failure::Broken)?;
    }
    Ok(if differ { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn with_bank(asked: &Reconcile, settings: &Settings, file: &Path) -> Result<ExitCode, Failure> {
    let institution = asked.institution.as_deref().unwrap_or_default();
    if !settings.institutions.iter().any(|it| it.id == institution) {
        let told = anyhow::anyhow!("the settings have no institution {institution}");
        return Err(Failure::Broken(told));
    }
    let listed = listed(file).with_context(|| file.display().to_string());
    let listed = listed.map_err(Failure::Broken)?;
    let report = runtime()?.block_on(async {
        let ledger = assembly::ledger_to_read(settings).await;
        let ledger = ledger.context("the ledger cannot be opened")?;
        let (day, office) = (asked.day, asked.office.as_deref());
        let done =
            reconciliation::reconcile_with_bank(&*ledger, institution, day, office, listed).await;
        anyhow::Ok(done?)
    });
    let report = report.map_err(Failure::Broken)?;
    tell(asked.day, institution, &report);
    if let Some(file) = &asked.csv {
        write_csv(file, asked.day, &report.findings)
            .with_context(|| file.display().to_string())
            .map_err(Failure::Broken)?;
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A bank's own list. All lines that are none are told at once.
fn listed(file: &Path) -> anyhow::Result<Vec<Entry>> {
    const COLUMNS: [&str; 4] = ["key", "case", "status", "amount_fen"];
    let text = std::fs::read(file)?;
    // What spreadsheets put before UTF-8.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let heads = rows.headers().context("the first line")?.clone();
    let places = COLUMNS.map(|name| heads.iter().position(|head| head == name));
    let [Some(key), Some(case), Some(status), Some(amount)] = places else {
        anyhow::bail!("the first line has to name the columns {}", COLUMNS.join(", "));
    };
    let (mut entries, mut wrong, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    // The names stand in the first line, and no key has a line break in it.
    for (line, row) in (2..).zip(rows.records()) {
        let row = row?;
        let cell = |at: usize| row.get(at).unwrap_or_default();
        let said = cell(status);
        let amount_fen = match cell(amount) {
            "" => Some(None),
            digits if digits.bytes().all(|it| it.is_ascii_digit()) => digits.parse().ok().map(Some),
            _ => None,
        };
        match (books::status(said), amount_fen) {
            _ if cell(key).is_empty() => wrong.push(format!("line {line}: no key")),
            _ if !seen.insert(cell(key).to_owned()) => {
                wrong.push(format!("line {line}: this key stands twice"));
            }
            (None, _) => wrong.push(format!("line {line}: {}", no_status(said))),
            (_, None) => wrong.push(format!("line {line}: the amount is no whole number of 分")),
            (Some(status), Some(amount_fen)) => entries.push(Entry {
                key: cell(key).to_owned(),
                case_id: cell(case).to_owned(),
                status,
                amount_fen,
                parties: None,
            }),
        }
    }
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(entries)
}

/// What is no status is told if it could have been one; else it is another column's, a name or an amount.
fn no_status(said: &str) -> String {
    match !said.is_empty() && said.bytes().all(|it| it.is_ascii_uppercase() || it == b'_') {
        true => format!("`{said}` is no status"),
        false => "what stands there is no status".to_owned(),
    }
}

fn tell(day: Date, registry: &str, report: &Report) {
    say(&format!("{day}  {registry}"));
    let heads = [
        "institution 机构",
        "office 登记机构",
        "ours 我方",
        "theirs 对方",
        "our digest 我方摘要",
        "their digest 对方摘要",
        "result 结果",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(report.compared.iter().map(row));
    say(&columns(&rows));
    if report.other_days > 0 {
        say(&format!(
            "{} cases are of another day on one side, and agree 两侧日期不同、内容一致",
            report.other_days
        ));
    }
    if report.findings.is_empty() {
        say("agree 一致\n");
        return;
    }
    say("\ndifferences 差异:");
    say(&columns(&table_of(&report.findings)));
    say("");
}

fn row(compared: &Compared) -> [String; 7] {
    let Compared { institution, office, ours, theirs, differences } = compared;
    let result = match (differences, ours.agrees_with(theirs)) {
        (0, true) => "agree 一致".to_owned(),
        (0, false) => "every case agrees 逐件一致".to_owned(),
        (count, _) => format!("{count} DIFFER 不一致"),
    };
    [
        institution.clone(),
        office.clone(),
        ours.count.to_string(),
        theirs.count.to_string(),
        short(ours),
        short(theirs),
        result,
    ]
}

/// Enough of a digest to compare by eye.
fn short(sum: &Sum) -> String {
    hex::encode(sum.digest).chars().take(16).collect()
}

fn table_of(findings: &[Finding]) -> Vec<[String; 7]> {
    let heads = [
        "difference 差异",
        "institution 机构",
        "office 登记机构",
        "key 键",
        "case 受理编号",
        "ours 我方",
        "theirs 对方",
    ];
    let row = |it: &Finding| {
        [
            format!("{} {}", it.kind.name(), it.kind.chinese()),
            it.institution.clone(),
            it.office.clone(),
            it.key.clone(),
            it.case_id.clone(),
            it.ours.clone(),
            it.theirs.clone(),
        ]
    };
    std::iter::once(heads.map(str::to_owned)).chain(findings.iter().map(row)).collect()
}

fn write_csv(file: &Path, day: Date, findings: &[Finding]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(File::create(file)?);
    table.write_record([
        "day",
        "institution",
        "office",
        "key",
        "case",
        "difference",
        "ours",
        "theirs",
    ])?;
    for it in findings {
        let day = day.to_string();
        let kind = it.kind.name();
        table.write_record([
            day.as_str(),
            &it.institution,
            &it.office,
            &it.key,
            &it.case_id,
            kind,
            &it.ours,
            &it.theirs,
        ])?;
    }
    table.flush()?;
    Ok(())
}

pub(crate) fn findings(command: &FindingsCommand) -> Result<ExitCode, Failure> {
    match command {
        FindingsCommand::List { all, settings } => {
            list(settings, if *all { Which::All } else { Which::Open })
        }
        FindingsCommand::Close { id, note, settings } => close(settings, *id, note),
    }
}

/// More than anybody reads; the rest is told after those are closed.
const LISTED_MAX: u32 = 10_000;

fn list(settings: &Path, which: Which) -> Result<ExitCode, Failure> {
    let settings = Settings::load(settings).map_err(Failure::Faulty)?;
    let found = runtime()?.block_on(async {
        let ledger = assembly::ledger_to_read(&settings).await;
        let ledger = ledger.context("the ledger cannot be opened")?;
        ledger.findings(which, LISTED_MAX).await.context("the ledger cannot be read")
    });
    let found = found.map_err(Failure::Broken)?;
    let heads = [
        "id 编号",
        "difference 差异",
        "day 日期",
        "registry 登记系统",
        "institution 机构",
        "office 登记机构",
        "key 键",
        "case 受理编号",
        "ours 我方",
        "theirs 对方",
        "first 首次发现",
        "state 状况",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(found.iter().map(|it| {
        let of = &it.finding;
        [
            it.id.to_string(),
            format!("{} {}", of.kind.name(), of.kind.chinese()),
            it.day.clone(),
            it.registry.clone(),
            of.institution.clone(),
            of.office.clone(),
            of.key.clone(),
            of.case_id.clone(),
            of.ours.clone(),
            of.theirs.clone(),
            moment(it.first_at),
            match (it.closed_at, &it.note) {
                (None, _) => "open 未结".to_owned(),
                (Some(at), Some(note)) => format!("closed 已关闭 {}: {note}", moment(at)),
                (Some(at), None) => format!("agrees 已一致 {}", moment(at)),
            },
        ]
    }));
    say(&columns(&rows));
    let open = found.iter().filter(|it| it.closed_at.is_none()).count();
    say(&format!("{open} open 未结"));
    Ok(if open == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn close(settings: &Path, id: i64, note: &str) -> Result<ExitCode, Failure> {
    let settings = Settings::load(settings).map_err(Failure::Faulty)?;
    let closed = runtime()?.block_on(async {
        let ledger = assembly::ledger_beside(&settings).await;
        let ledger = ledger.context("the ledger cannot be opened")?;
        operator::note(&settings, &*ledger, Act::CloseFinding, &id.to_string()).await?;
        ledger.close_finding(id, note).await.context("the ledger cannot be written to")
    });
    if closed.map_err(Failure::Broken)? {
        say(&format!("{id}: closed 已关闭"));
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("{id}: there is no such open finding 没有这一未结差异"));
    Ok(ExitCode::FAILURE)
}

fn moment(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at).to_offset(ZONE);
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}
