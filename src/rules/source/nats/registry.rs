//! Registry of the fleet's edges: who was announced, and what each has told of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::bucket::{DECISION, EDGES};
use super::report::{Announcement, Report};
use crate::rules::fleet::EdgeState;

/// An edge denies by itself this much later at most than its clock would let it: clocks run differently.
const SLACK: Duration = Duration::from_secs(1);

/// So long after its last report an edge is taken to be silent, in intervals between reports.
const INTERVALS: u32 = 3;

/// Time after which a process that was not heard of is forgotten: no interval is that long.
const LONG_AGO: Duration = Duration::from_secs(10 * 60);

/// Registry of the edges that were ever announced.
#[derive(Debug, Default)]
pub(super) struct EdgeRegistry {
    edges: BTreeMap<String, KnownEdge>,
    /// Keys of the fleet itself that are in the bucket.
    keys: BTreeSet<String>,
    /// The bucket that these keys are in: when it was created.
    created: u64,
    /// What is kept of the edges is not what is known.
    is_unkept: bool,
}

/// Edge that was announced.
#[derive(Debug)]
pub(super) struct KnownEdge {
    pub(super) announcement: Announcement,
    /// The bucket and the sequence of its last announcement.
    created: u64,
    sequence: u64,
    /// When this process has read that announcement.
    announced: Instant,
    /// Its last report, when it came, and what it said of its state.
    report: Option<(Report, Instant, EdgeState)>,
    /// The processes that have reported under its name, and when each last did.
    processes: BTreeMap<String, Instant>,
    pub(super) heard_at: Option<Timestamp>,
}

impl KnownEdge {
    /// Whether it denies by itself, as it has had no contact to its rules for too long.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let limit = self.announcement.max_staleness();
        let silent = now.duration_since(self.announced);
        limit.is_some_and(|limit| silent > limit.saturating_add(limit / 50).saturating_add(SLACK))
    }

    /// The state of an edge that has not answered.
    pub(super) fn unanswered(&self, now: Instant) -> EdgeState {
        if self.is_stale(now) { EdgeState::Stale } else { EdgeState::Silent }
    }

    /// The last report of the process that was announced last, with the age that its rules have now.
    pub(super) fn report(&self) -> Option<Report> {
        let (report, at, _) = self.report.as_ref()?;
        let age_seconds = report.age_seconds.map(|age| age + at.elapsed().as_secs());
        let is_last = report.instance == self.announcement.instance;
        is_last.then(|| Report { age_seconds, ..report.clone() })
    }
}

impl EdgeRegistry {
    /// The edges that were known before a restart, which may be announced in no bucket any more.
    pub(super) fn of_kept(kept: &[u8]) -> Self {
        let kept: Vec<Announcement> = serde_json::from_slice(kept).unwrap_or_default();
        let mut registry = Self::default();
        for announcement in kept {
            registry.announce(announcement, 0);
        }
        registry.edges.values_mut().for_each(|edge| edge.heard_at = None);
        registry.is_unkept = false;
        registry
    }

