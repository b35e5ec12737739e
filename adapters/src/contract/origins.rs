//! Where each value of a decoded message came from: for `directlink contract try`.

use serde_json::Value as Json;

use super::{Contract, Decoded, Mode, dynamic, recorded};

/// Where one value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The canonical field, from the envelope: `application.mortgage_registration.mortgagors[0].name`.
    pub path: String,
    /// The same as contracts write it: `matter.mortgagors[0].name`.
    pub field: String,
    /// The value, as the canonical JSON has it.
    pub value: Json,
    /// Its place in the message and its first byte in the bytes as sent; `None` if the kind of message says it, or the
    /// contract builds it.
    pub stands: Option<(String, usize)>,
}

impl Contract {
    /// Where each value of a message came from, in the order of the canonical JSON. `decoded` is what `bytes` were decoded
    /// as.
    pub fn origins(&self, bytes: &[u8], mode: Mode, decoded: &Decoded) -> Vec<Origin> {
        let origins = || {
            let opened = self.wire.open(bytes).ok()?;
            let document = self.document(&opened).ok()?;
            let (_, template) = self.entrance.choose(&document)?;
            let (_, record) = recorded(template, mode, &document)?;
            let canonical = proto::golden::write(&dynamic(&decoded.envelope).ok()?);
            let mut origins = Vec::new();
            leaves("", &canonical, &mut |path, value| {
                let field = template.homes.told(path);
                let stands = record.stands.iter().filter(|stands| stands.found.is_some());
                let stands = stands.into_iter().find(|stands| within(&field, &stands.field));
                let stands =
                    stands.map(|at| (self.wire.told(&at.place), opened.sent_offset(at.offset)));
                origins.push(Origin { path: path.to_owned(), field, value: value.clone(), stands });
            });
            Some(origins)
        };
        origins().unwrap_or_default()
    }
}

/// The field itself, or the item of a list that stands in one leaf.
fn within(field: &str, stands: &str) -> bool {
    field.strip_prefix(stands).is_some_and(|rest| {
        rest.is_empty() || (rest.starts_with('[') && rest.ends_with(']') && !rest.contains('.'))
    })
}

fn leaves(path: &str, value: &Json, see: &mut dyn FnMut(&str, &Json)) {
    match value {
        Json::Object(members) => {
            for (name, inner) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, inner, see);
            }
        }
        Json::Array(items) => {
            for (number, inner) in items.iter().enumerate() {
                leaves(&format!("{path}[{number}]"), inner, see);
            }
        }
        _ => see(path, value),
    }
}
