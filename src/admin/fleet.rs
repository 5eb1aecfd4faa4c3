//! `/v1/fleet`: the edges that share their rules, and what an operator decides about their bucket.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Writer;
use super::enforcement::WaitTime;
use super::input::{self, JSON, Parameters};
use super::openapi::{FleetChangeProblems, FleetProblems};
use super::problem::Problem;
use super::{Admin, refusal};
use crate::rules::fleet::{AcceptedBucket, Fleet, FleetError, FleetStatus, RestoredFleet};
use crate::rules::source::SourceKind;

/// Time in which edges answer, if none is stated.
const USUAL: Duration = Duration::from_secs(1);

/// Largest body, in bytes.
const LARGEST: usize = 1024;

/// Query of the state of a fleet.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FleetQuery {
    /// How long to wait for the answers of edges, with its unit, at most 60s. Left out: 1s.
    #[param(inline, nullable = false)]
    timeout: Option<WaitTime>,
}

/// Query of the decision to follow a bucket.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AcceptQuery {
    /// How many widgets it may touch at most. Left out: nothing happens, and the answer has the number.
    #[param(nullable = false, maximum = 18446744073709551615_u64)]
    confirm: Option<usize>,
}

/// Edge to forget.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgetRequest {
    /// Its name.
    #[schema(example = "edge-3")]
    edge: String,
}

/// Edge that is no longer waited for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ForgottenEdge {
    /// Its name.
    edge: String,
}

/// List the edges of the fleet
///
/// Asks every edge, and answers once all have answered, or after `timeout`. It has the sequence of the bucket that each
/// enforces, how old its rules are, its open sessions, and the fingerprint of its ticket keys. Edges that do not answer
/// are listed with what was last heard of them.
#[utoipa::path(
    get,
    path = "/v1/fleet",
    operation_id = "fleet",
    tag = "fleet",
    params(FleetQuery),
    responses((status = 200, description = "The edges", body = FleetStatus), FleetProblems),
)]
pub(super) async fn status(
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<FleetQuery>,
) -> Result<Json<FleetStatus>, Problem> {
    let within = query.timeout.map_or(USUAL, WaitTime::get);
    Ok(Json(fleet(&admin)?.status(within).await))
}

/// Fill the bucket again
///
/// For a bucket that was lost, made anew or put back from an old copy. Whatever this edge enforces and the bucket lacks is
/// written to it, deletions included; what is newer there stays. Then the whole fleet follows the bucket. A live edge that
/// enforces more than this one is an error, `edge_ahead`: ask that edge.
#[utoipa::path(
    post,
    path = "/v1/fleet/restore",
    operation_id = "restoreFleet",
    tag = "fleet",
    responses((status = 200, description = "Filled", body = RestoredFleet), FleetChangeProblems),
)]
pub(super) async fn restore(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
) -> Result<Json<RestoredFleet>, Problem> {
    let (fleet, actor) = (fleet(&admin)?, caller.actor());
    to_the_end(async move { fleet.restore(actor).await }).await.map(Json)
}

/// Follow the bucket as it is
///
/// For a bucket that differs from what the fleet has followed, and is right. The whole fleet takes it as it is: widgets that
/// it lacks are gone. `confirm` says how many widgets that may touch on this edge. Without it, or if it touches more, nothing
/// happens, and the answer is `wide_change` with the number in `confirm`.
#[utoipa::path(
    post,
    path = "/v1/fleet/accept",
    operation_id = "acceptBucket",
    tag = "fleet",
    params(AcceptQuery),
    responses((status = 200, description = "Followed", body = AcceptedBucket), FleetChangeProblems),
)]
pub(super) async fn accept(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<AcceptQuery>,
) -> Result<Json<AcceptedBucket>, Problem> {
    let (fleet, actor) = (fleet(&admin)?, caller.actor());
    to_the_end(async move { fleet.accept(query.confirm, actor).await }).await.map(Json)
}

/// Forget an edge
///
/// For an edge that is gone for good, so that saves no longer wait for it. It counts again as soon as it announces itself.
/// An edge that is alive can't be forgotten.
#[utoipa::path(
    post,
    path = "/v1/fleet/forget",
    operation_id = "forgetEdge",
    tag = "fleet",
    request_body(content = ForgetRequest, content_type = "application/json"),
    responses((status = 200, description = "Forgotten", body = ForgottenEdge), FleetChangeProblems),
)]
pub(super) async fn forget(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    request: Request,
) -> Result<Json<ForgottenEdge>, Problem> {
    let body = input::body(request, JSON, LARGEST).await?;
    let ForgetRequest { edge } = input::json(&body, r#"{"edge": "edge-3"}"#)?;
    let (fleet, actor) = (fleet(&admin)?, caller.actor());
    to_the_end(async move { fleet.forget(&edge, actor).await.map(|()| ForgottenEdge { edge }) })
        .await
        .map(Json)
}

fn fleet(admin: &Admin) -> Result<Arc<dyn Fleet>, Problem> {
    admin.fleet.clone().ok_or_else(|| {
        let source = admin.publisher.status().source;
        let detail = format!(
            "rules come from the {source} here, so this edge has no fleet; edges that set rules.source to \"{}\" share \
             their rules",
            SourceKind::NATS
        );
        Problem::new(StatusCode::NOT_FOUND, "no_fleet", detail)
    })
}

/// Does the work to its end, even if the caller leaves.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, FleetError>> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::spawn(work).await.map_err(|error| Problem::internal(error.to_string()))?;
    done.map_err(|error| refusal::of_fleet(&error))
}

#[cfg(test)]
pub(super) mod fake;
#[cfg(test)]
mod tests;
