//! Nothing that messages say of people is told by what works beside the exchange, well or not: the console and what operators
//! do there, commands, what waits, is corrected, uploaded, compared or parked, a database that says which row it refused, and
//! a registry that says more than it should. Looked for in logs, metrics, traces and what commands say went wrong.
//!
//! One deployment, on Postgres. A page or a command shows what it was asked for: that is no leak, and shows that there was
//! something to leak.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use conformance_tests::{
    collector::Collector,
    deployment::{Deployment, Plan, program},
    personal::Personal,
    postgres_server::PostgresServer,
    programme,
    reference_registry::{self, Call, Fault, Review, SAMPLES, Settings},
    reserved_port::ReservedPort,
    scenario::stage::{Role, Stage},
};
use http::{Method, StatusCode};
use reqwest::Client;
use tokio::process::Command;
use tokio_postgres::NoTls;

use super::{contracts, logged};

const BANK: &str = "standard";

/// What banks say and registries do first: what is corrected, asked, refused, read from the feed, and not told.
const AT_FIRST: &[&str] = &[
    "bank sends first_general",
    "bank hears outcome status=ACCEPTED",
    "registry asks for corrections",
    "bank repeats case_poll until outcome status=CORRECTION_REQUESTED",
    "bank sends first_corrected",
    "bank hears outcome status=ACCEPTED",
    "registry registers everything",
    "bank sends events",
    "bank hears events",
    "bank sends title_query",
    "bank sends discharge_check",
    "bank sends certificate_by_number",
    "bank sends record_query",
    "bank sends dry_run",
    "bank sends reconciliation",
    "registry does not answer about titles",
    "bank sends title_query",
    "bank hears refusal",
    "bank sends presale_notice",
    "bank hears outcome status=ACCEPTED",
    "registry reviews everything",
    "registry refuses everything",
];

/// What is filed while its office is closed.
const WHILE_CLOSED: &[&str] = &[
    r#"gateway counts directlink_settings_changed_total{end="taken"} 1"#,
    "bank sends first_maximum",
    "bank hears outcome status=QUEUED_OUT_OF_HOURS",
];

/// And once it is open.
const ONCE_OPEN: &[&str] = &[
    r#"gateway counts directlink_settings_changed_total{end="taken"} 2"#,
    "bank repeats first_maximum until outcome status=ACCEPTED",
];

/// Of a filing that the database refuses.
const REFUSED: &[&str] =
    &["bank sends under_construction", "bank hears refusal code=LEDGER_UNAVAILABLE"];

/// What commands are asked, in the deployment's folder. `{case}`, `{key}`: the first case; `{name}`: somebody in it.
const ASKED: &[&[&str]] = &[
    &["ledger", "migrate"],
    &["notices", "list"],
    &["notices", "resend", "away", "--all"],
    &["notices", "resend", "away", "{name}"],
    &["notices", "resume", "{name}"],
    &["reconcile", "--day", "{day}"],
    &["reconcile", "--day", "{day}", "--institution", BANK, "--bank-file", "shifted.csv"],
    &["findings", "list", "--all"],
    &["findings", "close", "1", "--note", "{name}"],
    &["evidence", "export", "{case}", "-o", "case.json"],
    &["evidence", "export", "{name}"],
    &["evidence", "verify", "case.json", "--message", "sent"],
    &["evidence", "verify", "sent"],
    &["evidence", "lineage", "{key}", "--institution", BANK, "--message", "sent"],
    &["evidence", "lineage", "{key}", "--institution", BANK, "--message", "shifted.csv"],
    &["evidence", "audit", "--seen", "sent"],
];

/// A bank's list whose columns are not those that it names.
const SHIFTED: &str =
    "key,case,status,amount_fen\n{key},{case},{name},{amount}\nk,c,{amount},{name}\nk,c,{name}\n";

