//! Calls on one widget's document: read, save, delete; and the list of widgets.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Writer;
use super::conditions::{self, Conditions};
use super::enforcement::{FleetShare, FleetWait, WaitQuery};
use super::input::{self, JSON, KnownId, NewId, Parameters};
use super::openapi::{DeleteConditions, ReadConditions, ReadProblems, SaveConditions, WriteProblems};
use super::problem::{ErrorPart, Problem};
use super::{Admin, blocking, refusal, stored};
use crate::rules::change::{ApplyOptions, Change, Outcome};
use embedgate_policy::widget::{MAX_DOCUMENT_BYTES, Widget, WidgetDocument, WidgetId};

mod disable;
mod domains;
mod filters;
mod history;
mod list;
mod patch;
mod revert;
mod saved;

pub(super) use disable::{__path_disable, disable};
pub(super) use domains::{__path_domains, domains};
pub(super) use filters::{Filters, ListQuery};
pub(super) use history::{__path_history, PastRevision, history, past};
pub(super) use list::{__path_list, FoundPage, after, list, page, within};
pub(super) use patch::{__path_patch, patch};
pub(super) use revert::{__path_revert, revert};

use saved::{Saved, etag};

/// Answer to a deletion.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// The deleted widget.
    id: WidgetId,
    /// The revision of the deletion. A widget with this id can come back only with a higher one.
    revision: u64,
    /// The version of the rule book without it.
    generation: u64,
    #[serde(flatten)]
    share: FleetShare,
}

/// Query of a deletion.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// The revision of the deletion. Left out: the stored one plus one. A deletion with a revision may arrive
    /// before the widget itself.
    #[param(maximum = 9007199253692416_u64)]
    revision: Option<u64>,
}

/// Save a widget
///
/// The body is the whole document. When the call is answered, the document is durable, and every request that
/// starts later is judged by it. Saving the same document again changes nothing. What `GET` gave can be edited and put back
/// with its `ETag` in `If-Match`: the revision in it is then the one that the document is based on, and it gets the next
/// one.
#[utoipa::path(
    put,
    path = "/v1/widgets/{id}",
    operation_id = "putWidget",
    tag = "widgets",
    params(
        ("id" = WidgetId, Path, description = "The widget's id; the document's own must be the same."),
        SaveConditions,
        WaitQuery,
    ),
    request_body(content = WidgetDocument<'static>, content_type = "application/json"),
    responses(
        (status = 200, description = "Saved, or unchanged", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        (status = 201, description = "Created", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        (status = 202, description = "Saved; the edges in `behind` do not enforce it yet", body = Saved, headers(("ETag" = String, description = "The quoted revision"))),
        WriteProblems,
    ),
)]
pub(super) async fn put(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    NewId(id): NewId,
    wait: FleetWait,
    request: Request,
) -> Result<Response, Problem> {
    // For a request that is in order (RFC 9110 §13.2.1).
    let conditions = Conditions::of(request.headers());
    let body = input::body(request, JSON, MAX_DOCUMENT_BYTES).await?;
    let widget = parse(&admin, &id, &body)?;
    let conditions = conditions?;
    let mut saved = widget.clone();
    let for_work = Arc::clone(&admin);
    let actor = caller.actor();
    let published = blocking(move || {
        let change = Change::put(widget).only_if(conditions.only_if.clone());
        let published = for_work.publisher.apply(vec![change], ApplyOptions::default(), actor);
        published.map_err(|error| conditions.explain(refusal::of_one(error)))
    })
    .await?;
    saved.revision = published.outcomes.first().map(Outcome::revision);
    saved::answer(&admin, &published, saved, wait).await
}

/// Reads a document of this widget.
pub(super) fn parse(admin: &Admin, id: &WidgetId, json: &[u8]) -> Result<Widget, Problem> {
    let widget = Widget::parse(json, &admin.suffixes);
    let widget = widget
        .map_err(|faults| Problem::invalid_document(faults.into_iter().map(ErrorPart::from).collect()))?;
    if widget.id != *id {
        let detail = format!(
            "the document is about `{}`, but the path is about `{id}`; use the same id in both",
            widget.id
        );
        let part =
            ErrorPart { pointer: "/id".to_owned(), code: "id_mismatch", detail, ..ErrorPart::default() };
        return Err(Problem::invalid_document(vec![part]));
    }
    Ok(widget)
}

/// Read a widget
///
/// Returns the canonical document: all fields, entries in canonical text.
#[utoipa::path(
    get,
    path = "/v1/widgets/{id}",
    operation_id = "getWidget",
    tag = "widgets",
    params(
        ("id" = WidgetId, Path, description = "The widget's id."),
        ReadConditions,
    ),
    responses(
        (status = 200, description = "The document", body = Widget, headers(("ETag" = String, description = "The quoted revision"))),
        (status = 304, description = "Unchanged"),
        ReadProblems,
    ),
)]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let widget = blocking(move || stored::existing(&admin, &id)).await?;
    let revision = widget.revision.unwrap_or_default();
    if conditions::is_known(&headers, revision) {
        return Ok((StatusCode::NOT_MODIFIED, etag(revision)).into_response());
    }
    Ok((etag(revision), Json(widget)).into_response())
}

/// Delete a widget
///
/// The widget's revision, and whether it was restricted, are remembered for good. So a late push can't bring
/// it back, and it can't come back unrestricted by accident.
#[utoipa::path(
    delete,
    path = "/v1/widgets/{id}",
    operation_id = "deleteWidget",
    tag = "widgets",
    params(
        ("id" = WidgetId, Path, description = "The widget's id."),
        DeleteQuery,
        DeleteConditions,
        WaitQuery,
    ),
    responses(
        (status = 200, description = "Gone", body = Deleted),
        (status = 202, description = "Gone; the edges in `behind` do not enforce it yet", body = Deleted),
        WriteProblems,
    ),
)]
pub(super) async fn delete(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
    Parameters(query): Parameters<DeleteQuery>,
    wait: FleetWait,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Deleted>), Problem> {
    let conditions = Conditions::of(&headers)?;
    let actor = caller.actor();
    let change = Change::delete(id.clone(), query.revision).only_if(conditions.only_if.clone());
    let for_work = Arc::clone(&admin);
    let published = blocking(move || {
        let published = for_work.publisher.apply(vec![change], ApplyOptions::default(), actor);
        published.map_err(|error| conditions.explain(refusal::of_one(error)))
    })
    .await?;
    let share = wait.until_enforced(&admin, &published).await;
    let (status, generation) = (share.status(StatusCode::OK), published.generation);
    let revision = published.outcomes.first().map_or(0, Outcome::revision);
    Ok((status, Json(Deleted { id, revision, generation, share })))
}
