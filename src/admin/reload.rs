//! `POST /v1/reload`: the configuration is read again.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use super::auth::Writer;
use super::openapi::ReloadProblems;
use super::problem::{ErrorPart, Problem};

/// Edge whose configuration can be read again.
#[async_trait]
pub trait Reconfigure: Send + Sync {
    /// Reads the configuration again and puts in force what of it can change while the edge runs.
    ///
    /// # Errors
    ///
    /// The configuration has faults, or another process is the edge now. Nothing has changed then.
    async fn reload(&self) -> Result<Reconfigured, NotReconfigured>;
}

/// Reason why nothing was changed.
#[derive(Clone, Debug)]
pub enum NotReconfigured {
    /// Each fault of the configuration, a line each, with its place.
    Faults(Vec<String>),
    /// Another process has taken over.
    HandedOver,
}

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reconfigured {
    /// Keys and tables that have changed and are in force now.
    #[schema(example = json!(["routes", "policy.system_origins"]))]
    pub in_force: Vec<String>,
    /// Keys and tables that have changed and wait for an upgrade or a restart.
    #[schema(example = json!(["edge.listen"]))]
    pub needs_upgrade: Vec<String>,
}

/// Reload the configuration
///
/// Reads the configuration file again, as SIGHUP does. Routes, upstreams, trusted proxies, policy, logs, cache and
/// certificates change at once, without touching a connection. A configuration with an error changes nothing.
#[utoipa::path(
    post,
    path = "/v1/reload",
    operation_id = "reload",
    tag = "edge",
    responses((status = 200, description = "Taken", body = Reconfigured), ReloadProblems),
)]
pub(super) async fn reload(
    _: Writer,
    State(admin): State<Arc<Admin>>,
) -> Result<Json<Reconfigured>, Problem> {
    admin.configuration.reload().await.map(Json).map_err(refused)
}

fn refused(reason: NotReconfigured) -> Problem {
    let faults = match reason {
        NotReconfigured::Faults(faults) => faults,
        NotReconfigured::HandedOver => {
            let detail = "another process has taken over meanwhile: try again";
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "handed_over", detail);
        }
    };
    let detail = match faults.as_slice() {
        [only] => only.clone(),
        several => format!("nothing was changed: {} errors, see `errors`", several.len()),
    };
    let part = |detail| ErrorPart { code: "invalid_configuration", detail, ..ErrorPart::default() };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration", detail)
        .with_errors(faults.into_iter().map(part).collect())
}
