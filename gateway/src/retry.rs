//! When to try again: delays that grow and are spread over their whole range (full jitter), so that many waiting
//! callers do not come back at the same moment.
//!
//! The one file that uses `backoff`; docs/decisions/0003 names the way out. It computes delays and never waits itself.

use std::time::{Duration, Instant};

use backoff::{ExponentialBackoff, backoff::Backoff};

/// An endless row of growing delays.
#[derive(Debug)]
pub struct Delays(ExponentialBackoff);

impl Delays {
    /// Delays between nothing and `first` at the start, doubling up to `longest`.
    pub fn growing(first: Duration, longest: Duration) -> Self {
        // The crate spreads a delay d over d ± factor × d; with factor 1 that is nothing to 2 d: full jitter.
        Self(ExponentialBackoff {
            current_interval: first / 2,
            initial_interval: first / 2,
            max_interval: longest / 2,
            randomization_factor: 1.0,
            multiplier: 2.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    /// The next delay, if waiting it leaves time before `deadline`.
    pub fn next_before(&mut self, deadline: Instant) -> Option<Duration> {
        let delay = self.next_delay();
        (Instant::now() + delay < deadline).then_some(delay)
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        // Without a greatest elapsed time the row never ends.
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }
}

/// The delay before the `attempt`-th try (from 1) of something whose earlier tries were made by other processes.
pub fn delay_of(attempt: u32, first: Duration, longest: Duration) -> Duration {
    let mut delays = Delays::growing(first, longest);
    let mut delay = delays.next_delay();
    for _ in 1..attempt.min(32) {
        delay = delays.next_delay();
    }
    delay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_are_spread_from_nothing() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        let late: Vec<_> = (0..200).map(|_| delay_of(12, first, longest)).collect();
        assert!(late.iter().all(|delay| *delay <= longest));
        assert!(late.iter().any(|delay| *delay < longest / 4));
        assert!(late.iter().any(|delay| *delay > longest / 2));
        assert!((0..50).all(|_| delay_of(1, first, longest) <= first));
    }

    #[test]
    fn no_delay_reaches_past_the_deadline() {
        let mut delays = Delays::growing(Duration::from_secs(60), Duration::from_secs(60));
        let deadline = Instant::now();
        assert_eq!(delays.next_before(deadline), None);
    }
}
