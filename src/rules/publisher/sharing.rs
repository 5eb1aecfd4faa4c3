//! Changes on their way into the bucket that a fleet shares: judged → published → in force when they come back.
//!
//! No lock is held meanwhile. A change is judged by a book that is at least as new as the messages that its publication
//! expects to be the last ones of its widgets. Where another edge was faster, the bucket refuses the publication, and the
//! change is judged again once that is in force here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Publisher;
use super::group::Group;
use super::published::Published;
use super::queue::{AnswerSlot, CallFailure, Request, RequestCall, Work};
use super::shared::{SharingTimes, sequence};
use crate::rules::book::RuleBook;
use crate::rules::change::Absent;
use crate::rules::edit::Edit;
use crate::rules::error::{BucketError, SaveError, StoreError};
use crate::rules::shared::{ExpectedWrite, Publication, PublishError, SharedBucket};
use crate::rules::storage::{SignedWrite, Storage};
use embedgate_policy::widget::WidgetId;

/// So often a change is judged and published.
const TRIES: u32 = 20;

/// More time to come back for each write: they are published a thousand at a time, and read and kept here.
const COMING_BACK_OF_WIDGET: Duration = Duration::from_millis(1);

/// Time before another try, where it isn't known what was in the way.
const PAUSE: Duration = Duration::from_millis(20);

/// End of one try.
enum Tried {
    /// There was nothing to publish.
    Unchanged(Published),
    /// Published.
    Published(PublishedWrites, Published),
    /// Somebody was faster: the message of this sequence was in the way.
    Conflict(Option<u64>),
}

/// Writes that were published.
struct PublishedWrites {
    /// The sequence of the last message.
    sequence: u64,
    /// The widget that it is about.
    last: Option<WidgetId>,
    count: usize,
}

impl Publisher {
    /// Has a request judged and published, and waits until it is in force.
    pub(super) fn share(
        &self,
        bucket: &dyn SharedBucket,
        request: Request,
    ) -> Result<Published, CallFailure> {
        let published = self.publish_request(bucket, &request);
        let answer = match (request, published) {
            (
                Request::Edit { id, edit: Edit::Disable, only_if, actor },
                Err(CallFailure::NotSaved(cause)),
            ) if matches!(cause, SaveError::Bucket(_) | SaveError::Storage(_)) => {
                let sequence = match cause {
                    SaveError::Bucket(BucketError::NotInForce { sequence }) => Some(sequence),
                    _ => None,
                };
                let stopped = self.run(Work::Stop { id: id.clone(), only_if, actor, cause })?;
                if sequence.is_some() {
                    self.storage.note_published(&id, None, sequence);
                }
                Ok(Published { durable: stopped.durable || sequence.is_some(), sequence, ..stopped })
            }
            (_, published) => published,
        };
        if answer.is_ok() {
            self.status.lock().accepted(jiff::Timestamp::now());
        }
        answer
    }

