//! `POST /v1/widgets/{id}/domains`: entries added to a list and removed from it.

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
use crate::admin::openapi::{DomainsDocument, SaveConditions, WriteProblems};
use crate::admin::problem::Problem;
use crate::rules::edit::{DomainsEdit, Edit};
use embedgate_policy::widget::{MAX_DOCUMENT_BYTES, WidgetId};

mod body;

/// Query of a change of entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct DomainsQuery {
    /// `restrict` confirms that a first entry restricts a widget that is open to every site because its list is empty.
    #[param(inline, nullable = false)]
    confirm: Option<DomainsConfirmation>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DomainsConfirmation {
    Restrict,
}

/// Add and remove entries of a widget
///
/// The everyday change, without a race: of entries that are added at once, none is lost. Adding an entry that is there gives
/// it this expiry and note, or none, and so revives an expired one. Removing an entry that is not there changes nothing.
/// A first entry on a widget that is open because its list is empty would restrict it, and is refused with
/// `would_restrict_widget` unless `confirm=restrict`; removing the last one of a list would open it, and is refused with
/// `would_open_widget`.
#[utoipa::path(
    post,
    path = "/v1/widgets/{id}/domains",
    operation_id = "changeDomains",
    tag = "widgets",
    params(("id" = WidgetId, Path, description = "The widget's id."), DomainsQuery, SaveConditions, WaitQuery),
    request_body(content = DomainsDocument, content_type = "application/json"),
    responses(
        (status = 200, description = "Saved, or unchanged", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        (status = 202, description = "Saved; the edges in `behind` do not enforce it yet", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        WriteProblems,
    ),
)]
pub(in crate::admin) async fn domains(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
    Parameters(query): Parameters<DomainsQuery>,
    wait: FleetWait,
    request: Request,
) -> Result<Response, Problem> {
    // For a request that is in order (RFC 9110 §13.2.1).
    let conditions = Conditions::of(request.headers());
    let body = input::body(request, JSON, MAX_DOCUMENT_BYTES).await?;
    let (add, remove) = body::read(&body, &admin.suffixes).map_err(Problem::invalid_document)?;
    let edit = Edit::Domains(DomainsEdit { add, remove, may_restrict: query.confirm.is_some() });
    saved::edited(admin, id, edit, conditions?, &caller, wait).await
}
