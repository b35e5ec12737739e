//! The bank ports over real sockets and real mutual TLS: who is let in, what is refused before anything is read, and
//! that nothing in flight is lost. A double stands behind the ports, so that a test can hold an exchange.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adapters::wire::{Charset, HttpRoute, Media, Prefix, Wire};
use bytes::Bytes;
use gateway::{
    bank_port::{BankPort, Desk},
    contracts::{Door, NoReader},
    entrance::Entrance,
    exchange::{Answer, AnswerKind, TransportFault},
    identity::{Identities, VerifiedBank},
    limits::Limits,
    settings::{Institution, InstitutionKind, InstitutionMode, Listen, StaleCrls},
    telemetry::{Arrival, Metrics},
    tls::Protocol,
    turnstile::Turnstile,
};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

#[path = "ports/authority.rs"]
mod authority;
#[path = "ports/console.rs"]
mod console;
#[path = "ports/entrance.rs"]
mod entrance;
#[path = "ports/floods.rs"]
mod floods;
#[path = "ports/impostor.rs"]
mod impostor;
#[path = "ports/proxy.rs"]
mod proxy;
#[path = "ports/unread.rs"]
mod unread;
use authority::Authority;

/// How long anything may take before a test counts as hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers `answer to MESSAGE`; a message that says `hold` only once a test allows it.
struct Double {
    wires: HashMap<&'static str, Arc<Wire>>,
    begun: Notify,
    allowed: Semaphore,
    finished: AtomicUsize,
}

impl Double {
    fn framed(wire: &Wire, text: &str) -> Vec<u8> {
        wire.prefix.map_or_else(
            || text.as_bytes().to_vec(),
            |prefix| prefix.put_on(text.as_bytes()).unwrap(),
        )
    }
}

impl Desk for Double {
    type Agreed = Arc<Wire>;

    fn agreed(&self, bank: &VerifiedBank, door: Door<'_>) -> Result<Arc<Wire>, NoReader> {
        let wire = self.wires.get(bank.id()).ok_or(NoReader::Port)?;
        match (door, &wire.http) {
            (Door::Https { path }, Some(route)) if path != route.path => Err(NoReader::Path),
            (Door::Https { .. }, None) | (Door::Tcp, Some(_)) => Err(NoReader::Port),
            (Door::Https { .. }, Some(_)) | (Door::Tcp, None) => Ok(Arc::clone(wire)),
        }
    }

    fn description(&self, _: &VerifiedBank) -> Option<Bytes> {
        None
    }

    async fn exchange(
        self: Arc<Self>,
        _bank: VerifiedBank,
        wire: Arc<Wire>,
        message: Bytes,
        arrival: Arrival,
    ) -> Answer {
        let message = String::from_utf8(message.to_vec()).unwrap();
        assert!(!message.contains("break"), "told to break");
        self.begun.notify_one();
        if message.contains("hold") {
            self.allowed.acquire().await.unwrap().forget();
        }
        self.finished.fetch_add(1, Ordering::SeqCst);
        let trace = arrival.trace_id();
        Answer {
            bytes: Self::framed(&wire, &format!("answer to {message} in {trace}")),
            kind: AnswerKind::Outcome,
        }
    }

    fn refuse(&self, wire: &Arc<Wire>, fault: TransportFault) -> Answer {
        if wire.http.as_ref().is_some_and(|route| route.path == "/mute") {
            return Answer { bytes: Vec::new(), kind: AnswerKind::None };
        }
        Answer { bytes: Self::framed(wire, &format!("{fault:?}")), kind: AnswerKind::Refusal }
    }
}

/// The institutions that are known.
const BANKS: [&str; 3] = ["web", "line", "mute"];

fn institution(id: &str) -> Arc<Institution> {
    Arc::new(Institution {
        id: id.to_owned(),
        name: id.to_owned(),
        kind: InstitutionKind::Bank,
        contract: id.to_owned(),
        mode: InstitutionMode::Production,
        certificate_issuer: "CN=Authority".to_owned(),
        certificate_san: format!("{id}.example"),
        codes: Vec::new(),
        mortgagee_names: Vec::new(),
        mortgagee_codes: Vec::new(),
        exchanges_max: None,
        connections_max: None,
        messages_per_second_max: None,
        messages_burst_max: None,
    })
}

