//! What an application is about, whichever matter it is: its name, its properties, who may ask for it, the loan it
//! secures, its moment; and which states of a case are final.

use proto::v1::{
    Application, CaseStatus, Exchange, MortgageStage, Party, Property, application::Matter,
};

use crate::settings::{InstitutionKind, Matters};
use time::{
    Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset, macros::format_description,
    macros::offset,
};

/// Banks' times without a zone are Asia/Shanghai, which has had no daylight saving since 1992.
const BANK_ZONE: UtcOffset = offset!(+8);

/// The matter's name, as in `Application.matter`; empty if there is none.
pub fn name(application: &Application) -> &'static str {
    match &application.matter {
        Some(Matter::MortgageRegistration(_)) => "mortgage_registration",
        Some(Matter::MortgageDischarge(_)) => "mortgage_discharge",
        Some(Matter::MortgageChange(_)) => "mortgage_change",
        Some(Matter::MortgageTransfer(_)) => "mortgage_transfer",
        Some(Matter::AdvanceNotice(_)) => "advance_notice",
        Some(Matter::AdvanceNoticeDischarge(_)) => "advance_notice_discharge",
        Some(Matter::NewHomeTransfer(_)) => "new_home_transfer",
        Some(Matter::OwnershipTransfer(_)) => "ownership_transfer",
        Some(Matter::OwnershipChange(_)) => "ownership_change",
        Some(Matter::CertificateReissue(_)) => "certificate_reissue",
        Some(Matter::Seizure(_)) => "seizure",
        None => "",
    }
}

/// The matter's Chinese term, from its documentation in the model; the name itself where that has none.
pub fn term(name: &str) -> String {
    let field = proto::descriptors::message("Application")
        .and_then(|application| application.get_field_by_name(name));
    field.and_then(|field| proto::terms::term_of(&field).chinese).unwrap_or_else(|| name.to_owned())
}

/// The names of all matters, as in `Application.matter`.
pub fn names() -> Vec<String> {
    let application = proto::descriptors::message("Application");
    let matter = application.iter().flat_map(|it| it.oneofs()).filter(|it| it.name() == "matter");
    matter.flat_map(|it| it.fields().map(|it| it.name().to_owned()).collect::<Vec<_>>()).collect()
}

/// The properties it is about.
pub fn properties(application: &Application) -> &[Property] {
    match &application.matter {
        Some(Matter::MortgageRegistration(matter)) => &matter.properties,
        Some(Matter::MortgageDischarge(matter)) => &matter.properties,
        Some(Matter::MortgageChange(matter)) => &matter.properties,
        Some(Matter::MortgageTransfer(matter)) => &matter.properties,
        Some(Matter::AdvanceNotice(matter)) => &matter.properties,
        Some(Matter::AdvanceNoticeDischarge(matter)) => &matter.properties,
        Some(Matter::NewHomeTransfer(matter)) => &matter.properties,
        Some(Matter::OwnershipTransfer(matter)) => &matter.properties,
        Some(Matter::OwnershipChange(matter)) => &matter.properties,
        Some(Matter::CertificateReissue(matter)) => &matter.properties,
        Some(Matter::Seizure(matter)) => &matter.properties,
        None => &[],
    }
}

/// The amount it is about, in fen: the maximum where there is one, else what is secured, or the price.
pub fn amount_fen(application: &Application) -> Option<i64> {
    match application.matter.as_ref()? {
        Matter::MortgageRegistration(it) => it.maximum_amount_fen.or(it.secured_amount_fen),
        Matter::MortgageChange(it) => it.maximum_amount_fen.or(it.secured_amount_fen),
        Matter::AdvanceNotice(it) => it.price_fen,
        Matter::NewHomeTransfer(it) => it.price_fen,
        Matter::OwnershipTransfer(it) => it.price_fen,
        Matter::MortgageDischarge(_)
        | Matter::MortgageTransfer(_)
        | Matter::AdvanceNoticeDischarge(_)
        | Matter::OwnershipChange(_)
        | Matter::CertificateReissue(_)
        | Matter::Seizure(_) => None,
    }
}

