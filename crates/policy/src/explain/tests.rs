#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use super::*;
use crate::allowlist::samples::{self, now};
use crate::decision::TicketState;
use crate::entry::Entry;
use crate::entry::listed::ListedEntry;
use crate::headers::{CacheRule, OwnProfile, Profile};
use crate::limits::LimitKind;
use crate::origin::{OriginBuf, OriginError, OriginSet};
use crate::suffix::PublicSuffixes;

const OWN: &str = "https://edge.example";

fn widget(document: Value) -> Widget {
    Widget::parse(document.to_string().as_bytes(), PublicSuffixes::shipped()).unwrap()
}

fn listing(entries: Value) -> Widget {
    widget(json!({"id": "wgt_demo", "allowed_domains": entries}))
}

fn policy() -> EdgePolicy {
    EdgePolicy {
        own_origins: OriginBuf::parse(OWN).into_iter().collect(),
        system_origins: OriginSet::default(),
        open_allowed: true,
        stale_at: None,
    }
}

fn facts(embedder: Embedder<'_>) -> Facts<'_> {
    Facts {
        widget: "wgt_acme",
        class: Class::Asset,
        embedder,
        missing_denied: false,
        ticket: TicketState::Absent,
    }
}

fn known(text: &str) -> Embedder<'_> {
    Embedder::Known(Origin::parse(text).unwrap())
}

fn ask(widget: &Widget, origin: &str) -> Explanation {
    explain("wgt_demo", &facts(known(origin)), Some(widget), &policy(), now())
}

#[test]
fn an_allowed_embedder_is_told_by_which_entry() {
    let told = ask(&listing(json!(["example.com", "*.example.org"])), "https://a.example.org");
    assert_eq!((told.verdict, told.reason), (Verdict::Allow, Reason::Wildcard));
    assert_eq!(
        told.entry.unwrap(),
        NamedEntry { pointer: "/allowed_domains/1".into(), entry: "*.example.org".into() }
    );
    assert_eq!(told.entry_to_add, None);
    assert_eq!(
        told.sentence,
        "https://a.example.org may embed wgt_demo: the entry `*.example.org` covers it."
    );
}

#[test]
fn a_denied_embedder_is_told_what_to_add() {
    let list = listing(json!(["example.com", "ports.example:8443", "capacitor://localhost"]));
    for (origin, reason, near, add) in [
        ("https://stranger.example", Reason::NotListed, None, Some("stranger.example")),
        ("http://plain.example", Reason::NotListed, None, Some("http://plain.example")),
        ("http://example.com", Reason::InsecureScheme, Some("example.com"), Some("http://example.com")),
        ("https://example.com:8443", Reason::PortMismatch, Some("example.com"), Some("example.com:8443")),
        ("http://localhost:3000", Reason::NotListed, None, Some("localhost:3000")),
        ("https://[2001:db8::1]", Reason::NotListed, None, Some("[2001:db8::1]")),
        ("ionic://localhost", Reason::UnsupportedScheme, None, Some("ionic://localhost")),
        ("ftp://example.com", Reason::UnsupportedScheme, None, None),
    ] {
        let told = ask(&list, origin);
        assert_eq!((told.verdict, told.reason), (Verdict::Deny, reason), "{origin}");
        assert_eq!(told.near_miss.map(|named| named.entry).as_deref(), near, "{origin}");
        assert_eq!(told.entry_to_add.as_deref(), add, "{origin}");
        assert_eq!(told.sentence.contains("To admit it, add the entry"), add.is_some(), "{}", told.sentence);
    }
}

#[test]
fn what_a_save_would_refuse_is_not_proposed() {
    let voice =
        widget(json!({"id": "wgt_demo", "capabilities": ["voice"], "allowed_domains": ["example.com"]}));
    let told = ask(&voice, "http://example.com");
    assert_eq!((told.reason, told.entry_to_add), (Reason::InsecureScheme, None));
    assert!(told.sentence.contains("serve the site over https"), "{}", told.sentence);
    assert_eq!(told.sentence.matches("over https").count(), 1, "{}", told.sentence);
    let told = ask(&voice, "http://plain.example:8080");
    assert_eq!((told.reason, told.entry_to_add), (Reason::NotListed, None));
    assert!(
        told.sentence.ends_with("serve the site over https, and add the entry `plain.example` for it."),
        "{}",
        told.sentence
    );
    let told = ask(&voice, "ftp://plain.example");
    assert!(told.sentence.contains("No entry can have that scheme"), "{}", told.sentence);

    let expired = json!([{"pattern": "https://example.com", "expires_at": "2026-01-01T00:00:00Z"}]);
    let told = ask(&listing(expired), "https://example.com");
    assert_eq!((told.reason, told.entry_to_add), (Reason::ExpiredEntry, None));
    assert!(told.sentence.contains("renew its `expires_at`"), "{}", told.sentence);
}

