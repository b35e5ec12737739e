//! Tells subscribers of events (通知) by itself: in order for each case, again until they are taken, parked once that has lasted
//! too long.
//!
//! Each subscriber is told on a task of its own, a turn at a time, which the ledger gives to one replica under a lease: none waits
//! for another. What a turn found is recorded at its end, so that whoever dies in it has told at most a turn's events that are
//! told again, under the same identifiers. Nothing is decided here about cases. Sources: docs/domain.md, "Telling the bank";
//! docs/decisions/0019.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use adapters::{Contract, Reply};
use arc_swap::ArcSwap;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{
    line::{Answer, Line, Notice, Way, Why},
    signature::Secrets,
    turn::{Fate, Manner},
    words::View,
};
use crate::{
    contracts::Contracts,
    exchange::Gateway,
    fault::{self, Point},
    ledger::{
        LedgerError,
        events::Event,
        notices::{Sight, Turn, Untold},
    },
    settings::{self, Institution, Problem},
    telemetry::{self, Later, LedgerVerb, Noticed, Peer, step},
    tls,
};

mod line;
mod reach;
mod signature;
mod turn;
mod words;

/// One that is told, and the way to it.
#[derive(Debug)]
pub struct Subscriber {
    settings: Arc<settings::Subscriber>,
    /// In whose words.
    contract: String,
    /// The contracts that keys of the institutions' filings were built by.
    built_by: BTreeMap<String, String>,
    secrets: ArcSwap<Secrets>,
    line: Line,
}

impl Subscriber {
    /// Reads every file that settings name, and connects to nobody.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn new(
        settings: Arc<settings::Subscriber>,
        institutions: &[Arc<Institution>],
        contracts: &Contracts,
    ) -> Result<Self, Vec<Problem>> {
        let contract_of = |id: &str| {
            let found = institutions.iter().find(|institution| institution.id == id);
            found.map(|institution| institution.contract.clone())
        };
        let own = settings.institution.as_deref().and_then(contract_of);
        let contract = settings.contract.clone().or(own).unwrap_or_default();
        let seen = settings.sees.iter().map(|sight| &sight.institution);
        let built_by = settings.institution.iter().chain(seen);
        let built_by = built_by.filter_map(|id| Some((id.clone(), contract_of(id)?))).collect();
        let mut problems = Vec::new();
        let mut wrong = |file, told: String| {
            let message = format!("subscriber `{}`: {told}", settings.name);
            problems.push(Problem { file, line: None, message });
        };
        let telling = contracts.telling(&contract, SystemTime::now());
        let way = telling.as_deref().and_then(|telling| {
            way(&settings, telling)
                .map_err(|told| wrong(contracts.file_of(&contract), told.to_owned()))
                .ok()
        });
        let identity = settings.certificate.as_deref().zip(settings.key.as_deref());
        let tls = tls::notice_config(&settings.ca, identity)
            .map_err(|error| wrong(error.file().to_owned(), error.to_string()))
            .ok();
        let secrets = Secrets::read(&settings.secret_files)
            .map_err(|(file, why)| wrong(file, format!("its secrets: {why}")))
            .ok();
        if let Some(telling) = &telling
            && settings.secret_files.is_empty()
            && settings.certificate.is_none()
            && !telling.needs_keys()
        {
            wrong(
                contracts.file_of(&contract),
                "expected `secret_files`, `certificate` or a contract that signs: else it cannot tell whose notices they are"
                    .to_owned(),
            );
        }
        // Settings were read with all of it.
        let address = settings.address.parse::<http::Uri>().unwrap_or_default();
        let host = address.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = settings.server_name.clone().unwrap_or_else(|| host.clone());
        let name = ServerName::try_from(name).ok();
        match (way, tls, secrets, name) {
            (Some(way), Some(tls), Some(secrets), Some(name)) if problems.is_empty() => {
                let port = address.port_u16().unwrap_or(HTTPS_PORT);
                let peer = Peer { name: settings.name.clone(), host: host.clone(), port };
                let line = Line {
                    host,
                    port,
                    way,
                    tls: Arc::new(tls),
                    name,
                    peer: Arc::new(peer),
                    networks: settings.networks.clone(),
                    answer_max: settings.answer_max,
                    idle: std::sync::Mutex::default(),
                };
                let secrets = ArcSwap::from_pointee(secrets);
                Ok(Self { settings, contract, built_by, secrets, line })
            }
            _ => Err(problems),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    fn sights(&self) -> Vec<Sight> {
        let own = self.settings.institution.iter().map(|id| (id, true));
        let others = self.settings.sees.iter().map(|sight| (&sight.institution, false));
        let sight = |(id, own): (&String, bool)| Sight { institution: id.clone(), own };
        own.chain(others).map(sight).collect()
    }

    /// Takes secrets that have changed on disk; what cannot be read leaves those before.
    async fn renew_secrets(&self) {
        if self.settings.secret_files.is_empty() {
            return;
        }
        let files = self.settings.secret_files.clone();
        match tokio::task::spawn_blocking(move || Secrets::read(&files)).await {
            Ok(Ok(secrets)) => self.secrets.store(Arc::new(secrets)),
            Ok(Err((file, why))) => tracing::error!(
                subscriber = self.name(),
                file = %file.display(),
                %why,
                "secrets of a subscriber cannot be read: signing with those before"
            ),
            Err(_stopping) => {}
        }
    }
}

const HTTPS_PORT: u16 = 443;

/// How a contract's notices travel to an address, if they can.
fn way(settings: &settings::Subscriber, contract: &Contract) -> Result<Way, &'static str> {
    if !contract.can_write(None, Reply::Notice) {
        return Err("no message of the contract has a `notice`");
    }
    let address = settings.address.parse::<http::Uri>().map_err(|_invalid| "no address")?;
    let wire = contract.wire();
    match (address.scheme_str(), wire.prefix) {
        (Some("tcp"), Some(prefix)) => return Ok(Way::Tcp(prefix)),
        (Some("tcp"), None) => {
            return Err("its messages have no length prefix: expected an address https://…");
        }
        (_, Some(_)) => {
            return Err("its messages are length-prefixed: expected an address tcp://…");
        }
        (_, None) => {}
    }
    let no_field = |_invalid| "what it is sent as cannot stand in a header field";
    let content_type = match &wire.http {
        Some(route) if route.whole.is_none() => route.content_type.as_str(),
        _ => "application/json",
    };
    let target = address.path_and_query().map_or("/", |target| target.as_str());
    Ok(Way::Https {
        target: target.parse().map_err(|_invalid| "no path")?,
        host: HeaderValue::from_str(address.authority().map_or("", |it| it.as_str()))
            .map_err(no_field)?,
        content_type: HeaderValue::from_str(content_type).map_err(no_field)?,
    })
}

