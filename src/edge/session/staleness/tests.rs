#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use jiff::SignedDuration;

use super::*;

/// A watch under a paused clock.
struct Stage {
    began: Instant,
    /// By how many seconds the wall clock was set forward.
    set: Arc<AtomicI64>,
    stale_at: watch::Sender<Option<Timestamp>>,
    judged: Arc<AtomicUsize>,
    forgotten: Arc<AtomicUsize>,
}

const BEGIN: i64 = 1_000_000;

impl Stage {
    fn new() -> Self {
        let (began, set) = (Instant::now(), Arc::new(AtomicI64::new(0)));
        let (stale_at, receiver) = watch::channel(None);
        let (judged, forgotten) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let clock = Arc::clone(&set);
        let now = move || {
            let since = SignedDuration::try_from(began.elapsed()).unwrap();
            let set = SignedDuration::from_secs(clock.load(Ordering::Relaxed));
            Timestamp::from_second(BEGIN).unwrap() + since + set
        };
        let count = |counter: &Arc<AtomicUsize>| {
            let counter = Arc::clone(counter);
            move || {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        tokio::spawn(watch(receiver, now, count(&judged), count(&forgotten)));
        Self { began, set, stale_at, judged, forgotten }
    }

    /// Says from how many seconds after the begin on the rules are too old.
    fn stale_at(&self, second: Option<i64>) {
        let at = second.map(|second| Timestamp::from_second(BEGIN + second).unwrap());
        self.stale_at.send_replace(at);
    }

    /// How often sessions were judged, and the contact forgotten, so many milliseconds after the begin.
    async fn at(&self, millisecond: u64) -> (usize, usize) {
        tokio::time::sleep_until(self.began + Duration::from_millis(millisecond)).await;
        (self.judged.load(Ordering::Relaxed), self.forgotten.load(Ordering::Relaxed))
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_are_judged_at_the_instant_itself_and_once() {
    let stage = Stage::new();
    stage.stale_at(Some(60));
    assert_eq!(stage.at(59_990).await, (0, 0));
    assert_eq!(stage.at(60_010).await, (1, 0));
    assert_eq!(stage.at(600_000).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_contact_in_time_moves_the_instant_on() {
    let stage = Stage::new();
    for second in 1..10 {
        stage.stale_at(Some(second + 2));
        assert_eq!(stage.at(u64::try_from(second).unwrap() * 1_000).await, (0, 0));
    }
    assert_eq!(stage.at(10_990).await, (0, 0));
    assert_eq!(stage.at(11_010).await, (1, 0));
    stage.stale_at(Some(20));
    assert_eq!(stage.at(19_990).await, (1, 0), "current again");
    assert_eq!(stage.at(20_010).await, (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_instant_counts_at_once_and_none_never() {
    let stage = Stage::new();
    assert_eq!(stage.at(3_600_000).await, (0, 0));
    stage.stale_at(Some(100_000));
    assert_eq!(stage.at(3_601_000).await, (0, 0));
    stage.stale_at(Some(0));
    assert_eq!(stage.at(3_601_010).await, (1, 0), "it is over");
    stage.stale_at(None);
    assert_eq!(stage.at(200_000_000).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_counts_within_a_second() {
    let stage = Stage::new();
    stage.stale_at(Some(60));
    assert_eq!(stage.at(10_000).await, (0, 0));
    stage.set.store(3_600, Ordering::Relaxed);
    assert_eq!(stage.at(11_010).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_gives_no_more_time() {
    let stage = Stage::new();
    stage.stale_at(Some(60));
    assert_eq!(stage.at(10_000).await, (0, 0));
    stage.set.store(-3_600, Ordering::Relaxed);
    assert_eq!(stage.at(59_990).await, (0, 0));
    assert_eq!(stage.at(60_010).await, (0, 1), "the contact is forgotten");
    // What that brings about.
    stage.stale_at(Some(-BEGIN));
    assert_eq!(stage.at(60_020).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_whoever_says_the_instant() {
    let (sender, receiver) = watch::channel(Some(Timestamp::MAX));
    let watching = tokio::spawn(watch(receiver, || Timestamp::UNIX_EPOCH, || {}, || {}));
    drop(sender);
    watching.await.unwrap();
}
