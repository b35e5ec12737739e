//! What exported spans say is named as OpenTelemetry's semantic conventions name it, and what those require of a span is there:
//! read from what a real gateway exports of filings that go well, are refused and are not answered, and of notices.

use std::{collections::BTreeSet, path::Path};

use conformance_tests::{
    collector::Collector,
    deployment::{Deployment, Plan},
    postgres_server::PostgresServer,
    programme,
    reserved_port::ReservedPort,
    scenario::stage::Stage,
};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};

/// What the conventions say of one kind of span.
struct Convention {
    what: &'static str,
    kind: SpanKind,
    /// The attribute by which a span of it is known.
    known_by: &'static str,
    required: &'static [&'static str],
    /// What else it may have; of other names only those of [`OUR_OWN`].
    allowed: &'static [&'static str],
}

/// Of version 1.45.0, with the requirement level "Required", or "Conditionally Required" where the condition always holds.
/// Sources: opentelemetry.io, "Semantic conventions for HTTP spans", "… for gRPC" and "… for database client spans".
const CONVENTIONS: &[Convention] = &[
    Convention {
        what: "an HTTP server",
        kind: SpanKind::Server,
        known_by: "http.request.method",
        required: &["http.request.method", "http.route", "url.path", "url.scheme"],
        allowed: &["error.type", "http.response.status_code", "network.protocol.version"],
    },
    Convention {
        what: "an HTTP client",
        kind: SpanKind::Client,
        known_by: "http.request.method",
        required: &["http.request.method", "server.address", "server.port", "url.full"],
        allowed: &["error.type", "http.response.status_code"],
    },
    Convention {
        what: "a gRPC client",
        kind: SpanKind::Client,
        known_by: "rpc.system.name",
        required: &[
            "rpc.system.name",
            "rpc.method",
            "rpc.response.status_code",
            "server.address",
            "server.port",
        ],
        allowed: &["error.type"],
    },
    Convention {
        what: "a database client",
        kind: SpanKind::Client,
        known_by: "db.system.name",
        required: &["db.system.name", "db.operation.name"],
        allowed: &["error.type"],
    },
];

/// What no convention has a name for.
const OUR_OWN: &str = "directlink.";

/// Of a span that is none of those.
const OF_ANY: &[&str] = &["error.type", "network.transport"];

const STEPS: &[&str] = &[
    "bank sends first_general",
    "bank hears outcome status=REGISTERED",
    "bank sends title_query",
    "bank sends first_general with matter.rank=7",
    "registry is silent after commit",
    "bank sends first_maximum",
    "bank hears refusal code=OUTCOME_UNKNOWN",
    "bank repeats first_maximum until outcome status=REGISTERED",
];

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_named_by_the_conventions() {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/banks");
    let roles = programme::roles(&contracts).unwrap();
    let role = roles.iter().find(|role| role.bank == "standard").unwrap();
    let collector = Collector::start().await.unwrap();
    let nobody = ReservedPort::reserve().unwrap();
    let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap().unwrap();
    let settings = format!(
        "[telemetry]\notlp = \"{otlp}\"\ntrace_one_in = 1\n[registry]\ndeadline_seconds = 1\n\
         [[subscriber]]\nname = \"away\"\ninstitution = \"standard\"\nserver_name = \"localhost\"\n\
         address = \"https://{nobody}/notices?token=hush\"\nca = \"pki/banks-ca.pem\"\n\
         certificate = \"pki/gateway-client.pem\"\nkey = \"pki/gateway-client.key\"\n\
         networks = [\"127.0.0.0/8\"]\n",
        otlp = collector.address,
        nobody = nobody.address
    );
    let mut plan = Plan::of_one("standard", &contracts, &settings).unwrap();
    let database = server.make_database().await.unwrap();
    plan.ledger = toml::Table::from_iter([("postgres".into(), database.into())]);
    let mut deployment = Deployment::prepare(&plan, |settings| settings).await.unwrap();
    deployment.start().await.unwrap();
    let mut stage = Stage::new(deployment, None);
    stage.enter(role).unwrap();
    for step in STEPS {
        stage.play(&step.parse().unwrap()).await.unwrap();
    }
    let mut deployment = stage.into_deployment();
    deployment.gateways[0].tell_to_stop().await.unwrap();
    deployment.gateways[0].stopped().await.unwrap();

    let spans = collector.spans().unwrap();
    let mut seen = BTreeSet::new();
    for span in &spans {
        let names: BTreeSet<&str> = span.attributes.iter().map(|it| it.key.as_str()).collect();
        let is_of =
            |it: &&Convention| span.kind == i32::from(it.kind) && names.contains(it.known_by);
        let convention = CONVENTIONS.iter().find(is_of);
        let (what, required, allowed): (_, &[&str], _) = match convention {
            Some(it) => (it.what, it.required, it.allowed),
            None => ("another", &[], OF_ANY),
        };
        seen.insert(what);
        let told = || format!("{what}, `{}`, says {names:?}", span.name);
        assert!(required.iter().all(|it| names.contains(it)), "{}", told());
        for name in names.iter().filter(|it| !it.starts_with(OUR_OWN)) {
            assert!(required.contains(name) || allowed.contains(name), "`{name}`: {}", told());
        }
        // An error is told by both, or neither.
        assert_eq!(names.contains("error.type"), is_error(span), "{}", told());
    }
    let expected: BTreeSet<&str> =
        CONVENTIONS.iter().map(|it| it.what).chain(["another"]).collect();
    assert_eq!(seen, expected);
    assert!(!collector.text().contains("hush"), "the query of a subscriber's address is told");
}

fn is_error(span: &Span) -> bool {
    span.status.is_some()
}
