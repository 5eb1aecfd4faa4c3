//! When slow clients are gone, and what they cost until then.
//!
//! All kinds at once, so that it takes no longer than the longest deadline; each has a server of its own, so that none
//! is another's cost. Only the server knows when a client is gone that reads nothing, so its descriptors are counted.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use super::Counts;
use crate::Settings;
use crate::crowd::{Crowd, Kind};
use crate::peers::Peer;
use crate::rows::{Rows, text};
use crate::subject::{Before, Memory, Subject, mebibytes};
use crate::witness::{Temper, Witness};

/// After a deadline, until the last one has to be gone.
const LATER: Duration = Duration::from_secs(5);
/// After the last one, until memory is looked at.
const SETTLED: Duration = Duration::from_secs(5);
/// The longest that anybody is watched: more than the longest deadline here.
const PATIENCE: Duration = Duration::from_secs(75);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Descriptors that may be left: what was made for good meanwhile, and upstream connections that are kept.
const LEFT: usize = 150;
/// Memory that may be left.
const MEMORY: u64 = 16 << 20;
/// Kinds that are held against peers, too.
const SHARED: [Kind; 3] = [Kind::Head, Kind::Body, Kind::Reader];

pub fn show_edge(settings: &Settings, rows: &mut Rows, counts: Counts) -> Result<()> {
    let mut all = Vec::new();
    for kind in Kind::value_variants() {
        let witness = Witness::start(Temper::Well)?;
        let before = Before::server(witness.addr);
        all.push(Watched::start(Subject::edge(settings, &before)?, witness, *kind, counts)?);
    }
    watch(&mut all, rows, |rows, watched, name| {
        let (kind, count) = (watched.kind, watched.count);
        let wanted = kind.deadline() + LATER;
        let gone = watched.gone();
        rows.judged(
            format!("{name}: all gone"),
            format!("<= {}", text(wanted)),
            gone.map_or_else(|| watched.still_there(), text),
            gone.is_some_and(|after| after <= wanted),
        );
        let left = watched.left.unwrap_or(u64::MAX);
        rows.judged(
            format!("{name}: memory left {} later ({} at most)", text(SETTLED), watched.grown(count)),
            format!("<= {}", mebibytes(MEMORY)),
            watched.left.map_or_else(|| "they are still there".to_owned(), mebibytes),
            left <= MEMORY,
        );
    })
}

pub fn show_peers(_: &Settings, rows: &mut Rows, counts: Counts) -> Result<()> {
    let mut all = Vec::new();
    for peer in Peer::ALL {
        for kind in SHARED {
            let witness = Witness::start(Temper::Well)?;
            let before = Before::server(witness.addr);
            all.push(Watched::start(Subject::peer(peer, &before)?, witness, kind, counts)?);
        }
    }
    watch(&mut all, rows, |rows, watched, name| {
        let gone = watched.gone().map_or_else(|| watched.still_there(), text);
        rows.told(format!("{name}: all gone"), gone);
        rows.told(format!("{name}: memory"), watched.grown(watched.count));
    })
}

/// Watches all of them to their ends and tells of each.
fn watch(all: &mut [Watched], rows: &mut Rows, tell: impl Fn(&mut Rows, &Watched, &str)) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE && all.iter().any(|watched| watched.left.is_none()) {
        for watched in &mut *all {
            watched.look()?;
        }
        std::thread::sleep(LOOK);
    }
    for watched in all {
        let name = format!("slow: {}, {} {}", watched.subject.title, watched.count, watched.kind.title());
        tell(rows, watched, &name);
        let seen = watched.witness.seen()?;
        if !watched.kind.is_admin() {
            rows.told(format!("{name}: upstream connections, most at once"), seen.most_connections);
        }
        let report = watched.crowd.report();
        let said: Vec<_> = report.said.iter().map(|(said, count)| format!("{count} x {said}")).collect();
        rows.told(
            format!("{name}: let in; what they heard"),
            format!("{}; {}", report.opened, said.join(", ")),
        );
    }
    Ok(())
}

/// A server with one crowd.
struct Watched {
    subject: Subject,
    witness: Witness,
    crowd: Crowd,
    kind: Kind,
    count: usize,
    /// Descriptors before.
    descriptors: usize,
    memory: Memory,
    opened: Instant,
    gone: Option<Instant>,
    /// Memory that was left, once it has settled.
    left: Option<u64>,
}

impl Watched {
    fn start(subject: Subject, witness: Witness, kind: Kind, counts: Counts) -> Result<Self> {
        let (descriptors, memory) = (subject.descriptors(), Memory::of(&subject));
        let target = &subject.target;
        let addr = match subject.as_edge() {
            Some(edge) if kind.is_admin() => edge.admin().addr,
            _ if kind.is_tls() => target.tls,
            _ => target.plain,
        };
        let count = counts.of(kind);
        let mut crowd = Crowd::start(kind, addr, count)?;
        crowd.wait()?;
        let opened = Instant::now();
        Ok(Self { subject, witness, crowd, kind, count, descriptors, memory, opened, gone: None, left: None })
    }

    fn look(&mut self) -> Result<()> {
        let now = self.memory.look(&self.subject);
        match self.gone {
            None if self.subject.descriptors() <= self.descriptors + LEFT.min(self.count / 3) => {
                self.gone = Some(Instant::now());
            }
            Some(since) if self.left.is_none() && since.elapsed() >= SETTLED => {
                self.left = Some(self.memory.left(now));
            }
            _ => {}
        }
        Ok(())
    }

    /// When the last one was gone, after they were all there.
    fn gone(&self) -> Option<Duration> {
        Some(self.gone?.saturating_duration_since(self.opened))
    }

    fn still_there(&self) -> String {
        let there = self.subject.descriptors().saturating_sub(self.descriptors);
        format!("{there} descriptors are held after {}", text(self.opened.elapsed()))
    }

    /// What they cost at most, all and each.
    fn grown(&self, count: usize) -> String {
        let grown = self.memory.growth();
        format!("{}, {:.1} KiB each", mebibytes(grown), grown as f64 / 1024.0 / count.max(1) as f64)
    }
}
