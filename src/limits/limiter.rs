//! Counter of opens and sessions.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use embedgate_policy::limits::{LimitMode, LimitPart, Limits};

use super::addresses::{self, AddressKey, AddressTable};
use super::charge::{Charge, CountedAt, TakenParts};
use super::clock::LimitClock;
use super::counter::{PassedLimit, Taken, UseCounter, Weight};
use super::handover::ChangedCounters;
use super::opening::{LimitRefusal, Opened, OpenedAt, Opening};
use super::reached::ReachedLimits;
use super::shares::{self, Budget, ShareWait, Shares, SucceededHolder};
use super::widgets::{CountedUse, SHARED, WidgetCounter, WidgetTable};
use crate::notifications::notifier::Notify;
use crate::telemetry::metrics::LimitMetrics;

mod charging;
mod reading;

use charging::{Charging, CountedPart, first_of_crowd, has_room};

/// Runs that a minute of a widget or an embedder may have: as many as it needs to be exact.
pub(super) const EXACT: usize = usize::MAX;

/// Counter of what the embedders of each widget with limits have opened.
pub struct Limiter {
    pub(super) clock: LimitClock,
    pub(super) widgets: WidgetTable,
    pub(super) addresses: AddressTable,
    /// Shares of this edge in the limits of a fleet.
    pub(super) shares: OnceLock<Arc<dyn Shares>>,
    /// Who held them in the process whose counts this one has taken over.
    pub(super) succeeded: OnceLock<SucceededHolder>,
    reached: ReachedLimits,
    /// What another process has to know.
    pub(super) changed: ChangedCounters,
    /// Widgets with opens that are not on disk as they are now.
    pub(super) opened: Mutex<Vec<Arc<WidgetCounter>>>,
    /// What was on disk of the day is counted.
    pub(super) has_kept_day: AtomicBool,
    /// Memory of the ledger of another process, in bytes.
    pub(super) ledger_bytes: AtomicUsize,
}

/// What comes of an open that is not let through.
enum NotAdmitted {
    Refused(LimitRefusal),
    Waits(ShareWait),
}

impl Limiter {
    /// A limiter that has counted nothing. `notices`: who is told that a limit was reached.
    pub fn new(notices: Arc<dyn Notify>, metrics: LimitMetrics) -> Arc<Self> {
        Arc::new(Self {
            clock: LimitClock::new(),
            widgets: WidgetTable::new(),
            addresses: AddressTable::new(addresses::BYTES),
            shares: OnceLock::new(),
            succeeded: OnceLock::new(),
            reached: ReachedLimits::new(notices, metrics),
            changed: ChangedCounters::default(),
            opened: Mutex::default(),
            has_kept_day: AtomicBool::new(false),
            ledger_bytes: AtomicUsize::new(0),
        })
    }

    /// Divides the limits of widgets and embedders among the edges of a fleet from now on. The first call counts.
    pub fn divide(&self, shares: Arc<dyn Shares>) {
        // They are those of the fleet that this edge is in for as long as it runs.
        let _ = self.shares.set(shares);
        self.widgets.lower_newcomers(shares::NEWCOMERS);
    }

    /// Gives back the shares that are not used, as this edge is about to stop.
    pub async fn give_back(&self) {
        if let Some(shares) = self.shares.get() {
            shares.give_back().await;
        }
    }

    /// Who held the shares in the process whose counts this one has taken over.
    pub fn succeeded(&self) -> Option<SucceededHolder> {
        self.succeeded.get().cloned()
    }

    /// Charges an open, or says which limit it passes. What is refused is charged nothing. `at`: when the clocks were read,
    /// which was a moment ago.
    pub fn open(self: &Arc<Self>, opening: &Opening<'_>, at: OpenedAt) -> Opened {
        let weight = Weight { opens: opening.is_open.into(), sessions: opening.is_session.into() };
        if weight == Weight::default() {
            return Opened::Admitted { charge: Charge::default(), beyond: None };
        }
        let charging = Charging { opening, now: self.clock.moment(at), weight };
        let widget = self.widgets.widget(opening.widget);
        // Dropped where it is not let through, it gives back what was taken until then.
        let mut charge = Charge::default();
        let taken = charge.begin(TakenParts::none(self, widget, charging.now.day, weight));
        match self.take(&charging, taken) {
            Ok(beyond) => {
                taken.opened(weight);
                taken.note();
                Opened::Admitted { charge, beyond }
            }
            Err(NotAdmitted::Refused(refusal)) => Opened::Refused(refusal),
            Err(NotAdmitted::Waits(wait)) => Opened::Waits(wait),
        }
    }

