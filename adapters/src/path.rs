//! A path of a contract (`matter.mortgagors[0].name`, `.id_type`, `branch.code`), resolved once
//! against the descriptors.
//!
//! Where a path starts is a *home*: the exchange, the matter, what lies beside it, the outcome.
//! Homes are filled apart from each other and put together at the end, so that a leaf is one or two
//! steps from where it goes. Source of the words: docs/contract-language.md, "Hole".

use std::borrow::Cow;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

use crate::draft::MARK;

/// A message that paths start from.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// How to reach it from the envelope.
    pub(crate) chain: Vec<FieldDescriptor>,
    /// What it is.
    pub(crate) message: MessageDescriptor,
    /// What contracts call it; empty for what lies beside the matter.
    pub(crate) word: String,
}

/// The homes one template knows: fixed ones first, then the matter and what lies beside it.
#[derive(Debug, Clone)]
pub(crate) struct Homes {
    envelope: MessageDescriptor,
    homes: Vec<Home>,
    matter: Option<usize>,
    beside: Option<usize>,
    /// What lies beside the matter though it is a field of it: a query has its branch where an
    /// application has.
    beside_names: Vec<String>,
}

/// Words that start a path at the envelope itself.
const ENVELOPE_WORDS: [&str; 13] = [
    "exchange",
    "outcome",
    "event",
    "title_answer",
    "ack",
    "record_answer",
    "certificate_answer",
    "document",
    "discharge_answer",
    "feed",
    "acknowledged",
    "books",
    "office_answer",
];

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Start {
    /// At a home, by its number.
    Home(usize),
    /// At the item of the `c:each`, or the message of the `c:maybe`, the path stands in.
    Item,
}

/// What of a repeated field a step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// The field as it is.
    Whole,
    /// One numbered item, from 0.
    Numbered(usize),
    /// Every item, a piece of the leaf each (`path[].field`).
    Column,
}

/// One field on the way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The field.
    pub(crate) field: FieldDescriptor,
    /// What of it.
    pub(crate) pick: Pick,
}

/// A resolved path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// Where it starts.
    pub(crate) start: Start,
    /// The messages on the way.
    pub(crate) steps: Box<[Step]>,
    /// The field it names; for `.` the list whose items are scalars.
    pub(crate) field: FieldDescriptor,
    /// What of that field.
    pub(crate) pick: Pick,
    /// Whether it is `.`, the scalar item itself.
    pub(crate) itself: bool,
    /// As the contract writes it.
    pub(crate) text: Box<str>,
}

/// What the paths beginning with a dot are relative to.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// Nothing.
    Root,
    /// A message.
    Message(MessageDescriptor),
    /// A scalar item of this list.
    Scalar(FieldDescriptor),
}

impl Homes {
    /// The homes of a template whose matter is `subject` (`application.mortgage_registration`,
    /// `title_query`); `None` for a template that has no matter.
    pub(crate) fn new(subject: Option<&str>) -> Result<Self, String> {
        let envelope = proto::descriptors::message("Envelope")
            .ok_or_else(|| "the canonical model has no Envelope".to_owned())?;
        let mut homes = Self {
            envelope: envelope.clone(),
            homes: Vec::new(),
            matter: None,
            beside: None,
            beside_names: Vec::new(),
        };
        for word in ENVELOPE_WORDS {
            homes.add(&envelope, word, word)?;
        }
        let Some(subject) = subject else { return Ok(homes) };
        homes.matter = Some(homes.add(&envelope, subject, "matter")?);
        homes.beside = match subject.split_once('.') {
            Some((body, _)) => Some(homes.add(&envelope, body, "")?),
            None => {
                homes.beside_names = homes.shared_with_applications();
                homes.matter
            }
        };
        Ok(homes)
    }

    fn shared_with_applications(&self) -> Vec<String> {
        let application = proto::descriptors::message("Application");
        let names =
            self.matter().into_iter().flat_map(|home| home.message.fields().collect::<Vec<_>>());
        let shared = names.filter(|field| {
            application
                .as_ref()
                .is_some_and(|other| other.get_field_by_name(field.name()).is_some())
        });
        shared.map(|field| field.name().to_owned()).collect()
    }

