//! A batch at work: judged change by change, and only then put into the tables, each leaf of which is made once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::prepared::{Prepared, Put, Work};
use super::record::Stored;
use super::table::Edit;
use super::{Applied, Census, ChangeError, Fingerprint, RuleBook, Tombstone};
use crate::policy::decision::WidgetRules;
use crate::policy::widget::{Access, Environment, RevisionTooHigh, WidgetId, next_revision};
use crate::rules::change::{Absent, ChangedWidget, Outcome};
use crate::rules::storage::{State, Write};

/// The next book, being written.
pub(super) struct Draft<'b> {
    before: &'b RuleBook,
    census: Census,
    /// Every widget the batch changed.
    touched: HashMap<WidgetId, Touched, RandomState>,
    writes: Vec<Write>,
}

struct Touched {
    /// Its revision before the batch.
    before: Option<u64>,
    now: Now,
}

enum Now {
    There { known: Known, record: Arc<[u8]> },
    Deleted(Tombstone),
}

/// What judging takes of a widget that is there.
#[derive(Clone, Copy)]
struct Known {
    revision: u64,
    fingerprint: Fingerprint,
    environment: Environment,
    access: Access,
}

impl From<Stored<'_>> for Known {
    fn from(Stored { rules, fingerprint }: Stored<'_>) -> Self {
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
            writes: Vec::with_capacity(changes),
        }
    }

    pub(super) fn take(&mut self, change: Prepared) -> Result<Outcome, ChangeError> {
        let Prepared { id, only_if, work } = change;
        RevisionTooHigh::check(work.stated_revision())?;
        let known = self.known(&id);
        let stored = known.map(|known| known.revision);
        if !only_if.holds(stored) {
            return Err(ChangeError::PreconditionFailed { stored });
        }
        match work {
            Work::Put(put) => self.put(id, *put, known),
            Work::Delete { revision } => self.delete(&id, revision, known),
        }
    }

    fn known(&self, id: &WidgetId) -> Option<Known> {
        match self.touched.get(id) {
            Some(Touched { now: Now::There { known, .. }, .. }) => Some(*known),
            Some(Touched { now: Now::Deleted(_), .. }) => None,
            None => self.before.stored(id.as_str()).map(Known::from),
        }
    }

    fn tombstone(&self, id: &WidgetId) -> Option<Tombstone> {
        match self.touched.get(id) {
            Some(Touched { now: Now::Deleted(tombstone), .. }) => Some(*tombstone),
            Some(Touched { now: Now::There { .. }, .. }) => None,
            None => self.before.tombstone(id.as_str()),
        }
    }

    fn put(&mut self, id: WidgetId, put: Put, known: Option<Known>) -> Result<Outcome, ChangeError> {
        if let Some(known) = known {
            let revision = if known.fingerprint == put.fingerprint {
                // A higher revision is worth remembering though the rules stay: without it an older push of
                // another document, arriving late, would pass for news.
                match put.revision.filter(|given| *given > known.revision) {
                    None => return Ok(Outcome::Unchanged { revision: known.revision }),
                    Some(revision) => revision,
                }
            } else {
                let revision = revision_after(known.revision, put.revision, false)?;
                if put.opens && known.access != Access::Open {
                    return Err(ChangeError::WouldOpen { deleted: false });
                }
                revision
            };
            self.store(id, put, revision, Some(known));
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
        known: Option<Known>,
    ) -> Result<Outcome, ChangeError> {
        if let Some(known) = known {
            let was_restricted = known.access != Access::Open;
            let revision = revision_after(known.revision, given, false)?;
            self.bury(id, Tombstone { revision, was_restricted, withdrawn: None }, Some(known));
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
            let known = Known::from(stored);
            let (revision, withdrawn) = match absent {
                Absent::Withdraw => (known.revision, Some(known.fingerprint)),
                Absent::Keep | Absent::Delete => (next_revision(known.revision), None),
            };
            let was_restricted = known.access != Access::Open;
            self.bury(&id, Tombstone { revision, was_restricted, withdrawn }, Some(known));
        }
    }

    fn store(&mut self, id: WidgetId, put: Put, revision: u64, known: Option<Known>) {
        let Put { rules, fingerprint, json, .. } = put;
        let stored = Stored { rules: WidgetRules { revision, ..rules.as_rules() }, fingerprint };
        let record: Arc<[u8]> = stored.write().into();
        self.census.add(stored.rules.environment, stored.rules.access);
        let now = Now::There { known: stored.into(), record: Arc::clone(&record) };
        self.turn(id.clone(), now, known);
        self.writes.push(Write { id, state: State::Put { revision, json, record } });
    }

    fn bury(&mut self, id: &WidgetId, tombstone: Tombstone, known: Option<Known>) {
        self.turn(id.clone(), Now::Deleted(tombstone), known);
        self.writes.push(Write { id: id.clone(), state: State::Deleted(tombstone) });
    }

    /// `known`: what the widget was until now.
    fn turn(&mut self, id: WidgetId, now: Now, known: Option<Known>) {
        if let Some(known) = known {
            self.census.subtract(known.environment, known.access);
        }
        let before = match self.touched.get(&id) {
            Some(touched) => touched.before,
            None => known.map(|known| known.revision),
        };
        self.touched.insert(id, Touched { before, now });
    }

    pub(super) fn finish(self, outcomes: Vec<Outcome>) -> Applied {
        let Self { before, census, touched, writes } = self;
        let mut book = RuleBook { census, ..before.clone() };
        if !touched.is_empty() {
            book.generation = before.generation.saturating_add(1);
        }
        let mut widgets: Vec<Edit<'_>> = Vec::with_capacity(touched.len());
        let mut graves: Vec<(&WidgetId, Vec<u8>)> = Vec::new();
        let mut back: Vec<&WidgetId> = Vec::new();
        for (id, Touched { before: was, now }) in &touched {
            match now {
                Now::There { record, .. } => {
                    widgets.push((id.as_bytes(), Some(record)));
                    if before.deleted.len() > 0 && before.deleted.get(id.as_bytes()).is_some() {
                        back.push(id);
                    }
                }
                Now::Deleted(tombstone) => {
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
            .map(|(id, Touched { before, now })| {
                let after = match now {
                    Now::There { known, .. } => Some(known.revision),
                    Now::Deleted(_) => None,
                };
                ChangedWidget { id, before, after }
            })
            .collect();
        changed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Applied { book, outcomes, changed, writes }
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
