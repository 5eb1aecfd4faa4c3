//! When slow clients are gone, and what they cost until then.
//!
//! Many kinds at once, so that it takes not much longer than the longest deadline; each has a server of its own, so that
//! none is another's cost. Those of which the system has to keep answers come after the others, because its memory for that
//! is limited. Only the server knows when a client is gone that reads nothing, so its descriptors are counted.

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
/// After a start and after the last one, until memory is looked at.
const SETTLED: Duration = Duration::from_secs(5);
/// The longest that anybody is watched: more than the longest deadline here.
const PATIENCE: Duration = Duration::from_secs(75);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Descriptors that may be left: what was made for good meanwhile.
const LEFT: usize = 16;
/// Memory that may be left.
const MEMORY: u64 = 16 << 20;
/// Kinds that are held against peers, too.
const SHARED: [Kind; 3] = [Kind::Head, Kind::Body, Kind::Reader];

pub fn show(settings: &Settings, rows: &mut Rows, counts: Counts) -> Result<()> {
    let edges = Kind::value_variants().iter().map(|kind| (None, *kind));
    let peers = Peer::ALL.into_iter().flat_map(|peer| SHARED.map(|kind| (Some(peer), kind)));
    let (stuck, others): (Vec<_>, Vec<_>) = edges.chain(peers).partition(|(_, kind)| kind.is_stuck());
    let (of_peers, of_edges) = stuck.into_iter().partition(|(peer, _)| peer.is_some());
    for together in [others, of_edges, of_peers] {
        // Started on this thread, because processes end with the thread that has started them.
        let start = |(peer, kind): &(Option<Peer>, Kind)| {
            let witness = Witness::start(Temper::Well)?;
            let before = Before::server(witness.addr);
            let subject = match peer {
                Some(peer) => Subject::peer(*peer, &before)?,
                None => Subject::edge(settings, &before)?,
            };
            Ok((subject, witness, *kind))
        };
        let started = together.iter().map(start).collect::<Result<Vec<_>>>()?;
        std::thread::sleep(SETTLED);
        let watched = |(subject, witness, kind)| Watched::start(subject, witness, kind, counts);
        let all = started.into_iter().map(watched).collect::<Result<_>>()?;
        for watched in to_their_ends(all)? {
            watched.judge(rows);
            watched.tell(rows)?;
        }
    }
    Ok(())
}

/// Watches each on a thread of its own.
fn to_their_ends(all: Vec<Watched>) -> Result<Vec<Watched>> {
    let threads: Vec<_> = all
        .into_iter()
        .map(|mut watched| std::thread::spawn(move || watched.watch().map(|()| watched)))
        .collect();
    let joined = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
    joined.collect()
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
    /// Descriptors more than before, when they were last counted.
    held: usize,
    /// Memory that was left, once it had settled.
    left: Option<u64>,
}

impl Watched {
    /// Brings the crowd to it.
    fn start(subject: Subject, witness: Witness, kind: Kind, counts: Counts) -> Result<Self> {
        let (descriptors, memory) = (subject.descriptors(), Memory::of(&subject));
        let count = counts.of(kind);
        let crowd = Crowd::start(kind, kind.addr(&subject), count)?;
        let opened = Instant::now();
        Ok(Self {
            subject,
            witness,
            crowd,
            kind,
            count,
            descriptors,
            memory,
            opened,
            gone: None,
            held: 0,
            left: None,
        })
    }

    /// Watches until they are gone and the memory has settled that it gives back, or patience is over.
    fn watch(&mut self) -> Result<()> {
        while !self.crowd.is_there()? {
            self.memory.look(&self.subject);
            self.opened = Instant::now();
            std::thread::sleep(LOOK);
        }
        while self.left.is_none() && self.opened.elapsed() < PATIENCE {
            self.look();
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn look(&mut self) {
        let now = self.memory.look(&self.subject);
        match self.gone {
            None => {
                self.held = self.subject.descriptors().saturating_sub(self.descriptors);
                self.gone = (self.held <= LEFT).then(Instant::now);
            }
            Some(since) if since.elapsed() >= SETTLED => self.left = Some(self.memory.left(now)),
            Some(_) => {}
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
        format!("{} descriptors held after {}", self.held, text(PATIENCE))
    }

    /// Whether they were gone in time and left nothing, if it is an edge.
    fn judge(&self, rows: &mut Rows) {
        let (name, wanted) = (self.name(), self.kind.deadline() + LATER);
        let gone = self.gone();
        let measured = gone.map_or_else(|| self.still_there(), text);
        if self.subject.as_edge().is_none() {
            return rows.told(format!("{name}: all gone"), measured);
        }
        let is_so = gone.is_some_and(|after| after <= wanted);
        rows.judged(format!("{name}: all gone"), format!("<= {}", text(wanted)), measured, is_so);
        rows.judged(
            format!("{name}: memory left {} later", text(SETTLED)),
            format!("<= {}", mebibytes(MEMORY)),
            self.left.map_or_else(|| "they are still there".to_owned(), mebibytes),
            self.left.is_some_and(|left| left <= MEMORY),
        );
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
