//! What stands out now, and whose it is: a sentence for each, for somebody who has never seen these pages.
//!
//! From counts of the last minute and of the last filings alone; what it leaves out is told by the tables below it.

use serde::Serialize;

use super::now::{AtOffice, Now};
use crate::{refusal::Code, telemetry::Reading};

/// Something that stands out.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Trouble {
    kind: Kind,
    /// An institution, an office, a registry or a subscriber.
    who: String,
    /// The code, where it is about one.
    code: String,
    count: u64,
    /// How long, in milliseconds, where it is about that.
    took_ms: Option<i64>,
}

/// What.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// An institution's messages are not understood: its messages, or its contract here.
    Messages,
    /// An office cannot be reached.
    Down,
    /// A registry is left alone.
    Paused,
    /// Answers of an office were lost.
    Lost,
    /// An office answers slowly.
    Slow,
    /// Notices to a subscriber are parked.
    Parked,
    /// Books differ.
    Findings,
}

/// What is refused for something else than what an institution sent.
const NOT_THE_BANKS: [Code; 18] = [
    Code::MessageTooSlow,
    Code::InstitutionBusy,
    Code::GatewayBusy,
    Code::StillWorking,
    Code::LedgerUnavailable,
    Code::RegistryUnavailable,
    Code::RegistryPaused,
    Code::RegistryBusy,
    Code::OutcomeUnknown,
    Code::RegistryRejectedCall,
    Code::QuestionUnanswered,
    Code::DocumentUnsound,
    Code::WithdrawalUnknown,
    Code::IntegrityMismatch,
    Code::MaterialUndelivered,
    Code::MaterialsUnavailable,
    Code::CaseUnknown,
    Code::NeverSent,
];

/// All that stands out, the most urgent first.
pub(super) fn troubles(now: &Now, offices: &[AtOffice], readings: &[Reading]) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut add = |kind, who: &str, code: &str, count, took_ms| {
        let (who, code) = (who.to_owned(), code.to_owned());
        troubles.push(Trouble { kind, who, code, count, took_ms });
    };
    for office in offices.iter().filter(|it| it.unknown() > 0) {
        add(Kind::Lost, &office.code, "", office.unknown(), None);
    }
    for office in offices.iter().filter(|it| it.is_down()) {
        add(Kind::Down, &office.code, "", office.unsent(), None);
    }
    for registry in now.paused() {
        add(Kind::Paused, registry, "", 0, None);
    }
    for (institution, code, count) in now.causes() {
        if !NOT_THE_BANKS.iter().any(|it| it.as_str() == code) {
            add(Kind::Messages, institution, code, count, None);
        }
    }
    for office in offices.iter().filter(|it| it.is_slow) {
        add(Kind::Slow, &office.code, "", 0, office.mean_ms);
    }
    let gauges = [
        ("directlink_notices_parked", "subscriber", Kind::Parked),
        ("directlink_findings_open", "registry", Kind::Findings),
    ];
    for (name, label, kind) in gauges {
        for reading in readings.iter().filter(|it| it.name == name && it.value > 0) {
            add(kind, reading.label(label), "", reading.value, None);
        }
    }
    troubles
}
