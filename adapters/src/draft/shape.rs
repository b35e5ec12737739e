//! What the form of a value says: which codec reads it, and, where its name says nothing, which field it may be.

use prost_reflect::{FieldDescriptor, Kind};
use proto::{CreditCode, ResidentId, UnitCode, rules::rule_of, v1::Form};

const DATES: [&str; 5] = ["%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y"];
const TIMES: [&str; 5] = [
    "%Y%m%d%H%M%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%z",
];
const CLOCKS: [&str; 2] = ["%H%M%S", "%H:%M:%S"];
const SEPARATORS: [char; 7] = [',', '，', ';', '；', '、', '|', ' '];

/// The format in which all these texts are days; `None` if there is none.
pub(super) fn date(texts: &[&str]) -> Option<&'static str> {
    DATES.into_iter().find(|format| reads_all(texts, "date", format))
}

/// The format in which all these texts are moments.
pub(super) fn time(texts: &[&str]) -> Option<&'static str> {
    let known = TIMES.into_iter().find(|format| reads_all(texts, "time", format));
    let digits = |count: usize| {
        texts
            .iter()
            .all(|text| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    known.or_else(|| digits(13).then_some("epoch_ms")).or_else(|| digits(10).then_some("epoch_s"))
}

/// The format in which all these texts are times of day.
pub(super) fn clock(texts: &[&str]) -> Option<&'static str> {
    CLOCKS.into_iter().find(|format| reads_all(texts, "clock", format))
}

fn reads_all(texts: &[&str], word: &str, format: &str) -> bool {
    let codec = crate::codec::Codec::parse(&format!("{word} {format}"), &Default::default());
    let field = field(match word {
        "date" => "date",
        "time" => "sent_at",
        _ => "time",
    });
    let (Ok(codec), Some(field)) = (codec, field) else { return false };
    !texts.is_empty() && texts.iter().all(|text| codec.read(text, &field).is_ok())
}

fn field(name: &str) -> Option<FieldDescriptor> {
    proto::descriptors::message("Exchange")?.get_field_by_name(name)
}

/// The codec for a field, from the texts seen; `None` where a code table is needed, or none fits.
pub(super) fn codec(field: &FieldDescriptor, texts: &[&str]) -> Option<String> {
    let seen = !texts.is_empty();
    let name = field.name();
    let item = match (rule_of(field).form(), field.kind()) {
        (Form::Date, _) if seen => format!("date {}", date(texts)?),
        (Form::Date, _) => "date %Y-%m-%d".to_owned(),
        (Form::Clock, _) => format!("clock {}", clock(texts)?),
        (Form::UnitCode, _) => {
            let spaced = texts.iter().any(|text| text.contains(' '));
            if spaced { "unit_code spaced" } else { "unit_code" }.to_owned()
        }
        (Form::IdentityNumber, _) => "id".to_owned(),
        (_, Kind::Message(_)) => format!("time {}", time(texts)?),
        (_, Kind::Bool) => format!("bool {}", yes_and_no(texts)?),
        (_, Kind::Int64) if name.ends_with("_fen") => amount(texts).to_owned(),
        (_, Kind::Int64) if name.ends_with("_dm2") => "m2".to_owned(),
        (_, Kind::Int64 | Kind::Int32) => "int".to_owned(),
        (_, Kind::Bytes) => {
            let is_hex = texts.iter().all(|text| text.len() == 64 && hex::decode(text).is_ok());
            if is_hex { "hex" } else { "base64" }.to_owned()
        }
        (_, Kind::Enum(_)) => return None,
        _ => String::new(),
    };
    Some(item)
}

/// What separates the values of a list that stands in one leaf.
pub(super) fn separator(texts: &[&str]) -> String {
    let found =
        SEPARATORS.into_iter().find(|separator| texts.iter().any(|text| text.contains(*separator)));
    match found {
        Some(' ') => "space".to_owned(),
        Some(separator) => separator.to_string(),
        None => ",".to_owned(),
    }
}

/// 元 has always two decimals, 万元 as many as it needs; whole numbers are 分 where they are too great for 万元.
fn amount(texts: &[&str]) -> &'static str {
    let decimals = |text: &&str| text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let grouped = texts.iter().any(|text| text.contains(','));
    let whole = texts.iter().all(|text| decimals(text) == 0);
    // A million 万元 is more than any home is charged with.
    let too_great = texts.iter().any(|text| text.len() > 6);
    match (texts.iter().all(|text| decimals(text) == 2), whole && too_great, grouped) {
        (true, _, false) => "yuan",
        (true, _, true) => "yuan grouped",
        (_, true, false) => "fen",
        (_, _, false) => "wanyuan",
        (_, _, true) => "wanyuan grouped",
    }
}

fn yes_and_no(texts: &[&str]) -> Option<&'static str> {
    const WORDS: [&str; 7] = ["1 0", "true false", "是 否", "Y N", "y n", "有 无", "01 00"];
    let fits =
        |words: &&str| texts.iter().all(|text| words.split(' ').any(|word| word == text.trim()));
    WORDS.into_iter().find(fits)
}

/// The field of a property or a party that a value must be, by its form alone.
pub(super) fn field_by_form(group: &str, text: &str) -> Option<&'static str> {
    let text = text.trim();
    let is_mobile = || {
        text.len() == 11 && text.starts_with('1') && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let unit_code = || UnitCode::parse(&text.replace(' ', "")).is_ok();
    match group {
        "property" if unit_code() => Some("unit_code"),
        "property" if text.contains("不动产权第") => Some("title_numbers"),
        "party" | "agent" if ResidentId::parse(text).is_ok() || CreditCode::parse(text).is_ok() => {
            Some("id_number")
        }
        "party" | "agent" if is_mobile() => Some("phone"),
        "matter" if text.contains("不动产证明第") => Some("certificate_numbers"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_or_a_moment_is_known_by_its_form() {
        assert_eq!(date(&["20260305", "20460228"]), Some("%Y%m%d"));
        assert_eq!(date(&["2026/03/05"]), Some("%Y/%m/%d"));
        assert_eq!(date(&["20261305"]), None);
        assert_eq!(time(&["20260305101112"]), Some("%Y%m%d%H%M%S"));
        assert_eq!(time(&["1772676732000"]), Some("epoch_ms"));
        assert_eq!(clock(&["091233"]), Some("%H%M%S"));
    }

    #[test]
    fn an_amount_is_known_by_its_decimals() {
        assert_eq!(amount(&["550000.00"]), "yuan");
        assert_eq!(amount(&["120", "35.5"]), "wanyuan");
        assert_eq!(amount(&["300000000"]), "fen");
    }

    #[test]
    fn a_value_may_say_what_it_is() {
        assert_eq!(field_by_form("property", "140105001002GB00031F00010023"), Some("unit_code"));
        assert_eq!(field_by_form("party", "91140105MA0KX1F2AA"), Some("id_number"));
        assert_eq!(field_by_form("party", "甲"), None);
    }
}
