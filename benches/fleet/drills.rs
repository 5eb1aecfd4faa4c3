//! Drills: each breaks something and heals it, and every edge must come to the same book, with every request served
//! meanwhile and everything that was acknowledged in force.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench_support::rows::{Rows, counted, text};

use crate::Settings;
use crate::admin::Saved;
use crate::bucket::until;
use crate::edge::Edge;
use crate::fleet::{Fleet, Plan};
use crate::ledger::Ledger;
use crate::load::{Load, SITE, WIDGET};

mod bucket_lost;
mod edges;
mod servers;

/// How soon every edge has the same book once all is healed, or once an operator has said what to follow.
const HEALED: Duration = Duration::from_secs(5);
/// How long a drill waits for the same book before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long edges may take to say that the bucket is not theirs any more: its keys are counted each minute.
const NOTICED: Duration = Duration::from_secs(90);

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let mut drills = Drills { settings, rows, slowest: None };
    servers::show(&mut drills).await;
    edges::show(&mut drills).await;
    bucket_lost::show(&mut drills).await;
    if let Some((slowest, name)) = drills.slowest {
        rows.told(
            "drills: the slowest of all to the same book everywhere",
            format!("{} ({name})", text(slowest)),
        );
    }
    Ok(())
}

/// The drills that are wanted.
struct Drills<'a> {
    settings: &'a Settings,
    rows: &'a mut Rows,
    /// The one that took longest to heal, and how long that was.
    slowest: Option<(Duration, String)>,
}

impl Drills<'_> {
    /// Runs one, if it is wanted: `work` breaks and heals, and tells when all was healed.
    async fn run(
        &mut self,
        name: &str,
        plan: Plan<'_>,
        work: impl AsyncFnOnce(&mut Drill) -> Result<Instant>,
    ) {
        if self.settings.drill.as_ref().is_some_and(|wanted| !name.contains(wanted)) {
            return;
        }
        if let Err(error) = self.try_run(name, plan, work).await {
            self.rows.judged(format!("drills: {name}: shown to its end"), "yes", format!("{error:#}"), false);
        }
    }

    async fn try_run(
        &mut self,
        name: &str,
        plan: Plan<'_>,
        work: impl AsyncFnOnce(&mut Drill) -> Result<Instant>,
    ) -> Result<()> {
        let mut drill = Drill::begin(self.settings, plan).await?;
        let done = match work(&mut drill).await {
            Ok(healed) => drill.end(self.rows, name, healed).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(took) => self.slowest = self.slowest.take().max(Some((took, name.to_owned()))),
            Err(_) => {
                for edge in &drill.fleet.edges {
                    let what = format!("drills: {name}: the last words of {}", edge.name);
                    self.rows.told(what, edge.last_words());
                }
            }
        }
        done.map(drop)
    }
}

/// A fleet under load, with widgets that were saved and deleted.
struct Drill {
    loads: Vec<Load>,
    fleet: Fleet,
    ledger: Ledger,
    /// Figures of its own.
    told: Vec<(&'static str, String)>,
    is_quick: bool,
}

impl Drill {
    async fn begin(settings: &Settings, plan: Plan<'_>) -> Result<Self> {
        let fleet = Fleet::start(settings, plan).await?;
        let saved = fleet.edges[0].admin().save(WIDGET, SITE, Some(PATIENCE)).await;
        ensure!(saved == Saved::Everywhere, "the first save: {saved:?}");
        let loads = fleet.edges.iter().map(|edge| Load::on(edge.ground.plain)).collect();
        let mut this =
            Self { loads, fleet, ledger: Ledger::new(), told: Vec::new(), is_quick: settings.quick };
        let edges: Vec<&Edge> = this.fleet.edges.iter().collect();
        this.ledger.save(&edges, 40).await;
        this.ledger.delete(edges[0]).await;
        this.ledger.delete(edges[1]).await;
        ensure!(
            this.ledger.unsaved == 0,
            "{} of the first saves were not answered as saved",
            this.ledger.unsaved
        );
        Ok(this)
    }

    /// Ends the load on an edge, which has to have served everything until now.
    async fn end_load(&mut self, number: usize) -> Result<()> {
        let served = self.loads.remove(number).stop().await?;
        ensure!(served.unserved.get() == 0, "before it was stopped: {}", served.unserved.first());
        Ok(())
    }

