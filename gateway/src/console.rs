//! The operators' console: pages that say what is going on, and whose fault it is.
//!
//! Made from metrics, the ledger and settings. Nothing of a bank's customers is on a page that nobody asked to unmask: no
//! name, number, address or amount, and no words of a registry, which may hold any of them. Where nobody signs in it is on
//! loopback alone, and only reads; where people do, operators act, and each act is a leaf of the log before it is done
//! (docs/decisions/0024-who-sees-the-console.md, 0029).

mod acts;
mod case;
mod cases;
mod contracts;
mod door;
mod findings;
mod lineage;
mod notices;
mod now;
mod personal;
mod staff;
mod standing;
mod trouble;
mod values;
mod visitor;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    middleware,
    response::Response,
    routing::{get, post},
};
use minijinja::context;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::interval,
};
use tokio_util::sync::CancellationToken;

pub use staff::{Guest, Staff};
pub use visitor::Peer;

use crate::{
    entrance::Entrance,
    exchange::Gateway,
    ledger::LedgerError,
    pages::{self, Language, Names, Pages},
    settings::{Console as OwnSettings, Settings},
    telemetry::Metrics,
    tls::TlsError,
};
use door::Door;
use now::Past;
use visitor::Asker;

/// Where its pages lie.
const BASE: &str = "/console/";

/// The pages, and what they are made from. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Those that count.
    settings: ArcSwap<Settings>,
    /// Those of the start: all but who signs in waits for the next.
    own: OwnSettings,
    staff: ArcSwap<Staff>,
    /// The way in at its own port.
    entrance: Option<Arc<Entrance<Staff>>>,
    /// The settings file as it was last taken: it holds no secret, only the paths of files that do.
    written: ArcSwap<String>,
    metrics: Metrics,
    past: Past,
    pages: Pages,
    /// Not held: the ledger is closed when the last of its users lets go of it.
    gateway: OnceLock<Weak<Gateway>>,
}

/// Why there can be no console.
#[derive(Debug, thiserror::Error)]
pub enum NoConsole {
    /// A template of ours is none.
    #[error("the console's pages cannot be made")]
    Pages(#[from] minijinja::Error),
    /// A file of its own port cannot be used.
    #[error("{}: a file of the console's port cannot be used", .0.file().display())]
    Files(#[from] TlsError),
}

/// The templates, by name.
const TEMPLATES: [(&str, &str); 13] = [
    ("console.html", include_str!("console/console.html")),
    ("now.html", include_str!("console/now.html")),
    ("cases.html", include_str!("console/cases.html")),
    ("case.html", include_str!("console/case.html")),
    ("offices.html", include_str!("console/offices.html")),
    ("institutions.html", include_str!("console/institutions.html")),
    ("contracts.html", include_str!("console/contracts.html")),
    ("unknown.html", include_str!("console/unknown.html")),
    ("notices.html", include_str!("console/notices.html")),
    ("findings.html", include_str!("console/findings.html")),
    ("lineage.html", include_str!("console/lineage.html")),
    ("settings.html", include_str!("console/settings.html")),
    ("missing.html", include_str!("console/missing.html")),
];

impl Console {
    /// A console, if settings want one. `written`: the settings file's text.
    ///
    /// # Errors
    /// A template of ours is none, or a file of its own port cannot be used.
    pub fn new(
        settings: &Settings,
        written: &str,
        metrics: Metrics,
    ) -> Result<Option<Self>, NoConsole> {
        let Some(own) = settings.console.clone() else { return Ok(None) };
        let staff = Staff::of(&own);
        let files = door::files(&own);
        let entrance = files.map(|files| Entrance::open(files, staff.clone())).transpose()?;
        Ok(Some(Self(Arc::new(Inner {
            settings: ArcSwap::from_pointee(settings.clone()),
            own,
            staff: ArcSwap::from_pointee(staff),
            entrance,
            written: ArcSwap::from_pointee(written.to_owned()),
            metrics,
            past: Past::default(),
            pages: Pages::new(BASE, &TEMPLATES)?,
            gateway: OnceLock::new(),
        }))))
    }

    /// From now on there is a gateway to look at.
    pub fn serving(&self, gateway: &Arc<Gateway>) {
        // Set once: a process assembles one.
        let _again = self.0.gateway.set(Arc::downgrade(gateway));
    }

    /// The port of its own; `None`: it is on the admin port.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.own.address
    }

    /// The way in at its own port; `None`: it has none.
    pub fn entrance(&self) -> Option<Arc<Entrance<Staff>>> {
        self.0.entrance.clone()
    }

    /// Goes by these settings from now on, which the file `written` gave: who signed in and may not any more, or not as before,
    /// is told to leave.
    pub fn follow(&self, settings: &Arc<Settings>, written: &str) {
        if let Some(own) = &settings.console {
            let staff = Staff::of(own);
            self.0.staff.store(Arc::new(staff.clone()));
            if let Some(entrance) = &self.0.entrance {
                entrance.know(staff);
            }
        }
        self.0.settings.store(Arc::clone(settings));
        self.0.written.store(Arc::new(written.to_owned()));
    }

    /// The settings that count.
    fn settings(&self) -> Arc<Settings> {
        self.0.settings.load_full()
    }

    /// Serves the pages at their own port until `stop` is cancelled; at once nothing, if there is no such port.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let Some(entrance) = self.entrance() else { return };
        let connections_max = self.0.own.connections_max;
        let door = Door {
            entrance,
            pages: self.routes(stop.clone()),
            limits: self.settings().limits.clone(),
            connections: Arc::new(Semaphore::new(connections_max)),
            metrics: self.0.metrics.clone(),
            stop,
        };
        door.serve(listener).await;
    }