    fn add(
        &mut self,
        envelope: &MessageDescriptor,
        path: &str,
        word: &str,
    ) -> Result<usize, String> {
        let (mut message, mut chain) = (envelope.clone(), Vec::new());
        for name in path.split('.') {
            let field = field_of(&message, name)?;
            message = message_of(&field)?;
            chain.push(field);
        }
        self.homes.push(Home { chain, message, word: word.to_owned() });
        Ok(self.homes.len().saturating_sub(1))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.homes.len()
    }

    /// One of them.
    pub(crate) fn home(&self, number: usize) -> Option<&Home> {
        self.homes.get(number)
    }

    /// What the message is about.
    pub(crate) fn matter(&self) -> Option<&Home> {
        self.matter.and_then(|number| self.home(number))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Home)> {
        self.homes.iter().enumerate()
    }

    /// Resolves a path as a contract writes it.
    pub(crate) fn resolve(&self, text: &str, scope: &Scope) -> Result<Path, String> {
        if text == "." {
            return match scope {
                Scope::Scalar(field) => Ok(Path {
                    start: Start::Item,
                    steps: Box::default(),
                    field: field.clone(),
                    pick: Pick::Whole,
                    itself: true,
                    text: text.into(),
                }),
                _ => {
                    Err("`.` is an item that is a scalar: it stands in a `c:each` over such a list"
                        .to_owned())
                }
            };
        }
        let (start, mut message, rest) = self.start_of(text, scope)?;
        let mut steps = Vec::new();
        let mut words = rest.split('.').peekable();
        while let Some(word) = words.next() {
            let (name, pick) = split_pick(word)?;
            let field = field_of(&message, name)?;
            if pick != Pick::Whole && !field.is_list() {
                return Err(format!("`{name}` of `{text}` is no list, so it has no items"));
            }
            if words.peek().is_none() {
                let (text, steps) = (self.one_name(start, text, rest).into(), steps.into());
                return Ok(Path { start, steps, field, pick, itself: false, text });
            }
            if pick == Pick::Whole && field.is_list() {
                return Err(format!(
                    "`{name}` of `{text}` is a list: number its item (`{name}[0]`) or use `c:each`"
                ));
            }
            message = message_of(&field)?;
            steps.push(Step { field, pick });
        }
        Err(format!("`{text}` names no field"))
    }

    /// The name a path is told by, where two would lead to the same field.
    fn one_name(&self, start: Start, text: &str, rest: &str) -> String {
        if self.matter != self.beside || self.matter.map(Start::Home) != Some(start) {
            return text.to_owned();
        }
        self.named_from_matter(rest)
    }

    fn named_from_matter(&self, rest: &str) -> String {
        let first = rest.split(['.', '[']).next().unwrap_or_default();
        if self.beside_names.iter().any(|name| name == first) {
            rest.to_owned()
        } else {
            format!("matter.{rest}")
        }
    }

