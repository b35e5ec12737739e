//! The reference registry, called over real sockets and mutual TLS as a gateway calls it, with the banks' sample
//! messages in canonical form.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the parts tests share fail like the tests themselves"
)]

use std::{fs, path::Path, sync::Arc};

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use conformance_tests::{
    pki::{Credentials, Names, Pki},
    reference_registry::{
        Call, Control, Fault, ReferenceRegistry, RemoteControl, Repeats, Review, Settings, Silence,
        Step,
    },
    tls,
};
use hyper_util::rt::TokioIo;
use prost_reflect::{DynamicMessage, prost::Message};
use proto::{
    descriptors, golden,
    v1::{
        Application, Case, CaseStatus, CertificateState, CertifyRecordRequest, CorrectRequest,
        DescribeOfficesRequest, DischargeScope, EncumbranceKind, Envelope, FetchCertificateRequest,
        GetCaseRequest, Institution, NextAction, Office, Property, QueryTitleRequest, RecordQuery,
        Sent, SubmitRequest, TitleQuery, TitleState, VerifyCertificateRequest, WatchEventsRequest,
        WithdrawRequest, application::Matter, envelope::Body, get_case_request::By,
        registry_client::RegistryClient, verify_certificate_request,
    },
};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

/// A registry, the certificates around it, and a gateway's way to call it.
struct Scene {
    pki: Pki,
    registry: ReferenceRegistry,
    client: RegistryClient<Channel>,
    _folder: TempDir,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = Names { banks: vec!["yunshui".to_owned()], ..Names::default() };
        let pki = Pki::write(folder.path(), &names).unwrap();
        let mut settings = Settings::here(pki.registry.clone(), pki.registry_ca.clone());
        change(&mut settings);
        let registry = ReferenceRegistry::start(settings).await.unwrap();
        let client = client(&pki, &registry, Some(&pki.gateway_client));
        Self { pki, registry, client, _folder: folder }
    }

    fn control(&self) -> &Control {
        self.registry.control()
    }

    async fn submit(&self, application: Application) -> Result<Case, Status> {
        let key = application.idempotency_key.clone();
        let mut request = Request::new(SubmitRequest { application: Some(application) });
        let bank = tls::certificate(&self.pki.banks["yunshui"].certificate).unwrap();
        let metadata = request.metadata_mut();
        let encoded = format!(":{}:", BASE64_STANDARD.encode(bank));
        metadata.insert("client-cert", encoded.parse().unwrap());
        metadata.insert("idempotency-key", key.parse().unwrap());
        metadata.insert("traceparent", TRACEPARENT.parse().unwrap());
        let answer = self.client.clone().submit(request).await?;
        Ok(answer.into_inner().case.unwrap())
    }

    async fn correct(&self, application: Application) -> Result<Case, Status> {
        let key = application.idempotency_key.clone();
        let mut request = Request::new(CorrectRequest { application: Some(application) });
        let bank = tls::certificate(&self.pki.banks["yunshui"].certificate).unwrap();
        let encoded = format!(":{}:", BASE64_STANDARD.encode(bank));
        request.metadata_mut().insert("client-cert", encoded.parse().unwrap());
        request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
        Ok(self.client.clone().correct(request).await?.into_inner().case.unwrap())
    }

    async fn case(&self, by: By) -> Option<Case> {
        let institution = Some(institution("yunshui"));
        let request = GetCaseRequest { institution, by: Some(by) };
        self.client.clone().get_case(request).await.unwrap().into_inner().case
    }

    async fn query(&self, properties: Vec<Property>) -> proto::v1::TitleAnswer {
        let request = QueryTitleRequest {
            institution: Some(institution("yunshui")),
            office: None,
            query: Some(TitleQuery { properties, ..TitleQuery::default() }),
        };
        self.client.clone().query_title(request).await.unwrap().into_inner().answer.unwrap()
    }
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn client(
    pki: &Pki,
    registry: &ReferenceRegistry,
    own: Option<&Credentials>,
) -> RegistryClient<Channel> {
    let address = registry.address();
    let config = tls::client(own, &pki.registry_ca, &["h2"]).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    // The scheme is http because the connector does the TLS.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    }));
    RegistryClient::new(channel)
}

fn institution(id: &str) -> Institution {
    Institution { id: id.to_owned(), ..Institution::default() }
}

/// A bank's sample in canonical form, with what a gateway adds.
fn sample(bank: &str, name: &str, office: &str) -> Application {
    let banks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let file = banks.join(bank).join(format!("cases/samples/{name}.canonical.json"));
    let json = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let read = golden::read(&descriptors::message("Envelope").unwrap(), &json).unwrap();
    let envelope = Envelope::decode(DynamicMessage::encode_to_vec(&read).as_slice()).unwrap();
    let Some(Body::Application(mut application)) = envelope.body else { panic!("{name}") };
    application.institution = Some(institution("yunshui"));
    application.office = Some(Office { code: office.to_owned(), ..Office::default() });
    application
}

fn first_general() -> Application {
    sample("yunshui", "first_general", "140105")
}

