//! What banks do during a soak: they file, retry what has no outcome, repeat what has one, send another message under a
//! used key, ask where a filing stands, discharge what was registered, and give up what they are told was never sent.

use std::{
    collections::BTreeSet,
    collections::VecDeque,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use adapters::{Contract, Mode, Reply};
use anyhow::{Context, ensure};
use futures_util::future::try_join;
use proto::v1::{
    CaseStatus, Envelope, Exchange, FeedQuery, Layer, OriginalFiling, Outcome, application::Matter,
    case_query::Subject, envelope::Body,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{SETTLING_TIME_MAX, Shared};
use crate::{
    fake_bank::{FakeBank, Heard, Line as Connection, travelled},
    history::{Bytes, Filing, Line, Says, What},
    scenario::stage::Role,
};

/// A bank's words: what it can say, with blanks to fill in.
pub(super) struct Speaker {
    role: Arc<Role>,
    charge: Form,
    discharge: Form,
    /// A question about a filing by its own serial; not every bank has one.
    question: Option<Form>,
    /// A question for events; not every bank has one.
    feed: Option<Form>,
    /// The last serial of all its clients.
    serial: AtomicU64,
}

#[derive(Clone)]
struct Form {
    /// Its name in the contract.
    message: String,
    envelope: Envelope,
}

/// Of these banks, those that file and discharge, and whose answers say all that the checker wants to know.
///
/// # Errors
/// None does; why not, for each.
pub(super) fn speakers(roles: Vec<Arc<Role>>) -> anyhow::Result<Vec<Arc<Speaker>>> {
    let (mut speakers, mut why_not) = (Vec::new(), Vec::new());
    for role in roles {
        let bank = role.bank.clone();
        match Speaker::of(role) {
            Ok(speaker) => speakers.push(Arc::new(speaker)),
            Err(reason) => why_not.push(format!("{bank}: {reason:#}")),
        }
    }
    ensure!(!speakers.is_empty(), "no bank can say what is asked:\n{}", why_not.join("\n"));
    Ok(speakers)
}

impl Speaker {
    fn of(role: Arc<Role>) -> anyhow::Result<Self> {
        let form = |name| {
            let (message, envelope) = role.samples.changed(&role.contract, name, &[])?;
            anyhow::Ok(Form { message, envelope })
        };
        let by_serial = |form: &Form| match &form.envelope.body {
            Some(Body::CaseQuery(query)) => matches!(query.subject, Some(Subject::Original(_))),
            _ => false,
        };
        let (charge, discharge) = (form("first_general")?, form("discharge_whole")?);
        let question = form("case_poll").ok().filter(by_serial);
        let feed = form("events").ok();
        let serial = AtomicU64::new(0);
        let speaker = Self { role, charge, discharge, question, feed, serial };
        speaker.speaks_plainly()?;
        Ok(speaker)
    }

    pub(super) fn bank(&self) -> &str {
        &self.role.bank
    }

    fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn contract(&self) -> Arc<Contract> {
        Arc::clone(&self.role.contract)
    }

    /// Whether a case, its status and certificates, a refusal's code and what was sent get through to the bank.
    fn speaks_plainly(&self) -> anyhow::Result<()> {
        let outcome = Outcome {
            case_id: "SL20261126000001".into(),
            status: CaseStatus::Registered.into(),
            certificate_numbers: vec!["N1".into()],
            replayed: Some(false),
            registered_at: Some(prost_types::Timestamp::default()),
            ..Outcome::default()
        };
        let refused = gateway::refusal::Refusal::outcome_unknown(Duration::from_secs(1)).outcome();
        for (reply, outcome) in [(Reply::Outcome, outcome), (Reply::Refusal, refused)] {
            let envelope = Envelope {
                exchange: Some(Exchange {
                    replied_at: Some(prost_types::Timestamp::default()),
                    ..self.charge.envelope.exchange.clone().unwrap_or_default()
                }),
                outcome: Some(outcome),
                ..Envelope::default()
            };
            let expected = says(reply, &envelope);
            let message = Some(self.charge.message.as_str());
            let bytes = self
                .role
                .contract
                .encode(message, reply, &envelope)
                .map_err(|cannot| anyhow::anyhow!("{}: {}", cannot.field, cannot.reason))?;
            let (read_as, read) =
                self.role.contract.read_reply(message, &bytes).context("not an answer")?;
            let heard = says(read_as, &read);
            ensure!(heard == expected, "hears {heard:?} where {expected:?} is said");
        }
        Ok(())
    }

    /// A message under a serial of its own.
    fn message(
        &self,
        form: &Form,
        serial: u64,
        fill: impl FnOnce(&mut Envelope),
    ) -> anyhow::Result<Message> {
        let mut envelope = form.envelope.clone();
        let exchange = envelope.exchange.as_mut().context("a message without a serial")?;
        exchange.serial = ending(&exchange.serial, serial);
        fill(&mut envelope);
        let bytes = self.bytes(form, &envelope)?;
        let read = self.role.contract.decode(&bytes, Mode::Test);
        let read = read.map_err(|undecoded| anyhow::anyhow!("{:?}", undecoded.faults))?;
        let Some(Body::Application(application)) = read.envelope.body else {
            anyhow::bail!("it files nothing")
        };
        let filing = Filing { bank: self.bank().to_owned(), key: application.idempotency_key };
        Ok(Message { filing, name: form.message.clone(), bytes, envelope })
    }

    fn bytes(&self, form: &Form, envelope: &Envelope) -> anyhow::Result<Vec<u8>> {
        self.role
            .contract
            .encode(Some(&form.message), Reply::Request, envelope)
            .map_err(|cannot| anyhow::anyhow!("{}: {}", cannot.field, cannot.reason))
    }

    fn charge(&self, serial: u64, content: u32) -> anyhow::Result<Message> {
        self.message(&self.charge, serial, |envelope| {
            if let Some(Body::Application(application)) = &mut envelope.body
                && let Some(Matter::MortgageRegistration(matter)) = &mut application.matter
            {
                matter.contract_number = ending(&matter.contract_number, serial);
                // By whole 万元: every contract can say that.
                let more = i64::from(content) * 1_000_000;
                matter.secured_amount_fen = matter.secured_amount_fen.map(|fen| fen + more);
            }
        })
    }

    fn discharge(&self, serial: u64, of: &BTreeSet<String>) -> anyhow::Result<Message> {
        let charged = match &self.charge.envelope.body {
            Some(Body::Application(application)) => match &application.matter {
                Some(Matter::MortgageRegistration(matter)) => Some(matter.clone()),
                _ => None,
            },
            _ => None,
        };
        self.message(&self.discharge, serial, |envelope| {
            if let Some(Body::Application(application)) = &mut envelope.body
                && let Some(Matter::MortgageDischarge(matter)) = &mut application.matter
            {
                matter.certificate_numbers = of.iter().cloned().collect();
                if let Some(charged) = charged {
                    let mut properties =
                        matter.properties.iter().take(1).cloned().collect::<Vec<_>>();
                    for (property, charged) in properties.iter_mut().zip(&charged.properties) {
                        property.unit_code = charged.unit_code.clone();
                    }
                    matter.properties = properties;
                }
            }
        })
    }

    /// A question for the events after a place, and the name of its message; if the bank can ask it.
    pub(super) fn asks_for_events(
        &self,
        asked: FeedQuery,
    ) -> Option<(&str, anyhow::Result<Vec<u8>>)> {
        let form = self.feed.as_ref()?;
        let mut envelope = form.envelope.clone();
        envelope.body = Some(Body::FeedQuery(asked));
        Some((&form.message, self.bytes(form, &envelope)))
    }

    fn question(&self, about: &Message, serial: u64) -> Option<anyhow::Result<Message>> {
        let form = self.question.as_ref()?;
        let asked = about.envelope.exchange.as_ref()?;
        let mut envelope = form.envelope.clone();
        if let Some(exchange) = &mut envelope.exchange {
            exchange.serial = ending(&exchange.serial, serial);
        }
        if let Some(Body::CaseQuery(query)) = &mut envelope.body
            && let Some(Subject::Original(original)) = &query.subject
        {
            query.subject = Some(Subject::Original(OriginalFiling {
                serial: asked.serial.clone(),
                date: asked.date.clone(),
                system_id: original.system_id.clone(),
            }));
        }
        let (filing, name) = (about.filing.clone(), form.message.clone());
        Some(self.bytes(form, &envelope).map(|bytes| Message { filing, name, bytes, envelope }))
    }
}

/// A text with its last ten characters made a number, or all of it where it is shorter.
fn ending(text: &str, number: u64) -> String {
    let length = text.chars().count();
    let digits = length.min(10);
    let kept: String = text.chars().take(length - digits).collect();
    let number = format!("{number:0digits$}");
    format!("{kept}{}", number.get(number.len() - digits..).unwrap_or(&number))
}

#[derive(Clone)]
struct Message {
    filing: Filing,
    name: String,
    bytes: Vec<u8>,
    envelope: Envelope,
}

/// A filing of a client.
#[derive(Clone)]
struct Own {
    message: Message,
    serial: u64,
    what: What,
    content: u32,
    /// Certificates of its charge, which nobody has discharged.
    certificates: BTreeSet<String>,
    is_discharged: bool,
}

/// One who calls for a bank, one call at a time but for copies.
pub(super) struct Client {
    shared: Arc<Shared>,
    speaker: Arc<Speaker>,
    banks: Vec<FakeBank>,
    lines: Vec<Option<Connection>>,
    rng: StdRng,
    open: VecDeque<Own>,
    settled: VecDeque<Own>,
    filings: BTreeSet<Filing>,
}

/// Of what is settled, a client remembers so many.
const SETTLED_MAX: usize = 64;
/// With more open than this, it files nothing new.
const OPEN_MAX: usize = 8;

impl Client {
    /// `number` makes it do other things than other clients.
    pub(super) fn new(
        shared: Arc<Shared>,
        speaker: Arc<Speaker>,
        banks: Vec<FakeBank>,
        number: usize,
        seed: u64,
    ) -> Self {
        Self {
            shared,
            speaker,
            lines: banks.iter().map(|_| None).collect(),
            banks,
            rng: StdRng::seed_from_u64(seed ^ (number as u64 + 16)),
            open: VecDeque::new(),
            settled: VecDeque::new(),
            filings: BTreeSet::new(),
        }
    }

    /// Works until it is told to stop, then settles what is open. Answers with all it ever filed.
    pub(super) async fn work(mut self) -> anyhow::Result<BTreeSet<Filing>> {
        while !self.shared.stop.is_cancelled() {
            self.act().await?;
        }
        let deadline = Instant::now() + SETTLING_TIME_MAX;
        while !self.open.is_empty() && Instant::now() < deadline {
            self.retry().await?;
        }
        Ok(self.filings)
    }

    async fn act(&mut self) -> anyhow::Result<()> {
        match self.rng.random_range(0..100) {
            _ if self.open.len() > OPEN_MAX => self.retry().await,
            0..45 => self.file().await,
            45..60 => self.discharge().await,
            60..72 => self.repeat().await,
            72..78 => self.change().await,
            78..84 => self.ask().await,
            _ => self.retry().await,
        }
    }

    async fn file(&mut self) -> anyhow::Result<()> {
        let serial = self.speaker.next_serial();
        let message = self.speaker.charge(serial, 0)?;
        let own = self.own(message, serial, What::File);
        if self.rng.random_bool(0.1) { self.copies(own).await } else { self.begin(own).await }
    }

    async fn discharge(&mut self) -> anyhow::Result<()> {
        let charged = self.settled.iter_mut().find(|own| !own.certificates.is_empty());
        let Some(charged) = charged else { return self.file().await };
        let certificates = std::mem::take(&mut charged.certificates);
        charged.is_discharged = true;
        let serial = self.speaker.next_serial();
        let message = self.speaker.discharge(serial, &certificates)?;
        let own = self.own(message, serial, What::Discharge);
        self.begin(own).await
    }

    fn own(&mut self, message: Message, serial: u64, what: What) -> Own {
        self.filings.insert(message.filing.clone());
        let certificates = BTreeSet::new();
        Own { message, serial, what, content: 0, certificates, is_discharged: false }
    }

    async fn begin(&mut self, own: Own) -> anyhow::Result<()> {
        let gateway = self.any_gateway();
        let says = self.call(own.what, &own.message, own.content, gateway).await?;
        // Nothing was ever said of it but that nothing was sent: one bank in three believes it.
        if is_no(&says) && self.rng.random_bool(0.3) {
            return self.give_up(&own);
        }
        self.heard(own, says).await
    }

    /// The same message twice at one moment, at two gateways where there are two.
    async fn copies(&mut self, own: Own) -> anyhow::Result<()> {
        let first = self.any_gateway();
        let second = (first + 1) % self.banks.len();
        let mut other = self.banks.get(second).context("no gateway")?.connect().await.ok();
        let mut line = self.take_line(first).await;
        let (one, two) = try_join(
            self.said(&mut line, own.what, &own.message, own.content, first),
            self.said(&mut other, What::Retry, &own.message, own.content, second),
        )
        .await?;
        self.give_line(first, line);
        let is_outcome = matches!(one, Says::Outcome { .. });
        self.heard(own, if is_outcome { one } else { two }).await
    }

    async fn repeat(&mut self) -> anyhow::Result<()> {
        let Some(own) = self.any_settled() else { return self.retry().await };
        let gateway = self.any_gateway();
        let says = self.call(What::Repeat, &own.message, own.content, gateway).await?;
        // What was under review may be entered by now.
        let mut known = self.settled.iter_mut().filter(|it| it.what == What::File);
        if let Says::Outcome { certificates, .. } = says
            && let Some(known) = known.find(|it| it.message.filing == own.message.filing)
            && !known.is_discharged
        {
            known.certificates = certificates;
        }
        Ok(())
    }

    async fn change(&mut self) -> anyhow::Result<()> {
        let Some(own) = self.any_settled().filter(|own| own.what == What::File) else {
            return self.file().await;
        };
        let message = self.speaker.charge(own.serial, 1)?;
        let gateway = self.any_gateway();
        self.call(What::Change, &message, 1, gateway).await.map(drop)
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        let open = self.open.pop_front();
        let is_open = open.is_some();
        let Some(own) = open.or_else(|| self.any_settled()) else { return self.file().await };
        let says = match self.speaker.question(&own.message, self.speaker.next_serial()) {
            Some(question) => {
                let gateway = self.any_gateway();
                Some(self.call(What::Ask, &question?, own.content, gateway).await?)
            }
            None => None,
        };
        let never = matches!(&says, Some(Says::Refusal { code, .. }) if code == "NEVER_SENT");
        match is_open {
            true if never && self.rng.random_bool(0.5) => self.give_up(&own),
            true => {
                self.open.push_back(own);
                Ok(())
            }
            false => Ok(()),
        }
    }

    async fn retry(&mut self) -> anyhow::Result<()> {
        let Some(own) = self.open.pop_front() else { return self.breathe().await };
        let gateway = self.any_gateway();
        let says = self.call(What::Retry, &own.message, own.content, gateway).await?;
        self.heard(own, says).await
    }

    async fn heard(&mut self, mut own: Own, says: Says) -> anyhow::Result<()> {
        match says {
            Says::Outcome { case, certificates, .. } if !case.is_empty() => {
                if own.what == What::File {
                    own.certificates = certificates;
                }
                if self.settled.len() == SETTLED_MAX {
                    self.settled.pop_front();
                }
                self.settled.push_back(own);
                Ok(())
            }
            Says::Outcome { .. } | Says::Refusal { .. } | Says::Nothing { .. } => {
                self.open.push_back(own);
                self.breathe().await
            }
        }
    }

    fn give_up(&mut self, own: &Own) -> anyhow::Result<()> {
        self.shared.history.write(&Line::GivenUp { filing: own.message.filing.clone() })
    }

    /// A bank does not come again at once.
    async fn breathe(&mut self) -> anyhow::Result<()> {
        let pause = self.rng.random_range(20..200);
        sleep(Duration::from_millis(pause)).await;
        Ok(())
    }

    fn any_gateway(&mut self) -> usize {
        self.rng.random_range(0..self.banks.len())
    }

    fn any_settled(&mut self) -> Option<Own> {
        let length = self.settled.len();
        (length > 0).then(|| self.settled.get(self.rng.random_range(0..length)).cloned()).flatten()
    }

    async fn call(
        &mut self,
        what: What,
        message: &Message,
        content: u32,
        gateway: usize,
    ) -> anyhow::Result<Says> {
        let mut line = self.take_line(gateway).await;
        let says = self.said(&mut line, what, message, content, gateway).await?;
        self.give_line(gateway, line);
        Ok(says)
    }

    async fn take_line(&mut self, gateway: usize) -> Option<Connection> {
        match self.lines.get_mut(gateway).and_then(Option::take) {
            Some(line) => Some(line),
            None => self.banks.get(gateway)?.connect().await.ok(),
        }
    }

    fn give_line(&mut self, gateway: usize, line: Option<Connection>) {
        if let Some(place) = self.lines.get_mut(gateway) {
            *place = line;
        }
    }

    /// Says a message and writes down what was said and heard. A line on which nothing was heard is of no more use.
    async fn said(
        &self,
        line: &mut Option<Connection>,
        what: What,
        message: &Message,
        content: u32,
        gateway: usize,
    ) -> anyhow::Result<Says> {
        let Shared { history, calls, .. } = &*self.shared;
        let call = calls.fetch_add(1, Ordering::Relaxed);
        let filing = message.filing.clone();
        let contract = &self.speaker.role.contract;
        let sent = Bytes(travelled::sent(contract, &message.bytes));
        history.write(&Line::Call { call, what, filing, content, gateway, sent })?;
        let heard = match line {
            Some(line) => line.ask(Some(&message.name), message.bytes.clone()).await?,
            None => Heard::Nothing("no connection".to_owned()),
        };
        let (says, heard) = match heard {
            Heard::Answer { reply, envelope, bytes, .. } => {
                (says(reply, &envelope), Bytes(travelled::heard(contract, &bytes)))
            }
            Heard::Nothing(why) => {
                *line = None;
                (Says::Nothing { why }, Bytes::default())
            }
        };
        history.write(&Line::Answer { call, says: says.clone(), heard })?;
        Ok(says)
    }
}

/// What an answer says. A registry's no is an outcome: the case is closed.
fn says(reply: Reply, envelope: &Envelope) -> Says {
    let outcome = envelope.outcome.clone().unwrap_or_default();
    match (reply, &outcome.refusal) {
        (Reply::Refusal, Some(refusal)) if refusal.layer() != Layer::Business => Says::Refusal {
            code: refusal.code.clone(),
            sent: refusal.sent().as_str_name().trim_start_matches("SENT_").to_owned(),
        },
        _ => Says::Outcome {
            status: outcome.status().as_str_name().trim_start_matches("CASE_STATUS_").to_owned(),
            case: outcome.case_id,
            certificates: outcome.certificate_numbers.into_iter().collect(),
        },
    }
}

fn is_no(says: &Says) -> bool {
    matches!(says, Says::Refusal { sent, .. } if sent == "NO")
}
