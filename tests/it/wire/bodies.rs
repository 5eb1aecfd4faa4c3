//! Bodies of requests, however they are split: the upstream reads exactly one well-formed request, and whoever shares
//! a connection to it is not disturbed.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::client::{Frame, head, request};
use super::recorder::{Reply, Request};
use super::{LISTED, Stage, client, echo};
use crate::support::{is_full, scale};

const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "DELETE", "GET"];

/// What ends a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The last DATA frame; HEADERS where there is none.
    Stream,
    Trailers,
    /// RST_STREAM instead of what is left.
    Reset,
}

/// A request over HTTP/2.
#[derive(Clone, Debug)]
struct Case {
    method: &'static str,
    /// The sizes of its DATA frames.
    frames: Vec<usize>,
    /// Whether it says its length.
    length: bool,
    end: End,
    /// Milliseconds between two frames: whether the edge sees them together or apart.
    pause: u64,
}

impl Case {
    fn body(&self) -> Vec<u8> {
        (b'a'..=b'z').cycle().take(self.frames.iter().sum()).collect()
    }

    fn frames(&self) -> Vec<Frame> {
        let (mut body, mut frames) = (self.body(), Vec::new());
        for size in &self.frames {
            let rest = body.split_off(*size);
            frames.push(Frame::Data(std::mem::replace(&mut body, rest)));
            if self.pause > 0 {
                frames.push(Frame::Pause(self.pause));
            }
        }
        match self.end {
            End::Trailers => frames.push(Frame::Trailers(vec![("x-sum".to_owned(), "1".to_owned())])),
            // Time for what was sent to reach the upstream.
            End::Reset => frames.extend([Frame::Pause(20), Frame::Reset]),
            End::Stream => {
                while let Some(last) = frames.pop() {
                    if let Frame::Data(data) = last {
                        frames.push(Frame::Last(data));
                        break;
                    }
                }
            }
        }
        frames
    }

    /// What the upstream is to see of it.
    fn assert_seen(&self, name: &str, seen: &[Request]) {
        let told = || format!("{name} {self:?}: {seen:?}");
        let body = self.body();
        if self.end == End::Reset {
            assert!(seen.len() <= 1, "{}", told());
            // Whether it ever was whole only a length can have told.
            let is_cut = |seen: &Request| !seen.whole || self.length && seen.body == body;
            assert!(seen.iter().all(is_cut), "{}", told());
            return;
        }
        let [seen] = seen else { panic!("{}", told()) };
        assert!(seen.whole && seen.body == body && seen.method == self.method, "{}", told());
        if self.end == End::Trailers && !self.length {
            assert_eq!(seen.trailers, [("x-sum".to_owned(), "1".to_owned())], "{}", told());
        }
    }
}

/// Every way to split so many bytes, with at most two empty pieces anywhere.
pub fn splits(length: usize) -> Vec<Vec<usize>> {
    fn compositions(length: usize) -> Vec<Vec<usize>> {
        if length == 0 {
            return vec![Vec::new()];
        }
        let first = |first: usize| {
            compositions(length - first).into_iter().map(move |rest| [vec![first], rest].concat())
        };
        (1..=length).flat_map(first).collect()
    }
    let mut splits = compositions(length);
    let mut fresh = splits.clone();
    for _ in 0..2 {
        let with_one_more = |split: &Vec<usize>| {
            let split = split.clone();
            (0..=split.len()).map(move |at| [&split[..at], &[0], &split[at..]].concat())
        };
        fresh = fresh.iter().flat_map(with_one_more).collect();
        fresh.sort();
        fresh.dedup();
        splits.extend(fresh.iter().cloned());
    }
    splits
}

/// Every case with a body of up to three bytes, and some with large ones.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for frames in (0..=3).flat_map(splits) {
        for length in [false, true] {
            for end in [End::Stream, End::Trailers, End::Reset] {
                let turn = cases.len();
                let methods = if is_full() { &METHODS[..] } else { &METHODS[turn % 5..=turn % 5] };
                for method in methods {
                    let pause = [0, 0, 3][turn % 3];
                    cases.push(Case { method, frames: frames.clone(), length, end, pause });
                }
            }
        }
    }
    let large = (
        prop::collection::vec(prop_oneof![2 => Just(0), 3 => 1..2000usize, 1 => 15_000..70_000usize], 1..10),
        any::<bool>(),
        prop_oneof![3 => Just(End::Stream), 1 => Just(End::Trailers), 1 => Just(End::Reset)],
        prop_oneof![Just(0u64), Just(2)],
        prop::sample::select(&METHODS[..]),
    );
    let large =
        large.prop_map(|(frames, length, end, pause, method)| Case { method, frames, length, end, pause });
    let mut runner = TestRunner::default();
    cases.extend((0..scale(1000)).map(|_| large.new_tree(&mut runner).unwrap().current()));
    cases
}

