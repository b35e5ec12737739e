//! The canonical JSON, as golden files hold it (canonical model, first section): proto field names,
//! 64-bit integers as numbers, enum values without their type's prefix, moments in RFC 3339 with
//! `Z` and 0, 3, 6 or 9 decimals, bytes in Base64, unset fields left out.
//!
//! For tests, evidence and people. Nothing a bank sends is read by it.

use base64::{Engine, engine::general_purpose::STANDARD};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use serde_json::{Map, Value as Json};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// Reads a message of that type.
///
/// # Errors
/// The first field that is unknown, of another type, or no value, with its path.
pub fn read(message: &MessageDescriptor, json: &Json) -> Result<DynamicMessage, String> {
    read_message(message, json).map_err(|fault| format!("{}: {}", fault.path, fault.reason))
}

/// Writes a message; fields that are unset are left out.
pub fn write(message: &DynamicMessage) -> Json {
    let fields = message.fields();
    Json::Object(
        fields
            .map(|(field, value)| (field.name().to_owned(), write_field(&field, value)))
            .collect(),
    )
}

/// An enum value's name without its type's prefix: `GENERAL` for `MORTGAGE_KIND_GENERAL`.
pub fn bare_name<'n>(of: &EnumDescriptor, name: &'n str) -> &'n str {
    let zero = of.default_value();
    let prefix = zero.name().strip_suffix("UNSPECIFIED").unwrap_or_default();
    name.strip_prefix(prefix).unwrap_or(name)
}

/// What could not be read, and where.
struct Unreadable {
    path: String,
    reason: String,
}

impl Unreadable {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    /// The same, seen from the message around it.
    fn inside(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }
}

fn read_message(message: &MessageDescriptor, json: &Json) -> Result<DynamicMessage, Unreadable> {
    let members = json.as_object().ok_or_else(|| Unreadable::new("an object is wanted"))?;
    let mut read = DynamicMessage::new(message.clone());
    for (name, json) in members {
        let field = message.get_field_by_name(name).ok_or_else(|| {
            Unreadable::new(format!("{} has no such field", message.name())).inside(name)
        })?;
        let value = read_field(&field, json).map_err(|fault| fault.inside(name))?;
        if let Some(oneof) = field.containing_oneof()
            && oneof.fields().any(|arm| read.has_field(&arm))
        {
            return Err(Unreadable::new(format!("{} is set twice", oneof.name())).inside(name));
        }
        // An empty text or list is an unset one (canonical model, "Conventions").
        if field.supports_presence() || !value.is_default_for_field(&field) {
            read.set_field(&field, value);
        }
    }
    Ok(read)
}

fn read_field(field: &FieldDescriptor, json: &Json) -> Result<Value, Unreadable> {
    let kind = field.kind();
    if !field.is_list() {
        return read_value(&kind, json);
    }
    let items = json.as_array().ok_or_else(|| Unreadable::new("a list is wanted"))?;
    let item = |(index, json)| {
        read_value(&kind, json).map_err(|fault: Unreadable| fault.inside(&format!("[{index}]")))
    };
    items.iter().enumerate().map(item).collect::<Result<_, _>>().map(Value::List)
}

fn read_value(kind: &Kind, json: &Json) -> Result<Value, Unreadable> {
    let value = match kind {
        Kind::Message(message) if message.full_name() == TIMESTAMP => {
            json.as_str().and_then(|text| read_timestamp(message, text))
        }
        Kind::Message(message) => return read_message(message, json).map(Value::Message),
        Kind::Bool => json.as_bool().map(Value::Bool),
        Kind::Int32 => json.as_i64().and_then(|number| number.try_into().ok()).map(Value::I32),
        Kind::Int64 => json.as_i64().map(Value::I64),
        Kind::Uint32 => json.as_u64().and_then(|number| number.try_into().ok()).map(Value::U32),
        Kind::Uint64 => json.as_u64().map(Value::U64),
        Kind::String => json.as_str().map(|text| Value::String(text.to_owned())),
        Kind::Bytes => json
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok())
            .map(|bytes| Value::Bytes(bytes.into())),
        Kind::Enum(of) => json.as_str().and_then(|name| number_of(of, name)).map(Value::EnumNumber),
        _ => None,
    };
    value.ok_or_else(|| Unreadable::new(format!("{json} is no {kind:?}")))
}

/// Zero stands for unset, and is never written.
fn number_of(of: &EnumDescriptor, name: &str) -> Option<i32> {
    let value = of.values().find(|value| bare_name(of, value.name()) == name)?;
    (value.number() != 0).then(|| value.number())
}

fn read_timestamp(message: &MessageDescriptor, text: &str) -> Option<Value> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
    let mut timestamp = DynamicMessage::new(message.clone());
    let nanoseconds = i32::try_from(moment.nanosecond()).ok()?;
    // Unset is zero in proto3: a zero is left out, so that equal moments are equal messages.
    if moment.unix_timestamp() != 0 {
        timestamp.set_field_by_number(1, Value::I64(moment.unix_timestamp()));
    }
    if nanoseconds != 0 {
        timestamp.set_field_by_number(2, Value::I32(nanoseconds));
    }
    Some(Value::Message(timestamp))
}

