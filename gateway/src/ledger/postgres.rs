//! The ledger in Postgres: for several replicas that share the work.

use std::{path::PathBuf, time::Duration};

/// Which server, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgresql://user@host:port/database`, or `host=… user=… dbname=…`; without the password.
    /// The host must be a loopback address or a socket's folder: the connection is not encrypted.
    pub url: String,
    /// File that holds the password, and at most a line break after it. `None`: none is sent.
    pub password_file: Option<PathBuf>,
    /// Connections at most.
    pub pool_size_max: usize,
    /// How long to wait for a free or new connection.
    pub wait: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}
