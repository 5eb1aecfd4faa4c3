//! Messages of a bucket in the writer: in force with one swap, and then kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Publisher;
use super::observer::Swap;
use super::queue::{CallFailure, Work};
use super::shared::sequence;
use crate::rules::book::{AppliedBatch, DisabledWidget, ForcedChange, RuleBook};
use crate::rules::change::{Actor, ChangedWidget};
use crate::rules::documents::Json;
use crate::rules::edit::disable::disabled;
use crate::rules::error::{SaveError, StoreError};
use crate::rules::fingerprint::FingerprintKey;
use crate::rules::parallel::{on_threads, shares};
use crate::rules::shared::{BucketPosition, SharedBatch, SharedChange, SharedState};
use crate::rules::storage::share::{KeptShare, ShareCommit, SharedKey};
use crate::rules::storage::stops::{PublishedStop, UnkeptStop};
use crate::rules::storage::unkept::UnkeptChange;
use crate::rules::storage::{Author, Commit, SignedWrite, Storage};
use embedgate_policy::widget::{Access, WidgetId, next_revision};

/// A position alone is kept no more often than this: whoever starts from an earlier one reads a little again.
const POSITION_INTERVAL: Duration = Duration::from_secs(1);

/// Fewer are ready before another thread has started.
const WORTH_A_THREAD: usize = 256;

/// Messages of a bucket, prepared for the writer.
pub(super) struct ObeyedBatch {
    changes: Vec<ObeyedChange>,
    /// Widgets whose last message says nothing that can be taken, with its sequence.
    unreadable: Vec<(WidgetId, u64)>,
    gone: Vec<WidgetId>,
    position: Option<BucketPosition>,
    anew: bool,
}

/// Message of a bucket, prepared for the writer.
struct ObeyedChange {
    change: ForcedChange,
    sequence: u64,
    actor: Arc<str>,
    at: Timestamp,
}

impl ObeyedBatch {
    fn prepare(batch: SharedBatch, key: FingerprintKey) -> Self {
        let SharedBatch { changes, gone, position, anew } = batch;
        let is_unreadable = |change: &SharedChange| matches!(change.state, SharedState::Unreadable);
        let unreadable = changes.iter().filter(|change| is_unreadable(change));
        let unreadable = unreadable.map(|change| (change.id.clone(), change.sequence)).collect();
        let prepare = |share: Vec<SharedChange>| -> Vec<ObeyedChange> {
            share.into_iter().filter_map(|change| ObeyedChange::prepare(change, key)).collect()
        };
        let changes = on_threads(shares(changes, WORTH_A_THREAD), prepare).into_iter().flatten().collect();
        Self { changes, unreadable, gone, position, anew }
    }

    /// How many changes it counts for.
    pub(super) fn len(&self) -> usize {
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
    fn replaces(&self, stop: &UnkeptStop, anew: bool) -> bool {
        let PublishedStop { term, sequence } = stop.published;
        let term_is = |term: Option<u128>| term == Some(self.change.term);
        self.change.json().is_none()
            || term_is(term)
            || term_is(stop.term(&self.change.id))
            || !anew && sequence.is_some_and(|sequence| sequence <= self.sequence)
    }
}

/// Next state, as messages make it one after the other.
struct NextState<'b> {
    in_force: &'b RuleBook,
    share: KeptShare,
    keys: HashMap<WidgetId, Option<SharedKey>>,
    /// Kill switches that are not kept yet.
    stops: BTreeMap<WidgetId, UnkeptStop>,
    /// Those of them that are kept now, or pointless.
    lifted: Vec<WidgetId>,
    /// The documents under those that stay, where they are others now.
    under: BTreeMap<WidgetId, Json>,
    /// Widgets with another last message.
    turned: HashSet<WidgetId>,
    forced: Vec<ForcedChange>,
    /// Of each of those: who has made it, and whether it is to be kept even if the book is so already.
    signed: Vec<(Arc<Author>, bool)>,
}