    /// What is to be kept of the edges, where it is something else than what was given last.
    pub(super) fn take_unkept(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.is_unkept) {
            return None;
        }
        let edges: Vec<&Announcement> = self.all().map(|(_, edge)| &edge.announcement).collect();
        serde_json::to_vec(&edges).ok()
    }

    /// What was given could not be kept.
    pub(super) fn was_not_kept(&mut self) {
        self.is_unkept = true;
    }

    /// Begins with the keys of this bucket, all of which are read next. Edges that were announced before stay: somebody
    /// may have to wait for them. The sequences of their announcements mean nothing any more, as the bucket may have lost
    /// its end.
    pub(super) fn begin(&mut self, created: u64) {
        self.keys.clear();
        self.created = created;
        self.edges.values_mut().for_each(|edge| edge.sequence = 0);
    }

    /// Notes a message under a key of the fleet.
    pub(super) fn note_key(&mut self, key: &str) {
        self.keys.insert(key.to_owned());
    }

    /// Number of the fleet's own keys in the bucket.
    pub(super) fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Notes an announcement; one that is older than what is known changes nothing.
    pub(super) fn announce(&mut self, announcement: Announcement, sequence: u64) {
        let created = self.created;
        let before = self.edges.remove(&announcement.name);
        if let Some(before) = before {
            if before.created == created && before.sequence >= sequence {
                self.edges.insert(announcement.name, before);
                return;
            }
            self.is_unkept |= before.announcement != announcement;
            let edge = KnownEdge {
                created,
                sequence,
                announced: Instant::now(),
                heard_at: Some(Timestamp::now()),
                announcement,
                ..before
            };
            self.edges.insert(edge.announcement.name.clone(), edge);
            return;
        }
        self.is_unkept = true;
        let name = announcement.name.clone();
        let (announced, heard_at) = (Instant::now(), Some(Timestamp::now()));
        let edge = KnownEdge {
            announcement,
            created,
            sequence,
            announced,
            report: None,
            processes: BTreeMap::new(),
            heard_at,
        };
        self.edges.insert(name, edge);
    }

    /// Notes what an edge has told of itself, and the state that this means.
    pub(super) fn hear(&mut self, report: Report, state: EdgeState) {
        if let Some(edge) = self.edges.get_mut(&report.name) {
            let now = Instant::now();
            edge.heard_at = Some(Timestamp::now());
            edge.processes.retain(|_, heard| now.duration_since(*heard) < LONG_AGO);
            edge.processes.insert(report.instance.clone(), now);
            edge.report = Some((report, now, state));
        }
    }

    /// Notes that a process was ended, or relieved by another one of its name.
    pub(super) fn has_ended(&mut self, report: &Report) {
        if let Some(edge) = self.edges.get_mut(&report.name) {
            edge.processes.remove(&report.instance);
        }
    }

    /// Processes that were heard of lately under the name of an edge, beside the one that was announced last. `interval`:
    /// that of reports.
    pub(super) fn other_processes(&self, interval: Duration) -> BTreeMap<String, BTreeSet<String>> {
        let now = Instant::now();
        let mut others: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, edge) in self.all() {
            let is_other = |(instance, heard): &(&String, &Instant)| {
                **instance != edge.announcement.instance && now.duration_since(**heard) < interval * INTERVALS
            };
            let instances = edge.processes.iter().filter(is_other).map(|(instance, _)| instance.clone());
            let instances: BTreeSet<String> = instances.collect();
            if !instances.is_empty() {
                others.insert(name.clone(), instances);
            }
        }
        others
    }

    /// Edges that saves wait for, by name, with the process that was announced last.
    pub(super) fn waited_for(&self, now: Instant) -> BTreeMap<String, String> {
        let edges = self.edges.iter();
        let waited = edges.filter(|(_, edge)| edge.announcement.is_waited_for() && !edge.is_stale(now));
        waited.map(|(name, edge)| (name.clone(), edge.announcement.instance.clone())).collect()
    }

    /// Edges that have neither stopped nor were forgotten.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &KnownEdge)> {
        self.edges.iter().filter(|(_, edge)| edge.announcement.is_waited_for())
    }

    /// An edge that was ever announced, unless it is forgotten.
    pub(super) fn get(&self, name: &str) -> Option<&KnownEdge> {
        self.edges.get(name).filter(|edge| !edge.announcement.forgotten)
    }

    /// Whether it is known that an edge serves nobody any more.
    pub(super) fn is_over(&self, name: &str, now: Instant) -> bool {
        let edge = self.edges.get(name);
        edge.is_some_and(|edge| !edge.announcement.is_waited_for() || edge.is_stale(now))
    }

    /// Number of edges in each state but this one's own. `interval`: that of reports.
    pub(super) fn states(&self, own: &str, interval: Duration) -> BTreeMap<EdgeState, usize> {
        let now = Instant::now();
        let mut states: BTreeMap<EdgeState, usize> =
            EdgeState::ALL.into_iter().map(|state| (state, 0)).collect();
        for (_, edge) in self.all().filter(|(name, _)| *name != own) {
            let heard =
                edge.report.as_ref().filter(|(_, at, _)| now.duration_since(*at) < interval * INTERVALS);
            let state = heard.map_or_else(|| edge.unanswered(now), |(.., state)| *state);
            *states.entry(state).or_default() += 1;
        }
        states
    }
}

/// The name of the edge that a key is of.
pub(super) fn edge_of(key: &str) -> Option<&str> {
    key.strip_prefix(EDGES)
}

/// The key of an edge.
pub(super) fn key_of(edge: &str) -> String {
    format!("{EDGES}{edge}")
}

/// Whether this is the key of decisions.
pub(super) fn is_decision(key: &str) -> bool {
    key == DECISION
}

#[cfg(test)]
mod tests;
