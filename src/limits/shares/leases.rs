//! Leases of the edges: for how long this edge may use what it holds, and which shares are nobody's any more.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use embedgate_policy::limits::LimitKind;

use super::SucceededHolder;
use super::document::{LEASES, ShareHolder};
use crate::rules::fleet::FleetNote;

/// Time for which a lease is good after it was sent to be renewed.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// Time after which nothing that was used under a lease can be within the last minute: the lease, the minute, and a second
/// because clocks run differently.
pub(super) const SPENT: Duration = Duration::from_secs(30 + 60 + 1);

/// Time after which a lease that was not renewed is forgotten: then there is no note of it, nor of what was held under it.
const FORGOTTEN: Duration = Duration::from_secs(2 * 24 * 3600);

/// Leases of all edges, as far as this one knows.
#[derive(Debug)]
pub(super) struct LeaseTable {
    own: ShareHolder,
    /// The revision of the own lease.
    revision: u64,
    valid_until: Option<Instant>,
    /// Since when this edge is about to stop.
    leaving: Option<Instant>,
    /// When this process has first read whose lease there was before.
    acquired: Option<Instant>,
    /// From when on this edge may use one open a minute beside its share: a process before it may have used that. `None`: not
    /// before others can know of this process.
    one_from: Option<Instant>,
    /// When the last process before this one can have used nothing within the last minute.
    clear_from: Instant,
    others: HashMap<String, SeenLease>,
    /// Since when others are seen.
    began: Instant,
    /// The process in whose place this one goes on, with its counts.
    succeeded: Option<SucceededHolder>,
}

/// Lease of another edge.
#[derive(Debug)]
struct SeenLease {
    revision: u64,
    process: String,
    /// When it was seen that this process has it, and that it has renewed it.
    taken: Instant,
    renewed: Instant,
}

/// Lease as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct LeaseNote {
    process: String,
    lapse: u32,
}

/// Lease that has to be the last one of its edge for a share to be nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastLease {
    pub(super) key: String,
    pub(super) revision: u64,
}

impl LeaseTable {
    /// The leases before anything is known. `succeeded`: the process in whose place this one goes on, with its counts.
    pub(super) fn new(edge: &str, process: &str, succeeded: Option<SucceededHolder>, now: Instant) -> Self {
        Self {
            own: ShareHolder { edge: edge.to_owned(), process: process.to_owned(), lapse: 0 },
            revision: 0,
            valid_until: None,
            leaving: None,
            acquired: None,
            one_from: succeeded.as_ref().filter(|holder| holder.has_one).map(|_| now),
            clear_from: if succeeded.as_ref().is_some_and(|holder| !holder.has_one) {
                now + SPENT
            } else {
                now
            },
            others: HashMap::new(),
            began: now,
            succeeded,
        }
    }

    /// This process, with its present lease.
    pub(super) fn own(&self) -> &ShareHolder {
        &self.own
    }

    /// The process that holds the shares of this one, for one that goes on in its place.
    pub(super) fn holder(&self, now: Instant) -> Option<SucceededHolder> {
        if self.valid_until.is_none() {
            return self.succeeded.clone();
        }
        let has_one = self.has_one(LimitKind::OpensPerMinute, now);
        Some(SucceededHolder { process: self.own.process.clone(), has_one })
    }

    fn is_of_succeeded(&self, process: &str) -> bool {
        self.succeeded.as_ref().is_some_and(|holder| holder.process == process)
    }

    /// Whether this edge may use what it holds.
    pub(super) fn is_valid(&self, now: Instant) -> bool {
        self.valid_until.is_some_and(|until| now < until)
    }

    /// Whether there was a lease once.
    pub(super) fn was_acquired(&self) -> bool {
        self.acquired.is_some()
    }

    /// Whether this edge may use one beside its share.
    pub(super) fn has_one(&self, kind: LimitKind, now: Instant) -> bool {
        kind != LimitKind::OpensPerMinute || self.one_from.is_some_and(|from| now >= from)
    }

    /// Takes over from whoever had this edge's lease before, which may be this process itself.
    pub(super) fn acquire(&mut self, before: Option<&FleetNote>, now: Instant) {
        self.revision = before.map_or(0, |note| note.revision);
        if self.acquired.is_none() {
            self.acquired = Some(now);
            let before = before.and_then(|note| serde_json::from_slice::<LeaseNote>(&note.body).ok());
            match before {
                None => {}
                Some(LeaseNote { process, lapse }) if self.is_of_succeeded(&process) => {
                    (self.own.process, self.own.lapse) = (process, lapse.saturating_add(1));
                }
                Some(_) => (self.one_from, self.clear_from) = (None, now + SPENT),
            }
        }
    }

