//! Clients and upstreams of these tests, without an edge between them: what one says the other hears, and what is no
//! message is none.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Answer, Frame, Http1, Http2, head};
use super::recorder::{Ends, Recorder, Reply, Request, Told};
use super::strict::{Fields, Wire, framing};
use crate::support::certificates::H2;
use crate::support::tls::UpstreamTls;

fn full(request: &Request) -> Reply {
    Reply {
        at_once: if request.field("expect").is_empty() { Vec::new() } else { vec![100] },
        interim: vec![(102, Vec::new()), (103, vec![("link", "</a>".to_owned())])],
        told: Told::Chunks,
        pieces: vec![b"a".to_vec(), Vec::new(), b"bc".to_vec()],
        trailers: vec![("x-sum", "1".to_owned()), ("x-sum", "2".to_owned())],
        ends: Ends::WithTrailers,
        pause: Duration::from_millis(2),
        ..Reply::ok("")
    }
}

fn sums() -> Fields {
    ["1", "2"].map(|sum| ("x-sum".to_owned(), sum.to_owned())).into()
}

fn assert_full(answer: &Answer, request: &Request, expected: &[u16]) {
    let statuses: Vec<u16> = answer.interim.iter().map(|(status, _)| *status).collect();
    assert_eq!((answer.status, &*statuses, &answer.broken), (200, expected, &None), "{answer:?}");
    assert_eq!((&*answer.body, &answer.trailers), (&b"abc"[..], &sums()), "{answer:?}");
    assert!(request.whole && request.body == b"body", "{request:?}");
    assert_eq!((request.trailers.clone(), &*request.target), (sums(), "/a?b"), "{request:?}");
}

#[tokio::test]
async fn every_part_of_a_message_is_told() {
    let tls = UpstreamTls::new();
    let (one, two) = (Recorder::http1(full).await, Recorder::http2(1, tls.acceptor(), full).await);

    let mut connection = Http1::over(TcpStream::connect(one.addrs[0]).await.unwrap());
    let fields = [("X-Case", "1"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")];
    let body = "2\r\nbo\r\n2\r\ndy\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n";
    let answer = connection.ask(head("POST", "/a?b", &fields) + body).await;
    assert_full(&answer, &one.one("1"), &[100, 102, 103]);

    let stream = tls.authority.connect(two.addrs[0], "app.internal", &[H2]).await;
    let connection = Http2::over(stream).await;
    let frames = [
        Frame::Data(b"bo".to_vec()),
        Frame::Data(Vec::new()),
        Frame::Pause(5),
        Frame::Data(b"dy".to_vec()),
        Frame::Trailers(sums()),
    ];
    let answer =
        connection.ask("POST", "/a?b", &[("x-case", "2"), ("expect", "100-continue")], &frames).await;
    assert_full(&answer, &two.one("2"), &[100, 102, 103]);
    let answer = connection.ask("POST", "/a?b", &[("x-case", "3")], &frames).await;
    assert_full(&answer, &two.one("3"), &[102, 103]);
    one.saw_nothing_else();
    two.saw_nothing_else();
}

#[tokio::test]
async fn what_is_no_request_is_a_fault() {
    for (sent, is_fault) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", false),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", false),
        ("0\r\n\r\n", true),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", true),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabc", true),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n", true),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            true,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n0\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", true),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno field\r\n\r\n", true),
    ] {
        let upstream =
            Recorder::http1(|_: &Request| Reply { after: Duration::from_millis(20), ..Reply::ok("") }).await;
        let mut stream = TcpStream::connect(upstream.addrs[0]).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = Http1::over(stream).answer(false).await;
        let faults = upstream.faults();
        assert_eq!(
            (answer.status, faults.len()),
            if is_fault { (400, 1) } else { (200, 0) },
            "{sent:?}: {faults:?}"
        );
        assert_eq!(upstream.requests().iter().filter(|seen| seen.whole).count(), usize::from(!is_fault));
    }
}

#[tokio::test]
async fn what_breaks_off_is_no_request_and_no_fault() {
    for sent in [
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    ] {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (mut ours, mut wire) = (ours, Wire::over(theirs));
        ours.write_all(sent.as_bytes()).await.unwrap();
        drop(ours);
        let told = async {
            let head = wire.head().await?.expect("something");
            wire.body(framing(&head.fields)?).await
        };
        assert_eq!(told.await.map_err(|fault| fault.to_string()), Err("cut off".to_owned()), "{sent:?}");
    }
}
