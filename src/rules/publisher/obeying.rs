//! Messages of a bucket in the writer: in force with one swap, and then kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use self::batch::NextState;
pub(super) use self::batch::ObeyedBatch;
use super::Publisher;
use super::observer::Swap;
use super::queue::{CallFailure, Work};
use super::shared::sequence;
use crate::rules::book::{AppliedBatch, DisabledWidget, RuleBook};
use crate::rules::change::{Actor, ChangedWidget};
use crate::rules::documents::Json;
use crate::rules::edit::disable::disabled;
use crate::rules::error::{SaveError, StoreError};
use crate::rules::shared::{SharedBatch, Taking};
use crate::rules::storage::share::{KeptShare, ShareCommit, SharedKey};
use crate::rules::storage::stops::{PublishedStop, UnkeptStop};
use crate::rules::storage::unkept::UnkeptChange;
use crate::rules::storage::{Author, Commit, SignedWrite, Storage};
use embedgate_policy::widget::WidgetId;

mod batch;

/// A position alone is kept no more often than this: whoever starts from an earlier one reads a little again.
const POSITION_INTERVAL: Duration = Duration::from_secs(1);

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
        let ObeyedBatch { changes, unreadable, gone, position, taking } = batch;
        let last = changes.iter().map(|change| change.sequence).max();
        let share = self.sharing.in_force();
        let reached = position.map(|position| position.sequence).or(last).unwrap_or(sequence(&share));
        let ids = changes.iter().map(|message| &message.change.id).chain(&gone);
        let ids = ids.chain(unreadable.iter().map(|(id, _)| id));
        let share = KeptShare { position: position.or(share.position), ..share };
        let stops = self.storage.stops().into_iter().collect();
        let mut next = NextState::new(&in_force, share, self.last_messages(ids), stops);
        for message in changes {
            next.take(message, generation, taking);
        }
        let author = Author::now(Actor::Source(self.source), generation);
        gone.iter().for_each(|id| next.remove(id, &author));
        unreadable.iter().for_each(|(id, sequence)| next.pass(id, *sequence, taking));
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
            if taking == Taking::All {
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
