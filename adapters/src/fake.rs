//! Made-up messages in a bank's own bytes: for load, for trying a gateway out, for tests.
//!
//! One seed is one message, always the same: there is no source of randomness here, and no clock. What is made is within
//! the rules of the canonical model (check digits, days that exist, who needs what), read from the descriptors, and is
//! handed out only if the contract itself decodes it to what it was made from. Nobody real is meant by any value.

use std::collections::BTreeMap;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};
use proto::{
    DivisionCode, IdentityNumber,
    rules::{BreachKind, check, rule_of},
    v1::{Envelope, Form, IdType},
};

use crate::{
    codec::Codec,
    contract::{CannotWrite, Contract, Mode, Reply},
    path::{self, Path, Pick, Scope, Start},
    template::{Hole, Leaf, Slot, Template, Unset},
};

/// Seeds tried for one message before it is given up.
const ATTEMPTS_MAX: u64 = 64;

/// Rules mended in one message before it is given up.
const MENDED_MAX: usize = 300;

impl Contract {
    /// A valid message of this kind, as the bank would send it; the acknowledgement, where the bank sends nothing else.
    /// `division` is where its properties lie, so that a gateway finds their office; anywhere if `None`.
    ///
    /// # Errors
    /// There is no such message, or none could be made.
    pub fn fake(
        &self,
        message: &str,
        seed: u64,
        division: Option<&DivisionCode>,
    ) -> Result<Vec<u8>, CannotWrite> {
        let sent = |direction| matches!(direction, Reply::Request | Reply::Ack);
        let mut templates = self.templates();
        let found = templates.find(|(name, reply, _)| *name == message && sent(*reply));
        let Some((_, reply, template)) = found else {
            return Err(cannot("", format!("the bank sends no message `{message}`")));
        };
        let mut last = cannot("", "none could be made".to_owned());
        for attempt in 0..ATTEMPTS_MAX {
            let dice = Dice::new(seed, attempt);
            let made = Maker::new(template, dice, division, PLAUSIBLE)
                .envelope(self)
                .and_then(|envelope| self.made(message, reply, &envelope));
            match made {
                Ok(bytes) => return Ok(bytes),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// The bytes, if they mean what they were made from.
    fn made(
        &self,
        message: &str,
        reply: Reply,
        envelope: &Envelope,
    ) -> Result<Vec<u8>, CannotWrite> {
        let bytes = self.encode(Some(message), reply, envelope)?;
        match self.decode(&bytes, Mode::Test) {
            Ok(decoded) if decoded.message == message && decoded.envelope == *envelope => Ok(bytes),
            Ok(decoded) => {
                let told = format!("was read as another thing ({})", decoded.message);
                Err(cannot("", told))
            }
            Err(undecoded) => {
                let fault = undecoded.faults.into_iter().next();
                let told =
                    fault.map(|fault| (fault.field.unwrap_or_default(), fault.code.as_str()));
                let (field, code) = told.unwrap_or_default();
                Err(cannot(&field, format!("was refused: {code}")))
            }
        }
    }
}

/// A row of numbers that one seed always gives: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, attempt: u64) -> Self {
        let mut dice = Self(seed);
        // Seeds one apart give messages far apart.
        dice.0 = dice.next() ^ attempt.wrapping_mul(0xD134_2543_DE82_EF95);
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `from` to `to`, both included.
    pub(crate) fn number(&mut self, from: i64, to: i64) -> i64 {
        let span = to.abs_diff(from).saturating_add(1);
        let step = self.next().checked_rem(span).unwrap_or_default();
        from.saturating_add_unsigned(step)
    }

    pub(crate) fn count(&mut self, from: usize, to: usize) -> usize {
        let span = u64::try_from(to.saturating_sub(from)).unwrap_or_default().saturating_add(1);
        let step = self.next().checked_rem(span).unwrap_or_default();
        from.saturating_add(usize::try_from(step).unwrap_or_default())
    }

    /// True once in `times`.
    fn once_in(&mut self, times: i64) -> bool {
        self.number(1, times) == 1
    }

    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.count(0, of.len().saturating_sub(1)))
    }

    pub(crate) fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| char::from(b"0123456789".get(self.count(0, 9)).copied().unwrap_or(b'0')))
            .collect()
    }
}

/// What is made where the rules leave it open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// A text for a field that has no form.
    pub(crate) words: fn(&mut Dice, &FieldDescriptor) -> String,
    /// An amount in fen.
    pub(crate) amount: fn(&mut Dice) -> i64,
    /// One optional value in so many is left out.
    pub(crate) left_out: i64,
    /// How many items a list has at most beyond what it needs.
    pub(crate) more: usize,
}

