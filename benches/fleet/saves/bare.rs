//! A bare key-value put, and watchers that each have a connection of their own: what a save can't be faster than.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::context::Context as JetStream;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bucket;
use crate::servers::Servers;

const BUCKET: &str = "bare";
/// As long as the document of a save.
const VALUE: &[u8] = br#"{"id":"wgt_alone_0","allowed_domains":["site-100.example"],"revision":100}"#;
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Bare {
    clients: Vec<JetStream>,
    /// The last sequence that each watcher has heard.
    heard: Vec<watch::Receiver<u64>>,
    _watchers: JoinSet<()>,
}

impl Bare {
    /// A bucket as the edges have theirs, and so many watchers.
    pub async fn start(servers: &Servers, watchers: usize) -> Result<Self> {
        let first = servers.jetstream().await?;
        let config = bucket::config(BUCKET, servers.count());
        let stream = first.create_stream(config).await.context("a bucket for bare puts")?;
        let (mut clients, mut heard, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        for _ in 0..watchers {
            let client = servers.jetstream().await?;
            let deliver_subject = client.client().new_inbox();
            let config =
                OrderedConfig { deliver_subject, deliver_policy: DeliverPolicy::New, ..Default::default() };
            // On its own connection.
            let stream = client.get_stream(&stream.cached_info().config.name).await?;
            let messages = stream.create_consumer(config).await?.messages().await?;
            let (tell, told) = watch::channel(0);
            tasks.spawn(watch(messages, tell));
            clients.push(client);
            heard.push(told);
        }
        Ok(Self { clients, heard, _watchers: tasks })
    }

    /// One put through the connection of this number: how long until it is acknowledged and the last watcher has it.
    pub async fn put(&self, through: usize) -> Result<Duration> {
        let sent = Instant::now();
        let subject = format!("$KV.{BUCKET}.key");
        let published = self.clients[through].publish(subject, Bytes::from_static(VALUE)).await?;
        let sequence = published.await?.sequence;
        for mut heard in self.heard.iter().cloned() {
            timeout(PATIENCE, heard.wait_for(|heard| *heard >= sequence))
                .await
                .context("a watcher hears nothing")??;
        }
        Ok(sent.elapsed())
    }
}

/// Tells the sequence of each message.
async fn watch(mut messages: Ordered, tell: watch::Sender<u64>) {
    while let Some(message) = messages.next().await {
        if let Some(info) = message.ok().as_ref().and_then(|message| message.info().ok()) {
            tell.send_replace(info.stream_sequence);
        }
    }
}
