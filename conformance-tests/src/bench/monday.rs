//! A Monday opening in simulated time: a bank files on Sunday evening, what it filed waits for the office, and is sent once
//! that is open.
//!
//! The real program on its real ports, and a registry that enters what it is sent. Only the gateway's clock is not the
//! machine's: it says Sunday evening; and the gateway that is started on Monday has one that runs many times as fast, with
//! every wait of the process and its ledger (SQLite, in the same process), so that an office's morning passes in a minute.
//! When a filing was sent is read from that ledger. What did not go as it should is no figure but an error.

use std::{
    collections::HashMap,
    fmt, fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use adapters::{Contract, Mode, Reply};
use anyhow::{Context, ensure};
use proto::v1::{Application, Party, application::Matter, envelope::Body};
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use time::{OffsetDateTime, Weekday, macros::offset};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::process;
use crate::{
    deployment::{self, Deployment, Gateway},
    fake_bank::FakeBank,
    reference_registry::{Call, Control, Fault, SAMPLES, Settings as RegistrySettings},
    samples::{self, Samples},
    scenario::{Change, clock},
};

/// What waits, and for what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Folder of the bank's contract.
    pub contract: PathBuf,
    /// Its sample of a mortgage of one home.
    pub case: String,
    /// So many homes are charged.
    pub homes: usize,
    /// So many filings are about each of them.
    pub filings_per_home: usize,
    /// How many filings that waited the office takes a minute.
    pub per_minute: u32,
    /// How many times as fast the gateway's clock runs.
    pub speed: u32,
}

impl Plan {
    fn filings(&self) -> usize {
        self.homes * self.filings_per_home
    }
}

/// How it went.
#[derive(Debug, Serialize)]
pub struct Monday {
    /// How many filings waited; each was sent, and registered once.
    pub filings: usize,
    /// How many homes they were about; none of them was overtaken.
    pub homes: usize,
    /// How many the office takes a minute.
    pub per_minute: u32,
    /// The most that were sent within a minute.
    pub fullest_minute: usize,
    /// When the first was sent, by the gateway's clock.
    pub first_sent: String,
    /// When the last was.
    pub last_sent: String,
    /// From the first to the last, in seconds of the gateway's clock.
    pub took_s: i64,
    /// How many times as fast that clock ran.
    pub speed: u32,
    /// From the start on Monday, a minute before the opening, until the last was sent, in milliseconds of the machine's clock.
    pub by_the_machine_ms: u128,
    /// Calls that said a filing again, because the one before was not answered in time.
    pub said_again: u64,
    /// Memory that the gateway held when a tenth was sent, in KiB.
    pub early_kib: u64,
    /// The most it held from then on.
    pub most_kib: u64,
    /// What it held when all were sent.
    pub late_kib: u64,
}

/// Lets a bank file on Sunday evening, and the office open on Monday.
///
/// # Errors
/// A filing that did not wait, was sent before the office opened, faster than it takes them, before an earlier one of its
/// home, or not at all; memory that grows; or something that could not be done.
pub async fn run(plan: &Plan, mut say: impl FnMut(&str)) -> anyhow::Result<Monday> {
    let files = Arc::new(Files::of(plan)?);
    let mut deployment = deployed(plan, &files).await?;
    let sunday = clock::offset_to("Sunday 20:00", time::Duration::ZERO)?;
    gateway(&mut deployment)?.clock = Some(sunday);
    deployment.start().await?;
    let filings = plan.filings();
    say(&format!("it is Sunday evening, and {filings} filings come"));
    let keys = file(&deployment, &files, plan).await?;
    stop(gateway(&mut deployment)?).await?;

    say("it is Monday morning, and the office opens");
    deployment.registry.control().order(Call::Submit, now_and_then_slow(filings));
    let monday = gateway(&mut deployment)?;
    monday.clock = Some(clock::offset_to("Monday 08:59", sunday)?);
    monday.clock_speed = plan.speed;
    let opened = Instant::now();
    monday.start().await?;
    let process = gateway(&mut deployment)?.process_id();
    let memory = drained(process, &opened, &deployment, plan, &mut say).await?;
    let by_the_machine_ms = opened.elapsed().as_millis();
    empty(gateway(&mut deployment)?).await?;
    stop(gateway(&mut deployment)?).await?;

    let said_again = in_order(deployment.registry.control(), &keys, plan)?;
    let sent = sent_at(&deployment)?;
    let (first, last) = (sent.first().context("none was sent")?, sent.last().context("none")?);
    let fullest_minute = fullest_minute(&sent);
    // A look that comes late is made up for once: two may follow one another, and from then on the pace is kept.
    let most = usize::try_from(plan.per_minute)?.saturating_add(1);
    ensure!(fullest_minute <= most, "{fullest_minute} were sent within a minute");
    ensure!(is_open(*first)? && is_open(*last)?, "one was sent while the office was closed");
    Ok(Monday {
        filings,
        homes: plan.homes,
        per_minute: plan.per_minute,
        fullest_minute,
        first_sent: told(*first)?,
        last_sent: told(*last)?,
        took_s: last.saturating_sub(*first) / 1_000,
        speed: plan.speed,
        by_the_machine_ms,
        said_again,
        early_kib: memory.early,
        most_kib: memory.most,
        late_kib: memory.late,
    })
}

