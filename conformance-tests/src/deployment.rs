//! Gateways and a registry on this machine: PKI, settings and processes, from start to SIGKILL.
//!
//! A gateway is the real program in a process of its own, so that it can die as programs die; several are replicas over
//! one ledger. Everything lives in a temporary folder and ends with the value; nothing but loopback is bound.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::LazyLock,
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};
use gateway::evidence::checkpoint::SigningKey;
use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{
    pki::{self, Names, Pki},
    reference_registry::{ReferenceRegistry, Settings as RegistrySettings},
    reserved_port::ReservedPort,
    scenario::clock,
};

/// The name the registry's certificate carries.
const REGISTRY_NAME: &str = "registry.example";
/// The registry's name in settings.
const FIRST: &str = "province";
/// The other one's, where a bank's offices are apart.
const ANOTHER: &str = "city";
/// How long a process may take to become ready, or to end once told to.
const PATIENCE: Duration = Duration::from_secs(120);

/// The offices and the banks' own values, `data/stage.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// Offices as the gateway's settings have them, less the registry's name.
    pub office: Vec<toml::Table>,
    /// By bank, what is its own.
    pub bank: BTreeMap<String, BankPlaces>,
}

/// What one bank says other than the others.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct BankPlaces {
    /// What it is, as settings say it; left out, a bank.
    pub kind: Option<String>,
    /// By sample, fields and the values it is sent with instead of its own.
    #[serde(default)]
    pub sent_with: BTreeMap<String, BTreeMap<String, String>>,
    /// The values that steps name.
    #[serde(flatten)]
    pub values: BTreeMap<String, String>,
}

impl BankPlaces {
    /// The division its homes lie in, as far as its values name one.
    pub fn division(&self) -> Option<&str> {
        self.values.get("seized_unit")?.get(..6)
    }
}

impl Places {
    /// What comes with the kit.
    ///
    /// # Errors
    /// A slip in the file.
    pub fn kit() -> anyhow::Result<Self> {
        toml::from_str(include_str!("../data/stage.toml")).context("data/stage.toml")
    }
}

/// What to deploy.
#[derive(Debug)]
pub struct Plan {
    /// Banks that get a certificate and an institution each, by contract folder.
    pub banks: Vec<String>,
    /// Further institutions, each with a certificate of its own; they speak the first bank's contract.
    pub others: Vec<String>,
    /// What those of them are that are something else than the places say.
    pub kinds: BTreeMap<String, String>,
    /// People who get a certificate by the banks' authority, and are no institution.
    pub people: Vec<String>,
    /// The one of the banks whose offices are at a registry of their own.
    pub apart: Option<String>,
    /// Folder of the contracts.
    pub contracts: PathBuf,
    /// Offices.
    pub places: Places,
    /// How many gateways; more than one share a ledger on a server.
    pub replicas: usize,
    /// The `[ledger]` table.
    pub ledger: toml::Table,
    /// Whether the registry's answer to a repeated key is declared to be the first case.
    pub idempotent: bool,
    /// Settings that differ from the ones made here, by table; for `[[registry]]` and `[[institution]]`, every one.
    pub settings: toml::Table,
}

impl Plan {
    /// One gateway for one bank over SQLite, and an idempotent registry. `settings`: TOML that differs from the settings
    /// made here.
    ///
    /// # Errors
    /// Settings that are no TOML, or a slip in the kit's places.
    pub fn of_one(bank: &str, contracts: &Path, settings: &str) -> anyhow::Result<Self> {
        Ok(Self {
            banks: vec![bank.to_owned()],
            others: Vec::new(),
            people: Vec::new(),
            kinds: BTreeMap::new(),
            apart: None,
            contracts: contracts.to_owned(),
            places: Places::kit()?,
            replicas: 1,
            ledger: table([("sqlite", "ledger.db".into())]),
            idempotent: true,
            settings: toml::from_str(settings)?,
        })
    }
}

impl Plan {
    /// What a bank is, as settings say it.
    fn kind_of(&self, bank: &str) -> &str {
        let at_home = || self.places.bank.get(bank)?.kind.as_ref();
        self.kinds.get(bank).or_else(at_home).map_or("BANK", String::as_str)
    }