/// As banks' customers fill things in.
const PLAUSIBLE: Manner = Manner { words, amount, left_out: 3, more: 1 };

/// Makes one canonical message that a template can carry.
pub(crate) struct Maker<'t> {
    template: &'t Template,
    dice: Dice,
    manner: Manner,
    /// Where properties lie.
    division: Option<&'t DivisionCode>,
    filled: Vec<Option<DynamicMessage>>,
    /// How many items each numbered list has.
    numbered: BTreeMap<String, usize>,
}

impl<'t> Maker<'t> {
    pub(crate) fn new(
        template: &'t Template,
        dice: Dice,
        division: Option<&'t DivisionCode>,
        manner: Manner,
    ) -> Self {
        let mut filled = Vec::new();
        filled.resize_with(template.homes.len(), || None);
        Self { template, dice, manner, division, filled, numbered: BTreeMap::new() }
    }

    pub(crate) fn envelope(mut self, contract: &Contract) -> Result<Envelope, CannotWrite> {
        self.slot(&self.template.root, &mut None);
        let mut filled = std::mem::take(&mut self.filled);
        filled.iter_mut().flatten().for_each(drop_blank);
        let mut envelope = self.template.homes.assemble(filled);
        for _ in 0..MENDED_MAX {
            let breach = check(&envelope)
                .into_iter()
                .find(|breach| !breach.path.ends_with("idempotency_key"));
            let Some(breach) = breach else { break };
            self.mend(&mut envelope, &breach.path, breach.kind)
                .ok_or_else(|| cannot(&breach.path, format!("{:?} is not mended", breach.kind)))?;
        }
        contract.add_key(&mut envelope)?;
        if let Some(breach) = check(&envelope).into_iter().next() {
            return Err(cannot(&breach.path, format!("breaks a rule: {:?}", breach.kind)));
        }
        envelope.transcode_to().map_err(|error| cannot("", error.to_string()))
    }

    fn slot(&mut self, slot: &'t Slot, item: &mut Option<DynamicMessage>) {
        if let Some(each) = slot.each() {
            let least = usize::from(rule_of(&each.list.field).required);
            for _ in 0..self.dice.count(least, least.saturating_add(self.manner.more)) {
                let value = match &each.scope {
                    Scope::Message(message) => Some(Value::Message(self.message(slot, message))),
                    _ => slot.leaf.as_ref().and_then(|leaf| {
                        let hole = leaf.holes().next()?;
                        self.value(hole.codec(), &hole.path.field, "")
                    }),
                };
                let Some(value) = value else { continue };
                let holder = self.start(each.list.start, item);
                if let Some(list) = holder
                    .and_then(|holder| each.list.holder(holder, 0))
                    .and_then(|holder| holder.get_field_mut(&each.list.field).as_list_mut())
                {
                    list.push(value);
                }
            }
            return;
        }
        match slot.maybe().map(|maybe| (&maybe.path, &maybe.scope)) {
            Some(_) if self.dice.once_in(2) => {}
            Some((path, Some(Scope::Message(message)))) => {
                let value = Value::Message(self.message(slot, message));
                self.set(path, value, 0, item);
            }
            _ => self.inside(slot, item),
        }
    }

    fn message(&mut self, slot: &'t Slot, message: &MessageDescriptor) -> DynamicMessage {
        let mut inner = Some(DynamicMessage::new(message.clone()));
        self.inside(slot, &mut inner);
        inner.unwrap_or_else(|| DynamicMessage::new(message.clone()))
    }

    fn inside(&mut self, slot: &'t Slot, item: &mut Option<DynamicMessage>) {
        for condition in slot.when() {
            self.set(&condition.path, condition.value.clone(), 0, item);
        }
        for hole in slot.leaf.iter().flat_map(Leaf::holes) {
            let keep_off: String = slot.leaf.iter().flat_map(Leaf::separators).collect();
            self.hole(&keep_off, hole, item);
        }
        for child in slot.inside() {
            self.slot(child, item);
        }
    }

    fn hole(&mut self, keep_off: &str, hole: &Hole, item: &mut Option<DynamicMessage>) {
        let left_out = hole.unset != Unset::Refused && self.dice.once_in(self.manner.left_out);
        if !self.is_in_use(&hole.path) || matches!(hole.codec(), Codec::Count) || left_out {
            return;
        }
        if let (Some((_, list)), Codec::List { item: codec, separator }) =
            (hole.path.column_list(), hole.codec())
        {
            let keep_off = format!("{keep_off}{separator}");
            for number in 0..self.numbered(list.full_name()) {
                if let Some(value) = self.value(codec, &hole.path.field, &keep_off) {
                    self.set(&hole.path, value, number, item);
                }
            }
            return;
        }
        if let Some(value) = self.value(hole.codec(), &hole.path.field, keep_off) {
            self.set(&hole.path, value, 0, item);
        }
    }

