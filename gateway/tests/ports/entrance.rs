//! Who is let in when certificates, authorities and revocation lists change under a port that stands, and who has to leave.

use std::fs;

use time::Duration;

use super::*;

/// Settings with a list, in force for a day, of these names' certificates.
fn with_list(revoked: &[&str]) -> impl FnOnce(&mut Listen, &Authority) {
    with_list_until(revoked, Duration::days(1), StaleCrls::Refuse)
}

fn with_list_until(
    revoked: &[&str],
    next: Duration,
    stale: StaleCrls,
) -> impl FnOnce(&mut Listen, &Authority) {
    move |listen, authority| {
        let file = listen.client_ca.with_file_name("list.crl");
        fs::write(&file, authority.revoked(revoked, next)).unwrap();
        (listen.client_crls, listen.stale_crls) = (vec![file], stale);
    }
}

impl House {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Why a bank does not get in; nothing, if it does and is answered.
    async fn refusal(&self, name: &str) -> Option<String> {
        let asked = async {
            let mut stream = self.connect(self.tcp, Some(name), &[]).await?;
            stream.write_all(b"0002hi").await?;
            let mut head = [0; 4];
            within(stream.read_exact(&mut head)).await
        };
        asked.await.err().map(|error| error.to_string())
    }

    /// Whether a connection still answers.
    async fn is_heard(stream: &mut TlsStream<TcpStream>) -> bool {
        let sent = stream.write_all(b"0002hi").await;
        let mut head = [0; 4];
        if sent.is_err() || within(stream.read_exact(&mut head)).await.is_err() {
            return false;
        }
        let length: usize = std::str::from_utf8(&head).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        within(stream.read_exact(&mut body)).await.is_ok()
    }
}

