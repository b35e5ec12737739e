//! The log of exchanges in the SQLite ledger. As one thread alone writes, a leaf has its place from the start: the next
//! one. It is in the tree once the head's size says so.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Done, SqliteLedger, cases::mention, fault, settle, whole, write};
use crate::{
    evidence::tree::TileId,
    ledger::{
        LedgerError,
        evidence::{
            EvidenceLog, Growth, Head, KeptLeaf, NewLeaf, Settlement, WaitingLeaf, Witnessed,
            place, root, salt, stored,
        },
        milliseconds,
    },
};

#[async_trait]
impl EvidenceLog for SqliteLedger {
    async fn witness(&self, leaf: &NewLeaf, settled: Option<&Settlement>) -> Witnessed {
        let (leaf, settled) = (leaf.clone(), settled.cloned());
        let done = self.writer.run(move |database| {
            let settled =
                settled.map_or(Ok(()), |it| settle(database, &it.entry, &it.outcome, it.follow_up));
            Ok(Witnessed { leaf: witness(database, &leaf), settled })
        });
        done.await.unwrap_or_else(|error| {
            let again = LedgerError::unavailable(error.to_string());
            Witnessed { leaf: Err(error), settled: Err(again) }
        })
    }

    async fn head(&self) -> Result<Head, LedgerError> {
        self.reader.run(head).await
    }

    async fn waiting(&self, limit: u32) -> Result<Vec<WaitingLeaf>, LedgerError> {
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(WAITING).map_err(fault)?;
                let leaves = statement.query_map(named_params! { ":limit": limit }, |row| {
                    Ok(WaitingLeaf { id: row.get("place")?, text: row.get("leaf")? })
                });
                leaves.map_err(fault)?.collect::<Result<_, _>>().map_err(fault)
            })
            .await
    }

    async fn grow(&self, growth: &Growth) -> Result<bool, LedgerError> {
        let growth = growth.clone();
        self.writer.run(move |database| whole(database, || grow(database, &growth))).await
    }

    async fn tiles(&self, ids: &[TileId]) -> Result<Vec<(TileId, Vec<u8>)>, LedgerError> {
        let ids = ids.to_vec();
        self.reader
            .run(move |database| {
                let mut statement = database.prepare_cached(TILE).map_err(fault)?;
                let mut tiles = Vec::with_capacity(ids.len());
                for id in ids {
                    let at = named_params! { ":level": id.level, ":position": stored(id.position) };
                    let hashes = statement.query_row(at, |row| row.get("hashes")).optional();
                    tiles.extend(hashes.map_err(fault)?.map(|hashes| (id, hashes)));
                }
                Ok(tiles)
            })
            .await
    }

    async fn tile_count(&self) -> Result<(u64, u64), LedgerError> {
        let counted = self.reader.run(move |database| {
            let row = |row: &Row<'_>| Ok((row.get("size")?, row.get("count")?));
            database.query_one(TILE_COUNT, [], row).map_err(fault)
        });
        let (size, count) = counted.await?;
        Ok((place(size)?, place(count)?))
    }

    async fn leaves(&self, from: u64, limit: u32) -> Result<Vec<KeptLeaf>, LedgerError> {
        self.reader
            .run(move |database| {
                let head = head(database)?;
                let mut statement = database.prepare_cached(LEAVES).map_err(fault)?;
                let within = named_params! { ":from": stored(from), ":limit": limit };
                let mut rows = statement.query(within).map_err(fault)?;
                let mut leaves = Vec::new();
                while let Some(row) = rows.next().map_err(fault)? {
                    leaves.push(kept(row, head)?);
                }
                Ok(leaves)
            })
            .await
    }

    async fn leaves_of(&self, institution: &str, key: &str) -> Result<Vec<KeptLeaf>, LedgerError> {
        let (institution, key) = (institution.to_owned(), key.to_owned());
        self.reader
            .run(move |database| {
                let head = head(database)?;
                let mut statement = database.prepare_cached(LEAVES_OF).map_err(fault)?;
                let of = named_params! { ":institution": institution, ":key": key };
                let mut rows = statement.query(of).map_err(fault)?;
                let mut leaves = Vec::new();
                while let Some(row) = rows.next().map_err(fault)? {
                    leaves.push(kept(row, head)?);
                }
                Ok(leaves)
            })
            .await
    }

    async fn keep_checkpoint(&self, size: u64, note: &str) -> Result<(), LedgerError> {
        let note = note.to_owned();
        self.writer
            .run(move |database| {
                let parameters = named_params! { ":size": stored(size), ":note": note };
                write(database, KEEP_CHECKPOINT, parameters).map(drop)
            })
            .await
    }

    async fn checkpoint(&self) -> Result<Option<String>, LedgerError> {
        let newest = "SELECT note FROM evidence_checkpoint ORDER BY size DESC LIMIT 1";
        self.reader
            .run(move |database| {
                database.query_row(newest, [], |row| row.get(0)).optional().map_err(fault)
            })
            .await
    }

    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<(u64, String)>, LedgerError> {
        let rows = self.reader.run(move |database| {
            let mut statement = database.prepare_cached(CHECKPOINTS).map_err(fault)?;
            let within = named_params! { ":from": stored(from), ":limit": limit };
            let rows = statement
                .query_map(within, |row| Ok((row.get::<_, i64>("size")?, row.get("note")?)));
            rows.map_err(fault)?.collect::<Result<Vec<_>, _>>().map_err(fault)
        });
        rows.await?.into_iter().map(|(size, note)| Ok((place(size)?, note))).collect()
    }

    async fn erase_salts(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        self.writer.run(move |database| whole(database, || erase_salts(database, age, limit))).await
    }
}

