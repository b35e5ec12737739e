//! The log of exchanges in the Postgres ledger. Replicas write leaves beside each other, and none waits for another; the
//! head's row decides which of those who would let the tree grow does.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::{Row, types::ToSql};

use super::{Answered, Ended, PostgresLedger, column};
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
impl EvidenceLog for PostgresLedger {
    async fn witness(&self, leaf: &NewLeaf, settled: Option<&Settlement>) -> Witnessed {
        let answered = settled.map(|it| Answered::of(&it.entry, &it.outcome, it.follow_up));
        let recorded = self.answers.run(Ended { answered, leaf: Some(leaf.clone()) }).await;
        match (recorded, settled) {
            (Err(error), _) => {
                let again = LedgerError::unavailable(error.to_string());
                Witnessed { leaf: Err(error), settled: Err(again) }
            }
            (Ok(_), None) => Witnessed { leaf: Ok(()), settled: Ok(()) },
            (Ok(recorded), Some(settled)) => {
                let settled = self.was_claimed(&settled.entry, recorded).await;
                Witnessed { leaf: Ok(()), settled }
            }
        }
    }

    async fn head(&self) -> Result<Head, LedgerError> {
        let rows = self.server.query(HEAD, &[]).await?;
        let row = rows.first().ok_or_else(|| LedgerError::corrupt("the log has no head"))?;
        Ok(Head { size: place(column(row, "size")?)?, root: root(column(row, "root")?)? })
    }

    async fn waiting(&self, limit: u32) -> Result<Vec<WaitingLeaf>, LedgerError> {
        let rows = self.server.query(WAITING, &[&i64::from(limit)]).await?;
        let leaf =
            |row: &Row| Ok(WaitingLeaf { id: column(row, "id")?, text: column(row, "leaf")? });
        rows.iter().map(leaf).collect()
    }

    async fn grow(&self, growth: &Growth) -> Result<bool, LedgerError> {
        let Growth { from, leaves, tiles, head } = growth;
        let (from, size, root) = (stored(*from), stored(head.size), head.root.0.as_slice());
        let levels: Vec<_> = tiles.iter().map(|(id, _)| i16::from(id.level)).collect();
        let positions: Vec<_> = tiles.iter().map(|(id, _)| stored(id.position)).collect();
        let hashes: Vec<_> = tiles.iter().map(|(_, hashes)| hashes.as_slice()).collect();
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&from, &size, &root, leaves, &levels, &positions, &hashes];
        let grown = self.server.write(GROW, &parameters).await?;
        Ok(!grown.is_empty())
    }

    async fn tiles(&self, ids: &[TileId]) -> Result<Vec<(TileId, Vec<u8>)>, LedgerError> {
        let levels: Vec<_> = ids.iter().map(|id| i16::from(id.level)).collect();
        let positions: Vec<_> = ids.iter().map(|id| stored(id.position)).collect();
        let rows = self.server.query(TILES, &[&levels, &positions]).await?;
        let tile = |row: &Row| {
            let level = u8::try_from(column::<i16>(row, "level")?).map_err(LedgerError::corrupt)?;
            let position = place(column(row, "position")?)?;
            Ok((TileId { level, position }, column(row, "hashes")?))
        };
        rows.iter().map(tile).collect()
    }

    async fn tile_count(&self) -> Result<(u64, u64), LedgerError> {
        let rows = self.server.query(TILE_COUNT, &[]).await?;
        let row = rows.first().ok_or_else(|| LedgerError::corrupt("the log has no head"))?;
        Ok((place(column(row, "size")?)?, place(column(row, "count")?)?))
    }

    async fn leaves(&self, from: u64, limit: u32) -> Result<Vec<KeptLeaf>, LedgerError> {
        let rows = self.server.query(LEAVES, &[&stored(from), &i64::from(limit)]).await?;
        rows.iter().map(kept).collect()
    }

    async fn leaves_of(&self, institution: &str, key: &str) -> Result<Vec<KeptLeaf>, LedgerError> {
        let rows = self.server.query(LEAVES_OF, &[&institution, &key]).await?;
        rows.iter().map(kept).collect()
    }

    async fn keep_checkpoint(&self, size: u64, note: &str) -> Result<(), LedgerError> {
        self.server.write(KEEP_CHECKPOINT, &[&stored(size), &note]).await.map(drop)
    }

    async fn checkpoint(&self) -> Result<Option<String>, LedgerError> {
        let newest = "SELECT note FROM evidence_checkpoint ORDER BY size DESC LIMIT 1";
        let rows = self.server.query(newest, &[]).await?;
        rows.first().map(|row| column(row, "note")).transpose()
    }

    async fn checkpoints(&self, from: u64, limit: u32) -> Result<Vec<(u64, String)>, LedgerError> {
        let rows = self.server.query(CHECKPOINTS, &[&stored(from), &i64::from(limit)]).await?;
        let checkpoint = |row: &Row| Ok((place(column(row, "size")?)?, column(row, "note")?));
        rows.iter().map(checkpoint).collect()
    }

    async fn erase_salts(&self, age: Duration, limit: u32) -> Result<u32, LedgerError> {
        let parameters: [&(dyn ToSql + Sync); 2] = [&milliseconds(age), &i64::from(limit)];
        let erased = self.server.write(ERASE_SALTS, &parameters).await?;
        Ok(u32::try_from(erased.len()).unwrap_or(u32::MAX))
    }
}

