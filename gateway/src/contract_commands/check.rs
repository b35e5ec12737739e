//! `directlink contract check`: everything that is wrong with contracts, shown in their files; and with the versions of one
//! that are to be live at once.

use std::path::PathBuf;

use gateway::contracts::Versions;

use super::{
    End,
    folder::{Folder, versions},
    say,
};

pub(super) fn check(folders: &[PathBuf]) -> End {
    let mut told = String::new();
    for path in folders {
        let versions = versions(path);
        let mut wrong = String::new();
        for version in &versions {
            match Folder::read(version) {
                Ok(folder) => wrong.push_str(&folder.compile().err().unwrap_or_default()),
                Err(end) => return end,
            }
        }
        if wrong.is_empty() && versions.len() > 1 {
            // Each is right by itself; what they must have in common is asked of all.
            let problems = Versions::read(path).err().unwrap_or_default();
            wrong = problems.iter().map(|problem| format!("error: {problem}\n")).collect();
        }
        if wrong.is_empty() {
            say(&format!("{}: nothing is wrong", path.display()));
        }
        told.push_str(&wrong);
    }
    if told.is_empty() { End::Fine } else { End::Wrong(told) }
}