impl NextState<'_> {
    fn take(&mut self, message: ObeyedChange, generation: u64, anew: bool) {
        let id = message.change.id.clone();
        let before = self.keys.get(&id).copied().flatten();
        if !anew && before.is_some_and(|before| before.sequence >= message.sequence) {
            return;
        }
        let now = SharedKey { sequence: message.sequence, term: message.change.term };
        let is_news = before.is_none_or(|before| before.term != now.term);
        self.turn(&id, before, Some(now));
        if let Some(stop) = self.stops.get(&id) {
            match message.change.json() {
                Some(json) if !message.replaces(stop, anew) => {
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
    fn remove(&mut self, id: &WidgetId, author: &Arc<Author>) {
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
    fn pass(&mut self, id: &WidgetId, sequence: u64, anew: bool) {
        let before = self.keys.get(id).copied().flatten();
        if anew || before.is_none_or(|before| before.sequence < sequence) {
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

impl Publisher {
    /// Puts in force what a bucket says, in its order, with one swap, and keeps it. What can't be kept is in force all the
    /// same, and is kept as soon as that is possible. Blocks.
    ///
    /// # Errors
    ///
    /// Another process has taken over. Nothing has changed then.
    pub(in crate::rules) fn obey(&self, batch: SharedBatch) -> Result<(), SaveError> {
        let batch = ObeyedBatch::prepare(batch, self.key());
        match self.run(Work::Obey(Box::new(batch))) {
            Err(CallFailure::NotSaved(error)) => Err(error),
            Ok(_) | Err(CallFailure::Rejected(_)) => Ok(()),
        }
    }

    /// The same, by whoever is the writer.
    pub(super) fn follow_bucket(&self, batch: ObeyedBatch) {
        let started = Instant::now();
        let in_force = self.live.load_full();
        let generation = in_force.generation().saturating_add(1);
        let ObeyedBatch { changes, unreadable, gone, position, anew } = batch;
        let last = changes.iter().map(|change| change.sequence).max();
        let share = self.sharing.in_force();
        let reached = position.map(|position| position.sequence).or(last).unwrap_or(sequence(&share));
        let ids = changes.iter().map(|message| &message.change.id).chain(&gone);
        let ids = ids.chain(unreadable.iter().map(|(id, _)| id));
        let mut next = NextState {
            in_force: &in_force,
            share: KeptShare { position: position.or(share.position), ..share },
            keys: self.last_messages(ids),
            stops: self.storage.stops().into_iter().collect(),
            lifted: Vec::new(),
            under: BTreeMap::new(),
            turned: HashSet::new(),
            forced: Vec::with_capacity(changes.len()),
            signed: Vec::with_capacity(changes.len()),
        };
        for message in changes {
            next.take(message, generation, anew);
        }
        let author = Author::now(Actor::Source(self.source), generation);
        gone.iter().for_each(|id| next.remove(id, &author));
        unreadable.iter().for_each(|(id, sequence)| next.pass(id, *sequence, anew));
        let NextState { share, keys, stops, lifted, under, turned, forced, signed, .. } = next;

        let AppliedBatch { mut book, outcomes, mut changed, writes, .. } = in_force.force(forced);
        let signed = writes.into_iter().zip(outcomes).zip(signed);
        let signed = signed.filter(|((_, outcome), (_, is_news))| *is_news || outcome.is_change());
        let writes: Vec<SignedWrite> =
            signed.map(|((write, _), (author, _))| SignedWrite { write, author }).collect();
        let remade = remake(&mut book, &mut changed, stops, under);
        let actors = actors(&changed, &writes, &remade);
        let book = match changed.is_empty() {
            true => Arc::clone(&in_force),
            false => Arc::new(book.at_generation(generation)),
        };

        let behind = self.storage.behind();
        let mut late = behind.unkept();
        let unkept = unkept(&turned, &keys, &writes);
        self.sharing.note_reached(reached);
        // Whoever reads the last message of a widget and then the book finds a book that knows this message; and whoever
        // reads it and then a kill switch finds one that was made over it.
        self.storage.with_stops(|stops| {
            if !changed.is_empty() {
                self.live.swap(Arc::clone(&book));
            }
            behind.put(unkept);
            for id in &lifted {
                stops.remove(id);
            }
            stops.extend(remade);
            if anew {
                stops.values_mut().for_each(|stop| stop.published = PublishedStop::default());
            }
        });
        for id in lifted {
            tracing::info!(widget = %id, "the kill switch that could not be kept is kept now, or replaced");
        }
        if !changed.is_empty() {
            let (source, took) = (self.source, started.elapsed());
            let (changed, actors) = (changed.as_slice(), actors.as_slice());
            self.announce(&Swap { source, book: &book, changed, actors, followed: None, took });
        }
        self.sharing.set(share);
        self.status.lock().accepted(Timestamp::now());
        let late = late.drain(..).filter_map(|(_, change)| change.write);
        // What can't be kept is in front of the storage, and tried again.
        let _ = self.keep_obeyed(late.chain(writes).collect(), POSITION_INTERVAL);
    }

    /// The last message of each of these widgets. One that can't be read counts as one that every other comes after.
    fn last_messages<'i>(
        &self,
        ids: impl Iterator<Item = &'i WidgetId>,
    ) -> HashMap<WidgetId, Option<SharedKey>> {
        let ids: HashSet<&WidgetId> = ids.collect();
        let ids: Vec<&WidgetId> = ids.into_iter().collect();
        let texts: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        let keys = self.storage.shared_keys(&texts).unwrap_or_else(|_| {
            let book = self.live.load();
            let is_known = |id: &str| book.get(id).is_some() || book.tombstone(id).is_some();
            let unreadable = |id: &str| is_known(id).then_some(SharedKey { sequence: 0, term: 0 });
            let key = |id: &&str| match self.storage.shared_keys(&[id]) {
                Ok(keys) => keys.first().copied().flatten(),
                Err(_) => unreadable(id),
            };
            texts.iter().map(key).collect()
        });
        ids.into_iter().cloned().zip(keys).collect()
    }

    /// Keeps what the bucket has said and is not kept yet.
    pub(super) fn keep_now(&self) -> Result<(), SaveError> {
        let late = self.storage.behind().unkept();
        self.keep_obeyed(late.into_iter().filter_map(|(_, change)| change.write).collect(), Duration::ZERO)
    }

    /// Keeps these writes, the last messages of widgets that are not kept yet, and the position. `interval`: a position
    /// alone is left for later, where one was kept within this time.
    fn keep_obeyed(&self, writes: Vec<SignedWrite>, interval: Duration) -> Result<(), SaveError> {
        let behind = self.storage.behind();
        let position = self.sharing.in_force().position;
        let keys: Vec<_> = behind.unkept().into_iter().map(|(id, change)| (id, change.key)).collect();
        let kept = self.sharing.keeping.lock().position;
        if writes.is_empty()
            && keys.is_empty()
            && kept.is_some_and(|(kept, at)| Some(kept) == position || at.elapsed() < interval)
        {
            return Ok(());
        }
        let share = Some(ShareCommit { keys, position });
        let mut commit = Commit { generation: self.live.load().generation(), writes, share };
        let Err(error) = self.record_and_commit(&commit) else {
            behind.settle(|_| true);
            let mut keeping = self.sharing.keeping.lock();
            keeping.position = position.map(|position| (position, Instant::now()));
            if mem::take(&mut keeping.is_failing) {
                tracing::info!("everything that the bucket says is kept again");
            }
            return Ok(());
        };
        self.keep_readable(&mut commit, &error);
        let widgets = behind.note_failure(Timestamp::now());
        if !mem::replace(&mut self.sharing.keeping.lock().is_failing, true) {
            tracing::error!(
                widgets,
                %error,
                "what the bucket says is in force, but could not be kept; it is tried again, and a start reads it again"
            );
        }
        Err(error)
    }

    /// Keeps the writes of those widgets alone that can be written: what is damaged of one is not to keep the others from
    /// it. The position stays, so that a start reads the rest again.
    fn keep_readable(&self, commit: &mut Commit, error: &SaveError) {
        if !matches!(error, SaveError::Storage(StoreError::DamagedPart { .. })) {
            return;
        }
        let may_write =
            |signed: &SignedWrite| self.storage.may_write(std::slice::from_ref(&signed.write)).is_ok();
        let bad: HashSet<WidgetId> = commit
            .writes
            .iter()
            .filter(|signed| !may_write(signed))
            .map(|signed| signed.write.id.clone())
            .collect();
        let Some(share) =
            commit.share.as_mut().filter(|share| !bad.is_empty() && bad.len() < share.keys.len())
        else {
            return;
        };
        share.position = None;
        share.keys.retain(|(id, _)| !bad.contains(id));
        commit.writes.retain(|signed| !bad.contains(&signed.write.id));
        if self.record_and_commit(commit).is_ok() {
            self.storage.behind().settle(|id| !bad.contains(id));
        }
    }
}

/// Puts kill switches in force again over other documents than before.
fn remake(
    book: &mut RuleBook,
    changed: &mut Vec<ChangedWidget>,
    mut stops: BTreeMap<WidgetId, UnkeptStop>,
    under: BTreeMap<WidgetId, Json>,
) -> Vec<(WidgetId, UnkeptStop)> {
    let mut remade = Vec::with_capacity(under.len());
    for (id, json) in under {
        let Some(UnkeptStop { author, .. }) = stops.remove(&id) else { continue };
        let json = disabled(&json);
        let Some(disabled) = book.disable(&id, json.as_deref()) else { continue };
        let DisabledWidget { book: next, before, revision, record } = disabled;
        *book = next;
        match changed.binary_search_by(|changed| changed.id.cmp(&id)) {
            Ok(place) => {
                if let Some(changed) = changed.get_mut(place) {
                    changed.after = Some(revision);
                }
            }
            Err(place) => changed
                .insert(place, ChangedWidget { id: id.clone(), before: Some(before), after: Some(revision) }),
        }
        remade.push((id, UnkeptStop { revision, record, json, author, published: PublishedStop::default() }));
    }
    remade
}

/// Who has changed each of these widgets.
fn actors(
    changed: &[ChangedWidget],
    writes: &[SignedWrite],
    remade: &[(WidgetId, UnkeptStop)],
) -> Vec<Arc<str>> {
    let written = writes.iter().map(|signed| (&signed.write.id, &signed.author.name));
    let stopped = remade.iter().map(|(id, stop)| (id, &stop.author.name));
    let last: HashMap<&WidgetId, &Arc<str>> = written.chain(stopped).collect();
    let actors = changed.iter().map(|changed| last.get(&changed.id).map(|actor| Arc::clone(actor)));
    actors.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// What is to be kept of widgets, by widget.
fn unkept(
    turned: &HashSet<WidgetId>,
    keys: &HashMap<WidgetId, Option<SharedKey>>,
    writes: &[SignedWrite],
) -> Vec<(WidgetId, UnkeptChange)> {
    let mut last: HashMap<&WidgetId, &SignedWrite> =
        writes.iter().map(|signed| (&signed.write.id, signed)).collect();
    let change = |id: &WidgetId, write: Option<&SignedWrite>| {
        let key = keys.get(id).copied().flatten();
        (id.clone(), UnkeptChange { write: write.cloned(), key, since: None })
    };
    let mut unkept: Vec<_> = turned.iter().map(|id| change(id, last.remove(id))).collect();
    unkept.extend(last.into_iter().map(|(id, write)| change(id, Some(write))));
    unkept
}
