//! Where in the bank's own message a fault stands.

use adapters::{Fault, FaultCode};
use proto::v1::Outcome;

use super::Hearing;

impl Hearing<'_> {
    /// What a registry finds wrong it tells by canonical field; the bank is told where that stands in its own message.
    pub(super) fn placed(&self, mut outcome: Outcome) -> Outcome {
        if let Some(refusal) = &mut outcome.refusal {
            let unplaced = |fault: &&mut proto::v1::Fault| fault.place.is_empty();
            let faults: Vec<_> = refusal.faults.iter_mut().filter(unplaced).collect();
            let fields: Vec<_> = faults.iter().map(|fault| fault.field.clone()).collect();
            let places = self.contract.locate(self.wire, self.bank.mode(), &fields);
            for (fault, (place, offset)) in faults.into_iter().zip(places) {
                fault.place = place;
                fault.offset = i64::try_from(offset).ok();
            }
        }
        outcome
    }

    /// Faults at canonical fields, placed in the bank's message.
    pub(super) fn faults(&self, code: FaultCode, fields: &[String]) -> Vec<Fault> {
        let places = self.contract.locate(self.wire, self.bank.mode(), fields);
        let mut faults: Vec<_> = fields
            .iter()
            .zip(places)
            .map(|(field, (place, offset))| Fault {
                code,
                place,
                offset,
                field: Some(field.clone()),
                found: None,
                expected: None,
            })
            .collect();
        faults.sort_by_key(|fault| fault.offset);
        faults
    }
}
