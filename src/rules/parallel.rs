//! Work on all cores, for batches large enough to pay for the threads.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread;

/// Deals items out, in their order, as many shares as there are cores; few items are one share.
pub(in crate::rules) fn shares<T>(mut items: Vec<T>, at_least: usize) -> Vec<Vec<T>> {
    if items.len() <= at_least {
        // The system is not asked for its cores then: that reads several files.
        return vec![items];
    }
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = items.len().div_ceil(cores).max(at_least);
    let mut shares = Vec::new();
    while items.len() > share {
        shares.push(items.split_off(items.len() - share));
    }
    shares.push(items);
    shares.reverse();
    shares
}

/// The results in the order of the jobs, each done on a thread of its own; one on this thread.
pub(in crate::rules) fn on_threads<J: Send, R: Send>(
    mut jobs: Vec<J>,
    work: impl Fn(J) -> R + Sync,
) -> Vec<R> {
    let Some(last) = jobs.pop() else { return Vec::new() };
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(move || work(job))).collect();
        let last = work(last);
        let done =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        let mut results: Vec<R> = done.collect();
        results.push(last);
        results
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_item_is_dealt_once_and_in_order() {
        for count in [0, 1, 7, 8, 9, 1000] {
            let shares = shares((0..count).collect(), 8);
            assert_eq!(shares.concat(), (0..count).collect::<Vec<u32>>());
            let sums = on_threads(shares, |share| share.into_iter().sum::<u32>());
            assert_eq!(sums.into_iter().sum::<u32>(), (0..count).sum::<u32>());
        }
    }
}
