//! Plays a scenario: one bank, one ledger store, a fresh gateway process and registry each time.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use adapters::{Contract, Mode, Reply, wire::whole::HttpMessage};
use anyhow::{Context, bail, ensure};
use futures_util::future::try_join_all;
use proto::v1::Envelope;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Caller, Change, Counted, Hears, Kind, Message, Scenario, Step, StoreKind, WireKind, clock,
    proof,
    telling::{Said, Subscribers},
};
use crate::{
    deployment::{BankPlaces, Deployment, Gateway, Places, Plan},
    fake_bank::{FakeBank, Heard, Line},
    personal::Personal,
    postgres_server::PostgresServer,
    reference_registry::{self, Counts, Received, Repeats, SAMPLES, SOMEBODY},
    samples::{self, Samples},
};

/// How long any one thing that a step waits for may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// In `sent_with`, the number of the case the bank last heard of; before it heard of one the sample says its own.
const HEARD_CASE: &str = "{case}";
/// In a step, the certificate the bank last heard of; `{certificate:1}` is the first one.
const HEARD_CERTIFICATE: &str = "certificate";
/// In a step, the place after the events the bank last heard of; `{next:1}` is the one after the first time it heard of some.
const HEARD_NEXT: &str = "next";
/// In a step, what another's sample says: `{other:SAMPLE:PATH}`.
const OTHERS: &str = "other:";
/// What a sample of its own says: `{said:SAMPLE:PATH}`.
const OWN: &str = "said:";
/// In `sent_with`, the last certificate it heard of.
const LAST_CERTIFICATE: &str = "{certificate}";
/// In `sent_with`, the verification code the bank last heard of.
const HEARD_CODE: &str = "{code}";

/// What scenarios are played with.
#[derive(Debug)]
pub struct Theatre {
    /// Folder of the contracts.
    pub contracts: std::path::PathBuf,
    /// Offices and the banks' own values.
    pub places: Places,
    /// The Postgres server that ledgers are made on.
    pub postgres: Option<PostgresServer>,
}

/// A bank's part: its contract and its sample messages.
#[derive(Debug)]
pub struct Role {
    /// Name of its contract's folder.
    pub bank: String,
    /// The contract.
    pub contract: Arc<Contract>,
    /// Its samples.
    pub samples: Samples,
    /// What is its own: values that steps name, samples it sends otherwise.
    pub own: BankPlaces,
}

impl Role {
    /// Whether the bank has every message the scenario is about.
    pub fn can_play(&self, scenario: &Scenario) -> bool {
        let wire = match self.contract.wire().prefix {
            Some(_) => WireKind::Tcp,
            None => WireKind::Https,
        };
        if !scenario.banks.is_empty() && !scenario.banks.contains(&self.bank) {
            return false;
        }
        if scenario.wire.is_some_and(|wanted| wanted != wire) {
            return false;
        }
        self.can_play_steps(scenario.steps.iter().filter(|step| !matches!(step, Step::Another(_))))
    }

    /// Whether the bank has every message that another bank sends in the scenario.
    pub fn can_play_another(&self, scenario: &Scenario) -> bool {
        self.can_play_steps(scenario.steps.iter().filter_map(|step| match step {
            Step::Another(step) => Some(&**step),
            _ => None,
        }))
    }

