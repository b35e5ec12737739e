//! What the trace of an exchange says of it, and whether it is one that is kept whatever the sampling says.

use adapters::wire::whole::HttpMessage;
use opentelemetry::trace::TraceId;
use proto::v1::Sent;

use super::{Answer, Hearing, told::Said};
use crate::{
    refusal::{Code, Refusal},
    telemetry,
};

/// How an exchange ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// Why it was refused, if it was.
    pub(super) refused: Option<Code>,
    /// Whether what became of it at the registry is unknown.
    is_unknown: bool,
}

impl Ended {
    pub(super) fn of(what: &Result<Said, Refusal>) -> Self {
        let refusal = what.as_ref().err();
        let is_unknown = refusal.is_some_and(|refusal| refusal.sent == Sent::Unknown);
        Self { refused: refusal.map(|refusal| refusal.code), is_unknown }
    }
}

impl Hearing<'_> {
    /// Concludes the trace: names of settings and contracts, and codes; nothing that the message says. Which it is, if it is
    /// kept.
    pub(super) fn concluded(
        &self,
        ended: Ended,
        message: &str,
        result: &'static str,
        answer: &Answer,
    ) -> Option<TraceId> {
        let error = ended.refused.map(Code::as_str);
        telemetry::conclude(error, ended.is_unknown, || {
            let mut said = vec![
                ("directlink.institution", self.bank.id().to_owned().into()),
                ("directlink.version", self.contract.version().to_owned().into()),
                ("directlink.message", message.to_owned().into()),
                ("directlink.result", result.into()),
            ];
            let status = self.status(answer).map(i64::from);
            said.extend(status.map(|status| ("http.response.status_code", status.into())));
            said
        })
    }

    /// The status an answer goes out with, if it goes by HTTP.
    fn status(&self, answer: &Answer) -> Option<u16> {
        match self.contract.wire().http.as_ref()?.whole {
            Some(_) => HttpMessage::parse(&answer.bytes)?.status(),
            None => Some(200),
        }
    }
}