/// Tells subscribers of events until `stop` is cancelled; what is being sent then is waited for.
///
/// Dropped in the middle, turns stay under their leases and are taken again once those have run out.
pub async fn tell(gateway: Arc<Gateway>, subscribers: Vec<Subscriber>, stop: CancellationToken) {
    if subscribers.is_empty() {
        return;
    }
    let longest = subscribers.iter().map(|it| it.settings.answer_max).max().unwrap_or_default();
    let subscribers: HashMap<String, Arc<Subscriber>> =
        subscribers.into_iter().map(|it| (it.name().to_owned(), Arc::new(it))).collect();
    while let Err(error) = subscribe(&gateway, &subscribers).await {
        failed(&error);
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(AFTER_FAILURE) => {}
        }
    }
    // What was begun in time may take as long as it may.
    let lease = gateway.lease.saturating_add(longest.saturating_mul(2));
    let mut busy = HashSet::new();
    let mut turns = JoinSet::new();
    let mut told_standings = Instant::now();
    standings(&gateway, &subscribers).await;
    while !stop.is_cancelled() {
        let idle: Vec<String> =
            subscribers.keys().filter(|name| !busy.contains(*name)).cloned().collect();
        let claimed = gateway.ledger.claim_turns(&idle, u32::MAX, lease);
        let mut rest = LOOK_EVERY;
        match gateway.timed(LedgerVerb::ClaimTurns, claimed).await {
            Ok(claimed) => {
                for turn in claimed {
                    let Some(subscriber) = subscribers.get(&turn.subscriber) else { continue };
                    busy.insert(turn.subscriber.clone());
                    let teller = Teller {
                        gateway: Arc::clone(&gateway),
                        subscriber: Arc::clone(subscriber),
                        until: Instant::now() + gateway.lease,
                        stop: stop.clone(),
                    };
                    turns.spawn(async move {
                        teller.take(&turn).await;
                        turn.subscriber
                    });
                }
            }
            Err(error) => {
                failed(&error);
                rest = AFTER_FAILURE;
            }
        }
        if told_standings.elapsed() >= STANDINGS_EVERY {
            told_standings = Instant::now();
            standings(&gateway, &subscribers).await;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(rest) => {}
            Some(Ok(ended)) = turns.join_next(), if !turns.is_empty() => drop(busy.remove(&ended)),
        }
    }
    while turns.join_next().await.is_some() {}
}

