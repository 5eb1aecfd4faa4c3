//! TLS listeners: certificates by name, both versions, HTTP/2 by negotiation, new certificates while connections are
//! open, and what must not start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::{Authority, H2, HTTP11, Pair};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Connection};
use crate::support::tls::key;
use crate::support::upstream::{Upstream, got};
use crate::support::{eventually, ports};

mod analysed;
mod resumption;

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

/// A TLS listener to be, with the pair `site` for `chat.example` and `127.0.0.1` by default, and `wild` by name.
struct Site {
    authority: Authority,
    folder: TempDir,
    addr: SocketAddr,
    pairs: [Pair; 2],
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let pairs = [
            authority.issue(&["chat.example", "127.0.0.1"]),
            authority.issue(&["wild.example", "*.wild.example", "Other.example"]),
        ];
        let site = Self { authority, folder, addr: ports::free(), pairs };
        for (pair, name) in site.pairs.iter().zip(["site", "wild"]) {
            pair.write(site.folder.path(), name);
        }
        site
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spec(&self, upstream: &Upstream) -> EdgeSpec {
        self.spec_at(&[self.addr], upstream)
    }

    /// The same with listeners at these addresses.
    fn spec_at(&self, listeners: &[SocketAddr], upstream: &Upstream) -> EdgeSpec {
        let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
        let mut spec = EdgeSpec::on(upstream.addr, &widgets);
        let files = ["site", "wild"]
            .map(|name| (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key"))));
        spec.edge = key(listeners, &files);
        spec.public_origins = Some("[\"https://chat.example\"]".to_owned());
        spec
    }

    async fn connect(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        self.authority.connect(self.addr, "chat.example", protocols).await
    }
}

/// The certificate that the other side showed.
fn shown(stream: &TlsStream<TcpStream>) -> &CertificateDer<'static> {
    &stream.get_ref().1.peer_certificates().unwrap()[0]
}

fn get(path: &str, origin: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: chat.example\r\nOrigin: {origin}\r\n\r\n")
}

/// HTTP/2 over a TLS connection.
async fn http2(stream: TlsStream<TcpStream>) -> SendRequest<Bytes> {
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(H2));
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// One request over HTTP/2, with a body where it is not empty.
async fn ask(
    client: &SendRequest<Bytes>,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &'static [u8],
) -> (u16, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(format!("https://chat.example{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut client = client.clone().ready().await.unwrap();
    let (answer, mut stream) = client.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(Bytes::from_static(body), true).unwrap();
    }
    let (parts, mut body) = answer.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    (parts.status.as_u16(), parts.headers, String::from_utf8(text).unwrap())
}

// ---- handshakes ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_name_asked_for_picks_the_certificate() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let _edge = Edge::start(site.spec(&upstream)).await;
    let [by_default, wild] = site.pairs.each_ref().map(Pair::der);
    for (name, expected) in [
        ("chat.example", &by_default),
        ("127.0.0.1", &by_default),
        ("wild.example", &wild),
        ("a.wild.example", &wild),
        ("other.example", &wild),
    ] {
        let stream = site.authority.connect(site.addr, name, &[]).await;
        assert_eq!(shown(&stream), expected, "{name}");
    }
    for unknown in ["deep.a.wild.example", "unknown.example"] {
        let refused = site.authority.connect_with(&[&TLS13], site.addr, unknown, &[]).await;
        assert!(refused.unwrap_err().to_string().contains("not valid for name"), "{unknown}");
    }
}

#[tokio::test]
async fn a_handshake_has_its_time_and_a_failed_one_is_counted() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let mut spec = site.spec(&upstream);
    spec.edge += "\nbounds.tls_handshake_timeout = \"1s\"";
    let edge = Edge::start(spec).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(site.addr).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "nobody keeps a connection by saying nothing");
    assert!((1000..5000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    for outcome in ["timed_out", "left", "not_tls", "done"] {
        let line = format!("embedgate_tls_handshakes_total{{outcome=\"{outcome}\"}}");
        // The edge's own look whether it accepts is a client that leaves, too. On a busy machine a second may pass
        // between two steps of a handshake.
        eventually(outcome, async || {
            drop(TcpStream::connect(site.addr).await.unwrap());
            let mut other = TcpStream::connect(site.addr).await.unwrap();
            other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let _ = site.authority.connect_with(&[&TLS13], site.addr, "chat.example", &[HTTP11]).await;
            edge.metric(&line).await >= 1.0
        })
        .await;
    }
    assert!(!edge.log().contains("handshake"), "a client can't fill the log: {}", edge.log());
}

/// A first message of a client that asks for this name (RFC 5246 §7.4.1.2, RFC 6066 §3).
fn client_hello(name: &[u8]) -> Vec<u8> {
    let with_length = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let names = with_length(&[&[0][..], &with_length(name)].concat());
    let extensions = with_length(&[&[0, 0][..], &with_length(&names)].concat());
    let hello = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0], &extensions].concat();
    let message = [&[1, 0][..], &with_length(&hello)].concat();
    [&[22, 3, 1][..], &with_length(&message)].concat()
}

