//! Registries: calls, what they tell, and what is unknown, waiting or different at them.

use std::time::Duration;

use opentelemetry::KeyValue;

use super::Metrics;
use crate::{
    ledger::{Unknown, events::Recorded},
    registry::Shut,
};

impl Metrics {
    /// One call to a registry ended.
    pub fn registry_call(&self, registry: &str, call: RegistryCall, end: CallEnd, took: Duration) {
        self.0.registry_call_duration.record(
            took.as_secs_f64(),
            &[
                KeyValue::new("registry", registry.to_owned()),
                KeyValue::new("call", call.label()),
                KeyValue::new("end", end.label()),
            ],
        );
    }

    /// A filing was handed to an office, or tried to be, with all its tries.
    pub fn filing(&self, registry: &str, office: &str, end: CallEnd, took: Duration) {
        let labels = [
            KeyValue::new("registry", registry.to_owned()),
            KeyValue::new("office", office.to_owned()),
            KeyValue::new("end", end.label()),
        ];
        self.0.filing_duration.record(took.as_secs_f64(), &labels);
    }

    /// How many calls are at a registry is asked for whenever metrics are told: counting them costs no call anything.
    pub fn watch_room(
        &self,
        registry: &str,
        purpose: &'static str,
        taken: impl Fn() -> Option<usize> + Send + Sync + 'static,
    ) {
        let labels =
            [KeyValue::new("registry", registry.to_owned()), KeyValue::new("purpose", purpose)];
        self.watch(
            "directlink.registry.calls_in_flight",
            "Calls at a registry, by purpose",
            taken,
            labels,
        );
    }

    /// Whether a registry is left alone: 1 or 0.
    pub fn registry_paused(&self, registry: &str, paused: u64) {
        self.0.registry_paused.record(paused, &[KeyValue::new("registry", registry.to_owned())]);
    }

    /// A call was not made.
    pub fn shut_out(&self, registry: &str, why: Shut) {
        let why = match why {
            Shut::Paused { .. } => "paused",
            Shut::Full => "full",
        };
        let labels = [KeyValue::new("registry", registry.to_owned()), KeyValue::new("why", why)];
        self.0.shut_out.add(1, &labels);
    }

    /// A registry told of a case what cannot be. `why`: [`crate::case::Why::label`].
    pub fn impossible(&self, registry: &str, why: &'static str) {
        let labels = [KeyValue::new("registry", registry.to_owned()), KeyValue::new("why", why)];
        self.0.impossible.add(1, &labels);
    }

    /// A registry's stream of events told something. `status`: of the case, by its name.
    pub fn heard(&self, registry: &str, heard: Heard, status: &'static str) {
        let labels = [
            KeyValue::new("registry", registry.to_owned()),
            KeyValue::new("made", heard.label()),
            KeyValue::new("status", status.trim_start_matches("CASE_STATUS_")),
        ];
        self.0.heard.add(1, &labels);
    }

    /// A case's deadline is near, or over.
    pub fn deadline(&self, registry: &str, deadline: Deadline) {
        let labels = [
            KeyValue::new("registry", registry.to_owned()),
            KeyValue::new("deadline", deadline.label()),
        ];
        self.0.deadlines.add(1, &labels);
    }

    /// How much is unknown at a registry just now.
    pub fn unknown(&self, registry: &str, unknown: Unknown) {
        let labels = [KeyValue::new("registry", registry.to_owned())];
        self.0.unknown.record(unknown.count, &labels);
        self.0.unknown_oldest.record(unknown.oldest.as_secs(), &labels);
    }

    /// Of how many of a registry's offices settings and the registry say different things.
    pub fn offices_differing(&self, registry: &str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.offices_differing.record(count, &[KeyValue::new("registry", registry.to_owned())]);
    }

    /// How many filings wait just now, by office.
    pub fn queued(&self, by_office: &[(String, u64)]) {
        self.0.queued.record(by_office.iter().map(|(_, count)| count).sum(), &[]);
    }
}

/// What a registry is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the service's methods")]
pub enum RegistryCall {
    Submit,
    Correct,
    GetCase,
    Withdraw,
    QueryTitle,
    CertifyRecord,
    VerifyCertificate,
    FetchCertificate,
    DescribeOffices,
    WatchEvents,
    UploadMaterial,
    SumDay,
    ListDay,
}

impl RegistryCall {
    fn label(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::GetCase => "get_case",
            Self::QueryTitle => "query_title",
            Self::Correct => "correct",
            Self::Withdraw => "withdraw",
            Self::CertifyRecord => "certify_record",
            Self::VerifyCertificate => "verify_certificate",
            Self::FetchCertificate => "fetch_certificate",
            Self::DescribeOffices => "describe_offices",
            Self::UploadMaterial => "upload_material",
            Self::WatchEvents => "watch_events",
            Self::SumDay => "sum_day",
            Self::ListDay => "list_day",
        }
    }

    /// The method called, by its full name in the service's definition.
    pub(in crate::telemetry) fn method(self) -> &'static str {
        match self {
            Self::Submit => "directlink.v1.Registry/Submit",
            Self::GetCase => "directlink.v1.Registry/GetCase",
            Self::QueryTitle => "directlink.v1.Registry/QueryTitle",
            Self::Correct => "directlink.v1.Registry/Correct",
            Self::Withdraw => "directlink.v1.Registry/Withdraw",
            Self::CertifyRecord => "directlink.v1.Registry/CertifyRecord",
            Self::VerifyCertificate => "directlink.v1.Registry/VerifyCertificate",
            Self::FetchCertificate => "directlink.v1.Registry/FetchCertificate",
            Self::DescribeOffices => "directlink.v1.Registry/DescribeOffices",
            Self::UploadMaterial => "directlink.v1.Registry/UploadMaterial",
            Self::WatchEvents => "directlink.v1.Registry/WatchEvents",
            Self::SumDay => "directlink.v1.Registry/SumDay",
            Self::ListDay => "directlink.v1.Registry/ListDay",
        }
    }
}

/// How a call to a registry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// The registry answered, be it with a refusal.
    Answered,
    /// Nothing reached it.
    NotSent,
    /// It rejected the call itself.
    Rejected,
    /// It may have acted, but no answer came.
    NoAnswer,
}

impl CallEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NotSent => "not_sent",
            Self::Rejected => "rejected",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// What was made of an event of a registry's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was news.
    News,
    /// It was known.
    Known,
    /// It cannot be.
    Impossible,
    /// Nobody filed that here.
    Unheard,
    /// It does not say whose case it is or how that stands.
    Unreadable,
}

impl Heard {
    /// What the ledger made of it.
    pub fn of(recorded: &Recorded) -> Self {
        match recorded {
            Recorded::News { .. } => Self::News,
            Recorded::Same(_) => Self::Known,
            Recorded::Impossible(..) => Self::Impossible,
            Recorded::Unheard => Self::Unheard,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::News => "news",
            Self::Known => "known",
            Self::Impossible => "impossible",
            Self::Unheard => "unheard",
            Self::Unreadable => "unreadable",
        }
    }
}

/// How a case's deadline stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// Its bank was told that it is near.
    Near,
    /// It is over, and the registry has not said what became of the case.
    Over,
}

impl Deadline {
    fn label(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Over => "over",
        }
    }

    /// For logs.
    pub fn words(self) -> &'static str {
        match self {
            Self::Near => "the deadline of a case is near",
            Self::Over => {
                "the deadline of a case is over, and its registry does not say what became of it"
            }
        }
    }
}
