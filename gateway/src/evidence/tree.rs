//! The tree: which hashes a log of leaves has, what proves that a leaf is in it, and that it only ever grew.
//!
//! Hashes are kept in tiles of 256, so that a proof over ten million leaves reads a few of them. Hashing rules and proofs
//! are those of RFC 6962, section 2.1, and tiles those of C2SP's tlog-tiles (height 8); proofs are judged by a crate that
//! shares no line with what makes them here. Pure: where tiles are kept is the ledger's affair.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::{Sha256, digest::Output};

/// A node's hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; Hash::BYTES]);

impl Hash {
    /// SHA-256.
    pub const BYTES: usize = 32;

    /// The hash of a leaf.
    pub fn of_leaf(leaf: &[u8]) -> Self {
        Self::of(&[&[0], leaf])
    }

    /// The hash of what stands above two nodes.
    pub fn of_nodes(left: Self, right: Self) -> Self {
        Self::of(&[&[1], &left.0, &right.0])
    }

    /// The root of a tree without leaves.
    pub fn of_nothing() -> Self {
        Self::from_digest(digest(&SHA256, b""))
    }

    fn of(pieces: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        pieces.iter().for_each(|piece| context.update(piece));
        Self::from_digest(context.finish())
    }

    fn from_digest(digest: aws_lc_rs::digest::Digest) -> Self {
        let mut hash = [0; Self::BYTES];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    /// Reads what is displayed: base64.
    pub fn read(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// How many hashes a tile holds.
pub const WIDTH: u64 = 1 << TILE_HEIGHT;
const TILE_HEIGHT: u8 = 8;

/// No tree is larger: some 146 years of a thousand million exchanges a second. What tells of one is not believed.
pub const SIZE_MAX: u64 = 1 << 62;

/// Which tile: of level 0 are the leaves' hashes, of each level above one hash for each full tile below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// From 0.
    pub level: u8,
    /// From the left, from 0.
    pub position: u64,
}

/// Tiles by where they are in the tree.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<TileId, Vec<Hash>>);

/// A tile that is needed, or a hash in it, is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree's tile {} of level {} is missing or too short", .0.position, .0.level)]
pub struct Missing(pub TileId);

/// A complete part of the tree: the leaves `position << level` and so on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subtree {
    level: u8,
    position: u64,
}

impl Subtree {
    /// The tile it is in, and where: its first hash, and how many.
    fn place(self) -> (TileId, usize, usize) {
        let (level, inside) = (self.level / TILE_HEIGHT, self.level % TILE_HEIGHT);
        let first = self.position << inside;
        // Below 256.
        let offset = usize::try_from(first % WIDTH).unwrap_or_default();
        (TileId { level, position: first / WIDTH }, offset, 1 << inside)
    }
}

/// The complete parts that leaves are made of, left to right; such a row begins where a part as large as all of them could.
fn subtrees(leaves: Range<u64>) -> impl Iterator<Item = Subtree> {
    let mut next = leaves.start;
    std::iter::from_fn(move || {
        let left = leaves.end.checked_sub(next).filter(|left| *left > 0)?;
        // As large as fits both what is left and where it begins.
        let level = left.ilog2().min(next.trailing_zeros());
        let subtree = Subtree { level: u8::try_from(level).ok()?, position: next >> level };
        next += 1 << level;
        Some(subtree)
    })
}

impl Tiles {
    /// Puts a tile in its place, as it is kept: its hashes in a row.
    pub fn put(&mut self, id: TileId, bytes: &[u8]) {
        let (hashes, _rest) = bytes.as_chunks::<{ Hash::BYTES }>();
        self.0.insert(id, hashes.iter().copied().map(Hash).collect());
    }

    /// A tile as it is kept.
    pub fn bytes(&self, id: TileId) -> Vec<u8> {
        self.0.get(&id).into_iter().flatten().flat_map(|hash| hash.0).collect()
    }

    /// Lets go of a tile that is not needed any more.
    pub fn forget(&mut self, id: TileId) {
        self.0.remove(&id);
    }

    /// The hash at a place of a tile.
    pub fn hash(&self, id: TileId, offset: usize) -> Option<Hash> {
        self.0.get(&id)?.get(offset).copied()
    }

