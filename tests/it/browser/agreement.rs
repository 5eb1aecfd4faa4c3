//! Verdict and browser agree: what the edge says of an embedder is what a browser does with `frame-ancestors`, and
//! both are what really loads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{EDGE, Stage};
use crate::support::edge::EdgeSpec;
use crate::support::is_full;
use crate::support::upstream::Document;

const LONG: Duration = Duration::from_secs(60);

/// Widgets by what their lists say.
fn widgets() -> Vec<(&'static str, Value)> {
    let list = |entries: Value| json!({ "access": "enforce", "allowed_domains": entries });
    vec![
        ("exact", list(json!(["example.com"]))),
        ("http", list(json!(["http://example.com"]))),
        ("both", list(json!(["example.com", "http://example.com"]))),
        ("below", list(json!(["*.example.com"]))),
        ("at_or_below", list(json!([".example.com"]))),
        ("glob", list(json!(["pr-*.preview.example.com"]))),
        ("port", list(json!(["example.com:8443"]))),
        ("any_port", list(json!(["example.com:*"]))),
        ("default_port", list(json!(["Example.COM:443"]))),
        ("plain_port", list(json!(["http://example.com:3000"]))),
        ("idn", list(json!(["m\u{fc}nchen.example"]))),
        ("underscore", list(json!(["under_score.example.org"]))),
        ("ipv4", list(json!(["192.0.2.7", "http://192.0.2.7"]))),
        ("ipv6", list(json!(["[2001:db8::7]", "[::1]"]))),
        (
            "long",
            list(json!(
                (0..200)
                    .map(|n| format!("site-{n}.example.net"))
                    .chain(["example.com".to_owned()])
                    .collect::<Vec<_>>()
            )),
        ),
        ("localhost", list(json!(["localhost"]))),
        ("localhost_port", list(json!(["http://localhost:3000"]))),
        ("below_localhost", list(json!(["*.localhost"]))),
        ("loopback", list(json!(["127.0.0.1"]))),
        ("expired", list(json!([{ "pattern": "example.com", "expires_at": "2020-01-01T00:00:00Z" }]))),
        ("not_yet", list(json!([{ "pattern": "example.com", "expires_at": "2099-01-01T00:00:00Z" }]))),
        ("locked", list(json!([]))),
        ("open", json!({ "access": "open" })),
        ("monitor", json!({ "access": "monitor", "allowed_domains": ["elsewhere.example"] })),
        ("off", json!({ "enabled": false, "allowed_domains": ["example.com"] })),
    ]
}

const EMBEDDERS: [&str; 19] = [
    "https://example.com",
    "http://example.com",
    "https://example.com:8443",
    "http://example.com:3000",
    "https://www.example.com",
    "https://a.b.example.com",
    "https://evilexample.com",
    "https://example.com.evil.example",
    "https://pr-1.preview.example.com",
    "https://pr-1.x.preview.example.com",
    "https://xn--mnchen-3ya.example",
    "https://under_score.example.org",
    "https://192.0.2.7",
    "https://[2001:db8::7]",
    "http://[::1]:3000",
    "https://dashboard.example",
    "http://localhost:3000",
    "http://app.localhost:3000",
    "http://127.0.0.1:3000",
];

/// Where a browser differs from the edge, with the page's name sent along and where it has only the list (its page
/// keeps the referrer to itself), and by which standard.
fn known_difference(widget: &str, embedder: &str) -> Option<(bool, bool)> {
    match (widget, embedder) {
        // CSP Level 3, "does a scheme-part match": an http source admits https as well. The edge doesn't.
        ("http", "https://example.com") => Some((false, true)),
        // A `*` inside a label is no host-source of CSP Level 3; it is sent only for the page that it admits.
        ("glob", "https://pr-1.preview.example.com") => Some((true, false)),
        // Nor is a name with an underscore.
        ("underscore", "https://under_score.example.org") => Some((true, false)),
        // Nor an IPv6 address, and here there is no other way to say it.
        ("ipv6", "https://[2001:db8::7]" | "http://[::1]:3000") => Some((false, false)),
        // RFC 9110 §5.4: nobody has to take a field of any length. Over 4 KiB it is the page's name alone.
        ("long", "https://example.com" | "https://dashboard.example") => Some((true, false)),
        // An empty list is sent as `'none'`, which stands alone (CSP Level 3 §2.3.1), to whoever isn't known.
        ("locked", "https://dashboard.example") => Some((true, false)),
        _ => None,
    }
}