    /// Charges a session that is there already, whatever the limits say: one that was open before its widget had limits, or
    /// one that has left the edge.
    pub fn occupy(self: &Arc<Self>, opening: &Opening<'_>) -> Charge {
        let limits = Limits::default();
        let opening = Opening { limits: &limits, is_open: false, is_session: true, ..*opening };
        let (now, weight) = (self.clock.now(), Weight { opens: 0, sessions: 1 });
        let mut charge = Charge::default();
        let taken =
            charge.begin(TakenParts::none(self, self.widgets.widget(opening.widget), now.day, weight));
        let add = |used: &mut UseCounter, runs| CountedAt::of(weight, used.add(&now, weight, runs));
        let address = opening.address.map(|address| AddressKey::new(taken.widget.number, address));
        taken.of_address = address.map(|key| self.addresses.with(key, |used| add(used, addresses::RUNS)));
        let embedder = self.widgets.embedder(&taken.widget, opening.embedder, opening.is_listed);
        let at = add(&mut embedder.counter.lock().used, EXACT);
        taken.of_embedder = Some((embedder, at));
        taken.of_widget = Some(add(&mut taken.widget.counter.lock().used, EXACT));
        taken.note();
        charge
    }

    /// How much of a budget is used on this edge.
    pub fn used(&self, budget: &Budget<'_>) -> u32 {
        let Some(widget) = self.widgets.find(budget.widget) else { return 0 };
        let now = self.clock.now();
        let used = match budget.embedder {
            None => widget.counter.lock().used.used(&now),
            Some(key) => {
                widget.find(key).map(|embedder| embedder.counter.lock().used.used(&now)).unwrap_or_default()
            }
        };
        used.of(budget.kind)
    }

    /// Drops counters that count nothing any more, and notes the memory of the others.
    pub fn sweep(&self) {
        let now = self.clock.now();
        self.addresses.sweep(&now);
        let ledger = self.ledger_bytes.load(Ordering::Relaxed);
        let bytes = self.widgets.sweep(&now) + self.addresses.bytes() + ledger;
        self.reached.metrics.set_bytes(bytes as u64);
    }

    /// Notes that opens of a widget were counted or given back, after that.
    pub(super) fn opened_in(&self, widget: &Arc<WidgetCounter>) {
        if !widget.is_changed.swap(true, Ordering::AcqRel) {
            self.opened.lock().push(Arc::clone(widget));
        }
    }

    /// Takes from each part. What is taken stands in `taken`, also where a later part refuses. Returns the limit that is passed
    /// where limits are only monitored; later parts are charged no opens then, as they would not be if it were refused.
    fn take(
        &self,
        charging: &Charging<'_>,
        taken: &mut TakenParts,
    ) -> Result<Option<LimitRefusal>, NotAdmitted> {
        let opening = charging.opening;
        let mut beyond = None;
        let only_noted = Charging { weight: Weight { opens: 0, ..charging.weight }, ..*charging };
        if let Some(address) = opening.address {
            let (part, key) = (LimitPart::Address, AddressKey::new(taken.widget.number, address));
            let comparison = charging.comparison(part, addresses::RUNS);
            let (handle, took) =
                self.addresses.with(key, |used| used.take(&charging.now, charging.weight, comparison));
            let told = &taken.widget.told_of_addresses;
            let passed = |passed: PassedLimit| {
                self.passed(charging, part, passed, || first_of_crowd(told, passed.kind, &charging.now))
            };
            match took {
                Ok(took) => {
                    beyond = took.beyond.map(passed);
                    taken.of_address = Some((handle, CountedAt::of(charging.weight, took.at)));
                }
                Err(refused) => return Err(NotAdmitted::Refused(passed(refused))),
            }
        }

        let charging = if beyond.is_none() { charging } else { &only_noted };
        let embedder = self.widgets.embedder(&taken.widget, opening.embedder, opening.is_listed);
        let took = self.take_of(charging, &CountedPart::of_embedder(&embedder, &taken.widget))?;
        let (embedder, _) = taken.of_embedder.insert((embedder, CountedAt::of(charging.weight, took.at)));
        // What is noted once is not noted again, so nothing is waited for after it.
        if beyond.is_none() {
            let of_embedder = CountedPart::of_embedder(embedder, &taken.widget);
            let passed = self.within_share(charging, &of_embedder, &took)?;
            beyond = passed.map(|passed| self.noted(charging, &of_embedder, passed));
        }

        let charging = if beyond.is_none() { charging } else { &only_noted };
        let of_widget = CountedPart::of_widget(&taken.widget);
        let took = self.take_of(charging, &of_widget)?;
        taken.of_widget = Some(CountedAt::of(charging.weight, took.at));
        if beyond.is_none() {
            let passed = self.within_share(charging, &of_widget, &took)?;
            beyond = passed.map(|passed| self.noted(charging, &of_widget, passed));
        }
        Ok(beyond)
    }

