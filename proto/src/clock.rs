//! Times of day.

use crate::malformed::{Malformed, checked_text};

/// A time of day, `HH:MM:SS`, 00:00:00 to 23:59:59, in Asia/Shanghai. No leap second and no hour
/// 24. Source: canonical model, `Exchange.time`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Clock(String);

impl Clock {
    /// The time in `text`.
    ///
    /// # Errors
    /// Another form, or no such time.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match seconds_of(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(Malformed { noun: "a time of day", expected: "HH:MM:SS, to 23:59:59" }),
        }
    }

    /// Seconds since midnight, 0 to 86,399.
    pub fn seconds_since_midnight(&self) -> u32 {
        seconds_of(&self.0).unwrap_or_default()
    }
}

checked_text!(Clock);

pub(crate) fn seconds_of(text: &str) -> Option<u32> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = text.as_bytes() else { return None };
    let two = |tens: u8, ones: u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit())
            .then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
    };
    let (hours, minutes, seconds) = (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?);
    (hours < 24 && minutes < 60 && seconds < 60).then(|| hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_ends_before_midnight() {
        assert_eq!(Clock::parse("09:12:33").unwrap().seconds_since_midnight(), 33_153);
        for wrong in ["", "24:00:00", "23:60:00", "23:59:60", "9:12:33", "091233", "０９:12:33"] {
            assert!(Clock::parse(wrong).is_err(), "{wrong}");
        }
    }
}
