//! From a contract's files to a contract. All complaints are gathered; only what a complaint makes
//! impossible is left out.

use std::{collections::BTreeMap, sync::Arc};

use proto::Date;

use super::{
    Complaint, Contract, Kind,
    entrance::Entrance,
    file::{File, KeyTable, Message, NAME, complaint},
    operations::operations,
};
use crate::{
    checker,
    codec::CodeTable,
    path::Scope,
    template::{self, Leaf, Origins, Parts, Shared, Source, Template},
    wire::{Wire, seal::Over},
};

pub(super) fn compile(files: &BTreeMap<String, String>) -> Result<Contract, Vec<Complaint>> {
    let Some(text) = files.get(NAME) else {
        return Err(vec![complaint(0..0, format!("{NAME} is missing"))]);
    };
    let file = File::read(text).map_err(|complaint| vec![complaint])?;
    let mut complaints = Vec::new();
    let in_force = in_force(&file, &mut complaints);
    let tables = or_complain(file.tables(), &mut complaints);
    let wire = or_complain(file.wire(), &mut complaints);
    let (Some(tables), Some(wire)) = (tables, wire) else { return Err(complaints) };
    let parts = parts(&file, files, &wire, &mut complaints);
    if parts.is_none() && file.parts.is_some() {
        return Err(complaints);
    }
    let shared = Shared::default();
    let mut compiler = Compiler {
        files,
        wire: &wire,
        tables: &tables,
        parts: parts.as_ref(),
        shared: &shared,
        compiled: BTreeMap::new(),
        complaints,
    };
    let key = file.key.as_ref().and_then(|key| compiler.key(key));
    let messages: Vec<Kind> = file
        .messages
        .iter()
        .map(|(name, message)| compiler.kind(name, message.get_ref(), message.span()))
        .collect();
    let mut complaints = compiler.complaints;
    let mut wire = wire.clone();
    if let Some(route) = wire.http.as_mut().filter(|route| route.whole.is_some()) {
        route.whole = Some(operations(&messages, &route.path, &mut complaints));
    }
    if let (Some(parts), true) = (&parts, complaints.is_empty()) {
        unused(parts, compiler.compiled.values().flatten(), &mut complaints);
    }
    let entrance = entrance(&messages, &mut complaints);
    check(&file, &messages, key.as_ref(), &mut complaints);
    let retry_may_change = retry_may_change(file.key.as_ref(), &shared, &mut complaints);
    if !complaints.is_empty() {
        return Err(in_order(complaints));
    }
    Ok(Contract {
        bank: file.bank,
        version: file.version,
        in_force,
        wire,
        keys: None,
        key,
        key_build: file.key.map(|key| key.build.into_inner()),
        retry_may_change,
        messages,
        entrance,
    })
}

/// The shared parts, if there are any and they can be read.
fn parts<'c>(
    file: &'c File,
    files: &'c BTreeMap<String, String>,
    wire: &Wire,
    complaints: &mut Vec<Complaint>,
) -> Option<Parts<'c>> {
    let name = file.parts.as_ref()?;
    let Some(text) = files.get(name.get_ref()) else {
        let told = format!("the file `{}` is not there", name.get_ref());
        complaints.push(complaint(name.span(), told));
        return None;
    };
    let broken = |fault: crate::tree::SyntaxFault| {
        let told = format!("the parts are no document ({}): reading stopped here", fault.code);
        Origins::new(name.get_ref(), text).complaint(fault.at..fault.at, told)
    };
    let parts = Parts::parse(wire.media, name.get_ref(), text).map_err(broken);
    parts.map_err(|told| complaints.push(told)).ok()
}

/// A part that no message uses is checked by nobody.
fn unused<'t>(
    parts: &Parts<'_>,
    templates: impl Iterator<Item = &'t Arc<Template>> + Clone,
    complaints: &mut Vec<Complaint>,
) {
    for (name, span) in parts.names() {
        if !templates.clone().any(|template| template.origins.uses(name)) {
            let told = format!("no message uses the part `{name}`, so nobody checks it");
            complaints.push(Origins::new(parts.file, "").complaint(span, told));
        }
    }
}

