//! Figures of a run, for reading and for other programs.
//!
//! All are whole numbers in the unit their names say; what is shown with decimals is divided when written.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::upstream::Counts;

/// What a run found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it was taken on.
    pub machine: String,
    /// By number of connections.
    pub standings: Vec<Standing>,
    /// What was held in memory.
    pub memory: Memory,
    /// Messages the gateway accepted, warm-up included.
    pub exchanges: u64,
    /// What the upstream was asked meanwhile.
    pub counts: Counts,
}

/// Floor and gateway at one number of connections; rounds in the order they were run.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// Connections at a time.
    pub connections: usize,
    /// Rounds of the floor.
    pub floor: Vec<Round>,
    /// Rounds of the gateway.
    pub gateway: Vec<Round>,
}

/// One round.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    /// Messages answered.
    pub requests: u64,
    /// CPU time of the process under load, in milliseconds per 10,000 messages.
    pub cpu_ms: u64,
    /// Messages answered per second.
    pub per_second: u64,
    /// Half of all replies came within, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 replies came within, in microseconds.
    pub p99_us: u64,
}

/// What processes held in memory, in KiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// The gateway, started and not yet called.
    pub idle_kib: u64,
    /// The gateway after the last round.
    pub after_kib: u64,
    /// The gateway at its peak.
    pub peak_kib: u64,
    /// The floor at its peak.
    pub floor_peak_kib: u64,
}

impl Round {
    /// The figures of a round of `requests` messages, which took `elapsed` by the clock and `cpu` of the process.
    pub fn new(
        requests: u64,
        elapsed: Duration,
        cpu: Duration,
        latency_us: &Histogram<u64>,
    ) -> Self {
        let scaled = |amount: u128, whole: u128| {
            u64::try_from(amount.checked_div(whole).unwrap_or(0)).unwrap_or(u64::MAX)
        };
        Self {
            requests,
            cpu_ms: scaled(cpu.as_millis() * 10_000, requests.into()),
            per_second: scaled(u128::from(requests) * 1_000_000, elapsed.as_micros()),
            p50_us: latency_us.value_at_quantile(0.5),
            p99_us: latency_us.value_at_quantile(0.99),
        }
    }

    /// Each figure's median.
    pub(super) fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> u64| {
            let mut figures: Vec<u64> = rounds.iter().map(figure).collect();
            figures.sort_unstable();
            figures.get(figures.len() / 2).copied().unwrap_or_default()
        };
        Self {
            requests: of(|round| round.requests),
            cpu_ms: of(|round| round.cpu_ms),
            per_second: of(|round| round.per_second),
            p50_us: of(|round| round.p50_us),
            p99_us: of(|round| round.p99_us),
        }
    }
}

impl Standing {
    /// CPU time of the gateway as a multiple of the floor's, of the medians; in hundredths.
    pub fn ratio_percent(&self) -> u64 {
        let (floor, gateway) = (Round::median(&self.floor), Round::median(&self.gateway));
        (gateway.cpu_ms * 100).checked_div(floor.cpu_ms).unwrap_or_default()
    }
}

impl fmt::Display for Round {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} s CPU per 10,000, {} per second, p50 {} ms, p99 {} ms, of {}",
            Thousandths(self.cpu_ms),
            self.per_second,
            Thousandths(self.p50_us),
            Thousandths(self.p99_us),
            self.requests,
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.machine)?;
        writeln!(out, "medians of {} rounds each, in turn", self.rounds())?;
        writeln!(
            out,
            "connections  server   CPU s/10,000  (least–most)    per second    p50 ms    p99 ms"
        )?;
        for standing in &self.standings {
            for (server, rounds) in [("floor", &standing.floor), ("gateway", &standing.gateway)] {
                let median = Round::median(rounds);
                let cpu = rounds.iter().map(|round| round.cpu_ms);
                let least = Thousandths(cpu.clone().min().unwrap_or_default()).to_string();
                let most = Thousandths(cpu.max().unwrap_or_default());
                writeln!(
                    out,
                    "{:>11}  {server:<7}  {:>12}  ({least}–{most}) {:>13} {:>9} {:>9}",
                    standing.connections,
                    Thousandths(median.cpu_ms).to_string(),
                    median.per_second,
                    Thousandths(median.p50_us).to_string(),
                    Thousandths(median.p99_us).to_string(),
                )?;
            }
            let ratio = standing.ratio_percent();
            writeln!(out, "             ratio    {:>9}.{:02}", ratio / 100, ratio % 100)?;
        }
        let Memory { idle_kib, after_kib, peak_kib, floor_peak_kib } = self.memory;
        writeln!(
            out,
            "gateway memory: {} MiB idle, {} MiB after the last round, {} MiB at its peak (floor: {} MiB)",
            Mebibytes(idle_kib),
            Mebibytes(after_kib),
            Mebibytes(peak_kib),
            Mebibytes(floor_peak_kib),
        )?;
        write!(
            out,
            "{} messages accepted, {} submissions upstream, {} batches of spans",
            self.exchanges, self.counts.submitted, self.counts.exports
        )
    }
}

impl Report {
    fn rounds(&self) -> usize {
        self.standings.first().map_or(0, |standing| standing.floor.len())
    }
}

/// A thousandth of a unit, written in whole units with three decimals.
pub(super) struct Thousandths(pub(super) u64);

impl fmt::Display for Thousandths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

pub(super) struct Mebibytes(pub(super) u64);

impl fmt::Display for Mebibytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.0 / 1024, self.0 % 1024 * 10 / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(cpu_ms: u64) -> Round {
        let mut latency_us = Histogram::new(3).unwrap();
        (1..=100).for_each(|microseconds| latency_us.record(microseconds).unwrap());
        let cpu = Duration::from_millis(cpu_ms / 10);
        Round::new(1_000, Duration::from_millis(500), cpu, &latency_us)
    }

    #[test]
    fn figures_are_scaled_to_ten_thousand_messages_and_one_second() {
        let round = round(1_500);
        assert_eq!((round.cpu_ms, round.per_second), (1_500, 2_000));
        assert_eq!((round.p50_us, round.p99_us), (50, 99));
    }

    #[test]
    fn a_ratio_is_that_of_the_medians() {
        let standing = Standing {
            connections: 1,
            floor: vec![round(1_000), round(9_000), round(1_100)],
            gateway: vec![round(2_750), round(2_000), round(3_000)],
        };
        assert_eq!(standing.ratio_percent(), 250);
    }
}
