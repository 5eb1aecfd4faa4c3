#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::notifications::fact::WebhookId;

fn queued(number: u64, queue: QueueKind, widget: &str) -> Arc<Queued> {
    Arc::new(Queued {
        number,
        id: WebhookId(number.into()),
        kind: "rules.changed".into(),
        widget: Some(widget.into()),
        embedder: None,
        queue,
        body: "{}".into(),
        taken: Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
    })
}

fn failure(is_unreachable: bool) -> TryFailure {
    TryFailure { error: "no".into(), at: Timestamp::UNIX_EPOCH, is_unreachable }
}

#[derive(Clone, Debug)]
enum Step {
    Push(QueueKind, u8),
    Begin(QueueKind),
    /// Ends one of those under way, well or not.
    End(usize, bool),
    Reached,
    Evict,
    Pass(u64),
}

fn queue() -> impl Strategy<Value = QueueKind> {
    prop_oneof![Just(QueueKind::Usual), Just(QueueKind::Revocations)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (queue(), 0..3_u8).prop_map(|(queue, widget)| Step::Push(queue, widget)),
        6 => queue().prop_map(Step::Begin),
        6 => (any::<usize>(), any::<bool>()).prop_map(|(which, arrives)| Step::End(which, arrives)),
        1 => Just(Step::Reached),
        1 => Just(Step::Evict),
        2 => (0..20_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, nothing is lost, nothing is begun twice at once, and each lane ends in the order of its numbers.
    #[test]
    fn order_holds_within_each_lane(steps in proptest::collection::vec(step(), 1..120)) {
        let mut now = Instant::now();
        let (mut lanes, mut next) = (Lanes::default(), 0);
        let mut under_way: Vec<Arc<Queued>> = Vec::new();
        let (mut pushed, mut ended) = (HashSet::new(), HashSet::new());
        let mut last_of = HashMap::<_, u64>::new();
        let end = |queued: &Queued, last_of: &mut HashMap<_, u64>| {
            let lane = (queued.queue, queued.widget.clone());
            let before = last_of.insert(lane, queued.number);
            before.is_none_or(|before| before < queued.number)
        };
        // At the end everything is let through.
        let rest = std::iter::repeat_n([Step::Pass(100), Step::Begin(QueueKind::Usual),
            Step::Begin(QueueKind::Revocations), Step::End(0, true)], 400).flatten();
        for step in steps.into_iter().chain(rest) {
            match step {
                Step::Push(queue, widget) => {
                    next += 1;
                    pushed.insert(next);
                    lanes.push(queued(next, queue, &widget.to_string()), now);
                }
                Step::Begin(queue) => {
                    let due = lanes.next_due(queue);
                    match lanes.begin(queue, now) {
                        Some((begun, _)) => {
                            prop_assert!(due.unwrap() <= now);
                            let same = |other: &&Arc<Queued>| {
                                (other.queue, &other.widget) == (begun.queue, &begun.widget)
                            };
                            prop_assert!(!under_way.iter().any(|other| same(&other)), "two of one lane");
                            under_way.push(begun);
                        }
                        None => prop_assert!(due.is_none_or(|due| due > now)),
                    }
                }
                Step::End(which, arrives) if !under_way.is_empty() => {
                    let queued = under_way.swap_remove(which % under_way.len());
                    if arrives {
                        let finished = lanes.finish(queued.number, now).unwrap();
                        prop_assert_eq!(finished.number, queued.number);
                        prop_assert!(end(&queued, &mut last_of), "out of order");
                        prop_assert!(ended.insert(queued.number));
                    } else {
                        let wait = Duration::from_secs(queued.number % 7);
                        prop_assert!(lanes.retry(queued.number, now + wait, failure(which % 2 == 0)));
                        prop_assert!(!lanes.retry(queued.number, now, failure(false)), "it has ended");
                    }
                }
                Step::End(..) => {}
                Step::Reached => lanes.reached(now),
                Step::Evict => {
                    let usual = lanes.all().filter(|queued| queued.queue == QueueKind::Usual);
                    let usual = usual.filter(|queued| !under_way.iter().any(|other| other.number == queued.number));
                    let oldest = usual.map(|queued| queued.number).min();
                    match (lanes.evict(now), oldest) {
                        (Some((evicted, _)), oldest) => {
                            prop_assert!(oldest.is_none_or(|oldest| oldest == evicted.number));
                            prop_assert!(ended.insert(evicted.number));
                        }
                        (None, oldest) => prop_assert_eq!(oldest, None),
                    }
                }
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            prop_assert_eq!(lanes.len(), pushed.len() - ended.len());
            let bytes: usize = lanes.all().map(|queued| queued.bytes()).sum();
            prop_assert_eq!(lanes.bytes(), bytes);
            let oldest = lanes.all().map(|queued| queued.taken).min();
            prop_assert_eq!(lanes.oldest(), oldest);
        }
        prop_assert_eq!(ended, pushed);
    }
}

#[test]
fn one_that_fails_holds_up_only_its_own_lane() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    for (number, queue, widget) in [
        (1, QueueKind::Usual, "a"),
        (2, QueueKind::Usual, "a"),
        (3, QueueKind::Usual, "b"),
        (4, QueueKind::Revocations, "a"),
    ] {
        lanes.push(queued(number, queue, widget), now);
    }
    let begin =
        |lanes: &mut Lanes, queue, now| lanes.begin(queue, now).map(|(queued, tries)| (queued.number, tries));
    assert_eq!(begin(&mut lanes, QueueKind::Usual, now), Some((1, 0)));
    assert_eq!(begin(&mut lanes, QueueKind::Usual, now), Some((3, 0)));
    assert_eq!(begin(&mut lanes, QueueKind::Usual, now), None);
    assert_eq!(begin(&mut lanes, QueueKind::Revocations, now), Some((4, 0)));
    let later = now + Duration::from_secs(60);
    lanes.retry(1, later, failure(false));
    assert_eq!(begin(&mut lanes, QueueKind::Usual, now), None);
    assert_eq!(lanes.next_due(QueueKind::Usual), Some(later));
    let [failing] = &lanes.failing(9)[..] else { panic!() };
    assert_eq!((failing.queued.number, failing.tries, &*failing.failure.error), (1, 1, "no"));
    assert_eq!(begin(&mut lanes, QueueKind::Usual, later), Some((1, 1)));
    lanes.finish(1, later).unwrap();
    assert_eq!(begin(&mut lanes, QueueKind::Usual, later), Some((2, 0)), "with tries of its own");
}

#[test]
fn what_could_not_reach_anybody_is_tried_once_another_arrives() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    for (number, is_unreachable) in [(1, true), (2, false), (3, true)] {
        lanes.push(queued(number, QueueKind::Usual, &number.to_string()), now);
        lanes.begin(QueueKind::Usual, now).unwrap();
        lanes.retry(number, now + Duration::from_secs(600), failure(is_unreachable));
    }
    assert!(lanes.begin(QueueKind::Usual, now).is_none());
    lanes.reached(now);
    let begun: Vec<u64> =
        std::iter::from_fn(|| lanes.begin(QueueKind::Usual, now)).map(|(queued, _)| queued.number).collect();
    assert_eq!(begun, [1, 3], "the other was refused by the receiver itself");
    lanes.retry_all(now);
    let begun: Vec<u64> =
        std::iter::from_fn(|| lanes.begin(QueueKind::Usual, now)).map(|(queued, _)| queued.number).collect();
    assert_eq!(begun, [2], "which another receiver may not");
}

#[test]
fn revocations_wait_for_those_of_their_own_embedder_alone() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    for (number, embedder) in [(1, "a"), (2, "a"), (3, "b")] {
        let mut queued = Arc::into_inner(queued(number, QueueKind::Revocations, "w")).unwrap();
        queued.embedder = Some(embedder.into());
        lanes.push(Arc::new(queued), now);
    }
    let begin = |lanes: &mut Lanes| lanes.begin(QueueKind::Revocations, now).map(|(queued, _)| queued.number);
    assert_eq!([begin(&mut lanes), begin(&mut lanes), begin(&mut lanes)], [Some(1), Some(3), None]);
    lanes.finish(1, now).unwrap();
    assert_eq!((begin(&mut lanes), lanes.revocations().0), (Some(2), 2));
}
