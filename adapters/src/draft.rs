//! A first contract from raw samples: holes proposed by the names banks use, by the form of values, and by the code tables
//! many of them share.
//!
//! A proposal is for a person to read. What could not be placed is written as a hole called [`MARK`], and so is a code's value
//! that nobody could name; the checker refuses both, so that no draft goes live by mistake. Nothing here reads files or
//! knows a bank: what is known comes in as [`Knowledge`].

mod names;
mod sample;
mod shape;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor};
use proto::{rules::rule_of, v1::Form};

pub use self::names::Knowledge;
use self::sample::{Part, Sort, Taken};
use crate::{tree::json, wire::Media};

/// What stands where a person has to decide; the checker refuses it everywhere.
pub const MARK: &str = concat!("TO", "DO");

/// One raw message.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'s> {
    /// What it is called, for complaints.
    pub file: &'s str,
    /// The bytes as sent.
    pub bytes: &'s [u8],
}

/// A first contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its files, by name.
    pub files: BTreeMap<String, String>,
    /// Every leaf of the samples, and what is proposed for it.
    pub leaves: Vec<Proposal>,
}

/// What is proposed for a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The file it stands in.
    pub file: String,
    /// Its place, as [`crate::explain`] tells places.
    pub place: String,
    /// The canonical field, items of repeated lists as `[]`; `None` if it could not be placed.
    pub field: Option<String>,
    /// A value that stood there.
    pub example: String,
}

