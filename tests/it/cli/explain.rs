//! `embedgate explain` against the table of entries: what each admits, what it doesn't and why.

use serde_json::{Value, json};

use super::{Desk, Ran, config};

/// An embedder that the entry before admits, and as what.
const ADMITS: &[(&str, &str, &str)] = &[
    ("example.com", "https://example.com", "exact"),
    ("http://example.com", "http://example.com", "exact"),
    ("*.example.com", "https://www.example.com", "wildcard"),
    ("*.example.com", "https://a.b.c.example.com", "wildcard"),
    (".example.com", "https://example.com", "wildcard"),
    (".example.com", "https://a.b.example.com", "wildcard"),
    ("pr-*.preview.example.com", "https://pr-1.preview.example.com", "glob"),
    ("pr-*.preview.example.com", "https://pr-fix-2--x.preview.example.com", "glob"),
    ("example.com:8443", "https://example.com:8443", "exact"),
    ("example.com:*", "https://example.com", "exact"),
    ("example.com:*", "https://example.com:65535", "exact"),
    ("*.example.com:8443", "https://www.example.com:8443", "wildcard"),
    ("localhost", "http://localhost", "exact"),
    ("localhost", "https://localhost:3000", "exact"),
    ("127.0.0.1", "http://127.0.0.1:5173", "exact"),
    ("127.0.0.1", "https://127.0.0.1", "exact"),
    ("[::1]", "http://[::1]:5173", "exact"),
    ("*.localhost", "http://shop.localhost:3000", "wildcard"),
    ("*.localhost", "https://a.shop.localhost", "wildcard"),
    ("https://localhost", "https://localhost:3000", "exact"),
    ("localhost:3000", "http://localhost:3000", "exact"),
    ("localhost:3000", "https://localhost:3000", "exact"),
    ("capacitor://localhost", "capacitor://localhost", "exact"),
    ("münchen.example", "https://xn--mnchen-3ya.example", "exact"),
    ("*.münchen.example", "https://a.xn--mnchen-3ya.example", "wildcard"),
    ("my_app.example.com", "https://my_app.example.com", "exact"),
    ("EXAMPLE.com:443", "https://example.com", "exact"),
];

/// An embedder that the entry before does not admit, and why not. A near miss names the entry.
const REFUSES: &[(&str, &str, &str)] = &[
    ("example.com", "http://example.com", "insecure_scheme"),
    ("example.com", "https://example.com:8443", "port_mismatch"),
    ("example.com", "https://www.example.com", "not_listed"),
    ("example.com", "https://evilexample.com", "not_listed"),
    ("example.com", "https://example.com.evil.example", "not_listed"),
    ("example.com", "https://xexample.com", "not_listed"),
    ("http://example.com", "https://example.com", "not_listed"),
    ("http://example.com", "http://example.com:8080", "port_mismatch"),
    ("*.example.com", "https://example.com", "not_listed"),
    ("*.example.com", "https://evilexample.com", "not_listed"),
    ("*.example.com", "https://www.example.com.evil.example", "not_listed"),
    ("*.example.com", "http://www.example.com", "insecure_scheme"),
    ("*.example.com", "https://www.example.com:444", "port_mismatch"),
    (".example.com", "https://evilexample.com", "not_listed"),
    (".example.com", "http://example.com", "insecure_scheme"),
    ("pr-*.preview.example.com", "https://pr-.preview.example.com", "not_listed"),
    ("pr-*.preview.example.com", "https://pr-1.2.preview.example.com", "not_listed"),
    ("pr-*.preview.example.com", "https://x.pr-1.preview.example.com", "not_listed"),
    ("pr-*.preview.example.com", "https://preview.example.com", "not_listed"),
    ("pr-*.preview.example.com", "https://pr-1.evilpreview.example.com", "not_listed"),
    ("example.com:8443", "https://example.com", "port_mismatch"),
    ("example.com:8443", "http://example.com:8443", "insecure_scheme"),
    ("example.com:*", "http://example.com:8080", "insecure_scheme"),
    ("*.example.com:8443", "https://example.com:8443", "not_listed"),
    ("localhost", "http://sub.localhost", "not_listed"),
    ("localhost", "http://127.0.0.1", "not_listed"),
    ("localhost", "https://localhost.evil.example", "not_listed"),
    ("127.0.0.1", "http://127.0.0.2", "not_listed"),
    ("127.0.0.1", "http://localhost", "not_listed"),
    ("[::1]", "http://[::2]", "not_listed"),
    ("*.localhost", "http://localhost:3000", "not_listed"),
    ("https://localhost", "http://localhost:3000", "insecure_scheme"),
    ("localhost:3000", "http://localhost:3001", "port_mismatch"),
    ("capacitor://localhost", "ionic://localhost", "unsupported_scheme"),
    ("capacitor://localhost", "capacitor://other", "unsupported_scheme"),
    ("capacitor://localhost", "http://localhost", "not_listed"),
    ("münchen.example", "https://xn--mnchen-3yb.example", "not_listed"),
    ("my_app.example.com", "https://my-app.example.com", "not_listed"),
];

