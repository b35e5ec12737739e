//! Advance notices (预告登记): whether one may be entered or ended.

use proto::v1::{
    AdvanceNotice, AdvanceNoticeDischarge, AdvanceNoticeKind, EncumbranceKind, MortgageStage,
    Property,
};

use super::{
    applicants::Applicants, each_title, party_missing, property_field, property_name, seized,
    title_numbers,
};
use crate::reference_registry::{
    complaint::{Complaints, Reason},
    register::{Register, Title, TitleId},
};

pub(super) fn registration(
    register: &Register,
    application: &AdvanceNotice,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    party_missing(&application.obligees, "obligees", complaints);
    party_missing(&application.obligors, "obligors", complaints);
    each_title(register, &application.properties, complaints, |position, title, complaints| {
        let Some(property) = application.properties.get(position) else { return };
        noted_once(title, position, property, complaints);
        seized(title, position, property, complaints);
        title_numbers(title, position, property, complaints);
        match application.kind() {
            AdvanceNoticeKind::PresalePurchase => {
                bought(application, position, title, property, complaints);
            }
            AdvanceNoticeKind::Transfer | AdvanceNoticeKind::Unspecified => {
                let sellers = &application.obligors;
                Applicants { title, property, position, list: "obligors", parties: sellers }
                    .may_dispose(complaints);
            }
        }
    })
}

/// A home that is sold before it stands: the register knows its buyers from the contract that was filed.
fn bought(
    application: &AdvanceNotice,
    position: usize,
    title: &Title,
    property: &Property,
    complaints: &mut Complaints,
) {
    if title.stage() != MortgageStage::PresaleNotice {
        let field = property_field(position, property);
        complaints.add(Reason::StageMismatch, &field, property_name(property));
    }
    Applicants { title, property, position, list: "obligees", parties: &application.obligees }
        .are_all_holders(complaints);
    for (place, obligor) in application.obligors.iter().enumerate() {
        if title.seller.as_ref().is_some_and(|seller| !seller.is(obligor)) {
            let field = format!("matter.obligors[{place}].id_number");
            complaints.add(Reason::HolderMismatch, &field, property_name(property));
        }
    }
}

fn noted_once(title: &Title, position: usize, property: &Property, complaints: &mut Complaints) {
    if title.limits_of(EncumbranceKind::AdvanceNotice).next().is_some() {
        let field = property_field(position, property);
        complaints.add(Reason::NoticeStands, &field, property_name(property));
    }
}

pub(super) fn discharge(
    register: &Register,
    application: &AdvanceNoticeDischarge,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    let titles =
        each_title(register, &application.properties, complaints, |_position, _title, _none| {});
    taken_up(register, &application.advance_notice_numbers, &titles, complaints, |limit| {
        limit.iter().all(|it| application.obligees.iter().any(|party| it.is(party)))
    });
    titles
}

/// Whether every one of those notices stands on one of the titles and is `theirs`.
pub(super) fn taken_up(
    register: &Register,
    numbers: &[String],
    titles: &[TitleId],
    complaints: &mut Complaints,
    theirs: impl Fn(&[crate::reference_registry::register::Entitled]) -> bool,
) {
    for (place, number) in numbers.iter().enumerate() {
        let field = format!("matter.advance_notice_numbers[{place}]");
        let mut standing = titles
            .iter()
            .filter_map(|id| register.title(*id))
            .flat_map(|title| title.limits_of(EncumbranceKind::AdvanceNotice));
        match standing.find(|limit| limit.number == *number) {
            None => complaints.add(Reason::NoticeUnknown, &field, number),
            Some(limit) if !theirs(&limit.holders) => {
                complaints.add(Reason::NotObligee, &field, number);
            }
            Some(_) => {}
        }
    }
}
