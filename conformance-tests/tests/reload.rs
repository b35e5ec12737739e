//! Contracts and settings change on disk while the real program runs: the next message is read the new way, on the
//! connection that stands; what does not pass is told and changes nothing; two versions are live side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use adapters::{Contract, Mode, Reply};
use conformance_tests::{
    deployment::{Deployment, Plan},
    fake_bank::{FakeBank, Line},
    samples::Samples,
};
use gateway::contracts::read_contract;
use tokio::time::{Instant, sleep};

const BANK: &str = "yunshui";
/// How long a change may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that serves one bank, and the bank's question about a case it does not have.
struct Stage {
    deployment: Deployment,
    line: Line,
    contract: Arc<Contract>,
    question: Vec<u8>,
    /// The settings' institutions, those too that they do not name at the start.
    all: toml::Value,
}

impl Stage {
    async fn open() -> Self {
        Self::open_to(&[BANK]).await
    }

    /// Of these banks only the first is in settings.
    async fn open_to(banks: &[&str]) -> Self {
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let contract = Arc::new(read_contract(&contracts.join(BANK)).unwrap());
        let question = Samples::of(&contracts.join(BANK)).unwrap().request("case_poll").unwrap();
        let banks = banks.iter().map(|bank| (*bank).to_owned()).collect();
        let plan = Plan { banks, ..Plan::of_one(BANK, &contracts, "").unwrap() };
        let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
        let written = fs::read_to_string(deployment.gateways[0].settings()).unwrap();
        let mut settings: toml::Table = written.parse().unwrap();
        let all = settings["institution"].clone();
        settings["institution"].as_array_mut().unwrap().truncate(1);
        deployment.gateways[0].change_settings(&toml::to_string(&settings).unwrap()).unwrap();
        deployment.start().await.unwrap();
        let bank = FakeBank::new(&deployment, BANK, Arc::clone(&contract)).unwrap();
        let line = bank.connect().await.unwrap();
        Self { deployment, line, contract, question, all }
    }

    fn folder(&self) -> PathBuf {
        self.deployment.contract(BANK)
    }

    /// The question in the words of the contract in `folder`.
    fn worded(&self, folder: &Path) -> Vec<u8> {
        let asked = self.contract.decode(&self.question, Mode::Test).unwrap();
        let contract = read_contract(folder).unwrap();
        contract.encode(Some(&asked.message), Reply::Request, &asked.envelope).unwrap()
    }

    /// Whether a question is read without a fault. It is always answered, and on the one connection.
    async fn is_read(&mut self, question: &[u8]) -> bool {
        let heard = self.line.ask(Some("poll"), question.to_vec()).await.unwrap();
        assert!(!heard.is_nothing(), "{}\n{}", heard.text(), self.deployment.log_text());
        heard.says(&self.contract, "faults", "0").unwrap()
    }

    /// Waits until the gateway has counted that many changes that ended so.
    async fn counted(&self, end: &str, times: usize) {
        let line = format!(
            "directlink_contracts_changed_total{{contract=\"{BANK}\",end=\"{end}\"}} {times}"
        );
        self.tells(&line).await;
    }

    /// Waits until a line stands in the gateway's metrics.
    async fn tells(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let told = self.deployment.gateways[0].metrics().await.unwrap();
            if told.lines().any(|it| it == line) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("never counted: {line}\n{}", self.deployment.log_text());
    }

    async fn is_ready(&self) -> bool {
        self.deployment.gateways[0].is_ready().await.unwrap()
    }
}

