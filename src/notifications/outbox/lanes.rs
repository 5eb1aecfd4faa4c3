//! Lanes: notifications that wait, in order within a widget and queue; of revocations, within a widget and embedder. Each lane
//! has one under way at a time, and one that fails holds up only its own lane.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Queued;
use crate::notifications::fact::QueueKind;

/// Notifications that wait. Their number is bounded by whoever adds them.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<LaneName, Lane>,
    /// Lanes with nothing under way: of each queue by the time of the next try and the number of what is first.
    due: HashMap<QueueKind, BTreeMap<(Instant, u64), LaneName>>,
    /// The lane of each number, of revocations and of all others: whichever has to go is first there.
    revocations: BTreeMap<u64, LaneName>,
    others: BTreeMap<u64, LaneName>,
    /// Bytes of all bodies, and of revocations alone.
    bytes: usize,
    revoked_bytes: usize,
    /// Some lanes may wait only because nothing was reached.
    is_unreached: bool,
}

/// Name of a lane: a queue, a widget, and of revocations the embedder. What is about the same session is in the same lane.
type LaneName = (QueueKind, Option<Arc<str>>, Option<Arc<str>>);

/// Lane: it is there while something is in it.
#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Arc<Queued>>,
    /// The first is under way.
    is_under_way: bool,
    next_try: Instant,
    /// How often the first was tried.
    tries: u32,
    failure: Option<TryFailure>,
}

/// Last failure of a notification that waits for another try.
#[derive(Clone, Debug)]
pub(super) struct TryFailure {
    pub(super) error: Box<str>,
    pub(super) at: Timestamp,
    /// The receiver could not be reached at all: once another arrives, this one can, too.
    pub(super) is_unreachable: bool,
}

/// Notification that has failed at least once and will be tried again.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) queued: Arc<Queued>,
    pub(super) tries: u32,
    pub(super) failure: TryFailure,
    pub(super) next_try: Instant,
}

impl Lanes {
    /// Adds a notification. `now`: it may be tried at once.
    pub(super) fn push(&mut self, queued: Arc<Queued>, now: Instant) {
        let [widget, embedder] =
            [&queued.widget, &queued.embedder].map(|text| text.as_deref().map(Arc::from));
        let name = (queued.queue, widget, embedder);
        self.bytes += queued.bytes();
        if queued.queue == QueueKind::Revocations {
            self.revoked_bytes += queued.bytes();
        }
        self.numbers_of(queued.queue).insert(queued.number, name.clone());
        let lane = self.lanes.entry(name.clone()).or_insert_with(|| Lane {
            waiting: VecDeque::new(),
            is_under_way: false,
            next_try: now,
            tries: 0,
            failure: None,
        });
        lane.waiting.push_back(queued);
        if lane.waiting.len() == 1 {
            self.settle(name);
        }
    }

    /// How many wait or are under way.
    pub(super) fn len(&self) -> usize {
        self.revocations.len() + self.others.len()
    }

    /// Bytes of what waits or is under way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many revocations wait or are under way, and their bytes.
    pub(super) fn revocations(&self) -> (usize, usize) {
        (self.revocations.len(), self.revoked_bytes)
    }

