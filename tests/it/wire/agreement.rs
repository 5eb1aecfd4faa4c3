//! One edge, however it is asked: over generated heads, what one way takes every way takes, with the same verdict and
//! the same fields toward the upstream; what one refuses every way refuses, with the same status.
//!
//! What is left out, since the protocols themselves differ in it: HTTP/2 has no start line, no lines, no `Connection`
//! and what goes with it (RFC 9113 §8.2.2), so heads that are wrong or odd in these go the ways of HTTP/1 alone; a
//! target in absolute form is HTTP/1's, too; HTTP/1.0 needs no `Host`. Toward the upstream each way has its method, its
//! framing, its decision's id and, where it is a handshake, what makes it one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use http::HeaderValue;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::client::{self, Answer, Frame, Http1, Http2};
use super::heads::{Head, Line, field, heads};
use super::strict::Fields;
use super::{LISTED, Stage, echo};
use crate::support::scale;

// ---- ways ----------------------------------------------------------------------------------------------------------

/// How a head is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Kept,
    Closed,
    Old,
    Head,
    Options,
    EmptyPost,
    Post,
    Chunks,
    Handshake,
    Http2,
    Http2Head,
    Http2Post,
}

const WAYS: [Way; 12] = [
    Way::Kept,
    Way::Closed,
    Way::Old,
    Way::Head,
    Way::Options,
    Way::EmptyPost,
    Way::Post,
    Way::Chunks,
    Way::Handshake,
    Way::Http2,
    Way::Http2Head,
    Way::Http2Post,
];

impl Way {
    /// Whether a head can be sent so, and be the same.
    fn takes(self, head: &Head) -> bool {
        match self {
            // A line more could be one too many.
            Self::Closed => !head.says("connection: a") && !head.says("connection: keep-alive, keep"),
            Self::Old => head.host.is_some() && !head.says("upgrade:"),
            // Where sessions aren't served it is refused.
            Self::Handshake => {
                let path = head.path.split('?').next().unwrap_or_default();
                let is_session =
                    path.contains("/session") && !path.contains("SESSION") || path.contains("wss");
                is_session
                    && !head.says("upgrade:")
                    && !head.says("connection: a")
                    && !head.says("connection: keep-alive, keep")
            }
            // It would be a preflight.
            Self::Options => !head.says("access-control-request-method"),
            Self::Http2 | Self::Http2Head | Self::Http2Post => head.http2("GET").is_some(),
            _ => true,
        }
    }
}

/// The connections of one visitor, over TLS all of them, so that the scheme is the same.
struct Visitor<'s> {
    stage: &'s Stage,
    kept: Http1,
    http2: Http2,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    /// The edge answered.
    Answered(u16),
    /// The upstream got these fields, in the order of their names.
    Passed(Fields),
    /// Neither.
    Broken(String),
}

impl<'s> Visitor<'s> {
    async fn of(stage: &'s Stage) -> Self {
        Self { stage, kept: stage.http1().await, http2: stage.http2().await }
    }

    /// Sends a head by one way. With the outcome goes the decision's id, if it shows.
    async fn send(&mut self, head: &Head, way: Way, case: &str) -> (Outcome, Option<String>) {
        let answer = match way {
            Way::Http2 | Way::Http2Head | Way::Http2Post => {
                let is_post = way == Way::Http2Post;
                let method = if way == Way::Http2Head { "HEAD" } else { "GET" };
                let mut request = head.http2(if is_post { "POST" } else { method }).unwrap();
                request.headers_mut().insert("x-case", HeaderValue::from_str(case).unwrap());
                let frames = [Frame::Data(b"ab".to_vec()), Frame::Last(b"c".to_vec())];
                let frames = if is_post { &frames[..] } else { &[] };
                let answer = client::ask(self.http2.sharing(), request.clone(), frames).await;
                if answer.broken.is_some() && self.stage.upstream(head.below).of(case).is_empty() {
                    // The edge may end a connection between two requests.
                    self.http2 = self.stage.http2().await;
                    client::ask(self.http2.sharing(), request, frames).await
                } else {
                    answer
                }
            }
            _ => self.send_http1(head, way, case).await,
        };
        let seen = self.stage.upstream(head.below).of(case);
        match &seen[..] {
            [] if answer.broken.is_none() => (Outcome::Answered(answer.status), answer.decision_id()),
            [seen] if answer.status == 200 && answer.broken.is_none() => {
                let id = seen.field("x-decision-id").first().map(|id| (*id).to_owned());
                (Outcome::Passed(comparable(&seen.fields)), id)
            }
            _ => (Outcome::Broken(format!("{answer:?} {seen:?}")), None),
        }
    }

