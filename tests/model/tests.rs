//! What the checker finds: what always holds, and how it goes wrong without each rule.

use stateright::{Checker, HasDiscoveries, Model};

use crate::model::Fleet;
use crate::properties::{
    ACCEPTED, AGREE, DENIES, EVERYWHERE, EVERYWHERE_STAYS, FAULT, JOINED, NOTHING_LOST, RESTORED,
    STAYS_DELETED,
};
use crate::rules::{Bounds, Broken};

/// A save, and nothing that goes wrong.
const CALM: Bounds = Bounds {
    saves: 1,
    losses: 0,
    cuts: 0,
    crashes: 0,
    stops: 0,
    full_disks: 0,
    decisions: 0,
    history: 9,
    messages: 7,
    staleness: 0,
    slow: 0,
    joins: false,
    loses_all: false,
};
const LEAVES: Bounds = Bounds { stops: 1, cuts: 1, history: 1, ..CALM };
const JOINS: Bounds = Bounds { crashes: 1, joins: true, history: 1, ..CALM };
const FULL_DISK: Bounds = Bounds { crashes: 1, cuts: 1, full_disks: 1, ..CALM };
const DAMAGE: Bounds = Bounds { saves: 2, losses: 1, cuts: 1, decisions: 1, loses_all: true, ..CALM };
const DAMAGE_AND_CRASH: Bounds = Bounds { losses: 1, crashes: 1, decisions: 2, loses_all: true, ..CALM };
const DAMAGE_AND_NEW_EDGE: Bounds = Bounds { losses: 1, decisions: 1, joins: true, loses_all: true, ..CALM };
const STALE: Bounds = Bounds { cuts: 1, messages: 5, staleness: 1, slow: 1, history: 1, ..CALM };
const STALE_AND_CRASH: Bounds = Bounds { cuts: 0, crashes: 1, ..STALE };

/// The widest bounds: as given, or with `EMBEDGATE_TEST_SCALE=full` these.
fn scaled(bounds: Bounds, full: Bounds) -> Bounds {
    if std::env::var_os("EMBEDGATE_TEST_SCALE").is_some_and(|scale| scale == "full") { full } else { bounds }
}

/// Explores everything within bounds, or until this is discovered.
fn explore(bounds: Bounds, broken: Option<Broken>, until: HasDiscoveries) -> impl Checker<Fleet> {
    let model = Fleet { bounds, broken };
    let checker = model.checker().threads(2).finish_when(until).spawn_bfs().join();
    println!("{} states, {} steps deep, {broken:?}", checker.unique_state_count(), checker.max_depth());
    checker
}