fn kept(row: &Row) -> Result<KeptLeaf, LedgerError> {
    Ok(KeptLeaf {
        index: column::<Option<i64>>(row, "place")?.map(place).transpose()?,
        institution: column(row, "institution")?,
        key: column(row, "key")?,
        text: column(row, "leaf")?,
        salt: salt(column(row, "salt")?)?,
    })
}

const HEAD: &str = "SELECT size, root FROM evidence_head WHERE id = 1";

const WAITING: &str = "SELECT id, leaf FROM evidence_waiting ORDER BY id LIMIT $1";

/// Of several that would let it grow from one size, the first to have the head's row does; the others find another size
/// there, and move nothing.
const GROW: &str = "
    WITH head AS (
        UPDATE evidence_head SET size = $2, root = $3 WHERE id = 1 AND size = $1
        RETURNING size),
    next AS MATERIALIZED (
        SELECT next.id, $1 + next.number - 1 AS place
        FROM head, unnest($4::bigint[]) WITH ORDINALITY AS next (id, number)),
    moved AS (
        DELETE FROM evidence_waiting USING next WHERE evidence_waiting.id = next.id
        RETURNING place, institution, key, leaf, salt, recorded_at),
    placed AS (
        INSERT INTO evidence_leaf (place, institution, key, leaf, salt, recorded_at)
        SELECT place, institution, key, leaf, salt, recorded_at FROM moved),
    tiled AS (
        INSERT INTO evidence_tile (level, position, hashes)
        SELECT tile.* FROM head, unnest($5::smallint[], $6::bigint[], $7::bytea[]) AS tile
        ON CONFLICT (level, position) DO UPDATE SET hashes = excluded.hashes)
    SELECT size FROM head";

const TILES: &str = "
    SELECT level, position, hashes FROM evidence_tile
    JOIN unnest($1::smallint[], $2::bigint[]) AS wanted (level, position)
        USING (level, position)";

const TILE_COUNT: &str = "
    SELECT size, (SELECT count(*) FROM evidence_tile) AS count FROM evidence_head WHERE id = 1";

const LEAVES: &str = "
    SELECT place, institution, key, leaf, salt FROM evidence_leaf
    WHERE place >= $1 ORDER BY place LIMIT $2";

const LEAVES_OF: &str = "
    SELECT place, institution, key, leaf, salt FROM (
        SELECT place, NULL::bigint AS id, institution, key, leaf, salt FROM evidence_leaf
        WHERE institution = $1 AND key = $2
        UNION ALL
        SELECT NULL::bigint, id, institution, key, leaf, salt FROM evidence_waiting
        WHERE institution = $1 AND key = $2) AS leaves
    ORDER BY place NULLS LAST, id";

const KEEP_CHECKPOINT: &str = "
    INSERT INTO evidence_checkpoint (size, note) VALUES ($1, $2) ON CONFLICT (size) DO NOTHING";

const CHECKPOINTS: &str = "
    SELECT size, note FROM evidence_checkpoint WHERE size >= $1 ORDER BY size LIMIT $2";

/// From where every salt before is erased, as far as none is too young.
const ERASE_SALTS: &str = "
    WITH head AS MATERIALIZED (
        SELECT erased AS first, least(erased + $2, size) AS beyond FROM evidence_head
        WHERE id = 1 FOR UPDATE),
    old AS MATERIALIZED (
        SELECT place, recorded_at < now() - $1::bigint * interval '1 millisecond' AS is_old
        FROM head, evidence_leaf WHERE place >= first AND place < beyond),
    moved AS (
        UPDATE evidence_head SET
            erased = coalesce((SELECT min(place) FROM old WHERE NOT is_old), beyond)
        FROM head WHERE id = 1)
    UPDATE evidence_leaf SET salt = NULL
    FROM old WHERE evidence_leaf.place = old.place AND is_old AND salt IS NOT NULL
    RETURNING evidence_leaf.place";
