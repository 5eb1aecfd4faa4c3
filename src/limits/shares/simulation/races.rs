//! Races that random schedules rarely meet, each the reason for one rule.

use super::*;

/// Two edges that share 300 opens a minute. The first holds all of them and uses none, and the second wishes for some.
fn held_by_the_first() -> World {
    let mut world = World::new(LimitKind::OpensPerMinute, 300, 2);
    world.pass(1_000);
    let admitted = (0..2_000).filter(|_| {
        world.run(0);
        world.open(0).is_ok()
    });
    assert_eq!(admitted.count(), 300);
    world.pass(61_000);
    world
}

impl World {
    fn opens(&mut self, n: usize, count: usize) -> usize {
        (0..count).filter(|_| self.open(n).is_ok()).count()
    }

    /// The second edge wishes for something, and the first hears of it.
    fn wish(&mut self) {
        assert_eq!(self.opens(1, 2), 1, "the one beside its share");
        self.run(1);
        self.feed(0, usize::MAX);
    }

    /// The second edge opens what it can get, while the first does nothing.
    fn use_all_at_the_second(&mut self) {
        for _ in 0..400 {
            let _admitted = self.open(1);
            self.run(1);
        }
    }

    fn assert_within_limit(&self) {
        assert!(self.total() <= 301, "{} of 300", self.total());
    }
}

#[test]
fn a_share_falls_before_it_is_written() {
    let mut world = held_by_the_first();
    world.wish();
    world.work(0, 0);
    world.opens(0, 300);
    world.land(0, 0);
    world.use_all_at_the_second();
    assert!(world.used_by(1) > 250, "{}", world.used_by(1));
    world.assert_within_limit();
}

#[test]
fn a_share_stays_low_while_a_write_may_still_arrive() {
    let mut world = held_by_the_first();
    world.wish();
    world.work(0, 0);
    world.answer(0, 0, true);
    world.now += 500;
    // It is read again, and nothing has arrived yet. Another write is refused.
    world.work(0, 0);
    world.land(0, 0);
    world.answer(0, 0, false);
    world.work(0, 0);
    world.refuse(0);
    world.opens(0, 300);
    world.land_orphan(0);
    world.use_all_at_the_second();
    assert!(world.used_by(1) > 250, "{}", world.used_by(1));
    world.assert_within_limit();
}

#[test]
fn an_edge_that_is_back_uses_nothing_that_others_may_be_taking() {
    let mut world = held_by_the_first();
    world.cut(0);
    assert_eq!(world.opens(1, 2), 1);
    for _ in 0..200 {
        world.now += 500;
        world.run(1);
    }
    assert!(world.opens(1, 3) <= 2);
    world.work(1, 0);
    // The lease was read, and the write is on its way.
    world.land(1, 0);
    world.link(0);
    world.land(0, 0);
    world.answer(0, 0, false);
    world.opens(0, 300);
    world.land(1, 0);
    world.use_all_at_the_second();
    assert!(world.used_by(1) > 250, "{}", world.used_by(1));
    world.assert_within_limit();
}

#[test]
fn nothing_is_taken_from_an_edge_that_has_renewed_its_lease() {
    let mut world = held_by_the_first();
    for _ in 0..25 {
        world.now += 5_000;
        for n in [0, 1] {
            // The notes of the first come late at the second.
            world.renew(n);
            world.land(n, 0);
            world.answer(n, 0, false);
        }
    }
    for _ in 0..50 {
        let _admitted = world.open(1);
        world.work(1, 0);
        for _ in 0..3 {
            world.land(1, 0);
            world.answer(1, 0, false);
        }
    }
    world.opens(0, 300);
    assert_eq!(world.used_by(0), 300);
    world.assert_within_limit();
}

#[test]
fn what_a_killed_edge_has_used_counts_for_its_minute() {
    let mut world = held_by_the_first();
    assert_eq!(world.opens(0, 300), 300);
    world.crash(0);
    for _ in 0..110 {
        world.now += 500;
        world.run(1);
    }
    world.use_all_at_the_second();
    world.assert_within_limit();
}
