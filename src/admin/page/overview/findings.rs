//! Findings about documents, by kind, as the last survey has them.

use maud::{Markup, html};

use super::words::counted;
use crate::admin::page::parts::{self, BadgeKind, Column, badge};
use crate::admin::survey::{FindingKind, Surveyed};
use embedgate_policy::lint::Severity;

const COLUMNS: [Column<'static>; 3] =
    [Column::Text("Finding"), Column::Number("Widgets"), Column::Text("Such as")];

/// The card.
pub(super) fn card(surveyed: Option<&Surveyed>) -> Markup {
    html! {
        section id="findings" class="card" data-refresh {
            h2 { "Findings" }
            p class="lead" { "What the documents allow but probably should not." }
            @match surveyed {
                None => {
                    p class="note" role="status" aria-busy="true" {
                        "All documents are being read, beside the requests. With very many that takes minutes."
                    }
                }
                Some(surveyed) => {
                    @match &surveyed.kinds {
                        Err(problem) => (parts::fault(&format!("The documents can't be read: {}", problem.detail()))),
                        Ok(kinds) if kinds.is_empty() => {
                            p { (badge(BadgeKind::Good, "None")) " Nothing in the documents looks unintended." }
                        }
                        Ok(kinds) => (table(kinds)),
                    }
                    p class="help" {
                        "Read " (parts::time(surveyed.at)) "."
                        @if !surveyed.missing.is_empty() {
                            " Some edges did not answer, so what is stale here may be of use there: "
                            @for (at, edge) in surveyed.missing.iter().enumerate() {
                                @if at > 0 { ", " }
                                (edge)
                            }
                            "."
                        }
                    }
                }
            }
        }
    }
}

fn table(kinds: &[FindingKind]) -> Markup {
    html! {
        (parts::table("Findings by kind", COLUMNS, &html! { @for kind in kinds { (row(kind)) } }))
    }
}

fn row(kind: &FindingKind) -> Markup {
    let (grade, word) = match kind.severity {
        Severity::Error => (BadgeKind::Bad, "error"),
        Severity::Warning => (BadgeKind::Warn, "warning"),
        Severity::Info => (BadgeKind::Quiet, "info"),
    };
    html! {
        tr {
            th scope="row" {
                (name(kind.code)) " " (badge(grade, word))
                @if kind.findings > kind.widgets {
                    " " span class="help" { (counted(kind.findings, "finding")) }
                }
            }
            td class="number" { (parts::number(kind.widgets as u64)) }
            td {
                @for (at, (widget, detail)) in kind.examples.iter().enumerate() {
                    @if at > 0 { ", " }
                    a href={ "/widgets/" (widget) } title=(detail) { (widget) }
                }
                @if kind.widgets > kind.examples.len() { ", …" }
            }
        }
    }
}

/// What a kind of finding is called.
pub(super) fn name(code: &str) -> String {
    let known = match code {
        "unrestricted_production" => "Open to every site, in production",
        "unrestricted" => "Open to every site",
        "mixed_environments" => "On production and on staging hosts",
        "loopback_in_production" => "Loopback hosts, in production",
        "preview_in_production" => "Preview hosts, in production",
        "claimable_preview" => "Preview names that anybody can claim",
        "www_apex_gap" => "One of www and apex is missing",
        "insecure_voice" => "Voice on plain http",
        "trust_center_private" => "Trust Center not public",
        "ip_not_frameable" => "Addresses that can't frame",
        "stale_entry" => "Entries that nobody uses",
        "expiring_entry" => "Entries that expire or have expired",
        "shadowed_entry" => "Entries that a wider one covers",
        "limit_without_address" => "Limits without one for each address",
        "id_not_in_host" => "An id that no host can have",
        other => return other.replace('_', " "),
    };
    known.to_owned()
}
