//! The benchmark: what one exchange costs a whole gateway process, beside a floor measured in the same run.
//!
//! Three processes on one machine, mutual TLS between all of them: this one makes the load, `directlink` or the
//! [`floor`] carries it, and an [`upstream`] that answers at once stands for the registry. Rounds of floor and gateway
//! alternate, so that whatever else the machine does strikes both. A round in which any reply was not word for word the
//! expected one is no result but an error. What the figures mean: docs/performance.md.

pub mod contest;
pub mod feeds;
pub mod filing;
pub mod floor;
pub mod ledgers;
pub mod load;
pub mod loading;
pub mod machine;
pub mod mapping;
pub mod monday;
pub mod notices;
pub mod process;
pub mod proofs;
pub mod report;
pub mod routing;
mod stand;
pub mod stock;
mod teller;
pub mod upstream;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// The folders of contracts inside a folder, in order of name.
///
/// # Errors
/// It cannot be read.
pub fn contracts_in(banks: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(banks).with_context(|| banks.display().to_string())? {
        folders.push(entry?.path());
    }
    folders.retain(|folder| folder.join("contract.toml").is_file());
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        path::Path,
        sync::{Arc, atomic::AtomicU64},
        time::Duration,
    };

    use gateway::tls::{self, Protocol};
    use tokio::sync::mpsc;

    use super::{
        filing::Filing,
        floor::Floor,
        load::{Banks, Target},
        upstream,
    };
    use crate::pki::{Names, Pki};

    /// Takes the lines a server says.
    fn ear() -> (impl FnMut(&str), mpsc::UnboundedReceiver<String>) {
        let (told, lines) = mpsc::unbounded_channel();
        (move |line: &str| told.send(line.to_owned()).unwrap(), lines)
    }

    #[tokio::test]
    async fn the_floor_forwards_every_message_and_gives_the_reply_it_was_told() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks/yunshui");
        let contract = gateway::assembly::read_contract(&folder).unwrap();
        let filing = Arc::new(Filing::load(&contract, &folder, "first_general").unwrap());
        let place = tempfile::tempdir().unwrap();
        let names = Names { banks: vec!["bank".to_owned()], registries: Vec::new() };
        let pki = Pki::write(place.path(), &names).unwrap();
        let server = |own: &crate::pki::Credentials, ca: &Path, protocol| {
            tls::server_config(&own.certificate, &own.key, ca, protocol).unwrap()
        };
        let client = |own: &crate::pki::Credentials, ca: &Path| {
            Arc::new(tls::client_config(ca, &own.certificate, &own.key).unwrap())
        };

        let (stop, end) = tokio::sync::oneshot::channel::<()>();
        let (say, mut upstream_says) = ear();
        let tls = server(&pki.registry, &pki.registry_ca, Protocol::Https);
        let ended = async { end.await.unwrap() };
        let upstream = tokio::spawn(upstream::serve(tls, ended, say));
        let addresses = upstream_says.recv().await.unwrap();
        let floor = Floor {
            server: server(&pki.gateway, &pki.banks_ca, Protocol::Tcp),
            client: client(&pki.gateway_client, &pki.registry_ca),
            upstream: addresses.split_once(' ').unwrap().0.parse().unwrap(),
            prefix: filing.prefix,
            reply: filing.canned_reply().to_vec().into(),
        };
        let (say, mut floor_says) = ear();
        tokio::spawn(floor.serve(std::future::pending(), say));
        let address: SocketAddr = floor_says.recv().await.unwrap().parse().unwrap();

        let (tls, serials) = (client(&pki.banks["bank"], &pki.banks_ca), AtomicU64::new(1));
        let addresses = [address];
        let connecting =
            Banks::connect(Target::Floor, &addresses, tls, 3, filing, Arc::new(serials));
        let told = connecting.await.unwrap().send(50, Duration::from_secs(60)).await.unwrap();
        assert_eq!(told.requests, 50);
        stop.send(()).unwrap();
        upstream.await.unwrap().unwrap();
        let counts = serde_json::from_str(&upstream_says.recv().await.unwrap()).unwrap();
        assert_eq!(upstream::Counts { forwarded: 50, ..upstream::Counts::default() }, counts);
    }

    #[test]
    fn a_reply_is_accepted_only_word_for_word() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks/yunshui");
        let contract = gateway::assembly::read_contract(&folder).unwrap();
        let filing = Filing::load(&contract, &folder, "first_general").unwrap();
        let reply = filing.canned_reply();
        let of_seventh = replaced(reply, "2026030500000017", "0000000000000007");
        assert!(filing.is_accepted(&of_seventh, 7));
        assert!(!filing.is_accepted(&of_seventh, 8));
        assert!(!filing.is_accepted(&replaced(&of_seventh, ">10<", ">90<"), 7));
        let later = replaced(&of_seventh, ">20260305<", ">20271231<");
        assert!(filing.is_accepted(&later, 7));
    }

    fn replaced(bytes: &[u8], what: &str, by: &str) -> Vec<u8> {
        let places = bytes.windows(what.len()).position(|found| found == what.as_bytes());
        let mut bytes = bytes.to_vec();
        let at = places.unwrap();
        bytes.splice(at..at + what.len(), by.bytes());
        bytes
    }
}
