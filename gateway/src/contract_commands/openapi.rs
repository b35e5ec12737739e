//! `directlink contract openapi`: what may be asked of a contract, as an OpenAPI document.

use std::path::Path;

use adapters::{explain::examples, openapi};
use gateway::contracts::case_files;

use super::{End, folder::Folder, say};

pub(super) fn describe(folder: &Path) -> End {
    let contract = match Folder::contract(folder, &folder.join("cases")) {
        Ok(contract) => contract,
        Err(end) => return end,
    };
    let files = case_files(&folder.join("cases")).unwrap_or_default();
    match openapi::describe(&contract, &examples(&contract, &files)) {
        Some(document) => {
            say(&format!("{document:#}"));
            End::Fine
        }
        None => End::Usage(format!(
            "{}: its messages are no whole HTTP requests (`whole = true` in `http` of [wire]), so there is one path and \
             one method, and nothing to describe",
            folder.display()
        )),
    }
}
