//! What the gate on instruction counts says of counts that moved.

use super::{Comparison, Counts};

fn counts(counts: &[(&str, u64)]) -> Counts {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn three_percent_are_the_bound() {
    let stored = counts(&[("a", 1000)]);
    for (counted, grew, fell) in [
        (1000, false, false),
        (1030, false, false),
        (1031, true, false),
        (970, false, false),
        (969, false, true),
        (0, false, true),
    ] {
        let comparison = Comparison::of(&stored, &counts(&[("a", counted)]));
        let found = (!comparison.grew.is_empty(), !comparison.fell.is_empty(), comparison.passes());
        assert_eq!(found, (grew, fell, !grew), "{counted}");
    }
}

#[test]
fn what_is_told_names_the_count_and_how_far_it_moved() {
    let stored = counts(&[("dear", 200), ("cheap", 200), ("same", 200), ("lost", 1)]);
    let counted = counts(&[("dear", 219), ("cheap", 150), ("same", 201), ("found", 1)]);
    let comparison = Comparison::of(&stored, &counted);
    assert_eq!(
        comparison.to_string(),
        "dearer   dear: 200 → 219 (+9.5 %)\n\
         cheaper  cheap: 200 → 150 (-25.0 %)\n\
         new      found\n\
         gone     lost\n"
    );
    assert!(!comparison.passes() && comparison.is_stale());
}

#[test]
fn what_is_cheaper_or_new_passes_and_what_is_no_longer_counted_does_not() {
    let stored = counts(&[("a", 100)]);
    let passes = |counted| {
        let comparison = Comparison::of(&stored, &counts(counted));
        (comparison.passes(), comparison.is_stale())
    };
    assert_eq!(passes(&[("a", 101)]), (true, false));
    assert_eq!(passes(&[("a", 50)]), (true, true));
    assert_eq!(passes(&[("a", 100), ("b", 1)]), (true, true));
    assert_eq!(passes(&[]), (false, true));
    assert_eq!(passes(&[("b", 100)]), (false, true));
}

#[test]
fn a_count_of_nothing_may_not_become_one() {
    let comparison = Comparison::of(&counts(&[("a", 0)]), &counts(&[("a", 1)]));
    assert!(!comparison.passes());
}
