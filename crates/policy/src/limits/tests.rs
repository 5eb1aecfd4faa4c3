#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::compiled::WidgetRules;
use crate::suffix::PublicSuffixes;
use crate::widget::{DocumentFault, Widget};

fn parse(text: &str) -> Result<Widget, Vec<DocumentFault>> {
    Widget::parse(text.as_bytes(), PublicSuffixes::shipped())
}

/// A document with these limits, as text.
fn document(limits: &str) -> String {
    format!(r#"{{"id":"a","allowed_domains":["example.com"],"limits":{limits}}}"#)
}

fn with(limits: &Value) -> Widget {
    parse(&document(&limits.to_string())).unwrap()
}

fn part(sessions: u32, opens_per_minute: u32, opens_per_day: u32) -> PartLimits {
    PartLimits {
        sessions: NonZeroU32::new(sessions),
        opens_per_minute: NonZeroU32::new(opens_per_minute),
        opens_per_day: NonZeroU32::new(opens_per_day),
    }
}

#[test]
fn limits_are_read_and_written_as_they_are() {
    let limits = json!({ "mode": "monitor",
        "widget": { "sessions": 500, "opens_per_minute": 600, "opens_per_day": 50_000 },
        "embedder": { "opens_per_minute": 300 }, "address": { "sessions": 5, "opens_per_minute": 20 } });
    let widget = with(&limits);
    let expected = Limits {
        mode: LimitMode::Monitor,
        widget: part(500, 600, 50_000),
        embedder: part(0, 300, 0),
        address: part(5, 20, 0),
    };
    assert_eq!(widget.limits, expected);
    assert_eq!(widget.to_json()["limits"].to_string(), limits.to_string(), "in this order");
    for (kind, limit) in LimitKind::ALL.into_iter().zip([500, 600, 50_000]) {
        assert_eq!(widget.limits.of(LimitPart::Widget).of(kind).map(NonZeroU32::get), Some(limit), "{kind}");
    }
    let most = with(&json!({ "address": { "opens_per_day": u32::MAX } }));
    assert_eq!(most.limits.address, part(0, 0, u32::MAX));
}

#[test]
fn what_limits_nothing_is_left_out() {
    let without = parse(r#"{"id":"a","allowed_domains":["example.com"]}"#).unwrap();
    assert_eq!(without.to_json().get("limits"), None);
    for nothing in [
        json!(null),
        json!({}),
        json!({ "mode": "enforce" }),
        json!({ "mode": null, "widget": null }),
        json!({ "widget": {}, "embedder": { "sessions": null }, "address": {} }),
    ] {
        let widget = with(&nothing);
        assert_eq!(widget, without, "{nothing}");
        assert!(widget.same_document(&without), "{nothing}");
        assert_eq!(widget.compile(), without.compile(), "{nothing}");
        assert_eq!(widget.to_json(), without.to_json(), "{nothing}");
    }
    // A mode is kept for the limits that are added next, and limits nothing.
    let monitor = with(&json!({ "mode": "monitor" }));
    assert_eq!(monitor.to_json()["limits"], json!({ "mode": "monitor" }));
    assert!(!monitor.same_document(&without) && monitor.limits.is_empty());
    assert_eq!(monitor.compile().as_rules().limits, None);
    let some = with(&json!({ "address": { "sessions": 5 }, "widget": {} }));
    assert_eq!(some.to_json()["limits"], json!({ "address": { "sessions": 5 } }));
    assert!(!some.same_document(&without));
}

#[test]
fn wrong_limits_are_told_with_their_place() {
    let number = "expected a whole number from 1 to 4294967295";
    for (limits, pointer, code, detail) in [
        (r#"{"widget":{"sessions":0}}"#, "/limits/widget/sessions", "invalid_value", number),
        (
            r#"{"widget":{"sessions":0}}"#,
            "/limits/widget/sessions",
            "invalid_value",
            "set `enabled` to false",
        ),
        (r#"{"widget":{"sessions":-1}}"#, "/limits/widget/sessions", "invalid_value", number),
        (
            r#"{"embedder":{"opens_per_day":4294967296}}"#,
            "/limits/embedder/opens_per_day",
            "invalid_value",
            number,
        ),
        (
            r#"{"embedder":{"opens_per_day":99999999999999999999}}"#,
            "/limits/embedder/opens_per_day",
            "invalid_type",
            number,
        ),
        (
            r#"{"address":{"opens_per_minute":1.5}}"#,
            "/limits/address/opens_per_minute",
            "invalid_type",
            number,
        ),
        (
            r#"{"address":{"opens_per_minute":"20"}}"#,
            "/limits/address/opens_per_minute",
            "invalid_type",
            number,
        ),
        (
            r#"{"address":{"opens_per_minute":true}}"#,
            "/limits/address/opens_per_minute",
            "invalid_type",
            number,
        ),
        (
            r#"{"address":{"opens_per_minute":[20]}}"#,
            "/limits/address/opens_per_minute",
            "invalid_type",
            number,
        ),
        (r#"{"adress":{"sessions":1}}"#, "/limits/adress", "unknown_field", "did you mean `address`?"),
        (
            r#"{"sessions":1}"#,
            "/limits/sessions",
            "unknown_field",
            "expected one of `mode`, `widget`, `embedder`, `address`",
        ),
        (
            r#"{"address":{"session":1}}"#,
            "/limits/address/session",
            "unknown_field",
            "did you mean `sessions`?",
        ),
        (
            r#"{"address":{"opens-per-minute":1}}"#,
            "/limits/address/opens-per-minute",
            "unknown_field",
            "did you mean `opens_per_minute`?",
        ),
        (r#"{"mode":"off"}"#, "/limits/mode", "unknown_value", "expected `enforce` or `monitor`"),
        (r#"{"mode":1}"#, "/limits/mode", "invalid_type", "expected \"enforce\" or \"monitor\""),
        (r#"{"widget":5}"#, "/limits/widget", "invalid_type", "expected an object with limits"),
        (r#"{"widget":[5,6,7]}"#, "/limits/widget", "invalid_type", "expected an object with limits"),
        ("5", "/limits", "invalid_type", "expected an object with `widget`, `embedder` or `address`"),
        (
            r#"["monitor"]"#,
            "/limits",
            "invalid_type",
            "expected an object with `widget`, `embedder` or `address`",
        ),
        (r#"{"widget":{"sessions":1,"sessions":2}}"#, "/limits/widget/sessions", "duplicate_field", ""),
        (r#"{"widget":{},"widget":{}}"#, "/limits/widget", "duplicate_field", ""),
    ] {
        let faults = parse(&document(limits)).unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{limits}: {faults:?}") };
        assert_eq!((fault.pointer.as_str(), fault.code), (pointer, code), "{limits}: {fault}");
        assert!(fault.detail.contains(detail) && !fault.detail.contains("column"), "{limits}: {fault}");
    }
}

#[test]
fn every_fault_of_the_limits_is_told_at_once() {
    let text = document(
        r#"{"mode":"off","widgets":{},"widget":{"sessions":0,"opens":7,"opens_per_day":9},
            "embedder":[],"address":{"sessions":"5","opens_per_minute":1.5},"a/b":1}"#,
    );
    let faults = parse(&text.replace("example.com", "*")).unwrap_err();
    let found: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
    let expected = [
        ("/limits/mode", "unknown_value"),
        ("/limits/widgets", "unknown_field"),
        ("/limits/widget/sessions", "invalid_value"),
        ("/limits/widget/opens", "unknown_field"),
        ("/limits/embedder", "invalid_type"),
        ("/limits/address/sessions", "invalid_type"),
        ("/limits/address/opens_per_minute", "invalid_type"),
        ("/limits/a~1b", "unknown_field"),
        ("/allowed_domains/0", "star_alone"),
    ];
    assert_eq!(found, expected);
}

fn any_part() -> impl Strategy<Value = PartLimits> {
    let number = || {
        prop_oneof![
            2 => Just(0),
            2 => select(vec![1, 127, 128, 16_383, 16_384, u32::MAX - 1, u32::MAX]),
            2 => any::<u32>(),
        ]
    };
    (number(), number(), number()).prop_map(|(sessions, minute, day)| part(sessions, minute, day))
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (select(LimitMode::ALL.to_vec()), any_part(), any_part(), any_part())
        .prop_map(|(mode, widget, embedder, address)| Limits { mode, widget, embedder, address })
}

proptest! {
    #[test]
    fn what_is_packed_is_read(limits in any_limits(), revision: u64, rest: Vec<u8>) {
        let packed = limits.pack();
        prop_assert_eq!(PackedLimits(&packed).read(), limits);
        prop_assert_eq!(packed.len(), 1 + 9 * size_of::<u32>());

        let widget = Widget { limits, revision: Some(revision), ..parse(r#"{"id":"a"}"#).unwrap() }.compile();
        let rules = widget.as_rules();
        prop_assert_eq!(rules.limits.map(PackedLimits::read), (!limits.is_empty()).then_some(limits));
        let mut terms = Vec::new();
        rules.write_terms(&mut terms);
        for cut in 0..terms.len() {
            prop_assert_eq!(WidgetRules::read_terms("a", &terms[..cut]), None);
        }
        terms.extend(&rest);
        let expected = WidgetRules { allowlist: Default::default(), ..rules };
        prop_assert_eq!(WidgetRules::read_terms("a", &terms), Some((expected, rest.as_slice())));
    }

    #[test]
    fn what_is_written_is_parsed(limits in any_limits()) {
        let widget = Widget { limits, ..parse(r#"{"id":"a"}"#).unwrap() };
        let read = parse(&widget.to_json().to_string()).unwrap();
        prop_assert_eq!(&read, &widget);
        prop_assert_eq!(read.to_json().get("limits").is_some(), limits != Limits::default());
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let _ = PackedLimits(&bytes).read();
        let _ = WidgetRules::read_terms("a", &bytes);
    }
}

/// Terms that a version wrote that knew no limits.
#[test]
fn terms_of_before_are_read() {
    // Enabled, with a Trust Center and `enforce`; revision 300.
    let before = [0b0010_0101, 0xac, 0x02, b'x'];
    let (rules, rest) = WidgetRules::read_terms("a", &before).unwrap();
    assert_eq!((rules.limits, rules.revision, rules.enabled, rest), (None, 300, true, &b"x"[..]));
    let mut written = Vec::new();
    rules.write_terms(&mut written);
    assert_eq!(written, before[..3], "and written as they were");
    // Of a later version.
    assert_eq!(WidgetRules::read_terms("a", &[0b1010_0101, 1]), None);
}

#[test]
fn use_is_told_in_words() {
    use LimitKind::{OpensPerDay, OpensPerMinute, Sessions};
    use LimitPart::{Address, Embedder, Widget};
    let told = |part, kind, whose: Option<&str>| {
        LimitUsage { part, kind, limit: 20, used: 12, whose: whose.map(str::to_owned) }.to_string()
    };
    assert_eq!(told(Widget, OpensPerMinute, None), "widget: 12 of 20 opens used this minute");
    assert_eq!(
        told(Embedder, OpensPerDay, Some("https://example.com")),
        "embedder https://example.com: 12 of 20 opens used today (UTC)"
    );
    assert_eq!(told(Embedder, Sessions, Some("")), "embedders that are not known: 12 of 20 sessions open");
    assert_eq!(told(Embedder, Sessions, None), "each embedder, at most: 12 of 20 sessions open");
    assert_eq!(told(Address, Sessions, None), "each address, at most: 12 of 20 sessions open");
}
