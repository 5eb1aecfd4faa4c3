//! One edge, however it is asked: over generated heads, what one way takes every way takes, with the same verdict and
//! the same fields toward the upstream; what one refuses every way refuses, with the same status.
//!
//! What is left out, since the protocols themselves differ in it: HTTP/2 has no start line, no lines, no `Connection`
//! and what goes with it (RFC 9113 §8.2.2), so heads that are wrong or odd in these go the ways of HTTP/1 alone; a
//! target in absolute form is HTTP/1's, too; HTTP/1.0 needs no `Host`. Toward the upstream each way has its method, its
//! framing, its decision's id and, where it is a handshake, what makes it one.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::strategy::{Union, ValueTree};
use proptest::test_runner::TestRunner;

use super::client::{self, Answer, Frame, Http1, Http2};
use super::strict::Fields;
use super::{LISTED, STRANGER, Stage, echo};
use crate::support::scale;

// ---- heads ---------------------------------------------------------------------------------------------------------

/// A head, as far as it is the same by every way.
#[derive(Clone, Debug)]
struct Head {
    /// Which upstream: `w` or `x`.
    below: &'static str,
    /// What follows, with a slash before it or not.
    path: String,
    /// As in `Host`; `None`: there is none.
    host: Option<&'static str>,
    lines: Vec<Line>,
}

/// One field.
#[derive(Clone, PartialEq)]
enum Line {
    /// What both protocols can say. White space around its value is HTTP/1's.
    Field { name: String, value: Vec<u8>, before: &'static str, after: &'static str },
    /// A line of HTTP/1 alone, of this connection or no field at all.
    Http1(&'static str),
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { value, .. } if value.len() > 1000 => f.write_str("(a long field)"),
            Self::Field { name, value, before, after } => {
                let value = String::from_utf8_lossy(value);
                fmt::Debug::fmt(&format!("{name}:{before}{value}{after}"), f)
            }
            Self::Http1(line) => fmt::Debug::fmt(line, f),
        }
    }
}

fn field(name: &str, value: &str) -> Line {
    Line::Field { name: name.to_owned(), value: value.into(), before: " ", after: "" }
}

/// Paths below a widget's.
const PATHS: [&str; 51] = [
    "w/session",
    "w/session/a",
    "w/session",
    "w/session/a?b=c",
    "w/loader.js",
    "w/assets/a.js",
    "w/frame",
    "w/trust",
    "v/session",
    "nobody/session",
    "nobody/loader.js",
    "nobody/trust",
    "w",
    "w/",
    "w/nothing",
    "w/session/",
    "w/session/a/",
    "w/session//a",
    "w//session",
    "w/session/.",
    "w/session/..",
    "w/session/../session",
    "w/./session",
    "w/session/...",
    "w/session/.a",
    "w/%2e%2e/session",
    "w/session/%2E",
    "w/session/a%2fb",
    "w/session/a%2Fb",
    "w/session/a%5cb",
    "w/session/a\\b",
    "w/session/a%00",
    "w/session/a%",
    "w/session/a%4",
    "w/session/a%zz",
    "w/session/%41%c3%bc",
    "w/session/a;b=c",
    "w/session/a:b@c",
    "w/session/~!$&'()*+,=",
    "w/session/a?",
    "w/session/a??",
    "w/session/a?../b",
    "w/session/a?%2f%zz",
    "w/session/a?\\",
    "w/session/a?{}|^`",
    "w/session/a?ticket=x",
    "%77/session",
    "w%20/session",
    "W/session",
    "w.w/session",
    "w/SESSION",
];

/// Targets of other forms.
const TARGETS: [&str; 14] = [
    "*",
    "w/w/session",
    "//w/w/session",
    "/",
    "/w",
    "http://chat.example/w/w/session",
    "https://chat.example/w/w/session?a=b",
    "HTTP://chat.example/w/w/session",
    "http://other.example/w/w/session",
    "http://a@chat.example/w/w/session",
    "ftp://chat.example/w/w/session",
    "/w/w/session#a",
    "/w/w/session/\u{7f}",
    "/w/w/session/\u{fc}",
];

