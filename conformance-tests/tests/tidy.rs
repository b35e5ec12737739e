//! Tidiness that neither the compiler nor clippy sees. Every complaint says what to do instead.
//!
//! An exception is a line in `EXCEPTIONS` with its reason; one that nothing needs any more fails too. The rules are
//! those of docs/architecture.md, "Invariants".

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// What is let off: the rule, the file, the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Folders that are made, not written.
const MADE: &[&str] = &["target", ".git", "node_modules", "found", "artifacts", "book"];

#[test]
fn every_rust_file_says_what_it_is_for() {
    held("opens with //!", |file| {
        let rust = file.is("rs") && !file.text.starts_with("//!");
        let told = "open the file with `//!`: what it is for, what it never does, where its facts come from";
        rust.then(|| told.to_owned()).into_iter().collect()
    });
}

#[test]
fn files_are_called_after_what_they_hold() {
    const VAGUE: &[&str] =
        &["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers"];
    held("a name that says something", |file| {
        let stem = file
            .path
            .split('/')
            .next_back()
            .and_then(|name| name.split('.').next())
            .unwrap_or_default();
        let mut told = Vec::new();
        if file.path.ends_with("/mod.rs") {
            told.push(
                "put it in `x.rs` beside `x/`: then the tab's name says where one is".to_owned(),
            );
        }
        if file.is("rs") && VAGUE.contains(&stem) {
            told.push("name the concept, or put it beside its one user".to_owned());
        }
        told
    });
}

#[test]
fn crates_depend_one_way_only() {
    const ARROWS: &[(&str, &[&str])] = &[
        ("proto", &[]),
        ("adapters", &["proto"]),
        ("gateway", &["proto", "adapters"]),
        ("conformance-tests", &["proto", "adapters", "gateway"]),
    ];
    // What waits on the world has no place where bytes become messages.
    const WORLDLY: &[&str] =
        &["tokio", "hyper", "reqwest", "rustls", "tonic", "rand", "tracing", "opentelemetry"];
    let house: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    held("crate arrows", |file| {
        let Some((name, allowed)) =
            ARROWS.iter().find(|(name, _)| file.path == format!("{name}/Cargo.toml"))
        else {
            return Vec::new();
        };
        let wrong = dependencies(&file.text).into_iter().filter(|dependency| {
            let inside =
                house.contains(dependency.as_str()) && !allowed.contains(&dependency.as_str());
            inside || (*name == "adapters" && WORLDLY.contains(&dependency.as_str()))
        });
        wrong
            .map(|dependency| {
                format!("`{name}` may not use `{dependency}`: see docs/architecture.md")
            })
            .collect()
    });
}

#[test]
fn no_code_knows_a_bank_or_a_registry() {
    let names = known_names().unwrap();
    assert!(!names.is_empty(), "no contract was found");
    let files = tree();
    let columns: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.is("proto"))
        .flat_map(|file| file.text.split('[').skip(1).filter_map(|rest| rest.split(']').next()))
        .flat_map(words)
        .collect();
    held("no bank in code", |file| {
        let product = file.path.starts_with("proto/")
            || file.path.starts_with("adapters/")
            || file.path.starts_with("gateway/");
        if !product || !file.is("rs") || file.path.contains("/tests/") {
            return Vec::new();
        }
        let text = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        let code: String = code_lines(text).flat_map(|line| [line, "\n"]).collect();
        let in_code: BTreeSet<&str> = words(&code).collect();
        let anywhere: BTreeSet<&str> = words(text).collect();
        // A comment may cite a column of the national standard as its source, if the model does.
        let found = names.iter().filter(|name| match name.is_ascii() {
            true if columns.contains(name.as_str()) => in_code.contains(name.as_str()),
            true => anywhere.contains(name.as_str()),
            false => text.contains(name.as_str()),
        });
        found
            .map(|name| format!("`{name}` belongs in a contract under contracts/, as data"))
            .collect()
    });
}