    /// Takes from a part that is counted exactly.
    fn take_of(&self, charging: &Charging<'_>, counted: &CountedPart<'_>) -> Result<Taken, NotAdmitted> {
        let comparison = charging.comparison(counted.part, EXACT);
        let took = {
            let CountedUse { used, told, .. } = &mut *counted.counter.lock();
            let took = used.take(&charging.now, charging.weight, comparison);
            if let Ok(took) = &took
                // Where limits are shared, there is room once the share has some.
                && self.shares.get().is_none()
                && has_room(comparison.limits, took)
            {
                told.below();
            }
            took
        };
        took.map_err(|refused| NotAdmitted::Refused(self.noted(charging, counted, refused)))
    }

    /// Compares what was taken with the share of this edge, where limits are shared. Only now: a share that was made smaller
    /// before is seen here, and whoever makes it smaller later sees what was taken. Returns the limit that is passed where
    /// limits are only monitored.
    #[inline]
    fn within_share(
        &self,
        charging: &Charging<'_>,
        counted: &CountedPart<'_>,
        took: &Taken,
    ) -> Result<Option<PassedLimit>, NotAdmitted> {
        match self.shares.get() {
            Some(shares) if took.beyond.is_none() => {
                self.within_share_of(shares.as_ref(), charging, counted, took)
            }
            _ => Ok(took.beyond),
        }
    }

    // Not a part of the code of an edge that is alone.
    #[inline(never)]
    fn within_share_of(
        &self,
        shares: &dyn Shares,
        charging: &Charging<'_>,
        counted: &CountedPart<'_>,
        took: &Taken,
    ) -> Result<Option<PassedLimit>, NotAdmitted> {
        let (Charging { opening, now, weight }, embedder) = (charging, counted.embedder);
        let is_newcomer = embedder.is_some_and(|key| key != SHARED) && !(opening.is_listed)();
        let budget = |kind| Budget { widget: opening.widget, embedder, kind, is_newcomer };
        let day = now.day.number();
        let limits = opening.limits.of(counted.part);
        let spent = took.before.spent(limits, *weight, |kind, limit, used| {
            used >= shares.share(&budget(kind), limit.get(), used, day)
        });
        let Some((kind, limit)) = spent else {
            if has_room(limits, took) {
                counted.counter.lock().told.below();
            }
            return Ok(None);
        };
        let (used, is_monitoring) = (took.before.of(kind), opening.limits.mode == LimitMode::Monitor);
        if (opening.may_wait || is_monitoring)
            && let Some(wait) = shares.more(&budget(kind), limit.get(), used, day)
        {
            // What is let through in any case waits for nothing, and passes no limit of which there is more.
            return if is_monitoring { Ok(None) } else { Err(NotAdmitted::Waits(wait)) };
        }
        // There is room again once one of those is out that were counted before this one.
        let room = NonZeroU32::MIN.saturating_add(used);
        let passed = PassedLimit { limit, ..counted.counter.lock().used.passed(now, kind, room) };
        match opening.limits.mode {
            LimitMode::Monitor => Ok(Some(passed)),
            LimitMode::Enforce => Err(NotAdmitted::Refused(self.noted(charging, counted, passed))),
        }
    }

    fn noted(&self, charging: &Charging<'_>, counted: &CountedPart<'_>, passed: PassedLimit) -> LimitRefusal {
        self.passed(charging, counted.part, passed, || counted.is_first(passed.kind, &charging.now))
    }

    /// Counts and tells a limit that is passed.
    fn passed(
        &self,
        charging: &Charging<'_>,
        part: LimitPart,
        passed: PassedLimit,
        is_first: impl FnOnce() -> bool,
    ) -> LimitRefusal {
        let PassedLimit { kind, limit, retry_after } = passed;
        let mode = charging.opening.limits.mode;
        let refusal = LimitRefusal { part, kind, limit, mode, retry_after };
        self.reached.passed(charging.opening, &refusal, is_first);
        refusal
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
