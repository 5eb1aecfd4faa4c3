//! Simulation of edges that share a limit: requests that wait on the way, answers that are lost, watches that lag, edges
//! that are cut off, killed and replaced, clocks that go on meanwhile.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use embedgate_policy::limits::LimitKind;

use super::budget::{PlannedWrite, ShareErrand};
use super::document::{BudgetId, LEASES, SHARES};
use super::ledger::{DueBudget, ErrandResult, ShareLedger, ShareTime};
use super::{Budget, SucceededHolder};
use crate::rules::fleet::{FleetNote, NoteFault};

mod demand;
mod races;
mod schedules;

const DAY: u64 = 24 * 3600 * 1000;

/// Edges, and the notes that they share.
struct World {
    kind: LimitKind,
    limit: u32,
    began: Instant,
    /// Time since then, and of the day, in milliseconds.
    now: u64,
    notes: BTreeMap<String, (u64, Vec<u8>)>,
    revision: u64,
    edges: Vec<SimulatedEdge>,
    /// Those that are known to serve nobody.
    over: BTreeSet<String>,
    /// Requests of processes that are gone, which may still arrive.
    orphans: Vec<OnTheWay>,
    /// Every open that was let through: when. Sessions that have ended are taken out.
    used: Vec<u64>,
    processes: u32,
    /// How often a document of shares was written.
    writes: u32,
}

struct SimulatedEdge {
    name: String,
    ledger: ShareLedger,
    process: String,
    is_alive: bool,
    /// It is connected, and has a session.
    is_linked: bool,
    feed: VecDeque<FleetNote>,
    on_the_way: Vec<OnTheWay>,
    /// What this edge itself has counted: times of opens, or of the beginnings of its sessions.
    counted: Vec<u64>,
}

/// Request to the notes.
#[derive(Clone)]
struct OnTheWay {
    request: SentRequest,
    /// How many of the leases were read.
    confirmed: usize,
    answer: Option<ErrandAnswer>,
}

#[derive(Clone)]
enum SentRequest {
    Renew { expected: u64, body: Vec<u8>, sent: u64 },
    Read(BudgetId),
    Write(BudgetId, PlannedWrite),
}

#[derive(Clone)]
enum ErrandAnswer {
    Renewed(Result<u64, NoteFault>),
    Of(BudgetId, ErrandResult),
}

fn unknown() -> NoteFault {
    NoteFault::Unknown("lost".to_owned())
}

impl World {
    fn new(kind: LimitKind, limit: u32, edges: usize) -> Self {
        let mut world = Self {
            kind,
            limit,
            began: Instant::now(),
            // Some minutes before midnight.
            now: DAY - 600_000,
            notes: BTreeMap::new(),
            revision: 0,
            edges: Vec::new(),
            over: BTreeSet::new(),
            orphans: Vec::new(),
            used: Vec::new(),
            processes: 0,
            writes: 0,
        };
        for n in 1..=edges {
            let edge = world.process(&format!("edge-{n}"), None, Vec::new());
            world.edges.push(edge);
        }
        world
    }

    fn process(
        &mut self,
        name: &str,
        succeeded: Option<SucceededHolder>,
        counted: Vec<u64>,
    ) -> SimulatedEdge {
        self.processes += 1;
        let process = format!("p{}", self.processes);
        SimulatedEdge {
            name: name.to_owned(),
            ledger: ShareLedger::new(name, &process, succeeded, self.time().now),
            process,
            is_alive: true,
            is_linked: false,
            feed: VecDeque::new(),
            on_the_way: Vec::new(),
            counted,
        }
    }

    fn time(&self) -> ShareTime {
        ShareTime { now: self.began + Duration::from_millis(self.now), today: (self.now / DAY) as i64 }
    }

