//! Where keys and outcomes are kept.

use std::{path::PathBuf, time::Duration};

use crate::ledger::PostgresTls;

/// `[ledger]`: where keys and outcomes are kept.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Which store. Default: SQLite in `ledger.db` beside the settings file.
    pub store: Store,
    /// `lease_seconds`: how long one process may work on a filing before another may take it over, in seconds; longer
    /// than any registry's `deadline_seconds`. Default: 30.
    pub lease: Duration,
    /// `retention_seconds`: how long after its last change what is known of a settled filing is kept, in seconds; its key
    /// stays used for good. Default: 34560000, which is 400 days.
    pub retention: Duration,
}

/// The ledger's store: one of `sqlite` and `postgres`.
#[derive(Debug, Clone)]
pub enum Store {
    /// `sqlite`: path of the database file, made if it does not exist. For one process on one machine.
    Sqlite(PathBuf),
    /// `postgres`: shared by all replicas.
    Postgres {
        /// `postgres`: a URL, `postgresql://user@host:port/database`, without a password.
        url: String,
        /// `password_file`: file that holds the password and nothing else. Default: no password is sent.
        password_file: Option<PathBuf>,
        /// `tls_ca`, `tls_certificate`, `tls_key`: PEM files: the authorities of the server's certificate, and the
        /// gateway's own certificate and key where the server asks for one. Default: the connection is not encrypted, and
        /// the server must be on this machine.
        tls: Option<PostgresTls>,
        /// `pool_size_max`: connections at most. Default: 16.
        pool_size_max: usize,
        /// `wait_seconds`: how long to wait for a free or new connection, in seconds. Default: 3.
        wait: Duration,
        /// `statement_seconds`: how long one statement may take, in seconds. Default: 5.
        statement: Duration,
    },
}
