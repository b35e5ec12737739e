//! From a dynamic message to the generated type. prost-reflect's own way measures every message once for each message around
//! it and asks the descriptor pool for every field each time; with the fields laid out once, this costs a third of it.
//!
//! Only kinds that the canonical model has are written; a field of another kind (there is none) makes `envelope` take
//! prost-reflect's way.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};
use proto::v1::Envelope;

use crate::path::set_value;

/// An envelope of the generated type; `None` if the message is none.
pub(crate) fn envelope(message: &DynamicMessage) -> Option<Envelope> {
    let mut bytes = Vec::with_capacity(2048);
    match LAYOUTS.write(0, message, &mut bytes) {
        Some(()) => Envelope::decode(bytes.as_slice()).ok(),
        None => message.transcode_to().ok(),
    }
}

static LAYOUTS: LazyLock<Layouts> = LazyLock::new(Layouts::new);

/// The fields of every message that an envelope can hold; the envelope first.
#[derive(Default)]
struct Layouts {
    messages: Vec<MessageDescriptor>,
    fields: Vec<Vec<Field>>,
}

struct Field {
    descriptor: FieldDescriptor,
    number: u64,
    /// The layout of the message inside.
    inner: Option<usize>,
}

impl Layouts {
    fn new() -> Self {
        let mut layouts = Self::default();
        if let Some(envelope) = proto::descriptors::message("Envelope") {
            layouts.add(envelope);
        }
        layouts
    }

    fn add(&mut self, message: MessageDescriptor) -> usize {
        if let Some(known) = self.messages.iter().position(|known| *known == message) {
            return known;
        }
        let place = self.messages.len();
        self.messages.push(message.clone());
        self.fields.push(Vec::new());
        let fields = message.fields().map(|descriptor| Field {
            number: u64::from(descriptor.number()),
            inner: descriptor.kind().as_message().map(|inner| self.add(inner.clone())),
            descriptor,
        });
        let fields = fields.collect();
        if let Some(own) = self.fields.get_mut(place) {
            *own = fields;
        }
        place
    }

    /// Writes a message's fields as protobuf bytes; `None` for a kind of field that is not known here.
    fn write(&self, layout: usize, message: &DynamicMessage, out: &mut Vec<u8>) -> Option<()> {
        for field in self.fields.get(layout)? {
            match set_value(message, &field.descriptor) {
                None => {}
                Some(Value::List(items)) => {
                    for item in items {
                        self.write_value(field, item, out)?;
                    }
                }
                Some(value) => self.write_value(field, value, out)?,
            }
        }
        Some(())
    }

    fn write_value(&self, field: &Field, value: &Value, out: &mut Vec<u8>) -> Option<()> {
        match value {
            Value::String(text) => write_bytes(field, text.as_bytes(), out),
            Value::Bytes(bytes) => write_bytes(field, bytes, out),
            Value::Bool(value) => write_number(field, u64::from(*value), out),
            Value::I32(number) | Value::EnumNumber(number) => {
                write_number(field, i64::from(*number).cast_unsigned(), out);
            }
            Value::I64(number) => write_number(field, number.cast_unsigned(), out),
            Value::Message(inner) => {
                varint(field.number << 3 | LENGTH_DELIMITED, out);
                let start = out.len();
                self.write(field.inner?, inner, out)?;
                let mut length = Vec::with_capacity(4);
                varint(u64::try_from(out.len().checked_sub(start)?).ok()?, &mut length);
                out.splice(start..start, length);
            }
            _ => return None,
        }
        Some(())
    }
}

// Wire types: protobuf.dev/programming-guides/encoding, "Message Structure".
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

fn write_number(field: &Field, number: u64, out: &mut Vec<u8>) {
    varint(field.number << 3 | VARINT, out);
    varint(number, out);
}

fn write_bytes(field: &Field, bytes: &[u8], out: &mut Vec<u8>) {
    varint(field.number << 3 | LENGTH_DELIMITED, out);
    varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first; all but the last with the high bit set.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(number & 0x7F).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{Ack, Exchange, envelope::Body};

    use super::*;

    #[test]
    fn what_is_written_is_what_prost_reflect_writes() {
        let moment = prost_types::Timestamp { seconds: -1, nanos: 5 };
        let exchange =
            Exchange { serial: "七".repeat(100), sent_at: Some(moment), ..Exchange::default() };
        let ack = Ack { event_id: "E".to_owned(), accepted: Some(false) };
        let typed = Envelope {
            exchange: Some(exchange),
            body: Some(Body::Ack(ack)),
            ..Envelope::default()
        };
        let mut dynamic = DynamicMessage::new(proto::descriptors::message("Envelope").unwrap());
        dynamic.transcode_from(&typed).unwrap();
        assert_eq!(envelope(&dynamic), Some(typed));
    }
}
