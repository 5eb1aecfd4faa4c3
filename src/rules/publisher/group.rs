//! Group of calls: each judged against the book as those before it leave it, and the one commit that they make.

use std::collections::HashMap;
use std::sync::Arc;

use super::editing::Edited;
use super::published::Published;
use super::queue::{AnswerSlot, CallFailure, Request, RequestCall};
use super::stops::StopCall;
use crate::rules::book::{AppliedBatch, PreparedChange, RuleBook};
use crate::rules::brake::{self, BrakeShare};
use crate::rules::change::{Absent, Actor, ApplyOptions, ChangedWidget};
use crate::rules::edit::Edit;
use crate::rules::error::{Road, SaveError, StoreError};
use crate::rules::storage::{Author, Commit, SignedWrite, Storage};
use embedgate_policy::widget::WidgetId;

/// Group of calls that were judged, in their order, and the one commit they make.
pub(super) struct Group<'s> {
    pub(super) storage: &'s dyn Storage,
    /// The share of all widgets that one change may touch.
    share: BrakeShare,
    pub(super) book: RuleBook,
    pub(super) commit: Commit,
    pub(super) answers: Vec<(Arc<AnswerSlot>, Published)>,
    /// Calls that are refused by what others of the group have made, which is not in force yet, and may never be.
    pub(super) turned_away: Vec<(Arc<AnswerSlot>, CallFailure)>,
    /// The kill switches among the calls: where the others come to nothing, they are judged again and put in force.
    pub(super) stops: Vec<StopCall>,
    /// Those of them that are refused as things stand.
    pub(super) refused: Vec<(Arc<AnswerSlot>, SaveError)>,
    /// Those of them whose document can't be read, and why.
    pub(super) unread: Option<(Vec<StopCall>, SaveError)>,
    /// The last write of each widget, among the first so many. Edits look there.
    last: HashMap<WidgetId, usize>,
    indexed: usize,
}

impl<'s> Group<'s> {
    /// Judges the calls. One that can't be made by the rules in force is answered at once; the others wait for the commit.
    pub(super) fn judge(
        in_force: &RuleBook,
        storage: &'s dyn Storage,
        share: BrakeShare,
        calls: Vec<RequestCall>,
    ) -> Self {
        let generation = in_force.generation().saturating_add(1);
        let mut group = Self {
            storage,
            share,
            book: in_force.clone(),
            commit: Commit { generation, ..Commit::default() },
            answers: Vec::with_capacity(calls.len()),
            stops: Vec::new(),
            refused: Vec::new(),
            turned_away: Vec::new(),
            unread: None,
            last: HashMap::new(),
            indexed: 0,
        };
        let alone = calls.len() == 1;
        for RequestCall { request, answer } in calls {
            match request {
                Request::Changes { changes, options, confirmed, actor } => {
                    let taken = group.take(changes, options, confirmed, &actor);
                    let taken = taken.and_then(|taken| {
                        group.readable(taken, alone).map_err(|error| CallFailure::NotSaved(error.into()))
                    });
                    group.add(taken, actor, answer);
                }
                Request::Edit { id, edit: Edit::Disable, only_if, actor } => {
                    let taken = group.disable(&id, &only_if);
                    let taken = taken.and_then(|taken| Ok(group.readable(taken, alone)?));
                    let stop = StopCall { id, only_if, actor: actor.clone(), answer: Arc::clone(&answer) };
                    match taken {
                        Err(error @ SaveError::Storage(_)) => {
                            group.unread.get_or_insert_with(|| (Vec::new(), error)).0.push(stop);
                        }
                        Err(error) => {
                            group.stops.push(stop);
                            group.refused.push((answer, error));
                        }
                        Ok(edited) => {
                            group.stops.push(stop);
                            group.add(Ok(edited), actor, answer);
                        }
                    }
                }
                Request::Edit { id, edit, only_if, actor } => {
                    let taken = group.edit(&id, edit, only_if);
                    let taken = taken.and_then(|taken| Ok(group.readable(taken, alone)?));
                    let taken = taken.map_err(CallFailure::NotSaved);
                    group.add(taken, actor, answer);
                }
            }
        }
        let unchanged = group.commit.writes.is_empty();
        let generation = if unchanged { in_force.generation() } else { generation };
        group.book = group.book.at_generation(generation);
        for (_, published) in &mut group.answers {
            published.generation = generation;
        }
        group
    }

