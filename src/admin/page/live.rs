//! `GET /live`: what happens, as it happens. The filter is in the query, so that a view can be shared; `live.js` fills
//! the table from `/v1/events`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::Uri;
use maud::{Markup, html};
use serde::Deserialize;

use super::shell::{Place, View};
use crate::admin::Admin;
use crate::admin::auth::Caller;
use crate::telemetry::events::EventKind;

/// What somebody wants to watch, as the query of the view has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WatchFilter {
    widget: String,
    embedder: String,
    verdict: String,
    /// Words of kinds; none: the usual ones.
    kind: Vec<String>,
}

/// The view.
pub(super) async fn view(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Response {
    let filter: WatchFilter = serde_html_form::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    let main = html! {
        p class="lead" { "Decisions, changes of the rules and ends of sessions on this edge." }
        (controls(&filter))
        section class="card" {
            h2 { "Events" }
            div class="toolbar" {
                // The only part that speaks: rows come too fast.
                p id="state" role="status" {
                    span id="state-mark" class="badge quiet" { "off" } " "
                    span id="state-text" {}
                }
                span id="missed" {}
                button id="pause" type="button" aria-pressed="false" { "Pause" }
                button id="clear" type="button" class="quiet" { "Clear" }
            }
            noscript {
                p class="fault" { "This view needs JavaScript. " code { "GET /v1/events" } " has the same." }
            }
            div id="live" class="scroll" tabindex="0" role="region" aria-label="Events, newest first" {
                table class="data" {
                    thead {
                        tr {
                            th scope="col" { "Time" }
                            th scope="col" { "Widget" }
                            th scope="col" { "Embedder" }
                            th scope="col" { "What happened" }
                        }
                    }
                    tbody id="rows" {}
                }
            }
            div id="nothing" class="empty" {
                h3 { "Nothing has happened yet" }
                p { "Open a page that embeds a widget, or save a widget: it appears here at once." }
            }
        }
    };
    View { title: "Live", place: Place::Live, scripts: &["live.js"], styles: &["live.css"] }
        .around(&admin, &caller, &main)
}

fn controls(filter: &WatchFilter) -> Markup {
    html! {
        form id="filter" method="get" action="/live" aria-label="Filter" {
            section class="card" {
                h2 { "Filter" }
                div class="fields" {
                    label class="field" {
                        span { "Widget" }
                        input name="widget" value=(filter.widget) placeholder="any"
                            autocomplete="off" autocapitalize="none" spellcheck="false";
                    }
                    label class="field" {
                        span { "Embedder" }
                        input name="embedder" value=(filter.embedder) placeholder="https://www.example.com"
                            autocomplete="off" autocapitalize="none" spellcheck="false";
                    }
                    label class="field" {
                        span { "Verdict" }
                        select name="verdict" {
                            @for (value, text) in [("", "any"), ("allow", "allowed"), ("deny", "denied")] {
                                option value=(value) selected[filter.verdict == value] { (text) }
                            }
                        }
                    }
                }
                fieldset {
                    legend { "Kinds of events" }
                    div id="kinds" {
                        @for kind in EventKind::ALL {
                            label class="field" {
                                span { (kind_in_words(kind)) }
                                input type="checkbox" name="kind" value=(kind.as_str())
                                    checked[filter.shows(kind)];
                            }
                        }
                    }
                }
            }
        }
    }
}

impl WatchFilter {
    fn shows(&self, kind: EventKind) -> bool {
        let mut words = self.kind.iter().flat_map(|list| list.split(',')).peekable();
        words.peek().is_none() || words.any(|word| word == kind.as_str())
    }
}

fn kind_in_words(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Decision => "Decisions",
        EventKind::Swap => "Changes of the rules",
        EventKind::Refused => "Refused changes",
        EventKind::SessionEnded => "Ends of sessions",
        EventKind::Notification => "Notifications",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_filter_is_the_same_again() {
        let kinds = |query: &str| {
            let filter: WatchFilter = serde_html_form::from_str(query).unwrap_or_default();
            EventKind::ALL.map(|kind| filter.shows(kind))
        };
        assert_eq!(kinds("widget=w"), [true; 5]);
        assert_eq!(kinds("kind=swap&kind=refused"), [false, true, true, false, false]);
        assert_eq!(kinds("kind=swap,decision"), [true, true, false, false, false]);
    }
}
