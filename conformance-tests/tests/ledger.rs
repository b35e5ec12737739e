//! What a ledger promises, asked of both stores: every behaviour below runs over SQLite and over a
//! real Postgres of its own. Source: the doc comments of `gateway::ledger`, and docs/domain.md,
//! "Idempotency".
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use conformance_tests::{
    pki::{Names, Pki},
    postgres_server::PostgresServer,
};
use futures_util::future::join_all;
use gateway::ledger::{
    Admission, Claim, Entry, Fingerprint, Guard, Ledger, LedgerError, LedgerSettings, PastCases,
    PostgresSettings, PostgresTls, Record, State, Unknown, books::Booked, events::Recorded,
};
use prost_types::Timestamp;
use proto::v1::{CaseStatus, Outcome};
use store::{PATIENT, Store, postgres_settings, shared_server};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::Instant};
use tokio_postgres::NoTls;

#[macro_use]
#[path = "ledger/store.rs"]
mod store;
#[path = "ledger/cases.rs"]
mod cases;
#[path = "ledger/events.rs"]
mod events;
#[path = "ledger/findings.rs"]
mod findings;
#[path = "ledger/notices.rs"]
mod notices;
#[path = "ledger/older_queue.rs"]
mod older_queue;
#[path = "ledger/queue.rs"]
mod queue;

over_both_stores! {
    a_new_key_is_new
    a_key_being_worked_on_is_in_flight
    a_key_used_for_something_else_is_a_conflict_whatever_became_of_it
    a_settled_key_tells_its_outcome
    a_released_key_is_new_again
    a_claim_whose_lease_ran_out_is_asked_about_first
    a_claim_that_was_never_announced_is_as_good_as_new
    an_announced_claim_may_have_been_sent_and_is_not_again_before_its_time
    an_unknown_outcome_is_asked_about_first
    an_unknown_outcome_that_another_asks_about_is_in_flight
    one_key_of_two_institutions_is_two_keys
    an_answer_counts_even_from_a_stale_entry
    the_first_answer_stands
    an_answer_to_a_filing_never_claimed_is_an_error
    a_stale_entry_can_neither_release_nor_defer_nor_mark
    a_settled_filing_is_neither_released_nor_deferred_nor_marked
    a_filing_is_found_by_key_and_by_case
    what_is_due_is_given_to_one_taker_once
    what_is_put_off_is_not_due
    what_is_due_is_given_out_longest_due_first_and_per_registry
    a_lease_that_ran_out_is_due
    what_was_given_up_is_due_no_more_but_may_be_claimed
    unknown_outcomes_are_counted_per_registry_with_the_age_of_the_oldest
    a_filings_age_counts_from_its_claim_and_anew_after_a_release
    fifty_claims_of_one_key_at_once_are_one_new
    fifty_filings_of_one_loan_at_once_are_one_new
    a_loan_is_guarded_until_its_guard_is_lifted
    a_guard_is_lifted_only_from_a_filing_that_is_as_far_as_was_seen
    a_filing_takes_all_its_guards_or_none
    a_guard_is_never_in_the_way_of_its_own_filing
    a_correction_takes_the_guards_of_what_it_corrects
    what_is_old_is_retired_and_its_key_stays_used
    what_is_open_or_young_is_never_retired
    two_that_retire_at_once_retire_each_filing_once
    a_dropped_call_leaves_a_ledger_that_works
    everything_is_there_after_reopening
    odd_text_and_bytes_survive
    the_last_cases_of_an_office_say_how_long_they_took
    ping_writes
}

#[tokio::test]
async fn a_postgres_that_turns_read_only_is_unavailable_until_it_takes_writes_again() {
    // A server of its own: this is done to all of its databases.
    let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap().unwrap();
    let ledger = open_postgres(server.make_database().await.unwrap(), PATIENT).await;
    new(ledger.admit(&claim("before")).await);

    // What a fail-over looks like to those who stay connected to the old primary.
    let administrate = async |statement| server.administrate(statement).await.unwrap();
    administrate("ALTER SYSTEM SET default_transaction_read_only = on").await;
    administrate("SELECT pg_reload_conf()").await;
    until(async || ledger.ping().await.err()).await;
    unavailable(ledger.admit(&claim("k")).await);

    administrate("ALTER SYSTEM RESET default_transaction_read_only").await;
    administrate("SELECT pg_reload_conf()").await;
    until(async || ledger.ping().await.ok()).await;
    in_flight(ledger.admit(&claim("before")).await);
    new(ledger.admit(&claim("k")).await);
}

