//! When an office takes filings: hours by the day of the week, and the days that are kept otherwise.
//!
//! Pure: the moment is handed in. Everything is Asia/Shanghai, which has had no daylight saving since 1992. Public holidays
//! and the weekend days that are worked instead (调休) are announced each year by the State Council, so they are settings.

use std::{collections::BTreeSet, fmt};

use proto::v1::OpeningHours;
use serde::{Deserialize, Deserializer, de};
use time::{
    Date, Duration, OffsetDateTime, Time, UtcOffset, macros::format_description, macros::offset,
};

/// Where offices are.
pub const ZONE: UtcOffset = offset!(+8);

/// How far ahead an opening is looked for: longer than any row of holidays.
const DAYS_AHEAD: u16 = 60;

/// From when until when on one day; the end is not in it.
type Span = (Time, Time);

/// Hours by the day of the week, Monday first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hours([Vec<Span>; 7]);

impl Hours {
    /// Reads lines such as `1-5 09:00-12:00 13:30-17:00`: days of the week (1 is Monday, ISO 8601), then spans.
    ///
    /// # Errors
    /// The line that is none, and why.
    pub fn parse<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<Self, String> {
        let mut hours = Self::default();
        for line in lines {
            let told =
                || format!("`{line}`: expected days and hours, as `1-5 09:00-12:00 13:30-17:00`");
            let mut words = line.split_whitespace();
            let days = words.next().and_then(days).ok_or_else(told)?;
            let spans: Vec<_> = words.map(span).collect::<Option<_>>().ok_or_else(told)?;
            if spans.is_empty() {
                return Err(told());
            }
            for day in days {
                hours.add(day, &spans);
            }
        }
        Ok(hours)
    }

    /// What a registry says of an office's counter; `None` if that is nothing, or nothing that can be read.
    pub fn described(hours: &[OpeningHours]) -> Option<Self> {
        let mut read = Self::default();
        for it in hours {
            let day = usize::try_from(it.weekday).ok()?.checked_sub(1).filter(|day| *day < 7)?;
            read.add(day, &[span(&format!("{}-{}", it.opens, it.closes))?]);
        }
        (!hours.is_empty()).then_some(read)
    }

    /// As a registry would say them: a row for each span of each day of the week.
    pub fn told(&self) -> Vec<OpeningHours> {
        let days = (1..).zip(&self.0);
        let spans = days.flat_map(|(weekday, spans)| spans.iter().map(move |span| (weekday, span)));
        spans
            .map(|(weekday, (from, until))| OpeningHours {
                weekday,
                opens: clock(*from),
                closes: clock(*until),
            })
            .collect()
    }

    fn add(&mut self, day: usize, spans: &[Span]) {
        if let Some(of_day) = self.0.get_mut(day) {
            of_day.extend_from_slice(spans);
            of_day.sort_unstable();
        }
    }

    /// When both are open.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (to, (ours, theirs)) in both.0.iter_mut().zip(self.0.iter().zip(&other.0)) {
            for (from, until) in ours {
                let shared = theirs.iter().map(|it| (*from.max(&it.0), *until.min(&it.1)));
                to.extend(shared.filter(|(from, until)| from < until));
            }
        }
        both
    }

    /// Whether it is open at a moment.
    pub fn is_open(&self, calendar: &Calendar, at: OffsetDateTime) -> bool {
        let at = at.to_offset(ZONE);
        let now = at.time();
        self.on(calendar, at.date()).iter().any(|(from, until)| (*from..*until).contains(&now))
    }

    /// When it opens next, `at` or later; `None` if that is not within two months.
    pub fn opens_next(&self, calendar: &Calendar, at: OffsetDateTime) -> Option<OffsetDateTime> {
        if self.is_open(calendar, at) {
            return Some(at);
        }
        let at = at.to_offset(ZONE);
        let opens_on = |day: Date| {
            self.on(calendar, day)
                .iter()
                .map(move |(from, _)| day.with_time(*from).assume_offset(ZONE))
                .find(|opens| *opens > at)
        };
        (0..DAYS_AHEAD).find_map(|ahead| opens_on(at.date() + Duration::days(ahead.into())))
    }

    /// A weekend day that is worked is kept like the first working day of the week.
    fn on(&self, calendar: &Calendar, day: Date) -> &[Span] {
        if calendar.holidays.contains(&day) {
            return &[];
        }
        let own = self.0.get(usize::from(day.weekday().number_days_from_monday()));
        let first = self.0.iter().find(|spans| !spans.is_empty());
        let spans = match own {
            Some(own) if own.is_empty() && calendar.workdays.contains(&day) => first,
            own => own,
        };
        spans.map_or(&[], Vec::as_slice)
    }
}

/// As a bank is told it: `周一至周五 09:00-12:00 13:30-17:00`.
impl fmt::Display for Hours {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<_> = DAYS.iter().zip(&self.0).collect();
        let mut rows = days.chunk_by(|before, after| before.1 == after.1).filter_map(|row| {
            let (first, last) = (row.first()?, row.last()?);
            (!first.1.is_empty()).then_some((first.0, last.0, first.1))
        });
        let mut separator = "";
        rows.try_for_each(|(first, last, spans)| {
            write!(out, "{separator}{first}")?;
            separator = "，";
            if first != last {
                write!(out, "至{last}")?;
            }
            spans
                .iter()
                .try_for_each(|(from, until)| write!(out, " {}-{}", clock(*from), clock(*until)))
        })
    }
}

fn clock(time: Time) -> String {
    if time == Time::MAX {
        return "24:00".to_owned();
    }
    format!("{:02}:{:02}", time.hour(), time.minute())
}

