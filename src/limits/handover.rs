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

use super::addresses::{self, AddressKey};
use super::charge::TakenParts;
use super::clock::Moment;
use super::counter::{UseCounter, UsedNow, Weight};
use super::limiter::{EXACT, Limiter};
use super::shares::SucceededHolder;
use super::widgets::{EmbedderCounter, WidgetCounter};

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
    /// Who holds the shares of this edge in a fleet.
    #[serde(default)]
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

/// Ledger of what the process before this one has told. Dropped, it ends the sessions that were open there.
#[derive(Debug)]
pub struct LimitLedger {
    limiter: Arc<Limiter>,
    /// Days since 1970 of the last batch.
    day: u32,
    embedders: HashMap<(Box<str>, Box<str>), LedgerEntry>,
    addresses: HashMap<(Box<str>, IpAddr), LedgerEntry>,
}

/// What the process before this one has counted of an embedder or an address.
struct LedgerEntry {
    parts: TakenParts,
    sessions: u32,
    today: u32,
}

impl ChangedCounters {
    /// Notes that the counters of a widget have changed. Called after the change, so that whoever asks for changes reads it.
    pub(super) fn note(
        &self,
        widget: &Arc<WidgetCounter>,
        embedder: Option<&Arc<EmbedderCounter>>,
        address: Option<AddressKey>,
    ) {
        if !self.is_on.load(Ordering::Acquire) {
            return;
        }
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
        let holder = self.shares.get().and_then(|shares| shares.holder());
        PassedCounts { day: now.day.number(), widgets: passed.into_values().collect(), holder }
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
        Some(PassedCounts { day: now.day.number(), widgets: passed.into_values().collect(), holder: None })
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

impl LimitLedger {
    /// An empty ledger.
    pub fn new(limiter: Arc<Limiter>) -> Self {
        Self { limiter, day: 0, embedders: HashMap::new(), addresses: HashMap::new() }
    }

    /// Takes a batch of changes in.
    pub fn add(&mut self, changes: PassedCounts) {
        self.apply(changes, false);
    }

    /// `is_whole`: everything that is counted there, and not what has changed.
    fn apply(&mut self, counts: PassedCounts, is_whole: bool) {
        let Self { limiter, day, embedders, addresses } = self;
        if *day != counts.day {
            *day = counts.day;
            embedders.values_mut().chain(addresses.values_mut()).for_each(|entry| entry.today = 0);
        }
        limiter.clock.adopt(counts.day);
        let now = limiter.clock.now();
        let is_today = counts.day == now.day.number();
        for PassedWidget { id, embedders: of_embedders, addresses: of_addresses } in counts.widgets {
            let widget = limiter.widgets.widget(&id);
            let parts = || TakenParts::none(limiter, Arc::clone(&widget), now.day, Weight::default());
            let mut minute = Vec::new();
            for passed in of_embedders {
                let entry = embedders.entry((id.clone(), passed.key.clone())).or_insert_with(|| {
                    let embedder = limiter.widgets.embedder(&widget, &passed.key, passed.listed);
                    let mut parts = parts();
                    (parts.of_embedder, parts.of_widget) = (Some((embedder, 0)), Some(0));
                    LedgerEntry::of(parts)
                });
                minute.extend_from_slice(&passed.minute);
                entry.apply(&now, &passed, is_whole, is_today);
            }
            minute.sort_unstable_by(|one, next| next.cmp(one));
            widget.counter.lock().used.add_minute(&now, &minute, EXACT);
            for passed in of_addresses {
                let entry = addresses.entry((id.clone(), passed.key)).or_insert_with(|| {
                    let key = AddressKey::new(widget.number, passed.key);
                    let (handle, ()) = limiter.addresses.with(key, |_| ());
                    let mut parts = parts();
                    parts.of_address = Some((handle, 0));
                    LedgerEntry::of(parts)
                });
                entry.apply(&now, &passed, is_whole, is_today);
            }
        }
    }
}

impl LedgerEntry {
    fn of(parts: TakenParts) -> Self {
        Self { parts, sessions: 0, today: 0 }
    }

    fn apply<K>(&mut self, now: &Moment, passed: &PassedUse<K>, is_whole: bool, is_today: bool) {
        let sessions = passed.sessions;
        let more = Weight { opens: 0, sessions: sessions.saturating_sub(self.sessions) };
        let fewer = Weight { opens: 0, sessions: self.sessions.saturating_sub(sessions) };
        self.parts.add(now, more);
        self.parts.give_back(fewer);
        let opens = passed.today.saturating_sub(self.today);
        if is_whole {
            self.add_whole(now, if is_today { opens } else { 0 }, &passed.minute);
        } else {
            self.parts.add(now, Weight { opens, sessions: 0 });
            // Those were counted at times that are not known here, so they stay in the minute.
            self.parts.give_back(Weight { opens: self.today.saturating_sub(passed.today), sessions: 0 });
        }
        (self.sessions, self.today) = (sessions, passed.today);
    }

    /// Adds opens of the day, of which those of the last minute are known by their times. The widget's minute is that of all
    /// embedders together, so it is not added here.
    fn add_whole(&self, now: &Moment, today: u32, minute: &[(u32, u32)]) {
        let add = |used: &mut UseCounter, runs| {
            used.add_earlier(now, today);
            used.add_minute(now, minute, runs);
        };
        let TakenParts { widget, of_address, of_embedder, of_widget, .. } = &self.parts;
        if let Some((handle, _)) = of_address {
            self.parts.limiter().addresses.with_found(handle, |used| add(used, addresses::RUNS));
        }
        if let Some((embedder, _)) = of_embedder {
            add(&mut embedder.counter.lock().used, EXACT);
        }
        if of_widget.is_some() {
            widget.counter.lock().used.add_earlier(now, today);
        }
        self.parts.opened(Weight { opens: today, sessions: 0 });
    }
}

impl Drop for LedgerEntry {
    fn drop(&mut self) {
        self.parts.give_back(Weight { opens: 0, sessions: self.sessions });
    }
}

impl std::fmt::Debug for LedgerEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { parts: _, sessions, today } = self;
        f.debug_struct("LedgerEntry").field("sessions", sessions).field("today", today).finish()
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