#[tokio::test]
async fn a_client_can_not_write_into_the_log() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let edge = Edge::start(site.spec(&upstream)).await;
    for name in ["no name", "127.0.0.1", "chat.example"] {
        let mut client = TcpStream::connect(site.addr).await.unwrap();
        client.write_all(&client_hello(name.as_bytes())).await.unwrap();
        // Once more, where something else has to come.
        let _ = client.write_all(&client_hello(name.as_bytes())).await;
        let mut answered = Vec::new();
        let _ = client.read_to_end(&mut answered).await;
        assert!(!answered.is_empty(), "{name}");
    }
    let log = edge.log();
    for word in ["SNI", "no name", "handshake message"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let _edge = Edge::start(site.spec(&upstream)).await;
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for (offered, chosen) in [
            (&[][..], None),
            (&[HTTP11][..], Some(HTTP11)),
            (&[H2, HTTP11], Some(H2)),
            (&[HTTP11, H2], Some(H2)),
        ] {
            let stream =
                site.authority.connect_with(&[version], site.addr, "chat.example", offered).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
            assert_eq!(stream.get_ref().1.alpn_protocol(), chosen, "{offered:?}");
            let (hsts, told) = if chosen == Some(H2) {
                let client = http2(stream).await;
                let (status, fields, body) =
                    ask(&client, "GET", "/w/w/session", &[("origin", LISTED)], b"").await;
                assert_eq!(status, 200);
                (fields["strict-transport-security"].to_str().unwrap().to_owned(), body)
            } else {
                let answer = Connection::over(stream).ask(get("/w/w/session", LISTED)).await;
                assert_eq!(answer.status, 200);
                (answer.field("strict-transport-security").to_owned(), answer.body)
            };
            assert_eq!(hsts, "max-age=31536000");
            let told: Value = serde_json::from_str(&told).unwrap();
            for (name, value) in [
                ("host", "chat.example"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "chat.example"),
            ] {
                assert_eq!(got(&told, name), Some(value), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn the_oldest_version_is_each_listener_s_own() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let mut spec = site.spec(&upstream);
    let listener = |addr: SocketAddr, version: &str| {
        let [cert, key] = ["site.pem", "site.key"].map(|name| site.file(name));
        format!("{{ listen = \"{addr}\", certificates = [{{ cert = {cert:?}, key = {key:?} }}]{version} }}")
    };
    let (old, new) = (ports::free(), ports::free());
    let listeners = [
        listener(site.addr, ""),
        listener(old, ", min_version = \"1.2\""),
        listener(new, ", min_version = \"1.3\""),
    ];
    spec.edge = format!("tls = [{}]", listeners.join(", "));
    let edge = Edge::start(spec).await;
    for (addr, has_old) in [(site.addr, true), (old, true), (new, false)] {
        for (version, expected) in [(&TLS12, has_old), (&TLS13, true)] {
            let made = site.authority.connect_with(&[version], addr, "chat.example", &[HTTP11]).await;
            assert_eq!(made.is_ok(), expected, "{addr} {version:?}: {:?}", made.err());
            if let Ok(stream) = made {
                assert_eq!(Connection::over(stream).ask(get("/w/w/session", LISTED)).await.status, 200);
            } else {
                let alert = made.unwrap_err().to_string();
                assert!(alert.contains("ProtocolVersion"), "the client is told why: {alert}");
            }
        }
    }
    eventually("it is counted", async || {
        edge.metric("embedgate_tls_handshakes_total{outcome=\"refused\"}").await == 1.0
    })
    .await;
}

#[tokio::test]
async fn what_the_edge_answers_itself_is_for_https_only_too() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let edge = Edge::start(site.spec(&upstream)).await;
    let mut connection = Connection::over(site.connect(&[]).await);
    for (path, origin, status) in
        [("/w/w/session", STRANGER, 403), ("/nowhere", LISTED, 404), ("/w/nobody/trust", LISTED, 404)]
    {
        let answer = connection.ask(get(path, origin)).await;
        assert_eq!(
            (answer.status, answer.field("strict-transport-security")),
            (status, "max-age=31536000"),
            "{path}"
        );
        assert_eq!(
            raw::get(edge.http, path, &[("Origin", origin)]).await.field("strict-transport-security"),
            ""
        );
    }
}

#[tokio::test]
async fn websockets_pass_over_tls() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let _edge = Edge::start(site.spec(&upstream)).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let request = |origin| get("/w/w/session", origin).replace("\r\n\r\n", "\r\n") + upgrade;
    let mut connection = Connection::over(site.connect(&[HTTP11]).await);
    assert_eq!(connection.ask(request(STRANGER)).await.status, 403);
    assert!(connection.is_closed().await, "what follows a refused upgrade is no request");
    let mut connection = Connection::over(site.connect(&[HTTP11]).await);
    let told: Value = serde_json::from_str(&connection.ask(request(LISTED)).await.body).unwrap();
    assert_eq!((got(&told, "upgrade"), got(&told, "x-forwarded-proto")), (Some("websocket"), Some("https")));
}

// ---- HTTP/2 --------------------------------------------------------------------------------------------------------

static LARGE: [u8; 300_000] = [b'x'; 300_000];

#[tokio::test]
async fn denials_and_preflights_are_the_same_over_http2() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let edge = Edge::start(site.spec(&upstream)).await;
    let client = http2(site.connect(&[H2]).await).await;
    let preflight = ("access-control-request-method", "PUT");
    for (method, path, fields, status) in [
        ("GET", "/w/w/session", &[("origin", STRANGER)][..], 403),
        ("HEAD", "/w/w/session", &[("origin", STRANGER)], 403),
        ("GET", "/w/w/session", &[], 403),
        ("GET", "/w/w/loader.js", &[("origin", STRANGER), ("sec-fetch-dest", "script")], 200),
        ("GET", "/w/w/frame", &[("referer", STRANGER), ("sec-fetch-dest", "iframe")], 403),
        ("GET", "/nowhere", &[("origin", LISTED)], 404),
        ("OPTIONS", "/w/w/session", &[("origin", LISTED), preflight], 204),
        ("OPTIONS", "/w/w/session", &[("origin", STRANGER), preflight], 204),
        ("TRACE", "/w/w/session", &[("origin", LISTED)], 405),
        ("GET", "/w/w/../w/session", &[("origin", LISTED)], 400),
        ("GET", "/w/w%2fsession", &[("origin", LISTED)], 400),
        ("GET", "/w/w/session", &[("origin", LISTED), ("host", "other.example")], 400),
    ] {
        let (got, answer, body) = ask(&client, method, path, fields, b"").await;
        assert_eq!(got, status, "{method} {path} {fields:?}: {body}");
        for hop in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
            assert!(!answer.contains_key(hop), "{method} {path}: {hop}");
        }
        if method == "OPTIONS" {
            assert_eq!(answer["access-control-allow-methods"], "PUT");
            assert_eq!(answer["access-control-allow-origin"], fields[0].1);
        }
        if status == 403 {
            assert_eq!(
                (&answer["cache-control"], body.is_empty()),
                (&"no-store".parse().unwrap(), method == "HEAD")
            );
        }
    }
    for _ in 0..2 {
        let (status, ..) = ask(&client, "POST", "/w/w/session", &[("origin", STRANGER)], &LARGE).await;
        assert_eq!(status, 403, "an unread body costs neither the answer nor the connection");
    }
    assert_eq!(upstream.requests(), 0);
    eventually("each judged one is logged", async || edge.decisions().len() == 9).await;
}

