//! A refusal: why the gateway, or a registry through it, says no, whether anything was sent, and what to do next.
//!
//! One row a code, in [`Code::row`]; docs/errors.md is made of them and of what is said of each here (`make
//! reference`). A [`Fault`] of a message becomes part of a refusal in [`Refusal::of_faults`]. It knows no bank's words: the contract puts it into the bank's envelope.

use std::time::Duration;

use adapters::{Fault, FaultCode};
use proto::v1;
use strum::{EnumIter, EnumMessage};

/// Why a message was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What is wrong.
    pub code: Code,
    /// Whether anything reached the registry.
    pub sent: v1::Sent,
    /// What the bank is to do.
    pub next: v1::NextAction,
    /// When to do it.
    pub retry_after: Option<Duration>,
    /// What is wrong with the message itself, in order of offset.
    pub faults: Vec<Fault>,
    /// What to add to the code's words: an office, a limit, a case; never personal data.
    pub detail: Option<String>,
}

/// The codes of refusals that the gateway makes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumIter, EnumMessage)]
pub enum Code {
    /// The message has faults; the first one's code is the refusal's.
    #[strum(disabled)]
    Faulty(FaultCode),
    /// Longer than the limit in the settings.
    MessageTooLarge,
    /// Not complete within the time in the settings.
    MessageTooSlow,
    /// The institution sends faster, or has more under way, than it may; the message was not read.
    InstitutionBusy,
    /// All institutions together have as much under way as the gateway takes; the message was not read.
    GatewayBusy,
    /// No version of the institution's contract is in force today.
    ContractMissing,
    /// The institution is not of a kind that may ask for the matter, as a bank that asks for a seizure; the words name
    /// it.
    MatterNotAllowed,
    /// No office is in charge of the properties, or nothing in the message says where they lie, or nobody knows the
    /// stated office. Next is `CALL_OFFICE` where the office's registry is in settings no more.
    OfficeUnknown,
    /// The properties lie under several offices, and the words say which would have to be filed where; or pieces of
    /// evidence disagree (unit code, presale contract, title numbers, stated office): each is told at its place. Or
    /// several registries have a case of the number that the message names: the words say at which offices.
    RouteConflict,
    /// The office in charge does not take this matter; the words name it, with address, telephone and hours.
    UnsupportedByOffice,
    /// The key belongs to another application; the faults name the places that differ.
    KeyReused,
    /// The key was used so long ago that what was told is deleted; the words name its case, if it had one.
    KeyRetired,
    /// The same loan was filed under another key, and that filing is open or registered; the words name its case or,
    /// while none is known, its key.
    Duplicate,
    /// The first message with this key is being worked on; this one was not sent, that one may have been.
    StillWorking,
    /// The ledger cannot be written, so nothing may be sent.
    LedgerUnavailable,
    /// The registry could not be reached.
    RegistryUnavailable,
    /// The registry did not answer lately and is left alone for a while.
    RegistryPaused,
    /// As many calls are at the registry as may be.
    RegistryBusy,
    /// It was sent, or may have been, and no answer came; the gateway keeps asking. Next is `CALL_OFFICE` once the
    /// gateway asks no more (`give_up_seconds`).
    OutcomeUnknown,
    /// The registry rejected the call itself, before looking at the application.
    RegistryRejectedCall,
    /// A question was asked and the registry gave no answer; a question registers nothing, so `sent` is NO whatever
    /// became of it.
    QuestionUnanswered,
    /// The registry's document is shorter, longer or another than its length and digest say, or longer than
    /// `document_bytes_max`; it was not passed on. Next is `CALL_OFFICE` where it is too long.
    DocumentUnsound,
    /// The case has no such certificate; or it has, and the registry no document of it. Next is `CALL_OFFICE` where the
    /// document is missing.
    CertificateUnknown,
    /// The case is entered or has ended, so it cannot be withdrawn; the words name its status. Sent is `NO` where that
    /// was known before the registry was asked.
    NotWithdrawn,
    /// The registry did not answer a withdrawal, and the case has not ended so far; asking for it again is safe.
    WithdrawalUnknown,
    /// The case is registered, but the registry's own account of the entry differs from what was asked for, in the
    /// fields named; nothing is to be paid out on it.
    IntegrityMismatch,
    /// A material of the filing could not be handed to the registry; the filing was not sent.
    MaterialUndelivered,
    /// The store of materials does not work; the filing was not sent. Of an upload: 503.
    MaterialsUnavailable,
    /// A question about a case that the institution does not have.
    CaseUnknown,
    /// The feed has no such event, and had none: the place or the identifier is another's, or the ledger was set back.
    /// Read the feed from its beginning, `after=start`.
    EventUnknown,
    /// A question about a filing that did not reach the registry, or the wish to withdraw it. Next is
    /// `CORRECT_AND_RESEND` to who would withdraw it.
    NeverSent,
    /// A matter or question that this gateway does not carry.
    Unsupported,
}

