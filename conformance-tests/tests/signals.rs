//! What is counted and timed, as docs/metrics.md lists it; and that alert rules and dashboard ask for nothing else.
//!
//! Everything is counted once here, so that the list is what the gateway really tells. With `DIRECTLINK_REWRITE_GOLDEN=1`
//! the document is rewritten, to be reviewed. Whether the rules do what they say is promtool's business (helm/alerts.py).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use gateway::{
    ledger::{Unknown, notices::Standing},
    refusal::Code,
    registry::Shut,
    telemetry::{
        CallEnd, ContractEnd, Deadline, Heard, Holder, LedgerVerb, Lost, Metrics, Noticed,
        RegistryCall, SettingsEnd, TurnedAway, TurnedBack,
    },
    tls::Protocol,
};

/// A metric as Prometheus is told of it.
#[derive(Debug, Default)]
struct Told {
    kind: String,
    says: String,
    labels: BTreeSet<String>,
}

#[test]
fn the_document_lists_every_metric() {
    let told = told();
    let mut document = DOCUMENT.to_owned();
    for (name, Told { kind, says, labels }) in &told {
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        document.push_str(&format!("| `{name}` | {kind} | {} | {says} |\n", labels.join(", ")));
    }
    let path = root().join("docs/metrics.md");
    if env::var_os("DIRECTLINK_REWRITE_GOLDEN").is_some() {
        fs::write(&path, &document).unwrap();
    }
    let written = fs::read_to_string(path).unwrap();
    assert!(written == document, "docs/metrics.md is not what is told:\n{document}");
    // What is named in the code and counted by no line of `told` would be missing here too.
    let known: BTreeSet<String> = told.keys().map(|name| bare(name)).collect();
    for name in named_in_code() {
        assert!(known.contains(&name), "{name} is in the code: have `told` count it once");
    }
}

#[test]
fn rules_and_dashboard_ask_for_what_is_told() {
    let told = told();
    for file in ["files/alerts.yaml", "files/dashboard.json", "ci/alerts.test.yaml"] {
        let path = root().join("helm/directlink").join(file);
        let text = fs::read_to_string(path).unwrap().replace("\\\"", "\"");
        let asked = asked(&text);
        assert!(asked.len() > 20, "{file} asks for nothing");
        for (name, labels) in asked {
            let metric = of(&told, &name);
            let metric = metric.unwrap_or_else(|| panic!("{file}: nothing is told as {name}"));
            let odd: Vec<_> = labels.difference(&metric.labels).collect();
            assert!(odd.is_empty(), "{file}: {name} has no {odd:?}, but {:?}", metric.labels);
        }
        let all: BTreeSet<_> = told.values().flat_map(|metric| &metric.labels).collect();
        for label in grouped_by(&text) {
            let own = ["instance", "le", "alertname", "severity"].contains(&label.as_str());
            assert!(own || all.contains(&label), "{file}: nothing has {label}");
        }
    }
}

#[test]
fn no_label_says_what_a_message_says() {
    // Names from settings and contracts, codes and enums: each is bounded by what operators or this code wrote.
    const BOUNDED: [&str; 20] = [
        "institution",
        "message",
        "result",
        "code",
        "layer",
        "registry",
        "office",
        "call",
        "end",
        "verb",
        "purpose",
        "why",
        "made",
        "status",
        "deadline",
        "subscriber",
        "version",
        "contract",
        "port",
        "holder",
    ];
    for (name, metric) in told() {
        let odd: Vec<_> = metric
            .labels
            .iter()
            .filter(|label| !BOUNDED.contains(&label.as_str()))
            // Of whom a certificate is: a registry or an institution of settings.
            .filter(|label| {
                (name.as_str(), label.as_str()) != ("directlink_certificate_expires", "name")
            })
            .collect();
        assert!(odd.is_empty(), "{name} has {odd:?}: say here what bounds it");
    }
}

const DOCUMENT: &str = "# Metrics

