#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use super::*;
use crate::allowlist::samples::{self, now};
use crate::origin::{OwnOrigin, OwnOrigins, WidgetOrigins};
use crate::widget::Capability;

fn widget(document: Value) -> Widget {
    Widget::parse(document.to_string().as_bytes(), PublicSuffixes::shipped()).unwrap()
}

fn listing(entries: Value) -> Widget {
    widget(json!({"id": "a", "allowed_domains": entries}))
}

fn policy() -> EdgePolicy {
    EdgePolicy { open_allowed: true, ..EdgePolicy::default() }
}

fn findings(widget: &Widget) -> Vec<Finding> {
    lint(widget, &policy(), PublicSuffixes::shipped(), now())
}

fn codes(widget: &Widget) -> Vec<&'static str> {
    findings(widget).iter().map(|finding| finding.code).collect()
}

fn has(widget: &Widget, code: &str) -> bool {
    codes(widget).contains(&code)
}

/// The entries that have this finding.
fn with(entries: Value, code: &str) -> Vec<String> {
    let findings = findings(&listing(entries));
    findings
        .into_iter()
        .filter(|finding| finding.code == code)
        .map(|finding| finding.entry.unwrap())
        .collect()
}

#[test]
fn a_plain_production_list_has_no_findings() {
    let widget = listing(json!([".example.com", "shop.example.org", "192.0.2.7", "capacitor://localhost"]));
    assert_eq!(findings(&widget), []);
}

#[test]
fn an_id_that_no_host_can_have_is_told_where_ids_are_in_hosts() {
    let own = |text: &str| OwnOrigins::from_iter([OwnOrigin::ByWidget(WidgetOrigins::parse(text).unwrap())]);
    let by_host = EdgePolicy { own_origins: own("https://{widget}.chat.example.net"), ..policy() };
    for (id, is_told) in
        [("wgt_a-1", false), ("wgt_A", true), (&"a".repeat(63), false), (&"a".repeat(64), true)]
    {
        let widget = widget(json!({"id": id, "allowed_domains": ["example.com"]}));
        let told = |policy| {
            let findings = lint(&widget, policy, PublicSuffixes::shipped(), now());
            findings.iter().any(|finding| finding.code == "id_not_in_host" && finding.pointer == "/id")
        };
        assert_eq!((told(&by_host), told(&policy())), (is_told, false), "{id}");
    }
}

#[test]
fn unrestricted_widgets_are_flagged_louder_for_production() {
    let row = |document: Value| {
        let findings = findings(&widget(document));
        findings.first().map(|finding| (finding.code, finding.severity, finding.pointer.clone()))
    };
    let flagged = |code, severity, pointer: &str| Some((code, severity, pointer.to_owned()));
    assert_eq!(
        row(json!({"id": "a"})),
        flagged("unrestricted_production", Severity::Error, "/allowed_domains")
    );
    assert_eq!(
        row(json!({"id": "a", "access": "open", "allowed_domains": [".example.com"]})),
        flagged("unrestricted_production", Severity::Error, "/access")
    );
    assert_eq!(
        row(json!({"id": "a", "environment": "staging"})),
        flagged("unrestricted", Severity::Info, "/allowed_domains")
    );
    assert_eq!(row(json!({"id": "a", "access": "enforce"})), None);
    let closed = EdgePolicy { open_allowed: false, ..policy() };
    assert_eq!(lint(&widget(json!({"id": "a"})), &closed, PublicSuffixes::shipped(), now()), []);
}

#[test]
fn one_widget_on_production_and_trial_hosts() {
    for trial in [
        "staging.example.com",
        "app-dev.example.com",
        "*.preview.example.com",
        "pr-*.example.com",
        "x.vercel.app",
    ] {
        assert_eq!(with(json!([".example.org", trial]), "mixed_environments"), [trial]);
        assert!(with(json!([trial]), "mixed_environments").is_empty(), "{trial}");
    }
    assert!(with(json!([".example.org", "localhost"]), "mixed_environments").is_empty());
    let staging =
        json!({"id": "a", "environment": "staging", "allowed_domains": [".example.org", "qa.example.org"]});
    assert!(has(&widget(staging), "mixed_environments"));
}

