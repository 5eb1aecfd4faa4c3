//! Every way of a request to its verdict leaves one sighting of who embeds, and no other request leaves any.

use bytes::Bytes;
use embedgate::activity::sighting::{ClientClass, SightingKind};
use h2::client::SendRequest;
use http::Request;
use serde_json::{Value, json};

use crate::support::edge::{EdgeSpec, usual_routes};
use crate::support::in_process::{InProcess, Seen};
use crate::support::raw::{Answer, Connection, request};
use crate::support::tls::EdgeTls;
use crate::support::upstream::Upstream;
use crate::support::websocket::{
    SocketUpstream, closed, exchange, handshake, hears_itself, open, open_offering,
};
use embedgate_policy::verdict::Reason;

const SITE: &str = "https://a.example";
const OTHER: &str = "https://b.example";
const STRANGER: &str = "https://stranger.example";
const SYSTEM: &str = "https://dashboard.example";

fn widget(id: &str, domains: &Value) -> Value {
    json!({ "id": id, "access": "enforce", "allowed_domains": domains })
}

/// One widget of each access, for one site.
fn spec(upstream: std::net::SocketAddr) -> EdgeSpec {
    let list = json!(["a.example"]);
    let widgets = json!([
        widget("w", &list),
        { "id": "monitored", "access": "monitor", "allowed_domains": list },
        { "id": "open", "access": "open" },
        { "id": "off", "enabled": false },
    ]);
    let mut spec = EdgeSpec::on(upstream, &widgets);
    spec.more += &format!("[policy]\nsystem_origins = [\"{SYSTEM}\"]\n");
    spec
}

fn seen(
    widget: &str,
    embedder: &str,
    kind: SightingKind,
    client: impl Into<Option<ClientClass>>,
) -> Vec<Seen> {
    vec![Seen { widget: widget.to_owned(), embedder: embedder.to_owned(), kind, client: client.into() }]
}

const fn admitted(reason: Reason) -> SightingKind {
    SightingKind::Admitted { reason, would_deny: None }
}

const fn monitored(would_deny: Reason) -> SightingKind {
    SightingKind::Admitted { reason: Reason::Unrestricted, would_deny: Some(would_deny) }
}

const fn refused(reason: Reason) -> SightingKind {
    SightingKind::Refused { reason }
}

/// Pages at widgets, and what is seen of them.
const PAGES: [(&str, &str, SightingKind); 8] = [
    ("w", SITE, admitted(Reason::Exact)),
    ("w", STRANGER, refused(Reason::NotListed)),
    ("w", "http://a.example", refused(Reason::InsecureScheme)),
    ("w", SYSTEM, admitted(Reason::SystemOrigin)),
    ("monitored", SITE, admitted(Reason::Exact)),
    ("monitored", STRANGER, monitored(Reason::NotListed)),
    ("open", STRANGER, admitted(Reason::Unrestricted)),
    ("off", SITE, refused(Reason::WidgetDisabled)),
];

/// Everything that a page can ask for.
const ASKED: [(&str, &str); 7] = [
    ("GET", "loader.js"),
    ("GET", "assets/a.css"),
    ("HEAD", "assets/b.css"),
    ("GET", "frame"),
    ("GET", "session"),
    ("POST", "session/messages"),
    ("POST", "embed-ticket"),
];

async fn ask(edge: &InProcess, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let length = ("Content-Length", "0");
    let fields: Vec<_> = fields.iter().copied().chain((method == "POST").then_some(length)).collect();
    let mut connection = Connection::open(edge.http).await;
    connection.send(request(method, edge.http, path, &fields)).await;
    // A HEAD has no body, whatever its length.
    if method == "HEAD" { connection.head().await } else { connection.answer().await }
}

