//! Requests that break off: at every stage, in every manner and over every transport, the upstream sees a broken
//! request, never a whole one, and whoever comes next is served.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::eventually;
use crate::wire::client::{Frame, head, request};
use crate::wire::recorder::{Reply, Request};
use crate::wire::strict::Socket;
use crate::wire::{LISTED, Stage};

/// How far a request came, with its body in HTTP/1.1.
#[derive(Clone, Copy, Debug)]
struct Broken {
    length: Option<usize>,
    sent: &'static str,
    /// What of its body was sent.
    body: &'static str,
}

const LONG: &str = match std::str::from_utf8(&[b'a'; 20_000]) {
    Ok(text) => text,
    Err(_) => "",
};

impl Broken {
    /// Whether an upstream sees something of it: only once the beginning of its body is there.
    fn is_seen(self) -> bool {
        match self.length {
            Some(_) => self.body.len() >= 16 * 1024,
            None => !self.body.is_empty(),
        }
    }
}

const BROKEN: [Broken; 11] = [
    // After the head, in the middle of the body, before its end.
    Broken { length: Some(6), sent: "", body: "" },
    Broken { length: Some(6), sent: "abc", body: "abc" },
    Broken { length: Some(6), sent: "abcde", body: "abcde" },
    // More than the beginning that is waited for before an upstream is taken.
    Broken { length: Some(40_000), sent: LONG, body: LONG },
    // In HTTP/2 alone that is no end.
    Broken { length: Some(6), sent: "abcdef", body: "abcdef" },
    Broken { length: None, sent: "", body: "" },
    Broken { length: None, sent: "6\r\nabc", body: "abc" },
    Broken { length: None, sent: "3\r\nabc\r\n", body: "abc" },
    Broken { length: None, sent: "3\r\nabc\r\n3\r\ndef\r\n", body: "abcdef" },
    Broken { length: None, sent: "6\r\nabcdef\r\n0\r\n", body: "abcdef" },
    Broken { length: None, sent: "6\r\nabcdef\r\n0\r\nX-Sum: 1\r\n", body: "abcdef" },
];

/// What ends a connection or a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// The client's half is closed in order; it still listens.
    HalfClosed,
    Closed,
    Reset,
    /// RST_STREAM, in HTTP/2 alone.
    StreamReset(Reason),
}
use Manner::{Closed, HalfClosed, Reset, StreamReset};

const HTTP1: [Manner; 3] = [HalfClosed, Closed, Reset];
const HTTP2: [Manner; 5] = [
    Closed,
    Reset,
    StreamReset(Reason::CANCEL),
    StreamReset(Reason::NO_ERROR),
    StreamReset(Reason::INTERNAL_ERROR),
];

/// The heads that the upstreams got, by their field `x-case`.
#[derive(Clone, Default)]
struct Heads(Arc<Mutex<HashSet<String>>>);

impl Heads {
    /// Notes one, and answers it once its body is there.
    fn answer(&self, request: &Request) -> Reply {
        let case = request.field("x-case").first().map(|case| (*case).to_owned());
        self.0.lock().unwrap().extend(case);
        Reply::ok(request.target.clone())
    }

    /// Waits until an upstream has got one, if it gets any of it.
    async fn came(&self, case: &str, broken: Broken) {
        if broken.is_seen() {
            eventually(case, async || self.0.lock().unwrap().contains(case)).await;
        }
    }
}

/// The bytes of a connection without TLS.
fn tcp(stream: &tokio_rustls::client::TlsStream<TcpStream>) -> &TcpStream {
    stream.get_ref().0
}

/// A connection that is dropped is closed, or reset where that is wanted.
fn prepare(stream: &TcpStream, manner: Manner) {
    if manner == Reset {
        stream.set_zero_linger().unwrap();
    }
}

