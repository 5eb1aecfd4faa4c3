//! `GET /fleet`: the edges that share their rules, what is wrong with their bucket, and what an operator may decide about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{self, BadgeKind, Column, badge};
use super::shell::{Place, View};
use crate::admin::Admin;
use crate::admin::auth::{Caller, Role};
use crate::rules::fleet::{EdgeState, EdgeStatus, FleetFault, FleetStatus};

mod dialogs;

/// Time that the view waits for the answers of edges.
const WITHIN: Duration = Duration::from_millis(500);

/// The view.
pub(super) async fn view(State(admin): State<Arc<Admin>>, Extension(caller): Extension<Caller>) -> Response {
    let main = match &admin.fleet {
        Some(fleet) => content(&fleet.status(WITHIN).await, caller.role),
        None => alone(),
    };
    let view = View {
        title: "Fleet",
        place: Place::Fleet,
        scripts: &["fleet.js", "refresh.js"],
        styles: &["overview.css"],
    };
    view.around(&admin, &caller, &main)
}

/// What is shown by an edge that is none of a fleet.
fn alone() -> Markup {
    html! {
        section class="card" {
            h2 { "One edge" }
            (parts::empty(
                "This edge has its rules for itself",
                "Edges with rules.source = \"nats\" and the same bucket share their rules: a save on one is in force on all. \
                 The guide docs/fleet.md says how.",
                None,
            ))
        }
    }
}

fn content(status: &FleetStatus, role: Role) -> Markup {
    html! {
        (bucket(status, role))
        (edges(status, role))
        @if role == Role::Write { (dialogs::all(status)) }
    }
}

/// The bucket, and its fault.
fn bucket(status: &FleetStatus, role: Role) -> Markup {
    html! {
        section id="bucket" class="card" data-refresh {
            h2 { "Bucket" }
            dl class="stats" {
                div { dt { "Bucket" } dd { (status.bucket) } }
                div { dt { "Last change" } dd { (parts::number(status.last_sequence)) } }
                div { dt { "This edge" } dd { (status.edge) } }
                div class=(if status.connected { "good" } else { "bad" }) {
                    dt { "Contact" }
                    dd { @if status.connected { "yes" } @else { "none" } }
                }
            }
            @if !status.connected {
                (parts::fault("This edge can't reach the NATS servers. It keeps the last rules, and saves fail here until it can."))
            }
            @if let Some(fault) = &status.fault { (faulty(fault, role)) }
        }
    }
}

fn faulty(fault: &FleetFault, role: Role) -> Markup {
    html! {
        (parts::fault(&fault.detail))
        p { code { (fault.code) } ", since " (parts::time(fault.since)) ". The rules in force stay." }
        @match role {
            Role::Write => div class="toolbar" {
                button class="primary" data-opens="restore" { "Fill the bucket again…" }
                button class="danger" data-opens="accept" { "Follow the bucket as it is…" }
            },
            Role::Read => p { "Somebody whose token has the role write can fill the bucket again, or follow it as it is." },
        }
    }
}

/// Columns of the edges, beside that of changes.
const COLUMNS: [Column<'static>; 9] = [
    Column::Text("Edge"),
    Column::Text("State"),
    Column::Number("Sequence"),
    Column::Number("Behind by"),
    Column::Number("Age of rules"),
    Column::Number("Sessions"),
    Column::Text("Ticket keys"),
    Column::Text("Version"),
    Column::Text("Heard of"),
];

/// All edges.
fn edges(status: &FleetStatus, role: Role) -> Markup {
    let usual = usual_keys(&status.edges);
    let columns = COLUMNS.into_iter().chain((role == Role::Write).then_some(Column::Text("Change")));
    let rows = html! { @for edge in &status.edges { (row(edge, status, usual, role)) } };
    html! {
        section id="edges" class="card" data-refresh {
            h2 { "Edges" }
            @if usual.is_some_and(|usual| status.edges.iter().any(|edge| has_other_keys(edge, usual))) {
                (parts::fault(
                    "Not all edges have the same ticket keys: what one gives, another refuses. Give all of them the same tickets.key_file.",
                ))
            }
            (parts::table("Edges of the fleet", columns, &rows))
            p class="help" {
                "A save with " code { "?wait=fleet" } " waits for every edge that is not stale. Forget one that is gone for good."
            }
        }
    }
}

fn row(edge: &EdgeStatus, status: &FleetStatus, usual: Option<&str>, role: Role) -> Markup {
    let behind = edge.sequence.map(|sequence| status.last_sequence.saturating_sub(sequence));
    let is_away = matches!(edge.state, EdgeState::Silent | EdgeState::Stale);
    html! {
        tr {
            th scope="row" {
                (edge.name)
                @if edge.name == status.edge { " " (badge(BadgeKind::Quiet, "this one")) }
            }
            td { (state(edge.state)) }
            td class="number" { (optional(edge.sequence.map(parts::number))) }
            td class="number" { (optional(behind.map(parts::number))) }
            td class="number" { (optional(edge.age_seconds.map(age))) }
            td class="number" { (optional(edge.sessions.map(|sessions| parts::number(sessions as u64)))) }
            td {
                @match &edge.ticket_keys {
                    Some(keys) => {
                        code { (keys) }
                        @if usual.is_some_and(|usual| has_other_keys(edge, usual)) { " " (badge(BadgeKind::Bad, "other keys")) }
                    }
                    None => "–",
                }
            }
            td { (edge.version.as_deref().unwrap_or("–")) }
            td { @if let Some(at) = edge.heard_at { (parts::time(at)) } @else { "never" } }
            @if role == Role::Write {
                td {
                    @if is_away {
                        button class="danger" data-opens="forget" data-edge=(edge.name) aria-label={ "Forget " (edge.name) } { "Forget…" }
                    }
                }
            }
        }
    }
}

/// A state, with what it means.
fn state(state: EdgeState) -> Markup {
    let (kind, meaning) = match state {
        EdgeState::Current => (BadgeKind::Good, "It enforces everything that was published."),
        EdgeState::Behind => (BadgeKind::Warn, "It does not enforce everything yet."),
        EdgeState::Fault => {
            (BadgeKind::Bad, "It keeps its rules, because the bucket is not the one that it has followed.")
        }
        EdgeState::Silent => (BadgeKind::Bad, "It does not answer, and saves wait for it."),
        EdgeState::Stale => {
            (BadgeKind::Bad, "It has been away for so long that it denies by itself. Nobody waits for it.")
        }
    };
    html! { span title=(meaning) { (badge(kind, state.as_str())) } }
}

fn optional(shown: Option<String>) -> String {
    shown.unwrap_or_else(|| "–".to_owned())
}

/// An age in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The fingerprint of ticket keys that most edges have.
fn usual_keys(edges: &[EdgeStatus]) -> Option<&str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    edges
        .iter()
        .filter_map(|edge| edge.ticket_keys.as_deref())
        .for_each(|keys| *counts.entry(keys).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(keys, _)| keys)
}

fn has_other_keys(edge: &EdgeStatus, usual: &str) -> bool {
    edge.ticket_keys.as_deref().is_some_and(|keys| keys != usual)
}

#[cfg(test)]
mod tests;
