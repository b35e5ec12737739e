//! A subscriber beside a gateway that dies: whatever it had taken when the gateway died is told again, as the same event, and
//! nothing else is.

use std::{net::SocketAddr, path::Path, sync::Arc};

use conformance_tests::{deployment::Deployment, receiver::Receiver, samples, tls};
use gateway::fault::Point;

/// Settings that have the bank told in the standard words.
pub(crate) fn settings(bank: &str, address: SocketAddr) -> String {
    format!(
        "[[subscriber]]\nname = \"told\"\ninstitution = \"{bank}\"\ncontract = \"standard\"\n\
         address = \"https://{address}/notices\"\nserver_name = \"localhost\"\nca = \"pki/banks-ca.pem\"\n\
         certificate = \"pki/gateway-client.pem\"\nkey = \"pki/gateway-client.key\"\n\
         networks = [\"127.0.0.0/8\"]\nanswer_seconds_max = 2\nfirst_seconds = 1\nlongest_seconds = 1"
    )
}

pub(crate) async fn receiver(
    deployment: &Deployment,
    contracts: &Path,
    address: SocketAddr,
) -> Receiver {
    let contract = Arc::new(samples::contract(&contracts.join("standard")).unwrap());
    let tls = tls::server(&deployment.pki.gateway, &deployment.pki.registry_ca, &[]).unwrap();
    Receiver::start(address, tls, contract, None).await.unwrap()
}

/// The receiver complains if one identifier is told as two events.
pub(crate) async fn is_told_again(receiver: &Receiver, point: Point) {
    receiver.is_told(|taken| taken.len() == 1).await.unwrap_or_else(|it| panic!("{point:?}: {it}"));
    if point == Point::NoticeTaken {
        receiver.is_tried(2).await.unwrap_or_else(|it| panic!("{point:?}: {it}"));
        receiver.is_told(|taken| taken.len() == 1).await.unwrap();
    }
}
