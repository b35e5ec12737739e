//! A Postgres as it really is: one that fails over, restarts, cuts connections, has no room, or is busy with others.

use std::{sync::Arc, time::Duration};

use conformance_tests::{
    pki::{Names, Pki},
    postgres_server::PostgresServer,
};
use futures_util::future::join_all;
use gateway::ledger::{
    Claim, Fingerprint, Ledger, LedgerError, LedgerSettings, PostgresSettings, PostgresTls, State,
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use super::{
    accepted, claim, due, duplicate, entry_of, fingerprint, in_flight, new, of_loan, settled,
    store::{PATIENT, postgres_settings, shared_server},
    until,
};

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
        assert_eq!(ledger.find_case("bank", round).await.unwrap()[0].key, round);
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

/// Why it was not available, in the words an operator reads.
#[track_caller]
fn unavailable<T>(said: Result<T, LedgerError>) -> String {
    match said {
        Err(LedgerError::Unavailable(cause)) => cause.to_string(),
        Err(LedgerError::Corrupt(cause)) => panic!("corrupt: {cause}"),
        Ok(_) => panic!("available"),
    }
}

async fn open_postgres(url: String, statement_timeout: Duration) -> Arc<dyn Ledger> {
    let settings = LedgerSettings::Postgres(postgres_settings(url, statement_timeout));
    gateway::ledger::open(&settings).await.unwrap()
}
