//! What goes wrong during a soak: one thing after another, in three rows at once, so that a process may be killed while the
//! network to the registry is down and subscribers take nothing.

use std::{collections::BTreeSet, fmt, path::Path, str::FromStr, time::Duration};

use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Order, told::Audience};
use crate::{
    deployment::{Deployment, Gateway},
    faulty_network::{Condition, FaultyNetwork},
    history::{Line, Writer},
    postgres_server::PostgresServer,
    receiver::Manner,
    reference_registry::{Call, Control, Fault as RegistryFault, Review, Silence},
    scenario::StoreKind,
};

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A gateway is killed (SIGKILL) and started again.
    Kill,
    /// A gateway is told to stop (SIGTERM) and started again.
    Restart,
    /// The registry is late, silent, unavailable, or drops what it was sent, before or after it acts.
    Registry,
    /// Nobody can connect to the registry.
    RegistryDown,
    /// The network to the registry is cut, reset after a send, half open, deaf or slow.
    Network,
    /// The network to Postgres is.
    LedgerNetwork,
    /// Postgres stops and starts again.
    Postgres,
    /// Banks that subscribe take no notices, want them later, or hang up.
    Subscribers,
}

/// To what it is done; one thing after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Gateways and the ledger.
    Inside,
    /// The registry, and what leads there.
    Registry,
    /// Those who are told.
    Subscribers,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Kill,
        Self::Restart,
        Self::Registry,
        Self::RegistryDown,
        Self::Network,
        Self::LedgerNetwork,
        Self::Postgres,
        Self::Subscribers,
    ];

    /// Whether it can happen with this store.
    pub fn concerns(self, store: StoreKind) -> bool {
        match self {
            Self::Kill
            | Self::Restart
            | Self::Registry
            | Self::RegistryDown
            | Self::Network
            | Self::Subscribers => true,
            Self::LedgerNetwork | Self::Postgres => store == StoreKind::Postgres,
        }
    }

    fn row(self) -> Row {
        match self {
            Self::Kill | Self::Restart | Self::LedgerNetwork | Self::Postgres => Row::Inside,
            Self::Registry | Self::RegistryDown | Self::Network => Row::Registry,
            Self::Subscribers => Row::Subscribers,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Registry => "registry",
            Self::RegistryDown => "registry-down",
            Self::Network => "network",
            Self::LedgerNetwork => "ledger-network",
            Self::Postgres => "postgres",
            Self::Subscribers => "subscribers",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.with_context(|| {
            let names = Self::ALL.map(Self::name);
            format!("one of {}", names.join(", "))
        })
    }
}

/// All that can go wrong.
pub(super) struct System {
    deployment: Deployment,
    to_registry: FaultyNetwork,
    postgres: Option<(PostgresServer, FaultyNetwork)>,
    audience: Audience,
}

impl System {
    pub(super) fn new(
        deployment: Deployment,
        to_registry: FaultyNetwork,
        postgres: Option<(PostgresServer, FaultyNetwork)>,
        audience: Audience,
    ) -> Self {
        Self { deployment, to_registry, postgres, audience }
    }

    pub(super) fn audience(&self) -> &Audience {
        &self.audience
    }

    pub(super) fn registry(&self) -> &Control {
        self.deployment.registry.control()
    }

    pub(super) fn folder(&self) -> &Path {
        self.deployment.folder()
    }

    pub(super) fn gateways(&self) -> &[Gateway] {
        &self.deployment.gateways
    }

    /// Lets things go wrong until `calm` is cancelled; what was begun then is ended.
    pub(super) async fn trouble(
        &mut self,
        order: &Order,
        history: &Writer,
        calm: &CancellationToken,
    ) -> anyhow::Result<()> {
        let possible = |row: Row| {
            let faults = order.faults.iter().copied();
            let fits = |fault: &Fault| fault.concerns(order.store) && fault.row() == row;
            faults.filter(fits).collect::<BTreeSet<_>>()
        };
        let Self { deployment, to_registry, postgres, audience } = self;
        let audience = &*audience;
        let control = deployment.registry.control().clone();
        let mut inside = Inside { gateways: &mut deployment.gateways, postgres };
        let reviewers = review(control.clone(), StdRng::seed_from_u64(order.seed ^ 3), calm);
        let outside = Outside { control, to_registry };
        let seed = order.seed;
        let rows = tokio::try_join!(
            row(
                StdRng::seed_from_u64(seed ^ 1),
                possible(Row::Inside),
                history,
                calm,
                async |fault, rng, note| { inside.suffer(fault, rng, note).await }
            ),
            row(
                StdRng::seed_from_u64(seed ^ 2),
                possible(Row::Registry),
                history,
                calm,
                async |fault, rng, note| { outside.suffer(fault, rng, note).await }
            ),
            row(
                StdRng::seed_from_u64(seed ^ 5),
                possible(Row::Subscribers),
                history,
                calm,
                async |_, rng, note| take_nothing(audience, rng, note).await
            ),
            async {
                reviewers.await;
                Ok(())
            },
        );
        rows.map(drop)
    }

