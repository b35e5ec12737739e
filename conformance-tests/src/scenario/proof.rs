//! What the log of exchanges proves, asked of the real program: a bundle is exported beside the running gateway, and judged
//! as somebody else would judge it, with the public key and the bytes that the bank has.

use std::{fs, path::Path};

use adapters::Mode;
use anyhow::{Context, ensure};
use proto::v1::envelope::Body;
use tokio::process::Command;

use super::stage::Role;
use crate::{
    deployment::{Deployment, EVIDENCE_PUBLIC_KEY, program},
    fake_bank::{Heard, travelled},
};

/// Exports what proves the filing that was last sent, and judges it beside the bytes that the bank sent and heard.
///
/// # Errors
/// It is no filing, or not proved by so many exchanges.
pub(super) async fn proves(
    deployment: &Deployment,
    role: &Role,
    heard: &Heard,
    exchanges: u64,
) -> anyhow::Result<()> {
    let Heard::Answer { sent, bytes, .. } = heard else { anyhow::bail!("nothing was heard") };
    let asked = role.contract.decode(sent, Mode::Test).ok().context("it cannot be read")?;
    let Some(Body::Application(application)) = asked.envelope.body else {
        anyhow::bail!("it is no filing");
    };
    let folder = deployment.folder();
    let settings = deployment.gateways.first().context("no gateway")?.settings();
    let file = |name: &str| folder.join(name).display().to_string();
    let told = run(&[
        "export",
        "--key",
        &application.idempotency_key,
        "--institution",
        &role.bank,
        "--settings",
        &settings.display().to_string(),
        "-o",
        &file("bundle.json"),
    ])
    .await?;
    ensure!(told.contains(&format!(": {exchanges} exchanges")), "{told}");
    let key = fs::read_to_string(folder.join(EVIDENCE_PUBLIC_KEY))?;
    let (bundle, page) = (file("bundle.json"), file("bundle.html"));
    let mut verify = vec!["verify", &bundle, "--key", &key, "--page", &page];
    let (sent_file, heard_file) = (file("sent"), file("heard"));
    fs::write(&sent_file, travelled::sent(&role.contract, sent))?;
    fs::write(&heard_file, travelled::heard(&role.contract, bytes))?;
    verify.extend(["--message", &sent_file, "--message", &heard_file]);
    run(&verify).await?;
    is_a_page(Path::new(&page))
}

/// Audits the log.
///
/// # Errors
/// It is not what was logged.
pub(super) async fn audits(deployment: &Deployment) -> anyhow::Result<()> {
    let settings = deployment.gateways.first().context("no gateway")?.settings();
    run(&["audit", "--settings", &settings.display().to_string()]).await.map(drop)
}

fn is_a_page(file: &Path) -> anyhow::Result<()> {
    let page = fs::read_to_string(file)?;
    ensure!(page.contains("全部成立") && page.contains("Everything holds"), "{page}");
    Ok(())
}

/// What the program says when it is content.
async fn run(arguments: &[&str]) -> anyhow::Result<String> {
    let ended =
        Command::new(program("directlink")?).arg("evidence").args(arguments).output().await?;
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&ended.stderr);
    ensure!(
        ended.status.success(),
        "evidence {arguments:?} ended with {}:\n{told}{wrong}",
        ended.status
    );
    Ok(told)
}