/// What is fixed about a code.
struct Row {
    name: &'static str,
    layer: v1::Layer,
    /// Whether anything reached the registry, as a rule.
    sent: v1::Sent,
    /// What the bank is to do, as a rule.
    next: v1::NextAction,
    zh: &'static str,
    en: &'static str,
}

impl Code {
    fn row(self) -> Row {
        use v1::{Layer, NextAction as Next, Sent};
        let row = |name, layer, sent, next, zh, en| Row { name, layer, sent, next, zh, en };
        match self {
            Self::Faulty(fault) => {
                let (name, zh, en) = fault.words();
                row(name, layer_of(fault), Sent::No, Next::CorrectAndResend, zh, en)
            }
            Self::MessageTooLarge => row(
                "MESSAGE_TOO_LARGE",
                Layer::Transport,
                Sent::No,
                Next::CorrectAndResend,
                "报文超过允许的长度",
                "message is too large",
            ),
            Self::MessageTooSlow => row(
                "MESSAGE_TOO_SLOW",
                Layer::Transport,
                Sent::No,
                Next::RetrySameKey,
                "报文未在规定时间内到齐",
                "message took too long to arrive",
            ),
            Self::InstitutionBusy => row(
                "INSTITUTION_BUSY",
                Layer::Transport,
                Sent::No,
                Next::RetrySameKey,
                "贵机构报文过多，本报文未处理，请稍后以原流水号重发",
                "the institution sends more than it may; this message was not looked at",
            ),
            Self::GatewayBusy => row(
                "GATEWAY_BUSY",
                Layer::Transport,
                Sent::No,
                Next::RetrySameKey,
                "网关繁忙，本报文未处理，请稍后以原流水号重发",
                "the gateway has as much under way as it takes; this message was not looked at",
            ),
            Self::ContractMissing => row(
                "CONTRACT_MISSING",
                Layer::Identity,
                Sent::No,
                Next::CallOffice,
                "该机构当日没有生效的接口约定",
                "no contract of the institution is in force today",
            ),
            Self::MatterNotAllowed => row(
                "MATTER_NOT_ALLOWED",
                Layer::Identity,
                Sent::No,
                Next::CallOffice,
                "贵机构无权申请该登记类型",
                "the institution is not of a kind that may ask for the matter",
            ),
            Self::OfficeUnknown => row(
                "OFFICE_UNKNOWN",
                Layer::Routing,
                Sent::No,
                Next::CorrectAndResend,
                "无法确定登记机构",
                "no registry office is in charge",
            ),
            Self::RouteConflict => row(
                "ROUTE_CONFLICT",
                Layer::Routing,
                Sent::No,
                Next::CorrectAndResend,
                "不动产分属不同登记机构",
                "properties lie under different offices",
            ),
            Self::UnsupportedByOffice => row(
                "UNSUPPORTED_BY_OFFICE",
                Layer::Routing,
                Sent::No,
                Next::CallOffice,
                "登记机构不受理该业务，未发送",
                "the office in charge does not take the matter; nothing was sent",
            ),
            Self::KeyReused => row(
                "KEY_REUSED",
                Layer::Ledger,
                Sent::No,
                Next::CorrectAndResend,
                "流水号已用于内容不同的报文",
                "key was used for another message",
            ),
            Self::KeyRetired => row(
                "KEY_RETIRED",
                Layer::Ledger,
                Sent::No,
                Next::CallOffice,
                "流水号早已使用，记录已过保存期",
                "the key was used long ago and its record is deleted",
            ),
            Self::Duplicate => row(
                "DUPLICATE",
                Layer::Ledger,
                Sent::No,
                Next::CorrectAndResend,
                "同一合同、不动产和抵押权人的登记已另行申请，未发送",
                "the same loan was filed under another key",
            ),
            Self::StillWorking => row(
                "STILL_WORKING",
                Layer::Ledger,
                Sent::Unknown,
                Next::RetrySameKey,
                "首次报文仍在处理，请稍后查询",
                "the first message is still being worked on",
            ),
            Self::LedgerUnavailable => row(
                "LEDGER_UNAVAILABLE",
                Layer::Ledger,
                Sent::No,
                Next::RetrySameKey,
                "网关台账暂不可用，未发送",
                "the ledger is away; nothing was sent",
            ),
            Self::RegistryUnavailable => row(
                "REGISTRY_UNAVAILABLE",
                Layer::Registry,
                Sent::No,
                Next::RetrySameKey,
                "登记机构暂不可达，未发送",
                "the registry cannot be reached; nothing was sent",
            ),
            Self::RegistryPaused => row(
                "REGISTRY_PAUSED",
                Layer::Registry,
                Sent::No,
                Next::RetrySameKey,
                "登记机构近期无应答，暂停发送，未发送",
                "the registry did not answer lately and is left alone for a while; nothing was sent",
            ),
            Self::RegistryBusy => row(
                "REGISTRY_BUSY",
                Layer::Registry,
                Sent::No,
                Next::RetrySameKey,
                "发往登记机构的业务已满，未发送",
                "as many calls are at the registry as may be; nothing was sent",
            ),
            Self::OutcomeUnknown => row(
                "OUTCOME_UNKNOWN",
                Layer::Registry,
                Sent::Unknown,
                Next::RetrySameKey,
                "登记机构无应答，请以原流水号查询",
                "the registry gave no answer; ask again with the same serial",
            ),
            Self::RegistryRejectedCall => row(
                "REGISTRY_REJECTED_CALL",
                Layer::Registry,
                Sent::Yes,
                Next::CallOffice,
                "登记机构拒绝了网关的调用",
                "the registry rejected the gateway's call",
            ),
            Self::QuestionUnanswered => row(
                "QUESTION_UNANSWERED",
                Layer::Registry,
                Sent::No,
                Next::RetrySameKey,
                "登记机构无应答，查询未得结果，请稍后再查",
                "the registry gave no answer to a question; nothing was registered by it",
            ),
            Self::DocumentUnsound => row(
                "DOCUMENT_UNSOUND",
                Layer::Registry,
                Sent::No,
                Next::RetrySameKey,
                "登记机构的文件不完整或与其摘要不符，未转交",
                "the registry's document is not whole, or not what its digest says; it was not passed on",
            ),
            Self::CertificateUnknown => row(
                "CERTIFICATE_UNKNOWN",
                Layer::Business,
                Sent::No,
                Next::CorrectAndResend,
                "该笔业务没有该证书，或登记机构没有其电子文件",
                "the case has no such certificate, or the registry no document of it",
            ),
            Self::NotWithdrawn => row(
                "NOT_WITHDRAWN",
                Layer::Business,
                Sent::Yes,
                Next::CallOffice,
                "该笔业务已不能撤回",
                "the case cannot be withdrawn any more",
            ),
            Self::WithdrawalUnknown => row(
                "WITHDRAWAL_UNKNOWN",
                Layer::Registry,
                Sent::Unknown,
                Next::RetrySameKey,
                "登记机构无应答，是否撤回尚不清楚，请再次申请撤回",
                "the registry gave no answer; ask for the withdrawal again",
            ),
            Self::IntegrityMismatch => row(
                "INTEGRITY_MISMATCH",
                Layer::Registry,
                Sent::Yes,
                Next::CallOffice,
                "登记机构登簿内容与申请不一致，请立即联系登记机构",
                "the registry registered something else than was asked for",
            ),
            Self::MaterialUndelivered => row(
                "MATERIAL_UNDELIVERED",
                Layer::Registry,
                Sent::No,
                Next::RetrySameKey,
                "申请材料未能送达登记机构，申请未发送",
                "a material could not be handed to the registry; the filing was not sent",
            ),
            Self::MaterialsUnavailable => row(
                "MATERIALS_UNAVAILABLE",
                Layer::Ledger,
                Sent::No,
                Next::RetrySameKey,
                "材料库暂不可用，申请未发送",
                "the store of materials is away; the filing was not sent",
            ),
            Self::CaseUnknown => row(
                "CASE_UNKNOWN",
                Layer::Ledger,
                Sent::No,
                Next::CorrectAndResend,
                "没有该笔业务",
                "there is no such case",
            ),
            Self::EventUnknown => row(
                "EVENT_UNKNOWN",
                Layer::Ledger,
                Sent::No,
                Next::CorrectAndResend,
                "没有该事件，请从头读取事件",
                "there is no such event; read the feed from its beginning",
            ),
            Self::NeverSent => row(
                "NEVER_SENT",
                Layer::Ledger,
                Sent::No,
                Next::RetrySameKey,
                "该笔未送达登记机构，请以原流水号重发",
                "the filing never reached the registry; send it again",
            ),
            Self::Unsupported => row(
                "UNSUPPORTED",
                Layer::Mapping,
                Sent::No,
                Next::CallOffice,
                "不支持该业务",
                "not supported",
            ),
        }
    }

