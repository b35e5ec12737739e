//! A thread that owns a connection. The one that writes takes whatever is waiting and does it in one transaction.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Fault, cause};
use crate::{
    fault::{self, Point},
    ledger::LedgerError,
};

/// Something to do with the database, then something to tell once it is known whether it lasts.
pub(super) type Job = Box<dyn FnOnce(Result<&Connection, Cause>) -> Answer + Send>;
pub(super) type Answer = Box<dyn FnOnce(Result<(), Cause>) + Send>;

/// Why a whole group came to nothing; each of its jobs is told.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// A thread that owns a connection and does one job after another.
pub(super) struct Worker {
    /// `None` only while it is being dropped.
    pub(super) jobs: Option<mpsc::Sender<Job>>,
    pub(super) thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(
        name: &str,
        work: impl FnOnce(mpsc::Receiver<Job>) + Send + 'static,
    ) -> Result<Worker, LedgerError> {
        let (jobs, waiting) = mpsc::channel(QUEUE_MAX);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(waiting))
            .map_err(LedgerError::unavailable)?;
        Ok(Worker { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has `verb` carried out. If this is dropped, it is carried out nevertheless.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |database| {
            let result = database.map_err(LedgerError::unavailable).and_then(verb);
            Box::new(move |lasting| {
                let result = lasting.map_err(LedgerError::unavailable).and(result);
                let _nobody_waits_any_more = reply.send(result);
            })
        });
        let jobs = self.jobs.as_ref().ok_or_else(|| LedgerError::unavailable(Fault::Stopped))?;
        jobs.try_send(job).map_err(|refused| {
            LedgerError::unavailable(match refused {
                mpsc::error::TrySendError::Full(_) => Fault::QueueFull,
                mpsc::error::TrySendError::Closed(_) => Fault::Stopped,
            })
        })?;
        answer.await.unwrap_or_else(|_closed| Err(LedgerError::unavailable(Fault::Stopped)))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// More waiting jobs than this, some seconds' worth, are refused: whoever is behind them would have
/// given up before their turn came.
pub(super) const QUEUE_MAX: usize = 1_024;

/// Jobs per transaction at most, so that the first of a group does not wait long for the last.
const GROUP_MAX: usize = 256;

/// So many jobs in one group mean that many filings are on their way: a moment later more of them wait,
/// and share the sync.
const CROWD: usize = 8;

/// That moment. Less than a sync takes on most disks; with few filings nobody ever waits it.
const GATHERING: Duration = Duration::from_millis(1);

/// Does one job after another, each by itself, until nobody can ask any more.
pub(super) fn answer_each(database: &Connection, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        job(Ok(database))(Ok(()));
    }
}

/// Carries out what waits in groups, until nobody can ask any more; `commits` counts the groups that last.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread is the writer's own; nothing else runs on it"
)]
pub(super) fn commit_groups(
    database: &Connection,
    mut jobs: mpsc::Receiver<Job>,
    commits: &AtomicU64,
) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut before = 0;
    while jobs.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        if before >= CROWD && group.len() < before {
            thread::sleep(GATHERING);
            while group.len() < GROUP_MAX
                && let Ok(job) = jobs.try_recv()
            {
                group.push(job);
            }
        }
        before = group.len();
        commit(database, &mut group, commits);
    }
}

/// Carries out a group in one transaction. What fails changes nothing, each job being at most one
/// statement that writes or a savepoint, and does not spoil the others; a transaction that fails spoils all.
fn commit(database: &Connection, group: &mut Vec<Job>, commits: &AtomicU64) {
    let mut open = database.execute_batch("BEGIN IMMEDIATE").map_err(cause);
    let mut answers = Vec::with_capacity(group.len());
    for job in group.drain(..) {
        answers.push(job(open.as_ref().map(|()| database).map_err(Arc::clone)));
        // A full disk and its like end the transaction; a statement now would stand by itself.
        if open.is_ok() && database.is_autocommit() {
            open = Err(Arc::new(Fault::RolledBack));
        }
    }
    fault::point(Point::BeforeCommit);
    let lasting = open.and_then(|()| database.execute_batch("COMMIT").map_err(cause));
    fault::point(Point::Committed);
    if lasting.is_err() && !database.is_autocommit() {
        // Should this fail too, the next BEGIN does, and every job is told.
        let _still_open = database.execute_batch("ROLLBACK");
    }
    if lasting.is_ok() {
        commits.fetch_add(1, Ordering::Relaxed);
    }
    for answer in answers {
        answer(lasting.clone());
    }
}
