//! Saves: how long until every edge enforces one, beside a bare put to as many watchers, and whether the answer that all
//! enforce it is ever early.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use bench_support::count::Count;
use bench_support::rows::{Rows, text};
use tokio::task::JoinSet;

use crate::Settings;
use crate::admin::{Admin, Saved};
use crate::fleet::{Fleet, Plan};
use crate::verdict::{Asker, Expected};

use bare::Bare;

mod bare;
mod drill;
mod trouble;

const EDGES: usize = 5;
const SERVERS: usize = 3;
/// How long a save waits for the fleet.
const WAIT: Duration = Duration::from_secs(2);
/// How long a verdict may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Savers at once, where they are several.
const AT_ONCE: usize = 4;
/// What a save may take longer than a bare put.
const MOST: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(50)];

pub async fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    drill::show(settings, rows).await?;
    timed(settings, rows).await?;
    trouble::show(settings, rows).await
}

async fn timed(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let plan = Plan { edges: EDGES, servers: SERVERS, ..Plan::default() };
    let fleet = Fleet::start(settings, plan).await?;
    let bare = Arc::new(Bare::start(&fleet.servers, EDGES).await?);
    let old = Arc::<Count>::default();
    let count = settings.count(1000, 50);
    let alone = run(&fleet, &bare, &old, "alone", 1, count).await?;
    let together = run(&fleet, &bare, &old, "together", AT_ONCE, count / AT_ONCE).await?;
    alone.tell(rows, "one after the other");
    together.tell(rows, "four at once");
    alone.judge(rows);
    rows.none(
        "saves: old verdicts after an answer that every edge enforces the save",
        old.get(),
        &old.first(),
    );
    fleet.settled(PATIENCE).await.map(drop)
}

/// Saves and puts by so many savers at once, each so often.
async fn run(
    fleet: &Fleet,
    bare: &Arc<Bare>,
    old: &Arc<Count>,
    name: &str,
    savers: usize,
    count: usize,
) -> Result<Times> {
    let mut tasks = JoinSet::new();
    for number in 0..savers {
        let saver = Saver {
            id: format!("wgt_{name}_{number}"),
            first: number,
            admins: fleet.edges.iter().map(|edge| edge.admin()).collect(),
            askers: fleet.edges.iter().map(|edge| edge.asker()).collect(),
        };
        tasks.spawn(saver.save(count, Arc::clone(bare), Arc::clone(old)));
    }
    let mut times = Times::default();
    while let Some(ended) = tasks.join_next().await {
        times = times.and(joined(ended)?);
    }
    Ok(times)
}

/// Saves a widget of its own, through one edge after the other.
struct Saver {
    id: String,
    first: usize,
    admins: Vec<Admin>,
    askers: Vec<Asker>,
}

impl Saver {
    async fn save(mut self, count: usize, bare: Arc<Bare>, old: Arc<Count>) -> Result<Times> {
        let mut times = Times::default();
        let mut expected = Expected { id: self.id, allowed: None, denied: None };
        for number in 0..count {
            let through = (self.first + number) % self.admins.len();
            let site = format!("site-{number}.example");
            let sent = Instant::now();
            match self.admins[through].save(&expected.id, &site, Some(WAIT)).await {
                Saved::Everywhere => times.saves.push(sent.elapsed()),
                other => bail!("a save of a whole fleet: {other:?}"),
            }
            expected.denied = expected.allowed.replace(site);
            check(&mut self.askers, &expected, &old).await?;
            times.puts.push(bare.put(through).await?);
        }
        Ok(times)
    }
}

/// Asks every edge at once, and counts those that judge by older rules.
async fn check(askers: &mut [Asker], expected: &Expected, old: &Count) -> Result<()> {
    let all = askers.iter_mut().map(|asker| asker.find_old(expected, PATIENCE));
    for found in futures_util::future::join_all(all).await {
        if let Some(found) = found? {
            old.note(|| found);
        }
    }
    Ok(())
}

/// How long saves took, and bare puts between them.
#[derive(Default)]
struct Times {
    saves: Vec<Duration>,
    puts: Vec<Duration>,
}

impl Times {
    fn and(mut self, other: Self) -> Self {
        self.saves.extend(other.saves);
        self.puts.extend(other.puts);
        self
    }

    fn tell(&self, rows: &mut Rows, how: &str) {
        let both = |times: &[Duration]| percentiles(times).map(text).join(", ");
        let count = self.saves.len();
        rows.told(
            format!("saves: {how}: {count} saves until every edge enforces them, p50, p99"),
            both(&self.saves),
        );
        rows.told(
            format!("saves: {how}: a bare put between them to as many watchers, p50, p99"),
            both(&self.puts),
        );
    }

    fn judge(&self, rows: &mut Rows) {
        let (saves, puts) = (percentiles(&self.saves), percentiles(&self.puts));
        for (index, name) in ["p50", "p99"].into_iter().enumerate() {
            let over = saves[index].saturating_sub(puts[index]);
            rows.at_most(
                format!("saves: one after the other: {name} of a save over that of a bare put"),
                MOST[index],
                over,
            );
        }
    }
}

/// The median, and what one in a hundred exceeds.
fn percentiles(times: &[Duration]) -> [Duration; 2] {
    let mut times = times.to_vec();
    times.sort_unstable();
    [50, 99].map(|percent| {
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index).copied().unwrap_or_default()
    })
}

/// The error of a task that has panicked.
fn joined<T>(ended: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    ended.map_err(|error| anyhow!("a task failed: {error}"))?
}
