//! `POST /v1/widgets/{id}/dry-run`: effects of a save, without saving.

mod embedders;
mod limits;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::activity::{Gather, SiteJudge, stale};
use super::conditions::Conditions;
use super::input::{self, JSON, NewId};
use super::openapi::{DryRunProblems, SaveConditions};
use super::problem::Problem;
use super::{Admin, blocking, refusal, widgets};
use crate::rules::change::{ApplyOptions, Change, Outcome};
use crate::rules::error::SaveError;
use crate::rules::sessions::{OpenSession, SessionFacts};
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::limits::PackedLimits;
use embedgate_policy::lint::{Finding, lint};
use embedgate_policy::widget::WidgetDocument;
use embedgate_policy::widget::{Access, MAX_DOCUMENT_BYTES, Widget, WidgetId};

use embedders::EmbedderEffects;
use limits::LimitEffect;

/// Maximum number of embedders listed for ended sessions.
const EMBEDDERS: usize = 100;

/// Result of a dry run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRun {
    /// What the save would do to the widget.
    outcome: Save,
    /// The document as it would be stored.
    widget: Widget,
    /// Any site could embed the widget.
    unrestricted: bool,
    /// What the document allows but probably should not.
    lints: Vec<Finding>,
    /// The widget's open sessions on this edge.
    sessions: Sessions,
    /// The limits of the document, and how much of each is used already on this edge.
    limits: Vec<LimitEffect>,
    /// The sites that were seen embedding it, or trying to, in the last 30 days.
    embedders: EmbedderEffects,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Save {
    /// It would create the widget.
    Created,
    /// It would change the widget's document or revision.
    Updated,
    /// It would change nothing.
    Unchanged,
}

/// Effect on open sessions.
#[derive(Debug, Serialize, ToSchema)]
struct Sessions {
    /// How many sessions are open.
    open: usize,
    /// How many of them would be ended.
    cut: usize,
    /// The embedders of those sessions, the ones with the most sessions first, at most 100.
    cut_embedders: Vec<CutEmbedder>,
    /// Sessions that have left the edge, such as calls on a media server.
    remembered: RememberedEffects,
}

/// Effect on sessions that have left the edge.
#[derive(Debug, Serialize, ToSchema)]
struct RememberedEffects {
    /// How many are remembered.
    known: usize,
    /// How many of them would be told as revoked.
    revoked: usize,
}

/// Embedder that would lose sessions.
#[derive(Debug, Serialize, ToSchema)]
struct CutEmbedder {
    /// The origin of the page that opened the sessions, by their ticket if they have one; `null` if it is
    /// opaque or unknown.
    origin: Option<String>,
    /// How many of its sessions would be ended.
    sessions: usize,
}

/// Try a save
///
/// Reports what saving this document would do, without saving it: lints, the open sessions that would end, how much of its
/// limits is used already, and the sites seen in the last 30 days that would be newly refused or admitted. A document that a save would refuse is refused here too, and so is a condition that does not hold.
#[utoipa::path(
    post,
    path = "/v1/widgets/{id}/dry-run",
    operation_id = "dryRun",
    tag = "widgets",
    params(
        ("id" = WidgetId, Path, description = "The widget's id; the document's own must be the same."),
        SaveConditions,
    ),
    request_body(content = WidgetDocument<'static>, content_type = "application/json"),
    responses((status = 200, description = "The effects of the save", body = DryRun), DryRunProblems),
)]
pub(super) async fn dry_run(
    State(admin): State<Arc<Admin>>,
    NewId(id): NewId,
    request: Request,
) -> Result<Json<DryRun>, Problem> {
    // For a request that is in order (RFC 9110 §13.2.1).
    let conditions = Conditions::of(request.headers());
    let body = input::body(request, JSON, MAX_DOCUMENT_BYTES).await?;
    let widget = widgets::parse(&admin, &id, &body)?;
    let conditions = conditions?;
    blocking(move || tried(&admin, widget, &conditions).map(Json)).await
}

fn tried(admin: &Admin, widget: Widget, conditions: &Conditions) -> Result<DryRun, Problem> {
    let book = admin.publisher.live().load_full();
    let change = [Change::put(widget.clone()).only_if(conditions.only_if.clone())];
    let applied = book.apply(&change, ApplyOptions::default()).map_err(|rejections| {
        conditions.explain(refusal::of_one(SaveError::Invalid(rejections.into_iter().collect())))
    })?;
    let Some(outcome) = applied.outcomes.first() else {
        return Err(Problem::internal("the change has no outcome"));
    };
    let widget = Widget { revision: Some(outcome.revision()), ..widget };
    let (policy, now) = (admin.policy.load(), Timestamp::now());
    let mut gather = Gather::new(admin);
    let activity = gather.widget(widget.id.as_str())?;
    let mut lints = lint(&widget, &policy, &admin.suffixes, now);
    lints.extend(stale(admin, &widget, &activity, now)?);
    let judge = SiteJudge::new(&widget, &policy, now);
    let (open, before) = (admin.sessions.of_widget(widget.id.as_str()), book.get(widget.id.as_str()));
    let limits_before = before.and_then(|rules| rules.limits).map(PackedLimits::read).unwrap_or_default();
    let used = match widget.limits.is_empty() {
        true => Vec::new(),
        false => admin.limits.usage(widget.id.as_str(), &widget.limits, None),
    };
    Ok(DryRun {
        embedders: EmbedderEffects::of(before, &judge, &activity, gather.missing()),
        limits: LimitEffect::of(used, &widget, &limits_before, &open, &policy),
        outcome: match outcome {
            Outcome::Created { .. } => Save::Created,
            Outcome::Updated { .. } | Outcome::Deleted { .. } => Save::Updated,
            Outcome::Unchanged { .. } | Outcome::Skipped { .. } => Save::Unchanged,
        },
        unrestricted: policy.open_allowed && widget.effective_access() == Access::Open,
        lints,
        sessions: sessions((&open, admin.remembered.of_widget(widget.id.as_str())), &widget, &policy, now),
        widget,
    })
}

fn sessions(
    (sessions, left): (&[OpenSession], Vec<(SessionFacts, usize)>),
    widget: &Widget,
    policy: &EdgePolicy,
    now: Timestamp,
) -> Sessions {
    let rules = widget.compile();
    let mut by_embedder = std::collections::HashMap::<Option<String>, usize>::new();
    let mut cut = 0;
    for session in sessions {
        if session.facts.judge(Some(rules.as_rules()), policy, now).is_allowed() {
            continue;
        }
        cut += 1;
        let origin = session.facts.page(widget.id.as_str(), policy).map(ToString::to_string);
        *by_embedder.entry(origin).or_default() += 1;
    }
    let mut cut_embedders: Vec<CutEmbedder> =
        by_embedder.into_iter().map(|(origin, sessions)| CutEmbedder { origin, sessions }).collect();
    cut_embedders.sort_by(|a, b| b.sessions.cmp(&a.sessions).then_with(|| a.origin.cmp(&b.origin)));
    cut_embedders.truncate(EMBEDDERS);
    let mut remembered = RememberedEffects { known: 0, revoked: 0 };
    for (facts, sessions) in left {
        remembered.known += sessions;
        if !facts.judge(Some(rules.as_rules()), policy, now).is_allowed() {
            remembered.revoked += sessions;
        }
    }
    Sessions { open: sessions.len(), cut, cut_embedders, remembered }
}
