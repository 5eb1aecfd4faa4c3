//! Whom a request asks: a name or an address, and perhaps a port, over every protocol.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{LISTED, one_widget};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::Connection;
use crate::support::tls::EdgeTls;
use crate::support::upstream::Upstream;

const NO_HOSTS: [&str; 26] = [
    "",
    " ",
    "a b",
    "localhost/x",
    "<script>",
    "localhost, evil",
    "localhost:abc",
    "localhost:",
    "localhost:80:80",
    "localhost:65536",
    "localhost:+80",
    "a:b:c",
    ":80",
    "a..b",
    ".",
    "::1",
    "[::1",
    "[zz]",
    "[::1]x",
    "[::1]:x",
    "256.1.1.1",
    "a@localhost",
    "local\thost",
    "localhost\\x",
    "localhost%2fx",
    "localhost\u{e9}",
];

async fn edge_with(upstream: &Upstream, tls: &EdgeTls) -> Edge {
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    tls.add_to(&mut spec);
    Edge::start(spec).await
}

#[tokio::test]
async fn a_host_that_is_none_is_refused() {
    let (upstream, tls) = (Upstream::start("app").await, EdgeTls::of("chat.example"));
    let edge = edge_with(&upstream, &tls).await;
    for host in NO_HOSTS {
        for (target, version) in [
            ("/w/w/session", "HTTP/1.1"),
            ("/w/w/session", "HTTP/1.0"),
            // The same in the target, in one reading at least.
            (&format!("http://{host}/w/w/session"), "HTTP/1.1"),
        ] {
            let mut connection = Connection::open(edge.http).await;
            let request = format!("GET {target} {version}\r\nHost: {host}\r\nOrigin: {LISTED}\r\n\r\n");
            let answer = connection.ask(&request).await;
            assert_eq!((answer.status, answer.field("server")), (400, ""), "{request:?}");
            assert!(connection.is_closed().await, "{request:?}");
        }
    }
    assert_eq!(upstream.requests(), 0);
    for host in
        ["localhost", "a_b.example:8080", "127.0.0.1:1", "[::1]", "[2001:db8::1]:65535", "chat.example."]
    {
        let request = format!("GET /w/w/session HTTP/1.1\r\nHost: {host}\r\nOrigin: {LISTED}\r\n\r\n");
        assert_eq!(Connection::open(edge.http).await.ask(request).await.status, 200, "{host}");
    }
}

// ---- HTTP/2, written byte by byte, because no client sends such an authority ---------------------------------------

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A field without Huffman coding, for no table (RFC 7541 §6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// What becomes of a request with this authority: its status, or `None` where its stream is reset.
async fn over_http2(tls: &EdgeTls, authority: &str, host: Option<&str>) -> Option<u16> {
    let mut fields = vec![
        field(":method", "GET"),
        field(":scheme", "https"),
        field(":authority", authority),
        field(":path", "/w/w/session"),
        field("origin", LISTED),
    ];
    fields.extend(host.map(|host| field("host", host)));
    let mut stream = tls.h2().await;
    let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS, 0, 0, &[])].concat();
    // With END_HEADERS and END_STREAM.
    stream.write_all(&[begin, frame(HEADERS, 5, 1, &fields.concat())].concat()).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("an answer or a reset");
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        stream.read_exact(&mut payload).await.unwrap();
        match (head[3], head[8]) {
            (HEADERS, 1) => {
                let mut fields = h2_status(&payload);
                return Some(fields.next().expect("a status"));
            }
            (RST_STREAM, 1) => return None,
            _ => {}
        }
    }
}

/// The statuses of the static table (RFC 7541, appendix A) that a block begins with.
fn h2_status(block: &[u8]) -> impl Iterator<Item = u16> {
    let statuses = [200, 204, 206, 304, 400, 404, 500];
    block.iter().skip_while(|byte| **byte & 0xe0 == 0x20).filter_map(move |byte| {
        let index = usize::from(byte & 0x7f).checked_sub(8)?;
        statuses.get(index).copied().filter(|_| byte & 0x80 != 0)
    })
}

#[tokio::test]
async fn an_authority_that_is_none_is_refused() {
    let (upstream, tls) = (Upstream::start("app").await, EdgeTls::of("chat.example"));
    let _edge = edge_with(&upstream, &tls).await;
    let mut answered = 0;
    for authority in NO_HOSTS {
        // The library that reads HTTP/2 resets the stream of what it can't read as an authority itself; the edge answers
        // the others.
        let outcome = over_http2(&tls, authority, None).await;
        assert!(matches!(outcome, None | Some(400)), "{authority:?}: {outcome:?}");
        answered += usize::from(outcome.is_some());
        let outcome = over_http2(&tls, "chat.example", Some(authority)).await;
        assert!(matches!(outcome, None | Some(400)), "{authority:?}: {outcome:?}");
    }
    assert!(answered > 3, "{answered}");
    assert_eq!(upstream.requests(), 0);
    assert_eq!(over_http2(&tls, "chat.example", None).await, Some(200));
    assert_eq!(over_http2(&tls, "[::1]:443", Some("[::1]:443")).await, Some(200));
}
