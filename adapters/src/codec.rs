//! Codecs: how one value stands in a bank's text. A closed set, each an exact pair of reading and
//! writing.
//!
//! Reading may be lenient (outer blanks, full-width digits, trailing zeros); writing has one form,
//! or refuses. Never a float, never a rounded value, never a clock. The words (`wanyuan 6`,
//! `date %Y%m%d list ,`) are those of docs/contract-language.md, "Codecs".

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

pub mod amount;
pub mod bytes;
pub mod code;
pub mod format;
pub mod list;
pub mod number;
pub mod text;
pub mod unit_code;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use prost_reflect::{FieldDescriptor, Kind, Value};
use proto::v1::Form;

pub use self::{amount::Grouping, code::CodeTable, format::Format, unit_code::Spacing};
use crate::FaultCode;

/// One codec with its arguments.
#[derive(Debug, Clone)]
pub enum Codec {
    /// Any text, without outer blanks.
    Text,
    /// An identifier: half width, upper case, no blanks.
    Id,
    /// A whole number.
    Int,
    /// Yes or no, in the bank's words.
    Bool {
        /// What stands for true.
        yes: String,
        /// What stands for false.
        no: String,
    },
    /// A literal that is also bound.
    Is(String),
    /// A code of a table.
    Code(Arc<CodeTable>),
    /// A day; canonical `YYYY-MM-DD`.
    Date(Format),
    /// A moment; canonical `google.protobuf.Timestamp`. Without a zone it is UTC+8.
    Time(Format),
    /// A time of day; canonical `HH:MM:SS`.
    Clock(Format),
    /// Whole fen (分).
    Fen,
    /// Yuan (元), written with two decimals.
    Yuan(Grouping),
    /// Ten thousand yuan (万元), up to six decimals.
    Wanyuan {
        /// How many decimals are written; `None` is as few as the amount needs.
        decimals: Option<u8>,
        /// Whether thousands are grouped by commas.
        grouping: Grouping,
    },
    /// Square metres (㎡), written with two decimals; canonical dm² (0.01 ㎡).
    M2,
    /// A unit code (不动产单元代码).
    UnitCode(Spacing),
    /// Bytes as Base64 (RFC 4648, section 4).
    Base64,
    /// Bytes as hexadecimal, written in lower case.
    Hex,
    /// How many items a list has.
    Count,
    /// Several values in one text.
    List {
        /// How each of them stands.
        item: Box<Codec>,
        /// What stands between them.
        separator: String,
    },
}

impl Codec {
    /// The codec that `words` describe: what stands in a hole after the colon, `wanyuan 6` or
    /// `list ,`. `tables` are the contract's `[codes.NAME]`. No words are `text`.
    ///
    /// # Errors
    /// Words that are no codec, arguments that are missing or too many, a table that is not there;
    /// told for the person who writes the contract.
    pub fn parse(words: &str, tables: &BTreeMap<String, Arc<CodeTable>>) -> Result<Self, String> {
        let words = words.trim();
        // The text of `is` may hold any words, also ` list `.
        if let Some(text) = words.strip_prefix("is ") {
            return Ok(Self::Is(text.trim().to_owned()));
        }
        if let Some((item, separator)) = list::split_words(words) {
            let item = Box::new(Self::parse(item, tables)?);
            if matches!(*item, Self::List { .. } | Self::Count) {
                return Err(format!("`{words}`: a list holds single values"));
            }
            return Ok(Self::List { item, separator });
        }
        let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
        let rest = rest.trim();
        match name {
            "" | "text" => alone(Self::Text, name, rest),
            "id" => alone(Self::Id, name, rest),
            "int" => alone(Self::Int, name, rest),
            "fen" => alone(Self::Fen, name, rest),
            "m2" => alone(Self::M2, name, rest),
            "base64" => alone(Self::Base64, name, rest),
            "hex" => alone(Self::Hex, name, rest),
            "count" => alone(Self::Count, name, rest),
            "bool" => parse_bool(rest),
            "code" => tables
                .get(rest)
                .map(|table| Self::Code(Arc::clone(table)))
                .ok_or_else(|| format!("`code {rest}`: there is no table [codes.{rest}]")),
            "date" => Format::date(rest).map(Self::Date),
            "time" => Format::time(rest).map(Self::Time),
            "clock" => Format::clock(rest).map(Self::Clock),
            "yuan" => match rest {
                "" => Ok(Self::Yuan(Grouping::None)),
                "grouped" => Ok(Self::Yuan(Grouping::Thousands)),
                _ => Err(format!("`yuan {rest}`: only `grouped` may follow")),
            },
            "wanyuan" => parse_wanyuan(rest),
            "unit_code" => match rest {
                "" => Ok(Self::UnitCode(Spacing::None)),
                "spaced" => Ok(Self::UnitCode(Spacing::Groups)),
                _ => Err(format!("`unit_code {rest}`: only `spaced` may follow")),
            },
            "is" => Err("`is` needs the text it is".to_owned()),
            _ => Err(format!("`{name}` is no codec; see docs/contract-language.md, \"Codecs\"")),
        }
    }