/// A fail-over as it is: the primary dies, its standby takes over, and the ledger was told both addresses.
#[tokio::test]
async fn a_standby_that_takes_over_is_found_and_has_all_that_was_acknowledged() {
    let start = || {
        let mut primary = PostgresServer::start()?;
        let standby = primary.start_standby()?;
        anyhow::Ok((primary, standby))
    };
    let (mut primary, standby) = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let address = primary.make_database().await.unwrap();
    for statement in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"]
    {
        primary.administrate(statement).await.unwrap();
    }
    let (someone, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    until(async || {
        let follows = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
        someone.query_opt(follows, &[]).await.unwrap()
    })
    .await;
    drop(someone);
    connection.await.unwrap().unwrap();

    let ledger = open_postgres(primary.or(&address, &standby), PATIENT).await;
    new(ledger.admit(&of_loan("claimed", &[1])).await);
    let entry = new(ledger.admit(&claim("settled")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();

    let primary = tokio::task::spawn_blocking(move || primary.crash().map(|()| primary));
    let _dead = primary.await.unwrap().unwrap();
    until(async || ledger.ping().await.err()).await;
    // The standby can be read, but does not take a key.
    unavailable(ledger.admit(&claim("k")).await);

    standby.administrate("SELECT pg_promote()").await.unwrap();
    until(async || ledger.ping().await.ok()).await;
    in_flight(ledger.admit(&claim("claimed")).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("other", &[1])).await).key, "claimed");
    settled(ledger.admit(&claim("settled")).await, &accepted("YWH-1"));
    new(ledger.admit(&claim("k")).await);
}

/// What the server refuses of one filing is undone wholly, and the filings that came with it know nothing of it.
#[tokio::test]
async fn a_serialization_failure_is_told_and_spoils_no_other_filing() {
    let server = tokio::task::spawn_blocking(shared_server).await.unwrap();
    let address = server.make_database().await.unwrap();
    let ledger = open_postgres(address.clone(), PATIENT).await;
    let (someone, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    // After the key, before the guard; and of an outcome.
    let clash = "CREATE FUNCTION clash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            IF NEW.key = 'clash' THEN RAISE EXCEPTION 'could not serialize access' \
                USING ERRCODE = 'serialization_failure'; END IF; \
            RETURN NEW; END $$; \
        CREATE TRIGGER clash BEFORE INSERT ON guard FOR EACH ROW EXECUTE FUNCTION clash()";
    someone.batch_execute(clash).await.unwrap();
    let claims: Vec<_> = (0..30)
        .map(|number| match number {
            7 => of_loan("clash", &[100]),
            _ => of_loan(&format!("k{number}"), &[number]),
        })
        .collect();
    for (claim, said) in claims.iter().zip(join_all(claims.iter().map(|it| ledger.admit(it))).await)
    {
        match claim.key.as_str() {
            "clash" => assert!(unavailable(said).contains("could not serialize")),
            _ => assert_eq!(new(said).key, claim.key),
        }
    }
    assert!(ledger.find("bank", "clash").await.unwrap().is_none());

    let drop_it = "DROP TRIGGER clash ON guard; \
        CREATE TRIGGER clash BEFORE UPDATE ON filing FOR EACH ROW EXECUTE FUNCTION clash()";
    someone.batch_execute(drop_it).await.unwrap();
    new(ledger.admit(&of_loan("clash", &[100])).await);
    let entries: Vec<_> = claims.iter().map(|claim| entry_of(&claim.key, 1)).collect();
    let outcome = accepted("YWH-1");
    let settling = entries.iter().map(|entry| ledger.settle(entry, &outcome, None));
    for (entry, said) in entries.iter().zip(join_all(settling).await) {
        let expected = if entry.key == "clash" { State::Claimed } else { State::Settled };
        assert_eq!(said.is_ok(), expected == State::Settled, "{}", entry.key);
        let found = ledger.find("bank", &entry.key).await.unwrap().unwrap();
        assert_eq!(found.state, expected, "{}", entry.key);
    }
    someone.batch_execute("DROP TRIGGER clash ON filing").await.unwrap();
    ledger.settle(&entry_of("clash", 1), &outcome, None).await.unwrap();
    drop(someone);
    connection.await.unwrap().unwrap();
}

/// Whatever an administrator has set for the database: with transactions that are serializable, many at once would fail.
#[tokio::test]
async fn filings_at_once_do_not_fail_where_transactions_are_serializable_by_default() {
    let server = tokio::task::spawn_blocking(shared_server).await.unwrap();
    let address = server.make_database().await.unwrap();
    let (_, name) = address.split_once("dbname=").unwrap();
    let serializable = "SET default_transaction_isolation = serializable";
    server.administrate(&format!("ALTER DATABASE {name} {serializable}")).await.unwrap();
    let (one, other) =
        tokio::join!(open_postgres(address.clone(), PATIENT), open_postgres(address, PATIENT));
    let mut filings = JoinSet::new();
    for number in 0..100_u8 {
        let ledger = Arc::clone(if number % 2 == 0 { &one } else { &other });
        filings.spawn(async move {
            let entry = new(ledger.admit(&of_loan(&format!("k{number}"), &[number])).await);
            ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
        });
    }
    filings.join_all().await;
}

#[tokio::test]
async fn a_postgres_that_cuts_connections_is_connected_to_again() {
    let server = tokio::task::spawn_blocking(shared_server).await.unwrap();
    let address = server.make_database().await.unwrap();
    let ledger = open_postgres(address.clone(), PATIENT).await;
    new(ledger.admit(&claim("k")).await);
    let cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let (someone, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    someone.batch_execute(cut).await.unwrap();
    drop(someone);
    connection.await.unwrap().unwrap();
    until(async || ledger.ping().await.ok()).await;
    in_flight(ledger.admit(&claim("k")).await);
}

/// What an older replica meets while a newer one brings the tables up to date: more columns, tables and indexes, wider rules.
#[tokio::test]
async fn tables_that_grow_under_a_running_ledger_do_not_disturb_it() {
    let server = tokio::task::spawn_blocking(shared_server).await.unwrap();
    let address = server.make_database().await.unwrap();
    let ledger = open_postgres(address.clone(), PATIENT).await;
    let work = async |round: &str, loan: u8| {
        let entry = new(ledger.admit(&of_loan(round, &[loan])).await);
        ledger.mark_unknown(&entry).await.unwrap();
        let entry = due(&*ledger, "province").await.pop().unwrap();
        ledger.settle(&entry, &accepted(round), None).await.unwrap();
        settled(ledger.admit(&claim(round)).await, &accepted(round));
        assert_eq!(ledger.find_case("bank", round).await.unwrap().unwrap().key, round);
    };
    work("before", 1).await;
    let (someone, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let expand = "BEGIN; ALTER TABLE filing ADD COLUMN later text, ADD COLUMN counted bigint NOT NULL DEFAULT 0; \
        ALTER TABLE guard ADD COLUMN later text; CREATE TABLE later (id bigint PRIMARY KEY); \
        CREATE INDEX filing_later ON filing (later); \
        ALTER TABLE filing DROP CONSTRAINT filing_state_check, \
            ADD CONSTRAINT filing_state_check CHECK (state BETWEEN 1 AND 9) NOT VALID; COMMIT";
    someone.batch_execute(expand).await.unwrap();
    work("after", 2).await;
    // And one that starts now, knowing of migrations less than were made.
    let newer = "INSERT INTO refinery_schema_history SELECT version + 1000, 'later', applied_on, checksum \
        FROM refinery_schema_history ORDER BY version DESC LIMIT 1";
    someone.batch_execute(newer).await.unwrap();
    let restarted = open_postgres(address.clone(), PATIENT).await;
    settled(restarted.admit(&claim("before")).await, &accepted("before"));
    drop(someone);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_row_that_someone_locks_holds_up_nobody_for_longer_than_told() {
    let server = tokio::task::spawn_blocking(shared_server).await.unwrap();
    let address = server.make_database().await.unwrap();
    let ledger = open_postgres(address.clone(), Duration::from_secs(3)).await;
    let entry = new(ledger.admit(&claim("locked")).await);
    ledger.mark_unknown(&entry).await.unwrap();

    let (someone, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    someone
        .batch_execute("BEGIN; SELECT FROM filing WHERE key = 'locked' FOR UPDATE")
        .await
        .unwrap();
    // All at one moment, so that they are written together.
    let keys = ["locked", "free", "free, too", "and free"];
    let claims = keys.map(claim);
    for (key, said) in keys.iter().zip(join_all(claims.iter().map(|it| ledger.admit(it))).await) {
        match *key {
            "locked" => drop(unavailable(said)),
            _ => drop(new(said)),
        }
    }
    assert!(due(&*ledger, "province").await.is_empty(), "others' rows are passed over");

    drop(someone);
    connection.await.unwrap().unwrap();
    until(async || ledger.admit(&claim("locked")).await.ok()).await;
}

#[tokio::test]
async fn a_deadlock_is_told_and_what_was_undone_works_again() {
    let server = tokio::task::spawn_blocking(shared_server).await.unwrap();
    let address = server.make_database().await.unwrap();
    let ledger = open_postgres(address.clone(), PATIENT).await;
    let (someone, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    // Someone who holds the guard first, then wants the filing, and never gives way.
    let guard = "SET deadlock_timeout = '1h'; BEGIN; \
                 INSERT INTO guard VALUES ('bank', decode(repeat('07', 16), 'hex'), 'someone')";
    someone.batch_execute(guard).await.unwrap();
    let claim = of_loan("k", &[7]);
    let (deadlocked, _) = tokio::join!(ledger.admit(&claim), async {
        until(async || {
            // Not by what the server's statistics say: inside a transaction those stand still.
            let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted \
                           AND pg_backend_pid() = ANY (pg_blocking_pids(pid)) LIMIT 1";
            someone.query_opt(waiting, &[]).await.unwrap()
        })
        .await;
        let filing = "INSERT INTO filing (institution, key, digest, leaves, matter, registry, \
            office, state, attempt, lease_until, due_at, admitted_at, changed_at) VALUES ('bank', \
            'k', decode(repeat('00', 32), 'hex'), '', '', '', '', 1, 1, now(), now(), now(), now())";
        someone.batch_execute(filing).await.unwrap();
    });
    assert!(unavailable(deadlocked).contains("deadlock"));
    someone.batch_execute("ROLLBACK").await.unwrap();
    new(ledger.admit(&claim).await);
    drop(someone);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_disk_of_postgres_is_told_and_a_ledger_with_room_again_works() {
    let start = PostgresServer::start_with_little_room;
    let mut server = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let ledger = open_postgres(server.make_database().await.unwrap(), PATIENT).await;
    // Leaves that no compression makes small.
    let large = |key: &str| {
        let bytes = (0..500_000).scan(1_u64, |state, _| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Some(state.to_le_bytes()[6])
        });
        let fingerprint = Fingerprint { leaves: bytes.collect(), ..fingerprint(1) };
        Claim { fingerprint, ..claim(key) }
    };
    let mut filed = 0;
    let full = loop {
        match ledger.admit(&large(&format!("k{filed}"))).await {
            Ok(_) if filed < 100 => filed += 1,
            said => break unavailable(said),
        }
    };
    assert!(full.contains("could not extend file"), "{full}");
    let last = format!("k{filed}");
    assert!(ledger.find("bank", &last).await.unwrap().is_none());

    let room = tokio::task::spawn_blocking(move || server.make_room().map(|()| server));
    let _server = room.await.unwrap().unwrap();
    until(async || ledger.ping().await.ok()).await;
    new(ledger.admit(&large(&last)).await);
    in_flight(ledger.admit(&large("k0")).await);
}

#[tokio::test]
async fn a_pool_with_no_connection_to_spare_says_so_in_time() {
    let server = tokio::task::spawn_blocking(shared_server).await.unwrap();
    let address = server.make_database().await.unwrap();
    let settings = PostgresSettings {
        pool_size_max: 1,
        wait: Duration::from_secs(3),
        ..postgres_settings(address.clone(), PATIENT)
    };
    let ledger = gateway::ledger::open(&LedgerSettings::Postgres(settings)).await.unwrap();
    new(ledger.admit(&claim("locked")).await);

    let (someone, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    someone.batch_execute("BEGIN; SELECT FROM filing FOR UPDATE").await.unwrap();
    let locked = claim("locked");
    let (held_up, ()) = tokio::join!(ledger.admit(&locked), async {
        until(async || ledger.ping().await.err()).await;
        someone.batch_execute("ROLLBACK").await.unwrap();
    });
    in_flight(held_up);
    ledger.ping().await.unwrap();
    drop(someone);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_postgres_is_talked_to_over_tls_by_who_shows_a_certificate_and_knows_the_servers() {
    let folder = TempDir::new().unwrap();
    let pki = Pki::write(folder.path(), &Names::default()).unwrap();
    let (own, ca) = (pki.registry.clone(), pki.registry_ca.clone());
    let start = move || PostgresServer::start_encrypted(&own, &ca);
    let server = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let local = server.make_database().await.unwrap();
    let open = async |host: &str, tls: Option<PostgresTls>| {
        let url = server.over_network(&local, host);
        let settings = PostgresSettings { tls, ..postgres_settings(url, PATIENT) };
        gateway::ledger::open(&LedgerSettings::Postgres(settings)).await
    };
    let client = pki.gateway_client;
    let identity = Some((client.certificate, client.key));
    let tls = PostgresTls { ca: pki.registry_ca, identity };

    let ledger = open("localhost", Some(tls.clone())).await.unwrap();
    new(ledger.admit(&claim("k")).await);
    let (someone, connection) = tokio_postgres::connect(&local, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'directlink' AND ssl AND client_dn IS NOT NULL";
    let rows = someone.query(encrypted, &[]).await.unwrap();
    assert!(rows[0].get::<_, i64>(0) > 0);
    drop(someone);
    connection.await.unwrap().unwrap();

    let stranger = PostgresTls { identity: None, ..tls.clone() };
    let trusts_others = PostgresTls { ca: pki.banks_ca, ..tls.clone() };
    for (host, tls, why) in [
        ("localhost", None, "no encryption"),
        ("localhost", Some(stranger), "certificate"),
        ("localhost", Some(trusts_others), "UnknownIssuer"),
        ("ledger.example hostaddr=127.0.0.1", Some(tls), "not valid for name"),
    ] {
        let Err(refused) = open(host, tls).await else { panic!("connected in spite of: {why}") };
        let first: Option<&(dyn std::error::Error + 'static)> = Some(&refused);
        let causes = std::iter::successors(first, |cause| cause.source());
        let told: Vec<_> = causes.map(ToString::to_string).collect();
        assert!(told.iter().any(|cause| cause.contains(why)), "{told:?} does not say {why}");
    }
}

#[tokio::test]
async fn a_postgres_over_a_network_is_refused_unencrypted() {
    for host in ["ledger.example", "192.0.2.1", "127.0.0.1,ledger.example"] {
        let settings = postgres_settings(format!("host={host} user=u dbname=d"), PATIENT);
        let cause = unavailable(gateway::ledger::open(&LedgerSettings::Postgres(settings)).await);
        assert!(cause.contains("unencrypted"), "{cause}");
    }
}

#[tokio::test]
async fn a_second_opener_of_a_sqlite_file_is_told_why_not() {
    let store = Store::sqlite();
    let _first = store.open().await;
    let Err(LedgerError::Unavailable(cause)) = gateway::ledger::open(&store.settings()).await
    else {
        panic!("two have the file open");
    };
    assert!(cause.to_string().contains("ledger.db is in use by another process"), "{cause}");
}

async fn a_new_key_is_new(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    assert_eq!(entry, entry_of("k", 1));
    let record = ledger.find("bank", "k").await.unwrap().unwrap();
    assert_eq!(record.state, State::Claimed);
    assert_eq!(record.matter, "mortgage_registration");
    assert_eq!(record.outcome, None);
}

async fn a_key_being_worked_on_is_in_flight(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&claim("k")).await);
    let retry_after = in_flight(ledger.admit(&claim("k")).await);
    assert!(retry_after > LONG / 2 && retry_after <= LONG);
}

async fn a_key_used_for_something_else_is_a_conflict_whatever_became_of_it(store: &Store) {
    let ledger = store.open().await;
    let other = |key| Claim { fingerprint: fingerprint(2), ..claim(key) };

    new(ledger.admit(&claim("claimed")).await);
    let entry = new(ledger.admit(&claim("unknown")).await);
    ledger.mark_unknown(&entry).await.unwrap();
    let entry = new(ledger.admit(&claim("settled")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let entry = new(ledger.admit(&claim("released")).await);
    ledger.release(&entry).await.unwrap();

    for key in ["claimed", "unknown", "settled", "released"] {
        match ledger.admit(&other(key)).await.unwrap() {
            Admission::Conflict { earlier } => assert_eq!(earlier, fingerprint(1), "{key}"),
            admission => panic!("{key}: {admission:?}"),
        }
    }
    new(ledger.admit(&claim("released")).await); // The conflict took nothing.
}

async fn a_settled_key_tells_its_outcome(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    match ledger.admit(&claim("k")).await.unwrap() {
        Admission::Settled(record) => {
            assert_eq!(record.state, State::Settled);
            assert_eq!(record.outcome, Some(accepted("YWH-1")));
            assert_eq!((record.registry.as_str(), record.office.as_str()), ("province", "1401"));
        }
        admission => panic!("{admission:?}"),
    }
}

async fn a_released_key_is_new_again(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.release(&entry).await.unwrap();
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Released);

    // Nothing was sent, so it goes wherever it is routed now.
    let rerouted = Claim { registry: "city".into(), office: "7".into(), ..claim("k") };
    let entry = new(ledger.admit(&rerouted).await);
    assert_eq!((entry.attempt, entry.registry.as_str(), entry.office.as_str()), (2, "city", "7"));
    in_flight(ledger.admit(&claim("k")).await);
    assert!(
        due(&*ledger, "province").await.is_empty(),
        "a released filing is nobody's to ask about"
    );
}

async fn a_claim_whose_lease_ran_out_is_asked_about_first(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&Claim { lease: SHORT, ..claim("k") }).await);
    // What may have been sent was sent to the first registry: that one is to be asked.
    let rerouted = Claim { registry: "city".into(), office: "7".into(), ..claim("k") };
    let admission = until(async || match ledger.admit(&rerouted).await.unwrap() {
        Admission::InFlight { .. } => None,
        admission => Some(admission),
    });
    assert_eq!(ask_first(Ok(admission.await)), entry_of("k", 2));
    in_flight(ledger.admit(&claim("k")).await);
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Unknown);
}

async fn a_claim_that_was_never_announced_is_as_good_as_new(store: &Store) {
    let ledger = store.open().await;
    let announced = Claim { announced: true, ..claim("k") };
    new(ledger.admit(&Claim { key: "held".into(), ..announced.clone() }).await);
    in_flight(ledger.admit(&Claim { key: "held".into(), ..announced.clone() }).await);
    let late = new(ledger.admit(&Claim { lease: SHORT, ..announced.clone() }).await);
    let found = until(async || {
        let state = ledger.find("bank", "k").await.unwrap().unwrap().state;
        (state != State::Claimed).then_some(state)
    });
    assert_eq!(found.await, State::Released);
    assert!(due(&*ledger, "province").await.is_empty(), "there is nothing to ask a registry about");

    let rerouted = Claim { registry: "city".into(), office: "7".into(), ..announced };
    let entry = new(ledger.admit(&rerouted).await);
    assert_eq!((entry.attempt, entry.registry.as_str(), entry.office.as_str()), (2, "city", "7"));
    assert!(!ledger.announce(&late, Duration::ZERO).await.unwrap(), "another has it");
    assert!(ledger.announce(&entry, LONG).await.unwrap());
    assert!(!ledger.announce(&entry, Duration::ZERO).await.unwrap(), "a claim sends once");
}

async fn an_announced_claim_may_have_been_sent_and_is_not_again_before_its_time(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&Claim { announced: true, ..claim("k") }).await);
    assert!(ledger.announce(&entry, Duration::MAX).await.unwrap());
    ledger.mark_unknown(&entry).await.unwrap();
    let entry = ask_first(ledger.admit(&Claim { announced: true, ..claim("k") }).await);
    assert!(!ledger.announce(&entry, LONG).await.unwrap());
    assert!(!ledger.announce(&entry, Duration::MAX).await.unwrap());
    until(async || ledger.announce(&entry, SHORT).await.unwrap().then_some(())).await;
    assert!(!ledger.announce(&entry, LONG).await.unwrap(), "the time begins anew");
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    assert!(!ledger.announce(&entry, Duration::ZERO).await.unwrap());

    // Of one that was not to be announced, nobody knows when it was sent.
    let entry = new(ledger.admit(&claim("silent")).await);
    assert!(!ledger.announce(&entry, Duration::ZERO).await.unwrap());
    ledger.mark_unknown(&entry).await.unwrap();
    let entry = ask_first(ledger.admit(&Claim { announced: true, ..claim("silent") }).await);
    assert!(!ledger.announce(&entry, Duration::ZERO).await.unwrap());
}

async fn an_unknown_outcome_is_asked_about_first(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&entry).await.unwrap();
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Unknown);
    let entry = ask_first(ledger.admit(&claim("k")).await);
    assert_eq!(entry, entry_of("k", 2));

    // A bank that asks need not wait for the resolver's next turn.
    ledger.defer(&entry, LONG).await.unwrap();
    assert_eq!(ask_first(ledger.admit(&claim("k")).await), entry_of("k", 3));
}

async fn an_unknown_outcome_that_another_asks_about_is_in_flight(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&entry).await.unwrap();
    assert_eq!(due(&*ledger, "province").await, [entry_of("k", 2)]);
    in_flight(ledger.admit(&claim("k")).await);
}

async fn one_key_of_two_institutions_is_two_keys(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    new(ledger.admit(&Claim { institution: "other".into(), ..claim("k") }).await);
    assert!(ledger.find_case("other", "YWH-1").await.unwrap().is_none());
}

async fn an_answer_counts_even_from_a_stale_entry(store: &Store) {
    let ledger = store.open().await;
    let stale = new(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&stale).await.unwrap();
    let newer = ask_first(ledger.admit(&claim("k")).await);
    ledger.settle(&stale, &accepted("YWH-1"), None).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
    // The one who was asking meanwhile learns the same, or nothing new.
    ledger.settle(&newer, &accepted("YWH-1"), None).await.unwrap();
    ledger.mark_unknown(&newer).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
}

async fn the_first_answer_stands(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    ledger.settle(&entry, &accepted("YWH-2"), None).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
    assert!(ledger.find_case("bank", "YWH-2").await.unwrap().is_none());
}

async fn an_answer_to_a_filing_never_claimed_is_an_error(store: &Store) {
    let ledger = store.open().await;
    let answer = ledger.settle(&entry_of("k", 1), &accepted("YWH-1"), None).await;
    assert!(matches!(answer, Err(LedgerError::Corrupt(_))), "{answer:?}");
}

async fn a_stale_entry_can_neither_release_nor_defer_nor_mark(store: &Store) {
    let ledger = store.open().await;
    let stale = new(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&stale).await.unwrap();
    ask_first(ledger.admit(&claim("k")).await);

    ledger.release(&stale).await.unwrap();
    in_flight(ledger.admit(&claim("k")).await);
    ledger.defer(&stale, Duration::ZERO).await.unwrap();
    in_flight(ledger.admit(&claim("k")).await);
    ledger.mark_unknown(&stale).await.unwrap();
    in_flight(ledger.admit(&claim("k")).await);
}

async fn a_settled_filing_is_neither_released_nor_deferred_nor_marked(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    ledger.release(&entry).await.unwrap();
    ledger.defer(&entry, Duration::ZERO).await.unwrap();
    ledger.mark_unknown(&entry).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
    assert!(due(&*ledger, "province").await.is_empty());

    let entry = new(ledger.admit(&claim("released")).await);
    ledger.release(&entry).await.unwrap();
    ledger.mark_unknown(&entry).await.unwrap();
    assert_eq!(ledger.find("bank", "released").await.unwrap().unwrap().state, State::Released);
}

async fn a_filing_is_found_by_key_and_by_case(store: &Store) {
    let ledger = store.open().await;
    assert!(ledger.find("bank", "k").await.unwrap().is_none());
    assert!(ledger.find_case("bank", "YWH-1").await.unwrap().is_none());
    assert!(ledger.find_case("bank", "").await.unwrap().is_none());
    assert_eq!(ledger.asked("bank", "k").await.unwrap(), None);

    let entry = new(ledger.admit(&claim("k")).await);
    assert_eq!(ledger.asked("bank", "k").await.unwrap(), Some(claim("k").fingerprint));
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    assert_eq!(ledger.find_case("bank", "YWH-1").await.unwrap().unwrap().key, "k");

    // A registry that refuses at the door may give no number: such filings have none in common.
    let entry = new(ledger.admit(&claim("refused")).await);
    ledger.settle(&entry, &accepted(""), None).await.unwrap();
    assert!(ledger.find_case("bank", "").await.unwrap().is_none());
}

async fn what_is_due_is_given_to_one_taker_once(store: &Store) {
    let replicas = store.replicas().await;
    let ledger = Arc::clone(&replicas[0]);
    let keys: HashSet<String> = (0..30).map(|n| format!("k{n}")).collect();
    for key in &keys {
        let entry = new(ledger.admit(&claim(key)).await);
        ledger.mark_unknown(&entry).await.unwrap();
    }
    new(ledger.admit(&claim("still claimed")).await);

    let mut takers = JoinSet::new();
    for number in 0..6 {
        let ledger = Arc::clone(&replicas[number % replicas.len()]);
        takers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let some = ledger.claim_due("province", 4, LONG).await.unwrap();
                assert!(some.len() <= 4);
                if some.is_empty() {
                    return taken;
                }
                taken.extend(some);
            }
        });
    }
    let taken: Vec<Entry> = takers.join_all().await.into_iter().flatten().collect();
    assert!(taken.iter().all(|entry| entry.attempt == 2));
    assert_eq!(taken.len(), keys.len(), "none is given out twice");
    assert_eq!(taken.into_iter().map(|entry| entry.key).collect::<HashSet<_>>(), keys);
}

