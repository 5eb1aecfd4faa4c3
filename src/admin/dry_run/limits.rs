//! Effect of a document's limits on what is used already.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::rules::sessions::OpenSession;
use crate::sockets;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::limits::{LimitKind, LimitMode, LimitPart, LimitUsage, Limits};
use embedgate_policy::widget::Widget;

/// Limit of the document, and how much of it is used already on this edge.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct LimitEffect {
    /// Whose opens and sessions are counted together.
    part: LimitPart,
    /// What is counted.
    kind: LimitKind,
    /// The limit.
    limit: u32,
    /// The limit in force now; `null` where there is none.
    #[schema(required)]
    in_force: Option<u32>,
    /// How much of it is used now; for embedders and addresses by the one that has used most. Opens are counted from the
    /// moment on that the widget has limits.
    used: u32,
    /// The embedder that has used so much; empty for requests that say of no page that they are its.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    whose: Option<String>,
    /// By how much more than the limit is used. Open sessions above a limit stay.
    above: u32,
    /// The use in words.
    #[schema(example = "widget: 12 of 20 opens used this minute; 8 more are admitted")]
    summary: String,
}

impl LimitEffect {
    /// The effects of a document's limits in place of those in force. `usage`: how much of the document's is used now.
    pub(super) fn of(
        mut usage: Vec<LimitUsage>,
        widget: &Widget,
        in_force: &Limits,
        sessions: &[OpenSession],
        policy: &EdgePolicy,
    ) -> Vec<Self> {
        // Nothing is counted before a widget has limits, and then the sessions that are open count.
        if in_force.is_empty() {
            let open = OpenCount::of(widget.id.as_str(), sessions, policy);
            usage.iter_mut().for_each(|limit| open.add_to(limit));
        }
        let effect = |usage: LimitUsage| {
            let summary = in_words(&usage, widget.limits.mode);
            let LimitUsage { part, kind, limit, used, whose } = usage;
            let in_force = in_force.of(part).of(kind).map(|limit| limit.get());
            Self { part, kind, limit, in_force, used, whose, above: used.saturating_sub(limit), summary }
        };
        usage.into_iter().map(effect).collect()
    }
}

/// The use of a limit, and what becomes of the next open.
fn in_words(usage: &LimitUsage, mode: LimitMode) -> String {
    let (limit, used) = (usage.limit, usage.used);
    if used < limit {
        return match limit - used {
            1 => format!("{usage}; 1 more is admitted"),
            more => format!("{usage}; {more} more are admitted"),
        };
    }
    let next = match mode {
        LimitMode::Enforce => "the next open is refused",
        LimitMode::Monitor => "the next open is let through and noted",
    };
    match usage.kind {
        LimitKind::Sessions if used > limit => {
            format!("{usage}; {} above the limit stay open, and {next}", used - limit)
        }
        LimitKind::Sessions | LimitKind::OpensPerMinute | LimitKind::OpensPerDay => {
            format!("{usage}; {next}")
        }
    }
}

/// Sessions that are open and counted: of all embedders, of the one with most, and of the address with most.
struct OpenCount {
    all: u32,
    most: Option<(String, u32)>,
    of_address: u32,
}

impl OpenCount {
    fn of(widget: &str, sessions: &[OpenSession], policy: &EdgePolicy) -> Self {
        let (mut by_embedder, mut by_address) = (HashMap::<&str, u32>::new(), HashMap::new());
        let mut all = 0;
        for session in sessions.iter().filter(|session| session.is_counted) {
            let page = session.facts.page(widget, policy);
            // A preview counts as nothing.
            if page.is_some_and(|page| policy.system_origins.contains(page.as_origin())) {
                continue;
            }
            all += 1;
            *by_embedder.entry(session.facts.counted_as(widget, policy)).or_default() += 1;
            if let Some(address) = session.address {
                *by_address.entry(sockets::network(address)).or_default() += 1;
            }
        }
        let most =
            by_embedder.into_iter().max_by_key(|(embedder, count)| (*count, std::cmp::Reverse(*embedder)));
        let most = most.map(|(embedder, count)| (embedder.to_owned(), count));
        Self { all, most, of_address: by_address.into_values().max().unwrap_or_default() }
    }

