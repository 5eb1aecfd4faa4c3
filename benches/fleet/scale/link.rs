//! What the link of an edge carries: for a save through itself, for one through another edge, and while nothing happens.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bench_support::rows::Rows;

use crate::Settings;
use crate::admin::Saved;
use crate::edge::Edge;
use crate::fleet::{Fleet, Plan};
use crate::relay::Carried;

const EDGES: usize = 3;
const SAVES: u64 = 100;
/// How long what was sent may still be on its way.
const SETTLED: Duration = Duration::from_secs(5);

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let plan = Plan { edges: EDGES, servers: 1, linked: true, ..Plan::default() };
    let fleet = Fleet::start(settings, plan).await?;
    let measured = &fleet.edges[0];
    for (through, whose) in [(&fleet.edges[0], "itself"), (&fleet.edges[1], "another edge")] {
        for (wait, how) in [(None, ""), (Some(SETTLED), ", with wait=fleet")] {
            let carried = saves(&fleet, measured, through, wait).await?;
            tell(
                rows,
                &format!("one save through {whose}{how}"),
                carried.map(|carried| each(carried, SAVES)),
            );
        }
    }
    let seconds = settings.count(60, 10);
    let before = carried(measured)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let idle = since(measured, before)?;
    tell(rows, &format!("{EDGES} edges, {seconds} s without a save"), idle.map(|carried| each(carried, 1)));
    Ok(())
}

/// What is carried while there are so many saves.
async fn saves(
    fleet: &Fleet,
    measured: &Edge,
    through: &Edge,
    wait: Option<Duration>,
) -> Result<[Carried; 2]> {
    let mut admin = through.admin();
    fleet.settled(SETTLED).await?;
    let before = carried(measured)?;
    for number in 0..SAVES {
        let saved = admin.save("wgt_link", &format!("site-{number}.example"), wait).await;
        ensure!(saved == Saved::Everywhere, "a save: {saved:?}");
    }
    // The last of them may be on its way still: that edge is asked until it enforces it.
    let mut asker = measured.asker();
    let site = format!("site-{}.example", SAVES - 1);
    crate::bucket::until("the last save is in force", SETTLED, async || {
        asker.is_allowed("wgt_link", &site, SETTLED).await.unwrap_or(false)
    })
    .await?;
    since(measured, before)
}

fn carried(edge: &Edge) -> Result<[Carried; 2]> {
    Ok(edge.link.as_ref().context("a link")?.carried())
}

fn since(edge: &Edge, [down, up]: [Carried; 2]) -> Result<[Carried; 2]> {
    let [now_down, now_up] = carried(edge)?;
    Ok([now_down - down, now_up - up])
}

/// Messages and bytes, for each of so many.
fn each(carried: Carried, count: u64) -> String {
    let mean = |total: u64| total as f64 / count as f64;
    format!("{:.1} messages, {:.0} bytes", mean(carried.messages), mean(carried.bytes))
}

fn tell(rows: &mut Rows, what: &str, [down, up]: [String; 2]) {
    rows.told(format!("scale: the link of an edge, toward it: {what}"), down);
    rows.told(format!("scale: the link of an edge, from it: {what}"), up);
}
