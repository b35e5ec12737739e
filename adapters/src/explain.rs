//! A contract as a table: the bank's name ↔ the canonical field ↔ its format ↔ whether it must be there ↔ an example.
//!
//! Read-only, and for people: nothing is decided by it. The words for fields are those of the model's documentation
//! ([`proto::terms`]); examples come from messages the caller has (`cases/`), written as the contract writes them.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use proto::{
    rules::rule_of,
    terms::{Term, term_of, term_of_value},
    v1::Envelope,
};

use crate::{
    cases::{self, Files},
    codec::{Codec, Grouping, unit_code::Spacing},
    contract::{Contract, Mode, Reply},
    fill,
    path::{Path, Start, set_value},
    template::{
        Form, Hole, Leaf, Piece, Slot, Template, Unset,
        rivals::{Mark, Sign, To},
    },
};

/// One file of a contract in one direction, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The message's name in the contract.
    pub message: String,
    /// What it is about (`application.mortgage_registration`).
    pub subject: Option<String>,
    /// Which way it goes.
    pub direction: Reply,
    /// The file of the contract.
    pub file: String,
    /// What the kind of message says by itself: field and value.
    pub implied: Vec<(String, String)>,
    /// What stands in it, in order.
    pub rows: Vec<Row>,
}

/// One leaf, or one piece of a leaf of several values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it stands: XPath for XML, JSON Pointer for JSON; `*` for every item; like-named siblings are told apart in
    /// square brackets.
    pub place: String,
    /// What it holds.
    pub holds: Holds,
    /// Whether it must be there.
    pub mandatory: Mandatory,
    /// What stands there in an example; `None` if no example has it.
    pub example: Option<String>,
}

/// What a leaf or piece holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// A fixed text.
    Literal(String),
    /// Anything; nobody reads it.
    Ignored,
    /// A canonical field.
    Field(Box<Field>),
}

/// A canonical field in a bank's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its path as contracts write it, items of repeated lists as `[]`.
    pub path: String,
    /// What it is called.
    pub term: Term,
    /// The codec as the contract writes it; empty for plain text.
    pub codec: String,
    /// The format in words, in Chinese and in English.
    pub format: (String, String),
    /// The codes of its table: code, canonical value, Chinese term of the value.
    pub codes: Vec<(String, String, Option<String>)>,
    /// Greatest length in characters; 0 is no limit.
    pub chars_max: i32,
    /// Where it is a piece: the whole leaf as the contract writes it.
    pub piece_of: Option<String>,
    /// What stands there while it is unset; `None` if that cannot be.
    pub unset: Option<String>,
}

/// Whether something must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mandatory {
    /// Always.
    Always,
    /// Where what holds it is there.
    Within,
    /// Where the model asks for it: the condition as rules write it (`kind=GENERAL`).
    When(String),
    /// It may be left out.
    Optional,
}

/// An example: a message's name, which way it goes, and what it says.
#[derive(Debug, Clone)]
pub struct Example {
    /// The message's name in the contract.
    pub message: String,
    /// Which way.
    pub direction: Reply,
    /// What it says.
    pub envelope: Envelope,
}

/// The examples that a contract's golden cases hold.
pub fn examples(contract: &Contract, files: &Files) -> Vec<Example> {
    let mut examples = Vec::new();
    for sample in cases::samples(files).unwrap_or_default() {
        let read = |name: &Option<String>| files.get(&format!("samples/{}", name.as_ref()?));
        let decoded = read(&sample.request).or_else(|| read(&sample.ack));
        let Some(decoded) = decoded.and_then(|sent| contract.decode(sent, Mode::Test).ok()) else {
            continue;
        };
        let message = decoded.message;
        let mut add = |direction, envelope| {
            examples.push(Example { message: message.clone(), direction, envelope });
        };
        add(if sample.request.is_some() { Reply::Request } else { Reply::Ack }, decoded.envelope);
        let told = |name: &Option<String>| {
            cases::envelope(&serde_json::from_slice(read(name)?).ok()?).ok()
        };
        if let Some(outcome) = told(&sample.outcome) {
            add(if sample.notice.is_some() { Reply::Notice } else { Reply::Outcome }, outcome);
        }
        if let Some(refusal) = told(&sample.refusal) {
            add(Reply::Refusal, refusal);
        }
    }
    examples
}

