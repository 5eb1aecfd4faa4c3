//! Bodies of answers, however they are split: the client gets exactly one answer, and the next one is the next
//! request's.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::bodies::splits;
use super::client::{Answer, Http1, Http2, head};
use super::recorder::{Ends, Reply, Request, Told};
use super::strict::values;
use super::{LISTED, Stage};
use crate::support::{is_full, scale};

/// A client, and how it asks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Kept,
    Closed,
    Old,
    Http2,
}

const WAYS: [Way; 4] = [Way::Kept, Way::Closed, Way::Old, Way::Http2];

/// The connections of a client that keeps what can be kept.
struct Client<'s> {
    stage: &'s Stage,
    kept: Http1,
    http2: Http2,
}

impl<'s> Client<'s> {
    async fn of(stage: &'s Stage) -> Self {
        Self { stage, kept: stage.plain().await, http2: stage.http2().await }
    }

    async fn ask(&mut self, way: Way, method: &str, target: &str) -> Answer {
        let fields = |more| [&[("Origin", LISTED)][..], more].concat();
        match way {
            Way::Kept => {
                let fields = fields(&[("TE", "trailers"), ("Connection", "TE")]);
                let answer = self.kept.ask(head(method, target, &fields)).await;
                if let Some(broken) = &answer.broken {
                    // What follows would be anybody's guess.
                    assert_eq!(broken, "cut off", "{target}");
                    self.kept = self.stage.plain().await;
                }
                answer
            }
            Way::Closed => {
                let fields = fields(&[("TE", "trailers"), ("Connection", "TE, close")]);
                let mut connection = self.stage.plain().await;
                let answer = connection.ask(head(method, target, &fields)).await;
                assert_ended(connection, &answer, target).await;
                answer
            }
            Way::Old => {
                let asked = head(method, target, &fields(&[])).replace("HTTP/1.1", "HTTP/1.0");
                let mut connection = self.stage.plain().await;
                let answer = connection.ask(asked).await;
                assert_ended(connection, &answer, target).await;
                answer
            }
            Way::Http2 => {
                self.http2.ask(method, target, &[("origin", LISTED), ("te", "trailers")], &[]).await
            }
        }
    }
}

/// That nothing follows the last answer of a connection.
async fn assert_ended(mut connection: Http1, answer: &Answer, target: &str) {
    match &answer.broken {
        None => assert!(connection.0.is_closed().await, "{target}: something follows"),
        Some(broken) => assert_eq!(broken, "cut off", "{target}"),
    }
}

/// Every answer with a body of up to three bytes, and some with large ones.
fn replies() -> Vec<Reply> {
    let mut replies = Vec::new();
    let body = |sizes: &[usize]| -> Vec<Vec<u8>> {
        let mut letters = (b'a'..=b'z').cycle();
        sizes.iter().map(|size| letters.by_ref().take(*size).collect()).collect()
    };
    for pieces in (0..=3).flat_map(splits) {
        for told in [Told::Length, Told::Chunks] {
            for ends in [Ends::WithLast, Ends::WithTrailers, Ends::Broken] {
                let pause = Duration::from_millis([0, 0, 2][replies.len() % 3]);
                let trailers = match ends {
                    Ends::WithTrailers => vec![("x-sum", "1".to_owned())],
                    _ => Vec::new(),
                };
                replies.push(Reply { pieces: body(&pieces), told, ends, pause, trailers, ..Reply::ok("") });
            }
        }
    }
    let large = (
        prop::collection::vec(prop_oneof![3 => 1..2000usize, 1 => 15_000..70_000usize], 1..10),
        prop::sample::select(&[Told::Length, Told::Chunks][..]),
        prop::sample::select(&[Ends::WithLast, Ends::Broken][..]),
    );
    let large = large.prop_map(|(pieces, told, ends)| (pieces, told, ends));
    let mut runner = TestRunner::default();
    for _ in 0..scale(300) {
        let (pieces, told, ends) = large.new_tree(&mut runner).unwrap().current();
        replies.push(Reply { pieces: body(&pieces), told, ends, ..Reply::ok("") });
    }
    for told in [Told::Length, Told::Chunks] {
        for status in [204, 304, 404, 500] {
            replies.push(Reply { status, told, ..Reply::ok("abc") });
        }
    }
    for pieces in splits(2) {
        replies.push(Reply { pieces: body(&pieces), told: Told::Close, ..Reply::ok("") });
    }
    replies
}

