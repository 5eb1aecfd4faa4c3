#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;

use super::*;
use crate::activity::seen::SHOWN;
use proptest::prelude::*;

/// List with what it should have counted.
struct Checked {
    list: KeptEmbedders,
    sketch: FrequencySketch,
    exact: HashMap<u32, u64>,
    now: u32,
}

fn tallied(count: u64, at: u32) -> TalliedEmbedder {
    let clients = ClientCounts { browser: count, ..ClientCounts::default() };
    TalliedEmbedder { count, by_entry: 0, monitored: 0, reason: None, first: at, last: at, clients }
}

fn origin(name: u32) -> String {
    format!("https://n{name}.example")
}

impl Checked {
    fn new(sketch: u64) -> Self {
        let (list, sketch) = (KeptEmbedders::default(), FrequencySketch::new(sketch));
        Self { list, sketch, exact: HashMap::new(), now: 1 }
    }

    fn count(&mut self, name: u32, times: u64, may_grow: bool) {
        self.now += 1;
        let (origin, tallied) = (origin(name), tallied(times, self.now));
        let new = NewSightings { origin: &origin, tallied: &tallied, entry: None };
        let key = |sketch: &FrequencySketch, origin: &str| sketch.key("w", 0, origin);
        let listed = self.list.count(new, may_grow, &mut self.sketch, key).cloned();
        assert!(listed.is_none_or(|listed| *listed.origin == *origin && listed.last == self.now));
        *self.exact.entry(name).or_insert(0) += times;
    }

    /// Fails where what is told is not so.
    fn check(&self) {
        let told = self.list.told();
        let listed: HashMap<&str, &EmbedderActivity> =
            told.embedders.iter().map(|embedder| (&*embedder.origin, embedder)).collect();
        assert!(listed.len() == told.embedders.len() && listed.len() <= CAPACITY);
        for (name, exact) in &self.exact {
            match listed.get(&*origin(*name)) {
                Some(EmbedderActivity { count, error, clients, .. }) => {
                    assert!((count - error..=*count).contains(exact), "{name}: {exact}, {count} - {error}");
                    assert!(clients.browser <= *exact, "{name}");
                }
                None => assert!(*exact <= told.untracked, "{name}: {exact} > {}", told.untracked),
            }
        }
    }

