//! Comparison of the bucket with what is in force here and elsewhere, before it is followed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::bucket::{BucketFacts, DECISION};
use super::connection::ServerConnection;
use super::consumer::BucketConsumer;
use super::fault::{BucketFault, ELSEWHERE};
use super::follower::{BucketFollower, SessionEnd};
use super::following::consumer_name;
use super::hub::NAME_TAKEN;
use super::report::OperatorDecision;
use crate::rules::error::StoreError;

/// Time for other edges to say whether they follow the bucket.
const ASKING: Duration = Duration::from_millis(300);

/// An edge that was cut off for longer asks the others before it follows the bucket.
const LONG: SignedDuration = SignedDuration::from_secs(10);

/// Revision of a document in the bucket.
#[derive(Deserialize)]
struct Revised {
    #[serde(default)]
    revision: u64,
}

impl BucketFollower {
    /// Number of widgets and deletions from the bucket that it lacks now, or has at a lower revision.
    pub(super) async fn lost_by(&self, connection: &Arc<ServerConnection>) -> Result<usize, SessionEnd> {
        let name = consumer_name("compare", self.hub.edge());
        let mut reader = BucketConsumer::begin_last(connection, &self.hub.names, name, ">", false).await?;
        let mut revisions: HashMap<Box<str>, u64> = HashMap::new();
        while let Some(message) = reader.next_known().await? {
            if message.is_of_widget()
                && !message.is_marker()
                && let Ok(Revised { revision }) = serde_json::from_slice(&message.payload)
            {
                revisions.insert(message.key.into_boxed_str(), revision);
            }
        }
        reader.end().await;
        let applier = self.applier.clone();
        let lost = spawn_blocking(move || {
            let mut lost = 0;
            applier.each_known(|entry| {
                let there = revisions.get(entry.id.as_str());
                lost += usize::from(there.is_none_or(|there| *there < entry.revision));
            })?;
            Ok::<_, StoreError>(lost)
        });
        let lost = lost.await.map_err(|error| SessionEnd::Failed(error.to_string().into()))?;
        lost.map_err(|error| SessionEnd::Failed(error.to_string().into()))
    }

    /// What is wrong with the bucket by the word of others: an edge that begins, or was away for long, can't tell by itself
    /// that the bucket has lost what they have.
    pub(super) async fn fault_by_others(
        &self,
        connection: &ServerConnection,
        facts: BucketFacts,
    ) -> Result<Option<BucketFault>, SessionEnd> {
        let current_at = self.hub.link.borrow().current_at;
        let was_away = current_at.is_none_or(|at| Timestamp::now().duration_since(at) > LONG);
        if self.progress.was_current && !was_away {
            return Ok(None);
        }
        let decision = connection.last_message(&self.hub.names, DECISION).await?;
        let decision = decision
            .and_then(|decision| serde_json::from_slice::<OperatorDecision>(&decision.payload).ok())
            .filter(|decision| decision.created == facts.created);
        // Whoever has not followed an operator's decision doesn't count against it.
        let decided = decision.map_or(0, |decision| decision.number);
        let reports = self.hub.roll_call(ASKING).await.map_err(SessionEnd::Failed)?;
        let others = reports.values().filter(|report| report.fault.as_deref().is_some_and(is_first_hand));
        let others = others.filter(|report| report.followed >= decided).count();
        Ok((others > 0).then_some(BucketFault::Elsewhere { edges: others }))
    }
}

/// Whether an edge with this fault has seen itself that the bucket lacks something. Those that have only heard of it would
/// keep each other from following for ever.
fn is_first_hand(fault: &str) -> bool {
    fault != NAME_TAKEN && fault != ELSEWHERE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_edge_has_only_heard_of_is_no_fault_for_others() {
        assert!(!is_first_hand(BucketFault::Elsewhere { edges: 1 }.code()) && !is_first_hand(NAME_TAKEN));
        for fault in [
            BucketFault::Missing,
            BucketFault::Another,
            BucketFault::Shrunk { last: 1, applied: 2 },
            BucketFault::Rewritten { sequence: 1 },
            BucketFault::RestoredOlder { lost: 1, known: 2 },
            BucketFault::KeysMissing { missing: 1, known: 2 },
        ] {
            assert!(is_first_hand(fault.code()), "{fault:?}");
        }
    }
}