    fn can_play_steps<'s>(&self, mut steps: impl Iterator<Item = &'s Step>) -> bool {
        steps.all(|step| match step {
            Step::Send(message)
            | Step::SendToAll(message)
            | Step::Start(message)
            | Step::Repeat(message, _) => match message {
                Message::Sample { name, changes } => {
                    self.samples.has(name)
                        && changes.iter().all(|change| match change {
                            Change::Set(_, value) | Change::End(_, value) => match name_in(value) {
                                Some(name) => self.knows(name),
                                None => true,
                            },
                            Change::Without(_) => true,
                            // Bytes that are changed after they were signed are refused for that.
                            Change::Emptying(_) => !self.contract.needs_keys(),
                        })
                }
                Message::Bytes { file } => self.samples.bytes(file).is_ok(),
                Message::Blank { .. } => true,
            },
            _ => true,
        })
    }

    /// Whether it has a value of that name, or will have.
    fn knows(&self, name: &str) -> bool {
        name.starts_with(HEARD_CERTIFICATE)
            || name.starts_with(HEARD_NEXT)
            || name.starts_with(OTHERS)
            || name.starts_with(OWN)
            || self.own.values.contains_key(name)
    }

    /// A value with what is named put in for `{name}`.
    fn worded(&self, value: &str, told: &Told, other: Option<&Role>) -> anyhow::Result<String> {
        let Some(name) = name_in(value) else { return Ok(value.to_owned()) };
        if let Some(which) = name.strip_prefix(HEARD_CERTIFICATE) {
            return numbered(&told.certificates, which).context("it was told no such certificate");
        }
        if let Some(which) = name.strip_prefix(HEARD_NEXT) {
            return numbered(&told.nexts, which).context("it was told of no events");
        }
        if let Some(what) = name.strip_prefix(OTHERS) {
            let (sample, path) = what.split_once(':').context("`{other:SAMPLE:PATH}`")?;
            return other.context("there is no other")?.says(sample, path);
        }
        if let Some(what) = name.strip_prefix(OWN) {
            let (sample, path) = what.split_once(':').context("`{said:SAMPLE:PATH}`")?;
            return self.says(sample, path);
        }
        let own = self.own.values.get(name).cloned();
        own.with_context(|| format!("{} has no {name}", self.bank))
    }

    /// What a sample says, as it is sent.
    fn says(&self, sample: &str, path: &str) -> anyhow::Result<String> {
        let sent_with = self.own.sent_with.get(sample).and_then(|fields| fields.get(path));
        match sent_with {
            Some(value) => Ok(value.clone()),
            None => self.samples.text(&self.contract, sample, path),
        }
    }

    /// The name of a message in the contract; `None` if its bytes do not say.
    fn message_of(&self, message: &Message) -> Option<String> {
        let bytes = self.samples.request(message.sample()?).ok()?;
        self.contract.decode(&bytes, Mode::Test).ok().map(|decoded| decoded.message)
    }

    /// The bytes of a message, as the bank sends them that has been told so much.
    fn bytes_of(
        &self,
        message: &Message,
        told: &Told,
        other: Option<&Role>,
    ) -> anyhow::Result<Vec<u8>> {
        match message {
            Message::Bytes { file } => self.samples.bytes(file),
            Message::Blank { length } => {
                let blanks = vec![b' '; *length];
                let wire = self.contract.wire();
                match wire.prefix {
                    Some(prefix) => prefix.put_on(&blanks).ok().context("too long for its prefix"),
                    None if wire.whole().is_some() => {
                        let first = self.samples.request(&self.samples.first_name()?)?;
                        let message = HttpMessage::parse(&first).context("not a request")?;
                        Ok(HttpMessage { body: blanks.into(), ..message }.bytes())
                    }
                    None => Ok(blanks),
                }
            }
            Message::Sample { name, changes } => {
                if let [Change::Emptying(path)] = changes.as_slice() {
                    return self.samples.emptied(&self.contract, name, path);
                }
                let own = self.own.sent_with.get(name).into_iter().flatten();
                let own = own.filter_map(|(path, value)| {
                    let value = match value.as_str() {
                        HEARD_CASE => told.case.as_deref()?,
                        LAST_CERTIFICATE => told.certificates.last()?.as_str(),
                        HEARD_CODE => told.code.as_deref()?,
                        value => value,
                    };
                    Some(Change::Set(path.clone(), value.to_owned()))
                });
                let changes = own
                    .chain(changes.iter().cloned())
                    .map(|change| {
                        Ok(match change {
                            Change::Set(path, value) => {
                                Change::Set(path, self.worded(&value, told, other)?)
                            }
                            Change::End(..) | Change::Without(_) | Change::Emptying(_) => change,
                        })
                    })
                    .collect::<anyhow::Result<Vec<_>>>()?;
                if changes.is_empty() {
                    return self.samples.request(name);
                }
                let (message, envelope) = self.samples.changed(&self.contract, name, &changes)?;
                self.contract
                    .encode(Some(&message), Reply::Request, &envelope)
                    .map_err(|cannot| anyhow::anyhow!("{}: {}", cannot.field, cannot.reason))
            }
        }
    }
}

