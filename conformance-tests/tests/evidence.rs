//! What the log of exchanges promises, asked of both stores: it grows into one tree whoever adds to it, and whoever changes
//! its rows by hand is found. Source: the doc comments of `gateway::ledger::evidence`, and docs/evidence.md.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gateway::{
    evidence::{
        audit::{Complaint, audit},
        bundle::{Account, Bundle, Judge, Proof, Verdict},
        checkpoint::{Checkpoint, PublicKey, SignedCheckpoint, SigningKey},
        leaf::{Exchange, Leaf, Salt},
        proving::{self, NoProof},
        sequencer,
        tree::TileId,
    },
    ledger::{
        Admission, Claim, Fingerprint, Ledger, State,
        books::Booked,
        evidence::{NewLeaf, Settlement},
    },
};
use proto::v1::{CaseStatus, Outcome};
use store::Store;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

#[macro_use]
#[path = "ledger/store.rs"]
mod store;

over_both_stores! {
    an_exchange_is_proved_and_nothing_else_is
    a_leaf_and_what_is_settled_with_it_are_there_together_and_neither_for_want_of_the_other
    a_log_of_many_tiles_is_what_was_logged
    what_is_not_signed_yet_is_not_proved
    several_that_let_it_grow_at_once_make_one_tree
    an_audit_of_a_log_that_grows_accuses_nobody
    keys_rotate_and_old_checkpoints_stay_signed
    a_log_goes_on_from_every_checkpoint_it_ever_had
    salts_are_erased_when_they_are_old_and_proofs_stay
    an_altered_leaf_is_named
    a_leaf_that_is_taken_out_is_named
    a_leaf_that_is_put_in_is_named
    an_altered_tile_is_named
    who_covers_up_a_change_is_found_by_what_was_signed
    who_covers_up_everything_is_found_by_what_others_keep
    who_takes_what_was_signed_out_as_well_is_found_by_what_is_remembered
    a_log_whose_tiles_were_changed_does_not_grow
}

const ORIGIN: &str = "log.example/test";

async fn an_exchange_is_proved_and_nothing_else_is(store: &Store) {
    let log = store.open().await;
    let key = signing_key();
    for number in 0..5 {
        witness(&*log, number).await;
    }
    grow(&*log).await;
    sign(&*log, &key).await;

    let bundle = proving::exchanges_of(&*log, "bank", "k3").await.unwrap();
    assert_eq!(bundle.exchanges.len(), 1);
    assert_eq!(bundle.exchanges[0].index, 3);
    let judge = Judge {
        keys: vec![key.public().clone()],
        messages: vec![
            ("sent".into(), b"message 3".to_vec()),
            ("heard".into(), b"answer 3".to_vec()),
        ],
        newer: None,
    };
    let account = judge.judge(&read_back(&bundle));
    holds(&account);
    assert_eq!(account.exchanges[0].files.len(), 2);

    let nobody = Judge { keys: Vec::new(), ..judge.clone() };
    assert_eq!(nobody.judge(&read_back(&bundle)).verdict(), Verdict::Unvouched);
    let stranger = Judge { keys: vec![signing_key().public().clone()], ..judge.clone() };
    assert_eq!(stranger.judge(&read_back(&bundle)).verdict(), Verdict::Fails);
    let other = Judge { messages: vec![("sent".into(), b"message 4".to_vec())], ..judge.clone() };
    assert_eq!(other.judge(&read_back(&bundle)).verdict(), Verdict::Fails);
    let changes: [fn(&mut Bundle); 5] = [
        |bundle| {
            bundle.exchanges[0].leaf = bundle.exchanges[0].leaf.replace("result A", "result B")
        },
        |bundle| bundle.exchanges[0].index = 2,
        |bundle| drop(bundle.exchanges[0].proof.pop()),
        |bundle| bundle.exchanges.clear(),
        |bundle| bundle.checkpoint = bundle.checkpoint.replacen("\n5\n", "\n6\n", 1),
    ];
    for change in changes {
        let mut changed = bundle.clone();
        change(&mut changed);
        assert_ne!(changed, bundle);
        assert_eq!(judge.judge(&read_back(&changed)).verdict(), Verdict::Fails, "{changed:?}");
    }
    // A salt is there, or it is erased.
    let unread = Judge { messages: Vec::new(), ..judge.clone() };
    for (salt, expected) in
        [(None, Verdict::Holds), (Some("12"), Verdict::Fails), (Some("salt"), Verdict::Fails)]
    {
        let mut changed = bundle.clone();
        changed.exchanges[0].salt = salt.map(str::to_owned);
        assert_eq!(unread.judge(&read_back(&changed)).verdict(), expected, "{salt:?}");
    }
    assert!(matches!(proving::exchanges_of(&*log, "bank", "k9").await, Err(NoProof::None)));
    assert!(matches!(proving::exchanges_of(&*log, "other", "k3").await, Err(NoProof::None)));
    let at = proving::exchange_at(&*log, 3).await.unwrap();
    assert_eq!(at, bundle);
}