fn discharge_whole() -> Application {
    sample("yunshui", "discharge_whole", "140105")
}

fn unit(code: &str) -> Property {
    Property { unit_code: code.to_owned(), ..Property::default() }
}

fn status(case: &Case) -> CaseStatus {
    case.outcome.as_ref().unwrap().status()
}

fn certificates(case: &Case) -> &[String] {
    &case.outcome.as_ref().unwrap().certificate_numbers
}

fn code(case: &Case) -> &str {
    &case.outcome.as_ref().unwrap().refusal.as_ref().unwrap().code
}

#[tokio::test]
async fn every_sample_of_this_issue_is_registered_or_discharged() {
    let scene = Scene::new(|_| {}).await;
    for (bank, name, office, certificates_expected) in [
        ("yunshui", "first_general", "140105", 1),
        ("yunshui", "first_maximum", "140105", 2),
        ("yunshui", "presale_notice", "140105", 1),
        ("yunshui", "discharge_whole", "140105", 0),
        ("yunshui", "discharge_partial", "140105", 0),
        ("fudeng", "first_general", "440703", 1),
        ("fudeng", "first_maximum", "440703", 2),
        ("fudeng", "presale_notice", "440705", 1),
        ("fudeng", "discharge_whole", "440703", 0),
    ] {
        let case = scene.submit(sample(bank, name, office)).await.unwrap();
        assert_eq!(status(&case), CaseStatus::Registered, "{bank} {name}: {case:?}");
        assert_eq!(certificates(&case).len(), certificates_expected, "{bank} {name}");
        assert!(case.outcome.unwrap().registered_at.is_some_and(|at| at.nanos == 0));
    }
    let counts = scene.control().counts();
    assert_eq!((counts.registered, counts.discharged, counts.refused), (6, 3, 0));
    assert_eq!(counts.registrations_per_key_max, 1);
}

#[tokio::test]
async fn every_matter_is_entered_and_told_by_its_numbers() {
    let scene = Scene::new(|_| {}).await;
    for (name, numbers) in [
        ("under_construction", 1),
        ("advance_notice_discharge", 0),
        ("new_home_transfer", 1),
        ("ownership_transfer", 1),
        ("spouse_rename", 1),
        ("ownership_change", 1),
        ("certificate_reissue", 1),
        ("mortgage_change", 1),
        ("mortgage_transfer", 1),
        ("seizure", 1),
    ] {
        let case = scene.submit(sample("standard", name, "530102")).await.unwrap();
        assert_eq!(status(&case), CaseStatus::Registered, "{name}: {case:?}");
        assert_eq!(certificates(&case).len(), numbers, "{name}");
    }
    assert_eq!((scene.control().counts().entries, scene.control().counts().refused), (10, 0));
}

#[tokio::test]
async fn a_charge_stays_on_a_home_that_changes_hands_unless_the_parties_agreed_otherwise() {
    let scene = Scene::new(|_| {}).await;
    let home = || vec![unit("530102008001GB00061F00010601")];
    scene.submit(sample("standard", "spouse_rename", "530102")).await.unwrap();
    let entry = scene.query(home()).await.entries.remove(0);
    assert_eq!(entry.holder_names, ["一剪梅", "破阵子"]);
    assert_eq!(entry.encumbrances[0].number, "云(2021)昆明市不动产证明第0821001号");

    let restricted = include_str!("../data/titles.toml").replace(
        "certificate_number = \"云(2021)昆明市不动产证明第0821001号\"",
        "certificate_number = \"云(2021)昆明市不动产证明第0821001号\"\ntransfer_restricted = true",
    );
    let scene = Scene::new(|settings| settings.data = restricted).await;
    let case = scene.submit(sample("standard", "spouse_rename", "530102")).await.unwrap();
    assert_eq!((code(&case), status(&case)), ("TRANSFER_RESTRICTED", CaseStatus::Refused));
}

#[tokio::test]
async fn a_queued_seizure_takes_effect_when_the_earlier_is_released_and_only_its_court_ends_it() {
    let scene = Scene::new(|_| {}).await;
    let asked = |key: &str, court: &str, change: &dyn Fn(&mut proto::v1::Seizure)| {
        let mut application = sample("standard", "seizure", "530102");
        application.idempotency_key = key.to_owned();
        application.institution = Some(institution(court));
        let Some(Matter::Seizure(seizure)) = &mut application.matter else { panic!("{key}") };
        change(seizure);
        scene.submit(application)
    };
    let end = |number: String| {
        move |it: &mut proto::v1::Seizure| {
            it.set_action(proto::v1::SeizureAction::Release);
            it.prior_entry_number = number.clone();
        }
    };
    let first = asked("1", "one", &|_| {}).await.unwrap();
    let first = certificates(&first)[0].clone();
    let queue = |it: &mut proto::v1::Seizure| it.set_action(proto::v1::SeizureAction::Queue);
    let second = asked("2", "two", &queue).await.unwrap();
    let second = certificates(&second)[0].clone();
    let others = asked("3", "two", &end(first.clone())).await.unwrap();
    assert_eq!(code(&others), "OTHER_COURTS_SEIZURE");
    assert_eq!(status(&asked("4", "one", &end(first)).await.unwrap()), CaseStatus::Registered);
    // The second has moved up: the home is seized still, and nobody seizes it a third time without queueing.
    assert_eq!(code(&asked("5", "one", &|_| {}).await.unwrap()), "SEIZED_BEFORE");
    assert_eq!(status(&asked("6", "two", &end(second)).await.unwrap()), CaseStatus::Registered);
    assert_eq!(status(&asked("7", "one", &|_| {}).await.unwrap()), CaseStatus::Registered);
}

