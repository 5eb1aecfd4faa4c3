//! Answers before the answer: 1xx of an upstream pass to clients that know them (RFC 9110 §15.2), and leave to send a
//! body is the upstream's to give.

use std::time::Duration;

use super::client::{Answer, Frame, head};
use super::recorder::{Reply, Request, Told};
use super::{LISTED, STRANGER, Stage};

const LINK: &str = "</a.css>; rel=preload; as=style";

fn hinting(request: &Request) -> Reply {
    let hints = |(name, value): (&'static str, &str)| {
        let fields = [("link", LINK), ("server", "boast"), (name, value)];
        (103, fields.map(|(name, value)| (name, value.to_owned())).to_vec())
    };
    // What has no place there. HTTP/2 has no chunks at all.
    let length = ("content-length", "4");
    let chunks = if request.target.starts_with("/w/") { ("transfer-encoding", "chunked") } else { length };
    let interim = match request.name() {
        "one" => vec![hints(length)],
        "many" => vec![(102, Vec::new()), hints(length), hints(chunks)],
        _ => Vec::new(),
    };
    let told = if request.target.contains('?') { Told::Chunks } else { Told::Length };
    Reply { interim, told, pause: Duration::from_millis(5), ..Reply::ok("body") }
}

#[tokio::test]
async fn hints_pass_to_clients_that_know_them() {
    let stage = Stage::start(hinting).await;
    let mut kept = stage.plain().await;
    let http2 = stage.http2().await;
    for below in ["w", "x"] {
        for class in ["session", "assets"] {
            for (name, expected) in [("none", &[][..]), ("one", &[103]), ("many", &[102, 103, 103])] {
                for query in ["", "?chunks"] {
                    let target = format!("/{below}/w/{class}/{name}{query}");
                    let assert_hinted = |answer: &Answer, way: &str| {
                        let told = format!("{way} {target}: {answer:?}");
                        assert_eq!(
                            (answer.status, &*answer.text(), &answer.broken),
                            (200, "body", &None),
                            "{told}"
                        );
                        let statuses: Vec<u16> = answer.interim.iter().map(|(status, _)| *status).collect();
                        assert_eq!(statuses, expected, "{told}");
                        for (status, fields) in &answer.interim {
                            let links = fields.iter().filter(|(name, value)| name == "link" && value == LINK);
                            assert_eq!(links.count(), usize::from(*status == 103), "{told}");
                            let framed = ["content-length", "transfer-encoding", "server"];
                            assert!(!fields.iter().any(|(name, _)| framed.contains(&&**name)), "{told}");
                        }
                    };
                    for method in ["GET", "POST", "HEAD"] {
                        let (origin, length) = (("Origin", LISTED), ("Content-Length", "0"));
                        let fields = if method == "POST" { &[origin, length][..] } else { &[origin] };
                        let mut answer = kept.ask(head(method, &target, fields)).await;
                        if method == "HEAD" {
                            answer.body = b"body".to_vec();
                        }
                        assert_hinted(&answer, method);
                        let mut answer = http2.ask(method, &target, &[("origin", LISTED)], &[]).await;
                        if method == "HEAD" {
                            answer.body = b"body".to_vec();
                        }
                        assert_hinted(&answer, &format!("h2 {method}"));
                    }
                    let close = head("GET", &target, &[("Origin", LISTED), ("Connection", "close")]);
                    assert_hinted(&stage.plain().await.ask(close).await, "close");
                    let old = head("GET", &target, &[("Origin", LISTED)]).replace("HTTP/1.1", "HTTP/1.0");
                    let mut answer = stage.plain().await.ask(old).await;
                    assert_eq!(answer.interim, [], "HTTP/1.0 knows none: {target}");
                    answer.interim = expected.iter().map(|status| (*status, Vec::new())).collect();
                    assert_eq!((answer.status, answer.text().as_str()), (200, "body"), "{target}");
                }
            }
        }
    }
    stage.assert_well_formed();
}

fn asked_for_leave(request: &Request) -> Reply {
    let expects = request.field("expect").iter().any(|value| value.eq_ignore_ascii_case("100-continue"));
    match request.name() {
        "refused" => Reply { status: 417, early: true, ..Reply::ok("no") },
        _ if expects => Reply { at_once: vec![100], ..Reply::ok("got it") },
        _ => Reply::ok("unasked"),
    }
}

#[tokio::test]
async fn leave_to_send_a_body_is_the_upstreams_to_give() {
    let stage = Stage::start(asked_for_leave).await;
    for below in ["w", "x"] {
        let target = format!("/{below}/w/session");
        for (framing, body) in
            [(("Content-Length", "4"), "body"), (("Transfer-Encoding", "chunked"), "4\r\nbody\r\n0\r\n\r\n")]
        {
            let case = format!("h1 {}", framing.0);
            let fields = [("Origin", LISTED), ("X-Case", &*case), ("Expect", "100-continue"), framing];
            let mut connection = stage.plain().await;
            connection.0.send(head("POST", &target, &fields)).await;
            let leave = connection.0.head().await.unwrap().expect("leave to send");
            assert!(leave.first.starts_with("HTTP/1.1 100"), "{leave:?}");
            // Only now the body, and only once.
            connection.0.send(body).await;
            let answer = connection.answer(false).await;
            assert_eq!((answer.status, answer.text().as_str(), answer.interim), (200, "got it", vec![]));
            let seen = stage.upstream(below).one(&case);
            assert_eq!((seen.field("expect"), &*seen.body), (vec!["100-continue"], &b"body"[..]));
            // Those that don't wait for it are served, too.
            let fields = [("Origin", LISTED), ("Expect", "100-continue"), framing];
            let answer = stage.plain().await.ask(head("POST", &target, &fields) + body).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "got it"), "{answer:?}");
        }

        let fields = [("origin", LISTED), ("x-case", "h2"), ("expect", "100-continue")];
        let frames = [Frame::Pause(200), Frame::Last(b"body".to_vec())];
        let answer = stage.http2().await.ask("POST", &target, &fields, &frames).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "got it"), "{answer:?}");
        let statuses: Vec<u16> = answer.interim.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [100], "{target}");
        assert_eq!(stage.upstream(below).one("h2").body, b"body");

        // One that the upstream refuses gets no leave first.
        let target = format!("/{below}/w/session/refused");
        let fields = [("Origin", LISTED), ("Expect", "100-continue"), ("Content-Length", "4")];
        let mut connection = stage.plain().await;
        connection.0.send(head("POST", &target, &fields)).await;
        let answer = connection.answer(false).await;
        assert_eq!((answer.status, answer.text().as_str(), answer.interim), (417, "no", vec![]), "{target}");
        // Nor does one that the edge refuses.
        let fields = [("Origin", STRANGER), ("Expect", "100-continue"), ("Content-Length", "4")];
        let mut connection = stage.plain().await;
        connection.0.send(head("POST", &target, &fields)).await;
        let answer = connection.answer(false).await;
        assert_eq!((answer.status, answer.interim), (403, vec![]), "{target}");

        // HTTP/1.0 gets none, and its body is read all the same (RFC 9110 §10.1.1).
        let fields = [("Origin", LISTED), ("Expect", "100-continue"), ("Content-Length", "4")];
        let target = format!("/{below}/w/session");
        let old = head("POST", &target, &fields).replace("HTTP/1.1", "HTTP/1.0") + "body";
        let answer = stage.plain().await.ask(old).await;
        assert_eq!((answer.status, answer.interim, answer.broken), (200, vec![], None), "{target}");
    }
    stage.assert_well_formed();
}
