//! What the edge answers itself: the page that asked can read it, it is cached nowhere, and the route's `headers` hold
//! for it.

use serde_json::{Value, json};

use super::{LISTED, STRANGER, one_widget, route};
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::Upstream;
use crate::support::{ports, raw};

const PREFLIGHT: (&str, &str) = ("Access-Control-Request-Method", "PUT");
const WEBSOCKET: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
];
const CLASSES: [&str; 4] = ["asset", "frame", "session", "public"];

/// A route of each class, named by it, on the upstream `app`, and one on an upstream that isn't there, with these keys.
fn routes(more: &str) -> String {
    let gone = format!(
        "[upstreams.gone]\nservers = [\"{}\"]\n\
         [[routes]]\npath = \"/w/{{widget}}/gone\"\nclass = \"session\"\nupstream = \"gone\"\n{more}\n",
        ports::free()
    );
    CLASSES.map(|class| route(class, class, more)).concat() + gone.as_str()
}

/// An answer of the edge's own: what it is, the request for it, and its status.
struct Own {
    name: &'static str,
    request: String,
    status: u16,
}

/// One of each, to a page of the origin that `who` names.
fn own_answers(edge: &Edge, who: &[(&str, &str)]) -> Vec<Own> {
    let fields = |more: &[(&str, &str)]| -> String {
        who.iter().chain(more).map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    };
    let asking = |method: &str, path: &str, more: &[(&str, &str)]| {
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{}\r\n", edge.http, fields(more))
    };
    let own = |name, request, status| Own { name, request, status };
    let long = format!("/w/w/session?{}", "a".repeat(9_000));
    let much = "a".repeat(65 * 1024);
    vec![
        own(
            "lengths",
            asking("POST", "/w/w/asset", &[("Content-Length", "1"), ("Content-Length", "1")]),
            400,
        ),
        own("dots", asking("GET", "/w/w/../session", &[]), 400),
        own("slash", asking("GET", "/w/w%2fsession", &[]), 400),
        own("dropped", asking("GET", "/w/w/frame", &[("Connection", "origin")]), 400),
        own("no host", format!("GET /w/w/session HTTP/1.1\r\n{}\r\n", fields(&[])), 400),
        own("websocket elsewhere", asking("GET", "/w/w/frame", &WEBSOCKET), 400),
        own("websocket for a ticket", asking("GET", "/w/w/embed-ticket", &WEBSOCKET), 400),
        own(
            "websocket with a body",
            asking("GET", "/w/w/session", &[&WEBSOCKET[..], &[("Content-Length", "4")]].concat()),
            400,
        ),
        own("nowhere", asking("GET", "/nowhere", &[]), 404),
        own("nothing of the widget's", asking("GET", "/w/w/nothing", &[]), 404),
        own("trace", asking("TRACE", "/w/w/public", &[]), 405),
        own("no call for a ticket", asking("PUT", "/w/w/embed-ticket", &[]), 405),
        own("long", asking("GET", &long, &[]), 414),
        own("much", asking("GET", "/w/w/asset", &[("X-Much", &much)]), 431),
    ]
}

/// That nobody keeps it, that it is a problem document which names its decision, and that it is readable.
fn assert_readable(name: &str, answer: &Answer, allow_origin: &str) {
    for (field, value) in [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("vary", "Origin, Referer, Sec-Fetch-Dest"),
        ("access-control-allow-origin", allow_origin),
        ("access-control-allow-credentials", ""),
        ("access-control-expose-headers", ""),
    ] {
        assert_eq!(answer.field(field), value, "{name}: {field} of {answer:?}");
    }
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], json!(answer.status), "{name}");
    assert_eq!(problem["decision_id"].as_str().map(str::len), Some(36), "{name}: {problem}");
}