    /// Whether the codec can hold what the field holds: its type, its form and its unit (`_fen`,
    /// `_dm2`). For a list field, `list` and `count` are asked about the list, every other codec
    /// about one item.
    ///
    /// # Errors
    /// What does not fit, told for the person who writes the contract.
    pub fn fits(&self, field: &FieldDescriptor) -> Result<(), String> {
        match self {
            Self::Count if field.is_list() => return Ok(()),
            Self::List { item, .. } if field.is_list() => return item.fits_one(field),
            Self::Count | Self::List { .. } => {
                return Err(format!("{} is no list, as `{}` wants", field.name(), self.name()));
            }
            _ => {}
        }
        self.fits_one(field)
    }

    fn fits_one(&self, field: &FieldDescriptor) -> Result<(), String> {
        let kind = field.kind();
        let wanted = wanted_codecs(field, &kind);
        if !wanted.contains(&self.name()) {
            let wanted = wanted.join("`, `");
            return Err(format!("`{}` does not fit {}: use `{wanted}`", self.name(), field.name()));
        }
        match self {
            Self::Code(table) => table.fits(field),
            _ => Ok(()),
        }
    }

    /// Reads one leaf's or piece's text. The value is of the field's type (of one item's, if the
    /// field is a list and the codec is neither `list` nor `count`); `count` gives `Value::U64`.
    ///
    /// # Errors
    /// The fault's code. For blank text `text` and `id` give `ValueEmpty`; every other codec says
    /// that it is no value.
    pub fn read(&self, text: &str, field: &FieldDescriptor) -> Result<Value, FaultCode> {
        match self {
            Self::Text => text::read(text).map(Value::String),
            Self::Id => text::read_id(text).map(Value::String),
            Self::Int => number::read(text, &field.kind()),
            Self::Bool { yes, no } => text::read_bool(text, yes, no).map(Value::Bool),
            Self::Is(literal) if text.trim() == literal => Ok(Value::String(literal.clone())),
            Self::Is(_) => Err(FaultCode::LiteralMismatch),
            Self::Code(table) => table.read(text, &field.kind()),
            Self::Date(format) => format.read_date(text).map(Value::String),
            Self::Time(format) => format.read_time(text, &field.kind()),
            Self::Clock(format) => format.read_clock(text).map(Value::String),
            Self::Fen => amount::FEN.read(text, Grouping::None).map(Value::I64),
            Self::Yuan(grouping) => amount::YUAN.read(text, *grouping).map(Value::I64),
            Self::Wanyuan { grouping, .. } => amount::WANYUAN.read(text, *grouping).map(Value::I64),
            Self::M2 => amount::M2.read(text, Grouping::None).map(Value::I64),
            Self::UnitCode(_) => unit_code::read(text).map(Value::String),
            Self::Base64 => bytes::read_base64(text).map(Value::Bytes),
            Self::Hex => bytes::read_hex(text).map(Value::Bytes),
            Self::Count => number::read_count(text).map(Value::U64),
            Self::List { item, separator } => list::read(item, separator, text, field),
        }
    }

