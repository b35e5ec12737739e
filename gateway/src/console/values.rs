//! Settings in force: every value, those that nobody wrote included, and the file as it was read. Secrets are hidden: the
//! file holds only paths of files that do, and whatever looks like one all the same is not shown.

use axum::{extract::State, response::Response};
use minijinja::context;

use super::{Console, standing, visitor::Asker};

/// What stands in the place of a secret.
const HIDDEN: &str = "••••••";

pub(super) async fn show(State(console): State<Console>, asker: Asker) -> Response {
    let (inner, settings) = (&console.0, console.settings());
    let readings = inner.metrics.readings();
    let outdated =
        readings.iter().any(|it| it.name == "directlink_settings_outdated" && it.value > 0);
    let told = context! {
        place => "settings",
        written => hidden(&inner.written.load()),
        values => values(&format!("{settings:#?}")),
        outdated,
        certificates => standing::certificates(&settings),
        version => env!("CARGO_PKG_VERSION"),
    };
    console.show(&asker, "settings.html", told)
}

/// Every value of a structure, as Rust writes it over several lines, by the path of its fields.
fn values(written: &str) -> Vec<(String, String)> {
    let (mut path, mut values): (Vec<String>, Vec<(String, String)>) = (Vec::new(), Vec::new());
    let mut counts: Vec<usize> = vec![0];
    for line in written.lines().map(str::trim) {
        let line = line.strip_suffix(',').unwrap_or(line);
        if matches!(line, "}" | ")" | "]") {
            path.pop();
            counts.pop();
            continue;
        }
        let (name, value) = match line.split_once(": ") {
            Some((name, value)) if name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_') => {
                (name.to_owned(), value)
            }
            _ => {
                let count = counts.last_mut().map(|count| {
                    *count = count.saturating_add(1);
                    *count
                });
                (count.unwrap_or_default().to_string(), line)
            }
        };
        if value.ends_with(['{', '(', '[']) {
            // A value in a wrapper of one, `Some(` or the like, is the field's own.
            path.push(if value.ends_with('(') { format!("{name}\u{0}") } else { name });
            counts.push(0);
            continue;
        }
        let full = full_path(&path, &name);
        values.push((full.clone(), shown(&full, value)));
    }
    values
}

/// The path of a field, without the structure's own name and the wrappers of one value.
fn full_path(path: &[String], name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut is_wrapped = false;
    for part in path.iter().skip(1).map(String::as_str).chain([name]) {
        if !is_wrapped {
            parts.push(part.trim_end_matches('\u{0}'));
        }
        is_wrapped = part.ends_with('\u{0}');
    }
    parts.join(".")
}

fn shown(path: &str, value: &str) -> String {
    let name = path.rsplit('.').next().unwrap_or_default();
    let is_file = name.contains("file") || value.contains('/');
    let is_secret = ["password", "secret", "token"].iter().any(|it| name.contains(it));
    if is_secret && !is_file && value != "None" && value != "[]" {
        return HIDDEN.to_owned();
    }
    without_user(value)
}

/// An address without the user and password that may stand before its host.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '"', ' ']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        // A name alone says who asks a database; before a web address it is a secret itself.
        Some((user, host)) if user.contains(':') || scheme.starts_with("http") => {
            format!("{scheme}://{HIDDEN}@{host}{}", without_user(path))
        }
        _ => format!("{scheme}://{authority}{}", without_user(path)),
    }
}

/// The settings file's text, with nothing in it that looks like a secret.
fn hidden(written: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((key, value)) => {
            let name = key.trim().to_ascii_lowercase();
            let is_secret = ["password", "secret", "token"].iter().any(|it| name.contains(it));
            match is_secret && !name.contains("file") && !line.trim_start().starts_with('#') {
                true => format!("{key}= {HIDDEN}"),
                false => format!("{key}={}", without_user(value)),
            }
        }
        None => line.to_owned(),
    };
    written.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by being written")]
    struct Outer {
        plain: u32,
        inner: Inner,
        list: Vec<Inner>,
        some: Option<Inner>,
        none: Option<u32>,
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by being written")]
    struct Inner {
        password: &'static str,
        password_file: &'static str,
        url: Option<&'static str>,
    }

    fn inner() -> Inner {
        let url = Some("postgresql://ann:hush@db/one");
        Inner { password: "hush", password_file: "/etc/p", url }
    }

    #[test]
    fn every_value_is_told_by_its_path_and_no_secret() {
        let outer = Outer {
            plain: 7,
            inner: inner(),
            list: vec![inner()],
            some: Some(inner()),
            none: None,
        };
        let told = values(&format!("{outer:#?}"));
        let of = |path: &str| {
            let found = told.iter().find(|(known, _)| known == path);
            found.unwrap_or_else(|| panic!("{path} in {told:?}")).1.clone()
        };
        assert_eq!(of("plain"), "7");
        assert_eq!(of("none"), "None");
        for path in ["inner", "list.1", "some"] {
            assert_eq!(of(&format!("{path}.password")), HIDDEN);
            assert_eq!(of(&format!("{path}.password_file")), "\"/etc/p\"");
            assert!(of(&format!("{path}.url")).contains("db/one"));
        }
        assert!(!format!("{told:?}").contains("hush"), "{told:?}");
    }

    #[test]
    fn the_file_is_shown_without_what_looks_like_a_secret() {
        let file = "a = 1\napi_token = \"hush\"\nsecret_files = [\"s\"]\nurl = \"https://u:hush@h/p\"\n# token = what";
        let shown = hidden(file);
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("secret_files = [\"s\"]") && shown.contains("@h/p\""), "{shown}");
        assert!(shown.contains("# token = what"));
    }
}