#[test]
fn words_of_trial_hosts_count_below_the_registrable_domain() {
    let stage = |text: &str| Stage::of(&samples::entry(text), PublicSuffixes::shipped());
    for text in [
        "dev.example.com",
        "qa-2.example.co.uk",
        "a.uat1.example.com",
        "my_sandbox.example.com",
        "*.test.example.com",
    ] {
        assert!(matches!(stage(text), Stage::Staging(_)), "{text}: {:?}", stage(text));
    }
    for text in
        ["preview.example.com", "pr-12.example.com", "pr7.example.com", "pr-*.example.com", "a.netlify.app"]
    {
        assert!(matches!(stage(text), Stage::Preview(_)), "{text}: {:?}", stage(text));
    }
    for text in [
        "staging.com",
        "preview.co.uk",
        "testament.example.com",
        "pr.example.com",
        "pr-agency.example.com",
        "devices.example.com",
        "example.dev",
        "notvercel.app",
        "192.0.2.7",
        "capacitor://localhost",
        "my-*.example.com",
    ] {
        assert_eq!(stage(text), Stage::Production, "{text}");
    }
    assert_eq!(stage("*.localhost:3000"), Stage::Loopback);
}

#[test]
fn loopback_and_previews_do_not_belong_to_production() {
    let entries = json!(["localhost:3000", "[::1]", "pr-*.preview.example.com", "a.example.com"]);
    assert_eq!(with(entries.clone(), "loopback_in_production"), ["localhost:3000", "[::1]"]);
    assert_eq!(with(entries.clone(), "preview_in_production"), ["pr-*.preview.example.com"]);
    let staging = widget(json!({"id": "a", "environment": "staging", "allowed_domains": entries}));
    assert!(!has(&staging, "loopback_in_production") && !has(&staging, "preview_in_production"));
}

#[test]
fn globs_under_a_shared_suffix_are_claimable() {
    let entries = json!(["my-app-*.vercel.app", "pr-*.preview.example.com", "my-app-1.vercel.app"]);
    assert_eq!(with(entries, "claimable_preview"), ["my-app-*.vercel.app"]);
}

#[test]
fn the_apex_and_www_go_together() {
    let gap = |entries| with(entries, "www_apex_gap");
    assert_eq!(gap(json!(["example.com"])), ["example.com"]);
    assert_eq!(gap(json!(["www.example.com"])), ["www.example.com"]);
    assert_eq!(gap(json!(["*.example.com"])), ["*.example.com"]);
    assert_eq!(
        gap(json!(["example.co.uk:8443", "www.example.co.uk"])),
        ["example.co.uk:8443", "www.example.co.uk"]
    );
    for fine in [
        json!(["example.com", "www.example.com"]),
        json!(["example.com", "*.example.com"]),
        json!([".example.com"]),
        json!(["app.example.com"]),
        json!(["*.app.example.com"]),
        json!(["localhost", "192.0.2.7", "capacitor://example.com"]),
        json!(["http://example.com:*", "http://www.example.com"]),
    ] {
        assert!(gap(fine.clone()).is_empty(), "{fine}");
    }
    let expired =
        json!(["example.com", {"pattern": "www.example.com", "expires_at": "2026-01-01T00:00:00Z"}]);
    assert_eq!(gap(expired), ["example.com"]);
    assert!(gap(json!([{"pattern": "example.com", "expires_at": "2026-01-01T00:00:00Z"}])).is_empty());
}

#[test]
fn voice_needs_https() {
    // A document with this is refused when it is read; one that was put together in code is not.
    let mut widget = listing(json!([".example.com", "http://plain.example.org", "http://localhost"]));
    assert!(!has(&widget, "insecure_voice"));
    widget.capabilities.insert(Capability::Voice);
    let found: Vec<_> =
        findings(&widget).into_iter().filter(|finding| finding.code == "insecure_voice").collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].pointer.as_str(), found[0].severity), ("/allowed_domains/1", Severity::Error));
}

#[test]
fn the_trust_center_is_public_in_production() {
    let document = |environment: &str, public: bool| {
        widget(
            json!({"id": "a", "environment": environment, "public_trust_center": public, "access": "enforce"}),
        )
    };
    assert_eq!(codes(&document("production", false)), ["trust_center_private"]);
    assert!(codes(&document("production", true)).is_empty());
    assert!(codes(&document("staging", false)).is_empty());
}

#[test]
fn ipv6_cannot_be_framed() {
    assert_eq!(with(json!(["[2001:db8::1]", "192.0.2.7"]), "ip_not_frameable"), ["[2001:db8::1]"]);
}

