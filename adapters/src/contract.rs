//! A compiled contract: the one thing the rest of the system sees of a bank's dialect.

mod compile;
mod entrance;
mod file;
pub(crate) mod operations;
mod origins;
#[cfg(test)]
mod round_trip;
mod signed;

use std::{collections::BTreeMap, sync::Arc};

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value};
use proto::{
    rules::BreachKind,
    v1::{Application, Envelope, Exchange, Form, OriginalFiling, envelope::Body},
};

use self::entrance::{Entrance, Stranger};
pub use self::origins::{Origin, Stood};
use crate::{
    fault::{Fault, FaultCode},
    fill,
    template::{Leaf, Template},
    tree::SyntaxFault,
    typed,
    unify::{
        Filled, Reader, Record, cut,
        document::{self, Document},
    },
    wire::{
        CannotSend, Keys, Opened, Wire,
        seal::{KeyError, Side},
    },
};

/// A contract, checked and compiled. Cheap to share; decoding and encoding take `&self`.
#[derive(Debug)]
pub struct Contract {
    bank: String,
    version: String,
    in_force: (String, Option<String>),
    wire: Wire,
    /// The keys messages are signed with, once they were given.
    keys: Option<Arc<Keys>>,
    /// The leaf that the idempotency key is written as, in a template that has nothing else.
    key: Option<(Template, Leaf)>,
    key_build: Option<String>,
    retry_may_change: Vec<String>,
    messages: Vec<Kind>,
    entrance: Entrance,
}

/// One kind of message: what is sent about it, each way.
#[derive(Debug)]
struct Kind {
    name: String,
    subject: Option<String>,
    request: Option<Arc<Template>>,
    reply: Option<Arc<Template>>,
    refusal: Option<Arc<Template>>,
    notice: Option<Arc<Template>>,
    ack: Option<Arc<Template>>,
}

/// Whether a bank is trying things out or doing business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An unknown leaf is a fault.
    Test,
    /// An unknown leaf is dropped and told in [`Decoded::dropped`].
    Production,
}

/// A message that was understood.
#[derive(Debug)]
pub struct Decoded {
    /// The message's name in the contract (`first`, `discharge`).
    pub message: String,
    /// What decoding alone gives; `application.idempotency_key` is built.
    pub envelope: Envelope,
    /// Places of leaves nobody reads, dropped in production mode.
    pub dropped: Vec<String>,
}

/// A message that was not understood, with what could be read for the answer.
#[derive(Debug)]
pub struct Undecoded {
    /// All faults, in order of offset; never empty.
    pub faults: Vec<Fault>,
    /// The message's name, where its kind was recognised.
    pub message: Option<String>,
    /// What could be read of the serials and codes the bank's own envelope gives back.
    pub exchange: Exchange,
    /// What could be read of the application, to look for what else is wrong with it; never to be filed.
    pub application: Option<Box<Application>>,
}

/// Which of a message's answers to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The message itself, as the bank writes it (fake banks, round trips).
    Request,
    /// The answer that carries an outcome or a title answer.
    Outcome,
    /// The answer that carries a refusal.
    Refusal,
    /// A notice of an event.
    Notice,
    /// The bank's answer to a notice (fake banks).
    Ack,
}

/// Why a contract was not accepted: one complaint, placed in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// File of the contract, relative to its folder.
    pub file: String,
    /// Byte range in that file.
    pub span: std::ops::Range<usize>,
    /// What is wrong and what to do instead.
    pub message: String,
    /// Where the shared part is used that it stands in, if it stands in one. A part that is used by
    /// a part is followed outwards.
    pub used_at: Vec<Place>,
}

/// A place in a contract.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// File of the contract, relative to its folder.
    pub file: String,
    /// Byte range in that file.
    pub span: std::ops::Range<usize>,
}

/// Why a canonical message could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotWrite {
    /// Canonical field; empty if no single one is to blame.
    pub field: String,
    /// Why: `CANNOT_CARRY`, a codec's or the charset's reason.
    pub reason: String,
}

impl Contract {
    /// Compiles a contract from its files (name relative to its folder → text): `contract.toml` and
    /// the templates it names. Files it does not name are left alone.
    ///
    /// # Errors
    /// Everything `contract check` refuses, all at once.
    pub fn compile(files: &BTreeMap<String, String>) -> Result<Self, Vec<Complaint>> {
        compile::compile(files)
    }

