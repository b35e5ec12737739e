//! The versions of one contract beside each other: which of them may read on a day, and which could not be told apart.
//!
//! What lies in the folder is read by `folder.rs`; which version a message suits is for `Live` to say. Source:
//! docs/decisions/0006-contract-versions.md.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use adapters::{Contract, explain::examples, openapi, wire::Wire};
use bytes::Bytes;
use proto::Date;

use super::{
    Door, Live, NoReader,
    folder::{Contents, Digest, case_files},
};
use crate::settings::Problem;

/// All versions of one contract, those that come into force later first.
#[derive(Debug)]
pub struct Versions {
    pub(super) all: Vec<Version>,
    pub(super) digest: Digest,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Version {
    file: PathBuf,
    pub(super) contract: Arc<Contract>,
    /// When it is in force, in days since 1970-01-01.
    pub(super) days: RangeInclusive<i64>,
    /// What may be asked, as an OpenAPI document, where messages are whole HTTP requests. Made when it is first asked for:
    /// it costs as much as all the rest of a contract, and most institutions never ask.
    description: OnceLock<Option<Bytes>>,
}

impl Versions {
    /// Reads and compiles all versions of the contract in a folder.
    ///
    /// # Errors
    /// What cannot be read, and everything that is refused of each version and of versions beside each other.
    pub fn read(folder: &Path) -> Result<Self, Vec<Problem>> {
        Self::compile(&Contents::read(folder), |_file, contract| Ok(contract))
    }

    /// The versions, newest first.
    pub fn contracts(&self) -> impl Iterator<Item = &Contract> {
        self.all.iter().map(|version| &*version.contract)
    }

    pub(super) fn compile(
        contents: &Contents,
        keyed: impl Fn(&Path, Contract) -> Result<Contract, Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let mut all = Vec::new();
        let mut problems = Vec::new();
        for (file, contract) in contents.compile()? {
            match keyed(&file, contract) {
                Ok(contract) => all.push(Version::new(file, contract)),
                Err(problem) => problems.push(problem),
            }
        }
        all.sort_by_key(|version| std::cmp::Reverse(*version.days.start()));
        let pairs = all.iter().enumerate().flat_map(|(at, newer)| {
            all.iter().skip(at.saturating_add(1)).map(move |older| (newer, older))
        });
        problems
            .extend(pairs.filter_map(|(newer, older)| Some(newer.problem(newer.quarrel(older)?))));
        if problems.is_empty() {
            Ok(Self { all, digest: contents.digest() })
        } else {
            Err(problems)
        }
    }

    /// What may read a message that comes in at `door` on `day`.
    pub(super) fn at(&self, door: Door<'_>, day: i64) -> Result<Live, NoReader> {
        let reached = || self.all.iter().filter(|version| door.leads_to(version.contract.wire()));
        let mut live = reached().filter(|version| version.days.contains(&day));
        if let Some(newest) = live.next() {
            return Ok(Live {
                newest: Arc::clone(&newest.contract),
                older: live.map(|version| Arc::clone(&version.contract)).collect(),
                is_in_force: true,
                digest: self.digest,
            });
        }
        let last = reached()
            .filter(|version| *version.days.end() < day)
            .max_by_key(|version| *version.days.end());
        let next = || reached().min_by_key(|version| *version.days.start());
        let Some(nearest) = last.or_else(next) else { return Err(self.no_reader(door)) };
        let newest = Arc::clone(&nearest.contract);
        Ok(Live { newest, older: Vec::new(), is_in_force: false, digest: self.digest })
    }

    fn no_reader(&self, door: Door<'_>) -> NoReader {
        let is_web = matches!(door, Door::Https { .. });
        let has_web = self.contracts().any(|contract| contract.wire().http.is_some());
        if is_web && has_web { NoReader::Path } else { NoReader::Port }
    }

    /// How keys are built, the same in all versions.
    pub(super) fn key_build(&self) -> Option<String> {
        self.contracts().next()?.key_build().map(str::to_owned)
    }

    /// Names of the versions, for the log.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self.contracts().map(Contract::version).collect();
        names.join(", ")
    }
}

impl Version {
    /// The folder that its files are in.
    pub(super) fn folder(&self) -> PathBuf {
        self.file.parent().map(Path::to_owned).unwrap_or_default()
    }

    fn new(file: PathBuf, contract: Contract) -> Self {
        // The compiler has seen that they are days.
        let day = |text: &str| Date::parse(text).map(Date::days_since_1970).ok();
        let (from, to) = contract.in_force();
        let days = day(from).unwrap_or(i64::MAX)..=to.and_then(day).unwrap_or(i64::MAX);
        Self { file, contract: Arc::new(contract), days, description: OnceLock::new() }
    }

    /// What may be asked, as an OpenAPI document.
    pub(super) fn description(&self) -> Option<Bytes> {
        self.description.get_or_init(|| description(&self.file, &self.contract)).clone()
    }

    /// Why two versions cannot be served beside each other.
    fn quarrel(&self, older: &Self) -> Option<String> {
        let (one, other) = (&*self.contract, &*older.contract);
        let there = older.file.display();
        let (wire, other_wire) = (one.wire(), other.wire());
        // Also where their days lie apart: what was sent on the last day of one may be sent again on the first of the
        // other.
        if one.key_build() != other.key_build() {
            return Some(format!(
                "`build` of [key] is another than in {there}: a filing that is sent again would get a second key, and \
                 could be registered twice"
            ));
        }
        if one.version() == other.version() {
            return Some(format!("`version` is that of {there}: give each its own"));
        }
        let overlap = self.days.start() <= older.days.end();
        if !overlap || !share_a_door(wire, other_wire) {
            return None;
        }
        if self.days.start() == older.days.start() {
            return Some(format!("`in_force` begins on the day of {there}: which is the newer?"));
        }
        // The charset too: most bytes of one are also text of the other, only another text.
        let same = Wire { declaration: None, ..wire.clone() }
            == Wire { declaration: None, ..other_wire.clone() };
        (!same).then(|| {
            format!(
                "[wire] is another than in {there}, and both are in force on one day: nobody could say how to read what \
                 comes in; give it a path of its own, or let one end before the other begins"
            )
        })
    }

    pub(super) fn problem(&self, message: String) -> Problem {
        Problem { file: self.file.clone(), line: None, message }
    }
}

/// What may be asked of a contract, as an OpenAPI document; its golden cases, if they lie beside it, are the examples.
fn description(file: &Path, contract: &Contract) -> Option<Bytes> {
    contract.wire().whole()?;
    let cases = case_files(&file.with_file_name("cases")).unwrap_or_default();
    let document = openapi::describe(contract, &examples(contract, &cases))?;
    Some(Bytes::from(document.to_string()))
}

/// Whether a message could come in for both.
fn share_a_door(one: &Wire, other: &Wire) -> bool {
    match (&one.http, &other.http) {
        (Some(one), Some(other)) => one.leads_to(&other.path) || other.leads_to(&one.path),
        (None, None) => true,
        _ => false,
    }
}