    /// Whether an office is in charge of the homes of the bank that is apart, as far as its own values name them.
    fn is_apart(&self, office: &toml::Table) -> bool {
        let prefixes = office.get("prefixes").and_then(toml::Value::as_array);
        let prefixes: Vec<_> =
            prefixes.into_iter().flatten().filter_map(toml::Value::as_str).collect();
        let own = self.apart.as_ref().and_then(|bank| self.places.bank.get(bank));
        own.and_then(BankPlaces::division).is_some_and(|division| prefixes.contains(&division))
    }
}

/// Gateways and a registry.
#[derive(Debug)]
pub struct Deployment {
    /// Certificates.
    pub pki: Pki,
    /// The registry, in this process, over real sockets.
    pub registry: ReferenceRegistry,
    /// Another one, where a bank's offices are apart.
    pub another: Option<ReferenceRegistry>,
    /// The gateways, as many as planned.
    pub gateways: Vec<Gateway>,
    folder: tempfile::TempDir,
}

/// One gateway, running or not.
#[derive(Debug)]
pub struct Gateway {
    /// Where banks call over HTTPS.
    pub https: SocketAddr,
    /// Where banks call over length-prefixed TCP.
    pub tcp: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// So that it finds them free when it starts again.
    _reserved: [ReservedPort; 3],
    /// By how much its clock is off, the next time it starts; `None`: by nothing, and it cannot be turned.
    pub clock: Option<time::Duration>,
    /// How many times as fast its clock runs, with all its waiting, the next time it starts; 1 is as clocks do. One that runs
    /// faster cannot be turned.
    pub clock_speed: u32,
    /// The program to run instead of `directlink`, the next time it starts.
    pub program: Option<PathBuf>,
    /// What is in its environment besides, the next time it starts.
    pub environment: BTreeMap<String, String>,
    settings: PathBuf,
    clock_file: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Deployment {
    /// Makes everything and starts the registry, not yet the gateways.
    ///
    /// # Errors
    /// A file that can't be written, a registry that does not start.
    pub async fn prepare(
        plan: &Plan,
        registry: impl FnOnce(RegistrySettings) -> RegistrySettings,
    ) -> anyhow::Result<Self> {
        // The HTTP client asks for a process-wide one; whoever comes second finds it there.
        let _there = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::Builder::new().prefix("directlink-").tempdir()?;
        let holders = plan.banks.iter().chain(&plan.others).chain(&plan.people).cloned().collect();
        let names = Names { banks: holders, registries: vec![REGISTRY_NAME.to_owned()] };
        let pki = Pki::write(&folder.path().join("pki"), &names)?;
        let settings =
            registry(RegistrySettings::here(pki.registry.clone(), pki.registry_ca.clone()));
        let another = match plan.apart {
            Some(_) => Some(ReferenceRegistry::start(settings.clone()).await?),
            None => None,
        };
        let registry = ReferenceRegistry::start(settings).await?;
        copy_contracts(plan, &folder.path().join(CONTRACTS))?;
        fs::write(
            folder.path().join(QUEUE_KEYS),
            "2026 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n",
        )?;
        let (key, secret) = SigningKey::generate(EVIDENCE_ORIGIN)?;
        fs::write(folder.path().join(EVIDENCE_KEY), secret)?;
        fs::write(folder.path().join(EVIDENCE_PUBLIC_KEY), key.public().to_string())?;
        let gateways = (1..=plan.replicas)
            .map(|number| Gateway::planned(folder.path(), number))
            .collect::<anyhow::Result<_>>()?;
        let deployment = Self { pki, registry, another, gateways, folder };
        for gateway in &deployment.gateways {
            let settings = deployment.settings_of(plan, gateway)?;
            fs::write(&gateway.settings, toml::to_string(&settings)?)?;
        }
        Ok(deployment)
    }

    /// The folder everything is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of a contract that the gateways serve: a copy, to be changed at will.
    pub fn contract(&self, name: &str) -> PathBuf {
        self.folder.path().join(CONTRACTS).join(name)
    }

    /// Starts every gateway and waits until it is ready.
    ///
    /// # Errors
    /// One ends, or is not ready in time; its log is told.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        for gateway in &mut self.gateways {
            gateway.start().await?;
        }
        Ok(())
    }

    /// Writes into every gateway's settings that each office is at the other registry, and tells it to look.
    ///
    /// # Errors
    /// There is no other registry; a gateway does not run.
    pub async fn move_offices(&self) -> anyhow::Result<()> {
        ensure!(self.another.is_some(), "there is no other registry");
        for gateway in &self.gateways {
            let mut settings: toml::Table = fs::read_to_string(&gateway.settings)?.parse()?;
            let offices = settings.get_mut("office").and_then(toml::Value::as_array_mut);
            for office in offices.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
                let is_first = office.get("registry").and_then(toml::Value::as_str) == Some(FIRST);
                let other = if is_first { ANOTHER } else { FIRST };
                office.insert("registry".to_owned(), other.into());
            }
            gateway.change_settings(&toml::to_string(&settings)?)?;
            gateway.tell_to_look().await?;
        }
        Ok(())
    }

    /// What the gateways have logged so far.
    pub fn log_text(&self) -> String {
        self.gateways.iter().map(Gateway::log_text).collect()
    }

    fn settings_of(&self, plan: &Plan, gateway: &Gateway) -> anyhow::Result<toml::Table> {
        let path = |path: &Path| path.display().to_string();
        let listen = table([
            ("https", gateway.https.to_string().into()),
            ("tcp", gateway.tcp.to_string().into()),
            ("certificate", path(&self.pki.gateway.certificate).into()),
            ("key", path(&self.pki.gateway.key).into()),
            ("client_ca", path(&self.pki.banks_ca).into()),
        ]);
        let mut contracts = table([("folder", CONTRACTS.into()), ("reload_seconds", 1.into())]);
        contracts.insert("keys".to_owned(), seal_keys(plan)?.into());
        // The kit's banks are quicker than any bank.
        let limits = table([
            ("institution_messages_per_second_max", 1_000_000.into()),
            ("institution_messages_burst_max", 1_000_000.into()),
        ]);
        let resolver = table([("ask_again_seconds", 1.into()), ("first_seconds", 1.into())]);
        let registry = |(name, registry): (&str, &ReferenceRegistry)| {
            table([
                ("name", name.into()),
                ("address", format!("https://{}", registry.address()).into()),
                ("server_name", REGISTRY_NAME.into()),
                ("ca", path(&self.pki.registry_ca).into()),
                ("certificate", path(&self.pki.gateway_client.certificate).into()),
                ("key", path(&self.pki.gateway_client.key).into()),
                ("deadline_seconds", 3.into()),
                ("idempotent", plan.idempotent.into()),
            ])
        };
        let another = self.another.iter().map(|registry| (ANOTHER, registry));
        let registries = std::iter::once((FIRST, &self.registry)).chain(another).map(registry);
        let first = plan.banks.first().context("no bank")?;
        let others = plan.others.iter().map(|other| (other, first));
        let institutions = plan.banks.iter().map(|bank| (bank, bank)).chain(others);
        let institutions = institutions.map(|(bank, contract)| {
            table([
                ("id", bank.as_str().into()),
                ("name", bank.as_str().into()),
                ("kind", plan.kind_of(bank).into()),
                ("contract", contract.as_str().into()),
                ("mode", "test".into()),
                ("certificate_issuer", format!("CN={}", pki::BANKS_CA).into()),
                ("certificate_san", pki::bank_san(bank).into()),
            ])
        });
        let offices = plan.places.office.iter().cloned().map(|mut office| {
            let registry = if plan.is_apart(&office) { ANOTHER } else { FIRST };
            office.insert("registry".to_owned(), registry.into());
            office
        });
        let mut settings = table([
            ("listen", listen.into()),
            ("admin", table([("address", gateway.admin.to_string().into())]).into()),
            ("ledger", plan.ledger.clone().into()),
            ("contracts", contracts.into()),
            ("resolver", resolver.into()),
            ("limits", limits.into()),
            ("registry", list(registries)),
            ("institution", list(institutions)),
            ("office", list(offices)),
        ]);
        overlay(&mut settings, &plan.settings);
        Ok(settings)
    }
}

