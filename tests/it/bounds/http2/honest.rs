//! Honest clients that talk much: none of them is cut.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Held, LISTED, QUICK, SESSION, edge_on, ended, large};
use crate::support::frames::{
    DATA, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, frame, get, post, reset, setting,
    window_update,
};
use crate::support::upstream::Scripted;

/// Answers a data frame as the most talkative clients do: with both windows and a measurement of the delay. Returns
/// whether the answer goes on.
async fn take(client: &mut Frames, stream: u32) -> bool {
    let Some(received) = client.next().await else { panic!("the connection was cut") };
    assert!(![GOAWAY, RST_STREAM].contains(&received.kind), "{received:?}");
    if received.kind != DATA {
        return true;
    }
    let by = u32::try_from(received.payload.len()).unwrap();
    if by > 0 {
        client
            .send([window_update(0, by), window_update(stream, by), frame(PING, 0, 0, &[7; 8])].concat())
            .await;
    }
    received.flags & END_STREAM == 0
}

#[tokio::test]
async fn a_window_for_each_piece_of_a_large_answer_is_fine() {
    let upstream = large().await;
    let bounds = "bounds = { http2_control_frames_per_minute = 100 }";
    let (edge, tls) = edge_on(upstream.addr, bounds).await;
    let mut client = Frames::open(&tls).await;
    for n in 0..4 {
        client.send(get(2 * n + 1, SESSION, &[LISTED])).await;
        while take(&mut client, 2 * n + 1).await {}
    }
    assert_eq!(ended(&edge, "control_frames").await, 0.0);
}

#[tokio::test]
async fn a_window_for_each_event_of_a_stream_is_fine() {
    let upstream = Scripted::start(|mut connection, _| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for n in 0..2000 {
            let mut piece = String::new();
            write!(piece, "9\r\ndata: {:01}\n\n\r\n", n % 10).unwrap();
            connection.send(piece).await;
            if n % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        connection.send("0\r\n\r\n").await;
        connection.rest().await;
    });
    let upstream = upstream.await;
    let bounds = "bounds = { http2_control_frames_per_minute = 100 }";
    let (edge, tls) = edge_on(upstream.addr, bounds).await;
    let mut client = Frames::open(&tls).await;
    client.send(get(1, SESSION, &[LISTED])).await;
    while take(&mut client, 1).await {}
    assert_eq!(ended(&edge, "control_frames").await, 0.0);
}

#[tokio::test]
async fn the_frames_of_browsers_and_uploads_are_fine() {
    let upstream = Held::start().await;
    let bounds = "bounds = { http2_control_frames_per_minute = 30 }";
    let (edge, tls) = edge_on(upstream.upstream.addr, bounds).await;
    let mut client = Frames::open(&tls).await;
    client.send(setting(4, 131_072)).await;
    // Firefox makes a tree of streams that it never opens.
    for n in [3, 5, 7, 9, 11, 13] {
        client.send(frame(PRIORITY, 0, n, &[0, 0, 0, 0, 100])).await;
    }
    for n in 10..60 {
        let stream = 2 * n + 1;
        // Its priority, a window for it, and changes of the priority while it is loaded (RFC 9218), as Chromium has them.
        client.send(get(stream, QUICK, &[LISTED])).await;
        client.send(window_update(stream, 12_451_840)).await;
        for _ in 0..4 {
            client.send(frame(0x10, 0, 0, &[&stream.to_be_bytes()[..], b"u=1"].concat())).await;
        }
        assert!(client.await_frame(HEADERS, stream).await.is_some());
    }
    // An upload, with a measurement of the delay now and then.
    client.send(post(1001, QUICK, &[LISTED, ("content-length", "409600")])).await;
    for n in 0..100 {
        client.send(frame(DATA, u8::from(n == 99), 1001, &[b'a'; 4096])).await;
        client.send(frame(PING, 0, 0, &[7; 8])).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(client.await_frame(HEADERS, 1001).await.is_some());
    // A page is left again and again: what was under way is taken back.
    for n in 600..660 {
        client.send(get(2 * n + 1, SESSION, &[LISTED])).await;
        client.send(reset(2 * n + 1)).await;
        upstream.answer(1);
    }
    client.send(get(2001, QUICK, &[LISTED])).await;
    let answer = client.await_frame(HEADERS, 2001).await.unwrap();
    assert_eq!(answer.payload[0], 0x88, "200");
    assert_eq!(ended(&edge, "control_frames").await + ended(&edge, "resets").await, 0.0);
}
