//! Scale: an empty edge and one that was away, at a large number of widgets, and what a link carries.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench_support::rows::{Rows, text};

use crate::Settings;
use crate::admin::{Admin, Saved};
use crate::bucket::until;
use crate::edge::Edge;
use crate::fleet::{Fleet, Plan};

mod link;

/// Widgets for which times are wanted.
const WIDGETS: usize = 200_000;
const MILLION: usize = 1_000_000;
/// Lines of one batch.
const LINES: usize = 50_000;
/// Changes that an edge misses while it is away.
const MISSED: usize = 100;
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// How soon an empty edge is ready, and one that was away enforces what it has missed.
const READY: Duration = Duration::from_secs(10);
const RESUMED: Duration = Duration::from_secs(1);

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let widgets = settings.count(WIDGETS, 2_000);
    at(settings, rows, widgets, true).await?;
    if settings.million {
        at(settings, rows, MILLION, false).await?;
    }
    link::show(settings, rows).await
}

/// Measures with so many widgets.
async fn at(settings: &Settings, rows: &mut Rows, widgets: usize, is_judged: bool) -> Result<()> {
    let plan = Plan { edges: 1, servers: 1, linked: true, ..Plan::default() };
    let mut fleet = Fleet::start(settings, plan).await?;
    let mut admin = fleet.edges[0].admin();
    let begun = Instant::now();
    import(&fleet.edges[0], widgets).await?;
    rows.told(
        format!("scale: {widgets} widgets published through an edge, in batches"),
        text(begun.elapsed()),
    );

    let mut judge = |what: &str, most: Duration, measured: Duration| {
        let what = format!("scale: {widgets} widgets: {what}");
        if is_judged { rows.at_most(what, most, measured) } else { rows.told(what, text(measured)) }
    };
    let last = id(widgets - 1);
    let edge = fleet.add(settings, plan).await?;
    let begun = Instant::now();
    edge.begin()?;
    edge.ready(PATIENCE).await?;
    let ready = begun.elapsed();
    ensure!(
        edge.asker().is_allowed(&last, &site(0), PATIENCE).await?,
        "{last} is not in force on a ready edge"
    );
    judge("an empty edge is ready after", READY, ready);
    fleet.settled(PATIENCE).await.context("after an empty edge was started")?;

    let edge = &mut fleet.edges[1];
    edge.stop();
    change(&mut admin, widgets, 1).await?;
    let begun = Instant::now();
    edge.begin()?;
    edge.ready(PATIENCE).await?;
    in_force(edge, widgets - 1, 1).await?;
    judge("an edge started again has what it missed, after its start", RESUMED, begun.elapsed());
    fleet.settled(PATIENCE).await.context("after an edge was started again")?;

    let link = fleet.edges[1].link.as_ref().context("a link")?;
    link.set(crate::relay::Mode::Cut);
    change(&mut admin, widgets, 2).await?;
    link.set(crate::relay::Mode::Open);
    let begun = Instant::now();
    in_force(&fleet.edges[1], widgets - 1, 2).await?;
    rows.told(
        format!("scale: {widgets} widgets: an edge that was cut off has what it missed, after"),
        text(begun.elapsed()),
    );
    fleet.settled(PATIENCE).await.context("after an edge was cut off").map(drop)
}

/// Saves so many widgets, in batches.
async fn import(edge: &Edge, widgets: usize) -> Result<()> {
    let mut admin = edge.admin();
    let numbers: Vec<usize> = (0..widgets).collect();
    for part in numbers.chunks(LINES) {
        let lines = part.iter().map(|number| {
            let id = id(*number);
            format!(
                "{{\"put\":{{\"id\":\"{id}\",\"allowed_domains\":[\"{}\",\"*.{id}.example\"]}}}}\n",
                site(0)
            )
        });
        let body: String = lines.collect();
        let answer = admin.call(PATIENCE, "POST", "/v1/batch?chunked=true", &body).await?;
        // In the latter case it is saved, and takes longer to come back from the bucket than the edge lets anybody wait.
        let is_saved = answer.status == 200 || answer.body.contains("not_in_force_yet");
        ensure!(is_saved, "a batch: {} {}", answer.status, answer.body);
        in_force(edge, part.last().copied().unwrap_or_default(), 0).await?;
    }
    Ok(())
}

/// Changes as many widgets as an edge is to miss, the last of all as the last.
async fn change(admin: &mut Admin, widgets: usize, round: usize) -> Result<()> {
    for number in widgets - MISSED..widgets {
        let saved = admin.save(&id(number), &site(round), None).await;
        ensure!(saved == Saved::Everywhere, "a save: {saved:?}");
    }
    Ok(())
}

/// Waits until an edge enforces what a widget became in this round.
async fn in_force(edge: &Edge, number: usize, round: usize) -> Result<()> {
    let (mut asker, id) = (edge.asker(), id(number));
    let is_allowed = async || asker.is_allowed(&id, &site(round), PATIENCE).await.unwrap_or(false);
    until(&format!("{} enforces {id}", edge.name), PATIENCE, is_allowed).await.map(drop)
}

fn id(number: usize) -> String {
    format!("wgt_{number:07}")
}

fn site(round: usize) -> String {
    format!("site-{round}.example")
}