/// A gateway's ports on this machine, and the authority for certificates that they trust.
struct House {
    folder: TempDir,
    authority: Authority,
    desk: Arc<Double>,
    entrance: Arc<Entrance<Identities>>,
    turnstile: Arc<Turnstile>,
    port: Arc<BankPort<Double>>,
    metrics: Metrics,
    https: SocketAddr,
    tcp: SocketAddr,
}

impl House {
    async fn open(limits: Limits) -> Self {
        Self::listening(limits, |_, _| {}).await
    }

    /// With other settings of the ports; the authority's files are in the folder of `client_ca`.
    async fn listening(limits: Limits, change: impl FnOnce(&mut Listen, &Authority)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let wire = |prefix, http| {
            let plain = Wire::new(Media::Json, Charset::named("UTF-8").unwrap());
            Arc::new(Wire { prefix, http, ..plain })
        };
        let route = |path| Some(HttpRoute::new(path, "application/json;charset=UTF-8"));
        let desk = Arc::new(Double {
            wires: HashMap::from([
                ("web", wire(None, route("/file"))),
                ("mute", wire(None, route("/mute"))),
                ("line", wire(Prefix::new(4, false), None)),
            ]),
            begun: Notify::new(),
            allowed: Semaphore::new(0),
            finished: AtomicUsize::new(0),
        });
        let institutions = BANKS.map(institution);
        let file = |name| folder.path().join(name);
        let mut listen = Listen {
            https: None,
            tcp: None,
            certificate: file("gateway.pem"),
            key: file("gateway.key"),
            client_ca: file("ca.pem"),
            client_crls: Vec::new(),
            stale_crls: StaleCrls::Refuse,
            reload: Duration::from_secs(1),
            proxies: Vec::new(),
        };
        change(&mut listen, &authority);
        let identities = Identities::new(&institutions, &listen.proxies);
        let entrance = Entrance::open((&listen).into(), identities).unwrap();
        let metrics = Metrics::new().unwrap();
        let turnstile = Arc::new(Turnstile::new(&limits, &institutions, &metrics));
        let port = BankPort::new(
            Arc::clone(&desk),
            Arc::clone(&entrance),
            Arc::clone(&turnstile),
            limits,
            metrics.clone(),
        );
        let mut addresses = Vec::new();
        for protocol in [Protocol::Https, Protocol::Tcp] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tokio::spawn(Arc::clone(&port).serve(listener, protocol));
        }
        let (https, tcp) = (addresses[0], addresses[1]);
        Self { folder, authority, desk, entrance, turnstile, port, metrics, https, tcp }
    }

    /// Connects with a certificate for `name`, or with none.
    async fn connect(
        &self,
        to: SocketAddr,
        name: Option<&str>,
        alpn: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = self.authority.client(name, alpn);
        let tcp = TcpStream::connect(to).await?;
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(config).connect(name, tcp)).await
    }

    /// Connects as this client.
    async fn connect_as(
        &self,
        to: SocketAddr,
        client: Arc<rustls::ClientConfig>,
    ) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(to).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(client).connect(name, tcp)).await.unwrap()
    }

    /// A connection of the bank that speaks HTTPS.
    async fn web(&self) -> TlsStream<TcpStream> {
        self.connect(self.https, Some("web.example"), &["http/1.1"]).await.unwrap()
    }

    /// A connection of the bank that speaks length-prefixed TCP.
    async fn line(&self) -> TlsStream<TcpStream> {
        self.connect(self.tcp, Some("line.example"), &[]).await.unwrap()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took too long")
}

/// Reads until the far side closes; whether it says goodbye means nothing here.
async fn to_end(stream: &mut TlsStream<TcpStream>) -> String {
    let mut bytes = Vec::new();
    let _end = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8(bytes).unwrap()
}

/// Sends one HTTP/1.1 request as it stands and reads all that comes.
async fn said(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    to_end(stream).await
}

fn post(path: &str, more: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn assert_problem(response: &str, status: u16, code: &str) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    assert!(response.contains("content-type: application/problem+json\r\n"), "{response}");
    let body = response.split_once("\r\n\r\n").unwrap().1;
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&status.into(), &code.into()),
        "{response}"
    );
    assert_eq!(problem["sent"], if code == "ANSWER_LOST" { "UNKNOWN" } else { "NO" });
}

async fn frame(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = [0; 4];
    within(stream.read_exact(&mut head)).await.unwrap();
    let length: usize = std::str::from_utf8(&head).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    within(stream.read_exact(&mut body)).await.unwrap();
    String::from_utf8(body).unwrap()
}

const NO_TRACE: &str = "00000000000000000000000000000000";

