//! Which byte of a bank's message gave which canonical field, told by the real program of real exchanges: for a bank that writes
//! XML, one that writes JSON, and one whose messages are GB18030. Source: docs/evidence.md, "Field lineage".
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test file, helpers and all")]

use std::{fs, path::Path, sync::Arc};

use adapters::wire::charset::Charset;
use conformance_tests::{
    deployment::{Deployment, Plan, program},
    fake_bank::{FakeBank, Heard},
    samples::Samples,
};
use gateway::contracts::read_contract;
use serde_json::Value;
use tokio::process::Command;

/// One filing of a bank, and the files of it.
struct Filed {
    deployment: Deployment,
    bank: &'static str,
    sent: Vec<u8>,
    heard: Vec<u8>,
    case: String,
    key: String,
}

impl Filed {
    async fn by(bank: &'static str) -> Self {
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let contract = Arc::new(read_contract(&contracts.join(bank)).unwrap());
        let samples = Samples::of(&contracts.join(bank)).unwrap();
        let plan = Plan::of_one(bank, &contracts, "").unwrap();
        let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
        deployment.start().await.unwrap();
        let fake = FakeBank::new(&deployment, bank, contract).unwrap();
        let mut line = fake.connect().await.unwrap();
        let sent = samples.request("first_general").unwrap();
        let heard = match line.ask(None, sent.clone()).await.unwrap() {
            Heard::Answer { bytes, .. } => bytes,
            Heard::Nothing(why) => panic!("{why}"),
        };
        fs::write(deployment.folder().join("sent"), &sent).unwrap();
        fs::write(deployment.folder().join("heard"), &heard).unwrap();
        let case = deployment.registry.control().cases().pop().unwrap();
        let (case, key) = (case.case_id, case.key);
        Self { deployment, bank, sent, heard, case, key }
    }

    async fn lineage(&self, key: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(program("directlink").unwrap());
        command.args(["evidence", "lineage", key, "--institution", self.bank]).args(arguments);
        command.args(["--settings", "directlink-1.toml"]).current_dir(self.deployment.folder());
        let ended = command.output().await.unwrap();
        (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap())
    }

    async fn told(&self) -> Value {
        let whole = ["--message", "sent", "--reply", "heard", "--json"];
        let (code, told) = self.lineage(&self.key, &whole).await;
        assert_eq!(code, Some(0), "{told}");
        serde_json::from_str(&told).unwrap()
    }

    /// What stands in a file where it is said to stand.
    fn at(bytes: &[u8], place: &Value, charset: Charset) -> String {
        let end =
            |number: usize| usize::try_from(place["bytes"][number].as_u64().unwrap()).unwrap();
        charset.decode(&bytes[end(0)..end(1)]).unwrap().into_owned()
    }

    /// The line of the template that is said to have read it.
    fn line(&self, place: &Value) -> String {
        let told = place["template"].as_str().unwrap().split(" < ").next().unwrap();
        let (file, line) = told.rsplit_once(':').unwrap();
        let text = fs::read_to_string(self.deployment.contract(self.bank).join(file)).unwrap();
        text.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap().to_owned()
    }

    /// Everything that a person would look at, of one bank.
    async fn holds(&self, charset: Charset) {
        let told = self.told().await;
        assert_eq!(told["contract"], self.bank);
        assert_eq!(told["contract_is_the_same"], true);
        assert_eq!(told["key"], self.key.as_str());
        let fields = told["fields"].as_array().unwrap();
        let standing: Vec<_> = fields.iter().filter(|field| field["place"].is_string()).collect();
        assert!(standing.len() > 20, "{told:#}");
        let name = fields
            .iter()
            .find(|field| field["field"] == "matter.mortgagors[0].name")
            .unwrap_or_else(|| panic!("{told:#}"));
        let number = standing
            .iter()
            .find(|field| field["field"] == "matter.mortgagors[0].id_number")
            .unwrap_or_else(|| panic!("{told:#}"));
        for field in [name, number] {
            let written = Self::at(&self.sent, field, charset);
            assert_eq!(written, field["value"].as_str().unwrap(), "{field:#}");
        }
        for field in &standing {
            assert!(!Self::at(&self.sent, field, charset).is_empty(), "{field:#}");
            assert!(self.line(field).contains('{'), "{field:#}: {}", self.line(field));
        }
        assert!(self.line(name).contains("name"), "{}", self.line(name));

        let reply = told["reply"].as_array().unwrap();
        let part = |field: &str| reply.iter().find(|part| part["field"] == field);
        let case = part("outcome.case_id").unwrap_or_else(|| panic!("{told:#}"));
        assert_eq!(Self::at(&self.heard, case, charset), self.case);
        assert!(case["from"].as_str().unwrap().contains("登记机构"), "{case:#}");
        let replied = part("exchange.replied_at").unwrap();
        assert!(replied["from"].as_str().unwrap().contains("网关"), "{replied:#}");
        assert!(self.line(case).contains("outcome.case_id"), "{}", self.line(case));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_message_in_xml_leads_to_its_bytes() {
    Filed::by("jingyue").await.holds(Charset::Utf8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_message_in_json_leads_to_its_bytes() {
    Filed::by("fudeng").await.holds(Charset::Utf8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_message_in_gb18030_leads_to_its_bytes() {
    let filed = Filed::by("yunshui").await;
    filed.holds(Charset::Gb18030).await;

    // For people; and by the case's number, without the reply at hand.
    let (code, told) = filed.lineage(&filed.case, &["--case", "--message", "sent"]).await;
    assert_eq!(code, Some(0), "{told}");
    for heading in ["field 字段", "template 模板行", "said by 来源", "as it was then"] {
        assert!(told.contains(heading), "{heading}: {told}");
    }
    assert!(told.contains("outcome.case_id"), "{told}");

    // Another message is not the one that was sent, by a byte.
    let mut other = filed.sent.clone();
    other.push(b'\n');
    fs::write(filed.deployment.folder().join("other"), other).unwrap();
    let (code, told) = filed.lineage(&filed.key, &["--message", "other"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("none of the 1 exchanges"), "{told}");
    let (code, told) = filed.lineage(&filed.key, &["--message", "sent", "--reply", "other"]).await;
    assert_eq!(code, Some(1), "{told}");
    let (code, told) = filed.lineage("NEVER-SENT", &["--message", "sent"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("nothing was ever said"), "{told}");

    // A contract that was changed since is told.
    let reply = filed.deployment.contract("yunshui").join("reply.xml");
    let text = fs::read_to_string(&reply).unwrap();
    fs::write(&reply, text.replace("<CFBZ>", "\n<CFBZ>")).unwrap();
    let (code, told) = filed.lineage(&filed.key, &["--message", "sent"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("NOT as it was then"), "{told}");
}
