//! From a sample document to slots: directives, scopes, what is mandatory, who are rivals.

use std::{collections::BTreeMap, mem, ops::Range, sync::Arc};

use prost_reflect::{FieldDescriptor, Kind as FieldKind, Value};

use super::{
    Each, Embed, Form, Leaf, Maybe, Name, Slot, Template, ToldBy, Unset, When,
    hole::{Words, parse_leaf},
    rivals::{self, Rivals},
};
use crate::{
    codec::CodeTable,
    contract::Complaint,
    path::{Homes, Path, Pick, Scope, Start},
    tree::{Kind, Node, NodeId, Tree, xml::XMLNS},
    unify::document,
    wire::Media,
};

/// One file to compile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'c> {
    /// Its name in the contract's folder.
    pub(crate) file: &'c str,
    /// What stands in it.
    pub(crate) text: &'c str,
    /// What sort of document it is.
    pub(crate) media: Media,
    /// What the message is about.
    pub(crate) subject: Option<&'c str>,
    /// The contract's code tables.
    pub(crate) tables: &'c BTreeMap<String, Arc<CodeTable>>,
}

/// Compiles one template.
///
/// # Errors
/// All complaints about it.
pub(crate) fn compile(source: Source<'_>) -> Result<Template, Vec<Complaint>> {
    let complaint = |span, message| Complaint { file: source.file.to_owned(), span, message };
    let homes = Homes::new(source.subject).map_err(|told| vec![complaint(0..0, told)])?;
    let tree = document::parse_template(source.media, source.text).map_err(|fault| {
        let told = format!("the sample is no document ({}): reading stopped here", fault.code);
        vec![complaint(fault.at..fault.at, told)]
    })?;
    let mut compiler = Compiler {
        source,
        homes: &homes,
        base: None,
        complaints: Vec::new(),
        of_message: Vec::new(),
        of_item: Vec::new(),
    };
    let mut root = compiler.slot(&tree, tree.root(), &Scope::Root);
    root.numbered = compiler.of_message;
    let complaints = compiler.complaints;
    let told_by = told_by(&root);
    if complaints.is_empty() {
        Ok(Template { file: source.file.to_owned(), homes, root, told_by })
    } else {
        Err(complaints)
    }
}

struct Compiler<'c> {
    source: Source<'c>,
    homes: &'c Homes,
    /// Where the document at hand stands, if it is written inside a text of the file.
    base: Option<usize>,
    complaints: Vec<Complaint>,
    /// Lists numbered from a home, and from the item at hand.
    of_message: Vec<Path>,
    of_item: Vec<Path>,
}

/// The words of the language that stand at one node, each with its text.
#[derive(Default)]
struct Directives<'t> {
    each: Option<&'t Node<'t>>,
    maybe: Option<&'t Node<'t>>,
    when: Option<&'t Node<'t>>,
    ignored: Option<&'t Node<'t>>,
    embed: Option<&'t Node<'t>>,
    bare: Option<&'t Node<'t>>,
    item: Option<NodeId>,
}

