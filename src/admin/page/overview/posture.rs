//! Widgets by environment and access.

use std::iter;

use maud::{Markup, html};

use super::Glance;
use crate::admin::page::parts::{self, Column};
use embedgate_policy::widget::{Access, Environment};

/// Columns, the safest first.
const COLUMNS: [(Access, &str); 3] =
    [(Access::Enforce, "Restricted"), (Access::Monitor, "Monitored"), (Access::Open, "Open")];

/// The card.
pub(super) fn card(glance: &Glance) -> Markup {
    let counts = COLUMNS.map(|(_, title)| Column::Number(title));
    let columns = iter::once(Column::Text("Environment")).chain(counts);
    html! {
        section id="posture" class="card" data-refresh {
            h2 { "Who may embed" }
            p class="lead" { "Restricted widgets load on listed sites alone. Monitored ones count what they would refuse." }
            (parts::table("Widgets by environment and access", columns, &html! {
                @for environment in Environment::ALL {
                    tr {
                        th scope="row" { (environment.as_str()) }
                        @for (access, _) in COLUMNS { td class="number" { (cell(glance, environment, access)) } }
                    }
                }
            }))
            @if !glance.open_allowed {
                p class="note" {
                    code { "policy.empty_allowlist" } " is " code { "deny" } ": here, open widgets load on listed sites alone, too."
                }
            }
        }
    }
}

/// A number of widgets, which leads to them.
fn cell(glance: &Glance, environment: Environment, access: Access) -> Markup {
    let (environment, access) = (environment.as_str(), access.as_str());
    let counts = glance.status.widgets.by_environment.get(environment);
    let count = counts.and_then(|counts| counts.get(access)).copied().unwrap_or(0);
    let shown = parts::number(count as u64);
    html! {
        @if count == 0 { (shown) } @else {
            a href={ "/widgets?environment=" (environment) "&access=" (access) } { (shown) }
        }
    }
}
