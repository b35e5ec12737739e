//! Charges: whether one may be entered, changed, handed on or ended.

use proto::v1::{
    DischargeScope, MortgageChange, MortgageDischarge, MortgageKind, MortgageRegistration,
    MortgageStage, MortgageTransfer, Party, Property,
};

use super::{
    applicants::Applicants, each_title, party_missing, property_field, property_name, seized,
    title_numbers,
};
use crate::reference_registry::{
    complaint::{Complaints, Reason},
    register::{Charge, ChargeId, Register, Title, TitleId},
};

pub(super) fn registration(
    register: &Register,
    application: &MortgageRegistration,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    let (amount, field) = match application.kind() {
        MortgageKind::Maximum => (application.maximum_amount_fen, "matter.maximum_amount_fen"),
        MortgageKind::General => (application.secured_amount_fen, "matter.secured_amount_fen"),
        MortgageKind::Unspecified => (None, "matter.kind"),
    };
    if amount.is_none_or(|fen| fen <= 0) {
        complaints.add(Reason::AmountMissing, field, "");
    }
    if application.stage() == MortgageStage::Unspecified {
        complaints.add(Reason::StageUnsupported, "matter.stage", "");
    }
    party_missing(&application.mortgagors, "mortgagors", complaints);
    party_missing(&application.mortgagees, "mortgagees", complaints);
    let properties = &application.properties;
    each_title(register, properties, complaints, |position, title, complaints| {
        registrable(application, position, title, complaints);
    })
}

fn registrable(
    application: &MortgageRegistration,
    position: usize,
    title: &Title,
    complaints: &mut Complaints,
) {
    let Some(property) = application.properties.get(position) else { return };
    if title.stage() != application.stage() {
        let field = property_field(position, property);
        complaints.add(Reason::StageMismatch, &field, property_name(property));
    }
    seized(title, position, property, complaints);
    title_numbers(title, position, property, complaints);
    Applicants { title, property, position, list: "mortgagors", parties: &application.mortgagors }
        .may_dispose(complaints);
}

pub(super) fn discharge(
    register: &Register,
    application: &MortgageDischarge,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    let titles =
        each_title(register, &application.properties, complaints, |_position, _title, _none| {});
    let numbers = &application.certificate_numbers;
    let lenders = ("mortgagees", application.mortgagees.as_slice());
    let charges = standing(register, numbers, lenders, &titles, complaints);
    if complaints.is_empty() {
        let charges = charges.into_iter().map(|(_, charge)| charge).collect::<Vec<_>>();
        scope(application, &charges, &titles, complaints);
    }
    titles
}

/// Whether what is listed is all of it, where all of it is to end, and only a part where only a part is.
fn scope(
    application: &MortgageDischarge,
    charges: &[&Charge],
    titles: &[TitleId],
    complaints: &mut Complaints,
) {
    for (position, title) in titles.iter().enumerate() {
        if !charges.iter().any(|charge| charge.standing.contains(title)) {
            let field = format!("matter.properties[{position}]");
            complaints.add(Reason::CertificateElsewhere, &field, "");
        }
    }
    let whole = charges.iter().all(|c| c.standing.iter().all(|title| titles.contains(title)));
    match (application.scope(), whole) {
        (DischargeScope::Whole, true) | (DischargeScope::Partial, false) => {}
        (DischargeScope::Whole, false)
        | (DischargeScope::Partial, true)
        | (DischargeScope::Unspecified, _) => {
            complaints.add(Reason::ScopeMismatch, "matter.scope", "");
        }
    }
}

pub(super) fn change(
    register: &Register,
    application: &MortgageChange,
    complaints: &mut Complaints,
) -> Vec<ChargeId> {
    let MortgageChange { secured_amount_fen, maximum_amount_fen, debt_from, debt_to, .. } =
        application;
    let changes_nothing = secured_amount_fen.is_none()
        && maximum_amount_fen.is_none()
        && debt_from.is_empty()
        && debt_to.is_empty()
        && application.guarantee_scope.is_empty()
        && application.rank.is_none();
    if changes_nothing {
        complaints.add(Reason::NothingChanges, "matter", "");
    }
    let numbers = &application.certificate_numbers;
    let lenders = ("mortgagees", application.mortgagees.as_slice());
    let owners = application.mortgagors.as_slice();
    let homes = &application.properties;
    let charges = on_homes(register, homes, numbers, lenders, owners, complaints);
    for (_, charge) in &charges {
        let wrong = match charge.kind {
            MortgageKind::Maximum => secured_amount_fen.map(|_| "matter.secured_amount_fen"),
            MortgageKind::General | MortgageKind::Unspecified => {
                maximum_amount_fen.map(|_| "matter.maximum_amount_fen")
            }
        };
        if let Some(field) = wrong {
            complaints.add(Reason::AmountOfOtherKind, field, &charge.certificate_number);
        }
    }
    charges.into_iter().map(|(id, _)| id).collect()
}

pub(super) fn transfer(
    register: &Register,
    application: &MortgageTransfer,
    complaints: &mut Complaints,
) -> Vec<ChargeId> {
    party_missing(&application.transferees, "transferees", complaints);
    let numbers = &application.certificate_numbers;
    let lenders = ("transferors", application.transferors.as_slice());
    let owners = application.mortgagors.as_slice();
    let homes = &application.properties;
    let charges = on_homes(register, homes, numbers, lenders, owners, complaints);
    charges.into_iter().map(|(id, _)| id).collect()
}

/// The charges that are meant, where homes, owners and lenders are as registered and no court stands in the way.
fn on_homes<'r>(
    register: &'r Register,
    properties: &[Property],
    numbers: &[String],
    lenders: (&str, &[Party]),
    mortgagors: &[Party],
    complaints: &mut Complaints,
) -> Vec<(ChargeId, &'r Charge)> {
    let titles = each_title(register, properties, complaints, |position, title, complaints| {
        let Some(property) = properties.get(position) else { return };
        seized(title, position, property, complaints);
        Applicants { title, property, position, list: "mortgagors", parties: mortgagors }
            .may_dispose(complaints);
    });
    standing(register, numbers, lenders, &titles, complaints)
}

/// The charges of those certificates, as far as they stand on one of the titles and belong to those lenders.
fn standing<'r>(
    register: &'r Register,
    numbers: &[String],
    (list, lenders): (&str, &[Party]),
    titles: &[TitleId],
    complaints: &mut Complaints,
) -> Vec<(ChargeId, &'r Charge)> {
    if numbers.is_empty() {
        complaints.add(Reason::CertificateUnknown, "matter.certificate_numbers", "");
    }
    let mut charges = Vec::new();
    for (place, number) in numbers.iter().enumerate() {
        let field = format!("matter.certificate_numbers[{place}]");
        match register.charge(number) {
            None => complaints.add(Reason::CertificateUnknown, &field, number),
            Some((_, charge)) if charge.standing.is_empty() => {
                complaints.add(Reason::AlreadyDischarged, &field, number);
            }
            Some((id, charge)) => {
                if !charge.mortgagees.iter().all(|it| lenders.iter().any(|party| it.is(party))) {
                    complaints.add(Reason::NotMortgagee, &format!("matter.{list}"), number);
                }
                if !charge.standing.iter().any(|title| titles.contains(title)) {
                    complaints.add(Reason::CertificateElsewhere, &field, number);
                }
                charges.push((id, charge));
            }
        }
    }
    charges
}
