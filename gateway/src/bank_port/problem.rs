//! What an HTTPS caller is told when no bank's envelope applies: RFC 9457 problem details.
//!
//! One row a code, as in `refusal`; the codes are listed in docs/errors.md. All of these are said before anything was
//! sent to a registry, but [`Problem::AnswerLost`].

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use strum::{EnumIter, EnumMessage, IntoEnumIterator};

use crate::{reference, turnstile::Busy};

/// Why a request has no answer in the bank's own words.
#[derive(Debug, Clone, PartialEq, Eq, EnumIter, EnumMessage)]
pub(super) enum Problem {
    /// The certificate is registered for no institution.
    IdentityUnknown,
    /// The institution's contract does not use this port.
    PortUnused,
    /// Another path than the contract's.
    PathUnknown,
    /// Another method than the contract's.
    MethodNotAllowed { agreed: String },
    /// A header field that the contract names is missing or says something else.
    HeaderUnexpected,
    /// Another media type than the contract's, or a compressed body.
    MediaTypeUnsupported,
    /// The body is longer than allowed, in bytes.
    TooLarge { limit: usize },
    /// The body did not arrive in time.
    TooSlow,
    /// The body ended before its end.
    Truncated,
    /// The institution sends faster, or has more under way, than it may, where the contract's refusal cannot be written for a
    /// message that was not read; with `Retry-After`.
    InstitutionBusy { retry_after: Duration },
    /// All institutions together have as much under way as the gateway takes, where the same holds; with `Retry-After`.
    GatewayBusy { retry_after: Duration },
    /// The message was taken, but its answer could not be written.
    AnswerLost,
    /// An upload without `Content-Length`.
    LengthRequired,
    /// A `Content-Range` that cannot be read, or is not as long as what comes.
    RangeInvalid,
    /// Nothing was uploaded of that material.
    MaterialUnknown,
    /// A material longer than `bytes_max` of `[materials]`.
    MaterialTooLarge { limit: u64 },
    /// A media type that is not among `media_types`.
    MaterialTypeUnsupported,
    /// A material that does not begin as its media type does.
    MaterialContent,
    /// A part shorter than `part_bytes_min` of `[materials]` that does not end its material.
    MaterialPartTooSmall { least: u64 },
    /// An upload that goes on elsewhere than it broke off, or that another upload of the same material has overtaken;
    /// `Upload-Offset` says where.
    MaterialOffset { offset: u64 },
    /// A material with another SHA-256 than its path says; what there was of it is deleted.
    MaterialDigest,
    /// The store of materials does not work.
    MaterialsUnavailable,
    /// The ledger cannot be read.
    LedgerUnavailable,
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::Institution { retry_after } => Self::InstitutionBusy { retry_after },
            Busy::Gateway { retry_after } => Self::GatewayBusy { retry_after },
        }
    }
}

/// One code of a problem, for the page that lists them.
#[derive(Serialize)]
pub(crate) struct Listed {
    code: &'static str,
    what: String,
    status: u16,
    sent: &'static str,
    next: &'static str,
}

/// Every problem.
pub(crate) fn problems() -> impl Iterator<Item = Listed> {
    Problem::iter().map(|problem| {
        let Row { status, code, sent, next, .. } = problem.row();
        let what = reference::said(&problem);
        Listed { code, what, status: status.as_u16(), sent, next }
    })
}

struct Row {
    status: StatusCode,
    code: &'static str,
    layer: &'static str,
    sent: &'static str,
    next: &'static str,
    zh: &'static str,
    en: &'static str,
}