/// The numbers it is found by when somebody asks after it: of its contract, and of the certificates it names.
pub fn numbers(application: &Application) -> Vec<&String> {
    let (contract, certificates): (Option<&String>, &[String]) = match &application.matter {
        Some(Matter::MortgageRegistration(it)) => (Some(&it.contract_number), &[]),
        Some(Matter::MortgageDischarge(it)) => (None, &it.certificate_numbers),
        Some(Matter::MortgageChange(it)) => (Some(&it.contract_number), &it.certificate_numbers),
        Some(Matter::MortgageTransfer(it)) => (Some(&it.contract_number), &it.certificate_numbers),
        Some(Matter::AdvanceNotice(it)) => (Some(&it.contract_number), &[]),
        Some(Matter::AdvanceNoticeDischarge(it)) => (None, &it.advance_notice_numbers),
        Some(Matter::NewHomeTransfer(it)) => {
            (Some(&it.contract_number), &it.advance_notice_numbers)
        }
        Some(Matter::OwnershipTransfer(it)) => (Some(&it.contract_number), &it.certificate_numbers),
        Some(Matter::OwnershipChange(it)) => (None, &it.certificate_numbers),
        Some(Matter::CertificateReissue(it)) => (None, &it.certificate_numbers),
        Some(Matter::Seizure(_)) | None => (None, &[]),
    };
    contract.into_iter().chain(certificates).collect()
}

/// Its lists of parties, by their names in the model.
pub fn parties(application: &Application) -> Vec<(&'static str, &[Party])> {
    match &application.matter {
        Some(Matter::MortgageRegistration(it)) => vec![
            ("mortgagors", &it.mortgagors),
            ("mortgagees", &it.mortgagees),
            ("debtors", &it.debtors),
        ],
        Some(Matter::MortgageDischarge(it)) => {
            vec![("mortgagors", &it.mortgagors), ("mortgagees", &it.mortgagees)]
        }
        Some(Matter::MortgageChange(it)) => {
            vec![("mortgagors", &it.mortgagors), ("mortgagees", &it.mortgagees)]
        }
        Some(Matter::MortgageTransfer(it)) => vec![
            ("mortgagors", &it.mortgagors),
            ("transferors", &it.transferors),
            ("transferees", &it.transferees),
        ],
        Some(Matter::AdvanceNotice(it)) => {
            vec![("obligees", &it.obligees), ("obligors", &it.obligors)]
        }
        Some(Matter::AdvanceNoticeDischarge(it)) => {
            vec![("obligees", &it.obligees), ("obligors", &it.obligors)]
        }
        Some(Matter::NewHomeTransfer(it)) => {
            vec![("transferors", &it.transferors), ("transferees", &it.transferees)]
        }
        Some(Matter::OwnershipTransfer(it)) => {
            vec![("transferors", &it.transferors), ("transferees", &it.transferees)]
        }
        Some(Matter::OwnershipChange(it)) => vec![("holders", &it.holders)],
        Some(Matter::CertificateReissue(it)) => vec![("holders", &it.holders)],
        Some(Matter::Seizure(it)) => vec![("subjects", &it.subjects)],
        None => Vec::new(),
    }
}

/// Which kinds of institution may ask for it, by settings.
pub fn may_be_asked_by<'s>(
    application: &Application,
    settings: &'s Matters,
) -> &'s [InstitutionKind] {
    match &application.matter {
        Some(Matter::MortgageRegistration(_)) => &settings.mortgage_registration,
        Some(Matter::MortgageDischarge(_)) => &settings.mortgage_discharge,
        Some(Matter::MortgageChange(_)) => &settings.mortgage_change,
        Some(Matter::MortgageTransfer(_)) => &settings.mortgage_transfer,
        Some(Matter::AdvanceNotice(_)) => &settings.advance_notice,
        Some(Matter::AdvanceNoticeDischarge(_)) => &settings.advance_notice_discharge,
        Some(Matter::NewHomeTransfer(_)) => &settings.new_home_transfer,
        Some(Matter::OwnershipTransfer(_)) => &settings.ownership_transfer,
        Some(Matter::OwnershipChange(_)) => &settings.ownership_change,
        Some(Matter::CertificateReissue(_)) => &settings.certificate_reissue,
        Some(Matter::Seizure(_)) => &settings.seizure,
        None => &[],
    }
}

