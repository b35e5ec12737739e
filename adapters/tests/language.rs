//! The words of the contract language, each in a small contract of its own: what a sample with
//! holes reads, writes and refuses.
//!
//! Whole dialects stand in contracts/banks and are held by `golden.rs`; here is one word at a time.
//! Source: docs/contract-language.md.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;

use adapters::{Complaint, Contract, Decoded, Mode, Reply, Undecoded};
use proto::v1::Envelope;
use serde_json::{Value, json};

const XML: &str = r#"media = "xml"
charset = "UTF-8"
http = { path = "/", content_type = "text/xml" }"#;

const JSON: &str = r#"media = "json"
charset = "UTF-8"
http = { path = "/", content_type = "application/json" }"#;

/// A contract of one message; `codes` is the end of its contract.toml.
fn compile(
    wire: &str,
    subject: &str,
    request: &str,
    codes: &str,
) -> Result<Contract, Vec<Complaint>> {
    compile_with(wire, subject, request, codes, None)
}

/// The same with a file of shared parts.
fn compile_with(
    wire: &str,
    subject: &str,
    request: &str,
    codes: &str,
    parts: Option<&str>,
) -> Result<Contract, Vec<Complaint>> {
    let named = if parts.is_some() { "parts = \"p\"\n" } else { "" };
    let reply = if wire.starts_with("media = \"xml\"") {
        "<r>{exchange.serial?=}</r>"
    } else {
        r#"{"r":"{exchange.serial?=}"}"#
    };
    let toml = format!(
        "bank = \"x\"\nversion = \"1\"\nin_force = [\"2026-01-01\"]\n{named}[wire]\n{wire}\n\
         [key]\nbuild = \"{{exchange.serial}}\"\n\
         [messages]\nm = {{ subject = \"{subject}\", request = \"m\", reply = \"r\", refusal = \"r\" }}\n\
         [codes.purpose]\nL = \"LENDING\"\nE = \"ENFORCEMENT\"\n[codes.id]\n1 = \"RESIDENT_ID\"\n9 = \"OTHER\"\n{codes}"
    );
    let files = [("contract.toml", toml.as_str()), ("m", request), ("r", reply)];
    let files = files.into_iter().chain(parts.map(|parts| ("p", parts)));
    Contract::compile(
        &files.map(|(name, text)| (name.to_owned(), text.to_owned())).collect::<BTreeMap<_, _>>(),
    )
}

fn contract(wire: &str, subject: &str, request: &str) -> Contract {
    compile(wire, subject, request, "").unwrap_or_else(|complaints| panic!("{complaints:#?}"))
}

fn decode(contract: &Contract, message: &str) -> Decoded {
    contract
        .decode(message.as_bytes(), Mode::Test)
        .unwrap_or_else(|undecoded| panic!("{:#?}", undecoded.faults))
}

fn refuse(contract: &Contract, message: &str, mode: Mode) -> Vec<(String, String, usize)> {
    let undecoded: Box<Undecoded> = contract.decode(message.as_bytes(), mode).unwrap_err();
    let told =
        |fault: &adapters::Fault| (fault.code.to_string(), fault.place.clone(), fault.offset);
    undecoded.faults.iter().map(told).collect()
}

/// Reads a message, and holds it to be written as `written` and read again as the same.
fn round(contract: &Contract, message: &str, written: &str) -> Value {
    let envelope = decode(contract, message).envelope;
    let bytes = contract.encode(Some("m"), Reply::Request, &envelope).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), written);
    assert_eq!(decode(contract, written).envelope, envelope);
    canonical(&envelope)
}

fn canonical(envelope: &Envelope) -> Value {
    let mut message =
        prost_reflect::DynamicMessage::new(proto::descriptors::message("Envelope").unwrap());
    message.transcode_from(envelope).unwrap();
    proto::golden::write(&message)
}

fn offset(message: &str, of: &str) -> usize {
    message.find(of).unwrap()
}

const KEYED: &str = "<M><f n=\"S\"><v>{exchange.serial}</v></f>\
    <f n=\"P\"><v>{matter.purpose: code purpose}</v></f><f n=\"A\"><v>{matter.authorisation_number?=}</v></f>\
    <u c:each=\"matter.properties\">{.unit_code: unit_code}</u></M>";
const UNIT: &str = "140105001002GB00031F00010023";

#[test]
fn a_dry_run_is_answered_as_one() {
    let tried = KEYED.replace("</M>", "<Try>{exchange.dry_run?: bool 1 0}</Try></M>");
    let complaints = compile(XML, "title_query", &tried, "").err().unwrap();
    let told: Vec<_> = complaints.iter().map(|complaint| complaint.message.as_str()).collect();
    assert!(matches!(told.as_slice(), [told] if told.contains("outcome.dry_run")), "{told:#?}");
}

#[test]
fn like_named_siblings_are_told_apart_by_literals() {
    let contract = contract(XML, "title_query", KEYED);
    let good = format!("<M>\n<f n=\"P\"><v> L </v></f> <u>{UNIT}</u><f n=\"S\"><v>7</v></f></M>");
    let written = format!(
        "<M><f n=\"S\"><v>7</v></f><f n=\"P\"><v>L</v></f><f n=\"A\"><v></v></f><u>{UNIT}</u></M>"
    );
    let read = round(&contract, &good, &written);
    assert_eq!(read["title_query"]["purpose"], "LENDING");

    let stranger = written.replace("n=\"A\"", "n=\"X\"");
    let told = refuse(&contract, &stranger, Mode::Production);
    assert_eq!(
        told,
        [("LITERAL_MISMATCH".to_owned(), "/M/f[3]/@n".to_owned(), offset(&stranger, "X\""))]
    );

    let twice = written.replace("n=\"A\"", "n=\"P\"");
    let told = refuse(&contract, &twice, Mode::Test);
    assert_eq!(told[0].0, "TAG_REPEATED");
    assert_eq!(told[0].1, "/M/f[@n='P'][2]");

    let missing = written.replace("<f n=\"P\"><v>L</v></f>", "");
    let told = refuse(&contract, &missing, Mode::Test);
    assert_eq!(told, [("TAG_MISSING".to_owned(), "/M/f[@n='P']/v".to_owned(), 0)]);
}

