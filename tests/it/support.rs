//! What the tests share: a running edge, TLS in front of it, an upstream that tells what it got, raw sockets, ports.

pub mod browser;
pub mod certificates;
pub mod disk;
pub mod edge;
pub mod events;
pub mod frames;
pub mod nats;
pub mod ports;
pub mod python;
pub mod raw;
pub mod relay;
pub mod sites;
pub mod streams;
pub mod tls;
pub mod upstream;
pub mod websocket;

use std::time::{Duration, Instant};

/// How often to do what is to be done `full` times: a tenth of it, or all with `EMBEDGATE_TEST_SCALE=full`.
pub fn scale(full: usize) -> usize {
    match std::env::var_os("EMBEDGATE_TEST_SCALE") {
        Some(scale) if scale == "full" => full,
        _ => full / 10,
    }
}

/// Waits until `done` says so, and fails after ten seconds.
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
