//! Contracts whose messages are whole HTTP requests: what is read from the head, what is written into it, and what such
//! a contract must say. The whole dialect of the tree is held by `golden.rs`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;

use adapters::{Contract, Mode, Reply, openapi, wire::whole::HttpMessage};
use proto::v1::{CaseStatus, Envelope, Exchange, Outcome, Refusal};

const CONTRACT: &str = r#"bank = "x"
version = "1"
in_force = ["2026-01-01"]
[wire]
media = "json"
charset = "UTF-8"
exact = true
http = { path = "/v1", whole = true }
[key]
build = "{exchange.serial}"
[messages]
case = { subject = "case_query", request = "case", reply = "reply", refusal = "refusal" }
[codes.http.also_written]
"*" = "422"
CASE_UNKNOWN = "404"
"#;

const CASE: &str = r#"{ "method": "GET", "path": ["v1", "cases", "{case_id}"],
 "query": { "branch": "{branch.code?}" }, "headers": { "Serial": "{exchange.serial?}" } }"#;

/// Where no literal differs from [`CASE`].
const DESK: &str = r#"{ "method": "GET", "path": ["v1", "cases", "{case_id}", "{branch.code}"] }"#;

const REPLY: &str = r#"{ "status": "200", "headers": { "Content-Type": "application/json",
 "Location": ["v1", "cases", "{outcome.case_id?}"] }, "body": { "serial": "{exchange.serial?}" } }"#;

const REFUSAL: &str = r#"{ "status": "{outcome.refusal.code: code http}",
 "headers": { "Content-Type": "application/problem+json", "Retry-After": "{outcome.refusal.retry_after_seconds?: int}" },
 "body": { "code": "{outcome.refusal.code}", "errors": [{ "c:each": "outcome.refusal.faults", "at": "{.place?=}" }] } }"#;

