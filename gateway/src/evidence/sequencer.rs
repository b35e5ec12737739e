//! Grows the tree: gives leaves that wait their places, and signs the head at an interval.
//!
//! Any number of replicas may run this over one ledger. None leads: whoever adds leaves says which size the log has to have,
//! and of two that say the same the ledger lets one. It builds on no tree but the one the head was made of, so that a row
//! that was changed by hand stops the log instead of being covered up. Nor does it sign a head that does not go on from what
//! was signed before: who can write the head's row as well has no signature under it
//! (docs/decisions/0042-only-what-goes-on-is-signed.md). Checkpoints tell size and root alone, so that two replicas that sign one head
//! sign the same.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    checkpoint::{Checkpoint, Keys, NoCheckpoint, SignedCheckpoint},
    proving,
    published::{Unreadable, publish, published},
    tree::{Hash, Missing, Tiles, WIDTH, frontier},
};
use crate::{
    exchange::Gateway,
    ledger::{
        LedgerError,
        evidence::{EvidenceLog, Growth, Head},
    },
    settings,
    telemetry::LedgerVerb,
};

/// Lets the log grow and signs it until `stop` is cancelled; then whatever waits is added and signed.
///
/// Dropped in the middle, leaves have their places or wait on.
pub async fn keep(
    gateway: Arc<Gateway>,
    settings: settings::Evidence,
    keys: Arc<Keys>,
    stop: CancellationToken,
) {
    let mut sequencer = Sequencer { gateway, settings, keys, signed: None, looked: None };
    while !stop.is_cancelled() {
        sequencer.turn(Due::InTime).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
    sequencer.turn(Due::Now).await;
}

/// How often it is looked for leaves that wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Leaves per transaction: a tile.
const BATCH: u32 = 256;

/// Whether a head is signed although the interval is not over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    InTime,
    Now,
}

struct Sequencer {
    gateway: Arc<Gateway>,
    settings: settings::Evidence,
    keys: Arc<Keys>,
    /// What it last signed.
    signed: Option<Head>,
    /// When it last signed, or would not.
    looked: Option<Instant>,
}

/// Why the log does not grow, or is not signed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(
        "the log does not begin with the {0} leaves that were signed: nothing is signed any more; see `directlink evidence audit`"
    )]
    Contradicted(u64),
    #[error("nothing is signed before it is known what was signed last")]
    Unknown(#[from] Unknown),
}

/// What was signed last cannot be found out.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Published(#[from] Unreadable),
    #[error("the newest checkpoint in the ledger cannot be read")]
    Kept(#[from] NoCheckpoint),
}