/// Writes a first contract for a bank. `about` is what all samples are about (`application.mortgage_registration`); without
/// it, each is about what most of its names tell.
///
/// # Errors
/// A sample that is no document, samples that travel differently, none at all, or nothing that a message can be about.
pub fn draft(
    bank: &str,
    about: Option<&str>,
    samples: &[Sample<'_>],
    knowledge: &Knowledge,
) -> Result<Draft, String> {
    let subjects = subjects(about)?;
    let mut taken: Vec<Taken> = Vec::new();
    for sample in samples {
        taken.push(
            sample::take(sample.bytes, knowledge)
                .map_err(|why| format!("{}: {why}", sample.file))?,
        );
    }
    let Some(first) = taken.first() else { return Err("a draft needs samples".to_owned()) };
    let mut wire = first.wire.clone();
    for (one, sample) in taken.iter().zip(samples) {
        if !wire.lay_over(&one.wire) {
            return Err(format!("{}: travels in another way than the first sample", sample.file));
        }
    }
    // Samples of one kind of message are laid over each other.
    let mut kinds: Vec<(String, Part)> = Vec::new();
    for one in taken {
        let code = one.root.find_code(knowledge).unwrap_or_else(|| one.root.name.clone());
        match kinds.iter_mut().find(|(known, root)| *known == code && root.name == one.root.name) {
            Some((_, root)) => root.merge(one.root),
            None => kinds.push((code, one.root)),
        }
    }
    let mut drafter = Drafter {
        knowledge,
        media: wire.media,
        tables: BTreeMap::new(),
        placed: BTreeSet::new(),
        leaves: Vec::new(),
    };
    let (mut files, mut messages) = (BTreeMap::new(), String::new());
    let kind = if wire.media == Media::Xml { "xml" } else { "json" };
    for (code, root) in &kinds {
        let Some((subject, matter)) = likeliest(root, knowledge, &subjects) else { continue };
        let mut name = subject.rsplit('.').next().unwrap_or(&subject).to_owned();
        if files.contains_key(&format!("{name}.request.{kind}")) {
            let _ = write!(name, "_{}", files.len());
        }
        let file = format!("{name}.request.{kind}");
        let mut message = Message {
            drafter: &mut drafter,
            file: file.clone(),
            matter: matter.clone(),
            out: String::new(),
            own: BTreeSet::new(),
        };
        message.document(root);
        let out = message.out;
        files.insert(file.clone(), out);
        let _ = writeln!(
            messages,
            "{name} = {{ subject = \"{subject}\", request = \"{file}\", reply = \"reply.{kind}\", refusal = \
             \"refusal.{kind}\" }} # {code}"
        );
    }
    let answer = match wire.media {
        Media::Xml => format!("<{MARK}>{{{MARK}}}</{MARK}>\n"),
        Media::Json => format!("{{ \"{MARK}\": \"{{{MARK}}}\" }}\n"),
    };
    files.insert(format!("reply.{kind}"), answer.clone());
    files.insert(format!("refusal.{kind}"), answer);
    files.insert("contract.toml".to_owned(), drafter.contract(bank, &wire, &messages));
    Ok(Draft { files, leaves: drafter.leaves })
}

/// What a message can be about, with its descriptor; only `about` if that is given.
fn subjects(about: Option<&str>) -> Result<Vec<(String, MessageDescriptor)>, String> {
    let application = proto::descriptors::message("Application");
    let matter = application.as_ref().and_then(|application| application.oneofs().next());
    let matters = matter.iter().flat_map(|matter| matter.fields()).filter_map(|field| {
        Some((format!("application.{}", field.name()), field.kind().as_message()?.clone()))
    });
    let queries = [("title_query", "TitleQuery"), ("case_query", "CaseQuery")];
    let queries = queries.into_iter().filter_map(|(name, message)| {
        Some((name.to_owned(), proto::descriptors::message(message)?))
    });
    let mut subjects: Vec<_> = matters.chain(queries).collect();
    let Some(about) = about else { return Ok(subjects) };
    let known: Vec<String> = subjects.iter().map(|(name, _)| name.clone()).collect();
    subjects.retain(|(name, _)| name == about);
    if subjects.is_empty() {
        return Err(format!("no message is about `{about}`, but {}", known.join(", ")));
    }
    Ok(subjects)
}

/// What the message is about: the matter that has most of the fields that the sample's names tell, and lacks fewest of its
/// own.
fn likeliest(
    root: &Part,
    knowledge: &Knowledge,
    subjects: &[(String, MessageDescriptor)],
) -> Option<(String, MessageDescriptor)> {
    let mut names = Vec::new();
    root.labels(&mut names);
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for name in &names {
        told.extend(knowledge.fields("matter", name).iter().flat_map(|known| known.split('-')));
        told.extend(knowledge.list(name));
        told.extend(knowledge.flat(name).map(|flat| flat.list));
    }
    let score = |message: &MessageDescriptor| {
        let found = message.fields().filter(|field| told.contains(field.name())).count();
        let required = message.fields().filter(|field| rule_of(field).required);
        let lacking = required.filter(|field| !told.contains(field.name())).count();
        found.saturating_mul(2).saturating_add(100).saturating_sub(lacking)
    };
    let mut best: Option<(usize, &(String, MessageDescriptor))> = None;
    for one in subjects {
        let score = score(&one.1);
        if best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, one));
        }
    }
    best.map(|(_, one)| one.clone())
}

struct Drafter<'k> {
    knowledge: &'k Knowledge,
    media: Media,
    /// Tables needed: name → type of the model and codes seen.
    tables: BTreeMap<String, (String, BTreeSet<String>)>,
    /// All fields placed in any message.
    placed: BTreeSet<String>,
    leaves: Vec<Proposal>,
}

