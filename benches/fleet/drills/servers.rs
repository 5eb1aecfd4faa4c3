//! Drills that break NATS servers, and leave the bucket as it is.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_support::rows::text;

use super::{Drill, Drills, PATIENCE};
use crate::bucket::{self, until};
use crate::disk::SmallDisk;
use crate::fleet::Plan;

const EDGES: usize = 3;
/// How long something is broken.
const BROKEN: Duration = Duration::from_secs(2);
/// More saves than fit into a page of a file.
const FITTING: usize = 60;
/// Room for the data of one server.
const ROOM: &str = "64m";

pub async fn show(drills: &mut Drills<'_>) {
    let cluster = Plan { edges: EDGES, servers: 3, ..Plan::default() };
    drills.run("leader killed", cluster, leader_killed).await;
    let alone = Plan { servers: 1, ..cluster };
    drills.run("NATS restarted, one server", alone, restarted).await;
    drills.run("NATS restarted, a cluster", cluster, restarted_as_cluster).await;
    for (name, what) in [("messages", Damage::Messages), ("data folder", Damage::Everything)] {
        let name = format!("{name} of one server overwritten");
        drills.run(&name, cluster, async |drill| damaged(drill, what).await).await;
    }
    match SmallDisk::mount(ROOM) {
        Ok(disk) => {
            let alone = Plan { edges: EDGES, servers: 1, store: Some(disk.path()), ..Plan::default() };
            drills.run("disk full", alone, async |drill| disk_full(drill, &disk).await).await;
        }
        Err(error) => {
            drills.rows.judged("drills: disk full: shown to its end", "yes", format!("{error:#}"), false)
        }
    }
}

async fn leader_killed(drill: &mut Drill) -> Result<Instant> {
    let jetstream = drill.fleet.servers.jetstream().await?;
    let leader = bucket::leader(&jetstream).await?;
    drill.fleet.servers.kill(leader);
    // Some of these come before another server leads.
    drill.save(&[0, 1, 2], 20).await;
    another_leads(drill, leader).await?;
    drill.save_all(&[0, 1, 2], 20).await?;
    drill.fleet.servers.begin(leader)?;
    drill.fleet.servers.wait_until_accepting()?;
    Ok(Instant::now())
}

/// Waits until another server leads the bucket, and every edge follows it.
async fn another_leads(drill: &mut Drill, before: usize) -> Result<()> {
    let jetstream = drill.fleet.servers.jetstream().await?;
    let led = until("another server leads", PATIENCE, async || {
        bucket::leader(&jetstream).await.is_ok_and(|leader| leader != before)
    });
    drill.told.push(("another server led after", text(led.await?)));
    drill.fleet.settled(PATIENCE).await.map(drop)
}

async fn restarted(drill: &mut Drill) -> Result<Instant> {
    drill.fleet.servers.stop_all();
    drill.save(&[0, 1, 2], 3).await;
    tokio::time::sleep(BROKEN).await;
    drill.fleet.servers.begin_all()?;
    Ok(Instant::now())
}

/// Servers of a cluster take seconds to agree on who leads, the cluster and then the bucket, whoever waits for them.
async fn restarted_as_cluster(drill: &mut Drill) -> Result<Instant> {
    let begun = restarted(drill).await?;
    let jetstream = drill.fleet.servers.jetstream().await?;
    until("a server leads", PATIENCE, async || bucket::leader(&jetstream).await.is_ok()).await?;
    drill.told.push(("the servers agreed on who leads after", text(begun.elapsed())));
    Ok(Instant::now())
}

/// The data of a server that has ended is overwritten: the messages alone, or all of it.
async fn damaged(drill: &mut Drill, what: Damage) -> Result<Instant> {
    let damaged = bucket::leader(&drill.fleet.servers.jetstream().await?).await?;
    drill.fleet.servers.stop(damaged);
    another_leads(drill, damaged).await?;
    drill.save_all(&[0, 1, 2], 20).await?;
    let overwritten = overwrite(drill.fleet.servers.store(damaged), what)?;
    ensure!(overwritten > 0, "no such file in the data of a server");
    drill.told.push(("files overwritten with zeros", overwritten.to_string()));
    drill.fleet.servers.begin(damaged)?;
    // A server that can't read its data says so and ends; its operator lets it begin with an empty folder.
    let ends = async || drill.fleet.servers.has_ended(damaged);
    if until("the server ends", BROKEN, ends).await.is_ok() {
        drill.told.push(("the server by itself", "ends".to_owned()));
        drill.fleet.servers.stop(damaged);
        fs::remove_dir_all(drill.fleet.servers.store(damaged))?;
        drill.fleet.servers.begin(damaged)?;
    }
    drill.fleet.servers.wait_until_accepting()?;
    let healed = Instant::now();
    if drill.fleet.settled(BROKEN).await.is_ok() {
        return Ok(healed);
    }
    // What the server has told edges may be a fault of the bucket, which an operator mends.
    let Some(fault) = drill.fleet.edges[0].admin().fleet().await?.fault else { return Ok(healed) };
    drill.told.push(("told by an edge", fault.code));
    drill.restore().await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// Blocks of messages, of which there is one file for many.
    Messages,
    Everything,
}

/// Overwrites files with zeros of the same length; how many they are.
fn overwrite(folder: &Path, what: Damage) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            count += overwrite(&path, what)?;
        } else if what == Damage::Everything || path.extension().is_some_and(|extension| extension == "blk") {
            let length = usize::try_from(fs::metadata(&path)?.len())?;
            OpenOptions::new().write(true).open(&path)?.write_all(&vec![0; length])?;
            count += usize::from(length > 0);
        }
    }
    Ok(count)
}

async fn disk_full(drill: &mut Drill, disk: &SmallDisk) -> Result<Instant> {
    disk.fill()?;
    // Some still fit into the last page of a file.
    for _ in 0..FITTING {
        if drill.ledger.unsaved == 0 {
            drill.save(&[0, 1, 2], 1).await;
        }
    }
    ensure!(drill.ledger.unsaved > 0, "there was room on the disk");
    drill.told.push(("writes that were not saved meanwhile", drill.ledger.unsaved.to_string()));
    tokio::time::sleep(BROKEN).await;
    disk.free()?;
    // A server that has met a full disk takes no more messages until it is started again.
    drill.fleet.servers.stop(0);
    drill.fleet.servers.begin_all()?;
    Ok(Instant::now())
}