const HOSTS: [Option<&str>; 10] = [
    None,
    Some("CHAT.example"),
    Some("chat.example:443"),
    Some("chat.example."),
    Some("other.example"),
    Some("127.0.0.1"),
    Some("[::1]:8443"),
    Some("a@chat.example"),
    Some(""),
    Some("chat_example"),
];

/// Fields that verdicts, upstreams and the edge care for.
const KNOWN: [(&str, &[&str]); 38] = [
    ("Origin", &[STRANGER, "null", "https://EXAMPLE.com", "https://example.com/", "", "http://example.com"]),
    ("Origin", &[LISTED, LISTED, "https://chat.example", "file://"]),
    (
        "Referer",
        &[
            "https://example.com/page",
            "https://stranger.example/",
            "about:blank",
            "",
            "https://chat.example/",
        ],
    ),
    ("Sec-Fetch-Dest", &["empty", "iframe", "document", "websocket", "image"]),
    ("Sec-Fetch-Site", &["cross-site", "same-origin"]),
    ("Sec-Purpose", &["prefetch"]),
    ("Cookie", &["a=1", "b=2; c=3", "", "__Host-embedgate=x"]),
    ("Cookie", &["d=4"]),
    ("Authorization", &["Basic YTpi", "Embed x.y", "Bearer a, Embed b"]),
    ("Accept", &["*/*", "text/event-stream", "text/html, */*;q=0.8"]),
    ("Accept-Encoding", &["gzip, br", "identity"]),
    ("Accept-Language", &["de, en;q=0.5"]),
    ("User-Agent", &["Mozilla/5.0 (X11; Linux x86_64)", ""]),
    ("Range", &["bytes=0-3"]),
    ("If-None-Match", &["\"a\"", "W/\"b\", \"c\""]),
    ("If-Modified-Since", &["Sat, 29 Oct 1994 19:43:31 GMT"]),
    ("Cache-Control", &["no-cache", "max-age=0"]),
    ("Access-Control-Request-Method", &["POST"]),
    ("Access-Control-Request-Headers", &["x-a, x-b"]),
    ("Content-Type", &["text/plain", "application/json"]),
    ("Content-Encoding", &["gzip"]),
    ("Content_Length", &["5"]),
    ("Transfer.Encoding", &["chunked"]),
    ("X-Widget-Id", &["other"]),
    ("x_embedder_origin", &[STRANGER]),
    ("X-Decision-ID", &["1"]),
    ("X-Forwarded-For", &["192.0.2.1", "192.0.2.1, 192.0.2.2"]),
    ("X-Forwarded-Proto", &["http", "wss"]),
    ("X-Forwarded-Host", &["other.example"]),
    ("Forwarded", &["for=192.0.2.1"]),
    ("X-Real-IP", &["192.0.2.1"]),
    ("Proxy", &["http://other.example"]),
    ("X-Original-URL", &["/w/v/session"]),
    ("X-HTTP-Method-Override", &["DELETE"]),
    ("Priority", &["u=1, i"]),
    ("Traceparent", &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    ("Proxy-Authorization", &["Basic YTpi"]),
    ("Max-Forwards", &["0"]),
];

/// Lines that only HTTP/1 has.
const LINES: [&str; 46] = [
    "Connection: keep-alive",
    "Connection: Keep-Alive",
    "Connection: close",
    "Connection:",
    "Connection: ,",
    "Connection: , keep-alive ,",
    "Connection: keep-alive, close",
    "Connection: X-Hop\r\nX-Hop: 1",
    "Connection: keep-alive, x-HOP\r\nX-Hop: 1\r\nX-Hop: 2",
    "Connection: X-Nothing",
    "Connection: a, b, c, d, e",
    "Connection: a, b, c, d, e, f, g, h, i, j",
    "Connection: a\r\nConnection: b\r\nConnection: c\r\nConnection: d\r\nConnection: e",
    "Connection: keep-alive, keep-alive, keep-alive, keep-alive, keep-alive, keep-alive",
    "Connection: Origin",
    "Connection: close, cookie",
    "Connection: X-Forwarded-For",
    "Connection: content-length",
    "Connection: \"quoted\"",
    "Connection: keep alive",
    "Connection: a;b",
    "Connection: TE\r\nTE: trailers",
    "Connection: upgrade",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: gzip",
    "Trailer: X-Sum",
    "Upgrade: h2c",
    "Upgrade: TLS/1.0, HTTP/1.1",
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    "Upgrade-Insecure-Requests: 1",
    "Host: chat.example",
    "Host: other.example",
    "X-Spaced : 1",
    " X-Led: 1",
    "X-Folded: 1\r\n 2",
    "X-Cut: 1\r2",
    "X-Feed: 1\n2",
    "X-Feed: 1\nX-Other: 2",
    "X-Nul: 1\u{0}2",
    "X-Control: 1\u{1}2",
    "X-Deleted: 1\u{7f}2",
    "No colon",
    ": no name",
    "X(Y): 1",
    "X-\u{fc}: 1",
];

fn heads() -> impl Strategy<Value = Head> {
    let path = prop_oneof![
        6 => Just("w/session".to_owned()),
        8 => prop::sample::select(&PATHS[..]).prop_map(str::to_owned),
        1 => "w/session/[ -~]{1,12}".prop_filter("a fragment", |path| !path.contains('#')),
        1 => (7_000usize..9_500).prop_map(|length| format!("w/session/{}", "a".repeat(length))),
    ];
    let path = prop_oneof![
        9 => path,
        1 => prop::sample::select(&TARGETS[..]).prop_map(|target| format!(" {target}")),
    ];
    let host = prop_oneof![
        12 => Just(Some("chat.example")),
        3 => prop::sample::select(&HOSTS[..]),
    ];
    let origin = prop_oneof![6 => Just(Some(LISTED)), 1 => Just(Some(STRANGER)), 1 => Just(None)];
    let lines = prop::collection::vec(lines(), 0..8);
    let many = prop_oneof![8 => Just(0usize), 1 => 50..85usize, 1 => 300..301usize];
    let long = prop_oneof![12 => Just(0usize), 1 => Just(40_000usize), 1 => Just(70_000usize)];
    (prop::bool::ANY, path, host, origin, lines, many, long).prop_map(
        |(two, mut path, mut host, origin, mut lines, many, long)| {
            // Of two faults each protocol may name another: nothing else is wrong with what is over a limit.
            if path.len() > 7_000 {
                host = Some("chat.example");
            }
            if long > 65_536 {
                (path, host) = ("w/session".to_owned(), Some("chat.example"));
                lines.clear();
            }
            if let Some(origin) = origin {
                lines.insert(lines.len() / 2, field("Origin", origin));
            }
            lines.extend((0..many).map(|number| field(&format!("X-Many-{}", number % 97), "1")));
            if long > 0 {
                lines.push(field("X-Long", &"a".repeat(long)));
            }
            Head { below: if two { "x" } else { "w" }, path, host, lines }
        },
    )
}

fn lines() -> impl Strategy<Value = Line> {
    let known = KNOWN
        .map(|(name, values)| prop::sample::select(values).prop_map(move |value| field(name, value)).boxed());
    let name = "[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,12}".prop_map(|name| format!("x-{name}"));
    let value = prop::collection::vec(
        prop_oneof![
            8 => 0x20u8..0x7f,
            1 => Just(b'\t'),
            1 => 0x80u8..=0xff,
        ],
        0..20,
    );
    let space = || prop::sample::select(&["", " ", "\t", "  \t "][..]);
    let random = (name, value, space(), space()).prop_map(|(name, value, before, after)| Line::Field {
        name,
        value: value.trim_ascii().to_vec(),
        before,
        after,
    });
    let odd_spaces =
        (prop::sample::select(&KNOWN[..]), space(), space()).prop_map(|((name, values), before, after)| {
            Line::Field { name: name.to_ascii_uppercase(), value: values[0].into(), before, after }
        });
    prop_oneof![
        8 => Union::new(known),
        2 => odd_spaces,
        4 => random,
        3 => prop::sample::select(&LINES[..]).prop_map(Line::Http1),
    ]
}

impl Head {
    fn target(&self) -> String {
        match self.path.strip_prefix(' ') {
            Some(target) => target.to_owned(),
            None => format!("/{}/{}", self.below, self.path),
        }
    }

    /// As HTTP/1 says it, without its end.
    fn http1(&self, method: &str, version: &str) -> Vec<u8> {
        let mut head = format!("{method} {} {version}\r\n", self.target()).into_bytes();
        if let Some(host) = self.host {
            head.extend(format!("Host: {host}\r\n").into_bytes());
        }
        for line in &self.lines {
            match line {
                Line::Field { name, value, before, after } => {
                    head.extend([name.as_bytes(), b":", before.as_bytes(), value, after.as_bytes()].concat());
                }
                Line::Http1(line) => head.extend_from_slice(line.as_bytes()),
            }
            head.extend_from_slice(b"\r\n");
        }
        head
    }

    /// As HTTP/2 says it; `None` where it can't.
    fn http2(&self, method: &str) -> Option<http::Request<()>> {
        let target = PathAndQuery::try_from(self.target().as_str()).ok()?;
        // What is cut or made up would be another target.
        let is_same = target.as_str() == self.target() && target.as_str().starts_with('/');
        let authority = self.host.and_then(|host| Authority::try_from(host).ok());
        let mut request = http::Request::builder().method(method);
        if let Some(authority) = &authority {
            let uri = http::Uri::builder().scheme("https").authority(authority.clone());
            request = request.uri(uri.path_and_query(target).build().ok()?);
        } else {
            request = request.uri(http::Uri::from(target)).version(http::Version::HTTP_11);
            if let Some(host) = self.host {
                request = request.header("host", host);
            }
        }
        let mut request = request.body(()).ok().filter(|_| is_same)?;
        for line in &self.lines {
            let Line::Field { name, value, .. } = line else { return None };
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        Some(request)
    }

    fn says(&self, start: &str) -> bool {
        let starts = |text: &str| text.to_ascii_lowercase().starts_with(start);
        self.lines.iter().any(|line| match line {
            Line::Field { name, .. } => starts(name),
            Line::Http1(line) => starts(line),
        })
    }
}

// ---- ways ----------------------------------------------------------------------------------------------------------

/// How a head is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Kept,
    Closed,
    Old,
    EmptyPost,
    Post,
    Chunks,
    Handshake,
    Http2,
    Http2Post,
}

const WAYS: [Way; 9] = [
    Way::Kept,
    Way::Closed,
    Way::Old,
    Way::EmptyPost,
    Way::Post,
    Way::Chunks,
    Way::Handshake,
    Way::Http2,
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
            Self::Http2 | Self::Http2Post => head.http2("GET").is_some(),
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
            Way::Http2 | Way::Http2Post => {
                let is_post = way == Way::Http2Post;
                let mut request = head.http2(if is_post { "POST" } else { "GET" }).unwrap();
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
            [] if answer.broken.is_none() => (Outcome::Answered(answer.status), decision_id(&answer)),
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
        if !matches!(way, Way::Kept | Way::EmptyPost | Way::Post | Way::Chunks) {
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
    const OWN: [&str; 9] = [
        "x-case",
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

fn decision_id(answer: &Answer) -> Option<String> {
    let body = answer.text();
    let is_id = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
    let mut words = body.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words.find(is_id).map(str::to_owned)
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
    let next = AtomicUsize::new(usize::from(u16::MAX));
    let mut visitor = Visitor::of(stage).await;
    let lines = vec![field("Origin", LISTED), Line::Http1(lines)];
    let head = Head { below: "w", path: "w/session".to_owned(), host: Some("chat.example"), lines };
    compare(&mut visitor, &head, &next).await.unwrap_or_else(|how| panic!("{head:?}\n{how}"));
    visitor.send(&head, Way::Kept, "last").await.0
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
