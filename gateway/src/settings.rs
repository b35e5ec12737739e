//! The settings of one gateway: what its one TOML file may say, with unit and default of every key.
//!
//! An unknown key is refused, and every problem that can be seen is told at once, with its line. No secret stands in
//! the file, only the paths of the files that hold them. What is named here is not opened here: `directlink serve
//! --check` loads the certificates, keys and contracts. An example: docs/settings.md. What stands beside a field here is what
//! docs/settings-reference.md says of its key (`make reference`).

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{hours::Calendar, limits::Limits};

mod console;
mod contracts;
mod events;
mod evidence;
mod expectation;
mod institution;
mod ledger;
mod listen;
mod materials;
mod office;
mod reader;
mod reconciliation;
mod registry;
mod resolver;
mod subscriber;
mod taken;
mod telemetry;

pub use console::{Console, Person, Proxy, Role};
pub use contracts::{Contracts, SealKeys};
pub use events::Events;
pub use evidence::Evidence;
pub use expectation::Expectation;
pub use institution::{Institution, InstitutionKind, InstitutionMode, Matters};
pub use ledger::{Ledger, Store};
pub use listen::{Admin, BankProxy, Chains, Listen, StaleCrls};
pub use materials::Materials;
pub use office::{Delivery, Office, Queue, Routing};
pub(crate) use reader::Seconds;
pub use reconciliation::Reconciliation;
pub use registry::{Answers, Registry};
pub use resolver::Resolver;
pub use subscriber::{Field, Sight, Subscriber};
pub use telemetry::{OtlpProtocol, Telemetry};

/// Everything one gateway is told. Paths in it are absolute, or relative to the working directory if the settings
/// file was named so.
#[derive(Debug, Clone, schemars::JsonSchema)]
pub struct Settings {
    /// `[listen]`: the ports for banks.
    pub listen: Listen,
    /// `[admin]`: the port for operators.
    pub admin: Admin,
    /// `[console]`: pages for operators. Default: there are none.
    pub console: Option<Console>,
    /// `[ledger]`: where keys and outcomes are kept.
    #[schemars(with = "reader::WrittenLedger")]
    pub ledger: Ledger,
    /// `[contracts]`: where the banks' contracts are.
    pub contracts: Contracts,
    /// `[[institution]]`: who may file, at least one.
    #[schemars(rename = "institution")]
    pub institutions: Vec<Arc<Institution>>,
    /// `[[registry]]`: where applications are sent.
    #[schemars(rename = "registry")]
    pub registries: Vec<Arc<Registry>>,
    /// `[[office]]`: who is in charge of which land.
    #[schemars(rename = "office")]
    pub offices: Vec<Office>,
    /// `[routing]`: what else decides the office.
    pub routing: Routing,
    /// `[matters]`: which institutions may ask for what.
    pub matters: Matters,
    /// `[calendar]`: holidays, and weekend days that are worked.
    pub calendar: Calendar,
    /// `[queue]`: filings that wait for their office.
    pub queue: Queue,
    /// `[evidence]`: the log of exchanges.
    pub evidence: Evidence,
    /// `[resolver]`: how unknown outcomes are found out.
    pub resolver: Resolver,
    /// `[events]`: what is kept of them, and how banks are told.
    pub events: Events,
    /// `[reconciliation]`: when books are compared with registries. Default: only when somebody asks.
    pub reconciliation: Option<Reconciliation>,
    /// `[[subscriber]]`: who is told of events by the gateway itself. Default: nobody.
    #[schemars(rename = "subscriber")]
    pub subscribers: Vec<Arc<Subscriber>>,
    /// `[expectation]`: how long matters are said to take.
    pub expectation: Expectation,
    /// `[telemetry]`: logs and traces.
    pub telemetry: Telemetry,
    /// `[materials]`: what banks upload ahead of filings. Default: nothing can be uploaded.
    pub materials: Option<Materials>,
    /// `[limits]`: what a bank may ask of the gateway.
    pub limits: Limits,
}

impl Settings {
    /// Reads the settings file.
    ///
    /// # Errors
    /// Every problem found, in order of line: never empty.
    pub fn load(file: &Path) -> Result<Self, Vec<Problem>> {
        let text = fs::read_to_string(file).map_err(|error| {
            vec![Problem { file: file.to_owned(), line: None, message: error.to_string() }]
        })?;
        Self::parse(&text, file)
    }

    /// Reads settings from `text`; `file` is told in problems, and its folder is what relative paths start from.
    ///
    /// # Errors
    /// Every problem found, in order of line: never empty.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Vec<Problem>> {
        reader::read(text, file)
    }
}

/// One thing that is wrong with the settings, or with a file they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file it stands in.
    pub file: PathBuf,
    /// The line, from 1; `None` if it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong and what to do instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        write!(out, " {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that is a settings file.
    pub(super) const SMALLEST: &str = r#"
