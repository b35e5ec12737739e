//! Certificates that are lost or worn (补换证): whether new ones may be made out.

use proto::v1::{CertificateReissue, ReissueKind};

use super::{applicants::Applicants, each_title};
use crate::reference_registry::{
    complaint::{Complaints, Reason},
    register::{ChargeId, Register, TitleId},
};

/// What gets new certificates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Reissued {
    pub(in super::super) titles: Vec<TitleId>,
    pub(in super::super) charges: Vec<ChargeId>,
}

pub(super) fn reissue(
    register: &Register,
    application: &CertificateReissue,
    complaints: &mut Complaints,
) -> Reissued {
    if application.kind() == ReissueKind::Reissue && application.loss_declared_on.is_empty() {
        complaints.add(Reason::LossNotDeclared, "matter.loss_declared_on", "");
    }
    if application.certificate_numbers.is_empty() {
        complaints.add(Reason::CertificateUnknown, "matter.certificate_numbers", "");
    }
    let CertificateReissue { properties, holders: applicants, .. } = application;
    let listed = each_title(register, properties, complaints, |_position, _title, _complaints| {});
    let mut reissued = Reissued::default();
    for (place, number) in application.certificate_numbers.iter().enumerate() {
        let field = format!("matter.certificate_numbers[{place}]");
        let of_title = listed.iter().position(|id| {
            register.title(*id).is_some_and(|title| title.title_numbers.contains(number))
        });
        match (of_title, register.charge(number)) {
            (Some(position), _) => {
                if let (Some(id), Some(property)) = (listed.get(position), properties.get(position))
                    && let Some(title) = register.title(*id)
                {
                    Applicants { title, property, position, list: "holders", parties: applicants }
                        .are_all_holders(complaints);
                    reissued.titles.push(*id);
                }
            }
            (None, Some((_, charge))) if charge.standing.is_empty() => {
                complaints.add(Reason::AlreadyDischarged, &field, number);
            }
            (None, Some((id, charge))) => {
                if !charge.mortgagees.iter().all(|it| applicants.iter().any(|p| it.is(p))) {
                    complaints.add(Reason::NotMortgagee, "matter.holders", number);
                }
                if !charge.standing.iter().any(|title| listed.contains(title)) {
                    complaints.add(Reason::CertificateElsewhere, &field, number);
                }
                reissued.charges.push(id);
            }
            (None, None) => complaints.add(Reason::CertificateUnknown, &field, number),
        }
    }
    reissued
}
