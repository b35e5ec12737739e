//! Every golden case of every bank's contract: what its messages mean, and exactly what is answered.
//!
//! A new case is a new file and its entry, no Rust; contracts/README.md says how `cases/` is laid out. All failing
//! cases are told at once. A file in `cases/` that no case names fails too. With `DIRECTLINK_REWRITE_GOLDEN=1`
//! the files are rewritten with what the engine says, to be reviewed like code; nothing but a person sets it.
#![expect(
    clippy::disallowed_methods,
    reason = "the cases are files; the crate under test still reads none"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::{env, fs};

use adapters::{Contract, Decoded, Mode, Reply, Undecoded};
use prost_reflect::{DynamicMessage, ReflectMessage};
use proto::v1::Envelope;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const BANKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/banks");

#[test]
fn every_golden_case_of_every_contract_holds() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for folder in contracts(Path::new(BANKS)).unwrap() {
        let mut run = Run::of(&folder);
        run.contract_and_cases();
        failures.append(&mut run.failures);
        cases += run.cases;
    }
    assert!(cases > 0, "no case was found under contracts/banks");
    let told = failures.join("\n\n");
    assert!(failures.is_empty(), "{} complaints over {cases} cases:\n\n{told}\n", failures.len());
}

/// One line of `samples.json`: the files that belong together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    request: Option<String>,
    ack: Option<String>,
    canonical: String,
    outcome: String,
    reply: Option<String>,
    notice: Option<String>,
    refusal: Option<String>,
    refused: Option<String>,
    /// How the request travels; the bank port's tests are about that.
    #[serde(rename = "http")]
    _http: Option<Value>,
}

/// One odd message of `bad/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bad {
    input: String,
    #[serde(rename = "why")]
    _why: String,
    mode: String,
    first: Option<String>,
    accepted: Option<String>,
    faults: Vec<Told>,
    #[serde(rename = "http")]
    _http: Option<Value>,
}

/// What a case file says of a fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    code: String,
    place: String,
    offset: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// The cases of one contract, and what came of them.
struct Run {
    bank: String,
    folder: PathBuf,
    rewrite: bool,
    named: BTreeSet<PathBuf>,
    cases: usize,
    failures: Vec<String>,
}

impl Run {
    fn of(folder: &Path) -> Self {
        Self {
            bank: folder.strip_prefix(BANKS).unwrap_or(folder).display().to_string(),
            folder: folder.to_owned(),
            rewrite: env::var_os("DIRECTLINK_REWRITE_GOLDEN").is_some(),
            named: BTreeSet::new(),
            cases: 0,
            failures: Vec::new(),
        }
    }

    fn contract_and_cases(&mut self) {
        match compiled(&self.folder) {
            Ok(contract) => {
                self.samples(&contract).unwrap_or_else(|why| self.fail("samples.json", &why));
                self.bad(&contract).unwrap_or_else(|why| self.fail("bad", &why));
                self.unread().unwrap_or_else(|why| self.fail("cases", &why));
            }
            Err(why) => self.fail("the contract", &why),
        }
    }

    fn samples(&mut self, contract: &Contract) -> Result<(), String> {
        let index: Vec<Sample> = parsed(&self.bytes("samples.json")?)?;
        for sample in index {
            self.cases += 1;
            self.sample(contract, &sample).unwrap_or_else(|why| self.fail(&sample.name, &why));
        }
        Ok(())
    }

    fn sample(&mut self, contract: &Contract, sample: &Sample) -> Result<(), String> {
        let file = |name: &String| format!("samples/{name}");
        let named = [&sample.request, &sample.ack, &sample.reply, &sample.notice, &sample.refusal];
        for name in named.into_iter().chain([&sample.refused]).flatten() {
            self.name(&file(name))?;
        }
        self.name(&file(&sample.canonical))?;
        let sent =
            sample.request.as_ref().or(sample.ack.as_ref()).ok_or("neither request nor ack")?;
        let sent = self.bytes(&file(sent))?;
        let outcome = envelope(&parsed(&self.bytes(&file(&sample.outcome))?)?)?;
        let refusal = match &sample.refusal {
            Some(refusal) => Some(envelope(&parsed(&self.bytes(&file(refusal))?)?)?),
            None => None,
        };
        let decoded = contract.decode(&sent, Mode::Test).map_err(|faults| undecoded(&faults))?;
        let message = Some(decoded.message.as_str());
        self.means(&sample.name, &file(&sample.canonical), &decoded)?;
        let answers = [
            (&sample.reply, Reply::Outcome, Some(&outcome)),
            (&sample.notice, Reply::Notice, Some(&outcome)),
            (&sample.refused, Reply::Refusal, refusal.as_ref()),
        ];
        for (golden, reply, told) in answers {
            let (Some(golden), Some(told)) = (golden, told) else { continue };
            match contract.encode(message, reply, told) {
                Ok(bytes) => {
                    self.written(&sample.name, &file(golden), &bytes)?;
                    self.understood(contract, &sample.name, message, reply, told, &bytes);
                }
                Err(why) => self.fail(&sample.name, &format!("{golden} was not written: {why:?}")),
            }
        }
        if sample.request.is_some() {
            self.written_again(contract, &sample.name, &decoded)?;
        }
        Ok(())
    }

