//! Books are compared with the real reference registry, over both stores, by the real programs: whatever one of them alters by
//! hand is found, and nothing else is. Source: docs/reconciliation.md.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use conformance_tests::{
    deployment::{Deployment, Plan, program},
    fake_bank::{FakeBank, Heard},
    postgres_server::PostgresServer,
    reference_registry::Alteration,
    samples::Samples,
    tls,
};
use gateway::{
    contracts::read_contract,
    ledger::{
        Admission, Claim, Fingerprint, LedgerSettings, PostgresSettings, SqliteSettings,
        books::Booked,
    },
};
use proto::v1::{CaseStatus, Outcome};
use tokio::{process::Command, time::Instant};
use tokio_postgres::NoTls;

const BANK: &str = "yunshui";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that has filed three cases for its bank.
struct Stage {
    deployment: Deployment,
    database: Option<(String, PostgresServer)>,
    /// The registry's numbers, in order.
    cases: Vec<String>,
}

impl Stage {
    async fn sqlite(settings: &str) -> Self {
        Self::open(settings, None, 1).await
    }

    async fn postgres(settings: &str) -> Self {
        Self::replicas(settings, 1).await
    }

    async fn replicas(settings: &str, replicas: usize) -> Self {
        let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap().unwrap();
        let address = server.make_database().await.unwrap();
        Self::open(settings, Some((address, server)), replicas).await
    }

    async fn open(
        settings: &str,
        database: Option<(String, PostgresServer)>,
        replicas: usize,
    ) -> Self {
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let contract = Arc::new(read_contract(&contracts.join(BANK)).unwrap());
        let samples = Samples::of(&contracts.join(BANK)).unwrap();
        let mut plan = Plan::of_one(BANK, &contracts, settings).unwrap();
        plan.replicas = replicas;
        if let Some((address, _)) = &database {
            plan.ledger = toml::Table::from_iter([("postgres".into(), address.clone().into())]);
        }
        let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
        deployment.start().await.unwrap();
        let bank = FakeBank::new(&deployment, BANK, contract).unwrap();
        let mut line = bank.connect().await.unwrap();
        for sample in ["first_general", "first_maximum", "presale_notice"] {
            let message = samples.request(sample).unwrap();
            match line.ask(None, message).await.unwrap() {
                Heard::Answer { .. } => {}
                Heard::Nothing(why) => panic!("{why}"),
            }
        }
        let views = deployment.registry.control().cases();
        let cases: Vec<_> = views.into_iter().map(|it| it.case_id).collect();
        assert_eq!(cases.len(), 3);
        Self { deployment, database, cases }
    }

    /// The ledger, for a test to open where the gateway has stopped.
    fn ledger(&self) -> LedgerSettings {
        match &self.database {
            None => LedgerSettings::Sqlite(SqliteSettings { path: self.file("ledger.db") }),
            Some((address, _)) => LedgerSettings::Postgres(PostgresSettings {
                url: address.clone(),
                password_file: None,
                tls: None,
                pool_size_max: 2,
                wait: PATIENCE,
                statement_timeout: PATIENCE,
            }),
        }
    }

    fn alter(&self, case: usize, alteration: Alteration) {
        self.deployment.registry.control().alter(&self.cases[case], alteration).unwrap();
    }

    async fn by_hand(&self, statement: &str) {
        match &self.database {
            None => {
                let file = self.deployment.folder().join("ledger.db");
                let database = rusqlite::Connection::open(file).unwrap();
                database.busy_timeout(PATIENCE).unwrap();
                assert!(
                    database.execute(statement, []).unwrap() > 0,
                    "{statement} changed nothing"
                );
            }
            Some((address, _)) => {
                let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
                let connection = tokio::spawn(connection);
                assert!(client.execute(statement, &[]).await.unwrap() > 0, "{statement}");
                drop(client);
                connection.await.unwrap().unwrap();
            }
        }
    }