/// What stands between the braces of `{name}`.
fn name_in(value: &str) -> Option<&str> {
    value.strip_prefix('{')?.strip_suffix('}')
}

/// Plays one scenario for one bank over one store, with `another` bank where there is one in it.
///
/// # Errors
/// The first step that did not go as it says, with what was heard and the gateway's log.
pub async fn play(
    theatre: &Theatre,
    scenario: &Scenario,
    role: &Role,
    another: Option<&Role>,
    store: StoreKind,
) -> anyhow::Result<()> {
    // A server that is to go down is the scenario's own: others play on the shared one meanwhile.
    let goes_down = scenario.steps.contains(&Step::LedgerDown);
    let mut own_server = match store {
        StoreKind::Postgres if goes_down => Some(aside(PostgresServer::start)?),
        StoreKind::Postgres | StoreKind::Sqlite => None,
    };
    let server = own_server.as_ref().or(theatre.postgres.as_ref());
    let kinds = [(Some(role), &scenario.kind), (another, &scenario.another_kind)];
    let kinds =
        kinds.into_iter().filter_map(|(role, kind)| Some((role?.bank.clone(), kind.clone()?)));
    let (mut subscribers, told) =
        Subscribers::plan(&scenario.subscribers, &theatre.contracts, &role.bank)?;
    let mut settings = scenario.settings.clone();
    // Whatever is logged at all is looked through in the end.
    let telemetry = settings.entry("telemetry").or_insert_with(|| toml::Table::new().into());
    telemetry.as_table_mut().context("[telemetry]")?.insert("log".to_owned(), "trace".into());
    if !told.is_empty() {
        settings.insert("subscriber".to_owned(), told.into());
    }
    let plan = Plan {
        people: Vec::new(),
        kinds: kinds.collect(),
        banks: [Some(role), another].into_iter().flatten().map(|role| role.bank.clone()).collect(),
        others: Vec::new(),
        apart: another.filter(|_| scenario.registries > 1).map(|role| role.bank.clone()),
        contracts: theatre.contracts.clone(),
        places: theatre.places.clone(),
        replicas: scenario.replicas,
        ledger: ledger_table(server, store).await?,
        idempotent: scenario.repeats == Repeats::FirstCase,
        settings,
    };
    let data = reference_registry::with_offices(SAMPLES, &scenario.offices)?;
    let mut deployment = Deployment::prepare(&plan, |settings| reference_registry::Settings {
        data,
        review: scenario.review,
        repeats: scenario.repeats,
        ..settings
    })
    .await?;
    for (gateway, clock) in deployment.gateways.iter_mut().zip(&scenario.clocks) {
        gateway.clock = Some(clock::offset_to(clock, time::Duration::ZERO)?);
    }
    subscribers.open(&deployment).await?;
    deployment.start().await?;
    let address = plan.ledger.get("postgres").and_then(toml::Value::as_str);
    let mut stage = Stage::new(deployment, own_server.as_mut());
    stage.database = address.map(str::to_owned);
    stage.subscribers = subscribers;
    stage.enter(role)?;
    if let Some(another) = another {
        stage.enter_another(another)?;
    }
    for (number, step) in (1..).zip(&scenario.steps) {
        let played = timeout(PATIENCE * 2, stage.play(step)).await.context("it took too long");
        if let Err(error) = played.flatten() {
            bail!(
                "step {number} {step:?}: {error:#}\nlast heard: {}\ngateway's log:\n{}",
                stage.heard().map(Heard::text).unwrap_or_default(),
                stage.deployment().log_text()
            );
        }
    }
    stage.tells_nothing_of_people().await?;
    let deployment = stage.deployment();
    for registry in std::iter::once(&deployment.registry).chain(&deployment.another) {
        let most = registry.control().counts().registrations_per_key_max;
        ensure!(most <= 1, "{most} registrations under one key");
    }
    // Some six hundred ledgers are played on one server.
    if let (Some(server), Some(address), false) = (&theatre.postgres, address, goes_down) {
        server.delete_database(address).await?;
    }
    Ok(())
}

