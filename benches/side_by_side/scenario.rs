//! What a client does in a round.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::peers::Peer;
use crate::rules;

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Scenario {
    /// GET of an answer of 1 KiB that nobody may store, on a kept connection, from a listed site.
    Allowed,
    /// The same from a stranger.
    Denied,
    /// GET of an answer of 1 KiB that caches may keep for a day, from a listed site.
    Cached,
    /// POST of 1 KiB, answered with 1 KiB, on a kept connection, from a listed site.
    Post,
    /// Allowed GETs over HTTP/2 on TLS, eight streams at a time on each connection.
    Http2,
    /// The same from a stranger.
    Http2Denied,
    /// The same POST over HTTP/2 on TLS.
    Http2Post,
    /// TCP connection, WebSocket handshake through to the upstream, one message echoed, Close frames both ways, end.
    WebSocket,
    /// Message of 120 bytes, echoed by the upstream, on a WebSocket that is kept.
    Message,
    /// TCP connection, full TLS 1.3 handshake, one allowed GET, end.
    Tls,
    /// The same, the TLS session resumed with what the connection before was given.
    TlsResumed,
}

impl Scenario {
    pub fn title(self) -> &'static str {
        match self {
            Self::Allowed => "GET, allowed",
            Self::Denied => "GET, denied",
            Self::Cached => "asset from the cache",
            Self::Post => "POST of 1 KiB",
            Self::Http2 => "HTTP/2 GET, allowed",
            Self::Http2Denied => "HTTP/2 GET, denied",
            Self::Http2Post => "HTTP/2 POST of 1 KiB",
            Self::WebSocket => "WebSocket opened, one message, closed",
            Self::Message => "WebSocket message echoed",
            Self::Tls => "TLS handshake and a GET",
            Self::TlsResumed => "TLS resumed and a GET",
        }
    }

    /// Who takes part: a proxy that enforces nothing denies nothing, and has no cache.
    pub fn includes(self, peer: Peer) -> bool {
        peer != Peer::Bare || !matches!(self, Self::Denied | Self::Http2Denied | Self::Cached)
    }

    /// The status of every answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Denied | Self::Http2Denied => 403,
            Self::WebSocket | Self::Message => 101,
            _ => 200,
        }
    }

    /// What is asked for and by whom, in turn: several widgets, so that no peer sees the same twice in a row.
    pub fn requests(self) -> Vec<Request> {
        let (kind, path) = match self {
            Self::Post | Self::Http2Post => (Kind::Post, "session"),
            Self::WebSocket | Self::Message => (Kind::Handshake, "session"),
            Self::Cached => (Kind::Get, "assets/app.js"),
            _ => (Kind::Get, "loader.js"),
        };
        (0..64)
            .map(|n| {
                let n = n * 15;
                let origin = match (self, n % 4) {
                    (Self::Denied | Self::Http2Denied, _) => format!("https://stranger{n}.example"),
                    (_, 0) => format!("https://a.shop{n}.example.org"),
                    _ => format!("https://www.site{n}.example.com"),
                };
                Request { kind, path: format!("/w/{}/{path}", rules::id(n)), origin: Some(origin) }
            })
            .collect()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Get,
    /// With [`Request::BODY`].
    Post,
    /// For a WebSocket.
    Handshake,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub kind: Kind,
    pub path: String,
    pub origin: Option<String>,
}

impl Request {
    /// The host of every request.
    pub const HOST: &str = bench_support::ground::HOST;
    /// What every client says it is.
    pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    /// What a POST brings: 1 KiB.
    pub const BODY: &[u8] = &[b'x'; 1024];
    /// And what it says that is.
    pub const BODY_TYPE: &str = "text/plain";

    /// As HTTP/1.1 has it.
    pub fn bytes(&self) -> Vec<u8> {
        let (method, fields, body) = match self.kind {
            Kind::Get => ("GET", String::new(), &[][..]),
            Kind::Post => (
                "POST",
                format!("Content-Type: {}\r\nContent-Length: {}\r\n", Self::BODY_TYPE, Self::BODY.len()),
                Self::BODY,
            ),
            Kind::Handshake => (
                "GET",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    .to_owned(),
                &[][..],
            ),
        };
        let origin = self.origin.as_ref().map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nAccept: */*\r\n{origin}{fields}\r\n",
            self.path,
            Self::HOST,
            Self::AGENT
        );
        [head.as_bytes(), body].concat()
    }
}
