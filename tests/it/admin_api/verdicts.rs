//! Verdicts explained: they are those that requests get, down to the headers.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, call, post};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::masked;
use crate::support::upstream::Upstream;

/// What an answer has from its upstream or its connection, and what each has of its own.
const OTHERS: [&str; 7] =
    ["content-type", "content-length", "date", "connection", "transfer-encoding", "keep-alive", "x-own"];

#[tokio::test]
async fn an_explanation_says_what_a_request_gets() {
    let upstream = Upstream::with_fields("app", &[("x-own", "1")]).await;
    let widgets = json!([
        { "id": "listed", "allowed_domains": ["example.com", "*.example.org"], "capabilities": ["voice"] },
        { "id": "open", "access": "open" },
        { "id": "monitored", "access": "monitor", "allowed_domains": ["example.com"] },
        { "id": "locked", "access": "enforce" },
        { "id": "off", "enabled": false, "allowed_domains": ["example.com"], "public_trust_center": false },
    ]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.routes = Some(
        [
            ("loader.js", "asset", ""),
            ("frame", "frame", ""),
            ("session", "session", "credentials = true\n"),
            ("trust", "public", ""),
        ]
        .map(|(path, class, more)| {
            format!(
                "[[routes]]\npath = \"/w/{{widget}}/{path}\"\nclass = \"{class}\"\nupstream = \"app\"\n{more}"
            )
        })
        .concat(),
    );
    let edge = Edge::start(spec).await;
    let own = format!("http://localhost:{}", edge.http.port());
    let mut seen = BTreeSet::new();
    for widget in ["listed", "open", "monitored", "locked", "off", "unknown"] {
        for (path, class) in
            [("loader.js", "asset"), ("frame", "frame"), ("session", "session"), ("trust", "public")]
        {
            for origin in [
                None,
                Some(LISTED),
                Some("https://a.b.example.org"),
                Some(STRANGER),
                Some("null"),
                Some(&own),
                Some("https://A.example"),
            ] {
                let mut request = reqwest::Client::new().get(edge.url(&format!("/w/{widget}/{path}")));
                let mut question = json!({ "widget": widget, "class": class });
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                    question["origin"] = json!(origin);
                }
                if class == "frame" {
                    request = request.header("sec-fetch-dest", "iframe");
                }
                let answer = request.send().await.unwrap();
                let (status, told) = post(&edge, "/v1/explain", &question).await;
                assert_eq!(status, 200, "{told}");
                let case = format!("{widget} {class} {origin:?}: {told}");
                assert_eq!(told["verdict"] == "allow", answer.status() == 200, "{case}");
                assert_eq!(explained(&told), sent(&answer), "{case}");
                seen.insert(told["reason"].as_str().unwrap().to_owned());
            }
        }
    }
    for reason in [
        "exact",
        "wildcard",
        "unrestricted",
        "own_origin",
        "no_embedder",
        "public",
        "not_listed",
        "opaque_origin",
        "malformed_origin",
        "unknown_widget",
        "widget_disabled",
        "locked",
        "ticket_missing",
    ] {
        assert!(seen.contains(reason), "{reason} was never asked for: {seen:?}");
    }
}

/// Every shape of an answer on every class, with what routes override, remove and expose.
#[tokio::test]
async fn an_explanation_lists_exactly_what_is_sent() {
    let upstream = Upstream::with_fields("app", &[("x-own", "1")]).await;
    let widgets = json!([
        { "id": "listed", "allowed_domains": ["example.com"], "capabilities": ["voice"] },
        { "id": "off", "enabled": false, "public_trust_center": false },
    ]);
    let overridden = "headers = { \"Strict-Transport-Security\" = \"\", \"Referrer-Policy\" = \"same-origin\", \
                      \"Cross-Origin-Embedder-Policy\" = \"credentialless\", \"X-New\" = \"1\", \"Link\" = \"</a>\" }\n";
    for (more, scripted) in [("", ""), (overridden, "credentials = true\nexpose = [\"Mcp-Session-Id\"]\n")] {
        for https in [false, true] {
            let mut spec = EdgeSpec::on(upstream.addr, &widgets);
            spec.edge = "trusted_proxies = [\"127.0.0.1/32\"]".to_owned();
            let scheme = if https { "https" } else { "http" };
            spec.public_origins = Some(format!("[\"{scheme}://edge.example\"]"));
            let routes = ["asset", "frame", "session", "public"].map(|class| {
                let scripted = if matches!(class, "asset" | "session") { scripted } else { "" };
                format!(
                    "[[routes]]\npath = \"/w/{{widget}}/{class}\"\nclass = \"{class}\"\nupstream = \"app\"\n{more}{scripted}"
                )
            });
            spec.routes = Some(routes.concat());
            let edge = Edge::start(spec).await;
            for (widget, class, origin, destination) in askings(&["listed", "off", "unknown"]) {
                let mut request = reqwest::Client::new()
                    .get(edge.url(&format!("/w/{widget}/{class}")))
                    .header("x-forwarded-proto", scheme);
                let mut question = json!({ "widget": widget, "class": class });
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                    question["origin"] = json!(origin);
                }
                // Left out, it is what browsers say of this class.
                let usual = (class == "frame").then_some("iframe");
                if let Some(destination) = destination {
                    question["destination"] = json!(destination);
                }
                if let Some(destination) = destination.or(usual) {
                    request = request.header("sec-fetch-dest", destination);
                }
                let answer = request.send().await.unwrap();
                let (status, told) = post(&edge, "/v1/explain", &question).await;
                assert_eq!(status, 200, "{told}");
                assert_eq!(explained(&told), sent(&answer), "{https} {more} {destination:?} {told}");
            }
        }
    }
}

