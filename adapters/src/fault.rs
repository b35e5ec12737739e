//! What is wrong with a bank's message, in the bank's own coordinates.
//!
//! All faults of one message are told at once, in order of offset. Words are made here, in Chinese and English;
//! what to do next is the gateway's to say.

use std::fmt;

use strum::{EnumIter, EnumMessage};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable code.
    pub code: FaultCode,
    /// XPath or JSON Pointer in the bank's message, `!` before the place inside an embedded document; empty for
    /// faults of the bytes or of the syntax.
    pub place: String,
    /// Byte offset in the message as sent, framing included, before any decoding.
    pub offset: usize,
    /// Path of the canonical field, as contracts write it (`matter.mortgagors[0].id_number`).
    pub field: Option<String>,
    /// What stood there, masked if the field is personal; `None` where nothing stood.
    pub found: Option<String>,
    /// What was expected, where that can be said shortly.
    pub expected: Option<String>,
}

/// The codes of faults, and what each is said of: docs/errors.md is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, EnumMessage)]
pub enum FaultCode {
    /// A length prefix that is not digits, or is not the length of what came.
    LengthMismatch,
    /// The first byte that is not of the agreed charset.
    CharsetInvalid,
    /// A form field, Base64, compression or the head of a whole HTTP request that cannot be undone.
    WrapInvalid,
    /// A signature that is missing or wrong.
    SealInvalid,
    /// The point where the document stops being well formed.
    XmlSyntax,
    /// The point where the document stops being well formed.
    JsonSyntax,
    /// A DOCTYPE, whatever is in it.
    DoctypeRefused,
    /// The element or bracket that opens level 33.
    TooDeep,
    /// The 50,001st element, attribute, object, array or value of one document.
    TooMany,
    /// The second of two equal keys in one JSON object.
    KeyDuplicate,
    /// A message of a kind that the contract does not have.
    MessageUnknown,
    /// A fixed value other than agreed.
    LiteralMismatch,
    /// A mandatory leaf that is not there.
    TagMissing,
    /// The second of what may stand once.
    TagRepeated,
    /// Something that was not agreed; in test mode only, in production it is dropped and counted.
    TagUnknown,
    /// A mandatory leaf that is empty or null.
    ValueEmpty,
    /// An object or array where a value belongs.
    ValueKind,
    /// Two places that disagree about one field, or two arms of a choice.
    ValueConflict,
    /// A code that is in no table.
    CodeUnmapped,
    /// Not an amount in the agreed form, or not above zero.
    AmountInvalid,
    /// An amount finer than one 分.
    AmountPrecision,
    /// Not a whole number in range.
    NumberInvalid,
    /// A day or time that does not exist, or is in another form.
    DateInvalid,
    /// A day or time that does not exist, or is in another form.
    TimeInvalid,
    /// Not a unit code.
    UnitCodeInvalid,
    /// Not Base64 or hexadecimal.
    BytesInvalid,
    /// Pieces of a leaf that cannot be told apart, or too few or many.
    PartsMismatch,
    /// A count that differs from its list, or columns of different length.
    CountMismatch,
    /// Numbered items with a number left out.
    ListGap,
    /// An identity number or credit code whose check character is wrong.
    CheckDigit,
    /// A field that must be set, given what else is set.
    FieldRequired,
    /// A field that must not be set, given what else is set.
    FieldForbidden,
    /// A last day before its first.
    OrderInvalid,
    /// A last day later than the law allows: a seizure lasts three years at most.
    TermTooLong,
    /// The first share of a list whose shares do not make one whole, for the properties of its party; or where some
    /// state a share and others do not.
    SharesNotOne,
    /// A day of something done (contract signed, debt settled, loss declared) that has not come yet in Asia/Shanghai.
    DateInFuture,
    /// The first lender, where none of the lenders is the institution that asks (settings, `mortgagee_names`,
    /// `mortgagee_codes`).
    MortgageeMismatch,
    /// A text longer than the model allows.
    ValueTooLong,
    /// Serials of which no idempotency key can be built.
    KeyInvalid,
    /// A field that differs from the first message with this key.
    KeyReused,
    /// The contract number of a loan that was filed under another key.
    Duplicate,
    /// A material that was not uploaded, or not to its end (404 where an upload is asked about).
    MaterialUnknown,
    /// A material of another length, digest or media type than is said.
    MaterialMismatch,
    /// An institution code of the body that is not one of the certificate's.
    InstitutionMismatch,
    /// A property that no office is in charge of, or a stated office that nobody knows.
    RouteUnknown,
    /// A property that leads to another office than the others, or a piece of evidence than another; the words name
    /// both offices.
    RouteConflict,
    /// A way of delivery that the office does not offer; the words name those it does.
    DeliveryUnsupported,
}