impl Compiler<'_> {
    fn complain(&mut self, span: Range<usize>, message: impl Into<String>) {
        let span = self.base.map_or(span, |base| base..base);
        self.complaints.push(Complaint {
            file: self.source.file.to_owned(),
            span,
            message: message.into(),
        });
    }

    fn words<'w>(&'w self, scope: &'w Scope) -> Words<'w> {
        Words { homes: self.homes, scope, tables: self.source.tables }
    }

    fn slot(&mut self, tree: &Tree<'_>, id: NodeId, outer: &Scope) -> Slot {
        let Some(node) = tree.node(id) else { return empty_slot() };
        let directives = self.directives(tree, id);
        let (mut scope, mut opens) = (outer.clone(), false);
        let mut slot =
            Slot { name: name_of(node), form: form_of(node), span: span_of(node), ..empty_slot() };
        if let Some(words) = directives.each {
            slot.each = self.each(words, outer);
            if let Some(each) = &slot.each {
                (scope, opens) = (each.scope.clone(), true);
            }
        }
        if let Some(words) = directives.maybe {
            slot.maybe = self.maybe(words, &scope);
            if let Some(inner) = slot.maybe.as_ref().and_then(|maybe| maybe.scope.clone()) {
                (scope, opens) = (inner, true);
            }
        }
        let around = opens.then(|| mem::take(&mut self.of_item));
        if let Some(words) = directives.when {
            slot.when = self.when(words, &scope);
        }
        slot.ignored = directives.ignored.is_some();
        if !slot.ignored {
            self.fill(&mut slot, tree, id, &directives, &scope);
        }
        if let Some(around) = around {
            slot.numbered = mem::replace(&mut self.of_item, around);
        }
        self.weigh(&mut slot);
        slot
    }

    /// What stands inside: text, children, a document.
    fn fill(
        &mut self,
        slot: &mut Slot,
        tree: &Tree<'_>,
        id: NodeId,
        directives: &Directives<'_>,
        scope: &Scope,
    ) {
        let content = directives.item.unwrap_or(id);
        let Some(node) = tree.node(content) else { return };
        if let Some(embed) = directives.embed {
            slot.form = if slot.form == Form::Object { Form::Scalar } else { slot.form };
            slot.embed = self.embed(embed, tree, id, directives.item, scope);
            if node.kind == Kind::Element {
                let attributes = tree.attributes(id).filter(|(_, node)| !is_word(node));
                slot.children =
                    attributes.map(|(child, _)| self.slot(tree, child, scope)).collect();
                slot.rivals = self.group(&mut slot.children, slot.form);
            }
            return;
        }
        if let Some(bare) = directives.bare {
            slot.form = Form::Scalar;
            slot.leaf = self.leaf(tree, bare, true, scope);
            return;
        }
        slot.form = form_of(node);
        match node.kind {
            Kind::Element => self.element(slot, tree, content, scope),
            Kind::Object | Kind::Array => self.inside(slot, tree, content, scope),
            Kind::Attribute | Kind::String => slot.leaf = self.leaf(tree, node, false, scope),
            Kind::Number | Kind::Bool => slot.leaf = self.leaf(tree, node, true, scope),
            Kind::Null => self
                .complain(span_of(node), "`null` says nothing of a value: write a hole with `?`"),
        }
    }

    fn element(&mut self, slot: &mut Slot, tree: &Tree<'_>, id: NodeId, scope: &Scope) {
        let Some(node) = tree.node(id) else { return };
        for (_, attribute) in tree.children(id) {
            if attribute.namespace.as_deref() == Some(XMLNS) && attribute.name != "xmlns:c" {
                slot.declares.push((attribute.name.to_string(), attribute.text.to_string()));
            }
        }
        self.inside(slot, tree, id, scope);
        if node.text.trim().is_empty() {
            return;
        }
        if tree.elements(id).next().is_some() {
            self.complain(
                span_of(node),
                "text beside elements: a sample has one or the other in an element",
            );
        }
        slot.leaf = self.leaf(tree, node, false, scope);
    }

    fn inside(&mut self, slot: &mut Slot, tree: &Tree<'_>, id: NodeId, scope: &Scope) {
        let declaration = |node: &Node<'_>| node.namespace.as_deref() == Some(XMLNS);
        let children = tree.children(id).filter(|(_, node)| !is_word(node) && !declaration(node));
        slot.children = children.map(|(child, _)| self.slot(tree, child, scope)).collect();
        let is_plain = |child: &Slot| {
            child.form == Form::Scalar && child.each.is_none() && child.maybe.is_none()
        };
        if slot.form == Form::Array && slot.children.iter().all(is_plain) {
            slot.form = Form::Row;
        }
        slot.rivals = self.group(&mut slot.children, slot.form);
    }

    fn leaf(
        &mut self,
        _tree: &Tree<'_>,
        node: &Node<'_>,
        bare: bool,
        scope: &Scope,
    ) -> Option<Leaf> {
        let quote = usize::from(matches!(node.kind, Kind::String));
        let at = node.value_at.saturating_add(quote);
        let text = if node.kind == Kind::Element { node.text.trim() } else { &node.text };
        match parse_leaf(text, bare, at, self.words(scope)) {
            Ok(leaf) => {
                for hole in leaf.holes() {
                    self.number(&hole.path);
                }
                Some(leaf)
            }
            Err((span, told)) => {
                self.complain(span, told);
                None
            }
        }
    }

    fn embed(
        &mut self,
        words: &Node<'_>,
        tree: &Tree<'_>,
        id: NodeId,
        item: Option<NodeId>,
        scope: &Scope,
    ) -> Option<Embed> {
        let (mut media, mut cdata, mut declared) = (None, false, false);
        for word in words.text.split_whitespace() {
            match word {
                "xml" => media = Some(Media::Xml),
                "json" => media = Some(Media::Json),
                "cdata" => cdata = true,
                "declared" => declared = true,
                _ => self.complain(
                    value_span(words),
                    format!("`{word}`: `c:embed` is `xml` or `json`, then `cdata`, `declared`"),
                ),
            }
        }
        let Some(media) = media else {
            self.complain(
                value_span(words),
                "`c:embed` says what the document is: `xml` or `json`",
            );
            return None;
        };
        let inner = item.or_else(|| tree.elements(id).next().map(|(child, _)| child));
        let holder = inner.and_then(|inner| tree.node(inner)).or_else(|| tree.node(id))?;
        let root = match (media, holder.kind) {
            (Media::Xml, Kind::Element) | (Media::Json, Kind::Object | Kind::Array) => {
                inner.map(|inner| self.slot(tree, inner, scope))
            }
            _ => self.embedded_text(media, tree, item.unwrap_or(id), scope),
        };
        let mut root = root?;
        if media == Media::Json {
            // What stands under `c:item` is a document of its own, and bears no name.
            root.name = Name::default();
        }
        Some(Embed { media, cdata, declared, root: Box::new(root) })
    }

    /// A template that is itself written as a text, as XML in JSON must be.
    fn embedded_text(
        &mut self,
        media: Media,
        tree: &Tree<'_>,
        id: NodeId,
        scope: &Scope,
    ) -> Option<Slot> {
        let text = tree.node(id)?.text.trim();
        let base = tree.source_offset(id, 0);
        match document::parse_template(media, text) {
            Ok(inner) => {
                let around = self.base.replace(self.base.unwrap_or(base));
                let slot = self.slot(&inner, inner.root(), scope);
                self.base = around;
                Some(slot)
            }
            Err(fault) => {
                self.complain(
                    base..base,
                    format!("the embedded sample is no document ({})", fault.code),
                );
                None
            }
        }
    }

    fn directives<'t>(&mut self, tree: &'t Tree<'t>, id: NodeId) -> Directives<'t> {
        let mut found = Directives::default();
        for (child, node) in tree.children(id).filter(|(_, node)| is_word(node)) {
            let place = match node.name.as_ref() {
                "c:each" => &mut found.each,
                "c:maybe" => &mut found.maybe,
                "c:when" => &mut found.when,
                "c:ignored" => &mut found.ignored,
                "c:embed" => &mut found.embed,
                "c:bare" => &mut found.bare,
                "c:item" => {
                    found.item = Some(child);
                    continue;
                }
                other => {
                    let told = format!(
                        "`{other}` is no word of the language: c:each, c:maybe, c:when, \
                         c:ignored, c:embed, c:item, c:bare"
                    );
                    self.complain(span_of(node), told);
                    continue;
                }
            };
            *place = Some(node);
        }
        found
    }

    fn each(&mut self, words: &Node<'_>, scope: &Scope) -> Option<Each> {
        let (path, by) = match words.text.split_once(" by ") {
            Some((path, by)) => (path.trim(), Some(by.trim())),
            None => (words.text.trim(), None),
        };
        let list = self.path(path, words, scope)?;
        if !list.field.is_list() || list.pick != Pick::Whole {
            self.complain(
                value_span(words),
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
                        value_span(words),
                        format!("`by {name}`: it is to name the items' list of parents' numbers"),
                    );
                    None
                }
            },
            (Some(_), _) => {
                self.complain(value_span(words), "`by` groups messages, not scalars");
                None
            }
        };
        Some(Each { list, scope: inner, by })
    }

    fn maybe(&mut self, words: &Node<'_>, scope: &Scope) -> Option<Maybe> {
        let path = self.path(words.text.trim(), words, scope)?;
        let scope = match path.field.kind() {
            _ if path.field.is_list() && path.pick == Pick::Whole => None,
            FieldKind::Message(message) => Some(Scope::Message(message)),
            _ => {
                self.complain(
                    value_span(words),
                    format!("`{}` is a single value: write its hole with `?`", path.text),
                );
                return None;
            }
        };
        Some(Maybe { path, scope })
    }

    fn when(&mut self, words: &Node<'_>, scope: &Scope) -> Vec<When> {
        let mut conditions = Vec::new();
        for word in words.text.split_whitespace() {
            let Some((path, text)) = word.split_once('=') else {
                self.complain(value_span(words), format!("`{word}`: a condition is `path=VALUE`"));
                continue;
            };
            let Some(path) = self.path(path, words, scope) else { continue };
            match value_of(&path.field, text) {
                Some(value) => conditions.push(When { path, value }),
                None => self.complain(
                    value_span(words),
                    format!("`{text}` is no value of `{}`", path.text),
                ),
            }
        }
        conditions
    }

    fn path(&mut self, text: &str, words: &Node<'_>, scope: &Scope) -> Option<Path> {
        match self.homes.resolve(text, scope) {
            Ok(path) => {
                self.number(&path);
                Some(path)
            }
            Err(told) => {
                self.complain(value_span(words), told);
                None
            }
        }
    }

    /// Remembers the lists that a path numbers the items of.
    fn number(&mut self, path: &Path) {
        let mut steps = Vec::new();
        for step in path
            .steps
            .iter()
            .chain([&crate::path::Step { field: path.field.clone(), pick: path.pick }])
        {
            if let Pick::Numbered(_) = step.pick {
                let text = path
                    .text
                    .split_inclusive('[')
                    .take(numbered(&steps).saturating_add(1))
                    .collect::<String>();
                let text = text.trim_end_matches('[').to_owned();
                let list = Path {
                    start: path.start,
                    steps: steps.clone(),
                    field: step.field.clone(),
                    pick: Pick::Whole,
                    itself: false,
                    text,
                };
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

    /// Groups the children by name and works out which literals tell the members of a group apart.
    fn group(&mut self, children: &mut [Slot], form: Form) -> Vec<Rivals> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (number, child) in children.iter().enumerate() {
            let same = |group: &&mut Vec<usize>| {
                let first = group.first().and_then(|first| children.get(*first));
                form != Form::Row
                    && first.is_some_and(|first| {
                        first.name == child.name
                            && (first.form == Form::Attribute) == (child.form == Form::Attribute)
                    })
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(number),
                None => groups.push(vec![number]),
            }
        }
        groups.into_iter().map(|slots| self.tell_apart(children, slots)).collect()
    }

    fn tell_apart(&mut self, children: &mut [Slot], slots: Vec<usize>) -> Rivals {
        if slots.len() < 2 {
            return Rivals { slots, shared: None };
        }
        let members: Vec<&Slot> = slots.iter().filter_map(|number| children.get(*number)).collect();
        let (marks, alike) = rivals::tell_apart(&members);
        for (one, other) in alike {
            if let (Some(one), Some(other)) = (members.get(one), members.get(other))
                && one.span.start < other.span.start
                && !told_by_condition(one, other)
                && !is_rest(one)
                && !is_rest(other)
            {
                let told = format!(
                    "an input could be meant for this `{}` or for the one before: let a literal differ, or a `c:when`",
                    other.name.written
                );
                self.complain(other.span.clone(), told);
            }
        }
        let shared = rivals::shared(&marks);
        for (number, marks) in slots.iter().zip(marks) {
            if let Some(slot) = children.get_mut(*number) {
                slot.marks = marks;
            }
        }
        Rivals { slots, shared }
    }

    /// Whether the slot is mandatory, and whether it is left out while nothing in it is set.
    fn weigh(&mut self, slot: &mut Slot) {
        let mut holds = Holds::default();
        holds.look(slot);
        slot.left_out = holds.optional && !holds.refused;
        let may_be_unset = (holds.optional || holds.lenient) && !holds.refused;
        let may_lack =
            slot.maybe.is_some() || !slot.when.is_empty() || slot.ignored || may_be_unset;
        slot.required = match &slot.each {
            Some(each) => {
                let required = proto::rules::rule_of(&each.list.field).required;
                required && slot.when.is_empty() && each.by.is_none()
            }
            None => !may_lack,
        };
    }
}

/// What sort of holes stand in a slot, items of lists left aside.
#[derive(Default)]
struct Holds {
    /// `{path?}`.
    optional: bool,
    /// `{path?=TEXT}`.
    lenient: bool,
    /// `{path}`.
    refused: bool,
}

impl Holds {
    fn look(&mut self, slot: &Slot) {
        for hole in slot.leaf.iter().flat_map(Leaf::holes) {
            match hole.unset {
                Unset::Refused => self.refused = true,
                Unset::Absent => self.optional = true,
                Unset::Text(_) => self.lenient = true,
            }
        }
        let inside = slot.children.iter().chain(slot.embed.iter().map(|embed| &*embed.root));
        for child in inside.filter(|child| child.each.is_none() && child.maybe.is_none()) {
            self.look(child);
        }
    }
}

fn numbered(steps: &[crate::path::Step]) -> usize {
    steps.iter().filter(|step| step.pick != Pick::Whole).count()
}

/// Two arms of a choice: the same field decides, and its values differ.
fn told_by_condition(one: &Slot, other: &Slot) -> bool {
    one.when.iter().any(|mine| {
        other.when.iter().any(|theirs| theirs.path == mine.path && theirs.value != mine.value)
    })
}

/// A slot without literals that takes what none of its rivals takes, and drops it.
fn is_rest(slot: &Slot) -> bool {
    slot.ignored && slot.children.is_empty()
}

fn told_by(root: &Slot) -> Vec<ToldBy> {
    let mut found = Vec::new();
    root.visit(&mut |slot| {
        for mark in &slot.marks {
            if let [rivals::Step { to: rivals::To::Attribute(name), .. }] = mark.way.as_slice() {
                let pair = ToldBy {
                    element: slot.name.local().to_owned(),
                    attribute: name.written.clone(),
                    text: mark.text.clone(),
                };
                if !found.contains(&pair) {
                    found.push(pair);
                }
            }
        }
    });
    found
}

/// The value that a word of `c:when` names: an enum's by its name without prefix.
pub(crate) fn value_of(field: &FieldDescriptor, text: &str) -> Option<Value> {
    match field.kind() {
        FieldKind::Enum(kind) => {
            let zero = kind.get_value(0)?;
            let prefix = zero.name().strip_suffix("UNSPECIFIED")?.to_owned();
            let value = kind.get_value_by_name(&format!("{prefix}{text}"))?;
            (value.number() != 0).then(|| Value::EnumNumber(value.number()))
        }
        FieldKind::Bool => text.parse().ok().map(Value::Bool),
        FieldKind::String => Some(Value::String(text.to_owned())),
        FieldKind::Int32 => text.parse().ok().map(Value::I32),
        FieldKind::Int64 => text.parse().ok().map(Value::I64),
        _ => None,
    }
}

fn is_word(node: &Node<'_>) -> bool {
    node.name.starts_with("c:")
}

fn name_of(node: &Node<'_>) -> Name {
    Name {
        written: node.name.to_string(),
        namespace: node.namespace.as_ref().map(ToString::to_string),
    }
}

fn form_of(node: &Node<'_>) -> Form {
    match node.kind {
        Kind::Element => Form::Element,
        Kind::Attribute => Form::Attribute,
        Kind::Object => Form::Object,
        Kind::Array => Form::Array,
        Kind::String | Kind::Number | Kind::Bool | Kind::Null => Form::Scalar,
    }
}

fn span_of(node: &Node<'_>) -> Range<usize> {
    node.at..node.at.saturating_add(node.name.len()).saturating_add(1)
}

fn value_span(node: &Node<'_>) -> Range<usize> {
    node.value_at..node.value_at.saturating_add(node.text.len())
}

pub(super) fn empty_slot() -> Slot {
    Slot {
        name: Name::default(),
        form: Form::Element,
        span: 0..0,
        each: None,
        maybe: None,
        when: Vec::new(),
        ignored: false,
        leaf: None,
        embed: None,
        children: Vec::new(),
        rivals: Vec::new(),
        declares: Vec::new(),
        required: false,
        left_out: false,
        numbered: Vec::new(),
        marks: Vec::new(),
    }
}
