//! Trailers: they reach the other side over every pair of protocols, but for those that would say what only a head may
//! (RFC 9110 §6.5.1), or what only the edge may.

use super::client::{Frame, head};
use super::recorder::{Ends, Reply, Request, Told};
use super::strict::Fields;
use super::{LISTED, Stage, echo};

/// What passes.
const TOLD: [(&str, &str); 4] =
    [("x-checksum", "abc"), ("server-timing", "db;dur=53"), ("x-twice", "1"), ("x-twice", "2")];

/// What frames, routes or qualifies the request, and what the edge alone says to an upstream.
const NEVER_UP: [&str; 25] = [
    "content-length",
    "host",
    "trailer",
    "content-type",
    "content-encoding",
    "content-range",
    "authorization",
    "cookie",
    "origin",
    "referer",
    "range",
    "if-match",
    "if-none-match",
    "cache-control",
    "expect",
    "max-forwards",
    "x-widget-id",
    "x_embedder_origin",
    "x-decision-id",
    "x-forwarded-for",
    "x.forwarded.host",
    "forwarded",
    "x-original-url",
    "proxy",
    "content_length",
];
/// The same of an answer.
const NEVER_DOWN: [&str; 15] = [
    "content-length",
    "trailer",
    "content-type",
    "content-encoding",
    "cache-control",
    "set-cookie",
    "location",
    "vary",
    "retry-after",
    "www-authenticate",
    "strict-transport-security",
    "access-control-allow-origin",
    "content-security-policy",
    "x-frame-options",
    "server",
];
/// These can't be sent over HTTP/2 at all.
const OF_HTTP1: [&str; 3] = ["transfer-encoding", "connection", "keep-alive"];

fn claimed(names: &[&'static str]) -> Vec<(&'static str, String)> {
    let told = TOLD.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let claims = names.iter().map(|name| (*name, if *name == "content-length" { "7" } else { "chunked" }));
    claims.map(|(name, value)| (name, value.to_owned())).chain(told).collect()
}

fn assert_told(trailers: &Fields, told: &str) {
    let expected: Fields = TOLD.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let mut trailers = trailers.clone();
    trailers.sort();
    let mut sorted = expected;
    sorted.sort();
    assert_eq!(trailers, sorted, "{told}");
}

#[tokio::test]
async fn trailers_of_a_request_reach_the_upstream() {
    let stage = Stage::start(echo).await;
    let mut kept = stage.plain().await;
    let http2 = stage.http2().await;
    for below in ["w", "x"] {
        let target = format!("/{below}/w/session");
        for (turn, body) in ["", "a", "body"].into_iter().enumerate() {
            let case = format!("h2 {turn}");
            let trailers = claimed(&NEVER_UP).into_iter().map(|(name, value)| (name.to_owned(), value));
            let frames = [
                Frame::Data(body.as_bytes().to_vec()),
                Frame::Pause(2 * turn as u64),
                Frame::Trailers(trailers.collect()),
            ];
            let fields = [("origin", LISTED), ("x-case", &*case), ("te", "trailers")];
            let answer = http2.ask("POST", &target, &fields, &frames).await;
            assert_eq!((answer.status, answer.text()), (200, target.clone()), "{case}: {answer:?}");
            let seen = stage.upstream(below).one(&case);
            assert_eq!(seen.body, body.as_bytes(), "{case}");
            assert_told(&seen.trailers, &format!("{below} {case}"));

            let case = format!("h1 {turn}");
            let names = [&NEVER_UP[..], &OF_HTTP1].concat();
            let lines: String =
                claimed(&names).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let fields = [("Origin", LISTED), ("X-Case", &*case), ("Transfer-Encoding", "chunked")];
            let chunk = if body.is_empty() { String::new() } else { format!("{}\r\n{body}\r\n", body.len()) };
            let asked = [&head("POST", &target, &fields), &*chunk, "0\r\n", &lines, "\r\n"].concat();
            let answer = kept.ask(asked).await;
            assert_eq!((answer.status, answer.text()), (200, target.clone()), "{case}: {answer:?}");
            let seen = stage.upstream(below).one(&case);
            assert_eq!(seen.body, body.as_bytes(), "{case}");
            assert_told(&seen.trailers, &format!("{below} {case}"));
        }
    }
    stage.assert_well_formed();
}

#[tokio::test]
async fn trailers_of_an_answer_reach_the_client() {
    let stage = Stage::start(|request: &Request| {
        let names = match request.path().starts_with("/w/") {
            true => [&NEVER_DOWN[..], &OF_HTTP1].concat(),
            false => NEVER_DOWN.to_vec(),
        };
        let body = if request.name() == "nothing" { "" } else { "body" };
        Reply { told: Told::Chunks, ends: Ends::WithTrailers, trailers: claimed(&names), ..Reply::ok(body) }
    })
    .await;
    let mut kept = stage.plain().await;
    let http2 = stage.http2().await;
    for below in ["w", "x"] {
        for (class, body) in [("session", "nothing"), ("session", "body"), ("assets", "body")] {
            for method in ["GET", "POST"] {
                let target = format!("/{below}/w/{class}/{body}");
                let body = if body == "nothing" { "" } else { body };
                let fields = [("origin", LISTED), ("te", "trailers")];
                let answer = http2.ask(method, &target, &fields, &[]).await;
                assert_eq!((answer.status, &*answer.text(), &answer.broken), (200, body, &None), "{target}");
                assert_told(&answer.trailers, &format!("h2 {method} {target}"));

                let fields =
                    [("Origin", LISTED), ("TE", "trailers"), ("Connection", "TE"), ("Content-Length", "0")];
                let fields = if method == "GET" { &fields[..3] } else { &fields[..] };
                let answer = kept.ask(head(method, &target, fields)).await;
                assert_eq!((answer.status, &*answer.text(), &answer.broken), (200, body, &None), "{target}");
                assert_told(&answer.trailers, &format!("h1 {method} {target}"));

                let old = head(method, &target, &[("Origin", LISTED)]).replace("HTTP/1.1", "HTTP/1.0");
                let answer = stage.plain().await.ask(old).await;
                assert_eq!((answer.status, &*answer.text(), &answer.broken), (200, body, &None), "{target}");
                assert_eq!(answer.trailers, []);
            }
        }
    }
    stage.assert_well_formed();
}

/// Over either protocol there may be 64 of them, or 64 KiB. More are no part of a message, and nobody gets a message
/// without some of them.
#[tokio::test]
async fn too_many_trailers_are_none() {
    let stage = Stage::start(echo).await;
    let http2 = stage.http2().await;
    for below in ["w", "x"] {
        let target = format!("/{below}/w/session");
        for (count, length, is_taken) in
            [(64, 1, true), (65, 1, false), (4_000, 1, false), (60, 2_000, false)]
        {
            let case = format!("{count} of {length}");
            let trailers = (0..count).map(|n| (format!("x-{n}"), "x".repeat(length)));
            let frames = [Frame::Data(b"body".to_vec()), Frame::Trailers(trailers.collect())];
            let fields = [("origin", LISTED), ("x-case", &*case)];
            let answer = http2.ask("POST", &target, &fields, &frames).await;
            assert_eq!(answer.status == 200, is_taken, "{below} {case}: {answer:?}");
            let seen = stage.upstream(below).of(&case);
            assert!(seen.iter().all(|seen| seen.whole == is_taken), "{below} {case}: {seen:?}");
        }
    }
    stage.assert_well_formed();
}
