//! `GET /v1/status`: the rules in force, the state of their source, and what is open.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use super::openapi::StreamProblems;
use crate::rules::status::SourceStatus;
use embedgate_policy::widget::{Access, Environment};

/// State of the edge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The version of embedgate.
    version: &'static str,
    /// The version of the rule book in force.
    generation: u64,
    widgets: Widgets,
    /// The admin API can't change rules, because they come from a file.
    read_only: bool,
    rules: SourceStatus,
    /// Open sessions: WebSockets, streams and long polls.
    sessions: usize,
    /// Lines of the decision log that were dropped because standard output was too slow, or could not be written to.
    decisions_not_logged: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Widgets {
    /// The number of widgets.
    total: usize,
    /// The number of widgets by environment, then by access in effect.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, usize>>)]
    by_environment: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// The number of widgets that any site may embed, by environment.
    #[schema(value_type = BTreeMap<String, usize>)]
    unrestricted: BTreeMap<&'static str, usize>,
}

/// Report how the edge is doing
///
/// The rules in force, whether their source has other ones, and open sessions.
#[utoipa::path(
    get,
    path = "/v1/status",
    operation_id = "status",
    tag = "edge",
    responses((status = 200, description = "The state of the edge", body = Status), StreamProblems),
)]
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Json<Status> {
    let book = admin.publisher.live().load_full();
    let census = book.census();
    let of = |environment: Environment| {
        let counts = Access::ALL.map(|access| (access.as_str(), census.widgets(environment, access)));
        (environment.as_str(), counts.into_iter().collect())
    };
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        generation: book.generation(),
        widgets: Widgets {
            total: book.len(),
            by_environment: Environment::ALL.map(of).into_iter().collect(),
            unrestricted: Environment::ALL
                .map(|environment| (environment.as_str(), census.unrestricted(environment)))
                .into_iter()
                .collect(),
        },
        read_only: admin.publisher.is_read_only(),
        rules: admin.publisher.status(),
        sessions: admin.sessions.count(),
        decisions_not_logged: admin.decisions.dropped(),
    })
}
