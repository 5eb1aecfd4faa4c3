//! Publishing to the bucket: each write expects what its writer has read, and several are published as one.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
    NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Builder;

use super::bucket::BucketNames;
use super::connection::{CALL, CallFault, ServerConnection};
use super::hub::Hub;
use super::message::NewMessage;
use crate::rules::shared::{Publication, PublishError, SharedBucket};

/// Most messages of one batch that a NATS server takes, unless it is configured otherwise.
const BATCH: usize = 1000;

/// Time to go on trying while nothing was published: the bucket's leader may just be elected.
const TRY: Duration = Duration::from_secs(5);

/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a condition on the whole bucket is stated anew, where only edges have announced themselves meanwhile.
const RESTATED: usize = 50;

/// Bucket as the publisher writes to it.
pub(super) struct NatsBucket {
    pub(super) hub: Arc<Hub>,
    pub(super) runtime: Handle,
}

impl SharedBucket for NatsBucket {
    fn publish(&self, publication: &Publication<'_>) -> Result<u64, PublishError> {
        let edge = self.hub.edge();
        let message = |write: &crate::rules::shared::ExpectedWrite<'_>| {
            NewMessage::of_write(write.signed, write.expected, edge)
        };
        let messages: Vec<_> = publication.writes.iter().map(message).collect();
        if messages.len() > BATCH && !publication.chunked {
            return Err(PublishError::TooLarge { most: BATCH });
        }
        self.runtime.block_on(self.hub.publish_all(messages, publication.last_sequence))
    }
}

impl Hub {
    /// The connection, if the bucket may be written to.
    fn writable(&self) -> Result<Arc<ServerConnection>, PublishError> {
        if let Some(fault) = self.fault() {
            return Err(PublishError::Faulted(fault.detail.into()));
        }
        if self.is_superseded() {
            let taken = format!(
                "another process has the name of this edge, `{}`, and follows the bucket instead: give each edge its \
                 own rules.nats.edge",
                self.edge()
            );
            return Err(PublishError::Faulted(taken.into()));
        }
        let connection = self.connection().map_err(PublishError::Unavailable)?;
        // Until then it may turn out to be another one than was followed.
        match self.link.borrow().connected {
            true => Ok(connection),
            false => Err(PublishError::Unavailable("the bucket is not followed yet".into())),
        }
    }

    /// Publishes messages, in pieces where they are many.
    async fn publish_all(
        &self,
        messages: Vec<NewMessage>,
        mut last_sequence: Option<u64>,
    ) -> Result<u64, PublishError> {
        let mut sequence = 0;
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let piece: Vec<_> = messages.by_ref().take(BATCH).collect();
            sequence = match last_sequence {
                None => self.publish_piece(&piece, None).await?,
                Some(expected) => self.publish_behind(&piece, expected).await?,
            };
            // Nothing else may come between the pieces, either.
            last_sequence = last_sequence.map(|_| sequence);
        }
        Ok(sequence)
    }

    /// Publishes a piece if no change was published behind this sequence. What edges say of themselves is in the bucket,
    /// too, and is no change.
    async fn publish_behind(&self, piece: &[NewMessage], last: u64) -> Result<u64, PublishError> {
        let until = Instant::now() + TRY;
        let mut enforced = self.enforced.subscribe();
        let mut tries = 0;
        loop {
            let expected = (*enforced.borrow_and_update()).max(last);
            // After the sequence: whatever it counts, has changed this already.
            let changed = self.in_force().changed;
            if changed > last {
                return Err(PublishError::Conflict { last: Some(changed) });
            }
            tries += 1;
            match self.publish_piece(piece, Some(expected)).await {
                Err(PublishError::Conflict { .. }) if tries < RESTATED => {
                    // Whatever it was comes here, too.
                    if !matches!(timeout_at(until, enforced.changed()).await, Ok(Ok(()))) {
                        return Err(PublishError::Conflict { last: None });
                    }
                }
                done => return done,
            }
        }
    }

    /// Publishes a piece, and tries again while nothing of it is published and somebody may be there soon.
    async fn publish_piece(&self, piece: &[NewMessage], last: Option<u64>) -> Result<u64, PublishError> {
        let until = Instant::now() + TRY;
        loop {
            let connection = self.writable()?;
            match connection.publish_as_one(&self.names, piece, last).await {
                Ok(sequence) => {
                    self.knows_of(sequence);
                    return Ok(sequence);
                }
                Err(fault) if is_passing(&fault) && Instant::now() < until => sleep(PAUSE).await,
                Err(fault) => return Err(unpublished(fault)),
            }
        }
    }
}