    fn start_of<'t>(
        &self,
        text: &'t str,
        scope: &Scope,
    ) -> Result<(Start, MessageDescriptor, &'t str), String> {
        if let Some(rest) = text.strip_prefix('.') {
            return match scope {
                Scope::Message(message) => Ok((Start::Item, message.clone(), rest)),
                _ => Err(format!(
                    "`{text}` begins with a dot, but stands in no `c:each` or `c:maybe`"
                )),
            };
        }
        let (number, rest) = match text.split_once('.') {
            Some(("matter", rest)) => (self.matter, rest),
            Some((word, rest)) if ENVELOPE_WORDS.contains(&word) => {
                (ENVELOPE_WORDS.iter().position(|known| *known == word), rest)
            }
            _ => (self.beside, text),
        };
        let home = number.and_then(|number| Some((number, self.home(number)?)));
        let Some((number, home)) = home else {
            return Err(format!(
                "`{text}`: this message has no subject, so it has no matter and nothing beside it"
            ));
        };
        self.not_the_matter(home, text)?;
        Ok((Start::Home(number), home.message.clone(), rest))
    }

    /// The matter has one name, so that no field has two.
    fn not_the_matter(&self, home: &Home, text: &str) -> Result<(), String> {
        let first = text.split(['.', '[']).next().unwrap_or_default();
        match self.matter().and_then(|matter| matter.chain.last()) {
            Some(field) if home.word.is_empty() && field.name() == first => {
                Err(format!("write `matter` for `{first}` in `{text}`"))
            }
            _ => Ok(()),
        }
    }

    /// Puts what was read at each home together into an envelope. The matter is there even if
    /// nothing was said of it, so that what it lacks is told.
    pub(crate) fn assemble(&self, mut filled: Vec<Option<DynamicMessage>>) -> DynamicMessage {
        let mut envelope = DynamicMessage::new(self.envelope.clone());
        if let Some((matter, home)) =
            self.matter.and_then(|at| filled.get_mut(at).zip(self.home(at)))
        {
            matter.get_or_insert_with(|| DynamicMessage::new(home.message.clone()));
        }
        // Last to first: what lies beside the matter stands behind it, and has to be there to hold
        // it.
        for (home, message) in self.homes.iter().zip(filled).rev() {
            let (Some(message), Some((last, way))) = (message, home.chain.split_last()) else {
                continue;
            };
            let mut holder = Some(&mut envelope);
            for field in way {
                holder = holder.and_then(|holder| holder.get_field_mut(field).as_message_mut());
            }
            if let Some(holder) = holder {
                *holder.get_field_mut(last) = Value::Message(message);
            }
        }
        envelope
    }

    /// A path from the envelope (`application.branch.code`) as contracts write it (`branch.code`).
    pub(crate) fn told(&self, path: &str) -> String {
        for home in self.homes.iter().skip(ENVELOPE_WORDS.len()) {
            let mut rest = Some(path);
            for field in &home.chain {
                rest = rest
                    .and_then(|rest| rest.strip_prefix(field.name()))
                    .map(|rest| rest.strip_prefix('.').unwrap_or(rest));
            }
            match rest {
                Some("") => return home.word.clone(),
                Some(rest) if home.word.is_empty() => return rest.to_owned(),
                Some(rest) => return self.named_from_matter(rest),
                None => {}
            }
        }
        path.to_owned()
    }
}

impl Path {
    /// The message that holds the field, made on the way if need be; `column` is the item of a
    /// column.
    pub(crate) fn holder<'m>(
        &self,
        start: &'m mut DynamicMessage,
        column: usize,
    ) -> Option<&'m mut DynamicMessage> {
        let mut message = start;
        for step in &*self.steps {
            let value = message.get_field_mut(&step.field);
            let number = match step.pick {
                Pick::Whole => {
                    message = value.as_message_mut()?;
                    continue;
                }
                Pick::Numbered(number) => number,
                Pick::Column => column,
            };
            message = item_of(value, number, &step.field)?.as_message_mut()?;
        }
        Some(message)
    }

    /// The message that holds the field, if it is there.
    pub(crate) fn held<'m>(
        &self,
        start: &'m DynamicMessage,
        column: usize,
    ) -> Option<&'m DynamicMessage> {
        let mut message = start;
        for step in &*self.steps {
            let value = set_value(message, &step.field)?;
            message = match step.pick {
                Pick::Whole => value.as_message()?,
                Pick::Numbered(number) => value.as_list()?.get(number)?.as_message()?,
                Pick::Column => value.as_list()?.get(column)?.as_message()?,
            };
        }
        Some(message)
    }

    /// The field's value, if it is set.
    pub(crate) fn value<'m>(&self, start: &'m DynamicMessage, column: usize) -> Option<&'m Value> {
        let value = set_value(self.held(start, column)?, &self.field)?;
        match self.pick {
            Pick::Numbered(number) => value.as_list()?.get(number),
            Pick::Whole | Pick::Column => Some(value),
        }
    }

    /// The list a column goes through, with the steps before it.
    pub(crate) fn column_list(&self) -> Option<(&[Step], &FieldDescriptor)> {
        let at = self.steps.iter().position(|step| step.pick == Pick::Column)?;
        Some((self.steps.get(..at)?, &self.steps.get(at)?.field))
    }

    /// As it is told, with the item of a column numbered. `prefix` names the item the path starts
    /// at.
    pub(crate) fn told(&self, prefix: &str, column: Option<usize>) -> String {
        if self.itself {
            return prefix.to_owned();
        }
        let text = match column {
            Some(column) => Cow::Owned(self.text.replacen("[]", &format!("[{column}]"), 1)),
            None => Cow::Borrowed(&*self.text),
        };
        match self.start {
            Start::Home(_) => text.into_owned(),
            Start::Item => format!("{prefix}{text}"),
        }
    }
}

