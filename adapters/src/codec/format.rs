//! Days, moments and times of day in text, by the contract's format.
//!
//! Without a zone a time is Asia/Shanghai, which here is UTC+8 always: the canonical model knows no
//! daylight saving, not even for 1986 to 1991. No clock: nothing is "today".

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)
)]

use std::{fmt::Write, str::Chars};

use prost_reflect::{DynamicMessage, Kind, Value};
use proto::{Clock, Date};
use time::{Month, OffsetDateTime, UtcOffset};

use super::number::digit;
use crate::FaultCode;

/// A compiled format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Shape);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Pieces(Vec<Piece>),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    EpochMilliseconds,
    /// Seconds since then.
    EpochSeconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Milliseconds,
    Zone,
    Literal(char),
}

const DAY_PIECES: [Piece; 3] = [Piece::Year, Piece::Month, Piece::Day];
const CLOCK_PIECES: [Piece; 3] = [Piece::Hour, Piece::Minute, Piece::Second];
const SECONDS_A_DAY: i64 = 86_400;
/// Beijing's offset.
const BEIJING_SECONDS: i32 = 28_800;
/// No zone is further from UTC (Kiribati).
const OFFSET_SECONDS_MAX: i32 = 50_400;

impl Format {
    /// A format of a day: `%Y`, `%m`, `%d` once each, other characters for themselves; or
    /// `epoch_ms`, `epoch_s` for the midnight, Beijing time, with which the day begins.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn date(format: &str) -> Result<Self, String> {
        let shape = Self::parse("date", format)?;
        match &shape.0 {
            Shape::Pieces(_) if !shape.has(&DAY_PIECES) || shape.has_any(&CLOCK_PIECES) => {
                Err(format!("`date {format}`: exactly %Y, %m and %d are wanted"))
            }
            Shape::Pieces(pieces)
                if pieces.contains(&Piece::Milliseconds) || pieces.contains(&Piece::Zone) =>
            {
                Err(format!("`date {format}`: a day has no fraction and no zone"))
            }
            _ => Ok(shape),
        }
    }

    /// A format of a moment. One that lacks a piece of day or clock is a part
    /// ([`Format::is_partial`]).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn time(format: &str) -> Result<Self, String> {
        Self::parse("time", format)
    }

    /// A format of a time of day: `%H`, `%M`, and `%S` unless only whole minutes are sent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn clock(format: &str) -> Result<Self, String> {
        let shape = Self::parse("clock", format)?;
        let Shape::Pieces(pieces) = &shape.0 else {
            return Err(format!("`clock {format}`: a time of day has no epoch"));
        };
        if !shape.has(&[Piece::Hour, Piece::Minute]) || shape.has_any(&DAY_PIECES) {
            return Err(format!("`clock {format}`: %H and %M are wanted, %S may be"));
        }
        if pieces.contains(&Piece::Milliseconds) || pieces.contains(&Piece::Zone) {
            return Err(format!("`clock {format}`: a time of day has no fraction and no zone"));
        }
        Ok(shape)
    }

    fn parse(codec: &str, format: &str) -> Result<Self, String> {
        match format {
            "" => return Err(format!("`{codec}` needs a format, as `%Y%m%d` or `epoch_ms`")),
            "epoch_ms" => return Ok(Self(Shape::EpochMilliseconds)),
            "epoch_s" => return Ok(Self(Shape::EpochSeconds)),
            _ => {}
        }
        let mut pieces = Vec::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            let piece = match character {
                '%' => Piece::parse(&mut characters).ok_or_else(|| {
                    format!("`{codec} {format}`: %Y %m %d %H %M %S %3f %z are known")
                })?,
                // A digit beside digits could not be told from them.
                _ if digit(character).is_some() => {
                    return Err(format!("`{codec} {format}`: no digit can stand for itself"));
                }
                _ => Piece::Literal(character),
            };
            if !matches!(piece, Piece::Literal(_)) && pieces.contains(&piece) {
                return Err(format!("`{codec} {format}`: a piece stands twice"));
            }
            pieces.push(piece);
        }
        if pieces.iter().all(|piece| matches!(piece, Piece::Literal(_))) {
            return Err(format!("`{codec} {format}`: no piece of a day or a clock stands in it"));
        }
        Ok(Self(Shape::Pieces(pieces)))
    }

    /// Reads a day, `YYYY-MM-DD`.
    ///
    /// # Errors
    /// `DateInvalid`: another form, a day that does not exist, year 0000, an epoch that is no
    /// midnight in Beijing.
    pub fn read_date(&self, text: &str) -> Result<String, FaultCode> {
        self.day(text.trim()).ok_or(FaultCode::DateInvalid)
    }

    /// Reads a moment into the message type of `kind`, `google.protobuf.Timestamp`.
    ///
    /// # Errors
    /// `TimeInvalid`: another form, a moment that does not exist (hour 24 and leap seconds
    /// neither), a part only.
    pub fn read_time(&self, text: &str, kind: &Kind) -> Result<Value, FaultCode> {
        let (seconds, nanoseconds) = self.moment(text.trim()).ok_or(FaultCode::TimeInvalid)?;
        let message = kind.as_message().ok_or(FaultCode::TimeInvalid)?;
        let mut timestamp = DynamicMessage::new(message.clone());
        // Unset is zero in proto3: a zero is left out, so that equal moments are equal messages.
        if seconds != 0 {
            timestamp.set_field_by_number(1, Value::I64(seconds));
        }
        if nanoseconds != 0 {
            timestamp.set_field_by_number(2, Value::I32(nanoseconds));
        }
        Ok(Value::Message(timestamp))
    }

    /// Reads a time of day, `HH:MM:SS`.
    ///
    /// # Errors
    /// `TimeInvalid`: another form, or later than 23:59:59.
    pub fn read_clock(&self, text: &str) -> Result<String, FaultCode> {
        let Shape::Pieces(pieces) = &self.0 else { return Err(FaultCode::TimeInvalid) };
        let parts = Parts::read(pieces, text.trim()).ok_or(FaultCode::TimeInvalid)?;
        let clock = format!("{:02}:{:02}:{:02}", parts.hour, parts.minute, parts.second);
        Clock::parse(&clock).map(String::from).ok().ok_or(FaultCode::TimeInvalid)
    }

    /// Writes a day given as `YYYY-MM-DD`.
    ///
    /// # Errors
    /// It is no day.
    pub fn write_date(&self, date: &str) -> Result<String, String> {
        let date = Date::parse(date).map_err(|error| error.to_string())?;
        let midnight = date.days_since_1970().saturating_mul(SECONDS_A_DAY);
        self.write(midnight.saturating_sub(i64::from(BEIJING_SECONDS)), 0)
    }

    /// Writes a moment, in Beijing time.
    ///
    /// # Errors
    /// It has a fraction that the format does not hold, or lies outside the years 0001 to 9999.
    pub fn write_time(&self, timestamp: &DynamicMessage) -> Result<String, String> {
        let seconds = timestamp.get_field_by_number(1).and_then(|value| value.as_i64());
        let nanoseconds = timestamp.get_field_by_number(2).and_then(|value| value.as_i32());
        match (seconds, nanoseconds) {
            (Some(seconds), Some(nanoseconds)) => self.write(seconds, nanoseconds),
            _ => Err("this is no moment".to_owned()),
        }
    }

    /// Writes a moment as a clock shows it: what the format does not hold of the fraction of its second is left out.
    ///
    /// # Errors
    /// It lies outside the years 0001 to 9999.
    pub fn write_time_shown(&self, timestamp: &DynamicMessage) -> Result<String, String> {
        let holds_fraction =
            matches!(self.0, Shape::EpochMilliseconds) || self.has(&[Piece::Milliseconds]);
        let unit = if holds_fraction { 1_000_000 } else { 1_000_000_000 };
        let nanoseconds = timestamp.get_field_by_number(2).and_then(|value| value.as_i32());
        let nanoseconds = nanoseconds.unwrap_or_default();
        let beyond = nanoseconds.checked_rem(unit).unwrap_or_default();
        let mut shown = timestamp.clone();
        shown.set_field_by_number(2, Value::I32(nanoseconds.saturating_sub(beyond)));
        self.write_time(&shown)
    }

    /// Writes a time of day given as `HH:MM:SS`.
    ///
    /// # Errors
    /// It is no time of day, or has seconds that the format does not hold.
    pub fn write_clock(&self, clock: &str) -> Result<String, String> {
        let clock = Clock::parse(clock).map_err(|error| error.to_string())?;
        let seconds = clock.seconds_since_midnight();
        let whole_minutes = seconds.checked_rem(60) == Some(0);
        if !self.has(&[Piece::Second]) && !whole_minutes {
            return Err("the format holds no seconds".to_owned());
        }
        self.write(i64::from(seconds).saturating_sub(i64::from(BEIJING_SECONDS)), 0)
    }

    /// How many characters every written value has, where that is one number.
    pub fn width(&self) -> Option<usize> {
        let Shape::Pieces(pieces) = &self.0 else { return None };
        pieces.iter().map(|piece| piece.width()).sum()
    }

    /// Whether a written value may hold the character.
    pub fn may_contain(&self, character: char) -> bool {
        match &self.0 {
            Shape::Pieces(pieces) => {
                character.is_ascii_digit()
                    || pieces.contains(&Piece::Literal(character))
                    || (pieces.contains(&Piece::Zone) && matches!(character, '+' | '-' | ':' | 'Z'))
            }
            Shape::EpochMilliseconds | Shape::EpochSeconds => {
                character.is_ascii_digit() || character == '-'
            }
        }
    }

    /// Whether the format lacks a piece of the day or of the clock, so that a moment cannot be read
    /// from it.
    pub fn is_partial(&self) -> bool {
        let whole = self.has(&DAY_PIECES) && self.has(&CLOCK_PIECES);
        matches!(self.0, Shape::Pieces(_)) && !whole
    }

    fn has(&self, wanted: &[Piece]) -> bool {
        let Shape::Pieces(pieces) = &self.0 else { return false };
        wanted.iter().all(|piece| pieces.contains(piece))
    }

    fn has_any(&self, wanted: &[Piece]) -> bool {
        let Shape::Pieces(pieces) = &self.0 else { return false };
        wanted.iter().any(|piece| pieces.contains(piece))
    }

    fn day(&self, text: &str) -> Option<String> {
        let (seconds, nanoseconds) = match &self.0 {
            Shape::Pieces(pieces) => {
                let parts = Parts::read(pieces, text)?;
                return Date::new(parts.year, parts.month, parts.day).ok().map(String::from);
            }
            Shape::EpochMilliseconds | Shape::EpochSeconds => self.epoch(text)?,
        };
        let midnight = seconds.checked_add(i64::from(BEIJING_SECONDS))?;
        if nanoseconds != 0 || midnight.checked_rem(SECONDS_A_DAY)? != 0 {
            return None;
        }
        let day = OffsetDateTime::from_unix_timestamp(midnight).ok()?;
        Date::new(u16::try_from(day.year()).ok()?, day.month().into(), day.day())
            .ok()
            .map(String::from)
    }

    fn moment(&self, text: &str) -> Option<(i64, i32)> {
        if self.is_partial() {
            return None;
        }
        let Shape::Pieces(pieces) = &self.0 else { return self.epoch(text) };
        let parts = Parts::read(pieces, text)?;
        if parts.year == 0 {
            return None;
        }
        let month = Month::try_from(parts.month).ok()?;
        let moment = time::Date::from_calendar_date(i32::from(parts.year), month, parts.day)
            .ok()?
            .with_hms(parts.hour, parts.minute, parts.second)
            .ok()?
            .assume_offset(UtcOffset::from_whole_seconds(parts.offset_seconds).ok()?);
        let nanoseconds = i32::from(parts.milliseconds).checked_mul(1_000_000)?;
        let seconds = moment.unix_timestamp();
        in_range(seconds).then_some((seconds, nanoseconds))
    }

    fn epoch(&self, text: &str) -> Option<(i64, i32)> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let mut count: i64 = 0;
        for character in digits.chars() {
            count = count.checked_mul(10)?.checked_add(i64::from(digit(character)?))?;
        }
        if digits.is_empty() {
            return None;
        }
        if digits.len() != text.len() {
            count = count.checked_neg()?;
        }
        let (seconds, milliseconds) = match self.0 {
            Shape::EpochSeconds => (count, 0),
            _ => (count.checked_div_euclid(1000)?, count.checked_rem_euclid(1000)?),
        };
        let nanoseconds = i32::try_from(milliseconds).ok()?.checked_mul(1_000_000)?;
        in_range(seconds).then_some((seconds, nanoseconds))
    }

    fn write(&self, seconds: i64, nanoseconds: i32) -> Result<String, String> {
        let milliseconds = nanoseconds.checked_div(1_000_000).unwrap_or_default();
        let whole = nanoseconds.checked_rem(1_000_000) == Some(0);
        let holds_fraction =
            matches!(self.0, Shape::EpochMilliseconds) || self.has(&[Piece::Milliseconds]);
        let drops_clock = self.is_partial() && !self.has(&[Piece::Second]);
        if nanoseconds != 0 && !drops_clock && !(holds_fraction && whole) {
            return Err("the format does not hold the fraction of a second".to_owned());
        }
        let pieces = match &self.0 {
            Shape::Pieces(pieces) => pieces,
            _ if !in_range(seconds) => return Err("the moment is too far away".to_owned()),
            Shape::EpochSeconds => return Ok(seconds.to_string()),
            Shape::EpochMilliseconds => {
                return seconds
                    .checked_mul(1000)
                    .and_then(|count| count.checked_add(i64::from(milliseconds)))
                    .map(|count| count.to_string())
                    .ok_or_else(|| "the moment is too far away".to_owned());
            }
        };
        write_pieces(pieces, seconds, milliseconds)
            .ok_or_else(|| "the moment is outside the years 0001 to 9999".to_owned())
    }
}

