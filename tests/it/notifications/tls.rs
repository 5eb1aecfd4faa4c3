//! Receivers over https.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{pending, state, test};
use crate::support::certificates::{Authority, HTTP11};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::{eventually, ports};

/// Answers each request over TLS with 204.
async fn receiver(acceptor: TlsAcceptor) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(ports::free()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust it leaves.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut got = Vec::new();
            while !got.ends_with(b"}") && stream.read_buf(&mut got).await.is_ok_and(|read| read > 0) {}
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (addr, task)
}

fn spec(addr: SocketAddr) -> EdgeSpec {
    let more = format!("[notify]\nurl = \"https://localhost:{}/hook\"\n", addr.port());
    EdgeSpec { more, ..EdgeSpec::default() }
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_the_system_does_not_know_is_told_of() {
    let (addr, task) = receiver(Authority::new().acceptor(&["localhost"], &[HTTP11])).await;
    let edge = Edge::start(spec(addr)).await;
    test(&edge).await;
    eventually("it fails", async || state(&edge).await["failing"][0]["error"].is_string()).await;
    let told = state(&edge).await;
    let error = told["failing"][0]["error"].as_str().unwrap();
    for part in ["the certificate of localhost", "UnknownIssuer", "the system knows"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!((&told["pending"], &told["totals"]["delivered"]), (&json!(1), &json!(0)));
    task.abort();
}

#[tokio::test]
async fn authorities_of_the_system_are_believed() {
    let authority = Authority::new();
    let (addr, task) = receiver(authority.acceptor(&["localhost"], &[HTTP11])).await;
    let prepared = Edge::prepare(spec(addr));
    let edge = prepared
        .start_in(|command| {
            let path = command.get_current_dir().unwrap().join("authorities.pem");
            std::fs::write(&path, authority.pem()).unwrap();
            command.env("SSL_CERT_FILE", path);
        })
        .await;
    test(&edge).await;
    pending(&edge, 0).await;
    assert_eq!(state(&edge).await["totals"]["delivered"], 1);
    task.abort();
}
