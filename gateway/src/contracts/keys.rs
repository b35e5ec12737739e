//! Keys for contracts whose messages are signed: read from the files that the settings name, when the contract is taken.
//!
//! A contract says how its messages are signed, never with what. No key is logged or shown; a problem names its file.

use std::{fs, path::Path};

use adapters::Contract;

use crate::settings::{Problem, SealKeys};

/// Gives a contract its keys.
///
/// # Errors
/// A file that cannot be read, or holds no such key.
pub(super) fn put(contract: Contract, keys: &SealKeys) -> Result<Contract, Problem> {
    let problem =
        |file: &Path, message: String| Problem { file: file.to_owned(), line: None, message };
    let read =
        |file: &Path| fs::read_to_string(file).map_err(|error| problem(file, error.to_string()));
    let (bank, gateway) = (read(&keys.bank)?, read(&keys.gateway)?);
    contract.with_keys(&bank, &gateway).map_err(|error| {
        let file = if error.whose == "bank's" { &keys.bank } else { &keys.gateway };
        problem(file, error.to_string())
    })
}
