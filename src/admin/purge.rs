//! `POST /v1/widgets/{id}/purge`: drops what is kept in memory of a widget.

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
use crate::policy::widget::WidgetId;

/// The answer to a purge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Purged {
    /// The widget.
    id: WidgetId,
    /// How many addresses had answers in memory on this edge.
    purged: usize,
}

/// Purge a widget's assets
///
/// Drops the widget's assets from this edge's memory. When it is answered, they are asked for anew; what was on its
/// way from an upstream is not kept. Every change of the widget does the same.
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
