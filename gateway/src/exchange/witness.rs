//! The end of an exchange in the ledger: what the registry answered is recorded, and a leaf is kept as evidence of all that
//! was said, in one transaction's sync. The answer is what it is, whether or not that succeeds.

use std::time::SystemTime;

use super::{Answer, Hearing, note, seen::Facts};
use crate::{
    evidence::leaf::{Exchange, Leaf, NoSalt, Salt},
    fault::{self, Point},
    ledger::evidence::{NewLeaf, Witnessed},
    refusal::Code,
    telemetry::{self, LedgerVerb, Step, step},
};

impl Hearing<'_> {
    /// Keeps what this exchange was, and settles the filing if one was answered.
    pub(super) async fn witness(
        &self,
        message: Option<&str>,
        result: &str,
        answer: &Answer,
        contract_digest: [u8; 32],
        at: SystemTime,
    ) {
        let facts = self.seen.take();
        // The ledger has just said no: asking it again would have the bank wait twice for the same answer.
        if result == Code::LedgerUnavailable.as_str() {
            return self.unwritten(&"the ledger cannot be used");
        }
        let settles = facts.settled.is_some();
        let leaf = match self.leaf(&facts, message, result, answer, contract_digest, at) {
            Ok(leaf) => leaf,
            Err(error) => {
                self.unwritten(&error);
                return self.settle_alone(facts).await;
            }
        };
        let ledger = &self.gateway.ledger;
        if settles {
            fault::point(Point::BeforeSettle);
        }
        let witnessing = async {
            let Witnessed { leaf, settled } = ledger.witness(&leaf, facts.settled.as_ref()).await;
            leaf.map(|()| settled)
        };
        let keeping = step(Step::Inner(if settles { "settle" } else { "evidence" }));
        match keeping.around(self.gateway.timed(LedgerVerb::Witness, witnessing)).await {
            Ok(settled) => note(settled, UNRECORDED),
            Err(error) => {
                self.unwritten(&error);
                if settles {
                    note(Err(error), UNRECORDED);
                }
            }
        }
        if settles {
            fault::point(Point::Settled);
        }
    }

    async fn settle_alone(&self, facts: Facts) {
        let Some(settled) = facts.settled else { return };
        let settling =
            self.gateway.ledger.settle(&settled.entry, &settled.outcome, settled.follow_up);
        note(self.gateway.timed(LedgerVerb::Settle, settling).await, UNRECORDED);
    }

    fn leaf(
        &self,
        facts: &Facts,
        message: Option<&str>,
        result: &str,
        answer: &Answer,
        contract_digest: [u8; 32],
        at: SystemTime,
    ) -> Result<NewLeaf, NoSalt> {
        let salt = Salt::fresh()?;
        let trace = telemetry::trace_id();
        let exchange = Exchange {
            origin: &self.gateway.origin,
            institution: self.bank.id(),
            key: facts.key.as_deref(),
            message,
            contract: self.bank.contract(),
            version: self.contract.version(),
            contract_digest,
            heard: at.into(),
            answered: SystemTime::now().into(),
            result,
            registry: facts.registry.as_deref(),
            office: facts.office.as_deref(),
            case: facts.case.as_deref(),
            trace: trace.as_deref(),
            received: self.wire,
            canonical: facts.canonical.as_deref(),
            registry_answer: facts.registry_answer.as_deref(),
            replied: &answer.bytes,
        };
        Ok(NewLeaf {
            institution: self.bank.id().to_owned(),
            key: facts.key.clone(),
            text: Leaf::of(&exchange, &salt).text().to_owned(),
            salt,
            mentions: facts.mentions.clone(),
        })
    }

    /// What was not kept is never made up later: it is counted, and an operator has to know.
    fn unwritten(&self, error: &dyn std::fmt::Display) {
        self.gateway.metrics.evidence_unwritten(self.bank.id());
        tracing::error!(
            institution = self.bank.id(),
            %error,
            "an exchange is answered without its evidence being kept"
        );
    }
}

const UNRECORDED: &str = "an outcome could not be recorded; it will be asked for again";
