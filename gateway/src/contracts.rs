//! The contracts that are served, each in one version or several, as they are at this moment.
//!
//! Which version reads a message is decided in three steps: the certificate names the contract; the day, and the way the
//! message came in, leave the versions that may read it ([`Contracts::of`]); what it says decides among those
//! ([`Live::read`]). `contracts/versions.rs` holds what versions must have in common, `contracts/folder.rs` reads what lies on
//! disk, and `contracts/watch.rs` takes changes from there while the gateway runs: no message waits for either. Source: docs/decisions/0006-contract-versions.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use adapters::{Contract, Decoded, Mode, Undecoded, wire::Wire};
use arc_swap::ArcSwap;
use bytes::Bytes;

use self::folder::{Contents, Digest};
use crate::{
    identity::VerifiedBank,
    settings::{Listen, Problem, SealKeys, Settings},
};

mod folder;
mod keys;
mod versions;
mod watch;

pub use folder::{case_files, read_contract};
pub use versions::Versions;
pub use watch::watch;

/// All contracts that institutions in the settings use. Which there are may change with the settings, and what each says with
/// what lies on disk, one whole contract at a time.
#[derive(Debug)]
pub struct Contracts {
    folder: PathBuf,
    ports: Ports,
    served: ArcSwap<Served>,
    /// Those that subscribers depend on, who are those of the start.
    told: BTreeSet<String>,
}

/// The contracts that are served at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Served {
    by_name: BTreeMap<String, Arc<Versions>>,
    keys: BTreeMap<String, SealKeys>,
    /// Those in whose words institutions call; the others only tell.
    called: BTreeSet<String>,
}

/// The way a message comes in, known before a byte of it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door<'d> {
    /// Length-prefixed TCP.
    Tcp,
    /// HTTPS.
    Https {
        /// The path it is posted to, without a query.
        path: &'d str,
    },
}

/// Why nobody reads what comes in at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReader {
    /// No contract of the institution is loaded, or no version of it uses this port.
    Port,
    /// No version uses this path.
    Path,
}

/// The versions of one contract that may read a message. Whoever holds this keeps them as they are, whatever is loaded
/// meanwhile.
#[derive(Debug, Clone)]
pub struct Live {
    newest: Arc<Contract>,
    /// Newer ones first; mostly none.
    older: Vec<Arc<Contract>>,
    is_in_force: bool,
    digest: Digest,
}

impl Contracts {
    /// Loads every contract that the settings' institutions and subscribers use.
    ///
    /// # Errors
    /// All that is wrong with any of them, each with its file and line.
    pub fn load(settings: &Settings) -> Result<Self, Vec<Problem>> {
        let contracts = Self {
            folder: settings.contracts.folder.clone(),
            ports: Ports::of(&settings.listen),
            served: ArcSwap::default(),
            told: told(settings),
        };
        contracts.serve(contracts.over(&Served::default(), settings)?);
        Ok(contracts)
    }

    /// What is to be served by changed settings: contracts that are new, or have other keys, as they lie on disk; all others as
    /// they are served. `before`: the settings that count.
    ///
    /// # Errors
    /// All that is wrong with any of them, and every institution whose filings would get another key than before.
    pub(crate) fn changed(
        &self,
        before: &Settings,
        settings: &Settings,
    ) -> Result<Served, Vec<Problem>> {
        let served = self.served.load();
        let changed = self.over(&served, settings)?;
        let mut problems = Vec::new();
        for institution in &settings.institutions {
            let earlier = before.institutions.iter().find(|it| it.id == institution.id);
            let old = earlier.and_then(|it| served.by_name.get(&it.contract));
            let Some((old, new)) = old.zip(changed.by_name.get(&institution.contract)) else {
                continue;
            };
            if old.key_build() != new.key_build() {
                problems.extend(new.all.iter().map(|it| it.problem(OTHER_KEY.to_owned())));
            }
        }
        if problems.is_empty() { Ok(changed) } else { Err(problems) }
    }

