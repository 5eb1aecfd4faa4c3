//! What a client claims about itself or about the edge: no upstream hears it, however it is spelt and by whatever way
//! it comes, but for what a trusted proxy may say.

use super::client::{Frame, Http1, Http2, head};
use super::recorder::Request;
use super::{LISTED, Stage, echo};
use crate::support::raw::{Connection, request};

/// What only the edge says, and what frameworks route by: from nobody.
const OF_NOBODY: [&str; 10] = [
    "X-Widget-Id",
    "X-Widget-Environment",
    "X-Widget-Anything",
    "X-Embedder-Origin",
    "X-Embedder-Anything",
    "X-Decision-Id",
    "X-Decision-Anything",
    "Proxy",
    "X-Original-URL",
    "X-Rewrite-URL",
];
/// What a proxy says of a client: from trusted ones.
const OF_PROXIES: [&str; 11] = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Anything",
    "Forwarded",
    "X-Real-IP",
    "True-Client-IP",
    "X-Client-IP",
    "CF-Connecting-IP",
];
/// What says where a message ends, as some servers read it.
const OF_FRAMING: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// The spellings that servers read like a name of hyphens, itself excepted: every one of `_`, `.` and `-` in the places
/// of its hyphens.
fn aliases(name: &str) -> Vec<String> {
    let mut spelt = vec![String::new()];
    for letter in name.chars() {
        let choices: &[char] = if letter == '-' { &['-', '_', '.'] } else { &[letter] };
        spelt = spelt
            .into_iter()
            .flat_map(|start| choices.iter().map(move |choice| format!("{start}{choice}")))
            .collect();
    }
    spelt.retain(|spelling| spelling != name);
    spelt
}

/// In the cases that a name may come in.
fn cased(name: &str, turn: usize) -> String {
    match turn % 3 {
        0 => name.to_owned(),
        1 => name.to_ascii_lowercase(),
        _ => name.to_ascii_uppercase(),
    }
}

/// The ways by which a request reaches an upstream.
struct Ways<'s> {
    stage: &'s Stage,
    kept: Http1,
    http2: Http2,
    turn: usize,
}

impl<'s> Ways<'s> {
    async fn of(stage: &'s Stage) -> Self {
        Self { stage, kept: stage.plain().await, http2: stage.http2().await, turn: 0 }
    }

