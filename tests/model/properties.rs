//! Properties: what always holds, and what happens at all.

use stateright::Property;

use crate::edge::{Edge, Link};
use crate::model::{Fleet, State};

pub(crate) const EVERYWHERE_STAYS: &str = "what is enforced everywhere stays";
pub(crate) const NOTHING_LOST: &str = "no answered save is lost";
pub(crate) const STAYS_DELETED: &str = "a deleted widget stays deleted";
pub(crate) const AGREE: &str = "edges that have read everything agree";
pub(crate) const EVERYWHERE: &str = "a save is enforced everywhere";
pub(crate) const FAULT: &str = "a bucket is a fault";
pub(crate) const RESTORED: &str = "a bucket is restored, and followed";
pub(crate) const ACCEPTED: &str = "a bucket is accepted, and followed";
pub(crate) const DENIES: &str = "an edge denies by itself, and nobody waits for it";
pub(crate) const JOINED: &str = "a new edge serves";

/// Saves that delete the widget: every other one.
const DELETIONS: u8 = 0b1010_1010;

pub(crate) fn all() -> Vec<Property<Fleet>> {
    vec![
        Property::always(EVERYWHERE_STAYS, everywhere_stays),
        Property::always(NOTHING_LOST, nothing_lost),
        Property::always(STAYS_DELETED, stays_deleted),
        Property::always(AGREE, agree),
        Property::sometimes(EVERYWHERE, |_, state: &State| state.everywhere > 1),
        Property::sometimes(FAULT, |_, state: &State| any(state, |edge| edge.link == Link::Fault)),
        Property::sometimes(RESTORED, |_, state: &State| state.restored && is_followed(state)),
        Property::sometimes(ACCEPTED, |_, state: &State| state.accepted && is_followed(state)),
        Property::sometimes(DENIES, |model: &Fleet, state: &State| {
            any(state, |edge| edge.is_up && !model.judges(edge) && edge.serves) && state.everywhere > 1
        }),
        Property::sometimes(JOINED, |_, state: &State| state.edges[2].serves),
    ]
}

fn any(state: &State, holds: impl Fn(&Edge) -> bool) -> bool {
    state.edges.iter().any(holds)
}

fn is_followed(state: &State) -> bool {
    any(state, |edge| edge.follows() && edge.book.at.followed > 0)
}

impl Fleet {
    /// Whether an edge answers by its rules: one whose rules are older than `max_staleness` denies everything.
    fn judges(&self, edge: &Edge) -> bool {
        let is_stale = self.bounds.staleness > 0 && edge.contact > self.bounds.staleness;
        edge.is_up && edge.serves && !is_stale
    }
}

/// No edge that judges has older rules than those that were answered as enforced everywhere. An edge that knows nothing of
/// the widget denies it.
fn everywhere_stays(model: &Fleet, state: &State) -> bool {
    let is_older =
        |edge: &Edge| edge.book.rules != 0 && state.everywhere & !state.given_up & !edge.book.rules != 0;
    !any(state, |edge| model.judges(edge) && !edge.is_unaware && is_older(edge))
}

/// Each save that was answered is in the bucket or on the disk of an edge.
fn nothing_lost(_: &Fleet, state: &State) -> bool {
    let kept = state
        .edges
        .iter()
        .fold(state.bucket.rules().0, |kept, edge| kept | edge.kept.rules | edge.book.rules);
    state.saved & !state.given_up & !kept == 0
}

/// An edge that has kept a deletion which was answered never serves the widget as it was before.
fn stays_deleted(_: &Fleet, state: &State) -> bool {
    let is_back = |edge: &Edge| state.saved & !state.given_up & edge.peak & DELETIONS & !edge.book.rules != 0;
    !any(state, |edge| edge.is_up && edge.book.rules != 0 && is_back(edge))
}

/// All edges that have read the bucket to its end have the same rules.
fn agree(_: &Fleet, state: &State) -> bool {
    let is_at_the_end = |edge: &&Edge| {
        let is_followed = edge.follows() && edge.serves && !edge.is_unaware;
        is_followed && edge.book.at.sequence == state.bucket.last
    };
    let mut rules = state.edges.iter().filter(is_at_the_end).map(|edge| edge.book.rules);
    rules.next().is_none_or(|first| rules.all(|other| other == first))
}