    async fn send_http1(&mut self, head: &Head, way: Way, case: &str) -> Answer {
        let (method, version) = match way {
            Way::EmptyPost | Way::Post | Way::Chunks => ("POST", "HTTP/1.1"),
            Way::Old => ("GET", "HTTP/1.0"),
            Way::Head => ("HEAD", "HTTP/1.1"),
            Way::Options => ("OPTIONS", "HTTP/1.1"),
            _ => ("GET", "HTTP/1.1"),
        };
        let mut request = head.http1(method, version);
        request.extend(format!("X-Case: {case}\r\n").into_bytes());
        request.extend_from_slice(match way {
            Way::Closed => b"Connection: close\r\n\r\n",
            Way::EmptyPost => b"Content-Length: 0\r\n\r\n",
            Way::Post => b"Content-Length: 3\r\n\r\nabc",
            Way::Chunks => b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Way::Handshake => {
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            }
            _ => b"\r\n",
        });
        if matches!(way, Way::Closed | Way::Old | Way::Handshake) {
            return self.stage.http1().await.ask(request).await;
        }
        let answer = self.kept.ask(request).await;
        if answer.broken.is_some() || answer.field("connection") != "keep-alive" {
            self.kept = self.stage.http1().await;
        }
        answer
    }
}

/// Without what is each way's own.
fn comparable(fields: &Fields) -> Fields {
    const OWN: [&str; 10] = [
        "x-case",
        // An open WebSocket has no trailers to take.
        "te",
        "x-decision-id",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "sec-websocket-version",
        "sec-websocket-key",
        "sec-websocket-extensions",
    ];
    let mut fields = fields.clone();
    fields.retain(|(name, _)| !OWN.contains(&&**name));
    // The order of lines of one name means something, that of names does not.
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

// ---- agreement -----------------------------------------------------------------------------------------------------

/// Sends a head by every way. What differs, if anything; otherwise the decisions that have to agree.
async fn compare(visitor: &mut Visitor<'_>, head: &Head, next: &AtomicUsize) -> Result<Vec<String>, String> {
    let mut first: Option<(Way, Outcome)> = None;
    let mut decisions = Vec::new();
    for way in WAYS.into_iter().filter(|way| way.takes(head)) {
        let case = format!("c{}", next.fetch_add(1, Ordering::Relaxed));
        let (outcome, id) = visitor.send(head, way, &case).await;
        decisions.extend(id);
        match &first {
            None if matches!(outcome, Outcome::Broken(_)) => return Err(format!("{way:?}: {outcome:?}")),
            None => first = Some((way, outcome)),
            Some((_, expected)) if *expected == outcome => {}
            Some((before, expected)) => return Err(difference((*before, expected), (way, &outcome))),
        }
    }
    Ok(decisions)
}

/// What differs between two outcomes, and nothing else.
fn difference((one, expected): (Way, &Outcome), (other, outcome): (Way, &Outcome)) -> String {
    let (Outcome::Passed(expected), Outcome::Passed(fields)) = (expected, outcome) else {
        let short = |outcome: &Outcome| match outcome {
            Outcome::Passed(_) => "passes".to_owned(),
            other => format!("{other:?}"),
        };
        return format!("{one:?}: {}, {other:?}: {}", short(expected), short(outcome));
    };
    let without = |some: &Fields, others: &Fields| -> Fields {
        some.iter().filter(|field| !others.contains(field)).cloned().collect()
    };
    let (only_one, only_other) = (without(expected, fields), without(fields, expected));
    format!("{one:?} alone: {only_one:?}, {other:?} alone: {only_other:?}, or in another order")
}

/// The least head that differs still, and how.
async fn least(
    visitor: &mut Visitor<'_>,
    mut tree: impl ValueTree<Value = Head>,
    mut how: String,
    next: &AtomicUsize,
) -> String {
    let mut head = tree.current();
    for _ in 0..150 {
        let is_other = if tree.current().lines == head.lines && tree.current().path == head.path {
            tree.simplify()
        } else {
            match compare(visitor, &tree.current(), next).await {
                Err(differs) => {
                    (head, how) = (tree.current(), differs);
                    tree.simplify()
                }
                Ok(_) => tree.complicate(),
            }
        };
        if !is_other {
            break;
        }
    }
    let (many, lines) =
        head.lines.iter().partition::<Vec<_>, _>(|line| format!("{line:?}").contains("X-Many"));
    let path: String = head.path.chars().take(100).collect();
    let told = format!("{} {path:?} at {:?} with {lines:?} and {} more", head.below, head.host, many.len());
    format!("{told}: {how}").chars().take(3000).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_takes_and_refuses_the_same_heads() {
    let stage = &Stage::start(echo).await;
    let (next, count) = (&AtomicUsize::new(0), scale(1_500));
    let heads = &heads();
    let (turns, found) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let visits = (0..4).map(async |_| {
        let mut visitor = Visitor::of(stage).await;
        let mut runner = TestRunner::default();
        let (mut differing, mut decisions) = (Vec::new(), Vec::new());
        while turns.fetch_add(1, Ordering::Relaxed) < count && found.load(Ordering::Relaxed) < 5 {
            let tree = heads.new_tree(&mut runner).unwrap();
            match compare(&mut visitor, &tree.current(), next).await {
                Ok(ids) => decisions.push((tree.current(), ids)),
                Err(how) => {
                    found.fetch_add(1, Ordering::Relaxed);
                    differing.push(least(&mut visitor, tree, how, next).await);
                }
            }
        }
        (differing, decisions)
    });
    let (mut differing, mut decisions) = (Vec::new(), Vec::new());
    for (some, ids) in join_all(visits).await {
        differing.extend(some);
        decisions.extend(ids);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
    stage.assert_well_formed();
    // The same verdict for the same reason.
    let logged: HashMap<String, (String, String, String)> = stage
        .edge
        .decisions()
        .into_iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (text("decision_id"), (text("verdict"), text("reason"), text("embedder")))
        })
        .collect();
    for (head, ids) in decisions {
        let mut verdicts: Vec<_> = ids.iter().filter_map(|id| logged.get(id)).collect();
        verdicts.dedup();
        assert!(verdicts.len() <= 1, "{head:?}: {verdicts:?}");
    }
}

/// Sends lines by every way of HTTP/1, and tells the one outcome.
async fn outcome_of(stage: &Stage, lines: &'static str) -> Outcome {
    static NEXT: AtomicUsize = AtomicUsize::new(1 << 16);
    let mut visitor = Visitor::of(stage).await;
    let lines = vec![field("Origin", LISTED), Line::Http1(lines)];
    let head = Head { below: "w", path: "w/session".to_owned(), host: Some("chat.example"), lines };
    compare(&mut visitor, &head, &NEXT).await.unwrap_or_else(|how| panic!("{head:?}\n{how}"));
    visitor.send(&head, Way::Kept, &format!("c{}", NEXT.fetch_add(1, Ordering::Relaxed))).await.0
}

/// The bound is on fields that `Connection` names: `keep-alive` and `close` name none, however often they are said.
#[tokio::test]
async fn connection_may_say_keep_alive_twelve_times_and_name_nine_fields() {
    let stage = Stage::start(echo).await;
    for (lines, status) in [
        (
            "Connection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive\r\nConnection: keep-alive",
            200,
        ),
        (
            "Connection: keep-alive, keep-alive, keep-alive, keep-alive, keep-alive, keep-alive, keep-alive, keep-alive, keep-alive, keep-alive, Keep-Alive, KEEP-ALIVE",
            200,
        ),
        (
            "Connection: close, close, close, close, close, close, close, close, close, close, close, Close",
            200,
        ),
        ("Connection: x1, x2, x3, x4, x5, x6, x7, x8, x9, keep-alive, keep-alive", 200),
        ("Connection: x1, x2, x3, x4, x5, x6, x7, x8\r\nConnection: x9", 200),
        ("Connection: x1, x2, x3, x4, x5, x6, x7, x8, x9, x10", 400),
        ("Connection: x1, x2, x3, x4, x5, x6, x7, x8, x9\r\nConnection: keep-alive\r\nConnection: x10", 400),
        ("Connection: x1, x1, x1, x1, x1, x1, x1, x1, x1, x1", 400),
    ] {
        let told = match outcome_of(&stage, lines).await {
            Outcome::Passed(_) => 200,
            Outcome::Answered(status) => status,
            Outcome::Broken(how) => panic!("{lines}: {how}"),
        };
        assert_eq!(told, status, "{lines}");
    }
    stage.assert_well_formed();
}