Every metric of `/metrics` on the port for operators, in Prometheus' form. Names of labels are bounded: what they say comes
from settings, contracts, or lists in the code, never from a message. What each is to be woken by is in
[running.md](running.md#numbers-to-be-woken-by); alert rules and a dashboard over them are in `helm/directlink/files`.

A histogram is told as `_bucket`, `_sum` and `_count`. What is read out of the ledger is the same at every replica: take the
greatest, do not add it up.

| metric | kind | labels | says |
|---|---|---|---|
";

/// Everything that can be counted, counted once.
fn counted() -> Metrics {
    let (metrics, second) = (Metrics::new().unwrap(), Duration::from_secs(1));
    metrics.exchange("one", "first", "REGISTERED", second);
    metrics.refused("one", Code::OutcomeUnknown);
    metrics.watch_exchanges(|| 1);
    metrics.leaves_dropped("one", 1);
    metrics.read_with("one", "2026a");
    metrics.filing("north", "1", CallEnd::Answered, second);
    metrics.registry_call("north", RegistryCall::Submit, CallEnd::Answered, second);
    metrics.registry_paused("north", 1);
    metrics.shut_out("north", Shut::Full);
    metrics.watch_room("north", "filing", || Some(1));
    metrics.impossible("north", "behind");
    metrics.heard("north", Heard::News, "CASE_STATUS_REGISTERED");
    metrics.deadline("north", Deadline::Near);
    metrics.unknown("north", Unknown { count: 1, oldest: second });
    metrics.offices_differing("north", 1);
    metrics.queued(&[("1".to_owned(), 1)]);
    metrics.integrity_mismatch("north");
    metrics.entry_untold("north");
    metrics.reconciled("north", "agree");
    metrics.open_findings("north", 1);
    metrics.ledger(LedgerVerb::Admit, &Ok::<(), ()>(()), second);
    metrics.watch_commits(|| 1);
    metrics.evidence_unwritten("one");
    metrics.evidence_size(1);
    metrics.evidence_signed(1);
    metrics.evidence_refused(true);
    metrics.noticed("core", Noticed::Delivered);
    metrics.parked("core", 1);
    metrics.standing(&Standing {
        subscriber: "core".to_owned(),
        ended: false,
        failures: 0,
        failing_for: None,
        waiting: 1,
        parked: 1,
        unread: 1,
        oldest: Some(second),
    });
    metrics.contract("one", ContractEnd::Taken);
    metrics.contracts_outdated(1);
    metrics.settings(SettingsEnd::Taken);
    metrics.settings_outdated(true);
    drop(metrics.connection(Protocol::Https));
    metrics.turned_away(Protocol::Https, TurnedAway::Full);
    metrics.turned_back("one", TurnedBack::TooFast);
    metrics.certificate_expires(Holder::Registry, "north", SystemTime::now());
    metrics.traces_lost(Lost::QueueFull, 1);
    metrics
}

fn told() -> BTreeMap<String, Told> {
    let text = String::from_utf8(counted().text().unwrap()).unwrap();
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, says)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            told.entry(name.to_owned()).or_default().says = says.to_owned();
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' '))
        {
            told.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((name, labels)) = asked(line).into_iter().next() {
            let of = told.keys().filter(|family| name.starts_with(family.as_str()));
            let family = of.max_by_key(|family| family.len()).unwrap().clone();
            let labels = labels.into_iter().filter(|label| label != "le");
            told.get_mut(&family).unwrap().labels.extend(labels);
        }
    }
    told
}

/// The metric that is told under a name; a histogram is told under three, and has its bounds as a label.
fn of(told: &BTreeMap<String, Told>, name: &str) -> Option<Told> {
    let parts = ["_bucket", "_sum", "_count"];
    let histogram = parts.iter().find_map(|part| name.strip_suffix(part));
    let found = |name: &str| {
        let metric = told.get(name)?;
        let own = ["instance".to_owned()].into_iter();
        let bounds = (metric.kind == "histogram").then(|| "le".to_owned());
        let labels = metric.labels.iter().cloned().chain(own).chain(bounds).collect();
        Some(Told { labels, kind: metric.kind.clone(), says: metric.says.clone() })
    };
    match histogram.and_then(found).filter(|metric| metric.kind == "histogram") {
        Some(metric) => Some(metric),
        None => found(name).filter(|metric| metric.kind != "histogram"),
    }
}

/// Metrics named in a text, each with the labels it is asked by. A name with a colon is a rule's, not a metric's.
fn asked(text: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == ':';
    let mut asked = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("directlink_") {
        let before = rest[..at].chars().next_back();
        let end = rest[at..].find(|sign| !is_name(sign)).map_or(rest.len(), |length| at + length);
        let name = &rest[at..end];
        rest = &rest[end..];
        if before.is_some_and(is_name) || name.contains(':') {
            continue;
        }
        let braced = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        let labels = braced.map(outside_quotes).unwrap_or_default();
        let labels = labels.split(',').filter_map(|pair| pair.split(['=', '!']).next());
        let labels = labels.map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned);
        asked.push((name.to_owned(), labels.collect()));
    }
    asked
}

/// A text without what stands between quotes.
fn outside_quotes(text: &str) -> String {
    text.split('"').step_by(2).collect()
}

/// Labels that sums are grouped by, and that summaries and legends name.
fn grouped_by(text: &str) -> BTreeSet<String> {
    let lists = text.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let lists = lists.flat_map(|list| list.split(','));
    let legends = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let legends = legends.map(|label| label.trim().trim_start_matches("$labels."));
    let labels = lists.chain(legends.filter(|label| !label.starts_with("$value")));
    labels.map(|label| label.trim().to_owned()).collect()
}

/// A name without what Prometheus' form adds to it.
fn bare(name: &str) -> String {
    name.trim_end_matches("_total").trim_end_matches("_seconds").to_owned()
}

/// The names that stand in the code of the metrics.
fn named_in_code() -> Vec<String> {
    let folder = root().join("gateway/src/telemetry/metrics");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let texts = files.map(|file| fs::read_to_string(file).unwrap());
    let names = texts.flat_map(|text| {
        let quoted = text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let is_name = |text: &String| text.starts_with("directlink.") && !text.contains('/');
        quoted.into_iter().filter(is_name)
    });
    names.map(|name| name.replace('.', "_")).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
