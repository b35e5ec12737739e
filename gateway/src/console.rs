//! The operators' console: pages on the admin port that say what is going on, and whose fault it is.
//!
//! Reads alone: metrics, the ledger, settings. Shows nothing of a bank's customers: no name, number, address or amount, and
//! no words of a registry, which may hold any of them. Asks nobody who is asking, so it is served on loopback alone
//! (docs/decisions/0024-who-sees-the-console.md).

mod case;
mod now;
mod standing;

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use minijinja::context;
use serde::Deserialize;
use tokio::{sync::watch, time::interval};
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Gateway,
    pages::{self, Language, Pages},
    settings::{Console as ConsoleSettings, Settings},
    telemetry::Metrics,
};
use now::Past;

/// Where its pages lie.
const BASE: &str = "/console/";

/// The pages, and what they are made from. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// The settings file as it was read: it holds no secret, only the paths of files that do.
    written: String,
    refresh: Duration,
    metrics: Metrics,
    past: Past,
    pages: Pages,
    /// Not held: the ledger is closed when the last of its users lets go of it.
    gateway: OnceLock<Weak<Gateway>>,
}

impl Console {
    /// A console, if settings want one. `written`: the settings file's text.
    ///
    /// # Errors
    /// A template of ours is none.
    pub fn new(
        settings: &Settings,
        written: String,
        metrics: Metrics,
    ) -> Result<Option<Self>, minijinja::Error> {
        let Some(ConsoleSettings { refresh }) = settings.console else { return Ok(None) };
        let templates = [
            ("console.html", include_str!("console/console.html")),
            ("now.html", include_str!("console/now.html")),
            ("cases.html", include_str!("console/cases.html")),
            ("offices.html", include_str!("console/offices.html")),
            ("institutions.html", include_str!("console/institutions.html")),
            ("unknown.html", include_str!("console/unknown.html")),
            ("settings.html", include_str!("console/settings.html")),
            ("missing.html", include_str!("console/missing.html")),
        ];
        Ok(Some(Self(Arc::new(Inner {
            settings: settings.clone(),
            written,
            refresh,
            metrics,
            past: Past::default(),
            pages: Pages::new(BASE, &templates)?,
            gateway: OnceLock::new(),
        }))))
    }

    /// From now on there is a gateway to look at.
    pub fn serving(&self, gateway: &Arc<Gateway>) {
        // Set once: a process assembles one.
        let _again = self.0.gateway.set(Arc::downgrade(gateway));
    }

    /// Its routes, until `stop` is cancelled.
    pub fn routes(&self, stop: CancellationToken) -> Router {
        let changes = self.keep_time(stop);
        let routes = Router::new()
            .route("/", get(now))
            .route("/cases", get(cases))
            .route("/cases/{institution}/{key}", get(one_case))
            .route("/offices", get(offices))
            .route("/institutions", get(institutions))
            .route("/unknown", get(unknown))
            .route("/settings", get(settings))
            .route("/changes", get(move || async move { pages::changes(changes) }))
            .with_state(self.clone());
        pages::guarded(BASE, routes)
    }

    /// Reads the metrics every so often, and tells open pages to look again; both end with `stop`, and so do the pages'
    /// connections.
    fn keep_time(&self, stop: CancellationToken) -> watch::Receiver<()> {
        let (teller, changes) = watch::channel(());
        let console = self.clone();
        tokio::spawn(async move {
            let mut times = interval(console.0.refresh.max(Duration::from_millis(100)));
            while stop.run_until_cancelled(times.tick()).await.is_some() {
                console.0.past.note(console.0.metrics.readings());
                teller.send_replace(());
            }
        });
        changes
    }

    fn gateway(&self) -> Option<Arc<Gateway>> {
        self.0.gateway.get()?.upgrade()
    }

    fn show(&self, language: Language, page: &str, told: minijinja::Value) -> Response {
        self.0.pages.show(language, page, told)
    }

    /// What could not be found, or not be looked for.
    fn missing(&self, language: Language, why: &str, status: StatusCode) -> Response {
        let mut page = self.show(language, "missing.html", context! { why });
        *page.status_mut() = status;
        page
    }
}

async fn now(State(console): State<Console>, language: Language) -> Response {
    let told = now::Now::of(&console.0.settings, &console.0.past, console.0.metrics.readings());
    console.show(language, "now.html", context! { place => "now", now => told })
}

#[derive(Deserialize)]
struct Search {
    /// An idempotency key, or a registry's number of a case.
    #[serde(default)]
    q: String,
    /// Of this institution alone; empty is all.
    #[serde(default)]
    institution: String,
}

async fn cases(
    State(console): State<Console>,
    language: Language,
    Query(search): Query<Search>,
) -> Response {
    let Some(gateway) = console.gateway() else {
        return console.missing(language, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    let wanted = search.q.trim();
    let institutions: Vec<_> =
        console.0.settings.institutions.iter().map(|it| it.id.clone()).collect();
    let chosen = institutions
        .iter()
        .filter(|id| search.institution.is_empty() || **id == search.institution);
    match case::search(&*gateway.ledger, chosen, wanted).await {
        Ok(found) => console.show(
            language,
            "cases.html",
            context! {
                place => "cases", q => wanted, institution => search.institution, institutions, found,
            },
        ),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the console could not look for a case");
            console.missing(language, "ledger", StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

async fn one_case(
    State(console): State<Console>,
    language: Language,
    Path((institution, key)): Path<(String, String)>,
) -> Response {
    let Some(gateway) = console.gateway() else {
        return console.missing(language, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    match case::one(&*gateway.ledger, &institution, &key, language).await {
        Ok(Some(case)) => console.show(language, "cases.html", context! { place => "cases", case }),
        Ok(None) => console.missing(language, "case", StatusCode::NOT_FOUND),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the console could not look at a case");
            console.missing(language, "ledger", StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

async fn offices(State(console): State<Console>, language: Language) -> Response {
    let Some(gateway) = console.gateway() else {
        return console.missing(language, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    let queued = gateway.ledger.queued().await.ok();
    let readings = console.0.metrics.readings();
    let offices = standing::offices(&gateway, &readings, queued.as_deref());
    console.show(language, "offices.html", context! { place => "offices", offices })
}

async fn institutions(State(console): State<Console>, language: Language) -> Response {
    let readings = console.0.metrics.readings();
    let institutions = standing::institutions(&console.0.settings, &readings);
    console.show(language, "institutions.html", context! { place => "institutions", institutions })
}

async fn unknown(State(console): State<Console>, language: Language) -> Response {
    let Some(gateway) = console.gateway() else {
        return console.missing(language, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
    };
    let mut registries = Vec::new();
    for registry in &console.0.settings.registries {
        let unknown = gateway.ledger.unknown(&registry.name).await.ok();
        registries.push(context! {
            name => registry.name,
            idempotent => registry.idempotent,
            count => unknown.map(|it| it.count),
            oldest_seconds => unknown.map(|it| it.oldest.as_secs()),
        });
    }
    console.show(language, "unknown.html", context! { place => "unknown", registries })
}

async fn settings(State(console): State<Console>, language: Language) -> Response {
    let certificates = standing::certificates(&console.0.settings);
    let written = &console.0.written;
    console.show(
        language,
        "settings.html",
        context! { place => "settings", written, certificates, version => env!("CARGO_PKG_VERSION") },
    )
}
