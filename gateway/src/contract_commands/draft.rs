//! `directlink contract draft`: a first contract from raw samples, for a person to go on with.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use adapters::draft::{Draft, Knowledge, MARK, Sample, draft};

use super::{End, say};

/// What drafting knows of names and codes; data of the house, carried along.
const NAMES: &str = include_str!("../../../contracts/standard/names.toml");
const CODES: &str = include_str!("../../../contracts/standard/codes.toml");

pub(super) fn draft_contract(
    bank: &str,
    about: Option<&str>,
    samples: &[PathBuf],
    out: Option<&Path>,
) -> End {
    let mut read = Vec::new();
    for path in samples {
        match fs::read(path) {
            Ok(bytes) => read.push((path.display().to_string(), bytes)),
            Err(error) => return End::Usage(format!("{}: {error}", path.display())),
        }
    }
    let samples: Vec<Sample<'_>> =
        read.iter().map(|(file, bytes)| Sample { file, bytes }).collect();
    let drafted =
        Knowledge::parse(NAMES, CODES).and_then(|known| draft(bank, about, &samples, &known));
    let drafted = match drafted {
        Ok(drafted) => drafted,
        Err(why) => return End::Wrong(format!("directlink: {why}\n")),
    };
    match out {
        Some(folder) => {
            if let Err(error) = write(&drafted, folder) {
                return End::Wrong(format!("directlink: {error}\n"));
            }
        }
        None => drafted.files.iter().for_each(|(name, text)| say(&format!("==> {name}\n{text}"))),
    }
    report(&drafted);
    End::Fine
}

/// A draft never takes the place of anything.
fn write(drafted: &Draft, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if let Some(name) = drafted.files.keys().find(|name| folder.join(name).exists()) {
        let told = format!("{} is there already", folder.join(name).display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, told));
    }
    for (name, text) in &drafted.files {
        let path = folder.join(name);
        fs::write(&path, text)?;
        say(&path.display().to_string());
    }
    Ok(())
}

/// Told where a draft is of little use.
const FEW: &str = "
Fewer than half were placed: this bank's names are not known. Say what the messages are about with --subject, one
draft for each kind; or copy the templates of a bank that is like it, and put its tags in.
识别不足一半：请用 --subject 指明报文的事项，逐类起草；或参照相近银行的模板改写。";

fn report(drafted: &Draft) {
    let unplaced: Vec<_> = drafted.leaves.iter().filter(|leaf| leaf.field.is_none()).collect();
    let (all, placed) = (drafted.leaves.len(), drafted.leaves.len() - unplaced.len());
    say(&format!(
        "\n{placed} of {all} leaves were placed 已识别; {MARK} stands at the others 待定:"
    ));
    for leaf in unplaced {
        say(&format!("  {} {}: {}", leaf.file, leaf.place, leaf.example));
    }
    if placed < all - placed {
        say(FEW);
    }
}
