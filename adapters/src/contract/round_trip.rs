//! Invertible: whatever a message of any contract in the tree can carry is read back as it was
//! written.
//!
//! The values are made from the template's own holes and from the rules of the canonical model, so
//! that a new contract and a new field are tried without a line here. Source:
//! docs/contract-language.md, "What always holds".

#![expect(
    clippy::disallowed_methods,
    reason = "the contracts are files; what is tested still reads none"
)]

use std::{collections::BTreeMap, fs, path::Path as FilePath};

use proptest::prelude::*;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as FieldKind, MessageDescriptor, ReflectMessage, Value,
};
use proto::{
    IdentityNumber,
    rules::{BreachKind, check, rule_of},
    v1::{Envelope, Form, IdType},
};

use super::{Contract, Mode, Reply, dynamic};
use crate::{
    codec::Codec,
    path::{self, Path, Pick, Scope, Start},
    template::{Hole, Leaf, Slot, Template, Unset},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(seed in any::<u64>()) {
        for (bank, contract) in CONTRACTS.iter() {
            for kind in contract.messages.iter().filter(|kind| kind.request.is_some()) {
                let Some(template) = kind.template(Reply::Request) else { continue };
                let envelope = Carried::new(template, seed).envelope(contract);
                let bytes = contract.encode(Some(&kind.name), Reply::Request, &envelope);
                let bytes = bytes.unwrap_or_else(|why| panic!("{bank} {}: {why:?}\n{envelope:#?}", kind.name));
                let decoded = contract.decode(&bytes, Mode::Test);
                let decoded = decoded.unwrap_or_else(|why| panic!("{bank} {}: {why:?}\n{envelope:#?}", kind.name));
                prop_assert_eq!(&decoded.message, &kind.name);
                prop_assert_eq!(&decoded.envelope, &envelope);
                let again = contract.encode(Some(&kind.name), Reply::Request, &decoded.envelope);
                prop_assert_eq!(again.ok(), Some(bytes));
            }
        }
    }
}

static CONTRACTS: std::sync::LazyLock<Vec<(String, Contract)>> = std::sync::LazyLock::new(|| {
    let banks = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    fs::read_dir(banks).unwrap().map(|bank| contract(&bank.unwrap().path())).collect()
});

fn contract(folder: &FilePath) -> (String, Contract) {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    let name = |path: &FilePath| path.file_name().unwrap().to_string_lossy().into_owned();
    let files: BTreeMap<String, String> =
        files.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect();
    let contract = Contract::compile(&files).unwrap();
    if !contract.needs_keys() {
        return (name(folder), contract);
    }
    let key = |side: &str| {
        fs::read_to_string(folder.join(format!("cases/keys/test-{side}.key.pem"))).unwrap()
    };
    (name(folder), contract.with_keys(&key("bank"), &key("gateway")).unwrap())
}

/// One canonical value that a message can carry, made from a row of choices.
struct Carried<'t> {
    template: &'t Template,
    /// Where the row of choices stands.
    choices: u64,
    filled: Vec<Option<DynamicMessage>>,
    /// How many items each numbered list has.
    numbered: BTreeMap<String, usize>,
}

impl<'t> Carried<'t> {
    fn new(template: &'t Template, choices: u64) -> Self {
        let mut filled = Vec::new();
        filled.resize_with(template.homes.len(), || None);
        Self { template, choices, filled, numbered: BTreeMap::new() }
    }

    fn envelope(mut self, contract: &Contract) -> Envelope {
        self.slot(&self.template.root, &mut None);
        let mut filled = std::mem::take(&mut self.filled);
        filled.iter_mut().flatten().for_each(drop_blank);
        let mut envelope = self.template.homes.assemble(filled);
        for _ in 0..200 {
            let breaches = check(&envelope);
            let Some(breach) =
                breaches.iter().find(|breach| !breach.path.ends_with("idempotency_key"))
            else {
                break;
            };
            self.mend(&mut envelope, &breach.path, breach.kind);
        }
        contract.add_key(&mut envelope).unwrap();
        let broken = check(&envelope);
        assert!(broken.is_empty(), "a value was made that breaks rules: {broken:?}");
        let typed = envelope.transcode_to().unwrap();
        assert_eq!(dynamic(&typed).unwrap(), envelope);
        typed
    }

