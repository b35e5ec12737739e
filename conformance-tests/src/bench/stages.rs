//! What single steps of an exchange cost, on one core: those that only compute.
//!
//! Measured warm, in batches; the median batch counts, as whatever else the machine does only ever adds.

use std::{hint::black_box, path::Path, time::Instant};

use adapters::{Contract, Mode, Reply};
use anyhow::{Context, bail};
use gateway::fingerprint::fingerprint;
use prost::Message;
use proto::v1::{Envelope, Exchange, Outcome, SubmitRequest, envelope::Body};

use super::{filing, upstream};

/// Batches per step, and how often a batch repeats the step.
const BATCHES: usize = 301;
const REPEATS: u32 = 100;

/// A step's name and its time in nanoseconds, in the order an exchange takes them.
pub type Times = Vec<(&'static str, u128)>;

/// Measures decoding, fingerprint, protobuf and encoding of one golden case.
///
/// # Errors
/// A case that does not decode to an application.
pub fn times(contract: &Contract, folder: &Path, case: &str) -> anyhow::Result<Times> {
    let request = filing::golden(folder, case)?;
    let decode = || contract.decode(black_box(&request), Mode::Production);
    let decoded = decode().map_err(|undecoded| anyhow::anyhow!("{undecoded:?}"))?;
    let Some(Body::Application(application)) = decoded.envelope.body else {
        bail!("{case} files nothing");
    };
    let exchange = decoded.envelope.exchange.context("no exchange")?;
    let answer = Envelope {
        exchange: Some(Exchange {
            replied_at: Some(prost_types::Timestamp::default()),
            ..exchange.clone()
        }),
        outcome: Some(Outcome { replayed: Some(false), ..upstream::outcome() }),
        ..Envelope::default()
    };
    let submission = SubmitRequest { application: Some(application.clone()) };
    let encode = || contract.encode(Some(&decoded.message), Reply::Outcome, black_box(&answer));
    Ok(vec![
        ("decode the request", median(decode)),
        ("fingerprint", median(|| fingerprint(black_box(&application), &[]))),
        ("protobuf of the submission", median(|| black_box(&submission).encode_to_vec())),
        ("encode the reply", median(encode)),
    ])
}

/// Nanoseconds of one call, in the median batch.
fn median<T>(step: impl Fn() -> T) -> u128 {
    let mut batches: Vec<u128> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..REPEATS {
                black_box(step());
            }
            begun.elapsed().as_nanos() / u128::from(REPEATS)
        })
        .collect();
    batches.sort_unstable();
    batches.get(BATCHES / 2).copied().unwrap_or_default()
}
