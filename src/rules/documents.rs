//! Whole documents, for people and writers; requests never read them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use super::error::RulesError;
use super::storage::{Commit, Pending, Previous, State, Storage};
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::{Widget, WidgetId};

/// Reads whole documents, canonical and with their revisions. What was answered is there.
pub trait Documents: Send + Sync {
    /// One widget's document.
    fn get(&self, id: &str) -> Result<Option<Widget>, RulesError>;

    /// In the order of ids (of their bytes), after `after`, at most `limit`.
    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, RulesError>;
}

/// A stored document: canonical JSON without its revision.
pub(in crate::rules) type Json = Arc<[u8]>;

/// The JSON under which a document is kept.
#[expect(clippy::expect_used, reason = "every key is a string and no field's Serialize fails")]
pub(in crate::rules) fn canonical(widget: &mut Widget) -> Json {
    let revision = widget.revision.take();
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, widget).expect("a widget is plain JSON");
    widget.revision = revision;
    json.into()
}

/// A list that knows no suffix of more than one label.
static FEWEST: LazyLock<Option<PublicSuffixes>> = LazyLock::new(|| {
    let section =
        |name: &str| format!("// ===BEGIN {name} DOMAINS===\ninvalid\n// ===END {name} DOMAINS===\n");
    PublicSuffixes::parse(&[section("ICANN"), section("PRIVATE")].concat()).ok()
});

/// A document from its JSON. It was accepted once, so what has become a public suffix since is no fault.
pub(in crate::rules) fn restore(
    json: &[u8],
    revision: u64,
    suffixes: &PublicSuffixes,
) -> Result<Widget, RulesError> {
    let parsed = Widget::parse(json, suffixes).or_else(|faults| match &*FEWEST {
        Some(fewest) => Widget::parse(json, fewest),
        None => Err(faults),
    });
    match parsed {
        Ok(widget) => Ok(Widget { revision: Some(revision), ..widget }),
        Err(faults) => {
            let fault = faults.first().map(ToString::to_string).unwrap_or_default();
            Err(RulesError::StorageFailed { detail: format!("a stored document can't be read: {fault}") })
        }
    }
}

/// Documents in memory, for sources that hold the truth elsewhere.
#[derive(Default)]
pub(in crate::rules) struct InMemory(Mutex<BTreeMap<WidgetId, (u64, Json)>>);

impl InMemory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<WidgetId, (u64, Json)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Documents for InMemory {
    fn get(&self, id: &str) -> Result<Option<Widget>, RulesError> {
        let stored = self.lock().get(id).cloned();
        stored.map(|(revision, json)| restore(&json, revision, PublicSuffixes::shipped())).transpose()
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, RulesError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page: Vec<(u64, Json)> = self
            .lock()
            .range::<str, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, stored)| stored.clone())
            .collect();
        page.into_iter().map(|(revision, json)| restore(&json, revision, PublicSuffixes::shipped())).collect()
    }
}

impl Storage for InMemory {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, RulesError> {
        Ok(Box::new(Held { documents: self.lock(), commit }))
    }
}

/// Nobody reads while it is held.
struct Held<'a> {
    documents: MutexGuard<'a, BTreeMap<WidgetId, (u64, Json)>>,
    commit: &'a Commit,
}

impl Pending for Held<'_> {
    fn previous(&self) -> Vec<Option<Previous>> {
        let mut now = BTreeMap::new();
        let previous = self.commit.writes.iter().map(|write| {
            let before = match now.get(&write.id) {
                Some(before) => Option::clone(before),
                None => self.documents.get(&write.id).cloned(),
            };
            let after = match &write.state {
                State::Put { revision, json, .. } => Some((*revision, json.clone())),
                State::Deleted(_) => None,
            };
            now.insert(&write.id, after);
            before
        });
        previous.map(|before| before.map(|(revision, json)| Previous { revision, json })).collect()
    }

    fn commit(mut self: Box<Self>) -> Result<(), RulesError> {
        for write in &self.commit.writes {
            match &write.state {
                State::Put { revision, json, .. } => {
                    self.documents.insert(write.id.clone(), (*revision, json.clone()));
                }
                State::Deleted(_) => {
                    self.documents.remove(&write.id);
                }
            }
        }
        Ok(())
    }
}