    /// The contract with the keys its messages are signed with, as PEM text: the bank's public and
    /// the gateway's private one. Without them a contract whose messages are signed believes none
    /// and writes none; one whose messages are not signed has no use for them.
    ///
    /// # Errors
    /// A text that is no such key.
    pub fn with_keys(self, bank: &str, gateway: &str) -> Result<Self, KeyError> {
        let Some(seal) = &self.wire.seal else { return Ok(self) };
        let keys = Some(Arc::new(Keys::read(seal.algorithm, bank, gateway)?));
        Ok(Self { keys, ..self })
    }

    /// Whether messages are signed, so that [`Contract::with_keys`] is needed.
    pub fn needs_keys(&self) -> bool {
        self.wire.seal.is_some()
    }

    /// Reads one message as sent, framing included.
    ///
    /// # Errors
    /// All faults of the message at once.
    pub fn decode(&self, bytes: &[u8], mode: Mode) -> Result<Decoded, Box<Undecoded>> {
        self.read(bytes, mode).map_err(|mut undecoded| {
            for fault in &mut undecoded.faults {
                fault.place = self.wire.told(&fault.place);
            }
            undecoded
        })
    }

    fn read(&self, bytes: &[u8], mode: Mode) -> Result<Decoded, Box<Undecoded>> {
        let opened =
            self.wire.open(bytes).map_err(|fault| undecoded(fault.code, &fault.place, fault.at))?;
        self.check_bytes(&opened)?;
        let document = self.document(&opened).map_err(|fault| {
            let place = format!("{}{}", opened.within(), fault.place);
            undecoded(fault.code, &place, opened.sent_offset(fault.at))
        })?;
        self.check_fields(Side::Bank, &document, &opened)?;
        let Some((kind, template)) = self.entrance.choose(&document) else {
            return Err(Box::new(self.unknown(&document, &opened)));
        };
        let name = self.messages.get(kind).map_or("", |kind| kind.name.as_str());
        if let Ok(reader) = Reader::read(template, mode, &document, None) {
            let dropped = reader.dropped;
            if let Some(envelope) = self.finish(template, reader.filled) {
                return Ok(Decoded { message: name.to_owned(), envelope, dropped });
            }
        }
        Err(Box::new(self.explain(name, template, mode, &document, &opened)))
    }

    /// Writes one message, framing included. `message` names the message answered; `None` where its
    /// kind was not recognised (then the contract's first refusal file is used).
    ///
    /// # Errors
    /// A set field that nothing writes (in a request), a mandatory one that is unset, or a value
    /// that a codec or the charset cannot hold.
    pub fn encode(
        &self,
        message: Option<&str>,
        reply: Reply,
        envelope: &Envelope,
    ) -> Result<Vec<u8>, CannotWrite> {
        let Some(template) = self.template(message, reply) else {
            let reason = format!(
                "the contract has no {reply:?} for {}",
                message.unwrap_or("unknown messages")
            );
            return Err(CannotWrite { field: String::new(), reason });
        };
        let envelope = dynamic(envelope)?;
        let document = match reply {
            Reply::Request | Reply::Ack => fill::write_request(template, &envelope)?,
            Reply::Outcome | Reply::Refusal | Reply::Notice => fill::write(template, &envelope)?,
        };
        let text = match &self.wire.declaration {
            Some(declaration) => format!("{declaration}{document}"),
            None => document,
        };
        let side = match reply {
            // Where a notice goes to, and with which header fields, is no contract's business: it is a body.
            Reply::Notice if self.wire.whole().is_some() => return self.send_body(&text),
            Reply::Request | Reply::Ack => Side::Bank,
            Reply::Outcome | Reply::Refusal | Reply::Notice => Side::Gateway,
        };
        self.send(&text, side)
    }

    /// Reads an answer as a bank does: which of the message's answers it is, and what it says.
    /// `message` names the message answered; `None` where its kind was not recognised. `None` if it
    /// is no answer of the contract.
    ///
    /// Where several canonical values are one in the bank's words, one of them is told.
    pub fn read_reply(&self, message: Option<&str>, bytes: &[u8]) -> Option<(Reply, Envelope)> {
        let opened = self.wire.open_answer(bytes).ok()?;
        let document = self.document(&opened).ok()?;
        self.check_answer(&document, &opened)?;
        [Reply::Outcome, Reply::Refusal].into_iter().find_map(|reply| {
            let template = self.template(message, reply)?;
            let reader = Reader::read(template, Mode::Test, &document, None).ok()?;
            Some((reply, template.homes.assemble(reader.filled).transcode_to().ok()?))
        })
    }

