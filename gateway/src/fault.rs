//! Fault points: places where a test has the real process die by SIGKILL, as by a power cut, to see that nothing is lost or
//! done twice. All of them are listed here.
//!
//! They are compiled in with the feature `fault-points` alone, of which only the program `directlink-fault-points` is
//! made; without it, [`point`] is nothing.

/// A place to die at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Exchange: the message is understood, the key not yet claimed.
    BeforeAdmit,
    /// Exchange: the key is claimed, nothing sent.
    Admitted,
    /// Exchange, where the registry does not promise idempotency: it is recorded that the filing is about to be sent.
    Announced,
    /// Exchange: the registry said by key what it knows.
    AskedFirst,
    /// Registry: the connection has taken the message; its bytes may or may not get out.
    HandedOver,
    /// Registry: a try had no answer, and another is about to be made.
    BetweenTries,
    /// Exchange: the registry's answer is there, not yet recorded.
    BeforeSettle,
    /// Exchange: the outcome is recorded, the bank not yet told.
    Settled,
    /// Exchange: there was no answer, which is not yet recorded.
    BeforeMarkUnknown,
    /// Exchange: that is recorded, the bank not yet told.
    MarkedUnknown,
    /// Exchange: nothing could be sent, which is not yet recorded.
    BeforeRelease,
    /// Exchange: that is recorded, the bank not yet told.
    Released,
    /// Exchange: a case has moved on since, which is not yet recorded.
    BeforeUpdate,
    /// Exchange: the answer is written in the bank's words, not yet sent.
    BeforeAnswer,
    /// Resolver: a filing is taken, the registry not yet asked.
    DueTaken,
    /// Resolver: the registry said what it knows, which is not yet recorded.
    Asked,
    /// Resolver: the outcome is recorded.
    Resolved,
    /// Resolver: the registry does not know the key, and that is recorded.
    Deferred,
    /// Exchange: the filing is in the queue, the bank not yet told.
    Queued,
    /// Opener: a filing is taken out of the queue, nothing sent.
    QueueTaken,
    /// Opener: the registry said by key what it knows of a filing that may have been sent before.
    QueueAsked,
    /// Opener, where the registry does not promise idempotency: it is recorded that the filing is about to be sent.
    QueueAnnounced,
    /// Opener: the registry's answer is there, not yet recorded.
    BeforeQueueSettle,
    /// Opener: the outcome is recorded.
    QueueSettled,
    /// Opener: a filing could not be sent or was not answered, which is not yet recorded.
    BeforeRequeue,
    /// Listener: a registry told of cases by itself, which is not yet recorded.
    Heard,
    /// Listener: that is recorded, with the cursor after it.
    HeardRecorded,
    /// Follow-up: a case is taken, its registry not yet asked.
    FollowUpTaken,
    /// Follow-up: the registry said how it stands, which is not yet recorded.
    FollowedUp,
    /// Notices: a subscriber's turn is taken, nothing told.
    TurnTaken,
    /// Notices: a subscriber has taken a notice, which is not yet recorded.
    NoticeTaken,
    /// Notices: what came of a turn is recorded.
    TurnRecorded,
    /// SQLite: a group of verbs is carried out, not yet committed.
    BeforeCommit,
    /// SQLite: a group of verbs is committed, nobody told.
    Committed,
}

impl Point {
    /// Every one.
    pub const ALL: [Self; 34] = [
        Self::BeforeAdmit,
        Self::Admitted,
        Self::Announced,
        Self::AskedFirst,
        Self::HandedOver,
        Self::BetweenTries,
        Self::BeforeSettle,
        Self::Settled,
        Self::BeforeMarkUnknown,
        Self::MarkedUnknown,
        Self::BeforeRelease,
        Self::Released,
        Self::BeforeUpdate,
        Self::BeforeAnswer,
        Self::DueTaken,
        Self::Asked,
        Self::Resolved,
        Self::Deferred,
        Self::Queued,
        Self::QueueTaken,
        Self::QueueAsked,
        Self::QueueAnnounced,
        Self::BeforeQueueSettle,
        Self::QueueSettled,
        Self::BeforeRequeue,
        Self::Heard,
        Self::HeardRecorded,
        Self::FollowUpTaken,
        Self::FollowedUp,
        Self::TurnTaken,
        Self::NoticeTaken,
        Self::TurnRecorded,
        Self::BeforeCommit,
        Self::Committed,
    ];
}

/// Dies here, if a test has asked for it: by the environment variable `DIRECTLINK_DIES_AT`, a point's name, a colon, at which
/// passage, an `@`, and a file; passages count once that file is there.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point(_: Point) {}

#[cfg(feature = "fault-points")]
pub use armed::point;

/// Has a migration besides, as the next version would, if a test has asked for it: by the environment variable
/// `DIRECTLINK_NEXT_MIGRATION`, a file of SQL.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) fn with_next_migration(runner: Runner) -> Runner {
    runner
}

#[cfg(feature = "fault-points")]
pub(crate) use armed::with_next_migration;

#[cfg(not(feature = "fault-points"))]
use refinery::Runner;

#[cfg(feature = "fault-points")]
mod armed {
    use std::{
        path::PathBuf,
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        },
    };

    use refinery::{Migration, Runner};
    use rustix::process::{Signal, getpid, kill_process};

    use super::Point;

    /// What was asked for.
    struct Asked {
        point: String,
        /// How many passages are left, the one of the death included.
        left: AtomicU64,
        armed_by: PathBuf,
    }

    static ASKED: LazyLock<Option<Asked>> = LazyLock::new(|| {
        let asked = std::env::var("DIRECTLINK_DIES_AT").ok()?;
        let (place, armed_by) = asked.split_once('@')?;
        let (point, passage) = place.split_once(':')?;
        let left = AtomicU64::new(passage.parse().ok()?);
        Some(Asked { point: point.to_owned(), left, armed_by: armed_by.into() })
    });

    /// Has a migration besides, as the next version would, if a test has asked for it.
    pub(crate) fn with_next_migration(runner: Runner) -> Runner {
        let Some(file) = std::env::var_os("DIRECTLINK_NEXT_MIGRATION") else { return runner };
        let statements = std::fs::read_to_string(file).unwrap_or_default();
        let next = Migration::unapplied("V1000__next", &statements);
        let all: Vec<_> = runner.get_migrations().iter().cloned().chain(next).collect();
        Runner::new(&all)
    }

    /// Dies here, if a test has asked for it.
    pub fn point(point: Point) {
        let Some(asked) = &*ASKED else { return };
        if asked.point == format!("{point:?}")
            && asked.armed_by.exists()
            && asked.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // Nothing of this process runs once the call is made; it cannot fail for a process's own id.
            let _dead = kill_process(getpid(), Signal::KILL);
        }
    }
}