/// How often it is looked whose turn has come.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a ledger that failed is left alone.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How often metrics tell how subscribers stand.
const STANDINGS_EVERY: Duration = Duration::from_secs(5);

async fn subscribe(
    gateway: &Gateway,
    subscribers: &HashMap<String, Arc<Subscriber>>,
) -> Result<(), LedgerError> {
    for subscriber in subscribers.values() {
        let sights = subscriber.sights();
        let known = gateway.ledger.subscribe(subscriber.name(), &sights);
        gateway.timed(LedgerVerb::Subscribe, known).await?;
    }
    Ok(())
}

/// Tells metrics how those stand that settings name; the ledger remembers others too.
async fn standings(gateway: &Gateway, subscribers: &HashMap<String, Arc<Subscriber>>) {
    let standings = gateway.timed(LedgerVerb::Standings, gateway.ledger.standings()).await;
    match standings {
        Ok(standings) => standings
            .iter()
            .filter(|it| subscribers.contains_key(&it.subscriber))
            .for_each(|it| gateway.metrics.standing(it)),
        Err(error) => failed(&error),
    }
}

fn failed(error: &LedgerError) {
    let error = error as &dyn std::error::Error;
    tracing::error!(error, "telling subscribers cannot use the ledger");
}

/// One turn of one subscriber.
struct Teller {
    gateway: Arc<Gateway>,
    subscriber: Arc<Subscriber>,
    /// Nothing is begun after that.
    until: Instant,
    stop: CancellationToken,
}

/// Events of a turn.
const TURN_EVENTS_MAX: u32 = 100;

/// Events that are parked at a time.
const PARKED_AT_A_TIME: u32 = 500;

impl Teller {
    /// A future of a named type: the compiler cannot tell otherwise that it may be sent.
    fn take<'t>(&'t self, turn: &'t Turn) -> BoxFuture<'t, ()> {
        async move {
            fault::point(Point::TurnTaken);
            self.subscriber.renew_secrets().await;
            if let Err(error) = self.play(turn).await {
                failed(&error);
            }
        }
        .boxed()
    }

    async fn play(&self, turn: &Turn) -> Result<(), LedgerError> {
        let (settings, ledger) = (&self.subscriber.settings, &self.gateway.ledger);
        let name = self.subscriber.name();
        // Whoever was away is asked with one event whether it is back.
        let probes = turn.failures > 0;
        let limit = if probes { 1 } else { TURN_EVENTS_MAX };
        let floor = Floor::default();
        let again = ledger.due_again(name, limit);
        let again = self.gateway.timed(LedgerVerb::DueAgain, again).await?;
        let mut again = self.tell(again, &floor).await;
        let mut new = Vec::new();
        let is_full = turn.waiting >= u64::from(settings.passed_over_max);
        if floor.is_open() && !is_full && (again.is_empty() || !probes) {
            let untold = ledger.untold(name, limit);
            let mut untold = self.gateway.timed(LedgerVerb::Untold, untold).await?;
            if probes {
                untold.truncate(1);
            }
            new = self.tell(untold, &floor).await;
        }
        let answered = |(_, fate): &(Untold, Fate)| matches!(fate, Fate::Told | Fate::NotTaken);
        let otherwise = match again.iter().chain(&new).any(answered) {
            true => Manner::There,
            false if is_full => Manner::Full,
            false => Manner::Unasked,
        };
        let manner = floor.manner(otherwise);
        if let Manner::Away(_) = manner
            && turn.failing_for >= settings.park
        {
            (again, new) = self.parked(turn).await?;
        }
        let end = turn::end(settings, turn, manner, &again, &new);
        self.report(turn, &end);
        let ended = ledger.end_turn(turn, &end);
        if !self.gateway.timed(LedgerVerb::EndTurn, ended).await? {
            tracing::warn!(
                subscriber = name,
                "a turn lasted longer than its lease: its events may be told twice"
            );
        }
        fault::point(Point::TurnRecorded);
        Ok(())
    }