fn ask(desk: &Desk, widget: &str, more: &[&str]) -> Ran {
    desk.run(&[&["explain", "--json", "--widget", widget], more].concat())
}

/// Asks each question on its widget, on as many threads as help.
fn ask_all(desk: &Desk, questions: &[(String, &str)]) -> Vec<Ran> {
    std::thread::scope(|scope| {
        let halves = questions.chunks(questions.len().div_ceil(2)).map(|half| {
            scope.spawn(move || -> Vec<Ran> {
                half.iter().map(|(widget, origin)| ask(desk, widget, &["--origin", origin])).collect()
            })
        });
        let halves: Vec<_> = halves.collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    })
}

#[test]
fn each_row_of_the_table_of_entries_holds() {
    let rows: Vec<_> =
        ADMITS.iter().map(|row| (true, row)).chain(REFUSES.iter().map(|row| (false, row))).collect();
    let widget = |number: usize| format!("row_{number}");
    let documents: Vec<Value> = (rows.iter().enumerate())
        .map(|(number, (_, (entry, ..)))| json!({ "id": widget(number), "allowed_domains": [entry] }))
        .collect();
    let desk = Desk::on(&json!({ "widgets": documents }));
    let questions: Vec<_> =
        rows.iter().enumerate().map(|(number, (_, row))| (widget(number), row.1)).collect();
    for ((admits, (entry, origin, reason)), ran) in rows.into_iter().zip(ask_all(&desk, &questions)) {
        let told = ran.json();
        let row = format!("`{entry}` and {origin}: {told}");
        assert_eq!(
            (&told["reason"], ran.code, ran.err.as_str()),
            (&json!(reason), i32::from(!admits), ""),
            "{row}"
        );
        assert_eq!(told["verdict"], if admits { "allow" } else { "deny" }, "{row}");
        assert_eq!(told["embedder"], json!({ "kind": "known", "origin": origin }), "{row}");
        assert_eq!(told["entries"][0]["outcome"] == "admits", admits, "{row}");
        assert_eq!(told["entry"].is_null(), !admits, "{row}");
        let is_near = matches!(*reason, "insecure_scheme" | "port_mismatch");
        assert_eq!(told["near_miss"]["pointer"] == "/allowed_domains/0", is_near, "{row}");
        let sentence = told["sentence"].as_str().unwrap();
        assert!(sentence.contains(origin), "{row}");
    }
}

#[test]
fn an_international_name_is_shown_both_ways() {
    let desk =
        Desk::on(&json!({ "widgets": [{ "id": "w", "allowed_domains": ["münchen.example", "a.example"] }] }));
    let told = ask(&desk, "w", &["--origin", "https://xn--mnchen-3ya.example"]).json();
    assert_eq!(told["entries"][0]["entry"], "xn--mnchen-3ya.example");
    assert_eq!(told["entries"][0]["unicode"], "münchen.example");
    assert_eq!(told["entries"][1]["unicode"], Value::Null);
    let text = desk.run(&["explain", "--widget", "w", "--origin", "https://xn--mnchen-3ya.example"]).out;
    let line = text.lines().find(|line| line.contains("xn--mnchen-3ya.example  ")).unwrap();
    assert!(line.contains("admits") && line.ends_with("[münchen.example]"), "{line}");
}

