//! The descriptor pool: the schema at run time, for the contract language and for the rules.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // The bytes are made by our own build script: a failure here is a broken build, not an input.
    DescriptorPool::decode(BYTES).unwrap_or_default()
});

/// The descriptors as the build script left them, with their rules and comments.
pub(crate) const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// All messages of the model, with the options that carry their rules.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The descriptor of a message of package `directlink.v1`, by its short name; `None` where there is
/// none.
pub fn message(name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(&format!("directlink.v1.{name}"))
}

/// A message of package `directlink.v1`, given by its short name, as one that can be looked into by field; `None` if it is
/// of another type than named.
pub fn dynamic(name: &str, of: &impl Message) -> Option<DynamicMessage> {
    DynamicMessage::decode(message(name)?, of.encode_to_vec().as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_knows_the_model_and_its_rules() {
        let party = message("Party").unwrap();
        let name = party.get_field_by_name("name").unwrap();
        let rule = pool().get_extension_by_name("directlink.v1.rule").unwrap();
        assert!(name.options().has_extension(&rule));
    }
}
