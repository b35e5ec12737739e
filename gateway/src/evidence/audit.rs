//! The audit: walks the whole log as the ledger holds it, and names every row that is not what was logged.
//!
//! Leaves are compared with the hashes kept of them, those with each other up to the root, and roots with what was signed at
//! the time; so whoever changes a row has to change all above it, and is found by the signatures, or by a checkpoint that
//! somebody else has kept. Reads alone, in small pieces, while the log may grow: what is looked at is the log as it was when
//! the walk began, and nothing that has properly come to it since is held against it.

use std::fmt;

use super::{
    checkpoint::{PublicKey, SignedCheckpoint},
    leaf::Leaf,
    tree::{self, Hash, TileId, Tiles, WIDTH},
};
use crate::ledger::{
    LedgerError,
    evidence::{EvidenceLog, Head, KeptLeaf},
};

/// Something that is not as it was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// There is no row for a leaf.
    LeafMissing(u64),
    /// The row of a leaf is not what was logged.
    LeafAltered(u64),
    /// A row that is found by another institution or key than its leaf's.
    LeafMisfiled(u64),
    /// A row beyond the log's end.
    LeafInserted(u64),
    /// A tile is missing, or as long as none of the log's.
    Tile(TileId),
    /// A tile is not what the one below it makes.
    TileAltered(TileId),
    /// There are more tiles than the tree has.
    TilesInserted(u64),
    /// The tree is not that of the head.
    Head(Head),
    /// There are leaves and keys, and no checkpoint.
    Unsigned,
    /// A checkpoint is none, or of another size than it is kept under.
    CheckpointUnreadable(u64),
    /// A checkpoint is signed by none of the keys.
    CheckpointUnsigned(u64),
    /// The log does not begin with what was signed.
    CheckpointContradicted(u64),
    /// Nor with what somebody else has kept.
    SeenContradicted(u64),
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeafMissing(index) => write!(out, "leaf {index} is missing"),
            Self::LeafAltered(index) => write!(out, "leaf {index} is not what was logged"),
            Self::LeafMisfiled(index) => {
                write!(out, "leaf {index} is filed under another institution or key than its own")
            }
            Self::LeafInserted(index) => {
                write!(out, "leaf {index} is beyond the log's end: it was never logged")
            }
            Self::Tile(TileId { level, position }) => {
                write!(out, "tile {position} of level {level} is missing or cut")
            }
            Self::TileAltered(TileId { level, position }) => {
                write!(out, "tile {position} of level {level} is not what stands below it")
            }
            Self::TilesInserted(count) => write!(out, "{count} tiles are not the tree's"),
            Self::Head(head) => {
                write!(out, "the tree is not the one whose head is kept, of {} leaves", head.size)
            }
            Self::Unsigned => {
                write!(
                    out,
                    "there is no checkpoint, though there are leaves and keys: they were taken out, or none was ever signed"
                )
            }
            Self::CheckpointUnreadable(size) => {
                write!(out, "the checkpoint of {size} leaves is none")
            }
            Self::CheckpointUnsigned(size) => {
                write!(out, "the checkpoint of {size} leaves is signed by none of the keys")
            }
            Self::CheckpointContradicted(size) => {
                write!(out, "the first {size} leaves are not those whose checkpoint was signed")
            }
            Self::SeenContradicted(size) => {
                write!(
                    out,
                    "the first {size} leaves are not those of a checkpoint that was kept elsewhere"
                )
            }
        }
    }
}

/// What an audit has gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// What is not as it was logged.
    pub complaints: Vec<Complaint>,
    /// How large the log is.
    pub size: u64,
    /// How many checkpoints were compared.
    pub checkpoints: u64,
}

