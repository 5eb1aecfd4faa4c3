//! Fleet: which steps there are, and what each does.

use stateright::{Model, Property};

use crate::EDGES;
use crate::bucket::{Body, Bucket, Kind, Position, Rules};
use crate::edge::{Book, CatchUp, Edge, Link};
use crate::properties;
use crate::rules::{Bounds, Broken};

/// Fleet of edges, as the checker explores it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub(crate) bounds: Bounds,
    pub(crate) broken: Option<Broken>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) bucket: Bucket,
    pub(crate) edges: [Edge; EDGES],
    pub(crate) used: Used,
    /// Saves that were answered.
    pub(crate) saved: Rules,
    /// Saves that were answered as enforced everywhere.
    pub(crate) everywhere: Rules,
    /// Saves that an operator has given up: they are not in the bucket that was accepted, or only at edges that nobody
    /// knew of when the fleet was to follow another bucket.
    pub(crate) given_up: Rules,
    pub(crate) restored: bool,
    pub(crate) accepted: bool,
}

/// How often things have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Used {
    pub(crate) saves: u8,
    pub(crate) cuts: u8,
    pub(crate) crashes: u8,
    pub(crate) stops: u8,
    pub(crate) full_disks: u8,
    pub(crate) slow: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An edge connects: it looks at the bucket, announces itself and follows, or finds a fault.
    Connect(usize),
    /// The next message reaches an edge and is in force there.
    Deliver(usize),
    /// With `Broken::AnnouncedInOrder`: the first edge hears of the second.
    Introduce(usize, usize),
    Announce(usize),
    Save(usize),
    /// The second edge tells the first that it enforces the save which that one waits for.
    Answer(usize, usize),
    /// `?wait=fleet` is answered with 200.
    Acknowledge(usize),
    /// A connection is cut, one way or both.
    Cut {
        edge: usize,
        hears: bool,
        speaks: bool,
    },
    Heal(usize),
    Crash(usize),
    Stop(usize),
    Start(usize),
    FillDisk(usize),
    FreeDisk(usize),
    /// Time passes; on all clocks, or on all but one.
    Tick(Option<usize>),
    LoseEnd(u8),
    MakeAnew,
    RemoveWidget,
    Restore(usize),
    Accept(usize),
}

impl Model for Fleet {
    type State = State;
    type Action = Step;

    /// Two edges follow a bucket that holds a widget; the third has never run.
    fn init_states(&self) -> Vec<State> {
        let mut bucket = Bucket { created: 1, last: 0, losses: 0, messages: Vec::new() };
        bucket.publish(Body::Announced(0), self.bounds.history);
        bucket.publish(Body::Announced(1), self.bounds.history);
        let key = bucket.publish(Body::Rules(1), self.bounds.history);
        let mut edges = [Edge::new(); EDGES];
        for edge in &mut edges[..2] {
            let at = Position { created: 1, sequence: bucket.last, written: 0, followed: 0 };
            edge.book = Book { rules: 1, key, at, members: [true, true, false] };
            (edge.is_up, edge.serves, edge.link, edge.contact) = (true, true, Link::Following, 0);
            edge.heard = [0; EDGES];
            edge.catches_up = None;
            edge.keep();
        }
        let used = Used::default();
        let state = State {
            bucket,
            edges,
            used,
            saved: 1,
            everywhere: 1,
            given_up: 0,
            restored: false,
            accepted: false,
        };
        vec![state]
    }

    fn actions(&self, _: &State, steps: &mut Vec<Step>) {
        for edge in 0..EDGES {
            steps.extend([
                Step::Deliver(edge),
                Step::Connect(edge),
                Step::Save(edge),
                Step::Acknowledge(edge),
            ]);
            steps.extend([Step::Heal(edge), Step::Crash(edge), Step::Stop(edge), Step::Start(edge)]);
            steps.extend([
                Step::FillDisk(edge),
                Step::FreeDisk(edge),
                Step::Restore(edge),
                Step::Accept(edge),
            ]);
            steps.extend([(true, false), (false, true), (false, false)].map(|(hears, speaks)| Step::Cut {
                edge,
                hears,
                speaks,
            }));
            steps.extend((0..EDGES).filter(|of| *of != edge).map(|of| Step::Answer(edge, of)));
            if self.broken == Some(Broken::AnnouncedInOrder) {
                steps.extend((0..EDGES).filter(|of| *of != edge).map(|of| Step::Introduce(edge, of)));
            }
            if self.bounds.staleness > 0 {
                steps.extend([Step::Announce(edge), Step::Tick(Some(edge))]);
            }
        }
        if self.bounds.staleness > 0 {
            steps.push(Step::Tick(None));
        }
        steps.extend((1..=2).map(Step::LoseEnd));
        steps.extend([Step::MakeAnew, Step::RemoveWidget]);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, step).filter(|()| state != *last)?;
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.bucket.last <= self.bounds.messages
    }
}

impl Fleet {
    pub(crate) fn has(&self, rule: Broken) -> bool {
        self.broken != Some(rule)
    }

