//! An application as a back office reads it: parties by their part, properties, amounts, terms, materials, who filed it.
//!
//! Made by reflection over the model, so that a new matter or field shows itself; what it is called stands in the pages'
//! words. Nothing is left out but what is empty.

use gateway::pages::Language;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use proto::v1::{
    Application, Material, MaterialKind, MortgageStage, Party, Property, application::Matter,
};
use serde::Serialize;

use super::super::cases::File;

/// What an application says.
#[derive(Debug, Serialize)]
pub(super) struct Sheet {
    matter: String,
    parties: Vec<Role>,
    amounts: Vec<Amount>,
    terms: Vec<Row>,
    materials: Vec<Paper>,
    evidence: Vec<Row>,
    filing: Vec<Row>,
    delivery: Vec<Row>,
    /// It is the notice of a right, which ends by itself.
    #[serde(skip)]
    pub(super) lapses: bool,
}

/// A name and what stands beside it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    label: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Amount {
    label: String,
    fen: i64,
}

/// The parties of one list.
#[derive(Debug, Serialize)]
struct Role {
    label: String,
    people: Vec<Person>,
}

#[derive(Debug, Default, Serialize)]
struct Person {
    name: String,
    kind: String,
    document: String,
    number: String,
    contact: String,
    held: String,
    /// Which properties, from 1; empty is all.
    concerns: String,
    agent: String,
}

#[derive(Debug, Serialize)]
struct Paper {
    kind: String,
    name: String,
    format: String,
    size: String,
    digest: String,
    /// The bytes came along, or are known by digest or reference.
    came: &'static str,
}

impl Sheet {
    pub(super) fn of(file: &File, language: Language) -> Self {
        let application = &file.application;
        let mut sheet = Self {
            matter: matter(application)
                .map_or_else(String::new, |name| language.word(&format!("matter.{name}"))),
            parties: Vec::new(),
            amounts: Vec::new(),
            terms: Vec::new(),
            materials: application.materials.iter().map(|it| paper(it, language)).collect(),
            evidence: Vec::new(),
            filing: Vec::new(),
            delivery: Vec::new(),
            lapses: lapses(application),
        };
        let Some(message) = proto::descriptors::dynamic("Application", application) else {
            return sheet;
        };
        for (field, value) in message.fields() {
            match (field.name(), value.as_message()) {
                (_, Some(matter)) if is_matter(&field) => sheet.read_matter(matter, language),
                ("delivery", Some(delivery)) => sheet.delivery = rows(delivery, language),
                ("signatures" | "identity_checks", _) => {
                    sheet.evidence.extend(row(&field, value, language));
                }
                ("materials", _) => {}
                _ => sheet.filing.extend(row(&field, value, language)),
            }
        }
        sheet.filing.push(Row {
            label: language.word("field.bank_certificate"),
            value: file.bank_certificate_sha256.clone(),
        });
        sheet
    }

    fn read_matter(&mut self, matter: &DynamicMessage, language: Language) {
        let mut fields: Vec<_> = matter.fields().collect();
        fields.sort_by_key(|(field, _)| field.number());
        for (field, value) in fields {
            let label = language.word(&format!("field.{}", field.name()));
            match (field.kind(), value) {
                (Kind::Message(of), Value::List(list)) if of.name() == "Party" => {
                    let people = list
                        .iter()
                        .filter_map(|it| it.as_message()?.transcode_to::<Party>().ok())
                        .map(|party| person(&party, language))
                        .collect();
                    self.parties.push(Role { label, people });
                }
                (Kind::Message(of), _) if of.name() == "Property" => {}
                (_, Value::I64(fen)) if field.name().ends_with("_fen") => {
                    self.amounts.push(Amount { label, fen: *fen });
                }
                _ => self.terms.extend(row(&field, value, language)),
            }
        }
    }
}

/// The matter's name, as in `Application.matter`.
pub(super) fn matter(application: &Application) -> Option<String> {
    let message = proto::descriptors::dynamic("Application", application)?;
    matter_of(&message).map(|(field, _)| field.name().to_owned())
}

fn matter_of(application: &DynamicMessage) -> Option<(FieldDescriptor, &DynamicMessage)> {
    application.fields().find_map(|(field, value)| match value {
        Value::Message(matter) if is_matter(&field) => Some((field, matter)),
        _ => None,
    })
}

/// `optional` fields are in a oneof of their own.
fn is_matter(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| oneof.name() == "matter")
}

/// What it is about.
pub(super) fn properties(application: &Application) -> Vec<Property> {
    let properties = || {
        let message = proto::descriptors::dynamic("Application", application)?;
        let (_, matter) = matter_of(&message)?;
        let list = matter.get_field_by_name("properties")?.into_owned();
        let list = list.as_list()?.iter();
        Some(list.filter_map(|it| it.as_message()?.transcode_to().ok()).collect())
    };
    properties().unwrap_or_default()
}

/// Its first amount.
pub(super) fn amount_fen(application: &Application) -> Option<i64> {
    let message = proto::descriptors::dynamic("Application", application)?;
    let (_, matter) = matter_of(&message)?;
    let mut fields = matter.fields();
    fields.find_map(|(field, value)| value.as_i64().filter(|_| field.name().ends_with("_fen")))
}

