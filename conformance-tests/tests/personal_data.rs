//! Nothing that stands in a bank's message gets into logs, metrics or traces, whatever becomes of the message. Played
//! with every contract's samples and bad inputs, at the most talkative log level, against a registry that answers,
//! refuses, stays silent and goes away, and with a subscriber that takes no notices, then some, then all.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use adapters::{Mode, wire::Media};
use conformance_tests::{
    collector::Collector,
    deployment::{Deployment, Places, Plan},
    fake_bank::FakeBank,
    personal::stands_in,
    programme,
    receiver::{Manner, Receiver},
    reference_registry::{Call, Fault, Silence},
    reserved_port::ReservedPort,
    samples,
    scenario::stage::Role,
    tls,
};
use gateway::ledger::{LedgerSettings, SqliteSettings};
use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use tokio::time::{sleep, timeout};

#[path = "personal_data/beside.rs"]
mod beside;

/// Texts shorter than this, in bytes, stand everywhere by chance.
const TELLING_BYTES: usize = 6;

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_message_is_in_logs_metrics_or_traces() {
    for role in programme::roles(&contracts()).unwrap() {
        let collector = Collector::start().await.unwrap();
        let told = ReservedPort::reserve().unwrap();
        let mut deployment = prepared(&role.bank, &collector.address, &told).await;
        let server =
            tls::server(&deployment.pki.gateway, &deployment.pki.registry_ca, &[]).unwrap();
        let words = samples::contract(&contracts().join(TOLD_IN)).unwrap();
        let subscriber =
            Receiver::start(told.address, server, Arc::new(words), None).await.unwrap();
        subscriber.answers(Manner::Says { status: 503, retry_after: None, only: None });
        deployment.start().await.unwrap();
        let bank = FakeBank::new(&deployment, &role.bank, role.contract.clone()).unwrap();

        let messages = messages(&role);
        let mut secrets = BTreeSet::new();
        for message in &messages {
            if let Ok(decoded) = role.contract.decode(message, Mode::Production)
                && let Some(envelope) = proto::descriptors::dynamic("Envelope", &decoded.envelope)
            {
                note(&envelope, &mut secrets);
            }
        }
        assert!(secrets.len() > 10, "{secrets:?}");
        secrets.insert(SECRET_NAME.to_owned());
        // A message may name its office; so do settings, and metrics by them.
        let places = Places::kit().unwrap();
        for office in &places.office {
            secrets.remove(office["code"].as_str().unwrap());
        }

        // Well, again, under faults, and while nobody is there.
        say_all(&bank, &role, &messages).await;
        logged(&deployment, "a subscriber takes no notices just now").await;
        subscriber.answers(Manner::Says { status: 422, retry_after: None, only: None });
        logged(&deployment, "a notice was not taken").await;
        subscriber.answers(Manner::Takes);
        subscriber.is_told(|events| !events.is_empty()).await.unwrap();
        say_all(&bank, &role, &messages).await;
        let control = deployment.registry.control().clone();
        for call in [Call::Submit, Call::GetCase, Call::QueryTitle] {
            let silence = Fault::DropAfterCommit { how: Silence::Close };
            control.order(call, [silence, silence, Fault::Unavailable, silence]);
        }
        say_all(&bank, &role, &changed(&role)).await;
        control.down().await;
        say_all(&bank, &role, &messages).await;
        let metrics = deployment.gateways[0].metrics().await.unwrap();
        deployment.gateways[0].tell_to_stop().await.unwrap();
        assert!(deployment.gateways[0].stopped().await.unwrap().success());

        let leaves = leaves(&deployment).await;
        let log = deployment.log_text();
        let traces = collector.text();
        assert!(log.contains("items nobody agreed on") || !takes_more(&role), "{log}");
        assert!(traces.contains("notice"), "no trace tells of a notice");
        assert!(traces.contains("exchange") && metrics.contains("directlink"), "nothing came out");
        assert!(!log.contains("panicked"), "{log}");
        // Each line is JSON, and what is said of an exchange says in which trace that is.
        for line in log.lines() {
            let told: serde_json::Value = serde_json::from_str(line).unwrap();
            let is_of_one = told["message"] == "a filing was not answered";
            assert!(!is_of_one || told["trace_id"].is_string(), "{line}");
        }
        for secret in &secrets {
            for (place, text) in
                [("log", &log), ("metrics", &metrics), ("traces", &traces), ("evidence", &leaves)]
            {
                if let Some(line) = text.lines().find(|line| stands_in(line, secret)) {
                    panic!("{}: {secret} stands in the {place}: {line}", role.bank);
                }
            }
        }
    }
}

/// Waits until the gateway has logged something.
async fn logged(deployment: &Deployment, words: &str) {
    let said = async {
        while !deployment.log_text().contains(words) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), said).await.unwrap();
}

