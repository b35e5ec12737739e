//! `directlink contract explain`: a contract as a table, in Markdown or as one HTML page that needs nothing else.

use std::path::Path;

use adapters::{
    Contract,
    cases::Files,
    explain::{Explained, examples, explain},
};
use gateway::{
    contracts::case_files,
    explanation::{Part, part},
};
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
