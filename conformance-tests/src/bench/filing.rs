//! One message of a bank, as many times as wanted: each copy under a serial of its own and about a loan of its own, and
//! each reply known beforehand.
//!
//! Nothing here knows a bank: the message is a golden case of its contract, and serial and contract number are found by
//! their canonical values.

use std::{fs, path::Path};

use adapters::{Contract, Mode, Reply, wire::Prefix};
use anyhow::{Context, bail, ensure};
use proto::v1::{Envelope, envelope::Body};

use super::upstream;

/// A message to send again and again, with the reply to expect.
#[derive(Debug, Clone)]
pub struct Filing {
    /// How it is framed.
    pub prefix: Prefix,
    /// The beginning of the unit code of its first property, 6 digits.
    pub division: String,
    request: Vec<u8>,
    request_serial_at: usize,
    contract_at: usize,
    contract_length: usize,
    reply: Vec<u8>,
    reply_serial_at: usize,
    /// Which bytes of the reply change with the time it is written at.
    varies: Vec<bool>,
    digits: usize,
}

impl Filing {
    /// The request of a contract's golden case, `CASE.request.*` in `folder`/cases/samples.
    ///
    /// # Errors
    /// A case that does not decode, files nothing, is not length-prefixed, or has no serial of 8 to 19 digits; a reply
    /// the contract cannot write.
    pub fn load(contract: &Contract, folder: &Path, case: &str) -> anyhow::Result<Self> {
        let request = golden(folder, case)?;
        let decoded = contract
            .decode(&request, Mode::Test)
            .map_err(|undecoded| anyhow::anyhow!("{case} does not decode: {undecoded:?}"))?;
        let prefix = contract.wire().prefix.context("the contract's wire has no length prefix")?;
        let exchange = decoded.envelope.exchange.clone().unwrap_or_default();
        let serial = exchange.serial.clone();
        ensure!(
            (8..=19).contains(&serial.len()) && serial.bytes().all(|byte| byte.is_ascii_digit()),
            "{serial} is no serial of 8 to 19 digits"
        );
        let Some(Body::Application(application)) = &decoded.envelope.body else {
            bail!("{case} files nothing");
        };
        let contract_number =
            gateway::matter::loan(application).map_or("", |loan| loan.contract_number).to_owned();
        ensure!(contract_number.len() >= serial.len(), "{case} has no long contract number");
        let unit_code = gateway::matter::properties(application)
            .first()
            .map_or("", |property| property.unit_code.as_str());
        let division = unit_code.get(..6).context("no unit code says where it lies")?.to_owned();

        let written = |seconds| -> anyhow::Result<Vec<u8>> {
            let replied_at = Some(prost_types::Timestamp { seconds, nanos: 0 });
            let envelope = Envelope {
                exchange: Some(proto::v1::Exchange { replied_at, ..exchange.clone() }),
                outcome: Some(proto::v1::Outcome { replayed: Some(false), ..upstream::outcome() }),
                ..Envelope::default()
            };
            contract
                .encode(Some(&decoded.message), Reply::Outcome, &envelope)
                .map_err(|cannot| anyhow::anyhow!("the reply cannot be written: {cannot:?}"))
        };
        // 2026-03-05 01:02:03 and 1999-12-31 23:59:58, Beijing time: no digit of the one stands in the other's place.
        let (reply, other) = (written(1_772_643_723)?, written(946_655_998)?);
        ensure!(reply.len() == other.len(), "the reply's length changes with the time");
        let varies = reply.iter().zip(&other).map(|(one, two)| one != two).collect();
        Ok(Self {
            prefix,
            division,
            contract_at: only_place(&request, contract_number.as_bytes())?,
            contract_length: contract_number.len(),
            request_serial_at: only_place(&request, serial.as_bytes())?,
            reply_serial_at: only_place(&reply, serial.as_bytes())?,
            request,
            reply,
            varies,
            digits: serial.len(),
        })
    }

    /// The message under serial and contract number `number`; it is the bank's next, for a number not used before.
    pub fn request(&self, number: u64) -> Vec<u8> {
        let mut request = self.request.clone();
        overwrite(&mut request, self.request_serial_at, &self.serial(number));
        let contract = format!("{number:0length$}", length = self.contract_length);
        overwrite(&mut request, self.contract_at, &contract);
        request
    }

    /// A reply such as a gateway gives, for a floor to give.
    pub fn canned_reply(&self) -> &[u8] {
        &self.reply
    }

    /// Whether `reply` says that the application under serial `number` was accepted, and says nothing else.
    pub fn is_accepted(&self, reply: &[u8], number: u64) -> bool {
        let mut expected = self.reply.clone();
        overwrite(&mut expected, self.reply_serial_at, &self.serial(number));
        reply.len() == expected.len()
            && expected.iter().zip(reply).zip(&self.varies).all(|((expected, found), varies)| {
                if *varies { found.is_ascii_digit() } else { found == expected }
            })
    }

    fn serial(&self, number: u64) -> String {
        format!("{number:0digits$}", digits = self.digits)
    }
}

/// The bytes of a golden request.
///
/// # Errors
/// No such case.
pub fn golden(folder: &Path, case: &str) -> anyhow::Result<Vec<u8>> {
    let samples = folder.join("cases").join("samples");
    let beginning = format!("{case}.request.");
    for entry in fs::read_dir(&samples).with_context(|| samples.display().to_string())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&beginning) {
            return Ok(fs::read(entry.path())?);
        }
    }
    bail!("{} has no case {case}", samples.display())
}

fn overwrite(bytes: &mut [u8], at: usize, text: &str) {
    for (to, from) in bytes.iter_mut().skip(at).zip(text.bytes()) {
        *to = from;
    }
}

fn only_place(bytes: &[u8], text: &[u8]) -> anyhow::Result<usize> {
    let mut places = bytes
        .windows(text.len())
        .enumerate()
        .filter_map(|(at, found)| (found == text).then_some(at));
    let first = places.next().context("it stands nowhere")?;
    ensure!(places.next().is_none(), "it stands in two places");
    Ok(first)
}
