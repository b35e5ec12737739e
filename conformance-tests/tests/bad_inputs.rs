//! Every bad input of every contract, sent to a real gateway over real sockets: each is answered in the bank's own words
//! with the faults its file names, or goes through where the file says so; nothing of a refused one reaches the registry,
//! and the process never panics. What the files mean: adapters/tests/golden.rs, which plays them against the contract
//! alone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use adapters::{Mode, Reply};
use anyhow::{Context, bail, ensure};
use conformance_tests::{
    deployment::{Deployment, Plan},
    fake_bank::{FakeBank, Heard},
    programme,
    scenario::stage::Role,
};
use proto::v1::Fault;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// A bad input as its file describes it; its reason is for people.
#[derive(Debug, Deserialize)]
struct Case {
    input: String,
    mode: String,
    /// What the bank sends before it.
    first: Option<String>,
    /// Its canonical form, if it is to go through.
    accepted: Option<String>,
    #[serde(default)]
    faults: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    code: String,
    #[serde(default)]
    place: String,
    offset: Option<i64>,
}

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks")
}

/// A gateway for one bank, in test or production mode, that waits for nobody long.
async fn deployed(bank: &str, mode: &str) -> Deployment {
    let settings = format!(
        "[institution]\nmode = \"{mode}\"\n[limits]\nbody_seconds_max = 1\nheader_seconds_max = 1"
    );
    let plan = Plan::of_one(bank, &contracts(), &settings).unwrap();
    let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
    deployment.start().await.unwrap();
    deployment
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_input_is_answered_over_the_wire_as_its_file_says() {
    let mut wrong = Vec::new();
    for role in programme::roles(&contracts()).unwrap() {
        let folder = contracts().join(&role.bank).join("cases/bad");
        for (mode, name) in [(Mode::Test, "test"), (Mode::Production, "production")] {
            let cases = cases(&folder, name);
            if cases.is_empty() {
                continue;
            }
            let mut deployment = deployed(&role.bank, name).await;
            for case in cases {
                if let Err(error) = send(&deployment, &role, &folder, mode, &case).await {
                    wrong.push(format!("{} {}: {error:#}", role.bank, case.input));
                }
                let log = deployment.log_text();
                assert!(!log.contains("panicked"), "{log}");
                if case.accepted.is_some() || case.first.is_some() {
                    // It has used a key that others use too: they are variants of the same sample.
                    deployment = deployed(&role.bank, name).await;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cases(folder: &Path, mode: &str) -> Vec<Case> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "json"))
        .filter(|file| !file.to_string_lossy().ends_with(".canonical.json"))
        .map(|file| {
            let text = fs::read_to_string(file).unwrap();
            let case: Case = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            case
        })
        .filter(|case| case.mode == mode)
        .collect()
}

async fn send(
    deployment: &Deployment,
    role: &Role,
    folder: &Path,
    mode: Mode,
    case: &Case,
) -> anyhow::Result<()> {
    if let Some(first) = &case.first {
        let heard = ask(deployment, role, mode, fs::read(folder.join(first))?).await?;
        ensure!(!heard.is_nothing(), "its first message: {}", heard.text());
    }
    let before = deployment.registry.control().counts().submits;
    let heard = ask(deployment, role, mode, fs::read(folder.join(&case.input))?).await?;
    let sent = deployment.registry.control().counts().submits - before;
    let Heard::Answer { reply, envelope, .. } = &heard else { bail!("heard {}", heard.text()) };
    let refusal = envelope.outcome.as_ref().and_then(|outcome| outcome.refusal.as_ref());
    if case.accepted.is_some() {
        let by_the_registry = heard.says(&role.contract, "sent", "YES");
        ensure!(
            *reply != Reply::Refusal || by_the_registry.is_ok_and(|says| says),
            "refused: {}",
            heard.text()
        );
        return Ok(());
    }
    ensure!(*reply == Reply::Refusal, "not refused: {}", heard.text());
    ensure!(sent == 0, "{sent} submissions");
    ensure!(heard.says(&role.contract, "sent", "NO")?, "not sent=NO: {}", heard.text());
    if framing_alone(case) {
        // What a length prefix announces decides where the message ends: it is too short, or its end never comes.
        return Ok(());
    }
    let first = case.faults.iter().min_by_key(|fault| fault.offset);
    let code = &first.context("a case that expects nothing")?.code;
    ensure!(heard.says(&role.contract, "code", code)?, "not {code}: {}", heard.text());
    let told = refusal.map(|refusal| refusal.faults.as_slice()).unwrap_or_default();
    ensure!(told.len() == case.faults.len(), "{} faults: {}", told.len(), heard.text());
    for expected in &case.faults {
        let is_told = told.iter().any(|told| is_told(told, expected));
        ensure!(is_told, "not {expected:?}: {}", heard.text());
    }
    Ok(())
}

fn framing_alone(case: &Case) -> bool {
    case.faults.iter().all(|fault| fault.code == "LENGTH_MISMATCH")
}

/// A contract need not tell place and offset; where it does they are right.
fn is_told(told: &Fault, expected: &Expected) -> bool {
    (told.place.is_empty() || told.place == expected.place)
        && (told.offset.is_none() || told.offset == expected.offset)
}

async fn ask(
    deployment: &Deployment,
    role: &Role,
    mode: Mode,
    bytes: Vec<u8>,
) -> anyhow::Result<Heard> {
    let name = match role.contract.decode(&bytes, mode) {
        Ok(decoded) => Some(decoded.message),
        Err(undecoded) => undecoded.message,
    };
    let bank = FakeBank::new(deployment, &role.bank, role.contract.clone())?;
    bank.connect().await?.ask(name.as_deref(), bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_say_little_or_nonsense_cost_the_others_nothing() {
    for role in programme::roles(&contracts()).unwrap() {
        let Some(prefix) = role.contract.wire().prefix else { continue };
        let deployment = deployed(&role.bank, "test").await;
        let bank = FakeBank::new(&deployment, &role.bank, role.contract.clone()).unwrap();
        let message = role.samples.request(&role.samples.first_name().unwrap()).unwrap();
        let half = message.get(..message.len() / 2).unwrap();
        let digits = "9".repeat(prefix.length());
        let nonsense: [&[u8]; 5] = [b"", half, digits.as_bytes(), b"GET / HTTP/1.1\r\n\r\n", &[0]];

        let mut callers = Vec::new();
        for bytes in nonsense.iter().cycle().take(50) {
            let mut stream = bank.connect_raw().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            callers.push(stream);
        }
        let name = role.contract.decode(&message, Mode::Test).unwrap().message;
        let mut line = bank.connect().await.unwrap();
        let heard = line.ask(Some(&name), message.clone()).await.unwrap();
        assert!(!heard.is_nothing(), "{}", heard.text());

        // All but those who said nothing are answered or hung up on, in about a second each and not one after another.
        let begun: Vec<_> = callers
            .into_iter()
            .zip(nonsense.iter().cycle())
            .filter(|(_, bytes)| !bytes.is_empty())
            .collect();
        let ended = timeout(Duration::from_secs(15), async {
            for (mut stream, _) in begun {
                let _end = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        ended.await.unwrap();
        // A body of no bytes is a message, and refused as one.
        let empty = prefix.put_on(b"").unwrap();
        let heard = bank.connect().await.unwrap().ask(None, empty).await.unwrap();
        assert!(matches!(heard, Heard::Answer { reply: Reply::Refusal, .. }), "{}", heard.text());
        let log = deployment.log_text();
        assert!(!log.contains("panicked"), "{log}");
    }
}