struct Scene<'s> {
    stage: Stage<'s>,
    console: Console,
    /// What commands said went wrong.
    complaints: String,
    /// What was shown to those who asked for it.
    shown: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_message_is_told_beside_the_exchange() {
    let roles = programme::roles(&contracts()).unwrap();
    let role = roles.iter().find(|role| role.bank == BANK).unwrap();
    let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap().unwrap();
    let database = server.make_database().await.unwrap();
    let collector = Collector::start().await.unwrap();
    let nobody = ReservedPort::reserve().unwrap();
    let settings = settings(&collector.address, &nobody);
    let mut plan = Plan::of_one(BANK, &contracts(), &settings).unwrap();
    plan.ledger = toml::Table::from_iter([("postgres".into(), database.clone().into())]);
    let always = toml::toml! {
        open_weekdays = [1, 2, 3, 4, 5, 6, 7]
        opens = "00:00"
        closes = "24:00"
    };
    let data = reference_registry::with_offices(SAMPLES, &always).unwrap();
    let on_command = |settings| Settings { data, review: Review::OnCommand, ..settings };
    let mut deployment = Deployment::prepare(&plan, on_command).await.unwrap();
    // A stream that never was: the registry says why not, and whom it could not find.
    deployment.registry.control().order(Call::WatchEvents, [Fault::Unavailable]);
    deployment.start().await.unwrap();
    let console = Console::of(&deployment);
    let mut stage = Stage::new(deployment, None);
    stage.enter(role).unwrap();
    let mut scene = Scene { stage, console, complaints: String::new(), shown: String::new() };

    scene.play(AT_FIRST).await;
    logged(scene.stage.deployment(), "notices are parked").await;
    scene.uploads(role).await;
    let file = scene.stage.deployment().gateways[0].settings().to_owned();
    let open = fs::read_to_string(&file).unwrap();
    let closed = open.replace("[[office]]\n", "[[office]]\nhours = [\"7 03:00-03:01\"]\n");
    scene.turns_to(&closed).await;
    scene.play(WHILE_CLOSED).await;
    scene.looks(role).await;
    scene.asks(role).await;
    scene.turns_to(&open).await;
    scene.play(ONCE_OPEN).await;
    // The database says of what it refuses which row that is: its amount stands there.
    by_hand(&database, "ALTER TABLE filing ADD CHECK (state <> 1) NOT VALID").await;
    scene.play(REFUSED).await;
    scene.looks(role).await;
    scene.asks(role).await;

    let Scene { stage, complaints, shown, .. } = scene;
    let metrics = stage.deployment().gateways[0].metrics().await.unwrap();
    let personal: Vec<Personal> = stage.personal().cloned().collect();
    let mut deployment = stage.into_deployment();
    deployment.gateways[0].tell_to_stop().await.unwrap();
    deployment.gateways[0].stopped().await.unwrap();
    let log = deployment.log_text();
    let traces = collector.text();
    assert!(traces.contains("notice") && traces.contains("open") && metrics.contains("directlink"));
    assert!(!log.contains("panicked"), "{log}");
    let told =
        [("log", log), ("metrics", metrics), ("traces", traces), ("a complaint", complaints)];
    for personal in &personal {
        assert!(personal.told_in(&shown).is_some(), "nobody was shown anything");
        for (place, text) in &told {
            if let Some((secret, line)) = personal.told_in(text) {
                panic!("`{secret}` stands in {place}: {line}");
            }
        }
    }
}

/// Everything is switched on, and logged; one subscriber never answers.
fn settings(otlp: &str, nobody: &ReservedPort) -> String {
    format!(
        r#"
[telemetry]
log = "trace"
otlp = "{otlp}"
trace_one_in = 1
[registry]
answers = "events"
deadline_seconds = 1
[console]
refresh_seconds = 1
[console.proxy]
addresses = ["127.0.0.1"]
operators = ["operators"]
[materials]
[queue]
key_file = "queue.keys"
[evidence]
origin = "log.example/stage"
key_files = ["evidence.key"]
checkpoint_seconds = 1
[reconciliation]
hour = 0
[[subscriber]]
name = "away"
institution = "{BANK}"
address = "https://{address}/notices"
server_name = "localhost"
ca = "pki/banks-ca.pem"
certificate = "pki/gateway-client.pem"
key = "pki/gateway-client.key"
networks = ["127.0.0.0/8"]
first_seconds = 1
longest_seconds = 1
park_seconds = 1
"#,
        address = nobody.address
    )
}