async fn a_leaf_and_what_is_settled_with_it_are_there_together_and_neither_for_want_of_the_other(
    store: &Store,
) {
    let log = store.open().await;
    let claim = Claim {
        institution: "bank".into(),
        key: "k0".into(),
        fingerprint: Fingerprint { digest: [1; 32], leaves: vec![1] },
        booked: Booked::default(),
        matter: "mortgage_registration".into(),
        registry: "province".into(),
        office: "1401".into(),
        lease: Duration::from_secs(60),
        announced: false,
        guards: Vec::new(),
        corrects: None,
        waiting: None,
    };
    let Admission::New(entry) = log.admit(&claim).await.unwrap() else { panic!("not new") };
    let outcome = Outcome {
        case_id: "YWH-1".into(),
        status: CaseStatus::Registered.into(),
        ..Outcome::default()
    };
    let settlement = Settlement { entry, outcome, follow_up: None };
    let before = log.commits();
    let witnessed = log.witness(&new_leaf(0), Some(&settlement)).await;
    witnessed.leaf.unwrap();
    witnessed.settled.unwrap();
    assert_eq!(log.commits() - before, 1, "both share one transaction");
    assert_eq!(log.find("bank", "k0").await.unwrap().unwrap().state, State::Settled);
    assert_eq!(log.leaves_of("bank", "k0").await.unwrap().len(), 1);

    // An answer to a filing that was never claimed is an error of its own.
    let mut stranger = settlement.clone();
    stranger.entry.key = "k1".into();
    let witnessed = log.witness(&new_leaf(1), Some(&stranger)).await;
    witnessed.leaf.unwrap();
    assert!(witnessed.settled.is_err());
    assert_eq!(log.leaves_of("bank", "k1").await.unwrap().len(), 1);
}

async fn a_log_of_many_tiles_is_what_was_logged(store: &Store) {
    let log = store.open().await;
    let key = signing_key();
    fill(&log, 600).await;
    grow(&*log).await;
    sign(&*log, &key).await;
    let found = audit(&*log, std::slice::from_ref(key.public()), &[]).await.unwrap();
    assert_eq!((found.complaints.as_slice(), found.size, found.checkpoints), (&[][..], 600, 1));
    let bundle = proving::exchange_at(&*log, 599).await.unwrap();
    let judge = Judge { keys: vec![key.public().clone()], ..Judge::default() };
    holds(&judge.judge(&Proof::Bundle(bundle)));

    drop(log);
    let log = store.open().await;
    assert_eq!(log.head().await.unwrap().size, 600, "after reopening");
    let reader = gateway::ledger::open_to_read(&store.settings()).await.unwrap();
    assert_eq!(audit(&*reader, &[], &[]).await.unwrap().complaints, []);
}

async fn what_is_not_signed_yet_is_not_proved(store: &Store) {
    let log = store.open().await;
    witness(&*log, 0).await;
    let proof = async || proving::exchanges_of(&*log, "bank", "k0").await;
    assert!(matches!(proof().await, Err(NoProof::Unsigned)));
    grow(&*log).await;
    let key = signing_key();
    sign(&*log, &key).await;
    assert!(proof().await.is_ok());
    witness_of(&*log, "k0", 1).await;
    assert!(matches!(proof().await, Err(NoProof::TooNew(1))), "a leaf that waits");
    grow(&*log).await;
    assert!(matches!(proof().await, Err(NoProof::TooNew(1))), "a leaf in the tree");
    sign(&*log, &key).await;
    assert_eq!(proof().await.unwrap().exchanges.len(), 2);
}

