//! Banks whose TLS ends at a proxy in front: whom it speaks for, what of it is believed, and that nobody else is.

use gateway::{
    client_cert,
    settings::{BankProxy, Chains},
};
use time::Duration;

use super::*;

const PROXY: &str = "proxy.example";

/// Settings with a proxy in front of the ports.
pub(crate) fn with_proxy(chains: Chains) -> impl FnOnce(&mut Listen, &Authority) {
    move |listen, _| {
        listen.proxies = vec![BankProxy {
            name: "front".to_owned(),
            certificate_issuer: "CN=Authority".to_owned(),
            certificate_san: PROXY.to_owned(),
            institutions: vec!["web".to_owned(), "mute".to_owned()],
            chains,
        }];
    }
}

/// The header line that tells of a certificate for `name`.
fn telling(authority: &Authority, name: &str) -> String {
    line(&authority.shown(name, Duration::days(1)))
}

pub(crate) fn line(der: &[u8]) -> String {
    format!("Client-Cert: {}\r\n", client_cert::written(der).unwrap().to_str().unwrap())
}

impl House {
    pub(crate) async fn behind(chains: Chains) -> Self {
        Self::listening(Limits::default(), with_proxy(chains)).await
    }

    /// A connection of the proxy.
    async fn front(&self) -> TlsStream<TcpStream> {
        self.connect(self.https, Some(PROXY), &["http/1.1"]).await.unwrap()
    }

    /// What a request through the proxy with these header lines is answered.
    pub(crate) async fn through(&self, path: &str, more: &str) -> String {
        said(&mut self.front().await, &post(path, more, "x")).await
    }
}

/// Another authority, which the gateway does not believe though it bears the same name.
fn stranger() -> Authority {
    Authority::new(tempfile::tempdir().unwrap().path())
}

#[tokio::test]
async fn each_request_of_a_proxy_is_the_banks_whose_certificate_it_tells_of() {
    let house = House::behind(Chains::Verified).await;
    let mut front = house.front().await;
    let first = post("/file", &telling(&house.authority, "web.example"), "one");
    let first = first.replace("Connection: close\r\n", "");
    front.write_all(first.as_bytes()).await.unwrap();
    within(house.desk.begun.notified()).await;
    let mute = telling(&house.authority, "mute.example");
    let both = said(&mut front, &post("/file", &mute, "two")).await;
    let (one, two) = both.split_once("answer to one in").expect("the first bank is answered");
    assert!(one.starts_with("HTTP/1.1 200"), "{one}");
    let two = two.split_once("HTTP/1.1").map(|(_, rest)| format!("HTTP/1.1{rest}")).unwrap();
    assert_problem(&two, 404, "PATH_UNKNOWN");
    assert_eq!(house.desk.finished.load(Ordering::SeqCst), 1, "the other has no such path");
}

#[tokio::test]
async fn what_a_bank_says_of_itself_is_not_believed() {
    let house = House::behind(Chains::Verified).await;
    let other = telling(&house.authority, "mute.example");
    let answer = said(&mut house.web().await, &post("/file", &other, "x")).await;
    assert!(answer.contains("answer to x in"), "it is who its own certificate says: {answer}");
    let mut nobody = house.connect(house.https, Some("stranger.example"), &[]).await.unwrap();
    let web = telling(&house.authority, "web.example");
    assert_problem(&said(&mut nobody, &post("/file", &web, "x")).await, 403, "IDENTITY_UNKNOWN");
}

#[tokio::test]
async fn a_proxy_speaks_for_nobody_without_one_good_certificate_of_a_bank() {
    let house = House::behind(Chains::Verified).await;
    let own = |name, left| line(&house.authority.shown(name, left));
    let good = own("web.example", Duration::days(1));
    for (told, why) in [
        (String::new(), "none"),
        (format!("{good}{good}"), "two"),
        ("Client-Cert: dGVzdA==\r\n".to_owned(), "no byte sequence"),
        ("Client-Cert: :dGVzdA==:\r\n".to_owned(), "no certificate"),
        (own("web.example", -Duration::days(1)), "run out"),
        (own("nobody.example", Duration::days(1)), "in no settings"),
        (own("line.example", Duration::days(1)), "of a bank that it does not speak for"),
        (own(PROXY, Duration::days(1)), "its own"),
        (telling(&stranger(), "web.example"), "of an authority that is not believed"),
    ] {
        assert_problem(&house.through("/file", &told).await, 403, "IDENTITY_UNKNOWN");
        assert_eq!(house.desk.finished.load(Ordering::SeqCst), 0, "{why}");
    }
    assert!(house.through("/file", &good).await.contains("answer to x"));
}

#[tokio::test]
async fn a_revoked_certificate_is_not_good_through_a_proxy_either_and_a_revoked_proxy_leaves() {
    let lists = |listen: &mut Listen, authority: &Authority| {
        with_proxy(Chains::Verified)(listen, authority);
        let file = listen.client_ca.with_file_name("list.crl");
        std::fs::write(&file, authority.revoked(&["web.example"], Duration::days(1))).unwrap();
        listen.client_crls = vec![file];
    };
    let house = House::listening(Limits::default(), lists).await;
    let web = telling(&house.authority, "web.example");
    assert_problem(&house.through("/file", &web).await, 403, "IDENTITY_UNKNOWN");
    let mute = telling(&house.authority, "mute.example");
    assert_problem(&house.through("/file", &mute).await, 404, "PATH_UNKNOWN");

    let mut front = house.front().await;
    let list = house.authority.revoked(&[PROXY], Duration::days(1));
    std::fs::write(house.folder.path().join("list.crl"), list).unwrap();
    assert!(house.entrance.take().unwrap());
    assert_eq!(to_end(&mut front).await, "");
}

#[tokio::test]
async fn where_the_proxy_vouches_only_pin_and_time_are_looked_at() {
    let house = House::behind(Chains::Vouched).await;
    let other = stranger();
    let told = telling(&other, "web.example");
    assert!(house.through("/file", &told).await.contains("answer to x"));
    let old = line(&other.shown("web.example", -Duration::days(1)));
    assert_problem(&house.through("/file", &old).await, 403, "IDENTITY_UNKNOWN");
    let nobody = telling(&other, "nobody.example");
    assert_problem(&house.through("/file", &nobody).await, 403, "IDENTITY_UNKNOWN");
}

#[tokio::test]
async fn a_proxy_has_no_business_at_a_port_without_header_fields() {
    let house = House::behind(Chains::Verified).await;
    let mut front = house.connect(house.tcp, Some(PROXY), &[]).await.unwrap();
    assert_eq!(to_end(&mut front).await, "");
}

#[tokio::test]
async fn proxies_leave_places_for_those_who_come_by_themselves() {
    let limits = Limits { connections_max: 2, proxy_connections_max: 1, ..Limits::default() };
    let house = House::listening(limits, with_proxy(Chains::Verified)).await;
    let mut front = house.front().await;
    let web = telling(&house.authority, "web.example");
    let first = post("/file", &web, "one").replace("Connection: close\r\n", "");
    front.write_all(first.as_bytes()).await.unwrap();
    within(house.desk.begun.notified()).await;
    assert_eq!(to_end(&mut house.front().await).await, "", "a second connection of a proxy");
    let text = String::from_utf8(house.metrics.text().unwrap()).unwrap();
    assert!(text.contains(r#"turned_away_total{port="https",why="full"} 1"#), "{text}");
    let told = said(&mut house.web().await, &post("/file", "", "two")).await;
    assert!(told.contains("answer to two"), "a bank has a place beside it: {told}");
}
