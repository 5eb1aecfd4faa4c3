//! `POST /v1/widgets/{id}/revert`: an earlier document again.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::saved::{self, Saved};
use crate::admin::Admin;
use crate::admin::auth::Writer;
use crate::admin::conditions::Conditions;
use crate::admin::enforcement::{FleetWait, WaitQuery};
use crate::admin::input::{self, JSON, KnownId, Parameters};
use crate::admin::openapi::{SaveConditions, WriteProblems};
use crate::admin::problem::Problem;
use crate::rules::edit::Edit;
use embedgate_policy::widget::WidgetId;

/// Largest body, in bytes.
const LARGEST: usize = 1024;

/// Query of a revert.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct RevertQuery {
    /// `open` confirms that the earlier document opens the widget to every site.
    #[param(inline, nullable = false)]
    confirm: Option<RevertConfirmation>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RevertConfirmation {
    Open,
}

/// Which document to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct RevertRequest {
    /// The document's revision in the widget's history.
    #[schema(example = 7)]
    revision: u64,
}

/// Go back to an earlier document
///
/// Saves a document of the widget's history again, as a new revision, whether it was enabled and its access included. It
/// also brings a deleted widget back, with 201. A document that would open a widget which is not open is refused with
/// `would_open_widget` unless `confirm=open`, also if it says `"access": "open"` itself.
#[utoipa::path(
    post,
    path = "/v1/widgets/{id}/revert",
    operation_id = "revertWidget",
    tag = "widgets",
    params(("id" = WidgetId, Path, description = "The widget's id."), RevertQuery, SaveConditions, WaitQuery),
    request_body(content = RevertRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "Saved, or unchanged", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        (status = 201, description = "Created again", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        (status = 202, description = "Saved; the edges in `behind` do not enforce it yet", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        WriteProblems,
    ),
)]
pub(in crate::admin) async fn revert(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
    Parameters(query): Parameters<RevertQuery>,
    wait: FleetWait,
    request: Request,
) -> Result<Response, Problem> {
    // For a request that is in order (RFC 9110 §13.2.1).
    let conditions = Conditions::of(request.headers());
    let body = input::body(request, JSON, LARGEST).await?;
    let RevertRequest { revision } = input::json(&body, r#"{"revision": 7}"#)?;
    let edit = Edit::Revert { revision, may_open: query.confirm.is_some() };
    saved::edited(admin, id, edit, conditions?, &caller, wait).await
}