    /// Sends these fields by every way, and tells what the upstream got by each.
    async fn send(&mut self, claims: &[(String, &str)]) -> Vec<(String, Request)> {
        let mut seen = Vec::new();
        for below in ["w", "x"] {
            let target = format!("/{below}/w/session/a");
            let handshake = [
                ("Connection", "Upgrade"),
                ("Upgrade", "websocket"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ];
            for (way, method, more, body) in [
                ("get", "GET", &[][..], ""),
                ("closed", "GET", &[("Connection", "close")], ""),
                ("post", "POST", &[("Content-Length", "4")], "body"),
                ("chunks", "POST", &[("Transfer-Encoding", "chunked")], "4\r\nbody\r\n0\r\n\r\n"),
                ("handshake", "GET", &handshake, ""),
                ("h2 get", "GET", &[], ""),
                ("h2 post", "POST", &[], "body"),
            ] {
                self.turn += 1;
                let (case, told) = (self.turn.to_string(), format!("{way} {target} {claims:?}"));
                let mut fields = vec![("Origin", LISTED), ("X-Case", &case)];
                fields.extend(claims.iter().map(|(name, value)| (name.as_str(), *value)));
                fields.extend_from_slice(more);
                let answer = match way {
                    "h2 get" | "h2 post" => {
                        let frames = [Frame::Last(b"body".to_vec())];
                        let frames = if body.is_empty() { &[][..] } else { &frames };
                        self.http2.ask(method, &target, &fields, frames).await
                    }
                    "closed" | "handshake" => {
                        self.stage.plain().await.ask(head(method, &target, &fields)).await
                    }
                    _ => self.kept.ask(head(method, &target, &fields) + body).await,
                };
                assert_eq!((answer.status, answer.text()), (200, target.clone()), "{told}: {answer:?}");
                let request = self.stage.upstream(below).one(&case);
                let body: &[u8] = if body.is_empty() { b"" } else { b"body" };
                assert_eq!(request.body, body, "{told}: what the fields say of a body is not believed");
                seen.push((told, request));
            }
        }
        seen
    }
}

fn assert_unheard(seen: &[(String, Request)]) {
    for (told, request) in seen {
        let heard: Vec<_> = request.fields.iter().filter(|(_, value)| value.contains("claimed")).collect();
        assert!(heard.is_empty(), "{told}: {heard:?}");
        for name in ["x-widget-id", "x-embedder-origin", "x-decision-id", "x-forwarded-for"] {
            assert_eq!(request.field(name).len(), 1, "{told}: {name}: {:?}", request.fields);
        }
    }
}

/// Each alone first, so that what passes is named.
async fn assert_each_unheard(ways: &mut Ways<'_>, names: Vec<String>) {
    let claims: Vec<_> =
        names.iter().enumerate().map(|(turn, name)| (cased(name, turn), "claimed")).collect();
    let mut passed = Vec::new();
    for (told, request) in ways.send(&claims).await {
        for (name, _) in request.fields.iter().filter(|(_, value)| value.contains("claimed")) {
            passed.push(format!("{} by {}", name, told.split(' ').take(2).collect::<Vec<_>>().join(" ")));
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
    for name in &names {
        for turn in 0..3 {
            if cased(name, turn) != *name || turn == 0 {
                assert_unheard(&ways.send(&[(cased(name, turn), "claimed")]).await);
            }
        }
    }
}

#[tokio::test]
async fn strangers_claim_nothing() {
    let stage = Stage::start(echo).await;
    let mut ways = Ways::of(&stage).await;
    let names = OF_NOBODY.iter().chain(&OF_PROXIES).map(|name| (*name).to_owned()).collect();
    assert_each_unheard(&mut ways, names).await;
    stage.assert_well_formed();
}

#[tokio::test]
async fn strangers_claim_nothing_under_another_spelling() {
    let stage = Stage::start(echo).await;
    let mut ways = Ways::of(&stage).await;
    let all = OF_NOBODY.iter().chain(&OF_PROXIES).chain(&OF_FRAMING);
    let names: Vec<String> = all.flat_map(|name| aliases(name)).collect();
    assert!(names.contains(&"X.Forwarded.For".to_owned()) && names.contains(&"Content_Length".to_owned()));
    // All of them at once, some forty a request.
    for (turn, names) in names.chunks(40).enumerate() {
        let claims: Vec<_> = names.iter().map(|name| (cased(name, turn), "claimed")).collect();
        let mut passed = Vec::new();
        for (told, request) in ways.send(&claims).await {
            for (name, _) in request.fields.iter().filter(|(_, value)| value.contains("claimed")) {
                passed.push(format!("{} by {}", name, told.split(' ').take(2).collect::<Vec<_>>().join(" ")));
            }
        }
        assert!(passed.is_empty(), "{passed:#?}");
    }
    for (name, value) in
        [("Content_Length", "3"), ("Transfer_Encoding", "chunked"), ("content.length", "999")]
    {
        for (told, request) in ways.send(&[(name.to_owned(), value)]).await {
            let name = name.to_ascii_lowercase();
            assert!(request.field(&name).is_empty(), "{told}: {:?}", request.fields);
        }
    }
    stage.assert_well_formed();
}

/// What begins alike is another field.
#[tokio::test]
async fn what_is_no_claim_passes() {
    let stage = Stage::start(echo).await;
    let mut ways = Ways::of(&stage).await;
    let names = [
        "X-Widgets",
        "X-Widget",
        "X-Forward",
        "X-Forwarded",
        "Proxy-Status",
        "X-Original-URLs",
        "X-Original-Method",
        "X-Real-IPs",
        "X-HTTP-Method-Override",
        "Content-Length-Hint",
        "X_Custom",
        "x.dotted.name",
        "XForwardedFor",
    ];
    let claims: Vec<_> = names.iter().map(|name| ((*name).to_owned(), "told")).collect();
    for (told, request) in ways.send(&claims).await {
        for name in names {
            assert_eq!(request.field(&name.to_ascii_lowercase()), ["told"], "{told}: {name}");
        }
    }
    stage.assert_well_formed();
}

#[tokio::test]
async fn trusted_proxies_speak_of_clients_and_of_nothing_else() {
    let stage = Stage::with("trusted_proxies = [\"127.0.0.0/8\"]", 1, echo).await;
    let mut ways = Ways::of(&stage).await;
    let names = OF_NOBODY.iter().map(|name| (*name).to_owned()).collect();
    assert_each_unheard(&mut ways, names).await;
    // A proxy says what it says under its own name; what is spelt otherwise is the client's, passed on.
    let all = OF_NOBODY.iter().chain(&OF_PROXIES).chain(&OF_FRAMING);
    let names: Vec<String> = all.flat_map(|name| aliases(name)).collect();
    for names in names.chunks(40) {
        let claims: Vec<_> = names.iter().map(|name| (name.clone(), "claimed")).collect();
        assert_unheard(&ways.send(&claims).await);
    }

    let said = OF_PROXIES.map(|name| match name {
        "X-Forwarded-For" => (name.to_owned(), "192.0.2.1"),
        "X-Forwarded-Proto" => (name.to_owned(), "https"),
        "X-Forwarded-Host" => (name.to_owned(), "proxied.example"),
        _ => (name.to_owned(), "told"),
    });
    for (told, request) in ways.send(&said).await {
        for (name, value) in &said {
            let expected = if name == "X-Forwarded-For" { "192.0.2.1, 127.0.0.1" } else { value };
            assert_eq!(request.field(&name.to_ascii_lowercase()), [expected], "{told}: {name}");
        }
    }
    stage.assert_well_formed();
}

#[tokio::test]
async fn the_scheme_that_a_trusted_proxy_names_is_one_of_http() {
    let stage = Stage::with("trusted_proxies = [\"127.0.0.0/8\"]", 1, echo).await;
    let mut ways = Ways::of(&stage).await;
    for (said, plain, encrypted) in [
        ("https", "https", "https"),
        ("wss", "https", "https"),
        ("WSS", "https", "https"),
        ("HTTPS", "https", "https"),
        ("http", "http", "http"),
        ("ws", "http", "http"),
        ("Ws", "http", "http"),
        // What is none of them says nothing.
        ("gopher", "http", "https"),
        ("", "http", "https"),
    ] {
        for (told, request) in ways.send(&[("X-Forwarded-Proto".to_owned(), said)]).await {
            let expected = if told.starts_with("h2") { encrypted } else { plain };
            assert_eq!(request.field("x-forwarded-proto"), [expected], "{told}");
        }
    }
    stage.assert_well_formed();
}

#[tokio::test]
async fn a_websocket_behind_a_proxy_with_tls_is_not_redirected() {
    let stage = Stage::with("trusted_proxies = [\"127.0.0.0/8\"]\nredirect_http = true", 1, echo).await;
    for (proto, is_secure) in [("wss", true), ("WSS", true), ("https", true), ("ws", false), ("http", false)]
    {
        let handshake = [
            ("Origin", LISTED),
            ("X-Forwarded-Proto", proto),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ];
        for fields in [&handshake[..], &handshake[..2]] {
            let asked = request("GET", stage.edge.http, "/w/w/session", fields);
            let answer = Connection::open(stage.edge.http).await.ask(asked).await;
            let hsts = answer.field("strict-transport-security");
            assert_eq!(answer.status, if is_secure { 200 } else { 308 }, "{proto}: {answer:?}");
            assert_eq!(!hsts.is_empty(), is_secure, "{proto}: {answer:?}");
        }
    }
    for request in stage.one.requests().iter() {
        assert_eq!(request.field("x-forwarded-proto"), ["https"], "{request:?}");
    }
    stage.assert_well_formed();
}
