//! The stores that a ledger's promises are asked of: a SQLite file, or a database of a real Postgres, each a test's own.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use conformance_tests::postgres_server::PostgresServer;
use gateway::ledger::{Ledger, LedgerSettings, PostgresSettings, SqliteSettings};
use tempfile::TempDir;

/// Makes one test per behaviour and store.
macro_rules! over_both_stores {
    ($($behaviour:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                super::$behaviour(&super::Store::sqlite()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                super::$behaviour(&super::Store::postgres().await).await;
            })*
        }
    };
}

/// Longer than any answer takes on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

/// A store of a test's own.
pub(crate) enum Store {
    Sqlite(TempDir),
    Postgres { address: String, _server: Arc<PostgresServer> },
}

impl Store {
    pub(crate) fn sqlite() -> Store {
        Store::Sqlite(TempDir::new().unwrap())
    }

    pub(crate) async fn postgres() -> Store {
        let server = tokio::task::spawn_blocking(shared_server).await.unwrap();
        let address = server.make_database().await.unwrap();
        Store::Postgres { address, _server: server }
    }

    pub(crate) fn settings(&self) -> LedgerSettings {
        match self {
            Store::Sqlite(folder) => {
                LedgerSettings::Sqlite(SqliteSettings { path: folder.path().join("ledger.db") })
            }
            Store::Postgres { address, .. } => {
                LedgerSettings::Postgres(postgres_settings(address.clone(), PATIENT))
            }
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Ledger> {
        gateway::ledger::open(&self.settings()).await.unwrap()
    }

    /// As many gateways at once as the store allows.
    pub(crate) async fn replicas(&self) -> Vec<Arc<dyn Ledger>> {
        match self {
            Store::Sqlite(_) => vec![self.open().await],
            Store::Postgres { .. } => {
                let (one, other) = tokio::join!(self.open(), self.open());
                vec![one, other]
            }
        }
    }
}

pub(crate) fn postgres_settings(url: String, statement_timeout: Duration) -> PostgresSettings {
    PostgresSettings {
        url,
        password_file: None,
        tls: None,
        pool_size_max: 4,
        wait: PATIENT,
        statement_timeout,
    }
}

/// One server for the tests that run at the time; the last of them to end stops it.
pub(crate) fn shared_server() -> Arc<PostgresServer> {
    static SERVER: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
    let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(PostgresServer::start().unwrap());
        *shared = Arc::downgrade(&server);
        server
    })
}