fn write_field(field: &FieldDescriptor, value: &Value) -> Json {
    let kind = field.kind();
    match value {
        Value::List(items) => items.iter().map(|item| write_value(&kind, item)).collect(),
        _ => write_value(&kind, value),
    }
}

fn write_value(kind: &Kind, value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::I32(number) => Json::from(*number),
        Value::I64(number) => Json::from(*number),
        Value::U32(number) => Json::from(*number),
        Value::U64(number) => Json::from(*number),
        Value::String(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) => Json::from(STANDARD.encode(bytes)),
        Value::EnumNumber(number) => write_enum(kind, *number),
        Value::Message(message) => match kind {
            Kind::Message(of) if of.full_name() == TIMESTAMP => write_timestamp(message),
            _ => write(message),
        },
        Value::List(items) => items.iter().map(|item| write_value(kind, item)).collect(),
        // The model has neither floats nor maps.
        Value::F32(_) | Value::F64(_) | Value::Map(_) => Json::Object(Map::new()),
    }
}

/// A number that a newer peer knows and this one does not is written as it is.
fn write_enum(kind: &Kind, number: i32) -> Json {
    let name = kind.as_enum().and_then(|of| {
        let value = of.get_value(number)?;
        Some(bare_name(of, value.name()).to_owned())
    });
    name.map_or_else(|| Json::from(number), Json::from)
}

fn write_timestamp(timestamp: &DynamicMessage) -> Json {
    let number = |field| timestamp.get_field_by_number(field);
    let seconds = number(1).and_then(|value| value.as_i64()).unwrap_or_default();
    let nanoseconds = number(2).and_then(|value| value.as_i32()).unwrap_or_default();
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(seconds) else { return Json::Null };
    let (date, clock) = (moment.date(), moment.time());
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    // proto3 JSON: 3, 6 or 9 digits.
    let fraction = match nanoseconds {
        0 => String::new(),
        _ if nanoseconds % 1_000_000 == 0 => format!(".{:03}", nanoseconds / 1_000_000),
        _ if nanoseconds % 1_000 == 0 => format!(".{:06}", nanoseconds / 1_000),
        _ => format!(".{nanoseconds:09}"),
    };
    text.push_str(&fraction);
    text.push('Z');
    Json::from(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{cases, descriptors};

    fn envelope(json: &Json) -> Result<DynamicMessage, String> {
        read(&descriptors::message("Envelope").unwrap(), json)
    }

    #[test]
    fn every_kind_of_value_comes_back_as_it_was() {
        let golden = json!({
            "exchange": {"serial": "1", "sent_at": "2026-03-05T01:12:33.120Z"},
            "outcome": {
                "status": "REGISTERED",
                "certificate_numbers": ["晋(2026)太原市不动产证明第0061000号"],
                "registered_at": "1970-01-01T00:00:00Z",
                "refusal": {"faults": [{"offset": 0}]},
                "replayed": false,
            },
            "application": {
                "materials": [{"sha256": "aGVsbG8=", "size_bytes": 9_007_199_254_740_993_i64}],
                "mortgage_registration": {
                    "secured_amount_fen": i64::MAX,
                    "mortgagors": [{"property_indexes": [0, 2]}],
                },
            },
        });
        assert_eq!(write(&envelope(&golden).unwrap()), golden);
    }

    #[test]
    fn what_is_no_value_is_told_with_its_path() {
        for (wrong, told) in [
            (json!([]), ": an object is wanted"),
            (json!({"nothing": 1}), "nothing: Envelope has no such field"),
            (json!({"exchange": {"date": 1}}), "exchange.date: 1 is no string"),
            (
                json!({"outcome": {"certificate_numbers": ["1", 2]}}),
                "outcome.certificate_numbers[1]: 2 is no string",
            ),
            (
                json!({"outcome": {"status": "UNSPECIFIED"}}),
                "outcome.status: \"UNSPECIFIED\" is no directlink.v1.CaseStatus",
            ),
            (json!({"event": {"sequence": 1.5}}), "event.sequence: 1.5 is no int64"),
            (json!({"event": {"sequence": "1"}}), "event.sequence: \"1\" is no int64"),
            (
                json!({"exchange": {"sent_at": "2026-03-05"}}),
                "exchange.sent_at: \"2026-03-05\" is no google.protobuf.Timestamp",
            ),
            (json!({"ack": {}, "case_query": {}}), "case_query: body is set twice"),
        ] {
            assert_eq!(envelope(&wrong).unwrap_err(), told);
        }
    }

    #[test]
    fn every_golden_file_of_the_contracts_comes_back_as_it_was() {
        for (file, json) in cases::golden(&[".canonical.json", ".outcome.json"]) {
            let message =
                envelope(&json).unwrap_or_else(|told| panic!("{}: {told}", file.display()));
            assert_eq!(write(&message), json, "{}", file.display());
        }
    }

    /// Refusals are only ever written from, so some hold empty texts, which are unset.
    #[test]
    fn every_refusal_of_the_contracts_is_read() {
        for (file, json) in cases::golden(&[".refusal.json"]) {
            let message =
                envelope(&json).unwrap_or_else(|told| panic!("{}: {told}", file.display()));
            assert_eq!(envelope(&write(&message)), Ok(message), "{}", file.display());
        }
    }
}
