//! An authority that is believed, and makes others below it that bear the names of those beside it.

use base64::{Engine, engine::general_purpose::STANDARD};
use gateway::settings::Chains;
use rcgen::{DnValue, KeyPair, string::PrintableString};
use rustls::{ClientConfig, pki_types::CertificateDer};

use super::{proxy, *};

/// How an authority's name can be spelled so that a pin reads the same.
fn spellings() -> [DnValue; 2] {
    let printable: PrintableString = "Authority".try_into().unwrap();
    [DnValue::from("Authority"), DnValue::PrintableString(printable)]
}

/// Settings that believe another authority too.
fn believing(other: &Authority) -> impl FnOnce(&mut Listen, &Authority) {
    let more = other.pem();
    move |listen, _| {
        let own = std::fs::read_to_string(&listen.client_ca).unwrap();
        std::fs::write(&listen.client_ca, own + &more).unwrap();
    }
}

fn other() -> Authority {
    Authority::called("Other".into(), tempfile::tempdir().unwrap().path())
}

impl House {
    /// Whether a bank that shows this is answered at the TCP port.
    async fn answers(&self, shown: (Vec<CertificateDer<'static>>, KeyPair)) -> bool {
        let client: Arc<ClientConfig> = self.authority.client_showing(Some(shown), &[]);
        let asked = async {
            let tcp = TcpStream::connect(self.tcp).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = TlsConnector::from(client).connect(name, tcp).await?;
            stream.write_all(b"0002hi").await?;
            let mut head = [0; 4];
            stream.read_exact(&mut head).await
        };
        within(asked).await.is_ok()
    }
}

#[tokio::test]
async fn nobody_bears_the_name_of_an_authority_but_itself() {
    let other = other();
    let house = House::listening(Limits::default(), believing(&other)).await;
    for spelling in spellings() {
        assert!(
            !house.answers(other.below(spelling.clone(), "line.example")).await,
            "{spelling:?}"
        );
    }
    assert!(house.answers(house.authority.whole_chain("line.example")).await);
    // By another name it is believed, and its banks are nobody here.
    let mut stream = house
        .connect_as(
            house.https,
            house
                .authority
                .client_showing(Some(other.below("Below".into(), "web.example")), &["http/1.1"]),
        )
        .await;
    assert_problem(&said(&mut stream, &post("/file", "", "x")).await, 403, "IDENTITY_UNKNOWN");
    assert_eq!(house.desk.finished.load(Ordering::SeqCst), 1, "that of the bank itself");
}

#[tokio::test]
async fn nor_does_a_proxy_tell_of_one() {
    let other = other();
    let house = House::listening(Limits::default(), |listen, authority| {
        proxy::with_proxy(Chains::Verified)(listen, authority);
        believing(&other)(listen, authority);
    })
    .await;
    let telling = |(chain, _): (Vec<CertificateDer<'static>>, KeyPair)| {
        let between = STANDARD.encode(&chain[1]);
        format!("{}Client-Cert-Chain: :{between}:\r\n", proxy::line(&chain[0]))
    };
    for spelling in spellings() {
        let told = telling(other.below(spelling, "web.example"));
        assert_problem(&house.through("/file", &told).await, 403, "IDENTITY_UNKNOWN");
    }
    let good = telling(house.authority.whole_chain("web.example"));
    assert!(house.through("/file", &good).await.contains("answer to x"));
}

#[tokio::test]
async fn an_authority_may_have_two_keys_of_which_either_is_its_own() {
    let renewed = Authority::new(tempfile::tempdir().unwrap().path());
    let house = House::listening(Limits::default(), believing(&renewed)).await;
    assert!(house.answers(house.authority.whole_chain("line.example")).await);
    assert!(house.answers(renewed.whole_chain("line.example")).await);
}
