//! `POST /v1/widgets/{id}/purge`: removal of a widget's assets from memory.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use super::auth::Writer;
use super::input::KnownId;
use super::openapi::ReadProblems;
use super::problem::Problem;
use embedgate_policy::widget::WidgetId;

/// Answer to a purge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Purged {
    /// The widget.
    id: WidgetId,
    /// How many addresses had stored answers on this edge.
    purged: usize,
}

/// Purge a widget's assets
///
/// Drops the widget's assets from this edge's memory. Every later request asks the upstream again, and
/// answers that were on their way are not stored. Every change of the widget does the same.
#[utoipa::path(
    post,
    path = "/v1/widgets/{id}/purge",
    operation_id = "purgeWidget",
    tag = "widgets",
    params(("id" = WidgetId, Path, description = "The widget's id.")),
    responses((status = 200, description = "Dropped", body = Purged), ReadProblems),
)]
pub(super) async fn purge(
    _: Writer,
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
) -> Result<Json<Purged>, Problem> {
    if admin.publisher.live().load().get(id.as_str()).is_none() {
        return Err(Problem::unknown_widget());
    }
    let purged = admin.assets.purge(id.as_str());
    Ok(Json(Purged { id, purged }))
}
