//! What a contract must hold before it is used, beyond what compiling it asks: nothing the model
//! requires is missing, nothing is read that cannot be, every cut is certain, every answer can be
//! written.
//!
//! Paths, codecs and rivals are checked while compiling (`template`), tables while they are read
//! (`codec::code`). Source: docs/contract-language.md, "Checked before use".

use std::{collections::BTreeMap, ops::Range};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};
use proto::rules::{Condition, rule_of};

use crate::{
    codec::Codec,
    contract::Complaint,
    path::Start,
    template::{Hole, Leaf, Piece, Slot, Template, Unset, value_of},
    unify::cut::{self, End},
};

/// The templates of one message.
pub(crate) struct Message<'c> {
    /// What it is called, and where its line stands in `contract.toml`.
    pub(crate) name: &'c str,
    /// Where its line stands.
    pub(crate) span: Range<usize>,
    /// What it is about.
    pub(crate) subject: Option<&'c str>,
    /// What comes in.
    pub(crate) request: Option<&'c Template>,
    /// What comes in to answer a notice.
    pub(crate) ack: Option<&'c Template>,
    /// What goes out: outcome, refusal, notice.
    pub(crate) answers: [Option<&'c Template>; 3],
}

/// Checks one message.
pub(crate) fn check_message(
    message: &Message<'_>,
    key: Option<&Leaf>,
    complaints: &mut Vec<Complaint>,
) {
    let [reply, refusal, _] = message.answers;
    if message.request.is_some() && (reply.is_none() || refusal.is_none()) {
        let told = format!(
            "message `{}` needs a `reply` and a `refusal`: whoever asks is answered",
            message.name
        );
        complaints.push(in_contract(message.span.clone(), told));
    }
    if let (Some(request), Some(reply)) = (message.request, reply)
        && says(request, "exchange.dry_run")
        && !says(reply, "outcome.dry_run")
    {
        let told = format!(
            "message `{}` can be a dry run, but its reply does not say `outcome.dry_run`: nobody could tell it from a filing",
            message.name
        );
        complaints.push(in_contract(message.span.clone(), told));
    }
    for template in [message.request, message.ack].into_iter().flatten() {
        let mut checker = Checker { template, complaints };
        checker.leaves();
        checker.readable();
    }
    if let Some(template) = message.request {
        let mut checker = Checker { template, complaints };
        checker.complete();
        let is_application =
            message.subject.is_some_and(|subject| subject.starts_with("application."));
        match key {
            Some(key) if is_application => checker.carries(key),
            None if is_application => checker.complain(
                template.root.span.range(),
                "an application needs an idempotency key: say `[key] build` in contract.toml"
                    .to_owned(),
            ),
            _ => {}
        }
    }
    for template in message.answers.into_iter().flatten() {
        let mut checker = Checker { template, complaints };
        checker.leaves();
        checker.writable();
    }
}

/// Whether a template has a hole for that path.
fn says(template: &Template, path: &str) -> bool {
    let mut found = false;
    template.root.visit(&mut |slot| {
        found |= slot.leaf.iter().flat_map(Leaf::holes).any(|hole| *hole.path.text == *path);
    });
    found
}

/// Checks the key: every piece is set, of the exchange, and ends certainly, so that two serials
/// never make one key.
pub(crate) fn check_key(template: &Template, key: &Leaf, complaints: &mut Vec<Complaint>) {
    let mut checker = Checker { template, complaints };
    checker.cuts(key);
    for hole in key.holes() {
        let home = match hole.path.start {
            Start::Home(home) => template.homes.home(home),
            Start::Item => None,
        };
        let of_exchange = home.is_some_and(|home| home.word == "exchange");
        if !of_exchange || hole.unset != Unset::Refused {
            checker.complain(
                hole.span.range(),
                format!(
                    "`{}`: a key is built from fields of the exchange that are always set",
                    hole.path.text
                ),
            );
        }
    }
}

struct Checker<'c, 't> {
    template: &'t Template,
    complaints: &'c mut Vec<Complaint>,
}

impl Checker<'_, '_> {
    fn complain(&mut self, span: Range<usize>, message: String) {
        self.complaints.push(self.template.origins.complaint(span, message));
    }

    fn each_leaf(&mut self, mut see: impl FnMut(&mut Self, &Leaf)) {
        let mut leaves = Vec::new();
        let template = self.template;
        template.root.visit(&mut |slot| leaves.extend(&slot.leaf));
        for leaf in leaves {
            see(self, leaf);
        }
    }

    fn leaves(&mut self) {
        self.each_leaf(Self::cuts);
    }

