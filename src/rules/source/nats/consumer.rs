//! Consumer of the bucket: messages in their order, heartbeats while there are none, and no gap without a word.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::Message as AckedMessage;
use async_nats::jetstream::consumer::push::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, IntoConsumerConfig, ReplayPolicy};
use async_nats::{Message, StatusCode, Subject, Subscriber};
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::bucket::BucketNames;
use super::connection::{CallFault, ServerConnection, told};
use super::message::BucketMessage;

/// Time between heartbeats of a consumer that has nothing to say.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Two heartbeats that are missing, with a little time for the way.
const SILENCE: Duration = Duration::from_millis(2_500);

/// Time after which the server takes a consumer away that nobody listens to.
const ABANDONED: Duration = Duration::from_secs(5);

/// Header of a heartbeat: the sequence of the consumer's last message.
const LAST_CONSUMER: &str = "Nats-Last-Consumer";
/// Header of a heartbeat: the consumer waits for a word on this subject.
const STALLED: &str = "Nats-Consumer-Stalled";

/// Consumer that follows the bucket.
pub(super) struct BucketConsumer {
    connection: Arc<ServerConnection>,
    names: BucketNames,
    name: String,
    subscriber: Subscriber,
    /// The number of messages that have come.
    count: u64,
    /// The number of messages that the server knew of and that have not come, as of the last message.
    pub(super) pending: u64,
    silent_at: Instant,
}

/// What came from a consumer.
#[derive(Debug)]
pub(super) enum Delivery {
    Message(BucketMessage),
    /// It is alive, and has sent everything that there was.
    Heartbeat,
}

/// Reason why a consumer can't go on.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ConsumerEnd {
    #[error("{0}")]
    Call(#[from] CallFault),
    #[error("{0}")]
    Lost(Arc<str>),
}

/// Answer to the deletion of a consumer.
#[derive(Deserialize)]
struct DeletedConsumer {}

impl BucketConsumer {
    /// Begins to follow. A consumer of this name that is there already is taken away.
    pub(super) async fn begin(
        connection: &Arc<ServerConnection>,
        names: &BucketNames,
        name: String,
        keys: &str,
        deliver_policy: DeliverPolicy,
    ) -> Result<Self, ConsumerEnd> {
        Self::begin_reading(connection, names, name, keys, deliver_policy, false).await
    }

    /// The same for the last message of each of these keys. `headers_only`: without what they say.
    pub(super) async fn begin_last(
        connection: &Arc<ServerConnection>,
        names: &BucketNames,
        name: String,
        keys: &str,
        headers_only: bool,
    ) -> Result<Self, ConsumerEnd> {
        let policy = DeliverPolicy::LastPerSubject;
        Self::begin_reading(connection, names, name, keys, policy, headers_only).await
    }

    async fn begin_reading(
        connection: &Arc<ServerConnection>,
        names: &BucketNames,
        name: String,
        keys: &str,
        deliver_policy: DeliverPolicy,
        headers_only: bool,
    ) -> Result<Self, ConsumerEnd> {
        delete(connection, names, &name).await?;
        let inbox = connection.client.new_inbox();
        let subscribed = connection.client.subscribe(inbox.clone()).await;
        let subscriber = subscribed.map_err(|error| ConsumerEnd::Lost(told(&error).into()))?;
        let filter_subject = names.subject(keys).to_string();
        let config = Config {
            deliver_subject: inbox,
            name: Some(name.clone()),
            deliver_policy,
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            filter_subject: filter_subject.clone(),
            headers_only,
            replay_policy: ReplayPolicy::Instant,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            num_replicas: 1,
            memory_storage: true,
            inactive_threshold: ABANDONED,
            ..Config::default()
        };
        let stream = &names.stream;
        let config = config.into_consumer_config();
        let request = json!({ "stream_name": stream, "config": config, "action": "create" });
        let call = format!("CONSUMER.CREATE.{stream}.{name}.{filter_subject}");
        let info: Info = connection.call(&call, &request).await?;
        let (connection, names) = (Arc::clone(connection), names.clone());
        let silent_at = Instant::now() + SILENCE;
        // Those that came since its creation are counted as delivered.
        let pending = info.num_pending + info.delivered.consumer_sequence;
        Ok(Self { connection, names, name, subscriber, count: 0, pending, silent_at })
    }

