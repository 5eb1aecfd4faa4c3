//! The bucket, as its operator sees it, beside all edges.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_nats::jetstream::context::Context as JetStream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use futures_util::TryStreamExt;

/// The name that every edge here has in its configuration.
pub const BUCKET: &str = "embedgate-widgets";

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Its stream.
pub async fn stream(jetstream: &JetStream) -> Result<Stream> {
    jetstream.get_stream(format!("KV_{BUCKET}")).await.context("the bucket's stream")
}

/// The number of the server that leads the bucket.
pub async fn leader(jetstream: &JetStream) -> Result<usize> {
    let info = stream(jetstream).await?.get_info().await?;
    let leader = info.cluster.and_then(|cluster| cluster.leader).context("no leader")?;
    let number = leader.strip_prefix("nats-").and_then(|number| number.parse().ok());
    number.with_context(|| format!("a leader of the name {leader}"))
}

/// Names of all consumers on its stream.
pub async fn consumers(jetstream: &JetStream) -> Result<Vec<String>> {
    Ok(stream(jetstream).await?.consumer_names().try_collect().await?)
}

/// A bucket as edges make theirs.
pub fn config(bucket: &str, replicas: usize) -> Config {
    Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 20,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: replicas,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        allow_atomic_publish: true,
        ..Config::default()
    }
}

/// Waits until something is so; how long that took.
pub async fn until(what: &str, patience: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Result<Duration> {
    let started = Instant::now();
    while !is_so().await {
        if started.elapsed() > patience {
            bail!("not so after {patience:?}: {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(started.elapsed())
}
