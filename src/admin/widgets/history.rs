//! `GET /v1/widgets/{id}/history`: the last documents of a widget.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::admin::input::KnownId;
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::admin::{Admin, blocking, refusal};
use crate::rules::audit::differences;
use crate::rules::documents::{HistoryEntry, HistoryState};
use embedgate_policy::widget::{Widget, WidgetId};

/// History of a widget.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct WidgetHistory {
    /// Its revisions, newest first, at most 20.
    history: Vec<PastRevision>,
}

/// Revision of a widget's history.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::admin) struct PastRevision {
    /// The revision.
    pub(in crate::admin) revision: u64,
    /// When it was saved; `null` if a version that kept no history saved it.
    pub(in crate::admin) at: Option<Timestamp>,
    /// Who saved it, as the audit log calls them; `null` if a version that kept no history saved it.
    #[schema(value_type = Option<String>, example = "token:deploy")]
    pub(in crate::admin) actor: Option<Box<str>>,
    /// The widget was deleted. Left out otherwise.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub(in crate::admin) deleted: bool,
    /// The document. Left out if the widget was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(in crate::admin) widget: Option<Widget>,
    /// What differs from the document before it, by field: `before` and `after`, and for lists `added` and `removed`.
    /// Left out if there is none before it that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub(in crate::admin) changes: Option<Map<String, Value>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Read a widget's history
///
/// The last documents, newest first, each with its revision, its time, who saved it, and what it changed: at most 20, and at
/// most 1 MiB. Also of a deleted widget. `/v1/widgets/{id}/revert` goes back to one of them.
#[utoipa::path(
    get,
    path = "/v1/widgets/{id}/history",
    operation_id = "widgetHistory",
    tag = "widgets",
    params(("id" = WidgetId, Path, description = "The widget's id.")),
    responses((status = 200, description = "The history", body = WidgetHistory), ReadProblems),
)]
pub(in crate::admin) async fn history(
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
) -> Result<Json<WidgetHistory>, Problem> {
    let history = blocking(move || past(&admin, &id)).await?;
    if history.is_empty() {
        return Err(Problem::unknown_widget());
    }
    Ok(Json(WidgetHistory { history }))
}

/// The revisions of a widget that are kept, newest first; none for one that nothing is known of.
pub(in crate::admin) fn past(admin: &Admin, id: &WidgetId) -> Result<Vec<PastRevision>, Problem> {
    let history = admin.publisher.documents().history(id.as_str());
    history.map(told).map_err(|error| refusal::of_storage(&error))
}

/// The entries with what each has changed.
fn told(history: Vec<HistoryEntry>) -> Vec<PastRevision> {
    let mut told: Vec<PastRevision> = Vec::with_capacity(history.len());
    // From the oldest, so that each has the one before it.
    for HistoryEntry { revision, at, actor, state } in history.into_iter().rev() {
        let widget = match state {
            HistoryState::Document(widget) => Some(widget),
            HistoryState::Deleted => None,
        };
        let before = told.last().and_then(|before| before.widget.as_ref());
        let changes = before.zip(widget.as_ref()).map(|(before, now)| differences(before, now));
        told.push(PastRevision { revision, at, actor, deleted: widget.is_none(), widget, changes });
    }
    told.reverse();
    told
}