    fn take(
        &self,
        changes: Vec<PreparedChange>,
        options: ApplyOptions,
        confirmed: Option<usize>,
        actor: &Actor,
    ) -> Result<Edited, CallFailure> {
        let applied = self.book.take(changes, options).map_err(CallFailure::Rejected)?;
        let road = road(options, actor);
        let held = |wide| CallFailure::NotSaved(SaveError::WideChange { wide, road });
        brake::check(&self.book, &applied, options, self.share, confirmed).map_err(held)?;
        Ok(Edited { applied, document: None })
    }

    /// The same, where what it replaces can be read: what is damaged of one widget is not to refuse the others. A call
    /// that is `alone` finds it out when it is written.
    fn readable(&self, taken: Edited, alone: bool) -> Result<Edited, StoreError> {
        if !alone {
            self.storage.may_write(&taken.applied.writes)?;
        }
        Ok(taken)
    }

    /// Adds what a call has made. One that is refused by the rules in force is answered.
    fn add(&mut self, taken: Result<Edited, CallFailure>, actor: Actor, answer: Arc<AnswerSlot>) {
        match taken {
            Ok(Edited { applied: AppliedBatch { book, outcomes, changed, removed, writes }, document }) => {
                self.book = book;
                let author = Author::now(actor, self.commit.generation);
                let signed = |write| SignedWrite { write, author: Arc::clone(&author) };
                self.commit.writes.extend(writes.into_iter().map(signed));
                let published = Published {
                    generation: 0,
                    outcomes,
                    changed,
                    removed,
                    document,
                    durable: true,
                    sequence: None,
                };
                self.answers.push((answer, published));
            }
            Err(failure) if self.commit.writes.is_empty() => answer.give(Err(failure)),
            Err(failure) => self.turned_away.push((answer, failure)),
        }
    }

    /// The last write of this widget that is not in force yet.
    pub(super) fn pending(&mut self, id: &WidgetId) -> Option<&SignedWrite> {
        for (place, signed) in self.commit.writes.iter().enumerate().skip(self.indexed) {
            self.last.insert(signed.write.id.clone(), place);
        }
        self.indexed = self.commit.writes.len();
        self.last.get(id).and_then(|place| self.commit.writes.get(*place))
    }

    /// What differs between the book before and the book after, each widget once, by id, and who has changed each.
    pub(super) fn changed(&self) -> (Vec<ChangedWidget>, Vec<Arc<str>>) {
        let changed = match self.answers.as_slice() {
            [(_, published)] => published.changed.clone(),
            answers => joined(answers.iter().flat_map(|(_, published)| published.changed.iter().cloned())),
        };
        let actors = match (self.answers.as_slice(), self.commit.writes.first()) {
            ([_], Some(signed)) => vec![Arc::clone(&signed.author.name); changed.len()],
            (_, _) => {
                let last: HashMap<&WidgetId, &Arc<Author>> =
                    self.commit.writes.iter().map(|signed| (&signed.write.id, &signed.author)).collect();
                // Every widget that differs was written.
                let authors = changed.iter().filter_map(|changed| last.get(&changed.id));
                authors.map(|author| Arc::clone(&author.name)).collect()
            }
        };
        (changed, actors)
    }
}

/// The road on which a call came, for what a held one is told.
fn road(options: ApplyOptions, actor: &Actor) -> Road {
    match (options.absent, actor) {
        (Absent::Withdraw, _) => Road::File,
        (_, Actor::CommandLine) => Road::Import,
        _ => Road::Batch,
    }
}

/// Each widget once, by id.
fn joined(changed: impl Iterator<Item = ChangedWidget>) -> Vec<ChangedWidget> {
    let mut changed: Vec<ChangedWidget> = changed.collect();
    // Stable, so that the calls' order holds within a widget.
    changed.sort_by(|a, b| a.id.cmp(&b.id));
    changed.dedup_by(|later, first| {
        let same = later.id == first.id;
        if same {
            first.after = later.after;
        }
        same
    });
    changed
}
