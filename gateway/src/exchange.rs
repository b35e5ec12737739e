//! One exchange: a bank's bytes in, that bank's bytes out. Nothing here knows a format.
//!
//! The story of a filing is [`Hearing::file`], top to bottom as a clerk would tell it: find the office, claim the key,
//! submit, settle, answer. Branches live here; the steps it calls do one thing each. Sources: docs/domain.md
//! ("Idempotency", "Errors"), docs/architecture.md for the picture.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use adapters::{Contract, Decoded, FaultCode, Undecoded};
use arc_swap::ArcSwap;
use bytes::Bytes;
use proto::v1::{Application, Exchange, Outcome, envelope::Body};

use crate::{
    capability::Capabilities,
    contracts::{Contracts, Live},
    directory::Directory,
    evidence::checkpoint::Keys,
    fault::{self, Point},
    feeds::Feeds,
    fingerprint::{differing, fingerprint, guards},
    identity::VerifiedBank,
    integrity,
    ledger::{Admission, Claim, Entry, Fingerprint, Ledger, LedgerError, Record, State},
    materials::Materials,
    matter,
    reconciliation::books::booked,
    refusal::{Code, Refusal},
    registry::{CallError, Caller, Purpose, Registry, Shut, Testimony},
    resolver,
    seal::Seals,
    settings::{self, Office},
    telemetry::{self, Arrival, LedgerVerb, Metrics, Step, step},
    turnstile::Busy,
};

mod asking;
mod availability;
mod books;
mod checking;
mod earlier;
mod feed;
mod hall;
mod papers;
mod placing;
mod queue;
mod routing;
mod seen;
mod told;
mod traced;
mod withdrawing;
mod witness;

use seen::Seen;
pub(crate) use told::ANSWERS;
use told::{Said, Told};
use traced::Ended;

/// Everything an exchange needs: loaded once, shared by all.
#[derive(Debug)]
pub struct Gateway {
    /// Contracts.
    pub contracts: Contracts,
    /// Offices and registries; [`Gateway::directory()`] is how they are now.
    pub directory: ArcSwap<Directory>,
    /// What registries say their offices do.
    pub capabilities: Capabilities,
    /// What filings that wait for their office are sealed with; `None`: none waits.
    pub seals: Option<Arc<Seals>>,
    /// The only memory.
    pub ledger: Arc<dyn Ledger>,
    /// When a bank is to ask again: about an unknown outcome, after an outage.
    pub ask_again_after: Duration,
    /// How long one process may work on a filing before another may take it over.
    pub lease: Duration,
    /// How long a registry is asked about an unknown outcome before people have to find out.
    pub give_up_after: Duration,
    /// Which cases say how long a matter takes.
    pub expectation: settings::Expectation,
    /// How banks are told of events.
    pub events: settings::Events,
    /// Who waits for them.
    pub feeds: Feeds,
    /// Where banks upload materials to; `None` if they cannot.
    pub materials: Option<Materials>,
    /// Greatest material inside a message, in bytes.
    pub inline_material_bytes_max: usize,
    /// Greatest document of a registry that is passed on, in bytes.
    pub document_bytes_max: usize,
    /// What the log of exchanges is called.
    pub origin: String,
    /// Keys of its checkpoints.
    pub keys: Arc<Keys>,
    /// What is counted and timed.
    pub metrics: Metrics,
}

/// How many filings of one loan that came to nothing are put aside for a new one.
const HOLDERS_MAX: usize = 16;

impl Gateway {
    /// Offices and registries as they are now. Whoever looks twice may find another.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// Waits for the ledger; what it did, and how long it took, is traced and counted.
    pub(crate) async fn timed<T>(
        &self,
        verb: LedgerVerb,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let started = Instant::now();
        let asking = step(Step::Ledger { system: self.ledger.system(), verb });
        let done = asking.judged(work, |done| done.as_ref().err().map(LedgerError::label)).await;
        self.metrics.ledger(verb, &done, started.elapsed());
        done
    }
}

/// What goes back to the bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The bytes, in the bank's own words, framing included.
    pub bytes: Vec<u8>,
    /// What they say.
    pub kind: AnswerKind,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// An outcome, or the answer to a question.
    Outcome,
    /// A refusal.
    Refusal,
    /// Nothing: the institution's envelope could not be written; the port answers in its own words.
    None,
}

