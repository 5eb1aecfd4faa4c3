//! Table of the budgets that this edge shares.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::time::Instant;

use super::budget::SharedBudget;
use super::document::{BudgetId, BudgetName};
use super::{Budget, NEWCOMERS};
use embedgate_policy::limits::LimitKind;

/// Number of its parts. It is looked through part by part, so that no request waits for all of it.
pub(super) const PARTS: usize = 64;

/// Most budgets of newcomers. All others have room always: there are as many as the rules have widgets and exact entries.
const MOST: usize = LimitKind::ALL.len() * NEWCOMERS;

/// From so many on, those of newcomers are forgotten that can be read again.
const CROWDED: usize = MOST / 4 * 3;

/// Budgets that this edge shares.
#[derive(Debug)]
pub(super) struct BudgetTable {
    parts: [HashMap<BudgetId, SharedBudget>; PARTS],
    newcomers: usize,
    /// How many were made.
    made: u64,
}

impl BudgetTable {
    pub(super) fn new() -> Self {
        Self { parts: std::array::from_fn(|_| HashMap::new()), newcomers: 0, made: 0 }
    }

    pub(super) fn get_mut(&mut self, id: BudgetId) -> Option<&mut SharedBudget> {
        self.parts[place(id)].get_mut(&id)
    }

    /// The budget. One that is not there is made, if there is room for it.
    pub(super) fn entry(
        &mut self,
        id: BudgetId,
        budget: &Budget<'_>,
        now: Instant,
    ) -> Option<&mut SharedBudget> {
        let is_newcomer = budget.is_newcomer;
        match self.parts[place(id)].entry(id) {
            Entry::Occupied(entry) => {
                let shared = entry.into_mut();
                // An entry names it by now.
                if shared.is_newcomer && !is_newcomer {
                    shared.is_newcomer = false;
                    self.newcomers -= 1;
                }
                Some(shared)
            }
            Entry::Vacant(_) if is_newcomer && self.newcomers >= MOST => None,
            Entry::Vacant(entry) => {
                self.newcomers += usize::from(is_newcomer);
                self.made += 1;
                let name = BudgetName::of(budget);
                Some(entry.insert(SharedBudget::new(name, (self.made, is_newcomer), now)))
            }
        }
    }

    pub(super) fn remove(&mut self, id: BudgetId) {
        if let Some(shared) = self.parts[place(id)].remove(&id) {
            self.newcomers -= usize::from(shared.is_newcomer);
        }
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.newcomers >= CROWDED
    }

    /// Drops those of a part that are not to be kept.
    pub(super) fn retain(&mut self, part: usize, mut keep: impl FnMut(BudgetId, &SharedBudget) -> bool) {
        let Self { parts, newcomers, .. } = self;
        if let Some(part) = parts.get_mut(part) {
            part.retain(|id, shared| {
                let is_kept = keep(*id, shared);
                *newcomers -= usize::from(!is_kept && shared.is_newcomer);
                is_kept
            });
            if part.capacity() > 4 * part.len() {
                part.shrink_to(2 * part.len());
            }
        }
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut SharedBudget> {
        self.parts.iter_mut().flat_map(HashMap::values_mut)
    }
}

/// The part of a budget, in bounds as it is a remainder.
fn place(id: BudgetId) -> usize {
    id.remainder(PARTS)
}
