//! How much of its limits a widget has used, as the limiter has counted it.

use embedgate_policy::limits::{LimitKind, LimitPart, Limits};

use super::Limiter;
use crate::limits::counter::UsedNow;
use crate::limits::shares::{Budget, BudgetUse};
use crate::limits::usage::{LimitReader, LimitUsage};
use crate::limits::widgets::{SHARED, WidgetCounter};

/// The most that anybody has used, by kind, and who it was.
#[derive(Debug, Default)]
struct MostUsed([(u32, Option<String>); LimitKind::ALL.len()]);

impl MostUsed {
    fn add(&mut self, used: &UsedNow, whose: Option<&str>) {
        for (place, kind) in self.0.iter_mut().zip(LimitKind::ALL) {
            let used = used.of(kind);
            if used > place.0 {
                *place = (used, whose.map(str::to_owned));
            }
        }
    }
}

impl Limiter {
    fn used_of(&self, part: LimitPart, widget: Option<&WidgetCounter>, embedder: Option<&str>) -> MostUsed {
        let (mut most, now) = (MostUsed::default(), self.clock.now());
        let Some(widget) = widget else { return most };
        match part {
            LimitPart::Widget => most.add(&widget.counter.lock().used.used(&now), None),
            LimitPart::Embedder => {
                // One without a counter of its own shares one, where there is no room for more.
                let shared = || widget.find(SHARED).filter(|_| self.widgets.is_full(widget));
                let find = |key| widget.find(key).or_else(shared);
                let asked = embedder.map(|key| find(key).into_iter().collect());
                for embedder in asked.unwrap_or_else(|| widget.embedders()) {
                    let whose = Some(&*embedder.key).filter(|key| *key != SHARED);
                    most.add(&embedder.counter.lock().used.used(&now), whose);
                }
            }
            LimitPart::Address => self.addresses.for_each(|key, used| {
                if key.widget == widget.number {
                    most.add(&used.used(&now), None);
                }
            }),
        }
        most
    }
}

impl BudgetUse for Limiter {
    fn used(&self, budget: &Budget<'_>) -> u32 {
        Self::used(self, budget)
    }

    fn today(&self) -> u32 {
        self.clock.now().day.number()
    }
}

impl LimitReader for Limiter {
    fn usage(&self, widget: &str, limits: &Limits, embedder: Option<&str>) -> Vec<LimitUsage> {
        let widget = self.widgets.find(widget);
        let mut usage = Vec::new();
        for part in LimitPart::ALL.into_iter().filter(|part| !limits.of(*part).is_empty()) {
            let MostUsed(most) = self.used_of(part, widget.as_deref(), embedder);
            for (kind, (used, whose)) in LimitKind::ALL.into_iter().zip(most) {
                let Some(limit) = limits.of(part).of(kind) else { continue };
                let whose = match part {
                    LimitPart::Embedder => embedder.map(str::to_owned).or(whose),
                    LimitPart::Address | LimitPart::Widget => None,
                };
                usage.push(LimitUsage { part, kind, limit: limit.get(), used, whose });
            }
        }
        usage
    }
}