async fn several_that_let_it_grow_at_once_make_one_tree(store: &Store) {
    let replicas = store.replicas().await;
    let mut work = JoinSet::new();
    for (number, log) in (0..4).zip(replicas.iter().cycle()) {
        let log = Arc::clone(log);
        work.spawn(async move {
            for leaf in 0..150 {
                witness(&*log, number * 1_000 + leaf).await;
                if leaf % 10 == 0 {
                    sequencer::grow(&*log).await.unwrap();
                }
            }
        });
    }
    work.join_all().await;
    let log = &replicas[0];
    grow(&**log).await;
    let key = signing_key();
    sign(&**log, &key).await;
    let found = audit(&**log, &[], &[]).await.unwrap();
    assert_eq!((found.complaints.as_slice(), found.size), (&[][..], 600));
    for leaf in [0, 149, 1_000, 2_077, 3_149] {
        let found = log.leaves_of("bank", &format!("k{leaf}")).await.unwrap();
        assert_eq!(found.len(), 1, "each once: {leaf}");
    }
}

async fn an_audit_of_a_log_that_grows_accuses_nobody(store: &Store) {
    let log = store.open().await;
    let key = signing_key();
    fill(&log, 250).await;
    grow(&*log).await;
    sign(&*log, &key).await;
    let audits = tokio::spawn({
        let (log, key) = (Arc::clone(&log), key.public().clone());
        async move {
            let mut sizes = BTreeSet::new();
            while sizes.last().is_none_or(|size| *size < 300) {
                let found = audit(&*log, std::slice::from_ref(&key), &[]).await.unwrap();
                assert_eq!(found.complaints, [], "of {} leaves", found.size);
                sizes.insert(found.size);
            }
            sizes.len()
        }
    });
    for number in 250..300 {
        witness(&*log, number).await;
        grow(&*log).await;
        sign(&*log, &key).await;
    }
    assert!(audits.await.unwrap() > 5, "audited while it grew");
}

async fn keys_rotate_and_old_checkpoints_stay_signed(store: &Store) {
    let log = store.open().await;
    let (old, new) = (signing_key(), signing_key());
    witness(&*log, 0).await;
    grow(&*log).await;
    sign(&*log, &old).await;
    let before = proving::exchange_at(&*log, 0).await.unwrap();
    witness(&*log, 1).await;
    grow(&*log).await;
    sign(&*log, &new).await;
    let now = proving::exchange_at(&*log, 0).await.unwrap();
    let by = |key: &SigningKey| Judge { keys: vec![key.public().clone()], ..Judge::default() };
    holds(&by(&old).judge(&Proof::Bundle(before)));
    holds(&by(&new).judge(&Proof::Bundle(now.clone())));
    assert_eq!(by(&old).judge(&Proof::Bundle(now)).verdict(), Verdict::Fails);

    let both = [new.public().clone(), old.public().clone()];
    assert_eq!(audit(&*log, &both, &[]).await.unwrap().complaints, []);
    let alone = audit(&*log, std::slice::from_ref(new.public()), &[]).await.unwrap();
    assert_eq!(alone.complaints, [Complaint::CheckpointUnsigned(1)]);
}

async fn a_log_goes_on_from_every_checkpoint_it_ever_had(store: &Store) {
    let log = store.open().await;
    let key = signing_key();
    let mut heads = Vec::new();
    for number in 0..7 {
        witness(&*log, number).await;
        grow(&*log).await;
        sign(&*log, &key).await;
        heads.push(log.head().await.unwrap());
    }
    for before in &heads {
        for head in &heads {
            let goes_on = proving::goes_on(&*log, *before, *head).await.unwrap();
            assert_eq!(goes_on, before.size <= head.size, "{before:?} {head:?}");
        }
    }
    let old = proving::consistency(&*log, 3, Some(3)).await.unwrap();
    let judge = Judge { keys: vec![key.public().clone()], ..Judge::default() };
    holds(&judge.judge(&Proof::Consistency(old)));
    let bundle = proving::exchange_at(&*log, 2).await.unwrap();
    for size in 1..=7 {
        let grown = proving::consistency(&*log, size, None).await.unwrap();
        let with = Judge { newer: Some(grown.clone()), ..judge.clone() };
        holds(&with.judge(&Proof::Bundle(bundle.clone())));
        let mut forged = grown;
        std::mem::swap(&mut forged.older, &mut forged.newer);
        let forged = judge.judge(&Proof::Consistency(forged)).verdict();
        assert_eq!(forged, if size == 7 { Verdict::Holds } else { Verdict::Fails });
    }
    let none = proving::consistency(&*log, 8, None).await;
    assert!(matches!(none, Err(NoProof::NoCheckpointOf(8))));
}