    fn add_to(&self, limit: &mut LimitUsage) {
        match (limit.part, limit.kind, &self.most) {
            (LimitPart::Widget, LimitKind::Sessions, _) => limit.used = self.all,
            (LimitPart::Address, LimitKind::Sessions, _) => limit.used = self.of_address,
            (LimitPart::Embedder, LimitKind::Sessions, Some((embedder, count))) => {
                (limit.used, limit.whose) = (*count, Some(embedder.clone()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::IpAddr;

    use jiff::Timestamp;

    use super::*;
    use crate::rules::fixtures::widget;
    use crate::rules::sessions::SessionFacts;
    use embedgate_policy::decision::{Facts, TicketState};
    use embedgate_policy::origin::{Embedder, Origin, OriginSet};
    use embedgate_policy::verdict::Class;

    const A: &str = "https://a.example";
    const SYSTEM: &str = "https://dashboard.example";

    fn policy() -> EdgePolicy {
        EdgePolicy { system_origins: OriginSet::new([SYSTEM.parse().unwrap()]), ..EdgePolicy::default() }
    }

    fn session(origin: &str) -> OpenSession {
        let embedder = Embedder::Known(Origin::parse(origin).unwrap());
        let (class, ticket) = (Class::Session, TicketState::Absent);
        let facts = Facts { widget: "w", class, embedder, missing_denied: false, ticket };
        let (facts, since) = (SessionFacts::keep(&facts).unwrap(), Timestamp::UNIX_EPOCH);
        OpenSession { facts, since, is_counted: true, address: Some(IpAddr::from([192, 0, 2, 1])) }
    }

    fn limits(json: &str) -> Limits {
        widget(&format!(r#"{{"id":"w","limits":{json}}}"#)).limits
    }

    fn usage(part: LimitPart, kind: LimitKind, limit: u32, used: u32) -> LimitUsage {
        LimitUsage { part, kind, limit, used, whose: None }
    }

    /// What a document with one limit of sessions does, where these limits are in force.
    fn tried(mode: &str, used: u32, in_force: &str, sessions: &[OpenSession]) -> LimitEffect {
        let document = format!(r#"{{"id":"w","limits":{{{mode}"widget":{{"sessions":10}}}}}}"#);
        let usage = vec![usage(LimitPart::Widget, LimitKind::Sessions, 10, used)];
        let effects = LimitEffect::of(usage, &widget(&document), &limits(in_force), sessions, &policy());
        effects.into_iter().next().unwrap()
    }

    #[test]
    fn a_lowered_limit_says_what_is_above_it() {
        let in_force = r#"{"widget":{"sessions":50}}"#;
        for (mode, used, above, summary) in [
            ("", 9, 0, "widget: 9 of 10 sessions open; 1 more is admitted"),
            ("", 10, 0, "widget: 10 of 10 sessions open; the next open is refused"),
            (
                "",
                12,
                2,
                "widget: 12 of 10 sessions open; 2 above the limit stay open, and the next open is refused",
            ),
            (
                r#""mode":"monitor","#,
                12,
                2,
                "widget: 12 of 10 sessions open; 2 above the limit stay open, and the next open is let through and noted",
            ),
        ] {
            let told = tried(mode, used, in_force, &[session(A)]);
            assert_eq!(
                (told.in_force, told.limit, told.used, told.above),
                (Some(50), 10, used, above),
                "{used}"
            );
            assert_eq!(told.summary, summary);
        }
        let added = tried("", 3, r#"{"address":{"sessions":5}}"#, &[session(A)]);
        assert_eq!((added.in_force, added.used), (None, 3), "it was counted, for another limit");
    }

    #[test]
    fn the_first_limits_find_the_sessions_that_are_open() {
        let mut sessions = [A, "https://b.example", A, SYSTEM, A].map(session);
        sessions[1].address = Some(IpAddr::from([192, 0, 2, 2]));
        // A call, and no session to the limits.
        sessions[4].is_counted = false;
        let told = tried("", 0, "{}", &sessions);
        assert_eq!((told.in_force, told.used), (None, 3), "a preview counts as nothing");

        let document = widget(
            r#"{"id":"w","limits":{"embedder":{"sessions":1,"opens_per_day":9},"address":{"sessions":1}}}"#,
        );
        let used = vec![
            usage(LimitPart::Address, LimitKind::Sessions, 1, 0),
            usage(LimitPart::Embedder, LimitKind::Sessions, 1, 0),
            usage(LimitPart::Embedder, LimitKind::OpensPerDay, 9, 0),
        ];
        let told = LimitEffect::of(used, &document, &Limits::default(), &sessions, &policy());
        let numbers: Vec<_> =
            told.iter().map(|limit| (limit.used, limit.above, limit.whose.as_deref())).collect();
        assert_eq!(numbers, [(2, 1, None), (2, 1, Some(A)), (0, 0, None)]);
        assert!(LimitEffect::of(Vec::new(), &document, &Limits::default(), &[], &policy()).is_empty());

        // Those that do not say of which page they are count together, as the edge counts them.
        let mut absent = session(A);
        let (class, ticket) = (Class::Session, TicketState::Absent);
        let facts = Facts { widget: "w", class, embedder: Embedder::Absent, missing_denied: false, ticket };
        absent.facts = SessionFacts::keep(&facts).unwrap();
        let used = vec![usage(LimitPart::Embedder, LimitKind::Sessions, 1, 0)];
        let sessions = [absent.clone(), absent];
        let told = LimitEffect::of(used, &document, &Limits::default(), &sessions, &policy());
        assert_eq!((told[0].used, told[0].whose.as_deref()), (2, Some("")));
    }
}