/// Does what blocks for seconds. Registries and banks of other scenarios live on the same threads: held up, they would
/// miss deadlines that are no fault of the gateway's.
fn aside<T>(blocks: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(blocks)
}

/// The SQLite ledger, in the deployment's folder.
const LEDGER_FILE: &str = "ledger.db";

/// Keeps everybody from writing to a SQLite file, as a backup that hangs would, until it is dropped.
fn hold(file: &std::path::Path) -> anyhow::Result<rusqlite::Connection> {
    let holder = rusqlite::Connection::open(file)?;
    holder.busy_timeout(PATIENCE)?;
    aside(|| holder.execute_batch("BEGIN IMMEDIATE"))?;
    Ok(holder)
}

async fn ledger_table(
    server: Option<&PostgresServer>,
    store: StoreKind,
) -> anyhow::Result<toml::Table> {
    let (key, value) = match (store, server) {
        (StoreKind::Sqlite, _) => ("sqlite", LEDGER_FILE.to_owned()),
        (StoreKind::Postgres, Some(server)) => ("postgres", server.make_database().await?),
        (StoreKind::Postgres, None) => bail!("there is no Postgres server"),
    };
    Ok(toml::Table::from_iter([
        (key.to_owned(), toml::Value::from(value)),
        ("lease_seconds".to_owned(), 4.into()),
    ]))
}

/// Processes that run, and the bank whose turn it is.
pub struct Stage<'s> {
    postgres: Option<&'s mut PostgresServer>,
    /// The ledger's database, if it is on a server.
    database: Option<String>,
    /// Who keeps a SQLite ledger from being written, while that is to be so.
    ledger_holder: Option<rusqlite::Connection>,
    deployment: Deployment,
    /// Which gateway the bank calls, by position.
    called: usize,
    turn: Option<Turn<'s>>,
    another: Option<Turn<'s>>,
    subscribers: Subscribers,
}

/// A bank, and what it has said and heard.
struct Turn<'s> {
    role: &'s Role,
    /// The other one on the stage.
    other: Option<&'s Role>,
    bank: FakeBank,
    line: Option<Line>,
    heard: Option<Heard>,
    told: Told,
    /// What was sent on other connections, oldest first.
    started: VecDeque<JoinHandle<anyhow::Result<Heard>>>,
    /// What both sides said of people.
    personal: Personal,
}

/// What a bank last heard of.
#[derive(Debug, Default)]
struct Told {
    case: Option<String>,
    /// Certificates, in the order it heard of them.
    certificates: Vec<String>,
    code: Option<String>,
    /// Places after the events it heard of, in that order.
    nexts: Vec<String>,
}

/// The last of them, or with `:N` the Nth, from 1.
fn numbered(of: &[String], which: &str) -> anyhow::Result<String> {
    let found = match which.strip_prefix(':') {
        Some(number) => of.get(number.parse::<usize>()?.saturating_sub(1)),
        None => of.last(),
    };
    found.cloned().with_context(|| format!("there are {}", of.len()))
}

impl<'s> Stage<'s> {
    /// A stage on which no bank has entered yet.
    pub fn new(deployment: Deployment, postgres: Option<&'s mut PostgresServer>) -> Self {
        Self {
            postgres,
            database: None,
            ledger_holder: None,
            deployment,
            called: 0,
            turn: None,
            another: None,
            subscribers: Subscribers::default(),
        }
    }

