//! A sample as a template: the same document, with what was found for each leaf in its place, and what repeats written once.
//!
//! Which field a leaf is for is decided in `field.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor};
use proto::rules::rule_of;

use super::{
    Drafter, MARK, Proposal,
    field::Found,
    sample::{Part, Sort},
    shape,
};
use crate::{tree::json, wire::Media};

/// Where in a message a leaf stands, as far as its meaning goes.
#[derive(Debug, Clone)]
pub(super) enum At {
    /// Beside the matter, or in it.
    Root,
    /// In an item of a list; told as `matter.mortgagors[]`.
    Item { list: String, group: &'static str },
    /// In whoever acts for a party of a list.
    Agent { list: String },
}

/// One message's template while it is written.
pub(super) struct Message<'m, 'k> {
    pub(super) drafter: &'m mut Drafter<'k>,
    pub(super) file: String,
    pub(super) matter: MessageDescriptor,
    pub(super) out: String,
    /// Fields placed in this message.
    pub(super) own: BTreeSet<String>,
}

impl Message<'_, '_> {
    /// Writes all of it.
    pub(super) fn document(&mut self, root: &Part) {
        let place = if self.drafter.media == Media::Xml {
            format!("/{}", root.name)
        } else {
            String::new()
        };
        match self.drafter.media {
            Media::Xml => self.xml(root, &place, "", &At::Root, 0, None),
            Media::Json => {
                self.json(root, &place, "", &At::Root, 0, None);
                self.out.push('\n');
            }
        }
        // What no leaf says, the kind of message may.
        let unsaid = self.matter.fields().filter(|field| {
            matches!(field.kind(), FieldKind::Enum(_))
                && rule_of(field).required
                && !self.own.contains(&format!("matter.{}", field.name()))
        });
        let unsaid: Vec<String> =
            unsaid.map(|field| format!("matter.{}={MARK}", field.name())).collect();
        if unsaid.is_empty() {
            return;
        }
        let unsaid = unsaid.join(" ");
        self.out = match self.drafter.media {
            Media::Xml => {
                let name = format!("<{}", root.name);
                self.out.replacen(&name, &format!("{name} c:when=\"{unsaid}\""), 1)
            }
            Media::Json => {
                self.out.replacen("{\n", &format!("{{\n  \"c:when\": \"{unsaid}\",\n"), 1)
            }
        };
    }

    /// What an element or member stands for, from where it is: the context inside, and the words that repeat it.
    fn enter(&self, part: &Part, label: &str, at: &At, role: Option<&str>) -> (At, Option<String>) {
        let knowledge = self.drafter.knowledge;
        if let (At::Item { list, .. }, true) =
            (at, knowledge.is_agent(label) && !part.children.is_empty())
        {
            return (At::Agent { list: list.clone() }, Some("c:maybe=.agent".to_owned()));
        }
        if !matches!(at, At::Root) || part.children.is_empty() {
            return (at.clone(), None);
        }
        let list = role.or_else(|| knowledge.list(label));
        let Some(list) = list.filter(|list| self.matter.get_field_by_name(list).is_some()) else {
            return (at.clone(), None);
        };
        let group = match list {
            "properties" => "property",
            "officers" => "officer",
            _ => "party",
        };
        let inside = At::Item { list: list.to_owned(), group };
        // A list around rows is no item itself.
        if role.is_none() && part.holds_rows() {
            return (at.clone(), None);
        }
        (inside, Some(format!("c:each=matter.{list}")))
    }