#[test]
fn an_expiry_is_told_two_weeks_ahead() {
    let at = |seconds: i64| Widget {
        allowed_domains: vec![samples::expiring(".example.com", seconds)],
        ..listing(json!([]))
    };
    let day = 24 * 60 * 60;
    assert_eq!(codes(&at(14 * day)), ["expiring_entry"]);
    assert!(codes(&at(14 * day + 1)).is_empty());
    let told = |seconds: i64| findings(&at(seconds)).remove(0).detail;
    assert!(told(day).starts_with("expires at 2026-11-06T12:00:00Z"), "{}", told(day));
    assert!(told(0).starts_with("expired at 2026-11-05T12:00:00Z"), "{}", told(0));
}

#[test]
fn entries_that_another_covers_are_shadowed() {
    let shadowed = |entries| with(entries, "shadowed_entry");
    let covered = [
        ("*.example.com", "www.example.com"),
        ("*.example.com", "*.a.example.com"),
        ("*.example.com", ".a.example.com"),
        ("*.example.com", "pr-*.example.com"),
        (".example.com", "*.example.com"),
        (".example.com", "example.com"),
        ("example.com:*", "example.com:8443"),
        ("example.com:*", "https://example.com"),
        ("pr-*.example.com", "pr-1*.example.com"),
        ("pr-*.example.com", "pr-1.example.com"),
        ("pr-*.example.com", "pr-*-x.example.com"),
        ("localhost", "http://localhost:3000"),
        ("localhost", "http://localhost"),
        ("*.localhost", "https://a.localhost"),
        ("127.0.0.1", "127.0.0.1:3000"),
        ("[::1]", "https://[::1]"),
    ];
    for (wider, narrower) in covered {
        assert_eq!(shadowed(json!([wider, narrower])), [narrower], "{wider} {narrower}");
        assert_eq!(shadowed(json!([narrower, wider])), [narrower], "{narrower} {wider}");
    }
    let apart = [
        ("*.example.com", "example.com"),
        ("*.example.com", "www.example.com:8443"),
        ("*.example.com", "http://www.example.com"),
        ("example.com:8443", "example.com"),
        ("*.example.com", "a.evilexample.com"),
        ("pr-*.example.com", "a.pr-1.example.com"),
        ("pr-*.example.com", "pr-1.b.example.com"),
        ("pr-*.example.com", "pr-.example.com"),
        ("pr-*-x.example.com", "pr-1*.example.com"),
        ("localhost", "capacitor://localhost"),
        ("http://localhost", "https://localhost"),
    ];
    for (one, other) in apart {
        assert!(shadowed(json!([one, other])).is_empty(), "{one} {other}");
        assert!(shadowed(json!([other, one])).is_empty(), "{other} {one}");
    }
}

#[test]
fn an_entry_shadows_for_as_long_as_it_lives() {
    let at = |text: &str, expires_at: &str| json!({"pattern": text, "expires_at": expires_at});
    let shadowed = |entries| with(entries, "shadowed_entry");
    let (past, soon, late) = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z");
    assert!(shadowed(json!([at(".example.com", past), "www.example.com"])).is_empty());
    assert!(shadowed(json!([at(".example.com", soon), "www.example.com"])).is_empty());
    assert!(shadowed(json!([at(".example.com", soon), at("www.example.com", late)])).is_empty());
    assert_eq!(shadowed(json!([at(".example.com", late), at("www.example.com", soon)])), ["www.example.com"]);
    assert!(shadowed(json!([".example.com", at("www.example.com", past)])).is_empty());
}

#[test]
fn a_finding_names_its_place_and_reads_well() {
    let found = findings(&listing(json!([".example.com", "localhost"])));
    assert_eq!(found[0].pointer, "/allowed_domains/1");
    assert!(
        found[0].to_string().starts_with("warning loopback_in_production /allowed_domains/1: any program")
    );
    assert_eq!(serde_json::to_value(&found[0]).unwrap()["severity"], "warning");
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    /// Whatever a shadowed entry admits, the entry that shadows it admits too.
    #[test]
    fn shadows_admit_all_that_the_shadowed_do(
        rules in samples::rules(2..20),
        origins in prop::collection::vec(samples::origin(), 20),
    ) {
        let shadows = AllowlistBuf::compile(&rules).as_allowlist().shadows(now());
        prop_assert_eq!(shadows.len(), rules.len());
        for (index, by) in shadows.into_iter().enumerate().filter_map(|(index, by)| Some((index, by?))) {
            for origin in &origins {
                let origin = origin.as_origin();
                prop_assert!(!rules[index].entry.admits(origin) || rules[by].entry.admits(origin),
                    "{} by {} at {origin}", rules[index].entry, rules[by].entry);
            }
        }
    }
}

