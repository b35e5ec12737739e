//! The console's own port over real sockets and real mutual TLS: who is let in, who has to leave, and how long anybody is
//! waited for.

use std::{fs, path::Path};

use gateway::{console::Console, settings::Settings};
use tokio_util::sync::CancellationToken;

use super::*;

const SETTINGS: &str = r#"
[listen]
https = "127.0.0.1:0"
certificate = "gateway.pem"
key = "gateway.key"
client_ca = "ca.pem"
[[institution]]
id = "one"
name = "一"
kind = "BANK"
contract = "one"
certificate_issuer = "CN=Authority"
certificate_san = "core.one.example"
[console]
refresh_seconds = 1
address = "127.0.0.1:0"
certificate = "gateway.pem"
key = "gateway.key"
client_ca = "ca.pem"
client_crls = ["list.crl"]
"#;

fn person(name: &str) -> String {
    format!(
        "[[console.person]]\nname = \"{name}\"\nrole = \"operator\"\ncertificate = \"{name}.example\"\n"
    )
}

/// Settings of a console with that in its table too.
fn settings(folder: &Path, more: &str) -> Settings {
    Settings::parse(&format!("{SETTINGS}{more}"), &folder.join("directlink.toml")).unwrap()
}

/// A console at its own port.
struct Stand {
    folder: TempDir,
    authority: Authority,
    console: Console,
    metrics: Metrics,
    address: SocketAddr,
}

impl Stand {
    async fn open(more: &str, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        fs::write(folder.path().join("list.crl"), authority.revoked(&[], time::Duration::days(1)))
            .unwrap();
        let metrics = Metrics::new().unwrap();
        let settings = Settings { limits, ..settings(folder.path(), more) };
        let console = Console::new(&settings, "", metrics.clone()).unwrap().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(console.clone().serve(listener, CancellationToken::new()));
        Self { folder, authority, console, metrics, address }
    }

    async fn connect(&self, name: Option<&str>) -> io::Result<TlsStream<TcpStream>> {
        let name = name.map(|name| format!("{name}.example"));
        let client = self.authority.client(name.as_deref(), &["http/1.1"]);
        let tcp = TcpStream::connect(self.address).await?;
        let server = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(client).connect(server, tcp)).await
    }

    /// What a page says to whoever shows a certificate of that name.
    async fn page(&self, name: &str, more: &str) -> String {
        said(&mut self.connect(Some(name)).await.unwrap(), &get("/console/", more)).await
    }

    /// An open page's stream of changes, of which the first has come.
    async fn hearing(&self, name: &str) -> TlsStream<TcpStream> {
        let mut stream = self.connect(Some(name)).await.unwrap();
        stream.write_all(get("/console/changes", "").as_bytes()).await.unwrap();
        assert!(hears(&mut stream).await, "{name} hears nothing");
        stream
    }
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
}

/// Whether another change is told.
async fn hears(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut heard = Vec::new();
    while !heard.windows(7).any(|part| part == b"changed") {
        match within(stream.read_u8()).await {
            Ok(byte) => heard.push(byte),
            Err(_) => return false,
        }
    }
    true
}

#[tokio::test]
async fn an_operator_who_is_left_out_of_settings_leaves_and_one_who_is_added_comes_in() {
    let stand = Stand::open(&(person("wang") + &person("li")), Limits::default()).await;
    let (mut wang, mut li) = (stand.hearing("wang").await, stand.hearing("li").await);
    let told = stand.page("zhao", "").await;
    assert!(told.starts_with("HTTP/1.1 403 "), "{told}");

    let changed = settings(stand.folder.path(), &(person("li") + &person("zhao")));
    stand.console.follow(&Arc::new(changed), "");
    to_end(&mut wang).await;
    assert!(hears(&mut li).await, "another's stream goes on");
    let told = stand.page("wang", "").await;
    assert!(told.starts_with("HTTP/1.1 403 ") && !told.contains("wang"), "{told}");
    let told = stand.page("zhao", "").await;
    assert!(told.starts_with("HTTP/1.1 200 ") && told.contains("zhao"), "{told}");

    // A role that is taken away is gone too.
    let viewer = person("li").replace("operator", "viewer");
    stand.console.follow(&Arc::new(settings(stand.folder.path(), &viewer)), "");
    to_end(&mut li).await;
}

