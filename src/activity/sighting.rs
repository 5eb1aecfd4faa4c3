//! Sighting: what one verdict, or one report of a browser, tells of an embedder.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use embedgate_policy::decision::{Decision, EdgePolicy, Facts};
use embedgate_policy::origin::Embedder;
use embedgate_policy::verdict::{Class, Reason};

/// Sighting of an embedder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// The widget's id.
    pub widget: &'a str,
    /// The origin of the page, or the text of an opaque one.
    pub embedder: &'a str,
    /// What the edge knows of it.
    pub kind: SightingKind,
    /// The class of the client; `None` where it is not classed, as in WebSocket handshakes.
    pub client: Option<ClientClass>,
    /// When.
    pub at: Timestamp,
}

/// Kind of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SightingKind {
    /// A request that was let in.
    Admitted {
        /// The reason of the verdict.
        reason: Reason,
        /// The reason with which `access: enforce` would have refused it.
        would_deny: Option<Reason>,
    },
    /// A request, or an open session, that was refused.
    Refused {
        /// The reason of the verdict.
        reason: Reason,
    },
    /// A browser's own report of a page around the widget. Anybody could have sent it.
    Reported,
}

/// Class of a client, by Fetch Metadata. It is counted, and decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientClass {
    /// A browser that says where the request comes from.
    Browser,
    /// It says that the request comes from the widget's own origin, and names another one.
    Contradictory,
    /// It says nothing: an old browser, plain http, or no browser.
    Unknown,
}

impl<'a> Sighting<'a> {
    /// What a verdict tells of an embedder; `None` where it tells of none: public pages, unknown widgets, requests of the
    /// widget's own iframe without a ticket that names a page, and requests that name nobody.
    #[inline]
    pub fn of_verdict(
        facts: &Facts<'a>,
        decision: &Decision,
        policy: &EdgePolicy,
        client: Option<ClientClass>,
        at: Timestamp,
    ) -> Option<Self> {
        if facts.class == Class::Public
            || matches!(decision.reason, Reason::UnknownWidget | Reason::StaleRules)
        {
            return None;
        }
        let embedder = match (facts.by_ticket(policy), facts.embedder) {
            (Some(page), _) => page.as_str(),
            (None, Embedder::Known(_)) if facts.is_from_own_origin(policy) => return None,
            (None, Embedder::Known(origin)) => origin.as_str(),
            (None, Embedder::Opaque(origin)) => origin.as_str(),
            (None, Embedder::Absent | Embedder::Malformed(_)) => return None,
        };
        let kind = match decision.is_allowed() {
            true => SightingKind::Admitted { reason: decision.reason, would_deny: decision.would_deny },
            false => SightingKind::Refused { reason: decision.reason },
        };
        Some(Self { widget: facts.widget, embedder, kind, client, at })
    }
}