    /// Decoding gave what the golden file says; compared as JSON values, the order of keys means nothing.
    fn means(&mut self, case: &str, golden: &str, decoded: &Decoded) -> Result<(), String> {
        let expected: Value = parsed(&self.bytes(golden)?)?;
        let actual = canonical(&decoded.envelope)?;
        let differences = differences("", &expected, &actual);
        if differences.is_empty() {
            return Ok(());
        }
        if self.rewrite {
            return self.write(golden, &indented(&actual)?);
        }
        self.fail(case, &format!("is not {golden}:\n  {}", differences.join("\n  ")));
        Ok(())
    }

    /// The bytes are those of the golden file.
    fn written(&mut self, case: &str, golden: &str, actual: &[u8]) -> Result<(), String> {
        let expected = self.bytes(golden)?;
        if expected == actual {
            return Ok(());
        }
        if self.rewrite {
            return self.write(golden, actual);
        }
        let at = expected.iter().zip(actual).take_while(|(a, b)| a == b).count();
        let (expected, actual) = (legible(&expected), legible(actual));
        self.fail(
            case,
            &format!(
                "is not {golden} from byte {at} on:\n  agreed  {expected}\n  written {actual}"
            ),
        );
        Ok(())
    }

    /// A bank reads the answer as what it is, and would have got the same bytes for what it read.
    fn understood(
        &mut self,
        contract: &Contract,
        case: &str,
        message: Option<&str>,
        reply: Reply,
        told: &Envelope,
        bytes: &[u8],
    ) {
        if reply == Reply::Notice {
            return; // It answers nothing; what a bank makes of it is its acknowledgement.
        }
        match contract.read_reply(message, bytes) {
            Some((read, mut envelope)) => {
                // A moment told in parts (a day here, a time of day there) is not put together again.
                let replied_at = told.exchange.as_ref().and_then(|exchange| exchange.replied_at);
                envelope.exchange.get_or_insert_default().replied_at = replied_at;
                let again = contract.encode(message, read, &envelope);
                if read != reply || again.as_deref() != Ok(bytes) {
                    self.fail(case, &format!("the {reply:?} was read as {read:?}: {again:?}"));
                }
            }
            None => self.fail(case, &format!("the {reply:?} is no answer to a reader")),
        }
    }

    /// Banks write blanks, comments and escapes that mean nothing: writing the canonical form gives other bytes, which
    /// must mean the same.
    fn written_again(
        &mut self,
        contract: &Contract,
        case: &str,
        decoded: &Decoded,
    ) -> Result<(), String> {
        let bytes = contract
            .encode(Some(&decoded.message), Reply::Request, &decoded.envelope)
            .map_err(|why| format!("the request was not written again: {why:?}"))?;
        let again = contract.decode(&bytes, Mode::Test).map_err(|faults| {
            format!("written again as {}\n  {}", legible(&bytes), undecoded(&faults))
        })?;
        let differences =
            differences("", &canonical(&decoded.envelope)?, &canonical(&again.envelope)?);
        if !differences.is_empty() || again.message != decoded.message {
            let told = differences.join("\n  ");
            self.fail(
                case,
                &format!("written again it means another thing ({}):\n  {told}", again.message),
            );
        }
        Ok(())
    }

    fn bad(&mut self, contract: &Contract) -> Result<(), String> {
        for path in files(&self.folder.join("cases/bad"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".json") && !name.ends_with(".canonical.json") {
                self.cases += 1;
                self.odd(contract, &name)
                    .unwrap_or_else(|why| self.fail(&format!("bad/{name}"), &why));
            }
        }
        Ok(())
    }