impl ServerConnection {
    /// Publishes messages, all or none, and gives the sequence of the last one. `last`: that of the whole bucket before.
    pub(super) async fn publish_as_one(
        &self,
        names: &BucketNames,
        messages: &[NewMessage],
        last: Option<u64>,
    ) -> Result<u64, CallFault> {
        let Some((end, before)) = messages.split_last() else {
            return Err(CallFault::Unsent("nothing to publish".into()));
        };
        let batch = Builder::from_random_bytes(rand::random()).into_uuid().simple().to_string();
        let prepared = |index: usize, message: &NewMessage| {
            let mut headers = message.headers.clone();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, message.expected.to_string());
            if let Some(last) = last.filter(|_| index == 0) {
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last.to_string());
            }
            if !before.is_empty() {
                headers.insert(NATS_BATCH_ID, batch.as_str());
                headers.insert(NATS_BATCH_SEQUENCE, (index + 1).to_string());
            }
            headers
        };
        for (index, message) in before.iter().enumerate() {
            let sent = self.client.publish_with_headers(
                names.subject(&message.key),
                prepared(index, message),
                message.payload.clone(),
            );
            // Without its end a batch is dropped by the server.
            match tokio::time::timeout(CALL, sent).await {
                Ok(sent) => sent.map_err(|error| CallFault::Unsent(super::connection::told(&error)))?,
                Err(_) => return Err(CallFault::Unsent("the connection to NATS is stuck".into())),
            }
        }
        let mut headers = prepared(before.len(), end);
        if !before.is_empty() {
            headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        }
        let ack: PublishAck = self.publish(names.subject(&end.key), headers, end.payload.clone()).await?;
        Ok(ack.sequence)
    }
}

/// Whether nothing was published for a reason that may soon be over.
fn is_passing(fault: &CallFault) -> bool {
    matches!(fault, CallFault::NoResponders)
        || fault.is(ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH)
        || fault.is(ErrorCode::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT)
        || fault.is(ErrorCode::CLUSTER_NOT_LEADER)
        || fault.is(ErrorCode::CLUSTER_NOT_AVAILABLE)
}

/// What a failed call means to whoever publishes.
fn unpublished(fault: CallFault) -> PublishError {
    match &fault {
        CallFault::Unanswered(_) => PublishError::Uncertain(fault.to_string().into()),
        CallFault::Refused { description, .. }
            if fault.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE)
                || fault.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT) =>
        {
            PublishError::Conflict { last: last_of(description) }
        }
        CallFault::Refused { description, .. } if fault.is(ErrorCode::ATOMIC_PUBLISH_TOO_LARGE_BATCH) => {
            // "... (limit 1000)"
            let limit = description.rsplit("limit ").next().map(digits).and_then(|limit| limit.parse().ok());
            PublishError::TooLarge { most: limit.unwrap_or(BATCH) }
        }
        CallFault::Refused { .. } | CallFault::NoResponders | CallFault::Unsent(_) => {
            PublishError::Unavailable(fault.to_string().into())
        }
    }
}

/// The sequence in `wrong last sequence: 17`.
fn last_of(description: &str) -> Option<u64> {
    digits(description.rsplit("wrong last sequence: ").next()?).parse().ok()
}

/// The digits at the start of a text.
fn digits(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn refused(code: ErrorCode, description: &str) -> PublishError {
        unpublished(CallFault::Refused { code: code.0, description: description.into() })
    }

    #[test]
    fn a_lost_race_names_the_sequence_to_wait_for() {
        let told = "wrong last sequence: 17, code 400, error code 10071";
        let conflict = refused(ErrorCode::STREAM_WRONG_LAST_SEQUENCE, told);
        assert!(matches!(conflict, PublishError::Conflict { last: Some(17) }), "{conflict:?}");
        let conflict = refused(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT, "wrong last sequence");
        assert!(matches!(conflict, PublishError::Conflict { last: None }), "{conflict:?}");
    }

    #[test]
    fn only_a_missing_answer_leaves_open_whether_it_is_published() {
        let uncertain = unpublished(CallFault::Unanswered("within 5 s".into()));
        assert!(matches!(uncertain, PublishError::Uncertain(_)), "{uncertain:?}");
        for fault in [
            CallFault::NoResponders,
            CallFault::Unsent("too large".into()),
            CallFault::Refused { code: 10077, description: "no space left on device".into() },
        ] {
            assert!(matches!(unpublished(fault.clone()), PublishError::Unavailable(_)), "{fault:?}");
        }
        let large = "atomic publish batch is too large (limit 200): too large";
        let large = refused(ErrorCode::ATOMIC_PUBLISH_TOO_LARGE_BATCH, large);
        assert!(matches!(large, PublishError::TooLarge { most: 200 }), "{large:?}");
    }
}