    /// Numbered items are filled from the first on.
    fn is_in_use(&mut self, path: &Path) -> bool {
        let numbers: Vec<(String, usize)> = path
            .steps
            .iter()
            .filter_map(|step| match step.pick {
                Pick::Numbered(number) => Some((step.field.full_name().to_owned(), number)),
                Pick::Whole | Pick::Column => None,
            })
            .collect();
        numbers.iter().all(|(list, number)| *number < self.numbered(list))
    }

    fn numbered(&mut self, list: &str) -> usize {
        let count = self.dice.count(1, self.manner.more.saturating_add(1));
        *self.numbered.entry(list.to_owned()).or_insert(count)
    }

    fn start<'m>(
        &'m mut self,
        start: Start,
        item: &'m mut Option<DynamicMessage>,
    ) -> Option<&'m mut DynamicMessage> {
        match start {
            Start::Item => item.as_mut(),
            Start::Home(home) => {
                let message = self.template.homes.home(home)?.message.clone();
                Some(self.filled.get_mut(home)?.get_or_insert_with(|| DynamicMessage::new(message)))
            }
        }
    }

    fn set(&mut self, path: &Path, value: Value, column: usize, item: &mut Option<DynamicMessage>) {
        let start = self.start(path.start, item);
        if let Some(holder) = start.and_then(|start| path.holder(start, column))
            && !holder.has_field(&path.field)
        {
            *holder.get_field_mut(&path.field) = value;
        }
    }

    /// A value of the field that the codec can write, without any of the characters in `keep_off`.
    fn value(&mut self, codec: &Codec, field: &FieldDescriptor, keep_off: &str) -> Option<Value> {
        const TRIES: usize = 32;
        if let Codec::List { item, separator } = codec {
            let keep_off = format!("{keep_off}{separator}");
            let count = self.dice.count(1, self.manner.more.saturating_add(1));
            return Some(Value::List(
                (0..count).filter_map(|_| self.value(item, field, &keep_off)).collect(),
            ));
        }
        (0..TRIES).find_map(|_| {
            let value = self.any(codec, field, keep_off)?;
            codec.write(&value, field).is_ok().then_some(value)
        })
    }

    fn any(&mut self, codec: &Codec, field: &FieldDescriptor, keep_off: &str) -> Option<Value> {
        match (codec, field.kind()) {
            (Codec::Is(text), _) => return Some(Value::String(text.clone())),
            (Codec::Code(table), Kind::String) => {
                let written = table.written();
                let (value, _) = self.dice.one(&written)?;
                return Some(Value::String((*value).to_owned()));
            }
            _ => {}
        }
        Some(match field.kind() {
            Kind::Enum(values) => {
                let values: Vec<i32> = values
                    .values()
                    .map(|value| value.number())
                    .filter(|number| *number != 0)
                    .collect();
                Value::EnumNumber(*self.dice.one(&values)?)
            }
            Kind::Bool => Value::Bool(self.dice.once_in(2)),
            // Which of the parties: the first is always there.
            Kind::Int32 if field.name().ends_with("_index") => Value::I32(0),
            Kind::Int32 => Value::I32(i32::try_from(self.dice.number(1, 9)).ok()?),
            Kind::Int64 if field.name().ends_with("_fen") => {
                Value::I64((self.manner.amount)(&mut self.dice))
            }
            Kind::Int64 => Value::I64(self.dice.number(2_000, 30_000)),
            Kind::Message(message) => {
                let mut moment = DynamicMessage::new(message);
                let seconds = self.dice.number(1_700_000_000, 1_900_000_000);
                moment.set_field_by_name("seconds", Value::I64(seconds));
                Value::Message(moment)
            }
            Kind::Bytes => {
                let bytes = (0..32).map(|_| self.dice.next().to_le_bytes()[0]);
                Value::Bytes(bytes.collect::<Vec<u8>>().into())
            }
            _ => Value::String(self.text(field, keep_off)),
        })
    }

    fn text(&mut self, field: &FieldDescriptor, keep_off: &str) -> String {
        let rule = rule_of(field);
        let text = match rule.form() {
            Form::Date => return self.day(),
            Form::Clock => {
                let (hour, minute) = (self.dice.number(0, 23), self.dice.number(0, 59));
                return format!("{hour:02}:{minute:02}:{:02}", self.dice.number(0, 59));
            }
            Form::UnitCode => {
                let division = format!("1{}", self.dice.digits(5));
                let division = self.division.map_or(division.as_str(), DivisionCode::as_str);
                let (area, number) = (self.dice.digits(6), self.dice.digits(5));
                return format!("{division}{area}GB{number}F{}", self.dice.digits(8));
            }
            Form::Division => return format!("1{}", self.dice.digits(5)),
            Form::IdentityNumber => return format!("E{}", self.dice.digits(8)),
            Form::Key => return self.dice.digits(12),
            Form::Share => return "1/1".to_owned(),
            Form::Unspecified => (self.manner.words)(&mut self.dice, field),
        };
        let max = usize::try_from(rule.chars_max).ok().filter(|max| *max > 0).unwrap_or(usize::MAX);
        // A blank that separates may be any blank when it is read.
        let kept = |character: &char| {
            !(keep_off.contains(*character) || character.is_whitespace() && keep_off.contains(' '))
        };
        let text: String = text.chars().filter(kept).take(max).collect();
        if text.is_empty() { "甲".to_owned() } else { text }
    }

    fn day(&mut self) -> String {
        let (year, month) = (self.dice.number(2024, 2026), self.dice.number(1, 12));
        format!("{year}-{month:02}-{:02}", self.dice.number(1, 28))
    }

    fn mend(&mut self, envelope: &mut DynamicMessage, path: &str, kind: BreachKind) -> Option<()> {
        let (before, name) = path.rsplit_once('.')?;
        let name = name.split('[').next()?;
        let holder = at(envelope, before)?;
        let field = holder.descriptor().get_field_by_name(name)?;
        let value = match kind {
            BreachKind::Forbidden => {
                holder.clear_field(&field);
                return Some(());
            }
            BreachKind::Shares => {
                share_out(at(envelope, list_before(before)?)?, list_of(before)?);
                return Some(());
            }
            BreachKind::Order | BreachKind::TooLate => {
                let earlier = holder.get_field_by_name(&rule_of(&field).not_before)?.into_owned();
                Value::String(later(earlier.as_str()?, self.dice.number(1, 30))?)
            }
            BreachKind::CheckDigit => {
                let id_type = holder.get_field_by_name("id_type")?.as_enum_number()?;
                Value::String(self.identity_number(IdType::try_from(id_type).ok()?)?)
            }
            BreachKind::Required => {
                let hole = self.hole_of(&field)?;
                let value = match hole.codec() {
                    Codec::List { item, .. } if hole.path.column_list().is_some() => {
                        self.value(item, &field, "")?
                    }
                    codec => self.value(codec, &field, "")?,
                };
                let is_item = field.is_list() && !matches!(value, Value::List(_));
                if is_item { Value::List(vec![value]) } else { value }
            }
            BreachKind::Form | BreachKind::TooLong | BreachKind::NotPositive => return None,
        };
        holder.set_field(&field, value);
        Some(())
    }

    /// A number of that document with the right check digit.
    fn identity_number(&mut self, id_type: IdType) -> Option<String> {
        let body = match id_type {
            IdType::ResidentId => {
                let (year, month) = (self.dice.number(1950, 2004), self.dice.number(1, 12));
                let day = self.dice.number(1, 28);
                format!("110101{year}{month:02}{day:02}{}", self.dice.digits(3))
            }
            _ => format!("91110101MA{}", self.dice.digits(7)),
        };
        let checks = "0123456789ABCDEFGHJKLMNPQRTUWXY".chars();
        checks
            .map(|check| format!("{body}{check}"))
            .find(|number| IdentityNumber::parse(id_type, number).is_ok())
    }

    fn hole_of(&self, field: &FieldDescriptor) -> Option<&'t Hole> {
        let mut found = None;
        self.template.root.visit(&mut |slot| {
            let mut holes = slot.leaf.iter().flat_map(Leaf::holes);
            found = found.or(holes.find(|hole| hole.path.field == *field));
        });
        found
    }
}