#[tokio::test]
async fn whoever_is_on_the_list_is_not_let_in() {
    let house = House::listening(Limits::default(), with_list(&["web.example"])).await;
    assert_eq!(house.refusal("line.example").await, None);
    let refused = house.connect(house.https, Some("web.example"), &["http/1.1"]).await;
    let told = match refused {
        Ok(mut stream) => within(stream.read_u8()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(told.to_string().contains("CertificateRevoked"), "{told}");
}

#[tokio::test]
async fn a_certificate_that_is_revoked_ends_its_connections_and_no_others() {
    let house = House::listening(Limits::default(), with_list(&[])).await;
    let (mut line, mut web, mut busy) = (house.line().await, house.web().await, house.web().await);
    assert!(House::is_heard(&mut line).await);
    within(house.desk.begun.notified()).await;
    let held = post("/file", "", "hold").replace("Connection: close\r\n", "");
    busy.write_all(held.as_bytes()).await.unwrap();
    within(house.desk.begun.notified()).await;

    assert!(!house.entrance.take().unwrap(), "nothing has changed");
    house.write("list.crl", &house.authority.revoked(&["web.example"], Duration::days(1)));
    assert!(house.entrance.take().unwrap());
    assert_eq!(to_end(&mut web).await, "", "closed, with nothing under way");
    house.desk.allowed.add_permits(1);
    assert!(to_end(&mut busy).await.contains("answer to hold"), "what was under way is answered");
    assert!(House::is_heard(&mut line).await, "another bank's connection stands");
    assert_eq!(house.refusal("line.example").await, None);
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_any_more_takes_its_banks_along() {
    let house = House::open(Limits::default()).await;
    let mut line = house.line().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let _other = Authority::new(elsewhere.path());
    fs::copy(elsewhere.path().join("ca.pem"), house.folder.path().join("ca.pem")).unwrap();
    assert!(house.entrance.take().unwrap());
    assert_eq!(to_end(&mut line).await, "");
    assert!(house.refusal("line.example").await.is_some());
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_whoever_comes_next_and_nobody_has_to_leave() {
    let house = House::open(Limits::default()).await;
    let mut line = house.line().await;
    let shown = |stream: &TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let before = shown(&line);
    house.authority.renew(house.folder.path());
    assert!(house.entrance.take().unwrap());
    assert!(House::is_heard(&mut line).await);
    assert_ne!(shown(&house.line().await), before);
}

#[tokio::test]
async fn files_that_cannot_be_used_change_nothing() {
    let house = House::listening(Limits::default(), with_list(&[])).await;
    let mut line = house.line().await;
    for name in ["list.crl", "ca.pem", "gateway.pem", "gateway.key"] {
        let file = house.folder.path().join(name);
        let before = fs::read_to_string(&file).unwrap();
        fs::write(&file, "half a fi").unwrap();
        let error = house.entrance.take().unwrap_err();
        assert_eq!(
            error.file(),
            if name == "list.crl" { house.folder.path().join("ca.pem") } else { file.clone() }
        );
        assert!(House::is_heard(&mut line).await);
        assert_eq!(house.refusal("line.example").await, None);
        fs::write(&file, before).unwrap();
        assert!(!house.entrance.take().unwrap(), "as it was");
    }
}

#[tokio::test]
async fn a_list_is_believed_for_as_long_as_settings_say() {
    let old = |stale| with_list_until(&["web.example"], -Duration::days(1), stale);
    let house = House::listening(Limits::default(), old(StaleCrls::Refuse)).await;
    assert!(house.refusal("line.example").await.is_some());
    let house = House::listening(Limits::default(), old(StaleCrls::Accept)).await;
    assert_eq!(house.refusal("line.example").await, None);
    assert!(house.refusal("web.example").await.is_some(), "what it said holds on");
}

#[tokio::test]
async fn an_authority_without_a_list_vouches_for_nobody_where_there_are_lists() {
    let house = House::listening(Limits::default(), |listen, authority| {
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Authority::new(elsewhere.path());
        with_list(&[])(listen, &other);
        let _ = authority;
    })
    .await;
    assert!(house.refusal("line.example").await.is_some());
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let house = House::open(Limits::default()).await;
    let mut line = house.line().await;
    let mut brief = house
        .connect_as(house.tcp, house.authority.client_until("line.example", Duration::seconds(2)))
        .await;
    assert!(House::is_heard(&mut brief).await && House::is_heard(&mut line).await);
    let ended = async {
        let mut byte = [0];
        tokio::select! {
            read = brief.read(&mut byte) => read.unwrap_or(0),
            () = async {
                loop {
                    house.entrance.see_out();
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            } => unreachable!("it never ends"),
        }
    };
    assert_eq!(within(ended).await, 0);
    assert!(House::is_heard(&mut line).await);
}

impl House {
    /// Settings name these institutions from now on.
    fn know(&self, institutions: &[Arc<Institution>]) {
        self.turnstile.know(institutions);
        self.entrance.know(Identities::new(institutions, &[]));
    }
}

#[tokio::test]
async fn an_institution_that_is_left_out_of_settings_leaves_and_no_other() {
    let house = House::open(Limits::default()).await;
    let (mut line, mut web, mut busy) = (house.line().await, house.web().await, house.web().await);
    assert!(House::is_heard(&mut line).await);
    within(house.desk.begun.notified()).await;
    let held = post("/file", "", "hold").replace("Connection: close\r\n", "");
    busy.write_all(held.as_bytes()).await.unwrap();
    within(house.desk.begun.notified()).await;

    house.know(&["line", "mute"].map(institution));
    assert_eq!(to_end(&mut web).await, "", "closed, with nothing under way");
    house.desk.allowed.add_permits(1);
    assert!(to_end(&mut busy).await.contains("answer to hold"), "what was under way is answered");
    assert_problem(
        &said(&mut house.web().await, &post("/file", "", "x")).await,
        403,
        "IDENTITY_UNKNOWN",
    );
    assert!(House::is_heard(&mut line).await, "another bank's connection stands");

    house.know(&BANKS.map(institution));
    let told = said(&mut house.web().await, &post("/file", "", "back")).await;
    assert!(told.contains("answer to back"), "{told}");
}

#[tokio::test]
async fn an_institution_of_which_settings_say_something_else_comes_again_and_has_that() {
    let house = House::open(Limits::default()).await;
    let (mut line, mut web) = (house.line().await, house.web().await);
    assert!(House::is_heard(&mut line).await);
    let mut changed = Institution::clone(&institution("line"));
    changed.connections_max = Some(1);
    house.know(&[institution("web"), Arc::new(changed)]);
    assert_eq!(to_end(&mut line).await, "");
    let mut line = house.line().await;
    assert!(House::is_heard(&mut line).await);
    assert_eq!(to_end(&mut house.line().await).await, "", "more than it may have now");
    web.write_all(post("/file", "", "on").as_bytes()).await.unwrap();
    assert!(to_end(&mut web).await.contains("answer to on"), "nothing is said of this one");
}