    fn budget(&self) -> Budget<'static> {
        Budget { widget: "w", embedder: None, kind: self.kind, is_newcomer: true }
    }

    fn key(&self) -> String {
        BudgetId::of(&self.budget()).key()
    }

    /// Whether what was opened then counts now.
    fn counts(&self, at: u64) -> bool {
        match self.kind {
            LimitKind::Sessions => true,
            LimitKind::OpensPerMinute => self.now - at <= 60_000,
            LimitKind::OpensPerDay => self.now / DAY == at / DAY,
        }
    }

    fn total(&self) -> usize {
        self.used.iter().filter(|at| self.counts(**at)).count()
    }

    fn used_by(&self, n: usize) -> u32 {
        self.edges[n].counted.iter().filter(|at| self.counts(**at)).count() as u32
    }

    /// The error that is stated.
    fn error(&self) -> usize {
        (self.edges.len() - 1).max(self.limit as usize / 100)
    }

    /// One open at this edge. Returns whether it was let through, and otherwise whether it may wait.
    fn open(&mut self, n: usize) -> Result<(), bool> {
        if !self.edges[n].is_alive {
            return Err(false);
        }
        let (budget, at, used, limit) = (self.budget(), self.time(), self.used_by(n), self.limit);
        let id = BudgetId::of(&budget);
        if used < self.edges[n].ledger.share((id, &budget), limit, used, at) {
            self.edges[n].counted.push(self.now);
            self.used.push(self.now);
            return Ok(());
        }
        Err(self.edges[n].ledger.more((id, &budget), limit, used, at).is_some())
    }

    /// The oldest session of this edge ends.
    fn end(&mut self, n: usize) {
        if self.kind == LimitKind::Sessions && self.edges[n].is_alive && !self.edges[n].counted.is_empty() {
            let at = self.edges[n].counted.remove(0);
            let place = self.used.iter().position(|used| *used == at).unwrap();
            self.used.remove(place);
        }
    }

    /// An edge begins a session, if it has none. What it had under way it knows nothing of any more.
    fn link(&mut self, n: usize) {
        let at = self.time();
        let edge = &mut self.edges[n];
        if !edge.is_alive || edge.is_linked {
            return;
        }
        edge.is_linked = true;
        self.orphans.append(&mut edge.on_the_way);
        edge.ledger.begins(1, at.now);
        let key = edge.ledger.lease_key();
        let note = self.notes.get(&key);
        let note = note.map(|(revision, body)| FleetNote { key, revision: *revision, body: body.clone() });
        edge.ledger.acquires(note.as_ref(), at.now);
        let all = self.notes.iter();
        edge.feed = all
            .map(|(key, (revision, body))| FleetNote {
                key: key.clone(),
                revision: *revision,
                body: body.clone(),
            })
            .collect();
        self.renew(n);
    }

    fn cut(&mut self, n: usize) {
        self.edges[n].is_linked = false;
        self.edges[n].feed.clear();
    }

    fn crash(&mut self, n: usize) {
        self.cut(n);
        let edge = &mut self.edges[n];
        edge.is_alive = false;
        self.orphans.append(&mut edge.on_the_way);
        if self.kind == LimitKind::Sessions {
            for at in edge.counted.drain(..) {
                let place = self.used.iter().position(|used| *used == at).unwrap();
                self.used.remove(place);
            }
        }
    }

    /// Starts a process in the place of one that was killed, or relieves the one that runs.
    fn start(&mut self, n: usize) {
        let (name, was_alive) = (self.edges[n].name.clone(), self.edges[n].is_alive);
        let counted = match self.kind {
            // What is counted a minute is in memory alone.
            LimitKind::OpensPerMinute if !was_alive => Vec::new(),
            _ => std::mem::take(&mut self.edges[n].counted),
        };
        self.over.remove(&name);
        self.orphans.append(&mut self.edges[n].on_the_way);
        let now = self.time().now;
        let succeeded = self.edges[n].ledger.holder(now).filter(|_| was_alive);
        self.edges[n] = self.process(&name, succeeded, counted);
    }

    fn forget(&mut self, n: usize) {
        if !self.edges[n].is_alive {
            self.over.insert(self.edges[n].name.clone());
        }
    }

    /// An edge sends the renewal of its lease.
    fn renew(&mut self, n: usize) {
        let now = self.now;
        let edge = &mut self.edges[n];
        let is_sent = edge.on_the_way.iter().any(|sent| matches!(sent.request, SentRequest::Renew { .. }));
        if edge.is_alive && edge.is_linked && !is_sent {
            let (_, expected, body) = edge.ledger.renewal();
            edge.on_the_way.push(OnTheWay::new(SentRequest::Renew { expected, body, sent: now }));
        }
    }

    /// An edge looks for what is due, and sends it. So much is opened after it was read how much is used.
    fn work(&mut self, n: usize, opened: usize) {
        let (at, count) = (self.time(), self.edges.len());
        if !self.edges[n].is_alive || !self.edges[n].is_linked {
            return;
        }
        self.edges[n].ledger.note_edges(count);
        ShareLedger::parts().for_each(|part| self.edges[n].ledger.tick(part, at));
        while let Some(due) = self.edges[n].ledger.next_due() {
            let used = self.used_by(n);
            let _admitted = (0..opened).filter(|_| self.open(n).is_ok()).count();
            self.errand(n, &due, used);
            if opened > 0 {
                return;
            }
        }
    }

    fn errand(&mut self, n: usize, due: &DueBudget, used: u32) {
        let at = self.time();
        let over = &self.over;
        let edge = &mut self.edges[n];
        let errand = edge.ledger.errand(due, Some(used), at, |name| over.contains(name));
        let request = match errand {
            None => return,
            Some(ShareErrand::Read) => SentRequest::Read(due.id),
            Some(ShareErrand::Write(write)) => SentRequest::Write(due.id, write),
        };
        edge.on_the_way.push(OnTheWay::new(request));
    }

    /// A request arrives, or what it has to read before.
    fn land(&mut self, n: usize, place: usize) {
        let count = self.edges[n].on_the_way.len();
        if count > 0 {
            let mut sent = self.edges[n].on_the_way[place % count].clone();
            self.serve(n, &mut sent);
            self.edges[n].on_the_way[place % count] = sent;
        }
    }

    /// A request of a process that is gone arrives.
    fn land_orphan(&mut self, place: usize) {
        if !self.orphans.is_empty() {
            let place = place % self.orphans.len();
            let mut sent = self.orphans.swap_remove(place);
            // Whoever reads first writes only after the answer.
            if matches!(&sent.request, SentRequest::Write(_, write) if sent.confirmed < write.confirm.len()) {
                return;
            }
            self.serve(0, &mut sent);
        }
    }

    fn serve(&mut self, n: usize, sent: &mut OnTheWay) {
        if sent.answer.is_some() {
            return;
        }
        let answer = match &sent.request {
            SentRequest::Renew { expected, body, .. } => {
                // The name of the edge is in what asks, not in what is asked: orphans are told by their process.
                let key =
                    self.lease_key_of(body).unwrap_or_else(|| format!("{LEASES}{}", self.edges[n].name));
                ErrandAnswer::Renewed(self.write(&key, *expected, body.clone()))
            }
            SentRequest::Read(id) => {
                let key = id.key();
                let note = self.notes.get(&key);
                let note =
                    note.map(|(revision, body)| FleetNote { key, revision: *revision, body: body.clone() });
                ErrandAnswer::Of(*id, ErrandResult::Read(Ok(note)))
            }
            SentRequest::Write(id, write) => {
                if let Some(lease) = write.confirm.get(sent.confirmed) {
                    let last = self.notes.get(&lease.key).map_or(0, |(revision, _)| *revision);
                    if last == lease.revision {
                        sent.confirmed += 1;
                    } else {
                        sent.answer = Some(ErrandAnswer::Of(*id, ErrandResult::Unconfirmed));
                    }
                    return;
                }
                let written = self.write(&id.key(), write.expected, write.document.written());
                ErrandAnswer::Of(*id, ErrandResult::Written(write.clone(), written))
            }
        };
        sent.answer = Some(answer);
    }

    /// The key of the lease that this is of, where an edge has that process or had it.
    fn lease_key_of(&self, body: &[u8]) -> Option<String> {
        let lease: serde_json::Value = serde_json::from_slice(body).unwrap();
        let of_process = |body: &[u8]| {
            let other: serde_json::Value = serde_json::from_slice(body).ok()?;
            Some(other["process"] == lease["process"])
        };
        let running = self.edges.iter().find(|edge| lease["process"] == *edge.process);
        let running = running.map(|edge| format!("{LEASES}{}", edge.name));
        running.or_else(|| {
            let mut leases = self.notes.iter().filter(|(key, _)| key.starts_with(LEASES));
            leases.find(|(_, (_, body))| of_process(body) == Some(true)).map(|(key, _)| key.clone())
        })
    }

    fn write(&mut self, key: &str, expected: u64, body: Vec<u8>) -> Result<u64, NoteFault> {
        if self.notes.get(key).map_or(0, |(revision, _)| *revision) != expected {
            return Err(NoteFault::Outdated);
        }
        self.revision += 1;
        self.writes += u32::from(key.starts_with(SHARES));
        self.notes.insert(key.to_owned(), (self.revision, body.clone()));
        for edge in self.edges.iter_mut().filter(|edge| edge.is_linked) {
            edge.feed.push_back(FleetNote {
                key: key.to_owned(),
                revision: self.revision,
                body: body.clone(),
            });
        }
        Ok(self.revision)
    }

    /// The answer to a request comes, or is lost: then the request itself may arrive later.
    fn answer(&mut self, n: usize, place: usize, is_lost: bool) {
        let (at, count) = (self.time(), self.edges[n].on_the_way.len());
        if count == 0 {
            return;
        }
        let place = place % count;
        if !is_lost && self.edges[n].on_the_way[place].answer.is_none() {
            return;
        }
        let sent = self.edges[n].on_the_way.swap_remove(place);
        let answer = match (&sent.request, sent.answer.clone()) {
            (_, Some(answer)) if !is_lost => answer,
            (SentRequest::Renew { .. }, _) => ErrandAnswer::Renewed(Err(unknown())),
            (SentRequest::Read(id), _) => ErrandAnswer::Of(*id, ErrandResult::Read(Err(unknown()))),
            (SentRequest::Write(id, write), _) => {
                ErrandAnswer::Of(*id, ErrandResult::Written(write.clone(), Err(unknown())))
            }
        };
        match answer {
            ErrandAnswer::Of(id, result) => self.edges[n].ledger.done(id, result, at),
            ErrandAnswer::Renewed(Ok(revision)) => {
                let SentRequest::Renew { sent, .. } = sent.request else {
                    panic!("an answer to a renewal that was no renewal")
                };
                let sent = self.began + Duration::from_millis(sent);
                self.edges[n].ledger.renewed(revision, sent, at.now);
            }
            ErrandAnswer::Renewed(Err(_)) => self.cut(n),
        }
        if is_lost && sent.answer.is_none() {
            self.orphans.push(sent);
        }
    }

    /// A write is refused without having arrived.
    fn refuse(&mut self, n: usize) {
        let at = self.time();
        let refused = NoteFault::NotDone("no leader".to_owned());
        let sent = self.edges[n].on_the_way.pop().unwrap();
        let SentRequest::Write(id, write) = sent.request else { panic!("no write is under way") };
        self.edges[n].ledger.done(id, ErrandResult::Written(write, Err(refused)), at);
    }

    /// So many notes come to an edge.
    fn feed(&mut self, n: usize, count: usize) {
        let at = self.time();
        for _ in 0..count {
            let Some(note) = self.edges[n].feed.pop_front() else { return };
            self.edges[n].ledger.arrives(&note, at);
        }
    }

    /// Everything goes well for an edge for a while.
    fn run(&mut self, n: usize) {
        self.link(n);
        self.renew(n);
        for _ in 0..6 {
            self.work(n, 0);
            // Those that read leases before take more than one step.
            for _ in 0..4 {
                for place in 0..self.edges[n].on_the_way.len() {
                    self.land(n, place);
                }
            }
            while self.edges[n].on_the_way.iter().any(|sent| sent.answer.is_some()) {
                let place = self.edges[n].on_the_way.iter().position(|sent| sent.answer.is_some()).unwrap();
                self.answer(n, place, false);
            }
            self.feed(n, usize::MAX);
        }
    }

    /// Everything goes well everywhere, and so much time passes.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        loop {
            for n in 0..self.edges.len() {
                self.run(n);
            }
            if self.now >= until {
                return;
            }
            self.now = (self.now + 500).min(until);
        }
    }
}

impl OnTheWay {
    fn new(request: SentRequest) -> Self {
        Self { request, confirmed: 0, answer: None }
    }
}
