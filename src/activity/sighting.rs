//! Sighting: what one verdict, or one report of a browser, tells of an embedder.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use embedgate_policy::decision::{Decision, Facts};
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
    /// It says that the request comes from the widget's own origin, and its `Origin` is another one.
    Contradictory,
    /// It says nothing: an old browser, plain http, or no browser.
    Unknown,
}

impl<'a> Sighting<'a> {
    /// What a verdict tells of an embedder; `None` where it tells of none: public pages, unknown widgets, rules that are too
    /// old, requests of the widget's own iframe without a valid ticket, and requests that name nobody.
    /// `embedder`: the one that [`Facts::counted_embedder`] gives.
    #[inline]
    pub fn of_verdict(
        facts: &Facts<'a>,
        embedder: Option<&'a str>,
        decision: &Decision,
        client: Option<ClientClass>,
        at: Timestamp,
    ) -> Option<Self> {
        if facts.class == Class::Public
            || matches!(decision.reason, Reason::UnknownWidget | Reason::StaleRules)
            // The rules admit the page, and a limit says nothing of it.
            || decision.reason.is_of_limits()
        {
            return None;
        }
        let embedder = embedder?;
        let kind = match decision.is_allowed() {
            true => {
                SightingKind::Admitted { reason: decision.reason, would_deny: decision.embedder_denial() }
            }
            false => SightingKind::Refused { reason: decision.reason },
        };
        Some(Self { widget: facts.widget, embedder, kind, client, at })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rules::fixtures::widget;
    use embedgate_policy::decision::{EdgePolicy, TicketState, decide};
    use embedgate_policy::origin::{
        Embedder, OpaqueOrigin, Origin, OriginBuf, OriginError, OriginSet, OwnOrigins,
    };

    const LISTED: &str = "https://a.example";
    const STRANGER: &str = "https://stranger.example";
    const SYSTEM: &str = "https://dashboard.example";
    const OWN: &str = "https://widgets.example";

    fn known(origin: &'static str) -> Embedder<'static> {
        Embedder::Known(Origin::parse(origin).unwrap())
    }

    fn ticket(origin: &'static str) -> TicketState<'static> {
        TicketState::Valid(Origin::parse(origin).unwrap())
    }

    fn policy() -> EdgePolicy {
        EdgePolicy {
            own_origins: OwnOrigins::from_iter([OWN.parse::<OriginBuf>().unwrap()]),
            system_origins: OriginSet::new([SYSTEM.parse().unwrap()]),
            open_allowed: true,
            stale_at: None,
        }
    }

    /// What is seen of a request of this class at a widget with this in its document.
    fn seen(
        document: &str,
        class: Class,
        embedder: Embedder<'static>,
        ticket: TicketState<'static>,
        policy: &EdgePolicy,
    ) -> Option<(&'static str, SightingKind)> {
        let compiled = (!document.is_empty()).then(|| {
            widget(&format!(r#"{{"id":"w","allowed_domains":["a.example"],{document}}}"#)).compile()
        });
        let facts = Facts { widget: "w", class, embedder, missing_denied: false, ticket };
        let now = Timestamp::UNIX_EPOCH;
        let decision = decide(&facts, compiled.as_ref().map(|rules| rules.as_rules()), policy, now);
        let client = Some(ClientClass::Browser);
        let sighting = Sighting::of_verdict(&facts, facts.counted_embedder(policy), &decision, client, now)?;
        assert_eq!((sighting.widget, sighting.client, sighting.at), ("w", client, now));
        Some((sighting.embedder, sighting.kind))
    }

    #[test]
    fn a_verdict_tells_of_the_page_that_it_is_about() {
        const ENFORCE: &str = r#""access":"enforce""#;
        const MONITOR: &str = r#""access":"monitor""#;
        const OPEN: &str = r#""access":"open""#;
        const OFF: &str = r#""enabled":false"#;
        const UNKNOWN: &str = "";
        let (asset, frame, session, public) = (Class::Asset, Class::Frame, Class::Session, Class::Public);
        let (none, expired, invalid) = (TicketState::Absent, TicketState::Expired, TicketState::Invalid);
        let malformed = Embedder::Malformed(OriginError::Path);
        let null = Embedder::Opaque(OpaqueOrigin::Null);
        let admitted = |page, reason| Some((page, SightingKind::Admitted { reason, would_deny: None }));
        let refused = |page, reason| Some((page, SightingKind::Refused { reason }));
        let monitored = |page, reason| {
            Some((page, SightingKind::Admitted { reason: Reason::Unrestricted, would_deny: Some(reason) }))
        };
        for (document, class, embedder, ticket, expected) in [
            (ENFORCE, asset, known(LISTED), none, admitted(LISTED, Reason::Exact)),
            (ENFORCE, frame, known(STRANGER), none, refused(STRANGER, Reason::NotListed)),
            (ENFORCE, session, known(SYSTEM), none, admitted(SYSTEM, Reason::SystemOrigin)),
            (ENFORCE, session, null, none, refused("null", Reason::OpaqueOrigin)),
            (MONITOR, frame, known(LISTED), none, admitted(LISTED, Reason::Exact)),
            (MONITOR, frame, known(STRANGER), none, monitored(STRANGER, Reason::NotListed)),
            (MONITOR, session, null, none, monitored("null", Reason::OpaqueOrigin)),
            (OPEN, session, known(STRANGER), none, admitted(STRANGER, Reason::Unrestricted)),
            (OPEN, asset, null, none, admitted("null", Reason::Unrestricted)),
            (OFF, asset, known(LISTED), none, refused(LISTED, Reason::WidgetDisabled)),
            // The widget's own iframe, by its ticket.
            (ENFORCE, session, known(OWN), ticket(LISTED), admitted(LISTED, Reason::Ticket)),
            (ENFORCE, frame, known(OWN), ticket(LISTED), admitted(LISTED, Reason::Ticket)),
            (ENFORCE, session, known(OWN), ticket(STRANGER), refused(STRANGER, Reason::NotListed)),
            (ENFORCE, session, known(OWN), ticket(SYSTEM), admitted(SYSTEM, Reason::SystemOrigin)),
            (MONITOR, session, known(OWN), ticket(STRANGER), monitored(STRANGER, Reason::NotListed)),
            (OPEN, session, known(OWN), ticket(STRANGER), admitted(STRANGER, Reason::Unrestricted)),
            (OFF, session, known(OWN), ticket(LISTED), refused(LISTED, Reason::WidgetDisabled)),
            // The ticket of anybody else counts for nothing.
            (ENFORCE, session, known(STRANGER), ticket(LISTED), refused(STRANGER, Reason::NotListed)),
            (ENFORCE, asset, known(OWN), ticket(LISTED), None),
            // No page is named.
            (ENFORCE, asset, known(OWN), none, None),
            (ENFORCE, frame, known(OWN), none, None),
            (ENFORCE, session, known(OWN), none, None),
            (ENFORCE, session, known(OWN), expired, None),
            (ENFORCE, session, known(OWN), invalid, None),
            (MONITOR, session, known(OWN), none, None),
            (OPEN, session, known(OWN), none, None),
            (ENFORCE, frame, Embedder::Absent, none, None),
            (ENFORCE, session, Embedder::Absent, none, None),
            (MONITOR, session, Embedder::Absent, none, None),
            (ENFORCE, session, malformed, none, None),
            (MONITOR, session, malformed, none, None),
            // No widget is embedded.
            (ENFORCE, public, known(LISTED), none, None),
            (UNKNOWN, asset, known(LISTED), none, None),
            (UNKNOWN, session, known(OWN), ticket(LISTED), None),
        ] {
            let case = format!("{document} {class} {embedder:?} {ticket:?}");
            assert_eq!(seen(document, class, embedder, ticket, &policy()), expected, "{case}");
            // Whoever is denied for the age of the rules is denied with all others.
            let stale = EdgePolicy { stale_at: Some(Timestamp::UNIX_EPOCH), ..policy() };
            assert_eq!(seen(document, class, embedder, ticket, &stale), None, "{case}, stale");
        }
    }
}