/// Who asks for what: each of these widgets, each class, three pages and nobody, each destination and none.
fn askings<'w>(
    widgets: &[&'w str],
) -> Vec<(&'w str, &'static str, Option<&'static str>, Option<&'static str>)> {
    let mut asked = Vec::new();
    for widget in widgets {
        for class in ["asset", "frame", "session", "public"] {
            for origin in [None, Some(LISTED), Some(STRANGER), Some("null")] {
                for destination in [None, Some("script"), Some("iframe"), Some("empty")] {
                    asked.push((*widget, class, origin, destination));
                }
            }
        }
    }
    asked
}

fn sent(answer: &reqwest::Response) -> Vec<(String, String)> {
    let own = answer.headers().iter().filter(|(name, _)| !OTHERS.contains(&name.as_str()));
    let mut sent: Vec<_> =
        own.map(|(name, value)| (name.to_string(), masked(value.to_str().unwrap()))).collect();
    sent.sort();
    sent
}

fn explained(told: &Value) -> Vec<(String, String)> {
    let mut explained: Vec<(String, String)> = serde_json::from_value(told["headers"].clone()).unwrap();
    explained.sort();
    explained
}

#[tokio::test]
async fn a_draft_is_judged_without_being_saved() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    let ask = async |draft: Option<Value>| {
        let mut question = json!({ "widget": "w", "referer": "https://stranger.example/page?x=y" });
        if let Some(draft) = draft {
            question["draft"] = draft;
        }
        let (status, told) = post(&edge, "/v1/explain", &question).await;
        assert_eq!(status, 200, "{told}");
        told
    };
    let told = ask(None).await;
    assert_eq!((&told["verdict"], &told["reason"]), (&json!("deny"), &json!("not_listed")));
    assert_eq!(told["entry_to_add"], "stranger.example");
    assert_eq!(told["entries"][0]["outcome"], "host_differs");
    let draft = json!({ "id": "w", "allowed_domains": ["example.com", told["entry_to_add"]] });
    let told = ask(Some(draft)).await;
    assert_eq!(
        (&told["verdict"], &told["entry"]["pointer"]),
        (&json!("allow"), &json!("/allowed_domains/1"))
    );
    assert_eq!(ask(None).await["verdict"], "deny");
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["generation"], 1);
}

#[tokio::test]
async fn findings_come_in_pages() {
    let widgets: Vec<Value> = (0..7).map(|n| json!({ "id": format!("w{n}"), "access": "open" })).collect();
    let edge = Edge::start(EdgeSpec::stored(&json!(widgets))).await;
    let (_, all) = call(&edge, Method::GET, "/v1/lint").await;
    assert_eq!(
        (all["findings"].as_array().unwrap().len(), &all["widgets"], &all["next"]),
        (7, &json!(7), &Value::Null)
    );
    assert_eq!(
        (&all["findings"][6]["widget"], &all["findings"][6]["code"]),
        (&json!("w6"), &json!("unrestricted_production"))
    );
    let (_, first) = call(&edge, Method::GET, "/v1/lint?limit=4").await;
    let (_, second) =
        call(&edge, Method::GET, &format!("/v1/lint?limit=4&after={}", first["next"].as_str().unwrap()))
            .await;
    let both: Vec<&Value> =
        [&first, &second].iter().flat_map(|page| page["findings"].as_array().unwrap()).collect();
    assert_eq!(both, all["findings"].as_array().unwrap().iter().collect::<Vec<_>>());
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn a_page_of_many_findings_ends_early() {
    let entries: Vec<String> = (0..1000).map(|n| format!("a{n}.com")).collect();
    let widget = |n: usize| json!({ "id": format!("w{n:02}"), "allowed_domains": entries });
    let edge = Edge::start(EdgeSpec::stored(&json!((0..25).map(widget).collect::<Vec<_>>()))).await;
    let (mut widgets, mut after, mut found) = (0, String::new(), Vec::new());
    loop {
        let (_, page) = call(&edge, Method::GET, &format!("/v1/lint?limit=10000{after}")).await;
        let findings = page["findings"].as_array().unwrap();
        assert!(findings.len() < 12_000, "{}", findings.len());
        widgets += page["widgets"].as_u64().unwrap();
        found.extend(findings.iter().map(|finding| finding["widget"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(widgets == 25 && found.len() >= 25_000 && found.is_sorted(), "{widgets}: {}", found.len());
}
