//! `GET /v1/status`: which rules are in force, and whether the source says otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Admin;
use crate::policy::widget::{Access, Environment};
use crate::rules::status::SourceStatus;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    generation: u64,
    widgets: Widgets,
    rules: SourceStatus,
    decisions_not_logged: usize,
}

#[derive(Debug, Serialize)]
struct Widgets {
    total: usize,
    /// By environment, then by the access in effect.
    by_environment: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// Widgets that any site may embed, by environment.
    unrestricted: BTreeMap<&'static str, usize>,
}

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
        rules: admin.publisher.status(),
        decisions_not_logged: admin.decisions.dropped(),
    })
}
