//! Materials, from a bank's upload to the registry: over mutual TLS, through the real program, kept in a folder and in a
//! real S3 service, and what two hundred megabytes cost of memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use conformance_tests::{
    deployment::{Deployment, Plan},
    reference_registry::{Call, Fault},
    samples::Samples,
    scenario::clock,
    tls,
};
use futures_util::stream;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use reqwest::{Client, Method, Response};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

const PDF: &[u8] = b"%PDF-1.7 a mortgage contract, as it was scanned";

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A gateway that takes materials, and two banks.
struct Scene {
    deployment: Deployment,
    bank: Client,
    another: Client,
}

impl Scene {
    async fn new(settings: &str) -> Self {
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let mut plan = Plan::of_one("standard", &contracts, settings).unwrap();
        plan.banks.push("songlai".to_owned());
        Self::of(&plan, None).await
    }

    /// With what the gateway's clock says, where that is not the time.
    async fn of(plan: &Plan, clock: Option<&str>) -> Self {
        let mut deployment = Deployment::prepare(plan, |registry| registry).await.unwrap();
        deployment.gateways[0].clock =
            clock.map(|moment| clock::offset_to(moment, time::Duration::ZERO).unwrap());
        deployment.start().await.unwrap();
        let client = |bank: &str| {
            let own = &deployment.pki.banks[bank];
            let tls = tls::client(Some(own), &deployment.pki.banks_ca, &["h2", "http/1.1"]);
            let client = Client::builder().tls_backend_preconfigured(tls.unwrap());
            client.no_proxy().build().unwrap()
        };
        Self { bank: client(&plan.banks[0]), another: client(&plan.banks[1]), deployment }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.deployment.gateways[0].https)
    }

    async fn uploaded(
        &self,
        sha256: &str,
        media_type: &str,
        range: Option<&str>,
        bytes: &[u8],
    ) -> (u16, Value) {
        let put = self.bank.put(self.url(&format!("/materials/{sha256}")));
        let mut put = put.header("content-type", media_type).body(bytes.to_vec());
        if let Some(range) = range {
            put = put.header("content-range", range);
        }
        told(put.send().await.unwrap()).await
    }

    async fn offset(&self, client: &Client, sha256: &str) -> Option<u64> {
        let head = client.request(Method::HEAD, self.url(&format!("/materials/{sha256}")));
        let answer = head.send().await.unwrap();
        Some(answer.headers().get("upload-offset")?.to_str().unwrap().parse().unwrap())
    }

    /// Files the sample mortgage with this material.
    async fn filed(&self, key: &str, material: Value) -> (u16, Value) {
        let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
        let sample = Samples::of(&contracts.join("standard")).unwrap();
        let sample = sample.request("first_general").unwrap();
        let sample = adapters::wire::whole::HttpMessage::parse(&sample).unwrap();
        let mut body: Value = serde_json::from_slice(&sample.body).unwrap();
        body["materials"] = json!([material]);
        body["contract_number"] = json!(key);
        let post = self
            .bank
            .post(self.url("/v1/mortgages"))
            .body(body.to_string())
            .header("content-type", "application/json");
        told(post.header("idempotency-key", format!("\"{key}\"")).send().await.unwrap()).await
    }

    /// Makes all that is kept of materials look so old.
    fn age(&self, age: Duration) {
        for file in self.kept() {
            let file = File::options().write(true).open(file).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
    }

    /// How long ago anything of them was written.
    fn youngest(&self) -> Duration {
        let written = |file: PathBuf| fs::metadata(file).unwrap().modified().unwrap();
        self.kept().into_iter().map(written).max().unwrap().elapsed().unwrap_or_default()
    }

    /// The files of materials.
    fn kept(&self) -> Vec<PathBuf> {
        let (mut folders, mut files) =
            (vec![self.deployment.folder().join("materials")], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    fn materials(&self) -> u64 {
        self.deployment.registry.control().counts().materials
    }
}

async fn told(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

fn hex_of(content: &[u8]) -> String {
    hex::encode(digest(&SHA256, content))
}

fn paper(sha256: &str) -> Value {
    json!({ "kind": "MORTGAGE_CONTRACT", "media_type": "application/pdf", "sha256": sha256 })
}

/// Uploads in two halves, files, and files again.
async fn goes_to_the_registry(settings: &str) {
    let scene = Scene::new(settings).await;
    let sha256 = hex_of(PDF);
    assert_eq!(scene.offset(&scene.bank, &sha256).await, None);
    let (status, refused) = scene.filed("early", paper(&sha256)).await;
    assert_eq!((status, &refused["code"]), (422, &json!("MATERIAL_UNKNOWN")), "{refused}");
    assert_eq!(refused["errors"][0]["pointer"], "/materials/0/sha256");
    assert_eq!(scene.deployment.registry.control().counts().submits, 0);

    let size = PDF.len();
    let pdf = "application/pdf";
    let first = format!("bytes 0-9/{size}");
    assert_eq!(scene.uploaded(&sha256, pdf, Some(&first), &PDF[..10]).await.0, 202);
    assert_eq!(scene.offset(&scene.bank, &sha256).await, Some(10));
    let elsewhere = format!("bytes 12-{}/{size}", size - 1);
    let (status, refused) = scene.uploaded(&sha256, pdf, Some(&elsewhere), &PDF[12..]).await;
    assert_eq!((status, &refused["code"]), (409, &json!("MATERIAL_OFFSET")), "{refused}");
    let rest = format!("bytes 10-{}/{size}", size - 1);
    let (status, whole) = scene.uploaded(&sha256, pdf, Some(&rest), &PDF[10..]).await;
    assert_eq!((status, &whole["complete"]), (201, &json!(true)), "{whole}");
    assert_eq!(scene.offset(&scene.another, &sha256).await, None, "another bank sees it");

    let (status, filed) = scene.filed("with-papers", paper(&sha256)).await;
    assert_eq!((status, &filed["status"]), (201, &json!("REGISTERED")), "{filed}");
    let (_, again) = scene.filed("with-papers", paper(&sha256)).await;
    assert_eq!(again["replayed"], true, "{again}");
    assert_eq!(scene.materials(), 1, "once, though it was filed twice");
    let received = scene.deployment.registry.control().received();
    let calls: Vec<Call> = received.iter().map(|it| it.call).collect();
    let at = |call| calls.iter().position(|it| *it == call);
    assert!(at(Call::UploadMaterial) < at(Call::Submit), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_goes_to_the_registry_before_the_filing_that_names_it() {
    goes_to_the_registry("[materials]\npart_bytes_min = 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_service_keeps_materials_as_a_folder_does() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("papers")).unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "hush\n").unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
    service.set_auth(SimpleAuth::from_single("gateway", "hush"));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let connection = Builder::new(TokioExecutor::new());
                drop(connection.serve_connection(TokioIo::new(socket), service).await);
            });
        }
    });
    goes_to_the_registry(&format!(
        "[materials]\npart_bytes_min = 1\ns3 = \"s3://papers/gateway\"\ns3_endpoint = \"http://{address}\"\n\
         s3_region = \"us-east-1\"\ns3_access_key = \"gateway\"\ns3_secret_file = \"{}\"\n",
        secret.display()
    ))
    .await;
    assert!(folder.path().join("papers/gateway/standard").is_dir(), "nothing is in the bucket");
}

/// A filing with a material waits for its office, which has moved to another registry; it is not open yet.
async fn waiting_while_its_office_moves(settings: &str, ledger: toml::Table) -> Scene {
    let settings = format!(
        "[materials]\n[queue]\nkey_file = \"queue.keys\"\n\
         [office]\nhours = [\"1-5 09:00-17:00\"]\n{settings}"
    );
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let mut plan = Plan::of_one("standard", &contracts, &settings).unwrap();
    plan.banks.push("yunshui".to_owned());
    plan.apart = Some("yunshui".to_owned());
    plan.ledger.extend(ledger);
    let scene = Scene::of(&plan, Some("Sunday 20:00")).await;
    let sha256 = hex_of(PDF);
    assert_eq!(scene.uploaded(&sha256, "application/pdf", None, PDF).await.0, 201);
    scene.age(HOUR);
    let (_, waits) = scene.filed("waits", paper(&sha256)).await;
    assert_eq!(waits["status"], "QUEUED_OUT_OF_HOURS", "{waits}");
    assert_eq!(scene.materials(), 1);

    scene.deployment.move_offices().await.unwrap();
    let taken = "directlink_settings_changed_total{end=\"taken\"} 1";
    while !scene.deployment.gateways[0].metrics().await.unwrap().contains(taken) {
        tokio::time::sleep(Duration::from_millis(50)).await; // Metrics are asked for, not told.
    }
    scene
}

fn open_offices(scene: &mut Scene) {
    let gateway = &mut scene.deployment.gateways[0];
    let monday = clock::offset_to("Monday 09:00", gateway.clock.unwrap()).unwrap();
    gateway.turn_clock(monday).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn papers_follow_a_filing_that_waits_to_the_registry_its_office_moves_to() {
    let mut scene = waiting_while_its_office_moves("", toml::Table::new()).await;
    assert!(scene.youngest() < HOUR, "what a filing names is kept as if it came with it");
    open_offices(&mut scene);
    let moved = scene.deployment.another.as_ref().unwrap().control();
    let sent = timeout(Duration::from_secs(60), moved.when(|counts| counts.registered == 1)).await;
    assert_eq!(sent.unwrap().materials, 1, "its new registry has the papers too");
    assert_eq!(scene.deployment.registry.control().counts().submits, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn papers_that_take_longer_than_a_lease_hold_a_filing_up_no_longer_and_it_is_sent_once() {
    let lease = toml::Table::from_iter([("lease_seconds".to_owned(), 2.into())]);
    let mut scene = waiting_while_its_office_moves("[registry]\ndeadline_seconds = 1", lease).await;
    let moved = scene.deployment.another.as_ref().unwrap().control().clone();
    // However often they are handed over.
    moved.order(Call::UploadMaterial, [Fault::Delay { ms: 3_000 }; 50]);
    open_offices(&mut scene);
    let sent = timeout(Duration::from_secs(30), moved.when(|counts| counts.registered == 1)).await;
    sent.expect("it is held up for good");
    // Whoever took it meanwhile, and hands its papers over still, ends before the gateway does.
    scene.deployment.gateways[0].tell_to_stop().await.unwrap();
    assert!(scene.deployment.gateways[0].stopped().await.unwrap().success());
    let counts = moved.counts();
    assert!(counts.materials >= 1);
    assert_eq!((counts.submits, counts.registered), (1, 1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_deleted_here_and_stays_with_the_registry() {
    let scene = Scene::new("[materials]\nretention_seconds = 1").await;
    let sha256 = hex_of(PDF);
    assert_eq!(scene.uploaded(&sha256, "application/pdf", None, PDF).await.0, 201);
    assert_eq!(scene.filed("in-time", paper(&sha256)).await.0, 201);
    let gone = async {
        while scene.offset(&scene.bank, &sha256).await.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await; // Nobody tells of it.
        }
    };
    timeout(Duration::from_secs(30), gone).await.unwrap();
    let (_, refused) = scene.filed("too-late", paper(&sha256)).await;
    assert_eq!(refused["code"], "MATERIAL_UNKNOWN", "{refused}");
    assert_eq!(scene.materials(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_is_said_to_be_is_told_so() {
    let scene = Scene::new("[materials]\nbytes_max = 64").await;
    let sha256 = hex_of(PDF);
    let pdf = "application/pdf";
    for (name, media_type, bytes, status, code) in [
        (hex_of(b"other"), pdf, PDF, 422, "MATERIAL_DIGEST"),
        (sha256.clone(), "image/png", PDF, 422, "MATERIAL_CONTENT"),
        (sha256.clone(), "video/mp4", PDF, 415, "MATERIAL_TYPE_UNSUPPORTED"),
        (sha256.clone(), pdf, &[b'%'; 65], 413, "MATERIAL_TOO_LARGE"),
        ("nonsense".to_owned(), pdf, PDF, 404, "PATH_UNKNOWN"),
    ] {
        let (found, problem) = scene.uploaded(&name, media_type, None, bytes).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
        assert_eq!(problem["sent"], "NO");
    }
    let part = format!("bytes 0-9/{}", PDF.len());
    let (status, problem) = scene.uploaded(&sha256, pdf, Some(&part), &PDF[..10]).await;
    assert_eq!((status, &problem["code"]), (422, &json!("MATERIAL_PART_TOO_SMALL")), "{problem}");
    assert_eq!(scene.uploaded(&sha256, pdf, None, PDF).await.0, 201);
    let mut other = paper(&sha256);
    other["size_bytes"] = json!(7);
    other["media_type"] = json!("image/png");
    let (status, refused) = scene.filed("wrong", other).await;
    assert_eq!((status, &refused["code"]), (422, &json!("MATERIAL_MISMATCH")), "{refused}");
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2);
    let mut shared = paper(&sha256);
    shared["reference"] = json!("SHARED-1");
    let (_, refused) = scene.filed("shared", shared).await;
    assert_eq!(refused["code"], "FIELD_FORBIDDEN", "the registry takes none: {refused}");
    let inline = json!({ "kind": "OTHER", "media_type": "application/pdf", "content": "JVBERi0x" });
    let (status, filed) = scene.filed("inline", inline).await;
    assert_eq!((status, &filed["status"]), (201, &json!("REGISTERED")), "{filed}");
    assert_eq!(scene.materials(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_megabytes_cost_no_more_than_sixteen_of_memory() {
    const PIECES: usize = 3_200;
    let scene = Scene::new("[materials]").await;
    let small = hex_of(PDF);
    assert_eq!(scene.uploaded(&small, "application/pdf", None, PDF).await.0, 201);
    assert_eq!(scene.filed("small", paper(&small)).await.0, 201);
    let before = peak_kib(&scene);

    let piece = Bytes::from([b"%PDF-".as_slice(), &[7; 65_531]].concat());
    let mut sha256 = Context::new(&SHA256);
    (0..PIECES).for_each(|_| sha256.update(&piece));
    let sha256 = hex::encode(sha256.finish());
    let pieces = std::iter::repeat_n(piece.clone(), PIECES).map(Ok::<_, std::io::Error>);
    let put = scene.bank.put(scene.url(&format!("/materials/{sha256}")));
    let put = put.header("content-type", "application/pdf");
    let put = put.header("content-length", piece.len() * PIECES);
    let answer = put.body(reqwest::Body::wrap_stream(stream::iter(pieces))).send().await.unwrap();
    let (status, whole) = told(answer).await;
    assert_eq!((status, &whole["received_bytes"]), (201, &json!(209_715_200)), "{whole}");
    let (status, filed) = scene.filed("large", paper(&sha256)).await;
    assert_eq!((status, &filed["status"]), (201, &json!("REGISTERED")), "{filed}");
    assert_eq!(scene.materials(), 2);
    let cost = peak_kib(&scene) - before;
    assert!(cost <= 16 * 1024, "{cost} KiB");
}

/// The most memory the gateway ever held. Source: proc(5), VmHWM.
fn peak_kib(scene: &Scene) -> u64 {
    let id = scene.deployment.gateways[0].process_id().unwrap();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