#[test]
fn each_entry_says_why_it_does_not_admit() {
    let list = listing(json!([
        "example.org", "*.example.com", "www.example.net", "http://example.com", "example.com:8443", "pr-*.example.com",
        {"pattern": "https://example.com", "expires_at": "2026-01-01T00:00:00Z"}, "münchen.example",
        {"pattern": ".example.com", "expires_at": "2027-01-01T00:00:00Z"}
    ]));
    let told = ask(&list, "https://example.com");
    let found: Vec<_> =
        told.entries.iter().map(|entry| (entry.outcome.as_str(), entry.detail.as_str())).collect();
    let expected = [
        ("host_differs", "example.com is another host"),
        (
            "host_differs",
            "covers the names below example.com, not example.com itself; `.example.com` covers both",
        ),
        ("host_differs", "example.com is another host"),
        ("scheme_differs", "requires http, but the embedder is https"),
        ("port_differs", "requires port 8443, but the embedder is on port 443"),
        ("host_differs", "example.com is another host"),
        ("expired", "expired at 2026-01-01T00:00:00Z"),
        ("host_differs", "example.com is another host"),
        ("admits", "admits https://example.com until 2027-01-01T00:00:00Z"),
    ];
    assert_eq!(found, expected);
    assert_eq!(told.entries[7].unicode.as_deref(), Some("münchen.example"));
    assert_eq!(told.entries[7].entry, "xn--mnchen-3ya.example");
    let below = ask(&list, "https://a.pr-1.example.com");
    assert!(below.entries[5].detail.contains("one or more characters of the first label"));
    let www = ask(&listing(json!(["example.com"])), "https://www.example.com");
    assert_eq!(
        www.entries[0].detail,
        "names example.com only, not the names below it; `*.example.com` covers those"
    );
}

#[test]
fn a_session_in_the_iframe_is_explained_by_its_ticket() {
    let list = listing(json!(["example.com"]));
    let opened_by = Origin::parse("https://stranger.example").unwrap();
    let with = |ticket| Facts { class: Class::Session, ticket, ..facts(known(OWN)) };
    let told = explain("wgt_demo", &with(TicketState::Valid(opened_by)), Some(&list), &policy(), now());
    assert_eq!(told.reason, Reason::NotListed);
    assert_eq!(told.entry_to_add.as_deref(), Some("stranger.example"));
    assert_eq!(told.entries[0].outcome, EntryMatch::HostDiffers);
    let told = explain("wgt_demo", &with(TicketState::Absent), Some(&list), &policy(), now());
    assert_eq!((told.reason, told.entries[0].outcome), (Reason::TicketMissing, EntryMatch::NotCompared));
}

#[test]
fn a_frame_that_moves_within_itself_is_explained_by_its_ticket() {
    let list = listing(json!(["example.com"]));
    let with = |ticket| Facts { class: Class::Frame, ticket, ..facts(known(OWN)) };
    let ask = |ticket| explain("wgt_demo", &with(ticket), Some(&list), &policy(), now());
    let by = |origin| TicketState::Valid(Origin::parse(origin).unwrap());
    let told = ask(by("https://stranger.example"));
    assert_eq!((told.verdict, told.reason), (Verdict::Deny, Reason::NotListed));
    assert_eq!(told.entry_to_add.as_deref(), Some("stranger.example"));
    let told = ask(by("https://example.com"));
    assert_eq!((told.reason, told.entries[0].outcome), (Reason::Ticket, EntryMatch::Admits));
    assert!(told.sentence.contains("https://example.com opened wgt_demo"), "{}", told.sentence);
    for ticket in [TicketState::Absent, TicketState::Expired, TicketState::Invalid] {
        let told = ask(ticket);
        assert_eq!((told.verdict, told.reason, told.entry_to_add), (Verdict::Allow, Reason::OwnOrigin, None));
    }
}

