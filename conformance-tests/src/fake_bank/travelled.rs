//! The bytes of a message as docs/evidence.md says what they are: as they travelled, or, where messages are whole HTTP
//! requests, the head as the contract reads and writes it, and the body. The bank's side of it, apart from the gateway's.

use adapters::{Contract, wire::whole::HttpMessage};

/// Of what was sent.
pub fn sent(contract: &Contract, bytes: &[u8]) -> Vec<u8> {
    let whole = contract.wire().whole();
    let Some((whole, mut message)) = whole.zip(HttpMessage::parse(bytes)) else {
        return bytes.to_vec();
    };
    let (method, target) = message.request().unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let asked = whole.operations.iter().find(|it| it.method == method && it.is_at(path));
    let fields = asked.map_or(&[][..], |asked| &asked.headers);
    message.headers.retain(|(name, _)| fields.iter().any(|it| it.name.eq_ignore_ascii_case(name)));
    for (name, _) in &mut message.headers {
        *name = name.to_ascii_lowercase().into();
    }
    message.bytes()
}

/// Of what was heard.
pub fn heard(contract: &Contract, bytes: &[u8]) -> Vec<u8> {
    let whole = contract.wire().whole();
    let Some((whole, mut message)) = whole.zip(HttpMessage::parse(bytes)) else {
        return bytes.to_vec();
    };
    let named = |name: &str| whole.answers.iter().find(|it| it.name.eq_ignore_ascii_case(name));
    message.headers.retain(|(name, _)| named(name).is_some());
    for (name, _) in &mut message.headers {
        if let Some(field) = named(name) {
            *name = field.name.clone().into();
        }
    }
    message.bytes()
}