async fn ask_over_http2(client: &SendRequest<Bytes>, method: &str, path: &str, fields: &[(&str, &str)]) {
    let mut request = Request::builder().method(method).uri(format!("https://chat.example{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (answer, _) = client.clone().send_request(request.body(()).unwrap(), true).unwrap();
    answer.await.unwrap();
}

/// How a browser names a page: a frame has no `Origin`.
fn names(path: &str, page: &str) -> (&'static str, String) {
    if path == "frame" { ("referer", format!("{page}/page?of=it")) } else { ("origin", page.to_owned()) }
}

#[tokio::test]
async fn every_request_of_a_page_is_seen_once_over_any_protocol() {
    let upstream = Upstream::with_fields("app", &[("cache-control", "public, max-age=600")]).await;
    let (mut spec, tls) = (spec(upstream.addr), EdgeTls::of("chat.example"));
    tls.add_to(&mut spec);
    let edge = InProcess::start(spec).await;
    let client = tls.http2().await;
    for (id, page, kind) in PAGES {
        for (method, path) in ASKED {
            let (name, named) = names(path, page);
            let fields = [(name, named.as_str()), ("sec-fetch-site", "cross-site")];
            let path = format!("/w/{id}/{path}");
            let expected = seen(id, page, kind, ClientClass::Browser);
            // The second time, assets come from memory.
            for _ in 0..2 {
                let answer = ask(&edge, method, &path, &fields).await;
                assert_eq!(edge.seen(), expected, "{method} {path} of {page}: {answer:?}");
            }
            ask_over_http2(&client, method, &path, &fields).await;
            assert_eq!(edge.seen(), expected, "{method} {path} of {page} over HTTP/2");
        }
        let socket = handshake(&format!("/w/{id}/session"), page, "Sec-Fetch-Site: cross-site\r\n");
        Connection::open(edge.http).await.ask(socket).await;
        assert_eq!(edge.seen(), seen(id, page, kind, None), "a WebSocket of {page}");
    }
    ask(&edge, "GET", "/w/w/assets/a.css", &[("origin", "null")]).await;
    assert_eq!(edge.seen(), seen("w", "null", refused(Reason::OpaqueOrigin), ClientClass::Unknown));
}

#[tokio::test]
async fn clients_are_told_apart() {
    let upstream = Upstream::start("app").await;
    let edge = InProcess::start(spec(upstream.addr)).await;
    let own = format!("http://localhost:{}", edge.http.port());
    let of_host = format!("http://{}", edge.http);
    let (contradictory, browser, unknown) =
        (ClientClass::Contradictory, ClientClass::Browser, ClientClass::Unknown);
    for (name, page, site, expected) in [
        ("origin", STRANGER, "same-origin", contradictory),
        ("origin", STRANGER, "same-site", browser),
        ("origin", STRANGER, "", unknown),
        ("referer", "https://stranger.example/", "same-origin", browser),
        // Browsers say so where the edge has one more name than its configuration.
        ("origin", &*of_host, "same-origin", browser),
    ] {
        ask(&edge, "GET", "/w/w/assets/a.css", &[(name, page), ("sec-fetch-site", site)]).await;
        let embedder = page.trim_end_matches('/');
        assert_eq!(edge.seen(), seen("w", embedder, refused(Reason::NotListed), expected), "{page} {site}");
    }
    let ticket = ask(&edge, "POST", "/w/w/embed-ticket", &[("origin", SITE)]).await;
    edge.seen();
    let of_iframe =
        [("origin", &*own), ("sec-fetch-site", "same-origin"), ("authorization", &*embed(&ticket))];
    ask(&edge, "GET", "/w/w/session", &of_iframe).await;
    assert_eq!(edge.seen(), seen("w", SITE, admitted(Reason::Ticket), browser));
}

/// The ticket of an answer.
fn given(answer: &Answer) -> String {
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    told["ticket"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn embed(answer: &Answer) -> String {
    format!("Embed {}", given(answer))
}

#[tokio::test]
async fn the_widgets_own_iframe_is_seen_as_the_page_that_its_ticket_names() {
    let upstream = Upstream::start("app").await;
    let edge = InProcess::start(spec(upstream.addr)).await;
    let own = format!("http://localhost:{}", edge.http.port());
    let first = ask(&edge, "POST", "/w/w/embed-ticket", &[("origin", SITE)]).await;
    assert_eq!(edge.seen(), seen("w", SITE, admitted(Reason::Exact), ClientClass::Unknown));
    let (ticket, authorization) = (given(&first), embed(&first));
    let frame = format!("/w/w/frame?ticket={ticket}");
    let referer = format!("{own}/w/w/frame");
    let called = [("origin", &*own), ("authorization", &*authorization)];
    let reloaded = [("referer", &*referer), ("sec-fetch-dest", "iframe")];
    let ways = [
        ("GET", "/w/w/session", &called),
        ("POST", "/w/w/session/messages", &called),
        ("POST", "/w/w/embed-ticket", &called),
        ("GET", &*frame, &reloaded),
    ];
    for (method, path, fields) in ways {
        ask(&edge, method, path, fields).await;
        assert_eq!(
            edge.seen(),
            seen("w", SITE, admitted(Reason::Ticket), ClientClass::Unknown),
            "{method} {path}"
        );
    }
    edge.save(&widget("w", &json!(["b.example"])));
    for (method, path, fields) in ways {
        ask(&edge, method, path, fields).await;
        assert_eq!(
            edge.seen(),
            seen("w", SITE, refused(Reason::NotListed), ClientClass::Unknown),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn what_names_no_page_or_is_not_for_a_widget_is_not_seen() {
    let upstream = Upstream::start("app").await;
    let edge = InProcess::start(spec(upstream.addr)).await;
    let own = format!("http://localhost:{}", edge.http.port());
    for (method, path, fields) in [
        ("GET", "/w/w/trust", &[("origin", STRANGER)][..]),
        ("GET", "/w/unknown/loader.js", &[("origin", SITE)]),
        ("GET", "/w/no%20id/loader.js", &[("origin", SITE)]),
        ("POST", "/w/unknown/embed-ticket", &[("origin", SITE)]),
        ("GET", "/nothing/here", &[("origin", SITE)]),
        ("GET", "/w/w/loader.js", &[]),
        ("GET", "/w/w/session", &[]),
        ("GET", "/w/w/session", &[("origin", "https://A.example")]),
        ("GET", "/w/w/session", &[("origin", SITE), ("origin", SITE)]),
        // The widget's own iframe.
        ("GET", "/w/w/assets/a.css", &[("referer", &own)]),
        ("GET", "/w/w/frame", &[("referer", &own)]),
        ("GET", "/w/w/session", &[("origin", &own)]),
        ("GET", "/w/monitored/session", &[("origin", &own)]),
        ("GET", "/w/open/session", &[("origin", &own)]),
        // Refused before it is judged.
        ("TRACE", "/w/w/session", &[("origin", SITE)]),
        ("GET", "/w/w/embed-ticket", &[("origin", SITE)]),
        ("GET", "/w/w/%2e/session", &[("origin", SITE)]),
    ] {
        let answer = ask(&edge, method, path, fields).await;
        assert_eq!(edge.seen(), Vec::new(), "{method} {path} {fields:?}: {answer:?}");
    }
}

/// An allowed page's preflight, and a denied one's, which passes so that the page can read the denial, are followed by the
/// request itself. Where scripts send cookies, none follows a preflight that grants no right to that.
#[tokio::test]
async fn a_preflight_is_seen_where_no_request_follows() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr);
    let with_cookies = "[[routes]]\npath = \"/w/{widget}/cookies\"\nclass = \"session\"\nupstream = \"app\"\n\
                        credentials = true\n";
    spec.routes = Some(usual_routes("app") + with_cookies);
    let edge = InProcess::start(spec).await;
    for path in ["session/messages", "cookies", "embed-ticket", "assets/a.css", "frame"] {
        for (id, page, kind) in PAGES {
            let fields = [("origin", page), ("access-control-request-method", "POST")];
            let answer = ask(&edge, "OPTIONS", &format!("/w/{id}/{path}"), &fields).await;
            let grants = answer.field("access-control-allow-credentials") == "true";
            let expected = match path == "cookies" && !grants {
                true => seen(id, page, kind, ClientClass::Unknown),
                false => Vec::new(),
            };
            assert_eq!(edge.seen(), expected, "{path} of {page} at {id}: {answer:?}");
            let is_listed =
                matches!(kind, SightingKind::Admitted { reason, .. } if reason != Reason::Unrestricted);
            assert_eq!(grants, path == "cookies" && is_listed, "{path} of {page} at {id}");
        }
    }
}

#[tokio::test]
async fn a_prefetch_is_not_seen() {
    let upstream = Upstream::start("app").await;
    let edge = InProcess::start(spec(upstream.addr)).await;
    for (id, page, kind) in PAGES {
        for (method, path) in ASKED {
            let (name, named) = names(path, page);
            for purpose in ["prefetch", "prefetch;prerender"] {
                let fields = [(name, named.as_str()), ("sec-purpose", purpose)];
                ask(&edge, method, &format!("/w/{id}/{path}"), &fields).await;
                assert_eq!(edge.seen(), Vec::new(), "{method} {path} of {page} at {id}");
            }
        }
        // Browsers put this off until the prerendered page is shown.
        let (name, named) = names("frame", page);
        let fields =
            [(name, named.as_str()), ("sec-fetch-dest", "iframe"), ("sec-purpose", "prefetch;prerender")];
        ask(&edge, "GET", &format!("/w/{id}/frame"), &fields).await;
        assert_eq!(edge.seen(), seen(id, page, kind, ClientClass::Unknown), "{page} at {id}");
    }
}

#[tokio::test]
async fn open_sessions_that_a_change_denies_are_seen_as_their_pages() {
    let upstream = SocketUpstream::echo().await;
    let edge = InProcess::start(spec(upstream.addr)).await;
    let own = format!("http://localhost:{}", edge.http.port());
    edge.save(&widget("w", &json!(["a.example", "b.example"])));
    let session = async |id: &str, page: &str| {
        let (mut socket, _) = open(edge.http, &format!("/w/{id}/session"), page).await.unwrap();
        hears_itself(&mut socket).await;
        socket
    };
    let ticket = given(&ask(&edge, "POST", "/w/w/embed-ticket", &[("origin", SITE)]).await);
    let offered = format!("embed-ticket.{ticket}");
    let (mut of_iframe, _) = open_offering(edge.http, "/w/w/session", &own, &offered).await.unwrap();
    hears_itself(&mut of_iframe).await;
    let mut cut = [of_iframe, session("w", SITE).await];
    let (mut stays, mut open) = (session("w", OTHER).await, session("open", STRANGER).await);
    let mut monitored = session("monitored", STRANGER).await;
    edge.seen();

    edge.save(&widget("w", &json!(["b.example"])));
    let expected = seen("w", SITE, refused(Reason::NotListed), None);
    assert_eq!(edge.seen(), expected, "one for both sessions of the page");
    for socket in &mut cut {
        assert_eq!(closed(socket).await.0, 1008);
    }
    exchange(&mut stays, "still there").await;
    edge.save(&json!({ "id": "monitored", "access": "monitor", "allowed_domains": ["b.example"] }));
    exchange(&mut monitored, "still there").await;
    assert_eq!(edge.seen(), Vec::new(), "nobody was denied");
    edge.save(&json!({ "id": "open", "enabled": false }));
    assert_eq!(edge.seen(), seen("open", STRANGER, refused(Reason::WidgetDisabled), None));
    assert_eq!(closed(&mut open).await.0, 1008);
    // Nothing is kept of a widget that is no more.
    edge.delete("w");
    assert_eq!(closed(&mut stays).await.0, 1008);
    assert_eq!(edge.seen(), Vec::new());
}