fn write_pieces(pieces: &[Piece], seconds: i64, milliseconds: i32) -> Option<String> {
    let beijing = seconds.checked_add(i64::from(BEIJING_SECONDS))?;
    let moment = OffsetDateTime::from_unix_timestamp(beijing).ok()?;
    if !(1..=9999).contains(&moment.year()) {
        return None;
    }
    let mut text = String::with_capacity(32);
    for piece in pieces {
        match piece {
            Piece::Year => write!(text, "{:04}", moment.year()),
            Piece::Month => write!(text, "{:02}", u8::from(moment.month())),
            Piece::Day => write!(text, "{:02}", moment.day()),
            Piece::Hour => write!(text, "{:02}", moment.hour()),
            Piece::Minute => write!(text, "{:02}", moment.minute()),
            Piece::Second => write!(text, "{:02}", moment.second()),
            Piece::Milliseconds => write!(text, "{milliseconds:03}"),
            Piece::Zone => write!(text, "+08:00"),
            Piece::Literal(character) => write!(text, "{character}"),
        }
        .ok()?;
    }
    Some(text)
}

impl Piece {
    fn parse(after_percent: &mut Chars<'_>) -> Option<Self> {
        match after_percent.next()? {
            'Y' => Some(Self::Year),
            'm' => Some(Self::Month),
            'd' => Some(Self::Day),
            'H' => Some(Self::Hour),
            'M' => Some(Self::Minute),
            'S' => Some(Self::Second),
            '3' => (after_percent.next()? == 'f').then_some(Self::Milliseconds),
            'z' => Some(Self::Zone),
            _ => None,
        }
    }