#[test]
fn monitoring_is_told_with_what_it_would_deny() {
    let monitor = widget(json!({"id": "wgt_demo", "access": "monitor", "allowed_domains": ["example.com"]}));
    let told = ask(&monitor, "https://stranger.example");
    assert_eq!(
        (told.verdict, told.reason, told.would_deny),
        (Verdict::Allow, Reason::Unrestricted, Some(Reason::NotListed))
    );
    assert_eq!(told.entry_to_add.as_deref(), Some("stranger.example"));
    assert!(told.sentence.starts_with("The widget only monitors"), "{}", told.sentence);
    assert!(told.sentence.contains("No entry of wgt_demo admits"), "{}", told.sentence);
}

#[test]
fn stale_rules_are_told_without_advice() {
    let policy = EdgePolicy { stale_at: Some(now()), ..policy() };
    let widget = listing(json!(["example.com"]));
    let answers = RouteAnswers {
        silent: Profile::new(Class::Asset, false, []),
        voice: Profile::new(Class::Asset, true, []),
        own: OwnProfile::of_class(Class::Asset, []),
        credentials: true,
        cache: CacheRule { class: Class::Asset, fixed_path: false, shared_cache: false },
        https: true,
        ticket_cookie: None,
        reports: None,
    };
    for (origin, entry) in [("https://example.com", "admits"), ("https://stranger.example", "host_differs")] {
        let facts = facts(known(origin));
        let told = explain("wgt_demo", &facts, Some(&widget), &policy, now());
        assert_eq!((told.verdict, told.reason), (Verdict::Deny, Reason::StaleRules), "{origin}");
        assert_eq!((told.entry_to_add.as_ref(), told.entries[0].outcome.as_str()), (None, entry));
        assert!(told.sentence.contains("`policy.max_staleness`"), "{}", told.sentence);
        let told = told.with_headers(&facts, Destination::Other, Some(&widget), &policy, &answers, now());
        let value =
            |name: &str| told.headers.iter().find(|(field, _)| field == name).map(|(_, value)| &**value);
        assert_eq!(value("retry-after"), Some("5"));
        assert_eq!(value("access-control-allow-origin"), Some(origin));
        assert_eq!(value("access-control-allow-credentials"), None);
        assert_eq!(value("cache-control"), Some("no-store"));
    }
}

#[test]
fn without_a_widget_there_is_nothing_to_add() {
    let told = explain("no such id!", &facts(known("https://example.com")), None, &policy(), now());
    assert_eq!((told.reason, told.entry_to_add, told.entries.len()), (Reason::UnknownWidget, None, 0));
    assert_eq!(told.sentence, "There is no widget `no such id!`.");
}

#[test]
fn it_serialises_for_programs_and_prints_for_people() {
    let mut told = ask(&listing(json!(["example.com", "münchen.example"])), "https://stranger.example");
    told.headers.push(("vary".to_owned(), "Origin".to_owned()));
    assert_eq!(
        told.to_string(),
        "deny (not_listed)  No entry of wgt_demo admits https://stranger.example. \
         To admit it, add the entry `stranger.example`.\n  \
         widget wgt_demo, class asset, embedder https://stranger.example, access enforce\n  \
         entry to add: stranger.example\n  entries:\n    \
         example.com             host_differs    stranger.example is another host\n    \
         xn--mnchen-3ya.example  host_differs    stranger.example is another host  [münchen.example]\n  \
         headers:\n    vary: Origin"
    );
    let value = serde_json::to_value(&told).unwrap();
    assert_eq!(value["embedder"], json!({"kind": "known", "origin": "https://stranger.example"}));
    assert_eq!((&value["verdict"], &value["reason"]), (&json!("deny"), &json!("not_listed")));
    assert_eq!(value["entries"][1]["unicode"], "münchen.example");
    assert_eq!(value["entries"][0]["outcome"], "host_differs");
    assert_eq!(value["headers"], json!([["vary", "Origin"]]));
    let malformed =
        explain("a", &facts(Embedder::Malformed(OriginError::TrailingDot)), None, &policy(), now());
    assert_eq!(serde_json::to_value(&malformed.embedder).unwrap()["code"], "trailing_dot");
}