async fn break_off(
    stage: &Stage,
    heads: &Heads,
    below: &str,
    (transport, manner): (&str, Manner),
    broken: Broken,
) {
    let name = format!(
        "{below} {transport} {:?} {} {} {manner:?}",
        broken.length,
        broken.sent.len(),
        broken.body.len()
    );
    let target = format!("/{below}/w/session");
    let length = broken.length.map(|length| length.to_string());
    let framing = length.as_deref().map(|length| ("Content-Length", length));
    let mut fields = vec![("Origin", LISTED), ("X-Case", &*name)];
    match transport {
        "HTTP/2" => {
            fields.extend(framing);
            let stream = stage.tls.h2().await;
            prepare(tcp(&stream), manner);
            let (client, connection) = h2::client::handshake(stream).await.unwrap();
            let connection = tokio::spawn(connection);
            let mut requests = client.clone().ready().await.unwrap();
            let asked = request("POST", &target, &fields);
            let (answer, mut stream) = requests.send_request(asked, false).unwrap();
            for piece in broken.body.as_bytes().chunks(3.max(broken.body.len() / 4)) {
                stream.send_data(Bytes::from_static(piece), false).unwrap();
            }
            heads.came(&name, broken).await;
            match manner {
                StreamReset(reason) => {
                    stream.send_reset(reason);
                    // Others go on over the same connection.
                    assert_others_served(&client, stage, below).await;
                    assert!(answer.await.is_err(), "{name}");
                }
                _ => connection.abort(),
            }
        }
        _ => {
            fields.push(framing.unwrap_or(("Transfer-Encoding", "chunked")));
            let mut asked = head("POST", &target, &fields) + broken.sent;
            if transport == "HTTP/1.0" {
                asked = asked.replacen("HTTP/1.1", "HTTP/1.0", 1);
            }
            let mut stream: Box<dyn Socket> = if transport == "HTTP/1.1 with TLS" {
                let stream = stage.tls.http1().await;
                prepare(tcp(&stream), manner);
                Box::new(stream)
            } else {
                let stream = TcpStream::connect(stage.edge.http).await.unwrap();
                prepare(&stream, manner);
                Box::new(stream)
            };
            stream.write_all(asked.as_bytes()).await.unwrap();
            heads.came(&name, broken).await;
            if manner == HalfClosed {
                stream.shutdown().await.unwrap();
                let mut rest = Vec::new();
                // How it ends makes no difference, as long as it is not answered as if it were whole.
                let _ = stream.read_to_end(&mut rest).await;
                let rest = String::from_utf8_lossy(&rest);
                assert!(!rest.contains("HTTP/1.1 2"), "{name}: {rest:?}");
            }
        }
    }
    let upstream = stage.upstream(below);
    if !broken.is_seen() {
        return;
    }
    eventually(&format!("the end of {name}"), async || !upstream.of(&name).is_empty()).await;
    let seen = upstream.one(&name);
    assert!(!seen.whole, "{seen:?}");
    assert!(broken.body.as_bytes().starts_with(&seen.body), "{seen:?}");
}

async fn assert_others_served(client: &SendRequest<Bytes>, stage: &Stage, below: &str) {
    let target = format!("/{below}/v/session/other");
    let fields = [("origin", LISTED), ("content-length", "2")];
    let asked = request("POST", &target, &fields);
    let over_http2 = crate::wire::client::ask(client.clone(), asked, &[Frame::Last(b"ok".to_vec())]).await;
    let over_http1 = stage.plain().await.ask(head("POST", &target, &fields) + "ok").await;
    for answer in [over_http2, over_http1] {
        assert_eq!((answer.status, answer.text(), answer.broken), (200, target.clone(), None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_breaks_off_is_none() {
    let heads = Heads::default();
    let noted = heads.clone();
    let stage = &Stage::start(move |request: &Request| noted.answer(request)).await;
    let others = stage.tls.http2().await;
    for below in ["w", "x"] {
        for broken in BROKEN {
            let mut ways: Vec<(&str, Manner)> = Vec::new();
            for transport in ["HTTP/1.1", "HTTP/1.1 with TLS", "HTTP/1.0"] {
                let takes = match broken.length {
                    Some(length) => length > broken.sent.len(),
                    None => transport != "HTTP/1.0",
                };
                ways.extend(HTTP1.iter().filter(|_| takes).map(|manner| (transport, *manner)));
            }
            ways.extend(HTTP2.map(|manner| ("HTTP/2", manner)));
            join_all(ways.into_iter().map(|way| break_off(stage, &heads, below, way, broken))).await;
            // Those connections to the upstream that were cut are none that anybody gets.
            assert_others_served(&others, stage, below).await;
        }
    }
    stage.assert_well_formed();
    let unseen = BROKEN.into_iter().filter(|broken| !broken.is_seen());
    for broken in unseen {
        let sizes = format!("{:?} {} {} ", broken.length, broken.sent.len(), broken.body.len());
        assert!(!heads.0.lock().unwrap().iter().any(|name| name.contains(&sizes)), "{broken:?}");
    }
    for upstream in [&stage.one, &stage.two] {
        let others = upstream.requests().into_iter().filter(|seen| seen.name() == "other");
        assert!(others.into_iter().all(|seen| seen.whole && seen.body == b"ok"));
    }
}