impl Problem {
    fn row(&self) -> Row {
        let (status, code, layer, next, zh, en) = match self {
            Self::IdentityUnknown => (
                StatusCode::FORBIDDEN,
                "IDENTITY_UNKNOWN",
                "IDENTITY",
                "CALL_OFFICE",
                "客户端证书未登记为任何机构，请与网关运维联系",
                "the client certificate is registered for no institution: ask the gateway's operator",
            ),
            Self::PortUnused => (
                StatusCode::NOT_FOUND,
                "PORT_UNUSED",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "贵机构的接口约定不使用HTTPS端口",
                "your institution's contract does not use the HTTPS port",
            ),
            Self::PathUnknown => (
                StatusCode::NOT_FOUND,
                "PATH_UNKNOWN",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "请求路径与接口约定不符",
                "the path is not one your contract names",
            ),
            Self::MethodNotAllowed { .. } => (
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "请求方法与接口约定不符",
                "the method is not one your contract names there",
            ),
            Self::HeaderUnexpected => (
                StatusCode::BAD_REQUEST,
                "HEADER_UNEXPECTED",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "请求头字段与接口约定不符",
                "a header field is not as your contract names it",
            ),
            Self::MediaTypeUnsupported => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "MEDIA_TYPE_UNSUPPORTED",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "Content-Type与接口约定不符，或报文经过压缩",
                "the Content-Type is not the one your contract names, or the body is compressed",
            ),
            Self::TooLarge { .. } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "MESSAGE_TOO_LARGE",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "报文超过允许的长度",
                "the message is longer than allowed",
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "MESSAGE_TOO_SLOW",
                "TRANSPORT",
                "RETRY_SAME_KEY",
                "报文未在规定时间内到齐",
                "the message took too long to arrive",
            ),
            Self::Truncated => (
                StatusCode::BAD_REQUEST,
                "MESSAGE_TRUNCATED",
                "TRANSPORT",
                "RETRY_SAME_KEY",
                "报文不完整",
                "the message ended before its end",
            ),
            Self::InstitutionBusy { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "INSTITUTION_BUSY",
                "TRANSPORT",
                "RETRY_SAME_KEY",
                "贵机构报文过多，本报文未处理，请稍后以原流水号重发",
                "your institution sends more than it may: send this message again later under the same key",
            ),
            Self::GatewayBusy { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "GATEWAY_BUSY",
                "TRANSPORT",
                "RETRY_SAME_KEY",
                "网关繁忙，本报文未处理，请稍后以原流水号重发",
                "the gateway is busy: send this message again later under the same key",
            ),
            Self::AnswerLost => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "ANSWER_LOST",
                "TRANSPORT",
                "RETRY_SAME_KEY",
                "报文已收到，但应答未能生成；请以原流水号重发查询结果",
                "the message was taken but no answer could be written: send it again under the same key",
            ),
            Self::LengthRequired => (
                StatusCode::LENGTH_REQUIRED,
                "LENGTH_REQUIRED",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "上传须注明长度（Content-Length）",
                "an upload says its length (Content-Length)",
            ),
            Self::RangeInvalid => (
                StatusCode::BAD_REQUEST,
                "RANGE_INVALID",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "Content-Range有误，或与所传长度不符",
                "the Content-Range cannot be read, or is not as long as what comes",
            ),
            Self::MaterialUnknown => (
                StatusCode::NOT_FOUND,
                "MATERIAL_UNKNOWN",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "该材料尚未上传",
                "nothing was uploaded of that material",
            ),
            Self::MaterialTooLarge { .. } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "MATERIAL_TOO_LARGE",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "材料超过允许的长度",
                "the material is longer than allowed",
            ),
            Self::MaterialTypeUnsupported => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "MATERIAL_TYPE_UNSUPPORTED",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "不接受该类型的材料",
                "materials of that media type are not taken",
            ),
            Self::MaterialContent => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "MATERIAL_CONTENT",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "材料内容与所称类型不符",
                "the material is not what its media type says",
            ),
            Self::MaterialPartTooSmall { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "MATERIAL_PART_TOO_SMALL",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "除最后一段外，每段不得小于规定长度",
                "every part but the last has to be longer",
            ),
            Self::MaterialOffset { .. } => (
                StatusCode::CONFLICT,
                "MATERIAL_OFFSET",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "续传位置不符，应从Upload-Offset处继续",
                "the upload goes on elsewhere: at Upload-Offset",
            ),
            Self::MaterialDigest => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "MATERIAL_DIGEST",
                "TRANSPORT",
                "CORRECT_AND_RESEND",
                "材料摘要不符，已删除，请重新上传",
                "the material has another digest and was deleted: upload it again",
            ),
            Self::LedgerUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "LEDGER_UNAVAILABLE",
                "LEDGER",
                "RETRY_SAME_KEY",
                "网关台账暂不可用，请稍后重试",
                "the gateway's ledger cannot be read just now: ask again later",
            ),
            Self::MaterialsUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "MATERIALS_UNAVAILABLE",
                "TRANSPORT",
                "RETRY_SAME_KEY",
                "材料库暂不可用",
                "the store of materials is away",
            ),
        };
        let sent = if *self == Self::AnswerLost { "UNKNOWN" } else { "NO" };
        Row { status, code, layer, sent, next, zh, en }
    }

    /// The code, for the log.
    pub(super) fn code(&self) -> &'static str {
        self.row().code
    }

    /// The problem as a response.
    pub(super) fn response(&self) -> Response<Bytes> {
        let Row { status, code, layer, sent, next, zh, en } = self.row();
        let detail = match self {
            Self::TooLarge { limit } => format!("{zh}：{limit}字节 / {en}: {limit} bytes"),
            Self::MaterialTooLarge { limit } => {
                format!("{zh}：{limit}字节 / {en}: {limit} bytes")
            }
            Self::MaterialPartTooSmall { least } => {
                format!("{zh}：{least}字节 / {en}: at least {least} bytes")
            }
            _ => format!("{zh} / {en}"),
        };
        let title = status.canonical_reason().unwrap_or_default();
        let details = Details {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            code,
            layer,
            sent,
            next,
            detail,
        };
        // A structure of texts and one number always becomes JSON.
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Self::MethodNotAllowed { agreed } = self
            && let Ok(agreed) = HeaderValue::from_str(agreed)
        {
            headers.insert(header::ALLOW, agreed);
        }
        if let Self::MaterialOffset { offset } = self {
            headers.insert("upload-offset", HeaderValue::from(*offset));
        }
        if let Self::InstitutionBusy { retry_after } | Self::GatewayBusy { retry_after } = self {
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
                headers.insert(header::RETRY_AFTER, seconds);
            }
        }
        response
    }
}

/// The members of the problem, in the order told. Source: RFC 9457, sections 3.1 and 3.2.
#[derive(Serialize)]
struct Details {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    layer: &'static str,
    sent: &'static str,
    next: &'static str,
    detail: String,
}
