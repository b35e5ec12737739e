//! The rules of the canonical model, as its fields carry them: what is required, how long, in which
//! form, and what depends on what.
//!
//! They stand in the descriptors (`directlink/v1/rules.proto`); no list of fields stands here. They
//! are read once, into a table per message; checking a message that is right allocates nothing, but
//! where shares are stated.
//! What the rules are called towards a bank is not said here.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

use crate::{
    clock,
    date::Date,
    descriptors, division_code, golden, identity_number, malformed,
    share::{self, Share},
    unit_code,
    v1::{FieldRule, Form, IdType},
};

/// One rule that a message breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The field, as a path from the message given: `mortgagors[0].id_number`. For `Order` the date
    /// that comes too early.
    pub path: String,
    /// Which rule.
    pub kind: BreachKind,
}

/// The rules that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreachKind {
    /// The field must be set (a list must have an item), always or because of a sibling's value.
    Required,
    /// The field may not be set beside a sibling's value.
    Forbidden,
    /// The date precedes the one it may not precede.
    Order,
    /// The date is too many years after the one it follows.
    TooLate,
    /// The shares of the parties do not make what they must.
    Shares,
    /// An identity number whose check digit or checked form is wrong.
    CheckDigit,
    /// The text is not of its form.
    Form,
    /// The text has too many characters.
    TooLong,
    /// The number is not above zero.
    NotPositive,
}

/// The rule of a field; the empty rule for a field without one.
pub fn rule_of(field: &FieldDescriptor) -> &'static FieldRule {
    RULES.get(field.full_name()).unwrap_or(&NO_RULE)
}

/// Every rule that `message`, or a message inside it, breaks, in order of field numbers. Fields
/// that the gateway fills in are left out. What hangs on a sibling is only asked where that sibling
/// is set, so a missing field is told once.
pub fn check(message: &DynamicMessage) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let descriptor = message.descriptor();
    if let Some(place) = TABLE.places.get(descriptor.full_name()) {
        TABLE.check(*place, message, &Trail::Root, &mut breaches);
    }
    breaches
}

/// A rule's condition on a sibling field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The sibling's name.
    pub sibling: String,
    /// Its values, written without their type's prefix, any of which fulfils the condition.
    pub values: Vec<String>,
}

impl Condition {
    /// The condition in a rule's `exactly_when` or `only_when`: `sibling=VALUE|VALUE`; `None` for
    /// an empty one.
    pub fn parse(text: &str) -> Option<Self> {
        let (sibling, values) = text.split_once('=')?;
        let values = values.split('|').map(str::to_owned).collect();
        Some(Self { sibling: sibling.to_owned(), values })
    }
}

static NO_RULE: LazyLock<FieldRule> = LazyLock::new(FieldRule::default);

static RULES: LazyLock<HashMap<String, FieldRule>> = LazyLock::new(|| {
    let Some(option) = descriptors::pool().get_extension_by_name("directlink.v1.rule") else {
        return HashMap::new();
    };
    let rule = |field: FieldDescriptor| {
        let options = field.options();
        let rule = options.get_extension(&option);
        let rule = options.has_extension(&option).then(|| rule.as_message())??;
        Some((field.full_name().to_owned(), rule.transcode_to().ok()?))
    };
    let messages = descriptors::pool().all_messages();
    messages.flat_map(|message| message.fields().filter_map(rule).collect::<Vec<_>>()).collect()
});

static TABLE: LazyLock<Table> = LazyLock::new(Table::compile);

/// The rules of every message, compiled: fields without a rule, and messages without one inside,
/// are not in it.
struct Table {
    places: HashMap<String, usize>,
    messages: Vec<Vec<Compiled>>,
}

/// What is asked of one field.
struct Compiled {
    field: FieldDescriptor,
    name: Box<str>,
    required: bool,
    positive: bool,
    chars_max: usize,
    form: Form,
    condition: Option<CompiledCondition>,
    /// The field is also required while this holds.
    required_when: Option<CompiledCondition>,
    not_before: Option<FieldDescriptor>,
    years_max: u16,
    /// What the shares of the list's parties must make.
    shares: Option<Whole>,
    /// The sibling that says which document an identity number is from.
    id_type: Option<FieldDescriptor>,
    /// The place in the table of the messages inside.
    inner: Option<usize>,
}

