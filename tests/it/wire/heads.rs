//! Generated heads of requests: paths, hosts and fields that somebody cares for, and some that nobody does, whole and
//! malformed.

use std::fmt;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::strategy::Union;

use super::{LISTED, STRANGER};

/// A head, as far as it is the same by every way.
#[derive(Clone, Debug)]
pub struct Head {
    /// Which upstream: `w` or `x`.
    pub below: &'static str,
    /// What follows, with a slash before it or not.
    pub path: String,
    /// As in `Host`; `None`: there is none.
    pub host: Option<&'static str>,
    pub lines: Vec<Line>,
}

/// One field.
#[derive(Clone, PartialEq)]
pub enum Line {
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

pub fn field(name: &str, value: &str) -> Line {
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

pub fn heads() -> impl Strategy<Value = Head> {
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
    pub fn http1(&self, method: &str, version: &str) -> Vec<u8> {
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
    pub fn http2(&self, method: &str) -> Option<http::Request<()>> {
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

    pub fn says(&self, start: &str) -> bool {
        let starts = |text: &str| text.to_ascii_lowercase().starts_with(start);
        self.lines.iter().any(|line| match line {
            Line::Field { name, .. } => starts(name),
            Line::Http1(line) => starts(line),
        })
    }
}
