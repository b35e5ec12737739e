//! What the model's documentation calls its fields and values: the words of the proto files' comments, with the Chinese
//! term (in brackets there) and the column of the national standard (in square brackets).
//!
//! For people who read contracts; nothing decides by it.

use std::{collections::HashMap, sync::LazyLock};

use prost::Message as _;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind};
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use crate::descriptors;

/// What something of the model is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Term {
    /// The first sentence of its documentation, without what stands in brackets.
    pub words: String,
    /// The Chinese term.
    pub chinese: Option<String>,
    /// The column of the national real-estate registration database standard.
    pub column: Option<String>,
}

/// What a field is called. Where its own documentation has no Chinese term or column, its type's is told.
pub fn term_of(field: &FieldDescriptor) -> Term {
    let mut term = TERMS.get(field.full_name()).cloned().unwrap_or_default();
    let of_type = match field.kind() {
        Kind::Message(of) => TERMS.get(of.full_name()),
        Kind::Enum(of) => TERMS.get(of.full_name()),
        _ => None,
    };
    if let Some(of_type) = of_type {
        term.chinese = term.chinese.or_else(|| of_type.chinese.clone());
        term.column = term.column.or_else(|| of_type.column.clone());
    }
    term
}

/// What an enum's value, given without its type's prefix, is called.
pub fn term_of_value(of: &EnumDescriptor, bare_name: &str) -> Term {
    let value = of.values().find(|value| crate::golden::bare_name(of, value.name()) == bare_name);
    let name = value.map(|value| format!("{}.{}", of.full_name(), value.name()));
    name.and_then(|name| TERMS.get(&name).cloned()).unwrap_or_default()
}

static TERMS: LazyLock<HashMap<String, Term>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(descriptors::BYTES).unwrap_or_default().file;
    files.iter().flat_map(terms_of_file).collect()
});

/// Numbers of fields in descriptor.proto, by which source information names what it is about.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const MEMBERS: i32 = 2;

fn terms_of_file(file: &FileDescriptorProto) -> Vec<(String, Term)> {
    let info = file.source_code_info.clone().unwrap_or_default();
    let told = info.location.iter().filter_map(|location| {
        let name = name_of(file, &location.path)?;
        Some((format!("{}.{name}", file.package()), parse(location.leading_comments())))
    });
    told.collect()
}

fn name_of(file: &FileDescriptorProto, path: &[i32]) -> Option<String> {
    let at = |number: &i32| usize::try_from(*number).ok();
    match path {
        [MESSAGES, message] => Some(file.message_type.get(at(message)?)?.name().to_owned()),
        [MESSAGES, message, MEMBERS, field] => {
            let message = file.message_type.get(at(message)?)?;
            Some(format!("{}.{}", message.name(), message.field.get(at(field)?)?.name()))
        }
        [ENUMS, of] => Some(file.enum_type.get(at(of)?)?.name().to_owned()),
        [ENUMS, of, MEMBERS, value] => {
            let of = file.enum_type.get(at(of)?)?;
            Some(format!("{}.{}", of.name(), of.value.get(at(value)?)?.name()))
        }
        _ => None,
    }
}

fn parse(comment: &str) -> Term {
    let comment = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let comment = comment.split_inclusive(". ").next().unwrap_or_default();
    let (mut words, mut chinese, mut column) = (String::new(), None, None);
    let mut rest = comment;
    while let Some(at) = rest.find(['(', '[']) {
        let (before, inside) = rest.split_at(at);
        let close = if inside.starts_with('(') { ')' } else { ']' };
        let Some(end) = inside.find(close) else { break };
        let within = inside.get(1..end).unwrap_or_default();
        words.push_str(before);
        let is_chinese =
            within.chars().any(|character| ('\u{4E00}'..'\u{A000}').contains(&character));
        let is_column = close == ']' && within.chars().all(|c| c.is_ascii_uppercase());
        if is_chinese {
            chinese = chinese.or_else(|| Some(within.to_owned()));
        } else if is_column {
            column = column.or_else(|| Some(within.to_owned()));
        } else if close == ')' {
            words.push_str(inside.get(..=end).unwrap_or_default());
        }
        rest = inside.get(end + 1..).unwrap_or_default();
    }
    words.push_str(rest);
    // What stood in brackets leaves its blanks behind.
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = [".", ",", ":", ";"]
        .iter()
        .fold(words, |words, mark| words.replace(&format!(" {mark}"), mark));
    Term { words, chinese, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(message: &str, name: &str) -> FieldDescriptor {
        descriptors::message(message).unwrap().get_field_by_name(name).unwrap()
    }

    #[test]
    fn a_field_has_its_term_and_its_column() {
        let term = term_of(&field("MortgageRegistration", "secured_amount_fen"));
        assert_eq!(term.chinese.as_deref(), Some("被担保主债权数额"));
        assert_eq!(term.column.as_deref(), Some("BDBZZQSE"));
        assert_eq!(term.words, "Amount of the secured debt, in fen.");
    }

    #[test]
    fn a_field_without_a_term_has_its_types() {
        let term = term_of(&field("MortgageRegistration", "properties"));
        assert_eq!(term.chinese.as_deref(), Some("不动产单元"));
        assert_eq!(term.words, "What is charged.");
    }

    #[test]
    fn a_value_has_its_term() {
        let kind = field("Party", "id_type").kind();
        let term = term_of_value(kind.as_enum().unwrap(), "PASSPORT");
        assert_eq!(term.chinese.as_deref(), Some("护照"));
    }
}
