//! Group commit: judge → write → audit → commit → swap → tell → answer. One group at a time.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Publisher;
use super::group::Group;
use super::observer::Swap;
use super::published::Published;
use super::queue::{AnswerSlot, Call, CallFailure, RequestCall, Work};
use super::stops::StopCall;
use crate::rules::audit::{AuditRecord, AuditedDocument, AuditedState};
use crate::rules::book::RuleBook;
use crate::rules::change::ChangedWidget;
use crate::rules::error::SaveError;
use crate::rules::storage::{Commit, SignedWrite, Storage, WidgetState};
use embedgate_policy::widget::WidgetId;

impl Publisher {
    /// Answers every call of a group.
    pub(super) fn write(&self, calls: Vec<Call>) {
        let (mut requests, mut keepers) = (Vec::new(), Vec::new());
        for Call { work, answer } in calls {
            match work {
                Work::Request(request) => requests.push(RequestCall { request, answer }),
                Work::Keep => keepers.push(answer),
                Work::Obey(batch) => {
                    self.follow_bucket(*batch);
                    answer.give(Ok(Published::nothing(self.live.load().generation())));
                }
                Work::Stop { id, only_if, actor, cause } => {
                    self.stop(vec![StopCall { id, only_if, actor, answer }], &cause);
                }
            }
        }
        self.write_requests(requests, keepers);
    }

    /// Answers requests. Each is judged against the book as those before it leave it; one that
    /// can't be made fails alone.
    fn write_requests(&self, calls: Vec<RequestCall>, keepers: Vec<Arc<AnswerSlot>>) {
        let started = Instant::now();
        let in_force = self.live.load_full();
        let mut group = Group::judge(&in_force, &self.storage, self.brake(), calls);
        let (stops, refused) = (mem::take(&mut group.stops), mem::take(&mut group.refused));
        let (unread, turned_away) = (group.unread.take(), mem::take(&mut group.turned_away));
        if !group.commit.writes.is_empty() {
            if let Err(error) = self.keep(&group.commit) {
                // Whoever has an answer then keeps it.
                self.stop(stops, &error);
                let made = group.answers.into_iter().map(|(answer, _)| answer);
                // What these were refused by is not so.
                for answer in made.chain(turned_away.into_iter().map(|(answer, _)| answer)) {
                    answer.give(Err(CallFailure::NotSaved(error.clone())));
                }
                self.finish(unread, keepers);
                return;
            }
            let (changed, actors) = group.changed();
            self.put_in_force(group.book, &changed, &actors, started);
        }
        for (answer, failure) in turned_away {
            answer.give(Err(failure));
        }
        for (answer, error) in refused {
            answer.give(Err(CallFailure::NotSaved(error)));
        }
        // A group of refusals alone is no good news.
        if !group.answers.is_empty() {
            self.status.lock().accepted(Timestamp::now());
        }
        for (answer, published) in group.answers {
            // One may have found its widget disabled by another that is not kept yet.
            let stop = stops.iter().find(|stop| Arc::ptr_eq(&stop.answer, &answer));
            let durable = stop.is_none_or(|stop| !self.storage.is_stopped(&stop.id));
            answer.give(Ok(Published { durable, ..published }));
        }
        self.finish(unread, keepers);
    }

    /// What is left to do when a group is answered: kill switches of widgets whose documents can't be read, and those
    /// that are to be kept.
    fn finish(&self, unread: Option<(Vec<StopCall>, SaveError)>, keepers: Vec<Arc<AnswerSlot>>) {
        if let Some((stops, error)) = unread {
            self.stop(stops, &error);
        }
        if keepers.is_empty() {
            return;
        }
        let kept = if self.sharing.bucket().is_some() { self.keep_now() } else { self.write_stops() };
        for keeper in keepers {
            let generation = self.live.load().generation();
            keeper.give(kept.clone().map(|()| Published::nothing(generation)).map_err(CallFailure::NotSaved));
        }
    }

    /// Swaps the book and tells everybody.
    pub(super) fn put_in_force(
        &self,
        book: RuleBook,
        changed: &[ChangedWidget],
        actors: &[Arc<str>],
        started: Instant,
    ) {
        let book = Arc::new(book);
        self.live.swap(Arc::clone(&book));
        let (source, took) = (self.source, started.elapsed());
        self.announce(&Swap { source, book: &book, changed, actors, followed: None, took });
    }

    /// Makes a group's writes durable, with the kill switches that could not be kept yet.
    fn keep(&self, commit: &Commit) -> Result<(), SaveError> {
        let mut stops = self.storage.writes(self.key());
        if let Err(error) = self.keep_after(&stops, commit) {
            let written: HashSet<&WidgetId> = commit.writes.iter().map(|signed| &signed.write.id).collect();
            let all = stops.len();
            stops.retain(|stop| written.contains(&stop.write.id));
            if stops.len() == all {
                return Err(error);
            }
            // The others may be what can't be written. These widgets are not to suffer from it.
            self.keep_after(&stops, commit)?;
        }
        self.settle(&stops);
        // Also one whose document can't be read: what is kept now comes after it.
        for id in self.storage.settle(&commit.writes) {
            tracing::info!(widget = %id, "a later change is kept in place of the kill switch that could not be kept");
        }
        Ok(())
    }

    /// Makes a group's writes durable, after these kill switches.
    fn keep_after(&self, stops: &[SignedWrite], commit: &Commit) -> Result<(), SaveError> {
        if stops.is_empty() {
            return self.record_and_commit(commit);
        }
        let writes = stops.iter().chain(&commit.writes).cloned().collect();
        self.record_and_commit(&Commit { generation: commit.generation, writes, share: None })
    }

    /// Makes writes durable, and their record before.
    pub(super) fn record_and_commit(&self, commit: &Commit) -> Result<(), SaveError> {
        let pending = self.storage.prepare(commit)?;
        let audit = self.audit.as_ref().filter(|_| !self.handed_over.load(Ordering::Acquire));
        let Some(audit) = audit else { return Ok(pending.commit()?) };
        let previous = pending.previous();
        let records: Vec<AuditRecord<'_>> = commit
            .writes
            .iter()
            .zip(&previous)
            .map(|(SignedWrite { write, author }, before)| AuditRecord {
                at: author.at,
                generation: author.generation,
                source: self.source,
                actor: &author.actor,
                widget: &write.id,
                before: before
                    .as_ref()
                    .map(|before| AuditedDocument { revision: before.revision, json: &before.json }),
                after: match &write.state {
                    WidgetState::Put { revision, json, .. } => {
                        AuditedState::Document(AuditedDocument { revision: *revision, json })
                    }
                    WidgetState::Deleted(tombstone) => AuditedState::Deleted { revision: tombstone.revision },
                },
            })
            .collect();
        let recorded = match commit.share {
            None => audit.record(&records),
            // It is in force already, and the other edges wait for it to be kept here.
            Some(_) => audit.record_unsynced(&records),
        };
        recorded.map_err(|error| SaveError::AuditUnavailable { source: error.into() })?;
        Ok(pending.commit().inspect_err(|_| audit.revoke(&records))?)
    }

    /// Whether others have the same rules, so that the audit log may be a little behind.
    pub fn has_others(&self) -> bool {
        self.sharing.bucket().is_some()
    }

    /// Makes durable what the audit log was told of changes that others have, too. To be called again and again.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn sync_audit_log(&self) -> io::Result<()> {
        self.audit.as_ref().map_or(Ok(()), |audit| audit.sync())
    }
}
