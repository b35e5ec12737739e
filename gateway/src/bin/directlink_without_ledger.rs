//! `directlink` with a ledger that keeps nothing, to measure what the real one costs: the same program under another name, so
//! that it is never taken for the one that serves banks. It would register a filing as often as it comes.
//!
//! No setting makes the real program do so, and nothing of this is in it.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use gateway::{
    evidence::tree::{Hash, TileId},
    ledger::{
        Admission, Claim, Entry, Events, Fingerprint, Guard, Ledger, LedgerError, Opening,
        PastCases, Record, Sealed, Taken, Unknown,
        books::{self, Books, Filed, Finding, KeptFinding},
        cases::{Cases, Counted, Life, Listed, Sought, Telling},
        events::{Account, After, Event, EventId, Feed, FollowUp, Page, Recorded, Watch},
        evidence::{
            EvidenceLog, Growth, Head, KeptLeaf, NewLeaf, Settlement, WaitingLeaf, Witnessed,
        },
        notices::{Notices, Parked, Sight, Standing, Turn, TurnEnd, Untold},
    },
};
use proto::v1::Outcome;

#[path = "../main.rs"]
#[expect(dead_code, reason = "its own `main` opens the real ledger")]
mod program;

fn main() -> ExitCode {
    program::run(async |_: &gateway::settings::Settings| Ok(Arc::new(Forgetful) as Arc<dyn Ledger>))
}

/// Takes every key for a new one, and keeps nothing.
#[derive(Debug)]
struct Forgetful;

#[async_trait]
impl Notices for Forgetful {
    async fn subscribe(&self, _: &str, _: &[Sight]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn claim_turns(
        &self,
        _: &[String],
        _: u32,
        _: Duration,
    ) -> Result<Vec<Turn>, LedgerError> {
        Ok(Vec::new())
    }

    async fn due_again(&self, _: &str, _: u32) -> Result<Vec<Untold>, LedgerError> {
        Ok(Vec::new())
    }

    async fn untold(&self, _: &str, _: u32) -> Result<Vec<Untold>, LedgerError> {
        Ok(Vec::new())
    }

    async fn end_turn(&self, _: &Turn, _: &TurnEnd) -> Result<bool, LedgerError> {
        Ok(true)
    }

    async fn standings(&self) -> Result<Vec<Standing>, LedgerError> {
        Ok(Vec::new())
    }

    async fn parked(&self, _: Option<&str>, _: u32) -> Result<Vec<Parked>, LedgerError> {
        Ok(Vec::new())
    }

    async fn resend(&self, _: &str, _: Option<&EventId>) -> Result<u64, LedgerError> {
        Ok(0)
    }

    async fn resume(&self, _: &str) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn forget_notices(&self, _: Duration, _: u32) -> Result<u32, LedgerError> {
        Ok(0)
    }
}

#[async_trait]
impl Ledger for Forgetful {
    async fn admit(&self, claim: &Claim) -> Result<Admission, LedgerError> {
        Ok(Admission::New(Entry {
            institution: claim.institution.clone(),
            key: claim.key.clone(),
            registry: claim.registry.clone(),
            office: claim.office.clone(),
            attempt: 1,
        }))
    }

    async fn announce(&self, _: &Entry, _: Duration) -> Result<bool, LedgerError> {
        Ok(true)
    }

