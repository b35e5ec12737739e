//! Rows that wait are written together: one statement, so one transaction and one sync, for all of them.
//!
//! While a group is on its way the next one gathers; with few filings nobody waits. It decides nothing about what is written,
//! and a row that cannot be written spoils no other: the group is then undone as a whole, and each of its rows is written by
//! itself.

use std::{collections::HashSet, iter, mem, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_postgres::error::SqlState;

use super::LedgerError;

/// What is written in groups.
pub(super) trait Together: Send + Sync + 'static {
    /// What is to be written.
    type Row: Send + Sync + 'static;
    /// What is to be told of it.
    type Answer: Send + 'static;

    /// What it must not have in common with another row of its statement, which can change nothing twice.
    fn names(row: &Self::Row) -> Vec<(&str, &[u8])>;

    /// Writes rows in one statement, all of them or none; an answer for each, in their order.
    fn write(
        &self,
        rows: &[Self::Row],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, LedgerError>> + Send;
}

/// Takes rows and has them written. Dropped, it writes what waits, and ends.
pub(super) struct Writer<W: Together> {
    waiting: mpsc::Sender<Waiting<W>>,
}

struct Waiting<W: Together> {
    row: W::Row,
    reply: oneshot::Sender<Result<W::Answer, LedgerError>>,
}

/// More waiting rows than this are refused: whoever is behind them would have given up before their turn came.
const QUEUE_MAX: usize = 1_024;

/// Rows per statement at most: a group is joined with itself row by row.
const GROUP_MAX: usize = 128;

/// When the next group goes, however long this one takes: nobody is held up for longer by what others wait for.
const TURN_MAX: Duration = Duration::from_millis(100);

impl<W: Together> Writer<W> {
    /// Begins to take rows. Inside a runtime.
    pub(super) fn start(work: W) -> Self {
        let (waiting, rows) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write_groups(Arc::new(work), rows));
        Self { waiting }
    }

    /// Has a row written. If this is dropped, it is written nevertheless.
    pub(super) async fn run(&self, row: W::Row) -> Result<W::Answer, LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.waiting.try_send(Waiting { row, reply }).map_err(|refused| {
            LedgerError::unavailable(match refused {
                mpsc::error::TrySendError::Full(_) => Stuck::QueueFull,
                mpsc::error::TrySendError::Closed(_) => Stuck::Stopped,
            })
        })?;
        answer.await.unwrap_or_else(|_closed| Err(LedgerError::unavailable(Stuck::Stopped)))
    }
}

async fn write_groups<W: Together>(work: Arc<W>, mut rows: mpsc::Receiver<Waiting<W>>) {
    let mut waiting = Vec::new();
    while !waiting.is_empty() || rows.recv_many(&mut waiting, GROUP_MAX).await > 0 {
        while waiting.len() < GROUP_MAX
            && let Ok(row) = rows.try_recv()
        {
            waiting.push(row);
        }
        let group = take_group(&mut waiting);
        let written = tokio::spawn(write(Arc::clone(&work), group));
        let _written_or_not_yet = timeout(TURN_MAX, written).await;
    }
}

/// Takes the first rows that have no name in common; the others wait on.
fn take_group<W: Together>(waiting: &mut Vec<Waiting<W>>) -> Vec<Waiting<W>> {
    let mut taken = HashSet::new();
    let mut fits = Vec::with_capacity(waiting.len());
    for Waiting { row, .. } in &*waiting {
        let names = W::names(row);
        let free = !names.iter().any(|name| taken.contains(name));
        if free {
            taken.extend(names);
        }
        fits.push(free);
    }
    let mut fits = fits.into_iter();
    let (group, later) =
        mem::take(waiting).into_iter().partition(|_| fits.next().unwrap_or_default());
    *waiting = later;
    group
}