    /// Serves these from now on.
    pub(crate) fn serve(&self, served: Served) {
        self.served.store(Arc::new(served));
    }

    fn over(&self, before: &Served, settings: &Settings) -> Result<Served, Vec<Problem>> {
        let mut served = Served {
            by_name: BTreeMap::new(),
            keys: settings.contracts.keys.clone(),
            called: settings.institutions.iter().map(|it| it.contract.clone()).collect(),
        };
        let mut problems = Vec::new();
        for name in served.called.union(&self.told) {
            let was_called = before.called.contains(name) || !served.called.contains(name);
            let kept = before.by_name.get(name);
            let kept =
                kept.filter(|_| was_called && before.keys.get(name) == served.keys.get(name));
            let versions = match kept {
                Some(versions) => Ok(Arc::clone(versions)),
                None => self
                    .compile(name, &Contents::read(&self.folder.join(name)), &served)
                    .map(Arc::new),
            };
            match versions {
                Ok(versions) => {
                    served.by_name.insert(name.clone(), versions);
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(served) } else { Err(problems) }
    }

    /// The versions that may read what `bank` sends in at `door`. Where none is in force, the one that was last, or else
    /// will be next: it gives the envelope of the refusal. `now`: what day it is, in Asia/Shanghai, is told from it.
    ///
    /// # Errors
    /// Nobody reads what comes in there.
    pub fn of(
        &self,
        bank: &VerifiedBank,
        door: Door<'_>,
        now: SystemTime,
    ) -> Result<Live, NoReader> {
        let served = self.served.load();
        let versions = served.by_name.get(bank.contract()).ok_or(NoReader::Port)?;
        versions.at(door, day_of(now))
    }

    /// What `bank` may ask over HTTPS, as an OpenAPI document in JSON, by the version in force; `None` if its messages are
    /// no whole HTTP requests.
    pub fn description(&self, bank: &VerifiedBank, now: SystemTime) -> Option<Bytes> {
        let served = self.served.load();
        let versions = served.by_name.get(bank.contract())?;
        let day = day_of(now);
        let mut live = versions.all.iter().filter(|version| version.days.contains(&day));
        live.find_map(versions::Version::description)
    }

    /// Every contract that is served, as it is now, by name.
    pub fn all(&self) -> BTreeMap<String, Arc<Versions>> {
        self.served.load().by_name.clone()
    }

    /// The version of the contract `name` in which is told what nobody asked for: the newest in force; where none is, the one
    /// that was last, or else will be next. `None`: no such contract is served.
    pub fn telling(&self, name: &str, now: SystemTime) -> Option<Arc<Contract>> {
        let served = self.served.load();
        let versions = served.by_name.get(name)?;
        let day = day_of(now);
        let newest = versions.all.iter().find(|version| version.days.contains(&day));
        newest.or_else(|| versions.all.first()).map(|version| Arc::clone(&version.contract))
    }

    /// SHA-256 over all versions of the contract `name`, as [`Live::digest`].
    pub(crate) fn digest_of(&self, name: &str) -> Option<Digest> {
        Some(self.served.load().by_name.get(name)?.digest)
    }

    /// Where the contract `name` is.
    pub(crate) fn file_of(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("contract.toml")
    }

    /// From what lies in the folder of the contract `name` to what can be served.
    fn compile(
        &self,
        name: &str,
        contents: &Contents,
        among: &Served,
    ) -> Result<Versions, Vec<Problem>> {
        let versions = among.compile(name, contents)?;
        let called = versions.all.iter().filter(|_| among.called.contains(name));
        let unreached = called.filter_map(|version| {
            let needs = self.ports.lacking(version.contract.wire())?;
            Some(version.problem(format!("[wire] needs `{needs}` in [listen] of the settings")))
        });
        let unreached: Vec<_> = unreached.collect();
        if unreached.is_empty() { Ok(versions) } else { Err(unreached) }
    }

    /// Serves what lies in the folder of the contract `name` from now on, or leaves all as it is.
    fn take(&self, name: &str, contents: &Contents) -> Result<Arc<Versions>, Vec<Problem>> {
        let served = self.served.load();
        let Some(before) = served.by_name.get(name) else { return Err(Vec::new()) };
        let versions = self.compile(name, contents, &served)?;
        if before.key_build() != versions.key_build() {
            return Err(versions.all.iter().map(|it| it.problem(OTHER_KEY.to_owned())).collect());
        }
        let versions = Arc::new(versions);
        self.served.rcu(|served| {
            let mut served = Served::clone(served);
            // Not one that settings have just left out.
            if let Some(before) = served.by_name.get_mut(name) {
                *before = Arc::clone(&versions);
            }
            served
        });
        Ok(versions)
    }
}

const OTHER_KEY: &str = "`build` of [key] may not change while the gateway runs: a filing that is sent again would get a second \
                         key, and could be registered twice";

/// The contracts that subscribers are told in, and by which keys of what they are told were built.
fn told(settings: &Settings) -> BTreeSet<String> {
    let subscribers = settings.subscribers.iter();
    let ids = subscribers
        .clone()
        .flat_map(|it| it.institution.iter().chain(it.sees.iter().map(|sight| &sight.institution)));
    let of = |id: &String| {
        let found = settings.institutions.iter().find(|institution| institution.id == *id);
        found.map(|institution| institution.contract.clone())
    };
    subscribers.filter_map(|it| it.contract.clone()).chain(ids.filter_map(of)).collect()
}

impl Served {
    fn compile(&self, name: &str, contents: &Contents) -> Result<Versions, Vec<Problem>> {
        Versions::compile(contents, |file, contract| self.keyed(name, file, contract))
    }

    /// A version of the contract `name`, with its keys if its messages are signed.
    fn keyed(&self, name: &str, file: &Path, contract: Contract) -> Result<Contract, Problem> {
        match self.keys.get(name) {
            _ if !contract.needs_keys() => Ok(contract),
            Some(keys) => keys::put(contract, keys),
            None => Err(Problem {
                file: file.to_owned(),
                line: None,
                message: format!(
                    "`seal` of [wire] needs keys: say [contracts.keys.{name}] in the settings"
                ),
            }),
        }
    }
}

/// One version of a contract, as it lies on disk.
#[derive(Debug)]
pub struct OnDisk {
    /// The folder that its files are in.
    pub folder: PathBuf,
    /// The version, with its keys if its messages are signed.
    pub contract: Arc<Contract>,
    /// SHA-256 over all versions that lie there, as [`Live::digest`].
    pub digest: [u8; 32],
}

/// The version of that name of the contract in the folder `name`, whether or not it is in force; `None` if there is none.
///
/// # Errors
/// What cannot be read or used of any version there.
pub fn version_on_disk(
    settings: &Settings,
    name: &str,
    version: &str,
) -> Result<Option<OnDisk>, Vec<Problem>> {
    let folder = settings.contracts.folder.join(name);
    let served = Served { keys: settings.contracts.keys.clone(), ..Served::default() };
    let versions = served.compile(name, &Contents::read(&folder))?;
    let digest = versions.digest;
    let mut all = versions.all.into_iter();
    Ok(all.find(|it| it.contract.version() == version).map(|it| OnDisk {
        folder: it.folder(),
        contract: Arc::clone(&it.contract),
        digest,
    }))
}

impl Live {
    /// Whether the versions are in force. If not, nothing may be done for a message, and it is refused in the envelope
    /// of [`Live::newest`].
    pub fn is_in_force(&self) -> bool {
        self.is_in_force
    }

    /// The newest of them: it speaks where no message tells which to take.
    pub fn newest(&self) -> &Contract {
        &self.newest
    }

    /// SHA-256 over all versions of the contract as they were loaded; docs/evidence.md says over what exactly.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Reads a message with the version that it suits best, the newer of two that it suits alike. The answer goes back
    /// in the version returned.
    pub fn read(
        &self,
        message: &[u8],
        mode: Mode,
    ) -> (Arc<Contract>, Result<Decoded, Box<Undecoded>>) {
        let mut best = (Arc::clone(&self.newest), self.newest.decode(message, mode));
        for older in &self.older {
            if Fit::of(&best.1) == Fit::Whole {
                break;
            }
            let read = older.decode(message, mode);
            if Fit::of(&read) > Fit::of(&best.1) {
                best = (Arc::clone(older), read);
            }
        }
        best
    }
}

impl AsRef<Wire> for Live {
    fn as_ref(&self) -> &Wire {
        self.newest.wire()
    }
}

/// How well a message suits a version, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It is no message of the version.
    Unknown,
    /// It is, with faults.
    Faulty,
    /// It was read, and something in it dropped: a version that knows that is the one it was written for.
    Partly,
    /// All of it was read.
    Whole,
}

impl Fit {
    fn of(read: &Result<Decoded, Box<Undecoded>>) -> Self {
        match read {
            Ok(decoded) if decoded.dropped.is_empty() => Self::Whole,
            Ok(_) => Self::Partly,
            Err(undecoded) if undecoded.message.is_some() => Self::Faulty,
            Err(_) => Self::Unknown,
        }
    }
}

impl Door<'_> {
    fn leads_to(self, wire: &Wire) -> bool {
        match self {
            Self::Tcp => wire.prefix.is_some(),
            Self::Https { path } => wire.http.as_ref().is_some_and(|route| route.leads_to(path)),
        }
    }
}

