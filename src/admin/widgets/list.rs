//! `GET /v1/widgets`: documents sorted by id, one page at a time.

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
use crate::rules::error::StoreError;
use embedgate_policy::widget::{Widget, WidgetId};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// A page with so many bytes of documents takes no other one.
const MOST_BYTES: usize = 4 << 20;

/// Maximum number of documents that are read for a page: only they know labels.
const MOST_READ: usize = 10_000;

/// Maximum number of widgets that are looked at for a page. The rule book knows all but labels.
const MOST_LOOKED_AT: usize = 100_000;

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
/// 4 MiB of documents, or once 100,000 widgets were looked at, with `label` 10,000. So it may be empty: `next` says where to
/// go on.
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

/// Widget that may be on a page, with its document where it has to be read.
type ListedCandidate = Result<(WidgetId, Option<Widget>), StoreError>;

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
    filled(candidates(admin, after, filters), limit, (MOST_LOOKED_AT, MOST_READ), filters, keep)
}

/// A page of the first `limit` of these. At most so many are looked at, and at most so many documents read.
fn filled<T>(
    candidates: impl Iterator<Item = ListedCandidate>,
    limit: usize,
    (most_looked_at, most_read): (usize, usize),
    filters: &Filters,
    keep: impl Fn(Widget) -> Result<(T, usize), Problem>,
) -> Result<FoundPage<T>, Problem> {
    let (mut widgets, mut bytes, mut last) = (Vec::new(), 0, None);
    let (mut looked_at, mut read) = (0, 0);
    for candidate in candidates {
        let is_full = widgets.len() == limit || bytes >= MOST_BYTES;
        let (id, document) = candidate.map_err(|error| refusal::of_storage(&error))?;
        if looked_at == most_looked_at || read == most_read {
            return Ok(FoundPage { found: widgets, next: last });
        }
        looked_at += 1;
        read += usize::from(document.is_some());
        if let Some(widget) = document.filter(|widget| filters.pass_labels(widget)) {
            // Only one more shows that there is another page.
            if is_full {
                return Ok(FoundPage { found: widgets, next: last });
            }
            let (kept, taken) = keep(widget)?;
            bytes += taken;
            widgets.push(kept);
        }
        if !is_full {
            last = Some(id);
        }
    }
    Ok(FoundPage { found: widgets, next: None })
}

/// The widgets after this id, sorted by id, with their documents. There is none where the rule book says that the widget is
/// not asked for, or where it is gone meanwhile.
fn candidates<'d>(
    admin: &'d Admin,
    after: Option<WidgetId>,
    filters: &'d Filters,
) -> impl Iterator<Item = ListedCandidate> + 'd {
    let documents = admin.publisher.documents();
    let beginning = filters.beginning();
    let begins = move |id: &WidgetId| beginning.is_none_or(|begin| id.as_str().starts_with(begin.as_str()));
    // Those that begin with an id are it, and follow it.
    let is_ahead = |begin: &&WidgetId| after.as_ref().is_none_or(|after| after.as_str() < begin.as_str());
    let first = beginning.filter(is_ahead).cloned();
    let after = first.clone().or(after);
    let found: Box<dyn Iterator<Item = ListedCandidate> + 'd> = match filters.ask_the_book() {
        false => {
            let first = first.and_then(|begin| documents.get(begin.as_str()).transpose());
            let all = first.into_iter().chain(stored::after(documents, after));
            Box::new(all.map(|found| found.map(|widget| (widget.id.clone(), Some(widget)))))
        }
        true => {
            let book = admin.publisher.live().load_full();
            let document = move |id: &WidgetId| match book.get(id.as_str()) {
                Some(rules) if filters.pass_rules(&rules) => documents.get(id.as_str()),
                _ => Ok(None),
            };
            let ids = first.into_iter().map(Ok).chain(stored::ids_after(documents, after));
            Box::new(ids.map(move |id| id.and_then(|id| document(&id).map(|document| (id, document)))))
        }
    };
    found.take_while(move |found| found.as_ref().map_or(true, |(id, _)| begins(id)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use embedgate_policy::suffix::PublicSuffixes;

    /// What a page of two has of these widgets, of which at most 4 are looked at and 3 read. `-`: not asked for by the rule
    /// book; `x`: asked for, without the label.
    fn told(widgets: &str) -> (Vec<String>, Option<String>) {
        let query = ListQuery { label: vec!["l".to_owned()], ..ListQuery::default() };
        let filters = Filters::of(query, PublicSuffixes::shipped(), Timestamp::UNIX_EPOCH).ok().unwrap();
        let candidates = widgets.chars().enumerate().map(|(nth, kind)| {
            let id = WidgetId::parse(&format!("w{nth}")).unwrap();
            let labels = if kind == 'x' { "{}" } else { r#"{"l": ""}"# };
            let json = format!(r#"{{"id": "{id}", "labels": {labels}}}"#);
            let document = Widget::parse(json.as_bytes(), PublicSuffixes::shipped()).unwrap();
            Ok((id, (kind != '-').then_some(document)))
        });
        let keep = |widget: Widget| Ok((widget.id.to_string(), 1));
        let page = filled(candidates, 2, (4, 3), &filters, keep).ok().unwrap();
        (page.found, page.next.map(|next| next.to_string()))
    }

    #[test]
    fn a_page_ends_where_it_is_full_or_enough_was_looked_at() {
        for (widgets, found, next) in [
            ("", &[][..], None),
            ("l", &["w0"], None),
            ("ll", &["w0", "w1"], None),
            // Only a further one that is found makes another page.
            ("ll-", &["w0", "w1"], None),
            ("ll-l", &["w0", "w1"], Some("w1")),
            ("lll", &["w0", "w1"], Some("w1")),
            ("ll---", &["w0", "w1"], Some("w1")),
            ("----", &[], None),
            ("----l", &[], Some("w3")),
            ("xxx", &[], None),
            ("xxxl", &[], Some("w2")),
            ("-xl-l", &["w2"], Some("w3")),
        ] {
            let told = told(widgets);
            let found = found.iter().map(ToString::to_string).collect();
            assert_eq!(told, (found, next.map(str::to_owned)), "{widgets}");
        }
    }
}
