//! The program itself: what it says of faulty settings, and that it comes up, serves, and goes down by signals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use rustls::pki_types::ServerName;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::timeout,
};
use tokio_rustls::TlsConnector;

#[path = "ports/authority.rs"]
mod authority;
use authority::Authority;

/// How long anything may take before a test counts as hanging.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("took too long")
}

/// A folder with everything a gateway needs: one bank that only asks about cases, and a registry that is not there.
fn folder() -> (TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let contract = folder.path().join("contracts/one");
    fs::create_dir_all(&contract).unwrap();
    let files = [
        (
            "contract.toml",
            r#"bank = "One"
version = "1"
in_force = ["2026-01-01"]
[wire]
media = "json"
charset = "UTF-8"
http = { path = "/cases", content_type = "application/json" }
[key]
build = "{exchange.serial}"
retry_may_change = []
[messages]
poll = { subject = "case_query", request = "poll.json", reply = "reply.json", refusal = "refusal.json" }
"#,
        ),
        ("poll.json", r#"{ "do": "poll", "serial": "{exchange.serial}", "case": "{case_id}" }"#),
        ("reply.json", r#"{ "serial": "{exchange.serial}", "case": "{outcome.case_id}" }"#),
        ("refusal.json", r#"{ "serial": "{exchange.serial?}", "code": "{outcome.refusal.code}" }"#),
    ];
    for (name, text) in files {
        fs::write(contract.join(name), text).unwrap();
    }
    fs::write(folder.path().join("directlink.toml"), SETTINGS).unwrap();
    (folder, authority)
}

const SETTINGS: &str = r#"
[listen]
https = "127.0.0.1:0"
certificate = "gateway.pem"
key = "gateway.key"
client_ca = "ca.pem"
[admin]
address = "127.0.0.1:0"
[contracts]
folder = "contracts"
[[institution]]
id = "one"
name = "一"
kind = "BANK"
contract = "one"
certificate_issuer = "CN=Authority"
certificate_san = "core.one.example"
[[registry]]
name = "north"
address = "https://127.0.0.1:9"
server_name = "localhost"
ca = "ca.pem"
certificate = "gateway.pem"
key = "gateway.key"
"#;

fn directlink(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_directlink"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        within(directlink(folder, arguments).output()).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A gateway that serves.
struct Serving {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    admin: String,
    https: String,
    console: Option<String>,
}

impl Serving {
    async fn start(folder: &Path) -> Self {
        let mut command = directlink(folder, &["serve", "--settings", "directlink.toml"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = next_saying(&mut lines, "serving").await;
        let address = |port: &str| line[port].as_str().unwrap().to_owned();
        assert_eq!(line.get("tcp"), None, "a port that settings leave out is not opened");
        let console = line["console"].as_str().map(str::to_owned);
        Self { admin: address("admin"), https: address("https"), console, child, lines }
    }

    fn tell(&self, signal: &str) {
        let process = self.child.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill").args([signal, &process]).status().unwrap().success()
        );
    }
}

/// Reads log lines until one has this message.
async fn next_saying(lines: &mut Lines<BufReader<ChildStderr>>, message: &str) -> Value {
    loop {
        let line = within(lines.next_line()).await.unwrap().expect("the program ended");
        let line: Value = serde_json::from_str(&line).expect("not a log line");
        if line["message"].as_str().unwrap().starts_with(message) {
            return line;
        }
    }
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    within(stream.read_to_string(&mut response)).await.unwrap();
    response
}

#[tokio::test]
async fn settings_are_checked_and_everything_wrong_is_told_at_once() {
    let (folder, authority) = folder();
    let check = ["serve", "--settings", "directlink.toml", "--check"];
    let (code, said, told) = run(folder.path(), &check).await;
    assert_eq!(
        (code, said.as_str(), told.as_str()),
        (
            Some(0),
            "directlink.toml: nothing is wrong\nno private key in `key_files` of [evidence]: what is kept as evidence is \
             signed by nobody yet\n",
            ""
        )
    );

    // A key that others may read, a certificate that soon runs out, and a list that is out of date.
    let file = |name| folder.path().join(name);
    fs::set_permissions(file("gateway.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let key = fs::read_to_string(file("gateway.key")).unwrap();
    let soon = authority.certificate_until(&key, time::Duration::days(20));
    let before = fs::read_to_string(file("gateway.pem")).unwrap();
    fs::write(file("gateway.pem"), soon).unwrap();
    fs::write(file("list.crl"), authority.revoked(&[], -time::Duration::days(1))).unwrap();
    let listed = SETTINGS.replace("[listen]", "[listen]\nclient_crls = [\"list.crl\"]");
    fs::write(file("directlink.toml"), listed).unwrap();
    let (code, said, told) = run(folder.path(), &check).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(said.contains("gateway.pem: the certificate runs out in 19 days"), "{said}");
    for part in [
        "gateway.key: it holds a secret, and everybody on the machine may open it (mode 644)",
        "list.crl: the revocation list ran out on ",
    ] {
        assert_eq!(told.matches(part).count(), 1, "{part} is not once in\n{told}");
    }
    fs::write(file("gateway.pem"), before).unwrap();
    fs::set_permissions(file("gateway.key"), fs::Permissions::from_mode(0o600)).unwrap();

    // A check makes nothing, and says whose issuer anybody could pass for.
    let below = SETTINGS.replace("CN=Authority", "CN=Below");
    fs::write(file("directlink.toml"), format!("{below}[materials]\n")).unwrap();
    let (code, said, told) = run(folder.path(), &check).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(
        said.contains("ca.pem: the authority that `certificate_issuer` names is not in it"),
        "{said}"
    );
    assert!(!file("materials").exists());

    // A contract that no open port speaks, and a secret that is not there.
    let wrong = SETTINGS.replace("https = ", "tcp = ").replace(
        "[contracts]",
        "[ledger]\npostgres = \"postgresql://someone@localhost/ledger\"\npassword_file = \"none\"\n[contracts]",
    );
    fs::write(folder.path().join("directlink.toml"), wrong).unwrap();
    let (code, _, told) = run(folder.path(), &check).await;
    assert_eq!(code, Some(1));
    for part in [
        "none: the ledger's password",
        "contracts/one/contract.toml: [wire] needs `https` in [listen]",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    fs::write(folder.path().join("directlink.toml"), SETTINGS).unwrap();

    // Files: a contract, a port's key and a registry's authority, each told although the others are wrong too.
    fs::write(folder.path().join("contracts/one/poll.json"), r#"{ "case": "{no_such_field}" }"#)
        .unwrap();
    fs::copy(folder.path().join("ca.pem"), folder.path().join("gateway.key")).unwrap();
    let (code, said, told) = run(folder.path(), &check).await;
    assert_eq!((code, said.as_str()), (Some(1), ""), "{told}");
    for part in [
        "contracts/one/poll.json:1: ",
        "gateway.key: registry `north`: expected a PEM",
        "gateway.key: expected",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }

    // Settings.
    fs::write(folder.path().join("directlink.toml"), format!("{SETTINGS}colour = 1\n[mood]\n"))
        .unwrap();
    let (code, _, told) = run(folder.path(), &check).await;
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        matches!(lines.as_slice(), [first, second]
        if first.starts_with("directlink.toml:25: unknown field `colour`")
            && second.starts_with("directlink.toml:26: unknown table `mood`")),
        "{told}"
    );

    assert_eq!(run(folder.path(), &["serve"]).await.0, Some(2));
    let (code, _, told) = run(folder.path(), &["contract", "check", "contracts/one"]).await;
    assert!(code == Some(1) && told.contains("--> contracts/one/poll.json:1:"), "{told}");
}

#[tokio::test]
async fn it_says_its_version_and_the_commit_it_was_built_from() {
    let (folder, _authority) = folder();
    let (code, said, _) = run(folder.path(), &["--version"]).await;
    let version = env!("CARGO_PKG_VERSION");
    // As `make binary` tells it; whoever builds with cargo alone has none to tell.
    let commit = option_env!("DIRECTLINK_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!(" (commit {commit})")).unwrap_or_default();
    assert_eq!((code, said), (Some(0), format!("directlink {version}{commit}\n")));
}

#[tokio::test]
async fn it_comes_up_serves_and_goes_down() {
    let (folder, authority) = folder();
    let mut serving = Serving::start(folder.path()).await;
    assert!(get(&serving.admin, "/ready").await.starts_with("HTTP/1.1 200 "));

    let connector = TlsConnector::from(authority.client(Some("core.one.example"), &["http/1.1"]));
    let tcp = TcpStream::connect(&serving.https).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = within(connector.connect(name, tcp)).await.unwrap();
    let body = r#"{"do":"poll","serial":"S-1","case":"no-such-case"}"#;
    let request = format!(
        "POST /cases HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    within(stream.read_to_string(&mut response)).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.ends_with(r#"{"serial":"S-1","code":"CASE_UNKNOWN"}"#), "{response}");
    let metrics = get(&serving.admin, "/metrics").await;
    let counted =
        r#"directlink_exchanges_total{institution="one",message="poll",result="CASE_UNKNOWN"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");

    serving.tell("-TERM");
    next_saying(&mut serving.lines, "stopped").await;
    assert_eq!(within(serving.child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_hangup_signal_makes_it_look_for_changed_contracts() {
    let (folder, _authority) = folder();
    let settings = SETTINGS.replace("[contracts]", "[contracts]\nreload_seconds = 3600");
    fs::write(folder.path().join("directlink.toml"), settings).unwrap();
    let mut serving = Serving::start(folder.path()).await;
    let poll = folder.path().join("contracts/one/poll.json");
    let text = fs::read_to_string(&poll).unwrap();

    fs::write(&poll, text.replace("{case_id}", "{no_such_field}")).unwrap();
    serving.tell("-HUP");
    let told = next_saying(&mut serving.lines, "a changed contract is not taken").await;
    assert_eq!((&told["level"], &told["line"]), (&"ERROR".into(), &1.into()), "{told}");
    assert!(told["file"].as_str().unwrap().ends_with("contracts/one/poll.json"), "{told}");
    assert!(told["problem"].as_str().unwrap().contains("no_such_field"), "{told}");

    fs::write(&poll, text.replace("poll", "ask")).unwrap();
    serving.tell("-HUP");
    let told = next_saying(&mut serving.lines, "a changed contract is served").await;
    assert_eq!(told["versions"], "1");
    let metrics = get(&serving.admin, "/metrics").await;
    let counted = r#"directlink_contracts_changed_total{contract="one",end="refused"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(get(&serving.admin, "/ready").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_revoked_bank_is_out_while_it_serves_and_a_new_certificate_is_shown() {
    let (folder, authority) = folder();
    let list = |names: &[&str]| {
        fs::write(folder.path().join("list.crl"), authority.revoked(names, time::Duration::days(9)))
    };
    list(&[]).unwrap();
    let settings = SETTINGS
        .replace("[listen]", "[listen]\nclient_crls = [\"list.crl\"]\nreload_seconds = 3600");
    fs::write(folder.path().join("directlink.toml"), settings).unwrap();
    let mut serving = Serving::start(folder.path()).await;
    let connect = async || {
        let client = authority.client(Some("core.one.example"), &["http/1.1"]);
        let tcp = TcpStream::connect(&serving.https).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(client).connect(name, tcp)).await
    };
    let mut stream = connect().await.unwrap();
    let shown = |stream: &tokio_rustls::client::TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let before = shown(&stream);

    authority.renew(folder.path());
    serving.tell("-HUP");
    next_saying(&mut serving.lines, "certificates were taken anew").await;
    assert_ne!(shown(&connect().await.unwrap()), before);

    fs::write(folder.path().join("gateway.key"), "no key").unwrap();
    serving.tell("-HUP");
    let told = next_saying(&mut serving.lines, "certificates have changed").await;
    assert_eq!(told["level"], "ERROR");
    connect().await.unwrap();
    authority.renew(folder.path());

    list(&["core.one.example"]).unwrap();
    serving.tell("-HUP");
    let told = next_saying(&mut serving.lines, "a connection is ended").await;
    assert_eq!(told["name"], "one");
    let mut rest = Vec::new();
    // Whether it says goodbye means nothing here.
    let _end = within(stream.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
    let refused = match connect().await {
        Ok(mut stream) => within(stream.read_u8()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(refused.to_string().contains("CertificateRevoked"), "{refused}");
    let metrics = get(&serving.admin, "/metrics").await;
    for holder in ["gateway", "authority", "revocation_list", "registry", "institution"] {
        let told = format!(r#"directlink_certificate_expires{{holder="{holder}",name=""#);
        assert!(metrics.contains(&told), "{told} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let (folder, _authority) = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = SETTINGS.replace("https = \"127.0.0.1:0\"", &format!("https = \"{address}\""));
    fs::write(folder.path().join("directlink.toml"), settings).unwrap();
    let (code, _, told) = run(folder.path(), &["serve", "--settings", "directlink.toml"]).await;
    let log_lines = told.lines().all(|line| serde_json::from_str::<Value>(line).is_ok());
    assert!(log_lines, "a line is no log line:\n{told}");
    assert!(
        code == Some(1) && told.contains(&format!("{address} cannot be listened on")),
        "{told}"
    );
}

#[tokio::test]
async fn people_of_the_console_and_its_lists_change_while_it_serves() {
    let (folder, authority) = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let person = |name: &str| {
        format!(
            "[[console.person]]\nname = \"{name}\"\nrole = \"viewer\"\ncertificate = \"{name}.example\"\n"
        )
    };
    let settings = |people: &str| {
        let console = "[console]\nrefresh_seconds = 1\naddress = \"127.0.0.1:0\"\ncertificate = \"gateway.pem\"\n\
                       key = \"gateway.key\"\nclient_ca = \"ca.pem\"\nclient_crls = [\"list.crl\"]\n";
        let listen = SETTINGS.replace("[listen]", "[listen]\nreload_seconds = 1");
        write("directlink.toml", &format!("{listen}{console}{people}"));
    };
    write("list.crl", &authority.revoked(&[], time::Duration::days(9)));
    settings(&(person("wang") + &person("li")));
    let mut serving = Serving::start(folder.path()).await;
    // One page after the other on a connection that stands.
    let connect = async |name: &str| {
        let client = authority.client(Some(&format!("{name}.example")), &["http/1.1"]);
        let tcp = TcpStream::connect(serving.console.as_deref().unwrap()).await.unwrap();
        let server = ServerName::try_from("localhost").unwrap();
        let mut stream = within(TlsConnector::from(client).connect(server, tcp)).await.unwrap();
        let request = "GET /console/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        within(stream.read_exact(&mut head)).await.unwrap();
        (stream, String::from_utf8(head.to_vec()).unwrap())
    };
    let ((mut wang, wang_told), (mut li, li_told)) = (connect("wang").await, connect("li").await);
    assert_eq!((wang_told.as_str(), li_told.as_str()), ("HTTP/1.1 200", "HTTP/1.1 200"));

    settings(&person("li"));
    serving.tell("-HUP");
    let told = next_saying(&mut serving.lines, "a connection is ended").await;
    assert_eq!(told["name"], "wang");
    next_saying(&mut serving.lines, "changed settings count from now on").await;
    within(wang.read_to_end(&mut Vec::new())).await.ok();
    assert_eq!(connect("wang").await.1, "HTTP/1.1 403");

    // Nobody asks it to look: it does by itself.
    write("list.crl", &authority.revoked(&["li.example"], time::Duration::days(9)));
    let told = next_saying(&mut serving.lines, "a connection is ended").await;
    assert_eq!(told["name"], "li");
    within(li.read_to_end(&mut Vec::new())).await.ok();
    let metrics = get(&serving.admin, "/metrics").await;
    let known = r#"directlink_certificate_expires{holder="revocation_list",name="console"}"#;
    assert!(metrics.contains(known), "{metrics}");
}
