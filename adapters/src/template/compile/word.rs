//! The words of the language at one node: which stand there, and what they refer to.

use std::{ops::Range, sync::Arc};

use prost_reflect::Kind as FieldKind;

use super::{Compiler, is_word, value_of};
use crate::{
    path::{Path, Pick, Scope, Start, Step},
    template::{Each, Maybe, When},
    tree::{Node, NodeId, Tree},
};

/// The words of the language that stand at one node, each with its text.
#[derive(Default)]
pub(super) struct Directives<'t> {
    pub(super) each: Option<&'t Node<'t>>,
    pub(super) maybe: Option<&'t Node<'t>>,
    pub(super) when: Option<&'t Node<'t>>,
    pub(super) ignored: Option<&'t Node<'t>>,
    pub(super) embed: Option<&'t Node<'t>>,
    pub(super) bare: Option<&'t Node<'t>>,
    pub(super) part: Option<&'t Node<'t>>,
    pub(super) item: Option<NodeId>,
}

impl Compiler<'_> {
    pub(super) fn directives<'t>(&mut self, tree: &'t Tree<'t>, id: NodeId) -> Directives<'t> {
        let mut found = Directives::default();
        for (child, node) in tree.children(id).filter(|(_, node)| is_word(node)) {
            let place = match node.name.as_ref() {
                "c:each" => &mut found.each,
                "c:maybe" => &mut found.maybe,
                "c:when" => &mut found.when,
                "c:ignored" => &mut found.ignored,
                "c:embed" => &mut found.embed,
                "c:bare" => &mut found.bare,
                "c:part" => &mut found.part,
                "c:item" => {
                    found.item = Some(child);
                    continue;
                }
                other => {
                    let told = format!(
                        "`{other}` is no word of the language: c:each, c:maybe, c:when, \
                         c:ignored, c:embed, c:item, c:bare, c:part"
                    );
                    self.complain(self.span_of(node), told);
                    continue;
                }
            };
            *place = Some(node);
        }
        found
    }

    pub(super) fn each(&mut self, words: &Node<'_>, scope: &Scope) -> Option<Each> {
        let (path, by) = match words.text.split_once(" by ") {
            Some((path, by)) => (path.trim(), Some(by.trim())),
            None => (words.text.trim(), None),
        };
        let list = self.path(path, words, scope)?;
        if !list.field.is_list() || list.pick != Pick::Whole {
            self.complain(
                self.value_span(words),
                format!("`{path}` is no list: `c:each` repeats over a list"),
            );
            return None;
        }
        let inner = match list.field.kind() {
            FieldKind::Message(message) => Scope::Message(message),
            _ => Scope::Scalar(list.field.clone()),
        };
        let by = match (by, &inner) {
            (None, _) => None,
            (Some(name), Scope::Message(message)) => match message.get_field_by_name(name) {
                Some(field) if field.is_list() && matches!(field.kind(), FieldKind::Int32) => {
                    Some(field)
                }
                _ => {
                    self.complain(
                        self.value_span(words),
                        format!("`by {name}`: it is to name the items' list of parents' numbers"),
                    );
                    None
                }
            },
            (Some(_), _) => {
                self.complain(self.value_span(words), "`by` groups messages, not scalars");
                None
            }
        };
        Some(Each { list, scope: inner, by })
    }

    pub(super) fn maybe(&mut self, words: &Node<'_>, scope: &Scope) -> Option<Maybe> {
        let path = self.path(words.text.trim(), words, scope)?;
        let scope = match path.field.kind() {
            _ if path.field.is_list() && path.pick == Pick::Whole => None,
            FieldKind::Message(message) => Some(Scope::Message(message)),
            _ => {
                self.complain(
                    self.value_span(words),
                    format!("`{}` is a single value: write its hole with `?`", path.text),
                );
                return None;
            }
        };
        Some(Maybe { path, scope })
    }

    pub(super) fn when(&mut self, words: &Node<'_>, scope: &Scope) -> Vec<When> {
        let mut conditions = Vec::new();
        for word in words.text.split_whitespace() {
            let Some((path, text)) = word.split_once('=') else {
                self.complain(
                    self.value_span(words),
                    format!("`{word}`: a condition is `path=VALUE`"),
                );
                continue;
            };
            let Some(path) = self.path(path, words, scope) else { continue };
            match value_of(&path.field, text) {
                Some(value) => conditions.push(When { path, value }),
                None => self.complain(
                    self.value_span(words),
                    format!("`{text}` is no value of `{}`", path.text),
                ),
            }
        }
        conditions
    }

    pub(super) fn path(
        &mut self,
        text: &str,
        words: &Node<'_>,
        scope: &Scope,
    ) -> Option<Arc<Path>> {
        match self.words(scope).resolve(text) {
            Ok(path) => {
                self.number(&path);
                self.not_from_outside(&path, self.value_span(words));
                Some(path)
            }
            Err(told) => {
                self.complain(self.value_span(words), told);
                None
            }
        }
    }

    /// A field of the message or item at hand has one name, so that it is read into one place.
    pub(super) fn not_from_outside(&mut self, path: &Path, span: Range<usize>) {
        let holds = |outer: &&Arc<Path>| {
            let way = path.steps.split_at_checked(outer.steps.len());
            path.start == outer.start
                && path.start != Start::Item
                && way.is_some_and(|(before, behind)| {
                    *before == *outer.steps
                        && behind.first().is_some_and(|step| step.field == outer.field)
                })
        };
        let Some(outer) = self.around.iter().rfind(holds) else { return };
        let inside = path.text.get(outer.text.len()..).unwrap_or_default();
        let inside = inside.trim_start_matches(|letter| letter != '.');
        let told = format!(
            "`{}` is a field of `{}`, which the `c:maybe` or `c:each` around is about: write `{inside}` here",
            path.text, outer.text
        );
        self.complain(span, told);
    }

    /// Remembers the lists that a path numbers the items of.
    pub(super) fn number(&mut self, path: &Path) {
        let mut steps = Vec::new();
        for step in path.steps.iter().chain([&Step { field: path.field.clone(), pick: path.pick }])
        {
            if let Pick::Numbered(_) = step.pick {
                let text = path
                    .text
                    .split_inclusive('[')
                    .take(numbered(&steps).saturating_add(1))
                    .collect::<String>();
                let text = text.trim_end_matches('[').into();
                let list = Path {
                    start: path.start,
                    steps: steps.clone().into(),
                    field: step.field.clone(),
                    pick: Pick::Whole,
                    itself: false,
                    text,
                };
                let list = self.source.shared.path(list);
                let known = if path.start == Start::Item {
                    &mut self.of_item
                } else {
                    &mut self.of_message
                };
                if !known.contains(&list) {
                    known.push(list);
                }
            }
            steps.push(step.clone());
        }
    }
}

fn numbered(steps: &[Step]) -> usize {
    steps.iter().filter(|step| step.pick != Pick::Whole).count()
}