/// What shares must make.
enum Whole {
    /// One.
    One,
    /// As much as those of a sibling list.
    As(FieldDescriptor),
}

struct CompiledCondition {
    sibling: FieldDescriptor,
    numbers: Vec<i32>,
    /// The field is also required while the condition holds.
    exactly: bool,
}

impl Table {
    fn compile() -> Self {
        let messages: Vec<MessageDescriptor> = descriptors::pool().all_messages().collect();
        let places: HashMap<String, usize> = messages
            .iter()
            .enumerate()
            .map(|(place, message)| (message.full_name().to_owned(), place))
            .collect();
        let messages = messages
            .iter()
            .map(|message| {
                let compiled = message.fields().map(|field| Compiled::new(message, field, &places));
                compiled.flatten().collect()
            })
            .collect();
        Self { places, messages }
    }

    fn check(
        &self,
        place: usize,
        message: &DynamicMessage,
        trail: &Trail<'_>,
        breaches: &mut Vec<Breach>,
    ) {
        for compiled in self.messages.get(place).into_iter().flatten() {
            let trail = Trail::Field(trail, &compiled.name);
            if !message.has_field(&compiled.field) {
                if compiled.is_required(message) {
                    breaches.push(trail.breach(BreachKind::Required));
                }
                continue;
            }
            if compiled.is_forbidden(message) {
                breaches.push(trail.breach(BreachKind::Forbidden));
                continue;
            }
            match message.get_field(&compiled.field).as_ref() {
                Value::List(items) => {
                    compiled.check_shares(items, message, &trail, breaches);
                    for (index, item) in items.iter().enumerate() {
                        let trail = Trail::Item(&trail, index);
                        self.check_value(compiled, item, message, &trail, breaches);
                    }
                }
                value => self.check_value(compiled, value, message, &trail, breaches),
            }
        }
    }

    fn check_value(
        &self,
        compiled: &Compiled,
        value: &Value,
        message: &DynamicMessage,
        trail: &Trail<'_>,
        breaches: &mut Vec<Breach>,
    ) {
        let breach = match value {
            Value::Message(inner) => {
                if let Some(place) = compiled.inner {
                    self.check(place, inner, trail, breaches);
                }
                None
            }
            Value::String(text) => compiled.text_breach(text, message),
            Value::I32(number) if compiled.positive && *number <= 0 => {
                Some(BreachKind::NotPositive)
            }
            Value::I64(number) if compiled.positive && *number <= 0 => {
                Some(BreachKind::NotPositive)
            }
            _ => None,
        };
        breaches.extend(breach.map(|kind| trail.breach(kind)));
    }
}

impl Compiled {
    fn new(
        message: &MessageDescriptor,
        field: FieldDescriptor,
        places: &HashMap<String, usize>,
    ) -> Option<Self> {
        let rule = rule_of(&field);
        let inner = match field.kind() {
            Kind::Message(inner) => places.get(inner.full_name()).copied(),
            _ => None,
        };
        if rule.by_gateway || (*rule == *NO_RULE && inner.is_none()) {
            return None;
        }
        let condition = CompiledCondition::new(message, &rule.exactly_when, true)
            .or_else(|| CompiledCondition::new(message, &rule.only_when, false));
        let shares = match message.get_field_by_name(&rule.shares_as) {
            Some(sibling) => Some(Whole::As(sibling)),
            None => rule.shares_make_one.then_some(Whole::One),
        };
        let form = rule.form();
        let id_type = match form {
            Form::IdentityNumber => message.get_field_by_name("id_type"),
            _ => None,
        };
        Some(Self {
            name: field.name().into(),
            required: rule.required,
            positive: rule.positive,
            chars_max: usize::try_from(rule.chars_max).unwrap_or_default(),
            form,
            condition,
            required_when: CompiledCondition::new(message, &rule.required_when, true),
            years_max: u16::try_from(rule.years_max).unwrap_or_default(),
            shares,
            not_before: message.get_field_by_name(&rule.not_before),
            id_type,
            inner,
            field,
        })
    }

