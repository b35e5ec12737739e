//! `directlink contract explain`: a contract as a table, in Markdown or as one HTML page that needs nothing else.

use std::path::Path;

use adapters::{
    Contract, Reply,
    cases::Files,
    explain::{Explained, Field, Holds, Mandatory, Row, examples, explain},
};
use gateway::contracts::case_files;
use minijinja::{AutoEscape, Environment, Value};
use serde::Serialize;

use super::{End, folder::Folder, say};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Markdown,
    Html,
}

pub(super) fn explain_contract(folder: &Path, message: Option<&str>, style: Style) -> End {
    let contract = match Folder::contract(folder, &folder.join("cases")) {
        Ok(contract) => contract,
        Err(end) => return end,
    };
    let names: Vec<&str> = contract.messages().map(|(name, _)| name).collect();
    if let Some(message) = message.filter(|message| !names.contains(message)) {
        return End::Usage(format!("there is no message `{message}`: {}", names.join(", ")));
    }
    let files = case_files(&folder.join("cases")).unwrap_or_default();
    match page(&contract, &files, message, style) {
        Ok(page) => {
            say(page.trim_end());
            End::Fine
        }
        Err(error) => End::Wrong(format!("{error}\n")),
    }
}

fn page(
    contract: &Contract,
    files: &Files,
    message: Option<&str>,
    style: Style,
) -> Result<String, minijinja::Error> {
    let mut pages = Environment::new();
    pages.set_trim_blocks(true);
    pages.set_lstrip_blocks(true);
    pages.set_auto_escape_callback(|name| match name.ends_with(".html") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    pages.add_filter("cell", cell);
    pages.add_template("page.html", include_str!("explain/page.html"))?;
    pages.add_template("page.md", include_str!("explain/page.md"))?;
    let name = if style == Style::Html { "page.html" } else { "page.md" };
    let explained = explain(contract, &examples(contract, files));
    let wanted = |one: &&Explained| message.is_none_or(|message| one.message == message);
    let (from, to) = contract.in_force();
    let wire = contract.wire();
    pages.get_template(name)?.render(Page {
        bank: contract.bank(),
        version: contract.version(),
        from,
        to,
        media: format!("{:?}", wire.media).to_uppercase(),
        charset: wire.charset.name(),
        prefix: wire.prefix.is_some(),
        path: wire.http.as_ref().map(|http| http.path.as_str()),
        parts: explained.iter().filter(wanted).map(part).collect(),
    })
}

/// A cell of a Markdown table.
fn cell(text: &Value) -> String {
    text.to_string().replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// What the golden cases say, as examples. A case that cannot be read is none: `contract test` tells why.
#[derive(Serialize)]
struct Page<'p> {
    bank: &'p str,
    version: &'p str,
    from: &'p str,
    to: Option<&'p str>,
    media: String,
    charset: &'static str,
    prefix: bool,
    path: Option<&'p str>,
    parts: Vec<Part<'p>>,
}

/// One file in one direction.
#[derive(Serialize)]
struct Part<'p> {
    message: &'p str,
    subject: Option<&'p str>,
    file: &'p str,
    chinese: &'static str,
    english: &'static str,
    implied: Vec<String>,
    lines: Vec<Line<'p>>,
}

/// One row of the table.
#[derive(Serialize)]
struct Line<'p> {
    place: &'p str,
    field: &'p str,
    chinese: &'p str,
    english: &'p str,
    column: &'p str,
    format: String,
    mandatory: String,
    example: &'p str,
    codes: Vec<String>,
}

fn part(explained: &Explained) -> Part<'_> {
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
