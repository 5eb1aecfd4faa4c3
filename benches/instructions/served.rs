//! An edge that serves on one thread, with its upstream and its only client on the same: what happens in between is
//! in one order then, and its instructions are the same in each run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bench_support::edge::Edge;
use embedgate::edge::connection::listeners::{Listener, ListenerKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

/// The head of the upstream's answer. What no cache may keep goes the whole way each time.
pub const ANSWER: [(&str, &str); 7] = [
    ("date", "Mon, 23 Nov 2026 03:00:00 GMT"),
    ("server", "app"),
    ("content-type", "text/javascript; charset=utf-8"),
    ("content-length", "1024"),
    ("cache-control", "no-store"),
    ("last-modified", "Sun, 22 Nov 2026 03:00:00 GMT"),
    ("etag", "\"3f80f-1b6-3e1cb03b\""),
];

/// A connection to ask through.
pub struct Served {
    runtime: Runtime,
    client: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Served {
    /// Asks the edge this, after it has answered often enough to be warm.
    pub fn by_the_edge(request: Vec<u8>) -> Self {
        Self::new(request, true)
    }

    /// Asks the upstream itself: what the client and the upstream take of the count.
    pub fn by_the_upstream(request: Vec<u8>) -> Self {
        Self::new(request, false)
    }

    fn new(request: Vec<u8>, through_edge: bool) -> Self {
        let runtime = runtime();
        let client = runtime.block_on(async {
            let upstream = serve_upstream().await;
            let edge = if through_edge { serve_edge(upstream, "").await } else { upstream };
            connect(edge).await
        });
        let mut served = Self { runtime, client, request, answer: Vec::new() };
        served.learn_answer();
        served.ask(WARM);
        served
    }

    /// Asks so many times, one after the other.
    pub fn ask(&mut self, times: usize) {
        let Self { runtime, client, request, answer, .. } = self;
        runtime.block_on(async {
            for _ in 0..times {
                std::thread::sleep(BETWEEN);
                client.write_all(request).await.unwrap();
                client.read_exact(answer).await.unwrap();
            }
        });
    }

    /// The status of the last answer.
    pub fn status(&self) -> &str {
        std::str::from_utf8(&self.answer["HTTP/1.1 ".len()..][..3]).unwrap()
    }

    /// Every answer is as long as the first.
    fn learn_answer(&mut self) {
        let Self { runtime, client, request, answer, .. } = self;
        runtime.block_on(async {
            client.write_all(request).await.unwrap();
            while !is_whole(answer) {
                assert_ne!(client.read_buf(answer).await.unwrap(), 0, "closed");
            }
        });
    }
}

/// The proxy library's timers go by ticks of 10 ms, and requests within one share them. So that it is not up to the
/// machine how many do, none does.
pub const BETWEEN: Duration = Duration::from_millis(20);

/// Requests before the first that counts.
pub const WARM: usize = 20;

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() == length.map_or(0, |length| length.parse().unwrap())
}

/// One that does everything on this thread.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Over HTTP, or with an `[[edge.tls]]` table over HTTPS.
pub async fn serve_edge(upstream: SocketAddr, tls: &str) -> SocketAddr {
    let edge = Edge::before(upstream, tls);
    edge.setup.start().await;
    let kind = ListenerKind { tls: (!tls.is_empty()).then_some(0), proxy_protocol: false };
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), kind).unwrap();
    let addr = listener.addr();
    // It accepts until the runtime ends.
    std::mem::forget(listener.accept(&Arc::new(edge.service())).unwrap());
    addr
}

/// An upstream that gives [`ANSWER`] to all.
pub async fn serve_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let head: String = ANSWER.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let answer: &'static str = format!("HTTP/1.1 200 OK\r\n{head}\r\n{}", "x".repeat(1024)).leak();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer_all(stream, answer.as_bytes()));
        }
    });
    addr
}

/// How the body of a POST ends, so that the upstream knows that it is whole.
const BODY_END: &[u8] = b"\n.\n";

/// A body of 1 KiB.
pub fn body() -> Vec<u8> {
    [&[b'x'; 1024 - BODY_END.len()], BODY_END].concat()
}

async fn answer_all(mut stream: TcpStream, answer: &'static [u8]) {
    stream.set_nodelay(true).unwrap();
    let mut request = Vec::with_capacity(4096);
    while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        let end = if request.starts_with(b"POST ") { BODY_END } else { b"\r\n\r\n" };
        if request.ends_with(end) {
            request.clear();
            stream.write_all(answer).await.unwrap();
        }
    }
}

/// Until it listens.
pub async fn connect(addr: SocketAddr) -> TcpStream {
    loop {
        match TcpStream::connect(addr).await {
            Ok(stream) => return stream,
            Err(_) => yield_now().await,
        }
    }
}