impl Sequencer {
    async fn turn(&mut self, due: Due) {
        if let Err(error) = self.grow_and_sign(due).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the log of exchanges does not grow"
            );
        }
    }

    async fn grow_and_sign(&mut self, due: Due) -> Result<(), Fault> {
        let ledger = &*self.gateway.ledger;
        // Before it grows: what others sign meanwhile is of a log that is larger than this one sees.
        let before = self.signed_before().await?;
        let head = loop {
            let growing = self.gateway.timed(LedgerVerb::Grow, grow(ledger)).await?;
            if growing.is_all {
                break growing.head;
            }
        };
        self.gateway.metrics.evidence_size(head.size);
        self.sign(head, before, due).await
    }

    /// What the log has to go on from: what was signed here; at first what is published, and what the ledger says was signed.
    async fn signed_before(&self) -> Result<Result<Vec<Head>, Unknown>, LedgerError> {
        if self.keys.signing().is_empty() {
            return Ok(Ok(Vec::new()));
        }
        if let Some(signed) = self.signed {
            return Ok(Ok(vec![signed]));
        }
        let kept = self.gateway.ledger.checkpoint().await?;
        Ok(self.told_before(kept.as_deref()))
    }

    fn told_before(&self, kept: Option<&str>) -> Result<Vec<Head>, Unknown> {
        let origin = &self.settings.origin;
        let folder = self.settings.checkpoint_folder.as_deref();
        let published = folder.map(|folder| published(folder, origin)).transpose()?.flatten();
        let kept = kept.map(SignedCheckpoint::read).transpose()?;
        let told = published.into_iter().chain(kept).map(|it| it.checkpoint);
        let own = told.filter(|it| it.origin == *origin && it.size > 0);
        Ok(own.map(|it| Head { size: it.size, root: it.root }).collect())
    }

    /// Signs the head once the interval is over, if it is another than the one before.
    async fn sign(
        &mut self,
        head: Head,
        before: Result<Vec<Head>, Unknown>,
        due: Due,
    ) -> Result<(), Fault> {
        let is_due = due == Due::Now
            || self.looked.is_none_or(|when| when.elapsed() >= self.settings.checkpoint);
        let is_news = self.signed != Some(head);
        let is_nothing = head.size == 0 && before.as_ref().is_ok_and(Vec::is_empty);
        if self.keys.signing().is_empty() || is_nothing || !is_news || !is_due {
            return Ok(());
        }
        if let Err(refused) = self.goes_on(before, head).await {
            match &refused {
                Fault::Ledger(_) => {}
                Fault::Contradicted(_) | Fault::Unknown(_) => {
                    self.looked = Some(Instant::now());
                    self.gateway.metrics.evidence_refused(true);
                }
            }
            return Err(refused);
        }
        self.gateway.metrics.evidence_refused(false);
        let Head { size, root } = head;
        let checkpoint = Checkpoint { origin: self.settings.origin.clone(), size, root };
        let note = checkpoint.signed(self.keys.signing());
        self.gateway.ledger.keep_checkpoint(size, &note).await?;
        (self.signed, self.looked) = (Some(head), Some(Instant::now()));
        self.gateway.metrics.evidence_signed(size);
        if let Some(folder) = self.settings.checkpoint_folder.clone() {
            let published = tokio::task::spawn_blocking(move || publish(&folder, &note)).await;
            if let Ok(Err(error)) = published {
                tracing::error!(%error, "a checkpoint could not be published");
            }
        }
        Ok(())
    }

    /// # Errors
    /// The log does not go on from all that was signed before, or that is not known.
    async fn goes_on(&self, before: Result<Vec<Head>, Unknown>, head: Head) -> Result<(), Fault> {
        for before in before? {
            if !proving::goes_on(&*self.gateway.ledger, before, head).await? {
                return Err(Fault::Contradicted(before.size));
            }
        }
        Ok(())
    }
}

/// How far the log has grown.
#[derive(Debug, Clone, Copy)]
pub struct Growing {
    /// What it is now.
    pub head: Head,
    /// Whether nothing was seen to wait any more.
    pub is_all: bool,
}

/// Gives some of the leaves that wait their places, if another has not done so meanwhile.
///
/// # Errors
/// The ledger is away; or what it holds is not the tree that its head was made of: then nothing is added.
pub async fn grow(ledger: &(impl EvidenceLog + ?Sized)) -> Result<Growing, LedgerError> {
    let head = ledger.head().await?;
    let waiting = ledger.waiting(BATCH).await?;
    if waiting.is_empty() {
        return Ok(Growing { head, is_all: true });
    }
    let mut tiles = Tiles::default();
    for (id, bytes) in ledger.tiles(&frontier(head.size)).await? {
        tiles.put(id, &bytes);
    }
    let is_its_tree = tiles.root(head.size) == Ok(head.root);
    let hashes: Vec<_> = waiting.iter().map(|leaf| Hash::of_leaf(leaf.text.as_bytes())).collect();
    let changed = match tiles.grow(head.size, &hashes) {
        Ok(changed) if is_its_tree => changed,
        // Another may have let it grow between the looks.
        grown => {
            return match ledger.head().await? {
                now if now == head => Err(not_the_tree(grown.err())),
                now => Ok(Growing { head: now, is_all: false }),
            };
        }
    };
    let size = head.size.saturating_add(u64::try_from(hashes.len()).unwrap_or_default());
    let root = tiles.root(size).map_err(|missing| not_the_tree(Some(missing)))?;
    let growth = Growth {
        from: head.size,
        leaves: waiting.iter().map(|leaf| leaf.id).collect(),
        tiles: changed.into_iter().map(|id| (id, tiles.bytes(id))).collect(),
        head: Head { size, root },
    };
    match ledger.grow(&growth).await? {
        true => Ok(Growing {
            head: growth.head,
            is_all: u64::try_from(waiting.len()).is_ok_and(|count| count < WIDTH),
        }),
        false => Ok(Growing { head, is_all: false }),
    }
}

fn not_the_tree(missing: Option<Missing>) -> LedgerError {
    match missing {
        Some(missing) => LedgerError::corrupt(missing),
        None => LedgerError::corrupt(
            "the tree in the ledger is not the one its head was made of; see `directlink evidence audit`",
        ),
    }
}
