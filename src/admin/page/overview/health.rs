//! What the edge depends on: upstreams, certificates, the source of the rules, and the receiver of notifications.

use maud::{Markup, html};

use super::words::days_until;
use super::{Glance, MOST_DEAD};
use crate::admin::page::parts::{self, BadgeKind, Column, badge};
use embedgate_policy::lint::EXPIRY_NOTICE;

const SERVERS: [Column<'static>; 3] =
    [Column::Text("Upstream"), Column::Text("Server"), Column::Text("State")];

const CERTIFICATES: [Column<'static>; 3] =
    [Column::Text("File"), Column::Text("Expires"), Column::Number("Days left")];

/// The servers of upstreams.
pub(super) fn upstreams(glance: &Glance) -> Markup {
    html! {
        section id="upstreams" class="card" data-refresh {
            h2 { "Upstreams" }
            @if glance.status.upstreams.is_empty() {
                p { "No upstream has a server." }
            } @else {
                (parts::table("Servers of upstreams", SERVERS, &html! {
                    @for server in &glance.status.upstreams {
                        tr {
                            th scope="row" { (server.upstream) }
                            td { code { (server.server) } }
                            td {
                                @if server.healthy { (badge(BadgeKind::Good, "healthy")) }
                                @else { (badge(BadgeKind::Bad, "out")) " requests or health checks failed" }
                            }
                        }
                    }
                }))
            }
        }
    }
}

/// The certificates of all listeners.
pub(super) fn certificates(glance: &Glance) -> Markup {
    html! {
        section id="certificates" class="card" data-refresh {
            h2 { "Certificates" }
            @if glance.status.certificates.is_empty() {
                p { "No listener of this edge has a certificate. Something in front of it may end TLS." }
            } @else {
                p class="lead" { "Put a new one in the place of the old file: the edge takes it within a second." }
                (parts::table("Certificates", CERTIFICATES, &html! {
                    @for certificate in &glance.status.certificates {
                        @let at = certificate.expires_at;
                        tr {
                            th scope="row" { (certificate.certificate) }
                            td { (parts::time(at)) }
                            td class="number" {
                                @if at <= glance.now { (badge(BadgeKind::Bad, "expired")) }
                                @else if at.duration_since(glance.now) <= EXPIRY_NOTICE {
                                    (badge(BadgeKind::Warn, &days_until(at, glance.now).to_string()))
                                }
                                @else { (days_until(at, glance.now)) }
                            }
                        }
                    }
                }))
            }
        }
    }
}

/// The source of the rules.
pub(super) fn rules(glance: &Glance) -> Markup {
    let rules = &glance.status.rules;
    html! {
        section id="rules" class="card" data-refresh {
            h2 { "Rules" }
            dl {
                div { dt { "Source" } dd { (rules.source) " " code { (rules.name) } } }
                div {
                    dt { "State" }
                    dd {
                        @if rules.connected { (badge(BadgeKind::Good, "readable")) }
                        @else { (badge(BadgeKind::Bad, "not readable")) }
                        @if glance.status.read_only { " Changes are made there, not here." }
                    }
                }
                @if let Some(at) = rules.last_applied_at {
                    div { dt { "Last taken" } dd { (parts::time(at)) } }
                }
                div { dt { "Version" } dd { (parts::number(glance.status.generation)) } }
            }
            @if let Some(error) = &rules.last_error {
                p class="note warn" { "Last refusal, " (parts::time(error.at)) ": " (parts::prose(&error.detail)) }
            }
        }
    }
}

/// Notifications on their way.
pub(super) fn notifications(glance: &Glance) -> Markup {
    let outbox = &glance.outbox;
    html! {
        section id="notifications" class="card" data-refresh {
            h2 { "Notifications" }
            @match &outbox.receiver {
                None => p { "Nobody is told of refused sites, changes and expiries. Set " code { "notify.url" } " to be." },
                Some(receiver) => dl {
                    div { dt { "Receiver" } dd { (receiver) } }
                    div {
                        dt { "Waiting" }
                        dd {
                            (parts::number(outbox.pending as u64))
                            @if let Some(oldest) = outbox.oldest { ", the oldest since " (parts::time(oldest)) }
                        }
                    }
                    div {
                        dt { "Arrived" }
                        dd {
                            (parts::number(outbox.totals.delivered))
                            @if let Some(last) = outbox.last_arrival { ", the last " (parts::time(last)) }
                        }
                    }
                    div {
                        dt { "Given up" }
                        dd { (glance.dead) @if glance.dead == MOST_DEAD { " or more" } }
                    }
                },
            }
            @if let Some(failing) = outbox.failing.first() {
                p class="note warn" { "Tried " (failing.tries) " times, next " (parts::time(failing.next_try)) ": " (parts::prose(&failing.error)) }
            }
            @if glance.dead > 0 {
                p class="help" {
                    code { "GET /v1/notifications" } " names those that were given up, and "
                    code { "POST /v1/notifications/ID/retry" } " tries one again."
                }
            }
        }
    }
}