    async fn lift(&self, _: &Record, _: &[Guard]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn settle(&self, _: &Entry, _: &Outcome, _: Option<Duration>) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn mark_unknown(&self, _: &Entry) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn release(&self, _: &Entry) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn find(&self, _: &str, _: &str) -> Result<Option<Record>, LedgerError> {
        Ok(None)
    }

    async fn asked(&self, _: &str, _: &str) -> Result<Option<Fingerprint>, LedgerError> {
        Ok(None)
    }

    async fn find_case(&self, _: &str, _: &str) -> Result<Vec<Record>, LedgerError> {
        Ok(Vec::new())
    }

    async fn claim_due(&self, _: &str, _: u32, _: Duration) -> Result<Vec<Entry>, LedgerError> {
        Ok(Vec::new())
    }

    async fn defer(&self, _: &Entry, _: Duration) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn give_up(&self, _: &Entry) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn times_taken(&self, _past: &PastCases) -> Result<Vec<Duration>, LedgerError> {
        Ok(Vec::new())
    }

    async fn unknown(&self, _: &str) -> Result<Unknown, LedgerError> {
        Ok(Unknown::default())
    }

    async fn retire(&self, _: Duration, _: u32) -> Result<u32, LedgerError> {
        Ok(0)
    }

    async fn claim_queued(&self, _: &Opening) -> Result<Option<Taken>, LedgerError> {
        Ok(None)
    }

    async fn requeue(&self, _: &Entry, _: Duration) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn refuse(&self, _: &Entry, _: &Outcome) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn withdraw_queued(&self, _: &str, _: &str, _: &Outcome) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn queued(&self) -> Result<Vec<(String, u64)>, LedgerError> {
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn commits(&self) -> u64 {
        0
    }
}

#[async_trait]
impl Events for Forgetful {
    async fn record(&self, _: &Account) -> Result<Recorded, LedgerError> {
        Ok(Recorded::Unheard)
    }

    async fn record_watched(
        &self,
        _: &Watch,
        _: &[Account],
        _: &str,
    ) -> Result<Option<Vec<Recorded>>, LedgerError> {
        Ok(None)
    }

    async fn claim_watch(&self, _: &str, _: Duration) -> Result<Option<Watch>, LedgerError> {
        Ok(None)
    }

    async fn keep_watch(&self, _: &Watch, _: Duration) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn claim_follow_ups(
        &self,
        _: &str,
        _: u32,
        _: Duration,
    ) -> Result<Vec<FollowUp>, LedgerError> {
        Ok(Vec::new())
    }

    async fn put_off_follow_up(
        &self,
        _: &FollowUp,
        _: Option<Duration>,
    ) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn warn(&self, _: &FollowUp, _: Duration) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn events_after(&self, _: &str, _: &After, _: u32) -> Result<Page, LedgerError> {
        Ok(Page::Events { events: Vec::new(), next: EventId::NONE })
    }

    async fn acknowledge(&self, _: &str, _: &EventId) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn feeds(&self) -> Result<Vec<Feed>, LedgerError> {
        Ok(Vec::new())
    }

    async fn forget_events(&self, _: Duration, _: u32) -> Result<u32, LedgerError> {
        Ok(0)
    }
}

#[async_trait]
impl Books for Forgetful {
    async fn filed(&self, _: &books::Asked) -> Result<Vec<Filed>, LedgerError> {
        Ok(Vec::new())
    }

    async fn filed_under(&self, _: &str, _: &str) -> Result<Option<Filed>, LedgerError> {
        Ok(None)
    }

    async fn record_findings(&self, _: &str, _: &str, _: &[Finding]) -> Result<u64, LedgerError> {
        Ok(0)
    }

    async fn findings(&self, _: books::Which, _: u32) -> Result<Vec<KeptFinding>, LedgerError> {
        Ok(Vec::new())
    }

    async fn forget_findings(&self, _: Duration, _: u32) -> Result<u32, LedgerError> {
        Ok(0)
    }

    async fn close_finding(&self, _: i64, _: &str) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn open_findings(&self) -> Result<Vec<(String, u64)>, LedgerError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Cases for Forgetful {
    async fn called(&self, _: &[String], _: &str, _: u32) -> Result<Vec<Listed>, LedgerError> {
        Ok(Vec::new())
    }

    async fn cases(&self, _: &Sought) -> Result<Vec<Listed>, LedgerError> {
        Ok(Vec::new())
    }

    async fn unsettled(&self, _: u32) -> Result<Vec<Listed>, LedgerError> {
        Ok(Vec::new())
    }

    async fn life(&self, _: &str, _: &str) -> Result<Option<Life>, LedgerError> {
        Ok(None)
    }

    async fn events_of(&self, _: &str, _: &str) -> Result<Vec<Event>, LedgerError> {
        Ok(Vec::new())
    }

    async fn tellings(&self, _: &str, _: &str) -> Result<Vec<Telling>, LedgerError> {
        Ok(Vec::new())
    }

    async fn sealed(&self, _: &str, _: &str) -> Result<Option<Sealed>, LedgerError> {
        Ok(None)
    }

    async fn counted(&self, _: SystemTime) -> Result<Vec<Counted>, LedgerError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl EvidenceLog for Forgetful {
    async fn witness(&self, _: &NewLeaf, _: Option<&Settlement>) -> Witnessed {
        Witnessed { leaf: Ok(()), settled: Ok(()) }
    }

    async fn head(&self) -> Result<Head, LedgerError> {
        Ok(Head { size: 0, root: Hash::of_nothing() })
    }

    async fn waiting(&self, _: u32) -> Result<Vec<WaitingLeaf>, LedgerError> {
        Ok(Vec::new())
    }

    async fn grow(&self, _: &Growth) -> Result<bool, LedgerError> {
        Ok(false)
    }

    async fn tiles(&self, _: &[TileId]) -> Result<Vec<(TileId, Vec<u8>)>, LedgerError> {
        Ok(Vec::new())
    }

    async fn tile_count(&self) -> Result<(u64, u64), LedgerError> {
        Ok((0, 0))
    }

    async fn leaves(&self, _: u64, _: u32) -> Result<Vec<KeptLeaf>, LedgerError> {
        Ok(Vec::new())
    }

    async fn leaves_of(&self, _: &str, _: &str) -> Result<Vec<KeptLeaf>, LedgerError> {
        Ok(Vec::new())
    }

    async fn keep_checkpoint(&self, _: u64, _: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn checkpoint(&self) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    async fn checkpoints(&self, _: u64, _: u32) -> Result<Vec<(u64, String)>, LedgerError> {
        Ok(Vec::new())
    }

    async fn erase_salts(&self, _: Duration, _: u32) -> Result<u32, LedgerError> {
        Ok(0)
    }
}
