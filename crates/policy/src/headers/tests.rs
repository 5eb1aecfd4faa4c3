#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;

use super::*;
use crate::limits::LimitMode;
use crate::origin::{OpaqueOrigin, Origin};

fn value<'p>(profile: &'p Profile, https: bool, name: &str) -> Option<&'p str> {
    profile.fields(https).find(|(n, _)| n.as_str() == name).map(|(_, v)| v.to_str().unwrap())
}

#[test]
fn each_class_has_its_fields() {
    for class in Class::ALL {
        let profile = Profile::new(class, false, []);
        assert_eq!(value(&profile, false, "x-content-type-options"), Some("nosniff"), "{class:?}");
        assert_eq!(
            value(&profile, false, "referrer-policy"),
            Some("strict-origin-when-cross-origin"),
            "{class:?}"
        );
        assert_eq!(value(&profile, false, "strict-transport-security"), None, "{class:?}");
        assert!(value(&profile, true, "strict-transport-security").is_some(), "{class:?}");
        let corp = if class == Class::Public { "same-origin" } else { "cross-origin" };
        assert_eq!(value(&profile, true, "cross-origin-resource-policy"), Some(corp), "{class:?}");
        let framed = class == Class::Public;
        assert_eq!(value(&profile, true, "x-frame-options").is_some(), framed, "{class:?}");
    }
}

#[test]
fn only_voice_gets_the_microphone() {
    let frame = |voice| Profile::new(Class::Frame, voice, []);
    let policy = |voice| value(&frame(voice), false, "permissions-policy").unwrap().to_owned();
    assert!(policy(true).contains("microphone=(self), autoplay=(self)"));
    assert!(policy(false).ends_with("microphone=()"));
    let public = Profile::new(Class::Public, true, []);
    assert!(value(&public, false, "permissions-policy").unwrap().ends_with("microphone=()"));
}

#[test]
fn a_route_replaces_and_removes() {
    let corp = HeaderName::from_static("cross-origin-resource-policy");
    let same_site = HeaderValue::from_static("same-site");
    let profile = Profile::new(
        Class::Asset,
        false,
        [
            (&corp, Some(&same_site)),
            (&header::REFERRER_POLICY, None),
            (&header::STRICT_TRANSPORT_SECURITY, None),
        ],
    );
    assert_eq!(value(&profile, true, "cross-origin-resource-policy"), Some("same-site"));
    assert_eq!(profile.fields(true).filter(|(n, _)| **n == corp).count(), 1);
    assert_eq!(value(&profile, true, "referrer-policy"), None);
    assert_eq!(value(&profile, true, "strict-transport-security"), None);
    assert_eq!(profile.removed(), [header::REFERRER_POLICY]);
}

#[test]
fn a_route_exposes_what_it_names() {
    let session = || Profile::new(Class::Session, false, []);
    assert_eq!((session().exposed(), session().removed()), (None, &[][..]), "the upstream's own stays");
    let profile = session().exposing(&["Mcp-Session-Id", "x-two"]);
    assert_eq!(profile.exposed().unwrap(), "Mcp-Session-Id, x-two");
    assert_eq!(profile.removed(), [""; 0]);
    let profile = session().exposing::<&str>(&[]);
    assert_eq!((profile.exposed(), profile.removed()), (None, &[header::ACCESS_CONTROL_EXPOSE_HEADERS][..]));
}

#[test]
fn what_the_upstream_may_not_say() {
    let stripped = |class, name| is_stripped(class, &HeaderName::from_static(name));
    for name in ["server", "x-powered-by", "access-control-allow-origin", "access-control-max-age"] {
        assert!(stripped(Class::Asset, name), "{name}");
    }
    for class in Class::ALL {
        let read_by_scripts = class == Class::Asset || class == Class::Session;
        assert_eq!(stripped(class, "access-control-expose-headers"), !read_by_scripts, "{class:?}");
    }
    for name in [&NAMED_SESSION, &ENDED_SESSION] {
        assert!(Class::ALL.into_iter().all(|class| is_stripped(class, name)), "{name}");
    }
    assert!(!stripped(Class::Session, "x-widget-sessions"));
    for name in ["x-frame-options", "timing-allow-origin"] {
        assert!(stripped(Class::Frame, name), "{name}");
        assert!(!stripped(Class::Asset, name), "{name}");
    }
    assert!(!stripped(Class::Frame, "content-security-policy"));
}