fn compile(changes: &[(&str, &str)]) -> Result<Contract, Vec<String>> {
    let files = [
        ("contract.toml", CONTRACT),
        ("case", CASE),
        ("desk", DESK),
        ("reply", REPLY),
        ("refusal", REFUSAL),
    ];
    let changed = |text: &str| {
        changes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let files: BTreeMap<_, _> =
        files.into_iter().map(|(name, text)| (name.to_owned(), changed(text))).collect();
    Contract::compile(&files).map_err(|told| told.into_iter().map(|it| it.message).collect())
}

fn contract() -> Contract {
    compile(&[]).unwrap_or_else(|told| panic!("{told:#?}"))
}

/// What is wrong with a request: code and place.
fn faults(request: &str) -> Vec<(String, String)> {
    let undecoded = contract().decode(request.as_bytes(), Mode::Test).unwrap_err();
    undecoded.faults.iter().map(|fault| (fault.code.to_string(), fault.place.clone())).collect()
}

#[test]
fn path_query_and_header_fields_are_read_unescaped_and_written_escaped() {
    let request =
        "GET /v1/cases/%E6%98%86%2F7+1?branch=a%26b HTTP/1.1\r\nhost: x\r\nSERIAL: S-1\r\n\r\n";
    let envelope = contract().decode(request.as_bytes(), Mode::Test).unwrap().envelope;
    let told = proto::golden::write(&proto::descriptors::dynamic("Envelope", &envelope).unwrap());
    let expected = serde_json::json!({ "exchange": { "serial": "S-1" },
        "case_query": { "branch": { "code": "a&b" }, "case_id": "昆/7+1" } });
    assert_eq!(told, expected);
    let written = contract().encode(Some("case"), Reply::Request, &envelope).unwrap();
    let expected = "GET /v1/cases/%E6%98%86%2F7%2B1?branch=a%26b HTTP/1.1\r\nSerial: S-1\r\n\r\n";
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn a_contract_without_notices_announces_none() {
    let document = openapi::describe(&contract(), &[]).unwrap();
    assert!(document["paths"]["/v1/cases/{case_id}"]["get"].is_object(), "{document}");
    assert_eq!(document.get("webhooks"), None);
}

#[test]
fn what_is_wrong_in_the_head_is_told_as_openapi_names_it() {
    for (request, code, place) in [
        ("no request", "WRAP_INVALID", ""),
        ("GET /v1/cases/%zz HTTP/1.1\n\n", "WRAP_INVALID", "$url"),
        ("GET /v1/cases/1?a=%zz HTTP/1.1\n\n", "WRAP_INVALID", "$url"),
        ("GET /v1/cases/ HTTP/1.1\n\n", "VALUE_EMPTY", "$url"),
        ("PUT /v1/cases/1 HTTP/1.1\n\n", "LITERAL_MISMATCH", "$method"),
        ("GET /v1/cases/1?colour=red HTTP/1.1\n\n", "TAG_UNKNOWN", "$request.query.colour"),
        (
            "GET /v1/cases/1?branch=1&branch=2 HTTP/1.1\n\n",
            "KEY_DUPLICATE",
            "$request.query.branch",
        ),
        ("GET /v1/cases/1 HTTP/1.1\nSerial: \n\n", "VALUE_EMPTY", "$request.header.Serial"),
        ("GET /v1/cases/1 HTTP/1.1\n\n{\"a\": 1}", "TAG_UNKNOWN", ""),
        ("GET /v1/cases/1 HTTP/1.1\n\n1, \"a\": 1", "JSON_SYNTAX", ""),
    ] {
        let told = faults(request);
        assert_eq!(told, [(code.to_owned(), place.to_owned())], "{request:?}");
    }
}

#[test]
fn paths_of_different_length_are_different_messages() {
    let line = "case = { subject";
    let desk = "desk = { subject = 'case_query', request = 'desk', reply = 'reply', refusal = 'refusal' }\n";
    let behind = format!("{desk}[codes.http.also");
    for (from, to) in [(line, format!("{desk}{line}")), ("[codes.http.also", behind)] {
        let contract = compile(&[(from, &to)]).unwrap_or_else(|told| panic!("{told:#?}"));
        let read = |path: &str| {
            let request = format!("GET {path} HTTP/1.1\r\n\r\n");
            match contract.decode(request.as_bytes(), Mode::Production) {
                Ok(decoded) => decoded.message,
                Err(undecoded) => undecoded.faults.iter().map(|it| it.code.to_string()).collect(),
            }
        };
        assert_eq!(read("/v1/cases/7"), "case");
        assert_eq!(read("/v1/cases/7/B1"), "desk");
        assert_eq!(read("/v1/cases/7/B1/2"), "MESSAGE_UNKNOWN");
        assert_eq!(read("/v1/cases"), "MESSAGE_UNKNOWN");
    }
    // A segment that may be missing is no certain length.
    let told = compile(&[(line, &format!("{desk}{line}")), ("{branch.code}", "{branch.code?}")]);
    let told = told.err().unwrap_or_default();
    let is_told = told.iter().any(|told| told.contains("message `case` or message `desk`"));
    assert!(is_told, "{told:#?}");
}

#[test]
fn the_status_is_what_a_table_says_and_is_not_read_back() {
    let refused = |code: &str, retry_after_seconds| {
        let refusal = Refusal { code: code.to_owned(), retry_after_seconds, ..Refusal::default() };
        let outcome = Outcome { refusal: Some(refusal), ..Outcome::default() };
        let envelope = Envelope { outcome: Some(outcome), ..Envelope::default() };
        contract().encode(None, Reply::Refusal, &envelope).unwrap()
    };
    let known = refused("CASE_UNKNOWN", None);
    let expected = "HTTP/1.1 404 \r\nContent-Type: application/problem+json\r\n\r\n{\"code\":\"CASE_UNKNOWN\",\"errors\":[]}";
    assert_eq!(String::from_utf8(known).unwrap(), expected);
    let other = refused("ANY", Some(3));
    let message = HttpMessage::parse(&other).unwrap();
    assert_eq!((message.status(), message.headers[1].1.as_ref()), (Some(422), "3"));
    let (reply, read) = contract().read_reply(Some("case"), &other).unwrap();
    let refusal = read.outcome.unwrap().refusal.unwrap();
    assert_eq!((reply, refusal.code.as_str()), (Reply::Refusal, "ANY"));
}

#[test]
fn a_path_in_a_header_field_is_escaped_and_left_out_while_a_segment_is_unset() {
    let location = |case_id: &str| {
        let outcome = Outcome { case_id: case_id.to_owned(), ..Outcome::default() };
        let outcome = Outcome { status: CaseStatus::Accepted.into(), ..outcome };
        let envelope = Envelope { outcome: Some(outcome), ..Envelope::default() };
        let bytes = contract().encode(Some("case"), Reply::Outcome, &envelope).unwrap();
        let message = HttpMessage::parse(&bytes).unwrap();
        message.headers.get(1).map(|(_, value)| value.to_string())
    };
    assert_eq!(location("昆/7").as_deref(), Some("/v1/cases/%E6%98%86%2F7"));
    assert_eq!(location(""), None);
}

#[test]
fn a_header_field_holds_no_line_end() {
    let exchange = Exchange { serial: "1\r\nX: 2".to_owned(), ..Exchange::default() };
    let query = proto::v1::CaseQuery {
        subject: Some(proto::v1::case_query::Subject::CaseId("1".to_owned())),
        ..Default::default()
    };
    let body = Some(proto::v1::envelope::Body::CaseQuery(query));
    let envelope = Envelope { exchange: Some(exchange), body, ..Envelope::default() };
    assert!(contract().encode(Some("case"), Reply::Request, &envelope).is_err());
}

#[test]
fn what_such_a_contract_lacks_is_told() {
    for (from, to, told) in [
        ("\"method\": \"GET\", ", "", "a request says its `method`"),
        (
            "[\"v1\", \"cases\", \"{case_id}\"]",
            "\"/v1/cases/{case_id}\"",
            "a request says its `method`",
        ),
        ("\"/v1\"", "\"/v2\"", "does not begin with `/v2`"),
        ("\"Serial\"", "\"serial\"", "is written `Serial` here"),
        ("\"status\": \"200\", ", "", "an answer says its `status`"),
        ("{ \"code\": ", "{ \"code\": \"x\" }, \"more\": { \"code\": ", "`body` stands last"),
        ("whole = true", "whole = true, content_type = \"a/b\"", "stand in the templates"),
        ("charset = ", "pack = { gzip = true }\ncharset = ", "neither packed nor signed"),
        ("\"{branch.code?}\"", "\"{branch.code?: code http}\"", "it can be written, never read"),
    ] {
        let complaints = compile(&[(from, to)]).err().unwrap_or_default();
        let is_told = complaints.iter().any(|complaint| complaint.contains(told));
        assert!(is_told, "{from} → {to}: {complaints:#?}");
    }
}