#[tokio::test]
async fn many_streams_share_one_connection() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let _edge = Edge::start(site.spec(&upstream)).await;
    let client = http2(site.connect(&[H2]).await).await;
    // With its first answer the client knows how many streams it may have at once, and keeps to it.
    assert_eq!(ask(&client, "GET", "/nowhere", &[], b"").await.0, 404);
    let answers = join_all((0..300).map(|n| {
        let client = client.clone();
        async move {
            let origin = if n % 3 == 0 { STRANGER } else { LISTED };
            let path = format!("/w/w/session/{n}");
            let body: &[u8] = if n % 2 == 0 { b"" } else { &[b'x'; 5000] };
            let method = if body.is_empty() { "GET" } else { "POST" };
            (n, body.len(), ask(&client, method, &path, &[("origin", origin)], body).await)
        }
    }))
    .await;
    for (n, sent, (status, _, body)) in answers {
        if n % 3 == 0 {
            assert_eq!(status, 403, "{n}");
            continue;
        }
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &told["target"]), (200, &json!(format!("/w/w/session/{n}"))));
        assert_eq!(told["body"].as_str().unwrap().len(), sent);
    }
    assert_eq!(upstream.requests(), 200);
}

// ---- certificates --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn new_certificates_are_taken_up_and_open_connections_stay() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let edge = Edge::start(site.spec(&upstream)).await;
    let mut http11 = Connection::over(site.connect(&[HTTP11]).await);
    let client = http2(site.connect(&[H2]).await).await;
    assert_eq!(http11.ask(get("/w/w/session", LISTED)).await.status, 200);

    let renewed = site.authority.issue(&["chat.example", "127.0.0.1"]);
    renewed.write(site.folder.path(), "site");
    eventually("the new certificate is shown", async || *shown(&site.connect(&[]).await) == renewed.der())
        .await;
    assert_eq!(http11.ask(get("/w/w/session", LISTED)).await.status, 200);
    assert_eq!(ask(&client, "GET", "/w/w/session", &[("origin", LISTED)], b"").await.0, 200);

    // Another pair's key: the last good pair stays, and the log names the file.
    std::fs::write(site.file("site.key"), &site.pairs[1].key).unwrap();
    eventually("the refusal is logged", async || edge.log().contains("site.key")).await;
    assert_eq!(*shown(&site.connect(&[]).await), renewed.der());

    // A link to the files of the day, swapped in one step.
    let linked = site.authority.issue(&["chat.example"]);
    linked.write(site.folder.path(), "today");
    for name in ["pem", "key"] {
        std::os::unix::fs::symlink(site.file(&format!("today.{name}")), site.file("link")).unwrap();
        std::fs::rename(site.file("link"), site.file(&format!("site.{name}"))).unwrap();
    }
    eventually("the linked certificate is shown", async || *shown(&site.connect(&[]).await) == linked.der())
        .await;
    assert_eq!(http11.ask(get("/w/w/session", LISTED)).await.status, 200);
}

