//! What a subscriber is told of an event: as much as it may know, in the words of its contract.
//!
//! Its own cases it is told whole; of others' only what settings name for that institution, and of matters that they name.
//! What is not named does not get into the message at all, so that no contract can let it out.

use std::{collections::BTreeSet, time::SystemTime};

use adapters::{CannotWrite, Contract, Mode, Reply};
use aws_lc_rs::digest::{self, SHA256};
use proto::v1::{Envelope, EventKind, Exchange, OriginalFiling, Outcome, envelope::Body};

use crate::{
    ledger::{
        events::{Event, Kind},
        notices::Untold,
    },
    settings::{Field, Subscriber},
};

/// What of an event a subscriber may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View<'s> {
    /// It is its own: everything.
    Own,
    /// These fields.
    Fields(&'s BTreeSet<Field>),
}

impl<'s> View<'s> {
    /// `None`: nothing, not even that it happened.
    pub(super) fn of(subscriber: &'s Subscriber, untold: &Untold) -> Option<Self> {
        let institution = &untold.event.institution;
        if subscriber.institution.as_ref() == Some(institution) {
            return Some(Self::Own);
        }
        let sight = subscriber.sees.iter().find(|sight| sight.institution == *institution)?;
        sight.matters.contains(&untold.matter).then_some(Self::Fields(&sight.fields))
    }

    fn shows(self, field: Field) -> bool {
        match self {
            Self::Own => true,
            Self::Fields(fields) => fields.contains(&field),
        }
    }

    /// The event's identifier for this subscriber, always the same. To others a place in a bank's feed would tell how much
    /// business it does, so theirs is a digest.
    pub(super) fn id(self, subscriber: &Subscriber, event: &Event) -> String {
        let id = event.id().to_string();
        match self {
            Self::Own => id,
            Self::Fields(_) => {
                let named = format!("{}\n{}\n{id}", subscriber.name, event.institution);
                let digest = digest::digest(&SHA256, named.as_bytes());
                let mut text = hex::encode(digest.as_ref());
                text.truncate(OTHERS_ID_DIGITS);
                format!("EV-{text}")
            }
        }
    }

    fn outcome(self, told: Outcome) -> Outcome {
        let shown = |field| self.shows(field);
        Outcome {
            case_id: if shown(Field::CaseId) { told.case_id } else { String::new() },
            status: if shown(Field::Status) { told.status } else { 0 },
            certificate_numbers: match shown(Field::CertificateNumbers) {
                true => told.certificate_numbers,
                false => Vec::new(),
            },
            registered_at: told.registered_at.filter(|_| shown(Field::RegisteredAt)),
            correction: told.correction.filter(|_| shown(Field::Correction)),
            refusal: told.refusal.filter(|_| shown(Field::Refusal)),
            // Nothing was asked that could be answered again, be only checked, or wait for an office.
            replayed: None,
            opens_at: None,
            dry_run: None,
        }
    }
}

/// Digits of an identifier that tells no place.
const OTHERS_ID_DIGITS: usize = 32;

/// The notice in the contract's words. `original`: what the filing's key was built from.
pub(super) fn written(
    contract: &Contract,
    view: View<'_>,
    id: String,
    event: &Event,
    original: Option<OriginalFiling>,
) -> Result<Vec<u8>, CannotWrite> {
    let original = original.filter(|_| view.shows(Field::Serial)).unwrap_or_default();
    let OriginalFiling { serial, date, system_id } = original;
    let kind = match event.kind {
        Kind::Changed => EventKind::Changed,
        Kind::DeadlineNear => EventKind::DeadlineNear,
    };
    let envelope = Envelope {
        exchange: Some(Exchange {
            serial,
            date,
            system_id,
            replied_at: Some(SystemTime::now().into()),
            ..Exchange::default()
        }),
        event: Some(proto::v1::Event {
            id,
            sequence: event.sequence,
            kind: kind.into(),
            happened_at: Some(event.happened_at.into()),
        }),
        outcome: Some(view.outcome(event.outcome.clone())),
        ..Envelope::default()
    };
    contract.encode(None, Reply::Notice, &envelope)
}

/// Whether an answer in the contract's words says that the event was taken. A contract without an acknowledgement leaves
/// that to HTTP.
pub(super) fn acknowledges(contract: &Contract, id: &str, answer: &[u8]) -> bool {
    if !contract.can_write(None, Reply::Ack) {
        return true;
    }
    let Ok(decoded) = contract.decode(answer, Mode::Production) else { return false };
    match decoded.envelope.body {
        Some(Body::Ack(ack)) => ack.event_id == id && ack.accepted != Some(false),
        _ => false,
    }
}