/// The loan that an application would secure: what two filings have in common that are the same loan filed twice.
#[derive(Debug, Clone, Copy)]
pub struct Loan<'a> {
    /// What is charged; one property in common is enough.
    pub properties: &'a [Property],
    /// Number of the mortgage contract.
    pub contract_number: &'a str,
    /// Who lends.
    pub mortgagees: &'a [Party],
    /// A charge noted before the home exists is registered again, by right, once it does.
    pub stage: MortgageStage,
}

/// The loan it would secure; `None` for matters that enter no new charge, or that may well come again for one contract.
pub fn loan(application: &Application) -> Option<Loan<'_>> {
    match application.matter.as_ref()? {
        Matter::MortgageRegistration(matter) => Some(Loan {
            properties: &matter.properties,
            contract_number: &matter.contract_number,
            mortgagees: &matter.mortgagees,
            stage: matter.stage(),
        }),
        Matter::MortgageDischarge(_)
        | Matter::MortgageChange(_)
        | Matter::MortgageTransfer(_)
        | Matter::AdvanceNotice(_)
        | Matter::AdvanceNoticeDischarge(_)
        | Matter::NewHomeTransfer(_)
        | Matter::OwnershipTransfer(_)
        | Matter::OwnershipChange(_)
        | Matter::CertificateReissue(_)
        | Matter::Seizure(_) => None,
    }
}

/// The day it is in Asia/Shanghai, `YYYY-MM-DD`.
pub fn today() -> String {
    OffsetDateTime::now_utc().to_offset(BANK_ZONE).date().to_string()
}

/// When the bank says it sent it: `sent_at`, or its `date` and `time` joined.
pub fn submitted_at(exchange: &Exchange) -> Option<prost_types::Timestamp> {
    exchange.sent_at.or_else(|| {
        let date = Date::parse(&exchange.date, format_description!("[year]-[month]-[day]")).ok()?;
        let time =
            Time::parse(&exchange.time, format_description!("[hour]:[minute]:[second]")).ok()?;
        let moment = PrimitiveDateTime::new(date, time).assume_offset(BANK_ZONE);
        Some(prost_types::Timestamp { seconds: moment.unix_timestamp(), nanos: 0 })
    })
}

/// Whether a case in this state can never change again.
pub fn is_final(status: CaseStatus) -> bool {
    match status {
        CaseStatus::Completed
        | CaseStatus::RejectedValidation
        | CaseStatus::NotAccepted
        | CaseStatus::Refused
        | CaseStatus::Withdrawn
        | CaseStatus::Terminated
        | CaseStatus::Lapsed => true,
        CaseStatus::Unspecified
        | CaseStatus::Received
        | CaseStatus::Validating
        | CaseStatus::QueuedOutOfHours
        | CaseStatus::Submitted
        | CaseStatus::Accepted
        | CaseStatus::InReview
        | CaseStatus::Registered
        | CaseStatus::CorrectionRequested
        | CaseStatus::OutcomeUnknown => false,
    }
}

/// Whether a case in this state has ended and entered nothing: its loan may be filed anew.
pub fn came_to_nothing(status: CaseStatus) -> bool {
    is_final(status) && status != CaseStatus::Completed
}

/// Whether the register holds what a case in this state applied for.
pub fn is_entered(status: CaseStatus) -> bool {
    matches!(status, CaseStatus::Registered | CaseStatus::Completed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_and_a_time_of_day_make_a_moment_in_the_banks_zone() {
        let exchange =
            Exchange { date: "2026-03-05".into(), time: "09:12:33".into(), ..Exchange::default() };
        assert_eq!(submitted_at(&exchange).unwrap().seconds, 1_772_673_153);
        assert_eq!(submitted_at(&Exchange::default()), None);
    }
}
