//! "May I enforce now?": what the list would refuse of what is let in, and a way to enforce it with what is missing.

use maud::{Markup, html};

use crate::admin::activity::SeenSite;
use crate::admin::page::parts::{number, time};
use crate::admin::propose::{Proposal, SiteStanding};

/// The section.
pub(super) fn section(proposal: &Proposal, may_change: bool) -> Markup {
    let missing = proposal.sites.iter().filter(|site| site.standing == SiteStanding::Added);
    let missing: Vec<(&SeenSite, &str)> =
        missing.filter_map(|site| Some((&site.site, site.site.entry_to_add.as_deref()?))).collect();
    html! {
        section class="card" id="enforcing" {
            h2 { "May I enforce now?" }
            p { (proposal.summary) }
            @if !missing.is_empty() || !proposal.not_proposed.is_empty() { p class="note" { (proposal.caution) } }
            @if may_change {
                (form(&missing))
            } @else if !missing.is_empty() {
                h3 { "Sites that are let in without an entry" }
                ul { @for (site, entry) in &missing { li { (told(site, entry)) } } }
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

/// The form. Nothing is chosen: sightings can be forged, so a person has to look.
fn form(missing: &[(&SeenSite, &str)]) -> Markup {
    html! {
        form method="dialog" data-change="enforce" {
            @if !missing.is_empty() {
                fieldset {
                    legend { "Sites that are let in without an entry: choose those that may stay" }
                    @for (site, entry) in missing {
                        label class="field" {
                            span { (told(site, entry)) }
                            input type="checkbox" name="entry" value=(entry);
                        }
                    }
                }
            }
            div class="toolbar" { button class="primary" { "Enforce the list" } }
        }
    }
}

fn told(site: &SeenSite, entry: &str) -> Markup {
    html! {
        code { (entry) } " for " (site.origin) ", requests: " (number(site.count)) ", last " (time(site.last))
    }
}
