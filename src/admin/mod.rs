//! The admin listener: the control plane, health and metrics, for operators and their programs, never for
//! browsers' pages.
//!
//! | path | answers |
//! |---|---|
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 once rules are loaded and every data listener accepts, else 503 with what is missing |
//! | `GET /metrics` | Prometheus text format |
//! | `/v1/…` | the calls that `GET /v1/openapi.json` describes; all of them need a token |
//!
//! A call on its way: `guard` looks at `Host` and `Origin`, `auth` at the token, and only then is there a call,
//! its role, and at last its body. Rules are changed by [`crate::rules::publisher`] alone.

mod auth;
mod batch;
mod dry_run;
mod events;
mod explain;
mod findings;
mod guard;
mod health;
mod input;
mod metrics;
mod openapi;
mod problem;
mod purge;
mod refusal;
mod status;
mod tls;
mod widgets;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::routing::get;
use axum::{Router, middleware};
use http::header;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use auth::{TokenFault, Tokens};
pub use events::SwapFeed;
pub use explain::{ClassAnswer, ClassAnswers};
pub use health::Readiness;
pub use tls::{MutualTls, MutualTlsFiles};

use self::problem::Problem;
use crate::policy::decision::EdgePolicy;
use crate::policy::suffix::PublicSuffixes;
use crate::policy::ticket::TicketReader;
use crate::rules::assets::CachedAssets;
use crate::rules::publisher::Publisher;
use crate::rules::sessions::OpenSessions;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;

/// What the admin listener reads, and the one writer.
pub struct Admin {
    /// The names that a request's `Host` may carry, lower case, without a port.
    pub hosts: Vec<String>,
    /// Who may call.
    pub tokens: Tokens,
    /// The rules, their writer, and how their source is doing.
    pub publisher: Arc<Publisher>,
    /// What holds for all widgets.
    pub policy: Arc<ArcSwap<EdgePolicy>>,
    /// What documents are checked against.
    pub suffixes: Arc<PublicSuffixes>,
    /// What the routes of each class do.
    pub answers: ClassAnswers,
    /// The sessions that are open.
    pub sessions: Arc<dyn OpenSessions>,
    /// The assets that are in memory.
    pub assets: Arc<dyn CachedAssets>,
    /// Tickets, to be looked at.
    pub tickets: Arc<dyn TicketReader>,
    /// Swaps as they happen; an observer of the publisher.
    pub swaps: Arc<SwapFeed>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The decision log: decisions as they happen, and how many of its lines were dropped.
    pub decisions: Arc<DecisionLog>,
    /// Whether the data listeners accept.
    pub readiness: Arc<Readiness>,
}

/// The calls under `/v1` and their description.
fn calls() -> (Router<Arc<Admin>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(openapi::Description::openapi())
        .routes(routes!(widgets::list))
        .routes(routes!(widgets::get, widgets::put, widgets::delete))
        .routes(routes!(dry_run::dry_run))
        .routes(routes!(purge::purge))
        .routes(routes!(batch::apply))
        .routes(routes!(explain::answer))
        .routes(routes!(findings::findings))
        .routes(routes!(events::events))
        .routes(routes!(status::status))
        .split_for_parts()
}

/// The description of the calls (OpenAPI), as JSON.
pub fn description() -> String {
    let (_, api) = calls();
    // A tree of strings, numbers and maps with string keys: there is nothing that can't be written as JSON.
    serde_json::to_string_pretty(&api).unwrap_or_default()
}

/// The router, over any listener.
pub fn router(admin: Arc<Admin>) -> Router {
    let (calls, _) = calls();
    let description = axum::body::Bytes::from(description());
    let description =
        move || async move { ([(header::CONTENT_TYPE, "application/json")], description.clone()) };
    calls
        .route("/v1/openapi.json", get(description))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), auth::authenticate))
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), guard::guard))
        .with_state(admin)
}

/// Serves until the process ends: while it stops, too, so that whoever asks is told so. Under mutual TLS where
/// there is any.
pub async fn serve(admin: Arc<Admin>, listener: TcpListener, tls: Option<Arc<MutualTls>>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    match tls {
        Some(tls) => axum::serve(tls::TlsListener::new(listener, tls), router(admin)).await,
        None => axum::serve(listener, router(admin)).await,
    }
}

/// Runs what waits for the disk or for other writers on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Problem::internal(error.to_string())))
}

#[cfg(test)]
mod tests;
