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
    public(value)
}

/// A text whose addresses lack the user and password that may stand before the host; web addresses also what stands behind
/// it, for whoever knows the whole of one may be let in by it.
fn public(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else { return text.to_owned() };
    let is_web = before.ends_with("http") || before.ends_with("https");
    let end = rest.find(['/', '?', '#', '"', '\'', ' ']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let end = rest.find(['"', '\'', ' ']).unwrap_or(rest.len());
    let (path, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = match authority.rsplit_once('@') {
        // A name alone says who asks a database; before a web address it is a secret itself.
        Some((user, host)) if user.contains(':') || is_web => format!("{HIDDEN}@{host}"),
        _ => authority.to_owned(),
    };
    let path = match path {
        "" | "/" => path.to_owned(),
        _ if is_web => format!("/{HIDDEN}"),
        path => path.to_owned(),
    };
    format!("{before}://{host}{path}{}", public(rest))
}

/// The settings file's text, with nothing in it that looks like a secret.
fn hidden(written: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((key, _)) => {
            let name = key.trim().to_ascii_lowercase();
            let is_secret = ["password", "secret", "token"].iter().any(|it| name.contains(it));
            match is_secret && !name.contains("file") && !line.trim_start().starts_with('#') {
                true => format!("{key}= {HIDDEN}"),
                false => public(line),
            }
        }
        None => public(line),
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
        address: &'static str,
    }

    fn inner() -> Inner {
        let url = Some("postgresql://ann:hush@db/one");
        let address = "https://hooks.example:8443/hush/1?key=hush";
        Inner { password: "hush", password_file: "/etc/p", url, address }
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
            assert_eq!(of(&format!("{path}.address")), "\"https://hooks.example:8443/••••••\"");
        }
        assert!(!format!("{told:?}").contains("hush"), "{told:?}");
    }

    #[test]
    fn the_file_is_shown_without_what_looks_like_a_secret() {
        let file = "a = 1\napi_token = \"hush\"\nsecret_files = [\"s\"]\nurl = \"https://u:hush@h/p\"\n# token = what";
        let shown = hidden(file);
        assert!(!shown.contains("hush"), "{shown}");
        assert!(
            shown.contains("secret_files = [\"s\"]") && shown.contains("@h/••••••\""),
            "{shown}"
        );
        assert!(shown.contains("# token = what"));
        for (written, expected) in [
            ("address = 'https://h/hush' # why", "address = 'https://h/••••••' # why"),
            ("  'https://h?a=hush', 'tcp://h:1'", "  'https://h/••••••', 'tcp://h:1'"),
            (
                "[{ a = \"http://h/hush?b=c\", d = \"http://i\" }]",
                "[{ a = \"http://h/••••••\", d = \"http://i\" }]",
            ),
            ("postgres = \"postgresql://ann@db/one\"", "postgres = \"postgresql://ann@db/one\""),
        ] {
            assert_eq!(hidden(written), expected);
        }
    }
}