impl Gateway {
    fn planned(folder: &Path, number: usize) -> anyhow::Result<Self> {
        let (https, tcp, admin) =
            (ReservedPort::reserve()?, ReservedPort::reserve()?, ReservedPort::reserve()?);
        let file = |ending| folder.join(format!("directlink-{number}.{ending}"));
        Ok(Self {
            https: https.address,
            tcp: tcp.address,
            admin: admin.address,
            _reserved: [https, tcp, admin],
            clock: None,
            clock_speed: 1,
            program: None,
            environment: BTreeMap::new(),
            settings: file("toml"),
            clock_file: file("clock"),
            log: file("log"),
            process: None,
        })
    }

    /// Its settings file.
    pub fn settings(&self) -> &Path {
        &self.settings
    }

    /// Its process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It ends, or is not ready in time; its log is told.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "the gateway runs already");
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let program = self.program.clone().map_or_else(|| program("directlink"), Ok)?;
        let mut command = Command::new(program);
        if let Some(offset) = self.clock {
            self.turn_clock(offset)?;
            command.env("LD_PRELOAD", clock_turner()?);
            command.env("FAKETIME_TIMESTAMP_FILE", &self.clock_file);
            match self.clock_speed {
                // How long something takes is no question of what time it is.
                1 => command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1"),
                // Read once: a thread that asks while another reads would see time jump.
                _ => command.env("FAKETIME_CACHE_DURATION", "1000000"),
            };
        }
        let child = command
            .args(["serve", "--settings"])
            .arg(&self.settings)
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start directlink")?;
        self.process = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) =
                self.process.as_mut().and_then(|child| child.try_wait().transpose())
            {
                self.process = None;
                bail!("the gateway ended with {}:\n{}", status?, self.log_text());
            }
            if self.is_ready().await.unwrap_or_default() {
                return Ok(());
            }
            sleep(Duration::from_millis(15)).await;
        }
        bail!("the gateway was not ready in time:\n{}", self.log_text())
    }

    /// Turns its clock, whether it runs or not.
    ///
    /// # Errors
    /// The file that says so cannot be written.
    pub fn turn_clock(&mut self, offset: time::Duration) -> anyhow::Result<()> {
        // Put in its place in one step: it is read at any moment.
        let written = self.clock_file.with_extension("next");
        fs::write(&written, clock::written(offset, self.clock_speed))?;
        fs::rename(&written, &self.clock_file)?;
        self.clock = Some(offset);
        Ok(())
    }

    /// Kills it (SIGKILL).
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("the gateway does not run")?.kill().await?;
        Ok(())
    }

    /// Writes other settings, whether it runs or not.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn change_settings(&self, text: &str) -> anyhow::Result<()> {
        // Put in its place in one step: it is read at any moment.
        let written = self.settings.with_extension("next");
        fs::write(&written, text)?;
        Ok(fs::rename(&written, &self.settings)?)
    }

    /// Tells it to stop (SIGTERM).
    ///
    /// # Errors
    /// It does not run.
    pub async fn tell_to_stop(&self) -> anyhow::Result<()> {
        self.signal("-TERM").await
    }

    /// Tells it to look at once for contracts and settings that have changed (SIGHUP).
    ///
    /// # Errors
    /// It does not run.
    pub async fn tell_to_look(&self) -> anyhow::Result<()> {
        self.signal("-HUP").await
    }

    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let id = self.process_id().context("the gateway does not run")?;
        let status = Command::new("kill").args([signal, &id.to_string()]).status().await?;
        ensure!(status.success(), "kill {signal} failed");
        Ok(())
    }

    /// Waits until it, told to stop or about to die, has ended.
    ///
    /// # Errors
    /// It does not run, or not end in time.
    pub async fn stopped(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.process.take().context("the gateway does not run")?;
        Ok(timeout(PATIENCE, child.wait()).await.context("the gateway did not stop")??)
    }

    /// Its metrics, as Prometheus reads them.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        Ok(page(self.admin, "/metrics").await?.text().await?)
    }

    /// Whether it says that it is ready.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn is_ready(&self) -> anyhow::Result<bool> {
        Ok(page(self.admin, "/ready").await?.status().is_success())
    }

    /// What it has logged so far.
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Copies the banks' contracts, and those that subscribers are told in, less their cases.
fn copy_contracts(plan: &Plan, to: &Path) -> anyhow::Result<()> {
    let subscribers = plan.settings.get("subscriber").and_then(toml::Value::as_array);
    let told_in = subscribers.into_iter().flatten().filter_map(|it| it.get("contract")?.as_str());
    let told_in: BTreeSet<&str> = told_in.collect();
    for bank in plan.banks.iter().map(String::as_str).chain(told_in) {
        copy_contract(&plan.contracts.join(bank), &to.join(bank))?;
    }
    Ok(())
}

