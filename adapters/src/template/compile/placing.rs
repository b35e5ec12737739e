//! Putting shared parts in their places. The words and the positions are in `template::part`.

use std::{mem, ops::Range};

use super::{Compiler, Content, is_word};
use crate::{
    path::{Pick, Scope},
    template::{
        Form,
        part::{Parts, Use},
    },
    tree::{Kind, Node, NodeId},
};

/// The numbered item that a part is used for.
pub(super) struct Numbering {
    /// What paths with a leading dot begin with: `matter.mortgagors[0]`.
    pub(super) item: String,
    /// Whether the list may have fewer items.
    pub(super) optional: bool,
}

impl Compiler<'_> {
    /// Puts a shared part where its words stand.
    pub(super) fn part(&mut self, words: &Node<'_>, into: &mut Content, scope: &Scope) {
        let span = self.value_span(words);
        let used = match Use::parse(&words.text) {
            Ok(used) => used,
            Err(told) => return self.complain(span, told),
        };
        let Some(parts) = self.source.parts else {
            return self.complain(span, "contract.toml names no file of `parts`");
        };
        let Some(id) = parts.find(used.name) else {
            let known: Vec<&str> = parts.names().map(|(name, _)| name).collect();
            let told =
                format!("{} has no part `{}`, but {}", parts.file, used.name, known.join(", "));
            return self.complain(span, told);
        };
        if self.placing.iter().any(|outer| outer == used.name) {
            return self.complain(span, format!("the part `{}` would hold itself", used.name));
        }
        let Some(numbered) = &used.numbered else {
            return self.place(parts, used.name, id, span, into, scope);
        };
        let Some(list) = self.path(numbered.list, words, scope) else { return };
        if !list.field.is_list() || list.pick != Pick::Whole {
            return self.complain(span, format!("`{}` is no list", list.text));
        }
        let required = proto::rules::rule_of(&list.field).required;
        for number in 0..numbered.items {
            let (from, optional) = (into.children.len(), number > 0 || !required);
            let item = Numbering { item: format!("{}[{number}]", list.text), optional };
            let around = self.numbering.replace(item);
            self.place(parts, used.name, id, span.clone(), into, scope);
            self.numbering = around;
            for child in into.children.iter_mut().skip(from) {
                let name = numbered.name(number, &child.name.written);
                child.name = self.source.shared.name(&name, child.name.namespace.as_deref());
                if optional && child.stands_always() {
                    self.complaints.push(self.origins.complaint(
                        child.span.range(),
                        "a literal stands even where the list has no such item: bind it, or leave \
                         it out of the part",
                    ));
                }
            }
        }
    }

    fn place(
        &mut self,
        parts: &Parts<'_>,
        name: &str,
        id: NodeId,
        used: Range<usize>,
        into: &mut Content,
        scope: &Scope,
    ) {
        let Some(node) = parts.tree.node(id) else { return };
        let is_of = match into.form {
            Form::Element => node.kind == Kind::Element,
            _ => node.kind == Kind::Object,
        };
        if !is_of {
            let told = format!("the part `{name}` is of another sort than what it is to stand in");
            return self.complain(used, told);
        }
        let from = self.origins.add(parts, name, used, self.source.shared);
        let around = (mem::replace(&mut self.origin, from), self.base.take());
        self.placing.push(name.to_owned());
        let stray = |(_, word): &(NodeId, &Node<'_>)| is_word(word) && word.name != "c:part";
        if let Some((_, word)) = parts.tree.children(id).find(stray) {
            let told =
                format!("`{}` stands at the place of use, not at the part itself", word.name);
            self.complain(self.span_of(word), told);
        }
        self.children(into, &parts.tree, id, scope);
        if node.kind == Kind::Element && !node.text.trim().is_empty() {
            into.leaf = self.leaf(node, false, scope);
        }
        self.placing.pop();
        (self.origin, self.base) = around;
    }
}
