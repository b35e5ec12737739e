//! Which field of the model a leaf of a sample is for: by its name, else by the form of its values.

use prost_reflect::{FieldDescriptor, MessageDescriptor};
use proto::{rules::rule_of, v1::Form};

use super::{
    message::{At, Message},
    sample::Part,
    shape,
};

/// A field found for a leaf.
pub(super) struct Found {
    /// As the hole writes it.
    pub(super) path: String,
    /// As explained: items as `[]`.
    pub(super) told: String,
    pub(super) field: FieldDescriptor,
    /// Items behind the first may be missing.
    pub(super) numbered: bool,
}

impl Message<'_, '_> {
    /// The field a leaf is for: by its name, else by the form of its values.
    pub(super) fn find(&self, label: &str, part: &Part, at: &At) -> Option<Found> {
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
}
