//! `GET /checklist`: the checklist of a widget, its last run, and a button that runs it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::Uri;
use maud::{Markup, html};

use super::parts::{prose, time};
use super::shell::{Place, View};
use crate::admin::auth::{Caller, Role};
use crate::admin::checklist::LastRun;
use crate::admin::problem::Problem;
use crate::admin::{Admin, blocking, stored};
use crate::checklist::{CheckPoint, PointGroup, PointState};
use embedgate_policy::entry::EntryKind;
use embedgate_policy::widget::{Widget, WidgetId};

/// Most sites that are offered.
const MOST_SITES: usize = 100;

/// What the view shows of a widget.
struct ChosenWidget {
    widget: Widget,
    last: Option<LastRun>,
}

/// The view.
pub(super) async fn view(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Response {
    let query = uri.query().unwrap_or_default();
    let given = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned());
        found.filter(|value| !value.is_empty())
    };
    let (id, site) = (given("widget"), given("site"));
    let shown = match &id {
        Some(id) => Some(shown(&admin, id).await),
        None => None,
    };
    let main = html! {
        section class="card" {
            h2 { "Which widget" }
            p class="lead" { "The checklist looks at one widget on one site, as the browsers of its visitors do." }
            form method="get" action="/checklist" {
                div class="fields" {
                    label class="field" {
                        span { "Id of the widget" }
                        input name="widget" required maxlength="64" value=[id.as_deref()] autocomplete="off"
                            spellcheck="false";
                    }
                }
                div class="toolbar" { button { "Choose" } }
            }
            @match &shown {
                None => div class="empty" {
                    h3 { "No widget is chosen" }
                    p { "Write its id, or choose one of the widgets." }
                    a class="button" href="/widgets" { "Widgets" }
                },
                Some(Err(problem)) => p class="fault" role="alert" {
                    (problem.detail()) ". Look for its id in the "
                    a href="/widgets" { "list of widgets" } "."
                },
                Some(Ok(_)) => {}
            }
        }
        @if let Some(Ok(shown)) = &shown {
            (runner(shown, site.as_deref(), caller.role, &uri_port(&admin)))
            (result(shown))
        }
    };
    View { title: "Checklist", place: Place::Checklist, scripts: &["checklist.js"], styles: &[] }
        .around(&admin, &caller, &main)
}

async fn shown(admin: &Arc<Admin>, id: &str) -> Result<ChosenWidget, Problem> {
    let id = WidgetId::parse(id).map_err(|_| Problem::unknown_widget())?;
    let admin = Arc::clone(admin);
    blocking(move || {
        let widget = stored::existing(&admin, &id)?;
        Ok(ChosenWidget { last: admin.checklists.last(&id), widget })
    })
    .await
}

/// The port of the edge's own origin on this machine, as it is in addresses.
fn uri_port(admin: &Admin) -> String {
    let policy = admin.policy.load();
    let own = policy.own_origins.iter().find(|own| own.is_loopback()).map(|own| own.of("w"));
    let port = own.as_deref().and_then(|own| own.rsplit_once(':')).map(|(_, port)| port.to_owned());
    port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|port| format!(":{port}"))
        .unwrap_or_default()
}

/// The sites that the list names.
fn sites(widget: &Widget, local_port: &str) -> Vec<String> {
    let exact = widget
        .allowed_domains
        .iter()
        .map(|rule| &rule.entry)
        .filter(|entry| entry.kind() == EntryKind::Exact);
    let site = |entry: &embedgate_policy::entry::Entry| {
        let text = entry.to_string();
        match (text.contains("://"), entry.is_loopback()) {
            (true, _) => text,
            (false, true) => format!("http://{text}{local_port}"),
            (false, false) => format!("https://{text}"),
        }
    };
    exact.map(site).take(MOST_SITES).collect()
}

fn runner(shown: &ChosenWidget, site: Option<&str>, role: Role, local_port: &str) -> Markup {
    let sites = sites(&shown.widget, local_port);
    let id = shown.widget.id.as_str();
    let looked_at = shown.last.as_ref().and_then(|last| last.checklist.site.as_deref());
    let proposed = site.or(looked_at).or_else(|| sites.first().map(String::as_str));
    html! {
        section class="card" {
            h2 { "Run it for " code { (id) } }
            @if role == Role::Write {
                form id="run" data-widget=(id) {
                    div class="fields" {
                        label class="field" {
                            span { "Page with the widget" }
                            input name="site" type="url" required value=[proposed] list="sites"
                                placeholder="https://shop.example.com";
                        }
                    }
                    datalist id="sites" { @for site in &sites { option value=(site) {} } }
                    div class="toolbar" { button class="primary" { "Run the checklist" } }
                }
                p class="note" {
                    "The edge fetches this page. It has to be on the widget's list, on https and at public addresses; for others, run "
                    code { "embedgate checklist" } " where they can be reached. Nothing is changed."
                }
                p id="progress" aria-live="polite" {}
                p class="fault" id="fault" role="alert" hidden {}
            } @else {
                p class="note" { "Your token may look, and a run needs one that may change. The last run is below." }
            }
        }
    }
}

fn result(shown: &ChosenWidget) -> Markup {
    let Some(LastRun { at, checklist }) = &shown.last else {
        return html! {
            section class="card" {
                h2 { "The last run" }
                div class="empty" {
                    h3 { "It has not run since this edge started" }
                    p { "A run takes a few seconds. It says of each point what was found, and what mends it." }
                }
            }
        };
    };
    let passed = checklist.points.iter().filter(|point| point.state == PointState::Pass).count();
    html! {
        section class="card" id="result" {
            h2 { "The last run" }
            p class="lead" {
                @if let Some(site) = &checklist.site { (site) " · " }
                (time(*at))
            }
            dl class="stats" {
                div { dt { "Passed" } dd { (passed) } }
                div { dt { "To look at" } dd { (checklist.warned) } }
                div { dt { "Failed" } dd { (checklist.failed) } }
            }
        }
        @for group in PointGroup::ALL {
            section class="card" {
                h2 { (group.title()) }
                ul class="points" {
                    @for point in checklist.points.iter().filter(|point| point.group == group) {
                        (told(point, &shown.widget))
                    }
                }
            }
        }
    }
}

fn told(point: &CheckPoint, widget: &Widget) -> Markup {
    let (tone, word) = match point.state {
        PointState::Pass => ("good", "pass"),
        PointState::Warn => ("warn", "look"),
        PointState::Fail => ("bad", "fail"),
        PointState::Skipped => ("quiet", "skipped"),
    };
    html! {
        li id=(point.code) {
            p { span class={ "badge " (tone) } { (word) } " " strong { (point.title) } }
            p { (prose(&point.found)) }
            @if let Some(mend) = &point.mend {
                p class="note" {
                    (prose(mend))
                    @if point.group == PointGroup::Widget || point.code == "listed" {
                        " " a href={ "/widgets/" (widget.id.as_str()) } { "Open the widget" }
                    }
                }
            }
        }
    }
}