    fn is_required(&self, message: &DynamicMessage) -> bool {
        let by_condition = |condition: &CompiledCondition| {
            condition.exactly && condition.holds(message) == Some(true)
        };
        self.required
            || [&self.condition, &self.required_when].into_iter().flatten().any(by_condition)
    }

    /// For each property, the shares of those it belongs to. What is no share is told at itself, and nothing follows from
    /// it.
    fn check_shares(
        &self,
        parties: &[Value],
        message: &DynamicMessage,
        trail: &Trail<'_>,
        breaches: &mut Vec<Breach>,
    ) {
        let Some(whole) = &self.shares else { return };
        if !parties.iter().any(states_share) {
            return;
        }
        let mut told = Vec::new();
        for property in Share::properties(parties) {
            let Ok((first, shares)) = Share::stated(parties, property) else { continue };
            let Some(first) = first else { continue };
            let holds = match whole {
                Whole::One => shares.as_deref().is_some_and(share::make_one),
                Whole::As(sibling) => {
                    let theirs = message.get_field(sibling);
                    let theirs = Share::stated(theirs.as_list().unwrap_or(&[]), property);
                    match (shares, theirs) {
                        (Some(shares), Ok((Some(_), Some(theirs)))) => {
                            share::make_as_much(&shares, &theirs)
                        }
                        (Some(shares), Ok((None, _))) => share::make_one(&shares),
                        // The sibling's own faults are told there.
                        (Some(_), Ok((Some(_), None)) | Err(_)) => true,
                        (None, _) => false,
                    }
                }
            };
            if !holds && !told.contains(&first) {
                told.push(first);
            }
        }
        for first in told {
            let item = Trail::Item(trail, first);
            breaches.push(Trail::Field(&item, "share").breach(BreachKind::Shares));
        }
    }

    fn is_forbidden(&self, message: &DynamicMessage) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.holds(message) == Some(false))
    }

    fn text_breach(&self, text: &str, message: &DynamicMessage) -> Option<BreachKind> {
        // Characters are never more than bytes.
        if self.chars_max > 0
            && text.len() > self.chars_max
            && text.chars().count() > self.chars_max
        {
            return Some(BreachKind::TooLong);
        }
        let in_form = match self.form {
            Form::Unspecified => true,
            Form::Date => return self.date_breach(text, message),
            Form::Clock => clock::seconds_of(text).is_some(),
            Form::UnitCode => unit_code::is_unit_code(text),
            Form::Key => malformed::is_visible_ascii(text, 128),
            Form::Division => division_code::is_division(text.as_bytes()),
            Form::Share => Share::parse(text).is_ok(),
            Form::IdentityNumber => return self.identity_breach(text, message),
        };
        (!in_form).then_some(BreachKind::Form)
    }

    fn date_breach(&self, text: &str, message: &DynamicMessage) -> Option<BreachKind> {
        let Ok(date) = Date::parse(text) else { return Some(BreachKind::Form) };
        let earliest = message.get_field(self.not_before.as_ref()?);
        // An earliest day that is no day is told at its own field.
        let earliest = Date::parse(earliest.as_str()?).ok()?;
        if date < earliest {
            return Some(BreachKind::Order);
        }
        let last = earliest.years_later(self.years_max).filter(|_| self.years_max > 0)?;
        (date > last).then_some(BreachKind::TooLate)
    }

    fn identity_breach(&self, text: &str, message: &DynamicMessage) -> Option<BreachKind> {
        let number = message.get_field(self.id_type.as_ref()?).as_enum_number()?;
        let id_type = IdType::try_from(number).unwrap_or_default();
        if identity_number::check(id_type, text).is_ok() {
            return None;
        }
        match id_type {
            // A number one digit short has no right check digit either: to a bank it is one fault.
            IdType::ResidentId | IdType::UnifiedSocialCreditCode => Some(BreachKind::CheckDigit),
            _ => Some(BreachKind::Form),
        }
    }
}

