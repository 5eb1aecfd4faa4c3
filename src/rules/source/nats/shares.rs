//! Notes of the fleet in a bucket beside that of the rules, `BUCKET-shares`. It is made when somebody needs it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType};
use async_trait::async_trait;
use tokio::time::Instant;

use super::bucket::BucketNames;
use super::connection::{CallFault, ServerConnection};
use super::consumer::{BucketConsumer, ConsumerEnd, Delivery};
use super::following::consumer_name;
use super::hub::Hub;
use crate::rules::fleet::{FleetNote, FleetNotes, NoteFault};

/// Time after which a note is gone that nobody has written again.
const KEPT: Duration = Duration::from_secs(2 * 24 * 3600);

/// Notes in the bucket of the fleet's notes.
pub(super) struct NatsNotes {
    hub: Arc<Hub>,
    names: BucketNames,
}

impl NatsNotes {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let names = BucketNames::of(&format!("{}-shares", hub.names.bucket));
        Self { hub, names }
    }

    fn connection(&self) -> Result<Arc<ServerConnection>, NoteFault> {
        if self.hub.is_superseded() {
            return Err(NoteFault::NotDone("another process has the name of this edge".to_owned()));
        }
        self.hub.connection().map_err(|reason| NoteFault::NotDone(reason.to_string()))
    }
}

#[async_trait]
impl FleetNotes for NatsNotes {
    fn edge(&self) -> &str {
        self.hub.edge()
    }

    fn process(&self) -> &str {
        &self.hub.instance
    }

    async fn is_connected(&self) -> bool {
        self.hub.is_connected().await
    }

    async fn made_at(&self) -> Result<Option<u64>, NoteFault> {
        let facts = self.connection()?.facts(&self.names).await?;
        Ok(facts.map(|facts| facts.created))
    }

    async fn make(&self) -> Result<(), NoteFault> {
        let connection = self.connection()?;
        let call = format!("STREAM.CREATE.{}", self.names.stream);
        let mut last = CallFault::NoResponders;
        // As many replicas as the bucket of the rules has.
        for replicas in [3, 1] {
            match connection.call::<Info>(&call, &config(&self.names, replicas)).await {
                Ok(_) => {
                    tracing::info!(bucket = self.names.bucket, replicas, "the bucket of shares was made");
                    return Ok(());
                }
                Err(fault) if fault.is(ErrorCode::STREAM_NAME_EXIST) => return Ok(()),
                Err(fault) if fault.is(ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED) => last = fault,
                Err(fault) => return Err(fault.into()),
            }
        }
        Err(last.into())
    }

    async fn read(&self, key: &str) -> Result<Option<FleetNote>, NoteFault> {
        let read = self.connection()?.last_message(&self.names, key).await?;
        Ok(read.map(|message| FleetNote {
            key: key.to_owned(),
            revision: message.sequence,
            body: message.payload,
        }))
    }

    async fn write(&self, key: &str, expected: u64, body: Vec<u8>) -> Result<u64, NoteFault> {
        let connection = self.connection()?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        let ack: PublishAck = connection.publish(self.names.subject(key), headers, body.into()).await?;
        Ok(ack.sequence)
    }

    async fn follow(&self, take: &mut (dyn FnMut(FleetNote) + Send)) -> NoteFault {
        match self.try_to_follow(take).await {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    }

    fn is_over(&self, edge: &str) -> bool {
        self.hub.registry.lock().is_over(edge, Instant::now())
    }

    fn edges(&self) -> usize {
        self.hub.registry.lock().waited_for(Instant::now()).len()
    }
}

impl NatsNotes {
    async fn try_to_follow(
        &self,
        take: &mut (dyn FnMut(FleetNote) + Send),
    ) -> Result<std::convert::Infallible, NoteFault> {
        let connection = self.connection()?;
        let name = consumer_name("shares", self.hub.edge());
        let mut consumer = BucketConsumer::begin_last(&connection, &self.names, name, ">", false).await?;
        let mut has_left = self.hub.has_left.subscribe();
        loop {
            let delivery = tokio::select! {
                delivery = consumer.next() => delivery?,
                _ = has_left.wait_for(|has_left| *has_left) => {
                    return Err(NoteFault::NotDone("this process follows the bucket no longer".to_owned()));
                }
            };
            if let Delivery::Message(message) = delivery {
                let (key, revision, body) = (message.key, message.sequence, message.payload.to_vec());
                take(FleetNote { key, revision, body });
            }
        }
    }
}

impl From<CallFault> for NoteFault {
    fn from(fault: CallFault) -> Self {
        let told = fault.to_string();
        match fault {
            _ if fault.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE)
                || fault.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT) =>
            {
                Self::Outdated
            }
            CallFault::Refused { .. } | CallFault::NoResponders | CallFault::Unsent(_) => Self::NotDone(told),
            CallFault::Unanswered(_) => Self::Unknown(told),
        }
    }
}

impl From<ConsumerEnd> for NoteFault {
    fn from(end: ConsumerEnd) -> Self {
        Self::NotDone(end.to_string())
    }
}

/// The stream of the notes, as NATS's own tools make one for a key-value bucket.
fn config(names: &BucketNames, num_replicas: usize) -> Config {
    Config {
        name: names.stream.clone(),
        description: Some("Shares of limits of a fleet of embedgate edges".into()),
        subjects: vec![names.subject(">").to_string()],
        max_messages_per_subject: 1,
        max_messages: -1,
        max_bytes: -1,
        max_message_size: -1,
        max_consumers: -1,
        max_age: KEPT,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas,
        duplicate_window: Duration::from_secs(120),
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    }
}
