//! `directlink contract check`: everything that is wrong with contracts, shown in their files.

use std::path::PathBuf;

use super::{End, folder::Folder, say};

pub(super) fn check(folders: &[PathBuf]) -> End {
    let mut told = String::new();
    for path in folders {
        let folder = match Folder::read(path) {
            Ok(folder) => folder,
            Err(end) => return end,
        };
        match folder.compile() {
            Ok(_) => say(&format!("{}: nothing is wrong", path.display())),
            Err(complaints) => {
                told.push_str(&complaints);
            }
        }
    }
    if told.is_empty() { End::Fine } else { End::Wrong(told) }
}
