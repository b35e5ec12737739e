//! When to leave a registry alone because it is in trouble, and when to try it again: a circuit breaker.
//!
//! It closes the way only on proof of trouble: so many calls in a row that did not reach the registry or were not
//! answered. After a pause one call is let through to find out; the others are told to come back. Pure: it reads no
//! clock, waits for nothing and counts nothing but what it is told. Source: Nygard, "Release It!", "Circuit Breaker";
//! docs/decisions/0008-breaker-of-our-own.md.

use std::time::{Duration, Instant};

/// What it goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// So many failures in a row are proof; at least 1.
    pub(super) failures_max: u32,
    /// How long nobody calls then.
    pub(super) pause: Duration,
}

/// A breaker. It begins by letting everything through.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    rules: Rules,
    state: State,
    /// Counts the changes of state, so that a call that began before the last one has no say.
    era: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Calls go through; the last ones, so many, have failed.
    Working { failures: u32 },
    /// Nobody calls until then.
    Paused { until: Instant },
    /// One call is finding out.
    Trying,
}

/// The right to make one call, to be handed back with how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Permit {
    era: u64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The registry answered, whatever it said.
    Answered,
    /// It was not reached, or it did not answer.
    Failed,
    /// Nobody waited for the end: nothing is known.
    Abandoned,
}

/// What an end has changed for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// From now on nobody calls.
    Paused,
    /// Everybody may call again.
    Resumed,
}

/// The registry is left alone; whether it still is after `retry_after`, nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paused {
    pub(super) retry_after: Duration,
}