    /// Reads a notice as a bank does. `None` if it is none of the contract.
    pub fn read_notice(&self, bytes: &[u8]) -> Option<Envelope> {
        let opened = match self.wire.whole() {
            Some(_) => self.wire.open_body(bytes).ok()?,
            None => self.wire.open_answer(bytes).ok()?,
        };
        let document = self.document(&opened).ok()?;
        self.check_answer(&document, &opened)?;
        let template = self.template(None, Reply::Notice)?;
        let reader = Reader::read(template, Mode::Test, &document, None).ok()?;
        template.homes.assemble(reader.filled).transcode_to().ok()
    }

    /// Where canonical fields stand in a message: place and byte offset of each, as faults give
    /// them. A field that stands nowhere is told at what should hold it; `("", 0)` where not even
    /// that is known.
    pub fn locate(&self, bytes: &[u8], mode: Mode, fields: &[String]) -> Vec<(String, usize)> {
        let nowhere = || vec![(String::new(), 0); fields.len()];
        let Ok(opened) = self.wire.open(bytes) else { return nowhere() };
        let Ok(document) = self.document(&opened) else { return nowhere() };
        let Some((_, template)) = self.entrance.choose(&document) else { return nowhere() };
        let Some((_, record)) = recorded(template, mode, &document) else { return nowhere() };
        let place = |field: &String| {
            record
                .find(field)
                .map(|stands| (self.wire.told(&stands.place), opened.sent_offset(stands.offset)))
        };
        fields.iter().map(|field| place(field).unwrap_or_default()).collect()
    }

    /// The idempotency key an earlier filing was sent under.
    ///
    /// # Errors
    /// KEY_INVALID if no key can be built from what is given; its place is empty.
    pub fn key_of(&self, original: &OriginalFiling) -> Result<String, Fault> {
        let OriginalFiling { serial, date, system_id } = original.clone();
        let exchange = Exchange { serial, date, system_id, ..Exchange::default() };
        let envelope = Envelope { exchange: Some(exchange), ..Envelope::default() };
        let key = dynamic(&envelope).and_then(|envelope| self.key(&envelope));
        key.map_err(|error| fault(FaultCode::KeyInvalid, "", 0, Some(error.field)))
    }

    /// What an idempotency key was built from: the inverse of [`Contract::key_of`], since its cuts are certain. `None` for
    /// a key that this contract does not build.
    pub fn original_of(&self, key: &str) -> Option<OriginalFiling> {
        let (_, leaf) = self.key.as_ref()?;
        let pieces = cut::cut(leaf, key)?;
        let mut exchange = proto::descriptors::message("Exchange").map(DynamicMessage::new)?;
        for (hole, range) in leaf.holes().zip(pieces) {
            let field = &hole.path.field;
            exchange.set_field(field, hole.codec().read(key.get(range)?, field).ok()?);
        }
        let Exchange { serial, date, system_id, .. } = exchange.transcode_to().ok()?;
        let original = OriginalFiling { serial, date, system_id };
        (self.key_of(&original).ok()? == key).then_some(original)
    }

    /// How messages travel.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The bank's name, as the contract gives it.
    pub fn bank(&self) -> &str {
        &self.bank
    }

    /// The contract's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// First day in force and, where it has ended or will, the last; `YYYY-MM-DD`, Asia/Shanghai.
    pub fn in_force(&self) -> (&str, Option<&str>) {
        (&self.in_force.0, self.in_force.1.as_deref())
    }

    /// How the idempotency key is built, as the contract says it (`{exchange.serial}`).
    pub fn key_build(&self) -> Option<&str> {
        self.key_build.as_deref()
    }

    /// Fields (`exchange.time`) in which a retry may differ from the first message.
    pub fn retry_may_change(&self) -> &[String] {
        &self.retry_may_change
    }

    /// Names of the messages, each with what it is about (`application.mortgage_registration`), if
    /// anything.
    pub fn messages(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.messages.iter().map(|kind| (kind.name.as_str(), kind.subject.as_deref()))
    }

    /// Whether the contract has a file for this message and direction.
    pub fn can_write(&self, message: Option<&str>, reply: Reply) -> bool {
        self.template(message, reply).is_some()
    }

    /// Everything that is read or written, with its message and direction.
    pub(crate) fn templates(&self) -> impl Iterator<Item = (&str, Reply, &Template)> {
        const DIRECTIONS: [Reply; 5] =
            [Reply::Request, Reply::Outcome, Reply::Refusal, Reply::Notice, Reply::Ack];
        self.messages.iter().flat_map(|kind| {
            let templates =
                DIRECTIONS.map(|reply| Some((kind.name.as_str(), reply, kind.template(reply)?)));
            templates.into_iter().flatten()
        })
    }

