//! `make api-test`: the OpenAPI document that a gateway serves, checked by a validator and tried by schemathesis against
//! that gateway and the reference registry, over mutual TLS.
//!
//! Requests are made up by the tools, from the document alone; how many, and which answers are right, says
//! data/schemathesis.toml. Beside what the tools check: the gateway neither panics nor registers a key twice.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use conformance_tests::{
    deployment::{Deployment, Plan},
    tls,
};
use tokio::process::Command;

/// Tries the API of an institution as its OpenAPI document describes it.
#[derive(Parser)]
struct Arguments {
    /// Folder of the contract in the folder of contracts.
    bank: String,
    /// Folder of the contracts.
    #[arg(long, default_value = "contracts/banks", value_name = "FOLDER")]
    contracts: PathBuf,
    /// Folder of the programs `schemathesis` and `openapi-spec-validator`.
    #[arg(long, default_value = "target/api-test/bin", value_name = "FOLDER")]
    tools: PathBuf,
    /// What schemathesis holds to.
    #[arg(long, default_value = "conformance-tests/data/schemathesis.toml", value_name = "FILE")]
    config: PathBuf,
    /// Further arguments for schemathesis.
    #[arg(last = true)]
    more: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Test mode: what nobody agreed on is refused, not dropped.
    let settings = "[institution]\nmode = \"test\"\n[events]\nwait_seconds_max = 1";
    let plan = Plan::of_one(&arguments.bank, &arguments.contracts, settings)?;
    let mut deployment = Deployment::prepare(&plan, |settings| settings).await?;
    deployment.start().await?;
    let gateway = deployment.gateways.first().context("no gateway")?;
    let url = format!("https://{}", gateway.https);
    let credentials = deployment.pki.banks.get(&arguments.bank).context("no certificate")?;

    let folder = tempfile::tempdir()?;
    let document = folder.path().join("openapi.json");
    let tls = tls::client(Some(credentials), &deployment.pki.banks_ca, &["h2", "http/1.1"])?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build()?;
    let served = client.get(format!("{url}/openapi.json")).send().await?.error_for_status()?;
    std::fs::write(&document, served.bytes().await?)?;

    let validator = tool(&arguments.tools, "openapi-spec-validator")?;
    run(Command::new(validator).arg(&document)).await?;
    let mut schemathesis = Command::new(tool(&arguments.tools, "schemathesis")?);
    schemathesis
        // What it writes down goes with the folder.
        .current_dir(folder.path())
        .arg("--config-file")
        .arg(arguments.config.canonicalize()?)
        .arg("run")
        .arg(&document)
        .args(["--url", &url])
        .arg("--request-cert")
        .arg(&credentials.certificate)
        .arg("--request-cert-key")
        .arg(&credentials.key)
        .arg("--tls-verify")
        .arg(&deployment.pki.banks_ca)
        .args(&arguments.more)
        // Only this machine is called, whatever proxy the environment names.
        .env("NO_PROXY", "*");
    let tried = run(&mut schemathesis).await;

    let log = deployment.log_text();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    ensure!(!log.contains("panicked"), "{log}");
    let counts = deployment.registry.control().counts();
    let most = counts.registrations_per_key_max;
    ensure!(most <= 1, "{most} registrations under one key");
    tried.with_context(|| format!("the gateway's errors:\n{}", errors.join("\n")))
}

fn tool(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    path.canonicalize().with_context(|| format!("{}: run `make api-test`", path.display()))
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let status = command.status().await.with_context(|| name.clone())?;
    ensure!(status.success(), "{name}: {status}");
    Ok(())
}
