//! Code tables: a bank's code for each value, one to one, with the losses that the contract
//! declares.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, Value};

use super::text::half_width;
use crate::FaultCode;

/// A table of a contract, `[codes.NAME]`. Values are enum values without their type's prefix,
/// `true` and `false`, or plain texts.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeTable {
    name: String,
    /// Code → value: the table itself and `also_read`.
    read: HashMap<String, String>,
    /// Value → code: the table itself and `also_written`.
    written: HashMap<String, String>,
    /// The code of all other values.
    any_other: Option<String>,
    /// The same with an enum's numbers, for every enum that knows all the values: reading and
    /// writing are one look-up.
    numbered: Vec<Numbered>,
}

#[derive(Debug, Clone, PartialEq)]
struct Numbered {
    of: EnumDescriptor,
    read: HashMap<String, i32>,
    written: HashMap<i32, String>,
}

impl CodeTable {
    /// The table in `[codes.NAME]`: `code = VALUE`, with `also_read` (code = VALUE) and
    /// `also_written` (VALUE = code; `"*"` for all others).
    ///
    /// # Errors
    /// All that makes it other than one to one, told for the person who writes the contract.
    pub fn parse(name: &str, table: &toml::Table) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let mut read = HashMap::new();
        let mut written = HashMap::new();
        for (code, value) in table {
            if matches!(code.as_str(), "also_read" | "also_written") && value.is_table() {
                continue;
            }
            let Some(value) = text_of(name, code, value, &mut errors) else { continue };
            if let Some(earlier) = written.insert(value.clone(), code.clone()) {
                errors.push(format!(
                    "[codes.{name}]: {value} has two codes, {earlier} and {code}; put the one \
                     that is only read under [codes.{name}.also_read]"
                ));
            }
            read.insert(code.clone(), value);
        }
        for (code, value) in inner(table, "also_read") {
            let Some(value) = text_of(name, code, value, &mut errors) else { continue };
            if read.insert(code.clone(), value).is_some() {
                errors.push(format!("[codes.{name}]: {code} is read twice, also under also_read"));
            }
        }
        let mut any_other = None;
        for (value, code) in inner(table, "also_written") {
            let Some(code) = text_of(name, value, code, &mut errors) else { continue };
            if value == "*" {
                any_other = Some(code);
            } else if written.insert(value.clone(), code).is_some() {
                errors.push(format!(
                    "[codes.{name}]: {value} is written twice, also under also_written"
                ));
            }
        }
        if read.is_empty() && written.is_empty() && any_other.is_none() && errors.is_empty() {
            errors.push(format!("[codes.{name}] holds no code"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let numbered = proto::descriptors::pool()
            .all_enums()
            .filter_map(|of| Numbered::new(of, &read, &written))
            .collect();
        Ok(Self { name: name.to_owned(), read, written, any_other, numbered })
    }

    /// The table's name in the contract.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The codes that are read, each with its value, in order of codes.
    pub fn codes(&self) -> Vec<(&str, &str)> {
        let codes = self.read.iter().map(|(code, value)| (code.as_str(), value.as_str()));
        let mut codes: Vec<_> = codes.collect();
        codes.sort_unstable();
        codes
    }

    /// Whether no code is read: the table only says what is written.
    pub fn is_only_written(&self) -> bool {
        self.read.is_empty()
    }

    /// The values that are written, each with its code, in order of values; `*` for all others.
    pub fn written(&self) -> Vec<(&str, &str)> {
        let written = self.written.iter().map(|(value, code)| (value.as_str(), code.as_str()));
        let others = self.any_other.iter().map(|code| ("*", code.as_str()));
        let mut written: Vec<_> = written.chain(others).collect();
        written.sort_unstable();
        written
    }

    /// Whether every value of the table is one of the field's.
    ///
    /// # Errors
    /// The values that are not.
    pub fn fits(&self, field: &FieldDescriptor) -> Result<(), String> {
        let strangers: Vec<&str> = match field.kind() {
            Kind::String => Vec::new(),
            Kind::Bool => self.strangers(|value| matches!(value, "true" | "false")),
            Kind::Enum(of) => self.strangers(|value| number_of(&of, value).is_some()),
            _ => return Err(format!("{} is no text, enum or bool", field.name())),
        };
        if strangers.is_empty() {
            return Ok(());
        }
        Err(format!(
            "[codes.{}]: {} is no value of {}",
            self.name,
            strangers.join(", "),
            field.name()
        ))
    }

    /// Values of the enum that have no code: writing one of them would be refused.
    pub fn unwritten(&self, of: &EnumDescriptor) -> Vec<String> {
        if self.any_other.is_some() {
            return Vec::new();
        }
        of.values()
            .filter(|value| value.number() != 0)
            .map(|value| bare_name(of, value.name()).to_owned())
            .filter(|name| !self.written.contains_key(name))
            .collect()
    }

    /// Reads a code into a value of the field's kind. Outer blanks and full-width forms are read.
    ///
    /// # Errors
    /// `CodeUnmapped`.
    pub fn read(&self, text: &str, kind: &Kind) -> Result<Value, FaultCode> {
        let text = text.trim();
        self.look_up(text, kind)
            .or_else(|| self.look_up(&text.chars().map(half_width).collect::<String>(), kind))
            .ok_or(FaultCode::CodeUnmapped)
    }

    fn look_up(&self, code: &str, kind: &Kind) -> Option<Value> {
        match kind {
            Kind::Enum(of) => {
                self.numbers(of)?.read.get(code).map(|number| Value::EnumNumber(*number))
            }
            Kind::Bool => self.read.get(code).map(|value| Value::Bool(value == "true")),
            // A code that is only written, for all other values, stands for none of them: it reads as itself, and is
            // written again as it was.
            _ => self
                .read
                .get(code)
                .or_else(|| self.any_other.as_ref().filter(|other| *other == code))
                .cloned()
                .map(Value::String),
        }
    }

    /// Writes a value's code.
    ///
    /// # Errors
    /// The value has none.
    pub fn write(&self, value: &Value, kind: &Kind) -> Result<&str, String> {
        let code = match (value, kind) {
            (Value::EnumNumber(number), Kind::Enum(of)) if *number != 0 => {
                self.numbers(of).and_then(|numbers| numbers.written.get(number))
            }
            (Value::Bool(true), _) => self.written.get("true"),
            (Value::Bool(false), _) => self.written.get("false"),
            (Value::String(value), _) => self.written.get(value),
            _ => return Err(format!("[codes.{}] has no code for an unset value", self.name)),
        };
        code.or(self.any_other.as_ref())
            .map(String::as_str)
            .ok_or_else(|| format!("[codes.{}] has no code for the value", self.name))
    }

    /// How many characters every written code has, where that is one number.
    pub fn width(&self) -> Option<usize> {
        let mut widths = self.codes_written().map(|code| code.chars().count());
        let first = widths.next()?;
        widths.all(|width| width == first).then_some(first)
    }

    /// Whether a written code may hold the character.
    pub fn may_contain(&self, character: char) -> bool {
        self.codes_written().any(|code| code.contains(character))
    }

    fn codes_written(&self) -> impl Iterator<Item = &String> {
        self.written.values().chain(&self.any_other)
    }

    fn numbers(&self, of: &EnumDescriptor) -> Option<&Numbered> {
        self.numbered.iter().find(|numbered| numbered.of == *of)
    }

    fn strangers(&self, known: impl Fn(&str) -> bool) -> Vec<&str> {
        let values = self.read.values().chain(self.written.keys());
        let mut strangers: Vec<&str> =
            values.map(String::as_str).filter(|value| !known(value)).collect();
        strangers.sort_unstable();
        strangers.dedup();
        strangers
    }
}

impl Numbered {
    fn new(
        of: EnumDescriptor,
        read: &HashMap<String, String>,
        written: &HashMap<String, String>,
    ) -> Option<Self> {
        let read = read
            .iter()
            .map(|(code, value)| Some((code.clone(), number_of(&of, value)?)))
            .collect::<Option<_>>()?;
        let written = written
            .iter()
            .map(|(value, code)| Some((number_of(&of, value)?, code.clone())))
            .collect::<Option<_>>()?;
        Some(Self { of, read, written })
    }
}

/// The number of an enum value written without its type's prefix; zero, which is never sent, has
/// none.
fn number_of(of: &EnumDescriptor, value: &str) -> Option<i32> {
    of.values()
        .find(|known| known.number() != 0 && bare_name(of, known.name()) == value)
        .map(|known| known.number())
}

fn bare_name<'n>(of: &EnumDescriptor, name: &'n str) -> &'n str {
    proto::golden::bare_name(of, name)
}

