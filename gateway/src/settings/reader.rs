//! Reads the settings file and says everything that is wrong with it.
//!
//! Each table is read by itself, so that a fault in one does not hide those of the others; what tables must be to each
//! other is checked once all are read. Opens no file.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serializer, de};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

mod pins;

use self::pins::Pins;
use super::{
    Admin, Console, Contracts, Events, Evidence, Expectation, Institution, Ledger, Listen,
    Materials, Matters, Office, Problem, Queue, Reconciliation, Registry, Resolver, Routing,
    Settings, Store, Subscriber, Telemetry,
};
use crate::{
    evidence::checkpoint,
    hours::{Calendar, Hours},
    ledger::PostgresTls,
    limits::Limits,
    matter,
};

pub(super) fn read(text: &str, file: &Path) -> Result<Settings, Vec<Problem>> {
    let (document, faults) = DeTable::parse_recoverable(text);
    let mut notes = Notes { text, found: Vec::new() };
    for fault in faults {
        notes.add(fault.span().unwrap_or(0..0), fault.message());
    }
    if !notes.found.is_empty() {
        return Err(notes.into_problems(file)); // What follows would only repeat it.
    }
    let tables = Tables::read(document.into_inner(), &mut notes);
    let settings = tables.check(&mut notes, file.parent().unwrap_or(Path::new("")));
    match settings {
        Some(settings) if notes.found.is_empty() => Ok(settings),
        _ => Err(notes.into_problems(file)),
    }
}

/// Whole seconds, at least one, as the file has them (`with`).
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(crate) struct Seconds(#[expect(dead_code, reason = "it says how one is written")] NonZeroU32);

impl Seconds {
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        match u32::deserialize(from)? {
            0 => Err(de::Error::custom("expected at least 1 second")),
            whole => Ok(Duration::from_secs(whole.into())),
        }
    }

    pub(crate) fn serialize<S: Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(length.as_secs())
    }
}

/// Reads [`Seconds`] where a key that is left out means something of its own.
pub(crate) fn some_seconds<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    Seconds::deserialize(from).map(Some)
}

/// Reads an office's hours.
pub(super) fn hours<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Hours>, D::Error> {
    let lines = Vec::<String>::deserialize(from)?;
    let hours = Hours::parse(lines.iter().map(String::as_str));
    hours.map(Some).map_err(de::Error::custom)
}

/// What was found wrong so far.
struct Notes<'t> {
    text: &'t str,
    found: Vec<(usize, String)>,
}

impl Notes<'_> {
    fn add(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.found.push((span.start, message.into()));
    }

    fn into_problems(mut self, file: &Path) -> Vec<Problem> {
        self.found.sort_by_key(|(offset, _)| *offset);
        let text = self.text.as_bytes();
        let line =
            |offset: usize| 1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count();
        self.found
            .into_iter()
            .map(|(offset, message)| Problem {
                file: file.to_owned(),
                line: Some(line(offset)),
                message,
            })
            .collect()
    }
}

/// A table as read, and where it and its keys stand.
struct Placed<T> {
    is: T,
    table: Range<usize>,
    keys: HashMap<String, Range<usize>>,
}

impl<T> Placed<T> {
    fn of(&self, key: &str) -> Range<usize> {
        self.keys.get(key).unwrap_or(&self.table).clone()
    }
}

impl<T: Default> Default for Placed<T> {
    fn default() -> Self {
        Self { is: T::default(), table: 0..0, keys: HashMap::new() }
    }
}

