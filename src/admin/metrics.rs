//! `GET /metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use jiff::Timestamp;

use super::Admin;
use super::problem::Problem;
use crate::rules::fleet::EdgeState;

/// Metrics in the Prometheus text format. The state of the source and its fleet, the logs, the certificates and the tasks is read at
/// each call.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let (mut status, now) = (admin.publisher.status(), Timestamp::now());
    let mut lag = status.lag(now);
    if let Some(fleet) = &admin.fleet {
        let link = fleet.link().borrow().clone();
        lag = Some(link.lag(now));
        status = status.over(&link);
    }
    let states = admin.fleet.as_ref().map(|fleet| fleet.states()).unwrap_or_default();
    for state in EdgeState::ALL {
        admin.metrics.fleet.set_edges(state.as_str(), states.get(&state).copied().unwrap_or(0));
    }
    admin.metrics.rules_source_lag.set(lag.map_or(0.0, |lag| lag.as_secs_f64().max(0.0)));
    admin.metrics.rules_source_connected.set(status.connected.into());
    admin.metrics.log_lines.set("decisions", admin.decisions.dropped());
    admin.metrics.log_lines.set("operational", admin.operational.dropped());
    admin.metrics.log_lines.set("requests", admin.requests.dropped());
    admin.metrics.certificate_expiry.set(admin.expiries());
    for (runtime, handle) in &admin.runtimes {
        let tasks = i64::try_from(handle.metrics().num_alive_tasks()).unwrap_or(i64::MAX);
        admin.metrics.tasks.with_label_values(&[runtime]).set(tasks);
    }
    match admin.metrics.render() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => Problem::internal(error.to_string()).into_response(),
    }
}