/// What went wrong with a message before it could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportFault {
    /// It is longer than allowed.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It did not arrive in time.
    TooSlow,
    /// It may not come in now.
    Busy(Busy),
}

/// Answers one message from `bank`, in that bank's own format. A fault is an answer too, so there is no error to return.
///
/// `contracts` are those of the bank that may read it, whatever is loaded meanwhile. `message` is the body as sent,
/// framing included, before any decoding; the port has capped its length. `arrival` says how it came. If the future is dropped a
/// filing may have been sent: ports run it on a task of its own.
pub async fn exchange(
    gateway: Arc<Gateway>,
    bank: VerifiedBank,
    contracts: Live,
    message: Bytes,
    arrival: Arrival,
) -> Answer {
    // Boxed where it begins: what waits on it would otherwise be moved with all it holds.
    let work = Box::pin(async {
        let (started, at) = (Instant::now(), SystemTime::now());
        let (contract, decoded) =
            step(Step::Inner("decode")).within(|| contracts.read(&message, bank.mode()));
        let hearing = Hearing {
            gateway: &gateway,
            directory: gateway.directory(),
            bank: &bank,
            contract: &contract,
            wire: &message,
            seen: Seen::default(),
        };
        let told = match decoded {
            decoded if !contracts.is_in_force() => hearing.out_of_force(decoded),
            Ok(decoded) => hearing.hear(decoded).await,
            Err(undecoded) => hearing.faulty(*undecoded),
        };
        hearing.answer(told, contracts.digest(), at, started).await
    });
    telemetry::exchange(arrival, work).await
}

/// Refuses, in the bank's own envelope, a message that could not be read to its end.
pub fn refuse(gateway: &Gateway, contracts: &Live, fault: TransportFault) -> Answer {
    let refusal = match fault {
        TransportFault::TooLarge { limit } => {
            Refusal::of(Code::MessageTooLarge).with_detail(format!("{limit}字节"))
        }
        TransportFault::TooSlow => {
            Refusal::retry_same_key(Code::MessageTooSlow, gateway.ask_again_after)
        }
        TransportFault::Busy(Busy::Institution { retry_after }) => {
            Refusal::retry_same_key(Code::InstitutionBusy, retry_after)
        }
        TransportFault::Busy(Busy::Gateway { retry_after }) => {
            Refusal::retry_same_key(Code::GatewayBusy, retry_after)
        }
    };
    let told = Told { message: None, exchange: Exchange::default(), what: Err(refusal) };
    told.written(contracts.newest())
}

/// One message being heard.
struct Hearing<'h> {
    gateway: &'h Gateway,
    /// Offices and registries as they were when the message came.
    directory: Arc<Directory>,
    bank: &'h VerifiedBank,
    contract: &'h Contract,
    wire: &'h [u8],
    seen: Seen,
}