impl Scene<'_> {
    async fn play(&mut self, steps: &[&str]) {
        for step in steps {
            let played = self.stage.play(&step.parse().unwrap()).await;
            played.unwrap_or_else(|why| {
                panic!("{step}: {why:#}\n{}", self.stage.deployment().log_text())
            });
        }
    }

    /// Offices are open or closed from now on.
    async fn turns_to(&self, settings: &str) {
        let gateway = &self.stage.deployment().gateways[0];
        gateway.change_settings(settings).unwrap();
        gateway.tell_to_look().await.unwrap();
    }

    /// A word put in for what it stands for.
    fn worded(&self, text: &str, name: &str, amount: &str) -> String {
        let cases = self.stage.deployment().registry.control().cases();
        let now = time::OffsetDateTime::now_utc().to_offset(time::macros::offset!(+8));
        let words = [
            ("{case}", cases[0].case_id.as_str()),
            ("{key}", cases[0].key.as_str()),
            ("{day}", &now.date().to_string()),
            ("{name}", name),
            ("{amount}", amount),
        ];
        words.iter().fold(text.to_owned(), |text, (word, said)| text.replace(word, said))
    }

    /// Somebody who is in a message, and an amount.
    fn somebody(&self) -> (String, String) {
        let personal = self.stage.personal().next().unwrap();
        let is_amount = |it: &&str| it.bytes().all(|byte| byte.is_ascii_digit());
        let amount = personal.texts().find(is_amount).unwrap().to_owned();
        let name = personal.texts().find(|it| !it.is_ascii()).unwrap().to_owned();
        (name, amount)
    }

    /// A material that is not what it is said to be, and one that is.
    async fn uploads(&mut self, role: &Role) {
        let (name, _) = self.somebody();
        let deployment = self.stage.deployment();
        let bank = &deployment.pki.banks[&role.bank];
        let tls = conformance_tests::tls::client(Some(bank), &deployment.pki.banks_ca, &["h2"]);
        let client = Client::builder().tls_backend_preconfigured(tls.unwrap()).no_proxy();
        let client = client.build().unwrap();
        let content = format!("%PDF-1.7 {name}");
        let sha256 =
            hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.as_bytes()));
        for (sha256, body, status) in [
            (sha256.as_str(), &content, 201),
            (&"0".repeat(64), &content, 422),
            (&"1".repeat(64), &name, 422),
        ] {
            let url = format!("https://{}/materials/{sha256}", deployment.gateways[0].https);
            let put = client.put(url).header("content-type", "application/pdf");
            let answer = put.body(body.clone()).send().await.unwrap();
            assert_eq!(answer.status(), status);
        }
    }

    /// An operator looks at every page, looks for people, and does all that can be done there.
    async fn looks(&mut self, role: &Role) {
        let (name, amount) = self.somebody();
        let case = self.worded("cases/standard/{key}", &name, &amount);
        for path in [
            "",
            "cases",
            "offices",
            "institutions",
            "contracts",
            "unknown",
            "notices",
            "findings?all=1",
            "settings",
            "cases?status=REGISTERED",
            &case,
            &format!("cases?q={name}"),
            &format!("cases?q={amount}&institution={name}"),
            &format!("cases/{name}/{amount}"),
            &format!("{case}/{name}"),
        ] {
            self.shown.push_str(&self.console.ask(Method::GET, path, &[]).await.1);
        }
        let sent = BASE64_STANDARD.encode(role.samples.request("first_general").unwrap());
        for (path, form) in [
            (format!("{case}/unmask"), vec![]),
            (format!("{case}/lineage"), vec![("message", sent.as_str())]),
            (format!("cases/standard/{name}/unmask"), vec![]),
            ("findings/close".to_owned(), vec![("id", "1"), ("note", name.as_str())]),
            ("findings/close".to_owned(), vec![("id", name.as_str()), ("note", amount.as_str())]),
            ("notices/resend".to_owned(), vec![("subscriber", "away")]),
            ("notices/resend".to_owned(), vec![("subscriber", "away"), ("event", name.as_str())]),
            ("notices/resume".to_owned(), vec![("subscriber", "away")]),
        ] {
            self.shown.push_str(&self.console.ask(Method::POST, &path, &form).await.1);
        }
        let mut changes = self.console.open("changes").await;
        assert!(changes.chunk().await.unwrap().is_some(), "nothing is told live");
    }

    /// Commands are asked for everything; what they complain of is kept, and what they answer is shown.
    async fn asks(&mut self, role: &Role) {
        let (name, amount) = self.somebody();
        let folder = self.stage.deployment().folder();
        fs::write(folder.join("sent"), role.samples.request("first_general").unwrap()).unwrap();
        fs::write(folder.join("shifted.csv"), self.worded(SHIFTED, &name, &amount)).unwrap();
        for asked in ASKED {
            let mut command = Command::new(program("directlink").unwrap());
            let arguments = asked.iter().map(|it| self.worded(it, "nobody", &amount));
            command.args(arguments).current_dir(folder);
            if !asked.contains(&"verify") {
                command.args(["--settings", "directlink-1.toml"]);
            }
            let ended = command.output().await.unwrap();
            self.shown.push_str(&String::from_utf8_lossy(&ended.stdout));
            self.complaints.push_str(&String::from_utf8_lossy(&ended.stderr));
        }
    }
}

/// The pages, as a proxy asks for them that an operator has signed in to.
struct Console {
    client: Client,
    admin: std::net::SocketAddr,
}

impl Console {
    fn of(deployment: &Deployment) -> Self {
        let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { client, admin: deployment.gateways[0].admin }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let origin = format!("http://{}", self.admin);
        let request = self.client.request(method, format!("{origin}/console/{path}"));
        let request = request.header("x-forwarded-user", "wang").header("origin", origin);
        request.header("x-forwarded-groups", "operators").header("cookie", "directlink_here=yes")
    }

    async fn ask(&self, method: Method, path: &str, form: &[(&str, &str)]) -> (StatusCode, String) {
        let request = self.request(method.clone(), path);
        let form = reqwest::Url::parse_with_params("http://form", form).unwrap();
        let request = match method {
            Method::POST => request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.query().unwrap_or_default().to_owned()),
            _ => request,
        };
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn open(&self, path: &str) -> reqwest::Response {
        self.request(Method::GET, path).send().await.unwrap()
    }
}

async fn by_hand(database: &str, statement: &str) {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.execute(statement, &[]).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}