    fn odd(&mut self, contract: &Contract, name: &str) -> Result<(), String> {
        let case = format!("bad/{name}");
        let text = self.bytes(&case)?;
        let bad: Bad = parsed(&text)?;
        for name in [&bad.first, &bad.accepted].into_iter().flatten() {
            self.name(&format!("bad/{name}"))?;
        }
        let input = self.bytes(&format!("bad/{}", bad.input))?;
        let mode = match bad.mode.as_str() {
            "test" => Mode::Test,
            "production" => Mode::Production,
            other => return Err(format!("mode `{other}` is neither test nor production")),
        };
        let answer = contract.decode(&input, mode);
        if let Some(first) = &bad.first {
            let first = self.bytes(&format!("bad/{first}"))?;
            let first = contract.decode(&first, mode).map_err(|faults| undecoded(&faults))?;
            let second = answer.as_ref().map_err(|faults| undecoded(faults))?;
            let (first, second) = (key(&first.envelope)?, key(&second.envelope)?);
            if first != second {
                return Err(format!("the two messages have the keys {first} and {second}"));
            }
        }
        match (&bad.accepted, answer) {
            (Some(golden), Ok(decoded)) => self.means(&case, &format!("bad/{golden}"), &decoded),
            (Some(_), Err(faults)) => Err(undecoded(&faults)),
            (None, Ok(_)) if bad.first.is_some() => located(contract, &input, mode, &bad.faults),
            (None, Ok(decoded)) => Err(format!(
                "was accepted as {}; agreed are\n  {}",
                decoded.message,
                list(&bad.faults)
            )),
            (None, Err(faults)) => self.faulty(&case, &text, &bad, &faults),
        }
    }

    /// The faults are those of the case, as a set, and told in order of offset.
    fn faulty(
        &mut self,
        case: &str,
        text: &[u8],
        bad: &Bad,
        faults: &Undecoded,
    ) -> Result<(), String> {
        let told = told(faults);
        if !told.is_sorted_by_key(|fault| fault.offset) {
            self.fail(case, &format!("faults are not in order of offset:\n  {}", list(&told)));
        }
        let (mut actual, mut expected) = (told.clone(), bad.faults.clone());
        actual.sort();
        expected.sort();
        if actual == expected {
            return Ok(());
        }
        if self.rewrite {
            let mut file: Value = parsed(text)?;
            if let Some(object) = file.as_object_mut() {
                object.insert("faults".to_owned(), json!(told));
            }
            return self.write(case, &indented(&file)?);
        }
        Err(format!("other faults:\n  agreed  {}\n  told    {}", list(&expected), list(&actual)))
    }

    /// Files that no case named.
    fn unread(&mut self) -> Result<(), String> {
        for folder in ["", "samples", "bad"] {
            for path in files(&self.folder.join("cases").join(folder))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if !self.named.contains(&real(&path)?) {
                    self.fail(
                        &format!("{folder}/{name}"),
                        "is named by no case: name it in one, or remove it",
                    );
                }
            }
        }
        Ok(())
    }

    /// Notes that a case names the file, whether or not the case gets as far as reading it.
    fn name(&mut self, name: &str) -> Result<PathBuf, String> {
        let path = self.folder.join("cases").join(name);
        self.named.insert(real(&path)?);
        Ok(path)
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.name(name)?;
        fs::read(&path).map_err(|error| at(&path, &error))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.folder.join("cases").join(name);
        fs::write(&path, bytes).map_err(|error| at(&path, &error))
    }

    fn fail(&mut self, case: &str, why: &str) {
        self.failures.push(format!("{} {case}: {why}", self.bank));
    }
}

fn compiled(folder: &Path) -> Result<Contract, String> {
    let mut texts = BTreeMap::new();
    for path in files(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        texts.insert(name, fs::read_to_string(&path).map_err(|error| at(&path, &error))?);
    }
    let contract = Contract::compile(&texts).map_err(|complaints| {
        let told = |c: &adapters::contract::Complaint| {
            let line = texts.get(&c.file).and_then(|text| text.get(..c.span.start));
            format!("{}:{}: {}", c.file, line.map_or(0, |text| text.lines().count()), c.message)
        };
        format!("was refused:\n  {}", complaints.iter().map(told).collect::<Vec<_>>().join("\n  "))
    })?;
    if !contract.needs_keys() {
        return Ok(contract);
    }
    // Test keys: the case files hold signatures of both sides.
    let key = |side: &str| {
        let path = folder.join(format!("cases/keys/test-{side}.key.pem"));
        fs::read_to_string(&path).map_err(|error| at(&path, &error))
    };
    contract.with_keys(&key("bank")?, &key("gateway")?).map_err(|error| error.to_string())
}

