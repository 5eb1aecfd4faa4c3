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
/// How long each trouble lasts, and the time until the next.
const TROUBLE: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(700);
/// After a save that failed.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a verdict may take: a stopped edge answers when it goes on.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon all edges have the same book afterwards.
const HEALED: Duration = Duration::from_secs(5);

/// What has come of all saves.
#[derive(Default)]
struct Tally {
    everywhere: AtomicU64,
    behind: AtomicU64,
    unsaved: AtomicU64,
    verdicts: AtomicU64,
    old: Count,
}

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let plan = Plan { edges: EDGES, servers: SERVERS, linked: true, ..Plan::default() };
    let fleet = Fleet::start(settings, plan).await?;
    let (tally, over) = (Arc::<Tally>::default(), watch::Sender::new(false));
    let mut savers = JoinSet::new();
    for number in 0..EDGES {
        let saver = Saver::new(&fleet, number);
        savers.spawn(saver.save(Arc::clone(&tally), over.subscribe()));
    }
    for _ in 0..settings.count(4, 1) {
        for edge in &fleet.edges {
            trouble(edge).await?;
        }
    }
    over.send_replace(true);
    while let Some(ended) = savers.join_next().await {
        joined(ended)?;
    }
    let healed = fleet.settled(HEALED).await;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (everywhere, behind) = (count(&tally.everywhere), count(&tally.behind));
    let saves = format!("{everywhere}, {behind}, {}", count(&tally.unsaved));
    rows.told(
        "saves: edges stopped and cut off: saves in force everywhere, with edges behind, unsaved",
        saves,
    );
    rows.judged(
        "saves: edges stopped and cut off: saves of both kinds",
        ">= 1",
        everywhere.min(behind),
        everywhere > 0 && behind > 0,
    );
    let name =
        format!("saves: edges stopped and cut off: old verdicts, or none, among {}", count(&tally.verdicts));
    rows.none(name, tally.old.get(), &tally.old.first());
    let measured = healed.as_ref().map_or_else(|error| format!("{error:#}"), |time| text(*time));
    rows.judged(
        "saves: edges stopped and cut off: the same book everywhere",
        "<= 5 s",
        measured,
        healed.is_ok(),
    );
    Ok(())
}

/// Each kind of trouble, one after the other.
async fn trouble(edge: &Edge) -> Result<()> {
    let link = edge.link.as_ref().context("a link")?;
    tokio::time::sleep(PAUSE).await;
    edge.freeze();
    tokio::time::sleep(TROUBLE).await;
    edge.thaw();
    for mode in [Mode::Swallowing, Mode::Cut] {
        tokio::time::sleep(PAUSE).await;
        link.set(mode);
        tokio::time::sleep(TROUBLE).await;
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
                    tally.everywhere.fetch_add(1, Ordering::Relaxed);
                    Some(Vec::new())
                }
                Saved::Behind(behind) => {
                    tally.behind.fetch_add(1, Ordering::Relaxed);
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
    tally.verdicts.fetch_add(1, Ordering::Relaxed);
    match asker.find_old(expected, PATIENCE).await {
        Ok(None) => {}
        Ok(Some(old)) => tally.old.note(|| old),
        Err(error) => tally.old.note(|| format!("{}: {error:#}", asker.edge)),
    }
}
