//! Seizures (查封): whether a court's may be entered, queued, renewed or released. Who asks is a court: that is decided
//! before anything comes here.

use proto::v1::{EncumbranceKind, Institution, InstitutionKind, Property, Seizure, SeizureAction};

use super::{each_title, property_field, property_name, title_numbers};
use crate::reference_registry::{
    complaint::{Complaints, Reason},
    register::{Register, Title, TitleId},
};

pub(super) fn seizure(
    register: &Register,
    application: &Seizure,
    court: &Institution,
    complaints: &mut Complaints,
) -> Vec<TitleId> {
    // Only where it is said at all: whoever tries the service by hand need not say it.
    if !matches!(court.kind(), InstitutionKind::Court | InstitutionKind::Unspecified) {
        complaints.add(Reason::NoCourt, "", "");
    }
    if application.officers.len() < OFFICERS_MIN {
        complaints.add(Reason::OfficersTooFew, "matter.officers", "");
    }
    // Days of one form compare as texts do.
    let (last, today) = (application.seized_to.as_str(), register.day.to_string());
    if !last.is_empty() && last < today.as_str() {
        complaints.add(Reason::SeizureOver, "matter.seized_to", "");
    }
    each_title(register, &application.properties, complaints, |position, title, complaints| {
        let Some(property) = application.properties.get(position) else { return };
        title_numbers(title, position, property, complaints);
        let is_seized = title.limits_of(EncumbranceKind::Seizure).next().is_some();
        let field = property_field(position, property);
        let name = property_name(property);
        match application.action() {
            SeizureAction::Seize | SeizureAction::Unspecified => {
                owned(application, title, property, complaints);
                if is_seized {
                    complaints.add(Reason::SeizedBefore, &field, name);
                }
            }
            SeizureAction::Queue => {
                owned(application, title, property, complaints);
                if !is_seized {
                    complaints.add(Reason::NothingToQueueBehind, &field, name);
                }
            }
            SeizureAction::Renew | SeizureAction::Release => {
                prior(application, court, title, &field, complaints);
            }
        }
    })
}

/// Two officers serve a seizure (民事诉讼法 art. 121; the Supreme Court's rules on seizure ask for the notice and both
/// credentials).
const OFFICERS_MIN: usize = 2;

/// A court may seize what is registered for one of those it enforces against.
fn owned(application: &Seizure, title: &Title, property: &Property, complaints: &mut Complaints) {
    let owns = |party| title.holders.iter().any(|holder| holder.is(party));
    if !application.subjects.iter().any(owns) {
        complaints.add(Reason::HolderMismatch, "matter.subjects", property_name(property));
    }
}

/// What is renewed or released must stand on the home, and be this court's own; and what is renewed be in effect, and last
/// longer then. One that has run out stands no more.
fn prior(
    application: &Seizure,
    court: &Institution,
    title: &Title,
    field: &str,
    complaints: &mut Complaints,
) {
    let number = application.prior_entry_number.as_str();
    let mut seizures = title.limits_of(EncumbranceKind::Seizure);
    match seizures.find(|limit| limit.number == number) {
        None => complaints.add(Reason::SeizureUnknown, field, number),
        Some(limit) if !limit.institution.is_empty() && limit.institution != court.id => {
            complaints.add(Reason::OtherCourts, "matter.prior_entry_number", number);
        }
        Some(limit) if application.action() == SeizureAction::Renew => {
            if limit.queued {
                complaints.add(Reason::SeizureWaits, "matter.prior_entry_number", number);
            } else if application.seized_to <= limit.to {
                complaints.add(Reason::NotLonger, "matter.seized_to", number);
            }
        }
        Some(_) => {}
    }
}