/// All that always holds does, and these things happen.
fn holds(bounds: Bounds, happens: &[&'static str]) {
    let checker = explore(bounds, None, HasDiscoveries::AnyFailures);
    for always in [EVERYWHERE_STAYS, NOTHING_LOST, STAYS_DELETED, AGREE] {
        checker.assert_no_discovery(always);
    }
    for sometimes in happens {
        checker.assert_any_discovery(sometimes);
    }
}

/// Without a rule this doesn't hold any more. With it, it does: bounds that are not within those of a test above are
/// explored here.
fn is_needed(rule: Broken, bounds: Bounds, property: &'static str) {
    // Something else may go wrong before.
    let checker = explore(bounds, Some(rule), HasDiscoveries::AnyOf([property].into()));
    let path = checker.assert_any_discovery(property);
    println!("without the rule, {property:?} doesn't hold: {:?}", path.into_actions());
}

#[test]
fn edges_leave_and_come_back() {
    holds(scaled(LEAVES, Bounds { saves: 2, stops: 2, crashes: 1, messages: 8, ..LEAVES }), &[EVERYWHERE]);
}

#[test]
fn edges_join() {
    holds(scaled(JOINS, Bounds { saves: 2, cuts: 1, messages: 7, ..JOINS }), &[EVERYWHERE, JOINED]);
}

#[test]
fn what_cannot_be_kept() {
    holds(scaled(FULL_DISK, Bounds { saves: 2, full_disks: 2, messages: 8, ..FULL_DISK }), &[EVERYWHERE]);
}

#[test]
fn a_bucket_is_damaged() {
    let full = Bounds { crashes: 1, decisions: 2, ..DAMAGE };
    holds(scaled(DAMAGE, full), &[EVERYWHERE, FAULT, RESTORED, ACCEPTED]);
}

#[test]
fn a_bucket_is_damaged_and_an_edge_crashes() {
    let full = Bounds { losses: 2, messages: 8, ..DAMAGE_AND_CRASH };
    holds(scaled(DAMAGE_AND_CRASH, full), &[EVERYWHERE, FAULT, RESTORED, ACCEPTED]);
}

#[test]
fn a_bucket_is_damaged_and_an_edge_joins() {
    let full = Bounds { crashes: 1, ..DAMAGE_AND_NEW_EDGE };
    holds(scaled(DAMAGE_AND_NEW_EDGE, full), &[EVERYWHERE, FAULT, RESTORED, ACCEPTED, JOINED]);
}

#[test]
fn an_edge_is_cut_off_for_longer_than_max_staleness() {
    holds(scaled(STALE, Bounds { messages: 6, ..STALE }), &[EVERYWHERE, DENIES]);
}

#[test]
fn an_edge_crashes_and_comes_back_with_old_rules() {
    holds(scaled(STALE_AND_CRASH, Bounds { messages: 6, cuts: 1, ..STALE_AND_CRASH }), &[EVERYWHERE, DENIES]);
}

#[test]
fn never_backwards_is_needed() {
    let bounds = Bounds { losses: 1, ..CALM };
    is_needed(Broken::NeverBackwards, bounds, STAYS_DELETED);
    is_needed(Broken::NeverBackwards, bounds, EVERYWHERE_STAYS);
}

#[test]
fn announcements_in_the_order_of_saves_are_needed() {
    is_needed(Broken::AnnouncedInOrder, JOINS, EVERYWHERE_STAYS);
}

#[test]
fn silent_edges_are_waited_for_until_they_deny() {
    let exact = Bounds { slow: 0, ..STALE };
    holds(exact, &[EVERYWHERE, DENIES]);
    is_needed(Broken::WaitedUntilStale, exact, EVERYWHERE_STAYS);
}

#[test]
fn slow_clocks_have_to_be_allowed_for() {
    is_needed(Broken::AllowsForSlowClocks, STALE, EVERYWHERE_STAYS);
}

#[test]
fn contact_is_what_was_applied() {
    is_needed(Broken::ContactWhenApplied, Bounds { slow: 0, ..STALE }, EVERYWHERE_STAYS);
}

#[test]
fn an_edge_answers_for_what_it_has_kept() {
    is_needed(Broken::AnswersForKept, FULL_DISK, EVERYWHERE_STAYS);
}

#[test]
fn an_edge_that_has_signed_off_catches_up_first() {
    is_needed(Broken::SignedOffCatchesUp, LEAVES, EVERYWHERE_STAYS);
}

#[test]
fn a_first_reading_is_whole() {
    is_needed(Broken::FirstReadingIsWhole, JOINS, EVERYWHERE_STAYS);
}

#[test]
fn members_are_known_after_a_restart() {
    is_needed(Broken::MembersKept, Bounds { crashes: 1, ..CALM }, EVERYWHERE_STAYS);
}

#[test]
fn members_are_known_up_to_the_end_of_the_bucket() {
    is_needed(Broken::MembersUpToTheEnd, JOINS, EVERYWHERE_STAYS);
}

#[test]
fn an_edge_knows_its_own_save() {
    is_needed(Broken::KnowsOwnSave, Bounds { saves: 2, losses: 1, ..CALM }, NOTHING_LOST);
}

#[test]
fn every_edge_follows_a_decision() {
    is_needed(Broken::DecisionsFollowed, DAMAGE, AGREE);
}

#[test]
fn a_decision_carries_the_members_over() {
    let bounds = Bounds { crashes: 1, messages: 5, ..DAMAGE_AND_NEW_EDGE };
    holds(bounds, &[ACCEPTED]);
    is_needed(Broken::MembersCarriedOver, bounds, EVERYWHERE_STAYS);
}

#[test]
fn a_new_edge_asks_the_others() {
    is_needed(Broken::AsksTheOthers, DAMAGE_AND_NEW_EDGE, EVERYWHERE_STAYS);
}

#[test]
fn no_edge_follows_a_bucket_that_has_less() {
    is_needed(Broken::FollowsNothingLess, DAMAGE_AND_CRASH, NOTHING_LOST);
}
