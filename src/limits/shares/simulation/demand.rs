//! While everything goes well, shares follow demand.

use super::*;
use crate::limits::shares::NEWCOMERS;

const KINDS: [LimitKind; 3] = LimitKind::ALL;

impl World {
    /// Opens at an edge, each of which may wait as a request does. Returns how many were let through.
    fn demand(&mut self, n: usize, count: usize) -> usize {
        (0..count).filter(|_| self.open_patiently(n)).count()
    }

    fn open_patiently(&mut self, n: usize) -> bool {
        let mut may_wait = false;
        for _ in 0..3 {
            match self.open(n) {
                Ok(()) => return true,
                Err(waits) => may_wait |= waits,
            }
            if !may_wait {
                return false;
            }
            self.now += 20;
            for edge in 0..self.edges.len() {
                self.run(edge);
            }
        }
        false
    }
}

#[test]
fn demand_on_one_edge_gets_everything_and_no_more_than_one_beside_it() {
    for kind in KINDS {
        for limit in [1, 3, 50, 300, 5_000] {
            let mut world = World::new(kind, limit, 3);
            world.pass(1_000);
            let admitted = world.demand(0, limit as usize);
            assert_eq!(admitted, limit as usize, "{kind}: nobody else wants anything");
            world.demand(0, 10);
            assert!(world.total() <= limit as usize + 1, "{kind} {limit}: {}", world.total());
            // One at each of the others.
            for edge in [1, 2] {
                world.demand(edge, 10);
            }
            assert!(world.total() <= limit as usize + 2, "{kind} {limit}: {}", world.total());
        }
    }
}

#[test]
fn few_writes_carry_a_large_budget() {
    let mut world = World::new(LimitKind::OpensPerDay, 5_000, 3);
    world.pass(1_000);
    assert_eq!(world.demand(0, 5_000), 5_000);
    assert!(world.writes < 150, "{} writes", world.writes);
}

#[test]
fn demand_that_moves_takes_its_share_along() {
    let mut world = World::new(LimitKind::OpensPerMinute, 300, 3);
    world.pass(1_000);
    assert_eq!(world.demand(0, 300), 300);
    world.pass(61_000);
    assert_eq!(world.demand(1, 300), 300, "the first edge gives what it does not use");
    world.pass(61_000);
    // Both at once: each is served, and together they stay within the limit.
    let (mut one, mut other) = (0, 0);
    for _ in 0..300 {
        one += world.demand(0, 1);
        other += world.demand(2, 1);
    }
    assert!(world.total() <= 303, "{}", world.total());
    assert!(one + other >= 297 && one >= 50 && other >= 50, "{one} and {other}");
}

#[test]
fn sessions_that_end_make_room_on_any_edge() {
    let mut world = World::new(LimitKind::Sessions, 40, 3);
    world.pass(1_000);
    assert_eq!(world.demand(0, 40), 40);
    for _ in 0..30 {
        world.end(0);
    }
    world.pass(2_000);
    assert_eq!(world.demand(1, 30), 30);
    assert!(world.total() <= 42);
}

#[test]
fn what_a_killed_edge_held_comes_back_when_it_can_count_no_more() {
    for (kind, comes_back) in
        [(LimitKind::Sessions, true), (LimitKind::OpensPerMinute, true), (LimitKind::OpensPerDay, false)]
    {
        let mut world = World::new(kind, 60, 3);
        world.pass(1_000);
        assert_eq!(world.demand(0, 40), 40);
        world.crash(0);
        assert!(world.demand(1, 60) <= 21, "{kind}");
        world.pass(1_000);
        world.start(0);
        world.pass(95_000);
        let admitted = world.demand(1, 60);
        assert_eq!(admitted >= 38, comes_back, "{kind}: {admitted}");
        assert!(world.total() <= 62, "{kind}: {}", world.total());
        if kind == LimitKind::OpensPerDay {
            world.pass(DAY - world.now % DAY);
            assert_eq!(world.demand(2, 60), 60, "another day");
        }
    }
}

#[test]
fn sessions_of_an_edge_that_is_merely_silent_go_on_and_count_until_it_is_forgotten() {
    let mut world = World::new(LimitKind::Sessions, 60, 3);
    world.pass(1_000);
    assert_eq!(world.demand(0, 40), 40);
    world.crash(0);
    world.pass(300_000);
    let before = world.demand(1, 60);
    assert!(before <= 21, "{before}");
    world.forget(0);
    // A wish is repeated after this time.
    world.pass(3_000);
    let after = world.demand(1, 60);
    assert!((59..=61).contains(&(before + after)), "{before} and {after}");
}

#[test]
fn an_edge_that_is_cut_off_goes_on_with_its_share_for_as_long_as_its_lease_and_then_with_one() {
    let mut world = World::new(LimitKind::OpensPerMinute, 300, 2);
    world.pass(1_000);
    assert_eq!(world.demand(0, 100), 100);
    world.cut(0);
    let left = (0..300).filter(|_| world.open(0).is_ok()).count();
    assert!(left > 0, "something of its share is left");
    world.now += 95_000;
    assert!(world.open(0).is_ok() && world.open(0).is_err(), "one a minute");
    world.run(0);
    assert!(world.demand(0, 100) >= 99, "it is back");
}

