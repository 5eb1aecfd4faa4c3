//! Corpus of requests: each of them is the same request to its upstream, and has the same answer, over every transport,
//! however it is split.
//!
//! What is left out of the comparison, since the protocols themselves differ in it:
//! - `Transfer-Encoding` and `Connection` are HTTP/1's alone (RFC 9113 §8.2.2);
//! - HTTP/1.0 sends no body of unknown length and no trailers, and gets neither trailers nor interim answers;
//! - a request in absolute form, and one behind another that is not answered yet, are HTTP/1.1's alone;
//! - each request has its own decision.

mod aborts;
mod cuts;
mod outcome;
mod table;

use std::collections::HashMap;

use futures_util::future::join_all;

use self::cuts::Cut;
use self::outcome::{Outcome, difference, fault};
use self::table::{Body, Case, cases};
use super::client::{Answer, Frame, Http1, Http2, head};
use super::recorder::{Ends, Reply, Request, Told};
use super::{LISTED, Stage};

// ---- transports ----------------------------------------------------------------------------------------------------

/// How a request is sent. All of them over TLS, so that the scheme is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    /// HTTP/1.1 over a kept connection, a body of unknown length as one chunk.
    Kept,
    /// HTTP/1.1 with `Connection: close`, the body in pieces, a chunk each.
    Closed,
    /// HTTP/1.0.
    Old,
    /// HTTP/1.1 with a target in absolute form.
    Absolute,
    /// HTTP/1.1, byte by byte.
    Bytewise,
    /// HTTP/1.1, ahead of the answers to those before.
    Pipelined,
    /// HTTP/2, the body in as few frames as there can be.
    Http2,
    /// HTTP/2, the body in pieces with empty frames between them.
    Http2Split,
    /// HTTP/2, byte by byte.
    Http2Bytewise,
}

const WAYS: [Way; 9] = [
    Way::Kept,
    Way::Closed,
    Way::Old,
    Way::Absolute,
    Way::Bytewise,
    Way::Pipelined,
    Way::Http2,
    Way::Http2Split,
    Way::Http2Bytewise,
];

impl Way {
    /// Whether a request can be sent so.
    fn takes(self, case: &Case) -> bool {
        match self {
            Self::Old => !matches!(case.body, Body::Unknown(_)),
            Self::Bytewise | Self::Http2Bytewise | Self::Pipelined => case.is_small(),
            _ => true,
        }
    }
}

/// Connections of one client, by one way.
struct Client<'s> {
    stage: &'s Stage,
    way: Way,
    http1: Http1,
    http2: Http2,
    sent: usize,
}

impl<'s> Client<'s> {
    async fn of(stage: &'s Stage, way: Way) -> Self {
        Self { stage, way, http1: http1(stage, way).await, http2: http2(stage, way).await, sent: 0 }
    }

    async fn ask(&mut self, case: &Case, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.sent += 1;
        match self.way {
            Way::Http2 | Way::Http2Split | Way::Http2Bytewise => {
                // Who gets more than a hundred empty frames over one connection may end it, and the `h2` crate does.
                if self.sent.is_multiple_of(10) {
                    self.http2 = http2(self.stage, self.way).await;
                }
                let frames = frames(case, self.way == Way::Http2Split);
                let length = case.stated_length();
                let mut fields = fields.to_vec();
                fields.extend(length.as_deref().map(|length| ("content-length", length)));
                self.http2.ask(case.method, target, &fields, &frames).await
            }
            _ => {
                for piece in written(case, self.way, target, fields) {
                    self.http1.0.send(piece).await;
                }
                let answer = self.http1.answer(case.method == "HEAD").await;
                if answer.field("connection") != "keep-alive" {
                    assert!(self.http1.0.is_closed().await, "{target}: something follows");
                    self.http1 = http1(self.stage, self.way).await;
                }
                answer
            }
        }
    }
}

async fn http1(stage: &Stage, way: Way) -> Http1 {
    let stream = stage.tls.http1().await;
    if way == Way::Bytewise { Http1::over(Cut::bytewise(stream)) } else { Http1::over(stream) }
}

async fn http2(stage: &Stage, way: Way) -> Http2 {
    let stream = stage.tls.h2().await;
    if way == Way::Http2Bytewise {
        Http2::over(Cut::bytewise(stream)).await
    } else {
        Http2::over(stream).await
    }
}

