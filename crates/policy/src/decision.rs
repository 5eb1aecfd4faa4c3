//! Decision: a pure function of a request's facts, the widget's rules, the edge's policy and the time.
//!
//! The order of the questions is the contract. The first that applies decides: stale rules, unknown widget,
//! class `public`, disabled, malformed, opaque, system origin, own origin, no embedder, `open`, the list.

use jiff::Timestamp;

use super::allowlist::{Allowlist, Judgement};
use super::compiled::WidgetRules;
use super::entry::EntryKind;
use super::limits::LimitMode;
use super::origin::{Embedder, Origin, OriginSet, OwnOrigins};
use super::verdict::{Class, Reason, Verdict};
use super::widget::Access;

mod possible;

pub use possible::{can_be_monitored, is_possible};

/// State of a request's ticket. Signature, lifetime and widget are checked before; the decision checks its
/// embedder by the rules in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketState<'a> {
    /// No ticket was presented.
    Absent,
    /// The ticket is not from this edge, not well formed, or for another widget.
    Invalid,
    /// The ticket is genuine, but expired.
    Expired,
    /// The ticket is genuine; it names the origin that opened the widget.
    Valid(Origin<'a>),
}

impl<'a> TicketState<'a> {
    /// The origin that opened the widget, if the ticket is valid.
    pub fn opened_by(self) -> Option<Origin<'a>> {
        match self {
            Self::Valid(origin) => Some(origin),
            Self::Absent | Self::Invalid | Self::Expired => None,
        }
    }
}

/// Facts of one request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The widget's id, as the request names it; it may be unknown.
    pub widget: &'a str,
    /// The class of the route.
    pub class: Class,
    /// The embedder, by `Origin` and `Referer`.
    pub embedder: Embedder<'a>,
    /// The route refuses requests that name no embedder (`missing = "deny"`).
    pub missing_denied: bool,
    /// The ticket, used only for sessions and frames from an own origin.
    pub ticket: TicketState<'a>,
}

impl<'a> Facts<'a> {
    /// Whether the request comes from an own origin of the edge, as the widget's iframe does.
    pub fn is_from_own_origin(&self, policy: &EdgePolicy) -> bool {
        self.embedder.origin().is_some_and(|origin| policy.own_origins.contains(origin, self.widget))
    }

    /// The page named by a valid ticket, if the verdict is about that page: the request comes from the
    /// widget's own iframe, which opens a session, reloads or follows a link.
    pub fn by_ticket(&self, policy: &EdgePolicy) -> Option<Origin<'a>> {
        let asks = || matches!(self.class, Class::Session | Class::Frame) && self.is_from_own_origin(policy);
        self.ticket.opened_by().filter(|_| asks())
    }

    /// The embedder with which the request counts: the page of its ticket, else its origin, or the text of an opaque one.
    /// `None`: it does not say which page it is.
    #[inline]
    pub fn counted_embedder(&self, policy: &EdgePolicy) -> Option<&'a str> {
        match (self.by_ticket(policy), self.embedder) {
            (Some(page), _) => Some(page.as_str()),
            (None, Embedder::Known(_)) if self.is_from_own_origin(policy) => None,
            (None, Embedder::Known(origin)) => Some(origin.as_str()),
            (None, Embedder::Opaque(origin)) => Some(origin.as_str()),
            (None, Embedder::Absent | Embedder::Malformed(_)) => None,
        }
    }

    /// Whether a widget's limits apply to what the request opens, if it is allowed for this reason. They do not to previews on
    /// the vendor's own dashboards.
    pub fn is_limited(&self, reason: Reason, policy: &EdgePolicy) -> bool {
        let is_dashboard = |page| policy.system_origins.contains(page);
        reason != Reason::SystemOrigin && !self.ticket.opened_by().is_some_and(is_dashboard)
    }
}

/// Policy of this edge for all widgets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgePolicy {
    /// The own origins, where browsers see this edge: the origins of the widgets' iframes.
    pub own_origins: OwnOrigins,
    /// The vendor's dashboards, where widgets are previewed.
    pub system_origins: OriginSet,
    /// Whether widgets may be `open`. With `false` they are judged by their list, and an empty list is
    /// locked.
    pub open_allowed: bool,
    /// The instant from which the rules in force are too old to judge by: everything but class `public` is
    /// denied. `None`: they are never too old.
    pub stale_at: Option<Timestamp>,
}

impl EdgePolicy {
    /// Whether the rules in force are too old to judge by.
    #[inline]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.stale_at.is_some_and(|at| at <= now)
    }
}

/// Verdict with its grounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request goes on.
    pub verdict: Verdict,
    /// The reason of the verdict.
    pub reason: Reason,
    /// The denial that `monitor` turned into an allow: `access`, or the `mode` of the limits.
    pub would_deny: Option<Reason>,
    /// The entry that admitted the embedder: its index in the document, from 0.
    pub entry: Option<u32>,
    /// The near miss, also an index in the document.
    pub near_miss: Option<u32>,
}

impl Decision {
    const fn allow(reason: Reason) -> Self {
        Self { verdict: Verdict::Allow, reason, would_deny: None, entry: None, near_miss: None }
    }

    const fn deny(reason: Reason) -> Self {
        Self { verdict: Verdict::Deny, reason, would_deny: None, entry: None, near_miss: None }
    }

    /// Whether the request goes on.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }

    /// The denial of an open that was allowed, and is one too many.
    #[must_use]
    pub const fn limited(reason: Reason) -> Self {
        Self::deny(reason)
    }

