//! Answers to calls that change a widget's document.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::activity::stale_once_saved;
use crate::admin::auth::Caller;
use crate::admin::conditions::Conditions;
use crate::admin::enforcement::{FleetShare, FleetWait};
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
    #[serde(flatten)]
    share: FleetShare,
}

/// What is told of a document beside it: whether any site may embed the widget, and the lints without stale entries.
pub(super) fn remarks(admin: &Admin, widget: &Widget) -> (bool, Vec<Finding>) {
    let (policy, now) = (admin.policy.load(), Timestamp::now());
    let unrestricted = policy.open_allowed && widget.effective_access() == Access::Open;
    (unrestricted, lint(widget, &policy, &admin.suffixes, now))
}

/// The stale entries of a document that is in force. What is saved is saved, whatever can be told of it: an error, or a panic,
/// is logged, and nothing is told.
async fn stale_entries(admin: &Arc<Admin>, widget: &Widget) -> Vec<Finding> {
    let (admin, of) = (Arc::clone(admin), widget.clone());
    let found = blocking(move || stale_once_saved(&admin, &of, Timestamp::now())).await;
    found.unwrap_or_else(|problem| {
        tracing::warn!(widget = %widget.id, "no stale entries are told: {}", problem.detail());
        Vec::new()
    })
}

/// The answer about a document that is in force, once it is enforced by whom the caller waits for.
pub(super) async fn answer(
    admin: &Arc<Admin>,
    published: &Published,
    widget: Widget,
    wait: FleetWait,
) -> Result<Response, Problem> {
    let Some(outcome) = published.outcomes.first() else {
        return Err(Problem::internal("the change has no outcome"));
    };
    let share = wait.until_enforced(admin, published).await;
    let status = share.status(match outcome {
        Outcome::Created { .. } => StatusCode::CREATED,
        _ => StatusCode::OK,
    });
    let (generation, (unrestricted, mut lints)) = (published.generation, remarks(admin, &widget));
    lints.extend(stale_entries(admin, &widget).await);
    let saved = Saved { widget, generation, unrestricted, lints, share };
    Ok((status, etag(outcome.revision()), Json(saved)).into_response())
}

/// Makes an edit, and answers with the document that it has made.
pub(super) async fn edited(
    admin: Arc<Admin>,
    id: WidgetId,
    edit: Edit,
    conditions: Conditions,
    caller: &Caller,
    wait: FleetWait,
) -> Result<Response, Problem> {
    let mut published = made(&admin, id, edit, conditions, caller).await?;
    match published.document.take() {
        Some(widget) => answer(&admin, &published, *widget, wait).await,
        None => Err(Problem::internal("the edit has no document")),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::extract::FromRequestParts;
    use http::Request;
    use serde_json::{Value, json};

    use super::*;
    use crate::admin::fleet::fake::FakeFleet;
    use crate::admin::tests::served_in;
    use crate::rules::fixtures::widget;
    use crate::rules::fleet::{EdgeState, Fleet};

    #[tokio::test]
    async fn a_save_that_an_edge_does_not_enforce_is_accepted_and_says_whose() {
        let fleet = FakeFleet::new();
        let served = served_in(Vec::new(), Some(Arc::clone(&fleet) as Arc<dyn Fleet>));
        let published = Published {
            generation: 3,
            outcomes: vec![Outcome::Created { revision: 5 }],
            changed: Vec::new(),
            removed: 0,
            document: None,
            durable: true,
            sequence: Some(7),
        };
        for (other, status, behind) in
            [(EdgeState::Current, 201, Value::Null), (EdgeState::Silent, 202, json!(["edge-2"]))]
        {
            *fleet.other.lock() = other;
            let request = Request::put("/v1/widgets/w?wait=fleet").body(()).unwrap();
            let wait = FleetWait::from_request_parts(&mut request.into_parts().0, &()).await.unwrap();
            let answer = answer(&served.admin, &published, widget(r#"{"id": "w"}"#), wait).await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers()["etag"], "\"5\"");
            let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let told: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (&told["behind"], &told["sequence"], &told["generation"]),
                (&behind, &json!(7), &json!(3))
            );
        }
    }
}
