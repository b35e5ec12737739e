//! What is said in answer to a message, and how it becomes bytes: the contract's words are the contract's, which of them is
//! needed is decided here.

use std::time::SystemTime;

use adapters::{Contract, Reply, Undecoded};
use proto::v1::{
    Acknowledged, Books, CertificateAnswer, DischargeAnswer, Document, Envelope, Exchange, Feed,
    OfficeAnswer, Outcome, RecordAnswer, TitleAnswer,
};

use super::{Answer, AnswerKind};
use crate::refusal::Refusal;

/// What is said in answer, before it is put into the bank's words.
pub(super) enum Said {
    Outcome(Outcome),
    Title(TitleAnswer),
    Record(RecordAnswer),
    Certificate(CertificateAnswer),
    Document(Document),
    Discharge(DischargeAnswer),
    Office(OfficeAnswer),
    Feed(Feed),
    Acknowledged(Acknowledged),
    Books(Books),
}

/// An answer and what it answers.
pub(super) struct Told {
    pub(super) message: Option<String>,
    pub(super) exchange: Exchange,
    pub(super) what: Result<Said, Refusal>,
}

/// What [`Told::result`] says of answers that are neither a case's status nor a refusal, and the port of an upload.
pub(crate) const ANSWERS: [&str; 9] = [
    "TITLE_ANSWER",
    "RECORD_ANSWER",
    "CERTIFICATE_ANSWER",
    "DOCUMENT",
    "DISCHARGE_ANSWER",
    "FEED",
    "ACKNOWLEDGED",
    "BOOKS",
    "TAKEN",
];

impl Told {
    pub(super) fn faulty(undecoded: Undecoded) -> Self {
        let Undecoded { faults, message, exchange, application: _ } = undecoded;
        Self { message, exchange, what: Err(Refusal::of_faults(faults)) }
    }

    /// For traces and metrics: the refusal's code, or the status told.
    pub(super) fn result(&self) -> &'static str {
        match &self.what {
            Ok(Said::Outcome(outcome)) => outcome.status().as_str_name(),
            Ok(Said::Title(_)) => "TITLE_ANSWER",
            Ok(Said::Record(_)) => "RECORD_ANSWER",
            Ok(Said::Certificate(_)) => "CERTIFICATE_ANSWER",
            Ok(Said::Document(_)) => "DOCUMENT",
            Ok(Said::Discharge(_)) => "DISCHARGE_ANSWER",
            Ok(Said::Office(_)) => "OFFICE_ANSWER",
            Ok(Said::Feed(_)) => "FEED",
            Ok(Said::Acknowledged(_)) => "ACKNOWLEDGED",
            Ok(Said::Books(_)) => "BOOKS",
            Err(refusal) => refusal.code.as_str(),
        }
    }

    /// The answer in the bank's own words.
    pub(super) fn written(self, contract: &Contract) -> Answer {
        let Self { message, exchange, what } = self;
        let mut envelope = Envelope {
            exchange: Some(Exchange { replied_at: Some(SystemTime::now().into()), ..exchange }),
            ..Envelope::default()
        };
        let reply = match &what {
            Ok(Said::Outcome(Outcome { refusal: Some(_), .. })) | Err(_) => Reply::Refusal,
            Ok(_) => Reply::Outcome,
        };
        match what {
            Ok(Said::Outcome(outcome)) => envelope.outcome = Some(outcome),
            Ok(Said::Title(answer)) => envelope.title_answer = Some(answer),
            Ok(Said::Record(answer)) => envelope.record_answer = Some(answer),
            Ok(Said::Certificate(answer)) => envelope.certificate_answer = Some(answer),
            Ok(Said::Document(document)) => envelope.document = Some(document),
            Ok(Said::Discharge(answer)) => envelope.discharge_answer = Some(answer),
            Ok(Said::Office(answer)) => envelope.office_answer = Some(answer),
            Ok(Said::Feed(feed)) => envelope.feed = Some(feed),
            Ok(Said::Acknowledged(acknowledged)) => envelope.acknowledged = Some(acknowledged),
            Ok(Said::Books(books)) => envelope.books = Some(books),
            Err(refusal) => envelope.outcome = Some(refusal.outcome()),
        }
        let kind = match reply {
            Reply::Refusal => AnswerKind::Refusal,
            Reply::Request | Reply::Outcome | Reply::Notice | Reply::Ack => AnswerKind::Outcome,
        };
        match contract.encode(message.as_deref(), reply, &envelope) {
            Ok(bytes) => Answer { bytes, kind },
            Err(cannot) => {
                // The outcome is in the ledger; what the contract cannot say, the port says in its own words.
                tracing::error!(
                    field = cannot.field,
                    reason = cannot.reason,
                    "an answer could not be written"
                );
                Answer { bytes: Vec::new(), kind: AnswerKind::None }
            }
        }
    }
}