/// The ledger tells which field differs from the first message; the contract only tells where that field stands.
fn located(contract: &Contract, input: &[u8], mode: Mode, faults: &[Told]) -> Result<(), String> {
    let fields: Vec<String> = faults.iter().filter_map(|fault| fault.field.clone()).collect();
    let expected: Vec<_> = faults.iter().map(|fault| (fault.place.clone(), fault.offset)).collect();
    let actual = contract.locate(input, mode, &fields);
    if actual == expected {
        return Ok(());
    }
    Err(format!("{fields:?} stand elsewhere:\n  agreed  {expected:?}\n  located {actual:?}"))
}

fn told(undecoded: &Undecoded) -> Vec<Told> {
    let told = |fault: &adapters::Fault| Told {
        code: fault.code.as_str().to_owned(),
        place: fault.place.clone(),
        offset: fault.offset,
        field: fault.field.clone(),
    };
    undecoded.faults.iter().map(told).collect()
}

fn undecoded(undecoded: &Undecoded) -> String {
    format!("was refused:\n  {}", list(&told(undecoded)))
}

fn list(faults: &[Told]) -> String {
    let line = |fault: &Told| {
        let field = fault.field.as_deref().unwrap_or("-");
        format!("{} {} at {} ({field})", fault.code, fault.place, fault.offset)
    };
    if faults.is_empty() {
        return "none".to_owned();
    }
    faults.iter().map(line).collect::<Vec<_>>().join("\n          ")
}

fn key(envelope: &Envelope) -> Result<String, String> {
    let canonical = canonical(envelope)?;
    let key = canonical.pointer("/application/idempotency_key").and_then(Value::as_str);
    key.map(str::to_owned).ok_or_else(|| "no idempotency key was built".to_owned())
}

fn canonical(envelope: &Envelope) -> Result<Value, String> {
    let mut message = DynamicMessage::new(descriptor()?);
    message.transcode_from(envelope).map_err(|error| error.to_string())?;
    Ok(proto::golden::write(&message))
}

fn envelope(canonical: &Value) -> Result<Envelope, String> {
    let message = proto::golden::read(&descriptor()?, canonical)?;
    debug_assert_eq!(message.descriptor().name(), "Envelope");
    message.transcode_to().map_err(|error| error.to_string())
}

fn descriptor() -> Result<prost_reflect::MessageDescriptor, String> {
    proto::descriptors::message("Envelope").ok_or_else(|| "the model has no Envelope".to_owned())
}

/// Where two JSON values part, one line a place.
fn differences(place: &str, expected: &Value, actual: &Value) -> Vec<String> {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let inside = |key: &String| {
                let (a, b) =
                    (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                differences(&format!("{place}.{key}"), a, b)
            };
            keys.into_iter().flat_map(inside).collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.flat_map(|(i, (a, b))| differences(&format!("{place}[{i}]"), a, b)).collect()
        }
        _ if expected == actual => Vec::new(),
        _ => vec![format!("{}: agreed {expected}, read {actual}", place.trim_start_matches('.'))],
    }
}

/// Bytes for a person: in UTF-8 where they are, else as GB18030.
fn legible(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::GB18030.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn indented(value: &Value) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
    value.serialize(&mut writer).map_err(|error| error.to_string())?;
    text.push(b'\n');
    Ok(text)
}

/// Every contract's folder: a bank's own, or, where it has several versions, the one of each.
fn contracts(of: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for bank in folders(of)? {
        let mut versions = folders(&bank)?;
        versions.retain(|folder| folder.join("contract.toml").is_file());
        found.extend(if versions.is_empty() { vec![bank] } else { versions });
    }
    Ok(found)
}

fn folders(of: &Path) -> Result<Vec<PathBuf>, String> {
    entries(of, |path| path.is_dir())
}

fn files(of: &Path) -> Result<Vec<PathBuf>, String> {
    entries(of, |path| path.is_file())
}

fn entries(of: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(of).map_err(|error| at(of, &error))? {
        let path = entry.map_err(|error| at(of, &error))?.path();
        if wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The one path of a file that several names lead to.
fn real(path: &Path) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &dyn Debug) -> String {
    format!("{}: {error:?}", path.display())
}