    /// Adds leaves to a tree of `size`, whose [`frontier`] is here. Returns the tiles that have changed.
    ///
    /// # Errors
    /// The frontier is not as a tree of that size has it.
    pub fn grow(&mut self, size: u64, leaves: &[Hash]) -> Result<BTreeSet<TileId>, Missing> {
        for id in frontier(size) {
            let expected = (size >> (TILE_HEIGHT * id.level)) % WIDTH;
            let there = self.0.get(&id).map_or(0, Vec::len);
            if u64::try_from(there) != Ok(expected) {
                return Err(Missing(id));
            }
        }
        let mut changed = BTreeSet::new();
        for (index, leaf) in (size..).zip(leaves) {
            let (mut hash, mut position, mut level) = (*leaf, index, 0);
            loop {
                let id = TileId { level, position: position / WIDTH };
                let tile = self.0.entry(id).or_default();
                tile.push(hash);
                changed.insert(id);
                if position % WIDTH != WIDTH - 1 {
                    break;
                }
                hash = folded(tile);
                (position, level) = (id.position, level + 1);
            }
        }
        Ok(changed)
    }

    /// The root of the tree's first leaves.
    ///
    /// # Errors
    /// A tile of [`tiles_of`] is missing.
    pub fn root(&self, size: u64) -> Result<Hash, Missing> {
        if size == 0 { Ok(Hash::of_nothing()) } else { self.range(0..size) }
    }

    /// The hashes that a proof has for these leaves, each as one.
    ///
    /// # Errors
    /// A tile of [`tiles_of`] is missing.
    pub fn hashes(&self, ranges: &[Range<u64>]) -> Result<Vec<Hash>, Missing> {
        ranges.iter().map(|range| self.range(range.clone())).collect()
    }

    fn range(&self, leaves: Range<u64>) -> Result<Hash, Missing> {
        let parts = subtrees(leaves).map(|part| self.subtree(part));
        let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
        let joined = parts.into_iter().rev().reduce(|right, left| Hash::of_nodes(left, right));
        Ok(joined.unwrap_or_else(Hash::of_nothing))
    }

    fn subtree(&self, part: Subtree) -> Result<Hash, Missing> {
        let (id, offset, count) = part.place();
        let tile = self.0.get(&id).ok_or(Missing(id))?;
        let hashes = tile.get(offset..offset + count).ok_or(Missing(id))?;
        Ok(folded(hashes))
    }
}

/// The hash above a row of hashes, as many as a power of two.
fn folded(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => Hash::of_nodes(*left, *right),
                // A power of two has no odd one out.
                odd => odd.first().copied().unwrap_or_else(Hash::of_nothing),
            })
            .collect();
    }
    row.first().copied().unwrap_or_else(Hash::of_nothing)
}

/// The tiles at the right edge of a tree, which are not full: what it takes to let it grow, and to know its root.
pub fn frontier(size: u64) -> Vec<TileId> {
    let levels =
        (0..).map(|level: u8| (level, size >> (u32::from(TILE_HEIGHT) * u32::from(level))));
    levels
        .take_while(|(level, hashes)| *hashes > 0 && *level < 8)
        .filter(|(_, hashes)| hashes % WIDTH != 0)
        .map(|(level, hashes)| TileId { level, position: hashes / WIDTH })
        .collect()
}

/// Every tile of a tree of that size at one level, from the left: how many.
pub fn tiles_at(level: u8, size: u64) -> u64 {
    let hashes = size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(level)).unwrap_or(0);
    hashes.div_ceil(WIDTH)
}

/// How many hashes a tile of a tree of that size has.
pub fn tile_length(id: TileId, size: u64) -> usize {
    let hashes = size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(id.level)).unwrap_or(0);
    let length = hashes.saturating_sub(id.position.saturating_mul(WIDTH)).min(WIDTH);
    usize::try_from(length).unwrap_or_default()
}

/// The tiles that are needed for the hashes of these leaves.
pub fn tiles_of(ranges: &[Range<u64>]) -> BTreeSet<TileId> {
    let parts = ranges.iter().flat_map(|range| subtrees(range.clone()));
    parts.map(|part| part.place().0).collect()
}

/// What an inclusion proof is made of, in its order: `PATH(index, D[size])`. Nothing, if there is no such leaf.
pub fn inclusion(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut around, mut proof) = (0..size, Vec::new());
    while around.contains(&index) && around.end - around.start > 1 {
        let middle = around.start + split(around.end - around.start);
        let (left, right) = (around.start..middle, middle..around.end);
        let (beside, inside) = if index < middle { (right, left) } else { (left, right) };
        proof.push(beside);
        around = inside;
    }
    proof.reverse();
    proof
}