    fn xml(
        &mut self,
        part: &Part,
        place: &str,
        above: &str,
        at: &At,
        depth: usize,
        role: Option<&str>,
    ) {
        let indent = "  ".repeat(depth);
        let label = part.label(above);
        let (inside, words) = self.enter(part, label, at, role);
        let _ = write!(self.out, "{indent}<{}", part.name);
        if let Some((word, value)) = words.as_deref().and_then(|words| words.split_once('=')) {
            let _ = write!(self.out, " {word}=\"{value}\"");
        }
        for attribute in part.children.iter().filter(|child| child.sort == Sort::Attribute) {
            let text = match attribute.is_key {
                true => attribute.first().to_owned(),
                false => {
                    let place = format!("{place}/@{}", attribute.name);
                    self.leaf(attribute, &attribute.name.clone(), &place, &inside).0
                }
            };
            let _ = write!(self.out, " {}=\"{}\"", attribute.name, escaped(&text));
        }
        let elements: Vec<&Part> =
            part.children.iter().filter(|child| child.sort != Sort::Attribute).collect();
        // All it says stands in its attributes: a hole for its text would be one that no message fills.
        let has_attributes = part.children.len() > elements.len();
        if elements.is_empty() && has_attributes && part.first().is_empty() {
            let _ = writeln!(self.out, "/>");
            return;
        }
        if elements.is_empty() {
            let (text, each) = self.leaf(part, label, place, &inside);
            if let Some(list) = each {
                let _ = write!(self.out, " c:each=\"{list}\"");
            }
            let _ = writeln!(self.out, ">{}</{}>", escaped(&text), part.name);
            return;
        }
        // `<field name="X"><value>…</value></field>` stays on one line.
        let _ = writeln!(self.out, ">");
        let roles = self.roles(part, label, &elements);
        for (number, child) in elements.iter().enumerate() {
            let place = format!("{place}/{}", child.step());
            let role = roles.get(&number).map(String::as_str).or_else(|| {
                let rows = part.holds_rows() && matches!(at, At::Root);
                rows.then(|| self.drafter.knowledge.list(label)).flatten()
            });
            let role = role.map(str::to_owned);
            self.xml(child, &place, label, &inside, depth.saturating_add(1), role.as_deref());
        }
        let _ = writeln!(self.out, "{indent}</{}>", part.name);
    }

    fn json(
        &mut self,
        part: &Part,
        place: &str,
        above: &str,
        at: &At,
        depth: usize,
        role: Option<&str>,
    ) {
        let indent = "  ".repeat(depth.saturating_add(1));
        let label = part.label(above);
        match part.sort {
            Sort::Object => {
                let (inside, words) = self.enter(part, label, at, role);
                self.out.push_str("{\n");
                let mut first = true;
                if let Some((word, value)) =
                    words.as_deref().and_then(|words| words.split_once('='))
                {
                    let _ = write!(self.out, "{indent}\"{word}\": \"{value}\"");
                    first = false;
                }
                for child in &part.children {
                    if !std::mem::replace(&mut first, false) {
                        self.out.push_str(",\n");
                    }
                    let _ = write!(self.out, "{indent}{}: ", json_text(&child.name));
                    let place =
                        format!("{place}/{}", child.name.replace('~', "~0").replace('/', "~1"));
                    self.json(child, &place, label, &inside, depth.saturating_add(1), None);
                }
                let _ = write!(self.out, "\n{}}}", "  ".repeat(depth));
            }
            Sort::Array => {
                let children: Vec<&Part> = part.children.iter().collect();
                let roles = self.roles(part, label, &children);
                self.out.push('[');
                for (number, child) in children.iter().enumerate() {
                    if number > 0 {
                        self.out.push_str(", ");
                    }
                    let role = roles
                        .get(&number)
                        .map(String::as_str)
                        .or_else(|| self.drafter.knowledge.list(label));
                    let role = role.map(str::to_owned);
                    if child.children.is_empty() {
                        let (_, each) = self.leaf_of_list(child, label, place, at);
                        let list = each.unwrap_or_else(|| MARK.to_owned());
                        let _ =
                            write!(self.out, "{{ \"c:each\": \"{list}\", \"c:item\": \"{{.}}\" }}");
                        continue;
                    }
                    self.json(
                        child,
                        &format!("{place}/*"),
                        label,
                        at,
                        depth.saturating_add(1),
                        role.as_deref(),
                    );
                }
                self.out.push(']');
            }
            _ => {
                let (text, _) = self.leaf(part, label, place, at);
                let text = json_text(&text);
                match part.sort {
                    Sort::Bare => {
                        let _ = write!(self.out, "{{ \"c:bare\": {text} }}");
                    }
                    _ => self.out.push_str(&text),
                }
            }
        }
    }

