//! A feed of events in a bank's own dialect, of just the lines that docs/events.md shows: read, waited for and acknowledged over
//! length-prefixed TCP by a bank whose contract has no such messages otherwise.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{fs, path::Path, sync::Arc};

use adapters::{Contract, Mode, Reply};
use conformance_tests::{
    deployment::{Deployment, Plan},
    fake_bank::{FakeBank, Heard, Line},
    reference_registry::{Review, Settings, Step},
    samples::{self, Samples},
};
use proto::v1::{Ack, CaseStatus, Envelope, Exchange, FeedEntry, FeedQuery, envelope::Body};

const BANK: &str = "yunshui";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_reads_its_feed_in_its_own_words() {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let plan = Plan::of_one(BANK, &contracts, "[registry]\nanswers = \"events\"").unwrap();
    let reviewed = |settings| Settings { review: Review::OnCommand, ..settings };
    let mut deployment = Deployment::prepare(&plan, reviewed).await.unwrap();
    let folder = deployment.contract(BANK);
    write_as_shown(&folder);
    let contract = Arc::new(samples::contract(&folder).unwrap());
    deployment.start().await.unwrap();
    let bank = FakeBank::new(&deployment, BANK, Arc::clone(&contract)).unwrap();
    let mut reader = Reader { line: bank.connect().await.unwrap(), contract, exchange: None };

    let filing = Samples::of(&contracts.join(BANK)).unwrap().request("first_general").unwrap();
    let filed = reader.contract.decode(&filing, Mode::Test).ok().unwrap().envelope.exchange;
    reader.exchange = filed.clone();
    assert_eq!(reader.line.ask(None, filing).await.unwrap().status(), Some(CaseStatus::Accepted));
    let (events, next) = reader.read("start", 0).await;
    let [accepted] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((status(accepted), number(accepted)), (CaseStatus::Accepted, 1));
    assert_eq!(accepted.original.as_ref().unwrap().serial, filed.unwrap().serial);

    let (none, place) = reader.read(&next, 0).await;
    assert_eq!((none.len(), &place), (0, &next));
    deployment.registry.control().advance_all(Step::Register);
    let (events, last) = reader.read(&next, 20).await;
    let [registered] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((status(registered), number(registered)), (CaseStatus::Registered, 2));
    assert_eq!(registered.outcome.as_ref().unwrap().certificate_numbers.len(), 1);

    assert_eq!(reader.read("", 0).await.0.len(), 2, "nothing is acknowledged yet");
    let id = accepted.event.as_ref().unwrap().id.clone();
    reader.acknowledge(&id).await;
    let (left, place) = reader.read("", 0).await;
    assert_eq!((number(&left[0]), left.len(), place), (2, 1, last));
    let refused = reader.ask("feed", feed("EV-0000000009-0000000000000000", 0)).await;
    let Heard::Answer { reply: Reply::Refusal, text, .. } = refused else { panic!("{refused:?}") };
    assert!(text.contains("E99999"), "{text}");
}

/// The blocks of docs/events.md, in the order in which the page tells their files.
fn write_as_shown(folder: &Path) {
    let page = include_str!("../../docs/events.md");
    let (_, section) = page.split_once("## 本行报文").unwrap();
    let blocks = |kind: &str| -> Vec<String> {
        let begin = format!("```{kind}\n");
        let blocks = section.split(&begin).skip(1);
        blocks.map(|it| it.split("```").next().unwrap().to_owned()).collect()
    };
    let names = ["feed.request", "feed.reply", "feed_ack.request", "feed_ack.reply"];
    let shown = blocks("xml");
    assert_eq!(shown.len(), names.len());
    for (name, text) in names.iter().zip(shown) {
        fs::write(folder.join(format!("{name}.xml")), text).unwrap();
    }
    let file = folder.join("contract.toml");
    let contract = fs::read_to_string(&file).unwrap();
    let messages = format!("[messages]\n{}", blocks("toml").concat());
    fs::write(file, contract.replacen("[messages]\n", &messages, 1)).unwrap();
}

struct Reader {
    line: Line,
    contract: Arc<Contract>,
    exchange: Option<Exchange>,
}

fn feed(after: &str, wait: i32) -> (&'static str, Body) {
    let query = FeedQuery { after: after.to_owned(), limit: Some(10), wait_seconds: Some(wait) };
    ("SJ0101", Body::FeedQuery(query))
}

impl Reader {
    async fn ask(&mut self, message: &str, (code, body): (&str, Body)) -> Heard {
        let Exchange { serial, date, system_id, .. } = self.exchange.clone().unwrap();
        let transaction_code = code.to_owned();
        let exchange =
            Some(Exchange { serial, date, system_id, transaction_code, ..Exchange::default() });
        let envelope = Envelope { exchange, body: Some(body), ..Envelope::default() };
        let bytes = self.contract.encode(Some(message), Reply::Request, &envelope);
        let bytes = bytes.unwrap_or_else(|cannot| panic!("{}: {}", cannot.field, cannot.reason));
        self.line.ask(Some(message), bytes).await.unwrap()
    }

    async fn read(&mut self, after: &str, wait: i32) -> (Vec<FeedEntry>, String) {
        let heard = self.ask("feed", feed(after, wait)).await;
        let Heard::Answer { reply: Reply::Outcome, envelope, .. } = heard else {
            panic!("{heard:?}")
        };
        let feed = envelope.feed.unwrap();
        (feed.events, feed.next)
    }

    async fn acknowledge(&mut self, event: &str) {
        let ack = Ack { event_id: event.to_owned(), accepted: None };
        let heard = self.ask("feed_ack", ("SJ0102", Body::Ack(ack))).await;
        let Heard::Answer { reply: Reply::Outcome, envelope, .. } = heard else {
            panic!("{heard:?}")
        };
        assert_eq!(envelope.acknowledged.unwrap().event_id, event);
    }
}

fn status(entry: &FeedEntry) -> CaseStatus {
    entry.outcome.as_ref().unwrap().status()
}

fn number(entry: &FeedEntry) -> i64 {
    entry.event.as_ref().unwrap().sequence
}
