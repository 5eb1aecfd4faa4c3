//! Answers to calls that change a widget's document.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::auth::Caller;
use crate::admin::conditions::Conditions;
use crate::admin::problem::Problem;
use crate::admin::{Admin, blocking, refusal};
use crate::rules::change::Outcome;
use crate::rules::edit::Edit;
use crate::rules::publisher::Published;
use embedgate_policy::lint::{Finding, lint};
use embedgate_policy::widget::{Access, Widget, WidgetId};

/// Answer to a save.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Saved {
    /// The document as it is stored.
    widget: Widget,
    /// The version of the rule book with this document. Every request that starts later is judged by it.
    generation: u64,
    /// Any site may embed the widget.
    unrestricted: bool,
    /// What the document allows but probably should not.
    lints: Vec<Finding>,
}

/// What is told of a document beside it: whether any site may embed the widget, and the lints.
pub(super) fn remarks(admin: &Admin, widget: &Widget) -> (bool, Vec<Finding>) {
    let policy = admin.policy.load();
    let unrestricted = policy.open_allowed && widget.effective_access() == Access::Open;
    (unrestricted, lint(widget, &policy, &admin.suffixes, Timestamp::now()))
}

/// The answer about a document that is in force, with this revision and generation.
pub(super) fn answer(admin: &Admin, outcome: &Outcome, generation: u64, widget: Widget) -> Response {
    let status = match outcome {
        Outcome::Created { .. } => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let (unrestricted, lints) = remarks(admin, &widget);
    (status, etag(outcome.revision()), Json(Saved { widget, generation, unrestricted, lints }))
        .into_response()
}

/// Makes an edit, and answers with the document that it has made.
pub(super) async fn edited(
    admin: Arc<Admin>,
    id: WidgetId,
    edit: Edit,
    conditions: Conditions,
    caller: &Caller,
) -> Result<Response, Problem> {
    let published = made(&admin, id, edit, conditions, caller).await?;
    match (published.outcomes.first(), published.document) {
        (Some(outcome), Some(widget)) => Ok(answer(&admin, outcome, published.generation, *widget)),
        _ => Err(Problem::internal("the edit has no document")),
    }
}

/// Makes an edit.
pub(super) async fn made(
    admin: &Arc<Admin>,
    id: WidgetId,
    edit: Edit,
    conditions: Conditions,
    caller: &Caller,
) -> Result<Published, Problem> {
    let (admin, actor) = (Arc::clone(admin), caller.actor());
    blocking(move || {
        let published = admin.publisher.edit(id, edit, conditions.only_if.clone(), actor);
        published.map_err(|error| conditions.explain(refusal::of_edit(error)))
    })
    .await
}

/// The entity tag of a widget at this revision.
pub(super) fn etag(revision: u64) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"0\""));
    [(header::ETAG, value)]
}