async fn what_is_put_off_is_not_due(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    ledger.defer(&entry, LONG).await.unwrap();
    assert!(due(&*ledger, "province").await.is_empty());

    let entry = ask_first(ledger.admit(&claim("k")).await);
    ledger.defer(&entry, SHORT).await.unwrap();
    let taken = until(async || due(&*ledger, "province").await.pop()).await;
    assert_eq!(taken, entry_of("k", 3));
}

async fn what_is_due_is_given_out_longest_due_first_and_per_registry(store: &Store) {
    let ledger = store.open().await;
    let later = new(ledger.admit(&claim("later")).await);
    let sooner = new(ledger.admit(&claim("sooner")).await);
    let last = Claim { registry: "city".into(), ..claim("last") };
    let last = new(ledger.admit(&last).await);
    ledger.defer(&sooner, SHORT).await.unwrap();
    ledger.defer(&later, SHORT * 2).await.unwrap();
    ledger.defer(&last, SHORT * 3).await.unwrap();

    let taken = until(async || due(&*ledger, "city").await.pop()).await;
    assert_eq!(taken.key, "last");
    // Now all are due.
    let first = ledger.claim_due("province", 1, LONG).await.unwrap();
    let second = ledger.claim_due("province", 1, LONG).await.unwrap();
    assert_eq!((first, second), (vec![entry_of("sooner", 2)], vec![entry_of("later", 2)]));
}