    /// What is written to renew the own lease: the key, the revision that is expected, and what it says.
    pub(super) fn renewal(&self) -> (String, u64, Vec<u8>) {
        let lease = LeaseNote { process: self.own.process.clone(), lapse: self.own.lapse };
        // A text and a number can always be written.
        (self.key(), self.revision, serde_json::to_vec(&lease).unwrap_or_default())
    }

    /// The lease is renewed. Returns whether it had run out: others may have taken what this edge held.
    pub(super) fn renewed(&mut self, revision: u64, sent: Instant, now: Instant) -> bool {
        self.revision = revision;
        let has_lapsed = self.valid_until.is_some() && !self.is_valid(now);
        if has_lapsed {
            self.own.lapse = self.own.lapse.saturating_add(1);
        }
        self.valid_until = Some(sent + LEASE);
        self.one_from.get_or_insert(self.clear_from);
        has_lapsed
    }

    /// From now on, nothing more is taken, and what is not used is given back: this edge is about to stop.
    pub(super) fn leave_soon(&mut self, now: Instant) {
        self.leaving.get_or_insert(now);
    }

    /// Since when this edge is about to stop.
    pub(super) fn leaving(&self) -> Option<Instant> {
        self.leaving
    }

    /// Gives the lease up: this process ends, or another one goes on in its place.
    pub(super) fn give_up(&mut self, now: Instant) {
        self.valid_until = self.valid_until.map(|until| until.min(now));
    }

    /// What the edge held is gone, as all notes are.
    pub(super) fn begin_anew(&mut self) {
        self.own.lapse = self.own.lapse.saturating_add(1);
        self.others.clear();
    }

    pub(super) fn key(&self) -> String {
        format!("{LEASES}{}", self.own.edge)
    }

    /// Notes the lease of another edge.
    pub(super) fn see(&mut self, note: &FleetNote, now: Instant) {
        let Some(edge) = note.key.strip_prefix(LEASES).filter(|edge| *edge != self.own.edge) else { return };
        let Ok(LeaseNote { process, .. }) = serde_json::from_slice(&note.body) else { return };
        let revision = note.revision;
        match self.others.get_mut(edge) {
            Some(seen) if seen.revision >= revision => {}
            Some(seen) if seen.process == process => (seen.revision, seen.renewed) = (revision, now),
            _ => {
                self.others.retain(|_, seen| now - seen.renewed < FORGOTTEN);
                let lease = SeenLease { revision, process, taken: now, renewed: now };
                self.others.insert(edge.to_owned(), lease);
            }
        }
    }

    /// Whether a share of the own edge is nobody's: that of a process before this one.
    pub(super) fn is_spent_of_former(&self, kind: LimitKind, now: Instant) -> bool {
        match kind {
            LimitKind::Sessions => true,
            LimitKind::OpensPerMinute => self.acquired.is_some_and(|acquired| now >= acquired + SPENT),
            // What is left of it can't be told from what was used.
            LimitKind::OpensPerDay => false,
        }
    }

    /// The lease that has to be the last one of its edge for the share of this process to be nobody's; `None` where it is
    /// somebody's. `is_over`: whether the edge is known to serve nobody.
    pub(super) fn abandoned(
        &self,
        kind: LimitKind,
        holder: &ShareHolder,
        now: Instant,
        is_over: impl Fn(&str) -> bool,
    ) -> Option<LastLease> {
        let (revision, since, was_replaced) = match self.others.get(&holder.edge) {
            Some(seen) if seen.process != holder.process => (seen.revision, seen.taken, true),
            Some(seen) => (seen.revision, seen.renewed, false),
            None => (0, self.began, false),
        };
        let after = match kind {
            LimitKind::OpensPerMinute => SPENT,
            // Its sessions have ended with it. One that is merely silent may go on with them.
            LimitKind::Sessions if was_replaced => Duration::ZERO,
            LimitKind::Sessions if is_over(&holder.edge) => LEASE * 2,
            LimitKind::Sessions | LimitKind::OpensPerDay => return None,
        };
        (now >= since + after).then(|| LastLease { key: format!("{LEASES}{}", holder.edge), revision })
    }

    /// Begins to see others anew.
    pub(super) fn follow_from(&mut self, now: Instant) {
        self.began = now;
    }
}