    /// With subscribers, who have opened.
    pub(crate) fn with_subscribers(self, subscribers: Subscribers) -> Self {
        Self { subscribers, ..self }
    }

    /// It is this bank's turn from now on.
    ///
    /// # Errors
    /// The deployment has no certificate for it.
    pub fn enter(&mut self, role: &'s Role) -> anyhow::Result<()> {
        self.turn = Some(Turn::new(&self.deployment, role)?);
        Ok(())
    }

    /// This bank is there too, and does what another bank does.
    ///
    /// # Errors
    /// The deployment has no certificate for it.
    pub fn enter_another(&mut self, role: &'s Role) -> anyhow::Result<()> {
        let mut another = Turn::new(&self.deployment, role)?;
        if let Some(turn) = &mut self.turn {
            another.other = Some(turn.role);
            turn.other = Some(role);
        }
        self.another = Some(another);
        Ok(())
    }

    /// Makes another bank and another registry the ones that steps speak of; called again, the first ones.
    fn turn_to_another(&mut self) {
        std::mem::swap(&mut self.turn, &mut self.another);
        if let Some(another) = &mut self.deployment.another {
            std::mem::swap(&mut self.deployment.registry, another);
        }
    }

    /// What runs.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// What runs, when the play is over.
    pub fn into_deployment(self) -> Deployment {
        self.deployment
    }

    /// What the bank whose turn it is heard last.
    pub fn heard(&self) -> Option<&Heard> {
        self.turn.as_ref()?.heard.as_ref()
    }

    /// What was said of people so far, by banks and to them.
    pub fn personal(&self) -> impl Iterator<Item = &Personal> {
        self.turn.iter().chain(&self.another).map(|turn| &turn.personal)
    }

    /// Whether logs and metrics are silent about people.
    ///
    /// # Errors
    /// What they say, and where.
    async fn tells_nothing_of_people(&mut self) -> anyhow::Result<()> {
        let mut told = vec![self.deployment.log_text()];
        for gateway in self.deployment.gateways.iter().filter(|it| it.process_id().is_some()) {
            told.push(gateway.metrics().await.unwrap_or_default());
        }
        let turns = || self.turn.iter().chain(&self.another);
        for mut personal in self.personal().cloned() {
            turns().for_each(|turn| personal.leave_out(&turn.role.bank));
            for text in &told {
                if let Some((secret, line)) = personal.told_in(text) {
                    bail!("`{secret}` is told to operators: {line}");
                }
            }
        }
        Ok(())
    }