impl Share {
    /// The properties that shares are of: those that parties name, or the one of a message whose parties name none.
    fn properties(parties: &[Value]) -> Vec<Option<i32>> {
        let mut named: Vec<_> = parties.iter().flat_map(indexes).map(Some).collect();
        named.sort_unstable();
        named.dedup();
        if named.is_empty() { vec![None] } else { named }
    }

    /// The first party who states a share of the property, and all shares of it; no shares where one of those it belongs to
    /// states none.
    fn stated(
        parties: &[Value],
        property: Option<i32>,
    ) -> Result<(Option<usize>, Option<Vec<Self>>), malformed::Malformed> {
        let (mut first, mut shares) = (None, Some(Vec::new()));
        for (place, party) in parties.iter().enumerate() {
            let indexes = indexes(party);
            if property.is_some_and(|it| !indexes.is_empty() && !indexes.contains(&it)) {
                continue;
            }
            match text_of(party, "share").filter(|text| !text.is_empty()) {
                Some(text) => {
                    first = first.or(Some(place));
                    let share = Self::parse(&text)?;
                    shares.iter_mut().for_each(|shares| shares.push(share));
                }
                None => shares = None,
            }
        }
        Ok((first, shares))
    }
}

fn states_share(party: &Value) -> bool {
    let party = party.as_message();
    party.is_some_and(|party| party.has_field_by_name("share"))
}

fn indexes(party: &Value) -> Vec<i32> {
    let party = party.as_message();
    let indexes = party.and_then(|party| party.get_field_by_name("property_indexes"));
    let indexes = indexes.as_ref().and_then(|value| value.as_list());
    indexes.into_iter().flatten().filter_map(Value::as_i32).collect()
}

fn text_of(party: &Value, name: &str) -> Option<String> {
    party.as_message()?.get_field_by_name(name)?.as_str().map(str::to_owned)
}

impl CompiledCondition {
    fn new(message: &MessageDescriptor, condition: &str, exactly: bool) -> Option<Self> {
        let condition = Condition::parse(condition)?;
        let sibling = message.get_field_by_name(&condition.sibling)?;
        let Kind::Enum(of) = sibling.kind() else { return None };
        let bare_names = |number: &i32| {
            let value = of.get_value(*number);
            value.is_some_and(|value| {
                condition.values.iter().any(|name| name == golden::bare_name(&of, value.name()))
            })
        };
        let numbers = of.values().map(|value| value.number()).filter(bare_names).collect();
        Some(Self { sibling, numbers, exactly })
    }

    /// `None` while the sibling is unset: that is told at the sibling, and nothing follows from it.
    fn holds(&self, message: &DynamicMessage) -> Option<bool> {
        let number = message.get_field(&self.sibling).as_enum_number()?;
        (number != 0).then(|| self.numbers.contains(&number))
    }
}

/// Where the walk stands; a path is only made of it for a breach.
enum Trail<'t> {
    Root,
    Field(&'t Trail<'t>, &'t str),
    Item(&'t Trail<'t>, usize),
}