async fn a_lease_that_ran_out_is_due(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&Claim { lease: SHORT, ..claim("k") }).await);
    let taken = until(async || ledger.claim_due("province", 9, SHORT).await.unwrap().pop()).await;
    assert_eq!(taken, entry_of("k", 2));
    ledger.release(&entry).await.unwrap(); // Too late: another may have found it at the registry.
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Unknown);

    // The taker is gone too; and so on, until there is an answer.
    let taken = until(async || due(&*ledger, "province").await.pop()).await;
    assert_eq!(taken, entry_of("k", 3));
    ledger.settle(&taken, &accepted("YWH-1"), None).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
}

async fn what_was_given_up_is_due_no_more_but_may_be_claimed(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&claim("k")).await);
    assert!(ledger.give_up(&entry).await.unwrap(), "it is the first time");
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().state, State::Unknown);
    assert!(due(&*ledger, "province").await.is_empty());

    let entry = ask_first(ledger.admit(&claim("k")).await);
    assert!(!ledger.give_up(&entry).await.unwrap(), "it was given up before");
    assert!(due(&*ledger, "province").await.is_empty());

    let entry = ask_first(ledger.admit(&claim("k")).await);
    ledger.release(&entry).await.unwrap();
    let entry = new(ledger.admit(&claim("k")).await);
    assert!(ledger.give_up(&entry).await.unwrap(), "the key was claimed anew");
    let stale = entry;
    let entry = ask_first(ledger.admit(&claim("k")).await);
    assert!(!ledger.give_up(&stale).await.unwrap(), "another has taken it since");
    in_flight(ledger.admit(&claim("k")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    settled(ledger.admit(&claim("k")).await, &accepted("YWH-1"));
}

async fn unknown_outcomes_are_counted_per_registry_with_the_age_of_the_oldest(store: &Store) {
    let ledger = store.open().await;
    let unknown = async |registry| ledger.unknown(registry).await.unwrap();
    let given_up = new(ledger.admit(&claim("given up")).await);
    let deferred = new(ledger.admit(&claim("deferred")).await);
    let answered = new(ledger.admit(&claim("answered")).await);
    let elsewhere = Claim { registry: "city".into(), ..claim("elsewhere") };
    let elsewhere = new(ledger.admit(&elsewhere).await);
    new(ledger.admit(&claim("being worked on")).await);
    assert_eq!(unknown("province").await, Unknown::default());

    ledger.give_up(&given_up).await.unwrap();
    ledger.defer(&deferred, LONG).await.unwrap();
    ledger.settle(&answered, &accepted("YWH-1"), None).await.unwrap();
    ledger.mark_unknown(&elsewhere).await.unwrap();
    let before = unknown("province").await;
    assert_eq!((before.count, unknown("city").await.count), (2, 1));
    until(async || (unknown("province").await.oldest > before.oldest).then_some(())).await;

    ledger.settle(&given_up, &accepted("YWH-2"), None).await.unwrap();
    assert_eq!(unknown("province").await.count, 1);
}

async fn a_filings_age_counts_from_its_claim_and_anew_after_a_release(store: &Store) {
    let ledger = store.open().await;
    let age = async || ledger.find("bank", "k").await.unwrap().unwrap().age;
    let entry = new(ledger.admit(&claim("k")).await);
    until(async || (age().await >= SHORT).then_some(())).await;
    ledger.mark_unknown(&entry).await.unwrap();
    let entry = ask_first(ledger.admit(&claim("k")).await);
    assert!(age().await >= SHORT, "taking it over makes it no younger");

    let begun = Instant::now();
    ledger.release(&entry).await.unwrap();
    new(ledger.admit(&claim("k")).await);
    assert!(age().await <= begun.elapsed() + Duration::from_millis(1));
}

async fn fifty_claims_of_one_key_at_once_are_one_new(store: &Store) {
    let replicas = store.replicas().await;
    for round in 0..4 {
        let claim = claim(&format!("k{round}"));
        let mut claimants = JoinSet::new();
        for number in 0..50 {
            let (replica, claim) = (Arc::clone(&replicas[number % replicas.len()]), claim.clone());
            claimants.spawn(async move { replica.admit(&claim).await.unwrap() });
        }
        let admissions = claimants.join_all().await;
        let new = admissions.iter().filter(|said| matches!(said, Admission::New(_))).count();
        let waiting =
            admissions.iter().filter(|said| matches!(said, Admission::InFlight { .. })).count();
        assert_eq!((new, waiting), (1, 49));
    }
}

async fn fifty_filings_of_one_loan_at_once_are_one_new(store: &Store) {
    let replicas = store.replicas().await;
    for round in 0..4 {
        let mut claimants = JoinSet::new();
        for number in 0..50_usize {
            let replica = Arc::clone(&replicas[number % replicas.len()]);
            let claim = of_loan(&format!("k{round}-{number}"), &[round]);
            claimants.spawn(async move { replica.admit(&claim).await.unwrap() });
        }
        let admissions = claimants.join_all().await;
        let new = admissions.iter().filter(|said| matches!(said, Admission::New(_))).count();
        let duplicates =
            admissions.iter().filter(|said| matches!(said, Admission::Duplicate(_))).count();
        assert_eq!((new, duplicates), (1, 49));
    }
}

async fn a_loan_is_guarded_until_its_guard_is_lifted(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("first", &[1])).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("second", &[1])).await).key, "first");
    assert!(
        ledger.find("bank", "second").await.unwrap().is_none(),
        "what is refused claims nothing"
    );
    let elsewhere = Claim { institution: "other".into(), ..of_loan("second", &[1]) };
    new(ledger.admit(&elsewhere).await);

    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let holder = duplicate(ledger.admit(&of_loan("second", &[1])).await);
    assert_eq!(holder.outcome, Some(accepted("YWH-1")), "the earlier case can be named");
    ledger.lift(&holder, &guards(&[1])).await.unwrap();
    new(ledger.admit(&of_loan("second", &[1])).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("third", &[1])).await).key, "second");
    settled(ledger.admit(&of_loan("first", &[1])).await, &accepted("YWH-1"));
}