/// The site that a widget's list is told to lack, a save takes, and then the list lacks it no more.
#[test]
fn what_a_finding_advises_a_save_takes() {
    for list in [
        r#"["example.com"]"#,
        r#"["www.example.com"]"#,
        r#"["*.example.com"]"#,
        r#"["http://example.com:8080", "*.example.org:8443", "www.example.co.uk:*"]"#,
        r#"["example.github.io", "xn--mnchen-3ya.de"]"#,
    ] {
        let document = |list: &str| format!(r#"{{"id":"w","allowed_domains":{list}}}"#);
        let parse = |list: &str| Widget::parse(document(list).as_bytes(), PublicSuffixes::shipped()).unwrap();
        let gaps = |widget: &Widget| -> Vec<String> {
            let found = lint(widget, &EdgePolicy::default(), PublicSuffixes::shipped(), now());
            let gaps = found.into_iter().filter(|finding| finding.code == "www_apex_gap");
            gaps.map(|finding| finding.detail.split('`').nth(3).unwrap().to_owned()).collect()
        };
        let mut lines: Vec<String> = serde_json::from_str(list).unwrap();
        let advised = gaps(&parse(list));
        assert!(!advised.is_empty(), "{list}");
        lines.extend(advised);
        assert_eq!(gaps(&parse(&serde_json::to_string(&lines).unwrap())), Vec::<String>::new(), "{lines:?}");
    }
}

/// The findings about limits: their code, severity and place.
fn of_limits(limits: Value) -> Vec<(&'static str, Severity, String)> {
    let widget = widget(json!({"id": "a", "allowed_domains": [".example.com"], "limits": limits}));
    findings(&widget).into_iter().map(|found| (found.code, found.severity, found.pointer)).collect()
}

#[test]
fn limits_that_one_client_can_use_up_are_told() {
    let without = |pointer: &str| vec![("limit_without_address", Severity::Warning, pointer.to_owned())];
    for (limits, pointer, missing) in [
        (json!({"widget": {"sessions": 9}}), "/limits", "`sessions`"),
        (json!({"embedder": {"opens_per_day": 9}, "mode": "monitor"}), "/limits", "`opens_per_minute`"),
        (
            json!({"embedder": {"sessions": 9}, "widget": {"opens_per_minute": 90}}),
            "/limits",
            "`sessions` and `opens_per_minute`",
        ),
        (
            json!({"widget": {"sessions": 9, "opens_per_day": 900}, "address": {"opens_per_minute": 2}}),
            "/limits/address",
            "`sessions`",
        ),
        (
            json!({"widget": {"sessions": 9, "opens_per_day": 900}, "address": {"sessions": 2}}),
            "/limits/address",
            "`opens_per_minute`",
        ),
    ] {
        assert_eq!(of_limits(limits.clone()), without(pointer), "{limits}");
        let widget = widget(json!({"id": "a", "allowed_domains": [".example.com"], "limits": limits}));
        let detail = &findings(&widget)[0].detail;
        assert!(detail.ends_with(&format!("give it {missing}")), "{detail}");
    }
    for limits in [
        json!({}),
        json!({"mode": "monitor"}),
        json!({"address": {"sessions": 5}}),
        json!({"widget": {"sessions": 500, "opens_per_minute": 600, "opens_per_day": 50_000},
               "embedder": {"opens_per_minute": 300}, "address": {"sessions": 5, "opens_per_minute": 20}}),
        json!({"widget": {"opens_per_minute": 600}, "address": {"opens_per_day": 20}}),
    ] {
        assert_eq!(of_limits(limits.clone()), [], "{limits}");
    }
}

#[test]
fn limits_that_can_not_be_reached_are_told() {
    let out = |pointer: &str| ("limit_out_of_reach", Severity::Info, pointer.to_owned());
    for (limits, expected) in [
        (
            json!({"widget": {"sessions": 50}, "embedder": {"sessions": 50}, "address": {"sessions": 51}}),
            vec![out("/limits/embedder/sessions"), out("/limits/address/sessions")],
        ),
        (
            json!({"widget": {"sessions": 50}, "embedder": {"sessions": 49}, "address": {"sessions": 49}}),
            vec![],
        ),
        // An address counts at all embedders, so it can get beyond the limit of one.
        (json!({"embedder": {"sessions": 5}, "address": {"sessions": 9}}), vec![]),
        (
            json!({"address": {"opens_per_minute": 20, "opens_per_day": 20}}),
            vec![out("/limits/address/opens_per_minute")],
        ),
        (json!({"address": {"opens_per_minute": 20, "opens_per_day": 21}}), vec![]),
    ] {
        assert_eq!(of_limits(limits.clone()), expected, "{limits}");
    }
}
