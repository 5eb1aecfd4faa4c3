//! Opens of the last 60 seconds, to the millisecond.

use std::collections::VecDeque;
use std::time::Duration;

/// Length of the minute, in milliseconds.
pub(super) const MINUTE: u64 = 60_000;

/// Age at which an open is out of every minute that has not ended: times are rounded down to the millisecond, so at an age
/// of 60,000 less than a minute may have gone by.
const OUT: u64 = MINUTE + 1;

/// Opens of the last minute: how many there were in each millisecond.
#[derive(Debug, Default)]
pub(super) struct MinuteWindow {
    /// From the oldest to the newest.
    runs: VecDeque<OpenRun>,
    total: u32,
    /// The last time of which this knows. It never goes back, though threads may come here in another order than that in which
    /// they have read the clock.
    newest: u64,
}

/// Opens of one millisecond.
#[derive(Clone, Copy, Debug)]
struct OpenRun {
    /// The low bits of the time. None is more than a minute older than the newest, so they tell the whole.
    at: u32,
    count: u32,
}

impl MinuteWindow {
    /// Opens within the last minute.
    pub(super) fn count(&mut self, now: u64) -> u32 {
        if now > self.newest {
            if now - self.newest >= OUT {
                self.runs.clear();
                self.total = 0;
            }
            self.newest = now;
            while let Some(run) = self.runs.front().filter(|run| self.age(run) >= OUT) {
                self.total -= run.count;
                self.runs.pop_front();
            }
        }
        self.total
    }

    /// Adds opens to those that were [counted](Self::count) just now, and returns at which time, for [`Self::take_back`].
    /// `most`: so many runs are kept; beyond, the oldest ones are counted as if they were older.
    pub(super) fn add_counted(&mut self, count: u32, most: usize) -> u64 {
        if count == 0 {
            return self.newest;
        }
        let at = self.newest as u32;
        self.total = self.total.saturating_add(count);
        match self.runs.back_mut() {
            Some(run) if run.at == at => run.count = run.count.saturating_add(count),
            _ => {
                self.bound(most.saturating_sub(1));
                self.runs.push_back(OpenRun { at, count });
            }
        }
        self.newest
    }

    /// Counts opens of before: how many so long ago, in milliseconds, the oldest first.
    pub(super) fn add_past(&mut self, now: u64, ages: &[(u32, u32)], most: usize) {
        self.count(now);
        for (age, count) in ages {
            let age = u64::from(*age) + self.newest.saturating_sub(now);
            if age >= OUT || *count == 0 {
                continue;
            }
            let at = (self.newest as u32).wrapping_sub(age as u32);
            let place = self.runs.partition_point(|run| self.age(run) > age);
            match self.runs.get_mut(place) {
                Some(run) if run.at == at => run.count = run.count.saturating_add(*count),
                _ => self.runs.insert(place, OpenRun { at, count: *count }),
            }
            self.total = self.total.saturating_add(*count);
        }
        self.bound(most);
    }

    /// Joins the oldest runs until there are no more than so many.
    fn bound(&mut self, most: usize) {
        while self.runs.len() > most.max(1) {
            if let Some(oldest) = self.runs.pop_front()
                && let Some(next) = self.runs.front_mut()
            {
                *next = OpenRun { at: oldest.at, count: next.count.saturating_add(oldest.count) };
            }
        }
    }

    /// Takes back opens that were counted at this time, unless they are out already.
    pub(super) fn take_back(&mut self, at: u64, count: u32) {
        let (newest, since) = (self.newest, self.newest.saturating_sub(at));
        let age = |run: &OpenRun| u64::from((newest as u32).wrapping_sub(run.at));
        // The run of that time, or the older one that it was joined with.
        let Some(place) = self.runs.partition_point(|run| age(run) >= since).checked_sub(1) else { return };
        if since >= OUT {
            return;
        }
        if let Some(run) = self.runs.get_mut(place) {
            let taken = run.count.min(count);
            run.count -= taken;
            self.total -= taken;
            if run.count == 0 {
                self.runs.remove(place);
            }
        }
    }

    /// Time until fewer opens than this are within the last minute.
    pub(super) fn until_below(&mut self, now: u64, limit: u32) -> Duration {
        let mut left = self.count(now);
        let mut until = 0;
        for run in &self.runs {
            if left < limit {
                break;
            }
            left -= run.count;
            until = OUT.saturating_sub(self.age(run));
        }
        Duration::from_millis(until)
    }

    /// The opens, the oldest first: how long ago, in milliseconds, and how many.
    pub(super) fn ages(&mut self, now: u64) -> Vec<(u32, u32)> {
        self.count(now);
        self.runs.iter().map(|run| ((self.newest as u32).wrapping_sub(run.at), run.count)).collect()
    }

    /// Memory beside its own size.
    pub(super) fn heap(&self) -> usize {
        self.runs.capacity() * size_of::<OpenRun>()
    }

    /// Lets go of memory that an empty window does not need.
    pub(super) fn shrink(&mut self) {
        if self.runs.is_empty() {
            self.runs = VecDeque::new();
        }
    }

    fn age(&self, run: &OpenRun) -> u64 {
        (self.newest as u32).wrapping_sub(run.at).into()
    }
}

#[cfg(test)]
mod tests;