    /// Writes one value, of the type that [`Codec::read`] gives for the field; `count` also takes
    /// the list itself.
    ///
    /// # Errors
    /// The value has no form here: wrong type, more decimals than told, a separator inside, no code
    /// for it.
    pub fn write<'v>(
        &'v self,
        value: &'v Value,
        field: &FieldDescriptor,
    ) -> Result<Cow<'v, str>, String> {
        match (self, value) {
            (Self::Text, Value::String(value)) => text::write(value).map(Cow::Borrowed),
            (Self::Id, Value::String(value)) => text::write_id(value).map(Cow::Borrowed),
            (Self::Int, _) => number::write(value).map(Cow::Owned),
            (Self::Bool { yes, no }, Value::Bool(value)) => {
                Ok(Cow::Borrowed(if *value { yes } else { no }))
            }
            (Self::Is(literal), Value::String(value)) if value == literal => {
                Ok(Cow::Borrowed(literal))
            }
            (Self::Is(literal), Value::String(_)) => {
                Err(format!("only `{literal}` can stand here"))
            }
            (Self::Code(table), _) => table.write(value, &field.kind()).map(Cow::Borrowed),
            (Self::Date(format), Value::String(value)) => format.write_date(value).map(Cow::Owned),
            (Self::Time(format), Value::Message(value)) => format.write_time(value).map(Cow::Owned),
            (Self::Clock(format), Value::String(value)) => {
                format.write_clock(value).map(Cow::Owned)
            }
            (Self::Fen, Value::I64(value)) => {
                amount::FEN.write(*value, None, Grouping::None).map(Cow::Owned)
            }
            (Self::Yuan(grouping), Value::I64(value)) => {
                amount::YUAN.write(*value, Some(2), *grouping).map(Cow::Owned)
            }
            (Self::Wanyuan { decimals, grouping }, Value::I64(value)) => {
                amount::WANYUAN.write(*value, *decimals, *grouping).map(Cow::Owned)
            }
            (Self::M2, Value::I64(value)) => {
                amount::M2.write(*value, Some(2), Grouping::None).map(Cow::Owned)
            }
            (Self::UnitCode(spacing), Value::String(value)) => unit_code::write(value, *spacing),
            (Self::Base64, Value::Bytes(value)) => Ok(Cow::Owned(bytes::write_base64(value))),
            (Self::Hex, Value::Bytes(value)) => Ok(Cow::Owned(bytes::write_hex(value))),
            (Self::Count, Value::List(items)) => Ok(Cow::Owned(items.len().to_string())),
            (Self::Count, Value::U64(count)) => Ok(Cow::Owned(count.to_string())),
            (Self::List { item, separator }, Value::List(items)) => {
                list::write(item, separator, items, field).map(Cow::Owned)
            }
            _ => Err(format!("`{}` cannot write this type of value", self.name())),
        }
    }

    /// Writes a value as [`Codec::write`] does, but a moment as a clock shows it. For what is told and not read back: a
    /// registry's moment may be finer than a bank's format, and the answer must be given all the same.
    ///
    /// # Errors
    /// As [`Codec::write`].
    pub fn write_shown<'v>(
        &'v self,
        value: &'v Value,
        field: &FieldDescriptor,
    ) -> Result<Cow<'v, str>, String> {
        match (self, value) {
            (Self::Time(format), Value::Message(moment)) => {
                format.write_time_shown(moment).map(Cow::Owned)
            }
            _ => self.write(value, field),
        }
    }

    /// How many characters every written value has, where that is one number: for cutting mixed
    /// leaves.
    pub fn width(&self) -> Option<usize> {
        match self {
            Self::Is(literal) => Some(literal.chars().count()),
            Self::Bool { yes, no } => {
                let width = yes.chars().count();
                (width == no.chars().count()).then_some(width)
            }
            Self::Code(table) => table.width(),
            Self::Date(format) | Self::Time(format) | Self::Clock(format) => format.width(),
            Self::UnitCode(spacing) => Some(unit_code::width(*spacing)),
            Self::Text
            | Self::Id
            | Self::Int
            | Self::Fen
            | Self::Yuan(_)
            | Self::Wanyuan { .. }
            | Self::M2
            | Self::Base64
            | Self::Hex
            | Self::Count
            | Self::List { .. } => None,
        }
    }

    /// Whether a match of `text` could begin inside a written value: then a cut at `text` is not
    /// certain. Judged by its first character, so that a value that ends like `text` begins is told
    /// too. `false` is certain, `true` is not.
    pub fn may_contain(&self, text: &str) -> bool {
        let Some(first) = text.chars().next() else { return true };
        match self {
            Self::Text => true,
            // An identifier is upper case and has no blanks.
            Self::Id => !first.is_whitespace() && !first.is_ascii_lowercase(),
            Self::Int => first.is_ascii_digit() || first == '-',
            Self::Bool { yes, no } => yes.contains(first) || no.contains(first),
            Self::Is(literal) => literal.contains(first),
            Self::Code(table) => table.may_contain(first),
            Self::Date(format) | Self::Time(format) | Self::Clock(format) => {
                format.may_contain(first)
            }
            Self::Fen | Self::Count => first.is_ascii_digit(),
            Self::Yuan(grouping) | Self::Wanyuan { grouping, .. } => {
                first.is_ascii_digit()
                    || first == '.'
                    || (first == ',' && *grouping == Grouping::Thousands)
            }
            Self::M2 => first.is_ascii_digit() || first == '.',
            Self::UnitCode(spacing) => {
                first.is_ascii_digit()
                    || first.is_ascii_uppercase()
                    || (first == ' ' && *spacing == Spacing::Groups)
            }
            Self::Base64 => first.is_ascii_alphanumeric() || matches!(first, '+' | '/' | '='),
            Self::Hex => first.is_ascii_digit() || matches!(first, 'a'..='f'),
            Self::List { item, separator } => separator.contains(first) || item.may_contain(text),
        }
    }

    /// Whether what is written is only a part of the value (`time %Y%m%d`), or less than the value (a
    /// table of nothing but `also_written`): such a hole can be written, never read.
    pub fn is_partial(&self) -> bool {
        match self {
            Self::Time(format) => format.is_partial(),
            Self::Code(table) => table.is_only_written(),
            Self::List { item, .. } => item.is_partial(),
            _ => false,
        }
    }

    /// The codec's name, as contracts write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Id => "id",
            Self::Int => "int",
            Self::Bool { .. } => "bool",
            Self::Is(_) => "is",
            Self::Code(_) => "code",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::Clock(_) => "clock",
            Self::Fen => "fen",
            Self::Yuan(_) => "yuan",
            Self::Wanyuan { .. } => "wanyuan",
            Self::M2 => "m2",
            Self::UnitCode(_) => "unit_code",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Count => "count",
            Self::List { .. } => "list",
        }
    }
}

