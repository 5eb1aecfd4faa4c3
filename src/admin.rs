//! Admin listener: admin API, health and metrics, for operators and their programs, never for pages in a
//! browser.
//!
//! | path | answers |
//! |---|---|
//! | `GET /` and other views | the operator's page (`page`), for a person with a browser |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 once rules are loaded and every data listener accepts, else 503 with what is missing |
//! | `GET /metrics` | Prometheus text format |
//! | `GET /v1/openapi.json` | the description of the calls |
//! | `/v1/…` | the calls that it describes; all of them need a token, or a person's session |
//!
//! Each call is checked in this order: `Host` and `Origin` (`guard`), the token or the session (`auth`), whether the query and the body
//! are ones that the call declares (`declared`), the token's role, the body. Only [`crate::rules::publisher`] changes rules.

mod activity;
mod auth;
mod backup;
mod batch;
mod bounds;
mod checklist;
mod conditions;
mod connections;
mod decisions;
mod declared;
mod dry_run;
mod enforcement;
mod events;
mod explain;
mod findings;
mod fleet;
mod gate;
mod guard;
mod health;
mod input;
mod listener;
mod messages;
mod metrics;
mod minutes;
mod notifications;
mod openapi;
mod paced_stream;
mod page;
mod patience;
mod problem;
mod propose;
mod purge;
mod refusal;
mod reload;
mod rules_file;
mod server;
mod status;
mod stored;
mod survey;
mod tls;
mod widgets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::routing::get;
use axum::{Router, middleware};
use http::header;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use auth::{PageSessions, PassedPageSessions, TokenFault, TokenLineFault, Tokens};
pub use bounds::{CallBounds, MOST_DESCRIPTORS};
pub use checklist::ChecklistRuns;
pub use decisions::PeerDecisions;
pub use events::SwapFeed;
pub use explain::{ClassAnswer, ClassAnswers};
pub use gate::{Gate, Successor};
pub use health::Readiness;
pub use listener::{Intake, StoppableListener};
pub use minutes::keep_minutes;
pub use reload::{NotReconfigured, Reconfigure, Reconfigured};
pub use survey::Survey;
pub use tls::{MutualTls, MutualTlsFiles};

use self::connections::Places;
use self::declared::DeclaredInput;
use self::problem::Problem;
use self::server::CallServer;
use self::tls::OperatorHandshakes;
use crate::activity::reader::ActivityReader;
use crate::certificates::{CertificateExpiry, Expiring};
use crate::limits::usage::LimitReader;
use crate::notifications::outbox::Outbox;
use crate::notifications::remembered::RememberedReader;
use crate::rules::assets::CachedAssets;
use crate::rules::fleet::Fleet;
use crate::rules::publisher::Publisher;
use crate::rules::sessions::OpenSessions;
use crate::rules::source::RulesFile;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::events::EventFeed;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::minutes::TrafficMinutes;
use crate::telemetry::queue::LogQueue;
use crate::telemetry::request_log::RequestLog;
use crate::telemetry::upstream_servers::UpstreamServers;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::ticket::TicketReader;

/// State of the admin listener.
pub struct Admin {
    /// Names that a request's `Host` may have, lower case, without a port.
    pub hosts: Vec<String>,
    /// The tokens of callers.
    pub tokens: Tokens,
    /// The rules, their writer, and the state of their source.
    pub publisher: Arc<Publisher>,
    /// The fleet that shares the rules; `None`: they are this edge's alone.
    pub fleet: Option<Arc<dyn Fleet>>,
    /// The rules file, if rules come from one.
    pub rules_file: Option<Arc<dyn RulesFile>>,
    /// Where a copy of the store is written before it is sent: a path beside the store, which nobody else uses. `None`: rules
    /// do not come from a store.
    pub backup_path: Option<PathBuf>,
    /// The edge's policy for all widgets.
    pub policy: Arc<ArcSwap<EdgePolicy>>,
    /// The public suffixes that documents are checked against.
    pub suffixes: Arc<PublicSuffixes>,
    /// Answers of the routes.
    pub answers: Arc<ArcSwap<ClassAnswers>>,
    /// The configuration, to be read again.
    pub configuration: Arc<dyn Reconfigure>,
    /// Open sessions.
    pub sessions: Arc<dyn OpenSessions>,
    /// Assets in memory.
    pub assets: Arc<dyn CachedAssets>,
    /// What was seen of embedders.
    pub activity: Arc<dyn ActivityReader>,
    /// Sessions that have left the edge.
    pub remembered: Arc<dyn RememberedReader>,
    /// How much of their limits widgets have used.
    pub limits: Arc<dyn LimitReader>,
    /// Notifications on their way.
    pub outbox: Arc<Outbox>,
    /// Reader of tickets.
    pub tickets: Arc<dyn TicketReader>,
    /// What happens on this edge.
    pub events: Arc<EventFeed>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The decision log, with live decisions and the number of dropped lines.
    pub decisions: Arc<DecisionLog>,
    /// The request log, for the number of dropped lines.
    pub requests: Arc<RequestLog>,
    /// The operational log, for the number of dropped lines.
    pub operational: LogQueue,
    /// The threads on which the edge's tasks run, by name.
    pub runtimes: Vec<(&'static str, Handle)>,
    /// The servers of all upstreams.
    pub upstreams: Arc<dyn UpstreamServers>,
    /// The certificates of all listeners.
    pub certificates: Vec<Arc<dyn Expiring>>,
    /// Whether the data listeners accept.
    pub readiness: Arc<Readiness>,
    /// The gate in front of the calls.
    pub gate: Arc<Gate>,
    /// What callers may take at once.
    pub bounds: CallBounds,
    /// The admin listener speaks TLS.
    pub is_secure: bool,
    /// People at the page.
    pub page_sessions: PageSessions,
    /// Traffic of the last minutes.
    pub minutes: Arc<TrafficMinutes>,
    /// The last look at all documents.
    pub survey: Survey,
    /// Runs of checklists.
    pub checklists: ChecklistRuns,
}

impl Admin {
    /// The scheme of the admin listener.
    fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }

