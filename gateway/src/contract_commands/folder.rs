//! A contract's folder on the disk, and what the checker says of it.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use adapters::{Complaint, Contract};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{End, in_colour};

/// The texts of a contract.
pub(super) struct Folder {
    path: PathBuf,
    texts: BTreeMap<String, String>,
    /// Files that are no text; only told if the contract needs them.
    unread: Vec<String>,
}

impl Folder {
    /// Reads what lies in the folder itself; folders inside (`cases`) are for tests.
    pub(super) fn read(path: &Path) -> Result<Self, End> {
        let cannot = |error: io::Error| End::Usage(format!("{}: {error}", path.display()));
        let (mut texts, mut unread) = (BTreeMap::new(), Vec::new());
        for entry in fs::read_dir(path).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !entry.path().is_file() {
                continue;
            }
            match fs::read_to_string(entry.path()) {
                Ok(text) => {
                    texts.insert(name, text);
                }
                Err(_) => unread.push(name),
            }
        }
        Ok(Self { path: path.to_owned(), texts, unread })
    }

    /// Reads and compiles. Where messages are signed, test keys are taken from `cases`; without them no signed message is
    /// believed.
    pub(super) fn contract(path: &Path, cases: &Path) -> Result<Contract, End> {
        let folder = Self::read(path)?;
        let contract = folder.compile().map_err(End::Wrong)?;
        if !contract.needs_keys() {
            return Ok(contract);
        }
        let key = |side: &str| {
            let path = cases.join(format!("keys/test-{side}.key.pem"));
            fs::read_to_string(&path).map_err(|error| {
                End::Usage(format!("{}: {error}: messages are signed", path.display()))
            })
        };
        let given = contract.with_keys(&key("bank")?, &key("gateway")?);
        given.map_err(|error| End::Wrong(format!("{}: {error}\n", path.display())))
    }

    /// Compiles; what is wrong is told as rustc tells it.
    pub(super) fn compile(&self) -> Result<Contract, String> {
        Contract::compile(&self.texts).map_err(|complaints| {
            complaints.iter().map(|complaint| self.told(complaint)).collect::<Vec<_>>().join("\n")
                + "\n"
        })
    }

    fn told(&self, complaint: &Complaint) -> String {
        let title = Level::ERROR.primary_title(complaint.message.as_str());
        let mut group =
            match self.snippet(&complaint.file, &complaint.span, AnnotationKind::Primary) {
                Some(snippet) => title.element(snippet),
                None => {
                    let path = self.path.join(&complaint.file).display().to_string();
                    let is_unread = self.unread.contains(&complaint.file);
                    let told = if is_unread {
                        format!("{path} is no UTF-8")
                    } else {
                        format!("in {path}")
                    };
                    Group::with_title(title).element(Level::NOTE.message(told))
                }
            };
        for used in &complaint.used_at {
            if let Some(snippet) = self.snippet(&used.file, &used.span, AnnotationKind::Context) {
                group = group.element(snippet);
            }
        }
        let renderer = if in_colour() { Renderer::styled() } else { Renderer::plain() };
        format!("{}\n", renderer.render(&[group]))
    }

    /// A place in a file; `Context` is where a shared part is used.
    fn snippet(
        &self,
        file: &str,
        span: &Range<usize>,
        kind: AnnotationKind,
    ) -> Option<Snippet<'_, Annotation<'_>>> {
        let text = self.texts.get(file)?.as_str();
        let label = matches!(kind, AnnotationKind::Context).then_some("used here");
        let mark = kind.span(within(text, span)).label(label);
        let path = self.path.join(file).display().to_string();
        Some(Snippet::source(text).path(path).annotation(mark))
    }
}

/// The span, within the text and between characters; one that shows at least one of them.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    // Of a span over many lines the first is enough.
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let mut end = span.end.min(line_end).max(start);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// The folders of a contract's versions: the folder itself, or, where it holds no contract.toml, those in it that do.
pub(super) fn versions(path: &Path) -> Vec<PathBuf> {
    let is_contract = |path: &Path| path.join("contract.toml").is_file();
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut inside: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_contract(path)).collect();
    if is_contract(path) || inside.is_empty() {
        return vec![path.to_owned()];
    }
    inside.sort();
    inside
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn a_span_keeps_to_characters_and_to_its_first_line() {
        assert_eq!(within("甲乙\n丙", &(1..20)), 0..6);
        assert_eq!(within("甲", &(9..12)), 3..3);
        assert_eq!(within("ab\ncd", &(3..4)), 3..4);
    }
}