/// `[ledger]`: where keys and outcomes are kept.
///
/// One of `sqlite` and `postgres`, not both.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenLedger {
    /// The database file, made if it does not exist; for one process on one machine. Default: ledger.db.
    sqlite: Option<PathBuf>,
    /// URL without a password, `postgresql://user@host:port/database`; shared by all replicas. With a standby, both:
    /// `postgresql://user@one:5432,other:5432/database`; the first that takes writes is used.
    postgres: Option<String>,
    /// File that holds the password for `postgres` and nothing else. Default: none is sent.
    password_file: Option<PathBuf>,
    /// PEM file: the authorities that the certificate of Postgres may be issued by; it must hold the host's name.
    /// Without it the host must be this machine. Default: not encrypted.
    tls_ca: Option<PathBuf>,
    /// PEM file: the gateway's certificate for Postgres, its chain after it, where it asks for one. Default: none is
    /// shown.
    tls_certificate: Option<PathBuf>,
    /// PEM file: the private key of `tls_certificate`.
    tls_key: Option<PathBuf>,
    /// Connections to Postgres at most.
    pool_size_max: usize,
    /// How long to wait for a free or new connection to Postgres.
    #[serde(with = "Seconds")]
    wait_seconds: Duration,
    /// How long one statement may take in Postgres.
    #[serde(with = "Seconds")]
    statement_seconds: Duration,
    /// How long one process may work on a filing before another may take it over; longer than any registry's
    /// `deadline_seconds`.
    #[serde(with = "Seconds")]
    lease_seconds: Duration,
    /// How long after its last change what is known of a settled filing is kept; its key stays used for good.
    #[serde(with = "Seconds")]
    retention_seconds: Duration,
}

impl Default for WrittenLedger {
    fn default() -> Self {
        Self {
            sqlite: None,
            postgres: None,
            password_file: None,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            pool_size_max: 16,
            wait_seconds: Duration::from_secs(3),
            statement_seconds: Duration::from_secs(5),
            lease_seconds: Duration::from_secs(30),
            retention_seconds: Duration::from_secs(400 * 24 * 60 * 60),
        }
    }
}

/// The tables of the file, each read by itself; those with a fault are missing.
#[derive(Default)]
struct Tables {
    listen: Option<Placed<Listen>>,
    admin: Placed<Admin>,
    console: Option<Placed<Console>>,
    ledger: Placed<WrittenLedger>,
    contracts: Placed<Contracts>,
    institutions: Vec<Placed<Institution>>,
    registries: Vec<Placed<Registry>>,
    offices: Vec<Placed<Office>>,
    routing: Placed<Routing>,
    matters: Placed<Matters>,
    calendar: Placed<Calendar>,
    queue: Placed<Queue>,
    evidence: Placed<Evidence>,
    resolver: Placed<Resolver>,
    events: Placed<Events>,
    expectation: Placed<Expectation>,
    materials: Option<Placed<Materials>>,
    reconciliation: Option<Placed<Reconciliation>>,
    subscribers: Vec<Placed<Subscriber>>,
    telemetry: Placed<Telemetry>,
    limits: Placed<Limits>,
    /// Whether a `[[registry]]` was left out for its faults.
    registries_unread: bool,
    /// Tables that stand in the file, faulty ones too.
    seen: Vec<String>,
}

impl Tables {
    fn read(document: DeTable<'_>, notes: &mut Notes<'_>) -> Self {
        let mut tables = Self::default();
        for (key, value) in document {
            let (name, at) = (key.get_ref().to_string(), key.span());
            match name.as_str() {
                "listen" => tables.listen = table(value, notes),
                "admin" => tables.admin = table(value, notes).unwrap_or_default(),
                "console" => tables.console = table(value, notes),
                "ledger" => tables.ledger = table(value, notes).unwrap_or_default(),
                "contracts" => tables.contracts = table(value, notes).unwrap_or_default(),
                "calendar" => tables.calendar = table(value, notes).unwrap_or_default(),
                "queue" => tables.queue = table(value, notes).unwrap_or_default(),
                "evidence" => tables.evidence = table(value, notes).unwrap_or_default(),
                "routing" => tables.routing = table(value, notes).unwrap_or_default(),
                "matters" => tables.matters = table(value, notes).unwrap_or_default(),
                "resolver" => tables.resolver = table(value, notes).unwrap_or_default(),
                "expectation" => tables.expectation = table(value, notes).unwrap_or_default(),
                "events" => tables.events = table(value, notes).unwrap_or_default(),
                "materials" => tables.materials = table(value, notes),
                "reconciliation" => tables.reconciliation = table(value, notes),
                "telemetry" => tables.telemetry = table(value, notes).unwrap_or_default(),
                "limits" => tables.limits = table(value, notes).unwrap_or_default(),
                "institution" => tables.institutions = list(value, notes).0,
                "registry" => (tables.registries, tables.registries_unread) = list(value, notes),
                "subscriber" => tables.subscribers = list(value, notes).0,
                "office" => tables.offices = list(value, notes).0,
                _ => notes.add(at, format!("unknown table `{name}`, expected {TABLES}")),
            }
            tables.seen.push(name);
        }
        tables
    }

