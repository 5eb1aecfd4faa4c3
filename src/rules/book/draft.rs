//! A batch being applied: judged change by change, and only then written to the tables, each leaf of which is built
//! once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::census::Census;
use super::prepared::{PreparedChange, PreparedPut, PreparedWork};
use super::record::WidgetRecord;
use super::rejection::ChangeError;
use super::rule_book::RuleBook;
use super::table::RecordEdit;
use crate::rules::change::{Absent, ChangedWidget, Outcome};
use crate::rules::fingerprint::Fingerprint;
use crate::rules::storage::{WidgetState, Write};
use crate::rules::tombstone::Tombstone;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::widget::{Access, Environment, RevisionTooHigh, WidgetId, next_revision};

/// Result of applying a batch: the next book, not in force yet.
#[derive(Debug)]
pub struct AppliedBatch {
    /// The book with the batch in it; its generation is one more, unless nothing changed.
    pub book: RuleBook,
    /// What became of each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The widgets that differ between the books, each once.
    pub changed: Vec<ChangedWidget>,
    /// How many widgets it takes out because it doesn't name them.
    pub removed: usize,
    /// What is to be kept of it.
    pub(in crate::rules) writes: Vec<Write>,
}

/// Draft of the next book.
pub(super) struct Draft<'b> {
    before: &'b RuleBook,
    census: Census,
    /// Every widget the batch changed.
    touched: HashMap<WidgetId, DraftWidget, RandomState>,
    /// How many widgets the batch doesn't name, and takes out.
    removed: usize,
    pub(super) writes: Vec<Write>,
}

/// Widget that the batch changed.
struct DraftWidget {
    /// Its revision before the batch.
    before: Option<u64>,
    now: DraftState,
}

/// State of a changed widget in the next book.
enum DraftState {
    Present { current: CurrentWidget, record: Arc<[u8]> },
    Deleted(Tombstone),
}

/// Facts about an existing widget that changes are judged by.
#[derive(Clone, Copy)]
pub(super) struct CurrentWidget {
    revision: u64,
    fingerprint: Fingerprint,
    environment: Environment,
    access: Access,
}

impl CurrentWidget {
    /// Whether it has this revision, and the document of this fingerprint.
    pub(super) fn is(&self, revision: u64, fingerprint: Fingerprint) -> bool {
        (self.revision, self.fingerprint) == (revision, fingerprint)
    }
}

impl From<WidgetRecord<'_>> for CurrentWidget {
    fn from(WidgetRecord { rules, fingerprint }: WidgetRecord<'_>) -> Self {
        let WidgetRules { revision, environment, access, .. } = rules;
        Self { revision, fingerprint, environment, access }
    }
}

impl<'b> Draft<'b> {
    pub(super) fn new(before: &'b RuleBook, changes: usize) -> Self {
        Self {
            before,
            census: before.census.clone(),
            touched: HashMap::with_capacity_and_hasher(changes, RandomState::default()),
            removed: 0,
            writes: Vec::with_capacity(changes),
        }
    }

    pub(super) fn take(&mut self, change: PreparedChange) -> Result<Outcome, ChangeError> {
        let PreparedChange { id, only_if, mut work } = change;
        RevisionTooHigh::check(work.stated_revision())?;
        let current = self.current(&id);
        let stored = current.map(|current| current.revision);
        if !only_if.holds(stored) {
            return Err(ChangeError::PreconditionFailed { wanted: (&only_if).into(), stored });
        }
        if only_if.is_base(work.stated_revision(), stored)
            && let PreparedWork::Put(put) = &mut work
        {
            put.revision = None;
        }
        match work {
            PreparedWork::Put(put) => self.put(id, *put, current),
            PreparedWork::Delete { revision } => self.delete(&id, revision, current),
        }
    }

    pub(super) fn current(&self, id: &WidgetId) -> Option<CurrentWidget> {
        match self.touched.get(id) {
            Some(DraftWidget { now: DraftState::Present { current, .. }, .. }) => Some(*current),
            Some(DraftWidget { now: DraftState::Deleted(_), .. }) => None,
            None => self.before.stored(id.as_str()).map(CurrentWidget::from),
        }
    }

    pub(super) fn tombstone(&self, id: &WidgetId) -> Option<Tombstone> {
        match self.touched.get(id) {
            Some(DraftWidget { now: DraftState::Deleted(tombstone), .. }) => Some(*tombstone),
            Some(DraftWidget { now: DraftState::Present { .. }, .. }) => None,
            None => self.before.tombstone(id.as_str()),
        }
    }

    fn put(
        &mut self,
        id: WidgetId,
        put: PreparedPut,
        current: Option<CurrentWidget>,
    ) -> Result<Outcome, ChangeError> {
        if let Some(current) = current {
            let revision = if current.fingerprint == put.fingerprint {
                // A higher revision is worth remembering though the rules stay: without it an older push of
                // another document, arriving late, would pass for news.
                match put.revision.filter(|given| *given > current.revision) {
                    None => return Ok(Outcome::Unchanged { revision: current.revision }),
                    Some(revision) => revision,
                }
            } else {
                let revision = revision_after(current.revision, put.revision, false)?;
                if put.opens && current.access != Access::Open {
                    return Err(ChangeError::WouldOpen { deleted: false });
                }
                revision
            };
            self.store(id, put, revision, Some(current));
            return Ok(Outcome::Updated { revision });
        }
        let revision = match self.tombstone(&id) {
            None => put.revision.unwrap_or(1),
            Some(tombstone) => {
                let same_again =
                    tombstone.withdrawn == Some(put.fingerprint) && put.revision == Some(tombstone.revision);
                let revision = match same_again {
                    true => tombstone.revision,
                    false => revision_after(tombstone.revision, put.revision, true)?,
                };
                if put.opens && tombstone.was_restricted {
                    return Err(ChangeError::WouldOpen { deleted: true });
                }
                revision
            }
        };
        self.store(id, put, revision, None);
        Ok(Outcome::Created { revision })
    }

