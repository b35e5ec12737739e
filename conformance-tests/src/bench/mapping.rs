//! What mapping costs: the steps of an exchange that only compute, for each bank's first sample, beside a pass over the
//! same text that tokenises it and keeps nothing.
//!
//! Measured warm on one core, in batches; the least batch counts, as whatever else the machine does only ever adds.
//! Signatures are left out: what they cost is their algorithm's matter, not the mapping's.

use std::{collections::BTreeMap, fmt, fs, hint::black_box, path::Path, time::Instant};

use adapters::{Contract, Mode, Reply, cases, wire::Media};
use anyhow::{Context, anyhow};
use gateway::fingerprint::fingerprint;
use prost::Message;
use proto::v1::{SubmitRequest, envelope::Body};
use quick_xml::{Reader, events::Event};
use serde::de::IgnoredAny;

use crate::samples::Samples;

/// Batches per step, and how often a batch repeats the step.
const BATCHES: usize = 301;
const REPEATS: u32 = 100;

/// Tells how often a step allocates. Only a program's own allocator can count, so the program hands it in.
pub type Allocations = fn(&mut dyn FnMut()) -> u64;

/// What one step costs, each time.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    nanoseconds: u128,
    allocations: u64,
}

/// What the steps cost for one message of one contract. Displays as a row of [`HEAD`].
#[derive(Debug)]
pub struct Row {
    bank: String,
    case: String,
    bytes: usize,
    decode: Cost,
    tokenise: Cost,
    encode: Cost,
    /// Only for messages that file something.
    fingerprint: Option<Cost>,
    submission: Option<Cost>,
}

/// What the columns of a [`Row`] are called.
pub const HEAD: &str = "\
| contract | message | bytes | decode µs | allocations | a tokeniser's pass µs | ratio | encode the reply µs | allocations | fingerprint µs | protobuf µs |
|---|---|---|---|---|---|---|---|---|---|---|";

/// Measures the first sample of the contract in `folder`.
///
/// # Errors
/// No sample, or one that does not decode or whose reply cannot be written.
pub fn row(folder: &Path, allocations: Allocations) -> anyhow::Result<Row> {
    let contract = unsealed(folder)?;
    let samples = Samples::of(folder)?;
    let case = samples.first_name()?;
    let request = samples.request(&case)?;
    let outcome = fs::read_to_string(folder.join(format!("cases/samples/{case}.outcome.json")))?;
    let outcome = cases::envelope(&serde_json::from_str(&outcome)?).map_err(|why| anyhow!(why))?;

    let decode = || contract.decode(black_box(&request), Mode::Production);
    let decoded = decode().map_err(|undecoded| anyhow!("{case}: {undecoded:?}"))?;
    let encode = || contract.encode(Some(&decoded.message), Reply::Outcome, black_box(&outcome));
    encode().map_err(|cannot| anyhow!("{case}: {cannot:?}"))?;
    let opened = contract.wire().open(&request).map_err(|fault| anyhow!("{fault:?}"))?;
    tokenise(contract.wire().media, &opened.text)?;
    let application = match decoded.envelope.body.clone() {
        Some(Body::Application(application)) => Some(application),
        _ => None,
    };
    let submission = application.map(|it| SubmitRequest { application: Some(it) });
    let application = submission.as_ref().and_then(|it| it.application.as_ref());
    Ok(Row {
        bank: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: request.len(),
        decode: Cost::of(decode, allocations),
        tokenise: Cost::of(
            || tokenise(contract.wire().media, black_box(&opened.text)),
            allocations,
        ),
        encode: Cost::of(encode, allocations),
        fingerprint: application
            .map(|it| Cost::of(|| fingerprint(black_box(it), &[]), allocations)),
        submission: submission
            .as_ref()
            .map(|it| Cost::of(|| black_box(it).encode_to_vec(), allocations)),
        case,
    })
}

/// The contract in a folder, without its signature: then a signature is a leaf that nobody reads.
fn unsealed(folder: &Path) -> anyhow::Result<Contract> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path)?;
            let kept = text.split_inclusive('\n').filter(|line| !line.starts_with("seal ="));
            files.insert(name, kept.collect());
        }
    }
    Contract::compile(&files).map_err(|complaints| anyhow!("{complaints:?}"))
}

/// Reads a text to its end and keeps nothing of it: what nobody who reads it can avoid.
fn tokenise(media: Media, text: &str) -> anyhow::Result<()> {
    match media {
        Media::Xml => {
            let mut reader = Reader::from_str(text);
            while !matches!(black_box(reader.read_event()?), Event::Eof) {}
        }
        Media::Json => {
            black_box(serde_json::from_str::<IgnoredAny>(text)?);
        }
    }
    Ok(())
}

impl Cost {
    fn of<T>(step: impl Fn() -> T, allocations: Allocations) -> Self {
        let batch = || {
            let begun = Instant::now();
            for _ in 0..REPEATS {
                black_box(step());
            }
            begun.elapsed().as_nanos() / u128::from(REPEATS)
        };
        let nanoseconds = (0..BATCHES).map(|_| batch()).min().unwrap_or_default();
        let allocations = allocations(&mut || drop(black_box(step())));
        Self { nanoseconds, allocations }
    }

    /// How many times `other` it takes, in tenths.
    fn times(self, other: Self) -> Tenths {
        Tenths(self.nanoseconds * 10 / other.nanoseconds.max(1))
    }
}

/// A number of tenths, written with its point.
struct Tenths(u128);

impl fmt::Display for Tenths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

impl fmt::Display for Cost {
    /// In microseconds.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Tenths(self.nanoseconds / 100).fmt(out)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bank, case, bytes, decode, tokenise, encode, fingerprint, submission } = self;
        let ratio = decode.times(*tokenise);
        let (read, written) = (decode.allocations, encode.allocations);
        write!(out, "| {bank} | {case} | {bytes} | {decode} | {read} | {tokenise} | {ratio} | ")?;
        write!(out, "{encode} | {written} |")?;
        for step in [fingerprint, submission] {
            match step {
                Some(cost) => write!(out, " {cost} |")?,
                None => out.write_str(" – |")?,
            }
        }
        Ok(())
    }
}