const DAYS: [&str; 7] = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"];

/// `1-5`, `6`.
fn days(word: &str) -> Option<std::ops::RangeInclusive<usize>> {
    let (from, until) = word.split_once('-').unwrap_or((word, word));
    let day = |word: &str| word.parse::<usize>().ok().filter(|day| (1..=7).contains(day));
    let (from, until) = (day(from)?, day(until)?);
    (from <= until).then(|| from - 1..=until - 1)
}

/// `09:00-12:00`; an end of `24:00` is the day's last minute.
fn span(word: &str) -> Option<Span> {
    let clock = |word: &str| match word {
        "24:00" => Some(Time::MAX),
        _ => Time::parse(word, format_description!("[hour]:[minute]")).ok(),
    };
    let (from, until) = word.split_once('-')?;
    let span = (clock(from)?, clock(until)?);
    (span.0 < span.1).then_some(span)
}

/// `[calendar]`: days that are kept otherwise than their day of the week.
///
/// Asia/Shanghai. A day is `2026-10-01`, a row of days `2026-10-01..2026-10-07`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    /// Days on which no office takes filings: `2026-10-01`, or a row of days, `2026-10-01..2026-10-07`. Default: none.
    #[serde(deserialize_with = "days_of")]
    #[schemars(with = "Vec<String>")]
    pub holidays: BTreeSet<Date>,
    /// Weekend days that are worked (调休); an office that has no hours on such a day keeps those of the first working
    /// day of its week. Default: none.
    #[serde(deserialize_with = "days_of")]
    #[schemars(with = "Vec<String>")]
    pub workdays: BTreeSet<Date>,
}

fn days_of<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<Date>, D::Error> {
    let mut days = BTreeSet::new();
    for row in Vec::<String>::deserialize(from)? {
        let (first, last) = row.split_once("..").unwrap_or((&row, &row));
        let day = |word| Date::parse(word, format_description!("[year]-[month]-[day]")).ok();
        let (Some(first), Some(last)) = (day(first), day(last)) else {
            return Err(de::Error::custom(format!(
                "`{row}`: expected `2026-10-01` or `2026-10-01..2026-10-07`"
            )));
        };
        if last < first || last - first > Duration::days(366) {
            return Err(de::Error::custom(format!(
                "`{row}`: expected a row of days, a year at most"
            )));
        }
        days.extend(
            std::iter::successors(Some(first), |day| day.next_day()).take_while(|day| *day <= last),
        );
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn office() -> Hours {
        Hours::parse(["1-5 09:00-12:00 13:30-17:00", "6 09:00-11:30"]).unwrap()
    }

    /// National Day of 2026, and the Saturday that is worked for it.
    fn year() -> Calendar {
        toml::from_str(
            "holidays = [\"2026-10-01..2026-10-07\"]\nworkdays = [\"2026-10-10\", \"2026-09-27\"]",
        )
        .unwrap()
    }

    #[test]
    fn an_office_is_open_in_its_hours_and_on_no_holiday() {
        let open = |at| office().is_open(&year(), at);
        assert!(open(datetime!(2026-09-30 09:00 +8)) && open(datetime!(2026-09-30 05:30 +0)));
        assert!(!open(datetime!(2026-09-30 12:00 +8)) && !open(datetime!(2026-09-30 08:59:59 +8)));
        assert!(!open(datetime!(2026-10-01 10:00 +8)), "a Thursday, and a holiday");
        assert!(open(datetime!(2026-09-27 14:00 +8)), "a Sunday that is worked like a Monday");
        assert!(!open(datetime!(2026-10-10 14:00 +8)), "a Saturday has hours of its own");
    }

    #[test]
    fn the_next_opening_lies_behind_the_holidays() {
        let next = |at| office().opens_next(&year(), at);
        let wednesday = datetime!(2026-09-30 17:00 +8);
        assert_eq!(next(wednesday), Some(datetime!(2026-10-08 09:00 +8)));
        assert_eq!(next(datetime!(2026-10-08 12:30 +8)), Some(datetime!(2026-10-08 13:30 +8)));
        let open = datetime!(2026-10-08 10:00 +8);
        assert_eq!(next(open), Some(open));
        assert_eq!(Hours::default().opens_next(&year(), open), None);
    }

    #[test]
    fn the_stricter_of_two_is_when_both_are_open() {
        let both = office().and(&Hours::parse(["1-7 10:00-14:00"]).unwrap());
        let expected = ["1-5 10:00-12:00 13:30-14:00", "6 10:00-11:30"];
        assert_eq!(both, Hours::parse(expected).unwrap());
    }

    #[test]
    fn hours_are_told_by_rows_of_days() {
        assert_eq!(office().to_string(), "周一至周五 09:00-12:00 13:30-17:00，周六 09:00-11:30");
        let day = |weekday| OpeningHours { weekday, opens: "09:00".into(), closes: "17:00".into() };
        let described = Hours::described(&[day(2), day(1)]).unwrap();
        assert_eq!(described.to_string(), "周一至周二 09:00-17:00");
        assert_eq!(Hours::described(&[]), None);
    }

    #[test]
    fn what_is_no_hours_is_told() {
        for line in ["", "8 09:00-10:00", "5-1 09:00-10:00", "1", "1 10:00-09:00", "1 9-10"] {
            assert!(
                Hours::parse([line]).unwrap_err().contains("expected days and hours"),
                "{line}"
            );
        }
        assert!(toml::from_str::<Calendar>("holidays = [\"2026-10-07..2026-10-01\"]").is_err());
        assert!(toml::from_str::<Calendar>("workdays = [\"Monday\"]").is_err());
    }
}