    /// Where a leaf has several pieces, nothing may be guessed.
    fn cuts(&mut self, leaf: &Leaf) {
        for (number, piece) in leaf.pieces.iter().enumerate() {
            let Piece::Hole(hole) = piece else { continue };
            match cut::end_of(leaf, number) {
                End::Uncertain => self.complain(
                    hole.span.range(),
                    format!(
                        "where `{}` ends is not certain: put a literal behind it that it cannot \
                         hold, or give it a fixed width",
                        hole.path.text
                    ),
                ),
                End::Width(_) if hole.unset != Unset::Refused => self.complain(
                    hole.span.range(),
                    format!(
                        "`{}` ends by its width, so it cannot be unset: put a literal behind it",
                        hole.path.text
                    ),
                ),
                End::Width(_) | End::Before(_) | End::Text => {}
            }
        }
    }

    /// What comes in has only holes that can be read, for fields that banks may say.
    fn readable(&mut self) {
        self.each_leaf(|checker, leaf| {
            for hole in leaf.holes() {
                if hole.codec().is_partial() {
                    checker.complain(
                        hole.span.range(),
                        format!(
                            "`{}` tells only a part of `{}`: it can be written, never read",
                            hole.words(),
                            hole.path.text
                        ),
                    );
                }
                if rule_of(&hole.path.field).by_gateway {
                    checker.complain(
                        hole.span.range(),
                        format!(
                            "`{}` is filled in by the gateway, never read from a message",
                            hole.path.text
                        ),
                    );
                }
            }
        });
    }

    /// What goes out can be written whatever comes of the message: an answer that cannot be written
    /// is no answer.
    fn writable(&mut self) {
        self.each_leaf(|checker, leaf| {
            for hole in leaf.holes() {
                if let Some(told) = unwritten(hole) {
                    checker.complain(hole.span.range(), told);
                }
            }
        });
    }

    fn carries(&mut self, key: &Leaf) {
        let said = Said::of(&self.template.root);
        for hole in key.holes().filter(|hole| !said.has(&hole.path.text)) {
            let told = format!(
                "`{}` is needed for the key, but nothing in this file holds it",
                hole.path.text
            );
            self.complain(self.template.root.span.range(), told);
        }
    }

    /// Every field that the model requires has a place.
    fn complete(&mut self) {
        let said = Said::of(&self.template.root);
        let homes: Vec<_> = self
            .template
            .homes
            .iter()
            .map(|(_, home)| (home.word.clone(), home.message.clone()))
            .collect();
        for (word, message) in homes {
            let is_matter = word == "matter";
            if is_matter || said.any_in(&word) {
                self.complete_message(&word, &message, &said);
            }
        }
    }

    fn complete_message(&mut self, told: &str, message: &MessageDescriptor, said: &Said) {
        for field in message.fields() {
            let path = if told.is_empty() {
                field.name().to_owned()
            } else {
                format!("{told}.{}", field.name())
            };
            let rule = rule_of(&field);
            // The key is built, not read; the matter is the message's subject.
            if rule.by_gateway || path == "idempotency_key" || said.is_matter(&field, self.template)
            {
                continue;
            }
            let required = rule.required
                || [&rule.exactly_when, &rule.required_when].into_iter().any(|condition| {
                    Condition::parse(condition)
                        .is_some_and(|condition| said.may_hold(&condition, told, message))
                });
            if required && !said.any_in(&path) {
                let told = format!(
                    "the model requires `{path}`, but nothing in this file holds it: give it a hole, or say it with `c:when`"
                );
                self.complain(
                    said.span_of(told_prefix(&path))
                        .unwrap_or_else(|| self.template.root.span.range()),
                    told,
                );
                continue;
            }
            let Kind::Message(inner) = field.kind() else { continue };
            let items = if field.is_list() { said.items_of(&path) } else { vec![path.clone()] };
            for item in items.iter().filter(|item| said.any_below(item)) {
                self.complete_message(item, &inner, said);
            }
        }
    }
}

