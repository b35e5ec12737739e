//! Gateways' clocks in a scenario: off by so much, or at a moment of the week that a story needs (`Sunday 20:00`).
//!
//! A moment of the week is the next one, Asia/Shanghai, seen from where the clock stands: certificates hold then whenever a
//! scenario is played. Nothing turns a clock here. A ledger on a server has that server's clock, which others need too: where
//! gateways' clocks are turned, what waits in it comes so much earlier instead.

use anyhow::{Context, ensure};
use time::{Duration, OffsetDateTime, Time, Weekday, macros::format_description, macros::offset};
use tokio_postgres::NoTls;

/// By how much a clock is off once it says what a step asks for, given by how much it is off before.
///
/// # Errors
/// Neither an offset (`-300s`) nor a moment of the week.
pub fn offset_to(asked: &str, before: Duration) -> anyhow::Result<Duration> {
    if let Some(seconds) = asked.strip_suffix('s') {
        return Ok(Duration::seconds(seconds.parse().context("seconds, as -300s")?));
    }
    let (day, clock) = asked.split_once(' ').context("a day and a time, as `Sunday 20:00`")?;
    let day: Weekday = day.parse().ok().context("a day of the week, as Sunday")?;
    let clock = Time::parse(clock, format_description!("[hour]:[minute]:[second]"))
        .or_else(|_| Time::parse(clock, format_description!("[hour]:[minute]")))?;
    let real = OffsetDateTime::now_utc().to_offset(offset!(+8));
    let now = real + before;
    let days = (0..8).map(|days| (now + Duration::days(days)).date());
    let next = days
        .filter(|date| date.weekday() == day)
        .map(|date| date.with_time(clock).assume_offset(offset!(+8)))
        .find(|moment| *moment > now);
    let off = next.context("no such day")? - real;
    ensure!(off < Duration::days(300), "certificates would run out");
    Ok(off)
}

/// As faketime writes it: a clock that is off by so much, and runs so many times as fast as others.
pub fn written(off: Duration, speed: u32) -> String {
    match speed {
        1 => format!("{:+}s", off.whole_seconds()),
        speed => format!("{:+}s x{speed}", off.whole_seconds()),
    }
}

/// Has what a ledger on a server follows up come so much earlier, as if that server's clock had been turned.
///
/// # Errors
/// It does not answer.
pub async fn put_forward(database: &str, by: Duration) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
    let connection = tokio::spawn(connection);
    let seconds = by.whole_seconds();
    client
        .batch_execute(&format!(
            "UPDATE filing SET follow_up_at = follow_up_at - make_interval(secs => {seconds})"
        ))
        .await?;
    drop(client);
    connection.await??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_the_week_is_the_next_one_from_where_the_clock_stands() {
        assert_eq!(offset_to("-300s", Duration::ZERO).unwrap(), Duration::seconds(-300));
        let sunday = offset_to("Sunday 20:00", Duration::ZERO).unwrap();
        let monday = offset_to("Monday 09:00:00", sunday).unwrap();
        assert!(Duration::ZERO < sunday && sunday <= Duration::days(7));
        assert!((monday - sunday - Duration::hours(13)).abs() < Duration::seconds(5));
        assert_eq!(written(Duration::seconds(90), 1), "+90s");
        assert_eq!(written(Duration::seconds(-90), 20), "-90s x20");
        assert!(offset_to("tomorrow", Duration::ZERO).is_err());
    }
}
