//! A gateway under measurement: a process of the real program with the defaults of its settings, but for addresses and names.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, bail};
use tokio::process::Command;

use super::process::{Process, Voice};
use crate::{
    deployment::page,
    pki::{self, Pki},
};

/// What gateways of one run have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stand<'s> {
    /// Where settings and ledger files go.
    pub(super) folder: &'s Path,
    /// Folder of the bank's contract.
    pub(super) contract: &'s Path,
    pub(super) pki: &'s Pki,
    pub(super) bank: &'s str,
    /// Of the office.
    pub(super) division: &'s str,
    /// Address of the registry.
    pub(super) registry: &'s str,
    /// Where traces are exported to; `None`: nowhere.
    pub(super) collector: Option<&'s str>,
    /// More lines of its `[[registry]]`.
    pub(super) registry_lines: &'s str,
    /// More tables of settings.
    pub(super) more: &'s str,
}

/// A gateway that serves.
pub(super) struct Gateway {
    pub(super) process: Process,
    /// Where banks call.
    pub(super) address: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// How many transactions its ledger has committed.
    ///
    /// # Errors
    /// It does not tell.
    pub(super) async fn commits(&self) -> anyhow::Result<u64> {
        self.counted("directlink_ledger_commits_total ").await
    }

    /// What a metric says, by its name and labels with a blank behind; 0 if it has not begun.
    ///
    /// # Errors
    /// It does not tell.
    pub(super) async fn counted(&self, metric: &str) -> anyhow::Result<u64> {
        let metrics = page(self.admin, "/metrics").await?.text().await?;
        let told = metrics.lines().find_map(|line| line.strip_prefix(metric));
        Ok(told.map_or(Ok(0), str::parse)?)
    }
}

impl Stand<'_> {
    /// Starts a gateway and waits until it says where it listens. `name`: of its settings file; `ledger`: the lines of its
    /// `[ledger]`.
    ///
    /// # Errors
    /// It ends instead; with what it said.
    pub(super) async fn start(
        &self,
        name: &'static str,
        program: &Path,
        ledger: &str,
    ) -> anyhow::Result<Gateway> {
        let file = self.folder.join(format!("{name}.toml"));
        fs::write(&file, self.settings(ledger)?)?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--settings").arg(&file);
        let mut process = Process::start(name, Voice::Error, &mut command)?;
        let mut said = Vec::new();
        loop {
            let Ok(line) = process.line().await else {
                bail!("{name} does not serve; it said:\n{}", said.join("\n"));
            };
            let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let address = |port| told.get(port).and_then(serde_json::Value::as_str);
            if let (Some(tcp), Some(admin)) = (address("tcp"), address("admin")) {
                let (address, admin) = (tcp.parse()?, admin.parse()?);
                process.unheard();
                return Ok(Gateway { process, address, admin });
            }
            said.push(line);
        }
    }

    fn settings(&self, ledger: &str) -> anyhow::Result<String> {
        let Self { contract, pki, bank, division, registry, collector, .. } = self;
        let Self { registry_lines, more, .. } = self;
        let contracts = contract.parent().context("contracts lie in a folder")?;
        let contracts = contracts.canonicalize()?;
        let telemetry = collector.map(|it| format!("otlp = \"http://{it}\"")).unwrap_or_default();
        Ok(format!(
            r#"
[listen]
tcp = "127.0.0.1:0"
certificate = {certificate:?}
key = {key:?}
client_ca = {banks_ca:?}
[admin]
address = "127.0.0.1:0"
[ledger]
{ledger}
[contracts]
folder = {contracts:?}
[[institution]]
id = "{bank}"
name = "{bank}"
kind = "BANK"
contract = "{bank}"
certificate_issuer = "CN={issuer}"
certificate_san = "{san}"
[[registry]]
name = "upstream"
address = "https://{registry}"
server_name = "localhost"
ca = {registry_ca:?}
certificate = {client_certificate:?}
key = {client_key:?}
idempotent = true
filings_max = 4096
{registry_lines}
[[office]]
code = "{division}"
name = "upstream"
registry = "upstream"
division = "{division}"
prefixes = ["{division}"]
[limits]
exchanges_max = 4096
institution_exchanges_max = 4096
institution_connections_max = 4096
institution_messages_per_second_max = 1000000
institution_messages_burst_max = 1000000
[telemetry]
{telemetry}
{more}
"#,
            certificate = pki.gateway.certificate,
            key = pki.gateway.key,
            banks_ca = pki.banks_ca,
            issuer = pki::BANKS_CA,
            san = pki::bank_san(bank),
            registry_ca = pki.registry_ca,
            client_certificate = pki.gateway_client.certificate,
            client_key = pki.gateway_client.key,
        ))
    }
}
