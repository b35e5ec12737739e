//! Ownership: whether a home may change hands, or what is recorded of it change. Charges do not stand in the way: they
//! stay on the home (民法典 art. 406), unless the parties agreed otherwise and had that registered.

use proto::v1::{
    EncumbranceKind, MortgageStage, NewHomeTransfer, OwnershipChange, OwnershipChangeKind,
    OwnershipTransfer, Party, Property,
};

use super::{
    applicants::Applicants, each_title, ending_titles, notice::taken_up, party_missing,
    property_field, property_name, seized, title_numbers,
};
use crate::reference_registry::{
    complaint::{Complaints, Reason},
    register::{Register, Title, TitleId},
};

pub(super) fn new_home(
    register: &Register,
    application: &NewHomeTransfer,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    let NewHomeTransfer { properties, transferors, transferees, .. } = application;
    party_missing(transferees, "transferees", complaints);
    let titles = each_title(register, properties, complaints, |position, title, complaints| {
        let Some(property) = properties.get(position) else { return };
        handed_over(register, title, position, property, transferors, complaints);
        if title.stage() != MortgageStage::Existing {
            let field = property_field(position, property);
            complaints.add(Reason::StageMismatch, &field, property_name(property));
        }
        others_notices(title, position, property, &application.advance_notice_numbers, complaints);
    });
    taken_up(register, &application.advance_notice_numbers, &titles, complaints, |obligees| {
        obligees.iter().all(|it| transferees.iter().any(|party| it.is(party)))
    });
    titles
}

pub(super) fn transfer(
    register: &Register,
    application: &OwnershipTransfer,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    let OwnershipTransfer { properties, transferors, transferees, .. } = application;
    party_missing(transferees, "transferees", complaints);
    let titles = each_title(register, properties, complaints, |position, title, complaints| {
        let Some(property) = properties.get(position) else { return };
        handed_over(register, title, position, property, transferors, complaints);
        others_notices(title, position, property, &[], complaints);
    });
    ending_titles(register, &application.certificate_numbers, &titles, complaints);
    titles
}

/// What is asked of every home that changes hands.
fn handed_over(
    register: &Register,
    title: &Title,
    position: usize,
    property: &Property,
    transferors: &[Party],
    complaints: &mut Complaints,
) {
    seized(title, position, property, complaints);
    title_numbers(title, position, property, complaints);
    Applicants { title, property, position, list: "transferors", parties: transferors }
        .may_dispose(complaints);
    let restricts = |(id, _)| register.charges_on(id).any(|charge| charge.transfer_restricted);
    if register.title_of(property).is_some_and(restricts) {
        let field = property_field(position, property);
        complaints.add(Reason::TransferRestricted, &field, property_name(property));
    }
}

/// Whoever is protected by a notice need not bear that the home goes to others (民法典 art. 221).
fn others_notices(
    title: &Title,
    position: usize,
    property: &Property,
    taken_up: &[String],
    complaints: &mut Complaints,
) {
    let mut notices = title.limits_of(EncumbranceKind::AdvanceNotice);
    if notices.any(|notice| !taken_up.contains(&notice.number)) {
        let field = property_field(position, property);
        complaints.add(Reason::NoticeStands, &field, property_name(property));
    }
}

pub(super) fn change(
    register: &Register,
    application: &OwnershipChange,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    let OwnershipChange { properties, holders: now, .. } = application;
    let kind = application.kind();
    let titles = each_title(register, properties, complaints, |position, title, complaints| {
        let Some(property) = properties.get(position) else { return };
        match kind {
            OwnershipChangeKind::Holder => {
                same_people(title, property, now, complaints);
            }
            OwnershipChangeKind::Property
            | OwnershipChangeKind::CoOwnership
            | OwnershipChangeKind::Other
            | OwnershipChangeKind::Unspecified => {
                Applicants { title, property, position, list: "holders", parties: now }
                    .are_all_holders(complaints);
            }
        }
        // A new name or a surveyed area disposes of nothing; how owners hold the home together does.
        if kind == OwnershipChangeKind::CoOwnership {
            seized(title, position, property, complaints);
        }
    });
    ending_titles(register, &application.certificate_numbers, &titles, complaints);
    titles
}

/// Whether those who held it hold it still, each under the name or with the document of before: another owner is no change
/// but a transfer.
fn same_people(title: &Title, property: &Property, now: &[Party], complaints: &mut Complaints) {
    let name = property_name(property);
    for (place, party) in now.iter().enumerate() {
        if !title.holders.iter().any(|holder| holder.may_be(party)) {
            let field = format!("matter.holders[{place}].id_number");
            complaints.add(Reason::HolderMismatch, &field, name);
        }
    }
    if !title.holders.iter().all(|holder| now.iter().any(|party| holder.may_be(party))) {
        complaints.add(Reason::HolderAbsent, "matter.holders", name);
    }
}
