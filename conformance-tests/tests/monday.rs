//! A Monday opening: filings waited over the weekend, and the real program sends them. A morning's worth of the office's pace
//! is run through in seconds, by an office that takes a hundred times as many a minute.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use conformance_tests::{
    deployment::{Deployment, Plan},
    reference_registry::Call,
};
use futures_util::future::join_all;
use gateway::{
    fingerprint,
    ledger::{
        self, Admission, Claim, Fingerprint, Ledger, LedgerSettings, SqliteSettings, Waiting,
        books::Booked,
    },
    seal::{Kept, Seals},
};
use proto::v1::{Application, Institution, MortgageRegistration, Property, application::Matter};
use tokio::time::{sleep, timeout};

const BANK: &str = "yunshui";
const OFFICE: &str = "140105";
/// So many homes, each of which so many filings are about; `DIRECTLINK_MONDAY_HOMES=1000` makes them the five thousand of a
/// whole province, which takes minutes on a machine that others use too.
const HOMES: usize = 100;
const ROUNDS: usize = 5;
/// How many filings the office takes a minute.
const A_MINUTE: u32 = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_is_sent_at_opening_in_order_at_the_offices_pace() {
    let homes = env::var("DIRECTLINK_MONDAY_HOMES").map_or(HOMES, |homes| homes.parse().unwrap());
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let settings =
        format!("queue.key_file = \"queue.keys\"\noffice.queued_per_minute_max = {A_MINUTE}");
    let plan = Plan::of_one(BANK, &contracts, &settings).unwrap();
    let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
    let seals = Seals::read(&deployment.folder().join("queue.keys")).unwrap();
    let certificate = fs::read_to_string(&deployment.pki.banks[BANK].certificate).unwrap();
    let bank = Bank { seals, certificate: shown(&certificate) };
    {
        let settings = SqliteSettings { path: deployment.folder().join("ledger.db") };
        let ledger = ledger::open(&LedgerSettings::Sqlite(settings)).await.unwrap();
        for round in 0..ROUNDS {
            // Of one home one after the other, so that their order is known.
            let waits = (0..homes).map(|home| wait(&*ledger, &bank, home, round));
            join_all(waits).await;
        }
        assert_eq!(ledger.queued().await.unwrap(), [(OFFICE.to_owned(), (homes * ROUNDS) as u64)]);
    }

    let control = deployment.registry.control().clone();
    let opened = Instant::now();
    deployment.start().await.unwrap();
    let sent = |number: usize| {
        let control = control.clone();
        async move {
            let all = control.when(|counts| counts.submits >= number as u64);
            timeout(Duration::from_secs(240), all).await.expect("the queue does not drain");
        }
    };
    sent(homes * ROUNDS / 10).await;
    let early = resident_kib(&deployment);
    sent(homes * ROUNDS).await;
    let took = opened.elapsed();
    let grown = resident_kib(&deployment).saturating_sub(early);
    eprintln!("{} filings in {took:?}, {grown} KiB more memory", homes * ROUNDS);
    assert!(grown < 16 * 1024, "memory grew by {grown} KiB");

    let least = Duration::from_secs(60) / A_MINUTE * u32::try_from(homes * ROUNDS - 1).unwrap();
    assert!(took >= least, "sent in {took:?}, the office takes them in {least:?}");
    let mut next_of: HashMap<String, usize> = HashMap::new();
    let submits = control.received().into_iter().filter(|call| call.call == Call::Submit);
    let mut count = 0;
    for call in submits {
        let (home, round) = call.key.split_once('.').unwrap();
        let next = next_of.entry(home.to_owned()).or_default();
        assert_eq!(round, next.to_string(), "home {home} was overtaken");
        (*next, count) = (*next + 1, count + 1);
    }
    assert_eq!(count, homes * ROUNDS, "each of them once");

    let deadline = Instant::now() + Duration::from_secs(30);
    while !deployment.gateways[0].metrics().await.unwrap().contains(EMPTY) {
        assert!(Instant::now() < deadline, "the queue is not empty");
        sleep(Duration::from_millis(100)).await;
    }
}

const EMPTY: &str = "\ndirectlink_queued_filings 0\n";

/// A filing of the bank comes while the office is closed.
async fn wait(ledger: &dyn Ledger, bank: &Bank, home: usize, round: usize) {
    let key = format!("{home}.{round}");
    let properties = vec![Property {
        unit_code: unit_of(home),
        location: "示例路".into(),
        ..Property::default()
    }];
    let matter = MortgageRegistration { properties, ..MortgageRegistration::default() };
    let waiting = Waiting {
        closed: true,
        properties: fingerprint::places(&matter.properties),
        sealed: bank.seals.seal(BANK, &key, &bank.kept(&key, matter)).unwrap(),
    };
    let claim = Claim {
        institution: BANK.into(),
        fingerprint: Fingerprint { digest: [1; 32], leaves: Vec::new() },
        booked: Booked::default(),
        matter: "mortgage_registration".into(),
        registry: "province".into(),
        office: OFFICE.into(),
        lease: Duration::from_secs(30),
        announced: false,
        guards: Vec::new(),
        corrects: None,
        waiting: Some(waiting),
        key,
    };
    assert!(matches!(ledger.admit(&claim).await.unwrap(), Admission::Queued { .. }));
}

/// Who filed, and what its filings are sealed with.
struct Bank {
    seals: Seals,
    /// Its certificate as RFC 9440 has it.
    certificate: String,
}

impl Bank {
    fn kept(&self, key: &str, matter: MortgageRegistration) -> Kept {
        let institution =
            Institution { id: BANK.into(), name: BANK.into(), ..Institution::default() };
        Kept {
            application: Some(Application {
                idempotency_key: key.into(),
                institution: Some(institution),
                matter: Some(Matter::MortgageRegistration(matter)),
                ..Application::default()
            }),
            client_cert: self.certificate.clone().into_bytes(),
        }
    }
}

/// The first certificate of a PEM file, as a byte sequence of structured fields.
fn shown(pem: &str) -> String {
    let lines = pem.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let base64: String = lines.take_while(|line| !line.starts_with("-----END")).collect();
    format!(":{base64}:")
}

fn unit_of(home: usize) -> String {
    format!("140105001002GB00031F{home:08}")
}

/// The memory that the gateway holds. Source: proc(5), VmRSS.
fn resident_kib(deployment: &Deployment) -> u64 {
    let id = deployment.gateways[0].process_id().unwrap();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