#[tokio::test]
async fn an_operators_certificate_that_is_revoked_ends_its_stream_and_no_other() {
    let stand = Stand::open(&(person("wang") + &person("li")), Limits::default()).await;
    let (mut wang, mut li) = (stand.hearing("wang").await, stand.hearing("li").await);
    let list = stand.authority.revoked(&["wang.example"], time::Duration::days(1));
    fs::write(stand.folder.path().join("list.crl"), list).unwrap();
    assert!(stand.console.entrance().unwrap().take().unwrap());
    to_end(&mut wang).await;
    assert!(hears(&mut li).await);
}

#[tokio::test]
async fn a_proxy_is_believed_by_its_certificate_alone() {
    let proxy = "[console.proxy]\ncertificate = \"front.example\"\noperators = [\"ops\"]\n";
    let stand = Stand::open(proxy, Limits::default()).await;
    let told = "X-Forwarded-User: wang\r\nX-Forwarded-Groups: ops\r\n";
    let through = stand.page("front", told).await;
    assert!(through.starts_with("HTTP/1.1 200 ") && through.contains("wang"), "{through}");
    let own = stand.page("front", "").await;
    assert!(own.starts_with("HTTP/1.1 403 "), "its own certificate is nobody: {own}");
    let other = stand.page("other", told).await;
    assert!(other.starts_with("HTTP/1.1 403 ") && !other.contains("wang"), "{other}");
    let refused = match stand.connect(None).await {
        Ok(mut stream) => within(stream.read_u8()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
}

#[tokio::test]
async fn only_so_many_connections_of_people_stand() {
    let stand = Stand::open(
        &format!("connections_max = 1\n{}{}", person("wang"), person("li")),
        Limits::default(),
    )
    .await;
    let mut wang = stand.hearing("wang").await;
    assert_eq!(stand.page("li", "").await, "");
    let told = stand.page("stranger", "").await;
    assert!(told.starts_with("HTTP/1.1 403 "), "a stranger takes nobody's place: {told}");
    let text = String::from_utf8(stand.metrics.text().unwrap()).unwrap();
    assert!(text.contains(r#"turned_away_total{port="console",why="full"} 1"#), "{text}");
    assert!(text.contains(r#"directlink_connections{port="console"} 1"#), "{text}");
    assert!(hears(&mut wang).await);
}

#[tokio::test]
async fn slow_people_are_not_waited_for() {
    let short = std::time::Duration::from_millis(100);
    let limits = Limits {
        header_max: short,
        body_max: short,
        handshake_max: short,
        idle_max: std::time::Duration::from_millis(300),
        handshakes_max: 1,
        ..Limits::default()
    };
    let stand = Stand::open(&person("wang"), limits).await;
    let wang = async || stand.connect(Some("wang")).await.unwrap();
    // No handshake at all: whoever comes behind it waits, and comes in after it.
    let mut silent = TcpStream::connect(stand.address).await.unwrap();
    let told = stand.page("wang", "").await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert_eq!(within(silent.read(&mut [0; 8])).await.unwrap(), 0);
    // Half a head, nothing at all, half a body.
    assert_eq!(said(&mut wang().await, "GET /console/ HTTP/1.1\r\nHost: loc").await, "");
    assert_eq!(to_end(&mut wang().await).await, "");
    let half = post("/console/findings/close", "", "12345").replace("12345", "12");
    let told = said(&mut wang().await, &half).await;
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    // A stream that is heard is not idle.
    let mut hearing = stand.hearing("wang").await;
    assert!(hears(&mut hearing).await);
}
