//! What the tests share: a running edge, TLS in front of it, an upstream that tells what it got, raw sockets, ports.

pub mod browser;
pub mod certificates;
pub mod disk;
pub mod edge;
pub mod events;
pub mod frames;
pub mod in_process;
pub mod nats;
pub mod ports;
pub mod python;
pub mod raw;
pub mod relay;
pub mod sites;
pub mod streams;
pub mod tls;
pub mod upstream;
pub mod webhooks;
pub mod websocket;

use std::time::{Duration, Instant, SystemTime};

/// Whether everything is tried, not only a part of it: `EMBEDGATE_TEST_SCALE=full`.
pub fn is_full() -> bool {
    std::env::var_os("EMBEDGATE_TEST_SCALE").is_some_and(|scale| scale == "full")
}

/// How often to do what is to be done `full` times: a tenth of it, or all where everything is tried.
pub fn scale(full: usize) -> usize {
    if is_full() { full } else { full / 10 }
}

/// Waits until `done` says so, and fails after ten seconds.
pub async fn eventually(what: &str, done: impl AsyncFnMut() -> bool) {
    in_time(what, Duration::from_secs(10), done).await;
}

/// The same for something that may take longer, or has to be sooner.
pub async fn in_time(what: &str, time: Duration, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !done().await {
        assert!(Instant::now() < deadline, "not in {time:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Time for what has no limit of its own, such as a start or an election, on a machine that is busy.
pub const LONG: Duration = Duration::from_secs(60);

/// Waits where less than a minute of the day is left (UTC), for a test that counts what is opened on one day.
pub async fn well_before_midnight() {
    const DAY: u64 = 24 * 3600;
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let left = DAY - since.as_secs() % DAY;
    if left < 60 {
        tokio::time::sleep(Duration::from_secs(left)).await;
    }
}
