//! What the ledger is asked to do, and how long it takes.

use std::time::Duration;

use opentelemetry::{KeyValue, metrics::MeterProvider};

use super::Metrics;

impl Metrics {
    /// The ledger did, or could not do, what it was asked.
    pub fn ledger<T, E>(&self, verb: LedgerVerb, done: &Result<T, E>, took: Duration) {
        let end = if done.is_ok() { "done" } else { "failed" };
        self.0.ledger_duration.record(
            took.as_secs_f64(),
            &[KeyValue::new("verb", verb.label()), KeyValue::new("end", end)],
        );
    }

    /// How many transactions the ledger has committed is asked for whenever metrics are told.
    pub fn watch_commits(&self, commits: impl Fn() -> u64 + Send + Sync + 'static) {
        let _handle = self
            .0
            .provider
            .meter("directlink")
            .u64_observable_counter("directlink.ledger.commits")
            .with_description(
                "Transactions of this process's ledger; verbs that wait at one moment share one",
            )
            .with_callback(move |told| told.observe(commits(), &[]))
            .build();
    }
}

/// What the ledger is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the ledger's verbs")]
pub enum LedgerVerb {
    Admit,
    Announce,
    Lift,
    Retire,
    Settle,
    MarkUnknown,
    Release,
    Record,
    RecordWatched,
    ClaimWatch,
    KeepWatch,
    ClaimFollowUps,
    PutOffFollowUp,
    Warn,
    EventsAfter,
    Acknowledge,
    Feeds,
    ForgetEvents,
    Find,
    ClaimDue,
    ClaimQueued,
    Requeue,
    WithdrawQueued,
    Queued,
    Defer,
    GiveUp,
    Unknown,
    TimesTaken,
    Witness,
    Grow,
    EraseSalts,
    RecordFindings,
    OpenFindings,
    ForgetFindings,
    Filed,
    Subscribe,
    ClaimTurns,
    DueAgain,
    Untold,
    EndTurn,
    Standings,
    ForgetNotices,
}

impl LedgerVerb {
    /// As metrics and traces name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Announce => "announce",
            Self::Lift => "lift",
            Self::Retire => "retire",
            Self::Settle => "settle",
            Self::MarkUnknown => "mark_unknown",
            Self::Release => "release",
            Self::Record => "record",
            Self::RecordWatched => "record_watched",
            Self::ClaimWatch => "claim_watch",
            Self::KeepWatch => "keep_watch",
            Self::ClaimFollowUps => "claim_follow_ups",
            Self::PutOffFollowUp => "put_off_follow_up",
            Self::Warn => "warn",
            Self::EventsAfter => "events_after",
            Self::Acknowledge => "acknowledge",
            Self::Feeds => "feeds",
            Self::ForgetEvents => "forget_events",
            Self::Find => "find",
            Self::ClaimDue => "claim_due",
            Self::ClaimQueued => "claim_queued",
            Self::Requeue => "requeue",
            Self::WithdrawQueued => "withdraw_queued",
            Self::Queued => "queued",
            Self::Defer => "defer",
            Self::GiveUp => "give_up",
            Self::Unknown => "unknown",
            Self::TimesTaken => "times_taken",
            Self::Witness => "witness",
            Self::Grow => "grow",
            Self::Subscribe => "subscribe",
            Self::ClaimTurns => "claim_turns",
            Self::DueAgain => "due_again",
            Self::Untold => "untold",
            Self::EndTurn => "end_turn",
            Self::Standings => "standings",
            Self::ForgetNotices => "forget_notices",
            Self::EraseSalts => "erase_salts",
            Self::RecordFindings => "record_findings",
            Self::OpenFindings => "open_findings",
            Self::ForgetFindings => "forget_findings",
            Self::Filed => "filed",
        }
    }
}