/// In order of place, each once: what is wrong with a part is told once, with all its uses.
fn in_order(mut complaints: Vec<Complaint>) -> Vec<Complaint> {
    complaints
        .sort_by(|one, other| (&one.file, one.span.start).cmp(&(&other.file, other.span.start)));
    let mut told: Vec<Complaint> = Vec::new();
    for complaint in complaints {
        let same = |known: &&mut Complaint| {
            (&known.file, &known.span, &known.message)
                == (&complaint.file, &complaint.span, &complaint.message)
        };
        match told.iter_mut().find(same) {
            Some(known) => {
                let new = complaint.used_at.into_iter();
                let new: Vec<_> = new.filter(|place| !known.used_at.contains(place)).collect();
                known.used_at.extend(new);
            }
            None => told.push(complaint),
        }
    }
    told
}

struct Compiler<'c> {
    files: &'c BTreeMap<String, String>,
    wire: &'c Wire,
    tables: &'c BTreeMap<String, Arc<CodeTable>>,
    parts: Option<&'c Parts<'c>>,
    shared: &'c Shared,
    /// One file may serve many messages, with one or more subjects.
    compiled: BTreeMap<(String, Option<String>), Option<Arc<Template>>>,
    complaints: Vec<Complaint>,
}

impl Compiler<'_> {
    fn kind(&mut self, name: &str, message: &Message, span: std::ops::Range<usize>) -> Kind {
        let subject = message.subject.as_deref();
        if message.request.is_some() != message.subject.is_some() {
            let told =
                format!("message `{name}`: a request has a `subject`, and a subject a `request`");
            self.complaints.push(complaint(span.clone(), told));
        }
        Kind {
            name: name.to_owned(),
            subject: message.subject.clone(),
            request: self.named(&message.request, subject, &span),
            reply: self.answer(&message.reply, subject, &span),
            refusal: self.answer(&message.refusal, subject, &span),
            notice: self.named(&message.notice, None, &span),
            ack: self.named(&message.ack, None, &span),
        }
    }

    fn named(
        &mut self,
        file: &Option<String>,
        subject: Option<&str>,
        span: &std::ops::Range<usize>,
    ) -> Option<Arc<Template>> {
        self.template(file.as_deref()?, subject, span.clone())
    }

    /// An answer that says nothing of the matter is one template, whatever it answers.
    fn answer(
        &mut self,
        file: &Option<String>,
        subject: Option<&str>,
        span: &std::ops::Range<usize>,
    ) -> Option<Arc<Template>> {
        let told = self.complaints.len();
        self.named(file, None, span).or_else(|| {
            self.complaints.truncate(told);
            self.named(file, subject, span)
        })
    }

    fn template(
        &mut self,
        file: &str,
        subject: Option<&str>,
        span: std::ops::Range<usize>,
    ) -> Option<Arc<Template>> {
        let known = (file.to_owned(), subject.map(str::to_owned));
        if let Some(template) = self.compiled.get(&known) {
            return template.clone();
        }
        let template = self.compile(file, subject, span).map(Arc::new);
        self.compiled.insert(known, template.clone());
        template
    }

    fn compile(
        &mut self,
        file: &str,
        subject: Option<&str>,
        span: std::ops::Range<usize>,
    ) -> Option<Template> {
        let Some(text) = self.files.get(file) else {
            self.complaints.push(complaint(span, format!("the file `{file}` is not there")));
            return None;
        };
        let (media, exact) = (self.wire.media, self.wire.exact);
        let (tables, parts, shared) = (self.tables, self.parts, self.shared);
        let seal = self.wire.seal_over(Over::SortedFields).map(|seal| seal.field.as_str());
        let source = Source { file, text, media, exact, subject, tables, parts, seal, shared };
        match template::compile(source) {
            Ok(mut template) => {
                if self.wire.whole().is_some() {
                    // A status or media type that never changes stands whether or not anything else is set.
                    template.root.left_out = false;
                    template.root.children.iter_mut().for_each(|part| part.left_out = false);
                }
                Some(template)
            }
            Err(told) => {
                self.complaints.extend(told);
                None
            }
        }
    }

    fn key(&mut self, key: &KeyTable) -> Option<(Template, Leaf)> {
        let span = key.build.span();
        let told = |at: std::ops::Range<usize>, message: String| complaint(at, message);
        let homes = match self.shared.homes(None) {
            Ok(homes) => homes,
            Err(message) => {
                self.complaints.push(told(span, message));
                return None;
            }
        };
        let (tables, shared) = (self.tables, self.shared);
        let words =
            template::Words { homes: &homes, scope: &Scope::Root, item: None, tables, shared };
        // The span begins at the opening quote.
        match template::parse_leaf(key.build.get_ref(), false, span.start.saturating_add(1), words)
        {
            Ok(leaf) => Some((Template::of_key(Origins::new(NAME, ""), homes), leaf)),
            Err((at, message)) => {
                self.complaints.push(told(at, message));
                None
            }
        }
    }
}

