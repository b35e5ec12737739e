//! `directlink contract try`: one real message, decoded, with where each value came from; or its faults as the bank would
//! read them.
//!
//! Nothing is sent and nothing kept. What stood in the message is printed unmasked: it is the reader's own file.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use adapters::{
    Contract, Decoded, Fault, Mode, Origin, Reply, Undecoded,
    cases::{self, legible},
};
use gateway::refusal::Refusal;
use proto::v1::Envelope;

use super::{super::columns::columns, End, folder::Folder, say};

pub(super) fn try_message(folder: &Path, file: &Path, mode: Mode) -> End {
    let contract = match Folder::contract(folder, &folder.join("cases")) {
        Ok(contract) => contract,
        Err(end) => return end,
    };
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return End::Usage(format!("{}: {error}", file.display())),
    };
    match contract.decode(&bytes, mode) {
        Ok(decoded) => understood(&contract, &bytes, mode, &decoded),
        Err(undecoded) => refused(&contract, *undecoded),
    }
}

fn understood(contract: &Contract, bytes: &[u8], mode: Mode, decoded: &Decoded) -> End {
    let canonical = match cases::canonical(&decoded.envelope) {
        Ok(canonical) => canonical,
        Err(why) => return End::Wrong(why),
    };
    say(&format!("message 报文: {}\n\n{canonical:#}\n", decoded.message));
    let origins = contract.origins(bytes, mode, decoded);
    let mut rows = vec![["field 字段", "value 值", "byte 字节", "place 位置"].map(str::to_owned)];
    rows.extend(origins.iter().map(row));
    say(&columns(&rows));
    if !decoded.dropped.is_empty() {
        say("\ndropped, as no agreed item 未约定，已忽略:");
        decoded.dropped.iter().for_each(|place| say(&format!("  {place}")));
    }
    End::Fine
}

fn row(origin: &Origin) -> [String; 4] {
    let value = match origin.value.as_str() {
        Some(text) => text.to_owned(),
        None => origin.value.to_string(),
    };
    match &origin.stands {
        Some(at) => [origin.field.clone(), value, at.offset.to_string(), at.place.clone()],
        None if origin.path == KEY => {
            [origin.field.clone(), value, String::new(), "built by [key] 由[key]构成".to_owned()]
        }
        None => [
            origin.field.clone(),
            value,
            String::new(),
            "said by the kind of message 由报文种类决定".to_owned(),
        ],
    }
}

const KEY: &str = "application.idempotency_key";

fn refused(contract: &Contract, undecoded: Undecoded) -> End {
    let Undecoded { faults, message, mut exchange, application: _ } = undecoded;
    let name = message.as_deref();
    say(&format!("message 报文: {}\n", name.unwrap_or("not recognised 无法识别")));
    faults.iter().for_each(|fault| say(&told(fault)));
    let count = faults.len();
    let refusal = Refusal::of_faults(faults);
    exchange.replied_at = Some(now());
    let envelope = Envelope {
        exchange: Some(exchange),
        outcome: Some(refusal.outcome()),
        ..Envelope::default()
    };
    match contract.encode(name, Reply::Refusal, &envelope) {
        Ok(bytes) => say(&format!("the bank gets 银行收到:\n{}", legible(&bytes))),
        Err(why) => say(&format!("no refusal can be written: {} {}", why.field, why.reason)),
    }
    End::Wrong(format!("{count} faults\n"))
}

fn told(fault: &Fault) -> String {
    let (code, chinese, english) = fault.code.words();
    let mut lines = vec![format!("{code}  {chinese} {english}")];
    let mut line = |name: &str, value: Option<&str>| {
        lines.extend(
            value.filter(|value| !value.is_empty()).map(|value| format!("  {name} {value}")),
        );
    };
    line("place 位置", Some(&fault.place));
    line("byte 字节 ", Some(&fault.offset.to_string()));
    line("field 字段", fault.field.as_deref());
    line("found 实际", fault.found.as_deref());
    line("wanted 应为", fault.expected.as_deref());
    lines.join("\n") + "\n"
}

fn now() -> prost_types::Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    prost_types::Timestamp { seconds: i64::try_from(since.as_secs()).unwrap_or_default(), nanos: 0 }
}
