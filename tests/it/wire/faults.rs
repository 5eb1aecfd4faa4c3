//! Answers over HTTP/2 that are none or break off: every client learns of them what it would over HTTP/1.1.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::Response;
use serde_json::json;

use super::LISTED;
use super::client::{Answer, Frame, Http1, Http2, head};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::tls::{EdgeTls, UpstreamTls};
use crate::support::upstream::Scripted;

/// What an upstream does with a stream, and what its client is told: the status, and the body or three dots where that
/// is not whole.
const ANSWERS: [(&str, &str); 18] = [
    ("plain", "200 body"),
    ("long-head", "200 body"),
    ("too-long-head", "502"),
    ("many-fields", "200 body"),
    ("too-many-fields", "502"),
    ("hints", "200 body"),
    ("hints-without-end", "502"),
    ("refused", "502"),
    ("reset", "502"),
    ("reset-without-error", "502"),
    ("reset-within", "200 …"),
    ("reset-within-without-error", "200 …"),
    ("short-of-length", "200 …"),
    ("more-than-length", "200 …"),
    ("length-twice", "502"),
    ("length-none", "502"),
    ("no-content-with-length", "204"),
    ("gone-within", "200 …"),
];

/// Whether the connection is to go on.
async fn answer(name: &str, mut respond: SendResponse<Bytes>) -> bool {
    let mut head = Response::new(());
    let fields = head.headers_mut();
    let many = |count: usize| (0..count).map(|n| format!("x-{n}").parse::<http::HeaderName>().unwrap());
    match name {
        "long-head" => drop(fields.insert("x-long", "a".repeat(100_000).parse().unwrap())),
        "too-long-head" => drop(fields.insert("x-long", "a".repeat(300_000).parse().unwrap())),
        "many-fields" => fields.extend(many(200).map(|name| (name, "1".parse().unwrap()))),
        "too-many-fields" => fields.extend(many(300).map(|name| (name, "1".parse().unwrap()))),
        "short-of-length" => drop(fields.insert("content-length", 8.into())),
        "more-than-length" => drop(fields.insert("content-length", 4.into())),
        "length-twice" => {
            fields.append("content-length", 4.into());
            fields.append("content-length", 5.into());
        }
        "length-none" => drop(fields.insert("content-length", "four".parse().unwrap())),
        "no-content-with-length" => {
            fields.insert("content-length", 4.into());
            *head.status_mut() = 204.try_into().unwrap();
        }
        _ => {}
    }
    match name {
        "refused" => respond.send_reset(Reason::REFUSED_STREAM),
        "reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "reset-without-error" => respond.send_reset(Reason::NO_ERROR),
        "no-content-with-length" => drop(respond.send_response(head, true)),
        "hints" | "hints-without-end" => {
            for _ in 0..if name == "hints" { 3 } else { 100 } {
                let hint = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
                if respond.send_informational(hint).is_err() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if let Ok(mut body) = respond.send_response(head, false) {
                let _ = body.send_data(Bytes::from("body"), true);
            }
        }
        _ => {
            let is_short = name.contains("within") || name.ends_with("-length");
            let Ok(mut body) = respond.send_response(head, false) else { return true };
            let piece = Bytes::from(if is_short { "half" } else { "body" });
            let _ = body.send_data(piece, matches!(name, "short-of-length") || !is_short);
            // What was sent is on its way before the rest.
            tokio::time::sleep(Duration::from_millis(30)).await;
            match name {
                "reset-within" => body.send_reset(Reason::INTERNAL_ERROR),
                "reset-within-without-error" => body.send_reset(Reason::NO_ERROR),
                "more-than-length" => drop(body.send_data(Bytes::from("more"), true)),
                _ => return name != "gone-within",
            }
        }
    }
    true
}

/// An edge on an upstream over HTTP/2 that does with each stream what its path names.
struct Stage {
    _edge: Edge,
    tls: EdgeTls,
    _upstream: Scripted,
    /// How many streams the upstream got.
    streams: Arc<AtomicUsize>,
}

impl Stage {
    async fn start() -> Self {
        let (tls, behind, streams) = (EdgeTls::of("chat.example"), UpstreamTls::new(), Arc::default());
        let upstream = faulty(&behind, &streams).await;
        let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
        let mut spec = EdgeSpec::on(upstream.addr, &widgets);
        spec.more = format!(
            "[cache]\nbytes = \"0B\"\n[upstreams.app]\nservers = [\"{}\"]\n{}",
            upstream.addr,
            behind.keys()
        );
        tls.add_to(&mut spec);
        Self { _edge: Edge::start(spec).await, tls, _upstream: upstream, streams }
    }

    async fn http1(&self) -> Http1 {
        Http1::over(self.tls.http1().await)
    }
}

async fn faulty(tls: &UpstreamTls, streams: &Arc<AtomicUsize>) -> Scripted {
    let (acceptor, streams) = (tls.acceptor(), Arc::clone(streams));
    Scripted::start(move |connection, _| {
        let (acceptor, streams) = (acceptor.clone(), Arc::clone(&streams));
        async move {
            let Ok(stream) = acceptor.accept(connection.into_inner().0).await else { return };
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            let (gone, mut is_gone) = tokio::sync::mpsc::channel::<()>(1);
            loop {
                let accepted = tokio::select! {
                    accepted = connection.accept() => accepted,
                    _ = is_gone.recv() => return,
                };
                let Some(Ok((request, respond))) = accepted else { return };
                streams.fetch_add(1, Ordering::SeqCst);
                let gone = gone.clone();
                tokio::spawn(async move {
                    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
                    if !answer(name, respond).await {
                        let _ = gone.send(()).await;
                    }
                });
            }
        }
    })
    .await
}

fn told(answer: &Answer) -> String {
    match &answer.broken {
        Some(_) => format!("{} …", answer.status),
        None if matches!(answer.status, 204 | 502) => answer.status.to_string(),
        None => format!("{} {}", answer.status, answer.text()),
    }
}

#[tokio::test]
async fn a_fault_of_an_upstream_over_http2_is_told_over_every_transport() {
    let stage = Stage::start().await;
    let mut differing = Vec::new();
    for (name, expected) in ANSWERS {
        for (method, length) in [("GET", None), ("POST", Some("4"))] {
            let target = format!("/w/w/session/{name}");
            let mut fields = vec![("origin", LISTED)];
            fields.extend(length.map(|length| ("content-length", length)));
            let body = length.map(|_| "body").unwrap_or_default();
            let asked = head(method, &target, &fields) + body;
            let frames = [Frame::Last(b"body".to_vec())];
            let frames = if length.is_some() { &frames[..] } else { &[] };
            let over_http2 = Http2::over(stage.tls.h2().await).await;
            let answers = [
                ("HTTP/1.1", stage.http1().await.ask(&asked).await),
                ("HTTP/1.0", stage.http1().await.ask(asked.replacen("HTTP/1.1", "HTTP/1.0", 1)).await),
                ("HTTP/2", over_http2.ask(method, &target, &fields, frames).await),
            ];
            for (way, answer) in answers {
                // Without a length, HTTP/1.0 can't tell. With one, HTTP/1 has all of it before there is more.
                let is_untold = match name {
                    "short-of-length" => false,
                    "more-than-length" => way != "HTTP/2",
                    _ => way == "HTTP/1.0",
                };
                let expected = if is_untold { expected.replace('…', "half") } else { expected.to_owned() };
                if told(&answer) != expected {
                    differing.push(format!("{method} {name} over {way}: {answer:?}, not {expected}"));
                }
            }
        }
    }
    let told: Vec<String> = differing.iter().map(|line| line.chars().take(400).collect()).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// RFC 9113 §8.7: a refused stream may be tried again. A server that refuses some has enough of them, though.
#[tokio::test]
async fn a_refused_stream_is_tried_again_a_few_times() {
    let stage = Stage::start().await;
    let mut connection = stage.http1().await;
    let long = "x".repeat(20_000);
    // A long body is gone once it was sent.
    for (method, body, most) in [("GET", "", 4), ("POST", "", 4), ("POST", "body", 4), ("POST", &long, 1)] {
        let length = body.len().to_string();
        let fields = [("Origin", LISTED), ("Content-Length", length.as_str())];
        let fields = if method == "GET" { &fields[..1] } else { &fields };
        let request = |path: &str| head(method, path, fields) + body;
        // One that is known to be good.
        assert_eq!(connection.ask(request("/w/w/session/plain")).await.text(), "body");
        let before = stage.streams.load(Ordering::SeqCst);
        let answer = connection.ask(request("/w/w/session/refused")).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        let tried = stage.streams.load(Ordering::SeqCst) - before;
        assert!((most.min(2)..=most).contains(&tried), "{method} {length}: {tried} streams");
        connection = stage.http1().await;
    }
}
