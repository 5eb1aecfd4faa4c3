//! The admin listener: health, metrics and status, for operators and their tools, never for browsers' pages.
//!
//! | path | answers |
//! |---|---|
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 once rules are loaded and every data listener accepts, else 503 with what is missing |
//! | `GET /metrics` | Prometheus text format |
//! | `GET /v1/status` | source, generation, widgets and the last refused update, as JSON |

mod guard;
mod health;
mod problem;
mod status;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use http::{StatusCode, header};
use jiff::{SignedDuration, Timestamp};

pub use health::Readiness;

use self::problem::Problem;
use crate::rules::publisher::Publisher;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;

/// What the admin listener reads.
pub struct Admin {
    /// The names that a request's `Host` may carry, lower case, without a port.
    pub hosts: Vec<String>,
    /// The rules and how their source is doing.
    pub publisher: Arc<Publisher>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The decision log, for what it had to drop.
    pub decisions: Arc<DecisionLog>,
    /// Whether the data listeners accept.
    pub readiness: Arc<Readiness>,
}

/// The router, over any listener.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status::status))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), guard::guard))
        .with_state(admin)
}

/// Serves until the process ends: while it stops, too, so that whoever asks is told so.
pub async fn serve(admin: Arc<Admin>, listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    axum::serve(tokio::net::TcpListener::from_std(listener)?, router(admin)).await
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let source = admin.publisher.status();
    admin.metrics.rules_source_connected.set(source.connected.into());
    // Grows with time alone, so it is read off when somebody looks.
    let lag =
        source.last_error.map_or(SignedDuration::ZERO, |last| Timestamp::now().duration_since(last.since));
    admin.metrics.rules_source_lag.set(lag.as_secs_f64().max(0.0));
    match admin.metrics.render() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error.to_string())
            .into_response(),
    }
}

#[cfg(test)]
mod tests;
