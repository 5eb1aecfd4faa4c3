//! A product that knows only its own paths, in a browser: what its answers name leads back to it.

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use super::SOON;
use super::probe;
use super::stage::{EDGE, SITE, Stage, listed};
use crate::support::edge::EdgeSpec;
use crate::support::ports;

/// The product's document: it asks for JSON, directly and by a redirect to the product's own path, which also sets a cookie.
const DOCUMENT: &str = r#"<!doctype html><title>product</title><script type="module">
const of = document.body.dataset;
const at = new URL("app/", location.href).href;
of.direct = (await (await fetch(`${at}data.json`)).json()).name;
const moved = await fetch(`${at}old.json`, { credentials: "include" });
of.moved = (await moved.json()).name;
of.address = new URL(moved.url).pathname;
of.cookie = await (await fetch(`${at}cookie`, { credentials: "include" })).text();
</script>"#;

async fn product() -> std::net::SocketAddr {
    let addr = ports::free();
    let listener = TcpListener::bind(addr).await.unwrap();
    let moved = || async {
        let fields = [
            (header::LOCATION, "/data.json"),
            (header::SET_COOKIE, "seen=yes; Path=/; Secure; SameSite=None; Partitioned"),
        ];
        (axum::http::StatusCode::FOUND, fields)
    };
    let cookie = |fields: axum::http::HeaderMap| async move {
        let cookie = fields.get(header::COOKIE).and_then(|cookie| cookie.to_str().ok()).unwrap_or("none");
        cookie.to_owned().into_response()
    };
    let router = Router::new()
        .route("/embed.html", get(|| async { Html(DOCUMENT) }))
        .route("/data.json", get(|| async { axum::Json(json!({ "name": "data" })) }))
        .route("/old.json", get(moved))
        .route("/cookie", get(cookie));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    addr
}

#[tokio::test]
async fn a_page_finds_its_json_again() {
    let mut spec = EdgeSpec::on(product().await, &json!([listed()]));
    spec.routes = Some(
        r#"
[[routes]]
path = "/w/{widget}/frame"
rewrite = "/embed.html"
class = "frame"
upstream = "app"
[[routes]]
path = "/w/{widget}/app/{*rest}"
rewrite = "/{rest}"
class = "asset"
upstream = "app"
"#
        .to_owned(),
    );
    let stage = Stage::start(spec, &["site.example"]).await;
    stage.sites.put("/", &[], probe::page(&format!("<iframe src='{EDGE}/w/listed/frame'></iframe>")));
    let browser = stage.browser().await;
    browser.goto(&format!("{SITE}/")).await.unwrap();
    browser.enter_frame("document.querySelector('iframe')").await.unwrap();
    browser.wait_for("body[data-cookie]", SOON).await.unwrap();
    for (name, expected) in [
        ("direct", "data"),
        ("moved", "data"),
        ("address", "/w/listed/app/data.json"),
        ("cookie", "seen=yes"),
    ] {
        let value = browser.eval(&format!("document.body.dataset.{name}")).await.unwrap();
        assert_eq!(value, expected, "{name}");
    }
}
