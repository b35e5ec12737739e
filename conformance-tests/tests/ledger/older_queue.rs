//! The queue as the program before migration V13 left it: its rows are made by SQL as that wrote them, and what is in it comes
//! out once, over both stores. Source: gateway/migrations, V6 and V13.

use gateway::ledger::State;
use refinery::Target;
use rusqlite::Connection;
use tokio_postgres::NoTls;

use super::{
    Store, accepted,
    queue::{next, sealed, waits},
    settled,
};

mod of_sqlite {
    refinery::embed_migrations!("../gateway/migrations/sqlite");
}

mod of_postgres {
    refinery::embed_migrations!("../gateway/migrations/postgres");
}

over_both_stores! {
    the_queue_an_older_program_left_comes_out_once_and_in_its_order
}

/// The last migration it knew of.
const OLDER: Target = Target::Version(12);

/// Of each: its key; its state; whether a send of it was to be announced and never was; its property.
const LEFT: [(&str, i32, bool, u8); 6] = [
    ("first", 6, false, 1),
    ("second", 6, false, 1),
    // Its sender died; it had nothing to announce to a registry that promises idempotency.
    ("may-be-sent", 1, false, 2),
    ("unsent", 1, true, 3),
    ("unknown", 2, false, 4),
    ("behind-it", 6, false, 4),
];

async fn the_queue_an_older_program_left_comes_out_once_and_in_its_order(store: &Store) {
    leave(store).await;
    let ledger = store.open().await;
    assert_eq!(ledger.queued().await.unwrap(), [("1401".to_owned(), 6)]);

    let mut came = Vec::new();
    for _ in 0..4 {
        let taken = next(&*ledger).await.unwrap();
        assert_eq!(taken.sealed, sealed(&taken.entry.key));
        came.push(taken);
    }
    assert_eq!(next(&*ledger).await, None, "two wait for those before them");
    let keys = came.iter().map(|taken| (taken.entry.key.as_str(), taken.ask_first));
    let expected = [("first", false), ("may-be-sent", true), ("unsent", false), ("unknown", true)];
    assert_eq!(keys.collect::<Vec<_>>(), expected);
    for taken in &came {
        ledger.settle(&taken.entry, &accepted(&taken.entry.key), None).await.unwrap();
    }
    for key in ["second", "behind-it"] {
        let taken = next(&*ledger).await.unwrap();
        assert_eq!((taken.entry.key.as_str(), taken.ask_first), (key, false));
        ledger.settle(&taken.entry, &accepted(key), None).await.unwrap();
    }
    assert_eq!(next(&*ledger).await, None);
    assert!(ledger.queued().await.unwrap().is_empty());
    for (key, ..) in LEFT {
        settled(ledger.admit(&waits(key, &[9], true)).await, &accepted(key));
        assert_eq!(ledger.find("bank", key).await.unwrap().unwrap().state, State::Settled);
    }
}

/// Makes the tables as they were, and fills them.
async fn leave(store: &Store) {
    match store {
        Store::Sqlite(folder) => {
            let mut database = Connection::open(folder.path().join("ledger.db")).unwrap();
            of_sqlite::migrations::runner().set_target(OLDER).run(&mut database).unwrap();
            let past = "CAST(unixepoch('subsec') * 1000 AS INTEGER) - 1000";
            let rows = rows(past, |hex| format!("x'{hex}'"), "1");
            database.execute_batch(&rows).unwrap();
        }
        Store::Postgres { address, .. } => {
            let (mut client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let runner = of_postgres::migrations::runner().set_target(OLDER);
            runner.run_async(&mut client).await.unwrap();
            let past = "now() - interval '1 second'";
            let rows = rows(past, |hex| format!("decode('{hex}', 'hex')"), "true");
            client.batch_execute(&rows).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        }
    }
}

/// `past`: a moment at which leases were over; `bytes`: how they are written; `yes`: that it is so.
fn rows(past: &str, bytes: impl Fn(&str) -> String, yes: &str) -> String {
    let claimed = waits("any", &[], true);
    let digest = bytes(&hex::encode(claimed.fingerprint.digest));
    let leaves = bytes(&hex::encode(&claimed.fingerprint.leaves));
    let (matter, registry, office) = (claimed.matter, claimed.registry, claimed.office);
    let mut rows = String::new();
    for (key, state, unsent, property) in LEFT {
        let unsent = if unsent { "1" } else { "NULL" };
        let held = sealed(key);
        let (seal_key, sealed) = (&held.key, bytes(&hex::encode(&held.bytes)));
        let property = bytes(&hex::encode([property; 16]));
        rows.push_str(&format!(
            "INSERT INTO filing (institution, key, digest, leaves, matter, registry, office, state, attempt,
                 lease_until, due_at, admitted_at, changed_at, unsent_attempt, queued)
             VALUES ('bank', '{key}', {digest}, {leaves}, '{matter}', '{registry}', '{office}', {state}, 1,
                 {past}, {past}, {past}, {past}, {unsent}, {yes});
             INSERT INTO queue (institution, key, office, seal_key, sealed)
             VALUES ('bank', '{key}', '{office}', '{seal_key}', {sealed});
             INSERT INTO queue_property (digest, position)
             SELECT {property}, position FROM queue WHERE key = '{key}';\n"
        ));
    }
    rows
}
