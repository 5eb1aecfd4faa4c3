//! What a browser is told of the upstream's answer.

use std::collections::BTreeSet;

use serde_json::json;

use super::{LISTED, STRANGER, fields, one_widget, route, told_apart};
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw;
use crate::support::raw::{Connection, masked, unreported};
use crate::support::upstream::Upstream;

/// Everything that an upstream could say and should not, but for what it exposes to the page that it is for.
const BOASTFUL: [(&str, &str); 12] = [
    ("server", "boast/1.0"),
    ("x-powered-by", "boast"),
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("access-control-expose-headers", "x-boast"),
    ("server-timing", "db;dur=5, embed-ticket;desc=\"forged\""),
    ("x-frame-options", "SAMEORIGIN"),
    ("timing-allow-origin", "*"),
    ("referrer-policy", "unsafe-url"),
    ("cross-origin-resource-policy", "same-site"),
    ("x-content-type-options", "boast"),
    ("cdn-cache-control", "max-age=600"),
];

/// The policy of the widget's frame, with three dots for the token.
const POLICY: &str = "frame-ancestors 'self' https://example.com; report-uri /w/w/embed-report?r=...";

const DEVICES: &str = "camera=(), geolocation=(), payment=(), usb=(), display-capture=(), ";

#[tokio::test]
async fn each_class_has_its_headers_and_no_others() {
    let upstream = Upstream::with_fields("app", &BOASTFUL).await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let get = async |path| told_apart(raw::get(edge.http, path, &[("Origin", LISTED)]).await);
    let everywhere = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("vary", "Origin, Referer, Sec-Fetch-Dest"),
        ("server-timing", "db;dur=5"),
    ];
    let silent = format!("{DEVICES}microphone=()");
    let with = |more: &[(&str, &str)]| fields(&[&everywhere[..], more].concat());
    assert_eq!(
        get("/w/w/assets/a.css").await,
        with(&[
            ("access-control-allow-origin", LISTED),
            ("access-control-expose-headers", "x-boast"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "private"),
            ("x-frame-options", "SAMEORIGIN"),
            ("timing-allow-origin", "*"),
        ])
    );
    assert_eq!(
        get("/w/w/frame").await,
        fields(&[
            everywhere[0],
            everywhere[1],
            everywhere[2],
            ("server-timing", "db;dur=5\nembed-ticket;desc=\"...\""),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "private, no-store"),
            ("content-security-policy", POLICY),
            ("permissions-policy", &silent),
        ])
    );
    assert_eq!(
        get("/w/w/session").await,
        with(&[
            ("access-control-allow-origin", LISTED),
            ("access-control-expose-headers", "x-boast"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "no-store"),
            ("x-frame-options", "SAMEORIGIN"),
            ("timing-allow-origin", "*"),
        ])
    );
    assert_eq!(
        get("/w/w/trust").await,
        with(&[
            ("cross-origin-resource-policy", "same-origin"),
            ("cdn-cache-control", "max-age=600"),
            ("content-security-policy", "frame-ancestors 'none'"),
            ("permissions-policy", &silent),
            ("x-frame-options", "DENY"),
            ("timing-allow-origin", "*"),
        ])
    );
}

#[tokio::test]
async fn only_a_widget_with_a_voice_gets_the_microphone() {
    let upstream = Upstream::start("app").await;
    let widgets =
        json!([{ "id": "v", "allowed_domains": ["example.com"], "capabilities": ["chat", "voice"] }]);
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets)).await;
    let get = async |path| raw::get(edge.http, path, &[("Referer", LISTED)]).await;
    let frame = get("/w/v/frame").await;
    assert_eq!(frame.field("permissions-policy"), format!("{DEVICES}microphone=(self), autoplay=(self)"));
    assert_eq!(get("/w/v/trust").await.field("permissions-policy"), format!("{DEVICES}microphone=()"));
    assert_eq!(get("/w/v/loader.js").await.field("permissions-policy"), "");
}