async fn a_guard_is_lifted_only_from_a_filing_that_is_as_far_as_was_seen(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("first", &[1])).await);
    let claimed = duplicate(ledger.admit(&of_loan("second", &[1])).await);
    ledger.lift(&claimed, &guards(&[1])).await.unwrap();
    ledger.release(&entry).await.unwrap();
    let released = duplicate(ledger.admit(&of_loan("second", &[1])).await);
    assert_eq!((claimed.state, released.state), (State::Claimed, State::Released));

    // It is filed again before the other comes to lift its guard.
    new(ledger.admit(&of_loan("first", &[1])).await);
    ledger.lift(&released, &guards(&[1])).await.unwrap();
    let entry = duplicate(ledger.admit(&of_loan("second", &[1])).await);
    assert_eq!((entry.key.as_str(), entry.state), ("first", State::Claimed));

    // One that was never announced may not be sent any more once its guard is lifted.
    let late = Claim { lease: SHORT, announced: true, ..of_loan("late", &[2]) };
    let late = new(ledger.admit(&late).await);
    let lapsed = until(async || {
        let holder = duplicate(ledger.admit(&of_loan("next", &[2])).await);
        (holder.state == State::Released).then_some(holder)
    });
    ledger.lift(&lapsed.await, &guards(&[2])).await.unwrap();
    new(ledger.admit(&of_loan("next", &[2])).await);
    assert!(!ledger.announce(&late, Duration::ZERO).await.unwrap());
    assert_eq!(duplicate(ledger.admit(&of_loan("late", &[2])).await).key, "next");
}