    /// Checks what tables must be to each other, and makes paths start from `folder`. `None` if a table is missing
    /// that cannot be done without; that is noted.
    fn check(mut self, notes: &mut Notes<'_>, folder: &Path) -> Option<Settings> {
        for name in ["listen", "institution"] {
            if !self.seen.iter().any(|seen| seen == name) {
                notes.add(0..0, format!("`{name}` is missing: without it nobody can be served"));
            }
        }
        self.check_callers(notes);
        self.check_registries(notes);
        self.check_offices(notes);
        self.check_subscribers(notes);
        self.check_rest(notes);
        let ledger = self.check_ledger(notes, folder);
        let mut listen = self.listen?.is;
        let files = [&mut listen.certificate, &mut listen.key, &mut listen.client_ca];
        for path in files.into_iter().chain(&mut listen.client_crls) {
            *path = folder.join(&*path);
        }
        for registry in &mut self.registries {
            let registry = &mut registry.is;
            for path in [&mut registry.ca, &mut registry.certificate, &mut registry.key] {
                *path = folder.join(&*path);
            }
        }
        for subscriber in &mut self.subscribers {
            let subscriber = &mut subscriber.is;
            let own = [&mut subscriber.certificate, &mut subscriber.key];
            let files = own.into_iter().flatten().chain(&mut subscriber.secret_files);
            files.chain([&mut subscriber.ca]).for_each(|path| *path = folder.join(&*path));
        }
        let evidence = self.evidence.is;
        let mut contracts = self.contracts.is;
        contracts.folder = folder.join(&contracts.folder);
        for keys in contracts.keys.values_mut() {
            for path in [&mut keys.bank, &mut keys.gateway] {
                *path = folder.join(&*path);
            }
        }
        Some(Settings {
            listen,
            admin: self.admin.is,
            console: self.console.map(|placed| placed.is.beside(folder)),
            ledger: ledger?,
            contracts,
            institutions: self.institutions.into_iter().map(|placed| Arc::new(placed.is)).collect(),
            registries: self.registries.into_iter().map(|placed| Arc::new(placed.is)).collect(),
            offices: self.offices.into_iter().map(|placed| placed.is).collect(),
            routing: self.routing.is,
            matters: self.matters.is,
            calendar: self.calendar.is,
            evidence: Evidence {
                key_files: evidence.key_files.iter().map(|file| folder.join(file)).collect(),
                checkpoint_folder: evidence.checkpoint_folder.map(|it| folder.join(it)),
                ..evidence
            },
            queue: Queue { key_file: self.queue.is.key_file.map(|file| folder.join(file)) },
            resolver: self.resolver.is,
            events: self.events.is,
            expectation: self.expectation.is,
            materials: self.materials.map(|placed| placed.is.beside(folder)),
            reconciliation: self.reconciliation.map(|placed| placed.is),
            subscribers: self.subscribers.into_iter().map(|placed| Arc::new(placed.is)).collect(),
            telemetry: self.telemetry.is.beside(folder),
            limits: self.limits.is,
        })
    }