#[tokio::test]
async fn shared_caches_are_kept_out_unless_the_route_lets_them_in() {
    let upstream =
        Upstream::with_fields("app", &[("cache-control", "public, max-age=60, s-maxage=600, immutable")])
            .await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.routes =
        Some([usual_routes("app"), route("shared/{*rest}", "asset", "shared_cache = true")].concat());
    let edge = Edge::start(spec).await;
    let everyone = "public, max-age=60, s-maxage=600, immutable";
    for (path, expected) in [
        ("loader.js", "private, no-cache"),
        ("assets/a.css", "private, max-age=60, immutable"),
        ("shared/a.css", everyone),
        ("frame", "private, no-store"),
        ("session", everyone),
        ("trust", everyone),
    ] {
        let answer = raw::get(edge.http, &format!("/w/w/{path}"), &[("Origin", LISTED)]).await;
        assert_eq!(answer.field("cache-control"), expected, "{path}");
    }
}

#[tokio::test]
async fn a_route_overrides_header_by_header() {
    let upstream = Upstream::with_fields("app", &[("x-version", "1"), ("x-robots-tag", "all")]).await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.edge = "trusted_proxies = [\"127.0.0.1/32\"]".to_owned();
    let headers = "headers = { \"Referrer-Policy\" = \"same-origin\", \"Permissions-Policy\" = \"\", \
                   \"Strict-Transport-Security\" = \"max-age=60\", \"X-Version\" = \"\", \"X-Robots-Tag\" = \"none\", \
                   \"X-New\" = \"added\" }";
    let plain = "headers = { \"Strict-Transport-Security\" = \"\", \"Cache-Control\" = \"max-age=5\" }";
    spec.routes = Some([route("frame", "frame", headers), route("plain", "asset", plain)].concat());
    let edge = Edge::start(spec).await;
    let get = async |path| {
        let fields = [("Referer", LISTED), ("X-Forwarded-Proto", "https")];
        told_apart(raw::get(edge.http, path, &fields).await)
    };
    assert_eq!(
        get("/w/w/frame").await,
        fields(&[
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("strict-transport-security", "max-age=60"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "private, no-store"),
            ("server-timing", "embed-ticket;desc=\"...\""),
            ("content-security-policy", POLICY),
            ("vary", "Origin, Referer, Sec-Fetch-Dest"),
            ("x-robots-tag", "none"),
            ("x-new", "added"),
        ])
    );
    let plain = get("/w/w/plain").await;
    assert!(plain.contains(&("cache-control".to_owned(), "max-age=5".to_owned())), "{plain:?}");
    assert!(!plain.iter().any(|(name, _)| name == "strict-transport-security"), "{plain:?}");
}

#[tokio::test]
async fn what_the_upstream_says_of_framing_and_caching_stays_beside() {
    let fields = [
        ("content-security-policy", "default-src 'self'; frame-ancestors *"),
        ("vary", "Accept-Encoding"),
        ("etag", "\"1\""),
    ];
    let upstream = Upstream::with_fields("app", &fields).await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let both = format!("default-src 'self'; frame-ancestors *\n{POLICY}");
    for (path, own) in [
        ("frame", &*both),
        ("trust", "default-src 'self'; frame-ancestors *\nframe-ancestors 'none'"),
        ("session", "default-src 'self'; frame-ancestors *"),
    ] {
        let answer = raw::get(edge.http, &format!("/w/w/{path}"), &[("Origin", LISTED)]).await;
        assert_eq!(masked(answer.field("content-security-policy")), own, "{path}");
        assert_eq!(answer.field("vary"), "Accept-Encoding\nOrigin, Referer, Sec-Fetch-Dest", "{path}");
    }
}

