//! The list of widgets, by label and by the sites that lists admit.

use reqwest::Method;
use serde_json::{Value, json};

use super::{batch, call, is_problem};
use crate::support::edge::{Edge, EdgeSpec};

async fn listed(edge: &Edge, query: &str) -> (Vec<String>, Value) {
    let (status, page) = call(edge, Method::GET, &format!("/v1/widgets?{query}")).await;
    assert_eq!(status, 200, "{query}: {page}");
    let ids = page["widgets"].as_array().unwrap().iter();
    (ids.map(|widget| widget["id"].as_str().unwrap().to_owned()).collect(), page["next"].clone())
}

#[tokio::test]
async fn widgets_are_found_by_what_their_lists_admit() {
    let edge = Edge::start(EdgeSpec::stored(&json!([
        { "id": "apex", "allowed_domains": ["example.com"] },
        { "id": "below", "allowed_domains": ["*.example.com"], "environment": "staging" },
        { "id": "both", "allowed_domains": [".example.com"], "access": "monitor" },
        { "id": "expired", "allowed_domains": [{ "pattern": "shop.example.com", "expires_at": "2020-01-01T00:00:00Z" }] },
        { "id": "glob", "allowed_domains": ["sh*.example.com", "http://localhost:3000"] },
        { "id": "off", "allowed_domains": ["shop.example.com"], "enabled": false },
        { "id": "open", "access": "open" },
        { "id": "port", "allowed_domains": ["shop.example.com:8443"] },
    ])))
    .await;
    for (query, ids) in [
        ("domain=https://shop.example.com", &["below", "both", "glob", "off"][..]),
        ("domain=shop.example.com", &["below", "both", "glob", "off"]),
        ("domain=shop.example.com:8443", &["port"]),
        ("domain=https%3A%2F%2Fexample.com", &["apex", "both"]),
        ("domain=http://example.com", &[]),
        ("domain=http://localhost:3000", &["glob"]),
        ("domain=evilexample.com", &[]),
        ("domain=shop.example.com&environment=staging", &["below"]),
        ("domain=shop.example.com&access=monitor", &["both"]),
        ("domain=shop.example.com&access=open", &[]),
    ] {
        assert_eq!(
            listed(&edge, query).await,
            (ids.iter().map(ToString::to_string).collect(), Value::Null),
            "{query}"
        );
    }
    // In pages, as any list.
    let first = listed(&edge, "domain=shop.example.com&limit=2").await;
    assert_eq!(first, (vec!["below".to_owned(), "both".to_owned()], json!("both")));
    let rest = listed(&edge, "domain=shop.example.com&limit=2&after=both").await;
    assert_eq!(rest, (vec!["glob".to_owned(), "off".to_owned()], Value::Null));

    for (domain, meant) in [
        ("https://shop.example.com/cart", "did you mean `https://shop.example.com`?"),
        ("Shop.example.com", "did you mean `shop.example.com`?"),
        ("*.example.com", "a pattern"),
        ("null", "opaque"),
        ("a%20b", "https://shop.example.com"),
    ] {
        let refused = call(&edge, Method::GET, &format!("/v1/widgets?domain={domain}")).await;
        is_problem(&refused, 400, "invalid_parameter");
        assert_eq!(refused.1["errors"][0]["parameter"], "domain");
        assert!(refused.1["detail"].as_str().unwrap().contains(meant), "{}", refused.1);
    }
}

#[tokio::test]
async fn widgets_are_found_by_their_labels() {
    let edge = Edge::start(EdgeSpec::stored(&json!([
        { "id": "a", "labels": { "team": "growth", "tier": "gold" }, "allowed_domains": ["a.example"] },
        { "id": "b", "labels": { "team": "growth" }, "environment": "staging" },
        { "id": "c", "labels": { "team": "sales" } },
        { "id": "d" },
    ])))
    .await;
    for (query, ids) in [
        ("label=team:growth", &["a", "b"][..]),
        ("label=team", &["a", "b", "c"]),
        ("label=team:growth&label=tier", &["a"]),
        ("label=team:growth&label=team:sales", &[]),
        ("label=team:growth&environment=staging", &["b"]),
        ("label=team:growth&domain=a.example", &["a"]),
        ("label=te", &[]),
    ] {
        assert_eq!(
            listed(&edge, query).await,
            (ids.iter().map(ToString::to_string).collect(), Value::Null),
            "{query}"
        );
    }
    assert_eq!(listed(&edge, "label=team&limit=1&after=a").await, (vec!["b".to_owned()], json!("b")));
}

/// Only documents know labels, so a page looks at so many of them, and then says where to go on.
#[tokio::test]
async fn a_page_looks_at_a_bounded_number_of_documents() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let widgets: Vec<Value> = (0..10_050)
        .map(|n| {
            let labels = if n == 10_020 { json!({ "team": "growth" }) } else { json!({}) };
            json!({ "put": { "id": format!("w{n:05}"), "labels": labels } })
        })
        .collect();
    assert_eq!(batch(&edge, "", &widgets).await.0, 200);
    for query in ["label=team", "label=team&environment=production"] {
        assert_eq!(listed(&edge, query).await, (vec![], json!("w09999")), "{query}");
        let rest = listed(&edge, &format!("{query}&after=w09999")).await;
        assert_eq!(rest, (vec!["w10020".to_owned()], Value::Null), "{query}");
    }
}
