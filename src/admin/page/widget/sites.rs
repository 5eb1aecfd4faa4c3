//! Sites without an entry: those that were refused, those that were let in all the same, and those that only reports name.
//! Each has a button that adds the entry for it, where there is one.

use maud::{Markup, html};

use super::entries::clients;
use super::facts::ShownWidget;
use crate::admin::activity::{SeenSite, SeenSites};
use crate::admin::page::parts::{self, BadgeKind, Column, badge, empty, number, time};
use embedgate_policy::verdict::Reason;

const COLUMNS: [Column<'static>; 5] = [
    Column::Text("Site"),
    Column::Text("Why"),
    Column::Number("Requests"),
    Column::Text("Last"),
    Column::Text("Entry for it"),
];

/// The section.
pub(super) fn section(facts: &ShownWidget, may_change: bool) -> Markup {
    let activity = &facts.activity;
    let tables = [
        (&activity.refused, "Refused", "Sites that the list did not admit."),
        (
            &activity.admitted,
            "Let in without an entry",
            "By an open widget, on the vendor's dashboard, or by an entry that is gone.",
        ),
        (
            &activity.reported,
            "Reported by browsers",
            "A page around the widget's page is not on the list. Nobody has verified these: anybody can send a report.",
        ),
    ];
    html! {
        section class="card" id="sites" {
            h2 { "Sites without an entry" }
            @if tables.iter().all(|(seen, _, _)| seen.sites.is_empty()) {
                (empty(
                    "Nobody was refused",
                    "A site that tries to embed the widget and is not on the list appears here, with the entry for it.",
                    None,
                ))
            } @else {
                p class="lead" {
                    "A request can name any site, so add an entry only for a site that you know."
                }
                @for (seen, title, means) in tables {
                    @if !seen.sites.is_empty() { (table(seen, title, means, may_change)) }
                }
            }
        }
    }
}

fn table(seen: &SeenSites, title: &str, means: &str, may_change: bool) -> Markup {
    html! {
        h3 { (title) }
        p class="help" { (means) }
        (parts::table(&format!("Table: {title}"), COLUMNS, &html! { @for site in &seen.sites { (row(site, may_change)) } }))
        @if seen.omitted > 0 { p class="help" { "And " (number(seen.omitted as u64)) " more." } }
        @if seen.untracked > 0 {
            p class="help" { "Sites that are not kept may have asked up to " (number(seen.untracked)) " times each." }
        }
    }
}

fn row(site: &SeenSite, may_change: bool) -> Markup {
    html! {
        tr {
            th scope="row" {
                code { (site.origin) }
                @if let Some(clients) = clients(&site.clients) { br; span class="help" { (clients) } }
            }
            td {
                (why(site.reason))
                @if site.preview { " " (badge(BadgeKind::Quiet, "preview")) }
                @if site.monitored > 0 { " " (badge(BadgeKind::Warn, "let through")) }
            }
            td class="number" { (number(site.count)) }
            td { (time(site.last)) }
            td {
                @match (&site.entry, &site.entry_to_add) {
                    (Some(entry), _) => { (badge(BadgeKind::Good, "listed now")) " " code { (entry) } }
                    (None, Some(entry)) if may_change => {
                        button type="button" data-change="add" data-entry=(entry) { "Add " (entry) }
                    }
                    (None, Some(entry)) => code { (entry) },
                    (None, None) => "none",
                }
            }
        }
    }
}

/// Why a site was refused, or would have been.
fn why(reason: Option<Reason>) -> &'static str {
    match reason {
        None => "reported",
        Some(Reason::NotListed) => "not on the list",
        Some(Reason::InsecureScheme) => "http, and listed for https",
        Some(Reason::PortMismatch) => "another port than the listed one",
        Some(Reason::ExpiredEntry) => "its entry has expired",
        Some(Reason::OpaqueOrigin) => "a page without an origin",
        Some(Reason::UnsupportedScheme) => "neither http nor https",
        Some(Reason::WidgetDisabled) => "the widget was disabled",
        Some(Reason::Locked) => "the list was empty",
        Some(Reason::Unrestricted) => "open to every site",
        Some(Reason::SystemOrigin) => "the vendor's dashboard",
        Some(other) => other.as_str(),
    }
}
