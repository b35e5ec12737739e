//! `directlink contract test`: a contract's golden cases, each difference where a person can see it.

use std::path::{Path, PathBuf};

use adapters::cases::{self, Report};
use gateway::contracts::case_files;

use super::{
    End,
    folder::{Folder, versions},
    say,
};

pub(super) fn test(folders: &[PathBuf], cases: Option<&Path>) -> End {
    let (mut passed, mut failed) = (0, 0);
    for path in &folders.iter().flat_map(|path| versions(path)).collect::<Vec<_>>() {
        let told = match one(path, cases) {
            Ok(report) => {
                passed += report.passed();
                failed += report.failed();
                report.failures.iter().map(told).collect::<String>()
            }
            Err(End::Wrong(complaints)) => {
                failed += 1;
                complaints
            }
            Err(end) => return end,
        };
        if !told.is_empty() {
            say(&format!("{}\n\n{told}", path.display()));
        }
    }
    say(&format!("{passed} passed, {failed} failed"));
    if failed == 0 { End::Fine } else { End::Wrong(String::new()) }
}

fn one(path: &Path, cases: Option<&Path>) -> Result<Report, End> {
    let cases = cases.map_or_else(|| path.join("cases"), Path::to_owned);
    let contract = Folder::contract(path, &cases)?;
    let files =
        case_files(&cases).map_err(|error| End::Usage(format!("{}: {error}", cases.display())))?;
    Ok(cases::run(&contract, &files))
}

fn told(failure: &cases::Failure) -> String {
    format!("FAILED {}: {}\n\n", failure.case, failure.why)
}
