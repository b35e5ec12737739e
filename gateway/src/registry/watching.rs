//! A registry's stream of events: what it tells of cases by itself, from a cursor on.
//!
//! The stream has no deadline, and says nothing about whether the registry answers calls; that its connection lives is found
//! out by HTTP/2's pings. What an event tells is believed only if it says whose case it is and how that stands.

use std::time::{Duration, Instant};

use futures_util::stream::{Stream, StreamExt};
use proto::v1::{
    Institution, WatchEventsRequest, WatchEventsResponse, get_case_request::By,
    registry_client::RegistryClient,
};
use tonic::{Request, Status};

use super::{CallError, Caller, Handover, Purpose, Registry, Testimony, end_of, testimony};
use crate::{follow_up::Policy, settings::Answers, telemetry::RegistryCall};

/// What a registry tells of a case by itself.
#[derive(Debug, Clone)]
pub struct Notice {
    /// From where to go on after it.
    pub cursor: String,
    /// Whose case it is, under which key, and how it stands; `None` if it does not say so.
    pub account: Option<(String, String, Testimony)>,
}

impl Registry {
    /// How it lets know what becomes of cases.
    pub fn answers(&self) -> Answers {
        self.settings.answers
    }

    /// How its cases are followed up, as far as that is its own.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            answers: self.settings.answers,
            first: self.settings.poll_first,
            longest: self.settings.poll_longest,
            warn_before: Duration::ZERO,
        }
    }

    /// What happens to cases, from `cursor` on; from the beginning with none. It ends when the registry ends it.
    ///
    /// # Errors
    /// [`CallError`]; in the stream, why it broke off.
    pub async fn watch(
        &self,
        cursor: &str,
    ) -> Result<impl Stream<Item = Result<Notice, Status>> + Unpin + use<>, CallError> {
        self.is_open(Purpose::Resolving)?;
        let started = Instant::now();
        let mut request = Request::new(WatchEventsRequest { after: cursor.to_owned() });
        let handover = Handover::default();
        request.extensions_mut().insert(handover.clone());
        let opened = RegistryClient::new(self.courier.clone()).watch_events(request).await;
        let opened = opened.map_err(|status| CallError::of(status, &handover));
        let (call, end) = (RegistryCall::WatchEvents, end_of(&opened));
        self.metrics.registry_call(self.name(), call, end, started.elapsed());
        let registry = self.name().to_owned();
        let stream = opened?.into_inner();
        Ok(stream.map(move |event| event.map(|event| notice_of(&registry, event))))
    }

    /// How the gateway asks by itself, for an institution of which it has no certificate to show.
    pub fn on_behalf_of(institution: &str) -> Caller {
        let institution = Institution { id: institution.to_owned(), ..Institution::default() };
        Caller { institution, client_cert: None }
    }
}

fn notice_of(registry: &str, event: WatchEventsResponse) -> Notice {
    let WatchEventsResponse { cursor, case, happened_at: _ } = event;
    let account = case.ok_or("an event of no case").and_then(|case| {
        let (institution, key) = (case.institution_id.clone(), case.idempotency_key.clone());
        if institution.is_empty() || key.is_empty() {
            return Err("an event of nobody's case");
        }
        let by = By::IdempotencyKey(key.clone());
        Ok((institution.clone(), key, testimony::testimony_of(case, &institution, &by)?))
    });
    let account = account
        .inspect_err(|flaw| tracing::error!(registry, flaw, "a registry's event is not believed"));
    Notice { cursor, account: account.ok() }
}