/// A request in HTTP/1, in the pieces that it is sent in.
fn written(case: &Case, way: Way, target: &str, fields: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let mut fields = fields.to_vec();
    let length = case.stated_length();
    fields.extend(length.as_deref().map(|length| ("Content-Length", length)));
    if matches!(case.body, Body::Unknown(_)) {
        fields.push(("Transfer-Encoding", "chunked"));
    }
    let says_te = fields.iter().any(|(name, _)| *name == "te");
    match (way == Way::Closed, says_te) {
        (true, true) => fields.push(("Connection", "TE, close")),
        (true, false) => fields.push(("Connection", "close")),
        (false, true) => fields.push(("Connection", "TE")),
        (false, false) => {}
    }
    let absolute = format!("https://chat.example{target}");
    let target = if way == Way::Absolute { &*absolute } else { target };
    let mut head = head(case.method, target, &fields);
    if way == Way::Old {
        head = head.replacen("HTTP/1.1", "HTTP/1.0", 1);
    }
    let body = case.bytes();
    let in_pieces = matches!(way, Way::Closed | Way::Bytewise);
    let size = if in_pieces { body.len() / 3 + 1 } else { body.len().max(1) };
    let mut pieces = vec![head.into_bytes()];
    for (at, piece) in body.chunks(size).enumerate() {
        pieces.push(match case.body {
            Body::Unknown(_) => {
                let extension = ["", ";a", ";a=\"b; c\""][if in_pieces { at % 3 } else { 0 }];
                [format!("{:x}{extension}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
            }
            _ => piece.to_vec(),
        });
    }
    if matches!(case.body, Body::Unknown(_)) {
        let lines = case.trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        pieces.push(format!("0\r\n{}\r\n", lines.collect::<String>()).into_bytes());
    }
    if in_pieces { pieces } else { vec![pieces.concat()] }
}

/// What follows the head of a request in HTTP/2.
fn frames(case: &Case, split: bool) -> Vec<Frame> {
    let body = case.bytes();
    let mut frames = Vec::new();
    if case.body == Body::Nothing || case.body == Body::Known(0) && !split {
        return frames;
    }
    if split {
        for piece in body.chunks(body.len() / 3 + 1) {
            frames.extend([Frame::Data(Vec::new()), Frame::Data(piece.to_vec()), Frame::Pause(1)]);
        }
        frames.push(Frame::Data(Vec::new()));
    }
    let rest = if split { Vec::new() } else { body };
    if case.trailers.is_empty() {
        frames.push(Frame::Last(rest));
    } else {
        let trailers = case.trailers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        frames.extend([Frame::Data(rest), Frame::Trailers(trailers.collect())]);
    }
    frames
}

/// Sends all requests that a way takes; what became of each, by its number.
async fn outcomes(stage: &Stage, cases: &[Case], below: &'static str, way: Way) -> HashMap<usize, Outcome> {
    let mut client = Client::of(stage, way).await;
    let mut outcomes = HashMap::new();
    let mut waiting = Vec::new();
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| way.takes(case)) {
        let (name, target) = (format!("{below} {way:?} {number}"), format!("/{below}/w/{}", case.target));
        let mut fields = vec![("x-case", &*name)];
        fields.extend(case.fields.iter().map(|(name, value)| (&**name, &**value)));
        if !fields.iter().any(|(name, _)| *name == "origin") {
            fields.push(("origin", LISTED));
        }
        if way != Way::Pipelined {
            let answer = client.ask(case, &target, &fields).await;
            outcomes.insert(number, Outcome::of(&name, below, stage, answer));
            continue;
        }
        waiting.push((number, name.clone(), case, written(case, way, &target, &fields).concat()));
        // What the edge refuses may end a connection.
        if waiting.len() == 12 || case.refused {
            let batch = std::mem::take(&mut waiting);
            outcomes.extend(pipelined(stage, below, batch).await);
        }
    }
    outcomes.extend(pipelined(stage, below, waiting).await);
    outcomes
}

/// Sends them one behind the other, in pieces that end anywhere, and only then reads the answers.
async fn pipelined(
    stage: &Stage,
    below: &'static str,
    batch: Vec<(usize, String, &Case, Vec<u8>)>,
) -> Vec<(usize, Outcome)> {
    let mut connection = Http1::over(stage.tls.http1().await);
    let all: Vec<u8> = batch.iter().flat_map(|(.., bytes)| bytes.clone()).collect();
    for piece in all.chunks(701) {
        connection.0.send(piece).await;
    }
    let mut outcomes = Vec::new();
    for (number, name, case, _) in batch {
        let answer = connection.answer(case.method == "HEAD").await;
        outcomes.push((number, Outcome::of(&name, below, stage, answer)));
    }
    outcomes
}

// ---- the corpus ----------------------------------------------------------------------------------------------------

/// Answers with what was asked for, in one of two framings.
fn telling(request: &Request) -> Reply {
    let target = request.target.get(2..).unwrap_or_default();
    let number = request.field("x-case").first().and_then(|case| case.rsplit(' ').next()?.parse().ok());
    let is_chunked = number.is_some_and(|number: usize| number % 2 == 1);
    Reply {
        at_once: if request.field("expect").is_empty() { Vec::new() } else { vec![100] },
        fields: vec![
            ("content-type", "text/plain".to_owned()),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            ("etag", "\"a\"".to_owned()),
            ("set-cookie", "a=1; Path=/".to_owned()),
            ("set-cookie", "b=2".to_owned()),
        ],
        told: if is_chunked { Told::Chunks } else { Told::Length },
        ends: if is_chunked { Ends::WithTrailers } else { Ends::WithLast },
        trailers: if is_chunked { vec![("x-sum", "3".to_owned())] } else { Vec::new() },
        ..Reply::ok(format!("{} {target}", request.method))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_the_same_over_every_transport() {
    let (stage, cases) = (&Stage::start(telling).await, &cases());
    let ways = ["w", "x"].into_iter().flat_map(|below| WAYS.map(|way| (below, way)));
    let sent = ways.map(async |(below, way)| (below, way, outcomes(stage, cases, below, way).await));
    let sent = join_all(sent).await;
    stage.assert_well_formed();
    let (_, _, first) = &sent[0];
    let mut differing = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let expected = &first[&number];
        let told = format!("{} {} {:?} {:?}", case.method, case.target, case.fields, case.body);
        let told: String = told.chars().take(300).collect();
        if let Some(fault) = fault(case, expected) {
            differing.push(format!("{told}: {fault}: {expected:?}"));
        }
        for (below, way, outcomes) in &sent[1..] {
            let Some(outcome) = outcomes.get(&number) else { continue };
            let expected = if *way == Way::Old { expected.clone().old() } else { expected.clone() };
            if *outcome != expected {
                differing.push(format!("{told}, {way:?} to {below}: {}", difference(&expected, outcome)));
            }
        }
    }
    let shown = differing[..differing.len().min(20)].join("\n");
    assert!(differing.is_empty(), "{} differ, of which:\n{shown}", differing.len());
}
