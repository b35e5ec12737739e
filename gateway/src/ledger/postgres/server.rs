//! The server: how it is connected to, and how it is asked.

use std::{
    fs,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deadpool_postgres::{
    Client, ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime,
};
use tokio::time::timeout;
use tokio_postgres::{
    Config, NoTls, Row, SimpleQueryMessage,
    config::{Host, SslMode, TargetSessionAttrs},
    error::SqlState,
    types::ToSql,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Fault, PostgresSettings, PostgresTls, fault, standing};
use crate::{
    ledger::{LedgerError, Standing, milliseconds},
    tls,
};

/// The server, and how it is asked.
pub(super) struct Server {
    pub(super) pool: Pool,
    /// How long a statement may go unanswered before the connection is taken for dead; longer than
    /// the server itself allows it.
    pub(super) silence_max: Duration,
    /// Statements that wrote.
    pub(super) commits: AtomicU64,
}

impl Server {
    pub(super) async fn migrate(&self) -> Result<(), LedgerError> {
        let client = self.pool.get().await.map_err(LedgerError::unavailable)?;
        // Out of the pool: closing the connection, however this ends, gives the lock back.
        let mut client = Client::take(client);
        let migrated = timeout(MIGRATION_TIME_MAX, async {
            // Waiting for the others, and changing a large table, may take longer than a statement.
            client.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
            client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
            // An older replica may start, or start again, when a newer one has migrated already.
            let runner = crate::fault::with_next_migration(embedded::migrations::runner());
            let runner = runner.set_abort_missing(false);
            Ok(runner.run_async(&mut *client).await)
        });
        match migrated.await {
            Ok(Ok(Ok(_report))) => Ok(()),
            Ok(Ok(Err(cause))) => Err(LedgerError::unavailable(cause)),
            Ok(Err(cause)) => Err(fault(cause)),
            Err(_elapsed) => Err(LedgerError::unavailable(Fault::Silent(MIGRATION_TIME_MAX))),
        }
    }

    /// Runs one statement that writes, as a transaction of its own.
    pub(super) async fn write(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, LedgerError> {
        let rows = self.query(statement, parameters).await?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(rows)
    }

    /// Runs one statement, as a transaction of its own.
    pub(super) async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, LedgerError> {
        let client = self.pool.get().await.map_err(LedgerError::unavailable)?;
        let mut client = Lent { client: Some(client), sound: false };
        match timeout(self.silence_max, client.query(statement, parameters)).await {
            Ok(Ok(rows)) => {
                client.sound = true;
                Ok(rows)
            }
            Ok(Err(cause)) => {
                client.sound = leaves_sound(&cause);
                if cause.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
                    // The server was demoted; idle connections lead to the same one.
                    self.pool.retain(|_, _| false);
                }
                Err(fault(cause))
            }
            Err(_elapsed) => Err(LedgerError::unavailable(Fault::Silent(self.silence_max))),
        }
    }

    /// The filing that `statement` finds, with its digests and lease.
    pub(super) async fn standing(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Standing>, LedgerError> {
        self.query(statement, parameters).await?.first().map(standing).transpose()
    }
}

/// Any number will do, as long as every release uses the same and nobody else in the database does.
const MIGRATION_LOCK: i64 = 0x6469_7265_6374_6c6b;

/// How long a replica waits for another's migration and its own, together.
const MIGRATION_TIME_MAX: Duration = Duration::from_secs(600);

/// A connection out of the pool. It goes back only if it is known to be sound: not while an answer
/// is outstanding, be it that nobody waits for it any more.
struct Lent {
    /// `None` only while it is being dropped.
    client: Option<Client>,
    sound: bool,
}

impl Lent {
    async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let Some(client) = &self.client else { return Ok(Vec::new()) };
        let statement = client.prepare_cached(statement).await?;
        client.query(&statement, parameters).await
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.client.take()
            && !self.sound
        {
            drop(Client::take(client));
        }
    }
}

/// Whether the server refused one statement only, and the connection is as good as before.
fn leaves_sound(cause: &tokio_postgres::Error) -> bool {
    const OF_THE_STATEMENT: &[SqlState] = &[
        SqlState::QUERY_CANCELED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::DISK_FULL,
        SqlState::NOT_NULL_VIOLATION,
    ];
    cause.code().is_some_and(|code| OF_THE_STATEMENT.contains(code))
}

pub(super) fn pool(settings: &PostgresSettings) -> Result<Pool, LedgerError> {
    let (config, recycling) =
        (config(settings)?, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let manager = match &settings.tls {
        None => Manager::from_config(config, NoTls, recycling),
        Some(PostgresTls { ca, identity }) => {
            let identity = identity.as_ref().map(|(certificate, key)| (&**certificate, &**key));
            let tls = tls::ledger_config(ca, identity).map_err(LedgerError::unavailable)?;
            Manager::from_config(config, MakeRustlsConnect::new(tls), recycling)
        }
    };
    Pool::builder(manager)
        .max_size(settings.pool_size_max)
        .wait_timeout(Some(settings.wait))
        .create_timeout(Some(settings.wait))
        .recycle_timeout(Some(settings.wait))
        .runtime(Runtime::Tokio1)
        .pre_recycle(Hook::async_fn(|client, metrics| {
            Box::pin(verify(client, metrics.last_used()))
        }))
        .build()
        .map_err(LedgerError::unavailable)
}

/// Asks a connection that was idle for a while whether it still leads to a server that takes writes.
/// One that has just been used showed that; asking each time would double the round trips.
async fn verify(client: &mut ClientWrapper, idle: Duration) -> Result<(), HookError> {
    if idle < IDLE_UNVERIFIED_MAX {
        return Ok(());
    }
    let answer = client.simple_query("SHOW transaction_read_only").await;
    let writable = answer.map_err(HookError::Backend)?.iter().any(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("off"),
        _ => false,
    });
    if writable { Ok(()) } else { Err(HookError::message("the server has become read-only")) }
}

const IDLE_UNVERIFIED_MAX: Duration = Duration::from_secs(1);

fn config(settings: &PostgresSettings) -> Result<Config, LedgerError> {
    let mut config: Config = settings.url.parse().map_err(LedgerError::unavailable)?;
    match (&settings.tls, far_host(&config)) {
        (None, Some(far)) => return Err(LedgerError::unavailable(Fault::Unencrypted(far))),
        (None, None) => config.ssl_mode(SslMode::Disable),
        (Some(_), _) => config.ssl_mode(SslMode::Require),
    };
    if let Some(file) = &settings.password_file {
        let password = fs::read_to_string(file).map_err(|cause| {
            LedgerError::unavailable(Fault::PasswordUnreadable(file.clone(), cause))
        })?;
        config.password(password.trim_end_matches(['\r', '\n']));
    }
    let mut options = config.get_options().unwrap_or_default().to_owned();
    // Whatever the server's defaults are: what is committed is on its disk, and each statement sees
    // what was committed before it.
    options.push_str(" -c synchronous_commit=on -c default_transaction_isolation=read\\ committed");
    // Rows are found by their keys, always: a plan that was made while tables were small, and read
    // them whole, would be kept while they grow.
    options.push_str(
        " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off",
    );
    options.push_str(&format!(
        " -c statement_timeout={}",
        milliseconds(settings.statement_timeout).max(1) // 0 would be no limit.
    ));
    config
        .options(options)
        .application_name("directlink")
        .connect_timeout(settings.wait)
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    Ok(config)
}

/// A host that is reached over a network, if there is one.
fn far_host(config: &Config) -> Option<String> {
    let near = |address: &IpAddr| address.is_loopback();
    let far_address = config.get_hostaddrs().iter().find(|address| !near(address));
    let far_name = config.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(name) if name == "localhost" => None,
        Host::Tcp(name) => (!name.parse().is_ok_and(|address| near(&address))).then_some(name),
        Host::Unix(_) => None,
    });
    far_address.map(IpAddr::to_string).or_else(|| far_name.cloned())
}

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}