fn inner<'t>(
    table: &'t toml::Table,
    name: &str,
) -> impl Iterator<Item = (&'t String, &'t toml::Value)> {
    table.get(name).and_then(toml::Value::as_table).into_iter().flatten()
}

fn text_of(name: &str, key: &str, value: &toml::Value, errors: &mut Vec<String>) -> Option<String> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Some(text.to_owned()),
        _ => {
            errors.push(format!("[codes.{name}]: {key} must be a text in quotes"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<CodeTable, Vec<String>> {
        CodeTable::parse("zt", &text.parse().unwrap())
    }

    fn field(message: &str, name: &str) -> FieldDescriptor {
        proto::descriptors::message(message).unwrap().get_field_by_name(name).unwrap()
    }

    #[test]
    fn codes_are_read_and_written_as_numbers() {
        let table = table(
            "10 = 'ACCEPTED'\n20 = 'REGISTERED'\n[also_read]\n11 = 'ACCEPTED'\n\
             [also_written]\nIN_REVIEW = '10'",
        )
        .unwrap();
        let kind = field("Outcome", "status").kind();
        assert_eq!(table.read(" ２０ ", &kind), Ok(Value::EnumNumber(7)));
        assert_eq!(table.read("11", &kind), Ok(Value::EnumNumber(5)));
        assert_eq!(table.read("30", &kind), Err(FaultCode::CodeUnmapped));
        assert_eq!(table.read("", &kind), Err(FaultCode::CodeUnmapped));
        assert_eq!(table.write(&Value::EnumNumber(5), &kind), Ok("10"));
        assert_eq!(table.write(&Value::EnumNumber(6), &kind), Ok("10"));
        assert!(table.write(&Value::EnumNumber(0), &kind).is_err());
        assert!(table.write(&Value::EnumNumber(9), &kind).is_err());
        assert_eq!(table.width(), Some(2));
        let of = kind.as_enum().unwrap().clone();
        assert!(table.unwritten(&of).contains(&"LAPSED".to_owned()));
        assert!(!table.unwritten(&of).contains(&"IN_REVIEW".to_owned()));
    }

    #[test]
    fn texts_have_codes_too_and_all_others_one() {
        let table = table("E1 = 'CODE_UNMAPPED'\n[also_written]\n'*' = 'E9'").unwrap();
        let kind = field("Refusal", "code").kind();
        assert_eq!(table.write(&Value::String("CODE_UNMAPPED".to_owned()), &kind), Ok("E1"));
        assert_eq!(table.write(&Value::String("TOO_DEEP".to_owned()), &kind), Ok("E9"));
        assert_eq!(table.read("E1", &kind), Ok(Value::String("CODE_UNMAPPED".to_owned())));
        // It stands for none of the others, so it reads as itself.
        assert_eq!(table.read("E9", &kind), Ok(Value::String("E9".to_owned())));
        assert_eq!(table.read("E2", &kind), Err(FaultCode::CodeUnmapped));
    }

    #[test]
    fn the_same_word_means_each_enums_own_value() {
        let table = table("9 = 'OTHER'").unwrap();
        let other = |message, name| table.read("9", &field(message, name).kind());
        assert_eq!(other("Party", "id_type"), Ok(Value::EnumNumber(9)));
        assert_eq!(other("Party", "co_ownership"), Ok(Value::EnumNumber(4)));
    }

    #[test]
    fn a_table_that_is_not_one_to_one_is_refused() {
        for (wrong, because) in [
            ("1 = 'WHOLE'\n2 = 'WHOLE'", "two codes"),
            ("1 = 'WHOLE'\n[also_read]\n1 = 'PARTIAL'", "read twice"),
            ("1 = 'WHOLE'\n[also_written]\nWHOLE = '2'", "written twice"),
            ("1 = 2", "in quotes"),
            ("", "no code"),
        ] {
            let errors = table(wrong).unwrap_err();
            assert!(errors.iter().any(|error| error.contains(because)), "{errors:?}");
        }
    }

    #[test]
    fn a_value_of_another_enum_does_not_fit() {
        let table = table("1 = 'WHOLE'\n2 = 'HALF'").unwrap();
        let told = table.fits(&field("MortgageDischarge", "scope")).unwrap_err();
        assert!(told.contains("HALF") && !told.contains("WHOLE"), "{told}");
        assert!(table.fits(&field("Party", "name")).is_ok());
        assert!(table.fits(&field("Outcome", "replayed")).is_err());
    }
}