/// The codecs a value of the field can stand in, best first.
fn wanted_codecs(field: &FieldDescriptor, kind: &Kind) -> &'static [&'static str] {
    let unit_is = |suffix: &str| field.name().ends_with(suffix);
    match kind {
        Kind::String => match proto::rules::rule_of(field).form() {
            Form::Date => &["date"],
            Form::Clock => &["clock"],
            Form::UnitCode => &["unit_code"],
            Form::IdentityNumber => &["id"],
            Form::Unspecified | Form::Key | Form::Division | Form::Share => {
                &["text", "id", "is", "code"]
            }
        },
        // An amount read by `int` would be off by its unit and nobody would notice.
        Kind::Int64 if unit_is("_fen") => &["fen", "yuan", "wanyuan"],
        Kind::Int64 if unit_is("_dm2") => &["m2"],
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => &["int"],
        Kind::Bool => &["bool", "code"],
        Kind::Enum(_) => &["code"],
        Kind::Bytes => &["base64", "hex"],
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => &["time"],
        _ => &[],
    }
}

fn alone(codec: Codec, name: &str, rest: &str) -> Result<Codec, String> {
    if rest.is_empty() {
        Ok(codec)
    } else {
        Err(format!("`{name} {rest}`: `{name}` takes nothing"))
    }
}

