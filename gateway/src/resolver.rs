//! Finds out what became of filings whose outcome is unknown, by asking their registry by key.
//!
//! One task a registry, so that a slow one holds up nobody else's. Work is taken from the ledger under leases: any number
//! of replicas may run this. It never sends an application: that is the bank's retry, once the key is free again.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use proto::v1::Institution;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Gateway,
    ledger::{Entry, LedgerError},
    registry::{CallError, Caller, Registry},
    retry, settings,
    telemetry::LedgerVerb,
};

/// Asks one registry until `stop` is cancelled; what is under way then is finished.
///
/// Dropped in the middle, entries stay under their leases and are taken again once those have run out.
pub async fn resolve(
    gateway: Arc<Gateway>,
    registry: Registry,
    settings: settings::Resolver,
    stop: CancellationToken,
) {
    let resolver = Resolver { gateway, registry, settings };
    while !stop.is_cancelled() {
        let idle_for = match resolver.round().await {
            Ok(0) => resolver.settings.first,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::error!(
                    registry = resolver.registry.name(),
                    error = &error as &dyn std::error::Error,
                    "the resolver cannot use the ledger"
                );
                resolver.settings.longest
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(idle_for) => {}
        }
    }
}

struct Resolver {
    gateway: Arc<Gateway>,
    registry: Registry,
    settings: settings::Resolver,
}

impl Resolver {
    /// Takes what is due and asks about each; tells how many were taken.
    async fn round(&self) -> Result<usize, LedgerError> {
        let ledger = &self.gateway.ledger;
        let due =
            ledger.claim_due(self.registry.name(), self.settings.batch_max, self.gateway.lease);
        let due = self.gateway.timed(LedgerVerb::ClaimDue, due).await?;
        // All at once: asked one by one, the last could outlive its lease.
        for asked in join_all(due.iter().map(|entry| self.ask(entry))).await {
            asked?;
        }
        Ok(due.len())
    }

    async fn ask(&self, entry: &Entry) -> Result<(), LedgerError> {
        let ledger = &self.gateway.ledger;
        match self.registry.case_by_key(&entry.key, &on_behalf_of(entry)).await {
            Ok(Some(outcome)) => {
                tracing::info!(registry = self.registry.name(), "an unknown outcome was found out");
                self.gateway.timed(LedgerVerb::Settle, ledger.settle(entry, &outcome)).await
            }
            // The registry promises that a key registers once, so the bank may send it again even if an earlier call
            // should still arrive.
            Ok(None) if self.registry.is_idempotent() => {
                self.gateway.timed(LedgerVerb::Release, ledger.release(entry)).await
            }
            Ok(None) => self.defer(entry).await,
            Err(
                error @ (CallError::NotSent(_) | CallError::NoAnswer(_) | CallError::Rejected(_)),
            ) => {
                tracing::warn!(registry = self.registry.name(), %error, "an unknown outcome stays unknown");
                self.defer(entry).await
            }
        }
    }

    async fn defer(&self, entry: &Entry) -> Result<(), LedgerError> {
        let attempt = u32::try_from(entry.attempt).unwrap_or(u32::MAX);
        let delay = retry::delay_of(attempt, self.settings.first, self.settings.longest);
        self.gateway.timed(LedgerVerb::Defer, self.gateway.ledger.defer(entry, delay)).await
    }
}

/// The gateway asks by itself: the ledger knows the institution, but holds no certificate to show.
fn on_behalf_of(entry: &Entry) -> Caller {
    Caller {
        institution: Institution { id: entry.institution.clone(), ..Institution::default() },
        certificate_der: None,
    }
}
