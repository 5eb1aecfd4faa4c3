//! Drills in which the bucket loses what edges have followed: they keep their book until an operator restores it.

use std::time::Instant;

use anyhow::{Context, Result};

use super::{Drill, Drills};
use crate::bucket::{self, BUCKET};
use crate::fleet::Plan;

const EDGES: usize = 3;

pub async fn show(drills: &mut Drills<'_>) {
    let cluster = Plan { edges: EDGES, servers: 3, ..Plan::default() };
    drills.run("bucket deleted", cluster, deleted).await;
    drills.run("bucket made anew, empty", cluster, made_anew).await;
    drills.run("bucket purged", cluster, purged).await;
    drills.run("bucket truncated", Plan { servers: 1, ..cluster }, truncated).await;
}

async fn deleted(drill: &mut Drill) -> Result<Instant> {
    let jetstream = drill.fleet.servers.jetstream().await?;
    jetstream.delete_stream(format!("KV_{BUCKET}")).await.context("the bucket can't be deleted")?;
    drill.faulted().await?;
    drill.restore().await
}

async fn made_anew(drill: &mut Drill) -> Result<Instant> {
    let jetstream = drill.fleet.servers.jetstream().await?;
    let config = bucket::stream(&jetstream).await?.cached_info().config.clone();
    jetstream.delete_stream(&config.name).await.context("the bucket can't be deleted")?;
    jetstream.create_stream(config).await.context("the bucket can't be made")?;
    drill.faulted().await?;
    drill.restore().await
}

/// The bucket is the same, and has no message any more.
async fn purged(drill: &mut Drill) -> Result<Instant> {
    let jetstream = drill.fleet.servers.jetstream().await?;
    bucket::stream(&jetstream).await?.purge().await.context("the bucket can't be purged")?;
    drill.faulted().await?;
    drill.restore().await
}

/// An old copy of the server's data is put back: what was acknowledged since is gone from there.
async fn truncated(drill: &mut Drill) -> Result<Instant> {
    let copies = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    drill.fleet.servers.stop_all();
    drill.fleet.servers.copy_stores(copies.path())?;
    drill.fleet.servers.begin_all()?;
    drill.fleet.settled(super::PATIENCE).await?;
    drill.save(&[0, 1, 2], 20).await;
    drill.fleet.servers.stop_all();
    drill.fleet.servers.put_back_stores(copies.path())?;
    drill.fleet.servers.begin_all()?;
    drill.faulted().await?;
    drill.restore().await
}
