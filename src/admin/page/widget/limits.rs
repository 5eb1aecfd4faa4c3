//! Limits of a widget, how much of each is used, and a form to set them.

use maud::{Markup, html};

use super::facts::ShownWidget;
use crate::admin::page::parts::{self, BadgeKind, Column, badge, empty};
use embedgate_policy::limits::{LimitKind, LimitMode, LimitPart, LimitUsage, Limits};

const USED: [Column<'static>; 2] = [Column::Text("Used on this edge"), Column::Text("Share")];

/// The section.
pub(super) fn section(facts: &ShownWidget, may_change: bool) -> Markup {
    let ShownWidget { widget, usage, .. } = facts;
    html! {
        section class="card" id="limits" {
            h2 { "Limits" }
            p class="lead" {
                "Anybody can copy the tag, and a program can name any site. Limits bound what that costs."
            }
            @if usage.is_empty() {
                (empty(
                    "Nothing is limited",
                    "Start with the sessions and opens of each address: visitors never notice, and a thief does.",
                    None,
                ))
            } @else {
                @if widget.limits.mode == LimitMode::Monitor {
                    p class="note" { "These limits only monitor: what is beyond them is noted, and let through." }
                }
                (used(usage))
            }
            @if may_change { (form(&widget.limits)) }
        }
    }
}

fn used(usage: &[LimitUsage]) -> Markup {
    html! {
        (parts::table("Table of limits", USED, &html! {
            @for limit in usage {
                @let text = limit.to_string();
                tr {
                    td { (text) }
                    td {
                        meter min="0" max=(limit.limit) value=(limit.used.min(limit.limit)) aria-label=(text) {}
                        @if limit.is_reached() { " " (badge(BadgeKind::Bad, "reached")) }
                    }
                }
            }
        }))
    }
}

fn form(limits: &Limits) -> Markup {
    html! {
        form method="dialog" data-change="limits" {
            h3 { "Set limits" }
            p class="help" { "What is empty is not limited. A change holds at once; sessions that are open stay." }
            @for part in [LimitPart::Address, LimitPart::Embedder, LimitPart::Widget] {
                fieldset {
                    legend { (counted(part)) }
                    div class="fields" {
                        @for kind in LimitKind::ALL {
                            label class="field" {
                                span { (kind_in_words(kind)) }
                                input type="number" min="1" max=(u32::MAX) step="1" name={ (part) "." (kind) }
                                    data-pointer={ "/limits/" (part) "/" (kind) }
                                    value=[limits.of(part).of(kind)];
                            }
                        }
                    }
                }
            }
            div class="fields" {
                label class="field" {
                    span { "Beyond a limit" }
                    select name="mode" data-pointer="/limits/mode" {
                        option value="enforce" selected[limits.mode == LimitMode::Enforce] { "refuse" }
                        option value="monitor" selected[limits.mode == LimitMode::Monitor] { "only note it" }
                    }
                }
            }
            div class="toolbar" { button class="primary" { "Set limits" } }
        }
    }
}

fn counted(part: LimitPart) -> &'static str {
    match part {
        LimitPart::Address => "Each address",
        LimitPart::Embedder => "Each site",
        LimitPart::Widget => "All together",
    }
}

fn kind_in_words(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Sessions => "Sessions open at once",
        LimitKind::OpensPerMinute => "Opens a minute",
        LimitKind::OpensPerDay => "Opens a day (UTC)",
    }
}