/// The leaves that were kept of all exchanges, but for what stands in the clear: the keys of filings, the numbers of cases,
/// and the office.
async fn leaves(deployment: &Deployment) -> String {
    let path = deployment.folder().join("ledger.db");
    let settings = LedgerSettings::Sqlite(SqliteSettings { path });
    let ledger = gateway::ledger::open_to_read(&settings).await.unwrap();
    let kept = ledger.leaves(0, 10_000).await.unwrap();
    assert!(!kept.is_empty());
    let lines = kept.iter().flat_map(|leaf| leaf.text.lines());
    let clear = ["key ", "case ", "office "];
    let lines = lines.filter(|line| !clear.iter().any(|name| line.starts_with(name)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Texts and amounts of a message, and of the messages in it.
fn note(message: &DynamicMessage, secrets: &mut BTreeSet<String>) {
    for (field, value) in message.fields() {
        match value {
            // The gateway's own words for the message and the day, which logs have too.
            _ if ["transaction_code", "date"].contains(&field.name()) => {}
            Value::List(items) => items.iter().for_each(|item| note_value(item, secrets)),
            value => note_value(value, secrets),
        }
    }
}

fn note_value(value: &Value, secrets: &mut BTreeSet<String>) {
    match value {
        Value::Message(inner) if inner.descriptor().package_name() == "google.protobuf" => {}
        Value::Message(inner) => note(inner, secrets),
        Value::String(text) if text.len() >= TELLING_BYTES => {
            secrets.insert(text.clone());
        }
        Value::I64(number) if number.to_string().len() >= TELLING_BYTES => {
            secrets.insert(number.to_string());
        }
        _ => {}
    }
}

/// The name of an item nobody agreed on.
const SECRET_NAME: &str = "客户王小明的手机";

fn takes_more(role: &Role) -> bool {
    matches!(role.contract.wire().media, Media::Json) && role.contract.wire().prefix.is_none()
}

/// All requests, good and bad, and one with an item more.
fn messages(role: &Role) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for folder in ["samples", "bad"] {
        let folder = contracts().join(&role.bank).join("cases").join(folder);
        let mut files: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.retain(|file| {
            let name = file.to_string_lossy();
            name.contains(".request.") || (name.ends_with(".bytes") && name.contains("/bad/"))
        });
        messages.extend(files.iter().map(|file| fs::read(file).unwrap()));
    }
    if takes_more(role) {
        let name = role.samples.first_name().unwrap();
        let text = String::from_utf8(role.samples.request(&name).unwrap()).unwrap();
        messages.push(text.replacen('{', &format!("{{\"{SECRET_NAME}\": \"1\","), 1).into_bytes());
    }
    messages
}

/// The first request under keys of its own, so that each is sent.
fn changed(role: &Role) -> Vec<Vec<u8>> {
    use conformance_tests::scenario::Change;
    let name = role.samples.first_name().unwrap();
    let under = |end: u32| {
        let change = Change::End("exchange.serial".to_owned(), end.to_string());
        let (message, envelope) = role.samples.changed(&role.contract, &name, &[change]).unwrap();
        let reply = adapters::Reply::Request;
        role.contract.encode(Some(&message), reply, &envelope).unwrap()
    };
    (1..=4).map(under).collect()
}

async fn say_all(bank: &FakeBank, role: &Role, messages: &[Vec<u8>]) {
    for message in messages {
        let name = match role.contract.decode(message, Mode::Production) {
            Ok(decoded) => Some(decoded.message),
            Err(undecoded) => undecoded.message,
        };
        let mut line = bank.connect().await.unwrap();
        // What is heard is others' business.
        line.ask(name.as_deref(), message.clone()).await.unwrap();
    }
}

/// The contract whose words notices are in.
const TOLD_IN: &str = "standard";

async fn prepared(bank: &str, otlp: &str, told: &ReservedPort) -> Deployment {
    let settings = format!(
        "[institution]\nmode = \"production\"\n[limits]\nbody_seconds_max = 1\n\
         [telemetry]\nlog = \"trace\"\notlp = \"{otlp}\"\ntrace_one_in = 1\n\
         [registry]\ndeadline_seconds = 1\n\
         [[subscriber]]\nname = \"core\"\ninstitution = \"{bank}\"\ncontract = \"{TOLD_IN}\"\n\
         address = \"https://{told}/notices\"\nserver_name = \"localhost\"\nca = \"pki/banks-ca.pem\"\n\
         certificate = \"pki/gateway-client.pem\"\nkey = \"pki/gateway-client.key\"\n\
         networks = [\"127.0.0.0/8\"]\nanswer_seconds_max = 1\nfirst_seconds = 1\nlongest_seconds = 1",
        told = told.address
    );
    let plan = Plan::of_one(bank, &contracts(), &settings).unwrap();
    Deployment::prepare(&plan, |settings| settings).await.unwrap()
}
