#![allow(clippy::unwrap_used)]

use std::future::{pending, ready};

use tokio::io::{DuplexStream, duplex};
use tokio::sync::oneshot;

use super::*;

/// What a connection holds that nobody reads.
const PIPE: usize = 1024;
const SOON: Duration = Duration::from_millis(50);

const fn limits(idle: Option<Duration>, lifetime: Option<Duration>) -> TunnelLimits {
    TunnelLimits { idle, lifetime, untaken: None }
}
const NONE: TunnelLimits = limits(None, None);

/// A relay, the browser's end and the upstream's end.
fn tunnel(
    said: &'static [u8],
    answered: &'static [u8],
) -> (Relay<DuplexStream, DuplexStream>, DuplexStream, DuplexStream) {
    let (browser, browser_end) = duplex(PIPE);
    let (upstream, upstream_end) = duplex(PIPE);
    let early = (BytesMut::from(said), BytesMut::from(answered));
    (Relay::new(browser, upstream, early), browser_end, upstream_end)
}

/// Runs a tunnel to its end, closing it as the edge does; `revoke` calls it back.
fn start(
    mut relay: Relay<DuplexStream, DuplexStream>,
    limits: TunnelLimits,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<(TunnelEnd, bool)>) {
    let (revoke, revoked) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let end = relay
            .run(
                limits,
                pin!(async {
                    if revoked.await.is_err() {
                        pending::<()>().await;
                    }
                }),
            )
            .await;
        let told = end != TunnelEnd::Over && relay.close(Close::REVOKED).await;
        if told {
            relay.answered().await;
        }
        relay.finish().await;
        (end, told)
    });
    (revoke, task)
}

async fn take(from: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(Duration::from_secs(5), from.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

async fn rest(from: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(Duration::from_secs(5), from.read_to_end(&mut bytes)).await.unwrap().unwrap();
    bytes
}

/// A binary frame of a server with this payload.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, 126];
    frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn what_came_with_the_handshakes_comes_first() {
    let (relay, mut browser, mut upstream) = tunnel(b"early question, ", b"early answer, ");
    let (_revoke, task) = start(relay, NONE);
    browser.write_all(b"question").await.unwrap();
    upstream.write_all(b"answer").await.unwrap();
    assert_eq!(take(&mut upstream, 24).await, b"early question, question");
    assert_eq!(take(&mut browser, 20).await, b"early answer, answer");
    drop((browser, upstream));
    assert_eq!(task.await.unwrap().0, TunnelEnd::Over);
}

#[tokio::test]
async fn each_half_closes_by_itself() {
    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (_revoke, task) = start(relay, NONE);
    browser.write_all(b"bye").await.unwrap();
    browser.shutdown().await.unwrap();
    assert_eq!(rest(&mut upstream).await, b"bye");
    upstream.write_all(b"one more thing").await.unwrap();
    assert_eq!(take(&mut browser, 14).await, b"one more thing");
    upstream.shutdown().await.unwrap();
    assert_eq!(rest(&mut browser).await, b"");
    assert_eq!(task.await.unwrap().0, TunnelEnd::Over);

    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (_revoke, task) = start(relay, NONE);
    upstream.write_all(b"bye").await.unwrap();
    upstream.shutdown().await.unwrap();
    assert_eq!(rest(&mut browser).await, b"bye");
    browser.write_all(b"one more thing").await.unwrap();
    assert_eq!(take(&mut upstream, 14).await, b"one more thing");
    browser.shutdown().await.unwrap();
    assert_eq!(rest(&mut upstream).await, b"");
    assert_eq!(task.await.unwrap().0, TunnelEnd::Over);
}

#[tokio::test]
async fn an_abrupt_end_of_one_ends_the_other() {
    let (relay, browser, mut upstream) = tunnel(b"", b"");
    let (_revoke, task) = start(relay, NONE);
    drop(browser);
    assert_eq!(rest(&mut upstream).await, b"");
    upstream.write_all(b"to nobody").await.unwrap();
    assert_eq!(timeout(Duration::from_secs(5), task).await.unwrap().unwrap().0, TunnelEnd::Over);
}

#[tokio::test]
async fn a_reader_that_stops_stops_its_writer_and_not_the_other_way() {
    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (_revoke, _task) = start(relay, NONE);
    // The browser reads nothing: what the upstream can send is what two pipes and a buffer hold.
    let mut accepted = 0;
    while let Ok(written) = timeout(SOON, upstream.write(&[0x82; 512])).await {
        accepted += written.unwrap();
        assert!(accepted <= 2 * PIPE + 2 * BUFFER, "{accepted}");
    }
    browser.write_all(b"still heard").await.unwrap();
    assert_eq!(take(&mut upstream, 11).await, b"still heard");
    assert_eq!(take(&mut browser, accepted).await.len(), accepted, "nothing is lost");
}

#[tokio::test]
async fn a_close_frame_stands_between_two_frames() {
    // The first frame is half sent when the tunnel is called back; its rest comes with the next frame.
    let frame = frame(&[7; 300]);
    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (revoke, task) = start(relay, NONE);
    upstream.write_all(&frame[..100]).await.unwrap();
    assert_eq!(take(&mut browser, 100).await, &frame[..100]);
    revoke.send(()).unwrap();
    tokio::time::sleep(SOON).await;
    upstream.write_all(&[&frame[100..], &frame].concat()).await.unwrap();
    assert_eq!(rest(&mut browser).await, [&frame[100..], &Close::REVOKED.to_bytes()].concat());
    drop(browser);
    assert_eq!(task.await.unwrap(), (TunnelEnd::Revoked, true));
}

#[tokio::test]
async fn frames_that_the_browser_did_not_take_yet_are_not_cut_through() {
    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (revoke, task) = start(relay, NONE);
    let frame = frame(&[7; 400]);
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            if upstream.write_all(&frame).await.is_err() {
                break;
            }
        }
    });
    tokio::time::sleep(SOON).await;
    revoke.send(()).unwrap();
    tokio::time::sleep(SOON).await;
    let received = rest(&mut browser).await;
    drop(browser);
    assert_eq!(task.await.unwrap(), (TunnelEnd::Revoked, true));
    sending.await.unwrap();
    let close = Close::REVOKED.to_bytes();
    let frames = received.strip_suffix(&close[..]).unwrap();
    assert_eq!(frames.len() % 404, 0, "whole frames only");
    assert!(frames.len() < 100 * 404);
}