    /// Characters when written; a zone may be read as the single `Z`, so it has no certain width.
    fn width(self) -> Option<usize> {
        match self {
            Self::Year => Some(4),
            Self::Month | Self::Day | Self::Hour | Self::Minute | Self::Second => Some(2),
            Self::Milliseconds => Some(3),
            Self::Literal(_) => Some(1),
            Self::Zone => None,
        }
    }
}

/// What stood in a text, piece by piece; not yet known to be a real day or hour.
struct Parts {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    milliseconds: u16,
    offset_seconds: i32,
}

impl Parts {
    fn read(pieces: &[Piece], text: &str) -> Option<Self> {
        let mut parts = Self {
            year: 0,
            month: 0,
            day: 0,
            hour: 0,
            minute: 0,
            second: 0,
            milliseconds: 0,
            offset_seconds: BEIJING_SECONDS,
        };
        let mut characters = text.chars();
        for piece in pieces {
            match piece {
                Piece::Year => parts.year = number(&mut characters, 4)?,
                Piece::Month => parts.month = two_digits(&mut characters)?,
                Piece::Day => parts.day = two_digits(&mut characters)?,
                Piece::Hour => parts.hour = two_digits(&mut characters)?,
                Piece::Minute => parts.minute = two_digits(&mut characters)?,
                Piece::Second => parts.second = two_digits(&mut characters)?,
                Piece::Milliseconds => parts.milliseconds = number(&mut characters, 3)?,
                Piece::Zone => parts.offset_seconds = zone(&mut characters)?,
                Piece::Literal(literal) => {
                    if characters.next()? != *literal {
                        return None;
                    }
                }
            }
        }
        characters.next().is_none().then_some(parts)
    }
}

