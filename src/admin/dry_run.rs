//! `POST /v1/widgets/{id}/dry-run`: what saving a document would do, without saving it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::input::{self, JSON, NewId};
use super::openapi::{DryRunProblems, WidgetDocument};
use super::problem::Problem;
use super::{Admin, blocking, refusal, widgets};
use crate::policy::lint::{Finding, lint};
use crate::policy::widget::{Access, MAX_DOCUMENT_BYTES, Widget, WidgetId};
use crate::rules::change::{ApplyOptions, Change, Outcome};
use crate::rules::error::RulesError;

/// The most embedders of cut sessions that are listed.
const EMBEDDERS: usize = 100;

/// What would become of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRun {
    /// What the save would be.
    outcome: Save,
    /// The document as it would be stored.
    widget: Widget,
    /// Any site could embed the widget.
    unrestricted: bool,
    /// What is allowed by the document but probably not meant.
    lints: Vec<Finding>,
    /// The widget's open sessions on this edge.
    sessions: Sessions,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Save {
    /// There is no such widget yet.
    Created,
    /// The widget would have another document or revision.
    Updated,
    /// That is how it is.
    Unchanged,
}

/// What would become of open sessions.
#[derive(Debug, Serialize, ToSchema)]
struct Sessions {
    /// How many there are.
    open: usize,
    /// How many of them would be cut.
    cut: usize,
    /// Whose they are, those with the most sessions first, 100 at most.
    cut_embedders: Vec<CutEmbedder>,
}

/// Sessions that one embedder would lose.
#[derive(Debug, Serialize, ToSchema)]
struct CutEmbedder {
    /// The origin of the page that opened them, by their ticket where they rest on one; `null` where it is opaque or
    /// unknown.
    origin: Option<String>,
    /// How many of its sessions would be cut.
    sessions: usize,
}

/// Try a save
///
/// Says what saving this document would do, and does nothing: lints, and the open sessions that would be cut. What
/// would be refused is refused here.
#[utoipa::path(
    post,
    path = "/v1/widgets/{id}/dry-run",
    operation_id = "dryRun",
    tag = "widgets",
    params(("id" = WidgetId, Path, description = "The widget's id; the document's own must be the same.")),
    request_body(content = WidgetDocument, content_type = "application/json"),
    responses((status = 200, description = "What would happen", body = DryRun), DryRunProblems),
)]
pub(super) async fn dry_run(
    State(admin): State<Arc<Admin>>,
    NewId(id): NewId,
    request: Request,
) -> Result<Json<DryRun>, Problem> {
    let body = input::body(request, JSON, MAX_DOCUMENT_BYTES).await?;
    let widget = widgets::parse(&admin, &id, &body)?;
    blocking(move || tried(&admin, widget).map(Json)).await
}

fn tried(admin: &Admin, widget: Widget) -> Result<DryRun, Problem> {
    let book = admin.publisher.live().load_full();
    let change = [Change::put(widget.clone())];
    let applied = book.apply(&change, ApplyOptions::default()).map_err(|rejections| {
        let faults = rejections.into_iter().map(Into::into).collect();
        refusal::of_one(RulesError::Invalid { faults })
    })?;
    let Some(outcome) = applied.outcomes.first() else {
        return Err(Problem::internal("the change has no outcome"));
    };
    let widget = Widget { revision: Some(outcome.revision()), ..widget };
    let (policy, now) = (admin.policy.load(), Timestamp::now());
    Ok(DryRun {
        outcome: match outcome {
            Outcome::Created { .. } => Save::Created,
            Outcome::Updated { .. } | Outcome::Deleted { .. } => Save::Updated,
            Outcome::Unchanged { .. } | Outcome::Skipped { .. } => Save::Unchanged,
        },
        unrestricted: policy.open_allowed && widget.effective_access() == Access::Open,
        lints: lint(&widget, &policy, &admin.suffixes, now),
        sessions: sessions(admin, &widget, now),
        widget,
    })
}

fn sessions(admin: &Admin, widget: &Widget, now: Timestamp) -> Sessions {
    let (rules, policy) = (widget.compile(), admin.policy.load());
    let sessions = admin.sessions.of_widget(widget.id.as_str());
    let mut by_embedder = std::collections::HashMap::<Option<String>, usize>::new();
    let mut cut = 0;
    for session in &sessions {
        if session.facts.judge(Some(rules.as_rules()), &policy, now).is_allowed() {
            continue;
        }
        cut += 1;
        let origin = session.facts.page(&policy).map(ToString::to_string);
        *by_embedder.entry(origin).or_default() += 1;
    }
    let mut cut_embedders: Vec<CutEmbedder> =
        by_embedder.into_iter().map(|(origin, sessions)| CutEmbedder { origin, sessions }).collect();
    cut_embedders.sort_by(|a, b| b.sessions.cmp(&a.sessions).then_with(|| a.origin.cmp(&b.origin)));
    cut_embedders.truncate(EMBEDDERS);
    Sessions { open: sessions.len(), cut, cut_embedders }
}