    fn publish_request(
        &self,
        bucket: &dyn SharedBucket,
        request: &Request,
    ) -> Result<Published, CallFailure> {
        let is_stop = matches!(request, Request::Edit { edit: Edit::Disable, .. });
        let SharingTimes { trying, coming_back, stopping, .. } = self.sharing.times;
        let (trying, coming_back) = if is_stop { (stopping, stopping) } else { (trying, coming_back) };
        let deadline = Instant::now() + trying;
        let mut tries = 0;
        while tries < TRIES && (tries == 0 || Instant::now() < deadline) {
            tries += 1;
            // The storage can't be read while it is lent.
            if !self.queue.is_open() {
                return Err(CallFailure::NotSaved(SaveError::HandedOver));
            }
            match self.try_to_publish(bucket, request) {
                Ok(Tried::Unchanged(published)) => return Ok(published),
                Ok(Tried::Published(writes, published)) => {
                    let more = COMING_BACK_OF_WIDGET * u32::try_from(writes.count).unwrap_or(u32::MAX);
                    return self.come_back(&writes, published, coming_back.saturating_add(more));
                }
                Ok(Tried::Conflict(last)) => self.let_arrive(last, deadline),
                Err(CallFailure::NotSaved(SaveError::Storage(StoreError::Lent { .. }))) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(not_shared(BucketError::Contended { tries }))
    }

    fn try_to_publish(&self, bucket: &dyn SharedBucket, request: &Request) -> Result<Tried, CallFailure> {
        // Before the book: one that is newer than these makes the bucket refuse the publication, and never the other way
        // round.
        let position = sequence(&self.sharing.in_force());
        let mut expected = self.expected(request.ids())?;
        let book = self.live.load_full();
        let answer = Arc::new(AnswerSlot::default());
        let call = RequestCall { request: request.clone(), answer: Arc::clone(&answer) };
        let mut group = Group::judge(&book, &self.storage, self.brake(), vec![call]);
        if let Some(answer) = answer.take() {
            return answer.map(Tried::Unchanged);
        }
        let refused = group.refused.pop().map(|(_, error)| error);
        if let Some(error) = refused.or(group.unread.take().map(|(_, error)| error)) {
            return Err(CallFailure::NotSaved(error));
        }
        let Some((_, published)) = group.answers.pop() else {
            return Err(CallFailure::NotSaved(SaveError::WriterFailed));
        };
        let writes = last_writes(&group.commit.writes);
        if writes.is_empty() {
            let durable = !request.ids().into_iter().any(|id| self.storage.is_stopped(id));
            let sequence = Some(self.sharing.reached().max(position));
            return Ok(Tried::Unchanged(Published { durable, sequence, ..published }));
        }
        let others = writes.iter().map(|signed| &signed.write.id).filter(|id| !expected.contains_key(*id));
        let others = self.expected(others.collect())?;
        expected.extend(others);
        self.replace_stops(&book, &writes);
        let write = |signed: &&'_ SignedWrite| expected.get(&signed.write.id).copied().unwrap_or(0);
        let writes: Vec<_> =
            writes.iter().map(|signed| ExpectedWrite { signed, expected: write(signed) }).collect();
        let (last, count) = (writes.last().map(|write| write.signed.write.id.clone()), writes.len());
        let last_sequence = request.is_about_others().then_some(position);
        let publication = Publication { writes, last_sequence, chunked: request.is_chunked() };
        match publish(bucket, publication) {
            Ok(sequence) => Ok(Tried::Published(PublishedWrites { sequence, last, count }, published)),
            Err(PublishError::Conflict { last }) => Ok(Tried::Conflict(last)),
            Err(error) => Err(not_shared(unpublished(error, count))),
        }
    }

    /// The sequences of the last messages about these widgets; 0: there is none.
    fn expected<'i>(&self, ids: Vec<&'i WidgetId>) -> Result<HashMap<&'i WidgetId, u64>, CallFailure> {
        let texts: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        let keys = self.storage.shared_keys(&texts);
        let keys = keys.map_err(|error| CallFailure::NotSaved(error.into()))?;
        Ok(ids.into_iter().zip(keys).map(|(id, key)| (id, key.map_or(0, |key| key.sequence))).collect())
    }

    /// Notes that these writes come in place of kill switches that this book has.
    fn replace_stops(&self, book: &RuleBook, writes: &[&SignedWrite]) {
        let revision = |id: &WidgetId| book.get(id.as_str()).map_or(0, |rules| rules.revision);
        for SignedWrite { write, .. } in writes {
            self.storage.with_stops(|stops| {
                if let Some(stop) =
                    stops.get_mut(&write.id).filter(|stop| stop.revision <= revision(&write.id))
                {
                    stop.published.replacement = Some(write.state.term(&write.id));
                }
            });
        }
    }

    fn come_back(
        &self,
        writes: &PublishedWrites,
        published: Published,
        within: Duration,
    ) -> Result<Published, CallFailure> {
        let PublishedWrites { sequence, ref last, .. } = *writes;
        let reaches = |share: &_| self::sequence(share) >= sequence;
        let is_over = || self.handed_over.load(Ordering::Acquire);
        let deadline = Instant::now() + within;
        self.sharing.wait(deadline, |share| reaches(share) || is_over());
        if !reaches(&self.sharing.in_force()) {
            return Err(not_shared(BucketError::NotInForce { sequence }));
        }
        let known = last.as_ref().map(|id| self.storage.shared_keys(&[id.as_str()]));
        if let Some(Ok(known)) = known
            && known.iter().all(|key| key.is_none_or(|key| key.sequence < sequence))
        {
            // The bucket has lost its end and has grown again, so another message has this sequence.
            let detail = format!("message {sequence} of the bucket is another one now").into();
            return Err(not_shared(BucketError::Uncertain { detail }));
        }
        let generation = self.live.load().generation();
        Ok(Published { generation, sequence: Some(sequence), ..published })
    }