    fn check_callers(&self, notes: &mut Notes<'_>) {
        let mut by_id = HashMap::new();
        let mut pins = Pins::default();
        for placed in &self.institutions {
            let it = &placed.is;
            if !is_name(&it.id) {
                notes.add(placed.of("id"), format!("`{}`: {NAME_FORM}", it.id));
            }
            if by_id.insert(&it.id, ()).is_some() {
                notes
                    .add(placed.of("id"), format!("another institution is called `{}` too", it.id));
            }
            if !is_name(&it.contract) {
                notes.add(placed.of("contract"), format!("`{}`: {NAME_FORM}", it.contract));
            }
            let counts =
                [("exchanges_max", it.exchanges_max), ("connections_max", it.connections_max)];
            for (key, count) in counts {
                if count.is_some_and(|count| count == 0 || count > COUNT_MAX) {
                    notes.add(placed.of(key), format!("expected 1 to {COUNT_MAX}"));
                }
            }
            if it.mortgagee_names.iter().any(|name| name.trim().is_empty()) {
                notes.add(placed.of("mortgagee_names"), "expected some characters");
            }
            for code in &it.mortgagee_codes {
                if proto::CreditCode::parse(code).is_err() {
                    notes.add(
                        placed.of("mortgagee_codes"),
                        format!("`{code}` is no unified social credit code"),
                    );
                }
            }
            pins.pin(&it.id, (&it.certificate_issuer, &it.certificate_san), placed, notes);
        }
        let Some(listen) = &self.listen else { return };
        let mut by_name = HashMap::new();
        for it in &listen.is.proxies {
            if !is_name(&it.name) {
                notes.add(listen.of("proxy"), format!("`{}`: {NAME_FORM}", it.name));
            }
            if by_name.insert(&it.name, ()).is_some() {
                notes.add(listen.of("proxy"), format!("another proxy is called `{}` too", it.name));
            }
            for id in it.institutions.iter().filter(|id| !by_id.contains_key(id)) {
                let told = format!("proxy `{}`: no [[institution]] is called `{id}`", it.name);
                notes.add(listen.of("proxy"), told);
            }
            pins.pin(&it.name, (&it.certificate_issuer, &it.certificate_san), listen, notes);
        }
    }

    fn check_registries(&self, notes: &mut Notes<'_>) {
        let mut by_name = HashMap::new();
        for placed in &self.registries {
            let it = &placed.is;
            if !is_name(&it.name) {
                notes.add(placed.of("name"), format!("`{}`: {NAME_FORM}", it.name));
            }
            if by_name.insert(&it.name, ()).is_some() {
                notes.add(
                    placed.of("name"),
                    format!("another registry is called `{}` too", it.name),
                );
            }
            if !is_origin(&it.address, "https") {
                notes.add(
                    placed.of("address"),
                    format!("`{}`: expected https://HOST:PORT", it.address),
                );
            }
            if rustls::pki_types::ServerName::try_from(it.server_name.as_str()).is_err() {
                notes
                    .add(placed.of("server_name"), format!("`{}` is no host name", it.server_name));
            }
            let rooms = [("filings_max", it.filings_max), ("questions_max", it.questions_max)];
            for (key, places) in rooms {
                if places == 0 || places > COUNT_MAX {
                    notes.add(placed.of(key), format!("expected 1 to {COUNT_MAX}"));
                }
            }
            if it.poll_first > it.poll_longest {
                notes.add(
                    placed.of("poll_first_seconds"),
                    "must not be longer than `poll_longest_seconds`",
                );
            }
            if it.failures_max == 0 {
                notes.add(placed.of("failures_max"), "expected at least 1");
            }
            match it.resend_unknown_after {
                Some(_) if it.idempotent => notes.add(
                    placed.of("resend_unknown_after_seconds"),
                    "only goes with `idempotent = false`: what is idempotent is sent again at once",
                ),
                Some(after) if after < it.deadline * 2 => notes.add(
                    placed.of("resend_unknown_after_seconds"),
                    "must be at least twice `deadline_seconds`: a call may still be on its way",
                ),
                Some(_) | None => {}
            }
            let (lease, grace) = (self.ledger.is.lease_seconds, self.limits.is.shutdown_max);
            if it.deadline >= lease {
                notes.add(
                    placed.of("deadline_seconds"),
                    "must be shorter than `lease_seconds` in [ledger]: a call may not outlive its claim",
                );
            }
            if it.deadline >= grace {
                notes.add(
                    placed.of("deadline_seconds"),
                    "must be shorter than `shutdown_seconds_max` in [limits]: else a stop cuts calls off",
                );
            }
        }
    }