[listen]
https = "127.0.0.1:0"
certificate = "pki/gateway.pem"
key = "pki/gateway.key"
client_ca = "pki/banks.pem"
[[institution]]
id = "one"
name = "一"
kind = "BANK"
contract = "one"
certificate_issuer = "O=Somewhere, CN=Authority"
certificate_san = "core.one.example"
"#;

    fn problems(text: &str) -> Vec<(usize, String)> {
        let problems = Settings::parse(text, Path::new("etc/directlink.toml")).unwrap_err();
        problems.into_iter().map(|problem| (problem.line.unwrap(), problem.message)).collect()
    }

    /// Each expected problem is a line and a part of its words.
    fn assert_told(text: &str, expected: &[(usize, &str)]) {
        let told = problems(text);
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for ((line, message), (expected_line, part)) in told.iter().zip(expected) {
            assert_eq!(line, expected_line, "{told:#?}");
            assert!(message.contains(part), "{message} does not say {part}");
        }
    }

    #[test]
    fn what_is_not_said_has_a_default_and_paths_start_from_the_files_folder() {
        let settings = Settings::parse(SMALLEST, Path::new("etc/directlink.toml")).unwrap();
        assert_eq!(settings.listen.key, Path::new("etc/pki/gateway.key"));
        assert!(
            matches!(&settings.ledger.store, Store::Sqlite(path) if path == Path::new("etc/ledger.db"))
        );
        assert_eq!(settings.contracts.folder, Path::new("etc/contracts/banks"));
        assert_eq!(settings.limits.body_bytes_max, 1024 * 1024);
        assert_eq!(settings.institutions[0].mode, InstitutionMode::Production);
    }

    #[test]
    fn a_fault_in_one_table_does_not_hide_those_of_others() {
        let text = format!(
            "{SMALLEST}{}",
            r#"mood = "good"
[limits]
body_bytes_max = 0
idle_seconds_max = 0
[telemetry]
log = "info"
colour = true
[ports]
[[registry]]
name = "north"
address = "http://127.0.0.1:1"
server_name = "registry.north.example"
ca = "ca.pem"
certificate = "c.pem"
key = "k.pem"
deadline_seconds = 30
resend_unknown_after_seconds = 59
[[registry]]
name = "south"
address = "https://127.0.0.1:1"
server_name = "registry.south.example"
ca = "ca.pem"
certificate = "c.pem"
key = "k.pem"
idempotent = true
resend_unknown_after_seconds = 60
"#
        );
        assert_told(
            &text,
            &[
                (14, "unknown field `mood`"),
                (17, "at least 1 second"),
                (20, "unknown field `colour`"),
                (21, "unknown table `ports`"),
                (24, "expected https://HOST:PORT"),
                (29, "lease_seconds"),
                (29, "shutdown_seconds_max"),
                (30, "twice `deadline_seconds`"),
                (39, "only goes with `idempotent = false`"),
            ],
        );
    }

    #[test]
    fn two_institutions_with_one_certificate_are_refused_however_it_is_written() {
        let text = format!(
            "{SMALLEST}{}",
            r#"[[institution]]
id = "one"
name = "二"
kind = "COURT"
contract = "../two"
certificate_issuer = "O = Somewhere,CN = Authority"
certificate_san = "CORE.one.example"
"#
        );
        assert_told(
            &text,
            &[
                (15, "another institution"),
                (18, "expected letters"),
                (20, "`one` is known by this issuer and name too"),
            ],
        );
    }

    #[test]
    fn two_offices_with_one_prefix_are_refused() {
        let text = format!(
            "{SMALLEST}{}",
            r#"[[office]]
code = "a"
name = "甲"
registry = "nowhere"
division = "14010"
prefixes = ["140105", "1401"]
presale_prefixes = ["并", ""]
[[office]]
code = "b"
name = "乙"
registry = "nowhere"
division = "140105"
prefixes = ["140105", "140105001002GB00001"]
presale_prefixes = ["并"]
[routing]
retired = { "140100" = "140101", "140101" = "140105" }
"#
        );
        assert_told(
            &text,
            &[
                (17, "no [[registry]]"),
                (18, "expected 6 digits"),
                (19, "`1401`"),
                (20, "expected some characters"),
                (24, "no [[registry]]"),
                (26, "`140105` is with office `a` too"),
                (27, "`并` is with office `a` too"),
                (29, "name the last"),
            ],
        );
    }

    #[test]
    fn a_password_does_not_stand_in_the_file_and_is_not_repeated() {
        let url = r#"postgres = "postgresql://user:hush@127.0.0.1/db""#;
        let told = problems(&format!("[ledger]\n{url}\n{SMALLEST}"));
        assert!(
            matches!(told.as_slice(), [(2, message)] if message.contains("password_file") && !message.contains("hush"))
        );
    }

    #[test]
    fn what_cannot_be_done_without_is_missed() {
        assert_told("[admin]\n", &[(1, "`listen` is missing"), (1, "`institution` is missing")]);
        let told = problems("[listen]\nhttps = \n[admin\naddress = 1\n");
        assert!(told.len() >= 2, "both syntax faults are told: {told:#?}");
    }
}
