//! Deletes what the ledger knows of filings that are old, but for their keys, which stay used for good, and old events.
//!
//! In small batches, so that no exchange waits for long; any number of replicas may run this, and the ledger's clock alone
//! says what is old. It decides nothing about open filings: those are never deleted.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{exchange::Gateway, telemetry::LedgerVerb};

/// Retires filings that have not changed for `age`, until `stop` is cancelled.
///
/// Dropped in the middle, a batch is retired or not.
pub async fn retire(gateway: Arc<Gateway>, age: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let retired = gateway.ledger.retire(age, BATCH);
        let idle_for = match gateway.timed(LedgerVerb::Retire, retired).await {
            Ok(BATCH) => BREATH,
            Ok(_) => (age / 10).clamp(Duration::from_secs(1), LOOK_EVERY_MAX),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "old filings could not be retired");
                LOOK_EVERY_MAX
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(idle_for) => {}
        }
    }
}

/// Forgets events that are older than `age`, until `stop` is cancelled.
///
/// Dropped in the middle, a batch is forgotten or not.
pub async fn forget_events(gateway: Arc<Gateway>, age: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let forgotten = gateway.ledger.forget_events(age, BATCH);
        let idle_for = match gateway.timed(LedgerVerb::ForgetEvents, forgotten).await {
            Ok(BATCH) => BREATH,
            Ok(_) => (age / 10).clamp(Duration::from_secs(1), LOOK_EVERY_MAX),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "old events could not be forgotten");
                LOOK_EVERY_MAX
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(idle_for) => {}
        }
    }
}

/// Filings, or events, per transaction.
const BATCH: u32 = 200;

/// Between two full batches, for the exchanges.
const BREATH: Duration = Duration::from_millis(100);

/// How often it is looked for what has become old, at the least.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(60);