/// Walks the log. `keys`: those that checkpoints may be signed with; without any, signatures are not looked at. `seen`:
/// checkpoints that were kept elsewhere.
///
/// # Errors
/// The ledger is away, or cannot be read at all.
pub async fn audit(
    log: &(impl EvidenceLog + ?Sized),
    keys: &[PublicKey],
    seen: &[SignedCheckpoint],
) -> Result<Audit, LedgerError> {
    let head = log.head().await?;
    let mut walk = Walk { complaints: Vec::new(), upper: Tiles::default(), head };
    walk.leaves(log).await?;
    walk.upper_tiles(log).await?;
    let (size, tiles) = log.tile_count().await?;
    let expected: u64 = (0..8).map(|level| tree::tiles_at(level, size)).sum();
    if tiles > expected {
        walk.complaints.push(Complaint::TilesInserted(tiles - expected));
    }
    if walk.upper.root(head.size) != Ok(head.root) {
        walk.complaints.push(Complaint::Head(head));
    }
    for signed in seen {
        let checkpoint = &signed.checkpoint;
        if root_at(log, checkpoint.size, head).await? != Some(checkpoint.root) {
            walk.complaints.push(Complaint::SeenContradicted(checkpoint.size));
        }
    }
    let checkpoints = walk.checkpoints(log, keys).await?;
    // Those signed since the walk began count for this.
    if !keys.is_empty() && head.size > 0 && log.checkpoint().await?.is_none() {
        walk.complaints.push(Complaint::Unsigned);
    }
    Ok(Audit { complaints: walk.complaints, size: head.size, checkpoints })
}

/// Leaves, tiles or checkpoints that are looked at together.
const PAGE: u32 = 256;

struct Walk {
    complaints: Vec<Complaint>,
    /// The tree as the leaves' hashes make it, less full tiles of level 0: it fits in memory.
    upper: Tiles,
    head: Head,
}

impl Walk {
    /// Goes through the leaves, a tile at a time.
    async fn leaves(&mut self, log: &(impl EvidenceLog + ?Sized)) -> Result<(), LedgerError> {
        let size = self.head.size;
        for position in 0..tree::tiles_at(0, size) {
            let id = TileId { level: 0, position };
            let places = position * WIDTH..((position + 1) * WIDTH).min(size);
            let rows = log.leaves(places.start, PAGE).await?;
            let mut kept = Tiles::default();
            kept.put(id, &self.tile(log, id).await?);
            let mut hashes = Vec::new();
            for (offset, index) in places.clone().enumerate() {
                let row = rows.iter().find(|row| row.index == Some(index));
                let expected = kept.hash(id, offset);
                hashes.push(self.leaf(index, row, expected));
            }
            let length = usize::try_from(places.end - places.start).unwrap_or_default();
            if kept.bytes(id).len() != length * Hash::BYTES {
                self.complaints.push(Complaint::Tile(id));
            }
            if self.upper.grow(places.start, &hashes).is_err() {
                self.complaints.push(Complaint::Tile(id));
            }
            if places.end % WIDTH == 0 {
                self.upper.forget(id);
            }
        }
        let beyond = log.leaves(size, PAGE).await?;
        let grown = log.head().await?.size;
        let inserted = beyond.iter().filter_map(|row| row.index.filter(|index| *index >= grown));
        self.complaints.extend(inserted.map(Complaint::LeafInserted));
        Ok(())
    }

    /// A tile as it was when the walk began: without the hashes that have come to it since.
    async fn tile(
        &self,
        log: &(impl EvidenceLog + ?Sized),
        id: TileId,
    ) -> Result<Vec<u8>, LedgerError> {
        let kept = log.tiles(&[id]).await?;
        let mut bytes = kept.into_iter().next().map(|(_, bytes)| bytes).unwrap_or_default();
        let length = |size| tree::tile_length(id, size).saturating_mul(Hash::BYTES);
        let expected = length(self.head.size);
        if bytes.len() > expected && bytes.len() <= length(log.head().await?.size) {
            bytes.truncate(expected);
        }
        Ok(bytes)
    }