#[test]
fn people_read_the_verdict_its_grounds_and_what_to_add() {
    let ran =
        Desk::shipped().run(&["explain", "--widget", "wgt_demo", "--origin", "https://www.example.com"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    assert_eq!(
        ran.out,
        "deny (not_listed)  No entry of wgt_demo admits https://www.example.com. \
         To admit it, add the entry `www.example.com`.\n  \
         widget wgt_demo, class asset, embedder https://www.example.com, access enforce\n  \
         entry to add: www.example.com\n  entries:\n    \
         example.com                       host_differs    names example.com only, not the names below it; \
         `*.example.com` covers those\n    \
         *.example.org                     host_differs    www.example.com is another host\n    \
         site.localhost                    host_differs    www.example.com is another host\n    \
         https://pr-*.preview.example.com  host_differs    www.example.com is another host\n  headers:\n    \
         cache-control: no-store\n    x-content-type-options: nosniff\n    \
         vary: Origin, Referer, Sec-Fetch-Dest\n    cross-origin-resource-policy: cross-origin\n    \
         access-control-allow-origin: https://www.example.com\n"
    );
}

#[test]
fn expired_entries_match_nothing() {
    let desk = Desk::on(&json!({ "widgets": [{ "id": "w", "allowed_domains": [
        { "pattern": "old.example", "expires_at": "2020-01-01T00:00:00Z" },
        { "pattern": "new.example", "expires_at": "2999-01-01T00:00:00Z" },
    ] }] }));
    let old = ask(&desk, "w", &["--origin", "https://old.example"]);
    assert_eq!((old.code, &old.json()["reason"]), (1, &json!("expired_entry")));
    assert_eq!(old.json()["near_miss"]["entry"], "old.example");
    let new = ask(&desk, "w", &["--origin", "https://new.example"]);
    assert_eq!((new.code, &new.json()["reason"]), (0, &json!("exact")));
}

#[test]
fn the_address_that_people_have_is_reduced_to_its_origin() {
    let desk =
        Desk::on(&json!({ "widgets": [{ "id": "w", "allowed_domains": ["www.acme.com", "localhost"] }] }));
    for (given, origin) in [
        ("https://www.acme.com/shop?a=b#c", "https://www.acme.com"),
        ("HTTPS://www.acme.com:443/", "https://www.acme.com"),
        ("www.acme.com", "https://www.acme.com"),
        ("localhost:3000/shop", "http://localhost:3000"),
    ] {
        let ran = ask(&desk, "w", &["--origin", given]);
        let told = ran.json();
        assert_eq!((ran.code, &told["reason"]), (0, &json!("exact")), "{given}: {told}");
        assert_eq!(told["embedder"]["origin"], origin, "{given}");
        let hints: Vec<&str> = told["hints"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(
            hints.iter().any(|hint| hint.contains(&format!("`{given}`")) && hint.contains(origin)),
            "{hints:?}"
        );
    }
    let text = desk.run(&["explain", "--widget", "w", "--origin", "https://www.acme.com/shop"]).out;
    let hint = "\n  hint: `https://www.acme.com/shop` was taken as https://www.acme.com: ";
    assert!(text.contains(hint), "{text}");
    // What a browser sends needs no word, and a referrer is taken as it is.
    for given in [["--origin", "https://www.acme.com"], ["--referer", "https://www.acme.com/shop"]] {
        let hints = ask(&desk, "w", &given).json()["hints"].to_string();
        assert!(!hints.contains("taken as"), "{hints}");
    }
    let nonsense = ask(&desk, "w", &["--origin", "https://me:secret@www.acme.com/"]).json();
    assert_eq!((&nonsense["embedder"]["code"], &nonsense["hints"]), (&json!("userinfo"), &Value::Null));
}

/// The classes in the order of the columns below.
const CLASSES: [&str; 4] = ["asset", "frame", "session", "public"];

#[test]
fn classes_differ_in_who_may_ask() {
    let desk = Desk::on(&json!({ "widgets": [
        { "id": "listed", "allowed_domains": ["example.com"] },
        { "id": "open" },
        { "id": "locked", "access": "enforce" },
        { "id": "disabled", "enabled": false, "allowed_domains": ["example.com"] },
        { "id": "monitor", "access": "monitor", "allowed_domains": ["example.com"] },
        { "id": "private", "public_trust_center": false, "allowed_domains": ["example.com"] },
    ] }));
    let unknown = ["-unknown_widget"; 4];
    let malformed = ["-malformed_origin", "-malformed_origin", "-malformed_origin", "+public"];
    let opaque = ["-opaque_origin", "-opaque_origin", "-opaque_origin", "+public"];
    let own = ["+own_origin", "+own_origin", "-ticket_missing", "+public"];
    let rows: [(&str, &[&str], [&str; 4]); 16] = [
        ("listed", &["--origin", "https://example.com"], ["+exact", "+exact", "+exact", "+public"]),
        ("listed", &["--referer", "https://example.com/a?b"], ["+exact", "+exact", "+exact", "+public"]),
        ("listed", &[], ["+no_embedder", "+no_embedder", "-no_embedder", "+public"]),
        ("listed", &["--origin", "null"], opaque),
        ("listed", &["--origin", "null", "--referer", "https://example.com/"], opaque),
        ("listed", &["--origin", "https://me@example.com/"], malformed),
        ("listed", &["--origin", "nonsense"], malformed),
        ("listed", &["--origin", ""], malformed),
        ("listed", &["--referer", "about:blank"], malformed),
        ("listed", &["--origin", "http://edge.example"], own),
        (
            "open",
            &["--origin", "https://a.example"],
            ["+unrestricted", "+unrestricted", "+unrestricted", "+public"],
        ),
        ("locked", &["--origin", "https://a.example"], ["-locked", "-locked", "-locked", "+public"]),
        (
            "monitor",
            &["--origin", "https://a.example"],
            ["+unrestricted", "+unrestricted", "+unrestricted", "+public"],
        ),
        ("nobody", &["--origin", "https://example.com"], unknown),
        ("no such.id", &[], unknown),
        ("private", &[], ["+no_embedder", "+no_embedder", "-no_embedder", "-widget_disabled"]),
    ];
    for (widget, asked, expected) in rows {
        for (class, expected) in CLASSES.into_iter().zip(expected) {
            let ran = ask(&desk, widget, &[asked, &["--class", class]].concat());
            let told = ran.json();
            let (verdict, code) = if expected.starts_with('+') { ("allow", 0) } else { ("deny", 1) };
            let row = format!("{widget} {class} {asked:?}: {told}");
            assert_eq!(
                (&told["verdict"], &told["reason"]),
                (&json!(verdict), &json!(expected[1..])),
                "{row}"
            );
            assert_eq!((ran.code, &told["class"]), (code, &json!(class)), "{row}");
        }
    }
    for (class, origin, hinted) in [
        ("session", "https://example.com", true),
        ("asset", "https://example.com", true),
        ("frame", "https://example.com", false),
        ("session", "https://a.example", false),
    ] {
        let told = ask(&desk, "listed", &["--origin", origin, "--class", class]).json();
        let hints = told["hints"].as_array().map_or(0, Vec::len);
        assert_eq!(hints == 1, hinted, "{class} {origin}: {told}");
    }
    let disabled = ask(&desk, "disabled", &["--origin", "https://example.com"]).json();
    assert_eq!(disabled["reason"], "widget_disabled");
    let monitored = ask(&desk, "monitor", &["--origin", "https://a.example"]).json();
    assert_eq!(
        (&monitored["would_deny"], &monitored["entry_to_add"]),
        (&json!("not_listed"), &json!("a.example"))
    );
}

#[test]
fn what_the_routes_of_a_widget_answer_is_shown() {
    let rules = json!({ "widgets": [
        { "id": "w", "allowed_domains": ["example.com"] },
        { "id": "alone", "allowed_domains": ["example.com"] },
    ] });
    let first = "[[routes]]\npath = \"/alone\"\nwidget = \"fixed:alone\"\nclass = \"frame\"\nupstream = \"demo\"\n\
                 headers = { X-Alone = \"yes\" }\n";
    let config = config("[tickets]\ncookie = \"partitioned\"").replace("http://edge", "https://edge");
    let (before, after) = config.split_once("[[routes]]").unwrap();
    let desk = Desk::with(&format!("{before}{first}[[routes]]{after}"), &rules.to_string());
    let field = |told: &Value, name: &str| {
        let fields = told["headers"].as_array().unwrap();
        fields.iter().find(|field| field[0] == name).map(|field| field[1].as_str().unwrap().to_owned())
    };
    let frame = ["--class", "frame", "--origin", "https://example.com"];
    let [alone, other] = ["alone", "w"].map(|id| ask(&desk, id, &frame).json());
    assert_eq!([field(&alone, "x-alone"), field(&other, "x-alone")], [Some("yes".to_owned()), None]);
    for (id, told) in [("alone", &alone), ("w", &other)] {
        let cookie = field(told, "set-cookie").unwrap_or_else(|| panic!("{told}"));
        assert!(cookie.starts_with(&format!("__Host-embed.{id}=...; Path=/; Secure;")), "{cookie}");
    }
}

#[test]
fn what_holds_for_all_widgets_is_read_from_the_configuration() {
    let rules = json!({ "widgets": [{ "id": "w", "allowed_domains": ["example.com"] }, { "id": "open" }] });
    let config = config("[policy]\nempty_allowlist = \"deny\"\nsystem_origins = [\"https://dash.example\"]")
        .replace("class = \"frame\"", "class = \"frame\"\nmissing = \"deny\"");
    let desk = Desk::with(&config, &rules.to_string());
    for (widget, more, reason) in [
        ("w", vec!["--origin", "https://dash.example"], "system_origin"),
        ("open", vec!["--origin", "https://a.example"], "locked"),
        ("w", vec!["--class", "frame"], "no_embedder"),
    ] {
        let ran = ask(&desk, widget, &more);
        assert_eq!((&ran.json()["reason"], ran.code), (&json!(reason), i32::from(reason != "system_origin")));
    }
}

#[test]
fn faults_of_the_rules_are_told_in_place_of_a_verdict() {
    let desk = Desk::on(&json!({ "widgets": [{ "id": "w", "allowed_domains": ["*.co.uk"] }] }));
    for arguments in [["explain", "--widget", "w"].as_slice(), &["lint"]] {
        let ran = desk.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
        assert!(
            ran.err.starts_with("embedgate: the rules can't be read:\nconf/widgets.json:1:"),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("`co.uk`"), "{}", ran.err);
    }
}
