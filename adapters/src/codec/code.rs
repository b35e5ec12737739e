//! Code tables: a bank's code for each value, one to one, with the losses that the contract
//! declares.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, Value};

use super::text::half_width;
use crate::FaultCode;

/// A table of a contract, `[codes.NAME]`. Values are enum values without their type's prefix,
/// `true` and `false`, or plain texts.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeTable {
    name: Box<str>,
    /// In order of codes; of lines with one code that which is read comes first.
    lines: Box<[Line]>,
    /// The lines that are written, in order of values.
    by_value: Box<[usize]>,
    /// The code of all other values.
    any_other: Option<Box<str>>,
    /// The same with an enum's numbers, for every enum that knows all the values.
    numbered: Box<[Numbered]>,
}

/// A code and the value it stands for.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    code: Box<str>,
    value: Box<str>,
    /// Not under `also_written`.
    is_read: bool,
    /// Not under `also_read`.
    is_written: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Numbered {
    of: EnumDescriptor,
    /// For each line its value's number.
    numbers: Box<[i32]>,
    /// The numbers that are written, in order, each with its line.
    written: Box<[(i32, usize)]>,
}

/// The numbers of every enum's values, by their names without their type's prefix; zero, which is never sent, has none.
static ENUMS: LazyLock<Vec<(EnumDescriptor, HashMap<String, i32>)>> = LazyLock::new(|| {
    let numbers = |of: EnumDescriptor| {
        let values = of.values().filter(|value| value.number() != 0);
        let numbers = values.map(|value| (bare_name(&of, value.name()).to_owned(), value.number()));
        let numbers = numbers.collect();
        (of, numbers)
    };
    proto::descriptors::pool().all_enums().map(numbers).collect()
});

impl CodeTable {
    /// The table in `[codes.NAME]`: `code = VALUE`, with `also_read` (code = VALUE) and
    /// `also_written` (VALUE = code; `"*"` for all others).
    ///
    /// # Errors
    /// All that makes it other than one to one, told for the person who writes the contract.
    pub fn parse(name: &str, table: &toml::Table) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let mut read = BTreeMap::new();
        let mut written = BTreeMap::new();
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
        let (lines, by_value) = lines(&read, written);
        let enums = ENUMS.iter().filter(|_| !lines.is_empty());
        let numbered = enums.filter_map(|(of, numbers)| Numbered::new(of, numbers, &lines));
        let numbered = numbered.collect();
        Ok(Self {
            name: name.into(),
            lines,
            by_value,
            any_other: any_other.map(Into::into),
            numbered,
        })
    }

    /// The table's name in the contract.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The codes that are read, each with its value, in order of codes.
    pub fn codes(&self) -> Vec<(&str, &str)> {
        self.lines_read().map(|line| (&*line.code, &*line.value)).collect()
    }

    /// Whether no code is read: the table only says what is written.
    pub fn is_only_written(&self) -> bool {
        self.lines_read().next().is_none()
    }

    /// The values that are written, each with its code, in order of values; `*` for all others.
    pub fn written(&self) -> Vec<(&str, &str)> {
        let written = self.lines_written().map(|line| (&*line.value, &*line.code));
        let others = self.any_other.iter().map(|code| ("*", &**code));
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
            .filter(|name| self.line_of(name).is_none())
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
        let at = self.lines.partition_point(|line| *line.code < *code);
        let line = self.lines.get(at).filter(|line| *line.code == *code && line.is_read);
        match kind {
            Kind::Enum(of) => {
                line?;
                self.numbers(of)?.numbers.get(at).map(|number| Value::EnumNumber(*number))
            }
            Kind::Bool => line.map(|line| Value::Bool(&*line.value == "true")),
            // A code that is only written, for all other values, stands for none of them: it reads as itself, and is
            // written again as it was.
            _ => line
                .map(|line| &*line.value)
                .or_else(|| self.any_other.as_deref().filter(|other| *other == code))
                .map(|value| Value::String(value.to_owned())),
        }
    }

    /// Writes a value's code.
    ///
    /// # Errors
    /// The value has none.
    pub fn write(&self, value: &Value, kind: &Kind) -> Result<&str, String> {
        let code: Option<&Line> = match (value, kind) {
            (Value::EnumNumber(number), Kind::Enum(of)) if *number != 0 => {
                self.numbers(of).and_then(|numbers| self.lines.get(numbers.line_of(*number)?))
            }
            (Value::Bool(true), _) => self.line_of("true"),
            (Value::Bool(false), _) => self.line_of("false"),
            (Value::String(value), _) => self.line_of(value),
            _ => return Err(format!("[codes.{}] has no code for an unset value", self.name)),
        };
        code.map(|line| &*line.code)
            .or(self.any_other.as_deref())
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

    fn codes_written(&self) -> impl Iterator<Item = &str> {
        self.lines_written().map(|line| &*line.code).chain(self.any_other.as_deref())
    }

    fn lines_read(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.is_read)
    }

    fn lines_written(&self) -> impl Iterator<Item = &Line> {
        self.by_value.iter().filter_map(|at| self.lines.get(*at))
    }

    /// The line that is written for a value.
    fn line_of(&self, value: &str) -> Option<&Line> {
        let value_at = |at: &usize| self.lines.get(*at).map(|line| &*line.value);
        let at = self.by_value.binary_search_by(|at| value_at(at).cmp(&Some(value))).ok()?;
        self.lines.get(*self.by_value.get(at)?)
    }

    fn numbers(&self, of: &EnumDescriptor) -> Option<&Numbered> {
        self.numbered.iter().find(|numbered| numbered.of == *of)
    }

    fn strangers(&self, known: impl Fn(&str) -> bool) -> Vec<&str> {
        let values = self.lines.iter().map(|line| &*line.value);
        let mut strangers: Vec<&str> = values.filter(|value| !known(value)).collect();
        strangers.sort_unstable();
        strangers.dedup();
        strangers
    }
}