impl Drafter<'_> {
    fn contract(&self, bank: &str, wire: &sample::Skin, messages: &str) -> String {
        let mut out = String::new();
        let kind = if wire.media == Media::Xml { "xml" } else { "json" };
        let _ = writeln!(
            out,
            "# A draft from samples. `directlink contract check` tells what is still {MARK}."
        );
        let _ = writeln!(
            out,
            "bank = {}\nversion = \"1\"\nin_force = [\"2026-01-01\"]\n",
            quoted(bank)
        );
        let _ = writeln!(out, "[wire]\nmedia = \"{kind}\"\ncharset = \"{}\"", wire.charset.name());
        match wire.prefix {
            Some((digits, false)) => {
                let _ = writeln!(out, "prefix = {{ digits = {digits} }}");
            }
            Some((digits, true)) => {
                let _ = writeln!(out, "prefix = {{ digits = {digits}, counts_itself = true }}");
            }
            None => {
                let _ = writeln!(
                    out,
                    "http = {{ path = \"/{MARK}\", content_type = \"application/{kind}\" }}"
                );
            }
        }
        if let Some(declaration) = &wire.declaration {
            let _ = writeln!(out, "declaration = '{declaration}'");
        }
        let has = |field: &str| self.placed.contains(field);
        let build = if has("exchange.system_id") {
            "{exchange.system_id}-{exchange.serial}"
        } else {
            "{exchange.serial}"
        };
        let changing = ["exchange.sent_at", "exchange.time"].into_iter().filter(|field| has(field));
        let changing = changing.map(quoted).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "\n[key]\nbuild = \"{build}\"\nretry_may_change = [{changing}]");
        let _ = writeln!(out, "\n[messages]\n{messages}");
        for (name, (of, codes)) in &self.tables {
            let _ = writeln!(out, "[codes.{name}]");
            let seen: Vec<&str> = codes.iter().map(String::as_str).collect();
            match self.knowledge.table(of, &seen) {
                Some(table) => {
                    for (code, value) in table {
                        let _ = writeln!(out, "{} = \"{value}\"", quoted(code));
                    }
                }
                None => {
                    for (number, code) in seen.iter().enumerate() {
                        // No two values of a table are alike, so that each is refused by itself.
                        let _ = writeln!(
                            out,
                            "{} = \"{MARK}_{}\"",
                            quoted(code),
                            number.saturating_add(1)
                        );
                    }
                    if seen.is_empty() {
                        let _ = writeln!(out, "{MARK} = \"{MARK}\"");
                    }
                }
            }
        }
        out
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Where in a message a leaf stands, as far as its meaning goes.
#[derive(Debug, Clone)]
enum At {
    /// Beside the matter, or in it.
    Root,
    /// In an item of a list; told as `matter.mortgagors[]`.
    Item { list: String, group: &'static str },
    /// In whoever acts for a party of a list.
    Agent { list: String },
}

/// A field found for a leaf.
struct Found {
    /// As the hole writes it.
    path: String,
    /// As explained: items as `[]`.
    told: String,
    field: FieldDescriptor,
    /// Items behind the first may be missing.
    numbered: bool,
}

struct Message<'m, 'k> {
    drafter: &'m mut Drafter<'k>,
    file: String,
    matter: MessageDescriptor,
    out: String,
    /// Fields placed in this message.
    own: BTreeSet<String>,
}

impl Message<'_, '_> {
    fn document(&mut self, root: &Part) {
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

    /// The field a leaf is for: by its name, else by the form of its values.
    fn find(&self, label: &str, part: &Part, at: &At) -> Option<Found> {
        let knowledge = self.drafter.knowledge;
        let texts = part.set_texts();
        match at {
            At::Agent { list } => {
                let agent = proto::descriptors::message("Agent")?;
                let named = self.field_named("party", label, &agent, &texts);
                let name = named.or_else(|| Self::field_by_form("agent", &agent, &texts))?;
                let told = format!("matter.{list}[].agent.{}", name.name());
                Some(Found {
                    path: format!(".{}", name.name()),
                    told,
                    field: name,
                    numbered: false,
                })
            }
            At::Item { list, group } => {
                let of = self.matter.get_field_by_name(list)?.kind().as_message()?.clone();
                if let Some(field) = self.field_named(group, label, &of, &texts) {
                    let told = format!("matter.{list}[].{}", field.name());
                    return Some(Found {
                        path: format!(".{}", field.name()),
                        told,
                        field,
                        numbered: false,
                    });
                }
                let Some(field) = self.agent_field(label, &texts) else {
                    let field = Self::field_by_form(group, &of, &texts)?;
                    let told = format!("matter.{list}[].{}", field.name());
                    let path = format!(".{}", field.name());
                    return Some(Found { path, told, field, numbered: false });
                };
                let told = format!("matter.{list}[].agent.{}", field.name());
                Some(Found {
                    path: format!(".agent.{}", field.name()),
                    told,
                    field,
                    numbered: true,
                })
            }
            At::Root => {
                let beside = self.beside(label, &texts);
                if beside.is_some() {
                    return beside;
                }
                if let Some(field) = self.field_named("matter", label, &self.matter, &texts) {
                    let path = format!("matter.{}", field.name());
                    return Some(Found { told: path.clone(), path, field, numbered: false });
                }
                let Some(flat) = knowledge.flat(label) else {
                    let field = Self::field_by_form("matter", &self.matter, &texts)?;
                    let path = format!("matter.{}", field.name());
                    return Some(Found { told: path.clone(), path, field, numbered: false });
                };
                let of = self.matter.get_field_by_name(flat.list)?.kind().as_message()?.clone();
                let group = match flat.list {
                    "properties" => "property",
                    "officers" => "officer",
                    _ => "party",
                };
                let item = format!("matter.{}[{}]", flat.list, flat.number.saturating_sub(1));
                let (path, field) = match self.field_named(group, &flat.rest, &of, &texts) {
                    Some(field) => (format!("{item}.{}", field.name()), field),
                    None => {
                        let field = self.agent_field(&flat.rest, &texts)?;
                        (format!("{item}.agent.{}", field.name()), field)
                    }
                };
                let numbered = flat.number > 1 || path.contains(".agent.");
                Some(Found { told: path.clone(), path, field, numbered })
            }
        }
    }

    /// A field beside the matter.
    fn beside(&self, label: &str, texts: &[&str]) -> Option<Found> {
        let knowledge = self.drafter.knowledge;
        let groups = [
            ("exchange", "Exchange"),
            ("branch", "Branch"),
            ("delivery", "Delivery"),
            ("relayed_for", "Institution"),
        ];
        groups.into_iter().find_map(|(group, message)| {
            let names = knowledge.fields(group, label);
            let moments = ["date", "time", "sent_at"];
            let name = match group == "exchange" && names.iter().any(|name| moments.contains(name))
            {
                // The three share their names: the form decides.
                true if texts.is_empty() => names.first().copied()?,
                true if shape::date(texts).is_some() => "date",
                true if shape::clock(texts).is_some() => "time",
                true if shape::time(texts).is_some() => "sent_at",
                _ => names.first().copied()?,
            };
            let field = proto::descriptors::message(message)?.get_field_by_name(name)?;
            let path = format!("{group}.{name}");
            Some(Found { told: path.clone(), path, field, numbered: false })
        })
    }

    fn agent_field(&self, label: &str, texts: &[&str]) -> Option<FieldDescriptor> {
        let agent = proto::descriptors::message("Agent")?;
        let rest = self.drafter.knowledge.of_agent(label)?;
        if rest.is_empty() {
            return agent.get_field_by_name("name");
        }
        self.field_named("party", &rest, &agent, texts)
    }

    fn field_named(
        &self,
        group: &str,
        label: &str,
        of: &MessageDescriptor,
        texts: &[&str],
    ) -> Option<FieldDescriptor> {
        let names = self.drafter.knowledge.fields(group, label);
        // A name that means several fields is the one whose form the values have.
        let fields: Vec<FieldDescriptor> =
            names.iter().filter_map(|name| of.get_field_by_name(name)).collect();
        let fits = |field: &&FieldDescriptor| {
            rule_of(field).form() != Form::Date || texts.is_empty() || shape::date(texts).is_some()
        };
        fields.iter().find(fits).or(fields.first()).cloned()
    }

    /// A field that only the form of the values tells.
    fn field_by_form(
        group: &str,
        of: &MessageDescriptor,
        texts: &[&str],
    ) -> Option<FieldDescriptor> {
        of.get_field_by_name(shape::field_by_form(group, texts.first()?)?)
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