const ROLES: &str = r#"{ "sn": "{exchange.serial}", "kind": "TRANSFER", "c:when": "matter.kind=TRANSFER",
    "no": "{matter.contract_number}", "on": "{matter.contract_date: date %Y%m%d}",
    "homes": [ { "c:each": "matter.properties", "at": "{.location}" } ],
    "who": [
      { "c:each": "matter.obligees", "role": "TO", "name": "{.name}", "id": ["{.id_type: code id}", "{.id_number: id}"] },
      { "c:each": "matter.obligors", "role": "BY", "name": "{.name}", "id": ["{.id_type: code id}", "{.id_number: id}"] } ] }"#;

#[test]
fn roles_in_one_list_are_sorted_into_their_lists() {
    let contract = contract(JSON, "application.advance_notice", ROLES);
    let good = r#"{"sn":"7","kind":"TRANSFER","no":"N1","on":"20260305","homes":[{"at":"here"}],"who":[
        {"role":"BY","name":"b1","id":["9","B1"]},{"role":"TO","name":"t","id":["9","T"]},{"name":"b2","role":"BY","id":["9","B2"]}]}"#;
    let written = r#"{"sn":"7","kind":"TRANSFER","no":"N1","on":"20260305","homes":[{"at":"here"}],"who":[{"role":"TO","name":"t","id":["9","T"]},{"role":"BY","name":"b1","id":["9","B1"]},{"role":"BY","name":"b2","id":["9","B2"]}]}"#;
    let read = round(&contract, good, written);
    let names = |list: &str| {
        read["application"]["advance_notice"][list]
            .as_array()
            .unwrap()
            .iter()
            .map(|party| party["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("obligors"), [json!("b1"), json!("b2")]);
    assert_eq!(names("obligees"), [json!("t")]);

    let stranger = written.replace("\"TO\"", "\"??\"");
    let told = refuse(&contract, &stranger, Mode::Production);
    assert_eq!(
        told,
        [("LITERAL_MISMATCH".to_owned(), "/who/0/role".to_owned(), offset(&stranger, "\"??"))]
    );

    let short = written.replace("[\"9\",\"T\"]", "[\"9\"]");
    let told = refuse(&contract, &short, Mode::Test);
    assert_eq!(
        told,
        [("TAG_MISSING".to_owned(), "/who/0/id/1".to_owned(), offset(&short, "[\"9\"]"))]
    );
}

#[test]
fn a_document_in_a_string_is_told_through_its_escapes() {
    let contract = contract(
        JSON,
        "title_query",
        r#"{ "sn": "{exchange.serial}", "biz": { "c:embed": "json", "c:item": { "why": "{matter.purpose: code purpose}",
            "units": [ { "c:each": "matter.properties", "c:item": "{.unit_code: unit_code}" } ] } } }"#,
    );
    let written = format!(r#"{{"sn":"7","biz":"{{\"why\":\"L\",\"units\":[\"{UNIT}\"]}}"}}"#);
    let read = round(&contract, &written, &written);
    assert_eq!(read["title_query"]["properties"][0]["unit_code"], UNIT);

    let bad = written.replace(r#"\"L\""#, r#"\"\\u004c?\""#);
    let told = refuse(&contract, &bad, Mode::Test);
    assert_eq!(
        told,
        [("CODE_UNMAPPED".to_owned(), "/biz!/why".to_owned(), offset(&bad, r#"\"\\u"#))]
    );

    let broken = written.replace(r#",\"units"#, r#"\"units"#);
    let told = refuse(&contract, &broken, Mode::Test);
    assert_eq!(
        told,
        [("JSON_SYNTAX".to_owned(), "/biz!".to_owned(), offset(&broken, r#"\"units"#))]
    );
}

#[test]
fn a_document_in_cdata_is_known_by_namespace_and_counted() {
    let contract = contract(
        XML,
        "title_query",
        r#"<s:E xmlns:s="urn:s"><s:B><x c:embed="xml cdata declared"><q v="2"><sn>{exchange.serial}</sn><why>{matter.purpose: code purpose}</why>
           <us n="{matter.properties: count}"><u c:each="matter.properties">{.unit_code: unit_code}</u></us></q></x></s:B></s:E>"#,
    );
    let inner = format!("<q v=\"2\"><sn>7</sn><why>L</why><us n=\"1\"><u>{UNIT}</u></us></q>");
    let written = format!(
        "<s:E xmlns:s=\"urn:s\"><s:B><x><![CDATA[<?xml version=\"1.0\" encoding=\"UTF-8\"?>{inner}]]></x></s:B></s:E>"
    );
    let other =
        format!("<E xmlns=\"urn:s\"><B><x xmlns=\"\">{}</x></B></E>", inner.replace('<', "&lt;"));
    round(&contract, &other, &written);

    let miscounted = written.replace("n=\"1\"", "n=\"2\"");
    let told = refuse(&contract, &miscounted, Mode::Test);
    assert_eq!(
        told,
        [(
            "COUNT_MISMATCH".to_owned(),
            "/s:E/s:B/x!/q/us/@n".to_owned(),
            offset(&miscounted, "2\"><u>")
        )]
    );

    let old = written.replace("v=\"2\"", "v=\"1\"");
    let told = refuse(&contract, &old, Mode::Test);
    assert_eq!(
        told,
        [("LITERAL_MISMATCH".to_owned(), "/s:E/s:B/x!/q/@v".to_owned(), offset(&old, "1\"><sn"))]
    );
}

const COLUMNS: &str = "<t s=\"{exchange.system_id}|{exchange.serial}\" w=\"{matter.purpose: code purpose}\">\
    <us n=\"{matter.properties: count}\" c=\"{matter.properties[].unit_code?: unit_code list |}\" \
    a=\"{matter.properties[].location: list |}\"/></t>";

#[test]
fn records_and_columns_are_cut_at_their_separators() {
    let contract = contract(XML, "title_query", COLUMNS);
    let written = format!("<t s=\"A|7\" w=\"L\"><us n=\"2\" c=\"|{UNIT}\" a=\"here|there\"/></t>");
    let read = round(&contract, &written, &written);
    assert_eq!(read["title_query"]["properties"][0], json!({"location": "here"}));
    assert_eq!(read["exchange"], json!({"system_id": "A", "serial": "7"}));

    for (from, to, code, place, at) in [
        ("A|7", "A7", "PARTS_MISMATCH", "/t/@s", "A7"),
        ("A|7", "A|7|8", "PARTS_MISMATCH", "/t/@s", "A|7"),
        ("A|7", "A|", "VALUE_EMPTY", "/t/@s", "\" w="),
        ("here|there", "here", "COUNT_MISMATCH", "/t/us/@a", "here"),
        ("n=\"2\"", "n=\"3\"", "COUNT_MISMATCH", "/t/us/@n", "3\""),
        ("here|there", "here|", "VALUE_EMPTY", "/t/us/@a", "\"/></t>"),
        ("GB", "GZ", "UNIT_CODE_INVALID", "/t/us/@c", "140105"),
    ] {
        let bad = written.replace(from, to);
        let told = refuse(&contract, &bad, Mode::Test);
        assert_eq!(told, [(code.to_owned(), place.to_owned(), offset(&bad, at))], "{bad}");
    }
}

#[test]
fn a_separator_inside_a_value_is_not_written() {
    let contract = contract(XML, "title_query", COLUMNS);
    let written = format!("<t s=\"A|7\" w=\"L\"><us n=\"1\" c=\"{UNIT}\" a=\"here\"/></t>");
    let mut envelope = decode(&contract, &written).envelope;
    envelope.exchange.as_mut().unwrap().system_id = "A|B".to_owned();
    let refused = contract.encode(Some("m"), Reply::Request, &envelope).unwrap_err();
    assert_eq!(refused.field, "exchange.system_id");
}

const CHOICE: &str = "<m><sn>{exchange.serial}</sn><amt c:when=\"matter.kind=GENERAL\">{matter.secured_amount_fen: fen}</amt>\
    <amt c:when=\"matter.kind=MAXIMUM\">{matter.maximum_amount_fen: fen}</amt><k>{matter.kind: code kind}</k>\
    <d>{matter.debt_from: date %Y%m%d}{matter.debt_to: date %Y%m%d}{matter.contract_date: date %Y%m%d}</d>\
    <s>{matter.guarantee_scope}</s><n>{matter.contract_number}</n><h c:each=\"matter.properties\"><at>{.location}</at></h>\
    <o c:each=\"matter.mortgagors\"><w>{.name}</w><i>{.id_type: code id}:{.id_number: id}</i></o>\
    <b c:each=\"matter.mortgagees\"><w>{.name}</w><i>{.id_type: code id}:{.id_number: id}</i></b></m>";

#[test]
fn a_field_read_elsewhere_decides_between_like_named_siblings() {
    let codes = "[codes.kind]\nG = \"GENERAL\"\nM = \"MAXIMUM\"";
    let template = CHOICE.replacen("<m>", "<m c:when=\"matter.stage=EXISTING\">", 1);
    let contract = compile(XML, "application.mortgage_registration", &template, codes)
        .unwrap_or_else(|told| panic!("{told:#?}"));
    for (kind, field) in [("G", "secured_amount_fen"), ("M", "maximum_amount_fen")] {
        let written = format!(
            "<m><sn>7</sn><amt>500</amt><k>{kind}</k><d>202603052046030420260301</d><s>all</s><n>N</n><h><at>here</at></h>\
             <o><w>o</w><i>9:O</i></o><b><w>b</w><i>9:B</i></b></m>"
        );
        let read = round(&contract, &written, &written);
        assert_eq!(read["application"]["mortgage_registration"][field], 500);
        // Where what decides is itself at fault, the choice is not told beside it; wherever it stands.
        let decides = format!("<k>{kind}</k>");
        for (broken, code) in
            [("<k>X</k>", "CODE_UNMAPPED"), ("<k/>", "VALUE_EMPTY"), ("", "TAG_MISSING")]
        {
            let behind = written.replace(&decides, broken);
            let before = behind.replace(broken, "").replace("<sn>", &format!("{broken}<sn>"));
            for message in [behind, before] {
                let told = refuse(&contract, &message, Mode::Test);
                assert!(
                    matches!(told.as_slice(), [(only, ..)] if only == code),
                    "{message}: {told:?}"
                );
            }
        }
    }
}

#[test]
fn an_item_grouped_under_several_parents_is_one_item() {
    let template = "<m c:when=\"matter.kind=TRANSFER\"><sn>{exchange.serial}</sn><n>{matter.contract_number}</n><d>{matter.contract_date: date %Y%m%d}</d>\
        <h c:each=\"matter.properties\"><at>{.location}</at>\
        <o c:each=\"matter.obligees by property_indexes\">{.name}/{.id_type: code id}/{.id_number: id}</o></h>\
        <b c:each=\"matter.obligors\">{.name}/{.id_type: code id}/{.id_number: id}</b></m>";
    let contract = contract(XML, "application.advance_notice", template);
    let written = "<m><sn>7</sn><n>N</n><d>20260305</d><h><at>here</at><o>a/9/A</o><o>b/9/B</o></h>\
        <h><at>there</at><o>b/9/B</o><o>c/9/C</o></h><b>d/9/D</b></m>";
    let read = round(&contract, written, written);
    let owners = read["application"]["advance_notice"]["obligees"].as_array().unwrap();
    let indexes: Vec<&Value> = owners.iter().map(|owner| &owner["property_indexes"]).collect();
    assert_eq!(indexes, [&json!([0]), &Value::Null, &json!([1])]);
}

#[test]
fn containers_follow_what_they_hold() {
    let template = r#"{ "sn": "{exchange.serial}", "why": "{matter.purpose: code purpose}",
        "more": { "fixed": "x", "auth": "{matter.authorisation_number?}" },
        "homes": [ { "c:each": "matter.properties", "unit": "{.unit_code: unit_code}",
            "pairs": [ ["at", "{.location?}"], ["use", "{.use_code?}"] ], "m2": { "c:bare": "{.area_dm2?: m2}" } } ] }"#;
    let contract = contract(JSON, "title_query", template);
    let bare = format!(r#"{{"sn":"7","why":"L","homes":[{{"unit":"{UNIT}"}}]}}"#);
    round(&contract, &bare, &bare);
    let full = format!(
        r#"{{"sn":"7","why":"L","more":{{"fixed":"x","auth":"A"}},"homes":[{{"unit":"{UNIT}","pairs":[["use","10"]],"m2":1.50}}]}}"#
    );
    let read = round(&contract, &full, &full);
    assert_eq!(
        read["title_query"]["properties"][0],
        json!({"unit_code": UNIT, "area_dm2": 150, "use_code": "10"})
    );
    let nulls = format!(
        r#"{{"sn":"7","why":"L","more":null,"homes":[{{"unit":"{UNIT}","pairs":null,"m2":"1.5"}}]}}"#
    );
    assert_eq!(
        canonical(&decode(&contract, &nulls).envelope)["title_query"]["properties"][0]["area_dm2"],
        150
    );
}

#[test]
fn what_is_told_is_bounded() {
    let contract = contract(XML, "title_query", KEYED);
    let many = "<x/>".repeat(5_000);
    let message =
        format!("<M>{many}<f n=\"S\"><v>7</v></f><f n=\"P\"><v>L</v></f><u>{UNIT}</u></M>");
    assert_eq!(refuse(&contract, &message, Mode::Test).len(), 200);
    let decoded = contract.decode(message.as_bytes(), Mode::Production).unwrap();
    assert_eq!(decoded.dropped.len(), 100);
    assert_eq!(decoded.dropped[0], "/M/x[1]");
}

#[test]
fn what_xml_cannot_hold_is_not_written() {
    let contract = contract(XML, "title_query", KEYED);
    let message = format!("<M><f n=\"S\"><v>7</v></f><f n=\"P\"><v>L</v></f><u>{UNIT}</u></M>");
    let mut envelope = decode(&contract, &message).envelope;
    envelope.exchange.as_mut().unwrap().serial = "7\u{ffff}".to_owned();
    let refused = contract.encode(Some("m"), Reply::Request, &envelope).unwrap_err();
    assert_eq!(refused.field, "exchange.serial");
}

#[test]
fn two_places_that_disagree_are_a_conflict() {
    let template = KEYED.replace("<u c:each", "<sn>{exchange.serial}</sn><u c:each");
    let contract = contract(XML, "title_query", &template);
    let message =
        format!("<M><f n=\"S\"><v>7</v></f><f n=\"P\"><v>L</v></f><sn>8</sn><u>{UNIT}</u></M>");
    let told = refuse(&contract, &message, Mode::Test);
    assert_eq!(
        told,
        [("VALUE_CONFLICT".to_owned(), "/M/sn".to_owned(), offset(&message, "8</sn>"))]
    );
}

#[test]
fn a_request_leaves_no_set_field_behind() {
    let contract = contract(XML, "title_query", KEYED);
    let message = format!("<M><f n=\"S\"><v>7</v></f><f n=\"P\"><v>L</v></f><u>{UNIT}</u></M>");
    let mut envelope = decode(&contract, &message).envelope;
    envelope.exchange.as_mut().unwrap().system_id = "lost".to_owned();
    let refused = contract.encode(Some("m"), Reply::Request, &envelope).unwrap_err();
    assert_eq!(refused.field, "exchange.system_id");
    assert!(refused.reason.starts_with("CANNOT_CARRY"), "{}", refused.reason);
}

#[test]
fn a_serial_that_makes_no_key_is_told_where_it_stands() {
    let contract = contract(
        XML,
        "application.advance_notice",
        "<m c:when=\"matter.kind=TRANSFER\"><sn>{exchange.serial}</sn><n>{matter.contract_number}</n><d>{matter.contract_date: date %Y%m%d}</d>\
         <h c:each=\"matter.properties\">{.location}</h><o c:each=\"matter.obligees\">{.name}/{.id_type: code id}/{.id_number: id}</o>\
         <b c:each=\"matter.obligors\">{.name}/{.id_type: code id}/{.id_number: id}</b></m>",
    );
    let message = "<m><sn>七</sn><n>N</n><d>20260305</d><h>here</h><o>a/9/A</o><b>d/9/D</b></m>";
    let told = refuse(&contract, message, Mode::Test);
    assert_eq!(told, [("KEY_INVALID".to_owned(), "/m/sn".to_owned(), offset(message, "七"))]);
}

const SHARED: &str = "<parts><head><sn>{exchange.serial}</sn></head>\
    <party r=\"{.kind?: code kind}\"><w>{.name}</w><i c:part=\"card\"/></party>\
    <card>{.id_type: code id}:{.id_number: id}</card></parts>";
const SHARING: &str = "<m c:when=\"matter.kind=TRANSFER\"><h c:part=\"head\"><k>T</k></h><c:part>deed</c:part>\
    <p c:each=\"matter.properties\">{.location}</p><o c:each=\"matter.obligees\" c:part=\"party\"/>\
    <b c:each=\"matter.obligors\" c:part=\"party\"><x/></b></m>";
const DEED: &str =
    "<deed><n>{matter.contract_number}</n><d>{matter.contract_date: date %Y%m%d}</d></deed>";
const KINDS: &str = "[codes.kind]\nP = \"NATURAL_PERSON\"\nC = \"COMPANY\"";

#[test]
fn a_shared_part_stands_as_if_it_were_written_at_its_place() {
    let parts = SHARED.replace("<head>", &format!("{DEED}<head>"));
    let subject = "application.advance_notice";
    let contract = compile_with(XML, subject, SHARING, KINDS, Some(&parts)).unwrap();
    let written = "<m><h><k>T</k><sn>7</sn></h><n>N</n><d>20260305</d><p>here</p>\
        <o r=\"P\"><w>a</w><i>9:A</i></o><b><x/><w>b</w><i>9:B</i></b></m>";
    let read = round(&contract, written, written);
    let notice = &read["application"]["advance_notice"];
    assert_eq!(notice["obligees"][0]["kind"], "NATURAL_PERSON");
    assert_eq!(notice["obligors"][0]["name"], "b");

    let bad = written.replace("9:B", "9-B");
    let told = refuse(&contract, &bad, Mode::Test);
    assert_eq!(told, [("PARTS_MISMATCH".to_owned(), "/m/b/i".to_owned(), offset(&bad, "9-B"))]);
}

#[test]
fn what_is_wrong_with_a_part_is_told_once_with_every_place_of_use() {
    let parts = SHARED.replace("<head>", &format!("{DEED}<head>")).replace(".id_type", ".id_typ");
    let complaints =
        compile_with(XML, "application.advance_notice", SHARING, KINDS, Some(&parts)).unwrap_err();
    let [complaint] = complaints.as_slice() else { panic!("{complaints:#?}") };
    assert_eq!(complaint.file, "p");
    assert_eq!(&parts[complaint.span.clone()], "{.id_typ: code id}");
    let text = |place: &adapters::Place| match place.file.as_str() {
        "p" => parts[place.span.clone()].to_owned(),
        file => format!("{file}: {}", &SHARING[place.span.clone()]),
    };
    let used: Vec<String> = complaint.used_at.iter().map(text).collect();
    assert_eq!(used, ["card", "m: party", "m: party"]);
}

#[test]
fn parts_that_cannot_be_placed_are_refused() {
    let parts = SHARED.replace("<head>", &format!("{DEED}<head>"));
    let subject = "application.advance_notice";
    for (from, to, file, told) in [
        ("<m ", "<m c:part=\"\" ", "m", "`c:part` is `NAME`"),
        ("\"head\"", "\"hat\"", "m", "p has no part `hat`, but deed, head, party, card"),
        ("<card>", "<card><y c:part=\"party\"/>", "p", "would hold itself"),
        ("<card>", "<card c:when=\"matter.kind=TRANSFER\">", "p", "at the place of use"),
        ("<card>", "<card><y/>", "p", "text beside elements"),
        ("</card>", "</card><more/>", "p", "no message uses the part `more`"),
        ("</parts>", "</part>", "p", "the parts are no document"),
    ] {
        let (request, parts) = (SHARING.replacen(from, to, 1), parts.replacen(from, to, 1));
        let complaints = compile_with(XML, subject, &request, KINDS, Some(&parts)).expect_err(told);
        let found = complaints.iter().find(|complaint| complaint.message.contains(told));
        let complaint = found.unwrap_or_else(|| panic!("{told}: {complaints:#?}"));
        // Text beside elements is told where both have come together.
        assert!(complaint.file == file || told.starts_with("text beside"), "{complaint:#?}");
    }
    let complaints = compile(XML, subject, SHARING, KINDS).unwrap_err();
    assert!(complaints[0].message.contains("no file of `parts`"), "{complaints:#?}");
}

const FLAT: &str = r#"{ "kind": "T", "c:when": "matter.kind=TRANSFER", "c:part": ["head", "home 1-2 of matter.properties as home#*",
    "party 1-2 of matter.obligees as to#*", "party 0-0 of matter.obligors as *_#"] }"#;
const FLAT_PARTS: &str = r#"{ "head": { "sn": "{exchange.serial}", "no": "{matter.contract_number}", "on": "{matter.contract_date: date %Y%m%d}" },
    "home": { "at": "{.location}", "titles": "{.title_numbers?: list ;}" },
    "party": { "name": "{.name}", "id": "{.id_type: code id}:{.id_number: id}", "by": "{.agent.name?}" } }"#;

#[test]
fn a_part_numbers_the_items_of_a_flat_message() {
    let subject = "application.advance_notice";
    let contract = compile_with(JSON, subject, FLAT, "", Some(FLAT_PARTS))
        .unwrap_or_else(|told| panic!("{told:#?}"));
    let written = r#"{"kind":"T","sn":"7","no":"N","on":"20260305","home1at":"here","home1titles":"t;u","to1name":"a","to1id":"9:A","to2name":"b","to2id":"9:B","name_0":"c","id_0":"9:C"}"#;
    let read = round(&contract, written, written);
    let notice = &read["application"]["advance_notice"];
    assert_eq!(notice["properties"], json!([{"location": "here", "title_numbers": ["t", "u"]}]));
    assert_eq!(notice["obligees"][1]["name"], "b");

    // The first item of a list that the model requires must stand, as with `c:each`.
    let first = written.replace(r#""name_0":"c","#, "");
    let told = refuse(&contract, &first, Mode::Test);
    assert_eq!(told, [("TAG_MISSING".to_owned(), "/name_0".to_owned(), 0)]);
    let gap = written.replace("to1name", "to3name").replace("to1id", "to3id");
    let codes: Vec<_> =
        refuse(&contract, &gap, Mode::Test).into_iter().map(|told| told.0).collect();
    assert!(codes.contains(&"TAG_UNKNOWN".to_owned()), "{codes:?}");

    let literal = FLAT_PARTS.replace("\"name\"", "\"role\": \"x\", \"name\"");
    let told = compile_with(JSON, subject, FLAT, "", Some(&literal)).unwrap_err();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].message.contains("a literal stands even where"), "{told:#?}");
    assert_eq!((told[0].file.as_str(), told[0].used_at[0].file.as_str()), ("p", "m"));
}

const TITLES: &str = r#"{ "sn": "{exchange.serial}", "n": { "c:bare": "{matter.authorisation_number?}" },
    "biz": { "c:embed": "json", "c:item": { "why": "{matter.purpose: code purpose}",
        "units": [ { "c:each": "matter.properties", "c:item": "{.unit_code: unit_code}" } ] } } }"#;

/// A key pair made for one test, as PEM text: private, public.
fn pair() -> (String, String) {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
        rsa::{KeyPair, KeySize},
        signature::KeyPair as _,
    };
    use base64::Engine as _;
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let pem = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
}

/// The bank's and the gateway's side of one contract.
fn sides(wire: &str, template: &str) -> (Contract, Contract) {
    let ((bank, bank_public), (gateway, gateway_public)) = (pair(), pair());
    let with = |one: &str, other: &str| {
        contract(wire, "title_query", template).with_keys(one, other).unwrap()
    };
    (with(&bank, &gateway_public), with(&bank_public, &gateway))
}

#[test]
fn fields_are_signed_and_a_changed_one_is_noticed() {
    let wire = format!(
        "{JSON}\nseal = {{ algorithm = \"RSA-SHA256\", over = \"sorted fields\", field = \"sign\" }}"
    );
    let (bank, gateway) = sides(&wire, TITLES);
    assert!(gateway.needs_keys());
    let unsigned = contract(JSON, "title_query", TITLES);
    let plain = format!(r#"{{"sn":"7","biz":"{{\"why\":\"L\",\"units\":[\"{UNIT}\"]}}"}}"#);
    let envelope = decode(&unsigned, &plain).envelope;
    let message = bank.encode(Some("m"), Reply::Request, &envelope).unwrap();
    let message = String::from_utf8(message).unwrap();
    assert!(message.starts_with(plain.trim_end_matches('}')), "{message}");
    assert_eq!(decode(&gateway, &message).envelope, envelope);

    // The order of fields means nothing, an empty one neither.
    let other = message.replacen("{\"sn\":\"7\",", "{\"n\":\"\",", 1);
    let other = format!("{},\"sn\":\"7\"}}", other.trim_end_matches('}'));
    assert_eq!(decode(&gateway, &other).envelope, envelope);

    let told = |message: &str| refuse(&gateway, message, Mode::Production);
    let sign = message.find("\"sign\":").unwrap() + 7;
    let seal = |at: usize| [("SEAL_INVALID".to_owned(), "/sign".to_owned(), at)];
    assert_eq!(told(&message.replacen("\"7\"", "\"8\"", 1)), seal(sign));
    assert_eq!(told(&message.replacen("{", "{\"o\":{},", 1)), seal(sign + 7));
    assert_eq!(told(&plain), seal(0));
    assert_eq!(told("[]"), seal(0));
    // Nobody's keys: nothing is believed, nothing is written.
    assert_eq!(refuse(&contract(&wire, "title_query", TITLES), &message, Mode::Test), seal(sign));
    let refused = gateway.encode(Some("m"), Reply::Request, &envelope).unwrap_err();
    assert!(refused.reason.contains("private key was not given"), "{}", refused.reason);

    let answer = gateway.encode(Some("m"), Reply::Outcome, &envelope).unwrap();
    assert!(bank.read_reply(Some("m"), &answer).is_some());
    let changed = String::from_utf8(answer).unwrap().replace("\"7\"", "\"8\"");
    assert!(bank.read_reply(Some("m"), changed.as_bytes()).is_none());
}

#[test]
fn bytes_are_signed_in_a_form_and_packed() {
    let wire = format!(
        "{XML}\npack = {{ form = \"xml\", ignored = [\"v\"], base64 = true, gzip = true, answers = {{ base64 = true }} }}\n\
         seal = {{ algorithm = \"RSA-SHA256\", over = \"bytes\", field = \"sig\", answers = false }}"
    );
    let (bank, gateway) = sides(&wire, KEYED);
    let plain = format!("<M><f n=\"S\"><v>7</v></f><f n=\"P\"><v>L</v></f><u>{UNIT}</u></M>");
    let envelope = decode(&contract(XML, "title_query", KEYED), &plain).envelope;
    let message = bank.encode(Some("m"), Reply::Request, &envelope).unwrap();
    let message = String::from_utf8(message).unwrap();
    assert!(message.starts_with("xml=H4sI"), "{message}");
    assert_eq!(decode(&gateway, &format!("v=2&{message}")).envelope, envelope);

    let sig = message.find("&sig=").unwrap() + 5;
    for (bad, code, place, at) in [
        (message.replacen("&sig=", "&sig=AAAA", 1), "SEAL_INVALID", "sig", sig),
        (message[..sig - 5].to_owned(), "SEAL_INVALID", "sig", 0),
        (message.replacen("xml=H4sI", "xml=H4s!", 1), "WRAP_INVALID", "xml", 4),
        (format!("{message}&w=1"), "WRAP_INVALID", "w", message.len() + 1),
    ] {
        let told = refuse(&gateway, &bad, Mode::Test);
        assert_eq!(told, [(code.to_owned(), place.to_owned(), at)], "{bad}");
    }
    let answer = gateway.encode(Some("m"), Reply::Outcome, &envelope).unwrap();
    assert_eq!(answer, b"PHI+Nzwvcj4=");
    assert!(bank.read_reply(Some("m"), &answer).is_some());
}

#[test]
fn a_place_in_a_form_begins_with_its_field() {
    let wire = format!("{XML}\npack = {{ form = \"xml\" }}");
    let contract = contract(&wire, "title_query", KEYED);
    let plain = format!("<M><f n=\"S\"><v>7</v></f><f n=\"P\"><v>L</v></f><u>{UNIT}</u></M>");
    let packed = plain.replace('<', "%3C").replace('"', "%22").replace(' ', "+");
    assert_eq!(decode(&contract, &format!("xml={packed}")).message, "m");
    let bad = format!("xml={}", packed.replace("L%3C", "X%3C"));
    let told = refuse(&contract, &bad, Mode::Test);
    let place = "xml!/M/f[@n='P']/v".to_owned();
    assert_eq!(told, [("CODE_UNMAPPED".to_owned(), place, offset(&bad, "X%3C"))]);
    let open = format!("xml={}", packed.trim_end_matches("%3C/M>"));
    let told = refuse(&contract, &open, Mode::Test);
    assert_eq!(told, [("XML_SYNTAX".to_owned(), "xml!".to_owned(), open.len())]);
}

#[test]
fn a_wire_that_cannot_be_is_refused() {
    for (words, told) in [
        ("seal = { algorithm = \"MD5\", over = \"bytes\", field = \"s\" }", "`MD5`"),
        ("seal = { algorithm = \"RSA-SHA256\", over = \"all\", field = \"s\" }", "over `all`"),
        ("seal = { algorithm = \"RSA-SHA256\", over = \"bytes\", field = \"s\" }", "are no form"),
        ("pack = { zip = true }", "unknown field `zip`"),
    ] {
        let complaints =
            compile(&format!("{XML}\n{words}"), "title_query", KEYED, "").expect_err(told);
        let found = complaints.iter().any(|complaint| complaint.message.contains(told));
        assert!(found, "{told}: {complaints:#?}");
    }
    let get = XML.replace("path", "method = \"GET\", path");
    let complaints = compile(&get, "title_query", KEYED, "").unwrap_err();
    assert!(complaints[0].message.contains("`POST` or `PUT`"), "{complaints:#?}");
}

#[test]
fn doubled_braces_are_literal_ones() {
    let template = KEYED.replace("{exchange.serial}", "{{{exchange.serial}}}{{}}");
    let contract = contract(XML, "title_query", &template);
    let written = format!(
        "<M><f n=\"S\"><v>{{7}}{{}}</v></f><f n=\"P\"><v>L</v></f><f n=\"A\"><v></v></f><u>{UNIT}</u></M>"
    );
    assert_eq!(round(&contract, &written, &written)["exchange"]["serial"], "7");
}

#[test]
fn a_message_with_more_than_any_document_holds_is_refused() {
    let contract = contract(XML, "title_query", KEYED);
    let many = "<a/>".repeat(1 << 18);
    let told = refuse(&contract, &format!("<M>{many}</M>"), Mode::Production);
    assert_eq!(told, [("TOO_MANY".to_owned(), String::new(), 3 + 4 * 49_999)]);
}

/// A contract of two messages about one subject.
fn two(one: &str, other: &str) -> Result<Contract, Vec<Complaint>> {
    several(&[one, other])
}

/// A contract of several, called `a`, `b` and so on.
fn several(messages: &[impl AsRef<str>]) -> Result<Contract, Vec<Complaint>> {
    let mut toml = format!(
        "bank = \"x\"\nversion = \"1\"\nin_force = [\"2026-01-01\"]\n[wire]\n{XML}\n[messages]\n"
    );
    let mut files = BTreeMap::from([("r".to_owned(), "<r/>".to_owned())]);
    for (name, message) in ('a'..).zip(messages) {
        toml += &format!(
            "{name} = {{ subject = \"case_query\", request = \"{name}\", reply = \"r\", refusal = \"r\" }}\n"
        );
        files.insert(name.to_string(), message.as_ref().to_owned());
    }
    files.insert("contract.toml".to_owned(), toml);
    Contract::compile(&files)
}

#[test]
fn two_messages_that_one_input_could_match_are_refused() {
    let told = |one: &str, other: &str| {
        let complaints = two(one, other).unwrap_err();
        assert!(complaints.iter().all(|complaint| complaint.file == "b"), "{complaints:#?}");
        complaints.into_iter().map(|complaint| complaint.message).collect::<Vec<_>>()
    };
    let alike = ["an input could be message `a` or message `b`: let a literal differ"];
    let m = "<m><n>{exchange.serial}</n><c>{matter.case_id}</c></m>";
    assert_eq!(told(m, m), alike);
    // A literal that only one has does not tell: the other takes any text in its place.
    assert_eq!(told(&m.replace("{exchange.serial}", "7"), m), alike);
    // Nor does one that need not stand.
    let maybe = |literal: &str| {
        m.replace("</m>", &format!("<k><x>{literal}</x><s>{{exchange.system_id?}}</s></k></m>"))
    };
    assert_eq!(told(&maybe("1"), &maybe("2")), alike);

    for other in [m.replace('m', "o").replace("oatter", "matter"), m.replace("<n>", "<k>2</k><n>")]
    {
        let contract = two(&m.replace("<n>", "<k>1</k><n>"), &other)
            .unwrap_or_else(|told| panic!("{told:#?}"));
        assert_eq!(decode(&contract, "<m><k>1</k><n>7</n><c>N</c></m>").message, "a");
    }
}

#[test]
fn inside_a_message_its_fields_have_no_other_name() {
    let request = |inside: &str| {
        format!(
            "<m c:when=\"matter.scope=WHOLE matter.cause=OTHER\"><sn>{{exchange.serial}}</sn><z>{{matter.certificate_numbers: list ,}}</z>\
             <d>{{matter.discharge_date: date %Y%m%d}}</d><h c:each=\"matter.properties\"><at>{{.location}}</at></h>\
             <o c:each=\"matter.mortgagors\">{{.name}}/{{.id_type: code id}}/{{.id_number: id}}</o>\
             <b c:each=\"matter.mortgagees\">{{.name}}/{{.id_type: code id}}/{{.id_number: id}}</b>{inside}</m>"
        )
    };
    let told = |inside: &str| -> Vec<String> {
        let compiled = compile(XML, "application.mortgage_discharge", &request(inside), "");
        let complaints = compiled.err().unwrap_or_default();
        complaints.into_iter().map(|complaint| complaint.message).collect()
    };
    let to = |condition: &str, field: &str| {
        format!("<v c:maybe=\"delivery\" c:when=\"{condition}\"><to>{{{field}}}</to></v>")
    };
    assert_eq!(told(&to(".method=COURIER", ".address")), [""; 0]);
    let whole = told(&to("delivery.method=COURIER", ".address"));
    assert!(whole.iter().any(|told| told.contains("write `.method` here")), "{whole:?}");
    let whole = told(&to(".method=COURIER", "delivery.address"));
    assert!(whole.iter().any(|told| told.contains("write `.address` here")), "{whole:?}");
}

#[test]
fn a_message_of_no_kind_is_told_at_the_literal_that_differs() {
    let kinds = [("10", "1"), ("10", "2"), ("20", "1")].map(|(service, scene)| {
        format!(
            "<m><k>{{exchange.transaction_code: is {service}}}</k><s>{scene}</s><n>{{exchange.serial}}</n>\
             <c>{{matter.case_id}}</c></m>"
        )
    });
    let contract = several(&kinds).unwrap_or_else(|told| panic!("{told:#?}"));
    for (service, scene, code, place, said) in [
        ("10", "7", "MESSAGE_UNKNOWN", "/m/s", "10"),
        ("30", "1", "MESSAGE_UNKNOWN", "/m/k", "30"),
        ("30", "7", "MESSAGE_UNKNOWN", "/m/k", "30"),
        // Scene 2 is one message's alone, which is then known, with a service that is wrong.
        ("20", "2", "LITERAL_MISMATCH", "/m/k", ""),
    ] {
        let message = format!("<m><k>{service}</k><s>{scene}</s><n>7</n><c>N</c></m>");
        let undecoded = contract.decode(message.as_bytes(), Mode::Test).unwrap_err();
        let [fault] = undecoded.faults.as_slice() else { panic!("{undecoded:?}") };
        let told = (fault.code.as_str(), &*fault.place, &*undecoded.exchange.transaction_code);
        assert_eq!(told, (code, place, said), "{service} {scene}");
    }
}

#[test]
fn what_a_message_cannot_carry_is_told_by_its_field() {
    let contract = contract(XML, "title_query", KEYED);
    let message = format!("<M><f n=\"S\"><v>7</v></f><f n=\"P\"><v>L</v></f><u>{UNIT}</u></M>");
    let good = decode(&contract, &message).envelope;
    let refused = |change: &dyn Fn(&mut proto::v1::TitleQuery)| {
        let mut envelope = good.clone();
        let Some(proto::v1::envelope::Body::TitleQuery(query)) = &mut envelope.body else {
            panic!("{envelope:?}")
        };
        change(query);
        let refused = contract.encode(Some("m"), Reply::Request, &envelope).unwrap_err();
        assert!(refused.reason.starts_with("CANNOT_CARRY"), "{}", refused.reason);
        refused.field
    };
    assert_eq!(
        refused(&|query| query.properties[0].title_numbers.push("t".to_owned())),
        "matter.properties[0].title_numbers[0]"
    );
    assert_eq!(
        refused(&|query| query.branch.get_or_insert_default().code = "b".to_owned()),
        "branch.code"
    );
    // A whole message of another kind has no place either.
    let fixed = KEYED.replace("<M>", "<M c:when=\"matter.purpose=LENDING\">");
    let fixed = fixed.replace("<f n=\"P\"><v>{matter.purpose: code purpose}</v></f>", "");
    let contract = self::contract(XML, "title_query", &fixed);
    let mut other = good.clone();
    if let Some(proto::v1::envelope::Body::TitleQuery(query)) = &mut other.body {
        query.set_purpose(proto::v1::QueryPurpose::Enforcement);
    }
    let refused = contract.encode(Some("m"), Reply::Request, &other).unwrap_err();
    assert_eq!(refused.field, "matter.purpose");
    assert!(refused.reason.starts_with("CANNOT_CARRY: this kind"), "{}", refused.reason);
}

#[test]
fn a_required_field_that_nothing_holds_is_told_before_use() {
    let template = "<m c:when=\"matter.kind=TRANSFER\"><sn>{exchange.serial}</sn><n>{matter.contract_number}</n>\
        <d>{matter.contract_date: date %Y%m%d}</d><p c:each=\"matter.properties\">{.location}</p>\
        <o c:each=\"matter.obligees\">{.name}/{.id_type: code id}/{.id_number: id}</o>\
        <b c:each=\"matter.obligors\">{.name}/{.id_type: code id}/{.id_number: id}</b></m>";
    let subject = "application.advance_notice";
    assert!(compile(XML, subject, template, "").is_ok());
    let (from, behind) = (template.find("<o c:each").unwrap(), template.find("<b c:each").unwrap());
    for (without, told) in [
        (template.replace(" c:when=\"matter.kind=TRANSFER\"", ""), "requires `matter.kind`"),
        (template.replace("<n>{matter.contract_number}</n>", ""), "`matter.contract_number`"),
        (template.replacen("/{.id_number: id}", "", 1), "`matter.obligees[].id_number`"),
        (template.replacen(&template[from..behind], "", 1), "`matter.obligees`"),
    ] {
        let complaints = compile(XML, subject, &without, "").expect_err(told);
        let [complaint] = complaints.as_slice() else { panic!("{complaints:#?}") };
        assert!(complaint.message.contains(told), "{complaints:#?}");
        assert!(complaint.message.ends_with("give it a hole, or say it with `c:when`"));
    }
    // A list that the model requires is mandatory in a message, though no template says so.
    let contract = contract(XML, subject, template);
    let message = "<m><sn>7</sn><n>N</n><d>20260305</d><p>here</p><b>d/9/D</b></m>";
    let told = refuse(&contract, message, Mode::Test);
    assert_eq!(told, [("TAG_MISSING".to_owned(), "/m/o".to_owned(), 0)]);
}

#[test]
fn a_part_of_a_moment_is_written_but_never_read() {
    for (words, fine) in [
        ("time %Y-%m-%d", false),
        ("time %H%M%S", false),
        ("time %Y%m%d%H%M", false),
        ("time %Y%m%d%H%M%S", true),
    ] {
        let template = KEYED.replace("<M>", &format!("<M t=\"{{exchange.sent_at: {words}}}\">"));
        let compiled = compile(XML, "title_query", &template, "");
        let told = compiled.err().map(|complaints| complaints[0].message.clone());
        let expected = format!(
            "`{words}` tells only a part of `exchange.sent_at`: it can be written, never read"
        );
        assert_eq!(told, (!fine).then_some(expected));
    }
}

#[test]
fn what_cannot_work_is_refused_before_use() {
    let good = "<m><sn>{exchange.serial}</sn><p>{matter.purpose: code purpose}</p><u c:each=\"matter.properties\">{.unit_code: unit_code}</u></m>";
    assert!(compile(XML, "title_query", good, "").is_ok());
    for (from, to, told) in [
        ("matter.purpose", "matter.purpos", "is no field of TitleQuery"),
        (": code purpose", "", "does not fit purpose"),
        ("code purpose", "code nothing", "there is no table"),
        ("<p>{matter.purpose: code purpose}</p>", "", "the model requires `matter.purpose`"),
        ("{exchange.serial}", "{exchange.serial}{exchange.system_id}", "is not certain"),
        ("<sn>", "<u>x</u><sn>", "an input could be meant"),
        ("{exchange.serial}", "{exchange.replied_at: time %Y%m%d}", "filled in by the gateway"),
        ("{exchange.serial}", "{exchange.serial", "lacks its `}`"),
        ("c:each", "c:every", "is no word of the language"),
        ("<sn>", "<sn c:when=\"matter.purpose=PLEASURE\">", "is no value of"),
        ("</sn>", "<sn>", "no document"),
    ] {
        let template = good.replacen(from, to, 1);
        let complaints = compile(XML, "title_query", &template, "").expect_err(told);
        let found = complaints.iter().find(|complaint| complaint.message.contains(told));
        let complaint = found.unwrap_or_else(|| panic!("{told}: {complaints:#?}"));
        assert_eq!(complaint.file, "m");
        assert!(complaint.span.end <= template.len());
    }
    let complaints =
        compile(XML, "title_query", good, "[codes.twice]\n1 = \"LENDING\"\n2 = \"LENDING\"")
            .unwrap_err();
    assert!(complaints[0].message.contains("two codes"), "{complaints:#?}");
}