    /// Brings everything back.
    pub(super) async fn calm(&mut self) -> anyhow::Result<()> {
        self.to_registry.turn(Condition::Sound);
        self.audience.answer(Manner::Takes);
        let control = self.registry();
        control.clear_orders();
        control.release();
        // It is an error where it is up already.
        let _up = control.up().await;
        if let Some((_, network)) = &self.postgres {
            network.turn(Condition::Sound);
        }
        for gateway in &mut self.deployment.gateways {
            if gateway.process_id().is_none() {
                start(gateway).await?;
            }
        }
        Ok(())
    }

    /// Waits until the resolver has nothing to ask any more, as far as one can see from the registry: no question came for
    /// some seconds.
    pub(super) async fn wait_until_asked(&self, time_max: Duration) {
        const QUIET: Duration = Duration::from_secs(4);
        let deadline = Instant::now() + time_max;
        let mut passed = self.to_registry.passed();
        while Instant::now() < deadline {
            let more = self.to_registry.when_passed(|now| *now != passed);
            match timeout(QUIET, more).await {
                Ok(now) => passed = now,
                Err(_quiet) => return,
            }
        }
    }

    /// Stops the gateways in order.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        for gateway in &mut self.deployment.gateways {
            gateway.tell_to_stop().await?;
            let status = gateway.stopped().await?;
            if !status.success() {
                bail!("a gateway ended with {status}:\n{}", gateway.log_text());
            }
        }
        Ok(())
    }
}

type Note<'n> = &'n dyn Fn(String) -> anyhow::Result<()>;

/// One fault after another, with a pause between them.
async fn row(
    mut rng: StdRng,
    faults: BTreeSet<Fault>,
    history: &Writer,
    calm: &CancellationToken,
    mut suffer: impl AsyncFnMut(Fault, &mut StdRng, Note<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let faults: Vec<_> = faults.into_iter().collect();
    let note = |what: String| history.write(&Line::Trouble { what });
    while let Some(fault) = faults.choose(&mut rng) {
        let pause = milliseconds(&mut rng, 100, 800);
        tokio::select! {
            () = calm.cancelled() => break,
            () = sleep(pause) => {}
        }
        suffer(*fault, &mut rng, &note).await?;
    }
    Ok(())
}

/// For a while applications are entered at once, for a while by reviewers who take their time; until calm all is entered at
/// once.
async fn review(control: Control, mut rng: StdRng, calm: &CancellationToken) {
    while !calm.is_cancelled() {
        control.review_so(match rng.random_bool(0.5) {
            true => Review::AtOnce,
            false => Review::Slowly { ms: rng.random_range(20..600) },
        });
        tokio::select! {
            () = calm.cancelled() => {}
            () = sleep(milliseconds(&mut rng, 200, 1_500)) => {}
        }
    }
    control.review_so(Review::AtOnce);
}

/// Starts a gateway as whoever looks after it would: once more, should it end because the ledger was not there in time.
async fn start(gateway: &mut Gateway) -> anyhow::Result<()> {
    for _ in 1..STARTS_MAX {
        if gateway.start().await.is_ok() {
            return Ok(());
        }
    }
    gateway.start().await
}

const STARTS_MAX: u32 = 10;

fn milliseconds(rng: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..to))
}

/// The gateways and the ledger.
struct Inside<'s> {
    gateways: &'s mut Vec<Gateway>,
    postgres: &'s mut Option<(PostgresServer, FaultyNetwork)>,
}

