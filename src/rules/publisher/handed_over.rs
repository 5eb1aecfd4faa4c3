//! Hand-over of the writer to another process: lent → taken back, or handed over for good; then the changes of the
//! other process are followed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Publisher;
use super::observer::Swap;
use crate::rules::book::{AppliedBatch, prepare};
use crate::rules::change::{ApplyOptions, Change, ChangedWidget};
use crate::rules::documents::{Documents, canonical, restore};
use crate::rules::error::{RuleFault, SaveError, StoreError};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// Change of one widget that another process has made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FollowedChange {
    id: String,
    /// The document, as JSON; `None`: the widget is gone.
    document: Option<String>,
}

impl FollowedChange {
    /// The changes of a swap, with the documents that it has put in force.
    ///
    /// # Errors
    ///
    /// A document can't be read.
    pub fn of(swap: &Swap<'_>, documents: &dyn Documents) -> Result<Vec<Self>, StoreError> {
        if let Some(followed) = swap.followed {
            return Ok(followed.to_vec());
        }
        // One that came and went within the swap is known to nobody.
        let known = swap.changed.iter().filter(|changed| changed.before.or(changed.after).is_some());
        let change = |changed: &ChangedWidget| {
            let mut widget = documents.get(changed.id.as_str())?;
            let document =
                widget.as_mut().map(|widget| String::from_utf8_lossy(&canonical(widget)).into_owned());
            Ok(Self { id: changed.id.to_string(), document })
        };
        known.map(change).collect()
    }

    /// The change, without a revision: those of the other process don't count here.
    fn change(&self) -> Result<Change, StoreError> {
        let Some(document) = &self.document else {
            let id = WidgetId::parse(&self.id).map_err(|error| StoreError::BadDocument {
                source: Arc::from(Box::from(error.to_string())),
            })?;
            return Ok(Change::delete(id, None));
        };
        let widget = restore(document.as_bytes(), 0, PublicSuffixes::shipped())?;
        Ok(Change::put(Widget { revision: None, ..widget }))
    }
}

impl Publisher {
    /// Lets another process open the storage. Callers wait from now on; whoever writes already is answered first.
    ///
    /// # Errors
    ///
    /// The storage is still being read. Nothing has changed then.
    pub fn lend(&self) -> Result<(), StoreError> {
        // What is written elsewhere, everybody can read there.
        if self.is_read_only() {
            return Ok(());
        }
        self.queue.pause();
        self.storage.lend().inspect_err(|_| self.queue.resume())
    }

    /// Takes the storage back, and lets callers write again.
    ///
    /// # Errors
    ///
    /// The storage can't be opened, or has been changed. Each call says so, too, from now on.
    pub fn take_back(&self) -> Result<(), StoreError> {
        if self.is_read_only() {
            return Ok(());
        }
        let taken = self.storage.take_back(self.live.load().generation());
        self.queue.resume();
        taken
    }

    /// Leaves the storage and the audit log to the other process for good. Callers are refused from now on.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
        if !self.is_read_only() {
            self.queue.close();
        }
    }

    /// Puts changes in force that the other process has made. They were judged and are kept there, so their revisions
    /// don't count here.
    ///
    /// # Errors
    ///
    /// A document can't be taken by this version, or may not follow the rules in force here. Nothing has changed then.
    pub fn follow(&self, changes: Vec<FollowedChange>, generation: u64) -> Result<(), SaveError> {
        let started = Instant::now();
        let prepared = changes.iter().map(FollowedChange::change).collect::<Result<_, _>>()?;
        let prepared = prepare(prepared, self.key());
        let applied = self.live.load_full().take(prepared, ApplyOptions::default());
        let AppliedBatch { book, changed, .. } = applied.map_err(|rejections| {
            SaveError::Invalid(rejections.into_iter().map(RuleFault::from).collect())
        })?;
        let book = Arc::new(book.at_generation(generation));
        self.live.swap(Arc::clone(&book));
        self.announce(&Swap {
            source: self.source,
            book: &book,
            changed: &changed,
            followed: Some(&changes),
            took: started.elapsed(),
        });
        Ok(())
    }
}