/// Answers with the target, sometimes at once and sometimes not.
fn slowly(request: &Request) -> Reply {
    let late = request.target.len() % 3 * 6;
    Reply { after: Duration::from_millis(late as u64), ..echo(request) }
}

/// Visitors of another widget, each on a kept connection, until the others are done; how many requests they made.
async fn neighbours(stage: &Stage, done: &AtomicBool, at_least: usize) -> usize {
    let count = AtomicUsize::new(0);
    let more = || !done.load(Ordering::Relaxed) || count.load(Ordering::Relaxed) < at_least;
    let name = || format!("n{}", count.fetch_add(1, Ordering::Relaxed));
    let over_http1 = async |below: &str| {
        let mut connection = stage.plain().await;
        while more() {
            let (name, target) = (name(), format!("/{below}/v/session/{}", count.load(Ordering::Relaxed)));
            let fields = [("Origin", LISTED), ("X-Case", &*name)];
            let asked = match target.len() % 2 + name.len() % 2 {
                0 => head("GET", &target, &fields),
                1 => head("POST", &target, &[&fields[..], &[("Content-Length", "5")]].concat()) + "hello",
                _ => {
                    head("POST", &target, &[&fields[..], &[("Transfer-Encoding", "chunked")]].concat())
                        + "5\r\nhello\r\n0\r\n\r\n"
                }
            };
            let answer = connection.ask(asked).await;
            assert_eq!((answer.status, answer.text(), answer.broken), (200, target, None), "{name}");
        }
    };
    let over_http2 = async |below: &str| {
        let connection = stage.http2().await;
        while more() {
            let (name, target) = (name(), format!("/{below}/v/session/{}", count.load(Ordering::Relaxed)));
            let fields = [("origin", LISTED), ("x-case", &*name), ("content-length", "5")];
            let answer = connection.ask("POST", &target, &fields, &[Frame::Last(b"hello".to_vec())]).await;
            assert_eq!((answer.status, answer.text(), answer.broken), (200, target, None), "{name}");
        }
    };
    tokio::join!(
        over_http1("w"),
        over_http1("w"),
        over_http1("w"),
        over_http1("x"),
        over_http2("w"),
        over_http2("x")
    );
    count.into_inner()
}

/// Of these names, each is one whole request.
fn assert_undisturbed(stage: &Stage, neighbours: usize) {
    let mut seen = vec![0; neighbours];
    for upstream in [&stage.one, &stage.two] {
        for request in upstream.requests().iter() {
            let name = request.field("x-case").first().copied().unwrap_or_default();
            let Some(Ok(number)) = name.strip_prefix('n').map(str::parse::<usize>) else { continue };
            let body: &[u8] = if request.method == "GET" { b"" } else { b"hello" };
            assert!(request.whole && request.body == body, "{request:?}");
            seen[number] += 1;
        }
    }
    // They did share connections.
    let connections: HashSet<usize> = stage.one.requests().iter().map(|request| request.connection).collect();
    assert!(connections.len() < neighbours, "{} connections", connections.len());
    let wrong: Vec<usize> = (0..neighbours).filter(|number| seen[*number] != 1).collect();
    assert!(wrong.is_empty(), "of {neighbours}, not once: {wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_http2_is_one_request_however_it_is_split() {
    let stage = Stage::start(slowly).await;
    let cases = cases();
    let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let visitor = async || {
        let mut connection = stage.http2().await;
        for turn in 1.. {
            // Who gets more than a hundred empty frames over one connection may end it, and the `h2` crate does.
            if turn % 30 == 0 {
                connection = stage.http2().await;
            }
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number / 2) else { return };
            let below = ["w", "x"][number % 2];
            let (name, target) = (format!("c{}", number / 2), format!("/{below}/w/session/c{}", number / 2));
            let length = case.body().len().to_string();
            let mut fields = vec![("origin", LISTED), ("x-case", &*name)];
            if case.length {
                fields.push(("content-length", &length));
            }
            let answer = connection.ask(case.method, &target, &fields, &case.frames()).await;
            if case.end != End::Reset {
                let told = format!("{name} {case:?}");
                assert_eq!((answer.status, answer.text(), answer.broken), (200, target, None), "{told}");
            }
        }
    };
    let others = neighbours(&stage, &done, scale(5_000));
    let visitors = async {
        join_all((0..16).map(|_| visitor())).await;
        done.store(true, Ordering::Relaxed);
    };
    // The visitors' own complaints would hide what the upstream saw.
    let told = std::panic::AssertUnwindSafe(async { tokio::join!(visitors, others) });
    let told = futures_util::FutureExt::catch_unwind(told).await;
    stage.assert_well_formed();
    let ((), others) = told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    for (number, case) in cases.iter().enumerate() {
        for below in ["w", "x"] {
            let name = format!("c{number}");
            case.assert_seen(&name, &stage.upstream(below).of(&name));
        }
    }
    assert_undisturbed(&stage, others);
    println!("{} bodies, {others} requests beside them", 2 * cases.len());
}

