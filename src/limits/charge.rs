//! What one open has taken of its widget's limits.

use std::fmt;
use std::sync::Arc;

use super::addresses::{self, AddressHandle};
use super::clock::{LimitDay, Moment};
use super::counter::{UseCounter, Weight};
use super::limiter::{EXACT, Limiter};
use super::widgets::{EmbedderCounter, WidgetCounter};

/// Charge of one open. Dropped before it is [kept](Self::keep), it gives everything back; kept, its opens stay counted, and
/// its session ends when it is dropped.
#[derive(Default)]
pub struct Charge {
    /// `None`: nothing was taken.
    taken: Option<TakenParts>,
    is_kept: bool,
}

/// What was taken of each part.
pub(super) struct TakenParts {
    limiter: Arc<Limiter>,
    pub(super) widget: Arc<WidgetCounter>,
    pub(super) day: LimitDay,
    weight: Weight,
    pub(super) of_address: Option<(AddressHandle, CountedAt)>,
    pub(super) of_embedder: Option<(Arc<EmbedderCounter>, CountedAt)>,
    pub(super) of_widget: Option<CountedAt>,
}

/// When the opens of a part were counted, if it has counted them.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountedAt(Option<u64>);

impl CountedAt {
    /// At some time before the last minute.
    pub(super) const LONG_AGO: Self = Self(Some(0));

    /// When so much was counted.
    pub(super) fn of(weight: Weight, at: u64) -> Self {
        Self((weight.opens > 0).then_some(at))
    }

    /// Gives so much back of what was counted then.
    fn give_back(self, used: &mut UseCounter, day: LimitDay, weight: Weight) {
        let opens = if self.0.is_some() { weight.opens } else { 0 };
        used.give_back(self.0.unwrap_or_default(), day, Weight { opens, ..weight });
    }
}

impl Charge {
    /// Keeps the opens counted: the request goes on.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Makes it a charge of these parts, which can still take more.
    pub(super) fn begin(&mut self, taken: TakenParts) -> &mut TakenParts {
        self.taken.insert(taken)
    }
}

impl TakenParts {
    /// A charge of which no part is taken yet.
    pub(super) fn none(
        limiter: &Arc<Limiter>,
        widget: Arc<WidgetCounter>,
        day: LimitDay,
        weight: Weight,
    ) -> Self {
        let limiter = Arc::clone(limiter);
        Self { limiter, widget, day, weight, of_address: None, of_embedder: None, of_widget: None }
    }

    /// The limiter whose counters they are.
    pub(super) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Takes so much more of each part that it has, whatever the limits say.
    pub(super) fn add(&self, now: &Moment, weight: Weight) {
        if weight == Weight::default() {
            return;
        }
        if let Some((handle, _)) = &self.of_address {
            self.limiter.addresses.with_found(handle, |used| used.add(now, weight, addresses::RUNS));
        }
        if let Some((embedder, _)) = &self.of_embedder {
            embedder.counter.lock().used.add(now, weight, EXACT);
        }
        if self.of_widget.is_some() {
            self.widget.counter.lock().used.add(now, weight, EXACT);
        }
        self.opened(weight);
        self.note();
    }

    /// Notes that opens were counted or given back.
    pub(super) fn opened(&self, weight: Weight) {
        if weight.opens > 0 {
            self.limiter.opened_in(&self.widget);
        }
    }

    /// Gives so much of each part back.
    pub(super) fn give_back(&self, weight: Weight) {
        if weight == Weight::default() {
            return;
        }
        if let Some((handle, at)) = &self.of_address {
            self.limiter.addresses.with_found(handle, |used| at.give_back(used, self.day, weight));
        }
        if let Some((embedder, at)) = &self.of_embedder {
            at.give_back(&mut embedder.counter.lock().used, self.day, weight);
        }
        if let Some(at) = self.of_widget {
            at.give_back(&mut self.widget.counter.lock().used, self.day, weight);
        }
        self.opened(weight);
        self.note();
    }

    /// Notes that its counters have changed, where another process has to know.
    pub(super) fn note(&self) {
        if !self.limiter.changed.are_noted() {
            return;
        }
        let embedder = self.of_embedder.as_ref().map(|(embedder, _)| embedder);
        let address = self.of_address.as_ref().map(|(handle, _)| handle.key);
        self.limiter.changed.note(&self.widget, embedder, address);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        let Weight { opens, sessions } = taken.weight;
        taken.give_back(Weight { opens: if self.is_kept { 0 } else { opens }, sessions });
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = self.taken.as_ref().map(|taken| taken.weight).unwrap_or_default();
        f.debug_struct("Charge").field("weight", &weight).field("is_kept", &self.is_kept).finish()
    }
}
