//! Batch of a bucket's messages, and the next state that they make one after the other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::rules::book::{ForcedChange, RuleBook};
use crate::rules::change::Actor;
use crate::rules::documents::Json;
use crate::rules::fingerprint::FingerprintKey;
use crate::rules::parallel::{on_threads, shares};
use crate::rules::shared::{BucketPosition, SharedBatch, SharedChange, SharedState, Taking};
use crate::rules::storage::Author;
use crate::rules::storage::share::{KeptShare, SharedKey};
use crate::rules::storage::stops::{PublishedStop, UnkeptStop};
use embedgate_policy::widget::{Access, WidgetId, next_revision};

/// Fewer are ready before another thread has started.
const WORTH_A_THREAD: usize = 256;

/// Messages of a bucket, prepared for the writer.
pub(in crate::rules::publisher) struct ObeyedBatch {
    pub(super) changes: Vec<ObeyedChange>,
    /// Widgets whose last message says nothing that can be taken, with its sequence.
    pub(super) unreadable: Vec<(WidgetId, u64)>,
    pub(super) gone: Vec<WidgetId>,
    pub(super) position: Option<BucketPosition>,
    pub(super) taking: Taking,
}

/// Message of a bucket, prepared for the writer.
pub(super) struct ObeyedChange {
    pub(super) change: ForcedChange,
    pub(super) sequence: u64,
    actor: Arc<str>,
    at: Timestamp,
}

impl ObeyedBatch {
    pub(super) fn prepare(batch: SharedBatch, key: FingerprintKey) -> Self {
        let SharedBatch { changes, gone, position, taking } = batch;
        let is_unreadable = |change: &SharedChange| matches!(change.state, SharedState::Unreadable);
        let unreadable = changes.iter().filter(|change| is_unreadable(change));
        let unreadable = unreadable.map(|change| (change.id.clone(), change.sequence)).collect();
        let prepare = |share: Vec<SharedChange>| -> Vec<ObeyedChange> {
            share.into_iter().filter_map(|change| ObeyedChange::prepare(change, key)).collect()
        };
        let changes = on_threads(shares(changes, WORTH_A_THREAD), prepare).into_iter().flatten().collect();
        Self { changes, unreadable, gone, position, taking }
    }

    /// How many changes it counts for.
    pub(in crate::rules::publisher) fn len(&self) -> usize {
        self.changes.len() + self.unreadable.len() + self.gone.len()
    }
}

impl ObeyedChange {
    fn prepare(change: SharedChange, key: FingerprintKey) -> Option<Self> {
        let SharedChange { id, sequence, state, actor, at } = change;
        let change = match state {
            SharedState::Document(widget) => ForcedChange::put(*widget, key),
            SharedState::Deleted { revision, was_restricted } => {
                ForcedChange::delete(id, revision, was_restricted)
            }
            SharedState::Unreadable => return None,
        };
        Some(Self { change, sequence, actor, at })
    }

    /// Whether it is what was published in place of this kill switch, or makes the switch pointless.
    fn replaces(&self, stop: &UnkeptStop, taking: Taking) -> bool {
        let PublishedStop { term, replacement, sequence } = stop.published;
        let term_is = |term: Option<u128>| term == Some(self.change.term);
        self.change.json().is_none()
            || term_is(term)
            || term_is(replacement)
            || term_is(stop.term(&self.change.id))
            || taking != Taking::All && sequence.is_some_and(|sequence| sequence <= self.sequence)
    }
}

/// Next state, as messages make it one after the other.
pub(super) struct NextState<'b> {
    in_force: &'b RuleBook,
    pub(super) share: KeptShare,
    pub(super) keys: HashMap<WidgetId, Option<SharedKey>>,
    /// Kill switches that are not kept yet.
    pub(super) stops: BTreeMap<WidgetId, UnkeptStop>,
    /// Those of them that are kept now, or pointless.
    pub(super) lifted: Vec<WidgetId>,
    /// The documents under those that stay, where they are others now.
    pub(super) under: BTreeMap<WidgetId, Json>,
    /// Widgets with another last message.
    pub(super) turned: HashSet<WidgetId>,
    pub(super) forced: Vec<ForcedChange>,
    /// Of each of those: who has made it, and whether it is to be kept even if the book is so already.
    pub(super) signed: Vec<(Arc<Author>, bool)>,
}

impl<'b> NextState<'b> {
    /// The state in force. `keys`: the last messages of all widgets that the batch is about.
    pub(super) fn new(
        in_force: &'b RuleBook,
        share: KeptShare,
        keys: HashMap<WidgetId, Option<SharedKey>>,
        stops: BTreeMap<WidgetId, UnkeptStop>,
    ) -> Self {
        let room = keys.len();
        Self {
            in_force,
            share,
            keys,
            stops,
            lifted: Vec::new(),
            under: BTreeMap::new(),
            turned: HashSet::new(),
            forced: Vec::with_capacity(room),
            signed: Vec::with_capacity(room),
        }
    }

    pub(super) fn take(&mut self, message: ObeyedChange, generation: u64, taking: Taking) {
        let id = message.change.id.clone();
        let before = self.keys.get(&id).copied().flatten();
        if !taking.takes(before.map(|before| before.sequence), message.sequence) {
            return;
        }
        let now = SharedKey { sequence: message.sequence, term: message.change.term };
        let is_news = before.is_none_or(|before| before.term != now.term);
        self.turn(&id, before, Some(now));
        if let Some(stop) = self.stops.get(&id) {
            match message.change.json() {
                Some(json) if !message.replaces(stop, taking) => {
                    if !is_news {
                        return;
                    }
                    self.under.insert(id, Arc::clone(json));
                }
                _ => self.lift(id),
            }
        }
        let author = Author::at(Actor::Elsewhere(message.actor), message.at, generation);
        self.forced.push(message.change);
        self.signed.push((author, is_news));
    }

    /// Removes a widget of which the bucket knows nothing. Its tombstone is this edge's alone: it keeps the widget from
    /// coming back open in silence.
    pub(super) fn remove(&mut self, id: &WidgetId, author: &Arc<Author>) {
        let before = self.keys.get(id).copied().flatten();
        self.turn(id, before, None);
        if self.stops.contains_key(id) {
            self.lift(id.clone());
        }
        let Some(rules) = self.in_force.get(id.as_str()) else { return };
        let was_restricted = rules.access != Access::Open;
        self.forced.push(ForcedChange::delete(id.clone(), next_revision(rules.revision), was_restricted));
        self.signed.push((Arc::clone(author), true));
    }

    /// Passes over a message that says nothing which can be taken.
    pub(super) fn pass(&mut self, id: &WidgetId, sequence: u64, taking: Taking) {
        let before = self.keys.get(id).copied().flatten();
        if taking.takes(before.map(|before| before.sequence), sequence) {
            let term = before.map_or(0, |before| before.term);
            self.turn(id, before, Some(SharedKey { sequence, term }));
        }
    }

    fn turn(&mut self, id: &WidgetId, before: Option<SharedKey>, now: Option<SharedKey>) {
        if before != now {
            self.share.turn(before, now);
            self.keys.insert(id.clone(), now);
            self.turned.insert(id.clone());
        }
    }

    fn lift(&mut self, id: WidgetId) {
        self.stops.remove(&id);
        self.under.remove(&id);
        self.lifted.push(id);
    }
}
