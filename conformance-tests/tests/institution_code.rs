//! A message that names another institution than the certificate does: refused before anything else is done with it.

use std::{path::Path, sync::Arc};

use conformance_tests::{
    deployment::{Deployment, Plan},
    fake_bank::{FakeBank, Heard},
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_names_another_institution_is_refused_and_goes_nowhere() {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/contracts");
    let contract = gateway::assembly::read_contract(&contracts.join("coded")).unwrap();
    let plan =
        Plan::of_one("coded", &contracts, "[institution]\ncodes = [\"B-01\", \"B-02\"]").unwrap();
    let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
    deployment.start().await.unwrap();
    let bank = FakeBank::new(&deployment, "coded", Arc::new(contract)).unwrap();
    let mut line = bank.connect().await.unwrap();
    let mut ask = async |from: &str| -> Value {
        let message = json!({
            "from": from,
            "serial": "1",
            "purpose": "lending",
            "units": [{ "unit": "140105001002GB00031F00019999" }],
        });
        let heard = line.ask(Some("query"), message.to_string().into_bytes()).await.unwrap();
        let Heard::Answer { bytes, .. } = &heard else { return heard.text().into() };
        serde_json::from_slice(bytes).unwrap()
    };

    let refused = ask("B-03").await;
    assert_eq!(refused["code"], "INSTITUTION_MISMATCH", "{refused}");
    assert_eq!((&refused["layer"], &refused["sent"]), (&json!("identity"), &json!("no")));
    assert_eq!(refused["faults"][0]["place"], "/from");
    let control = deployment.registry.control();
    assert!(control.received().is_empty(), "it reached the registry: {:?}", control.received());

    for own in ["B-01", "B-02"] {
        let answered = ask(own).await;
        assert_eq!(answered["units"][0]["state"], "none", "{answered}");
    }
}