fn copy_contract(from: &Path, to: &Path) -> anyhow::Result<()> {
    let told = || from.display().to_string();
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(told)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true if entry.file_name() == "cases" => {}
            true => copy_contract(&path, &to)?,
            false => fs::copy(&path, &to).map(drop).with_context(told)?,
        }
    }
    Ok(())
}

/// The test keys of contracts whose messages are signed: the bank's public and the gateway's private one.
fn seal_keys(plan: &Plan) -> anyhow::Result<toml::Table> {
    let mut keys = toml::Table::new();
    for bank in &plan.banks {
        let folder = plan.contracts.join(bank).join("cases/keys");
        if folder.is_dir() {
            let folder = fs::canonicalize(folder)?;
            let file = |name: &str| folder.join(name).display().to_string().into();
            let pair = table([
                ("bank", file("test-bank.pub.pem")),
                ("gateway", file("test-gateway.key.pem")),
            ]);
            keys.insert(bank.clone(), pair.into());
        }
    }
    Ok(keys)
}

/// Keys that filings which wait are sealed with, in the deployment's folder; settings name it where filings are to wait.
const QUEUE_KEYS: &str = "queue.keys";

/// The log of exchanges that settings name where it is to be signed.
pub const EVIDENCE_ORIGIN: &str = "log.example/stage";

