//! `GET /v1/lint`: what the rules allow but probably should not.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::activity::{Gather, SeenInOrder, stale};
use super::input::Parameters;
use super::openapi::ReadProblems;
use super::problem::Problem;
use super::widgets::{after, within};
use super::{Admin, blocking, refusal, stored};
use embedgate_policy::lint::{Finding, lint};
use embedgate_policy::widget::WidgetId;

const PAGE: usize = 1000;
const LARGEST_PAGE: usize = 10_000;

/// A page with so many findings takes those of no other widget.
const MOST_FINDINGS: usize = 10_000;

/// Query of the findings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LintQuery {
    /// How many widgets to check.
    #[param(minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<usize>,
    /// Only widgets after this id: the `next` of the previous page.
    #[param(value_type = Option<WidgetId>)]
    after: Option<String>,
}

/// Page of findings.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Findings {
    /// The findings, sorted by widget id.
    pub(super) findings: Vec<WidgetFinding>,
    /// How many widgets were checked.
    pub(super) widgets: usize,
    /// The `after` of the next page; `null` on the last page.
    pub(super) next: Option<WidgetId>,
    /// Edges of the fleet that did not answer: an entry that is called stale may be of use there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(super) missing: Vec<String>,
}

/// Finding with its widget.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WidgetFinding {
    /// The widget.
    pub(super) widget: WidgetId,
    #[serde(flatten)]
    pub(super) finding: Finding,
}

/// List what is probably unintended
///
/// Checks one page of widgets at a time, sorted by id. A page has at most `limit` widgets, and ends earlier once it has
/// 10,000 findings: `next` says where to go on. Stale entries are told by what all edges have seen.
#[utoipa::path(
    get,
    path = "/v1/lint",
    operation_id = "lint",
    tag = "verdicts",
    params(LintQuery),
    responses((status = 200, description = "The findings", body = Findings), ReadProblems),
)]
pub(super) async fn findings(
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<LintQuery>,
) -> Result<Json<Findings>, Problem> {
    let limit = within(query.limit, PAGE, LARGEST_PAGE)?;
    let after = after(query.after.as_deref())?;
    blocking(move || page(&admin, after, limit).map(Json)).await
}

/// The findings about at most `limit` widgets after this id.
pub(super) fn page(admin: &Admin, after: Option<WidgetId>, limit: usize) -> Result<Findings, Problem> {
    let (policy, now) = (admin.policy.load(), Timestamp::now());
    let mut page = Findings { findings: Vec::new(), widgets: 0, next: None, missing: Vec::new() };
    let mut seen = SeenInOrder::after(after.as_ref().map(WidgetId::as_str));
    let (mut gather, mut last) = (Gather::new(admin), None);
    for widget in stored::after(admin.publisher.documents(), after) {
        let widget = widget.map_err(|error| refusal::of_storage(&error))?;
        if page.widgets == limit || page.findings.len() >= MOST_FINDINGS {
            page.next = last;
            break;
        }
        let activity = seen.of(widget.id.as_str(), &mut gather)?;
        let stale = stale(admin, &widget, &activity, now)?;
        let found = lint(&widget, &policy, &admin.suffixes, now).into_iter().chain(stale);
        page.findings.extend(found.map(|finding| WidgetFinding { widget: widget.id.clone(), finding }));
        page.widgets += 1;
        last = Some(widget.id);
    }
    page.missing = gather.missing();
    Ok(page)
}
