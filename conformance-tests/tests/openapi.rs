//! The OpenAPI document of a contract whose messages are whole HTTP requests: one a validator accepts, true of every
//! golden case, and what a gateway serves.
//!
//! What made-up requests get is tried by `make api-test`. The schema of OpenAPI documents is that of
//! https://spec.openapis.org/oas/3.1/schema/2022-10-07.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use adapters::{Contract, FaultCode, Mode, Reply, explain, openapi, wire::whole::HttpMessage};
use conformance_tests::{
    deployment::{Deployment, Plan},
    samples, tls,
};
use gateway::contracts::case_files;
use proto::v1::{CaseStatus, Correction, Envelope, Event, EventKind, Outcome};
use serde_json::{Value, json};

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks")
}

/// Contracts that have such a document, with it.
fn described() -> Vec<(PathBuf, Contract, Value)> {
    let folders = fs::read_dir(contracts()).unwrap().map(|entry| entry.unwrap().path());
    let described = folders.filter_map(|folder| {
        let contract = samples::contract(&folder).unwrap();
        let cases = case_files(&folder.join("cases")).unwrap();
        let document = openapi::describe(&contract, &explain::examples(&contract, &cases))?;
        Some((folder, contract, document))
    });
    let described: Vec<_> = described.collect();
    assert!(!described.is_empty());
    described
}

#[test]
fn a_validator_accepts_the_document() {
    let schema = include_str!("../data/openapi-3.1.schema.json");
    let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    for (folder, _, document) in described() {
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", folder.display());
    }
    assert!(!validator.is_valid(&json!({ "openapi": "3.1.0" })), "it accepts anything");
}

/// What the document says of the body of a message.
fn schema<'d>(document: &'d Value, request: &HttpMessage<'_>, path: &str) -> Option<&'d Value> {
    let (method, target) = request.request()?;
    let method = method.to_ascii_lowercase();
    let paths = document.get("paths")?.as_object()?;
    let shape = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let target = target.split('?').next().unwrap_or_default();
    let (asked, fits) = (shape(target), |stands: &[String], asked: &[String]| {
        stands.len() == asked.len()
            && stands.iter().zip(asked).all(|(one, other)| one == other || one.starts_with('{'))
    });
    let (_, item) = paths.iter().find(|(path, _)| fits(&shape(path), &asked))?;
    item.get(method)?.pointer(path)
}

/// What is wrong with a value by a schema of the document.
fn errors(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&whole).unwrap();
    validator.iter_errors(value).map(|error| error.to_string()).collect()
}

#[test]
fn a_notice_is_as_the_document_says() {
    let (_, contract, document) = described()
        .into_iter()
        .find(|(_, contract, _)| contract.can_write(Some("event"), Reply::Notice))
        .unwrap();
    let received = &document["webhooks"]["event"]["post"];
    let schema = &received["requestBody"]["content"]["application/json"]["schema"];
    // As notices.md shows it, and as the contract writes one that says all it can.
    let page = include_str!("../../docs/notices.md");
    let shown = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    let correction =
        Correction { deadline: "2026-03-20".to_owned(), items: vec!["缺页".to_owned()] };
    let outcome = Outcome {
        status: CaseStatus::CorrectionRequested.into(),
        case_id: "SL1".to_owned(),
        correction: Some(correction),
        ..Outcome::default()
    };
    let event = Event {
        id: "EV-0000000001-5c1d9e0a77b3f210".to_owned(),
        sequence: 1,
        kind: EventKind::DeadlineNear.into(),
        happened_at: Some(prost_types::Timestamp { seconds: 1_772_673_154, nanos: 0 }),
    };
    let envelope = Envelope { event: Some(event), outcome: Some(outcome), ..Envelope::default() };
    let written = contract.encode(Some("event"), Reply::Notice, &envelope);
    let written = written.unwrap_or_else(|cannot| panic!("{}: {}", cannot.field, cannot.reason));
    for notice in [shown.unwrap().as_bytes(), &written] {
        let notice: Value = serde_json::from_slice(notice).unwrap();
        assert_eq!(errors(&document, schema, &notice), [""; 0], "{notice}");
        let mut less = notice.clone();
        less.as_object_mut().unwrap().remove("type");
        assert!(!errors(&document, schema, &less).is_empty(), "it accepts anything");
    }
    let headers: Vec<_> = received["parameters"].as_array().unwrap().iter().collect();
    let names: Vec<_> = headers.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["webhook-id", "webhook-timestamp", "webhook-signature"]);
}

