//! BatchAssembly of batches: what was published as one comes in force with one swap.

use super::message::BucketMessage;

/// Messages that came, and the batch of which a part is still on its way.
#[derive(Debug, Default)]
pub(super) struct BatchAssembly {
    whole: Vec<BucketMessage>,
    part: Vec<BucketMessage>,
    bytes: usize,
}

impl BatchAssembly {
    /// Adds the next message. Pieces of a batch that later messages have replaced are missing, and the last one may be
    /// among them: what is of another batch, or of none, ends it, too.
    pub(super) fn push(&mut self, message: BucketMessage) {
        self.bytes += message.payload.len();
        let batch = message.batch();
        if batch.is_none() || batch.map(|(id, _)| id) != self.open() {
            self.end_batch();
        }
        match batch {
            Some((_, commits)) => {
                self.part.push(message);
                if commits {
                    self.end_batch();
                }
            }
            None => self.whole.push(message),
        }
    }

    /// No more is coming for now.
    pub(super) fn end_batch(&mut self) {
        self.whole.append(&mut self.part);
    }

    /// Whether a batch waits for more.
    pub(super) fn is_open(&self) -> bool {
        !self.part.is_empty()
    }

    /// The batch that waits for more.
    fn open(&self) -> Option<&str> {
        self.part.first()?.batch().map(|(id, _)| id)
    }

    /// What is whole, in the bucket's order.
    pub(super) fn take(&mut self) -> Vec<BucketMessage> {
        self.bytes = 0;
        std::mem::take(&mut self.whole)
    }

    /// Number of messages that are whole.
    pub(super) fn len(&self) -> usize {
        self.whole.len()
    }

    /// Bytes that wait here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use async_nats::HeaderMap;

    use super::*;

    /// A message of this batch (`+` at its end: it commits it); `""`: of none.
    fn message(sequence: u64, batch: &str) -> BucketMessage {
        let mut headers = HeaderMap::new();
        if !batch.is_empty() {
            headers.insert("Nats-Batch-Id", batch.trim_end_matches('+'));
        }
        if batch.ends_with('+') {
            headers.insert("Nats-Batch-Commit", "1");
        }
        let key = format!("w{sequence}");
        BucketMessage { key, sequence, written: sequence, headers: Some(headers), payload: "{}".into() }
    }

    /// What is whole after each of these messages, one letter each for what came.
    fn whole_after_each(batches: &[&str]) -> Vec<usize> {
        let mut assembly = BatchAssembly::default();
        let push = |(sequence, batch): (u64, &&str)| {
            assembly.push(message(sequence, batch));
            assembly.len()
        };
        (1..).zip(batches).map(push).collect()
    }

    #[test]
    fn a_batch_is_whole_at_its_commit_or_when_something_else_comes() {
        for (batches, whole) in [
            (&["", ""][..], vec![1, 2]),
            (&["a", "a", "a+", ""], vec![0, 0, 3, 4]),
            // The last piece was replaced by a later message.
            (&["a", "a", ""], vec![0, 0, 3]),
            (&["a", "b", "b+"], vec![0, 1, 3]),
            (&["a+", "a"], vec![1, 1]),
        ] {
            assert_eq!(whole_after_each(batches), whole, "{batches:?}");
        }
    }

    #[test]
    fn what_is_taken_is_in_order_and_a_part_stays_until_nothing_more_comes() {
        let mut assembly = BatchAssembly::default();
        for (sequence, batch) in [(1, ""), (2, "a"), (3, "a")] {
            assembly.push(message(sequence, batch));
        }
        let sequences = |messages: Vec<BucketMessage>| {
            messages.into_iter().map(|message| message.sequence).collect::<Vec<_>>()
        };
        assert_eq!(sequences(assembly.take()), [1]);
        assembly.end_batch();
        assert_eq!(sequences(assembly.take()), [2, 3]);
        assert_eq!((assembly.len(), assembly.bytes()), (0, 0));
    }
}
