//! Counts that pass to another process in an upgrade.
//!
//! The old process hands over [everything that it has counted](Limiter::hand_over) with the store, so the new one begins with
//! the same minutes, days and sessions. What is opened and ends in the old process after that, it tells in
//! [batches](Limiter::changes): of each counter that has changed, how many sessions it has and how many opens it has counted on
//! this day. The new process keeps a [`LimitLedger`] of what the old one told, so it can tell what is new, and takes the
//! sessions of the old process off once that is gone. A session of an older process stands in the ledger of the one after it,
//! which tells it on, so a chain of old processes works like one.
//!
//! Until the new process is the edge, both accept connections, and neither knows what the other counts in that moment. Nor
//! does the old process learn what the new one counts when it answers the last requests on its kept connections. These opens
//! are counted, but one may be let through that passes a limit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::addresses::AddressKey;
use super::clock::Moment;
use super::counter::{UseCounter, UsedNow};
use super::limiter::Limiter;
use super::shares::SucceededHolder;
use super::widgets::{EmbedderCounter, WidgetCounter};

mod ledger;

pub use ledger::LimitLedger;

/// Counters and milliseconds of addresses that are handed over at most. Those of widgets and embedders are handed over whole.
const MOST_OF_ADDRESSES: usize = 500_000;

/// Counters that have changed since the last batch, once another process has to know.
#[derive(Debug, Default)]
pub(super) struct ChangedCounters {
    is_on: AtomicBool,
    found: Mutex<FoundChanges>,
}

#[derive(Debug, Default)]
struct FoundChanges {
    /// By where they are in memory.
    embedders: HashMap<usize, (Arc<WidgetCounter>, Arc<EmbedderCounter>)>,
    addresses: HashMap<AddressKey, Arc<WidgetCounter>>,
}

/// Counts of another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassedCounts {
    /// Days since 1970.
    day: u32,
    widgets: Vec<PassedWidget>,
    /// Whether what is on disk of the day is in them.
    has_kept_day: bool,
    /// Who holds the shares of this edge in a fleet.
    holder: Option<SucceededHolder>,
}

/// Counts of a widget. Its own are those of its embedders together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct PassedWidget {
    id: Box<str>,
    embedders: Vec<PassedUse<Box<str>>>,
    addresses: Vec<PassedUse<IpAddr>>,
}

/// Counts of an embedder or an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PassedUse<K> {
    key: K,
    /// Whether an entry names it exactly.
    #[serde(default)]
    listed: bool,
    #[serde(default)]
    sessions: u32,
    /// Opens of the day.
    #[serde(default)]
    today: u32,
    /// Opens of the last minute: how long ago, in milliseconds, and how many. Only when everything is handed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    minute: Vec<(u32, u32)>,
}

impl PassedCounts {
    /// Whether what is on disk of the day is in them.
    pub fn has_kept_day(&self) -> bool {
        self.has_kept_day
    }
}