    /// Has the load on an edge wait for as long as that is stopped.
    async fn load_frozen(&mut self, number: usize) -> Result<()> {
        self.end_load(number).await?;
        self.loads.insert(number, Load::on_frozen(self.fleet.edges[number].ground.plain));
        Ok(())
    }

    /// Saves through edges of these numbers in turn, which all have to be saved.
    async fn save_all(&mut self, through: &[usize], count: usize) -> Result<()> {
        let unsaved = self.ledger.unsaved;
        self.save(through, count).await;
        let unsaved = self.ledger.unsaved - unsaved;
        ensure!(unsaved == 0, "{unsaved} saves were not answered as saved");
        Ok(())
    }

    /// Saves so many times through edges of these numbers in turn, and deletes one widget more.
    async fn save(&mut self, through: &[usize], count: usize) {
        let edges: Vec<&Edge> = through.iter().map(|number| &self.fleet.edges[*number]).collect();
        self.ledger.save(&edges, count).await;
        self.ledger.delete(edges[0]).await;
    }

    /// Waits until every edge says that the bucket has a fault, and refuses to write to it.
    async fn faulted(&mut self) -> Result<()> {
        let started = Instant::now();
        let mut code = String::new();
        for edge in &self.fleet.edges {
            let mut admin = edge.admin();
            until("a fault of the bucket is told", NOTICED, async || {
                let fault = admin.fleet().await.ok().and_then(|status| status.fault);
                code = fault.map(|fault| fault.code).unwrap_or_default();
                !code.is_empty()
            })
            .await?;
        }
        self.told.push(("told by every edge after", format!("{} ({code})", text(started.elapsed()))));
        let saved = self.fleet.edges[0].admin().save("wgt_refused", SITE, None).await;
        ensure!(matches!(saved, Saved::Refused(_)), "a save to a bucket with a fault: {saved:?}");
        self.holds().await.context("while the bucket has a fault")
    }

    /// Holds every edge to what was acknowledged.
    async fn holds(&self) -> Result<()> {
        let edges: Vec<&Edge> = self.fleet.edges.iter().collect();
        let missing = self.ledger.missing(&edges).await?;
        match missing.saves + missing.back {
            0 => Ok(()),
            count => bail!("{count} acknowledged changes are not in force: {}", missing.first()),
        }
    }

    /// Fills the bucket again from an edge; when that was asked for.
    async fn restore(&self) -> Result<Instant> {
        let asked = Instant::now();
        self.fleet.edges[0].admin().restore().await?;
        Ok(asked)
    }

    /// Waits until every edge has the same book, and judges what has come of all; how long that took.
    async fn end(&mut self, rows: &mut Rows, name: &str, healed: Instant) -> Result<Duration> {
        for (what, measured) in &self.told {
            rows.told(format!("drills: {name}: {what}"), measured);
        }
        self.fleet.settled(PATIENCE).await?;
        let took = healed.elapsed();
        rows.at_most(format!("drills: {name}: the same book everywhere after"), HEALED, took);
        let edges: Vec<&Edge> = self.fleet.edges.iter().collect();
        let missing = self.ledger.missing(&edges).await?;
        let first = missing.first();
        rows.none(format!("drills: {name}: acknowledged saves not in force"), missing.saves, first);
        rows.none(format!("drills: {name}: deleted widgets back"), missing.back, first);
        let saved = edges[1].admin().save("wgt_after", SITE, Some(PATIENCE)).await;
        rows.judged(
            format!("drills: {name}: a save afterwards"),
            "everywhere",
            format!("{saved:?}").to_lowercase(),
            saved == Saved::Everywhere,
        );
        let (mut answered, mut unserved, mut first) = (0, 0, String::new());
        for load in std::mem::take(&mut self.loads) {
            let served = load.stop().await?;
            answered += served.answered.get();
            unserved += served.unserved.get();
            first = if first.is_empty() { served.unserved.first() } else { first };
        }
        let what = format!("drills: {name}: requests unserved of {}", answered + unserved);
        rows.judged(what, 0, counted(unserved, &first), unserved == 0 && answered > 0);
        Ok(took)
    }
}