/// Fen: usually whole 万元, sometimes to the fen.
fn amount(dice: &mut Dice) -> i64 {
    let whole = dice.number(10, 2_000).saturating_mul(1_000_000);
    if dice.once_in(3) { whole.saturating_add(dice.number(1, 999_999)) } else { whole }
}

/// A text as people would expect it there, by the field's name; any word where that says nothing.
fn words(dice: &mut Dice, field: &FieldDescriptor) -> String {
    const SURNAMES: [&str; 12] =
        ["甄", "欧阳", "司马", "龚", "𠮷", "䶮", "冼", "歐", "尉迟", "靳", "邬", "荀"];
    const GIVEN: [&str; 12] =
        ["一鸣", "思远", "若水", "怀瑾", "子衿", "望舒", "云", "岚", "𬀩", "婧", "朗", "知微"];
    const ROADS: [&str; 6] = ["望江", "听雨", "枕流", "问渠", "采薇", "栖霞"];
    let of = field.parent_message();
    match field.name() {
        "name" | "recipient" if matches!(of.name(), "Party" | "Agent" | "Officer" | "Delivery") => {
            let surname = dice.one(&SURNAMES).copied().unwrap_or_default();
            format!("{surname}{}", dice.one(&GIVEN).copied().unwrap_or_default())
        }
        "name" if of.name() == "Material" => format!("{}.pdf", dice.digits(6)),
        "media_type" => "application/pdf".to_owned(),
        "location" | "address" => {
            let road = dice.one(&ROADS).copied().unwrap_or_default();
            let (number, room) = (dice.number(1, 999), dice.number(101, 3304));
            format!("{road}路{number}号{room}室")
        }
        "phone" => format!("13{}", dice.digits(9)),
        "guarantee_scope" => "主债权及其利息、违约金、实现抵押权的费用".to_owned(),
        "remarks" | "reason" => "贷款".to_owned(),
        name if name.ends_with("_numbers") => {
            format!("某(2026)某某市不动产证明第{}号", dice.digits(7))
        }
        name if name.ends_with("contract_number") => format!("HT{}", dice.digits(10)),
        _ => dice.digits(8),
    }
}