    /// The parts of the idempotency key, as the contract writes them.
    pub(crate) fn key_parts(&self) -> Vec<String> {
        let pieces = self.key.iter().flat_map(|(_, leaf)| &leaf.pieces);
        pieces.map(|piece| piece.to_string()).collect()
    }

    fn document<'o>(&self, opened: &'o Opened<'_>) -> Result<Document<'o>, SyntaxFault> {
        let tree = opened.held(document::parse(self.wire.media, &opened.text))?;
        Ok(Document::outermost(tree, opened.within()))
    }

    fn template(&self, message: Option<&str>, reply: Reply) -> Option<&Template> {
        let mut kinds =
            self.messages.iter().filter(|kind| message.is_none_or(|name| kind.name == name));
        kinds.find_map(|kind| kind.template(reply))
    }

    /// What the fast pass read, as the model has it; `None` if a rule is broken or no key can be
    /// built.
    fn finish(&self, template: &Template, filled: Filled) -> Option<Envelope> {
        let mut envelope = template.homes.assemble(filled);
        self.add_key(&mut envelope).ok()?;
        if !proto::rules::check(&envelope).is_empty() {
            return None;
        }
        typed::envelope(&envelope)
    }

    fn key(&self, envelope: &DynamicMessage) -> Result<String, CannotWrite> {
        match &self.key {
            Some((template, leaf)) => fill::write_leaf(template, leaf, envelope),
            None => Err(CannotWrite {
                field: String::new(),
                reason: "the contract builds no key".to_owned(),
            }),
        }
    }

    pub(crate) fn add_key(&self, envelope: &mut DynamicMessage) -> Result<(), CannotWrite> {
        let Some(field) = envelope.descriptor().get_field_by_name("application") else {
            return Ok(());
        };
        if !envelope.has_field(&field) {
            return Ok(());
        }
        let key = self.key(envelope)?;
        if let Some(application) = envelope.get_field_mut(&field).as_message_mut() {
            application.set_field_by_name("idempotency_key", Value::String(key));
        }
        Ok(())
    }

    /// The second, recording pass.
    fn explain<'d>(
        &self,
        name: &str,
        template: &Template,
        mode: Mode,
        document: &'d Document<'d>,
        opened: &Opened<'_>,
    ) -> Undecoded {
        let Some((filled, mut record)) = recorded(template, mode, document) else {
            return *undecoded(FaultCode::MessageUnknown, "", opened.sent_offset(0));
        };
        let exchange = exchange_of(&filled);
        let mut envelope = template.homes.assemble(filled);
        self.explain_key(&mut envelope, &mut record);
        for breach in proto::rules::check(&envelope) {
            let told = template.homes.told(&breach.path);
            if record.is_spoken_for(&told) {
                continue;
            }
            let field = field_at(&envelope, &breach.path);
            let code = field.map_or(FaultCode::FieldRequired, |field| code_of(breach.kind, &field));
            record.tell(code, told);
        }
        let application = typed::envelope(&envelope).and_then(|envelope| match envelope.body {
            Some(Body::Application(application)) => Some(Box::new(application)),
            _ => None,
        });
        let mut faults = record.faults;
        for fault in &mut faults {
            fault.offset = opened.sent_offset(fault.offset);
        }
        faults.sort_by_key(|fault| fault.offset);
        if faults.is_empty() {
            // The passes disagree, which is a mistake of ours: refused, as nothing was understood.
            faults.push(fault(FaultCode::MessageUnknown, "", opened.sent_offset(0), None));
        }
        Undecoded { faults, message: Some(name.to_owned()), exchange, application }
    }

    fn explain_key(&self, envelope: &mut DynamicMessage, record: &mut Record) {
        let first = self.key.as_ref().and_then(|(_, leaf)| leaf.holes().next());
        let first = first.map(|hole| hole.path.text.to_string()).unwrap_or_default();
        match self.add_key(envelope) {
            Err(error) => {
                let field = if error.field.is_empty() { first } else { error.field };
                if !record.is_spoken_for(&field) {
                    record.tell(FaultCode::KeyInvalid, field);
                }
                record.tainted.push(KEY.to_owned());
            }
            Ok(()) => {
                let broken =
                    proto::rules::check(envelope).iter().any(|breach| breach.path.ends_with(KEY));
                if broken {
                    record.tell(FaultCode::KeyInvalid, first);
                    record.tainted.push(KEY.to_owned());
                }
            }
        }
    }

    /// A message of no known kind. What it says of its exchange is read as any message of the
    /// contract would say it.
    fn unknown<'d>(&self, document: &'d Document<'d>, opened: &Opened<'_>) -> Undecoded {
        let Stranger { code, place, offset, said } = self.entrance.stranger(document);
        let mut exchange = Exchange::default();
        if let Some(template) = self.entrance.first()
            && let Some((filled, _)) = recorded(template, Mode::Production, document)
        {
            exchange = exchange_of(&filled);
        }
        if let Some(said) = said {
            exchange.transaction_code = said;
        }
        let fault = fault(code, &place, opened.sent_offset(offset), None);
        Undecoded { faults: vec![fault], message: None, exchange, application: None }
    }
}