    /// Fails where those who were seen most often are not the first, in their order.
    fn check_first(&self, names: impl Iterator<Item = u32>) {
        let told = self.list.told();
        let first: Vec<&str> = told.embedders.iter().map(|embedder| &*embedder.origin).collect();
        for (rank, name) in names.enumerate() {
            assert_eq!(first.get(rank), Some(&&*origin(name)), "rank {rank}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Count {
        name: u32,
        times: u64,
        may_grow: bool,
    },
    /// A restart: the sketch is another one, and the list is read again.
    Restart,
    /// The sketch may have been used for what was not kept.
    Fail {
        name: u32,
        times: u64,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    // The square prefers small numbers, as real embedders do.
    let name = || (0_u32..25).prop_map(|root| root * root);
    prop_oneof![
        60 => (name(), 1_u64..20, proptest::bool::weighted(0.9))
            .prop_map(|(name, times, may_grow)| Step::Count { name, times, may_grow }),
        60 => (0_u32..1000, Just(true)).prop_map(|(name, may_grow)| Step::Count { name, times: 1, may_grow }),
        1 => Just(Step::Restart),
        2 => (name(), 1_u64..20).prop_map(|(name, times)| Step::Fail { name, times }),
    ]
}

proptest! {
    #[test]
    fn what_is_told_is_so(steps in proptest::collection::vec(steps(), 1..800)) {
        // So small that embedders share cells, and that it is begun anew.
        let mut checked = Checked::new(2048);
        for step in steps {
            match step {
                Step::Count { name, times, may_grow } => {
                    checked.sketch.renew_if_worn();
                    checked.count(name, times, may_grow);
                }
                Step::Restart => checked.sketch = FrequencySketch::new(2048),
                Step::Fail { name, times } => {
                    let (list, exact) = (checked.list.clone(), checked.exact.clone());
                    checked.count(name, times, true);
                    (checked.list, checked.exact) = (list, exact);
                }
            }
        }
        checked.check();
    }
}

#[test]
fn few_embedders_are_counted_exactly() {
    let mut checked = Checked::new(2048);
    for round in 0..10 {
        for name in 0..CAPACITY as u32 {
            checked.count(name, u64::from(1 + name + round), true);
        }
    }
    let told = checked.list.told();
    assert_eq!((told.embedders.len(), told.untracked), (CAPACITY, 0));
    assert!(told.embedders.iter().all(|embedder| embedder.error == 0));
    checked.check();
    checked.check_first((0..CAPACITY as u32).rev());
}

/// Embedders that come now and then stay right in a flood of others that each come once, also those that came only when
/// it had begun.
#[test]
fn a_flood_pushes_nobody_out() {
    const FLOOD: u32 = 100_000;
    let mut checked = Checked::new(1 << 21);
    let before = 0..25;
    for name in before.clone() {
        checked.count(name, u64::from(100 + name), true);
    }
    for forged in 0..FLOOD {
        checked.sketch.renew_if_worn();
        checked.count(1000 + forged, 1, true);
        // Each of 25 more comes once in a while, one at a time, and so do those from before.
        if forged % 20 == 0 {
            checked.count(forged / 20 % 50, 1, true);
        }
    }
    checked.check();
    let told = checked.list.told();
    assert!(told.untracked < 20, "{}", told.untracked);
    let true_ones: Vec<u32> = told.embedders.iter().take(SHOWN).map(|told| number(&told.origin)).collect();
    assert!(true_ones.iter().all(|name| *name < 50), "{true_ones:?}");
    assert!(told.embedders.iter().take(SHOWN).all(|told| told.error < 20));
    checked.check_first(before.rev());
}

fn number(origin: &str) -> u32 {
    origin.trim_start_matches("https://n").trim_end_matches(".example").parse().unwrap()
}

#[test]
fn a_list_that_may_not_grow_still_tells_a_bound() {
    let mut checked = Checked::new(1 << 16);
    let few = FEWEST as u32;
    for name in 0..few {
        checked.count(name, 20, false);
    }
    checked.count(few, 5, false);
    checked.count(few + 1, 3, false);
    checked.check();
    let told = checked.list.told();
    assert_eq!((told.embedders.len(), told.untracked), (FEWEST, 5));
    // Somebody more frequent takes the place of the least.
    checked.count(few + 2, 30, false);
    checked.check();
    assert_eq!(checked.list.told().embedders.len(), FEWEST);
    checked.check_first(std::iter::once(few + 2));
    // Later it may, and those that were refused a place have an error of what they may have had.
    checked.count(few, 1, true);
    checked.check();
    let told = checked.list.told();
    let later = told.embedders.iter().find(|embedder| *embedder.origin == *origin(few)).unwrap();
    assert_eq!((later.count, later.error), (6, 5));
}

#[test]
fn a_record_tells_the_last_reason_and_entry() {
    let mut list = KeptEmbedders::default();
    let mut sketch = FrequencySketch::new(2048);
    for (at, reason, entry) in
        [(5, Reason::Wildcard, Some("*.example")), (9, Reason::Ticket, None), (7, Reason::Exact, None)]
    {
        let tallied = TalliedEmbedder { reason: Some(reason), ..tallied(1, at) };
        let new = NewSightings { origin: "https://n.example", tallied: &tallied, entry };
        list.count(new, true, &mut sketch, |sketch, origin| sketch.key("w", 0, origin));
    }
    let [told] = &list.told().embedders[..] else { panic!("{list:?}") };
    assert_eq!((told.reason, told.entry.as_deref()), (Some(Reason::Ticket), Some("*.example")));
    assert_eq!((told.first, told.last), (second(5), second(9)));
}