/// Where a property is, or what it is known by.
pub(super) fn place(property: &Property) -> String {
    [&property.location, &property.presale_contract_number, &property.unit_code]
        .into_iter()
        .chain(&property.title_numbers)
        .find(|text| !text.is_empty())
        .cloned()
        .unwrap_or_default()
}

fn lapses(application: &Application) -> bool {
    match &application.matter {
        Some(Matter::AdvanceNotice(_)) => true,
        Some(Matter::MortgageRegistration(it)) => it.stage() == MortgageStage::PresaleNotice,
        _ => false,
    }
}

fn person(party: &Party, language: Language) -> Person {
    let worded = |of: &str, value: &str| match value.ends_with("UNSPECIFIED") {
        true => String::new(),
        false => {
            let bare = value.trim_start_matches(of).trim_start_matches('_');
            language.word(&format!("{}.{bare}", camel(of)))
        }
    };
    let joined = |parts: &[&str]| {
        let parts: Vec<_> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
        parts.join(" · ")
    };
    let concerns: Vec<_> =
        party.property_indexes.iter().map(|index| (index + 1).to_string()).collect();
    Person {
        name: party.name.clone(),
        kind: worded("PARTY_KIND", party.kind().as_str_name()),
        document: worded("ID_TYPE", party.id_type().as_str_name()),
        number: party.id_number.clone(),
        contact: joined(&[&party.phone, &party.address]),
        held: joined(&[&worded("CO_OWNERSHIP", party.co_ownership().as_str_name()), &party.share]),
        concerns: concerns.join(", "),
        agent: party.agent.as_ref().map_or_else(String::new, |agent| {
            let document = worded("ID_TYPE", agent.id_type().as_str_name());
            joined(&[&agent.name, &document, &agent.id_number, &agent.phone])
        }),
    }
}

/// `ID_TYPE` to `IdType`.
fn camel(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        format!("{first}{}", rest.to_ascii_lowercase())
    });
    words.collect()
}

fn paper(material: &Material, language: Language) -> Paper {
    let came = match (material.content.is_empty(), material.reference.is_empty()) {
        (false, _) => "along",
        (true, false) => "shared",
        (true, true) => "before",
    };
    let kind = material.kind().as_str_name().trim_start_matches("MATERIAL_KIND_");
    let pages = material.pages.map(|pages| match language {
        Language::Chinese => format!(" · {pages} 页"),
        Language::English => format!(" · {pages} pages"),
    });
    Paper {
        kind: match material.kind() {
            MaterialKind::Unspecified => String::new(),
            _ => language.word(&format!("MaterialKind.{kind}")),
        },
        name: if material.name.is_empty() { &material.reference } else { &material.name }.clone(),
        format: material.media_type.clone(),
        size: material
            .size_bytes
            .map(|bytes| format!("{bytes} B{}", pages.unwrap_or_default()))
            .unwrap_or_default(),
        digest: hex::encode(&material.sha256),
        came,
    }
}

fn rows(message: &DynamicMessage, language: Language) -> Vec<Row> {
    message.fields().filter_map(|(field, value)| row(&field, value, language)).collect()
}

fn row(field: &FieldDescriptor, value: &Value, language: Language) -> Option<Row> {
    let value = text(field, value, language);
    let label = language.word(&format!("field.{}", field.name()));
    (!value.is_empty()).then_some(Row { label, value })
}

fn text(field: &FieldDescriptor, value: &Value, language: Language) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => language.word("answer.yes"),
        Value::Bool(false) => language.word("answer.no"),
        Value::I32(number) if field.name() == "party_index" => (number + 1).to_string(),
        Value::I32(number) => number.to_string(),
        Value::I64(dm2) if field.name().ends_with("_dm2") => square_metres(*dm2),
        Value::I64(number) => number.to_string(),
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(of) => of.get_value(*number).map_or_else(String::new, |value| {
                let bare = proto::golden::bare_name(&of, value.name());
                language.word(&format!("{}.{bare}", of.name()))
            }),
            _ => String::new(),
        },
        Value::Bytes(bytes) => hex::encode(bytes),
        Value::List(list) => {
            let texts = list.iter().map(|value| text(field, value, language));
            texts.collect::<Vec<_>>().join("；")
        }
        Value::Message(message) if message.descriptor().name() == "Timestamp" => {
            let seconds = message.get_field_by_name("seconds").and_then(|it| it.as_i64());
            seconds.map(gateway::pages::moment).unwrap_or_default()
        }
        Value::Message(message) => {
            let texts = message.fields().map(|(field, value)| text(&field, value, language));
            texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ")
        }
        Value::U32(_) | Value::U64(_) | Value::F32(_) | Value::F64(_) | Value::Map(_) => {
            // The model has none of them.
            String::new()
        }
    }
}

/// `8952` as `89.52 m²`.
pub(super) fn square_metres(dm2: i64) -> String {
    format!("{}.{:02} m²", dm2 / 100, dm2 % 100)
}
