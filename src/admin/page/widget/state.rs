//! What a widget lets in, what is probably unintended, and the switches: access and the kill switch.

use maud::{Markup, html};

use super::facts::ShownWidget;
use crate::admin::page::parts::{self, BadgeKind, Column, badge, number, prose};
use crate::admin::page::widgets::{access, environment};
use embedgate_policy::lint::{Finding, Severity};
use embedgate_policy::widget::{Access, Widget};

const FINDINGS: [Column<'static>; 2] =
    [Column::Text("Finding"), Column::Text("What it means, and what to do")];

/// The section.
pub(super) fn section(facts: &ShownWidget, may_change: bool) -> Markup {
    let ShownWidget { widget, findings, sessions, remembered, open_allowed, .. } = facts;
    let effective = widget.effective_access();
    html! {
        section class="card" id="state" {
            h2 { "State" }
            p class="lead" { (in_words(widget, *open_allowed)) }
            dl class="stats" {
                div {
                    dt { "Switch" }
                    dd {
                        @if widget.enabled { (badge(BadgeKind::Good, "enabled")) }
                        @else { (badge(BadgeKind::Bad, "disabled")) }
                    }
                }
                div { dt { "Access" } dd { (access(effective, widget.environment, *open_allowed)) } }
                div { dt { "Environment" } dd { (environment(widget.environment)) } }
                div { dt { "Entries" } dd { (number(widget.allowed_domains.len() as u64)) } }
                div { dt { "Open sessions" } dd { (number(*sessions as u64)) } }
                @if *remembered > 0 { div { dt { "Sessions elsewhere" } dd { (number(*remembered as u64)) } } }
                div { dt { "Revision" } dd { (number(widget.revision.unwrap_or_default())) } }
            }
            @if may_change { (switches(widget, effective)) }
        }
        (told(findings))
    }
}

fn switches(widget: &Widget, effective: Access) -> Markup {
    html! {
        div class="toolbar" {
            @for (other, words) in [
                (Access::Enforce, "Enforce the list"),
                (Access::Monitor, "Only monitor"),
                (Access::Open, "Open to every site"),
            ] {
                @if other != effective {
                    button type="button" data-change="access" data-access=(other) { (words) }
                }
            }
            @if widget.enabled {
                button type="button" class="danger" data-change="disable" { "Disable" }
            } @else {
                button type="button" class="primary" data-change="enable" { "Enable" }
            }
        }
    }
}

/// What becomes of a site that is not on the list.
fn in_words(widget: &Widget, open_allowed: bool) -> &'static str {
    let is_empty = widget.allowed_domains.is_empty();
    match widget.effective_access() {
        _ if !widget.enabled => "It is disabled: everything but its public pages is refused.",
        Access::Open if open_allowed => {
            "Any site may embed it. Nobody is refused, and a copied tag works anywhere."
        }
        Access::Open if is_empty => {
            "This edge lets no widget be open, and the list is empty: no site may embed it."
        }
        Access::Open => "This edge lets no widget be open: a site that is not on the list is refused.",
        Access::Monitor => {
            "A site that is not on the list is let in, and noted as one that would be refused."
        }
        Access::Enforce if is_empty => "The list is empty and enforced: no site may embed it.",
        Access::Enforce => "A site that is not on the list is refused.",
    }
}

fn told(findings: &[Finding]) -> Markup {
    if findings.is_empty() {
        return html! {};
    }
    html! {
        section class="card" id="findings" {
            h2 { "What to look at" }
            (parts::table("Table of findings", FINDINGS, &html! {
                @for finding in findings {
                    tr {
                        td { (severity(finding)) }
                        td {
                            (prose(&finding.detail)) ". "
                            @if let Some(place) = place(&finding.pointer) { a href=(place) { "Look at it" } }
                        }
                    }
                }
            }))
        }
    }
}

fn severity(finding: &Finding) -> Markup {
    let kind = match finding.severity {
        Severity::Info => BadgeKind::Quiet,
        Severity::Warning => BadgeKind::Warn,
        Severity::Error => BadgeKind::Bad,
    };
    badge(kind, &finding.code.replace('_', " "))
}

/// Where on the page the place of a finding is.
fn place(pointer: &str) -> Option<String> {
    let mut steps = pointer.split('/').skip(1);
    match (steps.next()?, steps.next()) {
        ("allowed_domains", Some(index)) => Some(format!("#entry-{index}")),
        ("allowed_domains", None) => Some("#entries".to_owned()),
        ("limits", _) => Some("#limits".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::widget;

    #[test]
    fn a_finding_leads_to_its_place() {
        for (pointer, place_of) in [
            ("/allowed_domains/3", Some("#entry-3")),
            ("/allowed_domains/3/expires_at", Some("#entry-3")),
            ("/allowed_domains", Some("#entries")),
            ("/limits/widget", Some("#limits")),
            ("/access", None),
            ("", None),
        ] {
            assert_eq!(place(pointer).as_deref(), place_of, "{pointer}");
        }
    }

    #[test]
    fn who_is_let_in_is_told_as_it_is_judged() {
        for (document, open_allowed, says) in [
            (r#"{"id":"w"}"#, true, "Any site"),
            (r#"{"id":"w"}"#, false, "no site may"),
            (
                r#"{"id":"w","access":"open","allowed_domains":["a.example"]}"#,
                false,
                "not on the list is refused",
            ),
            (r#"{"id":"w","access":"monitor"}"#, true, "is let in"),
            (r#"{"id":"w","access":"enforce"}"#, true, "no site may"),
            (r#"{"id":"w","allowed_domains":["a.example"]}"#, true, "is refused"),
            (r#"{"id":"w","enabled":false}"#, true, "disabled"),
        ] {
            let told = in_words(&widget(document), open_allowed);
            assert!(told.contains(says), "{document}: {told}");
        }
    }
}
