//! An explanation as people read it.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::admin::page::parts::{self, BadgeKind, Column};
use embedgate_policy::explain::{EntryMatch, EntryOutcome, Explanation};
use embedgate_policy::verdict::{Class, Reason, Verdict};

const SURFACES: [Column<'static>; 3] =
    [Column::Text("What it loads"), Column::Text("Verdict"), Column::Text("Reason")];

const ENTRIES: [Column<'static>; 3] = [Column::Text("Entry"), Column::Text("Outcome"), Column::Text("Why")];

const HEADERS: [Column<'static>; 2] = [Column::Text("Name"), Column::Text("Value")];

/// Most entries that are shown; those that come near are among them.
const MOST_ENTRIES: usize = 200;

/// What a class is to somebody who embeds a widget.
pub(super) fn surface(class: Class) -> &'static str {
    match class {
        Class::Asset => "The loader and its files",
        Class::Frame => "The iframe",
        Class::Session => "Chat and voice",
        Class::Public => "Public pages",
    }
}

/// All answers about a page, that at this place in full.
pub(super) fn shown(answers: &[Explanation], telling: usize, may_change: bool) -> Markup {
    let Some(told) = answers.get(telling) else { return html! {} };
    html! {
        section class="card verdict" data-verdict=(told.verdict) {
            h2 { (verdict(told)) " " (headline(told, answers)) }
            p class="sentence" { (parts::prose(&told.sentence)) }
            @if let Some(entry) = &told.entry_to_add { (to_add(told, entry, may_change)) }
            @for hint in &told.hints { p class="note" { (parts::prose(&sentence(hint))) } }
            (facts(told))
            @if answers.len() > 1 { (surfaces(answers)) }
        }
        (entries(told))
        div class="grid" {
            (limits(told))
            (headers(told))
        }
    }
}

/// The verdict in a word.
pub(super) fn verdict(told: &Explanation) -> Markup {
    match (told.verdict, told.would_deny) {
        (Verdict::Allow, None) => parts::badge(BadgeKind::Good, "allowed"),
        (Verdict::Allow, Some(_)) => parts::badge(BadgeKind::Warn, "allowed, only monitored"),
        (Verdict::Deny, _) => parts::badge(BadgeKind::Bad, "denied"),
    }
}

fn headline(told: &Explanation, answers: &[Explanation]) -> Markup {
    let all_alike = answers.iter().all(|answer| {
        (answer.verdict, answer.would_deny.is_some()) == (told.verdict, told.would_deny.is_some())
    });
    let what = if all_alike && answers.len() > 1 { "Everything" } else { surface(told.class) };
    html! { (what) " of " code { (told.widget) } }
}

fn to_add(told: &Explanation, entry: &str, may_change: bool) -> Markup {
    html! {
        div class="toolbar" {
            @if may_change {
                a class="button primary" data-add=(entry) href=(address(&told.widget, Some(entry))) {
                    "Add " (entry) " to the list"
                }
            } @else {
                p {
                    "Somebody who may change the widget can add the entry "
                    code data-add=(entry) { (entry) } "."
                }
            }
        }
    }
}

fn facts(told: &Explanation) -> Markup {
    html! {
        dl {
            div { dt { "Widget" } dd { a href=(address(&told.widget, None)) { (told.widget) } } }
            div { dt { "Embedder" } dd { code { (told.embedder) } } }
            @if let Some(access) = told.access { div { dt { "Access" } dd { (access) } } }
            div {
                dt { "Reason" }
                dd {
                    code { (told.reason) }
                    @if let Some(denial) = told.would_deny { " — with enforce: " code { (denial) } }
                }
            }
            @if let Some(entry) = &told.entry {
                div { dt { "Entry that admits it" } dd { code { (entry.entry) } } }
            }
            @if let Some(near) = &told.near_miss {
                div { dt { "Nearest entry" } dd { code { (near.entry) } } }
            }
            @if let Some(ticket) = &told.ticket { div { dt { "Ticket" } dd { (parts::prose(&sentence(&ticket.detail))) } } }
        }
    }
}

fn surfaces(answers: &[Explanation]) -> Markup {
    html! {
        (parts::table("What the page may load", SURFACES, &html! {
            @for answer in answers {
                tr data-class=(answer.class) {
                    th scope="row" { (surface(answer.class)) }
                    td { (verdict(answer)) }
                    td {
                        code { (answer.would_deny.unwrap_or(answer.reason)) }
                        @if answer.reason == Reason::NoEmbedder {
                            " — a browser does not say which page asks for it"
                        }
                    }
                }
            }
        }))
    }
}

fn entries(told: &Explanation) -> Markup {
    let is_far =
        |entry: &&EntryOutcome| matches!(entry.outcome, EntryMatch::HostDiffers | EntryMatch::NotCompared);
    let near = told.entries.iter().filter(|entry| !is_far(entry));
    let far = told.entries.iter().filter(is_far);
    let hidden = told.entries.len().saturating_sub(MOST_ENTRIES);
    html! {
        section class="card" {
            h2 { "Every entry of the list" }
            @if told.entries.is_empty() {
                p { "The list of " code { (told.widget) } " has no entries." }
            } @else {
                (parts::table("Entries", ENTRIES, &html! {
                    @for entry in near.chain(far).take(MOST_ENTRIES) {
                        tr {
                            th scope="row" {
                                code { (entry.entry) }
                                @if let Some(unicode) = &entry.unicode { " " (unicode) }
                            }
                            td { (outcome(entry.outcome)) }
                            td { (entry.detail) }
                        }
                    }
                }))
                @if hidden > 0 { p { (hidden) " more entries are for other hosts." } }
            }
        }
    }
}

fn outcome(outcome: EntryMatch) -> Markup {
    let (kind, text) = match outcome {
        EntryMatch::Admits => (BadgeKind::Good, "admits"),
        EntryMatch::Expired => (BadgeKind::Warn, "expired"),
        EntryMatch::SchemeDiffers => (BadgeKind::Warn, "other scheme"),
        EntryMatch::PortDiffers => (BadgeKind::Warn, "other port"),
        EntryMatch::HostDiffers => (BadgeKind::Quiet, "other host"),
        EntryMatch::NotCompared => (BadgeKind::Quiet, "not compared"),
    };
    parts::badge(kind, text)
}

fn limits(told: &Explanation) -> Markup {
    html! {
        @if !told.limits.is_empty() {
            section class="card" {
                h2 { "Limits on this edge" }
                ul class="limits" {
                    @for limit in &told.limits {
                        li {
                            (limit) " "
                            @if limit.is_reached() { (parts::badge(BadgeKind::Bad, "used up")) }
                        }
                    }
                }
            }
        }
    }
}

fn headers(told: &Explanation) -> Markup {
    html! {
        @if !told.headers.is_empty() {
            section class="card" {
                h2 { "Headers of the answer" }
                p class="lead" { "What the edge adds to those of the upstream: " (surface(told.class)) "." }
                (parts::table("Headers", HEADERS, &html! {
                    @for (name, value) in &told.headers {
                        tr { th scope="row" { (name) } td { code { (value) } } }
                    }
                }))
            }
        }
    }
}

/// The address of a widget's view, with an entry that somebody may want to add.
fn address(widget: &str, add: Option<&str>) -> String {
    let widget = utf8_percent_encode(widget, NON_ALPHANUMERIC);
    match add {
        None => format!("/widgets/{widget}"),
        Some(entry) => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("add", entry).finish();
            format!("/widgets/{widget}?{query}")
        }
    }
}

/// A remark as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    first.chain(letters).chain(end.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_any_widget_and_any_entry() {
        for (widget, add, expected) in [
            ("wgt_demo", None, "/widgets/wgt%5Fdemo"),
            ("a/b?c", None, "/widgets/a%2Fb%3Fc"),
            ("w", Some("*.example.com:8443"), "/widgets/w?add=*.example.com%3A8443"),
            ("w", Some("http://a.example&b=c"), "/widgets/w?add=http%3A%2F%2Fa.example%26b%3Dc"),
        ] {
            assert_eq!(address(widget, add), expected);
        }
    }

    #[test]
    fn remarks_are_sentences() {
        for (text, expected) in [("one more", "One more."), ("`a` was taken.", "`a` was taken."), ("", ".")] {
            assert_eq!(sentence(text), expected);
        }
    }
}