async fn a_filing_takes_all_its_guards_or_none(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&of_loan("first", &[2])).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("both", &[1, 2, 3])).await).key, "first");
    new(ledger.admit(&of_loan("other", &[1, 3])).await);
}

async fn a_guard_is_never_in_the_way_of_its_own_filing(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("k", &[1, 2])).await);
    in_flight(ledger.admit(&of_loan("k", &[1, 2])).await);
    ledger.release(&entry).await.unwrap();
    let entry = new(ledger.admit(&of_loan("k", &[1, 2])).await);
    ledger.mark_unknown(&entry).await.unwrap();
    ask_first(ledger.admit(&of_loan("k", &[1, 2])).await);
}

async fn a_correction_takes_the_guards_of_what_it_corrects(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("first", &[1])).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let of_another = Claim { corrects: Some("YWH-2".into()), ..of_loan("wrong", &[1]) };
    duplicate(ledger.admit(&of_another).await);
    let corrected = Claim { corrects: Some("YWH-1".into()), ..of_loan("corrected", &[1]) };
    new(ledger.admit(&corrected).await);
    assert_eq!(duplicate(ledger.admit(&of_loan("third", &[1])).await).key, "corrected");
}

async fn what_is_old_is_retired_and_its_key_stays_used(store: &Store) {
    let ledger = store.open().await;
    let entry = new(ledger.admit(&of_loan("k", &[1])).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let released = new(ledger.admit(&claim("released")).await);
    ledger.release(&released).await.unwrap();
    let mut retired = 0;
    until(async || Some(ledger.retire(SHORT, 9).await.unwrap()).filter(|count| *count > 0)).await;
    until(async || {
        ledger.retire(SHORT, 9).await.unwrap();
        let state = ledger.find("bank", "released").await.unwrap().unwrap().state;
        (state == State::Retired).then_some(())
    })
    .await;
    retired += ledger.retire(SHORT, 9).await.unwrap();
    assert_eq!(retired, 0, "once is enough");

    let known = Outcome { case_id: "YWH-1".into(), ..Outcome::default() };
    for claim in [of_loan("k", &[1]), Claim { fingerprint: fingerprint(2), ..claim("k") }] {
        match ledger.admit(&claim).await.unwrap() {
            Admission::Retired(record) => assert_eq!(record.outcome, Some(known.clone())),
            admission => panic!("{admission:?}"),
        }
    }
    match ledger.admit(&claim("released")).await.unwrap() {
        Admission::Retired(record) => assert_eq!(record.outcome, None),
        admission => panic!("{admission:?}"),
    }
    assert_eq!(ledger.find_case("bank", "YWH-1").await.unwrap().unwrap().state, State::Retired);
    assert_eq!(ledger.asked("bank", "k").await.unwrap(), None);

    // Nobody who was away for that long changes it, and the loan stays guarded.
    ledger.settle(&entry, &accepted("YWH-2"), None).await.unwrap();
    let told = ledger.record(&events::told("k", accepted("YWH-2"))).await.unwrap();
    assert_eq!(told, Recorded::Unheard);
    ledger.mark_unknown(&entry).await.unwrap();
    ledger.release(&released).await.unwrap();
    assert_eq!(ledger.find("bank", "k").await.unwrap().unwrap().outcome, Some(known));
    let holder = duplicate(ledger.admit(&of_loan("other", &[1])).await);
    assert_eq!(holder.state, State::Retired);
    ledger.lift(&holder, &guards(&[1])).await.unwrap();
    new(ledger.admit(&of_loan("other", &[1])).await);
}

async fn what_is_open_or_young_is_never_retired(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&Claim { lease: SHORT, ..claim("claimed") }).await);
    let unknown = new(ledger.admit(&claim("unknown")).await);
    ledger.mark_unknown(&unknown).await.unwrap();
    let old = new(ledger.admit(&claim("old")).await);
    ledger.settle(&old, &accepted("YWH-1"), None).await.unwrap();
    until(async || (ledger.retire(SHORT, 9).await.unwrap() == 1).then_some(())).await;
    let young = new(ledger.admit(&claim("young")).await);
    ledger.settle(&young, &accepted("YWH-2"), None).await.unwrap();
    assert_eq!(ledger.retire(LONG, 9).await.unwrap(), 0);
    for (key, state) in
        [("claimed", State::Claimed), ("unknown", State::Unknown), ("young", State::Settled)]
    {
        assert_eq!(ledger.find("bank", key).await.unwrap().unwrap().state, state, "{key}");
    }
}

