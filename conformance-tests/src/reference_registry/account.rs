//! What the registry says that it entered (`Case.registered`), so that a gateway can compare it with what was asked.
//!
//! It can be told to mix up the parties, as an incumbent did for years: one list is filled from the other.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use proto::v1::{Application, Registered, RegisteredParties};

/// The account of an entry.
pub(super) fn of(application: &Application, mixes_up: bool) -> Option<Registered> {
    let application = proto::descriptors::dynamic("Application", application)?;
    let matter = application.descriptor().oneofs().find(|oneof| oneof.name() == "matter")?;
    let arm = matter.fields().find(|field| application.has_field(field))?;
    let matter = application.get_field(&arm);
    let matter = matter.as_message()?;
    let mut account = Registered::default();
    for (field, value) in matter.fields() {
        match (field.name(), value) {
            ("properties", Value::List(items)) => {
                account.properties = messages(items).filter_map(name_of).collect();
            }
            (name, Value::I64(amount)) if name.ends_with("_fen") => {
                account.amount_fen = Some(*amount);
            }
            (list, Value::List(items)) => {
                let id_numbers: Vec<String> =
                    messages(items).filter_map(|party| text(party, "id_number")).collect();
                if !id_numbers.is_empty() {
                    account.parties.push(RegisteredParties { list: list.to_owned(), id_numbers });
                }
            }
            _ => {}
        }
    }
    if mixes_up && let [first, second, ..] = account.parties.as_mut_slice() {
        first.id_numbers.clone_from(&second.id_numbers);
    }
    Some(account)
}

fn messages(items: &[Value]) -> impl Iterator<Item = &DynamicMessage> {
    items.iter().filter_map(Value::as_message)
}

/// What the register knows a property by; none for one that is asked for by its title number.
fn name_of(property: &DynamicMessage) -> Option<String> {
    ["unit_code", "presale_contract_number"].into_iter().find_map(|name| text(property, name))
}

fn text(message: &DynamicMessage, name: &str) -> Option<String> {
    let text = message.get_field_by_name(name)?.as_str()?.to_owned();
    Some(text).filter(|text| !text.is_empty())
}
