//! Reconnects: connections are cut again and again, and every edge has one consumer in the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use bench_support::count::Count;
use bench_support::rows::{Rows, text};

use crate::Settings;
use crate::bucket::{consumers, until};
use crate::edge::Edge;
use crate::fleet::{Fleet, Plan};

const EDGES: usize = 5;
const ROUNDS: usize = 100;
/// The longest that all edges may take to be connected again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Every so many rounds, the next cut comes while edges are still connecting.
const EAGER: usize = 4;

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let plan = Plan { edges: EDGES, servers: 3, linked: true, ..Plan::default() };
    let fleet = Fleet::start(settings, plan).await?;
    let jetstream = fleet.servers.jetstream().await?;
    let rounds = settings.count(ROUNDS, 10);
    let wanted: BTreeSet<String> = fleet.edges.iter().map(|edge| format!("edge-{}", edge.name)).collect();
    let (mut longest, others) = (Duration::ZERO, Count::default());
    let mut connections = Vec::new();
    for round in 1..=rounds {
        let before: Vec<u64> = fleet.edges.iter().map(accepted).collect();
        for edge in &fleet.edges {
            edge.link.iter().for_each(|link| link.sever());
        }
        if round % EAGER == 0 && round < rounds {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let cut = Instant::now();
        // What was told before an edge has noticed the cut doesn't count.
        until("every edge connects again", PATIENCE, async || {
            fleet.edges.iter().zip(&before).all(|(edge, before)| accepted(edge) > *before)
        })
        .await?;
        fleet.settled(PATIENCE).await?;
        longest = longest.max(cut.elapsed());
        connections.extend(fleet.edges.iter().zip(&before).map(|(edge, before)| accepted(edge) - before));
        let names = consumers(&jetstream).await?;
        if names.len() != EDGES || names.iter().any(|name| !wanted.contains(name)) {
            others.note(|| format!("round {round}: {}", names.join(", ")));
        }
    }
    rows.told(
        format!("reconnects: the longest of {rounds} until all edges were current again"),
        text(longest),
    );
    let (least, most) = (connections.iter().min(), connections.iter().max());
    let (least, most) = (least.copied().unwrap_or_default(), most.copied().unwrap_or_default());
    rows.judged("reconnects: connections of an edge after a cut, at least", ">= 1", least, least >= 1);
    rows.told("reconnects: connections of an edge after a cut, at most", most);
    rows.none(
        format!("reconnects: rounds of {rounds} with other consumers than one of each edge"),
        others.get(),
        &others.first(),
    );
    Ok(())
}

/// How many connections an edge has made so far.
fn accepted(edge: &Edge) -> u64 {
    edge.link.as_ref().map_or(0, |link| link.accepted())
}