impl ChangedCounters {
    /// Whether another process has to know of changes.
    #[inline]
    pub(super) fn are_noted(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Notes that the counters of a widget have changed. Called after the change, so that whoever asks for changes reads it.
    pub(super) fn note(
        &self,
        widget: &Arc<WidgetCounter>,
        embedder: Option<&Arc<EmbedderCounter>>,
        address: Option<AddressKey>,
    ) {
        let mut found = self.found.lock();
        if let Some(embedder) = embedder {
            let change = || (Arc::clone(widget), Arc::clone(embedder));
            found.embedders.entry(Arc::as_ptr(embedder).addr()).or_insert_with(change);
        }
        if let Some(address) = address {
            found.addresses.entry(address).or_insert_with(|| Arc::clone(widget));
        }
    }
}

impl Limiter {
    /// Everything that is counted, for the process that takes over. From now on, changes are noted for it.
    pub fn hand_over(&self) -> PassedCounts {
        *self.changed.found.lock() = FoundChanges::default();
        // Before anything is read, so that no change is missed in between.
        self.changed.is_on.store(true, Ordering::Release);
        let now = self.clock.now();
        let widgets = self.widgets.all();
        let mut passed: HashMap<u64, PassedWidget> = HashMap::new();
        for widget in &widgets {
            let embedders = widget.embedders();
            let whole = embedders.iter().filter_map(|embedder| {
                let mut counter = embedder.counter.lock();
                PassedUse::whole(embedder.key.clone(), embedder.is_listed, &mut counter.used, &now)
            });
            let of_widget =
                PassedWidget { id: widget.id.clone(), embedders: whole.collect(), addresses: Vec::new() };
            passed.insert(widget.number, of_widget);
        }
        let mut room = MOST_OF_ADDRESSES;
        self.addresses.for_each(|key, used| {
            let Some(of_widget) = passed.get_mut(&key.widget).filter(|_| room > 0) else { return };
            if let Some(whole) = PassedUse::whole(key.network, false, used, &now) {
                room = room.saturating_sub(1 + whole.minute.len());
                of_widget.addresses.push(whole);
            }
        });
        // The least recently used first, so that those are forgotten first there, too.
        passed.values_mut().for_each(|of_widget| of_widget.addresses.reverse());
        PassedCounts {
            day: now.day.number(),
            widgets: passed.into_values().collect(),
            has_kept_day: self.has_kept_day.load(Ordering::Acquire),
            holder: self.shares.get().and_then(|shares| shares.holder()),
        }
    }

    /// Notes no changes any more: no process takes over.
    pub fn keep_counts(&self) {
        self.changed.is_on.store(false, Ordering::Release);
        *self.changed.found.lock() = FoundChanges::default();
    }

    /// What has changed since the last batch; `None` if nothing has.
    pub fn changes(&self) -> Option<PassedCounts> {
        let FoundChanges { embedders, addresses } = std::mem::take(&mut *self.changed.found.lock());
        if embedders.is_empty() && addresses.is_empty() {
            return None;
        }
        let now = self.clock.now();
        let mut passed: HashMap<u64, PassedWidget> = HashMap::new();
        for (widget, embedder) in embedders.into_values() {
            let used = embedder.counter.lock().used.used(&now);
            let changed = PassedUse::changed(embedder.key.clone(), embedder.is_listed, used);
            PassedWidget::of(&mut passed, &widget).embedders.push(changed);
        }
        for (key, widget) in addresses {
            // One that was forgotten counts nothing.
            let used = self.addresses.with_present(&key, |used| used.used(&now)).unwrap_or_default();
            let changed = PassedUse::changed(key.network, false, used);
            PassedWidget::of(&mut passed, &widget).addresses.push(changed);
        }
        let widgets = passed.into_values().collect();
        Some(PassedCounts { day: now.day.number(), widgets, ..PassedCounts::default() })
    }

    /// Takes over everything that another process has counted, which will tell of changes.
    pub fn take_over(self: &Arc<Self>, counts: PassedCounts) -> LimitLedger {
        let mut ledger = LimitLedger::new(Arc::clone(self));
        if let Some(holder) = counts.holder.clone() {
            // Only one process is succeeded.
            let _ = self.succeeded.set(holder);
        }
        ledger.apply(counts, true);
        ledger
    }
}

impl PassedWidget {
    fn of<'p>(passed: &'p mut HashMap<u64, Self>, widget: &WidgetCounter) -> &'p mut Self {
        let made = || Self { id: widget.id.clone(), ..Self::default() };
        passed.entry(widget.number).or_insert_with(made)
    }
}

impl<K> PassedUse<K> {
    /// Everything that a counter has counted; `None` if that is nothing.
    fn whole(key: K, listed: bool, counter: &mut UseCounter, now: &Moment) -> Option<Self> {
        let used = counter.used(now);
        if used == UsedNow::default() {
            return None;
        }
        Some(Self { minute: counter.ages(now), ..Self::changed(key, listed, used) })
    }

    fn changed(key: K, listed: bool, used: UsedNow) -> Self {
        Self { key, listed, sessions: used.sessions, today: used.today, minute: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
