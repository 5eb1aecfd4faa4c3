//! Floods of frames that carry nothing of a message (CVE-2019-9512, -9515, -9518, CVE-2024-27316).

use std::time::{Duration, Instant};

use super::{Held, LISTED, SESSION, edge_on, ended, is_served};
use crate::support::eventually;
use crate::support::frames::{
    CONTINUATION, DATA, ENHANCE_YOUR_CALM, Frames, GOAWAY, HEADERS, PING, PRIORITY, SETTINGS, block, frame,
    get, literal, post, setting, window_update,
};

/// Frames of one write.
const BATCH: usize = 200;

/// More frames than a connection takes with the default of 6,000 a minute, and what is sent until the client knows.
const MOST: usize = 60_000;

/// Sends batches until the other side has ended the connection. Returns the number of frames that were sent until then,
/// and the reason.
async fn flood(client: &mut Frames, mut batch: impl FnMut() -> Vec<u8>) -> (usize, Option<u32>) {
    let mut sent = 0;
    let mut reason = None;
    while sent < MOST && reason.is_none() && client.send(batch()).await {
        sent += BATCH;
        // What is taken from the sockets shows only if they are not full.
        tokio::time::sleep(Duration::from_millis(2)).await;
        reason = client.arrived().iter().find(|frame| frame.kind == GOAWAY).and_then(|end| end.reason());
    }
    assert!(sent < MOST, "{sent} frames taken");
    if reason.is_none() {
        reason = client.end().await;
    }
    (sent, reason)
}

#[tokio::test]
async fn frames_that_carry_nothing_end_their_connection() {
    let upstream = Held::start().await;
    let (edge, tls) = edge_on(upstream.upstream.addr, "").await;
    let floods = [
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("answers to PINGs that nobody sent", frame(PING, 1, 0, &[7; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("windows of all streams", setting(4, 100_000)),
        ("sizes of the table", [setting(1, 0), setting(1, 65_536)].concat()),
        ("WINDOW_UPDATE of the connection", window_update(0, 1)),
        ("WINDOW_UPDATE of a stream", window_update(1, 1)),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("a type that nobody knows", frame(0xfa, 0xff, 1, &[0; 20])),
        ("GOAWAY", frame(GOAWAY, 0, 0, &[0; 8])),
        ("empty DATA", frame(DATA, 0, 3, &[])),
        ("padding alone", frame(DATA, 8, 3, &[2, 0, 0])),
    ];
    for (name, one) in floods {
        let mut client = Frames::open(&tls).await;
        // A window that can still grow, and requests that are open, one of them with a body.
        client.send(setting(4, 1000)).await;
        client.send([get(1, SESSION, &[LISTED]), post(3, SESSION, &[LISTED])].concat()).await;
        let (batch, started) = (one.repeat(BATCH), Instant::now());
        let (sent, reason) = flood(&mut client, || batch.clone()).await;
        println!("{name}: {sent} frames, {reason:?}, {:?}", started.elapsed());
        assert_eq!(reason, Some(ENHANCE_YOUR_CALM), "{name}");
        assert!(is_served(&tls).await, "{name}");
    }
    // The last two end sooner, by the library's own bound.
    eventually("all are counted", async || {
        (ended(&edge, "control_frames").await, ended(&edge, "errors").await) == (10.0, 2.0)
    })
    .await;
}

#[tokio::test]
async fn a_head_that_goes_on_for_ever_ends_its_connection() {
    let upstream = Held::start().await;
    let (_edge, tls) = edge_on(upstream.upstream.addr, "").await;
    let mut large = Vec::new();
    literal(&mut large, 0, "x", &"a".repeat(16_000));
    for (name, more) in [("empty", vec![]), ("small", vec![0x80 | 2]), ("large", large)] {
        let mut client = Frames::open(&tls).await;
        client.send(frame(HEADERS, 0, 1, &block(0x82, SESSION, &[]))).await;
        let one = frame(CONTINUATION, 0, 1, &more);
        let (sent, reason) = flood(&mut client, || one.repeat(BATCH)).await;
        println!("{name}: {sent} frames, {reason:?}");
        assert!(reason.is_some(), "{name}");
    }
    assert!(is_served(&tls).await);
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_end_the_connection() {
    let upstream = Held::start().await;
    let bounds = "bounds = { http2_streams = 10, http2_resets_per_minute = 50 }";
    let (_edge, tls) = edge_on(upstream.upstream.addr, bounds).await;
    let mut client = Frames::open(&tls).await;
    let heads: Vec<u8> = (0..200).flat_map(|n| get(2 * n + 1, SESSION, &[LISTED])).collect();
    client.send(heads).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
    assert!(upstream.most() <= 10, "{}", upstream.most());
    // A few are refused alone.
    let mut client = Frames::open(&tls).await;
    let heads: Vec<u8> = (0..20).flat_map(|n| get(2 * n + 1, SESSION, &[LISTED])).collect();
    client.send(heads).await;
    client.send(frame(PING, 0, 0, &[7; 8])).await;
    assert!(client.await_frame(PING, 0).await.is_some());
    assert!(is_served(&tls).await);
}
