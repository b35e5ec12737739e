//! `directlink evidence …` as people use it: beside a gateway that runs, on files, and on a ledger that somebody has changed by
//! hand. What is said and how it ends is told by docs/evidence.md.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use conformance_tests::{
    deployment::{Deployment, EVIDENCE_PUBLIC_KEY, Plan, page, program},
    fake_bank::{FakeBank, Heard, Line},
    samples::Samples,
};
use gateway::{
    assembly,
    contracts::read_contract,
    evidence::{
        leaf::Leaf,
        tree::{Hash, TileId, Tiles},
    },
    settings::Settings,
};
use tokio::{process::Command, time::Instant};

const BANK: &str = "yunshui";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

const SETTINGS: &str = r#"
[evidence]
origin = "log.example/stage"
key_files = ["evidence.key"]
checkpoint_seconds = 1
checkpoint_folder = "."
"#;

/// A gateway that serves one bank, and its bank.
struct Stage {
    deployment: Deployment,
    line: Line,
    samples: Samples,
    /// How many messages were answered.
    said: u64,
}

impl Stage {
    async fn open() -> Self {
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let contract = Arc::new(read_contract(&contracts.join(BANK)).unwrap());
        let samples = Samples::of(&contracts.join(BANK)).unwrap();
        let plan = Plan::of_one(BANK, &contracts, SETTINGS).unwrap();
        let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
        deployment.start().await.unwrap();
        let bank = FakeBank::new(&deployment, BANK, contract).unwrap();
        let line = bank.connect().await.unwrap();
        Self { deployment, line, samples, said: 0 }
    }

    /// Sends a message; the answer's bytes.
    async fn say(&mut self, message: Vec<u8>) -> Vec<u8> {
        self.said += 1;
        match self.line.ask(None, message).await.unwrap() {
            Heard::Answer { bytes, .. } => bytes,
            Heard::Nothing(why) => panic!("{why}"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.deployment.folder().join(name)
    }

    fn key(&self) -> String {
        fs::read_to_string(self.file(EVIDENCE_PUBLIC_KEY)).unwrap()
    }

    /// The program beside the gateway, in its folder.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let folder = self.deployment.folder();
        let mut command = Command::new(program("directlink").unwrap());
        let ended = command.arg("evidence").args(arguments).current_dir(folder).output();
        let ended = ended.await.unwrap();
        let told = [ended.stdout, ended.stderr].concat();
        (ended.status.code(), String::from_utf8(told).unwrap())
    }

    #[track_caller]
    fn by_hand(&self, statement: &str) {
        let database = rusqlite::Connection::open(self.file("ledger.db")).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        assert!(database.execute(statement, []).unwrap() > 0, "{statement} changed nothing");
    }
}

const SETTINGS_FILE: [&str; 2] = ["--settings", "directlink-1.toml"];

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_even_be_read_is_proved_and_a_changed_row_is_named() {
    let mut stage = Stage::open().await;
    let refused = stage.samples.bytes("bad/charset_0x80").unwrap();
    let heard = stage.say(refused.clone()).await;
    let sample = stage.samples.request("first_general").unwrap();
    stage.say(sample.clone()).await;
    fs::write(stage.file("sent"), &refused).unwrap();
    fs::write(stage.file("heard"), &heard).unwrap();
    fs::write(stage.file("other"), &sample).unwrap();

    let export = [&["export", "--index", "0", "-o", "refused.json"], &SETTINGS_FILE[..]].concat();
    let (code, told) = stage.run(&export).await;
    assert_eq!(code, Some(0), "{told}");
    let key = stage.key();
    let verify =
        ["verify", "refused.json", "--key", &key, "--message", "sent", "--message", "heard"];
    let (code, told) = stage.run(&verify).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("CHARSET") && !told.contains("\n  key "), "{told}");
    let (code, told) =
        stage.run(&["verify", "refused.json", "--key", &key, "--message", "other"]).await;
    assert_eq!(code, Some(1), "{told}");
    let (code, told) = stage.run(&["verify", "refused.json"]).await;
    assert_eq!(code, Some(3), "{told}");

