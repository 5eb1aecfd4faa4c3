#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::suffix::PublicSuffixes;

fn parse(document: &Value) -> Result<Widget, Vec<DocumentFault>> {
    parse_text(&document.to_string())
}

fn parse_text(text: &str) -> Result<Widget, Vec<DocumentFault>> {
    Widget::parse(text.as_bytes(), PublicSuffixes::shipped())
}

/// The one fault of a document: its pointer and code.
fn fault(document: &Value) -> (String, &'static str) {
    let faults = parse(document).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    (faults[0].pointer.clone(), faults[0].code)
}

fn at(pointer: &str, code: &'static str) -> (String, &'static str) {
    (pointer.to_owned(), code)
}

#[test]
fn a_whole_document_reads_and_writes_its_canonical_form() {
    let widget = parse(&json!({
        "id": "wgt_demo", "environment": "staging", "access": "monitor", "enabled": false,
        "allowed_domains": ["EXAMPLE.com:443", "*.Example.org",
            {"pattern": "https://pr-*.preview.example.com", "expires_at": "2027-01-31T01:00:00+01:00", "note": "launch"},
            {"pattern": "münchen.example"}],
        "capabilities": ["voice", "chat", "voice"], "public_trust_center": false,
        "labels": {"team": "growth"}, "revision": 7
    }))
    .unwrap();
    let canonical = json!({
        "id": "wgt_demo", "environment": "staging", "access": "monitor", "enabled": false,
        "allowed_domains": ["example.com", "*.example.org",
            {"pattern": "https://pr-*.preview.example.com", "expires_at": "2027-01-31T00:00:00Z", "note": "launch"},
            "xn--mnchen-3ya.example"],
        "capabilities": ["chat", "voice"], "public_trust_center": false,
        "labels": {"team": "growth"}, "revision": 7
    });
    assert_eq!(widget.to_json(), canonical);
    assert_eq!(parse(&canonical).unwrap(), widget);
    assert!(
        serde_json::to_string(&widget)
            .unwrap()
            .starts_with(r#"{"id":"wgt_demo","environment":"staging","access""#)
    );
}

#[test]
fn only_the_id_is_required() {
    let widget = parse(&json!({"id": "a"})).unwrap();
    assert_eq!(
        widget.to_json(),
        json!({"id": "a", "environment": "production", "enabled": true, "allowed_domains": [],
               "capabilities": [], "public_trust_center": true, "labels": {}})
    );
    assert_eq!(fault(&json!({})), at("", "missing_field"));
}

#[test]
fn ids_keep_their_grammar() {
    for id in ["a", "A-Z_09", &"x".repeat(64)] {
        assert_eq!(WidgetId::parse(id).unwrap().as_str(), id);
    }
    for id in ["", "a b", "a.b", "ä", "a/b", &"x".repeat(65)] {
        assert_eq!(WidgetId::parse(id), Err(WidgetIdError));
        assert_eq!(fault(&json!({"id": id})), at("/id", "invalid_id"));
    }
}

#[test]
fn access_follows_from_the_list_unless_it_is_stated() {
    let access = |document: Value| parse(&document).unwrap().effective_access();
    assert_eq!(access(json!({"id": "a"})), Access::Open);
    assert_eq!(access(json!({"id": "a", "allowed_domains": ["example.com"]})), Access::Enforce);
    assert_eq!(access(json!({"id": "a", "access": "enforce"})), Access::Enforce);
    assert_eq!(
        access(json!({"id": "a", "access": "open", "allowed_domains": ["example.com"]})),
        Access::Open
    );
    assert_eq!(access(json!({"id": "a", "access": "monitor"})), Access::Monitor);
}

#[test]
fn faults_of_the_shape_name_the_place() {
    let entry = |entry: Value| json!({"id": "a", "allowed_domains": ["example.com", entry]});
    let rows = [
        (json!({"id": "a", "acess": "open"}), "/acess", "unknown_field"),
        (json!({"id": "a", "a/b~": 1}), "/a~1b~0", "unknown_field"),
        (json!({"id": 5}), "/id", "invalid_type"),
        (json!({"id": "a", "access": "closed"}), "/access", "unknown_value"),
        (json!({"id": "a", "environment": "Production"}), "/environment", "unknown_value"),
        (json!({"id": "a", "enabled": "yes"}), "/enabled", "invalid_type"),
        (json!({"id": "a", "revision": -1}), "/revision", "invalid_value"),
        (json!({"id": "a", "revision": 1.5}), "/revision", "invalid_type"),
        (json!({"id": "a", "capabilities": ["chat", "video"]}), "/capabilities/1", "unknown_value"),
        (json!({"id": "a", "labels": {"team": 5}}), "/labels/team", "invalid_type"),
        (json!({"id": "a", "allowed_domains": "example.com"}), "/allowed_domains", "invalid_type"),
        (entry(json!(5)), "/allowed_domains/1", "invalid_type"),
        (entry(json!(["example.org"])), "/allowed_domains/1", "invalid_type"),
        (entry(json!({"note": "x"})), "/allowed_domains/1", "missing_field"),
        (
            entry(json!({"pattern": "example.org", "expires": "x"})),
            "/allowed_domains/1/expires",
            "unknown_field",
        ),
        (entry(json!({"pattern": "example.org", "note": 5})), "/allowed_domains/1/note", "invalid_type"),
        (json!([]), "", "invalid_type"),
        (json!(["a", "production"]), "", "invalid_type"),
        (json!("a"), "", "invalid_type"),
    ];
    for (document, pointer, code) in rows {
        assert_eq!(fault(&document), at(pointer, code), "{document}");
    }
}

/// The faults of a document: their pointers and codes.
fn faults(text: &str) -> Vec<(String, &'static str)> {
    parse_text(text).unwrap_err().into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

#[test]
fn every_fault_of_a_document_is_told_at_once() {
    let document = json!({
        "acess": "open", "enabled": "yes", "environment": "live", "revision": -1, "labels": {"a": 1, "b": "2", "c": null},
        "capabilities": ["chat", "video", 7, "voice"], "public_trust_center": 1, "colour": {"id": 5},
        "allowed_domains": ["*", 5, {"pattern": 7, "note": true, "expires": "x"}, {"note": "x"}, "http://plain.example",
            {"pattern": "example.com/app", "expires_at": "tomorrow"}, ["x"], "example.com", "example.com"],
    });
    let expected = [
        at("/acess", "unknown_field"),
        at("/enabled", "invalid_type"),
        at("/environment", "unknown_value"),
        at("/revision", "invalid_value"),
        at("/labels/a", "invalid_type"),
        at("/labels/c", "invalid_type"),
        at("/capabilities/1", "unknown_value"),
        at("/capabilities/2", "invalid_type"),
        at("/public_trust_center", "invalid_type"),
        at("/colour", "unknown_field"),
        at("/allowed_domains/1", "invalid_type"),
        at("/allowed_domains/2/pattern", "invalid_type"),
        at("/allowed_domains/2/note", "invalid_type"),
        at("/allowed_domains/2/expires", "unknown_field"),
        at("/allowed_domains/3", "missing_field"),
        at("/allowed_domains/6", "invalid_type"),
        at("", "missing_field"),
        at("/allowed_domains/0", "star_alone"),
        at("/allowed_domains/4", "insecure_voice"),
        at("/allowed_domains/5/pattern", "path"),
        at("/allowed_domains/5/expires_at", "invalid_expires_at"),
        at("/allowed_domains/8", "duplicate_entry"),
    ];
    let found = faults(&document.to_string());
    assert_eq!(found, expected);
    let details: Vec<String> = parse(&document).unwrap_err().into_iter().map(|fault| fault.detail).collect();
    assert!(details[0].ends_with("did you mean `access`?"), "{}", details[0]);
    assert!(details[13].ends_with("did you mean `expires_at`?"), "{}", details[13]);
    assert!(details.iter().all(|detail| !detail.contains("column")), "{details:?}");
}

#[test]
fn faults_of_values_are_told_beside_those_of_the_shape() {
    let found = faults(r#"{"id": "no id", "acess": 1, "revision": 9007199253692417, "acess": 2}"#);
    let expected = [
        at("/acess", "duplicate_field"),
        at("/acess", "unknown_field"),
        at("/id", "invalid_id"),
        at("/revision", "invalid_revision"),
    ];
    assert_eq!(found, expected);
    // What can't be read as JSON has no other faults.
    assert_eq!(faults(r#"{"acess": 1, "id": }"#), [at("", "invalid_json")]);
    assert_eq!(faults(r#"{"acess": 1, "id": "\ud800"}"#).len(), 2);
}

#[test]
fn a_document_of_another_kind_gets_a_hundred_faults() {
    let members: Vec<String> = (0..500).map(|number| format!("\"x{number}\": 1")).collect();
    let found = faults(&format!("{{\"id\": \"no id\", {}}}", members.join(", ")));
    assert_eq!(found.len(), 102);
    assert_eq!((&found[99], &found[100]), (&at("/x99", "unknown_field"), &at("", "more_faults")));
    assert_eq!(found[101], at("/id", "invalid_id"));
}

/// One fault by itself is the same as the library says of the whole document.
#[test]
fn a_fault_alone_is_what_the_whole_document_says() {
    for document in [
        json!({"id": "a", "labels": {"a/b~": 5}}),
        json!({"id": "a", "labels": ["x"]}),
        json!({"id": "a", "capabilities": "voice"}),
        json!({"id": "a", "capabilities": ["chat", {"voice": 1}]}),
        json!({"id": "a", "allowed_domains": {"a.example": 1}}),
        json!({"id": "a", "allowed_domains": ["a.example", {"pattern": "b.example", "expires_at": 5}]}),
        json!({"id": "a", "": 1}),
        json!({"id": null}),
        json!({"id": "a", "access": {"open": null, "x": 1}}),
        json!({"id": "a", "allowed_domains": null}),
    ] {
        let text = document.to_string();
        let faults = parse_text(&text).unwrap_err();
        assert_eq!(faults, [parse::first_fault(text.as_bytes()).unwrap()], "{text}");
    }
}

#[test]
fn a_key_may_come_once() {
    let rows = [
        (r#"{"id": "a", "id": "b"}"#, "/id"),
        (r#"{"id": "a", "labels": {"labels": "1", "x`": "", "labels": "2"}}"#, "/labels/labels"),
        (r#"{"id": "a", "labels": {"x`y": "1", "x`y": "2"}}"#, "/labels/x`y"),
        (r#"{"id": "a", "labels": {}, "labels": {}}"#, "/labels"),
        (
            r#"{"id": "a", "allowed_domains": [{"pattern": "a.example", "pattern": "b.example"}]}"#,
            "/allowed_domains/0/pattern",
        ),
    ];
    for (text, pointer) in rows {
        let faults = parse_text(text).unwrap_err();
        assert_eq!((faults[0].pointer.as_str(), faults[0].code), (pointer, "duplicate_field"), "{faults:?}");
    }
}

#[test]
fn an_unknown_field_is_told_the_known_one_nearby() {
    let detail = |field: &str| parse(&json!({"id": "a", field: 1})).unwrap_err()[0].detail.clone();
    assert!(
        detail("allowed_domain").ends_with("did you mean `allowed_domains`?"),
        "{}",
        detail("allowed_domain")
    );
    assert!(detail("allowedDomains").ends_with("did you mean `allowed_domains`?"));
    assert!(detail("Enabled").ends_with("did you mean `enabled`?"));
    assert!(!detail("colour").contains("did you mean"), "{}", detail("colour"));
    assert!(detail("colour").contains("expected one of `id`, `environment`"));
    assert!(!detail("colour").contains("line"), "{}", detail("colour"));
}

#[test]
fn what_is_no_json_says_where() {
    for text in ["", "{\"id\": \"a\"", "{\"id\": \"a\",}", "{\"id\": \"a\"} x", "\u{feff}{\"id\": \"a\"}"] {
        let faults = parse_text(text).unwrap_err();
        assert_eq!((faults[0].pointer.as_str(), faults[0].code), ("", "invalid_json"), "{text}");
        assert!(faults[0].detail.contains("line 1"), "{}", faults[0].detail);
    }
    assert_eq!(
        Widget::parse(b"{\"id\": \"\xff\"}", PublicSuffixes::shipped()).unwrap_err()[0].code,
        "invalid_json"
    );
}

#[test]
fn every_bad_entry_is_named_at_once() {
    let document = json!({
        "id": "no id", "capabilities": ["voice"],
        "allowed_domains": [
            "https://example.com/app",
            {"pattern": "*", "expires_at": "tomorrow"},
            "example.com",
            "http://plain.example",
            {"pattern": "HTTPS://Example.com:443", "note": "again"},
            "*.co.uk",
            "http://localhost:3000"
        ]
    });
    let faults = parse(&document).unwrap_err();
    let found: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
    let expected = [
        ("/id", "invalid_id"),
        ("/allowed_domains/0", "path"),
        ("/allowed_domains/1/pattern", "star_alone"),
        ("/allowed_domains/1/expires_at", "invalid_expires_at"),
        ("/allowed_domains/3", "insecure_voice"),
        ("/allowed_domains/4/pattern", "duplicate_entry"),
        ("/allowed_domains/5", "public_suffix"),
    ];
    assert_eq!(found, expected);
    let detail = |index: usize| faults[index].detail.as_str();
    assert_eq!(detail(1), "rules compare origins, which have no path; use `https://example.com`");
    assert!(detail(4).contains("list `plain.example`"), "{}", detail(4));
    assert!(detail(5).contains("/allowed_domains/2"), "{}", detail(5));
    assert_eq!(faults[1].to_string(), format!("/allowed_domains/0: {} (path)", detail(1)));
}

#[test]
fn plain_http_is_refused_with_voice_only() {
    let document = |capability: &str| {
        json!({"id": "a", "capabilities": [capability],
               "allowed_domains": ["http://example.com", "http://127.0.0.1", "localhost:3000"]})
    };
    assert_eq!(fault(&document("voice")), at("/allowed_domains/0", "insecure_voice"));
    assert!(parse(&document("chat")).is_ok());
}

#[test]
fn expiry_is_a_date_and_time_of_rfc_3339() {
    let expires_at = |text: &str| {
        let document =
            json!({"id": "a", "allowed_domains": [{"pattern": "example.com", "expires_at": text}]});
        parse(&document).map(|widget| widget.allowed_domains[0].expires_at.unwrap().to_string())
    };
    for (text, canonical) in [
        ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"),
        ("2027-01-31t01:30:00.5+01:30", "2027-01-31T00:00:00.5Z"),
        ("2027-01-31T00:00:00-00:00", "2027-01-31T00:00:00Z"),
    ] {
        assert_eq!(expires_at(text).as_deref(), Ok(canonical), "{text}");
    }
    for text in [
        "",
        "2027-01-31",
        "2027-01-31T00:00:00",
        "2027-01-31T00:00Z",
        "2027-01-31 00:00:00Z",
        "20270131T000000Z",
        "2027-02-30T00:00:00Z",
        "2027-01-31T00:00:00.Z",
        "2027-01-31T00:00:00+01",
        "2027-01-31T00:00:00+01:00[Europe/Berlin]",
        "2027-01-31T24:00:00Z",
        "tomorrow",
    ] {
        let faults = expires_at(text).unwrap_err();
        assert_eq!(faults[0].code, "invalid_expires_at", "{text}");
    }
}

#[test]
fn a_document_has_its_limits() {
    let entries = |count: usize| -> Value {
        let list: Vec<String> = (0..count).map(|number| format!("s{number}.example")).collect();
        json!({"id": "a", "allowed_domains": list})
    };
    assert!(parse(&entries(MAX_ENTRIES)).is_ok());
    assert_eq!(fault(&entries(MAX_ENTRIES + 1)), at("/allowed_domains", "too_many_entries"));
    let padded = |length: usize| {
        let text = r#"{"id": "a"}"#;
        format!("{text}{}", " ".repeat(length - text.len()))
    };
    assert!(parse_text(&padded(MAX_DOCUMENT_BYTES)).is_ok());
    let faults = parse_text(&padded(MAX_DOCUMENT_BYTES + 1)).unwrap_err();
    assert_eq!((faults[0].pointer.as_str(), faults[0].code), ("", "document_too_large"));
}

#[test]
fn revisions_do_not_make_another_document() {
    let document = |revision: u64, enabled: bool| {
        parse(&json!({"id": "a", "revision": revision, "enabled": enabled})).unwrap()
    };
    assert!(document(1, true).same_document(&document(2, true)));
    assert!(!document(1, true).same_document(&document(1, false)));
}

#[test]
fn compiled_rules_say_what_the_document_says() {
    let widget =
        parse(&json!({"id": "a", "environment": "staging", "capabilities": ["voice"], "revision": 3,
                               "allowed_domains": ["example.com", "*.example.org"]}))
        .unwrap();
    let rules = widget.compile();
    let rules = rules.as_rules();
    assert_eq!((rules.environment, rules.access), (Environment::Staging, Access::Enforce));
    assert_eq!(
        (rules.enabled, rules.voice, rules.public_trust_center, rules.revision),
        (true, true, true, 3)
    );
    assert_eq!(rules.allowlist.len(), 2);
    assert_eq!(rules.allowlist.entry(1).unwrap().to_string(), "*.example.org");
    assert_eq!(parse(&json!({"id": "a"})).unwrap().compile().as_rules().revision, 0);
}

#[test]
fn a_revision_has_an_upper_end() {
    let document = |revision: &str| format!(r#"{{"id":"a","revision":{revision}}}"#);
    let parse = |revision: &str| Widget::parse(document(revision).as_bytes(), PublicSuffixes::shipped());
    assert_eq!(parse("9007199253692416").unwrap().revision, Some(MAX_REVISION));
    for (revision, code) in [
        ("9007199253692417", "invalid_revision"),
        ("18446744073709551615", "invalid_revision"),
        ("18446744073709551616", "invalid_type"),
        ("-1", "invalid_value"),
    ] {
        let faults = parse(revision).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
        assert_eq!(told, [("/revision", code)], "{revision}");
    }
}

/// Every entry in back-quotes that a fault advises is one that a save takes in place of the one that it is about.
#[test]
fn what_a_fault_advises_a_save_takes() {
    for (voice, list, place, advised) in [
        (false, r#"["https://example.com/app"]"#, 0, "https://example.com"),
        (false, r#"[" a.example "]"#, 0, "a.example"),
        (false, r#"["http://127.1:80"]"#, 0, "http://127.0.0.1:80"),
        (true, r#"["http://example.com/app"]"#, 0, "example.com"),
        (true, r#"["http://example.com:8080"]"#, 0, "example.com"),
        (true, r#"["http://*.example.com"]"#, 0, "*.example.com"),
        (true, r#"["https://a.example", "http://[2001:db8::1]:8080"]"#, 1, "[2001:db8::1]"),
    ] {
        let capabilities = if voice { r#"["voice"]"# } else { "[]" };
        let document =
            |list: &str| format!(r#"{{"id":"w","capabilities":{capabilities},"allowed_domains":{list}}}"#);
        let parse = |list: &str| Widget::parse(document(list).as_bytes(), PublicSuffixes::shipped());
        let faults = parse(list).unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{list}: {faults:?}") };
        assert!(fault.detail.contains(&format!("`{advised}`")), "{list}: {fault}");
        let mut lines: Vec<serde_json::Value> = serde_json::from_str(list).unwrap();
        lines[place] = advised.into();
        let mended = serde_json::to_string(&lines).unwrap();
        assert!(parse(&mended).is_ok(), "{mended}: {:?}", parse(&mended));
    }
    // What is listed already is not to be listed again.
    let both =
        br#"{"id":"w","capabilities":["voice"],"allowed_domains":["example.com","http://example.com"]}"#;
    let faults = Widget::parse(both, PublicSuffixes::shipped()).unwrap_err();
    assert!(
        faults[0].detail.contains("leave this entry out") && !faults[0].detail.contains("and list"),
        "{faults:?}"
    );
}