impl Inside<'_> {
    async fn suffer(
        &mut self,
        fault: Fault,
        rng: &mut StdRng,
        note: Note<'_>,
    ) -> anyhow::Result<()> {
        let number = rng.random_range(0..self.gateways.len());
        let gateway = self.gateways.get_mut(number).context("no gateway")?;
        match (fault, &mut self.postgres) {
            (Fault::Kill, _) => {
                note(format!("kill gateway {number}"))?;
                gateway.kill().await?;
                sleep(milliseconds(rng, 0, 400)).await;
                start(gateway).await
            }
            (Fault::Restart, _) => {
                note(format!("stop gateway {number}"))?;
                gateway.tell_to_stop().await?;
                gateway.stopped().await?;
                start(gateway).await
            }
            (Fault::LedgerNetwork, Some((_, network))) => fail(network, "ledger", rng, note).await,
            (Fault::Postgres, Some((server, _))) => {
                note("stop postgres".to_owned())?;
                tokio::task::block_in_place(|| server.stop())?;
                sleep(milliseconds(rng, 0, 1_000)).await;
                tokio::task::block_in_place(|| server.start_again())
            }
            (Fault::LedgerNetwork | Fault::Postgres, None)
            | (Fault::Registry | Fault::RegistryDown | Fault::Network | Fault::Subscribers, _) => {
                Ok(())
            }
        }
    }
}

/// The registry and the network to it.
struct Outside<'s> {
    control: Control,
    to_registry: &'s FaultyNetwork,
}

impl Outside<'_> {
    async fn suffer(&self, fault: Fault, rng: &mut StdRng, note: Note<'_>) -> anyhow::Result<()> {
        match fault {
            Fault::Registry => {
                for _ in 0..rng.random_range(1..12) {
                    let call = if rng.random_bool(0.8) { Call::Submit } else { Call::GetCase };
                    let fault = registry_fault(rng);
                    note(format!("registry: {call:?} {fault:?}"))?;
                    self.control.order(call, [fault]);
                }
                Ok(())
            }
            Fault::RegistryDown => {
                note("registry down".to_owned())?;
                self.control.down().await;
                sleep(milliseconds(rng, 100, 2_500)).await;
                self.control.up().await
            }
            Fault::Network => fail(self.to_registry, "registry", rng, note).await,
            Fault::Kill
            | Fault::Restart
            | Fault::LedgerNetwork
            | Fault::Postgres
            | Fault::Subscribers => Ok(()),
        }
    }
}

/// For a while those who subscribe do not take what they are told, or do not say so.
async fn take_nothing(audience: &Audience, rng: &mut StdRng, note: Note<'_>) -> anyhow::Result<()> {
    let says = |status, retry_after| Manner::Says { status, retry_after, only: None };
    let manner = match rng.random_range(0..6) {
        0 | 1 => says(500, None),
        2 => says(503, Some(1)),
        3 => says(429, Some(2)),
        4 => Manner::Silent,
        _ => Manner::Cuts,
    };
    note(format!("subscribers: {manner:?}"))?;
    audience.answer(manner);
    sleep(milliseconds(rng, 50, 800)).await;
    audience.answer(Manner::Takes);
    Ok(())
}

fn registry_fault(rng: &mut StdRng) -> RegistryFault {
    let how = if rng.random_bool(0.5) { Silence::Close } else { Silence::Never };
    // Often longer than the gateway waits, and than the resolver waits to ask: it acts when everybody has given up.
    let ms = rng.random_range(0..8_000);
    match rng.random_range(0..6) {
        0 | 1 => RegistryFault::Delay { ms },
        2 => RegistryFault::DelayAfterCommit { ms },
        3 => RegistryFault::DropBeforeCommit { how },
        4 => RegistryFault::DropAfterCommit { how },
        _ => RegistryFault::Unavailable,
    }
}

async fn fail(
    network: &FaultyNetwork,
    name: &str,
    rng: &mut StdRng,
    note: Note<'_>,
) -> anyhow::Result<()> {
    let condition = match rng.random_range(0..6) {
        0 => Condition::Cut,
        1 => Condition::HalfOpen,
        2 => Condition::Deaf,
        3 => Condition::Slow(milliseconds(rng, 5, 300)),
        _ => Condition::CutAfter(rng.random_range(1..20_000)),
    };
    note(format!("network to the {name}: {condition:?}"))?;
    network.turn(condition);
    sleep(milliseconds(rng, 100, 2_500)).await;
    network.turn(Condition::Sound);
    // What was held up is either late now, or never comes.
    if rng.random_bool(0.5) {
        network.reset();
    }
    Ok(())
}