    /// Its routes, until `stop` is cancelled. Whoever serves them tells of the [`Peer`].
    pub fn routes(&self, stop: CancellationToken) -> Router {
        let changes = self.keep_time(stop);
        let admitted = middleware::from_fn_with_state(self.clone(), visitor::admit);
        let routes = Router::new()
            .route("/", get(now))
            .route("/cases", get(cases::show))
            .route("/cases/{institution}/{key}", get(case::show))
            .route("/cases/{institution}/{key}/unmask", post(case::unmask).get(case::back))
            .route("/cases/{institution}/{key}/lineage", post(lineage::show).get(case::back))
            .route("/offices", get(offices))
            .route("/institutions", get(institutions))
            .route("/contracts", get(contracts::list))
            .route("/contracts/{contract}/{version}", get(contracts::one))
            .route("/unknown", get(cases::unknown))
            .route("/notices", get(notices::show))
            .route("/notices/resend", post(notices::resend))
            .route("/notices/resume", post(notices::resume))
            .route("/findings", get(findings::show))
            .route("/findings/close", post(findings::close))
            .route("/settings", get(values::show))
            .route("/changes", get(move || async move { pages::changes(changes) }))
            .layer(admitted)
            .with_state(self.clone());
        let secure = self.0.own.address.is_some() || self.0.own.proxy.is_some();
        pages::guarded(BASE, routes, Names { hosts: self.0.own.hosts.clone(), secure })
    }

    /// Reads the metrics every so often, and tells open pages to look again; both end with `stop`, and so do the pages'
    /// connections.
    fn keep_time(&self, stop: CancellationToken) -> watch::Receiver<()> {
        let (teller, changes) = watch::channel(());
        let console = self.clone();
        tokio::spawn(async move {
            let mut times = interval(console.0.own.refresh.max(Duration::from_millis(100)));
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

    /// The ids of all institutions.
    fn institutions(&self) -> Vec<String> {
        self.settings().institutions.iter().map(|it| it.id.clone()).collect()
    }

    fn show(&self, asker: &Asker, page: &str, told: minijinja::Value) -> Response {
        let visitor = &asker.visitor;
        let about = context! {
            who => visitor.who, may_act => asker.may_act(), signs_in => self.0.staff.load().signs_in(),
        };
        self.0.pages.show(asker.language, page, context! { ..told, ..about })
    }

    /// A page of the gateway's, made by `make` from what the ledger says.
    async fn show_of<F: Future<Output = Result<Option<minijinja::Value>, LedgerError>>>(
        &self,
        asker: &Asker,
        page: &str,
        make: impl FnOnce(Arc<Gateway>) -> F,
    ) -> Response {
        let Some(gateway) = self.gateway() else {
            return self.missing(asker, "not_serving", StatusCode::SERVICE_UNAVAILABLE);
        };
        match make(gateway).await {
            Ok(Some(told)) => self.show(asker, page, told),
            Ok(None) => self.missing(asker, "nothing", StatusCode::NOT_FOUND),
            Err(error) => self.ledger_away(asker, &error),
        }
    }

    fn ledger_away(&self, asker: &Asker, error: &LedgerError) -> Response {
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, "the console could not ask the ledger");
        self.missing(asker, "ledger", StatusCode::SERVICE_UNAVAILABLE)
    }

    /// What could not be found, looked for, or done.
    fn missing(&self, asker: &Asker, why: &str, status: StatusCode) -> Response {
        let mut page = self.show(asker, "missing.html", context! { why });
        *page.status_mut() = status;
        page
    }

    /// For somebody who is not known.
    fn stranger(&self, language: Language) -> Response {
        let told = context! { why => "stranger", stranger => true };
        let mut page = self.0.pages.show(language, "missing.html", told);
        *page.status_mut() = StatusCode::FORBIDDEN;
        page
    }
}

async fn now(State(console): State<Console>, asker: Asker) -> Response {
    let inner = &console.0;
    let readings = inner.metrics.readings();
    let mut told = now::Now::of(&console.settings(), &inner.past, readings.clone());
    let lately = match console.gateway() {
        Some(gateway) => {
            told.count_unknown(&gateway).await;
            now::lately(&gateway).await
        }
        None => now::Lately::default(),
    };
    let now::Lately { offices, institutions } = lately;
    let troubles = trouble::troubles(&told, &offices, &readings);
    console.show(
        &asker,
        "now.html",
        context! { place => "now", now => told, offices, took => institutions, troubles },
    )
}

async fn offices(State(console): State<Console>, asker: Asker) -> Response {
    let readings = console.0.metrics.readings();
    let make = async |gateway: Arc<Gateway>| {
        let queued = gateway.ledger.queued().await.ok();
        let lately = now::lately(&gateway).await;
        let offices = standing::offices(&gateway, &readings, queued.as_deref(), &lately.offices);
        Ok(Some(context! { place => "offices", offices }))
    };
    console.show_of(&asker, "offices.html", make).await
}

async fn institutions(State(console): State<Console>, asker: Asker) -> Response {
    let readings = console.0.metrics.readings();
    let institutions = standing::institutions(&console.settings(), &readings);
    console.show(&asker, "institutions.html", context! { place => "institutions", institutions })
}