/// Changes a text in a file of a contract.
fn change(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} is not in {}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_contract_changes_on_disk_and_the_next_message_is_read_the_new_way() {
    let mut stage = Stage::open().await;
    let template = stage.folder().join("poll.request.xml");
    let old = stage.question.clone();
    assert!(stage.is_read(&old).await);

    change(&template, "YLSH>", "YXLSH>");
    let new = stage.worded(&stage.folder());
    stage.counted("taken", 1).await;
    assert!(stage.is_read(&new).await && !stage.is_read(&old).await);

    // Broken: what was served is served on, and the log says where the slip is.
    change(&template, "{matter.original.serial}", "{matter.original.no_such_field}");
    stage.counted("refused", 1).await;
    assert!(stage.is_read(&new).await && stage.is_ready().await);
    let log = stage.deployment.log_text();
    let told = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["file"].as_str().is_some_and(|it| it.ends_with("/poll.request.xml")))
        .expect("the log does not name the file");
    let text = fs::read_to_string(&template).unwrap();
    let at = text.lines().position(|line| line.contains("no_such_field")).unwrap();
    assert_eq!((&told["line"], &told["contract"]), (&(at + 1).into(), &BANK.into()));
    assert!(told["problem"].as_str().unwrap().contains("no_such_field"), "{told}");

    // Mended, and in two versions: both are read now, each in its own words.
    change(&template, "{matter.original.no_such_field}", "{matter.original.serial}");
    let (first, second) = (stage.folder().join("v1"), stage.folder().join("v2"));
    let files: Vec<_> =
        fs::read_dir(stage.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for folder in [&first, &second] {
        fs::create_dir(folder).unwrap();
        for file in &files {
            fs::copy(file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }
    change(&first.join("poll.request.xml"), "YXLSH>", "YLSH>");
    change(&second.join("contract.toml"), "version = \"1\"", "version = \"2\"");
    change(&second.join("contract.toml"), "[\"2026-01-01\"]", "[\"2026-02-01\"]");
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    stage.counted("taken", 2).await;
    assert!(stage.is_read(&old).await && stage.is_read(&new).await);

    // Neither is in force: refused, in the bank's own envelope.
    change(&first.join("contract.toml"), "[\"2026-01-01\"]", "[\"2020-01-01\", \"2020-12-31\"]");
    change(&second.join("contract.toml"), "[\"2026-02-01\"]", "[\"2021-01-01\", \"2021-12-31\"]");
    stage.counted("taken", 3).await;
    let heard = stage.line.ask(Some("poll"), new).await.unwrap();
    assert!(heard.says(&stage.contract, "code", "CONTRACT_MISSING").unwrap(), "{}", heard.text());
}

/// Changes what the settings file says.
fn resettle(stage: &Stage, change: impl FnOnce(&mut toml::Table)) {
    let gateway = &stage.deployment.gateways[0];
    let mut settings = fs::read_to_string(gateway.settings()).unwrap().parse().unwrap();
    change(&mut settings);
    gateway.change_settings(&toml::to_string(&settings).unwrap()).unwrap();
}

#[tokio::test]
async fn settings_with_faults_change_nothing_and_what_waits_for_a_restart_is_told() {
    let mut stage = Stage::open().await;
    let before = fs::read_to_string(stage.deployment.gateways[0].settings()).unwrap();
    resettle(&stage, |settings| {
        settings["office"][0]["registry"] = "nowhere".into();
        settings["office"][1]["division"] = "12".into();
        settings["registry"][0]["key"] = "no-such.key".into();
    });
    stage.tells("directlink_settings_changed_total{end=\"refused\"} 1").await;
    stage.tells("directlink_settings_outdated 1").await;
    let log = stage.deployment.log_text();
    let told = |what: &str| {
        let lines = log.lines().filter_map(|it| serde_json::from_str(it).ok());
        let told = |it: &serde_json::Value| {
            it["level"] == "ERROR" && it["problem"].as_str().is_some_and(|it| it.contains(what))
        };
        lines.filter(told).filter(|it| it["line"].is_u64()).count()
    };
    assert_eq!((told("`nowhere`"), told("`12`: expected 6 digits")), (1, 1), "{log}");
    let question = stage.question.clone();
    assert!(stage.is_read(&question).await && stage.is_ready().await);

    // Sound as to its words, but a file is missing.
    stage.deployment.gateways[0].change_settings(&before).unwrap();
    resettle(&stage, |settings| settings["registry"][0]["key"] = "no-such.key".into());
    stage.tells("directlink_settings_changed_total{end=\"refused\"} 2").await;
    assert!(stage.deployment.log_text().contains("no-such.key"));

    // Offices count; how much the gateway takes waits for a restart.
    stage.deployment.gateways[0].change_settings(&before).unwrap();
    resettle(&stage, |settings| {
        settings["office"][0]["name"] = "别名".into();
        settings["limits"]["institution_messages_burst_max"] = 7.into();
    });
    stage.tells("directlink_settings_changed_total{end=\"taken\"} 1").await;
    stage.tells("directlink_settings_outdated 1").await;
    let log = stage.deployment.log_text();
    assert!(log.contains("they wait for a restart") && log.contains("[limits]"), "{log}");
    stage.deployment.gateways[0].change_settings(&before).unwrap();
    stage.tells("directlink_settings_changed_total{end=\"taken\"} 2").await;
    stage.tells("directlink_settings_outdated 0").await;
    assert!(stage.is_read(&question).await);
}

/// A bank of another dialect than the one that is there.
const NEWCOMER: &str = "fudeng";

#[tokio::test]
async fn institutions_come_and_go_while_others_file() {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let contract = Arc::new(read_contract(&contracts.join(NEWCOMER)).unwrap());
    let filing = Samples::of(&contracts.join(NEWCOMER)).unwrap().request("first_general").unwrap();
    let mut stage = Stage::open_to(&[BANK, NEWCOMER]).await;
    let newcomer = FakeBank::new(&stage.deployment, NEWCOMER, Arc::clone(&contract)).unwrap();
    let question = stage.question.clone();
    assert!(stage.is_read(&question).await);
    newcomer.is_turned_away(None, filing.clone()).await.unwrap();
    let own = stage.deployment.pki.banks[NEWCOMER].clone();
    newcomer.is_turned_away(Some(&own), filing.clone()).await.unwrap();

    // It comes with a contract that nobody had before, and files.
    let with = stage.all.clone();
    resettle(&stage, |settings| settings["institution"] = with);
    stage.tells("directlink_settings_changed_total{end=\"taken\"} 1").await;
    stage.tells("directlink_settings_outdated 0").await;
    let mut line = newcomer.connect().await.unwrap();
    let filed = line.ask(Some("first"), filing.clone()).await.unwrap();
    let case = filed.case().map(str::to_owned);
    assert!(case.is_some(), "{}\n{}", filed.text(), stage.deployment.log_text());
    assert!(stage.is_read(&question).await, "on the connection that stood all the while");

    // Another contract would build another key for what it has just filed.
    let before = fs::read_to_string(stage.deployment.gateways[0].settings()).unwrap();
    resettle(&stage, |settings| settings["institution"][1]["contract"] = BANK.into());
    stage.tells("directlink_settings_changed_total{end=\"refused\"} 1").await;
    assert!(stage.deployment.log_text().contains("could be registered twice"));
    stage.deployment.gateways[0].change_settings(&before).unwrap();
    stage.tells("directlink_settings_outdated 0").await;

    // The first one leaves: its connection ends, and the other's filing is answered as before.
    resettle(&stage, |settings| {
        settings["institution"].as_array_mut().unwrap().remove(0);
    });
    stage.tells("directlink_settings_changed_total{end=\"taken\"} 2").await;
    let heard = stage.line.ask(Some("poll"), question.clone()).await.unwrap();
    assert!(heard.is_nothing(), "{}", heard.text());
    let own = stage.deployment.pki.banks[BANK].clone();
    let bank = FakeBank::new(&stage.deployment, BANK, Arc::clone(&stage.contract)).unwrap();
    bank.is_turned_away(Some(&own), question).await.unwrap();
    let again = line.ask(Some("first"), filing).await.unwrap();
    assert_eq!(again.case().map(str::to_owned), case, "{}", again.text());
    assert!(stage.is_ready().await);
}
