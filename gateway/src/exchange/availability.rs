//! What an office does, when it is open and how long its matters take: answered here, from what is known. No registry is
//! asked, so that a bank may ask before every filing.

use std::{slice, sync::Arc};

use adapters::FaultCode;
use proto::v1::{OfficeAnswer, OfficeMatter, OfficeQuery, Property, office_query::Subject};
use time::OffsetDateTime;

use super::Hearing;
use crate::{
    hours::Hours,
    ledger::PastCases,
    matter,
    refusal::{Code, Refusal},
    settings::{Expectation, Office},
    telemetry::LedgerVerb,
};

impl Hearing<'_> {
    /// What is known of an office.
    pub(super) async fn ask_office(&self, query: OfficeQuery) -> Result<OfficeAnswer, Refusal> {
        let OfficeQuery { subject, matter, branch: _ } = query;
        let office = self.office_asked(subject)?;
        if !matter.is_empty() && !matter::names().contains(&matter) {
            return Err(self.no_matter(matter));
        }
        self.seen.at(&office.registry, &office.code);
        let service = self.gateway.capabilities.of(&office);
        let asked = |name: &String| matter.is_empty() || *name == matter;
        let takes = matter::names().into_iter().filter(asked).filter(|name| service.takes(name));
        let mut matters = Vec::new();
        for name in takes {
            matters.push(self.expected(&office, name).await?);
        }
        let (hours, now) = (service.hours(), OffsetDateTime::now_utc());
        let calendar = &self.directory.calendar;
        let open = hours.as_ref().is_none_or(|hours| hours.is_open(calendar, now));
        let next = hours.as_ref().filter(|_| !open);
        let deliveries = service.deliveries().unwrap_or_default();
        Ok(OfficeAnswer {
            as_of: Some(timestamp(now)),
            office: Some(office.canonical()),
            address: service.address(),
            phone: service.phone(),
            open: Some(open),
            opens_at: next.and_then(|hours| hours.opens_next(calendar, now)).map(timestamp),
            hours: hours.as_ref().map(Hours::told).unwrap_or_default(),
            matters,
            deliveries: deliveries.into_iter().map(i32::from).collect(),
            notices: service.notices(),
        })
    }

    fn office_asked(&self, subject: Option<Subject>) -> Result<Arc<Office>, Refusal> {
        let unknown = |field: &str| {
            Refusal::of(Code::OfficeUnknown)
                .with_faults(self.faults(FaultCode::RouteUnknown, &[format!("matter.{field}")]))
        };
        let route = &self.directory.route;
        match subject {
            Some(Subject::OfficeCode(code)) => {
                route.named(&code).cloned().ok_or_else(|| unknown("office_code"))
            }
            Some(Subject::UnitCode(unit_code)) => {
                let unit = Property { unit_code, ..Property::default() };
                let office = route.office_for(slice::from_ref(&unit), "");
                office.map_err(|_none| unknown("unit_code"))
            }
            None => Err(self.no_subject("matter.office_code")),
        }
    }

    /// How a bank is told that there is no matter of that name, and which there are.
    fn no_matter(&self, found: String) -> Refusal {
        let mut faults = self.faults(FaultCode::CodeUnmapped, &["matter.matter".to_owned()]);
        for fault in &mut faults {
            fault.found = Some(found.clone());
            fault.expected = Some(matter::names().join("、"));
        }
        Refusal::of_faults(faults)
    }

    /// How long a matter is expected to take there.
    async fn expected(&self, office: &Office, matter: String) -> Result<OfficeMatter, Refusal> {
        let Expectation { window, cases_max, cases_min } = self.gateway.expectation;
        let past = PastCases {
            registry: office.registry.clone(),
            office: office.code.clone(),
            matter: matter.clone(),
            within: window,
            limit: cases_max,
        };
        let taken = self.gateway.ledger.times_taken(&past);
        let taken = self.gateway.timed(LedgerVerb::TimesTaken, taken).await;
        let mut taken = taken.map_err(|error| self.ledger_away(&error))?;
        taken.sort_unstable();
        let is_known = u32::try_from(taken.len()).is_ok_and(|count| count >= cases_min);
        // Of an even number the later of the two in the middle: rather too long than too short.
        let median = taken.get(taken.len() / 2).filter(|_| is_known);
        Ok(OfficeMatter {
            matter,
            expected_seconds: median.and_then(|median| i64::try_from(median.as_secs()).ok()),
            cases: median.and_then(|_| i32::try_from(taken.len()).ok()),
        })
    }
}

fn timestamp(moment: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: moment.unix_timestamp(), nanos: 0 }
}