#[tokio::test]
async fn a_frame_without_an_end_ends_the_connection() {
    let frame = frame(&[7; 300]);
    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (revoke, task) = start(relay, NONE);
    upstream.write_all(&frame[..100]).await.unwrap();
    take(&mut browser, 100).await;
    let started = tokio::time::Instant::now();
    revoke.send(()).unwrap();
    assert_eq!(rest(&mut browser).await, b"");
    assert!((FRAME_END..2 * FRAME_END).contains(&started.elapsed()), "{:?}", started.elapsed());
    drop(browser);
    assert_eq!(task.await.unwrap(), (TunnelEnd::Revoked, false));
}

#[tokio::test]
async fn nothing_follows_the_upstreams_own_close_frame() {
    let close = Close { code: 1000, reason: "" }.to_bytes();
    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (revoke, task) = start(relay, NONE);
    upstream.write_all(&close).await.unwrap();
    assert_eq!(take(&mut browser, close.len()).await, close);
    revoke.send(()).unwrap();
    assert_eq!(rest(&mut browser).await, b"");
    drop(browser);
    assert_eq!(task.await.unwrap(), (TunnelEnd::Revoked, false));
}

#[tokio::test]
async fn what_the_browser_says_after_the_call_goes_nowhere() {
    let (mut relay, mut browser, mut upstream) = tunnel(b"", b"");
    browser.write_all(b"secret").await.unwrap();
    assert_eq!(relay.run(NONE, ready(())).await, TunnelEnd::Revoked);
    assert!(relay.close(Close::REVOKED).await);
    let finish = tokio::spawn(relay.finish());
    assert_eq!(rest(&mut upstream).await, b"");
    assert_eq!(rest(&mut browser).await, Close::REVOKED.to_bytes());
    drop(browser);
    finish.await.unwrap();
}

/// The Close frame by which a browser answers one.
const ANSWER: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0];

#[tokio::test]
async fn the_connection_ends_behind_the_browsers_own_close_frame() {
    let (mut relay, mut browser, mut upstream) = tunnel(b"\x82\x84\0\0", b"");
    assert_eq!(relay.run(NONE, ready(())).await, TunnelEnd::Revoked);
    assert!(relay.close(Close::REVOKED).await);
    let ending = tokio::spawn(async move {
        relay.answered().await;
        relay.finish().await;
    });
    let close = Close::REVOKED.to_bytes();
    assert_eq!(take(&mut browser, close.len()).await, close);
    // First comes what was on its way, in a frame that began before.
    browser.write_all(b"\0\0data").await.unwrap();
    let ended = timeout(SOON, browser.read(&mut [0; 1])).await;
    assert!(ended.is_err(), "not before the browser has answered");
    let started = tokio::time::Instant::now();
    browser.write_all(&ANSWER).await.unwrap();
    assert_eq!(rest(&mut browser).await, b"");
    assert_eq!(rest(&mut upstream).await, b"", "nothing of it went on");
    assert!(started.elapsed() < GOODBYE / 2, "at once: {:?}", started.elapsed());
    browser.write_all(b"late").await.expect("what comes late is read, or it would reset the connection");
    drop(browser);
    ending.await.unwrap();
}

