//! A decision that somebody was shown the id of, as people read it.

use maud::{Markup, html};

use super::answer;
use crate::admin::page::parts::{self, BadgeKind};
use crate::admin::problem::Problem;
use embedgate_policy::explain::{DecisionAnswer, PastDecision, PastFailure, PastVerdict};
use embedgate_policy::verdict::Verdict;

/// What was decided then, and what the rules say now.
pub(super) fn shown(json: &[u8], may_change: bool) -> Result<Markup, Problem> {
    let told: DecisionAnswer = serde_json::from_slice(json).map_err(|error| {
        Problem::internal(format!("an edge of another version tells decisions in another way: {error}"))
    })?;
    Ok(html! {
        (then(&told.decision))
        @match &told.now {
            Some(now) => (answer::shown(std::slice::from_ref(now), 0, may_change)),
            None => section class="card" {
                h2 { "By the rules in force" }
                p {
                    "There is nothing to judge again: the request was refused before a verdict, or names no widget."
                }
            },
        }
    })
}

fn then(decided: &PastDecision) -> Markup {
    html! {
        section class="card" data-decision=(decided.decision_id) {
            h2 { "Then" }
            @if let Some(refused) = &decided.refused {
                p class="sentence" { "The request was refused before a verdict: " (refused) "." }
            }
            dl {
                div { dt { "When" } dd { (parts::time(decided.time)) } }
                div { dt { "Decision id" } dd { code { (decided.decision_id) } } }
                div {
                    dt { "Answer" }
                    dd { @if let Some(method) = &decided.method { (method) ", " } "status " (decided.status) }
                }
                @if let Some(judged) = &decided.judged { (judged_then(judged)) }
            }
        }
        @if decided.judged.is_some() {
            p class="lead" { "And what the rules in force say of the same request:" }
        }
    }
}

fn judged_then(judged: &PastVerdict) -> Markup {
    let (kind, verdict) = match (judged.verdict, judged.would_deny) {
        (Verdict::Allow, None) => (BadgeKind::Good, "allowed"),
        (Verdict::Allow, Some(_)) => (BadgeKind::Warn, "allowed, only monitored"),
        (Verdict::Deny, _) => (BadgeKind::Bad, "denied"),
    };
    let reason = judged.would_deny.unwrap_or(judged.reason);
    html! {
        div { dt { "Verdict" } dd { (parts::badge(kind, verdict)) " " code { (reason) } } }
        div {
            dt { "Widget" }
            dd { code { (judged.widget.as_deref().unwrap_or("none")) } ", " (answer::surface(judged.class)) }
        }
        div { dt { "Embedder" } dd { code { (judged.embedder) } } }
        @if let Some(page) = &judged.opened_by { div { dt { "Opened by" } dd { code { (page) } } } }
        @if let Some(fault) = &judged.ticket_fault { div { dt { "Invalid ticket" } dd { code { (fault) } } } }
        @if let Some(near) = &judged.near_miss { div { dt { "Nearest entry" } dd { code { (near) } } } }
        @if let Some(PastFailure { upstream, kind }) = &judged.failure {
            div { dt { "Upstream" } dd { (upstream) " failed: " code { (kind) } } }
        }
    }
}
