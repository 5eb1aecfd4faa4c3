//! A book and a batch make the next book, or a list of everything that speaks against it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::prepared::{Prepared, Put, Work, prepare};
use super::{Grave, RuleBook, Stored, Tombstone};
use crate::policy::decision::WidgetRules;
use crate::policy::widget::{Access, WidgetId};
use crate::rules::change::{Absent, ApplyOptions, Change, ChangedWidget, Outcome, Stale};
use crate::rules::storage::{State, Write};

/// The next book, not in force yet.
#[derive(Debug)]
pub struct Applied {
    /// The book with the batch in it; its generation is one more, unless nothing changed.
    pub book: RuleBook,
    /// What became of each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The widgets that differ between the books, each once.
    pub changed: Vec<ChangedWidget>,
    /// What is to be kept of it.
    pub(in crate::rules) writes: Vec<Write>,
}

/// A change that can't be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which of the batch, from 0.
    pub index: usize,
    /// The widget it is about.
    pub id: WidgetId,
    /// Why not.
    pub error: ChangeError,
}

/// Why a change can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Its revision is below the stored one, or equal with another document.
    #[error("revision {given} is not above {stored}, {}: raise it above {stored} or leave it out",
        if *.deleted { "at which this widget was deleted" } else { "which is in force with another document" })]
    Stale {
        /// The revision of the change.
        given: u64,
        /// The revision it would have to be above.
        stored: u64,
        /// The stored one is that of a deletion.
        deleted: bool,
    },
    /// A widget that was restricted would be open without a word.
    #[error(
        "this would open a widget that was restricted{}: its list is empty and it states no access; say \
         \"access\": \"open\" to open it to every site, or \"access\": \"enforce\" to keep it closed",
        if *.deleted { " when it was deleted" } else { "" }
    )]
    WouldOpen {
        /// It is deleted now, and was restricted before.
        deleted: bool,
    },
    /// There is nothing to delete.
    #[error("there is no such widget; a deletion that may come before its widget states its revision")]
    Unknown,
    /// What the change was to be taken on doesn't hold.
    #[error(
        "{}, so somebody else was faster: read it again and decide anew",
        match .stored {
            Some(revision) => format!("the widget is there, at revision {revision}"),
            None => "there is no such widget".to_owned(),
        }
    )]
    PreconditionFailed {
        /// The widget's revision; `None` where there is no such widget.
        stored: Option<u64>,
    },
    /// The stored revision is the highest there is.
    #[error("revision {} is the last one there is: delete the widget and use another id", u64::MAX)]
    NoRevisionLeft,
}

impl ChangeError {
    /// The stable code that writers see.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stale { .. } | Self::NoRevisionLeft => "stale_revision",
            Self::WouldOpen { .. } => "would_open_widget",
            Self::Unknown => "unknown_widget",
            Self::PreconditionFailed { .. } => "precondition_failed",
        }
    }

    /// Where in the change: a JSON Pointer (RFC 6901), empty for the whole.
    pub fn pointer(&self) -> &'static str {
        match self {
            Self::Stale { .. } | Self::NoRevisionLeft => "/revision",
            Self::WouldOpen { .. } | Self::Unknown | Self::PreconditionFailed { .. } => "",
        }
    }
}

impl RuleBook {
    /// Takes a batch, whole or not at all; changes to one widget apply in their order. On failure every change
    /// that can't be made. This book stays as it is, and so does its cost: work and new memory grow with the
    /// batch. Nothing comes in force: that is the publisher's to do.
    pub fn apply(&self, changes: &[Change], options: ApplyOptions) -> Result<Applied, Vec<Rejection>> {
        self.take(prepare(changes.to_vec(), self.key), options)
    }

    /// The same, prepared with this book's key.
    pub(in crate::rules) fn take(
        &self,
        changes: Vec<Prepared>,
        options: ApplyOptions,
    ) -> Result<Applied, Vec<Rejection>> {
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
        Ok(draft.finish(self, outcomes))
    }
}

/// A book being written.
struct Draft {
    book: RuleBook,
    /// Every widget the batch changed, with its revision before the batch.
    touched: HashMap<WidgetId, Option<u64>>,
    writes: Vec<Write>,
}

impl Draft {
    fn new(book: &RuleBook, changes: usize) -> Self {
        let (touched, writes) = (HashMap::with_capacity(changes), Vec::with_capacity(changes));
        Self { book: book.clone(), touched, writes }
    }

    fn take(&mut self, change: Prepared) -> Result<Outcome, ChangeError> {
        let Prepared { id, only_if, work } = change;
        let stored = self.book.get(id.as_str()).map(|rules| rules.revision);
        if !only_if.holds(stored) {
            return Err(ChangeError::PreconditionFailed { stored });
        }
        match work {
            Work::Put(put) => self.put(*put),
            Work::Delete { revision } => self.delete(&id, revision),
        }
    }