fn check(
    file: &File,
    messages: &[Kind],
    key: Option<&(Template, Leaf)>,
    complaints: &mut Vec<Complaint>,
) {
    if let Some((template, leaf)) = key {
        checker::check_key(template, leaf, complaints);
    }
    for (kind, line) in messages.iter().zip(file.messages.values()) {
        let message = checker::Message {
            name: &kind.name,
            span: line.span(),
            subject: kind.subject.as_deref(),
            request: kind.request.as_deref(),
            ack: kind.ack.as_deref(),
            answers: [kind.reply.as_deref(), kind.refusal.as_deref(), kind.notice.as_deref()],
        };
        checker::check_message(&message, key.map(|(_, leaf)| leaf), complaints);
    }
}

fn entrance(messages: &[Kind], complaints: &mut Vec<Complaint>) -> Entrance {
    let coming = messages.iter().enumerate().flat_map(|(number, kind)| {
        [&kind.request, &kind.ack]
            .into_iter()
            .flatten()
            .map(move |template| (number, Arc::clone(template)))
    });
    let (entrance, confused) = Entrance::new(coming.collect());
    for (one, other) in confused {
        let (Some(one), Some(other)) = (messages.get(one), messages.get(other)) else { continue };
        let Some(template) = other.request.as_ref().or(other.ack.as_ref()) else { continue };
        let told = format!(
            "an input could be message `{}` or message `{}`: let a literal differ",
            one.name, other.name
        );
        complaints.push(template.origins.complaint(template.root.span.range(), told));
    }
    entrance
}

fn in_force(file: &File, complaints: &mut Vec<Complaint>) -> (String, Option<String>) {
    let days = file.in_force.get_ref();
    let told = "in_force is [FROM] or [FROM, TO], days as YYYY-MM-DD";
    let are_days = days.iter().all(|day| Date::parse(day).is_ok());
    match days.as_slice() {
        [from] if are_days => (from.clone(), None),
        [from, to] if are_days && from <= to => (from.clone(), Some(to.clone())),
        _ => {
            complaints.push(complaint(file.in_force.span(), told.to_owned()));
            (String::new(), None)
        }
    }
}

fn retry_may_change(
    key: Option<&KeyTable>,
    shared: &Shared,
    complaints: &mut Vec<Complaint>,
) -> Vec<String> {
    let Some(key) = key else { return Vec::new() };
    let Ok(homes) = shared.homes(None) else { return Vec::new() };
    for path in &key.retry_may_change {
        if let Err(told) = homes.resolve(path.get_ref(), &Scope::Root) {
            complaints.push(complaint(path.span(), told));
        }
    }
    key.retry_may_change.iter().map(|path| path.get_ref().clone()).collect()
}

fn or_complain<T>(result: Result<T, Vec<Complaint>>, complaints: &mut Vec<Complaint>) -> Option<T> {
    result.map_err(|told| complaints.extend(told)).ok()
}