    /// Which list the rows of a list of parties of every sort belong to: by their role's word, by who they are, and in order.
    fn roles(&self, part: &Part, label: &str, rows: &[&Part]) -> BTreeMap<usize, String> {
        let knowledge = self.drafter.knowledge;
        let mut found = BTreeMap::new();
        if !knowledge.is_mixed(label) && !knowledge.is_mixed(&part.name) {
            return found;
        }
        let is_party = |field: &FieldDescriptor| {
            field.is_list() && field.kind().as_message().is_some_and(|of| of.name() == "Party")
        };
        let mut lists: Vec<String> =
            self.matter.fields().filter(is_party).map(|field| field.name().to_owned()).collect();
        let mut by_role: Vec<(Option<String>, usize)> = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| !row.children.is_empty())
            .map(|(number, row)| (row.role(knowledge), number))
            .collect();
        by_role.sort();
        let mut take =
            |number: usize, wanted: Option<&str>, found: &mut BTreeMap<usize, String>| {
                let list = wanted.map_or(lists.first().cloned(), |wanted| {
                    lists.iter().find(|list| *list == wanted).cloned()
                });
                if let Some(list) = list {
                    lists.retain(|other| *other != list);
                    found.insert(number, list);
                }
            };
        for (role, number) in &by_role {
            if let Some(list) = role.as_deref().and_then(|role| knowledge.list(role)) {
                take(*number, Some(list), &mut found);
            }
        }
        for (_, number) in &by_role {
            let is_lender = rows.get(*number).is_some_and(|row| {
                row.any_text(&|text| text.contains("银行") || text.contains("銀行"))
            });
            if is_lender && !found.contains_key(number) {
                take(*number, Some("mortgagees"), &mut found);
            }
        }
        for (_, number) in &by_role {
            if !found.contains_key(number) {
                take(*number, None, &mut found);
            }
        }
        found
    }

    /// The text a leaf is written with, and the list it repeats over, if it does.
    fn leaf(&mut self, part: &Part, label: &str, place: &str, at: &At) -> (String, Option<String>) {
        let knowledge = self.drafter.knowledge;
        if part.is_role {
            let text = part.first().to_owned();
            self.tell(place, Some(String::new()), &text);
            return (text, None);
        }
        if matches!(at, At::Root)
            && !knowledge.fields("exchange", label).is_empty()
            && part.texts.len() == 1
        {
            let is_code = knowledge.fields("exchange", label).contains(&"transaction_code");
            if is_code {
                let field = "exchange.transaction_code";
                self.tell(place, Some(field.to_owned()), part.first());
                self.note(field);
                return (format!("{{{field}: is {}}}", part.first()), None);
            }
        }
        if let Some((text, fields)) = self.range(part, label, at) {
            for field in fields {
                self.tell(place, Some(field.clone()), part.first());
                self.note(&field);
            }
            return (text, None);
        }
        let Some(found) = self.find(label, part, at) else {
            self.tell(place, None, part.first());
            return (format!("{{{MARK}}}"), None);
        };
        self.tell(place, Some(found.told.clone()), part.first());
        self.note(&found.told);
        if found.field.is_list() && part.repeats && !matches!(at, At::Agent { .. }) {
            return ("{.}".to_owned(), Some(found.path));
        }
        let codec = self.codec(&found, part);
        let unset = self.unset(&found, part);
        let colon = if codec.is_empty() { "" } else { ": " };
        (format!("{{{}{unset}{colon}{codec}}}", found.path), None)
    }