    // What a lawyer gets.
    let (code, told) =
        stage.run(&["verify", "refused.json", "--key", &key, "--page", "page.html"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(fs::read_to_string(stage.file("page.html")).unwrap().contains("全部成立"));

    let audit = [&["audit"], &SETTINGS_FILE[..]].concat();
    let (code, told) = stage.run(&audit).await;
    assert_eq!(code, Some(0), "{told}");
    fs::copy(stage.file("checkpoint"), stage.file("kept")).unwrap();
    stage.by_hand(
        "UPDATE evidence_leaf SET leaf = replace(leaf, 'institution', 'institutiom') WHERE place = 0",
    );
    let (code, told) = stage.run(&audit).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("leaf 0 is not what was logged"), "{told}");
    stage.by_hand("DELETE FROM evidence_leaf WHERE place = 0");
    let (code, told) = stage.run(&audit).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("leaf 0 is missing"), "{told}");
    let seen = [&audit, &["--seen", "kept"][..]].concat();
    let (code, told) = stage.run(&seen).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(!told.contains("kept elsewhere"), "its tree is still the one that was signed: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_is_found_by_its_number_and_checkpoints_are_published_and_hold_the_log_to_them() {
    let mut stage = Stage::open().await;
    let sample = stage.samples.request("first_general").unwrap();
    stage.say(sample.clone()).await;
    let admin = stage.deployment.gateways[0].admin;
    let published = until(async || {
        let answer = page(admin, "/evidence/checkpoint").await.unwrap();
        if answer.status().is_success() { Some(answer.text().await.unwrap()) } else { None }
    })
    .await;
    let of_size = |note: &str| note.lines().nth(1).unwrap().to_owned();
    let size = of_size(&published);
    stage.say(sample.clone()).await;
    until(async || {
        let note = fs::read_to_string(stage.file("checkpoint")).unwrap();
        (of_size(&note) != size).then_some(())
    })
    .await;

    let grown =
        [&["consistency", "--from", &size, "-o", "grown.json"], &SETTINGS_FILE[..]].concat();
    let (code, told) = stage.run(&grown).await;
    assert_eq!(code, Some(0), "{told}");
    let key = stage.key();
    let (code, told) = stage.run(&["verify", "grown.json", "--key", &key]).await;
    assert_eq!(code, Some(0), "{told}");

    let exported = [&["export", "--index", "0", "-o", "one.json"], &SETTINGS_FILE[..]].concat();
    let (_, told) = stage.run(&exported).await;
    let leaf = fs::read_to_string(stage.file("one.json")).unwrap();
    let case = leaf.split("\\ncase ").nth(1).unwrap().split("\\n").next().unwrap();
    let export = [&["export", case, "-o", "case.json"], &SETTINGS_FILE[..]].concat();
    let (code, told_of_case) = stage.run(&export).await;
    assert_eq!(code, Some(0), "{told} {told_of_case}");
    assert!(told_of_case.contains(": 2 exchanges"), "{told_of_case}");
    let verify = ["verify", "case.json", "--key", &key, "--newer", "grown.json"];
    let (code, told) = stage.run(&verify).await;
    assert_eq!(code, Some(0), "{told}");
    let unknown = [&["export", "no-such-case"], &SETTINGS_FILE[..]].concat();
    let (code, told) = stage.run(&unknown).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("nobody has a case"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_rotates_while_banks_are_served() {
    let mut stage = Stage::open().await;
    let sample = stage.samples.request("first_general").unwrap();
    stage.say(sample.clone()).await;
    let keygen = ["keygen", "new.key", "--origin", "log.example/stage"];
    let (code, told) = stage.run(&keygen).await;
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = stage.run(&keygen).await;
    assert_eq!(code, Some(1), "what is there is not written over: {told}");
    let export = [&["export", "--index", "0", "-o", "one.json"], &SETTINGS_FILE[..]].concat();
    let judged = async |stage: &Stage, key: &str| {
        let (code, told) = stage.run(&export).await;
        assert_eq!(code, Some(0), "{told}");
        stage.run(&["verify", "one.json", "--key", key]).await.0
    };
    let old = stage.key();
    let new = fs::read_to_string(stage.file("new.key.pub")).unwrap();
    assert_eq!((judged(&stage, &old).await, judged(&stage, &new).await), (Some(0), Some(1)));

    stage.serve_with(r#"["evidence.key", "new.key"]"#).await;
    stage.say(sample.clone()).await;
    stage.is_signed_anew().await;
    assert_eq!((judged(&stage, &old).await, judged(&stage, &new).await), (Some(0), Some(0)));

    stage.serve_with(r#"["new.key", "evidence.key.pub"]"#).await;
    stage.say(sample).await;
    stage.is_signed_anew().await;
    assert_eq!((judged(&stage, &old).await, judged(&stage, &new).await), (Some(1), Some(0)));
    let (code, told) = stage.run(&[&["audit"], &SETTINGS_FILE[..]].concat()).await;
    assert_eq!(code, Some(0), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_rewritten_is_not_signed_even_by_a_gateway_that_starts_anew() {
    let mut stage = Stage::open().await;
    let sample = stage.samples.request("first_general").unwrap();
    stage.say(sample.clone()).await;
    stage.say(sample.clone()).await;
    let of_size = |note: &str| note.lines().nth(1).unwrap().to_owned();
    let published = until(async || {
        let note = fs::read_to_string(stage.file("checkpoint")).ok()?;
        (of_size(&note) == "2").then_some(note)
    })
    .await;
    stage.rewrite();
    stage.say(sample.clone()).await;
    stage.refuses_to_sign().await;
    for _ in 0..2 {
        assert_eq!(stage.checkpoints(), 0);
        assert_eq!(fs::read_to_string(stage.file("checkpoint")).unwrap(), published);
        let (code, told) = stage.run(&[&["audit"], &SETTINGS_FILE[..]].concat()).await;
        assert_eq!(code, Some(1), "{told}");
        let complaints = [
            "the first 2 leaves are not those of a checkpoint that was kept elsewhere",
            "there is no checkpoint",
        ];
        assert!(complaints.iter().all(|it| told.contains(it)), "{told}");

        stage.start_anew().await;
        stage.refuses_to_sign().await;
    }

    // A file that says nothing is not taken for one that nobody has written yet.
    fs::write(stage.file("checkpoint"), "").unwrap();
    stage.start_anew().await;
    stage.refuses_to_sign().await;
    assert!(stage.deployment.log_text().contains("what was published last cannot be read"));
    assert_eq!(stage.checkpoints(), 0);
}

impl Stage {
    /// Makes the log one in which the first leaf says something else, and nothing is left of what was signed: all that whoever can
    /// write the ledger can do.
    fn rewrite(&self) {
        let mut database = rusqlite::Connection::open(self.file("ledger.db")).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        let all = database.transaction().unwrap();
        let changed =
            "UPDATE evidence_leaf SET leaf = replace(leaf, 'result ', 'result X') WHERE place = 0";
        assert_eq!(all.execute(changed, []).unwrap(), 1);
        let mut rows = all.prepare("SELECT leaf FROM evidence_leaf ORDER BY place").unwrap();
        let hashes = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let hashes: Vec<_> = hashes.map(|leaf| Hash::of_leaf(leaf.unwrap().as_bytes())).collect();
        drop(rows);
        let mut tiles = Tiles::default();
        tiles.grow(0, &hashes).unwrap();
        let (tile, root) = (TileId { level: 0, position: 0 }, tiles.root(2).unwrap());
        let tile = tiles.bytes(tile);
        assert_eq!(all.execute("UPDATE evidence_tile SET hashes = ?1", [tile]).unwrap(), 1);
        assert_eq!(all.execute("UPDATE evidence_head SET root = ?1", [root.0]).unwrap(), 1);
        assert!(all.execute("DELETE FROM evidence_checkpoint", []).unwrap() > 0);
        all.commit().unwrap();
    }

    fn checkpoints(&self) -> i64 {
        let database = rusqlite::Connection::open(self.file("ledger.db")).unwrap();
        let count = "SELECT count(*) FROM evidence_checkpoint";
        database.query_row(count, [], |row| row.get(0)).unwrap()
    }

    async fn refuses_to_sign(&self) {
        let gateway = &self.deployment.gateways[0];
        until(async || {
            let metrics = gateway.metrics().await.unwrap();
            metrics.lines().any(|told| told == "directlink_evidence_refused 1").then_some(())
        })
        .await;
    }

    async fn start_anew(&mut self) {
        self.deployment.gateways[0].tell_to_stop().await.unwrap();
        assert!(self.deployment.gateways[0].stopped().await.unwrap().success());
        self.deployment.start().await.unwrap();
    }

    /// Starts the gateway again with other keys.
    async fn serve_with(&mut self, keys: &str) {
        let file = self.file("directlink-1.toml");
        let settings = fs::read_to_string(&file).unwrap();
        let (before, after) = settings.split_once("key_files = ").unwrap();
        let (_, after) = after.split_once(']').unwrap();
        fs::write(&file, format!("{before}key_files = {keys}{after}")).unwrap();
        self.start_anew().await;
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let contract = Arc::new(read_contract(&contracts.join(BANK)).unwrap());
        let bank = FakeBank::new(&self.deployment, BANK, contract).unwrap();
        self.line = bank.connect().await.unwrap();
    }

    /// Waits until everything that was said is under a checkpoint.
    async fn is_signed_anew(&self) {
        let gateway = &self.deployment.gateways[0];
        let line = format!("directlink_evidence_signed {}", self.said);
        until(async || {
            let metrics = gateway.metrics().await.unwrap();
            metrics.lines().any(|told| told == line).then_some(())
        })
        .await;
    }
}

/// Asks until there is an answer. Another process works: there is no event to wait for.
async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "nothing happened");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_on_the_command_line_is_a_leaf_even_if_it_comes_to_nothing() {
    let stage = Stage::open().await;
    let settings = Settings::load(stage.deployment.gateways[0].settings()).unwrap();
    // There is nothing of any of them: nobody was told, nothing is parked, and no books differ.
    let acts: [(&[&str], [&str; 2]); 5] = [
        (&["notices", "resume", "nobody-told"], ["resume", "nobody-told"]),
        (&["notices", "resend", "nobody-told", "--all"], ["resend", "nobody-told"]),
        (&["findings", "close", "7", "--note", "seen"], ["close-finding", "7"]),
        (&["notices", "list"], ["", ""]),
        (&["findings", "list"], ["", ""]),
    ];
    for (words, _) in acts {
        let mut command = Command::new(program("directlink").unwrap());
        command.args(words).args(SETTINGS_FILE).env("SUDO_USER", "wang");
        let ended = command.current_dir(stage.deployment.folder()).output().await.unwrap();
        let is_act = words[1] != "list";
        assert_eq!(ended.status.code(), Some(i32::from(is_act)), "{words:?}");
    }
    let ledger = assembly::ledger_to_read(&settings).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let leaves = loop {
        let kept = ledger.leaves(0, 9).await.unwrap();
        if kept.len() >= 3 {
            break kept;
        }
        assert!(Instant::now() < deadline, "of {} acts there are leaves", kept.len());
        tokio::time::sleep(Duration::from_millis(20)).await; // The tree grows by itself.
    };
    let told = leaves.iter().map(|kept| {
        let leaf = Leaf::read(&kept.text).unwrap();
        ["who", "by", "act", "subject"].map(|name| leaf.says(name).unwrap().to_owned())
    });
    let done = acts.iter().filter(|(words, _)| words[1] != "list");
    let done = done.map(|(_, [act, subject])| ["wang", "command", act, subject].map(str::to_owned));
    assert_eq!(told.collect::<Vec<_>>(), done.collect::<Vec<_>>(), "what only reads leaves none");
    let (code, told) = stage.run(&[&["audit"], &SETTINGS_FILE[..]].concat()).await;
    assert_eq!(code, Some(0), "{told}");
}
