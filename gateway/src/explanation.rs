//! A contract explained for people: what stands in each of its messages, which canonical field that is, and how it is written,
//! in Chinese and English. Asked for on the command line and on the console; it decides nothing.

use adapters::{
    Reply,
    explain::{Explained, Field, Holds, Mandatory, Row},
};
use serde::Serialize;

/// One file in one direction.
#[derive(Debug, Serialize)]
pub struct Part<'p> {
    /// The message's name in the contract.
    pub message: &'p str,
    /// What it is about.
    pub subject: Option<&'p str>,
    /// The file of the contract.
    pub file: &'p str,
    /// What it is called in Chinese.
    pub chinese: &'static str,
    /// In English.
    pub english: &'static str,
    /// What the kind of message says by itself.
    pub implied: Vec<String>,
    /// What stands in it, in order.
    pub lines: Vec<Line<'p>>,
}

/// One row of the table.
#[derive(Debug, Serialize)]
pub struct Line<'p> {
    /// Where it stands in the message.
    pub place: &'p str,
    /// The canonical field; empty for what is none.
    pub field: &'p str,
    /// What it is called in Chinese.
    pub chinese: &'p str,
    /// In English.
    pub english: &'p str,
    /// The column of the national database standard.
    pub column: &'p str,
    /// How it is written.
    pub format: String,
    /// Whether it must be there.
    pub mandatory: String,
    /// An example; empty if there is none.
    pub example: &'p str,
    /// Its codes and what they mean.
    pub codes: Vec<String>,
}

/// A part as it is told.
pub fn part(explained: &Explained) -> Part<'_> {
    let (chinese, english) = match explained.direction {
        Reply::Request => ("请求", "request"),
        Reply::Outcome => ("应答", "reply"),
        Reply::Refusal => ("拒绝", "refusal"),
        Reply::Notice => ("通知", "notice"),
        Reply::Ack => ("通知回执", "acknowledgement"),
    };
    Part {
        message: &explained.message,
        subject: explained.subject.as_deref(),
        file: &explained.file,
        chinese,
        english,
        implied: explained
            .implied
            .iter()
            .map(|(field, value)| format!("{field} = {value}"))
            .collect(),
        lines: explained.rows.iter().map(line).collect(),
    }
}

fn line(row: &Row) -> Line<'_> {
    let mandatory = mandatory(&row.mandatory);
    let (place, example) = (row.place.as_str(), row.example.as_deref().unwrap_or_default());
    let plain = |chinese: &'static str, english: &'static str, format: String| Line {
        place,
        field: "",
        chinese,
        english,
        column: "",
        format,
        mandatory: mandatory.clone(),
        example,
        codes: Vec::new(),
    };
    match &row.holds {
        Holds::Literal(text) => plain("固定值", "fixed", format!("固定为 {text} always {text}")),
        Holds::Ignored => plain("不读取", "read by nobody", String::new()),
        Holds::Field(field) => Line {
            field: &field.path,
            chinese: field.term.chinese.as_deref().unwrap_or_default(),
            english: &field.term.words,
            column: field.term.column.as_deref().unwrap_or_default(),
            format: format(field),
            codes: field.codes.iter().map(code).collect(),
            ..plain("", "", String::new())
        },
    }
}

fn format(field: &Field) -> String {
    let (chinese, english) = &field.format;
    let mut told = format!("{chinese} {english}");
    if let Some(whole) = &field.piece_of {
        told.push_str(&format!("; 组成 piece of {whole}"));
    }
    match field.unset.as_deref() {
        Some("") | None => {}
        Some(text) => told.push_str(&format!("; 空值 unset: {text}")),
    }
    if field.chars_max > 0 {
        told.push_str(&format!("; ≤ {}", field.chars_max));
    }
    told
}

fn code((code, value, chinese): &(String, String, Option<String>)) -> String {
    format!("{code} = {value} {}", chinese.as_deref().unwrap_or_default()).trim_end().to_owned()
}

fn mandatory(mandatory: &Mandatory) -> String {
    match mandatory {
        Mandatory::Always => "必填 yes".to_owned(),
        Mandatory::Within => "上级存在时必填 if its parent is there".to_owned(),
        Mandatory::When(condition) => format!("条件必填 if {condition}"),
        Mandatory::Optional => "选填 no".to_owned(),
    }
}