    /// What a subscriber that has been away for too long will not be told by itself any more.
    async fn parked(
        &self,
        turn: &Turn,
    ) -> Result<(Vec<(Untold, Fate)>, Vec<(Untold, Fate)>), LedgerError> {
        let (settings, ledger) = (&self.subscriber.settings, &self.gateway.ledger);
        let fate = |untold: Untold| {
            let fate = match View::of(settings, &untold) {
                None => Fate::Unseen,
                Some(_) if untold.age >= settings.park => Fate::Parked,
                Some(_) => Fate::Open,
            };
            (untold, fate)
        };
        let again = ledger.due_again(&turn.subscriber, PARKED_AT_A_TIME);
        let again = self.gateway.timed(LedgerVerb::DueAgain, again).await?;
        let new = ledger.untold(&turn.subscriber, PARKED_AT_A_TIME);
        let new = self.gateway.timed(LedgerVerb::Untold, new).await?;
        // Old ones come first: whatever comes after one that is open stays where it is.
        let mut open = HashSet::new();
        let new = new.into_iter().map(fate).map(|(untold, fate)| {
            let institution = &untold.event.institution;
            if fate == Fate::Open {
                open.insert(institution.clone());
            }
            let fate = if open.contains(institution) { Fate::Open } else { fate };
            (untold, fate)
        });
        let new = new.collect();
        Ok((again.into_iter().map(fate).collect(), new))
    }

    /// Tells events, those of one case in order, those of several cases side by side.
    async fn tell(&self, untold: Vec<Untold>, floor: &Floor) -> Vec<(Untold, Fate)> {
        let mut cases: HashMap<(String, String), Vec<usize>> = HashMap::new();
        for (number, it) in untold.iter().enumerate() {
            let case = (it.event.institution.clone(), it.event.key.clone());
            cases.entry(case).or_default().push(number);
        }
        let mut rows: Vec<Vec<usize>> = cases.into_values().collect();
        rows.sort_unstable();
        let told = stream::iter(rows)
            .map(|row| self.tell_case(&untold, row, floor))
            .buffer_unordered(self.subscriber.settings.cases_max)
            .collect::<Vec<_>>()
            .await;
        let mut fates = vec![Fate::Open; untold.len()];
        for (number, fate) in told.into_iter().flatten() {
            if let Some(place) = fates.get_mut(number) {
                *place = fate;
            }
        }
        untold.into_iter().zip(fates).collect()
    }

    async fn tell_case(
        &self,
        untold: &[Untold],
        row: Vec<usize>,
        floor: &Floor,
    ) -> Vec<(usize, Fate)> {
        let mut fates = Vec::with_capacity(row.len());
        let mut is_kept = false;
        for number in row {
            let Some(it) = untold.get(number) else { continue };
            let fate = match View::of(&self.subscriber.settings, it) {
                None => Fate::Unseen,
                Some(_) if is_kept || it.behind => Fate::Behind,
                Some(_) if !self.goes_on(floor) => Fate::Open,
                Some(view) => {
                    let event = (it.event.institution.as_str(), it.event.key.as_str());
                    let telling = self.tell_one(view, it, floor);
                    telemetry::later(Later::Notice, event.0, event.1, telling, Fate::trouble).await
                }
            };
            is_kept |= fate == Fate::NotTaken;
            fates.push((number, fate));
            if fate == Fate::Open {
                break;
            }
        }
        fates
    }

    fn goes_on(&self, floor: &Floor) -> bool {
        floor.is_open() && Instant::now() < self.until && !self.stop.is_cancelled()
    }

