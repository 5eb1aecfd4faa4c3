//! Which fields of an answer the page that asked may read: those that the upstream exposes, or the route.

use serde_json::json;

use super::{LISTED, STRANGER, route};
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw;
use crate::support::raw::Connection;
use crate::support::upstream::Upstream;

const EXPOSED: &str = "access-control-expose-headers";

async fn edge_on(upstream: &Upstream, routes: String) -> Edge {
    let widgets =
        json!([{ "id": "w", "allowed_domains": ["example.com"] }, { "id": "open", "access": "open" }]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.routes = Some(routes);
    Edge::start(spec).await
}

/// What an answer exposes: to a request that is forwarded directly, and to one by the proxy library's way.
async fn exposed(edge: &Edge, path: &str, fields: &[(&str, &str)]) -> String {
    let direct = raw::get(edge.http, path, fields).await;
    let other = [fields, &[("Content-Length", "0")]].concat();
    let other = raw::get(edge.http, path, &other).await;
    assert_eq!(direct.field(EXPOSED), other.field(EXPOSED), "{path} {fields:?}");
    assert_eq!(direct.status, 200, "{direct:?}");
    direct.field(EXPOSED).to_owned()
}

const FIELDS: [(&str, &str); 4] = [
    ("access-control-expose-headers", "X-Request-Id"),
    ("access-control-expose-headers", "Mcp-Session-Id, X-Next"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "public, max-age=60"),
];

#[tokio::test]
async fn what_an_upstream_exposes_passes_to_the_page_that_may_read_it() {
    let upstream = Upstream::with_fields("app", &FIELDS).await;
    let edge = edge_on(&upstream, usual_routes("app")).await;
    let all = "X-Request-Id\nMcp-Session-Id, X-Next";
    // The second time an asset comes from memory.
    for time in ["first", "second"] {
        for path in ["/w/w/loader.js", "/w/w/assets/a.js", "/w/w/session"] {
            assert_eq!(exposed(&edge, path, &[("Origin", LISTED)]).await, all, "{path} {time}");
        }
        for path in ["/w/w/loader.js", "/w/w/assets/a.js", "/w/w/frame", "/w/w/trust"] {
            assert_eq!(exposed(&edge, path, &[]).await, "", "{path} {time}: no page may read it");
        }
        for path in ["/w/w/frame", "/w/w/trust"] {
            assert_eq!(exposed(&edge, path, &[("Origin", LISTED)]).await, "", "{path}: no class for scripts");
        }
    }
    assert_eq!(exposed(&edge, "/w/open/session", &[("Origin", STRANGER)]).await, all);
    // A validated one gets its fields anew.
    let known = [("Origin", LISTED), ("If-None-Match", "\"x\"")];
    assert_eq!(raw::get(edge.http, "/w/w/assets/a.js", &known).await.field(EXPOSED), all);
    let denied = raw::get(edge.http, "/w/w/session", &[("Origin", STRANGER)]).await;
    assert_eq!((denied.status, denied.field(EXPOSED)), (403, ""));
    let fields = [("Origin", LISTED), ("Access-Control-Request-Method", "PUT")];
    let preflight = raw::request("OPTIONS", edge.http, "/w/w/session", &fields);
    let preflight = Connection::open(edge.http).await.ask(preflight).await;
    assert_eq!((preflight.status, preflight.field(EXPOSED)), (204, ""));
}

#[tokio::test]
async fn a_route_exposes_in_the_upstreams_place() {
    let upstream = Upstream::with_fields("app", &FIELDS).await;
    let routes = [
        route("session", "session", "expose = [\"Mcp-Session-Id\", \"x-two\"]"),
        route("assets/{*rest}", "asset", "expose = [\"ETag\"]"),
        route("none/{*rest}", "asset", "expose = []"),
        route("any", "session", "expose = [\"*\"]"),
    ];
    let edge = edge_on(&upstream, routes.concat()).await;
    for _ in 0..2 {
        for (path, names) in [
            ("/w/w/session", "Mcp-Session-Id, x-two"),
            ("/w/w/assets/a", "ETag"),
            ("/w/w/none/a", ""),
            ("/w/w/any", "*"),
        ] {
            assert_eq!(exposed(&edge, path, &[("Origin", LISTED)]).await, names, "{path}");
        }
        assert_eq!(exposed(&edge, "/w/w/assets/a", &[]).await, "");
    }
    let silent = Upstream::start("app").await;
    let edge = edge_on(&silent, routes.concat()).await;
    assert_eq!(exposed(&edge, "/w/w/session", &[("Origin", LISTED)]).await, "Mcp-Session-Id, x-two");
    assert_eq!(exposed(&edge, "/w/w/none/a", &[("Origin", LISTED)]).await, "");
    let denied = raw::get(edge.http, "/w/w/session", &[("Origin", STRANGER)]).await;
    assert_eq!((denied.status, denied.field(EXPOSED)), (403, ""));
}