    fn check_offices(&self, notes: &mut Notes<'_>) {
        let mut by_code = HashMap::new();
        let mut by_prefix: HashMap<(&str, &str), &str> = HashMap::new();
        let matters = matter::names();
        for placed in &self.offices {
            let it = &placed.is;
            if it.code.trim().is_empty() {
                notes.add(placed.of("code"), "expected the registry's code for the office");
            }
            // A filing that waits goes to its office's registry of then, so that the code alone has to say which office.
            let scope = self.queue.is.key_file.is_none().then_some(&it.registry);
            if by_code.insert((scope, &it.code), ()).is_some() {
                notes.add(
                    placed.of("code"),
                    format!("another office of `{}` has the code `{}`", it.registry, it.code),
                );
            }
            // A registry with a fault was told of already: its name is not known then.
            let known = self.registries.iter().any(|registry| registry.is.name == it.registry);
            if !known && !self.registries_unread {
                notes.add(
                    placed.of("registry"),
                    format!("no [[registry]] is called `{}`", it.registry),
                );
            }
            if !is_division(&it.division) {
                notes.add(placed.of("division"), format!("`{}`: expected 6 digits", it.division));
            }
            if it.prefixes.is_empty() {
                notes.add(placed.of("prefixes"), "expected at least one beginning of unit codes");
            }
            for prefix in &it.prefixes {
                if !is_unit_prefix(prefix) {
                    notes.add(
                        placed.of("prefixes"),
                        format!("`{prefix}`: expected the first 6, 9, 12 or 19 characters of a unit code"),
                    );
                }
            }
            for matter in it.matters.iter().flatten().filter(|it| !matters.contains(it)) {
                let known = matters.join(", ");
                notes.add(placed.of("matters"), format!("`{matter}`: expected some of {known}"));
            }
            for prefix in it.presale_prefixes.iter().filter(|prefix| prefix.trim().is_empty()) {
                notes.add(
                    placed.of("presale_prefixes"),
                    format!("`{prefix}`: expected some characters"),
                );
            }
            for (key, prefixes) in
                [("prefixes", &it.prefixes), ("presale_prefixes", &it.presale_prefixes)]
            {
                for prefix in prefixes {
                    if let Some(other) = by_prefix.insert((key, prefix), &it.code) {
                        notes.add(
                            placed.of(key),
                            format!("`{prefix}` is with office `{other}` too: one office must be in charge"),
                        );
                    }
                }
            }
        }
    }

    fn check_subscribers(&self, notes: &mut Notes<'_>) {
        let mut by_name = HashMap::new();
        let is_institution =
            |id: &String| self.institutions.iter().any(|institution| institution.is.id == *id);
        let matters = matter::names();
        for placed in &self.subscribers {
            let it = &placed.is;
            if !is_name(&it.name) {
                notes.add(placed.of("name"), format!("`{}`: {NAME_FORM}", it.name));
            }
            if by_name.insert(&it.name, ()).is_some() {
                let told = format!("another subscriber is called `{}` too", it.name);
                notes.add(placed.of("name"), told);
            }
            match (&it.institution, it.sees.as_slice()) {
                (Some(_), []) | (None, [_, ..]) => {}
                (Some(_), [_, ..]) | (None, []) => notes.add(
                    placed.table.clone(),
                    "expected `institution`, if it is told of its own cases, or [[subscriber.sees]], if of others'",
                ),
            }
            let named = it.institution.iter().map(|id| ("institution", id));
            let named = named.chain(it.sees.iter().map(|sight| ("sees", &sight.institution)));
            for (key, id) in named.filter(|(_, id)| !is_institution(id)) {
                notes.add(placed.of(key), format!("no [[institution]] has the id `{id}`"));
            }
            for (number, sight) in it.sees.iter().enumerate() {
                let again = it.sees.iter().take(number);
                if again.map(|sight| &sight.institution).any(|id| *id == sight.institution) {
                    let told = format!("`{}` stands there twice", sight.institution);
                    notes.add(placed.of("sees"), told);
                }
                for matter in sight.matters.iter().filter(|it| !matters.contains(it)) {
                    let known = matters.join(", ");
                    notes.add(placed.of("sees"), format!("`{matter}`: expected some of {known}"));
                }
            }
            if it.contract.is_none() && it.institution.is_none() {
                notes.add(
                    placed.table.clone(),
                    "`contract` is missing: without it nobody knows in whose words it is told",
                );
            }
            if it.contract.as_ref().is_some_and(|contract| !is_name(contract)) {
                notes.add(placed.of("contract"), NAME_FORM);
            }
            self.check_address(placed, notes);
            if it.certificate.is_some() != it.key.is_some() {
                notes.add(placed.table.clone(), "`certificate` and `key` go together");
            }
            if it.first > it.longest {
                notes.add(placed.of("first_seconds"), "must not be longer than `longest_seconds`");
            }
            if it.answer_max >= self.limits.is.shutdown_max {
                notes.add(
                    placed.of("answer_seconds_max"),
                    "must be shorter than `shutdown_seconds_max` in [limits]: else a stop cuts notices off",
                );
            }
            if it.cases_max == 0 || it.cases_max > LINES_MAX {
                notes.add(placed.of("cases_max"), format!("expected 1 to {LINES_MAX}"));
            }
            if it.passed_over_max == 0 {
                notes.add(placed.of("passed_over_max"), "expected at least 1");
            }
        }
    }