    /// Waits for a message that was in the way.
    fn let_arrive(&self, last: Option<u64>, deadline: Instant) {
        let now = self.sharing.in_force().position;
        let is_over = || self.handed_over.load(Ordering::Acquire);
        let until = |time: Duration| deadline.min(Instant::now() + time);
        match last.filter(|last| now.is_none_or(|now| now.sequence < *last)) {
            Some(last) => {
                self.sharing
                    .wait(until(self.sharing.times.arriving), |share| sequence(share) >= last || is_over());
            }
            None => {
                self.sharing.wait(until(PAUSE), |share| share.position != now || is_over());
            }
        }
    }

    /// Publishes the kill switches that could not be published yet.
    pub(super) fn publish_stops(&self, bucket: &dyn SharedBucket) -> Result<(), SaveError> {
        let mut published = Ok(());
        for (id, stop) in self.storage.stops() {
            if stop.published.sequence.is_none()
                && let Err(error) = self.publish_stop(bucket, &id)
            {
                published = Err(error);
            }
        }
        published
    }

    fn publish_stop(&self, bucket: &dyn SharedBucket, id: &WidgetId) -> Result<(), SaveError> {
        // Before the kill switch: one that is newer than the message that it is published over is published in vain.
        let key = self.storage.shared_keys(&[id.as_str()])?.pop().flatten();
        let Some(signed) = self.storage.stop_write(id, self.key())? else { return Ok(()) };
        let term = Some(signed.write.state.term(id));
        self.storage.note_published(id, term, None);
        let expected = key.map_or(0, |key| key.sequence);
        let writes = vec![ExpectedWrite { signed: &signed, expected }];
        match publish(bucket, Publication { writes, last_sequence: None, chunked: false }) {
            Ok(sequence) => {
                self.storage.note_published(id, term, Some(sequence));
                tracing::info!(widget = %id, sequence, "the kill switch that could not be published is published now");
                Ok(())
            }
            Err(error) => Err(unpublished(error, 1).into()),
        }
    }
}

impl Request {
    /// The widgets that it names.
    fn ids(&self) -> Vec<&WidgetId> {
        match self {
            Self::Changes { changes, .. } => {
                changes.iter().map(|change| &change.id).collect::<HashSet<_>>().into_iter().collect()
            }
            Self::Edit { id, .. } => vec![id],
        }
    }

    /// Whether it is about widgets that it doesn't name.
    fn is_about_others(&self) -> bool {
        match self {
            Self::Changes { options, .. } => options.absent != Absent::Keep,
            Self::Edit { .. } => false,
        }
    }

    fn is_chunked(&self) -> bool {
        match self {
            Self::Changes { options, .. } => options.chunked,
            Self::Edit { .. } => false,
        }
    }
}

/// The last write of each widget, in their order.
fn last_writes(writes: &[SignedWrite]) -> Vec<&SignedWrite> {
    let mut seen: HashSet<&WidgetId> = HashSet::with_capacity(writes.len());
    let mut last: Vec<&SignedWrite> =
        writes.iter().rev().filter(|signed| seen.insert(&signed.write.id)).collect();
    last.reverse();
    last
}

/// Publishes changes. A widget whose key somebody has purged has no message any more: nobody has written it since then.
fn publish(bucket: &dyn SharedBucket, mut publication: Publication<'_>) -> Result<u64, PublishError> {
    let first = bucket.publish(&publication);
    match (&first, publication.writes.as_mut_slice()) {
        (Err(PublishError::Conflict { last: Some(0) }), [write]) if write.expected > 0 => {
            write.expected = 0;
            bucket.publish(&publication)
        }
        _ => first,
    }
}

fn not_shared(error: BucketError) -> CallFailure {
    CallFailure::NotSaved(error.into())
}

fn unpublished(error: PublishError, changes: usize) -> BucketError {
    match error {
        PublishError::Conflict { .. } => BucketError::Contended { tries: 1 },
        PublishError::TooLarge { most } => BucketError::TooLarge { changes, most },
        PublishError::Unavailable(detail) => BucketError::Unavailable { detail },
        PublishError::Faulted(detail) => BucketError::Faulted { detail },
        PublishError::Uncertain(detail) => BucketError::Uncertain { detail },
    }
}

#[cfg(test)]
mod tests;
