//! Open sessions, as far as rules are about them: the facts each rests on, and the registry that counts them. Whoever
//! serves sessions implements [`OpenSessions`]; whoever asks what a save would cut reads it.

use std::net::IpAddr;

use jiff::Timestamp;

use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::decision::{Decision, EdgePolicy, Facts, TicketState, decide};
use embedgate_policy::origin::{Embedder, OpaqueOrigin, OriginBuf};
use embedgate_policy::verdict::Class;

/// Facts that an allowed session rests on, kept so that it can be judged again by other rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionFacts {
    embedder: SessionEmbedder,
    /// The embedder that a genuine ticket names. That it has expired since ends no session.
    ticket: Option<OriginBuf>,
    missing_denied: bool,
}

/// Embedder of a session. A malformed embedder opens no session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SessionEmbedder {
    /// None was named.
    Absent,
    /// A page without an origin that could be compared.
    Opaque(OpaqueOrigin),
    /// A page of this origin.
    Known(OriginBuf),
}

impl SessionFacts {
    /// Keeps what a request said; `None` where it can't have been allowed.
    pub fn keep(facts: &Facts<'_>) -> Option<Self> {
        let embedder = match facts.embedder {
            Embedder::Absent => SessionEmbedder::Absent,
            Embedder::Opaque(origin) => SessionEmbedder::Opaque(origin),
            Embedder::Known(origin) => SessionEmbedder::Known(origin.into()),
            Embedder::Malformed(_) => return None,
        };
        let ticket = facts.ticket.opened_by().map(OriginBuf::from);
        Some(Self { embedder, ticket, missing_denied: facts.missing_denied })
    }

    /// Who embeds.
    pub fn embedder(&self) -> &SessionEmbedder {
        &self.embedder
    }

    /// The page that a genuine ticket names.
    pub fn opened_by(&self) -> Option<&OriginBuf> {
        self.ticket.as_ref()
    }

    /// The page that opened the session, as far as it is known: the one that its ticket names, else the embedder. An
    /// origin of the edge's own is the widget's and no page's. `widget`: the widget's id.
    pub fn page(&self, widget: &str, policy: &EdgePolicy) -> Option<&OriginBuf> {
        match (&self.ticket, &self.embedder) {
            (Some(page), _) => Some(page),
            (None, SessionEmbedder::Known(origin))
                if !policy.own_origins.contains(origin.as_origin(), widget) =>
            {
                Some(origin)
            }
            (None, _) => None,
        }
    }

    /// The embedder with which limits count it; empty where it does not say which page it is of. `widget`: the widget's id.
    pub fn counted_as<'a>(&'a self, widget: &'a str, policy: &EdgePolicy) -> &'a str {
        self.facts(widget).counted_embedder(policy).unwrap_or_default()
    }

    /// Judges the session by these rules. `widget` is `None` where there is no such widget any more.
    pub fn judge(&self, widget: Option<WidgetRules<'_>>, policy: &EdgePolicy, now: Timestamp) -> Decision {
        decide(&self.facts(widget.map_or("", |widget| widget.id)), widget, policy, now)
    }

    /// The facts, as they were of its request. `widget`: the widget's id.
    pub fn facts<'a>(&'a self, widget: &'a str) -> Facts<'a> {
        Facts {
            widget,
            class: Class::Session,
            embedder: match &self.embedder {
                SessionEmbedder::Absent => Embedder::Absent,
                SessionEmbedder::Opaque(origin) => Embedder::Opaque(*origin),
                SessionEmbedder::Known(origin) => Embedder::Known(origin.as_origin()),
            },
            missing_denied: self.missing_denied,
            ticket: self
                .ticket
                .as_ref()
                .map_or(TicketState::Absent, |origin| TicketState::Valid(origin.as_origin())),
        }
    }
}

/// Whether an entry of the widget's list, by which this decision allows, names the embedder and no other.
pub fn is_listed(
    facts: &Facts<'_>,
    decision: &Decision,
    widget: &WidgetRules<'_>,
    policy: &EdgePolicy,
) -> bool {
    let page = facts.by_ticket(policy).or_else(|| facts.embedder.origin());
    page.zip(decision.entry).is_some_and(|(page, entry)| widget.allowlist.names(page, entry))
}