    /// The program beside the gateway, in its folder.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(program("directlink").unwrap());
        command.args(arguments).args(["--settings", "directlink-1.toml"]);
        let ended = command.current_dir(self.deployment.folder()).output().await.unwrap();
        let told = [ended.stdout, ended.stderr].concat();
        (ended.status.code(), String::from_utf8(told).unwrap())
    }

    async fn reconcile(&self) -> (Option<i32>, String) {
        self.run(&["reconcile", "--day", &today(0), "--csv", "differences.csv"]).await
    }

    /// What was found, as `KIND ours theirs`.
    async fn found(&self) -> Vec<String> {
        let (code, told) = self.reconcile().await;
        let csv = fs::read_to_string(self.file("differences.csv")).unwrap();
        let rows: Vec<_> = csv.lines().skip(1).map(|row| row.split(',').collect()).collect();
        let found: Vec<_> = rows
            .iter()
            .map(|row: &Vec<&str>| format!("{} {} {}", row[5], row[6], row[7]))
            .collect();
        assert_eq!(code, Some(i32::from(!found.is_empty())), "{told}");
        found
    }

    fn file(&self, name: &str) -> PathBuf {
        self.deployment.folder().join(name)
    }
}

/// The day so many days ago, in Asia/Shanghai.
fn today(days_ago: i64) -> String {
    let now = time::OffsetDateTime::now_utc().to_offset(time::macros::offset!(+8));
    (now - time::Duration::days(days_ago)).date().to_string()
}

/// Midnight would make two days of one test.
async fn far_from_midnight() {
    let now = time::OffsetDateTime::now_utc().to_offset(time::macros::offset!(+8));
    if (now.hour(), now.minute()) >= (23, 58) {
        tokio::time::sleep(Duration::from_secs(150)).await;
    }
}