/// What a consistency proof is made of, in its order: `PROOF(from, D[to])`. Nothing, if `from` is not between 1 and `to`.
pub fn consistency(from: u64, to: u64) -> Vec<Range<u64>> {
    if from == 0 || from > to {
        return Vec::new();
    }
    let (mut around, mut is_old_tree, mut proof) = (0..to, true, Vec::new());
    while around.end != from {
        let middle = around.start + split(around.end - around.start);
        let (left, right) = (around.start..middle, middle..around.end);
        let (beside, inside) = if from <= middle {
            (right, left)
        } else {
            is_old_tree = false;
            (left, right)
        };
        proof.push(beside);
        around = inside;
    }
    if !is_old_tree {
        proof.push(around);
    }
    proof.reverse();
    proof
}

/// The largest power of two below a number of leaves, which is at least 2.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// Whether a proof shows that a leaf stands at `index` of the tree with this root.
pub fn is_included(leaf: &[u8], index: u64, size: u64, root: Hash, proof: &[Hash]) -> bool {
    if size > SIZE_MAX {
        return false;
    }
    let digests: Vec<Output<Sha256>> = proof.iter().map(|hash| hash.0.into()).collect();
    let proof = InclusionProof::from_digests(&digests);
    root_hash(root, size).verify_inclusion(&leaf, index, &proof).is_ok()
}

/// Whether a proof shows that the tree of the first root is the beginning of that of the second.
pub fn is_consistent(older: (u64, Hash), newer: (u64, Hash), proof: &[Hash]) -> bool {
    if older.0 == 0 || older.0 > newer.0 || newer.0 > SIZE_MAX {
        return false;
    }
    let digests: Vec<Output<Sha256>> = proof.iter().map(|hash| hash.0.into()).collect();
    let proof = ConsistencyProof::from_digests(&digests);
    let (older, newer) = (root_hash(older.1, older.0), root_hash(newer.1, newer.0));
    newer.verify_consistency(&older, &proof).is_ok()
}