/// RFC 9113 §8.1.1: the request is malformed.
#[tokio::test]
async fn a_length_that_the_frames_belie_is_no_request() {
    let stage = Stage::start(slowly).await;
    let connection = stage.http2().await;
    let mut kept = stage.plain().await;
    for below in ["w", "x"] {
        for (length, frames) in [
            ("5", &["abc"][..]),
            ("5", &["abc", ""]),
            ("1", &[""]),
            ("2", &["abc"]),
            ("2", &["ab", "c"]),
            ("0", &["a"]),
            ("2", &["ab", "GET /w/w/session HTTP/1.1\r\nHost: chat.example\r\nX-Case: smuggled\r\n\r\n"]),
        ] {
            for pause in [0, 5] {
                let name = format!(
                    "{below} {length} {:?} {pause}",
                    frames.iter().map(|data| data.len()).collect::<Vec<_>>()
                );
                let mut sent: Vec<Frame> = frames
                    .iter()
                    .flat_map(|data| [Frame::Data(data.as_bytes().to_vec()), Frame::Pause(pause)])
                    .collect();
                sent.push(Frame::Last(Vec::new()));
                let fields = [("origin", LISTED), ("x-case", &name), ("content-length", length)];
                let target = format!("/{below}/w/session");
                let answer = connection.ask("POST", &target, &fields, &sent).await;
                let seen = stage.upstream(below).of(&name);
                // As long as it said it is, it may have been whole to the upstream before more of it came.
                let is_whole = seen.iter().any(|seen| seen.whole && seen.body.len().to_string() == length);
                assert!(
                    seen.len() <= 1 && (is_whole || !seen.iter().any(|seen| seen.whole)),
                    "{name}: {seen:?}"
                );
                assert!(answer.status == 400 || answer.broken.is_some() || is_whole, "{name}: {answer:?}");
                let fields = [("Origin", LISTED), ("Content-Length", "2")];
                let other = kept.ask(head("POST", &target, &fields) + "ok").await;
                assert_eq!((other.status, other.text()), (200, target), "{name}");
            }
        }
        assert!(stage.upstream(below).of("smuggled").is_empty());
    }
    stage.assert_well_formed();
}

/// Chunks, however they are cut and written, with the next request right behind them.
#[tokio::test]
async fn chunks_over_http1_are_one_request_however_they_are_cut() {
    let stage = Stage::start(slowly).await;
    let mut connection = stage.plain().await;
    let mut turn = 0;
    for below in ["w", "x"] {
        for sizes in (0..=4).flat_map(splits).filter(|sizes| !sizes.contains(&0)) {
            for trailers in ["", "X-Sum: 1\r\n"] {
                turn += 1;
                let method = METHODS[turn % 4];
                let body: Vec<u8> = (b'a'..).take(sizes.iter().sum()).collect();
                let mut chunks = String::new();
                let mut rest = &body[..];
                for size in &sizes {
                    let (chunk, after) = rest.split_at(*size);
                    let (zeros, extension) =
                        [("", ""), ("00", ""), ("", ";a=b"), ("0", ";a=\"b c\"")][turn % 4];
                    let chunk = String::from_utf8_lossy(chunk);
                    write!(chunks, "{zeros}{size:X}{extension}\r\n{chunk}\r\n").unwrap();
                    rest = after;
                }
                let end = ["0\r\n", "000\r\n", "0;last\r\n"][turn % 3];
                let name = format!("c{turn}");
                let target = format!("/{below}/w/session/{name}");
                let fields = [("Origin", LISTED), ("X-Case", &name), ("Transfer-Encoding", "chunked")];
                let next = head("GET", &format!("{target}/next"), &[("Origin", LISTED)]);
                let asked =
                    [&head(method, &target, &fields), &*chunks, end, trailers, "\r\n", &next].concat();
                // In one piece, or byte for byte.
                let size = if turn % 5 == 0 { 1 } else { asked.len() };
                for piece in asked.as_bytes().chunks(size) {
                    connection.0.send(piece).await;
                }
                let answer = connection.answer(false).await;
                assert_eq!((answer.status, answer.text(), answer.broken), (200, target.clone(), None));
                let answer = connection.answer(false).await;
                assert_eq!((answer.status, answer.text()), (200, format!("{target}/next")), "{asked}");
                let seen = stage.upstream(below).one(&name);
                assert!(seen.whole && seen.method == method, "{seen:?}");
                assert_eq!(seen.body, body, "{asked}");
            }
        }
    }
    stage.assert_well_formed();
}

