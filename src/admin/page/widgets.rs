//! `GET /widgets`: widgets by id, site, label, environment and access, one page at a time.

mod create;
mod rules_file;
mod search;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{self, BadgeKind, Column, badge, empty, fault, number};
use super::shell::{Place, View};
use super::{may_change, needs_script};
use crate::admin::auth::Caller;
use crate::admin::problem::Problem;
use crate::admin::widgets::{FoundPage, page};
use crate::admin::{Admin, blocking};
use embedgate_policy::widget::{Access, Environment, Widget, WidgetId};

use search::WidgetSearch;

const COLUMNS: [Column<'static>; 6] = [
    Column::Text("Widget"),
    Column::Text("Labels"),
    Column::Text("Environment"),
    Column::Text("Access"),
    Column::Number("Entries"),
    Column::Number("Revision"),
];

/// Widgets on one page.
const PAGE: usize = 50;

/// Widget as the list shows it.
struct WidgetRow {
    id: WidgetId,
    environment: Environment,
    access: Access,
    enabled: bool,
    entries: usize,
    labels: Vec<String>,
    revision: Option<u64>,
}

impl From<Widget> for WidgetRow {
    fn from(widget: Widget) -> Self {
        Self {
            access: widget.effective_access(),
            entries: widget.allowed_domains.len(),
            labels: widget.labels.iter().map(|(key, value)| format!("{key}:{value}")).collect(),
            environment: widget.environment,
            enabled: widget.enabled,
            revision: widget.revision,
            id: widget.id,
        }
    }
}

/// The view.
pub(super) async fn view(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let search = WidgetSearch::of(uri.query());
    let asked = search.filters(&admin.suffixes, Timestamp::now());
    let mut status = StatusCode::OK;
    let shown = match asked {
        Err(problem) => {
            status = problem.status();
            fault(problem.detail())
        }
        Ok((filters, after)) => {
            let for_work = Arc::clone(&admin);
            let kept = |widget: Widget| Ok((WidgetRow::from(widget), 0));
            let found = blocking(move || page(&for_work, after, PAGE, &filters, kept)).await?;
            list(&admin, &search, &found, may_change(&admin, &caller))
        }
    };
    let main = html! {
        (lead(&admin))
        (search.form())
        (shown)
        @if may_change(&admin, &caller) { (needs_script()) (create::form()) }
        (rules_file::told(&admin, &caller))
    };
    let view =
        View { title: "Widgets", place: Place::Widgets, scripts: &["widget.js"], styles: &["widget.css"] };
    Ok((status, view.around(&admin, &caller, &main)).into_response())
}

/// How many widgets there are, by what they let in.
fn lead(admin: &Admin) -> Markup {
    let book = admin.publisher.live().load_full();
    let with = |access: Access| {
        let of = |environment: Environment| book.census().widgets(environment, access);
        number(Environment::ALL.into_iter().map(of).sum::<usize>() as u64)
    };
    html! {
        p class="lead" {
            (number(book.len() as u64)) " in all. Enforced: " (with(Access::Enforce)) ". Only monitored: "
            (with(Access::Monitor)) ". Open to every site: " (with(Access::Open)) "."
        }
    }
}

fn list(admin: &Admin, search: &WidgetSearch, page: &FoundPage<WidgetRow>, may_change: bool) -> Markup {
    let more = page.next.as_ref().map(|next| search.following(next));
    html! {
        section class="card" id="found" {
            h2 { "Found" }
            @if page.found.is_empty() {
                (nothing(search, more.as_deref(), may_change))
            } @else {
                (table(&page.found, admin.policy.load().open_allowed))
                @if let Some(more) = more {
                    div class="toolbar" { a class="button" rel="next" href=(more) { "More" } }
                }
            }
        }
    }
}

/// What is said where no widget is found.
fn nothing(search: &WidgetSearch, more: Option<&str>, may_change: bool) -> Markup {
    match more {
        Some(more) => empty(
            "None so far",
            "None of the widgets that were looked at so far has it. A search looks at 100,000 at a time, for a label at 10,000.",
            Some((more, "Search on")),
        ),
        None if search.is_empty() && may_change => {
            empty("There are no widgets yet", "Add the first one below.", None)
        }
        None if search.is_empty() => empty(
            "There are no widgets yet",
            "They can be added by the API, or with a token that may change.",
            None,
        ),
        None => empty(
            "No widget matches",
            &format!("There is none {}.", search.in_words()),
            Some(("/widgets", "Show all widgets")),
        ),
    }
}

fn table(rows: &[WidgetRow], open_allowed: bool) -> Markup {
    html! {
        (parts::table("Table of widgets", COLUMNS, &html! { @for row in rows { (shown(row, open_allowed)) } }))
    }
}

fn shown(row: &WidgetRow, open_allowed: bool) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/widgets/" (row.id) } { (row.id) } }
            td { @for label in &row.labels { (badge(BadgeKind::Quiet, label)) " " } }
            td { (environment(row.environment)) }
            td {
                (access(row.access, row.environment, open_allowed))
                @if !row.enabled { " " (badge(BadgeKind::Bad, "disabled")) }
            }
            td class="number" { (number(row.entries as u64)) }
            td class="number" { @if let Some(revision) = row.revision { (number(revision)) } }
        }
    }
}

/// An environment as a badge.
pub(super) fn environment(environment: Environment) -> Markup {
    badge(BadgeKind::Quiet, environment.as_str())
}

/// An access as a badge. A widget that every site may embed is louder in production.
pub(super) fn access(access: Access, environment: Environment, open_allowed: bool) -> Markup {
    match (access, environment) {
        (Access::Enforce, _) => badge(BadgeKind::Good, "enforce"),
        (Access::Monitor, _) => badge(BadgeKind::Warn, "monitor"),
        (Access::Open, _) if !open_allowed => badge(BadgeKind::Quiet, "open, overruled"),
        (Access::Open, Environment::Production) => badge(BadgeKind::Bad, "open"),
        (Access::Open, Environment::Staging) => badge(BadgeKind::Warn, "open"),
    }
}