/// Open session.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// What it rests on.
    pub facts: SessionFacts,
    /// When it was opened.
    pub since: Timestamp,
    /// Whether limits count it.
    pub is_counted: bool,
    /// The client's address, where the session is counted; `None` where it is not known.
    pub address: Option<IpAddr>,
}

/// Registry of the sessions that are open on this edge.
pub trait OpenSessions: Send + Sync {
    /// Those of one widget, in no particular order.
    fn of_widget(&self, id: &str) -> Vec<OpenSession>;

    /// How many there are of one widget.
    fn count_of_widget(&self, id: &str) -> usize;

    /// How many there are, of all widgets.
    fn count(&self) -> usize;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rules::fixtures::widget;
    use embedgate_policy::origin::{Origin, OriginError, OriginSet, OwnOrigins};
    use embedgate_policy::verdict::Reason;

    fn facts<'a>(embedder: Embedder<'a>, ticket: TicketState<'a>) -> Facts<'a> {
        Facts { widget: "w", class: Class::Session, embedder, missing_denied: false, ticket }
    }

    #[test]
    fn a_kept_session_is_judged_as_its_request_was() {
        let own = Origin::parse("https://widgets.example").unwrap();
        let listed = Origin::parse("https://example.com").unwrap();
        let stranger = Origin::parse("https://stranger.example").unwrap();
        let policy = EdgePolicy {
            own_origins: OwnOrigins::from_iter([OriginBuf::from(own)]),
            system_origins: OriginSet::default(),
            open_allowed: true,
            stale_at: None,
        };
        let rules = [
            r#"{"id":"w","allowed_domains":["example.com"]}"#,
            r#"{"id":"w","access":"monitor","allowed_domains":["example.com"]}"#,
            r#"{"id":"w","access":"open"}"#,
            r#"{"id":"w","enabled":false}"#,
        ]
        .map(|document| widget(document).compile());
        for embedder in [
            Embedder::Absent,
            Embedder::Opaque(OpaqueOrigin::Null),
            Embedder::Known(own),
            Embedder::Known(listed),
            Embedder::Known(stranger),
        ] {
            for ticket in [TicketState::Absent, TicketState::Valid(listed), TicketState::Valid(stranger)] {
                let facts = facts(embedder, ticket);
                let kept = SessionFacts::keep(&facts).unwrap();
                for widget in rules.iter().map(|rules| Some(rules.as_rules())).chain([None]) {
                    let now = Timestamp::now();
                    assert_eq!(
                        kept.judge(widget, &policy, now),
                        decide(&facts, widget, &policy, now),
                        "{facts:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn its_page_is_the_one_that_opened_it() {
        let own = Origin::parse("https://widgets.example").unwrap();
        let page = Origin::parse("https://example.com").unwrap();
        let policy = EdgePolicy {
            own_origins: OwnOrigins::from_iter([OriginBuf::from(own)]),
            ..EdgePolicy::default()
        };
        for (embedder, ticket, expected) in [
            (Embedder::Known(page), TicketState::Absent, Some(page)),
            (Embedder::Known(own), TicketState::Valid(page), Some(page)),
            (Embedder::Known(own), TicketState::Absent, None),
            (Embedder::Opaque(OpaqueOrigin::Null), TicketState::Absent, None),
            (Embedder::Absent, TicketState::Absent, None),
        ] {
            let kept = SessionFacts::keep(&facts(embedder, ticket)).unwrap();
            assert_eq!(kept.page("w", &policy).map(OriginBuf::as_origin), expected, "{kept:?}");
        }
    }

    #[test]
    fn it_is_counted_as_the_page_that_opened_it() {
        let own = Origin::parse("https://widgets.example").unwrap();
        let page = Origin::parse("https://example.com").unwrap();
        let policy = EdgePolicy {
            own_origins: OwnOrigins::from_iter([OriginBuf::from(own)]),
            ..EdgePolicy::default()
        };
        for (embedder, ticket, expected) in [
            (Embedder::Known(page), TicketState::Absent, "https://example.com"),
            (Embedder::Known(own), TicketState::Valid(page), "https://example.com"),
            (Embedder::Known(own), TicketState::Absent, ""),
            (Embedder::Opaque(OpaqueOrigin::Null), TicketState::Absent, "null"),
            (Embedder::Opaque(OpaqueOrigin::File), TicketState::Absent, "file://"),
            (Embedder::Absent, TicketState::Absent, ""),
        ] {
            let kept = SessionFacts::keep(&facts(embedder, ticket)).unwrap();
            assert_eq!(kept.counted_as("w", &policy), expected, "{kept:?}");
        }
    }

    #[test]
    fn no_preview_is_limited() {
        let own = Origin::parse("https://widgets.example").unwrap();
        let dashboard = Origin::parse("https://dashboard.example").unwrap();
        let page = Origin::parse("https://example.com").unwrap();
        let policy = EdgePolicy {
            own_origins: OwnOrigins::from_iter([OriginBuf::from(own)]),
            system_origins: OriginSet::new([dashboard.into()]),
            open_allowed: true,
            stale_at: None,
        };
        let (listed, open) = (r#""allowed_domains":["example.com"]"#, r#""access":"open""#);
        for document in [listed, open] {
            let rules = widget(&format!(r#"{{"id":"w",{document}}}"#)).compile();
            for (embedder, ticket, expected) in [
                (page, TicketState::Absent, true),
                (own, TicketState::Valid(page), true),
                (dashboard, TicketState::Absent, false),
                (own, TicketState::Valid(dashboard), false),
            ] {
                let facts = facts(Embedder::Known(embedder), ticket);
                let decision = decide(&facts, Some(rules.as_rules()), &policy, Timestamp::now());
                assert!(decision.is_allowed());
                assert_eq!(facts.is_limited(decision.reason, &policy), expected, "{document} {facts:?}");
            }
        }
    }

    #[test]
    fn a_page_is_listed_by_an_entry_of_its_own() {
        let own = Origin::parse("https://widgets.example").unwrap();
        let policy = EdgePolicy {
            own_origins: OwnOrigins::from_iter([OriginBuf::from(own)]),
            open_allowed: true,
            ..EdgePolicy::default()
        };
        let list = r#"{"id":"w","allowed_domains":["example.com","*.example.org"]}"#;
        let monitored = r#"{"id":"w","access":"monitor","allowed_domains":["example.com"]}"#;
        let open = r#"{"id":"w","access":"open"}"#;
        let of = |document: &str, page: &str, by_ticket: bool| {
            let (rules, page) = (widget(document).compile(), Origin::parse(page).unwrap());
            let facts = match by_ticket {
                true => facts(Embedder::Known(own), TicketState::Valid(page)),
                false => facts(Embedder::Known(page), TicketState::Absent),
            };
            let decision = decide(&facts, Some(rules.as_rules()), &policy, Timestamp::now());
            assert!(decision.is_allowed(), "{document} {page:?}");
            is_listed(&facts, &decision, &rules.as_rules(), &policy)
        };
        for by_ticket in [false, true] {
            assert!(of(list, "https://example.com", by_ticket));
            assert!(!of(list, "https://www.example.org", by_ticket));
            assert!(!of(monitored, "https://stranger.example", by_ticket));
        }
        assert!(of(monitored, "https://example.com", false));
        assert!(!of(open, "https://example.com", false));
    }

    #[test]
    fn a_malformed_embedder_opens_none() {
        let malformed = Embedder::Malformed(OriginError::MultipleLines);
        assert_eq!(SessionFacts::keep(&facts(malformed, TicketState::Absent)), None);
        let own = Origin::parse("https://widgets.example").unwrap();
        let kept = SessionFacts::keep(&facts(Embedder::Known(own), TicketState::Expired)).unwrap();
        let policy = EdgePolicy {
            own_origins: OwnOrigins::from_iter([OriginBuf::from(own)]),
            ..EdgePolicy::default()
        };
        let rules = widget(r#"{"id":"w","allowed_domains":["example.com"]}"#).compile();
        let decision = kept.judge(Some(rules.as_rules()), &policy, Timestamp::now());
        assert_eq!(decision.reason, Reason::TicketMissing, "no ticket but a genuine one is remembered");
    }
}
