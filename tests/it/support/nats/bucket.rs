//! A look into a bucket past every edge, and a hand in it.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType, Stream};
use std::time::{Duration, Instant};

use async_nats::client::Request;
use async_nats::{Client, HeaderMap};
use futures_util::TryStreamExt;
use serde_json::Value;

use crate::support::{LONG, in_time};

/// Time for an answer.
const SOON: Duration = Duration::from_secs(1);

/// A bucket, there or not.
pub struct Bucket {
    context: Context,
    name: String,
}

impl Bucket {
    /// Connects to the server of this URL.
    pub async fn open(url: &str, name: &str) -> Self {
        Self::over(async_nats::connect(url).await.unwrap(), name)
    }

    /// Over a connection that is there.
    pub fn over(client: Client, name: &str) -> Self {
        Self { context: async_nats::jetstream::new(client), name: name.to_owned() }
    }

    /// Whether the server's JetStream answers, which it does in a cluster once there is a leader.
    pub async fn server_is_ready(&self) -> bool {
        // The library's own call has a body, which the server refuses.
        let asked =
            self.context.client().send_request("$JS.API.INFO", Request::new().timeout(Some(SOON))).await;
        let answer = asked.ok().and_then(|answer| serde_json::from_slice::<Value>(&answer.payload).ok());
        answer.is_some_and(|answer| answer.get("error").is_none())
    }

    fn stream_name(&self) -> String {
        format!("KV_{}", self.name)
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    async fn stream(&self) -> Stream {
        self.context.get_stream(self.stream_name()).await.unwrap()
    }

    /// Its stream, as the server tells it; `None` while nobody answers for it.
    pub async fn info(&self) -> Option<Info> {
        let stream = self.context.get_stream(self.stream_name()).await.ok()?;
        Some(stream.cached_info().clone())
    }

    /// The sequence of the last message.
    pub async fn last_sequence(&self) -> u64 {
        self.info().await.unwrap().state.last_sequence
    }

    /// Waits until a server of the cluster leads it that is not this one, and tells its name.
    pub async fn leader_after(&self, before: &str) -> String {
        let mut found = String::new();
        in_time("the bucket has a leader", LONG, async || {
            let cluster = self.info().await.and_then(|info| info.cluster);
            found = cluster.and_then(|cluster| cluster.leader).unwrap_or_default();
            !found.is_empty() && found != before
        })
        .await;
        found
    }

    /// Waits until the consumers on it are those by which these edges follow it.
    pub async fn is_followed_by(&self, edges: &[&str]) {
        let mut wanted: Vec<String> =
            edges.iter().map(|edge| format!("edge-{}", edge.replace('.', "="))).collect();
        wanted.sort_unstable();
        let mut names = None;
        let until = Instant::now() + Duration::from_secs(15);
        while names.as_ref() != Some(&wanted) {
            assert!(Instant::now() < until, "consumers of {edges:?}: {names:?}");
            names = self.consumers().await;
        }
    }

    /// The names of the consumers on it, in order.
    async fn consumers(&self) -> Option<Vec<String>> {
        let stream = self.context.get_stream(self.stream_name()).await.ok()?;
        let mut names: Vec<String> = stream.consumer_names().try_collect().await.ok()?;
        names.sort_unstable();
        Some(names)
    }

    /// Puts a value as `nats kv put` does, and tells its sequence.
    pub async fn put(&self, key: &str, value: &str) -> u64 {
        let sent = self.context.publish(self.subject(key), value.to_owned().into()).await.unwrap();
        sent.await.unwrap().sequence
    }

    /// Deletes a key as `nats kv del` does.
    pub async fn delete(&self, key: &str) {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        let sent = self.context.publish_with_headers(self.subject(key), headers, "".into()).await.unwrap();
        sent.await.unwrap();
    }

    /// Takes every message of a key away, so that it is as if it had never been there.
    pub async fn purge(&self, key: &str) {
        self.stream().await.purge().filter(self.subject(key)).await.unwrap();
    }

    /// Takes every message of a key away but the last.
    pub async fn compact(&self, key: &str) {
        self.stream().await.purge().filter(self.subject(key)).keep(1).await.unwrap();
    }

    /// The last value of a key, `Null` where there is none.
    pub async fn last(&self, key: &str) -> Value {
        let message = self.stream().await.get_last_raw_message_by_subject(&self.subject(key)).await;
        message.map_or(Value::Null, |message| serde_json::from_slice(&message.payload).unwrap())
    }

    /// Makes it, as an operator would who knows what edges want.
    pub async fn make(&self) {
        self.make_of(1).await;
    }

    /// The same, stored by so many servers of a cluster.
    pub async fn make_of(&self, replicas: usize) {
        let config = Config { num_replicas: replicas, ..self.config() };
        self.context.create_stream(config).await.unwrap();
    }

    /// The same by one who doesn't: it takes no atomic batches.
    pub async fn make_without_batches(&self) {
        let config = Config { allow_atomic_publish: false, ..self.config() };
        self.context.create_stream(config).await.unwrap();
    }

    fn config(&self) -> Config {
        Config {
            name: self.stream_name(),
            subjects: vec![self.subject(">")],
            max_messages_per_subject: 20,
            discard: DiscardPolicy::New,
            deny_delete: true,
            allow_rollup: true,
            allow_direct: true,
            allow_atomic_publish: true,
            storage: StorageType::File,
            ..Config::default()
        }
    }

    /// Deletes it, with everything in it.
    pub async fn remove(&self) {
        self.context.delete_stream(self.stream_name()).await.unwrap();
    }
}
