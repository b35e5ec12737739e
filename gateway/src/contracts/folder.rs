//! What lies in a contract's folder at one moment: one version, `contract.toml` with its templates beside it, or a folder
//! for each of several.
//!
//! Symbolic links are followed, and names that begin with a dot are passed over: so are mounted volumes laid out, whose
//! files are swapped all at once by one link. Whether anything has changed is told by content alone; times of files say
//! nothing there.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use adapters::{Contract, cases};
use aws_lc_rs::digest::{Context, SHA256};

use crate::settings::Problem;

/// Says what content is, for comparing.
pub(super) type Digest = [u8; 32];

const CONTRACT: &str = "contract.toml";

/// A contract's folder as it was read.
#[derive(Debug)]
pub(super) struct Contents {
    versions: Vec<Files>,
    /// Why no version could be found in it.
    problem: Option<Problem>,
    digest: Digest,
}

/// One version's files.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    /// By name.
    texts: BTreeMap<String, String>,
    /// What is no text, or could not be read. Nothing is wrong with that unless the contract names it.
    unread: Vec<Problem>,
}

/// Reads and compiles one version: `contract.toml` in `folder`, and the templates beside it.
///
/// # Errors
/// What cannot be read, and everything the checker refuses, each with its file and line.
pub fn read_contract(folder: &Path) -> Result<Contract, Vec<Problem>> {
    Files::read(folder).map_err(|error| vec![about(folder, &error)])?.compile()
}

/// All files under a folder of cases, by their names in it.
///
/// # Errors
/// One of them cannot be read.
pub fn case_files(folder: &Path) -> io::Result<cases::Files> {
    let mut files = cases::Files::new();
    for inside in ["", "samples/", "bad/"] {
        let entries = match fs::read_dir(folder.join(inside)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !inside.is_empty() => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.path().is_file(), entry.file_name().into_string()) {
                files.insert(format!("{inside}{name}"), fs::read(entry.path())?);
            }
        }
    }
    Ok(files)
}