    fn check_address(&self, placed: &Placed<Subscriber>, notes: &mut Notes<'_>) {
        let it = &placed.is;
        let address = it.address.parse::<http::Uri>().ok();
        let scheme = address.as_ref().and_then(http::Uri::scheme_str);
        let is_plain = address.as_ref().and_then(http::Uri::authority).is_some_and(|authority| {
            !authority.host().is_empty() && !authority.as_str().contains('@')
        });
        let port = address.as_ref().and_then(http::Uri::port_u16);
        let is_tcp = scheme == Some("tcp");
        // The text may hold what is nobody's business, so it is not repeated.
        if !is_plain || !(scheme == Some("https") || is_tcp && port.is_some()) {
            notes.add(
                placed.of("address"),
                "expected https://HOST[:PORT]/PATH or tcp://HOST:PORT, without a user",
            );
            return;
        }
        let host = address.as_ref().and_then(http::Uri::host).unwrap_or_default();
        let name = it.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
        if rustls::pki_types::ServerName::try_from(name).is_err() {
            notes.add(placed.of("server_name"), format!("`{name}` is no host name"));
        }
        if is_tcp && !it.secret_files.is_empty() {
            notes.add(placed.of("secret_files"), "only goes with https://");
        }
    }

    fn check_ledger(&self, notes: &mut Notes<'_>, folder: &Path) -> Option<Ledger> {
        let (placed, it) = (&self.ledger, &self.ledger.is);
        let store = match (&it.sqlite, &it.postgres) {
            (Some(_), Some(_)) => {
                notes.add(
                    placed.of("postgres"),
                    "expected one of `sqlite` and `postgres`, not both",
                );
                return None;
            }
            (None, Some(url)) => {
                match url.parse::<tokio_postgres::Config>() {
                    // The text is not told: a password may stand in it.
                    Err(error) => {
                        notes.add(placed.of("postgres"), format!("not a database URL: {error}"))
                    }
                    Ok(config) if config.get_password().is_some() => {
                        notes.add(
                            placed.of("postgres"),
                            "holds a password: put it into a file, name that in `password_file`",
                        );
                    }
                    Ok(_) => {}
                }
                let password_file = it.password_file.as_ref().map(|path| folder.join(path));
                return Some(Ledger {
                    store: Store::Postgres {
                        url: url.clone(),
                        password_file,
                        tls: self.ledger_tls(notes, folder),
                        pool_size_max: it.pool_size_max,
                        wait: it.wait_seconds,
                        statement: it.statement_seconds,
                    },
                    lease: it.lease_seconds,
                    retention: it.retention_seconds,
                });
            }
            (Some(path), None) => folder.join(path),
            (None, None) => folder.join("ledger.db"),
        };
        let only_postgres = [
            ("password_file", &it.password_file),
            ("tls_ca", &it.tls_ca),
            ("tls_certificate", &it.tls_certificate),
            ("tls_key", &it.tls_key),
        ];
        for (key, path) in only_postgres {
            if path.is_some() {
                notes.add(placed.of(key), "only goes with `postgres`");
            }
        }
        Some(Ledger {
            store: Store::Sqlite(store),
            lease: it.lease_seconds,
            retention: it.retention_seconds,
        })
    }