/// A body that breaks off is no request, and what it came over is used for no other.
#[tokio::test]
async fn a_body_that_breaks_off_over_http1_spoils_nobodys_request() {
    let stage = Stage::start(slowly).await;
    let mut kept = stage.plain().await;
    for below in ["w", "x"] {
        for (turn, (framing, sent)) in [
            ("Content-Length: 5", "abc"),
            ("Content-Length: 5", ""),
            ("Transfer-Encoding: chunked", ""),
            ("Transfer-Encoding: chunked", "3\r\nabc\r\n"),
            ("Transfer-Encoding: chunked", "5\r\nabc"),
            ("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n"),
            ("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n"),
            ("Transfer-Encoding: chunked", "3\r\nabc\r\nzz\r\n"),
            ("Transfer-Encoding: chunked", "3\r\nabcd\r\n0\r\n\r\n"),
        ]
        .into_iter()
        .enumerate()
        {
            let (name, target) = (format!("{below}{turn}"), format!("/{below}/w/session"));
            let (framing, value) = framing.split_once(": ").unwrap();
            let fields = [("Origin", LISTED), ("X-Case", &*name), (framing, value)];
            let mut connection = stage.plain().await;
            connection.0.send(head("POST", &target, &fields) + sent).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(connection);
            for _ in 0..2 {
                let fields = [("Origin", LISTED), ("Content-Length", "2")];
                let other = kept.ask(head("POST", &target, &fields) + "ok").await;
                assert_eq!((other.status, other.text()), (200, target.clone()), "{name}");
            }
            let seen = stage.upstream(below).of(&name);
            assert!(seen.len() <= 1 && seen.iter().all(|seen| !seen.whole), "{name}: {seen:?}");
        }
    }
    stage.assert_well_formed();
}

/// An upstream may answer before it has read the body (RFC 9110 §7.5): the rest of it is not the next request.
#[tokio::test]
async fn an_answer_before_the_body_is_read_leaves_nothing_behind() {
    let stage = Stage::start(|request: &Request| Reply {
        early: request.name() == "early",
        ..Reply::ok(request.target.clone())
    })
    .await;
    let stage = Arc::new(stage);
    for below in ["w", "x"] {
        let target = format!("/{below}/w/session/early");
        for turn in 0..10 {
            let frames = [
                Frame::Data(b"ab".to_vec()),
                Frame::Pause(15 * (turn % 2)),
                Frame::Data(b"c".to_vec()),
                Frame::Last(Vec::new()),
            ];
            let over_http2 = stage.http2().await;
            let asked = request("POST", &target, &[("origin", LISTED), ("x-case", "h2")]);
            let answer = client::ask(over_http2.sharing(), asked, &frames).await;
            assert_eq!((answer.status, answer.text()), (200, target.clone()), "{answer:?}");
            let mut over_http1 = stage.plain().await;
            let fields = [("Origin", LISTED), ("Content-Length", "3"), ("X-Case", "h1")];
            over_http1.0.send(head("POST", &target, &fields) + "ab").await;
            tokio::time::sleep(Duration::from_millis(15 * (turn % 2))).await;
            over_http1.0.send("c").await;
            let answer = over_http1.answer(false).await;
            assert_eq!((answer.status, answer.text()), (200, target.clone()), "{answer:?}");
            for _ in 0..2 {
                let other = format!("/{below}/v/session/other");
                let fields = [("Origin", LISTED), ("Content-Length", "2")];
                let answer = stage.plain().await.ask(head("POST", &other, &fields) + "ok").await;
                assert_eq!((answer.status, answer.text(), answer.broken), (200, other, None));
            }
        }
        for seen in stage.upstream(below).requests().iter().filter(|seen| seen.name() == "early") {
            assert!(!seen.whole || seen.body == b"abc", "{seen:?}");
        }
    }
    stage.assert_well_formed();
}
