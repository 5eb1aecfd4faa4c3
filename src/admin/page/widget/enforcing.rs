//! "May I enforce now?": what the list would refuse of what is let in, and a way to enforce it with what is missing.

use maud::{Markup, html};

use crate::admin::page::parts::{number, time};
use crate::admin::propose::{Proposal, ProposedSite, SiteStanding};

/// The section.
pub(super) fn section(proposal: &Proposal, may_change: bool) -> Markup {
    let missing = proposal.sites.iter().filter(|site| site.standing == SiteStanding::Added);
    let missing: Vec<(&ProposedSite, &str)> =
        missing.filter_map(|site| Some((site, site.site.entry_to_add.as_deref()?))).collect();
    html! {
        section class="card" id="enforcing" {
            h2 { "May I enforce now?" }
            p { (proposal.summary) }
            @if !missing.is_empty() || !proposal.not_proposed.is_empty() { p class="note" { (proposal.caution) } }
            form method="dialog" data-change="enforce" {
                @if !missing.is_empty() {
                    fieldset {
                        legend { "Sites that are let in without an entry: choose those that may stay" }
                        @for (site, entry) in &missing {
                            label class="field" {
                                span {
                                    code { (entry) } " for " (site.site.origin) ", "
                                    (number(site.site.count)) " requests, last " (time(site.site.last))
                                }
                                input type="checkbox" name="entry" value=(entry) disabled[!may_change];
                            }
                        }
                    }
                }
                @if may_change { div class="toolbar" { button class="primary" { "Enforce the list" } } }
            }
            @if !proposal.not_proposed.is_empty() {
                h3 { "Sites that no entry can admit" }
                ul {
                    @for left_out in &proposal.not_proposed {
                        li { code { (left_out.site.origin) } ": " (left_out.why) }
                    }
                }
            }
        }
    }
}
