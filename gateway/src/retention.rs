//! Deletes what is old: what the ledger knows of filings, but for their keys, which stay used for good; events; closed
//! findings; the salts of leaves of the log of exchanges, which stays whole; and what banks uploaded.
//!
//! In small batches, so that no exchange waits for long; any number of replicas may run this, and the ledger's clock alone
//! says what is old. Filings whose outcome is not known, that wait or that are still asked about are never deleted.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{exchange::Gateway, ledger::LedgerError, materials::Materials, telemetry::LedgerVerb};

/// What grows old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// Filings that have not changed for that long are retired.
    Filings,
    /// Events that old are forgotten, and what is noted of telling them.
    Events,
    /// Findings that were closed so long ago are forgotten.
    Findings,
    /// The salts of leaves that were written so long ago are erased.
    Salts,
}

impl Old {
    async fn delete(self, gateway: &Gateway, age: Duration) -> Result<u32, LedgerError> {
        let ledger = &gateway.ledger;
        match self {
            Self::Filings => gateway.timed(LedgerVerb::Retire, ledger.retire(age, BATCH)).await,
            Self::Events => {
                let notices = ledger.forget_notices(age, BATCH);
                gateway.timed(LedgerVerb::ForgetNotices, notices).await?;
                gateway.timed(LedgerVerb::ForgetEvents, ledger.forget_events(age, BATCH)).await
            }
            Self::Findings => {
                let findings = ledger.forget_findings(age, BATCH);
                gateway.timed(LedgerVerb::ForgetFindings, findings).await
            }
            Self::Salts => {
                gateway.timed(LedgerVerb::EraseSalts, ledger.erase_salts(age, BATCH)).await
            }
        }
    }
}

/// Deletes what is older than `age`, until `stop` is cancelled.
///
/// Dropped in the middle, a batch is deleted or not.
pub async fn delete(gateway: Arc<Gateway>, old: Old, age: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let idle_for = match old.delete(&gateway, age).await {
            Ok(BATCH) => BREATH,
            Ok(_) => looked_again_after(age, LOOK_EVERY_MAX),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, ?old, "what is old could not be deleted");
                LOOK_EVERY_MAX
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(idle_for) => {}
        }
    }
}

/// Deletes materials that were last uploaded longer than `age` ago, until `stop` is cancelled.
pub async fn delete_materials(materials: Materials, age: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match materials.forget(age).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old materials were deleted"),
            Err(error) => tracing::warn!(%error, "old materials could not be deleted"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(looked_again_after(age, LIST_EVERY_MAX)) => {}
        }
    }
}

fn looked_again_after(age: Duration, longest: Duration) -> Duration {
    (age / 10).clamp(Duration::from_secs(1), longest)
}

/// How often all materials are listed, at the least: an S3 service has each list paid for.
const LIST_EVERY_MAX: Duration = Duration::from_secs(60 * 60);

/// Rows per transaction.
const BATCH: u32 = 200;

/// Between two full batches, for the exchanges.
const BREATH: Duration = Duration::from_millis(100);

/// How often it is looked for what has become old, at the least.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(60);