fn assert_answered(way: Way, told_as: &Reply, answer: &Answer, told: &str) {
    let (pieces, body) = (&answer.body, told_as.pieces.concat());
    assert_eq!(answer.status, told_as.status, "{told}");
    let lengths = values(&answer.fields, "content-length");
    if matches!(told_as.status, 204 | 304) {
        assert!(pieces.is_empty() && answer.broken.is_none(), "{told}");
        assert!(told_as.status == 304 || lengths.is_empty(), "{told}");
        return;
    }
    if told_as.ends == Ends::Broken {
        // Without a length, HTTP/1.0 can't tell.
        assert!(answer.broken.is_some() || way == Way::Old && told_as.told == Told::Chunks, "{told}");
        return;
    }
    assert_eq!(answer.broken, None, "{told}");
    assert!(*pieces == body, "{told}: {:?}", String::from_utf8_lossy(pieces));
    if told_as.told == Told::Length {
        assert_eq!(lengths, [body.len().to_string()], "{told}");
    }
    let has_trailers = told_as.ends == Ends::WithTrailers && way != Way::Old;
    if has_trailers && told_as.told == Told::Chunks {
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "1".to_owned())], "{told}");
    } else if !has_trailers || way != Way::Http2 {
        // HTTP/1.1 has none behind a length.
        assert_eq!(answer.trailers, [], "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_one_however_it_is_split() {
    let replies = Arc::new(replies());
    let known = Arc::clone(&replies);
    // Who gets more than a hundred empty frames over one connection may end it, and the `h2` crate does.
    let stage = Stage::with("", 48, move |request: &Request| match request.name().parse::<usize>() {
        Ok(number) => known[number].clone(),
        Err(_) => Reply::ok(request.target.clone()),
    })
    .await;
    let stage = &stage;
    let all = ["w", "x"].into_iter().flat_map(|below| WAYS.map(|way| (below, way)));
    let asking = all.map(async |(below, way)| {
        let mut client = Client::of(stage).await;
        for (number, reply) in replies.iter().enumerate() {
            // Half of them by each way, or all.
            if !is_full() && (number + way as usize) % 2 == 1 {
                continue;
            }
            // HTTP/1.1 has no trailers behind a length.
            if reply.told == Told::Length && reply.ends == Ends::WithTrailers && below == "w" {
                continue;
            }
            let target = format!("/{below}/w/session/{number}");
            let answer = client.ask(way, "GET", &target).await;
            let sizes: Vec<usize> = reply.pieces.iter().map(Vec::len).collect();
            let told = format!("{way:?} {target}: {sizes:?} {:?} {:?}: {answer:?}", reply.told, reply.ends);
            assert_answered(way, reply, &answer, &told);
            if matches!(way, Way::Kept | Way::Http2) {
                let next = client.ask(way, "GET", &format!("/{below}/v/session/next")).await;
                assert_eq!(next.text(), format!("/{below}/v/session/next"), "behind {told}");
            }
        }
    });
    futures_util::future::join_all(asking).await;
    stage.assert_well_formed();
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let stage = Stage::start(|request: &Request| {
        let told = if request.name() == "length" { Told::Length } else { Told::Chunks };
        Reply { told, ..Reply::ok("abc") }
    })
    .await;
    let mut client = Client::of(&stage).await;
    for below in ["w", "x"] {
        for way in WAYS {
            for (name, length) in [("length", "3"), ("none", "")] {
                let target = format!("/{below}/w/session/{name}");
                for _ in 0..2 {
                    let answer = client.ask(way, "HEAD", &target).await;
                    assert_eq!((answer.status, answer.broken.as_deref()), (200, None), "{way:?} {target}");
                    assert_eq!(answer.field("content-length"), length, "{way:?} {target}: {answer:?}");
                    assert_eq!(answer.body, b"", "{way:?} {target}");
                }
                let answer = client.ask(way, "GET", &target).await;
                assert_eq!((answer.text().as_str(), answer.broken), ("abc", None), "{way:?} {target}");
            }
        }
    }
    stage.assert_well_formed();
}