/// Explains a contract, file by file in the order of its messages.
pub fn explain(contract: &Contract, examples: &[Example]) -> Vec<Explained> {
    let explained = contract.templates().map(|(message, direction, template)| {
        let subject = contract.messages().find(|(name, _)| *name == message);
        let fit = |example: &&Example| example.message == message && example.direction == direction;
        let envelopes: Vec<DynamicMessage> = examples
            .iter()
            .filter(fit)
            .filter_map(|example| proto::descriptors::dynamic("Envelope", &example.envelope))
            .collect();
        let mut walk = Walk { template, rows: Vec::new() };
        let contexts: Vec<Context<'_>> =
            envelopes.iter().map(|envelope| Context { envelope, item: None }).collect();
        let root = &template.root;
        let place = if root.form == Form::Element {
            format!("/{}", root.name.written)
        } else {
            String::new()
        };
        walk.slot(root, &place, "", true, &contexts);
        for row in &mut walk.rows {
            row.place = contract.wire().told(&row.place);
        }
        Explained {
            message: message.to_owned(),
            subject: subject.and_then(|(_, subject)| subject).map(str::to_owned),
            direction,
            file: template.origins.file().to_owned(),
            implied: root
                .when()
                .iter()
                .map(|when| (when.path.text.to_string(), told(&when.path.field, &when.value)))
                .collect(),
            rows: walk.rows,
        }
    });
    explained.collect()
}

/// From where an example's paths start.
#[derive(Clone, Copy)]
struct Context<'e> {
    envelope: &'e DynamicMessage,
    item: Option<&'e Value>,
}

struct Walk<'t> {
    template: &'t Template,
    rows: Vec<Row>,
}

