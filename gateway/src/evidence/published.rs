//! The newest checkpoint as a file in a folder, for whoever is to keep it: `checkpoint`. It outlives what happens to the ledger, and holds
//! the log to it.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::checkpoint::{NoCheckpoint, SignedCheckpoint};

/// The file.
const NAME: &str = "checkpoint";

/// Everybody may read it: it is made to be handed out.
const MODE: u32 = 0o644;

/// Puts a checkpoint in the place of the one before: whole, or not at all, whatever dies meanwhile.
///
/// # Errors
/// It could not.
pub fn publish(folder: &Path, note: &str) -> io::Result<()> {
    let (whole, half): (PathBuf, PathBuf) =
        (folder.join(NAME), folder.join(format!(".{NAME}.{}", std::process::id())));
    let mut file = File::create(&half)?;
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.write_all(note.as_bytes())?;
    // Else a power failure could leave the name and nothing in it.
    file.sync_all()?;
    fs::rename(&half, &whole)
}

/// What was published last of the log called `origin`; `None` if nothing was, or of another log.
///
/// Who signed it is not asked: the log has to go on from it even after its key is gone.
///
/// # Errors
/// There is something that is no checkpoint, or cannot be read.
pub fn published(folder: &Path, origin: &str) -> Result<Option<SignedCheckpoint>, Unreadable> {
    let file = folder.join(NAME);
    let note = match fs::read_to_string(&file) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Unreadable { file, why: Why::File(error) }),
    };
    match SignedCheckpoint::read(&note) {
        Ok(signed) => Ok(Some(signed).filter(|it| it.checkpoint.origin == origin)),
        Err(error) => Err(Unreadable { file, why: Why::Checkpoint(error) }),
    }
}

/// What was published is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("{}: what was published last cannot be read", .file.display())]
pub struct Unreadable {
    file: PathBuf,
    #[source]
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    File(io::Error),
    #[error(transparent)]
    Checkpoint(NoCheckpoint),
}