#[tokio::test]
async fn a_browser_that_does_not_answer_is_not_waited_for() {
    let (mut relay, mut browser, _upstream) = tunnel(b"", b"");
    assert_eq!(relay.run(NONE, ready(())).await, TunnelEnd::Revoked);
    assert!(relay.close(Close::REVOKED).await);
    let ending = tokio::spawn(async move {
        relay.answered().await;
        relay.finish().await;
    });
    assert_eq!(rest(&mut browser).await, Close::REVOKED.to_bytes());
    timeout(3 * GOODBYE, ending).await.unwrap().unwrap();
}

#[tokio::test]
async fn silence_ends_a_tunnel_and_traffic_keeps_it() {
    let idle = Duration::from_millis(200);
    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (_revoke, task) = start(relay, limits(Some(idle), None));
    for turn in 0..8 {
        tokio::time::sleep(idle / 2).await;
        let (from, to) =
            if turn % 2 == 0 { (&mut browser, &mut upstream) } else { (&mut upstream, &mut browser) };
        from.write_all(&[0x89, 0]).await.unwrap();
        assert_eq!(take(to, 2).await, [0x89, 0]);
    }
    let silent = tokio::time::Instant::now();
    assert_eq!(rest(&mut browser).await, Close::REVOKED.to_bytes());
    assert!(silent.elapsed() + Duration::from_millis(5) >= idle, "{:?}", silent.elapsed());
    drop(browser);
    assert_eq!(task.await.unwrap().0, TunnelEnd::Overdue(Overdue::Idle));
}