    /// Whether anything reached the registry, and what the bank is to do, as a rule.
    pub(crate) fn rule(self) -> (v1::Sent, v1::NextAction) {
        let Row { sent, next, .. } = self.row();
        (sent, next)
    }

    /// The code as banks and documents write it.
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// In which layer it arises.
    pub fn layer(self) -> v1::Layer {
        self.row().layer
    }

    /// Words for an operator's log, in English.
    pub fn words_for_operators(self) -> &'static str {
        self.row().en
    }
}

/// In which layer a fault of a message arises.
pub(crate) fn layer_of(fault: FaultCode) -> v1::Layer {
    use FaultCode as F;
    match fault {
        F::LengthMismatch => v1::Layer::Transport,
        F::InstitutionMismatch => v1::Layer::Identity,
        F::CharsetInvalid
        | F::WrapInvalid
        | F::SealInvalid
        | F::XmlSyntax
        | F::JsonSyntax
        | F::DoctypeRefused
        | F::TooDeep
        | F::TooMany
        | F::KeyDuplicate
        | F::MessageUnknown
        | F::LiteralMismatch
        | F::TagMissing
        | F::TagRepeated
        | F::TagUnknown
        | F::ValueEmpty
        | F::ValueKind => v1::Layer::Message,
        F::ValueConflict
        | F::CodeUnmapped
        | F::AmountInvalid
        | F::AmountPrecision
        | F::NumberInvalid
        | F::DateInvalid
        | F::TimeInvalid
        | F::UnitCodeInvalid
        | F::BytesInvalid
        | F::PartsMismatch
        | F::CountMismatch
        | F::ListGap
        | F::CheckDigit
        | F::FieldRequired
        | F::FieldForbidden
        | F::OrderInvalid
        | F::TermTooLong
        | F::SharesNotOne
        | F::DateInFuture
        | F::MortgageeMismatch
        | F::ValueTooLong
        | F::KeyInvalid => v1::Layer::Mapping,
        F::KeyReused | F::Duplicate => v1::Layer::Ledger,
        F::MaterialUnknown | F::MaterialMismatch => v1::Layer::Mapping,
        F::RouteUnknown | F::RouteConflict | F::DeliveryUnsupported => v1::Layer::Routing,
    }
}