/// How long the registry takes: over one filing in ten so long that many could overtake it meanwhile.
fn now_and_then_slow(filings: usize) -> impl Iterator<Item = Fault> {
    (1..=filings).map(|filing| match filing % 10 {
        0 => Fault::Delay { ms: 300 },
        _ => Fault::Delay { ms: 0 },
    })
}

/// Opening hours of the office, as settings and its registry say them.
const HOURS: &str = "1-5 09:00-17:00";

/// How much more memory may be held while the queue drains.
const GROWTH_KIB_MAX: u64 = 16 * 1024;

/// How long the machine may take for anything but waiting for the office's pace.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often it is seen how much memory is held.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How many connections the bank files over.
const CONNECTIONS: usize = 16;

async fn deployed(plan: &Plan, files: &Files) -> anyhow::Result<Deployment> {
    // Deadlines pass as quickly as everything: what the machine takes a second for, takes `speed` of them.
    let settings = format!(
        "queue.key_file = \"queue.keys\"\n\
         [office]\nhours = [\"{HOURS}\"]\nqueued_per_minute_max = {}\n\
         [registry]\ndeadline_seconds = 300\nconnect_seconds = 300\n\
         [ledger]\nlease_seconds = 600\n\
         [limits]\nhandshake_seconds_max = 600\nheader_seconds_max = 600\nbody_seconds_max = 600\n\
         answer_seconds_max = 600\nidle_seconds_max = 3600\nshutdown_seconds_max = 600\n",
        plan.per_minute
    );
    let (bank, contracts) =
        (&files.bank, plan.contract.parent().context("no folder of contracts")?);
    let planned = deployment::Plan::of_one(bank, contracts, &settings)?;
    let data = files.register(plan.homes)?;
    Deployment::prepare(&planned, |settings| RegistrySettings { data, ..settings }).await
}

async fn stop(gateway: &mut Gateway) -> anyhow::Result<()> {
    gateway.tell_to_stop().await?;
    let ended = gateway.stopped().await?;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}

fn gateway(deployment: &mut Deployment) -> anyhow::Result<&mut Gateway> {
    deployment.gateways.first_mut().context("no gateway")
}

/// What the bank files.
struct Files {
    bank: String,
    contract: Arc<Contract>,
    samples: Samples,
    case: String,
    /// What the unit codes of all homes begin with.
    building: String,
    owners: Vec<Party>,
}

impl Files {
    fn of(plan: &Plan) -> anyhow::Result<Self> {
        let (contract, samples) =
            (samples::contract(&plan.contract)?, Samples::of(&plan.contract)?);
        let bank = plan.contract.file_name().context("no contract")?;
        let sample = application(&contract, &samples.request(&plan.case)?)?;
        let Some(Matter::MortgageRegistration(mortgage)) = sample.matter else {
            anyhow::bail!("{} is no mortgage", plan.case)
        };
        let unit = mortgage.properties.first().map(|property| property.unit_code.as_str());
        let building = unit.and_then(|unit| unit.get(..UNIT_CODE_BUILDING));
        Ok(Self {
            bank: bank.to_string_lossy().into_owned(),
            contract: Arc::new(contract),
            samples,
            case: plan.case.clone(),
            building: building.context("no unit code")?.to_owned(),
            owners: mortgage.mortgagors,
        })
    }

    fn unit(&self, home: usize) -> String {
        format!("{}{home:08}", self.building)
    }

    /// One filing for a home: its name in the contract, its bytes, and its key.
    fn message(&self, home: usize, number: usize) -> anyhow::Result<(String, Vec<u8>, String)> {
        let set = |path: &str, value| Change::Set(path.to_owned(), value);
        let changes = [
            Change::End("exchange.serial".to_owned(), format!("{home:05}{number:03}")),
            set("matter.contract_number", format!("HT-{home}-{number}")),
            set("matter.properties[0].unit_code", self.unit(home)),
            Change::Without("matter.properties[0].title_numbers".to_owned()),
        ];
        let (name, envelope) = self.samples.changed(&self.contract, &self.case, &changes)?;
        let written = self.contract.encode(Some(&name), Reply::Request, &envelope);
        let bytes =
            written.map_err(|cannot| anyhow::anyhow!("it cannot be written: {cannot:?}"))?;
        let key = application(&self.contract, &bytes)?.idempotency_key;
        Ok((name, bytes, key))
    }

