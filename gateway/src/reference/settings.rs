//! docs/settings-reference.md: every table and key that settings may have, from the docs and defaults of their fields.

use std::fmt::Write;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::line;
use crate::settings::Settings;

const HEAD: &str = "\
# Every setting

What `directlink serve --settings FILE` reads, table by table; how a file looks, and what changes without a restart:
[settings.md](settings.md). Times are whole seconds, at least 1; sizes are bytes. Relative paths start from the file's folder.

This page is made of the code (`gateway/src/settings/`) by `make reference`.
";

pub(super) fn page() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Settings>();
    let file = File { schemas: schema.get("$defs").unwrap_or(&Value::Null) };
    let mut page = HEAD.to_owned();
    for table in
        schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values)
    {
        file.tell(table, &mut page);
    }
    page
}

/// The schemas of what a settings file holds, by name.
struct File<'s> {
    schemas: &'s Value,
}

impl File<'_> {
    /// The table that a key holds, one or many of it; `None` if it holds a value.
    fn table<'t>(&'t self, key: &'t Value) -> Option<&'t Value> {
        if let Some(name) = key.get("$ref").and_then(Value::as_str) {
            let schema = self.schemas.get(name.rsplit('/').next()?)?;
            return schema.get("properties").and(Some(schema));
        }
        let either = key.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let within = [key.get("items"), key.get("additionalProperties")].into_iter().flatten();
        either.chain(within).find_map(|key| self.table(key))
    }

    /// Tells of a table, and of those in it after it.
    fn tell(&self, key: &Value, page: &mut String) {
        let Some(table) = self.table(key) else { return };
        let docs = description(table);
        let (title, about) = docs.split_once("\n\n").unwrap_or((docs, ""));
        let required: Vec<&str> = table
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let keys = table.get("properties").and_then(Value::as_object);
        // Writing to a text does not fail.
        let _written = writeln!(page, "\n## {}", line(title).trim_end_matches('.'));
        for paragraph in about.split("\n\n").filter(|it| !it.is_empty()) {
            let _written = writeln!(page, "{}\n", line(paragraph));
        }
        let _written = writeln!(page, "| key | default | what it is |\n|---|---|---|");
        for (name, key) in keys.into_iter().flatten() {
            let (what, instead) = told(name, description(key));
            let default = match key.get("default").and_then(|it| value(name, it)) {
                Some(default) => default,
                None if required.contains(&name.as_str()) => "required".to_owned(),
                None => instead,
            };
            let _written = writeln!(page, "| `{name}` | {default} | {what} |");
        }
        for key in keys.into_iter().flat_map(Map::values) {
            self.tell(key, page);
        }
    }
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

/// What a key is, and what holds where it is left out and no value does. The field may be called otherwise than the key, which
/// its docs then begin with.
fn told(key: &str, docs: &str) -> (String, String) {
    let docs = line(docs);
    let docs = docs.strip_prefix(&format!("`{key}`: ")).unwrap_or(&docs);
    let (what, instead) = docs.rsplit_once(" Default: ").unwrap_or((docs, ""));
    let mut letters = what.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let what = first.chain(letters).collect::<String>();
    (what.trim_end_matches('.').to_owned(), instead.trim_end_matches('.').to_owned())
}

/// A default as a file would say it; `None` for what is not there.
fn value(key: &str, default: &Value) -> Option<String> {
    match default {
        Value::Null | Value::Object(_) => None,
        Value::Bool(is) => Some(is.to_string()),
        Value::Number(number) => Some(format!(
            "{number}{}",
            number.as_u64().map_or_else(String::new, |it| rounded(key, it))
        )),
        Value::String(text) => Some(format!("`{text}`")),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            (!items.is_empty()).then(|| format!("`{}`", items.join("`, `")))
        }
    }
}

/// A long time or a great size, in words.
fn rounded(key: &str, number: u64) -> String {
    const UNITS: [(&str, u64, &str); 4] = [
        ("seconds", 24 * 60 * 60, "d"),
        ("seconds", 60 * 60, "h"),
        ("bytes", 1024 * 1024, "MiB"),
        ("bytes", 1024, "KiB"),
    ];
    let mut units = UNITS.iter();
    let fits = |(of, unit, _): &&(&str, u64, &str)| {
        key.contains(of) && number >= *unit && number.is_multiple_of(*unit)
    };
    units
        .find(fits)
        .map_or_else(String::new, |(_, unit, name)| format!(" ({} {name})", number / unit))
}