#[tokio::test]
async fn a_key_that_comes_again_gets_the_first_case() {
    let scene = Scene::new(|_| {}).await;
    let first = scene.submit(first_general()).await.unwrap();
    assert_eq!(scene.submit(first_general()).await.unwrap(), first);
    let counts = scene.control().counts();
    let key = &counts.keys["yunshui/JYCL01-20260305-2026030500000017"];
    assert_eq!((key.submits, key.registrations), (2, 1));

    // The key's scope is the institution.
    let mut other = first_general();
    other.institution = Some(institution("fudeng"));
    assert_ne!(scene.submit(other).await.unwrap(), first);
}

#[tokio::test]
async fn a_registry_may_be_set_to_break_the_promise_and_the_count_shows_it() {
    let scene = Scene::new(|settings| settings.repeats = Repeats::NewCase).await;
    let first = scene.submit(first_general()).await.unwrap();
    let second = scene.submit(first_general()).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(scene.control().counts().registrations_per_key_max, 2);
}

type Change = fn(&mut Application);

#[tokio::test]
async fn what_a_registry_refuses_is_an_answer_and_no_status() {
    let scene = Scene::new(|_| {}).await;
    let cases: [(&str, CaseStatus, Change); 22] = [
        ("PROPERTY_UNKNOWN", CaseStatus::Refused, |it| {
            registration(it).properties[0] = unit("140105001002GB00031F00019999");
        }),
        ("PROPERTY_SEIZED", CaseStatus::Refused, |it| {
            registration(it).properties[0] = unit("140105001002GB00031F00010025");
            owner(it, "虞知夏", "140105198511230014");
        }),
        ("HOLDER_MISMATCH", CaseStatus::Refused, |it| {
            owner(it, "虞知夏", "140105198511230014");
        }),
        ("HOLDER_ABSENT", CaseStatus::Refused, |it| {
            *it = sample("yunshui", "presale_notice", "140105");
            registration(it).mortgagors.pop();
        }),
        ("TITLE_NUMBER_MISMATCH", CaseStatus::Refused, |it| {
            registration(it).properties[0].title_numbers.push("第0000001号".to_owned());
        }),
        ("AMOUNT_MISSING", CaseStatus::NotAccepted, |it| {
            registration(it).secured_amount_fen = None;
        }),
        ("AMOUNT_MISSING", CaseStatus::NotAccepted, |it| {
            registration(it).secured_amount_fen = Some(0);
        }),
        ("UNSUPPORTED_BY_OFFICE", CaseStatus::NotAccepted, |it| {
            *it = sample("yunshui", "advance_notice", "140106");
        }),
        ("OFFICE_NOT_OURS", CaseStatus::NotAccepted, |it| {
            it.office = None;
        }),
        ("NOTHING_CHANGES", CaseStatus::NotAccepted, |it| {
            *it = sample("standard", "mortgage_change", "530102");
            let Some(Matter::MortgageChange(change)) = &mut it.matter else { return };
            (change.secured_amount_fen, change.debt_to) = (None, String::new());
        }),
        ("NOT_MORTGAGEE", CaseStatus::Refused, |it| {
            *it = sample("standard", "mortgage_transfer", "530102");
            let Some(Matter::MortgageTransfer(transfer)) = &mut it.matter else { return };
            transfer.transferors = transfer.transferees.clone();
        }),
        ("LOSS_NOT_DECLARED", CaseStatus::NotAccepted, |it| {
            *it = sample("standard", "certificate_reissue", "530102");
            let Some(Matter::CertificateReissue(reissue)) = &mut it.matter else { return };
            reissue.loss_declared_on = String::new();
        }),
        ("OFFICERS_TOO_FEW", CaseStatus::NotAccepted, |it| {
            *it = sample("standard", "seizure", "530102");
            let Some(Matter::Seizure(seizure)) = &mut it.matter else { return };
            seizure.officers.truncate(1);
        }),
        ("NO_COURT", CaseStatus::NotAccepted, |it| {
            *it = sample("standard", "seizure", "530102");
            it.institution.as_mut().unwrap().set_kind(proto::v1::InstitutionKind::Bank);
        }),
        ("NOT_SEIZED", CaseStatus::Refused, |it| {
            *it = sample("standard", "seizure", "530102");
            let Some(Matter::Seizure(seizure)) = &mut it.matter else { return };
            seizure.set_action(proto::v1::SeizureAction::Queue);
        }),
        ("SEIZURE_NOT_FOUND", CaseStatus::Refused, |it| {
            *it = sample("standard", "seizure", "530102");
            let Some(Matter::Seizure(seizure)) = &mut it.matter else { return };
            seizure.set_action(proto::v1::SeizureAction::Renew);
        }),
        ("ADVANCE_NOTICE_STANDS", CaseStatus::Refused, |it| {
            *it = sample("standard", "new_home_transfer", "530102");
            let Some(Matter::NewHomeTransfer(transfer)) = &mut it.matter else { return };
            transfer.advance_notice_numbers.clear();
        }),
        ("NOT_OBLIGEE", CaseStatus::Refused, |it| {
            *it = sample("standard", "new_home_transfer", "530102");
            let Some(Matter::NewHomeTransfer(transfer)) = &mut it.matter else { return };
            transfer.transferees.truncate(1);
        }),
        ("HOLDER_MISMATCH", CaseStatus::Refused, |it| {
            *it = sample("standard", "ownership_transfer", "530102");
            let Some(Matter::OwnershipTransfer(transfer)) = &mut it.matter else { return };
            transfer.transferors = transfer.transferees.clone();
        }),
        ("CERTIFICATE_NOT_FOUND", CaseStatus::Refused, |it| {
            *it = discharge_whole();
            discharge(it).certificate_numbers[0] = "晋(2021)太原市不动产证明第9999999号".to_owned();
        }),
        ("CERTIFICATE_MISMATCH", CaseStatus::Refused, |it| {
            *it = discharge_whole();
            discharge(it).properties[0] = unit("140105001002GB00031F00010024");
        }),
        ("NOT_MORTGAGEE", CaseStatus::Refused, |it| {
            *it = discharge_whole();
            discharge(it).mortgagees[0].id_number = "91140106MA0KX1F3BW".to_owned();
        }),
    ];
    for (place, (expected, stands, change)) in cases.into_iter().enumerate() {
        let mut application = first_general();
        change(&mut application);
        application.idempotency_key = format!("refused-{place}");
        let case = scene.submit(application).await.unwrap();
        assert_eq!((code(&case), status(&case)), (expected, stands), "{case:?}");
        let refusal = case.outcome.unwrap().refusal.unwrap();
        assert_eq!(refusal.sent(), Sent::Yes);
        assert_ne!(refusal.next_action(), NextAction::Unspecified);
        assert!(!refusal.registry_code.is_empty() && !refusal.faults.is_empty());
        // No person and no identity number in any words.
        let words = format!("{refusal:?}");
        assert!(!words.contains("虞知夏") && !words.contains("140105198511230014"), "{words}");
    }
    let counts = scene.control().counts();
    assert_eq!((counts.refused, counts.registered, counts.registrations_per_key_max), (22, 0, 0));
}

