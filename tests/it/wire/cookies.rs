//! Cookies: one field, however many a client sends.
//!
//! HTTP/2 may part them for its compression, and they MUST be put together with `; ` where they go on (RFC 9113
//! §8.2.3). HTTP/1.1 knows one `Cookie` field (RFC 6265 §5.4), which is no list, so upstreams read the first, the last
//! or the two joined by a comma: what comes in several lines goes on as one, too.
//!
//! Those of the operator's page stay here: browsers send them to every port of a host.

use super::client::{Frame, head};
use super::{LISTED, Stage, echo};

#[tokio::test]
async fn cookies_reach_the_upstream_as_one_field() {
    let stage = Stage::start(echo).await;
    let mut kept = stage.plain().await;
    let http2 = stage.http2().await;
    let mut turn = 0;
    for below in ["w", "x"] {
        for (cookies, expected) in [
            (&[][..], &[][..]),
            (&["a=1"], &["a=1"]),
            (&["a=1; b=2"], &["a=1; b=2"]),
            (&["a=1", "b=2"], &["a=1; b=2"]),
            (&["a=1", "b=2; c=3", "d=\"4\""], &["a=1; b=2; c=3; d=\"4\""]),
            (&["a=1", "a=1", "a=2"], &["a=1; a=1; a=2"]),
            (&["__Host-embedgate=1a; embedgate_admin=2b"], &[]),
            (&["a=1; embedgate_admin=2b", "__Host-embedgate=1a;b=2"], &["a=1; b=2"]),
        ] {
            let names = |name, more: &[(&'static str, &'static str)]| {
                let mut fields = vec![("origin", LISTED)];
                for cookie in cookies {
                    fields.push((name, *cookie));
                    // They need not stand side by side.
                    fields.push(("x-between", "1"));
                }
                fields.extend_from_slice(more);
                fields
            };
            let stream = ("accept", "text/event-stream");
            for path in ["session", "assets/a.js", "frame"] {
                let target = format!("/{below}/w/{path}");
                let mut check = async |way: &str, asked: Asked<'_>| {
                    turn += 1;
                    let case = turn.to_string();
                    let status = match asked {
                        Asked::Kept(asked) => kept.ask(marked(&asked, &case)).await.status,
                        Asked::Closed(asked) => stage.plain().await.ask(marked(&asked, &case)).await.status,
                        Asked::Http2(method, mut fields, frames) => {
                            fields.push(("x-case", &case));
                            http2.ask(method, &target, &fields, frames).await.status
                        }
                    };
                    assert_eq!(status, 200, "{way} {target} {cookies:?}");
                    let seen = stage.upstream(below).one(&case);
                    assert_eq!(seen.field("cookie"), expected, "{way} {target} {cookies:?}");
                    assert_eq!(seen.field("x-between").len(), cookies.len(), "{way} {target} {cookies:?}");
                };
                let body = [Frame::Last(b"abc".to_vec())];
                for (way, method, more, frames) in [
                    ("get", "GET", &[][..], &[][..]),
                    ("stream", "GET", &[stream], &[]),
                    ("head", "HEAD", &[], &[]),
                    ("empty post", "POST", &[], &[]),
                    ("post", "POST", &[], &body),
                ] {
                    check(way, Asked::Http2(method, names("cookie", more), frames)).await;
                }
                for (way, method, more, body) in [
                    ("get", "GET", &[][..], ""),
                    ("stream", "GET", &[stream], ""),
                    ("post", "POST", &[("Content-Length", "3")], "abc"),
                    ("chunks", "POST", &[("Transfer-Encoding", "chunked")], "3\r\nabc\r\n0\r\n\r\n"),
                ] {
                    check(way, Asked::Kept(head(method, &target, &names("Cookie", more)) + body)).await;
                }
                let close = names("COOKIE", &[("Connection", "close")]);
                check("closed", Asked::Closed(head("GET", &target, &close))).await;
                let old = head("GET", &target, &names("cookie", &[])).replace("HTTP/1.1", "HTTP/1.0");
                check("old", Asked::Closed(old)).await;
                if path == "session" {
                    let handshake = [
                        ("Connection", "Upgrade"),
                        ("Upgrade", "websocket"),
                        ("Sec-WebSocket-Version", "13"),
                        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
                    ];
                    let handshake = head("GET", &target, &names("Cookie", &handshake));
                    check("handshake", Asked::Closed(handshake)).await;
                }
            }
        }
    }
    stage.assert_well_formed();
}

enum Asked<'a> {
    Kept(String),
    Closed(String),
    Http2(&'a str, Vec<(&'a str, &'a str)>, &'a [Frame]),
}

fn marked(head: &str, case: &str) -> String {
    head.replacen("\r\n", &format!("\r\nX-Case: {case}\r\n"), 1)
}