async fn salts_are_erased_when_they_are_old_and_proofs_stay(store: &Store) {
    let log = store.open().await;
    let key = signing_key();
    for number in 0..5 {
        witness(&*log, number).await;
    }
    grow(&*log).await;
    sign(&*log, &key).await;
    assert_eq!(log.erase_salts(Duration::from_secs(3_600), 9).await.unwrap(), 0, "too young");
    store
        .by_hand(&format!(
            "UPDATE evidence_leaf SET recorded_at = {} WHERE place < 4",
            store.long_ago()
        ))
        .await;
    assert_eq!(log.erase_salts(Duration::from_secs(3_600), 3).await.unwrap(), 3);
    assert_eq!(log.erase_salts(Duration::from_secs(3_600), 3).await.unwrap(), 1);
    assert_eq!(log.erase_salts(Duration::from_secs(3_600), 3).await.unwrap(), 0);

    let salted = async |index| {
        let bundle = proving::exchange_at(&*log, index).await.unwrap();
        let judge = Judge { keys: vec![key.public().clone()], ..Judge::default() };
        holds(&judge.judge(&Proof::Bundle(bundle.clone())));
        let message = ("sent".to_owned(), format!("message {index}").into_bytes());
        let judge = Judge { messages: vec![message], ..judge };
        judge.judge(&Proof::Bundle(bundle)).verdict() == Verdict::Holds
    };
    assert!(!salted(3).await, "nobody can tell any more what the digests are of");
    assert!(salted(4).await);
    assert_eq!(audit(&*log, &[], &[]).await.unwrap().complaints, []);
}

/// A log of 300 signed leaves.
async fn signed(store: &Store) -> (Arc<dyn Ledger>, SigningKey) {
    let log = store.open().await;
    let key = signing_key();
    fill(&log, 300).await;
    grow(&*log).await;
    sign(&*log, &key).await;
    (log, key)
}

async fn complaints(log: &dyn Ledger, key: &SigningKey) -> Vec<Complaint> {
    audit(log, std::slice::from_ref(key.public()), &[]).await.unwrap().complaints
}

async fn an_altered_leaf_is_named(store: &Store) {
    let (log, key) = signed(store).await;
    store
        .by_hand("UPDATE evidence_leaf SET leaf = replace(leaf, 'result A', 'result B') WHERE place = 70")
        .await;
    assert_eq!(complaints(&*log, &key).await, [Complaint::LeafAltered(70)]);
    let bundle = proving::exchange_at(&*log, 70).await.unwrap();
    let judge = Judge { keys: vec![key.public().clone()], ..Judge::default() };
    assert_eq!(judge.judge(&Proof::Bundle(bundle)).verdict(), Verdict::Fails);
    let beside = proving::exchange_at(&*log, 71).await.unwrap();
    holds(&judge.judge(&Proof::Bundle(beside)));

    store.by_hand("UPDATE evidence_leaf SET key = 'another' WHERE place = 80").await;
    let found = complaints(&*log, &key).await;
    assert_eq!(found, [Complaint::LeafAltered(70), Complaint::LeafMisfiled(80)]);
}

async fn a_leaf_that_is_taken_out_is_named(store: &Store) {
    let (log, key) = signed(store).await;
    store.by_hand("DELETE FROM evidence_leaf WHERE place IN (70, 299)").await;
    let missing = [Complaint::LeafMissing(70), Complaint::LeafMissing(299)];
    assert_eq!(complaints(&*log, &key).await, missing);
    // What comes after is logged as ever.
    witness(&*log, 999).await;
    grow(&*log).await;
    sign(&*log, &key).await;
    assert_eq!(complaints(&*log, &key).await, missing);
    assert!(proving::exchanges_of(&*log, "bank", "k999").await.is_ok());
}

async fn a_leaf_that_is_put_in_is_named(store: &Store) {
    let (log, key) = signed(store).await;
    // In the place of another, which is moved.
    store.by_hand("UPDATE evidence_leaf SET place = 5000 WHERE place = 70").await;
    store
        .by_hand(
            "INSERT INTO evidence_leaf (place, institution, key, leaf, salt, recorded_at)
            SELECT 70, institution, key, replace(leaf, 'result A', 'result B'), salt, recorded_at
            FROM evidence_leaf WHERE place = 71",
        )
        .await;
    let found = complaints(&*log, &key).await;
    assert!(found.contains(&Complaint::LeafAltered(70)), "{found:?}");
    if let Store::Postgres { .. } = store {
        assert!(found.contains(&Complaint::LeafInserted(5_000)), "{found:?}");
    }
}