async fn write<W: Together>(work: Arc<W>, group: Vec<Waiting<W>>) {
    let (rows, replies): (Vec<_>, Vec<_>) =
        group.into_iter().map(|Waiting { row, reply }| (row, reply)).unzip();
    let answers: Vec<Result<W::Answer, LedgerError>> = match work.write(&rows).await {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if rows.len() == 1 => vec![Err(error)],
        Err(error) if is_of_a_row(&error) => {
            let alone = rows.chunks(1).map(|row| async {
                let answers = work.write(row).await?;
                let answer = answers.into_iter().next();
                answer.ok_or_else(|| LedgerError::corrupt("a row without an answer"))
            });
            join_all(alone).await
        }
        Err(LedgerError::Unavailable(cause)) => {
            let each = iter::repeat_with(|| Err(LedgerError::Unavailable(cause.clone())));
            each.take(rows.len()).collect()
        }
        Err(LedgerError::Corrupt(cause)) => {
            let each = iter::repeat_with(|| Err(LedgerError::Corrupt(cause.clone())));
            each.take(rows.len()).collect()
        }
    };
    for (reply, answer) in replies.into_iter().zip(answers) {
        let _nobody_waits_any_more = reply.send(answer);
    }
}

/// Whether a statement was refused, and thus undone, for what may be a single row's fault: a value that cannot be, a rule that
/// is broken, somebody's lock, others who did the same at the same moment. Source: postgresql.org, "PostgreSQL Error Codes".
fn is_of_a_row(error: &LedgerError) -> bool {
    const CLASSES: [&str; 4] = ["22", "23", "40", "55"];
    let code = code(error).map(SqlState::code);
    code.is_some_and(|code| CLASSES.iter().any(|class| code.starts_with(class)))
}

fn code(error: &LedgerError) -> Option<&SqlState> {
    let (LedgerError::Unavailable(cause) | LedgerError::Corrupt(cause)) = error;
    cause.downcast_ref::<tokio_postgres::Error>()?.code()
}

/// Why a row was not even tried.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    #[error("{QUEUE_MAX} calls are waiting for the ledger's server already")]
    QueueFull,
    #[error("the ledger's writer has ended")]
    Stopped,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;

    /// Tells how rows were grouped. Tells when it begins, and writes when it is let.
    struct Groups {
        written: Mutex<Vec<Vec<u8>>>,
        begun: Semaphore,
        lets: Semaphore,
    }

    fn groups() -> Arc<Groups> {
        let (begun, lets) = (Semaphore::new(0), Semaphore::new(0));
        Arc::new(Groups { written: Mutex::default(), begun, lets })
    }

    impl Together for Arc<Groups> {
        type Row = [u8; 1];
        type Answer = u8;

        fn names(row: &Self::Row) -> Vec<(&str, &[u8])> {
            vec![("bank", row.as_slice())]
        }

        async fn write(&self, rows: &[Self::Row]) -> Result<Vec<u8>, LedgerError> {
            self.begun.add_permits(1);
            self.lets.acquire().await.unwrap().forget();
            let rows: Vec<_> = rows.iter().map(|[row]| *row).collect();
            self.written.lock().unwrap().push(rows.clone());
            Ok(rows)
        }
    }

    #[tokio::test]
    async fn what_waits_is_one_group_and_namesakes_are_two() {
        let groups = groups();
        groups.lets.add_permits(2);
        let (waiting, rows) = mpsc::channel(QUEUE_MAX);
        let writer = Writer::<Arc<Groups>> { waiting };
        let (one, two, again, three, ()) = tokio::join!(
            writer.run([1]),
            writer.run([2]),
            writer.run([1]),
            writer.run([3]),
            // Polled last: by now all of them wait.
            async { drop(tokio::spawn(write_groups(Arc::new(Arc::clone(&groups)), rows))) },
        );
        assert_eq!([one, two, again, three].map(Result::unwrap), [1, 2, 1, 3]);
        assert_eq!(*groups.written.lock().unwrap(), [vec![1, 2, 3], vec![1]]);
    }

    #[tokio::test]
    async fn a_group_that_takes_long_holds_up_no_other() {
        let groups = groups();
        let writer = Writer::start(Arc::clone(&groups));
        let both_begun = timeout(Duration::from_secs(60), groups.begun.acquire_many(2));
        let (first, second, ()) = tokio::join!(writer.run([1]), writer.run([1]), async {
            both_begun.await.expect("the second began").unwrap().forget();
            groups.lets.add_permits(2);
        });
        assert_eq!((first.unwrap(), second.unwrap()), (1, 1));
    }
}
