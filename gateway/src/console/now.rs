//! What is going on now: counts of the last minute beside those since the start, by institution and registry, and how long
//! things take. From the metrics of this process; other replicas have their own.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::case::ago;
use crate::{
    exchange::{ANSWERS, Gateway},
    ledger::{Unknown, cases::Counted},
    settings::Settings,
    telemetry::Reading,
};

/// Over how long "now" is.
const LATELY: Duration = Duration::from_secs(60);

/// Readings of the last minute, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past(Mutex<VecDeque<(Instant, Vec<Reading>)>>);

impl Past {
    /// Keeps a reading, and forgets those that are older than a minute but for the newest of them.
    pub(super) fn note(&self, readings: Vec<Reading>) {
        let now = Instant::now();
        let mut past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        past.push_back((now, readings));
        while past.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= LATELY) {
            past.pop_front();
        }
    }

    /// What stood a minute ago, or at the start.
    fn before(&self) -> Vec<Reading> {
        let past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        past.front().map(|(_, readings)| readings.clone()).unwrap_or_default()
    }
}

/// What was filed for one office lately, over all replicas.
#[derive(Debug, Serialize)]
pub(super) struct AtOffice {
    pub(super) registry: String,
    pub(super) code: String,
    name: String,
    filings: u64,
    answered: u64,
    unknown: u64,
    /// Provably nothing was sent.
    unsent: u64,
    /// How long the first answer took on average, and at most.
    pub(super) mean_ms: Option<i64>,
    longest_ms: Option<i64>,
    /// Whether answers take long: the average is over [`SLOW_MS`].
    pub(super) is_slow: bool,
}

impl AtOffice {
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Whether nothing that was to be sent got there.
    pub(super) fn is_down(&self) -> bool {
        self.unsent > 0 && self.answered == 0 && self.unknown == 0
    }

    /// Of 100 filings that were to be sent, how many were answered.
    pub(super) fn available(&self) -> Option<u64> {
        let tried = self.answered.saturating_add(self.unknown).saturating_add(self.unsent);
        self.answered.saturating_mul(100).checked_div(tried)
    }
}

/// From then on an office is called slow.
const SLOW_MS: i64 = 1_000;

/// Over how long offices are counted: their filings are fewer than messages.
const OFFICES_LATELY: Duration = Duration::from_secs(15 * 60);

/// How long an institution's filings took lately, over all replicas.
#[derive(Debug, Default, Serialize)]
pub(super) struct Took {
    filings: u64,
    mean_ms: Option<i64>,
    longest_ms: Option<i64>,
}

/// What was filed lately, by office and by institution.
#[derive(Debug, Default)]
pub(super) struct Lately {
    pub(super) offices: Vec<AtOffice>,
    /// By institution's id.
    pub(super) institutions: BTreeMap<String, Took>,
}

/// What was filed lately; nothing, if the ledger does not say.
pub(super) async fn lately(gateway: &Gateway) -> Lately {
    let counted = gateway.ledger.counted(ago(OFFICES_LATELY)).await.unwrap_or_default();
    let known = gateway.directory();
    let offices = known.route.offices();
    let name = |code: &str| offices.iter().find(|it| it.code == code).map(|it| it.name.clone());
    let mut by_office: BTreeMap<(&str, &str), Vec<&Counted>> = BTreeMap::new();
    let mut by_institution: BTreeMap<&str, Vec<&Counted>> = BTreeMap::new();
    for it in &counted {
        by_office.entry((&it.registry, &it.office)).or_default().push(it);
        by_institution.entry(&it.institution).or_default().push(it);
    }
    let at_office = |((registry, code), all): ((&str, &str), Vec<&Counted>)| {
        let (mean_ms, longest_ms) = took_of(&all);
        let sum = |of: fn(&Counted) -> u64| all.iter().map(|it| of(it)).sum();
        AtOffice {
            registry: registry.to_owned(),
            code: code.to_owned(),
            name: name(code).unwrap_or_default(),
            filings: sum(|it| it.filings),
            answered: sum(|it| it.answered),
            unknown: sum(|it| it.unknown),
            unsent: sum(|it| it.unsent),
            is_slow: mean_ms.is_some_and(|mean| mean > SLOW_MS),
            mean_ms,
            longest_ms,
        }
    };
    let mut offices: Vec<_> = by_office.into_iter().map(at_office).collect();
    offices.sort_by_key(|it| (std::cmp::Reverse((it.unknown, it.mean_ms)), it.code.clone()));
    let took = |all: Vec<&Counted>| {
        let (mean_ms, longest_ms) = took_of(&all);
        Took { filings: all.iter().map(|it| it.filings).sum(), mean_ms, longest_ms }
    };
    let institutions =
        by_institution.into_iter().map(|(id, all)| (id.to_owned(), took(all))).collect();
    Lately { offices, institutions }
}