impl Contents {
    /// Reads a contract's folder. What cannot be read is part of what is told.
    pub(super) fn read(folder: &Path) -> Self {
        let (versions, problem) = match versions(folder) {
            Ok(versions) if versions.is_empty() => {
                let told = format!("holds no {CONTRACT}, nor folders of versions that hold one");
                (versions, Some(about(folder, &told)))
            }
            Ok(versions) => (versions, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        let digest = digest_of(&versions, problem.as_ref());
        Self { versions, problem, digest }
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// Every version, with its `contract.toml`.
    pub(super) fn compile(&self) -> Result<Vec<(PathBuf, Contract)>, Vec<Problem>> {
        let mut problems: Vec<_> = self.problem.iter().cloned().collect();
        let mut compiled = Vec::new();
        for files in &self.versions {
            match files.compile() {
                Ok(contract) => compiled.push((files.folder.join(CONTRACT), contract)),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(compiled) } else { Err(problems) }
    }
}

fn versions(folder: &Path) -> Result<Vec<Files>, Problem> {
    let told = |error: io::Error| about(folder, &error);
    let mut inside = Vec::new();
    for (name, path) in entries(folder).map_err(told)? {
        // Other folders (`cases`) are for tests.
        if path.is_dir() && path.join(CONTRACT).is_file() {
            inside.push((name, path));
        }
    }
    if !folder.join(CONTRACT).is_file() {
        let read =
            |(_, path): (String, PathBuf)| Files::read(&path).map_err(|error| about(&path, &error));
        return inside.into_iter().map(read).collect();
    }
    match inside.first() {
        Some((name, _)) => {
            let told = format!(
                "stands beside a version in `{name}`: move it into a folder of its own, as every version of several"
            );
            Err(about(&folder.join(CONTRACT), &told))
        }
        None => Ok(vec![Files::read(folder).map_err(told)?]),
    }
}

impl Files {
    fn read(folder: &Path) -> io::Result<Self> {
        let mut files =
            Self { folder: folder.to_owned(), texts: BTreeMap::new(), unread: Vec::new() };
        for (name, path) in entries(folder)? {
            if path.is_dir() {
                continue;
            }
            match fs::read_to_string(&path) {
                Ok(text) => {
                    files.texts.insert(name, text);
                }
                Err(error) => files.unread.push(about(&path, &error)),
            }
        }
        Ok(files)
    }

    fn compile(&self) -> Result<Contract, Vec<Problem>> {
        Contract::compile(&self.texts).map_err(|complaints| {
            let problems = complaints.into_iter().map(|complaint| Problem {
                line: self
                    .texts
                    .get(&complaint.file)
                    .map(|text| line_at(text, complaint.span.start)),
                file: self.folder.join(complaint.file),
                message: complaint.message,
            });
            problems.chain(self.unread.iter().cloned()).collect()
        })
    }
}

/// What is in a folder, in order of name.
fn entries(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            entries.insert(name, entry.path());
        }
    }
    Ok(entries)
}

fn digest_of(versions: &[Files], problem: Option<&Problem>) -> Digest {
    let mut context = Context::new(&SHA256);
    let mut add = |text: &str| {
        // The length before each, so that no two contents are one row of bytes.
        context.update(&text.len().to_be_bytes());
        context.update(text.as_bytes());
    };
    for files in versions {
        // Not where it lies: the same content has the same digest on every machine.
        add(&files.folder.file_name().unwrap_or_default().to_string_lossy());
        for (name, text) in &files.texts {
            add(name);
            add(text);
        }
        files.unread.iter().for_each(|problem| add(&problem.to_string()));
    }
    problem.iter().for_each(|problem| add(&problem.to_string()));
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn about(file: &Path, what: &dyn std::fmt::Display) -> Problem {
    Problem { file: file.to_owned(), line: None, message: what.to_string() }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::tests::House;

    use super::*;

    #[test]
    fn a_folder_holds_one_version_or_a_folder_for_each() {
        let house = House::new();
        fs::create_dir_all(house.contract()).unwrap();
        assert!(house.load().unwrap_err()[0].contains("one: holds no contract.toml"));
        house.write("", &[]);
        fs::create_dir_all(house.contract().join("cases/samples")).unwrap();
        assert!(house.load().is_ok());
        house.write("v2", &[]);
        let told = house.load().unwrap_err();
        assert!(
            told[0].starts_with("one/contract.toml: stands beside a version in `v2`"),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_no_text_is_told_only_where_it_is_missed() {
        let house = House::new();
        house.write("", &[]);
        fs::write(house.contract().join("logo.png"), b"\x89PNG").unwrap();
        assert!(house.load().is_ok());
        fs::write(house.contract().join("reply.json"), "{\"号\": \"x\"}".as_bytes().split_at(3).0)
            .unwrap();
        let told = house.load().unwrap_err();
        assert!(told.iter().any(|it| it.starts_with("one/reply.json: stream did not")), "{told:?}");
    }

    /// A mounted volume: each file a link through `..data`, which is swapped.
    #[test]
    #[cfg(unix)]
    fn links_are_followed_and_only_content_counts() {
        use std::os::unix::fs::symlink;
        let house = House::new();
        house.write("..2026_a", &[]);
        house.write("..2026_b", &[]);
        house.write("..2026_c", &[("\"poll\"", "\"ask\"")]);
        let folder = house.contract();
        symlink("..2026_a", folder.join("..data")).unwrap();
        for name in ["contract.toml", "poll.json", "last.json", "reply.json", "refusal.json"] {
            symlink(format!("..data/{name}"), folder.join(name)).unwrap();
        }
        assert!(house.load().is_ok());
        let swap = |to: &str| {
            symlink(to, folder.join("..swap")).unwrap();
            fs::rename(folder.join("..swap"), folder.join("..data")).unwrap();
            Contents::read(&folder).digest()
        };
        let before = Contents::read(&folder).digest();
        assert_eq!(swap("..2026_b"), before);
        assert_ne!(swap("..2026_c"), before);
    }
}