    /// The decision about an open that was allowed and passes a limit of its widget: a denial, or where the limits only
    /// monitor, the same with a note. What `access: monitor` has noted stays, because `enforce` would not have come so far.
    #[must_use]
    pub fn beyond_limit(self, mode: LimitMode, reason: Reason) -> Self {
        match mode {
            LimitMode::Enforce => Self::limited(reason),
            LimitMode::Monitor => Self { would_deny: self.would_deny.or(Some(reason)), ..self },
        }
    }

    /// The denial of the embedder that `access: monitor` turned into an allow. A limit is none: the rules admit the
    /// embedder all the same.
    pub fn embedder_denial(&self) -> Option<Reason> {
        self.would_deny.filter(|reason| !reason.is_of_limits())
    }

    /// Turns a denial into an allow that records it, for access `monitor`.
    fn monitored(self) -> Self {
        match self.verdict {
            Verdict::Allow => self,
            Verdict::Deny => Self {
                verdict: Verdict::Allow,
                reason: Reason::Unrestricted,
                would_deny: Some(self.reason),
                ..self
            },
        }
    }
}

/// Judges one request. `widget` is `None` if the id is unknown or not an id. Allocates nothing.
pub fn decide(
    facts: &Facts<'_>,
    widget: Option<WidgetRules<'_>>,
    policy: &EdgePolicy,
    now: Timestamp,
) -> Decision {
    // Before the widget, which may be unknown only here. Public pages depend on no list.
    if facts.class != Class::Public && policy.is_stale(now) {
        return Decision::deny(Reason::StaleRules);
    }
    let Some(widget) = widget else {
        return Decision::deny(Reason::UnknownWidget);
    };
    if facts.class == Class::Public {
        return if widget.public_trust_center {
            Decision::allow(Reason::Public)
        } else {
            Decision::deny(Reason::WidgetDisabled)
        };
    }
    if !widget.enabled {
        return Decision::deny(Reason::WidgetDisabled);
    }
    if let Embedder::Malformed(_) = facts.embedder {
        return Decision::deny(Reason::MalformedOrigin);
    }
    let decision = by_embedder(facts, widget, policy, now);
    if widget.access == Access::Monitor { decision.monitored() } else { decision }
}

/// The questions about the embedder, whose denials `access: monitor` only records.
fn by_embedder(facts: &Facts<'_>, widget: WidgetRules<'_>, policy: &EdgePolicy, now: Timestamp) -> Decision {
    let open = widget.access == Access::Open && policy.open_allowed;
    match facts.embedder {
        Embedder::Malformed(_) => Decision::deny(Reason::MalformedOrigin),
        Embedder::Opaque(_) if open => Decision::allow(Reason::Unrestricted),
        Embedder::Opaque(_) => Decision::deny(Reason::OpaqueOrigin),
        Embedder::Known(origin) if policy.system_origins.contains(origin) => {
            Decision::allow(Reason::SystemOrigin)
        }
        Embedder::Known(origin) if policy.own_origins.contains(origin, facts.widget) => match facts.class {
            Class::Session if open => Decision::allow(Reason::Unrestricted),
            Class::Session => by_ticket(facts.ticket, widget.allowlist, policy, now),
            // The frame reloads or follows a link. Without a valid ticket, `frame-ancestors` decides.
            Class::Frame if facts.ticket.opened_by().is_some() => match open {
                true => Decision::allow(Reason::Unrestricted),
                false => by_ticket(facts.ticket, widget.allowlist, policy, now),
            },
            Class::Asset | Class::Frame | Class::Public => Decision::allow(Reason::OwnOrigin),
        },
        // In a browser, a session always names its embedder. Assets and frames may not (privacy settings, a
        // strict `Referrer-Policy`), but the session that they open is judged again.
        Embedder::Absent if facts.class == Class::Session || facts.missing_denied => {
            Decision::deny(Reason::NoEmbedder)
        }
        Embedder::Absent => Decision::allow(Reason::NoEmbedder),
        Embedder::Known(_) if open => Decision::allow(Reason::Unrestricted),
        Embedder::Known(origin) => by_list(origin, widget.allowlist, now),
    }
}

/// Judges a session from the widget's iframe. Its `Origin` is the widget's own host, so the ticket says who
/// opened it.
fn by_ticket(
    ticket: TicketState<'_>,
    allowlist: Allowlist<'_>,
    policy: &EdgePolicy,
    now: Timestamp,
) -> Decision {
    match ticket {
        TicketState::Absent => Decision::deny(Reason::TicketMissing),
        TicketState::Invalid => Decision::deny(Reason::TicketInvalid),
        TicketState::Expired => Decision::deny(Reason::TicketExpired),
        TicketState::Valid(origin) if policy.system_origins.contains(origin) => {
            Decision::allow(Reason::SystemOrigin)
        }
        TicketState::Valid(origin) => {
            let decision = by_list(origin, allowlist, now);
            if decision.is_allowed() { Decision { reason: Reason::Ticket, ..decision } } else { decision }
        }
    }
}

fn by_list(origin: Origin<'_>, allowlist: Allowlist<'_>, now: Timestamp) -> Decision {
    if allowlist.is_empty() {
        return Decision::deny(Reason::Locked);
    }
    match allowlist.judge(origin, now) {
        Judgement::Admitted { kind, entry } => {
            let reason = match kind {
                EntryKind::Exact => Reason::Exact,
                EntryKind::Wildcard => Reason::Wildcard,
                EntryKind::Glob => Reason::Glob,
            };
            Decision { entry: Some(entry), ..Decision::allow(reason) }
        }
        Judgement::Refused { reason, near_miss } => Decision { near_miss, ..Decision::deny(reason) },
    }
}

#[cfg(test)]
mod tests;
