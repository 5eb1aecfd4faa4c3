//! Trial of a batch, and the share of all widgets that a change may touch unconfirmed.

use std::sync::atomic::Ordering;

use serde::Serialize;
use utoipa::ToSchema;

use super::Publisher;
use crate::rules::book::prepare;
use crate::rules::brake::{self, BrakeShare};
use crate::rules::change::{ApplyOptions, Change, Outcome};
use crate::rules::error::{RuleFault, SaveError, WideChange};

/// What a batch would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchTrial {
    /// Lines that would make a widget.
    pub created: usize,
    /// Lines that would change a widget.
    pub updated: usize,
    /// Lines that would delete a widget.
    pub deleted: usize,
    /// Lines that would change nothing, because the widget is already so.
    pub unchanged: usize,
    /// Lines that would be skipped, because their revision is not above the stored one.
    pub skipped: usize,
    /// Widgets that would be deleted because the batch does not name them.
    pub removed: usize,
    /// Widgets that would be disabled.
    pub disabled: usize,
    /// Widgets that would be restricted: a page that may embed the widget now could not do so any more.
    pub restricted: usize,
    /// Widgets that every page could embed from then on.
    pub opened: usize,
    /// Widgets that would be set to `monitor`.
    pub monitored: usize,
    /// What it would have to be confirmed for; absent where it needs no confirmation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wide: Option<WideChange>,
}

impl Publisher {
    /// Holds, from now on, what touches more than this share of all widgets and is not confirmed.
    pub fn set_brake(&self, share: BrakeShare) {
        self.brake.store(share.hundredths(), Ordering::Relaxed);
    }

    /// The share of all widgets that one change may touch without being confirmed.
    pub(in crate::rules) fn brake(&self) -> BrakeShare {
        BrakeShare::of_hundredths(self.brake.load(Ordering::Relaxed))
    }

    /// Judges a batch as [`Publisher::apply`] would at this moment, and does nothing.
    ///
    /// # Errors
    ///
    /// Every change that would be refused, by its number ([`SaveError::Invalid`]); [`SaveError::ReadOnly`] where rules
    /// come from files.
    pub fn try_batch(&self, changes: Vec<Change>, options: ApplyOptions) -> Result<BatchTrial, SaveError> {
        self.writable()?;
        let book = self.live.load_full();
        let applied = book.take(prepare(changes, book.key()), options);
        let applied = applied.map_err(|rejections| {
            SaveError::Invalid(rejections.into_iter().map(RuleFault::from).collect())
        })?;
        let wide = brake::touched(&book, &applied);
        let mut trial = BatchTrial {
            removed: applied.removed,
            disabled: wide.disabled,
            restricted: wide.restricted,
            opened: wide.opened,
            monitored: wide.monitored,
            wide: brake::held(&book, &applied, &wide, options, self.brake()),
            ..BatchTrial::default()
        };
        for outcome in &applied.outcomes {
            *match outcome {
                Outcome::Created { .. } => &mut trial.created,
                Outcome::Updated { .. } => &mut trial.updated,
                Outcome::Deleted { .. } => &mut trial.deleted,
                Outcome::Unchanged { .. } => &mut trial.unchanged,
                Outcome::Skipped { .. } => &mut trial.skipped,
            } += 1;
        }
        Ok(trial)
    }
}
