//! `GET /v1/status`: which rules are in force, and whether the source says otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use super::openapi::StreamProblems;
use crate::policy::widget::{Access, Environment};
use crate::rules::status::SourceStatus;

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The version of the program.
    version: &'static str,
    /// The version of the rule book in force.
    generation: u64,
    widgets: Widgets,
    /// Rules can be changed only where they come from.
    read_only: bool,
    rules: SourceStatus,
    /// Open WebSockets, streams and long polls.
    sessions: usize,
    /// Lines of the decision log that were dropped because the standard output was too slow.
    decisions_not_logged: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct Widgets {
    /// All of them.
    total: usize,
    /// By environment, then by the access in effect.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, usize>>)]
    by_environment: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// Widgets that any site may embed, by environment.
    #[schema(value_type = BTreeMap<String, usize>)]
    unrestricted: BTreeMap<&'static str, usize>,
}

/// Say how the edge is doing
///
/// Which rules are in force, whether their source says otherwise, and what is open.
#[utoipa::path(
    get,
    path = "/v1/status",
    operation_id = "status",
    tag = "edge",
    responses((status = 200, description = "How it is", body = Status), StreamProblems),
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
