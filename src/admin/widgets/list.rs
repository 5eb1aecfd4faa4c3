//! `GET /v1/widgets`: documents sorted by id, one page at a time.

use std::collections::BinaryHeap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::filters::{Filters, ListQuery};
use crate::admin::input::Parameters;
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::admin::{Admin, blocking, refusal, stored};
use crate::rules::documents::Documents;
use crate::rules::error::StoreError;
use embedgate_policy::widget::{Widget, WidgetId};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// A page with so many bytes of documents takes no other one.
const MOST_BYTES: usize = 4 << 20;

/// Maximum number of documents that a page looks at, where only they say what is on it.
const MOST_LOOKED_AT: usize = 10_000;

/// Page of documents.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct WidgetPage {
    /// Canonical documents, sorted by id.
    #[schema(value_type = Vec<Widget>)]
    widgets: Vec<Box<RawValue>>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<WidgetId>,
}

/// List widgets
///
/// Sorted by id, those for which all given filters hold. A page has at most `limit` widgets, and ends earlier once it has
/// 4 MiB of documents, or with `label` once it has looked at 10,000 widgets, so it may be empty: `next` says where to go on.
/// A widget that is saved or deleted meanwhile may be missing, but none is on two pages.
#[utoipa::path(
    get,
    path = "/v1/widgets",
    operation_id = "listWidgets",
    tag = "widgets",
    params(ListQuery),
    responses((status = 200, description = "A page", body = WidgetPage), ReadProblems),
)]
pub(in crate::admin) async fn list(
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<WidgetPage>, Problem> {
    let limit = within(query.limit, PAGE, LARGEST_PAGE)?;
    let after = after(query.after.as_deref())?;
    let filters = Filters::of(query, &admin.suffixes, Timestamp::now())?;
    let FoundPage { found, next } = blocking(move || page(&admin, after, limit, &filters, as_json)).await?;
    Ok(Json(WidgetPage { widgets: found, next }))
}

/// The canonical document, and its length.
fn as_json(widget: Widget) -> Result<(Box<RawValue>, usize), Problem> {
    let json = to_raw_value(&widget).map_err(|error| Problem::internal(error.to_string()))?;
    let bytes = json.get().len();
    Ok((json, bytes))
}

/// The given limit, checked, or the usual one.
pub(in crate::admin) fn within(given: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    match given.unwrap_or(usual) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid_parameter("limit", format!("must be a number from 1 to {most}"))),
    }
}

/// The id after which a page begins.
pub(in crate::admin) fn after(given: Option<&str>) -> Result<Option<WidgetId>, Problem> {
    let parsed = given.map(WidgetId::parse).transpose();
    parsed.map_err(|error| Problem::invalid_parameter("after", error.to_string()))
}

/// Page of what is kept of the widgets that were found.
pub(in crate::admin) struct FoundPage<T> {
    pub(in crate::admin) found: Vec<T>,
    /// The `after` of the next page.
    pub(in crate::admin) next: Option<WidgetId>,
}

/// The page after this id. `keep`: what is kept of each widget, and how many bytes of the page that takes.
pub(in crate::admin) fn page<T>(
    admin: &Admin,
    after: Option<WidgetId>,
    limit: usize,
    filters: &Filters,
    keep: impl Fn(Widget) -> Result<(T, usize), Problem>,
) -> Result<FoundPage<T>, Problem> {
    let documents = admin.publisher.documents();
    let most = if filters.ask_documents() { MOST_LOOKED_AT } else { limit };
    if !filters.ask_the_book() {
        let found = in_order(documents, after, filters.beginning());
        let found = found.map(|widget| widget.map(|widget| (widget.id.clone(), Some(widget))));
        return filled(found, (limit, most), filters, keep);
    }
    // One more than are looked at shows whether there is another page.
    let ids = first_ids(admin, after.as_ref(), most.saturating_add(1), filters);
    let found = ids.into_iter().map(|id| documents.get(id.as_str()).map(|widget| (id, widget)));
    filled(found, (limit, most), filters, keep)
}

/// The documents after this id whose ids begin like this one, sorted by id.
fn in_order<'d>(
    documents: &'d dyn Documents,
    after: Option<WidgetId>,
    beginning: Option<&'d WidgetId>,
) -> impl Iterator<Item = Result<Widget, StoreError>> + 'd {
    let is_before = |begin: &&WidgetId| after.as_ref().is_none_or(|after| after.as_str() < begin.as_str());
    let (first, after) = match beginning.filter(is_before) {
        Some(begin) => (documents.get(begin.as_str()).transpose(), Some(begin.clone())),
        None => (None, after),
    };
    let begins = move |found: &Result<Widget, StoreError>| match (found, beginning) {
        (Ok(widget), Some(begin)) => widget.id.as_str().starts_with(begin.as_str()),
        _ => true,
    };
    first.into_iter().chain(stored::after(documents, after)).take_while(begins)
}

/// A page of the first `limit` of these documents, at most so many of which are looked at. One that is gone since its id
/// was read is left out.
fn filled<T>(
    found: impl Iterator<Item = Result<(WidgetId, Option<Widget>), StoreError>>,
    (limit, most): (usize, usize),
    filters: &Filters,
    keep: impl Fn(Widget) -> Result<(T, usize), Problem>,
) -> Result<FoundPage<T>, Problem> {
    let (mut widgets, mut bytes, mut last) = (Vec::new(), 0, None);
    for (before, found) in found.enumerate() {
        let (id, widget) = found.map_err(|error| refusal::of_storage(&error))?;
        if before == most || widgets.len() == limit || bytes >= MOST_BYTES {
            return Ok(FoundPage { found: widgets, next: last });
        }
        if let Some(widget) = widget.filter(|widget| filters.pass_labels(widget)) {
            let (kept, taken) = keep(widget)?;
            bytes += taken;
            widgets.push(kept);
        }
        last = Some(id);
    }
    Ok(FoundPage { found: widgets, next: None })
}

/// The first ids whose rules match, in order. They come from the rule book, without reading the disk.
fn first_ids(admin: &Admin, after: Option<&WidgetId>, most: usize, filters: &Filters) -> Vec<WidgetId> {
    let book = admin.publisher.live().load_full();
    let mut first = BinaryHeap::with_capacity(most + 1);
    let wanted = book
        .widgets()
        .filter(|rules| after.is_none_or(|after| rules.id > after.as_str()) && filters.pass_rules(rules));
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
