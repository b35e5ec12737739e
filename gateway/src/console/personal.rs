//! What a page may show of people only to somebody who asked to unmask it: the amount, a registry's words, what it wants
//! corrected, and the application of a filing that still waits in the queue. Of other filings no application is kept.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use proto::v1::{Application, Outcome};
use serde::Serialize;

use crate::pages::{self, Language};

/// What stands in the place of what is masked; of its length it says nothing.
const MASK: &str = "•••";

/// What is kept of people in one case, masked or not.
#[derive(Debug, Default, Serialize)]
pub(super) struct Personal {
    /// In 元.
    amount: Option<String>,
    /// What the registry says about why not.
    words: Option<String>,
    /// What it wants corrected.
    items: Vec<String>,
    /// What is applied for: name of the field and value.
    application: Vec<(String, String)>,
}

impl Personal {
    /// As it is kept. `amount_fen`: what was applied for.
    pub(super) fn of(
        amount_fen: Option<i64>,
        outcome: Option<&Outcome>,
        application: Option<&Application>,
        language: Language,
    ) -> Self {
        let refusal = outcome.and_then(|it| it.refusal.as_ref());
        let words = refusal.into_iter().flat_map(|it| [&it.registry_message, &it.message]);
        let words: Vec<&str> =
            words.map(|it| it.as_str()).filter(|words| !words.is_empty()).collect();
        let correction = outcome.and_then(|it| it.correction.as_ref());
        let mut rows = Vec::new();
        let dynamic = application.and_then(|it| proto::descriptors::dynamic("Application", it));
        if let Some(application) = dynamic {
            fill(&mut rows, &application, "", language);
        }
        Self {
            amount: amount_fen.map(pages::yuan),
            words: (!words.is_empty()).then(|| words.join(" · ")),
            items: correction.map(|it| it.items.clone()).unwrap_or_default(),
            application: rows,
        }
    }

    /// The same with nothing of it to be read.
    pub(super) fn masked(mut self) -> Self {
        let rest = self.application.iter_mut().map(|(_, value)| value);
        let all = self.amount.iter_mut().chain(&mut self.words).chain(&mut self.items).chain(rest);
        all.for_each(|text| MASK.clone_into(text));
        self
    }

    /// Whether there is anything to unmask.
    pub(super) fn is_empty(&self) -> bool {
        let Self { amount, words, items, application } = self;
        amount.is_none() && words.is_none() && items.is_empty() && application.is_empty()
    }
}

fn fill(
    rows: &mut Vec<(String, String)>,
    message: &DynamicMessage,
    within: &str,
    language: Language,
) {
    for (field, value) in message.fields() {
        let is_matter = field.containing_oneof().is_some_and(|oneof| oneof.name() == "matter");
        let table = if is_matter { "matter" } else { "field" };
        let word = language.word(&format!("{table}.{}", field.name()));
        let label = if within.is_empty() { word } else { format!("{within} · {word}") };
        match value {
            Value::List(items) => {
                for (number, item) in (1..).zip(items) {
                    row(rows, &format!("{label} {number}"), &field, item, language);
                }
            }
            value => row(rows, &label, &field, value, language),
        }
    }
}

fn row(
    rows: &mut Vec<(String, String)>,
    label: &str,
    field: &FieldDescriptor,
    value: &Value,
    language: Language,
) {
    let said = match (value, field.kind()) {
        (Value::Message(message), _)
            if message.descriptor().full_name() == "google.protobuf.Timestamp" =>
        {
            let seconds = message.get_field_by_name("seconds").and_then(|it| it.as_i64());
            pages::moment(seconds.unwrap_or_default())
        }
        (Value::Message(message), _) => return fill(rows, message, label, language),
        (Value::EnumNumber(number), Kind::Enum(kind)) => {
            let name = kind.get_value(*number).map(|it| it.name().to_owned()).unwrap_or_default();
            let bare = proto::golden::bare_name(&kind, &name);
            language.word(&format!("{}.{bare}", kind.name()))
        }
        (Value::I64(fen), _) if field.name().ends_with("_fen") => pages::yuan(*fen),
        (Value::String(text), _) => text.clone(),
        (Value::Bool(yes), _) => language.word(if *yes { "answer.yes" } else { "answer.no" }),
        (Value::Bytes(bytes), _) => format!("{} B", bytes.len()),
        (value, _) => value.to_string(),
    };
    rows.push((label.to_owned(), said));
}

#[cfg(test)]
mod tests {
    use proto::v1::{MortgageKind, MortgageRegistration, Party, application::Matter};

    use super::*;

    fn personal() -> Personal {
        let mortgagor = Party {
            name: "甲某".to_owned(),
            id_number: "140105198803124029".to_owned(),
            ..Party::default()
        };
        let matter = MortgageRegistration {
            kind: MortgageKind::General.into(),
            secured_amount_fen: Some(120_000_000),
            mortgagors: vec![mortgagor],
            ..MortgageRegistration::default()
        };
        let application = Application {
            matter: Some(Matter::MortgageRegistration(matter)),
            ..Application::default()
        };
        Personal::of(Some(120_000_000), None, Some(&application), Language::English)
    }

    #[test]
    fn an_application_is_told_by_its_fields_and_masked_whole() {
        let told = personal();
        let says = |value: &str| told.application.iter().any(|(_, said)| said == value);
        assert!(says("甲某") && says("1,200,000.00") && says("For one debt"), "{told:?}");
        let masked = serde_json::to_string(&personal().masked()).unwrap();
        for word in ["甲某", "1401", "1,200,000", "120000000"] {
            assert!(!masked.contains(word), "{masked}");
        }
        assert!(masked.contains("Mortgagors 1"), "{masked}");
        assert!(Personal::default().is_empty() && !personal().is_empty());
    }
}