fn registration(application: &mut Application) -> &mut proto::v1::MortgageRegistration {
    match application.matter.as_mut().unwrap() {
        Matter::MortgageRegistration(it) => it,
        other => panic!("{other:?}"),
    }
}

fn discharge(application: &mut Application) -> &mut proto::v1::MortgageDischarge {
    match application.matter.as_mut().unwrap() {
        Matter::MortgageDischarge(it) => it,
        other => panic!("{other:?}"),
    }
}

fn owner(application: &mut Application, name: &str, id_number: &str) {
    let mortgagor = &mut registration(application).mortgagors[0];
    mortgagor.name = name.to_owned();
    mortgagor.id_number = id_number.to_owned();
}

#[tokio::test]
async fn all_reasons_are_told_at_once_with_the_fields_they_are_about() {
    let scene = Scene::new(|_| {}).await;
    let mut application = first_general();
    registration(&mut application).secured_amount_fen = None;
    owner(&mut application, "虞知夏", "140105198511230014");
    let refusal = scene.submit(application).await.unwrap().outcome.unwrap().refusal.unwrap();
    let fields: Vec<&str> = refusal.faults.iter().map(|fault| fault.field.as_str()).collect();
    let expected =
        ["matter.secured_amount_fen", "matter.mortgagors[0].id_number", "matter.mortgagors"];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn a_charge_is_entered_shown_certified_discharged_and_gone() {
    let scene = Scene::new(|_| {}).await;
    let home = || vec![unit("140105001002GB00031F00010023")];
    let case = scene.submit(first_general()).await.unwrap();
    let certificate = certificates(&case)[0].clone();
    let entry = scene.query(home()).await.entries.remove(0);
    assert_eq!(entry.holder_names, ["甄砚秋"]);
    let numbers: Vec<&str> = entry.encumbrances.iter().map(|it| it.number.as_str()).collect();
    assert_eq!(numbers, ["晋(2021)太原市不动产证明第0033221号", certificate.as_str()]);
    assert_eq!(entry.encumbrances[1].amount_fen, Some(120_000_000));
    let verify = |number: &str| {
        let by = verify_certificate_request::By::CertificateNumber(number.to_owned());
        let mut client = scene.client.clone();
        async move {
            let request = VerifyCertificateRequest { institution: None, by: Some(by) };
            client.verify_certificate(request).await.unwrap().into_inner().state()
        }
    };
    assert_eq!(verify(&certificate).await, CertificateState::InForce);

    let mut discharge_new = discharge_whole();
    discharge(&mut discharge_new).certificate_numbers = vec![certificate.clone()];
    let case = scene.submit(discharge_new.clone()).await.unwrap();
    assert_eq!(status(&case), CaseStatus::Registered, "{case:?}");
    assert_eq!(scene.query(home()).await.entries[0].encumbrances.len(), 1);
    assert_eq!(verify(&certificate).await, CertificateState::Ended);
    assert_eq!(verify("第0000000号").await, CertificateState::NotFound);

    discharge_new.idempotency_key = "again".to_owned();
    assert_eq!(code(&scene.submit(discharge_new).await.unwrap()), "ALREADY_DISCHARGED");
}

#[tokio::test]
async fn a_partial_discharge_frees_what_is_listed_and_a_whole_one_lists_all() {
    let scene = Scene::new(|_| {}).await;
    let partial = || sample("yunshui", "discharge_partial", "140105");
    let mut as_whole = partial();
    as_whole.idempotency_key = "whole".to_owned();
    discharge(&mut as_whole).set_scope(DischargeScope::Whole);
    assert_eq!(code(&scene.submit(as_whole).await.unwrap()), "SCOPE_MISMATCH");

    let case = scene.submit(partial()).await.unwrap();
    assert_eq!(status(&case), CaseStatus::Registered);
    let units = vec![unit("140105001002GB00031F00010024"), unit("140106003011GB00007F00120501")];
    let answer = scene.query(units).await;
    let left: Vec<usize> = answer.entries.iter().map(|it| it.encumbrances.len()).collect();
    assert_eq!(left, [0, 2]);
}

#[tokio::test]
async fn a_query_tells_limits_in_order_of_entry_and_what_is_not_there() {
    let scene = Scene::new(|_| {}).await;
    let answer = scene
        .query(vec![
            unit("140105001002GB00031F00010025"),
            unit("140105001002GB00031F00010026"),
            unit("140105001002GB00031F00019999"),
            Property {
                presale_contract_number: "TYYS20260100123".to_owned(),
                ..Property::default()
            },
            Property {
                title_numbers: vec!["晋(2025)太原市不动产权第0012345号".to_owned()],
                ..unit("140105001002GB00031F00010024")
            },
        ])
        .await;
    let told: Vec<(TitleState, Vec<EncumbranceKind>)> = answer
        .entries
        .iter()
        .map(|entry| (entry.state(), entry.encumbrances.iter().map(|it| it.kind()).collect()))
        .collect();
    assert_eq!(
        told,
        [
            (TitleState::Found, vec![EncumbranceKind::Seizure]),
            (TitleState::Found, vec![EncumbranceKind::Objection]),
            (TitleState::NotFound, vec![]),
            (TitleState::Found, vec![EncumbranceKind::AdvanceNotice]),
            // The title number is another unit's.
            (TitleState::NotFound, vec![]),
        ]
    );
    assert_eq!(answer.digest.len(), 64);
    assert!(answer.as_of.is_some_and(|at| at.nanos == 0));
}

#[tokio::test]
async fn a_case_under_review_moves_by_command_and_is_judged_when_it_is_entered() {
    let scene = Scene::new(|settings| settings.review = Review::OnCommand).await;
    let accepted = scene.submit(first_general()).await.unwrap();
    let id = accepted.outcome.as_ref().unwrap().case_id.clone();
    assert_eq!(status(&accepted), CaseStatus::Accepted);
    assert_eq!(scene.control().counts().registered, 0);

    assert_eq!(scene.control().advance(&id, Step::Review).unwrap(), "IN_REVIEW");
    assert_eq!(scene.control().advance(&id, Step::Register).unwrap(), "REGISTERED");
    assert!(scene.control().advance(&id, Step::Register).is_err());
    let by_key = By::IdempotencyKey("JYCL01-20260305-2026030500000017".to_owned());
    let told = scene.case(by_key).await.unwrap();
    assert_eq!((status(&told), certificates(&told).len()), (CaseStatus::Registered, 1));
    assert_eq!(scene.control().advance(&id, Step::Complete).unwrap(), "COMPLETED");
    assert_eq!(status(&scene.case(By::CaseId(id)).await.unwrap()), CaseStatus::Completed);

    // Two discharges of one charge are both accepted; the second is refused when its turn comes.
    let mut second = discharge_whole();
    second.idempotency_key = "second".to_owned();
    scene.submit(discharge_whole()).await.unwrap();
    let second = scene.submit(second).await.unwrap();
    assert_eq!(status(&second), CaseStatus::Accepted);
    assert_eq!(scene.control().advance_all(Step::Register), 2);
    let second = scene.case(By::CaseId(second.outcome.unwrap().case_id)).await.unwrap();
    assert_eq!((status(&second), code(&second)), (CaseStatus::Refused, "ALREADY_DISCHARGED"));
}

#[tokio::test]
async fn a_case_is_told_to_its_own_institution_only() {
    let scene = Scene::new(|_| {}).await;
    let case = scene.submit(first_general()).await.unwrap();
    let id = case.outcome.unwrap().case_id;
    let ask = |institution_id: &str, by: By| {
        let institution = Some(institution(institution_id));
        let mut client = scene.client.clone();
        async move {
            let request = GetCaseRequest { institution, by: Some(by) };
            client.get_case(request).await.unwrap().into_inner().case
        }
    };
    assert!(ask("yunshui", By::CaseId(id.clone())).await.is_some());
    assert!(ask("fudeng", By::CaseId(id)).await.is_none());
    assert!(ask("fudeng", By::IdempotencyKey(case.idempotency_key)).await.is_none());
    assert!(ask("yunshui", By::IdempotencyKey("never-sent".to_owned())).await.is_none());
}

#[tokio::test]
async fn who_calls_and_for_whom_must_be_shown() {
    let scene = Scene::new(|_| {}).await;
    let body = || SubmitRequest { application: Some(first_general()) };
    let refused = scene.client.clone().submit(body()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut request = Request::new(body());
    request.metadata_mut().insert("client-cert", ":bm9uZQ==:".parse().unwrap());
    let refused = scene.client.clone().submit(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let bank = tls::certificate(&scene.pki.banks["yunshui"].certificate).unwrap();
    let mut request = Request::new(body());
    let encoded = format!(":{}:", BASE64_STANDARD.encode(bank));
    request.metadata_mut().insert("client-cert", encoded.parse().unwrap());
    request.metadata_mut().insert("idempotency-key", "another".parse().unwrap());
    let refused = scene.client.clone().submit(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    // A gateway without certificate, or with a bank's, never gets as far as a call.
    for own in [None, Some(&scene.pki.banks["yunshui"])] {
        let mut stranger = client(&scene.pki, &scene.registry, own);
        let refused = stranger.describe_offices(DescribeOfficesRequest::default()).await;
        assert!(refused.is_err());
    }
    assert_eq!(scene.control().counts().submits, 0);
}

#[tokio::test]
async fn what_arrived_is_kept_as_evidence() {
    let scene = Scene::new(|_| {}).await;
    scene.submit(first_general()).await.unwrap();
    let received = scene.control().received().remove(0);
    assert_eq!(received.traceparent, TRACEPARENT);
    assert_eq!(received.key, "JYCL01-20260305-2026030500000017");
    assert_eq!(
        received.bank_certificate_sha256,
        scene.control().cases()[0].bank_certificate_sha256
    );
    assert_eq!(received.bank_certificate_sha256.len(), 64);
    assert_ne!(received.bank_certificate_sha256, received.gateway_certificate_sha256);
}

#[tokio::test]
async fn faults_before_and_after_the_commit_differ_in_what_the_register_holds() {
    let scene = Scene::new(|_| {}).await;
    for (fault, registered) in [
        (Fault::Unavailable, 0),
        (Fault::DropBeforeCommit { how: Silence::Close }, 0),
        (Fault::DropAfterCommit { how: Silence::Close }, 1),
    ] {
        scene.control().order(Call::Submit, [fault]);
        let refused = scene.submit(first_general()).await.unwrap_err();
        if fault == Fault::Unavailable {
            assert_eq!(refused.code(), Code::Unavailable);
        }
        assert_eq!(scene.control().counts().registered, registered, "{fault:?}");
    }
    // The connection was lost, the case was not.
    let by_key = By::IdempotencyKey("JYCL01-20260305-2026030500000017".to_owned());
    assert_eq!(status(&scene.case(by_key).await.unwrap()), CaseStatus::Registered);
    assert_eq!(scene.control().counts().registrations_per_key_max, 1);
}

#[tokio::test]
async fn a_registry_acts_though_the_caller_has_gone() {
    let scene = Scene::new(|_| {}).await;
    scene.control().order(Call::Submit, [Fault::Hold]);
    tokio::select! {
        answer = scene.submit(first_general()) => panic!("{answer:?}"),
        _ = scene.control().when(|counts| counts.submits == 1) => {}
    }
    assert_eq!(scene.control().counts().cases, 0);
    scene.control().release();
    scene.control().when(|counts| counts.registered == 1).await;
}

#[tokio::test]
async fn a_registry_that_never_answers_keeps_the_connection() {
    let scene = Scene::new(|_| {}).await;
    scene.control().order(Call::Submit, [Fault::DropAfterCommit { how: Silence::Never }]);
    tokio::select! {
        answer = scene.submit(first_general()) => panic!("{answer:?}"),
        _ = scene.control().when(|counts| counts.registered == 1) => {}
    }
    let by_key = By::IdempotencyKey("JYCL01-20260305-2026030500000017".to_owned());
    assert!(scene.case(by_key).await.is_some());
}

#[tokio::test]
async fn a_registry_goes_down_and_comes_up_with_all_it_knew() {
    let scene = Scene::new(|_| {}).await;
    let first = scene.submit(first_general()).await.unwrap();
    scene.control().down().await;
    assert!(TcpStream::connect(scene.registry.address()).await.is_err());
    assert!(scene.submit(first_general()).await.is_err());
    scene.control().up().await.unwrap();
    let id = By::CaseId(first.outcome.clone().unwrap().case_id);
    assert_eq!(scene.case(id).await, Some(first));
}

#[tokio::test]
async fn offices_are_described() {
    let scene = Scene::new(|_| {}).await;
    let ask = DescribeOfficesRequest { division_prefix: "1401".to_owned() };
    let told = scene.client.clone().describe_offices(ask).await.unwrap().into_inner().offices;
    let codes: Vec<String> = told.into_iter().map(|it| it.office.unwrap().code).collect();
    assert_eq!(codes, ["140105", "140106"]);
}

#[tokio::test]
async fn events_are_told_from_any_cursor_on_and_no_other() {
    let scene = Scene::new(|settings| settings.review = Review::Slowly { ms: 10 }).await;
    let watch = async |after: &str| {
        let request = WatchEventsRequest { after: after.to_owned() };
        scene.client.clone().watch_events(request).await.map(tonic::Response::into_inner)
    };
    let mut events = watch("").await.unwrap();
    let case_id = scene.submit(first_general()).await.unwrap().outcome.unwrap().case_id;
    let mut told = Vec::new();
    for status in [CaseStatus::Accepted, CaseStatus::InReview, CaseStatus::Registered] {
        let event = events.message().await.unwrap().unwrap();
        let outcome = event.case.clone().unwrap().outcome.unwrap();
        assert_eq!((outcome.case_id.as_str(), outcome.status()), (case_id.as_str(), status));
        told.push(event);
    }
    let mut rest = watch(&told[0].cursor).await.unwrap();
    for event in &told[1..] {
        assert_eq!(rest.message().await.unwrap().as_ref(), Some(event));
    }
    let refused = watch("99").await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    scene.control().order(Call::WatchEvents, [Fault::CutShort]);
    let mut short = watch("").await.unwrap();
    assert_eq!(short.message().await.unwrap().as_ref(), Some(&told[0]));
    assert_eq!(short.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_registry_in_another_process_is_controlled_by_the_same_words() {
    let control_port = Some("127.0.0.1:0".parse().unwrap());
    let scene = Scene::new(|settings| {
        settings.control = control_port;
        settings.review = Review::OnCommand;
    })
    .await;
    let remote = RemoteControl::new(scene.registry.control_port().unwrap());
    remote.order(Call::Submit, &[Fault::Unavailable, Fault::Hold]).await.unwrap();
    assert!(scene.submit(first_general()).await.is_err());
    let release = async {
        remote.when_submits(2).await.unwrap();
        remote.release().await.unwrap();
    };
    let (case, ()) = tokio::join!(scene.submit(first_general()), release);
    let id = case.unwrap().outcome.unwrap().case_id;
    assert_eq!(remote.advance(&id, Step::Register).await.unwrap(), "REGISTERED");
    let again = remote.advance(&id, Step::Register).await.unwrap_err();
    assert!(again.to_string().contains("REGISTERED"), "{again}");
    assert_eq!(remote.advance_all(Step::Complete).await.unwrap(), 1);

    assert_eq!(remote.counts().await.unwrap(), scene.control().counts());
    assert_eq!(remote.cases().await.unwrap(), scene.control().cases());
    assert_eq!(remote.received().await.unwrap(), scene.control().received());
    remote.down().await.unwrap();
    assert!(scene.submit(first_general()).await.is_err());
    remote.up().await.unwrap();
    assert!(scene.submit(first_general()).await.is_ok());
}

#[tokio::test]
async fn a_control_port_that_others_could_reach_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::write(folder.path(), &Names::default()).unwrap();
    let mut settings = Settings::here(pki.registry, pki.registry_ca);
    settings.control = Some("0.0.0.0:0".parse().unwrap());
    let refused = ReferenceRegistry::start(settings).await.unwrap_err();
    assert!(refused.to_string().contains("loopback"), "{refused}");
}

#[tokio::test]
async fn a_certificate_is_verified_by_number_and_record_certificates_by_their_code() {
    let scene = Scene::new(|_| {}).await;
    let case = scene.submit(first_general()).await.unwrap();
    let number = certificates(&case)[0].clone();
    let verify = |by: verify_certificate_request::By| {
        let mut client = scene.client.clone();
        async move {
            let request = VerifyCertificateRequest { institution: None, by: Some(by) };
            client.verify_certificate(request).await.unwrap().into_inner()
        }
    };
    let by_number = verify(verify_certificate_request::By::CertificateNumber(number)).await;
    assert_eq!(by_number.state(), CertificateState::InForce);
    let request = CertifyRecordRequest {
        institution: Some(institution("yunshui")),
        office: None,
        query: Some(RecordQuery {
            properties: vec![unit("140105001002GB00031F00010023")],
            ..RecordQuery::default()
        }),
    };
    let record = scene.client.clone().certify_record(request).await.unwrap();
    let record = record.into_inner().answer.unwrap();
    let document = record.document.unwrap();
    assert_eq!(digest::digest(&digest::SHA256, &document.content).as_ref(), document.sha256);
    let code = verify_certificate_request::By::VerificationCode(record.verification_code);
    let by_code = verify(code).await;
    assert_eq!(by_code.state(), CertificateState::InForce);
    assert_eq!(by_code.certificate_number, record.certificate_number);
    let nobodys = verify_certificate_request::By::VerificationCode("0000".to_owned());
    assert_eq!(verify(nobodys).await.state(), CertificateState::NotFound);
}

#[tokio::test]
async fn a_certificate_is_streamed_to_the_institution_whose_case_it_is_of() {
    let scene = Scene::new(|_| {}).await;
    let case = scene.submit(first_general()).await.unwrap();
    let number = certificates(&case)[0].clone();
    let fetched = |bank: &str| {
        let request = FetchCertificateRequest {
            institution: Some(institution(bank)),
            certificate_number: number.clone(),
        };
        let mut client = scene.client.clone();
        async move {
            let mut pieces = client.fetch_certificate(request).await.unwrap().into_inner();
            let mut all = Vec::new();
            while let Some(piece) = pieces.message().await.unwrap() {
                all.push(piece);
            }
            all
        }
    };
    let pieces = fetched("yunshui").await;
    assert!(pieces.len() > 1);
    let content: Vec<u8> = pieces.iter().flat_map(|piece| piece.chunk.clone()).collect();
    assert_eq!(digest::digest(&digest::SHA256, &content).as_ref(), pieces[0].sha256);
    assert_eq!(usize::try_from(pieces[0].size_bytes).unwrap(), content.len());
    assert!(fetched("fudeng").await.is_empty());
    scene.control().order(Call::FetchCertificate, [Fault::Spoil, Fault::CutShort]);
    let spoilt: Vec<u8> =
        fetched("yunshui").await.iter().flat_map(|piece| piece.chunk.clone()).collect();
    assert_ne!(digest::digest(&digest::SHA256, &spoilt).as_ref(), pieces[0].sha256);
    assert_eq!(fetched("yunshui").await.len(), pieces.len() - 1);
}

#[tokio::test]
async fn a_case_is_withdrawn_while_nothing_is_entered_and_only_by_its_own_institution() {
    let scene = Scene::new(|settings| settings.review = Review::OnCommand).await;
    let case = scene.submit(first_general()).await.unwrap();
    let case_id = case.outcome.unwrap().case_id;
    let withdrawn = |bank: &str| {
        let request = WithdrawRequest {
            institution: Some(institution(bank)),
            case_id: case_id.clone(),
            ..WithdrawRequest::default()
        };
        let mut client = scene.client.clone();
        async move { client.withdraw(request).await.unwrap().into_inner().case }
    };
    assert_eq!(withdrawn("fudeng").await, None);
    assert_eq!(status(&withdrawn("yunshui").await.unwrap()), CaseStatus::Withdrawn);
    assert_eq!(status(&withdrawn("yunshui").await.unwrap()), CaseStatus::Withdrawn);
    assert_eq!(scene.control().advance_all(Step::Register), 0);

    let mut other = first_general();
    other.idempotency_key = "other".to_owned();
    let case_id = scene.submit(other).await.unwrap().outcome.unwrap().case_id;
    scene.control().advance(&case_id, Step::Register).unwrap();
    let request = WithdrawRequest {
        institution: Some(institution("yunshui")),
        case_id,
        ..WithdrawRequest::default()
    };
    let case = scene.client.clone().withdraw(request).await.unwrap().into_inner().case.unwrap();
    assert_eq!(status(&case), CaseStatus::Registered);
}

#[tokio::test]
async fn a_case_that_waits_for_a_correction_ends_when_it_is_corrected() {
    let scene = Scene::new(|settings| settings.review = Review::OnCommand).await;
    let first = scene.submit(first_general()).await.unwrap().outcome.unwrap().case_id;
    let corrected = |key: &str| {
        let mut application = first_general();
        application.idempotency_key = key.to_owned();
        application.corrects_case_id = first.clone();
        scene.correct(application)
    };
    let early = corrected("early").await.unwrap();
    assert_eq!((code(&early), status(&early)), ("CASE_NOT_CORRECTABLE", CaseStatus::NotAccepted));
    scene.control().advance(&first, Step::AskForCorrection).unwrap();
    let case = scene.case(By::CaseId(first.clone())).await.unwrap();
    assert_eq!(status(&case), CaseStatus::CorrectionRequested);
    assert!(!case.outcome.unwrap().correction.unwrap().items.is_empty());
    let case = corrected("second").await.unwrap();
    assert_eq!(status(&case), CaseStatus::Accepted);
    assert_eq!(corrected("second").await.unwrap(), case, "a key that comes again");
    let ended = scene.case(By::CaseId(first.clone())).await.unwrap();
    assert_eq!(status(&ended), CaseStatus::Terminated);
}
