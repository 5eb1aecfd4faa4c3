//! What needs somebody, the worst first, each with a way to where it is mended.

use maud::{Markup, html};

use super::Glance;
use super::words::{counted, days_until};
use crate::admin::page::parts::{BadgeKind, badge, prose};
use crate::admin::status::{CertificateStatus, Status};
use crate::rules::fleet::EdgeState;
use embedgate_policy::lint::{EXPIRY_NOTICE, Severity};
use embedgate_policy::widget::{Access, Environment};

/// Errors of the last minutes in a hundred requests from which they are a fault, and from which they are worth a look.
const FAULT: u64 = 10;
const WORTH_A_LOOK: u64 = 1;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Something does not work, or everybody is let in.
    Fault,
    /// Something should be looked at.
    Look,
}

/// Something that needs somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Concern {
    pub(super) urgency: Urgency,
    pub(super) text: String,
    /// Where it is mended, and what that is called.
    pub(super) place: (String, &'static str),
}

impl Concern {
    fn fault(text: impl Into<String>, address: impl Into<String>, called: &'static str) -> Self {
        Self { urgency: Urgency::Fault, text: text.into(), place: (address.into(), called) }
    }

    fn look(text: impl Into<String>, address: impl Into<String>, called: &'static str) -> Self {
        Self { urgency: Urgency::Look, ..Self::fault(text, address, called) }
    }
}

/// The card.
pub(super) fn card(glance: &Glance) -> Markup {
    let concerns = concerns(glance);
    html! {
        section id="attention" class="card" data-refresh="aloud" {
            h2 { "Needs attention" }
            @if concerns.is_empty() {
                p { (badge(BadgeKind::Good, "All well")) " Nothing needs you now." }
            } @else {
                ul class="concerns" {
                    @for Concern { urgency, text, place: (address, called) } in &concerns {
                        li {
                            @match urgency {
                                Urgency::Fault => (badge(BadgeKind::Bad, "Fault")),
                                Urgency::Look => (badge(BadgeKind::Warn, "Look")),
                            }
                            span { (prose(text)) }
                            a href=(address) { (called) }
                        }
                    }
                }
            }
        }
    }
}

/// Everything that needs somebody, the worst first.
pub(super) fn concerns(glance: &Glance) -> Vec<Concern> {
    let mut concerns = Vec::new();
    rules(&glance.status, glance, &mut concerns);
    fleet(glance, &mut concerns);
    upstreams(glance, &mut concerns);
    certificates(glance, &mut concerns);
    notifications(glance, &mut concerns);
    widgets(glance, &mut concerns);
    findings(glance, &mut concerns);
    if glance.status.decisions_not_logged > 0 {
        let text = format!(
            "Lines of the decision log that were dropped, because whoever reads standard output is too slow: {}.",
            glance.status.decisions_not_logged
        );
        concerns.push(Concern::look(text, "#rules", "State of the edge"));
    }
    concerns.sort_by_key(|concern| concern.urgency);
    concerns
}

fn rules(status: &Status, glance: &Glance, concerns: &mut Vec<Concern>) {
    let rules = &status.rules;
    if let (Some(error), Some(_)) = (&rules.last_error, rules.lag(glance.now)) {
        let text = format!("The {} has rules that are refused: {}", rules.source, first_line(&error.detail));
        concerns.push(Concern::fault(text, "#rules", "Source of the rules"));
    } else if !rules.connected && status.fleet.is_none() {
        let text =
            format!("The {} {} can't be read. The last rules stay in force.", rules.source, rules.name);
        concerns.push(Concern::fault(text, "#rules", "Source of the rules"));
    }
    if let [first, ..] = status.not_kept.as_slice() {
        let text = format!(
            "{} in force and not kept yet: a restart would lose them. Make room on the disk; the edge tries each second.",
            match status.not_kept.len() {
                1 => "A change is".to_owned(),
                several => format!("{several} changes are"),
            }
        );
        concerns.push(Concern::fault(text, format!("/widgets/{}", first.id), "The widget"));
    }
}

fn fleet(glance: &Glance, concerns: &mut Vec<Concern>) {
    let Some(fleet) = &glance.status.fleet else { return };
    if let Some(fault) = &fleet.fault {
        concerns.push(Concern::fault(first_line(&fault.detail), "/fleet", "Fleet"));
    } else if !fleet.connected {
        let until = fleet.stale_at.map(|at| format!(" From {at} on, it denies everything but public pages."));
        let text = format!(
            "This edge has no contact to the bucket {}. The last rules stay in force.{}",
            fleet.bucket,
            until.unwrap_or_default()
        );
        concerns.push(Concern::fault(text, "/fleet", "Fleet"));
    }
    let count = |state| glance.edges.as_ref().and_then(|edges| edges.get(&state)).copied().unwrap_or(0);
    for (state, what) in [
        (EdgeState::Fault, "keeps its rules because of the bucket"),
        (EdgeState::Stale, "is away for so long that it denies by itself"),
        (EdgeState::Silent, "does not answer, and saves wait for it"),
    ] {
        let edges = count(state);
        if edges > 0 && !(state == EdgeState::Fault && fleet.fault.is_some()) {
            let text = match edges {
                1 => format!("An edge of the fleet {what}."),
                _ => format!("{edges} edges of the fleet: each {what}."),
            };
            concerns.push(Concern::look(text, "/fleet", "Fleet"));
        }
    }
}