#[test]
fn a_crate_confined_to_one_file_stays_there() {
    const CONFINED: &[(&str, &str)] = &[("backoff", "gateway/src/retry.rs")];
    held("confined crates", |file| {
        let used = CONFINED.iter().filter(|(name, home)| {
            let path = format!("{name}::");
            file.is("rs")
                && file.path != *home
                && code_lines(&file.text).any(|line| line.contains(&path))
        });
        used.map(|(name, home)| format!("`{name}` is used in {home} only: ask that file")).collect()
    });
}

#[test]
fn nothing_is_left_for_later_in_code() {
    let marks =
        [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO"), concat!("HA", "CK")];
    held("no leftover marks", |file| {
        let source = ["rs", "toml", "proto", "sql", "yaml"].iter().any(|kind| file.is(kind));
        let found =
            marks.iter().filter(|mark| source && words(&file.text).any(|word| word == **mark));
        found
            .map(|mark| {
                format!("`{mark}`: do it, or file an issue and say in the comment what holds now")
            })
            .collect()
    });
}

#[test]
fn no_test_is_switched_off() {
    let switch = concat!("#[", "ignore");
    held("no ignored test", |file| {
        let off = file.is("rs") && file.text.contains(switch);
        let told = "assert what is true today and say why, or delete the test";
        off.then(|| told.to_owned()).into_iter().collect()
    });
}

#[test]
fn no_file_knows_somebodys_machine() {
    let roots = ["home", "root", "work", "Users"].map(|root| format!("/{root}/"));
    held("no machine paths", |file| {
        let found = roots.iter().filter(|root| {
            let mut places = file.text.match_indices(root.as_str());
            // After a letter it is a part of an address or of a relative path.
            places.any(|(at, _)| {
                !file.text[..at]
                    .ends_with(|c: char| c.is_ascii_alphanumeric() || "._-}>)*".contains(c))
            })
        });
        found
            .map(|root| {
                format!("`{root}…` is a path on one machine: make it relative or a setting")
            })
            .collect()
    });
}

#[test]
fn documents_that_are_named_are_there() {
    let paths: BTreeSet<&str> = tree().iter().map(|file| file.path.as_str()).collect();
    held("documents named", |file| {
        let mentions = file
            .text
            .match_indices("docs/")
            .filter(|(at, _)| !file.text[..*at].ends_with(['/', ':']));
        let named = mentions.map(|(at, _)| {
            let path = file.text[at..]
                .split(|c: char| !c.is_ascii_alphanumeric() && !"/-_.".contains(c))
                .next();
            path.unwrap_or_default().trim_end_matches(['.', '/'])
        });
        // A decision may be named by its number alone.
        let there = |name: &str| name == "docs" || paths.iter().any(|path| path.starts_with(name));
        let absent = named.filter(|name| !there(name));
        absent.map(|name| format!("names `{name}`, which is not there")).collect()
    });
}

#[test]
fn every_document_is_a_page_of_the_book() {
    let files = tree();
    let summary = files.iter().find(|file| file.path == "docs/SUMMARY.md").unwrap();
    held("pages", |file| {
        let Some(page) = file.path.strip_prefix("docs/") else { return Vec::new() };
        let named = page == "SUMMARY.md" || summary.text.contains(&format!("]({page})"));
        let told = "name it in docs/SUMMARY.md, so that who reads the book finds it";
        (file.is("md") && !named).then(|| told.to_owned()).into_iter().collect()
    });
}

#[test]
fn every_chinese_term_of_the_model_is_in_the_glossary() {
    let files = tree();
    let glossary = files.iter().find(|file| file.path == "docs/glossary.md").unwrap();
    // A cell of the table, not a part of another word.
    let explained: BTreeSet<&str> = glossary.text.split(['|', ',']).map(str::trim).collect();
    held("glossary", |file| {
        let comments = file.text.lines().filter_map(|line| Some(line.split_once("//")?.1));
        let bracketed = comments
            .filter(|_| file.is("proto"))
            .flat_map(|comment| comment.split('(').skip(1))
            .filter_map(|rest| rest.split([')', ';', ',']).next());
        let chinese = |term: &&str| term.starts_with(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        let missing = bracketed.filter(chinese).filter(|term| !explained.contains(term));
        missing.map(|term| format!("`{term}` is not in docs/glossary.md")).collect()
    });
}

#[test]
fn links_between_documents_lead_somewhere() {
    let files = tree();
    held("links", |file| {
        if !file.is("md") {
            return Vec::new();
        }
        let links = file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let broken = links.filter(|link| !link.contains("://") && !leads(files, &file.path, link));
        broken.map(|link| format!("links to `{link}`, which is not there")).collect()
    });
}

/// A file of the tree.
struct File {
    /// Path from the root, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }
}

/// Applies a rule to every text file of the tree; what it says counts unless excepted, and an exception must count.
fn held(rule: &str, complaints: impl Fn(&File) -> Vec<String>) {
    let mut told = Vec::new();
    let mut needed = BTreeSet::new();
    for file in tree() {
        let complaints = complaints(file);
        match EXCEPTIONS.iter().find(|(of, path, _)| *of == rule && *path == file.path) {
            Some((_, path, _)) if !complaints.is_empty() => _ = needed.insert(*path),
            Some(_) => {}
            None => {
                told.extend(complaints.into_iter().map(|words| format!("{}: {words}", file.path)))
            }
        }
    }
    for (_, path, _) in
        EXCEPTIONS.iter().filter(|(of, path, _)| *of == rule && !needed.contains(path))
    {
        told.push(format!("{path}: the exception is needed no more: remove it"));
    }
    assert!(told.is_empty(), "{rule}:\n{}", told.join("\n"));
}

#[test]
fn the_tree_is_found() {
    let paths: Vec<String> = tree().iter().map(|file| file.path.clone()).collect();
    assert!(paths.contains(&"conformance-tests/tests/tidy.rs".to_owned()), "{paths:?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All text files, read once for all rules.
fn tree() -> &'static [File] {
    static TREE: LazyLock<Vec<File>> = LazyLock::new(|| read_tree().unwrap_or_default());
    &TREE
}

/// All text files; what is not UTF-8 is a golden case, not ours to judge.
fn read_tree() -> Result<Vec<File>> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            if MADE.iter().any(|made| name == *made) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// What only contracts may know: the folders' names, the banks' names, and the tags of the templates that are words
/// of a bank (pinyin initials, or not ASCII at all).
fn known_names() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for file in tree() {
        let Some(path) = file
            .path
            .strip_prefix("contracts/banks/")
            .or(file.path.strip_prefix("contracts/registries/"))
        else {
            continue;
        };
        let Some((folder, inside)) = path.split_once('/') else { continue };
        names.insert(folder.to_owned());
        // A bank with several versions has a folder for each.
        if inside.split('/').next_back() == Some("contract.toml") {
            let contract: toml::Table = file.text.parse()?;
            names.extend(contract.get("bank").and_then(|bank| bank.as_str()).map(str::to_owned));
        }
        if !inside.split('/').any(|part| part == "cases") && file.is("xml") {
            names.extend(tags(&file.text).map(str::to_owned));
        }
    }
    Ok(names)
}

/// Tags of an XML template in capitals alone, four letters or more: short ones are words of anybody.
fn tags(template: &str) -> impl Iterator<Item = &str> {
    let names = template.split('<').skip(1).map(|tag| words(tag).next().unwrap_or_default());
    names.filter(|name| name.len() >= 4 && name.chars().all(|c| c.is_ascii_uppercase()))
}

/// Whether a link in the document `from` leads to a file or folder of the tree, and to a heading of it if it names one.
fn leads(files: &[File], from: &str, link: &str) -> bool {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match part {
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let target = if path.is_empty() { from.to_owned() } else { parts.join("/") };
    let inside = format!("{target}/");
    files.iter().any(|file| match file.path == target {
        true => {
            heading.is_empty()
                || file.text.lines().any(|line| anchor(line).as_deref() == Some(heading))
        }
        false => file.path.starts_with(&inside),
    })
}

/// The name a heading is linked by: lower case, blanks as hyphens, other signs left out.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Names of everything a manifest depends on: to run, to build, to test.
fn dependencies(manifest: &str) -> Vec<String> {
    let Ok(manifest) = manifest.parse::<toml::Table>() else { return Vec::new() };
    let sections = ["dependencies", "build-dependencies", "dev-dependencies"];
    let tables = sections.iter().filter_map(|section| manifest.get(*section)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}
