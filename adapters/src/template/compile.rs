//! From a sample document to slots: scopes, what is mandatory, who are rivals. The words at a node
//! are read in `word`, shared parts put in place in `placing`.

mod placing;
mod word;

use std::{collections::BTreeMap, mem, ops::Range, sync::Arc};

use prost_reflect::{FieldDescriptor, Kind as FieldKind, Value};

use self::{placing::Numbering, word::Directives};
use super::{
    Embed, Form, Leaf, Name, Shared, Slot, Span, Template, ToldBy, Unset,
    hole::{Words, parse_leaf},
    part::{Origins, Parts},
    rivals::{self, Rivals},
};
use crate::{
    codec::CodeTable,
    contract::Complaint,
    path::{Homes, Path, Scope},
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
    /// Whether values must be of the kind shown.
    pub(crate) exact: bool,
    /// What the message is about.
    pub(crate) subject: Option<&'c str>,
    /// The contract's code tables.
    pub(crate) tables: &'c BTreeMap<String, Arc<CodeTable>>,
    /// The contract's shared parts, if it has any.
    pub(crate) parts: Option<&'c Parts<'c>>,
    /// The field of the root that holds a signature, which no sample needs to show.
    pub(crate) seal: Option<&'c str>,
    /// What the contract's templates have in common.
    pub(crate) shared: &'c Shared,
}

/// Compiles one template.
///
/// # Errors
/// All complaints about it.
pub(crate) fn compile(source: Source<'_>) -> Result<Template, Vec<Complaint>> {
    let origins = Origins::new(source.file, source.text);
    let homes = source.shared.homes(source.subject);
    let homes = homes.map_err(|told| vec![origins.complaint(0..0, told)])?;
    let tree = document::parse_template(source.media, source.text).map_err(|fault| {
        let told = format!("the sample is no document ({}): reading stopped here", fault.code);
        vec![origins.complaint(fault.at..fault.at, told)]
    })?;
    let mut compiler = Compiler {
        source,
        homes: &homes,
        origins,
        origin: 0,
        base: None,
        placing: Vec::new(),
        numbering: None,
        around: Vec::new(),
        complaints: Vec::new(),
        of_message: Vec::new(),
        of_item: Vec::new(),
    };
    let mut root = compiler.slot(&tree, tree.root(), &Scope::Root);
    root.put(|seldom| seldom.numbered = compiler.of_message.into());
    if let Some(seal) = source.seal.filter(|seal| !shows(&root, seal)) {
        let name = source.shared.name(seal, None);
        let sealed = Slot { name, form: sealed_form(&root), ignored: true, ..empty_slot() };
        push(&mut root.rivals, Rivals::One(root.children.len()));
        push(&mut root.children, sealed);
    }
    let (complaints, mut origins) = (compiler.complaints, compiler.origins);
    origins.settle();
    let told_by = told_by(&root);
    if complaints.is_empty() {
        Ok(Template { origins, homes, root, told_by, exact: source.exact })
    } else {
        Err(complaints)
    }
}

fn push<T>(slice: &mut Box<[T]>, item: T) {
    let mut items = mem::take(slice).into_vec();
    items.push(item);
    *slice = items.into();
}

fn shows(root: &Slot, name: &str) -> bool {
    root.children.iter().any(|child| *child.name.written == *name && child.form != Form::Attribute)
}

fn sealed_form(root: &Slot) -> Form {
    if root.form == Form::Element { Form::Element } else { Form::Scalar }
}

struct Compiler<'c> {
    source: Source<'c>,
    homes: &'c Homes,
    origins: Origins,
    /// The position where the file at hand begins: the template itself, or a use of a part.
    origin: usize,
    /// Where the document at hand stands, if it is written inside a text of the file.
    base: Option<usize>,
    /// The parts at hand, outermost first.
    placing: Vec<String>,
    numbering: Option<Numbering>,
    /// The messages and lists that the `c:maybe` and `c:each` around are about, outermost first.
    around: Vec<Arc<Path>>,
    complaints: Vec<Complaint>,
    /// Lists numbered from a home, and from the item at hand.
    of_message: Vec<Arc<Path>>,
    of_item: Vec<Arc<Path>>,
}