impl Refusal {
    /// A message with faults: nothing was sent; correct it and send it under a new key.
    pub fn of_faults(faults: Vec<Fault>) -> Self {
        let code = faults.first().map_or(Code::Unsupported, |first| Code::Faulty(first.code));
        Self { faults, ..Self::of(code) }
    }

    /// As it is by rule.
    pub fn of(code: Code) -> Self {
        let Row { sent, next, .. } = code.row();
        Self { code, sent, next, retry_after: None, faults: Vec::new(), detail: None }
    }

    /// The same message with the same key is welcome after a while.
    pub fn retry_same_key(code: Code, after: Duration) -> Self {
        Self { next: v1::NextAction::RetrySameKey, retry_after: Some(after), ..Self::of(code) }
    }

    /// It was sent, or may have been: the gateway finds out, the bank asks again with the same key.
    pub fn outcome_unknown(ask_again_after: Duration) -> Self {
        Self::retry_same_key(Code::OutcomeUnknown, ask_again_after)
    }

    /// Asking again would not help: people have to find out.
    #[must_use]
    pub fn for_people(self) -> Self {
        Self { next: v1::NextAction::CallOffice, retry_after: None, ..self }
    }

    /// This copy was not sent, but the first may have been: a bank that read NO here could file the same loan elsewhere.
    pub fn still_working(ask_again_after: Duration) -> Self {
        Self::retry_same_key(Code::StillWorking, ask_again_after)
    }

    /// The faults that go with it.
    #[must_use]
    pub fn with_faults(self, faults: Vec<Fault>) -> Self {
        Self { faults, ..self }
    }