    /// A scalar in an array.
    fn leaf_of_list(
        &mut self,
        part: &Part,
        label: &str,
        place: &str,
        at: &At,
    ) -> (String, Option<String>) {
        let found = self.find(label, part, at).filter(|found| found.field.is_list());
        self.tell(
            &format!("{place}/*"),
            found.as_ref().map(|found| found.told.clone()),
            part.first(),
        );
        (String::new(), found.map(|found| found.path))
    }

    /// Two days in one leaf.
    fn range(&self, part: &Part, label: &str, at: &At) -> Option<(String, Vec<String>)> {
        let names = self.drafter.knowledge.fields("matter", label);
        let (from, to) = names.iter().find_map(|name| name.split_once('-'))?;
        if !matches!(at, At::Root) || self.matter.get_field_by_name(from).is_none() {
            return None;
        }
        let texts: Vec<&str> = part.set_texts();
        ["-", "~", "|", "至", ",", "/", " "].into_iter().find_map(|separator| {
            let halves: Option<Vec<(&str, &str)>> =
                texts.iter().map(|text| text.split_once(separator)).collect();
            let halves: Vec<&str> = halves?.into_iter().flat_map(|(from, to)| [from, to]).collect();
            let format = shape::date(&halves)?;
            let text = format!(
                "{{matter.{from}: date {format}}}{separator}{{matter.{to}: date {format}}}"
            );
            Some((text, vec![format!("matter.{from}"), format!("matter.{to}")]))
        })
    }

    fn codec(&mut self, found: &Found, part: &Part) -> String {
        let texts = part.set_texts();
        let field = &found.field;
        let item = match field.kind() {
            FieldKind::Enum(of) => {
                let name = field.name().to_owned();
                let table = match self.drafter.tables.get(&name) {
                    Some((known, _)) if known != of.name() => {
                        format!("{}_{name}", of.name().to_lowercase())
                    }
                    _ => name,
                };
                let seen = self.drafter.tables.entry(table.clone());
                let (_, codes) = seen.or_insert_with(|| (of.name().to_owned(), BTreeSet::new()));
                codes.extend(texts.iter().map(|text| text.trim().to_owned()));
                return format!("code {table}");
            }
            _ if field.is_list() => {
                let separator = shape::separator(&texts);
                return format!("list {separator}");
            }
            _ => shape::codec(field, &texts),
        };
        // No form is known: refused by the checker, as no codec is called so.
        item.unwrap_or_else(|| MARK.to_owned())
    }

    /// The mark behind the path.
    fn unset(&self, found: &Found, part: &Part) -> &'static str {
        let is_asked = rule_of(&found.field).required && !found.numbered;
        let is_basic = found.told.starts_with("exchange.") || found.told.starts_with("branch.");
        let always =
            part.seen >= part.chances && part.texts.iter().all(|text| !text.trim().is_empty());
        match (
            always && (is_asked || is_basic),
            part.texts.iter().any(|text| text.trim().is_empty()),
        ) {
            (true, _) => "",
            (false, true) if part.seen >= part.chances && self.drafter.media == Media::Xml => "?=",
            (false, _) if is_asked => "",
            (false, _) => "?",
        }
    }

    fn note(&mut self, field: &str) {
        self.own.insert(field.to_owned());
        self.drafter.placed.insert(field.to_owned());
    }

    fn tell(&mut self, place: &str, field: Option<String>, example: &str) {
        let (file, place, example) = (self.file.clone(), place.to_owned(), example.to_owned());
        self.drafter.leaves.push(Proposal { file, place, field, example });
    }
}

/// A text in XML; braces of holes stay.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn json_text(text: &str) -> String {
    let mut out = String::new();
    json::quote(text, &mut out);
    out
}