    fn ledger_tls(&self, notes: &mut Notes<'_>, folder: &Path) -> Option<PostgresTls> {
        let (placed, it) = (&self.ledger, &self.ledger.is);
        let identity = match (&it.tls_certificate, &it.tls_key) {
            (Some(certificate), Some(key)) => Some((folder.join(certificate), folder.join(key))),
            (None, None) => None,
            (Some(_), None) => {
                notes.add(
                    placed.of("tls_certificate"),
                    "needs `tls_key`, the key that belongs to it",
                );
                None
            }
            (None, Some(_)) => {
                notes.add(placed.of("tls_key"), "needs `tls_certificate`, which it belongs to");
                None
            }
        };
        if identity.is_some() && it.tls_ca.is_none() {
            notes.add(
                placed.of("tls_certificate"),
                "needs `tls_ca`: who may have issued the server's",
            );
        }
        Some(PostgresTls { ca: folder.join(it.tls_ca.as_ref()?), identity })
    }

    fn check_rest(&self, notes: &mut Notes<'_>) {
        if let Some(listen) = &self.listen
            && listen.is.https.is_none()
            && listen.is.tcp.is_none()
        {
            notes.add(listen.table.clone(), "expected `https` or `tcp`, or both");
        }
        if let Some(console) = &self.console {
            for (key, told) in console.is.problems(self.admin.is.address) {
                notes.add(console.of(key), told);
            }
        }
        let retired = &self.routing.is.retired;
        for (old, new) in retired {
            let at = self.routing.of("retired");
            if !is_division(old) || !is_division(new) {
                notes.add(at, format!("`{old}` = `{new}`: expected 6 digits = 6 digits"));
            } else if retired.contains_key(new) {
                notes.add(at, format!("`{old}` = `{new}`: that one is retired too, name the last"));
            }
        }
        let evidence = &self.evidence;
        if !checkpoint::is_name(&evidence.is.origin) {
            let told = "expected a name without blanks and `+`";
            notes.add(evidence.of("origin"), format!("`{}`: {told}", evidence.is.origin));
        }
        for (key, told) in self.telemetry.is.faults() {
            notes.add(self.telemetry.of(key), told);
        }
        if let Some(materials) = &self.materials {
            for (key, told) in materials.is.faults() {
                notes.add(materials.of(key), told);
            }
        }
        let resolver = &self.resolver;
        if resolver.is.asks_max == 0 {
            notes.add(resolver.of("asks_max"), "expected at least 1");
        }
        if resolver.is.asks_per_second_max == 0 {
            notes.add(resolver.of("asks_per_second_max"), "expected at least 1");
        }
        if let Some(reconciliation) = &self.reconciliation {
            if reconciliation.is.hour > 23 {
                notes.add(reconciliation.of("hour"), "expected 0 to 23");
            }
            if !(1..=31).contains(&reconciliation.is.days_back) {
                notes.add(reconciliation.of("days_back"), "expected 1 to 31");
            }
            let compared = Duration::from_secs(24 * 60 * 60) * reconciliation.is.days_back.into();
            if reconciliation.is.retention < compared {
                notes.add(
                    reconciliation.of("retention_seconds"),
                    "expected no less than the days that are compared (`days_back`)",
                );
            }
        }
        let events = &self.events;
        if !(1..=EVENTS_MAX).contains(&events.is.page_max) {
            notes.add(events.of("page_max"), format!("expected 1 to {EVENTS_MAX}"));
        }
        let counts = [
            ("waiting_max", events.is.waiting_max),
            ("institution_waiting_max", events.is.institution_waiting_max),
        ];
        for (key, count) in counts {
            if count == 0 || count > COUNT_MAX {
                notes.add(events.of(key), format!("expected 1 to {COUNT_MAX}"));
            }
        }
        let expectation = &self.expectation;
        let (least, most) = (expectation.is.cases_min, expectation.is.cases_max);
        if most == 0 || most > CASES_MAX {
            notes.add(expectation.of("cases_max"), format!("expected 1 to {CASES_MAX}"));
        }
        if least == 0 || least > most {
            notes.add(expectation.of("cases_min"), "expected 1 to `cases_max`");
        }
        let limits = &self.limits;
        if limits.is.header_bytes_max < 8192 {
            notes.add(limits.of("header_bytes_max"), "expected at least 8192");
        }
        let counts = [
            ("body_bytes_max", limits.is.body_bytes_max),
            ("document_bytes_max", limits.is.document_bytes_max),
            ("inline_material_bytes_max", limits.is.inline_material_bytes_max),
            ("connections_max", limits.is.connections_max),
            ("proxy_connections_max", limits.is.proxy_connections_max),
            ("handshakes_max", limits.is.handshakes_max),
            ("peer_handshakes_max", limits.is.peer_handshakes_max),
            ("exchanges_max", limits.is.exchanges_max),
            ("institution_exchanges_max", limits.is.institution_exchanges_max),
            ("institution_connections_max", limits.is.institution_connections_max),
        ];
        for (key, count) in counts {
            // The upper bound is that of a semaphore's permits, with room.
            if count == 0 || count > COUNT_MAX {
                notes.add(limits.of(key), format!("expected 1 to {COUNT_MAX}"));
            }
        }
        if limits.is.http2_streams_max == 0 {
            notes.add(limits.of("http2_streams_max"), "expected at least 1");
        }
    }
}

