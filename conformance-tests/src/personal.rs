//! What messages say of people: names, numbers of identity papers, telephones, addresses, amounts, and what registries say in
//! words of their own. It is noted while messages go to and fro, and looked for in what must not have it.
//!
//! The model says which of its fields are personal (rules.proto).

use std::collections::BTreeSet;

use adapters::{Contract, Mode};
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value};
use proto::{rules::rule_of, v1::Envelope};

/// Texts and amounts shorter than this, in bytes, stand everywhere by chance.
const TELLING_BYTES: usize = 6;

/// Fields in which a registry says what it likes.
const WORDS: [&str; 2] =
    ["directlink.v1.Correction.items", "directlink.v1.Refusal.registry_message"];

/// What was said of people.
#[derive(Debug, Clone, Default)]
pub struct Personal(BTreeSet<String>);

impl Personal {
    /// Notes what a message of a bank says, as far as its contract reads it.
    pub fn note_message(&mut self, contract: &Contract, bytes: &[u8]) {
        if let Ok(decoded) = contract.decode(bytes, Mode::Production) {
            self.note(&decoded.envelope);
        }
    }

    /// Notes what a message or an answer says.
    pub fn note(&mut self, envelope: &Envelope) {
        if let Some(envelope) = proto::descriptors::dynamic("Envelope", envelope) {
            self.note_fields(&envelope);
        }
    }

    /// Notes a text.
    pub fn note_text(&mut self, text: &str) {
        if text.len() >= TELLING_BYTES {
            self.0.insert(text.to_owned());
        }
    }

    /// Has a text count as nobody's: an institution that holds a limit on a title is named there, and operators are told of it.
    pub fn leave_out(&mut self, text: &str) {
        self.0.remove(text);
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was noted, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The first line that says any of it, and what it says.
    pub fn told_in<'t>(&self, text: &'t str) -> Option<(&str, &'t str)> {
        text.lines().find_map(|line| Some((self.texts().find(|it| stands_in(line, it))?, line)))
    }

    fn note_fields(&mut self, message: &DynamicMessage) {
        for (field, value) in message.fields() {
            match value {
                Value::List(items) => items.iter().for_each(|item| self.note_value(&field, item)),
                value => self.note_value(&field, value),
            }
        }
    }

    fn note_value(&mut self, field: &FieldDescriptor, value: &Value) {
        let personal = rule_of(field).personal || WORDS.contains(&field.full_name());
        match value {
            Value::Message(inner) if inner.descriptor().package_name() == "google.protobuf" => {}
            Value::Message(inner) => self.note_fields(inner),
            Value::String(text) if personal => self.note_text(text),
            Value::I64(fen) if field.name().ends_with("_fen") => {
                self.note_text(&fen.to_string());
                self.note_text(&format!("{}.{:02}", fen / 100, fen % 100));
            }
            _ => {}
        }
    }
}

/// A number is a word of its own: digits of a longer one are not it.
pub fn stands_in(line: &str, secret: &str) -> bool {
    if !secret.bytes().all(|byte| byte.is_ascii_digit()) {
        return line.contains(secret);
    }
    line.split(|sign: char| !sign.is_ascii_alphanumeric()).any(|word| word == secret)
}
