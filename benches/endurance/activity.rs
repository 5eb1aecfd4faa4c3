//! Activity: what an edge keeps of who embeds, with a million widgets, under floods of forged origins, and after `kill -9`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::Settings;
use crate::admin::Admin;
use crate::edge::Edge;
use crate::load::Tally;
use crate::proc::resident;
use crate::rows::{Rows, text};
use crate::subject::mebibytes;

mod asks;
mod floods;
mod killed;
mod million;
mod seen;

pub use asks::{Ask, ask_all};
pub use million::import;

/// `activity.bytes` as the edge ships.
const MOST_BYTES: u64 = 128 << 20;
/// Nothing waits to be kept once nothing was for so long: it is kept each second.
const KEPT: Duration = Duration::from_secs(5);

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    million::show(settings, rows)?;
    killed::show(settings, rows)?;
    floods::show(settings, rows)
}

/// Memory of an edge, looked at all the time on a thread of its own.
struct Watch {
    before: u64,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<(u64, u64)>>,
}

impl Watch {
    fn start(edge: &Edge) -> Result<Self> {
        let (id, admin) = (edge.id(), edge.admin());
        let before = resident(id)?;
        let over = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut most, mut most_counted) = (0, 0);
            while !watched.load(Ordering::Relaxed) {
                most = most.max(resident(id)?);
                most_counted = most_counted.max(admin.metric("embedgate_activity_bytes ")? as u64);
                std::thread::sleep(Duration::from_millis(250));
            }
            Ok((most, most_counted))
        });
        Ok(Self { before, over, thread })
    }

    /// Ends it, and holds what it has seen against the bound.
    fn judge(self, what: &str, rows: &mut Rows) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        let (most, counted) = self.thread.join().map_err(|_| anyhow!("the watch panicked"))??;
        let bound = format!("<= {}", mebibytes(MOST_BYTES));
        let growth = most.saturating_sub(self.before);
        rows.told(format!("{what}: resident before"), mebibytes(self.before));
        rows.judged(
            format!("{what}: resident more, at most"),
            &bound,
            mebibytes(growth),
            growth <= MOST_BYTES,
        );
        let is_met = counted > 0 && counted <= MOST_BYTES;
        rows.judged(format!("{what}: activity_bytes, at most"), &bound, mebibytes(counted), is_met);
        Ok(())
    }
}

/// Sightings that an edge has counted, by outcome.
fn sightings(admin: Admin, outcome: &str) -> Result<u64> {
    let line = format!("embedgate_activity_sightings_total{{outcome=\"{outcome}\"}}");
    Ok(admin.metric(&line)? as u64)
}

/// Waits until what was answered is kept.
fn settle(admin: Admin) -> Result<()> {
    let mut before = None;
    loop {
        let recorded = sightings(admin, "recorded")?;
        if before == Some(recorded) {
            return Ok(());
        }
        before = Some(recorded);
        std::thread::sleep(KEPT);
    }
}

/// Rows of what the clients have seen, and of what was dropped.
fn judge_answers(what: &str, tally: &Tally, admin: Admin, rows: &mut Rows) -> Result<()> {
    let failed = tally.lost() + tally.wrong.get();
    let first = [tally.first_lost(), tally.wrong.first()].concat();
    rows.none(format!("{what}: requests lost or answered otherwise"), failed, &first);
    rows.told(format!("{what}: slowest answer"), text(tally.slowest()));
    rows.none(format!("{what}: sightings dropped"), sightings(admin, "dropped")?, "");
    Ok(())
}

/// Where requests go.
pub fn plain(edge: &Edge) -> SocketAddr {
    edge.prepared.ground.plain
}
