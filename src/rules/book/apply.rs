//! Applying a batch to a book.

use std::collections::HashSet;

use super::draft::{AppliedBatch, Draft};
use super::prepared::{PreparedChange, prepare};
use super::rejection::{ChangeError, Rejection};
use super::rule_book::RuleBook;
use crate::rules::change::{Absent, ApplyOptions, Change, Outcome, Stale};
use embedgate_policy::widget::WidgetId;

impl RuleBook {
    /// Applies a batch, whole or not at all; changes to one widget apply in their order. This book stays as it is:
    /// work and new memory grow with the batch alone. Nothing comes into force, which is the publisher's to do.
    ///
    /// # Errors
    ///
    /// Every change that is refused, in their order.
    pub fn apply(&self, changes: &[Change], options: ApplyOptions) -> Result<AppliedBatch, Vec<Rejection>> {
        self.take(prepare(changes.to_vec(), self.key), options)
    }

    /// [`RuleBook::apply`] for changes that were prepared with this book's key.
    pub(in crate::rules) fn take(
        &self,
        changes: Vec<PreparedChange>,
        options: ApplyOptions,
    ) -> Result<AppliedBatch, Vec<Rejection>> {
        let named: Option<HashSet<WidgetId>> = match options.absent {
            Absent::Keep => None,
            Absent::Delete | Absent::Withdraw => {
                Some(changes.iter().map(|change| change.id.clone()).collect())
            }
        };
        let mut draft = Draft::new(self, changes.len());
        let mut outcomes = Vec::with_capacity(changes.len());
        let mut rejections = Vec::new();
        for (index, change) in changes.into_iter().enumerate() {
            let id = change.id.clone();
            match draft.take(change) {
                Ok(outcome) => outcomes.push(outcome),
                Err(ChangeError::Stale { stored, .. }) if options.stale == Stale::Skip => {
                    outcomes.push(Outcome::Skipped { revision: stored });
                }
                Err(error) => rejections.push(Rejection { index, id, error }),
            }
        }
        if !rejections.is_empty() {
            return Err(rejections);
        }
        if let Some(named) = named {
            draft.drop_absent(&named, options.absent);
        }
        Ok(draft.finish(outcomes))
    }
}