/// What a rule calls the key, as contracts would write it.
const KEY: &str = "idempotency_key";

impl Kind {
    fn template(&self, reply: Reply) -> Option<&Template> {
        let template = match reply {
            Reply::Request => &self.request,
            Reply::Outcome => &self.reply,
            Reply::Refusal => &self.refusal,
            Reply::Notice => &self.notice,
            Reply::Ack => &self.ack,
        };
        template.as_deref()
    }
}

fn recorded<'d>(
    template: &Template,
    mode: Mode,
    document: &'d Document<'d>,
) -> Option<(Filled, Record)> {
    recorded_by(Record::default, template, mode, document)
}

fn recorded_by<'d>(
    record: fn() -> Record,
    template: &Template,
    mode: Mode,
    document: &'d Document<'d>,
) -> Option<(Filled, Record)> {
    let reader = Reader::read(template, mode, document, Some(record)).ok()?;
    Some((reader.filled, reader.record?))
}

fn exchange_of(filled: &Filled) -> Exchange {
    let exchange = filled.first().and_then(Option::as_ref);
    exchange.and_then(|exchange| exchange.transcode_to().ok()).unwrap_or_default()
}

fn dynamic(envelope: &Envelope) -> Result<DynamicMessage, CannotWrite> {
    let cannot = |reason: String| CannotWrite { field: String::new(), reason };
    let message = proto::descriptors::message("Envelope")
        .ok_or_else(|| cannot("the canonical model has no Envelope".to_owned()))?;
    DynamicMessage::decode(message, envelope.encode_to_vec().as_slice())
        .map_err(|error| cannot(error.to_string()))
}

fn undecoded(code: FaultCode, place: &str, offset: usize) -> Box<Undecoded> {
    let faults = vec![fault(code, place, offset, None)];
    Box::new(Undecoded { faults, message: None, exchange: Exchange::default(), application: None })
}

fn fault(code: FaultCode, place: &str, offset: usize, field: Option<String>) -> Fault {
    Fault { code, place: place.to_owned(), offset, field, found: None, expected: None }
}

/// The field at the end of a path from the envelope
/// (`application.mortgage_registration.mortgagors[0].name`).
fn field_at(envelope: &DynamicMessage, path: &str) -> Option<FieldDescriptor> {
    let mut message = Some(envelope.descriptor());
    let mut found = None;
    for word in path.split('.') {
        let name = word.split('[').next().unwrap_or(word);
        let field = message?.get_field_by_name(name)?;
        message = field.kind().as_message().cloned();
        found = Some(field);
    }
    found
}

/// What a broken rule is called towards a bank.
fn code_of(kind: BreachKind, field: &FieldDescriptor) -> FaultCode {
    match kind {
        BreachKind::Required => FaultCode::FieldRequired,
        BreachKind::Forbidden => FaultCode::FieldForbidden,
        BreachKind::Order => FaultCode::OrderInvalid,
        BreachKind::TooLate => FaultCode::TermTooLong,
        BreachKind::Shares => FaultCode::SharesNotOne,
        BreachKind::CheckDigit => FaultCode::CheckDigit,
        BreachKind::TooLong => FaultCode::ValueTooLong,
        BreachKind::NotPositive if field.name().ends_with("_fen") => FaultCode::AmountInvalid,
        BreachKind::NotPositive => FaultCode::NumberInvalid,
        BreachKind::Form => match proto::rules::rule_of(field).form() {
            Form::Date => FaultCode::DateInvalid,
            Form::Clock => FaultCode::TimeInvalid,
            Form::UnitCode => FaultCode::UnitCodeInvalid,
            Form::Key => FaultCode::KeyInvalid,
            Form::IdentityNumber => FaultCode::CheckDigit,
            Form::Unspecified | Form::Division | Form::Share => FaultCode::NumberInvalid,
        },
    }
}
