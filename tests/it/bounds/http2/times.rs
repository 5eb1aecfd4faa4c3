//! Time limits of a connection: its beginning, the head of a request, and a client that takes nothing.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Held, LISTED, QUICK, SESSION, edge_on, ended, large};
use crate::support::eventually;
use crate::support::frames::{
    CONTINUATION, END_STREAM, Frames, HEADERS, PING, PREFACE, SETTINGS, block, frame, get, setting,
    window_update,
};

#[tokio::test]
async fn a_connection_that_does_not_begin_ends() {
    let upstream = Held::start().await;
    let (edge, tls) = edge_on(upstream.upstream.addr, "header_timeout = \"1s\"").await;
    for begin in [&b""[..], &PREFACE[..12]] {
        let mut stream = tls.h2().await;
        stream.write_all(begin).await.unwrap();
        stream.flush().await.unwrap();
        let (started, mut rest) = (Instant::now(), Vec::new());
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap();
        let took = started.elapsed();
        assert!((900..2500).contains(&took.as_millis()), "{took:?}");
    }
    eventually("both are counted", async || ended(&edge, "slow_head").await == 2.0).await;
}

#[tokio::test]
async fn a_head_has_its_time_whatever_else_happens() {
    let upstream = Held::start().await;
    let (edge, tls) = edge_on(upstream.upstream.addr, "header_timeout = \"1s\"").await;
    let head = block(0x82, SESSION, &[LISTED]);
    let whole = frame(HEADERS, END_STREAM | 4, 3, &head);
    for (name, begin, drip) in [
        ("no end", frame(HEADERS, END_STREAM, 3, &head), vec![]),
        ("no end, and pieces", frame(HEADERS, END_STREAM, 3, &head), frame(CONTINUATION, 0, 3, &[])),
        ("half a frame", whole[..20].to_vec(), vec![]),
        ("a frame byte by byte", whole[..12].to_vec(), vec![0x80 | 2]),
    ] {
        let mut client = Frames::open(&tls).await;
        // A request that waits for its answer keeps the connection from being idle.
        client.send(get(1, SESSION, &[LISTED])).await;
        let started = Instant::now();
        client.send(&begin).await;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if !client.send(&drip).await {
                break;
            }
        }
        client.end().await;
        let took = started.elapsed();
        assert!((900..2600).contains(&took.as_millis()), "{name}: {took:?}");
    }
    eventually("all are counted", async || ended(&edge, "slow_head").await == 4.0).await;
    // Heads in many pieces that are in time, and more of them than one limit is long.
    let mut client = Frames::open(&tls).await;
    for n in 0..4 {
        let whole = frame(HEADERS, END_STREAM | 4, 2 * n + 1, &block(0x82, QUICK, &[LISTED]));
        for piece in whole.chunks(20) {
            client.send(piece).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(client.await_frame(HEADERS, 2 * n + 1).await.unwrap().payload[0], 0x88);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_waited_for() {
    let large = large().await;
    let (edge, tls) = edge_on(large.addr, "bounds = { body_timeout = \"1s\" }").await;
    let most = (1 << 31) - 1;
    let before = edge.resident_bytes();
    let mut streams = Vec::new();
    for wants in ["a large answer", "answers to PINGs"] {
        let mut stream = tls.h2().await;
        let begin = [PREFACE.to_vec(), setting(4, most), window_update(0, most - 65_535)].concat();
        stream.write_all(&begin).await.unwrap();
        stream.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap();
        if wants == "a large answer" {
            for n in 0..100 {
                stream.write_all(&get(2 * n + 1, SESSION, &[LISTED])).await.unwrap();
            }
            stream.flush().await.unwrap();
        } else {
            // More answers than the sockets take would be more frames than a client may send.
            for n in 0..3 {
                stream.write_all(&get(2 * n + 1, SESSION, &[LISTED])).await.unwrap();
            }
            stream.write_all(&frame(PING, 0, 0, &[7; 8]).repeat(2000)).await.unwrap();
            stream.flush().await.unwrap();
        }
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    let grown = edge.resident_bytes().saturating_sub(before);
    println!("103 large answers that nobody reads: {} KiB", grown / 1024);
    assert!(grown < 32 << 20, "{grown}");
    eventually("both are ended", async || ended(&edge, "unread").await == 2.0).await;
}
