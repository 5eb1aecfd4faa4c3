//! `GET /v1/widgets`: documents by id, a page at a time.

use std::collections::BinaryHeap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::input::Parameters;
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::admin::{Admin, blocking, refusal};
use crate::policy::widget::{Access, Environment, Widget, WidgetId};
use crate::rules::error::RulesError;

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// Which widgets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Those after this id: the `next` of the page before.
    #[param(value_type = Option<WidgetId>)]
    after: Option<String>,
    /// Only those of this environment.
    environment: Option<Environment>,
    /// Only those with this access in effect.
    access: Option<Access>,
}

/// A page of documents.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Page {
    /// Canonical documents, by id.
    widgets: Vec<Widget>,
    /// What to give as `after` for the next page; `null` on the last.
    next: Option<WidgetId>,
}

/// List widgets
///
/// By id. Widgets that are saved or deleted meanwhile are on their page or not; none is on two.
#[utoipa::path(
    get,
    path = "/v1/widgets",
    operation_id = "listWidgets",
    tag = "widgets",
    params(ListQuery),
    responses((status = 200, description = "A page", body = Page), ReadProblems),
)]
pub(in crate::admin) async fn list(
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Page>, Problem> {
    let limit = within(query.limit, PAGE, LARGEST_PAGE)?;
    let after = after(query.after.as_deref())?;
    let wanted = (query.environment, query.access);
    blocking(move || page(&admin, after.as_ref(), limit, wanted).map_err(|error| refusal::of_storage(&error)))
        .await
        .map(Json)
}

/// A number of things, within what is sensible.
pub(in crate::admin) fn within(given: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    match given.unwrap_or(usual) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid_parameter("limit", format!("a number from 1 to {most}"))),
    }
}

/// The id that a page begins after.
pub(in crate::admin) fn after(given: Option<&str>) -> Result<Option<WidgetId>, Problem> {
    let parsed = given.map(WidgetId::parse).transpose();
    parsed.map_err(|error| Problem::invalid_parameter("after", error.to_string()))
}

fn page(
    admin: &Admin,
    after: Option<&WidgetId>,
    limit: usize,
    wanted: (Option<Environment>, Option<Access>),
) -> Result<Page, RulesError> {
    let documents = admin.publisher.documents();
    // One more than asked for tells whether there is another page.
    let most = limit.saturating_add(1);
    let last_of = |ids: &mut dyn Iterator<Item = WidgetId>| ids.nth(limit.saturating_sub(1));
    if let (None, None) = wanted {
        let mut widgets = documents.page(after.map(WidgetId::as_str), most)?;
        let more = widgets.len() > limit;
        widgets.truncate(limit);
        let next = last_of(&mut widgets.iter().map(|widget| widget.id.clone())).filter(|_| more);
        return Ok(Page { widgets, next });
    }
    let ids = first_ids(admin, after, most, wanted);
    let found = ids.iter().take(limit).map(|id| documents.get(id.as_str()));
    let widgets = found.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let more = ids.len() > limit;
    Ok(Page { widgets, next: last_of(&mut ids.into_iter()).filter(|_| more) })
}

/// The first so many ids whose rules are wanted, in order: found in the rule book, which costs no disk.
fn first_ids(
    admin: &Admin,
    after: Option<&WidgetId>,
    most: usize,
    (environment, access): (Option<Environment>, Option<Access>),
) -> Vec<WidgetId> {
    let book = admin.publisher.live().load_full();
    let mut first = BinaryHeap::with_capacity(most + 1);
    let wanted = book.widgets().filter(|rules| {
        environment.is_none_or(|environment| rules.environment == environment)
            && access.is_none_or(|access| rules.access == access)
            && after.is_none_or(|after| rules.id > after.as_str())
    });
    for rules in wanted {
        if first.len() < most || first.peek().is_some_and(|last: &WidgetId| rules.id < last.as_str()) {
            first.extend(WidgetId::parse(rules.id));
            if first.len() > most {
                first.pop();
            }
        }
    }
    first.into_sorted_vec()
}
