//! Sites that were refused lately, of all widgets: whoever says that a widget is gone is probably among them.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::Glance;
use crate::admin::activity::{Gather, RefusedMost, judged_again};
use crate::admin::page::parts::{self, Column};
use crate::admin::problem::Problem;
use crate::admin::{Admin, blocking};

const COLUMNS: [Column<'static>; 6] = [
    Column::Text("Site"),
    Column::Text("Widget"),
    Column::Number("Requests"),
    Column::Text("Last"),
    Column::Text("Reason"),
    Column::Text("What would admit it"),
];

/// How long ago a refusal may be.
const LATELY: SignedDuration = SignedDuration::from_hours(24);

/// Sites that are shown.
const MOST_SHOWN: usize = 10;

/// Time that is waited for the other edges of a fleet: the view is not to wait for one that is away.
const PATIENCE: Duration = Duration::from_millis(150);

/// Sites that were refused lately.
pub(super) struct RefusedLately {
    /// Most often first.
    sites: Vec<RefusedMost>,
    /// Edges of the fleet that did not answer.
    missing: Vec<String>,
}

/// Reads those of the sites that are refused most often, which are bounded, however many widgets there are.
pub(super) async fn read(admin: &Arc<Admin>) -> Result<RefusedLately, Problem> {
    let admin = Arc::clone(admin);
    blocking(move || {
        let (mut gather, now) = (Gather::within(&admin, PATIENCE), Timestamp::now());
        let mut refused = gather.most_refused()?;
        refused.retain(|refused| now.duration_since(refused.embedder.last) <= LATELY);
        let sites = judged_again(&admin, refused, now).take(MOST_SHOWN).collect::<Result<_, _>>()?;
        Ok(RefusedLately { sites, missing: gather.missing() })
    })
    .await
}

/// The card.
pub(super) fn card(glance: &Glance) -> Markup {
    html! {
        section id="refused" class="card" data-refresh {
            h2 { "Refused in the last 24 hours" }
            p class="lead" {
                "Of the 50 sites that were refused most often, or that only monitoring lets in, those of the last 24 hours. "
                "Requests count from the beginning. Each widget's page has all of its own."
            }
            @match &glance.refused {
                Err(problem) => (parts::fault(&format!("What was seen can't be read: {}", problem.detail()))),
                Ok(RefusedLately { sites, missing }) => {
                    @if sites.is_empty() {
                        p { "None of the sites that are refused most often." }
                    } @else {
                        (table(sites))
                    }
                    @if !missing.is_empty() {
                        p class="note" { "Without what these edges have seen, which did not answer: " (missing.join(", ")) "." }
                    }
                }
            }
        }
    }
}

fn table(sites: &[RefusedMost]) -> Markup {
    html! {
        (parts::table("Sites that were refused", COLUMNS, &html! { @for refused in sites { (row(refused)) } }))
    }
}

fn row(RefusedMost { widget, site }: &RefusedMost) -> Markup {
    html! {
        tr {
            th scope="row" { (site.origin) }
            td { a href={ "/widgets/" (widget) } { (widget) } }
            td class="number" { (parts::number(site.count)) }
            td { (parts::time(site.last)) }
            td { @if let Some(reason) = site.reason { code { (reason) } } }
            td {
                @match (&site.entry, &site.entry_to_add) {
                    (Some(entry), _) => { "Listed now: " code { (entry) } }
                    (None, Some(entry)) => code { (entry) },
                    (None, None) => "No entry can",
                }
            }
        }
    }
}