async fn two_that_retire_at_once_retire_each_filing_once(store: &Store) {
    let replicas = store.replicas().await;
    for number in 0..40 {
        let entry = new(replicas[0].admit(&claim(&format!("k{number}"))).await);
        replicas[0].settle(&entry, &accepted(""), None).await.unwrap();
    }
    let mut retirers = JoinSet::new();
    for number in 0..6 {
        let ledger = Arc::clone(&replicas[number % replicas.len()]);
        retirers.spawn(async move {
            let mut count = 0;
            let end = Instant::now() + Duration::from_secs(1);
            while Instant::now() < end {
                let some = ledger.retire(SHORT, 4).await.unwrap();
                assert!(some <= 4);
                count += some;
                tokio::task::yield_now().await;
            }
            count
        });
    }
    assert_eq!(retirers.join_all().await.iter().sum::<u32>(), 40);
}

async fn a_dropped_call_leaves_a_ledger_that_works(store: &Store) {
    let ledger = store.open().await;
    for round in 0..40 {
        let (ledger, claim) = (Arc::clone(&ledger), claim(&format!("k{round}")));
        let call = tokio::spawn(async move { ledger.admit(&claim).await.map(drop) });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
        let _dropped_or_done = call.await;
    }
    for round in 0..40 {
        // It happened or it did not; one or the other, and the next is told.
        let admission = ledger.admit(&claim(&format!("k{round}"))).await.unwrap();
        assert!(matches!(admission, Admission::New(_) | Admission::InFlight { .. }));
    }
}

async fn everything_is_there_after_reopening(store: &Store) {
    let ledger = store.open().await;
    new(ledger.admit(&claim("claimed")).await);
    let entry = new(ledger.admit(&claim("unknown")).await);
    ledger.defer(&entry, LONG).await.unwrap();
    let entry = new(ledger.admit(&claim("settled")).await);
    ledger.settle(&entry, &accepted("YWH-1"), None).await.unwrap();
    let entry = new(ledger.admit(&claim("released")).await);
    ledger.release(&entry).await.unwrap();
    drop(ledger);

    let ledger = store.open().await;
    in_flight(ledger.admit(&claim("claimed")).await);
    assert!(due(&*ledger, "province").await.is_empty());
    assert_eq!(ask_first(ledger.admit(&claim("unknown")).await), entry_of("unknown", 2));
    settled(ledger.admit(&claim("settled")).await, &accepted("YWH-1"));
    assert_eq!(new(ledger.admit(&claim("released")).await), entry_of("released", 2));
    assert_eq!(ledger.find_case("bank", "YWH-1").await.unwrap().unwrap().key, "settled");
}

