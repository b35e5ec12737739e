//! A contract's golden cases: what its messages mean, and exactly what is answered. The one runner of them, for the
//! tests of the house and for `directlink contract test`.
//!
//! Files come in as bytes and nothing is written: what a golden file would have to hold is handed back. How `cases/` is
//! laid out: contracts/README.md.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DynamicMessage, ReflectMessage};
use proto::v1::Envelope;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Contract, Decoded, Fault, Mode, Reply, Undecoded};

/// The files of one `cases` folder: name relative to it, with slashes (`samples.json`, `bad/tag_twice.bytes`), and bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What came of the cases of one contract.
#[derive(Debug, Default)]
pub struct Report {
    /// How many cases there were; a file that no case names counts as one that failed.
    pub cases: usize,
    /// What does not hold.
    pub failures: Vec<Failure>,
    /// Golden files that say another thing than the contract does, with what they would have to hold.
    pub golden: Files,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The case: a sample's name, or the file of an odd message.
    pub case: String,
    /// What was agreed and what is; several lines.
    pub why: String,
}

impl Report {
    /// Cases of which nothing failed.
    pub fn passed(&self) -> usize {
        self.cases.saturating_sub(self.failed())
    }

    /// Cases of which anything failed.
    pub fn failed(&self) -> usize {
        self.failures.iter().map(|failure| &failure.case).collect::<BTreeSet<_>>().len()
    }
}

/// Runs every case: decodes and compares, encodes and compares, reads its own answers back, tells the faults of odd
/// messages. Files that no case names fail too.
pub fn run(contract: &Contract, files: &Files) -> Report {
    let mut run = Run { files, named: BTreeSet::new(), report: Report::default() };
    match samples(files) {
        Ok(samples) => {
            run.samples(contract, &samples);
            run.bad(contract);
            run.unread();
        }
        // Which file belongs to which cannot be known, so whatever else were told would only follow from this.
        Err(why) => run.fail_as_case(
            INDEX,
            &format!("{why}\n  no case was run: the index of samples comes first"),
        ),
    }
    run.report
}

/// One line of `samples.json`: the files that belong together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The case's name.
    pub name: String,
    /// What the bank sent.
    pub request: Option<String>,
    /// What it answered to the notice.
    pub ack: Option<String>,
    /// What decoding either gives.
    pub canonical: String,
    /// What is answered or told, where that is known.
    pub outcome: Option<String>,
    /// The outcome as the bank gets it.
    pub reply: Option<String>,
    /// The outcome as a notice.
    pub notice: Option<String>,
    /// A refusal.
    pub refusal: Option<String>,
    /// The refusal as the bank gets it.
    pub refused: Option<String>,
    /// How the request travels; the bank port's tests are about that.
    pub http: Option<Value>,
}

/// The index of the samples.
///
/// # Errors
/// `samples.json` is missing or says what the layout does not know.
pub fn samples(files: &Files) -> Result<Vec<Sample>, String> {
    parsed(files.get(INDEX).ok_or_else(|| format!("there is no {INDEX}"))?)
}

const INDEX: &str = "samples.json";

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

struct Run<'f> {
    files: &'f Files,
    /// Files that a case names.
    named: BTreeSet<String>,
    report: Report,
}