async fn an_altered_tile_is_named(store: &Store) {
    let (log, key) = signed(store).await;
    let zeroes = store.zeroes(32);
    store.by_hand(&format!("UPDATE evidence_tile SET hashes = {zeroes} WHERE level = 1")).await;
    let found = complaints(&*log, &key).await;
    assert!(found.contains(&Complaint::TileAltered(TileId { level: 1, position: 0 })), "{found:?}");
    store.by_hand("DELETE FROM evidence_tile WHERE level = 1").await;
    let found = complaints(&*log, &key).await;
    assert!(found.contains(&Complaint::Tile(TileId { level: 1, position: 0 })), "{found:?}");
}

/// The row, its hash, every hash above, and the head: only what was signed tells.
async fn who_covers_up_a_change_is_found_by_what_was_signed(store: &Store) {
    let (log, key) = signed(store).await;
    forge(store, &*log).await;
    let found = complaints(&*log, &key).await;
    assert_eq!(found, [Complaint::CheckpointContradicted(300)]);
    let bundle = proving::exchange_at(&*log, 70).await.unwrap();
    let judge = Judge { keys: vec![key.public().clone()], ..Judge::default() };
    assert_eq!(judge.judge(&Proof::Bundle(bundle)).verdict(), Verdict::Fails);
}

/// Even who has the key: only what somebody else has kept tells.
async fn who_covers_up_everything_is_found_by_what_others_keep(store: &Store) {
    let (log, key) = signed(store).await;
    let kept = SignedCheckpoint::read(&log.checkpoint().await.unwrap().unwrap()).unwrap();
    forge(store, &*log).await;
    store.by_hand("DELETE FROM evidence_checkpoint").await;
    assert_eq!(complaints(&*log, &key).await, [Complaint::Unsigned]);
    sign(&*log, &key).await;
    assert_eq!(complaints(&*log, &key).await, []);
    let found = audit(&*log, std::slice::from_ref(key.public()), &[kept]).await.unwrap();
    assert_eq!(found.complaints, [Complaint::SeenContradicted(300)]);
}

/// Who can write the ledger, and has no key: what the gateway remembers, or finds published, is not signed away.
async fn who_takes_what_was_signed_out_as_well_is_found_by_what_is_remembered(store: &Store) {
    let (log, _key) = signed(store).await;
    let signed = log.head().await.unwrap();
    assert!(proving::goes_on(&*log, signed, signed).await.unwrap());
    forge(store, &*log).await;
    store.by_hand("DELETE FROM evidence_checkpoint").await;
    let forged = log.head().await.unwrap();
    assert!(!proving::goes_on(&*log, signed, forged).await.unwrap());
    witness(&*log, 999).await;
    grow(&*log).await;
    let grown = log.head().await.unwrap();
    assert_eq!(grown.size, 301, "the forged tree is one");
    assert!(proving::goes_on(&*log, forged, grown).await.unwrap());
    assert!(!proving::goes_on(&*log, signed, grown).await.unwrap());
}

async fn a_log_whose_tiles_were_changed_does_not_grow(store: &Store) {
    let (log, _key) = signed(store).await;
    let zeroes = store.zeroes(44 * 32);
    store
        .by_hand(&format!(
            "UPDATE evidence_tile SET hashes = {zeroes} WHERE level = 0 AND position = 1"
        ))
        .await;
    witness(&*log, 999).await;
    assert!(sequencer::grow(&*log).await.is_err());
    assert_eq!(log.head().await.unwrap().size, 300);
    assert_eq!(log.leaves_of("bank", "k999").await.unwrap()[0].index, None, "it waits");
}

/// Makes the log one in which leaf 70 says something else, all of it but what is signed.
async fn forge(store: &Store, log: &dyn Ledger) {
    let mut leaves = log.leaves(0, 300).await.unwrap();
    leaves[70].text = leaves[70].text.replace("result A", "result B");
    let other = Store::sqlite();
    let forged = other.open().await;
    for leaf in &leaves {
        let (institution, key) = (leaf.institution.clone(), leaf.key.clone());
        let (text, salt) = (leaf.text.clone(), leaf.salt.unwrap());
        let mentions = Vec::new();
        let leaf = NewLeaf { institution, key, text, salt, mentions };
        forged.witness(&leaf, None).await.leaf.unwrap();
    }
    grow(&*forged).await;
    let ids = [(0, 0), (0, 1), (1, 0)].map(|(level, position)| TileId { level, position });
    for (TileId { level, position }, hashes) in forged.tiles(&ids).await.unwrap() {
        let hashes = store.bytes(&hashes);
        store
            .by_hand(&format!(
                "UPDATE evidence_tile SET hashes = {hashes}
                WHERE level = {level} AND position = {position}"
            ))
            .await;
    }
    let root = store.bytes(&forged.head().await.unwrap().root.0);
    store.by_hand(&format!("UPDATE evidence_head SET root = {root}")).await;
    store
        .by_hand("UPDATE evidence_leaf SET leaf = replace(leaf, 'result A', 'result B') WHERE place = 70")
        .await;
}