/// What stands in a node of the sample, while it is gathered.
struct Content {
    form: Form,
    leaf: Option<Leaf>,
    children: Vec<Slot>,
}

impl Compiler<'_> {
    fn complain(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.complaints.push(self.origins.complaint(span, message));
    }

    /// The position of bytes of the document at hand.
    fn position(&self, span: Range<usize>) -> Range<usize> {
        let at = |byte: usize| self.origin.saturating_add(byte);
        self.base.map_or(at(span.start)..at(span.end), |base| base..base)
    }

    fn name_of(&self, node: &Node<'_>) -> Name {
        self.source.shared.name(&node.name, node.namespace.as_deref())
    }

    fn span_of(&self, node: &Node<'_>) -> Range<usize> {
        let end = node.at.saturating_add(node.name.len()).saturating_add(1);
        self.position(node.at..end)
    }

    fn value_span(&self, node: &Node<'_>) -> Range<usize> {
        self.position(node.value_at..node.value_at.saturating_add(node.text.len()))
    }

    fn words<'w>(&'w self, scope: &'w Scope) -> Words<'w> {
        let item = self.numbering.as_ref().map(|numbering| numbering.item.as_str());
        let (tables, shared) = (self.source.tables, self.source.shared);
        Words { homes: self.homes, scope, item, tables, shared }
    }

    fn slot(&mut self, tree: &Tree<'_>, id: NodeId, outer: &Scope) -> Slot {
        let Some(node) = tree.node(id) else { return empty_slot() };
        let directives = self.directives(tree, id);
        let (mut scope, mut opens, outside) = (outer.clone(), false, self.around.len());
        let mut slot = Slot {
            name: self.name_of(node),
            form: form_of(node),
            span: self.span_of(node).into(),
            ..empty_slot()
        };
        if let Some(words) = directives.each {
            let each = self.each(words, outer);
            if let Some(each) = &each {
                (scope, opens) = (each.scope.clone(), true);
                self.around.push(Arc::clone(&each.list));
            }
            slot.put(|seldom| seldom.each = each.map(Box::new));
        }
        if let Some(words) = directives.maybe {
            let maybe = self.maybe(words, &scope);
            if let Some((inner, path)) =
                maybe.as_ref().and_then(|maybe| Some((maybe.scope.clone()?, &maybe.path)))
            {
                (scope, opens) = (inner, true);
                self.around.push(Arc::clone(path));
            }
            slot.put(|seldom| seldom.maybe = maybe.map(Box::new));
        }
        let around = opens.then(|| (mem::take(&mut self.of_item), self.numbering.take()));
        if let Some(words) = directives.when {
            let when = self.when(words, &scope).into();
            slot.put(|seldom| seldom.when = when);
        }
        slot.ignored = directives.ignored.is_some();
        if !slot.ignored {
            self.fill(&mut slot, tree, id, &directives, &scope);
        }
        if let Some((of_item, numbering)) = around {
            let numbered = mem::replace(&mut self.of_item, of_item).into();
            slot.put(|seldom| seldom.numbered = numbered);
            self.numbering = numbering;
        }
        self.around.truncate(outside);
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
        if let Some(part) = directives.part
            && (directives.item.is_some()
                || directives.embed.is_some()
                || directives.bare.is_some())
        {
            let told = "`c:part` stands where its elements or members are to stand, not beside \
                        `c:item`, `c:embed` or `c:bare`";
            self.complain(self.span_of(part), told);
        }
        if let Some(embed) = directives.embed {
            slot.form = if slot.form == Form::Object { Form::Scalar } else { slot.form };
            let embed = self.embed(embed, tree, id, directives.item, scope);
            slot.put(|seldom| seldom.embed = embed.map(Box::new));
            if node.kind == Kind::Element {
                let attributes = tree.attributes(id).filter(|(_, node)| !is_word(node));
                slot.children =
                    attributes.map(|(child, _)| self.slot(tree, child, scope)).collect();
                slot.rivals = self.group(&mut slot.children, slot.form).into();
            }
            return;
        }
        if let Some(bare) = directives.bare {
            slot.form = Form::Scalar;
            slot.leaf = self.leaf(bare, true, scope);
            return;
        }
        slot.form = form_of(node);
        match node.kind {
            Kind::Element => self.element(slot, tree, content, scope),
            Kind::Object | Kind::Array => self.inside(slot, tree, content, scope),
            Kind::Attribute | Kind::String => slot.leaf = self.leaf(node, false, scope),
            Kind::Number | Kind::Bool => slot.leaf = self.leaf(node, true, scope),
            Kind::Null => self.complain(
                self.span_of(node),
                "`null` says nothing of a value: write a hole with `?`",
            ),
        }
    }

    fn element(&mut self, slot: &mut Slot, tree: &Tree<'_>, id: NodeId, scope: &Scope) {
        let Some(node) = tree.node(id) else { return };
        let declares = tree.children(id).filter(|(_, attribute)| {
            attribute.namespace.as_deref() == Some(XMLNS) && attribute.name != "xmlns:c"
        });
        let text = |text: &str| self.source.shared.text(text);
        let declares = declares.map(|(_, it)| (text(&it.name), text(&it.text))).collect();
        slot.put(|seldom| seldom.declares = declares);
        self.inside(slot, tree, id, scope);
        if !node.text.trim().is_empty() {
            slot.leaf = self.leaf(node, false, scope);
        }
        if slot.leaf.is_some() && slot.children.iter().any(|child| child.form == Form::Element) {
            self.complain(
                self.span_of(node),
                "text beside elements: a sample has one or the other in an element",
            );
        }
    }

    fn inside(&mut self, slot: &mut Slot, tree: &Tree<'_>, id: NodeId, scope: &Scope) {
        let leaf = slot.leaf.take();
        let mut content = Content { form: slot.form, leaf, children: Vec::new() };
        self.children(&mut content, tree, id, scope);
        slot.leaf = content.leaf;
        slot.children = content.children.into();
        let is_plain = |child: &Slot| {
            child.form == Form::Scalar && child.each().is_none() && child.maybe().is_none()
        };
        if slot.form == Form::Array && slot.children.iter().all(is_plain) {
            slot.form = Form::Row;
        }
        slot.rivals = self.group(&mut slot.children, slot.form).into();
    }

    /// What a document shows inside a node, shared parts in their places.
    fn children(&mut self, into: &mut Content, tree: &Tree<'_>, id: NodeId, scope: &Scope) {
        let mut last = None;
        for (child, node) in tree.children(id) {
            match (is_word(node), node.name.as_ref(), node.kind) {
                // An attribute has no place among the elements: what it means follows them.
                (true, "c:part", Kind::Attribute) => last = Some(node),
                (true, "c:part", Kind::Array) => {
                    for (_, item) in tree.children(child) {
                        self.part(item, into, scope);
                    }
                }
                (true, "c:part", _) => self.part(node, into, scope),
                (true, ..) => {}
                _ if node.namespace.as_deref() == Some(XMLNS) => {}
                _ => {
                    let inside = self.slot(tree, child, scope);
                    into.children.push(inside);
                }
            }
        }
        if let Some(words) = last {
            self.part(words, into, scope);
        }
    }

    fn leaf(&mut self, node: &Node<'_>, bare: bool, scope: &Scope) -> Option<Leaf> {
        let quote = usize::from(matches!(node.kind, Kind::String));
        let at = node.value_at.saturating_add(quote);
        let text = if node.kind == Kind::Element { node.text.trim() } else { &node.text };
        match parse_leaf(text, bare, at, self.words(scope)) {
            Ok(mut leaf) => {
                let may_lack = self.numbering.as_ref().is_some_and(|numbering| numbering.optional);
                for hole in leaf.holes_mut() {
                    hole.span = self.position(hole.span.range()).into();
                    if may_lack && hole.unset == Unset::Refused {
                        hole.unset = Unset::Absent;
                    }
                    self.number(&hole.path);
                    self.not_from_outside(&hole.path, hole.span.range());
                }
                Some(leaf)
            }
            Err((span, told)) => {
                self.complain(self.position(span), told);
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
                    self.value_span(words),
                    format!("`{word}`: `c:embed` is `xml` or `json`, then `cdata`, `declared`"),
                ),
            }
        }
        let Some(media) = media else {
            self.complain(
                self.value_span(words),
                "`c:embed` says what the document is: `xml` or `json`",
            );
            return None;
        };
        let mut elements = tree.elements(id).filter(|(_, node)| !is_word(node));
        let inner = item.or_else(|| elements.next().map(|(child, _)| child));
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
        Some(Embed { media, cdata, declared, root })
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
        let base = self.origin.saturating_add(tree.source_offset(id, 0));
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
            return slots.first().map_or(Rivals::One(0), |only| Rivals::One(*only));
        }
        let members: Vec<&Slot> = slots.iter().filter_map(|number| children.get(*number)).collect();
        let (marks, alike) = rivals::tell_apart(&members);
        for (one, other) in alike {
            if let (Some(one), Some(other)) = (members.get(one), members.get(other))
                && one.span.range().start < other.span.range().start
                && !told_by_condition(one, other)
                && !is_rest(one)
                && !is_rest(other)
            {
                let told = format!(
                    "an input could be meant for this `{}` or for the one before: let a literal differ, or a `c:when`",
                    other.name.written
                );
                self.complain(other.span.range(), told);
            }
        }
        let shared = rivals::shared(&marks);
        for (number, marks) in slots.iter().zip(marks) {
            if let Some(slot) = children.get_mut(*number) {
                slot.put(|seldom| seldom.marks = marks.into());
            }
        }
        Rivals::Several(Box::new((slots, shared)))
    }

    /// Whether the slot is mandatory, and whether it is left out while nothing in it is set.
    fn weigh(&mut self, slot: &mut Slot) {
        let mut holds = Holds::default();
        holds.look(slot);
        slot.left_out = holds.optional && !holds.refused;
        let may_be_unset = (holds.optional || holds.lenient) && !holds.refused;
        let may_lack =
            slot.maybe().is_some() || !slot.when().is_empty() || slot.ignored || may_be_unset;
        slot.required = match slot.each() {
            Some(each) => {
                let required = proto::rules::rule_of(&each.list.field).required;
                required && slot.when().is_empty() && each.by.is_none()
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
        let inside = slot.inside();
        for child in inside.filter(|child| child.each().is_none() && child.maybe().is_none()) {
            self.look(child);
        }
    }
}

/// Two arms of a choice: the same field decides, and its values differ.
fn told_by_condition(one: &Slot, other: &Slot) -> bool {
    one.when().iter().any(|mine| {
        other.when().iter().any(|theirs| theirs.path == mine.path && theirs.value != mine.value)
    })
}

/// A slot without literals that takes what none of its rivals takes, and drops it.
fn is_rest(slot: &Slot) -> bool {
    slot.ignored && slot.children.is_empty()
}

fn told_by(root: &Slot) -> Box<[ToldBy]> {
    let mut found = Vec::new();
    root.visit(&mut |slot| {
        for mark in slot.marks() {
            if let Some((attribute, text)) = mark.attribute() {
                let pair = ToldBy {
                    element: slot.name.local().into(),
                    attribute: attribute.clone(),
                    text: text.into(),
                };
                if !found.contains(&pair) {
                    found.push(pair);
                }
            }
        }
    });
    found.into()
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

fn form_of(node: &Node<'_>) -> Form {
    match node.kind {
        Kind::Element => Form::Element,
        Kind::Attribute => Form::Attribute,
        Kind::Object => Form::Object,
        Kind::Array => Form::Array,
        Kind::String | Kind::Number | Kind::Bool | Kind::Null => Form::Scalar,
    }
}

pub(super) fn empty_slot() -> Slot {
    Slot {
        name: Name::default(),
        form: Form::Element,
        span: Span::default(),
        ignored: false,
        leaf: None,
        children: Box::default(),
        rivals: Box::default(),
        required: false,
        left_out: false,
        seldom: None,
    }
}
