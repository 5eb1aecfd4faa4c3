//! The verdict: one pure function from what a request says, the widget's rules, the edge's own policy and the
//! time.
//!
//! The order of the questions is the contract. The first that applies decides: unknown widget, class
//! `public`, disabled, malformed, opaque, system origin, own origin, no embedder, `open`, the list.

use jiff::Timestamp;

use super::allowlist::{Allowlist, Judgement};
use super::entry::EntryKind;
use super::origin::{Embedder, Origin, OriginSet};
use super::widget::Access;

mod reason;
mod rules;

pub use reason::{Class, Reason, UnknownClass, Verdict};
pub use rules::{WidgetRules, WidgetRulesBuf};

/// What the ticket of a request is worth. Signature, lifetime and widget are checked before; whether
/// its embedder is still welcome is asked here, of the live rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketState<'a> {
    /// None was presented.
    Absent,
    /// Not one of this edge's, not well formed, or for another widget.
    Invalid,
    /// Genuine, but past its lifetime.
    Expired,
    /// Genuine, naming the origin that opened the widget.
    Valid(Origin<'a>),
}

impl<'a> TicketState<'a> {
    /// The origin that opened the widget, where a good ticket says so.
    pub fn opened_by(self) -> Option<Origin<'a>> {
        match self {
            Self::Valid(origin) => Some(origin),
            Self::Absent | Self::Invalid | Self::Expired => None,
        }
    }
}

/// What a request says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The class of the route.
    pub class: Class,
    /// Who embeds, by `Origin` and `Referer`.
    pub embedder: Embedder<'a>,
    /// The route refuses requests that name no embedder (`missing = "deny"`).
    pub missing_denied: bool,
    /// The ticket, looked at only for sessions and frames from an own origin.
    pub ticket: TicketState<'a>,
}

impl<'a> Facts<'a> {
    /// The page that a good ticket names, where the verdict is about that page: the widget's own iframe asks, which
    /// opens a session or moves within itself.
    pub fn by_ticket(&self, policy: &EdgePolicy) -> Option<Origin<'a>> {
        let asks = matches!(self.class, Class::Session | Class::Frame)
            && self.embedder.origin().is_some_and(|origin| policy.own_origins.contains(origin));
        self.ticket.opened_by().filter(|_| asks)
    }
}

/// What this edge says for all widgets.
#[derive(Clone, Debug, Default)]
pub struct EdgePolicy {
    /// Where browsers see this edge: the origins of the widgets' iframes.
    pub own_origins: OriginSet,
    /// The vendor's dashboards, where widgets are previewed.
    pub system_origins: OriginSet,
    /// Whether `open` widgets exist here. `false` judges them by their list, an empty one as locked.
    pub open_allowed: bool,
}

/// A verdict and its grounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request goes on.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The denial that a widget which only monitors let through.
    pub would_deny: Option<Reason>,
    /// The entry that admitted the embedder: its place in the document, from 0.
    pub entry: Option<u32>,
    /// The entry that came nearest to admitting it, likewise.
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

    /// A denial that a widget with access `monitor` records and lets through.
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

/// Judges one request. `widget` is `None` where the id is unknown or is no id at all. Allocates nothing.
pub fn decide(
    facts: &Facts<'_>,
    widget: Option<WidgetRules<'_>>,
    policy: &EdgePolicy,
    now: Timestamp,
) -> Decision {
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

/// The questions whose denials a monitoring widget lets through.
fn by_embedder(facts: &Facts<'_>, widget: WidgetRules<'_>, policy: &EdgePolicy, now: Timestamp) -> Decision {
    let open = widget.access == Access::Open && policy.open_allowed;
    match facts.embedder {
        Embedder::Malformed(_) => Decision::deny(Reason::MalformedOrigin),
        Embedder::Opaque(_) if open => Decision::allow(Reason::Unrestricted),
        Embedder::Opaque(_) => Decision::deny(Reason::OpaqueOrigin),
        Embedder::Known(origin) if policy.system_origins.contains(origin) => {
            Decision::allow(Reason::SystemOrigin)
        }
        Embedder::Known(origin) if policy.own_origins.contains(origin) => match facts.class {
            Class::Session if open => Decision::allow(Reason::Unrestricted),
            Class::Session => by_ticket(facts.ticket, widget.allowlist, policy, now),
            // It moves within itself. What isn't a good ticket counts as none: `frame-ancestors` decides then.
            Class::Frame if facts.ticket.opened_by().is_some() => match open {
                true => Decision::allow(Reason::Unrestricted),
                false => by_ticket(facts.ticket, widget.allowlist, policy, now),
            },
            Class::Asset | Class::Frame | Class::Public => Decision::allow(Reason::OwnOrigin),
        },
        // A session always names its embedder in a browser; assets and frames need not (privacy settings, a
        // strict `Referrer-Policy`), and what they open is judged again.
        Embedder::Absent if facts.class == Class::Session || facts.missing_denied => {
            Decision::deny(Reason::NoEmbedder)
        }
        Embedder::Absent => Decision::allow(Reason::NoEmbedder),
        Embedder::Known(_) if open => Decision::allow(Reason::Unrestricted),
        Embedder::Known(origin) => by_list(origin, widget.allowlist, now),
    }
}

/// Inside an iframe `Origin` names the widget's own host: the ticket says who opened it.
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