const TABLES: &str = "one of listen, admin, console, ledger, contracts, institution, registry, office, routing, calendar, queue, evidence, matters, resolver, events, expectation, materials, subscriber, reconciliation, telemetry, limits";
const NAME_FORM: &str = "expected letters, digits, `-` and `_`, at most 64";
pub(super) const COUNT_MAX: usize = 1 << 30;
/// Connections to one subscriber.
const LINES_MAX: usize = 64;
/// Cases that are read for one matter of one answer.
const CASES_MAX: u32 = 10_000;
/// Events in one answer: a few hundred bytes each.
const EVENTS_MAX: u32 = 10_000;

/// Reads one `[table]`; `None` if it has a fault, which is noted.
fn table<T: for<'de> Deserialize<'de>>(
    value: Spanned<DeValue<'_>>,
    notes: &mut Notes<'_>,
) -> Option<Placed<T>> {
    let table = value.span();
    let keys = match value.get_ref() {
        DeValue::Table(inner) => {
            inner.iter().map(|(key, value)| (key.get_ref().to_string(), value.span())).collect()
        }
        _ => HashMap::new(),
    };
    match T::deserialize(ValueDeserializer::from(value)) {
        Ok(is) => Some(Placed { is, table, keys }),
        Err(fault) => {
            notes.add(fault.span().unwrap_or(table), fault.message());
            None
        }
    }
}

/// Reads all of a `[[table]]` that have no fault, and says whether one was left out.
fn list<T: for<'de> Deserialize<'de>>(
    value: Spanned<DeValue<'_>>,
    notes: &mut Notes<'_>,
) -> (Vec<Placed<T>>, bool) {
    let at = value.span();
    let DeValue::Array(items) = value.into_inner() else {
        notes.add(at, "expected a list of tables, each under its own heading in [[ ]]");
        return (Vec::new(), true);
    };
    let count = items.iter().count();
    let read: Vec<_> = items.into_iter().filter_map(|item| table(item, notes)).collect();
    let left_out = read.len() < count;
    (read, left_out)
}

/// Whether it can stand in a metric's label, a file's name and a log line alike.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

fn is_division(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Divisions and cadastral areas are digits; rights letters follow from the 13th character on.
fn is_unit_prefix(text: &str) -> bool {
    let (digits, rest) = text.split_at_checked(12).unwrap_or((text, ""));
    matches!(text.len(), 6 | 9 | 12 | 19)
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && rest.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

/// Whether it is scheme, host and port and nothing else.
fn is_origin(text: &str, scheme: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some(scheme)
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.port_u16().is_some()
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    })
}
