#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use super::*;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn embedder(name: u32, count: u64, error: u64) -> EmbedderActivity {
    EmbedderActivity {
        origin: format!("https://n{name}.example").into(),
        count,
        error,
        monitored: 0,
        reason: None,
        entry: None,
        first: at(10),
        last: at(20),
        clients: ClientCounts { browser: count - error, ..ClientCounts::default() },
    }
}

/// What one edge could tell of these exact counts: some with an error, and those that are seldom not at all.
fn told(exact: &HashMap<u32, u64>, errors: &[u64], listed_above: u64) -> FrequentEmbedders {
    let mut told = FrequentEmbedders::default();
    for (index, (name, count)) in exact.iter().enumerate() {
        if *count > listed_above {
            let error = errors.get(index % errors.len()).copied().unwrap_or_default();
            // Some of the error is above the exact count, some below.
            told.embedders.push(embedder(*name, count + error / 2, error.min(count + error / 2)));
        } else {
            told.untracked = told.untracked.max(*count);
        }
    }
    told.sort();
    told
}

proptest! {
    #[test]
    fn what_several_edges_tell_is_true_of_all(
        edges in proptest::collection::vec(
            (
                proptest::collection::hash_map(0_u32..600, 1_u64..1000, 0..400),
                proptest::collection::vec(0_u64..30, 1..20),
                0_u64..400,
            ),
            1..5,
        )
    ) {
        let mut merged = FrequentEmbedders::default();
        let mut sums: HashMap<u32, u64> = HashMap::new();
        for (exact, errors, listed_above) in &edges {
            merged.merge(told(exact, errors, *listed_above));
            exact.iter().for_each(|(name, count)| *sums.entry(*name).or_insert(0) += count);
        }
        prop_assert!(merged.embedders.len() <= MOST);
        let listed: HashMap<&str, &EmbedderActivity> =
            merged.embedders.iter().map(|embedder| (&*embedder.origin, embedder)).collect();
        prop_assert_eq!(listed.len(), merged.embedders.len());
        for (name, exact) in &sums {
            match listed.get(&*embedder(*name, 0, 0).origin) {
                Some(told) => prop_assert!((told.count - told.error..=told.count).contains(exact)),
                None => prop_assert!(*exact <= merged.untracked, "{} > {}", exact, merged.untracked),
            }
        }
        let ranks: Vec<_> = merged.embedders.iter().map(EmbedderActivity::rank).collect();
        prop_assert!(ranks.is_sorted_by(|one, other| one > other));
    }
}

#[test]
fn an_embedder_of_two_edges_is_one() {
    let entry = |first, last, count| EntryActivity { first: at(first), last: at(last), count };
    let entries = |pairs: &[(&str, EntryActivity)]| {
        pairs.iter().map(|(text, entry)| (Box::from(*text), *entry)).collect::<BTreeMap<Box<str>, _>>()
    };
    let (mut one, mut other) = (embedder(1, 7, 2), embedder(1, 5, 1));
    (one.first, one.last, one.reason, one.entry) =
        (at(3), at(30), Some(Reason::Wildcard), Some("*.example".into()));
    (other.first, other.last, other.reason, other.monitored) = (at(2), at(40), Some(Reason::Ticket), 4);
    let list = |embedders, untracked| FrequentEmbedders { embedders, untracked };
    let mut seen = WidgetActivity {
        entries: entries(&[("*.example", entry(3, 30, 5)), ("a.example", entry(5, 6, 1))]),
        admitted: list(vec![one, embedder(2, 3, 0)], 1),
        ..WidgetActivity::default()
    };
    seen.merge(WidgetActivity {
        entries: entries(&[("*.example", entry(1, 20, 2)), ("b.example", entry(7, 8, 9))]),
        admitted: list(vec![other], 2),
        refused: list(vec![embedder(3, 1, 0)], 0),
        reported: list(Vec::new(), 4),
    });
    assert_eq!(
        seen.entries,
        entries(&[
            ("*.example", entry(1, 30, 7)),
            ("a.example", entry(5, 6, 1)),
            ("b.example", entry(7, 8, 9))
        ])
    );
    let both = seen.admitted.embedders[0].clone();
    assert_eq!((both.count, both.error, both.monitored, both.clients.browser), (12, 3, 4, 9));
    assert_eq!((both.first, both.last), (at(2), at(40)));
    assert_eq!((both.reason, both.entry.as_deref()), (Some(Reason::Ticket), Some("*.example")));
    // The other edge may have seen it twice, and not known it.
    let alone = &seen.admitted.embedders[1];
    assert_eq!((alone.count, alone.error, seen.admitted.untracked), (5, 2, 3));
    assert_eq!((seen.refused.embedders.len(), seen.refused.untracked, seen.reported.untracked), (1, 0, 4));
}