    /// The register of the kit, and in it the homes, each owned by the sample's owners.
    fn register(&self, homes: usize) -> anyhow::Result<String> {
        let text = |value: &str| toml::Value::from(value);
        let owners = self.owners.iter().map(|owner| {
            let id_type = owner.id_type().as_str_name().trim_start_matches("ID_TYPE_");
            let fields =
                [("name", &*owner.name), ("id_type", id_type), ("id_number", &*owner.id_number)];
            let fields = fields.map(|(name, value)| (name.to_owned(), text(value)));
            toml::Value::from(toml::Table::from_iter(fields))
        });
        let owners = toml::Value::from(owners.collect::<Vec<_>>());
        let mut data: toml::Table = toml::from_str(SAMPLES)?;
        let titles = data.get_mut("title").and_then(toml::Value::as_array_mut);
        let titles = titles.context("no titles")?;
        titles.extend((1..=homes).map(|home| {
            let fields = [
                ("unit_code", text(&self.unit(home))),
                ("location", text("示例路")),
                ("holders", owners.clone()),
            ];
            let fields = fields.map(|(name, value)| (name.to_owned(), value));
            toml::Value::from(toml::Table::from_iter(fields))
        }));
        Ok(toml::to_string(&data)?)
    }
}

/// Up to the letter of the fixture; eight digits follow.
const UNIT_CODE_BUILDING: usize = 20;

fn application(contract: &Contract, bytes: &[u8]) -> anyhow::Result<Application> {
    let decoded = contract
        .decode(bytes, Mode::Test)
        .map_err(|undecoded| anyhow::anyhow!("it does not decode: {:?}", undecoded.faults))?;
    match decoded.envelope.body {
        Some(Body::Application(application)) => Ok(application),
        _ => anyhow::bail!("it files nothing"),
    }
}

/// By key, the home it is about and which of its filings it is.
type Keys = HashMap<String, (usize, usize)>;

/// Files everything; each filing is told that it waits.
async fn file(deployment: &Deployment, files: &Arc<Files>, plan: &Plan) -> anyhow::Result<Keys> {
    let bank = FakeBank::new(deployment, &files.bank, Arc::clone(&files.contract))?;
    let mut lines = JoinSet::new();
    for first in 1..=CONNECTIONS {
        let (bank, files, plan) = (bank.clone(), Arc::clone(files), plan.clone());
        lines.spawn(async move {
            let (mut line, mut keys) = (bank.connect().await?, Keys::new());
            for home in (first..=plan.homes).step_by(CONNECTIONS) {
                // Of one home one after the other, so that their order is known, and nothing but it keeps them apart.
                for number in 0..plan.filings_per_home {
                    let (name, bytes, key) = files.message(home, number)?;
                    let heard = line.ask(Some(&name), bytes).await?;
                    let waits = !heard.is_nothing()
                        && heard.says(&files.contract, "status", "QUEUED_OUT_OF_HOURS")?;
                    ensure!(waits, "it was not told to wait: {}", heard.text());
                    keys.insert(key, (home, number));
                }
            }
            Ok(keys)
        });
    }
    let mut keys = Keys::new();
    while let Some(line) = lines.join_next().await {
        keys.extend(line??);
    }
    ensure!(keys.len() == plan.filings(), "{} keys", keys.len());
    Ok(keys)
}

/// Memory that the gateway held, in KiB.
struct Memory {
    early: u64,
    most: u64,
    late: u64,
}

