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
    /// TCP connection, WebSocket handshake through to the upstream, Close frames both ways, end.
    WebSocket,
    /// TCP connection, full TLS 1.3 handshake, one allowed GET, end.
    Tls,
    /// Allowed GETs over HTTP/2 on TLS, eight streams at a time on each connection.
    Http2,
}

impl Scenario {
    pub fn title(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Cached => "asset from the cache",
            Self::WebSocket => "WebSocket, opened and closed",
            Self::Tls => "TLS handshake and a GET",
            Self::Http2 => "HTTP/2, allowed",
        }
    }

    /// Who takes part: a proxy that enforces nothing denies nothing, and has no cache.
    pub fn includes(self, peer: Peer) -> bool {
        peer != Peer::Bare || !matches!(self, Self::Denied | Self::Cached)
    }

    /// The status of every answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Denied => 403,
            Self::WebSocket => 101,
            _ => 200,
        }
    }

    /// What is asked for and by whom, in turn: several widgets, so that no peer sees the same twice in a row.
    pub fn requests(self) -> Vec<Request> {
        (0..64)
            .map(|n| {
                let n = n * 15;
                let path = match self {
                    Self::WebSocket => "session",
                    Self::Cached => "assets/app.js",
                    _ => "loader.js",
                };
                let origin = match (self, n % 4) {
                    (Self::Denied, _) => format!("https://stranger{n}.example"),
                    (_, 0) => format!("https://a.shop{n}.example.org"),
                    _ => format!("https://www.site{n}.example.com"),
                };
                Request { path: format!("/w/{}/{path}", rules::id(n)), origin: Some(origin) }
            })
            .collect()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// One GET.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub origin: Option<String>,
}

impl Request {
    /// The host of every request.
    pub const HOST: &str = "edge.example";
    /// What every client says it is.
    pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    /// As HTTP/1.1 has it.
    pub fn bytes(&self) -> Vec<u8> {
        self.with("")
    }

    /// As a WebSocket handshake.
    pub fn handshake(&self) -> Vec<u8> {
        self.with(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        )
    }

    fn with(&self, more: &str) -> Vec<u8> {
        let origin = self.origin.as_ref().map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nAccept: */*\r\n{origin}{more}\r\n",
            self.path,
            Self::HOST,
            Self::AGENT
        )
        .into_bytes()
    }
}
