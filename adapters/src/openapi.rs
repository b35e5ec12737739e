//! What may be asked of a contract whose messages are whole HTTP requests, as an OpenAPI 3.1 document.

use serde_json::Value;

use crate::contract::Contract;

/// The OpenAPI document.
pub fn describe(_contract: &Contract) -> Option<Value> {
    None
}
