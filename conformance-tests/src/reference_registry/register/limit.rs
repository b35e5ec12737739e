//! Advance notices and seizures, as they are entered, renewed and ended. What may be is decided in `judgement`.

use proto::v1::{AdvanceNotice, EncumbranceKind, Seizure};
use time::{Date, macros::format_description};

use super::{Entitled, Limit, Register, Stamp, TitleId};

impl Register {
    /// Enters the notice on each of the titles, a certificate each.
    pub(in super::super) fn enter_notices(
        &mut self,
        application: &AdvanceNotice,
        titles: &[TitleId],
        stamp: Stamp<'_>,
    ) -> Vec<String> {
        let mut numbers = Vec::with_capacity(titles.len());
        for title in titles {
            let number = self.new_certificate_number(stamp);
            let limit = Limit {
                kind: EncumbranceKind::AdvanceNotice,
                number: number.clone(),
                holders: application.obligees.iter().map(Entitled::of).collect(),
                institution: String::new(),
                queued: false,
                from: stamp.day.to_string(),
                to: String::new(),
                entry: 0,
            };
            self.add_limit(*title, limit);
            numbers.push(number);
        }
        numbers
    }

    /// Ends what bears one of those numbers on those titles.
    pub(in super::super) fn end_limits(
        &mut self,
        kind: EncumbranceKind,
        numbers: &[String],
        titles: &[TitleId],
    ) {
        for id in titles {
            if let Some(title) = self.titles.get_mut(id.0) {
                title.limits.retain(|it| it.kind != kind || !numbers.contains(&it.number));
            }
        }
    }

    /// Enters one seizure on all of the titles and gives back its number. A queued one waits for those before it.
    pub(in super::super) fn seize(
        &mut self,
        application: &Seizure,
        titles: &[TitleId],
        court: &proto::v1::Institution,
        queued: bool,
        stamp: Stamp<'_>,
    ) -> Vec<String> {
        self.seizures += 1;
        let (year, month, day) = stamp.day.to_calendar_date();
        let number = format!("CF{year:04}{:02}{day:02}-{:04}", u8::from(month), self.seizures);
        for title in titles {
            let limit = Limit {
                kind: EncumbranceKind::Seizure,
                number: number.clone(),
                holders: vec![Entitled { name: court.name.clone(), id_number: String::new() }],
                institution: court.id.clone(),
                queued,
                from: application.seized_from.clone(),
                to: application.seized_to.clone(),
                entry: 0,
            };
            self.add_limit(*title, limit);
        }
        vec![number]
    }

    /// A seizure lasts longer; its rank stays.
    pub(in super::super) fn renew(&mut self, application: &Seizure, titles: &[TitleId]) {
        for id in titles {
            let Some(title) = self.titles.get_mut(id.0) else { continue };
            for limit in title.limits.iter_mut().filter(|it| {
                it.kind == EncumbranceKind::Seizure && it.number == application.prior_entry_number
            }) {
                limit.to.clone_from(&application.seized_to);
            }
        }
    }

    /// A seizure ends, and the first of those queued behind it takes effect.
    pub(in super::super) fn release(&mut self, application: &Seizure, titles: &[TitleId]) {
        let ended = std::slice::from_ref(&application.prior_entry_number);
        self.end_limits(EncumbranceKind::Seizure, ended, titles);
        let today = self.day;
        for id in titles {
            if let Some(title) = self.titles.get_mut(id.0) {
                take_effect(&mut title.limits, today);
            }
        }
    }
}

/// Ends the seizures whose last day has passed (查封到期); the first of those queued takes effect on the day after, and may
/// have run out since itself. Source: the Supreme People's Court's rules on seizure (查封、扣押、冻结财产的规定), art. 27.
pub(super) fn run_out(limits: &mut Vec<Limit>, today: Date) {
    let is_over = |limit: &Limit| {
        let seizes = limit.kind == EncumbranceKind::Seizure && !limit.queued;
        date(&limit.to).filter(|last| seizes && *last < today)
    };
    while let Some((at, last)) =
        limits.iter().enumerate().find_map(|(at, limit)| Some((at, is_over(limit)?)))
    {
        limits.remove(at);
        take_effect(limits, last.next_day().unwrap_or(last));
    }
}

/// Where no seizure is in effect, the first of those queued takes effect by itself, for as long as was asked for; its time
/// counts from then on. Source: the same rules, art. 26.
fn take_effect(limits: &mut [Limit], from: Date) {
    let mut seizures = limits.iter_mut().filter(|it| it.kind == EncumbranceKind::Seizure);
    let Some(first) = seizures.next().filter(|first| first.queued) else { return };
    first.queued = false;
    if let (Some(asked_from), Some(asked_to)) = (date(&first.from), date(&first.to)) {
        first.to = from.saturating_add(asked_to - asked_from).to_string();
        first.from = from.to_string();
    }
}

/// Of `YYYY-MM-DD`; a limit without a last day does not run out.
fn date(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}
