//! What comes of a turn: which places move, what is passed over, what is parked, and when the subscriber is tried again.
//!
//! Pure. Everything up to a place was told or stands among what was passed over; so an event that was not told may only be
//! left behind a place together with a note of it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    ledger::notices::{PassedOver, Turn, TurnEnd, Untold},
    retry,
    settings::Subscriber,
};

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The subscriber has it.
    Told,
    /// It may not know of it.
    Unseen,
    /// It would not take it, or it could not be written.
    NotTaken,
    /// An earlier one of its case is still to be told.
    Behind,
    /// Nobody got to it, or its answer did not come.
    Open,
    /// It has been tried for as long as settings say, while the subscriber was away.
    Parked,
}

impl Fate {
    /// What went wrong with one that was sent, for traces.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        match self {
            Self::Told | Self::Unseen => None,
            Self::NotTaken => Some("not_taken"),
            Self::Behind | Self::Open | Self::Parked => Some("away"),
        }
    }

    /// Whether it needs no more of this turn.
    fn is_settled(self) -> bool {
        match self {
            Self::Told | Self::Unseen | Self::NotTaken | Self::Behind | Self::Parked => true,
            Self::Open => false,
        }
    }
}

/// How a subscriber took a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It answered.
    There,
    /// It did not, or said that it takes nothing now; and when it does, if it said so.
    Away(Option<Duration>),
    /// It wants no more.
    Gone,
    /// Too much of what it would not take is waiting already.
    Full,
    /// Nothing was sent, so that nobody knows.
    Unasked,
}

/// What is to be recorded. `again`: what had been passed over before; `new`: what came after its places, each feed in order.
pub(super) fn end(
    settings: &Subscriber,
    turn: &Turn,
    manner: Manner,
    again: &[(Untold, Fate)],
    new: &[(Untold, Fate)],
) -> TurnEnd {
    let mut end = TurnEnd::default();
    for (untold, fate) in again {
        match fate {
            Fate::Told | Fate::Unseen => {
                end.told.push((untold.event.institution.clone(), untold.event.position));
            }
            Fate::NotTaken | Fate::Parked => {
                end.passed_over.push(passed_over(settings, untold, *fate));
            }
            Fate::Behind | Fate::Open => {}
        }
    }
    // How far each feed has been gone through.
    let mut places: BTreeMap<&str, i64> = BTreeMap::new();
    for (untold, _) in new.iter().filter(|(_, fate)| fate.is_settled()) {
        places.insert(&untold.event.institution, untold.event.position);
    }
    for (untold, fate) in new {
        let event = &untold.event;
        let is_passed =
            places.get(event.institution.as_str()).is_some_and(|place| *place >= event.position);
        match fate {
            Fate::Told | Fate::Unseen => {}
            _ if !is_passed => {}
            Fate::NotTaken | Fate::Behind | Fate::Open | Fate::Parked => {
                end.passed_over.push(passed_over(settings, untold, *fate));
            }
        }
    }
    end.places = places.into_iter().map(|(of, place)| (of.to_owned(), place)).collect();
    match manner {
        Manner::There => {}
        Manner::Away(come_again) => {
            end.failures = turn.failures.saturating_add(1);
            let delay = retry::delay_of(end.failures, settings.first, settings.longest);
            end.rest = come_again.map_or(delay, |asked| asked.min(settings.park).max(delay));
        }
        Manner::Gone => end.ended = true,
        Manner::Full => {
            (end.failures, end.rest) = (turn.failures, settings.first);
        }
        Manner::Unasked => end.failures = turn.failures,
    }
    end
}