/// How long filings took on average, and at most; nothing, if none was answered.
fn took_of(all: &[&Counted]) -> (Option<i64>, Option<i64>) {
    let timed: u64 = all.iter().map(|it| it.timed).sum();
    let total: u64 = all.iter().map(|it| it.total_ms).sum();
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let longest = all.iter().map(|it| it.longest_ms).max();
    (total.checked_div(timed).map(ms), longest.filter(|_| timed > 0).map(ms))
}

/// What the page says.
#[derive(Debug, Serialize)]
pub(super) struct Now {
    lately: u64,
    answered: u64,
    refused_lately: u64,
    unknown: u64,
    unknown_oldest_seconds: u64,
    queued: u64,
    connections: u64,
    /// 50th and 95th of 100 answers took no longer, in milliseconds.
    took: Option<(u64, u64)>,
    institutions: Vec<Of>,
    registries: Vec<At>,
    causes: Vec<Cause>,
}

/// One institution.
#[derive(Debug, Default, Serialize)]
struct Of {
    id: String,
    name: String,
    lately: u64,
    answered: u64,
    refused_lately: u64,
    refused: u64,
}

/// One registry.
#[derive(Debug, Default, Serialize)]
struct At {
    name: String,
    lately: u64,
    calls: u64,
    unanswered_lately: u64,
    unanswered: u64,
    in_flight: u64,
    paused: bool,
    unknown: u64,
    took: Option<(u64, u64)>,
}

/// Why something was refused, and how often.
#[derive(Debug, Serialize)]
struct Cause {
    institution: String,
    code: String,
    lately: u64,
    count: u64,
}

impl Now {
    /// Registries that are left alone because they do not answer.
    pub(super) fn paused(&self) -> impl Iterator<Item = &str> {
        self.registries.iter().filter(|it| it.paused).map(|it| it.name.as_str())
    }

    /// Why institutions were refused in the last minute: whose, the code, and how often.
    pub(super) fn causes(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        let lately = self.causes.iter().filter(|it| it.lately > 0);
        lately.map(|it| (it.institution.as_str(), it.code.as_str(), it.lately))
    }

    /// Has unknown outcomes as the ledger counts them at this moment; the metrics say it as it was a while ago.
    pub(super) async fn count_unknown(&mut self, gateway: &Gateway) {
        let mut all = Unknown::default();
        for registry in &mut self.registries {
            let Ok(unknown) = gateway.ledger.unknown(&registry.name).await else { return };
            registry.unknown = unknown.count;
            all.count = all.count.saturating_add(unknown.count);
            all.oldest = all.oldest.max(unknown.oldest);
        }
        (self.unknown, self.unknown_oldest_seconds) = (all.count, all.oldest.as_secs());
    }

