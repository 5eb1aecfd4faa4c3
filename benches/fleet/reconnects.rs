//! Reconnects: connections are cut again and again, and every edge has one consumer in the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use bench_support::rows::{Rows, text};

use crate::Settings;
use crate::bucket::consumers;
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
    let mut longest = Duration::ZERO;
    for round in 1..=rounds {
        for edge in &fleet.edges {
            edge.link.iter().for_each(|link| link.sever());
        }
        if round % EAGER == 0 && round < rounds {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let cut = Instant::now();
        fleet.settled(PATIENCE).await?;
        longest = longest.max(cut.elapsed());
    }
    rows.told(
        format!("reconnects: the longest of {rounds} until all edges were current again"),
        text(longest),
    );
    let names = consumers(&jetstream).await?;
    let distinct = names.iter().collect::<BTreeSet<_>>().len();
    rows.judged(
        format!("reconnects: consumers on the stream after {rounds} rounds"),
        EDGES,
        names.len(),
        names.len() == EDGES && distinct == EDGES,
    );
    Ok(())
}
