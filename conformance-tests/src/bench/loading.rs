//! What many contracts cost: copies of those in a folder, each changed a little, loaded and checked as a gateway does when
//! it starts.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{anyhow, ensure};
use gateway::contracts::Versions;

use super::process::{cpu_times, kib};

/// What loading took.
#[derive(Debug)]
pub struct Load {
    /// How many contracts.
    pub contracts: usize,
    /// How long, from the first file read to the last contract checked.
    pub time: Duration,
    /// CPU time of that in user mode; to 10 ms.
    pub user: Duration,
    /// And in the kernel: reading the files, and memory that is given for the first time.
    pub system: Duration,
    /// Resident memory of this process before, in KiB.
    pub before_kib: u64,
    /// And after, with all contracts held.
    pub after_kib: u64,
}

/// Loads so many contracts, made of those in the folder `banks`, from a temporary folder. No two are alike: each has
/// another bank's name, and another literal in every message that has one.
///
/// # Errors
/// A contract that is refused, or a file that cannot be written.
pub fn load(banks: &Path, contracts: usize) -> anyhow::Result<Load> {
    let place = tempfile::tempdir()?;
    let models = super::contracts_in(banks)?;
    ensure!(!models.is_empty(), "no contract in {}", banks.display());
    let folders: Vec<PathBuf> =
        (0..contracts).map(|number| place.path().join(format!("bank-{number}"))).collect();
    for (number, (folder, model)) in folders.iter().zip(models.iter().cycle()).enumerate() {
        copy_contract(model, folder, number)?;
    }
    let (before_kib, before) = (resident_kib()?, own_cpu()?);
    let begun = Instant::now();
    let held: Vec<Versions> =
        folders.iter().map(|folder| read(folder)).collect::<anyhow::Result<_>>()?;
    let (time, after) = (begun.elapsed(), own_cpu()?);
    Ok(Load {
        contracts: held.len(),
        time,
        user: after.0.saturating_sub(before.0),
        system: after.1.saturating_sub(before.1),
        before_kib,
        after_kib: resident_kib()?,
    })
}

fn read(folder: &Path) -> anyhow::Result<Versions> {
    Versions::read(folder).map_err(|problems| anyhow!("{problems:?}"))
}

/// The files of a contract without its cases, which a gateway does not read, as another bank's.
fn copy_contract(from: &Path, to: &Path, number: usize) -> anyhow::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default();
            let text = fs::read_to_string(&path)?;
            fs::write(to.join(name), varied(&text, &name.to_string_lossy(), number))?;
        }
    }
    Ok(())
}

/// A file of a contract with another bank's name, or another literal.
fn varied(text: &str, file: &str, number: usize) -> String {
    let at = match file {
        "contract.toml" => text.find("bank = \"").map(|at| at + "bank = \"".len()),
        _ if !file.contains(".request.") => None,
        _ if file.ends_with(".xml") => text.match_indices('>').find_map(|(at, _)| {
            let (literal, behind) = text[at + 1..].split_once('<')?;
            let is_leaf = behind.starts_with('/') && !behind.starts_with("/c:");
            (is_leaf && is_literal(literal)).then_some(at + 1 + literal.len())
        }),
        _ => text.match_indices("\": \"").find_map(|(at, _)| {
            let (before, behind) = (&text[..at], &text[at + 4..]);
            let (literal, key) = (behind.split('"').next()?, before.rsplit('"').next()?);
            (!key.starts_with("c:") && is_literal(literal)).then_some(at + 4 + literal.len())
        }),
    };
    match at {
        Some(at) => format!("{}{number}{}", &text[..at], &text[at..]),
        None => text.to_owned(),
    }
}

fn is_literal(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(['{', '}', '\n'])
}

fn resident_kib() -> anyhow::Result<u64> {
    kib(&fs::read_to_string("/proc/self/status")?, "VmRSS:")
}

fn own_cpu() -> anyhow::Result<(Duration, Duration)> {
    cpu_times(&fs::read_to_string("/proc/self/stat")?)
}

#[cfg(test)]
mod tests {
    use super::varied;

    #[test]
    fn copies_differ_in_a_literal() {
        for (file, text, other) in [
            ("contract.toml", "bank = \"甲\"", "bank = \"7甲\""),
            (
                "a.request.xml",
                "<m><c:part>p</c:part><n>{x}</n><k>A</k></m>",
                "<m><c:part>p</c:part><n>{x}</n><k>A7</k></m>",
            ),
            (
                "a.request.json",
                r#"{"c:part": "p", "n": "{x}", "k": "A"}"#,
                r#"{"c:part": "p", "n": "{x}", "k": "A7"}"#,
            ),
            ("reply.xml", "<k>A</k>", "<k>A</k>"),
        ] {
            assert_eq!(varied(text, file, 7), other);
        }
    }
}