/// A page with each widget of `?ids=` twice, as it is and without a referrer, which tells which of them loaded.
const PAGE: &str = r#"<!doctype html><title>embedder</title><body><script>
    const ids = new URLSearchParams(location.search).get("ids").split(",");
    const ways = [["known", "strict-origin-when-cross-origin"], ["silent", "no-referrer"]];
    const frames_ = ids.flatMap((id) => ways.map(([how, referrerPolicy]) =>
      Object.assign(document.createElement("iframe"), { name: `${how}/${id}`, referrerPolicy, src: `EDGE/w/${id}/frame` })));
    const loaded = new Set(), over = new Set();
    addEventListener("message", (event) => {
      const frame = frames_.find((frame) => frame.contentWindow === event.source);
      if (frame && event.data === "loaded") loaded.add(frame.name);
    });
    for (const frame of frames_) {
      frame.addEventListener("load", () => setTimeout(() => over.add(frame.name), 300));
    }
    document.body.append(...frames_);
    const outcome = () => ({ done: over.size === frames_.length, loaded: [...loaded] });
    </script>"#;

/// The widgets to try on an embedder: all of them, or a quarter beside those that are known to differ.
fn tried<'i>(place: usize, embedder: &str, ids: &[&'i str]) -> Vec<&'i str> {
    let ids = ids.iter().enumerate();
    let tried = ids.filter(|(number, id)| {
        is_full() || number % 4 == place % 4 || known_difference(id, embedder).is_some()
    });
    tried.map(|(_, id)| *id).collect()
}

fn host(origin: &str) -> &str {
    let authority = origin.split("://").nth(1).unwrap();
    match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap(),
        None => authority.split(':').next().unwrap(),
    }
}

#[tokio::test]
async fn the_browser_does_what_the_edge_says() {
    let upstream = Document::serve("<!doctype html><script>parent.postMessage('loaded', '*')</script>").await;
    let documents: Vec<Value> = widgets()
        .into_iter()
        .map(|(id, mut document)| {
            document["id"] = json!(id);
            document
        })
        .collect();
    let mut spec = EdgeSpec::on(upstream.addr, &json!(documents));
    spec.more += "[policy]\nsystem_origins = [\"https://dashboard.example\"]\n";
    let hosts: BTreeSet<&str> = EMBEDDERS.iter().map(|origin| host(origin)).collect();
    let hosts: Vec<&str> = hosts.into_iter().collect();
    let stage = Stage::start(spec, &hosts).await;
    let ids: Vec<&str> = widgets().iter().map(|(id, _)| *id).collect();
    stage.sites.put("/", &[], PAGE.replace("EDGE", EDGE));
    let browser = stage.browser().await;

    let mut differences = BTreeMap::new();
    let mut pairs = 0;
    for (place, embedder) in EMBEDDERS.into_iter().enumerate() {
        let ids = tried(place, embedder, &ids);
        browser.goto(&format!("{embedder}/?ids={}", ids.join(","))).await.unwrap();
        assert_eq!(browser.eval("location.origin").await.unwrap(), embedder);
        browser.wait_until("outcome().done", LONG).await.unwrap();
        let outcome = browser.eval("outcome().loaded").await.unwrap();
        let loaded: BTreeSet<&str> = outcome.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for id in &ids {
            let question = json!({ "widget": id, "class": "frame", "referer": format!("{embedder}/") });
            let told = stage.edge.api(Method::POST, "/v1/explain").json(&question).send().await.unwrap();
            let told: Value = told.json().await.unwrap();
            let verdict = told["verdict"] == "allow";
            let expected = known_difference(id, embedder).unwrap_or((verdict, verdict));
            let (known, silent) = (
                loaded.contains(format!("known/{id}").as_str()),
                loaded.contains(format!("silent/{id}").as_str()),
            );
            // A widget that is off is denied to everybody by the edge; the others are left to the browser.
            if (known, silent) != expected {
                let told = format!(
                    "edge {} {}, loaded {known}, by the list alone {silent}",
                    told["verdict"], told["reason"]
                );
                differences.insert(format!("{id} on {embedder}"), told);
            }
            pairs += 2;
        }
    }
    println!("{pairs} pairs");
    assert!(differences.is_empty(), "{differences:#?}");
}