fn passed_over(settings: &Subscriber, untold: &Untold, fate: Fate) -> PassedOver {
    let tries = match fate {
        Fate::NotTaken => untold.tries.saturating_add(1),
        Fate::Told | Fate::Unseen | Fate::Behind | Fate::Open | Fate::Parked => untold.tries,
    };
    let delay = match fate {
        Fate::NotTaken => retry::delay_of(tries, settings.first, settings.longest),
        Fate::Told | Fate::Unseen | Fate::Behind | Fate::Open | Fate::Parked => Duration::ZERO,
    };
    PassedOver {
        institution: untold.event.institution.clone(),
        position: untold.event.position,
        key: untold.event.key.clone(),
        tries,
        delay,
        parked: match fate {
            // What is tried the first time is as old as its event, which says nothing about tries.
            Fate::NotTaken => untold.tries > 0 && untold.age >= settings.park,
            Fate::Parked => true,
            Fate::Told | Fate::Unseen | Fate::Behind | Fate::Open => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proto::v1::Outcome;

    use super::*;
    use crate::ledger::events::{Event, Kind};

    const PARK: Duration = Duration::from_secs(3_600);

    fn settings() -> Subscriber {
        toml::from_str(
            "name = 's'\naddress = 'https://s.example/'\nca = 'ca.pem'\npark_seconds = 3600",
        )
        .unwrap()
    }

    fn turn(failures: u32) -> Turn {
        let (subscriber, attempt, waiting) = ("s".to_owned(), 1, 0);
        Turn { subscriber, attempt, failures, failing_for: Duration::ZERO, waiting }
    }

    fn untold(institution: &str, position: i64, tries: u32, age: Duration) -> Untold {
        let event = Event {
            institution: institution.to_owned(),
            position,
            key: format!("k{position}"),
            sequence: 1,
            kind: Kind::Changed,
            happened_at: SystemTime::UNIX_EPOCH,
            outcome: Outcome::default(),
        };
        Untold { event, matter: String::new(), tries, age, behind: false }
    }

    fn new(fates: &[Fate]) -> Vec<(Untold, Fate)> {
        let row = (1..).zip(fates);
        row.map(|(at, fate)| (untold("bank", at, 0, Duration::ZERO), *fate)).collect()
    }

    fn passed_over(end: &TurnEnd) -> Vec<i64> {
        end.passed_over.iter().map(|it| it.position).collect()
    }

    #[test]
    fn a_place_moves_past_nothing_that_is_not_told_or_noted() {
        use Fate::{Behind, NotTaken, Open, Told, Unseen};
        for (fates, place, noted) in [
            (&[Told, Told, Unseen][..], Some(3), &[][..]),
            (&[Told, NotTaken, Behind, Told], Some(4), &[2, 3]),
            (&[Told, Open, Told, Open, Open], Some(3), &[2]),
            (&[Open, Open], None, &[]),
            (&[], None, &[]),
        ] {
            let end = end(&settings(), &turn(0), Manner::There, &[], &new(fates));
            let place: Vec<_> = place.map(|place| ("bank".to_owned(), place)).into_iter().collect();
            assert_eq!(
                (end.places.clone(), passed_over(&end)),
                (place, noted.to_vec()),
                "{fates:?}"
            );
            assert!(end.failures == 0 && end.rest.is_zero() && !end.ended);
        }
    }

    #[test]
    fn every_feed_has_its_place() {
        let new = [
            (untold("one", 7, 0, Duration::ZERO), Fate::Told),
            (untold("two", 3, 0, Duration::ZERO), Fate::Open),
            (untold("three", 5, 0, Duration::ZERO), Fate::Told),
        ];
        let end = end(&settings(), &turn(0), Manner::There, &[], &new);
        assert_eq!(end.places, [("one".to_owned(), 7), ("three".to_owned(), 5)]);
    }

    #[test]
    fn what_was_passed_over_is_parked_only_after_tries_that_lasted() {
        let parked = |tries, age| {
            let again = [(untold("bank", 1, tries, age), Fate::NotTaken)];
            let end = end(&settings(), &turn(0), Manner::There, &again, &[]);
            end.passed_over[0].parked
        };
        assert!(!parked(0, PARK * 2), "an event is old when nobody was there to tell it, too");
        assert!(!parked(3, PARK / 2));
        assert!(parked(3, PARK));
    }

    #[test]
    fn who_is_away_is_left_alone_for_as_long_as_it_asked_and_no_longer_than_is_sensible() {
        let rest = |asked: Option<Duration>| {
            let end = end(&settings(), &turn(2), Manner::Away(asked), &[], &new(&[Fate::Open]));
            assert_eq!((end.failures, end.places.len()), (3, 0));
            end.rest
        };
        assert!(rest(None) <= Duration::from_secs(20), "the third delay of a row from 5 s on");
        assert!(rest(Some(Duration::from_secs(600))) >= Duration::from_secs(600));
        assert!(rest(Some(PARK * 100)) <= PARK);
        let unasked = end(&settings(), &turn(2), Manner::Unasked, &[], &new(&[Fate::Behind]));
        assert_eq!(unasked.failures, 2, "who was not asked has not come back");
        let gone = end(&settings(), &turn(0), Manner::Gone, &[], &new(&[Fate::Open]));
        assert!(gone.ended && gone.places.is_empty() && gone.failures == 0);
    }
}