    /// Whoever accepts a bucket gives up what it lacks when it is followed: no more is lost before that.
    fn may_be_damaged(&self, bucket: &Bucket, edges: &[Edge; EDGES]) -> bool {
        let (decision, kind) = bucket.decision();
        let has_followed = |edge: &Edge| edge.kept.at.created == 0 || edge.kept.at.followed >= decision;
        let is_settled = kind == Kind::Restored || edges.iter().all(has_followed);
        is_settled && bucket.losses < self.bounds.losses
    }

    /// `None`: it can't be taken now.
    fn step(&self, state: &mut State, step: Step) -> Option<()> {
        let State { bucket, edges, used, .. } = state;
        match step {
            Step::Connect(edge) => self.connect(state, edge)?,
            Step::Deliver(edge) => self.deliver(state, edge)?,
            Step::Introduce(edge, of) => {
                let is_there = edges[edge].is_reached() && edges[of].is_reached() && edges[of].follows();
                is_there.then(|| edges[edge].book.members[of] = true)?;
                edges[edge].keep();
            }
            Step::Announce(edge) => {
                let edge_state = &mut edges[edge];
                (edge_state.follows() && edge_state.speaks).then_some(())?;
                let sequence = bucket.publish(Body::Announced(edge), self.bounds.history);
                if edge_state.hears {
                    edge_state.sent = Some((sequence, 0));
                    if !self.has(Broken::ContactWhenApplied) {
                        edge_state.contact = 0;
                    }
                }
            }
            Step::Save(edge) => self.save(state, edge)?,
            Step::Answer(edge, of) => self.answer(state, edge, of)?,
            Step::Acknowledge(edge) => self.acknowledge(state, edge)?,
            Step::Cut { edge, hears, speaks } => {
                let edge = &mut edges[edge];
                (used.cuts < self.bounds.cuts && edge.is_reached()).then(|| used.cuts += 1)?;
                (edge.hears, edge.speaks) = (hears, speaks);
                // One way alone, it isn't noticed at once.
                if !hears && !speaks && edge.link == Link::Following {
                    edge.link = Link::Off;
                }
            }
            Step::Heal(edge) => (edges[edge].hears, edges[edge].speaks) = (true, true),
            Step::Crash(edge) => {
                (edges[edge].is_up && used.crashes < self.bounds.crashes).then(|| used.crashes += 1)?;
                self.end(&mut edges[edge]);
            }
            Step::Stop(edge) => {
                let edge_state = &mut edges[edge];
                let may = edge_state.is_reached() && edge_state.follows() && edge_state.serves;
                (may && used.stops < self.bounds.stops).then(|| used.stops += 1)?;
                bucket.publish(Body::SignedOff(edge), self.bounds.history);
                edge_state.catches_up = Some(CatchUp::SignedOff);
                self.end(edge_state);
            }
            Step::Start(edge) => self.start(state, edge)?,
            Step::FillDisk(edge) => {
                let edge = &mut edges[edge];
                (used.full_disks < self.bounds.full_disks && edge.is_up).then(|| used.full_disks += 1)?;
                edge.disk_full = true;
            }
            Step::FreeDisk(edge) => {
                edges[edge].disk_full.then(|| edges[edge].disk_full = false)?;
                if edges[edge].is_up {
                    edges[edge].keep();
                }
            }
            Step::Tick(slow) => {
                if slow.is_some() {
                    (used.slow < self.bounds.slow).then(|| used.slow += 1)?;
                }
                let stale = self.bounds.staleness;
                for (index, edge) in edges.iter_mut().enumerate() {
                    edge.tick(slow == Some(index), stale, stale + self.bounds.slow);
                    edge.heard[index] = 0;
                }
            }
            Step::LoseEnd(count) => {
                (self.may_be_damaged(bucket, edges) && bucket.last > count).then_some(())?;
                let last = bucket.last - count;
                bucket.lose_end(last);
                state.disconnect();
            }
            Step::MakeAnew => {
                let may = self.may_be_damaged(bucket, edges) && self.bounds.loses_all;
                may.then(|| bucket.make_anew())?;
                state.disconnect();
            }
            Step::RemoveWidget => {
                let (_, key) = bucket.rules();
                let has_read = |edge: &Edge| match edge.catches_up {
                    Some(CatchUp::New) => edge.book.at.created == 0,
                    _ => edge.kept.at.sequence >= key,
                };
                let may = self.may_be_damaged(bucket, edges) && self.bounds.loses_all;
                (may && edges.iter().all(has_read)).then(|| bucket.remove_widget())?;
            }
            Step::Restore(edge) => self.restore(state, edge)?,
            Step::Accept(edge) => {
                (edges[edge].is_reached() && edges[edge].link == Link::Fault).then_some(())?;
                self.decide(state, edge, Kind::Accepted)?;
                state.given_up |= !state.bucket.rules().0 & ((2 << state.used.saves) - 1);
                state.accepted = true;
            }
        }
        Some(())
    }
}

impl State {
    /// A damaged bucket has lost its consumers, too.
    fn disconnect(&mut self) {
        for edge in self.edges.iter_mut().filter(|edge| edge.link == Link::Following) {
            edge.link = Link::Off;
        }
    }
}