    pub(super) fn of(settings: &Settings, past: &Past, readings: Vec<Reading>) -> Self {
        let before = past.before();
        let sum = |readings: &[Reading], name: &str, is: &dyn Fn(&Reading) -> bool| -> u64 {
            let chosen = readings.iter().filter(|it| it.name == name && is(it));
            chosen.map(|it| it.value).sum()
        };
        let both = |name: &str, is: &dyn Fn(&Reading) -> bool| {
            let now = sum(&readings, name, is);
            (now.saturating_sub(sum(&before, name, is)), now)
        };
        let gauge = |name: &str| sum(&readings, name, &|_| true);
        let institutions = settings.institutions.iter().map(|institution| {
            let its = |it: &Reading| it.label("institution") == institution.id;
            let (lately, answered) = both(EXCHANGES, &its);
            let (refused_lately, refused) = both(EXCHANGES, &|it| its(it) && is_refusal(it));
            let (id, name) = (institution.id.clone(), institution.name.clone());
            Of { id, name, lately, answered, refused_lately, refused }
        });
        let registries = settings.registries.iter().map(|registry| {
            let its = |it: &Reading| it.label("registry") == registry.name;
            let (lately, calls) = calls(&readings, &before, &its);
            let silent = |it: &Reading| its(it) && it.label("end") != "answered";
            let (unanswered_lately, unanswered) = self::calls(&readings, &before, &silent);
            At {
                name: registry.name.clone(),
                lately,
                calls,
                unanswered_lately,
                unanswered,
                in_flight: sum(&readings, "directlink_registry_calls_in_flight", &its),
                paused: sum(&readings, "directlink_registry_paused", &its) > 0,
                unknown: sum(&readings, "directlink_unknown_outcomes", &its),
                took: took(&readings, CALLS, &its),
            }
        });
        let mut causes: Vec<Cause> = readings
            .iter()
            .filter(|it| it.name == EXCHANGES && is_refusal(it))
            .fold(BTreeMap::new(), |mut causes: BTreeMap<(String, String), u64>, it| {
                let cause = (it.label("institution").to_owned(), it.label("result").to_owned());
                *causes.entry(cause).or_default() += it.value;
                causes
            })
            .into_iter()
            .map(|((institution, code), count)| {
                let is = |it: &Reading| {
                    it.label("institution") == institution && it.label("result") == code
                };
                let lately = count.saturating_sub(sum(&before, EXCHANGES, &is));
                Cause { institution, code, lately, count }
            })
            .collect();
        causes.sort_by_key(|cause| std::cmp::Reverse((cause.lately, cause.count)));
        causes.truncate(CAUSES_MAX);
        let (lately, answered) = both(EXCHANGES, &|_| true);
        Self {
            lately,
            answered,
            refused_lately: both(EXCHANGES, &is_refusal).0,
            unknown: gauge("directlink_unknown_outcomes"),
            unknown_oldest_seconds: readings
                .iter()
                .filter(|it| it.name == "directlink_unknown_outcomes_oldest_age_seconds")
                .map(|it| it.value)
                .max()
                .unwrap_or_default(),
            queued: gauge("directlink_queued_filings"),
            connections: gauge("directlink_connections"),
            took: took(&readings, "directlink_exchange_duration_seconds", &|_| true),
            institutions: institutions.collect(),
            registries: registries.collect(),
            causes,
        }
    }
}

const EXCHANGES: &str = "directlink_exchanges_total";
const CALLS: &str = "directlink_registry_call_duration_seconds";

/// How many causes are listed.
const CAUSES_MAX: usize = 12;

/// Whether an exchange ended in a refusal of the gateway's: what is no case's status and no other answer is its code.
pub(super) fn is_refusal(reading: &Reading) -> bool {
    let result = reading.label("result");
    !result.is_empty() && !result.starts_with(STATUS) && !ANSWERS.contains(&result)
}

/// What a result begins with that is a case's status.
pub(super) const STATUS: &str = "CASE_STATUS_";

/// How many calls there were in the last minute, and since the start.
fn calls(now: &[Reading], before: &[Reading], is: &dyn Fn(&Reading) -> bool) -> (u64, u64) {
    let all = |readings: &[Reading]| -> u64 {
        let chosen = readings.iter().filter(|it| it.name == CALLS && is(it));
        chosen.filter_map(|it| it.buckets.last()).map(|(_, count)| count).sum()
    };
    let count = all(now);
    (count.saturating_sub(all(before)), count)
}

/// How long 50 and 95 of 100 took at most, by the buckets they fell into; since the start.
fn took(readings: &[Reading], name: &str, is: &dyn Fn(&Reading) -> bool) -> Option<(u64, u64)> {
    let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
    for reading in readings.iter().filter(|it| it.name == name && is(it)) {
        for (bound, count) in &reading.buckets {
            *buckets.entry(*bound).or_default() += count;
        }
    }
    let total = *buckets.values().last().filter(|total| **total > 0)?;
    let within = |share: u64| {
        let enough = total.saturating_mul(share).div_ceil(100);
        buckets.iter().find(|(_, count)| **count >= enough).map_or(u64::MAX, |(bound, _)| *bound)
    };
    Some((within(50), within(95)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn what_a_case_came_to_is_no_refusal_of_the_gateways() {
        let metrics = Metrics::new().unwrap();
        for result in ["CASE_STATUS_REGISTERED", "CASE_STATUS_REFUSED", "KEY_REUSED", "FEED"] {
            metrics.exchange("one", "first", result, Duration::from_millis(30));
        }
        let readings = metrics.readings();
        let refused = readings.iter().filter(|it| it.name == EXCHANGES && is_refusal(it));
        let codes: Vec<_> = refused.map(|it| it.label("result")).collect();
        assert_eq!(codes, ["KEY_REUSED"]);
        let (half, most) =
            took(&readings, "directlink_exchange_duration_seconds", &|_| true).unwrap();
        assert!(half == most && (30..1_000).contains(&half), "{half} {most}");
    }
}