    /// What to add to its words.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The outcome a bank is told: what the contract's refusal file is filled from.
    pub fn outcome(&self) -> v1::Outcome {
        let status = match self.sent {
            v1::Sent::Unknown => v1::CaseStatus::OutcomeUnknown,
            v1::Sent::No | v1::Sent::Yes | v1::Sent::Unspecified => {
                v1::CaseStatus::RejectedValidation
            }
        };
        v1::Outcome {
            status: status.into(),
            refusal: Some(v1::Refusal {
                code: self.code.as_str().to_owned(),
                message: self.message(),
                sent: self.sent.into(),
                next_action: self.next.into(),
                retry_after_seconds: self.retry_after.map(whole_seconds),
                faults: self.faults.iter().map(told).collect(),
                layer: self.code.layer().into(),
                ..v1::Refusal::default()
            }),
            ..v1::Outcome::default()
        }
    }

    fn message(&self) -> String {
        let words = self.code.row().zh;
        match (&self.detail, self.faults.len()) {
            (Some(detail), _) => format!("{words}：{detail}"),
            (None, count) if count > 1 && matches!(self.code, Code::Faulty(_)) => {
                format!("报文有{count}处错误")
            }
            (None, _) => words.to_owned(),
        }
    }
}

fn told(fault: &Fault) -> v1::Fault {
    let (code, zh, _) = fault.code.words();
    let mut message = zh.to_owned();
    if let Some(found) = &fault.found {
        message = format!("{message}：\"{found}\"");
    }
    if let Some(expected) = &fault.expected {
        message = format!("{message}（应为{expected}）");
    }
    v1::Fault {
        code: code.to_owned(),
        place: legible(&fault.place),
        offset: i64::try_from(fault.offset).ok(),
        field: fault.field.clone().unwrap_or_default(),
        message,
    }
}

/// A place that any answer can hold, whatever the sender called its members: a text has no control characters, and no white
/// space at its ends.
fn legible(place: &str) -> String {
    let from = place.len().saturating_sub(place.trim_start().len());
    let inside = from..place.trim_end().len();
    let shown = |(at, letter): (usize, char)| match letter {
        letter if letter.is_control() => '\u{fffd}',
        letter if letter.is_whitespace() && !inside.contains(&at) => '\u{fffd}',
        letter => letter,
    };
    place.char_indices().map(shown).collect()
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: FaultCode) -> Fault {
        Fault { code, place: "/A".into(), offset: 7, field: None, found: None, expected: None }
    }

    #[test]
    fn a_message_with_several_faults_says_how_many_and_takes_the_first_ones_code() {
        let refusal =
            Refusal::of_faults(vec![fault(FaultCode::CodeUnmapped), fault(FaultCode::DateInvalid)]);
        let told = refusal.outcome().refusal.unwrap();
        assert_eq!((told.code.as_str(), told.message.as_str()), ("CODE_UNMAPPED", "报文有2处错误"));
        assert_eq!(
            (told.sent(), told.next_action()),
            (v1::Sent::No, v1::NextAction::CorrectAndResend)
        );
        assert_eq!(told.faults.len(), 2);
    }

    #[test]
    fn a_place_can_be_told_whatever_the_sender_called_its_members() {
        for (place, told) in [
            ("/Document/抵押 人[2]", "/Document/抵押 人[2]"),
            ("/a\u{1}\u{7f}b\n", "/a\u{fffd}\u{fffd}b\u{fffd}"),
            ("/name \u{3000}", "/name\u{fffd}\u{fffd}"),
        ] {
            let fault = Fault { place: place.into(), ..fault(FaultCode::TagUnknown) };
            assert_eq!(super::told(&fault).place, told);
            assert!(adapters::codec::text::write(told).is_ok());
        }
    }

    #[test]
    fn an_unknown_outcome_is_never_told_as_a_rejection() {
        let outcome = Refusal::outcome_unknown(Duration::from_millis(1500)).outcome();
        assert_eq!(outcome.status(), v1::CaseStatus::OutcomeUnknown);
        let told = outcome.refusal.unwrap();
        assert_eq!(told.sent(), v1::Sent::Unknown);
        assert_eq!(told.retry_after_seconds, Some(2));
        let copy = Refusal::still_working(Duration::from_secs(1)).outcome();
        assert_eq!(copy.status(), v1::CaseStatus::OutcomeUnknown);
        assert_eq!(copy.refusal.unwrap().sent(), v1::Sent::Unknown);
    }
}
