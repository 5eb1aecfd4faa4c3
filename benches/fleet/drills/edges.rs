//! Drills in which an edge is stopped, or can't reach the servers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench_support::rows::text;

use super::{Drill, Drills, PATIENCE};
use crate::bucket::{self, BUCKET, until};
use crate::fleet::Plan;
use crate::load::Load;

const EDGES: usize = 3;
/// The edge that is stopped.
const STOPPED: usize = 1;
/// Those that go on.
const OTHERS: [usize; 2] = [0, 2];
/// More than a bucket keeps of one widget, for all widgets of the ledger.
const BEYOND_HISTORY: usize = 21 * 20;
/// How long a certificate is good that expires while its edge runs.
const GOOD_FOR: Duration = Duration::from_secs(4);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub async fn show(drills: &mut Drills<'_>) {
    let cluster = Plan { edges: EDGES, servers: 3, ..Plan::default() };
    let minute = drills.settings.count(60, 10);
    for seconds in [1, minute] {
        let name = format!("an edge stopped for {seconds} s");
        let stopped = Duration::from_secs(seconds);
        drills.run(&name, cluster, async |drill| stopped_for(drill, stopped).await).await;
    }
    let linked = Plan { linked: true, ..cluster };
    drills.run("an edge stopped until history is compacted", linked, compacted).await;
    let alone = Plan { edges: EDGES, servers: 1, ..Plan::default() };
    drills.run("an edge started with NATS down", alone, started_alone).await;
    let tls = Plan { edges: EDGES, servers: 1, tls: true, linked: true, ..Plan::default() };
    drills.run("a client certificate expired and replaced", tls, certificate_expired).await;
}

async fn stopped_for(drill: &mut Drill, stopped: Duration) -> Result<Instant> {
    drill.load_frozen(STOPPED).await?;
    let started = Instant::now();
    drill.fleet.edges[STOPPED].freeze();
    drill.save(&OTHERS, if drill.is_quick { 10 } else { 40 }).await;
    tokio::time::sleep(stopped.saturating_sub(started.elapsed())).await;
    drill.fleet.edges[STOPPED].thaw();
    Ok(Instant::now())
}

async fn compacted(drill: &mut Drill) -> Result<Instant> {
    drill.load_frozen(STOPPED).await?;
    let jetstream = drill.fleet.servers.jetstream().await?;
    let stream = bucket::stream(&jetstream).await?;
    let edge = &drill.fleet.edges[STOPPED];
    edge.freeze();
    // What comes is not to lie in its socket until it goes on: it has to ask for it.
    edge.link.as_ref().context("a link")?.sever();
    let next = stream.get_info().await?.state.last_sequence + 1;
    // Unlike other saves these don't wait for the edge that is stopped.
    let others: Vec<_> = OTHERS.iter().map(|number| &drill.fleet.edges[*number]).collect();
    drill.ledger.save_without_waiting(&others, BEYOND_HISTORY).await;
    for id in drill.ledger.ids() {
        // All but the last message of each widget.
        stream.purge().filter(format!("$KV.{BUCKET}.{id}")).keep(1).await.context("a purge of history")?;
    }
    ensure!(stream.get_raw_message(next).await.is_err(), "message {next} is still in the bucket");
    drill.fleet.edges[STOPPED].thaw();
    Ok(Instant::now())
}

async fn started_alone(drill: &mut Drill) -> Result<Instant> {
    // It is stopped on purpose, so nobody asks it until it is ready again.
    drill.end_load(STOPPED).await?;
    drill.fleet.edges[STOPPED].stop();
    drill.save(&OTHERS, 20).await;
    drill.fleet.servers.stop_all();
    let edge = &mut drill.fleet.edges[STOPPED];
    edge.begin()?;
    let ready = edge.ready(PATIENCE).await.context("from its copy of the rules")?;
    drill.told.push(("ready from its copy after", text(ready)));
    drill.loads.insert(STOPPED, Load::on(edge.ground.plain));
    tokio::time::sleep(Duration::from_secs(1)).await;
    drill.fleet.servers.begin_all()?;
    Ok(Instant::now())
}

async fn certificate_expired(drill: &mut Drill) -> Result<Instant> {
    let edge = &drill.fleet.edges[STOPPED];
    let authority = drill.fleet.servers.authority.as_ref().context("an authority")?;
    let link = edge.link.as_ref().context("a link")?;
    authority.issue(edge.ground.folder(), "nats", GOOD_FOR)?;
    tokio::time::sleep(GOOD_FOR + Duration::from_secs(1)).await;
    // Servers look at a certificate when a connection begins.
    link.sever();
    let mut admin = edge.admin();
    let is_away = async || admin.fleet().await.is_ok_and(|status| !status.connected);
    until("an edge with an expired certificate is not connected", PATIENCE, is_away).await?;
    drill.save(&OTHERS, 10).await;
    let edge = &drill.fleet.edges[STOPPED];
    let authority = drill.fleet.servers.authority.as_ref().context("an authority")?;
    authority.issue(edge.ground.folder(), "nats", YEAR)?;
    Ok(Instant::now())
}