impl Run<'_> {
    fn samples(&mut self, contract: &Contract, samples: &[Sample]) {
        self.named.insert(INDEX.to_owned());
        for sample in samples {
            self.report.cases = self.report.cases.saturating_add(1);
            self.sample(contract, sample).unwrap_or_else(|why| self.fail(&sample.name, &why));
        }
    }

    fn sample(&mut self, contract: &Contract, sample: &Sample) -> Result<(), String> {
        let file = |name: &String| format!("samples/{name}");
        let named = [&sample.request, &sample.ack, &sample.reply, &sample.notice, &sample.refusal];
        for name in named.into_iter().chain([&sample.refused, &sample.outcome]).flatten() {
            self.name(&file(name));
        }
        self.name(&file(&sample.canonical));
        let all = named.into_iter().chain([&sample.refused, &sample.outcome]).flatten();
        let all = all.chain([&sample.canonical]).map(|name| plain(&file(name)));
        let missing: Vec<String> = all.filter(|name| !self.files.contains_key(name)).collect();
        if !missing.is_empty() {
            return Err(format!("is named and not there: {}", missing.join(", ")));
        }
        let sent =
            sample.request.as_ref().or(sample.ack.as_ref()).ok_or("neither request nor ack")?;
        let sent = self.bytes(&file(sent))?;
        let mut told = |name: &Option<String>| -> Result<Option<Envelope>, String> {
            let Some(name) = name else { return Ok(None) };
            envelope(&parsed(&self.bytes(&file(name))?)?).map(Some)
        };
        let (outcome, refusal) = (told(&sample.outcome)?, told(&sample.refusal)?);
        let decoded = contract.decode(&sent, Mode::Test).map_err(|faults| undecoded(&faults))?;
        let message = Some(decoded.message.as_str());
        self.means(&sample.name, &file(&sample.canonical), &decoded)?;
        let answers = [
            (&sample.reply, Reply::Outcome, outcome.as_ref()),
            (&sample.notice, Reply::Notice, outcome.as_ref()),
            (&sample.refused, Reply::Refusal, refusal.as_ref()),
        ];
        for (golden, reply, told) in answers {
            let Some(golden) = golden else { continue };
            let told = told.ok_or_else(|| format!("{golden} is named, but not what it tells"))?;
            match contract.encode(message, reply, told) {
                Ok(bytes) => {
                    self.written(&sample.name, &file(golden), &bytes)?;
                    self.understood(contract, &sample.name, message, reply, told, &bytes);
                }
                Err(why) => {
                    let (field, reason) = (&why.field, &why.reason);
                    self.fail(&sample.name, &format!("{golden} was not written: {field} {reason}"));
                }
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
        if !differences.is_empty() {
            self.golden(golden, indented(&actual)?);
            self.fail(case, &format!("is not {golden}:\n  {}", differences.join("\n  ")));
        }
        Ok(())
    }

    /// The bytes are those of the golden file.
    fn written(&mut self, case: &str, golden: &str, actual: &[u8]) -> Result<(), String> {
        let expected = self.bytes(golden)?;
        if expected != actual {
            let at = expected.iter().zip(actual).take_while(|(a, b)| a == b).count();
            let (agreed, written) = (around(&expected, at), around(actual, at));
            self.golden(golden, actual.to_vec());
            self.fail(
                case,
                &format!(
                    "is not {golden} from byte {at} on:\n  agreed  {agreed}\n  written {written}"
                ),
            );
        }
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
        let bytes =
            contract.encode(Some(&decoded.message), Reply::Request, &decoded.envelope).map_err(
                |why| format!("the request was not written again: {} {}", why.field, why.reason),
            )?;
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

    fn bad(&mut self, contract: &Contract) {
        let is_case =
            |name: &&String| name.ends_with(".json") && !name.ends_with(".canonical.json");
        let cases: Vec<&String> =
            self.files.keys().filter(|name| name.starts_with("bad/")).filter(is_case).collect();
        for case in cases {
            self.report.cases = self.report.cases.saturating_add(1);
            self.odd(contract, case).unwrap_or_else(|why| self.fail(case, &why));
        }
    }

    fn odd(&mut self, contract: &Contract, case: &str) -> Result<(), String> {
        let text = self.bytes(case)?;
        let bad: Bad = parsed(&text)?;
        for name in [&bad.first, &bad.accepted].into_iter().flatten() {
            self.name(&format!("bad/{name}"));
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
            (Some(golden), Ok(decoded)) => self.means(case, &format!("bad/{golden}"), &decoded),
            (Some(_), Err(faults)) => Err(undecoded(&faults)),
            (None, Ok(_)) if bad.first.is_some() => located(contract, &input, mode, &bad.faults),
            (None, Ok(decoded)) => Err(format!(
                "was accepted as {}; agreed are\n  {}",
                decoded.message,
                list(&bad.faults, "  ")
            )),
            (None, Err(faults)) => self.faulty(case, &text, &bad, &faults),
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
            let told = list(&told, "  ");
            self.fail(case, &format!("faults are not in order of offset:\n  {told}"));
        }
        let (mut actual, mut expected) = (told.clone(), bad.faults.clone());
        actual.sort();
        expected.sort();
        if actual == expected {
            return Ok(());
        }
        let mut file: Value = parsed(text)?;
        if let Some(object) = file.as_object_mut() {
            object.insert("faults".to_owned(), json!(told));
        }
        self.golden(case, indented(&file)?);
        let missing: Vec<Told> =
            expected.iter().filter(|fault| !actual.contains(fault)).cloned().collect();
        let extra: Vec<Told> =
            actual.iter().filter(|fault| !expected.contains(fault)).cloned().collect();
        let (missing, extra) = (list(&missing, "          "), list(&extra, "          "));
        Err(format!("other faults:\n  agreed  {missing}\n  told    {extra}"))
    }

    /// Files that no case named.
    fn unread(&mut self) {
        let unread: Vec<String> =
            self.files.keys().filter(|name| !self.named.contains(*name)).cloned().collect();
        for name in unread {
            self.fail_as_case(&name, "is named by no case: name it in one, or remove it");
        }
    }

    /// Notes that a case names the file, whether or not the case gets as far as reading it.
    fn name(&mut self, name: &str) -> String {
        let name = plain(name);
        self.named.insert(name.clone());
        name
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let name = self.name(name);
        self.files.get(&name).cloned().ok_or_else(|| format!("the file {name} is not there"))
    }

    fn golden(&mut self, name: &str, bytes: Vec<u8>) {
        self.report.golden.insert(plain(name), bytes);
    }

    fn fail(&mut self, case: &str, why: &str) {
        self.report.failures.push(Failure { case: case.to_owned(), why: why.to_owned() });
    }

    /// What fails beside the cases counts as one.
    fn fail_as_case(&mut self, case: &str, why: &str) {
        self.report.cases = self.report.cases.saturating_add(1);
        self.fail(case, why);
    }
}

/// The name without `..`: a case of `bad/` may name a file of `samples/`.
fn plain(name: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in name.split('/') {
        match word {
            ".." => {
                words.pop();
            }
            "." | "" => {}
            word => words.push(word),
        }
    }
    words.join("/")
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
    let told = |fault: &Fault| Told {
        code: fault.code.as_str().to_owned(),
        place: fault.place.clone(),
        offset: fault.offset,
        field: fault.field.clone(),
    };
    undecoded.faults.iter().map(told).collect()
}

fn undecoded(undecoded: &Undecoded) -> String {
    format!("was refused:\n  {}", list(&told(undecoded), "  "))
}

fn list(faults: &[Told], indent: &str) -> String {
    let line = |fault: &Told| {
        let field = fault.field.as_deref().unwrap_or("-");
        format!("{} {} at {} ({field})", fault.code, fault.place, fault.offset)
    };
    if faults.is_empty() {
        return "nothing".to_owned();
    }
    faults.iter().map(line).collect::<Vec<_>>().join(&format!("\n{indent}"))
}

fn key(envelope: &Envelope) -> Result<String, String> {
    let canonical = canonical(envelope)?;
    let key = canonical.pointer("/application/idempotency_key").and_then(Value::as_str);
    key.map(str::to_owned).ok_or_else(|| "no idempotency key was built".to_owned())
}

/// An envelope in the JSON of golden files.
///
/// # Errors
/// It is not of the model that was compiled in.
pub fn canonical(envelope: &Envelope) -> Result<Value, String> {
    let mut message = DynamicMessage::new(descriptor()?);
    message.transcode_from(envelope).map_err(|error| error.to_string())?;
    Ok(proto::golden::write(&message))
}

/// The envelope that the JSON of a golden file stands for.
///
/// # Errors
/// What in it is no field or no value of the model.
pub fn envelope(canonical: &Value) -> Result<Envelope, String> {
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
        _ => {
            let shown = |value: &Value| match value {
                Value::Null => "nothing".to_owned(),
                value => value.to_string(),
            };
            let place = place.trim_start_matches('.');
            vec![format!("{place}: agreed {}, read {}", shown(expected), shown(actual))]
        }
    }
}

/// What stands around a byte, for a person, with a mark before it.
fn around(bytes: &[u8], at: usize) -> String {
    const BYTES_AROUND: usize = 60;
    let (start, end) = (at.saturating_sub(BYTES_AROUND), at.saturating_add(BYTES_AROUND));
    let cut = |range: Option<&[u8]>| legible(range.unwrap_or_default());
    let (before, behind) = (cut(bytes.get(start..at)), cut(bytes.get(at..end.min(bytes.len()))));
    let more = |there: bool| if there { "…" } else { "" };
    format!("{}{before} ▸ {behind}{}", more(start > 0), more(end < bytes.len()))
}

/// Bytes for a person: in UTF-8 where they are, else as GB18030.
pub fn legible(bytes: &[u8]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_lead_through_the_folder_above() {
        assert_eq!(plain("bad/../samples/one.json"), "samples/one.json");
        assert_eq!(plain("./bad//one.json"), "bad/one.json");
    }

    #[test]
    fn what_differs_is_told_by_place() {
        let (agreed, read) = (json!({"a": [{"b": 1}], "c": 2}), json!({"a": [{"b": 3}]}));
        let told = differences("", &agreed, &read);
        assert_eq!(told, ["a[0].b: agreed 1, read 3", "c: agreed 2, read nothing"]);
    }

    #[test]
    fn a_difference_is_shown_with_what_stands_around_it() {
        assert_eq!(around(b"<a>1</a>", 3), "<a> ▸ 1</a>");
        assert_eq!(around(&[b'x'; 200], 100), format!("…{0} ▸ {0}…", "x".repeat(60)));
    }
}
