//! What may be entered in the register, and what is refused and why.
//!
//! Two sorts of reason: what the counter sees from the papers alone (不予受理, NOT_ACCEPTED) and what the reviewer
//! sees by comparing them with the register (不予登记, REFUSED); Interim Regulations on Real Estate Registration
//! (不动产登记暂行条例) arts. 17 and 22. All reasons are told at once.
//!
//! A matter is judged in a file of its own; here stands what they share. An objection (异议) doesn't stop a registration: it warns (实施细则 art. 84). The rank (顺位) an application states is
//! not compared: rank follows from the order of entry.

mod applicants;
mod mortgage;
mod notice;
mod ownership;
mod reissue;
mod seizure;

use proto::v1::{
    AdvanceNotice, AdvanceNoticeDischarge, Application, EncumbranceKind, Institution,
    MortgageChange, MortgageDischarge, MortgageRegistration, MortgageTransfer, NewHomeTransfer,
    OwnershipChange, OwnershipTransfer, Party, Property, Seizure, SeizureAction,
    application::Matter,
};

use super::{
    complaint::{Complaints, Reason},
    register::{ChargeId, Register, Stamp, Title, TitleId},
};
use reissue::Reissued;

/// What is to be entered: decided, not yet done.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    /// A charge on each of these titles.
    Charges(&'a MortgageRegistration, Vec<TitleId>),
    /// The named charges end on these titles.
    Discharge(&'a MortgageDischarge, Vec<TitleId>),
    /// These charges change.
    ChargeChange(&'a MortgageChange, Vec<ChargeId>),
    /// These charges pass to others.
    ChargeTransfer(&'a MortgageTransfer, Vec<ChargeId>),
    /// A notice on each of these titles.
    Notices(&'a AdvanceNotice, Vec<TitleId>),
    /// The named notices end on these titles.
    NoticesEnd(&'a AdvanceNoticeDischarge, Vec<TitleId>),
    /// These titles pass to their first owners, and the notices with them.
    NewHomes(&'a NewHomeTransfer, Vec<TitleId>),
    /// These titles pass to others.
    Ownership(&'a OwnershipTransfer, Vec<TitleId>),
    /// What is recorded of these titles changes.
    OwnershipChange(&'a OwnershipChange, Vec<TitleId>),
    /// New certificates are made out.
    Reissue(Reissued),
    /// A seizure of these titles begins, waits, lasts or ends.
    Seizure(&'a Seizure, Vec<TitleId>, &'a Institution),
}

/// Judges one application against the register as it stands.
///
/// # Errors
/// Every reason not to enter it.
pub(super) fn judge<'a>(
    register: &Register,
    application: &'a Application,
) -> Result<Entry<'a>, Complaints> {
    let mut complaints = Complaints::default();
    let code = application.office.as_ref().map_or("", |office| office.code.as_str());
    let office = register.office(code);
    if office.is_none() {
        complaints.add(Reason::OfficeNotOurs, "office.code", "");
    }
    let offered = application.matter.as_ref().filter(|matter| {
        let name = name(matter);
        office.is_none_or(|office| office.description.matters.iter().any(|it| it == name))
    });
    let Some(matter) = offered else {
        complaints.add(Reason::MatterUnsupported, "", "");
        return Err(complaints);
    };
    let entry = judge_matter(register, matter, application.institution.as_ref(), &mut complaints);
    match entry {
        Some(entry) if complaints.is_empty() => Ok(entry),
        Some(_) | None => Err(complaints),
    }
}

fn judge_matter<'a>(
    register: &Register,
    matter: &'a Matter,
    institution: Option<&'a Institution>,
    told: &mut Complaints,
) -> Option<Entry<'a>> {
    Some(match matter {
        Matter::MortgageRegistration(it) => {
            Entry::Charges(it, mortgage::registration(register, it, told))
        }
        Matter::MortgageDischarge(it) => {
            Entry::Discharge(it, mortgage::discharge(register, it, told))
        }
        Matter::MortgageChange(it) => Entry::ChargeChange(it, mortgage::change(register, it, told)),
        Matter::MortgageTransfer(it) => {
            Entry::ChargeTransfer(it, mortgage::transfer(register, it, told))
        }
        Matter::AdvanceNotice(it) => Entry::Notices(it, notice::registration(register, it, told)),
        Matter::AdvanceNoticeDischarge(it) => {
            Entry::NoticesEnd(it, notice::discharge(register, it, told))
        }
        Matter::NewHomeTransfer(it) => Entry::NewHomes(it, ownership::new_home(register, it, told)),
        Matter::OwnershipTransfer(it) => {
            Entry::Ownership(it, ownership::transfer(register, it, told))
        }
        Matter::OwnershipChange(it) => {
            Entry::OwnershipChange(it, ownership::change(register, it, told))
        }
        Matter::CertificateReissue(it) => Entry::Reissue(reissue::reissue(register, it, told)),
        Matter::Seizure(it) => {
            let court = institution?;
            Entry::Seizure(it, seizure::seizure(register, it, court, told), court)
        }
    })
}

impl Entry<'_> {
    /// Enters it, and gives back the numbers it is known by from now on: of certificates, or of a seizure.
    pub(super) fn enter(self, register: &mut Register, stamp: Stamp<'_>) -> Vec<String> {
        match self {
            Self::Charges(it, titles) => register.enter_charges(it, &titles, stamp),
            Self::Discharge(it, titles) => {
                register.discharge(it, &titles);
                Vec::new()
            }
            Self::ChargeChange(it, charges) => register.change_charges(it, &charges, stamp),
            Self::ChargeTransfer(it, charges) => register.transfer_charges(it, &charges, stamp),
            Self::Notices(it, titles) => register.enter_notices(it, &titles, stamp),
            Self::NoticesEnd(it, titles) => {
                let kind = EncumbranceKind::AdvanceNotice;
                register.end_limits(kind, &it.advance_notice_numbers, &titles);
                Vec::new()
            }
            Self::NewHomes(it, titles) => {
                let kind = EncumbranceKind::AdvanceNotice;
                register.end_limits(kind, &it.advance_notice_numbers, &titles);
                register.hand_over(&it.transferees, &titles, stamp)
            }
            Self::Ownership(it, titles) => register.hand_over(&it.transferees, &titles, stamp),
            Self::OwnershipChange(it, titles) => register.change_titles(it, &titles, stamp),
            Self::Reissue(Reissued { titles, charges }) => {
                let mut numbers = register.titles_certified_anew(&titles, stamp);
                numbers.extend(register.certified_anew(&charges, stamp, |_charge| {}));
                numbers
            }
            Self::Seizure(it, titles, court) => match it.action() {
                SeizureAction::Seize | SeizureAction::Unspecified => {
                    register.seize(it, &titles, court, false, stamp)
                }
                SeizureAction::Queue => register.seize(it, &titles, court, true, stamp),
                SeizureAction::Renew => {
                    register.renew(it, &titles);
                    vec![it.prior_entry_number.clone()]
                }
                SeizureAction::Release => {
                    register.release(it, &titles);
                    Vec::new()
                }
            },
        }
    }
}

/// The matter's name, as in `Application.matter` and in what an office says it takes.
fn name(matter: &Matter) -> &'static str {
    match matter {
        Matter::MortgageRegistration(_) => "mortgage_registration",
        Matter::MortgageDischarge(_) => "mortgage_discharge",
        Matter::MortgageChange(_) => "mortgage_change",
        Matter::MortgageTransfer(_) => "mortgage_transfer",
        Matter::AdvanceNotice(_) => "advance_notice",
        Matter::AdvanceNoticeDischarge(_) => "advance_notice_discharge",
        Matter::NewHomeTransfer(_) => "new_home_transfer",
        Matter::OwnershipTransfer(_) => "ownership_transfer",
        Matter::OwnershipChange(_) => "ownership_change",
        Matter::CertificateReissue(_) => "certificate_reissue",
        Matter::Seizure(_) => "seizure",
    }
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

/// The title certificates that are to end must be those of the titles.
fn ending_titles(
    register: &Register,
    numbers: &[String],
    titles: &[TitleId],
    complaints: &mut Complaints,
) {
    for (place, number) in numbers.iter().enumerate() {
        let mut titles = titles.iter().filter_map(|id| register.title(*id));
        if !titles.any(|title| title.title_numbers.contains(number)) {
            let field = format!("matter.certificate_numbers[{place}]");
            complaints.add(Reason::CertificateElsewhere, &field, number);
        }
    }
}

fn party_missing(parties: &[Party], list: &str, complaints: &mut Complaints) {
    if parties.is_empty() {
        complaints.add(Reason::PartyMissing, &format!("matter.{list}"), "");
    }
}

fn seized(title: &Title, position: usize, property: &Property, complaints: &mut Complaints) {
    if title.limits_of(EncumbranceKind::Seizure).next().is_some() {
        let field = property_field(position, property);
        complaints.add(Reason::PropertySeized, &field, property_name(property));
    }
}

fn title_numbers(title: &Title, position: usize, property: &Property, complaints: &mut Complaints) {
    if property.title_numbers.iter().any(|number| !title.title_numbers.contains(number)) {
        let field = format!("matter.properties[{position}].title_numbers");
        complaints.add(Reason::TitleNumberMismatch, &field, property_name(property));
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
