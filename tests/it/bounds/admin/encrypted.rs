//! The same over mutual TLS.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{AT_ONCE, LATE, SLOW, silent};
use crate::admin_api::mutual_tls::Operators;
use crate::support::edge::READ_TOKEN;
use crate::support::{eventually, is_full};

#[tokio::test]
async fn whoever_is_slow_is_ended_in_time() {
    let operators = Operators::new();
    let edge = operators.edge();
    let operator = operators.clients.issue(&["operator"]);
    let ready = async || operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200);
    eventually("the listener answers", ready).await;
    let config = Arc::new(operators.client(&[&TLS13], Some(&operator)));
    // The idle minute is the same without TLS, and is waited for there.
    let slow =
        SLOW.into_iter().filter(|(_, seconds)| *seconds < 60 || is_full()).map(async |(slow, seconds)| {
            let stream = operators.connect(&edge, Arc::clone(&config)).await.unwrap();
            slow.is_ended(stream, edge.admin, seconds).await;
        });
    // Before the handshake: nothing, and the beginning of a record.
    let unshaken = [&b""[..], &b"\x16\x03\x01\x01\x00"[..]].into_iter().map(async |begin| {
        let mut stream = TcpStream::connect(edge.admin).await.unwrap();
        stream.write_all(begin).await.unwrap();
        let begun = Instant::now();
        let ended = timeout(Duration::from_secs(10) + LATE, stream.read(&mut [0; 100])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{begin:?}: {ended:?}");
        assert!(begun.elapsed() > Duration::from_secs(9), "{begin:?}: {:?}", begun.elapsed());
    });
    tokio::join!(join_all(slow), join_all(unshaken));
    assert!(edge.log().lines().all(|line| !line.contains("ERROR")), "{}", edge.log());
}

#[tokio::test]
async fn silent_strangers_keep_no_operator_out() {
    let operators = Operators::new();
    let edge = operators.edge();
    let operator = operators.clients.issue(&["operator"]);
    let ready = async || operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200);
    eventually("the listener answers", ready).await;
    let strangers = silent(edge.admin, 300).await;
    for _ in 0..3 {
        let asked = operators.status(&edge, Some(&operator), READ_TOKEN);
        assert_eq!(timeout(AT_ONCE, asked).await.expect("an answer at once"), Some(200));
    }
    drop(strangers);
}
