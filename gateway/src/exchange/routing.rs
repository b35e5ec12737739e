//! The office in charge; where there is none, the bank is told which of its evidence says so.

use std::sync::Arc;

use adapters::{Fault, FaultCode};
use proto::v1::Property;

use super::Hearing;
use crate::{
    refusal::{Code, Refusal},
    route::NoOffice,
    settings::Office,
};

impl Hearing<'_> {
    pub(super) fn office_for(
        &self,
        properties: &[Property],
        stated: &str,
    ) -> Result<Arc<Office>, Refusal> {
        self.directory.route.office_for(properties, stated).map_err(|none| match none {
            NoOffice::Unknown { fields } => Refusal::of(Code::OfficeUnknown)
                .with_faults(self.faults(FaultCode::RouteUnknown, &fields)),
            NoOffice::Several { fields, first, split } => {
                let parts = split.into_iter().map(|(office, properties)| {
                    let numbers: Vec<_> = properties.iter().map(usize::to_string).collect();
                    format!("第{}项归{office}", numbers.join("、"))
                });
                let parts: Vec<_> = parts.collect();
                Refusal::of(Code::RouteConflict)
                    .with_faults(self.disagreeing(fields, &first))
                    .with_detail(format!("请分别申请，{}", parts.join("；")))
            }
            NoOffice::Contradicted { pieces } => {
                Refusal::of(Code::RouteConflict).with_faults(self.contradicting(&pieces))
            }
        })
    }

    /// A fault for each piece of evidence, with the office it leads to and those that the others lead to.
    fn contradicting(&self, pieces: &[(String, String)]) -> Vec<Fault> {
        let fields: Vec<_> = pieces.iter().map(|(field, _)| field.clone()).collect();
        let mut faults = self.faults(FaultCode::RouteConflict, &fields);
        for fault in &mut faults {
            let is_own = |piece: &&(String, String)| Some(&piece.0) == fault.field.as_ref();
            let own = pieces.iter().find(is_own).map(|(_, office)| office.clone());
            let mut others: Vec<_> = pieces.iter().map(|(_, office)| office.as_str()).collect();
            others.retain(|office| Some(*office) != own.as_deref());
            others.dedup();
            fault.expected = Some(others.join("、"));
            fault.found = own;
        }
        faults
    }

    /// A fault for each field that leads to another office than `expected`, with both offices.
    fn disagreeing(&self, fields: Vec<(String, String)>, expected: &str) -> Vec<Fault> {
        let names: Vec<_> = fields.iter().map(|(field, _)| field.clone()).collect();
        let mut faults = self.faults(FaultCode::RouteConflict, &names);
        for fault in &mut faults {
            let found = fields.iter().find(|(field, _)| Some(field) == fault.field.as_ref());
            fault.found = found.map(|(_, office)| office.clone());
            fault.expected = Some(expected.to_owned());
        }
        faults
    }
}
