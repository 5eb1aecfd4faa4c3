//! Request bodies over HTTP/2 on their way to an upstream in HTTP/1.1: one request stays one request.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{LISTED, OK, one_widget};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::ports;
use crate::support::tls::EdgeTls;

#[tokio::test]
async fn an_empty_last_piece_ends_a_body_once() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let upstream = ports::free();
    let listener = TcpListener::bind(upstream).await.unwrap();
    let record = Arc::clone(&received);
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut request, mut piece) = (Vec::new(), [0; 1024]);
            while let Ok(read @ 1..) = stream.read(&mut piece).await {
                request.extend_from_slice(&piece[..read]);
                if request.ends_with(b"0\r\n\r\n") {
                    // What comes behind the end of a body would be here before the next request.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    stream.write_all(OK.as_bytes()).await.unwrap();
                    record.lock().unwrap().push(std::mem::take(&mut request));
                }
            }
        }
    });
    let tls = EdgeTls::of("chat.example");
    let mut spec = EdgeSpec::on(upstream, &one_widget());
    tls.add_to(&mut spec);
    let _edge = Edge::start(spec).await;
    let client = tls.http2().await;

    for (method, pieces) in
        [("POST", &["abc", ""][..]), ("POST", &[""]), ("PUT", &["", "a", "", ""]), ("DELETE", &["", ""])]
    {
        let request = Request::builder().method(method).uri("https://chat.example/w/w/session");
        let request = request.header("origin", LISTED).body(()).unwrap();
        let (answer, mut body) = client.clone().ready().await.unwrap().send_request(request, false).unwrap();
        for (index, piece) in (1..).zip(pieces) {
            body.send_data(Bytes::from_static(piece.as_bytes()), index == pieces.len()).unwrap();
        }
        assert_eq!(answer.await.unwrap().status(), 200, "{method} {pieces:?}");
    }
    for request in received.lock().unwrap().iter() {
        let request = String::from_utf8_lossy(request);
        let ends = request.matches("0\r\n\r\n").count();
        assert!(ends == 1 && !request.starts_with('0'), "a body that ends {ends} times: {request:?}");
    }
    assert_eq!(received.lock().unwrap().len(), 4);
    task.abort();
}
