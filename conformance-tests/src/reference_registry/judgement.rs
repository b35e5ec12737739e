//! What may be entered in the register, and what is refused and why.
//!
//! Two sorts of reason: what the counter sees from the papers alone (不予受理, NOT_ACCEPTED) and what the reviewer
//! sees by comparing them with the register (不予登记, REFUSED); Interim Regulations on Real Estate Registration
//! (不动产登记暂行条例) arts. 17 and 22. All reasons are told at once.
//!
//! An objection (异议) doesn't stop a registration: it warns (实施细则 art. 84). The rank (顺位) an application states is
//! not compared: rank follows from the order of entry.

use proto::v1::{
    Application, DischargeScope, EncumbranceKind, MortgageDischarge, MortgageKind,
    MortgageRegistration, MortgageStage, Property, application::Matter,
};

use super::{
    complaint::{Complaints, Reason},
    register::{Charge, Register, Title, TitleId},
};

/// What is to be entered: decided, not yet done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A charge on each of these titles.
    Charges(Vec<TitleId>),
    /// The named charges end on these titles.
    Discharge(Vec<TitleId>),
}

/// Judges one application against the register as it stands.
///
/// # Errors
/// Every reason not to enter it.
pub(super) fn judge(register: &Register, application: &Application) -> Result<Entry, Complaints> {
    let mut complaints = Complaints::default();
    let office = application.office.as_ref().map_or("", |office| office.code.as_str());
    let office = register.office(office);
    if office.is_none() {
        complaints.add(Reason::OfficeNotOurs, "office.code", "");
    }
    let offered = |matter: &str| {
        office.is_none_or(|office| office.description.matters.iter().any(|name| name == matter))
    };
    let entry = match &application.matter {
        Some(Matter::MortgageRegistration(it)) if offered("mortgage_registration") => {
            Entry::Charges(charge(register, it, &mut complaints))
        }
        Some(Matter::MortgageDischarge(it)) if offered("mortgage_discharge") => {
            Entry::Discharge(discharge(register, it, &mut complaints))
        }
        _ => {
            complaints.add(Reason::MatterUnsupported, "", "");
            Entry::Charges(Vec::new())
        }
    };
    if complaints.is_empty() { Ok(entry) } else { Err(complaints) }
}

fn charge(
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
    match application.stage() {
        MortgageStage::Existing | MortgageStage::PresaleNotice => {}
        MortgageStage::UnderConstruction | MortgageStage::Unspecified => {
            complaints.add(Reason::StageUnsupported, "matter.stage", "");
        }
    }
    for (parties, field) in [
        (&application.mortgagors, "matter.mortgagors"),
        (&application.mortgagees, "matter.mortgagees"),
    ] {
        if parties.is_empty() {
            complaints.add(Reason::PartyMissing, field, "");
        }
    }
    let properties = &application.properties;
    each_title(register, properties, complaints, |position, title, complaints| {
        registrable(application, position, title, complaints);
    })
}

/// Looks up every property, and has `check` look at those that are there.
fn each_title(
    register: &Register,
    properties: &[Property],
    complaints: &mut Complaints,
    mut check: impl FnMut(usize, &Title, &mut Complaints),
) -> Vec<TitleId> {
    if properties.is_empty() {
        complaints.add(Reason::PropertyMissing, "matter.properties", "");
    }
    let mut titles = Vec::with_capacity(properties.len());
    for (position, property) in properties.iter().enumerate() {
        match register.title_of(property) {
            Some((id, _)) if titles.contains(&id) => complaints.add(
                Reason::PropertyTwice,
                &property_field(position, property),
                property_name(property),
            ),
            Some((id, title)) => {
                titles.push(id);
                check(position, title, complaints);
            }
            None => complaints.add(
                Reason::PropertyUnknown,
                &property_field(position, property),
                property_name(property),
            ),
        }
    }
    titles
}

fn registrable(
    application: &MortgageRegistration,
    position: usize,
    title: &Title,
    complaints: &mut Complaints,
) {
    let Some(property) = application.properties.get(position) else { return };
    let field = property_field(position, property);
    let name = property_name(property);
    let built = title.presale_contract_number.is_empty();
    if built != (application.stage() == MortgageStage::Existing) {
        complaints.add(Reason::StageMismatch, &field, name);
    }
    if title.limits.iter().any(|limit| limit.kind == EncumbranceKind::Seizure) {
        complaints.add(Reason::PropertySeized, &field, name);
    }
    if property.title_numbers.iter().any(|number| !title.title_numbers.contains(number)) {
        let field = format!("matter.properties[{position}].title_numbers");
        complaints.add(Reason::TitleNumberMismatch, &field, name);
    }

    // Who charges a home must own it, and all who own it must charge it. Where shares are held, two thirds of them could
    // decide (民法典 art. 301), but this register does not keep shares.
    let mut charging = Vec::new();
    for (place, party) in application.mortgagors.iter().enumerate() {
        let indexes = &party.property_indexes;
        if !indexes.is_empty() && !indexes.iter().any(|i| usize::try_from(*i) == Ok(position)) {
            continue;
        }
        charging.push(party);
        if !title.holders.iter().any(|holder| holder.is(party)) {
            let field = format!("matter.mortgagors[{place}].id_number");
            complaints.add(Reason::HolderMismatch, &field, name);
        }
    }
    if !title.holders.iter().all(|holder| charging.iter().any(|party| holder.is(party))) {
        complaints.add(Reason::HolderAbsent, "matter.mortgagors", name);
    }
}

fn discharge(
    register: &Register,
    application: &MortgageDischarge,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    if application.certificate_numbers.is_empty() {
        complaints.add(Reason::CertificateUnknown, "matter.certificate_numbers", "");
    }
    let titles =
        each_title(register, &application.properties, complaints, |_position, _title, _none| {});
    let mut charges: Vec<&Charge> = Vec::new();
    for (place, number) in application.certificate_numbers.iter().enumerate() {
        let field = format!("matter.certificate_numbers[{place}]");
        match register.charge(number) {
            None => complaints.add(Reason::CertificateUnknown, &field, number),
            Some((_, charge)) if charge.standing.is_empty() => {
                complaints.add(Reason::AlreadyDischarged, &field, number);
            }
            Some((_, charge)) => {
                let lenders = &application.mortgagees;
                if !charge
                    .mortgagees
                    .iter()
                    .all(|holder| lenders.iter().any(|lender| lender.id_number == holder.id_number))
                {
                    complaints.add(Reason::NotMortgagee, "matter.mortgagees", number);
                }
                if !charge.standing.iter().any(|title| titles.contains(title)) {
                    complaints.add(Reason::CertificateElsewhere, &field, number);
                }
                charges.push(charge);
            }
        }
    }
    if complaints.is_empty() {
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

fn property_field(position: usize, property: &Property) -> String {
    let part = if !property.unit_code.is_empty() {
        "unit_code"
    } else if !property.presale_contract_number.is_empty() {
        "presale_contract_number"
    } else {
        "title_numbers"
    };
    format!("matter.properties[{position}].{part}")
}

fn property_name(property: &Property) -> &str {
    if property.unit_code.is_empty() {
        &property.presale_contract_number
    } else {
        &property.unit_code
    }
}
