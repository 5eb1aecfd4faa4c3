//! Announcements of edges in the bucket: who is to be waited for, and whether this edge has its name to itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::bucket::{BucketFacts, FLEET_KEYS};
use super::connection::ServerConnection;
use super::consumer::BucketConsumer;
use super::follower::{BucketFollower, SessionEnd};
use super::following::consumer_name;
use super::message::BucketMessage;
use super::registry::edge_of;
use super::report::Announcement;

/// Times that nobody of the same name may answer before this edge takes its name again.
const ALONE: u32 = 3;

impl BucketFollower {
    /// Learns of all edges that were announced before, this one among them.
    pub(super) async fn learn(
        &mut self,
        connection: &Arc<ServerConnection>,
        facts: BucketFacts,
        announced: u64,
    ) -> Result<(), SessionEnd> {
        let hub = Arc::clone(&self.hub);
        hub.registry.lock().begin(facts.created);
        let name = consumer_name("registry", hub.edge());
        let mut reader = BucketConsumer::begin_last(connection, &hub.names, name, FLEET_KEYS, false).await?;
        let mut last = 0;
        while let Some(message) = reader.next_known().await? {
            last = message.sequence;
            self.note_of_fleet(&message)?;
        }
        reader.end().await;
        self.applier.keep_edges(&hub).await;
        if last < announced {
            // A replica that lags behind the leader may not know of everybody yet.
            return Err(SessionEnd::Failed("a NATS server does not know of the last messages yet".into()));
        }
        Ok(())
    }

    /// Notes a message about an edge.
    pub(super) fn note_of_fleet(&mut self, message: &BucketMessage) -> Result<(), SessionEnd> {
        self.hub.registry.lock().note_key(&message.key);
        let Some(name) = edge_of(&message.key) else { return Ok(()) };
        let Some(announcement) = serde_json::from_slice::<Announcement>(&message.payload).ok() else {
            tracing::warn!(
                "key '{}' of the bucket is no announcement of an edge, and is left out",
                message.key
            );
            return Ok(());
        };
        let (is_own_name, is_own) = (name == self.hub.edge(), announcement.instance == self.hub.instance);
        let (is_waited_for, is_forgotten) = (announcement.is_waited_for(), announcement.forgotten);
        if announcement.name == name {
            self.hub.registry.lock().announce(announcement, message.sequence);
        }
        let is_later = self.progress.announced.is_none_or(|(sequence, _)| message.sequence > sequence);
        if is_own_name && is_own && is_later && !is_forgotten {
            self.progress.announced = Some((message.sequence, message.written));
        } else if is_own_name && self.progress.announced.is_some() && is_later {
            if is_forgotten {
                // This edge is alive, and is to be waited for.
                self.hub.announce_again.notify_one();
            } else if is_waited_for {
                return Err(SessionEnd::Superseded);
            }
        }
        Ok(())
    }

    /// Waits until no other process answers to the name of this edge.
    pub(super) async fn wait_until_alone(&mut self) -> Result<(), SessionEnd> {
        let mut alone = 0;
        let mut is_said = false;
        while alone < ALONE {
            if self.applier.is_handed_over() {
                return Err(SessionEnd::Stopped);
            }
            if self.hub.has_namesake(Duration::from_secs(1)).await {
                alone = 0;
                if !is_said {
                    is_said = true;
                    tracing::error!(
                        "another edge has the name `{}` (rules.nats.edge) and was started later, so this one follows the \
                         bucket no longer until it is alone: give each its own name",
                        self.hub.edge()
                    );
                }
                sleep(Duration::from_secs(1)).await;
            } else {
                alone += 1;
            }
        }
        self.progress.announced = None;
        self.hub.set_superseded(false);
        Ok(())
    }
}
