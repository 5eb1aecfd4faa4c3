//! `GET /`: the state of the edge at a glance: what needs somebody first, then how it goes.
//!
//! It reads no documents but the few that were refused most often, and shows the last survey of all.

mod attention;
mod findings;
mod health;
mod posture;
mod refused;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};

use self::refused::RefusedLately;
use super::parts;
use super::shell::{Place, View};
use crate::admin::Admin;
use crate::admin::auth::{Caller, Role};
use crate::admin::problem::Problem;
use crate::admin::status::Status;
use crate::admin::survey::{Survey, Surveyed};
use crate::notifications::outbox::OutboxState;
use crate::rules::fleet::EdgeState;
use crate::telemetry::minutes::TrafficMinute;

/// Minutes whose errors are worth a word.
const RECENT: usize = 5;

/// Dead letters that are counted.
const MOST_DEAD: usize = 100;

/// What the view shows.
struct Glance {
    now: Timestamp,
    status: Status,
    /// Widgets without a list can be embedded by every site.
    open_allowed: bool,
    surveyed: Option<Arc<Surveyed>>,
    refused: Result<RefusedLately, Problem>,
    outbox: OutboxState,
    /// Dead letters that are kept, up to [`MOST_DEAD`].
    dead: usize,
    /// The last minutes, with the one that is under way.
    recent: Vec<TrafficMinute>,
    /// The number of edges in each state, in a fleet.
    edges: Option<BTreeMap<EdgeState, usize>>,
}

impl Glance {
    async fn at(admin: &Arc<Admin>) -> Self {
        let surveyed = Survey::look(admin).await;
        let refused = refused::read(admin).await;
        let now = Timestamp::now();
        let mut recent = admin.minutes.last(RECENT, now.as_second());
        recent.push(admin.minutes.under_way(now.as_second(), &admin.metrics.traffic()));
        Self {
            now,
            status: Status::of(admin),
            open_allowed: admin.policy.load().open_allowed,
            surveyed,
            refused,
            outbox: admin.outbox.state(),
            dead: admin.outbox.dead_letters(None, MOST_DEAD).letters.len(),
            recent,
            edges: admin.fleet.as_ref().map(|fleet| fleet.states()),
        }
    }
}

/// The view.
pub(super) async fn view(State(admin): State<Arc<Admin>>, Extension(caller): Extension<Caller>) -> Response {
    let glance = Glance::at(&admin).await;
    let view = View {
        title: "Overview",
        place: Place::Overview,
        scripts: &["overview.js", "refresh.js"],
        styles: &["uplot.css", "overview.css"],
    };
    view.around(&admin, &caller, &content(&glance, caller.role))
}

fn content(glance: &Glance, role: Role) -> Markup {
    html! {
        @if glance.status.widgets.total == 0 { (first_widget(glance, role)) }
        (attention::card(glance))
        (figures(glance))
        (traffic())
        div class="grid" {
            (posture::card(glance))
            (findings::card(glance.surveyed.as_deref()))
        }
        (refused::card(glance))
        div class="grid" {
            (health::upstreams(glance))
            (health::certificates(glance))
        }
        div class="grid" {
            (health::rules(glance))
            (health::notifications(glance))
        }
    }
}

/// What to do while there is no widget.
fn first_widget(glance: &Glance, role: Role) -> Markup {
    let text = match (glance.status.read_only, role) {
        (true, _) => format!(
            "Rules come from the {} {}: add a widget there, and it is in force a moment later.",
            glance.status.rules.source, glance.status.rules.name
        ),
        (false, Role::Write) => {
            "Give it an id and the first site that may load it. Everything else is denied then.".to_owned()
        }
        (false, Role::Read) => {
            "Somebody whose token has the role write can add one. Yours may only look.".to_owned()
        }
    };
    let action = (!glance.status.read_only && role == Role::Write).then_some(("/widgets", "Add a widget"));
    html! {
        section id="first" class="card" data-refresh {
            h2 { "Begin here" }
            (parts::empty("There is no widget yet", &text, action))
        }
    }
}

fn figures(glance: &Glance) -> Markup {
    let Status { widgets, sessions, remembered_sessions, generation, .. } = &glance.status;
    let under_way = glance.recent.last();
    html! {
        section id="figures" class="card" data-refresh {
            h2 { "Now" }
            dl class="stats" {
                (figure("Widgets", widgets.total))
                (figure("Open sessions", *sessions))
                @if *remembered_sessions > 0 { (figure("Sessions elsewhere", *remembered_sessions)) }
                @if let Some(minute) = under_way {
                    (figure("Allowed this minute", minute.allowed))
                    (figure("Denied this minute", minute.denied))
                }
                (figure("Version of the rules", *generation))
            }
            @if let Some(edges) = &glance.edges { (fleet(edges)) }
        }
    }
}

/// A figure with its name.
fn figure<N: TryInto<u64>>(name: &str, number: N) -> Markup {
    let number = number.try_into().unwrap_or(u64::MAX);
    html! { div { dt { (name) } dd { (parts::number(number)) } } }
}

/// The fleet in a sentence.
fn fleet(edges: &BTreeMap<EdgeState, usize>) -> Markup {
    let all: usize = edges.values().sum();
    let others = edges.iter().filter(|(state, count)| **state != EdgeState::Current && **count > 0);
    html! {
        p {
            a href="/fleet" { (words::counted(all, "edge")) " share these rules" } ": "
            (edges.get(&EdgeState::Current).copied().unwrap_or(0)) " current"
            @for (state, count) in others { ", " (count) " " (state.as_str()) }
            "."
        }
    }
}

/// Charts. `overview.js` draws them.
fn traffic() -> Markup {
    html! {
        section id="traffic" class="card" {
            h2 { "Traffic" }
            div class="toolbar" {
                label class="field" {
                    span { "Time shown" }
                    select id="span" {
                        option value="60" { "The last hour" }
                        option value="360" { "The last 6 hours" }
                        option value="1440" { "The last 24 hours" }
                    }
                }
            }
            p id="traffic-state" class="note" role="status" aria-busy="true" { "Reading the minutes…" }
            noscript { p class="note" { "The charts need JavaScript. " code { "GET /v1/minutes" } " has the figures." } }
            div class="grid" {
                figure class="chart" {
                    figcaption { "Requests in each minute" }
                    div data-chart="verdicts" {}
                }
                figure class="chart" {
                    figcaption { "Time until an answer is complete, sessions aside" }
                    div data-chart="latency" {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