fn upstreams(glance: &Glance, concerns: &mut Vec<Concern>) {
    let servers = &glance.status.upstreams;
    let out = |upstream: &str| {
        let all = servers.iter().filter(|server| server.upstream == upstream);
        (all.clone().filter(|server| !server.healthy).count(), all.count())
    };
    let mut names: Vec<&str> = servers.iter().map(|server| server.upstream.as_str()).collect();
    names.dedup();
    for name in names {
        match out(name) {
            (0, _) => {}
            (out, all) if out == all => {
                let text = format!("No server of the upstream {name} is healthy: its requests fail.");
                concerns.push(Concern::fault(text, "#upstreams", "Upstreams"));
            }
            (out, all) => {
                let text = format!("{out} of {all} servers of the upstream {name} are out.");
                concerns.push(Concern::look(text, "#upstreams", "Upstreams"));
            }
        }
    }
    let errors: u64 = glance.recent.iter().map(|minute| minute.errors).sum();
    let requests: u64 = glance.recent.iter().map(|minute| minute.allowed + minute.denied).sum();
    let text =
        || format!("{errors} of some {requests} requests of the last minutes were answered with an error.");
    if errors > 0 && errors * 100 >= requests * FAULT {
        concerns.push(Concern::fault(text(), "#traffic", "Traffic"));
    } else if errors > 0 && errors * 100 >= requests * WORTH_A_LOOK {
        concerns.push(Concern::look(text(), "#traffic", "Traffic"));
    }
}

fn certificates(glance: &Glance, concerns: &mut Vec<Concern>) {
    for CertificateStatus { certificate, expires_at } in &glance.status.certificates {
        let days = days_until(*expires_at, glance.now);
        if *expires_at <= glance.now {
            let text = format!("The certificate {certificate} has expired: browsers refuse it.");
            concerns.push(Concern::fault(text, "#certificates", "Certificates"));
        } else if expires_at.duration_since(glance.now) <= EXPIRY_NOTICE {
            let days = counted(usize::try_from(days).unwrap_or_default(), "day");
            let text = format!("The certificate {certificate} expires in {days}.");
            concerns.push(Concern::look(text, "#certificates", "Certificates"));
        }
    }
}

fn notifications(glance: &Glance, concerns: &mut Vec<Concern>) {
    let place = ("#notifications", "Notifications");
    if let Some(failing) = glance.outbox.failing.first() {
        let text = format!(
            "{} waiting, and the receiver does not take them: {}",
            counted(glance.outbox.pending, "notification"),
            failing.error
        );
        concerns.push(Concern::look(text, place.0, place.1));
    }
    if !glance.outbox.durable {
        let text = "Notifications that wait can't be written to the disk: a restart would lose them.";
        concerns.push(Concern::fault(text, place.0, place.1));
    }
    if glance.dead > 0 {
        let text = format!("Given up, without arriving: {}.", counted(glance.dead, "notification"));
        concerns.push(Concern::look(text, place.0, place.1));
    }
}

fn widgets(glance: &Glance, concerns: &mut Vec<Concern>) {
    let production = Environment::Production.as_str();
    let of = |access: Access| {
        let counts = glance.status.widgets.by_environment.get(production);
        let count = counts.and_then(|counts| counts.get(access.as_str())).copied().unwrap_or(0);
        (count, format!("/widgets?environment={production}&access={}", access.as_str()))
    };
    let (open, address) = of(Access::Open);
    if open > 0 && glance.open_allowed {
        let text = format!("Every site may load {} in production.", counted(open, "widget"));
        concerns.push(Concern::fault(text, address, "Restrict them"));
    }
    let (monitored, address) = of(Access::Monitor);
    if monitored > 0 {
        let text = format!(
            "{} in production only monitored: unlisted sites are counted and let in.",
            match monitored {
                1 => "1 widget is".to_owned(),
                several => format!("{several} widgets are"),
            }
        );
        concerns.push(Concern::look(text, address, "May they be enforced?"));
    }
}

fn findings(glance: &Glance, concerns: &mut Vec<Concern>) {
    let Some(kinds) = glance.surveyed.as_ref().and_then(|surveyed| surveyed.kinds.as_ref().ok()) else {
        return;
    };
    // Open widgets have been told already.
    for kind in kinds.iter().filter(|kind| kind.code != "unrestricted_production") {
        let text = format!("{}: {}.", super::findings::name(kind.code), counted(kind.widgets, "widget"));
        let (address, called) = match kind.examples.as_slice() {
            [(only, _)] => (format!("/widgets/{only}"), "The widget"),
            _ => ("#findings".to_owned(), "Findings"),
        };
        match kind.severity {
            Severity::Error => concerns.push(Concern::fault(text, address, called)),
            Severity::Warning => concerns.push(Concern::look(text, address, called)),
            Severity::Info => {}
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