#[test]
fn cors_follows_the_verdict() {
    let decision =
        |verdict, reason, would_deny| Decision { verdict, reason, would_deny, entry: None, near_miss: None };
    let allowed = decision(Verdict::Allow, Reason::Exact, None);
    let denied = decision(Verdict::Deny, Reason::NotListed, None);
    let unrestricted = decision(Verdict::Allow, Reason::Unrestricted, None);
    let monitored = decision(Verdict::Allow, Reason::Unrestricted, Some(Reason::NotListed));
    let known = Embedder::Known(Origin::parse("https://example.com").unwrap());
    let malformed = Embedder::Malformed(Origin::parse("https://EXAMPLE.com").unwrap_err());

    let grant = |class, decision: &Decision, embedder: &Embedder<'static>| {
        cors(class, decision, embedder, true).map(|c| (c.allow_origin, c.credentials))
    };
    let page = Some(("https://example.com", false));
    assert_eq!(grant(Class::Asset, &allowed, &known), Some(("https://example.com", true)));
    assert_eq!(grant(Class::Session, &denied, &known), page);
    let any = Some(("*", false));
    assert_eq!(grant(Class::Session, &unrestricted, &known), any);
    for opaque in [OpaqueOrigin::Null, OpaqueOrigin::File].map(Embedder::Opaque) {
        assert_eq!(grant(Class::Session, &unrestricted, &opaque), any);
        assert_eq!(grant(Class::Frame, &unrestricted, &opaque), None);
    }
    assert_eq!(grant(Class::Session, &monitored, &known), page);
    assert_eq!(grant(Class::Frame, &allowed, &known), None);
    assert_eq!(grant(Class::Frame, &denied, &known), page);
    for opaque in [OpaqueOrigin::Null, OpaqueOrigin::File] {
        let own = Some((opaque.as_str(), false));
        assert_eq!(grant(Class::Asset, &denied, &Embedder::Opaque(opaque)), own);
        assert_eq!(grant(Class::Asset, &monitored, &Embedder::Opaque(opaque)), own);
    }
    // What a limit denies, or would deny, is about the widget and not about the page.
    let limited = allowed.beyond_limit(LimitMode::Enforce, Reason::LimitOpens);
    assert_eq!(grant(Class::Session, &limited, &known), Some(("https://example.com", true)));
    assert_eq!(cors(Class::Session, &limited, &known, false).map(|cors| cors.credentials), Some(false));
    let noted = |decision: Decision| decision.beyond_limit(LimitMode::Monitor, Reason::LimitOpens);
    assert_eq!(grant(Class::Session, &noted(allowed), &known), Some(("https://example.com", true)));
    assert_eq!(grant(Class::Session, &noted(unrestricted), &known), any);
    assert_eq!(grant(Class::Session, &noted(monitored), &known), page);
    assert_eq!(grant(Class::Asset, &denied, &malformed), None);
    assert_eq!(grant(Class::Asset, &allowed, &Embedder::Absent), None);
}

#[test]
fn shared_caches_are_kept_out() {
    let rule = |class, fixed_path, shared_cache| CacheRule { class, fixed_path, shared_cache };
    let asset = rule(Class::Asset, false, false);
    let sent = |rule, lines: &[&'static str]| {
        cache_control(rule, lines.iter().copied()).map(std::borrow::Cow::into_owned)
    };
    for (upstream, expected) in [
        (&["public, max-age=60, immutable"][..], "private, max-age=60, immutable"),
        (&["max-age=60"], "private, max-age=60"),
        (&["max-age=60, s-maxage=600", "PUBLIC"], "private, max-age=60"),
        (&[], "private"),
        (&["private=\"set-cookie, x\", max-age=1"], "private, max-age=1"),
        (&["no-cache=\"a, public\", S-MaxAge=\"9\""], "private, no-cache=\"a, public\""),
        (&["no-store"], "private, no-store"),
    ] {
        assert_eq!(sent(asset, upstream).as_deref(), Some(expected), "{upstream:?}");
    }
    assert_eq!(sent(rule(Class::Asset, false, true), &["public"]), None);
    assert_eq!(sent(rule(Class::Asset, true, true), &["public"]).as_deref(), Some("private, no-cache"));
    assert_eq!(sent(rule(Class::Frame, true, false), &["public"]).as_deref(), Some("private, no-cache"));
    assert_eq!(sent(rule(Class::Session, false, false), &[]).as_deref(), Some("no-store"));
    assert_eq!(sent(rule(Class::Session, false, false), &["max-age=1"]), None);
    assert_eq!(sent(rule(Class::Public, true, false), &["public"]), None);
}

#[test]
fn cdn_fields_are_known() {
    for name in ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control", "x-accel-expires"]
    {
        assert!(is_cdn_directive(&HeaderName::from_static(name)), "{name}");
    }
    assert!(!is_cdn_directive(&header::CACHE_CONTROL));
}

#[test]
fn tickets_of_others_are_dropped() {
    assert_eq!(without_embed_ticket("db;dur=53, cache").as_deref(), Some("db;dur=53, cache"));
    assert_eq!(without_embed_ticket("embed-ticket;desc=\"x, y\""), None);
    assert_eq!(
        without_embed_ticket("a;desc=\"embed-ticket, \\\" b\", EMBED-TICKET ;desc=x, c").as_deref(),
        Some("a;desc=\"embed-ticket, \\\" b\", c")
    );
}

#[test]
fn a_ticket_cookie_is_for_the_edge_s_host_alone() {
    let value = ticket_cookie("w1", "a.b", SignedDuration::from_hours(12)).unwrap();
    let expected = "__Host-embed.w1=a.b; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=43200";
    assert_eq!(value, expected);
    assert!(value.is_sensitive());
}

#[test]
fn what_follows_from_a_verdict_can_t_be_configured() {
    for only_reported in [false, true] {
        let given = GivenTicket {
            timing: timing_of_ticket("a.b"),
            cookie: ticket_cookie("w1", "a.b", SignedDuration::from_hours(12)),
        };
        let answer = OwnAnswer {
            frame_ancestors: Some(FRAME_ANCESTORS_NONE),
            only_reported,
            on_ticket: true,
            by_cookie: true,
            not_stored: false,
            given: Some(Box::new(given)),
        };
        let mut names = Vec::new();
        answer.each_added(|name, _| names.push(name));
        assert!(names.len() >= 5 && names.iter().all(is_computed), "{names:?}");
    }
}
