//! What may be entered in the register, and what is refused and why.
//!
//! Two sorts of reason: what the counter sees from the papers alone (不予受理, NOT_ACCEPTED) and what the reviewer
//! sees by comparing them with the register (不予登记, REFUSED); Interim Regulations on Real Estate Registration
//! (不动产登记暂行条例) arts. 17 and 22. All reasons are told at once. No text names a person or an identity number.
//!
//! An objection (异议) doesn't stop a registration: it warns (实施细则 art. 84). The rank (顺位) an application states is
//! not compared: rank follows from the order of entry.

use proto::v1::{
    Application, CaseStatus, DischargeScope, EncumbranceKind, Fault, Layer, MortgageDischarge,
    MortgageKind, MortgageRegistration, MortgageStage, NextAction, Outcome, Property, Refusal,
    Sent, application::Matter,
};

use super::register::{Charge, Register, Title, TitleId};

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
    let mut complaints = Complaints(Vec::new());
    let office = application.office.as_ref().map_or("", |office| office.code.as_str());
    let office = register.office(office);
    if office.is_none() {
        complaints.add(Reason::OfficeUnknown, "office.code", "");
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
    if complaints.0.is_empty() { Ok(entry) } else { Err(complaints) }
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

    // Who charges a home must own it, and whoever owns a share of it must be among them (民法典 art. 301).
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
    if complaints.0.is_empty() {
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

/// Why an application is not entered; never empty where it stands in a result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaints(Vec<Complaint>);

#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    reason: Reason,
    /// Canonical field as contracts name it.
    field: String,
    /// Number of the unit, contract or certificate; may be empty.
    about: String,
}

impl Complaints {
    fn add(&mut self, reason: Reason, field: &str, about: &str) {
        self.0.push(Complaint { reason, field: field.to_owned(), about: about.to_owned() });
    }

    /// Whether the papers alone show it, so that the application isn't even accepted for review.
    pub(super) fn at_the_counter(&self) -> bool {
        self.0.iter().any(|complaint| complaint.reason.at_the_counter())
    }

    /// The outcome that tells all of them. The first reason gives `code`.
    pub(super) fn outcome(&self, case_id: &str) -> Outcome {
        let status =
            if self.at_the_counter() { CaseStatus::NotAccepted } else { CaseStatus::Refused };
        let first = self.0.first().map_or(Reason::MatterUnsupported, |first| first.reason);
        let words = |separator: &str, say: fn(&Complaint) -> String| {
            self.0.iter().map(say).collect::<Vec<_>>().join(separator)
        };
        Outcome {
            case_id: case_id.to_owned(),
            status: status.into(),
            refusal: Some(Refusal {
                code: first.words().code.to_owned(),
                message: format!(
                    "{}。{}.",
                    words("；", Complaint::in_chinese),
                    words("; ", Complaint::in_english)
                ),
                sent: Sent::Yes.into(),
                next_action: first.next_action().into(),
                retry_after_seconds: None,
                faults: self.0.iter().map(Complaint::fault).collect(),
                layer: Layer::Business.into(),
                registry_code: first.words().registry_code.to_owned(),
                registry_message: words("；", Complaint::in_chinese),
            }),
            ..Outcome::default()
        }
    }
}

impl Complaint {
    fn in_chinese(&self) -> String {
        let about =
            if self.about.is_empty() { String::new() } else { format!("：{}", self.about) };
        format!("{}{about}", self.reason.words().chinese)
    }

    fn in_english(&self) -> String {
        let about = if self.about.is_empty() { String::new() } else { format!(": {}", self.about) };
        format!("{}{about}", self.reason.words().english)
    }

    fn fault(&self) -> Fault {
        Fault {
            code: self.reason.words().code.to_owned(),
            field: self.field.clone(),
            message: self.in_chinese(),
            ..Fault::default()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    OfficeUnknown,
    MatterUnsupported,
    StageUnsupported,
    AmountMissing,
    PartyMissing,
    PropertyMissing,
    PropertyTwice,
    PropertyUnknown,
    StageMismatch,
    PropertySeized,
    TitleNumberMismatch,
    HolderMismatch,
    HolderAbsent,
    CertificateUnknown,
    CertificateElsewhere,
    AlreadyDischarged,
    NotMortgagee,
    ScopeMismatch,
}

struct Words {
    /// Stable code, the same for every registry.
    code: &'static str,
    /// This registry's own code.
    registry_code: &'static str,
    chinese: &'static str,
    english: &'static str,
}

impl Reason {
    fn at_the_counter(self) -> bool {
        match self {
            Self::OfficeUnknown
            | Self::MatterUnsupported
            | Self::StageUnsupported
            | Self::AmountMissing
            | Self::PartyMissing
            | Self::PropertyMissing
            | Self::PropertyTwice => true,
            Self::PropertyUnknown
            | Self::StageMismatch
            | Self::PropertySeized
            | Self::TitleNumberMismatch
            | Self::HolderMismatch
            | Self::HolderAbsent
            | Self::CertificateUnknown
            | Self::CertificateElsewhere
            | Self::AlreadyDischarged
            | Self::NotMortgagee
            | Self::ScopeMismatch => false,
        }
    }

    fn next_action(self) -> NextAction {
        match self {
            Self::OfficeUnknown
            | Self::MatterUnsupported
            | Self::StageUnsupported
            | Self::PropertySeized
            | Self::AlreadyDischarged => NextAction::CallOffice,
            Self::AmountMissing
            | Self::PartyMissing
            | Self::PropertyMissing
            | Self::PropertyTwice
            | Self::PropertyUnknown
            | Self::StageMismatch
            | Self::TitleNumberMismatch
            | Self::HolderMismatch
            | Self::HolderAbsent
            | Self::CertificateUnknown
            | Self::CertificateElsewhere
            | Self::NotMortgagee
            | Self::ScopeMismatch => NextAction::CorrectAndResend,
        }
    }

    fn words(self) -> Words {
        let (code, registry_code, chinese, english) = match self {
            Self::OfficeUnknown => {
                ("OFFICE_UNKNOWN", "C101", "不属于本登记机构受理范围", "no office of this registry")
            }
            Self::MatterUnsupported => (
                "UNSUPPORTED_BY_OFFICE",
                "C102",
                "本登记机构不受理该登记类型",
                "the office does not take this matter",
            ),
            Self::StageUnsupported => (
                "UNSUPPORTED_BY_OFFICE",
                "C103",
                "本登记机构不受理该阶段的抵押登记",
                "the office does not take mortgages of this stage",
            ),
            Self::AmountMissing => (
                "AMOUNT_MISSING",
                "C201",
                "债权数额未填写或不大于零",
                "the secured amount is missing or not above zero",
            ),
            Self::PartyMissing => (
                "PARTY_MISSING",
                "C202",
                "缺少抵押人或抵押权人",
                "a party to the charge is missing",
            ),
            Self::PropertyMissing => {
                ("PROPERTY_MISSING", "C203", "未列明不动产", "no property is listed")
            }
            Self::PropertyTwice => {
                ("PROPERTY_TWICE", "C204", "同一不动产重复列明", "a property is listed twice")
            }
            Self::PropertyUnknown => (
                "PROPERTY_UNKNOWN",
                "S301",
                "登记簿中没有该不动产",
                "the property is not in the register",
            ),
            Self::StageMismatch => (
                "STAGE_MISMATCH",
                "S302",
                "现房与预购商品房的登记类型不符",
                "a built home and a presale home are registered differently",
            ),
            Self::PropertySeized => {
                ("PROPERTY_SEIZED", "S303", "该不动产已被查封", "the property is under seizure")
            }
            Self::TitleNumberMismatch => (
                "TITLE_NUMBER_MISMATCH",
                "S304",
                "不动产权证号与登记簿不一致",
                "the title number is not that of the property",
            ),
            Self::HolderMismatch => (
                "HOLDER_MISMATCH",
                "S305",
                "抵押人不是登记簿记载的权利人",
                "the mortgagor is not the registered holder",
            ),
            Self::HolderAbsent => (
                "HOLDER_ABSENT",
                "S306",
                "共有人未全部申请",
                "a registered holder is not among the mortgagors",
            ),
            Self::CertificateUnknown => (
                "CERTIFICATE_NOT_FOUND",
                "S401",
                "没有该不动产登记证明号",
                "there is no such certificate of registration",
            ),
            Self::CertificateElsewhere => (
                "CERTIFICATE_MISMATCH",
                "S402",
                "该登记证明与所列不动产不一致",
                "the certificate is not about the listed property",
            ),
            Self::AlreadyDischarged => {
                ("ALREADY_DISCHARGED", "S403", "该抵押权已经注销", "the charge has already ended")
            }
            Self::NotMortgagee => (
                "NOT_MORTGAGEE",
                "S404",
                "申请人不是登记簿记载的抵押权人",
                "the applicant is not the registered mortgagee",
            ),
            Self::ScopeMismatch => (
                "SCOPE_MISMATCH",
                "S405",
                "注销范围与所列不动产不一致",
                "the scope does not agree with the listed properties",
            ),
        };
        Words { code, registry_code, chinese, english }
    }
}