fn parse_bool(rest: &str) -> Result<Codec, String> {
    let mut words = rest.split_whitespace();
    let (yes, no) = match (words.next(), words.next(), words.next()) {
        (None, ..) => ("true", "false"),
        (Some(yes), Some(no), None) if yes != no => (yes, no),
        _ => return Err(format!("`bool {rest}`: two different words are wanted, YES and NO")),
    };
    Ok(Codec::Bool { yes: yes.to_owned(), no: no.to_owned() })
}

fn parse_wanyuan(rest: &str) -> Result<Codec, String> {
    let mut words = rest.split_whitespace().peekable();
    let decimals = match words.peek().and_then(|word| word.parse::<u8>().ok()) {
        Some(decimals @ 0..=6) => {
            words.next();
            Some(decimals)
        }
        _ => None,
    };
    let grouping = match words.next() {
        None => Grouping::None,
        Some("grouped") => Grouping::Thousands,
        Some(_) => return Err(format!("`wanyuan {rest}`: 0 to 6 decimals, then `grouped`")),
    };
    match words.next() {
        None => Ok(Codec::Wanyuan { decimals, grouping }),
        Some(_) => Err(format!("`wanyuan {rest}`: nothing may follow `grouped`")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    fn field(path: &str) -> FieldDescriptor {
        let (message, name) = path.split_once('.').unwrap();
        proto::descriptors::message(message).unwrap().get_field_by_name(name).unwrap()
    }

    fn tables() -> BTreeMap<String, Arc<CodeTable>> {
        let table = "1 = 'WHOLE'\n2 = 'PARTIAL'".parse().unwrap();
        BTreeMap::from([("zxfw".to_owned(), Arc::new(CodeTable::parse("zxfw", &table).unwrap()))])
    }

    fn codec(words: &str) -> Codec {
        Codec::parse(words, &tables()).unwrap()
    }

    /// A codec with all its arguments, and a field that it fits.
    const PAIRS: [(&str, &str); 27] = [
        ("", "Party.name"),
        ("text", "Exchange.serial"),
        ("id", "Party.id_number"),
        ("int", "MortgageRegistration.rank"),
        ("int", "Fault.offset"),
        ("bool", "Outcome.replayed"),
        ("bool 是 否", "Outcome.replayed"),
        ("is DY0101", "Exchange.transaction_code"),
        ("code zxfw", "MortgageDischarge.scope"),
        ("date %Y%m%d", "Exchange.date"),
        ("date %Y年%m月%d日", "Correction.deadline"),
        ("date epoch_ms", "MortgageRegistration.debt_to"),
        ("time %Y-%m-%d %H:%M:%S", "Exchange.sent_at"),
        ("time %Y-%m-%dT%H:%M:%S%z", "Exchange.sent_at"),
        ("time epoch_ms", "IdentityCheck.checked_at"),
        ("clock %H%M%S", "Exchange.time"),
        ("fen", "NewHomeTransfer.price_fen"),
        ("yuan", "NewHomeTransfer.price_fen"),
        ("yuan grouped", "NewHomeTransfer.price_fen"),
        ("wanyuan 6 grouped", "MortgageRegistration.secured_amount_fen"),
        ("m2", "Property.area_dm2"),
        ("unit_code spaced", "Property.unit_code"),
        ("base64", "Material.content"),
        ("hex", "Material.sha256"),
        ("list ,", "Property.title_numbers"),
        ("text list space", "NewHomeTransfer.advance_notice_numbers"),
        ("int list |", "Party.property_indexes"),
    ];

    #[test]
    fn every_codec_fits_its_field() {
        for (words, path) in PAIRS {
            assert_eq!(codec(words).fits(&field(path)), Ok(()), "{words} on {path}");
        }
        assert_eq!(codec("count").fits(&field("MortgageRegistration.mortgagors")), Ok(()));
    }

    #[test]
    fn a_codec_that_does_not_fit_is_told_with_those_that_do() {
        for (words, path) in [
            ("text", "MortgageRegistration.debt_from"),
            ("text", "Property.unit_code"),
            ("text", "Party.id_number"),
            ("int", "MortgageRegistration.secured_amount_fen"),
            ("yuan", "Property.area_dm2"),
            ("m2", "Fault.offset"),
            ("date %Y%m%d", "Exchange.serial"),
            ("time epoch_s", "Exchange.date"),
            ("code zxfw", "Party.kind"),
            ("bool", "Party.kind"),
            ("hex", "Party.name"),
            ("count", "Party.name"),
            ("list ,", "Party.name"),
            ("text", "Party.agent"),
        ] {
            assert!(codec(words).fits(&field(path)).is_err(), "{words} on {path}");
        }
        let told = codec("text").fits(&field("MortgageRegistration.debt_from")).unwrap_err();
        assert_eq!(told, "`text` does not fit debt_from: use `date`");
    }

    #[test]
    fn words_that_are_no_codec_are_refused() {
        for wrong in [
            "money",
            "yuan 2",
            "wanyuan 7",
            "wanyuan grouped 6",
            "bool 1",
            "bool 1 1",
            "code nowhere",
            "date",
            "is",
            "int 3",
            "list , list ;",
            "count list ,",
            "unit_code wide",
        ] {
            assert!(Codec::parse(wrong, &tables()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_text_of_a_literal_may_be_any_words() {
        assert!(matches!(codec("is a list ,"), Codec::Is(text) if text == "a list ,"));
    }

    #[test]
    fn widths_and_alphabets_make_cuts_certain() {
        assert_eq!(codec("date %Y%m%d").width(), Some(8));
        assert_eq!(codec("code zxfw").width(), Some(1));
        assert_eq!(codec("unit_code spaced").width(), Some(31));
        assert_eq!(codec("text").width(), None);
        assert!(!codec("date %Y%m%d").may_contain("-"));
        assert!(codec("date %Y-%m-%d").may_contain("-"));
        assert!(!codec("wanyuan").may_contain(","));
        assert!(codec("wanyuan grouped").may_contain(","));
        assert!(codec("text").may_contain("|"));
        assert!(codec("int list |").may_contain("|"));
    }

    static PARSED: LazyLock<Vec<(Codec, FieldDescriptor)>> =
        LazyLock::new(|| PAIRS.iter().map(|(words, path)| (codec(words), field(path))).collect());

    /// Text that looks like what some codec reads, or like nothing.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[ 　]?[0-9０-９]{0,20}[.．]?[0-9０-９]{0,8}",
            "(19|20)[0-9]{2}[-年/]?[01][0-9][-月/]?[0-3][0-9]日?( [0-2][0-9](:?[0-5][0-9]){2})?",
            "[0-9]{6}[,|; ][A-Za-z0-9+/=]{0,20}",
            "140105001002GB0003[0-9]F0001002[0-9]",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn what_was_read_is_written_and_reads_the_same(text in texts()) {
            for (codec, field) in PARSED.iter() {
                let Ok(value) = codec.read(&text, field) else { continue };
                // A blank list is no list at all: the engine leaves it unset.
                if value.as_list().is_some_and(<[Value]>::is_empty) {
                    continue;
                }
                let written = codec.write(&value, field).unwrap();
                prop_assert_eq!(codec.read(&written, field), Ok(value.clone()), "{:?}", codec);
                if let Some(width) = codec.width() {
                    prop_assert_eq!(written.chars().count(), width);
                }
                for (at, character) in written.char_indices() {
                    prop_assert!(codec.may_contain(&written[at..]), "{:?} {}", codec, character);
                }
            }
        }
    }
}