fn witness(database: &Connection, leaf: &NewLeaf) -> Result<(), LedgerError> {
    let parameters = named_params! {
        ":institution": leaf.institution, ":key": leaf.key, ":leaf": leaf.text, ":salt": leaf.salt.0,
    };
    write(database, WITNESS, parameters)?;
    let key = leaf.key.as_deref().unwrap_or_default();
    mention(database, &leaf.institution, key, &leaf.mentions)
}

fn head(database: &Connection) -> Result<Head, LedgerError> {
    let mut statement = database.prepare_cached(HEAD).map_err(fault)?;
    let row = |row: &Row<'_>| Ok((row.get::<_, i64>("size")?, row.get::<_, Vec<u8>>("root")?));
    let (size, stored_root) = statement.query_one([], row).map_err(fault)?;
    Ok(Head { size: place(size)?, root: root(&stored_root)? })
}

fn grow(database: &Connection, growth: &Growth) -> Result<Done<bool>, LedgerError> {
    let Growth { from, leaves, tiles, head } = growth;
    let parameters = named_params! {
        ":from": stored(*from), ":size": stored(head.size), ":root": head.root.0,
    };
    if write(database, GROW, parameters)? == 0 {
        return Ok(Done::Undo(false));
    }
    // Each has its place already, unless somebody took one out from before it.
    for (to, at) in (*from..).map(stored).zip(leaves).filter(|(to, at)| to != *at) {
        if write(database, MOVE_UP, named_params! { ":at": at, ":to": to })? == 0 {
            return Ok(Done::Undo(false));
        }
    }
    for (id, hashes) in tiles {
        let tile = named_params! {
            ":level": id.level, ":position": stored(id.position), ":hashes": hashes,
        };
        write(database, KEEP_TILE, tile)?;
    }
    Ok(Done::Keep(true))
}

fn erase_salts(database: &Connection, age: Duration, limit: u32) -> Result<Done<u32>, LedgerError> {
    let parameters = named_params! { ":age": milliseconds(age), ":limit": limit };
    let erased = write(database, ERASE_SALTS, parameters)?;
    write(database, ERASED, parameters)?;
    Ok(Done::Keep(u32::try_from(erased).unwrap_or(u32::MAX)))
}

fn kept(row: &Row<'_>, head: Head) -> Result<KeptLeaf, LedgerError> {
    let index = place(row.get("place").map_err(fault)?)?;
    let stored_salt: Option<Vec<u8>> = row.get("salt").map_err(fault)?;
    Ok(KeptLeaf {
        index: Some(index).filter(|index| *index < head.size),
        institution: row.get("institution").map_err(fault)?,
        key: row.get("key").map_err(fault)?,
        text: row.get("leaf").map_err(fault)?,
        salt: salt(stored_salt.as_deref())?,
    })
}

/// The next place: also if the last leaf of the tree has been taken out.
const WITNESS: &str = "
    INSERT INTO evidence_leaf (place, institution, key, leaf, salt, recorded_at)
    VALUES (max(coalesce((SELECT max(place) + 1 FROM evidence_leaf), 0),
            (SELECT size FROM evidence_head)),
        :institution, :key, :leaf, :salt, CAST(unixepoch('subsec') * 1000 AS INTEGER))";

const HEAD: &str = "SELECT size, root FROM evidence_head WHERE id = 1";

const WAITING: &str = "
    SELECT place, leaf FROM evidence_leaf
    WHERE place >= (SELECT size FROM evidence_head) ORDER BY place LIMIT :limit";

const GROW: &str = "
    UPDATE evidence_head SET size = :size, root = :root WHERE id = 1 AND size = :from";

const MOVE_UP: &str = "UPDATE evidence_leaf SET place = :to WHERE place = :at";

const TILE: &str = "
    SELECT hashes FROM evidence_tile WHERE level = :level AND position = :position";

const KEEP_TILE: &str = "
    INSERT INTO evidence_tile (level, position, hashes) VALUES (:level, :position, :hashes)
    ON CONFLICT (level, position) DO UPDATE SET hashes = excluded.hashes";

const TILE_COUNT: &str = "
    SELECT size, (SELECT count(*) FROM evidence_tile) AS count FROM evidence_head WHERE id = 1";

const LEAVES: &str = "
    SELECT place, institution, key, leaf, salt FROM evidence_leaf
    WHERE place >= :from AND place < (SELECT size FROM evidence_head) ORDER BY place LIMIT :limit";

const LEAVES_OF: &str = "
    SELECT place, institution, key, leaf, salt FROM evidence_leaf
    WHERE institution = :institution AND key = :key ORDER BY place";

const KEEP_CHECKPOINT: &str = "
    INSERT INTO evidence_checkpoint (size, note, signed_at)
    VALUES (:size, :note, CAST(unixepoch('subsec') * 1000 AS INTEGER))
    ON CONFLICT (size) DO NOTHING";

const CHECKPOINTS: &str = "
    SELECT size, note FROM evidence_checkpoint WHERE size >= :from ORDER BY size LIMIT :limit";

const ERASE_SALTS: &str = "
    UPDATE evidence_leaf SET salt = NULL
    WHERE place >= (SELECT erased FROM evidence_head)
        AND place < (SELECT min(erased + :limit, size) FROM evidence_head)
        AND recorded_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) - :age
        AND salt IS NOT NULL";

/// As far as none of those just looked at is too young.
const ERASED: &str = "
    UPDATE evidence_head SET erased = coalesce((SELECT min(place) FROM evidence_leaf
        WHERE place >= erased AND place < min(erased + :limit, size)
            AND recorded_at >= CAST(unixepoch('subsec') * 1000 AS INTEGER) - :age),
        min(erased + :limit, size))
    WHERE id = 1";