fn number(characters: &mut Chars<'_>, digits: u8) -> Option<u16> {
    let mut number: u16 = 0;
    for _ in 0..digits {
        number = number.checked_mul(10)?.checked_add(u16::from(digit(characters.next()?)?))?;
    }
    Some(number)
}

fn two_digits(characters: &mut Chars<'_>) -> Option<u8> {
    u8::try_from(number(characters, 2)?).ok()
}

/// `Z`, `+08:00` or `+0800`, in seconds.
fn zone(characters: &mut Chars<'_>) -> Option<i32> {
    let sign = match characters.next()? {
        'Z' => return Some(0),
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let hours = i32::from(number(characters, 2)?);
    if characters.as_str().starts_with(':') {
        characters.next();
    }
    let minutes = i32::from(number(characters, 2)?);
    let offset = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
    (minutes < 60 && offset <= OFFSET_SECONDS_MAX).then(|| offset.saturating_mul(sign))
}

/// Whether the moment lies in the years 0001 to 9999 in UTC, as a Timestamp must, and in Beijing.
fn in_range(seconds: i64) -> bool {
    (YEAR_1..YEAR_10000_IN_BEIJING).contains(&seconds)
}

/// 0001-01-01T00:00:00Z.
const YEAR_1: i64 = -62_135_596_800;
/// 10000-01-01T00:00:00+08:00.
const YEAR_10000_IN_BEIJING: i64 = 253_402_272_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    fn timestamp_kind() -> Kind {
        let exchange = proto::descriptors::message("Exchange").unwrap();
        exchange.get_field_by_name("sent_at").unwrap().kind()
    }

    fn timestamp(seconds: i64, nanoseconds: i32) -> DynamicMessage {
        let mut timestamp = DynamicMessage::new(timestamp_kind().as_message().unwrap().clone());
        timestamp.set_field_by_number(1, Value::I64(seconds));
        timestamp.set_field_by_number(2, Value::I32(nanoseconds));
        timestamp
    }

    /// RFC 3339, as the vectors write moments.
    fn canonical(value: Value) -> String {
        let mut exchange = DynamicMessage::new(proto::descriptors::message("Exchange").unwrap());
        exchange.set_field_by_name("sent_at", value);
        proto::golden::write(&exchange)["sent_at"].as_str().unwrap().to_owned()
    }

    #[test]
    fn every_vector_holds() {
        let file = include_str!("../../../contracts/standard/vectors/dates-times.json");
        let file: Json = serde_json::from_str(file).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let text = |name: &str| case[name].as_str().unwrap();
            let (format, input) = (text("format"), text("input"));
            let read = match text("codec") {
                "date" => Format::date(format).unwrap().read_date(input),
                "clock" => Format::clock(format).unwrap().read_clock(input),
                "time" => {
                    Format::time(format).unwrap().read_time(input, &timestamp_kind()).map(canonical)
                }
                other => panic!("no codec {other}"),
            };
            match case["value"].as_str() {
                Some(value) => assert_eq!(read.as_deref(), Ok(value), "{case}"),
                None => assert_eq!(read.unwrap_err().as_str(), text("error"), "{case}"),
            }
        }
    }

    #[test]
    fn times_are_written_in_beijing() {
        let write = |format: &str, seconds, nanoseconds| {
            Format::time(format).unwrap().write_time(&timestamp(seconds, nanoseconds))
        };
        assert_eq!(write("%Y-%m-%d %H:%M:%S", 1_772_673_153, 0).unwrap(), "2026-03-05 09:12:33");
        assert_eq!(
            write("%Y-%m-%dT%H:%M:%S%z", 1_772_673_153, 0).unwrap(),
            "2026-03-05T09:12:33+08:00"
        );
        assert_eq!(
            write("%Y%m%d%H%M%S%3f", 1_772_673_153, 7_000_000).unwrap(),
            "20260305091233007"
        );
        assert_eq!(write("epoch_ms", 1_772_673_153, 123_000_000).unwrap(), "1772673153123");
        assert_eq!(write("%Y%m%d", 1_772_668_799, 0).unwrap(), "20260305");
        assert_eq!(write("%Y%m%d", 1_772_640_000, 5).unwrap(), "20260305");
    }

    #[test]
    fn a_moment_that_is_shown_is_cut_as_a_clock_cuts_it() {
        let moment = timestamp(1_772_673_153, 987_654_321);
        let shown = |format: &str| Format::time(format).unwrap().write_time_shown(&moment);
        assert_eq!(shown("%Y-%m-%d %H:%M:%S").as_deref(), Ok("2026-03-05 09:12:33"));
        assert_eq!(shown("epoch_ms").as_deref(), Ok("1772673153987"));
        assert!(Format::time("epoch_s").unwrap().write_time(&moment).is_err());
    }

    #[test]
    fn a_fraction_is_never_lost() {
        for format in ["%Y-%m-%d %H:%M:%S", "%H%M%S", "epoch_s"] {
            let format = Format::time(format).unwrap();
            assert!(format.write_time(&timestamp(1_772_673_153, 1_000_000)).is_err(), "{format:?}");
        }
        let milliseconds = Format::time("epoch_ms").unwrap();
        assert!(milliseconds.write_time(&timestamp(1_772_673_153, 1)).is_err());
        let minutes = Format::clock("%H:%M").unwrap();
        assert_eq!(minutes.write_clock("09:12:00").unwrap(), "09:12");
        assert!(minutes.write_clock("09:12:33").is_err());
    }

    #[test]
    fn a_part_of_a_moment_is_written_but_not_read() {
        let format = Format::time("%Y%m%d").unwrap();
        assert!(format.is_partial());
        assert_eq!(format.read_time("20260305", &timestamp_kind()), Err(FaultCode::TimeInvalid));
        assert!(!Format::time("epoch_s").unwrap().is_partial());
        assert!(!Format::time("%Y%m%d%H%M%S").unwrap().is_partial());
    }

    #[test]
    fn a_wrong_format_is_told() {
        for wrong in
            ["", "%Y%m", "%Y%m%d%H", "%Y%m%d%d", "%y%m%d", "%Y%m%d%", "day", "%Y%m%d%z", "%Y1%m%d"]
        {
            assert!(Format::date(wrong).is_err(), "{wrong}");
        }
        for wrong in ["epoch_ms", "%H", "%H%M%S%3f", "%Y%H%M"] {
            assert!(Format::clock(wrong).is_err(), "{wrong}");
        }
        for wrong in ["%3", "%f", "%H%H", "noon"] {
            assert!(Format::time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_width_is_known_where_there_is_one() {
        assert_eq!(Format::date("%Y年%m月%d日").unwrap().width(), Some(11));
        assert_eq!(Format::time("%Y%m%d%H%M%S%3f").unwrap().width(), Some(17));
        assert_eq!(Format::time("%Y%m%d%H%M%S%z").unwrap().width(), None);
        assert_eq!(Format::date("epoch_ms").unwrap().width(), None);
    }

    proptest! {
        #[test]
        fn days_written_read_the_same(days in -719_162..=2_932_896_i64) {
            let julian_day = i32::try_from(days + 2_440_588).unwrap();
            let date = time::Date::from_julian_day(julian_day).unwrap();
            let year = u16::try_from(date.year()).unwrap();
            let date = String::from(Date::new(year, date.month().into(), date.day()).unwrap());
            for format in ["%Y%m%d", "%Y年%m月%d日", "%d.%m.%Y"] {
                let format = Format::date(format).unwrap();
                let text = format.write_date(&date).unwrap();
                prop_assert_eq!(format.read_date(&text), Ok(date.clone()));
            }
            // The first day of year 1 begins in Beijing before a Timestamp can.
            if days > -719_162 {
                for format in ["epoch_ms", "epoch_s"] {
                    let format = Format::date(format).unwrap();
                    let text = format.write_date(&date).unwrap();
                    prop_assert_eq!(format.read_date(&text), Ok(date.clone()));
                }
            }
        }

        #[test]
        fn moments_written_read_the_same(
            seconds in -62_135_596_800..253_402_272_000_i64,
            milliseconds in 0..1000_i32,
        ) {
            for (format, fraction) in [
                ("%Y-%m-%d %H:%M:%S", 0),
                ("%Y-%m-%dT%H:%M:%S%z", 0),
                ("%Y%m%d%H%M%S%3f", milliseconds),
                ("epoch_ms", milliseconds),
                ("epoch_s", 0),
            ] {
                let moment = timestamp(seconds, fraction * 1_000_000);
                let format = Format::time(format).unwrap();
                let text = format.write_time(&moment).unwrap();
                let read = format.read_time(&text, &timestamp_kind()).unwrap();
                prop_assert_eq!(canonical(read), canonical(Value::Message(moment)));
            }
        }

        #[test]
        fn times_of_day_written_read_the_same(seconds in 0..86_400_u32) {
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let clock = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
            for format in ["%H%M%S", "%H:%M:%S", "%S %M %H"] {
                let format = Format::clock(format).unwrap();
                let text = format.write_clock(&clock).unwrap();
                prop_assert_eq!(format.read_clock(&text), Ok(clock.clone()));
            }
        }
    }
}