fn signing_key() -> SigningKey {
    SigningKey::generate(ORIGIN).unwrap().0
}

fn new_leaf(number: usize) -> NewLeaf {
    leaf_of(&format!("k{number}"), number)
}

fn leaf_of(key: &str, number: usize) -> NewLeaf {
    let salt = Salt::fresh().unwrap();
    let (received, replied) = (format!("message {number}"), format!("answer {number}"));
    let exchange = Exchange {
        origin: ORIGIN,
        institution: "bank",
        key: Some(key),
        message: Some("first"),
        contract: "bank",
        version: "1",
        contract_digest: [7; 32],
        heard: OffsetDateTime::UNIX_EPOCH,
        answered: OffsetDateTime::UNIX_EPOCH,
        result: "A",
        registry: Some("province"),
        office: None,
        case: None,
        trace: None,
        received: received.as_bytes(),
        canonical: None,
        registry_answer: None,
        replied: replied.as_bytes(),
    };
    let text = Leaf::of(&exchange, &salt).text().to_owned();
    let mentions = Vec::new();
    NewLeaf { institution: "bank".into(), key: Some(key.into()), text, salt, mentions }
}

async fn witness(log: &dyn Ledger, number: usize) {
    log.witness(&new_leaf(number), None).await.leaf.unwrap();
}

async fn witness_of(log: &dyn Ledger, key: &str, number: usize) {
    log.witness(&leaf_of(key, number), None).await.leaf.unwrap();
}

/// Many at a time, as a store likes it.
async fn fill(log: &Arc<dyn Ledger>, count: usize) {
    for start in (0..count).step_by(100) {
        let mut work = JoinSet::new();
        for number in start..(start + 100).min(count) {
            let log = Arc::clone(log);
            work.spawn(async move { witness(&*log, number).await });
        }
        work.join_all().await;
    }
}

async fn grow(log: &dyn Ledger) {
    while !sequencer::grow(log).await.unwrap().is_all {}
}

async fn sign(log: &dyn Ledger, key: &SigningKey) {
    let head = log.head().await.unwrap();
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size: head.size, root: head.root };
    log.keep_checkpoint(head.size, &checkpoint.signed([key])).await.unwrap();
}

/// As whoever gets the file reads it.
fn read_back(bundle: &Bundle) -> Proof {
    let text = serde_json::to_string(&Proof::Bundle(bundle.clone())).unwrap();
    Proof::read(&text).unwrap()
}

#[track_caller]
fn holds(account: &Account) {
    assert_eq!(account.verdict(), Verdict::Holds, "{:#?}", account.findings);
}

/// Keys of other logs are none: a test of the test's own.
#[test]
fn a_key_is_of_the_tests_log() {
    assert_eq!(signing_key().public().name(), ORIGIN);
    assert!(PublicKey::read(&signing_key().public().to_string()).is_ok());
}

impl Store {
    /// What somebody does to the tables who may.
    async fn by_hand(&self, statement: &str) {
        match self {
            Store::Sqlite(folder) => {
                let database = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
                database.busy_timeout(Duration::from_secs(30)).unwrap();
                database.execute(statement, []).unwrap();
            }
            Store::Postgres { address, .. } => {
                let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
                let connection = tokio::spawn(connection);
                client.execute(statement, &[]).await.unwrap();
                drop(client);
                connection.await.unwrap().unwrap();
            }
        }
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        match self {
            Store::Sqlite(_) => format!("x'{}'", hex::encode(bytes)),
            Store::Postgres { .. } => format!("'\\x{}'::bytea", hex::encode(bytes)),
        }
    }

    fn zeroes(&self, count: usize) -> String {
        self.bytes(&vec![0; count])
    }

    /// Two hours.
    fn long_ago(&self) -> &'static str {
        match self {
            Store::Sqlite(_) => "recorded_at - 7200000",
            Store::Postgres { .. } => "now() - interval '2 hours'",
        }
    }
}
