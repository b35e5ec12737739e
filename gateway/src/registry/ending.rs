//! How a call to a registry ended, in the words of those who decide, count and trace. What a status proves of the registry
//! is the service's promise (registry.proto, "Registry").

use tonic::{Code, Status};

use super::{CallError, handover::Handover};
use crate::telemetry::CallEnd;

impl CallError {
    /// What a call that failed with `status` proves.
    pub(super) fn of(status: Status, handover: &Handover) -> Self {
        if handover.take_back() {
            return Self::NotSent(Box::new(status));
        }
        match status.code() {
            // The service promises that these did nothing (registry.proto, "Registry").
            Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented => Self::Rejected(Box::new(status)),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::NoAnswer(Box::new(status)),
        }
    }

    /// Its status, as gRPC writes it.
    pub(super) fn status(&self) -> &'static str {
        let code = match self {
            Self::Shut(_) => Code::Unavailable,
            Self::NotSent(status) | Self::Rejected(status) | Self::NoAnswer(status) => {
                status.code()
            }
        };
        match code {
            Code::Ok => "OK",
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// How a call ended, for those who count.
pub(super) fn end_of<T>(done: &Result<T, CallError>) -> CallEnd {
    match done {
        Ok(_) => CallEnd::Answered,
        Err(CallError::Shut(_) | CallError::NotSent(_)) => CallEnd::NotSent,
        Err(CallError::Rejected(_)) => CallEnd::Rejected,
        Err(CallError::NoAnswer(_)) => CallEnd::NoAnswer,
    }
}
