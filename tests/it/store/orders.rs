//! Many writers, and pushes in any order.

use std::sync::atomic::{AtomicU64, Ordering};

use embedgate::rules::book::RuleBook;
use embedgate::rules::change::{Actor, ApplyOptions, Change, Precondition, Stale};
use embedgate::rules::publisher::Publisher;

use super::{Desk, delete, put, revision, save};
use crate::support::scale;

#[test]
fn of_eight_writers_with_one_revision_one_wins() {
    let desk = Desk::new();
    let publisher = desk.open();
    save(&publisher, vec![put(r#"{"id":"w"}"#)]).unwrap();
    let (won, lost) = (AtomicU64::new(1), AtomicU64::new(0));
    let saves = scale(2000);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (publisher, won, lost) = (&publisher, &won, &lost);
            scope.spawn(move || {
                for n in 0..saves / 8 {
                    let seen = revision(publisher, "w");
                    let json = format!(r#"{{"id":"w","allowed_domains":["w{writer}n{n}.example"]}}"#);
                    match save(publisher, vec![put(&json).only_if(Precondition::revision(seen))]) {
                        Ok(published) => {
                            assert_eq!(published.outcomes[0].revision(), seen + 1);
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(error.code(), "precondition_failed");
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let won = won.into_inner();
    assert_eq!(revision(&publisher, "w"), won);
    assert!(lost.into_inner() > 0, "they never met");
    drop(publisher);
    assert_eq!(revision(&desk.open(), "w"), won);
}

const SKIP: ApplyOptions =
    ApplyOptions { stale: Stale::Skip, absent: embedgate::rules::change::Absent::Keep, chunked: false };

/// Push number `n`: of one of 50 widgets, with that widget's next revision. All state what opens them.
fn push(n: usize) -> Change {
    let (widget, revision) = (n % 50, 1 + n / 50);
    let id = format!("w{widget}");
    if (n * 7 + revision).is_multiple_of(9) {
        return match delete(&id) {
            Change::Delete { id, .. } => Change::delete(id, Some(revision as u64)),
            put => put,
        };
    }
    let access = ["open", "enforce", "monitor"][(n / 3) % 3];
    put(&format!(
        r#"{{"id":"{id}","access":"{access}","allowed_domains":["n{}.example"],"revision":{revision}}}"#,
        n % 11
    ))
}

/// What a book says of widgets and deletions.
fn contents(book: &RuleBook) -> Vec<String> {
    let widgets = book.widgets().map(|rules| format!("{rules:?}"));
    let deleted = book.tombstones().map(|(id, tombstone)| format!("{id} gone at {}", tombstone.revision));
    let mut all: Vec<String> = widgets.chain(deleted).collect();
    all.sort_unstable();
    all
}

fn documents(publisher: &Publisher) -> Vec<String> {
    publisher.documents().page(None, 100).unwrap().iter().map(|widget| widget.to_json().to_string()).collect()
}

#[test]
fn shuffled_repeated_pushes_end_in_the_same_book_as_in_order() {
    let count = scale(10_000);
    let (in_order, at_random) = (Desk::new(), Desk::new());
    let ordered = in_order.open();
    ordered.apply((0..count).map(push).collect(), SKIP, Actor::CommandLine).unwrap();

    // Every push twice, in an order that no sorting has.
    let mut numbers: Vec<usize> = (0..count).chain(0..count).collect();
    let mut state = 88_172_645_463_325_252_u64;
    for n in (1..numbers.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(n, (state % (n as u64 + 1)) as usize);
    }
    let shuffled = at_random.open();
    std::thread::scope(|scope| {
        for part in numbers.chunks(numbers.len().div_ceil(4)) {
            let shuffled = &shuffled;
            scope.spawn(move || {
                for batch in part.chunks(1 + part[0] % 5) {
                    shuffled
                        .apply(batch.iter().copied().map(push).collect(), SKIP, Actor::CommandLine)
                        .unwrap();
                }
            });
        }
    });
    let expected = (contents(&ordered.live().load()), documents(&ordered));
    assert!(expected.0.len() >= 50 && expected.1.len() < 50, "widgets and deletions are both in it");
    assert!((contents(&shuffled.live().load()), documents(&shuffled)) == expected);
    drop(shuffled);
    let again = at_random.open();
    assert!((contents(&again.live().load()), documents(&again)) == expected, "after a restart");
}