impl Trail<'_> {
    fn breach(&self, kind: BreachKind) -> Breach {
        let mut path = String::new();
        self.write(&mut path);
        Breach { path, kind }
    }

    fn write(&self, path: &mut String) {
        match self {
            Self::Root => {}
            Self::Field(parent, name) => {
                parent.write(path);
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Self::Item(parent, index) => {
                parent.write(path);
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::cases;

    fn mortgage() -> Json {
        json!({
            "kind": "GENERAL", "stage": "EXISTING",
            "properties": [{"unit_code": "140105001002GB00031F00010023", "area_dm2": 8950}],
            "mortgagors": [{
                "name": "甄砚秋", "id_type": "RESIDENT_ID", "id_number": "140105198803124029",
            }],
            "mortgagees": [{
                "name": "示例银行", "id_type": "UNIFIED_SOCIAL_CREDIT_CODE",
                "id_number": "91140105MA0KX1F2AA",
            }],
            "secured_amount_fen": 120_000_000,
            "debt_from": "2026-03-01", "debt_to": "2046-02-28",
            "guarantee_scope": "全部债权", "contract_number": "1", "contract_date": "2026-02-27",
        })
    }

    fn told(message: &str, json: &Json) -> Vec<(String, BreachKind)> {
        let message = descriptors::message(message).unwrap();
        let message = golden::read(&message, json).unwrap();
        check(&message).into_iter().map(|breach| (breach.path, breach.kind)).collect()
    }

    /// What is told of a mortgage in which one member is replaced (by null: removed).
    fn told_with(pointer: &str, value: Json) -> Vec<(String, BreachKind)> {
        let mut mortgage = mortgage();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = mortgage.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Json::Null => parent.remove(name),
            value => parent.insert(name.to_owned(), value),
        };
        told("MortgageRegistration", &mortgage)
    }

    fn one(path: &str, kind: BreachKind) -> Vec<(String, BreachKind)> {
        vec![(path.to_owned(), kind)]
    }

    #[test]
    fn a_right_mortgage_breaks_nothing() {
        assert_eq!(told("MortgageRegistration", &mortgage()), []);
    }

    #[test]
    fn each_rule_is_told_at_its_field() {
        use BreachKind::*;
        for (pointer, value, path, kind) in [
            ("/contract_number", Json::Null, "contract_number", Required),
            ("/properties", json!([]), "properties", Required),
            ("/kind", Json::Null, "kind", Required),
            ("/secured_amount_fen", Json::Null, "secured_amount_fen", Required),
            ("/maximum_amount_fen", json!(1), "maximum_amount_fen", Forbidden),
            ("/secured_amount_fen", json!(0), "secured_amount_fen", NotPositive),
            ("/rank", json!(0), "rank", NotPositive),
            ("/properties/0/area_dm2", json!(-1), "properties[0].area_dm2", NotPositive),
            ("/debt_to", json!("2026-02-28"), "debt_to", Order),
            ("/debt_from", json!("2026-02-30"), "debt_from", Form),
            ("/contract_number", json!("号".repeat(201)), "contract_number", TooLong),
            ("/properties/0/unit_code", json!("1"), "properties[0].unit_code", Form),
            (
                "/properties/0/title_numbers",
                json!(["1", "2".repeat(201)]),
                "properties[0].title_numbers[1]",
                TooLong,
            ),
            (
                "/mortgagors/0/id_number",
                json!("140105198803124020"),
                "mortgagors[0].id_number",
                CheckDigit,
            ),
            (
                "/mortgagees/0/id_number",
                json!("91140105MA0KX1F2AB"),
                "mortgagees[0].id_number",
                CheckDigit,
            ),
            ("/mortgagors/0/name", Json::Null, "mortgagors[0].name", Required),
            (
                "/mortgagors/0/agent",
                json!({"name": "司南星", "id_type": "PASSPORT", "id_number": "e1"}),
                "mortgagors[0].agent.id_number",
                Form,
            ),
        ] {
            assert_eq!(told_with(pointer, value), one(path, kind), "{pointer}");
        }
    }

    #[test]
    fn shares_make_one_for_each_property_or_none_is_stated() {
        let owner = |share: &str, indexes: &[i32]| {
            let mut owner = mortgage()["mortgagors"][0].clone();
            owner["property_indexes"] = json!(indexes);
            if !share.is_empty() {
                owner["share"] = json!(share);
            }
            owner
        };
        let told = |owners: &[Json]| told_with("/mortgagors", json!(owners));
        let shares = |place: &str| one(place, BreachKind::Shares);
        for fine in [
            vec![owner("", &[]), owner("", &[])],
            vec![owner("33.33%", &[]), owner("33.33%", &[]), owner("33.33%", &[])],
            vec![owner("1/2", &[0]), owner("1/2", &[0]), owner("1/1", &[1])],
        ] {
            assert_eq!(told(&fine), []);
        }
        assert_eq!(told(&[owner("1/2", &[]), owner("1/3", &[])]), shares("mortgagors[0].share"));
        assert_eq!(told(&[owner("", &[]), owner("1/1", &[])]), shares("mortgagors[1].share"));
        assert_eq!(
            told(&[owner("1/2", &[0]), owner("1/2", &[0]), owner("1/2", &[1])]),
            shares("mortgagors[2].share")
        );
        assert_eq!(told(&[owner("half", &[])]), one("mortgagors[0].share", BreachKind::Form));
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(told_with("/contract_number", json!("号".repeat(200))), []);
    }

    #[test]
    fn the_same_day_is_in_order() {
        assert_eq!(told_with("/debt_to", json!("2026-03-01")), []);
    }

    #[test]
    fn another_kind_turns_the_amounts_around() {
        let told = told_with("/kind", json!("MAXIMUM"));
        let secured = ("secured_amount_fen".to_owned(), BreachKind::Forbidden);
        let maximum = ("maximum_amount_fen".to_owned(), BreachKind::Required);
        assert_eq!(told, [secured, maximum]);
    }

    #[test]
    fn nothing_follows_from_an_unset_document_type() {
        assert_eq!(
            told_with("/mortgagors/0/id_type", Json::Null),
            one("mortgagors[0].id_type", BreachKind::Required)
        );
    }

    #[test]
    fn what_a_seizure_holds_depends_on_the_action() {
        let seizure = |action: &str| {
            json!({
                "action": action, "enforcement_case_number": "1", "assistance_notice_number": "2",
                "properties": [{"location": "示例路18号"}],
                "subjects": [{"name": "甄砚秋", "id_type": "OTHER", "id_number": "1"}],
                "officers": [{"name": "司南星", "credential_number": "3"}],
                "seized_from": "2026-03-01", "seized_to": "2029-02-28",
            })
        };
        assert_eq!(told("Seizure", &seizure("QUEUE")), []);
        let mut long = seizure("SEIZE");
        long["seized_to"] = json!("2029-03-02");
        assert_eq!(told("Seizure", &long), one("seized_to", BreachKind::TooLate));
        let mut undated = seizure("SEIZE");
        undated.as_object_mut().unwrap().remove("seized_from");
        assert_eq!(told("Seizure", &undated), one("seized_from", BreachKind::Required));
        let told = told("Seizure", &seizure("RELEASE"));
        assert_eq!(
            told.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
            ["seized_from", "seized_to", "prior_entry_number"]
        );
    }

    #[test]
    fn the_walk_goes_through_the_whole_envelope_but_the_gateways_fields() {
        let envelope = json!({
            "exchange": {"date": "20260305", "reply_serial": ""},
            "application": {"mortgage_registration": mortgage(), "institution": {"name": "无号"}},
        });
        assert_eq!(
            told("Envelope", &envelope),
            [
                ("exchange.date".to_owned(), BreachKind::Form),
                ("application.idempotency_key".to_owned(), BreachKind::Required),
            ]
        );
    }

    #[test]
    fn every_message_that_the_contracts_accept_breaks_nothing() {
        for (file, json) in cases::golden(&[".canonical.json"]) {
            assert_eq!(told("Envelope", &json), [], "{}", file.display());
        }
    }

    #[test]
    fn every_condition_in_the_model_names_a_sibling_and_its_values() {
        for message in descriptors::pool().all_messages() {
            for field in message.fields() {
                let rule = rule_of(&field);
                for text in [&rule.exactly_when, &rule.only_when, &rule.required_when] {
                    let Some(condition) = Condition::parse(text) else {
                        assert!(text.is_empty(), "{}", field.full_name());
                        continue;
                    };
                    let compiled = CompiledCondition::new(&message, text, true).unwrap();
                    assert_eq!(
                        compiled.numbers.len(),
                        condition.values.len(),
                        "{}",
                        field.full_name()
                    );
                }
                for sibling in [&rule.shares_as].into_iter().filter(|it| !it.is_empty()) {
                    assert!(message.get_field_by_name(sibling).is_some(), "{}", field.full_name());
                }
                if !rule.not_before.is_empty() {
                    assert!(
                        message.get_field_by_name(&rule.not_before).is_some(),
                        "{}",
                        field.full_name()
                    );
                }
            }
        }
    }

    #[test]
    fn rules_are_read_from_the_descriptors() {
        let party = descriptors::message("Party").unwrap();
        let rule = rule_of(&party.get_field_by_name("name").unwrap());
        assert!(rule.required && rule.personal && rule.chars_max == 200);
        assert_eq!(rule_of(&party.get_field_by_name("kind").unwrap()), &FieldRule::default());
    }
}