    /// When each certificate in force expires, in seconds of Unix time, by its file. Should one file have two, as while
    /// new ones are read, the earlier counts.
    fn expiries(&self) -> BTreeMap<String, i64> {
        let mut expiries = BTreeMap::new();
        for CertificateExpiry { file, at } in self.certificates.iter().flat_map(|holder| holder.expiries()) {
            let known: &mut i64 = expiries.entry(file.display().to_string()).or_insert(at);
            *known = at.min(*known);
        }
        expiries
    }
}

/// The calls under `/v1`, with their OpenAPI description.
fn calls() -> (Router<Arc<Admin>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(widgets::list))
        .routes(routes!(widgets::get, widgets::put, widgets::patch, widgets::delete))
        .routes(routes!(widgets::domains))
        .routes(routes!(widgets::history))
        .routes(routes!(widgets::revert))
        .routes(routes!(widgets::disable))
        .routes(routes!(dry_run::dry_run))
        .routes(routes!(purge::purge))
        .routes(routes!(batch::apply))
        .routes(routes!(activity::of_widget))
        .routes(routes!(propose::propose))
        .routes(routes!(checklist::read, checklist::run))
        .routes(routes!(activity::overview))
        .routes(routes!(explain::answer))
        .routes(routes!(decisions::decision))
        .routes(routes!(findings::findings))
        .routes(routes!(events::events))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::test))
        .routes(routes!(notifications::retry))
        .routes(routes!(status::status))
        .routes(routes!(minutes::minutes))
        .routes(routes!(reload::reload))
        .routes(routes!(rules_file::apply))
        .routes(routes!(backup::backup))
        .routes(routes!(fleet::status))
        .routes(routes!(fleet::restore))
        .routes(routes!(fleet::accept))
        .routes(routes!(fleet::forget))
        .split_for_parts()
}

/// The description of the calls (OpenAPI), as JSON.
pub fn description() -> String {
    let (_, api) = calls();
    openapi::text(&api)
}

/// Router of the admin listener.
pub fn router(admin: Arc<Admin>) -> Router {
    let (calls, api) = calls();
    let declared = Arc::new(DeclaredInput::of(&api));
    let description = axum::body::Bytes::from(description());
    let description =
        move || async move { ([(header::CONTENT_TYPE, "application/json")], description.clone()) };
    calls
        .route("/v1/openapi.json", get(description))
        .route_layer(middleware::from_fn_with_state(declared, declared::check))
        .merge(page::views())
        .merge(health_routes())
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), page::faults))
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), auth::authenticate))
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), guard::guard))
        // Before anything is checked: the process that answers checks.
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), gate::pass))
        .with_state(admin)
}

/// Router of the listener for probes: what needs no token, for whoever asks by any name.
fn probe_router(admin: Arc<Admin>) -> Router {
    health_routes()
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(admin)
}

fn health_routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
}

/// Serves until the process ends, also during the grace period, so that probes learn of the stop. Uses mutual
/// TLS if `tls` is given.
pub async fn serve(admin: Arc<Admin>, listener: StoppableListener, tls: Option<Arc<MutualTls>>) {
    let handshakes = tls.map(|tls| OperatorHandshakes::new(tls, Arc::clone(&admin.metrics)));
    let places = Places::new(admin.bounds.connections, false, |times, peer| {
        tracing::warn!(times, peer, "the admin listener was full, so connections were closed");
    });
    let metrics = Arc::clone(&admin.metrics);
    CallServer::new(router(admin), places, metrics).serve(listener, handshakes).await;
}

/// Serves calls that another process passes on, for ever.
pub async fn serve_passed_on(admin: Arc<Admin>, connections: mpsc::Receiver<UnixStream>) {
    let places = Places::new(admin.bounds.connections, false, |times, _| {
        tracing::warn!(times, "another process passed on too many calls at once");
    });
    let metrics = Arc::clone(&admin.metrics);
    CallServer::new(router(admin), places, metrics).serve_passed_on(connections).await;
}

/// Serves probes and scrapes until the process ends.
pub async fn serve_probes(admin: Arc<Admin>, listener: StoppableListener) {
    let places = Places::new(admin.bounds.probe_connections(), true, |times, peer| {
        tracing::warn!(times, peer, "the listener for probes was full, so connections were closed");
    });
    let metrics = Arc::clone(&admin.metrics);
    CallServer::new(probe_router(admin), places, metrics).serve(listener, None).await;
}

/// Runs work that waits for the disk or for other writers on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Problem::internal(error.to_string())))
}

#[cfg(test)]
mod tests;
