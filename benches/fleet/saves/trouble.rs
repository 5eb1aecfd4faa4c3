//! Saves while one edge after the other is stopped, cut off and connected again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bench_support::count::Count;
use bench_support::rows::{Rows, text};
use futures_util::future::join_all;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::{EDGES, SERVERS, joined};
use crate::Settings;
use crate::admin::{Admin, Saved};
use crate::edge::Edge;
use crate::fleet::{Fleet, Plan};
use crate::relay::Mode;
use crate::verdict::{Asker, Expected};

/// Widgets that a saver changes in turn: while an edge is stopped, its verdicts of some are still awaited.
const WIDGETS: usize = 16;
/// How long a save waits for the fleet.
const WAIT: Duration = Duration::from_millis(250);
/// The time until the next trouble.
const PAUSE: Duration = Duration::from_millis(700);
/// After a save that failed.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a verdict may take: a stopped edge answers when it goes on.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon all edges have the same book afterwards.
const HEALED: Duration = Duration::from_secs(5);

/// One run.
#[derive(Clone, Copy)]
struct Run {
    name: &'static str,
    /// How long each trouble lasts.
    trouble: Duration,
    max_staleness: Option<&'static str>,
    rounds: u64,
}

/// What has come of all saves.
#[derive(Default)]
struct Tally {
    everywhere: Kind,
    behind: Kind,
    unsaved: AtomicU64,
    /// Verdicts of edges that denied everything, because their rules were out of date.
    denied: AtomicU64,
    old: Count,
}

/// Saves of one kind, and the verdicts that were looked at after them.
#[derive(Default)]
struct Kind {
    saves: AtomicU64,
    verdicts: AtomicU64,
}

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let short = Run {
        name: "edges stopped and cut off",
        trouble: Duration::from_millis(1500),
        max_staleness: None,
        rounds: settings.count(4, 1),
    };
    // For longer than their rules may be old.
    let long = Run {
        name: "edges stopped and cut off for longer than max_staleness",
        trouble: Duration::from_secs(5),
        max_staleness: Some("2s"),
        rounds: 1,
    };
    for run in [short, long] {
        show_one(settings, rows, run).await?;
    }
    Ok(())
}

async fn show_one(settings: &Settings, rows: &mut Rows, run: Run) -> Result<()> {
    let max_staleness = run.max_staleness;
    let plan = Plan { edges: EDGES, servers: SERVERS, linked: true, max_staleness, ..Plan::default() };
    let fleet = Fleet::start(settings, plan).await?;
    let (tally, over) = (Arc::<Tally>::default(), watch::Sender::new(false));
    let mut savers = JoinSet::new();
    for number in 0..EDGES {
        let saver = Saver::new(&fleet, number);
        savers.spawn(saver.save(Arc::clone(&tally), over.subscribe()));
    }
    for _ in 0..run.rounds {
        for edge in &fleet.edges {
            trouble(edge, run.trouble).await?;
        }
    }
    over.send_replace(true);
    while let Some(ended) = savers.join_next().await {
        joined(ended)?;
    }
    let healed = fleet.settled(HEALED).await;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let name = format!("saves: {}", run.name);
    let Tally { everywhere, behind, unsaved, denied, old } = &*tally;
    let saves = format!("{}, {}, {}", count(&everywhere.saves), count(&behind.saves), count(unsaved));
    rows.told(format!("{name}: saves in force everywhere, with edges behind, unsaved"), saves);
    let [after_all, after_some] = [everywhere, behind].map(|kind| count(&kind.verdicts));
    rows.judged(
        format!("{name}: verdicts after saves of both kinds"),
        ">= 1",
        format!("{after_all}, {after_some}"),
        after_all > 0 && after_some > 0,
    );
    let denied = count(denied);
    let is_met = (denied > 0) == run.max_staleness.is_some();
    let wanted = if run.max_staleness.is_some() { ">= 1" } else { "0" };
    rows.judged(format!("{name}: verdicts of edges that deny by themselves"), wanted, denied, is_met);
    let among = format!("{name}: old verdicts, or none, among {}", after_all + after_some);
    rows.none(among, old.get(), &old.first());
    let measured = healed.as_ref().map_or_else(|error| format!("{error:#}"), |time| text(*time));
    rows.judged(format!("{name}: the same book everywhere"), "<= 5 s", measured, healed.is_ok());
    Ok(())
}

