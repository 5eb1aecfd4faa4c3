//! No request that may not be repeated is sent twice, whatever its servers do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use h2::Reason;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{LISTED, OK, spec_on};
use crate::support::certificates::H2;
use crate::support::edge::Edge;
use crate::support::raw::{self, Answer, Connection};
use crate::support::tls::UpstreamTls;
use crate::support::upstream::Scripted;
use crate::support::{ports, scale};

/// How often each request arrived, by the number in its path.
type Arrivals = Arc<Mutex<BTreeMap<usize, usize>>>;

fn arrived(arrivals: &Arrivals, head: &str) {
    let number = head.split("/session/").nth(1).and_then(|rest| rest.split(' ').next());
    if let Some(number) = number.and_then(|number| number.parse().ok()) {
        *arrivals.lock().entry(number).or_default() += 1;
    }
}

/// Sends POSTs with and without a body, on connections of their own, many at once; the count of each status.
async fn post(edge: &Edge, count: usize) -> BTreeMap<u16, usize> {
    let http = edge.http;
    let statuses = stream::iter(0..count).map(|n| async move {
        let (length, body) = if n % 3 == 0 { ("0", "") } else { ("4", "body") };
        let fields = [("Origin", LISTED), ("Content-Length", length), ("Connection", "close")];
        let request = raw::request("POST", http, &format!("/w/w/session/{n}"), &fields) + body;
        let mut connection = Connection::open(http).await;
        connection.send(request).await;
        let answer = connection.rest().await;
        Answer::parse(answer.as_bytes()).unwrap_or_else(|| panic!("no answer: {answer:?}")).status
    });
    let statuses: Vec<u16> = statuses.buffer_unordered(16).collect().await;
    let mut counts = BTreeMap::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

fn assert_once(arrivals: &Arrivals, told: &BTreeMap<u16, usize>) {
    let arrivals = arrivals.lock();
    let twice: Vec<_> = arrivals.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    // The servers were sick, but not only that.
    let (ok, failed) = (told.get(&200).copied().unwrap_or(0), told.get(&502).copied().unwrap_or(0));
    assert!(ok > 0 && failed > 0 && arrivals.len() >= ok, "{told:?}, {} arrived", arrivals.len());
}

/// Serves one connection, and breaks it off at some moment.
async fn break_off(mut stream: TcpStream, arrivals: Arrivals) {
    let mut read = Vec::new();
    loop {
        // Before the request, within its head, or after all of it.
        let moment = rand::random_range(0..12);
        if moment == 0 {
            return;
        }
        let end = loop {
            if let Some(at) = memchr::memmem::find(&read, b"\r\n\r\n") {
                break at + 4;
            }
            let mut chunk = [0; 64];
            let limit = if moment == 1 { 64 } else { chunk.len() };
            match stream.read(&mut chunk[..limit]).await {
                Ok(length @ 1..) => read.extend_from_slice(&chunk[..length]),
                _ => return,
            }
            if moment == 1 {
                arrived(&arrivals, &String::from_utf8_lossy(&read));
                return;
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        arrived(&arrivals, &head);
        let length = if head.contains("content-length: 4") { 4 } else { 0 };
        while read.len() < end + length && moment != 2 {
            match stream.read_buf(&mut read).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        if moment == 2 || moment == 3 {
            return;
        }
        read.drain(..end + length);
        let answer = match moment {
            4 => &OK[..20],
            5 => &OK[..OK.len() - 1],
            _ => OK,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() || moment < 7 {
            return;
        }
        // The connection is kept for a moment, and closed when its next request may be on its way.
        if moment < 9 {
            tokio::time::sleep(Duration::from_micros(rand::random_range(0..3_000))).await;
            return;
        }
    }
}

#[tokio::test]
async fn no_post_is_sent_twice() {
    let arrivals = Arrivals::default();
    let server = || {
        let arrivals = Arc::clone(&arrivals);
        Scripted::start(move |connection, _| break_off(connection.into_inner().0, Arc::clone(&arrivals)))
    };
    let (a, b) = (server().await, server().await);
    let edge = Edge::start(spec_on(&[a.addr, ports::free(), b.addr], "read_timeout = \"2s\"")).await;
    let told = post(&edge, scale(2_000)).await;
    assert_once(&arrivals, &told);
}

/// Serves one connection over HTTP/2, and breaks streams or all of it off at some moment.
async fn break_off_http2(connection: Connection<TcpStream>, tls: TlsAcceptor, arrivals: Arrivals) {
    let Ok(stream) = tls.accept(connection.into_inner().0).await else { return };
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(H2));
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let moment = rand::random_range(0..12);
        if moment == 0 {
            // It was not processed, so it may be sent again.
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        arrived(&arrivals, &format!("{} ", request.uri().path()));
        match moment {
            1 => return,
            2 => respond.send_reset(Reason::INTERNAL_ERROR),
            3 => connection.abrupt_shutdown(Reason::INTERNAL_ERROR),
            4 => connection.graceful_shutdown(),
            _ => {
                if let Ok(mut body) = respond.send_response(http::Response::new(()), false) {
                    let _ = body.send_data(Bytes::from_static(b"ok"), true);
                }
            }
        }
    }
}

#[tokio::test]
async fn no_post_is_sent_twice_over_http2() {
    let (arrivals, tls) = (Arrivals::default(), UpstreamTls::new());
    let server = || {
        let (arrivals, acceptor) = (Arc::clone(&arrivals), tls.acceptor());
        Scripted::start(move |connection, _| {
            break_off_http2(connection, acceptor.clone(), Arc::clone(&arrivals))
        })
    };
    let (a, b) = (server().await, server().await);
    let keys = format!("{}\nread_timeout = \"2s\"", tls.keys());
    let edge = Edge::start(spec_on(&[a.addr, ports::free(), b.addr], &keys)).await;
    let told = post(&edge, scale(2_000)).await;
    assert_once(&arrivals, &told);
}