    /// Everything, each lane in its order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Queued>> {
        self.lanes.values().flat_map(|lane| &lane.waiting)
    }

    /// When the oldest was taken.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let firsts = [&self.revocations, &self.others].map(BTreeMap::first_key_value);
        let (number, name) = firsts.into_iter().flatten().min_by_key(|(number, _)| **number)?;
        self.lanes.get(name)?.waiting.iter().find(|queued| queued.number == *number).map(|first| first.taken)
    }

    /// Takes the next of a queue that is due, with how often it was tried. It is under way then.
    pub(super) fn begin(&mut self, queue: QueueKind, now: Instant) -> Option<(Arc<Queued>, u32)> {
        let due = self.due.get_mut(&queue)?;
        let first = due.first_entry().filter(|first| first.key().0 <= now)?;
        let name = first.remove();
        let lane = self.lanes.get_mut(&name)?;
        lane.is_under_way = true;
        lane.waiting.front().map(|queued| (Arc::clone(queued), lane.tries))
    }

    /// When the next of a queue is due.
    pub(super) fn next_due(&self, queue: QueueKind) -> Option<Instant> {
        self.due.get(&queue)?.first_key_value().map(|((next_try, _), _)| *next_try)
    }

    /// Ends the try of a notification, which leaves its lane. `None`: it is not under way here any more.
    pub(super) fn finish(&mut self, number: u64, now: Instant) -> Option<Arc<Queued>> {
        let (name, lane) = self.under_way(number)?;
        let queued = lane.waiting.pop_front()?;
        lane.reset(now);
        self.took(&queued);
        self.settle(name);
        Some(queued)
    }

    /// Ends the try of a notification, which stays first in its lane. `false`: it is not under way here any more.
    pub(super) fn retry(&mut self, number: u64, next_try: Instant, failure: TryFailure) -> bool {
        let Some((name, lane)) = self.under_way(number) else { return false };
        lane.is_under_way = false;
        lane.tries = lane.tries.saturating_add(1);
        let is_unreachable = failure.is_unreachable;
        (lane.next_try, lane.failure) = (next_try, Some(failure));
        self.is_unreached |= is_unreachable;
        self.settle(name);
        true
    }

    /// Has all lanes tried again now that wait only because nothing was reached.
    pub(super) fn reached(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_unreached) {
            self.hurry(now, |failure| failure.is_unreachable);
        }
    }

    /// Has all lanes tried again now that wait after a failure: another receiver may take what they have.
    pub(super) fn retry_all(&mut self, now: Instant) {
        self.is_unreached = false;
        self.hurry(now, |_| true);
    }

    fn hurry(&mut self, now: Instant, hurries: impl Fn(&TryFailure) -> bool) {
        for (name, lane) in &mut self.lanes {
            if lane.failure.as_ref().is_some_and(&hurries) && !lane.is_under_way && lane.next_try > now {
                let due = self.due.entry(name.0).or_default();
                due.remove(&(lane.next_try, lane.number()));
                lane.next_try = now;
                due.insert((now, lane.number()), name.clone());
            }
        }
    }

    /// Takes the oldest away that is not under way, of revocations only where there is nothing else.
    pub(super) fn evict(&mut self, now: Instant) -> Option<(Arc<Queued>, u32)> {
        // Those under way are few.
        let first = |numbers: &BTreeMap<u64, LaneName>| {
            let is_free = |number: u64, name| {
                let lane = self.lanes.get(name);
                lane.is_some_and(|lane| !(lane.is_under_way && lane.number() == number))
            };
            let found = numbers.iter().find(|(number, name)| is_free(**number, *name));
            found.map(|(number, name)| (*number, name.clone()))
        };
        let (number, name) = first(&self.others).or_else(|| first(&self.revocations))?;
        let lane = self.lanes.get_mut(&name)?;
        // The first, or the one behind that.
        let place = lane.waiting.iter().position(|queued| queued.number == number)?;
        let tries = if place == 0 { lane.tries } else { 0 };
        if place == 0 {
            self.due.entry(name.0).or_default().remove(&(lane.next_try, number));
        }
        let queued = lane.waiting.remove(place)?;
        self.took(&queued);
        if place == 0 {
            self.lanes.get_mut(&name)?.reset(now);
            self.settle(name);
        }
        Some((queued, tries))
    }

    /// Those that have failed and will be tried again, oldest first, at most so many.
    pub(super) fn failing(&self, most: usize) -> Vec<Failing> {
        let mut failing: Vec<Failing> = self.lanes.values().filter_map(Lane::failing).collect();
        failing.sort_unstable_by_key(|failing| failing.queued.number);
        failing.truncate(most);
        failing
    }

    /// Numbers of the class that a queue belongs to.
    fn numbers_of(&mut self, queue: QueueKind) -> &mut BTreeMap<u64, LaneName> {
        match queue {
            QueueKind::Revocations => &mut self.revocations,
            QueueKind::Usual | QueueKind::Tests => &mut self.others,
        }
    }

    fn under_way(&mut self, number: u64) -> Option<(LaneName, &mut Lane)> {
        let name = self.others.get(&number).or_else(|| self.revocations.get(&number))?.clone();
        let lane = self.lanes.get_mut(&name)?;
        (lane.is_under_way && lane.number() == number).then_some((name, lane))
    }

    fn took(&mut self, queued: &Queued) {
        self.numbers_of(queued.queue).remove(&queued.number);
        self.bytes -= queued.bytes();
        if queued.queue == QueueKind::Revocations {
            self.revoked_bytes -= queued.bytes();
        }
    }

    /// Puts a lane with nothing under way among those that are due, or takes an empty one away.
    fn settle(&mut self, name: LaneName) {
        let Some(lane) = self.lanes.get(&name) else { return };
        if lane.waiting.is_empty() {
            self.lanes.remove(&name);
        } else {
            self.due.entry(name.0).or_default().insert((lane.next_try, lane.number()), name);
        }
    }
}

impl Lane {
    /// The number of what is first.
    fn number(&self) -> u64 {
        self.waiting.front().map_or(0, |queued| queued.number)
    }

    /// Another is first now.
    fn reset(&mut self, now: Instant) {
        (self.is_under_way, self.tries, self.next_try, self.failure) = (false, 0, now, None);
    }

    fn failing(&self) -> Option<Failing> {
        let (queued, failure) = (self.waiting.front()?, self.failure.clone()?);
        Some(Failing { queued: Arc::clone(queued), tries: self.tries, failure, next_try: self.next_try })
    }
}

#[cfg(test)]
mod tests;
