//! Sweep of what is kept of widgets that were deleted.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::ActivityKeeper;

/// Records that each sweep looks at.
const SWEPT: usize = 1000;

/// A record of a widget that was deleted is kept for so long after its last sighting: a widget can be brought back.
pub(super) const FORGOTTEN: SignedDuration = SignedDuration::from_hours(30 * 24);

impl ActivityKeeper {
    /// Takes away what nobody can see any more: records, a few of all at a time, and places among those that were refused
    /// most often.
    pub(super) fn sweep(&self) -> Option<Duration> {
        let book = self.rules.load_full();
        // Not during a write.
        let mut counting = self.counting.lock();
        let from = counting.swept.take();
        // Before the first rules, every widget is unknown.
        if self.store.is_lent() || book.generation() == 0 {
            return None;
        }
        let is_known = |id: &str| book.get(id).is_some();
        let swept = self.store.ids(from.as_deref(), SWEPT).and_then(|ids| {
            let limit = Timestamp::now().as_second() - FORGOTTEN.as_secs();
            let mut old = Vec::new();
            for id in ids.iter().filter(|id| !is_known(id)) {
                // One that can't be read is of no use either.
                let is_old = self.store.widget(id)?.is_none_or(|record| i64::from(record.last) < limit);
                old.extend(is_old.then_some(id));
            }
            if !old.is_empty() || self.store.about(|about| about.most_refused.has_unknown(is_known))? {
                self.store.write(|batch| {
                    batch.about.most_refused.retain(is_known);
                    old.iter().try_for_each(|id| batch.forget(id))
                })?;
            }
            Ok(ids.into_iter().next_back())
        });
        // An error is told by the next write.
        counting.swept = swept.unwrap_or_default();
        None
    }
}
