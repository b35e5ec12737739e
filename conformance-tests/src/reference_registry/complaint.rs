//! Why an application is not entered: the reasons, their codes and words, and the outcome that tells them.
//!
//! No text names a person or an identity number; what it is about is told by the number of a unit, contract or
//! certificate. `code` is what a bank may see for any registry, `registry_code` this registry's own.

use proto::v1::{CaseStatus, Fault, Layer, NextAction, Outcome, Refusal, Sent};

/// Why an application is not entered; never empty where it stands in a result.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Complaints(Vec<Complaint>);

/// One reason, and what it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) reason: Reason,
    field: String,
    about: String,
}

impl Complaints {
    /// One more. `field` is named as contracts name it (`matter.kind`); `about` is the number of a unit, contract or
    /// certificate, or empty.
    pub(super) fn add(&mut self, reason: Reason, field: &str, about: &str) {
        self.0.push(Complaint { reason, field: field.to_owned(), about: about.to_owned() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub(super) fn all(&self) -> &[Complaint] {
        &self.0
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
    pub(super) fn in_chinese(&self) -> String {
        let about =
            if self.about.is_empty() { String::new() } else { format!("：{}", self.about) };
        format!("{}{about}", self.reason.words().chinese)
    }

    pub(super) fn in_english(&self) -> String {
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

/// What stands against an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    OfficeNotOurs,
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
    ShareMismatch,
    CertificateUnknown,
    CertificateElsewhere,
    AlreadyDischarged,
    NotMortgagee,
    ScopeMismatch,
    NothingChanges,
    AmountOfOtherKind,
    NoticeStands,
    NoticeUnknown,
    NotObligee,
    TransferRestricted,
    LossNotDeclared,
    NoCourt,
    OfficersTooFew,
    SeizedBefore,
    NothingToQueueBehind,
    SeizureUnknown,
    SeizureWaits,
    SeizureOver,
    NotLonger,
    OtherCourts,
    CaseNotCorrectable,
    TurnedAway,
    RefusedByReviewer,
}

/// What a reason is called.
pub(super) struct Words {
    /// Stable code, the same for every registry.
    code: &'static str,
    /// This registry's own code.
    pub(super) registry_code: &'static str,
    pub(super) chinese: &'static str,
    pub(super) english: &'static str,
}

impl Reason {
    /// Those that a person may give, by the code they are chosen by: what is found at the counter, or by a reviewer.
    pub(super) const OF_A_PERSON: [Self; 16] = [
        Self::TurnedAway,
        Self::MatterUnsupported,
        Self::PartyMissing,
        Self::PropertyMissing,
        Self::LossNotDeclared,
        Self::RefusedByReviewer,
        Self::PropertyUnknown,
        Self::StageMismatch,
        Self::PropertySeized,
        Self::TitleNumberMismatch,
        Self::HolderMismatch,
        Self::HolderAbsent,
        Self::CertificateUnknown,
        Self::NotMortgagee,
        Self::NoticeStands,
        Self::TransferRestricted,
    ];

    pub(super) fn at_the_counter(self) -> bool {
        match self {
            Self::OfficeNotOurs
            | Self::MatterUnsupported
            | Self::StageUnsupported
            | Self::AmountMissing
            | Self::PartyMissing
            | Self::PropertyMissing
            | Self::PropertyTwice
            | Self::NothingChanges
            | Self::LossNotDeclared
            | Self::NoCourt
            | Self::OfficersTooFew
            | Self::SeizureOver
            | Self::TurnedAway
            | Self::CaseNotCorrectable => true,
            Self::PropertyUnknown
            | Self::StageMismatch
            | Self::PropertySeized
            | Self::TitleNumberMismatch
            | Self::HolderMismatch
            | Self::HolderAbsent
            | Self::ShareMismatch
            | Self::CertificateUnknown
            | Self::CertificateElsewhere
            | Self::AlreadyDischarged
            | Self::NotMortgagee
            | Self::ScopeMismatch
            | Self::AmountOfOtherKind
            | Self::NoticeStands
            | Self::NoticeUnknown
            | Self::NotObligee
            | Self::TransferRestricted
            | Self::SeizedBefore
            | Self::NothingToQueueBehind
            | Self::SeizureUnknown
            | Self::SeizureWaits
            | Self::NotLonger
            | Self::OtherCourts
            | Self::RefusedByReviewer => false,
        }
    }

    fn next_action(self) -> NextAction {
        match self {
            Self::OfficeNotOurs
            | Self::MatterUnsupported
            | Self::StageUnsupported
            | Self::PropertySeized
            | Self::AlreadyDischarged
            | Self::TransferRestricted
            | Self::NoCourt
            | Self::OtherCourts
            | Self::TurnedAway
            | Self::RefusedByReviewer
            | Self::NoticeStands => NextAction::CallOffice,
            Self::AmountMissing
            | Self::PartyMissing
            | Self::PropertyMissing
            | Self::PropertyTwice
            | Self::PropertyUnknown
            | Self::StageMismatch
            | Self::TitleNumberMismatch
            | Self::HolderMismatch
            | Self::HolderAbsent
            | Self::ShareMismatch
            | Self::CertificateUnknown
            | Self::CertificateElsewhere
            | Self::NotMortgagee
            | Self::ScopeMismatch
            | Self::NothingChanges
            | Self::AmountOfOtherKind
            | Self::NoticeUnknown
            | Self::NotObligee
            | Self::LossNotDeclared
            | Self::OfficersTooFew
            | Self::SeizedBefore
            | Self::NothingToQueueBehind
            | Self::SeizureUnknown
            | Self::SeizureWaits
            | Self::SeizureOver
            | Self::NotLonger
            | Self::CaseNotCorrectable => NextAction::CorrectAndResend,
        }
    }

    pub(super) fn words(self) -> Words {
        let (code, registry_code, chinese, english) = match self {
            Self::OfficeNotOurs => (
                "OFFICE_NOT_OURS",
                "C101",
                "不属于本登记机构受理范围",
                "no office of this registry",
            ),
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
            Self::PartyMissing => ("PARTY_MISSING", "C202", "缺少当事人", "a party is missing"),
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
                "所列人员不是登记簿记载的权利人",
                "the party is not the registered holder",
            ),
            Self::HolderAbsent => (
                "HOLDER_ABSENT",
                "S306",
                "共有人未全部申请",
                "a registered holder is not among the parties",
            ),
            Self::ShareMismatch => (
                "SHARE_MISMATCH",
                "S307",
                "共有份额与登记簿不一致",
                "the share is not the registered one",
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
                "所列抵押权人与登记簿不一致",
                "the applicant is not the registered mortgagee",
            ),
            Self::ScopeMismatch => (
                "SCOPE_MISMATCH",
                "S405",
                "注销范围与所列不动产不一致",
                "the scope does not agree with the listed properties",
            ),
            Self::NothingChanges => {
                ("NOTHING_CHANGES", "C205", "未列明变更事项", "nothing is to change")
            }
            Self::LossNotDeclared => {
                ("LOSS_NOT_DECLARED", "C206", "补证未登载遗失声明", "the loss was not declared")
            }
            Self::NoCourt => {
                ("NO_COURT", "C207", "只有法院可以申请查封", "only a court may ask for a seizure")
            }
            Self::OfficersTooFew => (
                "OFFICERS_TOO_FEW",
                "C208",
                "执行人员不足两人",
                "a seizure is served by two officers",
            ),
            Self::AmountOfOtherKind => (
                "AMOUNT_OF_OTHER_KIND",
                "S406",
                "债权数额与抵押方式不符",
                "the amount is not of the sort of this charge",
            ),
            Self::NoticeStands => (
                "ADVANCE_NOTICE_STANDS",
                "S501",
                "该不动产已有预告登记",
                "an advance notice stands on the property",
            ),
            Self::NoticeUnknown => (
                "ADVANCE_NOTICE_NOT_FOUND",
                "S502",
                "该不动产上没有该预告登记",
                "there is no such advance notice on the property",
            ),
            Self::NotObligee => (
                "NOT_OBLIGEE",
                "S503",
                "申请人不是预告登记的权利人",
                "the applicant is not whom the notice protects",
            ),
            Self::TransferRestricted => (
                "TRANSFER_RESTRICTED",
                "S504",
                "抵押期间约定不得转让",
                "the parties to a charge agreed that the property may not change hands",
            ),
            Self::SeizedBefore => (
                "SEIZED_BEFORE",
                "S601",
                "该不动产已被查封，应办理轮候查封",
                "the property is seized already; a later seizure is queued",
            ),
            Self::NothingToQueueBehind => (
                "NOT_SEIZED",
                "S602",
                "该不动产未被查封，无须轮候",
                "the property is not seized: there is nothing to queue behind",
            ),
            Self::SeizureUnknown => (
                "SEIZURE_NOT_FOUND",
                "S603",
                "该不动产上没有该查封登记",
                "there is no such seizure on the property",
            ),
            Self::SeizureWaits => (
                "SEIZURE_WAITS",
                "S605",
                "该查封为轮候查封，尚未生效，无须续封",
                "the seizure waits behind another: its time has not begun",
            ),
            Self::SeizureOver => {
                ("SEIZURE_OVER", "C210", "查封期限已经届满", "the seizure would be over already")
            }
            Self::NotLonger => (
                "NOT_RENEWED",
                "S606",
                "续封期限不晚于原查封期限",
                "the seizure would not last longer than it does",
            ),
            Self::OtherCourts => (
                "OTHER_COURTS_SEIZURE",
                "S604",
                "该查封由其他法院办理",
                "the seizure is another court's",
            ),
            Self::CaseNotCorrectable => (
                "CASE_NOT_CORRECTABLE",
                "C209",
                "没有等待补正的该笔业务",
                "no such case waits for a correction",
            ),
            Self::TurnedAway => {
                ("NOT_ACCEPTED_AT_COUNTER", "C290", "窗口不予受理", "the counter did not accept it")
            }
            Self::RefusedByReviewer => {
                ("REFUSED_BY_REVIEWER", "C390", "审核人员不予登记", "the reviewer refused it")
            }
        };
        Words { code, registry_code, chinese, english }
    }
}
