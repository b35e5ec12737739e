//! A bank's sample messages, `contracts/banks/BANK/cases`: as bytes, and changed in their canonical form.

use std::{
    fs,
    path::{Path, PathBuf},
};

use adapters::{Contract, Mode};
use anyhow::{Context, bail};
use prost_reflect::{DynamicMessage, ReflectMessage};
use proto::v1::{Application, Envelope, envelope::Body};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::scenario::Change;

/// The contract in a folder; one whose messages are signed with the test keys of its cases, for both sides.
///
/// # Errors
/// It does not compile, or the keys can't be read.
pub fn contract(folder: &Path) -> anyhow::Result<Contract> {
    let contract = gateway::contracts::read_contract(folder).map_err(|problems| {
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", told.join("\n"))
    })?;
    if !contract.needs_keys() {
        return Ok(contract);
    }
    let key = |side: &str| {
        let file = folder.join(format!("cases/keys/test-{side}.key.pem"));
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    };
    Ok(contract.with_keys(&key("bank")?, &key("gateway")?)?)
}

/// The samples of one bank.
#[derive(Debug, Clone)]
pub struct Samples {
    folder: PathBuf,
    index: Vec<Sample>,
}

/// A line of `samples.json`; what is not listed here is for the golden tests.
#[derive(Debug, Clone, Deserialize)]
struct Sample {
    name: String,
    request: Option<String>,
}

impl Samples {
    /// The samples of the contract in a folder.
    ///
    /// # Errors
    /// There are none, or the index can't be read.
    pub fn of(contract: &Path) -> anyhow::Result<Self> {
        let folder = contract.join("cases");
        let index = fs::read_to_string(folder.join("samples.json"))
            .with_context(|| format!("samples of {}", contract.display()))?;
        Ok(Self { index: serde_json::from_str(&index)?, folder })
    }

    /// Whether there is a request of this name.
    pub fn has(&self, name: &str) -> bool {
        self.index.iter().any(|sample| sample.name == name && sample.request.is_some())
    }

    /// Name of the first request.
    ///
    /// # Errors
    /// There is none.
    pub fn first_name(&self) -> anyhow::Result<String> {
        let first = self.index.iter().find(|sample| sample.request.is_some());
        Ok(first.context("no request among the samples")?.name.clone())
    }

    /// A request's bytes, as the bank wrote them.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn request(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let file = self
            .index
            .iter()
            .find(|sample| sample.name == name)
            .and_then(|sample| sample.request.as_ref())
            .with_context(|| format!("no request {name}"))?;
        Ok(fs::read(self.folder.join("samples").join(file))?)
    }

    /// Other bytes, by their path inside `cases` without ending.
    ///
    /// # Errors
    /// There are none.
    pub fn bytes(&self, file: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.folder.join(format!("{file}.bytes"));
        fs::read(&path).with_context(|| format!("bytes {file}"))
    }

    /// A request's bytes with the value of a text field taken out of its place.
    ///
    /// # Errors
    /// A sample that does not decode, or a field whose value does not stand in it as it is.
    pub fn emptied(&self, contract: &Contract, name: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        let bytes = self.request(name)?;
        let mut json = canonical(contract, &bytes)?;
        let (parent, last) = parent_of(&mut json, path, Missing::Fails)?;
        let value = parent.get(&last).and_then(Value::as_str).context("no text there")?.to_owned();
        let place = contract.locate(&bytes, Mode::Test, &[path.to_owned()]);
        let offset = place.first().map_or(0, |(_, offset)| *offset);
        let at = bytes
            .windows(value.len())
            .skip(offset)
            .position(|window| window == value.as_bytes())
            .with_context(|| format!("{path} does not stand in {name} as it is"))?;
        let emptied = [&bytes[..offset + at], &bytes[offset + at + value.len()..]].concat();
        match contract.wire().prefix {
            Some(prefix) => {
                let body = emptied.get(prefix.length()..).context("a message without a prefix")?;
                prefix.put_on(body).ok().context("too long for its prefix")
            }
            None => Ok(emptied),
        }
    }

    /// What a text field of a request says, in its canonical form.
    ///
    /// # Errors
    /// A sample that does not decode, or a path that leads to no text.
    pub fn text(&self, contract: &Contract, name: &str, path: &str) -> anyhow::Result<String> {
        let mut json = canonical(contract, &self.request(name)?)?;
        let (parent, last) = parent_of(&mut json, path, Missing::Fails)?;
        let found = match last.parse::<usize>() {
            Ok(index) => parent.get(index),
            Err(_) => parent.get(&last),
        };
        let text = found.and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("{name} has no text at {path}"))
    }

    /// A request's canonical form with changes, and the name of its message in the contract.
    ///
    /// # Errors
    /// A sample that does not decode, or a path that leads nowhere.
    pub fn changed(
        &self,
        contract: &Contract,
        name: &str,
        changes: &[Change],
    ) -> anyhow::Result<(String, Envelope)> {
        let decoded = contract
            .decode(&self.request(name)?, Mode::Test)
            .map_err(|undecoded| anyhow::anyhow!("{name}: {:?}", undecoded.faults))?;
        let envelope = proto::descriptors::dynamic("Envelope", &decoded.envelope)
            .context("not an envelope")?;
        let mut json = proto::golden::write(&envelope);
        for change in changes {
            apply(&mut json, change)?;
        }
        let changed: DynamicMessage =
            proto::golden::read(&envelope.descriptor(), &json).map_err(anyhow::Error::msg)?;
        Ok((decoded.message, changed.transcode_to()?))
    }
}

