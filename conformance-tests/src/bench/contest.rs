//! Floor against gateway: rounds in turn, at several numbers of connections.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use adapters::Contract;
use anyhow::{Context, ensure};
use gateway::tls;
use tokio::process::Command;

use super::{
    filing::Filing,
    load::{Banks, Target, Told},
    machine,
    process::{Process, Voice},
    report::{Memory, Report, Round, Standing},
    stand::Stand,
    upstream::Counts,
};
use crate::pki::{Names, Pki};

/// What is measured, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Folder of the bank's contract; its name is the bank's.
    pub contract: PathBuf,
    /// The golden case that is sent.
    pub case: String,
    /// Numbers of connections, each with how many messages a round has.
    pub stages: Vec<(usize, u64)>,
    /// Rounds of floor and of gateway, for each number of connections.
    pub rounds: usize,
    /// A round begins no message after this long.
    pub limit: Duration,
    /// Whether the gateway is told where to export traces to.
    pub traced: bool,
    /// The `directlink` program.
    pub gateway: PathBuf,
    /// This program, for the floor and the upstream.
    pub own: PathBuf,
    /// Where ledger, certificates and logs go; must be on a disk.
    pub folder: PathBuf,
}

/// Files that the processes agree on, inside [`Plan::folder`].
pub mod place {
    /// Development PKI.
    pub const PKI: &str = "pki";
    /// The floor's reply.
    pub const REPLY: &str = "reply";
}

/// The name in the bank's certificate comes from its folder.
///
/// # Errors
/// A path without a last part.
pub fn bank_of(contract: &Path) -> anyhow::Result<String> {
    let name = contract.file_name().context("the contract's folder has no name")?;
    Ok(name.to_string_lossy().into_owned())
}

/// The PKI of a run.
pub fn pki_of(folder: &Path, bank: &str) -> Pki {
    Pki::paths(&folder.join(place::PKI), &names(bank))
}

pub(super) fn names(bank: &str) -> Names {
    Names { banks: vec![bank.to_owned()], registries: Vec::new() }
}

/// Runs the whole plan. `say` gets a line of progress for each round.
///
/// # Errors
/// A process that does not start, a reply that is not as expected, or replies that the upstream does not account for.
pub async fn run(
    plan: &Plan,
    compiled: &Contract,
    mut say: impl FnMut(&str),
) -> anyhow::Result<Report> {
    let bank = bank_of(&plan.contract)?;
    let pki = Pki::write(&plan.folder.join(place::PKI), &names(&bank))?;
    let filing = Arc::new(Filing::load(compiled, &plan.contract, &plan.case)?);
    fs::write(plan.folder.join(place::REPLY), filing.canned_reply())?;

    let mut upstream = Process::start("upstream", Voice::Output, &mut plan.helper("upstream"))?;
    let addresses = upstream.line().await?;
    let (registry, collector) = addresses.split_once(' ').context("two addresses")?;
    let mut floor = Process::start(
        "floor",
        Voice::Output,
        plan.helper("floor").args(["--upstream", registry]),
    )?;
    let floor_address = floor.line().await?.parse()?;
    let stand = Stand {
        folder: &plan.folder,
        contract: &plan.contract,
        pki: &pki,
        bank: &bank,
        division: &filing.division,
        registry,
        collector: plan.traced.then_some(collector),
        registry_lines: "",
        more: "",
    };
    let gateway = stand.start("directlink", &plan.gateway, "sqlite = \"ledger.db\"").await?;
    let mut hall = Hall {
        plan,
        tls: bank_tls(&pki, &bank)?,
        filing,
        serials: Arc::new(AtomicU64::new(1)),
        floor: (floor, floor_address),
        gateway: (gateway.process, gateway.address),
        exchanges: 0,
    };

    let idle_kib = hall.gateway.0.resident_kib()?;
    let mut standings = Vec::new();
    for (connections, requests) in &plan.stages {
        standings.push(hall.stand(*connections, *requests, &mut say).await?);
    }
    let memory = Memory {
        idle_kib,
        after_kib: hall.gateway.0.resident_kib()?,
        peak_kib: hall.gateway.0.peak_kib()?,
        floor_peak_kib: hall.floor.0.peak_kib()?,
    };
    let exchanges = hall.exchanges;
    hall.gateway.0.kill().await?;
    hall.floor.0.kill().await?;
    let counts: Counts = serde_json::from_str(&upstream.end().await?)?;
    ensure!(
        counts.submitted == exchanges,
        "{exchanges} replies said accepted, but the upstream was asked {} times",
        counts.submitted
    );
    Ok(Report { machine: machine::description(), standings, memory, exchanges, counts })
}

/// How many messages each connection sends before a round is measured.
pub(super) const WARM_UP: u64 = 20;

/// The running processes, and what is sent to them.
struct Hall<'p> {
    plan: &'p Plan,
    tls: Arc<rustls::ClientConfig>,
    filing: Arc<Filing>,
    serials: Arc<AtomicU64>,
    floor: (Process, SocketAddr),
    gateway: (Process, SocketAddr),
    /// Messages the gateway has accepted, warm-up included.
    exchanges: u64,
}

impl Hall<'_> {
    async fn stand(
        &mut self,
        connections: usize,
        requests: u64,
        say: &mut impl FnMut(&str),
    ) -> anyhow::Result<Standing> {
        let (mut floor, mut gateway) = (Vec::new(), Vec::new());
        for number in 1..=self.plan.rounds {
            for target in [Target::Floor, Target::Gateway] {
                let round = self.round(target, connections, requests).await?;
                say(&format!("{connections} connections, round {number}, {target:?}: {round}"));
                match target {
                    Target::Floor => floor.push(round),
                    Target::Gateway => gateway.push(round),
                }
            }
        }
        Ok(Standing { connections, floor, gateway })
    }

    async fn round(
        &mut self,
        target: Target,
        connections: usize,
        requests: u64,
    ) -> anyhow::Result<Round> {
        let (process, address) = match target {
            Target::Floor => &self.floor,
            Target::Gateway => &self.gateway,
        };
        let (tls, filing) = (Arc::clone(&self.tls), Arc::clone(&self.filing));
        let serials = Arc::clone(&self.serials);
        let mut banks =
            Banks::connect(target, &[*address], tls, connections, filing, serials).await?;
        let warm_up = WARM_UP * u64::try_from(connections)?;
        let warmed = banks.send(warm_up, self.plan.limit).await?.requests;
        let before = process.cpu()?;
        let Told { requests, elapsed, latency_us } = banks.send(requests, self.plan.limit).await?;
        let cpu = process.cpu()? - before;
        if target == Target::Gateway {
            self.exchanges += warmed + requests;
        }
        Ok(Round::new(requests, elapsed, cpu, &latency_us))
    }
}

pub(super) fn bank_tls(pki: &Pki, bank: &str) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    let own = pki.banks.get(bank).context("the bank has a certificate")?;
    let mut config = tls::client_config(&pki.banks_ca, &own.certificate, &own.key)?;
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}

impl Plan {
    fn helper(&self, role: &str) -> Command {
        helper(&self.own, role, &self.contract, &self.folder)
    }
}

/// This program in another role.
pub(super) fn helper(own: &Path, role: &str, contract: &Path, folder: &Path) -> Command {
    let mut command = Command::new(own);
    command.arg(role).arg(contract).arg("--folder").arg(folder);
    command
}