    /// The hash that stands for a leaf: the one that was kept of it, so that one changed row is one complaint.
    fn leaf(&mut self, index: u64, row: Option<&KeptLeaf>, expected: Option<Hash>) -> Hash {
        let Some(row) = row else {
            self.complaints.push(Complaint::LeafMissing(index));
            return expected.unwrap_or_else(Hash::of_nothing);
        };
        let hash = Hash::of_leaf(row.text.as_bytes());
        let Ok(leaf) = Leaf::read(&row.text) else {
            self.complaints.push(Complaint::LeafAltered(index));
            return expected.unwrap_or(hash);
        };
        if expected.is_some_and(|expected| expected != hash) {
            self.complaints.push(Complaint::LeafAltered(index));
        } else if leaf.says("institution").unwrap_or_default() != row.institution
            || leaf.says("key") != row.key
        {
            self.complaints.push(Complaint::LeafMisfiled(index));
        }
        expected.unwrap_or(hash)
    }

    /// Compares the tiles above the leaves' with what was worked out.
    async fn upper_tiles(&mut self, log: &(impl EvidenceLog + ?Sized)) -> Result<(), LedgerError> {
        for level in 1..8 {
            for position in 0..tree::tiles_at(level, self.head.size) {
                let id = TileId { level, position };
                let kept = self.tile(log, id).await?;
                let expected = self.upper.bytes(id);
                if kept.len() != expected.len() {
                    self.complaints.push(Complaint::Tile(id));
                } else if kept != expected {
                    self.complaints.push(Complaint::TileAltered(id));
                }
            }
        }
        Ok(())
    }

    /// Compares every checkpoint with the tree, but for those signed since the walk began. How many there are.
    async fn checkpoints(
        &mut self,
        log: &(impl EvidenceLog + ?Sized),
        keys: &[PublicKey],
    ) -> Result<u64, LedgerError> {
        let (mut from, mut count) = (0, 0);
        loop {
            let page = log.checkpoints(from, PAGE).await?;
            let grown = log.head().await?.size;
            for (size, note) in &page {
                from = size.saturating_add(1);
                if (self.head.size + 1..=grown).contains(size) {
                    continue;
                }
                count += 1;
                let complaint = self.checkpoint(log, *size, note, keys).await?;
                self.complaints.extend(complaint);
            }
            if page.is_empty() {
                return Ok(count);
            }
        }
    }

    async fn checkpoint(
        &self,
        log: &(impl EvidenceLog + ?Sized),
        size: u64,
        note: &str,
        keys: &[PublicKey],
    ) -> Result<Option<Complaint>, LedgerError> {
        let signed = SignedCheckpoint::read(note);
        let Some(signed) = signed.ok().filter(|signed| signed.checkpoint.size == size) else {
            return Ok(Some(Complaint::CheckpointUnreadable(size)));
        };
        if !keys.is_empty() && signed.signed_by(keys).is_none() {
            return Ok(Some(Complaint::CheckpointUnsigned(size)));
        }
        let root = root_at(log, size, self.head).await?;
        Ok((root != Some(signed.checkpoint.root))
            .then_some(Complaint::CheckpointContradicted(size)))
    }
}

/// The root of the log's first leaves, as its tiles have it; they are compared with the leaves elsewhere.
async fn root_at(
    log: &(impl EvidenceLog + ?Sized),
    size: u64,
    head: Head,
) -> Result<Option<Hash>, LedgerError> {
    if size > head.size {
        return Ok(None);
    }
    if size == 0 {
        return Ok(Some(Hash::of_nothing()));
    }
    let ids: Vec<_> = tree::tiles_of(std::slice::from_ref(&(0..size))).into_iter().collect();
    let mut tiles = Tiles::default();
    for (id, bytes) in log.tiles(&ids).await? {
        tiles.put(id, &bytes);
    }
    Ok(tiles.root(size).ok())
}