fn root_hash(root: Hash, size: u64) -> RootHash<Sha256> {
    RootHash::new(root.0.into(), size)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// RFC 6962, section 2.1, word for word.
    mod naive {
        use super::Hash;

        pub(super) fn root(leaves: &[Vec<u8>]) -> Hash {
            match leaves {
                [] => Hash::of_nothing(),
                [one] => Hash::of_leaf(one),
                more => {
                    let (left, right) = more.split_at(split(more.len()));
                    Hash::of_nodes(root(left), root(right))
                }
            }
        }

        pub(super) fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
            if leaves.len() == 1 {
                return Vec::new();
            }
            let k = split(leaves.len());
            let (left, right) = leaves.split_at(k);
            let (mut proof, beside) =
                if m < k { (path(m, left), root(right)) } else { (path(m - k, right), root(left)) };
            proof.push(beside);
            proof
        }

        pub(super) fn proof(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
            subproof(m, leaves, true)
        }

        fn subproof(m: usize, leaves: &[Vec<u8>], b: bool) -> Vec<Hash> {
            let n = leaves.len();
            if m == n {
                return if b { Vec::new() } else { vec![root(leaves)] };
            }
            let k = split(n);
            let (left, right) = leaves.split_at(k);
            let (mut proof, beside) = if m <= k {
                (subproof(m, left, b), root(right))
            } else {
                (subproof(m - k, right, false), root(left))
            };
            proof.push(beside);
            proof
        }

        fn split(n: usize) -> usize {
            let mut k = 1;
            while k * 2 < n {
                k *= 2;
            }
            k
        }
    }

    /// A tree that grew by so many leaves at a time, its tiles kept as bytes in between.
    fn grown(leaves: &[Vec<u8>], steps: &[usize]) -> Tiles {
        let mut kept: BTreeMap<TileId, Vec<u8>> = BTreeMap::new();
        let (mut size, mut steps) = (0, steps.iter().cycle());
        while size < leaves.len() {
            let step = (*steps.next().unwrap()).min(leaves.len() - size);
            let mut tiles = Tiles::default();
            for id in frontier(size as u64) {
                tiles.put(id, &kept[&id]);
            }
            let hashes: Vec<_> =
                leaves[size..size + step].iter().map(|leaf| Hash::of_leaf(leaf)).collect();
            for id in tiles.grow(size as u64, &hashes).unwrap() {
                kept.insert(id, tiles.bytes(id));
            }
            size += step;
        }
        let mut tiles = Tiles::default();
        kept.iter().for_each(|(id, bytes)| tiles.put(*id, bytes));
        tiles
    }

    fn leaves(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| number.to_be_bytes().to_vec()).collect()
    }

    /// The tree of the reference implementations of RFC 6962: its eight leaves, and what its roots are.
    #[test]
    fn roots_are_those_of_the_known_tree() {
        let known: Vec<Vec<u8>> = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ]
        .iter()
        .map(|text| hex::decode(text).unwrap())
        .collect();
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, root) in roots.iter().enumerate() {
            let tiles = grown(&known[..size], &[1]);
            assert_eq!(hex::encode(tiles.root(size as u64).unwrap().0), *root, "{size}");
        }
    }

    #[test]
    fn a_tree_of_many_tiles_is_the_naive_one() {
        let leaves = leaves(66_000);
        let tiles = grown(&leaves, &[997]);
        for size in [255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_000] {
            let expected = naive::root(&leaves[..size]);
            assert_eq!(tiles.root(size as u64).unwrap(), expected, "{size}");
        }
        let proof = inclusion(70, 66_000);
        assert_eq!(tiles.hashes(&proof).unwrap(), naive::path(70, &leaves));
        assert!(tiles_of(&proof).len() <= 6, "{:?}", tiles_of(&proof));
    }

    proptest! {
        #[test]
        fn proofs_are_the_naive_ones_and_hold_and_nothing_else_does(
            size in 1_usize..700, step in vec(1_usize..300, 1..4), index in 0_usize..700,
            older in 1_usize..700, spoilt in any::<prop::sample::Index>(),
        ) {
            let (index, older) = (index % size, older.min(size));
            let leaves = leaves(size);
            let tiles = grown(&leaves, &step);
            let root = tiles.root(size as u64).unwrap();
            prop_assert_eq!(root, naive::root(&leaves));

            let mut proof = tiles.hashes(&inclusion(index as u64, size as u64)).unwrap();
            prop_assert_eq!(&proof, &naive::path(index, &leaves));
            let holds = |leaf: usize, at: usize, proof: &[Hash]| {
                is_included(&leaves[leaf], at as u64, size as u64, root, proof)
            };
            prop_assert!(holds(index, index, &proof));
            if size > 1 {
                let other = (index + 1) % size;
                prop_assert!(!holds(other, index, &proof) && !holds(index, other, &proof));
                spoilt.get_mut(&mut proof).0[7] ^= 1;
                prop_assert!(!holds(index, index, &proof));
            }

            let before = tiles.root(older as u64).unwrap();
            let mut proof = tiles.hashes(&consistency(older as u64, size as u64)).unwrap();
            prop_assert_eq!(&proof, &naive::proof(older, &leaves));
            let (older, newer) = ((older as u64, before), (size as u64, root));
            prop_assert!(is_consistent(older, newer, &proof));
            let another = Hash::of_leaf(b"another");
            prop_assert!(!is_consistent((older.0, another), newer, &proof));
            if !proof.is_empty() {
                spoilt.get_mut(&mut proof).0[7] ^= 1;
                prop_assert!(!is_consistent(older, newer, &proof));
            }
        }

        #[test]
        fn no_sizes_or_proofs_that_are_told_break_anything(
            index in any::<u64>(), size in any::<u64>(), other in any::<u64>(), hashes in 0_usize..70,
        ) {
            let proof = vec![Hash::of_nothing(); hashes];
            let root = Hash::of_leaf(b"root");
            prop_assert!(!is_included(b"leaf", index, size, root, &proof));
            let _held_or_not = is_consistent((size, root), (other, root), &proof);
        }
    }

    #[test]
    fn a_tree_that_lacks_a_tile_does_not_grow_and_has_no_root() {
        let leaves = leaves(300);
        let whole = grown(&leaves, &[300]);
        let mut tiles = Tiles::default();
        tiles.put(TileId { level: 0, position: 1 }, &whole.bytes(TileId { level: 0, position: 1 }));
        let missing = Missing(TileId { level: 1, position: 0 });
        assert_eq!(tiles.root(300), Err(missing));
        assert_eq!(tiles.grow(300, &[Hash::of_nothing()]), Err(missing));
        assert_eq!(Tiles::default().root(0), Ok(Hash::of_nothing()));
    }
}