fn sample_widget(rules: Vec<ListedEntry>) -> Widget {
    Widget { allowed_domains: rules, ..widget(json!({"id": "wgt_demo", "access": "enforce"})) }
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    /// The entries' own words and the decision never contradict each other, and what is proposed works.
    #[test]
    fn entries_verdict_and_proposal_agree(rules in samples::rules(0..8), origin in samples::origin()) {
        let mut widget = sample_widget(rules);
        let told = ask(&widget, origin.as_str());
        let any = |outcome| told.entries.iter().any(|entry| entry.outcome == outcome);
        prop_assert_eq!(any(EntryMatch::Admits), told.verdict == Verdict::Allow);
        prop_assert_eq!(told.entry.is_some(), told.verdict == Verdict::Allow);
        match told.reason {
            Reason::ExpiredEntry => prop_assert!(any(EntryMatch::Expired)),
            Reason::PortMismatch => prop_assert!(any(EntryMatch::PortDiffers)),
            Reason::InsecureScheme => prop_assert!(any(EntryMatch::SchemeDiffers)),
            _ => prop_assert!(!any(EntryMatch::Expired) || told.verdict == Verdict::Allow),
        }
        if let Some(entry) = &told.entry_to_add {
            widget.allowed_domains.push(samples::rule(entry));
            prop_assert_eq!(ask(&widget, origin.as_str()).reason, Reason::Exact);
            let saved = widget.to_json().to_string();
            let duplicates = Widget::parse(saved.as_bytes(), PublicSuffixes::shipped()).err().unwrap_or_default();
            let last = format!("/allowed_domains/{}", widget.allowed_domains.len() - 1);
            prop_assert!(duplicates.iter().all(|fault| fault.pointer != last), "{:?}", duplicates);
        }
    }
}

#[test]
fn the_text_of_an_entry_is_that_of_the_entry() {
    for origin in [
        "https://a.example",
        "https://a.example:8443",
        "http://localhost",
        "https://localhost",
        "http://127.0.0.1:3000",
        "https://[::1]",
        "https://192.0.2.1",
        "https://a_b.example",
        "capacitor://localhost",
    ] {
        let origin = Origin::parse(origin).unwrap();
        let entry = entry_admitting(origin).unwrap();
        let WayIn::Entry(text) = way_in(origin) else { panic!("{origin}") };
        assert_eq!(text.concat(), entry.to_string(), "{origin}");
    }
    for (origin, host) in [
        ("http://a.example", "a.example"),
        ("http://a.example:8080", "a.example"),
        ("http://[2001:db8::1]:8080", "[2001:db8::1]"),
    ] {
        let plain = entry_admitting(Origin::parse(origin).unwrap()).unwrap().to_string();
        assert_eq!(plain, origin);
        assert_eq!(way_in(Origin::parse(origin).unwrap()), WayIn::Https { host, plain: Some(origin) });
    }
}

/// What is advised is what a save takes, for every scheme that parses.
#[test]
fn entries_are_advised_for_the_schemes_that_have_some() {
    for scheme in
        ["http", "https", "capacitor", "ionic", "app", "ftp", "ws", "wss", "mailto", "view-source", "tauri"]
    {
        for host in ["a.example", "localhost", "192.0.2.1"] {
            let text = format!("{scheme}://{host}");
            let origin = Origin::parse(&text).unwrap();
            let entry = Entry::parse(&text, PublicSuffixes::shipped());
            assert_eq!(entry.is_ok(), Entry::can_name(origin), "{text}");
            assert_eq!(entry_admitting(origin).is_some(), entry.is_ok(), "{text}");
            let refused = matches!(way_in(origin), WayIn::Https { plain: None, .. });
            assert_eq!(refused, entry.is_err(), "{text}");
        }
    }
}