/// A field's value, if it is set.
pub(crate) fn set_value<'m>(
    message: &'m DynamicMessage,
    field: &FieldDescriptor,
) -> Option<&'m Value> {
    // Asked first: to get an unset field is to have its default made.
    if !message.has_field(field) {
        return None;
    }
    match message.get_field(field) {
        Cow::Borrowed(value) => Some(value),
        Cow::Owned(_) => None,
    }
}

/// One item of a list, made with those before it if it is not there.
pub(crate) fn item_of<'v>(
    list: &'v mut Value,
    number: usize,
    field: &FieldDescriptor,
) -> Option<&'v mut Value> {
    let items = list.as_list_mut()?;
    while items.len() <= number {
        items.push(Value::default_value(&field.kind()));
    }
    items.get_mut(number)
}

/// Whether nothing at all is set in a value.
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Message(message) => {
            let blank = message.fields().all(|(_, value)| is_blank(value));
            blank && message.descriptor().full_name() != "google.protobuf.Timestamp"
        }
        Value::List(items) => items.iter().all(is_blank),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn split_pick(word: &str) -> Result<(&str, Pick), String> {
    let Some((name, rest)) = word.split_once('[') else { return Ok((word, Pick::Whole)) };
    let number = rest.strip_suffix(']').ok_or_else(|| format!("`{word}` lacks its `]`"))?;
    if number.is_empty() {
        return Ok((name, Pick::Column));
    }
    match number.parse::<usize>() {
        // More numbered items than this in one message is a mistake of the writer, and each costs
        // memory when read.
        Ok(number) if number < 1000 => Ok((name, Pick::Numbered(number))),
        _ => Err(format!("`{word}`: an item's number is 0 to 999")),
    }
}

fn field_of(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    message.get_field_by_name(name).ok_or_else(|| {
        if name == MARK {
            return format!(
                "{MARK}: say which field this is, write the text itself, or take it out"
            );
        }
        let known: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
        format!("`{name}` is no field of {}; it has {}", message.name(), known.join(", "))
    })
}

fn message_of(field: &FieldDescriptor) -> Result<MessageDescriptor, String> {
    match field.kind() {
        Kind::Message(message) => Ok(message),
        _ => Err(format!("`{}` is a single value and holds no fields", field.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes() -> Homes {
        Homes::new(Some("application.mortgage_registration")).unwrap()
    }

    #[test]
    fn a_path_starts_at_the_matter_beside_it_or_at_the_exchange() {
        let homes = homes();
        for text in [
            "matter.mortgagors[1].agent.name",
            "branch.code",
            "exchange.serial",
            "matter.properties[].area_dm2",
        ] {
            assert_eq!(&*homes.resolve(text, &Scope::Root).unwrap().text, text);
        }
    }

    #[test]
    fn what_is_no_path_is_told_with_what_there_is() {
        let homes = homes();
        for (text, told) in [
            ("matter.mortgagor", "it has kind, stage"),
            ("matter.mortgagors.name", "number its item"),
            ("mortgage_registration.kind", "write `matter`"),
            (".name", "stands in no `c:each`"),
            ("matter.kind.x", "holds no fields"),
            ("matter.kind[0]", "is no list"),
        ] {
            let complaint = homes.resolve(text, &Scope::Root).unwrap_err();
            assert!(complaint.contains(told), "{complaint}");
        }
    }

    #[test]
    fn a_path_from_the_envelope_is_told_in_the_contracts_words() {
        let homes = homes();
        assert_eq!(homes.told("application.mortgage_registration.kind"), "matter.kind");
        assert_eq!(homes.told("application.branch.code"), "branch.code");
        assert_eq!(homes.told("exchange.date"), "exchange.date");
    }
}
