//! The file: how it is opened, and who may.

use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{Fault, fault};
use crate::ledger::LedgerError;

/// Opens the file to write to it, and brings its tables up to date.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, LedgerError> {
    // Made here: SQLite would make it for everybody to read. What it lays beside it has the same mode. If it cannot be made
    // SQLite says why.
    let _made = File::options().write(true).create_new(true).mode(OWNER_ALONE).open(path);
    let mut database = Connection::open(path).map_err(fault)?;
    // A backup may hold the file for a moment, or an operator's command; nobody else may.
    database.busy_timeout(BUSY_MAX).map_err(fault)?;
    database.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
    // FULL, not NORMAL: a commit that power failure can undo would let a key be claimed twice.
    database.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    // What was committed is carried from the log into the tables once this many pages wait for it (32 MiB): a page that
    // changes in several commits is carried once. SQLite's own number, 1,000, costs a quarter more in all.
    database.pragma_update(None, "wal_autocheckpoint", 8_000).map_err(fault)?;
    // Else a statement is compiled anew for each call: two indexes are partial, and without this the
    // values bound may decide whether one of them can be used.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fault)?;
    // An older release that starts on a newer release's tables finds what it knows still there.
    embedded::migrations::runner()
        .set_abort_missing(false)
        .run(&mut database)
        .map_err(LedgerError::unavailable)?;
    Ok(database)
}

/// Opens the file to be read, whoever else has it open.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(fault)?;
    database.busy_timeout(BUSY_MAX).map_err(fault)?;
    Ok(database)
}

/// Whoever can read it knows what banks file, and whoever can write it what they are told.
const OWNER_ALONE: u32 = 0o600;

/// How long another's hand on the file is waited for.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(2);

/// Keeps other processes away from the ledger at `path` until it is dropped. On a file beside it:
/// closing any handle on the database itself would let go of SQLite's own locks (sqlite.org, "How to
/// corrupt an SQLite database file", 2.2).
pub(super) fn lock(path: &Path) -> Result<File, LedgerError> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let name = PathBuf::from(name);
    let unlockable = |cause| LedgerError::unavailable(Fault::Unlockable(name.clone(), cause));
    let options = File::options().create(true).append(true).mode(OWNER_ALONE).open(&name);
    let file = options.map_err(unlockable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::unavailable(Fault::InUse(path.into()))),
        Err(TryLockError::Error(cause)) => Err(unlockable(cause)),
    }
}

pub(super) mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn what_is_new_is_for_its_owner_alone_and_what_is_there_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
        };
        let lock = lock(&path).unwrap();
        let database = open_to_write(&path).unwrap();
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"] {
            assert_eq!(mode(name), 0o600, "{name}");
        }
        drop((database, lock));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        open_to_write(&path).unwrap();
        assert_eq!(mode("ledger.db"), 0o640);
    }
}
