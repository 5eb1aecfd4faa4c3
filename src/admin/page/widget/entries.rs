//! The list: each entry with when it was last used and by whom, and a form for one more.

use maud::{Markup, html};

use super::facts::ShownWidget;
use crate::admin::activity::{ClassedRequests, UsedEntry};
use crate::admin::page::parts::{self, BadgeKind, Column, badge, empty, number, time};
use embedgate_policy::entry::listed::ListedEntry;
use embedgate_policy::lint::EXPIRY_NOTICE;

/// Columns of the entries, beside that of changes.
const COLUMNS: [Column<'static>; 5] = [
    Column::Text("Entry"),
    Column::Text("Last used"),
    Column::Text("By"),
    Column::Number("Requests"),
    Column::Text("Expires"),
];

/// The section.
pub(super) fn section(facts: &ShownWidget, may_change: bool) -> Markup {
    let columns = COLUMNS.into_iter().chain(may_change.then_some(Column::Text("Change")));
    let listed = facts.widget.allowed_domains.iter().zip(&facts.activity.entries).enumerate();
    html! {
        section class="card" id="entries" {
            h2 { "Entries" }
            p class="lead" {
                "The sites that may embed it. What was used is known since " (time(facts.activity.since)) "."
            }
            @if facts.activity.entries.is_empty() {
                (empty("The list is empty", "Add the first site that may embed the widget.", None))
            } @else {
                (parts::table("Table of entries", columns, &html! {
                    @for (index, (rule, used)) in listed { (row(index, rule, used, facts, may_change)) }
                }))
            }
            @if may_change { (form()) }
        }
    }
}

fn row(index: usize, rule: &ListedEntry, used: &UsedEntry, facts: &ShownWidget, may_change: bool) -> Markup {
    html! {
        tr id={ "entry-" (index) } {
            th scope="row" {
                code { (used.entry) }
                @if let Some(read) = rule.entry.unicode() { br; (read) }
                @if let Some(note) = &rule.note { br; span class="help" { (note) } }
            }
            td {
                @match used.last {
                    Some(last) => (time(last)),
                    None => "not yet",
                }
                @if used.stale { " " (badge(BadgeKind::Warn, "stale")) }
            }
            td { (by(used)) }
            td class="number" { (number(used.count)) }
            td { (expiry(rule, facts)) }
            @if may_change {
                td {
                    button type="button" class="quiet" data-change="remove" data-entry=(used.entry)
                        aria-label={ "Remove " (used.entry) } { "Remove" }
                }
            }
        }
    }
}

/// Who used an entry: the hosts of one that covers several, and what kinds of clients.
fn by(used: &UsedEntry) -> Markup {
    let clients = clients(&used.clients);
    html! {
        @match used.hosts.as_slice() {
            [] => (clients.as_deref().unwrap_or("–")),
            [only] => (only.host),
            several => {
                details {
                    summary { (several.len()) " hosts" }
                    ul {
                        @for host in several {
                            li { (host.host) ", " (number(host.count)) ", last " (time(host.last)) }
                        }
                    }
                }
            }
        }
    }
}

/// The kinds of clients of these requests, in words; `None` if none is known.
pub(super) fn clients(of: &ClassedRequests) -> Option<String> {
    let kinds = [
        (of.browser, "by browsers"),
        (of.unknown, "by clients that do not say"),
        (of.contradictory, "by clients that contradict themselves"),
    ];
    let told = kinds.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, words)| format!("{} {words}", number(count))).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

fn expiry(rule: &ListedEntry, facts: &ShownWidget) -> Markup {
    let Some(at) = rule.expires_at else { return html! { "never" } };
    html! {
        (time(at)) " "
        @if rule.is_expired(facts.now) {
            (badge(BadgeKind::Bad, "expired"))
        } @else if at.duration_since(facts.now) <= EXPIRY_NOTICE {
            (badge(BadgeKind::Warn, "soon"))
        }
    }
}

fn form() -> Markup {
    html! {
        form method="dialog" data-change="add" {
            h3 { "Add an entry" }
            div class="fields" {
                label class="field" {
                    span { "Site" }
                    input name="pattern" required placeholder="shop.example.com" data-pointer="/allowed_domains/*"
                        autocomplete="off" spellcheck="false" inputmode="url";
                }
                label class="field" {
                    span { "Expires, if it should" }
                    input name="expires_at" type="datetime-local" data-pointer="/allowed_domains/*/expires_at";
                }
                label class="field" {
                    span { "Note" }
                    input name="note" autocomplete="off" data-pointer="/allowed_domains/*/note";
                }
            }
            p class="help" {
                code { "*.example.com" } " is every name below it, " code { ".example.com" } " also the name itself. "
                "An entry that is listed already gets this expiry and note."
            }
            div class="toolbar" { button class="primary" { "Add" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::seen::ClientCounts;

    #[test]
    fn clients_are_told_by_kind() {
        let told = |browser, contradictory, unknown| {
            clients(&ClientCounts { browser, contradictory, unknown }.into())
        };
        assert_eq!(told(0, 0, 0), None);
        assert_eq!(told(3, 0, 0).as_deref(), Some("3 by browsers"));
        assert_eq!(
            told(3, 1, 2).as_deref(),
            Some("3 by browsers, 2 by clients that do not say, 1 by clients that contradict themselves")
        );
    }
}
