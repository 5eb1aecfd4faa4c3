//! Every transport gives the same answer, whatever an upstream says.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{LISTED, spec_on};
use crate::support::edge::Edge;
use crate::support::tls::EdgeTls;
use crate::support::upstream::Scripted;

/// What follows an answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// The next request's.
    Keep,
    Close,
}
use Then::{Close, Keep};

/// Answers; what is parted by `|` is sent with time in between.
const ANSWERS: &[(&str, &str, Then, &str)] = &[
    ("length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: \"x\"\r\n\r\nbody", Keep, "200 body"),
    ("length-zero", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Keep, "200"),
    (
        "length-twice-the-same",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    ("length-twice", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", Close, "502"),
    ("length-negative", "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nbody", Close, "502"),
    (
        "length-and-chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        Keep,
        "200 body",
    ),
    (
        "more-than-length",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\n\r\n",
        Keep,
        "200 body",
    ),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n|3\r\n!!!\r\n|0\r\n\r\n",
        Keep,
        "200 body!!!",
    ),
    (
        "chunks-upper",
        "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        Keep,
        "200 body",
    ),
    ("chunks-none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Keep, "200"),
    (
        "trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
        Keep,
        "200 body",
    ),
    (
        "chunks-broken",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nzz\r\n",
        Close,
        "200 body …",
    ),
    (
        "encoded-twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        Close,
        "502",
    ),
    ("until-close", "HTTP/1.1 200 OK\r\n\r\nbo|dy", Close, "200 body"),
    ("until-close-nothing", "HTTP/1.1 200 OK\r\n\r\n", Close, "200"),
    ("old", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", Close, "200 body"),
    ("old-until-close", "HTTP/1.0 200 OK\r\n\r\nbody", Close, "200 body"),
    (
        "interim",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nServer: x\r\n\r\n|HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "103 200 body",
    ),
    (
        "interims",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        Keep,
        "100 102 204",
    ),
    ("no-content", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", Keep, "204"),
    ("not-modified", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 400\r\n\r\n", Keep, "304"),
    (
        "redirect",
        "HTTP/1.1 302 Found\r\nLocation: /w/w/session/next\r\nContent-Length: 0\r\n\r\n",
        Keep,
        "302",
    ),
    ("error", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", Keep, "500 oops"),
    (
        "upgrade-required",
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
        Keep,
        "426",
    ),
    ("own-reason", "HTTP/1.1 200 As You Wish\r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    ("no-reason", "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    ("own-status", "HTTP/1.1 599 Odd\r\nContent-Length: 4\r\n\r\nbody", Keep, "599 body"),
    (
        "says-close",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
        Close,
        "200 body",
    ),
    (
        "hop-by-hop",
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    (
        "stripped",
        "HTTP/1.1 200 OK\r\nServer: x\r\nX-Powered-By: y\r\nAccess-Control-Allow-Origin: *\r\nCDN-Cache-Control: max-age=9\r\nServer-Timing: a, embed-ticket;desc=b\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    (
        "fields-twice",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nVary: Accept\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    (
        "field-folded",
        "HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    ("field-bytes", "HTTP/1.1 200 OK\r\nX-A: é\r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    ("field-spaced", "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    ("field-broken", "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 4\r\n\r\nbody", Close, "502"),
    ("head-in-pieces", "HTTP/1.1 2|00 OK\r\nContent-|Length: 4\r\n\r|\nbo|dy", Keep, "200 body"),
    ("short-of-length", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", Close, "200 half …"),
    (
        "short-of-chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        Close,
        "200 half …",
    ),
    ("short-of-head", "HTTP/1.1 200 OK\r\nContent-Le", Close, "502"),
    ("nothing", "", Close, "502"),
    ("nonsense", "SSH-2.0-OpenSSH_9.2\r\n\r\n", Close, "502"),
    ("huge-head", "HTTP/1.1 200 OK\r\nX-A: LONG\r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    (
        "too-huge-head",
        "HTTP/1.1 200 OK\r\nX-A: LONGLONGLONGLONGLONGLONGLONGLONGLONGLONGLONGLONG\r\nContent-Length: 4\r\n\r\nbody",
        Close,
        "502",
    ),
    ("too-many-fields", "HTTP/1.1 200 OK\r\nMANYContent-Length: 4\r\n\r\nbody", Close, "502"),
    ("large-body", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nLONG", Keep, "200 LONG"),
];

/// What one request came to, without what the protocols themselves differ in.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Interim heads and the final one: status, and the fields that are not of the connection.
    heads: Vec<(u16, Vec<String>)>,
    body: String,
    whole: bool,
    trailers: Vec<String>,
}

/// What an answer's protocol says of its connection or its framing.
const OF_PROTOCOL: [&str; 4] = ["connection", "transfer-encoding", "keep-alive", "upgrade"];

fn fields<'f>(fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> Vec<String> {
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value));
    let fields = fields.filter(|(name, _)| !OF_PROTOCOL.contains(&name.as_str()));
    let mut fields: Vec<String> = fields
        .map(|(name, value)| match &*name {
            // Of the second that it is.
            "date" => name,
            _ => format!("{name}: {}", String::from_utf8_lossy(value)),
        })
        .collect();
    fields.sort();
    fields
}

fn of_head(lines: &str) -> Vec<String> {
    let lines = lines.split("\r\n").filter(|line| !line.is_empty());
    fields(lines.map(|line| line.split_once(": ").unwrap()).map(|(name, value)| (name, value.as_bytes())))
}

impl Outcome {
    /// An answer over HTTP/1.1, by whose end the connection was closed or silent.
    fn parse(mut bytes: &[u8]) -> Self {
        let mut outcome = Self::default();
        let mut head = String::new();
        while let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") {
            head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            bytes = &bytes[end + 4..];
            let (line, lines) = head.split_once("\r\n").unwrap_or((&head, ""));
            let status = line.split(' ').nth(1).unwrap().parse().unwrap();
            outcome.heads.push((status, of_head(lines)));
            if status >= 200 {
                break;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).map(|rest| rest.split('\r').next().unwrap());
        (outcome.body, outcome.whole, outcome.trailers) = match length {
            Some(length) => {
                let is_bodiless = outcome.heads.last().unwrap().0 == 304;
                let whole = is_bodiless || length.parse() == Ok(bytes.len());
                (String::from_utf8_lossy(bytes).into_owned(), whole, Vec::new())
            }
            None if head.contains("transfer-encoding: chunked") => unchunk(bytes),
            None => (String::from_utf8_lossy(bytes).into_owned(), bytes.is_empty(), Vec::new()),
        };
        outcome.without_id()
    }

    /// A failed request's id is its own.
    fn without_id(mut self) -> Self {
        if let Ok(Value::Object(mut problem)) = serde_json::from_str(&self.body) {
            problem.remove("decision_id");
            self.body = Value::Object(problem).to_string();
        }
        self
    }

    /// In the words of the table.
    fn told(&self) -> String {
        let mut told: Vec<String> = self.heads.iter().map(|(status, _)| status.to_string()).collect();
        let status = self.heads.last().map(|(status, _)| *status);
        let body = if self.body.len() > 200 { "LONG" } else { &self.body };
        told.extend(Some(body).filter(|body| !body.is_empty() && status != Some(502)).map(str::to_owned));
        told.extend((!self.whole).then(|| "…".to_owned()));
        told.join(" ")
    }
}

/// The pieces of a chunked body put together, whether its end was there, and the trailers: where chunks end is of no
/// meaning.
fn unchunk(mut bytes: &[u8]) -> (String, bool, Vec<String>) {
    let mut body = Vec::new();
    while let Some(line) = memchr::memmem::find(bytes, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        bytes = &bytes[line + 2..];
        if size == 0 {
            let trailers = std::str::from_utf8(bytes).unwrap();
            let trailers = trailers.strip_suffix("\r\n").map(of_head);
            return (
                String::from_utf8_lossy(&body).into_owned(),
                trailers.is_some(),
                trailers.unwrap_or_default(),
            );
        }
        body.extend_from_slice(&bytes[..size.min(bytes.len())]);
        bytes = bytes.get(size + 2..).unwrap_or_default();
    }
    (String::from_utf8_lossy(&body).into_owned(), false, Vec::new())
}

async fn over_http1(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: String) -> Outcome {
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        // The first byte of an answer may be a while; what follows it is not.
        let silence = Duration::from_millis(if bytes.is_empty() { 10_000 } else { 1500 });
        match tokio::time::timeout(silence, stream.read(&mut chunk)).await {
            Ok(Ok(read @ 1..)) => bytes.extend_from_slice(&chunk[..read]),
            Ok(Ok(0) | Err(_)) | Err(_) => break,
        }
    }
    Outcome::parse(&bytes)
}

async fn over_http2(client: &SendRequest<Bytes>, method: &str, path: &str, body: &'static str) -> Outcome {
    let mut outcome = Outcome::default();
    let request = Request::builder().method(method).uri(format!("https://chat.example{path}"));
    let request = request.header("origin", LISTED).body(()).unwrap();
    let mut client = client.clone().ready().await.unwrap();
    let (mut answer, mut up) = client.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        up.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }
    let of = |fields: &HeaderMap| {
        super::transports::fields(fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    };
    let answer = loop {
        let interim = poll_fn(|context| match answer.poll_informational(context) {
            Poll::Ready(Some(interim)) => Poll::Ready(Ok(interim.unwrap())),
            _ => Pin::new(&mut answer).poll(context).map(Err),
        });
        match interim.await {
            Ok(interim) => outcome.heads.push((interim.status().as_u16(), of(interim.headers()))),
            Err(answer) => break answer.unwrap(),
        }
    };
    outcome.heads.push((answer.status().as_u16(), of(answer.headers())));
    let (mut stream, mut bytes) = (answer.into_body(), Vec::new());
    loop {
        match stream.data().await {
            Some(Ok(piece)) => {
                stream.flow_control().release_capacity(piece.len()).unwrap();
                bytes.extend_from_slice(&piece);
            }
            Some(Err(_)) => break,
            None => {
                outcome.whole = true;
                let trailers = stream.trailers().await.unwrap();
                outcome.trailers = trailers.as_ref().map(of).unwrap_or_default();
                break;
            }
        }
    }
    outcome.body = String::from_utf8_lossy(&bytes).into_owned();
    outcome.without_id()
}

/// Answers each request with what its path names.
async fn answering() -> Scripted {
    Scripted::start(move |mut connection, _| async move {
        while let Some((head, _)) = connection.request().await {
            let name = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
            let (_, answer, then, _) = ANSWERS.iter().find(|(answer, ..)| *answer == name).unwrap();
            let answer =
                answer.replace("LONG", &"x".repeat(100_000)).replace("MANY", &"X-A: 1\r\n".repeat(300));
            for piece in answer.split('|') {
                connection.send(piece).await;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            if *then == Close {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_is_the_same_over_every_transport() {
    let upstream = answering().await;
    let mut spec = spec_on(&[upstream.addr], "");
    // What is in memory went no way at all.
    spec.more.push_str("[cache]\nbytes = \"0B\"\n");
    let tls = EdgeTls::of("chat.example");
    tls.add_to(&mut spec);
    let _edge = Edge::start(spec).await;
    let client = tls.http2().await;
    for class in ["session", "assets"] {
        let answers = ANSWERS.iter().map(async |(name, _, _, expected)| {
            let path = format!("/w/w/{class}/{name}");
            let request = |method: &str, more: &str| {
                format!("{method} {path} HTTP/1.1\r\nHost: chat.example\r\nOrigin: {LISTED}\r\n{more}")
            };
            let mut outcomes = vec![
                ("GET over HTTP/2", over_http2(&client, "GET", &path, "").await),
                ("POST over HTTP/2", over_http2(&client, "POST", &path, "body").await),
            ];
            for (what, request) in [
                ("GET", request("GET", "\r\n")),
                ("GET and close", request("GET", "Connection: close\r\n\r\n")),
                ("POST", request("POST", "Content-Length: 4\r\n\r\nbody")),
                ("chunks", request("POST", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")),
            ] {
                let stream = tls.http1().await;
                outcomes.push((what, over_http1(stream, request).await));
            }
            (name, expected, outcomes)
        });
        for (name, expected, outcomes) in join_all(answers).await {
            let (_, first) = &outcomes[0];
            assert_eq!(first.told(), **expected, "{class} {name}");
            for (what, outcome) in &outcomes[1..] {
                assert_eq!(outcome, first, "{class} {name}: {what}");
            }
        }
    }
}

/// What a connection takes later than the rest is sent, too: the client is slow, and its connection is kept.
#[tokio::test]
async fn a_slow_reader_gets_the_whole_answer() {
    const LENGTH: usize = 3_000_000;
    let upstream = Scripted::start(|mut connection, _| async move {
        while connection.request().await.is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
            connection.send(head + "x".repeat(LENGTH).as_str()).await;
        }
    })
    .await;
    let mut spec = spec_on(&[upstream.addr], "");
    let tls = EdgeTls::of("chat.example");
    tls.add_to(&mut spec);
    let _edge = Edge::start(spec).await;
    let mut stream = tls.http1().await;
    let request = format!("GET /w/w/session HTTP/1.1\r\nHost: chat.example\r\nOrigin: {LISTED}\r\n\r\n");
    for pause in [300, 50, 5] {
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut answer, mut piece) = (Vec::new(), vec![0; 256 * 1024]);
        let whole = async {
            while memchr::memmem::find(&answer, b"\r\n\r\n").is_none_or(|end| answer.len() < end + 4 + LENGTH)
            {
                if answer.len() < LENGTH / 4 {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                let read = stream.read(&mut piece).await.unwrap();
                assert!(read > 0, "{} bytes came", answer.len());
                answer.extend_from_slice(&piece[..read]);
            }
        };
        tokio::time::timeout(Duration::from_secs(30), whole).await.expect("all of it comes");
    }
}