#[tokio::test]
async fn a_lifetime_ends_whatever_the_traffic() {
    let (relay, mut browser, mut upstream) = tunnel(b"", b"");
    let (_revoke, task) =
        start(relay, limits(Some(Duration::from_secs(60)), Some(Duration::from_millis(200))));
    let talking = tokio::spawn(async move {
        while upstream.write_all(&[0x89, 0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let received = rest(&mut browser).await;
    assert!(received.starts_with(&[0x89, 0]) && received.ends_with(&Close::REVOKED.to_bytes()));
    drop(browser);
    assert_eq!(task.await.unwrap().0, TunnelEnd::Overdue(Overdue::Lifetime));
    talking.await.unwrap();
}

#[tokio::test]
async fn a_waiting_tunnel_holds_no_buffer() {
    let (browser, mut browser_end) = duplex(PIPE);
    let (upstream, mut upstream_end) = duplex(PIPE);
    let burst = BytesMut::from(&[0; 3 * BUFFER][..]);
    let mut relay = Relay::new(browser, upstream, (BytesMut::with_capacity(BUFFER), burst));
    assert_eq!(relay.up.pending.capacity(), 0, "what held a head is given back");
    let talk = async {
        assert_eq!(take(&mut browser_end, 3 * BUFFER).await.len(), 3 * BUFFER);
        // More than the other side has room for.
        let said = [0; 4 * PIPE];
        let (sent, heard) = tokio::join!(browser_end.write_all(&said), take(&mut upstream_end, said.len()));
        assert_eq!((sent.is_ok(), heard.len()), (true, said.len()));
        let (sent, heard) = tokio::join!(upstream_end.write_all(&said), take(&mut browser_end, said.len()));
        assert_eq!((sent.is_ok(), heard.len()), (true, said.len()));
        tokio::time::sleep(SOON).await;
    };
    assert_eq!(relay.run(NONE, pin!(talk)).await, TunnelEnd::Revoked);
    assert_eq!((relay.up.pending.capacity(), relay.down.pending.capacity()), (0, 0));
}

/// A reader that always has more, and a writer that always has room.
struct Flood {
    read: u64,
    written: u64,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.read += 1;
        into.put_slice(&[0x82, 0]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written += bytes.len() as u64;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_flood_starves_neither_the_other_direction_nor_the_call() {
    let flood = || Flood { read: 0, written: 0 };
    let mut relay = Relay::new(flood(), flood(), (BytesMut::new(), BytesMut::new()));
    assert_eq!(relay.run(NONE, pin!(tokio::time::sleep(SOON))).await, TunnelEnd::Revoked);
    let Relay { browser, upstream, .. } = &relay;
    assert!(browser.read > 10 * READS as u64, "{}", browser.read);
    assert!(browser.read.abs_diff(upstream.read) <= READS as u64, "{} {}", browser.read, upstream.read);
    assert_eq!((upstream.written, browser.written), (2 * browser.read, 2 * upstream.read), "nothing is lost");
    let mut relay = Relay::new(flood(), flood(), (BytesMut::new(), BytesMut::new()));
    let ends = limits(Some(SOON), Some(4 * SOON));
    assert_eq!(relay.run(ends, pending::<()>()).await, TunnelEnd::Overdue(Overdue::Lifetime));
}

#[tokio::test]
async fn a_busy_task_watches_its_limits() {
    let (mut relay, _browser, _upstream) = tunnel(b"", b"");
    let busy = async {
        loop {
            tokio::task::consume_budget().await;
        }
    };
    let mut busy = pin!(busy);
    let run = relay.run::<()>(limits(Some(SOON), None), &mut busy);
    assert_eq!(timeout(20 * SOON, run).await, Ok(TunnelEnd::Overdue(Overdue::Idle)));
}

/// The limit is found by looking now and then: never early, and not much late.
#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_ends_within_a_32nd_of_the_limit() {
    let idle = Duration::from_secs(3600);
    for last_word in [0, 1, 112, 113, 3000, 3599] {
        let (mut relay, mut browser, mut upstream) = tunnel(b"", b"");
        let started = tokio::time::Instant::now();
        let talk = async {
            tokio::time::sleep(Duration::from_secs(last_word)).await;
            browser.write_all(b"last").await.unwrap();
            take(&mut upstream, 4).await;
            pending::<()>().await;
        };
        assert_eq!(relay.run(limits(Some(idle), None), pin!(talk)).await, TunnelEnd::Overdue(Overdue::Idle));
        let silent = started.elapsed() - Duration::from_secs(last_word);
        assert!((idle..idle + idle / 30).contains(&silent), "{last_word}: {silent:?}");
    }
}

/// A browser that takes nothing of what waits for it is not waited for, whatever the other limits.
#[tokio::test(start_paused = true)]
async fn a_browser_that_takes_nothing_is_gone_by_its_time() {
    let minute = Duration::from_secs(60);
    let limits = TunnelLimits { untaken: Some(minute), ..limits(None, Some(minute * 600)) };
    // Nothing for it, and a byte now and then of more than it takes: both go on.
    let (mut relay, mut browser, mut upstream) = tunnel(b"", b"");
    let silent = timeout(minute * 100, relay.run(limits, pending::<()>())).await;
    assert!(silent.is_err());
    let slow = async {
        for _ in 0..100 {
            tokio::time::sleep(minute - SOON).await;
            take(&mut browser, 1).await;
        }
    };
    let flood = async {
        upstream.write_all(&frame(&[0; 4 * PIPE])).await.unwrap();
        upstream.write_all(&frame(&[0; 4 * PIPE])).await.unwrap();
        pending::<()>().await;
    };
    let both = async {
        tokio::select! {
            () = slow => {}
            () = flood => {}
        }
    };
    assert_eq!(relay.run(limits, pin!(both)).await, TunnelEnd::Revoked);
    let started = tokio::time::Instant::now();
    assert_eq!(relay.run(limits, pending::<()>()).await, TunnelEnd::Overdue(Overdue::Untaken));
    assert!(started.elapsed() <= minute + SOON, "{:?}", started.elapsed());
}

/// A side that says nothing more leaves the other seconds, whatever the limits.
#[tokio::test(start_paused = true)]
async fn half_a_tunnel_lives_on_for_seconds() {
    for limits in [NONE, limits(Some(Duration::from_secs(3600)), None)] {
        let (mut relay, mut browser, mut upstream) = tunnel(b"", b"");
        let started = tokio::time::Instant::now();
        let talk = async {
            browser.shutdown().await.unwrap();
            tokio::time::sleep(Duration::from_secs(4)).await;
            upstream.write_all(b"one more thing").await.unwrap();
            take(&mut browser, 14).await;
            pending::<()>().await;
        };
        assert_eq!(relay.run(limits, pin!(talk)).await, TunnelEnd::Overdue(Overdue::Idle));
        let took = started.elapsed();
        assert!((Duration::from_secs(9)..Duration::from_millis(9_500)).contains(&took), "{took:?}");
    }
}