    /// Waits for what comes next.
    pub(super) async fn next(&mut self) -> Result<Delivery, ConsumerEnd> {
        loop {
            let message = tokio::select! {
                biased;
                message = timeout_at(self.silent_at, self.subscriber.next()) => message,
                reason = self.connection.end() => return Err(ConsumerEnd::Lost(reason)),
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Err(ConsumerEnd::Lost("the subscription has ended".into())),
                Err(_) => return Err(ConsumerEnd::Lost("two heartbeats of the bucket are missing".into())),
            };
            if let Some(delivery) = self.take(message).await? {
                return Ok(delivery);
            }
        }
    }

    /// The next message of those that the server knew of; `None` after the last one.
    pub(super) async fn next_known(&mut self) -> Result<Option<BucketMessage>, ConsumerEnd> {
        while self.pending > 0 {
            if let Delivery::Message(message) = self.next().await? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// What is here already.
    pub(super) async fn ready(&mut self) -> Result<Option<Delivery>, ConsumerEnd> {
        while let Some(message) = self.subscriber.next().now_or_never() {
            let ended = || ConsumerEnd::Lost("the subscription has ended".into());
            if let Some(delivery) = self.take(message.ok_or_else(ended)?).await? {
                return Ok(Some(delivery));
            }
        }
        Ok(None)
    }

    /// Whoever was busy with something else has not listened, so nothing was missed meanwhile.
    pub(super) fn listens_again(&mut self) {
        self.silent_at = Instant::now() + SILENCE;
    }

    async fn take(&mut self, message: Message) -> Result<Option<Delivery>, ConsumerEnd> {
        self.listens_again();
        match message.status {
            None => self.message(message).map(Some),
            Some(StatusCode::IDLE_HEARTBEAT) => self.control(message).await,
            Some(status) => {
                let description = message.description.unwrap_or_default();
                Err(ConsumerEnd::Lost(format!("the consumer has ended: {status} {description}").into()))
            }
        }
    }

    /// A heartbeat, or a question whether messages were taken up to here.
    async fn control(&mut self, message: Message) -> Result<Option<Delivery>, ConsumerEnd> {
        let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str().to_owned());
        if let Some(subject) = message.reply.map(|reply| reply.to_string()).or_else(|| header(STALLED)) {
            let answered = self.connection.client.publish(Subject::from(subject), "".into()).await;
            answered.map_err(|error| ConsumerEnd::Lost(told(&error).into()))?;
            return Ok(None);
        }
        match header(LAST_CONSUMER).and_then(|last| last.parse::<u64>().ok()) {
            Some(last) if last != self.count => Err(self.gap(last)),
            _ => {
                self.pending = 0;
                Ok(Some(Delivery::Heartbeat))
            }
        }
    }

    fn message(&mut self, message: Message) -> Result<Delivery, ConsumerEnd> {
        let Some(key) = self.names.key(&message.subject).map(str::to_owned) else {
            let subject = &message.subject;
            return Err(ConsumerEnd::Lost(format!("a message of another subject came: {subject}").into()));
        };
        let acked = AckedMessage { message, context: self.connection.jetstream.clone() };
        let info = acked.info().map_err(|error| {
            ConsumerEnd::Lost(format!("a message without its sequence came: {error}").into())
        })?;
        let (count, sequence, pending) = (info.consumer_sequence, info.stream_sequence, info.pending);
        let written = u64::try_from(info.published.unix_timestamp_nanos()).unwrap_or_default();
        if count != self.count + 1 {
            return Err(self.gap(count));
        }
        (self.count, self.pending) = (count, pending);
        let Message { headers, payload, .. } = acked.message;
        Ok(Delivery::Message(BucketMessage { key, sequence, written, headers, payload }))
    }

    fn gap(&self, found: u64) -> ConsumerEnd {
        ConsumerEnd::Lost(format!("messages are missing: {found} after {}", self.count).into())
    }

    /// Takes the consumer away.
    pub(super) async fn end(self) {
        // The server does it by itself, a little later.
        let _ = delete(&self.connection, &self.names, &self.name).await;
    }
}

async fn delete(connection: &ServerConnection, names: &BucketNames, name: &str) -> Result<(), CallFault> {
    let call = format!("CONSUMER.DELETE.{}.{name}", names.stream);
    match connection.call::<DeletedConsumer>(&call, &json!({})).await {
        Ok(DeletedConsumer {}) => Ok(()),
        Err(fault) if fault.is(ErrorCode::CONSUMER_NOT_FOUND) => Ok(()),
        Err(fault) => Err(fault),
    }
}
