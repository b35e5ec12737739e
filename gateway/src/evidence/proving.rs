//! Takes proofs out of the ledger: bundles of exchanges, and that a log grew from one checkpoint to another. Reads alone;
//! signs nothing. A proof reads a few tiles, however large the log is.

use std::ops::Range;

use super::{
    bundle::{Bundle, Consistency, Proved},
    checkpoint::{NoCheckpoint, SignedCheckpoint},
    tree::{self, Hash, Missing, Tiles},
};
use crate::ledger::{
    LedgerError,
    evidence::{EvidenceLog, Head, KeptLeaf},
};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum NoProof {
    /// The ledger is away, or unreadable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The log has never been signed.
    #[error(
        "the log has no checkpoint yet: nothing is signed before [evidence] names a private key in `key_files`"
    )]
    Unsigned,
    /// Some leaves are too new.
    #[error(
        "{0} exchanges are not under a checkpoint yet: there will be one within `checkpoint_seconds`"
    )]
    TooNew(usize),
    /// There is no exchange like that.
    #[error("the log has no such exchange")]
    None,
    /// There is no checkpoint of that size.
    #[error("the log has no checkpoint of {0} leaves")]
    NoCheckpointOf(u64),
    /// A checkpoint in the ledger is none.
    #[error("a checkpoint in the ledger cannot be read")]
    Checkpoint(#[from] NoCheckpoint),
    /// The tree is not whole.
    #[error(transparent)]
    Missing(#[from] Missing),
}

/// All exchanges about a key, under the newest checkpoint.
///
/// # Errors
/// There are none, or not all of them are under a checkpoint.
pub async fn exchanges_of(
    log: &(impl EvidenceLog + ?Sized),
    institution: &str,
    key: &str,
) -> Result<Bundle, NoProof> {
    let leaves = log.leaves_of(institution, key).await?;
    bundle(log, leaves).await
}

/// The exchange at a place of the log.
///
/// # Errors
/// There is none, or it is not under a checkpoint.
pub async fn exchange_at(log: &(impl EvidenceLog + ?Sized), index: u64) -> Result<Bundle, NoProof> {
    let mut leaves = log.leaves(index, 1).await?;
    leaves.retain(|leaf| leaf.index == Some(index));
    // It may be among those that have no place yet.
    if leaves.is_empty() && !log.waiting(1).await?.is_empty() {
        return Err(NoProof::TooNew(1));
    }
    bundle(log, leaves).await
}

async fn bundle(
    log: &(impl EvidenceLog + ?Sized),
    leaves: Vec<KeptLeaf>,
) -> Result<Bundle, NoProof> {
    if leaves.is_empty() {
        return Err(NoProof::None);
    }
    let note = log.checkpoint().await?.ok_or(NoProof::Unsigned)?;
    let size = SignedCheckpoint::read(&note)?.checkpoint.size;
    let is_under = |leaf: &&KeptLeaf| leaf.index.is_some_and(|index| index < size);
    let too_new = leaves.len() - leaves.iter().filter(is_under).count();
    if too_new > 0 {
        return Err(NoProof::TooNew(too_new));
    }
    let mut exchanges = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        let Some(index) = leaf.index else { continue };
        exchanges.push(Proved {
            index,
            leaf: leaf.text,
            salt: leaf.salt.map(|salt| hex::encode(salt.0)),
            proof: inclusion(log, index, size).await?.iter().map(Hash::to_string).collect(),
        });
    }
    Ok(Bundle { checkpoint: note, exchanges })
}

/// The proof that a leaf is in the tree of a size.
///
/// # Errors
/// The ledger is away, or a tile missing.
pub async fn inclusion(
    log: &(impl EvidenceLog + ?Sized),
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, NoProof> {
    hashes(log, &tree::inclusion(index, size)).await
}

/// The proof that the log of one checkpoint is the beginning of that of a later one; of the newest, if none is named.
///
/// # Errors
/// There is no such checkpoint.
pub async fn consistency(
    log: &(impl EvidenceLog + ?Sized),
    from: u64,
    to: Option<u64>,
) -> Result<Consistency, NoProof> {
    let older = checkpoint_of(log, from).await?;
    let newer = match to {
        Some(to) => checkpoint_of(log, to).await?,
        None => log.checkpoint().await?.ok_or(NoProof::Unsigned)?,
    };
    let to = SignedCheckpoint::read(&newer)?.checkpoint.size;
    let proof = hashes(log, &tree::consistency(from, to)).await?;
    Ok(Consistency { older, newer, proof: proof.iter().map(Hash::to_string).collect() })
}

/// Whether the log at `head` begins with what it was at `before`.
///
/// # Errors
/// The ledger is away.
pub async fn goes_on(
    log: &(impl EvidenceLog + ?Sized),
    before: Head,
    head: Head,
) -> Result<bool, LedgerError> {
    let proof = match hashes(log, &tree::consistency(before.size, head.size)).await {
        Ok(proof) => proof,
        Err(NoProof::Ledger(error)) => return Err(error),
        // Without the tiles nothing is proved.
        Err(
            NoProof::Missing(_)
            | NoProof::Unsigned
            | NoProof::TooNew(_)
            | NoProof::None
            | NoProof::NoCheckpointOf(_)
            | NoProof::Checkpoint(_),
        ) => return Ok(false),
    };
    let (before, head) = ((before.size, before.root), (head.size, head.root));
    Ok(tree::is_consistent(before, head, &proof))
}

async fn checkpoint_of(log: &(impl EvidenceLog + ?Sized), size: u64) -> Result<String, NoProof> {
    let found = log.checkpoints(size, 1).await?;
    let found = found.into_iter().find(|(found, _)| *found == size);
    found.map(|(_, note)| note).ok_or(NoProof::NoCheckpointOf(size))
}

async fn hashes(
    log: &(impl EvidenceLog + ?Sized),
    ranges: &[Range<u64>],
) -> Result<Vec<Hash>, NoProof> {
    let ids: Vec<_> = tree::tiles_of(ranges).into_iter().collect();
    let mut tiles = Tiles::default();
    for (id, bytes) in log.tiles(&ids).await? {
        tiles.put(id, &bytes);
    }
    Ok(tiles.hashes(ranges)?)
}