    fn put(&mut self, put: Put) -> Result<Outcome, ChangeError> {
        let id = put.rules.id.as_str();
        if let Some(stored) = self.book.stored(id) {
            let in_force = stored.rules.revision;
            let revision = if stored.fingerprint == put.fingerprint {
                // A higher revision is worth remembering though the rules stay: without it an older push of
                // another document, arriving late, would pass for news.
                match put.revision.filter(|given| *given > in_force) {
                    None => return Ok(Outcome::Unchanged { revision: in_force }),
                    Some(revision) => revision,
                }
            } else {
                let revision = next_revision(put.revision, in_force, false)?;
                if put.opens && stored.rules.access != Access::Open {
                    return Err(ChangeError::WouldOpen { deleted: false });
                }
                revision
            };
            self.store(put, revision);
            return Ok(Outcome::Updated { revision });
        }
        let revision = match self.book.tombstone(id) {
            None => put.revision.unwrap_or(1),
            Some(tombstone) => {
                let same_again =
                    tombstone.withdrawn == Some(put.fingerprint) && put.revision == Some(tombstone.revision);
                let revision = match same_again {
                    true => tombstone.revision,
                    false => next_revision(put.revision, tombstone.revision, true)?,
                };
                if put.opens && tombstone.was_restricted {
                    return Err(ChangeError::WouldOpen { deleted: true });
                }
                revision
            }
        };
        self.store(put, revision);
        Ok(Outcome::Created { revision })
    }

    fn delete(&mut self, id: &WidgetId, given: Option<u64>) -> Result<Outcome, ChangeError> {
        if let Some(stored) = self.book.stored(id.as_str()) {
            let was_restricted = stored.rules.access != Access::Open;
            let revision = next_revision(given, stored.rules.revision, false)?;
            self.bury(id, Tombstone { revision, was_restricted, withdrawn: None });
            return Ok(Outcome::Deleted { revision });
        }
        let given = given.ok_or(ChangeError::Unknown)?;
        let was_restricted = match self.book.tombstone(id.as_str()) {
            // Deleted before it was heard of: what it was is unknown, so it is taken for restricted.
            None => true,
            Some(known) if given == known.revision && known.withdrawn.is_none() => {
                return Ok(Outcome::Unchanged { revision: given });
            }
            Some(known) if given < known.revision => {
                return Err(ChangeError::Stale { given, stored: known.revision, deleted: true });
            }
            Some(known) => known.was_restricted,
        };
        self.bury(id, Tombstone { revision: given, was_restricted, withdrawn: None });
        Ok(Outcome::Deleted { revision: given })
    }

    /// Takes out what the batch doesn't name.
    fn drop_absent(&mut self, named: &HashSet<WidgetId>, absent: Absent) {
        let is_absent = |stored: &&Arc<Stored>| !named.contains(&stored.rules.id);
        let gone: Vec<Arc<Stored>> = self.book.widgets.iter().filter(is_absent).cloned().collect();
        for stored in gone {
            let revision = stored.rules.revision;
            let (revision, withdrawn) = match absent {
                Absent::Withdraw => (revision, Some(stored.fingerprint)),
                Absent::Keep | Absent::Delete => (revision.saturating_add(1), None),
            };
            let was_restricted = stored.rules.access != Access::Open;
            self.bury(&stored.rules.id, Tombstone { revision, was_restricted, withdrawn });
        }
    }

    fn store(&mut self, put: Put, revision: u64) {
        let Put { rules, fingerprint, json, .. } = put;
        self.touch(&rules.id);
        self.book.deleted.remove(rules.id.as_str());
        self.book.census.add(rules.environment, rules.access);
        let id = rules.id.clone();
        let stored = Arc::new(Stored { rules: WidgetRules { revision, ..rules }, fingerprint });
        if let Some(old) = self.book.widgets.insert(Arc::clone(&stored)) {
            self.book.census.subtract(old.rules.environment, old.rules.access);
        }
        self.writes.push(Write { id, state: State::Put { revision, json, stored } });
    }

    fn bury(&mut self, id: &WidgetId, tombstone: Tombstone) {
        self.touch(id);
        if let Some(old) = self.book.widgets.remove(id.as_str()) {
            self.book.census.subtract(old.rules.environment, old.rules.access);
        }
        self.book.deleted.insert(Arc::new(Grave { id: id.clone(), tombstone }));
        self.writes.push(Write { id: id.clone(), state: State::Deleted(tombstone) });
    }

    fn touch(&mut self, id: &WidgetId) {
        if !self.touched.contains_key(id) {
            self.touched.insert(id.clone(), self.book.get(id.as_str()).map(|rules| rules.revision));
        }
    }

    fn finish(self, before: &RuleBook, outcomes: Vec<Outcome>) -> Applied {
        let Self { mut book, touched, writes } = self;
        if !touched.is_empty() {
            book.generation = before.generation.saturating_add(1);
        }
        let mut changed: Vec<ChangedWidget> = touched
            .into_iter()
            .map(|(id, before)| {
                let after = book.get(id.as_str()).map(|rules| rules.revision);
                ChangedWidget { id, before, after }
            })
            .collect();
        changed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Applied { book, outcomes, changed, writes }
    }
}

/// The revision of a change that makes a difference.
fn next_revision(given: Option<u64>, stored: u64, deleted: bool) -> Result<u64, ChangeError> {
    match given {
        None => stored.checked_add(1).ok_or(ChangeError::NoRevisionLeft),
        Some(given) if given > stored => Ok(given),
        Some(given) => Err(ChangeError::Stale { given, stored, deleted }),
    }
}
