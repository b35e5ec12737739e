//! What a registry would find wrong with an application later, and we can tell now, beyond the rules of its fields: these
//! take to know who asks and what day it is. The rules of the fields stand in proto/directlink/v1.

use adapters::FaultCode;
use proto::v1::{Application, Party, application::Matter};

use crate::settings::Institution;

/// What is wrong, and at which field, as contracts write it. What is not set is not looked at, so that an application
/// of which only a part could be read can be checked too. `today`: the day in Asia/Shanghai, `YYYY-MM-DD`.
pub(crate) fn faults_of(
    application: &Application,
    institution: &Institution,
    today: &str,
) -> Vec<(FaultCode, String)> {
    let mut faults = Vec::new();
    let lenders = lenders(application);
    let ours = |party: &Party| is_ours(party, institution);
    if compares_lenders(institution)
        && !lenders.iter().any(|(_, parties)| parties.iter().any(ours))
        && let Some((list, [_, ..])) = lenders.first()
    {
        faults.push((FaultCode::MortgageeMismatch, format!("matter.{list}[0].name")));
    }
    // Days of one form compare as texts do; one that is no day is told as such.
    if let Some((field, day)) = day_done(application)
        && day.len() == today.len()
        && day > today
    {
        faults.push((FaultCode::DateInFuture, format!("matter.{field}")));
    }
    faults
}

fn compares_lenders(institution: &Institution) -> bool {
    !institution.mortgagee_names.is_empty() || !institution.mortgagee_codes.is_empty()
}

fn is_ours(party: &Party, institution: &Institution) -> bool {
    institution.mortgagee_codes.contains(&party.id_number)
        || institution.mortgagee_names.iter().any(|name| party.name.starts_with(name.as_str()))
}

/// The lists of those whose charge it is, or is to be. Where a charge passes over, either side may ask.
fn lenders(application: &Application) -> Vec<(&'static str, &[Party])> {
    match &application.matter {
        Some(Matter::MortgageRegistration(it)) => vec![("mortgagees", &it.mortgagees)],
        Some(Matter::MortgageDischarge(it)) => vec![("mortgagees", &it.mortgagees)],
        Some(Matter::MortgageChange(it)) => vec![("mortgagees", &it.mortgagees)],
        Some(Matter::MortgageTransfer(it)) => {
            vec![("transferees", &it.transferees), ("transferors", &it.transferors)]
        }
        Some(
            Matter::AdvanceNotice(_)
            | Matter::AdvanceNoticeDischarge(_)
            | Matter::NewHomeTransfer(_)
            | Matter::OwnershipTransfer(_)
            | Matter::OwnershipChange(_)
            | Matter::CertificateReissue(_)
            | Matter::Seizure(_),
        )
        | None => Vec::new(),
    }
}

/// The day on which something was done: it cannot lie ahead.
fn day_done(application: &Application) -> Option<(&'static str, &str)> {
    let (field, day) = match application.matter.as_ref()? {
        Matter::MortgageRegistration(it) => ("contract_date", &it.contract_date),
        Matter::MortgageDischarge(it) => ("discharge_date", &it.discharge_date),
        Matter::MortgageChange(it) => ("contract_date", &it.contract_date),
        Matter::MortgageTransfer(it) => ("contract_date", &it.contract_date),
        Matter::AdvanceNotice(it) => ("contract_date", &it.contract_date),
        Matter::NewHomeTransfer(it) => ("contract_date", &it.contract_date),
        Matter::OwnershipTransfer(it) => ("contract_date", &it.contract_date),
        Matter::CertificateReissue(it) => ("loss_declared_on", &it.loss_declared_on),
        Matter::AdvanceNoticeDischarge(_) | Matter::OwnershipChange(_) | Matter::Seizure(_) => {
            return None;
        }
    };
    Some((field, day.as_str()))
}
