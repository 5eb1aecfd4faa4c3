//! What has one reading once it has passed the edge.

use std::sync::{Arc, Mutex};

use tokio::net::TcpStream;

use super::{LISTED, STRANGER, one_widget, session};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::Connection;
use crate::support::upstream::Scripted;

/// An upstream that notes every request head it is sent and answers each with `ok`.
async fn noting() -> (Scripted, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    let upstream = Scripted::start(move |mut connection: Connection<TcpStream>, _| {
        let noted = Arc::clone(&noted);
        async move {
            while let Some(head) = connection.until("\r\n\r\n").await {
                let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
                noted.lock().unwrap().push(head);
                if chunked && connection.until("0\r\n\r\n").await.is_none() {
                    return;
                }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    (upstream, heads)
}

#[tokio::test]
async fn a_length_beside_chunks_smuggles_nothing() {
    let (upstream, heads) = noting().await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let smuggled = session(&edge, "GET", "X-Smuggled: 1\r\n");
    for body in [format!("0\r\n\r\n{smuggled}"), format!("1\r\na\r\n0\r\n\r\n{smuggled}")] {
        let length = body.len();
        for lines in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ] {
            let mut connection = Connection::open(edge.http).await;
            let answer = connection.ask(session(&edge, "POST", &lines) + body.as_str()).await;
            assert_eq!((answer.status, answer.field("connection")), (400, "close"));
            assert!(answer.body.contains("both Content-Length and Transfer-Encoding"), "{answer:?}");
            assert!(connection.is_closed().await, "what follows was a body to somebody");
        }
    }
    let heads = heads.lock().unwrap();
    assert_eq!(*heads, Vec::<String>::new());
}

#[tokio::test]
async fn broken_chunks_end_the_request_and_the_connection() {
    let (upstream, heads) = noting().await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let smuggled = session(&edge, "GET", "X-Smuggled: 1\r\n");
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t;a\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5\r\r;a\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0_5\r\nhello\r\n0\r\n\r\n",
        "5x\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\n: no name\r\n\r\n",
        "0\r\nX-Spaced : a\r\n\r\n",
        "0\r\nX-Folded: a\r\n b\r\n\r\n",
        "0\r\nX-Nul: a\0b\r\n\r\n",
        "0\r\nX-Cut: a\rb\r\n\r\n",
        "0\r\nX-Bare: a\nX-Bare: b\r\n\r\n",
        "0\r\nXX",
        "-1\r\n\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n\r\n",
    ] {
        let request = session(&edge, "POST", "Transfer-Encoding: chunked\r\n") + chunks + smuggled.as_str();
        let mut connection = Connection::open(edge.http).await;
        let answer = connection.ask(request).await;
        assert_eq!((answer.status, answer.field("connection")), (400, "close"), "{chunks:?}");
        assert!(connection.is_closed().await, "{chunks:?}: what follows is anybody's guess");
    }
    let heads = heads.lock().unwrap();
    assert!(!heads.iter().any(|head| head.to_lowercase().contains("x-smuggled")), "{heads:?}");
}

#[tokio::test]
async fn a_request_inside_a_denied_body_is_a_body() {
    let (upstream, heads) = noting().await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let inside = session(&edge, "GET", "X-Smuggled: 1\r\n");
    let denied = format!(
        "POST /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {STRANGER}\r\nContent-Length: {}\r\n\r\n{inside}",
        edge.http,
        inside.len()
    );
    let mut connection = Connection::open(edge.http).await;
    assert_eq!(connection.ask(denied).await.status, 403);
    assert_eq!(connection.ask(session(&edge, "GET", "X-Open: 1\r\n")).await.body, "ok");
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].to_lowercase().contains("x-open: 1"), "{heads:?}");
}

#[tokio::test]
async fn old_clients_are_served_in_their_own_version() {
    let upstream = Scripted::start(|mut connection, _| async move {
        while let Some((head, _)) = connection.request().await {
            let body = if head.contains("/chunks") {
                "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
            } else {
                "Content-Length: 2\r\n\r\nok"
            };
            connection.send(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        }
    })
    .await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    for path in ["/w/w/session/length", "/w/w/session/chunks"] {
        let mut connection = Connection::open(edge.http).await;
        connection.send(format!("GET {path} HTTP/1.0\r\nOrigin: {LISTED}\r\n\r\n")).await;
        let head = connection.head().await;
        assert_eq!((head.status, head.field("connection")), (200, "close"), "{path}");
        assert_eq!(head.field("transfer-encoding"), "", "{path}: HTTP/1.0 knows no chunks");
        assert_eq!(connection.rest().await, "ok", "{path}");
    }
}