impl Walk<'_> {
    /// `prefix` names the item at hand; `always` is whether everything around is always there.
    fn slot(
        &mut self,
        slot: &Slot,
        place: &str,
        prefix: &str,
        always: bool,
        contexts: &[Context<'_>],
    ) {
        if slot.ignored {
            self.rows.push(Row {
                place: place.to_owned(),
                holds: Holds::Ignored,
                mandatory: Mandatory::Optional,
                example: None,
            });
            return;
        }
        // That the message is there at all is no question.
        let is_root = std::ptr::eq(slot, &self.template.root);
        let always = always && (slot.required || is_root);
        let (mut prefix, mut contexts) = (prefix.to_owned(), contexts.to_vec());
        if let Some(each) = slot.each() {
            contexts = contexts.iter().flat_map(|at| self.items(&each.list, at)).collect();
            prefix = format!("{}[]", each.list.told(&prefix, None));
        }
        if let Some(maybe) = slot.maybe()
            && maybe.scope.is_some()
        {
            contexts = contexts
                .iter()
                .filter_map(|at| Some(Context { item: Some(self.value(&maybe.path, at)?), ..*at }))
                .collect();
            prefix = maybe.path.told(&prefix, None);
        }
        for when in slot.when() {
            let holds = |at: &Context<'_>| self.value(&when.path, at) == Some(&when.value);
            contexts = contexts.iter().filter(|at| holds(at)).copied().collect();
        }
        if let Some(leaf) = &slot.leaf {
            self.leaf(slot, leaf, place, &prefix, always, &contexts);
        }
        if let Some(embed) = slot.embed() {
            let root = &embed.root;
            let name = if root.form == Form::Element {
                format!("/{}", root.name.written)
            } else {
                String::new()
            };
            self.slot(root, &format!("{place}!{name}"), &prefix, always, &contexts);
        }
        for (number, child) in slot.children.iter().enumerate() {
            let place = format!("{place}/{}", step(slot, number, child));
            self.slot(child, &place, &prefix, always, &contexts);
        }
    }

    fn leaf(
        &mut self,
        slot: &Slot,
        leaf: &Leaf,
        place: &str,
        prefix: &str,
        always: bool,
        contexts: &[Context<'_>],
    ) {
        let example = contexts
            .iter()
            .find_map(|at| fill::show_leaf(self.template, leaf, at.envelope, at.item));
        if leaf.holes().next().is_none() {
            let text = leaf.separators().collect::<String>();
            // An element that only holds elements has an empty literal, which nobody needs to be told.
            if !text.is_empty() || slot.children.is_empty() {
                self.rows.push(Row {
                    place: place.to_owned(),
                    holds: Holds::Literal(text.clone()),
                    mandatory: if always { Mandatory::Always } else { Mandatory::Within },
                    example: Some(text),
                });
            }
            return;
        }
        let whole = leaf.pieces.iter().map(ToString::to_string).collect::<String>();
        for hole in leaf.holes() {
            let holds = match hole.codec() {
                Codec::Is(text) if hole.unset == Unset::Refused && leaf.pieces.len() == 1 => {
                    let mut field = field(hole, prefix);
                    field.codes = Vec::new();
                    field.format = (format!("固定为 {text}"), format!("always {text}"));
                    Holds::Field(Box::new(field))
                }
                _ => Holds::Field(Box::new(field(hole, prefix))),
            };
            let holds = match holds {
                Holds::Field(mut field) if leaf.pieces.len() > 1 => {
                    field.piece_of = Some(whole.clone());
                    Holds::Field(field)
                }
                holds => holds,
            };
            self.rows.push(Row {
                place: place.to_owned(),
                holds,
                mandatory: mandatory(hole, always),
                example: example.clone(),
            });
        }
    }

    fn items<'e>(&self, list: &Path, at: &Context<'e>) -> Vec<Context<'e>> {
        let items = self.value(list, at).and_then(Value::as_list).unwrap_or_default();
        items.iter().map(|item| Context { item: Some(item), ..*at }).collect()
    }

    fn value<'e>(&self, path: &Path, at: &Context<'e>) -> Option<&'e Value> {
        let start = match path.start {
            Start::Item if path.itself => return at.item,
            Start::Item => at.item?.as_message()?,
            Start::Home(home) => {
                let chain = &self.template.homes.home(home)?.chain;
                chain.iter().try_fold(at.envelope, |message, field| {
                    set_value(message, field)?.as_message()
                })?
            }
        };
        path.value(start, 0)
    }
}

/// A child's step in a place.
fn step(parent: &Slot, number: usize, child: &Slot) -> String {
    let name = match (parent.form, child.form) {
        (Form::Array, _) if child.each().is_some() => "*".to_owned(),
        (Form::Array | Form::Row, _) => number.to_string(),
        (_, Form::Attribute) => format!("@{}", child.name.written),
        (_, Form::Element) => child.name.written.to_string(),
        _ => child.name.written.replace('~', "~0").replace('/', "~1"),
    };
    let has_rivals = parent
        .rivals
        .iter()
        .any(|rivals| rivals.slots().len() > 1 && rivals.slots().contains(&number));
    let marks = child.marks().iter().map(told_mark).collect::<Vec<_>>().join(" and ");
    match (has_rivals, marks.is_empty()) {
        (true, false) => format!("{name}[{marks}]"),
        (true, true) => {
            let when = child
                .when()
                .iter()
                .map(|when| format!("{}={}", when.path.text, told(&when.path.field, &when.value)));
            format!("{name}[{}]", when.collect::<Vec<_>>().join(" and "))
        }
        (false, _) => name,
    }
}

fn told_mark(mark: &Mark) -> String {
    let steps = mark.way.iter().map(|step| match &step.to {
        To::Attribute(name) => format!("@{}", name.written),
        To::Inside(name) => name.written.to_string(),
        To::Item(number) => number.to_string(),
        To::Embedded(_) => "!".to_owned(),
    });
    let way = steps.collect::<Vec<_>>().join("/");
    match &mark.sign {
        Sign::Text(text) => format!("{way}='{text}'"),
        Sign::Items(items) => format!("count({way})={items}"),
    }
}

