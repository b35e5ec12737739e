//! What many contracts cost: copies of those in a folder, loaded and checked as a gateway does when it starts.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use gateway::contracts::Versions;

/// What loading took.
#[derive(Debug)]
pub struct Load {
    /// How many contracts.
    pub contracts: usize,
    /// How long, from the first file read to the last contract checked.
    pub time: Duration,
    /// Resident memory of this process before, in KiB.
    pub before_kib: u64,
    /// And after, with all contracts held.
    pub after_kib: u64,
}

/// Loads `copies` copies of each contract in the folder `banks`, from a temporary folder.
///
/// # Errors
/// A contract that is refused, or a file that cannot be written.
pub fn load(banks: &Path, copies: usize) -> anyhow::Result<Load> {
    let place = tempfile::tempdir()?;
    let mut folders = Vec::new();
    for copy in 0..copies {
        for bank in super::contracts_in(banks)? {
            let name = bank.file_name().unwrap_or_default().to_string_lossy();
            let folder = place.path().join(format!("{name}-{copy}"));
            copy_contract(&bank, &folder)?;
            folders.push(folder);
        }
    }
    let before_kib = resident_kib()?;
    let begun = Instant::now();
    let held: Vec<Versions> =
        folders.iter().map(|folder| read(folder)).collect::<anyhow::Result<_>>()?;
    let time = begun.elapsed();
    Ok(Load { contracts: held.len(), time, before_kib, after_kib: resident_kib()? })
}

fn read(folder: &Path) -> anyhow::Result<Versions> {
    Versions::read(folder).map_err(|problems| anyhow!("{problems:?}"))
}

/// The files of a contract without its cases, which a gateway does not read.
fn copy_contract(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn resident_kib() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = resident.and_then(|text| text.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}