/// The key that signs it, in the deployment's folder.
const EVIDENCE_KEY: &str = "evidence.key";

/// What verifies it.
pub const EVIDENCE_PUBLIC_KEY: &str = "evidence.key.pub";

/// Where the contracts are, in the deployment's folder.
const CONTRACTS: &str = "contracts";

fn table<const N: usize>(entries: [(&str, toml::Value); N]) -> toml::Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn list(tables: impl IntoIterator<Item = toml::Table>) -> toml::Value {
    toml::Value::Array(tables.into_iter().map(toml::Value::from).collect())
}

/// Puts `over` onto `settings`, table by table; onto every table of a list.
fn overlay(settings: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (settings.get_mut(key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => overlay(inner, over),
            (Some(toml::Value::Array(list)), toml::Value::Table(over)) => {
                list.iter_mut()
                    .filter_map(toml::Value::as_table_mut)
                    .for_each(|inner| overlay(inner, over));
            }
            _ => {
                settings.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The library that turns a process's clock. Its own program would stand between us and the process that is to be killed.
fn clock_turner() -> anyhow::Result<PathBuf> {
    let places = fs::read_dir("/usr/lib")?.flatten().map(|place| place.path());
    places
        .map(|place| place.join("faketime/libfaketime.so.1"))
        .find(|file| file.is_file())
        .context("libfaketime is not installed; on Debian: apt-get install faketime")
}

/// A program of this workspace, beside the one that runs (or beside its folder, for tests).
///
/// # Errors
/// It has not been built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("`{name}` is not built: cargo build -p gateway"))
}

/// Builds the program that can be made to die at a point, or to be a newer one, and says where it is. Cargo does nothing
/// where nothing changed, and one at a time.
///
/// # Errors
/// It does not compile.
pub fn program_with_fault_points() -> anyhow::Result<PathBuf> {
    let folder = program("directlink")?;
    let folder = folder.parent().context("a program in no folder")?;
    let target = folder.parent().context("a folder in none")?;
    let mut build = std::process::Command::new(std::env::var_os("CARGO").context("no cargo")?);
    // With the whole workspace libraries have the features they were built with before.
    build.args(["build", "--quiet", "--workspace", "--features", "gateway/fault-points"]);
    build.args(["--bin", "directlink-fault-points", "--target-dir"]).arg(target);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).status()?;
    ensure!(built.success(), "directlink-fault-points cannot be built");
    Ok(folder.join("directlink-fault-points"))
}

/// A page of the port for operators.
///
/// # Errors
/// It does not answer.
pub async fn page(admin: SocketAddr, path: &str) -> anyhow::Result<reqwest::Response> {
    let client = PLAIN.as_ref().map_err(|error| anyhow!("no HTTP client: {error}"))?;
    Ok(client.get(format!("http://{admin}{path}")).send().await?)
}

/// Speaks no TLS: a client that does reads the machine's authorities when it is made, and most of what a test asks is asked
/// until the answer changes.
static PLAIN: LazyLock<reqwest::Result<reqwest::Client>> = LazyLock::new(|| {
    // No connection is kept: one may belong to a runtime that has ended.
    let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    builder.tls_certs_only([]).build()
});
