//! When slow clients are gone, and what they cost until then.
//!
//! All kinds at once, so that it takes no longer than the longest deadline; each has a server of its own, so that none
//! is another's cost. Only the server knows when a client is gone that reads nothing, so its descriptors are counted.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
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
    let start = |kind: &Kind| {
        let witness = Witness::start(Temper::Well)?;
        let subject = Subject::edge(settings, &Before::server(witness.addr))?;
        Watched::to_its_end(subject, witness, *kind, counts)
    };
    for watched in at_once(Kind::value_variants(), start)? {
        let (name, wanted) = (watched.name(), watched.kind.deadline() + LATER);
        let gone = watched.gone();
        rows.judged(
            format!("{name}: all gone"),
            format!("<= {}", text(wanted)),
            gone.map_or_else(|| watched.still_there(), text),
            gone.is_some_and(|after| after <= wanted),
        );
        rows.judged(
            format!("{name}: memory left {} later", text(SETTLED)),
            format!("<= {}", mebibytes(MEMORY)),
            watched.left.map_or_else(|| "they are still there".to_owned(), mebibytes),
            watched.left.is_some_and(|left| left <= MEMORY),
        );
        watched.tell(rows)?;
    }
    Ok(())
}

pub fn show_peers(rows: &mut Rows, counts: Counts) -> Result<()> {
    let start = |(peer, kind): &(Peer, Kind)| {
        let witness = Witness::start(Temper::Well)?;
        let subject = Subject::peer(*peer, &Before::server(witness.addr))?;
        Watched::to_its_end(subject, witness, *kind, counts)
    };
    let all: Vec<_> = Peer::ALL.into_iter().flat_map(|peer| SHARED.map(|kind| (peer, kind))).collect();
    for watched in at_once(&all, start)? {
        let gone = watched.gone().map_or_else(|| watched.still_there(), text);
        rows.told(format!("{}: all gone", watched.name()), gone);
        watched.tell(rows)?;
    }
    Ok(())
}

/// Does this for each on a thread of its own.
fn at_once<T: Sync>(all: &[T], work: impl Fn(&T) -> Result<Watched> + Sync) -> Result<Vec<Watched>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = all.iter().map(|one| scope.spawn(|| work(one))).collect();
        let joined =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        joined.collect()
    })
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
    /// Memory that was left, once it had settled.
    left: Option<u64>,
}

impl Watched {
    /// Brings the crowd to it and watches until the memory has settled that it gives back, or patience is over.
    fn to_its_end(subject: Subject, witness: Witness, kind: Kind, counts: Counts) -> Result<Self> {
        let (descriptors, memory) = (subject.descriptors(), Memory::of(&subject));
        let count = counts.of(kind);
        let crowd = Crowd::start(kind, kind.addr(&subject), count)?;
        let opened = Instant::now();
        let mut this = Self {
            subject,
            witness,
            crowd,
            kind,
            count,
            descriptors,
            memory,
            opened,
            gone: None,
            left: None,
        };
        while !this.crowd.is_there()? {
            this.memory.look(&this.subject);
            this.opened = Instant::now();
            std::thread::sleep(LOOK);
        }
        while this.left.is_none() && this.opened.elapsed() < PATIENCE {
            this.look();
            std::thread::sleep(LOOK);
        }
        Ok(this)
    }

    fn look(&mut self) {
        let now = self.memory.look(&self.subject);
        match self.gone {
            None if self.subject.descriptors() <= self.descriptors + LEFT.min(self.count / 3) => {
                self.gone = Some(Instant::now());
            }
            Some(since) if since.elapsed() >= SETTLED => self.left = Some(self.memory.left(now)),
            _ => {}
        }
    }

    fn name(&self) -> String {
        format!("slow: {}, {} {}", self.subject.title, self.count, self.kind.title())
    }

    /// When the last one was gone, after they were all there.
    fn gone(&self) -> Option<Duration> {
        Some(self.gone?.saturating_duration_since(self.opened))
    }

    fn still_there(&self) -> String {
        let there = self.subject.descriptors().saturating_sub(self.descriptors);
        format!("{there} descriptors held after {}", text(PATIENCE))
    }

    /// What they cost, and how they heard of their end.
    fn tell(&self, rows: &mut Rows) -> Result<()> {
        let (name, grown) = (self.name(), self.memory.growth());
        let each = grown as f64 / 1024.0 / self.count as f64;
        let upstream = self.witness.seen()?.most_connections;
        rows.told(
            format!("{name}: memory at most; connections upstream"),
            format!("{}, {each:.1} KiB each; {upstream}", mebibytes(grown)),
        );
        let report = self.crowd.report();
        let said: Vec<_> = report.said.iter().map(|(said, count)| format!("{count} x {said}")).collect();
        let heard = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
        rows.told(format!("{name}: let in; heard"), format!("{}; {heard}", report.opened));
        Ok(())
    }
}