/// The lines of a table, from what is read (code to value) and what is written (value to code); and those that are
/// written, in order of values.
fn lines(
    read: &BTreeMap<String, String>,
    mut written: BTreeMap<String, String>,
) -> (Box<[Line]>, Box<[usize]>) {
    let mut lines = Vec::new();
    for (code, value) in read {
        let is_written = written.get(value) == Some(code);
        if is_written {
            written.remove(value);
        }
        let (code, value) = (code.as_str().into(), value.as_str().into());
        lines.push(Line { code, value, is_read: true, is_written });
    }
    lines.extend(written.into_iter().map(|(value, code)| Line {
        code: code.into(),
        value: value.into(),
        is_read: false,
        is_written: true,
    }));
    lines.sort_by(|one, other| (&one.code, other.is_read).cmp(&(&other.code, one.is_read)));
    let written = lines.iter().enumerate().filter(|(_, line)| line.is_written);
    let mut by_value: Vec<(&str, usize)> = written.map(|(at, line)| (&*line.value, at)).collect();
    by_value.sort_unstable();
    let by_value = by_value.into_iter().map(|(_, at)| at).collect();
    (lines.into(), by_value)
}

impl Numbered {
    fn new(of: &EnumDescriptor, known: &HashMap<String, i32>, lines: &[Line]) -> Option<Self> {
        let numbers: Box<[i32]> =
            lines.iter().map(|line| known.get(&*line.value).copied()).collect::<Option<_>>()?;
        let written = lines.iter().zip(&numbers).enumerate();
        let written = written.filter(|(_, (line, _))| line.is_written);
        let mut written: Vec<(i32, usize)> =
            written.map(|(at, (_, number))| (*number, at)).collect();
        written.sort_unstable();
        Some(Self { of: of.clone(), numbers, written: written.into() })
    }

    /// The line that is written for a number.
    fn line_of(&self, number: i32) -> Option<usize> {
        let at = self.written.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.written.get(at).map(|(_, line)| *line)
    }
}

/// The number of an enum value written without its type's prefix.
fn number_of(of: &EnumDescriptor, value: &str) -> Option<i32> {
    let (_, numbers) = ENUMS.iter().find(|(known, _)| known == of)?;
    numbers.get(value).copied()
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
