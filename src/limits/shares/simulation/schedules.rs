//! Whatever happens in whatever order, no more is used than the limit and the stated error.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Open(usize, usize),
    End(usize, usize),
    Pass(u64),
    Work(usize, usize),
    Renew(usize),
    Land(usize, usize),
    LandOrphan(usize),
    Answer(usize, usize),
    Lose(usize, usize),
    Feed(usize, usize),
    Cut(usize),
    Link(usize),
    Crash(usize),
    Start(usize),
    Forget(usize),
    Leave(usize),
    Run(usize),
}

fn step(edges: usize) -> impl Strategy<Value = Step> {
    let edge = 0..edges;
    prop_oneof![
        12 => (edge.clone(), 1..40_usize).prop_map(|(n, count)| Step::Open(n, count)),
        2 => (edge.clone(), 1..10_usize).prop_map(|(n, count)| Step::End(n, count)),
        4 => (0..4_000_u64).prop_map(Step::Pass),
        2 => (4_000..70_000_u64).prop_map(Step::Pass),
        6 => (edge.clone(), prop_oneof![Just(0), 0..20_usize]).prop_map(|(n, opened)| Step::Work(n, opened)),
        2 => edge.clone().prop_map(Step::Renew),
        6 => (edge.clone(), 0..8_usize).prop_map(|(n, place)| Step::Land(n, place)),
        2 => (0..8_usize).prop_map(Step::LandOrphan),
        5 => (edge.clone(), 0..8_usize).prop_map(|(n, place)| Step::Answer(n, place)),
        2 => (edge.clone(), 0..8_usize).prop_map(|(n, place)| Step::Lose(n, place)),
        4 => (edge.clone(), 1..6_usize).prop_map(|(n, count)| Step::Feed(n, count)),
        1 => edge.clone().prop_map(Step::Cut),
        2 => edge.clone().prop_map(Step::Link),
        1 => edge.clone().prop_map(Step::Crash),
        1 => edge.clone().prop_map(Step::Start),
        1 => edge.clone().prop_map(Step::Forget),
        1 => edge.clone().prop_map(Step::Leave),
        10 => edge.prop_map(Step::Run),
    ]
}

impl World {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Open(n, count) => {
                let _admitted = (0..count).filter(|_| self.open(n).is_ok()).count();
            }
            Step::End(n, count) => (0..count).for_each(|_| self.end(n)),
            Step::Pass(ms) => self.now += ms,
            Step::Work(n, opened) => self.work(n, opened),
            Step::Renew(n) => self.renew(n),
            Step::Land(n, place) => self.land(n, place),
            Step::LandOrphan(place) => self.land_orphan(place),
            Step::Answer(n, place) => self.answer(n, place, false),
            Step::Lose(n, place) => self.answer(n, place, true),
            Step::Feed(n, count) => self.feed(n, count),
            Step::Cut(n) => self.cut(n),
            Step::Link(n) => self.link(n),
            Step::Crash(n) => self.crash(n),
            Step::Start(n) => self.start(n),
            Step::Forget(n) => self.forget(n),
            Step::Leave(n) => {
                let at = self.time();
                self.edges[n].ledger.leaves_soon(at.now);
            }
            Step::Run(n) => self.run(n),
        }
    }
}

fn schedule() -> impl Strategy<Value = (LimitKind, u32, usize, Vec<Step>)> {
    let kind =
        prop_oneof![Just(LimitKind::Sessions), Just(LimitKind::OpensPerMinute), Just(LimitKind::OpensPerDay)];
    (kind, prop_oneof![1..20_u32, 20..500_u32], 1..5_usize).prop_flat_map(|(kind, limit, edges)| {
        (Just(kind), Just(limit), Just(edges), vec(step(edges), 1..300))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn no_schedule_uses_more_than_the_limit_and_the_stated_error((kind, limit, edges, steps) in schedule()) {
        let mut world = World::new(kind, limit, edges);
        for step in &steps {
            world.take(step);
            let (total, most) = (world.total(), limit as usize + world.error());
            prop_assert!(total <= most, "{} of {} at {:?}: {:?}", total, most, step, world.notes.get(&world.key()).map(|(_, body)| String::from_utf8_lossy(body).into_owned()));
        }
    }
}