#[test]
fn a_lowered_limit_holds_at_once_and_a_raised_one_soon() {
    for kind in KINDS {
        let mut world = World::new(kind, 300, 3);
        world.pass(1_000);
        (0..3).for_each(|n| assert_eq!(world.demand(n, 20), 20));
        world.limit = 90;
        (0..3).for_each(|n| assert!(world.demand(n, 60) <= 60));
        assert!((85..=92).contains(&world.total()), "{kind}: {}", world.total());
        world.limit = 200;
        (0..3).for_each(|n| assert!(world.demand(n, 200) <= 200));
        assert!((197..=202).contains(&world.total()), "{kind}: {}", world.total());
        world.limit = 50;
        let before = world.total();
        (0..3).for_each(|n| assert!(world.demand(n, 20) <= 20));
        assert_eq!(world.total(), before, "{kind}: more is used than may be");
    }
}

#[test]
fn a_process_that_takes_over_goes_on_with_the_share() {
    for kind in KINDS {
        let mut world = World::new(kind, 300, 3);
        world.pass(1_000);
        assert_eq!(world.demand(0, 200), 200);
        world.start(0);
        assert_eq!(world.demand(0, 100), 100, "{kind}");
        (1..3).for_each(|n| assert!(world.demand(n, 10) <= 10));
        assert!(world.total() <= 302, "{kind}: {}", world.total());
    }
}

#[test]
fn what_nobody_uses_is_given_back_and_forgotten() {
    let mut world = World::new(LimitKind::OpensPerMinute, 300, 3);
    world.pass(1_000);
    assert_eq!(world.demand(0, 100), 100);
    world.pass(300_000);
    assert_eq!(world.notes[&world.key()].1, b"", "no document is left");
}

/// Budget of an embedder of this number, of which nothing is to be had.
fn crowd(world: &mut World, is_newcomer: bool, number: usize) -> u32 {
    let at = world.time();
    let embedder = format!("https://{number}.example");
    let kind = LimitKind::OpensPerMinute;
    let budget = Budget { widget: "crowd", embedder: Some(&embedder), kind, is_newcomer };
    world.edges[0].ledger.share((BudgetId::of(&budget), &budget), 5, 5, at)
}

#[test]
fn newcomers_have_only_so_much_room_and_take_nobody_elses() {
    let mut world = World::new(LimitKind::Sessions, 60, 1);
    // It has no lease, so nothing is due.
    (0..3 * NEWCOMERS).for_each(|n| assert_eq!(crowd(&mut world, true, n), 0));
    assert_eq!(world.edges[0].ledger.take_turned_away(), 0);
    crowd(&mut world, true, 3 * NEWCOMERS);
    assert_eq!(world.edges[0].ledger.take_turned_away(), 1);
    crowd(&mut world, true, 0);
    crowd(&mut world, false, 3 * NEWCOMERS + 1);
    assert_eq!(world.edges[0].ledger.take_turned_away(), 0);
    // One that an entry names by now leaves its room to another.
    crowd(&mut world, false, 1);
    crowd(&mut world, true, 3 * NEWCOMERS);
    assert_eq!(world.edges[0].ledger.take_turned_away(), 0);
}

#[test]
fn the_day_of_a_newcomer_that_nobody_asks_for_is_forgotten_in_a_crowd() {
    for is_restarted in [false, true] {
        let mut world = World::new(LimitKind::OpensPerDay, 300, 2);
        world.pass(1_000);
        assert_eq!(world.demand(0, 100), 100);
        if is_restarted {
            world.crash(0);
            world.start(0);
            world.pass(1_000);
            assert!(world.open_patiently(0));
        }
        world.pass(130_000);
        let used = world.used_by(0);
        let known = |world: &mut World| {
            let (budget, at) = (world.budget(), world.time());
            world.edges[0].ledger.share((BudgetId::of(&budget), &budget), 300, used, at)
        };
        (0..3 * NEWCOMERS * 3 / 4).for_each(|n| {
            crowd(&mut world, true, n);
        });
        ShareLedger::parts().for_each(|part| {
            let at = world.time();
            world.edges[0].ledger.tick(part, at);
        });
        // What a process before it has used stands nowhere else, so that is not forgotten.
        assert_eq!(known(&mut world) == 1, !is_restarted);
    }
}

#[test]
fn a_document_that_can_not_be_read_is_replaced_after_a_while() {
    let mut world = World::new(LimitKind::OpensPerMinute, 300, 2);
    world.pass(1_000);
    assert_eq!(world.demand(0, 10), 10);
    world.write(&world.key(), world.notes[&world.key()].0, b"no document".to_vec()).unwrap();
    world.pass(80_000);
    assert!(world.demand(0, 10) <= 1);
    world.pass(20_000);
    world.demand(0, 1);
    assert!(world.demand(0, 300) >= 290);
}

#[test]
fn an_edge_that_stops_gives_back_all_that_it_has_not_used() {
    for kind in KINDS {
        let mut world = World::new(kind, 300, 2);
        world.pass(1_000);
        assert_eq!(world.demand(0, 100), 100);
        for _ in 0..100 {
            world.end(0);
        }
        let left = 300 - world.total();
        let at = world.time();
        world.edges[0].ledger.leaves_soon(at.now);
        world.run(0);
        assert!(!world.edges[0].ledger.is_at_work(at), "{kind}");
        world.crash(0);
        assert_eq!(world.demand(1, left), left, "{kind}");
        assert!(world.demand(1, 10) <= 1, "{kind}");
    }
}