/// The same day, years later.
fn later(day: &str, years: i64) -> Option<String> {
    let (year, rest) = day.split_once('-')?;
    let year = year.parse::<i64>().ok()?.saturating_add(years);
    // The 29th of February is not in every year.
    Some(format!("{year:04}-{}", rest.replace("02-29", "02-28")))
}

fn at<'m>(message: &'m mut DynamicMessage, path: &str) -> Option<&'m mut DynamicMessage> {
    path.split('.').try_fold(message, |message, word| {
        let (name, number) = word.split_once('[').unwrap_or((word, ""));
        match message.get_field_by_name_mut(name)? {
            Value::Message(inner) => Some(inner),
            Value::List(items) => {
                items.get_mut(number.trim_end_matches(']').parse::<usize>().ok()?)?.as_message_mut()
            }
            _ => None,
        }
    })
}

/// A numbered item of which nothing is set cannot be carried.
fn drop_blank(message: &mut DynamicMessage) {
    for (_, value) in message.fields_mut() {
        match value {
            Value::Message(inner) => drop_blank(inner),
            Value::List(items) => items.retain(|item| !path::is_blank(item)),
            _ => {}
        }
    }
}

fn cannot(field: &str, reason: String) -> CannotWrite {
    CannotWrite { field: field.to_owned(), reason }
}

/// The list in `a.b.list[0]`, and what stands before it.
fn list_of(item: &str) -> Option<&str> {
    item.rsplit_once('.')?.1.split('[').next()
}

fn list_before(item: &str) -> Option<&str> {
    Some(item.rsplit_once('.')?.0)
}

/// Gives every party of a list an equal share, and of the list that it must balance; none where they own different
/// properties.
fn share_out(holder: &mut DynamicMessage, list: &str) {
    let list = holder.descriptor().get_field_by_name(list);
    let rule = list.as_ref().map(rule_of);
    let sibling = rule.and_then(|rule| holder.descriptor().get_field_by_name(&rule.shares_as));
    for list in [list, sibling].into_iter().flatten() {
        let Value::List(parties) = holder.get_field_mut(&list) else { continue };
        let own_apart = parties.iter().filter_map(Value::as_message).any(|party| {
            party
                .get_field_by_name("property_indexes")
                .is_some_and(|indexes| indexes.as_list().is_some_and(|indexes| !indexes.is_empty()))
        });
        let share = format!("1/{}", parties.len());
        for party in parties.iter_mut().filter_map(Value::as_message_mut) {
            match own_apart {
                true => party.clear_field_by_name("share"),
                false => party.set_field_by_name("share", Value::String(share.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_row_of_numbers() {
        let row = |seed| {
            let mut dice = Dice::new(seed, 0);
            [dice.number(0, 99), dice.number(-5, 5), dice.number(7, 7)]
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
        assert_eq!(row(3)[2], 7);
    }

    #[test]
    fn a_later_day_exists() {
        assert_eq!(later("2024-02-29", 1).as_deref(), Some("2025-02-28"));
    }
}