impl Hearing<'_> {
    /// Writes the answer in the bank's words, keeps what is evidence of the exchange, and only then lets the answer go.
    async fn answer(
        &self,
        told: Told,
        contract_digest: [u8; 32],
        at: SystemTime,
        started: Instant,
    ) -> Answer {
        let (message, result) = (told.message.clone(), told.result());
        self.seen.told(&told.what);
        let ended = Ended::of(&told.what);
        if let Some(code) = ended.refused {
            self.gateway.metrics.refused(self.bank.id(), code);
        }
        let answer = step(Step::Inner("encode")).within(|| told.written(self.contract));
        self.witness(message.as_deref(), result, &answer, contract_digest, at).await;
        let message = message.as_deref().unwrap_or("unknown");
        let kept = self.concluded(ended, message, result, &answer);
        let took = started.elapsed();
        self.gateway.metrics.exchange(self.bank.id(), message, result, took);
        if let Some(trace) = kept {
            self.gateway.metrics.exemplar(message, took, trace);
        }
        fault::point(Point::BeforeAnswer);
        answer
    }

    /// Nothing is done for a message that no version of the contract holds for today, however well it reads.
    fn out_of_force(&self, decoded: Result<Decoded, Box<Undecoded>>) -> Told {
        tracing::error!(
            contract = self.bank.contract(),
            version = self.contract.version(),
            "a message was refused: no version of the contract is in force"
        );
        let (message, exchange) = match decoded {
            Ok(decoded) => (Some(decoded.message), decoded.envelope.exchange.unwrap_or_default()),
            Err(undecoded) => (undecoded.message, undecoded.exchange),
        };
        let refusal = Refusal::of(Code::ContractMissing);
        Told { message, exchange, what: Err(refusal) }
    }

    async fn hear(&self, decoded: Decoded) -> Told {
        let Decoded { message, envelope, dropped } = decoded;
        self.seen.understood(&envelope);
        self.gateway.metrics.read_with(self.bank.id(), self.contract.version());
        if let Some(count) = u64::try_from(dropped.len()).ok().filter(|count| *count > 0) {
            // Not where: those names are the bank's, and nobody knows what it puts into them. Test mode tells the bank.
            tracing::info!(
                institution = self.bank.id(),
                count,
                "items nobody agreed on were dropped"
            );
            self.gateway.metrics.leaves_dropped(self.bank.id(), count);
        }
        let exchange = envelope.exchange.unwrap_or_default();
        let application = match &envelope.body {
            Some(Body::Application(application)) => Some(application),
            _ => None,
        };
        self.seen.asked_under(application);
        let faults = self.all_wrong(&exchange, application, Vec::new());
        let what = match faults.is_empty() {
            false => Err(Refusal::of_faults(faults)),
            true => match envelope.body {
                Some(Body::Application(application)) => {
                    let outcome = self.file(application, &exchange).await;
                    outcome.map(|outcome| Said::Outcome(self.placed(outcome)))
                }
                Some(Body::TitleQuery(query)) => self.ask_title(query).await.map(Said::Title),
                Some(Body::CaseQuery(query)) => self.ask_case(query).await.map(Said::Outcome),
                Some(Body::RecordQuery(query)) => self.ask_record(query).await.map(Said::Record),
                Some(Body::CertificateQuery(query)) => {
                    self.ask_certificate(query).await.map(Said::Certificate)
                }
                Some(Body::CertificateDownload(wanted)) => {
                    self.download(wanted).await.map(Said::Document)
                }
                Some(Body::DischargeCheck(check)) => {
                    self.check_discharge(check).await.map(Said::Discharge)
                }
                Some(Body::OfficeQuery(query)) => self.ask_office(query).await.map(Said::Office),
                Some(Body::Withdrawal(withdrawal)) => {
                    self.withdraw(withdrawal).await.map(Said::Outcome)
                }
                Some(Body::FeedQuery(query)) => self.read_feed(query).await.map(Said::Feed),
                Some(Body::BooksQuery(query)) => self.read_books(query).await.map(Said::Books),
                Some(Body::Ack(ack)) => self.acknowledge(ack).await.map(Said::Acknowledged),
                None => Err(Refusal::of(Code::Unsupported)),
            },
        };
        Told { message: Some(message), exchange, what }
    }

    /// What only a court may ask for is not sent for a bank.
    fn may_ask(&self, application: &Application) -> Result<(), Refusal> {
        if matter::may_be_asked_by(application, &self.directory.matters).contains(&self.bank.kind())
        {
            return Ok(());
        }
        Err(Refusal::of(Code::MatterNotAllowed).with_detail(matter::name(application)))
    }

    /// The story of a filing.
    async fn file(
        &self,
        mut application: Application,
        exchange: &Exchange,
    ) -> Result<Outcome, Refusal> {
        self.may_ask(&application)?;
        let properties = matter::properties(&application);
        let stated = &application.stated_office_code;
        let routing = || self.office_for(properties, stated);
        let office = step(Step::Inner("route")).within(routing)?;
        let corrected_at = self.corrected_at(&application, &office).await?;
        let registry = self.registry_of(corrected_at.as_ref().unwrap_or(&office.registry))?;
        if exchange.dry_run() {
            self.papers(&application, registry).await?;
            return self.supported(&application, &office).map(|()| checking::only_checked());
        }
        let fingerprint = fingerprint(&application, self.contract.retry_may_change());
        let mut claim = self.claim(&application, fingerprint, &office, registry);
        self.seen.about(&claim.key, &claim.registry, &claim.office);
        telemetry::about(&claim.institution, &claim.key);

        application.institution = Some(self.bank.institution());
        application.office = Some(office.canonical());
        application.submitted_at = matter::submitted_at(exchange);
        claim.waiting = self.waiting(&application, &office, registry)?;

        // What would not be sent now leaves no trace. A key that was used before goes on: the ledger knows more of it.
        let callable = match claim.waiting.as_ref().is_some_and(|waiting| waiting.closed) {
            true => Ok(()),
            false => registry.is_open(Purpose::Filing).map_err(|shut| self.shut_out(shut)),
        };
        if let Err(refusal) = self.supported(&application, &office).and(callable)
            && self.is_unheard_of(&claim).await?
        {
            return Err(refusal);
        }
        // Papers go ahead of the filing, once: a key that was used before has had its turn.
        if !application.materials.is_empty() && self.is_unheard_of(&claim).await? {
            let papers = self.papers(&application, registry).await?;
            self.hand_in(papers, registry).await?;
        }
        let mut leased_until = Instant::now() + self.gateway.lease;
        fault::point(Point::BeforeAdmit);
        let mut admission = self.admit(&claim).await?;
        for _ in 0..HOLDERS_MAX {
            // Behind one that came to nothing there may be another, such as the one that it was to correct.
            let Admission::Duplicate(earlier) = &admission else { break };
            if !self.stands_no_more(earlier, &application, &office).await {
                break;
            }
            self.lift(earlier, &claim.guards).await?;
            leased_until = Instant::now() + self.gateway.lease;
            admission = self.admit(&claim).await?;
        }
        fault::point(Point::Admitted);
        let may_have_been_sent = matches!(admission, Admission::AskFirst(_));
        let (entry, registry) = match admission {
            Admission::New(entry) => (entry, registry),
            Admission::Settled(record) => return Ok(replayed(self.present(record).await)),
            Admission::InFlight { retry_after } => {
                return Err(Refusal::still_working(retry_after));
            }
            Admission::Conflict { earlier } => return Err(self.key_reused(&application, &earlier)),
            Admission::Retired(record) => return Err(retired(record)),
            Admission::Duplicate(earlier) => return Err(self.duplicate(earlier)),
            Admission::Queued { state, office, again } => {
                return self.queued(state, &office, again);
            }
            // It is asked, and sent again, where it went first, wherever it would be routed now.
            Admission::AskFirst(entry) => {
                let Some(registry) = self.directory.registry(&entry.registry) else {
                    tracing::error!(
                        registry = entry.registry,
                        "a filing's registry is in settings no more"
                    );
                    return Err(self.still_unknown(&entry).await);
                };
                match self.ask_first(&entry, registry, &claim.fingerprint).await? {
                    Some(outcome) => return Ok(replayed(outcome)),
                    None if entry.office == claim.office => (entry, registry),
                    // It would go there under another office's name.
                    None => return Err(self.still_unknown(&entry).await.for_people()),
                }
            }
        };
        if !registry.is_idempotent() {
            self.announce(&entry, registry, may_have_been_sent).await?;
        }
        // From here the registry may have acted. However this ends (error, deadline, the process dying), the entry
        // stays unsettled until somebody has asked the registry by key.
        let caller = self.caller();
        // Boxed: most of what is kept while a filing waits is kept here.
        let submission = Box::pin(registry.submit(application, &caller, leased_until));
        match step(Step::Inner("submit")).around(submission).await {
            Ok(testimony) => Ok(self.settle(&entry, testimony, &claim.fingerprint)),
            // Nothing of this try may have been sent, but of the one before: it may even be on its way still.
            Err(error) if may_have_been_sent => {
                tracing::warn!(registry = registry.name(), %error, "a filing was not answered again");
                Err(self.still_unknown(&entry).await)
            }
            Err(error) => Err(self.unanswered(&entry, registry, &error).await),
        }
    }

    async fn admit(&self, claim: &Claim) -> Result<Admission, Refusal> {
        let admission = self.gateway.timed(LedgerVerb::Admit, self.gateway.ledger.admit(claim));
        admission.await.map_err(|error| self.ledger_away(&error))
    }

    /// Asks the registry by key about a filing that may have reached it, before anything is sent again. `None`: nothing was
    /// registered under the key, and sending it again cannot register it twice.
    async fn ask_first(
        &self,
        entry: &Entry,
        registry: &Registry,
        asked_for: &Fingerprint,
    ) -> Result<Option<Outcome>, Refusal> {
        let caller = self.caller();
        let asking = registry.case_by_key(&entry.key, &caller);
        let asked = step(Step::Inner("ask_by_key")).around(asking).await;
        fault::point(Point::AskedFirst);
        match asked {
            Ok(Some(testimony)) => Ok(Some(self.settle(entry, testimony, asked_for))),
            // Not known now does not prove that an earlier call is not still on its way: only a registry that promises
            // idempotency is sent to again, or one of which settings say how long to wait for such a call.
            Ok(None) if registry.resend_after().is_some() => Ok(None),
            Ok(None) => Err(self.still_unknown(entry).await),
            Err(error) => {
                tracing::warn!(registry = registry.name(), %error, "a filing could not be asked about");
                Err(self.still_unknown(entry).await)
            }
        }
    }

    /// A registry that may make a second case of a second call is sent nothing before the ledger knows it: a filing that
    /// was claimed and never announced is as good as new, whoever dies.
    async fn announce(
        &self,
        entry: &Entry,
        registry: &Registry,
        may_have_been_sent: bool,
    ) -> Result<(), Refusal> {
        let ledger = &self.gateway.ledger;
        let quiet = registry.resend_after().unwrap_or(Duration::MAX);
        let announced = ledger.announce(entry, quiet);
        match self.gateway.timed(LedgerVerb::Announce, announced).await {
            Ok(true) => {
                fault::point(Point::Announced);
                Ok(())
            }
            // It was sent too lately to be sent again.
            Ok(false) if may_have_been_sent => Err(self.still_unknown(entry).await),
            // It took so long to come here that the lease ran out, and another may have it.
            Ok(false) => {
                self.release(entry).await;
                Err(Refusal::still_working(self.gateway.ask_again_after))
            }
            Err(error) => {
                let refusal = self.ledger_away(&error);
                if may_have_been_sent {
                    return Err(self.still_unknown(entry).await);
                }
                // It may have been recorded all the same, and would then count as sent.
                self.release(entry).await;
                Err(refusal)
            }
        }
    }

    async fn still_unknown(&self, entry: &Entry) -> Refusal {
        let ledger = &self.gateway.ledger;
        let refusal = Refusal::outcome_unknown(self.gateway.ask_again_after);
        fault::point(Point::BeforeMarkUnknown);
        let marked = match resolver::gives_up(self.gateway, entry).await {
            Ok(true) => return refusal.for_people(),
            Ok(false) => {
                self.gateway.timed(LedgerVerb::MarkUnknown, ledger.mark_unknown(entry)).await
            }
            Err(error) => Err(error),
        };
        note(marked, "an unknown outcome could not be recorded; the lease running out will do");
        fault::point(Point::MarkedUnknown);
        refusal
    }

    /// Returns what the registry answered, which is recorded together with what is evidence of this exchange, before the
    /// bank hears of it: one sync for both. If the ledger fails then, the answer is still true: the entry stays claimed and
    /// is found by key later.
    fn settle(&self, entry: &Entry, testimony: Testimony, asked_for: &Fingerprint) -> Outcome {
        self.seen.registry_answered(&testimony);
        let outcome = first_told(integrity::judged(testimony, Some(asked_for)));
        let of = (entry.institution.as_str(), entry.key.as_str());
        integrity::tell_operators(&self.gateway.metrics, &entry.registry, of, &outcome);
        let follow_up = self.gateway.first_look(&entry.registry, &outcome);
        self.seen.to_settle(entry, &outcome, follow_up);
        outcome
    }

    /// What to tell when the registry gave no answer.
    async fn unanswered(&self, entry: &Entry, registry: &Registry, error: &CallError) -> Refusal {
        tracing::warn!(registry = registry.name(), %error, "a filing was not answered");
        if let CallError::NoAnswer(_) = error {
            return self.still_unknown(entry).await;
        }
        self.release(entry).await;
        self.untold(error)
    }

    /// If this fails the entry stays claimed; once its lease has run out the registry is asked by key.
    async fn release(&self, entry: &Entry) {
        let ledger = &self.gateway.ledger;
        fault::point(Point::BeforeRelease);
        let released = self.gateway.timed(LedgerVerb::Release, ledger.release(entry)).await;
        note(released, "a filing that was not sent could not be released");
        fault::point(Point::Released);
    }

    /// How a bank is told that a call gave no answer.
    fn untold(&self, error: &CallError) -> Refusal {
        let ask_again_after = self.gateway.ask_again_after;
        match error {
            CallError::Shut(shut) => self.shut_out(*shut),
            CallError::NoAnswer(_) => Refusal::outcome_unknown(ask_again_after),
            CallError::NotSent(_) => {
                Refusal::retry_same_key(Code::RegistryUnavailable, ask_again_after)
            }
            CallError::Rejected(_) => Refusal::of(Code::RegistryRejectedCall),
        }
    }

    /// How a bank is told that a registry is not called now.
    fn shut_out(&self, shut: Shut) -> Refusal {
        let ask_again_after = self.gateway.ask_again_after;
        match shut {
            Shut::Paused { retry_after } => {
                Refusal::retry_same_key(Code::RegistryPaused, retry_after.max(ask_again_after))
            }
            Shut::Full => Refusal::retry_same_key(Code::RegistryBusy, ask_again_after),
        }
    }

    /// Whether nothing was ever sent under a key, as far as is known: then a refusal may say so.
    async fn is_unheard_of(&self, claim: &Claim) -> Result<bool, Refusal> {
        let found = self.gateway.ledger.find(&claim.institution, &claim.key);
        let found = self.gateway.timed(LedgerVerb::Find, found).await;
        let found = found.map_err(|error| self.ledger_away(&error))?;
        Ok(found.is_none_or(|record| record.state == State::Released))
    }

    fn registry_of(&self, name: &str) -> Result<&Registry, Refusal> {
        // Settings refuse an office whose registry they do not name.
        self.directory.registry(name).ok_or_else(|| Refusal::of(Code::OfficeUnknown).for_people())
    }

    fn claim(
        &self,
        application: &Application,
        fingerprint: Fingerprint,
        office: &Office,
        registry: &Registry,
    ) -> Claim {
        Claim {
            institution: self.bank.id().to_owned(),
            key: application.idempotency_key.clone(),
            fingerprint,
            booked: booked(application),
            matter: matter::name(application).to_owned(),
            registry: registry.name().to_owned(),
            office: office.code.clone(),
            lease: self.gateway.lease,
            announced: !registry.is_idempotent(),
            guards: guards(application),
            corrects: Some(application.corrects_case_id.clone()).filter(|case| !case.is_empty()),
            waiting: None,
        }
    }

    fn caller(&self) -> Caller {
        Caller {
            institution: self.bank.institution(),
            client_cert: Some(self.bank.client_cert().clone()),
        }
    }

    fn key_reused(&self, application: &Application, earlier: &Fingerprint) -> Refusal {
        let fields = differing(application, self.contract.retry_may_change(), earlier);
        Refusal::of(Code::KeyReused).with_faults(self.faults(FaultCode::KeyReused, &fields))
    }

    /// Names the earlier case; or its key, as long as no case is known.
    fn duplicate(&self, earlier: Record) -> Refusal {
        let case = earlier.outcome.map(|outcome| outcome.case_id).filter(|case| !case.is_empty());
        Refusal::of(Code::Duplicate)
            .with_faults(self.faults(FaultCode::Duplicate, &["matter.contract_number".to_owned()]))
            .with_detail(case.unwrap_or(earlier.key))
    }

    fn ledger_away(&self, error: &LedgerError) -> Refusal {
        tracing::error!(error = error as &dyn std::error::Error, "the ledger cannot be used");
        Refusal::retry_same_key(Code::LedgerUnavailable, self.gateway.ask_again_after)
    }
}

fn replayed(outcome: Outcome) -> Outcome {
    Outcome { replayed: Some(true), ..outcome }
}

fn first_told(outcome: Outcome) -> Outcome {
    Outcome { replayed: Some(false), ..outcome }
}

/// Whoever repeats a filing of long ago has lost track of it: it is neither sent nor to be filed anew.
fn retired(record: Record) -> Refusal {
    let refusal = Refusal::of(Code::KeyRetired);
    match record.outcome {
        Some(outcome) => refusal.with_detail(outcome.case_id),
        None => refusal,
    }
}

/// The exchange goes on without what failed; an operator has to know.
fn note(done: Result<(), LedgerError>, what: &'static str) {
    if let Err(error) = done {
        tracing::error!(error = &error as &dyn std::error::Error, "{what}");
    }
}