/// A value as contracts write it.
fn told(field: &FieldDescriptor, value: &Value) -> String {
    match (field.kind(), value) {
        (Kind::Enum(of), Value::EnumNumber(number)) => of.get_value(*number).map_or_else(
            || number.to_string(),
            |value| proto::golden::bare_name(&of, value.name()).to_owned(),
        ),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Bool(value)) => value.to_string(),
        (_, Value::I32(number)) => number.to_string(),
        (_, Value::I64(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn mandatory(hole: &Hole, always: bool) -> Mandatory {
    let rule = rule_of(&hole.path.field);
    match hole.unset {
        Unset::Refused if always => Mandatory::Always,
        Unset::Refused => Mandatory::Within,
        _ if !rule.exactly_when.is_empty() => Mandatory::When(rule.exactly_when.clone()),
        _ if !rule.required_when.is_empty() => Mandatory::When(rule.required_when.clone()),
        // A numbered item, or the piece of one, may be missing altogether.
        _ if rule.required && (hole.path.steps.is_empty() || hole.path.start == Start::Item) => {
            Mandatory::Always
        }
        _ => Mandatory::Optional,
    }
}

fn field(hole: &Hole, prefix: &str) -> Field {
    let descriptor = &hole.path.field;
    Field {
        path: if hole.path.itself {
            prefix.trim_end_matches("[]").to_owned() + "[]"
        } else {
            hole.path.told(prefix, None)
        },
        term: term_of(descriptor),
        codec: hole.words().to_owned(),
        format: format_of(hole.codec(), hole.words()),
        codes: codes(hole.codec(), descriptor),
        chars_max: rule_of(descriptor).chars_max,
        piece_of: None,
        unset: match &hole.unset {
            Unset::Refused => None,
            Unset::Absent => Some(String::new()),
            Unset::Text(text) => Some(text.to_string()),
        },
    }
}

pub(crate) fn codes(
    codec: &Codec,
    field: &FieldDescriptor,
) -> Vec<(String, String, Option<String>)> {
    match codec {
        Codec::Code(table) => {
            let mut codes = table.codes();
            // What is only written is told too: a reader of answers meets it.
            for (value, code) in table.written() {
                if !codes.contains(&(code, value)) {
                    codes.push((code, value));
                }
            }
            let told = |(code, value): (&str, &str)| {
                let chinese =
                    field.kind().as_enum().and_then(|of| term_of_value(of, value).chinese);
                (code.to_owned(), value.to_owned(), chinese)
            };
            codes.into_iter().map(told).collect()
        }
        Codec::Bool { yes, no } => vec![
            (yes.clone(), "true".to_owned(), Some("是".to_owned())),
            (no.clone(), "false".to_owned(), Some("否".to_owned())),
        ],
        Codec::List { item, .. } => codes_of_item(item, field),
        _ => Vec::new(),
    }
}

fn codes_of_item(item: &Codec, field: &FieldDescriptor) -> Vec<(String, String, Option<String>)> {
    match item {
        Codec::List { .. } => Vec::new(),
        item => codes(item, field),
    }
}

/// A codec in words, in Chinese and in English; `written` is how the contract writes it.
pub(crate) fn format_of(codec: &Codec, written: &str) -> (String, String) {
    let pattern = || pattern(written.split_once(' ').map_or("", |(_, pattern)| pattern));
    let words = |chinese: &str, english: &str| (chinese.to_owned(), english.to_owned());
    let grouped = |grouping: &Grouping| match grouping {
        Grouping::None => ("", ""),
        Grouping::Thousands => ("，千位用逗号", ", commas at the thousands"),
    };
    match codec {
        Codec::Text => words("文本", "text"),
        Codec::Id => words("半角大写", "half width, upper case"),
        Codec::Int => words("整数", "whole number"),
        Codec::Bool { .. } | Codec::Code(_) => words("代码", "code"),
        Codec::Is(text) => (format!("固定为 {text}"), format!("always {text}")),
        Codec::Date(_) => (format!("日期 {}", pattern()), format!("day {}", pattern())),
        Codec::Time(_) => (format!("时间 {}", pattern()), format!("moment {}", pattern())),
        Codec::Clock(_) => (format!("时刻 {}", pattern()), format!("time of day {}", pattern())),
        Codec::Fen => words("分，整数", "fen, whole"),
        Codec::Yuan(grouping) => {
            let (chinese, english) = grouped(grouping);
            (format!("元，两位小数{chinese}"), format!("yuan, two decimals{english}"))
        }
        Codec::Wanyuan { decimals, grouping } => {
            let (chinese, english) = grouped(grouping);
            match decimals {
                Some(decimals) => (
                    format!("万元，{decimals}位小数{chinese}"),
                    format!("ten thousand yuan, {decimals} decimals{english}"),
                ),
                None => (
                    format!("万元，至多六位小数{chinese}"),
                    format!("ten thousand yuan, up to six decimals{english}"),
                ),
            }
        }
        Codec::M2 => words("平方米，两位小数", "square metres, two decimals"),
        Codec::UnitCode(Spacing::None) => words("28位不动产单元代码", "unit code, 28 characters"),
        Codec::UnitCode(Spacing::Groups) => {
            words("不动产单元代码，按6 6 7 9分组", "unit code in groups of 6, 6, 7 and 9")
        }
        Codec::Base64 => words("Base64", "Base64"),
        Codec::Hex => words("十六进制", "hexadecimal"),
        Codec::Count => words("条数", "number of items"),
        Codec::List { item, separator } => {
            let written = written.split(" list ").next().unwrap_or_default();
            let (chinese, english) = format_of(item, written);
            let shown = if separator.trim().is_empty() { "␣" } else { separator.as_str() };
            (
                format!("{chinese}，多个以“{shown}”分隔"),
                format!("{english}; several separated by `{shown}`"),
            )
        }
    }
}

/// What can stand for a hole, as a clerk is told who sent something else; `None` where anything can.
pub(crate) fn wanted(hole: &Hole) -> Option<String> {
    /// More codes than that nobody reads in a line.
    const CODES_MAX: usize = 20;
    match hole.codec() {
        Codec::Text => None,
        Codec::Is(text) => Some(text.clone()),
        Codec::Bool { yes, no } => Some(format!("{yes}或{no}")),
        Codec::Code(table) => {
            let codes: Vec<&str> = table.codes().into_iter().map(|(code, _)| code).collect();
            let told = codes.len() <= CODES_MAX;
            told.then(|| format!("{}之一", codes.join("、")))
        }
        codec => Some(format_of(codec, hole.words()).0),
    }
}

/// A leaf of several pieces, as a clerk is told how to write it: `〈日期 yyyyMMdd〉-〈日期 yyyyMMdd〉`.
pub(crate) fn wanted_pieces(leaf: &Leaf) -> String {
    let told = |piece: &Piece| match piece {
        Piece::Literal(text) => text.to_string(),
        Piece::Hole(hole) => format!("〈{}〉", format_of(hole.codec(), hole.words()).0),
    };
    leaf.pieces.iter().map(told).collect()
}

/// A format as banks' documents write it: `yyyyMMdd HHmmss`.
fn pattern(format: &str) -> String {
    const LETTERS: [(&str, &str); 8] = [
        ("%Y", "yyyy"),
        ("%m", "MM"),
        ("%d", "dd"),
        ("%H", "HH"),
        ("%M", "mm"),
        ("%S", "ss"),
        ("%3f", "SSS"),
        ("%z", "+08:00"),
    ];
    LETTERS.iter().fold(format.to_owned(), |format, (ours, theirs)| format.replace(ours, theirs))
}