/// What an application says at a path, as text.
///
/// # Errors
/// It says nothing there.
pub fn text_of(application: &Application, path: &str) -> anyhow::Result<String> {
    let mut json = as_json(application)?;
    let (parent, last) = parent_of(&mut json, path, Missing::Fails)?;
    let found = match last.parse::<usize>() {
        Ok(index) => parent.get(index),
        Err(_) => parent.get(&last),
    };
    match found.with_context(|| format!("nothing at {path}"))? {
        Value::String(text) => Ok(text.clone()),
        other => Ok(other.to_string()),
    }
}

/// An application as golden files write it.
///
/// # Errors
/// It is none.
pub fn as_json(application: &Application) -> anyhow::Result<Value> {
    let envelope =
        Envelope { body: Some(Body::Application(application.clone())), ..Envelope::default() };
    let envelope = proto::descriptors::dynamic("Envelope", &envelope).context("not an envelope")?;
    Ok(proto::golden::write(&envelope))
}

fn canonical(contract: &Contract, bytes: &[u8]) -> anyhow::Result<Value> {
    let decoded = contract
        .decode(bytes, Mode::Test)
        .map_err(|undecoded| anyhow::anyhow!("a sample is faulty: {:?}", undecoded.faults))?;
    let envelope =
        proto::descriptors::dynamic("Envelope", &decoded.envelope).context("not an envelope")?;
    Ok(proto::golden::write(&envelope))
}

fn apply(json: &mut Value, change: &Change) -> anyhow::Result<()> {
    let (Change::Set(path, _)
    | Change::End(path, _)
    | Change::Without(path)
    | Change::Emptying(path)) = change;
    let missing = match change {
        Change::Set(..) => Missing::IsMade,
        Change::End(..) | Change::Without(_) | Change::Emptying(_) => Missing::Fails,
    };
    let (parent, last) = parent_of(json, path, missing)?;
    let nothing = || format!("nothing at {path}");
    match (change, parent) {
        (Change::Set(_, value), Value::Object(fields)) => {
            let value = worth(value, fields.get(&last));
            fields.insert(last, value);
        }
        (Change::Set(_, value), parent) => {
            let item = last.parse().ok().and_then(|index: usize| parent.get_mut(index));
            let item = item.with_context(nothing)?;
            *item = worth(value, Some(item));
        }
        (Change::End(_, end), parent) => {
            let Some(Value::String(text)) = parent.get_mut(&last) else {
                bail!("no text at {path}")
            };
            let kept = text.chars().count().saturating_sub(end.chars().count());
            *text = text.chars().take(kept).chain(end.chars()).collect();
        }
        (Change::Emptying(_), _) => bail!("emptying goes with no other change"),
        (Change::Without(_), parent) => {
            let fields = parent.as_object_mut().with_context(nothing)?;
            fields.remove(&last).with_context(nothing)?;
        }
    }
    Ok(())
}

/// A value as JSON: a number or truth value where it is one, unless a text stood there.
fn worth(value: &str, before: Option<&Value>) -> Value {
    serde_json::from_str(value)
        .ok()
        .filter(|value: &Value| value.is_boolean() || value.is_i64() || value.is_string())
        .filter(|_| !before.is_some_and(Value::is_string))
        .unwrap_or_else(|| value.into())
}

/// What becomes of a path that leads to a message which is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fails,
    IsMade,
}

/// What holds a path's last step. `matter.` is what the message is about.
fn parent_of<'j>(
    json: &'j mut Value,
    path: &str,
    missing: Missing,
) -> anyhow::Result<(&'j mut Value, String)> {
    let mut steps: Vec<&str> =
        path.split(['.', '[', ']']).filter(|step| !step.is_empty()).collect();
    let last = steps.pop().context("an empty path")?.to_owned();
    let mut at = json;
    if steps.first().is_none_or(|first| *first != "exchange") {
        at = body_of(at)?;
    }
    for step in steps {
        at = match (step.parse::<usize>(), step) {
            (Ok(index), _) => at.get_mut(index),
            (Err(_), "matter") => Some(matter_of(at)),
            (Err(_), name) if missing == Missing::IsMade => {
                let fields = at.as_object_mut();
                fields.map(|fields| fields.entry(name).or_insert_with(|| Value::Object(Map::new())))
            }
            (Err(_), name) => at.get_mut(name),
        }
        .with_context(|| format!("{path}: no {step}"))?;
    }
    Ok((at, last))
}

fn body_of(envelope: &mut Value) -> anyhow::Result<&mut Value> {
    let fields = envelope.as_object_mut().context("no envelope")?;
    fields
        .iter_mut()
        .find(|(name, _)| name.as_str() != "exchange")
        .map(|(_, body)| body)
        .context("no body")
}

/// The matter of an application; a query is its own matter.
fn matter_of(body: &mut Value) -> &mut Value {
    let matters = proto::descriptors::message("Application")
        .and_then(|application| application.oneofs().find(|oneof| oneof.name() == "matter"))
        .map(|oneof| oneof.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>())
        .unwrap_or_default();
    let chosen = body
        .as_object()
        .and_then(|fields| fields.keys().find(|key| matters.contains(key)).cloned());
    match chosen {
        Some(chosen) => &mut body[chosen],
        None => body,
    }
}