#[tokio::test]
async fn every_refusal_can_be_read_by_the_page_that_asked() {
    let upstream = Upstream::start("app").await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.routes =
        Some(routes("").replace("class = \"session\"\n", "class = \"session\"\ncredentials = true\n"));
    let edge = Edge::start(spec).await;
    for (who, allow_origin) in [
        (&[("Origin", LISTED)][..], LISTED),
        (&[("Origin", STRANGER)], STRANGER),
        (&[("Referer", "https://example.com/page")], LISTED),
        (&[("Origin", "null"), ("Referer", "https://example.com/page")], "null"),
        (&[("Origin", "https://EXAMPLE.com")], ""),
        (&[("Origin", LISTED), ("Origin", LISTED)], ""),
        (&[], ""),
    ] {
        for own in own_answers(&edge, who) {
            let answer = Connection::open(edge.http).await.ask(&own.request).await;
            assert_eq!(answer.status, own.status, "{}: {answer:?}", own.name);
            assert_readable(own.name, &answer, allow_origin);
        }
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(edge.decisions(), Vec::<Value>::new(), "refused before they are judged");
}

/// Frames and public pages are for no script to read, but the failure of one is.
#[tokio::test]
async fn every_failure_can_be_read_by_the_page_that_asked() {
    let widgets =
        json!([{ "id": "w", "allowed_domains": ["example.com"] }, { "id": "open", "access": "open" }]);
    let edge = Edge::start(EdgeSpec::on(ports::free(), &widgets)).await;
    for path in ["loader.js", "assets/a", "frame", "trust"] {
        for (origin, allow_origin) in [(LISTED, LISTED), ("", "")] {
            for way in [&[][..], &[("Content-Length", "0")]] {
                let fields = [&[("Origin", origin)], way].concat();
                let fields = if origin.is_empty() { &fields[1..] } else { &fields[..] };
                let answer = raw::get(edge.http, &format!("/w/w/{path}"), fields).await;
                assert_eq!(answer.status, 502, "{path} {answer:?}");
                assert_readable(path, &answer, allow_origin);
            }
        }
    }
    // What an open widget's answers say to everyone is for scripts alone.
    for (path, allow_origin) in [("/w/open/session", "*"), ("/w/open/trust", STRANGER)] {
        let answer = raw::get(edge.http, path, &[("Origin", STRANGER)]).await;
        assert_eq!(answer.status, 502);
        assert_readable(path, &answer, allow_origin);
    }
}

/// A page that asks with fields of its own asks for leave first. Were that refused, it could not read why.
#[tokio::test]
async fn the_preflight_of_a_refused_request_passes() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let long = format!("/w/w/session?{}", "a".repeat(9_000));
    for path in ["/w/w%2fsession", "/w/w/x/../session", &long, "/nowhere", "/w/w/nothing"] {
        for origin in [LISTED, STRANGER, "null"] {
            let fields = [("Origin", origin), PREFLIGHT, ("Access-Control-Request-Headers", "x-one")];
            let request = raw::request("OPTIONS", edge.http, path, &fields);
            let answer = Connection::open(edge.http).await.ask(request).await;
            assert_eq!(answer.status, 204, "{path} {answer:?}");
            for (name, value) in [
                ("access-control-allow-origin", origin),
                ("access-control-allow-methods", "PUT"),
                ("access-control-allow-headers", "x-one"),
                ("access-control-allow-credentials", ""),
                ("access-control-max-age", "0"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(answer.field(name), value, "{path} {name}");
            }
        }
        let malformed = [("Origin", "https://A.example"), PREFLIGHT];
        let request = raw::request("OPTIONS", edge.http, path, &malformed);
        let answer = Connection::open(edge.http).await.ask(request).await;
        assert!([400, 404, 414].contains(&answer.status), "there is no page to tell: {answer:?}");
    }
    assert_eq!(upstream.requests(), 0);
}

/// An edge behind a proxy that speaks https, with these keys on every route.
async fn https_edge(upstream: &Upstream, more: &str) -> Edge {
    let widgets = json!([
        { "id": "w", "allowed_domains": ["example.com"] },
        { "id": "voice", "allowed_domains": ["example.com"], "capabilities": ["voice"] },
    ]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.edge = "trusted_proxies = [\"127.0.0.1/32\"]".to_owned();
    spec.routes = Some(routes(more));
    Edge::start(spec).await
}

const HTTPS: (&str, &str) = ("X-Forwarded-Proto", "https");

/// Every answer of the edge's own that a route can give: its name, the class of the route, and the answer.
async fn all_own_answers(edge: &Edge) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    for class in CLASSES {
        let path = if class == "public" { "/w/unknown/public".to_owned() } else { format!("/w/w/{class}") };
        for dest in ["", "script", "iframe"] {
            let fields = [("Origin", STRANGER), HTTPS, ("Sec-Fetch-Dest", dest)];
            let fields = if dest.is_empty() { &fields[..2] } else { &fields };
            answers.push((format!("denied {class} {dest}"), raw::get(edge.http, &path, fields).await));
        }
        for origin in [LISTED, STRANGER] {
            let request = raw::request("OPTIONS", edge.http, &path, &[("Origin", origin), HTTPS, PREFLIGHT]);
            let answer = Connection::open(edge.http).await.ask(request).await;
            answers.push((format!("preflight {class} {origin}"), answer));
        }
    }
    for own in own_answers(edge, &[("Origin", LISTED), HTTPS]) {
        answers.push((own.name.to_owned(), Connection::open(edge.http).await.ask(&own.request).await));
    }
    answers.push(("failed".to_owned(), raw::get(edge.http, "/w/w/gone", &[("Origin", LISTED), HTTPS]).await));
    for origin in [LISTED, STRANGER] {
        let request = raw::request("POST", edge.http, "/w/w/embed-ticket", &[("Origin", origin), HTTPS]);
        let answer = Connection::open(edge.http).await.ask(request).await;
        answers.push((format!("ticket {origin}"), answer));
    }
    answers
}

#[tokio::test]
async fn what_routes_remove_is_on_no_answer_of_the_edges_own() {
    let upstream = Upstream::start("app").await;
    let headers = "headers = { \"Strict-Transport-Security\" = \"\", \"X-Content-Type-Options\" = \"\", \
                   \"Cross-Origin-Resource-Policy\" = \"\", \"Cross-Origin-Embedder-Policy\" = \"\", \
                   \"Content-Type\" = \"\", \"ETag\" = \"\" }";
    let edge = https_edge(&upstream, headers).await;
    for (name, answer) in all_own_answers(&edge).await {
        for gone in [
            "strict-transport-security",
            "x-content-type-options",
            "cross-origin-resource-policy",
            "cross-origin-embedder-policy",
        ] {
            assert_eq!(answer.field(gone), "", "{name}: {gone} of {answer:?}");
        }
        // What a body is, and for how long, is said by who wrote it.
        assert_eq!(answer.field("content-type").is_empty(), answer.status == 204, "{name}: {answer:?}");
        assert_eq!(answer.field("cache-control"), "no-store", "{name}");
    }
}

#[tokio::test]
async fn what_routes_replace_is_replaced_on_the_edges_own_answers() {
    let upstream = Upstream::start("app").await;
    let replaced = [
        ("strict-transport-security", "max-age=60"),
        ("cross-origin-resource-policy", "same-site"),
        ("cross-origin-embedder-policy", "credentialless"),
        ("referrer-policy", "same-origin"),
        ("permissions-policy", "camera=()"),
        ("x-robots-tag", "noindex"),
    ];
    // None of these is said of an answer of the edge's own.
    let upstreams = [
        ("content-type", "text/x-own"),
        ("content-language", "de"),
        ("etag", "\"own\""),
        ("link", "</w/w/a.css>; rel=preload; as=style"),
        ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
        ("location", "/elsewhere"),
        ("retry-after", "7"),
    ];
    let headers: Vec<String> =
        replaced.iter().chain(&upstreams).map(|(name, value)| format!("{name} = {value:?}")).collect();
    let edge = https_edge(&upstream, &format!("headers = {{ {} }}", headers.join(", "))).await;
    for (name, answer) in all_own_answers(&edge).await {
        for (field, value) in replaced {
            assert_eq!(answer.field(field), value, "{name}: {field} of {answer:?}");
        }
        for (field, value) in upstreams {
            assert_ne!(answer.field(field), value, "{name}: {field}");
        }
    }
    for class in CLASSES {
        let answer = raw::get(edge.http, &format!("/w/w/{class}"), &[("Origin", LISTED), HTTPS]).await;
        assert_eq!(answer.status, 200);
        for (field, value) in replaced.iter().chain(&upstreams) {
            assert_eq!(answer.field(field), *value, "{class}");
        }
    }
}

/// One route's wish is not another's, nor that of what belongs to none.
#[tokio::test]
async fn a_routes_headers_hold_for_its_own_answers_alone() {
    let upstream = Upstream::start("app").await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.edge = "trusted_proxies = [\"127.0.0.1/32\"]".to_owned();
    let sooner = "headers = { \"Strict-Transport-Security\" = \"max-age=60\", \"X-Robots-Tag\" = \"none\" }";
    spec.routes = Some([usual_routes("app"), route("sooner", "asset", sooner)].concat());
    let edge = Edge::start(spec).await;
    for (path, hsts, robots) in [
        ("/w/w/sooner", "max-age=60", "none"),
        ("/w/w/loader.js", "max-age=31536000", ""),
        ("/w/w/frame", "max-age=31536000", ""),
        ("/w/w/embed-ticket", "max-age=31536000", ""),
        ("/nowhere", "max-age=31536000", ""),
    ] {
        let answer = raw::get(edge.http, path, &[("Origin", STRANGER), HTTPS]).await;
        assert!([403, 404, 405].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.field("strict-transport-security"), hsts, "{path}");
        assert_eq!(answer.field("x-robots-tag"), robots, "{path}");
        let plain = raw::get(edge.http, path, &[("Origin", STRANGER)]).await;
        assert_eq!(plain.field("strict-transport-security"), "", "{path}: RFC 6797 §7.2");
    }
}

/// The answer to one request, ids and dates made alike.
async fn alike(edge: &Edge, method: &str, path: &str, widget: &str, fields: &[(&str, &str)]) -> String {
    let request = raw::request(method, edge.http, &format!("/w/{widget}/{path}"), fields);
    let mut connection = Connection::open(edge.http).await;
    connection.send(request).await;
    let text = connection.verbatim().await;
    let id = ["decision_id\":\"", "(decision ", "Decision "]
        .into_iter()
        .find_map(|word| Some(text.find(word)? + word.len()));
    let text = id.map_or(text.clone(), |at| text.replace(&text[at..at + 36], "ID"));
    text.split("\r\n").filter(|line| !line.starts_with("Date:")).collect::<Vec<_>>().join("\r\n")
}

#[tokio::test]
async fn overridden_headers_tell_no_widgets_apart() {
    let upstream = Upstream::start("app").await;
    let headers = "headers = { \"Permissions-Policy\" = \"camera=()\", \"Strict-Transport-Security\" = \"max-age=60\", \
                   \"Referrer-Policy\" = \"\" }";
    let edge = https_edge(&upstream, headers).await;
    for class in CLASSES {
        let widget = |widget| if class == "public" { "no_such" } else { widget };
        for dest in ["", "script", "iframe"] {
            for (origin, method) in
                [(STRANGER, "GET"), ("null", "GET"), ("https://A.example", "POST"), (STRANGER, "OPTIONS")]
            {
                let fields = [("Origin", origin), HTTPS, PREFLIGHT, ("Sec-Fetch-Dest", dest)];
                let fields = if dest.is_empty() { &fields[..3] } else { &fields };
                let unknown = alike(&edge, method, class, "unknown", fields).await;
                for known in ["w", "voice"] {
                    let answer = alike(&edge, method, class, widget(known), fields).await;
                    assert_eq!(answer, unknown, "{known} {class} {dest} {origin} {method}");
                }
                // Refused before there is a verdict, it says no more.
                let long = format!("{class}?{}", "a".repeat(9_000));
                let refused = alike(&edge, method, &long, "unknown", fields).await;
                assert_eq!(
                    alike(&edge, method, &long, "voice", fields).await,
                    refused,
                    "{class} {dest} {origin}"
                );
            }
        }
    }
    assert_eq!(upstream.requests(), 0);
}