    /// Plays one step.
    ///
    /// # Errors
    /// It did not go as it says.
    pub async fn play(&mut self, step: &Step) -> anyhow::Result<()> {
        if let Step::Another(step) = step {
            self.turn_to_another();
            let played = Box::pin(self.play(step)).await;
            self.turn_to_another();
            return played;
        }
        let Self {
            postgres, ledger_holder, deployment, called, turn, another: _, subscribers, ..
        } = self;
        let turn = turn.as_mut().context("no bank has entered")?;
        let control = deployment.registry.control().clone();
        match step {
            Step::Another(_) => bail!("another of another"),
            Step::Send(message) => turn.heard = Some(turn.send(message).await?),
            Step::SendToAll(message) => turn.send_to_all(message, &deployment.gateways).await?,
            Step::TurnToNext => {
                *called = (*called + 1) % deployment.gateways.len();
                turn.line = None;
                turn.bank = turn.bank.at(gateway(deployment, *called)?);
            }
            Step::Start(message) => turn.start(message)?,
            Step::Repeat(message, hears) => turn.repeat(message, hears).await?,
            Step::Hear(hears) => {
                turn.check(turn.heard.as_ref().context("nothing was sent")?, hears)?
            }
            Step::StartedHears(hears) => turn.started_hears(hears).await?,
            Step::TurnedAway(caller) => turn.is_turned_away(deployment, *caller).await?,
            Step::Order(call, fault) => control.order(*call, [*fault]),
            Step::Release => control.release(),
            Step::Await(counted) => {
                timeout(PATIENCE, control.when(|counts| count(counts, *counted) > 0))
                    .await
                    .context("it never happened")?;
            }
            Step::RegisterAll => {
                let moved = control.advance_all(reference_registry::Step::Register);
                ensure!(moved > 0, "no case waited to be registered");
            }
            Step::AskForCorrections => {
                let moved = control.advance_all(reference_registry::Step::AskForCorrection);
                ensure!(moved > 0, "no case waited to be reviewed");
            }
            Step::Advance(way) => {
                let moved = control.advance_all(*way);
                ensure!(moved > 0, "no case stood where that begins");
            }
            Step::GoOn(day) => control.go_on_to(*day)?,
            Step::TellWrongly(status) => control.tell_wrongly(*status),
            Step::TellAgain => control.tell_again(),
            Step::TellOfAStranger => control.tell_of_a_stranger(),
            Step::ClocksTurn(moment) => {
                let mut by = time::Duration::ZERO;
                for gateway in &mut deployment.gateways {
                    let before = gateway.clock.context("its clock is not turned from the start")?;
                    let after = clock::offset_to(moment, before)?;
                    gateway.turn_clock(after)?;
                    by = after - before;
                }
                if let Some(database) = &self.database {
                    clock::put_forward(database, by).await?;
                }
            }
            Step::OfficesMove => deployment.move_offices().await?,
            Step::MixUp(mixes_up) => control.mix_up_parties(*mixes_up),
            Step::RegistryDown => control.down().await,
            Step::RegistryUp => control.up().await?,
            Step::RegistryHas(expected) => {
                let counts = control.counts();
                for (counted, number) in expected {
                    let found = count(&counts, *counted);
                    ensure!(found == *number, "{found} {counted:?}, expected {number}: {counts:?}");
                }
            }
            Step::RegistrySaw => registry_saw(&turn.bank, &control.received())?,
            Step::RegistrySawSaid(said) => {
                let application = control.last_application().context("no application came")?;
                for (path, expected) in said {
                    let found = samples::text_of(&application, path)?;
                    let expected = turn.role.worded(expected, &turn.told, turn.other)?;
                    ensure!(found == expected, "{path} is `{found}`, not `{expected}`");
                }
            }
            Step::Kill => {
                turn.line = None;
                gateway(deployment, *called)?.kill().await?;
            }
            Step::Stop => gateway(deployment, *called)?.tell_to_stop().await?,
            Step::Stopped => {
                turn.line = None;
                let status = gateway(deployment, *called)?.stopped().await?;
                ensure!(status.success(), "it ended with {status}");
            }
            Step::Run => gateway(deployment, *called)?.start().await?,
            Step::LoggedOnce(words) => logged_once(gateway(deployment, *called)?, words).await?,
            Step::Counts(line) => counts(gateway(deployment, *called)?, line).await?,
            Step::Proves(number) => {
                let heard = turn.heard.as_ref().context("nothing was sent")?;
                proof::proves(deployment, turn.role, heard, *number).await?;
            }
            Step::Audits => proof::audits(deployment).await?,
            Step::Telling(name, telling) => {
                let said = || {
                    let application = control.last_application().context("nothing was filed")?;
                    let institution = turn.role.bank.clone();
                    Ok(Said { application, case: turn.told.case.clone(), institution })
                };
                subscribers.play(name, telling, deployment, said).await?;
            }
            Step::LedgerDown => match postgres {
                Some(server) => aside(|| server.stop())?,
                None => *ledger_holder = Some(hold(&deployment.folder().join(LEDGER_FILE))?),
            },
            Step::LedgerUp => match postgres {
                Some(server) => aside(|| server.start_again())?,
                None => *ledger_holder = None,
            },
            Step::Ready(expected) => {
                let gateway = gateway(deployment, *called)?;
                let deadline = Instant::now() + PATIENCE;
                while gateway.is_ready().await? != *expected {
                    ensure!(Instant::now() < deadline, "/ready did not become {expected}");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
        Ok(())
    }
}

fn gateway(deployment: &mut Deployment, called: usize) -> anyhow::Result<&mut Gateway> {
    deployment.gateways.get_mut(called).context("there is no such gateway")
}

/// A log is written by another process: there is no event to wait for.
async fn logged_once(gateway: &Gateway, words: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let times = gateway.log_text().lines().filter(|line| line.contains(words)).count();
        match times {
            1 => return Ok(()),
            0 if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            times => bail!("logged {times} times"),
        }
    }
}

/// Metrics are asked for, not told.
async fn counts(gateway: &Gateway, line: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = gateway.metrics().await?;
        if metrics.lines().any(|told| told == line) {
            return Ok(());
        }
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let told: Vec<_> = metrics.lines().filter(|told| told.starts_with(name)).collect();
        ensure!(Instant::now() < deadline, "{line} is not counted, but {told:#?}");
        sleep(LOOK_EVERY).await;
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(100);

impl<'s> Turn<'s> {
    fn new(deployment: &Deployment, role: &'s Role) -> anyhow::Result<Self> {
        let bank = FakeBank::new(deployment, &role.bank, Arc::clone(&role.contract))?;
        let mut personal = Personal::default();
        personal.note_text(SOMEBODY);
        let (told, started) = (Told::default(), VecDeque::new());
        Ok(Self { role, other: None, bank, line: None, heard: None, told, started, personal })
    }

    async fn send_to_all(&mut self, message: &Message, gateways: &[Gateway]) -> anyhow::Result<()> {
        let bytes = self.bytes_of(message)?;
        let name = self.role.message_of(message);
        // Connected before anything is sent, so that nothing but the wire lies between the copies.
        let mut lines = Vec::new();
        // With one gateway, on two connections.
        let copies = gateways.len().max(2);
        for gateway in gateways.iter().cycle().take(copies) {
            lines.push(self.bank.at(gateway).connect().await?);
        }
        let asking = lines.iter_mut().map(|line| line.ask(name.as_deref(), bytes.clone()));
        let mut firsts = 0;
        for heard in try_join_all(asking).await? {
            let says = |what, value| heard.says(&self.role.contract, what, value);
            match &heard {
                Heard::Answer { reply: Reply::Refusal, .. } => {
                    ensure!(says("code", "STILL_WORKING")?, "heard {}", heard.text());
                }
                // A contract that does not tell one from the other says both.
                Heard::Answer { .. } if says("replayed", "false")? => firsts += 1,
                Heard::Answer { .. } => {}
                Heard::Nothing(why) => bail!("heard nothing: {why}"),
            }
        }
        ensure!(firsts > 0, "no gateway answered as the first");
        Ok(())
    }

    fn start(&mut self, message: &Message) -> anyhow::Result<()> {
        let (bank, bytes) = (self.bank.clone(), self.bytes_of(message)?);
        let name = self.role.message_of(message);
        self.started.push_back(tokio::spawn(async move {
            let mut line = bank.connect().await?;
            line.ask(name.as_deref(), bytes).await
        }));
        Ok(())
    }

    async fn started_hears(&mut self, hears: &Hears) -> anyhow::Result<()> {
        let heard = self.started.pop_front().context("nothing was started")?.await??;
        self.note(&heard);
        let checked = self.check(&heard, hears);
        self.heard = Some(heard);
        checked
    }

    async fn is_turned_away(&self, deployment: &Deployment, caller: Caller) -> anyhow::Result<()> {
        let bytes = self.role.samples.request(&self.role.samples.first_name()?)?;
        let odd = &deployment.pki.odd;
        let credentials = match caller {
            Caller::Nobody => None,
            Caller::Unknown => Some(&odd.unknown),
            Caller::Expired => Some(&odd.expired),
            Caller::WrongUse => Some(&odd.wrong_use),
            Caller::Foreign => Some(&odd.foreign),
        };
        self.bank.is_turned_away(credentials, bytes).await
    }

    /// The bytes of a message that is about to be sent.
    fn bytes_of(&mut self, message: &Message) -> anyhow::Result<Vec<u8>> {
        let bytes = self.role.bytes_of(message, &self.told, self.other)?;
        self.personal.note_message(&self.role.contract, &bytes);
        Ok(bytes)
    }

    fn note(&mut self, heard: &Heard) {
        if let Heard::Answer { envelope, .. } = heard {
            self.personal.note(envelope);
        }
    }

    async fn send(&mut self, message: &Message) -> anyhow::Result<Heard> {
        let bytes = self.bytes_of(message)?;
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.bank.connect().await?,
        };
        let heard = line.ask(self.role.message_of(message).as_deref(), bytes).await?;
        if !heard.is_nothing() {
            self.line = Some(line);
        }
        self.note(&heard);
        self.told.case = heard.case().map(str::to_owned).or(self.told.case.take());
        let heard_of = heard
            .certificate()
            .filter(|it| self.told.certificates.last().is_none_or(|last| last != it));
        self.told.certificates.extend(heard_of.map(str::to_owned));
        self.told.nexts.extend(heard.next_events().map(str::to_owned));
        self.told.code = heard.verification_code().map(str::to_owned).or(self.told.code.take());
        Ok(heard)
    }

    async fn repeat(&mut self, message: &Message, hears: &Hears) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = self.send(message).await?;
            let checked = self.check(&heard, hears);
            self.heard = Some(heard);
            match checked {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                // A bank comes again after a while; there is no event to wait for on its side of the wire.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Whether the answer says what it must: each thing said is put into what was heard, and the bank would have got the
    /// same bytes.
    fn check(&self, heard: &Heard, hears: &Hears) -> anyhow::Result<()> {
        let kind = match heard {
            Heard::Nothing(_) => Kind::Nothing,
            Heard::Answer { reply: Reply::Refusal, .. } => Kind::Refusal,
            Heard::Answer { envelope, .. } => kind_of(envelope),
        };
        ensure!(kind == hears.kind, "heard {kind:?}: {}", heard.text());
        for (what, value) in &hears.says {
            ensure!(
                heard.says(&self.role.contract, what, value)?,
                "not {what}={value}: {}",
                heard.text()
            );
        }
        Ok(())
    }
}

/// Which answer it is that refuses nothing.
fn kind_of(envelope: &Envelope) -> Kind {
    let Envelope { title_answer, record_answer, certificate_answer, document, .. } = envelope;
    match envelope.discharge_answer {
        Some(_) => Kind::Obstacles,
        None if envelope.office_answer.is_some() => Kind::Office,
        None if envelope.feed.is_some() => Kind::Events,
        None if envelope.acknowledged.is_some() => Kind::Acknowledged,
        None if title_answer.is_some() => Kind::Titles,
        None if record_answer.is_some() => Kind::Record,
        None if certificate_answer.is_some() => Kind::Certificate,
        None if document.is_some() => Kind::Document,
        None => Kind::Outcome,
    }
}

/// Whether the last call under a key was in the bank's trace and showed its certificate.
fn registry_saw(bank: &FakeBank, received: &[Received]) -> anyhow::Result<()> {
    let last = received.iter().rev().find(|call| !call.key.is_empty()).context("no call")?;
    if let Some(trace_id) = bank.trace_id() {
        ensure!(
            last.traceparent.contains(trace_id),
            "the registry's call is in trace `{}`, the bank's is {trace_id}",
            last.traceparent,
        );
    }
    ensure!(
        last.bank_certificate_sha256 == bank.certificate_sha256(),
        "the registry was shown another certificate than the bank's"
    );
    Ok(())
}

fn count(counts: &Counts, counted: Counted) -> u64 {
    match counted {
        Counted::Submits => counts.submits,
        Counted::Questions => counts.questions,
        Counted::Cases => counts.cases,
        Counted::Registrations => counts.registered,
        Counted::Discharges => counts.discharged,
        Counted::Entries => counts.entries,
        Counted::Refusals => counts.refused,
    }
}