impl FaultCode {
    /// The code as banks and documents write it, with its words in Chinese and in English.
    pub fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::LengthMismatch => {
                ("LENGTH_MISMATCH", "报文长度与长度前缀不符", "length differs from its prefix")
            }
            Self::CharsetInvalid => {
                ("CHARSET_INVALID", "字节不符合约定的字符集", "bytes are not of the agreed charset")
            }
            Self::WrapInvalid => {
                ("WRAP_INVALID", "表单、Base64或压缩有误", "form, Base64 or compression is broken")
            }
            Self::SealInvalid => {
                ("SEAL_INVALID", "签名缺失或不符", "signature is missing or wrong")
            }
            Self::XmlSyntax => ("XML_SYNTAX", "XML格式有误", "XML is not well formed"),
            Self::JsonSyntax => ("JSON_SYNTAX", "JSON格式有误", "JSON is not well formed"),
            Self::DoctypeRefused => ("DOCTYPE_REFUSED", "不接受DOCTYPE", "DOCTYPE is not accepted"),
            Self::TooDeep => ("TOO_DEEP", "嵌套层次过多", "nested too deeply"),
            Self::TooMany => ("TOO_MANY", "元素或值过多", "too many elements or values"),
            Self::KeyDuplicate => {
                ("KEY_DUPLICATE", "同一对象内键重复", "key stands twice in one object")
            }
            Self::MessageUnknown => {
                ("MESSAGE_UNKNOWN", "不是约定的报文种类", "no agreed kind of message")
            }
            Self::LiteralMismatch => {
                ("LITERAL_MISMATCH", "与约定的固定值不符", "differs from the agreed literal")
            }
            Self::TagMissing => ("TAG_MISSING", "缺少必填项", "mandatory item is missing"),
            Self::TagRepeated => ("TAG_REPEATED", "重复出现", "stands more than once"),
            Self::TagUnknown => ("TAG_UNKNOWN", "未约定的项", "item was not agreed"),
            Self::ValueEmpty => ("VALUE_EMPTY", "必填项为空", "mandatory item is empty"),
            Self::ValueKind => ("VALUE_KIND", "值的类型不符", "value is of another kind"),
            Self::ValueConflict => ("VALUE_CONFLICT", "两处的值互相矛盾", "two places disagree"),
            Self::CodeUnmapped => ("CODE_UNMAPPED", "代码不在代码表内", "code is in no table"),
            Self::AmountInvalid => ("AMOUNT_INVALID", "金额格式不符", "not an amount"),
            Self::AmountPrecision => {
                ("AMOUNT_PRECISION", "金额小数位过多", "amount is finer than one fen")
            }
            Self::NumberInvalid => ("NUMBER_INVALID", "数字格式不符", "not a number"),
            Self::DateInvalid => ("DATE_INVALID", "不是有效日期", "not a valid date"),
            Self::TimeInvalid => ("TIME_INVALID", "不是有效时间", "not a valid time"),
            Self::UnitCodeInvalid => ("UNIT_CODE_INVALID", "不动产单元代码不符", "not a unit code"),
            Self::BytesInvalid => {
                ("BYTES_INVALID", "Base64或十六进制有误", "not Base64 or hexadecimal")
            }
            Self::PartsMismatch => {
                ("PARTS_MISMATCH", "分段数或分隔符不符", "pieces are not as agreed")
            }
            Self::CountMismatch => {
                ("COUNT_MISMATCH", "数目与清单不符", "count differs from the list")
            }
            Self::ListGap => ("LIST_GAP", "编号不连续", "numbered items have a gap"),
            Self::CheckDigit => ("CHECK_DIGIT", "校验位不符", "check digit is wrong"),
            Self::FieldRequired => ("FIELD_REQUIRED", "此时必须填写", "is required here"),
            Self::FieldForbidden => ("FIELD_FORBIDDEN", "此时不得填写", "may not be set here"),
            Self::OrderInvalid => {
                ("ORDER_INVALID", "起止顺序颠倒", "comes before what it must follow")
            }
            Self::TermTooLong => {
                ("TERM_TOO_LONG", "期限超过法定最长期限", "the term is longer than the law allows")
            }
            Self::SharesNotOne => {
                ("SHARES_NOT_ONE", "共有份额之和不符", "the shares do not make one whole")
            }
            Self::DateInFuture => {
                ("DATE_IN_FUTURE", "日期晚于今日", "is a day that has not come yet")
            }
            Self::MortgageeMismatch => (
                "MORTGAGEE_MISMATCH",
                "抵押权人不是申请机构",
                "none of the lenders is the institution that asks",
            ),
            Self::ValueTooLong => ("VALUE_TOO_LONG", "超过允许的长度", "is longer than allowed"),
            Self::KeyInvalid => {
                ("KEY_INVALID", "无法构成幂等键", "no idempotency key can be built")
            }
            Self::KeyReused => {
                ("KEY_REUSED", "与首次报文不同", "differs from the first message with this key")
            }
            Self::MaterialUnknown => (
                "MATERIAL_UNKNOWN",
                "该材料尚未上传，或未传完",
                "the material was not uploaded, or not to its end",
            ),
            Self::MaterialMismatch => (
                "MATERIAL_MISMATCH",
                "材料的长度、摘要或类型与所述不符",
                "the material has another length, digest or media type than is said",
            ),
            Self::Duplicate => {
                ("DUPLICATE", "与另一笔申请相同", "is the same loan as another filing's")
            }
            Self::InstitutionMismatch => (
                "INSTITUTION_MISMATCH",
                "与证书所属机构不符",
                "names another institution than the certificate",
            ),
            Self::RouteUnknown => {
                ("ROUTE_UNKNOWN", "无法确定登记机构", "no registry office is known for it")
            }
            Self::RouteConflict => {
                ("ROUTE_CONFLICT", "所指登记机构互相矛盾", "points to another registry office")
            }
            Self::DeliveryUnsupported => (
                "DELIVERY_UNSUPPORTED",
                "登记机构不提供该领证方式",
                "the office does not deliver so",
            ),
        }
    }

    /// The code as banks and documents write it.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