    /// A number below `below`, by the SplitMix64 generator: one seed is one message.
    fn pick(&mut self, below: usize) -> usize {
        self.choices = self.choices.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.choices ^ (self.choices >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from(mixed >> 32).unwrap() % below
    }

    fn slot(&mut self, slot: &'t Slot, item: &mut Option<DynamicMessage>) {
        if let Some(each) = &slot.each {
            let least = usize::from(rule_of(&each.list.field).required);
            for _ in 0..least + self.pick(3) {
                let value = match &each.scope {
                    Scope::Message(message) => Value::Message(self.message(slot, message)),
                    _ => {
                        let hole = slot.leaf.as_ref().and_then(|leaf| leaf.holes().next()).unwrap();
                        self.value(hole.codec(), &hole.path.field, "")
                    }
                };
                let list = self.start(each.list.start, item);
                each.list
                    .holder(list, 0)
                    .unwrap()
                    .get_field_mut(&each.list.field)
                    .as_list_mut()
                    .unwrap()
                    .push(value);
            }
            return;
        }
        match slot.maybe.as_ref().map(|maybe| (&maybe.path, &maybe.scope)) {
            Some(_) if self.pick(2) == 0 => {}
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
        inner.unwrap()
    }

    fn inside(&mut self, slot: &'t Slot, item: &mut Option<DynamicMessage>) {
        for condition in slot.when() {
            self.set(&condition.path, condition.value.clone(), 0, item);
        }
        if let Some(leaf) = &slot.leaf {
            for hole in leaf.holes() {
                self.hole(leaf, hole, item);
            }
        }
        for child in slot.children.iter().chain(slot.embed.iter().map(|embed| &embed.root)) {
            self.slot(child, item);
        }
    }

    fn hole(&mut self, leaf: &Leaf, hole: &Hole, item: &mut Option<DynamicMessage>) {
        let keep_off: String = leaf.separators().collect();
        let in_use = self.is_in_use(&hole.path);
        if !in_use
            || matches!(hole.codec(), Codec::Count)
            || (hole.unset != Unset::Refused && self.pick(2) == 0)
        {
            return;
        }
        if let (Some((_, list)), Codec::List { item: codec, separator }) =
            (hole.path.column_list(), hole.codec())
        {
            let count = self.count(list.full_name());
            for number in 0..count.max(1) {
                let value = self.value(codec, &hole.path.field, &format!("{keep_off}{separator}"));
                self.set(&hole.path, value, number, item);
            }
            return;
        }
        let value = self.value(hole.codec(), &hole.path.field, &keep_off);
        self.set(&hole.path, value, 0, item);
    }

    /// Numbered items are filled from the first on.
    fn is_in_use(&mut self, path: &Path) -> bool {
        for step in &path.steps {
            if let Pick::Numbered(number) = step.pick {
                let count = self.count(step.field.full_name());
                return number < count.max(1);
            }
        }
        true
    }

    fn count(&mut self, list: &str) -> usize {
        let count = self.pick(4);
        *self.numbered.entry(list.to_owned()).or_insert(count)
    }

    fn start<'m>(
        &'m mut self,
        start: Start,
        item: &'m mut Option<DynamicMessage>,
    ) -> &'m mut DynamicMessage {
        match start {
            Start::Item => item.as_mut().unwrap(),
            Start::Home(home) => {
                let message = self.template.homes.home(home).unwrap().message.clone();
                self.filled[home].get_or_insert_with(|| DynamicMessage::new(message))
            }
        }
    }

    fn set(&mut self, path: &Path, value: Value, column: usize, item: &mut Option<DynamicMessage>) {
        let holder = path.holder(self.start(path.start, item), column).unwrap();
        if !holder.has_field(&path.field) {
            *holder.get_field_mut(&path.field) = value;
        }
    }

    /// A value of the field that the codec can write, without any of the characters in `keep_off`.
    fn value(&mut self, codec: &Codec, field: &FieldDescriptor, keep_off: &str) -> Value {
        match codec {
            Codec::Is(text) => return Value::String(text.clone()),
            Codec::List { item, separator } => {
                let keep_off = format!("{keep_off}{separator}");
                return Value::List(
                    (0..=self.pick(3)).map(|_| self.value(item, field, &keep_off)).collect(),
                );
            }
            _ => {}
        }
        match field.kind() {
            FieldKind::Enum(values) => {
                let written: Vec<_> = values
                    .values()
                    .map(|value| Value::EnumNumber(value.number()))
                    .filter(|value| codec.write(value, field).is_ok())
                    .collect();
                written[self.pick(written.len())].clone()
            }
            FieldKind::Bool => Value::Bool(self.pick(2) == 0),
            FieldKind::Int32 => Value::I32(i32::try_from(self.pick(99_999) + 1).unwrap()),
            FieldKind::Int64 => Value::I64(
                i64::try_from((self.pick(1 << 20) + 1) * (self.pick(1 << 20) + 1)).unwrap(),
            ),
            FieldKind::Message(message) => {
                let mut moment = DynamicMessage::new(message);
                let seconds = 1_500_000_000 + i64::try_from(self.pick(1 << 30)).unwrap();
                moment.set_field_by_name("seconds", Value::I64(seconds));
                Value::Message(moment)
            }
            FieldKind::Bytes => Value::Bytes(
                (0..32).map(|_| u8::try_from(self.pick(256)).unwrap()).collect::<Vec<u8>>().into(),
            ),
            _ => Value::String(self.text(field, keep_off)),
        }
    }