async fn odd_text_and_bytes_survive(store: &Store) {
    let ledger = store.open().await;
    let odd = Claim {
        institution: "银行's \"𠮷\"".into(),
        key: "'; DROP TABLE filing; --%_?1$1:key".into(),
        fingerprint: Fingerprint { digest: [0; 32], leaves: (0..=255).collect() },
        booked: Booked { amount_fen: Some(i64::MAX), parties: None },
        ..claim("")
    };
    let entry = new(ledger.admit(&odd).await);
    assert_eq!((&entry.institution, &entry.key), (&odd.institution, &odd.key));
    let other = Claim { fingerprint: fingerprint(1), ..odd.clone() };
    match ledger.admit(&other).await.unwrap() {
        Admission::Conflict { earlier } => assert_eq!(earlier, odd.fingerprint),
        admission => panic!("{admission:?}"),
    }
    // A lease and a delay beyond all dates, and none at all.
    ledger.defer(&entry, Duration::MAX).await.unwrap();
    let forever = Claim { lease: Duration::MAX, ..odd.clone() };
    assert_eq!(ask_first(ledger.admit(&forever).await).attempt, 2);
    in_flight(ledger.admit(&odd).await);
    new(ledger.admit(&Claim { lease: Duration::ZERO, ..claim("k") }).await);
    ask_first(ledger.admit(&claim("k")).await);
}

async fn the_last_cases_of_an_office_say_how_long_they_took(store: &Store) {
    let ledger = store.open().await;
    let registered = |case_id: &str, in_seconds: u64| Outcome {
        status: CaseStatus::Registered.into(),
        registered_at: Some((SystemTime::now() + Duration::from_secs(in_seconds)).into()),
        ..accepted(case_id)
    };
    let settle = async |claim: Claim, outcome: Outcome| {
        let entry = new(ledger.admit(&claim).await);
        ledger.settle(&entry, &outcome, None).await.unwrap();
    };
    settle(claim("an hour"), registered("1", 3_600)).await;
    settle(claim("not yet"), accepted("2")).await;
    settle(Claim { matter: "seizure".into(), ..claim("other") }, registered("3", 9)).await;
    settle(Claim { office: "1402".into(), ..claim("elsewhere") }, registered("4", 9)).await;
    settle(Claim { registry: "city".into(), ..claim("away") }, registered("5", 9)).await;
    settle(claim("two hours"), registered("6", 7_200)).await;
    let dated_early = Outcome { registered_at: Some(Timestamp::default()), ..registered("7", 0) };
    settle(claim("before it came"), dated_early).await;
    let past = PastCases {
        registry: "province".into(),
        office: "1401".into(),
        matter: "mortgage_registration".into(),
        within: LONG,
        limit: 9,
    };
    let hours = async |past: PastCases| {
        let taken = ledger.times_taken(&past).await.unwrap();
        taken.into_iter().map(|took| (took.as_secs() + 1_800) / 3_600).collect::<Vec<_>>()
    };
    assert_eq!(hours(past.clone()).await, [0, 2, 1], "the last first");
    assert_eq!(hours(PastCases { limit: 2, ..past.clone() }).await, [0, 2]);
    let within = Duration::from_millis(1);
    until(async || hours(PastCases { within, ..past.clone() }).await.is_empty().then_some(()))
        .await;
}

async fn ping_writes(store: &Store) {
    store.open().await.ping().await.unwrap();
}

/// Long enough never to run out in a test.
const LONG: Duration = Duration::from_secs(60);
/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(60);

fn claim(key: &str) -> Claim {
    Claim {
        institution: "bank".into(),
        key: key.into(),
        fingerprint: fingerprint(1),
        booked: Booked::default(),
        matter: "mortgage_registration".into(),
        registry: "province".into(),
        office: "1401".into(),
        lease: LONG,
        announced: false,
        guards: Vec::new(),
        corrects: None,
        waiting: None,
    }
}

fn of_loan(key: &str, loans: &[u8]) -> Claim {
    Claim { guards: guards(loans), ..claim(key) }
}

fn guards(loans: &[u8]) -> Vec<Guard> {
    loans.iter().map(|loan| Guard::of(&[*loan; 16])).collect()
}

fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint { digest: [number; 32], leaves: vec![number; 7] }
}

fn entry_of(key: &str, attempt: i64) -> Entry {
    Entry {
        institution: "bank".into(),
        key: key.into(),
        registry: "province".into(),
        office: "1401".into(),
        attempt,
    }
}

fn accepted(case_id: &str) -> Outcome {
    Outcome { case_id: case_id.into(), status: CaseStatus::Accepted.into(), ..Outcome::default() }
}

#[track_caller]
fn new(said: Result<Admission, LedgerError>) -> Entry {
    match said.unwrap() {
        Admission::New(entry) => entry,
        admission => panic!("not new: {admission:?}"),
    }
}

#[track_caller]
fn duplicate(said: Result<Admission, LedgerError>) -> Record {
    match said.unwrap() {
        Admission::Duplicate(holder) => holder,
        admission => panic!("no duplicate: {admission:?}"),
    }
}

#[track_caller]
fn ask_first(said: Result<Admission, LedgerError>) -> Entry {
    match said.unwrap() {
        Admission::AskFirst(entry) => entry,
        admission => panic!("not to be asked about first: {admission:?}"),
    }
}

#[track_caller]
fn in_flight(said: Result<Admission, LedgerError>) -> Duration {
    match said.unwrap() {
        Admission::InFlight { retry_after } => retry_after,
        admission => panic!("not in flight: {admission:?}"),
    }
}

#[track_caller]
fn settled(said: Result<Admission, LedgerError>, outcome: &Outcome) {
    match said.unwrap() {
        Admission::Settled(record) => assert_eq!(record.outcome.as_ref(), Some(outcome)),
        admission => panic!("not settled: {admission:?}"),
    }
}

/// Why it was not available, in the words an operator reads.
#[track_caller]
fn unavailable<T>(said: Result<T, LedgerError>) -> String {
    match said {
        Err(LedgerError::Unavailable(cause)) => {
            let first: Option<&(dyn std::error::Error + 'static)> = Some(&*cause);
            let causes = std::iter::successors(first, |cause| cause.source());
            causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        }
        Err(LedgerError::Corrupt(cause)) => panic!("corrupt: {cause}"),
        Ok(_) => panic!("available"),
    }
}

async fn due(ledger: &dyn Ledger, registry: &str) -> Vec<Entry> {
    ledger.claim_due(registry, 100, LONG).await.unwrap()
}

/// Asks until there is an answer. The store's clock is nobody's to turn, so time has to pass.
async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "nothing happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn open_postgres(url: String, statement_timeout: Duration) -> Arc<dyn Ledger> {
    let settings = LedgerSettings::Postgres(postgres_settings(url, statement_timeout));
    gateway::ledger::open(&settings).await.unwrap()
}