/// Waits until everything was sent.
async fn drained(
    process: Option<u32>,
    opened: &Instant,
    deployment: &Deployment,
    plan: &Plan,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Memory> {
    let process = process.context("the gateway does not run")?;
    let paced = Duration::from_secs(60) / plan.per_minute.max(1) / plan.speed.max(1);
    let limit = PATIENCE + paced * u32::try_from(plan.filings())?;
    let all = u64::try_from(plan.filings())?;
    let control = deployment.registry.control();
    let early = timeout(limit, control.when(|counts| counts.cases >= all.div_ceil(10))).await;
    early.context("the queue does not drain")?;
    let early = resident_kib(process)?;
    let mut memory = Memory { early, most: early, late: early };
    let mut tenths = 0;
    while timeout(LOOK_EVERY, control.when(|counts| counts.cases >= all)).await.is_err() {
        ensure!(opened.elapsed() < limit, "the queue does not drain");
        memory.late = resident_kib(process)?;
        memory.most = memory.most.max(memory.late);
        let entered = control.counts().cases;
        if (entered * 10).checked_div(all).is_some_and(|now| now > tenths) {
            tenths = entered * 10 / all.max(1);
            say(&format!("  {entered} of {all} are entered"));
        }
    }
    let grown = memory.most.saturating_sub(memory.early);
    ensure!(grown < GROWTH_KIB_MAX, "memory grew by {grown} KiB");
    Ok(memory)
}

/// Source: proc(5), VmRSS.
fn resident_kib(process: u32) -> anyhow::Result<u64> {
    process::kib(&fs::read_to_string(format!("/proc/{process}/status"))?, "VmRSS:")
}

/// Waits until the gateway says that nothing waits any more. Metrics are asked for, not told.
async fn empty(gateway: &Gateway) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !gateway.metrics().await?.contains("\ndirectlink_queued_filings 0\n") {
        ensure!(begun.elapsed() < PATIENCE, "the queue is not empty");
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Sees that the registry entered each filing once, those of each home in the order in which they came; tells how many calls
/// said one again.
fn in_order(registry: &Control, keys: &Keys, plan: &Plan) -> anyhow::Result<u64> {
    let counts = registry.counts();
    let all = u64::try_from(plan.filings())?;
    ensure!(counts.registered == all, "{} of {all} were registered", counts.registered);
    ensure!(counts.registrations_per_key_max == 1, "one was registered twice");
    let mut next_of: HashMap<usize, usize> = HashMap::new();
    for case in registry.cases() {
        let (home, number) = keys.get(&case.key).context("a key that nobody filed under")?;
        let next = next_of.entry(*home).or_default();
        ensure!(number == next, "home {home} was overtaken: {number} was entered, {next} was next");
        *next += 1;
    }
    Ok(counts.submits.saturating_sub(all))
}

/// When each was taken out of the queue to be sent, by the gateway's clock, in milliseconds since 1970, in that order.
fn sent_at(deployment: &Deployment) -> anyhow::Result<Vec<i64>> {
    let file = deployment.folder().join("ledger.db");
    let ledger = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut sent = ledger.prepare("SELECT admitted_at FROM filing ORDER BY admitted_at")?;
    let sent = sent.query_map([], |row| row.get(0))?.collect::<Result<_, _>>();
    Ok(sent?)
}

/// How many there are in the minute that has most.
fn fullest_minute(sent: &[i64]) -> usize {
    let from = |(at, first): (usize, &i64)| {
        let within = sent.iter().skip(at).take_while(|it| it.saturating_sub(*first) < 60_000);
        within.count()
    };
    sent.iter().enumerate().map(from).max().unwrap_or_default()
}

fn moment(milliseconds: i64) -> anyhow::Result<OffsetDateTime> {
    Ok(OffsetDateTime::from_unix_timestamp(milliseconds / 1_000)?.to_offset(offset!(+8)))
}

fn is_open(milliseconds: i64) -> anyhow::Result<bool> {
    let at = moment(milliseconds)?;
    Ok(at.weekday() == Weekday::Monday && (9..17).contains(&at.hour()))
}

fn told(milliseconds: i64) -> anyhow::Result<String> {
    let (hour, minute, second) = moment(milliseconds)?.to_hms();
    Ok(format!("{hour:02}:{minute:02}:{second:02}"))
}

/// What was aimed at was reached, or there is nothing to print but an error.
impl fmt::Display for Monday {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { filings, homes, per_minute, fullest_minute, first_sent, last_sent, .. } = self;
        let Self { took_s, speed, by_the_machine_ms, said_again, .. } = self;
        let mib = |kib: u64| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024);
        writeln!(out, "{filings} filings for {homes} homes waited over the weekend")?;
        writeln!(
            out,
            "rate: sent from {first_sent} to {last_sent} by the gateway's clock ({took_s} s), \
             {fullest_minute} in the fullest minute (aim: {per_minute} at most, and one that was late, reached)"
        )?;
        writeln!(
            out,
            "order: no home was overtaken, each registered once (aim, reached); {said_again} were said again; the registry was slow over one in ten"
        )?;
        writeln!(
            out,
            "memory: {} MiB when a tenth was sent, {} at the most since (aim: less than {} more, reached), {} at the end",
            mib(self.early_kib),
            mib(self.most_kib),
            mib(GROWTH_KIB_MAX),
            mib(self.late_kib)
        )?;
        write!(out, "that clock ran {speed} times as fast: {by_the_machine_ms} ms by the machine's")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_minute_is_looked_for_everywhere() {
        assert_eq!(fullest_minute(&[]), 0);
        assert_eq!(fullest_minute(&[0, 59_999, 60_000, 60_001, 119_998]), 4);
    }

    #[test]
    fn an_office_is_open_from_nine_on_a_monday() {
        // 2026-03-09 is a Monday.
        let nine = 1_773_018_000_000;
        assert_eq!(told(nine).unwrap(), "09:00:00");
        assert!(is_open(nine).unwrap() && !is_open(nine - 1_000).unwrap());
        assert!(!is_open(nine - 24 * 3_600_000).unwrap());
    }
}