    fn text(&mut self, field: &FieldDescriptor, keep_off: &str) -> String {
        const CHARACTERS: [char; 24] = [
            '甄', '𠮷', '䶮', '歐', '（', 'a', 'Z', '0', '9', '<', '>', '&', '"', '\'', '\\', '/',
            '{', '-', ',', '；', '|', ']', ' ', '\n',
        ];
        match rule_of(field).form() {
            Form::Date => format!(
                "20{:02}-{:02}-{:02}",
                self.pick(60) + 10,
                self.pick(12) + 1,
                self.pick(28) + 1
            ),
            Form::Clock => {
                format!("{:02}:{:02}:{:02}", self.pick(24), self.pick(60), self.pick(60))
            }
            Form::UnitCode => {
                format!("140105001002GB{:05}F{:08}", self.pick(100_000), self.pick(100_000_000))
            }
            Form::Share => "1/1".to_owned(),
            Form::IdentityNumber => format!("H{:08}", self.pick(100_000_000)),
            _ if field.parent_message().name() == "Exchange" => {
                format!("S{:05}", self.pick(100_000))
            }
            _ => {
                let characters: Vec<char> = CHARACTERS
                    .iter()
                    .copied()
                    .filter(|character| !keep_off.contains(*character))
                    // A blank that separates may be any blank when it is read.
                    .filter(|character| !(character.is_whitespace() && keep_off.contains(' ')))
                    .collect();
                let inner: String =
                    (0..self.pick(12)).map(|_| characters[self.pick(characters.len())]).collect();
                format!("甲{inner}乙")
            }
        }
    }

    fn mend(&mut self, envelope: &mut DynamicMessage, path: &str, kind: BreachKind) {
        let (before, name) = path.rsplit_once('.').unwrap();
        let name = name.split('[').next().unwrap();
        let holder = at(envelope, before);
        let field = holder.descriptor().get_field_by_name(name).unwrap();
        match kind {
            BreachKind::Forbidden => holder.clear_field(&field),
            BreachKind::Shares => {
                let (before, list) = before.rsplit_once('.').unwrap();
                let list = list.split('[').next().unwrap();
                crate::fake::share_out(at(envelope, before), list);
            }
            BreachKind::Order | BreachKind::TooLate => {
                let earlier = rule_of(&field).not_before.clone();
                let earlier = holder.get_field_by_name(&earlier).unwrap().into_owned();
                holder.set_field(&field, earlier);
            }
            BreachKind::CheckDigit => {
                let id_type =
                    holder.get_field_by_name("id_type").unwrap().as_enum_number().unwrap();
                holder.set_field(
                    &field,
                    Value::String(identity_number(IdType::try_from(id_type).unwrap())),
                );
            }
            BreachKind::Required => {
                let hole = self.hole_of(&field);
                let value = self.value(hole.codec(), &field, "");
                holder_set(holder, &field, value);
            }
            _ => panic!("{path}: {kind:?} is not mended"),
        }
    }

    fn hole_of(&self, field: &FieldDescriptor) -> &'t Hole {
        let mut found = None;
        self.template.root.visit(&mut |slot| {
            found = found.or(slot
                .leaf
                .iter()
                .flat_map(Leaf::holes)
                .find(|hole| hole.path.field == *field));
        });
        found.unwrap_or_else(|| panic!("no hole for {}", field.full_name()))
    }
}

fn holder_set(holder: &mut DynamicMessage, field: &FieldDescriptor, value: Value) {
    *holder.get_field_mut(field) = value;
}

fn at<'m>(message: &'m mut DynamicMessage, path: &str) -> &'m mut DynamicMessage {
    path.split('.').fold(message, |message, word| {
        let (name, number) = word.split_once('[').unwrap_or((word, ""));
        match (message.get_field_by_name_mut(name).unwrap(), number.trim_end_matches(']')) {
            (Value::Message(inner), _) => inner,
            (Value::List(items), number) => {
                items[number.parse::<usize>().unwrap()].as_message_mut().unwrap()
            }
            _ => panic!("{path} leads nowhere"),
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

/// A number of that document with the right check digit.
fn identity_number(id_type: IdType) -> String {
    let body =
        if id_type == IdType::ResidentId { "14010519880312402" } else { "91140105MA0KX1F2A" };
    let digits = "0123456789ABCDEFGHJKLMNPQRTUWXY".chars().map(|check| format!("{body}{check}"));
    digits.into_iter().find(|number| IdentityNumber::parse(id_type, number).is_ok()).unwrap()
}
