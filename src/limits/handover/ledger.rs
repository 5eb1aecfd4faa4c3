//! Ledger of what the process before this one tells.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{PassedCounts, PassedUse, PassedWidget};
use crate::limits::addresses::{self, AddressKey};
use crate::limits::charge::{CountedAt, TakenParts};
use crate::limits::clock::Moment;
use crate::limits::counter::{UseCounter, Weight};
use crate::limits::limiter::{EXACT, Limiter};
use crate::limits::widgets::PLACE;

/// Ledger of what the process before this one has told. Dropped, it ends the sessions that were open there.
#[derive(Debug)]
pub struct LimitLedger {
    limiter: Arc<Limiter>,
    /// Days since 1970 of the last batch.
    day: u32,
    pub(super) embedders: HashMap<(Box<str>, Box<str>), LedgerEntry>,
    pub(super) addresses: HashMap<(Box<str>, IpAddr), LedgerEntry>,
    /// Memory of the entries, but for places that are empty.
    bytes: usize,
}

/// What the process before this one has counted of an embedder or an address.
pub(super) struct LedgerEntry {
    parts: TakenParts,
    sessions: u32,
    today: u32,
}

impl LimitLedger {
    /// An empty ledger.
    pub fn new(limiter: Arc<Limiter>) -> Self {
        Self { limiter, day: 0, embedders: HashMap::new(), addresses: HashMap::new(), bytes: 0 }
    }

    /// Takes a batch of changes in.
    pub fn add(&mut self, changes: PassedCounts) {
        self.apply(changes, false);
    }

    /// `is_whole`: everything that is counted there, and not what has changed.
    pub(super) fn apply(&mut self, counts: PassedCounts, is_whole: bool) {
        if self.day != counts.day {
            self.day = counts.day;
            self.begin_day();
        }
        let Self { limiter, day: _, embedders, addresses, bytes } = self;
        let counts_as = limiter.clock.adopt(counts.day);
        let now = limiter.clock.now();
        let is_today = counts_as == now.day.number();
        for PassedWidget { id, embedders: of_embedders, addresses: of_addresses } in counts.widgets {
            let widget = limiter.widgets.widget(&id);
            let parts = || TakenParts::none(limiter, Arc::clone(&widget), now.day, Weight::default());
            let mut minute = Vec::new();
            for passed in of_embedders {
                let entry = embedders.entry((id.clone(), passed.key.clone())).or_insert_with(|| {
                    let embedder = limiter.widgets.embedder(&widget, &passed.key, &|| passed.listed);
                    let mut parts = parts();
                    parts.of_embedder = Some((embedder, CountedAt::LONG_AGO));
                    parts.of_widget = Some(CountedAt::LONG_AGO);
                    *bytes += bytes_of_embedder(&id, &passed.key);
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
                    parts.of_address = Some((handle, CountedAt::LONG_AGO));
                    *bytes += bytes_of_address(&id);
                    LedgerEntry::of(parts)
                });
                entry.apply(&now, &passed, is_whole, is_today);
            }
        }
        limiter.ledger_bytes.store(*bytes, Ordering::Relaxed);
    }

    /// Forgets the opens of the day before, and with them all entries but those of open sessions.
    fn begin_day(&mut self) {
        let Self { embedders, addresses, bytes, .. } = self;
        let goes_on = |entry: &mut LedgerEntry| {
            entry.today = 0;
            entry.sessions > 0
        };
        *bytes = 0;
        embedders.retain(|(id, key), entry| {
            let goes_on = goes_on(entry);
            *bytes += if goes_on { bytes_of_embedder(id, key) } else { 0 };
            goes_on
        });
        addresses.retain(|(id, _), entry| {
            let goes_on = goes_on(entry);
            *bytes += if goes_on { bytes_of_address(id) } else { 0 };
            goes_on
        });
        embedders.shrink_to_fit();
        addresses.shrink_to_fit();
    }
}

impl Drop for LimitLedger {
    fn drop(&mut self) {
        self.limiter.ledger_bytes.store(0, Ordering::Relaxed);
    }
}

fn bytes_of_embedder(id: &str, key: &str) -> usize {
    size_of::<((Box<str>, Box<str>), LedgerEntry)>() + id.len() + key.len() + PLACE
}

fn bytes_of_address(id: &str) -> usize {
    size_of::<((Box<str>, IpAddr), LedgerEntry)>() + id.len() + PLACE
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
        self.sessions = sessions;
        self.parts.day = now.day;
        // Opens of another day are none of this one.
        let today = if is_today { passed.today } else { self.today };
        let opens = today.saturating_sub(self.today);
        if is_whole {
            self.add_whole(now, opens, &passed.minute);
        } else {
            self.parts.add(now, Weight { opens, sessions: 0 });
            // Those were counted at times that are not known here, so they stay in the minute.
            self.parts.give_back(Weight { opens: self.today.saturating_sub(today), sessions: 0 });
        }
        self.today = today;
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