    async fn tell_one(&self, view: View<'_>, untold: &Untold, floor: &Floor) -> Fate {
        let (subscriber, event) = (self.subscriber.name(), &untold.event);
        let id = view.id(&self.subscriber.settings, event);
        let Some(contract) =
            self.gateway.contracts.telling(&self.subscriber.contract, SystemTime::now())
        else {
            return Fate::NotTaken;
        };
        let notice = match self.notice(&contract, view, &id, event) {
            Ok(notice) => notice,
            Err(cannot) => {
                let (field, reason) = (cannot.field, cannot.reason);
                tracing::error!(
                    subscriber,
                    event = id,
                    field,
                    reason,
                    "a notice cannot be written"
                );
                self.gateway.metrics.noticed(subscriber, Noticed::Unwritten);
                return Fate::NotTaken;
            }
        };
        let sending = self.subscriber.line.send(&notice);
        let sent = step(self.subscriber.line.step()).judged(sending, Answer::trouble).await;
        let (fate, noticed) = match sent {
            Answer::Said(answer) if words::acknowledges(&contract, &id, &answer) => {
                fault::point(Point::NoticeTaken);
                (Fate::Told, Noticed::Delivered)
            }
            Answer::Said(_) => {
                tracing::warn!(subscriber, event = id, "a notice was not acknowledged as agreed");
                (Fate::NotTaken, Noticed::NotTaken)
            }
            Answer::NotTaken(status) => {
                let status = status.as_u16();
                tracing::warn!(subscriber, event = id, status, "a notice was not taken");
                (Fate::NotTaken, Noticed::NotTaken)
            }
            Answer::Away(why, come_again) => {
                let noticed = match why {
                    Why::NotAllowed => Noticed::NotAllowed,
                    Why::NotConnected(_)
                    | Why::NoAnswer(_)
                    | Why::TooSlow(_)
                    | Why::TooLong
                    | Why::Says(_) => Noticed::Away,
                };
                let why = &why as &dyn std::error::Error;
                tracing::warn!(
                    subscriber,
                    event = id,
                    why,
                    "a subscriber takes no notices just now"
                );
                floor.close(Manner::Away(come_again));
                (Fate::Open, noticed)
            }
            Answer::Gone => {
                floor.close(Manner::Gone);
                (Fate::Open, Noticed::Gone)
            }
        };
        self.gateway.metrics.noticed(subscriber, noticed);
        fate
    }

    fn notice(
        &self,
        contract: &Contract,
        view: View<'_>,
        id: &str,
        event: &Event,
    ) -> Result<Notice, adapters::CannotWrite> {
        let now = SystemTime::now();
        let built_by = self.subscriber.built_by.get(&event.institution);
        let built_by = built_by.and_then(|name| self.gateway.contracts.telling(name, now));
        let original = built_by.and_then(|contract| contract.original_of(&event.key));
        let bytes = words::written(contract, view, id.to_owned(), event, original)?;
        let secrets = self.subscriber.secrets.load();
        let mut headers = Vec::new();
        if !secrets.is_empty() {
            let sent_at = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let fields = [
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", sent_at.to_string()),
                ("webhook-signature", secrets.sign(id, sent_at, &bytes)),
            ];
            // Digits, letters, Base64: each can stand in a header field.
            headers.extend(
                fields.into_iter().filter_map(|(name, it)| Some((name, it.try_into().ok()?))),
            );
        }
        Ok(Notice { bytes: bytes.into(), headers })
    }

    /// Tells operators what they have to see to.
    fn report(&self, turn: &Turn, end: &crate::ledger::notices::TurnEnd) {
        let subscriber = self.subscriber.name();
        let parked = end.passed_over.iter().filter(|it| it.parked).count();
        if parked > 0 {
            tracing::error!(
                subscriber,
                parked,
                "notices are parked: an operator has to have them sent"
            );
            self.gateway.metrics.parked(subscriber, u64::try_from(parked).unwrap_or(u64::MAX));
        }
        if end.ended {
            tracing::error!(
                subscriber,
                "a subscriber wants no more notices: an operator has to resume it"
            );
        }
        if turn.failures > 0 && end.failures == 0 && !end.ended {
            tracing::info!(subscriber, "a subscriber takes notices again");
        }
    }
}

/// Whether anything more may be sent in a turn.
#[derive(Debug, Default)]
struct Floor {
    is_closed: AtomicBool,
    why: std::sync::Mutex<Option<Manner>>,
}

impl Floor {
    fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Relaxed)
    }

    /// The first who closes it says why, unless a later one says that it is for good.
    fn close(&self, manner: Manner) {
        self.is_closed.store(true, Ordering::Relaxed);
        let mut why = self.why.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if why.is_none() || manner == Manner::Gone {
            *why = Some(manner);
        }
    }

    /// Why it was closed, or else what is to be thought.
    fn manner(&self, otherwise: Manner) -> Manner {
        self.why.lock().unwrap_or_else(std::sync::PoisonError::into_inner).unwrap_or(otherwise)
    }
}
