//! What operators do, and the leaf that is kept of it before it is done: what cannot be kept is not done.

use time::OffsetDateTime;

use super::{Console, visitor::Visitor};
use crate::{
    evidence::act::{Act, OperatorAct},
    exchange::Gateway,
};

/// An act, and what it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed<'d> {
    pub(super) act: Act,
    /// Of whose case, and which.
    pub(super) case: Option<(&'d str, &'d str)>,
    /// What else.
    pub(super) subject: Option<&'d str>,
}

impl Console {
    /// Keeps who is about to do what. Whether it could.
    pub(super) async fn note(&self, gateway: &Gateway, visitor: &Visitor, deed: Deed<'_>) -> bool {
        let Deed { act, case, subject } = deed;
        let institution = case.map(|(institution, _)| institution);
        let done = OperatorAct {
            origin: &gateway.origin,
            institution,
            key: case.map(|(_, key)| key),
            who: &visitor.who,
            by: visitor.by,
            act,
            subject,
            at: OffsetDateTime::now_utc(),
        };
        let Ok(leaf) = done.to_keep() else { return false };
        let kept = gateway.ledger.witness(&leaf, None).await.leaf;
        let (who, act) = (&visitor.who, act.name());
        match kept {
            Ok(()) => {
                tracing::info!(who, act, institution, subject, "an operator acts");
                true
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, who, act, "an act could not be kept, and is not done");
                false
            }
        }
    }
}