/// Each kind of trouble, one after the other.
async fn trouble(edge: &Edge, lasts: Duration) -> Result<()> {
    let link = edge.link.as_ref().context("a link")?;
    tokio::time::sleep(PAUSE).await;
    edge.freeze();
    tokio::time::sleep(lasts).await;
    edge.thaw();
    for mode in [Mode::Swallowing, Mode::Cut] {
        tokio::time::sleep(PAUSE).await;
        link.set(mode);
        tokio::time::sleep(lasts).await;
        link.set(Mode::Open);
    }
    Ok(())
}

/// Saves through one edge.
struct Saver {
    id: String,
    admin: Admin,
    askers: Vec<Arc<Mutex<Asker>>>,
}

impl Saver {
    fn new(fleet: &Fleet, number: usize) -> Self {
        let askers = fleet.edges.iter().map(|edge| Arc::new(Mutex::new(edge.asker())));
        Self { id: format!("wgt_{number}"), admin: fleet.edges[number].admin(), askers: askers.collect() }
    }

    async fn save(mut self, tally: Arc<Tally>, over: watch::Receiver<bool>) -> Result<()> {
        let new =
            |number: usize| Expected { id: format!("{}_{number}", self.id), allowed: None, denied: None };
        let mut widgets: Vec<_> = (0..WIDGETS).map(|number| Arc::new(Mutex::new(new(number)))).collect();
        let (mut checks, mut number) = (JoinSet::new(), WIDGETS);
        while !*over.borrow() {
            number += 1;
            let turn = number % WIDGETS;
            // Not while a verdict of it is awaited.
            let mut widget = Arc::clone(&widgets[turn]).lock_owned().await;
            let site = format!("site-{number}.example");
            // Those that are not named enforce it. `None`: nothing is said of anybody.
            let behind = match self.admin.save(&widget.id, &site, Some(WAIT)).await {
                Saved::Everywhere => {
                    tally.everywhere.saves.fetch_add(1, Ordering::Relaxed);
                    Some(Vec::new())
                }
                Saved::Behind(behind) => {
                    tally.behind.saves.fetch_add(1, Ordering::Relaxed);
                    Some(behind).filter(|behind| !behind.is_empty())
                }
                Saved::Refused(_) | Saved::Uncertain(_) => {
                    tally.unsaved.fetch_add(1, Ordering::Relaxed);
                    // Nobody knows what is in force of it now, so another one takes its place.
                    widgets[turn] = Arc::new(Mutex::new(new(number)));
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            widget.denied = widget.allowed.replace(site);
            if let Some(behind) = behind {
                let (tally, askers) = (Arc::clone(&tally), self.askers.clone());
                checks.spawn(async move {
                    let all = askers.iter().map(|asker| look(asker, &behind, &widget, &tally));
                    join_all(all).await;
                });
            }
            while checks.try_join_next().is_some() {}
        }
        while checks.join_next().await.is_some() {}
        Ok(())
    }
}

async fn look(asker: &Mutex<Asker>, behind: &[String], expected: &Expected, tally: &Tally) {
    let mut asker = asker.lock().await;
    if behind.contains(&asker.edge) {
        return;
    }
    let kind = if behind.is_empty() { &tally.everywhere } else { &tally.behind };
    kind.verdicts.fetch_add(1, Ordering::Relaxed);
    let denies = || {
        tally.denied.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    match asker.look(expected, PATIENCE, denies).await {
        Ok(None) => {}
        Ok(Some(old)) => tally.old.note(|| old),
        Err(error) => tally.old.note(|| format!("{}: {error:#}", asker.edge)),
    }
}