impl Breaker {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, state: State::Working { failures: 0 }, era: 0 }
    }

    /// Whether a call would be let through at this moment.
    pub(super) fn check(&self, now: Instant) -> Result<(), Paused> {
        match self.state {
            State::Working { .. } => Ok(()),
            State::Paused { until } if until <= now => Ok(()),
            State::Paused { until } => {
                Err(Paused { retry_after: until.saturating_duration_since(now) })
            }
            State::Trying => Err(Paused { retry_after: self.rules.pause }),
        }
    }

    /// Lets a call through, or not.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Permit, Paused> {
        self.check(now)?;
        if let State::Paused { .. } = self.state {
            self.enter(State::Trying);
        }
        Ok(Permit { era: self.era })
    }

    /// Hears how a call ended.
    pub(super) fn ended(&mut self, permit: Permit, end: End, now: Instant) -> Change {
        if permit.era != self.era {
            return Change::None;
        }
        let paused = State::Paused { until: now + self.rules.pause };
        match (self.state, end) {
            (State::Working { .. }, End::Answered) => self.state = State::Working { failures: 0 },
            (State::Working { failures }, End::Failed) => {
                let failures = failures.saturating_add(1);
                if failures >= self.rules.failures_max {
                    self.enter(paused);
                    return Change::Paused;
                }
                self.state = State::Working { failures };
            }
            (State::Trying, End::Answered) => {
                self.enter(State::Working { failures: 0 });
                return Change::Resumed;
            }
            (State::Trying, End::Failed) => self.enter(paused),
            // The next to come finds out.
            (State::Trying, End::Abandoned) => self.enter(State::Paused { until: now }),
            // No permit is given while it is paused.
            (State::Working { .. }, End::Abandoned) | (State::Paused { .. }, _) => {}
        }
        Change::None
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era = self.era.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn breaker(failures_max: u32) -> Breaker {
        Breaker::new(Rules { failures_max, pause: PAUSE })
    }

    fn fail(breaker: &mut Breaker, now: Instant) -> Change {
        let permit = breaker.admit(now).unwrap();
        breaker.ended(permit, End::Failed, now)
    }

    #[test]
    fn so_many_failures_in_a_row_pause_it_and_an_answer_between_begins_anew() {
        let (mut breaker, now) = (breaker(3), Instant::now());
        assert_eq!(fail(&mut breaker, now), Change::None);
        assert_eq!(fail(&mut breaker, now), Change::None);
        let permit = breaker.admit(now).unwrap();
        assert_eq!(breaker.ended(permit, End::Answered, now), Change::None);
        assert_eq!(fail(&mut breaker, now), Change::None);
        assert_eq!(fail(&mut breaker, now), Change::None);
        assert_eq!(fail(&mut breaker, now), Change::Paused);
        assert_eq!(breaker.admit(now), Err(Paused { retry_after: PAUSE }));
        let later = now + Duration::from_secs(2);
        assert_eq!(breaker.admit(later), Err(Paused { retry_after: PAUSE - (later - now) }));
    }

    #[test]
    fn after_the_pause_one_call_finds_out() {
        let (mut breaker, now) = (breaker(1), Instant::now());
        assert_eq!(fail(&mut breaker, now), Change::Paused);
        let later = now + PAUSE;
        assert_eq!(breaker.check(later), Ok(()), "looking does not use it up");
        let first = breaker.admit(later).unwrap();
        assert_eq!(breaker.admit(later), Err(Paused { retry_after: PAUSE }), "one at a time");
        assert_eq!(breaker.ended(first, End::Failed, later), Change::None, "paused as before");
        let again = later + PAUSE;
        let second = breaker.admit(again).unwrap();
        assert_eq!(breaker.ended(second, End::Answered, again), Change::Resumed);
        assert!(breaker.admit(again).is_ok() && breaker.admit(again).is_ok());
    }

    #[test]
    fn who_gives_up_finding_out_leaves_it_to_the_next() {
        let (mut breaker, now) = (breaker(1), Instant::now());
        fail(&mut breaker, now);
        let later = now + PAUSE;
        let first = breaker.admit(later).unwrap();
        breaker.ended(first, End::Abandoned, later);
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn a_call_from_before_the_pause_has_no_say_after_it() {
        let (mut breaker, now) = (breaker(1), Instant::now());
        let (slow, slower) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        fail(&mut breaker, now);
        assert_eq!(breaker.ended(slow, End::Answered, now), Change::None);
        assert!(breaker.check(now).is_err(), "an old answer does not end the pause");
        let later = now + PAUSE;
        let trying = breaker.admit(later).unwrap();
        assert_eq!(breaker.ended(slower, End::Failed, later), Change::None);
        assert_eq!(breaker.ended(trying, End::Answered, later), Change::Resumed);
    }

    /// What may happen to a breaker.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Call,
        /// The call at this position among those under way ends.
        End(usize, End),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let end = prop_oneof![Just(End::Answered), Just(End::Failed), Just(End::Abandoned)];
        prop_oneof![
            3 => Just(Event::Call),
            3 => (0..8_usize, end).prop_map(|(at, end)| Event::End(at, end)),
            1 => (0..8_000_u64).prop_map(Event::Pass),
        ]
    }

    proptest! {
        /// Whatever happens, in whatever order: it pauses after exactly so many failures in a row, lets nobody through
        /// in a pause and one call after it, and never stays shut for longer than a pause after that call ended.
        #[test]
        fn it_holds_to_its_rules(failures_max in 1..4_u32, events in vec(event(), 0..200)) {
            let mut breaker = breaker(failures_max);
            let mut now = Instant::now();
            // The same told in other words: calls under way with the stretch of working they began in.
            let mut under_way: Vec<(Permit, u32)> = Vec::new();
            let (mut stretch, mut failures) = (0_u32, 0_u32);
            let mut paused_until: Option<Instant> = None;
            let mut trying = false;
            for event in events {
                match event {
                    Event::Pass(ms) => now += Duration::from_millis(ms),
                    Event::Call => {
                        let expected = !trying && paused_until.is_none_or(|until| until <= now);
                        prop_assert_eq!(breaker.check(now).is_ok(), expected);
                        let admitted = breaker.admit(now);
                        prop_assert_eq!(admitted.is_ok(), expected);
                        match admitted {
                            Ok(permit) => {
                                if paused_until.take().is_some() {
                                    trying = true;
                                    stretch += 1;
                                }
                                under_way.push((permit, stretch));
                            }
                            Err(Paused { retry_after }) => prop_assert!(retry_after <= PAUSE),
                        }
                    }
                    Event::End(at, end) => {
                        if under_way.is_empty() {
                            continue;
                        }
                        let (permit, began) = under_way.remove(at % under_way.len());
                        let change = breaker.ended(permit, end, now);
                        if began != stretch || paused_until.is_some() {
                            prop_assert_eq!(change, Change::None);
                            continue;
                        }
                        let expected = match end {
                            End::Answered if trying => Change::Resumed,
                            End::Failed if !trying && failures + 1 == failures_max => Change::Paused,
                            _ => Change::None,
                        };
                        prop_assert_eq!(change, expected);
                        match end {
                            End::Answered => {
                                failures = 0;
                                stretch += u32::from(trying);
                                trying = false;
                            }
                            End::Failed if trying || failures + 1 == failures_max => {
                                paused_until = Some(now + PAUSE);
                                (trying, failures) = (false, 0);
                                stretch += 1;
                            }
                            End::Failed => failures += 1,
                            End::Abandoned if trying => {
                                paused_until = Some(now);
                                trying = false;
                                stretch += 1;
                            }
                            End::Abandoned => {}
                        }
                    }
                }
            }
            for (permit, _) in under_way {
                breaker.ended(permit, End::Abandoned, now);
            }
            prop_assert!(breaker.admit(now + PAUSE).is_ok(), "it never stays shut");
        }
    }
}