async fn every_difference_is_found(stage: Stage) {
    let (code, told) = stage.reconcile().await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("agree 一致"), "{told}");
    assert_eq!(stage.found().await, [""; 0]);

    stage.alter(0, Alteration::Amount(98_000_100));
    let found = stage.found().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("AMOUNT ") && found[0].ends_with(" 98000100"), "{found:?}");
    let asked: i64 = found[0].split(' ').nth(1).unwrap().parse().unwrap();
    stage.alter(0, Alteration::Amount(asked));
    assert_eq!(stage.found().await, [""; 0]);

    stage.alter(1, Alteration::Status(CaseStatus::Lapsed));
    assert_eq!(stage.found().await, ["STATUS REGISTERED LAPSED"]);
    stage.alter(1, Alteration::Status(CaseStatus::Registered));

    let copied = "COPIED".to_owned();
    let key = "NOBODY-SENT-THIS".to_owned();
    stage.alter(1, Alteration::Copy { key, case_id: copied.clone() });
    assert_eq!(stage.found().await, ["ONLY_THEIRS  REGISTERED"]);
    stage.deployment.registry.control().alter(&copied, Alteration::Forget).unwrap();

    // Two days of one case are no difference.
    stage.alter(2, Alteration::Earlier(1));
    let (code, told) = stage.reconcile().await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("1 cases are of another day"), "{told}");
    stage.alter(2, Alteration::Earlier(-1));

    stage.alter(2, Alteration::Party("110105194912310038".into()));
    let found = stage.found().await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("PARTY ") && found[0].contains("mortgag"), "{found:?}");
    let csv = fs::read_to_string(stage.file("differences.csv")).unwrap();
    assert!(!csv.contains("110105194912310038"), "{csv}");

    stage.alter(2, Alteration::Forget);
    assert_eq!(stage.found().await, ["ONLY_OURS REGISTERED "]);

    // And what is altered on our side.
    stage.by_hand("UPDATE filing SET amount_fen = amount_fen + 1 WHERE case_id IS NOT NULL").await;
    let found = stage.found().await;
    assert_eq!(found.iter().filter(|it| it.starts_with("AMOUNT ")).count(), 2, "{found:?}");
    stage.by_hand("UPDATE filing SET amount_fen = amount_fen - 1 WHERE case_id IS NOT NULL").await;
    let gone = format!("DELETE FROM filing WHERE case_id = '{}'", stage.cases[2]);
    stage.by_hand(&gone).await;
    assert_eq!(stage.found().await, [""; 0], "gone from both");
    let gone = format!("DELETE FROM filing WHERE case_id = '{}'", stage.cases[1]);
    stage.by_hand(&gone).await;
    assert_eq!(stage.found().await, ["ONLY_THEIRS  REGISTERED"]);
    assert!(stage.run(&["reconcile", "--day", &today(1)]).await.0 == Some(0), "another day");
    let (code, told) =
        stage.run(&["reconcile", "--day", &today(0), "--institution", "nobody"]).await;
    assert_eq!(code, Some(0), "{told}");

    // A bank's own list: as it is here, then with everything that can differ.
    let first = &stage.cases[0];
    let views = stage.deployment.registry.control().cases();
    let key = &views[0].key;
    let heads = "key,case,status,amount_fen";
    let list = |rows: &[String]| {
        fs::write(stage.file("bank.csv"), format!("\u{feff}{heads}\r\n{}\r\n", rows.join("\r\n")))
            .unwrap();
    };
    let day = today(0);
    let bank = ["reconcile", "--day", &day, "--institution", BANK, "--bank-file", "bank.csv"];
    list(&[format!("{key},{first},REGISTERED,{asked}")]);
    let (code, told) = stage.run(&bank).await;
    assert_eq!(code, Some(0), "{told}");
    list(&[format!("{key},{first},ACCEPTED,{}", asked + 1), "OTHER,,REGISTERED,".into()]);
    let (code, told) = stage.run(&bank).await;
    assert_eq!(code, Some(1), "{told}");
    for kind in ["STATUS", "AMOUNT", "ONLY_THEIRS"] {
        assert!(told.contains(kind), "{kind}: {told}");
    }
    list(&[]);
    let (code, told) = stage.run(&bank).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("ONLY_OURS"), "{told}");
    list(&["k,c,DONE,1".into(), "l,c,REGISTERED,1.5".into(), ",c,REGISTERED,1".into()]);
    let (code, told) = stage.run(&bank).await;
    assert_eq!(code, Some(1), "{told}");
    for line in ["line 2: `DONE`", "line 3: the amount", "line 4: no key"] {
        assert!(told.contains(line), "{line}: {told}");
    }

    // A registry that does not answer has not agreed.
    stage.deployment.registry.control().down().await;
    let (code, told) = stage.reconcile().await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("NOT COMPARED"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_is_found_over_sqlite() {
    far_from_midnight().await;
    every_difference_is_found(Stage::sqlite("").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_is_found_over_postgres() {
    far_from_midnight().await;
    every_difference_is_found(Stage::postgres("").await).await;
}

const DAILY: &str = "[reconciliation]\nhour = 0\ndays_back = 2\n";

/// The gateway compares yesterday's books when it starts: today's are made yesterday's, and it is started anew.
async fn a_gateway_keeps_findings(mut stage: Stage) {
    stage.alter(0, Alteration::Earlier(1));
    stage.alter(1, Alteration::Earlier(1));
    stage.alter(1, Alteration::Status(CaseStatus::Lapsed));
    match &stage.database {
        None => stage.by_hand("UPDATE filing SET admitted_at = admitted_at - 86400000").await,
        Some(_) => {
            stage.by_hand("UPDATE filing SET admitted_at = admitted_at - interval '1 day'").await;
        }
    }
    again(&mut stage).await;
    let metrics = open(&stage, 1).await;
    assert!(metrics.contains("end=\"differ\""), "{metrics}");
    assert!(stage.deployment.log_text().contains("the books differ"));
    let (code, told) = stage.run(&["findings", "list"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("STATUS") && told.contains("LAPSED"), "{told}");
    let id = told.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();

    let (code, told) = stage.run(&["findings", "close", &id, "--note", "seen"]).await;
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = stage.run(&["findings", "close", &id, "--note", "seen"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(stage.run(&["findings", "list"]).await.0, Some(0));

    // Found again just so, it stays closed; otherwise it is opened anew, and closed once both agree.
    again(&mut stage).await;
    open(&stage, 0).await;
    stage.alter(1, Alteration::Status(CaseStatus::Terminated));
    again(&mut stage).await;
    open(&stage, 1).await;
    stage.alter(1, Alteration::Status(CaseStatus::Registered));
    again(&mut stage).await;
    open(&stage, 0).await;
    let (code, told) = stage.run(&["findings", "list", "--all"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("agrees 已一致"), "{told}");
}

/// What a metric counts at all gateways together, by the beginning of its line.
async fn counted(stage: &Stage, line: &str) -> Vec<u64> {
    let mut counts = Vec::new();
    for gateway in &stage.deployment.gateways {
        let metrics = gateway.metrics().await.unwrap();
        let lines = metrics.lines().filter(|it| it.starts_with(line));
        counts.push(lines.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum());
    }
    counts
}

/// Two gateways over one ledger: whichever has the lease compares the finished days, and the other has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_compare_a_day_once() {
    far_from_midnight().await;
    let mut stage = Stage::replicas(DAILY, 2).await;
    let claims = "directlink_ledger_duration_seconds_count{end=\"done\",verb=\"claim_watch\"";
    for begins_together in [false, true] {
        for gateway in &mut stage.deployment.gateways {
            if gateway.process_id().is_some() {
                gateway.tell_to_stop().await.unwrap();
                assert!(gateway.stopped().await.unwrap().success());
            }
        }
        stage.by_hand("UPDATE watch SET cursor = '' WHERE registry LIKE '%/books'").await;
        let [one, other] = stage.deployment.gateways.as_mut_slice() else { panic!("two") };
        if begins_together {
            let (one, other) = tokio::join!(one.start(), other.start());
            one.and(other).unwrap();
        } else {
            one.start().await.unwrap();
            other.start().await.unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let looked = counted(&stage, claims).await;
            let compared = counted(&stage, "directlink_reconciliations_total{").await;
            // Both have looked, and both days are compared.
            if looked.iter().all(|count| *count > 0) && compared.iter().sum::<u64>() >= 2 {
                let mut compared = compared;
                compared.sort_unstable();
                assert_eq!(compared, [0, 2], "{}", stage.deployment.log_text());
                break;
            }
            assert!(Instant::now() < deadline, "{looked:?} {compared:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let (code, told) = stage.run(&["findings", "list", "--all"]).await;
    assert_eq!((code, told.contains("0 open")), (Some(0), true), "{told}");
}

/// More cases than either side tells at once: of the last one the amount differs, and one is there on one side alone.
async fn more_cases_than_a_page_are_compared(mut stage: Stage) {
    const MORE: usize = 2_050;
    let gateway = &mut stage.deployment.gateways[0];
    gateway.tell_to_stop().await.unwrap();
    assert!(gateway.stopped().await.unwrap().success());
    let control = stage.deployment.registry.control().clone();
    let first = control.cases().remove(0);
    let ledger = gateway::ledger::open(&stage.ledger()).await.unwrap();
    let known = ledger.filed_under(BANK, &first.key).await.unwrap().unwrap();
    let outcome = known.record.outcome.unwrap();
    for number in 0..MORE {
        let (key, case_id) = (format!("MORE-{number:06}"), format!("MANY-{number:06}"));
        let copy = Alteration::Copy { key: key.clone(), case_id: case_id.clone() };
        control.alter(&first.case_id, copy).unwrap();
        let claim = Claim {
            institution: BANK.to_owned(),
            key,
            fingerprint: Fingerprint { digest: [1; 32], leaves: Vec::new() },
            // Whose parties they are is told by the key too.
            booked: Booked { parties: None, ..known.booked },
            matter: known.record.matter.clone(),
            registry: known.record.registry.clone(),
            office: known.record.office.clone(),
            lease: PATIENCE,
            announced: false,
            guards: Vec::new(),
            corrects: None,
            waiting: None,
        };
        let Admission::New(entry) = ledger.admit(&claim).await.unwrap() else { panic!("known") };
        ledger.settle(&entry, &Outcome { case_id, ..outcome.clone() }, None).await.unwrap();
    }
    drop(ledger);
    let (code, told) = stage.reconcile().await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(&(MORE + 3).to_string()), "{told}");
    control.alter("MANY-002049", Alteration::Amount(1)).unwrap();
    control.alter("MANY-001000", Alteration::Forget).unwrap();
    let found = stage.found().await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|it| it.starts_with("AMOUNT ") && it.ends_with(" 1")), "{found:?}");
    assert!(found.iter().any(|it| it.starts_with("ONLY_OURS")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_cases_than_a_page_are_compared_over_sqlite() {
    far_from_midnight().await;
    more_cases_than_a_page_are_compared(Stage::sqlite("").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_cases_than_a_page_are_compared_over_postgres() {
    far_from_midnight().await;
    more_cases_than_a_page_are_compared(Stage::postgres("").await).await;
}

/// What a bank reads of its books leads to the digest that it was told, by nothing but docs/reconciliation.md.
#[tokio::test(flavor = "multi_thread")]
async fn a_bank_reads_its_own_books() {
    far_from_midnight().await;
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let contract = Arc::new(read_contract(&contracts.join("standard")).unwrap());
    let samples = Samples::of(&contracts.join("standard")).unwrap();
    let signed = "[evidence]\norigin = \"log.example/stage\"\nkey_files = [\"evidence.key\"]\ncheckpoint_seconds = 1";
    let plan = Plan::of_one("standard", &contracts, signed).unwrap();
    let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
    deployment.start().await.unwrap();
    let bank = FakeBank::new(&deployment, "standard", contract).unwrap();
    let mut line = bank.connect().await.unwrap();
    for sample in ["first_general", "first_maximum"] {
        let filed = line.ask(Some("mortgage"), samples.request(sample).unwrap()).await.unwrap();
        assert!(matches!(filed, Heard::Answer { .. }), "{filed:?}");
    }
    let cases = deployment.registry.control().cases();
    assert_eq!(cases.len(), 2);

    let credentials = Some(&deployment.pki.banks["standard"]);
    let tls = tls::client(credentials, &deployment.pki.banks_ca, &["h2"]).unwrap();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    let client = client.build().unwrap();
    let address = deployment.gateways[0].https;
    let get = async |path: String| {
        let answer = client.get(format!("https://{address}{path}")).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, answer.text().await.unwrap())
    };
    let day = today(0);
    let told = async |query: &str| {
        let (status, _, body) = get(format!("/v1/reconciliations/{day}{query}")).await;
        assert_eq!(status, 200, "{body}\n{}", deployment.log_text());
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };
    let sum = told("").await;
    assert_eq!((&sum["count"], sum["cases"].as_array().unwrap().len()), (&2.into(), 0), "{sum:#}");
    let first = told("?after=start&limit=1").await;
    let next = first["next"].as_str().unwrap();
    let second = told(&format!("?after={next}&limit=1")).await;
    assert!(second.get("next").is_none(), "{second:#}");
    let listed: Vec<_> = [&first, &second].map(|page| page["cases"][0].clone()).to_vec();
    let mut lines: Vec<String> = listed
        .iter()
        .map(|case| {
            let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
            let amount = case["amount_fen"].as_i64().map_or(String::new(), |fen| fen.to_string());
            let (key, id, status) = (text("idempotency_key"), text("case_id"), text("status"));
            format!("{key}\t{id}\t{status}\t{amount}\n")
        })
        .collect();
    lines.sort();
    let digest = hex::encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        lines.concat().as_bytes(),
    ));
    assert_eq!(sum["digest"], digest.as_str());
    let elsewhere = told("?office=nowhere").await;
    assert!(elsewhere.get("count").is_none(), "none is left out: {elsewhere:#}");
    assert!(elsewhere["digest"].as_str().unwrap().starts_with("e3b0c442"), "{elsewhere:#}");

    let (status, headers, csv) = get(format!("/reconciliations/{day}.csv")).await;
    assert_eq!((status, headers["books-digest"].to_str().unwrap()), (200, digest.as_str()));
    assert_eq!(headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.lines().next(), Some("key,case,status,amount_fen,office"));
    for case in &cases {
        assert!(csv.contains(&format!("{},{},REGISTERED,", case.key, case.case_id)), "{csv}");
    }
    assert_eq!(get("/reconciliations/2026-02-30.csv".into()).await.0, 404);
    is_in_the_log(&deployment, &day, &csv).await;
    assert_eq!(told("").await["digest"], digest.as_str(), "reading changes nothing");
}

/// What was told as CSV is in the log of exchanges, as docs/evidence.md says: the request's first line, and the table.
async fn is_in_the_log(deployment: &Deployment, day: &str, csv: &str) {
    let file = |name: &str| deployment.folder().join(name).display().to_string();
    let (bundle, asked, told) = (file("books.json"), file("asked"), file("told"));
    fs::write(&asked, format!("GET /reconciliations/{day}.csv HTTP/1.1\r\n\r\n")).unwrap();
    fs::write(&told, csv).unwrap();
    let key = fs::read_to_string(file("evidence.key.pub")).unwrap();
    let evidence = async |arguments: &[&str]| {
        let mut command = Command::new(program("directlink").unwrap());
        let ended = command.arg("evidence").args(arguments).output().await.unwrap();
        (ended.status.success(), [ended.stdout, ended.stderr].concat())
    };
    let settings = deployment.gateways[0].settings().display().to_string();
    // Two filings and four questions for the day came before it.
    let mut found = Vec::new();
    for index in 0..7 {
        let index = index.to_string();
        let export = ["export", "--index", &index, "--settings", &settings, "-o", &bundle];
        let (exported, said) = evidence(&export).await;
        assert!(exported, "{}", String::from_utf8_lossy(&said));
        let verify = ["verify", &bundle, "--key", &key, "--message", &asked, "--message", &told];
        let (holds, said) = evidence(&verify).await;
        if holds {
            found.push(String::from_utf8(said).unwrap());
        }
    }
    let [said] = found.as_slice() else { panic!("{found:?}") };
    assert!(said.contains("BOOKS"), "{said}");
}

/// Starts the gateway again, with that day not compared yet.
async fn again(stage: &mut Stage) {
    let gateway = &mut stage.deployment.gateways[0];
    gateway.tell_to_stop().await.unwrap();
    assert!(gateway.stopped().await.unwrap().success());
    stage.by_hand("UPDATE watch SET cursor = '' WHERE registry LIKE '%/books'").await;
    stage.deployment.start().await.unwrap();
}

/// Waits until the gateway has compared, and so many findings are open; its metrics.
async fn open(stage: &Stage, count: u64) -> String {
    let deadline = Instant::now() + PATIENCE;
    let open = format!("directlink_findings_open{{registry=\"province\"}} {count}");
    loop {
        let metrics = stage.deployment.gateways[0].metrics().await.unwrap();
        let compared = metrics.contains("directlink_reconciliations_total{");
        if compared && metrics.lines().any(|line| line == open) {
            return metrics;
        }
        assert!(Instant::now() < deadline, "{metrics}\n{}", stage.deployment.log_text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_keeps_findings_in_sqlite() {
    far_from_midnight().await;
    a_gateway_keeps_findings(Stage::sqlite(DAILY).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_keeps_findings_in_postgres() {
    far_from_midnight().await;
    a_gateway_keeps_findings(Stage::postgres(DAILY).await).await;
}
