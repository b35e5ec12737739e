//! Days.

use std::fmt;

use time::Month;

use crate::malformed::Malformed;

const MALFORMED: Malformed = Malformed { noun: "a day", expected: "YYYY-MM-DD, a day that exists" };

/// A day that exists, of the years 0001 to 9999, in Asia/Shanghai; written `YYYY-MM-DD`. Source:
/// canonical model, "Conventions".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(time::Date);

impl Date {
    /// The day in `text`, `YYYY-MM-DD` in ASCII digits.
    ///
    /// # Errors
    /// Another form, or no such day.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else {
            return Err(MALFORMED);
        };
        let year = u16::from(two_digits(*y1, *y2)?) * 100 + u16::from(two_digits(*y3, *y4)?);
        Self::new(year, two_digits(*m1, *m2)?, two_digits(*d1, *d2)?)
    }

    /// The day of that year, month and day of the month.
    ///
    /// # Errors
    /// No such day.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Self, Malformed> {
        if !(1..=9999).contains(&year) {
            return Err(MALFORMED);
        }
        let month = Month::try_from(month).ok().ok_or(MALFORMED)?;
        time::Date::from_calendar_date(i32::from(year), month, day).map(Self).ok().ok_or(MALFORMED)
    }

    /// The same day so many years later; the first of March where that year has no such day. `None` after the year 9999.
    pub fn years_later(self, years: u16) -> Option<Self> {
        let (year, month, day) = self.0.to_calendar_date();
        let year = u16::try_from(year).ok()?.checked_add(years)?;
        let leaps = month == Month::February && day == 29;
        let same = Self::new(year, u8::from(month), day).ok();
        same.or_else(|| Self::new(year, 3, 1).ok().filter(|_| leaps))
    }

    /// Days since 1970-01-01; before it negative.
    pub fn days_since_1970(self) -> i64 {
        i64::from(self.0.to_julian_day()) - JULIAN_DAY_OF_1970
    }
}

const JULIAN_DAY_OF_1970: i64 = 2_440_588;

fn two_digits(tens: u8, ones: u8) -> Result<u8, Malformed> {
    match (tens, ones) {
        (b'0'..=b'9', b'0'..=b'9') => Ok((tens - b'0') * 10 + (ones - b'0')),
        _ => Err(MALFORMED),
    }
}

impl fmt::Display for Date {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = (self.0.year(), u8::from(self.0.month()), self.0.day());
        write!(out, "{year:04}-{month:02}-{day:02}")
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_exists() {
        for day in ["0001-01-01", "1970-01-01", "2000-02-29", "2024-02-29", "9999-12-31"] {
            assert_eq!(Date::parse(day).unwrap().to_string(), day);
        }
        for wrong in
            ["", "2026-02-29", "1900-02-29", "2026-13-01", "2026-1-1", "0000-01-01", "20260101"]
        {
            assert!(Date::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_day_comes_again_years_later() {
        let later = |day: &str| Date::parse(day).unwrap().years_later(3).map(String::from);
        assert_eq!(later("2026-03-05").unwrap(), "2029-03-05");
        assert_eq!(later("2024-02-29").unwrap(), "2027-03-01");
        assert_eq!(later("9998-01-01"), None);
    }

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(Date::parse("1970-01-01").unwrap().days_since_1970(), 0);
        assert_eq!(Date::parse("2026-03-05").unwrap().days_since_1970(), 20_517);
    }
}
