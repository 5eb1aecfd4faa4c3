//! `POST /v1/widgets/{id}/disable`: the kill switch.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::saved::{self, etag};
use crate::admin::Admin;
use crate::admin::auth::Writer;
use crate::admin::conditions::Conditions;
use crate::admin::enforcement::{FleetShare, FleetWait, WaitQuery};
use crate::admin::input::KnownId;
use crate::admin::openapi::{DeleteConditions, WriteProblems};
use crate::admin::problem::Problem;
use crate::rules::edit::Edit;
use embedgate_policy::lint::Finding;
use embedgate_policy::widget::{Widget, WidgetId};

/// Answer to the kill switch.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Disabled {
    /// The document as it is in force; `null` if it can't be read from the store.
    widget: Option<Widget>,
    /// The version of the rule book with the disabled widget. Every request that starts later is judged by it.
    generation: u64,
    /// Any site could embed the widget if it were enabled.
    unrestricted: bool,
    /// What the document allows but probably should not.
    lints: Vec<Finding>,
    /// `false`: the change is in force and could not be kept yet, because the disk is full, say. It is kept as soon as that
    /// is possible, and shown in `/v1/status` until then. A restart before that loses it.
    durable: bool,
    #[serde(flatten)]
    share: FleetShare,
}

/// Disable a widget
///
/// The kill switch: `enabled: false` as the next revision. Everything but public pages is denied at once, and open sessions
/// end. It is the one change that is in force even where it can't be kept, because the disk is full or the audit log can't
/// be written: `durable` is `false` then. To enable the widget again, patch it with `{"enabled": true}`.
#[utoipa::path(
    post,
    path = "/v1/widgets/{id}/disable",
    operation_id = "disableWidget",
    tag = "widgets",
    params(("id" = WidgetId, Path, description = "The widget's id."), DeleteConditions, WaitQuery),
    responses(
        (status = 200, description = "Disabled", body = Disabled, headers(("ETag" = String, description = "The quoted revision"))),
        (status = 202, description = "Disabled here; the edges in `behind` do not enforce it yet, or the bucket doesn't have it (`durable`)", body = Disabled, headers(("ETag" = String, description = "The quoted revision"))),
        WriteProblems,
    ),
)]
pub(in crate::admin) async fn disable(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
    wait: FleetWait,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let conditions = Conditions::of(&headers)?;
    let published = saved::made(&admin, id, Edit::Disable, conditions, &caller).await?;
    let Some(outcome) = published.outcomes.first() else {
        return Err(Problem::internal("the change has no outcome"));
    };
    let share = wait.until_enforced(&admin, &published).await;
    let status = share.status(StatusCode::OK);
    let (widget, unrestricted, lints) = match published.document {
        Some(widget) => {
            // Nobody uses the entries of a disabled widget, so none is stale.
            let (unrestricted, lints) = saved::remarks(&admin, &widget);
            (Some(*widget), unrestricted, lints)
        }
        None => (None, false, Vec::new()),
    };
    let (generation, durable) = (published.generation, published.durable);
    let disabled = Disabled { widget, generation, unrestricted, lints, durable, share };
    Ok((status, etag(outcome.revision()), Json(disabled)).into_response())
}