#[test]
fn every_golden_case_is_as_the_document_says() {
    const BODY: &str = "/requestBody/content/application~1json/schema";
    for (folder, contract, document) in described() {
        let cases = case_files(&folder.join("cases")).unwrap();
        let mut wrong = Vec::new();
        for sample in adapters::cases::samples(&cases).unwrap() {
            let file = |name: &Option<String>| cases.get(&format!("samples/{}", name.as_ref()?));
            let request = HttpMessage::parse(file(&sample.request).unwrap()).unwrap();
            if let Some(schema) = schema(&document, &request, BODY) {
                let body = serde_json::from_slice(&request.body).unwrap();
                wrong.extend(errors(&document, schema, &body));
            }
            for answer in [file(&sample.reply), file(&sample.refused)].into_iter().flatten() {
                let answer = HttpMessage::parse(answer).unwrap();
                let media = answer.headers.iter().find(|(name, _)| name == "Content-Type");
                let media = media.unwrap().1.replace('/', "~1");
                let status = answer.status().unwrap();
                let path = format!("/responses/{status}/content/{media}/schema");
                let schema = schema(&document, &request, &path);
                let body = serde_json::from_slice(&answer.body).unwrap();
                match schema {
                    Some(schema) => wrong.extend(errors(&document, schema, &body)),
                    None => wrong.push(format!("{}: no {path}", sample.name)),
                }
            }
        }
        // What is no message of the contract is none by the document either.
        for (name, bytes) in &cases {
            let Some(request) = HttpMessage::parse(bytes).filter(|_| name.starts_with("bad/"))
            else {
                continue;
            };
            let Err(undecoded) = contract.decode(bytes, Mode::Test) else { continue };
            let of_the_body = |fault: &adapters::Fault| {
                fault.place.starts_with('/')
                    && matches!(
                        fault.code,
                        FaultCode::TagMissing | FaultCode::TagUnknown | FaultCode::ValueKind
                    )
            };
            let (Some(schema), Ok(body)) =
                (schema(&document, &request, BODY), serde_json::from_slice(&request.body))
            else {
                continue;
            };
            let is_told = !errors(&document, schema, &body).is_empty();
            if undecoded.faults.iter().any(of_the_body) && !is_told {
                wrong.push(format!("{name}: allowed by the document, refused by the contract"));
            }
        }
        assert!(wrong.is_empty(), "{}: {wrong:#?}", folder.display());
    }
}

fn without_examples(document: &Value) -> Value {
    match document {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| *name != "example");
            Value::Object(kept.map(|(name, it)| (name.clone(), without_examples(it))).collect())
        }
        Value::Array(items) => items.iter().map(without_examples).collect(),
        value => value.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_serves_it_and_knows_no_other_paths_or_methods() {
    for (folder, _, document) in described() {
        let bank = folder.file_name().unwrap().to_string_lossy().into_owned();
        let plan = Plan::of_one(&bank, &contracts(), "").unwrap();
        let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
        deployment.start().await.unwrap();
        let address = deployment.gateways[0].https;
        let credentials = Some(&deployment.pki.banks[&bank]);
        let tls = tls::client(credentials, &deployment.pki.banks_ca, &["h2", "http/1.1"]).unwrap();
        let client =
            reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        let served = client.get(format!("https://{address}/openapi.json")).send().await.unwrap();
        assert_eq!(served.status(), 200);
        assert_eq!(served.headers()["content-type"], "application/json");
        let served: Value = serde_json::from_slice(&served.bytes().await.unwrap()).unwrap();
        // Only contracts are deployed, no golden cases: its examples are made up.
        assert!(without_examples(&served) == without_examples(&document), "another document");
        assert!(served != without_examples(&served), "no examples");

        let (path, item) = document["paths"].as_object().unwrap().iter().next().unwrap();
        let methods: Vec<String> =
            item.as_object().unwrap().keys().map(|method| method.to_ascii_uppercase()).collect();
        for (method, path, status, code) in [
            ("DELETE", path.as_str(), 405, "METHOD_NOT_ALLOWED"),
            ("GET", "/v1/nothing", 404, "PATH_UNKNOWN"),
            ("DELETE", "/openapi.json", 405, "METHOD_NOT_ALLOWED"),
        ] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let url = format!("https://{address}{path}");
            let answer = client.request(method, url).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            if status == 405 {
                let allowed = answer.headers()["allow"].to_str().unwrap().to_owned();
                let expected =
                    if path == "/openapi.json" { "GET".into() } else { methods.join(", ") };
                assert_eq!(allowed, expected);
            }
            let problem: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            assert_eq!(problem["code"], code);
        }
    }
}
