//! Requests that are taken back, by the client (CVE-2023-44487) or by errors of the client (CVE-2025-8671).

use std::time::Duration;

use super::{Held, LISTED, QUICK, SESSION, edge_on, ended, is_served};
use crate::support::eventually;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, HEADERS, PRIORITY, REFUSED_STREAM, RST_STREAM,
    frame, get, post, reset, window_update,
};

/// What a client sends after a request on a stream, to have it ended.
type Attack = fn(u32) -> Vec<u8>;

/// The number of the n-th stream.
fn stream(n: u32) -> u32 {
    2 * n + 1
}

#[tokio::test]
async fn work_for_requests_that_are_taken_back_counts() {
    let upstream = Held::start().await;
    let bounds = "bounds = { http2_streams = 20, http2_resets_per_minute = 100000 }\nworkers = 1\n";
    let (edge, tls) = edge_on(upstream.upstream.addr, bounds).await;
    let mut client = Frames::open(&tls).await;
    let mut next = 0;
    for _ in 0..20 {
        let streams = next..next + 20;
        next += 20;
        for n in streams.clone() {
            assert!(client.send(get(stream(n), SESSION, &[LISTED])).await);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        for n in streams {
            assert!(client.send(reset(stream(n))).await);
        }
    }
    eventually("all are taken back", async || {
        edge.metric("embedgate_sessions_open").await == 0.0 && upstream.at_once() == 20
    })
    .await;
    assert!(is_served(&tls).await);
    assert_eq!((upstream.most(), upstream.requests()), (20, 20));
    // There is no place for another one until the upstream is done with one of them.
    client.arrived();
    client.send(get(stream(next), QUICK, &[LISTED])).await;
    let refused = client.await_frame(RST_STREAM, stream(next)).await.unwrap();
    assert_eq!(refused.reason(), Some(REFUSED_STREAM));
    upstream.answer(20);
    eventually("all are answered", async || upstream.at_once() == 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let connections = upstream.upstream.connections();
    for n in next + 1..next + 41 {
        client.send(get(stream(n), QUICK, &[LISTED])).await;
        let answer = client.await_frame(HEADERS, stream(n)).await.unwrap();
        assert_eq!(answer.payload[0], 0x88, "200");
    }
    assert_eq!(upstream.upstream.connections(), connections, "connections are used again");
}

#[tokio::test]
async fn an_upload_that_is_taken_back_is_cut() {
    let upstream = Held::start().await;
    let bounds = "bounds = { http2_streams = 2 }";
    let (_edge, tls) = edge_on(upstream.upstream.addr, bounds).await;
    let mut client = Frames::open(&tls).await;
    for n in 0..20 {
        client.send(post(stream(n), QUICK, &[LISTED, ("content-length", "10")])).await;
        client.send(frame(DATA, 0, stream(n), b"half")).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        client.send(reset(stream(n))).await;
    }
    client.send(get(stream(20), QUICK, &[LISTED])).await;
    let answer = client.await_frame(HEADERS, stream(20)).await.unwrap();
    assert_eq!(answer.payload[0], 0x88, "no place is taken by what was cut");
}

#[tokio::test]
async fn a_client_that_takes_back_too_much_is_told_to_calm_down() {
    let upstream = Held::start().await;
    let (edge, tls) = edge_on(upstream.upstream.addr, "bounds = { http2_streams = 50 }").await;
    // One after the other, within the limit of streams, as the tool of 2023 did.
    let mut client = Frames::open(&tls).await;
    let mut sent = 0;
    while sent < 1000 && client.send(get(stream(sent), SESSION, &[LISTED])).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
        sent += 1;
        if !client.send(reset(stream(sent - 1))).await {
            break;
        }
    }
    assert!((200..1000).contains(&sent), "{sent}");
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
    assert!(upstream.most() <= 50, "{}", upstream.most());
    eventually("it is counted", async || ended(&edge, "resets").await == 1.0).await;
    // All at once.
    let mut client = Frames::open(&tls).await;
    let burst: Vec<u8> =
        (0..1000).flat_map(|n| [get(stream(n), SESSION, &[LISTED]), reset(stream(n))].concat()).collect();
    client.send(burst).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
    eventually("it is counted", async || ended(&edge, "resets").await + ended(&edge, "errors").await == 2.0)
        .await;
    eventually("the upstream is left alone", async || upstream.at_once() == 0).await;
    assert!(is_served(&tls).await);
}

#[tokio::test]
async fn errors_that_take_requests_back_are_counted() {
    let upstream = Held::start().await;
    let bounds = "bounds = { http2_streams = 20, http2_resets_per_minute = 50 }";
    let (edge, tls) = edge_on(upstream.upstream.addr, bounds).await;
    let attacks: [(&str, Attack); 5] = [
        ("a window that is too large", |n| window_update(n, (1 << 31) - 1)),
        ("data after the end", |n| frame(DATA, END_STREAM, n, b"more")),
        ("a stream that depends on itself", |n| {
            frame(PRIORITY, 0, n, &[&n.to_be_bytes()[..], &[1]].concat())
        }),
        ("a second head", |n| frame(HEADERS, END_HEADERS, n, &[])),
        ("nothing of a window", |n| window_update(n, 0)),
    ];
    for (name, attack) in attacks {
        let mut client = Frames::open(&tls).await;
        let mut sent = 0;
        while sent < 1000 && client.send(get(stream(sent), SESSION, &[LISTED])).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
            sent += 1;
            if !client.send(attack(stream(sent - 1))).await {
                break;
            }
        }
        let reason = client.end().await;
        println!("{name}: {sent} requests, {reason:?}, {} at the upstream", upstream.most());
        // A busy edge reads later than the client sends.
        assert!(sent < 1000 && reason.is_some(), "{name}: {sent} {reason:?}");
        assert!(upstream.most() <= 20, "{name}: {}", upstream.most());
        eventually("the upstream is left alone", async || upstream.at_once() == 0).await;
        assert!(is_served(&tls).await);
    }
    eventually("all are counted", async || {
        ended(&edge, "errors").await + ended(&edge, "protocol").await == 5.0
    })
    .await;
}
