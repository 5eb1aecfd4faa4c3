//! Every transport gives the same answer, whatever an upstream says.

mod answers;

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

use self::answers::{ANSWERS, Then};
use super::{LISTED, spec_on};
use crate::support::edge::Edge;
use crate::support::tls::EdgeTls;
use crate::support::upstream::Scripted;

/// What one request came to, without what the protocols themselves differ in.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// An answer over HTTP/1 to this request, by whose end the connection was closed or silent. With it, whether
    /// another request may follow.
    fn parse(mut bytes: &[u8], request: &str) -> (Self, bool) {
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
        let status = outcome.heads.last().map_or(0, |(status, _)| *status);
        let is_bodiless = request.starts_with("HEAD ") || matches!(status, 204 | 304);
        let length = head.split("content-length: ").nth(1).map(|rest| rest.split('\r').next().unwrap());
        let text = String::from_utf8_lossy(bytes).into_owned();
        (outcome.body, outcome.whole, outcome.trailers) = match length {
            _ if is_bodiless => (text, bytes.is_empty(), Vec::new()),
            Some(length) => (text, length.parse() == Ok(bytes.len()), Vec::new()),
            None if head.contains("transfer-encoding: chunked") => unchunk(bytes),
            // Until the connection is closed, in HTTP/1.0 alone.
            None => (text, request.contains(" HTTP/1.0\r\n"), Vec::new()),
        };
        (outcome.without_id(), head.contains("connection: keep-alive"))
    }

    /// A failed request's id is its own.
    fn without_id(mut self) -> Self {
        if let Ok(Value::Object(mut problem)) = serde_json::from_str(&self.body) {
            problem.remove("decision_id");
            self.body = Value::Object(problem).to_string();
        }
        self
    }

    /// The same as the answer to a `HEAD`.
    fn of_head(&self) -> Self {
        Self { heads: self.heads.clone(), whole: true, ..Self::default() }
    }

    /// The same over HTTP/1.0, which knows no interim answers and no trailers, and can't tell a body without a length
    /// from a part of it.
    fn old(&self) -> Self {
        let head = self.heads.last().cloned();
        let fields = head.iter().flat_map(|(_, fields)| fields);
        let has_length = fields.into_iter().any(|field| field.starts_with("content-length: "));
        let is_bodiless = matches!(head, Some((204 | 304, _)));
        let whole = self.whole || !has_length && !is_bodiless;
        Self { heads: head.into_iter().collect(), body: self.body.clone(), whole, trailers: Vec::new() }
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

async fn over_http1(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> (Outcome, bool) {
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
    Outcome::parse(&bytes, request)
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
            match then {
                Then::Keep => {}
                Then::Close => return,
                Then::Reset => return connection.into_inner().0.set_zero_linger().unwrap(),
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
            let (path, after) = (format!("/w/w/{class}/{name}"), format!("/w/w/{class}/length"));
            let request = |method: &str, more: &str| {
                format!("{method} {path} HTTP/1.1\r\nHost: chat.example\r\nOrigin: {LISTED}\r\n{more}")
            };
            let mut outcomes = vec![
                ("GET over HTTP/2", over_http2(&client, "GET", &path, "").await),
                ("POST over HTTP/2", over_http2(&client, "POST", &path, "body").await),
            ];
            for (what, asked) in [
                ("GET", request("GET", "\r\n")),
                ("GET and close", request("GET", "Connection: close\r\n\r\n")),
                ("POST", request("POST", "Content-Length: 4\r\n\r\nbody")),
                ("chunks", request("POST", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")),
            ] {
                let mut stream = tls.http1().await;
                let (outcome, keeps) = over_http1(&mut stream, &asked).await;
                if keeps && outcome.whole {
                    let next = request("GET", "Connection: close\r\n\r\n").replacen(&path, &after, 1);
                    let told = over_http1(&mut stream, &next).await.0.told();
                    assert_eq!(told, "200 body", "behind {what} of {class} {name}");
                }
                outcomes.push((what, outcome));
            }
            let asked = request("HEAD", "Connection: close\r\n\r\n");
            let heads = [
                ("HEAD", over_http1(&mut tls.http1().await, &asked).await.0),
                ("HEAD over HTTP/2", over_http2(&client, "HEAD", &path, "").await),
            ];
            let asked = request("GET", "\r\n").replacen("HTTP/1.1", "HTTP/1.0", 1);
            let (old, _) = over_http1(&mut tls.http1().await, &asked).await;
            (name, expected, outcomes, heads, old)
        });
        for (name, expected, outcomes, heads, old) in join_all(answers).await {
            let (_, first) = &outcomes[0];
            assert_eq!(first.told(), **expected, "{class} {name}");
            for (what, outcome) in &outcomes[1..] {
                assert_eq!(outcome, first, "{class} {name}: {what}");
            }
            for (what, outcome) in heads {
                assert_eq!(outcome, first.of_head(), "{class} {name}: {what}");
            }
            assert_eq!(old, first.old(), "{class} {name}: HTTP/1.0");
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