    fn delete(
        &mut self,
        id: &WidgetId,
        given: Option<u64>,
        current: Option<CurrentWidget>,
    ) -> Result<Outcome, ChangeError> {
        if let Some(current) = current {
            let was_restricted = current.access != Access::Open;
            let revision = revision_after(current.revision, given, false)?;
            self.bury(id, Tombstone { revision, was_restricted, withdrawn: None }, Some(current));
            return Ok(Outcome::Deleted { revision });
        }
        let given = given.ok_or(ChangeError::Unknown)?;
        let was_restricted = match self.tombstone(id) {
            // Deleted before it was heard of: what it was is unknown, so it is taken for restricted.
            None => true,
            Some(grave) if given == grave.revision && grave.withdrawn.is_none() => {
                return Ok(Outcome::Unchanged { revision: given });
            }
            Some(grave) if given < grave.revision => {
                return Err(ChangeError::Stale { given, stored: grave.revision, deleted: true });
            }
            Some(grave) => grave.was_restricted,
        };
        self.bury(id, Tombstone { revision: given, was_restricted, withdrawn: None }, None);
        Ok(Outcome::Deleted { revision: given })
    }

    /// Takes out what the batch doesn't name.
    pub(super) fn drop_absent(&mut self, named: &HashSet<WidgetId>, absent: Absent) {
        for stored in self.before.all_stored().filter(|stored| !named.contains(stored.rules.id)) {
            let Ok(id) = WidgetId::parse(stored.rules.id) else { continue };
            let current = CurrentWidget::from(stored);
            let (revision, withdrawn) = match absent {
                Absent::Withdraw => (current.revision, Some(current.fingerprint)),
                Absent::Keep | Absent::Delete => (next_revision(current.revision), None),
            };
            let was_restricted = current.access != Access::Open;
            self.bury(&id, Tombstone { revision, was_restricted, withdrawn }, Some(current));
            self.removed += 1;
        }
    }

    pub(super) fn store(
        &mut self,
        id: WidgetId,
        put: PreparedPut,
        revision: u64,
        current: Option<CurrentWidget>,
    ) {
        let PreparedPut { rules, fingerprint, json, .. } = put;
        let stored = WidgetRecord { rules: WidgetRules { revision, ..rules.as_rules() }, fingerprint };
        let record: Arc<[u8]> = stored.write().into();
        self.census.add(stored.rules.environment, stored.rules.access);
        let now = DraftState::Present { current: stored.into(), record: Arc::clone(&record) };
        self.turn(id.clone(), now, current);
        self.writes.push(Write { id, state: WidgetState::Put { revision, json, record } });
    }

    pub(super) fn bury(&mut self, id: &WidgetId, tombstone: Tombstone, current: Option<CurrentWidget>) {
        self.turn(id.clone(), DraftState::Deleted(tombstone), current);
        self.writes.push(Write { id: id.clone(), state: WidgetState::Deleted(tombstone) });
    }

    /// `current`: what the widget was until now.
    fn turn(&mut self, id: WidgetId, now: DraftState, current: Option<CurrentWidget>) {
        if let Some(current) = current {
            self.census.subtract(current.environment, current.access);
        }
        let before = match self.touched.get(&id) {
            Some(touched) => touched.before,
            None => current.map(|current| current.revision),
        };
        self.touched.insert(id, DraftWidget { before, now });
    }

    pub(super) fn finish(self, outcomes: Vec<Outcome>) -> AppliedBatch {
        let Self { before, census, touched, removed, writes } = self;
        let mut book = RuleBook { census, ..before.clone() };
        if !touched.is_empty() {
            book.generation = before.generation.saturating_add(1);
        }
        let mut widgets: Vec<RecordEdit<'_>> = Vec::with_capacity(touched.len());
        let mut graves: Vec<(&WidgetId, Vec<u8>)> = Vec::new();
        let mut back: Vec<&WidgetId> = Vec::new();
        for (id, DraftWidget { before: was, now }) in &touched {
            match now {
                DraftState::Present { record, .. } => {
                    widgets.push((id.as_bytes(), Some(record)));
                    if before.deleted.len() > 0 && before.deleted.get(id.as_bytes()).is_some() {
                        back.push(id);
                    }
                }
                DraftState::Deleted(tombstone) => {
                    graves.push((id, tombstone.write()));
                    if was.is_some() {
                        widgets.push((id.as_bytes(), None));
                    }
                }
            }
        }
        book.widgets.edit(widgets);
        let back = back.into_iter().map(|id| (id.as_bytes(), None));
        book.deleted
            .edit(graves.iter().map(|(id, bytes)| (id.as_bytes(), Some(&**bytes))).chain(back).collect());
        let mut changed: Vec<ChangedWidget> = touched
            .into_iter()
            .map(|(id, DraftWidget { before, now })| {
                let after = match now {
                    DraftState::Present { current, .. } => Some(current.revision),
                    DraftState::Deleted(_) => None,
                };
                ChangedWidget { id, before, after }
            })
            .collect();
        changed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        AppliedBatch { book, outcomes, changed, removed, writes }
    }
}

/// The revision of a change that makes a difference.
fn revision_after(stored: u64, stated: Option<u64>, deleted: bool) -> Result<u64, ChangeError> {
    match stated {
        None => Ok(next_revision(stored)),
        Some(stated) if stated > stored => Ok(stated),
        Some(given) => Err(ChangeError::Stale { given, stored, deleted }),
    }
}
