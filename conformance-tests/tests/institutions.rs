//! As many institutions at one gateway as a region has signed with, each with a certificate of its own, all at once.

use std::{collections::HashSet, path::Path, sync::Arc};

use conformance_tests::{
    deployment::{Deployment, Plan},
    fake_bank::FakeBank,
    reference_registry::Call,
    samples::{self, Samples},
};
use proto::v1::CaseStatus;
use tokio::{sync::Semaphore, task::JoinSet};

/// Nanning has signed with so many (docs/domain.md).
const INSTITUTIONS: usize = 678;
/// So many file at a time.
const AT_A_TIME: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn each_of_hundreds_of_institutions_is_known_by_its_own_certificate() {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let mut plan = Plan::of_one("yunshui", &contracts, "").unwrap();
    plan.others = (1..INSTITUTIONS).map(|number| format!("institution-{number}")).collect();
    let mut deployment = Deployment::prepare(&plan, |registry| registry).await.unwrap();
    deployment.start().await.unwrap();

    let contract = Arc::new(samples::contract(&contracts.join("yunshui")).unwrap());
    let sample = Samples::of(&contracts.join("yunshui")).unwrap().request("first_general").unwrap();
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut filing = JoinSet::new();
    for institution in plan.banks.iter().chain(&plan.others) {
        let bank = FakeBank::new(&deployment, institution, Arc::clone(&contract)).unwrap();
        let (sample, places, name) = (sample.clone(), Arc::clone(&places), institution.clone());
        filing.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let heard = bank.connect().await.unwrap().ask(None, sample).await.unwrap();
            assert_eq!(heard.status(), Some(CaseStatus::Registered), "{name}: {}", heard.text());
            (name, bank.certificate_sha256().to_owned())
        });
    }
    let filed: HashSet<(String, String)> = filing.join_all().await.into_iter().collect();
    assert_eq!(filed.len(), INSTITUTIONS);

    // The same message from each, and so the same key: to the registry each is another's, under its own certificate.
    let received = deployment.registry.control().received().into_iter();
    let submits = received.filter(|call| call.call == Call::Submit);
    let seen: HashSet<_> =
        submits.map(|call| (call.institution, call.bank_certificate_sha256)).collect();
    assert_eq!(seen, filed);
    assert_eq!(deployment.registry.control().counts().registered, filed.len() as u64);
}
