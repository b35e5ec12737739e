//! The handle by which a test looks into a running registry and makes it fail.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use anyhow::ensure;
use proto::v1::{Application, CaseStatus};
use time::{Date, macros::offset};

use super::{
    Alteration, CaseView, Counts, Review, Shared, Step,
    evidence::Received,
    faults::{Call, Fault},
    listener::Listener,
};

/// Control over a running registry. Cheap to clone; of no use once the registry has ended.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
    listener: Arc<Listener>,
}

impl Control {
    pub(super) fn new(shared: Arc<Shared>, listener: Arc<Listener>) -> Self {
        Self { shared, listener }
    }

    /// Where the registry listens, or listened before it was taken down.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Orders faults, one for each of the coming calls of this kind, behind those ordered before.
    pub fn order(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        self.shared.books().orders.add(call, faults);
    }

    /// Takes back every fault that no call has met.
    pub fn clear_orders(&self) {
        self.shared.books().orders.clear();
    }

    /// Lets every call go on that meets [`Fault::Hold`] at this moment.
    pub fn release(&self) {
        self.shared.releases.send_replace(());
    }

    /// Makes one case take a step, and tells its status then.
    ///
    /// # Errors
    /// There is no such case, or it does not stand where the step begins.
    pub fn advance(&self, case_id: &str, step: Step) -> anyhow::Result<String> {
        let now = self.shared.now();
        let case = self.shared.change(|books| books.cases.advance(case_id, step, now))?;
        let status = case.outcome.unwrap_or_default().status();
        Ok(status.as_str_name().trim_start_matches("CASE_STATUS_").to_owned())
    }

    /// Lets days pass at the registry, and nowhere else, until it is that day there: what runs out, has run out.
    ///
    /// # Errors
    /// It is later already.
    pub fn go_on_to(&self, day: Date) -> anyhow::Result<()> {
        let today = self.shared.now().to_offset(offset!(+8)).date();
        ensure!(day >= today, "it is {today} already");
        let days = (day - today).whole_days();
        self.shared.days_passed.fetch_add(days, Ordering::Relaxed);
        Ok(())
    }

    /// From now on applications are entered so; those that are there stay as they are.
    pub fn review_so(&self, review: Review) {
        self.shared.change(|books| books.cases.review_so(review));
    }

    /// Waits until anything in the books changes after this is called.
    pub fn next_change(&self) -> impl Future<Output = ()> + use<> {
        let mut changes = self.shared.changes.subscribe();
        // The sender may be gone: then nothing ever changes, and the caller ends too.
        async move { drop(changes.changed().await) }
    }

    /// Makes every case take the step that stands where it begins, in order of submission, and tells how many did.
    pub fn advance_all(&self, step: Step) -> usize {
        let now = self.shared.now();
        self.shared.change(|books| {
            let waiting = books.cases.waiting_for(step);
            waiting.iter().filter(|case| books.cases.advance(case, step, now).is_ok()).count()
        })
    }

    /// Watchers are told of every case that it is in a state that it is not in; nothing changes.
    pub fn tell_wrongly(&self, status: CaseStatus) {
        let now = self.shared.now();
        self.shared.change(|books| books.cases.tell_wrongly(status, now));
    }

    /// Watchers are told once more of everything that they were told of.
    pub fn tell_again(&self) {
        let now = self.shared.now();
        self.shared.change(|books| books.cases.told.tell_again(now));
    }

    /// Watchers are told of a case under a key that no gateway ever sent.
    pub fn tell_of_a_stranger(&self) {
        let now = self.shared.now();
        self.shared.change(|books| books.cases.tell_of_a_stranger(now));
    }

    /// How often what happened.
    pub fn counts(&self) -> Counts {
        self.shared.books().cases.counts().clone()
    }

    /// All cases, in order of submission.
    pub fn cases(&self) -> Vec<CaseView> {
        self.shared.books().cases.views()
    }

    /// Alters a case by hand; nobody is told.
    ///
    /// # Errors
    /// There is no such case.
    pub fn alter(&self, case_id: &str, alteration: Alteration) -> anyhow::Result<()> {
        self.shared.books().cases.alter(case_id, alteration)
    }

    /// From now on the registry's account of what it enters has one party list filled from the other; or no longer.
    pub fn mix_up_parties(&self, mixes_up: bool) {
        self.shared.books().cases.mix_up_parties(mixes_up);
    }

    /// The last application it made a case of, as it came.
    pub fn last_application(&self) -> Option<Application> {
        self.shared.books().cases.last_application().cloned()
    }

    /// The last 10,000 calls, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.shared.books().log.calls()
    }

    /// Waits until the counts are as asked, and gives them. Waits for ever if they never are.
    pub async fn when(&self, mut holds: impl FnMut(&Counts) -> bool) -> Counts {
        let mut changes = self.shared.changes.subscribe();
        loop {
            {
                let books = self.shared.books();
                if holds(books.cases.counts()) {
                    return books.cases.counts().clone();
                }
            }
            // The sender lives as long as this handle.
            drop(changes.changed().await);
        }
    }

    /// Takes the registry down: it stops listening, and every connection is cut. Calls it is acting on are acted on.
    pub async fn down(&self) {
        self.listener.down().await;
    }

    /// Brings it up again at the same address, with all it knew.
    ///
    /// # Errors
    /// Somebody else took the address meanwhile.
    pub async fn up(&self) -> anyhow::Result<()> {
        self.listener.up().await
    }

    /// Takes the registry down and waits until it has finished what it was acting on. Calls it holds are released.
    pub async fn stop(&self) {
        self.down().await;
        self.release();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}