/// The ports that are opened.
#[derive(Debug, Clone, Copy)]
struct Ports {
    https: bool,
    tcp: bool,
}

impl Ports {
    fn of(listen: &Listen) -> Self {
        Self { https: listen.https.is_some(), tcp: listen.tcp.is_some() }
    }

    /// The port a contract needs and that is not opened: nobody would notice until the bank calls.
    fn lacking(self, wire: &Wire) -> Option<&'static str> {
        match (&wire.prefix, &wire.http) {
            (Some(_), _) => (!self.tcp).then_some("tcp"),
            (None, _) => (!self.https).then_some("https"),
        }
    }
}

/// The day in Asia/Shanghai, in days since 1970-01-01. There has been no summer time since 1991.
fn day_of(now: SystemTime) -> i64 {
    const SECONDS_AHEAD: i64 = 8 * 60 * 60;
    const SECONDS_A_DAY: i64 = 24 * 60 * 60;
    // A clock before 1970 is wrong; no contract is in force then.
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(SECONDS_AHEAD) / SECONDS_A_DAY
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use adapters::FaultCode;
    use proto::Date;
    use tempfile::TempDir;

    use super::*;

    /// A folder of settings and contracts.
    pub(super) struct House(TempDir);

    impl House {
        pub(super) fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        pub(super) fn contract(&self) -> PathBuf {
            self.0.path().join("contracts/one")
        }

        /// Writes a contract that only knows how to ask about a case into `inside` the contract's folder, with
        /// `changes` made to the texts of its files.
        pub(super) fn write(&self, inside: &str, changes: &[(&str, &str)]) {
            let folder = self.contract().join(inside);
            fs::create_dir_all(&folder).unwrap();
            let mut used = vec![false; changes.len()];
            for (name, text) in FILES {
                let mut text = text.to_owned();
                for ((from, to), used) in changes.iter().zip(&mut used) {
                    *used |= text.contains(from);
                    text = text.replace(from, to);
                }
                fs::write(folder.join(name), text).unwrap();
            }
            assert!(used.iter().all(|used| *used), "a change that changes nothing: {changes:?}");
        }

        pub(super) fn load(&self) -> Result<Contracts, Vec<String>> {
            self.load_with("")
        }

        /// Loads with more settings than all have.
        fn load_with(&self, more: &str) -> Result<Contracts, Vec<String>> {
            let file = self.0.path().join("directlink.toml");
            let settings = Settings::parse(&format!("{SETTINGS}{more}"), &file).unwrap();
            Contracts::load(&settings).map_err(|problems| {
                let root = format!("{}/contracts/", self.0.path().display());
                problems.iter().map(|problem| problem.to_string().replace(&root, "")).collect()
            })
        }
    }

    impl Contracts {
        pub(super) fn at(&self, path: &str, day: &str) -> Result<Live, NoReader> {
            self.served.load().by_name["one"].at(Door::Https { path }, days(day))
        }
    }

    impl Live {
        fn versions(&self) -> Vec<&str> {
            let all = [&self.newest].into_iter().chain(&self.older);
            all.map(|contract| contract.version()).collect()
        }

        /// The version that reads a message, and what it finds wrong.
        pub(super) fn told(&self, message: &str, mode: Mode) -> (String, Vec<FaultCode>) {
            let (contract, read) = self.read(message.as_bytes(), mode);
            let faults = read.err().map(|undecoded| undecoded.faults).unwrap_or_default();
            let codes = faults.into_iter().map(|fault| fault.code).collect();
            (contract.version().to_owned(), codes)
        }
    }

    fn days(day: &str) -> i64 {
        Date::parse(day).unwrap().days_since_1970()
    }

    const SETTINGS: &str = r#"
[listen]
https = "127.0.0.1:0"
certificate = "gateway.pem"
key = "gateway.key"
client_ca = "ca.pem"
[contracts]
folder = "contracts"
[[institution]]
id = "one"
name = "一"
kind = "BANK"
contract = "one"
certificate_issuer = "CN=Authority"
certificate_san = "core.one.example"
"#;

    const FILES: [(&str, &str); 5] = [
        (
            "contract.toml",
            r#"bank = "One"
version = "1"
in_force = ["2026-01-01", "2026-06-30"]
[wire]
media = "json"
charset = "UTF-8"
http = { path = "/cases", content_type = "application/json" }
[key]
build = "{exchange.serial}"
[messages]
poll = { subject = "case_query", request = "poll.json", reply = "reply.json", refusal = "refusal.json" }
last = { subject = "case_query", request = "last.json", reply = "reply.json", refusal = "refusal.json" }
"#,
        ),
        ("poll.json", r#"{ "do": "poll", "serial": "{exchange.serial}", "case": "{case_id}" }"#),
        ("last.json", r#"{ "do": "last", "serial": "{exchange.serial}", "case": "{case_id}" }"#),
        ("reply.json", r#"{ "serial": "{exchange.serial}", "case": "{outcome.case_id}" }"#),
        ("refusal.json", r#"{ "serial": "{exchange.serial?}", "code": "{outcome.refusal.code}" }"#),
    ];

    /// What makes it a second version, in force from June.
    const SECOND: (&str, &str) =
        ("version = \"1\"\nin_force = [\"2026-01-01\", \"2026-06-30\"]", SECOND_IS);
    const SECOND_IS: &str = "version = \"2\"\nin_force = [\"2026-06-01\"]";

    #[test]
    fn a_contract_whose_messages_are_signed_needs_keys() {
        let house = House::new();
        let seal = "\nseal = { algorithm = \"RSA-SHA256\", over = \"sorted fields\", field = \"sign\" }\n[key]";
        house.write("", &[("\n[key]", seal)]);
        let told = house.load().unwrap_err();
        assert!(told[0].contains("one/contract.toml: `seal` of [wire] needs keys"), "{told:?}");

        let keys = "[contracts.keys.one]\nbank = \"contracts/bank\"\ngateway = \"contracts/own\"";
        let told = house.load_with(keys).unwrap_err();
        assert!(told[0].starts_with("bank: "), "no such file: {told:?}");
        let public = include_str!("../../contracts/banks/songlai/cases/keys/test-bank.pub.pem");
        let private = include_str!("../../contracts/banks/songlai/cases/keys/test-gateway.key.pem");
        let put = |name: &str, key: &str| {
            fs::write(house.contract().with_file_name(name), key).unwrap();
        };
        put("bank", public);
        put("own", "no key");
        let told = house.load_with(keys).unwrap_err();
        assert!(told[0].starts_with("own: the gateway's key"), "{told:?}");
        put("own", private);
        assert!(house.load_with(keys).is_ok());
    }

    #[test]
    fn the_day_says_which_versions_may_read() {
        let house = House::new();
        house.write("old", &[]);
        house.write("new", &[SECOND]);
        let contracts = house.load().unwrap();
        for (day, versions, is_in_force) in [
            ("2025-12-31", &["1"][..], false),
            ("2026-01-01", &["1"], true),
            ("2026-05-31", &["1"], true),
            ("2026-06-01", &["2", "1"], true),
            ("2026-06-30", &["2", "1"], true),
            ("2026-07-01", &["2"], true),
            ("9999-12-31", &["2"], true),
        ] {
            let live = contracts.at("/cases", day).unwrap();
            assert_eq!((live.versions().as_slice(), live.is_in_force()), (versions, is_in_force));
        }
        assert_eq!(contracts.at("/other", "2026-06-01").unwrap_err(), NoReader::Path);
        let tcp = contracts.served.load().by_name["one"].at(Door::Tcp, days("2026-06-01"));
        assert_eq!(tcp.unwrap_err(), NoReader::Port);
    }

    #[test]
    fn once_all_have_ended_the_last_gives_the_envelope() {
        let house = House::new();
        house.write("a", &[]);
        house.write("b", &[SECOND, ("[\"2026-06-01\"]", "[\"2026-06-01\", \"2026-09-30\"]")]);
        house.write("c", &[SECOND, ("\"2\"", "\"3\""), ("2026-06-01", "2027-01-01")]);
        let contracts = house.load().unwrap();
        let live = contracts.at("/cases", "2026-12-31").unwrap();
        assert_eq!((live.versions().as_slice(), live.is_in_force()), (&["2"][..], false));
    }

    #[test]
    fn a_day_begins_at_midnight_in_shanghai() {
        let at = |seconds: u64| day_of(UNIX_EPOCH + Duration::from_secs(seconds));
        // 2026-06-01 00:00:00 there is 2026-05-31 16:00:00 UTC.
        assert_eq!(
            (at(1_780_243_199), at(1_780_243_200)),
            (days("2026-05-31"), days("2026-06-01"))
        );
    }

    #[test]
    fn what_the_message_says_decides_among_versions_in_force() {
        let house = House::new();
        let poll = FILES[1].1;
        let ask =
            (poll, r#"{ "do": "poll", "serial": "{exchange.serial}", "caseId": "{case_id}" }"#);
        let noted = (
            poll,
            r#"{ "do": "poll", "serial": "{exchange.serial}", "case": "{case_id}", "system": "{exchange.system_id?}" }"#,
        );
        house.write("old", &[noted]);
        house.write("new", &[SECOND, ask]);
        let live = house.load().unwrap().at("/cases", "2026-06-15").unwrap();
        let told = |message| live.told(message, Mode::Test);
        let clean = |version: &str| (version.to_owned(), Vec::new());
        assert_eq!(told(r#"{"do":"poll","serial":"S-1","caseId":"C-1"}"#), clean("2"));
        assert_eq!(told(r#"{"do":"poll","serial":"S-1","case":"C-1"}"#), clean("1"));
        // Wrong in both: the newest tells. The same for what is none of anybody's.
        let (version, faults) = told(r#"{"do":"poll","caseId":"C-1"}"#);
        assert_eq!((version.as_str(), faults.is_empty()), ("2", false));
        assert_eq!(told("no message").0, "2");

        // A kind of message that only the older knows is told its faults by that one.
        house.write("new", &[SECOND, ("\"poll\"", "\"ask\"")]);
        let live = house.load().unwrap().at("/cases", "2026-06-15").unwrap();
        let (version, faults) = live.told(r#"{"do":"poll","case":"C-1"}"#, Mode::Test);
        assert_eq!((version.as_str(), faults.as_slice()), ("1", &[FaultCode::TagMissing][..]));

        // In production the newest reads it too, dropping what the older knows: that would lose it.
        house.write("new", &[SECOND]);
        let live = house.load().unwrap().at("/cases", "2026-06-15").unwrap();
        let with_system = r#"{"do":"poll","serial":"S-1","case":"C-1","system":"X"}"#;
        let with_more = r#"{"do":"poll","serial":"S-1","case":"C-1","more":"X"}"#;
        assert_eq!(live.told(with_system, Mode::Production), clean("1"));
        assert_eq!(live.told(with_more, Mode::Production), clean("2"));
    }

    #[test]
    fn versions_that_could_not_be_told_apart_before_reading_are_refused() {
        const PATH: (&str, &str) = ("/cases", "/v2/cases");
        const GB: (&str, &str) = ("UTF-8", "GB18030");
        const LATER: (&str, &str) = (SECOND_IS, "version = \"2\"\nin_force = [\"2026-07-01\"]");
        for (changes, part) in [
            (&[SECOND, GB][..], "[wire] is another"),
            (&[SECOND, ("\"application/json\"", "\"text/json\"")], "[wire] is another"),
            (&[SECOND, GB, PATH], ""),
            (&[SECOND, LATER, GB], ""),
            (&[("version = \"1\"", "version = \"2\"")], "begins on the day"),
            (&[SECOND, ("\"2\"", "\"1\"")], "`version` is that of"),
            (&[SECOND, PATH, ("{exchange.serial}\"\n", "K{exchange.serial}\"\n")], "second key"),
        ] {
            let house = House::new();
            house.write("v1", &[]);
            house.write("v2", changes);
            match house.load() {
                Ok(_) => assert_eq!(part, "", "{changes:?} was accepted"),
                Err(told) => assert!(
                    matches!(told.as_slice(), [told] if !part.is_empty() && told.contains(part)),
                    "{changes:?}: {told:#?}"
                ),
            }
        }
    }

    #[test]
    fn each_of_two_paths_has_its_own_version() {
        let house = House::new();
        house.write("v1", &[]);
        house.write("v2", &[SECOND, ("/cases", "/v2/cases")]);
        let contracts = house.load().unwrap();
        assert_eq!(contracts.at("/cases", "2026-06-15").unwrap().versions(), ["1"]);
        assert_eq!(contracts.at("/v2/cases", "2026-06-15").unwrap().versions(), ["2"]);
        assert!(!contracts.at("/cases", "2026-07-15").unwrap().is_in_force());
    }

    #[test]
    fn every_problem_of_every_version_is_told() {
        let house = House::new();
        house.write("v1", &[("{case_id}", "{no_such_field}")]);
        house.write("v2", &[SECOND, ("\"JSON\"".to_lowercase().as_str(), "\"yaml\"")]);
        let told = house.load().unwrap_err();
        assert!(told.iter().any(|it| it.starts_with("one/v1/poll.json:1: ")), "{told:#?}");
        assert!(told.iter().any(|it| it.starts_with("one/v2/contract.toml:4: ")), "{told:#?}");

        let tcp = [(
            "http = { path = \"/cases\", content_type = \"application/json\" }",
            "prefix = { digits = 4 }",
        )];
        let house = House::new();
        house.write("", &tcp);
        let told = house.load().unwrap_err();
        assert_eq!(told, ["one/contract.toml: [wire] needs `tcp` in [listen] of the settings"]);
    }
}