#[tokio::test]
async fn it_is_told_when_certificates_expire() {
    let upstream = Upstream::start("app").await;
    let site = Site::new();
    let issue = |until| site.authority.issue_valid(&["chat.example"], 2020..until);
    issue(2077).write(site.folder.path(), "site");
    // The same file at two listeners is one certificate.
    let edge = Edge::start(site.spec_at(&[site.addr, ports::free()], &upstream)).await;
    let gauge = |name: &str| {
        format!(
            "embedgate_certificate_expiry_timestamp_seconds{{certificate=\"{}\"}}",
            site.file(name).display()
        )
    };
    let told = async || {
        let status: Value = edge.admin("/v1/status").await.json().await.unwrap();
        status["certificates"].clone()
    };
    let says = |name: &str, at: &str| json!({ "certificate": site.file(name), "expires_at": at });
    assert_eq!(edge.metric(&gauge("site.pem")).await, 3_376_684_800.0);
    assert_eq!(edge.metric(&gauge("wild.pem")).await, 67_090_118_400.0);
    assert_eq!(
        told().await,
        json!([says("site.pem", "2077-01-01T00:00:00Z"), says("wild.pem", "4096-01-01T00:00:00Z")])
    );

    issue(2078).write(site.folder.path(), "site");
    eventually("the new one is told", async || edge.metric(&gauge("site.pem")).await == 3_408_220_800.0)
        .await;
    assert_eq!(told().await[0], says("site.pem", "2078-01-01T00:00:00Z"));
    std::fs::write(site.file("site.pem"), "garbage").unwrap();
    eventually("it is refused", async || edge.log().contains("site.pem: ")).await;
    assert_eq!(edge.metric(&gauge("site.pem")).await, 3_408_220_800.0, "the last good one is in force");
}

#[tokio::test]
async fn a_bad_pair_does_not_start() {
    let upstream = Upstream::start("app").await;
    let other = Authority::new().issue(&["chat.example"]);
    for (file, content, named) in [
        ("site.key", Some(other.key.as_str()), "site.key"),
        ("site.pem", Some(""), "site.pem"),
        ("site.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "site.pem"),
        ("wild.key", Some("no key"), "wild.key"),
        ("wild.pem", None, "wild.pem"),
    ] {
        let site = Site::new();
        match content {
            Some(content) => std::fs::write(site.file(file), content).unwrap(),
            None => std::fs::remove_file(site.file(file)).unwrap(),
        }
        let (success, log) = Edge::spawn(site.spec(&upstream)).ended().await;
        assert!(!success, "{file}");
        let path = site.file(named);
        assert!(log.contains(path.to_str().unwrap()) && !log.contains("panicked"), "{file}: {log}");
    }
}
