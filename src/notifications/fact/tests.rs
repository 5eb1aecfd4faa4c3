#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use embedgate_policy::limits::LimitMode;
use embedgate_policy::verdict::Reason;

use super::*;
use crate::telemetry::metrics::NOTIFICATION_KINDS;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn limit(part: LimitPart, kind: LimitKind, embedder: &str, at: Timestamp) -> Notice {
    let (widget, embedder) = ("w".to_owned(), Some(embedder.to_owned()));
    Notice::LimitReached { widget, part, kind, limit: 20, mode: LimitMode::Enforce, embedder, at }
}

fn changed(widget: &str, revision: Option<u64>, at: Timestamp) -> Notice {
    Notice::RulesChanged { widget: widget.to_owned(), revision, actor: None, at }
}

fn revoked(sessions: &[&str], at: Timestamp) -> Notice {
    let sessions = sessions.iter().map(|session| (*session).to_owned()).collect();
    let (widget, embedder) = ("w".to_owned(), "https://a.example".to_owned());
    Notice::SessionRevoked { widget, embedder, reason: Reason::NotListed, sessions, at }
}

/// One of each kind.
pub(in crate::notifications) fn one_of_each() -> Vec<Notice> {
    let now = at("2026-03-04T05:06:07Z");
    let (widget, embedder) = ("w".to_owned(), "https://a.example".to_owned());
    let entry = "*.example".to_owned();
    vec![
        Notice::EmbedderFirstDenied {
            widget: widget.clone(),
            embedder: embedder.clone(),
            reason: Reason::NotListed,
            would_admit: None,
            at: now,
        },
        Notice::EmbedderFirstSeen {
            widget: widget.clone(),
            embedder: embedder.clone(),
            entry: entry.clone(),
            at: now,
        },
        Notice::EmbedderSummary { widget: widget.clone(), denied: 1, seen: 2, since: now },
        limit(LimitPart::Embedder, LimitKind::Sessions, &embedder, now),
        changed("w", Some(3), now),
        Notice::RulesSummary { changes: 7, since: now },
        Notice::EntryExpiring { widget, entry, expires_at: now },
        Notice::CertificateExpiring { certificate: "tls/a.pem".to_owned(), expires_at: now },
        revoked(&["room:1"], now),
        Notice::Test { at: now },
    ]
}

#[test]
fn each_kind_has_its_word_and_its_own_id() {
    let notices = one_of_each();
    let kinds: Vec<&str> = notices.iter().map(Notice::kind).collect();
    assert_eq!(kinds, NOTIFICATION_KINDS);
    let ids: HashSet<WebhookId> = notices.iter().map(Notice::id).collect();
    assert_eq!(ids.len(), notices.len());
    for notice in &notices {
        let json = serde_json::to_value(notice).unwrap();
        assert_eq!(json["type"], notice.kind());
        assert_eq!(json["data"]["widget"].as_str(), notice.widget(), "{json}");
        assert_eq!(serde_json::from_value::<Notice>(json).unwrap(), *notice);
    }
}

#[test]
fn ids_are_the_same_from_every_edge_and_after_every_update() {
    // A receiver knows them, and edges of a fleet may be of two versions.
    let id = changed("wgt_demo", Some(7), at("2026-03-04T05:06:07Z")).id();
    assert_eq!(id.to_string(), "msg_fb83b735bb1f1918498314e6cfc5c690");
    assert_eq!(WebhookId::parse(&id.to_string()), Some(id));
    for wrong in [
        "",
        "msg_",
        "msg_1",
        "msg_fb83b735bb1f1918498314e6cfc5c6900",
        "MSG_0",
        "msg_+0000000000000000000000000000001",
    ] {
        assert_eq!(WebhookId::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_fact_is_the_same_whenever_an_edge_finds_it() {
    let (one, later) = (at("2026-03-04T05:06:07Z"), at("2026-03-04T05:06:59Z"));
    let (next_minute, next_day) = (at("2026-03-04T05:07:00Z"), at("2026-03-05T05:06:07Z"));
    let minute = |at| limit(LimitPart::Widget, LimitKind::OpensPerMinute, "https://a.example", at).id();
    assert_eq!(minute(one), minute(later));
    assert_ne!(minute(one), minute(next_minute));
    let day = |at| limit(LimitPart::Widget, LimitKind::OpensPerDay, "https://a.example", at).id();
    assert_eq!(day(one), day(next_minute));
    assert_ne!(day(one), day(next_day));
    let whose = |part, embedder| limit(part, LimitKind::Sessions, embedder, one).id();
    for part in [LimitPart::Widget, LimitPart::Address] {
        assert_eq!(whose(part, "https://a.example"), whose(part, "https://b.example"));
    }
    assert_ne!(
        whose(LimitPart::Embedder, "https://a.example"),
        whose(LimitPart::Embedder, "https://b.example")
    );
    assert_eq!(changed("w", Some(7), one).id(), changed("w", Some(7), later).id());
    assert_ne!(changed("w", Some(7), one).id(), changed("w", Some(8), one).id());
    assert_ne!(changed("w", Some(7), one).id(), changed("v", Some(7), one).id());
    // It was brought back and deleted again.
    assert_ne!(changed("w", None, one).id(), changed("w", None, next_minute).id());
    assert_ne!(revoked(&["a", "b"], one).id(), revoked(&["ab"], one).id());
    assert_ne!(revoked(&["a"], one).id(), revoked(&["a"], next_minute).id());
}