/// An origin of any kind that parses: public suffixes, addresses, schemes of apps, and names that nobody has.
fn any_origin() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![
        4 => prop::sample::select(vec!["https", "http"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["capacitor", "chrome-extension", "ws", "wss", "ftp", "app"]).prop_map(str::to_owned),
        1 => "[a-z][a-z0-9+.-]{0,8}",
    ];
    let host = prop_oneof![
        4 => "[a-z0-9_-]{1,6}(\\.[a-z0-9_-]{1,6}){0,3}",
        2 => prop::sample::select(vec![
            "com", "co.uk", "github.io", "vercel.app", "localhost", "a.localhost", "xn--mnchen-3ya.example", "a.test",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["127.0.0.1", "192.0.2.7", "[::1]", "[2001:db8::1]"]).prop_map(str::to_owned),
    ];
    let port = prop_oneof![2 => Just(String::new()), 1 => (1_u16..).prop_map(|port| format!(":{port}"))];
    (scheme, host, port).prop_map(|(scheme, host, port)| format!("{scheme}://{host}{port}"))
}

proptest! {
    #![proptest_config(Config { cases: 2_000, failure_persistence: None, ..Config::default() })]

    /// Whether the document is at hand or only what it was compiled to.
    #[test]
    fn what_is_compiled_advises_the_same(text in any_origin(), voice: bool, listed in any_origin(), expired: bool) {
        let Ok(origin) = Origin::parse(&text) else { return Ok(()) };
        let list: Vec<_> = [&*text, &listed].into_iter().filter_map(|text| entry_admitting(Origin::parse(text).ok()?)).collect();
        for list in [&list[..], list.get(1..).unwrap_or_default(), &[]] {
            let mut widget = listing(json!([]));
            let over = now() - jiff::SignedDuration::from_secs(1);
            widget.allowed_domains = list
                .iter()
                .map(|entry| ListedEntry { entry: entry.clone(), expires_at: expired.then_some(over), note: None })
                .collect();
            widget.access = Some(Access::Enforce);
            if voice {
                widget.capabilities = [crate::widget::Capability::Voice].into();
            }
            let compiled = widget.compile();
            let decision = decide(&facts(Embedder::Known(origin)), Some(compiled.as_rules()), &policy(), now());
            let by_rules = entry_missing(decision.reason, origin, compiled.as_rules());
            prop_assert_eq!(by_rules, entry_to_add(&decision, origin, &widget));
        }
    }

    /// Whatever page asks: what it is told to put on the list, a save takes, and then it is admitted.
    #[test]
    fn what_a_denial_advises_a_save_takes(text in any_origin()) {
        let Ok(origin) = Origin::parse(&text) else { return Ok(()) };
        let taken = |entry: &str| Entry::parse(entry, PublicSuffixes::shipped());
        match way_in(origin) {
            WayIn::Entry(entry) => {
                let entry = taken(&entry.concat());
                prop_assert!(entry.as_ref().is_ok_and(|entry| entry.admits(origin)), "{text}: {entry:?}");
            }
            WayIn::Https { host, plain } => {
                if let Some(plain) = plain {
                    let entry = taken(plain);
                    prop_assert!(entry.as_ref().is_ok_and(|entry| entry.admits(origin)), "{text}: {entry:?}");
                }
                let secure = format!("https://{host}");
                let secure = Origin::parse(&secure).unwrap();
                let entry = taken(host);
                prop_assert!(entry.as_ref().is_ok_and(|entry| entry.admits(secure)), "{text}: {entry:?}");
            }
        }
    }
}

#[test]
fn limits_are_told_with_their_use() {
    let list = listing(json!(["example.com"]));
    let limit = |part, kind, used| LimitUsage { part, kind, limit: 20, used, whose: None };
    let widget = |used| limit(LimitPart::Widget, LimitKind::OpensPerMinute, used);
    let address = |used| limit(LimitPart::Address, LimitKind::Sessions, used);
    let told = |class, origin, mode, limits: Vec<LimitUsage>| {
        let facts = Facts { class, ..facts(known(origin)) };
        explain("wgt_demo", &facts, Some(&list), &policy(), now()).with_limits(
            &facts,
            &policy(),
            mode,
            limits,
        )
    };
    let (listed, enforce) = ("https://example.com", LimitMode::Enforce);
    let unused = told(Class::Session, listed, enforce, vec![address(20), widget(19)]);
    assert_eq!(unused.hints, [""; 0], "whose address it is, nobody has said");
    let text = unused.to_string();
    let lines = "\n  limits:\n    each address, at most: 20 of 20 sessions open\n    widget: 19 of 20 opens used this minute\n";
    assert!(text.contains(lines), "{text}");
    let json = serde_json::to_value(&unused).unwrap();
    assert_eq!(
        json["limits"][1],
        json!({"part": "widget", "kind": "opens_per_minute", "limit": 20, "used": 19})
    );
    assert_eq!(serde_json::from_value::<Explanation>(json).unwrap(), unused);

    for (class, origin, mode, hint) in [
        (Class::Session, listed, enforce, Some("refused now (limit_opens): widget: 20 of 20 opens")),
        (
            Class::Session,
            listed,
            LimitMode::Monitor,
            Some("let through, because the limits only monitor (limit_opens)"),
        ),
        (Class::Asset, listed, enforce, None),
        (Class::Session, "https://stranger.example", enforce, None),
    ] {
        let told = told(class, origin, mode, vec![widget(20)]);
        let hints: Vec<bool> = told.hints.iter().map(|told| told.contains(hint.unwrap_or("\0"))).collect();
        assert_eq!(hints, vec![true; usize::from(hint.is_some())], "{told}");
        assert_eq!(told.limits.len(), 1);
    }
    let none = serde_json::to_value(ask(&list, listed)).unwrap();
    assert_eq!(none.get("limits"), None);
}
