//! A first contract from raw samples: holes proposed by the names banks use, by the form of values, and by the code tables
//! many of them share.
//!
//! A proposal is for a person to read. What could not be placed is written as a hole called [`MARK`], and so is a code's value
//! that nobody could name; the checker refuses both, so that no draft goes live by mistake. Nothing here reads files or
//! knows a bank: what is known comes in as [`Knowledge`].

mod field;
mod message;
mod names;
mod sample;
mod shape;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use prost_reflect::MessageDescriptor;
use proto::rules::rule_of;

pub use self::names::Knowledge;
use self::{
    message::Message,
    sample::{Part, Taken},
};
use crate::wire::Media;

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