#[tokio::test]
async fn without_a_client_certificate_the_handshake_fails() {
    let house = House::open(Limits::default()).await;
    for address in [house.https, house.tcp] {
        // In TLS 1.3 the client believes the handshake done before the server has looked: reading tells it.
        let refused = match house.connect(address, None, &[]).await {
            Ok(mut stream) => within(stream.read_u8()).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
    }
    let text = String::from_utf8(house.metrics.text().unwrap()).unwrap();
    assert!(text.contains(r#"turned_away_total{port="https",why="handshake_failed"} 1"#), "{text}");
}

#[tokio::test]
async fn a_certificate_nobody_registered_is_told_so_over_https_and_closed_on_over_tcp() {
    let house = House::open(Limits::default()).await;
    let mut stream = house.connect(house.https, Some("stranger.example"), &[]).await.unwrap();
    assert_problem(&said(&mut stream, &post("/file", "", "x")).await, 403, "IDENTITY_UNKNOWN");
    let mut stream = house.connect(house.tcp, Some("stranger.example"), &[]).await.unwrap();
    assert_eq!(to_end(&mut stream).await, "");
    assert_eq!(house.desk.finished.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_message_is_answered_over_http1_on_a_connection_that_stands() {
    let house = House::open(Limits::default()).await;
    let mut stream = house.web().await;
    let first = "POST /file?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: 3\r\n\r\none";
    stream.write_all(first.as_bytes()).await.unwrap();
    let response = said(&mut stream, &post("/file", "", "two")).await;
    assert!(response.contains("content-type: application/json;charset=UTF-8\r\n"), "{response}");
    assert!(response.contains("answer to one in 0af7651916cd43dd8448eb211c80319c"), "{response}");
    assert!(response.ends_with(&format!("answer to two in {NO_TRACE}")), "{response}");
}

#[tokio::test]
async fn messages_are_answered_side_by_side_over_http2() {
    let house = House::open(Limits::default()).await;
    let stream =
        house.connect(house.https, Some("web.example"), &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let send = |path: &str, body: &'static str| {
        let request = http::Request::post(format!("https://localhost{path}"))
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .unwrap();
        let mut sender = sender.clone();
        async move {
            let response = within(sender.send_request(request)).await.unwrap();
            let status = response.status().as_u16();
            let body = within(response.into_body().collect()).await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    };
    let held = tokio::spawn(send("/file", "hold"));
    within(house.desk.begun.notified()).await;
    assert_eq!(send("/file", "free").await, (200, format!("answer to free in {NO_TRACE}")));
    assert_eq!(send("/other", "lost").await.0, 404);
    house.desk.allowed.add_permits(1);
    assert_eq!(held.await.unwrap().0, 200);
    drop(sender);
    within(driver).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_as_a_problem() {
    let house = House::open(Limits { body_bytes_max: 8, ..Limits::default() }).await;
    let get = "GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let chunked = "POST /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\naaaaa\r\n5\r\nbbbbb\r\n0\r\n\r\n";
    for (request, status, code) in [
        (post("/other", "", "x"), 404, "PATH_UNKNOWN"),
        (get.to_owned(), 405, "METHOD_NOT_ALLOWED"),
        (post("/file", "Content-Type: text/plain\r\n", "x"), 415, "MEDIA_TYPE_UNSUPPORTED"),
        (post("/file", "Content-Encoding: gzip\r\n", "x"), 415, "MEDIA_TYPE_UNSUPPORTED"),
        (post("/file", "", "123456789"), 413, "MESSAGE_TOO_LARGE"),
        (chunked.to_owned(), 413, "MESSAGE_TOO_LARGE"),
    ] {
        assert_problem(&said(&mut house.web().await, &request).await, status, code);
    }
    let mut stream = house.connect(house.https, Some("line.example"), &[]).await.unwrap();
    assert_problem(&said(&mut stream, &post("/file", "", "x")).await, 404, "PORT_UNUSED");
    assert_eq!(house.desk.finished.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_exchange_that_breaks_is_told_as_lost_and_the_port_goes_on() {
    let house = House::open(Limits::default()).await;
    assert_problem(
        &said(&mut house.web().await, &post("/file", "", "break")).await,
        500,
        "ANSWER_LOST",
    );
    assert!(said(&mut house.web().await, &post("/file", "", "on")).await.contains("answer to on"));
    let mut stream = house.line().await;
    stream.write_all(b"0005break").await.unwrap();
    assert_eq!(to_end(&mut stream).await, "");
}

#[tokio::test]
async fn slow_callers_are_not_waited_for() {
    let short = Duration::from_millis(100);
    let limits =
        Limits { header_max: short, body_max: short, handshake_max: short, ..Limits::default() };
    let house = House::open(limits).await;
    // Half a head: closed without a word.
    assert_eq!(said(&mut house.web().await, "POST /file HTTP/1.1\r\nHost: loc").await, "");
    // Half a body.
    let half = post("/file", "", "12345").replace("12345", "12");
    assert_problem(&said(&mut house.web().await, &half).await, 408, "MESSAGE_TOO_SLOW");
    // Half a prefix, and half a message.
    for half in ["00", "0005ab"] {
        let mut stream = house.line().await;
        stream.write_all(half.as_bytes()).await.unwrap();
        assert_eq!(to_end(&mut stream).await, "0007TooSlow");
    }
    // No handshake at all.
    let mut silent = TcpStream::connect(house.tcp).await.unwrap();
    assert_eq!(within(silent.read(&mut [0; 8])).await.unwrap(), 0);
}

#[tokio::test]
async fn one_address_shuts_no_port() {
    let limits = Limits { handshakes_max: 2, peer_handshakes_max: 1, ..Limits::default() };
    let house = House::open(limits).await;
    let silent = TcpStream::connect(house.tcp).await.unwrap();
    let mut more = TcpStream::connect(house.tcp).await.unwrap();
    assert_eq!(within(more.read(&mut [0; 8])).await.unwrap(), 0, "it has as many as it may");
    let text = String::from_utf8(house.metrics.text().unwrap()).unwrap();
    assert!(text.contains(r#"turned_away_total{port="tcp",why="peer_full"} 1"#), "{text}");
    // From another address, as 127.0.0.0/8 is all this machine's.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let tcp = socket.connect(house.tcp).await.unwrap();
    let client = TlsConnector::from(house.authority.client(Some("line.example"), &[]));
    let name = ServerName::try_from("localhost").unwrap();
    let mut line = within(client.connect(name, tcp)).await.unwrap();
    line.write_all(b"0003one").await.unwrap();
    assert!(frame(&mut line).await.contains("answer to 0003one"));
    drop(silent);
}

#[tokio::test]
async fn a_stranger_who_is_told_so_holds_nobody_up() {
    let house = House::open(Limits { handshakes_max: 1, ..Limits::default() }).await;
    let stranger = async || house.connect(house.https, Some("stranger.example"), &[]).await;
    let mut told = stranger().await.unwrap();
    let answer = said(&mut house.web().await, &post("/file", "", "on")).await;
    assert!(answer.contains("answer to on"), "{answer}");
    // So many are told at a time, and no more.
    assert_eq!(to_end(&mut stranger().await.unwrap()).await, "");
    assert_problem(&said(&mut told, &post("/file", "", "x")).await, 403, "IDENTITY_UNKNOWN");
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_closed_but_not_while_an_answer_is_due() {
    let limits = Limits {
        idle_max: Duration::from_millis(200),
        header_max: Duration::from_millis(50),
        ..Limits::default()
    };
    let house = House::open(limits).await;
    assert_eq!(to_end(&mut house.web().await).await, "");
    assert_eq!(to_end(&mut house.line().await).await, "");
    let mut waiting = house.web().await;
    waiting
        .write_all(post("/file", "", "hold").replace("Connection: close\r\n", "").as_bytes())
        .await
        .unwrap();
    within(house.desk.begun.notified()).await;
    // Other connections' whole idle times pass meanwhile.
    assert_eq!(to_end(&mut house.line().await).await, "");
    assert_eq!(to_end(&mut house.line().await).await, "");
    house.desk.allowed.add_permits(1);
    assert!(to_end(&mut waiting).await.contains("answer to hold"));
}

#[tokio::test]
async fn length_prefixed_messages_are_answered_one_by_one() {
    let house = House::open(Limits { body_bytes_max: 100, ..Limits::default() }).await;
    let mut stream = house.line().await;
    stream.write_all(b"0003one0003two").await.unwrap();
    assert_eq!(frame(&mut stream).await, format!("answer to 0003one in {NO_TRACE}"));
    assert_eq!(frame(&mut stream).await, format!("answer to 0003two in {NO_TRACE}"));
    stream.shutdown().await.unwrap();
    assert_eq!(to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_broken_frame_is_answered_and_then_closed_on() {
    let house = House::open(Limits { body_bytes_max: 100, ..Limits::default() }).await;
    for (sent, expected) in [
        // The exchange is given what there is, and answers in the bank's envelope.
        ("12x4 one", format!("answer to 12x4 one in {NO_TRACE}")),
        ("0009short", format!("answer to 0009short in {NO_TRACE}")),
        ("00", format!("answer to 00 in {NO_TRACE}")),
        ("0101", "TooLarge { limit: 100 }".to_owned()),
    ] {
        let mut stream = house.line().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(frame(&mut stream).await, expected);
        assert_eq!(to_end(&mut stream).await, "");
    }
    // The answer is heard although far more was sent than is read.
    let mut stream = house.line().await;
    stream.write_all(format!("9999{}", "x".repeat(9999)).as_bytes()).await.unwrap();
    assert_eq!(frame(&mut stream).await, "TooLarge { limit: 100 }");
    // And a bank whose contract is for HTTPS is not served here.
    let mut stream = house.connect(house.tcp, Some("web.example"), &[]).await.unwrap();
    assert_eq!(to_end(&mut stream).await, "");
}

#[tokio::test]
async fn only_so_many_connections_stand() {
    let house = House::open(Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = house.line().await;
    first.write_all(b"0003one").await.unwrap();
    frame(&mut first).await;
    assert_eq!(to_end(&mut house.line().await).await, "");
    let text = String::from_utf8(house.metrics.text().unwrap()).unwrap();
    assert!(text.contains(r#"turned_away_total{port="tcp",why="full"} 1"#), "{text}");
    assert!(text.contains(r#"directlink_connections{port="tcp"} 1"#), "{text}");
}

#[tokio::test]
async fn what_may_not_come_in_now_is_refused_at_once_and_takes_nothing_from_another_bank() {
    let limits = Limits { institution_exchanges_max: 1, ..Limits::default() };
    let house = House::open(limits).await;
    let busy = "Busy(Institution { retry_after: 1s })";

    // In the bank's own envelope, and the connection goes on.
    let mut first = house.line().await;
    first.write_all(b"0004hold").await.unwrap();
    within(house.desk.begun.notified()).await;
    let mut second = house.line().await;
    second.write_all(b"0003one").await.unwrap();
    assert_eq!(frame(&mut second).await, busy);
    // Read to its end and past it, though nothing of it is kept.
    second.write_all(format!("9999{}", "x".repeat(9_999)).as_bytes()).await.unwrap();
    assert_eq!(frame(&mut second).await, busy);
    let answer = said(&mut house.web().await, &post("/file", "", "on")).await;
    assert!(answer.contains("answer to on"), "{answer}");
    house.desk.allowed.add_permits(1);
    assert!(frame(&mut first).await.contains("answer to 0004hold"));
    second.write_all(b"0003two").await.unwrap();
    assert!(frame(&mut second).await.contains("answer to 0003two"));
    within(house.desk.begun.notified()).await; // Of those that are answered by now.

    // Over HTTPS too.
    let mut first = house.web().await;
    first.write_all(post("/file", "", "hold").as_bytes()).await.unwrap();
    within(house.desk.begun.notified()).await;
    let told = said(&mut house.web().await, &post("/file", "", "x")).await;
    assert!(told.starts_with("HTTP/1.1 200") && told.contains(busy), "{told}");

    // As a problem where no envelope can be written.
    let web =
        async || house.connect(house.https, Some("mute.example"), &["http/1.1"]).await.unwrap();
    let mut other = web().await;
    other.write_all(post("/mute", "", "hold").as_bytes()).await.unwrap();
    within(house.desk.begun.notified()).await;
    let told = said(&mut web().await, &post("/mute", "", "x")).await;
    assert!(told.to_lowercase().contains("retry-after: 1\r\n"), "{told}");
    assert_problem(&told, 429, "INSTITUTION_BUSY");

    let text = String::from_utf8(house.metrics.text().unwrap()).unwrap();
    assert!(text.contains(r#"turned_back_total{institution="line",why="too_many"} 2"#), "{text}");
    assert!(text.contains("directlink_exchanges_in_flight 2"), "{text}");
    house.desk.allowed.add_permits(2);
    to_end(&mut first).await;
    to_end(&mut other).await;
}

#[tokio::test]
async fn a_message_that_does_not_come_whole_has_a_place_meanwhile() {
    let house = House::open(Limits { institution_exchanges_max: 1, ..Limits::default() }).await;
    let mut slow = house.line().await;
    slow.write_all(b"0004sl").await.unwrap();
    // Until its prefix is read, the other is let in.
    let is_let_in = async || {
        let mut other = house.line().await;
        other.write_all(b"0003one").await.unwrap();
        !frame(&mut other).await.starts_with("Busy")
    };
    within(async { while is_let_in().await {} }).await;
    slow.write_all(b"ow").await.unwrap();
    assert!(frame(&mut slow).await.contains("answer to 0004slow"));
}

#[tokio::test]
async fn all_that_is_asked_over_https_passes_the_turnstile() {
    let house = House::open(Limits { institution_exchanges_max: 1, ..Limits::default() }).await;
    let mut first = house.web().await;
    first.write_all(post("/file", "", "hold").as_bytes()).await.unwrap();
    within(house.desk.begun.notified()).await;
    let told = said(&mut house.web().await, &post("/other", "", "x")).await;
    assert_problem(&told, 429, "INSTITUTION_BUSY");
    house.desk.allowed.add_permits(1);
    to_end(&mut first).await;
}

#[tokio::test]
async fn a_gateway_that_is_full_says_so_at_once() {
    let house = House::open(Limits { exchanges_max: 1, ..Limits::default() }).await;
    let mut line = house.line().await;
    line.write_all(b"0004hold").await.unwrap();
    within(house.desk.begun.notified()).await;
    let mute = house.connect(house.https, Some("mute.example"), &["http/1.1"]);
    let told = said(&mut mute.await.unwrap(), &post("/mute", "", "x")).await;
    assert_problem(&told, 503, "GATEWAY_BUSY");
    house.desk.allowed.add_permits(1);
    frame(&mut line).await;
    let told = said(&mut house.web().await, &post("/file", "", "on")).await;
    assert!(told.contains("answer to on"), "{told}");
}

#[tokio::test]
async fn a_bank_has_only_so_many_connections() {
    let limits = Limits { institution_connections_max: 1, ..Limits::default() };
    let house = House::open(limits).await;
    let mut first = house.line().await;
    first.write_all(b"0003one").await.unwrap();
    frame(&mut first).await;
    assert_eq!(to_end(&mut house.line().await).await, "");
    let told = said(&mut house.web().await, &post("/file", "", "on")).await;
    assert!(told.contains("answer to on"), "another bank's stand: {told}");
    let text = String::from_utf8(house.metrics.text().unwrap()).unwrap();
    assert!(text.contains(r#"turned_away_total{port="tcp",why="institution_full"} 1"#), "{text}");
}

#[tokio::test]
async fn a_bank_that_hangs_up_does_not_cut_its_exchange_short() {
    let house = House::open(Limits::default()).await;
    let mut stream = house.line().await;
    stream.write_all(b"0004hold").await.unwrap();
    within(house.desk.begun.notified()).await;
    drop(stream);
    let mut stream = house.web().await;
    stream.write_all(post("/file", "", "hold").as_bytes()).await.unwrap();
    within(house.desk.begun.notified()).await;
    drop(stream);
    house.desk.allowed.add_permits(2);
    house.port.stop();
    assert_eq!(within(house.port.finished()).await, 0);
    assert_eq!(house.desk.finished.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_lets_nobody_in() {
    let house = House::open(Limits::default()).await;
    let (mut web, mut line, mut idle) = (house.web().await, house.line().await, house.web().await);
    web.write_all(post("/file", "", "hold").replace("Connection: close\r\n", "").as_bytes())
        .await
        .unwrap();
    within(house.desk.begun.notified()).await;
    line.write_all(b"0004hold").await.unwrap();
    within(house.desk.begun.notified()).await;
    house.port.stop();
    assert_eq!(to_end(&mut idle).await, "");
    house.desk.allowed.add_permits(2);
    assert!(to_end(&mut web).await.contains("answer to hold"));
    assert_eq!(frame(&mut line).await, format!("answer to 0004hold in {NO_TRACE}"));
    assert_eq!(to_end(&mut line).await, "");
    assert_eq!(within(house.port.finished()).await, 0);
    assert!(house.connect(house.tcp, Some("line.example"), &[]).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let house =
        House::open(Limits { shutdown_max: Duration::from_millis(50), ..Limits::default() }).await;
    let mut line = house.line().await;
    line.write_all(b"0004hold").await.unwrap();
    within(house.desk.begun.notified()).await;
    house.port.stop();
    assert_eq!(within(house.port.finished()).await, 1, "the connection, with its exchange");
}