/// The fields that a template says something of, as they are told; an item of a list is `list[]` or
/// numbered.
#[derive(Default)]
struct Said<'t> {
    paths: BTreeMap<String, Range<usize>>,
    holes: Vec<(String, &'t Hole)>,
    fixed: Vec<(String, &'t Value)>,
}

impl<'t> Said<'t> {
    fn of(root: &'t Slot) -> Self {
        let mut said = Self::default();
        said.gather(root, "");
        said
    }

    fn gather(&mut self, slot: &'t Slot, prefix: &str) {
        let mut prefix = prefix.to_owned();
        if let Some(each) = slot.each() {
            prefix = format!("{}[]", each.list.told(&prefix, None));
            self.paths.insert(prefix.clone(), slot.span.range());
            if let Some(by) = &each.by {
                self.paths.insert(format!("{prefix}.{}", by.name()), slot.span.range());
            }
        }
        if let Some(maybe) = slot.maybe().filter(|maybe| maybe.scope.is_some()) {
            prefix = maybe.path.told(&prefix, None);
            self.paths.insert(prefix.clone(), slot.span.range());
        }
        for condition in slot.when() {
            let path = condition.path.told(&prefix, None);
            self.fixed.push((path.clone(), &condition.value));
            self.paths.insert(path, slot.span.range());
        }
        for hole in slot
            .leaf
            .iter()
            .flat_map(Leaf::holes)
            .filter(|hole| !matches!(hole.codec(), Codec::Count))
        {
            let path = hole.path.told(&prefix, None);
            self.paths.insert(path.clone(), hole.span.range());
            self.holes.push((path, hole));
        }
        for child in slot.inside() {
            self.gather(child, &prefix);
        }
    }

    fn has(&self, path: &str) -> bool {
        self.paths.contains_key(path)
    }

    fn any_in(&self, path: &str) -> bool {
        path.is_empty()
            || self.has(path)
            || self.any_below(path)
            || self.paths.keys().any(|known| known.starts_with(&format!("{path}[")))
    }

    fn any_below(&self, path: &str) -> bool {
        self.paths
            .keys()
            .any(|known| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// The items of a list that something is said of: `list[]`, `list[0]`, `list[1]`.
    fn items_of(&self, list: &str) -> Vec<String> {
        let mut items: Vec<String> = Vec::new();
        for known in self.paths.keys() {
            let inside =
                known.strip_prefix(list).and_then(|rest| rest.strip_prefix('[')?.split_once(']'));
            if let Some((number, _)) = inside {
                items.push(format!("{list}[{number}]"));
            }
        }
        items.dedup();
        items
    }

    fn span_of(&self, path: &str) -> Option<Range<usize>> {
        self.paths.get(path).cloned()
    }

    fn is_matter(&self, field: &FieldDescriptor, template: &Template) -> bool {
        template
            .homes
            .matter()
            .and_then(|matter| matter.chain.last())
            .is_some_and(|last| last == field)
    }

    /// Whether a message could be read in which the sibling has one of the condition's values.
    fn may_hold(&self, condition: &Condition, told: &str, message: &MessageDescriptor) -> bool {
        let path = format!("{told}.{}", condition.sibling);
        let Some(sibling) = message.get_field_by_name(&condition.sibling) else { return false };
        let mut wanted = condition.values.iter().filter_map(|value| value_of(&sibling, value));
        let fixed: Vec<&Value> = self
            .fixed
            .iter()
            .filter(|(known, _)| *known == path)
            .map(|(_, value)| *value)
            .collect();
        if !fixed.is_empty() {
            return wanted.any(|value| fixed.contains(&&value));
        }
        let hole = self.holes.iter().find(|(known, _)| *known == path).map(|(_, hole)| *hole);
        wanted.any(|value| hole.is_some_and(|hole| hole.codec().write(&value, &sibling).is_ok()))
    }
}

/// What holds the field at the end of a path.
fn told_prefix(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(before, _)| before)
}

/// Values that a code table of an answer cannot write.
fn unwritten(hole: &Hole) -> Option<String> {
    let codec = match hole.codec() {
        Codec::List { item, .. } => item,
        codec => codec,
    };
    let Codec::Code(table) = codec else { return None };
    let name = table.name();
    match hole.path.field.kind() {
        Kind::Enum(values) => {
            let missing = table.unwritten(&values);
            (!missing.is_empty()).then(|| {
                format!(
                    "[codes.{name}] has no code for {}: add them, or declare the loss in \
                     [codes.{name}.also_written]",
                    missing.join(", ")
                )
            })
        }
        // Texts cannot be counted up, so only a code for all others makes sure that there is one.
        Kind::String => table.write(&Value::String("?".to_owned()), &Kind::String).is_err().then(|| {
            format!(
                "[codes.{name}] has no code for texts it does not list: declare one for `\"*\"` \
                 in [codes.{name}.also_written]"
            )
        }),
        _ => None,
    }
}

fn in_contract(span: Range<usize>, message: String) -> Complaint {
    Complaint { file: "contract.toml".to_owned(), span, message, used_at: Vec::new() }
}
