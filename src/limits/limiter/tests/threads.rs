//! Opens from many threads at once.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

const THREADS: u32 = 8;

/// Opens `each` times on every thread, from addresses of its own, and returns how many were admitted.
fn opened(limiter: &Arc<Limiter>, limits: &Limits, each: u32, gives_back: bool) -> u32 {
    let (admitted, barrier) = (AtomicU32::new(0), Barrier::new(THREADS as usize));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (admitted, barrier) = (&admitted, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for turn in 0..each {
                    let opening =
                        Opening { address: Some(address(number)), is_session: false, ..websocket(limits) };
                    let Opened::Admitted { mut charge, .. } = limiter.open(&opening, OpenedAt::now()) else {
                        continue;
                    };
                    if !gives_back || turn % 3 == 0 {
                        charge.keep();
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    admitted.into_inner()
}

#[test]
fn nobody_is_refused_while_there_is_room_and_nothing_is_let_through_beyond() {
    for limit in [1_u32, 100, 1_999, THREADS * 500] {
        let (limiter, _) = limiter();
        let limits =
            limits(&format!(r#"{{"widget": {{"opens_per_day": {limit}, "opens_per_minute": {limit}}}}}"#));
        assert_eq!(opened(&limiter, &limits, 500, false), limit);
        assert_eq!(all_used(&limiter), {
            let most_of_an_address = all_used(&limiter)[0];
            [most_of_an_address, [0, limit, limit], [0, limit, limit]]
        });
    }
}

#[test]
fn what_is_refused_or_given_back_leaves_nothing_behind() {
    let (limiter, _) = limiter();
    let limits = limits(r#"{"widget": {"opens_per_day": 700}, "embedder": {"opens_per_minute": 900}}"#);
    let admitted = opened(&limiter, &limits, 500, true);
    assert!(admitted <= 700);
    let [[_, address_minute, address_day], of_embedder, of_widget] = all_used(&limiter);
    assert_eq!((of_embedder, of_widget), ([0, admitted, admitted], [0, admitted, admitted]));
    assert_eq!(address_minute, address_day);
    let all = limiter.usage("w", &super::all(), None);
    assert!(all.iter().all(|usage| usage.used <= admitted));
}

#[test]
fn sessions_are_never_more_than_their_limit() {
    let (limiter, _) = limiter();
    let limits = limits(r#"{"embedder": {"sessions": 5}}"#);
    let (open, most) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (limiter, limits, open, most) = (&limiter, &limits, &open, &most);
            scope.spawn(move || {
                for _ in 0..2_000 {
                    let opening = Opening { address: Some(address(number)), ..websocket(limits) };
                    if let Opened::Admitted { mut charge, .. } = limiter.open(&opening, OpenedAt::now()) {
                        charge.keep();
                        most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        open.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let most = most.into_inner();
    assert!((1..=5).contains(&most), "{most}");
    assert_eq!(used(&limiter, Some(SITE))[0], 0);
}

#[test]
fn a_flood_passes_no_budget_and_touches_no_honest_site() {
    const ADDRESSES: u32 = 1_000;
    const SITES: u32 = 100;
    let (limiter, _) = limiter();
    let limits = limits(
        r#"{"address": {"opens_per_minute": 20}, "embedder": {"opens_per_minute": 150, "opens_per_day": 150}}"#,
    );
    let by_address: Vec<AtomicU32> = (0..ADDRESSES).map(|_| AtomicU32::new(0)).collect();
    let by_site: Vec<AtomicU32> = (0..SITES).map(|_| AtomicU32::new(0)).collect();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (limiter, limits, by_address, by_site) = (&limiter, &limits, &by_address, &by_site);
            scope.spawn(move || {
                for turn in (number..100_000).step_by(THREADS as usize) {
                    let (from, site) = (turn % ADDRESSES, turn / 7 % SITES);
                    let embedder = format!("https://forged-{site}.example");
                    let opening =
                        Opening { embedder: &embedder, address: Some(address(from)), ..websocket(limits) };
                    if let Opened::Admitted { mut charge, .. } = limiter.open(&opening, OpenedAt::now()) {
                        charge.keep();
                        by_address[from as usize].fetch_add(1, Ordering::Relaxed);
                        by_site[site as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // Meanwhile, and from addresses of their own.
        scope.spawn(|| {
            for visitor in 0..150 {
                let opening = Opening { address: Some(address(ADDRESSES + visitor)), ..websocket(&limits) };
                admitted(limiter.open(&opening, OpenedAt::now()));
            }
        });
    });
    let most = |counts: &[AtomicU32]| counts.iter().map(|count| count.load(Ordering::Relaxed)).max().unwrap();
    // Each site was asked for more than it may have, and got all of that.
    assert_eq!((most(&by_address), most(&by_site)), (20, 150));
    assert_eq!(used(&limiter, Some(SITE)), [0, 150, 150]);
    let total: u32 = by_site.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    assert_eq!(used(&limiter, None), [0, total + 150, total + 150]);
}