/// A browser takes the fields of a 304 for its copy. A `GET` that says how long its body is takes the proxy library's
/// way, the other the direct one.
#[tokio::test]
async fn a_page_that_has_not_changed_keeps_its_policy() {
    let fields = [("x-test-status", "304"), ("etag", "\"1\""), ("x-frame-options", "SAMEORIGIN")];
    let upstream = Upstream::with_fields("app", &fields).await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let mut connection = Connection::open(edge.http).await;
    for (path, policy, cache_control, x_frame_options) in [
        ("/w/w/frame", POLICY, "private, no-store", ""),
        ("/w/w/trust", "frame-ancestors 'none'", "", "DENY"),
    ] {
        for way in [&[][..], &[("Content-Length", "0")]] {
            let known = [&[("Referer", LISTED), ("If-None-Match", "\"1\"")], way].concat();
            for _ in 0..2 {
                connection.send(raw::request("GET", edge.http, path, &known)).await;
                let answer = connection.head().await;
                assert_eq!((answer.status, answer.field("etag")), (304, "\"1\""), "{path} {way:?}");
                let told = ["content-security-policy", "cache-control", "x-frame-options"];
                let told = told.map(|name| masked(answer.field(name)));
                assert_eq!(told, [policy, cache_control, x_frame_options], "{path} {way:?}");
                assert!(answer.field("permissions-policy").starts_with(DEVICES), "{path} {way:?}");
            }
        }
    }
}

/// A policy's source expressions, whose order means nothing.
fn sources(policy: &str) -> BTreeSet<&str> {
    policy.split(' ').collect()
}

#[tokio::test]
async fn the_browser_is_told_who_may_frame() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([
        { "id": "list", "allowed_domains": ["example.com", "http://plain.example", ".both.example", "localhost",
            "app.example:8443", "any.example:*", "capacitor://localhost", "[2001:db8::1]", "192.0.2.1",
            { "pattern": "gone.example", "expires_at": "2020-01-01T00:00:00Z" }] },
        { "id": "odd", "allowed_domains": ["pr-*.preview.example", "a_b.sites.example"] },
        { "id": "open", "access": "open", "allowed_domains": ["example.com"] },
        { "id": "unset" },
        { "id": "watched", "access": "monitor", "allowed_domains": ["example.com"] },
        { "id": "locked", "access": "enforce" },
        { "id": "long", "allowed_domains": (0..300).map(|n| format!("site-{n}.example.com")).collect::<Vec<_>>() },
    ]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.more.push_str("[policy]\nsystem_origins = [\"https://console.vendor.example\"]\n");
    let edge = Edge::start(spec).await;
    let own = format!("http://localhost:{}", edge.http.port());
    let base = "frame-ancestors 'self' https://console.vendor.example";
    let list = format!(
        "{base} https://example.com http://plain.example https://both.example https://*.both.example \
         http://localhost:* https://localhost:* https://app.example:8443 https://any.example:* \
         capacitor://localhost https://192.0.2.1"
    );
    for (widget, embedder, expected) in [
        ("list", Some(LISTED), list.as_str()),
        ("list", None, &list),
        ("list", Some(&own), &list),
        ("odd", None, base),
        ("odd", Some("https://pr-1.preview.example"), &format!("{base} https://pr-1.preview.example")),
        ("odd", Some("https://a_b.sites.example"), &format!("{base} https://*.sites.example")),
        ("open", Some(STRANGER), ""),
        ("unset", None, ""),
        ("watched", Some(STRANGER), ""),
        ("locked", None, "frame-ancestors 'none'"),
        ("locked", Some("https://console.vendor.example"), base),
        ("long", Some("https://site-7.example.com"), &format!("{base} https://site-7.example.com")),
        ("long", None, "frame-ancestors 'none'"),
    ] {
        let fields: Vec<(&str, &str)> = embedder.iter().map(|embedder| ("Referer", *embedder)).collect();
        let answer = raw::get(edge.http, &format!("/w/{widget}/frame"), &fields).await;
        assert_eq!(answer.status, 200, "{widget} {embedder:?}");
        let policy = unreported(answer.field("content-security-policy"));
        assert_eq!(sources(&policy), sources(expected), "{widget} {embedder:?}");
    }
}
